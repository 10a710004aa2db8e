//! Faults that are seen where they happen: accesses outside their objects, reads of what was never written, missed barriers.

use super::Site;
use super::log::At;
use super::report::FindingKind;
use phalanx_isa::Base;
use std::collections::{BTreeMap, BTreeSet};

/// What tells faults apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FaultKey {
    pub(crate) site: Site,
    pub(crate) kind: FindingKind,
    /// Space and number of the object; `None`: there is none.
    pub(crate) object: Option<(u8, u16)>,
    pub(crate) which: u64,
}

/// An object as a part of a key.
pub(crate) fn object(base: Base) -> Option<(u8, u16)> {
    Some(match base {
        Base::Param(p) => (0, p),
        Base::Shared(s) => (1, s),
        Base::Private(p) => (2, p),
    })
}

/// The object of a part of a key.
pub(crate) fn base(object: (u8, u16)) -> Base {
    match object {
        (0, p) => Base::Param(p),
        (1, s) => Base::Shared(s),
        (_, p) => Base::Private(p),
    }
}

/// Elements that are listed; more are counted.
const LISTED: usize = 1 << 20;

/// A fault so far: the occurrence that comes first, and all elements.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) index: i128,
    pub(crate) indices: BTreeSet<i128>,
    pub(crate) count: u64,
    /// Of a missed barrier: lanes that did not come, at most eight, how many in all, and where others wait.
    pub(crate) missing: (Vec<u32>, u32),
    pub(crate) elsewhere: Vec<(Site, u32)>,
}

#[derive(Default)]
pub(crate) struct Faults(pub(crate) BTreeMap<FaultKey, Fault>);

impl Faults {
    /// One more lane at a place.
    pub(crate) fn add(&mut self, key: FaultKey, at: At, index: i128) {
        let fault = self.0.entry(key).or_insert_with(|| Fault {
            at,
            index,
            indices: BTreeSet::new(),
            count: 0,
            missing: Default::default(),
            elsewhere: Vec::new(),
        });
        if (at, index) < (fault.at, fault.index) {
            (fault.at, fault.index) = (at, index);
        }
        if fault.indices.len() < LISTED {
            fault.indices.insert(index);
        }
        fault.count += 1;
    }

    /// A barrier that lanes of a block missed.
    pub(crate) fn missed(
        &mut self,
        site: Site,
        at: At,
        missing: (Vec<u32>, u32),
        elsewhere: Vec<(Site, u32)>,
    ) {
        let key = FaultKey { site, kind: FindingKind::MissedBarrier, object: None, which: 0 };
        let first = self.0.get(&key).is_none_or(|f| at < f.at);
        self.add(key, at, 0);
        if let Some(fault) = self.0.get_mut(&key).filter(|_| first) {
            (fault.missing, fault.elsewhere) = (missing, elsewhere);
        }
    }
}
