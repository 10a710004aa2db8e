//! The same products in the plainest way, to compare against: one weight at a time, nothing shared with the bodies.

use crate::{Activation, Attention, Input, Output, PackedWeights, Panels, ProductError, Rows, Tile};
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};
use phalanx_simd::math::single::{erf, exp, sigmoid};

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
    let at = |i: usize, c: usize| element(b, c / 64, 64 * i + c % 64);
    for r in 0..y.rows() {
        for (c, out) in y.row_mut(r).iter_mut().enumerate() {
            let v = x.row(r).iter().enumerate().fold(0f32, |acc, (i, a)| at(i, c).mul_add(*a, acc));
            *out = if v.is_nan() { f32::NAN } else { v };
        }
    }
    Ok(())
}

/// An element of a panel.
fn element(b: Panels<'_>, panel: usize, at: usize) -> f32 {
    match b {
        Panels::F32(rows) => rows.row(panel)[at],
        Panels::F16(rows) => f16_to_f32(rows.row(panel)[at]),
        Panels::Bf16(rows) => bf16_to_f32(rows.row(panel)[at]),
    }
}

/// As [`crate::attend()`].
///
/// # Errors
/// As [`crate::attend()`].
pub fn attend(a: Attention<'_>, mut o: Tile<'_, f32>) -> Result<(), ProductError> {
    crate::attend::check(phalanx_simd::Tier::Scalar, &a, &o)?;
    for r in 0..a.q.rows() {
        for h in 0..a.heads {
            let q = &a.q.row(r)[h * a.dim..][..a.dim];
            let key = |j: usize, i: usize| element(a.k, 0, j / 64 * 64 * a.dim + 64 * i + j % 64);
            let score = |j| a.scale * (0..a.dim).fold(0f32, |acc, i| key(j, i).mul_add(q[i], acc));
            let scores: Vec<f32> = (0..a.keys + r).map(score).collect();
            let p = weights(&scores);
            for (c, out) in o.row_mut(r)[h * a.dim..][..a.dim].iter_mut().enumerate() {
                let value = |j: usize| element(a.v, c / 64, 64 * j + c % 64);
                let sum = p.iter().enumerate().fold(0f32, |acc, (j, p)| value(j).mul_add(*p, acc));
                *out = if sum.is_nan() { f32::NAN } else { sum };
            }
        }
    }
    Ok(())
}

/// The softmax of scores, tile by tile.
fn weights(scores: &[f32]) -> Vec<f32> {
    let (mut most, mut sum) = (f32::NEG_INFINITY, 0f32);
    let mut tiles = Vec::new();
    for tile in scores.chunks(64) {
        let largest = tile.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = tile.iter().map(|a| exp(a - largest)).collect();
        // A key that is not there has e to the power -inf, which is no 0 where the largest score is infinite.
        let missing = exp(f32::NEG_INFINITY - largest);
        let tree = |half: usize| {
            let mut x: Vec<f32> = (0..32).map(|i| e.get(32 * half + i).copied().unwrap_or(missing)).collect();
            while x.len() > 1 {
                let (low, high) = x.split_at(x.len() / 2);
                x = low.iter().zip(high).map(|(a, b)| a + b).collect();
            }
            x[0]
        };
        let next = f32::max(most, largest);
        sum = (tree(0) + tree(1)).mul_add(exp(largest - next), sum * exp(most - next));
        most = next;
        tiles.push((largest, e));
    }
    let weigh = |(largest, e): (f32, Vec<f32>)| {
        let w = exp(largest - most) / sum;
        e.into_iter().map(move |e| e * w)
    };
    tiles.into_iter().flat_map(weigh).collect()
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
