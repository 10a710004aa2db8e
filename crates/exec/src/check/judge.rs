//! The order of a run that was observed, judged as in the second pass of a checked launch: for tests, which compare it with
//! other judges of the same run.

use super::log::{At, Log};
use super::order::{Deed, Fences, HappensBefore, Now, Ordering};
use super::{Class, RaceKind, Site};
use crate::reference::observe::{Access, How};
use phalanx_isa::{Base, Scope};
use phalanx_verify::Scope as Together;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// What an observer was told.
#[derive(Clone, Debug)]
pub enum Event {
    /// [`crate::reference::observe::Observer::access`].
    Access(Access),
    /// [`crate::reference::observe::Observer::barrier`].
    Barrier(u64, Range<u32>, Together),
    /// [`crate::reference::observe::Observer::fence`].
    Fence(u64, u32, Scope),
}

/// Kind, object, buffer of an array, element, and two sites in their order.
pub type Pair = (RaceKind, Base, i128, u64, [(u16, u32); 2]);

/// What raced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Object, buffer of an array, element, and the block's interval (`None`: two blocks).
    pub racy: BTreeSet<(Base, i128, u64, Option<u32>)>,
    /// Pairs of accesses.
    pub pairs: BTreeSet<Pair>,
    /// Accesses had to be dropped.
    pub cut: bool,
}

fn class(how: How) -> Class {
    match (how.atomic, how.writes) {
        (false, false) => Class::Read,
        (false, true) => Class::Write,
        (true, false) => Class::AtomicRead,
        (true, true) => Class::AtomicWrite,
    }
}

/// Judges events in their order.
pub fn judge(events: &[Event]) -> Verdict {
    let any = |f: fn(&Event) -> bool| events.iter().any(f);
    let mut order = HappensBefore::new(Fences {
        any: any(|e| matches!(e, Event::Fence(..))),
        of_block: any(|e| matches!(e, Event::Fence(.., Scope::Block))),
    });
    let mut log = Log::default();
    let mut objects: Vec<(Base, i128)> = Vec::new();
    let mut intervals: HashMap<u64, u32> = HashMap::new();
    let mut subgroups: HashMap<(u64, u32), u32> = HashMap::new();
    for event in events {
        let now = |block: u64, lane: u32| {
            let interval = intervals.get(&block).copied().unwrap_or(0);
            let subgroup_interval = subgroups.get(&(block, lane / 32)).copied().unwrap_or(0);
            Now { at: At { block, interval, lane }, subgroup_interval }
        };
        match event {
            Event::Access(a) if !matches!(a.base, Base::Private(_)) => {
                let what = (a.base, a.which);
                let object = objects.iter().position(|o| *o == what).unwrap_or_else(|| {
                    objects.push(what);
                    objects.len() - 1
                });
                let block = if matches!(a.base, Base::Shared(_)) { a.block } else { 0 };
                let element = (block, object as u32, a.index as u64);
                let (now, class) = (now(a.block, a.lane), class(a.how));
                if class.atomic() {
                    let (writes, release) = (a.how.writes && !a.how.fails, a.how.releases && !a.how.fails);
                    let sync = Ordering { acquire: a.how.acquires, release, writes, reads: a.how.reads };
                    order.atomic(element, now, sync);
                } else if class.writes() {
                    order.store(element);
                }
                let site = Site { func: a.site.0, inst: a.site.1 };
                order.access(&mut log, element, now, Deed { site, class, value: Some(a.bits) });
            }
            Event::Access(_) => {}
            Event::Barrier(block, _, Together::Block) => {
                order.barrier(*block, None);
                *intervals.entry(*block).or_default() += 1;
            }
            Event::Barrier(block, lanes, _) => {
                let subgroup = lanes.start / 32;
                order.barrier(*block, Some(subgroup));
                *subgroups.entry((*block, subgroup)).or_default() += 1;
            }
            Event::Fence(block, lane, scope) => order.fence(now(*block, *lane), *scope == Scope::Grid),
        }
    }
    let mut verdict = Verdict { cut: log.cut, ..Verdict::default() };
    for (object, index, interval) in &log.racy {
        let (base, which) = objects[*object as usize];
        verdict.racy.insert((base, which, *index, *interval));
    }
    for (key, found) in &log.found {
        let (base, which) = objects[key.object as usize];
        let sites = [key.a, key.b].map(|s| (s.func, s.inst));
        verdict.pairs.extend(found.indices.iter().map(|i| (key.kind, base, which, *i, sites)));
    }
    verdict
}
