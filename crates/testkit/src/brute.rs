//! A checker of memory accesses by brute force: it writes down everything that the reference executor does and compares every
//! two accesses of an element. Slow, and simple enough to be believed; what the real checkers are measured against, with which
//! it shares no code.
//!
//! Two accesses of one element race where different lanes make them, at least one writes, not both are atomic, and nothing
//! orders them. [`Log::findings`] takes the order from its definition: a graph of what comes after what (a lane's own steps,
//! barriers, what a release makes known to an acquire that sees it, in the order of this run), and its transitive closure.
//! [`Log::findings_by_interval`] does it for programs without releases and acquires: accesses in different barrier intervals
//! are ordered, all others are not.

use phalanx_exec::check::judge;
use phalanx_exec::reference::observe::{Access, How, Observer, PoolAccess};
use phalanx_isa::{Base, Scope, TrapKind, limits};
use phalanx_verify::Scope as Together;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Mutex;

/// Function and instruction.
pub type Site = (u16, u32);

/// What happened in a run, in its order.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<Event>>);

#[derive(Clone, Debug)]
enum Event {
    Access(Access),
    Outside(Access),
    Handle(Site),
    Pool(PoolAccess),
    Barrier(u64, Range<u32>, Together),
    Fence(u64, u32, Scope),
}

/// An element of memory that lanes share; of private arrays, a lane's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// Parameter or array; `None`: an allocation of the pool.
    pub base: Option<Base>,
    /// The block whose array it is.
    pub block: Option<u64>,
    /// The lane whose array it is.
    pub lane: Option<u32>,
    /// Which buffer of an array of buffers; of the pool: the handle.
    pub which: i128,
    /// Index.
    pub index: i128,
}

/// What two racing accesses do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    /// A plain load and a plain store.
    ReadWrite,
    /// Two plain stores of different values.
    WriteWrite,
    /// An atomic operation and a plain access.
    AtomicPlain,
    /// Two plain stores of equal values: no race, but a class of its own.
    EqualStores,
}

/// A pair of accesses that race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// What they do.
    pub conflict: Conflict,
    /// Their sites, the lower first.
    pub sites: (Site, Site),
    /// The number of the block's barrier interval; `None`: they belong to different blocks.
    pub interval: Option<usize>,
}

/// All that is wrong with a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Racing pairs, by element.
    pub racing: BTreeMap<Element, BTreeSet<Pair>>,
    /// Accesses outside, by object, index and site.
    pub outside: BTreeSet<(Element, Site)>,
    /// Uses of handles that are not alive, or of places outside their allocation.
    pub handles: BTreeSet<Site>,
    /// Loads of what nobody has written before.
    pub unwritten: BTreeSet<(Element, Site)>,
}

impl Findings {
    /// Elements that race other than by stores of equal values.
    pub fn racy(&self) -> BTreeSet<Element> {
        let races = |(e, p): (&Element, &BTreeSet<Pair>)| {
            p.iter().any(|p| p.conflict != Conflict::EqualStores).then_some(*e)
        };
        self.racing.iter().filter_map(races).collect()
    }
    /// Elements whose only fault is that several lanes store the same value.
    pub fn equal(&self) -> BTreeSet<Element> {
        let racy = self.racy();
        self.racing.keys().filter(|e| !racy.contains(e)).copied().collect()
    }
}

impl Observer for Log {
    fn access(&self, access: Access) {
        self.push(Event::Access(access));
    }
    fn outside(&self, access: Access) -> bool {
        self.push(Event::Outside(access));
        true
    }
    fn pool(&self, access: PoolAccess) {
        self.push(Event::Pool(access));
    }
    fn handle(&self, _: u64, _: u32, site: Site, _: TrapKind) -> bool {
        self.push(Event::Handle(site));
        true
    }
    fn barrier(&self, block: u64, lanes: Range<u32>, of: Together) {
        self.push(Event::Barrier(block, lanes, of));
    }
    fn fence(&self, block: u64, lane: u32, scope: Scope) {
        self.push(Event::Fence(block, lane, scope));
    }
}

fn element(a: &Access) -> Element {
    let block = (!matches!(a.base, Base::Param(_))).then_some(a.block);
    let lane = matches!(a.base, Base::Private(_)).then_some(a.lane);
    Element { base: Some(a.base), block, lane, which: a.which, index: a.index }
}

/// An access as far as it is compared.
#[derive(Clone)]
struct Deed {
    who: (u64, u32),
    site: Site,
    how: How,
    /// What it stored; `None`: an end of the memory, which is like no store.
    bits: Option<u64>,
}

/// Where an access stands among the barriers of its lane.
#[derive(Clone, Copy)]
struct Intervals {
    block: usize,
    subgroup: usize,
}

/// What two accesses of one element do to each other if nothing orders them; `None`: no harm.
fn conflict(a: &Deed, b: &Deed) -> Option<Conflict> {
    if a.who == b.who || !(a.how.writes || b.how.writes) {
        return None;
    }
    match (a.how.atomic, b.how.atomic) {
        (true, true) => None,
        (false, false) if a.how.writes && b.how.writes => Some(if a.bits.is_some() && a.bits == b.bits {
            Conflict::EqualStores
        } else {
            Conflict::WriteWrite
        }),
        (false, false) => Some(Conflict::ReadWrite),
        _ => Some(Conflict::AtomicPlain),
    }
}

impl Log {
    fn push(&self, event: Event) {
        self.events().push(event);
    }
    fn events(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Number of accesses.
    pub fn accesses(&self) -> usize {
        self.events().iter().filter(|e| matches!(e, Event::Access(_))).count()
    }

    /// What was seen that has to do with order, for other judges of the same run.
    pub fn seen(&self) -> Vec<judge::Event> {
        let seen = |e: &Event| match e.clone() {
            Event::Access(a) => Some(judge::Event::Access(a)),
            Event::Barrier(block, lanes, of) => Some(judge::Event::Barrier(block, lanes, of)),
            Event::Fence(block, lane, scope) => Some(judge::Event::Fence(block, lane, scope)),
            Event::Outside(_) | Event::Handle(_) | Event::Pool(_) => None,
        };
        self.events().iter().filter_map(seen).collect()
    }

    /// Whether something orders memory other than barriers: a release, an acquire or a fence.
    pub fn has_order_of_its_own(&self) -> bool {
        self.events().iter().any(|e| match e {
            Event::Access(a) => a.how.acquires || a.how.releases,
            Event::Fence(..) => true,
            _ => false,
        })
    }

    /// All that is wrong, with the order of accesses from its definition. `written` says which elements hold values from the
    /// start.
    pub fn findings(&self, written: impl Fn(&Element) -> bool) -> Findings {
        let events = self.events();
        let after = closure(&edges(&events));
        let known = |i: usize, j: usize| after[i][j / 64] >> (j % 64) & 1 == 1;
        find(&events, written, |i, j, _| known(i, j))
    }

    /// The same for a run without releases, acquires and fences, where intervals are all there is.
    pub fn findings_by_interval(&self, written: impl Fn(&Element) -> bool) -> Findings {
        find(&self.events(), written, |_, _, ordered_by_barriers| ordered_by_barriers)
    }
}

/// Compares all pairs. `ordered(i, j, by barriers)` for two events says whether the later one knows of the earlier one.
fn find(
    events: &[Event],
    written: impl Fn(&Element) -> bool,
    ordered: impl Fn(usize, usize, bool) -> bool,
) -> Findings {
    let mut found = Findings::default();
    let mut passed: HashMap<(u64, u32), Intervals> = HashMap::new();
    let mut by_element: BTreeMap<Element, Vec<(usize, Deed, Intervals)>> = BTreeMap::new();
    let mut stored: HashSet<Element> = HashSet::new();
    for (i, event) in events.iter().enumerate() {
        match event {
            Event::Access(a) => {
                let at = *passed.entry((a.block, a.lane)).or_insert(Intervals { block: 0, subgroup: 0 });
                let e = element(a);
                // Arrays start as zero, from which counters may count; a buffer that was never written starts as anything.
                let counts = a.how.writes && !matches!(a.base, Base::Param(_));
                if a.how.reads && !counts && !stored.contains(&e) && !written(&e) {
                    found.unwritten.insert((e, a.site));
                }
                if a.how.writes {
                    stored.insert(e);
                }
                let deed = Deed { who: (a.block, a.lane), site: a.site, how: a.how, bits: Some(a.bits) };
                by_element.entry(e).or_default().push((i, deed, at));
            }
            Event::Pool(a) => {
                let who = (a.block, a.lane);
                let at = *passed.entry(who).or_insert(Intervals { block: 0, subgroup: 0 });
                let of = |index: i128| Element {
                    base: None,
                    block: None,
                    lane: None,
                    which: a.handle.into(),
                    index,
                };
                let how = How { reads: !a.stores, writes: a.stores, ..How::default() };
                let deed = Deed { who, site: a.site, how, bits: a.index.map(|_| a.bits) };
                let elements: Vec<Element> = match a.index {
                    Some(index) => vec![of(index.into())],
                    None => by_element.range(of(i128::MIN)..=of(i128::MAX)).map(|(e, _)| *e).collect(),
                };
                for e in elements {
                    by_element.entry(e).or_default().push((i, deed.clone(), at));
                }
            }
            Event::Outside(a) => {
                found.outside.insert((element(a), a.site));
            }
            Event::Handle(site) => {
                found.handles.insert(*site);
            }
            Event::Barrier(block, lanes, of) => {
                for lane in lanes.clone() {
                    let at = passed.entry((*block, lane)).or_insert(Intervals { block: 0, subgroup: 0 });
                    if *of == Together::Subgroup { at.subgroup += 1 } else { at.block += 1 }
                }
            }
            Event::Fence(..) => {}
        }
    }
    for (e, all) in by_element {
        for (n, (i, a, at)) in all.iter().enumerate() {
            for (j, b, bt) in &all[..n] {
                let Some(conflict) = conflict(a, b) else { continue };
                let together = a.who.0 == b.who.0;
                let of_subgroup = |x: &Deed| x.who.1 as usize / limits::SUBGROUP;
                let by_barriers = together
                    && (at.block != bt.block
                        || of_subgroup(a) == of_subgroup(b) && at.subgroup != bt.subgroup);
                if !ordered(*j, *i, by_barriers) {
                    let sites = (a.site.min(b.site), a.site.max(b.site));
                    let interval = together.then_some(at.block);
                    found.racing.entry(e).or_default().insert(Pair { conflict, sites, interval });
                }
            }
        }
    }
    found
}

/// What each event directly comes after: the lane's step before, the barrier before, and the release that it sees.
fn edges(events: &[Event]) -> Vec<Vec<usize>> {
    /// What the latest value of an element makes known: (event, only to this block).
    type Heads = Vec<(usize, Option<u64>)>;
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    let mut last: HashMap<(u64, u32), usize> = HashMap::new();
    // A lane's latest fence, and what it has seen without acquiring it: a later fence makes up for that.
    let mut fences: HashMap<(u64, u32), Heads> = HashMap::new();
    let mut seen: HashMap<(u64, u32), Heads> = HashMap::new();
    let mut heads: HashMap<Element, Heads> = HashMap::new();
    for (i, event) in events.iter().enumerate() {
        let mut step = |block: u64, lane: u32, before: &mut Vec<usize>| {
            before.extend(last.insert((block, lane), i));
        };
        match event {
            Event::Access(a) => {
                step(a.block, a.lane, &mut before[i]);
                let (me, e) = ((a.block, a.lane), element(a));
                if a.how.reads && a.how.atomic {
                    let visible = heads.get(&e).into_iter().flatten().copied();
                    let visible: Heads = visible.filter(|(_, b)| b.is_none_or(|b| b == a.block)).collect();
                    if a.how.acquires {
                        before[i].extend(visible.iter().map(|(n, _)| *n));
                    }
                    seen.entry(me).or_default().extend(visible);
                }
                // A compare-exchange that did not exchange is a load.
                if a.how.writes && !a.how.fails {
                    let sequence = heads.entry(e).or_default();
                    // An update goes on with what the value before it made known, a store begins anew.
                    if !a.how.reads {
                        sequence.clear();
                    }
                    if a.how.releases {
                        sequence.push((i, None));
                    }
                    if a.how.atomic {
                        sequence.extend(fences.get(&me).into_iter().flatten());
                    }
                }
            }
            Event::Fence(block, lane, scope) => {
                step(*block, *lane, &mut before[i]);
                let me = (*block, *lane);
                let only = (*scope == Scope::Block).then_some(*block);
                let wide_enough = |n: &usize| {
                    only.is_none_or(|b| {
                        matches!(&events[*n], Event::Access(a) if a.block == b)
                            || matches!(&events[*n], Event::Fence(f, ..) if *f == b)
                    })
                };
                before[i].extend(seen.get(&me).into_iter().flatten().map(|(n, _)| *n).filter(wide_enough));
                fences.entry(me).or_default().push((i, only));
            }
            Event::Barrier(block, lanes, _) => {
                for lane in lanes.clone() {
                    step(*block, lane, &mut before[i]);
                }
            }
            Event::Pool(a) => step(a.block, a.lane, &mut before[i]),
            Event::Outside(_) | Event::Handle(_) => {}
        }
    }
    before
}

/// For every event the set of all that come after it, one bit each. Edges lead from earlier to later events only.
fn closure(before: &[Vec<usize>]) -> Vec<Vec<u64>> {
    let words = before.len().div_ceil(64);
    let mut after = vec![vec![0u64; words]; before.len()];
    for (later, earlier) in before.iter().enumerate().rev() {
        for e in earlier {
            let (low, high) = after.split_at_mut(later);
            low[*e].iter_mut().zip(&high[0]).for_each(|(a, b)| *a |= b);
            low[*e][later / 64] |= 1 << (later % 64);
        }
    }
    after
}
