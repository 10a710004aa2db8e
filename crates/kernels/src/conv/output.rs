//! Outputs: where results go and the steps from a sum to an element, the same for every body.

use super::{Conv, ConvError, ConvPart, ConvWeights, ImageOrder};
use crate::Tile;
use crate::format::STRIPE;
use crate::simd::Coder;
use std::ops::Range;

/// From sums to 8-bit codes. In this order: the filter's `bias` is added (wrapping), the sum is rounded to f32 and multiplied by the
/// filter's scale, [`Requantise::relu`] makes what is below 0 to 0, the product is held to what the type's range leaves around `zero`,
/// rounded half to even, and `zero` is added. NaN gives the lowest code.
#[derive(Clone, Copy, Debug)]
pub struct Requantise<'a> {
    /// For each filter: input scale * weight scale / output scale.
    pub scales: &'a [f32],
    /// For each filter, in units of input scale * weight scale.
    pub bias: Option<&'a [i32]>,
    /// The code of the value 0, of the type's range.
    pub zero: i32,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// Where a part of a convolution goes, and in which form. Tiles have the rows and columns that [`super::ConvPart::tile`] says.
#[derive(Debug)]
pub enum ConvOutput<'a> {
    /// Exact sums of codes, zero point subtracted.
    Sums(Tile<'a, i32>),
    /// Values: the sum (of codes: rounded to f32) times the filter's scale, plus its bias, then ReLU; each step where there is
    /// one. NaN becomes the one pattern `f32::NAN` has.
    F32 {
        /// Elements.
        tile: Tile<'a, f32>,
        /// For each filter: what a unit of its sums is worth.
        scales: Option<&'a [f32]>,
        /// For each filter.
        bias: Option<&'a [f32]>,
        /// Whether negative values become 0.
        relu: bool,
    },
    /// Signed codes.
    I8(Tile<'a, i8>, Requantise<'a>),
    /// Unsigned codes.
    U8(Tile<'a, u8>, Requantise<'a>),
}

impl ConvOutput<'_> {
    /// Rows and columns.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            ConvOutput::Sums(tile) => (tile.rows(), tile.cols()),
            ConvOutput::F32 { tile, .. } => (tile.rows(), tile.cols()),
            ConvOutput::I8(tile, _) => (tile.rows(), tile.cols()),
            ConvOutput::U8(tile, _) => (tile.rows(), tile.cols()),
        }
    }

    pub(super) fn check(&self, filters: usize) -> Result<(), ConvError> {
        let length = |what, found| {
            if found == filters { Ok(()) } else { Err(ConvError::Length { what, found, expected: filters }) }
        };
        match self {
            ConvOutput::Sums(_) => Ok(()),
            ConvOutput::F32 { scales, bias, .. } => {
                scales.map_or(Ok(()), |s| length("the list of scales", s.len()))?;
                bias.map_or(Ok(()), |b| length("the bias", b.len()))
            }
            ConvOutput::I8(_, r) | ConvOutput::U8(_, r) => {
                length("the list of scales", r.scales.len())?;
                r.bias.map_or(Ok(()), |b| length("the bias", b.len()))?;
                let (kind, low, high) = match self {
                    ConvOutput::U8(..) => ("u8", 0, 255),
                    _ => ("i8", -128, 127),
                };
                match (low..=high).contains(&r.zero) {
                    true => Ok(()),
                    false => Err(ConvError::ZeroPoint { zero: r.zero, kind }),
                }
            }
        }
    }
}

/// What bodies leave behind for a pixel and a filter.
pub(super) trait Sum: Copy {
    /// Plus an offset, for integers.
    fn exact(self, offset: i32) -> i32;
    fn float(self, offset: i32) -> f32;
}

impl Sum for i32 {
    #[inline(always)]
    fn exact(self, offset: i32) -> i32 {
        self.wrapping_add(offset)
    }
    #[inline(always)]
    fn float(self, offset: i32) -> f32 {
        self.wrapping_add(offset) as f32
    }
}

impl Sum for f32 {
    #[inline(always)]
    fn exact(self, _: i32) -> i32 {
        unreachable!("checked: f32 chains are no exact sums")
    }
    #[inline(always)]
    fn float(self, _: i32) -> f32 {
        self
    }
}

/// Where a run of channels of one pixel goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Within the part.
    pub(super) pixel: usize,
    pub(super) channel: usize,
    /// The part's first channel.
    pub(super) first: usize,
}

/// 1.5 * 2^23: adding it to a small number rounds to an integer, half to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// What each filter's sum meets on its way to an element, with neutral values where the caller gave nothing, so that the loops have
/// no cases.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    /// The channel of the first.
    first: usize,
    /// Added to integer sums, wrapping: bias, and what the input's zero point takes away.
    offsets: &'a [i32],
    scales: &'a [f32],
    /// Added at the end to values; -0 changes nothing. For codes, anything.
    bias: &'a [f32],
}

impl<'a> Steps<'a> {
    /// Bytes for the steps of a part's filters and of `more`.
    pub(super) fn bytes(part: &ConvPart, output: &ConvOutput<'_>, more: usize) -> usize {
        let (first, end) = part.channels;
        ((end - first + more) * Steps::each(output, more)).next_multiple_of(64)
    }

    /// Bytes of a filter's steps: codes have no bias at the end, and where none are wanted again, scales are the caller's.
    fn each(output: &ConvOutput<'_>, more: usize) -> usize {
        match output.coder() {
            Some(_) if more == 0 => 4,
            Some(_) => 8,
            None => 12,
        }
    }

    /// Writes the steps of a part's filters, and all again from the first as far as there is memory, into what [`Steps::bytes`] says.
    pub(super) fn fill<'o: 'a>(
        memory: &'a mut [u8],
        weights: &ConvWeights,
        part: &ConvPart,
        output: &ConvOutput<'o>,
        (zero, more): (i32, usize),
    ) -> Steps<'a> {
        let (first, end) = part.channels;
        let (filters, len) = (end - first, end - first + more);
        let used = len * Steps::each(output, more);
        let (offsets, rest) = bytemuck::cast_slice_mut::<u8, u32>(&mut memory[..used]).split_at_mut(len);
        let (scales, bias) = rest.split_at_mut(len.min(rest.len()));
        let offsets: &mut [i32] = bytemuck::cast_slice_mut(offsets);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        let bias: &mut [f32] = bytemuck::cast_slice_mut(bias);
        match weights.sums() {
            Some(sums) => {
                let each = offsets.iter_mut().zip(&sums[first..end]);
                each.for_each(|(o, sum)| *o = sum.wrapping_mul(zero).wrapping_neg());
            }
            None => {
                let each = offsets.iter_mut().take(filters).zip(first..);
                each.for_each(|(o, c)| *o = weights.sum(c).wrapping_mul(zero).wrapping_neg());
            }
        }
        let copy = |to: &mut [f32], from: Option<&[f32]>, or: f32| match from {
            Some(from) => to[..filters].copy_from_slice(&from[first..end]),
            None => to.fill(or),
        };
        match output {
            ConvOutput::Sums(_) => {
                copy(scales, None, 1.0);
                copy(bias, None, -0.0);
            }
            ConvOutput::F32 { scales: s, bias: b, .. } => {
                copy(scales, *s, 1.0);
                copy(bias, *b, -0.0);
            }
            ConvOutput::I8(_, r) | ConvOutput::U8(_, r) => {
                let each = offsets.iter_mut().zip(r.bias.map_or(&[][..], |bias| &bias[first..end]));
                each.for_each(|(o, b)| *o = o.wrapping_add(*b));
                if more == 0 {
                    let scales = &r.scales[first..end];
                    return Steps { first, offsets, scales, bias: scales };
                }
                copy(scales, Some(r.scales), 1.0);
            }
        }
        for c in filters..len {
            (offsets[c], scales[c]) = (offsets[c - filters], scales[c - filters]);
        }
        for c in filters..bias.len() {
            bias[c] = bias[c - filters];
        }
        let scales: &'a [f32] = scales;
        Steps { first, offsets, scales, bias: if bias.is_empty() { scales } else { bias } }
    }

    /// What is added to integer sums of channel `c` and those after it, and what these are multiplied with.
    pub(super) fn codes_from(&self, c: usize) -> (&'a [i32], &'a [f32]) {
        (&self.offsets[c - self.first..], &self.scales[c - self.first..])
    }
    /// The same of `n` channels.
    pub(super) fn codes_of(&self, c: usize, n: usize) -> (&'a [i32], &'a [f32]) {
        let (offsets, scales) = self.codes_from(c);
        (&offsets[..n], &scales[..n])
    }
    /// What values of channel `c` and those after it are multiplied with, and what is added to these.
    pub(super) fn values_from(&self, c: usize) -> (&'a [f32], &'a [f32]) {
        (&self.scales[c - self.first..], &self.bias[c - self.first..])
    }
}

impl ConvOutput<'_> {
    /// The steps from scaled sums to codes, where these are what is wanted.
    pub(super) fn coder(&self) -> Option<Coder> {
        let (r, flip) = match self {
            ConvOutput::I8(_, r) => (r, 128),
            ConvOutput::U8(_, r) => (r, 0),
            _ => return None,
        };
        let zero = r.zero + i32::from(flip);
        let floor = if r.relu { zero as u8 } else { 0 };
        Some(Coder { top: (255 - zero) as f32, zero: zero as i16, floor, flip })
    }

    /// Where `channels` codes of some pixels begin, and elements from a pixel to the next; of outputs with channels innermost.
    pub(super) fn codes_at(
        &mut self,
        pixels: Range<usize>,
        first: usize,
        channels: usize,
    ) -> Option<(*mut u8, usize)> {
        match self {
            ConvOutput::I8(tile, _) => {
                let (to, stride) = tile.span_mut(pixels, first, channels);
                Some((to.cast(), stride))
            }
            ConvOutput::U8(tile, _) => Some(tile.span_mut(pixels, first, channels)),
            _ => None,
        }
    }
    /// Writes codes of some pixels and channels of the part, `stride` from a pixel's to the next one's.
    pub(super) fn put_codes(
        &mut self,
        order: ImageOrder,
        size: (Range<usize>, Range<usize>),
        codes: &[u8],
        stride: usize,
    ) {
        match self {
            ConvOutput::I8(tile, _) => put(tile, order, size, bytemuck::cast_slice(codes), stride),
            ConvOutput::U8(tile, _) => put(tile, order, size, codes, stride),
            _ => {}
        }
    }
    /// Whether the codes of all pixels lie side by side.
    pub(super) fn joins_pixels(&self) -> bool {
        match self {
            ConvOutput::I8(tile, _) => tile.joined(),
            ConvOutput::U8(tile, _) => tile.joined(),
            _ => false,
        }
    }
}

fn put<T: Copy>(
    tile: &mut Tile<'_, T>,
    order: ImageOrder,
    (pixels, channels): (Range<usize>, Range<usize>),
    codes: &[T],
    stride: usize,
) {
    match order {
        ImageOrder::Nhwc => {
            for (pixel, codes) in pixels.zip(codes.chunks(stride)) {
                tile.row_mut(pixel)[channels.clone()].copy_from_slice(&codes[..channels.len()]);
            }
        }
        ImageOrder::Nchw => {
            for (c, channel) in channels.enumerate() {
                let from = codes[c..].iter().step_by(stride);
                tile.row_mut(channel)[pixels.clone()].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// Writes `sums`, channels of one pixel from `place.channel` on. `read` is taken from each integer sum.
#[inline(always)]
pub(super) fn finish<S: Sum>(
    conv: &Conv,
    steps: Steps<'_>,
    output: &mut ConvOutput<'_>,
    place: Place,
    sums: &[S],
    read: i32,
) {
    let first = place.channel - steps.first;
    let range = first..first + sums.len();
    let offsets = &steps.offsets[range.clone()];
    let scales = &steps.scales[range.clone()];
    let bias = &steps.bias[range];
    // The usual length as a constant: loops without remainders.
    if let (Ok(s), Ok(o), Ok(m), Ok(b)) =
        (sums.try_into(), offsets.try_into(), scales.try_into(), bias.try_into())
    {
        let (s, o, m, b): (&[S; STRIPE], &[i32; STRIPE], &[f32; STRIPE], &[f32; STRIPE]) = (s, o, m, b);
        channels(conv, output, place, STRIPE, |c| (s[c], o[c].wrapping_sub(read), m[c], b[c]));
    } else {
        let each = |c: usize| (sums[c], offsets[c].wrapping_sub(read), scales[c], bias[c]);
        channels(conv, output, place, sums.len(), each);
    }
}

/// Writes `count` channels, of which `each` has sum, offset, scale and bias.
#[inline(always)]
fn channels<S: Sum>(
    conv: &Conv,
    output: &mut ConvOutput<'_>,
    place: Place,
    count: usize,
    each: impl Fn(usize) -> (S, i32, f32, f32),
) {
    match output {
        ConvOutput::Sums(tile) => write(conv, tile, place, count, |c| {
            let (s, o, ..) = each(c);
            s.exact(o)
        }),
        ConvOutput::F32 { tile, relu, .. } => {
            let low = if *relu { 0.0 } else { f32::NEG_INFINITY };
            write(conv, tile, place, count, |c| {
                let (s, o, m, b) = each(c);
                let v = s.float(o) * m + b;
                let v = if v < low { low } else { v };
                if v.is_nan() { f32::NAN } else { v }
            });
        }
        ConvOutput::I8(tile, r) => {
            let code = coder(r, -128, 127);
            write(conv, tile, place, count, |c| {
                let (s, o, m, _) = each(c);
                code(s.exact(o), m) as i8
            });
        }
        ConvOutput::U8(tile, r) => {
            let code = coder(r, 0, 255);
            write(conv, tile, place, count, |c| {
                let (s, o, m, _) = each(c);
                code(s.exact(o), m) as u8
            });
        }
    }
}

/// From a sum and its scale to a code.
#[inline(always)]
fn coder(r: &Requantise<'_>, low: i32, high: i32) -> impl Fn(i32, f32) -> i32 + Copy + use<> {
    let zero = r.zero;
    let (bottom, top) = ((low - zero) as f32, (high - zero) as f32);
    let bottom = if r.relu && bottom < 0.0 { 0.0 } else { bottom };
    move |sum, scale| {
        let v = sum as f32 * scale;
        // Comparisons in the one form that is a single instruction; NaN becomes the lowest.
        let v = if v > bottom { v } else { bottom };
        let v = if v < top { v } else { top };
        ((v + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) + zero
    }
}

#[inline(always)]
fn write<T: Copy>(
    conv: &Conv,
    tile: &mut Tile<'_, T>,
    place: Place,
    count: usize,
    value: impl Fn(usize) -> T,
) {
    let first = place.channel - place.first;
    match conv.shape().order {
        ImageOrder::Nhwc => {
            let run = &mut tile.row_mut(place.pixel)[first..first + count];
            run.iter_mut().enumerate().for_each(|(c, to)| *to = value(c));
        }
        ImageOrder::Nchw => (0..count).for_each(|c| tile.row_mut(first + c)[place.pixel] = value(c)),
    }
}
