//! TL2: triples of ternary weights as a size below 14 (four bits) and a sign, in tiles that a table look-up kernel for x86 walks;
//! columns that fill no tile follow as pairs, as in TL1.
//!
//! Three parts: sizes, two triples of a row to a byte; signs, a 16-bit word for eight triples of rows `r` and `r + 16`; pairs,
//! two to a byte. In each, bytes are ordered by tile of `rows` rows, tile of columns, strip of 32 rows, step, row. Rows 8 to 15
//! and 16 to 23 of a strip change places among the sizes and pairs.

use crate::tl1::{from_pairs, to_pairs};

/// Tiles of TL2, which its writer fixes for each shape and no file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tl2 {
    /// Rows of an outer tile ("BM").
    pub rows: usize,
    /// Columns of an outer tile of triples ("BK").
    pub cols: usize,
}

/// Rows of a strip.
const STRIP: usize = 32;
/// Columns of a tile of pairs.
const PAIR_COLS: usize = 32;
/// The tiles of models that exist: rows and columns of the matrix, then rows and columns of its tiles.
const PRESETS: &[[usize; 4]] = &[
    // bitnet_b1_58-3B
    [3200, 8640, 160, 96],
    [3200, 3200, 320, 96],
    [8640, 3200, 320, 96],
    // bitnet_b1_58-large
    [1536, 4096, 256, 96],
    [1536, 1536, 128, 192],
    [4096, 1536, 256, 96],
    // Llama3-8B-1.58
    [14336, 4096, 256, 96],
    [4096, 14336, 128, 96],
    [1024, 4096, 256, 96],
    [4096, 4096, 128, 96],
];

impl Tl2 {
    /// The tiles for a matrix of `n` rows by `k` columns: its preset, or else the largest of the usual ones that divide it. Where
    /// none does, tiles that [`crate::Format::bytes`] refuses with the reason.
    pub fn for_shape(n: usize, k: usize) -> Tl2 {
        if let Some([_, _, rows, cols]) = PRESETS.iter().find(|p| p[..2] == [n, k]) {
            return Tl2 { rows: *rows, cols: *cols };
        }
        let rows = [320, 256, 160, 128, 64].into_iter().find(|c| n.is_multiple_of(*c)).unwrap_or(STRIP);
        Tl2 { rows, cols: 96 }
    }

    pub(crate) fn check(&self, n: usize, k: usize) -> Result<(), String> {
        let Tl2 { rows, cols } = *self;
        if rows == 0 || !rows.is_multiple_of(STRIP) || !n.is_multiple_of(rows) {
            return Err(format!(
                "tiles of {rows} rows (of strips of {STRIP}) do not divide {n}; rows must be padded"
            ));
        }
        if !matches!(cols, 96 | 192) {
            return Err(format!("tiles of triples have 96 or 192 columns, not {cols}"));
        }
        if !(k % cols).is_multiple_of(PAIR_COLS) {
            return Err(format!(
                "after tiles of {cols} columns {} are left, no multiple of {PAIR_COLS}; columns must be padded",
                k % cols
            ));
        }
        Ok(())
    }

    /// Where the scale stands: after as many bytes as 256 columns of pairs and triples elsewhere would take, whatever the split,
    /// in whole lines of 32 bytes. That is the size that readers of such files compute.
    pub(crate) fn scale_at(n: usize, k: usize) -> usize {
        let (n, k) = (n as i128, k as i128);
        let bytes = ((k - 256) * n).div_euclid(3) * 5;
        let bytes = bytes.div_euclid(8) + 64 * n;
        usize::try_from(bytes.max(0)).map_or(usize::MAX, |b| b.next_multiple_of(32))
    }

    /// Calls `triples` with the byte of two triples, their first column, the bytes of their signs' word and the bit of the first
    /// (the second's is two below); then `pairs` with the byte of two pairs and their first column.
    fn walk(
        &self,
        n: usize,
        k: usize,
        row: usize,
        mut triples: impl FnMut(usize, usize, usize, u32),
        mut pairs: impl FnMut(usize, usize),
    ) {
        let Tl2 { rows, cols } = *self;
        let (tile, strip, r) = (row / rows, row % rows / STRIP, row % STRIP);
        let place = match r / 8 {
            1 => r + 8,
            2 => r - 8,
            _ => r,
        };
        let tiles = k / cols;
        let three = tiles * cols;
        let strips = rows / STRIP;
        for t in 0..tiles {
            let start = (tile * tiles + t) * strips + strip;
            for step in 0..cols / 6 {
                let at = (start * (cols / 6) + step) * STRIP + place;
                let word = (start * (cols / 24) + step / 4) * STRIP + 2 * (r % 16);
                let bit = 15 - 4 * (step % 4) - r / 16;
                triples(at, t * cols + 6 * step, n * three / 6 + word, bit as u32);
            }
        }
        let tiles = (k - three) / PAIR_COLS;
        for t in 0..tiles {
            let start = (tile * tiles + t) * strips + strip;
            for step in 0..PAIR_COLS / 4 {
                let at = (start * (PAIR_COLS / 4) + step) * STRIP + place;
                pairs(n * three / 6 + n * three / 24 + at, three + t * PAIR_COLS + 4 * step);
            }
        }
    }

    /// A row's codes. A size above 13 or a pair above 8 comes out as weights of 2, which no ternary reader takes.
    pub(crate) fn decode(&self, bytes: &[u8], (n, k): (usize, usize), row: usize, codes: &mut [i8]) {
        let out = std::cell::RefCell::new(codes);
        self.walk(
            n,
            k,
            row,
            |at, col, word, bit| {
                let signs = u16::from_le_bytes([bytes[word], bytes[word + 1]]);
                let triple = |size: u8, bit: u32| match size {
                    14.. => [2; 3],
                    _ => {
                        let v = if signs >> bit & 1 == 1 { 13 - size } else { 13 + size };
                        [v / 9, v / 3 % 3, v % 3].map(|digit| digit as i8 - 1)
                    }
                };
                let mut out = out.borrow_mut();
                out[col..col + 3].copy_from_slice(&triple(bytes[at] >> 4, bit));
                out[col + 3..col + 6].copy_from_slice(&triple(bytes[at] & 15, bit - 2));
            },
            |at, col| out.borrow_mut()[col..col + 4].copy_from_slice(&from_pairs(bytes[at])),
        );
    }

    /// Sets a row's bits in zeroed bytes.
    pub(crate) fn encode(&self, bytes: &mut [u8], (n, k): (usize, usize), row: usize, codes: &[i8]) {
        let bytes = std::cell::RefCell::new(bytes);
        self.walk(
            n,
            k,
            row,
            |at, col, word, bit| {
                let mut bytes = bytes.borrow_mut();
                for (half, bit) in [(0, bit), (1, bit - 2)] {
                    let w = &codes[col + 3 * half..];
                    let v = 9 * w[0] + 3 * w[1] + w[2];
                    bytes[at] |= v.unsigned_abs() << (4 - 4 * half);
                    bytes[word + bit as usize / 8] |= u8::from(v < 0) << (bit % 8);
                }
            },
            |at, col| bytes.borrow_mut()[at] = to_pairs(&codes[col..col + 4]),
        );
    }
}
