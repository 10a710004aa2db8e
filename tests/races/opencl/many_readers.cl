#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void readers(global uint *x, global uint *y) {
    uint g = get_global_id(0), v = x[0];
#ifdef RACY
    if (g == 40) x[0] = 3;
#else
    if (g == 40) x[1] = 3;
#endif
    y[g] = v;
}
