//! Calls and native operations decoded: what is copied into and out of a callee's frame, and the operands of a whole block.

use super::{BlockOp, CallSite, Copy, Decoder, Frame, MemOperand, NOWHERE, Place};
use crate::native;
use phalanx_isa::{Base, Inst, Operand, Type};

impl Decoder<'_> {
    pub(super) fn call(&mut self, inst: &Inst, frames: &[Frame]) -> u32 {
        let (Operand::List(results), Operand::Func(callee), Operand::List(args)) =
            (&inst.args[0], &inst.args[1], &inst.args[2])
        else {
            return 0;
        };
        let callee = *callee;
        let f = &self.kernel.funcs[callee as usize];
        let (regs, preds, _) = &frames[callee as usize];
        let mut site = CallSite { func: callee, args: Vec::new(), results: Vec::new() };
        for (param, value) in f.params.iter().zip(args) {
            site.args.push(match param {
                Operand::Reg(r) => {
                    let ty = f.regs[*r as usize].as_ref().map_or(Type::U64, |r| r.ty);
                    let (from, stride) = self.source(value, ty);
                    Copy {
                        from,
                        to: regs[*r as usize],
                        size: ty.bytes(),
                        pred: false,
                        from_uniform: stride == 0,
                        to_uniform: self.analysis.uniform_reg(callee as usize, *r),
                    }
                }
                Operand::Pred(p) => {
                    let from = self.source(value, Type::Pred).0;
                    let to_uniform = self.analysis.uniform_pred(callee as usize, *p);
                    copy_pred(from, preds[*p as usize], to_uniform)
                }
                _ => continue,
            });
        }
        for (result, to) in f.results.iter().zip(results) {
            site.results.push(match (result, to) {
                (Operand::Reg(r), Operand::Reg(t)) => {
                    let ty = f.regs[*r as usize].as_ref().map_or(Type::U64, |r| r.ty);
                    Copy {
                        from: regs[*r as usize],
                        to: self.regs[*t as usize],
                        size: ty.bytes(),
                        pred: false,
                        from_uniform: self.analysis.uniform_reg(callee as usize, *r),
                        to_uniform: self.analysis.uniform_reg(self.func, *t),
                    }
                }
                (Operand::Pred(r), Operand::Pred(t)) => {
                    let to_uniform = self.analysis.uniform_pred(self.func, *t);
                    copy_pred(preds[*r as usize], self.preds[*t as usize], to_uniform)
                }
                _ => continue,
            });
        }
        self.calls.push(site);
        self.calls.len() as u32 - 1
    }

    pub(super) fn native(&mut self, inst: &Inst) -> u32 {
        let mut mem = |o: &Operand| match o {
            Operand::Mem(m) => {
                let param = if let Base::Param(p) = m.base { p } else { 0 };
                let t = self.index_type(&m.index);
                let (offset, stride) = self.source(&m.index, t);
                let which = m.which.as_ref().map(|w| {
                    let t = self.index_type(w);
                    let (o, s) = self.source(w, t);
                    (o, s, t)
                });
                MemOperand { param, which, index: (offset, stride, t), disp: m.disp }
            }
            _ => MemOperand { param: 0, which: None, index: (NOWHERE, 0, Type::U64), disp: 0 },
        };
        let (places, packed, numbers) = native::operands(inst.op);
        let places = places.map(|i| mem(&inst.args[i])).collect();
        let packed = match packed.map(|i| &inst.args[i]) {
            Some(Operand::Object(Base::Param(p))) => *p,
            _ => 0,
        };
        let numbers = numbers.map(|i| self.source(&inst.args[i], Type::U32)).collect();
        let words = native::Words::of(inst.op, inst.modes);
        self.block_ops.push(BlockOp::Native { op: inst.op, words, places, packed, numbers });
        self.block_ops.len() as u32 - 1
    }
}

fn copy_pred(from: Place, to: Place, to_uniform: bool) -> Copy {
    Copy { from, to, size: 4, pred: true, from_uniform: false, to_uniform }
}
