//! The resonance: the same 96 bit patterns whatever runs the launch, against sums that share no code with it; claims, traps and
//! what the host reads.

mod common;

use common::{program, read_u32s, u32s};
use num_bigint::BigInt;
use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::reference::Reference;
use phalanx_exec::resonance::accumulator::Fraction;
use phalanx_exec::resonance::{Design, Entry, Floats, FrontLoop, Ratio, Snapshot, Sums};
use phalanx_exec::sequence::Recorder;
use phalanx_exec::workers::{Sequential, Workers};
use phalanx_exec::{
    ArgValue, Executor, LaunchClaims, LaunchError, LaunchReport, Resonance, RunOptions, Trap, TrapDetail,
};
use phalanx_isa::{TrapKind, Type};
use phalanx_simd::tier::Tier;
use proptest::prelude::*;
use std::sync::Arc;

/// An exact sum of f64 by integers of any length, rounded by comparing neighbours: slow and unlike the one under test.
#[derive(Clone, Default)]
struct Slow(BigInt);

impl Slow {
    /// A finite number in units of 2^-1074.
    fn units(x: f64) -> BigInt {
        let bits = x.abs().to_bits();
        let (field, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
        let n = match field {
            0 => BigInt::from(fraction),
            f => BigInt::from(fraction + (1 << 52)) << (f - 1),
        };
        if x < 0.0 { -n } else { n }
    }
    fn add(&mut self, x: f64) {
        self.0 += Slow::units(x);
    }
    fn round(&self) -> f64 {
        // The largest f64 that is not above the magnitude, by bisection over bit patterns, which are in order.
        let magnitude = if self.0 < BigInt::ZERO { -self.0.clone() } else { self.0.clone() };
        let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if Slow::units(f64::from_bits(middle)) <= magnitude { low = middle } else { high = middle }
        }
        // Infinity stands where the next number would.
        let above = match f64::from_bits(high) {
            x if x.is_infinite() => BigInt::from(1u64) << 2098,
            x => Slow::units(x),
        };
        let (below, above) = (&magnitude - Slow::units(f64::from_bits(low)), above - &magnitude);
        let bits = if below < above || below == above && low % 2 == 0 { low } else { high };
        let x = f64::from_bits(bits);
        if self.0 < BigInt::ZERO { -x } else { x }
    }
}

/// A sum of fractions, never reduced.
#[derive(Clone)]
struct SlowRatio(BigInt, BigInt);

impl SlowRatio {
    fn zero() -> SlowRatio {
        SlowRatio(BigInt::ZERO, BigInt::from(1))
    }
    fn add(&mut self, a: i64, b: i64) {
        let n = &self.0 * b + &self.1 * a;
        self.1 = &self.1 * b;
        self.0 = n;
    }
    fn join(&mut self, other: &SlowRatio) {
        self.0 = &self.0 * &other.1 + &self.1 * &other.0;
        self.1 = &self.1 * &other.1;
    }
    fn is(&self, r: Ratio) -> bool {
        &self.0 * r.denominator() == &self.1 * r.numerator()
    }
}

fn executors() -> Vec<(String, Box<dyn Executor>)> {
    let mut all: Vec<(String, Box<dyn Executor>)> = vec![("reference".into(), Box::new(Reference))];
    for tier in Tier::available() {
        all.push((tier.name().into(), Box::new(Lanes::new(tier).unwrap())));
    }
    all
}

#[cfg(feature = "parallel")]
fn pools() -> Vec<Box<dyn Workers>> {
    let threads = |n| Box::new(phalanx_exec::workers::Threads::new(n)) as Box<dyn Workers>;
    vec![Box::new(Sequential), threads(2), threads(3), threads(16)]
}
#[cfg(not(feature = "parallel"))]
fn pools() -> Vec<Box<dyn Workers>> {
    vec![Box::new(Sequential)]
}

fn launch(
    executor: &dyn Executor,
    workers: &dyn Workers,
    text: &str,
    args: &[ArgValue],
    options: &RunOptions,
) -> Result<LaunchReport, LaunchError> {
    let program = program(text);
    let bound = Bound::new(0, &program, 0, args.to_vec(), None)?;
    bound.run_report(&*executor.prepare(&program, 0)?, workers, options)
}

fn with(resonance: &Resonance) -> RunOptions {
    RunOptions { resonance: Some(resonance.clone()), ..RunOptions::default() }
}

/// Lanes add numbers of all sizes and fractions with many denominators to classes of their own, some twice, some not at all.
const MIXED: &str = "
kernel mixed(seed: u64, spread: u64) block 200 grid 37 {
    let i, h, bits, e: u64;  let c: u32;  let x: f64;  let a, b: i64;  let odd: pred
    mov.u64      i, %global.linear
    add.u64      h, i, seed
    mul.u64      h, h, 6364136223846793005
    add.u64      h, h, 1442695040888963407
    shr.u64      bits, h, 29
    xor.u64      h, h, bits
    mul.u64      h, h, 11400714819323198485
    shr.u64      e, h, 40
    rem.u64      e, e, 96
    cvt.wrap.u32.u64 c, e
    shr.u64      e, h, 20
    rem.u64      e, e, spread
    add.u64      e, e, 1000
    shl.u64      e, e, 52
    and.u64      bits, h, 0x800fffffffffffff
    or.u64       bits, bits, e
    bitcast.f64.u64 x, bits
    res.accum.f64 c, x
    shr.u64      e, h, 50
    bitcast.i64.u64 a, e
    shr.u64      e, h, 7
    rem.u64      e, e, 30
    bitcast.i64.u64 b, e
    sub.i64      b, b, 15
    set.eq.i64   odd, b, 0
@!odd res.accum.i64 c, a, b
    set.lt.u32   odd, c, 20
@odd cls.get     c
@odd res.accum.f64 c, 0.1
    exit
}";

/// What `MIXED` adds, in the same order of hashes, on the host.
fn mixed_on_host(seed: u64, spread: u64) -> (Vec<Slow>, Vec<SlowRatio>) {
    let mut floats = vec![Slow::default(); 96];
    let mut ratios = vec![SlowRatio::zero(); 96];
    for i in 0..200 * 37u64 {
        let mut h =
            (i + seed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        h = (h ^ h >> 29).wrapping_mul(11_400_714_819_323_198_485);
        let c = ((h >> 40) % 96) as usize;
        let e = (h >> 20) % spread + 1000;
        floats[c].add(f64::from_bits(h & 0x800f_ffff_ffff_ffff | e << 52));
        let b = ((h >> 7) % 30) as i64 - 15;
        if b != 0 {
            ratios[c].add((h >> 50) as i64, b);
        }
        if c < 20 {
            floats[(i / 200 % 96) as usize].add(0.1);
        }
    }
    (floats, ratios)
}

fn scalar(v: u64) -> ArgValue {
    ArgValue::Scalar(Type::U64, v)
}

#[test]
fn the_same_bits_whatever_runs_the_launch() {
    for (seed, spread) in [(1u64, 3u64), (2, 40), (3, 1000)] {
        let (floats, ratios) = mixed_on_host(seed, spread);
        let mut before = Snapshot::default();
        before.0[7] = Entry { ratio: Ratio::new(-5, 7).unwrap(), float: -1e290 };
        let mut first: Option<Snapshot> = None;
        let mut runs = 0;
        for (name, executor) in executors() {
            for workers in pools() {
                let seeds: &[Option<u64>] =
                    if name == "reference" { &[None, Some(5)] } else { &[None, Some(1), Some(2)] };
                for schedule_seed in seeds {
                    let resonance = Resonance::from_snapshot(&before);
                    let options = RunOptions { schedule_seed: *schedule_seed, ..with(&resonance) };
                    let args = [scalar(seed), scalar(spread)];
                    launch(&*executor, &*workers, MIXED, &args, &options).unwrap();
                    let after = resonance.snapshot();
                    let who = format!("{name}, {} threads, schedule {schedule_seed:?}", workers.threads());
                    assert!(first.get_or_insert_with(|| after.clone()) == &after, "{who}");
                    runs += 1;
                }
            }
        }
        assert!(runs > 4);
        let after = first.unwrap();
        for c in 0..96 {
            let mut float = floats[c].clone();
            float.add(before.0[c].float);
            let mut ratio = ratios[c].clone();
            ratio.add(before.0[c].ratio.numerator(), before.0[c].ratio.denominator());
            assert_eq!(after.0[c].float.to_bits(), float.round().to_bits(), "class {c}");
            assert!(ratio.is(after.0[c].ratio), "class {c}: {}", after.0[c].ratio);
        }
    }
}

#[test]
fn a_sequence_leaves_the_same_bits_whatever_runs_it() {
    const STEPS: [(u64, u64); 2] = [(11, 40), (12, 900)];
    const RUNS: usize = 2;
    // Each step rounds once, on top of what the one before it left.
    let mut expected = vec![(0.0, SlowRatio::zero()); 96];
    for (seed, spread) in [STEPS; RUNS].concat() {
        let (floats, ratios) = mixed_on_host(seed, spread);
        for (total, (float, ratio)) in expected.iter_mut().zip(floats.into_iter().zip(ratios)) {
            let mut sum = float;
            sum.add(total.0);
            total.0 = sum.round();
            total.1.join(&ratio);
        }
    }
    let program = program(MIXED);
    let mut runs = 0;
    for (name, executor) in executors() {
        let prepared = executor.prepare(&program, 0).unwrap();
        for workers in pools() {
            for schedule_seed in [None, Some(3)] {
                let resonance = Resonance::new();
                let mut recorder = Recorder::new(0);
                for (seed, spread) in STEPS {
                    let args = vec![scalar(seed), scalar(spread)];
                    let bound = Bound::new(0, &program, 0, args, None).unwrap();
                    let options = RunOptions { schedule_seed, ..with(&resonance) };
                    recorder.step(bound, Arc::clone(&prepared), options).unwrap();
                }
                let sequence = recorder.finish().unwrap();
                (0..RUNS).for_each(|_| sequence.run(&*workers, None).unwrap());
                let after = resonance.snapshot();
                for (c, (float, ratio)) in expected.iter().enumerate() {
                    let who = format!(
                        "{name}, {} threads, schedule {schedule_seed:?}, class {c}",
                        workers.threads()
                    );
                    assert_eq!(after.0[c].float.to_bits(), float.to_bits(), "{who}");
                    assert!(ratio.is(after.0[c].ratio), "{who}: {}", after.0[c].ratio);
                }
                runs += 1;
            }
        }
    }
    assert!(runs > 3, "{runs} runs");
}

#[test]
fn hundreds_of_schedules_give_the_same_bits() {
    let lanes = Lanes::best();
    let pools = pools();
    let program = program(MIXED);
    let prepared = lanes.prepare(&program, 0).unwrap();
    let bound = Bound::new(0, &program, 0, vec![scalar(9), scalar(300)], None).unwrap();
    let run = |workers: &dyn Workers, schedule_seed| {
        let resonance = Resonance::new();
        bound.run(&*prepared, workers, &RunOptions { schedule_seed, ..with(&resonance) }).unwrap();
        resonance.snapshot()
    };
    let expected = run(&Sequential, None);
    for seed in 0..200 {
        let workers = &*pools[seed as usize % pools.len()];
        assert!(run(workers, Some(seed)) == expected, "schedule {seed} on {} threads", workers.threads());
    }
}

fn trap(result: Result<LaunchReport, LaunchError>) -> Trap {
    match result {
        Err(LaunchError::Trap(t)) => *t,
        other => panic!("a trap, not {other:?}"),
    }
}

/// Runs on the reference and on lanes of every level; the traps must be the same, and the resonance as before.
fn same_trap(text: &str, args: &[ArgValue], claims: LaunchClaims, before: &Snapshot) -> Trap {
    let mut first = None;
    for (name, executor) in executors() {
        for workers in pools() {
            let resonance = Resonance::from_snapshot(before);
            let options = RunOptions { claims, ..with(&resonance) };
            let t = trap(launch(&*executor, &*workers, text, args, &options));
            assert!(resonance.snapshot() == *before, "{name} changed the resonance");
            assert_eq!(first.get_or_insert_with(|| t.clone()), &t, "{name}");
        }
    }
    first.unwrap()
}

#[test]
fn a_launch_that_traps_leaves_all_96_as_they_were() {
    let mut before = Snapshot::default();
    before.0[3] = Entry { ratio: Ratio::new(i64::MAX, 2).unwrap(), float: 0.5 };
    // After thousands of additions one lane names no class.
    let text = "
kernel late() block 128 grid 64 {
    let c, i: u32;  let bad: pred
    cls.get        c
    res.accum.f64  c, 1.5
    res.accum.i64  c, 1, 3
    mov.u32        i, %global.linear
    set.eq.u32     bad, i, 8000
@bad mov.u32       c, 96
    res.accum.f64  c, 1.0
    exit
}";
    let t = same_trap(text, &[], LaunchClaims::default(), &before);
    assert_eq!((t.lane_trap.kind, t.lane_trap.block, t.lane_trap.lane), (TrapKind::BadClass, 62, 64));
    assert!(t.to_string().contains("class number outside 0..95: 96"), "{t}");
    // b = 0 traps at the instruction, in the lowest lane.
    let text = "
kernel zero() block 64 grid 2 {
    let b: i64
    mov.i64        b, %lane.linear
    sub.i64        b, b, 40
    res.accum.i64  5, 1, b
    exit
}";
    let t = same_trap(text, &[], LaunchClaims::default(), &before);
    assert_eq!((t.lane_trap.kind, t.lane_trap.block, t.lane_trap.lane), (TrapKind::DivByZero, 0, 40));
    // Partial sums of any size are fine; a final one that does not fit traps at the end.
    let text = "
kernel large(b: i64) block 32 grid 3 {
    res.accum.i64  3, 9223372036854775807, 1
    res.accum.i64  3, -9223372036854775807, 1
    res.accum.i64  90, 1, b
    exit
}";
    let t = same_trap(text, &[ArgValue::Scalar(Type::I64, 0)], LaunchClaims::default(), &before);
    assert_eq!(t.lane_trap.kind, TrapKind::DivByZero);
    let resonance = Resonance::from_snapshot(&before);
    launch(&Reference, &Sequential, text, &[ArgValue::Scalar(Type::I64, 96)], &with(&resonance)).unwrap();
    assert_eq!(resonance.get(90).unwrap().ratio.to_string(), "1/1");
    assert_eq!(resonance.get(3), Some(before.0[3]));
    let text = "kernel over() block 32 grid 1 { res.accum.i64 3, 9223372036854775807, 1; exit }";
    let t = same_trap(text, &[], LaunchClaims::default(), &before);
    assert_eq!(t.lane_trap.kind, TrapKind::ResonanceRange);
    assert!(matches!(&t.lane_trap.detail, TrapDetail::AtEnd(text) if text.starts_with("class 3: ")), "{t}");
    assert!(t.to_string().contains("when the launch had ended"), "{t}");
}

#[test]
fn tests_look_at_the_sums_before_the_launch() {
    let text = "
kernel look(out y: u32[]) block 64 grid 96 {
    let c, i, v: u32;  let p, q: pred
    cls.get        c
    res.accum.f64  c, 1000.0
    res.accum.i64  c, 1000, 1
    res.test.f64   p, c, 0.5
    res.test.i64   q, c, 1, 3
    mov.u32        i, %global.linear
    mov.u32        v, 0
@p  add.u32        v, v, 1
@q  add.u32        v, v, 2
    st.u32         y[i], v
    exit
}";
    let mut before = Snapshot::default();
    before.0[1] = Entry { ratio: Ratio::new(-1, 3).unwrap(), float: -0.5 };
    before.0[2] = Entry { ratio: Ratio::new(334, 1000).unwrap(), float: 0.500_000_1 };
    before.0[3] = Entry { ratio: Ratio::ZERO, float: f64::NAN };
    for (name, executor) in executors() {
        let y = u32s(&[9; 64 * 96]);
        let resonance = Resonance::from_snapshot(&before);
        launch(&*executor, &Sequential, text, std::slice::from_ref(&y), &with(&resonance)).unwrap();
        for (i, v) in read_u32s(&y).into_iter().enumerate() {
            let expected = match i / 64 {
                2 => 0,
                3 => 2,
                _ => 3,
            };
            assert_eq!(v, expected, "lane {i} on {name}");
        }
        assert_eq!(resonance.get(0).unwrap().float, 64_000.0);
    }
}

#[test]
fn a_kernel_without_a_resonance_is_refused() {
    let text = "kernel k() block 1 grid 1 { res.accum.f64 3, 1.0; exit }";
    let e = launch(&Reference, &Sequential, text, &[], &RunOptions::default()).unwrap_err();
    assert!(e.to_string().contains("give one with the launch"), "{e}");
}

#[test]
fn broken_claims_are_found_and_say_where() {
    let start = Snapshot::default();
    let check = |text: &str, claim: &str| {
        let claims = LaunchClaims::default().with(claim).unwrap();
        let t = same_trap(text, &[], claims, &start);
        assert_eq!(t.lane_trap.kind, TrapKind::Claim, "{claim}: {t}");
        let place = (t.lane_trap.block, t.lane_trap.lane, t.lane_trap.inst);
        (place, t.to_string())
    };
    let holds = |text: &str, claim: &str| {
        let claims = LaunchClaims::default().with(claim).unwrap();
        for (name, executor) in executors() {
            let options = RunOptions { claims, ..with(&Resonance::new()) };
            let result = launch(&*executor, &Sequential, text, &[], &options);
            assert!(result.is_ok(), "{claim} on {name}: {result:?}");
        }
    };
    // Blocks 0..96 have classes 0..95; class + 1 is a neighbour but where t = 2.
    let next = "
kernel next() block 40 grid 96 {
    let c: u32
    cls.get        c
    add.u32        c, c, 1
    rem.u32        c, c, 96
    res.accum.f64  c, 1.0
    exit
}";
    let (place, text) = check(next, "neighbours");
    assert_eq!(place, (2, 0, 3));
    assert!(text.contains("class 3 is neither the lane's class 2 nor a neighbour of it"), "{text}");
    let own = next.replace("add.u32        c, c, 1", "add.u32        c, c, 0");
    holds(&own, "neighbours");
    let (_, text) = check(next, "neutral");
    assert!(text.contains("neutral") && text.contains("when the launch had ended"), "{text}");
    holds(&next.replace("c, 1.0", "c, 0.0"), "neutral");
    // Every class gets the same, so every class and its mirror do.
    holds(next, "mirror");
    let (_, text) = check(&next.replace("grid 96", "grid 95"), "mirror");
    assert!(text.contains("to class 0") && text.contains("mirror 3"), "{text}");
    let pair = "
kernel pair() block 32 grid 2 {
    let c, m: u32
    cls.get        c
    cls.mirror     m, c
    res.accum.i64  c, 1, 7
    res.accum.i64  m, -1, 7
    exit
}";
    holds(pair, "neutral");
    assert_eq!(check(pair, "mirror").0, (0, 0, 2));
    let phases = "
kernel phases() block 33 grid 5 {
    phase.adv      100
    exit
}";
    assert_eq!(check(phases, "phase=0,103").0, (3, 0, 0));
    assert_eq!(check(phases, "phase=1,300").0, (0, 0, 0));
    holds(phases, "phase=0,105");
    let bytes = "
kernel bytes() block 64 grid 2 {
    let a: u32
    phi.addr       a, 3, 47, %lane.x
    exit
}";
    let (place, text) = check(bytes, "boundary=47,1,250,48");
    assert_eq!(place, (0, 42, 0));
    assert!(text.contains("page 47, byte 42 is outside 1 pages from 47 by 48 bytes from 250"), "{text}");
    holds(bytes, "boundary=47,1,0,64");
    assert_eq!(check(bytes, "boundary=47,1,0,50").0, (0, 50, 0));
}

#[test]
fn the_host_reads_phases_and_changes() {
    let text = "
kernel walk() block 70 grid 4 {
    let l: u32;  let p: pred
    mov.u32        l, %lane.linear
    set.eq.u32     p, l, 0
@p  phase.adv      700
    phase.adv      1
    res.accum.f64  10, 0.1
    res.accum.f64  13, -0.1
    exit
}";
    for (name, executor) in executors() {
        let resonance = Resonance::new();
        let options = RunOptions { phase: 66, report_phases: true, ..with(&resonance) };
        let report = launch(&*executor, &Sequential, text, &[], &options).unwrap();
        assert_eq!(report.phases, [767, 0, 1, 2], "{name}");
        let change = report.change.unwrap();
        assert_eq!(change.classes().collect::<Vec<_>>(), [10, 13]);
        assert!(change.is_neutral() && !change.is_mirror_safe());
        assert_eq!(change.float(10), 28.0);
        assert_eq!(change.ratio(10), Some(Ratio::ZERO));
        assert_eq!(resonance.get(13).unwrap().float, -28.0);
    }
}

fn sums(design: Design, floats: &[(u8, f64)], fractions: &[Fraction], threads: usize) -> Sums {
    let accumulator = design.make();
    let each = FrontLoop::at(Tier::best());
    std::thread::scope(|s| {
        for t in 0..threads {
            let accumulator = &*accumulator;
            s.spawn(move || {
                let own = |i: &usize| i % threads == t;
                for (i, part) in floats.chunks(50).enumerate().filter(|(i, _)| own(i)) {
                    let class = part[0].0;
                    let alike: Vec<f64> = part.iter().filter(|(c, _)| *c == class).map(|(_, x)| *x).collect();
                    let rest: Vec<(u8, f64)> = part.iter().filter(|(c, _)| *c != class).copied().collect();
                    accumulator.floats(Floats::One(class, &alike), each);
                    accumulator.floats(Floats::Each(&rest), each);
                    let n = fractions.len() / floats.len().div_ceil(50).max(1);
                    accumulator.fractions(
                        &fractions[(i * n).min(fractions.len())..((i + 1) * n).min(fractions.len())],
                    );
                }
            });
        }
    });
    let parts = floats.len().div_ceil(50);
    let n = fractions.len() / parts.max(1);
    accumulator.fractions(&fractions[parts * n..]);
    accumulator.take()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_design_is_exact(
        bits in prop::collection::vec((0u8..96, any::<u64>(), 0u8..4), 1..400),
        parts in prop::collection::vec((0u8..96, any::<i64>(), any::<i64>(), 0u32..64), 0..60),
        threads in 1usize..5,
    ) {
        let floats: Vec<(u8, f64)> = bits
            .iter()
            .map(|(c, b, narrow)| {
                // Any finite number, or of the size of 1.
                let b = if *narrow > 0 { b & !(0x7ff << 52) | 0x3ff << 52 } else { *b };
                let x = f64::from_bits(b);
                (*c % 7, if x.is_finite() { x } else { 1.0 })
            })
            .collect();
        let fractions: Vec<Fraction> = parts
            .iter()
            .map(|(class, a, b, shift)| Fraction { class: class % 7, a: *a, b: (b >> shift).max(i64::MIN + 1) | 1 })
            .collect();
        for design in Design::ALL {
            let sums = sums(design, &floats, &fractions, threads);
            for class in 0..96 {
                let mut float = Slow::default();
                floats.iter().filter(|(c, _)| *c == class).for_each(|(_, x)| float.add(*x));
                let mut ratio = SlowRatio::zero();
                fractions.iter().filter(|f| f.class == class).for_each(|f| ratio.add(f.a, f.b));
                let got = sums.class(class).cloned().unwrap_or_default();
                let rounded = got.float.map_or(0.0, |s| s.round());
                prop_assert_eq!(rounded.to_bits(), (float.round() + 0.0).to_bits(), "{} class {}", design.name(), class);
                // Most such sums fit no 64-bit fraction; then subtracting what was added must give zero.
                let mut left = got.ratio.unwrap_or_default();
                match left.total(Ratio::ZERO) {
                    Ok(r) => prop_assert!(ratio.is(r), "{} class {}: {}", design.name(), class, r),
                    Err(_) => {
                        fractions.iter().filter(|f| f.class == class).for_each(|f| left.add(-f.a.max(-i64::MAX), f.b));
                        let minimum = fractions.iter().filter(|f| f.class == class && f.a == i64::MIN);
                        minimum.for_each(|f| left.add(1, f.b));
                        prop_assert!(left.is_zero(), "{} class {}", design.name(), class);
                    }
                }
            }
        }
    }
}
