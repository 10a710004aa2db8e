//! GGUF: a header of keys and tensors, then the tensors' bytes.

mod read;
mod value;
mod write;

pub use read::{Gguf, Tensor};
pub use value::{Array, Value};
pub use write::{TensorData, write};

/// The first four bytes.
const MAGIC: [u8; 4] = *b"GGUF";
/// The version that is written; 2 is the same layout.
const VERSION: u32 = 3;
/// Where no key says otherwise.
const ALIGNMENT: usize = 32;
/// The key that says otherwise.
const ALIGNMENT_KEY: &str = "general.alignment";
