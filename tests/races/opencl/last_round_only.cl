#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rounds(global uint *x) {
    uint l = get_local_id(0);
    for (uint k = 4; k; k--) {
        x[k * 32 + l] = l;
#ifdef RACY
        if (k != 2)
#endif
            barrier(BOTH);
        x[l] = x[k * 32 + 31 - l];
    }
}
