//! `perplexity`: how well a model knows a text.

use crate::commands::model::{self, Source};
use crate::console::Console;
use crate::device::Device;
use crate::failure::usage;
use crate::interrupt;
use anyhow::Context;
use phalanx_engine::{Config, EngineError, Session, Tokeniser, perplexity};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Loss and perplexity over a text.
///
/// Windows as long as the context step by half of it; each token counts once.
#[derive(clap::Args, Debug)]
#[command(override_usage = "phalanx perplexity [OPTIONS] [MODEL.gguf] TEXT.txt")]
#[command(after_help = "Example:\n  phalanx perplexity model.gguf held-out.txt")]
pub struct Args {
    /// Model file, where another is meant than the one that comes with this
    /// command, and the text
    #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
    files: Vec<PathBuf>,
    /// How the model is loaded
    #[command(flatten)]
    source: Source,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// One row with the result
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The model cannot be loaded, the text cannot be read, somebody interrupts, or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let (model, path) = match &args.files[..] {
        [path] => (None, path),
        [model, path, ..] => (Some(model.as_path()), path),
        [] => return Err(usage("which text?")),
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let cpu = args.device.open()?;
    let file = model::open(model)?;
    let tokeniser = Tokeniser::of(file.gguf())?;
    let tokens = tokeniser.encode(&text);
    let model = args.source.load(&cpu, &file)?;
    let mut session =
        Session::new(&model, Config { context: args.source.context(&model), ..Config::default() })?;
    let begin = Instant::now();
    let token = Some(interrupt::token());
    let result = interrupt::cancellable(|| perplexity(&mut session, &tokens, tokeniser.bos(), token));
    let (nats, counted) = result.map_err(|e| match e {
        EngineError::Cancelled => anyhow::anyhow!("interrupted"),
        e => e.into(),
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    if counted == 0 {
        return Err(usage(format!("{} has no token to predict", path.display())));
    }
    let loss = nats / counted as f64;
    let bits = nats / std::f64::consts::LN_2 / text.len() as f64;
    let rate = counted as f64 / seconds;
    console.line(format!(
        "{counted} tokens: loss {loss:.4}, perplexity {:.4}, {bits:.4} bits per byte ({rate:.0} tokens a second)",
        loss.exp()
    ))?;
    Ok(console.row(&json!({
        "tokens": counted, "bytes": text.len(), "loss": loss, "perplexity": loss.exp(), "bits_per_byte": bits,
        "tokens_per_second": rate,
    }))?)
}
