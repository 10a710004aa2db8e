//! A kernel for every mnemonic: random operands with edge values; registers that vary, uniform registers, numbers, parameters
//! and special registers; guarded or not, where lanes run together or apart.

mod attention;
mod control;
mod memory;

use crate::emit::{FuncWriter, GLOBAL, KernelWriter, LANE, element, guard};
use crate::{ArgSpec, Case, Rng, values};
use phalanx_atlas::{Phase, PhaseWindow};
use phalanx_exec::LaunchClaims;
use phalanx_exec::resonance::BoundaryWindow;
use phalanx_isa::{Access, Arg, ArgType, Base, Guard, Kind, Mnemonic, Op, Operand, Role, Special, Type};

/// What a case is written into: the kernel, its body, and the bindings.
pub(crate) struct Writer<'r> {
    pub k: KernelWriter,
    pub f: FuncWriter,
    pub args: Vec<ArgSpec>,
    pub rng: &'r mut Rng,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// No lane is meant to trap.
    pub legal: bool,
}

impl<'r> Writer<'r> {
    fn new(rng: &'r mut Rng) -> Writer<'r> {
        let block = *rng.pick(&[
            [1, 1, 1],
            [32, 1, 1],
            [33, 1, 1],
            [70, 1, 1],
            [8, 5, 1],
            [129, 1, 1],
            [3, 7, 10],
            [300, 1, 1],
        ]);
        let grid = *rng.pick(&[[1, 1, 1], [2, 1, 1], [1, 3, 1]]);
        let legal = !rng.one_in(4);
        Writer { k: KernelWriter::new(), f: FuncWriter::new("k"), args: Vec::new(), rng, grid, block, legal }
    }
    pub fn block_lanes(&self) -> usize {
        self.block.iter().product::<u32>() as usize
    }
    /// Lanes of the launch.
    pub fn lanes(&self) -> usize {
        self.grid.iter().product::<u32>() as usize * self.block_lanes()
    }
    pub fn buffer_of(&mut self, ty: Type, access: Access, data: &[u64]) -> Base {
        self.args.push(ArgSpec::Buffer(ty, values::to_bytes(ty, data)));
        self.k.buffer(ty, access)
    }
    pub fn scalar_of(&mut self, ty: Type, bits: u64) -> Operand {
        self.args.push(ArgSpec::Scalar(ty, bits));
        self.k.scalar(ty)
    }
    /// A register or predicate that holds each lane's own value.
    pub fn varying(&mut self, ty: Type, data: &[u64]) -> Operand {
        let stored = if ty == Type::Pred { Type::U8 } else { ty };
        let base = self.buffer_of(stored, Access::In, data);
        let r = self.f.reg(stored);
        self.f.op(&format!("ld.{stored}"), &[&r, &element(base, &GLOBAL, 0)]);
        self.as_pred(ty, r)
    }
    /// A register or predicate that holds the same value in all lanes.
    pub fn uniform(&mut self, ty: Type, bits: u64) -> Operand {
        let stored = if ty == Type::Pred { Type::U8 } else { ty };
        let p = self.scalar_of(stored, bits);
        let r = self.f.reg(stored);
        self.f.op(&format!("mov.{stored}"), &[&r, &p]);
        self.as_pred(ty, r)
    }
    fn as_pred(&mut self, ty: Type, r: Operand) -> Operand {
        if ty != Type::Pred {
            return r;
        }
        let p = self.f.pred();
        self.f.op("set.ne.u8", &[&p, &r, &Operand::Imm(0)]);
        p
    }
    /// A place that shows its value: read from an output buffer before, to be written back by [`Writer::show`].
    pub fn result(&mut self, ty: Type) -> (Operand, Base) {
        let n = self.lanes();
        let stored = if ty == Type::Pred { Type::U8 } else { ty };
        let data: Vec<u64> = (0..n).map(|_| values::random(self.rng, ty)).collect();
        let base = self.buffer_of(stored, Access::InOut, &data);
        let r = self.f.reg(stored);
        self.f.op(&format!("ld.{stored}"), &[&r, &element(base, &GLOBAL, 0)]);
        (self.as_pred(ty, r), base)
    }
    /// Writes a value to where the lane's result belongs.
    pub fn show(&mut self, ty: Type, value: &Operand, base: Base) {
        let to = element(base, &GLOBAL, 0);
        if ty == Type::Pred {
            let r = self.f.reg(Type::U8);
            self.f.op("sel.u8", &[&r, &Operand::Imm(1), &Operand::Imm(0), value]);
            self.f.op("st.u8", &[&to, &r]);
        } else {
            self.f.op(&format!("st.{ty}"), &[&to, value]);
        }
    }
    /// Shows a value that every lane has.
    pub fn output(&mut self, ty: Type, value: &Operand) {
        let n = self.lanes();
        let stored = if ty == Type::Pred { Type::U8 } else { ty };
        let base = self.buffer_of(stored, Access::Out, &vec![0; n]);
        self.show(ty, value, base);
    }
    /// No guard, one that varies, or one that is the same everywhere.
    pub fn random_guard(&mut self) -> Option<Guard> {
        let negate = self.rng.one_in(2);
        match self.rng.below(4) {
            0 | 1 => None,
            2 => {
                let data: Vec<u64> = (0..self.lanes()).map(|_| self.rng.below(2) as u64).collect();
                guard(&self.varying(Type::Pred, &data), negate)
            }
            _ => {
                let bit = self.rng.below(2) as u64;
                guard(&self.uniform(Type::Pred, bit), negate)
            }
        }
    }
    /// Begins a part that only some lanes run.
    pub fn part_ways(&mut self) -> crate::emit::Mark {
        let data: Vec<u64> = (0..self.lanes()).map(|_| self.rng.below(3) as u64 % 2).collect();
        let p = self.varying(Type::Pred, &data);
        let skip = self.f.mark();
        let to = self.f.to(skip);
        self.f.guarded(guard(&p, false), "bra", &[&to]);
        skip
    }
    fn finish(mut self) -> Case {
        self.f.op("exit", &[]);
        self.finish_with(Vec::new())
    }
    pub fn finish_with(self, more: Vec<FuncWriter>) -> Case {
        let mut funcs = vec![self.f];
        funcs.extend(more);
        let mut case = Case::new(self.k.finish(funcs), self.args);
        (case.grid, case.block) = (self.grid, self.block);
        case.resonance_seed = self.rng.below(3) as u64 * 77;
        if !self.legal {
            case.claims = claims(self.rng);
        }
        case
    }
}

/// Some claims, which the launch may keep or break.
fn claims(rng: &mut Rng) -> LaunchClaims {
    let boundary = BoundaryWindow {
        page: rng.below(48) as u8,
        pages: rng.below(50) as u8,
        byte: rng.below(256) as u8,
        bytes: rng.below(300) as u16,
    };
    let begin = Phase::new(rng.below(768) as u16).unwrap_or_default();
    let phase = PhaseWindow { begin, span: rng.below(800) as u16 };
    LaunchClaims {
        mirror_safe: rng.one_in(6),
        neutral: rng.one_in(6),
        neighbours_only: rng.one_in(6),
        boundary: rng.one_in(3).then_some(boundary),
        phase: rng.one_in(3).then_some(phase),
    }
}

/// The type of an operand.
pub(crate) fn type_of(m: &Mnemonic, ty: ArgType) -> Type {
    let ty = match ty {
        ArgType::T => m.ty,
        ArgType::S => m.ty2,
        ArgType::Is(t) => Some(t),
        ArgType::None => None,
    };
    ty.unwrap_or(Type::U32)
}

/// A value for a source operand; where the case is to be legal, one that does not trap.
fn value(m: &Mnemonic, arg: &Arg, ty: Type, legal: bool, rng: &mut Rng) -> u64 {
    let below = |rng: &mut Rng, n: usize| rng.below(if legal { n } else { n + 2 }) as u64;
    match (m.op, arg.name) {
        (Op::Div | Op::Rem, "b") if legal && ty.is_int() => values::random(rng, ty).max(1),
        (Op::ClsMirror | Op::NbrCount | Op::UnityTest | Op::NbrGet, "c") => below(rng, 96),
        (Op::ResAccumI64 | Op::ResAccumF64 | Op::ResTestI64 | Op::ResTestF64, "c") => below(rng, 96),
        // Sums that fit, most of the time.
        (Op::ResAccumI64 | Op::ResTestI64, "a") if legal => values::small(ty, rng.below(4001) as i64 - 2000),
        (Op::ResAccumI64 | Op::ResTestI64, "b") if legal => {
            let b = i64::from(rng.between(1, 30));
            values::small(ty, if rng.one_in(3) { -b } else { b })
        }
        (Op::NbrGet, _) => below(rng, 5),
        (Op::PhiAddr, "class") => below(rng, 96),
        (Op::PhiAddr, "page") => below(rng, 48),
        (Op::PhiAddr, _) => below(rng, 256),
        // Lanes and distances across a subgroup, shift counts: around the widths as often as anything else.
        (_, "n") if rng.one_in(2) => rng.below(70) as u64,
        (Op::PhaseIn | Op::PhaseAdv, _) if rng.one_in(2) => rng.below(1600) as u64 & values::mask(ty),
        _ => values::random(rng, ty),
    }
}

/// A source operand in one of its forms.
fn source(w: &mut Writer<'_>, m: &Mnemonic, arg: &Arg, ty: Type) -> Operand {
    let legal = w.legal;
    let must_agree = arg.role == Role::Uniform && legal;
    let form = w.rng.below(if ty == Type::Pred { 2 } else { 6 });
    let one = value(m, arg, ty, legal, w.rng);
    match form {
        0 | 4 | 5 if !must_agree => {
            let data: Vec<u64> = (0..w.lanes()).map(|_| value(m, arg, ty, legal, w.rng)).collect();
            w.varying(ty, &data)
        }
        1 => w.uniform(ty, one),
        2 if ty != Type::Pred => w.scalar_of(ty, one),
        // Special registers hold what they hold: only where nothing can trap on it.
        3 if ty.is_index()
            && !m.op.info().effects.iter().any(|e| matches!(e, phalanx_isa::Effect::Trap(_))) =>
        {
            Operand::Special(*w.rng.pick(Special::ALL))
        }
        _ => Operand::Imm(one),
    }
}

/// A case for a mnemonic. The same seed gives the same case.
pub fn case(m: &Mnemonic, seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let info = m.op.info();
    let mut w = Writer::new(&mut rng);
    match info.kind {
        Kind::Memory => memory::write(&mut w, m),
        Kind::Control | Kind::Sync | Kind::Native => return control::case(w, m),
        Kind::Alu | Kind::Atlas | Kind::Subgroup | Kind::Block => plain(&mut w, m),
    }
    w.finish()
}

/// Operations that take sources and write one destination, or none.
fn plain(w: &mut Writer<'_>, m: &Mnemonic) {
    let info = m.op.info();
    let mut args = Vec::new();
    let mut shown = None;
    for arg in info.args {
        let ty = type_of(m, arg.ty);
        match arg.role {
            Role::W => {
                let (r, base) = w.result(ty);
                shown = Some((ty, r.clone(), base));
                args.push(r);
            }
            Role::List => {
                let n = w.rng.between(1, 5);
                args.push(Operand::List((0..n).map(|_| source(w, m, arg, ty)).collect()));
            }
            _ => {
                // Sometimes what is written is read, too.
                let own = shown.as_ref().filter(|(t, ..)| *t == ty).map(|(_, r, _)| r.clone());
                let o = match own {
                    Some(r) if w.rng.one_in(6) && (!w.legal || info.kind != Kind::Alu) => r,
                    Some(r) if w.rng.one_in(6) && !info.effects.iter().any(traps) => r,
                    _ => source(w, m, arg, ty),
                };
                args.push(o);
            }
        }
    }
    let g = match info.kind {
        // All lanes have to come to operations of the block.
        Kind::Block if w.legal => None,
        _ => w.random_guard(),
    };
    let apart = matches!(info.kind, Kind::Alu | Kind::Atlas) || !w.legal;
    let skip = if apart && w.rng.one_in(3) { Some(w.part_ways()) } else { None };
    if m.op == Op::PhaseIn || m.op == Op::PhaseGet {
        w.f.op("phase.adv", &[&Operand::Imm(700)]);
    }
    w.f.push(*m, g, args);
    if let Some(skip) = skip {
        w.f.place(skip);
    }
    match shown {
        Some((ty, r, base)) => w.show(ty, &r, base),
        None => {
            // Its effect is the lane's phase.
            let r = w.f.reg(Type::U32);
            w.f.op("phase.get", &[&r]);
            w.output(Type::U32, &r);
        }
    }
}

fn traps(e: &phalanx_isa::Effect) -> bool {
    matches!(e, phalanx_isa::Effect::Trap(_))
}

/// Numbers 0..n in any order.
pub(crate) fn permutation(rng: &mut Rng, n: usize) -> Vec<u64> {
    let mut all: Vec<u64> = (0..n as u64).collect();
    for i in (1..n).rev() {
        all.swap(i, rng.below(i + 1));
    }
    all
}

/// The lane's number in its block as a value of an index type, in a register.
pub(crate) fn lane_number(w: &mut Writer<'_>, ty: Type) -> Operand {
    let r = w.f.reg(ty);
    w.f.op(&format!("mov.{ty}"), &[&r, &LANE]);
    r
}
