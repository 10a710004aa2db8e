//! Buffers of which every lane touches its own element only.
//!
//! Where all loads and stores of a buffer use the lane's linear index in the grid, no two lanes share an element, so plain
//! vector loads and stores race with nobody, on any number of threads. That is proved here from the operands alone: the index
//! is the special register, or a register that is never anything else. In a launch of one dimension `%global.x` is that index
//! too; a launch in which a special register does not fit the type it is read as is refused, so no value has wrapped.

use phalanx_isa::{Base, Func, Kernel, Op, Operand, Special};
use phalanx_verify::{Var, writes};

/// By parameter: whether all accesses, if the launch has one dimension, are to the lane's own element.
pub(super) fn own_elements(kernel: &Kernel) -> Vec<bool> {
    let mut own = vec![true; kernel.params.len()];
    for f in &kernel.funcs {
        for inst in &f.code {
            for operand in &inst.args {
                let Operand::Mem(m) = operand else { continue };
                let Base::Param(p) = m.base else { continue };
                let plain = matches!(inst.op, Op::Ld | Op::St) && m.which.is_none() && m.disp == 0;
                own[p as usize] &= plain && own_index(f, &m.index);
            }
        }
    }
    own
}

fn own_index(f: &Func, index: &Operand) -> bool {
    let special = |o: &Operand| matches!(o, Operand::Special(Special::GlobalX | Special::GlobalLinear));
    let Some(v) = Var::of(index) else { return special(index) };
    let mut writers = f.code.iter().filter(|i| writes(i).contains(v));
    !f.params.contains(index) && writers.all(|i| i.op == Op::Mov && i.args.get(1).is_some_and(special))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(body: &str) -> Vec<bool> {
        let text = format!(
            "kernel k(inout x: f32[], inout y: f32[]) {{
                let i, j: u32; let v: f32; let p: pred
                mov.u32 i, %global.x
                {body}
                exit
            }}"
        );
        let module = phalanx_asm::assemble("", &text).unwrap_or_else(|e| panic!("{e:#?}")).module;
        own_elements(&module.kernels[0])
    }

    #[test]
    fn the_lanes_own_index_and_nothing_else() {
        assert_eq!(own("ld.f32 v, x[i]\nst.f32 y[%global.linear], v"), [true, true]);
        assert_eq!(own("ld.f32 v, x[i + 1]\nst.f32 y[i], v"), [false, true]);
        assert_eq!(own("ld.f32 v, x[i]\nst.f32 x[%lane.x], v\nst.f32 y[0], v"), [false, false]);
        assert_eq!(own("ld.f32 v, x[i]\nadd.u32 j, i, 0\nst.f32 y[j], v"), [true, false]);
        assert_eq!(own("ld.f32 v, x[i]\nadd.u32 i, i, 1\nst.f32 y[%global.x], v"), [false, true]);
        assert_eq!(own("red.add.relaxed.f32 x[i], 1\nst.f32 y[i], 2"), [false, true]);
    }
}
