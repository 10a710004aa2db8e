//! What every SIMD level shares: the list of levels and their detection ([`tier`]), half-precision conversions ([`half`]) and
//! the one definition of the transcendental functions ([`math`]).
//!
//! Nothing here is written with intrinsics. The functions are plain scalar code, `#[inline(always)]` and free of data-dependent
//! branches, so that a loop over lanes inside a `#[target_feature]` function becomes packed instructions of that level. Each is
//! a fixed sequence of correctly rounded operations; hence the same bits on every level, which is what lets one level check
//! another. No function of the platform's math library is called: those differ between platforms.
#![forbid(unsafe_code)]

pub mod half;
pub mod math;
pub mod tier;

pub use tier::Tier;
