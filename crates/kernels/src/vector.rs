//! One row of activations by a stripe of ternary weights: what decoding a sequence runs. All ways leave codes where they stand in
//! their bytes as far as they can, and give the exact sums that unpacking would.

use crate::format::{SCALES, STEP, STRIPE};
use crate::kernel::AHEAD;
use crate::simd::{Kernel, Simd};
use std::marker::PhantomData;

/// Vectors of a stripe.
const NV: usize = 4;

/// A way to the exact sums of codes times activations.
pub(crate) trait Way {
    /// Steps whose sums a register holds.
    const RUN: usize;
    /// Columns of a step.
    const COLS: usize;
    /// Whether [`Simd::five`] is in it.
    const FIVE: bool;
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
    const FIVE: bool = false;
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
                    let x = s.planes(s.load(b.add(4 * S::LANES * v)));
                    s.prefetch(b.wrapping_add(AHEAD + 4 * S::LANES * v));
                    for ((acc, x), quad) in acc.iter_mut().zip(x).zip(quads) {
                        *acc = s.dot_bytes(*acc, x, quad);
                    }
                }
                b = b.add(STEP);
                a = a.add(Self::COLS);
            }
        }
        unscaled(s, acc)
    }
}

/// The sums of planes whose products are 1, 4, 16 and 64 times too large. Loops and no closures: a closure that is not inlined
/// has not the level's features.
#[inline(always)]
fn unscaled<S: Simd>(s: S, acc: [[S::W; 4]; NV]) -> [S::I; NV] {
    let mut sums = [s.int(0); NV];
    for (sum, planes) in sums.iter_mut().zip(acc) {
        for (p, plane) in planes.into_iter().enumerate() {
            *sum = s.add(*sum, s.shift(s.finish_bytes(plane), 2 * p as i32));
        }
    }
    sums
}

/// 1.6 bits: tables make four digits of a byte planes of two bits, and the first digit stands where the last of them does, so that
/// both go to one sum.
pub(crate) struct Fives;

impl Way for Fives {
    // 2 * 4 * 128 * 128 of each step, to the last plane.
    const RUN: usize = (1 << 14) - 1;
    const COLS: usize = 20;
    const FIVE: bool = true;
    #[inline(always)]
    unsafe fn sums<S: Simd>(s: S, b: *const u8, a: *const u8, steps: usize) -> [S::I; NV] {
        let (mut b, mut a) = (b, a);
        let mut acc = [[s.start_bytes(s.int(0)); 4]; NV];
        for _ in 0..steps {
            // SAFETY: fewer than `steps` steps are behind `b` and `a`; what is prefetched need not exist.
            unsafe {
                let mut quads = [s.quad(a); 5];
                for (p, quad) in quads.iter_mut().enumerate() {
                    *quad = s.quad(a.add(4 * p));
                }
                let [first, others @ ..] = quads;
                for v in 0..NV {
                    let mut x = s.load(b.add(4 * S::LANES * v));
                    s.prefetch(b.wrapping_add(AHEAD + 4 * S::LANES * v));
                    if let Some(before) = v.checked_sub(1) {
                        // There are registers for the digits of one vector.
                        (x, acc[before]) = s.after(x, acc[before]);
                    }
                    let [top, x] = s.five(x);
                    for ((acc, x), quad) in acc[v].iter_mut().zip(s.planes(x)).zip(others) {
                        *acc = s.dot_bytes(*acc, x, quad);
                    }
                    acc[v][3] = s.dot_bytes(acc[v][3], s.plane(top, 3), first);
                }
                b = b.add(STEP);
                a = a.add(Self::COLS);
            }
        }
        unscaled(s, acc)
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
        if W::FIVE { s.call_five(self) } else { s.call(self) }
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

/// Steps of two planes with codes up to 8 that 16 bits hold: two products of each go to a sum, 2 * 2 * 128 * 8 a step.
const CODES: usize = (1 << 15) / (2 * 2 * 128 * 8);

/// Sums over at most [`CODES`] steps of two bits for the rows of four vectors, on levels whose products of codes are sums of 16 bits:
/// a shift serves two planes, the others stay where they stand and are 4 times too large.
///
/// # Safety
/// `steps` steps lie at `b`, the vectors' first byte, and the activations for them at `a`.
#[inline(always)]
unsafe fn codes<S: Simd>(s: S, b: *const u8, a: *const u8, steps: usize) -> [S::I; NV] {
    let zero = s.int(0);
    let (mut b, mut a) = (b, a);
    let (mut small, mut large) = ([s.start_codes(zero); NV], [s.start_codes(zero); NV]);
    for _ in 0..steps {
        // SAFETY: fewer than `steps` steps are behind `b` and `a`; what is prefetched need not exist.
        unsafe {
            let quads = [s.quad(a), s.quad(a.add(4)), s.quad(a.add(8)), s.quad(a.add(12))];
            for line in 0..(4 * NV * S::LANES).div_ceil(64) {
                s.prefetch(b.wrapping_add(AHEAD + 64 * line));
            }
            for v in 0..NV {
                let x = s.load(b.add(4 * S::LANES * v));
                let y = s.down::<4>(x);
                small[v] = s.dot_codes(small[v], s.plane(x, 0), quads[0]);
                large[v] = s.dot_codes(large[v], s.plane(x, 1), quads[1]);
                small[v] = s.dot_codes(small[v], s.plane(y, 0), quads[2]);
                large[v] = s.dot_codes(large[v], s.plane(y, 1), quads[3]);
            }
            b = b.add(STEP);
            a = a.add(16);
        }
    }
    let mut sums = [zero; NV];
    for (v, sum) in sums.iter_mut().enumerate() {
        *sum = s.add(s.finish_codes(small[v], zero), s.shift(s.finish_codes(large[v], zero), 2));
    }
    sums
}

/// A whole stripe of two bits, as [`Vector`], by [`codes`].
pub(crate) struct CodeVector {
    pub(crate) b: *const u8,
    pub(crate) steps: usize,
    pub(crate) a: *const u8,
    pub(crate) c: *mut i32,
}

impl CodeVector {
    /// Computes the sums.
    ///
    /// # Safety
    /// The pointers reach as far as the type says.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, s: S) {
        s.call(self);
    }
}

impl Kernel for CodeVector {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut totals = [0i32; STRIPE];
        // Runs outside, parts of a stripe inside: a run's weights lie together.
        for done in (0..self.steps).step_by(CODES) {
            let run = CODES.min(self.steps - done);
            for part in (0..STRIPE).step_by(NV * S::LANES) {
                // SAFETY: `CodeVector::run` was promised `steps` steps of 64 rows and the activations for them; `part` is the first
                // of the vectors' rows.
                let sums =
                    unsafe { codes(s, self.b.add(done * STEP + 4 * part), self.a.add(16 * done), run) };
                for (sum, to) in sums.into_iter().zip(totals[part..].chunks_exact_mut(S::LANES)) {
                    // SAFETY: a vector's lanes.
                    unsafe { s.store_ints(to.as_mut_ptr(), s.add(s.load_ints(to.as_ptr()), sum)) };
                }
            }
        }
        // SAFETY: `CodeVector::run` was promised 64 sums.
        unsafe { self.c.copy_from_nonoverlapping(totals.as_ptr(), STRIPE) };
    }
}

/// A stripe in blocks as [`BlockVector`] has it, by [`codes`].
pub(crate) struct BlockCodes(pub(crate) BlockVector);

impl BlockCodes {
    /// Computes the sums.
    ///
    /// # Safety
    /// The pointers reach as far as the type says.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, s: S) {
        s.call(self);
    }
}

impl Kernel for BlockCodes {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let BlockVector { mut b, blocks, steps, mut a, seeds, c } = self.0;
        let mut totals = [0f32; STRIPE];
        for block in 0..blocks {
            // SAFETY: `BlockCodes::run` was promised `blocks` blocks of 64 scales and `steps` steps with activations and seeds, of
            // which `block` are behind; `part` is the first of the vectors' rows. What is prefetched need not exist.
            unsafe {
                for line in 0..SCALES / 64 {
                    s.prefetch(b.wrapping_add(AHEAD + 64 * line));
                }
                let seed = s.int(*seeds.add(block));
                for part in (0..STRIPE).step_by(NV * S::LANES) {
                    let mut sums = [seed; NV];
                    for done in (0..steps).step_by(CODES) {
                        let run = CODES.min(steps - done);
                        let more = codes(s, b.add(SCALES + done * STEP + 4 * part), a.add(16 * done), run);
                        for (sum, more) in sums.iter_mut().zip(more) {
                            *sum = s.add(*sum, more);
                        }
                    }
                    for (v, sum) in sums.into_iter().enumerate() {
                        let row = part + v * S::LANES;
                        let scale = s.load_f16(b.add(2 * row).cast());
                        let total = totals[row..][..S::LANES].as_mut_ptr();
                        s.store_floats(total, s.fma(s.to_floats(sum), scale, s.load_floats(total)));
                    }
                }
                b = b.add(SCALES + steps * STEP);
                a = a.add(16 * steps);
            }
        }
        // SAFETY: `BlockCodes::run` was promised 64 sums.
        unsafe { c.copy_from_nonoverlapping(totals.as_ptr(), STRIPE) };
    }
}
