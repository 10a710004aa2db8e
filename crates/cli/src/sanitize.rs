//! Checked launches on the command line: which checkers, and how their findings are said.

use crate::console::{Console, colour, say};
use crate::failure::Told;
use crate::source::Source;
use clap::builder::PossibleValuesParser;
use phalanx::{Checked, Checks, Finding, FindingName};
use serde_json::{Value, json};

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
}

impl Options {
    /// The checkers; `None`: a plain launch.
    pub fn checks(&self) -> Option<Checks> {
        let checks =
            self.sanitize.iter().filter_map(|name| Checks::named(name)).fold(Checks::default(), Checks::or);
        checks.any().then_some(checks)
    }
}

/// Most ranges of elements in a row.
const RANGES: usize = 1000;

/// Says what a checked launch showed and writes its rows.
///
/// # Errors
/// [`Told`] where something counts, or stdout cannot be written.
pub fn report(source: &Source, checked: &Checked, strict: bool, console: Console) -> anyhow::Result<()> {
    let file = if checked.kernel().program().name().is_empty() {
        &source.name
    } else {
        checked.kernel().program().name()
    };
    let shown = checked.findings().filter(|(_, allowed)| allowed.is_none());
    let mut told: Vec<phalanx::Diagnostic> = shown.map(|(f, _)| checked.diagnostic(f)).collect();
    told.extend(checked.mistakes().iter().cloned());
    let text = phalanx::asm::render_all(&told, file, source.text(), colour());
    if !text.is_empty() {
        say!("{}", text.trim_end());
    }
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
    checked.not_covered().iter().for_each(|note| say!("note: {note}"));
    let traps = checked.report.trap.as_ref();
    let failed = traps.map(|trap| source.trapped(checked.kernel().program(), trap, console));
    say!("{}", checked.summary());
    match failed {
        Some(e) => Err(e),
        None if checked.counted(strict).next().is_some() || !checked.mistakes().is_empty() => {
            Err(Told.into())
        }
        None => Ok(()),
    }
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
