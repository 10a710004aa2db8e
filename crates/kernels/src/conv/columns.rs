//! Depthwise 3x3 convolution of f32 images with channels innermost: columns of a few rows in registers, which slide along.
//!
//! Two rows of outputs share what they read, and pixels are read where they lie: bringing them together costs half as much as their
//! products, which are what limits this loop. Vectors of 64 channels take turns, so that a row's loads seldom wait for stores of the
//! row before to the same last bits of an address. Where pixels are a multiple of 2 KiB apart, all of a vector's do, and the
//! first-level cache holds a few of them at a time: there, as much of the image as this cache holds is brought together after all.

use super::depthwise::{CHANNELS, tap_at};
use super::output::Steps;
use super::{Conv, ConvPart, ImageOrder};
use crate::Tile;
use crate::simd::Simd;

/// Bytes between pixels that are brought together, or a divisor of these.
const APART: usize = 2048;
/// Bytes of them at a time.
const NEAR: usize = 32 << 10;
/// Image rows under two output rows at most, with stride 2.
const ROWS: usize = 5;

/// A call's operands; `taps` as [`tap_at`] says.
pub(super) struct Columns<'a, 'o> {
    pub(super) conv: &'a Conv,
    pub(super) image: &'a [f32],
    pub(super) taps: &'a [f32],
    pub(super) steps: Steps<'a>,
    pub(super) relu: bool,
    pub(super) tile: &'a mut Tile<'o, f32>,
    /// Rows, and whole vectors of channels.
    pub(super) part: ConvPart,
    pub(super) memory: &'a mut [f32],
}

/// Channels of a part, from the first on, that these loops do.
pub(super) fn channels<S: Simd>(conv: &Conv, part: &ConvPart) -> usize {
    let s = conv.shape();
    let stride = s.stride[0] == s.stride[1] && s.stride[0] <= 2;
    if s.order == ImageOrder::Nhwc && s.kernel == [3, 3] && s.dilation == [1, 1] && stride {
        (part.channels.1 - part.channels.0) / S::LANES * S::LANES
    } else {
        0
    }
}

/// Of how many vectors, and of how many of the image's rows, pixels are brought together at a time: of none where they are not.
fn near<S: Simd>(conv: &Conv, channels: usize) -> (usize, usize) {
    let [height, width] = conv.shape().input;
    if channels == 0 || !(conv.shape().in_channels * 4).is_multiple_of(APART) {
        return (0, 0);
    }
    let row = width * S::LANES * 4;
    let vectors = (NEAR / (row * height)).clamp(1, CHANNELS / S::LANES);
    (vectors, (NEAR / (row * vectors)).clamp(ROWS, height.max(ROWS)))
}

/// Elements of [`Columns::memory`].
pub(super) fn memory<S: Simd>(conv: &Conv, channels: usize) -> usize {
    let (vectors, rows) = near::<S>(conv, channels);
    vectors * rows * conv.shape().input[1] * S::LANES
}

/// Where a vector's pixels are: of image row `y` the first at `first`, `row` further on for each row from `top` on.
#[derive(Clone, Copy)]
struct From {
    first: *const f32,
    top: usize,
    row: usize,
    pitch: usize,
}

impl Columns<'_, '_> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(mut self, s: S) {
        let shape = *self.conv.shape();
        let stride = shape.stride[0];
        let (from, to) = self.part.channels;
        let [height, width] = shape.input;
        let row = width * shape.in_channels;
        let (vectors, rows) = near::<S>(self.conv, to - from);
        if vectors == 0 {
            for group in (from..to).step_by(CHANNELS) {
                let channels = (group, to.min(group + CHANNELS));
                let whole = From { first: self.image.as_ptr(), top: 0, row, pitch: shape.in_channels };
                let at = |channel: usize| From { first: whole.first.wrapping_add(channel), ..whole };
                self.rows(s, self.part.rows, channels, at);
            }
            return;
        }
        // Output rows over so many of the image's.
        let some = ((rows - 3) / stride + 1).max(1);
        let near = width * S::LANES;
        for first in (self.part.rows.0..self.part.rows.1).step_by(some) {
            let outputs = (first, self.part.rows.1.min(first + some));
            let top = (first * stride).saturating_sub(shape.pad[0]).min(height);
            let end = ((outputs.1 - 1) * stride + 3).saturating_sub(shape.pad[0]).clamp(top, height);
            for group in (from..to).step_by(vectors * S::LANES) {
                let channels = (group, to.min(group + vectors * S::LANES));
                for y in top..end {
                    let pixels = self.image[y * row..][..row].chunks_exact(shape.in_channels);
                    for (x, pixel) in pixels.enumerate() {
                        for (v, from) in pixel[channels.0..channels.1].chunks_exact(S::LANES).enumerate() {
                            let at = (v * rows + y - top) * near + x * S::LANES;
                            let to = &mut self.memory[at..][..S::LANES];
                            // SAFETY: a vector on both sides.
                            unsafe { s.store_floats(to.as_mut_ptr(), s.load_floats(from.as_ptr())) };
                        }
                    }
                }
                let memory = self.memory.as_ptr();
                let at = |channel: usize| {
                    let first = memory.wrapping_add((channel - channels.0) / S::LANES * rows * near);
                    From { first, top, row: near, pitch: S::LANES }
                };
                self.rows(s, outputs, channels, at);
            }
        }
    }

    /// Output rows by vectors of channels; `at`: where the pixels of the vector from a channel on are.
    #[inline(always)]
    fn rows<S: Simd>(
        &mut self,
        s: S,
        rows: (usize, usize),
        channels: (usize, usize),
        at: impl Fn(usize) -> From,
    ) {
        // Two where there are registers for what they share.
        let most = if S::LANES == 16 { 2 } else { 1 };
        let (mut oy, some) = (rows.0, most.min(rows.1 - rows.0));
        while oy < rows.1 {
            // The last ones may have been done before.
            oy = oy.min(rows.1 - some);
            for channel in (channels.0..channels.1).step_by(S::LANES) {
                match (self.conv.shape().stride[0], some) {
                    (1, 1) => self.vector::<S, 1, 1, 3>(s, oy, channel, at(channel)),
                    (1, _) => self.vector::<S, 1, 2, 4>(s, oy, channel, at(channel)),
                    (_, 1) => self.vector::<S, 2, 1, 3>(s, oy, channel, at(channel)),
                    _ => self.vector::<S, 2, 2, 5>(s, oy, channel, at(channel)),
                }
            }
            oy += some;
        }
    }

    /// `R` output rows of a vector's channels, over `I` rows of the image.
    #[inline(always)]
    fn vector<S: Simd, const STRIDE: usize, const R: usize, const I: usize>(
        &mut self,
        s: S,
        oy: usize,
        channel: usize,
        from: From,
    ) {
        const ZEROS: [f32; 16] = [0.0; 16];
        let shape = self.conv.shape();
        let [height, width] = shape.input;
        let (left, columns) = (shape.pad[2], self.conv.output()[1]);
        let taps = &self.taps[tap_at(self.conv, channel, 0)..];
        let (scales, bias) = self.steps.values_from(channel);
        assert!(scales.len() >= S::LANES && bias.len() >= S::LANES, "steps are filled up to groups");
        assert!(8 * CHANNELS + S::LANES <= taps.len(), "all taps are there");
        // SAFETY: a vector each, by the assertions.
        let (scales, bias) = unsafe { (s.load_floats(scales.as_ptr()), s.load_floats(bias.as_ptr())) };
        let mut weights = [[s.zero(); 3]; 3];
        for (i, w) in weights.as_flattened_mut().iter_mut().enumerate() {
            // SAFETY: as above.
            *w = unsafe { s.load_floats(taps.as_ptr().add(i * CHANNELS)) };
        }
        // Rows above and below the image are one vector of zeros again and again.
        let mut rows = [(ZEROS.as_ptr(), 0); I];
        for (i, row) in rows.iter_mut().enumerate() {
            let y = (oy * STRIDE + i).wrapping_sub(shape.pad[0]);
            if y < height {
                *row = (from.first.wrapping_add((y - from.top) * from.row), from.pitch);
            }
        }
        let column = |x: usize| {
            let x = x.wrapping_sub(left);
            let mut column = [s.zero(); I];
            if x < width {
                for (to, (row, pitch)) in column.iter_mut().zip(rows) {
                    // SAFETY: a pixel of the image: all vectors of the part are whole ones, and `from` is about as many rows as
                    // outputs reach.
                    *to = unsafe { s.load_floats(row.add(x * pitch)) };
                }
            }
            column
        };
        let first = (oy - self.part.rows.0) * columns;
        let place = channel - self.part.channels.0;
        let (to, pitch) = self.tile.span_mut(first..first + R * columns, place, S::LANES);
        let relu = self.relu;
        let (mut a, mut b) = (column(0), column(1));
        for ox in 0..columns {
            let c = column(ox * STRIDE + 2);
            for q in 0..R {
                let mut sum = s.zero();
                for (r, [u, v, w]) in weights.iter().enumerate() {
                    let i = q * STRIDE + r;
                    sum = s.fma(*w, c[i], s.fma(*v, b[i], s.fma(*u, a[i], sum)));
                }
                let v = s.plus(s.times(sum, scales), bias);
                let v = s.one_nan(if relu { s.relu(v) } else { v });
                // SAFETY: the rows' pixels are there from `to` on.
                unsafe { s.store_floats(to.add((q * columns + ox) * pitch), v) };
            }
            (a, b) = if STRIDE == 1 { (b, c) } else { (c, column(ox * STRIDE + 3)) };
        }
    }
}
