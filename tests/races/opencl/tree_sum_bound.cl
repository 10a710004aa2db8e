#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void tree(global const uint *x, global uint *y) {
    local uint tmp[65];
    uint i = get_local_id(0);
    tmp[i] = x[i];
    if (i == 0) tmp[64] = x[0];
    barrier(BOTH);
    for (uint s = 32; s; s >>= 1) {
#ifdef RACY
        if (i <= s) tmp[i] += tmp[i + s];
#else
        if (i < s) tmp[i] += tmp[i + s];
#endif
        barrier(BOTH);
    }
    y[i] = tmp[0];
}
