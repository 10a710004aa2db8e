// programs/mandelbrot.phx
#pragma OPENCL FP_CONTRACT OFF
kernel void mandelbrot(global uint *steps, uint width, uint height, float left, float top, float pitch, uint limit) {
    uint x = get_global_id(0), y = get_global_id(1);
    if (x >= width || y >= height) return;
    float cr = left + (float)x * pitch, ci = top - (float)y * pitch, zr = 0, zi = 0;
    uint n = 0;
    for (; n < limit; n++) {
        float rr = zr * zr, ii = zi * zi;
        if (rr + ii > 4) break;
        float t = zi * zr;
        zi = t + t + ci;
        zr = rr - ii + cr;
    }
    steps[y * width + x] = n;
}
