//! Schedule seeds: what they may change, that they repeat, and that they bring out what depends on the order.
#![cfg(feature = "parallel")]

mod common;

use common::*;
use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::reference::Reference;
use phalanx_exec::workers::{Sequential, Threads, Workers};
use phalanx_exec::*;
use std::collections::BTreeSet;

fn executors() -> [(&'static str, Box<dyn Executor>); 2] {
    [("reference", Box::new(Reference)), ("lanes", Box::new(Lanes::best()))]
}

fn seeded(seed: u64) -> RunOptions {
    RunOptions { schedule_seed: Some(seed), ..RunOptions::default() }
}

fn run_on(
    executor: &dyn Executor,
    workers: &dyn Workers,
    text: &str,
    args: &[ArgValue],
    config: LaunchConfig,
    options: &RunOptions,
) -> Result<(), LaunchError> {
    let program = program(text);
    let bound = Bound::new(0, &program, 0, args.to_vec(), Some(config))?;
    let prepared = executor.prepare(&program, 0)?;
    bound.run(&*prepared, workers, options)
}

/// Every block takes the next place and leaves its number there.
const ARRIVALS: &str = "kernel k(inout next: u32[], inout order: u32[]) block 1 {
    let at: u32
    atom.add.relaxed.u32 at, next[0], 1
    st.u32  order[at], %block.x
    exit
}";

fn arrivals(executor: &dyn Executor, seed: u64) -> Vec<u32> {
    let (next, order) = (u32s(&[0]), u32s(&[0; 9]));
    run_with(executor, ARRIVALS, &[next, order.clone()], config(9, 1), &seeded(seed)).unwrap();
    read_u32s(&order)
}

#[test]
fn a_seed_is_an_order_and_repeats_it() {
    for (name, executor) in executors() {
        let mut orders = BTreeSet::new();
        for seed in 0..50 {
            let order = arrivals(&*executor, seed);
            assert_eq!(order, arrivals(&*executor, seed), "{name}, seed {seed}");
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..9).collect::<Vec<u32>>(), "{name}, seed {seed}: each block once");
            orders.insert(order);
        }
        assert!(orders.len() > 40, "{name}: only {} different orders", orders.len());
    }
}

#[test]
fn chunks_of_a_block_run_in_any_order_between_barriers() {
    // Who comes first before the barrier, and who after it.
    let text = "kernel k(inout next: u32[], out before: u32[], out after: u32[]) block 640 {
        let at: u32;  let other: pred
        rem.u32 at, %lane.x, 128
        set.ne.u32 other, at, 0
    @other bra meet
        atom.add.relaxed.u32 at, next[0], 1
        st.u32  before[at], %lane.x
    meet:
        bar.sync
    @other exit
        atom.add.relaxed.u32 at, next[1], 1
        st.u32  after[at], %lane.x
        exit
    }";
    for (name, executor) in executors() {
        let (mut first, mut second) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..40 {
            let (next, before, after) = (u32s(&[0; 2]), u32s(&[0; 5]), u32s(&[0; 5]));
            let args = [next, before.clone(), after.clone()];
            run_with(&*executor, text, &args, config(1, 640), &seeded(seed)).unwrap();
            first.insert(read_u32s(&before));
            second.insert(read_u32s(&after));
        }
        assert!(first.len() > 20 && second.len() > 20, "{name}: {} and {}", first.len(), second.len());
    }
}

/// Adds without atomics, and lets others in between: updates get lost where blocks interleave.
const LOSES_UPDATES: &str = "kernel k(inout sum: u32[]) block 1 {
    let v: u32
    ld.u32  v, sum[0]
    fence.grid
    add.u32 v, v, 1
    st.u32  sum[0], v
    exit
}";

#[test]
fn a_lost_update_comes_out_on_one_thread_and_replays() {
    let lanes = Lanes::best();
    let sum = |options: &RunOptions| {
        let sum = u32s(&[0]);
        run_with(&lanes, LOSES_UPDATES, std::slice::from_ref(&sum), config(20, 1), options).unwrap();
        read_u32s(&sum)[0]
    };
    assert_eq!(sum(&RunOptions::default()), 20, "one thread, no seed: nothing interferes");
    let lost: Vec<u64> = (0..20).filter(|seed| sum(&seeded(*seed)) < 20).collect();
    assert!(lost.len() > 10, "the fault stays hidden from most seeds: {lost:?}");
    assert_eq!(sum(&seeded(lost[0])), sum(&seeded(lost[0])));
}

/// Each block waits for the one below it.
const CHAIN: &str = "kernel k(inout flag: u32[], out seen: u32[]) block 1 {
    let before, v: u32;  let first, waits: pred
    set.eq.u32  first, %block.x, 0
    mov.u32     v, 0
@first bra      go
    sub.u32     before, %block.x, 1
wait:
    aload.acquire.u32 v, flag[before]
    set.eq.u32  waits, v, 0
@waits bra      wait
go:
    add.u32     v, v, 1
    st.u32      seen[%block.x], v
    astore.release.u32 flag[%block.x], v
    exit
}";

#[test]
fn waits_for_lower_blocks_end_under_every_seed() {
    assert!(program(CHAIN).analysis(0).may_wait);
    let threads = [&Sequential as &dyn Workers, &Threads::new(2), &Threads::new(5)];
    for (name, executor) in executors() {
        for seed in 0..30 {
            for workers in threads {
                let (flag, seen) = (u32s(&[0; 12]), u32s(&[0; 12]));
                let args = [flag, seen.clone()];
                run_on(&*executor, workers, CHAIN, &args, config(12, 1), &seeded(seed)).unwrap();
                assert_eq!(read_u32s(&seen), (1..=12).collect::<Vec<u32>>(), "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn the_trap_is_the_same_under_every_seed() {
    // Blocks 3 and above trap in lanes 5 and above, at different instructions.
    let text = "kernel k(inout y: u32[]) block 300 {
        let p, q: pred; let at: u32
        set.ge.u32 p, %block.x, 3
        set.ge.u32 q, %lane.x, 200
    @q  bra high
        set.ge.u32 q, %lane.x, 5
        and.pred p, p, q
    @p  trap 7
        bra meet
    high:
        red.add.relaxed.u32 y[0], 1
    @p  trap 8
    meet:
        bar.sync
        exit
    }";
    for (name, executor) in executors() {
        let trap = |options: &RunOptions, workers: &dyn Workers| match run_on(
            &*executor,
            workers,
            text,
            &[u32s(&[0])],
            config(8, 300),
            options,
        ) {
            Err(LaunchError::Trap(t)) => t.lane_trap,
            other => panic!("{name}: {other:?}"),
        };
        let expected = trap(&RunOptions::default(), &Sequential);
        assert_eq!((expected.block, expected.lane), (3, 5), "{name}");
        let threads = [&Sequential as &dyn Workers, &Threads::new(3)];
        for seed in 0..40 {
            for workers in threads {
                assert_eq!(trap(&seeded(seed), workers), expected, "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_deterministic_launch_has_no_schedule() {
    let options = RunOptions { deterministic: true, ..seeded(1) };
    for (_, executor) in executors() {
        let refused = run_with(&*executor, "kernel k() {\nexit\n}", &[], config(1, 1), &options).unwrap_err();
        assert!(refused.to_string().contains("schedule seed"), "{refused}");
    }
}
