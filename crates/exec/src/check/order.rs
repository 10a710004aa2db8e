//! The second pass of a kernel that orders by release and acquire: happens-before as the run shows it.
//!
//! A lane knows accesses of others: those of its block before the last barrier, those of its subgroup before the subgroup's last
//! barrier, and what it has acquired. An access races with an earlier one that its lane does not know. Other runs may order
//! differently; `--explore` tries some.

use super::log::{At, Log};
use super::{Class, Site};
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of others, ascending by key. A key is a block with 0 (all its lanes: accesses of intervals below the value are
/// known), 1 + subgroup (value: interval, subgroup interval; accesses before it) or 33 + lane (interval, number of the access).
type Clock = Vec<(u64, u64)>;

fn key(block: u64, unit: u32) -> u64 {
    block << 11 | u64::from(unit)
}

fn value(interval: u32, n: u32) -> u64 {
    u64::from(interval) << 32 | u64::from(n)
}

fn get(clock: &Clock, key: u64) -> u64 {
    clock.binary_search_by_key(&key, |(k, _)| *k).map_or(0, |i| clock[i].1)
}

/// The larger value of each key.
fn merge(a: &mut Arc<Clock>, b: &Arc<Clock>) {
    if Arc::ptr_eq(a, b) || b.is_empty() {
        return;
    }
    if a.is_empty() {
        *a = Arc::clone(b);
        return;
    }
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                out.push((x.0, x.1.max(y.1)));
                (i, j) = (i + 1, j + 1);
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                out.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                out.push(*y);
                j += 1;
            }
            (_, None) => break,
        }
    }
    *a = Arc::new(out);
}

/// How an atomic operation or fence orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ordering {
    pub(crate) acquire: bool,
    pub(crate) release: bool,
    /// It leaves a value.
    pub(crate) writes: bool,
    /// It takes the value that was there.
    pub(crate) reads: bool,
}

/// What a released element carries.
#[derive(Clone, Default)]
struct Published {
    /// Releases that everybody may acquire.
    grid: Arc<Clock>,
    /// The block that all of `grid` comes from, if it is one.
    origin: Option<u64>,
    /// Releases by fences that only lanes of that block may acquire.
    block: Option<(u64, Arc<Clock>)>,
}

impl Published {
    fn is_empty(&self) -> bool {
        self.grid.is_empty() && self.block.is_none()
    }
    fn add(&mut self, o: &Published) {
        if !o.grid.is_empty() {
            self.origin = if self.grid.is_empty() || self.origin == o.origin { o.origin } else { None };
            merge(&mut self.grid, &o.grid);
        }
        if let Some((block, clock)) = &o.block {
            match &mut self.block {
                Some((b, c)) if b == block => merge(c, clock),
                mine => *mine = Some((*block, Arc::clone(clock))),
            }
        }
    }
}

#[derive(Clone, Default)]
struct Lane {
    clock: Arc<Clock>,
    /// Accesses and releases so far.
    n: u32,
    /// By fences: what relaxed stores publish.
    fenced: Published,
    /// What relaxed loads saw, for a fence to acquire.
    seen: Published,
}

#[derive(Default)]
struct Block {
    clock: Arc<Clock>,
    lanes: HashMap<u32, Lane>,
}

struct Prior {
    at: At,
    subgroup_interval: u32,
    n: u32,
    site: Site,
    class: Class,
    value: u64,
}

/// Where a lane is.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: At,
    pub(crate) subgroup_interval: u32,
}

/// An element: block (of shared memory; 0 of others), object, index.
type Element = (u64, u32, u64);

/// Accesses to one element that are kept.
const MOST: usize = 4096;

#[derive(Default)]
pub(crate) struct HappensBefore {
    blocks: HashMap<u64, Block>,
    published: HashMap<Element, Published>,
    priors: HashMap<Element, Vec<Prior>>,
}

impl HappensBefore {
    fn lane(&mut self, at: At) -> &mut Lane {
        self.blocks.entry(at.block).or_default().lanes.entry(at.lane).or_default()
    }

    /// What a lane releases now.
    fn release(&mut self, now: Now) -> Arc<Clock> {
        let At { block, interval, lane } = now.at;
        let b = self.blocks.entry(block).or_default();
        let l = b.lanes.entry(lane).or_default();
        let mut clock = Arc::clone(&b.clock);
        merge(&mut clock, &l.clock);
        let own = vec![
            (key(block, 0), u64::from(interval)),
            (key(block, 1 + lane / 32), value(interval, now.subgroup_interval)),
            (key(block, 33 + lane), value(interval, l.n)),
        ];
        merge(&mut clock, &Arc::new(own));
        clock
    }

    /// An atomic operation's order, before its access.
    pub(crate) fn atomic(&mut self, element: Element, now: Now, order: Ordering) {
        let block = now.at.block;
        let there = self.published.get(&element).cloned().unwrap_or_default();
        if order.reads && !there.is_empty() {
            let lane = self.lane(now.at);
            if order.acquire {
                merge(&mut lane.clock, &there.grid);
                if let Some((b, clock)) = &there.block
                    && *b == block
                {
                    merge(&mut lane.clock, clock);
                }
            } else {
                lane.seen.add(&there);
            }
        }
        if order.writes {
            // An update goes on with what it took; a store begins anew.
            let mut left = if order.reads { there } else { Published::default() };
            if order.release {
                let clock = self.release(now);
                left.add(&Published { grid: clock, origin: Some(block), block: None });
            } else {
                left.add(&self.lane(now.at).fenced);
            }
            self.published.insert(element, left);
        }
        self.lane(now.at).n += 1;
    }

    /// A fence; `grid`: as seen by other blocks too.
    pub(crate) fn fence(&mut self, now: Now, grid: bool) {
        let block = now.at.block;
        let lane = self.lane(now.at);
        let seen = lane.seen.clone();
        if grid || seen.origin == Some(block) {
            merge(&mut lane.clock, &seen.grid);
        }
        if let Some((_, clock)) = seen.block.filter(|(b, _)| *b == block) {
            merge(&mut lane.clock, &clock);
        }
        let clock = self.release(now);
        let lane = self.lane(now.at);
        lane.fenced = match grid {
            true => Published { grid: clock, origin: Some(block), block: None },
            false => Published { block: Some((block, clock)), ..std::mem::take(&mut lane.fenced) },
        };
        lane.n += 1;
    }

    /// Lanes of a block have met: all of it, or those from `first` on for a subgroup.
    pub(crate) fn barrier(&mut self, block: u64, subgroup: Option<u32>) {
        let Some(b) = self.blocks.get_mut(&block) else { return };
        match subgroup {
            None => {
                let Block { clock, lanes } = b;
                for lane in lanes.values_mut() {
                    merge(clock, &std::mem::take(&mut lane.clock));
                }
            }
            Some(s) => {
                let mut all = Arc::default();
                let of = |l: &u32| l / 32 == s;
                b.lanes.iter().filter(|(l, _)| of(l)).for_each(|(_, lane)| merge(&mut all, &lane.clock));
                // A lane that has done nothing yet knows it all the same.
                for l in s * 32..s * 32 + 32 {
                    b.lanes.entry(l).or_default().clock = Arc::clone(&all);
                }
            }
        }
    }

    fn knows(&self, now: Now, p: &Prior) -> bool {
        if p.at.block == now.at.block {
            let same_subgroup = p.at.lane / 32 == now.at.lane / 32;
            if p.at.interval != now.at.interval
                || p.at.lane == now.at.lane
                || same_subgroup && p.subgroup_interval != now.subgroup_interval
            {
                return true;
            }
        }
        let Some(b) = self.blocks.get(&now.at.block) else { return false };
        let lane = b.lanes.get(&now.at.lane).map(|l| &l.clock);
        std::iter::once(&b.clock).chain(lane).any(|clock| {
            get(clock, key(p.at.block, 0)) > u64::from(p.at.interval)
                || get(clock, key(p.at.block, 1 + p.at.lane / 32)) > value(p.at.interval, p.subgroup_interval)
                || get(clock, key(p.at.block, 33 + p.at.lane)) > value(p.at.interval, p.n)
        })
    }

    /// An access to an element that the first pass found.
    pub(crate) fn access(
        &mut self,
        log: &mut Log,
        element: Element,
        now: Now,
        (site, class, value): (Site, Class, u64),
    ) {
        let mut priors = self.priors.remove(&element).unwrap_or_default();
        for p in &priors {
            let other = (p.at.block, p.at.lane) != (now.at.block, now.at.lane);
            if other && p.class.conflicts(class) && !self.knows(now, p) {
                let equal = p.class == Class::Write && class == Class::Write && p.value == value;
                log.race((element.1, element.2), (p.site, p.class, p.at), (site, class, now.at), equal);
            }
        }
        if priors.len() > 64 && class == Class::Write {
            // What comes later and does not know one of these does not know this store either.
            priors.retain(|p| !self.knows(now, p));
        }
        let lane = self.lane(now.at);
        let n = lane.n;
        lane.n += 1;
        let new = Prior { at: now.at, subgroup_interval: now.subgroup_interval, n, site, class, value };
        // Who does not know a lane's earlier access does not know its later one.
        let place = |p: &Prior| {
            (p.at, p.subgroup_interval, p.site, p.class) == (now.at, now.subgroup_interval, site, class)
        };
        match priors.iter().position(place) {
            Some(i) => priors[i] = new,
            None if priors.len() < MOST => priors.push(new),
            None => log.cut = true,
        }
        self.priors.insert(element, priors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Element = (0, 0, 0);
    const FLAG: Element = (0, 1, 0);
    const STORE: Ordering = Ordering { acquire: false, release: false, writes: true, reads: false };
    const LOAD: Ordering = Ordering { reads: true, writes: false, ..STORE };
    const RELEASE: Ordering = Ordering { release: true, ..STORE };
    const ACQUIRE: Ordering = Ordering { acquire: true, ..LOAD };

    fn now(block: u64, interval: u32, lane: u32) -> Now {
        Now { at: At { block, interval, lane }, subgroup_interval: 0 }
    }

    /// Lane 3 of block 0 writes; block 0 does `publish`, block 1 `take`; lane 5 of block 1 reads. Whether that raced.
    fn races(publish: impl Fn(&mut HappensBefore), take: impl Fn(&mut HappensBefore)) -> bool {
        let (mut hb, mut log) = (HappensBefore::default(), Log::default());
        let site = Site { func: 0, inst: 0 };
        hb.access(&mut log, DATA, now(0, 0, 3), (site, Class::Write, 1));
        publish(&mut hb);
        take(&mut hb);
        hb.access(&mut log, DATA, now(1, 1, 5), (site, Class::Read, 0));
        !log.found.is_empty()
    }

    #[test]
    fn a_released_flag_orders_what_a_barrier_gathered() {
        let gather = |hb: &mut HappensBefore| {
            hb.barrier(0, None);
            hb.atomic(FLAG, now(0, 1, 0), RELEASE);
        };
        let spread = |hb: &mut HappensBefore| {
            hb.atomic(FLAG, now(1, 0, 0), ACQUIRE);
            hb.barrier(1, None);
        };
        assert!(!races(gather, spread));
        assert!(
            races(|hb| hb.atomic(FLAG, now(0, 0, 0), RELEASE), spread),
            "another lane's release, no barrier"
        );
        assert!(!races(|hb| hb.atomic(FLAG, now(0, 0, 3), RELEASE), spread), "the lane's own release");
        assert!(races(|hb| hb.atomic(FLAG, now(0, 1, 0), STORE), spread), "no release");
        assert!(races(gather, |hb| hb.atomic(FLAG, now(1, 0, 0), LOAD)), "no acquire");
        assert!(races(gather, |hb| hb.atomic(FLAG, now(1, 1, 0), ACQUIRE)), "another lane's acquire");
        let overwritten = |hb: &mut HappensBefore| {
            gather(hb);
            hb.atomic(FLAG, now(2, 0, 0), STORE);
        };
        assert!(races(overwritten, spread), "the store that was seen releases nothing");
        let updated = |hb: &mut HappensBefore| {
            gather(hb);
            hb.atomic(FLAG, now(2, 0, 0), Ordering { reads: true, ..STORE });
        };
        assert!(!races(updated, spread), "an update goes on with the release");
    }

    #[test]
    fn fences_make_relaxed_flags_release_and_acquire() {
        let publish = |grid| {
            move |hb: &mut HappensBefore| {
                hb.fence(now(0, 0, 3), grid);
                hb.atomic(FLAG, now(0, 0, 3), STORE);
            }
        };
        let take = |grid| {
            move |hb: &mut HappensBefore| {
                hb.atomic(FLAG, now(1, 1, 5), LOAD);
                hb.fence(now(1, 1, 5), grid);
            }
        };
        assert!(!races(publish(true), take(true)));
        assert!(races(publish(false), take(true)), "a fence of the block says nothing to others");
        assert!(races(publish(true), take(false)));
    }
}
