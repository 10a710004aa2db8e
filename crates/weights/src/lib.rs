//! Model files: GGUF (versions 2 and 3) read from a mapping and written; Hugging Face folders read and converted to it.
//!
//! [`ModelFile`] maps a GGUF file, whose header [`Gguf`] has been checked in full: every length and offset lies in the file,
//! names are unique, sizes do not overflow. [`Shape`] is what a BitNet model's keys say. [`write()`] writes GGUF; [`convert()`]
//! makes one of a folder of packed safetensors.
//!
//! ```
//! use phalanx_weights::{Gguf, TensorData, Value, write};
//! let keys = [("general.architecture".to_string(), Value::String("bitnet".into()))];
//! let data = [1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
//! let tensor = TensorData { name: "output_norm.weight".into(), dims: vec![2], kind: 0, bytes: data };
//! let mut file = Vec::new();
//! write(&mut file, &keys, &[tensor])?;
//! let read = Gguf::parse(&file)?;
//! assert_eq!(read.string("general.architecture"), Some("bitnet"));
//! assert_eq!(read.tensor("output_norm.weight").map(|t| t.dims.as_slice()), Some(&[2][..]));
//! # Ok::<(), phalanx_weights::WeightsError>(())
//! ```
//!
//! Invariant: no content of a file makes this crate panic, read outside of it or allocate more than a few times its size.

mod convert;
mod error;
mod file;
mod gguf;
mod hugging_face;
mod kinds;
mod layout;
mod map;
mod shape;

pub use convert::convert;
pub use error::WeightsError;
pub use file::ModelFile;
pub use gguf::{Array, Gguf, Tensor, TensorData, Value, write};
pub use kinds::{Kind, kind_of};
pub use layout::Evidence;
pub use phalanx_formats::{Layout, Matrix};
pub use shape::{ARCHITECTURES, Activation, NormKind, Shape};
