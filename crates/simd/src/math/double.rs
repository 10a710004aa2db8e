//! The functions on `f64`. The polynomials come from `tools/derive_coefficients.py`.

use super::coefficients::*;
use super::polynomial;
use super::reduce::{self, FAST_TRIG_LIMIT, MAGIC, Reduced};

const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// The bits of 1.
pub(super) const ONE_BITS: u64 = 0x3ff0_0000_0000_0000;

/// The bits of sqrt(1/2), rounded down: significands are taken from there to sqrt(2).
pub(super) const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcc;

/// The one NaN for any NaN, other values unchanged.
#[inline(always)]
fn canonical(y: f64) -> f64 {
    if y.is_nan() { NAN } else { y }
}

/// `x` held to `low..=high`; a NaN passes.
#[inline(always)]
pub(super) fn hold(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `2^n` for an integer `n` in -1022..=1023.
#[inline(always)]
pub(super) fn power_of_two(n: f64) -> f64 {
    f64::from_bits((n + MAGIC).to_bits().wrapping_add(1023) << 52)
}

/// `2^n` as two factors for an integer `n` in -2044..=2046: multiplying by one after the other rounds at most once.
#[inline(always)]
fn split_power_of_two(n: f64) -> (f64, f64) {
    let half = n.mul_add(0.5, MAGIC) - MAGIC;
    (power_of_two(half), power_of_two(n - half))
}

/// The exponent field of the bits less `bias`, without a conversion from 64-bit integers, which AVX2 lacks.
#[inline(always)]
pub(super) fn exponent_of(bits: u64, bias: f64) -> f64 {
    // 2^52 with the field in its low bits.
    f64::from_bits((bits >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + bias)
}

/// The significand in sqrt(1/2)..sqrt(2) of bits that were offset by `ONE_BITS - SQRT_HALF_BITS`.
#[inline(always)]
pub(super) fn significand_of(biased: u64) -> f64 {
    f64::from_bits((biased & 0x000f_ffff_ffff_ffff) + SQRT_HALF_BITS)
}

/// `(n, w)` with `exp(x) = 2^n (1 + w)`, for a finite `|x|` below 2^40.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, f64) {
    let n = x.mul_add(LOG2_E_F64_HI, MAGIC) - MAGIC;
    let r = n.mul_add(-LN2_F64_LO, n.mul_add(-LN2_F64_HI, x));
    (n, (r * r).mul_add(polynomial!(EXP_F64, r), r))
}

/// `e^x`.
///
/// `x = n ln 2 + r` with a two-part ln 2, then `2^n (1 + (r + r^2 p(r)))`, `p` of degree 9. Scaling by two powers of two keeps
/// gradual underflow to one rounding.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let (n, w) = exp_parts(hold(x, -746.0, 710.0));
    let (s, t) = split_power_of_two(n);
    canonical((1.0 + w) * s * t)
}

/// `2^x`.
///
/// `x = n + r`, exactly, then `2^n (1 + r q(r))`, `q` of degree 11.
#[inline(always)]
pub fn exp2(x: f64) -> f64 {
    let x = hold(x, -1080.0, 1025.0);
    let n = (x + MAGIC) - MAGIC;
    let r = x - n;
    let (s, t) = split_power_of_two(n);
    canonical(r.mul_add(polynomial!(EXP2_F64, r), 1.0) * s * t)
}

/// `(e, f)` with `x = 2^e (1 + f)`, `1 + f` in sqrt(1/2)..sqrt(2), for a positive finite `x`.
#[inline(always)]
fn log_split(x: f64) -> (f64, f64) {
    let denormal = x < f64::MIN_POSITIVE;
    let bits = (if denormal { x * 18_014_398_509_481_984.0 } else { x }).to_bits();
    let biased = bits.wrapping_add(ONE_BITS - SQRT_HALF_BITS);
    let e = exponent_of(biased, 1023.0) - if denormal { 54.0 } else { 0.0 };
    (e, significand_of(biased) - 1.0)
}

/// `(h, t)` with `log(1 + f) = f - (h - t)`, `h` near `f^2/2` and `t` smaller.
///
/// With `s = f/(2+f)`, `log(1+f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 R(s^2))`.
#[inline(always)]
fn log_tail(f: f64) -> (f64, f64) {
    let s = f / (2.0 + f);
    let z = s * s;
    let h = 0.5 * f * f;
    (h, s * z.mul_add(polynomial!(LOG_F64, z), h))
}

/// The special values of the logarithms, `y` elsewhere.
#[inline(always)]
fn log_special(x: f64, y: f64) -> f64 {
    let y = if x == f64::INFINITY { x } else { y };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { NAN }
}

/// The natural logarithm.
///
/// `x = 2^e (1 + f)`, then `e ln 2 + f - f^2/2 + s (f^2/2 + z R(z))` with `s = f/(2+f)`, `z = s^2`, `R` of degree 6.
#[inline(always)]
pub fn log(x: f64) -> f64 {
    let (e, f) = log_split(x);
    let (h, t) = log_tail(f);
    let y = e.mul_add(LN2_SHORT_F64_HI, f - (h - e.mul_add(LN2_SHORT_F64_LO, t)));
    log_special(x, y)
}

/// `whole + log(1 + f) (scale_hi + scale_lo) + rest`, where `whole` is zero or at least as large as `f scale_hi`.
#[inline(always)]
fn log_scaled(whole: f64, f: f64, scale_hi: f64, scale_lo: f64, rest: f64) -> f64 {
    let (h, t) = log_tail(f);
    // log(1 + f) as hi + lo.
    let hi = f - h;
    let lo = (f - hi) - h + t;
    let product = hi * scale_hi;
    let product_lo = hi.mul_add(scale_lo, hi.mul_add(scale_hi, -product));
    let sum = whole + product;
    let sum_lo = product - (sum - whole);
    sum + (sum_lo + (lo.mul_add(scale_hi, product_lo) + rest))
}

/// The logarithm to base 2: as [`log`], with `log(1 + f) / ln 2` kept in two pieces. Powers of two are exact.
#[inline(always)]
pub fn log2(x: f64) -> f64 {
    let (e, f) = log_split(x);
    log_special(x, log_scaled(e, f, LOG2_E_F64_HI, LOG2_E_F64_LO, 0.0))
}

/// The logarithm to base 10: as [`log`], with `e log10(2)` and `log(1 + f) / ln 10` kept in two pieces each.
#[inline(always)]
pub fn log10(x: f64) -> f64 {
    let (e, f) = log_split(x);
    let y = log_scaled(e * LOG10_2_F64_HI, f, LOG10_E_F64_HI, LOG10_E_F64_LO, e * LOG10_2_F64_LO);
    log_special(x, y)
}

/// `1/sqrt(x)`: the correctly rounded root, then the correctly rounded quotient.
#[inline(always)]
pub fn rsqrt(x: f64) -> f64 {
    canonical(1.0 / x.sqrt())
}

/// `1/x`, correctly rounded.
#[inline(always)]
pub fn rcp(x: f64) -> f64 {
    canonical(1.0 / x)
}

/// The square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f64) -> f64 {
    // Not `canonical(x.sqrt())`: LLVM folds that select into the bare instruction, whose NaN has its sign bit set on x86.
    let y = x.abs().sqrt().copysign(x);
    if x >= 0.0 { y } else { NAN }
}

/// `1/(1 + e^-x)`.
///
/// With `z = e^-|x|` as a sum of two, the result is `1/(1+z)` or `z/(1+z)`; one correction of the quotient takes in the low part
/// of `z` and of `1 + z`. So the tail `z` near underflow keeps the accuracy of the exponential.
#[inline(always)]
pub fn sigmoid(x: f64) -> f64 {
    let (n, w) = exp_parts(hold(-x.abs(), -746.0, 0.0));
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
/// `-m/(2 + m)` with `m = e^(-2|x|) - 1 = 2^n w + (2^n - 1)`, accurate near zero as no cancellation occurs there.
#[inline(always)]
pub fn tanh(x: f64) -> f64 {
    let (n, w) = exp_parts(-2.0 * hold(x.abs(), 0.0, 22.0));
    let s = power_of_two(n);
    let m = s.mul_add(w, s - 1.0);
    canonical((m / (2.0 + m)).copysign(x))
}

/// The error function.
///
/// Below 1, `x + x P(x^2)`; beyond, `1 - exp(Q(|x| - 1))`, where `Q` fits the logarithm of the complement.
#[inline(always)]
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    let z = a * a;
    let near = a.mul_add(polynomial!(ERF_F64, z), a);
    let u = hold(a, 1.0, 6.0) - 1.0;
    let (n, w) = exp_parts(polynomial!(ERFC_F64, u));
    let far = 1.0 - (1.0 + w) * power_of_two(n);
    canonical((if a < 1.0 { near } else { far }).copysign(x))
}

/// Whether `x` is finite and outside the range of [`sin_fast`].
#[inline(always)]
pub fn sin_needs_wide(x: f64) -> bool {
    x.abs() >= FAST_TRIG_LIMIT && x.is_finite()
}

/// Whether `x` is finite and outside the range of [`cos_fast`].
#[inline(always)]
pub fn cos_needs_wide(x: f64) -> bool {
    sin_needs_wide(x)
}

/// Whether `x` is finite and outside the range of [`tan_fast`].
#[inline(always)]
pub fn tan_needs_wide(x: f64) -> bool {
    sin_needs_wide(x)
}

/// `(sin r, cos r)` for `r = hi + lo`, `|r|` up to pi/4.
#[inline(always)]
fn sin_cos(hi: f64, lo: f64) -> (f64, f64) {
    let z = hi * hi;
    let half = 0.5 * z;
    let sin = hi + (hi * z).mul_add(polynomial!(SIN_F64, z), lo.mul_add(-half, lo));
    let head = 1.0 - half;
    let cos = head + (((1.0 - head) - half) + (z * z).mul_add(polynomial!(COS_F64, z), -hi * lo));
    (sin, cos)
}

/// The sine of a reduced argument.
#[inline(always)]
fn sin_of(r: Reduced) -> f64 {
    let (sin, cos) = sin_cos(r.hi, r.lo);
    let y = if r.quadrant & 1 == 0 { sin } else { cos };
    canonical(if r.quadrant & 2 == 0 { y } else { -y })
}

/// The cosine of a reduced argument.
#[inline(always)]
fn cos_of(r: Reduced) -> f64 {
    sin_of(Reduced { quadrant: r.quadrant.wrapping_add(1), ..r })
}

/// The tangent of a reduced argument.
#[inline(always)]
fn tan_of(r: Reduced) -> f64 {
    let (sin, cos) = sin_cos(r.hi, r.lo);
    let (top, bottom) = if r.quadrant & 1 == 0 { (sin, cos) } else { (-cos, sin) };
    canonical(top / bottom)
}

/// [`sin`] where [`sin_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn sin_fast(x: f64) -> f64 {
    let y = sin_of(reduce::fast(x));
    // The sums above lose the sign of a zero.
    if x == 0.0 { x } else { y }
}

/// [`cos`] where [`cos_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn cos_fast(x: f64) -> f64 {
    cos_of(reduce::fast(x))
}

/// [`tan`] where [`tan_needs_wide`] is false: the same bits, without a branch.
#[inline(always)]
pub fn tan_fast(x: f64) -> f64 {
    let y = tan_of(reduce::fast(x));
    // The sums above lose the sign of a zero.
    if x == 0.0 { x } else { y }
}

/// The sine. See [`sin_fast`] for the part that vectorises.
#[inline(always)]
pub fn sin(x: f64) -> f64 {
    if sin_needs_wide(x) { sin_of(reduce::wide(x)) } else { sin_fast(x) }
}

/// The cosine. See [`cos_fast`] for the part that vectorises.
#[inline(always)]
pub fn cos(x: f64) -> f64 {
    if cos_needs_wide(x) { cos_of(reduce::wide(x)) } else { cos_fast(x) }
}

/// The tangent, as a quotient of sine and cosine. See [`tan_fast`] for the part that vectorises.
#[inline(always)]
pub fn tan(x: f64) -> f64 {
    if tan_needs_wide(x) { tan_of(reduce::wide(x)) } else { tan_fast(x) }
}

/// `(a + b)` as a rounded sum and its error, for `|a| >= |b|` or `a = 0`.
#[inline(always)]
fn fast_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// The product of two unevaluated sums.
#[inline(always)]
fn mul_pairs(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let hi = a.0 * b.0;
    let lo = a.0.mul_add(b.0, -hi) + a.0.mul_add(b.1, a.1 * b.0);
    fast_two_sum(hi, lo)
}

/// `log2(x)` as an unevaluated sum with a relative error near 2^-66, for a positive finite `x`.
///
/// `2 atanh(s) / ln 2` with `s = f/(2+f)`; `s`, `s^2/3` and the products are sums of two doubles, the rest of the series
/// (2^-12 of the whole at most) is one double.
#[inline(always)]
fn log2_pair(x: f64) -> (f64, f64) {
    let (e, f) = log_split(x);
    let (d, d_lo) = fast_two_sum(2.0, f);
    let s = f / d;
    let s = (s, s.mul_add(-d_lo, s.mul_add(-d, f)) / d);
    let z = mul_pairs(s, s);
    let tail = z.0 * z.0 * polynomial!(POW_LOG_TAIL, z.0);
    let third = mul_pairs(z, (THIRD_F64_HI, THIRD_F64_LO));
    let series = fast_two_sum(third.0, third.1 + tail);
    let correction = mul_pairs(s, series);
    let (sum, sum_lo) = fast_two_sum(s.0, correction.0);
    let half_log = (sum, sum_lo + (s.1 + correction.1));
    let fraction = mul_pairs(half_log, (2.0 * LOG2_E_F64_HI, 2.0 * LOG2_E_F64_LO));
    let (whole, whole_lo) = fast_two_sum(e, fraction.0);
    fast_two_sum(whole, whole_lo + fraction.1)
}

/// `x^y`, with the special values of C99 (`pow(x, 0) = pow(1, y) = 1` even for a NaN).
///
/// `log2|x|` as a sum of two doubles, times `y` likewise, then `2^t` with the polynomial of [`exp2`].
#[inline(always)]
pub fn pow(x: f64, y: f64) -> f64 {
    let a = x.abs();
    let log = log2_pair(a);
    let log_hi = if a == 0.0 { f64::NEG_INFINITY } else { log.0 };
    let log_hi = if a == f64::INFINITY { a } else { log_hi };
    // 1 to any power, infinity included, is 1.
    let product = if log_hi == 0.0 { 0.0 } else { y * log_hi };
    let product_lo = y.mul_add(log.1, y.mul_add(log_hi, -product));
    let t = hold(product, -1080.0, 1025.0);
    // Beyond the ends the low part may be anything, and counts for nothing.
    let t_lo = if t == product { product_lo } else { 0.0 };
    let n = (t + MAGIC) - MAGIC;
    let r = (t - n) + t_lo;
    let (u, v) = split_power_of_two(n);
    let power = r.mul_add(polynomial!(EXP2_F64, r), 1.0) * u * v;
    let power = if log_hi == 0.0 { 1.0 } else { power };

    let whole = y.floor() == y;
    let odd = whole && (0.5 * y).floor() != 0.5 * y;
    let signed = if odd && x.is_sign_negative() { -power } else { power };
    let no_real = x < 0.0 && x > f64::NEG_INFINITY && !whole;
    let z = if no_real || x.is_nan() || y.is_nan() { NAN } else { signed };
    if x == 1.0 || y == 0.0 { 1.0 } else { z }
}
