//! What the launches of a kernel cost so far, to decide whether threads are worth their trouble.
//!
//! Work below some microseconds is done before another thread has taken it up, and some more before one has woken. Of a kernel
//! that has not run the instructions count; loops make that a lower bound, so they count as a hundred rounds. How long a
//! native operation takes follows from its shape. Work that is enough for several threads may still be slower on them (they
//! wait for each other's pages or cache lines), which no count shows: launches that come again are tried both ways.

use super::decode::Program;
use crate::launch::{Launch, Slot};
use crate::native;
use parking_lot::Mutex;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds below which work is not worth handing to a thread that waits for it.
const HAND_OVER: u64 = 6_000;
/// The same where the cost is but counted.
const UNSURE: u64 = 20_000;
/// Nanoseconds below which work is not worth waking a thread that sleeps.
const WAKING: u64 = 60_000;
/// Nanoseconds from which on several threads are taken without trying one.
const LONG: u64 = 1_000_000;

/// What a kernel cost so far.
#[derive(Default)]
pub(super) struct Cost {
    /// Picoseconds of a chunk on one thread, 0 before the first launch.
    each: AtomicU64,
    /// Launches on one thread so far.
    alone: AtomicU64,
    /// The last launches that were tried both ways.
    repeated: Mutex<[Repeated; 4]>,
}

/// How a launch is to run.
pub(super) struct Choice {
    /// On the caller's thread.
    pub alone: bool,
    /// Nanoseconds of the work on one thread, roughly.
    pub cost: u64,
    /// The launch's key where it is tried both ways.
    key: Option<u64>,
}

/// A launch that came before, with the same sizes and numbers.
#[derive(Clone, Copy, Default)]
struct Repeated {
    key: u64,
    runs: u32,
    /// Nanoseconds of the last launches on one thread and on several: of three the middle one says what is usual, whatever
    /// happened to one of them.
    alone: [u64; 3],
    together: [u64; 3],
}

impl Repeated {
    /// Every so many launches the slower way is tried again: what is slow depends on what else runs.
    const AGAIN: u32 = 64;

    /// Whether the next launch is to be alone.
    fn next(&mut self) -> bool {
        self.runs = self.runs.wrapping_add(1);
        let better = middle(self.alone) < middle(self.together);
        match self.runs {
            n @ 1..=6 => n % 2 == 0,
            n if n % Repeated::AGAIN == 0 => !better,
            _ => better,
        }
    }
}

fn middle(mut times: [u64; 3]) -> u64 {
    times.sort_unstable();
    times[1]
}

/// What tells launches of a kernel apart as far as time goes: sizes and numbers, not which buffers.
fn key(launch: &Launch<'_>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    (launch.grid, launch.block, launch.shared_len).hash(&mut hasher);
    for slot in launch.slots.iter() {
        match slot {
            Slot::Scalar(bits) => bits.hash(&mut hasher),
            Slot::Views(views) => views.iter().for_each(|v| v.len().hash(&mut hasher)),
            Slot::Packed(_) | Slot::Filters(_) => {}
        }
    }
    hasher.finish()
}

impl Cost {
    /// Launches of little work that run on one thread for its cost to be seen: the first finds caches and memory cold.
    const TRIALS: u64 = 3;

    /// Decides for a launch of `chunks` chunks in all.
    pub fn choose(&self, program: &Program, launch: &Launch<'_>, chunks: u64) -> Choice {
        let noted = if program.has_native { None } else { self.guess(chunks) };
        let (cost, least) = match noted {
            Some(cost) => (cost, HAND_OVER),
            None => {
                let each = program.static_cost * if program.has_loops { 1000 } else { 10 };
                let native = if program.has_native { native::nanoseconds(launch) } else { 0 };
                (each.saturating_mul(chunks).saturating_add(native), UNSURE)
            }
        };
        let unknown = !program.has_native && self.alone.load(Ordering::Relaxed) < Cost::TRIALS;
        let alone = launch.threads() <= 1
            || cost < least
            || (cost < WAKING && (unknown || !launch.workers.are_awake()));
        if alone || program.has_native || cost >= LONG {
            return Choice { alone, cost, key: None };
        }
        let key = key(launch);
        Choice { alone: self.repeat(key).next(), cost, key: Some(key) }
    }

    /// Notes that a launch took this long on `threads` threads. On several the work of a chunk is at most the product, as
    /// threads wait too.
    pub fn note(&self, choice: &Choice, chunks: u64, time: Duration, threads: usize) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let each = nanoseconds.saturating_mul(1000).saturating_mul(threads as u64) / chunks.max(1);
        let old = self.each.load(Ordering::Relaxed);
        let next = match old {
            0 => each,
            _ if each < old => each,
            _ if threads > 1 => old,
            // One slow launch among others counts a quarter.
            _ => old - old / 4 + each / 4,
        };
        self.each.store(next.max(1), Ordering::Relaxed);
        if threads == 1 {
            self.alone.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(key) = choice.key {
            let mut seen = self.repeat(key);
            let way = if choice.alone { &mut seen.alone } else { &mut seen.together };
            way.rotate_left(1);
            way[2] = nanoseconds;
        }
    }

    /// Nanoseconds of `chunks` chunks on one thread, as the last launches took.
    fn guess(&self, chunks: u64) -> Option<u64> {
        let each = self.each.load(Ordering::Relaxed);
        (each > 0).then(|| each.saturating_mul(chunks) / 1000)
    }

    /// The entry of a key, which takes the place of the least used one where it is new.
    fn repeat(&self, key: u64) -> parking_lot::MappedMutexGuard<'_, Repeated> {
        parking_lot::MutexGuard::map(self.repeated.lock(), |all| {
            let at = all.iter().position(|r| r.key == key && r.runs > 0).unwrap_or_else(|| {
                let at = (0..all.len()).min_by_key(|i| all[*i].runs).unwrap_or(0);
                all[at] = Repeated { key, ..Repeated::default() };
                at
            });
            &mut all[at]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launches(alone: u64, together: u64, n: u32) -> Vec<bool> {
        let cost = Cost::default();
        let mut ways = Vec::new();
        for _ in 0..n {
            let choice = Choice { alone: cost.repeat(7).next(), cost: 0, key: Some(7) };
            ways.push(choice.alone);
            let (time, threads) = if choice.alone { (alone, 1) } else { (together, 2) };
            cost.note(&choice, 10, Duration::from_nanos(time), threads);
        }
        ways
    }

    #[test]
    fn what_is_slower_together_ends_up_alone_and_is_tried_again() {
        let ways = launches(100_000, 120_000, 130);
        assert_eq!(ways[..6], [false, true, false, true, false, true]);
        let together: Vec<usize> = (6..130).filter(|i| !ways[*i]).collect();
        assert_eq!(together, [63, 127]);
        let alone = launches(100_000, 60_000, 130).into_iter().filter(|a| *a).count();
        assert_eq!(alone, 3 + 2);
    }

    #[test]
    fn a_new_launch_takes_the_least_used_place() {
        let cost = Cost::default();
        for key in 0..4 {
            for _ in 0..=key {
                cost.repeat(key).next();
            }
        }
        assert!(!cost.repeat(9).next());
        assert_eq!(cost.repeated.lock().map(|r| (r.key, r.runs)), [(9, 1), (1, 2), (2, 3), (3, 4)]);
    }

    #[test]
    fn the_work_of_a_chunk_is_the_shortest_and_goes_up_slowly() {
        let cost = Cost::default();
        let once = Choice { alone: true, cost: 0, key: None };
        let note = |ns: u64, threads| cost.note(&once, 10, Duration::from_nanos(ns), threads);
        assert_eq!(cost.guess(10), None);
        note(1000, 1);
        assert_eq!(cost.guess(20), Some(2000));
        note(2000, 1);
        assert_eq!(cost.guess(10), Some(1250));
        note(2000, 2);
        assert_eq!(cost.guess(10), Some(1250));
        note(300, 2);
        assert_eq!(cost.guess(10), Some(600));
    }
}
