//! Formats of independent blocks along a row, as ggml has them: where codes and scales of one block stand.

use phalanx_simd::half::f16_to_f32;

/// Sets a block's bytes from its codes.
type Encode = fn(&[i8], &mut [u8]);

/// A format of blocks.
pub(crate) struct Blocks {
    /// Columns of a block.
    pub cols: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Where the block's f16 scale stands.
    pub scale_at: usize,
    /// Codes of a block.
    pub decode: fn(&[u8], &mut [i8]),
    /// The block's bytes from codes in range, its scale aside; bytes come zeroed. `None`: read only.
    pub encode: Option<Encode>,
}

pub(crate) const Q4_0: Blocks =
    Blocks { cols: 32, bytes: 18, scale_at: 0, decode: q4_0_decode, encode: Some(q4_0_encode) };
pub(crate) const Q8_0: Blocks =
    Blocks { cols: 32, bytes: 34, scale_at: 0, decode: q8_0_decode, encode: Some(q8_0_encode) };
pub(crate) const Q6_K: Blocks =
    Blocks { cols: 256, bytes: 210, scale_at: 208, decode: q6_k_decode, encode: None };
pub(crate) const TQ1_0: Blocks =
    Blocks { cols: 256, bytes: 54, scale_at: 52, decode: tq1_0_decode, encode: Some(tq1_0_encode) };
pub(crate) const TQ2_0: Blocks =
    Blocks { cols: 256, bytes: 66, scale_at: 64, decode: tq2_0_decode, encode: Some(tq2_0_encode) };

impl Blocks {
    /// The block's f16 scale.
    pub(crate) fn scale(&self, block: &[u8]) -> f32 {
        f16_to_f32(u16::from_le_bytes([block[self.scale_at], block[self.scale_at + 1]]))
    }
}

fn q4_0_decode(block: &[u8], codes: &mut [i8]) {
    for (j, byte) in block[2..].iter().enumerate() {
        codes[j] = (byte & 15) as i8 - 8;
        codes[j + 16] = (byte >> 4) as i8 - 8;
    }
}

fn q4_0_encode(codes: &[i8], block: &mut [u8]) {
    for (j, byte) in block[2..].iter_mut().enumerate() {
        *byte = (codes[j] + 8) as u8 | ((codes[j + 16] + 8) as u8) << 4;
    }
}

fn q8_0_decode(block: &[u8], codes: &mut [i8]) {
    for (code, byte) in codes.iter_mut().zip(&block[2..]) {
        *code = *byte as i8;
    }
}

fn q8_0_encode(codes: &[i8], block: &mut [u8]) {
    for (code, byte) in codes.iter().zip(&mut block[2..]) {
        *byte = *code as u8;
    }
}

/// Low four bits, then high two: each half of the block (128 columns) has 64 bytes of the former, whose low halves are columns
/// 0 to 63 and high halves 64 to 127, and 32 bytes of the latter, whose four pairs of bits are 32 columns each.
fn q6_k_decode(block: &[u8], codes: &mut [i8]) {
    for (col, code) in codes.iter_mut().enumerate() {
        let (half, col) = (col / 128, col % 128);
        let low = block[64 * half + col % 64] >> (4 * (col / 64)) & 15;
        let high = block[128 + 32 * half + col % 32] >> (2 * (col / 32)) & 3;
        let bits = low | high << 4;
        *code = bits as i8 - 32;
    }
}

/// The byte that holds column `col` and which of its digits, the first being the most significant.
fn tq1_0_place(col: usize) -> (usize, usize) {
    match col {
        0..160 => (col % 32, col / 32),
        160..240 => (32 + (col - 160) % 16, (col - 160) / 16),
        _ => (48 + (col - 240) % 4, (col - 240) / 4),
    }
}

const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

fn tq1_0_decode(block: &[u8], codes: &mut [i8]) {
    for (col, code) in codes.iter_mut().enumerate() {
        let (byte, digit) = tq1_0_place(col);
        // The byte is a fraction of 256 in base 3: multiplied by 3^digit it wraps, which drops the digits before this one.
        let rest = block[byte].wrapping_mul(POWERS[digit]);
        *code = ((u16::from(rest) * 3) >> 8) as i8 - 1;
    }
}

fn tq1_0_encode(codes: &[i8], block: &mut [u8]) {
    for (col, code) in codes.iter().enumerate() {
        let (byte, digit) = tq1_0_place(col);
        // At most 2 * (81 + 27 + 9 + 3 + 1) = 242.
        block[byte] += (code + 1) as u8 * POWERS[4 - digit];
    }
    for byte in &mut block[..52] {
        // Rounded up, so that multiplying leads back to the same digits.
        *byte = (u16::from(*byte) * 256).div_ceil(243) as u8;
    }
}

fn tq2_0_decode(block: &[u8], codes: &mut [i8]) {
    for (part, out) in block[..64].chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (plane, out) in out.chunks_exact_mut(32).enumerate() {
            for (code, byte) in out.iter_mut().zip(part) {
                *code = (byte >> (2 * plane) & 3) as i8 - 1;
            }
        }
    }
}

fn tq2_0_encode(codes: &[i8], block: &mut [u8]) {
    for (part, codes) in block[..64].chunks_exact_mut(32).zip(codes.chunks_exact(128)) {
        for (plane, codes) in codes.chunks_exact(32).enumerate() {
            for (byte, code) in part.iter_mut().zip(codes) {
                *byte |= ((code + 1) as u8) << (2 * plane);
            }
        }
    }
}
