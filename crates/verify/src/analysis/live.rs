//! Live ranges: which registers and predicates are still read, at both ends of every block.

use super::cfg::Cfg;
use crate::vars::{Use, VarSet, visit};
use phalanx_isa::{Effect, Func, Inst};

/// Live sets of a function's blocks.
#[derive(Clone, Debug)]
pub struct Live {
    /// Live at entry, by block.
    pub entry: Vec<VarSet>,
    /// Live at exit, by block.
    pub exit: Vec<VarSet>,
    /// Most registers live at one instruction.
    pub max_regs: u32,
    /// Most predicates live at one instruction.
    pub max_preds: u32,
}

/// What is live before an instruction, given what is live after it. A guarded write does not end a life.
pub(crate) fn before(inst: &Inst, results: VarSet, mut after: VarSet) -> VarSet {
    if inst.op.info().has(Effect::Return) {
        after = if inst.guard.is_some() { after.union(results) } else { results };
    }
    let mut reads = VarSet::EMPTY;
    visit(inst, &mut |v, u| match u {
        Use::Write if inst.guard.is_none() => after.remove(v),
        Use::Write => {}
        Use::Read => {
            reads.insert(v);
        }
    });
    after.union(reads)
}

/// A function's results as a set: they are read by `ret`.
pub(crate) fn results(func: &Func) -> VarSet {
    let mut set = VarSet::EMPTY;
    for v in func.results.iter().filter_map(crate::vars::Var::of) {
        set.insert(v);
    }
    set
}

/// Solves backwards, in post order first; every block's sets only grow.
pub(crate) fn solve(func: &Func, cfg: &Cfg) -> Live {
    let n = cfg.blocks.len();
    let mut live =
        Live { entry: vec![VarSet::EMPTY; n], exit: vec![VarSet::EMPTY; n], max_regs: 0, max_preds: 0 };
    let results = results(func);
    // A block as a function of its exit: reads | (exit - writes).
    let mut kept = vec![VarSet::EMPTY; n];
    for (b, block) in cfg.blocks.iter().enumerate() {
        let code = &func.code[block.start as usize..block.end as usize];
        live.entry[b] = code.iter().rev().fold(VarSet::EMPTY, |after, inst| before(inst, results, after));
        kept[b] = code.iter().rev().fold(VarSet::ALL, |after, inst| before(inst, results, after));
    }
    let mut queued = vec![true; n];
    // A stack in reverse post order pops in post order.
    let mut work: Vec<u32> = cfg.rpo.clone();
    while let Some(b) = work.pop() {
        let at = b as usize;
        queued[at] = false;
        let succs = cfg.blocks[at].succs();
        let exit = succs.iter().fold(VarSet::EMPTY, |set, s| set.union(live.entry[*s as usize]));
        live.exit[at] = exit;
        let entry = live.entry[at].union(exit.intersection(kept[at]));
        if entry != live.entry[at] {
            live.entry[at] = entry;
            for p in cfg.preds(b) {
                if !std::mem::replace(&mut queued[*p as usize], true) {
                    work.push(*p);
                }
            }
        }
    }
    for (b, block) in cfg.blocks.iter().enumerate() {
        let mut set = live.exit[b];
        for inst in func.code[block.start as usize..block.end as usize].iter().rev() {
            set = before(inst, results, set);
            live.max_regs = live.max_regs.max(set.count_regs());
            live.max_preds = live.max_preds.max(set.count_preds());
        }
    }
    live
}
