#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void sort(global uint *x) {
    uint i = get_local_id(0);
    for (uint d = 2; d; d--) {
        uint j = i ^ d;
        if (i < j) {
            uint a = x[i], b = x[j];
            x[i] = min(a, b);
            x[j] = max(a, b);
        }
#ifndef RACY
        barrier(BOTH);
#endif
    }
}
