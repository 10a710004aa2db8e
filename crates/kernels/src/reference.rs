//! The same products in the plainest way, to compare against: one weight at a time, nothing shared with the bodies.

use crate::{Activation, Input, Output, PackedWeights, Panels, ProductError, Rows, Tile};
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};
use phalanx_simd::math::single::{erf, sigmoid};

/// As [`crate::matmul`].
///
/// # Errors
/// As [`crate::matmul`].
pub fn matmul(w: &PackedWeights, first: usize, x: Input<'_>, y: Output<'_>) -> Result<(), ProductError> {
    crate::product::check(phalanx_simd::Tier::Scalar, w, first, &x, &y)?;
    match y {
        Output::Sums(mut tile) => {
            let Input::Codes { rows, .. } = x else { unreachable!("checked: sums are of codes") };
            for i in 0..tile.rows() {
                for (c, out) in tile.row_mut(i).iter_mut().enumerate() {
                    *out = sum(w, first + c, rows.row(i), 0);
                }
            }
        }
        Output::Floats { mut tile, bias, activation } => {
            for i in 0..tile.rows() {
                for (c, out) in tile.row_mut(i).iter_mut().enumerate() {
                    let n = first + c;
                    let mut v = match x {
                        Input::Codes { rows, scales } => {
                            let v = codes(w, n, rows.row(i));
                            scales.map_or(v, |s| v / s[i])
                        }
                        Input::Floats(rows) => {
                            let row = rows.row(i).iter().enumerate();
                            row.fold(0.0, |acc, (k, a)| w.value(n, k).mul_add(*a, acc))
                        }
                    };
                    if let Some(scale) = w.scales().of(n) {
                        v *= scale;
                    }
                    if let Some(bias) = bias {
                        v += bias[n];
                    }
                    v = activate(activation, v);
                    *out = if v.is_nan() { f32::NAN } else { v };
                }
            }
        }
    }
    Ok(())
}

/// As [`crate::matmul_panels`].
///
/// # Errors
/// As [`crate::matmul_panels`].
pub fn matmul_panels(b: Panels<'_>, x: Rows<'_, f32>, mut y: Tile<'_, f32>) -> Result<(), ProductError> {
    crate::panels::check(phalanx_simd::Tier::Scalar, &b, &x, &y)?;
    let at = |i: usize, c: usize| {
        let (panel, from) = (c / 64, 64 * i + c % 64);
        match b {
            Panels::F32(rows) => rows.row(panel)[from],
            Panels::F16(rows) => f16_to_f32(rows.row(panel)[from]),
            Panels::Bf16(rows) => bf16_to_f32(rows.row(panel)[from]),
        }
    };
    for r in 0..y.rows() {
        for (c, out) in y.row_mut(r).iter_mut().enumerate() {
            let v = x.row(r).iter().enumerate().fold(0f32, |acc, (i, a)| at(i, c).mul_add(*a, acc));
            *out = if v.is_nan() { f32::NAN } else { v };
        }
    }
    Ok(())
}

/// A product of codes as f32, block by block where the layout has blocks.
fn codes(w: &PackedWeights, n: usize, row: &[i8]) -> f32 {
    let Some(block) = w.format().block() else { return sum(w, n, row, 0) as f32 };
    let mut acc = 0.0f32;
    for (b, part) in row.chunks(block).enumerate() {
        let scale = w.block_scale(n, b * block).map_or(1.0, f16_to_f32);
        acc = (sum(w, n, part, b * block) as f32).mul_add(scale, acc);
    }
    acc
}

/// The exact sum of weights of row `n` from column `from` times `codes`.
fn sum(w: &PackedWeights, n: usize, codes: &[i8], from: usize) -> i32 {
    codes.iter().zip(from..).map(|(a, k)| i32::from(w.get(n, k)) * i32::from(*a)).sum()
}

fn activate(activation: Activation, v: f32) -> f32 {
    let relu = if v < 0.0 { 0.0 } else { v };
    match activation {
        Activation::None => v,
        Activation::Relu => relu,
        Activation::ReluSquared => relu * relu,
        Activation::Silu => v * sigmoid(v),
        Activation::Gelu => 0.5 * v * (1.0 + erf(v * 0.707_106_77)),
    }
}
