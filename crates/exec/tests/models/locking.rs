//! Allocation guards: launches on the same buffers in any order, a reader beside a waiting writer.

use crate::guards::order;
use crate::model;
use crate::primitive::{Arc, RwLock};

struct Allocation {
    number: u64,
    lock: RwLock,
}

/// A launch that binds these allocations: locks all, and unlocks after its work.
fn launch(all: &[Allocation], binds: &[(usize, bool)]) {
    let held = order(binds.iter().map(|(i, writes)| (&all[*i], *writes)), |a| a.number);
    held.iter().for_each(|(a, writes)| a.lock.lock(*writes));
    held.iter().for_each(|(a, writes)| a.lock.unlock(*writes));
}

type Binds = &'static [(usize, bool)];

fn launches(preemptions: usize, each: &'static [Binds]) {
    model(preemptions, move || {
        // Numbers against the order of the slice, as allocations may be bound.
        let all: Arc<Vec<Allocation>> =
            Arc::new([7, 3].map(|number| Allocation { number, lock: RwLock::new() }).into());
        let spawn = |binds: &'static [(usize, bool)]| {
            let all = Arc::clone(&all);
            loom::thread::spawn(move || launch(&all, binds))
        };
        let others: Vec<_> = each[1..].iter().map(|binds| spawn(binds)).collect();
        launch(&all, each[0]);
        others.into_iter().for_each(|t| t.join().unwrap());
    });
}

const READ: bool = false;
const WRITE: bool = true;

#[test]
fn copies_in_both_directions() {
    launches(3, &[&[(0, READ), (1, WRITE)], &[(1, READ), (0, WRITE)]]);
}

#[test]
fn copies_in_both_directions_beside_a_reader() {
    launches(2, &[&[(0, READ), (1, WRITE)], &[(1, READ), (0, WRITE)], &[(1, READ)]]);
}

#[test]
fn an_allocation_bound_twice_beside_a_writer() {
    launches(3, &[&[(0, READ), (0, READ), (1, READ)], &[(0, WRITE)]]);
    launches(3, &[&[(0, READ), (0, WRITE), (1, READ)], &[(1, WRITE), (0, READ)]]);
}

// Planted faults end in a panic, across which loom's own `Arc` must not be dropped.

/// The model sees the deadlock that the order prevents.
#[test]
#[should_panic(expected = "deadlock")]
fn a_planted_circle_is_found() {
    model(2, || {
        let all = std::sync::Arc::new([RwLock::new(), RwLock::new()]);
        let take = |all: &[RwLock; 2], first: usize| {
            all[first].lock(WRITE);
            all[1 - first].lock(WRITE);
            all[1 - first].unlock(WRITE);
            all[first].unlock(WRITE);
        };
        let other = std::sync::Arc::clone(&all);
        let thread = loom::thread::spawn(move || take(&other, 1));
        take(&all, 0);
        thread.join().unwrap();
    });
}

/// And the one of a reader that comes back while a writer waits.
#[test]
#[should_panic(expected = "deadlock")]
fn a_planted_second_read_is_found() {
    model(2, || {
        let lock = std::sync::Arc::new(RwLock::new());
        let other = std::sync::Arc::clone(&lock);
        let thread = loom::thread::spawn(move || {
            other.lock(WRITE);
            other.unlock(WRITE);
        });
        lock.lock(READ);
        lock.lock(READ);
        lock.unlock(READ);
        lock.unlock(READ);
        thread.join().unwrap();
    });
}
