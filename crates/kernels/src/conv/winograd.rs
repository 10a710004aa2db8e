//! Winograd's F(2x2, 3x3) for f32: tiles of 2 x 2 outputs from 4 x 4 inputs, 16 products where the definition has 36.
//!
//! The order of all operations is fixed: with d a tile's inputs and g a filter, V = B' d B (columns of d first, then rows),
//! M = chain acc = fma(U, V, acc) from +0 over channels ascending with U = G g G' in f64 rounded once, Y = A' M A (columns of M
//! first). Tiles are counted from the image's first output, so that no division over threads changes them.
//!
//! B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1], G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1], A' = [1 1 1 0; 0 1 -1 -1].

use super::band::{self, Band, BandSize};
use super::output::{Place, Steps, finish};
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, LANES, lanes};
use crate::format::STRIPE;
use crate::packed::PackError;
use crate::simd::{Kernel, Simd, at_level};
use crate::{PackedWeights, Panels, Rows, Scratch, Tile};
use phalanx_simd::Tier;

/// Products of a tile.
const POINTS: usize = 16;
/// What the points of some rows of tiles, and of a stripe's sums, may take, unless one row needs more: what stays in a second-level
/// cache, and no more than half of what input, weights and output take.
const POINT_BYTES: usize = 768 << 10;

/// Filters by channels for each of a tile's points.
pub(super) struct Points(Vec<PackedWeights>);

impl Points {
    /// Of OIHW weights.
    pub(super) fn new(conv: &Conv, weights: &[f32]) -> Result<Points, ConvError> {
        let (n, k) = (conv.shape().out_channels, conv.shape().in_channels);
        let taps = weights.as_chunks::<9>().0;
        let bytes = taps.len().saturating_mul(4 * POINTS);
        let mut all: Vec<[f32; POINTS]> = Vec::new();
        all.try_reserve_exact(taps.len()).map_err(|_| PackError::OutOfMemory { bytes })?;
        all.extend(taps.iter().map(|taps| filter(*taps)));
        let matrix = |point: usize| {
            PackedWeights::pack_f32(n, k, |row, out| {
                out.iter_mut().zip(&all[row * k..]).for_each(|(out, points)| *out = points[point]);
            })
        };
        Ok(Points((0..POINTS).map(matrix).collect::<Result<_, _>>()?))
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|p| p.bytes().len()).sum()
    }
    pub(super) fn value(&self, point: usize, filter: usize, channel: usize) -> f32 {
        self.0[point].value(filter, channel)
    }
}

/// G g G' of one filter's taps for one channel.
fn filter(g: [f32; 9]) -> [f32; POINTS] {
    let half = |[a, b, c]: [f64; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let g = g.map(f64::from);
    // By columns, then by rows.
    let columns: [[f64; 4]; 3] = std::array::from_fn(|x| half([g[x], g[3 + x], g[6 + x]]));
    let mut all = [0.0; POINTS];
    for y in 0..4 {
        let row = half([columns[0][y], columns[1][y], columns[2][y]]);
        for x in 0..4 {
            all[4 * y + x] = row[x] as f32;
        }
    }
    all
}

/// B' d B.
#[inline(always)]
pub(super) fn input(d: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    let line = |[a, b, c, d]: [f32; 4]| [a - c, b + c, c - b, b - d];
    let columns: [[f32; 4]; 4] = std::array::from_fn(|x| line([d[0][x], d[1][x], d[2][x], d[3][x]]));
    std::array::from_fn(|y| line([columns[0][y], columns[1][y], columns[2][y], columns[3][y]]))
}

/// A' m A.
#[inline(always)]
pub(super) fn output(m: [[f32; 4]; 4]) -> [[f32; 2]; 2] {
    let line = |[a, b, c, d]: [f32; 4]| [a + b + c, b - c - d];
    let columns: [[f32; 2]; 4] = std::array::from_fn(|x| line([m[0][x], m[1][x], m[2][x], m[3][x]]));
    std::array::from_fn(|y| line([columns[0][y], columns[1][y], columns[2][y], columns[3][y]]))
}

/// Rows of tiles, channels innermost, to their points: `points` has for each point all tiles.
struct Inputs<'a> {
    band: &'a [f32],
    /// Elements of a row of the band.
    row: usize,
    rows: usize,
    /// Tiles of a row.
    tiles: usize,
    channels: usize,
    points: &'a mut [f32],
}

impl Kernel for Inputs<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Inputs { band, row, rows, tiles, channels, points } = self;
        let plane = rows * tiles * channels;
        for tile in 0..rows * tiles {
            let at = tile / tiles * 2 * row + tile % tiles * 2 * channels;
            for c in (0..channels).step_by(LANES) {
                let count = LANES.min(channels - c);
                let pixel = |i: usize| lanes(&band[at + i / 4 * row + i % 4 * channels + c..][..count]);
                let d: [_; POINTS] = std::array::from_fn(pixel);
                let mut v = [[0f32; LANES]; POINTS];
                // A loop over lanes of plain numbers: what becomes vectors.
                for l in 0..LANES {
                    let one = input(std::array::from_fn(|y| std::array::from_fn(|x| d[4 * y + x][l])));
                    (0..POINTS).for_each(|i| v[i][l] = one[i / 4][i % 4]);
                }
                for (i, v) in v.iter().enumerate() {
                    points[i * plane + tile * channels + c..][..count].copy_from_slice(&v[..count]);
                }
            }
        }
    }
}

/// The points of a stripe's sums to outputs.
struct Outputs<'a, 'o> {
    sums: &'a [f32],
    /// The first row of tiles, how many there are, and tiles of a row.
    rows: (usize, usize),
    tiles: usize,
    /// First filter, and how many.
    filters: (usize, usize),
    conv: &'a Conv,
    steps: Steps<'a>,
    to: &'a mut ConvOutput<'o>,
    part: &'a ConvPart,
}

impl Kernel for Outputs<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Outputs { sums, rows, tiles, filters: (first, count), conv, steps, to, part } = self;
        let columns = conv.output()[1];
        let plane = rows.1 * tiles * STRIPE;
        for tile in 0..rows.1 * tiles {
            let mut all = [[0f32; STRIPE]; 4];
            for c in (0..STRIPE).step_by(LANES) {
                let point = |i: usize| lanes(&sums[i * plane + tile * STRIPE + c..][..LANES]);
                let m: [_; POINTS] = std::array::from_fn(point);
                for l in 0..LANES {
                    let one = output(std::array::from_fn(|y| std::array::from_fn(|x| m[4 * y + x][l])));
                    (0..4).for_each(|i| all[i][c + l] = one[i / 2][i % 2]);
                }
            }
            for (i, values) in all.iter().enumerate() {
                let (row, column) = (2 * (rows.0 + tile / tiles) + i / 2, 2 * (tile % tiles) + i % 2);
                if row < part.rows.0 || row >= part.rows.1 || column >= columns {
                    continue;
                }
                let pixel = (row - part.rows.0) * columns + column;
                let place = Place { pixel, channel: first, first: part.channels.0 };
                finish(conv, steps, to, place, &values[..count], 0);
            }
        }
    }
}

fn inputs(tier: Tier, work: Inputs<'_>) {
    at_level!(tier, s => s.call(work))
}

fn outputs(tier: Tier, work: Outputs<'_, '_>) {
    at_level!(tier, s => s.call(work))
}

/// As [`super::conv2d`] for these weights.
pub(super) fn run(
    tier: Tier,
    weights: &ConvWeights,
    points: &Points,
    image: &ConvInput<'_>,
    to: &mut ConvOutput<'_>,
    part: &ConvPart,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    let conv = weights.conv();
    let size = BandSize::of(conv);
    let inner = conv.shape().in_channels;
    let tiles = conv.output()[1].div_ceil(2);
    let (first, end) = (part.rows.0 / 2, part.rows.1.div_ceil(2));
    // Blocks of about equal numbers of rows.
    let shared = 4 * (conv.image_len() + conv.output_len()) + weights.bytes();
    let fit = POINT_BYTES.min(shared / 2) / (4 * POINTS * tiles * (inner + STRIPE));
    let most = (end - first).div_ceil((end - first).div_ceil(fit.max(1)));
    let line = |floats: usize| (floats * 4).next_multiple_of(64);
    let parts = [
        // The last tile of an odd number of columns reaches over the band's end.
        line(size.len(conv, 2 * most) + inner),
        line(POINTS * most * tiles * inner),
        line(POINTS * most * tiles * STRIPE),
        Steps::bytes(part, to, 0),
    ];
    let [band, v, m, steps] = scratch.parts(parts)?;
    let band: &mut [f32] = bytemuck::cast_slice_mut(band);
    let v: &mut [f32] = bytemuck::cast_slice_mut(v);
    let m: &mut [f32] = bytemuck::cast_slice_mut(m);
    let steps = Steps::fill(steps, weights, part, to, (0, 0));
    let too_large = |_| ConvError::TooLarge { what: "a row of tiles" };
    for row in (first..end).step_by(most) {
        let rows = most.min(end - row);
        let count = rows * tiles;
        band::fill::<f32>(conv, image, Band { first: 2 * row, rows: 2 * rows }, band);
        let v = &mut v[..POINTS * count * inner];
        inputs(tier, Inputs { band, row: size.row, rows, tiles, channels: inner, points: v });
        for filter in (part.channels.0..part.channels.1).step_by(STRIPE) {
            let m = &mut m[..POINTS * count * STRIPE];
            let all = v.chunks_exact(count * inner).zip(m.chunks_exact_mut(count * STRIPE)).zip(&points.0);
            for ((v, m), u) in all {
                let stripe: &[f32] = &bytemuck::cast_slice(u.stripe(filter / STRIPE))[..inner * STRIPE];
                let u = Rows::new(stripe, 1, inner * STRIPE, inner * STRIPE).map_err(too_large)?;
                let x = Rows::new(v, count, inner, inner).map_err(too_large)?;
                let y = Tile::new(m, count, STRIPE, STRIPE).map_err(too_large)?;
                crate::matmul_panels(tier, Panels::F32(u), x, y)?;
            }
            let filters = (filter, STRIPE.min(part.channels.1 - filter));
            outputs(tier, Outputs { sums: m, rows: (row, rows), tiles, filters, conv, steps, to, part });
        }
    }
    Ok(())
}
