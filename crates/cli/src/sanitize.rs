//! Checked launches on the command line: which checkers, and how their findings are said.

use crate::console::{Console, colour, say};
use crate::failure::Told;
use crate::source::Source;
use clap::builder::PossibleValuesParser;
use phalanx::{Checked, Finding, FindingName};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of a checked launch.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Run with checkers that look at every access
    #[arg(long, value_name = "CHECKERS", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(phalanx::CHECKERS))]
    pub sanitize: Vec<String>,
    /// Findings that harm nobody count too
    #[arg(long, requires = "sanitize")]
    pub strict: bool,
    /// Try the schedule seeds below N, on one thread, until one fails; then
    /// look for the smallest grid that still does
    #[arg(long, value_name = "N", requires = "sanitize", value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with_all = ["deterministic", "schedule_seed", "out", "print", "trace", "stats"])]
    pub explore: Option<u64>,
    /// Write the launch to a file if it fails, for `phalanx replay`; it runs on
    /// one thread then
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// Most ranges of elements in a row.
const RANGES: usize = 1000;

/// What a file is called in the report of a checked launch.
fn file_name<'s>(source: &'s Source, checked: &'s Checked) -> &'s str {
    let name = checked.kernel().program().name();
    if name.is_empty() { &source.name } else { name }
}

/// What a checked launch showed, for people.
pub fn text(source: &Source, checked: &Checked, colour: bool) -> String {
    let shown = checked.findings().filter(|(_, allowed)| allowed.is_none());
    let mut told: Vec<phalanx::Diagnostic> = shown.map(|(f, _)| checked.diagnostic(f)).collect();
    told.extend(checked.mistakes().iter().cloned());
    let mut text = phalanx::asm::render_all(&told, file_name(source, checked), source.text(), colour);
    if !text.is_empty() {
        text.truncate(text.trim_end().len());
        text += "\n";
    }
    checked.covered().iter().for_each(|what| text += &format!("checked: {what}\n"));
    checked.not_covered().iter().for_each(|what| text += &format!("not covered: {what}\n"));
    if let Some(trap) = &checked.report.trap {
        text += &source.trap_text(checked.kernel().program(), trap, colour);
    }
    text + &checked.summary() + "\n"
}

/// Says what a checked launch showed and writes its rows.
///
/// # Errors
/// [`Told`] where something counts, or stdout cannot be written.
pub fn report(source: &Source, checked: &Checked, strict: bool, console: Console) -> anyhow::Result<()> {
    say!("{}", text(source, checked, colour()).trim_end());
    let file = file_name(source, checked);
    for (finding, allowed) in checked.findings() {
        console.row(&row(file, checked, finding, allowed))?;
    }
    for d in checked.mistakes() {
        let (line, column) = (d.span.line, d.span.col);
        console.row(
            &json!({"kind": "allow", "message": d.message, "file": file, "line": line, "column": column,
            "block": null, "lane": null}),
        )?;
    }
    let trap = checked.report.trap.as_ref();
    if let Some(trap) = trap {
        console.row(&source.trap_row(checked.kernel().program(), trap))?;
    }
    match trap.is_some() || checked.counted(strict).next().is_some() || !checked.mistakes().is_empty() {
        true => Err(Told.into()),
        false => Ok(()),
    }
}

/// What the row of a launch says of its checkers.
pub fn add_to(row: &mut Value, checked: &Checked) {
    row["findings"] = checked.report.findings.len().into();
    row["suppressed"] = checked.suppressed().into();
    row["clean"] = checked.is_clean().into();
    row["accesses_checked"] = checked.report.accesses.into();
    row["covered"] = checked.covered().into();
    row["not_covered"] = checked.not_covered().into();
}

fn row(file: &str, checked: &Checked, f: &Finding, allowed: Option<&str>) -> Value {
    let site = |o: &phalanx::Occurrence| {
        let span = checked.span(o);
        json!({"file": file, "line": span.line, "column": span.col, "source": checked.source_line(o).trim(),
                "block": o.block, "block_index": checked.block(o.block), "lane": o.lane, "interval": o.interval,
                "writes": o.writes, "atomic": o.atomic})
    };
    let sites: Vec<Value> = f.sites.iter().map(site).collect();
    let elsewhere: Vec<Value> = f.elsewhere.iter().map(site).collect();
    let first = sites.first().cloned().unwrap_or_default();
    let mut ranges: Vec<(i128, i128)> = Vec::new();
    for i in &f.indices {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *i => *last = *i,
            _ => ranges.push((*i, *i)),
        }
    }
    let whole = ranges.len() <= RANGES;
    let ranges: Vec<Value> =
        ranges.iter().take(RANGES).map(|(a, b)| json!([number(*a), number(*b)])).collect();
    json!({
        "kind": f.kind.name(),
        "checker": f.kind.checker(),
        "message": checked.message(f),
        "file": file,
        "line": first["line"],
        "column": first["column"],
        "block": first["block"],
        "lane": first["lane"],
        "address": checked.address(f),
        "object": checked.object(f),
        "sites": sites,
        "elsewhere": elsewhere,
        "missing": f.missing,
        "missing_count": f.missing_count,
        "count": f.count,
        "across_blocks": f.across_blocks,
        "elements": f.indices.len(),
        "ranges": ranges,
        "ranges_complete": whole,
        "suppressed": allowed,
    })
}

/// An index as JSON; beyond 64 bits as text.
fn number(i: i128) -> Value {
    i64::try_from(i)
        .map(Value::from)
        .or_else(|_| u64::try_from(i).map(Value::from))
        .unwrap_or_else(|_| i.to_string().into())
}
