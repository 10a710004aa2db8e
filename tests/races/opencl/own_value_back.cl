#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void back(global uint *y) {
    local uint s[1];
    uint l = get_local_id(0), v = 0;
    if (l == 0) s[0] = 6;
#ifdef RACY
    if (l == 1) v = s[0];
#else
    if (l == 0) v = s[0];
#endif
    y[l] = v;
}
