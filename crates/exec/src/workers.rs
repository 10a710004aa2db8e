//! Threads: one trait, its implementations, and the loop that hands blocks to workers.
//!
//! Rayon serves coarse launches and is entered once per launch; the executor's own spin-then-park workers serve short launches
//! and launch sequences; tiny work stays on the caller's thread. A caller that is itself a rayon worker never waits inside
//! rayon: rayon's waiting threads steal other tasks, and a stolen task that launches on the same buffers would wait for locks
//! that the thread below it holds. Such callers are served by the own workers, which never steal.

use crate::launch::Launch;
use crate::trap::LaneTrap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A task for `run`: called once for each index below the count.
pub type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// How long the indexes of a run will take together, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Tens of microseconds: waking a sleeping thread would cost as much.
    Short,
    /// Longer.
    Coarse,
}

/// Something that runs tasks on several threads.
pub trait Workers: Send + Sync {
    /// How many threads can work at once, the caller's included.
    fn threads(&self) -> usize;
    /// Calls `task(i)` once for every `i < n`, on the caller's and other threads, and returns when all calls have returned.
    /// Calls may run one after another: no call may wait for another one.
    fn run(&self, n: usize, grain: Grain, task: Task<'_>);
}

/// Everything on the caller's thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential;

impl Workers for Sequential {
    fn threads(&self) -> usize {
        1
    }
    fn run(&self, n: usize, _: Grain, task: Task<'_>) {
        (0..n).for_each(task);
    }
}

#[cfg(feature = "parallel")]
pub use threaded::{Rayon, Threads};

#[cfg(feature = "parallel")]
mod threaded {
    use super::*;
    use crate::workers::spin::SpinPool;
    use std::sync::OnceLock;

    /// Own rayon pool and own spinning workers, both started when first needed, with named threads.
    pub struct Threads {
        threads: usize,
        rayon: OnceLock<Option<rayon::ThreadPool>>,
        spin: OnceLock<SpinPool>,
    }

    impl Threads {
        /// Workers for `threads` threads, the caller's included; 0: as many as the machine has, or `RAYON_NUM_THREADS`.
        pub fn new(threads: usize) -> Threads {
            let from_env =
                || std::env::var("RAYON_NUM_THREADS").ok()?.parse::<usize>().ok().filter(|n| *n > 0);
            let machine = || std::thread::available_parallelism().map_or(1, |n| n.get());
            let threads = if threads > 0 { threads } else { from_env().unwrap_or_else(machine) };
            Threads { threads, rayon: OnceLock::new(), spin: OnceLock::new() }
        }
        fn spin(&self) -> &SpinPool {
            self.spin.get_or_init(|| SpinPool::new(self.threads - 1))
        }
        fn rayon(&self) -> Option<&rayon::ThreadPool> {
            let build = || {
                let named = |i| format!("phalanx-rayon-{i}");
                rayon::ThreadPoolBuilder::new().num_threads(self.threads).thread_name(named).build().ok()
            };
            self.rayon.get_or_init(build).as_ref()
        }
    }

    impl Workers for Threads {
        fn threads(&self) -> usize {
            self.threads
        }
        fn run(&self, n: usize, grain: Grain, task: Task<'_>) {
            if n <= 1 || self.threads <= 1 {
                return (0..n).for_each(task);
            }
            let inside_rayon = rayon::current_thread_index().is_some();
            match self.rayon().filter(|_| grain == Grain::Coarse && !inside_rayon) {
                Some(pool) => Rayon::scope(pool, n, task),
                None => self.spin().run(n, task),
            }
        }
    }

    /// A rayon pool of the caller's.
    pub struct Rayon(pub std::sync::Arc<rayon::ThreadPool>);

    impl Rayon {
        fn scope(pool: &rayon::ThreadPool, n: usize, task: Task<'_>) {
            pool.scope(|s| (0..n).for_each(|i| s.spawn(move |_| task(i))));
        }
    }

    impl Workers for Rayon {
        fn threads(&self) -> usize {
            self.0.current_num_threads()
        }
        fn run(&self, n: usize, _: Grain, task: Task<'_>) {
            // See the module's head: inside any rayon task, waiting in rayon could steal a launch on the same buffers.
            if n <= 1 || rayon::current_thread_index().is_some() {
                return (0..n).for_each(task);
            }
            Rayon::scope(&self.0, n, task);
        }
    }
}

#[cfg(feature = "parallel")]
pub(crate) mod spin {
    //! Persistent workers that spin a little and then sleep.

    use super::Task;
    use parking_lot::{Condvar, Mutex};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

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
            let mut idle_since = Instant::now();
            let mut rounds = 0u32;
            while !self.stop.load(Ordering::Acquire) {
                let epoch = self.slot.load(Ordering::Acquire) >> 32;
                if epoch != seen {
                    seen = epoch;
                    self.work(epoch);
                    idle_since = Instant::now();
                    continue;
                }
                std::hint::spin_loop();
                rounds = rounds.wrapping_add(1);
                if rounds.is_multiple_of(64) && idle_since.elapsed() > SPIN {
                    let mut guard = self.lock.lock();
                    self.sleepers.fetch_add(1, Ordering::SeqCst);
                    while self.slot.load(Ordering::SeqCst) >> 32 == seen && !self.stop.load(Ordering::Acquire)
                    {
                        self.wake.wait(&mut guard);
                    }
                    self.sleepers.fetch_sub(1, Ordering::SeqCst);
                    drop(guard);
                    idle_since = Instant::now();
                }
            }
        }

        fn wake_all(&self) {
            if self.sleepers.load(Ordering::SeqCst) > 0 {
                let _guard = self.lock.lock();
                self.wake.notify_all();
            }
        }
    }

    /// The pool; dropping it ends its threads.
    pub(crate) struct SpinPool {
        shared: Arc<Shared>,
        running: Mutex<()>,
        handles: Vec<std::thread::JoinHandle<()>>,
    }

    impl SpinPool {
        pub(crate) fn new(workers: usize) -> SpinPool {
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
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("phalanx-spin-{i}"))
                    .spawn(move || shared.worker())
                    .ok()
            };
            let handles = (0..workers).filter_map(start).collect();
            SpinPool { shared, running: Mutex::new(()), handles }
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
            s.slot.store(epoch << 32 | n as u64, Ordering::SeqCst);
            s.wake_all();
            s.work(epoch);
            let mut rounds = 0u32;
            while s.pending.load(Ordering::Acquire) > 0 {
                std::hint::spin_loop();
                rounds += 1;
                if rounds.is_multiple_of(4096) {
                    std::thread::yield_now();
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

    #[cfg(test)]
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
}

/// The trap of the lowest block so far, of all threads.
pub(crate) struct Traps {
    first: Mutex<Option<LaneTrap>>,
    lowest: AtomicU64,
}

impl Traps {
    pub(crate) fn new() -> Traps {
        Traps { first: Mutex::new(None), lowest: AtomicU64::new(u64::MAX) }
    }
    /// Whether a lower block than this one trapped, so that it need not run.
    pub(crate) fn stop(&self, block: u64) -> bool {
        block > self.lowest.load(Ordering::Relaxed)
    }
    pub(crate) fn add(&self, trap: LaneTrap) {
        self.lowest.fetch_min(trap.block, Ordering::Relaxed);
        let mut slot = self.first.lock();
        if slot.as_ref().is_none_or(|t| trap.block < t.block) {
            *slot = Some(trap);
        }
    }
    pub(crate) fn result(self) -> Result<(), LaneTrap> {
        self.first.into_inner().map_or(Ok(()), Err)
    }
}

/// Runs all blocks of a launch: each worker makes its state once and takes blocks in the launch's order. Reports the trap of the
/// lowest block; blocks below a trapping one run to their end first, blocks above it may not start.
pub(crate) fn run_blocks<S>(
    launch: &Launch<'_>,
    threads: usize,
    grain: Grain,
    init: impl Fn() -> S + Sync,
    run: impl Fn(&mut S, u64) -> Result<(), LaneTrap> + Sync,
) -> Result<(), LaneTrap> {
    let blocks = launch.blocks();
    let order = launch.block_order();
    let traps = Traps::new();
    let next = AtomicU64::new(0);
    let threads = (threads as u64).min(blocks).max(1);
    // Several claims per thread, so that a slowed core does not leave the others waiting.
    let step = (blocks / (threads * 16)).clamp(1, 1 << 16);
    let work = |_: usize| {
        let _float_mode = FloatMode::nearest_with_denormals();
        let mut state = None;
        loop {
            let from = next.fetch_add(step, Ordering::Relaxed);
            if from >= blocks {
                return;
            }
            let state = state.get_or_insert_with(&init);
            for block in (from..(from + step).min(blocks)).map(|i| order.at(i)) {
                if traps.stop(block) {
                    if order.is_ascending() {
                        return;
                    }
                    continue;
                }
                if let Err(trap) = run(state, block) {
                    traps.add(trap);
                }
            }
        }
    };
    if threads == 1 {
        work(0)
    } else {
        launch.workers.run(threads as usize, grain, &work)
    }
    traps.result()
}

/// Sets this thread's float mode to round-to-nearest with denormals kept and no traps; the mode before comes back on drop.
/// Lanes run on the caller's thread too, and the caller may have set flush-to-zero for its own work.
pub(crate) struct FloatMode {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    before: u64,
    // Restoring is for the thread that was changed.
    _this_thread: std::marker::PhantomData<*const ()>,
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod control {
    /// All exceptions masked, round to nearest, flush-to-zero and denormals-are-zero off.
    pub(super) const NEAREST: u64 = 0x1f80;
    pub(super) fn get() -> u64 {
        let mut csr = 0u32;
        // SAFETY: stmxcsr stores the 32-bit control register to the given address, nothing else.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut csr, options(nostack, preserves_flags)) };
        csr.into()
    }
    pub(super) fn set(mode: u64) {
        let csr = mode as u32;
        // SAFETY: the value is NEAREST or one that `get` returned, so no reserved bit is set; the default-mode assumption of
        // compiled code holds afterwards (NEAREST) or is as the caller had it (restored).
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &csr, options(nostack, preserves_flags, readonly)) };
    }
}
#[cfg(all(target_arch = "aarch64", not(miri)))]
mod control {
    /// Round to nearest, flush-to-zero off, exceptions not trapped.
    pub(super) const NEAREST: u64 = 0;
    pub(super) fn get() -> u64 {
        let fpcr: u64;
        // SAFETY: reads the control register only.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
        fpcr
    }
    pub(super) fn set(mode: u64) {
        // SAFETY: NEAREST or a value that `get` returned; see the x86 form.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) mode, options(nomem, nostack, preserves_flags)) };
    }
}
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod control {
    pub(super) const NEAREST: u64 = 0;
    pub(super) fn get() -> u64 {
        NEAREST
    }
    pub(super) fn set(_: u64) {}
}

impl FloatMode {
    pub(crate) fn nearest_with_denormals() -> FloatMode {
        let before = control::get();
        control::set(control::NEAREST);
        FloatMode {
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            before,
            _this_thread: std::marker::PhantomData,
        }
    }
}

impl Drop for FloatMode {
    fn drop(&mut self) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        control::set(self.before);
    }
}
