#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void latest(global const uint *x, global uint *bins) {
    uint g = get_global_id(0);
#ifdef RACY
    bins[x[g]] = g;
#else
    atomic_max(&bins[x[g]], g);
#endif
}
