#define BOTH (CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
kernel void even(global uint *y) {
    uint l = get_local_id(0);
#ifndef RACY
    if (l % 2 == 0)
#endif
        y[get_global_id(0) >> 1] = l;
}
