#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void pairs(global uint *y) {
    uint i = get_global_id(0);
    y[2 * i] = i;
#ifdef RACY
    y[2 * i + 2] = i;
#else
    y[2 * i + 1] = i;
#endif
}
