#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rows(global float *t) {
    uint i = get_local_id(0);
    for (uint k = 0; k < 4; k++) {
        barrier(BOTH);
#ifdef RACY
        float v = t[k * 32 + 32 + 31 - i];
#else
        float v = t[k * 32 + 31 - i];
#endif
        t[k * 32 + 32 + i] = v;
    }
}
