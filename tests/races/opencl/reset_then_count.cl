#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void count(global uint *y) {
    local uint n[2];
    if (get_local_id(0) == 0) n[1] = 100;
#ifndef RACY
    barrier(BOTH);
#endif
    atomic_inc(&n[1]);
    barrier(BOTH);
    y[get_local_id(0)] = n[1];
}
