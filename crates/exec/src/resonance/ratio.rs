//! Exact fractions: the 64-bit ones that the resonance holds, and sums of any number of them.

use num_bigint::{BigInt, BigUint, Sign};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A fraction in lowest terms: the denominator is positive, zero is 0/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    n: i64,
    d: i64,
}

impl Ratio {
    /// 0/1.
    pub const ZERO: Ratio = Ratio { n: 0, d: 1 };

    /// The fraction n/d in lowest terms. `None`: d is 0, or n/d does not fit (as -2^63 / -1).
    pub fn new(n: i64, d: i64) -> Option<Ratio> {
        let sign = if d < 0 { -1 } else { 1 };
        Ratio::reduced(sign * i128::from(n), u128::from(d.unsigned_abs()))
    }
    fn reduced(n: i128, d: u128) -> Option<Ratio> {
        if d == 0 {
            return None;
        }
        let g = gcd(n.unsigned_abs(), d);
        // g is at most d: the quotient of the numerator fits its type, and so does g unless n is 0 or -2^127.
        let (n, d) = if n == 0 { (0, 1) } else { (n / i128::try_from(g).ok()?, d / g) };
        Some(Ratio { n: i64::try_from(n).ok()?, d: i64::try_from(d).ok()? })
    }
    /// The numerator.
    pub fn numerator(self) -> i64 {
        self.n
    }
    /// The denominator, at least 1.
    pub fn denominator(self) -> i64 {
        self.d
    }
    /// Whether its magnitude is at most a/b. `None`: b is 0.
    pub fn within(self, a: i64, b: i64) -> Option<bool> {
        if b == 0 {
            return None;
        }
        let a = if b < 0 { -i128::from(a) } else { a.into() };
        let limit = a * i128::from(self.d);
        Some(i128::from(self.n).abs() * i128::from(b).abs() <= limit)
    }
}

impl Default for Ratio {
    fn default() -> Ratio {
        Ratio::ZERO
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.n, self.d)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Spreads denominators over a table: they are numbers of a program, often small or round.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b) ^ self.0));
    }
    fn write_u64(&mut self, n: u64) {
        let mixed = (n ^ n >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}

/// A sum of fractions, exact: for every denominator the sum of its numerators. Its size follows the number of different
/// denominators and not the number of additions; no exact sum can do with less, since sums of different sets of unit fractions
/// with prime denominators are all different.
#[derive(Clone, Debug, Default)]
pub struct RatioSum {
    /// The denominator added last and what was added since: programs often use one. The rest is in the table.
    last: (u64, i128),
    others: HashMap<u64, i128, BuildHasherDefault<Mix>>,
}

impl RatioSum {
    /// Adds a/b; b is not 0.
    #[inline]
    pub fn add(&mut self, a: i64, b: i64) {
        let a = if b < 0 { -i128::from(a) } else { a.into() };
        self.add_over(a, b.unsigned_abs());
    }

    #[inline]
    fn add_over(&mut self, a: i128, b: u64) {
        // 2^64 additions of 2^63 fit; nobody makes more.
        if self.last.0 == b {
            self.last.1 += a;
            return;
        }
        let (old, sum) = std::mem::replace(&mut self.last, (b, 0));
        if old != 0 {
            *self.others.entry(old).or_insert(0) += sum;
        }
        self.last.1 = a;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &RatioSum) {
        other.terms().for_each(|(a, b)| self.add_over(a, b));
    }

    /// Subtracts another sum.
    pub fn subtract(&mut self, other: &RatioSum) {
        other.terms().for_each(|(a, b)| self.add_over(-a, b));
    }

    /// Numerators with their denominators.
    fn terms(&self) -> impl Iterator<Item = (i128, u64)> + '_ {
        let last = std::iter::once(self.last).filter(|(b, _)| *b != 0);
        last.chain(self.others.iter().map(|(b, a)| (*b, *a))).map(|(b, a)| (a, b))
    }

    /// The sum in lowest terms, on top of `before`.
    ///
    /// # Errors
    /// It does not fit: about how large it is.
    pub fn total(&self, before: Ratio) -> Result<Ratio, TooLarge> {
        let first = (i128::from(before.n), before.d.unsigned_abs());
        let terms = || std::iter::once(first).chain(self.terms()).filter(|(a, _)| *a != 0);
        small_total(terms()).map_or_else(|| large_total(terms()), Ok)
    }

    /// Whether the sum is zero.
    pub fn is_zero(&self) -> bool {
        self.total(Ratio::ZERO) == Ok(Ratio::ZERO)
    }
}

/// A sum that fits no 64-bit fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Bits of the integer part.
    pub integer_bits: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.integer_bits {
            0..64 => write!(f, "its denominator is beyond 63 bits"),
            n => write!(f, "its integer part has {n} bits"),
        }
    }
}

/// The sum where all steps fit 128 bits, which they mostly do. `None`: they do not, or the result does not fit.
fn small_total(terms: impl Iterator<Item = (i128, u64)>) -> Option<Ratio> {
    let (mut n, mut d) = (0i128, 1i128);
    for (a, b) in terms {
        let b = i128::from(b);
        let g = gcd(d.unsigned_abs(), b.unsigned_abs()) as i128;
        n = n.checked_mul(b / g)?.checked_add(a.checked_mul(d / g)?)?;
        d = d.checked_mul(b / g)?;
    }
    Ratio::reduced(n, d.unsigned_abs())
}

/// The sum as one unreduced fraction, by pairs, so that the factors of a product are of like size.
fn product_tree(terms: &[(i128, u64)]) -> (BigInt, BigUint) {
    match terms {
        [] => (BigInt::ZERO, BigUint::from(1u32)),
        [(a, b)] => (BigInt::from(*a), BigUint::from(*b)),
        _ => {
            let (left, right) = terms.split_at(terms.len() / 2);
            let ((a, b), (c, d)) = (product_tree(left), product_tree(right));
            let cross = a * BigInt::from(d.clone()) + c * BigInt::from(b.clone());
            (cross, b * d)
        }
    }
}

/// The sum in any size, in lowest terms where that fits.
///
/// Numerator and denominator can have millions of bits, whose common divisor would take the square of that. But if the sum is
/// a fraction p/q with q < 2^63, then p/q is a convergent of the continued fraction of its first 256 bits behind the point, the
/// one followed by a huge partial quotient: two fractions with such denominators differ by more than 2^-126. So it is found
/// among them and then checked by one multiplication each way.
fn large_total(terms: impl Iterator<Item = (i128, u64)>) -> Result<Ratio, TooLarge> {
    let terms: Vec<(i128, u64)> = terms.collect();
    let (n, d) = product_tree(&terms);
    let (sign, n) = n.into_parts();
    let whole = &n / &d;
    let too_large = TooLarge { integer_bits: whole.bits() };
    if whole.bits() > 64 {
        return Err(too_large);
    }
    let rest = &n - &whole * &d;
    let (mut x, mut y) = (BigUint::from(1u32) << 256, (rest << 256u32) / &d);
    // Convergents p/q of y/x, the present and the one before.
    let (mut p, mut q) = (BigUint::ZERO, BigUint::from(1u32));
    let (mut p_before, mut q_before) = (BigUint::from(1u32), BigUint::ZERO);
    while y != BigUint::ZERO {
        let step: BigUint = &x / &y;
        if step.bits() > 128 {
            break;
        }
        let left = &x - &step * &y;
        (x, y) = (y, left);
        let next_p = &step * &p + &p_before;
        let next_q = &step * &q + &q_before;
        (p_before, q_before) = (std::mem::replace(&mut p, next_p), std::mem::replace(&mut q, next_q));
        if q.bits() > 63 {
            return Err(too_large);
        }
    }
    let numerator = whole * &q + p;
    if &numerator * &d != n * &q {
        return Err(too_large);
    }
    let (numerator, denominator) = (i128::try_from(numerator), u128::try_from(q));
    let magnitude = numerator.map(|n| if sign == Sign::Minus { -n } else { n });
    match (magnitude, denominator) {
        (Ok(n), Ok(d)) => Ratio::reduced(n, d).ok_or(too_large),
        _ => Err(too_large),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(n: i64, d: i64) -> Ratio {
        Ratio::new(n, d).unwrap()
    }

    fn sum(terms: &[(i64, i64)]) -> RatioSum {
        let mut s = RatioSum::default();
        terms.iter().for_each(|(a, b)| s.add(*a, *b));
        s
    }

    #[test]
    fn lowest_terms() {
        assert_eq!(ratio(6, -4).to_string(), "-3/2");
        assert_eq!(ratio(0, -7), Ratio::ZERO);
        assert_eq!(ratio(i64::MIN, i64::MIN).to_string(), "1/1");
        assert_eq!(ratio(i64::MIN, 1).to_string(), "-9223372036854775808/1");
        assert_eq!(Ratio::new(i64::MIN, -1), None);
        assert_eq!(Ratio::new(1, i64::MIN), None);
        assert_eq!(ratio(2, i64::MIN).to_string(), "-1/4611686018427387904");
        assert_eq!(Ratio::new(1, 0), None);
    }

    #[test]
    fn magnitudes_are_compared_exactly() {
        assert_eq!(ratio(-1, 3).within(1, 3), Some(true));
        assert_eq!(ratio(-1, 3).within(-1, -3), Some(true));
        assert_eq!(ratio(1, 3).within(-1, 3), Some(false));
        assert_eq!(ratio(0, 1).within(0, 5), Some(true));
        assert_eq!(ratio(i64::MIN, 1).within(i64::MAX, 1), Some(false));
        assert_eq!(ratio(i64::MAX, i64::MAX - 1).within(1, 1), Some(false));
        assert_eq!(ratio(1, 1).within(1, 0), None);
    }

    #[test]
    fn partial_sums_never_overflow() {
        let s = sum(&[(i64::MAX, 1), (i64::MAX, 1), (-i64::MAX, 1), (1, 2), (-i64::MAX, 1)]);
        assert_eq!(s.total(Ratio::ZERO), Ok(ratio(1, 2)));
        assert_eq!(sum(&[(i64::MAX, 1), (1, 1)]).total(Ratio::ZERO), Err(TooLarge { integer_bits: 64 }));
        assert_eq!(sum(&[(i64::MIN, 1)]).total(Ratio::ZERO), Ok(ratio(i64::MIN, 1)));
        assert_eq!(
            sum(&[(1, i64::MIN), (1, i64::MIN)]).total(ratio(1, 4)),
            Ok(ratio((1 << 60) - 1, 1 << 62))
        );
    }

    #[test]
    fn hundreds_of_primes_come_and_go() {
        let primes: Vec<i64> =
            (3..4000).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect();
        assert!(primes.len() > 500);
        let mut s = RatioSum::default();
        primes.iter().for_each(|p| s.add(1, *p));
        assert!(s.total(Ratio::ZERO).is_err());
        primes.iter().rev().for_each(|p| s.add(-1, *p));
        assert!(s.is_zero());
        s.add(-22, 7);
        assert_eq!(s.total(ratio(1, 7)), Ok(ratio(-3, 1)));
        // A denominator at the limit, behind a sum that 128 bits do not hold.
        primes.iter().for_each(|p| s.add(5, *p));
        s.add(1, i64::MAX);
        primes.iter().rev().for_each(|p| s.add(-5, *p));
        s.add(22, 7);
        assert_eq!(s.total(Ratio::ZERO), Ok(ratio(1, i64::MAX)));
    }

    #[test]
    fn telescoping_sum_of_large_denominators() {
        // 1/(k (k+1)) summed over k is 1/first - 1/(last+1): every term has another denominator near 2^60.
        let (first, count) = (1i64 << 30, 3000);
        let mut s = RatioSum::default();
        (first..first + count).for_each(|k| s.add(1, k * (k + 1)));
        assert_eq!(s.total(Ratio::ZERO), Ok(ratio(count, first * (first + count))));
        assert_eq!(
            s.total(ratio(1, 101)).map_err(|e| e.to_string()),
            Err("its denominator is beyond 63 bits".into())
        );
    }
}
