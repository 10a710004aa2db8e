//! The second pass: every access to the elements that the first pass found, in full, and what of it raced.
//!
//! It runs on one thread, so it is the same every time. Within a barrier interval of a block the accesses are kept and compared
//! when the interval ends; across blocks it is enough to keep a few, per element and site ([`Visits`]).
//! Sites are chosen by a rule that no schedule changes: every pair of sites that conflict is reported, at the lowest block,
//! interval, element and lanes that did.

use super::{Class, RaceKind, Site};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One access by one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) object: u32,
    pub(crate) index: u64,
    pub(crate) site: Site,
    pub(crate) class: Class,
    pub(crate) lane: u32,
    /// Subgroup barriers passed in the block.
    pub(crate) subgroup_interval: u32,
    /// What a plain store stores; `None` where that is not compared.
    pub(crate) value: Option<u64>,
}

/// Whether two stores leave different values.
pub(crate) fn differ(a: Option<u64>, b: Option<u64>) -> bool {
    a.is_none() || a != b
}

impl Entry {
    fn unordered(&self, o: &Entry) -> bool {
        self.lane != o.lane
            && (self.lane / 32 != o.lane / 32 || self.subgroup_interval == o.subgroup_interval)
    }
}

/// Where a lane was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) block: u64,
    pub(crate) interval: u32,
    pub(crate) lane: u32,
}

/// Of the accesses of one site to one element, those that decide what blocks raced.
///
/// A pair that raced is of different blocks, and where both store, of different values or else of equal ones. So for every block
/// and value there might be, the lowest access in another block with another value is kept: never more than a few.
struct Visits {
    site: Site,
    class: Class,
    /// Ascending.
    kept: Vec<Visit>,
}

/// Where, and what was stored.
type Visit = (At, Option<u64>);

/// Whether for some block and some value an access is the first of these in another block with another value.
fn is_first(before: &[Visit], (at, value): Visit) -> bool {
    // What a block or value does not rule out must be ruled out by one of the other kind, which must not rule out the access.
    let one_block = |left: Vec<&Visit>| {
        left.first().is_none_or(|f| f.0.block != at.block && left.iter().all(|v| v.0.block == f.0.block))
    };
    let one_value = |left: Vec<&Visit>| {
        left.first().is_none_or(|f| f.1.is_some() && f.1 != value && left.iter().all(|v| v.1 == f.1))
    };
    before.is_empty()
        || before.iter().any(|(b, v)| {
            b.block != at.block && one_value(before.iter().filter(|o| o.0.block != b.block).collect())
                || v.is_some() && *v != value && one_block(before.iter().filter(|o| o.1 != *v).collect())
        })
}

impl Visits {
    fn add(&mut self, at: At, value: Option<u64>) {
        let same = |v: &&mut Visit| v.0.block == at.block && v.1 == value;
        match self.kept.iter_mut().find(same) {
            Some(v) if v.0 <= at => return,
            Some(v) => v.0 = at,
            None => self.kept.push((at, value)),
        }
        self.kept.sort_unstable();
        let mut kept: Vec<Visit> = Vec::with_capacity(self.kept.len());
        for v in &self.kept {
            if is_first(&kept, *v) {
                kept.push(*v);
            }
        }
        self.kept = kept;
    }

    /// The lowest pair of different blocks with different values, else with equal ones; whether they are equal.
    fn raced(&self, o: &Visits) -> Option<(At, At, bool)> {
        let pairs = || self.kept.iter().flat_map(|x| o.kept.iter().map(move |y| (x, y)));
        let blocks = |(x, y): &(&Visit, &Visit)| x.0.block != y.0.block;
        let stores = self.class == Class::Write && o.class == Class::Write;
        let different = |(x, y): &(&Visit, &Visit)| !stores || differ(x.1, y.1);
        let at = |(x, y): (&Visit, &Visit), equal| (x.0, y.0, equal);
        let found = pairs().filter(blocks).filter(different).map(|p| at(p, false)).min();
        found.or_else(|| pairs().filter(blocks).map(|p| at(p, true)).min())
    }
}

/// What tells findings apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) object: u32,
    pub(crate) kind: RaceKind,
    pub(crate) a: Site,
    pub(crate) b: Site,
}

/// An occurrence: compared in this order, the least is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Example {
    pub(crate) a: At,
    pub(crate) index: u64,
    pub(crate) b: At,
    pub(crate) classes: (Class, Class),
}

/// A finding so far.
pub(crate) struct Found {
    pub(crate) example: Example,
    pub(crate) indices: BTreeSet<u64>,
    /// Elements and intervals in which lanes of one block raced.
    pub(crate) in_blocks: u64,
    /// Elements on which blocks raced.
    pub(crate) across: u64,
}

/// Entries that are kept of an interval; more are dropped, and said to be.
const MOST: usize = 1 << 24;

/// What a block's lanes did since its last barrier.
#[derive(Default)]
pub(crate) struct Interval {
    entries: Vec<Entry>,
    /// Length of `entries` at which repetitions are taken out.
    compact_at: usize,
    cut: bool,
}

impl Interval {
    pub(crate) fn access(&mut self, entry: Entry) {
        if self.entries.len() >= MOST {
            self.cut = true;
            return;
        }
        self.entries.push(entry);
        if self.entries.len() > self.compact_at.max(1 << 16) {
            self.entries.sort_unstable();
            self.entries.dedup();
            self.compact_at = 2 * self.entries.len();
        }
    }
}

/// Finding, index, block and interval (`None`: across blocks).
type Counted = (Key, u64, Option<(u64, u32)>);

/// What the launch's blocks did, and what of it raced.
#[derive(Default)]
pub(crate) struct Log {
    visits: HashMap<(u32, u64), Vec<Visits>>,
    pub(crate) found: BTreeMap<Key, Found>,
    /// Racy elements: object, index, interval of a block (`None`: across blocks).
    pub(crate) racy: BTreeSet<(u32, u64, Option<u32>)>,
    /// What [`Log::pair_raced`] has counted.
    counted: HashSet<Counted>,
    /// Entries had to be dropped.
    pub(crate) cut: bool,
}

fn kind_of(a: Class, b: Class, equal: bool) -> RaceKind {
    match (a.atomic() || b.atomic(), a.writes() && b.writes()) {
        (true, _) => RaceKind::AtomicPlain,
        (false, false) => RaceKind::ReadWrite,
        (false, true) if equal => RaceKind::EqualValue,
        (false, true) => RaceKind::WriteWrite,
    }
}

/// The first pair, in order, of unordered accesses of two sites (or one) to an element, and whether all such pairs store equal
/// values; where not, the pair stores different ones.
fn pair<'a>(a: &'a [Entry], b: &'a [Entry], same_site: bool) -> Option<(&'a Entry, &'a Entry, bool)> {
    let stores = a[0].class == Class::Write && b[0].class == Class::Write;
    let one_value = stores && a.iter().chain(b).all(|e| !differ(e.value, a[0].value));
    let mut equal = None;
    for (i, x) in a.iter().enumerate() {
        for y in &b[if same_site { i + 1 } else { 0 }..] {
            if x.unordered(y) {
                if !stores || one_value || differ(x.value, y.value) {
                    return Some((x, y, one_value));
                }
                equal = equal.or(Some((x, y, true)));
            }
        }
    }
    equal
}

impl Log {
    /// A native operation's access, which nothing in its block is unordered with.
    pub(crate) fn native(&mut self, object: u32, index: u64, site: Site, class: Class, at: At) {
        self.visit((object, index), site, class, at, None);
    }

    fn visit(&mut self, element: (u32, u64), site: Site, class: Class, at: At, value: Option<u64>) {
        let all = self.visits.entry(element).or_default();
        match all.iter_mut().find(|v| (v.site, v.class) == (site, class)) {
            Some(v) => v.add(at, value),
            None => all.push(Visits { site, class, kept: vec![(at, value)] }),
        }
    }

    /// Compares what a block's lanes did since its last barrier.
    pub(crate) fn end_interval(
        &mut self,
        block: u64,
        interval: u32,
        accesses: &mut Interval,
        is_global: impl Fn(u32) -> bool,
    ) {
        let entries = &mut accesses.entries;
        accesses.compact_at = 0;
        self.cut |= accesses.cut;
        entries.sort_unstable();
        entries.dedup();
        for element in entries.chunk_by(|a, b| (a.object, a.index) == (b.object, b.index)) {
            let sites: Vec<&[Entry]> =
                element.chunk_by(|a, b| (a.site, a.class) == (b.site, b.class)).collect();
            let (object, index) = (element[0].object, element[0].index);
            let at = |e: &Entry| At { block, interval, lane: e.lane };
            for (i, a) in sites.iter().enumerate() {
                for (j, b) in sites.iter().enumerate().skip(i) {
                    if !a[0].class.conflicts(b[0].class) {
                        continue;
                    }
                    if let Some((x, y, equal)) = pair(a, b, i == j) {
                        let (x, y) = ((x.site, x.class, at(x)), (y.site, y.class, at(y)));
                        self.race((object, index), x, y, equal);
                    }
                }
            }
            if is_global(object) {
                for e in element {
                    self.visit((object, index), e.site, e.class, at(e), e.value);
                }
            }
        }
        entries.clear();
    }

    /// Two accesses to an element raced.
    pub(crate) fn race(
        &mut self,
        (object, index): (u32, u64),
        x: (Site, Class, At),
        y: (Site, Class, At),
        equal: bool,
    ) {
        self.note(object, index, x, y, equal, |_| true);
    }

    /// The same where accesses are compared one by one: it may be the same element, sites and interval as before.
    pub(crate) fn pair_raced(
        &mut self,
        (object, index): (u32, u64),
        x: (Site, Class, At),
        y: (Site, Class, At),
        equal: bool,
    ) {
        let place = (x.2.block == y.2.block).then_some((x.2.block, x.2.interval));
        let mut counted = std::mem::take(&mut self.counted);
        self.note(object, index, x, y, equal, |key| counted.insert((key, index, place)));
        self.counted = counted;
    }

    /// `counts`: whether the finding has not been counted here yet.
    fn note(
        &mut self,
        object: u32,
        index: u64,
        x: (Site, Class, At),
        y: (Site, Class, At),
        equal: bool,
        counts: impl FnOnce(Key) -> bool,
    ) {
        let interval = (x.2.block == y.2.block).then_some(x.2.interval);
        self.racy.insert((object, index, interval));
        let kind = kind_of(x.1, y.1, equal);
        // Sites in the order of the text; of one site, the lower lane first.
        let (x, y) = if (x.0, x.2) <= (y.0, y.2) { (x, y) } else { (y, x) };
        let example = Example { a: x.2, index, b: y.2, classes: (x.1, y.1) };
        let key = Key { object, kind, a: x.0, b: y.0 };
        let found = self.found.entry(key).or_insert_with(|| Found {
            example,
            indices: BTreeSet::new(),
            in_blocks: 0,
            across: 0,
        });
        found.example = found.example.min(example);
        found.indices.insert(index);
        match (counts(key), x.2.block == y.2.block) {
            (false, _) => {}
            (true, true) => found.in_blocks += 1,
            (true, false) => found.across += 1,
        }
    }

    /// Compares blocks, once all have run.
    pub(crate) fn compare_blocks(&mut self) {
        let all: Vec<((u32, u64), Vec<Visits>)> = std::mem::take(&mut self.visits).into_iter().collect();
        for ((object, index), visits) in all {
            for (i, a) in visits.iter().enumerate() {
                for b in &visits[i..] {
                    if !a.class.conflicts(b.class) {
                        continue;
                    }
                    let Some((x, y, equal)) = a.raced(b) else { continue };
                    self.race((object, index), (a.site, a.class, x), (b.site, b.class, y), equal);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(inst: u32) -> Site {
        Site { func: 0, inst }
    }

    fn entry(inst: u32, class: Class, lane: u32, subgroup_interval: u32, value: u64) -> Entry {
        let value = Some(value);
        Entry { object: 0, index: 5, site: site(inst), class, lane, subgroup_interval, value }
    }

    fn kinds(log: &Log) -> Vec<(RaceKind, u32, u32, u64, u64)> {
        log.found.iter().map(|(k, f)| (k.kind, k.a.inst, k.b.inst, f.in_blocks, f.across)).collect()
    }

    #[test]
    fn pairs_in_a_block() {
        let (mut log, mut now) = (Log::default(), Interval::default());
        for lane in [3, 1, 2] {
            now.access(entry(7, Class::Write, lane, 0, 9));
        }
        now.access(entry(4, Class::Read, 1, 0, 0));
        log.end_interval(0, 2, &mut now, |_| true);
        let got = kinds(&log);
        assert_eq!(got, [(RaceKind::ReadWrite, 4, 7, 1, 0), (RaceKind::EqualValue, 7, 7, 1, 0)]);
        let pair = log.found.values().next().unwrap().example;
        assert_eq!((pair.a.lane, pair.b.lane), (1, 2));
        // Another value makes it a real one.
        now.access(entry(7, Class::Write, 1, 0, 9));
        now.access(entry(7, Class::Write, 2, 0, 8));
        log.end_interval(0, 3, &mut now, |_| true);
        assert!(kinds(&log).contains(&(RaceKind::WriteWrite, 7, 7, 1, 0)));
        assert_eq!(log.racy.iter().map(|r| r.2).collect::<Vec<_>>(), [Some(2), Some(3)]);
    }

    #[test]
    fn subgroup_barriers_order_their_subgroup_only() {
        let (mut log, mut now) = (Log::default(), Interval::default());
        now.access(entry(1, Class::Write, 0, 0, 1));
        now.access(entry(2, Class::Read, 1, 1, 0));
        log.end_interval(0, 0, &mut now, |_| true);
        assert!(log.found.is_empty());
        now.access(entry(1, Class::Write, 0, 0, 1));
        now.access(entry(2, Class::Read, 33, 1, 0));
        log.end_interval(0, 1, &mut now, |_| true);
        assert_eq!(kinds(&log), [(RaceKind::ReadWrite, 1, 2, 1, 0)]);
    }

    #[test]
    fn blocks_in_any_order_give_the_same_pair() {
        let run = |order: [u64; 4]| {
            let (mut log, mut now) = (Log::default(), Interval::default());
            for block in order {
                now.access(entry(1, if block == 2 { Class::AtomicWrite } else { Class::Read }, 4, 0, 0));
                log.end_interval(block, 0, &mut now, |_| true);
            }
            log.compare_blocks();
            let pair = log.found.values().next().unwrap().example;
            (kinds(&log), pair)
        };
        let (got, pair) = run([0, 1, 2, 3]);
        assert_eq!(got, [(RaceKind::AtomicPlain, 1, 1, 0, 1)]);
        assert_eq!((pair.a.block, pair.b.block), (0, 2));
        assert_eq!(run([3, 2, 1, 0]), (got.clone(), pair));
        assert_eq!(run([2, 0, 3, 1]), (got, pair));
    }

    #[test]
    fn what_is_kept_of_visits_decides_as_all_of_them_do() {
        let mut seed = 7u64;
        let mut random = move |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut most = 0;
        for _ in 0..20_000 {
            let mut visits = |inst: u32| {
                let n = 1 + random(7);
                let all: Vec<Visit> = (0..n)
                    .map(|_| {
                        let at = At { block: random(4), interval: random(2) as u32, lane: random(3) as u32 };
                        (at, Some(random(4)).filter(|v| *v > 0))
                    })
                    .collect();
                let mut kept = Visits { site: site(inst), class: Class::Write, kept: vec![all[0]] };
                all[1..].iter().for_each(|(at, value)| kept.add(*at, *value));
                (all, kept)
            };
            let ((all_a, a), (all_b, b)) = (visits(1), visits(2));
            most = most.max(a.kept.len());
            let pairs = || all_a.iter().flat_map(|x| all_b.iter().map(move |y| (x, y)));
            let across = |(x, y): &(&Visit, &Visit)| x.0.block != y.0.block;
            let lowest = |equal: bool| {
                let pairs = pairs().filter(across).filter(|(x, y)| differ(x.1, y.1) != equal);
                pairs.map(|(x, y)| (x.0, y.0, equal)).min()
            };
            assert_eq!(a.raced(&b), lowest(false).or_else(|| lowest(true)), "{all_a:?} {all_b:?}");
        }
        assert!(most <= 6, "{most} kept");
    }
}
