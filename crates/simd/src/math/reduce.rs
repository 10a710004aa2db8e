//! Reduction of trigonometric arguments to `x = q pi/2 + r`, `|r|` at most a little over pi/4.

use super::coefficients::{PI_2_F64_HI, PI_2_F64_LO, PI_2_F64_LO2, TWO_OVER_PI, TWO_OVER_PI_F64};

/// `sin`, `cos` and `tan` take the fast reduction below this magnitude (2^30), and multiply by a long 2/pi from it on.
pub const FAST_TRIG_LIMIT: f64 = 1_073_741_824.0;

/// Adding this to a value below 2^51 rounds it to an integer, which then stands in the low bits.
pub(super) const MAGIC: f64 = 6_755_399_441_055_744.0;

/// A reduced argument: the quadrant (only the low two bits count) and the rest as an unevaluated sum.
#[derive(Clone, Copy)]
pub(super) struct Reduced {
    pub quadrant: u64,
    pub hi: f64,
    pub lo: f64,
}

/// The reduction below [`FAST_TRIG_LIMIT`]: three-part pi/2 (Cody and Waite) with fused multiply-adds.
///
/// `x - n HI` is exact: both are multiples of the smaller last place, and the difference is below 1. The product with the second
/// part is kept in two pieces; what is lost is about `n 2^-161`, while no double below the limit comes closer than 2^-62 to a
/// multiple of pi/2. An infinity or NaN gives NaN.
#[inline(always)]
pub(super) fn fast(x: f64) -> Reduced {
    let shifted = x.mul_add(TWO_OVER_PI_F64, MAGIC);
    let n = shifted - MAGIC;
    let head = n.mul_add(-PI_2_F64_HI, x);
    let product = n * PI_2_F64_LO;
    let product_lo = n.mul_add(PI_2_F64_LO, -product);
    let hi = head - product;
    // The error of that subtraction, exact whichever operand is larger.
    let virtual_product = head - hi;
    let error = (head - (hi + virtual_product)) + (virtual_product - product);
    let lo = n.mul_add(-PI_2_F64_LO2, error - product_lo);
    // Renormalise: after cancellation `lo` may carry bits of `hi`.
    let sum = hi + lo;
    Reduced { quadrant: shifted.to_bits(), hi: sum, lo: lo - (sum - hi) }
}

/// The reduction below [`FAST_TRIG_LIMIT`] of an `f32` argument: one double is enough, as no `f32` comes closer than about 2^-30
/// to a multiple of pi/2.
#[inline(always)]
pub(super) fn fast_single(x: f64) -> (u64, f64) {
    let shifted = x.mul_add(TWO_OVER_PI_F64, MAGIC);
    let n = shifted - MAGIC;
    (shifted.to_bits(), n.mul_add(-PI_2_F64_LO, n.mul_add(-PI_2_F64_HI, x)))
}

/// The reduction of any finite `|x| >= 1` (Payne and Hanek): the 53-bit significand times the 192 bits of 2/pi that matter.
///
/// Bits of 2/pi whose product with the significand is a multiple of 4 quadrants are skipped; the 192 that follow leave the
/// fraction with an error of 2^-137, against at least 2^-62 for the closest double to a multiple of pi/2.
#[cold]
#[inline(never)]
pub(super) fn wide(x: f64) -> Reduced {
    let bits = x.to_bits();
    let significand = (bits & ((1 << 52) - 1)) | 1 << 52;
    // |x| = significand * 2^exponent, exponent in -52..=971.
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1075;
    // The table starts with 64 zeros, so the first wanted bit (of weight 2^(2 - exponent)) has an index that is not negative.
    let start = (exponent + 62) as usize;
    let (word, shift) = (start / 64, start % 64);
    let window = |i: usize| {
        let pair = u128::from(TWO_OVER_PI[word + i]) << 64 | u128::from(TWO_OVER_PI[word + i + 1]);
        (pair >> (64 - shift)) as u64
    };
    // The product modulo 2^192, that is modulo 4 quadrants with 190 fraction bits.
    let m = u128::from(significand);
    let low = m * u128::from(window(2));
    let middle = m * u128::from(window(1)) + (low >> 64);
    let high = significand.wrapping_mul(window(0)).wrapping_add((middle >> 64) as u64);
    let (middle, low) = (middle as u64, low as u64);
    // Round to the nearest quadrant: the fraction as a signed number of 128 bits in -1/2..1/2.
    let fraction = ((u128::from(high) << 64 | u128::from(middle)) << 2 | u128::from(low >> 62)) as i128;
    let quadrant = (high >> 62).wrapping_add(u64::from(fraction < 0));
    let magnitude = fraction.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    let normal = magnitude.checked_shl(zeros).unwrap_or(0);
    // Its leading 53 bits and the 64 after them, each exact or rounded once, then scaled by powers of two.
    let scale = f64::from_bits(u64::from(1023 - zeros) << 52);
    let head = (normal >> 75) as u64 as f64 * f64::from_bits((1023 - 53) << 52) * scale;
    let tail = ((normal >> 11) as u64) as f64 * f64::from_bits((1023 - 117) << 52) * scale;
    let (head, tail) = if fraction < 0 { (-head, -tail) } else { (head, tail) };
    let hi = head * PI_2_F64_HI;
    let lo = head.mul_add(PI_2_F64_HI, -hi) + head.mul_add(PI_2_F64_LO, tail * PI_2_F64_HI);
    if x < 0.0 {
        Reduced { quadrant: quadrant.wrapping_neg(), hi: -hi, lo: -lo }
    } else {
        Reduced { quadrant, hi, lo }
    }
}
