//! Per class one fixed-point number of atomic words.

use super::growing::Growing;
use super::{Accumulator, ClassSums, Design, Floats, Fraction, FrontLoop, Mutex, Sums};
use crate::resonance::exact::{Exact, special, split};
use crate::resonance::ratio::RatioSum;
use phalanx_atlas::CLASSES;
use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Default)]
struct AtomicCell {
    positive: Growing,
    negative: Growing,
    special: AtomicU8,
    has_float: AtomicU8,
    ratio: Mutex<Option<RatioSum>>,
}

/// 96 such pairs: no thread ever waits to add a float. Fractions have no fixed size; a lock per class guards them.
pub struct Atomic(Vec<AtomicCell>);

impl Default for Atomic {
    fn default() -> Atomic {
        Atomic((0..CLASSES).map(|_| AtomicCell::default()).collect())
    }
}

impl Growing {
    /// Adds the magnitude of a finite number, in units of 2^-1074.
    fn add_number(&self, x: f64) {
        let (mantissa, place) = split(x.to_bits());
        let wide = u128::from(mantissa) << (place % 64);
        self.add(place as usize / 64, wide as u64, (wide >> 64) as u64);
    }
}

impl AtomicCell {
    fn add(&self, x: f64) {
        self.has_float.store(1, Ordering::Relaxed);
        if !x.is_finite() {
            self.special.fetch_or(special(x), Ordering::Relaxed);
        } else if x > 0.0 {
            self.positive.add_number(x);
        } else if x < 0.0 {
            self.negative.add_number(x);
        }
    }
    fn take(&self) -> ClassSums {
        let float = (self.has_float.swap(0, Ordering::Relaxed) != 0).then(|| {
            let mut sum = Exact::default();
            sum.add_units(&self.positive.take(), false);
            sum.add_units(&self.negative.take(), true);
            sum.add_special(self.special.swap(0, Ordering::Relaxed));
            sum
        });
        ClassSums { float, ratio: self.ratio.lock().take() }
    }
}

impl Accumulator for Atomic {
    fn design(&self) -> Design {
        Design::Atomic
    }
    fn floats(&self, floats: Floats<'_>, _: FrontLoop) {
        match floats {
            Floats::One(class, values) => values.iter().for_each(|x| self.0[class as usize].add(*x)),
            Floats::Each(all) => all.iter().for_each(|(class, x)| self.0[*class as usize].add(*x)),
        }
    }
    fn fractions(&self, fractions: &[Fraction]) {
        for f in fractions {
            self.0[f.class as usize].ratio.lock().get_or_insert_default().add(f.a, f.b);
        }
    }
    fn take(&self) -> Sums {
        let all = self.0.iter().enumerate().map(|(c, cell)| (c as u8, Box::new(cell.take())));
        Sums(all.filter(|(_, s)| s.float.is_some() || s.ratio.is_some()).collect())
    }
}
