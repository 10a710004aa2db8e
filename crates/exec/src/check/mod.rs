//! Checkers of users' kernels: races, accesses outside their objects, reads of what was never written, barriers that lanes miss.
//!
//! A launch that is checked runs a form of the kernel whose memory operations tell a `Checker` what they do before they do it
//! (`lanes/checked.rs`); a launch that is not has nothing of it. Races are found in two passes:
//!
//! 1. Shadow cells (`shadow.rs`) find every element on which two lanes may have raced, whatever the schedule. Nothing found:
//!    the launch was clean, and that was all.
//! 2. Memory gets back its values from before the launch, which runs again on one thread and logs all accesses to those
//!    elements (`log.rs`). What raced, between which sites and which lanes, is worked out from the log.

mod block;
mod class;
mod fault;
#[doc(hidden)]
pub mod judge;
mod log;
mod order;
mod pool;
mod report;
mod shadow;

pub(crate) use block::{BlockCheck, Group};
pub(crate) use class::Class;
pub(crate) use order::Ordering as SyncOrder;
pub(crate) use pool::{PoolObjects, PoolTouch};
pub use report::{Checks, Finding, FindingKind, Occurrence, Racy, Report, ShadowUse};

use crate::launch::{Bound, Launch, LaunchError, Locks, Prepared, RunOptions, Slot, Slots};
use crate::resonance::Held;
use crate::trap::LaneTrap;
use crate::workers::{FloatMode, Workers};
use fault::{FaultKey, Faults};
use log::{At, Log};
use order::{Deed, Fences, HappensBefore};
use parking_lot::Mutex;
use phalanx_isa::{Access, Base, Inst, LoadOrder, Op, Order, ParamKind, Scope, StoreOrder};
use shadow::Shadow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Site {
    pub(crate) func: u16,
    pub(crate) inst: u32,
}

/// What two accesses that raced were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RaceKind {
    /// A load and a store.
    ReadWrite,
    /// Two stores of different values.
    WriteWrite,
    /// An atomic operation and a plain access.
    AtomicPlain,
    /// Stores of equal values.
    EqualValue,
}

/// Elements found by the first pass.
#[derive(Default)]
pub(crate) struct Suspects {
    /// By object, a bit an element.
    bits: BTreeMap<u32, Vec<u64>>,
}

impl Suspects {
    fn add(&mut self, object: u32, index: u64) {
        let bits = self.bits.entry(object).or_default();
        let word = (index / 64) as usize;
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (index % 64);
    }
    fn of(&self, object: u32) -> Option<&[u64]> {
        self.bits.get(&object).map(Vec::as_slice)
    }
    fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }
    /// Takes all of `other` in; whether there was anything new.
    fn merge(&mut self, other: Suspects) -> bool {
        let mut new = false;
        for (object, bits) in other.bits {
            let mine = self.bits.entry(object).or_default();
            mine.resize(mine.len().max(bits.len()), 0);
            for (m, b) in mine.iter_mut().zip(bits) {
                new |= b & !*m != 0;
                *m |= b;
            }
        }
        new
    }
}

/// Whether the bit of an element is set.
pub(crate) fn has(bits: &[u64], index: u64) -> bool {
    bits.get((index / 64) as usize).is_some_and(|w| w >> (index % 64) & 1 != 0)
}

/// What a native operation accessed: `rows` rows of `width` elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Box2 {
    pub(crate) site: Site,
    pub(crate) block: u64,
    pub(crate) class: Class,
    pub(crate) param: u16,
    pub(crate) which: u64,
    pub(crate) first: u64,
    pub(crate) rows: u64,
    pub(crate) stride: u64,
    pub(crate) width: u64,
}

impl Box2 {
    fn rows(self) -> impl Iterator<Item = (u64, u64)> {
        (0..self.rows).map(move |r| (self.first + r * self.stride, self.first + r * self.stride + self.width))
    }
    fn holds(&self, index: u64) -> bool {
        let Some(at) = index.checked_sub(self.first) else { return false };
        if self.rows <= 1 || self.stride == 0 {
            return self.rows > 0 && at < self.width;
        }
        at / self.stride < self.rows && at % self.stride < self.width
    }
    fn end(&self) -> u64 {
        self.first + (self.rows.max(1) - 1) * self.stride + self.width
    }
}

/// The checkers of one run of a launch.
pub(crate) struct Checker {
    pub(crate) checks: Checks,
    /// First object of each parameter; the shared arrays follow the last.
    starts: Vec<u32>,
    /// Per object that is a buffer: its shadow, where races are looked for and the launch writes it.
    shadows: Vec<Option<Shadow>>,
    /// What the second pass looks at; `None` in the first.
    pub(crate) suspects: Option<Suspects>,
    pub(crate) log: Mutex<Log>,
    /// In the second pass of a kernel that orders by release and acquire.
    pub(crate) order: Option<Mutex<HappensBefore>>,
    /// The kernel orders by release and acquire.
    orders: bool,
    pub(crate) faults: Mutex<Faults>,
    /// Per object that is a buffer declared as never written: a bit for each element that has been.
    written: Vec<Option<Box<[AtomicU64]>>>,
    found: Mutex<Suspects>,
    boxes: Mutex<Vec<Box2>>,
    /// First of the objects that are allocations of the pool.
    first_pool: u32,
    pool: Mutex<PoolObjects>,
    accesses: AtomicU64,
    blocks: AtomicU64,
}

impl Checker {
    /// For a launch with these bindings. `suspects`: what the second pass looks at; `pool`: the pool's objects as far as they have
    /// numbers.
    fn new(checks: Checks, launch: &Launch<'_>, suspects: Option<Suspects>, pool: PoolObjects) -> Checker {
        let (mut starts, mut shadows) = (Vec::new(), Vec::new());
        let alone = launch.threads() <= 1;
        for (param, slot) in launch.kernel().params.iter().zip(launch.slots.iter()) {
            starts.push(shadows.len() as u32);
            let Slot::Views(views) = slot else {
                shadows.push(None);
                continue;
            };
            // What a launch only writes it writes again in the second pass; nobody sees the difference.
            let save = matches!(param.kind, ParamKind::Buffer { access: Access::InOut, .. });
            shadows.extend(
                views.iter().map(|v| (checks.race && v.writable()).then(|| Shadow::new(v, save, alone))),
            );
        }
        let bits = |object: usize| {
            let number = |p: u16, w: u32| starts.get(p as usize).map(|s| (*s + w) as usize);
            let (param, which) =
                launch.options.uninit.iter().find(|(p, w)| number(*p, *w) == Some(object))?;
            let len = launch.view(*param, u64::from(*which))?.len();
            checks.init.then(|| (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
        };
        let written = (0..shadows.len()).map(bits).collect();
        starts.push(shadows.len() as u32);
        let first_pool = (shadows.len() + launch.kernel().shared.len()) as u32;
        let code = || launch.kernel().funcs.iter().flat_map(|f| &f.code);
        let orders = code().any(orders);
        let fences =
            Fences { any: code().any(|i| i.op == Op::Fence), of_block: code().any(is_fence_of_block) };
        let order = (orders && suspects.is_some()).then(|| Mutex::new(HappensBefore::new(fences)));
        Checker {
            order,
            orders,
            faults: Mutex::default(),
            written,
            checks,
            starts,
            shadows,
            suspects,
            log: Mutex::default(),
            found: Mutex::default(),
            boxes: Mutex::default(),
            first_pool,
            pool: Mutex::new(pool),
            accesses: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
        }
    }

    /// The number of a buffer or shared array.
    #[inline]
    pub(crate) fn object(&self, base: Base, which: u64) -> u32 {
        match base {
            Base::Param(p) => self.starts[p as usize] + which as u32,
            Base::Shared(s) => self.starts[self.starts.len() - 1] + u32::from(s),
            Base::Private(_) => u32::MAX,
        }
    }

    /// What an object's number stands for; of the pool: no base, and the handle.
    fn base(&self, object: u32) -> (Option<Base>, u64) {
        let shared = self.starts[self.starts.len() - 1];
        if object >= self.first_pool {
            return (None, self.pool.lock().handle(object - self.first_pool));
        }
        if object >= shared {
            return (Some(Base::Shared((object - shared) as u16)), 0);
        }
        let param = self.starts.partition_point(|s| *s <= object) - 1;
        (Some(Base::Param(param as u16)), u64::from(object - self.starts[param]))
    }

    /// Whether blocks share the object.
    fn is_global(&self, object: u32) -> bool {
        object < self.starts[self.starts.len() - 1] || object >= self.first_pool
    }

    #[inline]
    pub(crate) fn shadow(&self, object: u32) -> Option<&Shadow> {
        self.shadows.get(object as usize)?.as_ref()
    }

    /// Notes that an element of a buffer was written.
    pub(crate) fn wrote(&self, object: u32, index: u64) {
        if let Some(word) = self.written_word(object, index) {
            word.fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
    }

    /// Whether an element of a buffer has a value: it was written, or had one from the start.
    pub(crate) fn has_value(&self, object: u32, index: u64) -> bool {
        self.written_word(object, index).is_none_or(|w| w.load(Ordering::Relaxed) >> (index % 64) & 1 != 0)
    }

    /// Whether a buffer was declared as never written.
    #[inline]
    pub(crate) fn follows(&self, object: u32) -> bool {
        self.written.get(object as usize).is_some_and(Option::is_some)
    }

    fn written_word(&self, object: u32, index: u64) -> Option<&AtomicU64> {
        self.written.get(object as usize)?.as_ref()?.get((index / 64) as usize)
    }

    /// A native operation's access.
    pub(crate) fn native(&self, b: Box2) {
        let object = self.object(Base::Param(b.param), b.which);
        if self.follows(object) {
            let all = b.rows().flat_map(|(f, e)| f..e);
            match b.class.writes() {
                true => all.for_each(|i| self.wrote(object, i)),
                false => all.filter(|i| !self.has_value(object, *i)).for_each(|i| {
                    let at = At { block: b.block, interval: 0, lane: 0 };
                    let object = fault::object(Base::Param(b.param));
                    let key =
                        FaultKey { site: b.site, kind: FindingKind::NeverWritten, object, which: b.which };
                    self.faults.lock().add(key, at, i.into());
                }),
            }
        }
        if self.checks.race && self.shadow(object).is_some() {
            self.boxes.lock().push(b);
            self.follow_box(b, object);
        }
        self.accesses.fetch_add(b.rows * b.width, Ordering::Relaxed);
    }

    /// A native operation's access in the second pass of a kernel that orders by release and acquire.
    fn follow_box(&self, b: Box2, object: u32) {
        let Some(order) = &self.order else { return };
        let bits = self.suspects.as_ref().and_then(|s| s.of(object));
        let (mut order, mut log) = (order.lock(), self.log.lock());
        for e in b.rows().flat_map(|(f, e)| f..e).filter(|e| bits.is_some_and(|bits| has(bits, *e))) {
            let deed = Deed { site: b.site, class: b.class, value: None };
            order.native(&mut log, (0, object, e), b.block, deed);
        }
    }

    /// Elements of boxes that conflict with other blocks' boxes or with accesses one by one.
    fn compare_boxes(&self) {
        let mut boxes = self.boxes.lock();
        boxes.sort_by_key(|b| (b.param, b.which, b.first, b.block));
        let mut found = self.found.lock();
        for (i, a) in boxes.iter().enumerate() {
            let object = self.object(Base::Param(a.param), a.which);
            let Some(shadow) = self.shadow(object) else { continue };
            shadow.touch_box(a.rows(), a.block, a.class).into_iter().for_each(|e| found.add(object, e));
            let near = boxes[i + 1..].iter();
            for b in near.take_while(|b| (b.param, b.which) == (a.param, a.which) && b.first < a.end()) {
                if a.block != b.block && a.class.conflicts(b.class) {
                    a.rows()
                        .flat_map(|(f, e)| f..e)
                        .filter(|e| b.holds(*e))
                        .for_each(|e| found.add(object, e));
                }
            }
        }
    }

    /// The native operations' part of the second pass, where barriers are all that orders.
    fn log_boxes(&self) {
        let Some(suspects) = self.suspects.as_ref().filter(|_| self.order.is_none()) else { return };
        let mut log = self.log.lock();
        for b in self.boxes.lock().iter() {
            let object = self.object(Base::Param(b.param), b.which);
            let Some(bits) = suspects.of(object) else { continue };
            let at = At { block: b.block, interval: 0, lane: 0 };
            for e in b.rows().flat_map(|(f, e)| f..e).filter(|e| has(bits, *e)) {
                log.native(object, e, b.site, b.class, at);
            }
        }
    }
}

/// How an instruction orders memory, where it is an atomic operation.
pub(crate) fn sync_order(inst: &Inst) -> SyncOrder {
    let mode = |i: usize| u16::from(inst.modes[i]);
    let update = |o: u16| {
        let order = Order::from_code(o).unwrap_or(Order::AcqRel);
        SyncOrder {
            acquire: matches!(order, Order::Acquire | Order::AcqRel),
            release: matches!(order, Order::Release | Order::AcqRel),
            writes: true,
            reads: true,
        }
    };
    match inst.op {
        Op::Atom | Op::Red => update(mode(2)),
        Op::Cas => update(mode(1)),
        Op::Aload => SyncOrder {
            acquire: LoadOrder::from_code(mode(1)) == Some(LoadOrder::Acquire),
            reads: true,
            ..SyncOrder::default()
        },
        Op::Astore => SyncOrder {
            release: StoreOrder::from_code(mode(1)) == Some(StoreOrder::Release),
            writes: true,
            ..SyncOrder::default()
        },
        Op::St => SyncOrder { writes: true, ..SyncOrder::default() },
        Op::Ld => SyncOrder { reads: true, ..SyncOrder::default() },
        _ => SyncOrder::default(),
    }
}

/// Whether an instruction releases or acquires.
fn orders(inst: &Inst) -> bool {
    let order = sync_order(inst);
    inst.op == Op::Fence || order.acquire || order.release
}

/// Whether an instruction is a fence that only lanes of its block look at.
fn is_fence_of_block(inst: &Inst) -> bool {
    inst.op == Op::Fence && Scope::from_code(inst.modes[0].into()) == Some(Scope::Block)
}

impl Bound {
    /// Locks, runs with checks, unlocks. A launch that may have raced runs twice, the second time from the values that its
    /// buffers had before. A trap is part of the report.
    ///
    /// # Errors
    /// A stale buffer, or an executor without checkers.
    pub fn run_checked(
        &self,
        prepared: &dyn Prepared,
        workers: &dyn Workers,
        options: &RunOptions,
        checks: Checks,
    ) -> Result<Report, LaunchError> {
        let blocks: u64 = self.config().grid.iter().map(|n| u64::from(*n)).product();
        if !prepared.has_checkers() || blocks > shadow::BLOCKS {
            let what = match blocks > shadow::BLOCKS {
                true => "the checkers follow at most 2^28 blocks: check a smaller grid",
                false => "this executor has no checkers: use `lanes`",
            };
            return Err(LaunchError::Unsupported(what.into()));
        }
        let locks = Locks::take(std::slice::from_ref(self))?;
        let mut slots = Slots::new();
        self.slots(&locks, options, &mut slots)?;
        let held = self.hold_resonance(options)?;
        let alone = RunOptions { threads: 1, ..options.clone() };
        let _float_mode = FloatMode::nearest_with_denormals();
        let (mut report, result) = run(
            checks,
            |again| self.launch(&slots, workers, if again { &alone } else { options }, held.as_ref()),
            |launch| {
                let result = prepared.run(launch);
                if checks.race { result } else { launch.claims.check(result) }
            },
        );
        report.trap = result.err().map(|t| self.trapped(t));
        // One launch or several: what they added is not kept.
        held.into_iter().for_each(Held::discard);
        Ok(report)
    }
}

/// Runs a launch with checks: `run` carries out one pass.
fn run<'a>(
    checks: Checks,
    make: impl Fn(bool) -> Launch<'a>,
    run: impl Fn(&Launch<'_>) -> Result<(), LaneTrap>,
) -> (Report, Result<(), LaneTrap>) {
    let launch = make(false);
    let first = Checker::new(checks, &launch, None, PoolObjects::default());
    let mut result = run(&Launch { check: Some(&first), ..launch });
    first.compare_boxes();
    let mut suspects = std::mem::take(&mut *first.found.lock());
    let mut used = ShadowUse::default();
    first.shadows.iter().flatten().for_each(|s| used.add(s.size()));
    let mut report = Report::new(checks, &first, used);
    // A program whose way depends on the schedule may find more in the second pass; then it is run again with all of it.
    let mut last = first;
    for _ in 0..3 {
        if suspects.is_empty() {
            break;
        }
        let launch = make(true);
        for (object, shadow) in last.shadows.iter().enumerate() {
            if let (Some(shadow), (Some(Base::Param(p)), which)) = (shadow, last.base(object as u32))
                && let Some(view) = launch.view(p, which)
            {
                shadow.restore(view);
            }
        }
        let pool = last.pool.lock().numbers();
        let second = Checker::new(checks, &launch, Some(suspects), pool);
        result = run(&Launch { check: Some(&second), ..launch });
        second.compare_boxes();
        second.log_boxes();
        let more = std::mem::take(&mut *second.found.lock());
        let all = second.suspects.as_ref();
        let new = {
            let mut known = Suspects::default();
            all.into_iter().for_each(|s| known.bits.clone_from(&s.bits));
            known.merge(more).then_some(known)
        };
        let mut log = second.log.lock();
        log.compare_blocks();
        report.races(&second, &log);
        drop(log);
        last = second;
        suspects = new.unwrap_or_default();
    }
    (report, result)
}
