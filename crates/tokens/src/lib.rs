//! Tokenisers made from a model file's own tables.
//!
//! Two kinds exist in files: byte-level BPE (`tokenizer.ggml.model` is "gpt2"), which cuts text into words by a rule and merges a
//! word's bytes by rank, and SentencePiece-style ("llama"), which merges a text's characters by score. [`Tokeniser::of`] makes
//! either; files of BitNet models that do not name the rule get Llama 3's, which is what they were trained with.
//!
//! ```
//! use phalanx_tokens::Tokeniser;
//! use phalanx_weights::{Array, Gguf, Value, write};
//! let tokens = ["<unk>", "<s>", "\u{2581}", "a", "\u{2581}a"].map(String::from).to_vec();
//! let key = |name: &str, v: Value| (format!("tokenizer.ggml.{name}"), v);
//! let keys = [
//!     key("model", Value::String("llama".into())),
//!     key("tokens", Value::Array(Array::String(tokens))),
//!     key("scores", Value::Array(Array::F32(vec![0.0; 5]))),
//!     key("token_type", Value::Array(Array::I32(vec![2, 3, 1, 1, 1]))),
//!     key("bos_token_id", Value::U32(1)),
//! ];
//! let mut file = Vec::new();
//! write(&mut file, &keys, &[])?;
//! let tokeniser = Tokeniser::of(&Gguf::parse(&file)?)?;
//! assert_eq!(tokeniser.prompt("a a"), [1, 4, 4]);
//! assert_eq!(tokeniser.decode(&[4, 4]), b" a a");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariant: encoding takes time in proportion to n log n of the text's length and never fails; what no token covers becomes the
//! unknown token, or nothing where the vocabulary has none.
#![forbid(unsafe_code)]

mod bytes;
mod error;
mod merge;
mod split;
mod stream;
mod tokeniser;

pub use error::TokensError;
pub use stream::Stream;
pub use tokeniser::Tokeniser;
