//! How stored bytes become operands of a dot product: one type for each way, so that a kernel is compiled for each.

use crate::simd::Simd;
use std::fmt::Debug;

/// A way from a stored vector to the vectors that are multiplied, each with four columns of activations.
pub(crate) trait Source: Copy + Debug {
    /// Sums in the making.
    type Acc<S: Simd>: Copy;
    /// Vectors that a stored one becomes.
    fn planes<S: Simd>() -> usize;
    /// Stored vectors that may be added between `start` and `finish`.
    fn run<S: Simd>() -> usize;
    /// The vector of plane `plane`; called once for each, ascending, and may change `x` to prepare the next.
    fn next<S: Simd>(s: S, x: &mut S::B, plane: usize) -> S::B;
    /// What stored zeros stand for: that many times the sum of activations is to be taken off.
    fn zero<S: Simd>() -> i32;
    /// [`Simd::start_codes`] or [`Simd::start_bytes`].
    fn start<S: Simd>(s: S, seed: S::I) -> Self::Acc<S>;
    /// The dot product.
    fn dot<S: Simd>(s: S, acc: Self::Acc<S>, w: S::B, a: S::B) -> Self::Acc<S>;
    /// The sum.
    fn finish<S: Simd>(s: S, acc: Self::Acc<S>, seed: S::I) -> S::I;
}

/// Small codes: what the ternary layouts and [`crate::PackedFormat::Q4_0`] share.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident, planes $planes:literal, max $max:literal, zero $zero:literal, |$s:ident, $x:ident, $plane:ident| $next:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl Source for $name {
            type Acc<S: Simd> = S::C;
            #[inline(always)]
            fn planes<S: Simd>() -> usize {
                $planes
            }
            #[inline(always)]
            fn run<S: Simd>() -> usize {
                S::run_codes($max) / $planes
            }
            #[inline(always)]
            fn next<S: Simd>($s: S, $x: &mut S::B, $plane: usize) -> S::B {
                $next
            }
            #[inline(always)]
            fn zero<S: Simd>() -> i32 {
                $zero
            }
            #[inline(always)]
            fn start<S: Simd>(s: S, seed: S::I) -> S::C {
                s.start_codes(seed)
            }
            #[inline(always)]
            fn dot<S: Simd>(s: S, acc: S::C, w: S::B, a: S::B) -> S::C {
                s.dot_codes(acc, w, a)
            }
            #[inline(always)]
            fn finish<S: Simd>(s: S, acc: S::C, seed: S::I) -> S::I {
                s.finish_codes(acc, seed)
            }
        }
    };
}

codes! {
    /// Ternary, two bits.
    T2, planes 4, max 2, zero 1, |s, x, plane| {
        let w = s.low::<2>(*x);
        if plane < 3 {
            *x = s.down::<2>(*x);
        }
        w
    }
}
codes! {
    /// Ternary, 1.6 bits.
    T3, planes 5, max 2, zero 1, |s, x, plane| {
        if plane == 0 {
            let [first, others] = s.five(*x);
            *x = others;
            return s.low::<2>(s.down::<6>(first));
        }
        let w = s.low::<2>(*x);
        if plane < 4 {
            *x = s.down::<2>(*x);
        }
        w
    }
}
codes! {
    /// Ternary, unpacked to a byte each.
    Trits, planes 1, max 2, zero 1, |_s, x, _plane| *x
}
codes! {
    /// Four bits.
    Q4, planes 2, max 15, zero 8, |s, x, plane| {
        let w = s.low::<4>(*x);
        if plane < 1 {
            *x = s.down::<4>(*x);
        }
        w
    }
}
codes! {
    /// Four bits, unpacked to a byte each.
    Nibbles, planes 1, max 15, zero 8, |_s, x, _plane| *x
}

/// Whole bytes: what [`crate::PackedFormat::I8`] and [`crate::PackedFormat::Q8_0`] share.
macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident, planes $planes:expr, |$s:ident, $x:ident, $plane:ident| $next:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl Source for $name {
            type Acc<S: Simd> = S::W;
            #[inline(always)]
            fn planes<S: Simd>() -> usize {
                $planes
            }
            #[inline(always)]
            fn run<S: Simd>() -> usize {
                usize::MAX
            }
            #[inline(always)]
            fn next<S: Simd>($s: S, $x: &mut S::B, $plane: usize) -> S::B {
                $next
            }
            #[inline(always)]
            fn zero<S: Simd>() -> i32 {
                S::ZERO
            }
            #[inline(always)]
            fn start<S: Simd>(s: S, seed: S::I) -> S::W {
                s.start_bytes(seed)
            }
            #[inline(always)]
            fn dot<S: Simd>(s: S, acc: S::W, w: S::B, a: S::B) -> S::W {
                s.dot_bytes(acc, w, a)
            }
            #[inline(always)]
            fn finish<S: Simd>(s: S, acc: S::W, _: S::I) -> S::I {
                s.finish_bytes(acc)
            }
        }
    };
}

bytes! {
    /// Whole bytes as they are stored.
    Bytes, planes S::HALVES, |s, x, plane| s.widen(*x, plane)
}
bytes! {
    /// Whole bytes, expanded already.
    Wide, planes 1, |_s, x, _plane| *x
}

/// How floats are stored.
pub(crate) trait Float: Copy + Debug {
    /// Bytes of an element.
    const SIZE: usize;
    /// Loads a vector.
    ///
    /// # Safety
    /// A vector of elements can be read at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::F;
}

/// [`crate::PackedFormat::F32`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32;
/// [`crate::PackedFormat::F16`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct F16;
/// [`crate::PackedFormat::Bf16`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16;

impl Float for F32 {
    const SIZE: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::F {
        // SAFETY: the caller's promise.
        unsafe { s.load_floats(p.cast()) }
    }
}
impl Float for F16 {
    const SIZE: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::F {
        // SAFETY: the caller's promise.
        unsafe { s.load_f16(p.cast()) }
    }
}
impl Float for Bf16 {
    const SIZE: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::F {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16(p.cast()) }
    }
}
