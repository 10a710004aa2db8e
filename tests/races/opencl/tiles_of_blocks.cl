#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void tiles(global uint *y) {
    uint l = get_local_id(0);
#ifdef RACY
    y[get_group_id(0) * 30 + l] = l;
#else
    y[get_group_id(0) * 32 + l] = l;
#endif
}
