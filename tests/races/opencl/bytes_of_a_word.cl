#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void bytes(global uchar *y) {
    uint i = get_global_id(0);
#ifdef RACY
    y[i | 1] = (uchar)i;
#else
    y[i] = (uchar)i;
#endif
}
