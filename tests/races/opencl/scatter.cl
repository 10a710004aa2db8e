#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void scatter(global const uint *place, global uint *y) {
    uint g = get_global_id(0);
#ifdef RACY
    y[place[g] & 62] = g;
#else
    y[place[g] & 63] = g;
#endif
}
