//! What a device remembers of how products are best divided over its threads: the rule of [`phalanx_kernels::Plan::choose`] until a
//! shape has been used often, a measurement from then on. Every division gives the same bits, so nothing but time depends on it.

use phalanx_kernels::{PackedFormat, Split};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rounds of a measurement, the first of which warms up.
pub(crate) const ROUNDS: usize = 6;
/// Uses before a measurement: as many as the products that one makes, with four divisions at most.
pub(crate) const OFTEN: u32 = 4 * ROUNDS as u32;
/// Shapes that are remembered; a program with more of them goes by the rule for those that come later.
const SHAPES: usize = 4096;

/// A product's format and sizes. Rows of activations from one power of two to the next are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    format: PackedFormat,
    rows: usize,
    n: usize,
    k: usize,
}

impl Shape {
    /// Of `m` rows of activations and `n` times `k` weights.
    pub(crate) fn new(format: PackedFormat, m: usize, n: usize, k: usize) -> Shape {
        Shape { format, rows: m.checked_next_power_of_two().unwrap_or(usize::MAX), n, k }
    }
}

/// How far a shape is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A measurement is not worth it yet.
    Seldom,
    /// Now it is.
    Often,
    /// This division was best.
    Known(Split),
}

#[derive(Clone, Copy)]
enum Entry {
    Uses(u32),
    Known(Split),
}

/// What a device knows.
#[derive(Default)]
pub(crate) struct Divisions(Mutex<HashMap<Shape, Entry>>);

impl Divisions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Shape, Entry>> {
        // Every change is a single insertion: what a panic elsewhere left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a use. [`Use::Often`] is said once for a shape: the next uses go by the rule until something is learnt.
    pub(crate) fn used(&self, shape: Shape) -> Use {
        let mut all = self.lock();
        if all.len() >= SHAPES && !all.contains_key(&shape) {
            return Use::Seldom;
        }
        match all.entry(shape).or_insert(Entry::Uses(0)) {
            Entry::Known(split) => Use::Known(*split),
            Entry::Uses(n) => {
                *n = n.saturating_add(1);
                if *n == OFTEN { Use::Often } else { Use::Seldom }
            }
        }
    }

    /// Remembers what a measurement found.
    pub(crate) fn learn(&self, shape: Shape, split: Split) {
        let mut all = self.lock();
        if all.len() < SHAPES || all.contains_key(&shape) {
            all.insert(shape, Entry::Known(split));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_measured_once_when_it_has_been_used_often() {
        let known = Divisions::default();
        let shape = |m| Shape::new(PackedFormat::T2, m, 64, 32);
        let uses: Vec<Use> = (0..OFTEN + 3).map(|_| known.used(shape(5))).collect();
        assert!(uses.iter().enumerate().all(|(i, u)| (*u == Use::Often) == (i as u32 + 1 == OFTEN)));
        assert_eq!(known.used(shape(9)), Use::Seldom, "other rows are another shape");
        known.learn(shape(6), Split::Both);
        assert_eq!(known.used(shape(8)), Use::Known(Split::Both), "5 to 8 rows are alike");
        known.learn(shape(8), Split::Weights);
        assert_eq!(known.used(shape(5)), Use::Known(Split::Weights), "the last measurement counts");
        assert_eq!(known.used(Shape::new(PackedFormat::T3, 5, 64, 32)), Use::Seldom);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Divisions::default();
        for n in 0..2 * SHAPES {
            known.used(Shape::new(PackedFormat::I8, 1, n, 1));
            known.learn(Shape::new(PackedFormat::I8, 1, n, 1), Split::None);
        }
        assert_eq!(known.lock().len(), SHAPES);
        assert_eq!(known.used(Shape::new(PackedFormat::I8, 1, 2 * SHAPES, 1)), Use::Seldom);
    }
}
