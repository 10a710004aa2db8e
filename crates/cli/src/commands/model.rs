//! What `generate`, `perplexity` and `explain` share: which model, and how it is loaded.

use crate::failure::usage;
use phalanx::Cpu;
use phalanx::kernels::PackedFormat;
use phalanx_engine::{Model, ModelFile, Options};
use std::path::Path;
use std::sync::Arc;

/// The text that is gone on with where none is given.
pub const PROMPT: &str = "ROMEO:\n";

/// Positions at most, unless said otherwise.
const CONTEXT: usize = 4096;

/// How a model is loaded.
#[derive(clap::Args, Debug)]
pub struct Source {
    /// Positions of the context [default: the model's, up to 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: Option<u32>,
    /// Keep the head in this form [default: as in the file]
    #[arg(long, value_name = "FORMAT", value_parser = head)]
    head: Option<PackedFormat>,
}

fn head(name: &str) -> Result<PackedFormat, String> {
    let known =
        [PackedFormat::F32, PackedFormat::F16, PackedFormat::Bf16, PackedFormat::Q8_0, PackedFormat::Q4_0];
    known.into_iter().find(|f| f.name() == name).ok_or_else(|| "expected f32, f16, bf16, q8_0 or q4_0".into())
}

/// The model of a file; without one, the model that comes with the command.
///
/// # Errors
/// It is no model file.
pub fn open(path: Option<&Path>) -> anyhow::Result<Arc<ModelFile>> {
    Ok(Arc::new(match path {
        Some(path) => ModelFile::open(path)?,
        None => ModelFile::from_bytes("programs/bitnet/model.gguf", phalanx_programs::bitnet::MODEL)?,
    }))
}

impl Source {
    /// Loads the weights.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(&self, cpu: &Cpu, file: &Arc<ModelFile>) -> anyhow::Result<Model> {
        let options = Options { head: self.head, ..Options::default() };
        let model = Model::load(cpu, file, &options)?;
        let trained = model.graph().shape.context;
        match self.context {
            Some(n) if n as usize > trained => {
                Err(usage(format!("--context {n}: the model was trained for {trained} positions")))
            }
            _ => Ok(model),
        }
    }

    /// Positions of the context.
    pub fn context(&self, model: &Model) -> usize {
        self.context.map_or_else(|| model.graph().shape.context.min(CONTEXT), |n| n as usize)
    }
}
