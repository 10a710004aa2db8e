//! What needs the analysis: uniform buffer indices, and collective instructions that some lanes provably miss.

use super::Report;
use crate::analysis::{
    Cfg, Divergence, FuncAnalysis, KernelAnalysis, Locals, Origin, Scope, callee, collective,
};
use crate::codes;
use crate::vars::{Use, Var, visit};
use phalanx_isa::{
    Class, Cmp, Effect, Func, Guard, Inst, Kernel, Op, Operand, PlaceItem, Special, Type, limits,
};
use std::collections::HashMap;
use std::rc::Rc;

/// Branches on lane numbers that are followed up per function; a run-time trap decides about others.
const BRANCHES: usize = 64;
/// Instructions evaluated lane by lane per function.
const EVALUATIONS: usize = 512;
/// How far back a predicate is traced.
const DEPTH: u32 = 32;

/// Checks a kernel whose instructions are sound.
pub(super) fn kernel(report: &mut Report<'_>, known: &KernelAnalysis) {
    for f in 0..known.funcs.len() {
        buffers(report, f, known);
        if report.kernel.block.is_some() && known.funcs.iter().any(has_collectives) {
            missed(report, f, known);
        }
    }
}

fn has_collectives(f: &FuncAnalysis) -> bool {
    !f.block_collectives.is_empty() || !f.subgroup_collectives.is_empty()
}

/// Indices that select a buffer are uniform.
fn buffers(report: &mut Report<'_>, f: usize, known: &KernelAnalysis) {
    let kernel = report.kernel;
    for (i, inst) in kernel.funcs[f].code.iter().enumerate() {
        let cfg = &known.funcs[f].cfg;
        if !cfg.reachable(cfg.block_of(i as u32)) {
            continue;
        }
        for (n, o) in inst.args.iter().enumerate() {
            let Operand::Mem(m) = o else { continue };
            let item = PlaceItem::Operand(i as u32, n as u8);
            let names = report.names(f);
            let Some(which) = &m.which else { continue };
            if known.uniform_operand(f, i as u32, which, Scope::Block) {
                continue;
            }
            let varies = names.operand(which, None).unwrap_or_default();
            let message = format!(
                "`{varies}` selects a buffer of `{}`, but may differ between lanes",
                names.base(m.base)
            );
            report.add(codes::WHICH_VARIES, f, item, message, "must be the same for the whole block").help(
                "compute it from numbers, scalar parameters and block indices, where all lanes run together",
            );
        }
    }
}

/// Collectives that provably not all lanes reach.
fn missed(report: &mut Report<'_>, f: usize, known: &KernelAnalysis) {
    let kernel = report.kernel;
    let func = &kernel.funcs[f];
    let cfg = &known.funcs[f].cfg;
    let mut lanes = Lanes::new(kernel, func, known.funcs[f].uniformity.locals());
    // Where every lane of a scope has to come; a call stands for what the callee begins with.
    let points: Vec<(u32, Scope)> = func
        .code
        .iter()
        .enumerate()
        .filter(|(i, _)| cfg.reachable(cfg.block_of(*i as u32)))
        .filter_map(|(i, inst)| Some((i as u32, point(kernel, inst, known)?)))
        .collect();
    if points.is_empty() {
        return;
    }
    let mut found: HashMap<u32, (u32, u32)> = HashMap::new();
    for (i, scope) in &points {
        let inst = &func.code[*i as usize];
        let guard = inst.guard.filter(|_| *scope == Scope::Block);
        if let Some(n) = guard.and_then(|g| lanes.split(*i, g)) {
            found.insert(*i, (*i, n));
        }
    }
    let mut followed = 0;
    for b in 0..cfg.blocks.len() as u32 {
        let last = cfg.blocks[b as usize].end - 1;
        let inst = &func.code[last as usize];
        let Some(g) = inst.guard.filter(|_| cfg.reachable(b) && crate::analysis::ends_block(inst)) else {
            continue;
        };
        let info = inst.op.info();
        // A `loop` goes by its counter too; a branch to the next instruction goes nowhere else.
        let one_way = info.has(Effect::Branch) && cfg.blocks[b as usize].succs().len() < 2;
        if info.has(Effect::Cond) || one_way {
            continue;
        }
        let Some(n) = lanes.split(last, g) else { continue };
        followed += 1;
        if followed > BRANCHES {
            break;
        }
        let convergent = known.funcs[f].uniformity.divergence(b) == Divergence::Convergent;
        let torn = convergent && lanes.splits_a_subgroup(last, g);
        follow(cfg, b, &points, torn, &mut |at, taken| {
            let executed = if taken { n } else { lanes.count() - n };
            found.entry(at).or_insert((last, executed));
        });
    }
    let mut found: Vec<(u32, (u32, u32))> = found.into_iter().collect();
    found.sort_unstable();
    for (at, (by, executed)) in found {
        let inst = &func.code[at as usize];
        let mnemonic = inst.mnemonic().to_string();
        let what = match callee(kernel, inst) {
            Some(g) => format!("the barrier at the start of `{}`", kernel.funcs[g].name),
            None => format!("`{mnemonic}`"),
        };
        let message = format!("{what} is reached by {executed} of the block's {} lanes", lanes.count());
        let added = report.add(codes::MISSED, f, PlaceItem::Inst(at), message, "every lane must come here");
        let added = if by == at {
            added.also(f, PlaceItem::Guard(by), "this depends on the lane only")
        } else {
            added.also(f, PlaceItem::Inst(by), "lanes part here, by their number")
        };
        added.help("take it out of the condition, and guard the instructions around it instead");
    }
}

/// The scope whose lanes must all come to an instruction.
fn point(kernel: &Kernel, inst: &Inst, known: &KernelAnalysis) -> Option<Scope> {
    if let Some(g) = callee(kernel, inst) {
        let callee = &known.funcs[g];
        let first = callee.cfg.blocks.first()?;
        return callee.block_collectives.iter().any(|i| *i < first.end).then_some(Scope::Block);
    }
    collective(inst)
}

/// Calls `hit` for the points that only one side of a branch leads to; whether it is the side where the branch is taken. A side
/// that has ended (a guarded `exit`) leads nowhere.
fn follow(cfg: &Cfg, b: u32, points: &[(u32, Scope)], torn: bool, hit: &mut dyn FnMut(u32, bool)) {
    let block = &cfg.blocks[b as usize];
    let succs = block.succs();
    let next = succs.iter().copied().find(|s| cfg.blocks[*s as usize].start == block.end);
    let taken = succs.iter().copied().find(|s| Some(*s) != next);
    // Reachable without going through the end of `b`.
    let reach = |from: Option<u32>| {
        let mut seen = vec![false; cfg.blocks.len()];
        let mut stack: Vec<u32> = from.into_iter().collect();
        while let Some(x) = stack.pop() {
            if !std::mem::replace(&mut seen[x as usize], true) && x != b {
                stack.extend(cfg.blocks[x as usize].succs());
            }
        }
        seen
    };
    let before = reach(Some(0));
    let sides = [(next, reach(next), false), (taken, reach(taken), true)];
    for (at, scope) in points {
        let p = cfg.block_of(*at) as usize;
        if before[p] {
            continue;
        }
        for (n, (start, side, is_taken)) in sides.iter().enumerate() {
            let must = match (scope, start) {
                (Scope::Block, _) => true,
                // Another condition may keep the torn subgroup from a point that is not on all paths.
                (Scope::Subgroup, Some(s)) => torn && cfg.post_dominates(p as u32, *s),
                (Scope::Subgroup, None) => false,
            };
            if side[p] && !sides[1 - n].1[p] && must {
                hit(*at, *is_taken);
            }
        }
    }
}

/// Values of registers by lane, where they follow from the declared block size alone.
struct Lanes<'a> {
    func: &'a Func,
    block: [u32; 3],
    /// The only instruction that writes a variable, where there is only one and it has no guard.
    def: HashMap<Var, Option<u32>>,
    /// What instructions compute, as far as known.
    known: HashMap<u32, Option<Rc<Vec<i128>>>>,
    locals: &'a Locals,
    left: usize,
}

impl<'a> Lanes<'a> {
    fn new(kernel: &Kernel, func: &'a Func, locals: &'a Locals) -> Lanes<'a> {
        let mut def: HashMap<Var, Option<u32>> = HashMap::new();
        func.params.iter().filter_map(Var::of).for_each(|v| {
            def.insert(v, None);
        });
        for (i, inst) in func.code.iter().enumerate() {
            visit(inst, &mut |v, u| {
                if u == Use::Write {
                    let only = inst.guard.is_none().then_some(i as u32);
                    def.entry(v).and_modify(|d| *d = None).or_insert(only);
                }
            });
        }
        let block = kernel.block.unwrap_or([1; 3]);
        Lanes { func, block, def, known: HashMap::new(), locals, left: EVALUATIONS }
    }

    fn count(&self) -> u32 {
        // The declared size has been checked; a wrong one has been reported and is cut here.
        let all = self.block.iter().fold(1u64, |n, d| n.saturating_mul(u64::from(*d)));
        all.min(limits::BLOCK_LANES as u64) as u32
    }

    /// Lanes where a guard holds, if it holds in some and not in others.
    fn split(&mut self, i: u32, g: Guard) -> Option<u32> {
        let values = self.variable(i, Var::Pred(g.pred), DEPTH)?;
        let holds = values.iter().filter(|v| (**v != 0) != g.negate).count() as u32;
        (holds > 0 && holds < self.count()).then_some(holds)
    }

    /// Whether lanes of one subgroup disagree on a guard.
    fn splits_a_subgroup(&mut self, i: u32, g: Guard) -> bool {
        let values = self.variable(i, Var::Pred(g.pred), DEPTH);
        values.is_some_and(|v| v.chunks(limits::SUBGROUP).any(|c| c.iter().any(|x| *x != c[0])))
    }

    /// What instruction `i` reads in a variable: written in the same block, or the only value that there is.
    fn variable(&mut self, i: u32, v: Var, depth: u32) -> Option<Rc<Vec<i128>>> {
        let by = match self.locals.origin(i, v) {
            Origin::Here(d) => d,
            Origin::Elsewhere => self.def.get(&v).copied().flatten()?,
            Origin::Mixed => return None,
        };
        if let Some(known) = self.known.get(&by) {
            return known.clone();
        }
        self.left = self.left.checked_sub(1)?;
        let value = depth.checked_sub(1).and_then(|d| self.evaluate(by, d)).map(Rc::new);
        self.known.insert(by, value.clone());
        value
    }

    fn operand(&mut self, i: u32, o: &Operand, ty: Type, depth: u32) -> Option<Rc<Vec<i128>>> {
        let n = self.count();
        let [x, y, z] = self.block;
        let all = |value: &dyn Fn(u32) -> u32| Some(Rc::new((0..n).map(|l| i128::from(value(l))).collect()));
        match o {
            Operand::Imm(bits) => {
                let unused = 64 - ty.bits();
                let value = match ty.class() {
                    Class::Sint => i128::from(((bits << unused) as i64) >> unused),
                    Class::Uint | Class::Pred => i128::from(*bits),
                    Class::Float => return None,
                };
                Some(Rc::new(vec![value; n as usize]))
            }
            Operand::Special(s) => match s {
                Special::LaneX => all(&|l| l % x),
                Special::LaneY => all(&|l| l / x % y),
                Special::LaneZ => all(&|l| l / x / y),
                Special::LaneLinear => all(&|l| l),
                Special::BlockDimX => all(&|_| x),
                Special::BlockDimY => all(&|_| y),
                Special::BlockDimZ => all(&|_| z),
                Special::BlockDimLinear => all(&|_| n),
                Special::SubgroupId => all(&|l| l / limits::SUBGROUP as u32),
                Special::SubgroupLane => all(&|l| l % limits::SUBGROUP as u32),
                _ => None,
            },
            o => self.variable(i, Var::of(o)?, depth),
        }
    }

    /// What an instruction computes, if it does not depend on more than lane numbers and nothing wraps.
    fn evaluate(&mut self, i: u32, depth: u32) -> Option<Vec<i128>> {
        let inst = &self.func.code[i as usize];
        let ty = inst.ty?;
        let from = if inst.op == Op::Cvt { inst.ty2? } else { ty };
        if ty.is_float() || from.is_float() {
            return None;
        }
        let a = self.operand(i, inst.args.get(1)?, from, depth)?;
        let second = if matches!(inst.op, Op::Shl | Op::Shr) { Type::U32 } else { ty };
        let b = match inst.args.get(2) {
            Some(o) => self.operand(i, o, second, depth)?,
            None => a.clone(),
        };
        let compare = Cmp::from_code(u16::from(inst.modes[0]));
        let truth = inst.op == Op::Set || ty == Type::Pred;
        let mut out = Vec::with_capacity(a.len());
        for (a, b) in a.iter().copied().zip(b.iter().copied()) {
            let value = match inst.op {
                Op::Mov | Op::Cvt => a,
                Op::Add => a + b,
                Op::Sub => a - b,
                Op::Mul => a * b,
                Op::And => a & b,
                Op::Or => a | b,
                Op::Xor => a ^ b,
                Op::Not if ty == Type::Pred => 1 - a,
                Op::Min => a.min(b),
                Op::Max => a.max(b),
                Op::Shl if b < 64 => a << b,
                Op::Shr if b < 64 => a >> b,
                Op::Div => a.checked_div(b)?,
                Op::Rem => a.checked_rem(b)?,
                Op::Set => i128::from(match compare? {
                    Cmp::Eq => a == b,
                    Cmp::Ne => a != b,
                    Cmp::Lt => a < b,
                    Cmp::Le => a <= b,
                    Cmp::Gt => a > b,
                    Cmp::Ge => a >= b,
                    _ => return None,
                }),
                _ => return None,
            };
            let (low, high) = match ty.class() {
                _ if truth => (0, 1),
                Class::Sint => (-(1i128 << (ty.bits() - 1)), (1i128 << (ty.bits() - 1)) - 1),
                _ => (0, (1i128 << ty.bits()) - 1),
            };
            if !(low..=high).contains(&value) {
                return None;
            }
            out.push(value);
        }
        Some(out)
    }
}
