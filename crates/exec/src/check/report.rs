//! What the checkers found, as data.

use super::fault::{self, Faults};
use super::log::{At, Log};
use super::{Checker, RaceKind, Site};
use crate::trap::Trap;
use phalanx_isa::Base;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Which checkers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Accesses of several lanes to one element that nothing orders.
    pub race: bool,
    /// Accesses outside their objects, and to pool memory that is not there. A load gives 0, a store is dropped, the run goes on.
    pub bounds: bool,
    /// Reads of memory that was never written.
    pub init: bool,
    /// Barriers and other collectives that lanes miss. The block ends there, the others go on.
    pub sync: bool,
}

impl Checks {
    /// All of them.
    pub const ALL: Checks = Checks { race: true, bounds: true, init: true, sync: true };
    /// None of them.
    pub const NONE: Checks = Checks { race: false, bounds: false, init: false, sync: false };
    /// The one with this name on the command line.
    pub fn named(name: &str) -> Option<Checks> {
        match name {
            "race" => Some(Checks { race: true, ..Checks::NONE }),
            "bounds" => Some(Checks { bounds: true, ..Checks::NONE }),
            "init" => Some(Checks { init: true, ..Checks::NONE }),
            "sync" => Some(Checks { sync: true, ..Checks::NONE }),
            _ => None,
        }
    }
    /// Those of both.
    pub fn or(self, o: Checks) -> Checks {
        Checks {
            race: self.race || o.race,
            bounds: self.bounds || o.bounds,
            init: self.init || o.init,
            sync: self.sync || o.sync,
        }
    }
    /// Whether any runs.
    pub fn any(self) -> bool {
        self != Checks::NONE
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// Two lanes access an element and nothing orders them.
    Race(RaceKind),
    /// A load outside its object, which gave 0.
    LoadOutside,
    /// A store or atomic operation outside its object, which was dropped.
    StoreOutside,
    /// A handle of pool memory that was freed, never given out, or is of another type.
    BadHandle,
    /// A read of what was never written.
    NeverWritten,
    /// A barrier or other collective that lanes miss.
    MissedBarrier,
}

/// Where a lane did what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Function of the kernel.
    pub func: u16,
    /// Instruction of the function.
    pub inst: u32,
    /// Linear block.
    pub block: u64,
    /// Barriers that the block had passed.
    pub interval: u32,
    /// Linear lane of the block.
    pub lane: u32,
    /// It wrote.
    pub writes: bool,
    /// It was atomic.
    pub atomic: bool,
}

/// One thing that is wrong: a pair of sites that race on elements of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The buffer or array; `None` for what has none: pool memory and barriers.
    pub base: Option<Base>,
    /// Which buffer of an array of buffers; of a race on pool memory: the handle.
    pub which: u64,
    /// An element, the one at which `sites` were.
    pub index: i128,
    /// All elements.
    pub indices: BTreeSet<i128>,
    /// The two sites of a race, in the order of the text; one site of anything else.
    pub sites: Vec<Occurrence>,
    /// How often: elements by barrier intervals in which lanes of one block raced, plus elements on which blocks did.
    pub count: u64,
    /// The part of `count` that is between blocks.
    pub across_blocks: u64,
    /// Of a missed barrier: lanes that did not come, at most eight of them.
    pub missing: Vec<u32>,
    /// Of a missed barrier: how many lanes did not come.
    pub missing_count: u32,
    /// Of a missed barrier: where other lanes of the block wait instead.
    pub elsewhere: Vec<Occurrence>,
}

/// A racy element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Racy {
    /// The buffer or array; `None`: pool memory.
    pub base: Option<Base>,
    /// Which buffer of an array of buffers; of pool memory: the handle.
    pub which: u64,
    /// The element.
    pub index: u64,
    /// Barriers that the block had passed; `None`: blocks raced.
    pub interval: Option<u32>,
}

/// Memory of the race checker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShadowUse {
    /// Bytes of cells, and of values kept for the second pass.
    pub bytes: u64,
    /// Elements of written buffers that the launch touched.
    pub touched: u64,
}

impl ShadowUse {
    pub(super) fn add(&mut self, (bytes, touched): (u64, u64)) {
        self.bytes += bytes;
        self.touched += touched;
    }
}

/// What a checked launch showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Which checkers ran.
    pub checks: Checks,
    /// What is wrong, by place in the text.
    pub findings: Vec<Finding>,
    /// Every racy element: the same for every schedule and number of threads, where barriers and the launch's end are all that
    /// orders.
    pub racy: Vec<Racy>,
    /// Accesses by lanes that were looked at.
    pub accesses: u64,
    /// Blocks that ran to their end.
    pub blocks: u64,
    /// Memory of the race checker.
    pub shadow: ShadowUse,
    /// The kernel orders by release and acquire, of which one order was seen.
    pub one_order: bool,
    /// The second pass had to drop accesses: racy elements may be missing.
    pub cut: bool,
    /// The launch trapped: what is above holds up to there.
    pub trap: Option<Box<Trap>>,
}

impl Report {
    pub(super) fn new(checks: Checks, checker: &Checker, shadow: ShadowUse) -> Report {
        let mut report = Report {
            checks,
            accesses: checker.accesses.load(Ordering::Relaxed),
            blocks: checker.blocks.load(Ordering::Relaxed),
            shadow,
            one_order: checks.race && checker.orders,
            ..Report::default()
        };
        report.faults(&checker.faults.lock());
        report
    }

    /// Takes over what the second pass found.
    pub(super) fn races(&mut self, checker: &Checker, log: &Log) {
        self.findings.retain(|f| !matches!(f.kind, FindingKind::Race(_)));
        self.racy = log
            .racy
            .iter()
            .map(|(object, index, interval)| {
                let (base, which) = checker.base(*object);
                Racy { base, which, index: *index, interval: *interval }
            })
            .collect();
        for (key, found) in &log.found {
            let (base, which) = checker.base(key.object);
            let e = found.example;
            let at = |s: Site, at: At, class: super::Class| Occurrence {
                func: s.func,
                inst: s.inst,
                block: at.block,
                interval: at.interval,
                lane: at.lane,
                writes: class.writes(),
                atomic: class.atomic(),
            };
            self.findings.push(Finding {
                kind: FindingKind::Race(key.kind),
                base,
                which,
                index: e.index.into(),
                indices: found.indices.iter().map(|i| i128::from(*i)).collect(),
                sites: vec![at(key.a, e.a, e.classes.0), at(key.b, e.b, e.classes.1)],
                count: found.in_blocks + found.across,
                across_blocks: found.across,
                missing: Vec::new(),
                missing_count: 0,
                elsewhere: Vec::new(),
            });
        }
        self.sort();
        self.cut = log.cut;
    }

    fn sort(&mut self) {
        self.findings.sort_by_key(|f| (f.sites.iter().map(|s| (s.func, s.inst)).collect::<Vec<_>>(), f.kind));
    }

    fn faults(&mut self, faults: &Faults) {
        for (key, fault) in &faults.0 {
            let writes = key.kind == FindingKind::StoreOutside;
            let at = |s: Site, lane: u32| Occurrence {
                func: s.func,
                inst: s.inst,
                block: fault.at.block,
                interval: fault.at.interval,
                lane,
                writes,
                atomic: false,
            };
            let placed = key.kind != FindingKind::MissedBarrier;
            self.findings.push(Finding {
                kind: key.kind,
                base: key.object.map(fault::base),
                which: key.which,
                index: fault.index,
                indices: if placed { fault.indices.clone() } else { BTreeSet::new() },
                sites: vec![at(key.site, fault.at.lane)],
                count: fault.count,
                across_blocks: 0,
                missing: fault.missing.0.clone(),
                missing_count: fault.missing.1,
                elsewhere: fault.elsewhere.iter().map(|(s, lane)| at(*s, *lane)).collect(),
            });
        }
        self.sort();
    }
}
