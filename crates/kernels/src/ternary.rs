//! Products of packed ternary weights with 8-bit activations.

use crate::packed::{PackedWeights, TILE_BYTES, TILE_COLS, TILE_ROWS};

/// `sums[i]` = exact sum over `c` of `w[n0 + i, c] * x[c]`: `sums.len()` weight rows from `n0` times one row of `w.k()`
/// activations.
///
/// Works tile by tile on packed bytes: codes (weight + 1) are multiplied, and the sum of all activations is taken off at the
/// end. No sum of codes exceeds 2 * 128 * 2^23 = 2^31 in size, and wrapping arithmetic is exact modulo 2^32, so the corrected
/// sum is exact.
///
/// # Panics
/// Where `x` has not `w.k()` elements or the rows are not all in the matrix.
pub fn ternary_rows(w: &PackedWeights, x: &[i8], n0: usize, sums: &mut [i32]) {
    assert_eq!(x.len(), w.k(), "one activation per column");
    let end = n0.checked_add(sums.len()).filter(|end| *end <= w.n());
    let end = end.unwrap_or_else(|| panic!("rows {n0}.. ({}) of {}", sums.len(), w.n()));
    if sums.is_empty() {
        return;
    }
    let total = x.iter().fold(0i32, |t, v| t.wrapping_add(i32::from(*v)));
    let stripe_bytes = w.tiles_per_stripe() * TILE_BYTES;
    for stripe in n0 / TILE_ROWS..end.div_ceil(TILE_ROWS) {
        let mut codes = [0i32; TILE_ROWS];
        let bytes = &w.bytes()[stripe * stripe_bytes..][..stripe_bytes];
        for (tile, part) in bytes.chunks_exact(TILE_BYTES).zip(x.chunks(TILE_COLS)) {
            // Columns beyond k have activation 0: their codes do not count.
            let mut a = [0i32; TILE_COLS];
            for (a, v) in a.iter_mut().zip(part) {
                *a = i32::from(*v);
            }
            for (code, four) in codes.iter_mut().zip(tile.chunks_exact(4)) {
                let mut sum = 0i32;
                for (j, byte) in four.iter().enumerate() {
                    let b = i32::from(*byte);
                    for p in 0..4 {
                        sum += (b >> (2 * p) & 3) * a[4 * p + j];
                    }
                }
                *code = code.wrapping_add(sum);
            }
        }
        let first = stripe * TILE_ROWS;
        let (from, to) = (n0.max(first), end.min(first + TILE_ROWS));
        for (sum, code) in sums[from - n0..to - n0].iter_mut().zip(&codes[from - first..]) {
            *sum = code.wrapping_sub(total);
        }
    }
}
