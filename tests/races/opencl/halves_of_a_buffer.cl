#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void copy(global uint *x) {
    uint i = get_global_id(0);
#ifdef RACY
    x[i + 48] = x[i];
#else
    x[i + 64] = x[i];
#endif
}
