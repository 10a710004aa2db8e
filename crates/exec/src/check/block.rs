//! What a worker knows of the block that it runs: barrier intervals, and the shadow of shared memory.

use super::fault::{self, FaultKey};
use super::log::At;
use super::log::{Entry, Interval};
use super::order::{Deed, HappensBefore, Now};
use super::report::FindingKind;
use super::shadow::{Touch, Who, touch_shared};
use super::{Checker, Checks, Class, Site, SyncOrder, has};
use crate::launch::Launch;
use crate::view::View;
use parking_lot::Mutex;
use phalanx_isa::Base;
use std::sync::atomic::Ordering;

/// One memory operation of one group of 32 lanes, before it happens.
pub(crate) struct Group<'g> {
    /// Of a buffer or shared array.
    pub(crate) view: Option<&'g View<'g>>,
    /// Elements that the object has.
    pub(crate) len: u64,
    pub(crate) base: Base,
    pub(crate) which: u64,
    pub(crate) places: &'g [u64; 32],
    /// The lanes that take part; some of their places may be outside.
    pub(crate) lanes: u32,
    /// Number of the first lane in the block.
    pub(crate) first_lane: u32,
    pub(crate) site: Site,
    pub(crate) class: Class,
    /// How an atomic operation orders; whether the access reads and writes.
    pub(crate) order: SyncOrder,
    /// What a plain store stores.
    pub(crate) values: Option<&'g [u64; 32]>,
    /// Lanes whose compare-exchange will not exchange, as far as anybody asks for that.
    pub(crate) failing: u32,
    /// All lanes go to one place.
    pub(crate) uniform: bool,
}

/// The checkers' part of the state of a block.
pub(crate) struct BlockCheck {
    block: u64,
    /// Barriers passed by the block.
    interval: u32,
    /// Barriers passed in all blocks of this worker, and blocks: cells of shared memory from before count as empty.
    epoch: u32,
    /// Barriers passed by each subgroup.
    subgroups: Vec<u32>,
    /// Cells of the shared arrays.
    shared: Vec<Vec<u64>>,
    found: Vec<(u32, u64)>,
    /// In the second pass.
    log: Interval,
    /// A bit per element of the shared arrays that was written, where that is followed.
    shared_written: Vec<Vec<u64>>,
    /// The same of the lanes' private arrays: all elements of lane 0, of lane 1, ...
    private_written: Vec<Vec<u64>>,
    private_lens: Vec<u64>,
    accesses: u64,
}

impl BlockCheck {
    pub(crate) fn new(launch: &Launch<'_>, checks: Checks) -> BlockCheck {
        let race = checks.race;
        let arrays = launch.kernel().shared.len();
        let cells = |a| if race { vec![0; launch.shared_elements(a) as usize] } else { Vec::new() };
        let words =
            |elements: u64| if checks.init { vec![0; elements.div_ceil(64) as usize] } else { Vec::new() };
        let private_lens: Vec<u64> = launch.kernel().private.iter().map(|a| a.len.unwrap_or(0)).collect();
        BlockCheck {
            shared_written: (0..arrays).map(|a| words(launch.shared_elements(a))).collect(),
            private_written: private_lens.iter().map(|n| words(n * u64::from(launch.lanes()))).collect(),
            private_lens,
            block: 0,
            interval: 0,
            epoch: 0,
            subgroups: vec![0; launch.lanes().div_ceil(32) as usize],
            shared: (0..arrays).map(cells).collect(),
            found: Vec::new(),
            log: Interval::default(),
            accesses: 0,
        }
    }

    pub(crate) fn start_block(&mut self, block: u64) {
        self.block = block;
        self.interval = 0;
        self.subgroups.fill(0);
        self.shared_written.iter_mut().chain(&mut self.private_written).for_each(|w| w.fill(0));
        self.next_epoch();
    }

    fn next_epoch(&mut self) {
        if self.epoch == u32::MAX {
            self.shared.iter_mut().for_each(|cells| cells.fill(0));
            self.epoch = 0;
        }
        self.epoch += 1;
    }

    /// All lanes of the block have met (or ended).
    pub(crate) fn barrier(&mut self, checker: &Checker) {
        if let Some(order) = &checker.order {
            order.lock().barrier(self.block, None);
        } else if checker.suspects.is_some() {
            let is_global = |o| checker.is_global(o);
            checker.log.lock().end_interval(self.block, self.interval, &mut self.log, is_global);
        }
        self.interval = self.interval.wrapping_add(1);
        self.next_epoch();
    }

    /// All lanes of a subgroup have met.
    pub(crate) fn subgroup_barrier(&mut self, checker: &Checker, subgroup: usize) {
        if let Some(order) = &checker.order {
            order.lock().barrier(self.block, Some(subgroup as u32));
        }
        if let Some(s) = self.subgroups.get_mut(subgroup) {
            *s = s.wrapping_add(1);
        }
    }

    /// The block has run.
    pub(crate) fn end_block(&mut self, checker: &Checker) {
        self.barrier(checker);
        checker.accesses.fetch_add(std::mem::take(&mut self.accesses), Ordering::Relaxed);
        checker.blocks.fetch_add(1, Ordering::Relaxed);
        if !self.found.is_empty() {
            let mut all = checker.found.lock();
            self.found.drain(..).for_each(|(object, index)| all.add(object, index));
        }
    }

    pub(crate) fn count(&mut self, lanes: u32) {
        self.accesses += u64::from(lanes);
    }

    /// Looks for races.
    #[inline]
    pub(crate) fn race(&mut self, checker: &Checker, op: &Group<'_>) {
        let object = checker.object(op.base, op.which);
        let subgroup = op.first_lane / 32;
        let subgroup_interval = self.subgroups.get(subgroup as usize).copied().unwrap_or(0);
        if let Some(order) = &checker.order {
            self.follow(checker, order, op, object, subgroup_interval);
        } else if let Some(bits) = checker.suspects.as_ref().and_then(|s| s.of(object)) {
            self.log(op, object, bits, subgroup_interval);
        }
        // Of many lanes at one place the first two say all that a cell can hold.
        let lanes = if op.uniform {
            let rest = op.lanes & op.lanes.wrapping_sub(1);
            op.lanes & !(rest & rest.wrapping_sub(1))
        } else {
            op.lanes
        };
        let found = &mut self.found;
        match op.base {
            Base::Param(_) => {
                let (Some(shadow), Some(view)) = (checker.shadow(object), op.view) else { return };
                let who = Who::global(self.block, self.interval, subgroup_interval);
                shadow.touch(
                    view,
                    op.places,
                    lanes,
                    Touch { who, first_lane: op.first_lane, class: op.class },
                    |p| found.push((object, p)),
                );
            }
            Base::Shared(s) => {
                let cells = &mut self.shared[s as usize][..];
                let who = Who::shared(self.epoch, subgroup_interval);
                let mut left = lanes;
                while left != 0 {
                    let i = left.trailing_zeros();
                    left &= left - 1;
                    let place = op.places[i as usize];
                    if let Some(cell) = cells.get_mut(place as usize)
                        && touch_shared(cell, who, op.first_lane + i, op.class)
                    {
                        found.push((object, place));
                    }
                }
            }
            Base::Private(_) => {}
        }
    }

    pub(super) fn at(&self, lane: u32) -> At {
        At { block: self.block, interval: self.interval, lane }
    }
    pub(super) fn block(&self) -> u64 {
        self.block
    }
    pub(super) fn interval(&self) -> u32 {
        self.interval
    }
    pub(super) fn subgroup_interval(&self, lane: u32) -> u32 {
        self.subgroups.get(lane as usize / 32).copied().unwrap_or(0)
    }
    /// An element on which lanes may have raced.
    pub(super) fn found(&mut self, object: u32, index: u64) {
        self.found.push((object, index));
    }
    pub(super) fn log_entry(&mut self, entry: Entry) {
        self.log.access(entry);
    }

    /// A lane's fence.
    pub(crate) fn fence(&mut self, checker: &Checker, lane: u32, grid: bool) {
        if let Some(order) = &checker.order {
            let subgroup_interval = self.subgroup_interval(lane);
            order.lock().fence(Now { at: self.at(lane), subgroup_interval }, grid);
        }
    }

    /// Atomic operations, and accesses to elements that the first pass found, of a kernel that orders by them.
    #[cold]
    fn follow(
        &mut self,
        checker: &Checker,
        order: &Mutex<HappensBefore>,
        op: &Group<'_>,
        object: u32,
        subgroup_interval: u32,
    ) {
        let bits = checker.suspects.as_ref().and_then(|s| s.of(object));
        let mut order = order.lock();
        let mut log = checker.log.lock();
        // Shared memory is another one in each block.
        let block = if matches!(op.base, Base::Shared(_)) { self.block } else { 0 };
        for i in (0..32).filter(|i| op.lanes >> i & 1 != 0) {
            let index = op.places[i as usize];
            if index >= op.len {
                continue;
            }
            let now = Now { at: self.at(op.first_lane + i), subgroup_interval };
            let element = (block, object, index);
            if op.class.atomic() {
                // A compare-exchange that does not exchange is a load.
                let fails = op.failing >> i & 1 != 0;
                let loads = SyncOrder { release: false, writes: false, ..op.order };
                order.atomic(element, now, if fails { loads } else { op.order });
            } else if op.class.writes() {
                order.store(element);
            }
            if bits.is_some_and(|b| has(b, index)) {
                let value = op.values.map(|v| v[i as usize]);
                order.access(&mut log, element, now, Deed { site: op.site, class: op.class, value });
            }
        }
    }

    /// Looks for reads of what was never written, and notes what is.
    pub(crate) fn init(&mut self, checker: &Checker, op: &Group<'_>) {
        let object = checker.object(op.base, op.which);
        if matches!(op.base, Base::Param(_)) && !checker.follows(object) {
            return;
        }
        for i in (0..32).filter(|i| op.lanes >> i & 1 != 0) {
            let index = op.places[i as usize];
            let lane = op.first_lane + i;
            let (word, bit) = match op.base {
                Base::Param(_) => {
                    if op.order.reads && !checker.has_value(object, index) {
                        self.fault(checker, FindingKind::NeverWritten, op, lane, index.into());
                    }
                    if op.order.writes {
                        checker.wrote(object, index);
                    }
                    continue;
                }
                Base::Shared(s) => {
                    (self.shared_written[s as usize].get_mut((index / 64) as usize), index % 64)
                }
                Base::Private(p) => {
                    let at = u64::from(lane) * self.private_lens[p as usize] + index;
                    (self.private_written[p as usize].get_mut((at / 64) as usize), at % 64)
                }
            };
            let Some(word) = word else { continue };
            let unwritten = *word >> bit & 1 == 0;
            if op.order.writes {
                *word |= 1 << bit;
            }
            // Such memory starts as zero, from which counters may count.
            if op.order.reads && !op.order.writes && unwritten {
                self.fault(checker, FindingKind::NeverWritten, op, lane, index.into());
            }
        }
    }

    /// A fault of one lane of an operation.
    #[cold]
    pub(crate) fn fault(&self, checker: &Checker, kind: FindingKind, op: &Group<'_>, lane: u32, index: i128) {
        let key = FaultKey { site: op.site, kind, object: fault::object(op.base), which: op.which };
        checker.faults.lock().add(key, self.at(lane), index);
    }

    /// A fault of one lane that has no object.
    #[cold]
    pub(crate) fn bare_fault(&self, checker: &Checker, kind: FindingKind, site: Site, lane: u32, value: u64) {
        let key = FaultKey { site, kind, object: None, which: 0 };
        checker.faults.lock().add(key, self.at(lane), value.into());
    }

    /// Lanes of the block missed a collective; others wait, the lowest of them at `site`.
    pub(crate) fn missed(
        &self,
        checker: &Checker,
        (site, lane): (Site, u32),
        missing: (Vec<u32>, u32),
        elsewhere: Vec<(Site, u32)>,
    ) {
        checker.faults.lock().missed(site, self.at(lane), missing, elsewhere);
    }

    #[cold]
    fn log(&mut self, op: &Group<'_>, object: u32, bits: &[u64], subgroup_interval: u32) {
        for i in (0..32).filter(|i| op.lanes >> i & 1 != 0) {
            let index = op.places[i as usize];
            if !has(bits, index) || index >= op.len {
                continue;
            }
            self.log.access(Entry {
                object,
                index,
                site: op.site,
                class: op.class,
                lane: op.first_lane + i,
                subgroup_interval,
                value: op.values.map(|v| v[i as usize]),
            });
        }
    }
}
