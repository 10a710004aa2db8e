//! One lane: its state, and what each instruction does to it.

use super::observe::{Access, How, Observer, PoolAccess};
use super::path::Path;
use super::semantics::eval;
use crate::launch::Launch;
use crate::resonance::{Floats, Fraction, FrontLoop, LaunchResonance};
use crate::trap::{LaneTrap, TrapDetail};
use crate::view::{View, canonical_bits};
use phalanx_atlas::{PHASES, Phase, PhaseWindow};
use phalanx_isa::*;
use phalanx_simd::tier::Tier;
use phalanx_verify::{KernelAnalysis, Scope as Lanes, collective};
use std::sync::atomic::Ordering;

/// What all lanes of a block see.
pub struct Context<'b> {
    pub launch: &'b Launch<'b>,
    pub kernel: &'b Kernel,
    pub analysis: &'b KernelAnalysis,
    pub block: u64,
    /// The block's shared arrays.
    pub shared: Vec<View<'b>>,
    pub observer: Option<&'b dyn Observer>,
}

/// An activation of a function.
pub struct Frame {
    pub func: u16,
    /// The instruction where the lane is; in the frames below the last, the call.
    pub at: u32,
    pub path: Path,
    regs: Vec<u64>,
    preds: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Running,
    /// At a collective instruction; whether its guard holds.
    Waiting {
        member: bool,
    },
    Ended,
    Trapped(LaneTrap),
}

pub struct Lane {
    /// Linear in the block.
    pub number: u32,
    pub frames: Vec<Frame>,
    pub state: State,
    /// Private arrays, aligned to words.
    private: Vec<Vec<u64>>,
    fuel_used: u64,
    phase: Phase,
    pool_allocations: u32,
}

/// Where and why, without the place, which the lane knows.
type Step<T> = Result<T, (TrapKind, TrapDetail)>;

fn plain(kind: TrapKind) -> (TrapKind, TrapDetail) {
    (kind, TrapDetail::None)
}

/// What a trap of a pure operation can say beyond its kind.
pub fn alu_detail(kind: TrapKind, sources: &[u64]) -> TrapDetail {
    match (kind, sources) {
        (TrapKind::BadClass, [class, ..]) => TrapDetail::Value(*class),
        (TrapKind::BadNeighbour, [_, i]) => TrapDetail::Value(*i),
        (TrapKind::BadPhi, [c, p, b]) => TrapDetail::Text(format!("class {c}, page {p}, byte {b}")),
        _ => TrapDetail::None,
    }
}

fn keep(ty: Type, bits: u64) -> u64 {
    bits & (u64::MAX >> (64 - ty.bits()))
}

impl Frame {
    fn new(kernel: &Kernel, func: u16) -> Frame {
        let f = &kernel.funcs[func as usize];
        Frame {
            func,
            at: 0,
            path: Path::default(),
            regs: vec![0; f.regs.len()],
            preds: vec![false; f.preds.len()],
        }
    }
    fn set(&mut self, dest: &Operand, bits: u64) {
        match dest {
            Operand::Reg(r) => self.regs[*r as usize] = bits,
            Operand::Pred(p) => self.preds[*p as usize] = bits != 0,
            _ => {}
        }
    }
}

/// The type of a function's register or predicate.
fn place_type(func: &Func, place: &Operand) -> Type {
    match place {
        Operand::Reg(r) => func.regs[*r as usize].as_ref().map_or(Type::U64, |r| r.ty),
        _ => Type::Pred,
    }
}

/// The type of an instruction's operand, by its position.
pub fn arg_type(inst: &Inst, arg: usize) -> Type {
    match inst.op.info().args[arg].ty {
        ArgType::T => inst.ty,
        ArgType::S => inst.ty2,
        ArgType::Is(t) => Some(t),
        ArgType::None => None,
    }
    .unwrap_or(Type::U64)
}

impl Lane {
    pub fn new(ctx: &Context<'_>, number: u32) -> Lane {
        let words = |a: &Array| vec![0; (a.len.unwrap_or(0) as usize * a.elem.bytes()).div_ceil(8)];
        let start = ctx.launch.phase_of_block(ctx.block) % u32::from(PHASES);
        let mut lane = Lane {
            number,
            frames: vec![Frame::new(ctx.kernel, 0)],
            state: State::Running,
            private: ctx.kernel.private.iter().map(words).collect(),
            fuel_used: 0,
            phase: Phase::new(start as u16).unwrap_or_default(),
            pool_allocations: 0,
        };
        if let Err((kind, detail)) = lane.enter(ctx, 0) {
            lane.fail(ctx, kind, detail);
        }
        lane
    }

    /// The phase.
    pub fn phase(&self) -> u32 {
        self.phase.get().into()
    }

    pub fn frame(&self) -> &Frame {
        // Only the kernel's body is left in place when a lane ends: there is always one.
        &self.frames[self.frames.len() - 1]
    }
    fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }
    pub fn inst<'b>(&self, ctx: &Context<'b>) -> &'b Inst {
        &ctx.kernel.funcs[self.frame().func as usize].code[self.frame().at as usize]
    }

    /// Whether both stand at the same dynamic instance of an instruction.
    pub fn is_with(&self, other: &Lane) -> bool {
        let place = |f: &Frame, g: &Frame| f.func == g.func && f.at == g.at && f.path == g.path;
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(f, g)| place(f, g))
    }

    /// The lane's trap, at its present instruction.
    pub fn trap(&self, ctx: &Context<'_>, kind: TrapKind, detail: TrapDetail) -> LaneTrap {
        let Frame { func, at, .. } = *self.frame();
        LaneTrap { kind, func, inst: at, block: ctx.block, lane: self.number, detail }
    }

    /// Turns a failed step into the lane's end.
    pub fn fail(&mut self, ctx: &Context<'_>, kind: TrapKind, detail: TrapDetail) {
        self.state = State::Trapped(self.trap(ctx, kind, detail));
    }

    /// Runs until the lane ends, traps or comes to a collective instruction.
    pub fn run(&mut self, ctx: &Context<'_>) {
        while self.state == State::Running {
            if let Err((kind, detail)) = self.step(ctx) {
                self.fail(ctx, kind, detail);
            }
        }
    }

    /// Goes on behind a collective instruction that has been carried out.
    pub fn resume(&mut self, ctx: &Context<'_>) {
        self.state = State::Running;
        if let Err((kind, detail)) = self.next(ctx) {
            self.fail(ctx, kind, detail);
        }
    }

    /// Writes the destination of the present instruction.
    pub fn set(&mut self, dest: &Operand, bits: u64) {
        self.frame_mut().set(dest, bits);
    }

    /// The bits of a source operand of a type.
    pub fn value(&self, ctx: &Context<'_>, operand: &Operand, ty: Type) -> u64 {
        match operand {
            Operand::Reg(r) => self.frame().regs[*r as usize],
            Operand::Pred(p) => self.frame().preds[*p as usize].into(),
            Operand::Imm(bits) => *bits,
            Operand::Special(s) => keep(ty, ctx.launch.special(*s, ctx.block, self.number)),
            Operand::Param(p) => ctx.launch.scalar(*p),
            // No values; the validator lets none of them stand for one.
            Operand::Mem(_)
            | Operand::Object(_)
            | Operand::Label(_)
            | Operand::Func(_)
            | Operand::List(_) => 0,
        }
    }

    /// The bits of an instruction's operand, by its position.
    pub fn arg(&self, ctx: &Context<'_>, inst: &Inst, arg: usize) -> u64 {
        self.value(ctx, &inst.args[arg], arg_type(inst, arg))
    }

    /// An index operand as the exact integer it stands for.
    fn integer(&self, ctx: &Context<'_>, operand: &Operand) -> i128 {
        let ty = match operand {
            Operand::Reg(_) => place_type(&ctx.kernel.funcs[self.frame().func as usize], operand),
            Operand::Param(p) => match ctx.kernel.params[*p as usize].kind {
                ParamKind::Scalar(t) => t,
                _ => Type::U64,
            },
            _ => Type::U64,
        };
        super::prims::int(ty, self.value(ctx, operand, ty))
    }

    /// Which buffer of an array of buffers, and which element: exact, not yet checked.
    pub fn address(&self, ctx: &Context<'_>, mem: &Mem) -> (i128, i128) {
        let which = mem.which.as_ref().map_or(0, |w| self.integer(ctx, w));
        (which, self.integer(ctx, &mem.index) + i128::from(mem.disp))
    }

    /// Accesses a memory element, gives the bits loaded or stored, and tells the observer.
    fn access(
        &mut self,
        ctx: &Context<'_>,
        operand: &Operand,
        how: How,
        act: impl FnOnce(&View<'_>, u64) -> Option<u64>,
    ) -> Step<u64> {
        let result = self.access_unseen(ctx, operand, act);
        self.tell(ctx, operand, how, result)
    }

    /// Tells the observer what came of an access; what goes on of it.
    fn tell(&self, ctx: &Context<'_>, operand: &Operand, how: How, result: Step<u64>) -> Step<u64> {
        let (Some(observer), Operand::Mem(mem)) = (ctx.observer, operand) else { return result };
        let (which, index) = self.address(ctx, mem);
        let Frame { func, at, .. } = *self.frame();
        let bits = *result.as_ref().unwrap_or(&0);
        let (block, lane, base) = (ctx.block, self.number, mem.base);
        let access = Access { block, lane, site: (func, at), base, which, index, how, bits };
        match result {
            Ok(bits) => {
                observer.access(access);
                Ok(bits)
            }
            Err(_) if observer.outside(access) => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Finds a memory element, checks it and accesses it.
    fn access_unseen(
        &mut self,
        ctx: &Context<'_>,
        operand: &Operand,
        act: impl FnOnce(&View<'_>, u64) -> Option<u64>,
    ) -> Step<u64> {
        let Operand::Mem(mem) = operand else { return Err(plain(TrapKind::OutOfBounds)) };
        let (which, index) = self.address(ctx, mem);
        let outside = |index, len| (TrapKind::OutOfBounds, TrapDetail::Index { base: mem.base, index, len });
        let of_lane;
        let view = match mem.base {
            Base::Param(p) => {
                let found = u64::try_from(which).ok().and_then(|w| ctx.launch.view(p, w));
                let count = match ctx.kernel.params[p as usize].kind {
                    ParamKind::Buffer { count: Some(n), .. } => n.into(),
                    _ => 1,
                };
                found.ok_or(outside(which, count))?
            }
            Base::Shared(a) => &ctx.shared[a as usize],
            Base::Private(a) => {
                let array = &ctx.kernel.private[a as usize];
                of_lane = View::of_words(&mut self.private[a as usize], array.len.unwrap_or(0), array.elem);
                &of_lane
            }
        };
        let at = u64::try_from(index).ok().filter(|i| *i < view.len()).ok_or(outside(index, view.len()))?;
        act(view, at).ok_or(outside(index, view.len()))
    }

    /// To the instruction behind the present one.
    fn next(&mut self, ctx: &Context<'_>) -> Step<()> {
        self.go(ctx, self.frame().at + 1)
    }

    /// To an instruction of the same function, by falling into it or by a branch.
    fn go(&mut self, ctx: &Context<'_>, to: u32) -> Step<()> {
        let cfg = &ctx.analysis.funcs[self.frame().func as usize].cfg;
        let at = self.frame().at;
        let from_block = cfg.block_of(at);
        if at + 1 < cfg.blocks[from_block as usize].end {
            self.frame_mut().at = to;
            return Ok(());
        }
        let to_block = cfg.block_of(to);
        if cfg.is_back_edge(from_block, to_block) && ctx.launch.is_cancelled() {
            return Err(plain(TrapKind::Cancelled));
        }
        self.frame_mut().path.pass(from_block, cfg.ipdom(from_block), to_block);
        self.enter(ctx, to)
    }

    /// Comes to the first instruction of a block and pays for the block.
    fn enter(&mut self, ctx: &Context<'_>, to: u32) -> Step<()> {
        self.frame_mut().at = to;
        let cfg = &ctx.analysis.funcs[self.frame().func as usize].cfg;
        let cost = cfg.blocks[cfg.block_of(to) as usize].cost();
        match ctx.launch.options.fuel {
            Some(budget) if cost > budget - self.fuel_used => Err(plain(TrapKind::Fuel)),
            _ => {
                self.fuel_used = self.fuel_used.saturating_add(cost);
                Ok(())
            }
        }
    }

    fn call(&mut self, ctx: &Context<'_>, inst: &Inst) -> Step<()> {
        if self.frames.len() > limits::CALL_DEPTH {
            return Err(plain(TrapKind::CallDepth));
        }
        let [Operand::List(_), Operand::Func(f), Operand::List(sources)] = &inst.args[..] else {
            return Ok(());
        };
        let callee = &ctx.kernel.funcs[*f as usize];
        let mut frame = Frame::new(ctx.kernel, *f);
        for (place, source) in callee.params.iter().zip(sources) {
            frame.set(place, self.value(ctx, source, place_type(callee, place)));
        }
        self.frames.push(frame);
        self.enter(ctx, 0)
    }

    fn ret(&mut self, ctx: &Context<'_>) -> Step<()> {
        if self.frames.len() == 1 {
            self.state = State::Ended;
            return Ok(());
        }
        let callee = &ctx.kernel.funcs[self.frame().func as usize];
        let results: Vec<u64> =
            callee.results.iter().map(|r| self.value(ctx, r, place_type(callee, r))).collect();
        self.frames.pop();
        if let Some(Operand::List(places)) = self.inst(ctx).args.first() {
            places.iter().zip(results).for_each(|(place, bits)| self.set(place, bits));
        }
        self.next(ctx)
    }

    /// One instruction.
    fn step(&mut self, ctx: &Context<'_>) -> Step<()> {
        let inst = self.inst(ctx);
        let active = inst.guard.is_none_or(|g| self.frame().preds[g.pred as usize] != g.negate);
        // A lane whose guard does not hold still arrives at an operation of the subgroup, as no member.
        if active || collective(inst) == Some(Lanes::Subgroup) {
            self.execute(ctx, inst, active)
        } else {
            self.next(ctx)
        }
    }

    fn execute(&mut self, ctx: &Context<'_>, inst: &Inst, active: bool) -> Step<()> {
        let launch = ctx.launch;
        let ty = inst.ty.unwrap_or(Type::U32);
        match inst.op {
            Op::Mov
            | Op::Sel
            | Op::Cvt
            | Op::Bitcast
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Mulhi
            | Op::Div
            | Op::Rem
            | Op::Min
            | Op::Max
            | Op::Abs
            | Op::Neg
            | Op::Mad
            | Op::Fma
            | Op::Addsat
            | Op::Subsat
            | Op::Floor
            | Op::Ceil
            | Op::Trunc
            | Op::Rint
            | Op::And
            | Op::Or
            | Op::Xor
            | Op::Not
            | Op::Shl
            | Op::Shr
            | Op::Rotl
            | Op::Popc
            | Op::Clz
            | Op::Ctz
            | Op::Brev
            | Op::Set
            | Op::Sqrt
            | Op::Rsqrt
            | Op::Rcp
            | Op::Exp
            | Op::Exp2
            | Op::Log
            | Op::Log2
            | Op::Log10
            | Op::Pow
            | Op::Sin
            | Op::Cos
            | Op::Tan
            | Op::Tanh
            | Op::Sigmoid
            | Op::Erf
            | Op::Fold
            | Op::ClsOf
            | Op::ClsMirror
            | Op::NbrCount
            | Op::NbrGet
            | Op::UnityTest
            | Op::PhiAddr => {
                let result = self.alu(ctx, inst)?;
                if inst.op == Op::PhiAddr {
                    launch.options.claims.check_boundary(result as u32).map_err(broken_claim)?;
                }
                self.set(&inst.args[0], result);
            }

            Op::Ld => {
                let bits = self.access(ctx, &inst.args[1], LOADS, |v, i| v.load(i))?;
                self.set(&inst.args[0], bits);
            }
            Op::St => {
                let bits = canonical_bits(ty, self.arg(ctx, inst, 1));
                self.access(ctx, &inst.args[0], STORES, |v, i| v.store(i, bits).map(|()| bits))?;
            }
            Op::Aload => {
                let acquire = inst.modes[1] as u16 == LoadOrder::Acquire.code();
                let order = if acquire { Ordering::Acquire } else { Ordering::Relaxed };
                let how = How { atomic: true, acquires: acquire, ..LOADS };
                let bits = self.access(ctx, &inst.args[1], how, |v, i| v.load_ordered(i, order))?;
                self.set(&inst.args[0], bits);
            }
            Op::Astore => {
                let release = inst.modes[1] as u16 == StoreOrder::Release.code();
                let order = if release { Ordering::Release } else { Ordering::Relaxed };
                let bits = self.arg(ctx, inst, 1);
                let how = How { atomic: true, releases: release, ..STORES };
                let store = |v: &View<'_>, i| v.store_ordered(i, bits, order).map(|()| bits);
                self.access(ctx, &inst.args[0], how, store)?;
            }
            Op::Atom => {
                let old = self.atomic(ctx, inst, 1)?;
                self.set(&inst.args[0], old);
            }
            Op::Red => {
                self.atomic(ctx, inst, 0)?;
            }
            Op::Cas => {
                let order = Order::from_code(inst.modes[1].into()).unwrap_or(Order::AcqRel);
                let (expected, new) = (self.arg(ctx, inst, 2), self.arg(ctx, inst, 3));
                let exchange = |v: &View<'_>, i| v.compare_exchange(i, expected, new, order);
                let result = self.access_unseen(ctx, &inst.args[1], exchange);
                let fails = result.as_ref().is_ok_and(|old| *old != keep(ty, expected));
                let old = self.tell(ctx, &inst.args[1], How { fails, ..updates(order) }, result)?;
                self.set(&inst.args[0], old);
            }
            Op::Len => {
                let len = match inst.args[1] {
                    Operand::Object(Base::Param(p)) => launch.view(p, 0).map_or(0, View::len),
                    Operand::Object(Base::Shared(a)) => ctx.shared[a as usize].len(),
                    Operand::Object(Base::Private(a)) => ctx.kernel.private[a as usize].len.unwrap_or(0),
                    _ => 0,
                };
                self.set(&inst.args[0], keep(ty, len));
            }
            Op::PoolAlloc => {
                let n = self.arg(ctx, inst, 1);
                let me = launch.special(Special::GlobalLinear, ctx.block, self.number);
                let handle = launch.pool.alloc(me, self.pool_allocations, ty, n);
                self.pool_allocations = self.pool_allocations.saturating_add(1);
                self.set(&inst.args[0], handle.map_err(|kind| (kind, TrapDetail::Value(n)))?);
            }
            Op::PoolFree => {
                let handle = self.arg(ctx, inst, 0);
                let freed = launch.pool.free(handle).map(|()| 0);
                self.pool_access(ctx, freed, (handle, None), true)?;
            }
            Op::PoolLd => {
                let (handle, i) = (self.arg(ctx, inst, 1), self.arg(ctx, inst, 2));
                let bits =
                    self.pool_access(ctx, launch.pool.load(handle, ty, i), (handle, Some(i)), false)?;
                self.set(&inst.args[0], bits);
            }
            Op::PoolSt => {
                let (handle, i) = (self.arg(ctx, inst, 0), self.arg(ctx, inst, 1));
                let bits = canonical_bits(ty, self.arg(ctx, inst, 2));
                let stored = launch.pool.store(handle, ty, i, bits).map(|()| bits);
                self.pool_access(ctx, stored, (handle, Some(i)), true)?;
            }

            Op::Nop => {}
            Op::Bra => return self.branch(ctx, &inst.args[0]),
            Op::Loop => {
                let left = super::prims::wrap(ty, i128::from(self.arg(ctx, inst, 0)) - 1);
                self.set(&inst.args[0], left);
                if left != 0 {
                    return self.branch(ctx, &inst.args[1]);
                }
            }
            Op::Call => return self.call(ctx, inst),
            Op::Ret => return self.ret(ctx),
            Op::Exit => {
                self.state = State::Ended;
                return Ok(());
            }
            Op::Trap => return Err((TrapKind::User, TrapDetail::Value(self.arg(ctx, inst, 0)))),
            // Acquire and release by one atomic update of a word of the launch: what a race detector understands, too.
            Op::Fence => {
                launch.fence.fetch_add(0, Ordering::AcqRel);
                if let Some(observer) = ctx.observer {
                    let scope = Scope::from_code(inst.modes[0].into()).unwrap_or(Scope::Grid);
                    observer.fence(ctx.block, self.number, scope);
                }
            }

            Op::ClsGet => self.set(&inst.args[0], launch.class_of_block(ctx.block).into()),
            Op::PhaseGet => self.set(&inst.args[0], self.phase.get().into()),
            Op::PhaseAdv => {
                self.phase = self.phase.advance(self.arg(ctx, inst, 0) as u16);
                launch.options.claims.check_phase(self.phase()).map_err(broken_claim)?;
            }
            Op::ResAccumI64 | Op::ResAccumF64 | Op::ResTestI64 | Op::ResTestF64 => {
                self.resonate(ctx, inst)?
            }
            Op::PhaseIn => {
                let begin = (self.arg(ctx, inst, 1) % u64::from(PHASES)) as u16;
                let span = self.arg(ctx, inst, 2).min(PHASES.into()) as u16;
                let window = PhaseWindow { begin: Phase::new(begin).unwrap_or_default(), span };
                self.set(&inst.args[0], self.phase.is_in(window).into());
            }

            Op::Bar
            | Op::Shfl
            | Op::Bcast
            | Op::Vote
            | Op::Ballot
            | Op::Sreduce
            | Op::Scan
            | Op::Reduce
            | Op::MatmulT2
            | Op::QuantRows
            | Op::MatmulQ
            | Op::LinearQ
            | Op::MatmulF
            | Op::LinearF
            | Op::MatmulB
            | Op::Attend
            | Op::Conv2dSum
            | Op::Conv2dQ
            | Op::Conv2dF => {
                self.state = State::Waiting { member: active };
                return Ok(());
            }
        }
        self.next(ctx)
    }

    fn branch(&mut self, ctx: &Context<'_>, to: &Operand) -> Step<()> {
        match to {
            Operand::Label(to) => self.go(ctx, *to),
            _ => self.next(ctx),
        }
    }

    /// The result of a pure operation on its sources in order, lists taken apart.
    fn alu(&self, ctx: &Context<'_>, inst: &Inst) -> Step<u64> {
        let mut sources = Vec::new();
        for (n, operand) in inst.args.iter().enumerate().skip(1) {
            match operand {
                Operand::List(items) => {
                    sources.extend(items.iter().map(|o| self.value(ctx, o, arg_type(inst, n))));
                }
                o => sources.push(self.value(ctx, o, arg_type(inst, n))),
            }
        }
        let t = inst.ty.unwrap_or(Type::U32);
        let result = eval(inst.op, t, inst.ty2.unwrap_or(t), inst.modes, &sources);
        // `None` is for operations that are not pure, and those have arms of their own.
        result.unwrap_or(Ok(0)).map_err(|kind| (kind, alu_detail(kind, &sources)))
    }

    /// The class that an operation of the resonance names, and the resonance.
    fn resonance<'c>(&self, ctx: &Context<'c>, inst: &Inst, arg: usize) -> Step<(u8, LaunchResonance<'c>)> {
        let class = self.arg(ctx, inst, arg);
        let known = u8::try_from(class).ok().filter(|c| *c < phalanx_atlas::CLASSES);
        // A launch of a kernel that uses the resonance has one: `Bound::run_locked`.
        match (known, ctx.launch.resonance) {
            (Some(c), Some(r)) => Ok((c, r)),
            _ => Err((TrapKind::BadClass, TrapDetail::Value(class))),
        }
    }

    /// `res.accum` and `res.test` in both forms.
    fn resonate(&mut self, ctx: &Context<'_>, inst: &Inst) -> Step<()> {
        let adds = matches!(inst.op, Op::ResAccumI64 | Op::ResAccumF64);
        let first = usize::from(!adds);
        let (class, resonance) = self.resonance(ctx, inst, first)?;
        let own = ctx.launch.class_of_block(ctx.block) as u8;
        if adds {
            ctx.launch.options.claims.check_target(own, class).map_err(broken_claim)?;
        }
        let value = self.arg(ctx, inst, first + 1);
        let entry = &resonance.before.0[usize::from(class)];
        match inst.op {
            Op::ResAccumF64 => {
                let plain = FrontLoop::at(Tier::Scalar);
                resonance.accumulator.floats(Floats::Each(&[(class, f64::from_bits(value))]), plain);
            }
            Op::ResTestF64 => {
                self.set(&inst.args[0], (entry.float.abs() <= f64::from_bits(value)).into());
            }
            _ => {
                let (a, b) = (value as i64, self.arg(ctx, inst, first + 2) as i64);
                let within = entry.ratio.within(a, b).ok_or(plain(TrapKind::DivByZero))?;
                if adds {
                    resonance.accumulator.fractions(&[Fraction { class, a, b }]);
                } else {
                    self.set(&inst.args[0], within.into());
                }
            }
        }
        Ok(())
    }

    /// What came of a use of the pool, which the observer is told; where it lets a bad handle or index pass, the load of a 0.
    fn pool_access(
        &self,
        ctx: &Context<'_>,
        result: Result<u64, TrapKind>,
        (handle, index): (u64, Option<u64>),
        stores: bool,
    ) -> Step<u64> {
        let Frame { func, at, .. } = *self.frame();
        if let (Some(o), Ok(bits)) = (ctx.observer, result) {
            let (block, lane, site) = (ctx.block, self.number, (func, at));
            o.pool(PoolAccess { block, lane, site, handle, index, stores, bits });
        }
        result.or_else(|kind| match ctx.observer {
            Some(o) if o.handle(ctx.block, self.number, (func, at), kind) => Ok(0),
            _ => Err(pool_trap(kind, handle, index.unwrap_or(0))),
        })
    }

    /// `atom` and `red`: the memory operand stands at `mem`, the value behind it.
    fn atomic(&mut self, ctx: &Context<'_>, inst: &Inst, mem: usize) -> Step<u64> {
        let op = Atomic::from_code(inst.modes[1].into()).unwrap_or(Atomic::Add);
        let order = Order::from_code(inst.modes[2].into()).unwrap_or(Order::AcqRel);
        let bits = self.arg(ctx, inst, mem + 1);
        self.access(ctx, &inst.args[mem], updates(order), |v, i| v.atomic(i, op, bits, order))
    }
}

/// A plain load.
pub const LOADS: How =
    How { reads: true, writes: false, atomic: false, acquires: false, releases: false, fails: false };
/// A plain store.
pub const STORES: How = How { reads: false, writes: true, ..LOADS };

/// An atomic update with this order.
fn updates(order: Order) -> How {
    let acquires = matches!(order, Order::Acquire | Order::AcqRel);
    let releases = matches!(order, Order::Release | Order::AcqRel);
    How { reads: true, writes: true, atomic: true, acquires, releases, fails: false }
}

fn broken_claim(text: String) -> (TrapKind, TrapDetail) {
    (TrapKind::Claim, TrapDetail::Text(text))
}

fn pool_trap(kind: TrapKind, handle: u64, i: u64) -> (TrapKind, TrapDetail) {
    (kind, TrapDetail::Value(if kind == TrapKind::BadHandle { handle } else { i }))
}
