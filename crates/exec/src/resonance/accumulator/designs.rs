//! The designs that lock: one map, and a concurrent map by class.

use super::{Accumulator, Cell, Cells, Design, Floats, Fraction, FrontLoop, Mutex, Sums};
use dashmap::DashMap;

/// Everything behind one lock.
#[derive(Default)]
pub struct Locked(Mutex<Cells>);

impl Accumulator for Locked {
    fn design(&self) -> Design {
        Design::Locked
    }
    fn floats(&self, floats: Floats<'_>, each: FrontLoop) {
        self.0.lock().floats(floats, each);
    }
    fn fractions(&self, fractions: &[Fraction]) {
        self.0.lock().fractions(fractions);
    }
    fn take(&self) -> Sums {
        self.0.lock().take()
    }
}

/// A concurrent map from class to its sums: threads wait for each other where their classes lie in the same shard.
#[derive(Default)]
pub struct Map(DashMap<u8, Box<Cell>>);

impl Accumulator for Map {
    fn design(&self) -> Design {
        Design::Map
    }
    fn floats(&self, floats: Floats<'_>, each: FrontLoop) {
        match floats {
            Floats::One(class, values) => self.0.entry(class).or_default().add_all(values, each),
            Floats::Each(all) => all.iter().for_each(|(class, x)| self.0.entry(*class).or_default().add(*x)),
        }
    }
    fn fractions(&self, fractions: &[Fraction]) {
        fractions.iter().for_each(|f| self.0.entry(f.class).or_default().add_fraction(f.a, f.b));
    }
    fn take(&self) -> Sums {
        Sums(
            self.0
                .iter_mut()
                .filter(|e| e.front.touched || e.has_ratio)
                .map(|mut e| (*e.key(), Box::new(e.take())))
                .collect(),
        )
    }
}
