//! Convolution in the plainest way, to compare against: nested loops and formulas that share nothing with the bodies but, for
//! Winograd, the formulas of one tile, and for spectra everything: there it is the portable body.

use super::weights::Store;
use super::winograd::{self, Points};
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, ImageOrder, Requantise, check};
use crate::Scratch;
use phalanx_simd::Tier;

/// As [`super::conv2d`], at no level.
///
/// # Errors
/// As [`super::conv2d`].
pub fn conv2d(
    weights: &ConvWeights,
    input: ConvInput<'_>,
    output: ConvOutput<'_>,
    part: ConvPart,
) -> Result<(), ConvError> {
    check(weights, &input, &output, &part)?;
    if let Store::Spectra(_) = &weights.store {
        return super::conv2d(Tier::Scalar, weights, input, output, part, &mut Scratch::new());
    }
    let conv = weights.conv();
    let exact = |at: Place| {
        each(conv, at, 0i32, |acc, image, filter, tap, c| {
            let x = match (input, image) {
                (_, None) => 0,
                (ConvInput::I8 { data, zero }, Some(i)) => i32::from(data[i]) - i32::from(zero),
                (ConvInput::U8 { data, zero }, Some(i)) => i32::from(data[i]) - i32::from(zero),
                (ConvInput::F32(_), _) => 0,
            };
            acc.wrapping_add(x * i32::from(weights.integer(filter, tap, c)))
        })
    };
    let float = |at: Place| match (input, &weights.store) {
        (ConvInput::F32(data), Store::Points(points)) => tile(conv, points, data, at),
        (ConvInput::F32(data), _) => each(conv, at, 0f32, |acc, image, filter, tap, c| {
            weights.value(filter, tap, c).mul_add(image.map_or(0.0, |i| data[i]), acc)
        }),
        _ => exact(at) as f32,
    };
    let places = Places { conv, part };
    match output {
        ConvOutput::Sums(mut tile) => places.each(|row, col, at| tile.row_mut(row)[col] = exact(at)),
        ConvOutput::F32 { mut tile, scales, bias, relu } => places.each(|row, col, at| {
            let mut v = float(at);
            if let Some(scales) = scales {
                v *= scales[at.filter];
            }
            if let Some(bias) = bias {
                v += bias[at.filter];
            }
            let v = if relu && v < 0.0 { 0.0 } else { v };
            tile.row_mut(row)[col] = if v.is_nan() { f32::NAN } else { v };
        }),
        ConvOutput::I8(mut tile, r) => {
            places.each(|row, col, at| tile.row_mut(row)[col] = code(exact(at), at, &r, -128, 127) as i8);
        }
        ConvOutput::U8(mut tile, r) => {
            places.each(|row, col, at| tile.row_mut(row)[col] = code(exact(at), at, &r, 0, 255) as u8);
        }
    }
    Ok(())
}

fn code(sum: i32, at: Place, r: &Requantise<'_>, low: i32, high: i32) -> i32 {
    let bias = r.bias.map_or(0, |b| b[at.filter]);
    let v = sum.wrapping_add(bias) as f32 * r.scales[at.filter];
    if v.is_nan() {
        return if r.relu { r.zero.clamp(low, high) } else { low };
    }
    let v = if r.relu { v.max(0.0) } else { v };
    (f64::from(v).round_ties_even() as i64).saturating_add(r.zero.into()).clamp(low.into(), high.into())
        as i32
}

/// An output as its Winograd tile has it.
fn tile(conv: &Conv, points: &Points, data: &[f32], at: Place) -> f32 {
    let s = conv.shape();
    let mut m = [[0f32; 4]; 4];
    for c in 0..s.in_channels {
        let v = winograd::input(std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let y = (at.y / 2 * 2 + i).wrapping_sub(s.pad[0]);
                let x = (at.x / 2 * 2 + j).wrapping_sub(s.pad[2]);
                let inside = y < s.input[0] && x < s.input[1];
                if inside { data[conv.input_at(y, x, c)] } else { 0.0 }
            })
        }));
        for (i, m) in m.as_flattened_mut().iter_mut().enumerate() {
            *m = points.value(i, at.filter, c).mul_add(v[i / 4][i % 4], *m);
        }
    }
    winograd::output(m)[at.y % 2][at.x % 2]
}

/// An output element.
#[derive(Clone, Copy)]
struct Place {
    y: usize,
    x: usize,
    filter: usize,
}

/// The elements of a part.
struct Places<'a> {
    conv: &'a Conv,
    part: ConvPart,
}

impl Places<'_> {
    /// `put(row of the tile, its column, element)`.
    fn each(&self, mut put: impl FnMut(usize, usize, Place)) {
        let width = self.conv.output()[1];
        for y in self.part.rows.0..self.part.rows.1 {
            for x in 0..width {
                for filter in self.part.channels.0..self.part.channels.1 {
                    let (pixel, channel) =
                        ((y - self.part.rows.0) * width + x, filter - self.part.channels.0);
                    match self.conv.shape().order {
                        ImageOrder::Nhwc => put(pixel, channel, Place { y, x, filter }),
                        ImageOrder::Nchw => put(channel, pixel, Place { y, x, filter }),
                    }
                }
            }
        }
    }
}

/// `step(acc, input index or padding, filter, tap, channel of the filter)` over all products of an output.
fn each<T>(conv: &Conv, at: Place, zero: T, step: impl Fn(T, Option<usize>, usize, usize, usize) -> T) -> T {
    let s = conv.shape();
    let mut acc = zero;
    for ky in 0..s.kernel[0] {
        for kx in 0..s.kernel[1] {
            let y = (at.y * s.stride[0] + ky * s.dilation[0]).wrapping_sub(s.pad[0]);
            let x = (at.x * s.stride[1] + kx * s.dilation[1]).wrapping_sub(s.pad[2]);
            let inside = y < s.input[0] && x < s.input[1];
            let first = at.filter / conv.group_out() * conv.group_in();
            for c in 0..conv.group_in() {
                let image = inside.then(|| conv.input_at(y, x, first + c));
                acc = step(acc, image, at.filter, ky * s.kernel[1] + kx, c);
            }
        }
    }
    acc
}
