//! Persistent workers that spin a little and then sleep. Tried in all interleavings by `tests/models`.

use super::Task;
use crate::primitive::{
    Arc, AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Condvar, JoinHandle, Mutex, Ordering, Patience,
    spawn, spin_loop, yield_now,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// How long an idle worker looks for work before it sleeps: longer than the gap between the steps of a sequence, short
/// enough to leave the core to others.
const SPIN: Duration = Duration::from_micros(60);

struct Shared {
    /// Epoch in the upper half, indexes not yet claimed in the lower: one word, so that a worker that is late cannot claim
    /// from a run that is over.
    slot: AtomicU64,
    /// The task of the current epoch: a pointer to the caller's `Task`, valid while indexes are unclaimed or running.
    task: AtomicPtr<()>,
    /// Calls not yet returned.
    pending: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Shared {
    /// Claims and runs indexes of epoch `epoch` until there are none.
    fn work(&self, epoch: u64) {
        loop {
            let slot = self.slot.load(Ordering::Acquire);
            let left = slot & 0xffff_ffff;
            if slot >> 32 != epoch || left == 0 {
                return;
            }
            let task = self.task.load(Ordering::Acquire);
            if self.slot.compare_exchange(slot, slot - 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            // SAFETY: the exchange succeeded, so this epoch still had an unclaimed index and the caller is inside `run`,
            // where `task` lives; the pointer was stored before the slot and is replaced only after `pending` reaches 0.
            let task: Task<'_> = unsafe { *task.cast::<Task<'_>>() };
            if catch_unwind(AssertUnwindSafe(|| task(left as usize - 1))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.pending.fetch_sub(1, Ordering::Release);
        }
    }

    fn worker(&self) {
        let mut seen = 0;
        let mut patience = Patience::new(SPIN);
        while !self.stop.load(Ordering::Acquire) {
            let epoch = self.slot.load(Ordering::Acquire) >> 32;
            if epoch != seen {
                seen = epoch;
                self.work(epoch);
                patience.renew();
                continue;
            }
            spin_loop();
            if patience.is_over() {
                let mut guard = self.lock.lock();
                // Paired with `wake_all`: of the two updates one comes first. If it is this one, the caller sees a sleeper and
                // wakes it, which waits for the lock; if it is the caller's, the slot it stored before is seen here.
                self.sleepers.fetch_add(1, Ordering::AcqRel);
                while self.slot.load(Ordering::Acquire) >> 32 == seen && !self.stop.load(Ordering::Acquire) {
                    self.wake.wait(&mut guard);
                }
                self.sleepers.fetch_sub(1, Ordering::AcqRel);
                drop(guard);
                patience.renew();
            }
        }
    }

    fn wake_all(&self) {
        // An update, not a load, which could miss the sleeper that missed the slot.
        if self.sleepers.fetch_add(0, Ordering::AcqRel) > 0 {
            let _guard = self.lock.lock();
            self.wake.notify_all();
        }
    }
}

/// The pool; dropping it ends its threads.
pub(crate) struct SpinPool {
    shared: Arc<Shared>,
    running: Mutex<()>,
    handles: Vec<JoinHandle<()>>,
}

impl SpinPool {
    #[cfg(any(test, phalanx_models))]
    pub(crate) fn new(workers: usize) -> SpinPool {
        SpinPool::beginning(workers, |_| {})
    }

    /// Workers that each call `begin` with their number before anything else.
    pub(crate) fn beginning(workers: usize, begin: impl Fn(usize) + Clone + Send + 'static) -> SpinPool {
        let shared = Arc::new(Shared {
            slot: AtomicU64::new(0),
            task: AtomicPtr::new(std::ptr::null_mut()),
            pending: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let start = |i: usize| {
            let (shared, begin) = (Arc::clone(&shared), begin.clone());
            spawn(format!("phalanx-spin-{i}"), move || {
                begin(i);
                shared.worker();
            })
        };
        let handles = (0..workers).filter_map(start).collect();
        SpinPool { shared, running: Mutex::new(()), handles }
    }

    /// Whether a worker sleeps, so that a run would have to wake it.
    pub(crate) fn is_asleep(&self) -> bool {
        self.shared.sleepers.load(Ordering::Relaxed) > 0
    }

    /// As [`super::Workers::run`]. Where another thread's run is under way, everything happens on the caller's thread: that
    /// run already keeps the cores busy.
    pub(crate) fn run(&self, n: usize, task: Task<'_>) {
        let Some(_running) = self.running.try_lock() else {
            return (0..n).for_each(task);
        };
        assert!(n < 1 << 32, "too many indexes for one run");
        let s = &*self.shared;
        s.pending.store(n, Ordering::Relaxed);
        s.task.store(std::ptr::from_ref(&task).cast_mut().cast(), Ordering::Release);
        let epoch = ((s.slot.load(Ordering::Relaxed) >> 32) + 1) & 0xffff_ffff;
        s.slot.store(epoch << 32 | n as u64, Ordering::Release);
        s.wake_all();
        s.work(epoch);
        let mut rounds = 0u32;
        while s.pending.load(Ordering::Acquire) > 0 {
            spin_loop();
            rounds += 1;
            if rounds.is_multiple_of(4096) {
                yield_now();
            }
        }
        if s.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a task on another thread panicked"));
        }
    }
}

impl Drop for SpinPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        {
            let _guard = self.shared.lock.lock();
            self.shared.wake.notify_all();
        }
        for h in self.handles.drain(..) {
            let _ = h.join();
        }
    }
}

#[cfg(all(test, not(phalanx_models)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_runs_once() {
        let pool = SpinPool::new(3);
        for n in [1usize, 2, 3, 7, 64, 1000] {
            let hits: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            for round in 1..=50 {
                pool.run(n, &|i| {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    hits.iter().all(|h| h.load(Ordering::Relaxed) == round),
                    "{n} indexes, round {round}"
                );
            }
        }
    }

    #[test]
    fn wakes_after_sleep_and_survives_panics() {
        let pool = SpinPool::new(2);
        std::thread::sleep(SPIN * 20);
        let count = AtomicUsize::new(0);
        pool.run(8, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 8);
        let r = catch_unwind(AssertUnwindSafe(|| pool.run(4, &|i| assert!(i != 2, "planted"))));
        assert!(r.is_err());
        pool.run(4, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 12);
    }

    #[test]
    fn a_run_inside_a_run_does_not_hang() {
        let pool = SpinPool::new(1);
        let count = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(4, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(count.load(Ordering::Relaxed), 16);
    }
}
