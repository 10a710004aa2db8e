//! Threads: one trait, its implementations, and the loop that hands blocks to workers.
//!
//! Rayon serves coarse launches and is entered once per launch; the executor's own spin-then-park workers serve short launches
//! and launch sequences; tiny work stays on the caller's thread. A caller that is itself a rayon worker never waits inside
//! rayon: rayon's waiting threads steal other tasks, and a stolen task that launches on the same buffers would wait for locks
//! that the thread below it holds. Such callers are served by the own workers, which never steal.

use crate::launch::Launch;
use crate::trap::LaneTrap;
use queue::{Lowest, Queue};
pub use topology::{Held, Topology};

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
    /// Whether a run of some tens of microseconds is worth handing out now: false where threads would have to be woken for it, and
    /// nothing says that more will follow.
    fn are_awake(&self) -> bool {
        true
    }
    /// The memory nodes that the threads are held on, where there are several.
    fn topology(&self) -> Option<&Topology> {
        None
    }
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
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    /// Launches that begin within this time of each other would have kept the workers awake.
    const BURST: Duration = Duration::from_micros(60);
    /// So many of them in a row are worth waking for: as many again would win back what waking costs. Fewer are chance, and a
    /// caller who prepares buffers between launches would pay for waking each time.
    const STREAK: u32 = 16;

    /// Own rayon pool and own spinning workers, both started when first needed, with named threads.
    pub struct Threads {
        threads: usize,
        rayon: OnceLock<Option<rayon::ThreadPool>>,
        spin: OnceLock<SpinPool>,
        /// Where there are several nodes.
        topology: Option<Topology>,
        made: Instant,
        /// When `are_awake` was last asked, in nanoseconds after `made`.
        asked: AtomicU64,
        /// How often in a row that was within a burst.
        streak: AtomicU32,
    }

    impl Threads {
        /// Workers for `threads` threads, the caller's included; 0: as many as the machine has, or `RAYON_NUM_THREADS`.
        pub fn new(threads: usize) -> Threads {
            let from_env =
                || std::env::var("RAYON_NUM_THREADS").ok()?.parse::<usize>().ok().filter(|n| *n > 0);
            let machine = || std::thread::available_parallelism().map_or(1, |n| n.get());
            let threads = if threads > 0 { threads } else { from_env().unwrap_or_else(machine) };
            let (rayon, spin) = (OnceLock::new(), OnceLock::new());
            Threads {
                threads,
                rayon,
                spin,
                topology: None,
                made: Instant::now(),
                asked: AtomicU64::new(0),
                streak: AtomicU32::new(0),
            }
        }
        /// The same with threads held on memory nodes: the caller's counts as the first, but stays where it is.
        pub fn placed(threads: usize, topology: Topology) -> Threads {
            let topology = Some(topology).filter(|t| t.nodes() > 1);
            Threads { topology, ..Threads::new(threads) }
        }
        /// What thread `i` does first: it goes to its node, for as long as it lives.
        fn begin(&self) -> impl Fn(usize) + Clone + Send + Sync + 'static {
            let (topology, threads) = (self.topology.clone(), self.threads);
            move |i| {
                if let Some(t) = &topology {
                    std::mem::forget(t.hold(t.node_of_thread(i, threads)));
                }
            }
        }
        fn spin(&self) -> &SpinPool {
            let begin = self.begin();
            self.spin.get_or_init(|| SpinPool::beginning(self.threads - 1, move |i| begin(i + 1)))
        }
        fn rayon(&self) -> Option<&rayon::ThreadPool> {
            let build = || {
                let named = |i| format!("phalanx-rayon-{i}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).thread_name(named);
                pool.start_handler(self.begin()).build().ok()
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
        fn are_awake(&self) -> bool {
            let now = u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let before = self.asked.swap(now, Ordering::Relaxed);
            if now.saturating_sub(before) >= BURST.as_nanos() as u64 {
                self.streak.store(0, Ordering::Relaxed);
            } else if self.streak.load(Ordering::Relaxed) < STREAK {
                self.streak.fetch_add(1, Ordering::Relaxed);
            }
            self.streak.load(Ordering::Relaxed) >= STREAK || !self.spin().is_asleep()
        }
        fn topology(&self) -> Option<&Topology> {
            self.topology.as_ref()
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
pub(crate) mod spin;

pub(crate) mod queue;
mod topology;

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
    let traps = Lowest::new();
    let threads = (threads as u64).min(blocks).max(1);
    // Several pieces per thread, so that a slowed core does not leave the others waiting.
    let queue = Queue::new(blocks, (blocks / (threads * 16)).clamp(1, 1 << 16));
    // Blocks may wait for lower ones only where they start in their order.
    let waits = || launch.program.analysis(launch.kernel_index).may_wait;
    let nodes = launch.workers.topology().filter(|_| launch.options.by_node && threads > 1 && !waits());
    let nodes = nodes.filter(|_| order.is_ascending()).map(|t| (t, t.queues(launch)));
    let work = |_: usize| {
        let _float_mode = FloatMode::nearest_with_denormals();
        let mut state = None;
        if let Some((topology, queues)) = &nodes {
            let node = topology.here();
            while let Some(piece) = queues.take(node) {
                let state = state.get_or_insert_with(&init);
                for block in piece.filter(|block| !traps.is_below(*block)) {
                    if let Err(trap) = run(state, block) {
                        traps.add(block, trap);
                    }
                }
            }
            return;
        }
        while let Some(piece) = queue.take() {
            let state = state.get_or_insert_with(&init);
            for block in piece.map(|place| order.at(place)) {
                if traps.is_below(block) {
                    if order.is_ascending() {
                        return;
                    }
                    continue;
                }
                if let Err(trap) = run(state, block) {
                    traps.add(block, trap);
                }
            }
        }
    };
    if threads == 1 {
        work(0)
    } else {
        launch.workers.run(threads as usize, grain, &work)
    }
    traps.into_inner().map_or(Ok(()), Err)
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
