//! The transcendental functions of the instruction set, defined once.
//!
//! [`single`] holds them for `f32`, [`double`] for `f64`. Each is a fixed sequence of correctly rounded operations (`+ - * /`,
//! fused multiply-add, square root), integer operations on the bits, and selects; so it gives the same bits on every machine and
//! in every vector width. The functions are branch-free, except that `sin`, `cos` and `tan` leave the fast sequence above
//! [`FAST_TRIG_LIMIT`]; `*_fast` and [`single::sin_needs_wide`] and its kin split the two. The polynomials' coefficients are
//! derived by `tools/derive_coefficients.py`; `tools/check_vectorised.py` checks that loops over lanes become packed code.
//!
//! Where a machine has no fused multiply-add instruction, `mul_add` and `floor` are calls to the runtime's versions; these are
//! correctly rounded, so that costs time and changes no bit.
//!
//! # Measured errors
//!
//! In units in the last place of the true result. `f32`: over all 2^32 inputs, by the example `prove_math`; `f64`: over the vectors of `tests/data/f64_vectors.csv`, which hold the arguments
//! closest to a multiple of pi/2, by `cargo test -p phalanx-simd --test accuracy -- --nocapture`.
//!
//! | function | `f32` | bound | `f64` | bound |
//! |---|---|---|---|---|
//! | `exp` | 1.02 | 2 | 0.70 | 4 |
//! | `exp2` | 0.86 | 2 | 0.83 | 4 |
//! | `log` | 0.90 | 2 | 0.50 | 4 |
//! | `log2` | 1.10 | 2 | 0.50 | 4 |
//! | `log10` | 0.96 | 2 | 0.50 | 4 |
//! | `rsqrt` | 1.50 | 2 | 1.45 | 4 |
//! | `rcp`, `sqrt` | 0.50 | 0.5 | 0.50 | 0.5 |
//! | `sin`, `cos` | 0.51 | 2 | 0.62 | 4 |
//! | `tan` | 0.51 | 2 | 1.38 | 4 |
//! | `tanh` | 1.00 | 2 | 2.41 | 4 |
//! | `sigmoid` | 1.01 | 2 | 0.84 | 4 |
//! | `erf` | 1.15 | 2 | 0.71 | 4 |
//! | `pow` (200 000 pairs in `f32`) | 0.51 | 4 | 0.73 | 4 |
//!
//! # Special values
//!
//! A NaN result is always the one NaN of its type, `0x7fc0_0000` or `0x7ff8_0000_0000_0000`. Special values follow C99 annex F.

mod coefficients;
pub mod double;
mod reduce;
pub mod single;

pub use reduce::FAST_TRIG_LIMIT;

/// A row of a function table: name, function, and the bound on its error in units in the last place of the true result.
pub type Row<T> = (&'static str, fn(T) -> T, f64);

/// Calls `$callback! { name f32_bound f64_bound; ... }` with every function of one argument: its name in [`single`] and
/// [`double`], and the bounds on its error in units in the last place. The one list that tables, tests and provers expand.
///
/// `for_each_unary!(callback: tokens)` passes `(tokens)` before the rows.
#[macro_export]
macro_rules! for_each_unary {
    ($callback:ident $(: $($tokens:tt)+)?) => {
        $callback! {
            $(($($tokens)+))?
            exp 2.0 4.0;
            exp2 2.0 4.0;
            log 2.0 4.0;
            log2 2.0 4.0;
            log10 2.0 4.0;
            rsqrt 2.0 4.0;
            rcp 0.5 0.5;
            sqrt 0.5 0.5;
            sin 2.0 4.0;
            cos 2.0 4.0;
            tan 2.0 4.0;
            tanh 2.0 4.0;
            sigmoid 2.0 4.0;
            erf 2.0 4.0;
        }
    };
}

macro_rules! tables {
    ($($name:ident $single:literal $double:literal;)+) => {
        /// Every function of one `f32`, with its error bound.
        pub const UNARY_F32: &[Row<f32>] = &[$((stringify!($name), single::$name, $single),)+];

        /// Every function of one `f64`, with its error bound.
        pub const UNARY_F64: &[Row<f64>] = &[$((stringify!($name), double::$name, $double),)+];
    };
}
for_each_unary!(tables);

/// The bound on the error of [`single::pow`] and of [`double::pow`], in units in the last place.
pub const POW_BOUND: f64 = 4.0;

/// `c[0] + c[1] x + c[2] x^2 + ...` in fused multiply-adds: Horner's rule in `x^2` for the even and for the odd powers, which
/// halves the chain of dependent operations. The trip counts are constant, so the loops unroll.
macro_rules! polynomial {
    ($coefficients:expr, $x:expr) => {{
        let (c, x) = (&$coefficients, $x);
        let square = x * x;
        let (mut i, mut next, mut last) = (c.len() - 2, c[c.len() - 1], c[c.len() - 2]);
        // `next` belongs to the power above that of `last`.
        while i >= 2 {
            i -= 2;
            next = next.mul_add(square, c[i + 1]);
            last = last.mul_add(square, c[i]);
        }
        if i == 1 { next.mul_add(x, last).mul_add(x, c[0]) } else { next.mul_add(x, last) }
    }};
}
pub(crate) use polynomial;
