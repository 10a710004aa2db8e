//! Half-precision formats as raw bits: `f16` (IEEE binary16) and `bf16` (the upper half of an `f32`), each in a `u16`.
//!
//! Every conversion rounds once, to nearest with ties to even, whatever the source; overflow gives infinity, denormals are
//! exact, and any NaN becomes the one NaN of the target type ([`F16_NAN`], [`BF16_NAN`], `0x7fc0_0000`). All are branch-free, so
//! that a loop over lanes vectorises.

/// The one NaN of `f16`.
pub const F16_NAN: u16 = 0x7e00;
/// The one NaN of `bf16`.
pub const BF16_NAN: u16 = 0x7fc0;

/// The value of an `f16`, exactly.
#[inline(always)]
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let magnitude = u32::from(h & 0x7fff) << 13;
    // Re-bias the exponent by 127 - 15. A denormal has no hidden bit: give it one at 2^-14, then subtract 2^-14, exactly.
    let normal = magnitude + (112 << 23);
    let denormal = (f32::from_bits(magnitude + (113 << 23)) - f32::from_bits(113 << 23)).to_bits();
    let finite = if magnitude < (1 << 23) { denormal } else { normal };
    let signed = sign | if magnitude >= (31 << 23) { 0x7f80_0000 } else { finite };
    f32::from_bits(if magnitude > (31 << 23) { 0x7fc0_0000 } else { signed })
}

/// The nearest `f16`, ties to even.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    // Normal: re-bias (wrapping below 2^-14, where the other value is selected), then round the 13 dropped bits to nearest even.
    // A carry runs into the exponent, and from the largest finite value into infinity, as it should.
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Below 2^-14: adding 1/2 puts the last place at 2^-24, the unit of f16's denormals, and lets the addition round.
    let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < (113 << 23) { denormal } else { normal };
    let bounded = sign | if magnitude >= (143 << 23) { 0x7c00 } else { finite };
    (if magnitude > 0x7f80_0000 { u32::from(F16_NAN) } else { bounded }) as u16
}

/// The value of a `bf16`, exactly.
#[inline(always)]
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(if h & 0x7fff > 0x7f80 { 0x7fc0_0000 } else { u32::from(h) << 16 })
}

/// The nearest `bf16`, ties to even.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { u32::from(BF16_NAN) } else { rounded }) as u16
}

/// `x` as an `f32`, rounded to odd: exact where possible, else the neighbour whose last bit is set.
///
/// A later rounding to a format that is at least two bits narrower then gives what rounding `x` itself would, since the set bit
/// keeps the value off every tie and on the right side of it. A NaN stays a NaN.
#[inline(always)]
fn f64_to_f32_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    let bits = nearest.to_bits();
    // Moving the bits by one moves the magnitude by one place, over infinity and zero too.
    let odd = if back.abs() > x.abs() { bits.wrapping_sub(1) } else { bits.wrapping_add(1) };
    let inexact_even = back != x && bits & 1 == 0 && !x.is_nan();
    f32::from_bits(if inexact_even { odd } else { bits })
}

/// The nearest `f16` to an `f64`, rounded once.
#[inline(always)]
pub fn f64_to_f16(x: f64) -> u16 {
    f32_to_f16(f64_to_f32_odd(x))
}

/// The nearest `bf16` to an `f64`, rounded once.
#[inline(always)]
pub fn f64_to_bf16(x: f64) -> u16 {
    f32_to_bf16(f64_to_f32_odd(x))
}

/// `x` as an `f64`, rounded to odd where it has more than 53 bits.
#[inline(always)]
fn u64_to_f64_odd(x: u64) -> f64 {
    // Fold the low 11 bits into bit 11: at most 53 bits remain and the cast is exact.
    let folded = (x | u64::from(x & 0x7ff != 0) << 11) & !0x7ff;
    (if x >> 53 != 0 { folded } else { x }) as f64
}

/// `x` as an `f64`, rounded to odd where it has more than 53 bits.
#[inline(always)]
fn i64_to_f64_odd(x: i64) -> f64 {
    let magnitude = u64_to_f64_odd(x.unsigned_abs());
    if x < 0 { -magnitude } else { magnitude }
}

/// The nearest `f16` to an integer, rounded once; infinity from 65520 on.
#[inline(always)]
pub fn u64_to_f16(x: u64) -> u16 {
    f64_to_f16(u64_to_f64_odd(x))
}

/// The nearest `f16` to an integer, rounded once; infinity from a magnitude of 65520 on.
#[inline(always)]
pub fn i64_to_f16(x: i64) -> u16 {
    f64_to_f16(i64_to_f64_odd(x))
}

/// The nearest `f16` to an integer, rounded once; infinity from 65520 on.
#[inline(always)]
pub fn u32_to_f16(x: u32) -> u16 {
    f64_to_f16(f64::from(x))
}

/// The nearest `f16` to an integer, rounded once; infinity from a magnitude of 65520 on.
#[inline(always)]
pub fn i32_to_f16(x: i32) -> u16 {
    f64_to_f16(f64::from(x))
}

/// The nearest `bf16` to an integer, rounded once.
#[inline(always)]
pub fn u64_to_bf16(x: u64) -> u16 {
    f64_to_bf16(u64_to_f64_odd(x))
}

/// The nearest `bf16` to an integer, rounded once.
#[inline(always)]
pub fn i64_to_bf16(x: i64) -> u16 {
    f64_to_bf16(i64_to_f64_odd(x))
}

/// The nearest `bf16` to an integer, rounded once.
#[inline(always)]
pub fn u32_to_bf16(x: u32) -> u16 {
    f64_to_bf16(f64::from(x))
}

/// The nearest `bf16` to an integer, rounded once.
#[inline(always)]
pub fn i32_to_bf16(x: i32) -> u16 {
    f64_to_bf16(f64::from(x))
}

/// The nearest `f32` to an integer, rounded once (as the language's own cast).
#[inline(always)]
pub fn u64_to_f32(x: u64) -> f32 {
    x as f32
}

/// The nearest `f32` to an integer, rounded once (as the language's own cast).
#[inline(always)]
pub fn i64_to_f32(x: i64) -> f32 {
    x as f32
}

/// The nearest `f32` to an integer, rounded once (as the language's own cast).
#[inline(always)]
pub fn u32_to_f32(x: u32) -> f32 {
    x as f32
}

/// The nearest `f32` to an integer, rounded once (as the language's own cast).
#[inline(always)]
pub fn i32_to_f32(x: i32) -> f32 {
    x as f32
}
