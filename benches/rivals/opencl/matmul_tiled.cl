// programs/matmul_tiled.phx
#define TILE 16
kernel void matmul_tiled(global const float *a, global const float *b, global float *c, uint m, uint n, uint k) {
    local float ta[TILE * TILE], tb[TILE * TILE];
    uint row = get_global_id(1), col = get_global_id(0), x = get_local_id(0), y = get_local_id(1);
    float acc = 0;
    for (uint k0 = 0; k0 < k; k0 += TILE) {
        ta[y * TILE + x] = k0 + x < k && row < m ? a[row * k + k0 + x] : 0;
        tb[y * TILE + x] = k0 + y < k && col < n ? b[(k0 + y) * n + col] : 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        uint width = min(k - k0, (uint)TILE);
        for (uint p = 0; p < width; p++) acc = fma(ta[y * TILE + p], tb[p * TILE + x], acc);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (row < m && col < n) c[row * n + col] = acc;
}
