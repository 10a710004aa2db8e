//! `crates/exec/src/reference/semantics.rs`: the meaning of the alu rows, compiled from their `does` expressions.
//!
//! The expression language is a subset of Rust's: operands by name, `+ - * / %`, `& | ^ !`, comparisons, `if else`, the
//! primitives below and `trap(name)`. It is evaluated in the domain of the row's type: integers as `i128` (exact), floats as
//! f32 (f16, bf16, f32) or f64, predicates as bool.

use crate::emit_isa::HEADER;
use crate::model::{Isa, Op, camel};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use syn::{BinOp, Expr, Lit, UnOp};

#[derive(Clone, Copy, PartialEq)]
enum Domain {
    Int,
    F32,
    F64,
    Pred,
}

/// Primitives and the domain in which they are defined; all are functions of `reference::prims`.
const INT_PRIMS: &[&str] = &[
    "wrap",
    "sat",
    "high",
    "shift_left",
    "shift_right",
    "rotate_left",
    "popcount",
    "leading_zeros",
    "trailing_zeros",
    "reverse_bits",
];
const FLOAT_PRIMS: &[&str] = &["fma", "min_num", "max_num", "abs", "floor", "ceil", "trunc", "rint"];

fn compile(e: &Expr, d: Domain) -> Result<String> {
    Ok(match e {
        Expr::Paren(p) => format!("({})", compile(&p.expr, d)?),
        Expr::Path(p) => p.path.get_ident().context("a plain operand name")?.to_string(),
        Expr::Lit(l) => match (&l.lit, d) {
            (Lit::Int(i), Domain::Int) => format!("{}_i128", i.base10_digits()),
            _ => bail!("literals are for integers"),
        },
        Expr::Unary(u) => {
            let x = compile(&u.expr, d)?;
            match u.op {
                UnOp::Not(_) => format!("(!{x})"),
                UnOp::Neg(_) if d != Domain::Int => format!("(-{x})"),
                _ => bail!("unary operator"),
            }
        }
        Expr::Binary(b) => {
            let (x, y) = (compile(&b.left, d)?, compile(&b.right, d)?);
            let int = d == Domain::Int;
            match b.op {
                BinOp::Add(_) if int => format!("{x}.wrapping_add({y})"),
                BinOp::Sub(_) if int => format!("{x}.wrapping_sub({y})"),
                // Only the low 128 bits matter: u64 * u64 does not fit i128, its bits do.
                BinOp::Mul(_) if int => format!("{x}.wrapping_mul({y})"),
                BinOp::Add(_) => format!("({x} + {y})"),
                BinOp::Sub(_) => format!("({x} - {y})"),
                BinOp::Mul(_) => format!("({x} * {y})"),
                BinOp::Div(_) => format!("({x} / {y})"),
                BinOp::Rem(_) => format!("({x} % {y})"),
                BinOp::BitAnd(_) => format!("({x} & {y})"),
                BinOp::BitOr(_) => format!("({x} | {y})"),
                BinOp::BitXor(_) => format!("({x} ^ {y})"),
                BinOp::Lt(_) => format!("({x} < {y})"),
                BinOp::Gt(_) => format!("({x} > {y})"),
                BinOp::Eq(_) => format!("({x} == {y})"),
                _ => bail!("operator not in the language"),
            }
        }
        Expr::If(i) => {
            let block = |b: &syn::Block| match b.stmts.as_slice() {
                [syn::Stmt::Expr(e, None)] => compile(e, d),
                _ => bail!("a branch is one expression"),
            };
            let Some((_, other)) = &i.else_branch else { bail!("`if` needs `else`") };
            let Expr::Block(other) = &**other else { bail!("`else` block") };
            let cond = compile(&i.cond, d)?;
            let cond = cond.strip_prefix('(').and_then(|c| c.strip_suffix(')')).unwrap_or(&cond);
            format!("if {cond} {{ {} }} else {{ {} }}", block(&i.then_branch)?, block(&other.block)?)
        }
        Expr::Call(c) => {
            let Expr::Path(f) = &*c.func else { bail!("call") };
            let path: Vec<String> = f.path.segments.iter().map(|s| s.ident.to_string()).collect();
            let args = || c.args.iter().map(|a| compile(a, d)).collect::<Result<Vec<_>>>();
            match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["trap"] => {
                    let Some(Expr::Path(t)) = c.args.first() else { bail!("trap(name)") };
                    let name = t.path.get_ident().context("trap name")?.to_string();
                    format!("return Err(TrapKind::{})", camel(&name))
                }
                ["math", f] if d == Domain::F32 => format!("math::single::{f}({})", args()?.join(", ")),
                ["math", f] if d == Domain::F64 => format!("math::double::{f}({})", args()?.join(", ")),
                ["compare"] => format!("prims::compare(m, {}.partial_cmp(&{}))", args()?[0], args()?[1]),
                [p] if d == Domain::Int && INT_PRIMS.contains(p) => {
                    format!("prims::{p}(t, {})", args()?.join(", "))
                }
                [p] if d == Domain::F32 && FLOAT_PRIMS.contains(p) => {
                    format!("prims::{p}_f32({})", args()?.join(", "))
                }
                [p] if d == Domain::F64 && FLOAT_PRIMS.contains(p) => {
                    format!("prims::{p}_f64({})", args()?.join(", "))
                }
                other => bail!("`{}` is no primitive of this domain", other.join("::")),
            }
        }
        _ => bail!("expression not in the language"),
    })
}

/// Binds a row's source operands in domain `d` and returns the converted result expression.
fn arm(op: &Op, source: &str, d: Domain) -> Result<String> {
    let expr: Expr = syn::parse_str(source).with_context(|| format!("`{source}`"))?;
    let body = compile(&expr, d).with_context(|| format!("`{source}`"))?;
    let mut binds = String::new();
    for (i, a) in op.args.iter().filter(|a| a.role != "w").enumerate() {
        let value = match (a.ty.as_str(), d) {
            ("pred", _) => format!("s[{i}] != 0"),
            ("T", Domain::Int) => format!("prims::int(t, s[{i}])"),
            ("T", Domain::F32) => format!("prims::get_f32(t, s[{i}])"),
            ("T", Domain::F64) => format!("f64::from_bits(s[{i}])"),
            ("T", Domain::Pred) => format!("s[{i}] != 0"),
            (ty, _) => format!("prims::int(Type::{}, s[{i}])", camel(ty)),
        };
        let _ = write!(binds, "let {} = {value};", a.name);
    }
    let dest = op.args.iter().find(|a| a.role == "w").context("no destination")?;
    let result = match (dest.ty.as_str(), d) {
        ("pred", _) | (_, Domain::Pred) => format!("u64::from({body})"),
        // wrap, sat, high ... already give the type's bits
        (_, Domain::Int) => body,
        (_, Domain::F32) => format!("prims::put_f32(t, {body})"),
        (_, Domain::F64) => format!("prims::put_f64({body})"),
    };
    Ok(format!("{{ {binds} {result} }}"))
}

pub fn emit(isa: &Isa) -> Result<String> {
    let mut o = String::from(HEADER);
    o += "//! The meaning of every operation without memory or control, compiled from the `does` column of the tables.\n\n";
    o += "use super::prims;\nuse phalanx_isa::{Class, Cmp, Op, TrapKind, Type};\nuse phalanx_simd::math;\n\n";
    o += "/// Evaluates an operation on raw source values (a value's bits in the low end of the u64, unused bits zero; a predicate\n\
          /// is 0 or 1), with types `t` (and `u`, the source type of conversions) and mode words `modes`.\n\
          /// Returns the result's bits, or why the lane traps; `None` for operations that are no pure functions of their operands.\n";
    o += "pub fn eval(op: Op, t: Type, u: Type, modes: [u8; 3], s: &[u64]) -> Option<Result<u64, TrapKind>> {\n";
    o += "eval_inner(op, t, u, modes, s).transpose()\n}\n\n";
    o += "#[allow(unused_parens, clippy::double_parens, clippy::nonminimal_bool, clippy::redundant_closure_call, clippy::neg_multiply, clippy::no_effect, clippy::manual_range_contains, reason = \"generated from the spec's formulas, kept as written there\")]\n";
    o += "fn eval_inner(op: Op, t: Type, u: Type, modes: [u8; 3], s: &[u64]) -> Result<Option<u64>, TrapKind> {\n";
    o += "let m = Cmp::from_code(u16::from(modes[0])).unwrap_or(Cmp::Eq);\n";
    o += "let class = t.class();\nlet double = t == Type::F64;\n";
    o += "let value = match op {\n";
    for op in isa.ops.iter().filter(|p| p.kind == "alu") {
        if op.does.contains_key("custom") {
            let _ = writeln!(o, "Op::{} => prims::custom(op, t, u, modes, s)?,", op.ident());
            continue;
        }
        let _ = write!(o, "Op::{} => match class {{", op.ident());
        let wrap = |e: anyhow::Result<String>| e.with_context(|| format!("isa/{}: `{}`", op.file, op.name));
        if let Some(src) = op.does.get("int") {
            let _ = write!(o, "Class::Sint | Class::Uint => {},", wrap(arm(op, src, Domain::Int))?);
        }
        if let Some(src) = op.does.get("float") {
            let _ = write!(
                o,
                "Class::Float => if double {} else {},",
                wrap(arm(op, src, Domain::F64))?,
                wrap(arm(op, src, Domain::F32))?
            );
        }
        if let Some(src) = op.does.get("pred") {
            let _ = write!(o, "Class::Pred => {},", wrap(arm(op, src, Domain::Pred))?);
        }
        if op.does.len() < 3 {
            o += "_ => return Ok(None),";
        }
        o += "},\n";
    }
    o += "_ => return Ok(None),\n};\nOk(Some(value))\n}\n";
    Ok(o)
}
