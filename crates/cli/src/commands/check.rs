//! `check`: validate, and warn.

use crate::console::{Console, count, say};
use crate::source::Source;
use std::path::PathBuf;

/// Validate a program, as text or as a binary module. Warnings name what its
/// author should look at; they leave the status 0.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx check softmax.phx")]
pub struct Args {
    /// Program text or binary module
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A row per error or warning, with its code, span, message and help
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The program is rejected, or the file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let source = Source::read(&args.file)?;
    let cpu = phalanx::Cpu::new()?;
    let program = source.load(&cpu, console)?;
    let warnings = program.warnings();
    console.diagnostics(&warnings, &source.name, source.text())?;
    let kernels = count(program.module().kernels.len() as u64, "kernel");
    say!("{}: valid, {kernels}, {}", source.name, count(warnings.len() as u64, "warning"));
    Ok(())
}
