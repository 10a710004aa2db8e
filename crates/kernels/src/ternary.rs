//! The ternary product of one row of activations, as the opcode `matmul.t2.i8` calls it.

use crate::{Input, Output, PackedWeights, Rows, Scratch, Tile, matmul};

/// `sums[i]` = exact sum over `c` of `w[n0 + i, c] * x[c]`: `sums.len()` weight rows from `n0` times one row of activations.
///
/// # Panics
/// Where [`matmul`] has an error.
pub fn ternary_rows(w: &PackedWeights, x: &[i8], n0: usize, sums: &mut [i32]) {
    let (k, n) = (x.len(), sums.len());
    let x = Rows::new(x, 1, k, k).map(|rows| Input::Codes { rows, scales: None });
    let y = Tile::new(sums, 1, n, n).map(Output::Sums);
    let (Ok(x), Ok(y)) = (x, y) else { unreachable!("one row of its own length") };
    if let Err(e) = matmul(phalanx_simd::Tier::best(), w, n0, x, y, &mut Scratch::new()) {
        panic!("{e}");
    }
}
