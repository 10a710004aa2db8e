// Small programs whose results can be told by hand; included once per executor by `executors.rs`.

use crate::common::*;
use phalanx_exec::*;
use phalanx_isa::TrapKind;

fn run(text: &str, args: &[ArgValue], config: LaunchConfig) {
    run_with(&*executor(), text, args, config, &RunOptions::default()).unwrap_or_else(|e| panic!("{e}"));
}

fn trap(text: &str, args: &[ArgValue], config: LaunchConfig) -> Trap {
    trap_with(&*executor(), text, args, config, &RunOptions::default())
}

/// Every lane stores one u32 computed by `body` (register `v`, at its linear index).
fn lanes_u32(lanes: u32, head: &str, body: &str) -> Vec<u32> {
    let text = format!(
        "kernel k(out y: u32[]) {{\n{head}\nlet v: u32; let l: u32; let p, q: pred\nmov.u32 l, %lane.linear\n{body}\n\
         st.u32 y[%lane.linear], v\nexit\n}}"
    );
    let y = u32s(&vec![0; lanes as usize]);
    run(&text, std::slice::from_ref(&y), config(1, lanes));
    read_u32s(&y)
}

#[test]
fn vectors_add_over_several_blocks() {
    let text = "kernel add(in a: f32[], in b: f32[], out y: f32[], n: u32) {
        let i: u32; let u, v: f32; let out: pred
            mad.u32 i, %block.x, %block_dim.x, %lane.x
            set.ge.u32 out, i, n
        @out exit
            ld.f32 u, a[i]
            ld.f32 v, b[i]
            add.f32 v, u, v
            st.f32 y[i], v
            exit
        }";
    let n = 100usize;
    let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
    let y = f32s(&vec![-1.0; n]);
    run(text, &[f32s(&a), f32s(&b), y.clone(), u32_arg(n as u32 - 1)], config(4, 33));
    let mut expected: Vec<f32> = (0..n).map(|i| 1.5 * i as f32).collect();
    expected[n - 1] = -1.0;
    assert_eq!(read_f32s(&y), expected);
}

#[test]
fn special_registers_in_three_dimensions() {
    let text = "kernel k(out y: u64[]) {
        let at: u64; let v: u64
            mov.u64 at, %global.linear
            mul.u64 v, %lane.z, 10
            add.u64 v, v, %lane.y
            mul.u64 v, v, 10
            add.u64 v, v, %lane.x
            mul.u64 v, v, 10
            add.u64 v, v, %block.y
            mul.u64 v, v, 10
            add.u64 v, v, %block.x
            st.u64 y[at], v
            exit
        }";
    let y = u64s(&[0; 72]);
    run(text, std::slice::from_ref(&y), LaunchConfig::new([3, 2, 1], [3, 2, 2]));
    let got = read_u64s(&y);
    for (i, v) in got.iter().enumerate() {
        let (block, lane) = (i as u64 / 12, i as u64 % 12);
        let digits = [lane / 6, lane / 3 % 2, lane % 3, block / 3, block % 3];
        assert_eq!(*v, digits.iter().fold(0, |n, d| n * 10 + d), "element {i}");
    }
}

#[test]
fn divergence_with_calls() {
    // Collatz steps of the lane number plus one: every lane loops its own number of times and calls in both arms.
    let text = "kernel k(out y: u32[]) {
        let n, steps, low: u32; let odd, done: pred
            add.u32 n, %lane.x, 1
            mov.u32 steps, 0
        again:
            set.eq.u32 done, n, 1
        @done bra finished
            and.u32 low, n, 1
            set.ne.u32 odd, low, 0
        @odd bra up
            call (n), halve, (n)
            bra count
        up:
            call (n), triple, (n)
        count:
            add.u32 steps, steps, 1
            bra again
        finished:
            st.u32 y[%lane.x], steps
            exit
        func halve(a: u32) -> (b: u32) {
            shr.u32 b, a, 1
            ret
        }
        func triple(a: u32) -> (b: u32) {
            let t: u32
            mad.u32 t, a, 3, 1
            mov.u32 b, t
            ret
        }
        }";
    let y = u32s(&[0; 40]);
    run(text, std::slice::from_ref(&y), config(1, 40));
    let collatz = |mut n: u64| {
        let mut steps = 0;
        while n != 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    assert_eq!(read_u32s(&y), (1..=40).map(collatz).collect::<Vec<u32>>());
}

#[test]
fn barriers_order_shared_memory() {
    let text = "kernel k(in x: u32[], out y: u32[]) {
        shared part: u32[64]
        let l, half, a, b, at: u32; let low, more, first: pred
            mov.u32 l, %lane.linear
            ld.u32 a, x[%global.linear]
            st.shared.u32 part[l], a
            mov.u32 half, 32
        again:
            bar.sync
            set.lt.u32 low, l, half
        @!low bra skip
            add.u32 at, l, half
            ld.shared.u32 a, part[l]
            ld.shared.u32 b, part[at]
            add.u32 a, a, b
            st.shared.u32 part[l], a
        skip:
            shr.u32 half, half, 1
            set.ne.u32 more, half, 0
        @more bra again
            bar.sync
            set.eq.u32 first, l, 0
            ld.shared.u32 a, part[0]
        @first st.u32 y[%block.x], a
            exit
        }";
    let x: Vec<u32> = (0..192).map(|i| i * i).collect();
    let y = u32s(&[0; 3]);
    run(text, &[u32s(&x), y.clone()], config(3, 64));
    let sums: Vec<u32> = x.chunks(64).map(|c| c.iter().sum()).collect();
    assert_eq!(read_u32s(&y), sums);
}

#[test]
fn shared_memory_starts_as_zero_in_every_block_and_may_be_sized_by_the_launch() {
    let text = "kernel k(out y: u32[]) {
        shared few: u8[3]
        shared many: u16[]
        let v, n: u32; let a: u8; let b: u16
            ld.shared.u8 a, few[2]
            ld.shared.u16 b, many[%lane.x]
            cvt.wrap.u32.u8 v, a
            cvt.wrap.u32.u16 n, b
            add.u32 v, v, n
            len.u32 n, many
            add.u32 v, v, n
            st.u32 y[%global.linear], v
            st.shared.u8 few[2], 7
            st.shared.u16 many[%lane.x], 9
            exit
        }";
    let y = u32s(&[0; 2]);
    run(text, std::slice::from_ref(&y), config(2, 1).with_shared(5));
    assert_eq!(read_u32s(&y), [5, 5]);
}

#[test]
fn a_barrier_that_lanes_miss_names_them() {
    let text = "kernel k(out y: u32[], n: u32) {
        let p: pred
            set.ge.u32 p, %lane.x, n
        @p  exit
            bar.sync
            st.u32 y[%lane.x], 1
            exit
        }";
    let y = u32s(&[0; 40]);
    let t = trap(text, &[y.clone(), u32_arg(38)], config(2, 40));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 5));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![38, 39], count: 2 });
    assert!(t.to_string().contains("missing lanes 38, 39"), "{t}");
    let t = trap(text, &[y, u32_arg(3)], config(1, 40));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: (3..11).collect(), count: 37 });
}

#[test]
fn lanes_at_different_barriers_or_rounds_do_not_meet() {
    let arms = "kernel k(m: u32) {
        let p: pred
            set.lt.u32 p, %lane.x, m
        @p  bra other
            bar.sync
            exit
        other:
            bar.sync
            exit
        }";
    run(arms, &[u32_arg(0)], config(1, 4));
    run(arms, &[u32_arg(4)], config(1, 4));
    let t = trap(arms, &[u32_arg(3)], config(1, 4));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 8));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![3], count: 1 });

    // Lane 0 skips the barrier in the first round and comes to it in the second: not the round in which the others wait.
    let rounds = "kernel k(out y: u32[]) {
        let n: u32; let p, q: pred
            set.eq.u32 p, %lane.x, 0
            mov.u32 n, 2
        again:
            set.eq.u32 q, n, 2
            and.pred q, q, p
        @q  bra skip
            bar.sync
        skip:
            loop.u32 n, again
            exit
        }";
    let t = trap(rounds, &[u32s(&[0])], config(1, 3));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 9));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![1, 2], count: 2 });
}

#[test]
fn rounds_of_a_loop_without_an_end_differ() {
    // No path leads to the function's end: lanes leave only by a guarded `exit`. Lane 0 skips the first round's operation.
    let text = |op: &str| {
        format!(
            "kernel k(out y: u32[]) {{
        let n: u32; let p, q: pred
            sub.u32 n, 1, %lane.x
        again:
            set.eq.u32 p, n, 1
        @p  bra skip
            {op}
        skip:
            set.eq.u32 q, n, 7
        @q  exit
            sub.u32 n, 0, 7
            sub.u32 n, 0, n
            bra again
        }}"
        )
    };
    for (op, kind) in
        [("bar.subgroup", TrapKind::Sync), ("bar.sync", TrapKind::Sync), ("trap 3", TrapKind::User)]
    {
        let t = trap(&text(op), &[u32s(&[0])], config(1, 2));
        assert_eq!(t.lane_trap.kind, kind, "{op}");
        if kind == TrapKind::Sync {
            assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![1], count: 1 }, "{op}");
        }
    }
}

#[test]
fn a_guarded_barrier_is_missed_where_the_guard_is_false() {
    let text = "kernel k(m: u32) {
        let p: pred
            set.lt.u32 p, %lane.x, m
        @p  bar.sync
            exit
        }";
    run(text, &[u32_arg(4)], config(1, 4));
    run(text, &[u32_arg(0)], config(1, 4));
    let t = trap(text, &[u32_arg(1)], config(1, 4));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 4));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![1, 2, 3], count: 3 });
}

#[test]
fn collectives_in_a_function_belong_to_its_call() {
    let text = "kernel k(out y: u32[], m: u32) {
        let v: u32; let p: pred
            set.lt.u32 p, %lane.x, m
            mov.u32 v, 1
        @p  bra first
            call (v), total, (v)
            bra done
        first:
            call (v), total, (v)
        done:
            call (v), total, (v)
            st.u32 y[%lane.x], v
            exit
        func total(a: u32) -> (b: u32) {
            reduce.add.u32 b, a
            ret
        }
        }";
    let y = u32s(&[0; 6]);
    run(text, &[y.clone(), u32_arg(6)], config(1, 6));
    assert_eq!(read_u32s(&y), [36; 6]);
    let t = trap(text, &[y, u32_arg(2)], config(1, 6));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 15));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![2, 3, 4, 5], count: 4 });
}

#[test]
fn the_lowest_lane_of_the_earliest_interval_of_the_lowest_block_traps() {
    // Before the barrier lane `a` divides by zero, after it lane `b`.
    let text = "kernel k(a: u32, b: u32) {
        let d: u32
            xor.u32 d, %global.x, a
            div.u32 d, 1, d
            bar.sync
            xor.u32 d, %global.x, b
            div.u32 d, 1, d
            exit
        }";
    let t = trap(text, &[u32_arg(70), u32_arg(3)], config(2, 64));
    assert_eq!(place(&t), (TrapKind::DivByZero, 0, 3, 7));
    let t = trap(text, &[u32_arg(50), u32_arg(3)], config(2, 64));
    assert_eq!(place(&t), (TrapKind::DivByZero, 0, 50, 4));
    let t = trap(text, &[u32_arg(70), u32_arg(69)], config(2, 64));
    assert_eq!(place(&t), (TrapKind::DivByZero, 1, 6, 4));
    assert_eq!(t.block, [1, 0, 0]);
    run(text, &[u32_arg(500), u32_arg(500)], config(2, 64));
}

#[test]
fn a_lanes_own_trap_comes_before_a_missed_barrier() {
    // Lane 0 waits at a barrier that lane 1 misses by ending; lane 5 traps by itself in the same interval.
    let text = "kernel k(n: u32) {
        let p: pred
            set.eq.u32 p, %lane.x, 1
        @p  exit
            set.eq.u32 p, %lane.x, n
        @p  trap 42
            bar.sync
            exit
        }";
    let t = trap(text, &[u32_arg(5)], config(1, 40));
    assert_eq!(place(&t), (TrapKind::User, 0, 5, 6));
    assert_eq!(t.lane_trap.detail, TrapDetail::Value(42));
    let t = trap(text, &[u32_arg(99)], config(1, 40));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 7));
}

#[test]
fn a_trap_after_a_subgroup_operation_counts_for_the_interval() {
    // Lane 40 traps at once; lane 2 traps behind an operation of its own subgroup, in the same interval, and is lower.
    let text = "kernel k() {
        let d: u32; let p: pred
            set.eq.u32 p, %lane.x, 40
        @p  trap 1
            sreduce.max.u32 d, %lane.x
            set.eq.u32 p, %lane.x, 2
        @p  trap 2
            bar.sync
            exit
        }";
    assert_eq!(place(&trap(text, &[], config(1, 64))), (TrapKind::User, 0, 2, 7));
}

#[test]
fn fuel_is_charged_by_basic_block_and_lane() {
    let text = "kernel k(out y: u32[], n: u32) {
        let i, v: u32
            add.u32 i, %lane.x, n
            mov.u32 v, 0
        again:
            add.u32 v, v, 2
            loop.u32 i, again
            st.u32 y[%lane.x], v
            exit
        }";
    let y = u32s(&[0; 4]);
    let options = |fuel| RunOptions { fuel: Some(fuel), ..Default::default() };
    let args = [y.clone(), u32_arg(5)];
    // Lane 3: 2 instructions, 8 rounds of 2, then 2 more.
    run_with(&*executor(), text, &args, config(1, 4), &options(2 + 16 + 2)).unwrap();
    assert_eq!(read_u32s(&y), [10, 12, 14, 16]);
    let at = |fuel| place(&trap_with(&*executor(), text, &args, config(1, 4), &options(fuel)));
    assert_eq!(at(19), (TrapKind::Fuel, 0, 3, 8));
    assert_eq!(at(17), (TrapKind::Fuel, 0, 2, 8));
    // Lane 0 would begin its fifth round with the twelfth instruction.
    assert_eq!(at(11), (TrapKind::Fuel, 0, 0, 6));
    assert_eq!(at(1), (TrapKind::Fuel, 0, 0, 3));
    let endless = "kernel k() {\nagain:\nbra again\n}";
    assert_eq!(
        place(&trap_with(&*executor(), endless, &[], config(1, 2), &options(1000))),
        (TrapKind::Fuel, 0, 0, 3)
    );
}

#[test]
fn cancelling_stops_a_loop() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let options = RunOptions { cancel: Some(cancel), ..Default::default() };
    let endless = "kernel k() {\nagain:\nnop\nbra again\n}";
    let t = trap_with(&*executor(), endless, &[], config(1, 2), &options);
    assert_eq!(place(&t), (TrapKind::Cancelled, 0, 0, 4));
    run_with(&*executor(), "kernel k() {\nexit\n}", &[], config(1, 2), &options).unwrap();
}

#[test]
fn shuffles_keep_the_own_value_outside_and_from_non_members() {
    let lane = |i: u32| 100 + i;
    let of = |op: &str, n: &str| lanes_u32(40, "", &format!("add.u32 v, l, 100\nshfl.{op}.u32 v, v, {n}"));
    let group = |i: u32| if i < 32 { 0..32 } else { 32..40 };
    let expect = |from: &dyn Fn(u32) -> Option<u32>| -> Vec<u32> {
        (0..40).map(|i| from(i).filter(|f| group(i).contains(f)).map_or(lane(i), lane)).collect()
    };
    assert_eq!(of("up", "3"), expect(&|i| i.checked_sub(3)));
    assert_eq!(of("down", "5"), expect(&|i| Some(i + 5)));
    assert_eq!(of("xor", "4"), expect(&|i| Some(i ^ 4)));
    assert_eq!(of("idx", "7"), expect(&|i| Some(i / 32 * 32 + 7)));
    assert_eq!(of("idx", "33"), expect(&|_| None));
    // Members are the even lanes only.
    let body = "add.u32 v, l, 100
        and.u32 l, l, 1
        set.eq.u32 p, l, 0
        @p shfl.down.u32 v, v, %block_dim.linear";
    assert_eq!(lanes_u32(8, "", body), (0..8).map(lane).collect::<Vec<u32>>());
    let body = body.replace("%block_dim.linear", "1");
    assert_eq!(lanes_u32(8, "", &body), (0..8).map(lane).collect::<Vec<u32>>());
    let body = body.replace("v, v, 1", "v, v, 2");
    let expected: Vec<u32> =
        (0..8).map(|i| if i % 2 == 0 && i < 6 { lane(i + 2) } else { lane(i) }).collect();
    assert_eq!(lanes_u32(8, "", &body), expected);
}

#[test]
fn votes_and_ballots_count_members() {
    let body = |op: &str| {
        format!(
            "let r: pred; let b: u32
            set.lt.u32 p, l, 36
            set.ge.u32 q, l, 2
            mov.pred r, p
            {op}
            sel.u32 v, 1, 0, r"
        )
    };
    let lanes = 40;
    assert_eq!(lanes_u32(lanes, "", &body("vote.all r, p")), [vec![1; 32], vec![0; 8]].concat());
    assert_eq!(lanes_u32(lanes, "", &body("vote.any r, p")), [1; 40]);
    // Lanes 0 and 1 are no members: in the first subgroup all members hold, and the others keep what they had.
    assert_eq!(lanes_u32(lanes, "", &body("@q vote.all r, q")), [1; 40]);
    let mut kept = vec![1; 40];
    (kept[0], kept[1]) = (0, 0);
    assert_eq!(lanes_u32(lanes, "", &body("mov.pred r, q\n@q vote.any r, p")), kept);
    let ballot = "set.ge.u32 p, l, 3\nset.ne.u32 q, l, 5\nmov.u32 v, 7\n@q ballot v, p";
    let all = 0xffff_fff8u32 & !(1 << 5);
    let mut expected = vec![all; 32];
    expected[5] = 7;
    expected.extend([0xff; 8]);
    assert_eq!(lanes_u32(lanes, "", ballot), expected);
}

#[test]
fn reductions_and_scans_skip_lanes_that_are_no_members() {
    let guard = "and.u32 v, l, 3\nset.ne.u32 p, v, 0\nmov.u32 v, 1000\n";
    let member = |i: &u32| !i.is_multiple_of(4);
    let sum = |r: std::ops::Range<u32>| r.filter(member).sum::<u32>();
    let got = lanes_u32(40, "", &format!("{guard}@p sreduce.add.u32 v, l"));
    let total = |i: u32| if i < 32 { sum(0..32) } else { sum(32..40) };
    assert_eq!(got, (0..40).map(|i| if member(&i) { total(i) } else { 1000 }).collect::<Vec<u32>>());
    let got = lanes_u32(40, "", &format!("{guard}@p scan.incl.add.u32 v, l"));
    let below = |i: u32| sum(i / 32 * 32..i);
    assert_eq!(got, (0..40).map(|i| if member(&i) { below(i) + i } else { 1000 }).collect::<Vec<u32>>());
    let got = lanes_u32(40, "", &format!("{guard}@p scan.excl.add.u32 v, l"));
    assert_eq!(got, (0..40).map(|i| if member(&i) { below(i) } else { 1000 }).collect::<Vec<u32>>());
    assert_eq!(lanes_u32(70, "", "reduce.max.u32 v, l"), [69; 70]);
    assert_eq!(lanes_u32(70, "", "reduce.add.u32 v, l"), [69 * 70 / 2; 70]);
}
