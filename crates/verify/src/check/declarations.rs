//! Names, parameters, arrays, sizes, signatures, labels, limits.

use super::{Report, var_type};
use crate::codes;
use crate::vars::Var;
use phalanx_isa::{Expr, Module, Operand, ParamKind, PlaceItem, Type, limits};
use std::collections::{HashMap, HashSet};

/// How deep expressions may nest.
const EXPR_DEPTH: u32 = 16;

fn is_name(s: &str) -> bool {
    let mut chars = s.bytes();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
    first && s.len() <= limits::NAME_BYTES && chars.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// A name that may be anything, cut short and made printable.
fn quoted(s: &str) -> String {
    let cut: String = s.chars().take(40).flat_map(char::escape_default).collect();
    if s.chars().nth(40).is_some() { format!("{cut}...") } else { cut }
}

/// Kernel names: valid and unique.
pub(super) fn kernel_names(module: &Module, errors: &mut Vec<crate::Error>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, kernel) in module.kernels.iter().enumerate().take(limits::KERNELS) {
        let mut report = Report { kernel, number: i as u16, errors };
        name(&mut report, 0, PlaceItem::Kernel, &kernel.name, "kernel");
        match first.get(kernel.name.as_str()) {
            Some(at) => {
                let message = format!("two kernels are called `{}`", quoted(&kernel.name));
                let other = phalanx_isa::Place { kernel: *at as u16, func: 0, item: PlaceItem::Kernel };
                let added = report.add(codes::DUPLICATE, 0, PlaceItem::Kernel, message, "the second");
                added.error.labels.push((other, "the first".into()));
            }
            None => {
                first.insert(&kernel.name, i);
            }
        }
    }
}

fn name(report: &mut Report<'_>, func: usize, item: PlaceItem, text: &str, what: &str) {
    if !is_name(text) {
        let message = format!("`{}` is not a name for a {what}", quoted(text));
        report
            .add(codes::NAME, func, item, message, "")
            .help("names are letters, digits and `_`, do not begin with a digit, and have at most 128 bytes");
    }
}

/// Everything that a kernel declares. Whether its numbers are within their limits, so that the rest can be looked at.
pub(super) fn kernel(report: &mut Report<'_>) -> bool {
    let kernel = report.kernel;
    if !counts(report) {
        return false;
    }
    let params = kernel.params.iter().enumerate();
    let shared = kernel.shared.iter().enumerate();
    let private = kernel.private.iter().enumerate();
    let names = params
        .map(|(i, p)| (PlaceItem::Param(i as u16), p.name.as_str(), "parameter"))
        .chain(shared.map(|(i, a)| (PlaceItem::Shared(i as u16), a.name.as_str(), "shared array")))
        .chain(private.map(|(i, a)| (PlaceItem::Private(i as u16), a.name.as_str(), "private array")));
    let mut seen: HashMap<&str, PlaceItem> = HashMap::new();
    for (item, text, what) in names {
        name(report, 0, item, text, what);
        if let Some(first) = seen.get(text) {
            let message = format!("`{}` is declared twice", quoted(text));
            report.add(codes::DUPLICATE, 0, item, message, "again").also(0, *first, "first declared here");
        } else {
            seen.insert(text, item);
        }
    }
    params_and_sizes(report);
    arrays(report);
    launch(report);
    if kernel.funcs.is_empty() {
        let message = format!("kernel `{}` has no body", quoted(&kernel.name));
        report.add(codes::NO_BODY, 0, PlaceItem::Kernel, message, "");
    }
    funcs(report);
    true
}

/// Counts of everything.
fn counts(report: &mut Report<'_>) -> bool {
    let kernel = report.kernel;
    let mut fits = true;
    let mut check = |func: usize, item: PlaceItem, n: usize, limit: usize, what: &str| {
        if n > limit {
            fits = false;
            report.add(codes::LIMIT, func, item, format!("{n} {what}, at most {limit} are allowed"), "");
        }
    };
    check(0, PlaceItem::Kernel, kernel.params.len(), limits::PARAMS, "parameters");
    check(0, PlaceItem::Kernel, kernel.shared.len(), limits::ARRAYS, "shared arrays");
    check(0, PlaceItem::Kernel, kernel.private.len(), limits::ARRAYS, "private arrays");
    check(0, PlaceItem::Kernel, kernel.funcs.len(), limits::FUNCTIONS, "functions");
    for (f, func) in kernel.funcs.iter().enumerate().take(limits::FUNCTIONS) {
        check(f, PlaceItem::Func, func.regs.len(), limits::REGISTERS, "registers");
        check(f, PlaceItem::Func, func.preds.len(), limits::PREDICATES, "predicates");
        check(f, PlaceItem::Func, func.code.len(), limits::INSTRUCTIONS, "instructions");
        check(f, PlaceItem::Func, func.labels.len(), limits::INSTRUCTIONS, "labels");
        check(f, PlaceItem::Func, func.params.len(), limits::LIST, "parameters of a function");
        check(f, PlaceItem::Func, func.results.len(), limits::LIST, "results of a function");
    }
    fits
}

fn params_and_sizes(report: &mut Report<'_>) {
    for (i, param) in report.kernel.params.iter().enumerate() {
        let item = PlaceItem::Param(i as u16);
        let shown = quoted(&param.name);
        match &param.kind {
            ParamKind::Scalar(Type::Pred) | ParamKind::Buffer { elem: Type::Pred, .. } => {
                let message = format!("`{shown}` has the type pred, which is not stored");
                report.add(codes::STORED_PRED, 0, item, message, "").help("use u8");
            }
            ParamKind::Scalar(_) => {}
            ParamKind::Buffer { count, .. } => {
                let most = limits::BUFFER_ARRAY as u32;
                if let Some(n) = count.filter(|n| *n == 0 || *n > most) {
                    let message = format!("`{shown}` is an array of {n} buffers, 1 to {most} are allowed");
                    report.add(codes::LIMIT, 0, item, message, "");
                }
            }
            ParamKind::Packed { n, k, .. } => {
                expression(report, item, n, "rows");
                expression(report, item, k, "columns");
            }
        }
    }
}

/// Names and depth of an expression. Depth first: a deep one is not walked.
fn expression(report: &mut Report<'_>, item: PlaceItem, e: &Expr, what: &str) {
    fn depth(e: &Expr, left: u32) -> bool {
        match e {
            Expr::Bin(_, a, b) => left > 0 && depth(a, left - 1) && depth(b, left - 1),
            _ => true,
        }
    }
    if !depth(e, EXPR_DEPTH) {
        let message = format!("the expression for the {what} nests deeper than {EXPR_DEPTH}");
        report.add(codes::EXPRESSION, 0, item, message, "");
        return;
    }
    let kernel = report.kernel;
    let mut reported = HashSet::new();
    let mut stack = vec![e];
    while let Some(e) = stack.pop() {
        let (number, scalar) = match e {
            Expr::Const(_) => continue,
            Expr::Bin(_, a, b) => {
                stack.extend([&**b, &**a]);
                continue;
            }
            Expr::Param(p) => (*p, true),
            Expr::Len(p) => (*p, false),
        };
        let param = kernel.params.get(number as usize);
        let fits = match param.map(|p| &p.kind) {
            Some(ParamKind::Scalar(t)) => scalar && t.is_int(),
            Some(ParamKind::Buffer { count, .. }) => !scalar && count.is_none(),
            _ => false,
        };
        if fits || !reported.insert((number, scalar)) {
            continue;
        }
        let wanted = if scalar { "a scalar parameter of an integer type" } else { "a single buffer" };
        match param {
            Some(p) => {
                let message = format!("the {what} refer to `{}`, which is not {wanted}", quoted(&p.name));
                let added = report.add(codes::EXPRESSION, 0, item, message, "");
                if item != PlaceItem::Param(number) {
                    added.also(0, PlaceItem::Param(number), "declared here");
                }
            }
            None => {
                let message = format!("the {what} refer to parameter {number}, which does not exist");
                report.add(codes::EXPRESSION, 0, item, message, "");
            }
        }
    }
}

fn arrays(report: &mut Report<'_>) {
    let kernel = report.kernel;
    for shared in [true, false] {
        let list = if shared { &kernel.shared } else { &kernel.private };
        let mut total = 0u64;
        for (i, a) in list.iter().enumerate() {
            let item = if shared { PlaceItem::Shared(i as u16) } else { PlaceItem::Private(i as u16) };
            if a.elem == Type::Pred {
                let message = format!("`{}` has the type pred, which is not stored", quoted(&a.name));
                report.add(codes::STORED_PRED, 0, item, message, "").help("use u8");
            }
            match a.len {
                Some(n) => total = total.saturating_add(n.saturating_mul(a.elem.bytes().max(1) as u64)),
                None if shared && i + 1 == list.len() => {}
                None => {
                    let rule =
                        if shared { "only the last shared array may" } else { "private arrays cannot" };
                    let message = format!("`{}` has no size; {rule} leave it to the launch", quoted(&a.name));
                    report.add(codes::UNSIZED, 0, item, message, "");
                }
            }
        }
        let limit = if shared { limits::SHARED_BYTES } else { limits::PRIVATE_BYTES } as u64;
        if total > limit {
            let what = if shared { "shared" } else { "private" };
            let message = format!("the {what} arrays take {total} bytes, at most {limit} are allowed");
            let item = if shared { PlaceItem::Shared(0) } else { PlaceItem::Private(0) };
            report.add(codes::ARRAYS, 0, item, message, "");
        }
    }
}

fn launch(report: &mut Report<'_>) {
    let kernel = report.kernel;
    if let Some(b) = kernel.block {
        let lanes = b.iter().fold(1u64, |n, d| n.saturating_mul(u64::from(*d)));
        let most = limits::BLOCK_LANES as u64;
        if lanes == 0 || lanes > most {
            let message = format!(
                "a block of {} x {} x {} has {lanes} lanes, 1 to {most} are possible",
                b[0], b[1], b[2]
            );
            report.add(codes::BLOCK_SIZE, 0, PlaceItem::Kernel, message, "");
        }
    }
    for e in kernel.grid.iter().flatten() {
        expression(report, PlaceItem::Kernel, e, "grid's blocks");
    }
}

fn funcs(report: &mut Report<'_>) {
    let kernel = report.kernel;
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (f, func) in kernel.funcs.iter().enumerate() {
        if f == 0 {
            if func.name != kernel.name {
                let message = format!(
                    "the body of kernel `{}` is called `{}`",
                    quoted(&kernel.name),
                    quoted(&func.name)
                );
                report
                    .add(codes::DUPLICATE, 0, PlaceItem::Func, message, "")
                    .help("the body has the kernel's name");
            }
        } else {
            name(report, f, PlaceItem::Func, &func.name, "function");
        }
        if let Some(first) = names.get(func.name.as_str()) {
            let message = format!("two functions are called `{}`", quoted(&func.name));
            report.add(codes::DUPLICATE, f, PlaceItem::Func, message, "the second").also(
                *first,
                PlaceItem::Func,
                "the first",
            );
        } else {
            names.insert(&func.name, f);
        }
        registers(report, f);
        signature(report, f);
        labels(report, f);
    }
}

fn registers(report: &mut Report<'_>, f: usize) {
    let func = &report.kernel.funcs[f];
    let regs = func.regs.iter().enumerate().filter_map(|(i, r)| {
        let r = r.as_ref()?;
        Some((PlaceItem::Reg(i as u8), r.name.as_str(), r.ty))
    });
    let preds = func.preds.iter().enumerate();
    let preds = preds.filter_map(|(i, p)| Some((PlaceItem::Pred(i as u8), p.as_deref()?, Type::U8)));
    let mut seen: HashMap<&str, PlaceItem> = HashMap::new();
    for (item, text, ty) in regs.chain(preds) {
        if ty == Type::Pred {
            let message = "a register cannot have the type pred".to_string();
            report.add(codes::STORED_PRED, f, item, message, "").help("predicates are p0 to p15");
        }
        if text.is_empty() {
            continue;
        }
        name(report, f, item, text, "register");
        if let Some(first) = seen.get(text) {
            let message = format!("`{}` is declared twice", quoted(text));
            report.add(codes::DUPLICATE, f, item, message, "again").also(f, *first, "first declared here");
        } else {
            seen.insert(text, item);
        }
    }
}

/// Whether a register or predicate is declared.
pub(super) fn declared(func: &phalanx_isa::Func, v: Var) -> bool {
    match v {
        Var::Reg(r) => func.regs.get(r as usize).is_some_and(Option::is_some),
        Var::Pred(p) => func.preds.get(p as usize).is_some_and(Option::is_some),
    }
}

fn signature(report: &mut Report<'_>, f: usize) {
    let func = &report.kernel.funcs[f];
    if f == 0 {
        if !func.params.is_empty() || !func.results.is_empty() {
            let message = "the kernel's body has parameters or results of a function".to_string();
            report.add(codes::SIGNATURE, 0, PlaceItem::Func, message, "");
        }
        return;
    }
    for (list, what) in [(&func.params, "parameter"), (&func.results, "result")] {
        let mut seen = HashSet::new();
        for (i, o) in list.iter().enumerate() {
            let at = i + 1;
            let problem = match (Var::of(o), var_type(func, o)) {
                (None, _) => "is not a register or predicate",
                (Some(v), _) if !declared(func, v) => "is not declared",
                (Some(_), None) => "is not declared",
                (Some(v), _) if !seen.insert(v) => "appears twice",
                _ => continue,
            };
            let message = format!("{what} {at} of function `{}` {problem}", quoted(&func.name));
            report.add(codes::SIGNATURE, f, PlaceItem::Func, message, "");
        }
    }
}

fn labels(report: &mut Report<'_>, f: usize) {
    let func = &report.kernel.funcs[f];
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut last = 0;
    for (at, text) in &func.labels {
        let item = if (*at as usize) < func.code.len() { PlaceItem::Inst(*at) } else { PlaceItem::Func };
        name(report, f, item, text, "label");
        let shown = quoted(text);
        if *at as usize >= func.code.len() {
            report.add(codes::LABELS, f, item, format!("no instruction follows label `{shown}`"), "");
        } else if *at < last {
            report.add(
                codes::LABELS,
                f,
                item,
                format!("label `{shown}` is out of order in the label table"),
                "",
            );
        }
        last = *at;
        if let Some(first) = seen.get(text.as_str()) {
            let first = PlaceItem::Inst(*first);
            let message = format!("label `{shown}` is declared twice");
            report.add(codes::DUPLICATE, f, item, message, "again").also(f, first, "first declared here");
        } else if item != PlaceItem::Func {
            seen.insert(text, *at);
        }
    }
}

/// Whether an operand is a source that a valid list may hold.
pub(super) fn is_source(o: &Operand) -> bool {
    matches!(
        o,
        Operand::Reg(_) | Operand::Pred(_) | Operand::Imm(_) | Operand::Special(_) | Operand::Param(_)
    )
}
