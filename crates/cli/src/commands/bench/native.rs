//! The rivals: what a careful programmer writes in plain Rust, on one thread, compiled for the machine's SIMD level and left to
//! the compiler to vectorise. Operations and their order are those of the programs where that costs the rival nothing.

use crate::machine::natively;

/// `y = a * x + y`.
pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    natively(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = a.mul_add(*x, *y);
            }
        },
    );
}

/// The sum, in 64 partial sums: one chain would be as slow as the latency of an addition.
pub fn sum(x: &[f32]) -> f32 {
    natively(
        #[inline(always)]
        || {
            let mut parts = [0f32; 64];
            let (chunks, rest) = x.as_chunks::<64>();
            for chunk in chunks {
                for (p, x) in parts.iter_mut().zip(chunk) {
                    *p += x;
                }
            }
            parts.iter().sum::<f32>() + rest.iter().sum::<f32>()
        },
    )
}

/// Softmax of every row.
pub fn softmax(x: &[f32], y: &mut [f32], cols: usize) {
    natively(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
                let m = x.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
                let mut s = 0.0;
                for (y, x) in y.iter_mut().zip(x) {
                    *y = (x - m).exp();
                    s += *y;
                }
                y.iter_mut().for_each(|y| *y /= s);
            }
        },
    );
}

/// `c = a * b` of n x n matrices, row by row, so that the inner loop runs along rows of b and c.
pub fn matmul(a: &[f32], b: &[f32], c: &mut [f32], n: usize) {
    natively(
        #[inline(always)]
        || {
            for (a, c) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
                c.fill(0.0);
                for (a, b) in a.iter().zip(b.chunks_exact(n)) {
                    for (c, b) in c.iter_mut().zip(b) {
                        *c = a.mul_add(*b, *c);
                    }
                }
            }
        },
    );
}

/// Adds the number of bytes of each value.
pub fn histogram(x: &[u8], bins: &mut [u32; 256]) {
    // Four tables, so that equal neighbours do not wait for each other.
    let mut tables = [[0u32; 256]; 4];
    let (chunks, rest) = x.as_chunks::<4>();
    for chunk in chunks {
        for (table, v) in tables.iter_mut().zip(chunk) {
            table[usize::from(*v)] += 1;
        }
    }
    rest.iter().for_each(|v| tables[0][usize::from(*v)] += 1);
    for table in &tables {
        bins.iter_mut().zip(table).for_each(|(b, t)| *b = b.wrapping_add(*t));
    }
}

/// Inclusive prefix sums.
pub fn scan(x: &[u32], y: &mut [u32]) {
    let mut total = 0u32;
    for (y, x) in y.iter_mut().zip(x) {
        total = total.wrapping_add(*x);
        *y = total;
    }
}

/// A view of the Mandelbrot set.
#[derive(Clone, Copy)]
pub struct View {
    pub width: usize,
    pub left: f32,
    pub top: f32,
    pub pitch: f32,
    pub limit: u32,
}

/// Steps until a point is known to be outside. Sixteen neighbours go together, as vectors do.
pub fn mandelbrot(view: View, steps: &mut [u32]) {
    const TOGETHER: usize = 16;
    let View { width, left, top, pitch, limit } = view;
    natively(
        #[inline(always)]
        || {
            for (y, row) in steps.chunks_exact_mut(width).enumerate() {
                let ci = top - y as f32 * pitch;
                for (group, out) in row.chunks_exact_mut(TOGETHER).enumerate() {
                    let cr: [f32; TOGETHER] =
                        std::array::from_fn(|i| (group * TOGETHER + i) as f32 * pitch + left);
                    let (mut zr, mut zi, mut n) = ([0f32; TOGETHER], [0f32; TOGETHER], [0u32; TOGETHER]);
                    for _ in 0..limit {
                        let mut inside = 0u32;
                        for i in 0..TOGETHER {
                            let (rr, ii) = (zr[i] * zr[i], zi[i] * zi[i]);
                            let here = u32::from(rr + ii <= 4.0);
                            inside += here;
                            n[i] += here;
                            let zy = zi[i] * zr[i];
                            // A point that is outside may run on to infinity: nobody looks at it again but `here`, which
                            // infinities and NaN keep at 0.
                            zi[i] = zy + zy + ci;
                            zr[i] = rr - ii + cr[i];
                        }
                        if inside == 0 {
                            break;
                        }
                    }
                    out.copy_from_slice(&n);
                }
            }
        },
    );
}

/// One step of bodies of x, y, z and mass; see `programs/nbody.phx`.
pub fn nbody(body: &[[f32; 4]], speed: &mut [[f32; 4]], next: &mut [[f32; 4]], dt: f32, eps2: f32) {
    const TOGETHER: usize = 16;
    natively(
        #[inline(always)]
        || {
            for first in (0..body.len()).step_by(TOGETHER) {
                let (mut px, mut py, mut pz) = ([0f32; TOGETHER], [0f32; TOGETHER], [0f32; TOGETHER]);
                for (i, own) in body[first..first + TOGETHER].iter().enumerate() {
                    [px[i], py[i], pz[i], _] = *own;
                }
                let (mut ax, mut ay, mut az) = ([0f32; TOGETHER], [0f32; TOGETHER], [0f32; TOGETHER]);
                for &[x, y, z, mass] in body {
                    for i in 0..TOGETHER {
                        let (dx, dy, dz) = (x - px[i], y - py[i], z - pz[i]);
                        let r2 = dz.mul_add(dz, dy.mul_add(dy, dx.mul_add(dx, eps2)));
                        let s = mass / (r2 * r2.sqrt());
                        ax[i] = s.mul_add(dx, ax[i]);
                        ay[i] = s.mul_add(dy, ay[i]);
                        az[i] = s.mul_add(dz, az[i]);
                    }
                }
                for i in 0..TOGETHER {
                    let [sx, sy, sz, _] = &mut speed[first + i];
                    (*sx, *sy, *sz) =
                        (dt.mul_add(ax[i], *sx), dt.mul_add(ay[i], *sy), dt.mul_add(az[i], *sz));
                    let mass = body[first + i][3];
                    next[first + i] =
                        [dt.mul_add(*sx, px[i]), dt.mul_add(*sy, py[i]), dt.mul_add(*sz, pz[i]), mass];
                }
            }
        },
    );
}
