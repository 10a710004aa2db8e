#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void reverse(global double *x) {
    uint i = get_local_id(0);
#ifdef RACY
    if (i <= 32) {
#else
    if (i < 32) {
#endif
        double u = x[i], v = x[63 - i];
        x[i] = v;
        x[63 - i] = u;
    }
}
