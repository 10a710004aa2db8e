//! What a valid kernel's author should look at.

use super::{Report, memory};
use crate::analysis::{
    Divergence, FuncAnalysis, KernelAnalysis, Scope, callee, collective, ends_block, ends_lane, separates,
};
use crate::codes;
use crate::vars::{Use, Var, VarSet, visit};
use phalanx_isa::{Access, Base, Expr, Func, Inst, Kernel, Kind, Operand, ParamKind, PlaceItem, Role};

/// Looks at a valid kernel.
pub(super) fn kernel(report: &mut Report<'_>, known: &KernelAnalysis) {
    let exits = [Scope::Block, Scope::Subgroup].map(|scope| after_exit(report.kernel, known, scope));
    for f in 0..known.funcs.len() {
        for i in 0..report.kernel.funcs[f].code.len() as u32 {
            let block = known.funcs[f].cfg.block_of(i);
            if known.funcs[f].cfg.reachable(block) {
                let after_exit = |scope| {
                    let exits = &exits[usize::from(scope == Scope::Subgroup)];
                    exits[f][block as usize] <= i
                };
                collective_missed(report, f, i, &known.funcs[f], &after_exit);
                uniform_operands(report, f, i, known);
                constant_index(report, f, i);
            }
        }
        unreachable(report, f, &known.funcs[f]);
        unused_registers(report, f);
    }
    for r in &known.order {
        let inst = &report.kernel.funcs[r.func].code[r.inst as usize];
        let message = format!("`{}` {}: the result may depend on the order of lanes", inst.mnemonic(), r.why);
        report.add(codes::W_ORDER, r.func, PlaceItem::Inst(r.inst), message, "not order-free");
    }
    unused(report, known);
}

fn collective_missed(
    report: &mut Report<'_>,
    f: usize,
    i: u32,
    known: &FuncAnalysis,
    after_exit: &dyn Fn(Scope) -> bool,
) {
    let inst = &report.kernel.funcs[f].code[i as usize];
    let Some(scope) = collective(inst) else { return };
    let uniformity = match scope {
        Scope::Block => &known.uniformity,
        Scope::Subgroup => &known.subgroup,
    };
    let apart = uniformity.divergence(known.cfg.block_of(i)) != Divergence::Convergent;
    let guard =
        inst.guard.filter(|g| scope == Scope::Block && !uniformity.is_uniform_at(i, Var::Pred(g.pred)));
    let mnemonic = inst.mnemonic();
    let lanes = if scope == Scope::Block { "block" } else { "subgroup" };
    if let Some(g) = guard {
        let name = report.names(f).pred(g.pred);
        let message = format!("`{mnemonic}` has the guard `{name}`, which may differ between lanes");
        report
            .add(codes::W_DIVERGENT, f, PlaceItem::Guard(i), message, "")
            .help(format!("every lane of the {lanes} must execute it, or the launch traps"));
    } else if apart {
        let message = format!("`{mnemonic}` stands where lanes may have gone different ways");
        report
            .add(codes::W_DIVERGENT, f, PlaceItem::Inst(i), message, "")
            .help(format!("every lane of the {lanes} must execute it, or the launch traps"));
    } else if after_exit(scope) {
        let message = format!("`{mnemonic}` comes where some lanes may have ended");
        report.add(codes::W_EXITED, f, PlaceItem::Inst(i), message, "").help(
            "a lane that has ended counts as missing: let it go on without effect, or end all lanes together",
        );
    }
}

/// For every block the first instruction before which some lanes, but not all, may have ended; past the block's end: none.
fn after_exit(kernel: &Kernel, known: &KernelAnalysis, scope: Scope) -> Vec<Vec<u32>> {
    let mut first: Vec<Vec<u32>> = known.funcs.iter().map(|f| vec![u32::MAX; f.cfg.blocks.len()]).collect();
    let mut callers: Vec<Vec<(usize, u32)>> = vec![Vec::new(); kernel.funcs.len()];
    let mut work: Vec<(usize, u32, u32)> = Vec::new();
    for (f, func) in kernel.funcs.iter().enumerate() {
        let k = &known.funcs[f];
        let uniformity = if scope == Scope::Block { &k.uniformity } else { &k.subgroup };
        for (i, inst) in func.code.iter().enumerate() {
            let b = k.cfg.block_of(i as u32);
            if !k.cfg.reachable(b) {
                continue;
            }
            if let Some(g) = callee(kernel, inst) {
                callers[g].push((f, i as u32));
            }
            let apart = uniformity.divergence(b) != Divergence::Convergent;
            let parts = separates(uniformity, i as u32, inst);
            let leaves = ends_lane(inst, f == 0) && inst.guard.is_some() && (parts || apart);
            let goes_to_end = parts && {
                let succs = k.cfg.blocks[b as usize].succs();
                ends_block(inst) && succs.iter().any(|s| k.cfg.blocks[*s as usize].only_exits)
            };
            if leaves || goes_to_end {
                work.push((f, b, i as u32 + 1));
            }
        }
    }
    // A call of a function in which lanes end is such an instruction too.
    let mut ends: Vec<bool> = vec![false; kernel.funcs.len()];
    let mut next = 0;
    while let Some(&(f, _, _)) = work.get(next) {
        next += 1;
        if !std::mem::replace(&mut ends[f], true) {
            let calls = callers[f].iter();
            work.extend(calls.map(|(g, i)| (*g, known.funcs[*g].cfg.block_of(*i), *i + 1)));
        }
    }
    while let Some((f, b, from)) = work.pop() {
        let cfg = &known.funcs[f].cfg;
        let old = first[f][b as usize];
        if old <= from {
            continue;
        }
        first[f][b as usize] = from;
        let block = &cfg.blocks[b as usize];
        for s in block.succs() {
            let start = cfg.blocks[*s as usize].start;
            if first[f][*s as usize] > start {
                work.push((f, *s, start));
            }
        }
        let end = block.end.min(old);
        for i in from..end {
            if let Some(g) = callee(kernel, &kernel.funcs[f].code[i as usize]) {
                let entry_is_new = first[g].first().is_some_and(|at| *at > 0);
                if entry_is_new {
                    work.push((g, 0, 0));
                }
            }
        }
    }
    first
}

fn uniform_operands(report: &mut Report<'_>, f: usize, i: u32, known: &KernelAnalysis) {
    let inst = &report.kernel.funcs[f].code[i as usize];
    let info = inst.op.info();
    let (scope, lanes) = match info.kind {
        Kind::Subgroup => (Scope::Subgroup, "subgroup"),
        _ => (Scope::Block, "block"),
    };
    for (n, (arg, o)) in info.args.iter().zip(&inst.args).enumerate() {
        let bad = match (arg.role, o) {
            (Role::Uniform | Role::Out | Role::Input, o) => !known.uniform_operand(f, i, o, scope),
            _ => false,
        };
        if bad {
            let message = format!("`{}` of `{}` may differ between lanes", arg.name, inst.mnemonic());
            report
                .add(codes::W_NOT_UNIFORM, f, PlaceItem::Operand(i, n as u8), message, "")
                .help(format!("it must be the same for the whole {lanes}, or the launch traps"));
        }
    }
}

/// Constant indices outside arrays whose size is known.
fn constant_index(report: &mut Report<'_>, f: usize, i: u32) {
    let kernel = report.kernel;
    let inst = &kernel.funcs[f].code[i as usize];
    for (n, o) in inst.args.iter().enumerate() {
        let Operand::Mem(m) = o else { continue };
        let Operand::Imm(index) = m.index else { continue };
        let at = i128::from(index) + i128::from(m.disp);
        let len = match m.base {
            Base::Param(_) => None,
            Base::Shared(s) => kernel.shared[s as usize].len,
            Base::Private(p) => kernel.private[p as usize].len,
        };
        if at < 0 || len.is_some_and(|len| at >= i128::from(len)) {
            let name = report.names(f).base(m.base);
            let size = len.map_or(String::new(), |n| format!(", which has {n} elements"));
            let message = format!("element {at} lies outside `{name}`{size}");
            report
                .add(codes::W_OUTSIDE, f, PlaceItem::Operand(i, n as u8), message, "traps when executed")
                .also(0, memory::item(m.base), "declared here");
        }
    }
}

fn unreachable(report: &mut Report<'_>, f: usize, known: &FuncAnalysis) {
    let mut before = true;
    for b in 0..known.cfg.blocks.len() as u32 {
        let reachable = known.cfg.reachable(b);
        if before && !reachable {
            let start = known.cfg.blocks[b as usize].start;
            let message = "no path leads here".to_string();
            report.add(codes::W_UNREACHABLE, f, PlaceItem::Inst(start), message, "never executed");
        }
        before = reachable;
    }
}

fn unused_registers(report: &mut Report<'_>, f: usize) {
    let func: &Func = &report.kernel.funcs[f];
    let mut read = VarSet::EMPTY;
    // Results that come along with an effect may well be ignored.
    let mut excused = VarSet::EMPTY;
    let mut written = VarSet::EMPTY;
    for inst in &func.code {
        let plain = inst.op.info().kind == Kind::Alu;
        visit(inst, &mut |v, u| {
            match u {
                Use::Read => read.insert(v),
                Use::Write if plain => written.insert(v),
                Use::Write => excused.insert(v),
            };
        });
    }
    func.params.iter().chain(&func.results).filter_map(Var::of).for_each(|v| {
        read.insert(v);
    });
    let regs = func.regs.iter().enumerate().filter(|(_, r)| r.is_some());
    let preds = func.preds.iter().enumerate().filter(|(_, p)| p.is_some());
    let regs = regs.map(|(i, _)| (Var::Reg(i as u8), PlaceItem::Reg(i as u8)));
    let preds = preds.map(|(i, _)| (Var::Pred(i as u8), PlaceItem::Pred(i as u8)));
    for (v, item) in regs.chain(preds) {
        if read.contains(v) || excused.contains(v) {
            continue;
        }
        let names = report.names(f);
        let name = match v {
            Var::Reg(r) => names.reg(r),
            Var::Pred(p) => names.pred(p),
        };
        let what = if written.contains(v) { "is written but never read" } else { "is never used" };
        report.add(codes::W_UNUSED_REG, f, item, format!("`{name}` {what}"), "");
    }
}

/// Parameters, arrays and functions that nothing names, and buffers that are meant to be written and are not.
fn unused(report: &mut Report<'_>, known: &KernelAnalysis) {
    let kernel = report.kernel;
    let mut params = vec![false; kernel.params.len()];
    let mut shared = vec![false; kernel.shared.len()];
    let mut private = vec![false; kernel.private.len()];
    let mut base = |b: Base| match b {
        Base::Param(p) => params[p as usize] = true,
        Base::Shared(s) => shared[s as usize] = true,
        Base::Private(p) => private[p as usize] = true,
    };
    let code = kernel.funcs.iter().flat_map(|f| &f.code);
    code.flat_map(|i: &Inst| &i.args).for_each(|o| names_of(o, &mut base));
    kernel.grid.iter().flatten().for_each(|e| params_of(e, &mut base));
    for p in &kernel.params {
        if let ParamKind::Packed { n, k, .. } = &p.kind {
            params_of(n, &mut base);
            params_of(k, &mut base);
        }
    }
    let mut never = |item: PlaceItem, what: &str, name: &str| {
        report.add(codes::W_UNUSED, 0, item, format!("{what} `{name}` is never used"), "");
    };
    for (i, p) in kernel.params.iter().enumerate().filter(|(i, _)| !params[*i]) {
        never(PlaceItem::Param(i as u16), "parameter", &p.name);
    }
    for (i, a) in kernel.shared.iter().enumerate().filter(|(i, _)| !shared[*i]) {
        never(PlaceItem::Shared(i as u16), "shared array", &a.name);
    }
    for (i, a) in kernel.private.iter().enumerate().filter(|(i, _)| !private[*i]) {
        never(PlaceItem::Private(i as u16), "private array", &a.name);
    }
    for (f, _) in known.funcs.iter().enumerate().filter(|(_, k)| !k.called) {
        let name = &kernel.funcs[f].name;
        let message = format!("function `{name}` is never called");
        report.add(codes::W_UNUSED, f, PlaceItem::Func, message, "");
    }
    for (i, p) in kernel.params.iter().enumerate().filter(|(i, _)| params[*i]) {
        let ParamKind::Buffer { access, .. } = p.kind else { continue };
        if access != Access::In && !known.params[i].written {
            let (word, help) = match access {
                Access::Out => ("out", "write it, or leave it out"),
                _ => ("inout", "declare it `in`"),
            };
            let message = format!("`{}` is an `{word}` buffer that is never written", p.name);
            report.add(codes::W_NEVER_WRITTEN, 0, PlaceItem::Param(i as u16), message, "").help(help);
        }
    }
}

fn names_of(o: &Operand, f: &mut dyn FnMut(Base)) {
    let param = |o: &Operand, f: &mut dyn FnMut(Base)| {
        if let Operand::Param(p) = o {
            f(Base::Param(*p));
        }
    };
    match o {
        Operand::Mem(m) => {
            f(m.base);
            param(&m.index, f);
            m.which.iter().for_each(|w| param(w, f));
        }
        Operand::Object(b) => f(*b),
        Operand::List(items) => items.iter().for_each(|o| param(o, f)),
        o => param(o, f),
    }
}

fn params_of(e: &Expr, f: &mut dyn FnMut(Base)) {
    match e {
        Expr::Const(_) => {}
        Expr::Param(p) | Expr::Len(p) => f(Base::Param(*p)),
        Expr::Bin(_, a, b) => {
            params_of(a, f);
            params_of(b, f);
        }
    }
}
