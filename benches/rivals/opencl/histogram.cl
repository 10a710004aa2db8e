// programs/histogram.phx
#define CHUNK 4096
kernel void histogram(global const uchar *x, global uint *bins, uint n) {
    local uint part[256];
    uint l = get_local_id(0);
    part[l] = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    uint i = get_group_id(0) * CHUNK;
    uint end = min(i + CHUNK, n);
    for (i += l; i < end; i += 256) atomic_inc(&part[x[i]]);
    barrier(CLK_LOCAL_MEM_FENCE);
    atomic_add(&bins[l], part[l]);
}
