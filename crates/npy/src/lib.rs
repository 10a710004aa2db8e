//! numpy's `.npy` files: read in any of the format versions 1.0, 2.0 and 3.0, written as 1.0.
//!
//! An [`Array`] always holds little-endian elements in C order, whatever the file held: big-endian elements
//! are swapped and Fortran order is transposed while reading. What [`write()`] produces equals, byte for
//! byte, what current numpy's `numpy.save` produces for the same C-ordered array.
//!
//! ```
//! use phalanx_npy::{Array, Dtype};
//!
//! let data = [1.5_f32, -2.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let array = Array::new(Dtype::F32, vec![3], data)?;
//! let bytes = phalanx_npy::write(&array)?;
//! assert_eq!(phalanx_npy::read(&bytes)?, array);
//! # Ok::<(), phalanx_npy::NpyError>(())
//! ```
//!
//! # What is refused
//!
//! Elements other than the twelve of [`Dtype`] (complex, text, objects, records); bfloat16 has no type of its
//! own in the format and travels as `uint16`. Also refused: more than [`MAX_DIMENSIONS`] dimensions, headers
//! longer than [`MAX_HEADER_BYTES`], data shorter or longer than the shape says, and booleans other than 0
//! and 1. Memory is only allocated for bytes that are there, so a small file cannot ask for a large buffer.

#![forbid(unsafe_code)]

mod array;
mod dtype;
mod error;
mod file;
mod header;
mod reorder;

pub use array::Array;
pub use dtype::Dtype;
pub use error::NpyError;
pub use file::{read, read_file, write, write_file};

/// The largest number of dimensions, numpy's own limit.
///
/// It bounds a header well below the 65535 bytes of format 1.0, which is why the writer needs no other.
pub const MAX_DIMENSIONS: usize = 64;

/// The longest header that is read, in bytes: what format 1.0 can express.
///
/// Formats 2.0 and 3.0 allow more, but only for records with very many fields, which are refused anyway.
pub const MAX_HEADER_BYTES: usize = 65_535;
