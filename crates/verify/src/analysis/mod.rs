//! What every executor wants to know about a kernel, computed once.
//!
//! It takes for granted what a launch checks: the block has the declared size where there is one. Loads from buffers and shared
//! memory by a uniform address count as uniform, which a race can falsify; whichever lane's value an executor then takes is one
//! that the memory model allows.

mod affine;
mod cfg;
mod dom;
mod live;
mod locals;
mod memory;
mod uniform;

pub use affine::AccessPattern;
pub use cfg::{Block, Cfg, END, ends_block, ends_lane, falls_through, target};
pub use live::Live;
pub use memory::{ObjectUse, OrderReason};
pub use uniform::{Divergence, Scope, Uniformity, collective};

pub(crate) use locals::{Locals, Origin};
pub(crate) use memory::mode;
pub(crate) use uniform::{callee, separates};

use crate::vars::Var;
use locals::Users;
use phalanx_isa::{Base, Func, Guard, Kernel, Operand, Role, Special, Type};
use std::sync::Arc;
use uniform::Geometry;

/// What is known about one function.
#[derive(Clone, Debug)]
pub struct FuncAnalysis {
    /// Control flow.
    pub cfg: Cfg,
    /// What is the same for all lanes of a block.
    pub uniformity: Uniformity,
    /// What is the same for all lanes of a subgroup.
    pub subgroup: Uniformity,
    /// Live ranges.
    pub live: Live,
    /// Collective instructions over the block, ascending, unreachable ones too.
    pub block_collectives: Vec<u32>,
    /// Collective instructions over a subgroup, ascending.
    pub subgroup_collectives: Vec<u32>,
    /// It or what it calls has collective instructions over the block.
    pub reaches_block_collective: bool,
    /// It or what it calls has collective instructions over a subgroup.
    pub reaches_subgroup_collective: bool,
    /// It can call itself, directly or through others.
    pub recursive: bool,
    /// The kernel's body leads to a call of it (the body: always).
    pub called: bool,
    divergent: Vec<u32>,
    patterns: Vec<(u32, AccessPattern)>,
}

impl FuncAnalysis {
    /// How a load's, store's or atomic's index differs between lanes; `None` for other instructions. A hint: see
    /// [`AccessPattern`].
    pub fn pattern(&self, inst: u32) -> Option<AccessPattern> {
        let at = self.patterns.binary_search_by_key(&inst, |(i, _)| *i).ok()?;
        Some(self.patterns[at].1)
    }
    /// Whether lanes that run together may go different ways at an instruction that ends a block.
    pub fn divergent_branch(&self, inst: u32) -> bool {
        self.divergent.binary_search(&inst).is_ok()
    }
}

/// What is known about a kernel.
#[derive(Clone, Debug)]
pub struct KernelAnalysis {
    /// By function.
    pub funcs: Vec<FuncAnalysis>,
    /// By parameter: what the kernel does with the buffer. Scalars and packed parameters: `read` when used.
    pub params: Vec<ObjectUse>,
    /// By shared array.
    pub shared: Vec<ObjectUse>,
    /// By private array.
    pub private: Vec<ObjectUse>,
    /// Why the kernel is not order-free, in the order of the code; empty: it is, provided that it is race-free.
    pub order: Vec<OrderReason>,
    /// Special registers with the types that they are read as, ascending, none twice: a launch whose values do not fit is
    /// refused. Memory indices are exact and count as u64.
    pub specials: Vec<(Special, Type)>,
    /// Lengths that are read, with the type: a launch where one does not fit is refused.
    pub lengths: Vec<(Base, Type)>,
    /// Calls nested in each other at most, the body not counted; `None`: recursion, so the call depth limit decides at run time.
    pub call_depth: Option<u32>,
    /// Most register numbers that a function has.
    pub frame_regs: u32,
    /// Most predicate numbers that a function has.
    pub frame_preds: u32,
    /// Some loop reads memory that other blocks may write during the launch, so that a block may be waiting for lower ones.
    pub may_wait: bool,
    /// Native operations are used.
    pub native: bool,
    /// The launch's pool is used.
    pub pool: bool,
    /// The resonance is added to or tested.
    pub resonance: bool,
    block: Option<[u32; 3]>,
}

impl KernelAnalysis {
    /// Whether all lanes that read the register see the same value, so that one copy for the block is enough.
    pub fn uniform_reg(&self, func: usize, reg: u8) -> bool {
        self.funcs[func].uniformity.is_uniform(Var::Reg(reg))
    }
    /// Whether all lanes of the scope that execute the instruction find the same value in one of its operands; of memory
    /// elements and lists: in their indices and members. More is uniform in this sense than [`Self::uniform_reg`] tells: a
    /// register that varies may hold the same value in all lanes for a while.
    pub fn uniform_operand(&self, func: usize, inst: u32, operand: &Operand, scope: Scope) -> bool {
        let known = &self.funcs[func];
        let uniformity = match scope {
            Scope::Block => &known.uniformity,
            Scope::Subgroup => &known.subgroup,
        };
        let simple = |o: &Operand| match o {
            Operand::Special(s) => Geometry { block: self.block, scope }.uniform(*s),
            Operand::Mem(_) | Operand::List(_) => false,
            o => Var::of(o).is_none_or(|v| uniformity.is_uniform_at(inst, v)),
        };
        match operand {
            Operand::Mem(m) => simple(&m.index) && m.which.as_ref().is_none_or(simple),
            Operand::List(items) => items.iter().all(simple),
            o => simple(o),
        }
    }
    /// Whether all lanes of the block that execute the instruction agree on its guard.
    pub fn uniform_guard(&self, func: usize, inst: u32, guard: Guard) -> bool {
        self.uniform_operand(func, inst, &Operand::Pred(guard.pred), Scope::Block)
    }
    /// Whether all lanes that read the predicate see the same value.
    pub fn uniform_pred(&self, func: usize, pred: u8) -> bool {
        self.funcs[func].uniformity.is_uniform(Var::Pred(pred))
    }
    /// Whether lanes that run together may go different ways at an instruction that ends a block.
    pub fn divergent_branch(&self, func: usize, inst: u32) -> bool {
        self.funcs[func].divergent_branch(inst)
    }
    /// Whether only some of the lanes that have not come to their end may be in the block when it runs.
    pub fn divergent_block(&self, func: usize, block: u32) -> bool {
        self.funcs[func].uniformity.divergence(block) != Divergence::Convergent
    }
    /// Whether the kernel, being race-free, leaves the same bits whatever the order of blocks and lanes.
    pub fn order_free(&self) -> bool {
        self.order.is_empty()
    }
}

/// Analyses a kernel whose instructions have the right form. Total: it never panics, whatever the operands are.
pub(crate) fn analyse(kernel: &Kernel) -> KernelAnalysis {
    let geometry = Geometry { block: kernel.block, scope: Scope::Block };
    let cfgs: Vec<Cfg> = kernel.funcs.iter().enumerate().map(|(i, f)| Cfg::new(f, i == 0)).collect();
    let locals: Vec<Arc<Locals>> =
        kernel.funcs.iter().zip(&cfgs).map(|(f, c)| Arc::new(Locals::new(f, c))).collect();
    let uniformity = uniform::solve(kernel, &cfgs, &locals, geometry);
    let narrow = Geometry { scope: Scope::Subgroup, ..geometry };
    let subgroups = uniform::solve(kernel, &cfgs, &locals, narrow);
    let calls = Calls::new(kernel, &cfgs);
    let mut funcs: Vec<FuncAnalysis> = Vec::with_capacity(cfgs.len());
    let both = uniformity.into_iter().zip(subgroups);
    for (i, (cfg, (uniformity, subgroup))) in cfgs.into_iter().zip(both).enumerate() {
        let func = &kernel.funcs[i];
        let of_scope = |scope: Scope| -> Vec<u32> {
            let all = func.code.iter().enumerate();
            all.filter(|(_, inst)| collective(inst) == Some(scope)).map(|(i, _)| i as u32).collect()
        };
        let divergent = divergent_branches(func, &cfg, &uniformity);
        let patterns = affine::patterns(func, &cfg, &uniformity, &Users::new(func), geometry);
        let live = live::solve(func, &cfg);
        funcs.push(FuncAnalysis {
            live,
            block_collectives: of_scope(Scope::Block),
            subgroup_collectives: of_scope(Scope::Subgroup),
            reaches_block_collective: false,
            reaches_subgroup_collective: false,
            recursive: calls.recursive[i],
            called: calls.called[i],
            divergent,
            patterns,
            cfg,
            uniformity,
            subgroup,
        });
    }
    for scope in [Scope::Block, Scope::Subgroup] {
        let own: Vec<bool> = funcs.iter().map(|f| !f.of(scope).is_empty()).collect();
        let reached = calls.spread_to_callers(own);
        for (f, r) in funcs.iter_mut().zip(reached) {
            match scope {
                Scope::Block => f.reaches_block_collective = r,
                Scope::Subgroup => f.reaches_subgroup_collective = r,
            }
        }
    }
    let uses = memory::uses(kernel);
    let order = memory::order(kernel, &funcs);
    let may_wait = memory::may_wait(kernel, &funcs, &uses, |has| calls.spread_to_callers(has));
    let (specials, lengths) = launch_values(kernel);
    let info = |pick: fn(&phalanx_isa::OpInfo) -> bool| {
        kernel.funcs.iter().flat_map(|f| &f.code).any(|i| pick(i.op.info()))
    };
    KernelAnalysis {
        params: uses.params,
        shared: uses.shared,
        private: uses.private,
        order,
        specials,
        lengths,
        call_depth: calls.depth,
        frame_regs: kernel.funcs.iter().map(|f| f.regs.len() as u32).max().unwrap_or(0),
        frame_preds: kernel.funcs.iter().map(|f| f.preds.len() as u32).max().unwrap_or(0),
        block: kernel.block,
        may_wait,
        native: info(|i| i.kind == phalanx_isa::Kind::Native),
        pool: info(|i| i.has(phalanx_isa::Effect::Pool)),
        resonance: info(|i| i.has(phalanx_isa::Effect::Resonance)),
        funcs,
    }
}

impl FuncAnalysis {
    fn of(&self, scope: Scope) -> &[u32] {
        match scope {
            Scope::Block => &self.block_collectives,
            Scope::Subgroup => &self.subgroup_collectives,
        }
    }
}

fn divergent_branches(func: &Func, cfg: &Cfg, uniformity: &Uniformity) -> Vec<u32> {
    let ends = cfg.blocks.iter().enumerate().filter(|(b, _)| cfg.reachable(*b as u32));
    let last = ends.map(|(_, block)| block.end - 1);
    last.filter(|i| uniform::separates(uniformity, *i, &func.code[*i as usize])).collect()
}

/// Special registers and lengths with the types that they are read as.
type LaunchValues = (Vec<(Special, Type)>, Vec<(Base, Type)>);

fn launch_values(kernel: &Kernel) -> LaunchValues {
    let mut specials = Vec::new();
    let mut lengths = Vec::new();
    for inst in kernel.funcs.iter().flat_map(|f| &f.code) {
        for (arg, operand) in inst.op.info().args.iter().zip(&inst.args) {
            let ty = crate::check::arg_type(arg.ty, inst);
            let mut special = |o: &Operand, ty: Option<Type>| {
                if let (Operand::Special(s), Some(ty)) = (o, ty) {
                    specials.push((*s, ty));
                }
            };
            match operand {
                Operand::Mem(m) => {
                    special(&m.index, Some(Type::U64));
                    m.which.iter().for_each(|w| special(w, Some(Type::U64)));
                }
                Operand::List(items) if arg.role == Role::Srcs => {
                    // Arguments have the types of the callee's parameters.
                    let params = callee(kernel, inst).map_or(&[][..], |f| &kernel.funcs[f].params);
                    for (n, o) in items.iter().enumerate() {
                        let ty = callee(kernel, inst)
                            .and_then(|f| crate::check::var_type(&kernel.funcs[f], params.get(n)?));
                        special(o, ty);
                    }
                }
                Operand::List(items) => items.iter().for_each(|o| special(o, ty)),
                Operand::Object(base) if arg.role == Role::Buffer => {
                    lengths.extend(inst.ty.map(|t| (*base, t)));
                }
                o => special(o, ty),
            }
        }
    }
    specials.sort_unstable();
    specials.dedup();
    let mut seen = std::collections::HashSet::new();
    lengths.retain(|l| seen.insert(*l));
    (specials, lengths)
}

/// The call graph of a kernel.
struct Calls {
    callers: Vec<Vec<usize>>,
    called: Vec<bool>,
    recursive: Vec<bool>,
    depth: Option<u32>,
}

impl Calls {
    fn new(kernel: &Kernel, cfgs: &[Cfg]) -> Calls {
        let n = kernel.funcs.len();
        let mut callees: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (f, func) in kernel.funcs.iter().enumerate() {
            for (i, inst) in func.code.iter().enumerate() {
                if cfgs[f].reachable(cfgs[f].block_of(i as u32)) {
                    callees[f].extend(callee(kernel, inst));
                }
            }
            callees[f].sort_unstable();
            callees[f].dedup();
        }
        let mut callers = vec![Vec::new(); n];
        callees.iter().enumerate().for_each(|(f, list)| list.iter().for_each(|g| callers[*g].push(f)));
        // Functions are few (256 at most): reachability from each of them by search.
        let reach = |from: usize| {
            let mut seen = vec![false; n];
            let mut stack = callees[from].clone();
            while let Some(g) = stack.pop() {
                if !std::mem::replace(&mut seen[g], true) {
                    stack.extend(&callees[g]);
                }
            }
            seen
        };
        let from_body = if n > 0 { reach(0) } else { Vec::new() };
        let recursive: Vec<bool> = (0..n).map(|f| reach(f)[f]).collect();
        let called: Vec<bool> = (0..n).map(|f| f == 0 || from_body[f]).collect();
        let endless = (0..n).any(|f| called[f] && recursive[f]);
        let depth = (!endless).then(|| {
            // Longest chain, by repeated relaxation over an acyclic graph: at most n rounds.
            let mut level = vec![0u32; n];
            for _ in 0..n {
                let mut changed = false;
                for f in (0..n).filter(|f| called[*f]) {
                    for g in &callees[f] {
                        if level[*g] < level[f] + 1 {
                            level[*g] = level[f] + 1;
                            changed = true;
                        }
                    }
                }
                if !changed {
                    break;
                }
            }
            level.into_iter().max().unwrap_or(0)
        });
        Calls { callers, called, recursive, depth }
    }

    /// A property that a function has when it or a callee has it.
    fn spread_to_callers(&self, mut has: Vec<bool>) -> Vec<bool> {
        let mut stack: Vec<usize> = (0..has.len()).filter(|f| has[*f]).collect();
        while let Some(g) = stack.pop() {
            for f in &self.callers[g] {
                if !std::mem::replace(&mut has[*f], true) {
                    stack.push(*f);
                }
            }
        }
        has
    }
}
