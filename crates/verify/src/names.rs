//! How registers, memory and instructions are written in messages.

use phalanx_isa::{Base, Func, Inst, Kernel, Operand, Type};

/// Names of a kernel and one of its functions.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub kernel: &'a Kernel,
    pub func: &'a Func,
}

impl Names<'_> {
    pub fn reg(&self, r: u8) -> String {
        match self.func.regs.get(r as usize) {
            Some(Some(reg)) if !reg.name.is_empty() => reg.name.clone(),
            _ => format!("r{r}"),
        }
    }
    pub fn pred(&self, p: u8) -> String {
        match self.func.preds.get(p as usize) {
            Some(Some(name)) if !name.is_empty() => name.clone(),
            _ => format!("p{p}"),
        }
    }
    pub fn base(&self, b: Base) -> String {
        let found = match b {
            Base::Param(p) => self.kernel.params.get(p as usize).map(|p| &p.name),
            Base::Shared(s) => self.kernel.shared.get(s as usize).map(|a| &a.name),
            Base::Private(p) => self.kernel.private.get(p as usize).map(|a| &a.name),
        };
        match (found, b) {
            (Some(name), _) => name.clone(),
            (None, Base::Param(n)) => format!("parameter {n}"),
            (None, Base::Shared(n)) => format!("shared array {n}"),
            (None, Base::Private(n)) => format!("private array {n}"),
        }
    }
    /// The operand as text, where it is short and its spelling does not depend on a type.
    pub fn operand(&self, o: &Operand, ty: Option<Type>) -> Option<String> {
        Some(match o {
            Operand::Reg(r) => self.reg(*r),
            Operand::Pred(p) => self.pred(*p),
            Operand::Special(s) => format!("%{s}"),
            Operand::Param(p) => self.base(Base::Param(*p)),
            Operand::Object(b) => self.base(*b),
            Operand::Imm(bits) if ty.is_some_and(|t| !t.is_float()) && *bits < 1 << 31 => bits.to_string(),
            Operand::Mem(m) => {
                let mut text = self.base(m.base);
                if let Some(w) = &m.which {
                    text += &format!("[{}]", self.simple(w)?);
                }
                text += &format!("[{}", self.simple(&m.index)?);
                match m.disp {
                    0 => {}
                    d if d < 0 => text += &format!(" - {}", d.unsigned_abs()),
                    d => text += &format!(" + {d}"),
                }
                text + "]"
            }
            _ => return None,
        })
    }
    /// An index: no memory operand within a memory operand.
    fn simple(&self, o: &Operand) -> Option<String> {
        match o {
            Operand::Mem(_) => None,
            o => self.operand(o, Some(Type::U64)),
        }
    }
    /// The instruction with its type replaced, as a person would write it.
    pub fn with_type(&self, inst: &Inst, ty: Type) -> Option<String> {
        if !inst.op.info().allows(inst.modes, Some(ty), inst.ty2) {
            return None;
        }
        let mut fixed = inst.mnemonic();
        fixed.ty = Some(ty);
        let operands: Option<Vec<String>> = inst.args.iter().map(|o| self.operand(o, Some(ty))).collect();
        Some(format!("{fixed} {}", operands?.join(", ")))
    }
}
