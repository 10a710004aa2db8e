//! What hand-written synchronisation is made of. Modules that synchronise take these from here and from nowhere else, so that
//! `tests/models` can compile the same sources with loom's in their place and try every interleaving.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "parallel")]
pub(crate) use threads::*;

#[cfg(feature = "parallel")]
mod threads {
    pub(crate) use parking_lot::Condvar;
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};
    pub(crate) use std::thread::{JoinHandle, yield_now};
    use std::time::{Duration, Instant};

    /// Starts a thread; `None` where the system gives none.
    pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
        std::thread::Builder::new().name(name).spawn(work).ok()
    }

    /// Tells when a thread has looked for work long enough.
    pub(crate) struct Patience {
        limit: Duration,
        since: Instant,
        rounds: u32,
    }

    impl Patience {
        pub(crate) fn new(limit: Duration) -> Patience {
            Patience { limit, since: Instant::now(), rounds: 0 }
        }
        /// It has found some, and begins again.
        pub(crate) fn renew(&mut self) {
            self.since = Instant::now();
        }
        /// Once for every look.
        pub(crate) fn is_over(&mut self) -> bool {
            self.rounds = self.rounds.wrapping_add(1);
            self.rounds.is_multiple_of(64) && self.since.elapsed() > self.limit
        }
    }
}
