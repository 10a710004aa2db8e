//! Products with a matrix that is no packed weight: it lies in somebody's buffer, in panels of 64 columns. The products of attention
//! with keys and values in a cache are such.

use crate::format::STRIPE;
use crate::kernel::Chains;
use crate::product::ProductError;
use crate::rows::{Rows, Tile};
use crate::simd::{Simd, at_level};
use crate::source::{Bf16, F16, F32, Float};
use phalanx_simd::Tier;
use std::marker::PhantomData;

/// A matrix of `k` rows in panels: each [`Rows`] row is a panel, `k` times 64 elements.
#[derive(Clone, Copy, Debug)]
pub enum Panels<'a> {
    /// Single precision.
    F32(Rows<'a, f32>),
    /// Half precision, by its bits.
    F16(Rows<'a, u16>),
    /// The upper half of single precision, by its bits.
    Bf16(Rows<'a, u16>),
}

impl Panels<'_> {
    /// How many panels, and elements of one.
    pub(crate) fn shape(&self) -> (usize, usize) {
        match self {
            Panels::F32(rows) => (rows.rows(), rows.cols()),
            Panels::F16(rows) | Panels::Bf16(rows) => (rows.rows(), rows.cols()),
        }
    }
}

/// Rows of a register tile at most.
const ROWS: usize = 16;

/// Output `[r, c]` = chain acc = fma(b[i, c], x[r, i], acc) from +0, `i` ascending; NaN becomes the one pattern `f32::NAN` has.
///
/// # Errors
/// A level that the machine lacks, or lengths that do not fit.
///
/// ```
/// use phalanx_kernels::*;
/// let mut b = [0f32; 128];
/// (b[0], b[64]) = (2.0, 3.0); // column 0 of a panel with two rows
/// let mut y = [0f32; 1];
/// let (x, tile) = (Rows::new(&[10.0, 1.0], 1, 2, 2)?, Tile::new(&mut y, 1, 1, 1)?);
/// matmul_panels(phalanx_simd::Tier::best(), Panels::F32(Rows::new(&b, 1, 128, 128)?), x, tile)?;
/// assert_eq!(y, [23.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn matmul_panels(
    tier: Tier,
    b: Panels<'_>,
    x: Rows<'_, f32>,
    y: Tile<'_, f32>,
) -> Result<(), ProductError> {
    check(tier, &b, &x, &y)?;
    at_level!(tier, s => {
        match b {
            Panels::F32(rows) => product::<_, F32, _, false>(s, rows, x, y),
            Panels::F16(rows) => product::<_, F16, _, false>(s, rows, x, y),
            Panels::Bf16(rows) => product::<_, Bf16, _, false>(s, rows, x, y),
        }
        Ok(())
    })
}

/// Everything that a call can have wrong.
pub(crate) fn check(
    tier: Tier,
    b: &Panels<'_>,
    x: &Rows<'_, f32>,
    y: &Tile<'_, f32>,
) -> Result<(), ProductError> {
    if !tier.is_available() {
        return Err(ProductError::Tier(tier));
    }
    let (panels, len) = b.shape();
    let length = |what, found, expected| {
        if found == expected { Ok(()) } else { Err(ProductError::Length { what, found, expected }) }
    };
    length("the output", y.rows(), x.rows())?;
    length("the list of panels", panels, y.cols().div_ceil(STRIPE))?;
    length("a panel", len, x.cols() * STRIPE)
}

/// The product; `STREAM` asks for what comes next in memory.
pub(crate) fn product<S: Simd, E: Float, T: Copy, const STREAM: bool>(
    s: S,
    b: Rows<'_, T>,
    x: Rows<'_, f32>,
    mut y: Tile<'_, f32>,
) {
    const { assert!(size_of::<T>() == E::SIZE) };
    let (m, k, n) = (x.rows(), x.cols(), y.cols());
    let most = S::TILE.len().min(ROWS);
    let mut sums = [0f32; ROWS * STRIPE];
    for panel in 0..n.div_ceil(STRIPE) {
        let elements = b.row(panel);
        let to = STRIPE.min(n - panel * STRIPE);
        for row in (0..m).step_by(most) {
            let here = most.min(m - row);
            for sub in (0..to).step_by(S::TILE[here - 1] * S::LANES) {
                let (c, fresh, source) = (sums[sub..].as_mut_ptr(), true, PhantomData::<E>);
                let (steps, lda) = (k, x.stride());
                // SAFETY: the panel has `k` columns of 64 elements of `E`'s size (checked), of which the tile's begin at `sub`;
                // each of the tile's rows of activations has `k` elements; `sums` has 64 for each.
                unsafe {
                    let a = x.as_ptr().add(row * lda);
                    let b = elements.as_ptr().cast::<u8>().add(E::SIZE * sub);
                    s.tile(here, Chains::<E, STREAM> { b, steps, a, lda, c, fresh, source });
                }
            }
            for i in 0..here {
                let out = &mut y.row_mut(row + i)[panel * STRIPE..][..to];
                out.iter_mut().zip(&sums[i * STRIPE..]).for_each(|(o, v)| *o = crate::finish::one_nan(*v));
            }
        }
    }
}
