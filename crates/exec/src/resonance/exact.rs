//! Sums of f64 without rounding: a fixed-point number as wide as the whole range of the type.

/// Digits: 2098 bits for the range of f64 (2^-1074 to 2^1024) and 64 for the sum of as many values as can be counted.
const DIGITS: usize = 68;
/// Bits that a digit is worth. The rest of its word takes up carries, so that an addition touches three words and no more.
const BITS: u32 = 32;
const LOW: i64 = (1 << BITS) - 1;
/// Additions after which the carries are passed on: each adds less than 2^32 to a word that holds less than 2^32 then.
const BETWEEN: u32 = 1 << 29;
/// The exponent of the lowest bit.
pub(super) const LOWEST: i32 = -1074;

/// What a sum contains that is no number.
const NAN: u8 = 1;
const PLUS_INF: u8 = 2;
const MINUS_INF: u8 = 4;

/// An exact sum: of any numbers, in any order, it is the same. Infinities and NaN are remembered beside it.
#[derive(Clone, Debug)]
pub struct Exact {
    digits: [i64; DIGITS],
    additions: u32,
    special: u8,
}

impl Default for Exact {
    fn default() -> Exact {
        Exact { digits: [0; DIGITS], additions: 0, special: 0 }
    }
}

/// A finite number as integer times 2^(place + LOWEST).
#[inline(always)]
pub(super) fn split(bits: u64) -> (u64, u32) {
    let (mantissa, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as u32);
    if exponent == 0 { (mantissa, 0) } else { (mantissa | 1 << 52, exponent - 1) }
}

/// The flag of an infinity or NaN.
#[inline(always)]
pub(super) fn special(x: f64) -> u8 {
    match (x.is_nan(), x > 0.0) {
        (true, _) => NAN,
        (false, true) => PLUS_INF,
        (false, false) => MINUS_INF,
    }
}

impl Exact {
    /// Adds a number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            self.special |= special(x);
            return;
        }
        let (mantissa, place) = split(x.to_bits());
        self.add_at(mantissa, place, x.is_sign_negative());
    }

    /// Adds `magnitude` times 2^(place - 1074), or subtracts it. The product is below 2^1024 * 2^64.
    #[inline]
    pub(super) fn add_at(&mut self, magnitude: u64, place: u32, negative: bool) {
        let wide = u128::from(magnitude) << (place % BITS);
        let sign = 1 - 2 * i64::from(negative);
        let at = (place / BITS) as usize;
        for (i, digit) in self.digits[at..at + 3].iter_mut().enumerate() {
            *digit += sign * ((wide >> (i as u32 * BITS)) as i64 & LOW);
        }
        self.additions += 1;
        if self.additions == BETWEEN {
            self.carry();
        }
    }

    /// Adds a natural number of units of 2^(-1074), as little-endian words, or subtracts it.
    pub(super) fn add_units(&mut self, words: &[u64], negative: bool) {
        self.carry();
        let sign = if negative { -1 } else { 1 };
        for (i, word) in words.iter().enumerate() {
            for (half, part) in [*word as i64 & LOW, (*word >> BITS) as i64].into_iter().enumerate() {
                if part != 0 {
                    self.digits[2 * i + half] += sign * part;
                }
            }
        }
        self.carry();
    }

    /// Remembers what is no number.
    pub(super) fn add_special(&mut self, flags: u8) {
        self.special |= flags;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Exact) {
        // Together the words hold what as many additions bring, and the carries that are in both: see BETWEEN.
        if self.additions + other.additions + 2 >= BETWEEN {
            self.carry();
        }
        self.digits.iter_mut().zip(other.digits).for_each(|(a, b)| *a += b);
        self.additions += other.additions + 2;
        if self.additions >= BETWEEN {
            self.carry();
        }
        self.special |= other.special;
    }

    /// Passes carries on: all digits but the last are then in 0..2^32, the last has the sign.
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let sum = *digit + carry;
            *digit = sum & LOW;
            carry = sum >> BITS;
        }
        self.digits[DIGITS - 1] += carry;
        self.additions = 0;
    }

    fn negate(&mut self) {
        self.digits.iter_mut().for_each(|d| *d = -*d);
        self.carry();
    }

    /// Whether the sum is zero.
    pub fn is_zero(&self) -> bool {
        let mut sum = self.clone();
        sum.carry();
        sum.special == 0 && sum.digits.iter().all(|d| *d == 0)
    }

    /// The same sum as another, exactly. NaN is the same as NaN.
    pub fn same(&self, other: &Exact) -> bool {
        let mut difference = self.clone();
        let mut minus = other.clone();
        minus.carry();
        minus.negate();
        minus.special = 0;
        difference.merge(&minus);
        difference.special = 0;
        let kind = |flags: u8| if flags.count_ones() > 1 { NAN } else { flags };
        kind(self.special) == kind(other.special) && (self.special != 0 || difference.is_zero())
    }

    /// The sum rounded once to nearest even. Zero is +0; infinities of both signs, or NaN, give NaN in its one bit pattern.
    pub fn round(&self) -> f64 {
        match self.special {
            0 => {}
            PLUS_INF => return f64::INFINITY,
            MINUS_INF => return f64::NEG_INFINITY,
            _ => return f64::from_bits(0x7ff8_0000_0000_0000),
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.digits[DIGITS - 1] < 0;
        if negative {
            sum.negate();
        }
        let Some(top) = sum.digits.iter().rposition(|d| *d != 0) else { return 0.0 };
        let digit = |i: usize| sum.digits[i] as u128;
        // The four highest digits: at least 97 bits of the sum; the rest only matters by not being zero.
        let first = top.saturating_sub(3);
        let window = (first..=top).rev().fold(0u128, |w, i| w << BITS | digit(i));
        let below = sum.digits[..first].iter().any(|d| *d != 0);
        let length = first as u32 * BITS + (128 - window.leading_zeros());
        let bits = if length <= 53 {
            // Exact; without the leading bit of a normal number these are the bits of a subnormal one.
            window as u64
        } else {
            let drop = length - 53 - first as u32 * BITS;
            let kept = (window >> drop) as u64;
            let rest = window & ((1 << drop) - 1);
            let half = 1u128 << (drop - 1);
            let up = rest > half || rest == half && (below || kept & 1 == 1);
            let exponent = u64::from(length - 53) + 1;
            if exponent > 2046 {
                f64::INFINITY.to_bits()
            } else {
                // A carry out of the mantissa is one more in the exponent, up to infinity.
                (exponent << 52) + (kept - (1 << 52)) + u64::from(up)
            }
        };
        f64::from_bits(bits | u64::from(negative) << 63)
    }
}

const _: () = assert!(DIGITS as u32 * BITS >= (1024 - LOWEST) as u32 + 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut s = Exact::default();
        values.iter().for_each(|x| s.add(*x));
        s.round()
    }

    #[test]
    fn what_a_float_sum_loses_is_kept() {
        assert_eq!(sum(&[1e308, 1.0, -1e308]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1.0]), 1e16 + 2.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[5e-324, 1e300, -1e300]), 5e-324);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[2.5, -2.5]).to_bits(), 0);
        assert_eq!(sum(&[-0.0]).to_bits(), 0);
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        let one = 1.0f64;
        let ulp = f64::EPSILON;
        assert_eq!(sum(&[one, ulp / 2.0]), one);
        assert_eq!(sum(&[one, ulp / 2.0, 5e-324]), one + ulp);
        assert_eq!(sum(&[one + ulp, ulp / 2.0]), one + 2.0 * ulp);
        assert_eq!(sum(&[-one, -ulp / 2.0, -5e-324]), -one - ulp);
        // Half a unit above the largest number is infinity, a little less is not.
        let half = f64::MAX * ulp / 4.0;
        assert_eq!(sum(&[f64::MAX, 2f64.powi(970)]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, half, -5e-324]), f64::MAX);
    }

    #[test]
    fn one_value_is_itself() {
        for bits in
            [1u64, 0x000f_ffff_ffff_ffff, 0x0010_0000_0000_0000, 0x3ff0_0000_0000_0001, 0x7fef_ffff_ffff_ffff]
        {
            let x = f64::from_bits(bits);
            assert_eq!(sum(&[x]).to_bits(), bits);
            assert_eq!(sum(&[-x]).to_bits(), bits | 1 << 63);
            assert_eq!(sum(&[x, -x, -x]).to_bits(), bits | 1 << 63);
        }
    }

    #[test]
    fn infinities_and_nan() {
        let inf = f64::INFINITY;
        assert_eq!(sum(&[inf, 1.0, 1e308]), inf);
        assert_eq!(sum(&[-inf, f64::MAX]), -inf);
        assert_eq!(sum(&[inf, -inf]).to_bits(), 0x7ff8_0000_0000_0000);
        assert_eq!(sum(&[f64::from_bits(0xfff0_0000_0000_0001), 1.0]).to_bits(), 0x7ff8_0000_0000_0000);
    }

    #[test]
    fn merging_and_comparing() {
        let of = |values: &[f64]| {
            let mut s = Exact::default();
            values.iter().for_each(|x| s.add(*x));
            s
        };
        let mut a = of(&[1e300, -7.0, 5e-324]);
        a.merge(&of(&[-1e300, 7.0]));
        assert_eq!(a.round(), 5e-324);
        assert!(a.same(&of(&[5e-324])) && !a.same(&of(&[-5e-324])) && !a.is_zero());
        a.merge(&of(&[-5e-324]));
        assert!(a.is_zero());
        assert!(of(&[f64::INFINITY, 1.0]).same(&of(&[f64::INFINITY])));
        assert!(!of(&[f64::INFINITY]).same(&of(&[f64::NEG_INFINITY])));
        assert!(!of(&[f64::INFINITY, f64::NEG_INFINITY]).is_zero());
    }
}
