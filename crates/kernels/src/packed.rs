//! Packed weights: one resident form of a matrix, from which decode and prefill both run, and how it is made row by row.

use crate::arena::Arena;
use crate::format::{PackedFormat, STRIPE};
use bytemuck::Pod;
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};

/// Columns at most of a ternary matrix ([`PackedFormat::max_k`]).
pub const MAX_K: usize = PackedFormat::T2.max_k();

/// Why weights cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A weight outside the layout's range.
    #[error("weight [{row}, {col}] is {value}; {format} holds {} to {}", format.range().0, format.range().1)]
    Value {
        /// Layout.
        format: PackedFormat,
        /// Row.
        row: usize,
        /// Column.
        col: usize,
        /// What stands there.
        value: i8,
    },
    /// Another number of weights than the shape has.
    #[error("{n} rows of {k} columns need {} weights, but {given} were given",
        n.checked_mul(*k).map_or("more than fit in memory".into(), |w| w.to_string()))]
    Length {
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// Weights given.
        given: usize,
    },
    /// Another number of scales than rows.
    #[error("{given} scales for {n} rows; give one for each row, one for all, or none")]
    Scales {
        /// Rows.
        n: usize,
        /// Scales given.
        given: usize,
    },
    /// More columns than exact 32-bit sums allow.
    #[error("{k} columns are too many for {format}: exact 32-bit sums allow {}", format.max_k())]
    TooWide {
        /// Layout.
        format: PackedFormat,
        /// Columns.
        k: usize,
    },
    /// The layout does not hold such weights.
    #[error("{format} does not hold {what}")]
    Kind {
        /// Layout.
        format: PackedFormat,
        /// What was given.
        what: &'static str,
    },
    /// The packed form does not fit in memory.
    #[error("cannot allocate {bytes} bytes for packed weights")]
    OutOfMemory {
        /// Asked for; `usize::MAX` where the size itself overflows.
        bytes: usize,
    },
}

/// Factors of a whole matrix, multiplied to the exact sums afterwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// No factor.
    None,
    /// One for all rows.
    Tensor(f32),
    /// One for each row.
    Rows(Vec<f32>),
}

impl Scales {
    /// The factor of a row, if there is any.
    ///
    /// # Panics
    /// Where `row` is outside the shape.
    pub fn of(&self, row: usize) -> Option<f32> {
        match self {
            Scales::None => None,
            Scales::Tensor(s) => Some(*s),
            Scales::Rows(all) => Some(all[row]),
        }
    }
}

/// Weights of `n` rows by `k` columns in one of the layouts of [`PackedFormat`], in memory that is aligned to 64 bytes and, where
/// large, in huge pages. Rows are padded to a multiple of 64 and columns to whole steps and blocks, all with weights of 0.
pub struct PackedWeights {
    format: PackedFormat,
    n: usize,
    k: usize,
    stripe: usize,
    scales: Scales,
    arena: Arena,
}

impl PartialEq for PackedWeights {
    fn eq(&self, other: &Self) -> bool {
        (self.format, self.n, self.k, &self.scales, self.bytes())
            == (other.format, other.n, other.k, &other.scales, other.bytes())
    }
}

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedWeights({:?}, {} x {}, {} bytes)", self.format, self.n, self.k, self.arena.len())
    }
}

/// Packs `weights` (`n` rows of `k`, row after row, each -1, 0 or 1) with two bits each.
///
/// # Errors
/// As [`PackedWeights::pack`], and another number of weights than `n * k`.
pub fn pack_t2(n: usize, k: usize, weights: &[i8]) -> Result<PackedWeights, PackError> {
    if n.checked_mul(k) != Some(weights.len()) {
        return Err(PackError::Length { n, k, given: weights.len() });
    }
    PackedWeights::pack(PackedFormat::T2, n, k, Scales::None, |row, out| {
        out.copy_from_slice(&weights[row * k..][..k]);
    })
}

impl PackedWeights {
    /// Packs a matrix of integers into [`PackedFormat::T2`], [`PackedFormat::T3`] or [`PackedFormat::I8`]. `fill` is called once
    /// for each row, ascending, and writes the row's `k` weights: the matrix need not exist unpacked.
    ///
    /// # Errors
    /// Another layout, `k` above [`PackedFormat::max_k`], a value outside [its range](PackError::Value) (its place is named),
    /// another number of scales than rows, or no memory.
    ///
    /// ```
    /// use phalanx_kernels::{PackedFormat, PackedWeights, Scales};
    /// let rows = [[1, 0, -1], [-1, 1, 1]];
    /// let w = PackedWeights::pack(PackedFormat::T3, 2, 3, Scales::Tensor(0.5), |row, out| out.copy_from_slice(&rows[row]))?;
    /// assert_eq!((w.n(), w.k(), w.get(1, 0)), (2, 3, -1));
    /// # Ok::<(), phalanx_kernels::PackError>(())
    /// ```
    pub fn pack(
        format: PackedFormat,
        n: usize,
        k: usize,
        scales: Scales,
        mut fill: impl FnMut(usize, &mut [i8]),
    ) -> Result<PackedWeights, PackError> {
        if format.block().is_some() || format.is_float() {
            return Err(PackError::Kind { format, what: "integers without a scale per block" });
        }
        let mut packed = PackedWeights::empty(format, n, k, scales)?;
        packed.integers(|row, out, _| fill(row, out))?;
        Ok(packed)
    }

    /// Packs a matrix with a scale for each row in each block of columns into [`PackedFormat::T2Blocks`], [`PackedFormat::Q8_0`]
    /// or [`PackedFormat::Q4_0`]. `fill` writes a row's `k` weights and the bits of its f16 scales, one for each block of
    /// [`PackedFormat::block`] columns, the last of which may be shorter.
    ///
    /// # Errors
    /// As [`PackedWeights::pack`].
    pub fn pack_blocks(
        format: PackedFormat,
        n: usize,
        k: usize,
        fill: impl FnMut(usize, &mut [i8], &mut [u16]),
    ) -> Result<PackedWeights, PackError> {
        if format.block().is_none() {
            return Err(PackError::Kind { format, what: "a scale per block" });
        }
        let mut packed = PackedWeights::empty(format, n, k, Scales::None)?;
        packed.integers(fill)?;
        Ok(packed)
    }

    /// Packs a matrix of f32. `fill` writes a row's `k` weights.
    ///
    /// # Errors
    /// As [`PackedWeights::pack`].
    pub fn pack_f32(
        n: usize,
        k: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<PackedWeights, PackError> {
        let mut packed = PackedWeights::empty(PackedFormat::F32, n, k, Scales::None)?;
        packed.elements(|row, out: &mut [f32]| fill(row, out));
        Ok(packed)
    }

    /// Packs a matrix of 16-bit floats, given by their bits, into [`PackedFormat::F16`] or [`PackedFormat::Bf16`].
    ///
    /// # Errors
    /// As [`PackedWeights::pack`].
    pub fn pack_half(
        format: PackedFormat,
        n: usize,
        k: usize,
        mut fill: impl FnMut(usize, &mut [u16]),
    ) -> Result<PackedWeights, PackError> {
        if !matches!(format, PackedFormat::F16 | PackedFormat::Bf16) {
            return Err(PackError::Kind { format, what: "16-bit floats" });
        }
        let mut packed = PackedWeights::empty(format, n, k, Scales::None)?;
        packed.elements(|row, out: &mut [u16]| fill(row, out));
        Ok(packed)
    }

    /// Zeroed memory for a shape.
    fn empty(format: PackedFormat, n: usize, k: usize, scales: Scales) -> Result<PackedWeights, PackError> {
        if k > format.max_k() {
            return Err(PackError::TooWide { format, k });
        }
        if let Scales::Rows(all) = &scales
            && all.len() != n
        {
            return Err(PackError::Scales { n, given: all.len() });
        }
        let stripe = format.stripe_bytes(k);
        let size = stripe.and_then(|s| s.checked_mul(n.div_ceil(STRIPE)));
        let size = size.ok_or(PackError::OutOfMemory { bytes: usize::MAX })?;
        let arena = Arena::new(size).ok_or(PackError::OutOfMemory { bytes: size })?;
        Ok(PackedWeights { format, n, k, stripe: stripe.unwrap_or(0), scales, arena })
    }

    /// A second matrix with the same weights.
    ///
    /// # Errors
    /// No memory.
    pub fn try_clone(&self) -> Result<PackedWeights, PackError> {
        let mut copy = PackedWeights::empty(self.format, self.n, self.k, self.scales.clone())?;
        copy.arena.bytes_mut().copy_from_slice(self.bytes());
        Ok(copy)
    }

    /// Fills an integer layout row by row, padding included.
    fn integers(&mut self, mut fill: impl FnMut(usize, &mut [i8], &mut [u16])) -> Result<(), PackError> {
        let PackedWeights { format, n, k, .. } = *self;
        let (low, high) = format.range();
        let run = format.block().unwrap_or(usize::MAX);
        let blocks = format.block().map_or(0, |block| k.div_ceil(block));
        let mut values = vec![0i8; format.padded(k)];
        let mut scales = vec![0u16; blocks];
        for row in 0..n.next_multiple_of(STRIPE) {
            if row < n {
                fill(row, &mut values[..k], &mut scales);
                // All of them at once, without a way out: that is many times faster than to stop at the first.
                if values.iter().fold(false, |wrong, v| wrong | (*v < low) | (*v > high)) {
                    let col = values.iter().position(|v| !(low..=high).contains(v)).unwrap_or(0);
                    return Err(PackError::Value { format, row, col, value: values[col] });
                }
            } else {
                values.fill(0);
                scales.fill(0);
            }
            let start = row / STRIPE * self.stripe;
            let stripe = &mut self.arena.bytes_mut()[start..][..self.stripe];
            let in_stripe = row % STRIPE;
            for (block, part) in values.chunks(run.min(values.len().max(1))).enumerate() {
                let first = format.step_at(block.saturating_mul(run)) + 4 * in_stripe;
                format.encode_row(part, &mut stripe[first..]);
            }
            for (block, scale) in scales.iter().enumerate() {
                let at = format.scales_at(block * run).unwrap_or(0) + 2 * in_stripe;
                stripe[at..at + 2].copy_from_slice(&scale.to_ne_bytes());
            }
        }
        Ok(())
    }

    /// Fills a float layout, 64 rows at a time; what pads the rows stays 0.
    fn elements<T: Pod>(&mut self, mut fill: impl FnMut(usize, &mut [T])) {
        /// Columns that are turned together: their places in the stripe and a line of each row fit the first cache.
        const TURNED: usize = 32;
        let PackedWeights { n, k, .. } = *self;
        if k == 0 {
            return;
        }
        let mut rows = vec![T::zeroed(); k * STRIPE.min(n)];
        for first in (0..n).step_by(STRIPE) {
            let count = STRIPE.min(n - first);
            for (i, row) in rows.chunks_exact_mut(k).take(count).enumerate() {
                fill(first + i, row);
            }
            let bytes = &mut self.arena.bytes_mut()[first / STRIPE * self.stripe..][..self.stripe];
            // A stripe begins at a multiple of 64 bytes, and a step is one element of each row.
            let out: &mut [T] = bytemuck::cast_slice_mut(bytes);
            for cols in (0..k).step_by(TURNED) {
                let end = k.min(cols + TURNED);
                for (i, row) in rows.chunks_exact(k).take(count).enumerate() {
                    for (col, v) in (cols..end).zip(&row[cols..end]) {
                        out[col * STRIPE + i] = *v;
                    }
                }
            }
        }
    }

    /// The layout.
    pub fn format(&self) -> PackedFormat {
        self.format
    }
    /// Rows, without padding.
    pub fn n(&self) -> usize {
        self.n
    }
    /// Columns, without padding.
    pub fn k(&self) -> usize {
        self.k
    }
    /// The packed bytes, padding included.
    pub fn bytes(&self) -> &[u8] {
        self.arena.bytes()
    }
    /// Factors of the whole matrix.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }
    /// The 64 rows of stripe `i`, padding included.
    pub(crate) fn stripe(&self, i: usize) -> &[u8] {
        &self.bytes()[i * self.stripe..][..self.stripe]
    }

    fn check(&self, row: usize, col: usize) -> &[u8] {
        assert!(row < self.n && col < self.k, "weight [{row}, {col}] of {} x {}", self.n, self.k);
        self.stripe(row / STRIPE)
    }

    /// The integer at `row`, `col`, before any scale.
    ///
    /// # Panics
    /// Where `row` or `col` is outside the shape, or the layout is of floats.
    pub fn get(&self, row: usize, col: usize) -> i8 {
        let stripe = self.check(row, col);
        assert!(!self.format.is_float(), "{} holds no integers", self.format);
        let in_step = col % self.format.step_cols();
        let byte = stripe[self.format.step_at(col) + row % STRIPE * 4 + in_step % 4];
        self.format.decode(byte, in_step / 4)
    }

    /// The bits of the f16 scale of the block that holds `row`, `col`; `None` in a layout without blocks.
    ///
    /// # Panics
    /// Where `row` or `col` is outside the shape.
    pub fn block_scale(&self, row: usize, col: usize) -> Option<u16> {
        let stripe = self.check(row, col);
        let at = self.format.scales_at(col)? + 2 * (row % STRIPE);
        Some(u16::from_ne_bytes([stripe[at], stripe[at + 1]]))
    }

    /// The weight's value: an integer times its block's scale, or a float. The matrix's own [`Scales`] are not applied.
    ///
    /// # Panics
    /// Where `row` or `col` is outside the shape.
    pub fn value(&self, row: usize, col: usize) -> f32 {
        let stripe = self.check(row, col);
        let at = |size: usize| self.format.step_at(col) + row % STRIPE * size;
        let half = || u16::from_ne_bytes([stripe[at(2)], stripe[at(2) + 1]]);
        match self.format {
            PackedFormat::F32 => f32::from_ne_bytes(std::array::from_fn(|i| stripe[at(4) + i])),
            PackedFormat::F16 => f16_to_f32(half()),
            PackedFormat::Bf16 => bf16_to_f32(half()),
            _ => f32::from(self.get(row, col)) * self.block_scale(row, col).map_or(1.0, f16_to_f32),
        }
    }

    /// All integers, row after row, before any scale.
    ///
    /// # Panics
    /// Where the layout is of floats.
    pub fn unpack(&self) -> Vec<i8> {
        (0..self.n).flat_map(|row| (0..self.k).map(move |col| self.get(row, col))).collect()
    }
}
