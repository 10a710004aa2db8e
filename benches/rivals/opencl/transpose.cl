// programs/transpose.phx
#define TILE 32
#define STEP 8
#define PITCH (TILE + 1)
kernel void transpose(global const float *x, global float *y, uint rows, uint cols) {
    local float tile[TILE * PITCH];
    uint r0 = get_group_id(1) * TILE, c0 = get_group_id(0) * TILE;
    uint c = c0 + get_local_id(0);
    for (uint j = get_local_id(1); j < TILE; j += STEP) {
        uint r = r0 + j;
        tile[j * PITCH + get_local_id(0)] = r < rows && c < cols ? x[r * cols + c] : 0;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    uint r = r0 + get_local_id(0);
    for (uint j = get_local_id(1); j < TILE; j += STEP) {
        c = c0 + j;
        float v = tile[get_local_id(0) * PITCH + j];
        if (c < cols && r < rows) y[c * rows + r] = v;
    }
}
