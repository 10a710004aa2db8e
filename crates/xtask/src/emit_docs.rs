//! The generated tables of `isa/SPEC.md` (between `<!-- gen NAME -->` and `<!-- end -->`) and the TextMate grammar.

use crate::model::{Isa, Op};
use anyhow::{Context, Result, bail};
use std::fmt::Write;

/// `add.T d, a, b` with the operand roles in words.
fn signature(op: &Op) -> String {
    let mut s = op.name.clone();
    for m in &op.modes {
        let _ = write!(s, ".{m}");
    }
    if op.typed {
        s += ".T";
    }
    if op.typed2 {
        s += ".S";
    }
    let args: Vec<String> = op
        .args
        .iter()
        .map(|a| match a.role.as_str() {
            "load" | "store" | "atomic" | "out" | "input" => format!("{}[i]", a.name),
            "dests" | "srcs" | "list" => format!("({})", a.name),
            _ => a.name.clone(),
        })
        .collect();
    if !args.is_empty() {
        let _ = write!(s, " {}", args.join(", "));
    }
    s
}

fn types_of(op: &Op, isa: &Isa) -> String {
    let name = |set: u16| {
        let all: Vec<&str> =
            isa.types.iter().filter(|t| set >> t.code & 1 == 1).map(|t| t.name.as_str()).collect();
        match all.len() {
            13 => "all".to_string(),
            12 => "num".to_string(),
            8 if all[0] == "i8" && all[7] == "u64" => "int".to_string(),
            9 => "int, pred".to_string(),
            4 if all[0] == "f16" => "float".to_string(),
            _ => all.join(" "),
        }
    };
    let mut out: Vec<String> = Vec::new();
    for r in &op.rules {
        let text = if r.ty2 != 0 { format!("{} ← {}", name(r.ty), name(r.ty2)) } else { name(r.ty) };
        if !text.is_empty() && !out.contains(&text) {
            out.push(text);
        }
    }
    out.join("; ")
}

fn table(isa: &Isa, name: &str) -> Result<String> {
    let mut o = String::new();
    match name {
        "types" => {
            o += "| type | code | bits | class |\n|---|---|---|---|\n";
            for t in &isa.types {
                let _ = writeln!(o, "| `{}` | {} | {} | {} |", t.name, t.code, t.bits, t.class);
            }
        }
        "specials" => {
            o += "| register | uniform | value |\n|---|---|---|\n";
            for s in &isa.specials {
                let _ = writeln!(o, "| `%{}` | {} | {} |", s.name, if s.uniform { "yes" } else { "" }, s.doc);
            }
        }
        "traps" => {
            o += "| trap | code | meaning |\n|---|---|---|\n";
            for t in &isa.traps {
                let _ = writeln!(o, "| `{}` | {} | {} |", t.name, t.code, t.message);
            }
        }
        "modes" => {
            o += "| mode | words |\n|---|---|\n";
            for (set, words) in &isa.modes {
                let list: Vec<String> = words
                    .iter()
                    .map(|w| if w.is_empty() { "(none)".into() } else { format!("`{w}`") })
                    .collect();
                let _ = writeln!(o, "| {set} | {} |", list.join(" "));
            }
        }
        "packed" => {
            o += "| format | weights |\n|---|---|\n";
            for p in &isa.packed {
                let _ = writeln!(o, "| `{}` | {} |", p.name, p.doc);
            }
        }
        "limits" => {
            o += "| limit | value |\n|---|---|\n";
            for (name, value) in &isa.limits {
                let _ = writeln!(o, "| {} | {value} |", name.to_lowercase().replace('_', " "));
            }
        }
        file => {
            let file = format!("{file}.toml");
            let ops: Vec<&Op> = isa.ops.iter().filter(|p| p.file == file).collect();
            if ops.is_empty() {
                bail!("SPEC.md asks for a table `{name}` that does not exist");
            }
            o += "| form | code | types | meaning | traps |\n|---|---|---|---|---|\n";
            for op in ops {
                let traps: Vec<&str> = op.effects.iter().filter_map(|e| e.strip_prefix("trap.")).collect();
                let mut doc = op.doc.clone();
                if !op.packed.is_empty() {
                    let _ = write!(doc, " Formats: {}.", op.packed.join(", "));
                }
                for (operand, text) in &op.footprint {
                    let _ = write!(doc, " Footprint of `{operand}`: {text}.");
                }
                let mut does: Vec<String> = Vec::new();
                for (domain, text) in op.does.iter().filter(|(d, _)| *d != "custom") {
                    does.push(format!("{domain}: `{}`", text.replace('|', "\\|")));
                }
                let does = if does.is_empty() { String::new() } else { format!(" ({})", does.join("; ")) };
                let _ = writeln!(
                    o,
                    "| `{}` | {:#04x} | {} | {}{does} | {} |",
                    signature(op),
                    op.code,
                    types_of(op, isa),
                    doc.replace('|', "\\|"),
                    traps.join(" ")
                );
            }
        }
    }
    Ok(o)
}

/// SPEC.md with every generated table filled in.
pub fn spec(isa: &Isa, text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<!-- gen ") {
        let head_end = at + rest[at..].find("-->").context("unclosed gen marker")? + 3;
        let name = rest[at + 9..head_end - 3].trim();
        let end = head_end + rest[head_end..].find("<!-- end -->").context("gen marker without end")?;
        let _ = write!(out, "{}\n{}", &rest[..head_end], table(isa, name)?);
        rest = &rest[end..];
    }
    Ok(out + rest)
}

/// A TextMate grammar: mnemonics, types, special registers, registers, labels, comments, numbers.
pub fn textmate(isa: &Isa) -> String {
    let escape = |s: &str| s.replace('.', "\\\\.");
    let mut names: Vec<String> = isa.ops.iter().map(|o| escape(&o.name)).collect();
    // Longest first: an alternation takes the first that matches.
    names.sort_by_key(|n| std::cmp::Reverse(n.len()));
    let specials: Vec<String> = isa.specials.iter().map(|s| escape(&s.name)).collect();
    let types: Vec<&str> = isa.types.iter().map(|t| t.name.as_str()).collect();
    format!(
        r#"{{
  "name": "Phalanx assembly",
  "scopeName": "source.phx",
  "fileTypes": ["phx"],
  "patterns": [
    {{ "name": "comment.line.double-slash.phx", "match": "//.*$" }},
    {{ "name": "string.quoted.double.phx", "match": "\"[^\"]*\"" }},
    {{ "name": "keyword.control.guard.phx", "match": "@!?[A-Za-z_][A-Za-z0-9_]*" }},
    {{ "name": "variable.language.special.phx", "match": "%(?:{specials})\\b" }},
    {{ "name": "keyword.other.phx", "match": "\\b(?:kernel|func|let|const|shared|private|in|out|inout|packed|block|grid)\\b" }},
    {{ "name": "entity.name.label.phx", "match": "^\\s*[A-Za-z_][A-Za-z0-9_]*:(?!\\s*(?:{types})\\b)" }},
    {{ "name": "support.function.mnemonic.phx", "match": "\\b(?:{names})(?:\\.[a-z0-9_]+)*(?=\\s|$)" }},
    {{ "name": "storage.type.phx", "match": "\\b(?:{types})\\b" }},
    {{ "name": "variable.parameter.register.phx", "match": "\\b(?:r(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])|p(?:1[0-5]|[0-9]))\\b" }},
    {{ "name": "constant.numeric.phx", "match": "-?\\b(?:0x[0-9a-fA-F_]+|[0-9][0-9_]*(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|inf|nan)\\b" }}
  ]
}}
"#,
        specials = specials.join("|"),
        types = types.join("|"),
        names = names.join("|"),
    )
}
