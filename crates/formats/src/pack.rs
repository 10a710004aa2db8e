//! Matrices of files in the resident forms that the products run from.

use crate::write::{away_from_zero, q4_0};
use crate::{Format, Matrix, Scaling};
use phalanx_kernels::{PackError, PackedFormat, PackedWeights, Scales};
use phalanx_simd::half::{f32_to_bf16, f32_to_f16};

impl Format {
    /// The packed layout that holds a matrix of this format without loss; of several the one whose products are fastest. Q6_K
    /// has none with its two levels of scales: f32 holds its values.
    pub const fn packed(self) -> PackedFormat {
        match self {
            Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => PackedFormat::T2,
            Format::Tq1_0 | Format::Tq2_0 => PackedFormat::T2Blocks,
            Format::I8 => PackedFormat::I8,
            Format::Q8_0 => PackedFormat::Q8_0,
            Format::Q4_0 => PackedFormat::Q4_0,
            Format::F16 => PackedFormat::F16,
            Format::Bf16 => PackedFormat::Bf16,
            Format::F32 | Format::Q6K => PackedFormat::F32,
        }
    }
}

impl Matrix<'_> {
    /// Packs the matrix, a row at a time. Layouts of integers take codes and scales as they are; f32, f16, bf16, Q8_0 and Q4_0 also
    /// take any other format's values, rounded as [`crate::quantise`] rounds them.
    ///
    /// # Errors
    /// A layout that does not hold such a matrix, a code that the layout does not hold (its place is named: bits that the file's
    /// format does not use), or no memory.
    pub fn pack(&self, to: PackedFormat) -> Result<PackedWeights, PackError> {
        self.pack_watched(to, &mut |_| ())
    }

    /// As [`Matrix::pack`]; `watch` is told each row before it is read, ascending.
    ///
    /// # Errors
    /// As [`Matrix::pack`].
    pub fn pack_watched(
        &self,
        to: PackedFormat,
        watch: &mut dyn FnMut(usize),
    ) -> Result<PackedWeights, PackError> {
        let (n, k) = (self.n(), self.k());
        let same = self.format().packed() == to && self.format() != Format::Q6K;
        let refuse = |what| Err(PackError::Kind { format: to, what });
        match to {
            PackedFormat::T2 | PackedFormat::T3 => {
                if !self.format().is_ternary() || self.format().scaling() != Scaling::Tensor {
                    return refuse("anything but ternary weights with one scale for the matrix");
                }
                let scale = if n * k == 0 { 1.0 } else { self.scale(0, 0) };
                PackedWeights::pack(to, n, k, Scales::Tensor(scale), |row, out| {
                    watch(row);
                    self.codes(row, out);
                })
            }
            PackedFormat::I8 => {
                if self.format() != Format::I8 {
                    return refuse("anything but 8-bit integers with a scale for each row");
                }
                let scales = (0..n).map(|row| if k == 0 { 1.0 } else { self.scale(row, 0) }).collect();
                PackedWeights::pack(to, n, k, Scales::Rows(scales), |row, out| {
                    watch(row);
                    self.codes(row, out);
                })
            }
            PackedFormat::T2Blocks if !same => {
                refuse("anything but ternary weights with a scale for each 256 columns")
            }
            PackedFormat::T2Blocks => self.blocks(to, watch),
            PackedFormat::Q8_0 | PackedFormat::Q4_0 if same => self.blocks(to, watch),
            PackedFormat::Q8_0 | PackedFormat::Q4_0 => {
                let cols = 32;
                let mut values = vec![0f32; k];
                PackedWeights::pack_blocks(to, n, k, |row, codes, scales| {
                    watch(row);
                    self.values(row, &mut values);
                    let blocks = values.chunks(cols).zip(codes.chunks_mut(cols));
                    for ((x, q), scale) in blocks.zip(scales) {
                        *scale = f32_to_f16(match to {
                            PackedFormat::Q8_0 => away_from_zero(x, q, 127.0),
                            _ => q4_0(x, q),
                        });
                    }
                })
            }
            PackedFormat::F16 | PackedFormat::Bf16 if same => {
                PackedWeights::pack_half(to, n, k, |row, out| {
                    watch(row);
                    self.halves(row, out);
                })
            }
            PackedFormat::F16 | PackedFormat::Bf16 => {
                let round = if to == PackedFormat::F16 { f32_to_f16 } else { f32_to_bf16 };
                let mut values = vec![0f32; k];
                PackedWeights::pack_half(to, n, k, |row, out| {
                    watch(row);
                    self.values(row, &mut values);
                    out.iter_mut().zip(&values).for_each(|(out, v)| *out = round(*v));
                })
            }
            PackedFormat::F32 => PackedWeights::pack_f32(n, k, |row, out| {
                watch(row);
                self.values(row, out);
            }),
        }
    }

    /// Codes and block scales as they are.
    fn blocks(&self, to: PackedFormat, watch: &mut dyn FnMut(usize)) -> Result<PackedWeights, PackError> {
        PackedWeights::pack_blocks(to, self.n(), self.k(), |row, codes, scales| {
            watch(row);
            self.codes(row, codes);
            self.block_scales(row, scales);
        })
    }
}
