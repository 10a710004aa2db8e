//! The statements of a function.

use super::{Maker, Signature, may_trap};
use crate::emit::{FuncWriter, GLOBAL, LANE, Mark, element, guard};
use crate::ops::type_of;
use crate::values;
use phalanx_isa::{Guard, Op, Operand, Role, Special, Type};
use std::collections::HashMap;

/// Who comes along together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Together {
    /// Nobody need.
    Lane,
    /// All lanes of each subgroup that is here.
    Subgroup,
    /// All lanes of the block.
    Block,
}

/// A function being written.
pub(crate) struct Body {
    pub f: FuncWriter,
    number: u16,
    /// Registers that statements read and write, by type.
    pub regs: Vec<(Type, Vec<Operand>)>,
    pub preds: Vec<Operand>,
    /// For values that are used at once.
    scratch: HashMap<Type, Operand>,
    /// Registers that are the same in all lanes.
    uniform: Vec<Operand>,
    condition: Operand,
    /// Registers that count rounds and are not in use.
    counters: Vec<Operand>,
    /// Where the innermost loop ends, where it may be left from anywhere.
    leave: Option<Mark>,
}

impl Body {
    pub fn new(name: &str, number: u16, m: &mut Maker<'_>) -> Body {
        let mut f = FuncWriter::new(name);
        let per_type = if number == 0 { 3 } else { 2 };
        let regs = m.types.iter().map(|ty| (*ty, (0..per_type).map(|_| f.reg(*ty)).collect())).collect();
        let preds = (0..4).map(|_| f.pred()).collect();
        let condition = f.pred();
        let uniform: Vec<Operand> = (0..2).map(|_| f.reg(Type::U32)).collect();
        f.op("mov.u32", &[&uniform[0], &Operand::Special(Special::BlockLinear)]);
        let scalar = m.scalars.iter().find(|(_, t)| *t == Type::U32).map(|(o, _)| o.clone());
        f.op("and.u32", &[&uniform[1], &scalar.unwrap_or(Operand::Imm(5)), &Operand::Imm(7)]);
        let (scratch, counters) = (HashMap::new(), Vec::new());
        Body { f, number, regs, preds, scratch, uniform, condition, counters, leave: None }
    }

    /// Gives the predicates their first values.
    pub fn set_predicates(&mut self, m: &mut Maker<'_>) {
        for p in self.preds.clone() {
            let ty = *m.rng.pick(&m.types);
            let (r, other) = (self.reg(m, ty), self.source(m, ty));
            self.f.op(&format!("set.{}.{ty}", if m.rng.one_in(2) { "lt" } else { "ge" }), &[&p, &r, &other]);
        }
    }

    pub fn scratch(&mut self, ty: Type) -> Operand {
        if let Some(r) = self.scratch.get(&ty) {
            return r.clone();
        }
        let r = self.f.var(ty);
        self.scratch.insert(ty, r.clone());
        r
    }
    /// A register of a type that the program has, or a predicate.
    pub fn reg(&self, m: &mut Maker<'_>, ty: Type) -> Operand {
        if ty == Type::Pred {
            return m.rng.pick(&self.preds).clone();
        }
        match self.regs.iter().find(|(t, _)| *t == ty) {
            Some((_, all)) => m.rng.pick(all).clone(),
            None => Operand::Imm(values::random(m.rng, ty)),
        }
    }
    fn source(&self, m: &mut Maker<'_>, ty: Type) -> Operand {
        match m.rng.below(10) {
            0 => Operand::Imm(values::random(m.rng, ty)),
            1 if ty != Type::Pred => {
                m.scalars.iter().find(|(_, t)| *t == ty).map_or(Operand::Imm(0), |(o, _)| o.clone())
            }
            2 if ty.is_index() => Operand::Special(*m.rng.pick(Special::ALL)),
            3 if ty == Type::U32 => m.rng.pick(&self.uniform).clone(),
            _ => self.reg(m, ty),
        }
    }
    fn pred(&self, m: &mut Maker<'_>) -> Option<Guard> {
        let negate = m.rng.one_in(2);
        guard(m.rng.pick(&self.preds), negate)
    }
    fn guard(&self, m: &mut Maker<'_>) -> Option<Guard> {
        if m.rng.one_in(3) { self.pred(m) } else { None }
    }
    fn counter(&mut self) -> Operand {
        self.counters.pop().unwrap_or_else(|| self.f.reg(Type::U32))
    }

    /// Statements; `depth` counts what they are nested in.
    pub fn statements(&mut self, m: &mut Maker<'_>, n: u32, together: Together, depth: u32) {
        for _ in 0..n {
            self.statement(m, together, depth);
        }
    }

    fn statement(&mut self, m: &mut Maker<'_>, together: Together, depth: u32) {
        let nested = depth < 3 && self.f.len() < 700;
        match m.rng.below(30) {
            9 | 10 if nested => self.branch(m, together, depth),
            11 | 12 if nested => self.counted_loop(m, together, depth),
            13 if nested => self.two_exits(m, depth),
            14 if nested => self.gotos(m, depth),
            15 | 16 => self.call(m, together),
            17 | 18 => self.memory(m),
            19 => self.update(m),
            20 | 21 if together == Together::Block => self.exchange(m),
            22 | 23 if together >= Together::Subgroup && m.collectives => self.across(m),
            24 | 25 if together == Together::Block => self.whole_block(m),
            26 => self.state(m),
            27 => self.pool(m),
            28 => self.end_some(m),
            29 => self.compare(m),
            _ => self.alu(m),
        }
    }

    fn compare(&mut self, m: &mut Maker<'_>) {
        let p = m.rng.pick(&self.preds).clone();
        let k = Operand::Imm(m.rng.between(1, 200).into());
        let special = *m.rng.pick(&[Special::LaneX, Special::LaneLinear, Special::SubgroupLane]);
        self.f.op("set.lt.u32", &[&p, &Operand::Special(special), &k]);
    }

    fn alu(&mut self, m: &mut Maker<'_>) {
        let mnemonic = *m.rng.pick(&m.alu);
        let checked = may_trap(&mnemonic) && !m.may_trap(6);
        let mut args = Vec::new();
        for arg in mnemonic.op.info().args {
            let ty = type_of(&mnemonic, arg.ty);
            args.push(match arg.role {
                Role::W => self.reg(m, ty),
                Role::List => {
                    let n = m.rng.between(1, 6);
                    Operand::List((0..n).map(|_| self.source(m, ty)).collect())
                }
                _ if checked => self.legal_source(m, mnemonic.op, arg.name, ty),
                _ => self.source(m, ty),
            });
        }
        let g = self.guard(m);
        self.f.push(mnemonic, g, args);
    }

    /// A source that does not make an operation trap.
    fn legal_source(&mut self, m: &mut Maker<'_>, op: Op, name: &str, ty: Type) -> Operand {
        let limit = match (op, name) {
            (Op::Div | Op::Rem, "b") => {
                let (s, v) = (self.scratch(ty), self.source(m, ty));
                self.f.op(&format!("or.{ty}"), &[&s, &v, &Operand::Imm(1)]);
                return s;
            }
            (Op::Div | Op::Rem, _) => return self.source(m, ty),
            (Op::PhiAddr, "page") => 48,
            (Op::PhiAddr, "byte") => 256,
            (Op::NbrGet, "i") => 5,
            _ => 96,
        };
        if limit != 96 || m.rng.one_in(2) {
            return Operand::Imm(m.rng.below(limit) as u64);
        }
        let (s, v) = (self.scratch(Type::U32), self.source(m, Type::U32));
        self.f.op("rem.u32", &[&s, &v, &Operand::Imm(limit as u64)]);
        s
    }

    /// if, with or without else: on a predicate that varies, on the subgroup's number, or on something uniform.
    fn branch(&mut self, m: &mut Maker<'_>, together: Together, depth: u32) {
        let (other, end) = (self.f.mark(), self.f.mark());
        let (to_other, to_end) = (self.f.to(other), self.f.to(end));
        let k = Operand::Imm(m.rng.below(4) as u64);
        let (g, inside) = match m.rng.below(4) {
            0 => {
                let (u, c) = (m.rng.pick(&self.uniform).clone(), self.condition.clone());
                self.f.op("set.lt.u32", &[&c, &u, &k]);
                (guard(&c, m.rng.one_in(2)), together)
            }
            1 => {
                let c = self.condition.clone();
                self.f.op("set.lt.u32", &[&c, &Operand::Special(Special::SubgroupId), &k]);
                (guard(&c, m.rng.one_in(2)), together.min(Together::Subgroup))
            }
            _ => (self.pred(m), Together::Lane),
        };
        let two = m.rng.one_in(2);
        self.f.guarded(g, "bra", &[if two { &to_other } else { &to_end }]);
        let n = m.rng.between(1, 3);
        self.statements(m, n, inside, depth + 1);
        if two {
            self.f.op("bra", &[&to_end]);
            self.f.place(other);
            let n = m.rng.between(1, 3);
            self.statements(m, n, inside, depth + 1);
        }
        self.f.place(end);
    }

    /// Rounds by `loop`: each lane its own number, or all the same; sometimes entered in the middle, sometimes left early.
    fn counted_loop(&mut self, m: &mut Maker<'_>, together: Together, depth: u32) {
        let n = self.counter();
        let same = m.rng.one_in(2);
        if same {
            self.f.op("mov.u32", &[&n, &Operand::Imm(m.rng.between(1, 3).into())]);
        } else {
            let from = self.source(m, Type::U32);
            self.f.op("and.u32", &[&n, &from, &Operand::Imm(3)]);
            self.f.op("add.u32", &[&n, &n, &Operand::Imm(1)]);
        }
        let (again, middle, out) = (self.f.mark(), self.f.mark(), self.f.mark());
        let (to_again, to_middle) = (self.f.to(again), self.f.to(middle));
        let early = !same && m.rng.one_in(2);
        let inside = if same { together } else { Together::Lane };
        let outer = std::mem::replace(&mut self.leave, early.then_some(out));
        if inside == Together::Lane && m.rng.one_in(3) {
            let g = self.pred(m);
            self.f.guarded(g, "bra", &[&to_middle]);
        }
        self.f.place(again);
        let count = m.rng.between(1, 3);
        self.statements(m, count, inside, depth + 1);
        if early {
            let (g, to) = (self.pred(m), self.f.to(out));
            self.f.guarded(g, "bra", &[&to]);
        }
        self.f.place(middle);
        self.statements(m, 1, inside, depth + 1);
        self.f.op("loop.u32", &[&n, &to_again]);
        self.f.place(out);
        self.leave = outer;
        self.counters.push(n);
    }

    /// A loop with a test at its head and one in its middle.
    fn two_exits(&mut self, m: &mut Maker<'_>, depth: u32) {
        let n = self.counter();
        let from = self.source(m, Type::U32);
        self.f.op("and.u32", &[&n, &from, &Operand::Imm(3)]);
        let (again, out, after) = (self.f.mark(), self.f.mark(), self.f.mark());
        let (to_again, to_out, to_after) = (self.f.to(again), self.f.to(out), self.f.to(after));
        let c = self.condition.clone();
        let outer = self.leave.replace(after);
        self.f.place(again);
        self.f.op("set.eq.u32", &[&c, &n, &Operand::Imm(0)]);
        self.f.guarded(guard(&c, false), "bra", &[&to_out]);
        self.f.op("sub.u32", &[&n, &n, &Operand::Imm(1)]);
        self.statements(m, 1, Together::Lane, depth + 1);
        let g = self.pred(m);
        self.f.guarded(g, "bra", &[&to_after]);
        self.statements(m, 1, Together::Lane, depth + 1);
        self.f.op("bra", &[&to_again]);
        self.f.place(out);
        self.statements(m, 1, Together::Lane, depth + 1);
        self.f.place(after);
        self.leave = outer;
        self.counters.push(n);
    }

    /// Branches forwards whose ways cross.
    fn gotos(&mut self, m: &mut Maker<'_>, depth: u32) {
        let marks: Vec<Mark> = (0..3).map(|_| self.f.mark()).collect();
        for i in 0..3 {
            let target = marks[i + m.rng.below(3 - i)];
            let (g, to) = (self.pred(m), self.f.to(target));
            self.f.guarded(g, "bra", &[&to]);
            if let (Some(leave), true) = (self.leave, m.rng.one_in(4)) {
                let (g, to) = (self.pred(m), self.f.to(leave));
                self.f.guarded(g, "bra", &[&to]);
            }
            self.statements(m, 1, Together::Lane, depth + 1);
            self.f.place(marks[i]);
            self.alu(m);
        }
    }

    fn call(&mut self, m: &mut Maker<'_>, together: Together) {
        let open = |s: &&Signature| s.number > self.number && (!s.collective || together == Together::Block);
        let all: Vec<Signature> = m.functions.iter().filter(open).cloned().collect();
        if all.is_empty() {
            return self.alu(m);
        }
        let s = m.rng.pick(&all).clone();
        let mut sources = Vec::new();
        for (i, ty) in s.params.iter().enumerate() {
            sources.push(match (i, s.recursive) {
                (0, true) => {
                    let (r, from) = (self.scratch(Type::U32), self.source(m, Type::U32));
                    // More than the call depth, where that may trap.
                    let most = if m.may_trap(3) { 127 } else { 7 };
                    self.f.op("and.u32", &[&r, &from, &Operand::Imm(most)]);
                    r
                }
                _ => self.source(m, *ty),
            });
        }
        // No place receives two results.
        let mut places: Vec<Operand> = Vec::new();
        for ty in &s.results {
            let of_type: Vec<Operand> = match *ty {
                Type::Pred => self.preds.clone(),
                ty => self.regs.iter().find(|(t, _)| *t == ty).map_or(Vec::new(), |(_, r)| r.clone()),
            };
            let free: Vec<Operand> = of_type.into_iter().filter(|o| !places.contains(o)).collect();
            places.push(if free.is_empty() { self.f.var(*ty) } else { m.rng.pick(&free).clone() });
        }
        let g = if s.collective { None } else { self.guard(m) };
        let args = [Operand::List(places), Operand::Func(s.number), Operand::List(sources)];
        self.f.guarded(g, "call", &args.iter().collect::<Vec<_>>());
    }

    /// Calls the function that is being written, one level less deep.
    pub fn call_itself(&mut self, m: &mut Maker<'_>, s: &Signature, params: &[Operand], results: &[Operand]) {
        let c = self.condition.clone();
        self.f.op("set.eq.u32", &[&c, &params[0], &Operand::Imm(0)]);
        self.f.guarded(guard(&c, false), "ret", &[]);
        self.f.op("sub.u32", &[&params[0], &params[0], &Operand::Imm(1)]);
        let mut sources = vec![params[0].clone()];
        for (ty, p) in s.params.iter().zip(params).skip(1) {
            sources.push(if m.rng.one_in(2) { p.clone() } else { self.reg(m, *ty) });
        }
        let args = [Operand::List(results.to_vec()), Operand::Func(s.number), Operand::List(sources)];
        self.f.op("call", &args.iter().collect::<Vec<_>>());
        let last = &results[results.len() - 1];
        self.f.op("mad.u32", &[last, last, &Operand::Imm(3), &params[0]]);
    }

    /// An index below `len`, or sometimes outside where that may trap.
    fn index(&mut self, m: &mut Maker<'_>, len: u64) -> Operand {
        if m.rng.one_in(4) {
            return Operand::Imm(m.rng.below(len as usize) as u64);
        }
        let ty = *m.rng.pick(&[Type::U32, Type::U32, Type::U64]);
        let (r, from) = (self.scratch(ty), if ty == Type::U32 { self.source(m, ty) } else { GLOBAL });
        let past = u64::from(m.may_trap(8));
        self.f.op(&format!("rem.{ty}"), &[&r, &from, &Operand::Imm(len + past)]);
        r
    }

    /// A load or store: what is only read, what is the lane's own.
    fn memory(&mut self, m: &mut Maker<'_>) {
        let g = self.guard(m);
        let (object, space, at) = match m.rng.below(5) {
            0 | 1 => {
                let (base, ty, len) = *m.rng.pick(&m.inputs);
                let (at, d) = (self.index(m, len), self.reg(m, ty));
                return self.f.guarded(g, &format!("ld.{ty}"), &[&d, &element(base, &at, 0)]);
            }
            2 => {
                let (base, ty) = *m.rng.pick(&m.own);
                ((base, ty), "", GLOBAL)
            }
            _ => {
                let (base, ty, len) = *m.rng.pick(&m.private);
                ((base, ty), ".private", self.index(m, len))
            }
        };
        let (base, ty) = object;
        let (v, at) = (self.reg(m, ty), element(base, &at, 0));
        match m.rng.one_in(2) {
            true => self.f.guarded(g, &format!("ld{space}.{ty}"), &[&v, &at]),
            false => self.f.guarded(g, &format!("st{space}.{ty}"), &[&at, &v]),
        }
    }

    /// A `red` of the kind that its object sees.
    fn update(&mut self, m: &mut Maker<'_>) {
        let (base, kind, ty, len) = *m.rng.pick(&m.bins);
        let at = self.index(m, len);
        let v = self.source(m, ty);
        let shared = if matches!(base, phalanx_isa::Base::Shared(_)) { ".shared" } else { "" };
        let order = *m.rng.pick(&["relaxed", "acquire", "release", "acq_rel"]);
        let g = self.guard(m);
        self.f.guarded(g, &format!("red{shared}.{kind}.{order}.{ty}"), &[&element(base, &at, 0), &v]);
    }

    /// Every lane writes its place; behind a barrier lanes read others'.
    fn exchange(&mut self, m: &mut Maker<'_>) {
        let (base, ty) = *m.rng.pick(&m.shared);
        let (v, d) = (self.reg(m, ty), self.reg(m, ty));
        let n = m.block_lanes();
        let g = self.guard(m);
        self.f.guarded(g, &format!("st.shared.{ty}"), &[&element(base, &LANE, 0), &v]);
        self.f.op("bar.sync", &[]);
        let at = self.scratch(Type::U32);
        match m.rng.below(3) {
            0 => {
                let k = m.rng.below(n as usize) as u64;
                self.f.op("add.u32", &[&at, &LANE, &Operand::Imm(k)]);
            }
            1 => {
                let k = m.rng.below(64) as u64;
                self.f.op("xor.u32", &[&at, &LANE, &Operand::Imm(k)]);
            }
            _ => {
                let from = self.source(m, Type::U32);
                self.f.op("mov.u32", &[&at, &from]);
            }
        }
        self.f.op("rem.u32", &[&at, &at, &Operand::Imm(n)]);
        let g = self.guard(m);
        self.f.guarded(g, &format!("ld.shared.{ty}"), &[&d, &element(base, &at, 0)]);
        self.f.op("bar.sync", &[]);
    }

    fn across(&mut self, m: &mut Maker<'_>) {
        if m.rng.one_in(8) {
            return self.f.op("bar.subgroup", &[]);
        }
        let mnemonic = *m.rng.pick(&m.across);
        let mut args = Vec::new();
        for arg in mnemonic.op.info().args {
            let ty = type_of(&mnemonic, arg.ty);
            let near = Operand::Imm(m.rng.below(34) as u64);
            args.push(match arg.role {
                Role::W => self.reg(m, ty),
                Role::Uniform if !m.may_trap(4) => match m.rng.one_in(2) {
                    true => near,
                    false => m.rng.pick(&self.uniform).clone(),
                },
                _ if mnemonic.op == Op::Shfl && arg.name == "n" && m.rng.one_in(2) => near,
                _ => self.source(m, ty),
            });
        }
        let g = self.guard(m);
        self.f.push(mnemonic, g, args);
    }

    fn whole_block(&mut self, m: &mut Maker<'_>) {
        if m.rng.one_in(3) {
            // A barrier that some lanes may miss, where no declared block size lets the validator see it.
            let miss = m.k.kernel.block.is_none() && m.may_trap(2);
            let g = if miss { self.guard(m) } else { None };
            return self.f.guarded(g, "bar.sync", &[]);
        }
        let mnemonic = *m.rng.pick(&m.of_block);
        let ty = type_of(&mnemonic, phalanx_isa::ArgType::T);
        let (d, v) = (self.reg(m, ty), self.source(m, ty));
        self.f.push(mnemonic, None, vec![d, v]);
    }

    /// What a lane has besides registers.
    fn state(&mut self, m: &mut Maker<'_>) {
        let g = self.guard(m);
        let d = self.reg(m, Type::U32);
        match m.rng.below(9) {
            7 => self.resonate(m, g),
            8 => {
                let (p, c) = (self.reg(m, Type::Pred), self.class(m));
                if m.rng.one_in(2) {
                    let eps = self.source(m, Type::F64);
                    self.f.guarded(g, "res.test.f64", &[&p, &c, &eps]);
                } else {
                    let (a, b) = (m.rng.below(500) as u64, m.rng.between(1, 9).into());
                    self.f.guarded(g, "res.test.i64", &[&p, &c, &Operand::Imm(a), &Operand::Imm(b)]);
                }
            }
            0 => {
                let delta = m.rng.below(2000) as u64;
                self.f.guarded(g, "phase.adv", &[&Operand::Imm(delta)]);
            }
            1 => self.f.guarded(g, "phase.get", &[&d]),
            2 => {
                let (p, begin) = (self.reg(m, Type::Pred), self.source(m, Type::U32));
                let span = m.rng.below(800) as u64;
                self.f.guarded(g, "phase.in", &[&p, &begin, &Operand::Imm(span)]);
            }
            3 => self.f.guarded(g, "cls.get", &[&d]),
            4 => self.f.guarded(g, if m.rng.one_in(2) { "fence.block" } else { "fence.grid" }, &[]),
            5 => {
                let base = m.rng.pick(&m.inputs).0;
                self.f.guarded(g, "len.u32", &[&d, &Operand::Object(base)]);
            }
            _ => self.f.guarded(g, "nop", &[]),
        }
    }

    /// A class in range: a number, the lane's, or one that varies.
    fn class(&mut self, m: &mut Maker<'_>) -> Operand {
        if m.rng.one_in(3) {
            let past = usize::from(m.may_trap(20));
            return Operand::Imm(m.rng.below(96 + past) as u64);
        }
        let (s, v) = (self.scratch(Type::U32), self.source(m, Type::U32));
        if m.rng.one_in(3) {
            self.f.op("cls.get", &[&s]);
        } else {
            self.f.op("rem.u32", &[&s, &v, &Operand::Imm(96)]);
        }
        s
    }

    /// An addition to the resonance: any f64; a fraction whose sums fit.
    fn resonate(&mut self, m: &mut Maker<'_>, g: Option<Guard>) {
        let c = self.class(m);
        if m.rng.one_in(2) {
            let a = self.source(m, Type::F64);
            return self.f.guarded(g, "res.accum.f64", &[&c, &a]);
        }
        let (a, v) = (self.scratch(Type::I64), self.source(m, Type::I64));
        self.f.op("rem.i64", &[&a, &v, &Operand::Imm(10_000)]);
        let least = u32::from(!m.may_trap(20));
        let b = i64::from(m.rng.between(least, 16));
        let b = if m.rng.one_in(3) { -b } else { b };
        self.f.guarded(g, "res.accum.i64", &[&c, &a, &Operand::Imm(b as u64)]);
    }

    fn pool(&mut self, m: &mut Maker<'_>) {
        let ty = *m.rng.pick(&m.types);
        let (h, at, v) = (self.scratch(Type::U64), m.rng.below(4) as u64, self.reg(m, ty));
        let n = if m.may_trap(5) { at } else { at + 1 };
        self.f.op(&format!("pool.alloc.{ty}"), &[&h, &Operand::Imm(n)]);
        self.f.op(&format!("pool.st.{ty}"), &[&h, &Operand::Imm(at), &v]);
        let (g, d) = (self.guard(m), self.reg(m, ty));
        self.f.guarded(g, &format!("pool.ld.{ty}"), &[&d, &h, &Operand::Imm(at)]);
        self.f.op("pool.free", &[&h]);
        if m.may_trap(10) {
            let g = self.guard(m);
            self.f.guarded(g, "pool.free", &[&h]);
        }
    }

    /// A trap, or the early end of some lanes.
    fn end_some(&mut self, m: &mut Maker<'_>) {
        // With a declared block size the validator may see who is missing at what comes later, and refuse it.
        if m.collectives && m.k.kernel.block.is_some() {
            return self.alu(m);
        }
        let (s, from) = (self.scratch(Type::U32), self.source(m, Type::U32));
        let (c, k) = (self.condition.clone(), m.rng.below(32) as u64);
        self.f.op("and.u32", &[&s, &from, &Operand::Imm(31)]);
        self.f.op("set.eq.u32", &[&c, &s, &Operand::Imm(k)]);
        let g = guard(&c, false);
        if m.may_trap(2) {
            self.f.guarded(g, "trap", &[&Operand::Imm(k)]);
        } else if m.exits {
            let word = if self.number == 0 && m.rng.one_in(3) { "ret" } else { "exit" };
            self.f.guarded(g, word, &[]);
        }
    }
}
