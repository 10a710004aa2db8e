//! Registers and predicates of a function as one kind of thing, and what an instruction reads and writes.

use phalanx_isa::{Inst, Operand, Role};

/// A register or a predicate of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Var {
    /// Register by number.
    Reg(u8),
    /// Predicate by number.
    Pred(u8),
}

impl Var {
    /// How many different values [`Var::index`] has.
    pub(crate) const COUNT: usize = 512;

    /// The operand as a variable, if it is one.
    pub fn of(operand: &Operand) -> Option<Var> {
        match operand {
            Operand::Reg(r) => Some(Var::Reg(*r)),
            Operand::Pred(p) => Some(Var::Pred(*p)),
            _ => None,
        }
    }
    /// A dense number: registers first.
    pub(crate) fn index(self) -> usize {
        match self {
            Var::Reg(r) => r as usize,
            Var::Pred(p) => 256 + p as usize,
        }
    }
}

/// A set of registers and predicates (numbers 0..256 and 0..16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VarSet {
    /// Registers, bit `r % 64` of word `r / 64`.
    pub regs: [u64; 4],
    /// Predicates, bit p.
    pub preds: u16,
}

impl VarSet {
    /// No member.
    pub const EMPTY: VarSet = VarSet { regs: [0; 4], preds: 0 };
    /// Every register and predicate.
    pub const ALL: VarSet = VarSet { regs: [u64::MAX; 4], preds: u16::MAX };

    /// Whether the variable is a member.
    pub fn contains(&self, v: Var) -> bool {
        match v {
            Var::Reg(r) => self.regs[r as usize / 64] >> (r % 64) & 1 == 1,
            Var::Pred(p) => p < 16 && self.preds >> p & 1 == 1,
        }
    }
    /// Adds a variable; whether it is new. Predicates above 15 do not exist and are ignored.
    pub fn insert(&mut self, v: Var) -> bool {
        let new = !self.contains(v);
        match v {
            Var::Reg(r) => self.regs[r as usize / 64] |= 1 << (r % 64),
            Var::Pred(p) if p < 16 => self.preds |= 1 << p,
            Var::Pred(_) => {}
        }
        new
    }
    /// Takes a variable out.
    pub fn remove(&mut self, v: Var) {
        match v {
            Var::Reg(r) => self.regs[r as usize / 64] &= !(1 << (r % 64)),
            Var::Pred(p) if p < 16 => self.preds &= !(1 << p),
            Var::Pred(_) => {}
        }
    }
    /// Members of either.
    pub fn union(mut self, other: VarSet) -> VarSet {
        (0..4).for_each(|i| self.regs[i] |= other.regs[i]);
        self.preds |= other.preds;
        self
    }
    /// Members of both.
    pub fn intersection(mut self, other: VarSet) -> VarSet {
        (0..4).for_each(|i| self.regs[i] &= other.regs[i]);
        self.preds &= other.preds;
        self
    }
    /// Members of this one that the other lacks.
    pub fn minus(mut self, other: VarSet) -> VarSet {
        (0..4).for_each(|i| self.regs[i] &= !other.regs[i]);
        self.preds &= !other.preds;
        self
    }
    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        *self == VarSet::EMPTY
    }
    /// How many registers are members.
    pub fn count_regs(&self) -> u32 {
        self.regs.iter().map(|w| w.count_ones()).sum()
    }
    /// How many predicates are members.
    pub fn count_preds(&self) -> u32 {
        self.preds.count_ones()
    }
}

/// How an instruction uses a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// Its value is read (guards and memory indices included).
    Read,
    /// A value is written, under the instruction's guard.
    Write,
}

/// Calls `f` for every register and predicate that the instruction names: reads first, then writes. An operand that is read and
/// written appears twice. Operands that a valid instruction cannot have are passed over.
pub fn visit(inst: &Inst, f: &mut dyn FnMut(Var, Use)) {
    if let Some(g) = inst.guard {
        f(Var::Pred(g.pred), Use::Read);
    }
    let args = inst.op.info().args;
    for (arg, operand) in args.iter().zip(&inst.args) {
        if !matches!(arg.role, Role::W | Role::Dests) {
            read(operand, f);
        }
    }
    for (arg, operand) in args.iter().zip(&inst.args) {
        match arg.role {
            Role::W | Role::Rw => {
                if let Some(v) = Var::of(operand) {
                    f(v, Use::Write);
                }
            }
            Role::Dests => {
                if let Operand::List(items) = operand {
                    items.iter().filter_map(Var::of).for_each(|v| f(v, Use::Write));
                }
            }
            _ => {}
        }
    }
}

/// Reads of one operand; one level deep, which is all that a valid operand has.
fn read(operand: &Operand, f: &mut dyn FnMut(Var, Use)) {
    match operand {
        Operand::Mem(m) => {
            let parts = m.which.as_ref().into_iter().chain([&m.index]);
            parts.filter_map(Var::of).for_each(|v| f(v, Use::Read));
        }
        Operand::List(items) => items.iter().for_each(|item| {
            if let Some(v) = Var::of(item) {
                f(v, Use::Read);
            }
        }),
        _ => {
            if let Some(v) = Var::of(operand) {
                f(v, Use::Read);
            }
        }
    }
}

/// The variables that the instruction writes.
pub fn writes(inst: &Inst) -> VarSet {
    let mut set = VarSet::EMPTY;
    visit(inst, &mut |v, u| {
        if u == Use::Write {
            set.insert(v);
        }
    });
    set
}
