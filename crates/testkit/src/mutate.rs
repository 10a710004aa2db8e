//! Damage: to modules (most of what comes out still has the right form), to bytes and to texts.

use crate::{Rng, values};
use phalanx_isa::*;

/// Damages a module once.
pub fn module(m: &mut Module, rng: &mut Rng) {
    if m.kernels.is_empty() {
        return;
    }
    let k = rng.below(m.kernels.len().min(2));
    let kernel = &mut m.kernels[k];
    if kernel.funcs.is_empty() || rng.one_in(14) {
        return declaration(kernel, rng);
    }
    let f = rng.below(kernel.funcs.len());
    if kernel.funcs[f].code.is_empty() {
        return;
    }
    match rng.below(12) {
        0 => remove(&mut kernel.funcs[f], rng),
        1 => insert(kernel, f, rng),
        2 => repeat(&mut kernel.funcs[f], rng),
        3 => {
            let code = &mut kernel.funcs[f].code;
            let (a, b) = (rng.below(code.len()), rng.below(code.len()));
            let (a, b) = if rng.one_in(2) { (a, (a + 1) % code.len()) } else { (a, b) };
            code.swap(a, b);
        }
        _ => instruction(kernel, f, rng),
    }
}

/// A type of an operand by its row.
fn arg_type(inst: &Inst, n: usize) -> Option<Type> {
    match inst.op.info().args.get(n)?.ty {
        ArgType::T => inst.ty,
        ArgType::S => inst.ty2,
        ArgType::Is(t) => Some(t),
        ArgType::None => None,
    }
}

fn registers(func: &Func, ty: Type) -> Vec<Operand> {
    if ty == Type::Pred {
        return (0..func.preds.len().min(16)).map(|p| Operand::Pred(p as u8)).collect();
    }
    let all = func.regs.iter().enumerate();
    all.filter(|(_, r)| r.as_ref().is_some_and(|r| r.ty == ty)).map(|(i, _)| Operand::Reg(i as u8)).collect()
}

/// A source of a type: a register, a number, a special register, a scalar.
fn source(kernel: &Kernel, f: usize, ty: Type, rng: &mut Rng) -> Operand {
    let regs = registers(&kernel.funcs[f], ty);
    match rng.below(8) {
        0 if ty.is_index() => Operand::Special(*rng.pick(Special::ALL)),
        1 => {
            let fits = |p: &Param| matches!(p.kind, ParamKind::Scalar(t) if t == ty);
            let found = kernel.params.iter().position(fits);
            found.map_or(Operand::Imm(1 & values::mask(ty)), |p| Operand::Param(p as u16))
        }
        2..=5 if !regs.is_empty() => rng.pick(&regs).clone(),
        _ => Operand::Imm(values::random(rng, ty)),
    }
}

fn instruction(kernel: &mut Kernel, f: usize, rng: &mut Rng) {
    let i = rng.below(kernel.funcs[f].code.len());
    let len = kernel.funcs[f].code.len();
    let preds = kernel.funcs[f].preds.len().max(1);
    let inst = kernel.funcs[f].code[i].clone();
    let mut new = inst.clone();
    match rng.below(10) {
        0 => {
            new.guard = match new.guard {
                Some(g) if rng.one_in(2) => Some(Guard { negate: !g.negate, ..g }),
                Some(_) => None,
                None => Some(Guard { pred: rng.below(preds) as u8, negate: rng.one_in(2) }),
            }
        }
        1 => {
            let info = inst.op.info();
            if !info.modes.is_empty() {
                let slot = rng.below(info.modes.len());
                new.modes[slot] = rng.below(info.modes[slot].words.len()) as u8;
            }
        }
        2 => {
            // Another operation with the same operands.
            let shape = |op: Op| op.info().args.iter().map(|a| (a.role, a.ty)).collect::<Vec<_>>();
            let like: Vec<Op> = Op::ALL.iter().copied().filter(|o| shape(*o) == shape(inst.op)).collect();
            let op = *rng.pick(&like);
            if op.info().allows([0; 3], inst.ty, inst.ty2) {
                (new.op, new.modes) = (op, [0; 3]);
            } else if op.info().implied_type().is_some() {
                (new.op, new.modes, new.ty) = (op, [0; 3], op.info().implied_type());
            }
        }
        3 => new.ty = new.ty.map(|_| *rng.pick(Type::ALL)),
        _ if !inst.args.is_empty() => {
            let n = rng.below(inst.args.len());
            let ty = arg_type(&inst, n);
            operand(kernel, f, &mut new.args[n], ty, len, rng);
            if rng.one_in(40) {
                new.args[n] = any_operand(len, rng);
            }
        }
        _ => {}
    }
    kernel.funcs[f].code[i] = new;
}

fn operand(kernel: &Kernel, f: usize, o: &mut Operand, ty: Option<Type>, len: usize, rng: &mut Rng) {
    let func = &kernel.funcs[f];
    match o {
        Operand::Reg(r) => {
            let held = func.regs.get(*r as usize).and_then(|r| r.as_ref()).map_or(Type::U32, |r| r.ty);
            // A register that an earlier mutation took away has no others of its type.
            let like = registers(func, held);
            *o = match rng.below(4) {
                1.. if !like.is_empty() => rng.pick(&like).clone(),
                _ => source(kernel, f, ty.unwrap_or(held), rng),
            };
        }
        Operand::Pred(_) => *o = Operand::Pred(rng.below(func.preds.len().max(1)) as u8),
        Operand::Imm(bits) => {
            let ty = ty.unwrap_or(Type::U64);
            *bits = match rng.below(3) {
                0 => values::random(rng, ty),
                1 => bits.wrapping_add(1) & values::mask(ty),
                _ => *bits ^ (1 << rng.below(ty.bits() as usize)),
            };
        }
        Operand::Special(s) => *s = *rng.pick(Special::ALL),
        Operand::Param(_) => *o = source(kernel, f, ty.unwrap_or(Type::U32), rng),
        Operand::Label(l) => {
            let outside = usize::from(rng.one_in(20));
            *l = rng.below(len + outside) as u32;
        }
        Operand::Func(g) => *g = rng.below(kernel.funcs.len() + 1) as u16,
        Operand::Object(_) | Operand::List(_) if rng.one_in(4) => *o = any_operand(len, rng),
        Operand::Object(_) => {}
        Operand::List(items) => {
            let ty = ty.or(Some(Type::U32));
            match rng.below(4) {
                0 => {
                    items.pop();
                }
                1 => {
                    let first = items.first().cloned();
                    items.extend(first);
                }
                _ if !items.is_empty() => {
                    let n = rng.below(items.len());
                    let held = match items[n] {
                        Operand::Reg(_) | Operand::Pred(_) => None,
                        _ => ty,
                    };
                    operand(kernel, f, &mut items[n], held, len, rng);
                }
                _ => {}
            }
        }
        Operand::Mem(mem) => match rng.below(6) {
            0 => mem.disp = *rng.pick(&[0, 1, -1, 7, 1 << 40, i64::MIN, 100]),
            1 => {
                mem.base = match mem.base {
                    Base::Param(_) => Base::Param(rng.below(kernel.params.len() + 1) as u16),
                    Base::Shared(_) => Base::Shared(rng.below(kernel.shared.len() + 1) as u16),
                    Base::Private(_) => Base::Private(rng.below(kernel.private.len() + 1) as u16),
                }
            }
            2 => mem.which = mem.which.is_none().then(|| Operand::Imm(rng.below(3) as u64)),
            _ => {
                let ty = *rng.pick(&[Type::U32, Type::I32, Type::U64, Type::I64]);
                mem.index = source(kernel, f, ty, rng);
            }
        },
    }
}

fn any_operand(len: usize, rng: &mut Rng) -> Operand {
    match rng.below(9) {
        0 => Operand::Reg(rng.bits() as u8),
        1 => Operand::Pred(rng.bits() as u8),
        2 => Operand::Imm(rng.bits()),
        3 => Operand::Special(*rng.pick(Special::ALL)),
        4 => Operand::Param(rng.below(70) as u16),
        5 => Operand::Label(rng.below(len + 2) as u32),
        6 => Operand::Func(rng.below(5) as u16),
        7 => Operand::Object(Base::Shared(rng.below(3) as u16)),
        _ => Operand::List(vec![Operand::Reg(rng.below(4) as u8), Operand::Imm(rng.bits() & 1)]),
    }
}

/// Moves what names instructions behind `at` by one.
fn shift(func: &mut Func, at: u32, by: i32) {
    let moved = |l: u32| if l > at { l.saturating_add_signed(by) } else { l };
    for o in func.code.iter_mut().flat_map(|i| &mut i.args) {
        if let Operand::Label(l) = o {
            *l = moved(*l);
        }
    }
    func.labels.iter_mut().for_each(|(l, _)| *l = moved(*l));
}

fn remove(func: &mut Func, rng: &mut Rng) {
    let i = rng.below(func.code.len());
    func.code.remove(i);
    shift(func, i as u32, -1);
}

fn repeat(func: &mut Func, rng: &mut Rng) {
    let from = rng.below(func.code.len());
    let to = if rng.one_in(2) { from } else { rng.below(func.code.len()) };
    let inst = func.code[from].clone();
    shift(func, to as u32, 1);
    func.code.insert(to, inst);
}

/// A kernel's declarations stay, its code becomes random instructions: any operation in any form that it has, operands mostly of
/// the right types.
pub fn random_code(m: &mut Module, rng: &mut Rng) {
    let Some(kernel) = m.kernels.first_mut() else { return };
    for f in 0..kernel.funcs.len() {
        let Some(last) = kernel.funcs[f].code.pop() else { continue };
        kernel.funcs[f].code.clear();
        kernel.funcs[f].labels.clear();
        // What registers hold at first.
        for r in 0..kernel.funcs[f].regs.len() {
            let Some(ty) = kernel.funcs[f].regs[r].as_ref().map(|r| r.ty) else { continue };
            let args = vec![Operand::Reg(r as u8), Operand::Imm(values::random(rng, ty))];
            let mov = Inst {
                op: Op::Mov,
                modes: [0; 3],
                ty: Some(ty),
                ty2: None,
                guard: None,
                args,
                loc: Loc::default(),
            };
            kernel.funcs[f].code.push(mov);
        }
        for p in 0..kernel.funcs[f].preds.len() {
            let args = vec![Operand::Pred(p as u8), Operand::Imm(rng.bits() & 1)];
            let ty = Some(Type::Pred);
            let mov =
                Inst { op: Op::Mov, modes: [0; 3], ty, ty2: None, guard: None, args, loc: Loc::default() };
            kernel.funcs[f].code.push(mov);
        }
        kernel.funcs[f].code.push(last);
        for _ in 0..rng.below(12) {
            insert(kernel, f, rng);
        }
    }
}

/// A new instruction whose operands have the right types.
fn insert(kernel: &mut Kernel, f: usize, rng: &mut Rng) {
    let op = *rng.pick(Op::ALL);
    let info = op.info();
    let rule = rng.pick(info.rules);
    let member = |set: TypeSet, rng: &mut Rng| {
        let all: Vec<Type> = set.iter().collect();
        if all.is_empty() { None } else { Some(*rng.pick(&all)) }
    };
    let mut modes = [0u8; 3];
    for (slot, set) in info.modes.iter().enumerate() {
        let fits: Vec<usize> = (0..set.words.len()).filter(|w| rule.modes[slot] >> w & 1 == 1).collect();
        modes[slot] = *rng.pick(&fits) as u8;
    }
    let (ty, ty2) = (member(rule.ty, rng), member(rule.ty2, rng));
    let at = rng.below(kernel.funcs[f].code.len());
    let len = kernel.funcs[f].code.len();
    let guard = rng
        .one_in(4)
        .then(|| Guard { pred: rng.below(kernel.funcs[f].preds.len().max(1)) as u8, negate: false });
    let mut inst = Inst { op, modes, ty, ty2, guard, args: Vec::new(), loc: Loc::default() };
    for (n, arg) in info.args.iter().enumerate() {
        let ty = arg_type(&inst, n).unwrap_or(Type::U32);
        let o = match arg.role {
            Role::W | Role::Rw => {
                let regs = registers(&kernel.funcs[f], ty);
                if regs.is_empty() { Operand::Reg(0) } else { rng.pick(&regs).clone() }
            }
            Role::R | Role::Uniform => source(kernel, f, ty, rng),
            Role::Imm => Operand::Imm(values::random(rng, ty)),
            Role::Label => Operand::Label(rng.below(len) as u32),
            Role::Func => Operand::Func(rng.below(kernel.funcs.len()) as u16),
            Role::Dests | Role::Srcs => Operand::List(Vec::new()),
            Role::List => Operand::List((0..2).map(|_| source(kernel, f, ty, rng)).collect()),
            Role::Packed | Role::Buffer => Operand::Object(object(kernel, ty, Space::Global, rng)),
            _ => {
                let slot = info.modes.iter().position(|m| m.name == "Space" || m.name == "SharedSpace");
                let space = slot.and_then(|s| Space::from_code(modes[s].into())).unwrap_or(Space::Global);
                let index_type = *rng.pick(&[Type::U32, Type::I32, Type::U64, Type::I64]);
                let index = match rng.below(3) {
                    0 => Operand::Special(Special::GlobalLinear),
                    _ => source(kernel, f, index_type, rng),
                };
                let base = object(kernel, ty, space, rng);
                Operand::Mem(Box::new(Mem { base, which: None, index, disp: 0 }))
            }
        };
        inst.args.push(o);
    }
    shift(&mut kernel.funcs[f], at as u32, 1);
    kernel.funcs[f].code.insert(at, inst);
}

/// An object of a space, of an element type if there is one.
fn object(kernel: &Kernel, ty: Type, space: Space, rng: &mut Rng) -> Base {
    let arrays = |list: &[Array]| -> Vec<u16> {
        list.iter().enumerate().filter(|(_, a)| a.elem == ty).map(|(i, _)| i as u16).collect()
    };
    let all: Vec<Base> = match space {
        Space::Shared => arrays(&kernel.shared).into_iter().map(Base::Shared).collect(),
        Space::Private => arrays(&kernel.private).into_iter().map(Base::Private).collect(),
        Space::Global => {
            let fits =
                |p: &Param| matches!(p.kind, ParamKind::Buffer { elem, count: None, .. } if elem == ty);
            let found = kernel.params.iter().enumerate().filter(|(_, p)| fits(p));
            found.map(|(i, _)| Base::Param(i as u16)).collect()
        }
    };
    if all.is_empty() { Base::Param(0) } else { *rng.pick(&all) }
}

fn declaration(kernel: &mut Kernel, rng: &mut Rng) {
    let any_type = *rng.pick(Type::ALL);
    match rng.below(8) {
        0 => kernel.block = Some([rng.between(0, 70), rng.between(1, 3), 1]),
        1 => kernel.block = None,
        2 if !kernel.params.is_empty() => {
            let n = rng.below(kernel.params.len());
            match &mut kernel.params[n].kind {
                ParamKind::Buffer { access, .. } => {
                    *access = *rng.pick(&[Access::In, Access::Out, Access::InOut]);
                }
                ParamKind::Scalar(t) => *t = any_type,
                ParamKind::Packed { n, .. } => *n = Expr::Const(rng.below(9) as u64),
            }
        }
        3 => {
            let shared = rng.one_in(2);
            let list = if shared { &mut kernel.shared } else { &mut kernel.private };
            if !list.is_empty() {
                let n = rng.below(list.len());
                list[n].len = *rng.pick(&[None, Some(0), Some(1), Some(65), Some(u64::MAX), Some(20_000)]);
            }
        }
        4 if !kernel.funcs.is_empty() => {
            let f = rng.below(kernel.funcs.len());
            let regs = &mut kernel.funcs[f].regs;
            if !regs.is_empty() {
                let n = rng.below(regs.len());
                regs[n] = (!rng.one_in(3)).then(|| Reg { ty: any_type, name: String::new() });
            }
        }
        5 => kernel.params.truncate(rng.below(kernel.params.len() + 1)),
        6 => kernel.grid = Some([Expr::Len(0), Expr::Const(1), Expr::Const(1)]),
        _ => kernel.name.push(*rng.pick(&['x', '_', '.', '\u{e9}'])),
    }
}

/// Damages bytes in place.
pub fn bytes(b: &mut Vec<u8>, rng: &mut Rng) {
    if b.is_empty() {
        return b.push(rng.bits() as u8);
    }
    let at = rng.below(b.len());
    match rng.below(7) {
        0 => b[at] ^= 1 << rng.below(8),
        1 => b[at] = rng.bits() as u8,
        2 => b[at] = *rng.pick(&[0, 1, 2, 127, 128, 255]),
        3 => b.insert(at, rng.bits() as u8),
        4 => {
            b.remove(at);
        }
        5 => b.truncate(at),
        _ => {
            let end = b.len().min(at + rng.below(30));
            let part = b[at..end].to_vec();
            let to = rng.below(b.len());
            b.splice(to..to, part);
        }
    }
}

/// Words that mean something, numbers at the edges, and signs.
const WORDS: &[&str] = &[
    "kernel",
    "func",
    "let",
    "const",
    "shared",
    "private",
    "block",
    "grid",
    "in",
    "out",
    "inout",
    "packed",
    "t2",
    "ceil",
    "min",
    "max",
    "len",
    "nan",
    "-inf",
    "0x",
    "1e",
    "1e999999999",
    "0f7fc00001",
    "99999999999999999999999999",
    "-1",
    "0",
    "255",
    "4294967296",
    "r0",
    "r255",
    "r256",
    "p15",
    "p16",
    "%lane.x",
    "%",
    "@p0",
    "@!p1",
    "@",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ":",
    "->",
    "+",
    "-",
    "*",
    "/",
    "=",
    "`",
    "\"",
    "//",
    "//!",
    "\n",
    "\t",
    "\r\n",
    "\u{0}",
    "\u{e9}",
    "\u{1f600}",
    "u32",
    "f32[]",
    "u8[][4]",
    ".loc 1:1",
    ".file \"x\"",
    ".body 1:2",
    ".name r5 \"x\"",
    ".registers 7",
    "..",
    "bra",
    "ret",
    "exit",
    "loop.u32",
    "call",
    "fold.add.f32",
    "ld.shared.f32",
    "st.u32",
    "atom.add.relaxed.u32",
    "trap",
    "<<",
    "1_000",
    "0b102",
    "1.5.2",
    ".7:",
    ".label \"l\"",
];

/// Damages a text; `others` are texts to take lines from.
pub fn text(t: &str, others: &[String], rng: &mut Rng) -> String {
    let mut chars: Vec<char> = t.chars().collect();
    let mut lines: Vec<String> = t.lines().map(str::to_string).collect();
    if chars.is_empty() || lines.is_empty() {
        return (*rng.pick(WORDS)).to_string();
    }
    let line = rng.below(lines.len());
    match rng.below(9) {
        0 => {
            let at = rng.below(chars.len());
            chars.remove(at);
            chars.into_iter().collect()
        }
        1 => {
            let at = rng.below(chars.len());
            chars[at] =
                *rng.pick(&['a', '0', ' ', '\n', '.', '%', '@', '(', ']', '-', '"', '`', '\u{fffd}', '9']);
            chars.into_iter().collect()
        }
        2 => {
            let at = rng.below(chars.len());
            let (before, after): (String, String) =
                (chars[..at].iter().collect(), chars[at..].iter().collect());
            format!("{before}{}{after}", rng.pick(WORDS))
        }
        3 => {
            lines.remove(line);
            lines.join("\n")
        }
        4 => {
            lines.insert(line, lines[rng.below(lines.len())].clone());
            lines.join("\n")
        }
        5 => {
            let to = rng.below(lines.len());
            lines.swap(line, to);
            lines.join("\n")
        }
        6 if !others.is_empty() => {
            let other: Vec<&str> = rng.pick(others).lines().collect();
            if !other.is_empty() {
                lines.insert(line, (*rng.pick(&other)).to_string());
            }
            lines.join("\n")
        }
        _ => {
            // A word of the line becomes another one.
            let words: Vec<&str> = lines[line].split_inclusive([' ', ',', '[', ']', '(', ')']).collect();
            if let Some(n) = (!words.is_empty()).then(|| rng.below(words.len())) {
                let mut words: Vec<String> = words.into_iter().map(str::to_string).collect();
                words[n] = format!("{} ", rng.pick(WORDS));
                lines[line] = words.concat();
            }
            lines.join("\n")
        }
    }
}
