#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void count(global uint *c, global uint *y) {
    atomic_inc(&c[0]);
#ifdef RACY
    y[get_global_id(0)] = c[0];
#else
    y[get_global_id(0)] = atomic_add(&c[0], 0);
#endif
}
