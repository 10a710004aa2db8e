//! `dis`: a binary module to program text.

use crate::console::{Console, say};
use crate::source::{Content, Source};
use anyhow::{Context, anyhow};
use serde_json::json;
use std::path::PathBuf;

/// Turn a binary module into text that assembles to the same bytes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx dis softmax.phxb -o softmax.phx")]
pub struct Args {
    /// Binary module
    #[arg(value_name = "FILE.phxb")]
    file: PathBuf,
    /// Where the text goes [default: stdout]
    #[arg(short, long, value_name = "OUT.phx")]
    output: Option<PathBuf>,
    /// One row with the text, or with where it was written
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The file is no module, or a file cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let source = Source::read(&args.file)?;
    let Content::Binary(bytes) = &source.content else {
        anyhow::bail!("`{}` is no binary module; `phalanx asm` makes one of program text", source.name);
    };
    let module =
        phalanx::isa::decode(bytes).map_err(|e| anyhow!("`{}` is no Phalanx module: {e}", source.name))?;
    let text = phalanx::asm::disassemble(&module).with_context(|| format!("`{}`", source.name))?;
    match &args.output {
        None => {
            console.line(text.trim_end())?;
            console.row(&json!({"file": source.name, "text": text}))?;
        }
        Some(output) => {
            std::fs::write(output, &text).with_context(|| format!("cannot write `{}`", output.display()))?;
            say!("{}: {} lines", output.display(), text.lines().count());
            console.row(&json!({"file": source.name, "output": output.display().to_string()}))?;
        }
    }
    Ok(())
}
