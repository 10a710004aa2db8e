//! Workers: every index once, completion, sleep and wake, the end of the pool; queues; chunks of a block between barriers.

use crate::model;
use crate::primitive::{Arc, AtomicU64, Ordering};
use crate::workers::queue::{Lowest, Queue, share};
use crate::workers::spin::SpinPool;
use loom::cell::UnsafeCell;

/// Plain memory, each place used by one thread at a time: loom fails where nothing orders two uses.
struct Plain(Vec<UnsafeCell<u64>>);

// SAFETY: loom stops the model at the first access that nothing orders after a conflicting one.
unsafe impl Sync for Plain {}
// SAFETY: as above.
unsafe impl Send for Plain {}

impl Plain {
    fn new(n: usize) -> Plain {
        Plain((0..n).map(|_| UnsafeCell::new(0)).collect())
    }
    fn bump(&self, i: usize) {
        // SAFETY: see `Sync`.
        self.0[i].with_mut(|v| unsafe { *v += 1 });
    }
    fn get(&self, i: usize) -> u64 {
        // SAFETY: see `Sync`.
        self.0[i].with(|v| unsafe { *v })
    }
}

/// Runs of a pool of `workers` threads beside the caller: each index once a run, and the caller sees what was done.
fn runs(workers: usize, indexes: &'static [usize]) {
    let pool = SpinPool::new(workers);
    for n in indexes {
        // Gone when the run is over: a late worker that came back to its task would be found out.
        let (done, task_lives) = (Plain::new(*n), Plain::new(1));
        pool.run(*n, &|i| {
            task_lives.get(0);
            done.bump(i);
        });
        task_lives.bump(0);
        (0..*n).for_each(|i| assert_eq!(done.get(i), 1));
    }
}

#[test]
fn one_worker_two_runs() {
    model(3, || runs(1, &[2, 2]));
}

#[test]
fn two_workers_one_run() {
    model(1, || runs(2, &[3]));
}

#[test]
fn a_pool_that_was_never_used_ends() {
    model(3, || drop(SpinPool::new(2)));
}

#[test]
fn two_callers_share_a_pool() {
    model(2, || {
        let pool = Arc::new(SpinPool::new(1));
        let other = {
            let pool = Arc::clone(&pool);
            loom::thread::spawn(move || {
                let done = Plain::new(2);
                pool.run(2, &|i| done.bump(i));
                (0..2).for_each(|i| assert_eq!(done.get(i), 1));
            })
        };
        let done = Plain::new(2);
        pool.run(2, &|i| done.bump(i));
        (0..2).for_each(|i| assert_eq!(done.get(i), 1));
        other.join().unwrap();
    });
}

/// Workers as the chunks of a block are shared out to, without the pool's own interleavings: one new thread and the caller.
fn two_threads(task: crate::workers::Task<'_>) {
    // SAFETY: the thread is joined before the task goes away.
    let task: &'static crate::workers::Task<'static> = unsafe { &*std::ptr::from_ref(&task).cast() };
    let other = loom::thread::spawn(move || task(1));
    task(0);
    other.join().unwrap();
}

#[test]
fn a_queue_hands_out_every_number_once() {
    model(3, || {
        let (queue, taken) = (Queue::new(5, 2), Plain::new(5));
        two_threads(&|_| {
            while let Some(piece) = queue.take() {
                piece.for_each(|i| taken.bump(i as usize));
            }
        });
        (0..5).for_each(|i| assert_eq!(taken.get(i), 1));
    });
}

#[test]
fn the_lowest_trap_wins_and_all_below_it_ran() {
    model(3, || {
        let (queue, traps, ran) = (Queue::new(5, 1), Lowest::new(), Plain::new(5));
        two_threads(&|_| {
            while let Some(piece) = queue.take() {
                for block in piece {
                    if traps.is_below(block) {
                        return;
                    }
                    ran.bump(block as usize);
                    if block == 1 || block == 3 {
                        traps.add(block, block);
                    }
                }
            }
        });
        assert_eq!(traps.into_inner(), Some(1));
        (0..=1).for_each(|i| assert_eq!(ran.get(i), 1));
    });
}

#[test]
fn the_lowest_trap_wins_in_any_order_of_blocks() {
    model(3, || {
        let order = [3u64, 0, 2, 1];
        let (queue, traps, ran) = (Queue::new(4, 1), Lowest::new(), Plain::new(4));
        two_threads(&|_| {
            while let Some(piece) = queue.take() {
                for block in piece.map(|i| order[i as usize]) {
                    if traps.is_below(block) {
                        continue;
                    }
                    ran.bump(block as usize);
                    if block > 0 {
                        traps.add(block, block);
                    }
                }
            }
        });
        assert_eq!(traps.into_inner(), Some(1));
        (0..=1).for_each(|i| assert_eq!(ran.get(i), 1));
    });
}

/// Chunks write before a barrier what others read after it; which thread runs which chunk is open in both intervals.
#[test]
fn a_barrier_between_chunks_orders_what_they_write() {
    model(3, || {
        let memory = Plain::new(3);
        let mut chunks = [0usize, 1, 2];
        for interval in 0..2u64 {
            let run = |_: usize, task: crate::workers::Task<'_>| two_threads(task);
            share(
                &mut chunks,
                2,
                |i| 2 - i,
                run,
                |chunk| {
                    let mine = (*chunk + interval as usize) % 3;
                    assert_eq!(memory.get(mine), interval);
                    memory.bump(mine);
                },
            );
        }
        (0..3).for_each(|i| assert_eq!(memory.get(i), 2));
    });
}

/// The same on the pool.
#[test]
fn a_barrier_between_chunks_on_the_pool() {
    model(2, || {
        let (pool, memory) = (SpinPool::new(1), Plain::new(2));
        let mut chunks = [0usize, 1];
        for interval in 0..2u64 {
            let run = |n: usize, task: crate::workers::Task<'_>| pool.run(n, task);
            share(
                &mut chunks,
                2,
                |i| i,
                run,
                |chunk| {
                    let mine = (*chunk + interval as usize) % 2;
                    assert_eq!(memory.get(mine), interval);
                    memory.bump(mine);
                },
            );
        }
    });
}

/// The models see what they are for: an index counted twice, a store that is not released.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_planted_race_is_found() {
    model(2, || {
        let (memory, ready) = (Plain::new(1), AtomicU64::new(0));
        two_threads(&|i| {
            if i == 0 {
                memory.bump(0);
                ready.store(1, Ordering::Relaxed);
            } else if ready.load(Ordering::Relaxed) == 1 {
                memory.bump(0);
            }
        });
    });
}
