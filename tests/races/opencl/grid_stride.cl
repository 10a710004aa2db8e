#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void fill(global uint *y, uint n) {
#ifdef RACY
    for (uint i = get_global_id(0); i < n; i += 32)
#else
    for (uint i = get_global_id(0); i < n; i += 64)
#endif
        y[i] = get_group_id(0);
}
