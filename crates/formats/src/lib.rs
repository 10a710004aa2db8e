//! The formats that matrices have in model files: bytes to integers, scales and floats, and back, bit for bit.
//!
//! A [`Matrix`] is a view of a file's bytes as `n` rows of `k` columns (row-major; `k` is what GGUF calls `ne0`). It gives a row
//! at a time as integer codes with their scales ([`Matrix::codes`], [`Matrix::scale`]) or as f32 ([`Matrix::values`]), so a
//! matrix is never unpacked as a whole. [`write_codes`] is the exact inverse; [`quantise`] rounds f32 as the format's reference
//! implementation does.
//!
//! ```
//! use phalanx_formats::{Format, Layout, Matrix, write_codes};
//! let format = Format::I2S(Layout::X86);
//! let codes: Vec<i8> = (0..256).map(|i| (i % 3) as i8 - 1).collect();
//! let bytes = write_codes(format, 2, 128, &codes, &[0.5])?;
//! let matrix = Matrix::new(format, 2, 128, &bytes, None)?;
//! let mut row = [0; 128];
//! matrix.codes(1, &mut row);
//! assert_eq!((row.as_slice(), matrix.scale(1, 0)), (&codes[128..], 0.5));
//! # Ok::<(), phalanx_formats::FormatError>(())
//! ```
//!
//! Invariant: nothing here panics on the content of bytes; shapes that a format cannot hold are refused with the reason.
#![forbid(unsafe_code)]

mod blocks;
mod error;
mod format;
mod i2s;
mod matrix;
mod pack;
mod tl1;
mod tl2;
mod write;

pub use error::FormatError;
pub use format::Format;
pub use i2s::Layout;
pub use matrix::{Matrix, Scaling};
pub use tl1::Tl1;
pub use tl2::Tl2;
pub use write::{quantise, write_codes};
