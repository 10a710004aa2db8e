//! Attention over keys and values that lie in somebody's buffers: scores, softmax and the weighted sum of values at once, so that
//! nothing of the size of rows by keys leaves a worker's scratch.

use crate::finish::one_nan;
use crate::format::STRIPE;
use crate::kernel::Chains;
use crate::panels::{self, Panels};
use crate::product::ProductError;
use crate::rows::{Rows, Tile};
use crate::simd::{Kernel, Simd, at_level};
use crate::source::{Bf16, F16, F32, Float};
use phalanx_simd::Tier;
use phalanx_simd::math::single::exp;
use std::marker::PhantomData;

/// Keys whose part of the softmax is one partial sum, by their positions.
pub(crate) const KEYS: usize = 64;

/// Rows of queries with the keys and values that they attend to.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Rows at consecutive positions, each with `heads` times `dim` elements.
    pub q: Rows<'a, f32>,
    /// One row: tiles of 64 keys, of each the first elements of all 64, then the second ones.
    pub k: Panels<'a>,
    /// A row for each 64 elements of a value: those of the first value, then of the second.
    pub v: Panels<'a>,
    /// Heads, which share keys and values.
    pub heads: usize,
    /// Elements of a query, key and value.
    pub dim: usize,
    /// Keys of the first row; each row has one more than the one before it.
    pub keys: usize,
    /// What scores are multiplied with.
    pub scale: f32,
}

impl Attention<'_> {
    /// Keys of the last row.
    pub(crate) fn most(&self) -> usize {
        self.keys + self.q.rows().saturating_sub(1)
    }
}

/// Attention of every row and head over the keys up to the row's own. In this order, each step one f32 operation:
///
/// - score j = `scale` * chain acc = `fma(k[j, i], q[i], acc)` from +0, `i` ascending;
/// - for each tile of 64 keys: its largest score t, `e[j] = exp(score j - t)`, and the sum of these, in which halves are added to
///   each other: 16, 8, 4, 2, 1 apart in each 32, then the two 32s; keys that are not there have e = 0;
/// - with M = -inf and L = 0 before the first tile: n = max(M, t), L = fma(sum, exp(t - n), L * exp(M - n)), M = n;
/// - weights `p[j] = e[j] * (exp(t - M) / L)`, t being that of the key's tile;
/// - output c = chain acc = `fma(v[j, c], p[j], acc)` from +0, `j` ascending; a NaN is the one of `f32`.
///
/// # Errors
/// A level that the machine lacks, or lengths that do not fit.
///
/// ```
/// use phalanx_kernels::*;
/// // One query, two keys, values of one element.
/// let (mut k, mut v) = ([0f32; 64], [0f32; 128]);
/// (k[0], k[1], v[0], v[64]) = (1.0, 1.0, 10.0, 20.0);
/// let one = |x| Rows::new(x, 1, 1, 1);
/// let a = Attention {
///     q: one(&[3.0])?, k: Panels::F32(Rows::new(&k, 1, 64, 64)?), v: Panels::F32(Rows::new(&v, 1, 128, 128)?),
///     heads: 1, dim: 1, keys: 2, scale: 1.0,
/// };
/// let mut o = [0f32; 1];
/// attend(Tier::best(), a, Tile::new(&mut o, 1, 1, 1)?, &mut Vec::new())?;
/// assert_eq!(o, [15.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attend(
    tier: Tier,
    a: Attention<'_>,
    o: Tile<'_, f32>,
    scratch: &mut Vec<f32>,
) -> Result<(), ProductError> {
    check(tier, &a, &o)?;
    at_level!(tier, s => {
        match (a.k, a.v) {
            (Panels::F32(k), Panels::F32(v)) => all::<_, F32, _>(s, a, (k, v), o, scratch),
            (Panels::F16(k), Panels::F16(v)) => all::<_, F16, _>(s, a, (k, v), o, scratch),
            (Panels::Bf16(k), Panels::Bf16(v)) => all::<_, Bf16, _>(s, a, (k, v), o, scratch),
            _ => unreachable!("checked: keys and values are of one type"),
        }
        Ok(())
    })
}

/// Everything that a call can have wrong.
pub(crate) fn check(tier: Tier, a: &Attention<'_>, o: &Tile<'_, f32>) -> Result<(), ProductError> {
    if !tier.is_available() {
        return Err(ProductError::Tier(tier));
    }
    let length = |what, found, expected: Option<usize>| match expected {
        Some(expected) if found == expected => Ok(()),
        expected => Err(ProductError::Length { what, found, expected: expected.unwrap_or(usize::MAX) }),
    };
    let same = std::mem::discriminant(&a.k) == std::mem::discriminant(&a.v);
    length("the list of types of keys and values", if same { 1 } else { 2 }, Some(1))?;
    length("the output", o.rows(), Some(a.q.rows()))?;
    length("a row of queries", a.q.cols(), a.heads.checked_mul(a.dim))?;
    length("a row of the output", o.cols(), Some(a.q.cols()))?;
    let ((tiles, keys), (panels, values)) = (a.k.shape(), a.v.shape());
    length("the list of keys", tiles, Some(1))?;
    let all = a.most().checked_next_multiple_of(KEYS);
    length("the keys", keys, all.and_then(|n| n.checked_mul(a.dim)))?;
    length("the list of panels", panels, Some(a.dim.div_ceil(STRIPE)))?;
    length("a panel", values, a.most().checked_mul(STRIPE))
}

/// Queries that are multiplied with the same keys and values at once, and where their outputs go.
struct Part<'a, 'o> {
    q: Rows<'a, f32>,
    /// Keys of the first one, and how many more each has than the one before it.
    keys: (usize, usize),
    o: Tile<'o, f32>,
}

fn all<S: Simd, E: Float, T: Copy>(
    s: S,
    a: Attention<'_>,
    (k, v): (Rows<'_, T>, Rows<'_, T>),
    mut o: Tile<'_, f32>,
    scratch: &mut Vec<f32>,
) {
    let (dim, keys) = (a.dim, a.most());
    if a.q.rows() == 0 || a.q.cols() == 0 {
        return;
    }
    let tiles = keys.div_ceil(KEYS);
    // As many tiles as are checked to be there.
    let k = if tiles == 0 { k.range(0, 0) } else { k.divided(tiles) };
    if let Some((q, o)) = one_row(&a, &mut o) {
        return part::<S, E, T>(s, Part { q, keys: (a.keys, 0), o }, (k, v), a.scale, scratch);
    }
    for head in 0..a.heads {
        let from = head * dim;
        let (_, o) = o.reborrow().split_cols(from);
        let (o, _) = o.split_cols(dim);
        let q = a.q.columns(from, dim);
        part::<S, E, T>(s, Part { q, keys: (a.keys, 1), o }, (k, v), a.scale, scratch);
    }
}

/// The heads of one row as rows.
fn one_row<'a, 'o>(a: &Attention<'a>, o: &'o mut Tile<'_, f32>) -> Option<(Rows<'a, f32>, Tile<'o, f32>)> {
    if a.q.rows() != 1 {
        return None;
    }
    let q = Rows::new(a.q.row(0), a.heads, a.dim, a.dim).ok()?;
    Some((q, Tile::new(o.row_mut(0), a.heads, a.dim, a.dim).ok()?))
}

fn part<S: Simd, E: Float, T: Copy>(
    s: S,
    Part { q, keys: (first, more), mut o }: Part<'_, '_>,
    (k, v): (Rows<'_, T>, Rows<'_, T>),
    scale: f32,
    scratch: &mut Vec<f32>,
) {
    let rows = q.rows();
    let most = first + more * (rows - 1);
    let wide = most.next_multiple_of(KEYS);
    let tiles = wide / KEYS;
    if scratch.len() < rows * wide + tiles {
        scratch.resize(rows * wide + tiles, 0.0);
    }
    let (scores, largest) = scratch.split_at_mut(rows * wide);
    if let Ok(tile) = Tile::new(scores, rows, most, wide) {
        panels::product::<S, E, T, true>(s, k, q, tile);
    }
    for (i, row) in scores.chunks_exact_mut(wide.max(1)).take(rows).enumerate() {
        s.call(Soften { row: &mut row[..first + more * i], largest, scale });
    }
    let Ok(p) = Rows::new(&scores[..], rows, most, wide) else { return };
    for panel in 0..v.rows() {
        let to = STRIPE.min(o.cols() - panel * STRIPE);
        mix::<S, E, T>(s, v.row(panel), p, (first, more), &mut o, (panel * STRIPE, to));
    }
}

/// Rows of a register tile at most.
const ROWS: usize = 16;

/// Sums of values times weights: `to` columns from `at`, which are those of a panel.
fn mix<S: Simd, E: Float, T: Copy>(
    s: S,
    panel: &[T],
    p: Rows<'_, f32>,
    (first, more): (usize, usize),
    o: &mut Tile<'_, f32>,
    (at, to): (usize, usize),
) {
    const { assert!(size_of::<T>() == E::SIZE) };
    let most = S::TILE.len().min(ROWS);
    let mut sums = [0f32; ROWS * STRIPE];
    for row in (0..p.rows()).step_by(most) {
        let here = most.min(p.rows() - row);
        // What all of these rows see, and then what each sees alone.
        let common = first + more * row;
        for sub in (0..to).step_by(S::TILE[here - 1] * S::LANES) {
            let chains = Chains::<E, true> {
                b: panel[sub..].as_ptr().cast(),
                steps: common,
                a: p.range(row, row + here).as_ptr(),
                lda: p.stride(),
                c: sums[sub..].as_mut_ptr(),
                fresh: true,
                source: PhantomData,
            };
            // SAFETY: the panel has 64 elements of `E`'s size for each key of the last row (checked), of which the tile's begin
            // at `sub`; each of the rows has a weight for each of the common keys; `sums` has 64 for each row.
            unsafe { s.tile(here, chains) };
        }
        for i in (1..here).filter(|_| more > 0) {
            for sub in (0..to).step_by(S::TILE[0] * S::LANES) {
                let chains = Chains::<E, false> {
                    b: panel[common * STRIPE + sub..].as_ptr().cast(),
                    steps: more * i,
                    a: p.row(row + i)[common..].as_ptr(),
                    lda: p.stride(),
                    c: sums[i * STRIPE + sub..].as_mut_ptr(),
                    fresh: false,
                    source: PhantomData,
                };
                // SAFETY: as above, from the common keys on: row `i` of these has `more * i` keys beyond them.
                unsafe { s.tile(1, chains) };
            }
        }
        for i in 0..here {
            let out = &mut o.row_mut(row + i)[at..][..to];
            out.iter_mut().zip(&sums[i * STRIPE..]).for_each(|(o, v)| *o = one_nan(*v));
        }
    }
}

/// Scores to weights, in place. Loops over arrays, for the compiler to vectorise at each level.
struct Soften<'a> {
    row: &'a mut [f32],
    /// Room for the largest score of each tile.
    largest: &'a mut [f32],
    scale: f32,
}

/// The larger; a number where the other is a NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || a.is_nan() { b } else { a }
}

/// The sum of a tile: 16, 8, 4, 2, 1 apart in each half, then the halves.
#[inline(always)]
fn tree(mut e: [f32; KEYS]) -> f32 {
    let mut apart = 16;
    while apart > 0 {
        for half in [0, KEYS / 2] {
            for i in 0..apart {
                e[half + i] += e[half + i + apart];
            }
        }
        apart /= 2;
    }
    e[0] + e[KEYS / 2]
}

impl Kernel for Soften<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Soften { row, largest, scale } = self;
        let (mut most, mut sum) = (f32::NEG_INFINITY, 0f32);
        for (tile, largest) in row.chunks_mut(KEYS).zip(&mut *largest) {
            let mut a = [f32::NEG_INFINITY; KEYS];
            for (a, score) in a.iter_mut().zip(&*tile) {
                *a = *score * scale;
            }
            let mut maxima = [f32::NEG_INFINITY; 16];
            for part in a.as_chunks::<16>().0 {
                for (m, a) in maxima.iter_mut().zip(part) {
                    *m = larger(*m, *a);
                }
            }
            *largest = maxima.into_iter().fold(f32::NEG_INFINITY, larger);
            for a in &mut a {
                *a = exp(*a - *largest);
            }
            tile.copy_from_slice(&a[..tile.len()]);
            let both = larger(most, *largest);
            sum = tree(a).mul_add(exp(*largest - both), sum * exp(most - both));
            most = both;
        }
        for (tile, largest) in row.chunks_mut(KEYS).zip(largest) {
            let weight = exp(*largest - most) / sum;
            tile.iter_mut().for_each(|e| *e *= weight);
        }
    }
}
