//! Depthwise convolution: a filter for each channel, vectors over channels.
//!
//! Nothing is shared between channels, so a product costs an element read: bound by memory, not by multipliers. Every tap of a
//! pixel is a run of channels, of the image itself where channels lie innermost and of padding where the tap lies outside; nothing
//! is copied. Images with channels outermost are brought into that order some rows and 64 channels at a time.
//!
//! Integers are summed in f32: as long as every partial sum stays below 2^24 that is exact, and one body serves all types.

use super::band::BandSize;
use super::output::{Place, Steps, Sum, finish, steps_bytes};
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, ImageOrder};
use crate::Scratch;
use crate::simd::{Kernel, Simd};

/// Channels whose filters lie side by side.
pub(super) const CHANNELS: usize = 64;
/// Taps up to which sums of integers are exact in f32: 514 * 255 * 128 is below 2^24.
const EXACT_TAPS: usize = 514;

/// What a level's copy of the driver is called with.
pub(super) struct Depthwise<'a, 'o> {
    pub(super) weights: &'a ConvWeights,
    pub(super) input: &'a ConvInput<'a>,
    pub(super) output: &'a mut ConvOutput<'o>,
    pub(super) part: &'a ConvPart,
    pub(super) scratch: &'a mut Scratch,
}

impl Kernel for Depthwise<'_, '_> {
    type Out = Result<(), ConvError>;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Out {
        kinds(self)
    }
}

#[inline(always)]
fn kinds(call: Depthwise<'_, '_>) -> Result<(), ConvError> {
    let exact = call.weights.conv().taps() <= EXACT_TAPS;
    match (*call.input, exact) {
        (ConvInput::F32(data), _) => {
            drive(call, data, (0.0, 0), |a: f32, w, acc: f32| w.mul_add(a, acc), |v| v)
        }
        (ConvInput::I8 { data, zero }, true) => {
            drive(call, data, (zero, zero.into()), |a, w, acc: f32| f32::from(a) * w + acc, |v| v as i32)
        }
        (ConvInput::U8 { data, zero }, true) => {
            drive(call, data, (zero, zero.into()), |a, w, acc: f32| f32::from(a) * w + acc, |v| v as i32)
        }
        (ConvInput::I8 { data, zero }, false) => {
            let step = |a, w, acc: i32| acc.wrapping_add(i32::from(a) * w as i32);
            drive(call, data, (zero, zero.into()), step, |v| v)
        }
        (ConvInput::U8 { data, zero }, false) => {
            let step = |a, w, acc: i32| acc.wrapping_add(i32::from(a) * w as i32);
            drive(call, data, (zero, zero.into()), step, |v| v)
        }
    }
}

/// Where the channels of an image's pixels lie.
#[derive(Clone, Copy)]
struct View<'a, T> {
    data: &'a [T],
    /// The image row that row 0 of the data is.
    first: usize,
    row: usize,
    col: usize,
    /// Channel within a pixel.
    channel: usize,
}

/// `zero` is what padding is, as an element and as a number.
#[inline(always)]
fn drive<T: bytemuck::Pod, A: Copy + Default, S: Sum + Default>(
    call: Depthwise<'_, '_>,
    data: &[T],
    zero: (T, i32),
    step: impl Fn(T, f32, A) -> A + Copy,
    sum: impl Fn(A) -> S + Copy,
) -> Result<(), ConvError> {
    let Depthwise { weights, output, part, scratch, .. } = call;
    let conv = weights.conv();
    let s = conv.shape();
    let [height, width] = s.input;
    let image = data;
    let ordered = s.order == ImageOrder::Nhwc;
    let below = BandSize::input_rows(conv, 1);
    let staged = if ordered { 0 } else { below.min(height) * width * CHANNELS * size_of::<T>() };
    let [steps, stage] = scratch.parts([steps_bytes(weights.filters()), staged])?;
    let steps = Steps::fill(steps, weights, output, zero.1);
    let stage: &mut [T] = bytemuck::cast_slice_mut(stage);
    for oy in part.rows.0..part.rows.1 {
        for channel in (part.channels.0..part.channels.1).step_by(CHANNELS) {
            let count = CHANNELS.min(part.channels.1 - channel);
            let view = if ordered {
                View { data: image, first: 0, row: width * s.in_channels, col: s.in_channels, channel }
            } else {
                let from = (oy * s.stride[0]).saturating_sub(s.pad[0]);
                let to = height.min((oy * s.stride[0] + below).saturating_sub(s.pad[0]));
                for (y, rows) in (from..to).zip(stage.chunks_exact_mut(width * CHANNELS)) {
                    for c in 0..count {
                        let from = &image[((channel + c) * height + y) * width..][..width];
                        let to = rows[c..].iter_mut().step_by(CHANNELS);
                        to.zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
                View { data: &*stage, first: from, row: width * CHANNELS, col: CHANNELS, channel: 0 }
            };
            let taps = weights.taps_of(channel);
            let line = Line { conv, view, taps, oy, count, zero: zero.0, step };
            let mut put = |ox: usize, results: &[S]| {
                let pixel = (oy - part.rows.0) * conv.output()[1] + ox;
                let place = Place { pixel, channel, first: part.channels.0 };
                finish(conv, steps, output, place, results, 0);
            };
            match count.div_ceil(16) {
                1 => line.run::<16, A, S>(sum, &mut put),
                2 => line.run::<32, A, S>(sum, &mut put),
                3 => line.run::<48, A, S>(sum, &mut put),
                _ => line.run::<64, A, S>(sum, &mut put),
            }
        }
    }
    Ok(())
}

/// One output row of up to 64 channels.
struct Line<'a, T, F> {
    conv: &'a Conv,
    view: View<'a, T>,
    taps: &'a [f32],
    oy: usize,
    count: usize,
    zero: T,
    step: F,
}

impl<T: Copy, F: Copy> Line<'_, T, F> {
    /// `N` is the number of channels, rounded up to vectors.
    #[inline(always)]
    fn run<const N: usize, A: Copy + Default, S>(
        &self,
        sum: impl Fn(A) -> S + Copy,
        put: &mut impl FnMut(usize, &[S]),
    ) where
        F: Fn(T, f32, A) -> A,
    {
        let Line { conv, view, taps, oy, count, zero, step } = *self;
        let s = conv.shape();
        let [height, width] = s.input;
        let padding = [zero; N];
        for ox in 0..conv.output()[1] {
            let mut acc = [A::default(); N];
            let mut filter = taps.chunks_exact(CHANNELS);
            for ky in 0..s.kernel[0] {
                let y = (oy * s.stride[0] + ky * s.dilation[0]).wrapping_sub(s.pad[0]);
                let row = if y < height { (y - view.first) * view.row } else { 0 };
                for (kx, w) in (0..s.kernel[1]).zip(filter.by_ref()) {
                    let x = (ox * s.stride[1] + kx * s.dilation[1]).wrapping_sub(s.pad[2]);
                    let mut tail = padding;
                    let at = row + x.min(width - 1) * view.col + view.channel;
                    let a: &[T; N] = if y >= height || x >= width {
                        &padding
                    } else if let Some(a) = view.data[at..].first_chunk() {
                        a
                    } else {
                        // The last channels of the last pixel.
                        tail[..count].copy_from_slice(&view.data[at..][..count]);
                        &tail
                    };
                    let Some(w) = w.first_chunk::<N>() else { continue };
                    for c in 0..N {
                        acc[c] = step(a[c], w[c], acc[c]);
                    }
                }
            }
            let results = acc.map(sum);
            put(ox, &results[..count]);
        }
    }
}
