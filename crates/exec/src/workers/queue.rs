//! Work that several threads share: numbers handed out in order, results of which the lowest counts.

use super::Task;
use crate::primitive::{AtomicU64, Mutex, Ordering};
use std::ops::Range;

/// The numbers below a count, handed out ascending in pieces; each number once.
pub(crate) struct Queue {
    next: AtomicU64,
    count: u64,
    step: u64,
}

impl Queue {
    pub(crate) fn new(count: u64, step: u64) -> Queue {
        Queue { next: AtomicU64::new(0), count, step }
    }
    /// The next piece; `None`: all are handed out. (What was done for one number reaches whoever waits for the threads to
    /// return, by that waiting.)
    pub(crate) fn take(&self) -> Option<Range<u64>> {
        let from = self.next.fetch_add(self.step, Ordering::Relaxed);
        (from < self.count).then(|| from..self.count.min(from + self.step))
    }
}

/// What was found at the lowest number so far, by all threads.
pub(crate) struct Lowest<T> {
    at: AtomicU64,
    first: Mutex<Option<(u64, T)>>,
}

impl<T> Lowest<T> {
    pub(crate) fn new() -> Lowest<T> {
        Lowest { at: AtomicU64::new(u64::MAX), first: Mutex::new(None) }
    }
    /// Whether something was found below `at`, so that what is there no longer counts.
    pub(crate) fn is_below(&self, at: u64) -> bool {
        at > self.at.load(Ordering::Relaxed)
    }
    pub(crate) fn add(&self, at: u64, found: T) {
        self.at.fetch_min(at, Ordering::Relaxed);
        let mut first = self.first.lock();
        if first.as_ref().is_none_or(|(lowest, _)| at < *lowest) {
            *first = Some((at, found));
        }
    }
    pub(crate) fn into_inner(self) -> Option<T> {
        self.first.into_inner().map(|(_, found)| found)
    }
}

/// Calls `work` for every item on several threads, which take the items in the order of `place`. All calls have returned, and
/// what they did is seen by the caller, when this returns: `run` is a run of workers.
pub(crate) fn share<T: Send>(
    items: &mut [T],
    threads: usize,
    place: impl Fn(u64) -> u64 + Sync,
    run: impl FnOnce(usize, Task<'_>),
    work: impl Fn(&mut T) + Sync,
) {
    // No thread ever waits for a lock: the queue gives each item to one.
    let items: Vec<Mutex<&mut T>> = items.iter_mut().map(Mutex::new).collect();
    let queue = Queue::new(items.len() as u64, 1);
    run(threads, &|_| {
        while let Some(piece) = queue.take() {
            for i in piece {
                work(&mut items[place(i) as usize].lock());
            }
        }
    });
}
