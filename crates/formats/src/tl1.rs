//! TL1: pairs of ternary weights as numbers below 9, two to a byte, in tiles that a table look-up kernel for Arm walks.
//!
//! A byte holds four columns of one row. From the outside in, bytes are ordered by tile of `rows` rows, tile of `cols` columns,
//! strip of `strip` rows, group of `256 / strip` columns, 16 rows, four columns, row.

/// Tiles of TL1, which its writer fixes for each shape and no file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tl1 {
    /// Rows of an outer tile ("BM").
    pub rows: usize,
    /// Columns of an outer tile ("BK").
    pub cols: usize,
    /// Rows of a strip, 32 or 64 ("bm").
    pub strip: usize,
}

/// The tiles of models that exist: rows and columns of the matrix, then rows, columns and strip of its tiles.
const PRESETS: &[[usize; 5]] = &[
    // bitnet_b1_58-3B
    [3200, 8640, 160, 64, 32],
    [3200, 3200, 320, 128, 64],
    [8640, 3200, 320, 64, 32],
    // bitnet_b1_58-large
    [1536, 4096, 256, 128, 32],
    [1536, 1536, 128, 64, 64],
    [4096, 1536, 256, 128, 32],
    // Llama3-8B-1.58
    [14336, 4096, 256, 128, 64],
    [4096, 14336, 256, 128, 32],
    [1024, 4096, 128, 64, 64],
    [4096, 4096, 128, 64, 32],
];

impl Tl1 {
    /// The tiles for a matrix of `n` rows by `k` columns: its preset, or else the largest of the usual ones that divide it. Where
    /// none does, tiles that [`crate::Format::bytes`] refuses with the reason.
    pub fn for_shape(n: usize, k: usize) -> Tl1 {
        if let Some([_, _, rows, cols, strip]) = PRESETS.iter().find(|p| p[..2] == [n, k]) {
            return Tl1 { rows: *rows, cols: *cols, strip: *strip };
        }
        let largest = |of: usize, choices: &[usize]| {
            choices.iter().copied().find(|c| of.is_multiple_of(*c)).unwrap_or(choices[choices.len() - 1])
        };
        Tl1 {
            rows: largest(n, &[320, 256, 160, 128, 64, 32]),
            cols: largest(k, &[128, 64, 32, 16, 8]),
            strip: 32,
        }
    }

    /// Columns of a group.
    fn group(&self) -> usize {
        256 / self.strip
    }

    pub(crate) fn check(&self, n: usize, k: usize) -> Result<(), String> {
        let Tl1 { rows, cols, strip } = *self;
        if !matches!(strip, 32 | 64) {
            return Err(format!("strips have 32 or 64 rows, not {strip}"));
        }
        if rows == 0 || !rows.is_multiple_of(strip) || !n.is_multiple_of(rows) {
            return Err(format!(
                "tiles of {rows} rows (of strips of {strip}) do not divide {n}; rows must be padded"
            ));
        }
        let group = self.group();
        if cols == 0 || !cols.is_multiple_of(group) || !k.is_multiple_of(cols) {
            return Err(format!(
                "tiles of {cols} columns (of groups of {group}) do not divide {k}; columns must be padded"
            ));
        }
        Ok(())
    }

    /// Calls `f` with the byte and the first of its four columns, for all bytes of a row.
    fn walk(&self, k: usize, row: usize, mut f: impl FnMut(usize, usize)) {
        let Tl1 { rows, cols, strip } = *self;
        let group = self.group();
        let (tile, strip_at, sixteen, in_16) = (row / rows, row % rows / strip, row % strip / 16, row % 16);
        for col_tile in 0..k / cols {
            let strip_start = (tile * (k / cols) + col_tile) * (rows / strip) + strip_at;
            for g in 0..cols / group {
                let start = ((strip_start * (cols / group) + g) * (strip / 16) + sixteen) * (group / 4);
                for four in 0..group / 4 {
                    f((start + four) * 16 + in_16, col_tile * cols + g * group + 4 * four);
                }
            }
        }
    }

    /// A row's codes.
    pub(crate) fn decode(&self, bytes: &[u8], k: usize, row: usize, codes: &mut [i8]) {
        self.walk(k, row, |at, col| {
            codes[col..col + 4].copy_from_slice(&from_pairs(bytes[at]));
        });
    }

    /// Sets a row's bytes.
    pub(crate) fn encode(&self, bytes: &mut [u8], k: usize, row: usize, codes: &[i8]) {
        self.walk(k, row, |at, col| bytes[at] = to_pairs(&codes[col..col + 4]));
    }
}

/// Four weights as a byte of two pairs, the first in the high half.
pub(crate) fn to_pairs(w: &[i8]) -> u8 {
    let pair = |a: i8, b: i8| (3 * a + b + 4) as u8;
    pair(w[0], w[1]) << 4 | pair(w[2], w[3])
}

/// The reverse. A number above 8 comes out as weights of 2, which no ternary reader takes.
pub(crate) fn from_pairs(byte: u8) -> [i8; 4] {
    let pair = |v: u8| if v > 8 { [2, 2] } else { [(v / 3) as i8 - 1, (v % 3) as i8 - 1] };
    let ([a, b], [c, d]) = (pair(byte >> 4), pair(byte & 15));
    [a, b, c, d]
}
