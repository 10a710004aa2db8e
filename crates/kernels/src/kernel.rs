//! The register tiles: a few rows of activations by a few vectors of weight rows, along a run of columns.
//!
//! All of them read a stripe, or one unpacked to scratch, step by step, and add to sums that lie in scratch as rows of 64.

use crate::format::{SCALES, STEP, STRIPE};
use crate::simd::{Kernel, Simd, TileKernel};
use crate::source::{Float, Source};
use std::marker::PhantomData;

/// Bytes ahead of a stream of weights that are asked for: what the first cache has to wait for. The hardware runs further ahead by
/// itself, and asking for more takes its place: of whole bytes 512 cost 2 to 6 % of the rate, from memory and from the caches, 768 to
/// 4096 a fifth. None at all is as good for them, but costs AVX2 a twentieth of its ternary rate.
pub(crate) const AHEAD: usize = 256;

/// Integer sums of whole runs of columns.
///
/// `b`: from the first weight row of the tile, `steps` steps of 64 rows. `a`: rows `lda` bytes apart, each with four bytes for
/// each plane of each step. `c`: rows of 64 sums, from the tile's first weight row, begun where `fresh` and else continued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ints<Src, const STREAM: bool> {
    pub(crate) b: *const u8,
    pub(crate) steps: usize,
    pub(crate) a: *const u8,
    pub(crate) lda: usize,
    pub(crate) c: *mut i32,
    pub(crate) fresh: bool,
    pub(crate) source: PhantomData<Src>,
}

impl<Src: Source, const STREAM: bool> TileKernel for Ints<Src, STREAM> {
    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S) {
        let planes = Src::planes::<S>();
        let (mut b, mut a) = (self.b, self.a);
        let mut totals = [[s.int(0); NV]; M];
        if !self.fresh {
            for (m, row) in totals.iter_mut().enumerate() {
                for (v, total) in row.iter_mut().enumerate() {
                    // SAFETY: row `m` and vector `v` of the tile are in `c`.
                    *total = unsafe { s.load_ints(self.c.add(m * STRIPE + v * S::LANES)) };
                }
            }
        }
        let mut left = self.steps;
        if M > 1 && planes == 1 {
            // SAFETY: what this tile reads, with whole bytes as they are.
            if let Some(sums) = unsafe { s.pairs::<M, NV>(b, left, a, self.lda) } {
                for (row, sums) in totals.iter_mut().zip(sums) {
                    for (total, sum) in row.iter_mut().zip(sums) {
                        *total = s.add(*total, sum);
                    }
                }
                left = 0;
            }
        }
        while left > 0 {
            let run = left.min(Src::run::<S>());
            left -= run;
            let mut acc = [[Src::start(s, s.int(0)); NV]; M];
            for (row, totals) in acc.iter_mut().zip(totals) {
                for (acc, total) in row.iter_mut().zip(totals) {
                    *acc = Src::start(s, total);
                }
            }
            for _ in 0..run {
                // SAFETY: fewer than `steps` steps are behind `b` and `a`, so a step of `NV` vectors and the activations of
                // its planes, for `M` rows, lie at them; what is prefetched need not exist.
                unsafe {
                    step::<S, Src, M, NV, STREAM>(s, &mut acc, b, a, self.lda);
                    b = b.add(STEP);
                    a = a.add(4 * planes);
                }
            }
            for (row, acc) in totals.iter_mut().zip(acc) {
                for (total, acc) in row.iter_mut().zip(acc) {
                    *total = Src::finish(s, acc, *total);
                }
            }
        }
        for (m, row) in totals.iter().enumerate() {
            for (v, total) in row.iter().enumerate() {
                // SAFETY: as above.
                unsafe { s.store_ints(self.c.add(m * STRIPE + v * S::LANES), *total) };
            }
        }
    }
}

/// Adds one step.
///
/// # Safety
/// `NV` vectors lie at `b` and, for each of `M` rows, the activations of its planes at `a`.
#[inline(always)]
unsafe fn step<S: Simd, Src: Source, const M: usize, const NV: usize, const STREAM: bool>(
    s: S,
    acc: &mut [[Src::Acc<S>; NV]; M],
    b: *const u8,
    a: *const u8,
    lda: usize,
) {
    let vector = 4 * S::LANES;
    let planes = Src::planes::<S>();
    // SAFETY: the caller's promise; what is prefetched need not exist.
    unsafe {
        if STREAM {
            for line in 0..(NV * vector).div_ceil(64) {
                s.prefetch(b.wrapping_add(AHEAD + 64 * line));
            }
        }
        if M == 1 {
            // One vector at a time: with few registers, many sums need no room for as many operands.
            for (v, acc) in acc[0].iter_mut().enumerate() {
                let mut x = s.load(b.add(v * vector));
                for plane in 0..planes {
                    let w = Src::next(s, &mut x, plane);
                    *acc = Src::dot(s, *acc, w, s.quad(a.add(4 * plane)));
                }
            }
            return;
        }
        let mut x = [s.load(b); NV];
        for (v, x) in x.iter_mut().enumerate() {
            *x = s.load(b.add(v * vector));
        }
        for plane in 0..planes {
            let mut w = x;
            for (w, x) in w.iter_mut().zip(&mut x) {
                *w = Src::next(s, x, plane);
            }
            for (m, row) in acc.iter_mut().enumerate() {
                let quad = s.quad(a.add(m * lda + 4 * plane));
                for (acc, w) in row.iter_mut().zip(w) {
                    *acc = Src::dot(s, *acc, w, quad);
                }
            }
        }
    }
}

/// Sums of blocks, each exact, times its scale, added in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks<Src, const STREAM: bool>(pub(crate) BlockTile, pub(crate) PhantomData<Src>);

/// What [`Blocks`] reads and writes.
///
/// `scales`, `data`: from a block's scales and from its first step on, at the tile's first weight row; `blocks` of them follow each
/// other, of `steps` steps each. `a`: as in [`Ints`]. `seeds`: for row `m` and block `i` the sum's first value at
/// `m * seed_row + i`. `c`: rows of 64 floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockTile {
    pub(crate) scales: *const u8,
    pub(crate) data: *const u8,
    pub(crate) blocks: usize,
    pub(crate) steps: usize,
    pub(crate) a: *const u8,
    pub(crate) lda: usize,
    pub(crate) seeds: *const i32,
    pub(crate) seed_row: usize,
    pub(crate) c: *mut f32,
    pub(crate) fresh: bool,
}

impl<Src: Source, const STREAM: bool> TileKernel for Blocks<Src, STREAM> {
    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S) {
        let planes = Src::planes::<S>();
        let BlockTile { blocks, steps, lda, seed_row, c, fresh, .. } = self.0;
        let BlockTile { mut scales, data: mut b, mut a, mut seeds, .. } = self.0;
        let mut totals = [[s.zero(); NV]; M];
        if !fresh {
            for (m, row) in totals.iter_mut().enumerate() {
                for (v, total) in row.iter_mut().enumerate() {
                    // SAFETY: row `m` and vector `v` of the tile are in `c`.
                    *total = unsafe { s.load_floats(c.add(m * STRIPE + v * S::LANES)) };
                }
            }
        }
        for _ in 0..blocks {
            // SAFETY: fewer than `blocks` blocks are behind the pointers, so a block's scales, its steps of `NV` vectors, and
            // seeds and activations for `M` rows lie at them; what is prefetched need not exist.
            unsafe {
                if STREAM {
                    for line in 0..SCALES / 64 {
                        s.prefetch(scales.wrapping_add(AHEAD + 64 * line));
                    }
                }
                let mut seed = [s.int(0); M];
                let mut acc = [[Src::start(s, seed[0]); NV]; M];
                for (m, (seed, acc)) in seed.iter_mut().zip(&mut acc).enumerate() {
                    *seed = s.int(*seeds.add(m * seed_row));
                    *acc = [Src::start(s, *seed); NV];
                }
                let paired = if M > 1 && planes == 1 { s.pairs::<M, NV>(b, steps, a, lda) } else { None };
                if paired.is_some() {
                    b = b.add(steps * STEP);
                    a = a.add(4 * steps);
                } else {
                    for _ in 0..steps {
                        step::<S, Src, M, NV, STREAM>(s, &mut acc, b, a, lda);
                        b = b.add(STEP);
                        a = a.add(4 * planes);
                    }
                }
                let mut scale = [s.zero(); NV];
                for (v, scale) in scale.iter_mut().enumerate() {
                    *scale = s.load_f16(scales.add(2 * v * S::LANES).cast());
                }
                for (m, (row, seed)) in totals.iter_mut().zip(seed).enumerate() {
                    for (v, (total, scale)) in row.iter_mut().zip(scale).enumerate() {
                        let sum = match &paired {
                            Some(sums) => s.add(sums[m][v], seed),
                            None => Src::finish(s, acc[m][v], seed),
                        };
                        *total = s.fma(s.to_floats(sum), scale, *total);
                    }
                }
                scales = scales.add(SCALES + steps * STEP);
                b = b.add(SCALES);
                seeds = seeds.add(1);
            }
        }
        for (m, row) in totals.iter().enumerate() {
            for (v, total) in row.iter().enumerate() {
                // SAFETY: as above.
                unsafe { s.store_floats(c.add(m * STRIPE + v * S::LANES), *total) };
            }
        }
    }
}

/// Chains of fused multiply-adds over columns.
///
/// `b`: from the tile's first weight row, `steps` columns of 64 elements. `a`: rows `lda` elements apart. `c`: rows of 64 sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chains<F, const STREAM: bool> {
    pub(crate) b: *const u8,
    pub(crate) steps: usize,
    pub(crate) a: *const f32,
    pub(crate) lda: usize,
    pub(crate) c: *mut f32,
    pub(crate) fresh: bool,
    pub(crate) source: PhantomData<F>,
}

impl<E: Float, const STREAM: bool> TileKernel for Chains<E, STREAM> {
    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S) {
        let vector = E::SIZE * S::LANES;
        let (mut b, mut a) = (self.b, self.a);
        let mut totals = [[s.zero(); NV]; M];
        if !self.fresh {
            for (m, row) in totals.iter_mut().enumerate() {
                for (v, total) in row.iter_mut().enumerate() {
                    // SAFETY: row `m` and vector `v` of the tile are in `c`.
                    *total = unsafe { s.load_floats(self.c.add(m * STRIPE + v * S::LANES)) };
                }
            }
        }
        for _ in 0..self.steps {
            // SAFETY: fewer than `steps` columns are behind `b` and `a`, so `NV` vectors of weights and an activation of each
            // of `M` rows lie at them; what is prefetched need not exist.
            unsafe {
                let mut w = [s.zero(); NV];
                for (v, w) in w.iter_mut().enumerate() {
                    *w = E::load(s, b.add(v * vector));
                }
                if STREAM {
                    for line in 0..(NV * vector).div_ceil(64) {
                        s.prefetch(b.wrapping_add(AHEAD + 64 * line));
                    }
                }
                for (m, row) in totals.iter_mut().enumerate() {
                    let a = s.splat(a.add(m * self.lda));
                    for (total, w) in row.iter_mut().zip(w) {
                        *total = s.fma(w, a, *total);
                    }
                }
                b = b.add(E::SIZE * STRIPE);
                a = a.add(1);
            }
        }
        for (m, row) in totals.iter().enumerate() {
            for (v, total) in row.iter().enumerate() {
                // SAFETY: as above.
                unsafe { s.store_floats(self.c.add(m * STRIPE + v * S::LANES), *total) };
            }
        }
    }
}

/// Writes the expanded vectors of steps one after another.
pub(crate) struct Expand<'a, Src> {
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a mut [u8],
    pub(crate) source: PhantomData<Src>,
}

impl<Src: Source> Kernel for Expand<'_, Src> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let planes = Src::planes::<S>();
        let from = self.from.chunks_exact(STEP);
        for (from, to) in from.zip(self.to.chunks_exact_mut(planes * STEP)) {
            for at in (0..STEP).step_by(4 * S::LANES) {
                // SAFETY: `at` and the vector after it are inside a step, and each plane's step is inside `to`'s chunk.
                unsafe {
                    let mut x = s.load(from.as_ptr().add(at));
                    for plane in 0..planes {
                        let w = Src::next(s, &mut x, plane);
                        s.store(to.as_mut_ptr().add(plane * STEP + at), w);
                    }
                }
            }
        }
    }
}

/// Writes 16-bit floats as f32.
pub(crate) struct Extend<'a, F> {
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a mut [f32],
    pub(crate) source: PhantomData<F>,
}

impl<E: Float> Kernel for Extend<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from = self.from.chunks_exact(E::SIZE * S::LANES);
        for (from, to) in from.zip(self.to.chunks_exact_mut(S::LANES)) {
            // SAFETY: both chunks are of a vector's elements.
            unsafe { s.store_floats(to.as_mut_ptr(), E::load(s, from.as_ptr())) };
        }
    }
}
