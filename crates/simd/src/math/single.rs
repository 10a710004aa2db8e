//! The functions on `f32`.
//!
//! Range reductions and polynomials are in `f32` with fused multiply-adds where that stays below 2 units in the last place, and
//! in `f64` for the trigonometric functions and `pow`. The polynomials come from `tools/derive_coefficients.py`.

use super::coefficients::*;
use super::polynomial;
use super::reduce::{self, FAST_TRIG_LIMIT};

const NAN: f32 = f32::from_bits(0x7fc0_0000);

/// Adding this to a value below 2^22 rounds it to an integer, which then stands in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// The bits of sqrt(1/2), rounded down: significands are taken from there to sqrt(2).
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// The one NaN for any NaN, other values unchanged.
#[inline(always)]
fn canonical(y: f32) -> f32 {
    if y.is_nan() { NAN } else { y }
}

/// `x` held to `low..=high`; a NaN passes.
#[inline(always)]
fn hold(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `2^n` for an integer `n` in -126..=127.
#[inline(always)]
fn power_of_two(n: f32) -> f32 {
    f32::from_bits((n + MAGIC).to_bits().wrapping_add(127) << 23)
}

/// `2^n` as two factors for an integer `n` in -252..=254: multiplying by one after the other rounds at most once.
#[inline(always)]
fn split_power_of_two(n: f32) -> (f32, f32) {
    let half = n.mul_add(0.5, MAGIC) - MAGIC;
    (power_of_two(half), power_of_two(n - half))
}

/// `(n, w)` with `exp(x) = 2^n (1 + w)`, for a finite `|x|` below 2^20.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    let n = x.mul_add(LOG2_E_F32_HI, MAGIC) - MAGIC;
    let r = n.mul_add(-LN2_F32_LO, n.mul_add(-LN2_F32_HI, x));
    (n, (r * r).mul_add(polynomial!(EXP_F32, r), r))
}

/// `e^x`.
///
/// `x = n ln 2 + r` with a two-part ln 2, then `2^n (1 + (r + r^2 p(r)))`, `p` of degree 4. Scaling by two powers of two keeps
/// gradual underflow to one rounding.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (n, w) = exp_parts(hold(x, -104.0, 89.0));
    let (s, t) = split_power_of_two(n);
    canonical((1.0 + w) * s * t)
}

/// `2^x`.
///
/// `x = n + r`, exactly, then `2^n (1 + (r ln 2 + r q(r)))`, `q` of degree 5 with the rest of ln 2 as its constant.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let x = hold(x, -151.0, 129.0);
    let n = (x + MAGIC) - MAGIC;
    let r = x - n;
    let (s, t) = split_power_of_two(n);
    let w = r.mul_add(LN2_F32_HI, r * polynomial!(EXP2_F32, r));
    canonical((1.0 + w) * s * t)
}

/// `(e, f, g)` with `x = 2^e (1 + f)` and `log(1 + f) = f + g`, `1 + f` in sqrt(1/2)..sqrt(2), for a positive finite `x`.
#[inline(always)]
fn log_parts(x: f32) -> (f32, f32, f32) {
    let denormal = x < f32::MIN_POSITIVE;
    let bits = (if denormal { x * 8_388_608.0 } else { x }).to_bits();
    let biased = bits.wrapping_add(0x3f80_0000 - SQRT_HALF_BITS);
    let e = (biased >> 23) as i32 - if denormal { 150 } else { 127 };
    let f = f32::from_bits((biased & 0x007f_ffff) + SQRT_HALF_BITS) - 1.0;
    (e as f32, f, f * f * polynomial!(LOG_F32, f).mul_add(f, -0.5))
}

/// The special values of the logarithms, `y` elsewhere.
#[inline(always)]
fn log_special(x: f32, y: f32) -> f32 {
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { NAN }
}

/// The natural logarithm.
///
/// `x = 2^e (1 + f)`, then `e ln 2 + f + f^2 (-1/2 + f P(f))`, `P` of degree 8.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let (e, f, g) = log_parts(x);
    log_special(x, e.mul_add(LN2_F32_HI, f + e.mul_add(LN2_F32_LO, g)))
}

/// The logarithm to base 2: as [`log`], with the product `f / ln 2` kept in two pieces. Powers of two are exact.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    let (e, f, g) = log_parts(x);
    log_special(x, log_scaled(e, f, g, LOG2_E_F32_HI, LOG2_E_F32_LO, 0.0))
}

/// The logarithm to base 10: as [`log`], with `e log10(2)` and `f / ln 10` kept in two pieces each.
#[inline(always)]
pub fn log10(x: f32) -> f32 {
    let (e, f, g) = log_parts(x);
    let rest = e * LOG10_2_F32_LO;
    log_special(x, log_scaled(e * LOG10_2_F32_HI, f, g, LOG10_E_F32_HI, LOG10_E_F32_LO, rest))
}

/// `whole + (f + g) (scale_hi + scale_lo) + rest`, where `whole` is zero or at least as large as `f scale_hi`.
#[inline(always)]
fn log_scaled(whole: f32, f: f32, g: f32, scale_hi: f32, scale_lo: f32, rest: f32) -> f32 {
    let product = f * scale_hi;
    let product_lo = f.mul_add(scale_lo, f.mul_add(scale_hi, -product));
    let sum = whole + product;
    let sum_lo = product - (sum - whole);
    sum + (sum_lo + (g.mul_add(scale_hi, product_lo) + rest))
}

/// `1/sqrt(x)`: the correctly rounded root, then the correctly rounded quotient.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    canonical(1.0 / x.sqrt())
}

/// `1/x`, correctly rounded.
#[inline(always)]
pub fn rcp(x: f32) -> f32 {
    canonical(1.0 / x)
}

/// The square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    // Not `canonical(x.sqrt())`: LLVM folds that select into the bare instruction, whose NaN has its sign bit set on x86.
    let y = x.abs().sqrt().copysign(x);
    if x >= 0.0 { y } else { NAN }
}

/// `1/(1 + e^-x)`.
///
/// With `z = e^-|x|` as a sum of two, the result is `1/(1+z)` or `z/(1+z)`; one correction of the quotient takes in the low part
/// of `z` and of `1 + z`. So the tail `z` near underflow keeps the accuracy of the exponential.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let (n, w) = exp_parts(hold(-x.abs(), -104.0, 0.0));
    let (s, t) = split_power_of_two(n);
    let mantissa = 1.0 + w;
    let (z, z_lo) = (mantissa * s * t, (w - (mantissa - 1.0)) * s * t);
    let d = 1.0 + z;
    let d_lo = (z - (d - 1.0)) + z_lo;
    let (top, top_lo) = if x < 0.0 { (z, z_lo) } else { (1.0, 0.0) };
    let reciprocal = 1.0 / d;
    let quotient = top * reciprocal;
    let rest = quotient.mul_add(-d, top) + quotient.mul_add(-d_lo, top_lo);
    canonical(rest.mul_add(reciprocal, quotient))
}

/// The hyperbolic tangent.
///
/// Below 0.9 an odd polynomial of degree 15; beyond, `1 - 2/(e^(2|x|) + 1)`, where the quotient is small enough to hide its
/// errors.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let near = (a * z).mul_add(polynomial!(TANH_F32, z), a);
    let (n, w) = exp_parts(2.0 * hold(a, 0.0, 10.0));
    let far = 1.0 - 2.0 / (1.0 + (1.0 + w) * power_of_two(n));
    canonical((if a < 0.9 { near } else { far }).copysign(x))
}

/// The error function.
///
/// Below 1, `x + x P(x^2)`; beyond, `1 - exp(Q(|x| - 1))`, where `Q` fits the logarithm of the complement.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let near = a.mul_add(polynomial!(ERF_F32, z), a);
    let u = hold(a, 1.0, 4.0) - 1.0;
    let (n, w) = exp_parts(polynomial!(ERFC_F32, u));
    let far = 1.0 - (1.0 + w) * power_of_two(n);
    canonical((if a < 1.0 { near } else { far }).copysign(x))
}

/// Whether `x` is finite and outside the range of [`sin_fast`].
#[inline(always)]
pub fn sin_needs_wide(x: f32) -> bool {
    x.abs() >= FAST_TRIG_LIMIT as f32 && x.is_finite()
}

/// Whether `x` is finite and outside the range of [`cos_fast`].
#[inline(always)]
pub fn cos_needs_wide(x: f32) -> bool {
    sin_needs_wide(x)
}

/// Whether `x` is finite and outside the range of [`tan_fast`].
#[inline(always)]
pub fn tan_needs_wide(x: f32) -> bool {
    sin_needs_wide(x)
}

/// `(sin r, cos r)` for `|r|` up to pi/4, in double precision, errors near 2^-37.
#[inline(always)]
fn sin_cos(r: f64) -> (f64, f64) {
    let z = r * r;
    // The product form keeps the sign of a zero.
    let sin = r * z.mul_add(polynomial!(SIN_F32, z), 1.0);
    let cos = (z * z).mul_add(polynomial!(COS_F32, z), z.mul_add(-0.5, 1.0));
    (sin, cos)
}

/// The sine of `quadrant pi/2 + r`.
#[inline(always)]
fn sin_of(quadrant: u64, r: f64) -> f32 {
    let (sin, cos) = sin_cos(r);
    let y = if quadrant & 1 == 0 { sin } else { cos };
    canonical((if quadrant & 2 == 0 { y } else { -y }) as f32)
}

/// The tangent of `quadrant pi/2 + r`.
#[inline(always)]
fn tan_of(quadrant: u64, r: f64) -> f32 {
    let (sin, cos) = sin_cos(r);
    let (top, bottom) = if quadrant & 1 == 0 { (sin, cos) } else { (-cos, sin) };
    canonical((top / bottom) as f32)
}

/// [`reduce::wide`] to one double, which is enough for a single.
#[inline(always)]
fn wide_single(x: f32) -> (u64, f64) {
    let reduced = reduce::wide(f64::from(x));
    (reduced.quadrant, reduced.hi)
}

/// [`sin`] where [`sin_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn sin_fast(x: f32) -> f32 {
    let (quadrant, r) = reduce::fast_single(f64::from(x));
    sin_of(quadrant, r)
}

/// [`cos`] where [`cos_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn cos_fast(x: f32) -> f32 {
    let (quadrant, r) = reduce::fast_single(f64::from(x));
    sin_of(quadrant.wrapping_add(1), r)
}

/// [`tan`] where [`tan_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn tan_fast(x: f32) -> f32 {
    let (quadrant, r) = reduce::fast_single(f64::from(x));
    tan_of(quadrant, r)
}

/// The sine. Reduction and polynomials in double precision; see [`sin_fast`] for the part that vectorises.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    if sin_needs_wide(x) {
        let (quadrant, r) = wide_single(x);
        sin_of(quadrant, r)
    } else {
        sin_fast(x)
    }
}

/// The cosine. Reduction and polynomials in double precision; see [`cos_fast`] for the part that vectorises.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    if cos_needs_wide(x) {
        let (quadrant, r) = wide_single(x);
        sin_of(quadrant.wrapping_add(1), r)
    } else {
        cos_fast(x)
    }
}

/// The tangent, as a quotient of sine and cosine in double precision; see [`tan_fast`] for the part that vectorises.
#[inline(always)]
pub fn tan(x: f32) -> f32 {
    if tan_needs_wide(x) {
        let (quadrant, r) = wide_single(x);
        tan_of(quadrant, r)
    } else {
        tan_fast(x)
    }
}

/// `x^y`, with the special values of C99 (`pow(x, 0) = pow(1, y) = 1` even for a NaN).
///
/// In double precision: `log2|x| = e + s L(s^2)` with `s = (m-1)/(m+1)`, then `2^(y log2|x|)`, rounded to single once.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    let a = f64::from(x.abs());
    // Every finite single but zero is a normal double.
    let biased = a.to_bits().wrapping_add(super::double::ONE_BITS - super::double::SQRT_HALF_BITS);
    let e = super::double::exponent_of(biased, 1023.0);
    let m = super::double::significand_of(biased);
    let s = (m - 1.0) / (m + 1.0);
    let log = s.mul_add(polynomial!(POW_LOG2, s * s), e);
    let log = if a == 0.0 { f64::NEG_INFINITY } else { log };
    let log = if a == f64::INFINITY { a } else { log };
    // 1 to any power, infinity included, is 1.
    let exponent = if log == 0.0 { 0.0 } else { f64::from(y) * log };
    let exponent = super::double::hold(exponent, -200.0, 200.0);
    let n = (exponent + reduce::MAGIC) - reduce::MAGIC;
    let r = exponent - n;
    let power = (r.mul_add(polynomial!(POW_EXP2, r), 1.0) * super::double::power_of_two(n)) as f32;

    let whole = y.floor() == y;
    let odd = whole && (0.5 * y).floor() != 0.5 * y;
    let signed = if odd && x.is_sign_negative() { -power } else { power };
    let no_real = x < 0.0 && x > f32::NEG_INFINITY && !whole;
    let z = if no_real || x.is_nan() || y.is_nan() { NAN } else { signed };
    if x == 1.0 || y == 0.0 { 1.0 } else { z }
}
