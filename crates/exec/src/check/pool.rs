//! Races on the pool's memory. Its allocations are objects that come and go while the launch runs; an allocation is known by its
//! handle, which is the same in every run.
//!
//! `pool.alloc` is no access: who has the handle has the zeros too. `pool.free` counts as a store to every element that anybody has
//! touched, which differs from all other stores.

use super::block::BlockCheck;
use super::log::Entry;
use super::order::{Deed, Now};
use super::shadow::{Who, touch_global};
use super::{Checker, Class, Site, has};
use std::collections::HashMap;

/// One operation of one lane on an allocation that is there.
#[derive(Clone, Copy)]
pub(crate) struct PoolTouch {
    pub(crate) site: Site,
    pub(crate) lane: u32,
    pub(crate) handle: u64,
    /// `None`: the allocation is given back.
    pub(crate) index: Option<u64>,
    pub(crate) class: Class,
    /// What a store stores.
    pub(crate) value: Option<u64>,
}

/// The allocations that were touched: their numbers, and cells as of a buffer.
#[derive(Default)]
pub(crate) struct PoolObjects {
    numbers: HashMap<u64, u32>,
    handles: Vec<u64>,
    cells: HashMap<u64, Vec<u64>>,
}

impl PoolObjects {
    fn number(&mut self, handle: u64) -> u32 {
        *self.numbers.entry(handle).or_insert_with(|| {
            self.handles.push(handle);
            self.handles.len() as u32 - 1
        })
    }

    /// The handle of an allocation by its number.
    pub(crate) fn handle(&self, number: u32) -> u64 {
        self.handles.get(number as usize).copied().unwrap_or(0)
    }

    /// The same numbers, nothing touched.
    pub(crate) fn numbers(&self) -> PoolObjects {
        PoolObjects { numbers: self.numbers.clone(), handles: self.handles.clone(), cells: HashMap::new() }
    }

    /// A lane's access; whether the element is found by it.
    fn touch(&mut self, who: Who, lane: u32, t: &PoolTouch, index: u64) -> bool {
        let cells = self.cells.entry(t.handle).or_default();
        let Ok(at) = usize::try_from(index) else { return false };
        if cells.len() <= at {
            cells.resize(at + 1, 0);
        }
        touch_global(&mut cells[at], who, lane, t.class)
    }

    /// How many elements have been touched up to the last one.
    fn touched(&self, handle: u64) -> u64 {
        self.cells.get(&handle).map_or(0, |c| c.len() as u64)
    }
}

impl BlockCheck {
    /// Looks for races on pool memory.
    pub(crate) fn pool(&mut self, checker: &Checker, t: PoolTouch) {
        let subgroup_interval = self.subgroup_interval(t.lane);
        let who = Who::global(self.block(), self.interval(), subgroup_interval);
        let mut pool = checker.pool.lock();
        let object = checker.first_pool + pool.number(t.handle);
        let all = match t.index {
            Some(i) => i..i + 1,
            None => 0..pool.touched(t.handle),
        };
        for index in all {
            if pool.touch(who, t.lane, &t, index) {
                self.found(object, index);
            }
        }
        if t.index.is_none() {
            // No handle is given out twice: nobody comes here any more.
            pool.cells.remove(&t.handle);
        }
        drop(pool);
        let Some(bits) = checker.suspects.as_ref().and_then(|s| s.of(object)) else { return };
        let suspects = match t.index {
            Some(i) => i..i + 1,
            None => 0..bits.len() as u64 * 64,
        };
        for index in suspects.filter(|i| has(bits, *i)) {
            let PoolTouch { site, lane, class, value, .. } = t;
            match &checker.order {
                Some(order) => {
                    let now = Now { at: self.at(lane), subgroup_interval };
                    let (mut order, mut log) = (order.lock(), checker.log.lock());
                    order.access(&mut log, (0, object, index), now, Deed { site, class, value });
                }
                None => self.log_entry(Entry { object, index, site, class, lane, subgroup_interval, value }),
            }
        }
    }
}
