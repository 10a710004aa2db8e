#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void columns(global const int *x, global int *y) {
    uint l = get_local_id(0);
    int sum = 0;
    for (uint i = l; i < 64; i += 16) sum += x[i];
#ifdef RACY
    y[l >> 1] = sum;
#else
    y[l] = sum;
#endif
}
