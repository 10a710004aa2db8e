//! The header of a GGUF file, checked in full.

use super::value::ARRAY;
use super::{ALIGNMENT, ALIGNMENT_KEY, Array, MAGIC, VERSION, Value};
use crate::WeightsError;
use crate::kinds::{Kind, kind_of};
use crate::shape::ARCHITECTURES;
use phalanx_formats::Layout;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Dimensions at most.
const MAX_DIMS: u32 = 4;
/// Bytes of a name at most: 64 in the format's text, but files with longer ones exist.
const MAX_NAME: u64 = 256;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, the fastest first.
    pub dims: Vec<usize>,
    /// The number of its element type.
    pub id: u32,
    /// The element type, where it is known.
    pub kind: Option<Kind>,
    /// Its bytes, from the start of the file; empty where the element type is not known.
    pub range: Range<usize>,
}

impl Tensor {
    /// Rows: the product of all dimensions but the first.
    pub fn n(&self) -> usize {
        self.dims.iter().skip(1).product()
    }
    /// Columns: the first dimension.
    pub fn k(&self) -> usize {
        self.dims.first().copied().unwrap_or(1)
    }
}

/// The header of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf {
    /// The format's version.
    pub version: u32,
    /// Keys and values, in the file's order.
    pub keys: Vec<(String, Value)>,
    /// Tensors, in the file's order.
    pub tensors: Vec<Tensor>,
    /// What offsets of tensors are multiples of.
    pub alignment: usize,
    /// Where the tensors' bytes begin.
    pub data_at: usize,
    index: HashMap<String, usize>,
}

/// A place in the bytes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], WeightsError> {
        let left = self.bytes.len() - self.at;
        let short = || WeightsError::Short { at: self.at, what, needed: count, left };
        let size = usize::try_from(count).ok().filter(|c| *c <= left).ok_or_else(short)?;
        let part = &self.bytes[self.at..][..size];
        self.at += size;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WeightsError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn string(&mut self, what: &'static str) -> Result<String, WeightsError> {
        let size = self.u64("a text's length")?;
        let at = self.at;
        let bytes = self.take(size, what)?;
        let text = std::str::from_utf8(bytes);
        text.map(String::from)
            .map_err(|e| WeightsError::Header { at, what: format!("{what} is not UTF-8: {e}") })
    }

    fn bool(&mut self) -> Result<bool, WeightsError> {
        let at = self.at;
        match self.array::<1>("a boolean")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [v] => Err(WeightsError::Header { at, what: format!("a boolean is {v}; expected 0 or 1") }),
        }
    }

    fn value(&mut self) -> Result<Value, WeightsError> {
        let kind = self.u32("a value's type")?;
        let what = "a value";
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array(what)?)),
            1 => Value::I8(i8::from_le_bytes(self.array(what)?)),
            2 => Value::U16(u16::from_le_bytes(self.array(what)?)),
            3 => Value::I16(i16::from_le_bytes(self.array(what)?)),
            4 => Value::U32(u32::from_le_bytes(self.array(what)?)),
            5 => Value::I32(i32::from_le_bytes(self.array(what)?)),
            6 => Value::F32(f32::from_le_bytes(self.array(what)?)),
            7 => Value::Bool(self.bool()?),
            8 => Value::String(self.string(what)?),
            ARRAY => Value::Array(self.elements()?),
            10 => Value::U64(u64::from_le_bytes(self.array(what)?)),
            11 => Value::I64(i64::from_le_bytes(self.array(what)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(what)?)),
            _ => {
                let what = format!("a value has type {kind}; expected 0 to 12");
                return Err(WeightsError::Header { at: self.at - 4, what });
            }
        })
    }

    /// Elements of a fixed size.
    fn fixed<const N: usize, T>(&mut self, count: u64, of: fn([u8; N]) -> T) -> Result<Vec<T>, WeightsError> {
        let bytes = self.take(count.saturating_mul(N as u64), "an array")?;
        // N bytes each: chunks of N.
        Ok(bytes.chunks_exact(N).map(|b| of(std::array::from_fn(|i| b[i]))).collect())
    }

    fn elements(&mut self) -> Result<Array, WeightsError> {
        let at = self.at;
        let kind = self.u32("an array's type")?;
        let count = self.u64("an array's length")?;
        Ok(match kind {
            0 => Array::U8(self.fixed(count, u8::from_le_bytes)?),
            1 => Array::I8(self.fixed(count, i8::from_le_bytes)?),
            2 => Array::U16(self.fixed(count, u16::from_le_bytes)?),
            3 => Array::I16(self.fixed(count, i16::from_le_bytes)?),
            4 => Array::U32(self.fixed(count, u32::from_le_bytes)?),
            5 => Array::I32(self.fixed(count, i32::from_le_bytes)?),
            6 => Array::F32(self.fixed(count, f32::from_le_bytes)?),
            // Grown as they are read: the count may claim anything.
            7 => Array::Bool((0..count).map(|_| self.bool()).collect::<Result<_, _>>()?),
            8 => Array::String((0..count).map(|_| self.string("an array's text")).collect::<Result<_, _>>()?),
            10 => Array::U64(self.fixed(count, u64::from_le_bytes)?),
            11 => Array::I64(self.fixed(count, i64::from_le_bytes)?),
            12 => Array::F64(self.fixed(count, f64::from_le_bytes)?),
            ARRAY => {
                return Err(WeightsError::Header {
                    at,
                    what: "an array of arrays; no model file needs one".into(),
                });
            }
            _ => {
                let what = format!("an array has elements of type {kind}; expected 0 to 12");
                return Err(WeightsError::Header { at, what });
            }
        })
    }
}

impl Gguf {
    /// Reads and checks a file's header. Every tensor's bytes lie in `bytes`.
    ///
    /// # Errors
    /// What breaks the format's rules, with its place.
    pub fn parse(bytes: &[u8]) -> Result<Gguf, WeightsError> {
        let mut c = Cursor { bytes, at: 0 };
        if bytes.len() < 4 || bytes[..4] != MAGIC {
            let first = &bytes[..bytes.len().min(4)];
            let found = first.escape_ascii();
            return Err(WeightsError::Kind(format!(
                "not a GGUF file: it begins with \"{found}\", not \"GGUF\""
            )));
        }
        c.at = 4;
        let version = c.u32("the version")?;
        if version.swap_bytes() == VERSION {
            return Err(WeightsError::Kind(
                "a big-endian GGUF file; write it for little-endian machines".into(),
            ));
        }
        if !matches!(version, 2 | VERSION) {
            return Err(WeightsError::Kind(format!(
                "GGUF version {version}; versions 2 and 3 are read: convert the model again"
            )));
        }
        let tensor_count = c.u64("the number of tensors")?;
        let key_count = c.u64("the number of keys")?;
        let mut keys: Vec<(String, Value)> = Vec::new();
        let mut known = HashSet::new();
        for _ in 0..key_count {
            let at = c.at;
            let key = c.string("a key")?;
            if !known.insert(key.clone()) {
                return Err(WeightsError::Header { at, what: format!("the key `{key}` occurs twice") });
            }
            let value = c.value()?;
            keys.push((key, value));
        }
        let find = |key: &str| keys.iter().find(|(k, _)| k == key).map(|(_, v)| v);
        let alignment = match find(ALIGNMENT_KEY) {
            None => ALIGNMENT,
            Some(v) => {
                let wrong =
                    || WeightsError::key(ALIGNMENT_KEY, format!("{}; expected a power of two", v.shown()));
                let a = v.as_u64().filter(|a| a.is_power_of_two() && *a <= 1 << 30).ok_or_else(wrong)?;
                // At most 2^30.
                a as usize
            }
        };
        let bitnet = matches!(find("general.architecture"), Some(Value::String(a)) if ARCHITECTURES.contains(&a.as_str()));
        let mut tensors = Vec::new();
        let mut offsets = Vec::new();
        let mut index = HashMap::new();
        for i in 0..tensor_count {
            let (tensor, offset) = Gguf::tensor_info(&mut c, bitnet)?;
            if index.insert(tensor.name.clone(), i as usize).is_some() {
                return Err(WeightsError::tensor(&tensor.name, "occurs twice"));
            }
            tensors.push(tensor);
            offsets.push(offset);
        }
        // A file without tensors may end with its header.
        let data_at =
            c.at.next_multiple_of(alignment).min(if tensors.is_empty() { bytes.len() } else { usize::MAX });
        for (tensor, offset) in tensors.iter_mut().zip(offsets) {
            if !offset.is_multiple_of(alignment as u64) {
                let what = format!("offset {offset} is no multiple of the alignment {alignment}");
                return Err(WeightsError::tensor(&tensor.name, what));
            }
            let size = tensor.range.len();
            let start = usize::try_from(offset).ok().and_then(|o| data_at.checked_add(o));
            let end = start.and_then(|s| s.checked_add(size)).filter(|e| *e <= bytes.len());
            let (Some(start), Some(end)) = (start, end) else {
                let what = format!(
                    "{size} bytes from offset {offset} end after the file ({} bytes, of which the header has {data_at}); it is \
                     damaged or was not copied whole",
                    bytes.len()
                );
                return Err(WeightsError::tensor(&tensor.name, what));
            };
            tensor.range = start..end;
        }
        Ok(Gguf { version, keys, tensors, alignment, data_at, index })
    }

    /// A tensor's entry; its range is `0..size` until its place is known.
    fn tensor_info(c: &mut Cursor<'_>, bitnet: bool) -> Result<(Tensor, u64), WeightsError> {
        let at = c.at;
        let name = c.string("a tensor's name")?;
        if name.len() as u64 > MAX_NAME {
            let what = format!("a tensor's name has {} bytes; at most {MAX_NAME} are read", name.len());
            return Err(WeightsError::Header { at, what });
        }
        let count = c.u32("a tensor's number of dimensions")?;
        if count > MAX_DIMS {
            let what = format!("{count} dimensions; at most {MAX_DIMS} are read");
            return Err(WeightsError::tensor(&name, what));
        }
        let mut dims = Vec::new();
        let mut elements = 1usize;
        for _ in 0..count {
            let d = c.u64("a dimension")?;
            let fits = usize::try_from(d).ok().and_then(|d| Some((d, elements.checked_mul(d)?)));
            if d == 0 {
                return Err(WeightsError::tensor(&name, "a dimension is 0"));
            }
            let Some((d, product)) = fits.filter(|(_, p)| *p <= isize::MAX as usize / 8) else {
                return Err(WeightsError::tensor(&name, "its dimensions multiply to more than memory holds"));
            };
            elements = product;
            dims.push(d);
        }
        let id = c.u32("a tensor's type")?;
        let kind = kind_of(id, bitnet);
        let offset = c.u64("a tensor's offset")?;
        let mut tensor = Tensor { name, dims, id, kind, range: 0..0 };
        let size = match kind {
            Some(Kind { block: Some((cols, bytes)), name: kind, .. }) => {
                let (cols, bytes) = (cols as usize, bytes as usize);
                if !tensor.k().is_multiple_of(cols) {
                    let what = format!("rows of {} are no multiple of {kind}'s blocks of {cols}", tensor.k());
                    return Err(WeightsError::tensor(&tensor.name, what));
                }
                // elements * 8 does not overflow, and a block has at most 8 bytes a column.
                elements / cols * bytes
            }
            Some(kind) => {
                // What its writers all write; the scale may stand elsewhere and the tail be missing, so the codes must be there.
                let (n, k) = (tensor.n(), tensor.k());
                let format = kind.format(Layout::X86, n, k);
                match format.map(|f| f.bytes(n, k)) {
                    Some(Ok(size)) => size - 32,
                    // A shape that the default layout cannot hold may be fine in another: two bits a weight at most.
                    _ => elements / 4,
                }
            }
            None => 0,
        };
        tensor.range = 0..size;
        Ok((tensor, offset))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The text of a key; `None` where it is missing or no text.
    pub fn string(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::String(s)) => Some(s),
            _ => None,
        }
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|i| &self.tensors[*i])
    }
}
