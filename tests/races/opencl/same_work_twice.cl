#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void twice(global const float *x, global float *y, uint n) {
#ifdef RACY
    for (uint i = get_local_id(0); i < n; i += 64)
#else
    for (uint i = get_global_id(0); i < n; i += 64)
#endif
        y[i] = x[i] + x[i];
}
