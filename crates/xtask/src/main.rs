//! Development tasks: `cargo xtask gen` writes all code, tables and grammars that follow from `isa/*.toml`;
//! `cargo xtask gen --check` fails where a committed file differs from what would be written; `cargo xtask roofline` draws a record.
//!
//! Invariant: nothing under `isa/` is repeated by hand elsewhere; this crate is the only reader of those files.
#![forbid(unsafe_code)]

mod emit_docs;
mod emit_isa;
mod emit_rows;
mod emit_semantics;
mod model;
mod roofline;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["gen"] => generate(false),
        ["gen", "--check"] => generate(true),
        ["roofline", record, out] => {
            let text = std::fs::read_to_string(record).with_context(|| (*record).to_string())?;
            std::fs::write(out, roofline::chart(&text, 1)?).with_context(|| (*out).to_string())
        }
        _ => bail!("usage: cargo xtask gen [--check], cargo xtask roofline RECORD.jsonl OUT.svg"),
    }
}

/// Everything that is derived from the tables: (path from the root, content).
fn outputs(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let isa = model::load(&root.join("isa"))?;
    let lock_path = root.join("isa/ABI.lock");
    let lock = std::fs::read_to_string(&lock_path).unwrap_or_default();
    let spec = std::fs::read_to_string(root.join("isa/SPEC.md")).context("isa/SPEC.md")?;
    Ok(vec![
        ("isa/ABI.lock", model::updated_lock(&isa, &lock)?),
        ("isa/SPEC.md", emit_docs::spec(&isa, &spec)?),
        ("isa/phalanx.tmLanguage.json", emit_docs::textmate(&isa)),
        ("crates/isa/src/generated.rs", rustfmt(emit_isa::emit(&isa))?),
        ("crates/exec/src/reference/semantics.rs", rustfmt(emit_semantics::emit(&isa)?)?),
        ("crates/testkit/src/rows.rs", rustfmt(emit_rows::emit(&isa))?),
    ])
}

fn generate(check: bool) -> Result<()> {
    let root = root();
    let mut stale = Vec::new();
    for (path, content) in outputs(&root)? {
        let full = root.join(path);
        let old = std::fs::read_to_string(&full).unwrap_or_default();
        if old == content {
            continue;
        }
        stale.push(path);
        if !check {
            if let Some(dir) = full.parent() {
                std::fs::create_dir_all(dir)?;
            }
            std::fs::write(&full, content).with_context(|| full.display().to_string())?;
            println!("wrote {path}");
        }
    }
    if check && !stale.is_empty() {
        bail!("not what `cargo xtask gen` writes: {}", stale.join(", "));
    }
    Ok(())
}

/// Formats generated code as `cargo fmt` would, so that regenerating and formatting agree.
fn rustfmt(code: String) -> Result<String> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=110,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt is needed: rustup component add rustfmt")?;
    child.stdin.take().context("stdin")?.write_all(code.as_bytes())?;
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("rustfmt refused generated code:\n{code}");
    }
    Ok(String::from_utf8(out.stdout)?)
}
