#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rows(global short *y) {
    uint l = get_local_id(0), r = get_local_id(1);
#ifdef RACY
    y[r * 7 + l] = (short)(r * 8 + l);
#else
    y[r * 8 + l] = (short)(r * 8 + l);
#endif
}
