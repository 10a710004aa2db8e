#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void stencil(global float *x, global float *y) {
    uint i = get_global_id(0);
    float u = x[i] + x[i + 1];
#ifdef RACY
    x[i] = u;
#else
    y[i] = u;
#endif
}
