//! Many f64 for one class at once, without rounding, in vector code.
//!
//! A *front* is eight pairs of f64 (`high`, `low`). Each starts at 1.5 * 2^e, so that its last bit has a fixed value and adding a
//! much smaller number to it is exact but for that number's bits below; those are what one addition and two subtractions give
//! back (Dekker's FastTwoSum), and go to `low` the same way, 41 binary places further down. What `low` loses as well must be
//! zero, else nothing has happened and the numbers take the slow way through [`Exact`]. So a front holds its numbers exactly and
//! the order in which they come cannot matter.

use super::exact::{Exact, LOWEST};
use phalanx_simd::tier::Tier;

/// Pairs of a front: a vector of the widest level.
const WIDTH: usize = 8;
/// How many binary orders a number must stay below its front's own: so many additions keep `high` within its binade.
const ROOM: i32 = 12;
/// Between the exponents of `high` and `low`: what `high` loses is at most 2^(e - 53), with ROOM below `low`'s own exponent.
const STEP: i32 = 53 - ROOM;
/// Additions to one pair before it is emptied.
const FULL: u32 = (1 << (ROOM - 1)) - 1;
/// Exponents of fronts. Above, sums would come close to infinity; at the lower end `low` is just a normal number, whose last bit
/// is worth the smallest f64, so that nothing can be lost there.
const EXPONENTS: std::ops::RangeInclusive<i32> = STEP - 1022..=1020;

/// Eight exact partial sums; empty where `used` is 0.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Front {
    high: [f64; WIDTH],
    low: [f64; WIDTH],
    exponent: i32,
    /// Additions to each pair.
    used: u32,
    /// Something was added to the front or the sum behind it: here, where an addition finds it in a line that it needs anyway.
    pub(super) touched: bool,
}

impl Default for Front {
    fn default() -> Front {
        Front { high: [0.0; WIDTH], low: [0.0; WIDTH], exponent: 0, used: 0, touched: false }
    }
}

/// How a run over numbers went. Unless both hold, the front is as it was.
struct Seen {
    /// All magnitudes were below the limit.
    fits: bool,
    /// `low` lost nothing.
    exact: bool,
}

/// The loop over numbers for a SIMD level of this machine. The limit is one of magnitudes, as bits shifted left by one.
#[derive(Clone, Copy)]
pub struct FrontLoop(unsafe fn(&mut Front, &[f64], u64) -> Seen);

impl FrontLoop {
    /// For a level; where the machine lacks it, the plain one. All give the same.
    pub fn at(tier: Tier) -> FrontLoop {
        if !tier.is_available() {
            return FrontLoop(plain);
        }
        match tier {
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => FrontLoop(avx2),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512 | Tier::Avx512Vnni => FrontLoop(avx512),
            _ => FrontLoop(plain),
        }
    }
    fn run(self, front: &mut Front, values: &[f64], limit: u64) -> Seen {
        // SAFETY: `at` is the only constructor and takes a function only where the machine has its level's features.
        unsafe { (self.0)(front, values, limit) }
    }
}

/// 1.5 * 2^e for a normal exponent.
fn start(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52 | 1 << 51)
}

#[inline(always)]
fn body(front: &mut Front, values: &[f64], limit: u64) -> Seen {
    let (mut high, mut low) = (front.high, front.low);
    let (mut top, mut lost) = ([0u64; WIDTH], [0u64; WIDTH]);
    for part in values.as_chunks::<WIDTH>().0 {
        for i in 0..WIDTH {
            let x = part[i];
            let sum = high[i] + x;
            let rest = x - (sum - high[i]);
            high[i] = sum;
            let sum = low[i] + rest;
            let beyond = rest - (sum - low[i]);
            low[i] = sum;
            top[i] = top[i].max(x.to_bits() << 1);
            lost[i] |= beyond.to_bits() << 1;
        }
    }
    let seen = Seen { fits: top.iter().all(|t| *t < limit), exact: lost == [0; WIDTH] };
    if seen.fits && seen.exact {
        (front.high, front.low) = (high, low);
    }
    seen
}

fn plain(front: &mut Front, values: &[f64], limit: u64) -> Seen {
    body(front, values, limit)
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(front: &mut Front, values: &[f64], limit: u64) -> Seen {
    body(front, values, limit)
}
/// As [`body`], by name: out of that the compiler makes shuffles, which take four times as long. Half of the sums are written as
/// products with 1, which changes no bit: additions and products have ports of their own.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(front: &mut Front, values: &[f64], limit: u64) -> Seen {
    use std::arch::x86_64::*;
    // SAFETY: each reads the eight f64 of an array.
    let (mut high, mut low) =
        unsafe { (_mm512_loadu_pd(front.high.as_ptr()), _mm512_loadu_pd(front.low.as_ptr())) };
    let (mut top, mut lost) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let one = _mm512_set1_pd(1.0);
    for part in values.as_chunks::<WIDTH>().0 {
        // SAFETY: `part` is an array of eight f64.
        let x = unsafe { _mm512_loadu_pd(part.as_ptr()) };
        let sum = _mm512_add_pd(high, x);
        let rest = _mm512_sub_pd(x, _mm512_fmsub_pd(sum, one, high));
        high = sum;
        let sum = _mm512_fmadd_pd(rest, one, low);
        let beyond = _mm512_fnmadd_pd(_mm512_sub_pd(sum, low), one, rest);
        low = sum;
        let bits = _mm512_castpd_si512(x);
        top = _mm512_max_epu64(top, _mm512_add_epi64(bits, bits));
        lost = _mm512_or_si512(lost, _mm512_castpd_si512(beyond));
    }
    let seen = Seen {
        fits: _mm512_cmpge_epu64_mask(top, _mm512_set1_epi64(limit as i64)) == 0,
        // But for the signs: losing -0 is losing nothing.
        exact: _mm512_test_epi64_mask(lost, _mm512_set1_epi64(i64::MAX)) == 0,
    };
    if seen.fits && seen.exact {
        // SAFETY: each writes the eight f64 of an array.
        unsafe {
            _mm512_storeu_pd(front.high.as_mut_ptr(), high);
            _mm512_storeu_pd(front.low.as_mut_ptr(), low);
        }
    }
    seen
}

impl Front {
    /// Adds numbers; what does not fit the front goes to `exact`.
    pub(super) fn add(&mut self, values: &[f64], each: FrontLoop, exact: &mut Exact) {
        self.touched = true;
        for part in values.chunks(WIDTH * 64) {
            let (whole, tail) = part.split_at(part.len() / WIDTH * WIDTH);
            tail.iter().for_each(|x| exact.add(*x));
            if !whole.is_empty() && !self.try_add(whole, each, exact) {
                whole.iter().for_each(|x| exact.add(*x));
            }
        }
    }

    fn try_add(&mut self, values: &[f64], each: FrontLoop, exact: &mut Exact) -> bool {
        let additions = (values.len() / WIDTH) as u32;
        if self.used + additions > FULL {
            self.empty(exact);
        }
        // At most twice: with the exponent of before, and with one for these numbers.
        for _ in 0..2 {
            if self.used == 0 && !self.begin(values) {
                return false;
            }
            let seen = each.run(self, values, ((self.exponent - ROOM + 1023) as u64) << 53);
            if seen.fits && seen.exact {
                self.used += additions;
                return true;
            }
            if seen.fits || self.used == 0 {
                return false;
            }
            self.empty(exact);
        }
        false
    }

    /// Chooses the exponent for numbers like these, with some room for larger ones. False: there is none.
    fn begin(&mut self, values: &[f64]) -> bool {
        let top = values.iter().fold(0, |t, x| t.max(x.to_bits() << 1 >> 53)) as i32 - 1023;
        self.exponent = (top + ROOM + 3).max(*EXPONENTS.start());
        if self.exponent > *EXPONENTS.end() {
            return false;
        }
        self.high = [start(self.exponent); WIDTH];
        self.low = [start(self.exponent - STEP); WIDTH];
        true
    }

    /// Moves all that it holds.
    pub(super) fn empty(&mut self, exact: &mut Exact) {
        if self.used > 0 {
            for (pairs, exponent) in [(self.high, self.exponent), (self.low, self.exponent - STEP)] {
                // All have the exponent of the start: the difference of their bits counts last bits of that binade.
                let start = start(exponent).to_bits() as i64;
                let sum: i64 = pairs.iter().map(|x| x.to_bits() as i64 - start).sum();
                exact.add_at(sum.unsigned_abs(), (exponent - 52 - LOWEST) as u32, sum < 0);
            }
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_front(values: &[f64], tier: Tier, parts: usize) -> Exact {
        let (mut front, mut exact) = (Front::default(), Exact::default());
        values.chunks(parts).for_each(|p| front.add(p, FrontLoop::at(tier), &mut exact));
        front.empty(&mut exact);
        exact
    }

    fn check(values: &[f64]) {
        let mut expected = Exact::default();
        values.iter().for_each(|x| expected.add(*x));
        for tier in Tier::available() {
            for parts in [1, 7, 8, 32, 100, 128, 10_000] {
                let got = by_front(values, tier, parts);
                assert!(
                    got.same(&expected),
                    "{tier}, {parts} at a time: {} {}",
                    got.round(),
                    expected.round()
                );
            }
        }
    }

    #[test]
    fn fronts_lose_nothing() {
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state
        };
        // Of like size, of all sizes, at both ends, with what is no number.
        for scale in [0u64, 4, 30, 200, 2000] {
            for middle in [1023u64, 1, 60, 2046, 1023 + 600] {
                let values: Vec<f64> = (0..40_000)
                    .map(|_| {
                        let low = middle.saturating_sub(scale / 2);
                        let exponent = (low + random() % (scale + 1)).min(2046);
                        f64::from_bits(random() >> 63 << 63 | exponent << 52 | random() >> 12)
                    })
                    .collect();
                check(&values);
            }
        }
        check(&[1.0, f64::INFINITY, 2.0, -0.0, 5.0, 6.0, 7.0, 8.0, f64::NAN, 1.0]);
        check(&vec![f64::MAX; 100]);
        check(&vec![5e-324; 5000]);
        check(&[0.0; 64]);
    }

    #[test]
    fn the_fast_way_is_taken_where_it_is_meant_to_be() {
        let values: Vec<f64> = (0..4096).map(|i| f64::from(i) * 0.1 - 200.0).collect();
        let (mut front, mut exact) = (Front::default(), Exact::default());
        front.add(&values, FrontLoop::at(Tier::best()), &mut exact);
        assert!(exact.is_zero() && front.used == 512);
    }
}
