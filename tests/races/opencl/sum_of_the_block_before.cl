#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void before(global const uint *x, global uint *s) {
    uint b = get_group_id(0), v = 0;
#ifdef RACY
    if (b != 0) v = s[b - 1];
#else
    if (b != 0) v = x[b - 1];
#endif
    if (get_local_id(0) == 0) s[b] = v + 1;
}
