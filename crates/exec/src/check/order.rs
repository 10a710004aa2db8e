//! The second pass of a kernel that orders by release and acquire: happens-before as the run shows it.
//!
//! A lane knows accesses of others: those of its block before the last barrier, those of its subgroup before the subgroup's last
//! barrier, and what it has acquired. An access races with an earlier one that its lane does not know. Other runs may order
//! differently; `--explore` tries some.

use super::log::{At, Log, differ};
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

/// Clocks by block.
type ByBlock = Vec<(u64, Arc<Clock>)>;

fn merge_of(all: &mut ByBlock, block: u64, clock: &Arc<Clock>) {
    match all.iter_mut().find(|(b, _)| *b == block) {
        Some((_, c)) => merge(c, clock),
        None => all.push((block, Arc::clone(clock))),
    }
}

fn of(all: &ByBlock, block: u64) -> Option<&Arc<Clock>> {
    all.iter().find(|(b, _)| *b == block).map(|(_, c)| c)
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
    /// Of these, those that each block made: all that its own `fence.block` may acquire.
    by_block: ByBlock,
    /// Releases by `fence.block`, which only lanes of the block may acquire.
    within: ByBlock,
}

impl Published {
    fn is_empty(&self) -> bool {
        self.grid.is_empty() && self.within.is_empty()
    }
    fn add(&mut self, o: &Published) {
        merge(&mut self.grid, &o.grid);
        o.by_block.iter().for_each(|(b, c)| merge_of(&mut self.by_block, *b, c));
        o.within.iter().for_each(|(b, c)| merge_of(&mut self.within, *b, c));
    }
}

#[derive(Clone, Default)]
struct Lane {
    clock: Arc<Clock>,
    /// Number of its next access.
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
    /// Barriers passed.
    interval: u32,
}

/// The last access of a kind by a lane in an interval, for all of them: who does not know an earlier one does not know it.
struct Prior {
    at: At,
    subgroup_interval: u32,
    n: u32,
    site: Site,
    class: Class,
    /// What it stored; `None` where that is not compared.
    value: Option<u64>,
    /// The last one that stored something else.
    other: Option<(Option<u64>, u32)>,
    /// Accesses that this one's lane knew: whoever knows this one knows them.
    known: Vec<Prior>,
}

/// Where a lane is.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: At,
    pub(crate) subgroup_interval: u32,
}

/// What it does there.
#[derive(Clone, Copy)]
pub(crate) struct Deed {
    pub(crate) site: Site,
    pub(crate) class: Class,
    /// What a plain store stores; `None` where that is not known, or differs from everything.
    pub(crate) value: Option<u64>,
}

/// An element: block (of shared memory; 0 of others), object, index.
type Element = (u64, u32, u64);

/// Accesses to one element that nothing puts in order, as far as they are kept.
const MOST: usize = 4096;
/// All accesses to one element that are kept.
const MOST_KNOWN: usize = 1 << 16;
/// More than so many are put in order, so that the known ones need not be looked at.
const MANY: usize = 64;

/// Accesses to one element.
#[derive(Default)]
struct Priors {
    all: Vec<Prior>,
    /// With those under `known`.
    count: usize,
}

/// Which fences a kernel has: what is kept for them is kept where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fences {
    pub(crate) any: bool,
    pub(crate) of_block: bool,
}

#[derive(Default)]
pub(crate) struct HappensBefore {
    fences: Fences,
    blocks: HashMap<u64, Block>,
    published: HashMap<Element, Published>,
    priors: HashMap<Element, Priors>,
}

impl HappensBefore {
    pub(crate) fn new(fences: Fences) -> HappensBefore {
        HappensBefore { fences, ..HappensBefore::default() }
    }

    fn lane(&mut self, at: At) -> &mut Lane {
        self.blocks.entry(at.block).or_default().lanes.entry(at.lane).or_default()
    }

    /// What a lane releases now: all that it knows, and its own accesses so far.
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

    /// A release by a lane of a block, for everybody.
    fn publish(&self, block: u64, clock: Arc<Clock>) -> Published {
        let by_block = if self.fences.of_block { vec![(block, Arc::clone(&clock))] } else { Vec::new() };
        Published { grid: clock, by_block, within: ByBlock::new() }
    }

    /// An atomic operation's order, before its access.
    pub(crate) fn atomic(&mut self, element: Element, now: Now, order: Ordering) {
        let block = now.at.block;
        let fences = self.fences.any;
        let there = self.published.get(&element).cloned().unwrap_or_default();
        let lane = self.lane(now.at);
        // Its own access is part of what it releases.
        lane.n = lane.n.wrapping_add(1);
        if order.reads && !there.is_empty() {
            if order.acquire {
                merge(&mut lane.clock, &there.grid);
                of(&there.within, block).into_iter().for_each(|c| merge(&mut lane.clock, c));
            } else if fences {
                lane.seen.add(&there);
            }
        }
        if order.writes {
            // An update goes on with what it took; a store begins anew.
            let mut left = if order.reads { there } else { Published::default() };
            if order.release {
                let clock = self.release(now);
                left.add(&self.publish(block, clock));
            } else {
                left.add(&self.lane(now.at).fenced);
            }
            self.published.insert(element, left);
        }
    }

    /// A plain store to an element: what it carried is gone.
    pub(crate) fn store(&mut self, element: Element) {
        self.published.remove(&element);
    }

    /// A fence; `grid`: as seen by other blocks too.
    pub(crate) fn fence(&mut self, now: Now, grid: bool) {
        let block = now.at.block;
        let lane = self.lane(now.at);
        let seen = if grid { Some(&lane.seen.grid) } else { of(&lane.seen.by_block, block) };
        let seen: Vec<Arc<Clock>> = seen.into_iter().chain(of(&lane.seen.within, block)).cloned().collect();
        seen.iter().for_each(|c| merge(&mut lane.clock, c));
        let clock = self.release(now);
        if grid {
            self.lane(now.at).fenced = self.publish(block, clock);
        } else {
            self.lane(now.at).fenced.within = vec![(block, clock)];
        }
    }

    /// Lanes of a block have met: all of it, or those of a subgroup.
    pub(crate) fn barrier(&mut self, block: u64, subgroup: Option<u32>) {
        let b = self.blocks.entry(block).or_default();
        match subgroup {
            None => {
                let Block { clock, lanes, interval } = b;
                for lane in lanes.values_mut() {
                    merge(clock, &std::mem::take(&mut lane.clock));
                }
                *interval = interval.wrapping_add(1);
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

    /// Whether a lane knows the access of this number at a place.
    fn knows(&self, now: Now, (at, subgroup_interval, n): (At, u32, u32)) -> bool {
        if at.block == now.at.block {
            let same_subgroup = at.lane / 32 == now.at.lane / 32;
            if at.interval != now.at.interval
                || at.lane == now.at.lane
                || same_subgroup && subgroup_interval != now.subgroup_interval
            {
                return true;
            }
        }
        let Some(b) = self.blocks.get(&now.at.block) else { return false };
        let lane = b.lanes.get(&now.at.lane).map(|l| &l.clock);
        std::iter::once(&b.clock).chain(lane).any(|clock| {
            get(clock, key(at.block, 0)) > u64::from(at.interval)
                || get(clock, key(at.block, 1 + at.lane / 32)) > value(at.interval, subgroup_interval)
                || get(clock, key(at.block, 33 + at.lane)) > value(at.interval, n)
        })
    }

    /// Notes the race with an earlier access, if it is one. True: the earlier one is known.
    fn compare(&self, log: &mut Log, (object, index): (u32, u64), p: &Prior, now: Now, deed: Deed) -> bool {
        let number = |n| (p.at, p.subgroup_interval, n);
        if self.knows(now, number(p.n)) {
            return true;
        }
        if p.class.conflicts(deed.class) {
            let different =
                |(stored, n): (Option<u64>, u32)| differ(stored, deed.value) && !self.knows(now, number(n));
            let stores = p.class == Class::Write && deed.class == Class::Write;
            let equal = stores && !different((p.value, p.n)) && !p.other.is_some_and(different);
            log.pair_raced((object, index), (p.site, p.class, p.at), (deed.site, deed.class, now.at), equal);
        }
        false
    }

    /// An access to an element that the first pass found.
    pub(crate) fn access(&mut self, log: &mut Log, element: Element, now: Now, deed: Deed) {
        let lane = self.lane(now.at);
        let n = if deed.class.atomic() {
            // `atomic` has counted it.
            lane.n.wrapping_sub(1)
        } else {
            lane.n = lane.n.wrapping_add(1);
            lane.n.wrapping_sub(1)
        };
        self.access_at(log, element, now, (now, n), deed);
    }

    /// A native operation's access: it stands between two barriers, so that all of its block are ordered with it.
    pub(crate) fn native(&mut self, log: &mut Log, element: Element, block: u64, deed: Deed) {
        let interval = self.blocks.entry(block).or_default().interval;
        let at = At { block, interval, lane: 0 };
        let now = Now { at, subgroup_interval: 0 };
        // As if before the barrier that has just been passed: everybody behind it knows.
        let before = Now { at: At { interval: interval.wrapping_sub(1), ..at }, ..now };
        if deed.class.writes() {
            self.store(element);
        }
        self.access_at(log, element, now, (before, 0), deed);
    }

    fn access_at(&mut self, log: &mut Log, element: Element, now: Now, place: (Now, u32), deed: Deed) {
        let mut priors = self.priors.remove(&element).unwrap_or_default();
        let what = (element.1, element.2);
        let mut known = Vec::with_capacity(priors.all.len());
        for p in &priors.all {
            let is_known = self.compare(log, what, p, now, deed);
            known.push(is_known);
            for p in p.known.iter().filter(|_| !is_known) {
                self.compare(log, what, p, now, deed);
            }
        }
        let (Now { at, subgroup_interval }, n) = place;
        let Deed { site, class, value } = deed;
        let same =
            |p: &Prior| (p.at, p.subgroup_interval, p.site, p.class) == (at, subgroup_interval, site, class);
        let mut new = match priors.all.iter().position(same) {
            Some(i) => {
                known.swap_remove(i);
                let p = priors.all.swap_remove(i);
                let other = if differ(p.value, value) { Some((p.value, p.n)) } else { p.other };
                Prior { n, value, other, ..p }
            }
            None => {
                if priors.all.len() >= MOST || priors.count >= MOST_KNOWN {
                    log.cut = true;
                    self.priors.insert(element, priors);
                    return;
                }
                priors.count += 1;
                Prior { at, subgroup_interval, n, site, class, value, other: None, known: Vec::new() }
            }
        };
        if priors.all.len() > MANY {
            let mut flags = known.into_iter();
            for mut p in priors.all.extract_if(.., |_| flags.next().unwrap_or(false)) {
                new.known.append(&mut p.known);
                new.known.push(p);
            }
        }
        priors.all.push(new);
        self.priors.insert(element, priors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::RaceKind;
    use super::*;

    const DATA: Element = (0, 0, 0);
    const FLAG: Element = (0, 1, 0);
    const STORE: Ordering = Ordering { acquire: false, release: false, writes: true, reads: false };
    const LOAD: Ordering = Ordering { reads: true, writes: false, ..STORE };
    const RELEASE: Ordering = Ordering { release: true, ..STORE };
    const ACQUIRE: Ordering = Ordering { acquire: true, ..LOAD };

    fn both() -> (HappensBefore, Log) {
        (HappensBefore::new(Fences { any: true, of_block: true }), Log::default())
    }

    fn deed(class: Class, value: u64) -> Deed {
        Deed { site: Site { func: 0, inst: class as u32 }, class, value: Some(value) }
    }

    fn kinds(log: &Log) -> Vec<RaceKind> {
        log.found.keys().map(|k| k.kind).collect()
    }

    fn now(block: u64, interval: u32, lane: u32) -> Now {
        Now { at: At { block, interval, lane }, subgroup_interval: 0 }
    }

    /// Lane 3 of block 0 writes; block 0 does `publish`, block 1 `take`; lane 5 of block 1 reads. Whether that raced.
    fn races(publish: impl Fn(&mut HappensBefore), take: impl Fn(&mut HappensBefore)) -> bool {
        let (mut hb, mut log) = both();
        hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, 1));
        publish(&mut hb);
        take(&mut hb);
        hb.access(&mut log, DATA, now(1, 1, 5), deed(Class::Read, 0));
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

    #[test]
    fn a_block_keeps_its_fences_where_others_update_in_between() {
        let update = Ordering { reads: true, ..STORE };
        let take = |hb: &mut HappensBefore, block| {
            hb.atomic(FLAG, now(block, 0, 9), LOAD);
            hb.fence(now(block, 0, 9), false);
        };
        let read = |by: u64| {
            let (mut hb, mut log) = both();
            for block in 0..2 {
                hb.access(&mut log, (0, 0, block), now(block, 0, 3), deed(Class::Write, 1));
                hb.fence(now(block, 0, 3), false);
                hb.atomic(FLAG, now(block, 0, 3), update);
            }
            take(&mut hb, by);
            (0..2).for_each(|block| hb.access(&mut log, (0, 0, block), now(by, 0, 9), deed(Class::Read, 0)));
            log.racy.iter().map(|r| r.1).collect::<Vec<_>>()
        };
        assert_eq!((read(0), read(1), read(2)), (vec![1], vec![0], vec![0, 1]));
        // The same where both release to everybody: a fence of the block takes its own block's.
        let (mut hb, mut log) = both();
        for block in 0..2 {
            hb.access(&mut log, (0, 0, block), now(block, 0, 3), deed(Class::Write, 1));
            hb.atomic(FLAG, now(block, 0, 3), Ordering { release: true, ..update });
        }
        take(&mut hb, 1);
        (0..2).for_each(|block| hb.access(&mut log, (0, 0, block), now(1, 0, 9), deed(Class::Read, 0)));
        assert_eq!(log.racy.iter().map(|r| r.1).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn who_acquires_a_flag_knows_its_store() {
        for (order, races) in [(RELEASE, false), (STORE, true)] {
            let (mut hb, mut log) = both();
            hb.atomic(FLAG, now(0, 0, 3), order);
            hb.access(&mut log, FLAG, now(0, 0, 3), deed(Class::AtomicWrite, 0));
            hb.atomic(FLAG, now(1, 0, 5), ACQUIRE);
            hb.access(&mut log, FLAG, now(1, 0, 5), deed(Class::AtomicRead, 0));
            hb.access(&mut log, FLAG, now(1, 0, 5), deed(Class::Read, 0));
            assert_eq!(!log.found.is_empty(), races);
        }
        // Not the stores that come after.
        let (mut hb, mut log) = both();
        hb.atomic(FLAG, now(0, 0, 3), RELEASE);
        hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, 0));
        hb.atomic(FLAG, now(1, 0, 5), ACQUIRE);
        hb.access(&mut log, DATA, now(1, 0, 5), deed(Class::Read, 0));
        assert!(!log.found.is_empty());
    }

    #[test]
    fn a_plain_store_ends_what_a_flag_carries() {
        let end = |hb: &mut HappensBefore| {
            hb.atomic(FLAG, now(0, 0, 3), RELEASE);
            hb.store(FLAG);
        };
        assert!(races(end, |hb| hb.atomic(FLAG, now(1, 1, 5), ACQUIRE)));
    }

    #[test]
    fn every_value_that_a_lane_stores_is_compared() {
        for (stored, found) in [
            (&[1, 2][..], RaceKind::WriteWrite),
            (&[2, 1, 2], RaceKind::WriteWrite),
            (&[1, 2, 2, 2], RaceKind::WriteWrite),
            (&[2, 2], RaceKind::EqualValue),
        ] {
            let (mut hb, mut log) = both();
            stored.iter().for_each(|v| hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, *v)));
            hb.access(&mut log, DATA, now(1, 0, 5), deed(Class::Write, 2));
            assert_eq!(kinds(&log), [found], "{stored:?}");
        }
        // A value that the other lane knows does not count.
        let (mut hb, mut log) = both();
        hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, 1));
        hb.atomic(FLAG, now(0, 0, 3), RELEASE);
        hb.atomic(FLAG, now(1, 0, 5), ACQUIRE);
        hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, 2));
        hb.access(&mut log, DATA, now(1, 0, 5), deed(Class::Write, 2));
        assert_eq!(kinds(&log), [RaceKind::EqualValue]);
    }

    #[test]
    fn what_is_put_in_order_is_not_forgotten() {
        // Blocks take turns, each reads and stores; the last one stores the same without having been told of any, or of one.
        for told in [0, 3, 2 * MANY as u64, 4 * MANY as u64] {
            let (mut hb, mut log) = both();
            let turns = 4 * MANY as u64;
            let by = |block: u64, class| {
                let site = Site { func: block as u16, inst: 0 };
                Deed { site, class, value: Some(7) }
            };
            for block in 0..turns {
                hb.atomic(FLAG, now(block, 0, 0), ACQUIRE);
                hb.access(&mut log, DATA, now(block, 0, 0), by(block, Class::Read));
                hb.access(&mut log, DATA, now(block, 0, 0), by(block, Class::Write));
                hb.atomic((0, 1, 1 + block), now(block, 0, 0), RELEASE);
                hb.atomic(FLAG, now(block, 0, 0), RELEASE);
            }
            assert!(log.found.is_empty() && hb.priors[&DATA].all.len() <= MANY + 2);
            if told > 0 {
                hb.atomic((0, 1, told), now(turns, 0, 0), ACQUIRE);
            }
            // Twice: it is counted once.
            for _ in 0..2 {
                hb.access(&mut log, DATA, now(turns, 0, 0), by(turns, Class::Write));
            }
            let of =
                |kind| log.found.iter().filter(|(k, _)| k.kind == kind).map(|(_, f)| f.across).sum::<u64>();
            let unknown = turns - told;
            let found = (of(RaceKind::ReadWrite), of(RaceKind::EqualValue));
            assert_eq!(found, (unknown, unknown), "told of {told}");
            assert!(!log.cut);
        }
    }

    #[test]
    fn native_operations_are_known_behind_their_barrier() {
        let (mut hb, mut log) = both();
        hb.access(&mut log, DATA, now(0, 0, 3), deed(Class::Write, 1));
        hb.barrier(0, None);
        hb.native(&mut log, DATA, 0, Deed { value: None, ..deed(Class::Write, 0) });
        hb.access(&mut log, DATA, now(0, 1, 40), deed(Class::Write, 1));
        assert!(log.found.is_empty());
        hb.atomic(FLAG, now(0, 1, 40), RELEASE);
        hb.atomic(FLAG, now(1, 0, 0), ACQUIRE);
        hb.barrier(1, None);
        hb.native(&mut log, DATA, 1, Deed { value: None, ..deed(Class::Read, 0) });
        assert!(log.found.is_empty());
        hb.barrier(2, None);
        hb.native(&mut log, DATA, 2, Deed { value: None, ..deed(Class::Read, 0) });
        assert_eq!(kinds(&log), [RaceKind::ReadWrite]);
    }
}
