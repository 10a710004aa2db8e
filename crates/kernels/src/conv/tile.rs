//! Tiles: the inner loop of a convolution, some pixels times some filters over all runs.
//!
//! A pixel is an offset into the band; a run of weights meets the band at the pixel's offset plus the run's. Weights lie as packed
//! stripes do. One source for all levels: what differs is behind [`Simd`].

use super::band::PAIR;
use super::operand::Operand;
use crate::format::{STEP, STRIPE};
use crate::simd::{Coder, Simd, TileKernel};
use std::marker::PhantomData;

/// Pixels of a tile at most, at any level.
pub(super) const PIXELS: usize = 8;
/// Results of a tile: a row of 64 for each pixel.
pub(super) type Results<T> = [T; PIXELS * STRIPE];

/// Where the runs of a filter meet a band: two nested loops, of which the inner one may be of length 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) outer: usize,
    /// Band elements from an outer run to the next.
    pub(super) outer_step: usize,
    pub(super) inner: usize,
    pub(super) inner_step: usize,
    /// Steps of a run: four columns of codes, or one of floats.
    pub(super) steps: usize,
}

impl Walk {
    /// Band elements from a pixel's first to past its last, `cols` of them a step.
    pub(super) fn reach(&self, cols: usize) -> usize {
        (self.outer - 1) * self.outer_step + (self.inner - 1) * self.inner_step + cols * self.steps
    }
    /// Steps of all runs.
    pub(super) fn all_steps(&self) -> usize {
        self.outer * self.inner * self.steps
    }
}

/// Bytes from one element of a band of codes to the next. Where a level multiplies whole bytes as pairs of 16 bits, each element
/// comes with the one two further on, which is what [`Simd::widen`] puts beside each other; its second half is the pair of the
/// element after it.
pub(super) fn cell<S: Simd, Src: Operand>() -> usize {
    if Src::planes::<S>() == 1 { 1 } else { PAIR }
}

/// How a tile's sums become codes, in registers: `offsets` and `scales` of its filters, what each of its pixels has in excess
/// (none where nothing has), and where the codes go, `stride` bytes from a pixel's to the next one's.
#[derive(Clone, Copy)]
pub(super) struct Coded<'a> {
    pub(super) offsets: &'a [i32],
    pub(super) scales: &'a [f32],
    pub(super) reads: &'a [i32],
    pub(super) coder: Coder,
    pub(super) to: *mut u8,
    pub(super) stride: usize,
}

/// Exact sums. `band`: from the first element on, [`cell`] bytes each, with [`Walk::reach`] elements after each of the tile's
/// `pixels` (and one more where elements are pairs). `b`: [`Walk::all_steps`] steps, from the tile's first row on. `c`: rows of 64
/// sums, unless these are `coded` and go nowhere else.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a, Src> {
    pub(super) band: *const u8,
    pub(super) pixels: &'a [usize; PIXELS],
    pub(super) walk: Walk,
    pub(super) b: *const u8,
    pub(super) c: *mut i32,
    pub(super) coded: Option<Coded<'a>>,
    pub(super) source: PhantomData<Src>,
}

impl<Src: Operand> TileKernel for Codes<'_, Src> {
    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S) {
        let (vector, cell) = (4 * S::LANES, cell::<S, Src>());
        let planes = Src::planes::<S>();
        let mut b = self.b;
        let mut totals = [[s.int(0); NV]; M];
        if let Some(coded) = &self.coded {
            for (m, row) in totals.iter_mut().enumerate() {
                for (v, total) in row.iter_mut().enumerate() {
                    // SAFETY: an offset for each filter.
                    *total = unsafe { s.load_ints(coded.offsets.as_ptr().add(v * S::LANES)) };
                    if Src::zero::<S>() != 0 {
                        *total = s.sub(*total, s.int(coded.reads[m]));
                    }
                }
            }
        }
        let mut acc = started::<S, Src, M, NV>(s, &totals);
        // Steps until sums in the making must be finished.
        let limit = Src::run::<S>();
        let mut left = limit;
        for outer in 0..self.walk.outer {
            for inner in 0..self.walk.inner {
                let offset = outer * self.walk.outer_step + inner * self.walk.inner_step;
                // SAFETY: every run of every pixel lies in the band.
                let at: [*const u8; M] =
                    std::array::from_fn(|m| unsafe { self.band.add((self.pixels[m] + offset) * cell) });
                let mut step = 0;
                while step < self.walk.steps {
                    if left == 0 {
                        finish::<S, Src, M, NV>(s, &acc, &mut totals);
                        acc = started::<S, Src, M, NV>(s, &totals);
                        left = limit;
                    }
                    let end = self.walk.steps.min(step.saturating_add(left));
                    if limit != usize::MAX {
                        left -= end - step;
                    }
                    while step < end {
                        // SAFETY: the step lies behind `b`, and its four elements (five of pairs) in the band.
                        unsafe {
                            let mut x: [S::B; NV] = std::array::from_fn(|v| s.load(b.add(v * vector)));
                            for plane in 0..planes {
                                let w: [S::B; NV] = std::array::from_fn(|v| Src::next(s, &mut x[v], plane));
                                for (row, at) in acc.iter_mut().zip(at) {
                                    let quad = s.quad(at.add((4 * step + plane) * cell));
                                    for (acc, w) in row.iter_mut().zip(w) {
                                        *acc = Src::dot(s, *acc, w, quad);
                                    }
                                }
                            }
                        }
                        b = b.wrapping_add(STEP);
                        step += 1;
                    }
                }
            }
        }
        finish::<S, Src, M, NV>(s, &acc, &mut totals);
        if let Some(coded) = &self.coded {
            // SAFETY: the number.
            let top = unsafe { s.splat(&coded.coder.top) };
            for (m, row) in totals.iter_mut().enumerate() {
                for (v, total) in row.iter_mut().enumerate() {
                    // SAFETY: a scale for each filter.
                    let scale = unsafe { s.load_floats(coded.scales.as_ptr().add(v * S::LANES)) };
                    *total = s.rounded(s.times(s.to_floats(*total), scale), top);
                }
                // SAFETY: a byte for each filter of each pixel.
                unsafe { s.store_codes::<NV>(coded.to.add(m * coded.stride), *row, coded.coder) };
            }
            return;
        }
        for (m, row) in totals.iter().enumerate() {
            for (v, total) in row.iter().enumerate() {
                // SAFETY: row `m` and vector `v` of the tile are in `c`.
                unsafe { s.store_ints(self.c.add(m * STRIPE + v * S::LANES), *total) };
            }
        }
    }
}

/// The beginnings of sums. By loops: the compiler makes calls of arrays' `map`, through memory.
#[inline(always)]
fn started<S: Simd, Src: Operand, const M: usize, const NV: usize>(
    s: S,
    totals: &[[S::I; NV]; M],
) -> [[Src::Acc<S>; NV]; M] {
    let mut acc = [[Src::start(s, s.int(0)); NV]; M];
    for (row, totals) in acc.iter_mut().zip(totals) {
        for (acc, total) in row.iter_mut().zip(totals) {
            *acc = Src::start(s, *total);
        }
    }
    acc
}

/// The sums that were in the making.
#[inline(always)]
fn finish<S: Simd, Src: Operand, const M: usize, const NV: usize>(
    s: S,
    acc: &[[Src::Acc<S>; NV]; M],
    totals: &mut [[S::I; NV]; M],
) {
    for (row, acc) in totals.iter_mut().zip(acc) {
        for (total, acc) in row.iter_mut().zip(acc) {
            *total = Src::finish(s, *acc, *total);
        }
    }
}

/// Chains of fused multiply-adds: as [`Codes`] with an f32 an element and a column a step.
#[derive(Clone, Copy)]
pub(super) struct Chains<'a> {
    pub(super) band: *const f32,
    pub(super) pixels: &'a [usize; PIXELS],
    pub(super) walk: Walk,
    pub(super) b: *const u8,
    pub(super) c: *mut f32,
}

impl TileKernel for Chains<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S) {
        let vector = 4 * S::LANES;
        let mut b = self.b;
        let mut acc = [[s.zero(); NV]; M];
        for outer in 0..self.walk.outer {
            for inner in 0..self.walk.inner {
                let offset = outer * self.walk.outer_step + inner * self.walk.inner_step;
                // SAFETY: every run of every pixel lies in the band.
                let at: [*const f32; M] =
                    std::array::from_fn(|m| unsafe { self.band.add(self.pixels[m] + offset) });
                for step in 0..self.walk.steps {
                    // SAFETY: the step lies behind `b` and its element in the band.
                    unsafe {
                        let w: [S::F; NV] = std::array::from_fn(|v| s.load_floats(b.add(v * vector).cast()));
                        for (row, at) in acc.iter_mut().zip(at) {
                            let a = s.splat(at.add(step));
                            for (acc, w) in row.iter_mut().zip(w) {
                                *acc = s.fma(w, a, *acc);
                            }
                        }
                    }
                    b = b.wrapping_add(STEP);
                }
            }
        }
        for (m, row) in acc.iter().enumerate() {
            for (v, acc) in row.iter().enumerate() {
                // SAFETY: row `m` and vector `v` of the tile are in `c`.
                unsafe { s.store_floats(self.c.add(m * STRIPE + v * S::LANES), *acc) };
            }
        }
    }
}
