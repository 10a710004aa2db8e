//! How filters of codes meet a band: as signed bytes, beside whatever a level's dot products want the band's elements to be.
//!
//! Matrices store weights as unsigned bytes and take off what those have in excess for each row of activations. Pixels are many and
//! their sums short, so here it is the band whose elements are raised where a product wants one side unsigned: what that adds to
//! a sum depends on the filter alone, and is part of its bias.

use crate::simd::Simd;
use crate::source::Source;

/// A way from stored weights to a dot product with a band's elements.
pub(super) trait Operand: Source {
    /// What the band's elements are higher by than signed ones. Where nothing, they may be signed beside weights in excess
    /// ([`Source::zero`]).
    fn raised<S: Simd>() -> i32;
}

/// Ternary, unpacked to a signed byte each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trits;

impl Source for Trits {
    type Acc<S: Simd> = S::C;
    #[inline(always)]
    fn planes<S: Simd>() -> usize {
        1
    }
    #[inline(always)]
    fn run<S: Simd>() -> usize {
        // Unsigned bytes times -1 to 1 are no larger than signed ones times 2.
        S::run_codes(2)
    }
    #[inline(always)]
    fn next<S: Simd>(_: S, x: &mut S::B, _: usize) -> S::B {
        *x
    }
    #[inline(always)]
    fn zero<S: Simd>() -> i32 {
        0
    }
    #[inline(always)]
    fn start<S: Simd>(s: S, seed: S::I) -> S::C {
        s.start_codes(seed)
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::C, w: S::B, a: S::B) -> S::C {
        s.dot_codes(acc, a, w)
    }
    #[inline(always)]
    fn finish<S: Simd>(s: S, acc: S::C, seed: S::I) -> S::I {
        s.finish_codes(acc, seed)
    }
}

impl Operand for Trits {
    #[inline(always)]
    fn raised<S: Simd>() -> i32 {
        S::RAISED
    }
}

/// [`crate::PackedFormat::I8`]. Where bytes are multiplied as pairs of 16 bits, making them signed would cost more than it saves:
/// they stay unsigned there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes;

impl Source for Bytes {
    type Acc<S: Simd> = S::W;
    #[inline(always)]
    fn planes<S: Simd>() -> usize {
        S::HALVES
    }
    #[inline(always)]
    fn run<S: Simd>() -> usize {
        usize::MAX
    }
    #[inline(always)]
    fn next<S: Simd>(s: S, x: &mut S::B, plane: usize) -> S::B {
        if S::HALVES == 1 { s.flip(*x) } else { s.widen(*x, plane) }
    }
    #[inline(always)]
    fn zero<S: Simd>() -> i32 {
        if S::HALVES == 1 { 0 } else { S::ZERO }
    }
    #[inline(always)]
    fn start<S: Simd>(s: S, seed: S::I) -> S::W {
        s.start_bytes(seed)
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::W, w: S::B, a: S::B) -> S::W {
        if S::HALVES == 1 { s.dot_bytes(acc, a, w) } else { s.dot_bytes(acc, w, a) }
    }
    #[inline(always)]
    fn finish<S: Simd>(s: S, acc: S::W, _: S::I) -> S::I {
        s.finish_bytes(acc)
    }
}

impl Operand for Bytes {
    #[inline(always)]
    fn raised<S: Simd>() -> i32 {
        if S::HALVES == 1 { S::ZERO } else { 0 }
    }
}
