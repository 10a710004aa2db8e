//! Ternary weights, two bits each.

/// Columns at most: 2^23 products of at most 128 in size sum to at most 2^30, and fit an i32 even where a body adds them with
/// the codes' zero point (twice that) before it corrects.
pub const MAX_K: usize = 1 << 23;

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 64;
/// Columns of a tile.
pub(crate) const TILE_COLS: usize = 16;
/// Bytes of a tile: 64 * 16 weights of two bits.
pub(crate) const TILE_BYTES: usize = TILE_ROWS * TILE_COLS / 4;
/// Four weights of value 0: code 1 in every plane.
const ZEROS: u8 = 0b01_01_01_01;

/// How packed weights are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackedFormat {
    /// Ternary, two bits a weight, tiles of 64 rows by 16 columns.
    T2,
}

/// Why weights cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A weight that is not -1, 0 or 1.
    #[error("weight [{row}, {col}] is {value}; ternary weights are -1, 0 or 1")]
    Value {
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
    /// More columns than exact 32-bit sums allow.
    #[error("{k} columns are too many: exact 32-bit sums allow {MAX_K}")]
    TooWide {
        /// Columns.
        k: usize,
    },
    /// The packed form does not fit in memory.
    #[error("cannot allocate {bytes} bytes for packed weights")]
    OutOfMemory {
        /// Asked for; `usize::MAX` where the size itself overflows.
        bytes: usize,
    },
}

/// Ternary weights of `n` rows by `k` columns in the layout "T2-64x16".
///
/// Bytes are indexed `[n / 64][k / 16][rb][row][j]` with `rb` below 4 (groups of 16 rows), `row` below 16 and `j` below 4. A
/// byte holds four weights of one row: its bits `2p` and `2p + 1` are the code of column `16 * kc + 4 * p + j`. The codes 0, 1
/// and 2 stand for -1, 0 and 1. Rows are padded to a multiple of 64 and columns to a multiple of 16, both with code 1, so that
/// padding never contributes. One vector register of 16, 32 or 64 bytes thus sees 4, 8 or 16 rows and the same four columns of
/// each, whatever the instruction set.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedWeights {
    format: PackedFormat,
    n: usize,
    k: usize,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedWeights({:?}, {} x {}, {} bytes)", self.format, self.n, self.k, self.bytes.len())
    }
}

/// Packs `weights` (`n` rows of `k`, row after row, each -1, 0 or 1).
///
/// # Errors
/// Another number of weights than `n * k`, `k` above [`MAX_K`], a value that is not ternary (its place is named), or no memory.
///
/// ```
/// let w = phalanx_kernels::pack_t2(2, 3, &[1, 0, -1, -1, 1, 1])?;
/// let mut sums = [0; 2];
/// phalanx_kernels::ternary_rows(&w, &[10, 20, 30], 0, &mut sums);
/// assert_eq!(sums, [-20, 40]);
/// # Ok::<(), phalanx_kernels::PackError>(())
/// ```
pub fn pack_t2(n: usize, k: usize, weights: &[i8]) -> Result<PackedWeights, PackError> {
    if n.checked_mul(k) != Some(weights.len()) {
        return Err(PackError::Length { n, k, given: weights.len() });
    }
    if k > MAX_K {
        return Err(PackError::TooWide { k });
    }
    let tiles = n.div_ceil(TILE_ROWS).checked_mul(k.div_ceil(TILE_COLS));
    let size = tiles.and_then(|t| t.checked_mul(TILE_BYTES));
    let size = size.ok_or(PackError::OutOfMemory { bytes: usize::MAX })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| PackError::OutOfMemory { bytes: size })?;
    bytes.resize(size, ZEROS);
    let mut packed = PackedWeights { format: PackedFormat::T2, n, k, bytes };
    for (i, &value) in weights.iter().enumerate() {
        let (row, col) = (i / k, i % k);
        let code = match value {
            -1 => 0,
            0 => 1,
            1 => 2,
            _ => return Err(PackError::Value { row, col, value }),
        };
        let (byte, shift) = packed.place(row, col);
        let b = &mut packed.bytes[byte];
        *b = *b & !(3 << shift) | code << shift;
    }
    Ok(packed)
}

impl PackedWeights {
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
        &self.bytes
    }

    /// Tiles side by side in a stripe of 64 rows.
    pub(crate) fn tiles_per_stripe(&self) -> usize {
        self.k.div_ceil(TILE_COLS)
    }

    /// Byte index and bit shift of a weight's code.
    fn place(&self, row: usize, col: usize) -> (usize, usize) {
        let tile = row / TILE_ROWS * self.tiles_per_stripe() + col / TILE_COLS;
        let (in_tile, in_col) = (row % TILE_ROWS, col % TILE_COLS);
        (tile * TILE_BYTES + in_tile * 4 + in_col % 4, in_col / 4 * 2)
    }

    /// The weight at `row`, `col`.
    ///
    /// # Panics
    /// Where `row` or `col` is outside the shape.
    pub fn get(&self, row: usize, col: usize) -> i8 {
        assert!(row < self.n && col < self.k, "weight [{row}, {col}] of {} x {}", self.n, self.k);
        let (byte, shift) = self.place(row, col);
        (self.bytes[byte] >> shift & 3) as i8 - 1
    }

    /// All weights, row after row, as [`pack_t2`] takes them.
    pub fn unpack(&self) -> Vec<i8> {
        (0..self.n).flat_map(|row| (0..self.k).map(move |col| self.get(row, col))).collect()
    }
}
