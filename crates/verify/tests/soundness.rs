//! Random programs against a small lane simulator: what the analysis promises must hold in every run.
//!
//! The simulator runs 40 lanes (a whole subgroup and a part of one) with a reconvergence stack and knows nothing of uniformity.
//! Checked on the way: a uniform register's one value is what every lane reads; lanes agree where they are said to; all lanes
//! are in a convergent block; nothing is read that its lane has not written.

use phalanx_isa::*;
use phalanx_verify::{
    Divergence, FuncAnalysis, Scope, Uniformity, Use, Var, Verified, collective, verify, visit,
};
use std::collections::HashMap;

const LANES: usize = 40;
const REGS: u64 = 6;
const PREDS: u64 = 3;
const SCALAR: u32 = 11;
type Mask = u64;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn inst(op: Op, ty: Option<Type>, args: Vec<Operand>) -> Inst {
    Inst { op, modes: [0; 3], ty, ty2: None, guard: None, args, loc: Loc::default() }
}

/// A random program: a body and two functions over a few registers and predicates.
fn program(r: &mut Random) -> Module {
    let funcs: Vec<Func> = (0..3).map(|f| function(r, f)).collect();
    let scalar = Param { name: "n".into(), kind: ParamKind::Scalar(Type::U32), loc: Loc::default() };
    let kind = ParamKind::Buffer { elem: Type::U32, access: Access::In, count: None };
    let buffer = Param { name: "x".into(), kind, loc: Loc::default() };
    let kernel = Kernel { name: "f0".into(), params: vec![scalar, buffer], funcs, ..Default::default() };
    Module { source: String::new(), kernels: vec![kernel] }
}

fn function(r: &mut Random, f: u16) -> Func {
    let n = 6 + r.below(14) as u32;
    let mut code = Vec::new();
    // Most functions begin by writing everything; the others show what may be read without that.
    if !r.one_in(4) {
        for i in 0..REGS as u8 {
            if f == 0 || i > 0 {
                code.push(inst(Op::Mov, Some(Type::U32), vec![Operand::Reg(i), source(r, true)]));
            }
        }
        for p in 0..PREDS as u8 {
            code.push(compare(r, p));
        }
    }
    let first = code.len() as u32;
    for _ in 0..n {
        let mut next = random_inst(r, f, first, first + n);
        if r.one_in(4) {
            next.guard = Some(Guard { pred: r.below(PREDS) as u8, negate: r.one_in(2) });
        }
        code.push(next);
    }
    code.push(inst(if f == 0 { Op::Exit } else { Op::Ret }, None, vec![]));
    let one = |n: u8| if f == 0 { vec![] } else { vec![Operand::Reg(n)] };
    Func {
        name: format!("f{f}"),
        regs: (0..REGS).map(|_| Some(Reg { ty: Type::U32, name: String::new() })).collect(),
        preds: (0..PREDS).map(|_| Some(String::new())).collect(),
        params: one(0),
        results: one(1),
        code,
        ..Default::default()
    }
}

fn compare(r: &mut Random, p: u8) -> Inst {
    let a = source(r, true);
    Inst {
        modes: [[0, 2, 5][r.below(3) as usize], 0, 0],
        ..inst(Op::Set, Some(Type::U32), vec![Operand::Pred(p), a, Operand::Imm(r.below(20))])
    }
}

fn source(r: &mut Random, constant: bool) -> Operand {
    match r.below(if constant { 8 } else { 20 }) {
        0 => Operand::Special(Special::LaneX),
        1 => Operand::Special(Special::SubgroupId),
        2 => Operand::Special(Special::SubgroupLane),
        3 => Operand::Special(Special::BlockX),
        4 | 5 => Operand::Param(0),
        6 | 7 => Operand::Imm(r.below(9)),
        _ => Operand::Reg(r.below(REGS) as u8),
    }
}

fn random_inst(r: &mut Random, f: u16, first: u32, end: u32) -> Inst {
    let d = Operand::Reg(r.below(REGS) as u8);
    let p = r.below(PREDS) as u8;
    let word = Some(Type::U32);
    match r.below(20) {
        0..4 => {
            let op = [Op::Add, Op::Sub, Op::Xor, Op::Min][r.below(4) as usize];
            inst(op, word, vec![d, source(r, false), source(r, false)])
        }
        4..6 => inst(Op::Mov, word, vec![d, source(r, false)]),
        6 => inst(Op::Sel, word, vec![d, source(r, false), source(r, false), Operand::Pred(p)]),
        7..10 => {
            let mut c = compare(r, p);
            c.args[1] = source(r, false);
            c
        }
        10 => inst(Op::Not, Some(Type::Pred), vec![Operand::Pred(p), Operand::Pred(r.below(PREDS) as u8)]),
        11 => {
            let m = Mem { base: Base::Param(1), which: None, index: source(r, false), disp: 1 };
            inst(Op::Ld, word, vec![d, Operand::Mem(Box::new(m))])
        }
        12 => inst(Op::Sreduce, word, vec![d, source(r, false)]),
        13 if r.one_in(2) => inst(Op::Reduce, word, vec![d, source(r, false)]),
        13 => inst(Op::Exit, None, vec![]),
        14 if f < 2 => {
            let callee = Operand::Func(f + 1 + r.below(2 - u64::from(f)) as u16);
            let lists = [Operand::List(vec![d]), Operand::List(vec![source(r, false)])];
            let [to, from] = lists;
            inst(Op::Call, None, vec![to, callee, from])
        }
        15 => inst(Op::Ret, None, vec![]),
        16 => inst(Op::Loop, word, vec![d, Operand::Label(first + r.below(u64::from(end - first)) as u32)]),
        _ => {
            let to = first + r.below(u64::from(end - first + 1)) as u32;
            let guard = Some(Guard { pred: p, negate: r.one_in(2) });
            Inst { guard, ..inst(Op::Bra, None, vec![Operand::Label(to)]) }
        }
    }
}

/// Why a run ends early.
#[derive(Debug, PartialEq)]
enum Stop {
    Fuel,
    Trap,
}

/// One call of a function by some lanes.
struct Frame {
    values: Vec<HashMap<Var, u32>>,
    /// The one copy of what is uniform for the block, and by subgroup.
    block: HashMap<Var, u32>,
    subgroup: [HashMap<Var, u32>; 2],
}

struct Sim<'v> {
    v: &'v Verified,
    alive: Mask,
    fuel: u32,
    steps: u64,
}

fn lanes(mask: Mask) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |l| mask >> l & 1 == 1)
}

fn subgroup_mask(s: usize) -> Mask {
    if s == 0 { (1 << 32) - 1 } else { ((1 << LANES) - 1) & !((1 << 32) - 1) }
}

impl Sim<'_> {
    fn func(&self, f: usize) -> (&Func, &FuncAnalysis) {
        (&self.v.kernels[0].funcs[f], &self.v.analysis(0).funcs[f])
    }

    fn value(&self, frame: &Frame, lane: usize, o: &Operand) -> u32 {
        match o {
            Operand::Special(Special::LaneX) => lane as u32,
            Operand::Special(Special::SubgroupId) => lane as u32 / 32,
            Operand::Special(Special::SubgroupLane) => lane as u32 % 32,
            Operand::Special(_) => 5,
            Operand::Param(_) => SCALAR,
            Operand::Imm(n) => *n as u32,
            o => frame.values[lane][&Var::of(o).unwrap()],
        }
    }

    /// Checks what an instruction's lanes read.
    fn reads(&self, f: usize, i: u32, mask: Mask, frame: &Frame, act: Mask) {
        let (func, known) = self.func(f);
        let inst = &func.code[i as usize];
        visit(inst, &mut |v, u| {
            if u == Use::Write {
                return;
            }
            let who = if inst.guard.is_some_and(|g| v == Var::Pred(g.pred)) { mask } else { act };
            for l in lanes(who) {
                assert!(
                    frame.values[l].contains_key(&v),
                    "f{f}:{i} reads {v:?}, which lane {l} has not written"
                );
            }
            let check = |u: &Uniformity, slots: &HashMap<Var, u32>, who: Mask, scope: &str| {
                let mut values = lanes(who).map(|l| frame.values[l][&v]);
                let Some(first) = values.next() else { return };
                if u.is_uniform_at(i, v) {
                    assert!(values.all(|x| x == first), "f{f}:{i} {v:?} differs in the {scope}");
                }
                if u.is_uniform(v) {
                    assert_eq!(slots.get(&v), Some(&first), "f{f}:{i} {v:?} is not the {scope}'s copy");
                }
            };
            check(&known.uniformity, &frame.block, who, "block");
            for s in 0..2 {
                check(&known.subgroup, &frame.subgroup[s], who & subgroup_mask(s), "subgroup");
            }
        });
    }

    fn write(&self, f: usize, frame: &mut Frame, v: Var, lane: usize, value: u32) {
        frame.values[lane].insert(v, value);
        let known = &self.v.analysis(0).funcs[f];
        if known.uniformity.is_uniform(v) {
            frame.block.insert(v, value);
        }
        if known.subgroup.is_uniform(v) {
            frame.subgroup[lane / 32].insert(v, value);
        }
    }

    /// Runs a call by the lanes of `mask` with their arguments; the results of those that return.
    fn call(
        &mut self,
        f: usize,
        mask: Mask,
        args: &[Vec<u32>],
        depth: u32,
    ) -> Result<HashMap<usize, u32>, Stop> {
        let v = self.v;
        let (func, known) = (&v.kernels[0].funcs[f], &v.analysis(0).funcs[f]);
        let cfg = &known.cfg;
        let empty = || HashMap::new();
        let mut frame =
            Frame { values: vec![HashMap::new(); LANES], block: empty(), subgroup: [empty(), empty()] };
        for (param, values) in func.params.iter().zip(args) {
            let v = Var::of(param).unwrap();
            lanes(mask).for_each(|l| self.write(f, &mut frame, v, l, values[l]));
        }
        let mut returned = HashMap::new();
        // Block (`None`: the end), where these lanes meet the ones below, lanes.
        let mut stack: Vec<(Option<u32>, Option<u32>, Mask)> = vec![(Some(0), None, mask)];
        while let Some((block, meet, lanes_here)) = stack.last().copied() {
            let active = lanes_here & self.alive;
            if active == 0 || block.is_none() || (block == meet && stack.len() > 1) {
                stack.pop();
                continue;
            }
            let b = block.unwrap();
            self.fuel = self.fuel.checked_sub(1).ok_or(Stop::Fuel)?;
            assert!(
                lanes(active).all(|l| !returned.contains_key(&l)),
                "f{f} block {b} has lanes that returned"
            );
            self.converged(f, b, active, mask, &stack, &returned);
            let (start, end) = (cfg.blocks[b as usize].start, cfg.blocks[b as usize].end);
            let mut next: HashMap<usize, Option<u32>> = HashMap::new();
            for i in start..end {
                self.steps += 1;
                let inst = &func.code[i as usize];
                // Lanes may end in a call in the middle of a block.
                let active = active & self.alive;
                let holds = |l: usize| {
                    inst.guard.is_none_or(|g| {
                        frame.values[l].get(&Var::Pred(g.pred)).is_some_and(|v| (*v != 0) != g.negate)
                    })
                };
                let act = lanes(active).filter(|l| holds(*l)).fold(0, |m, l| m | 1 << l);
                self.reads(f, i, active, &frame, act);
                if i + 1 == end {
                    let after = (i as usize + 1 < func.code.len()).then(|| cfg.block_of(i + 1));
                    lanes(active).for_each(|l| {
                        next.insert(l, after);
                    });
                }
                self.execute(f, i, active, act, &mut frame, &mut next, &mut returned, depth)?;
            }
            let left = active & self.alive;
            let mut ways: Vec<Option<u32>> = lanes(left).map(|l| next[&l]).collect();
            ways.sort_unstable();
            ways.dedup();
            if !known.divergent_branch(end - 1) {
                assert!(ways.len() <= 1, "f{f}:{} is no divergent branch", end - 1);
            }
            let top = stack.last_mut().unwrap();
            if ways.len() <= 1 {
                top.0 = ways.first().copied().flatten();
                continue;
            }
            let join = cfg.ipdom(b);
            top.0 = join;
            for way in ways.into_iter().filter(|w| *w != join) {
                let who = lanes(left).filter(|l| next[l] == way).fold(0, |m, l| m | 1 << l);
                stack.push((way, join, who));
            }
        }
        Ok(returned)
    }

    /// In a convergent block are all lanes that do more than end.
    fn converged(
        &self,
        f: usize,
        b: u32,
        active: Mask,
        called: Mask,
        stack: &[(Option<u32>, Option<u32>, Mask)],
        returned: &HashMap<usize, u32>,
    ) {
        let (_, known) = self.func(f);
        let missing = called & self.alive & !active;
        for l in lanes(missing) {
            let waits = stack.iter().rev().find(|(_, _, m)| m >> l & 1 == 1);
            let ends =
                waits.and_then(|(at, _, _)| *at).is_some_and(|at| known.cfg.blocks[at as usize].only_exits);
            let at = |u: &Uniformity| u.divergence(b) == Divergence::Convergent;
            let same_subgroup = active & subgroup_mask(l / 32) != 0;
            let lacking = |scope| {
                format!("f{f} block {b} lacks lane {l} of the {scope} ({})", returned.contains_key(&l))
            };
            assert!(!at(&known.uniformity) || ends, "{}", lacking("block"));
            assert!(!at(&known.subgroup) || ends || !same_subgroup, "{}", lacking("subgroup"));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one step of a test's simulator")]
    fn execute(
        &mut self,
        f: usize,
        i: u32,
        active: Mask,
        act: Mask,
        frame: &mut Frame,
        next: &mut HashMap<usize, Option<u32>>,
        returned: &mut HashMap<usize, u32>,
        depth: u32,
    ) -> Result<(), Stop> {
        let v = self.v;
        let func = &v.kernels[0].funcs[f];
        let cfg = &v.analysis(0).funcs[f].cfg;
        let inst = &func.code[i as usize];
        if let Some(scope) = collective(inst) {
            // Every lane of the scope must be here; a guard on a subgroup operation selects members.
            let here = if scope == Scope::Block { act } else { active };
            let whole = |m: Mask| here & m == m || (scope == Scope::Subgroup && here & m == 0);
            let all = match scope {
                Scope::Block => whole((1 << LANES) - 1),
                Scope::Subgroup => whole(subgroup_mask(0)) && whole(subgroup_mask(1)),
            };
            if !all && act != 0 {
                return Err(Stop::Trap);
            }
        }
        let label = |o: &Operand| if let Operand::Label(l) = o { Some(cfg.block_of(*l)) } else { None };
        let a = |s: &Self, frame: &Frame, l: usize, n: usize| s.value(frame, l, &inst.args[n]);
        let mut out: Vec<(usize, u32)> = Vec::new();
        for l in lanes(act) {
            let value = match inst.op {
                Op::Mov => a(self, frame, l, 1),
                Op::Not => 1 - a(self, frame, l, 1),
                Op::Add => a(self, frame, l, 1).wrapping_add(a(self, frame, l, 2)),
                Op::Sub => a(self, frame, l, 1).wrapping_sub(a(self, frame, l, 2)),
                Op::Xor => a(self, frame, l, 1) ^ a(self, frame, l, 2),
                Op::Min => a(self, frame, l, 1).min(a(self, frame, l, 2)),
                Op::Sel => a(self, frame, l, if a(self, frame, l, 3) != 0 { 1 } else { 2 }),
                Op::Set => {
                    let (x, y) = (a(self, frame, l, 1), a(self, frame, l, 2));
                    u32::from([x == y, x != y, x < y, x <= y, x > y, x >= y][inst.modes[0] as usize])
                }
                Op::Ld => {
                    let Operand::Mem(m) = &inst.args[1] else { panic!("a load") };
                    self.value(frame, l, &m.index).wrapping_mul(2654435761) >> 28
                }
                Op::Sreduce | Op::Reduce => {
                    let peers = if inst.op == Op::Reduce { act } else { act & subgroup_mask(l / 32) };
                    lanes(peers).fold(0u32, |s, p| s.wrapping_add(a(self, frame, p, 1)))
                }
                Op::Loop => {
                    let n = a(self, frame, l, 0).wrapping_sub(1);
                    if n != 0 {
                        next.insert(l, label(&inst.args[1]));
                    }
                    n
                }
                Op::Bra => {
                    next.insert(l, label(&inst.args[0]));
                    continue;
                }
                Op::Exit => {
                    self.alive &= !(1 << l);
                    continue;
                }
                Op::Ret if f == 0 => {
                    self.alive &= !(1 << l);
                    continue;
                }
                Op::Ret => {
                    let result = Var::of(&func.results[0]).unwrap();
                    assert!(frame.values[l].contains_key(&result), "f{f}:{i} returns nothing in lane {l}");
                    returned.insert(l, frame.values[l][&result]);
                    next.insert(l, None);
                    continue;
                }
                Op::Call => continue,
                op => panic!("{op}"),
            };
            out.push((l, value));
        }
        if inst.op == Op::Call && act != 0 {
            let (Operand::List(to), Operand::Func(g), Operand::List(from)) =
                (&inst.args[0], &inst.args[1], &inst.args[2])
            else {
                panic!("a call")
            };
            let callee = &v.analysis(0).funcs[usize::from(*g)];
            let known = &v.analysis(0).funcs[f];
            let together = known.uniformity.divergence(cfg.block_of(i)) == Divergence::Convergent;
            let all = together && act == active;
            assert!(all || callee.uniformity.called_divergent, "f{f}:{i} calls f{g} by some lanes only");
            let arg = (0..LANES).map(|l| if act >> l & 1 == 1 { self.value(frame, l, &from[0]) } else { 0 });
            let arg = arg.collect();
            let results = self.call(usize::from(*g), act, &[arg], depth + 1)?;
            let v = Var::of(&to[0]).unwrap();
            let got: Vec<_> = lanes(act & self.alive).map(|l| (l, results[&l])).collect();
            got.into_iter().for_each(|(l, x)| self.write(f, frame, v, l, x));
            return Ok(());
        }
        if let Some(v) = inst.args.first().and_then(Var::of) {
            out.into_iter().for_each(|(l, x)| self.write(f, frame, v, l, x));
        }
        Ok(())
    }
}

#[test]
fn promises_hold_in_random_programs() {
    let mut r = Random(2024);
    let (mut accepted, mut steps, mut ended, mut uniform, mut parts) = (0, 0, 0, 0, 0);
    for _ in 0..3_000 {
        let Ok(v) = verify(program(&mut r)) else { continue };
        accepted += 1;
        let mut sim = Sim { v: &v, alive: (1 << LANES) - 1, fuel: 150, steps: 0 };
        let run = || sim.call(0, sim.alive, &[], 0).is_ok();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let Ok(done) = outcome else { panic!("in\n{}", phalanx_asm::disassemble(&v).unwrap()) };
        ended += u32::from(done);
        steps += sim.steps;
        for f in &v.analysis(0).funcs {
            uniform += (0..REGS).filter(|n| f.uniformity.is_uniform(Var::Reg(*n as u8))).count();
            let blocks = 0..f.cfg.blocks.len() as u32;
            parts += blocks.filter(|b| f.uniformity.divergence(*b) != Divergence::Convergent).count();
        }
    }
    // The programs must be such that there is something to find.
    assert!(accepted > 1000 && ended > 500, "{accepted} accepted, {ended} ended");
    assert!(
        steps > 50_000 && uniform > 3000 && parts > 3000,
        "{steps} steps, {uniform} uniform, {parts} parts"
    );
}
