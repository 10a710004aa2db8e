// programs/axpy.phx
kernel void axpy(global const float *x, global float *y, float a, uint n) {
    uint i = get_global_id(0);
    if (i >= n) return;
    y[i] = fma(a, x[i], y[i]);
}
