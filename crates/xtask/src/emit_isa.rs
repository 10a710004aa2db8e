//! `crates/isa/src/generated.rs`: the enums and the operation table.

use crate::model::{Isa, camel};
use std::fmt::Write;

pub const HEADER: &str = "// @generated from isa/*.toml by `cargo xtask gen`. Do not edit.\n\n";

/// Writes an enum with explicit numbers, its name table and the conversions that all of them share.
fn numbered_enum(out: &mut String, name: &str, doc: &str, rows: &[(String, u16, String, String)]) {
    // rows: identifier, number, text, doc
    let _ = write!(out, "numbered! {{\n/// {doc}\npub enum {name}: u16 {{\n");
    for (ident, code, text, doc) in rows {
        let _ = writeln!(out, "/// {doc}\n{ident} = {code:#x} => {text:?},");
    }
    out.push_str("}\n}\n\n");
}

pub fn emit(isa: &Isa) -> String {
    let mut o = String::from(HEADER);
    o += "use crate::table::*;\nuse crate::numbered::numbered;\n\n";
    let rows: Vec<_> = isa
        .types
        .iter()
        .map(|t| {
            (
                camel(&t.name),
                t.code as u16,
                t.name.clone(),
                format!("`{}`: {} bits, {}.", t.name, t.bits, t.class),
            )
        })
        .collect();
    numbered_enum(&mut o, "Type", "A value type.", &rows);
    let arm = |f: &dyn Fn(&crate::model::TypeRow) -> String| {
        isa.types.iter().map(|t| format!("Type::{} => {},\n", camel(&t.name), f(t))).collect::<String>()
    };
    let _ = write!(
        o,
        "impl Type {{\n/// Width in bits (a predicate: 1).\npub const fn bits(self) -> u32 {{ match self {{ {} }} }}\n\
         /// Kind of value.\npub const fn class(self) -> Class {{ match self {{ {} }} }}\n}}\n\n",
        arm(&|t| t.bits.to_string()),
        arm(&|t| format!("Class::{}", camel(&t.class)))
    );
    for (set, values) in &isa.modes {
        let rows: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let unwritten = if set.contains("Space") { "Global" } else { "None" };
                let ident = if v.is_empty() { unwritten.to_string() } else { camel(v) };
                let doc = if v.is_empty() { "Not written.".to_string() } else { format!("`.{v}`") };
                (ident, i as u16, v.clone(), doc)
            })
            .collect();
        numbered_enum(&mut o, set, &format!("Mode words: {}.", set), &rows);
    }
    let rows: Vec<_> = isa
        .specials
        .iter()
        .map(|s| (camel(&s.name), s.code as u16, s.name.clone(), format!("`%{}`: {}.", s.name, s.doc)))
        .collect();
    numbered_enum(&mut o, "Special", "A special register.", &rows);
    let uniform: Vec<_> =
        isa.specials.iter().filter(|s| s.uniform).map(|s| format!("Special::{}", camel(&s.name))).collect();
    let _ = write!(
        o,
        "impl Special {{\n/// Whether all lanes of a block read the same value.\npub const fn is_uniform(self) -> bool {{ matches!(self, {}) }}\n}}\n\n",
        uniform.join(" | ")
    );
    let rows: Vec<_> = isa
        .traps
        .iter()
        .map(|t| (camel(&t.name), t.code as u16, t.name.clone(), format!("{}.", t.message)))
        .collect();
    numbered_enum(&mut o, "TrapKind", "Why a lane failed.", &rows);
    let arms: String =
        isa.traps.iter().map(|t| format!("TrapKind::{} => {:?},\n", camel(&t.name), t.message)).collect();
    let _ = write!(
        o,
        "impl TrapKind {{\n/// The sentence that a person reads.\npub const fn message(self) -> &'static str {{ match self {{ {arms} }} }}\n}}\n\n"
    );
    let rows: Vec<_> = isa
        .packed
        .iter()
        .map(|p| (camel(&p.name), p.code.into(), p.name.clone(), format!("{}.", p.doc)))
        .collect();
    numbered_enum(&mut o, "PackFormat", "A format of packed weights.", &rows);
    let rows: Vec<_> = isa.ops.iter().map(|p| (p.ident(), p.code, p.name.clone(), p.doc.clone())).collect();
    numbered_enum(
        &mut o,
        "Op",
        "An operation (a row of `isa/*.toml`); its number is its binary code.",
        &rows,
    );

    o += "/// The rows, in the order of [`Op::ALL`].\npub static OPS: &[OpInfo] = &[\n";
    for op in &isa.ops {
        let _ = write!(o, "OpInfo {{ op: Op::{}, kind: Kind::{}, modes: &[", op.ident(), camel(&op.kind));
        for m in &op.modes {
            let _ = write!(o, "ModeSet {{ name: {m:?}, words: {m}::WORDS }},");
        }
        o += "], rules: &[";
        for r in &op.rules {
            let mut m = r.modes.clone();
            m.resize(3, 1);
            let _ = write!(
                o,
                "TypeRule {{ modes: {m:?}, ty: TypeSet({:#x}), ty2: TypeSet({:#x}) }},",
                r.ty, r.ty2
            );
        }
        let _ = write!(o, "], typed: {}, typed2: {}, args: &[", op.typed, op.typed2);
        for a in &op.args {
            let ty = match a.ty.as_str() {
                "" => "ArgType::None".to_string(),
                "T" => "ArgType::T".to_string(),
                "S" => "ArgType::S".to_string(),
                t => format!("ArgType::Is(Type::{})", camel(t)),
            };
            let _ = write!(o, "Arg {{ name: {:?}, role: Role::{}, ty: {ty} }},", a.name, camel(&a.role));
        }
        o += "], effects: &[";
        for e in &op.effects {
            match e.strip_prefix("trap.") {
                Some(t) => {
                    let _ = write!(o, "Effect::Trap(TrapKind::{}),", camel(t));
                }
                None => {
                    let _ = write!(o, "Effect::{},", camel(e));
                }
            }
        }
        o += "], packed: &[";
        for format in &op.packed {
            let _ = write!(o, "PackFormat::{},", camel(format));
        }
        let _ = writeln!(o, "], doc: {:?} }},", op.doc);
    }
    o += "];\n\n";
    let _ = writeln!(
        o,
        "/// Revision of the experimental native opcodes; a module that uses them records it.\npub const NATIVE_REVISION: u16 = {};\n",
        isa.native_revision
    );
    o += "/// Limits that the validator enforces.\npub mod limits {\n";
    for (name, value) in &isa.limits {
        let _ =
            writeln!(o, "/// {}.\npub const {name}: usize = {value};", name.to_lowercase().replace('_', " "));
    }
    o += "}\n";
    o
}
