#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void shift(global uint *x) {
    local uint tmp[65];
    uint i = get_local_id(0);
    tmp[i] = x[i];
    tmp[64] = 0;
#ifdef RACY
    mem_fence(BOTH);
#else
    barrier(BOTH);
#endif
    x[i] = tmp[i + 1];
}
