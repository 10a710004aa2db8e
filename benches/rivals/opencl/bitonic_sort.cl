// programs/bitonic_sort.phx
#define RUN 512
kernel void bitonic_sort(global uint *x, uint n) {
    local uint key[RUN];
    uint first = get_group_id(0) * RUN, l = get_local_id(0);
    for (uint i = l; i < RUN; i += RUN / 2) key[i] = first + i < n ? x[first + i] : 0xffffffff;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint size = 2; size <= RUN; size *= 2)
        for (uint span = size / 2; span; span /= 2) {
            uint far = l & (span - 1), i = 2 * l - far, j = i + span;
            uint a = key[i], b = key[j];
            bool up = (i & size) == 0;
            key[i] = up ? min(a, b) : max(a, b);
            key[j] = up ? max(a, b) : min(a, b);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    for (uint i = l; i < RUN; i += RUN / 2)
        if (first + i < n) x[first + i] = key[i];
}
