//! The labels of the corpus, confirmed by brute force.

use crate::corpus::{File, files, folder};
use phalanx::exec::reference::Observed;
use phalanx::isa::{Base, Kernel, TrapKind};
use phalanx::testing::{self, Case, Conflict, Finding, FindingKind, Source, Value};
use phalanx::{Cpu, Program};
use phalanx_testkit::brute::{self, Element, Findings, Log, Pair, Site};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What brute force says of a test.
pub struct Truth {
    pub program: Program,
    pub findings: Findings,
    /// The site of a barrier that lanes missed, where the run ended there.
    pub missed: Option<Site>,
    pub log: Arc<Log>,
    /// Blocks of the launch.
    pub grid: [u32; 3],
}

impl Truth {
    pub fn kernel(&self) -> &Kernel {
        &self.program.verified().module().kernels[0]
    }
    pub fn line(&self, (func, inst): Site) -> u32 {
        self.kernel().funcs[func as usize].code[inst as usize].loc.line
    }
}

/// The parameter or array of a name.
pub fn object(kernel: &Kernel, name: &str) -> Option<Base> {
    let number = |n: Option<usize>| n.map(|n| n as u16);
    let array = |all: &[phalanx::isa::Array]| number(all.iter().position(|a| a.name == name));
    number(kernel.params.iter().position(|p| p.name == name))
        .map(Base::Param)
        .or_else(|| array(&kernel.shared).map(Base::Shared))
        .or_else(|| array(&kernel.private).map(Base::Private))
}

/// The elements of a finding without block and lane.
pub fn places(kernel: &Kernel, finding: &Finding) -> BTreeSet<Place> {
    let Some(target) = &finding.target else { return BTreeSet::new() };
    let base = object(kernel, &target.name);
    assert!(base.is_some() || target.name == "pool", "line {}: no `{target}`", finding.line);
    let which = i128::from(target.index.unwrap_or(0));
    finding.indices.iter().map(|i| (base, which, i128::from(*i))).collect()
}

/// Object (`None`: the pool), buffer of an array or handle, index.
pub type Place = (Option<Base>, i128, i128);

pub fn place(e: &Element) -> Place {
    (e.base, e.which, e.index)
}

/// Which elements hold something from the start: buffers that are given, and what the pool gives out.
pub fn is_written(kernel: &Kernel, case: &Case, e: &Element) -> bool {
    let Some(Base::Param(p)) = e.base else { return e.base.is_none() };
    let name = &kernel.params[p as usize].name;
    !case.args.iter().any(|g| {
        g.target.name == *name
            && g.target.index.is_none_or(|i| i128::from(i) == e.which)
            && matches!(g.value, Value::Buffer(Source::Uninit(..)))
    })
}

/// Runs a test on the observed reference executor.
pub fn truth(name: &str, text: &str, case: &Case) -> Truth {
    truth_of(name, text, case, None)
}

/// The same under a schedule.
pub fn truth_of(name: &str, text: &str, case: &Case, schedule: Option<u64>) -> Truth {
    let log = Arc::new(Log::default());
    let observer = Arc::clone(&log);
    let cpu = Cpu::builder().custom_executor(Arc::new(Observed(observer))).threads(1).build().unwrap();
    let program = cpu.load_named(name, text).unwrap_or_else(|e| panic!("{e}"));
    let mut launch = testing::bind(&cpu, &program, case, &folder()).unwrap_or_else(|e| panic!("{name}: {e}"));
    launch.options_mut().schedule_seed = schedule;
    let missed = match launch.run() {
        Ok(()) => None,
        Err(e) => {
            let trap = &e.trap().unwrap_or_else(|| panic!("{name}: {e}")).lane_trap;
            match trap.kind {
                TrapKind::Sync => Some((trap.func, trap.inst)),
                // The executor's own word on native operations whose boxes overlap; the accesses are known.
                TrapKind::Overlap => None,
                _ => panic!("{name}: {e}"),
            }
        }
    };
    let kernel = program.verified().module().kernels[0].clone();
    let written = |e: &Element| is_written(&kernel, case, e);
    let mut findings = log.findings(written);
    if !log.has_order_of_its_own() {
        assert_eq!(findings, log.findings_by_interval(written), "{name}: two ways to see order disagree");
    }
    // Which of two racing accesses comes first is nobody's promise.
    let racing: BTreeSet<Element> = findings.racing.keys().copied().collect();
    findings.unwritten.retain(|(e, _)| !racing.contains(e));
    Truth { program, findings, missed, log, grid: launch.config().grid }
}

fn conflict(c: brute::Conflict) -> FindingKind {
    match c {
        brute::Conflict::ReadWrite => FindingKind::Race(Conflict::ReadWrite),
        brute::Conflict::WriteWrite => FindingKind::Race(Conflict::WriteWrite),
        brute::Conflict::AtomicPlain => FindingKind::Race(Conflict::AtomicPlain),
        brute::Conflict::EqualStores => FindingKind::Equal,
    }
}

/// What differs between labels and truth.
fn compare(truth: &Truth, labels: &[Finding]) -> Vec<String> {
    let mut wrong = Vec::new();
    let kernel = truth.kernel();
    let f = &truth.findings;
    let of = |wanted: fn(FindingKind) -> bool| -> BTreeSet<Place> {
        labels.iter().filter(|l| wanted(l.kind)).flat_map(|l| places(kernel, l)).collect()
    };
    let mut same = |what: &str, said: BTreeSet<Place>, found: BTreeSet<Place>| {
        if said != found {
            let only = |a: &BTreeSet<Place>, b: &BTreeSet<Place>| {
                a.difference(b).map(|(b, w, i)| format!("{b:?}.{w}[{i}]")).collect::<Vec<_>>().join(" ")
            };
            wrong.push(format!(
                "{what}: only said: {}; only found: {}",
                only(&said, &found),
                only(&found, &said)
            ));
        }
    };
    same("races", of(|k| matches!(k, FindingKind::Race(_))), f.racy().iter().map(place).collect());
    same("equal stores", of(|k| k == FindingKind::Equal), f.equal().iter().map(place).collect());
    same("bounds", of(|k| k == FindingKind::Bounds), f.outside.iter().map(|(e, _)| place(e)).collect());
    same("init", of(|k| k == FindingKind::Init), f.unwritten.iter().map(|(e, _)| place(e)).collect());
    // Every element of a label has the label's kind and lines.
    for label in labels {
        let lines = |p: &Pair| {
            let mut at = vec![truth.line(p.sites.0), truth.line(p.sites.1)];
            at.sort_unstable();
            at
        };
        let sites_match = |site: &Site| vec![truth.line(*site)] == label.at;
        for wanted in places(kernel, label) {
            let ok = match label.kind {
                FindingKind::Race(_) | FindingKind::Equal => {
                    let mut pairs = f.racing.iter().filter(|(e, _)| place(e) == wanted).flat_map(|(_, p)| p);
                    pairs.any(|p| conflict(p.conflict) == label.kind && lines(p) == label.at)
                }
                FindingKind::Bounds => f.outside.iter().any(|(e, s)| place(e) == wanted && sites_match(s)),
                FindingKind::Init => f.unwritten.iter().any(|(e, s)| place(e) == wanted && sites_match(s)),
                FindingKind::Sync => true,
            };
            if !ok {
                let all: Vec<String> = f
                    .racing
                    .iter()
                    .filter(|(e, _)| place(e) == wanted)
                    .flat_map(|(_, p)| p.iter().map(|p| format!("{:?} {:?}", p.conflict, lines(p))))
                    .collect();
                wrong.push(format!("line {}: {wanted:?} is otherwise: {all:?}", label.line));
                break;
            }
        }
    }
    let at = |kind: FindingKind| -> BTreeSet<u32> {
        let handles = labels.iter().filter(|l| l.kind == kind && l.target.is_none());
        handles.flat_map(|l| l.at.clone()).collect()
    };
    let handles: BTreeSet<u32> = f.handles.iter().map(|s| truth.line(*s)).collect();
    let missed: BTreeSet<u32> = truth.missed.iter().map(|s| truth.line(*s)).collect();
    for (what, said, found) in
        [("handles", at(FindingKind::Bounds), handles), ("sync", at(FindingKind::Sync), missed)]
    {
        if said != found {
            wrong.push(format!("{what}: lines said {said:?}, found {found:?}"));
        }
    }
    wrong
}

/// Compares a file's labels with the truth; the number of accesses that were compared.
pub fn check(file: &File, wrong: &mut String) -> usize {
    let mut accesses = 0;
    for case in &file.cases {
        let truth = truth(&file.name, &file.text, case);
        accesses += truth.log.accesses();
        for what in compare(&truth, case.findings.as_deref().unwrap_or_default()) {
            *wrong += &format!("{}: {}: {what}\n", file.name, case.name);
        }
    }
    accesses
}

#[test]
fn labels_are_what_brute_force_finds() {
    let mut wrong = String::new();
    let accesses: usize = files().iter().map(|file| check(file, &mut wrong)).sum();
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(accesses > 30_000, "only {accesses} accesses looked at");
}

#[test]
fn a_wrong_label_is_told() {
    let all = files();
    let file = all.iter().find(|f| f.name == "missing_barrier.racy.phx").unwrap();
    let right = "race tmp[0..=63] read-write at 8 10";
    assert!(file.text.contains(right));
    for label in [
        "race tmp[0..=62] read-write at 8 10",
        "race tmp[0..=64] read-write at 8 10",
        "race tmp[0..=63] write-write at 8 10",
        "race tmp[0..=63] read-write at 8 11",
        "race x[0..=63] read-write at 8 10",
        "equal tmp[0..=63] write-write at 8 10",
        "init tmp[0..=63] at 10",
        "bounds tmp[0..=63] at 10",
        "sync at 10",
        "clean",
    ] {
        let text = file.text.replace(right, label);
        let cases = testing::parse(&text).unwrap();
        let (mut wrong, name) = (String::new(), file.name.clone());
        check(&File { text, cases, name, pair: file.pair.clone(), racy: true }, &mut wrong);
        assert!(!wrong.is_empty(), "{label}");
    }
}
