//! loom's primitives behind the names and forms of the executor's `primitive` module.

pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
pub use loom::thread::{JoinHandle, yield_now};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Loom gives other threads a turn where a real thread would spin.
pub fn spin_loop() {
    yield_now();
}

pub fn spawn(_name: String, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    Some(loom::thread::spawn(work))
}

/// Over at once, so that every look for work may end in sleep.
pub struct Patience;

impl Patience {
    pub fn new(_: Duration) -> Patience {
        Patience
    }
    pub fn renew(&mut self) {}
    pub fn is_over(&mut self) -> bool {
        true
    }
}

/// As parking_lot's: no poison.
pub struct Mutex<T>(loom::sync::Mutex<T>);

pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap()))
    }
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard)))
    }
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}
impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

/// As parking_lot's: it waits on a borrowed guard.
pub struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub fn new() -> Condvar {
        Condvar(loom::sync::Condvar::new())
    }
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.0.take().unwrap();
        guard.0 = Some(self.0.wait(inner).unwrap());
    }
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock for readers and writers as strict as parking_lot's: new readers wait behind a waiting writer. (Loom's own lets them
/// pass, and would not see the deadlocks that this causes.)
pub struct RwLock(Mutex<RwState>, Condvar);

#[derive(Default)]
struct RwState {
    readers: usize,
    writer: bool,
    waiting_writers: usize,
}

impl RwLock {
    pub fn new() -> RwLock {
        RwLock(Mutex::new(RwState::default()), Condvar::new())
    }
    pub fn lock(&self, writes: bool) {
        let mut s = self.0.lock();
        if writes {
            s.waiting_writers += 1;
            while s.writer || s.readers > 0 {
                self.1.wait(&mut s);
            }
            s.waiting_writers -= 1;
            s.writer = true;
        } else {
            while s.writer || s.waiting_writers > 0 {
                self.1.wait(&mut s);
            }
            s.readers += 1;
        }
    }
    pub fn unlock(&self, writes: bool) {
        let mut s = self.0.lock();
        if writes {
            s.writer = false
        } else {
            s.readers -= 1
        }
        self.1.notify_all();
    }
}
