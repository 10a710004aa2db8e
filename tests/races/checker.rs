//! The checkers of `phalanx run --sanitize` against labels and brute force: on the corpus, on the examples of PARALLEL.md, and on
//! random programs; on every SIMD level, with several threads and schedules.

use crate::corpus::{File, files, folder};
use crate::guide::examples;
use crate::labels::{Truth, truth};
use phalanx::exec::check::{FindingKind, RaceKind};
use phalanx::exec::reference::Observed;
use phalanx::exec::reference::observe::Observer;
use phalanx::isa::Base;
use phalanx::testing::{self, Case};
use phalanx::{Checked, Checks, Cpu, LaunchShape, Tier};
use phalanx_testkit::brute::{Conflict, Log, Site};
use phalanx_testkit::program::{Config, random_program};
use phalanx_testkit::racy::racy_program;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Base, buffer of an array, index, interval of a block (`None`: two blocks).
type Racing = BTreeSet<(Base, i128, i128, Option<usize>)>;
/// What a race is: kind, base, buffer of an array, index, sites.
type Pairs = BTreeSet<(Conflict, Base, i128, i128, (Site, Site))>;

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
            let Some(base) = finding.base else { continue };
            let claimed = (class(conflict(kind)), base, finding.which.into(), *index, sites);
            if !pairs.contains(&claimed) {
                wrong.push(format!("no such pair: {claimed:?}"));
                break;
            }
        }
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
            if truth.log.has_order_of_its_own() || !truth.findings.unwritten.is_empty() {
                continue;
            }
            let labels = case.findings.as_deref().unwrap_or_default();
            for (device, cpu) in &devices {
                for seed in seeds {
                    let checked = sanitize(cpu, file, case, *seed);
                    let mut what = differences(&truth, &checked);
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

#[test]
fn random_programs_have_the_racy_elements_of_brute_force() {
    let more = std::env::var("PHALANX_RACY_PROGRAMS").ok().and_then(|n| n.parse().ok());
    let n: u64 = more.unwrap_or(150);
    let devices = devices();
    let racy = (0..n)
        .filter(|seed| random_case(*seed, racy_program, &devices[*seed as usize % devices.len()..][..1]))
        .count() as u64;
    assert!((n / 2..n - n / 10).contains(&racy), "{racy} of {n} programs race");
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
        random_case(seed, racy_program, &devices[seed as usize % devices.len()..][..1]);
    }
}
