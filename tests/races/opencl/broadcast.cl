#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void broadcast(global const float *x, global float *y) {
    local float s[1];
    if (get_local_id(0) == 0) s[0] = x[0];
#ifndef RACY
    barrier(BOTH);
#endif
    y[get_local_id(0)] = s[0];
}
