//! Branches, calls, ends, barriers, fences, and operations of a whole block.

use super::{Writer, type_of};
use crate::emit::{FuncWriter, element, guard};
use crate::{ArgSpec, Case, values};
use phalanx_isa::{Access, Expr, Mnemonic, Op, Operand, Type};

/// The whole case.
pub(super) fn case(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    if m.op == Op::MatmulT2 {
        return native(w, m);
    }
    let lanes = w.lanes();
    let ty = *w.rng.pick(&[Type::U32, Type::F32, Type::I64, Type::U8, Type::F16]);
    let (v, shown) = w.result(ty);
    let data: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
    let other = w.varying(ty, &data);
    let add = format!("add.{ty}");
    // Some lanes may not come to a barrier; then the launch traps.
    let g = if m.op == Op::Bar && w.legal { None } else { w.random_guard() };
    let apart = (m.op != Op::Bar || !w.legal) && w.rng.one_in(3);
    let skip = apart.then(|| w.part_ways());
    let mut more = Vec::new();
    let mut fuel = None;
    match m.op {
        Op::Bra => {
            let over = w.f.mark();
            let to = w.f.to(over);
            w.f.push(*m, g, vec![to]);
            w.f.op(&add, &[&v, &v, &other]);
            w.f.place(over);
            w.f.op("nop", &[]);
        }
        Op::Loop => {
            let t = type_of(m, phalanx_isa::ArgType::T);
            let rounds = |w: &mut Writer<'_>| w.rng.below(5) as u64 + u64::from(w.legal);
            let n = if w.rng.one_in(3) {
                let one = rounds(&mut w);
                w.uniform(t, one)
            } else {
                let each: Vec<u64> = (0..lanes).map(|_| rounds(&mut w)).collect();
                w.varying(t, &each)
            };
            if !w.legal {
                fuel = Some(300);
            }
            let again = w.f.mark();
            w.f.place(again);
            w.f.op(&add, &[&v, &v, &other]);
            let to = w.f.to(again);
            w.f.push(*m, g, vec![n.clone(), to]);
            w.output(t, &n);
        }
        Op::Call | Op::Ret => more.push(call(&mut w, m, g, ty, &v, &other)),
        Op::Exit => w.f.push(*m, g, vec![]),
        Op::Trap => {
            let code = w.rng.below(1000) as u64;
            w.f.push(*m, g, vec![Operand::Imm(code)]);
        }
        _ => w.f.push(*m, g, vec![]),
    }
    w.f.op(&add, &[&v, &v, &other]);
    if let Some(skip) = skip {
        w.f.place(skip);
    }
    w.show(ty, &v, shown);
    w.f.op("exit", &[]);
    let mut case = w.finish_with(more);
    case.fuel = fuel;
    case
}

/// A call in the body, and the function it names: two parameters and a predicate, two results and a predicate. Where the case
/// is for `ret`, the guard is that of a return halfway.
fn call(
    w: &mut Writer<'_>,
    m: &Mnemonic,
    g: Option<phalanx_isa::Guard>,
    ty: Type,
    v: &Operand,
    other: &Operand,
) -> FuncWriter {
    let lanes = w.lanes();
    let flags: Vec<u64> = (0..lanes).map(|_| w.rng.below(2) as u64).collect();
    let p = w.varying(Type::Pred, &flags);
    let number = w.f.reg(Type::U32);
    w.f.op("mov.u32", &[&number, &Operand::Imm(3)]);
    let bits = values::random(w.rng, Type::U32);
    let second = match w.rng.below(3) {
        0 => Operand::Imm(bits),
        1 => Operand::Special(phalanx_isa::Special::LaneLinear),
        _ => w.scalar_of(Type::U32, bits),
    };
    let flag = w.f.pred();
    w.f.op("mov.pred", &[&flag, &Operand::Imm(1)]);
    let args = vec![
        Operand::List(vec![v.clone(), flag.clone(), number.clone()]),
        Operand::Func(1),
        Operand::List(vec![other.clone(), second, p.clone(), v.clone()]),
    ];
    let mut f = FuncWriter::new("f");
    let (a, b, q, c) = (f.reg(ty), f.reg(Type::U32), f.pred(), f.reg(ty));
    let (r, s, t) = (f.reg(ty), f.pred(), f.reg(Type::U32));
    f.signature(vec![a.clone(), b.clone(), q.clone(), c.clone()], vec![r.clone(), s.clone(), t.clone()]);
    f.op(&format!("add.{ty}"), &[&r, &a, &c]);
    f.op("not.pred", &[&s, &q]);
    f.op("add.u32", &[&t, &b, &Operand::Imm(7)]);
    if m.op == Op::Ret {
        // The guard belongs to the caller: the callee has the predicate that it was given.
        f.push(*m, guard(&q, g.is_some_and(|g| g.negate)), vec![]);
        f.op(&format!("sub.{ty}"), &[&r, &r, &a]);
        f.op("mov.u32", &[&t, &b]);
    }
    f.op("ret", &[]);
    let call = Mnemonic { op: Op::Call, modes: [0; 3], ty: None, ty2: None };
    w.f.push(call, g, args);
    w.output(Type::Pred, &flag);
    w.output(Type::U32, &number);
    if m.op == Op::Ret && w.rng.one_in(2) {
        // In the body, it ends the lane.
        w.f.push(*m, guard(&p, false), vec![]);
    }
    f
}

/// A ternary product per block, each on rows of its own.
fn native(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    w.grid = [w.rng.between(1, 3), 1, 1];
    let blocks = w.grid[0] as usize;
    let (n, k, rows) = (1 + w.rng.below(9), 1 + w.rng.below(70), w.rng.below(4));
    let first = w.rng.below(n);
    let width = w.rng.below(n - first + 1);
    let (ldy, ldx) = (width + w.rng.below(3), k + w.rng.below(3));
    let y: Vec<u64> = (0..blocks * rows.max(1) * ldy.max(1) + 3).map(|i| i as u64 * 77).collect();
    let y = w.buffer_of(Type::I32, Access::InOut, &y);
    let x: Vec<u64> = (0..rows * ldx + 2).map(|_| values::random(w.rng, Type::I8)).collect();
    let x = w.buffer_of(Type::I8, Access::In, &x);
    let (pn, pk) = (w.scalar_of(Type::U32, n as u64), w.scalar_of(Type::U32, k as u64));
    let (Operand::Param(pn), Operand::Param(pk)) = (pn, pk) else { unreachable!("scalars are parameters") };
    let weights = (0..n * k).map(|_| w.rng.below(3) as i8 - 1).collect();
    w.args.push(ArgSpec::Packed { n, k, weights });
    let packed = w.k.packed(Expr::Param(pn), Expr::Param(pk));
    let wrong = if w.legal { 0 } else { w.rng.below(5) };
    let mut numbers = [rows, first, width, ldy, ldx].map(|v| v as u64);
    if (1..4).contains(&wrong) {
        numbers[wrong - 1] += 7;
    }
    // Each block's rows follow those of the one before it.
    let at = w.f.reg(Type::U32);
    let step = Operand::Imm((rows * ldy) as u64);
    w.f.op("mul.u32", &[&at, &Operand::Special(phalanx_isa::Special::BlockLinear), &step]);
    let mut args = vec![element(y, &at, 1), Operand::Object(packed), element(x, &Operand::Imm(0), 1)];
    for (i, v) in numbers.into_iter().enumerate() {
        args.push(match w.rng.below(3) {
            0 => Operand::Imm(v),
            1 => w.scalar_of(Type::U32, v),
            _ => {
                // A register that varies as far as anybody can tell, and does not (or does, in one lane).
                let mut all = vec![v; w.lanes()];
                if wrong == 4 && i == 2 {
                    let odd = w.rng.below(all.len());
                    all[odd] ^= 1;
                }
                w.varying(Type::U32, &all)
            }
        });
    }
    w.f.push(*m, None, args);
    w.finish()
}
