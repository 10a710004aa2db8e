//! A view of bytes as a matrix.

use crate::blocks::{self, Blocks};
use crate::{Format, FormatError, Tl2, i2s};
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};

/// What a scale belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// No scales: the elements are floats.
    None,
    /// One for the matrix.
    Tensor,
    /// One for each row.
    Row,
    /// One for each run of this many columns in a row.
    Block(usize),
}

/// `n` rows of `k` columns in a file's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    format: Format,
    n: usize,
    k: usize,
    bytes: &'a [u8],
    /// Scales of the matrix or its rows.
    scales: Option<&'a [f32]>,
    /// The scale that stands with the codes.
    own: f32,
}

impl Format {
    pub(crate) const fn blocks(self) -> Option<&'static Blocks> {
        match self {
            Format::Q4_0 => Some(&blocks::Q4_0),
            Format::Q8_0 => Some(&blocks::Q8_0),
            Format::Q6K => Some(&blocks::Q6_K),
            Format::Tq1_0 => Some(&blocks::TQ1_0),
            Format::Tq2_0 => Some(&blocks::TQ2_0),
            _ => None,
        }
    }

    /// Where the scale of a format with one for the matrix stands.
    pub(crate) fn scale_at(self, n: usize, k: usize) -> usize {
        match self {
            Format::Tl2(_) => Tl2::scale_at(n, k),
            _ => n * k / 4,
        }
    }
}

impl<'a> Matrix<'a> {
    /// A view of `bytes`, which may be longer than the matrix. `scales` are those that stand elsewhere in the file: one for each row
    /// of [`Format::I8`]; one for I2_S, TL1 and TL2, where it takes the place of the one after the codes.
    ///
    /// # Errors
    /// A shape that the format cannot hold, too few bytes, or another number of scales than the format has.
    pub fn new(
        format: Format,
        n: usize,
        k: usize,
        bytes: &'a [u8],
        scales: Option<&'a [f32]>,
    ) -> Result<Matrix<'a>, FormatError> {
        let mut expected = format.bytes(n, k)?;
        let count = match format.scaling() {
            Scaling::Row => Some(n),
            Scaling::Tensor => {
                // Nothing after the scale is read, and files that keep the scale elsewhere may end before it.
                expected -= if scales.is_some() { i2s::TAIL } else { i2s::TAIL - 4 };
                scales.map(|_| 1)
            }
            Scaling::None | Scaling::Block(_) => scales.map(|_| 0),
        };
        if count.is_some_and(|c| c != scales.map_or(0, <[f32]>::len)) {
            let found = scales.map_or(0, <[f32]>::len);
            return Err(FormatError::Scales { format, expected: count.unwrap_or(0), found });
        }
        if bytes.len() < expected {
            return Err(FormatError::Bytes { format, n, k, expected, found: bytes.len() });
        }
        let own = match (format.scaling(), scales) {
            (Scaling::Tensor, None) => {
                let at = format.scale_at(n, k);
                f32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
            }
            _ => 1.0,
        };
        Ok(Matrix { format, n, k, bytes, scales, own })
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }
    /// Rows.
    pub fn n(&self) -> usize {
        self.n
    }
    /// Columns.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The bytes of a row, in formats where rows follow each other.
    fn row_bytes(&self, row: usize) -> &'a [u8] {
        let (cols, bytes) = self.format.block();
        let size = self.k / cols * bytes;
        &self.bytes[row * size..][..size]
    }

    fn check(&self, row: usize, given: usize) {
        assert!(
            row < self.n && given == self.k,
            "row {row} of {} with {given} of {} columns",
            self.n,
            self.k
        );
    }

    /// A row's integer codes. Bits that the format does not use come out as a code outside [`Format::range`] (2 in a ternary
    /// format): whoever packs them refuses them.
    ///
    /// # Panics
    /// Where the row is outside the shape, `codes` is not `k` long, or the format is of floats.
    pub fn codes(&self, row: usize, codes: &mut [i8]) {
        self.check(row, codes.len());
        match self.format {
            Format::F32 | Format::F16 | Format::Bf16 => panic!("{} has no codes", self.format),
            Format::I8 => {
                for (code, byte) in codes.iter_mut().zip(self.row_bytes(row)) {
                    *code = *byte as i8;
                }
            }
            Format::I2S(layout) => layout.decode(self.bytes, self.k, row, codes),
            Format::Tl1(t) => t.decode(self.bytes, self.k, row, codes),
            Format::Tl2(t) => t.decode(self.bytes, (self.n, self.k), row, codes),
            Format::Q4_0 | Format::Q8_0 | Format::Q6K | Format::Tq1_0 | Format::Tq2_0 => {
                if let Some(b) = self.format.blocks() {
                    let blocks = self.row_bytes(row).chunks_exact(b.bytes);
                    for (block, codes) in blocks.zip(codes.chunks_exact_mut(b.cols)) {
                        (b.decode)(block, codes);
                    }
                }
            }
        }
    }

    /// The factor of the code at `row`, `col`; 1 for floats.
    ///
    /// # Panics
    /// Where `row` or `col` is outside the shape.
    pub fn scale(&self, row: usize, col: usize) -> f32 {
        assert!(row < self.n && col < self.k, "[{row}, {col}] of {} x {}", self.n, self.k);
        match (self.format.scaling(), self.format.blocks()) {
            (Scaling::None, _) => 1.0,
            (Scaling::Tensor, _) => self.scales.map_or(self.own, |s| s[0]),
            (Scaling::Row, _) => self.scales.map_or(1.0, |s| s[row]),
            (Scaling::Block(_), Some(b)) => {
                let block = &self.row_bytes(row)[col / b.cols * b.bytes..][..b.bytes];
                match self.format {
                    Format::Q6K => b.scale(block) * f32::from(block[192 + col % b.cols / 16] as i8),
                    _ => b.scale(block),
                }
            }
            (Scaling::Block(_), None) => 1.0,
        }
    }

    /// The bits of a row's f16 scales, one for each block, in a format with one for each block.
    ///
    /// # Panics
    /// Where the row is outside the shape, the format has no such scales ([`Format::Q6K`] has two levels of them), or `bits` is not
    /// as long as the row has blocks.
    pub fn block_scales(&self, row: usize, bits: &mut [u16]) {
        let blocks = self.format.blocks().filter(|_| self.format != Format::Q6K);
        let b = blocks.unwrap_or_else(|| panic!("{} has no f16 scale for each block", self.format));
        assert!(row < self.n && bits.len() == self.k / b.cols, "{} scales of row {row}", bits.len());
        for (bits, block) in bits.iter_mut().zip(self.row_bytes(row).chunks_exact(b.bytes)) {
            *bits = u16::from_le_bytes([block[b.scale_at], block[b.scale_at + 1]]);
        }
    }

    /// The bits of a row of 16-bit floats.
    ///
    /// # Panics
    /// Where the row is outside the shape, `bits` is not `k` long, or the format is another.
    pub fn halves(&self, row: usize, bits: &mut [u16]) {
        self.check(row, bits.len());
        assert!(matches!(self.format, Format::F16 | Format::Bf16), "{} holds no 16-bit floats", self.format);
        for (bits, two) in bits.iter_mut().zip(self.row_bytes(row).chunks_exact(2)) {
            *bits = u16::from_le_bytes([two[0], two[1]]);
        }
    }

    /// A row as f32: the code times its scale, rounded once (Q6_K: the two scales' product rounded, then times the code).
    ///
    /// # Panics
    /// Where the row is outside the shape or `out` is not `k` long.
    pub fn values(&self, row: usize, out: &mut [f32]) {
        self.check(row, out.len());
        let halves = |out: &mut [f32], convert: fn(u16) -> f32| {
            for (v, two) in out.iter_mut().zip(self.row_bytes(row).chunks_exact(2)) {
                *v = convert(u16::from_le_bytes([two[0], two[1]]));
            }
        };
        match self.format {
            Format::F32 => {
                for (v, four) in out.iter_mut().zip(self.row_bytes(row).chunks_exact(4)) {
                    *v = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                }
            }
            Format::F16 => halves(out, f16_to_f32),
            Format::Bf16 => halves(out, bf16_to_f32),
            _ => {
                let mut codes = vec![0i8; self.k];
                self.codes(row, &mut codes);
                let run = match self.format.scaling() {
                    Scaling::Block(cols) => cols,
                    _ => self.k.max(1),
                };
                for (i, (out, codes)) in out.chunks_mut(run).zip(codes.chunks(run)).enumerate() {
                    let scale = self.scale(row, i * run);
                    for (v, code) in out.iter_mut().zip(codes) {
                        *v = f32::from(*code) * scale;
                    }
                }
            }
        }
    }
}
