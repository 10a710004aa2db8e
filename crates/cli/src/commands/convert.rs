//! `convert`: a Hugging Face folder to a model file.

use crate::console::{Console, say};
use phalanx_weights::Layout;
use serde_json::json;
use std::path::PathBuf;

/// Convert Hugging Face's packed safetensors to GGUF.
///
/// The folder holds config.json, model.safetensors (or its parts with their
/// index) and tokenizer.json of a BitNet b1.58 model. Its matrices become I2_S,
/// embedding and head F16, norms F32.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx convert bitnet-b1.58-2B-4T -o model.gguf")]
pub struct Args {
    /// Folder of the model
    #[arg(value_name = "HF_DIR")]
    folder: PathBuf,
    /// Where the model file goes
    #[arg(short, long, value_name = "OUT.gguf")]
    output: PathBuf,
    /// How codes of I2_S stand in bytes: as x86 builds, Arm builds or x86 builds
    /// without ACT_PARALLEL read them
    #[arg(long, value_name = "LAYOUT", default_value = "x86", value_parser = layout)]
    layout: Layout,
    /// One row that says what was written
    #[arg(long)]
    json: bool,
}

fn layout(name: &str) -> Result<Layout, String> {
    Layout::from_name(name).ok_or_else(|| "expected x86, arm or four-rows".into())
}

/// Runs the command.
///
/// # Errors
/// The folder lacks something or has a form that is not converted, or a file cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let shape = phalanx_weights::convert(&args.folder, &args.output, args.layout)?;
    let bytes = std::fs::metadata(&args.output)?.len();
    let name = args.output.display().to_string();
    say!(
        "wrote {name}: {bytes} bytes, {} layers, {} wide, vocabulary {}",
        shape.layers,
        shape.width,
        shape.vocab
    );
    Console::new(args.json).row(&json!({
        "output": name, "bytes": bytes, "layers": shape.layers, "width": shape.width, "vocab": shape.vocab,
        "layout": args.layout.name(),
    }))?;
    Ok(())
}
