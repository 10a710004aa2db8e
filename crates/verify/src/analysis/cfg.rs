//! Control flow of one function: basic blocks, orders, reconvergence points.
//!
//! A block ends after every `bra`, `loop`, `ret`, `exit` and `trap`, guarded or not, and before every branch target. Calls do not
//! end a block. A *guarded* `exit` or `trap` (and a guarded `ret` in the kernel's body) takes lanes away but is no path: it
//! has no edge to the end of the function, so lanes that leave early do not keep the others from reconverging.

use super::dom;
use phalanx_isa::{Effect, Func, Inst, Op, Operand};

/// Stands for the end of the function where a block number is expected.
pub const END: u32 = u32::MAX;

/// A basic block: instructions `start..end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// First instruction.
    pub start: u32,
    /// One past the last instruction.
    pub end: u32,
    succs: [u32; 2],
    n_succs: u8,
    /// Control can leave the function here: an unguarded `ret`, `exit` or `trap`, or a guarded `ret` of a callee.
    pub leaves: bool,
    /// The first instruction ends every lane that comes here (`exit`, `trap`, and `ret` in the kernel's body, without a guard).
    pub only_exits: bool,
}

impl Block {
    /// Blocks that may follow, the fall-through first; none twice.
    pub fn succs(&self) -> &[u32] {
        &self.succs[..self.n_succs as usize]
    }
    /// Fuel that a lane pays on entry: the number of instructions.
    pub fn cost(&self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// Control flow of a function.
#[derive(Clone, Debug)]
pub struct Cfg {
    /// Blocks in the order of the code; block 0 is the entry.
    pub blocks: Vec<Block>,
    /// Reachable blocks in reverse post order.
    pub rpo: Vec<u32>,
    block_of: Vec<u32>,
    rpo_at: Vec<u32>,
    pred_start: Vec<u32>,
    pred_list: Vec<u32>,
    ipdom: Vec<u32>,
    pub(crate) depth: Vec<u32>,
    pos: Vec<u32>,
    size: Vec<u32>,
    back_edges: Vec<(u32, u32)>,
}

/// Whether control may be elsewhere, or nowhere, after the instruction.
pub fn ends_block(inst: &Inst) -> bool {
    let info = inst.op.info();
    inst.op == Op::Trap || [Effect::Branch, Effect::Return, Effect::Exit].iter().any(|e| info.has(*e))
}

/// Whether control may go on to the next instruction.
pub fn falls_through(inst: &Inst) -> bool {
    !ends_block(inst) || inst.guard.is_some() || inst.op.info().has(Effect::Cond)
}

/// Where the instruction may branch to.
pub fn target(inst: &Inst) -> Option<u32> {
    if !inst.op.info().has(Effect::Branch) {
        return None;
    }
    inst.args.iter().find_map(|a| if let Operand::Label(l) = a { Some(*l) } else { None })
}

/// Whether the instruction, executed, ends the lane: `exit`, `trap`, and `ret` in the kernel's body.
pub fn ends_lane(inst: &Inst, is_body: bool) -> bool {
    let info = inst.op.info();
    inst.op == Op::Trap || info.has(Effect::Exit) || (is_body && info.has(Effect::Return))
}

impl Cfg {
    /// Builds it; `is_body` for function 0. Total: targets outside the code and a missing end are edges that are not there.
    pub fn new(func: &Func, is_body: bool) -> Cfg {
        let code = &func.code;
        let n = code.len();
        let mut leader = vec![false; n];
        if n > 0 {
            leader[0] = true;
        }
        for (i, inst) in code.iter().enumerate() {
            if ends_block(inst) && i + 1 < n {
                leader[i + 1] = true;
            }
            if let Some(t) = target(inst).filter(|t| (*t as usize) < n) {
                leader[t as usize] = true;
            }
        }
        let mut block_of = vec![0u32; n];
        let mut blocks: Vec<Block> = Vec::new();
        for i in 0..n {
            if leader[i] {
                let at = i as u32;
                let only_exits = code[i].guard.is_none() && ends_lane(&code[i], is_body);
                blocks.push(Block {
                    start: at,
                    end: at,
                    succs: [0; 2],
                    n_succs: 0,
                    leaves: false,
                    only_exits,
                });
            }
            let b = blocks.len() - 1;
            block_of[i] = b as u32;
            blocks[b].end = i as u32 + 1;
        }
        for b in &mut blocks {
            let last = &code[b.end as usize - 1];
            let mut add = |s: u32| {
                if (s as usize) < n && !b.succs[..b.n_succs as usize].contains(&block_of[s as usize]) {
                    b.succs[b.n_succs as usize] = block_of[s as usize];
                    b.n_succs += 1;
                }
            };
            if falls_through(last) {
                add(b.end);
            }
            if let Some(t) = target(last) {
                add(t);
            }
            let returns = last.op.info().has(Effect::Return);
            b.leaves =
                (ends_lane(last, is_body) || returns) && (last.guard.is_none() || (returns && !is_body));
        }
        let mut cfg = Cfg {
            rpo: Vec::new(),
            block_of,
            rpo_at: vec![END; blocks.len()],
            pred_start: Vec::new(),
            pred_list: Vec::new(),
            ipdom: Vec::new(),
            depth: Vec::new(),
            pos: Vec::new(),
            size: Vec::new(),
            back_edges: Vec::new(),
            blocks,
        };
        cfg.order();
        cfg.predecessors();
        cfg.post_dominators();
        cfg
    }

    fn order(&mut self) {
        let mut post = Vec::with_capacity(self.blocks.len());
        let mut seen = vec![false; self.blocks.len()];
        let mut stack: Vec<(u32, usize)> = Vec::new();
        if !self.blocks.is_empty() {
            seen[0] = true;
            stack.push((0, 0));
        }
        while let Some((b, next)) = stack.pop() {
            // Last successor first, so that the fall-through comes early in the reversed order.
            let succs = self.blocks[b as usize].succs();
            match succs.len().checked_sub(next + 1).map(|i| succs[i]) {
                Some(s) => {
                    stack.push((b, next + 1));
                    if !seen[s as usize] {
                        seen[s as usize] = true;
                        stack.push((s, 0));
                    }
                }
                None => post.push(b),
            }
        }
        post.reverse();
        for (i, b) in post.iter().enumerate() {
            self.rpo_at[*b as usize] = i as u32;
        }
        for b in &post {
            for s in self.blocks[*b as usize].succs() {
                if self.rpo_at[*s as usize] <= self.rpo_at[*b as usize] {
                    self.back_edges.push((*b, *s));
                }
            }
        }
        self.back_edges.sort_unstable();
        self.rpo = post;
    }

    fn predecessors(&mut self) {
        let n = self.blocks.len();
        let mut start = vec![0u32; n + 1];
        let edges = |f: &mut dyn FnMut(u32, u32)| {
            for b in &self.rpo {
                self.blocks[*b as usize].succs().iter().for_each(|s| f(*b, *s));
            }
        };
        edges(&mut |_, s| start[s as usize + 1] += 1);
        for i in 0..n {
            start[i + 1] += start[i];
        }
        let mut fill = start.clone();
        let mut list = vec![0u32; start[n] as usize];
        edges(&mut |b, s| {
            list[fill[s as usize] as usize] = b;
            fill[s as usize] += 1;
        });
        self.pred_start = start;
        self.pred_list = list;
    }

    /// Post-dominators over the reversed graph, rooted in the function's end. Where no path leads to the end (endless loops), the
    /// latest such block in reverse post order counts as leading there, until all blocks do.
    fn post_dominators(&mut self) {
        let n = self.blocks.len();
        let mut roots: Vec<u32> =
            self.rpo.iter().copied().filter(|b| self.blocks[*b as usize].leaves).collect();
        let mut seen = vec![false; n];
        let mut stack = Vec::new();
        let mut next_root = 0;
        let mut back = self.rpo.len();
        loop {
            while let Some(b) = stack.pop() {
                for p in self.preds(b) {
                    if !seen[*p as usize] {
                        seen[*p as usize] = true;
                        stack.push(*p);
                    }
                }
            }
            if next_root == roots.len() {
                while back > 0 && seen[self.rpo[back - 1] as usize] {
                    back -= 1;
                }
                if back == 0 {
                    break;
                }
                roots.push(self.rpo[back - 1]);
            }
            let r = roots[next_root];
            next_root += 1;
            if !seen[r as usize] {
                seen[r as usize] = true;
                stack.push(r);
            }
        }
        // Node n is the end of the function.
        let tree = dom::tree(n + 1, n as u32, |b, f| {
            let list = if b as usize == n { &roots[..] } else { self.preds(b) };
            list.iter().for_each(|p| f(*p));
        });
        self.ipdom = (0..n).map(|b| if tree.idom[b] as usize == n { END } else { tree.idom[b] }).collect();
        self.depth = tree.depth;
        self.pos = tree.pos;
        self.size = tree.size;
    }

    /// The block that an instruction is in.
    pub fn block_of(&self, inst: u32) -> u32 {
        self.block_of[inst as usize]
    }
    /// Reachable blocks that may come before.
    pub fn preds(&self, block: u32) -> &[u32] {
        let b = block as usize;
        &self.pred_list[self.pred_start[b] as usize..self.pred_start[b + 1] as usize]
    }
    /// Whether the entry leads to the block.
    pub fn reachable(&self, block: u32) -> bool {
        self.rpo_at[block as usize] != END
    }
    /// Position of a reachable block in [`Cfg::rpo`], else [`END`].
    pub fn rpo_index(&self, block: u32) -> u32 {
        self.rpo_at[block as usize]
    }
    /// The immediate post-dominator; `None`: the end of the function (also for unreachable blocks).
    pub fn ipdom(&self, block: u32) -> Option<u32> {
        Some(self.ipdom[block as usize]).filter(|b| *b != END)
    }
    /// Where lanes that a branch separates come together again: an instruction, or `None` for the end of the function.
    pub fn reconvergence(&self, inst: u32) -> Option<u32> {
        self.ipdom(self.block_of(inst)).map(|b| self.blocks[b as usize].start)
    }
    /// Whether every path from `block` to the end goes through `by` (a block does so itself). Reachable blocks only.
    pub fn post_dominates(&self, by: u32, block: u32) -> bool {
        let (a, b) = (by as usize, block as usize);
        self.reachable(by)
            && self.reachable(block)
            && self.pos[a] <= self.pos[b]
            && self.pos[b] < self.pos[a] + self.size[a]
    }
    /// Edges (from, to) that go back in reverse post order; every cycle has one. Ascending.
    pub fn back_edges(&self) -> &[(u32, u32)] {
        &self.back_edges
    }
    /// Whether the edge goes back.
    pub fn is_back_edge(&self, from: u32, to: u32) -> bool {
        self.back_edges.binary_search(&(from, to)).is_ok()
    }
}
