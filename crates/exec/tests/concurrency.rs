//! Many threads on one executor and on shared buffers: what ThreadSanitizer is run on (`.ci/jobs/84-tsan.sh`), at the scalar and
//! the best SIMD level. Results are checked too, so the tests say something without it.
#![cfg(feature = "parallel")]

mod common;

use common::*;
use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::reference::Reference;
use phalanx_exec::resonance::exact::Exact;
use phalanx_exec::resonance::{Design, Floats, Fraction, FrontLoop, Ratio};
use phalanx_exec::sequence::Recorder;
use phalanx_exec::workers::{Grain, Rayon, Threads, Workers};
use phalanx_exec::*;
use phalanx_isa::Type;
use phalanx_simd::tier::Tier;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn levels() -> [Lanes; 2] {
    [Lanes::new(Tier::Scalar).unwrap(), Lanes::best()]
}

/// The executor's own workers, and a pool of the caller's.
fn workers() -> [Box<dyn Workers>; 2] {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    [Box::new(Threads::new(3)), Box::new(Rayon(Arc::new(pool)))]
}

/// Seeds that force several threads on small launches, and the usual way.
fn orders() -> impl Iterator<Item = RunOptions> {
    let seeds = (0..6).map(|seed| RunOptions { schedule_seed: Some(seed), ..RunOptions::default() });
    seeds.chain([RunOptions::default()])
}

fn launch(
    executor: &dyn Executor,
    workers: &dyn Workers,
    text: &str,
    args: &[ArgValue],
    config: LaunchConfig,
    options: &RunOptions,
) -> Result<(), LaunchError> {
    let program = program(text);
    let bound = Bound::new(0, &program, 0, args.to_vec(), Some(config))?;
    bound.run(&*executor.prepare(&program, 0)?, workers, options)
}

/// Counts in shared memory, then in a buffer; reads one buffer and writes another with plain loads and stores.
const COUNT: &str = "kernel k(in x: u32[], inout y: u32[], inout bins: u32[]) block 256 {
    let i, v, at: u32;  let other: pred
    shared part: u32[8]
    mov.u32     i, %global.x
    ld.u32      v, x[i]
    rem.u32     at, v, 8
    red.shared.add.relaxed.u32 part[at], 1
    bar.sync
    ld.u32      at, y[i]
    add.u32     at, at, v
    st.u32      y[i], at
    set.ge.u32  other, %lane.x, 8
@other exit
    ld.shared.u32 v, part[%lane.x]
    red.add.relaxed.u32 bins[%lane.x], v
    exit
}";

#[test]
fn launches_from_many_threads_on_shared_buffers() {
    const N: usize = 256 * 5;
    let x = u32s(&(0..N as u32).collect::<Vec<_>>());
    for lanes in levels() {
        for workers in workers() {
            let (y, bins) = (u32s(&[0; N]), u32s(&[0; 8]));
            std::thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        for options in orders() {
                            let args = [x.clone(), y.clone(), bins.clone()];
                            launch(&lanes, &*workers, COUNT, &args, config(5, 256), &options).unwrap();
                        }
                    });
                }
                // The host reads between launches: whole ones only.
                s.spawn(|| {
                    for _ in 0..20 {
                        let seen = read_u32s(&y);
                        assert!((0..N).all(|i| seen[i] == seen[1] * i as u32), "half of a launch");
                    }
                });
            });
            let launches = 3 * orders().count() as u32;
            assert_eq!(read_u32s(&y), (0..N as u32).map(|i| i * launches).collect::<Vec<_>>());
            assert_eq!(read_u32s(&bins), [N as u32 / 8 * launches; 8]);
        }
    }
}

/// Five chunks of one block that exchange values through shared memory, three times.
const EXCHANGE: &str = "kernel k(inout y: u32[]) block 640 {
    let v, at, n: u32
    shared all: u32[640]
    ld.u32      v, y[%lane.x]
    mov.u32     n, 3
again:
    st.shared.u32 all[%lane.x], v
    bar.sync
    add.u32     at, %lane.x, 129
    rem.u32     at, at, 640
    ld.shared.u32 v, all[at]
    bar.sync
    loop.u32    n, again
    st.u32      y[%lane.x], v
    exit
}";

#[test]
fn chunks_of_one_block_meet_at_barriers() {
    let expected: Vec<u32> = (0..640).map(|i| (i + 3 * 129) % 640).collect();
    for lanes in levels() {
        for workers in workers() {
            for options in orders() {
                let y = u32s(&(0..640).collect::<Vec<_>>());
                launch(&lanes, &*workers, EXCHANGE, std::slice::from_ref(&y), config(1, 640), &options)
                    .unwrap();
                assert_eq!(read_u32s(&y), expected);
            }
        }
    }
}

/// Each block hands a plain value to the next by a flag.
const HAND_OVER: &str = "kernel k(inout value: u32[], inout flag: u32[]) block 32 {
    let before, v: u32;  let other, first, waits: pred
    set.ne.u32  other, %lane.x, 0
@other exit
    mov.u32     v, 0
    set.eq.u32  first, %block.x, 0
@first bra      go
    sub.u32     before, %block.x, 1
wait:
    aload.acquire.u32 v, flag[before]
    set.eq.u32  waits, v, 0
@waits bra      wait
    ld.u32      v, value[before]
go:
    add.u32     v, v, 3
    st.u32      value[%block.x], v
    astore.release.u32 flag[%block.x], 1
    exit
}";

#[test]
fn a_release_hands_plain_stores_over_to_an_acquire() {
    let expected: Vec<u32> = (1..=9).map(|i| 3 * i).collect();
    for lanes in levels() {
        for workers in workers() {
            for options in orders() {
                let (value, flag) = (u32s(&[0; 9]), u32s(&[0; 9]));
                let args = [value.clone(), flag];
                launch(&lanes, &*workers, HAND_OVER, &args, config(9, 32), &options).unwrap();
                assert_eq!(read_u32s(&value), expected);
            }
        }
    }
}

/// Every lane allocates, writes, reads and frees.
const POOL: &str = "kernel k(out y: u32[]) block 64 {
    let a, b: u64;  let v: u32
    pool.alloc.u32 a, 4
    pool.alloc.u32 b, 2
    pool.st.u32 a, 3, %global.x
    pool.st.u32 b, 1, 5
    pool.free   b
    pool.ld.u32 v, a, 3
    pool.free   a
    st.u32      y[%global.x], v
    exit
}";

#[test]
fn lanes_of_all_threads_use_the_pool() {
    for lanes in levels() {
        for workers in workers() {
            for options in orders() {
                let y = u32s(&[0; 512]);
                launch(&lanes, &*workers, POOL, std::slice::from_ref(&y), config(8, 64), &options).unwrap();
                assert_eq!(read_u32s(&y), (0..512).collect::<Vec<u32>>());
            }
        }
    }
}

#[test]
fn traps_and_cancelling_from_other_threads() {
    let traps = "kernel k(inout y: u32[]) block 64 {
        let p: pred
        red.add.relaxed.u32 y[0], 1
        set.ge.u32 p, %block.x, 2
    @p  trap 1
        exit
    }";
    let endless = "kernel k(inout y: u32[]) block 64 {\nagain:\nred.add.relaxed.u32 y[0], 1\nbra again\n}";
    for lanes in levels() {
        for workers in workers() {
            for options in orders() {
                match launch(&lanes, &*workers, traps, &[u32s(&[0])], config(9, 64), &options) {
                    Err(LaunchError::Trap(t)) => assert_eq!(t.lane_trap.block, 2),
                    other => panic!("{other:?}"),
                }
            }
            let token = CancelToken::new();
            let options = RunOptions { cancel: Some(token.clone()), ..RunOptions::default() };
            std::thread::scope(|s| {
                let run =
                    s.spawn(|| launch(&lanes, &*workers, endless, &[u32s(&[0])], config(9, 64), &options));
                std::thread::yield_now();
                token.cancel();
                assert!(run.join().unwrap().unwrap_err().is_cancelled());
            });
        }
    }
}

#[test]
fn a_sequence_runs_from_several_threads() {
    let add = "kernel k(in x: u32[], out y: u32[]) block 128 {
        let v: u32
        ld.u32  v, x[%global.x]
        add.u32 v, v, 1
        st.u32  y[%global.x], v
        exit
    }";
    let program = program(add);
    for lanes in levels() {
        let buffer = u32s(&[0; 512]);
        let ArgValue::Buffer(view) = &buffer else { unreachable!("a buffer was made") };
        let mut recorder = Recorder::new(0);
        let between = recorder.intermediate(Type::U32, 512).unwrap();
        let prepared = lanes.prepare(&program, 0).unwrap();
        for (seed, (from, to)) in [(view, &between), (&between, view)].into_iter().enumerate() {
            let args = vec![ArgValue::Buffer(from.clone()), ArgValue::Buffer(to.clone())];
            let bound = Bound::new(0, &program, 0, args, Some(config(4, 128))).unwrap();
            let options = RunOptions { schedule_seed: Some(seed as u64), ..RunOptions::default() };
            recorder.step(bound, Arc::clone(&prepared), options).unwrap();
        }
        let sequence = recorder.finish().unwrap();
        let workers = Threads::new(3);
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| (0..10).for_each(|_| sequence.run(&workers, None).unwrap()));
            }
        });
        assert_eq!(read_u32s(&buffer), [60; 512]);
    }
}

/// Every lane adds in both forms, to classes that all blocks share.
const ADD: &str = "kernel k() block 200 {
    let c: u32;  let i: i64;  let x: f64
    mov.i64         i, %global.linear
    cvt.rn.f64.i64  x, i
    mov.u32         c, %lane.linear
    rem.u32         c, c, 96
    res.accum.f64   c, x
    res.accum.i64   c, i, 3
    cls.get         c
    res.accum.f64   c, 0.5
    exit
}";

#[test]
fn launches_from_many_threads_add_to_one_resonance() {
    const BLOCKS: u64 = 5;
    let launches = 3 * orders().count() as u64;
    let of_class =
        |class: u64| (0..BLOCKS * 200).filter(move |i| i % 200 % 96 == class).sum::<u64>() * launches;
    for lanes in levels() {
        for workers in workers() {
            let resonance = Resonance::new();
            std::thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        for options in orders() {
                            let options = RunOptions { resonance: Some(resonance.clone()), ..options };
                            launch(&lanes, &*workers, ADD, &[], config(BLOCKS as u32, 200), &options)
                                .unwrap();
                        }
                    });
                }
                // The host reads between launches: whole ones only.
                s.spawn(|| {
                    for _ in 0..20 {
                        let seen = resonance.snapshot().0[95];
                        let whole =
                            (0..=launches).any(|n| seen.float == (of_class(95) / launches * n) as f64);
                        assert!(whole, "half of a launch: {seen:?}");
                    }
                });
            });
            for (entry, class) in resonance.snapshot().0.iter().zip(0..) {
                // Block b adds a half of each lane to class b.
                let halves = if class < BLOCKS { 100 * launches } else { 0 };
                assert_eq!(entry.float, (of_class(class) + halves) as f64, "class {class}");
                assert_eq!(Some(entry.ratio), Ratio::new(of_class(class) as i64, 3), "class {class}");
            }
        }
    }
}

#[test]
fn accumulators_take_additions_from_many_threads() {
    const THREADS: u8 = 4;
    for design in Design::ALL {
        let accumulator = design.make();
        std::thread::scope(|s| {
            for thread in 0..THREADS {
                let accumulator = &*accumulator;
                s.spawn(move || {
                    let each = FrontLoop::at(Tier::best());
                    for class in (0..96).cycle().skip(thread.into()).step_by(7).take(300) {
                        accumulator.floats(Floats::One(class, &[0.5; 40]), each);
                        accumulator.floats(Floats::Each(&[(class, 1e300), (95 - class, -1e300)]), each);
                        accumulator.fractions(&[Fraction { class, a: 1, b: 3 }; 2]);
                    }
                });
            }
        });
        let sums = accumulator.take();
        let mut all = Exact::default();
        let mut thirds = 0;
        for class in 0..96 {
            let sum = sums.class(class).cloned().unwrap_or_default();
            sum.float.iter().for_each(|s| all.merge(s));
            let ratio = sum.ratio.unwrap_or_default().total(Ratio::ZERO).unwrap();
            thirds += ratio.numerator() * (3 / ratio.denominator());
        }
        // The large ones cancel, exactly.
        let calls = i64::from(THREADS) * 300;
        assert_eq!(all.round(), (calls * 20) as f64, "{}", design.name());
        assert_eq!(thirds, calls * 2, "{}", design.name());
    }
}

#[test]
fn runs_of_workers_end_after_all_calls() {
    for workers in workers() {
        std::thread::scope(|s| {
            for grain in [Grain::Short, Grain::Coarse, Grain::Short] {
                let workers = &workers;
                s.spawn(move || {
                    for n in [1usize, 2, 7, 40] {
                        let sum = AtomicU64::new(0);
                        workers.run(n, grain, &|i| {
                            sum.fetch_add(i as u64 + 1, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), (n * (n + 1) / 2) as u64);
                    }
                });
            }
        });
    }
}

#[test]
fn the_reference_runs_on_many_threads_at_once() {
    std::thread::scope(|s| {
        for seed in 0..4 {
            s.spawn(move || {
                let y = u32s(&[0; 512]);
                let options = RunOptions { schedule_seed: Some(seed), ..RunOptions::default() };
                let sequential = phalanx_exec::workers::Sequential;
                launch(&Reference, &sequential, POOL, std::slice::from_ref(&y), config(8, 64), &options)
                    .unwrap();
                assert_eq!(read_u32s(&y), (0..512).collect::<Vec<u32>>());
            });
        }
    });
}

/// One place that two indexes of a run both write without an order.
struct Unordered(UnsafeCell<u64>);
// SAFETY: none: this is the planted fault. Only the ignored test below uses it, and only ThreadSanitizer's job runs that.
unsafe impl Sync for Unordered {}

/// Not part of the tests: the job runs it by name and requires that ThreadSanitizer reports it.
#[test]
#[ignore = "a planted data race: for the ThreadSanitizer job, which must report it"]
fn planted_race() {
    let place = Unordered(UnsafeCell::new(0));
    let place = &place;
    let met = AtomicU64::new(0);
    Threads::new(2).run(2, Grain::Coarse, &|_| {
        // Both at once, on two threads, as far as the machine lets them. (Relaxed: it must not order them.)
        met.fetch_add(1, Ordering::Relaxed);
        for _ in 0..1000 {
            // SAFETY: none, see `Unordered`.
            unsafe { *place.0.get() += 1 };
            std::thread::yield_now();
        }
    });
    assert_eq!(met.into_inner(), 2);
}
