#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void update(global int *x) {
    uint i = get_global_id(0);
#ifdef RACY
    x[i] = -x[i ^ 64];
#else
    x[i] = -x[i];
#endif
}
