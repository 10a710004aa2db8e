//! Launches: what is bound to a kernel's parameters, how it is checked, locked and handed to an executor.

use crate::buffer::{Allocation, BufferError, BufferView, Storage};
use crate::check::Checker;
use crate::checks::{check_aliasing, check_lengths, check_special_widths, evaluate, shape};
use crate::claims::{Claims, SpareClaims};
pub use crate::error::LaunchError;
use crate::guards;
use crate::native::{format_of, packed_format};
use crate::pool::LaunchPool;
use crate::report::{LaunchReport, Phases, trap_at_end};
use crate::resonance::{Held, LaunchClaims, LaunchResonance, Resonance};
use crate::schedule::{Order, Purpose, Schedule};
use crate::trap::{LaneTrap, Trap};
use crate::view::View;
use crate::workers::{FloatMode, Workers};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use phalanx_isa::{Access, Kernel, Param, ParamKind, Special, Type, limits};
use phalanx_kernels::PackedWeights;
use phalanx_kernels::conv::ConvWeights;
use phalanx_verify::Verified;
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// How many blocks of how many lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Lanes of a block in x, y, z; at most 1024 in all.
    pub block: [u32; 3],
    /// Elements of the kernel's unsized shared array, where it declares one.
    pub shared_len: u64,
}

impl LaunchConfig {
    /// A grid of blocks.
    pub fn new(grid: [u32; 3], block: [u32; 3]) -> LaunchConfig {
        LaunchConfig { grid, block, shared_len: 0 }
    }
    /// Enough blocks of `block` lanes for `n` lanes in one dimension (the last block may be partly needed: kernels guard it).
    pub fn linear(n: u64, block: u32) -> LaunchConfig {
        let blocks = n.div_ceil(u64::from(block.max(1)));
        LaunchConfig::new([u32::try_from(blocks).unwrap_or(u32::MAX), 1, 1], [block, 1, 1])
    }
    /// The same with a length for the unsized shared array.
    pub fn with_shared(self, shared_len: u64) -> LaunchConfig {
        LaunchConfig { shared_len, ..self }
    }
}

/// What the caller says of a launch's shape; the kernel's declarations give the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchShape {
    /// Blocks in x, y, z; `None`: as the kernel declares.
    pub grid: Option<[u32; 3]>,
    /// Lanes of a block in x, y, z; `None`: as the kernel declares. Where both say it, they must agree.
    pub block: Option<[u32; 3]>,
    /// Elements of the kernel's unsized shared array, where it declares one.
    pub shared_len: u64,
}

impl From<LaunchConfig> for LaunchShape {
    fn from(c: LaunchConfig) -> LaunchShape {
        LaunchShape { grid: Some(c.grid), block: Some(c.block), shared_len: c.shared_len }
    }
}

impl From<Option<LaunchConfig>> for LaunchShape {
    fn from(c: Option<LaunchConfig>) -> LaunchShape {
        c.map_or(LaunchShape::default(), LaunchShape::from)
    }
}

/// Stops launches from another thread, or at a time.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
    /// A token that triggers this one too.
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// A token that [`CancelToken::cancel`] triggers.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }
    /// A token that also triggers by itself at `when`.
    pub fn with_deadline(when: Instant) -> CancelToken {
        CancelToken(Arc::new(CancelState { deadline: Some(when), ..CancelState::default() }))
    }
    /// A token that triggers with this one, and by itself at `when`. Triggering it leaves this one alone.
    pub fn until(&self, when: Instant) -> CancelToken {
        let parent = Some(self.clone());
        CancelToken(Arc::new(CancelState { deadline: Some(when), parent, ..CancelState::default() }))
    }
    /// Stops the launches that hold this token, soon.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
    /// Whether it has triggered.
    pub fn is_cancelled(&self) -> bool {
        if self.0.cancelled.load(Ordering::Relaxed) {
            return true;
        }
        let late = self.0.parent.as_ref().is_some_and(CancelToken::is_cancelled)
            || self.0.deadline.is_some_and(|d| Instant::now() >= d);
        if late {
            self.cancel();
        }
        late
    }
}

/// How a launch runs; the default is what most want.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Buffers whose elements count as never written, for the checkers: parameter, and which buffer of an array of buffers.
    pub uninit: Vec<(u16, u32)>,
    /// Instructions that each lane may execute, charged per basic block entered; `None`: no limit.
    pub fuel: Option<u64>,
    /// Threads at most; 0: as many as the workers have.
    pub threads: usize,
    /// On several memory nodes, blocks go to the node whose part of the grid's x they lie in ([`Topology::parts`]), so that work on
    /// memory that was placed in the same way reads near memory. Not for kernels whose blocks wait for others.
    ///
    /// [`Topology::parts`]: crate::workers::Topology::parts
    pub by_node: bool,
    /// One thread, blocks and lanes in ascending order: programs that are not order-free give one fixed result.
    pub deterministic: bool,
    /// Stops the launch.
    pub cancel: Option<CancelToken>,
    /// The class of all lanes; `None`: the linear block index modulo 96.
    pub class: Option<u32>,
    /// The launch phase: a block starts at (phase + linear block index) mod 768.
    pub phase: u32,
    /// Bytes that pool allocations of the launch may take together, shared out evenly over its lanes (an element takes 8).
    pub pool_limit_bytes: u64,
    /// Runs one of the orders that the memory model allows, chosen by this number (see [`crate::schedule`]).
    pub schedule_seed: Option<u64>,
    /// What `res.accum` adds to and `res.test` looks at; a kernel with such instructions needs one.
    pub resonance: Option<Resonance>,
    /// What must hold, or the launch traps.
    pub claims: LaunchClaims,
    /// Whether the report lists the phases of the blocks (two bytes each).
    pub report_phases: bool,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            uninit: Vec::new(),
            fuel: None,
            threads: 0,
            by_node: false,
            deterministic: false,
            cancel: None,
            class: None,
            phase: 0,
            pool_limit_bytes: 1 << 30,
            schedule_seed: None,
            resonance: None,
            claims: LaunchClaims::default(),
            report_phases: false,
        }
    }
}

/// What is bound to a parameter.
#[derive(Clone, Debug)]
pub enum ArgValue {
    /// A number's type and bits.
    Scalar(Type, u64),
    /// A view of a buffer.
    Buffer(BufferView),
    /// Views for an array of buffers.
    Buffers(Vec<BufferView>),
    /// Packed weights.
    Packed(Arc<PackedWeights>),
    /// A convolution and its filters, for a parameter of packed weights: a row for each filter.
    Filters(Arc<ConvWeights>),
}

/// A value bound to a parameter, for the duration of a launch.
#[derive(Clone)]
pub enum Slot<'a> {
    /// Bits of a scalar.
    Scalar(u64),
    /// One view per buffer.
    Views(Views<'a>),
    /// Packed weights.
    Packed(&'a PackedWeights),
    /// A convolution and its filters.
    Filters(&'a ConvWeights),
}

/// The views of a parameter: one where it is no array, which needs no memory of its own.
#[derive(Clone)]
pub enum Views<'a> {
    /// A buffer.
    One([View<'a>; 1]),
    /// An array of buffers.
    Several(Vec<View<'a>>),
}

impl<'a> std::ops::Deref for Views<'a> {
    type Target = [View<'a>];
    #[inline]
    fn deref(&self) -> &[View<'a>] {
        match self {
            Views::One(one) => one,
            Views::Several(all) => all,
        }
    }
}

/// The values of a launch's parameters. Up to 24 need no memory of their own, so that a launch which is repeated allocates nothing.
pub type Slots<'a> = SmallVec<[Slot<'a>; 24]>;

/// A launch whose bindings are checked and locked: all that an executor needs.
pub struct Launch<'a> {
    /// The module.
    pub program: &'a Verified,
    /// Which kernel.
    pub kernel_index: usize,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Lanes in x, y, z.
    pub block: [u32; 3],
    /// Elements of the unsized shared array.
    pub shared_len: u64,
    /// Bound values, by parameter.
    pub slots: &'a [Slot<'a>],
    /// Options.
    pub options: &'a RunOptions,
    /// Threads.
    pub workers: &'a dyn Workers,
    /// The launch's pool.
    pub pool: LaunchPool,
    /// Output boxes of native operations.
    pub claims: Claims,
    /// The sums before the launch and what is added now, where the kernel uses them.
    pub resonance: Option<LaunchResonance<'a>>,
    pub(crate) phases: Option<Phases>,
    /// What `fence` updates: an atomic update orders as a fence would, and race detectors understand it.
    pub fence: AtomicU32,
    /// The checkers, in a launch that is checked.
    pub(crate) check: Option<&'a Checker>,
}

impl<'a> Launch<'a> {
    /// The kernel.
    pub fn kernel(&self) -> &'a Kernel {
        &self.program.module().kernels[self.kernel_index]
    }
    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }
    /// Lanes of a block.
    pub fn lanes(&self) -> u32 {
        self.block.iter().product()
    }
    /// Threads that this launch may use.
    pub fn threads(&self) -> usize {
        let all = self.workers.threads();
        match (self.options.deterministic, self.options.threads) {
            (true, _) => 1,
            (false, 0) => all,
            (false, n) => n.min(all),
        }
    }
    /// Whether blocks and grid have one dimension.
    #[inline]
    pub fn is_flat(&self) -> bool {
        [self.grid, self.block].iter().all(|d| d[1] == 1 && d[2] == 1)
    }
    /// The schedule, where the caller asked for one.
    pub fn schedule(&self) -> Option<Schedule> {
        self.options.schedule_seed.map(Schedule::new)
    }
    /// The order in which blocks start.
    pub fn block_order(&self) -> Order {
        let blocks = self.blocks();
        match self.schedule() {
            Some(s) if !self.program.analysis(self.kernel_index).may_wait => {
                s.choices(Purpose::Launch).order(blocks)
            }
            _ => Order::ascending(blocks),
        }
    }
    /// The view of a buffer parameter (`which` for an array of buffers). `None` where there is none.
    #[inline]
    pub fn view(&self, param: u16, which: u64) -> Option<&View<'a>> {
        match self.slots.get(param as usize)? {
            Slot::Views(v) => v.get(usize::try_from(which).ok()?),
            _ => None,
        }
    }
    /// Bits of a scalar parameter.
    pub fn scalar(&self, param: u16) -> u64 {
        match self.slots.get(param as usize) {
            Some(Slot::Scalar(bits)) => *bits,
            _ => 0,
        }
    }
    /// Elements of a shared array.
    pub fn shared_elements(&self, array: usize) -> u64 {
        self.kernel().shared[array].len.unwrap_or(self.shared_len)
    }
    /// The class of a block's lanes.
    pub fn class_of_block(&self, block: u64) -> u32 {
        self.options.class.unwrap_or((block % 96) as u32)
    }
    /// The phase at which a block's lanes start.
    pub fn phase_of_block(&self, block: u64) -> u32 {
        ((u64::from(self.options.phase) + block % 768) % 768) as u32
    }
    /// Whether the launch was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.options.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }
    /// The value of a special register: the definition, for every executor.
    pub fn special(&self, s: Special, block: u64, lane: u32) -> u64 {
        let [bx, by, bz] = self.block.map(u64::from);
        let [gx, gy, gz] = self.grid.map(u64::from);
        let l = u64::from(lane);
        let (lane_at, block_at) =
            ([l % bx, l / bx % by, l / bx / by], [block % gx, block / gx % gy, block / gx / gy]);
        match s {
            Special::LaneX => lane_at[0],
            Special::LaneY => lane_at[1],
            Special::LaneZ => lane_at[2],
            Special::LaneLinear => l,
            Special::BlockX => block_at[0],
            Special::BlockY => block_at[1],
            Special::BlockZ => block_at[2],
            Special::BlockLinear => block,
            Special::BlockDimX => bx,
            Special::BlockDimY => by,
            Special::BlockDimZ => bz,
            Special::BlockDimLinear => bx * by * bz,
            Special::GridDimX => gx,
            Special::GridDimY => gy,
            Special::GridDimZ => gz,
            Special::GridDimLinear => gx * gy * gz,
            Special::GlobalX => block_at[0] * bx + lane_at[0],
            Special::GlobalY => block_at[1] * by + lane_at[1],
            Special::GlobalZ => block_at[2] * bz + lane_at[2],
            Special::GlobalLinear => block * (bx * by * bz) + l,
            Special::SubgroupId => l / limits::SUBGROUP as u64,
            Special::SubgroupLane => l % limits::SUBGROUP as u64,
        }
    }
}

/// A kernel made ready by an executor; kept and launched many times.
pub trait Prepared: Send + Sync {
    /// Runs all blocks.
    ///
    /// # Errors
    /// The trap of the lowest block (see SPEC.md, Traps).
    fn run(&self, launch: &Launch<'_>) -> Result<(), LaneTrap>;
    /// Whether launches can be checked (see [`Bound::run_checked`]).
    fn has_checkers(&self) -> bool {
        false
    }
}

/// Something that runs validated kernels. Object safe: others may implement it.
pub trait Executor: Send + Sync {
    /// Name as on the command line.
    fn name(&self) -> &'static str;
    /// Makes a kernel of a validated module ready.
    ///
    /// # Errors
    /// [`LaunchError::Unsupported`] where this machine cannot run it.
    fn prepare(&self, program: &Verified, kernel_index: usize) -> Result<Arc<dyn Prepared>, LaunchError>;
}

/// A kernel with values for its parameters, checked but not yet locked.
#[derive(Clone)]
pub struct Bound {
    owner: u64,
    program: Verified,
    kernel_index: usize,
    args: Vec<ArgValue>,
    given: LaunchShape,
    config: LaunchConfig,
    claims: SpareClaims,
}

/// The number of the parameter with this name.
///
/// # Errors
/// [`LaunchError::Unknown`].
pub fn find_param(kernel: &Kernel, name: &str) -> Result<usize, LaunchError> {
    kernel.params.iter().position(|p| p.name == name).ok_or_else(|| unknown_param(kernel, name))
}

fn unknown_param(kernel: &Kernel, name: &str) -> LaunchError {
    let known = kernel.params.iter().map(|p| p.name.clone()).collect();
    LaunchError::Unknown { kernel: kernel.name.clone(), param: name.into(), known }
}

/// Checks a value against its parameter: kind, type, range, mode and device of every view.
fn check_value(owner: u64, kernel: &Kernel, param: &Param, value: &ArgValue) -> Result<(), LaunchError> {
    let name = || kernel.name.clone();
    let wrong = || LaunchError::Kind {
        kernel: name(),
        param: param.name.clone(),
        expected: describe_param(&param.kind),
        found: describe_value(value),
    };
    let views: &[BufferView] = match (&param.kind, value) {
        (ParamKind::Scalar(t), ArgValue::Scalar(u, _)) if t == u => &[],
        (ParamKind::Buffer { count: None, .. }, ArgValue::Buffer(v)) => std::slice::from_ref(v),
        (ParamKind::Buffer { count: Some(n), .. }, ArgValue::Buffers(v)) if v.len() == *n as usize => v,
        (ParamKind::Packed { format, .. }, ArgValue::Packed(w)) if packed_format(*format) == w.format() => {
            &[]
        }
        (ParamKind::Packed { format, .. }, ArgValue::Filters(w)) if packed_format(*format) == w.format() => {
            &[]
        }
        _ => return Err(wrong()),
    };
    for v in views {
        let ParamKind::Buffer { elem, access, .. } = param.kind else { return Err(wrong()) };
        if v.elem != elem {
            return Err(wrong());
        }
        let refuse = |source| LaunchError::Buffer { kernel: name(), param: param.name.clone(), source };
        v.check().map_err(refuse)?;
        if access != Access::In && v.buffer.0.external {
            return Err(refuse(BufferError::ReadOnly));
        }
        if v.buffer.0.owner != 0 && v.buffer.0.owner != owner {
            return Err(LaunchError::Foreign { kernel: name(), param: param.name.clone() });
        }
    }
    Ok(())
}

/// What a parameter expects, in words.
pub fn describe_param(kind: &ParamKind) -> String {
    match kind {
        ParamKind::Scalar(t) => format!("a {t} number"),
        ParamKind::Buffer { elem, access, count } => {
            let word = ["in", "out", "inout"][*access as usize];
            match count {
                None => format!("an `{word}` buffer of {elem}"),
                Some(n) => format!("an array of {n} `{word}` buffers of {elem}"),
            }
        }
        ParamKind::Packed { format, .. } => format!("packed weights of format {format}"),
    }
}

fn describe_value(value: &ArgValue) -> String {
    match value {
        ArgValue::Scalar(t, _) => format!("a {t} number"),
        ArgValue::Buffer(v) => format!("a buffer of {}", v.elem),
        ArgValue::Buffers(v) => format!("an array of {} buffers", v.len()),
        ArgValue::Packed(w) => format!("packed weights of format {}, {} x {}", format_of(w), w.n(), w.k()),
        ArgValue::Filters(w) => {
            format!("{} filters of {} weights, {}", w.filters(), w.filter_len(), w.format())
        }
    }
}

impl Bound {
    /// Checks values against a kernel's parameters and works out the launch's shape. `owner` is the device whose buffers are
    /// accepted. What `shape` leaves open, the kernel must declare.
    ///
    /// # Errors
    /// Everything that is wrong with the bindings or the shape; nothing has run.
    pub fn new(
        owner: u64,
        program: &Verified,
        kernel_index: usize,
        args: Vec<ArgValue>,
        shape: impl Into<LaunchShape>,
    ) -> Result<Bound, LaunchError> {
        let kernel = &program.module().kernels[kernel_index];
        if let Some(missing) = kernel.params.get(args.len()) {
            return Err(LaunchError::Missing {
                kernel: kernel.name.clone(),
                param: missing.name.clone(),
                expected: describe_param(&missing.kind),
            });
        }
        for (param, value) in kernel.params.iter().zip(&args) {
            check_value(owner, kernel, param, value)?;
        }
        check_aliasing(kernel, &args)?;
        let unshaped = LaunchConfig::new([0; 3], [0; 3]);
        let (program, given) = (program.clone(), shape.into());
        let mut bound = Bound {
            owner,
            program,
            kernel_index,
            args,
            given,
            config: unshaped,
            claims: SpareClaims::default(),
        };
        bound.config = bound.check_shape()?;
        Ok(bound)
    }

    /// Gives one parameter another value, with the checks of a new binding. On an error nothing has changed.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub fn set(&mut self, param: usize, value: ArgValue) -> Result<(), LaunchError> {
        let kernel = &self.program.module().kernels[self.kernel_index];
        let Some(declared) = kernel.params.get(param) else {
            return Err(unknown_param(kernel, &format!("number {param}")));
        };
        check_value(self.owner, kernel, declared, &value)?;
        let is_view = matches!(value, ArgValue::Buffer(_) | ArgValue::Buffers(_));
        let before = std::mem::replace(&mut self.args[param], value);
        let aliasing = if is_view { check_aliasing(kernel, &self.args) } else { Ok(()) };
        match aliasing.and_then(|()| self.check_shape()) {
            Ok(config) => self.config = config,
            Err(e) => {
                self.args[param] = before;
                return Err(e);
            }
        }
        Ok(())
    }

    /// Takes over the value of a parameter, and the shape, from a binding of the same kernel, with its views moved by `place`.
    /// For sequences: nothing is checked again, so `place` must keep views of different allocations disjoint and inside.
    pub(crate) fn copy_value(&mut self, from: &Bound, param: usize, place: impl Fn(&mut BufferView)) {
        let mut value = from.args[param].clone();
        match &mut value {
            ArgValue::Buffer(v) => place(v),
            ArgValue::Buffers(vs) => vs.iter_mut().for_each(place),
            ArgValue::Scalar(..) | ArgValue::Packed(_) | ArgValue::Filters(_) => {}
        }
        self.args[param] = value;
        self.config = from.config;
    }

    /// The launch's shape with the present arguments, and that packed weights have the declared one.
    fn check_shape(&self) -> Result<LaunchConfig, LaunchError> {
        let config = shape(self.kernel(), &self.args, self.given)?;
        check_special_widths(&self.program, self.kernel_index, &config)?;
        check_lengths(&self.program, self.kernel_index, &self.args, &config)?;
        self.check_packed()?;
        Ok(config)
    }

    /// The launch's shape.
    pub fn config(&self) -> LaunchConfig {
        self.config
    }
    /// The module.
    pub fn program(&self) -> &Verified {
        &self.program
    }
    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.program.module().kernels[self.kernel_index]
    }
    /// The bound values, by parameter.
    pub fn args(&self) -> &[ArgValue] {
        &self.args
    }

    fn check_packed(&self) -> Result<(), LaunchError> {
        let kernel = self.kernel();
        for (param, value) in kernel.params.iter().zip(&self.args) {
            let given = match value {
                ArgValue::Packed(w) => (w.n() as u64, w.k() as u64),
                ArgValue::Filters(w) => (w.filters() as u64, w.filter_len() as u64),
                _ => continue,
            };
            if let ParamKind::Packed { n, k, .. } = &param.kind {
                let (en, ek) = (evaluate(kernel, &self.args, n)?, evaluate(kernel, &self.args, k)?);
                if (en, ek) != given {
                    return Err(LaunchError::PackedShape {
                        kernel: kernel.name.clone(),
                        param: param.name.clone(),
                        expected_n: en,
                        expected_k: ek,
                        n: given.0,
                        k: given.1,
                    });
                }
            }
        }
        Ok(())
    }

    /// Locks, runs, unlocks.
    ///
    /// # Errors
    /// A stale buffer, or the trap.
    pub fn run(
        &self,
        prepared: &dyn Prepared,
        workers: &dyn Workers,
        options: &RunOptions,
    ) -> Result<(), LaunchError> {
        self.run_report(prepared, workers, options).map(drop)
    }

    /// Locks, runs, unlocks, and tells what the launch says of itself.
    ///
    /// # Errors
    /// As [`Bound::run`].
    pub fn run_report(
        &self,
        prepared: &dyn Prepared,
        workers: &dyn Workers,
        options: &RunOptions,
    ) -> Result<LaunchReport, LaunchError> {
        let locks = Locks::take(std::slice::from_ref(self))?;
        self.run_locked(&locks, prepared, workers, options)
    }

    /// Runs under locks that cover this launch's buffers.
    ///
    /// # Errors
    /// As [`Bound::run`].
    pub fn run_locked(
        &self,
        locks: &Locks<'_>,
        prepared: &dyn Prepared,
        workers: &dyn Workers,
        options: &RunOptions,
    ) -> Result<LaunchReport, LaunchError> {
        let mut slots = Slots::new();
        self.slots(locks, options, &mut slots)?;
        let held = self.hold_resonance(options)?;
        let launch = self.launch(&slots, workers, options, held.as_ref());
        let _float_mode = FloatMode::nearest_with_denormals();
        let result = launch.claims.check(prepared.run(&launch));
        self.claims.put(launch.claims);
        let phases = launch.phases.map_or_else(Vec::new, Phases::into_vec);
        let change = match (result, held) {
            (Ok(()), Some(held)) => {
                let at_end = |(kind, text)| trap_at_end(self.kernel(), kind, text);
                held.commit(&options.claims).map(Some).map_err(at_end)
            }
            (Ok(()), None) => Ok(None),
            (Err(trap), held) => {
                held.into_iter().for_each(Held::discard);
                Err(trap)
            }
        };
        let change = change.map_err(|t| self.trapped(t))?;
        Ok(LaunchReport { change, phases })
    }

    pub(crate) fn trapped(&self, t: LaneTrap) -> Box<Trap> {
        Box::new(Trap::describe(t, self.program.module(), self.kernel(), self.config.grid))
    }

    /// Takes the resonance, where the kernel uses it. It is the last of all locks, and who holds it has all others, so that
    /// nobody waits for it in a circle.
    pub(crate) fn hold_resonance<'l>(
        &self,
        options: &'l RunOptions,
    ) -> Result<Option<Held<'l>>, LaunchError> {
        if !self.program.analysis(self.kernel_index).resonance {
            return Ok(None);
        }
        let missing = || LaunchError::Config {
            kernel: self.kernel().name.clone(),
            what: "it adds to the resonance or tests it: give one with the launch".into(),
        };
        options.resonance.as_ref().map(|r| Some(r.hold())).ok_or_else(missing)
    }

    /// Puts the values of the parameters under locks into `slots`, which stay where they are: they are too many to be moved about.
    pub(crate) fn slots<'l>(
        &'l self,
        locks: &'l Locks<'_>,
        options: &RunOptions,
        slots: &mut Slots<'l>,
    ) -> Result<(), LaunchError> {
        let kernel = self.kernel();
        if options.phase >= 768 || options.class.is_some_and(|c| c >= 96) {
            let what = "the launch class must be below 96 and the launch phase below 768".into();
            return Err(LaunchError::Config { kernel: kernel.name.clone(), what });
        }
        if options.deterministic && options.schedule_seed.is_some() {
            let what =
                "a deterministic launch has one fixed order, so a schedule seed cannot choose one".into();
            return Err(LaunchError::Config { kernel: kernel.name.clone(), what });
        }
        slots.reserve(self.args.len());
        for (param, value) in kernel.params.iter().zip(&self.args) {
            let refuse = |source| LaunchError::Buffer {
                kernel: kernel.name.clone(),
                param: param.name.clone(),
                source,
            };
            let writes = matches!(param.kind, ParamKind::Buffer { access: Access::Out | Access::InOut, .. });
            slots.push(match value {
                ArgValue::Scalar(_, bits) => Slot::Scalar(*bits),
                ArgValue::Buffer(v) => Slot::Views(Views::One([locks.view(v, writes).map_err(refuse)?])),
                ArgValue::Buffers(vs) => {
                    let all = vs.iter().map(|v| locks.view(v, writes)).collect::<Result<Vec<_>, _>>();
                    Slot::Views(Views::Several(all.map_err(refuse)?))
                }
                ArgValue::Packed(w) => Slot::Packed(w),
                ArgValue::Filters(w) => Slot::Filters(w),
            });
        }
        Ok(())
    }

    pub(crate) fn launch<'l>(
        &'l self,
        slots: &'l [Slot<'l>],
        workers: &'l dyn Workers,
        options: &'l RunOptions,
        held: Option<&'l Held<'_>>,
    ) -> Launch<'l> {
        let shape = self.config.grid.iter().chain(&self.config.block);
        let lanes = shape.fold(1u64, |n, d| n.saturating_mul(u64::from(*d)));
        let blocks = self.config.grid.iter().map(|n| u64::from(*n)).product();
        Launch {
            program: &self.program,
            kernel_index: self.kernel_index,
            grid: self.config.grid,
            block: self.config.block,
            shared_len: self.config.shared_len,
            slots,
            options,
            workers,
            pool: LaunchPool::new(options.pool_limit_bytes, lanes),
            claims: self.claims.take(),
            resonance: held.map(Held::for_lanes),
            phases: options.report_phases.then(|| Phases::new(blocks)),
            fence: AtomicU32::new(0),
            check: None,
        }
    }

    /// Allocations with whether this launch writes them.
    pub(crate) fn allocations(&self) -> impl Iterator<Item = (&Arc<Allocation>, bool)> {
        self.kernel().params.iter().zip(&self.args).flat_map(|(param, value)| {
            let writes = matches!(param.kind, ParamKind::Buffer { access: Access::Out | Access::InOut, .. });
            let views: &[BufferView] = match value {
                ArgValue::Buffer(v) => std::slice::from_ref(v),
                ArgValue::Buffers(v) => v,
                _ => &[],
            };
            views.iter().map(move |v| (&v.buffer.0, writes))
        })
    }
}

enum Guard<'a> {
    // Held for the exclusion it gives; the storage is reached by the address taken with it.
    Read(RwLockReadGuard<'a, Storage>),
    Write(RwLockWriteGuard<'a, Storage>),
}

impl Guard<'_> {
    fn storage(&self) -> &Storage {
        match self {
            Guard::Read(g) => g,
            Guard::Write(g) => g,
        }
    }
}

/// The guards of one or several launches: each allocation once, in its strongest mode, taken in ascending order on the
/// caller's thread, so that launches on the same buffers in any order cannot wait for each other in a circle.
pub struct Locks<'a> {
    /// By allocation id: (id, first byte, guard).
    held: SmallVec<[(u64, *mut u8, Guard<'a>); 64]>,
}

impl<'a> Locks<'a> {
    /// Locks everything that these launches touch.
    ///
    /// # Errors
    /// A stale buffer.
    pub fn take(launches: &'a [Bound]) -> Result<Locks<'a>, LaunchError> {
        Ok(Locks::take_sorted(Locks::order(launches.iter().flat_map(Bound::allocations))))
    }

    /// Each allocation once, in its strongest mode, in the order in which everybody locks.
    pub(crate) fn order<A: Borrow<Arc<Allocation>>>(all: impl Iterator<Item = (A, bool)>) -> Vec<(A, bool)> {
        guards::order(all, |a| A::borrow(a).id)
    }

    /// Locks what [`Locks::order`] gave.
    pub(crate) fn take_sorted(all: impl IntoIterator<Item = (&'a Arc<Allocation>, bool)>) -> Locks<'a> {
        let lock = |(allocation, writes): (&'a Arc<Allocation>, bool)| {
            let (address, guard) = if writes {
                let mut g = allocation.storage.write();
                (g.as_mut_ptr().unwrap_or(std::ptr::null_mut()), Guard::Write(g))
            } else {
                let g = allocation.storage.read();
                (g.as_ptr().cast_mut(), Guard::Read(g))
            };
            (allocation.id, address, guard)
        };
        Locks { held: all.into_iter().map(lock).collect() }
    }

    fn view(&self, v: &BufferView, writes: bool) -> Result<View<'_>, BufferError> {
        let found = self.held.binary_search_by_key(&v.buffer.0.id, |(id, ..)| *id);
        let Ok(at) = found else { return Err(BufferError::Stale) };
        let (_, address, guard) = &self.held[at];
        guard.storage().check()?;
        if address.is_null() {
            // External memory under a write lock; binding refuses that already.
            return Err(BufferError::ReadOnly);
        }
        // A view that this kernel only reads is still shared with writers where another parameter or launch writes the
        // allocation; views of one launch do not overlap then, so only this launch's own use of the view decides.
        let writable = writes && matches!(guard, Guard::Write(_));
        let first = address.wrapping_add(v.offset as usize);
        let size = v.elem.bytes().max(1);
        if !(first as usize).is_multiple_of(size) {
            return Err(BufferError::Misaligned { offset: first as u64 % 64, size: size as u64 });
        }
        // SAFETY: range checked by `BufferView::check` at binding against the allocation's fixed size, alignment just above;
        // the guard held by `self` keeps the storage alive and excludes every other launch and host access that could
        // conflict; within the launch, overlapping views of a written allocation were refused (`check_aliasing`), so a
        // read-only view's bytes are written by nobody and a written view's only through views of its element size.
        Ok(unsafe { View::new(first, v.len, v.elem, writable) })
    }
}
