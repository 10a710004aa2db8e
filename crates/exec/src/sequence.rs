//! Launch sequences: kernels recorded once with their bindings and run many times.
//!
//! A [`Recorder`] takes steps and hands out intermediates: buffers that have a size while recording and a place in one arena
//! afterwards, where intermediates that are not needed at the same time share bytes. [`Recorder::finish`] plans that and gives
//! a [`Sequence`], which takes all locks once per run, runs the steps in recorded order, each on all threads, and allocates no
//! buffer. Between runs scalars and views can be changed.
//!
//! Invariant: what a step may touch is checked with the intermediates as allocations of their own, so the rules of a single
//! launch hold per step although the arena is one allocation; the planner keeps intermediates that live at the same time in
//! disjoint bytes. Between two steps the same bytes may have another element type.

mod plan;

use crate::buffer::{Allocation, Buffer, BufferError, BufferView, Storage};
use crate::launch::{ArgValue, Bound, CancelToken, LaunchError, Locks, Prepared, RunOptions, find_param};
use crate::trap::{LaneTrap, Trap, TrapDetail};
use crate::workers::{Grain, Task, Topology, Workers};
use phalanx_isa::{Access, Kernel, ParamKind, TrapKind, Type};
use plan::{Item, plan};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A step of a sequence, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(usize);

impl StepId {
    /// The number, from 0 in recorded order.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What one parameter of one step touches.
struct Use {
    param: usize,
    allocation: u64,
    bytes: Range<u64>,
    reads: bool,
    writes: bool,
}

impl Use {
    fn conflicts(&self, other: &Use) -> bool {
        let overlap = self.bytes.start < other.bytes.end && other.bytes.start < self.bytes.end;
        self.allocation == other.allocation && overlap && (self.writes || other.writes)
    }
}

fn views(value: &ArgValue) -> &[BufferView] {
    match value {
        ArgValue::Buffer(v) => std::slice::from_ref(v),
        ArgValue::Buffers(vs) => vs,
        ArgValue::Scalar(..) | ArgValue::Packed(_) | ArgValue::Filters(_) => &[],
    }
}

fn uses(bound: &Bound) -> impl Iterator<Item = Use> {
    bound.kernel().params.iter().zip(bound.args()).enumerate().flat_map(|(param, (declared, value))| {
        let (reads, writes) = match declared.kind {
            ParamKind::Buffer { access: Access::In, .. } => (true, false),
            ParamKind::Buffer { access: Access::Out, .. } => (false, true),
            _ => (true, true),
        };
        let of =
            move |v: &BufferView| Use { param, allocation: v.buffer.0.id, bytes: v.range(), reads, writes };
        views(value).iter().map(of)
    })
}

fn is_planned(view: &BufferView) -> bool {
    matches!(*view.buffer.0.storage.read(), Storage::Planned)
}

fn at_step(step: usize) -> impl Fn(LaunchError) -> LaunchError {
    move |source| LaunchError::Step { step, source: Box::new(source) }
}

struct Recorded {
    bound: Bound,
    prepared: Arc<dyn Prepared>,
    options: RunOptions,
}

/// Collects steps and intermediates.
pub struct Recorder {
    owner: u64,
    steps: Vec<Recorded>,
    intermediates: Vec<Buffer>,
}

impl Recorder {
    /// An empty recording for the device `owner` (see [`Buffer::zeroed`]).
    pub fn new(owner: u64) -> Recorder {
        Recorder { owner, steps: Vec::new(), intermediates: Vec::new() }
    }

    /// An intermediate of `len` elements: to be bound in steps of this recording, whole or in part, and nowhere else. Elements
    /// that no earlier step of the same run wrote have unspecified values.
    ///
    /// # Errors
    /// A size beyond 64 bits.
    pub fn intermediate(&mut self, elem: Type, len: u64) -> Result<BufferView, BufferError> {
        let bytes =
            len.checked_mul(elem.bytes() as u64).ok_or(BufferError::OutOfMemory { bytes: u64::MAX })?;
        let buffer = Buffer::planned(self.owner, bytes);
        self.intermediates.push(buffer.clone());
        Ok(BufferView { buffer, offset: 0, len, elem })
    }

    /// Adds a step: a kernel that `prepared` is made from, with values for its parameters. A cancel token in `options` counts
    /// only where the run brings none.
    ///
    /// # Errors
    /// An intermediate of another recording.
    pub fn step(
        &mut self,
        bound: Bound,
        prepared: Arc<dyn Prepared>,
        options: RunOptions,
    ) -> Result<StepId, LaunchError> {
        let at = self.steps.len();
        for (param, value) in bound.kernel().params.iter().zip(bound.args()) {
            let foreign =
                |v: &BufferView| is_planned(v) && !self.intermediates.iter().any(|b| b.0.id == v.buffer.0.id);
            if views(value).iter().any(foreign) {
                let (kernel, param) = (bound.kernel().name.clone(), param.name.clone());
                return Err(at_step(at)(LaunchError::Buffer { kernel, param, source: BufferError::Planned }));
            }
        }
        self.steps.push(Recorded { bound, prepared, options });
        Ok(StepId(at))
    }

    /// Plans the intermediates and allocates their arena.
    ///
    /// # Errors
    /// A step that reads bytes of an intermediate which no earlier step wrote; no memory for the arena.
    pub fn finish(self) -> Result<Sequence, LaunchError> {
        check_initialised(self.steps.iter().map(|s| &s.bound), &self.intermediates)?;
        let numbers: HashMap<u64, usize> =
            self.intermediates.iter().enumerate().map(|(i, b)| (b.0.id, i)).collect();
        let mut items: Vec<Option<Item>> = vec![None; self.intermediates.len()];
        for (step, s) in self.steps.iter().enumerate() {
            for u in uses(&s.bound) {
                let Some(i) = numbers.get(&u.allocation) else { continue };
                let bytes = self.intermediates[*i].bytes();
                items[*i].get_or_insert(Item { first: step, last: step, bytes }).last = step;
            }
        }
        // An intermediate that no step touches needs no place.
        let touched: Vec<Item> = items.iter().flatten().copied().collect();
        let sum_bytes = touched.iter().fold(0u64, |n, i| n.saturating_add(i.bytes));
        let no_memory =
            |source: BufferError| LaunchError::Unsupported(format!("the arena of the sequence: {source}"));
        let (offsets, bytes) =
            plan(&touched).ok_or_else(|| no_memory(BufferError::OutOfMemory { bytes: u64::MAX }))?;
        let arena = Buffer::zeroed(self.owner, bytes).map_err(no_memory)?;
        let of_touched = self.intermediates.iter().zip(&items).filter(|(_, i)| i.is_some());
        let places = of_touched.zip(offsets).map(|((b, _), at)| (b.0.id, at)).collect();
        let mut sequence = Sequence {
            steps: Vec::with_capacity(self.steps.len()),
            intermediates: self.intermediates,
            sum_bytes,
            arena,
            places,
            locks: Vec::new(),
        };
        for Recorded { bound, prepared, options } in self.steps {
            let mut placed = bound.clone();
            for param in 0..placed.args().len() {
                placed.copy_value(&bound, param, |v| place_view(&sequence.places, &sequence.arena, v));
            }
            sequence.steps.push(Step { recorded: bound, placed, prepared, options });
        }
        sequence.list_locks();
        Ok(sequence)
    }
}

/// Refuses a step that reads bytes of an intermediate which no earlier step wrote.
fn check_initialised<'b>(
    steps: impl Iterator<Item = &'b Bound>,
    intermediates: &[Buffer],
) -> Result<(), LaunchError> {
    let mut written: HashMap<u64, Written> =
        intermediates.iter().map(|b| (b.0.id, Written::default())).collect();
    for (step, bound) in steps.enumerate() {
        for u in uses(bound).filter(|u| u.reads) {
            if written.get(&u.allocation).is_some_and(|w| !w.covers(&u.bytes)) {
                let kernel = bound.kernel();
                let param = &kernel.params[u.param].name;
                let what = format!("`{param}` reads a part of an intermediate that no earlier step writes");
                return Err(at_step(step)(LaunchError::Config { kernel: kernel.name.clone(), what }));
            }
        }
        for u in uses(bound).filter(|u| u.writes) {
            if let Some(w) = written.get_mut(&u.allocation) {
                w.add(u.bytes);
            }
        }
    }
    Ok(())
}

/// The written bytes of an intermediate: disjoint ranges that do not touch, ascending.
#[derive(Default)]
struct Written(Vec<Range<u64>>);

impl Written {
    fn add(&mut self, mut new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        self.0.retain(|old| {
            let touches = old.start <= new.end && new.start <= old.end;
            if touches {
                new = old.start.min(new.start)..old.end.max(new.end);
            }
            !touches
        });
        let at = self.0.partition_point(|old| old.start < new.start);
        self.0.insert(at, new);
    }
    fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.0.iter().any(|w| w.start <= range.start && range.end <= w.end)
    }
}

struct Step {
    /// With intermediates as allocations of their own: what is checked.
    recorded: Bound,
    /// With intermediates in the arena: what is run.
    placed: Bound,
    prepared: Arc<dyn Prepared>,
    options: RunOptions,
}

/// Recorded steps, ready to run again and again. Runs from several threads wait for each other.
pub struct Sequence {
    steps: Vec<Step>,
    intermediates: Vec<Buffer>,
    sum_bytes: u64,
    arena: Buffer,
    /// First byte in the arena, by the intermediate's allocation id.
    places: HashMap<u64, u64>,
    /// Every allocation of every step, in locking order.
    locks: Vec<(Arc<Allocation>, bool)>,
}

/// The caller's workers, told that every step is short: the threads stay awake between the steps of a run.
struct Awake<'a>(&'a dyn Workers);

impl Workers for Awake<'_> {
    fn threads(&self) -> usize {
        self.0.threads()
    }
    fn run(&self, n: usize, _: Grain, task: Task<'_>) {
        self.0.run(n, Grain::Short, task);
    }
    fn topology(&self) -> Option<&Topology> {
        self.0.topology()
    }
}

/// Points a view of an intermediate into the arena.
fn place_view(places: &HashMap<u64, u64>, arena: &Buffer, view: &mut BufferView) {
    if let Some(at) = places.get(&view.buffer.0.id) {
        view.buffer = arena.clone();
        view.offset += at;
    }
}

impl Sequence {
    fn list_locks(&mut self) {
        let all = self.steps.iter().flat_map(|s| s.placed.allocations());
        self.locks = Locks::order(all.map(|(a, writes)| (Arc::clone(a), writes)));
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }
    /// Whether it has no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
    /// The kernel of a step. `None`: no such step.
    pub fn kernel(&self, step: StepId) -> Option<&Kernel> {
        self.steps.get(step.0).map(|s| s.recorded.kernel())
    }
    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> u64 {
        self.arena.bytes()
    }
    /// Bytes that the intermediates would take with a place of their own each.
    pub fn intermediate_bytes(&self) -> u64 {
        self.sum_bytes
    }
    /// First byte of an intermediate in the arena; `None` where it is none of this sequence or no step uses it.
    pub fn arena_offset(&self, intermediate: &BufferView) -> Option<u64> {
        Some(self.places.get(&intermediate.buffer.0.id)? + intermediate.offset)
    }

    /// The earlier steps that a step must follow: one of the two writes bytes that the other touches. Ascending; steps that
    /// depend on each other neither directly nor through others may run in any order.
    pub fn dependencies(&self, step: StepId) -> Vec<StepId> {
        let Some(this) = self.steps.get(step.0) else { return Vec::new() };
        let own: Vec<Use> = uses(&this.recorded).collect();
        let before = |earlier: &&Step| uses(&earlier.recorded).any(|e| own.iter().any(|o| o.conflicts(&e)));
        let found = self.steps[..step.0].iter().enumerate().filter(|(_, s)| before(s));
        found.map(|(i, _)| StepId(i)).collect()
    }

    /// Runs all steps. `cancel` is looked at between steps and inside them.
    ///
    /// # Errors
    /// The failure of the first step that fails, with its number: a stale buffer, a trap, cancellation. Later steps have not
    /// run; what the sequence writes is unspecified then.
    pub fn run(&self, workers: &dyn Workers, cancel: Option<&CancelToken>) -> Result<(), LaunchError> {
        self.run_each(workers, cancel, |_| {})
    }

    /// As [`Sequence::run`], with the time that each step took.
    ///
    /// # Errors
    /// As [`Sequence::run`].
    pub fn run_timed(
        &self,
        workers: &dyn Workers,
        cancel: Option<&CancelToken>,
    ) -> Result<Vec<Duration>, LaunchError> {
        let mut times = Vec::with_capacity(self.steps.len());
        let mut start = Instant::now();
        self.run_each(workers, cancel, |_| {
            let now = Instant::now();
            times.push(now - start);
            start = now;
        })?;
        Ok(times)
    }

    fn run_each(
        &self,
        workers: &dyn Workers,
        cancel: Option<&CancelToken>,
        mut done: impl FnMut(usize),
    ) -> Result<(), LaunchError> {
        let workers = Awake(workers);
        let locks = Locks::take_sorted(self.locks.iter().map(|(a, writes)| (a, *writes)));
        for (i, step) in self.steps.iter().enumerate() {
            let with_token = cancel.map(|c| RunOptions { cancel: Some(c.clone()), ..step.options.clone() });
            let options = with_token.as_ref().unwrap_or(&step.options);
            let result = match &options.cancel {
                // Kernels without loops do not look at the token.
                Some(token) if token.is_cancelled() => Err(cancelled(&step.placed)),
                _ => step.placed.run_locked(&locks, &*step.prepared, &workers, options),
            };
            result.map_err(at_step(i))?;
            done(i);
        }
        Ok(())
    }

    /// Holds a step to so many threads in the next runs; 0: all of them. No bit depends on it.
    pub fn set_threads(&mut self, step: StepId, threads: usize) {
        if let Some(s) = self.steps.get_mut(step.0) {
            s.options.threads = threads;
        }
    }

    /// Divides a step's blocks over memory nodes ([`RunOptions::by_node`]). No bit depends on it.
    pub fn set_by_node(&mut self, step: StepId, by_node: bool) {
        if let Some(s) = self.steps.get_mut(step.0) {
            s.options.by_node = by_node;
        }
    }

    /// Gives a parameter of a step another value for the next runs: a number, a view, packed weights. A declared grid follows.
    /// A parameter that is bound to an intermediate takes only other parts of the same intermediate, because the arena is
    /// planned. On an error nothing has changed.
    ///
    /// # Errors
    /// What is wrong with the new binding, or with a step that would read bytes that no earlier step writes.
    pub fn rebind(&mut self, step: StepId, param: &str, value: ArgValue) -> Result<(), LaunchError> {
        let no_step = || LaunchError::Unsupported(format!("the sequence has no step {}", step.0));
        let s = self.steps.get(step.0).ok_or_else(no_step)?;
        let wrong = at_step(step.0);
        let at = find_param(s.recorded.kernel(), param).map_err(&wrong)?;
        let old = &s.recorded.args()[at];
        let ids = |v: &ArgValue| -> Vec<u64> { views(v).iter().map(|v| v.buffer.0.id).collect() };
        let planned = |v: &ArgValue| views(v).iter().any(is_planned);
        let (same_buffers, intermediate) = (ids(old) == ids(&value), planned(old) || planned(&value));
        if intermediate && !same_buffers {
            let kernel = s.recorded.kernel().name.clone();
            let what = format!("`{param}`: an intermediate can be rebound to other parts of itself only");
            return Err(wrong(LaunchError::Config { kernel, what }));
        }
        let before = intermediate.then(|| s.recorded.clone());
        let s = &mut self.steps[step.0];
        s.recorded.set(at, value).map_err(&wrong)?;
        if let Some(before) = before {
            let checked = check_initialised(self.steps.iter().map(|s| &s.recorded), &self.intermediates);
            if let Err(e) = checked {
                self.steps[step.0].recorded = before;
                return Err(e);
            }
        }
        let (places, arena) = (&self.places, &self.arena);
        let s = &mut self.steps[step.0];
        s.placed.copy_value(&s.recorded, at, |v| place_view(places, arena, v));
        if !same_buffers {
            self.list_locks();
        }
        Ok(())
    }
}

/// What a launch of this kernel reports where it is cancelled before it starts.
fn cancelled(bound: &Bound) -> LaunchError {
    let start =
        LaneTrap { kind: TrapKind::Cancelled, func: 0, inst: 0, block: 0, lane: 0, detail: TrapDetail::None };
    Box::new(Trap::describe(start, bound.program().module(), bound.kernel(), bound.config().grid)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_ranges_join() {
        let mut w = Written::default();
        assert!(w.covers(&(5..5)));
        assert!(!w.covers(&(0..1)));
        w.add(0..4);
        w.add(8..12);
        assert!(w.covers(&(1..3)) && !w.covers(&(3..9)));
        w.add(4..8);
        assert!(w.0.len() == 1 && w.covers(&(0..12)) && !w.covers(&(0..13)));
        w.add(20..24);
        w.add(16..18);
        assert_eq!(w.0, [0..12, 16..18, 20..24]);
        w.add(0..30);
        assert!(w.0.len() == 1 && w.covers(&(0..30)));
    }

    #[test]
    fn uses_conflict_where_one_writes_what_the_other_touches() {
        let of = |allocation: u64, bytes: Range<u64>, writes: bool| Use {
            param: 0,
            allocation,
            bytes,
            reads: !writes,
            writes,
        };
        assert!(of(1, 0..8, true).conflicts(&of(1, 4..12, false)));
        assert!(of(1, 0..8, false).conflicts(&of(1, 4..12, true)));
        assert!(!of(1, 0..8, false).conflicts(&of(1, 4..12, false)));
        assert!(!of(1, 0..8, true).conflicts(&of(1, 8..12, false)));
        assert!(!of(1, 0..8, true).conflicts(&of(2, 0..8, true)));
    }
}
