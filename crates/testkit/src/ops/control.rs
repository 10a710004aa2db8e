//! Branches, calls, ends, barriers, fences, and operations of a whole block.

use super::{Writer, type_of};
use crate::Rng;
use crate::emit::{FuncWriter, element, guard};
use crate::{ArgSpec, Case, values};
use phalanx_isa::{Access, Algorithm, Expr, Kind, Mnemonic, Op, Operand, PackFormat, Role, Special, Type};
use phalanx_kernels::conv::{self, Conv, ConvShape, ImageOrder};

/// The whole case.
pub(super) fn case(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    if m.op.info().kind == Kind::Native {
        return match m.op {
            Op::Conv2dSum | Op::Conv2dQ | Op::Conv2dF => convolution(w, m),
            Op::Attend => super::attention::case(w, m),
            _ => native(w, m),
        };
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

/// A convolution per block, each of images of its own.
fn convolution(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    w.grid = [w.rng.between(1, 3), 1, 1];
    let blocks = w.grid[0] as usize;
    let size = |rng: &mut Rng| [1 + rng.below(6), 1 + rng.below(6)];
    let groups = 1 + w.rng.below(3);
    let (i, o) = if w.rng.one_in(3) { (1, 1) } else { (1 + w.rng.below(5), 1 + w.rng.below(5)) };
    let wide = if groups == 1 && w.rng.one_in(3) { 66 } else { 0 };
    let shape = ConvShape {
        order: if w.rng.one_in(2) { ImageOrder::Nhwc } else { ImageOrder::Nchw },
        input: size(w.rng),
        in_channels: groups * i,
        out_channels: groups * (o + wide),
        kernel: [1 + w.rng.below(3), 1 + w.rng.below(3)],
        stride: [1 + w.rng.below(2), 1 + w.rng.below(2)],
        // So much that every filter fits.
        pad: [4, w.rng.below(3), w.rng.below(3), 4],
        dilation: [1 + w.rng.below(2), 1 + w.rng.below(2)],
        groups,
        algorithm: None,
    };
    let word = m.op.info().modes.iter().position(|s| s.name == "Algorithm").map(|slot| m.modes[slot].into());
    let word = word.and_then(Algorithm::from_code).filter(|_| w.legal || w.rng.one_in(2));
    let asked = |algorithm, shape| ConvShape { algorithm: Some(algorithm), ..shape };
    let any = *w.rng.pick(m.op.info().packed);
    let (shape, format) = match word {
        Some(Algorithm::Winograd) => {
            let plain = ConvShape { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], groups: 1, ..shape };
            let channels = ConvShape { in_channels: i, out_channels: o + wide, ..plain };
            (asked(conv::Algorithm::Winograd, channels), PackFormat::F32)
        }
        Some(Algorithm::Fft) => (asked(conv::Algorithm::Fft, shape), PackFormat::F32),
        Some(Algorithm::Direct) => (asked(conv::Algorithm::Im2col, shape), any),
        Some(Algorithm::None) | None => (shape, any),
    };
    let conv = Conv::new(shape).unwrap_or_else(|e| unreachable!("a filter that fits: {e}"));
    let ty = |arg| type_of(m, arg);
    let input = m.op.info().args.iter().find(|a| a.name == "x").map_or(Type::I8, |a| ty(a.ty));
    let [height, width] = conv.output();
    let mut r0 = w.rng.below(height + 1);
    let mut rr = w.rng.below(height - r0 + 1);
    if shape.algorithm == Some(conv::Algorithm::Fft) {
        // Spectra are of all rows.
        (r0, rr) = (0, if r0 == 0 { 0 } else { height });
    }
    let unit = conv.channel_unit();
    let c0 = (w.rng.below(shape.out_channels / unit + 1) * unit).min(shape.out_channels);
    let cc = shape.out_channels - c0;
    let wrong = if w.legal { 0 } else { w.rng.below(6) };
    let first = match shape.order {
        ImageOrder::Nhwc => r0 * width * shape.out_channels + c0,
        ImageOrder::Nchw => c0 * conv.pixels() + r0 * width,
    };
    let mut args: Vec<Operand> = Vec::new();
    let mut output = None;
    for arg in m.op.info().args {
        let ty = type_of(m, arg.ty);
        let number = match (arg.role, arg.name) {
            (Role::Out, _) => {
                let data: Vec<u64> = (0..blocks * conv.output_len() + 2).map(|i| i as u64 * 77).collect();
                let buffer = w.buffer_of(ty, Access::InOut, &data);
                let at = w.f.reg(Type::U32);
                let each = Operand::Imm(conv.output_len() as u64);
                w.f.op("mul.u32", &[&at, &Operand::Special(Special::BlockLinear), &each]);
                args.push(element(buffer, &at, first as i64));
                output = Some((buffer, at, ty));
                continue;
            }
            (Role::Input, name) => {
                let n = if name == "x" { conv.image_len() + 2 } else { shape.out_channels + 1 };
                let data: Vec<u64> = (0..n).map(|_| values::random(w.rng, ty)).collect();
                // What nobody writes is read where it lies; the rest by way of atomics.
                let access = if w.rng.one_in(3) { Access::InOut } else { Access::In };
                let buffer = w.buffer_of(ty, access, &data);
                args.push(element(buffer, &Operand::Imm(0), 1));
                continue;
            }
            (Role::Packed, _) => {
                let filters = ArgSpec::filters(format, shape, w.rng);
                w.args.push(filters);
                let k = (conv.taps() * conv.group_in()) as u64;
                let (n, k) = (Expr::Const(shape.out_channels as u64), Expr::Const(k));
                args.push(Operand::Object(w.k.packed(format, n, k)));
                continue;
            }
            (_, "r0") => r0 + 9 * usize::from(wrong == 1),
            (_, "rr") => rr + 9 * usize::from(wrong == 2),
            (_, "c0") => c0 + usize::from(wrong == 3),
            (_, "cc") => cc + usize::from(wrong == 4),
            (_, "zx") if input == Type::F32 => usize::from(wrong == 5),
            _ => w.rng.below(128) + 900 * usize::from(wrong == 5),
        } as u64;
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
    if let Some((buffer, at, ty)) = output.filter(|_| w.rng.one_in(3)) {
        let v = w.f.reg(ty);
        w.f.op(&format!("ld.{ty}"), &[&v, &element(buffer, &at, 1)]);
    }
    w.finish()
}

/// A native operation per block, each on rows of its own: sizes by the names that the table gives its operands.
fn native(mut w: Writer<'_>, m: &Mnemonic) -> Case {
    w.grid = [w.rng.between(1, 3), 1, 1];
    let blocks = w.grid[0] as usize;
    let (n, rows) = (1 + w.rng.below(9), w.rng.below(4));
    let most = if w.rng.one_in(4) { 300 } else { 70 };
    let k = 1 + w.rng.below(most);
    let first = w.rng.below(n);
    let width = w.rng.below(n - first + 1);
    let out_width = if m.op == Op::QuantRows { k } else { width };
    let (ldy, ldx) = (out_width + w.rng.below(3), k + w.rng.below(3));
    // Panels of 64 columns.
    let ldb = 64 * k + w.rng.below(3);
    let wrong = if w.legal { 0 } else { w.rng.below(5) };
    // Each block's rows follow those of the one before it.
    let step = |w: &mut Writer<'_>, n: usize| {
        let at = w.f.reg(Type::U32);
        w.f.op("mul.u32", &[&at, &Operand::Special(Special::BlockLinear), &Operand::Imm(n as u64)]);
        at
    };
    let mut args: Vec<Operand> = Vec::new();
    let mut outputs = Vec::new();
    for arg in m.op.info().args {
        let ty = type_of(m, arg.ty);
        let values = |w: &mut Writer<'_>, n: usize| -> Vec<u64> {
            (0..n).map(|_| values::random(w.rng, ty)).collect()
        };
        let number = match (arg.role, arg.name) {
            (Role::Out, name) => {
                let (each, extra) = if name == "scale" { (rows, 2) } else { (rows * ldy, 3) };
                let data: Vec<u64> = (0..blocks * each + extra).map(|i| i as u64 * 77).collect();
                let buffer = w.buffer_of(ty, Access::InOut, &data);
                let at = step(&mut w, each);
                outputs.push((buffer, at.clone(), ty));
                args.push(element(buffer, &at, 1));
                continue;
            }
            (Role::Input, name) => {
                let n = match name {
                    "scale" => rows + 1,
                    "bias" => n + 1,
                    "b" => width.div_ceil(64) * ldb + 1,
                    _ => rows * ldx + 2,
                };
                let data = values(&mut w, n);
                // What nobody writes is read where it lies; the rest by way of atomics.
                let access = if w.rng.one_in(3) { Access::InOut } else { Access::In };
                let buffer = w.buffer_of(ty, access, &data);
                args.push(element(buffer, &Operand::Imm(0), i64::from(name == "bias")));
                continue;
            }
            (Role::Packed, _) => {
                let (pn, pk) = (w.scalar_of(Type::U32, n as u64), w.scalar_of(Type::U32, k as u64));
                let (Operand::Param(pn), Operand::Param(pk)) = (pn, pk) else {
                    unreachable!("scalars are parameters")
                };
                let format = *w.rng.pick(m.op.info().packed);
                let weights = ArgSpec::packed(format, n, k, w.rng);
                w.args.push(weights);
                args.push(Operand::Object(w.k.packed(format, Expr::Param(pn), Expr::Param(pk))));
                continue;
            }
            (_, "m") => rows + 7 * usize::from(wrong == 1),
            (_, "n0") => first + 7 * usize::from(wrong == 2),
            (_, "nn" | "n") => width + 7 * usize::from(wrong == 3),
            (_, "ldb") => ldb,
            (_, "k") => k + 7 * usize::from(wrong == 3),
            (_, "ldx") => ldx,
            _ => ldy,
        } as u64;
        let operand = match w.rng.below(3) {
            0 => Operand::Imm(number),
            1 => w.scalar_of(Type::U32, number),
            _ => {
                // A register that varies as far as anybody can tell, and does not (or does, in one lane).
                let mut all = vec![number; w.lanes()];
                if wrong == 4 && matches!(arg.name, "nn" | "k") {
                    let odd = w.rng.below(all.len());
                    all[odd] ^= 1;
                }
                w.varying(Type::U32, &all)
            }
        };
        args.push(operand);
    }
    w.f.push(*m, None, args);
    // A buffer that ordinary instructions touch too is written in another way.
    if w.rng.one_in(3) {
        let (buffer, at, ty) = outputs.swap_remove(w.rng.below(outputs.len()));
        let v = w.f.reg(ty);
        w.f.op(&format!("ld.{ty}"), &[&v, &element(buffer, &at, 1)]);
    }
    w.finish()
}
