//! The packed layouts: how many columns share a step, where a weight's byte lies, what a byte means.
//!
//! Every layout is cut into *stripes* of 64 rows. A stripe is a row of *steps* in ascending columns; a step of an integer
//! layout has four bytes for each of the 64 rows, so that a vector register of 16, 32 or 64 bytes sees the same columns of 4, 8
//! or 16 rows, whatever the instruction set. Layouts with a scale per block put the block's 64 scales (f16) before its steps.

use std::fmt;

/// Rows of a stripe.
pub(crate) const STRIPE: usize = 64;
/// Bytes of an integer step: four for each row.
pub(crate) const STEP: usize = 4 * STRIPE;
/// Bytes of a block's scales: an f16 for each row.
pub(crate) const SCALES: usize = 2 * STRIPE;

/// How packed weights are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackedFormat {
    /// Ternary, two bits a weight: bits `2p`, `2p + 1` of byte `j` of a row are the code of column `4p + j` of a step of 16.
    T2,
    /// Ternary, 1.6 bits a weight: byte `j` of a row holds the digits (weight plus 1) of columns `4p + j` of a step of 20 for `p`
    /// below 5. The digit of `p` = 0 is in bits 6 and 7, those of 1 and 2 as a number in base 3 in bits 0 to 2, those of 3 and 4
    /// in bits 3 to 5. Where such a number is 8, bits 6 and 7 are 3, the first digit is in bits 4 and 5, and bits 0 to 3 hold the
    /// number of 3 and 4, or 8 plus the number of 1 and 2; where both are 8, bits 4 to 7 are set and bits 0 and 1 the first digit.
    T3,
    /// [`PackedFormat::T2`] in blocks of 256 columns, each with a scale for each row (TQ1_0, TQ2_0).
    T2Blocks,
    /// Eight bits: byte `j` of a row is column `j` of a step of 4, plus 128.
    I8,
    /// [`PackedFormat::I8`] in blocks of 32 columns, each with a scale for each row.
    Q8_0,
    /// Four bits in blocks of 32 columns, each with a scale for each row: the low half of byte `j` is column `j` of a step of 8,
    /// the high half column `4 + j`, both plus 8.
    Q4_0,
    /// Single precision, a column a step.
    F32,
    /// Half precision, a column a step.
    F16,
    /// The upper half of single precision, a column a step.
    Bf16,
}

/// What a byte of [`PackedFormat::T3`] holds: the first digit in bits 6 and 7, and a byte of [`PackedFormat::T2`] with the others.
/// Bytes that no digits have give something or other.
pub(crate) const FIVE: [[u8; 2]; 256] = {
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        let x = byte as u8;
        let (first, a, b) = match (x >> 6, x >> 4) {
            (_, 15) => (x & 3, 8, 8),
            (3, high) if x & 8 == 0 => (high & 3, 8, x & 7),
            (3, high) => (high & 3, x & 7, 8),
            (first, _) => (first, x & 7, x >> 3 & 7),
        };
        all[byte] = [first << 6, (a % 3) | ((a / 3) << 2) | ((b % 3) << 4) | ((b / 3) << 6)];
        byte += 1;
    }
    all
};

impl PackedFormat {
    /// Every layout.
    pub const ALL: &'static [PackedFormat] = &[
        PackedFormat::T2,
        PackedFormat::T3,
        PackedFormat::T2Blocks,
        PackedFormat::I8,
        PackedFormat::Q8_0,
        PackedFormat::Q4_0,
        PackedFormat::F32,
        PackedFormat::F16,
        PackedFormat::Bf16,
    ];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            PackedFormat::T2 => "t2",
            PackedFormat::T3 => "t3",
            PackedFormat::T2Blocks => "t2-blocks",
            PackedFormat::I8 => "i8",
            PackedFormat::Q8_0 => "q8_0",
            PackedFormat::Q4_0 => "q4_0",
            PackedFormat::F32 => "f32",
            PackedFormat::F16 => "f16",
            PackedFormat::Bf16 => "bf16",
        }
    }

    /// Whether the activations are f32; otherwise they are 8-bit codes.
    pub const fn is_float(self) -> bool {
        matches!(self, PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16)
    }

    /// Columns that share a scale for each row, where the layout has such blocks.
    pub const fn block(self) -> Option<usize> {
        match self {
            PackedFormat::T2Blocks => Some(256),
            PackedFormat::Q8_0 | PackedFormat::Q4_0 => Some(32),
            _ => None,
        }
    }

    /// Columns at most: what keeps every exact sum inside an i32. 2^23 products of at most 128 sum to at most 2^30; products of
    /// two bytes reach 2^14. Layouts with blocks and floats are held to the same size.
    pub const fn max_k(self) -> usize {
        match self {
            PackedFormat::I8 => (1 << 17) - 1,
            _ => 1 << 23,
        }
    }

    /// Columns of a step.
    pub(crate) const fn step_cols(self) -> usize {
        match self {
            PackedFormat::T2 | PackedFormat::T2Blocks => 16,
            PackedFormat::T3 => 20,
            PackedFormat::I8 | PackedFormat::Q8_0 => 4,
            PackedFormat::Q4_0 => 8,
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => 1,
        }
    }

    /// Bytes of a step.
    pub(crate) const fn step_bytes(self) -> usize {
        match self {
            PackedFormat::F16 | PackedFormat::Bf16 => 2 * STRIPE,
            _ => STEP,
        }
    }

    /// `k` with the columns that fill up its last step or block.
    pub(crate) fn padded(self, k: usize) -> usize {
        k.next_multiple_of(self.block().unwrap_or(self.step_cols()))
    }

    /// Bytes of a stripe of `k` columns; `None` where that overflows.
    pub(crate) fn stripe_bytes(self, k: usize) -> Option<usize> {
        let steps = self.padded(k) / self.step_cols();
        let scales = self.block().map_or(0, |block| k.div_ceil(block) * SCALES);
        steps.checked_mul(self.step_bytes())?.checked_add(scales)
    }

    /// Where the step of column `col` begins in its stripe.
    pub(crate) fn step_at(self, col: usize) -> usize {
        let scales = self.block().map_or(0, |block| (col / block + 1) * SCALES);
        col / self.step_cols() * self.step_bytes() + scales
    }

    /// Where the scales of column `col`'s block begin in a stripe, in a layout with blocks.
    pub(crate) fn scales_at(self, col: usize) -> Option<usize> {
        let block = self.block()?;
        let first = col / block * block;
        Some(self.step_at(first) - SCALES)
    }

    /// A row's four bytes of one step from `step_cols` values, each in the layout's range.
    pub(crate) fn encode(self, values: &[i8]) -> [u8; 4] {
        std::array::from_fn(|j| {
            let v = |p: usize| i32::from(values[4 * p + j]);
            let byte = match self {
                PackedFormat::T2 | PackedFormat::T2Blocks => {
                    (v(0) + 1) | (v(1) + 1) << 2 | (v(2) + 1) << 4 | (v(3) + 1) << 6
                }
                PackedFormat::T3 => {
                    let digit = |p: usize| v(p) + 1;
                    match (digit(1) + 3 * digit(2), digit(3) + 3 * digit(4)) {
                        (8, 8) => 0xf0 | digit(0),
                        (8, b) => 0xc0 | digit(0) << 4 | b,
                        (a, 8) => 0xc8 | digit(0) << 4 | a,
                        (a, b) => digit(0) << 6 | b << 3 | a,
                    }
                }
                PackedFormat::Q4_0 => (v(0) + 8) | (v(1) + 8) << 4,
                _ => v(0) + 128,
            };
            byte as u8
        })
    }

    /// A row's bytes of the steps of `values`, whole steps in the layout's range: four bytes at each multiple of a step's size.
    /// As [`PackedFormat::encode`] for each step, with four columns to a word.
    pub(crate) fn encode_row(self, values: &[i8], stripe: &mut [u8]) {
        match self {
            PackedFormat::T2 | PackedFormat::T2Blocks => {
                words(values, stripe, 1, |w: [u32; 4]| w[0] | w[1] << 2 | w[2] << 4 | w[3] << 6)
            }
            PackedFormat::Q4_0 => words(values, stripe, 8, |w: [u32; 2]| w[0] | w[1] << 4),
            PackedFormat::I8 | PackedFormat::Q8_0 => words(values, stripe, -128, |[w]: [u32; 1]| w),
            _ => {
                for (part, step) in values.chunks_exact(self.step_cols()).zip(stripe.chunks_mut(STEP)) {
                    step[..4].copy_from_slice(&self.encode(part));
                }
            }
        }
    }

    /// The value in plane `p` of an integer layout's byte.
    pub(crate) fn decode(self, byte: u8, p: usize) -> i8 {
        let value = match self {
            PackedFormat::T2 | PackedFormat::T2Blocks => i32::from(byte >> (2 * p) & 3) - 1,
            PackedFormat::T3 => {
                let [first, others] = FIVE[usize::from(byte)];
                let digit = if p == 0 { first >> 6 } else { others >> (2 * (p - 1)) & 3 };
                i32::from(digit) - 1
            }
            PackedFormat::Q4_0 => i32::from(byte >> (4 * p) & 15) - 8,
            _ => i32::from(byte) - 128,
        };
        value as i8
    }

    /// The range of an integer layout's values.
    pub(crate) fn range(self) -> (i8, i8) {
        match self {
            PackedFormat::T2 | PackedFormat::T2Blocks | PackedFormat::T3 => (-1, 1),
            PackedFormat::Q4_0 => (-8, 7),
            _ => (-128, 127),
        }
    }
}

/// Makes each step's word of `P` words of four columns, `zero` added to each value.
fn words<const P: usize>(values: &[i8], stripe: &mut [u8], zero: i8, join: impl Fn([u32; P]) -> u32) {
    let zeros = u32::from_ne_bytes([zero as u8; 4]);
    for (part, step) in values.chunks_exact(4 * P).zip(stripe.chunks_mut(STEP)) {
        let mut word = [0; P];
        // A loop: `array::map` with a closure of this size becomes a call for each word.
        for (word, four) in word.iter_mut().zip(part.as_chunks::<4>().0) {
            *word = add_bytes(u32::from_le_bytes(four.map(|v| v as u8)), zeros);
        }
        step[..4].copy_from_slice(&join(word).to_le_bytes());
    }
}

/// Sums of bytes, without carries between them.
fn add_bytes(a: u32, b: u32) -> u32 {
    const TOP: u32 = 0x8080_8080;
    ((a & !TOP) + (b & !TOP)) ^ ((a ^ b) & TOP)
}

impl fmt::Display for PackedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_integer_layout_comes_back_from_every_place() {
        for format in PackedFormat::ALL.iter().copied().filter(|f| !f.is_float()) {
            let (low, high) = format.range();
            let mut values = vec![0i8; format.step_cols()];
            for place in 0..values.len() {
                for other in [low, 0, high] {
                    values.fill(other);
                    for value in low..=high {
                        values[place] = value;
                        let bytes = format.encode(&values);
                        let back: Vec<i8> =
                            (0..values.len()).map(|c| format.decode(bytes[c % 4], c / 4)).collect();
                        assert_eq!(back, values, "{format}");
                        let mut row = [0; 4];
                        format.encode_row(&values, &mut row);
                        assert_eq!(row, bytes, "{format}");
                    }
                }
            }
        }
    }

    #[test]
    fn steps_follow_each_other_and_fill_the_stripe() {
        for format in PackedFormat::ALL.iter().copied() {
            for k in [0, 1, 3, 16, 31, 32, 33, 255, 256, 257, 1000] {
                let cols = format.step_cols();
                let mut at = 0;
                for col in (0..format.padded(k)).step_by(cols) {
                    if format.block().is_some_and(|b| col % b == 0) {
                        assert_eq!(format.scales_at(col), Some(at), "{format}");
                        at += SCALES;
                    }
                    assert_eq!(format.step_at(col), at, "{format}");
                    assert_eq!(format.step_at(col + cols - 1), at, "{format}");
                    at += format.step_bytes();
                }
                assert_eq!(format.stripe_bytes(k), Some(at), "{format} {k}");
            }
        }
    }
}
