#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void cube(global uint *x) {
    local uint tmp[16];
    uint l = get_local_id(0) + 4 * (get_local_id(1) + 2 * get_local_id(2));
    uint g = (get_group_id(0) + 2 * get_group_id(2)) * 16 + l;
#ifdef RACY
    uint i = get_local_id(0);
#else
    uint i = l;
#endif
    tmp[i] = x[g];
    x[g] = tmp[i];
}
