//! How memory indices move from lane to lane: a form `uniform + c * lane` per register, modulo the register's width.
//!
//! A hint, for choosing and explaining fast paths. It looks at what lanes that run together compute, so a loop that lanes leave
//! at different times does not spoil its counter, and it leaves wrapping aside. An executor that relies on it checks the
//! first and the last lane's index.

use super::cfg::Cfg;
use super::locals::{Origin, Users};
use super::uniform::{Divergence, Geometry, Uniformity};
use crate::vars::{Use, Var, visit, writes};
use phalanx_isa::{Effect, Func, Inst, Kind, Op, Operand, Role, Special, Type};

/// How the element index of a memory instruction differs between neighbouring lanes (by `%lane.linear`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessPattern {
    /// The same element for all lanes.
    Uniform,
    /// The next lane has the next element.
    Contiguous,
    /// The next lane is this many elements away.
    Strided(i64),
    /// Nothing is known.
    Varying,
}

/// Elements by which the index grows per step of `lane.linear`, `lane.x`, `lane.y`, `lane.z`.
type Steps = [i64; 4];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not computed yet.
    Top,
    Steps(Steps),
    Varying,
}

enum Work {
    Var(Var),
    Value(u32),
}

const UNIFORM: Form = Form::Steps([0; 4]);

struct Solver<'a> {
    func: &'a Func,
    cfg: &'a Cfg,
    uniform: &'a Uniformity,
    geometry: Geometry,
    /// By variable: all its values taken together.
    forms: Vec<Form>,
    /// By instruction: what it writes, for reads in the same block.
    values: Vec<Form>,
    defs: Vec<u32>,
}

/// The pattern of every load, store and atomic of a function, by instruction, ascending.
pub(crate) fn patterns(
    func: &Func,
    cfg: &Cfg,
    uniform: &Uniformity,
    users: &Users,
    geometry: Geometry,
) -> Vec<(u32, AccessPattern)> {
    let mut defs = vec![0u32; Var::COUNT];
    let mut forms = vec![Form::Top; Var::COUNT];
    for v in func.params.iter().filter_map(Var::of) {
        defs[v.index()] += 1;
        forms[v.index()] = if uniform.is_uniform(v) { UNIFORM } else { Form::Varying };
    }
    for (i, inst) in func.code.iter().enumerate() {
        let counts = uniform.locals().escapes(i as u32);
        visit(inst, &mut |v, u| defs[v.index()] += u32::from(counts && u == Use::Write));
    }
    let mut s =
        Solver { func, cfg, uniform, geometry, forms, values: vec![Form::Top; func.code.len()], defs };
    let mut work: Vec<Work> = Vec::new();
    (0..func.code.len() as u32).for_each(|i| s.step(i, &mut work));
    while let Some(item) = work.pop() {
        match item {
            Work::Var(v) => users.range(v).for_each(|at| s.step(users.list[at], &mut work)),
            Work::Value(i) => {
                uniform.locals().readers(i).iter().for_each(|user| s.step(*user, &mut work));
            }
        }
    }
    let mut found = Vec::new();
    for (i, inst) in func.code.iter().enumerate() {
        for (arg, operand) in inst.op.info().args.iter().zip(&inst.args) {
            if let (Role::Load | Role::Store | Role::Atomic, Operand::Mem(m)) = (arg.role, operand) {
                found.push((i as u32, s.classify(s.operand(i as u32, &m.index))));
            }
        }
    }
    found
}

impl Solver<'_> {
    /// Computes an instruction's results anew and notes the variables whose form changed.
    fn step(&mut self, i: u32, work: &mut Vec<Work>) {
        let inst = &self.func.code[i as usize];
        let block = self.cfg.block_of(i);
        if !self.cfg.reachable(block) {
            return;
        }
        let guarded = inst.guard.is_some_and(|g| !self.uniform.is_uniform_at(i, Var::Pred(g.pred)));
        let mixes = guarded || self.uniform.divergence(block) == Divergence::Split;
        let value = self.result(i, inst);
        // Values only descend, so that this ends.
        let value = match self.values[i as usize] {
            Form::Top => value,
            old if old == value => value,
            _ => Form::Varying,
        };
        if value != self.values[i as usize] {
            self.values[i as usize] = value;
            work.push(Work::Value(i));
        }
        let set = writes(inst);
        // What is replaced in the same block is no value of the variable to others.
        let escapes = self.uniform.locals().escapes(i);
        visit(inst, &mut |v, u| {
            if u != Use::Write || !set.contains(v) || !escapes {
                return;
            }
            let new = match value {
                _ if self.uniform.is_uniform(v) => UNIFORM,
                // Where lanes come from different paths they may hold different writes.
                Form::Steps(_) if mixes && self.defs[v.index()] > 1 => Form::Varying,
                value => value,
            };
            let old = self.forms[v.index()];
            let joined = match (old, new) {
                (Form::Top, x) | (x, Form::Top) => x,
                (a, b) if a == b => a,
                _ => Form::Varying,
            };
            if joined != old {
                self.forms[v.index()] = joined;
                work.push(Work::Var(v));
            }
        });
    }

    /// The form of what an instruction computes.
    fn result(&self, i: u32, inst: &Inst) -> Form {
        let info = inst.op.info();
        let arg = |n: usize| inst.args.get(n).map_or(Form::Varying, |o| self.operand(i, o));
        let int = inst.ty.is_some_and(Type::is_int);
        let moved = match inst.op {
            Op::Mov => arg(1),
            Op::Cvt if int && inst.ty2.is_some_and(Type::is_int) => arg(1),
            Op::Add if int => combine(arg(1), arg(2), i64::checked_add),
            Op::Sub if int => combine(arg(1), arg(2), i64::checked_sub),
            Op::Neg if int => combine(UNIFORM, arg(1), i64::checked_sub),
            Op::Mul if int => self.product(i, inst, 1, 2),
            Op::Mad if int => combine(self.product(i, inst, 1, 2), arg(3), i64::checked_add),
            Op::Shl if int => match inst.args.get(2) {
                Some(Operand::Imm(n)) if *n < 62 => scale(arg(1), 1 << n),
                _ => Form::Varying,
            },
            Op::Loop => arg(0),
            _ => Form::Varying,
        };
        if moved != Form::Varying {
            return moved;
        }
        // Any function of uniform values is uniform.
        let pure = match info.kind {
            Kind::Alu | Kind::Control => !info.has(Effect::Call),
            Kind::Memory => !info.has(Effect::MemAtomic) && !info.has(Effect::Pool),
            _ => inst.op == Op::ClsGet || info.kind == Kind::Block,
        };
        if !pure {
            return Form::Varying;
        }
        let sources = info.args.iter().zip(&inst.args).filter(|(a, _)| a.role != Role::W);
        let mut all = UNIFORM;
        for (_, o) in sources {
            let form = match o {
                _ if info.kind == Kind::Block => UNIFORM,
                Operand::Mem(m) if matches!(m.base, phalanx_isa::Base::Private(_)) => Form::Varying,
                Operand::Mem(m) => self.operand(i, &m.index),
                Operand::List(items) => {
                    let odd = items.iter().map(|o| self.operand(i, o)).find(|f| *f != UNIFORM);
                    odd.unwrap_or(UNIFORM)
                }
                o => self.operand(i, o),
            };
            match form {
                UNIFORM => {}
                Form::Top => all = Form::Top,
                _ => return Form::Varying,
            }
        }
        all
    }

    fn operand(&self, i: u32, o: &Operand) -> Form {
        match o {
            Operand::Special(s) if self.geometry.uniform(*s) => UNIFORM,
            Operand::Special(s) => match s {
                Special::LaneLinear | Special::GlobalLinear => Form::Steps([1, 0, 0, 0]),
                Special::LaneX | Special::GlobalX => Form::Steps([0, 1, 0, 0]),
                Special::LaneY | Special::GlobalY => Form::Steps([0, 0, 1, 0]),
                Special::LaneZ | Special::GlobalZ => Form::Steps([0, 0, 0, 1]),
                _ => Form::Varying,
            },
            Operand::Mem(_) | Operand::List(_) => Form::Varying,
            o => match Var::of(o) {
                Some(v) if self.uniform.is_uniform_at(i, v) => UNIFORM,
                Some(v) => match self.uniform.locals().origin(i, v) {
                    Origin::Here(d) => self.values[d as usize],
                    Origin::Elsewhere => self.forms[v.index()],
                    Origin::Mixed => Form::Varying,
                },
                None => UNIFORM,
            },
        }
    }

    /// A number known now.
    fn constant(&self, o: &Operand, ty: Option<Type>) -> Option<i64> {
        let dim = |axis: usize| self.geometry.block.map(|b| i64::from(b[axis]));
        match (o, ty) {
            (Operand::Imm(bits), Some(ty)) => {
                let unused = 64 - ty.bits();
                Some(if ty.class() == phalanx_isa::Class::Sint {
                    ((*bits << unused) as i64) >> unused
                } else {
                    i64::try_from(*bits).ok()?
                })
            }
            (Operand::Special(Special::BlockDimX), _) => dim(0),
            (Operand::Special(Special::BlockDimY), _) => dim(1),
            (Operand::Special(Special::BlockDimZ), _) => dim(2),
            _ => None,
        }
    }

    fn product(&self, i: u32, inst: &Inst, a: usize, b: usize) -> Form {
        let (Some(a), Some(b)) = (inst.args.get(a), inst.args.get(b)) else { return Form::Varying };
        match (self.constant(a, inst.ty), self.constant(b, inst.ty)) {
            (Some(c), _) => scale(self.operand(i, b), c),
            (_, Some(c)) => scale(self.operand(i, a), c),
            _ => match (self.operand(i, a), self.operand(i, b)) {
                (UNIFORM, UNIFORM) => UNIFORM,
                (Form::Varying, _) | (_, Form::Varying) => Form::Varying,
                (Form::Top, _) | (_, Form::Top) => Form::Top,
                _ => Form::Varying,
            },
        }
    }

    fn classify(&self, form: Form) -> AccessPattern {
        let Form::Steps([linear, x, y, z]) = form else { return AccessPattern::Varying };
        let stride = match self.geometry.block {
            // Without a declared size only one axis can be told: rows of lanes along x.
            None if y == 0 && z == 0 && (x == 0 || linear == 0) => Some(linear.wrapping_add(x)),
            None => None,
            Some(block) => {
                let mut lanes = 1i64;
                let mut stride = None;
                let mut agree = true;
                for (extent, step) in block.into_iter().zip([x, y, z]) {
                    if extent > 1 {
                        // Per step of this axis `lanes` lanes pass: the whole must be a multiple.
                        let total = linear.checked_mul(lanes).and_then(|l| l.checked_add(step));
                        let one = total.filter(|t| t % lanes == 0).map(|t| t / lanes);
                        agree &= one.is_some() && (stride.is_none() || stride == one);
                        stride = one;
                    }
                    lanes = lanes.saturating_mul(i64::from(extent.max(1)));
                }
                Some(stride.unwrap_or(0)).filter(|_| agree)
            }
        };
        match stride {
            None => AccessPattern::Varying,
            Some(0) => AccessPattern::Uniform,
            Some(1) => AccessPattern::Contiguous,
            Some(n) => AccessPattern::Strided(n),
        }
    }
}

fn combine(a: Form, b: Form, op: fn(i64, i64) -> Option<i64>) -> Form {
    match (a, b) {
        (Form::Varying, _) | (_, Form::Varying) => Form::Varying,
        (Form::Top, _) | (_, Form::Top) => Form::Top,
        (Form::Steps(a), Form::Steps(b)) => {
            let mut sum = [0; 4];
            for i in 0..4 {
                match op(a[i], b[i]) {
                    Some(v) => sum[i] = v,
                    None => return Form::Varying,
                }
            }
            Form::Steps(sum)
        }
    }
}

fn scale(a: Form, by: i64) -> Form {
    combine(a, Form::Steps([by; 4]), i64::checked_mul)
}
