//! GGUF to any writer.

use super::{ALIGNMENT, ALIGNMENT_KEY, Array, MAGIC, VERSION, Value};
use crate::WeightsError;
use std::io::Write;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorData {
    /// Its name.
    pub name: String,
    /// Its dimensions, the fastest first.
    pub dims: Vec<usize>,
    /// The number of its element type ([`crate::Kind::id_of`]).
    pub kind: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, v: &Value) {
    out.extend(v.kind().to_le_bytes());
    match v {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => text(out, v),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Array(a) => {
            out.extend(a.kind().to_le_bytes());
            out.extend((a.len() as u64).to_le_bytes());
            match a {
                Array::U8(v) => out.extend(v),
                Array::I8(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::U16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::I16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::U32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::I32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::F32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::Bool(v) => out.extend(v.iter().map(|v| u8::from(*v))),
                Array::String(v) => v.iter().for_each(|v| text(out, v)),
                Array::U64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::I64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                Array::F64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
            }
        }
    }
}

/// Writes a file of these keys and tensors, in this order. The same input gives the same bytes.
///
/// # Errors
/// The alignment is none, or `out` cannot be written.
pub fn write(
    out: &mut impl Write,
    keys: &[(String, Value)],
    tensors: &[TensorData],
) -> Result<(), WeightsError> {
    let alignment = match keys.iter().find(|(k, _)| k == ALIGNMENT_KEY) {
        None => ALIGNMENT as u64,
        Some((_, v)) => {
            let wrong = || WeightsError::key(ALIGNMENT_KEY, "expected a power of two");
            v.as_u64().filter(|a| a.is_power_of_two() && *a <= 1 << 30).ok_or_else(wrong)?
        }
    };
    let mut header = Vec::new();
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((keys.len() as u64).to_le_bytes());
    for (key, v) in keys {
        text(&mut header, key);
        value(&mut header, v);
    }
    let mut offset = 0u64;
    for t in tensors {
        text(&mut header, &t.name);
        header.extend((t.dims.len() as u32).to_le_bytes());
        t.dims.iter().for_each(|d| header.extend((*d as u64).to_le_bytes()));
        header.extend(t.kind.to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset += (t.bytes.len() as u64).next_multiple_of(alignment);
    }
    let io = WeightsError::io("write it");
    let size = header.len() as u64;
    header.resize(size.next_multiple_of(alignment) as usize, 0);
    out.write_all(&header).map_err(&io)?;
    for t in tensors {
        out.write_all(&t.bytes).map_err(&io)?;
        let size = t.bytes.len() as u64;
        let pad = size.next_multiple_of(alignment) - size;
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), pad), out).map_err(&io)?;
    }
    out.flush().map_err(&io)
}
