//! The one error type. Each message says what was expected, what was found and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::{Dtype, MAX_DIMENSIONS, MAX_HEADER_BYTES};

/// Why an array could not be read or written.
///
/// Every message is complete on its own: causes are part of the text, so `source()` is always `None` and a
/// program that prints whole chains does not print them twice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// Any of the other errors, with the file it concerns.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file as the caller named it.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<NpyError>,
    },
    /// The operating system refused.
    #[error("cannot {action}: {error}; check that the path exists, is permitted and has space")]
    Io {
        /// What was attempted, as in "cannot *open it*".
        action: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// The first six bytes are not the format's.
    #[error(
        "not a .npy file: expected it to begin with \"\\x93NUMPY\", found \"{}\"; {}",
        found.escape_ascii(),
        if found.starts_with(b"PK") {
            "this is a zip file, perhaps an .npz: unpack it and use one of the .npy files inside"
        } else {
            "write the file with numpy.save"
        }
    )]
    Magic {
        /// The first bytes of the file, six at most.
        found: Vec<u8>,
    },
    /// A format version that does not exist yet, or a damaged file.
    #[error("format version {major}.{minor}: expected 1.0, 2.0 or 3.0; write the file again with numpy.save")]
    Version {
        /// Byte 6 of the file.
        major: u8,
        /// Byte 7 of the file.
        minor: u8,
    },
    /// The file ends before its header does.
    #[error("the file ends in its {part}: expected {expected} bytes, found {found}; copy or save it again")]
    Truncated {
        /// The part that is cut.
        part: &'static str,
        /// Bytes that this part takes.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The header is longer than any array of plain numbers needs.
    #[error(
        "the header claims {found} bytes: expected at most {MAX_HEADER_BYTES}; the file is damaged or holds \
         records: save a plain array with numpy.save"
    )]
    HeaderTooLong {
        /// Length the file claims, in bytes.
        found: u64,
    },
    /// The header is not the dictionary it should be.
    #[error(
        "byte {offset} of the file, in the header: expected {expected}, found {found}; write the file again \
         with numpy.save"
    )]
    Header {
        /// Position from the beginning of the file, in bytes.
        offset: usize,
        /// What the format has at this place.
        expected: &'static str,
        /// What the file has there.
        found: String,
    },
    /// The header lacks one of its three keys.
    #[error(
        "the header has no key '{key}': expected 'descr', 'fortran_order' and 'shape'; write the file again \
         with numpy.save"
    )]
    MissingKey {
        /// The absent key.
        key: &'static str,
    },
    /// An element type that is not supported.
    #[error(
        "elements of type \"{descr}\" are not supported: expected one of {}; {}",
        Dtype::list(),
        remedy(descr)
    )]
    Dtype {
        /// The type as the header has it.
        descr: String,
    },
    /// More dimensions than numpy allows.
    #[error("{found} dimensions: expected at most {MAX_DIMENSIONS}; reshape the array")]
    TooManyDimensions {
        /// Number of dimensions.
        found: usize,
    },
    /// The shape times the element size is more than an address space holds.
    #[error(
        "shape {shape:?} of {dtype}: expected a size that fits memory, found more than {} bytes; split \
         the array",
        isize::MAX
    )]
    ShapeOverflow {
        /// The shape.
        shape: Vec<usize>,
        /// The element type.
        dtype: Dtype,
    },
    /// Fewer bytes of data than the shape takes.
    #[error(
        "shape {shape:?} of {dtype}: expected {expected} bytes of data, found {found}; the data is cut short: \
         copy or save it again"
    )]
    DataTooShort {
        /// The shape.
        shape: Vec<usize>,
        /// The element type.
        dtype: Dtype,
        /// Bytes that the shape takes.
        expected: usize,
        /// Bytes that are there.
        found: u64,
    },
    /// More bytes of data than the shape takes.
    #[error(
        "shape {shape:?} of {dtype}: expected {expected} bytes of data, found {} {found}; save one array per \
         file, and nothing after it",
        if *exact { "exactly" } else { "at least" }
    )]
    DataTooLong {
        /// The shape.
        shape: Vec<usize>,
        /// The element type.
        dtype: Dtype,
        /// Bytes that the shape takes.
        expected: usize,
        /// Bytes that are there, or a lower bound of it.
        found: u64,
        /// Whether `found` is exact. It is not for a pipe, which is not read to its end.
        exact: bool,
    },
    /// A boolean that is neither 0 nor 1.
    #[error(
        "element {index} of the boolean array: expected 0 or 1, found {found}; save other numbers as uint8"
    )]
    Bool {
        /// Position in the data, counted in elements; the data of a file may be in Fortran order.
        index: usize,
        /// The byte.
        found: u8,
    },
    /// Not enough memory for the data.
    #[error("expected to allocate {bytes} bytes for the data, found no memory for it; split the array")]
    Memory {
        /// Bytes wanted.
        bytes: usize,
    },
}

/// What to do about an element type, by the letter of its kind. A list describes a record.
fn remedy(descr: &str) -> &'static str {
    match descr.trim_start_matches(['<', '>', '|', '=']).as_bytes() {
        b"V2" => "if these are bfloat16, save x.view(numpy.uint16)",
        [b'[' | b'V', ..] => "save one plain array per field",
        [b'c', ..] => "save x.real and x.imag as two arrays",
        _ => "convert with x.astype, for instance x.astype('<f4')",
    }
}
