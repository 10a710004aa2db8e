//! Accumulators: what the threads of a launch add to at the same time. One trait, and the designs that were compared.
//!
//! Sums are exact, so a design is free to add in any order and to keep partial sums wherever it likes: all give the same. They
//! differ in how threads keep out of each other's way (PARALLEL.md has the measurements).

use super::exact::Exact;
use super::front::{Front, FrontLoop};
use super::ratio::RatioSum;
use parking_lot::Mutex;
use phalanx_atlas::CLASSES;
use std::collections::BTreeMap;

mod atomic;
mod designs;
mod growing;
mod per_worker;

pub use atomic::Atomic;
pub use designs::{Locked, Map};
pub use per_worker::PerWorker;

/// Additions of f64 by some lanes.
#[derive(Clone, Copy)]
pub enum Floats<'a> {
    /// All to one class, below 96.
    One(u8, &'a [f64]),
    /// Each to a class of its own, below 96.
    Each(&'a [(u8, f64)]),
}

/// An addition of a/b to a class below 96; b is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Class.
    pub class: u8,
    /// Numerator.
    pub a: i64,
    /// Denominator.
    pub b: i64,
}

/// Sums of 96 classes in both forms that many threads add to. Object safe.
pub trait Accumulator: Send + Sync {
    /// Which design.
    fn design(&self) -> Design;
    /// Adds f64; `each` is the loop for the caller's SIMD level.
    fn floats(&self, floats: Floats<'_>, each: FrontLoop);
    /// Adds fractions.
    fn fractions(&self, fractions: &[Fraction]);
    /// What was added since the last time, by all threads whose additions happened before; it begins at zero again.
    fn take(&self) -> Sums;
}

/// What was added to the classes that were added to.
#[derive(Clone, Debug, Default)]
pub struct Sums(pub(super) BTreeMap<u8, Box<ClassSums>>);

/// What was added to one class; `None`: nothing in this form.
#[derive(Clone, Debug, Default)]
pub struct ClassSums {
    /// In the f64 form.
    pub float: Option<Exact>,
    /// In the rational form.
    pub ratio: Option<RatioSum>,
}

impl ClassSums {
    fn merge(&mut self, other: ClassSums) {
        match (&mut self.float, other.float) {
            (Some(a), Some(b)) => a.merge(&b),
            (a, b) => *a = a.take().or(b),
        }
        match (&mut self.ratio, other.ratio) {
            (Some(a), Some(b)) => a.merge(&b),
            (a, b) => *a = a.take().or(b),
        }
    }
}

impl Sums {
    /// What was added to a class.
    pub fn class(&self, class: u8) -> Option<&ClassSums> {
        self.0.get(&class).map(|s| &**s)
    }
    /// Classes that were added to, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &ClassSums)> {
        self.0.iter().map(|(c, s)| (*c, &**s))
    }
    fn merge(&mut self, other: Sums) {
        other.0.into_iter().for_each(|(c, s)| self.0.entry(c).or_default().merge(*s));
    }
    /// What was added in all, over all classes.
    pub(super) fn over_classes(&self) -> ClassSums {
        let mut all = ClassSums::default();
        self.0.values().for_each(|s| all.merge((**s).clone()));
        all
    }
}

/// The designs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Design {
    /// One map behind one lock.
    Locked,
    /// A concurrent map from class to sums (`dashmap`).
    Map,
    /// Per class one fixed-point number of atomic words, and a lock for fractions.
    Atomic,
    /// Sums for every thread, merged when the launch ends.
    #[default]
    PerWorker,
}

impl Design {
    /// All, in the order in which they are measured.
    pub const ALL: [Design; 4] = [Design::Locked, Design::Map, Design::Atomic, Design::PerWorker];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Design::Locked => "locked",
            Design::Map => "map",
            Design::Atomic => "atomic",
            Design::PerWorker => "per-worker",
        }
    }

    /// An empty accumulator of this design.
    pub fn make(self) -> Box<dyn Accumulator> {
        match self {
            Design::Locked => Box::<Locked>::default(),
            Design::Map => Box::<Map>::default(),
            Design::Atomic => Box::<Atomic>::default(),
            Design::PerWorker => Box::<PerWorker>::default(),
        }
    }
}

/// One class's sums for one thread at a time.
#[derive(Default)]
struct Cell {
    front: Front,
    exact: Exact,
    ratio: RatioSum,
    has_ratio: bool,
}

impl Cell {
    fn add_all(&mut self, values: &[f64], each: FrontLoop) {
        self.front.add(values, each, &mut self.exact);
    }
    fn add(&mut self, x: f64) {
        self.front.touched = true;
        self.exact.add(x);
    }
    fn add_fraction(&mut self, a: i64, b: i64) {
        self.has_ratio = true;
        self.ratio.add(a, b);
    }
    fn take(&mut self) -> ClassSums {
        let mut sums = ClassSums::default();
        if std::mem::take(&mut self.front.touched) {
            self.front.empty(&mut self.exact);
            sums.float = Some(std::mem::take(&mut self.exact));
        }
        if std::mem::take(&mut self.has_ratio) {
            sums.ratio = Some(std::mem::take(&mut self.ratio));
        }
        sums
    }
}

/// The cells of all classes, made when first used: what a lock guards or a thread has to itself. About 70 KiB, and the
/// different denominators.
#[derive(Default)]
struct Cells(Vec<Cell>);

impl Cells {
    fn cells(&mut self) -> &mut [Cell] {
        if self.0.is_empty() {
            self.0.resize_with(CLASSES.into(), Cell::default);
        }
        &mut self.0
    }
    fn floats(&mut self, floats: Floats<'_>, each: FrontLoop) {
        let cells = self.cells();
        match floats {
            Floats::One(class, values) => cells[class as usize].add_all(values, each),
            Floats::Each(all) => all.iter().for_each(|(class, x)| cells[*class as usize].add(*x)),
        }
    }
    fn fractions(&mut self, all: &[Fraction]) {
        let cells = self.cells();
        all.iter().for_each(|f| cells[f.class as usize].add_fraction(f.a, f.b));
    }
    fn take(&mut self) -> Sums {
        let used = self.0.iter_mut().enumerate().filter(|(_, c)| c.front.touched || c.has_ratio);
        Sums(used.map(|(class, cell)| (class as u8, Box::new(cell.take()))).collect())
    }
}
