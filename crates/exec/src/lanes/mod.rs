//! The lane executor: lanes of a block in lockstep, in chunks of up to 128, with SIMD bodies.
//!
//! A block is one to eight chunks. A chunk runs until all its lanes stop at a block collective or end; when every chunk of the
//! block has, the block's part is done (combine a reduction, run a native operation) and they go on. Blocks are spread over
//! threads; where there are fewer blocks than threads, the chunks of a block are. Shared memory goes through relaxed atomics,
//! so chunks of one block may run at the same time.
//!
//! `decode` flattens a kernel, `tier` picks the SIMD bodies (`body`, `memory`, `cross`, on the scalar operations in `ops`),
//! `chunk` executes.

#![allow(clippy::needless_range_loop, reason = "loops over lane numbers index several arrays of 32 alike")]

mod body;
mod checked;
mod chunk;
mod cost;
mod cross;
mod decode;
mod interleave;
mod mask;
mod memory;
mod ops;
mod own;
mod parked;
mod resonance;
mod tier;

use crate::check::{self, BlockCheck};
use crate::launch::{Executor, Launch, LaunchError, Prepared};
use crate::native::{self, Body, Call, NUMBERS, PLACES, Site, Workspace};
use crate::schedule::{Choices, Order, Purpose};
use crate::trap::{LaneTrap, TrapDetail};
use crate::view::View;
use crate::workers::queue::share;
use crate::workers::{FloatMode, Grain, Task, run_blocks};
use chunk::{Chunk, Env, GROUPS, LANES, Stop};
use cost::Cost;
use decode::{BlockOp, Form, MemOperand, Place, Program, Source};
use mask::lanes_of;
use parking_lot::Mutex;
use phalanx_isa::{Special, TrapKind, Type};
use phalanx_simd::tier::Tier;
use phalanx_verify::Verified;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

#[cfg(not(target_endian = "little"))]
compile_error!("the lane executor writes constants as little-endian bytes");

/// The executor for one SIMD level.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    tier: Tier,
}

impl Lanes {
    /// For a level that this machine has.
    ///
    /// # Errors
    /// [`LaunchError::Unsupported`] naming the levels that it has.
    pub fn new(tier: Tier) -> Result<Lanes, LaunchError> {
        if tier.is_available() {
            return Ok(Lanes { tier });
        }
        let all: Vec<&str> = Tier::available().iter().map(|t| t.name()).collect();
        Err(LaunchError::Unsupported(format!("this machine has no {tier}; it has {}", all.join(", "))))
    }
    /// For the best level of this machine.
    pub fn best() -> Lanes {
        Lanes { tier: Tier::best() }
    }
    /// The level.
    pub fn tier(&self) -> Tier {
        self.tier
    }
}

impl Executor for Lanes {
    fn name(&self) -> &'static str {
        "lanes"
    }
    fn prepare(&self, program: &Verified, kernel_index: usize) -> Result<Arc<dyn Prepared>, LaunchError> {
        let kernel = &program.module().kernels[kernel_index];
        let plain = decode::decode(kernel, program.analysis(kernel_index), self.tier, Form::default());
        Ok(Arc::new(LanesKernel {
            verified: program.clone(),
            kernel_index,
            tier: self.tier,
            plain,
            others: Default::default(),
            idle: Mutex::new(Vec::new()),
            cost: Cost::default(),
        }))
    }
}

struct LanesKernel {
    verified: Verified,
    kernel_index: usize,
    tier: Tier,
    plain: Program,
    /// The other forms, made when first needed (see `run`).
    others: [OnceLock<Program>; 4],
    /// States of earlier launches of the plain form.
    #[allow(clippy::vec_box, reason = "they are large, and taken and given back with every launch")]
    idle: Mutex<Vec<Box<BlockState>>>,
    /// What earlier launches of the plain form cost.
    cost: Cost,
}

/// How a special register of a block is made.
#[derive(Clone, Copy)]
enum BlockPart {
    /// This value for all lanes.
    Uniform(u64),
    /// This value plus the linear lane.
    Linear(u64),
    /// This value plus the lane's index along an axis.
    Axis(u64, usize),
}

/// The part of a special register that changes from block to block; `None`: nothing does.
fn block_part(special: Special, launch: &Launch<'_>, block: u64) -> Option<BlockPart> {
    let axis = |s: Special, axis: usize| {
        let index = launch.special(s, block, 0);
        BlockPart::Axis(index * u64::from(launch.block[axis]), axis)
    };
    Some(match special {
        Special::BlockX | Special::BlockY | Special::BlockZ | Special::BlockLinear => {
            BlockPart::Uniform(launch.special(special, block, 0))
        }
        Special::GlobalX => axis(Special::BlockX, 0),
        Special::GlobalY => axis(Special::BlockY, 1),
        Special::GlobalZ => axis(Special::BlockZ, 2),
        Special::GlobalLinear => BlockPart::Linear(block * u64::from(launch.lanes())),
        _ => return None,
    })
}

/// Whether a special register of a lane is the same in every launch with blocks of this shape.
fn of_shape(special: Special) -> bool {
    use Special as S;
    let lane = matches!(special, S::LaneX | S::LaneY | S::LaneZ | S::LaneLinear);
    lane || matches!(special, S::SubgroupId | S::SubgroupLane)
}

/// What a worker needs to run blocks.
struct BlockState {
    lanes: [u32; 3],
    /// x, y and z of every lane (lanes that do not exist get numbers too: nobody sees them).
    positions: [Vec<u32>; 3],
    chunks: Vec<Chunk>,
    shared: Vec<u64>,
    native: Workspace,
    /// Whether what is the same in every launch is in the chunks' first frames.
    begun: bool,
    /// Whether the launch's constants are there too.
    ready: bool,
    plain: bool,
    /// In which order a schedule lets chunks run.
    choices: Choices,
    /// In a launch that is checked.
    check: Option<Box<BlockCheck>>,
}

impl Prepared for LanesKernel {
    fn has_checkers(&self) -> bool {
        true
    }
    fn run(&self, launch: &Launch<'_>) -> Result<(), LaneTrap> {
        let schedule = launch.schedule();
        let yields = schedule.is_some();
        let checked = launch.check.is_some();
        // With a schedule or checks, an operation more a basic block is no matter: forms without fuel are not made for them.
        let form = Form { fuel: launch.options.fuel.is_some() || yields || checked, yields, checked };
        let program = if form == Form::default() {
            &self.plain
        } else {
            self.others[usize::from(yields) + 2 * usize::from(checked)].get_or_init(|| {
                let kernel = &self.verified.module().kernels[self.kernel_index];
                decode::decode(kernel, self.verified.analysis(self.kernel_index), self.tier, form)
            })
        };
        let blocks = launch.blocks();
        let lanes = launch.lanes();
        let chunks = (lanes as usize).div_ceil(LANES);
        let threads = launch.threads();
        let get = || self.state(program, launch, form == Form::default());
        let all_chunks = blocks.saturating_mul(chunks as u64);
        let choice = self.cost.choose(program, launch, all_chunks);
        // Where there is one thread to run on, nothing is to be decided, and two looks at the clock are a tenth of a short launch.
        let begin = (form == Form::default() && threads > 1).then(Instant::now);
        let note = |threads: usize| {
            if let Some(begin) = begin {
                self.cost.note(&choice, all_chunks, begin.elapsed(), threads);
            }
        };
        let grain = if choice.cost < 2_000_000 { Grain::Short } else { Grain::Coarse };
        let states = StatePool { kernel: self, get: &get };
        if form == Form::default() && blocks > 1 {
            // One for each thread that may take part, now or in a later launch: which do is chance.
            let wanted = threads.min(usize::try_from(blocks).unwrap_or(threads)).min(IDLE);
            if self.idle.lock().len() < wanted {
                drop((0..wanted).map(|_| states.take()).collect::<Vec<_>>());
            }
        }
        if let Some(schedule) = schedule {
            return interleave::run(launch, program, schedule, chunks, &states);
        }
        // The checkers follow a block on one thread.
        if choice.alone || checked || blocks >= threads as u64 || chunks == 1 {
            let threads = if choice.alone { 1 } else { threads };
            run_blocks(
                launch,
                threads,
                grain,
                || states.take(),
                |s, block| s.get().run_block(program, launch, block, 1),
            )?;
            note(threads.min(usize::try_from(blocks).unwrap_or(threads)));
            return Ok(());
        }
        let mut state = states.take();
        (0..blocks).try_for_each(|block| state.get().run_block(program, launch, block, threads))?;
        note(threads.min(chunks));
        Ok(())
    }
}

/// States that a kernel keeps at most.
const IDLE: usize = 64;

/// Hands out states and takes them back.
struct StatePool<'a> {
    kernel: &'a LanesKernel,
    get: &'a (dyn Fn() -> Box<BlockState> + Sync),
}

struct Lent<'a> {
    kernel: &'a LanesKernel,
    state: Option<Box<BlockState>>,
}

impl<'a> StatePool<'a> {
    fn take(&self) -> Lent<'a> {
        Lent { kernel: self.kernel, state: Some((self.get)()) }
    }
}

impl Lent<'_> {
    fn get(&mut self) -> &mut BlockState {
        // Some until drop.
        self.state.get_or_insert_with(|| unreachable!("a lent state stays until it is given back"))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(mut s) = self.state.take().filter(|s| s.plain) {
            s.ready = false;
            let mut idle = self.kernel.idle.lock();
            // All idle ones have the same room, so that it makes no difference who does which part of the next launch.
            if let Some(other) = idle.first().filter(|o| o.native.bytes() != s.native.bytes()) {
                s.native.grow_as(&other.native);
                idle.iter_mut().for_each(|o| o.native.grow_as(&s.native));
            }
            if idle.len() < IDLE {
                idle.push(s);
            }
        }
    }
}

impl LanesKernel {
    /// A state with the launch's constants in place.
    fn state(&self, program: &Program, launch: &Launch<'_>, plain: bool) -> Box<BlockState> {
        let lanes = launch.lanes();
        let kept = if plain { self.idle.lock().pop() } else { None };
        let mut s = match kept {
            Some(s) if s.lanes == launch.block => s,
            _ => {
                let firsts = (0..lanes).step_by(LANES);
                let mut chunks: Vec<Chunk> = firsts
                    .map(|first| Chunk::new(program, first, (lanes - first).min(LANES as u32)))
                    .collect();
                let several = chunks.len() > 1 && program.has_block_ops;
                chunks.iter_mut().for_each(|c| c.track_decisions = several);
                let [x, y, _] = launch.block;
                let padded = || 0..(lanes.next_multiple_of(32));
                let positions = [
                    padded().map(|l| l % x).collect(),
                    padded().map(|l| l / x % y).collect(),
                    padded().map(|l| l / x / y).collect(),
                ];
                Box::new(BlockState {
                    lanes: launch.block,
                    positions,
                    chunks,
                    shared: Vec::new(),
                    native: Workspace::default(),
                    begun: false,
                    ready: false,
                    plain,
                    choices: Choices::default(),
                    check: launch.check.map(|c| Box::new(BlockCheck::new(launch, c.checks))),
                })
            }
        };
        let arrays = launch.kernel().shared.iter().enumerate();
        let words: u64 =
            arrays.map(|(i, a)| (launch.shared_elements(i) * a.elem.bytes() as u64).div_ceil(64) * 8).sum();
        s.shared.resize(words as usize, 0);
        s
    }
}

impl BlockState {
    /// Fills the slots whose values change with the launch (once) or the block.
    fn fill_slots(&mut self, program: &Program, launch: &Launch<'_>, block: u64) {
        let (first_launch, first_time) = (!self.begun, !self.ready);
        (self.begun, self.ready) = (true, true);
        for slot in &program.slots {
            match slot.source {
                Source::Imm(bits) if first_launch => {
                    self.chunks.iter_mut().for_each(|c| c.splat(slot.offset, slot.ty, bits));
                }
                Source::Param(p) if first_time => {
                    let bits = launch.scalar(p);
                    self.chunks.iter_mut().for_each(|c| c.splat(slot.offset, slot.ty, bits));
                }
                Source::Imm(_) | Source::Param(_) => {}
                Source::Special(special) => {
                    let Some(part) = block_part(special, launch, block) else {
                        if first_launch || (first_time && !of_shape(special)) {
                            self.fill_fixed(slot, special, launch);
                        }
                        continue;
                    };
                    let part = match slot.varying {
                        true => part,
                        false => BlockPart::Uniform(launch.special(special, block, 0)),
                    };
                    for c in &mut self.chunks {
                        let first = u64::from(c.first_lane);
                        let n = c.groups * 32;
                        match part {
                            BlockPart::Uniform(v) => c.splat(slot.offset, slot.ty, v),
                            BlockPart::Linear(v) => {
                                c.write_lanes(slot.offset, slot.ty, n, |i| v + first + i as u64)
                            }
                            BlockPart::Axis(v, axis) => {
                                let at = &self.positions[axis][first as usize..];
                                c.write_lanes(slot.offset, slot.ty, n, |i| v + u64::from(at[i]));
                            }
                        }
                    }
                }
            }
        }
    }

    /// A special register that is the same in every block.
    fn fill_fixed(&mut self, slot: &decode::Slot, special: Special, launch: &Launch<'_>) {
        for c in &mut self.chunks {
            if !slot.varying {
                c.splat(slot.offset, slot.ty, launch.special(special, 0, 0));
            } else {
                let (first, n) = (c.first_lane, c.groups * 32);
                c.write_lanes(slot.offset, slot.ty, n, |i| launch.special(special, 0, first + i as u32));
            }
        }
    }

    fn run_block(
        &mut self,
        program: &Program,
        launch: &Launch<'_>,
        block: u64,
        threads: usize,
    ) -> Result<(), LaneTrap> {
        self.begin(program, launch, block)?;
        self.with_env(program, launch, block, threads == 1, |state, env| {
            loop {
                state.run_chunks(env, threads);
                if state.pass(env)? {
                    return Ok(());
                }
            }
        })
    }

    /// Ready for the first interval of a block.
    fn begin(&mut self, program: &Program, launch: &Launch<'_>, block: u64) -> Result<(), LaneTrap> {
        launch.start_block(block)?;
        // Not for none: a masked store to no memory at all takes longer than an empty block.
        if !self.shared.is_empty() {
            self.shared.fill(0);
        }
        if let Some(schedule) = launch.schedule() {
            self.choices = schedule.choices(Purpose::Block(block));
        }
        let env = Env { launch, program, shared: &[], block };
        self.chunks.iter_mut().for_each(|c| c.start_block(&env));
        self.fill_slots(program, launch, block);
        if let Some(check) = &mut self.check {
            check.start_block(block);
        }
        Ok(())
    }

    /// Calls `f` with what the chunks of a block need to run; `alone`: on one thread.
    fn with_env<R>(
        &mut self,
        program: &Program,
        launch: &Launch<'_>,
        block: u64,
        alone: bool,
        f: impl FnOnce(&mut Self, &Env<'_>) -> R,
    ) -> R {
        let base = self.shared.as_mut_ptr();
        let mut at = 0usize;
        let arrays = launch.kernel().shared.iter().enumerate();
        let views = arrays.map(|(i, a)| {
            let len = launch.shared_elements(i);
            let first = at;
            at += (len * a.elem.bytes() as u64).div_ceil(64) as usize * 8;
            // SAFETY: `shared` was sized for all arrays in `state`, each starting at a multiple of 8 words of a word-aligned
            // allocation; it is not touched otherwise until `f` has returned, and arrays do not overlap.
            let view = unsafe { View::new(base.add(first).cast(), len, a.elem, true) };
            if alone { view.for_one_thread() } else { view }
        });
        let shared: Vec<View<'_>> = views.collect();
        f(self, &Env { launch, program, shared: &shared, block })
    }

    /// After an interval: what the block does between it and the next. True: the block has come to its end.
    fn pass(&mut self, env: &Env<'_>) -> Result<bool, LaneTrap> {
        let mut met = self.check(env);
        let missed = matches!(&met, Err(t) if t.kind == TrapKind::Sync);
        // The block is given up, and the launch goes on.
        let given_up = missed && self.tell_missed(env);
        if given_up {
            met = Ok(());
        }
        let at = match (&met, self.chunks[0].stop) {
            (Ok(()), Stop::At(at)) if !given_up => Some(at),
            _ => None,
        };
        if let (Some(check), Some(checker)) = (&mut self.check, env.launch.check) {
            match at {
                Some(_) => check.barrier(checker),
                None => check.end_block(checker),
            }
        }
        met?;
        let Some(at) = at else {
            let (launch, block) = (env.launch, env.block);
            let moved = env.program.uses_state;
            let phase = if moved { self.chunks[0].phase[0].into() } else { launch.phase_of_block(block) };
            launch.end_block(block, phase);
            return Ok(true);
        };
        let op = &env.program.codes[self.chunks[0].func as usize].ops[at as usize];
        self.block_operation(env, op)?;
        Ok(false)
    }

    /// Runs every chunk to its next stop, on several threads where the block has to itself.
    fn run_chunks(&mut self, env: &Env<'_>, threads: usize) {
        let n = self.chunks.len();
        let threads = threads.min(n);
        if threads <= 1 {
            let check = &mut self.check;
            return self.chunks.iter_mut().for_each(|c| c.run_with(check, env));
        }
        let order = match env.launch.schedule() {
            Some(_) => self.choices.order(n as u64),
            None => Order::ascending(n as u64),
        };
        let workers = |n: usize, task: Task<'_>| env.launch.workers.run(n, Grain::Short, task);
        let place = |i| order.at(i);
        share(&mut self.chunks, threads, place, workers, |chunk| {
            let _float_mode = FloatMode::nearest_with_denormals();
            chunk.run(env);
            while chunk.stop == Stop::Yielded {
                std::thread::yield_now();
                chunk.run(env);
            }
        });
    }

    /// After an interval: the lowest lane's trap, else a collective that lanes missed, else nothing.
    fn check(&self, env: &Env<'_>) -> Result<(), LaneTrap> {
        let traps = self.chunks.iter().filter_map(|c| c.trap.as_ref());
        if let Some(trap) = traps.min_by_key(|t| t.lane) {
            return Err(trap.clone());
        }
        let first = &self.chunks[0];
        let together =
            self.chunks.iter().all(|c| c.stop == first.stop && c.same_instance(first) && c.stuck.is_empty());
        if together || (self.chunks.iter().all(|c| c.stop == Stop::Done && c.stuck.is_empty())) {
            return Ok(());
        }
        Err(self.missed(env).0)
    }

    /// The report of a missed collective: at the lowest waiting lane, with the lanes that are not at the same instance; and where
    /// others wait, with the lowest lane there.
    fn missed(&self, env: &Env<'_>) -> (LaneTrap, Vec<(check::Site, u32)>) {
        struct Waiting {
            func: u16,
            inst: u32,
            lanes: Vec<u32>,
            scope: Option<Vec<u32>>,
            instance: (Vec<chunk::Region>, Vec<u32>),
            /// First lane of the last chunk with lanes here.
            chunk: u32,
        }
        let mut all: Vec<Waiting> = Vec::new();
        let mut add = |w: Waiting| {
            // Lanes of several chunks wait together where they are at the same instance; those of one chunk that are have
            // arrived together.
            let with = all.iter_mut().find(|o| {
                o.chunk != w.chunk
                    && w.scope.is_none()
                    && o.scope.is_none()
                    && (o.func, o.inst) == (w.func, w.inst)
                    && o.instance == w.instance
            });
            match with {
                Some(o) => {
                    o.lanes.extend(w.lanes);
                    o.chunk = w.chunk;
                }
                None => all.push(w),
            }
        };
        for c in &self.chunks {
            let number = |m: &mask::Mask| -> Vec<u32> { lanes_of(m).map(|l| c.first_lane + l).collect() };
            for s in &c.stuck {
                let scope = s.scope.as_ref().map(number);
                let instance = s.instance.clone();
                add(Waiting {
                    func: s.func,
                    inst: s.inst,
                    lanes: number(&s.lanes),
                    scope,
                    instance,
                    chunk: c.first_lane,
                });
            }
            if let Stop::At(at) = c.stop {
                let inst = env.program.codes[c.func as usize].ops[at as usize].inst;
                let (lanes, instance) = (number(&c.born), c.instance());
                add(Waiting { func: c.func, inst, lanes, scope: None, instance, chunk: c.first_lane });
            }
        }
        let block = env.block;
        all.sort_by_key(|w| w.lanes.iter().min().copied());
        let mut all = all.into_iter();
        let Some(mut w) = all.next() else {
            // Not reached: a miss has waiting lanes.
            let kind = TrapKind::Sync;
            let trap = LaneTrap { kind, func: 0, inst: 0, block, lane: 0, detail: TrapDetail::None };
            return (trap, Vec::new());
        };
        w.lanes.sort_unstable();
        let scope = w.scope.unwrap_or_else(|| (0..env.launch.lanes()).collect());
        let missing: Vec<u32> = scope.into_iter().filter(|l| !w.lanes.contains(l)).collect();
        let detail =
            TrapDetail::Missing { count: missing.len() as u32, lanes: missing.into_iter().take(8).collect() };
        let trap =
            LaneTrap { kind: TrapKind::Sync, func: w.func, inst: w.inst, block, lane: w.lanes[0], detail };
        let place = |w: Waiting| {
            let lane = w.lanes.iter().min().copied().unwrap_or(0);
            (check::Site { func: w.func, inst: w.inst }, lane)
        };
        (trap, all.map(place).collect())
    }

    /// Tells the checkers of a missed collective, where they look for those. False: it stays a trap.
    fn tell_missed(&self, env: &Env<'_>) -> bool {
        let Some(checker) = env.launch.check.filter(|c| c.checks.sync) else { return false };
        let (trap, elsewhere) = self.missed(env);
        let TrapDetail::Missing { lanes, count } = trap.detail else { return false };
        if let Some(check) = &self.check {
            let site = check::Site { func: trap.func, inst: trap.inst };
            check.missed(checker, (site, trap.lane), (lanes, count), elsewhere);
        }
        true
    }

    /// What the block does when all lanes have arrived.
    fn block_operation(&mut self, env: &Env<'_>, op: &decode::DOp) -> Result<(), LaneTrap> {
        match &env.program.block_ops[op.aux as usize] {
            BlockOp::Barrier => Ok(()),
            BlockOp::Reduce { ty, dest, uniform, combine } => {
                let mut values = self.chunks.iter().flat_map(|c| c.partial[..c.groups].iter().copied());
                let first = values.next().unwrap_or(0);
                let total = values.fold(first, combine);
                for c in &mut self.chunks {
                    c.fill(*dest, *ty, total, *uniform);
                }
                Ok(())
            }
            BlockOp::Native { op: native, words, places, packed, numbers } => {
                let site = Site { func: self.chunks[0].func, inst: op.inst, block: env.block };
                let (op, words, packed) = (*native, *words, *packed);
                let (places_of, numbers_of) = (places, numbers);
                let (mut places, mut numbers) = ([native::Place::default(); PLACES], [0u32; NUMBERS]);
                for (n, (slot, stride)) in numbers.iter_mut().zip(numbers_of) {
                    *n = self.uniform_value(*slot, *stride, Type::U32, site)? as u32;
                }
                for (p, mem) in places.iter_mut().zip(places_of) {
                    *p = self.place(mem, site)?;
                }
                let call = Call { op, words, places, packed, numbers };
                native::run(env.launch, &call, Body::Tier(env.program.tier), &mut self.native, site)
            }
        }
    }

    /// The one value that all lanes of the block have in a slot.
    fn uniform_value(&mut self, slot: Place, stride: u8, ty: Type, site: Site) -> Result<u64, LaneTrap> {
        let first = self.chunks[0].lane_value(slot, 0, ty);
        if self.chunks.len() == 1 && (stride == 0 || self.lanes == [1; 3]) {
            return Ok(first);
        }
        for c in &mut self.chunks {
            let born = c.born;
            let lanes = lanes_of(&born).take(if stride == 0 { 1 } else { LANES });
            for lane in lanes {
                if c.lane_value(slot, if stride == 0 { 0 } else { lane }, ty) != first {
                    let Site { func, inst, block } = site;
                    let detail = TrapDetail::None;
                    return Err(LaneTrap { kind: TrapKind::NotUniform, func, inst, block, lane: 0, detail });
                }
            }
        }
        Ok(first)
    }

    fn place(&mut self, m: &MemOperand, site: Site) -> Result<native::Place, LaneTrap> {
        let which = match m.which {
            None => 0,
            Some((slot, stride, ty)) => {
                let v = self.uniform_value(slot, stride, ty, site)?;
                extend(v, ty).max(-1) as u64
            }
        };
        let (slot, stride, ty) = m.index;
        let first = extend(self.uniform_value(slot, stride, ty, site)?, ty) + i128::from(m.disp);
        // A negative or huge place is beyond every buffer.
        Ok(native::Place { param: m.param, which, first: u64::try_from(first).unwrap_or(u64::MAX) })
    }
}

/// An index's exact value.
fn extend(bits: u64, ty: Type) -> i128 {
    match ty {
        Type::I32 => i128::from(bits as u32 as i32),
        Type::I64 => i128::from(bits as i64),
        _ => i128::from(bits),
    }
}

const _: () = assert!(GROUPS * 32 == LANES);
