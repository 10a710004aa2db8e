//! The header: a fixed preamble, then a dictionary written as a Python literal.
//!
//! ```text
//! bytes 0..6    \x93NUMPY
//! bytes 6..8    version, major and minor
//! then          length of the dictionary, little-endian: 2 bytes in 1.0, 4 bytes in 2.0 and 3.0
//! then          {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  spaces, newline
//! ```
//!
//! 1.0 and 2.0 are Latin-1 and 3.0 is UTF-8. All that is accepted here is ASCII, so they are read alike.

use std::io::{self, Read};

use crate::array::data_bytes;
use crate::dtype::ByteOrder;
use crate::{Array, Dtype, MAX_DIMENSIONS, MAX_HEADER_BYTES, NpyError};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// numpy pads so that the data begins at a multiple of this, for memory mapping.
const ALIGN: usize = 64;

/// numpy leaves room for this many digits of the first dimension, so that a file can grow in place.
const GROWTH_DIGITS: usize = 21;

/// What a header says.
pub(crate) struct Header {
    pub(crate) dtype: Dtype,
    pub(crate) byte_order: ByteOrder,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes of data that the shape takes; known to fit `isize`.
    pub(crate) data_bytes: usize,
    /// Where the data begins, from the beginning of the file.
    pub(crate) data_offset: usize,
}

impl Header {
    /// Reads a header and leaves the reader where the data begins.
    pub(crate) fn read(reader: &mut impl Read) -> Result<Header, NpyError> {
        let mut magic = Vec::with_capacity(MAGIC.len());
        fill(reader, &mut magic, MAGIC.len())?;
        if magic != MAGIC {
            // A file that is a mere beginning of the magic is cut, anything else is another format.
            return Err(if MAGIC.starts_with(&magic) && !magic.is_empty() {
                NpyError::Truncated { part: "magic string", expected: MAGIC.len(), found: magic.len() }
            } else {
                NpyError::Magic { found: magic }
            });
        }

        let version = read_part(reader, "version", 2)?;
        let length_bytes = match version[..] {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            _ => return Err(NpyError::Version { major: version[0], minor: version[1] }),
        };
        let length = read_part(reader, "header length", length_bytes)?;
        let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let length = match usize::try_from(length) {
            Ok(length) if length <= MAX_HEADER_BYTES => length,
            _ => return Err(NpyError::HeaderTooLong { found: length }),
        };

        let dictionary_offset = MAGIC.len() + version.len() + length_bytes;
        let text = read_part(reader, "header", length)?;
        Parser { text: &text, at: 0, offset: dictionary_offset }.dictionary()
    }

    /// The whole header that numpy writes for an array, from the magic to the newline before the data.
    pub(crate) fn bytes_of(array: &Array) -> Vec<u8> {
        let mut dictionary =
            format!("{{'descr': '{}', 'fortran_order': False, 'shape': (", array.dtype.descr());
        for (i, length) in array.shape.iter().enumerate() {
            if i > 0 {
                dictionary.push_str(", ");
            }
            dictionary.push_str(&length.to_string());
        }
        // Python's tuples of one have a comma to tell them from a number in brackets.
        dictionary.push_str(if array.shape.len() == 1 { ",), }" } else { "), }" });
        if let Some(first) = array.shape.first() {
            let growth = GROWTH_DIGITS.saturating_sub(first.to_string().len());
            dictionary.extend(std::iter::repeat_n(' ', growth));
        }

        // Magic, version, two bytes of length, dictionary, padding, newline. numpy pads by 1 to 64 spaces,
        // never by none.
        let unpadded = MAGIC.len() + 2 + 2 + dictionary.len() + 1;
        dictionary.extend(std::iter::repeat_n(' ', ALIGN - unpadded % ALIGN));
        dictionary.push('\n');

        // At most MAX_DIMENSIONS numbers of 20 digits: about 1500 bytes, far from where u16 ends.
        debug_assert!(dictionary.len() <= usize::from(u16::MAX), "a checked shape gives a short header");
        let length = dictionary.len() as u16;
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + dictionary.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(dictionary.as_bytes());
        bytes
    }
}

/// Reads up to `length` bytes, fewer only at the end of the file.
fn fill(reader: &mut impl Read, into: &mut Vec<u8>, length: usize) -> Result<(), NpyError> {
    let read: io::Result<usize> = reader.take(length as u64).read_to_end(into);
    read.map(|_| ()).map_err(|error| NpyError::Io { action: "read the header", error })
}

/// Reads exactly `length` bytes, at most [`MAX_HEADER_BYTES`].
fn read_part(reader: &mut impl Read, part: &'static str, length: usize) -> Result<Vec<u8>, NpyError> {
    let mut bytes = Vec::new();
    fill(reader, &mut bytes, length)?;
    if bytes.len() < length {
        return Err(NpyError::Truncated { part, expected: length, found: bytes.len() });
    }
    Ok(bytes)
}

/// A reader for the few Python literals that a header is made of.
struct Parser<'a> {
    text: &'a [u8],
    /// Position in `text`.
    at: usize,
    /// Position of `text` in the file, for messages.
    offset: usize,
}

impl<'a> Parser<'a> {
    /// The dictionary with its three keys in any order, and nothing but white space after it.
    fn dictionary(mut self) -> Result<Header, NpyError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.punctuation(b'{', "'{'")?;
        while self.peek() != Some(b'}') {
            let key_at = self.at;
            let key = self.string("a key in quotes")?;
            let fresh = match key {
                b"descr" => descr.is_none(),
                b"fortran_order" => fortran_order.is_none(),
                b"shape" => shape.is_none(),
                _ => false,
            };
            if !fresh {
                self.at = key_at;
                return self.fail("'descr', 'fortran_order' and 'shape' once each");
            }
            self.punctuation(b':', "':' after the key")?;
            match key {
                b"descr" => descr = Some(self.descr()?),
                b"fortran_order" => fortran_order = Some(self.boolean()?),
                _ => shape = Some(self.shape()?),
            }
            if !self.eat(b',') {
                break;
            }
        }
        self.punctuation(b'}', "',' or '}'")?;
        if self.peek().is_some() {
            return self.fail("only spaces and a newline after '}'");
        }

        let (dtype, byte_order) = descr.ok_or(NpyError::MissingKey { key: "descr" })?;
        let fortran_order = fortran_order.ok_or(NpyError::MissingKey { key: "fortran_order" })?;
        let shape = shape.ok_or(NpyError::MissingKey { key: "shape" })?;
        let data_bytes = data_bytes(dtype, &shape)?;
        let data_offset = self.offset + self.text.len();
        Ok(Header { dtype, byte_order, fortran_order, shape, data_bytes, data_offset })
    }

    /// The value of `descr`: a string for plain elements. A list describes records, which are refused as a
    /// type, not as a damaged header.
    fn descr(&mut self) -> Result<(Dtype, ByteOrder), NpyError> {
        if self.peek() == Some(b'[') {
            return Err(NpyError::Dtype { descr: snippet(&self.text[self.at..]) });
        }
        let text = self.string("a type string in quotes")?;
        let known = std::str::from_utf8(text).ok().and_then(Dtype::from_descr);
        known.ok_or_else(|| NpyError::Dtype { descr: snippet(text) })
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.skip_space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail("True or False")
    }

    /// A tuple of lengths. As in Python, a tuple of one needs its comma.
    fn shape(&mut self) -> Result<Vec<usize>, NpyError> {
        let mut shape = Vec::new();
        let mut comma = true;
        self.punctuation(b'(', "'(' and the lengths of the dimensions")?;
        while self.peek() != Some(b')') {
            if !comma {
                return self.fail("',' or ')'");
            }
            shape.push(self.length()?);
            if shape.len() > MAX_DIMENSIONS {
                return Err(NpyError::TooManyDimensions { found: shape.len() });
            }
            comma = self.eat(b',');
        }
        if shape.len() == 1 && !comma {
            return self.fail("',' in a tuple of one");
        }
        self.punctuation(b')', "')'")?;
        Ok(shape)
    }

    /// A decimal number. Python 2 put an `L` behind long ones.
    fn length(&mut self) -> Result<usize, NpyError> {
        self.skip_space();
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        let value = if leading_zero { None } else { digits.parse().ok() };
        let Some(value) = value else {
            self.at = start;
            return self.fail("the length of a dimension, from 0 to the largest of this machine");
        };
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(value)
    }

    /// The inside of a string in single or double quotes. No name in a header needs an escape, so a
    /// backslash is refused.
    fn string(&mut self, expected: &'static str) -> Result<&'a [u8], NpyError> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return self.fail(expected),
        };
        let inside = &self.text[self.at + 1..];
        match inside.iter().position(|&byte| byte == quote || byte == b'\\' || byte == b'\n') {
            Some(end) if inside[end] == quote => {
                self.at += end + 2;
                Ok(&inside[..end])
            }
            _ => self.fail("a string that ends in the quote it began with, without escapes"),
        }
    }

    fn punctuation(&mut self, byte: u8, expected: &'static str) -> Result<(), NpyError> {
        if self.eat(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// Takes the next byte that is no space if it is this one.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next byte that is no space, which stays.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// The error for the place the parser is at.
    fn fail<T>(&self, expected: &'static str) -> Result<T, NpyError> {
        let rest = &self.text[self.at..];
        let found =
            if rest.is_empty() { "the end of the header".into() } else { format!("\"{}\"", snippet(rest)) };
        Err(NpyError::Header { offset: self.offset + self.at, expected, found })
    }
}

/// The beginning of some bytes, fit for a message that puts it in double quotes.
fn snippet(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let mut text = String::new();
    for &byte in bytes[..bytes.len().min(SHOWN)].trim_ascii_end() {
        match byte {
            // Headers are full of these, and escaped they are hard to read.
            b'\'' => text.push('\''),
            _ => text.extend(byte.escape_ascii().map(char::from)),
        }
    }
    if bytes.len() > SHOWN {
        text.push_str("...");
    }
    text
}
