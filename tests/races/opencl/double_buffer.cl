#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rounds(global float *x) {
    local float tmp[128];
    uint i = get_local_id(0);
    float v = x[i];
    for (uint k = 4; k; k--) {
#ifdef RACY
        uint j = i;
#else
        uint j = (k & 1) * 64 + i;
#endif
        tmp[j] = v;
        barrier(BOTH);
        v = tmp[j ^ 33];
    }
    x[i] = v;
}
