//! Schedules drawn from a seed: one of the orders in which a launch may run, to provoke what depends on the order.
//!
//! What a seed may change is what SPEC.md and PARALLEL.md leave open, and nothing else:
//!
//! - **Blocks.** A block may wait for lower-numbered ones. Where a kernel cannot wait for another block (no loop of it reads
//!   what other blocks may write: [`phalanx_verify::KernelAnalysis::may_wait`]), blocks start in any order. Otherwise they start
//!   ascending, and while one of them waits the started ones take turns, so that every wait ends that ends without a seed.
//! - **Chunks of lanes.** Between two barriers the chunks of a block (in the reference executor: its lanes) run in any order.
//! - **Turns.** At every barrier, atomic, fence, pool operation and subgroup operation, and at the head of every loop, a chunk
//!   may have to stand back: on one thread others of its block or of other started blocks go on first, on several the thread
//!   yields.
//!
//! On one thread a seed is one exact order: the same seed, launch and version of this crate repeat it. On several threads it
//! still decides orders and turns, but the system decides how threads interleave. Order-free programs leave the same bits under
//! every seed.

/// A schedule, by its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    seed: u64,
}

/// What choices are for: different purposes draw from unrelated streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The order of blocks, and how the launch is split.
    Launch,
    /// What a worker does next.
    Worker(u64),
    /// In which order the chunks or lanes of a block run.
    Block(u64),
    /// Where the chunk of a block that begins with this lane stands back.
    Chunk(u64, u32),
}

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64) -> Schedule {
        Schedule { seed }
    }
    /// The seed.
    pub fn seed(self) -> u64 {
        self.seed
    }
    pub(crate) fn choices(self, purpose: Purpose) -> Choices {
        let (kind, a, b) = match purpose {
            Purpose::Launch => (1, 0, 0),
            Purpose::Worker(n) => (2, n, 0),
            Purpose::Block(n) => (3, n, 0),
            Purpose::Chunk(n, lane) => (4, n, u64::from(lane)),
        };
        let mut choices = Choices(self.seed);
        for part in [kind, a, b] {
            choices.0 = choices.bits() ^ part;
        }
        choices
    }
}

/// A stream of choices (splitmix64).
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    /// True in one of `n` cases.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }
    /// A number below `n`, which is above 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
    /// A random order of `0..n`.
    pub(crate) fn order(&mut self, n: u64) -> Order {
        // On very few bits the steps below would reach few orders.
        let bits = (64 - n.saturating_sub(1).leading_zeros()).max(6);
        let mask = u64::MAX >> (64 - bits);
        let rounds = std::array::from_fn(|_| (self.bits(), self.bits() | 1));
        Order { n, shuffle: Some(Shuffle { mask, shift: bits / 2 + 1, rounds }) }
    }
}

/// An order of the numbers below a count, which needs no memory: counts of blocks may be beyond it.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    n: u64,
    shuffle: Option<Shuffle>,
}

#[derive(Clone, Copy, Debug)]
struct Shuffle {
    /// The smallest 2^k - 1 that covers the numbers, or a little more.
    mask: u64,
    shift: u32,
    rounds: [(u64, u64); 3],
}

impl Order {
    /// 0, 1, 2, ...
    pub fn ascending(n: u64) -> Order {
        Order { n, shuffle: None }
    }
    /// Whether it is that of the numbers themselves.
    pub fn is_ascending(&self) -> bool {
        self.shuffle.is_none()
    }
    /// The number at a place below the count.
    #[inline]
    pub fn at(&self, place: u64) -> u64 {
        match &self.shuffle {
            None => place,
            Some(s) => {
                // Each step is one to one on the numbers up to the mask: going on from those that are too large leaves an
                // order of the others.
                let mut x = place;
                loop {
                    for (add, times) in s.rounds {
                        x = x.wrapping_add(add).wrapping_mul(times) & s.mask;
                        x ^= x >> s.shift;
                    }
                    if x < self.n {
                        return x;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_order_has_every_number_once() {
        for n in [1u64, 2, 3, 4, 5, 7, 8, 9, 31, 96, 1000, 1024, 1025] {
            for seed in 0..40 {
                let order = Schedule::new(seed).choices(Purpose::Launch).order(n);
                let all: BTreeSet<u64> = (0..n).map(|i| order.at(i)).collect();
                assert_eq!(all, (0..n).collect(), "{n} numbers, seed {seed}");
            }
        }
        let large = Schedule::new(7).choices(Purpose::Launch).order(1 << 61);
        let some: BTreeSet<u64> = (0..1000).map(|i| large.at(i)).collect();
        assert!(some.len() == 1000 && some.iter().all(|b| *b < 1 << 61));
    }

    #[test]
    fn every_order_of_few_blocks_occurs() {
        for (n, orders) in [(2u64, 2), (3, 6), (4, 24)] {
            let all: BTreeSet<Vec<u64>> = (0..1000)
                .map(|seed| {
                    let order = Schedule::new(seed).choices(Purpose::Launch).order(n);
                    (0..n).map(|i| order.at(i)).collect()
                })
                .collect();
            assert_eq!(all.len(), orders, "{n} blocks");
        }
    }

    #[test]
    fn purposes_draw_from_different_streams() {
        let of = |p| Schedule::new(3).choices(p).bits();
        let all = [
            of(Purpose::Launch),
            of(Purpose::Worker(0)),
            of(Purpose::Worker(1)),
            of(Purpose::Block(0)),
            of(Purpose::Block(1)),
            of(Purpose::Chunk(0, 0)),
            of(Purpose::Chunk(0, 128)),
            of(Purpose::Chunk(1, 0)),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(of(Purpose::Launch), of(Purpose::Launch));
    }
}
