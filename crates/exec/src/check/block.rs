//! What a worker knows of the block that it runs: barrier intervals, and the shadow of shared memory.

use super::log::{Entry, Interval};
use super::shadow::{Touch, Who, touch_shared};
use super::{Checker, Class, Site, has};
use crate::launch::Launch;
use crate::view::View;
use phalanx_isa::Base;
use std::sync::atomic::Ordering;

/// One memory operation of one group of 32 lanes, before it happens.
pub(crate) struct Group<'g> {
    pub(crate) view: &'g View<'g>,
    pub(crate) base: Base,
    pub(crate) which: u64,
    pub(crate) places: &'g [u64; 32],
    /// The lanes that take part; some of their places may be outside.
    pub(crate) lanes: u32,
    /// Number of the first lane in the block.
    pub(crate) first_lane: u32,
    pub(crate) site: Site,
    pub(crate) class: Class,
    /// What a plain store stores.
    pub(crate) values: Option<&'g [u64; 32]>,
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
    accesses: u64,
}

impl BlockCheck {
    pub(crate) fn new(launch: &Launch<'_>, race: bool) -> BlockCheck {
        let arrays = launch.kernel().shared.len();
        let cells = |a| if race { vec![0; launch.shared_elements(a) as usize] } else { Vec::new() };
        BlockCheck {
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
        if checker.suspects.is_some() {
            let is_global = |o| checker.is_global(o);
            checker.log.lock().end_interval(self.block, self.interval, &mut self.log, is_global);
        }
        self.interval = self.interval.wrapping_add(1);
        self.next_epoch();
    }

    /// All lanes of a subgroup have met.
    pub(crate) fn subgroup_barrier(&mut self, subgroup: usize) {
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
        if let Some(bits) = checker.suspects.as_ref().and_then(|s| s.of(object)) {
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
                let Some(shadow) = checker.shadow(object) else { return };
                let who = Who::global(self.block, self.interval, subgroup_interval);
                shadow.touch(
                    op.view,
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

    #[cold]
    fn log(&mut self, op: &Group<'_>, object: u32, bits: &[u64], subgroup_interval: u32) {
        for i in (0..32).filter(|i| op.lanes >> i & 1 != 0) {
            let index = op.places[i as usize];
            if !has(bits, index) || index >= op.view.len() {
                continue;
            }
            self.log.access(Entry {
                object,
                index,
                site: op.site,
                class: op.class,
                lane: op.first_lane + i,
                subgroup_interval,
                value: op.values.map_or(0, |v| v[i as usize]),
            });
        }
    }
}
