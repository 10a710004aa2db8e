//! The checkers of `phalanx run --sanitize` against labels and brute force: on the corpus, on the examples of PARALLEL.md, and on
//! random programs; on every SIMD level, with several threads and schedules.

use crate::corpus::{File, files, folder};
use crate::guide::examples;
use crate::labels::{Place, Truth, place, truth, truth_of};
use phalanx::exec::check::judge::judge;
use phalanx::exec::check::{FindingKind, RaceKind};
use phalanx::exec::reference::Observed;
use phalanx::exec::reference::observe::Observer;
use phalanx::isa::Base;
use phalanx::testing::{self, Case};
use phalanx::{Checked, Checks, Cpu, LaunchShape, Tier};
use phalanx_testkit::brute::{Conflict, Element, Log, Site};
use phalanx_testkit::program::{Config, random_program};
use phalanx_testkit::racy::{flag_program, ordered_program, racy_program};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Base (`None`: the pool), buffer of an array or handle, index, interval of a block (`None`: two blocks).
type Racing = BTreeSet<(Option<Base>, i128, i128, Option<usize>)>;
/// What a race is: kind, base, buffer of an array, index, sites.
type Pairs = BTreeSet<(Conflict, Option<Base>, i128, i128, (Site, Site))>;

/// Devices by SIMD level and number of threads.
fn devices() -> Vec<(String, Cpu)> {
    let mut all = Vec::new();
    for (n, tier) in Tier::available().into_iter().enumerate() {
        for threads in 1..=3 {
            // Every level on one thread; every number of threads on some level.
            if threads == 1 || (n + threads).is_multiple_of(2) {
                let cpu = Cpu::builder().simd(tier).threads(threads).build().unwrap();
                all.push((format!("{tier}, {threads} threads"), cpu));
            }
        }
    }
    all
}

/// Runs a test under all checkers.
pub fn sanitize(cpu: &Cpu, file: &File, case: &Case, seed: Option<u64>) -> Checked {
    let program = cpu.load_named(&file.name, &file.text).unwrap_or_else(|e| panic!("{e}"));
    let mut launch = testing::bind(cpu, &program, case, &folder()).unwrap_or_else(|e| panic!("{e}"));
    launch.options_mut().schedule_seed = seed;
    launch.sanitize(Checks::ALL).unwrap_or_else(|e| panic!("{}: {e}", file.name))
}

fn conflict(kind: RaceKind) -> Conflict {
    match kind {
        RaceKind::ReadWrite => Conflict::ReadWrite,
        RaceKind::WriteWrite => Conflict::WriteWrite,
        RaceKind::AtomicPlain => Conflict::AtomicPlain,
        RaceKind::EqualValue => Conflict::EqualStores,
    }
}

/// What differs between a report and the truth.
fn differences(truth: &Truth, checked: &Checked) -> Vec<String> {
    let mut wrong = Vec::new();
    // Where loads race, what is stored may depend on the order, and so may whether two stores are equal.
    let loads_race = truth
        .findings
        .racing
        .values()
        .flatten()
        .any(|p| matches!(p.conflict, Conflict::ReadWrite | Conflict::AtomicPlain));
    let class = |c: Conflict| if loads_race && c == Conflict::EqualStores { Conflict::WriteWrite } else { c };
    let there: Racing = truth
        .findings
        .racing
        .iter()
        .flat_map(|(e, pairs)| pairs.iter().map(|p| (e.base, e.which, e.index, p.interval)))
        .collect();
    let report = &checked.report;
    let racy = report.racy.iter();
    let found: Racing =
        racy.map(|r| (r.base, r.which.into(), r.index.into(), r.interval.map(|i| i as usize))).collect();
    if there != found {
        let show =
            |a: &Racing, b: &Racing| a.difference(b).take(4).map(|r| format!("{r:?}")).collect::<Vec<_>>();
        wrong.push(format!("missed {:?}, invented {:?}", show(&there, &found), show(&found, &there)));
    }
    let pairs: Pairs = truth
        .findings
        .racing
        .iter()
        .flat_map(|(e, all)| all.iter().map(|p| (class(p.conflict), e.base, e.which, e.index, p.sites)))
        .collect();
    for finding in &report.findings {
        let FindingKind::Race(kind) = finding.kind else { continue };
        let site = |n: usize| finding.sites.get(n).map_or((0, 0), |s| (s.func, s.inst));
        let sites = (site(0).min(site(1)), site(0).max(site(1)));
        for index in &finding.indices {
            let claimed = (class(conflict(kind)), finding.base, finding.which.into(), *index, sites);
            if !pairs.contains(&claimed) {
                wrong.push(format!("no such pair: {claimed:?}"));
                break;
            }
        }
    }
    wrong
}

/// The element of a fault and its site.
type Fault = (Place, Site);

/// What differs of all that is no race.
fn other_differences(truth: &Truth, checked: &Checked) -> Vec<String> {
    let report = &checked.report;
    let at = |wanted: &[FindingKind], placed: bool| {
        let of = |f: &&phalanx::Finding| wanted.contains(&f.kind) && f.base.is_some() == placed;
        report.findings.iter().filter(of).collect::<Vec<_>>()
    };
    let site = |f: &phalanx::Finding| f.sites.first().map_or((0, 0), |s| (s.func, s.inst));
    let missed: BTreeSet<Site> = at(&[FindingKind::MissedBarrier], false).into_iter().map(site).collect();
    if missed != truth.missed.into_iter().collect() {
        return vec![format!("missed barriers at {missed:?}, not {:?}", truth.missed)];
    }
    if truth.missed.is_some() {
        // The run that everything is known of has ended there.
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let racing: BTreeSet<_> = truth.findings.racing.keys().map(place).collect();
    let mut same = |what: &str, there: &BTreeSet<(Element, Site)>, kinds: &[FindingKind]| {
        let number = |w: i128| u64::try_from(w).unwrap_or(u64::MAX).into();
        let there: BTreeSet<Fault> =
            there.iter().map(|(e, s)| ((e.base, number(e.which), e.index), *s)).collect();
        let all = at(kinds, true);
        let found: BTreeSet<Fault> = all
            .iter()
            .flat_map(|f| f.indices.iter().map(|i| ((f.base, f.which.into(), *i), site(f))))
            // Whether what races has been written depends on the order.
            .filter(|(e, _)| !racing.contains(e) || what == "bounds")
            .collect();
        if there != found {
            wrong.push(format!("{what}: {found:?}, not {there:?}"));
        }
    };
    same("init", &truth.findings.unwritten, &[FindingKind::NeverWritten]);
    same("bounds", &truth.findings.outside, &[FindingKind::LoadOutside, FindingKind::StoreOutside]);
    let of_pool = [FindingKind::LoadOutside, FindingKind::StoreOutside, FindingKind::BadHandle];
    let handles: BTreeSet<Site> = at(&of_pool, false).into_iter().map(site).collect();
    if handles != truth.findings.handles {
        wrong.push(format!("handles at {handles:?}, not {:?}", truth.findings.handles));
    }
    wrong
}

/// Checks files on some devices and schedules.
fn check(files: &[File], seeds: &[Option<u64>]) {
    let devices = devices();
    let mut wrong = String::new();
    for file in files {
        for case in &file.cases {
            let truth = truth(&file.name, &file.text, case);
            let labels = case.findings.as_deref().unwrap_or_default();
            for (device, cpu) in &devices {
                for seed in seeds {
                    let checked = sanitize(cpu, file, case, *seed);
                    let mut what = differences(&truth, &checked);
                    what.extend(other_differences(&truth, &checked));
                    if checked.is_clean() != labels.iter().all(|l| l.kind == testing::FindingKind::Equal) {
                        what.push(format!("the verdict is wrong: {}", checked.summary()));
                    }
                    for what in what {
                        wrong += &format!("{}: {device}, seed {seed:?}: {what}\n", file.name);
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_corpus_is_judged_without_a_mistake() {
    check(&files(), &[None, Some(1), Some(2)]);
}

#[test]
fn the_guide_is_judged_without_a_mistake() {
    check(&examples(), &[None, Some(7)]);
}

/// A random program as a file of its own.
fn random(seed: u64, make: fn(u64) -> String) -> File {
    let text = make(seed);
    let cases = testing::parse(&text).unwrap();
    File { pair: String::new(), racy: true, name: format!("seed {seed}"), text, cases }
}

/// Whether the program races at all. Panics where the checker errs.
fn random_case(seed: u64, make: fn(u64) -> String, devices: &[(String, Cpu)]) -> bool {
    let file = random(seed, make);
    let truth = truth(&file.name, &file.text, &file.cases[0]);
    for (n, (device, cpu)) in devices.iter().enumerate() {
        let schedule = (seed % 3 != n as u64 % 3).then_some(seed);
        let wrong = differences(&truth, &sanitize(cpu, &file, &file.cases[0], schedule));
        assert!(wrong.is_empty(), "seed {seed}, {device}, schedule {schedule:?}: {wrong:#?}\n{}", file.text);
    }
    !truth.findings.racing.is_empty()
}

/// How many random programs of each kind a test takes.
fn random_programs() -> u64 {
    std::env::var("PHALANX_RACY_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

/// Judges so many random programs, each on one device; how many race.
fn judge_random_programs(n: u64, make: fn(u64) -> String) -> u64 {
    let devices = devices();
    let of = |seed: &u64| random_case(*seed, make, &devices[*seed as usize % devices.len()..][..1]);
    (0..n).filter(of).count() as u64
}

#[test]
fn random_programs_have_the_racy_elements_of_brute_force() {
    let n = random_programs();
    let racy = judge_random_programs(n, racy_program);
    assert!((n / 2..n - n / 10).contains(&racy), "{racy} of {n} programs race");
}

#[test]
fn random_programs_that_pass_flags_have_the_racy_elements_of_brute_force() {
    let n = random_programs();
    let racy = judge_random_programs(n, flag_program);
    assert!((n / 2..n - n / 20).contains(&racy), "{racy} of {n} programs race");
}

/// Pairs without the equal stores of sites that also store different values there.
fn without_weaker(mut pairs: Pairs) -> Pairs {
    let all = pairs.clone();
    pairs.retain(|(c, base, which, index, sites)| {
        *c != Conflict::EqualStores || !all.contains(&(Conflict::WriteWrite, *base, *which, *index, *sites))
    });
    pairs
}

/// A program with releases, acquires and fences everywhere, whose order depends on the run: the checker judges the very run that
/// brute force has seen. Whether something raced.
fn ordered_case(seed: u64) -> bool {
    let file = random(seed, ordered_program);
    let truth = truth_of(&file.name, &file.text, &file.cases[0], Some(seed));
    let verdict = judge(&truth.log.seen());
    assert!(!verdict.cut, "seed {seed}: too large");
    let racing = || truth.findings.racing.iter();
    let there: Racing =
        racing().flat_map(|(e, all)| all.iter().map(|p| (e.base, e.which, e.index, p.interval))).collect();
    let found: Racing =
        verdict.racy.iter().map(|(b, w, i, n)| (Some(*b), *w, (*i).into(), n.map(|n| n as usize))).collect();
    assert_eq!(found, there, "seed {seed}\n{}", file.text);
    let pairs =
        racing().flat_map(|(e, all)| all.iter().map(|p| (p.conflict, e.base, e.which, e.index, p.sites)));
    let found = verdict
        .pairs
        .iter()
        .map(|(k, b, w, i, sites)| (conflict(*k), Some(*b), *w, (*i).into(), (*sites).into()));
    let (found, there) = (without_weaker(found.collect()), without_weaker(pairs.collect()));
    assert_eq!(found, there, "seed {seed}\n{}", file.text);
    !there.is_empty()
}

#[test]
fn any_order_of_a_run_is_judged_as_by_brute_force() {
    // Each takes as long as several of the others.
    let n = random_programs() / 5;
    let racy = (0..n).filter(|seed| ordered_case(*seed)).count() as u64;
    assert!(racy > n / 2, "{racy} of {n} programs race");
}

/// A race-free program of the other generator, with calls, nested loops and every operation: nothing may be found.
fn clean_case(seed: u64, cpu: &Cpu) {
    let config = Config { traps: false, fuel: false, max_lanes: 140, ..Config::of(seed) };
    let case = random_program(seed, &config);
    let launch = |cpu: &Cpu| {
        let program = cpu.load_module(case.module.clone()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let kernel = program.only_kernel().unwrap();
        let shape =
            LaunchShape { grid: Some(case.grid), block: Some(case.block), shared_len: case.shared_len };
        let mut launch = kernel.launch_shape(shape).phase(case.phase).pool_limit_bytes(case.pool_limit_bytes);
        for (param, value) in kernel.params().iter().zip(case.bind().unwrap()) {
            launch = launch.arg(&param.name, value);
        }
        if let Some(class) = case.class {
            launch = launch.class(class);
        }
        launch = launch.resonance(&case.resonance());
        launch.bind().unwrap_or_else(|e| panic!("seed {seed}: {e}"))
    };
    let log = Arc::new(Log::default());
    let observed = Arc::new(Observed(Arc::clone(&log) as Arc<dyn Observer>));
    let observed = Cpu::builder().custom_executor(observed).threads(1).build().unwrap();
    launch(&observed).run().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let there = log.findings_by_interval(|_| true).racing;
    assert!(there.is_empty(), "seed {seed}: the generator promised no races: {there:?}");
    let checked = launch(cpu).sanitize(Checks::named("race").unwrap()).unwrap();
    let text = || phalanx::asm::disassemble(&case.module).unwrap();
    assert!(
        checked.is_clean() && checked.counted(true).next().is_none(),
        "seed {seed}: {checked}\n{}",
        text()
    );
}

#[test]
fn random_race_free_programs_are_clean() {
    let devices = devices();
    for seed in 0..60 {
        clean_case(seed, &devices[seed as usize % devices.len()].1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_random_program_has_the_racy_elements_of_brute_force(seed: u64) {
        let devices = devices();
        for make in [racy_program, flag_program] {
            random_case(seed, make, &devices[seed as usize % devices.len()..][..1]);
        }
        ordered_case(seed);
    }
}
