#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rounds(global float *x) {
    local float tmp[32];
    uint i = get_local_id(0);
    float v = x[i];
    for (int k = 3; k; k--) {
        tmp[i] = v;
        barrier(BOTH);
        v = tmp[i ^ 5];
#ifndef RACY
        barrier(BOTH);
#endif
    }
    x[i] = v;
}
