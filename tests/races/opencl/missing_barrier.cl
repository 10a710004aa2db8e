#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void reverse(global uint *x) {
    local uint tmp[64];
    uint i = get_local_id(0), g = get_global_id(0);
    tmp[i] = x[g];
#ifndef RACY
    barrier(BOTH);
#endif
    x[g] = tmp[63 - i];
}
