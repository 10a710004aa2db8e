//! From a validated kernel to the flat form that chunks execute: operands are byte offsets, branches are indices, constants,
//! parameters and special registers have slots of their own, reconvergence points and fuel are operations.

mod calls;

use super::chunk::{Chunk, Env, GROUPS, LANES};
use super::mask::Mask;
use super::memory::{AtomicOp, IndexFns, PoolOp};
use super::own::own_elements;
use super::parked::parked;
use super::{checked, tier};
use crate::check::{Class, SyncOrder, sync_order};
use crate::native::Words;
use crate::resonance::FrontLoop;
use phalanx_isa::{ArgType, Atomic};
use phalanx_isa::{
    Base, Cmp, Effect, Inst, Kernel, Kind, LoadOrder, Mem, Op, Operand, Order, ParamKind, Role, Special,
    StoreOrder, Type,
};
use phalanx_simd::tier::Tier;
use phalanx_verify::{KernelAnalysis, Scope, VarSet, collective, writes};
use std::collections::HashMap;

/// A function that carries out an operation for a chunk. False: the active mask changed (lanes trapped).
pub(super) type Handler = unsafe fn(&mut Chunk, &DOp, &Env<'_>, &Mask) -> bool;

/// Where an operand is: bytes from the current frame's start. Registers follow it; constants, parameters and special registers
/// lie before it (every frame has them there), so that finding an operand is one addition.
pub(super) type Place = i32;
/// A place of 32 * GROUPS values that nobody looks at: for operands that an operation does not have.
pub(super) const NOWHERE: Place = -((GROUPS * 32 * 8) as Place);
/// Stands for "the end of the function" as a reconvergence point.
pub(super) const NO_JOIN: u32 = u32::MAX;

/// How an operation moves control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the next one; no guard, and a result for each lane.
    Plain,
    /// To the next one.
    Next,
    /// To the target.
    Jump,
    /// To the target or not, all lanes alike.
    BranchUniform,
    /// Lane by lane.
    Branch,
    /// Where separated lanes come together.
    Join,
    /// Pays for a basic block (`target` instructions).
    Fuel,
    /// A schedule may let others go first.
    Yield,
    Call,
    Return,
    Exit,
    Trap,
    /// Collective over the subgroup.
    Subgroup,
    /// Collective over the block.
    Block,
}

/// A decoded operation.
#[derive(Clone)]
pub(super) struct DOp {
    pub(super) run: Handler,
    pub(super) flow: Flow,
    /// All operands and the result are uniform: one group is computed, for all lanes.
    pub(super) uniform: bool,
    pub(super) negate: bool,
    /// A branch backwards.
    pub(super) back: bool,
    pub(super) has_dest: bool,
    /// The destination is a predicate.
    pub(super) to_pred: bool,
    /// Lanes that are not active may still read the destination: they keep its values.
    pub(super) keep: bool,
    /// Strides of the sources in groups: 0 (uniform) or 1.
    pub(super) sa: u8,
    pub(super) sb: u8,
    pub(super) sc: u8,
    pub(super) guard: Place,
    pub(super) d: Place,
    pub(super) a: Place,
    pub(super) b: Place,
    pub(super) c: Place,
    pub(super) target: u32,
    pub(super) join: u32,
    /// Instruction of the function.
    pub(super) inst: u32,
    /// Index of a memory reference or block operation.
    pub(super) aux: u32,
}

impl DOp {
    pub(super) const NO_GUARD: Place = Place::MAX;
}

/// A memory operand.
pub(super) struct MemRef {
    pub(super) base: Base,
    /// Slot, stride and type of the index into an array of buffers.
    pub(super) which: Option<(Place, u8, Type)>,
    pub(super) buffers: u32,
    pub(super) disp: i64,
    /// Elements of a private array.
    pub(super) len: u64,
    /// First byte of a private array.
    pub(super) offset: usize,
    pub(super) ty: Type,
    pub(super) atomic: AtomicOp,
    pub(super) index: &'static IndexFns,
    /// In launches of one dimension every lane touches its own element of the buffer only.
    pub(super) own: bool,
    /// What it is to the race checker.
    pub(super) class: Class,
    /// How it orders memory, and whether it reads and writes.
    pub(super) order: SyncOrder,
    /// In the form with checks: the handler that does the work.
    pub(super) plain: Handler,
}

/// A value copied between frames at a call.
pub(super) struct Copy {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) size: usize,
    pub(super) pred: bool,
    pub(super) from_uniform: bool,
    pub(super) to_uniform: bool,
}

/// A call.
pub(super) struct CallSite {
    pub(super) func: u16,
    pub(super) args: Vec<Copy>,
    pub(super) results: Vec<Copy>,
}

/// What a slot before the frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Imm(u64),
    Param(u16),
    Special(Special),
}

/// A slot before the frame.
pub(super) struct Slot {
    pub(super) source: Source,
    pub(super) ty: Type,
    pub(super) offset: Place,
    /// Each lane has a value of its own; else the slot is one group of equal values.
    pub(super) varying: bool,
}

/// An operation that the block carries out once all chunks have arrived.
pub(super) enum BlockOp {
    Barrier,
    Reduce {
        ty: Type,
        dest: Place,
        uniform: bool,
        combine: fn(u64, u64) -> u64,
    },
    /// Slots and strides of the numbers.
    Native {
        op: Op,
        words: Words,
        places: Vec<MemOperand>,
        packed: u16,
        numbers: Vec<(Place, u8)>,
    },
}

/// A memory operand of a block operation: parameter, index into an array of buffers, first element (slot, stride, type), disp.
pub(super) struct MemOperand {
    pub(super) param: u16,
    pub(super) which: Option<(Place, u8, Type)>,
    pub(super) index: (Place, u8, Type),
    pub(super) disp: i64,
}

/// A decoded function.
pub(super) struct Code {
    pub(super) ops: Vec<DOp>,
    pub(super) frame_bytes: u32,
}

/// A decoded kernel.
pub(super) struct Program {
    pub(super) codes: Vec<Code>,
    pub(super) mems: Vec<MemRef>,
    pub(super) calls: Vec<CallSite>,
    pub(super) block_ops: Vec<BlockOp>,
    pub(super) slots: Vec<Slot>,
    /// Bytes before every frame.
    pub(super) constant_bytes: u32,
    pub(super) private_bytes: u32,
    /// Phases or pool handles are used.
    pub(super) uses_state: bool,
    /// Some function stops at block collectives.
    pub(super) has_block_ops: bool,
    /// Instructions of the kernel: a first guess at its cost.
    pub(super) static_cost: u64,
    pub(super) has_loops: bool,
    /// How the resonance sums many f64.
    pub(super) front: FrontLoop,
    pub(super) has_native: bool,
    pub(super) tier: Tier,
}

const LINE: u32 = 64;

fn round(bytes: usize) -> u32 {
    (bytes as u32).div_ceil(LINE) * LINE
}

/// Places of a function's registers and predicates, and the bytes of all.
type Frame = (Vec<Place>, Vec<Place>, u32);

struct Decoder<'a> {
    kernel: &'a Kernel,
    analysis: &'a KernelAnalysis,
    tier: Tier,
    form: Form,
    slots: Vec<Slot>,
    by_source: HashMap<(Source, Type), Place>,
    /// Bytes before the frame so far.
    constants: u32,
    mems: Vec<MemRef>,
    calls: Vec<CallSite>,
    block_ops: Vec<BlockOp>,
    private_offsets: Vec<usize>,
    own: Vec<bool>,
    // Of the function at hand:
    func: usize,
    regs: Vec<Place>,
    preds: Vec<Place>,
    scratch: Place,
    scratch_pred: Place,
}

/// What a decoded kernel has beyond its instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// Basic blocks begin with an operation that pays for them.
    pub(super) fuel: bool,
    /// Before atomics, fences, pool and subgroup operations, and at the head of loops, others may have a turn.
    pub(super) yields: bool,
    /// Memory operations and barriers tell the checkers.
    pub(super) checked: bool,
}

/// Decodes a kernel for a SIMD level.
pub(super) fn decode(kernel: &Kernel, analysis: &KernelAnalysis, tier: Tier, form: Form) -> Program {
    let mut private_offsets = Vec::new();
    let mut private = 0usize;
    for a in &kernel.private {
        private_offsets.push(private);
        private += round(a.len.unwrap_or(0) as usize * LANES * a.elem.bytes()) as usize;
    }
    let mut d = Decoder {
        kernel,
        analysis,
        tier,
        form,
        slots: Vec::new(),
        by_source: HashMap::new(),
        constants: -NOWHERE as u32,
        mems: Vec::new(),
        calls: Vec::new(),
        block_ops: Vec::new(),
        private_offsets,
        own: own_elements(kernel),
        func: 0,
        regs: Vec::new(),
        preds: Vec::new(),
        scratch: 0,
        scratch_pred: 0,
    };
    // Frames first: a call needs its callee's.
    let frames: Vec<Frame> = (0..kernel.funcs.len()).map(|f| d.frame(f)).collect();
    let codes = (0..kernel.funcs.len()).map(|f| d.function(f, &frames)).collect();
    let insts = || kernel.funcs.iter().flat_map(|f| &f.code);
    Program {
        codes,
        mems: d.mems,
        calls: d.calls,
        block_ops: d.block_ops,
        slots: d.slots,
        constant_bytes: d.constants,
        private_bytes: private as u32,
        uses_state: insts()
            .any(|i| matches!(i.op, Op::PhaseGet | Op::PhaseAdv | Op::PhaseIn | Op::PoolAlloc)),
        has_block_ops: analysis.funcs.iter().any(|f| !f.block_collectives.is_empty()),
        static_cost: insts().count() as u64,
        front: FrontLoop::at(tier),
        has_native: analysis.native,
        tier,
        has_loops: analysis.funcs.iter().any(|f| !f.cfg.back_edges().is_empty() || f.recursive),
    }
}

/// Whether other lanes may see when the instruction happens, or it waits for them.
fn synchronises(inst: &Inst) -> bool {
    let info = inst.op.info();
    [Effect::MemAtomic, Effect::Fence, Effect::Pool].iter().any(|e| info.has(*e))
        || collective(inst) == Some(Scope::Subgroup)
}

impl Decoder<'_> {
    /// Offsets of registers and predicates in a function's frame, and its size (with scratch for `fold` and `loop` at the end).
    fn frame(&self, func: usize) -> Frame {
        let f = &self.kernel.funcs[func];
        let mut at = 0u32;
        let mut place = |bytes: u32| {
            at += bytes;
            (at - bytes) as Place
        };
        let regs = f.regs.iter().enumerate().map(|(r, reg)| match reg {
            None => 0,
            Some(reg) => {
                let groups = if self.analysis.uniform_reg(func, r as u8) { 1 } else { GROUPS };
                place(round(groups * 32 * reg.ty.bytes()))
            }
        });
        let regs: Vec<Place> = regs.collect();
        let preds: Vec<Place> = f.preds.iter().map(|p| if p.is_some() { place(LINE) } else { 0 }).collect();
        let _scratch = place(round(GROUPS * 32 * 8));
        let _scratch_pred = place(LINE);
        (regs, preds, at)
    }

    /// Whether all lanes read the same value; a declared block size makes more of them so (`%lane.y` of a flat block). The
    /// analysis must be followed: a register that it calls uniform gets its value from one group, absent lanes included.
    fn uniform_special(&self, s: Special) -> bool {
        self.analysis.uniform_operand(self.func, 0, &Operand::Special(s), Scope::Block)
    }

    fn slot(&mut self, source: Source, ty: Type) -> (Place, u8) {
        let varying = matches!(source, Source::Special(s) if !self.uniform_special(s));
        let stride = u8::from(varying);
        if let Some(offset) = self.by_source.get(&(source, ty)) {
            return (*offset, stride);
        }
        let groups = if varying { GROUPS } else { 1 };
        let bytes = if ty == Type::Pred { LINE } else { round(groups * 32 * ty.bytes()) };
        self.constants += bytes;
        let offset = -(self.constants as Place);
        self.slots.push(Slot { source, ty, offset, varying });
        self.by_source.insert((source, ty), offset);
        (offset, stride)
    }

    /// Offset and stride of a source operand read as `ty`.
    fn source(&mut self, o: &Operand, ty: Type) -> (Place, u8) {
        match o {
            Operand::Reg(r) => {
                let uniform = self.analysis.uniform_reg(self.func, *r);
                (self.regs[*r as usize], u8::from(!uniform))
            }
            Operand::Pred(p) => (self.preds[*p as usize], 1),
            Operand::Imm(bits) => self.slot(Source::Imm(*bits), ty),
            Operand::Special(s) => self.slot(Source::Special(*s), ty),
            Operand::Param(p) => self.slot(Source::Param(*p), ty),
            // The validator allows no other operand as a value.
            _ => (NOWHERE, 0),
        }
    }

    fn is_uniform(&self, o: &Operand) -> bool {
        match o {
            Operand::Reg(r) => self.analysis.uniform_reg(self.func, *r),
            Operand::Pred(p) => self.analysis.uniform_pred(self.func, *p),
            Operand::Special(s) => self.uniform_special(*s),
            Operand::Mem(m) => {
                self.is_uniform(&m.index) && m.which.as_ref().is_none_or(|w| self.is_uniform(w))
            }
            Operand::List(l) => l.iter().all(|o| self.is_uniform(o)),
            _ => true,
        }
    }

    /// Type of an index operand.
    fn index_type(&self, o: &Operand) -> Type {
        match o {
            Operand::Reg(r) => {
                self.kernel.funcs[self.func].regs[*r as usize].as_ref().map_or(Type::U64, |r| r.ty)
            }
            Operand::Param(p) => match &self.kernel.params[*p as usize].kind {
                ParamKind::Scalar(t) => *t,
                _ => Type::U64,
            },
            _ => Type::U64,
        }
    }

    fn memory(&mut self, m: &Mem, ty: Type, atomic: AtomicOp) -> u32 {
        let which = m.which.as_ref().map(|w| {
            let t = self.index_type(w);
            let (slot, stride) = self.source(w, t);
            (slot, stride, t)
        });
        let (len, offset) = match m.base {
            Base::Private(p) => {
                (self.kernel.private[p as usize].len.unwrap_or(0), self.private_offsets[p as usize])
            }
            _ => (0, 0),
        };
        let buffers = match m.base {
            Base::Param(p) => match self.kernel.params.get(p as usize).map(|p| &p.kind) {
                Some(ParamKind::Buffer { count, .. }) => count.unwrap_or(1),
                // No buffer, or none at all: operations on pools.
                _ => 1,
            },
            _ => 1,
        };
        self.mems.push(MemRef {
            base: m.base,
            which,
            buffers,
            disp: m.disp,
            len,
            offset,
            ty,
            atomic,
            index: tier::index_fns(self.tier, self.index_type(&m.index)),
            own: matches!(m.base, Base::Param(p) if self.own.get(p as usize) == Some(&true)),
            class: Class::Read,
            order: SyncOrder::default(),
            plain: nothing,
        });
        self.mems.len() as u32 - 1
    }

    fn function(&mut self, func: usize, frames: &[Frame]) -> Code {
        let f = &self.kernel.funcs[func];
        let a = &self.analysis.funcs[func];
        self.func = func;
        (self.regs, self.preds) = (frames[func].0.clone(), frames[func].1.clone());
        let frame_bytes = frames[func].2;
        self.scratch_pred = (frame_bytes - LINE) as Place;
        self.scratch = self.scratch_pred - round(GROUPS * 32 * 8) as Place;
        let mut ops: Vec<DOp> = Vec::new();
        let mut start = vec![0u32; f.code.len() + 1];
        // Reconvergence points of branches whose lanes may separate.
        let mut joins = vec![false; f.code.len() + 1];
        // Where chunks have to know whether they are at the same instance of a block collective, branches that all lanes of the
        // block take alike count too: they tell the rounds of a loop apart.
        let rounds = self.analysis.funcs.iter().any(|f| !f.block_collectives.is_empty());
        for i in 0..f.code.len() as u32 {
            let branches = matches!(f.code[i as usize].op, Op::Bra | Op::Loop);
            let meets = a.divergent_branch(i) || rounds && branches;
            if let Some(j) = Some(i).filter(|_| meets).and_then(|i| a.cfg.reconvergence(i)) {
                joins[j as usize] = true;
            }
        }
        for (i, inst) in f.code.iter().enumerate() {
            start[i] = ops.len() as u32;
            let at = i as u32;
            let block = a.cfg.block_of(at);
            if joins[i] {
                ops.push(self.plain(at, Flow::Join));
            }
            let begins = a.cfg.blocks[block as usize].start == at;
            if self.form.fuel && begins {
                let cost = a.cfg.blocks[block as usize].cost() as u32;
                ops.push(DOp { target: cost, ..self.plain(at, Flow::Fuel) });
            }
            let heads_loop = || a.cfg.back_edges().iter().any(|(_, to)| *to == block);
            if self.form.yields && (begins && heads_loop() || synchronises(inst)) {
                ops.push(self.plain(at, Flow::Yield));
            }
            self.instruction(inst, at, frames, &mut ops);
        }
        let parked = parked(f, a, func == 0);
        // Branch targets and joins are instructions so far.
        for op in &mut ops {
            let inst = &f.code[op.inst as usize];
            let waited_for = parked[a.cfg.block_of(op.inst) as usize];
            op.keep = inst.guard.is_some() || writes(inst).intersection(waited_for) != VarSet::EMPTY;
            if op.flow == Flow::Next && op.guard == DOp::NO_GUARD && !op.uniform {
                op.flow = Flow::Plain;
            }
            if matches!(op.flow, Flow::Jump | Flow::BranchUniform | Flow::Branch) {
                op.back = op.target <= op.inst;
                op.join = match a.cfg.reconvergence(op.inst) {
                    Some(j) => start[j as usize],
                    None => NO_JOIN,
                };
                op.target = start[op.target as usize];
            }
        }
        Code { ops, frame_bytes }
    }

    /// An operation without operands.
    fn plain(&self, inst: u32, flow: Flow) -> DOp {
        DOp {
            run: nothing,
            flow,
            uniform: false,
            negate: false,
            back: false,
            has_dest: false,
            to_pred: false,
            keep: true,
            sa: 0,
            sb: 0,
            sc: 0,
            guard: DOp::NO_GUARD,
            d: NOWHERE,
            a: NOWHERE,
            b: NOWHERE,
            c: NOWHERE,
            target: 0,
            join: NO_JOIN,
            inst,
            aux: 0,
        }
    }

    fn instruction(&mut self, inst: &Inst, at: u32, frames: &[Frame], ops: &mut Vec<DOp>) {
        let info = inst.op.info();
        let mut op = self.plain(at, Flow::Next);
        if let Some(g) = inst.guard {
            op.guard = self.preds[g.pred as usize];
            op.negate = g.negate;
        }
        op.run = tier::handler(self.tier, inst);
        let type_of = |ty: ArgType| match ty {
            ArgType::T => inst.ty.unwrap_or(Type::U64),
            ArgType::S => inst.ty2.unwrap_or(Type::U64),
            ArgType::Is(t) => t,
            ArgType::None => Type::U64,
        };
        match info.kind {
            Kind::Control => return self.control(inst, at, op, frames, ops),
            Kind::Native => {
                op.flow = Flow::Block;
                op.aux = self.native(inst);
                ops.push(op);
                return;
            }
            Kind::Subgroup => op.flow = Flow::Subgroup,
            Kind::Block => op.flow = Flow::Block,
            Kind::Sync if inst.op == Op::Bar => {
                if tier::is_subgroup_barrier(inst) {
                    op.flow = Flow::Subgroup;
                    if self.form.checked {
                        op.run = checked::subgroup_barrier;
                    }
                } else {
                    op.flow = Flow::Block;
                    op.aux = self.block_ops.len() as u32;
                    self.block_ops.push(BlockOp::Barrier);
                }
                ops.push(op);
                return;
            }
            _ => {}
        }
        if inst.op == Op::Fold {
            return self.fold(inst, op, ops);
        }
        // Sources in order into a, b, c; a memory operand's index is `a`.
        let mut sources: Vec<(Place, u8)> = Vec::new();
        let mut all_uniform = true;
        let mut dest_uniform = None;
        for (arg, o) in info.args.iter().zip(&inst.args) {
            let ty = type_of(arg.ty);
            match (arg.role, o) {
                (Role::W, Operand::Reg(r)) => {
                    op.d = self.regs[*r as usize];
                    op.has_dest = true;
                    dest_uniform = Some(self.analysis.uniform_reg(self.func, *r));
                }
                (Role::W, Operand::Pred(p)) => {
                    op.d = self.preds[*p as usize];
                    op.has_dest = true;
                    op.to_pred = true;
                    dest_uniform = Some(self.analysis.uniform_pred(self.func, *p));
                }
                (Role::Load | Role::Store | Role::Atomic, Operand::Mem(m)) => {
                    let t = self.index_type(&m.index);
                    let atomic = atomic_op(inst);
                    sources.insert(0, self.source(&m.index, t));
                    op.aux = self.memory(m, ty, atomic);
                    all_uniform &= self.is_uniform(o);
                }
                (Role::Buffer, Operand::Object(b)) => {
                    let m = Mem { base: *b, which: None, index: Operand::Imm(0), disp: 0 };
                    op.aux = self.memory(&m, ty, AtomicOp::Load(Order::Relaxed));
                    if let Base::Private(p) = b {
                        self.mems[op.aux as usize].len = self.kernel.private[*p as usize].len.unwrap_or(0);
                    }
                }
                _ => {
                    all_uniform &= self.is_uniform(o);
                    sources.push(self.source(o, ty));
                }
            }
        }
        // gt and ge are lt and le with the operands exchanged.
        let swapped = inst.op == Op::Set
            && matches!(Cmp::from_code(inst.modes[0].into()), Some(Cmp::Gt | Cmp::Ge | Cmp::Gtu | Cmp::Geu));
        if swapped {
            sources.swap(0, 1);
        }
        for (i, (offset, stride)) in sources.into_iter().enumerate() {
            match i {
                0 => (op.a, op.sa) = (offset, stride),
                1 => (op.b, op.sb) = (offset, stride),
                _ => (op.c, op.sc) = (offset, stride),
            }
        }
        if matches!(inst.op, Op::PoolAlloc | Op::PoolFree | Op::PoolLd | Op::PoolSt) {
            let m = Mem { base: Base::Param(0), which: None, index: Operand::Imm(0), disp: 0 };
            op.aux = self.memory(&m, inst.ty.unwrap_or(Type::U8), AtomicOp::Load(Order::Relaxed));
        }
        let guard_uniform = inst.guard.is_none_or(|g| self.analysis.uniform_pred(self.func, g.pred));
        let block = self.analysis.funcs[self.func].cfg.block_of(at);
        // A uniform destination with sources that merely happen to agree in the lanes that are here (they have registers per
        // lane, and those of other lanes hold anything), or a result across lanes: computed per lane, then spread.
        let spread = dest_uniform == Some(true)
            && info.kind != Kind::Block
            && (!all_uniform || info.kind == Kind::Subgroup || !guard_uniform);
        op.uniform = match dest_uniform {
            Some(u) => u && !spread,
            None => {
                inst.op == Op::St
                    && inst.modes[0] != phalanx_isa::Space::Private as u8
                    && all_uniform
                    && guard_uniform
                    && !self.analysis.divergent_block(self.func, block)
            }
        };
        match inst.op {
            Op::Reduce => {
                op.aux = self.block_ops.len() as u32;
                self.block_ops.push(BlockOp::Reduce {
                    ty: inst.ty.unwrap_or(Type::U64),
                    dest: op.d,
                    uniform: op.uniform,
                    combine: tier::combiner(inst),
                });
            }
            Op::Vote | Op::Ballot => op.sa = 1,
            // The rounding.
            Op::Cvt => op.aux = inst.modes[0].into(),
            _ => {}
        }
        if self.form.checked {
            self.check(inst, &mut op);
        }
        if spread {
            let ty = info.args.iter().find(|a| a.role == Role::W).map_or(Type::U64, |a| type_of(a.ty));
            let d = op.d;
            op.d = if op.to_pred { self.scratch_pred } else { self.scratch };
            let step = self.spread(&op, ty, d);
            ops.push(op);
            ops.push(step);
        } else {
            ops.push(op);
        }
    }

    /// Puts the checkers before an operation.
    fn check(&mut self, inst: &Inst, op: &mut DOp) {
        let run: Handler = match inst.op {
            Op::Ld | Op::St | Op::Aload | Op::Astore | Op::Atom | Op::Red | Op::Cas => checked::access,
            Op::PoolAlloc => checked::pool::<{ PoolOp::Alloc as u8 }>,
            Op::PoolFree => checked::pool::<{ PoolOp::Free as u8 }>,
            Op::PoolLd => checked::pool::<{ PoolOp::Load as u8 }>,
            Op::PoolSt => checked::pool::<{ PoolOp::Store as u8 }>,
            Op::Fence => {
                op.target = inst.modes[0].into();
                op.run = checked::fence;
                return;
            }
            _ => return,
        };
        let mem = &mut self.mems[op.aux as usize];
        (mem.class, mem.order, mem.plain) = (checked::class(inst.op), sync_order(inst), op.run);
        op.run = run;
    }

    /// The step behind an operation that left its result in the scratch: one active lane's goes to a uniform destination.
    fn spread(&self, op: &DOp, ty: Type, d: Place) -> DOp {
        DOp {
            run: super::body::spread,
            guard: op.guard,
            negate: op.negate,
            has_dest: true,
            to_pred: op.to_pred,
            a: op.d,
            d,
            aux: ty.bytes() as u32,
            ..self.plain(op.inst, Flow::Next)
        }
    }

    /// `fold` as a chain of two-operand steps through the frame's scratch, since the destination may be one of the sources.
    fn fold(&mut self, inst: &Inst, op: DOp, ops: &mut Vec<DOp>) {
        let ty = inst.ty.unwrap_or(Type::U64);
        let (Some(Operand::Reg(dest)), Some(Operand::List(list))) = (inst.args.first(), inst.args.get(1))
        else {
            return;
        };
        let to_uniform = self.analysis.uniform_reg(self.func, *dest);
        let guard_uniform = inst.guard.is_none_or(|g| self.analysis.uniform_pred(self.func, g.pred));
        // As in `instruction`.
        let uniform = to_uniform && guard_uniform && list.iter().all(|o| self.is_uniform(o));
        let mov = Inst {
            op: Op::Mov,
            modes: [0; 3],
            ty: Some(ty),
            ty2: None,
            guard: None,
            args: Vec::new(),
            loc: inst.loc,
        };
        let mov = tier::handler(self.tier, &mov);
        let stride = u8::from(!uniform);
        for (i, o) in list.iter().enumerate() {
            let (offset, s) = self.source(o, ty);
            ops.push(if i == 0 {
                DOp { run: mov, a: offset, sa: s, d: self.scratch, uniform, ..op.clone() }
            } else {
                DOp { a: self.scratch, sa: stride, b: offset, sb: s, d: self.scratch, uniform, ..op.clone() }
            });
        }
        let d = self.regs[*dest as usize];
        if to_uniform && !uniform {
            let step = self.spread(&DOp { d: self.scratch, ..op }, ty, d);
            ops.push(step);
        } else {
            ops.push(DOp { run: mov, a: self.scratch, sa: stride, d, uniform, ..op });
        }
    }

    fn control(&mut self, inst: &Inst, at: u32, mut op: DOp, frames: &[Frame], ops: &mut Vec<DOp>) {
        let divergent = self.analysis.divergent_branch(self.func, at);
        let target = inst.args.iter().find_map(|a| if let Operand::Label(l) = a { Some(*l) } else { None });
        match inst.op {
            Op::Bra => {
                op.flow = match (inst.guard, divergent) {
                    (None, _) => Flow::Jump,
                    (Some(_), false) => Flow::BranchUniform,
                    (Some(_), true) => Flow::Branch,
                };
                op.target = target.unwrap_or(0);
            }
            Op::Loop => {
                let Some(Operand::Reg(n)) = inst.args.first() else { return };
                let uniform = self.analysis.uniform_reg(self.func, *n) && !divergent;
                op.d = self.regs[*n as usize];
                op.c = self.scratch_pred;
                op.uniform = self.analysis.uniform_reg(self.func, *n);
                ops.push(op.clone());
                // A guard that does not hold leaves the scratch as it was: the branch needs both.
                let branch = DOp {
                    run: op.run,
                    flow: if uniform { Flow::BranchUniform } else { Flow::Branch },
                    guard: self.scratch_pred,
                    negate: false,
                    uniform: false,
                    target: target.unwrap_or(0),
                    ..op.clone()
                };
                if inst.guard.is_some() {
                    // Clear the scratch first, for the lanes (or all of them) that the guard leaves out.
                    let at = ops.len() - 1;
                    let clear = self.clear_scratch(op.inst);
                    ops.insert(at, clear);
                }
                ops.push(branch);
                return;
            }
            Op::Call => {
                op.flow = Flow::Call;
                op.target = self.call(inst, frames);
            }
            Op::Ret => op.flow = Flow::Return,
            Op::Exit => op.flow = Flow::Exit,
            Op::Trap => {
                op.flow = Flow::Trap;
                if let Some(Operand::Imm(code)) = inst.args.first() {
                    op.target = *code as u32;
                }
            }
            _ => {}
        }
        ops.push(op);
    }

    /// Sets the scratch predicate to false for all active lanes.
    fn clear_scratch(&mut self, inst: u32) -> DOp {
        let not_any = self.slot(Source::Imm(0), Type::Pred).0;
        let mov = Inst {
            op: Op::Mov,
            modes: [0; 3],
            ty: Some(Type::Pred),
            ty2: None,
            guard: None,
            args: Vec::new(),
            loc: Default::default(),
        };
        DOp {
            run: tier::handler(self.tier, &mov),
            a: not_any,
            d: self.scratch_pred,
            uniform: true,
            ..self.plain(inst, Flow::Next)
        }
    }
}

unsafe fn nothing(_: &mut Chunk, _: &DOp, _: &Env<'_>, _: &Mask) -> bool {
    true
}

fn atomic_op(inst: &Inst) -> AtomicOp {
    // Slot 0 is the space; then the operation (atom, red) and the order.
    let order = |i: usize| Order::from_code(inst.modes[i].into()).unwrap_or(Order::AcqRel);
    match inst.op {
        Op::Atom | Op::Red => {
            AtomicOp::Update(Atomic::from_code(inst.modes[1].into()).unwrap_or(Atomic::Add), order(2))
        }
        Op::Cas => AtomicOp::Exchange(order(1)),
        Op::Aload => AtomicOp::Load(match LoadOrder::from_code(inst.modes[1].into()) {
            Some(LoadOrder::Acquire) => Order::Acquire,
            _ => Order::Relaxed,
        }),
        Op::Astore => AtomicOp::Store(match StoreOrder::from_code(inst.modes[1].into()) {
            Some(StoreOrder::Release) => Order::Release,
            _ => Order::Relaxed,
        }),
        _ => AtomicOp::Load(Order::Relaxed),
    }
}
