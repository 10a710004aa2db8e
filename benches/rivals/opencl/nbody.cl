// programs/nbody.phx
#define TILE 128
kernel void nbody(global const float *body, global float *speed, global float *next, float dt, float eps2, uint n) {
    local float tile[4 * TILE];
    uint i = get_global_id(0), l = get_local_id(0), at = 4 * i;
    bool inside = i < n;
    float px = 0, py = 0, pz = 0, ax = 0, ay = 0, az = 0;
    if (inside) {
        px = body[at];
        py = body[at + 1];
        pz = body[at + 2];
    }
    for (uint t = 0; t < n; t += TILE) {
        if (t + l < n)
            for (uint p = 0; p < 4; p++) tile[4 * l + p] = body[4 * (t + l) + p];
        barrier(CLK_LOCAL_MEM_FENCE);
        uint here = min(n - t, (uint)TILE);
        for (uint j = 0; j < 4 * here; j += 4) {
            float dx = tile[j] - px, dy = tile[j + 1] - py, dz = tile[j + 2] - pz;
            float r2 = fma(dz, dz, fma(dy, dy, fma(dx, dx, eps2)));
            float s = tile[j + 3] / (r2 * sqrt(r2));
            ax = fma(s, dx, ax);
            ay = fma(s, dy, ay);
            az = fma(s, dz, az);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (!inside) return;
    float sx = fma(dt, ax, speed[at]), sy = fma(dt, ay, speed[at + 1]), sz = fma(dt, az, speed[at + 2]);
    speed[at] = sx;
    speed[at + 1] = sy;
    speed[at + 2] = sz;
    next[at] = fma(dt, sx, px);
    next[at + 1] = fma(dt, sy, py);
    next[at + 2] = fma(dt, sz, pz);
    next[at + 3] = body[at + 3];
}
