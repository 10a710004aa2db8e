#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void tree(global const uint *x, global uint *y) {
    local uint tmp[64];
    uint i = get_local_id(0);
    tmp[i] = x[get_global_id(0)];
    barrier(BOTH);
    for (uint s = 32; s; s >>= 1) {
        if (i < s) tmp[i] += tmp[i + s];
#ifndef RACY
        barrier(BOTH);
#endif
    }
    if (i == 0) y[get_group_id(0)] = tmp[0];
}
