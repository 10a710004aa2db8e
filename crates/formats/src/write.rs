//! Matrices to bytes: exactly from codes and scales, or rounded from f32 as the formats' reference implementations do.

use crate::{Format, FormatError, Scaling};
use phalanx_simd::half::{f32_to_bf16, f32_to_f16};

/// Weights below this size count as 0 in a ternary matrix.
const NOTHING: f32 = 1e-6;
/// How far, of itself, the size of a ternary weight may be from the scale: what rounding to bf16 makes of it.
const NEAR: f32 = 1.0 / 128.0;

/// The bytes of a matrix from its codes, row after row, and its scales: one for I2_S, TL1 and TL2; one for each block, row after
/// row, for Q4_0, Q8_0, TQ1_0 and TQ2_0, rounded to f16; none for [`Format::I8`], which keeps them elsewhere.
///
/// # Errors
/// A shape or a code that the format cannot hold, another number of codes or scales, or a format that is not written from codes.
pub fn write_codes(
    format: Format,
    n: usize,
    k: usize,
    codes: &[i8],
    scales: &[f32],
) -> Result<Vec<u8>, FormatError> {
    let size = format.bytes(n, k)?;
    let Some((low, high)) = format.range() else {
        return Err(FormatError::Unsupported { format, why: "has no codes; write its values" });
    };
    if codes.len() != n * k {
        return Err(FormatError::Values { n, k, found: codes.len() });
    }
    let expected = match format.scaling() {
        Scaling::Tensor => 1,
        Scaling::Block(cols) => n * (k / cols),
        Scaling::None | Scaling::Row => 0,
    };
    if scales.len() != expected {
        return Err(FormatError::Scales { format, expected, found: scales.len() });
    }
    if let Some(at) = codes.iter().position(|c| !(low..=high).contains(c)) {
        return Err(FormatError::Code { format, row: at / k, col: at % k, value: codes[at], low, high });
    }
    let mut bytes = vec![0; size];
    if let Some(b) = format.blocks() {
        let Some(encode) = b.encode else {
            return Err(FormatError::Unsupported { format, why: "is only read; write Q8_0 instead" });
        };
        let blocks = bytes.chunks_exact_mut(b.bytes).zip(codes.chunks_exact(b.cols));
        for ((block, codes), scale) in blocks.zip(scales) {
            encode(codes, block);
            block[b.scale_at..][..2].copy_from_slice(&f32_to_f16(*scale).to_le_bytes());
        }
        return Ok(bytes);
    }
    for (row, codes) in codes.chunks_exact(k.max(1)).enumerate() {
        match format {
            Format::I2S(layout) => layout.encode(&mut bytes, k, row, codes),
            Format::Tl1(t) => t.encode(&mut bytes, k, row, codes),
            Format::Tl2(t) => t.encode(&mut bytes, (n, k), row, codes),
            _ => {
                for (byte, code) in bytes[row * k..].iter_mut().zip(codes) {
                    *byte = *code as u8;
                }
            }
        }
    }
    if format.scaling() == Scaling::Tensor {
        let at = format.scale_at(n, k);
        bytes[at..at + 4].copy_from_slice(&scales[0].to_le_bytes());
        if matches!(format, Format::Tl2(_)) {
            // Its writers fill the tail with the scale.
            (1..8).for_each(|i| bytes[at + 4 * i..][..4].copy_from_slice(&scales[0].to_le_bytes()));
        }
    }
    Ok(bytes)
}

/// The bytes of a matrix from its values, row after row, rounded as the format's reference implementation rounds: floats and f16
/// scales to nearest, codes of Q8_0, TQ1_0 and TQ2_0 half away from zero.
///
/// The formats with one scale for the matrix are not rounded to: their values must be -s, 0 and s already.
///
/// # Errors
/// As [`write_codes`]; values that are not ternary; or a format whose scales stand elsewhere ([`Format::I8`]).
pub fn quantise(format: Format, n: usize, k: usize, values: &[f32]) -> Result<Vec<u8>, FormatError> {
    format.bytes(n, k)?;
    if values.len() != n * k {
        return Err(FormatError::Values { n, k, found: values.len() });
    }
    let rounded = |one: fn(&[f32], &mut [i8]) -> f32| {
        let (cols, _) = format.block();
        let mut codes = vec![0; values.len()];
        let blocks = values.chunks_exact(cols).zip(codes.chunks_exact_mut(cols));
        let scales: Vec<f32> = blocks.map(|(x, q)| one(x, q)).collect();
        write_codes(format, n, k, &codes, &scales)
    };
    match format {
        Format::F32 => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Format::F16 => Ok(values.iter().flat_map(|v| f32_to_f16(*v).to_le_bytes()).collect()),
        Format::Bf16 => Ok(values.iter().flat_map(|v| f32_to_bf16(*v).to_le_bytes()).collect()),
        Format::Q8_0 => rounded(|x, q| away_from_zero(x, q, 127.0)),
        Format::Tq1_0 | Format::Tq2_0 => rounded(|x, q| away_from_zero(x, q, 1.0)),
        Format::Q4_0 => rounded(q4_0),
        Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => {
            let scale = values.iter().map(|v| v.abs()).find(|v| *v >= NOTHING).unwrap_or(1.0);
            let mut codes = vec![0; values.len()];
            for (i, (v, code)) in values.iter().zip(&mut codes).enumerate() {
                // NaN is neither small nor near.
                let small = v.abs() < NOTHING;
                let near = (v.abs() - scale).abs() <= scale * NEAR;
                if !small && !near {
                    return Err(FormatError::NotTernary { format, row: i / k, col: i % k, value: *v, scale });
                }
                *code = if small { 0 } else { v.signum() as i8 };
            }
            write_codes(format, n, k, &codes, &[scale])
        }
        Format::I8 => {
            Err(FormatError::Unsupported { format, why: "keeps its scales elsewhere; write its codes" })
        }
        Format::Q6K => Err(FormatError::Unsupported { format, why: "is only read; write Q8_0 instead" }),
    }
}

/// Codes up to `most`, half away from zero; the largest size gets it. Returns the scale.
pub(crate) fn away_from_zero(x: &[f32], q: &mut [i8], most: f32) -> f32 {
    let scale = x.iter().fold(0f32, |m, v| m.max(v.abs())) / most;
    let factor = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * factor).round() as i8;
    }
    scale
}

/// The value of largest size, the first of several, gets -8. Returns the scale.
pub(crate) fn q4_0(x: &[f32], q: &mut [i8]) -> f32 {
    let largest = x.iter().fold(0f32, |m, v| if v.abs() > m.abs() { *v } else { m });
    let scale = largest / -8.0;
    let factor = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    for (q, x) in q.iter_mut().zip(x) {
        *q = ((x * factor + 8.5) as u8).min(15) as i8 - 8;
    }
    scale
}
