//! One row of activations by a stripe of ternary weights, for levels whose dot product takes any unsigned byte: what decoding a
//! sequence runs. Both ways do without unpacking and give the exact sums that unpacking would.

use crate::format::{SCALES, STEP};
use crate::simd::{Kernel, Simd};
use std::marker::PhantomData;

/// Bytes ahead of the stream of weights that are asked for.
const AHEAD: usize = 4096;
/// Vectors of a stripe.
const NV: usize = 4;

/// A way to the exact sums of codes times activations.
pub(crate) trait Way {
    /// Steps whose sums a register holds.
    const RUN: usize;
    /// Columns of a step.
    const COLS: usize;
    /// Sums over `steps` steps at `b` and as many times [`Way::COLS`] activations at `a`, for 64 weight rows.
    ///
    /// # Safety
    /// They can be read there.
    unsafe fn sums<S: Simd>(s: S, b: *const u8, a: *const u8, steps: usize) -> [S::I; NV];
}

/// Two bits: a plane is masked out where it stands and not moved down. Its products are then 1, 4, 16 or 64 times too large,
/// which a shift of their sum takes back. A step adds at most 4 * 128 * 128 to a sum in size.
pub(crate) struct Planes;

impl Way for Planes {
    const RUN: usize = (1 << 15) - 1;
    const COLS: usize = 16;
    #[inline(always)]
    unsafe fn sums<S: Simd>(s: S, b: *const u8, a: *const u8, steps: usize) -> [S::I; NV] {
        let (mut b, mut a) = (b, a);
        let mut acc = [[s.start_bytes(s.int(0)); 4]; NV];
        for _ in 0..steps {
            // SAFETY: fewer than `steps` steps are behind `b` and `a`; what is prefetched need not exist.
            unsafe {
                let mut quads = [s.quad(a); 4];
                for (p, quad) in quads.iter_mut().enumerate() {
                    *quad = s.quad(a.add(4 * p));
                }
                for (v, acc) in acc.iter_mut().enumerate() {
                    let x = s.load(b.add(4 * S::LANES * v));
                    s.prefetch(b.wrapping_add(AHEAD + 4 * S::LANES * v));
                    for (p, (acc, quad)) in acc.iter_mut().zip(quads).enumerate() {
                        *acc = s.dot_bytes(*acc, s.plane(x, p), quad);
                    }
                }
                b = b.add(STEP);
                a = a.add(Self::COLS);
            }
        }
        let mut sums = [s.int(0); NV];
        for (sum, acc) in sums.iter_mut().zip(acc) {
            for (p, acc) in acc.into_iter().enumerate() {
                *sum = s.add(*sum, s.shift(s.finish_bytes(acc), 2 * p as i32));
            }
        }
        sums
    }
}

/// Base 3: with x the byte and y = 3x modulo 256, the first digit is (3x - y) / 256, and y holds the others. So the sum of
/// digits times activations is (3 * sum of x - sum of y) / 256, plane after plane, and no digit is ever made. The sums may wrap;
/// 256 times the exact one must fit.
pub(crate) struct Telescope;

impl Way for Telescope {
    // 256 * 2 * 128 * 20 of each step below 2^31.
    const RUN: usize = 1600;
    const COLS: usize = 20;
    #[inline(always)]
    unsafe fn sums<S: Simd>(s: S, b: *const u8, a: *const u8, steps: usize) -> [S::I; NV] {
        let (mut b, mut a) = (b, a);
        let mut whole = [s.start_bytes(s.int(0)); NV];
        let mut rest = whole;
        for _ in 0..steps {
            // SAFETY: fewer than `steps` steps are behind `b` and `a`; what is prefetched need not exist.
            unsafe {
                let mut quads = [s.quad(a); 5];
                for (p, quad) in quads.iter_mut().enumerate() {
                    *quad = s.quad(a.add(4 * p));
                }
                for (v, (whole, rest)) in whole.iter_mut().zip(&mut rest).enumerate() {
                    let mut x = s.load(b.add(4 * S::LANES * v));
                    s.prefetch(b.wrapping_add(AHEAD + 4 * S::LANES * v));
                    for quad in quads {
                        let y = s.triple(x);
                        *whole = s.dot_bytes(*whole, x, quad);
                        *rest = s.dot_bytes(*rest, y, quad);
                        x = y;
                    }
                }
                b = b.add(STEP);
                a = a.add(Self::COLS);
            }
        }
        let mut sums = [s.int(0); NV];
        for ((sum, whole), rest) in sums.iter_mut().zip(whole).zip(rest) {
            let (whole, rest) = (s.finish_bytes(whole), s.finish_bytes(rest));
            *sum = s.shift(s.sub(s.add(whole, s.add(whole, whole)), rest), 8);
        }
        sums
    }
}

/// A whole stripe: `b` has `steps` steps, `a` the activations for them, `c` 64 sums.
pub(crate) struct Vector<W> {
    pub(crate) b: *const u8,
    pub(crate) steps: usize,
    pub(crate) a: *const u8,
    pub(crate) c: *mut i32,
    pub(crate) way: PhantomData<W>,
}

impl<W: Way> Vector<W> {
    /// Computes the sums.
    ///
    /// # Safety
    /// The pointers reach as far as the type says, and a vector has 16 lanes.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, s: S) {
        s.call(self);
    }
}

impl<W: Way> Kernel for Vector<W> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut totals = [s.int(0); NV];
        let mut done = 0;
        while done < self.steps {
            let run = W::RUN.min(self.steps - done);
            // SAFETY: `Vector::run` was promised `steps` steps, of which `done` are behind.
            let sums = unsafe { W::sums(s, self.b.add(done * STEP), self.a.add(done * W::COLS), run) };
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = s.add(*total, sum);
            }
            done += run;
        }
        for (v, total) in totals.into_iter().enumerate() {
            // SAFETY: `Vector::run` was promised 64 sums, four vectors.
            unsafe { s.store_ints(self.c.add(v * S::LANES), total) };
        }
    }
}

/// A stripe in blocks: `b` has `blocks` times 64 scales and `steps` steps, `a` the activations for them, `seeds` what each block
/// adds to its sum, `c` 64 sums.
pub(crate) struct BlockVector {
    pub(crate) b: *const u8,
    pub(crate) blocks: usize,
    pub(crate) steps: usize,
    pub(crate) a: *const u8,
    pub(crate) seeds: *const i32,
    pub(crate) c: *mut f32,
}

impl BlockVector {
    /// Computes the sums.
    ///
    /// # Safety
    /// The pointers reach as far as the type says, and a vector has 16 lanes.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, s: S) {
        s.call(self);
    }
}

impl Kernel for BlockVector {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut totals = [s.zero(); NV];
        let (mut b, mut a) = (self.b, self.a);
        for block in 0..self.blocks {
            // SAFETY: `BlockVector::run` was promised `blocks` blocks with activations and seeds, of which `block` are behind.
            unsafe {
                for line in 0..SCALES / 64 {
                    s.prefetch(b.wrapping_add(AHEAD + 64 * line));
                }
                let sums = Planes::sums(s, b.add(SCALES), a, self.steps);
                let seed = s.int(*self.seeds.add(block));
                for (v, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
                    let scale = s.load_f16(b.add(2 * S::LANES * v).cast());
                    *total = s.fma(s.to_floats(s.add(sum, seed)), scale, *total);
                }
                b = b.add(SCALES + self.steps * STEP);
                a = a.add(self.steps * Planes::COLS);
            }
        }
        for (v, total) in totals.into_iter().enumerate() {
            // SAFETY: `BlockVector::run` was promised 64 sums, four vectors.
            unsafe { s.store_floats(self.c.add(v * S::LANES), total) };
        }
    }
}
