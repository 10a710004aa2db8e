#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void count(global const uint *x, global uint *y) {
    local uint n[1];
    if (get_local_id(0) == 0) n[0] = 0;
    barrier(BOTH);
    atomic_add(&n[0], x[get_global_id(0)]);
#ifndef RACY
    barrier(BOTH);
#endif
    y[get_global_id(0)] = n[0];
}
