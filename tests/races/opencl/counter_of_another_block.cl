#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void count(global int *c, global int *y) {
    atomic_inc(&c[get_group_id(0)]);
    barrier(BOTH);
#ifdef RACY
    y[get_global_id(0)] = c[1];
#else
    y[get_global_id(0)] = c[get_group_id(0)];
#endif
}
