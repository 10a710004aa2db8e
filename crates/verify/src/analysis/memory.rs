//! What a kernel does with its buffers and arrays, and whether its result depends on the order of lanes and blocks.

use super::FuncAnalysis;
use super::live;
use crate::vars::{Use, Var, VarSet, visit};
use phalanx_isa::{Atomic, Base, Effect, Inst, Kernel, Mem, ModeSet, Op, Operand, Role};
use std::collections::HashMap;

/// How a buffer or array is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectUse {
    /// Elements are loaded (atomics included); of a scalar or packed parameter: it is used.
    pub read: bool,
    /// Elements are stored (atomics included).
    pub written: bool,
    /// Some accesses are atomic.
    pub atomic: bool,
    /// A native operation takes it.
    pub native: bool,
    /// Something else than the output of a native operation touches its elements.
    pub otherwise: bool,
}

impl ObjectUse {
    /// Whether the kernel touches the elements as outputs of native operations and in no other way.
    pub fn only_native_output(&self) -> bool {
        self.native && self.written && !self.otherwise
    }
}

/// Why a kernel is not order-free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderReason {
    /// Function.
    pub func: usize,
    /// Instruction.
    pub inst: u32,
    /// What it does, as the end of a sentence about the instruction.
    pub why: &'static str,
}

/// Uses by parameter, shared and private array.
pub(crate) struct Uses {
    pub params: Vec<ObjectUse>,
    pub shared: Vec<ObjectUse>,
    pub private: Vec<ObjectUse>,
}

impl Uses {
    fn at(&mut self, base: Base) -> Option<&mut ObjectUse> {
        match base {
            Base::Param(p) => self.params.get_mut(p as usize),
            Base::Shared(s) => self.shared.get_mut(s as usize),
            Base::Private(p) => self.private.get_mut(p as usize),
        }
    }
    fn note(&mut self, base: Base, set: impl FnOnce(&mut ObjectUse)) {
        if let Some(u) = self.at(base) {
            set(u);
        }
    }
}

pub(crate) fn uses(kernel: &Kernel) -> Uses {
    let mut uses = Uses {
        params: vec![ObjectUse::default(); kernel.params.len()],
        shared: vec![ObjectUse::default(); kernel.shared.len()],
        private: vec![ObjectUse::default(); kernel.private.len()],
    };
    for inst in kernel.funcs.iter().flat_map(|f| &f.code) {
        let info = inst.op.info();
        let atomic = info.has(Effect::MemAtomic);
        for (arg, operand) in info.args.iter().zip(&inst.args) {
            let mut scalar = |o: &Operand| {
                if let Operand::Param(p) = o {
                    uses.note(Base::Param(*p), |u| u.read = true);
                }
            };
            match operand {
                Operand::Mem(m) => {
                    scalar(&m.index);
                    m.which.iter().for_each(&mut scalar);
                    uses.note(m.base, |u| {
                        u.atomic |= atomic;
                        u.native |= matches!(arg.role, Role::Out | Role::Input);
                        u.otherwise |= arg.role != Role::Out;
                        u.read |= matches!(arg.role, Role::Load | Role::Input)
                            || (arg.role == Role::Atomic && info.has(Effect::MemRead));
                        u.written |= matches!(arg.role, Role::Store | Role::Atomic | Role::Out);
                    });
                }
                Operand::Object(base) => uses.note(*base, |u| {
                    u.native |= arg.role == Role::Packed;
                    u.read |= arg.role == Role::Packed;
                }),
                Operand::List(items) => items.iter().for_each(scalar),
                o => scalar(o),
            }
        }
    }
    uses
}

/// Whether some loop reads memory that other blocks may write during the launch: it may be waiting for one of them. A kernel
/// without such a loop comes to its end (or not) whatever other blocks have done.
pub(crate) fn may_wait(
    kernel: &Kernel,
    funcs: &[FuncAnalysis],
    uses: &Uses,
    to_callers: impl Fn(Vec<bool>) -> Vec<bool>,
) -> bool {
    let reads = |inst: &Inst| {
        let info = inst.op.info();
        let reads_role = |role| {
            matches!(role, Role::Load | Role::Input) || (role == Role::Atomic && info.has(Effect::MemRead))
        };
        let written = |base| match base {
            Base::Param(p) => uses.params.get(p as usize).is_some_and(|u| u.written),
            // No other block's.
            Base::Shared(_) | Base::Private(_) => false,
        };
        info.has(Effect::Pool)
            || (info.args.iter().zip(&inst.args))
                .any(|(arg, o)| matches!(o, Operand::Mem(m) if reads_role(arg.role) && written(m.base)))
    };
    let somewhere = to_callers(kernel.funcs.iter().map(|f| f.code.iter().any(reads)).collect());
    kernel.funcs.iter().zip(funcs).enumerate().any(|(f, (func, known))| {
        if known.recursive && somewhere[f] {
            return true;
        }
        // A loop's blocks stand between the ends of its back edge in reverse post-order.
        let cfg = &known.cfg;
        let mut begins = vec![0i32; cfg.rpo.len() + 1];
        for (from, to) in cfg.back_edges() {
            begins[cfg.rpo_index(*to) as usize] += 1;
            begins[cfg.rpo_index(*from) as usize + 1] -= 1;
        }
        let mut open = 0;
        cfg.rpo.iter().zip(begins).any(|(b, begins)| {
            open += begins;
            let block = &cfg.blocks[*b as usize];
            let calls_reader = |i: &Inst| super::callee(kernel, i).is_some_and(|g| somewhere[g]);
            let code = &func.code[block.start as usize..block.end as usize];
            open > 0 && code.iter().any(|i| reads(i) || calls_reader(i))
        })
    })
}

/// The number of a mode slot, by the name of its set.
pub(crate) fn mode(inst: &Inst, is: fn(&ModeSet) -> bool) -> Option<u16> {
    let slot = inst.op.info().modes.iter().position(is)?;
    inst.modes.get(slot).map(|m| u16::from(*m))
}

/// Reasons, in the order of the code.
pub(crate) fn order(kernel: &Kernel, funcs: &[FuncAnalysis]) -> Vec<OrderReason> {
    let mut reasons = Vec::new();
    let mut first: HashMap<Base, Atomic> = HashMap::new();
    for (f, (func, known)) in kernel.funcs.iter().zip(funcs).enumerate() {
        if !func.code.iter().any(|i| i.op.info().has(Effect::MemAtomic)) {
            continue;
        }
        let results = live::results(func);
        for (b, block) in known.cfg.blocks.iter().enumerate() {
            if !known.cfg.reachable(b as u32) {
                continue;
            }
            let mut after: Vec<VarSet> = Vec::with_capacity((block.end - block.start) as usize);
            let mut set = known.live.exit[b];
            for inst in func.code[block.start as usize..block.end as usize].iter().rev() {
                after.push(set);
                set = live::before(inst, results, set);
            }
            for i in block.start..block.end {
                let inst = &func.code[i as usize];
                let after = after[(block.end - 1 - i) as usize];
                if let Some(why) = reason(inst, after, &mut first) {
                    reasons.push(OrderReason { func: f, inst: i, why });
                }
            }
        }
    }
    reasons
}

fn reason(inst: &Inst, live_after: VarSet, first: &mut HashMap<Base, Atomic>) -> Option<&'static str> {
    if !inst.op.info().has(Effect::MemAtomic) {
        return None;
    }
    let kind = mode(inst, |m| m.name == "Atomic").and_then(Atomic::from_code);
    let kind = match (inst.op, kind) {
        (Op::Cas, _) => return Some("compares and exchanges"),
        (_, None) => return Some("loads or stores atomically"),
        (_, Some(kind)) => kind,
    };
    match kind {
        Atomic::Exch => return Some("exchanges"),
        Atomic::Sub => return Some("subtracts; only add, and, or, xor, min and max count"),
        _ => {}
    }
    if inst.ty.is_some_and(|t| t.is_float()) {
        return Some("adds floats, whose sum depends on the order");
    }
    let mut used = false;
    visit(inst, &mut |v: Var, u| used |= u == Use::Write && live_after.contains(v));
    if used {
        return Some("uses the value before");
    }
    let memory = |o: &Operand| if let Operand::Mem(m) = o { Some(Mem::clone(m).base) } else { None };
    let base = inst.args.iter().find_map(memory)?;
    let same = *first.entry(base).or_insert(kind) == kind;
    if same { None } else { Some("is another kind of atomic on the same memory") }
}
