//! How many threads and which SIMD level a model runs with.

use crate::error::EngineError;
use phalanx::exec::workers::Topology;
use phalanx::{Cpu, Tier};

/// What a forward pass runs with: filled from the machine ([`ParallelConfig::detect`]), held to the work
/// ([`ParallelConfig::for_work`]), changed as the caller likes. No setting changes a bit of the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParallelConfig {
    /// Threads, the caller's included.
    pub threads: usize,
    /// SIMD level.
    pub tier: Tier,
    /// Level and bytes of the caches that hold data, as the first core sees them; empty where the system does not say.
    pub caches: Vec<(u32, u64)>,
    /// The memory nodes: weights and caches are placed on those of the threads that read them.
    pub topology: Topology,
    /// Nanoseconds of work that are worth a thread.
    pub min_work_per_thread: u64,
}

/// Less than this does not pay for handing it to another thread.
pub(crate) const MIN_WORK: u64 = 4_000;

/// Products of ternary weights and codes in a nanosecond of one thread, roughly.
pub(crate) const PRODUCTS: u64 = 128;

impl ParallelConfig {
    /// All of the machine.
    pub fn detect() -> ParallelConfig {
        ParallelConfig {
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            tier: Tier::best(),
            caches: caches(),
            topology: Topology::read(),
            min_work_per_thread: MIN_WORK,
        }
    }

    /// As many of the threads as so many products (of weights with activations) keep busy, at least one.
    pub fn for_work(self, products: u64) -> ParallelConfig {
        let threads = worth(products / PRODUCTS, self.min_work_per_thread, self.threads);
        ParallelConfig { threads, ..self }
    }

    /// A device with these threads and this level.
    ///
    /// # Errors
    /// A SIMD level that the machine lacks.
    pub fn device(&self) -> Result<Cpu, EngineError> {
        let built = Cpu::builder().threads(self.threads.max(1)).simd(self.tier);
        let built = built.topology(self.topology.clone()).build();
        built.map_err(|e| phalanx::Error::from(e).into())
    }
}

/// Threads that so many nanoseconds of work keep busy.
pub(crate) fn worth(nanoseconds: u64, least: u64, most: usize) -> usize {
    usize::try_from(nanoseconds / least.max(1)).unwrap_or(usize::MAX).clamp(1, most.max(1))
}

/// Level and size of the data caches of the first core, as Linux tells them.
fn caches() -> Vec<(u32, u64)> {
    let read = |i: u32, what: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{i}/{what}");
        std::fs::read_to_string(path).ok().map(|t| t.trim().to_string())
    };
    let cache = |i: u32| {
        let data = read(i, "type")? != "Instruction";
        let size = read(i, "size")?;
        let bytes = size.strip_suffix('K')?.parse::<u64>().ok()? << 10;
        data.then_some((read(i, "level")?.parse().ok()?, bytes))
    };
    (0..8).filter_map(cache).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_work() {
        let all = ParallelConfig { threads: 8, min_work_per_thread: 100, ..ParallelConfig::detect() };
        let threads = |work: u64| all.clone().for_work(work * PRODUCTS).threads;
        assert_eq!([0, 99, 250, 799, 1 << 30].map(threads), [1, 1, 2, 7, 8]);
        let none = ParallelConfig { threads: 0, min_work_per_thread: 0, ..all };
        assert_eq!(none.for_work(5).threads, 1);
    }
}
