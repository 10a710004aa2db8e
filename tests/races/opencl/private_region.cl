#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void regions(global uint *y) {
    local uint t[64];
    uint l = get_local_id(0);
#ifdef RACY
    uint i = l * 3;
#else
    uint i = l * 4;
#endif
    for (uint k = 0; k < 4; k++) t[i + k] = l;
    y[get_global_id(0)] = t[i];
}
