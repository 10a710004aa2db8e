//! `asm`: program text to a binary module.

use crate::console::{Console, count, say};
use crate::failure::usage;
use crate::source::{Content, Source};
use anyhow::Context;
use serde_json::json;
use std::path::PathBuf;

/// Assemble and validate program text: all errors of a file at once, each with
/// its file, line, column and source line.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx asm softmax.phx -o softmax.phxb")]
pub struct Args {
    /// Program text
    #[arg(value_name = "SRC.phx")]
    source: PathBuf,
    /// Where the module goes [default: beside the source, ending in .phxb]
    #[arg(short, long, value_name = "OUT.phxb")]
    output: Option<PathBuf>,
    /// Rows for programs: errors, or what was written
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The text is rejected, or a file cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let output = args.output.clone().unwrap_or_else(|| args.source.with_extension("phxb"));
    if output == args.source {
        return Err(usage(format!("`{}` would overwrite its own source: give another -o", output.display())));
    }
    let source = Source::read(&args.source)?;
    if matches!(source.content, Content::Binary(_)) {
        anyhow::bail!("`{}` is a binary module already; `phalanx dis` makes text of it", source.name);
    }
    let cpu = phalanx::Cpu::new()?;
    let program = source.load(&cpu, console)?;
    let bytes = program.to_binary();
    std::fs::write(&output, &bytes).with_context(|| format!("cannot write `{}`", output.display()))?;
    let kernels = program.module().kernels.len() as u64;
    say!("{}: {}, {}", output.display(), count(kernels, "kernel"), count(bytes.len() as u64, "byte"));
    let row = json!({
        "file": source.name, "output": output.display().to_string(), "kernels": kernels, "bytes": bytes.len(),
    });
    Ok(console.row(&row)?)
}
