//! The resonance on the command line: snapshots in files.

use crate::console::say;
use anyhow::{Context, anyhow};
use phalanx::{LaunchReport, Resonance, snapshot_from_json, snapshot_to_json};
use serde_json::json;
use std::io::ErrorKind;
use std::path::Path;

/// The resonance that a launch starts from: a file's, or all zero where there is none yet.
///
/// # Errors
/// A file that cannot be read or is no snapshot.
pub fn read(path: Option<&Path>) -> anyhow::Result<Resonance> {
    let Some(path) = path else { return Ok(Resonance::new()) };
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let snapshot = snapshot_from_json(&text).with_context(|| format!("`{}`", path.display()))?;
            Ok(Resonance::from_snapshot(&snapshot))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Resonance::new()),
        Err(e) => Err(anyhow!(e).context(format!("cannot read `{}`", path.display()))),
    }
}

/// Writes the snapshot after a launch, with what the launch says of itself: whether what it added is neutral, and the phase of
/// lane 0 of every block. Without a file it says what is lost.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: Option<&Path>, resonance: &Resonance, report: &LaunchReport) -> anyhow::Result<()> {
    let classes = report.change.as_ref().map_or(0, |c| c.classes().count());
    let Some(path) = path else {
        if classes > 0 {
            say!("resonance: added to {classes} classes, not kept (--resonance FILE.json)");
        }
        return Ok(());
    };
    let mut document = snapshot_to_json(&resonance.snapshot());
    document["neutral"] = json!(report.change.as_ref().is_none_or(|c| c.is_neutral()));
    document["phases"] = json!(report.phases);
    // One class a line: small differences between files are easy to see.
    let text = document.to_string().replace("{\"class\"", "\n{\"class\"").replace("}],", "}\n],") + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
