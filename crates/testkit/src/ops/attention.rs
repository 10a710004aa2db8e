//! `attend`: an operation per block, each on rows of its own.

use super::{Writer, type_of};
use crate::emit::element;
use crate::{Case, values};
use phalanx_isa::{Access, Mnemonic, Operand, Role, Special, Type};

/// The whole case.
pub(super) fn case(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    w.grid = [w.rng.between(1, 3), 1, 1];
    let blocks = w.grid[0] as usize;
    let (rows, heads) = (w.rng.below(4), 1 + w.rng.below(3));
    let dim = 1 + if w.rng.one_in(3) { w.rng.below(100) } else { w.rng.below(9) };
    let n = 1 + if w.rng.one_in(3) { w.rng.below(200) } else { w.rng.below(70) };
    let keys = n + rows.max(1) - 1;
    let ldq = heads * dim + w.rng.below(3);
    let ldv = 64 * keys + w.rng.below(3);
    let wrong = if w.legal { 0 } else { w.rng.below(6) };
    let mut args: Vec<Operand> = Vec::new();
    let mut output = None;
    for arg in m.op.info().args {
        let ty = type_of(m, arg.ty);
        let number = match (arg.role, arg.name) {
            (Role::Out, _) => {
                let data: Vec<u64> = (0..blocks * rows * ldq + 3).map(|i| i as u64 * 77).collect();
                let buffer = w.buffer_of(ty, Access::InOut, &data);
                let at = w.f.reg(Type::U32);
                let each = Operand::Imm((rows * ldq) as u64);
                w.f.op("mul.u32", &[&at, &Operand::Special(Special::BlockLinear), &each]);
                args.push(element(buffer, &at, 1));
                output = Some((buffer, at));
                continue;
            }
            (Role::Input, name) => {
                let len = match name {
                    "q" => rows * ldq,
                    "k" => 64 * dim * keys.div_ceil(64),
                    _ => dim.div_ceil(64) * ldv,
                };
                // Small numbers, so that sums are not all infinite; any number now and then.
                let any = w.rng.one_in(3);
                let small = |w: &mut Writer<'_>| {
                    let v = w.rng.below(4001) as f32 / 1000.0 - 2.0;
                    values::parse(&v.to_string(), ty).unwrap_or(0)
                };
                let value = |w: &mut Writer<'_>| match any && w.rng.one_in(40) {
                    true => values::random(w.rng, ty),
                    false => small(w),
                };
                let data: Vec<u64> = (0..len + 2).map(|_| value(&mut w)).collect();
                // What nobody writes is read where it lies; the rest by way of atomics.
                let access = if w.rng.one_in(3) { Access::InOut } else { Access::In };
                let buffer = w.buffer_of(ty, access, &data);
                args.push(element(buffer, &Operand::Imm(0), 1));
                continue;
            }
            (_, "m") => (rows + 9 * usize::from(wrong == 1)) as u64,
            (_, "n") => (if wrong == 2 { 0 } else { n + 900 * usize::from(wrong == 3) }) as u64,
            (_, "heads") => heads as u64,
            (_, "dim") => (dim + 90 * usize::from(wrong == 4)) as u64,
            (_, "ldq") => (ldq - usize::from(wrong == 5) * heads * dim) as u64,
            (_, "ldv") => ldv as u64,
            _ => (0.25 * (1 + w.rng.below(8)) as f32).to_bits().into(),
        };
        let operand = match w.rng.below(3) {
            0 => Operand::Imm(number),
            1 => w.scalar_of(ty, number),
            _ => {
                let all = vec![number; w.lanes()];
                w.varying(ty, &all)
            }
        };
        args.push(operand);
    }
    w.f.push(*m, None, args);
    // A buffer that ordinary instructions touch too is written in another way.
    if let Some((buffer, at)) = output.filter(|_| w.rng.one_in(3)) {
        let v = w.f.reg(Type::F32);
        w.f.op("ld.f32", &[&v, &element(buffer, &at, 1)]);
    }
    w.finish()
}
