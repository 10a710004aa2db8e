//! BitNet transformers as launch sequences of kernel programs.
//!
//! A [`Graph`] is a model as data: which norms, matrices, gate, biases and head there are, of which formats. [`Model`] holds its
//! weights, packed for the products. A [`Session`] runs it: one recorded sequence of launches for everything up to the last block
//! and one for the head, used again for every token, a KV cache for each of several texts, and no allocation on the way. All steps
//! are programs under `programs/` (`bitnet/*.phx`, `linear.phx`). [`generate()`] and [`perplexity`] are what people want of it.
//!
//! Invariant: the bits of a row's logits depend on the tokens before it in its text alone, not on how they were divided into runs,
//! on other texts in the same run, on threads or on the SIMD level.
#![forbid(unsafe_code)]

mod chat;
mod error;
mod generate;
mod graph;
mod model;
mod parallel;
mod part;
mod placement;
mod random;
mod sample;
mod session;
mod steps;

pub use chat::{Message, chat};
pub use error::EngineError;
pub use generate::{Finish, Generated, Generation, Overflow, generate, perplexity};
pub use graph::{Block, Graph, Matrix, Norm, Options, Table};
pub use model::Model;
pub use parallel::ParallelConfig;
pub use placement::Placement;
pub use random::{named_shape, random_file, shape_names};
pub use sample::{Sampler, Sampling};
pub use session::{CacheType, Config, Entry, Session, Spent};

pub use phalanx::exec::workers::Topology;
pub use phalanx::kernels::Split;
pub use phalanx_tokens::{Stream, Tokeniser};
pub use phalanx_weights::{Activation, ModelFile, NormKind, Shape};
