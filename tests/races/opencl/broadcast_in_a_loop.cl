#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void rounds(global const uint *x, global uint *y) {
    local uint s[1];
    uint sum = 0;
    for (uint k = 5; k; k--) {
        if (get_local_id(0) == 0) s[0] = x[k];
        barrier(BOTH);
        sum += s[0];
#ifndef RACY
        barrier(BOTH);
#endif
    }
    y[get_local_id(0)] = sum;
}
