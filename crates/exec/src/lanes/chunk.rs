//! A chunk: up to 128 lanes of a block that run in lockstep, with their registers, masks and reconvergence stack.
//!
//! Registers are structure-of-arrays: groups of 32 values (one group per subgroup). A uniform register is one group whose 32
//! values are equal, read with stride 0, so that one handler serves uniform and varying operands.

use super::decode::{Code, DOp, Flow, NO_JOIN, Place, Program};
use super::mask::{FULL, Mask, NONE, ONE_GROUP, and, and_not, any, bits, lanes_of, or};
use crate::check::BlockCheck;
use crate::launch::Launch;
use crate::pool::LaunchPool;
use crate::schedule::{Choices, Purpose};
use crate::trap::{LaneTrap, TrapDetail};
use crate::view::View;
use phalanx_isa::{TrapKind, Type, limits};

/// Subgroups of a chunk at most: 4 x 32 lanes. 64 to 128 lanes measured best for divergent code, whose finished lanes a larger
/// chunk drags along, and keep the registers of most kernels in the first-level cache.
pub(super) const GROUPS: usize = 4;
/// Lanes of a chunk at most.
pub(super) const LANES: usize = GROUPS * 32;

/// What waits on the reconvergence stack.
enum Entry {
    /// Lanes that go on at `pc` and wait for each other at `join`.
    Path { pc: u32, join: u32, mask: Mask, way: Way },
    /// A call: where its lanes go on once all have returned.
    Call { pc: u32, join: u32, mask: Mask, called: Mask, func: u16, frame: u32, call: u32 },
}

/// What lanes have decided in an open region, from a branch to where its ways meet: lanes are at the same instance of an
/// instruction only if these agree. The way through a region can be as long as the program runs; kept is a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    join: u32,
    depth: u32,
    way: u128,
}

/// The regions as they were at a branch: how many, and the fingerprint of the last. What is below the last does not change
/// before the lanes that take the branch have come to its end.
#[derive(Clone, Copy)]
struct Way {
    regions: u32,
    last: u128,
}

/// Why a chunk stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// At a block collective: the index of its operation.
    At(u32),
    /// Before an operation, or the first one: it goes on when its turn comes.
    Yielded,
    /// No lane is left.
    Done,
}

/// Lanes that wait at a collective which others missed.
pub(super) struct Stuck {
    pub(super) func: u16,
    pub(super) inst: u32,
    pub(super) lanes: Mask,
    /// The lanes that had to arrive; `None`: all lanes of the block.
    pub(super) scope: Option<Mask>,
    /// The instance: decisions and calls.
    pub(super) instance: (Vec<Region>, Vec<u32>),
}

/// What belongs to the block that the chunk's lanes run in, for the time of a run.
pub(super) struct Env<'a> {
    pub(super) launch: &'a Launch<'a>,
    pub(super) program: &'a Program,
    pub(super) shared: &'a [View<'a>],
    pub(super) block: u64,
}

impl Env<'_> {
    pub(super) fn pool(&self) -> &LaunchPool {
        &self.launch.pool
    }
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// The state of a chunk; everything in it is owned by the one thread that runs it.
pub(super) struct Chunk {
    /// First linear lane of the block.
    pub(super) first_lane: u32,
    /// Subgroups in use.
    pub(super) groups: usize,
    /// The lanes that exist (the last chunk of a block may be partial).
    pub(super) born: Mask,
    /// Born and not ended, trapped or stuck.
    pub(super) alive: Mask,
    /// Lanes that trapped in this interval: nobody waits for them.
    pub(super) trapped: Mask,
    /// Active now.
    pub(super) mask: Mask,
    pub(super) pc: u32,
    pub(super) func: u16,
    join: u32,
    depth: u32,
    frame: u32,
    stack: Vec<Entry>,
    regions: Vec<Region>,
    pub(super) track_decisions: bool,
    /// Frames of the calls under way; `frame` is where the current one's registers start.
    frames: Vec<Line>,
    private: Vec<Line>,
    /// The trap of the lowest lane so far.
    pub(super) trap: Option<LaneTrap>,
    pub(super) stuck: Vec<Stuck>,
    fuel_used: Vec<u64>,
    pub(super) phase: [u16; LANES],
    pub(super) pool_sequence: [u32; LANES],
    ticks: u32,
    /// Where the launch's schedule makes it stand back.
    choices: Choices,
    /// Per-subgroup partial results of a block reduction.
    pub(super) partial: [u64; GROUPS],
    /// A barrier was passed with this operation's arguments; used by the block.
    pub(super) stop: Stop,
    /// The checkers' state of the block, while this chunk runs in a launch that is checked.
    pub(super) check: Option<Box<BlockCheck>>,
}

/// A place in the frame that starts at `frame`, counted from the first frame.
fn within(frame: u32, place: Place) -> usize {
    (i64::from(frame) + i64::from(place)) as usize
}

impl Chunk {
    /// A chunk of `lanes` lanes from `first_lane` for kernels of this program.
    pub(super) fn new(program: &Program, first_lane: u32, lanes: u32) -> Chunk {
        let groups = (lanes as usize).div_ceil(32);
        let mut born = NONE;
        for i in 0..lanes as usize {
            born[i / 32] |= 1 << (i % 32);
        }
        let lines = |bytes: usize| vec![Line([0; 64]); bytes.div_ceil(64)];
        Chunk {
            first_lane,
            groups,
            born,
            alive: born,
            trapped: NONE,
            mask: born,
            pc: 0,
            func: 0,
            join: NO_JOIN,
            depth: 0,
            frame: program.constant_bytes,
            // What most nests of branches need, so that it is no matter which thread meets lanes that differ first.
            stack: Vec::with_capacity(8),
            regions: Vec::new(),
            track_decisions: false,
            frames: lines((program.constant_bytes + program.codes[0].frame_bytes) as usize),
            private: lines(program.private_bytes as usize),
            trap: None,
            stuck: Vec::new(),
            fuel_used: Vec::new(),
            phase: [0; LANES],
            pool_sequence: [0; LANES],
            ticks: 0,
            choices: Choices::default(),
            partial: [0; GROUPS],
            stop: Stop::Done,
            check: None,
        }
    }

    /// Ready for the first instruction of a block.
    pub(super) fn start_block(&mut self, env: &Env<'_>) {
        self.alive = self.born;
        self.mask = self.born;
        self.trapped = NONE;
        self.pc = 0;
        self.func = 0;
        self.join = NO_JOIN;
        self.depth = 0;
        self.frame = env.program.constant_bytes;
        self.stack.clear();
        self.regions.clear();
        self.trap = None;
        self.stuck.clear();
        self.stop = Stop::Yielded;
        if let Some(schedule) = env.launch.schedule() {
            self.choices = schedule.choices(Purpose::Chunk(env.block, self.first_lane));
        }
        if env.program.uses_state {
            self.phase = [env.launch.phase_of_block(env.block) as u16; LANES];
            self.pool_sequence = [0; LANES];
        }
        if !self.private.is_empty() {
            self.private.fill(Line([0; 64]));
        }
        if env.launch.options.fuel.is_some() {
            self.fuel_used.clear();
            self.fuel_used.resize(LANES, 0);
        }
    }

    /// The address of an operand.
    ///
    /// # Safety
    /// `place` is one that `decode` made for the running program and function, so that `place` plus the operand's size lies inside
    /// the current frame or the constants before it (see `enter`).
    #[inline(always)]
    pub(super) unsafe fn at<T>(&mut self, place: Place) -> *mut T {
        // SAFETY: in bounds by the contract above; `frames` is 64-byte aligned and frames and places are multiples of 64.
        unsafe {
            self.frames.as_mut_ptr().cast::<u8>().add(self.frame as usize).offset(place as isize).cast()
        }
    }

    /// The lane's private memory at a byte offset of the private area.
    ///
    /// # Safety
    /// `offset` plus the element size is inside the private area: an array's base from `decode` plus an index checked against
    /// its length.
    #[inline(always)]
    pub(super) unsafe fn private_at<T>(&mut self, offset: usize) -> *mut T {
        // SAFETY: by the contract.
        unsafe { self.private.as_mut_ptr().cast::<u8>().add(offset).cast() }
    }

    /// Writes a value's bits into all 32 places of a uniform slot before the frame (a predicate: true or false everywhere).
    pub(super) fn splat(&mut self, offset: Place, ty: Type, value: u64) {
        match ty {
            Type::Pred => {
                let all = if value != 0 { FULL } else { NONE };
                // SAFETY: `offset` is a predicate slot of the program that this chunk was made for.
                unsafe { *self.at::<Mask>(offset) = all };
            }
            _ => self.write_lanes(offset, ty, 32, |_| value),
        }
    }

    /// Writes the low bits of `value(i)` into the first `n` places of a slot before the frame that has as many.
    #[inline(always)]
    pub(super) fn write_lanes(&mut self, offset: Place, ty: Type, n: usize, value: impl Fn(usize) -> u64) {
        // SAFETY: `offset` is a slot of this type with room for `n` values (32 where uniform, LANES where not).
        unsafe {
            match ty.bytes() {
                1 => (0..n).for_each(|i| *self.at::<u8>(offset).add(i) = value(i) as u8),
                2 => (0..n).for_each(|i| *self.at::<u16>(offset).add(i) = value(i) as u16),
                4 => {
                    let to = self.at::<u32>(offset);
                    (0..n).for_each(|i| *to.add(i) = value(i) as u32);
                }
                _ => {
                    let to = self.at::<u64>(offset);
                    (0..n).for_each(|i| *to.add(i) = value(i));
                }
            }
        }
    }

    /// Reads a predicate operand.
    ///
    /// # Safety
    /// As [`Chunk::at`], for a predicate slot.
    #[inline(always)]
    pub(super) unsafe fn pred(&mut self, offset: Place) -> Mask {
        // SAFETY: by the contract.
        unsafe { *self.at::<Mask>(offset) }
    }

    /// Takes lanes out with a trap; the lowest lane's is kept.
    #[cold]
    pub(super) fn trap_lanes(
        &mut self,
        lanes: &Mask,
        env: &Env<'_>,
        inst: u32,
        kind: TrapKind,
        detail: TrapDetail,
    ) {
        let Some(lowest) = lanes_of(lanes).next() else { return };
        let lane = self.first_lane + lowest;
        if self.trap.as_ref().is_none_or(|t| lane < t.lane) {
            self.trap = Some(LaneTrap { kind, func: self.func, inst, block: env.block, lane, detail });
        }
        self.hold_back(lanes);
    }

    /// Takes lanes out that trapped, or that wait for some that did: no lane that misses them traps for it.
    pub(super) fn hold_back(&mut self, lanes: &Mask) {
        self.trapped = or(&self.trapped, lanes);
        self.remove(lanes);
    }

    fn remove(&mut self, lanes: &Mask) {
        self.alive = and_not(&self.alive, lanes);
        self.mask = and_not(&self.mask, lanes);
    }

    /// Takes arrived lanes out because others of their scope are missing. Where only trapped lanes are missing, nothing more
    /// is to be said: the trap is reported.
    #[cold]
    fn strand(&mut self, inst: u32, lanes: Mask, scope: Option<Mask>) {
        let instance = self.instance();
        self.stuck.push(Stuck { func: self.func, inst, lanes, scope, instance });
        self.remove(&lanes);
    }

    /// Goes on with the next path that has lanes. False: none is left.
    fn pop(&mut self, env: &Env<'_>) -> bool {
        while let Some(entry) = self.stack.pop() {
            match entry {
                Entry::Path { pc, join, mask, way } => {
                    self.mask = and(&mask, &self.alive);
                    self.pc = pc;
                    self.join = join;
                    self.return_to(way);
                }
                Entry::Call { pc, join, mask, called, func, frame, call } => {
                    let callee = self.frame;
                    self.mask = and(&mask, &self.alive);
                    self.pc = pc;
                    self.join = join;
                    self.func = func;
                    self.frame = frame;
                    self.depth -= 1;
                    let depth = self.depth;
                    while self.regions.last().is_some_and(|r| r.depth > depth) {
                        self.regions.pop();
                    }
                    let all = self.mask;
                    self.mask = and(&called, &self.alive);
                    self.copy_results(env.program, call, callee);
                    self.mask = all;
                }
            }
            if any(&self.mask) {
                return true;
            }
        }
        false
    }

    /// Copies 32-lane groups between frames under the mask.
    fn copy(&mut self, from: usize, to: usize, c: &super::decode::Copy) {
        let mask = self.mask;
        let frames = self.frames.as_mut_ptr().cast::<u8>();
        if c.to_uniform && !c.from_uniform {
            // One active lane's value for all: other lanes' may be anything.
            let Some(lane) = lanes_of(&mask).next() else { return };
            let lane = lane as usize;
            // SAFETY: slots of frames that `enter` made room for, `from` with an element per lane, `to` of 32 elements or one
            // mask.
            unsafe {
                if c.pred {
                    let word = *frames.add(from + lane / 32 * 4).cast::<u32>();
                    *frames.add(to).cast::<Mask>() = if word >> (lane % 32) & 1 != 0 { FULL } else { NONE };
                } else {
                    let from = frames.add(from + lane * c.size);
                    (0..32).for_each(|i| {
                        std::ptr::copy_nonoverlapping(from, frames.add(to + i * c.size), c.size);
                    });
                }
            }
            return;
        }
        if c.pred {
            for (g, w) in mask.iter().enumerate() {
                // SAFETY: both slots are predicate slots of frames that `enter` made room for.
                unsafe {
                    let src = *frames.add(from + g * 4).cast::<u32>();
                    let dst = frames.add(to + g * 4).cast::<u32>();
                    *dst = (*dst & !w) | (src & w);
                }
            }
            return;
        }
        let n = if c.to_uniform { 1 } else { self.groups };
        for g in 0..n {
            let w = if c.to_uniform { u32::MAX } else { mask[g] };
            let step = if c.from_uniform { 0 } else { g * 32 * c.size };
            for i in bits(w) {
                let at = i as usize * c.size;
                // SAFETY: both slots are register slots of `size`-byte elements of frames (or constants before them, `from`) that
                // `enter` made room for; they do not overlap, being of different frames.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        frames.add(from + step + at),
                        frames.add(to + g * 32 * c.size + at),
                        c.size,
                    );
                }
            }
        }
    }

    fn copy_results(&mut self, program: &Program, call: u32, callee: u32) {
        for c in &program.calls[call as usize].results {
            self.copy(within(callee, c.from), within(self.frame, c.to), c);
        }
    }

    /// Enters a function under `mask`. False: the depth limit is reached.
    fn enter(&mut self, env: &Env<'_>, call: u32, mask: Mask, op: &DOp) -> bool {
        if self.depth as usize >= limits::CALL_DEPTH {
            self.trap_lanes(&mask, env, op.inst, TrapKind::CallDepth, TrapDetail::None);
            return false;
        }
        let site = &env.program.calls[call as usize];
        let constants = env.program.constant_bytes;
        let frame = self.frame + env.program.codes[self.func as usize].frame_bytes + constants;
        let end = (frame + env.program.codes[site.func as usize].frame_bytes) as usize;
        if self.frames.len() * 64 < end {
            self.frames.resize(end.div_ceil(64), Line([0; 64]));
        }
        let lines = |to: u32| ((to - constants) / 64) as usize..(to / 64) as usize;
        self.frames.copy_within(lines(self.frame), lines(frame).start);
        // Lanes that do not call go on behind the call, together with those that return.
        self.stack.push(Entry::Call {
            pc: self.pc,
            join: self.join,
            mask: self.mask,
            called: mask,
            func: self.func,
            frame: self.frame,
            call,
        });
        self.mask = mask;
        for c in &site.args {
            self.copy(within(self.frame, c.from), within(frame, c.to), c);
        }
        self.depth += 1;
        self.frame = frame;
        self.func = site.func;
        self.pc = 0;
        self.join = NO_JOIN;
        true
    }

    /// Whether two chunks that stopped at the same operation are at the same instance of it.
    pub(super) fn same_instance(&self, other: &Chunk) -> bool {
        self.func == other.func && self.regions == other.regions && self.calls().eq(other.calls())
    }

    /// What tells the active lanes' instance of an instruction of this function from others.
    pub(super) fn instance(&self) -> (Vec<Region>, Vec<u32>) {
        (self.regions.clone(), self.calls().collect())
    }

    /// Where the calls that the active lanes are in go on.
    fn calls(&self) -> impl Iterator<Item = u32> + '_ {
        self.stack.iter().filter_map(|e| match e {
            Entry::Call { pc, .. } => Some(*pc),
            Entry::Path { .. } => None,
        })
    }

    /// The active lanes go on one way from a branch, or from a return that others took.
    fn decide(&mut self, branch: u32, join: u32, taken: bool) {
        if !self.track_decisions {
            return;
        }
        let depth = self.depth;
        if self.regions.last().is_none_or(|r| (r.join, r.depth) != (join, depth)) {
            self.regions.push(Region { join, depth, way: 0 });
        }
        if let Some(region) = self.regions.last_mut() {
            // One way so far and different decisions give different results, and so do different ways and one decision.
            let step = u128::from(branch) << 1 | u128::from(taken);
            let mixed = (region.way ^ (step + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            region.way = mixed ^ mixed >> 67;
        }
    }

    fn way(&self) -> Way {
        Way { regions: self.regions.len() as u32, last: self.regions.last().map_or(0, |r| r.way) }
    }

    fn return_to(&mut self, way: Way) {
        self.regions.truncate(way.regions as usize);
        if let Some(last) = self.regions.last_mut() {
            last.way = way.last;
        }
    }

    /// Runs until all lanes stopped at a block collective or ended, or others are to go first.
    pub(super) fn run(&mut self, env: &Env<'_>) {
        self.stop = self.run_inner(env);
    }

    /// As [`Chunk::run`], with the block's checkers in a launch that is checked.
    pub(super) fn run_with(&mut self, check: &mut Option<Box<BlockCheck>>, env: &Env<'_>) {
        std::mem::swap(&mut self.check, check);
        self.run(env);
        std::mem::swap(&mut self.check, check);
    }

    fn run_inner(&mut self, env: &Env<'_>) -> Stop {
        if !any(&self.mask) && !self.pop(env) {
            return Stop::Done;
        }
        'func: loop {
            let code: &Code = &env.program.codes[self.func as usize];
            let ops = &code.ops[..];
            loop {
                let mut at = self.pc as usize;
                let op = loop {
                    let op = &ops[at];
                    at += 1;
                    if op.flow != Flow::Plain {
                        break op;
                    }
                    let m = self.mask;
                    // SAFETY: `op` was decoded for this program and tier, whose features were detected when the executor was
                    // made; its operands' places belong to the running function.
                    if !unsafe { (op.run)(self, op, env, &m) } && !any(&self.mask) {
                        self.pc = at as u32;
                        if !self.pop(env) {
                            return Stop::Done;
                        }
                        continue 'func;
                    }
                };
                self.pc = at as u32;
                let m = if op.guard == DOp::NO_GUARD {
                    self.mask
                } else {
                    // SAFETY: the guard is a predicate slot of the running function.
                    let p = unsafe { self.pred(op.guard) };
                    if op.negate { and_not(&self.mask, &p) } else { and(&self.mask, &p) }
                };
                match op.flow {
                    Flow::Plain | Flow::Next => {
                        if op.guard != DOp::NO_GUARD && !any(&m) {
                            continue;
                        }
                        let m = if op.uniform { ONE_GROUP } else { m };
                        // SAFETY: as for Flow::Plain.
                        if unsafe { (op.run)(self, op, env, &m) } || any(&self.mask) {
                            continue;
                        }
                        if !self.pop(env) {
                            return Stop::Done;
                        }
                        continue 'func;
                    }
                    Flow::Jump => {
                        self.pc = op.target;
                        if op.back && op.join == NO_JOIN {
                            // No branch may tell the rounds of such a loop apart.
                            self.decide(op.inst, NO_JOIN, true);
                        }
                        if op.back && self.cancelled(env, op) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::BranchUniform => {
                        self.decide(op.inst, op.join, any(&m));
                        if any(&m) {
                            self.pc = op.target;
                            if op.back && self.cancelled(env, op) {
                                if !self.pop(env) {
                                    return Stop::Done;
                                }
                                continue 'func;
                            }
                        }
                    }
                    Flow::Branch => {
                        if op.back && self.cancelled(env, op) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                        if m == self.mask {
                            self.decide(op.inst, op.join, true);
                            self.pc = op.target;
                        } else if !any(&m) {
                            self.decide(op.inst, op.join, false);
                        } else {
                            self.split(op, m);
                        }
                    }
                    Flow::Join => {
                        let here = self.pc - 1;
                        if self.join == here && !self.stack.is_empty() {
                            // These lanes wait; the others of their branch come, or all go on together.
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                        let depth = self.depth;
                        while self.regions.last().is_some_and(|r| r.join == here && r.depth == depth) {
                            self.regions.pop();
                        }
                    }
                    Flow::Fuel => {
                        if let Some(limit) = env.launch.options.fuel {
                            let mut out = NONE;
                            for lane in lanes_of(&self.mask) {
                                let used = &mut self.fuel_used[lane as usize];
                                *used = used.saturating_add(u64::from(op.target));
                                if *used > limit {
                                    out[lane as usize / 32] |= 1 << (lane % 32);
                                }
                            }
                            if any(&out) {
                                self.trap_lanes(&out, env, op.inst, TrapKind::Fuel, TrapDetail::None);
                                if !any(&self.mask) {
                                    if !self.pop(env) {
                                        return Stop::Done;
                                    }
                                    continue 'func;
                                }
                            }
                        }
                    }
                    Flow::Yield => {
                        if self.choices.one_in(2) {
                            return Stop::Yielded;
                        }
                    }
                    Flow::Call => {
                        if any(&m) {
                            self.enter(env, op.target, m, op);
                            if !any(&self.mask) && !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::Return => {
                        // Returned lanes wait in the call's entry; without one this is the kernel's body and they end.
                        if self.depth == 0 {
                            self.alive = and_not(&self.alive, &m);
                        }
                        self.mask = and_not(&self.mask, &m);
                        // A return from a function is a way to its end; lanes that end are nobody's other way.
                        if self.depth > 0 {
                            self.decide(op.inst, NO_JOIN, false);
                        }
                        if !any(&self.mask) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::Exit => {
                        self.remove(&m);
                        if !any(&self.mask) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::Trap => {
                        self.trap_lanes(
                            &m,
                            env,
                            op.inst,
                            TrapKind::User,
                            TrapDetail::Value(op.target.into()),
                        );
                        if !any(&self.mask) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::Subgroup => {
                        let whole = self.check_subgroups(op.inst);
                        if whole {
                            let members = and(&m, &self.mask);
                            // SAFETY: as for Flow::Plain.
                            unsafe { (op.run)(self, op, env, &members) };
                        }
                        if !any(&self.mask) {
                            if !self.pop(env) {
                                return Stop::Done;
                            }
                            continue 'func;
                        }
                    }
                    Flow::Block => {
                        if m != self.born {
                            // Some lane is not here; the lanes whose guard is false go on without.
                            if any(&m) {
                                self.strand(op.inst, m, None);
                            }
                            if !any(&self.mask) {
                                if !self.pop(env) {
                                    return Stop::Done;
                                }
                                continue 'func;
                            }
                            continue;
                        }
                        // SAFETY: as for Flow::Plain; a reduction leaves its partial results, a barrier does nothing.
                        unsafe { (op.run)(self, op, env, &m) };
                        return Stop::At(self.pc - 1);
                    }
                }
            }
        }
    }

    /// Splits the active lanes at a branch: those of `taken` go to the target first, the others after them, and all wait for
    /// each other at the branch's join.
    fn split(&mut self, op: &DOp, taken: Mask) {
        let rest = and_not(&self.mask, &taken);
        let before = self.way();
        // Where the current path already waits at the same join, its entry below holds these lanes: nothing new to wait for.
        if self.join != op.join && op.join != NO_JOIN {
            self.stack.push(Entry::Path { pc: op.join, join: self.join, mask: self.mask, way: before });
        }
        let fall = self.pc;
        match (op.target == op.join, fall == op.join) {
            // The taken lanes are at the join already.
            (true, _) => {
                self.mask = rest;
                self.pc = fall;
                self.decide(op.inst, op.join, false);
            }
            (false, true) => {
                self.mask = taken;
                self.pc = op.target;
                self.decide(op.inst, op.join, true);
            }
            (false, false) => {
                self.decide(op.inst, op.join, false);
                let way = self.way();
                self.stack.push(Entry::Path { pc: fall, join: op.join, mask: rest, way });
                self.return_to(before);
                self.mask = taken;
                self.pc = op.target;
                self.decide(op.inst, op.join, true);
            }
        }
        self.join = op.join;
    }

    /// Polls the cancel token now and then; true if the lanes were taken out.
    #[inline]
    fn cancelled(&mut self, env: &Env<'_>, op: &DOp) -> bool {
        self.ticks = self.ticks.wrapping_add(1);
        if !self.ticks.is_multiple_of(256) || !env.launch.is_cancelled() {
            return false;
        }
        let m = self.mask;
        self.trap_lanes(&m, env, op.inst, TrapKind::Cancelled, TrapDetail::None);
        true
    }

    /// Whether every subgroup with an active lane is complete; strands the lanes of those that are not and goes on with the
    /// rest. False: no lane is left.
    fn check_subgroups(&mut self, inst: u32) -> bool {
        for g in 0..self.groups {
            let (here, born) = (self.mask[g], self.born[g]);
            if here != 0 && here != born {
                let mut lanes = NONE;
                lanes[g] = here;
                let mut scope = NONE;
                scope[g] = born;
                self.strand(inst, lanes, Some(scope));
            }
        }
        any(&self.mask)
    }
}

impl Chunk {
    /// Writes a block's result into a register of all lanes.
    pub(super) fn fill(&mut self, dest: Place, ty: Type, bits: u64, uniform: bool) {
        let groups = if uniform { 1 } else { self.groups };
        self.write_lanes(dest, ty, groups * 32, |_| bits);
    }

    /// A lane's value in a slot, `lane` counted in the chunk.
    pub(super) fn lane_value(&mut self, slot: Place, lane: u32, ty: Type) -> u64 {
        let lane = lane as usize;
        // SAFETY: a slot of the running function (or before it) of this type; uniform slots are read at lane 0 only.
        unsafe {
            match ty.bytes() {
                1 => (*self.at::<u8>(slot).add(lane)).into(),
                2 => (*self.at::<u16>(slot).add(lane)).into(),
                4 => (*self.at::<u32>(slot).add(lane)).into(),
                _ => *self.at::<u64>(slot).add(lane),
            }
        }
    }
}
