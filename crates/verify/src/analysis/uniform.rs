//! Which registers, predicates, branches and blocks are the same for all lanes.
//!
//! One optimistic fixpoint over the whole kernel: everything starts uniform, and what is found to vary is never taken back. A
//! register has one answer for the whole function (a storage class): it is uniform when every write to it is a uniform
//! operation on uniform operands, under a uniform guard, in a convergent block. Besides, a value that is written and read in one
//! block is judged by itself, so that a register may serve for several things. A block is convergent when all lanes that will
//! execute anything but their end are in it together. Each variable, block and function changes a bounded number of times and
//! each change looks at its own uses only, so the time is linear in the kernel's size.

use super::cfg::{Cfg, ends_block};
use super::locals::{Locals, Origin, Users};
use crate::vars::{Use, Var, visit};
use phalanx_isa::{BarScope, Base, Effect, Inst, Kernel, Kind, Op, Operand, Role, Special, limits};
use std::sync::Arc;

/// How the lanes of a block may be apart when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Divergence {
    /// They are together.
    Convergent = 0,
    /// Some may have left a loop that others are still in; those in it have gone round equally often.
    Loop = 1,
    /// Some may be on another path.
    Split = 2,
}

/// The result for one function.
#[derive(Clone, Debug)]
pub struct Uniformity {
    varying: Vec<u64>,
    /// By variable: what one block writes and another reads may differ between the lanes that read it.
    across: Vec<u64>,
    /// By instruction: what it writes differs between the lanes that execute it.
    values: Vec<bool>,
    locals: Arc<Locals>,
    level: Vec<Divergence>,
    /// The whole function may be called by some lanes only.
    pub called_divergent: bool,
}

impl Uniformity {
    /// Whether all lanes hold the same value in the register wherever it is read.
    pub fn is_uniform(&self, v: Var) -> bool {
        self.varying[v.index() / 64] >> (v.index() % 64) & 1 == 0
    }
    /// Whether all lanes that execute an instruction find the same value in a variable that it reads.
    pub fn is_uniform_at(&self, inst: u32, v: Var) -> bool {
        match self.locals.origin(inst, v) {
            Origin::Here(d) => !self.values[d as usize],
            Origin::Mixed => self.is_uniform(v),
            Origin::Elsewhere => self.across[v.index() / 64] >> (v.index() % 64) & 1 == 0,
        }
    }
    pub(crate) fn locals(&self) -> &Locals {
        &self.locals
    }
    /// How lanes may be apart in a block.
    pub fn divergence(&self, block: u32) -> Divergence {
        self.level[block as usize]
    }
}

/// Among which lanes values are compared, and what a declared block size says about them.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub block: Option<[u32; 3]>,
    pub scope: Scope,
}

impl Geometry {
    /// Whether all lanes of the scope read the same value.
    pub fn uniform(self, s: Special) -> bool {
        let one = |axis: usize| self.block.is_some_and(|b| b[axis] == 1);
        let lanes = self.block.map(|b| b.iter().map(|n| u64::from(*n)).product::<u64>());
        let subgroup = self.scope == Scope::Subgroup;
        // Whole subgroups fit along the first axes, so the axes after them do not change within one.
        let rows = |axes: usize| {
            let row = self.block.map(|b| b[..axes].iter().map(|n| u64::from(*n)).product::<u64>());
            subgroup && row.is_some_and(|n| n > 0 && n % limits::SUBGROUP as u64 == 0)
        };
        s.is_uniform()
            || match s {
                Special::LaneX | Special::GlobalX => one(0),
                Special::LaneY | Special::GlobalY => one(1) || rows(1),
                Special::LaneZ | Special::GlobalZ => one(2) || rows(1) || rows(2),
                Special::LaneLinear | Special::GlobalLinear | Special::SubgroupLane => lanes == Some(1),
                Special::SubgroupId => subgroup || lanes.is_some_and(|n| n <= limits::SUBGROUP as u64),
                _ => false,
            }
    }
}

/// Scope of a collective instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every lane of the block must arrive.
    Block,
    /// Every lane of the subgroup must arrive (a guard on a subgroup operation selects members).
    Subgroup,
}

/// The scope of a collective instruction; `None` for all others.
pub fn collective(inst: &Inst) -> Option<Scope> {
    let info = inst.op.info();
    if !info.has(Effect::Collective) {
        return None;
    }
    let subgroup = info.kind == Kind::Subgroup
        || (info.kind == Kind::Sync && u16::from(inst.modes[0]) == BarScope::Subgroup.code());
    Some(if subgroup { Scope::Subgroup } else { Scope::Block })
}

enum Work {
    Var(usize, Var),
    Value(usize, u32),
    Block(usize, u32),
    Func(usize),
}

/// Disjoint sets that answer "the nearest node at or above this one that is not marked".
struct Skip(Vec<u32>);

impl Skip {
    fn find(&mut self, mut v: u32) -> u32 {
        while self.0[v as usize] != v {
            let up = self.0[self.0[v as usize] as usize];
            self.0[v as usize] = up;
            v = up;
        }
        v
    }
}

struct FuncState {
    users: Users,
    /// Call sites: (function, instruction).
    callers: Vec<(usize, u32)>,
    skip: [Skip; 2],
}

struct Solver<'a> {
    kernel: &'a Kernel,
    cfgs: &'a [Cfg],
    geometry: Geometry,
    state: Vec<FuncState>,
    result: Vec<Uniformity>,
    work: Vec<Work>,
}

/// The function that a call instruction names, if it is one of the kernel's.
pub(crate) fn callee(kernel: &Kernel, inst: &Inst) -> Option<usize> {
    if !inst.op.info().has(Effect::Call) {
        return None;
    }
    let number =
        inst.args.iter().find_map(|a| if let Operand::Func(f) = a { Some(*f as usize) } else { None });
    number.filter(|f| *f < kernel.funcs.len())
}

/// The lists of a call: results and arguments.
pub(crate) fn call_lists(inst: &Inst) -> (&[Operand], &[Operand]) {
    let list = |role: Role| {
        let found = inst.op.info().args.iter().zip(&inst.args).find(|(a, _)| a.role == role);
        match found {
            Some((_, Operand::List(items))) => &items[..],
            _ => &[],
        }
    };
    (list(Role::Dests), list(Role::Srcs))
}

/// Solves for all functions of a kernel.
pub(crate) fn solve(
    kernel: &Kernel,
    cfgs: &[Cfg],
    locals: &[Arc<Locals>],
    geometry: Geometry,
) -> Vec<Uniformity> {
    let mut callers = vec![Vec::new(); kernel.funcs.len()];
    for (f, func) in kernel.funcs.iter().enumerate() {
        for (i, inst) in func.code.iter().enumerate() {
            if let Some(g) = callee(kernel, inst).filter(|_| cfgs[f].reachable(cfgs[f].block_of(i as u32))) {
                callers[g].push((f, i as u32));
            }
        }
    }
    let mut state = Vec::new();
    for (func, callers) in kernel.funcs.iter().zip(callers) {
        let nodes = || Skip((0..=cfgs[state.len()].blocks.len() as u32).collect());
        let skip = [nodes(), nodes()];
        state.push(FuncState { users: Users::new(func), callers, skip });
    }
    let result = cfgs
        .iter()
        .zip(&kernel.funcs)
        .zip(locals)
        .map(|((c, func), locals)| Uniformity {
            varying: vec![0; Var::COUNT / 64],
            across: vec![0; Var::COUNT / 64],
            values: vec![false; func.code.len()],
            locals: locals.clone(),
            level: vec![Divergence::Convergent; c.blocks.len()],
            called_divergent: false,
        })
        .collect();
    let mut solver = Solver { kernel, cfgs, geometry, state, result, work: Vec::new() };
    for f in 0..kernel.funcs.len() {
        for i in 0..kernel.funcs[f].code.len() as u32 {
            solver.look_at(f, i);
        }
    }
    while let Some(work) = solver.work.pop() {
        solver.step(work);
    }
    solver.result
}

impl Solver<'_> {
    /// A write to the variable differs between lanes; `escapes`: another block may read it.
    fn vary(&mut self, f: usize, v: Var, escapes: bool) {
        let (word, bit) = (v.index() / 64, 1 << (v.index() % 64));
        let r = &mut self.result[f];
        let new = r.varying[word] & bit == 0 || (escapes && r.across[word] & bit == 0);
        r.varying[word] |= bit;
        if escapes {
            r.across[word] |= bit;
        }
        if new {
            self.work.push(Work::Var(f, v));
        }
    }

    fn step(&mut self, work: Work) {
        match work {
            Work::Var(f, v) => {
                for at in self.state[f].users.range(v) {
                    let inst = self.state[f].users.list[at];
                    self.look_at(f, inst);
                }
                // A result that varies makes what the call sites receive vary.
                let results = &self.kernel.funcs[f].results;
                if results.iter().any(|o| Var::of(o) == Some(v)) {
                    for c in 0..self.state[f].callers.len() {
                        let (g, i) = self.state[f].callers[c];
                        self.look_at(g, i);
                    }
                }
            }
            Work::Value(f, i) => {
                let locals = self.result[f].locals.clone();
                locals.readers(i).iter().for_each(|user| self.look_at(f, *user));
            }
            Work::Block(f, b) => {
                let block = &self.cfgs[f].blocks[b as usize];
                (block.start..block.end).for_each(|i| self.look_at(f, i));
            }
            Work::Func(f) => {
                for b in 0..self.cfgs[f].blocks.len() as u32 {
                    self.raise(f, b, Divergence::Split);
                }
                for p in &self.kernel.funcs[f].params {
                    if let Some(v) = Var::of(p) {
                        self.vary(f, v, true);
                    }
                }
            }
        }
    }

    fn raise(&mut self, f: usize, b: u32, to: Divergence) {
        let level = &mut self.result[f].level[b as usize];
        if *level < to {
            *level = to;
            self.work.push(Work::Block(f, b));
        }
    }

    /// Whether an operand may differ between lanes.
    fn varies(&self, f: usize, i: u32, operand: &Operand) -> bool {
        match operand {
            Operand::Reg(_) | Operand::Pred(_) => {
                Var::of(operand).is_some_and(|v| !self.result[f].is_uniform_at(i, v))
            }
            Operand::Special(s) => !self.geometry.uniform(*s),
            Operand::Mem(m) => {
                let part = |o: &Operand| match o {
                    Operand::Mem(_) | Operand::List(_) => true,
                    o => self.varies(f, i, o),
                };
                matches!(m.base, Base::Private(_)) || part(&m.index) || m.which.as_ref().is_some_and(part)
            }
            Operand::List(items) => items.iter().any(|o| match o {
                Operand::Mem(_) | Operand::List(_) => true,
                o => self.varies(f, i, o),
            }),
            _ => false,
        }
    }

    /// Draws the consequences of what is known about an instruction's operands and block.
    fn look_at(&mut self, f: usize, i: u32) {
        let cfg = &self.cfgs[f];
        let b = cfg.block_of(i);
        if !cfg.reachable(b) {
            return;
        }
        let kernel = self.kernel;
        let inst = &kernel.funcs[f].code[i as usize];
        let info = inst.op.info();
        let mixes = inst.guard.is_some_and(|g| !self.result[f].is_uniform_at(i, Var::Pred(g.pred)));
        let apart = mixes || self.result[f].level[b as usize] > Divergence::Convergent;
        if let Some(g) = callee(kernel, inst) {
            let (dests, args) = call_lists(inst);
            if apart && !self.result[g].called_divergent {
                self.result[g].called_divergent = true;
                self.work.push(Work::Func(g));
            }
            for (param, arg) in kernel.funcs[g].params.iter().zip(args) {
                if let Some(v) = Var::of(param).filter(|_| self.varies(f, i, arg)) {
                    self.vary(g, v, true);
                }
            }
            for (n, dest) in dests.iter().enumerate() {
                let result = kernel.funcs[g].results.get(n).and_then(Var::of);
                let varies = apart || result.is_none_or(|v| !self.result[g].is_uniform(v));
                if let Some(v) = Var::of(dest).filter(|_| varies) {
                    self.vary(f, v, true);
                }
            }
        } else {
            let reads_vary = || {
                let args = info.args.iter().zip(&inst.args);
                args.filter(|(a, _)| a.role != Role::W).any(|(_, o)| self.varies(f, i, o))
            };
            let uniform_result = match info.kind {
                // The block's result is the same for all, whatever its operands are.
                Kind::Block => true,
                // So is the subgroup's for the subgroup, for what gives all members one value.
                Kind::Subgroup => {
                    self.geometry.scope == Scope::Subgroup
                        && matches!(inst.op, Op::Bcast | Op::Vote | Op::Ballot | Op::Sreduce)
                }
                Kind::Native => false,
                // The class is set for the launch or follows from the block; the phase is a state of the lane.
                // The resonance before the launch does not change while it runs.
                Kind::Atlas if info.has(Effect::Resonance) => !reads_vary(),
                Kind::Atlas => inst.op == Op::ClsGet,
                _ if info.has(Effect::MemAtomic) || info.has(Effect::Pool) => false,
                _ => !reads_vary(),
            };
            let varies = mixes || !uniform_result;
            if varies && !std::mem::replace(&mut self.result[f].values[i as usize], true) {
                self.work.push(Work::Value(f, i));
            }
            if apart || varies {
                let mut written = Vec::new();
                visit(inst, &mut |v, u| {
                    if u == Use::Write {
                        written.push(v);
                    }
                });
                let escapes = self.result[f].locals.escapes(i);
                written.into_iter().for_each(|v| self.vary(f, v, escapes));
            }
        }
        if i + 1 == cfg.blocks[b as usize].end {
            self.branch(f, b, i);
        }
    }

    /// Marks the blocks whose execution depends on a branch that not all lanes take together.
    fn branch(&mut self, f: usize, b: u32, i: u32) {
        let cfg = &self.cfgs[f];
        let level = self.result[f].level[b as usize];
        let inst = &self.kernel.funcs[f].code[i as usize];
        let parts = separates(&self.result[f], i, inst);
        let block = &cfg.blocks[b as usize];
        let ends = |s: u32| cfg.blocks[s as usize].only_exits;
        for s in block.succs().iter().filter(|s| parts && ends(**s)) {
            self.raise(f, *s, Divergence::Split);
        }
        // Lanes that go to their end do not part from the others: they are gone.
        let stay = block.succs().iter().filter(|s| !ends(**s)).count() + usize::from(block.leaves);
        let separates = parts && stay > 1;
        if !separates && level == Divergence::Convergent {
            return;
        }
        let join = cfg.ipdom(b);
        let join_depth = join.map_or(0, |j| cfg.depth[j as usize]);
        for s in block.succs().iter().copied() {
            let own = match separates {
                false => Divergence::Convergent,
                // This way comes back to the branch: lanes leave a loop here.
                true if cfg.post_dominates(b, s) => Divergence::Loop,
                true => Divergence::Split,
            };
            let to = own.max(level);
            if to == Divergence::Convergent {
                continue;
            }
            let end = cfg.blocks.len() as u32;
            let mut x = self.state[f].skip[to as usize - 1].find(s);
            while x != end && cfg.depth[x as usize] > join_depth {
                let up = cfg.ipdom(x).unwrap_or(end);
                self.raise(f, x, to);
                let skip = &mut self.state[f].skip[to as usize - 1];
                skip.0[x as usize] = up;
                x = skip.find(up);
            }
        }
    }
}

/// Whether a branch can send lanes different ways: it depends on a value that varies.
pub(crate) fn separates(u: &Uniformity, i: u32, inst: &Inst) -> bool {
    let varies = |v: Option<Var>| v.is_some_and(|v| !u.is_uniform_at(i, v));
    let count = || inst.args.iter().any(|o| varies(Var::of(o)));
    ends_block(inst)
        && (varies(inst.guard.map(|g| Var::Pred(g.pred))) || (inst.op.info().has(Effect::Cond) && count()))
}
