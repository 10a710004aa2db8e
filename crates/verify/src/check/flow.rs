//! What is written before it is read: a forward analysis over sets of registers and predicates.
//!
//! Besides the set that is written on all paths, a state knows what is written *if* a predicate holds and *if* it does not,
//! since that predicate last changed. What is in both is written; a guarded read may use the one of its guard.

use super::Report;
use crate::analysis::Cfg;
use crate::codes;
use crate::vars::{Use, Var, VarSet, visit};
use phalanx_isa::{Effect, Guard, Inst, PlaceItem};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Visits allowed per block, so that hostile control flow cannot take quadratic time.
const VISITS: usize = 64;

#[derive(Clone, PartialEq, Eq, Default)]
struct State {
    /// Written on all paths.
    always: VarSet,
    /// Written beyond that where a guard holds; one entry per guard, no empty sets, ascending.
    under: Vec<(u8, bool, VarSet)>,
}

impl State {
    fn under(&self, g: Guard) -> VarSet {
        let found = self.under.iter().find(|(p, n, _)| (*p, *n) == (g.pred, g.negate));
        found.map_or(VarSet::EMPTY, |(_, _, set)| *set)
    }
    fn set_under(&mut self, g: Guard, set: VarSet) {
        match self.under.binary_search_by_key(&(g.pred, g.negate), |(p, n, _)| (*p, *n)) {
            Ok(i) if set.is_empty() => {
                self.under.remove(i);
            }
            Ok(i) => self.under[i].2 = set,
            Err(_) if set.is_empty() => {}
            Err(i) => self.under.insert(i, (g.pred, g.negate, set)),
        }
    }
    /// Whether a read under the guard finds a written value.
    fn has(&self, v: Var, guard: Option<Guard>) -> bool {
        self.always.contains(v) || guard.is_some_and(|g| self.under(g).contains(v))
    }
    /// Forgets what depended on the value of a predicate that changes.
    fn changed(&mut self, p: u8) {
        self.under.retain(|(q, _, _)| *q != p);
    }
    /// What is written on all paths needs no mention under a guard.
    fn tidy(&mut self) {
        let always = self.always;
        self.under.retain_mut(|(_, _, set)| {
            *set = set.minus(always);
            !set.is_empty()
        });
    }
    fn write(&mut self, v: Var, guard: Option<Guard>) {
        // `@p set p, ...` changes the meaning of both sides of p.
        if let Var::Pred(p) = v {
            self.changed(p);
        }
        match guard.filter(|g| v != Var::Pred(g.pred)) {
            _ if self.always.contains(v) => {}
            None if guard.is_some() => {}
            None => {
                self.always.insert(v);
            }
            Some(g) => {
                if self.under(Guard { negate: !g.negate, ..g }).contains(v) {
                    self.always.insert(v);
                } else {
                    let mut set = self.under(g);
                    set.insert(v);
                    self.set_under(g, set);
                }
            }
        }
    }
    /// On a path where the guard is known to hold.
    fn assume(&mut self, g: Guard) {
        self.always = self.always.union(self.under(g));
    }
    fn step(&mut self, inst: &Inst) {
        visit(inst, &mut |v, u| {
            if u == Use::Write {
                self.write(v, inst.guard);
            }
        });
    }
    /// What holds on both of two paths.
    fn meet(&self, other: &State) -> State {
        let mut met = State { always: self.always.intersection(other.always), under: Vec::new() };
        // Under a guard, `always` counts too.
        let guards = self.under.iter().chain(&other.under).map(|(p, n, _)| Guard { pred: *p, negate: *n });
        for g in guards {
            let full = |s: &State| s.always.union(s.under(g));
            met.set_under(g, full(self).intersection(full(other)).minus(met.always));
        }
        met
    }
}

/// The states at the blocks' entries; `None` where no path leads.
fn solve(report: &Report<'_>, f: usize, cfg: &Cfg) -> Option<Vec<Option<State>>> {
    let func = &report.kernel.funcs[f];
    let mut entry: Vec<Option<State>> = vec![None; cfg.blocks.len()];
    let mut start = State::default();
    func.params.iter().filter_map(Var::of).for_each(|v| {
        start.always.insert(v);
    });
    entry[0] = Some(start);
    let mut budget = VISITS * cfg.blocks.len() + 1024;
    // Rounds in reverse post order: one for straight code, about one more per level of loops. A round visits only blocks whose
    // state has changed, by their position in the order.
    let mut queued = vec![false; cfg.blocks.len()];
    let mut round = BinaryHeap::from([Reverse(0u32)]);
    let mut next_round = Vec::new();
    loop {
        let Some(Reverse(at)) = round.pop() else {
            if next_round.is_empty() {
                break;
            }
            round.extend(next_round.drain(..).map(Reverse));
            continue;
        };
        let b = cfg.rpo[at as usize];
        queued[b as usize] = false;
        budget = budget.checked_sub(1)?;
        let Some(mut state) = entry[b as usize].clone() else { continue };
        let block = &cfg.blocks[b as usize];
        func.code[block.start as usize..block.end as usize].iter().for_each(|i| state.step(i));
        let last = &func.code[block.end as usize - 1];
        for s in block.succs() {
            let mut out = state.clone();
            if let Some(g) = edge_guard(last, block.end, cfg.blocks[*s as usize].start, block.succs().len()) {
                out.assume(g);
            }
            out.tidy();
            let old = &mut entry[*s as usize];
            let new = match old {
                None => out,
                Some(old) => old.meet(&out),
            };
            if old.as_ref() == Some(&new) {
                continue;
            }
            *old = Some(new);
            if !std::mem::replace(&mut queued[*s as usize], true) {
                let to = cfg.rpo_index(*s);
                if to > at { round.push(Reverse(to)) } else { next_round.push(to) }
            }
        }
    }
    Some(entry)
}

/// The guard that is known to hold on the way to a successor.
fn edge_guard(last: &Inst, end: u32, to: u32, ways: usize) -> Option<Guard> {
    let guard = last.guard?;
    let info = last.op.info();
    let negated = Guard { negate: !guard.negate, ..guard };
    if !info.has(Effect::Branch) {
        // A guarded `ret`, `exit` or `trap`: who goes on had the guard fail. Other instructions say nothing.
        return crate::analysis::ends_block(last).then_some(negated);
    }
    if ways < 2 {
        return None;
    }
    match (to == end, info.has(Effect::Cond)) {
        (true, false) => Some(negated),
        (true, true) => None,
        (false, _) => Some(guard),
    }
}

/// Reports reads of what may not be written, and results that may be missing at a return.
pub(super) fn func(report: &mut Report<'_>, f: usize) {
    let func = &report.kernel.funcs[f];
    if func.code.is_empty() {
        return;
    }
    let cfg = Cfg::new(func, f == 0);
    let Some(states) = solve(report, f, &cfg) else {
        let message = format!("the control flow of `{}` is too irregular to check", func.name);
        report
            .add(codes::TANGLED, f, PlaceItem::Func, message, "")
            .help("fewer branches between loops, or a shorter function");
        return;
    };
    // One report per variable: what follows from the first is noise.
    let mut reported = VarSet::EMPTY;
    let first_write =
        |v: Var| func.code.iter().position(|i| crate::vars::writes(i).contains(v)).map(|i| i as u32);
    for (b, block) in cfg.blocks.iter().enumerate() {
        let Some(mut state) = states[b].clone() else { continue };
        for i in block.start..block.end {
            let inst = &func.code[i as usize];
            let mut missing = Vec::new();
            visit(inst, &mut |v, u| {
                // The guard itself is read whatever its value is.
                let guard = inst.guard.filter(|g| v != Var::Pred(g.pred));
                if u == Use::Read && !state.has(v, guard) && reported.insert(v) {
                    missing.push((v, false));
                }
            });
            if f > 0 && inst.op.info().has(Effect::Return) {
                for o in &func.results {
                    let unwritten = Var::of(o).filter(|v| !state.has(*v, inst.guard));
                    missing.extend(unwritten.filter(|v| reported.insert(*v)).map(|v| (v, true)));
                }
            }
            for (v, result) in missing {
                let names = report.names(f);
                let (shown, item) = match v {
                    Var::Reg(r) => (names.reg(r), PlaceItem::Reg(r)),
                    Var::Pred(p) => (names.pred(p), PlaceItem::Pred(p)),
                };
                let write = first_write(v);
                let how = match write {
                    None => "is never written",
                    Some(_) => "may not have been written here",
                };
                let (code, message, place) = if result {
                    (codes::NO_RESULT, format!("the result `{shown}` {how}"), PlaceItem::Inst(i))
                } else {
                    (codes::UNDEFINED, format!("`{shown}` is read, but {how}"), operand_of(inst, i, v))
                };
                let added = report.add(code, f, place, message, "");
                match write {
                    None => added.also(f, item, "declared here"),
                    Some(w) if func.code[w as usize].guard.is_some() => {
                        added.also(f, PlaceItem::Inst(w), "written here, under a guard").help(
                            "write it on every path, or read it under the same guard with the predicate unchanged",
                        )
                    }
                    Some(w) => added
                        .also(f, PlaceItem::Inst(w), "written here, which not every path passes")
                        .help("write it on every path"),
                };
            }
            state.step(inst);
        }
    }
}

/// The place of a variable in an instruction.
fn operand_of(inst: &Inst, i: u32, v: Var) -> PlaceItem {
    use phalanx_isa::{Operand, Role};
    if inst.guard.is_some_and(|g| v == Var::Pred(g.pred)) {
        return PlaceItem::Guard(i);
    }
    let names = |o: &Operand| match o {
        Operand::Mem(m) => m.which.as_ref().into_iter().chain([&m.index]).any(|o| Var::of(o) == Some(v)),
        Operand::List(items) => items.iter().any(|o| Var::of(o) == Some(v)),
        o => Var::of(o) == Some(v),
    };
    let args = inst.op.info().args.iter().zip(&inst.args);
    let found = args.enumerate().find(|(_, (a, o))| !matches!(a.role, Role::W | Role::Dests) && names(o));
    found.map_or(PlaceItem::Inst(i), |(n, _)| PlaceItem::Operand(i, n as u8))
}
