#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void stencil(global const float *x, global float *y) {
    local float tile[34];
    uint i = get_global_id(0), l = get_local_id(0);
    tile[l + 1] = x[i + 1];
    if (l == 0) {
        tile[0] = x[i];
#ifdef RACY
        tile[32] = x[i + 33];
#else
        tile[33] = x[i + 33];
#endif
    }
    barrier(BOTH);
    y[i] = tile[l] + tile[l + 2];
}
