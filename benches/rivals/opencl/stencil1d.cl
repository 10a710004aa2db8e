// programs/stencil1d.phx
#define BLOCK 256
kernel void stencil1d(global const float *x, global float *y, uint n) {
    local float tile[BLOCK + 2];
    uint i = get_global_id(0), l = get_local_id(0), last = n - 1, at = min(i, last);
    tile[l + 1] = x[at];
    if (l == 0) tile[0] = x[i > 0 ? i - 1 : 0];
    if (l == BLOCK - 1) tile[BLOCK + 1] = x[min(i + 1, last)];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (i >= n) return;
    y[i] = (fma(2.0f, tile[l + 1], tile[l]) + tile[l + 2]) * 0.25f;
}
