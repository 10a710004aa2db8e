#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void mixed(global uint *c) {
    uint l = get_local_id(0);
    if (l & 1) atomic_add(&c[3], l);
#ifdef RACY
    else c[3] = l;
#else
    else atomic_xor(&c[3], l);
#endif
}
