//! `run --explore N`: the launch under N schedule seeds, and the smallest grid on which it still fails.

use crate::console::say;
use crate::record::{Outcome, Record};
use anyhow::bail;
use phalanx::{Cpu, Kernel, LaunchConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Seeds that are tried for a smaller grid, besides the one that failed.
const SEEDS: u64 = 16;
/// A smaller grid may wait for blocks that it does not have: so much longer than the whole one it is given.
const LONGER: u32 = 20;

/// What exploring has shown.
pub struct Explored {
    /// Seeds that were asked for.
    pub seeds: u64,
    /// Seeds that were tried.
    pub tried: u64,
    /// The first that failed on the whole grid.
    pub failing: Option<u64>,
    /// The whole grid.
    pub grid: [u32; 3],
    /// The launch to be shown: the smallest that fails, or the last that was tried.
    pub record: Record,
    /// How it ended.
    pub outcome: Outcome,
}

impl Explored {
    /// For rows.
    pub fn row(&self) -> Value {
        let smallest = self.failing.map(|_| self.record.grid);
        json!({
            "seeds": self.seeds, "tried": self.tried, "failing_seed": self.failing, "grid": self.grid,
            "smallest_grid": smallest, "smallest_seed": self.failing.and(self.record.seed),
        })
    }

    /// Says it to people.
    pub fn tell(&self) {
        let Some(seed) = self.failing else {
            say!("explored: none of {} schedule seeds fails", self.seeds);
            return;
        };
        let sizes = |g: [u32; 3]| g.map(|n| n.to_string()).join(",");
        let (whole, small) = (sizes(self.grid), sizes(self.record.grid.unwrap_or(self.grid)));
        let small_seed = self.record.seed.unwrap_or(seed);
        say!("explored: seed {seed} is the first of {} that fails on the grid {whole}", self.seeds);
        say!("explored: the smallest grid found that still fails is {small}; what it shows stands above");
        say!("  again: --grid {small} --schedule-seed {small_seed} --threads 1");
    }
}

/// One launch of many.
struct Explorer<'e> {
    cpu: &'e Cpu,
    kernel: &'e Kernel,
    record: &'e Record,
    limit: Duration,
}

impl Explorer<'_> {
    fn run(
        &self,
        grid: [u32; 3],
        seed: u64,
        limit: Option<Duration>,
    ) -> anyhow::Result<Option<(Record, Outcome)>> {
        let record = Record { grid: Some(grid), seed: Some(seed), alone: true, ..self.record.clone() };
        match record.run(self.cpu, self.kernel, limit)? {
            Ok(outcome) => Ok(Some((record, outcome))),
            Err(e) if e.is_cancelled() && !crate::interrupt::token().is_cancelled() => Ok(None),
            Err(e) if e.is_cancelled() => bail!("interrupted: the launch was cancelled"),
            Err(e) => Err(crate::failure::launch(e)),
        }
    }

    /// How a grid fails, with this seed or one of a few others. A grid that the kernel refuses does not.
    fn fails(&self, grid: [u32; 3], seed: u64, seeds: u64) -> anyhow::Result<Option<(Record, Outcome)>> {
        for s in std::iter::once(seed).chain((0..seeds.min(SEEDS)).filter(|s| *s != seed)) {
            match self.run(grid, s, Some(self.limit)) {
                Ok(Some((record, outcome))) if record.failed(&outcome) => return Ok(Some((record, outcome))),
                Ok(_) => {}
                Err(e) if crate::interrupt::token().is_cancelled() => return Err(e),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Sizes below `n` to look at first: all of the small ones, then further and further apart, and the largest.
fn probes(n: u32) -> impl Iterator<Item = u32> {
    let last = n.saturating_sub(1);
    let all = std::iter::successors(Some(1u32), |g| g.checked_add((g / 3).max(1)));
    all.take_while(move |g| *g < last).chain((last > 0).then_some(last))
}

/// The smallest size below `n` that fails, as far as halving finds it: what failed there, or `None`.
fn smallest<T>(n: u32, mut fails: impl FnMut(u32) -> anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
    let mut good = 0;
    let mut found = None;
    for g in probes(n) {
        if let Some(failed) = fails(g)? {
            found = Some((g, failed));
            break;
        }
        good = g;
    }
    let Some((mut bad, mut failed)) = found else { return Ok(None) };
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match fails(middle)? {
            Some(f) => (bad, failed) = (middle, f),
            None => good = middle,
        }
    }
    Ok(Some(failed))
}

/// Tries the seeds below `seeds` until one fails, and then smaller grids.
///
/// # Errors
/// The launch is refused, or interrupted.
pub fn explore(
    cpu: &Cpu,
    kernel: &Kernel,
    record: &Record,
    config: LaunchConfig,
    seeds: u64,
) -> anyhow::Result<Explored> {
    let mut explorer = Explorer { cpu, kernel, record, limit: Duration::MAX };
    let mut slowest = Duration::from_millis(500);
    for seed in 0..seeds {
        let start = Instant::now();
        let Some((whole, outcome)) = explorer.run(config.grid, seed, None)? else {
            bail!("the launch was cancelled");
        };
        slowest = slowest.max(start.elapsed());
        let mut explored =
            Explored { seeds, tried: seed + 1, failing: None, grid: config.grid, record: whole, outcome };
        if explored.record.failed(&explored.outcome) {
            explored.failing = Some(seed);
            explorer.limit = slowest.saturating_mul(LONGER);
            // A smaller size in one dimension may allow one in another.
            for dimension in [0, 1, 2, 0] {
                let grid = explored.record.grid.unwrap_or(config.grid);
                let seed = explored.record.seed.unwrap_or(seed);
                let with = |n: u32| {
                    let mut grid = grid;
                    grid[dimension] = n;
                    explorer.fails(grid, seed, seeds)
                };
                if let Some((record, outcome)) = smallest(grid[dimension], with)? {
                    (explored.record, explored.outcome) = (record, outcome);
                }
            }
            return Ok(explored);
        }
        if seed + 1 == seeds {
            return Ok(explored);
        }
    }
    bail!("no seed to try")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_that_fails_is_found() {
        assert_eq!(probes(12).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8, 10, 11]);
        for n in [2u32, 3, 40, 1000] {
            for least in 1..n {
                let found = smallest(n, |g| Ok((g >= least).then_some(g))).unwrap();
                assert_eq!(found, Some(least), "of {n}");
            }
            assert_eq!(smallest(n, |_| Ok(None::<u32>)).unwrap(), None);
        }
        assert_eq!(smallest(1, |_| Ok(Some(1))).unwrap(), None, "nothing is smaller than 1");
    }
}
