//! `info`: what a model file holds.

use crate::console::{Console, count, grouped};
use phalanx_weights::{Evidence, ModelFile, Tensor, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Show what a model file holds.
///
/// Keys, tensors by element type, and, for a BitNet model, its sizes and the
/// layout of its I2_S tensors.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx info model.gguf --tensors")]
pub struct Args {
    /// Model file
    #[arg(value_name = "MODEL.gguf")]
    file: PathBuf,
    /// Every tensor, not only their sum
    #[arg(long)]
    tensors: bool,
    /// A row for the file, one for each key and one for each tensor
    #[arg(long)]
    json: bool,
}

/// Characters of a text that are shown.
const SHOWN: usize = 60;

/// Runs the command.
///
/// # Errors
/// The file is no GGUF file, or is a BitNet model that lacks something.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let file = ModelFile::open(&args.file)?;
    let gguf = file.gguf();
    let bitnet =
        gguf.string("general.architecture").is_some_and(|a| phalanx_weights::ARCHITECTURES.contains(&a));
    let name = args.file.display();
    console.line(format!(
        "{name}: GGUF version {}, {} bytes, {}, {}",
        gguf.version,
        grouped(file.size() as u64),
        count(gguf.keys.len() as u64, "key"),
        count(gguf.tensors.len() as u64, "tensor"),
    ))?;
    let weights: u64 = gguf.tensors.iter().map(|t| (t.n() * t.k()) as u64).sum();
    console.row(&json!({
        "file": name.to_string(), "version": gguf.version, "bytes": file.size(), "keys": gguf.keys.len(),
        "tensors": gguf.tensors.len(), "weights": weights, "architecture": gguf.string("general.architecture"),
    }))?;
    for (key, value) in &gguf.keys {
        let text: String = value.shown().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let short: String = text.chars().take(SHOWN).collect();
        let more = if short.len() < text.len() { "..." } else { "" };
        console.line(format!("  {key:<44} {short}{more}"))?;
        console.row(&json!({"key": key, "value": plain(value)}))?;
    }
    let mut kinds: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for t in &gguf.tensors {
        let sum = kinds.entry(kind(t)).or_default();
        *sum = (sum.0 + 1, sum.1 + (t.n() * t.k()) as u64, sum.2 + t.range.len() as u64);
        let dims: Vec<String> = t.dims.iter().map(usize::to_string).collect();
        if args.tensors {
            console.line(format!("  {:<44} {:<6} {}", t.name, kind(t), dims.join(" x ")))?;
        }
        console.row(&json!({"tensor": t.name, "type": kind(t), "dims": t.dims, "bytes": t.range.len()}))?;
    }
    for (kind, (tensors, weights, bytes)) in kinds {
        let (tensors, weights, bytes) = (count(tensors, "tensor"), grouped(weights), grouped(bytes));
        console.line(format!("{kind:<6} {tensors}, {weights} weights, {bytes} bytes"))?;
    }
    if bitnet {
        model(console, &file)?;
    }
    Ok(())
}

/// What a BitNet model's keys and tensors come to.
fn model(console: Console, file: &ModelFile) -> anyhow::Result<()> {
    let s = file.shape()?;
    let head = if s.tied { "tied to the embedding" } else { "of its own" };
    console.line(format!(
        "model  {} layers, {} wide, feed-forward {} ({}), {} heads over {} of {}, vocabulary {}, context {}, head {head}",
        s.layers,
        s.width,
        s.ffn,
        s.activation.name(),
        s.heads,
        s.kv_heads,
        s.head_dim,
        s.vocab,
        s.context,
    ))?;
    let has = file.gguf().tensors.iter().any(|t| kind(t) == "I2_S");
    let layout = if has { Some(file.i2s_layout()?) } else { None };
    if let Some((layout, evidence)) = layout {
        let why = match evidence {
            Evidence::Named => "the file names it",
            Evidence::Norms(_) => "zeros go along with the norms in it",
            Evidence::Assumed => "assumed: nothing tells",
        };
        console.line(format!("layout {layout} ({why})"))?;
    }
    console.row(&json!({
        "model": s.architecture, "layers": s.layers, "width": s.width, "ffn": s.ffn, "heads": s.heads,
        "kv_heads": s.kv_heads, "head_dim": s.head_dim, "vocab": s.vocab, "context": s.context, "tied": s.tied,
        "activation": s.activation.name(), "i2_s_layout": layout.map(|l| l.0.name()),
        "layout_known": layout.map(|l| l.1 != Evidence::Assumed),
    }))?;
    Ok(())
}

fn kind(t: &Tensor) -> &'static str {
    t.kind.map_or("unknown", |k| k.name)
}

/// A value as JSON; arrays by their length.
fn plain(value: &Value) -> Json {
    match value {
        Value::Bool(v) => json!(v),
        Value::F32(v) => json!(v),
        Value::F64(v) => json!(v),
        Value::String(v) => json!(v),
        Value::Array(a) => json!({"elements": a.element(), "length": a.len()}),
        Value::I8(v) => json!(v),
        Value::I16(v) => json!(v),
        Value::I32(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::U8(_) | Value::U16(_) | Value::U32(_) | Value::U64(_) => json!(value.as_u64()),
    }
}
