#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void scan(global uint *x) {
    local uint tmp[32];
    uint i = get_local_id(0), a = x[i], b = 0;
    tmp[i] = a;
    for (uint d = 1; d < 32; d <<= 1) {
        barrier(BOTH);
        if (i >= d) b = tmp[i - d];
#ifndef RACY
        barrier(BOTH);
#endif
        if (i >= d) {
            a += b;
            tmp[i] = a;
        }
    }
    x[i] = a;
}
