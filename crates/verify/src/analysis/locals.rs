//! Who names a variable, and which writes reach a read within one block.

use super::cfg::Cfg;
use crate::vars::{Use, Var, VarSet, visit, writes};
use phalanx_isa::{Effect, Func};

/// The instructions that name each variable, as one list with starts.
pub(crate) struct Users {
    start: Vec<u32>,
    pub list: Vec<u32>,
}

impl Users {
    pub fn new(func: &Func) -> Users {
        let mut start = vec![0u32; Var::COUNT + 1];
        func.code.iter().for_each(|i| visit(i, &mut |v, _| start[v.index() + 1] += 1));
        (0..Var::COUNT).for_each(|i| start[i + 1] += start[i]);
        let mut fill = start.clone();
        let mut list = vec![0u32; start[Var::COUNT] as usize];
        for (i, inst) in func.code.iter().enumerate() {
            visit(inst, &mut |v, _| {
                list[fill[v.index()] as usize] = i as u32;
                fill[v.index()] += 1;
            });
        }
        Users { start, list }
    }
    /// Where the variable's instructions stand in the list.
    pub fn range(&self, v: Var) -> std::ops::Range<usize> {
        self.start[v.index()] as usize..self.start[v.index() + 1] as usize
    }
}

const NONE: u32 = u32::MAX;

/// Where the value that a read finds was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Outside the block (or at its end, a round earlier), or as an argument.
    Elsewhere,
    /// By this instruction of the same block, in every lane that reads.
    Here(u32),
    /// In the same block by a call, or under a guard and so perhaps elsewhere.
    Mixed,
}

/// For reads whose value was written earlier in the same block, without a guard and not by a call: by which instruction. The
/// lanes that read such a value are the lanes that wrote it, so it can be told apart from the variable's other values.
#[derive(Clone, Debug)]
pub(crate) struct Locals {
    start: Vec<u32>,
    reads: Vec<(Var, Origin)>,
    user_start: Vec<u32>,
    users: Vec<u32>,
    escapes: Vec<bool>,
}

impl Locals {
    pub fn new(func: &Func, cfg: &Cfg) -> Locals {
        let n = func.code.len();
        let mut start = Vec::with_capacity(n + 1);
        let mut reads = Vec::new();
        let mut user_start = vec![0u32; n + 1];
        let mut last = vec![(NONE, false); Var::COUNT];
        for (i, inst) in func.code.iter().enumerate() {
            let block_start = cfg.blocks[cfg.block_of(i as u32) as usize].start;
            let clear = inst.guard.is_none() && !inst.op.info().has(Effect::Call);
            start.push(reads.len() as u32);
            visit(inst, &mut |v, u| match u {
                Use::Read => {
                    let (d, clear) = last[v.index()];
                    if d == NONE || d < block_start {
                        return;
                    }
                    if clear {
                        user_start[d as usize + 1] += 1;
                    }
                    reads.push((v, if clear { Origin::Here(d) } else { Origin::Mixed }));
                }
                Use::Write => last[v.index()] = (i as u32, clear),
            });
        }
        start.push(reads.len() as u32);
        (0..n).for_each(|i| user_start[i + 1] += user_start[i]);
        let mut fill = user_start.clone();
        let mut users = vec![0u32; user_start[n] as usize];
        for i in 0..n {
            for (_, origin) in &reads[start[i] as usize..start[i + 1] as usize] {
                if let Origin::Here(d) = origin {
                    users[fill[*d as usize] as usize] = i as u32;
                    fill[*d as usize] += 1;
                }
            }
        }
        // Backwards: a write is lost where a later one of the same block, without a guard, replaces it.
        let mut escapes = vec![true; n];
        for block in &cfg.blocks {
            let mut replaced = VarSet::EMPTY;
            for i in (block.start..block.end).rev() {
                let inst = &func.code[i as usize];
                let written = writes(inst);
                escapes[i as usize] = written.is_empty() || !written.minus(replaced).is_empty();
                if inst.guard.is_none() {
                    replaced = replaced.union(written);
                }
            }
        }
        Locals { start, reads, user_start, users, escapes }
    }

    /// Whether some of what the instruction writes may be read in another block.
    pub fn escapes(&self, inst: u32) -> bool {
        self.escapes[inst as usize]
    }

    /// Where the value of a variable that the instruction reads comes from.
    pub fn origin(&self, inst: u32, v: Var) -> Origin {
        let i = inst as usize;
        let reads = &self.reads[self.start[i] as usize..self.start[i + 1] as usize];
        reads.iter().find(|(w, _)| *w == v).map_or(Origin::Elsewhere, |(_, o)| *o)
    }
    /// The reads that find the instruction's value.
    pub fn readers(&self, inst: u32) -> &[u32] {
        let i = inst as usize;
        &self.users[self.user_start[i] as usize..self.user_start[i + 1] as usize]
    }
}
