//! Sums for every thread, merged when the launch ends.

use super::{Accumulator, Cells, Design, Floats, Fraction, FrontLoop, Mutex, Sums};
use std::sync::OnceLock;

/// Places for threads. More threads than places share them, which is slower and nothing else.
const PLACES: usize = 64;

/// A place of its own for every thread that adds: a lock that nobody else asks for. Memory follows the threads, not the grid.
pub struct PerWorker {
    places: [Place; PLACES],
}

/// Apart from its neighbours, so that threads do not pass a cache line to and fro.
#[repr(align(128))]
#[derive(Default)]
struct Place(OnceLock<Box<Mutex<Cells>>>);

impl Default for PerWorker {
    fn default() -> PerWorker {
        PerWorker { places: std::array::from_fn(|_| Place::default()) }
    }
}

/// Where this thread looks first: some number that differs between threads.
fn first_choice() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    // Thread-local variables of different threads lie in different pages.
    let address = MARK.with(|m| std::ptr::from_ref(m) as usize as u64);
    ((address >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl PerWorker {
    /// Runs `act` on the sums of a free place, the thread's own if it can be had.
    fn with(&self, act: impl FnOnce(&mut Cells)) {
        let first = first_choice();
        for i in 0..PLACES {
            let place = self.places[(first + i) % PLACES].0.get_or_init(Box::default);
            if let Some(mut cells) = place.try_lock() {
                return act(&mut cells);
            }
        }
        act(&mut self.places[first % PLACES].0.get_or_init(Box::default).lock());
    }
}

impl Accumulator for PerWorker {
    fn design(&self) -> Design {
        Design::PerWorker
    }
    fn floats(&self, floats: Floats<'_>, each: FrontLoop) {
        self.with(|cells| cells.floats(floats, each));
    }
    fn fractions(&self, fractions: &[Fraction]) {
        self.with(|cells| cells.fractions(fractions));
    }
    fn take(&self) -> Sums {
        let mut all = Sums::default();
        self.places.iter().filter_map(|p| p.0.get()).for_each(|p| all.merge(p.lock().take()));
        all
    }
}
