//! A band: some rows of one input image with their padding, channels innermost, in the elements that a body multiplies.
//!
//! Copying a band costs a few percent of the products it feeds and removes every test of borders, order and type from the inner
//! loop: the columns of a run lie side by side, and a pixel is an offset.

use super::{Conv, ConvInput, ImageOrder};

/// Elements that bodies may read past a run's end, for vectors that reach over it.
pub(super) const OVER: usize = 64;
/// Elements after a band: what bodies read past the last run, which itself may be filled up by three.
const SLACK: usize = OVER + 3;

/// Bytes of an element that comes with another one ([`spread`]).
pub(super) const PAIR: usize = 4;

/// Which rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// First output row.
    pub(super) first: usize,
    /// Output rows.
    pub(super) rows: usize,
}

/// Sizes of bands of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct BandSize {
    /// Columns of a band, padding included: what the outputs of a row reach.
    pub(super) cols: usize,
    /// Elements from a row to the next.
    pub(super) row: usize,
}

impl BandSize {
    pub(super) fn of(conv: &Conv) -> BandSize {
        let s = conv.shape();
        let cols = (conv.output()[1] - 1) * s.stride[1] + (s.kernel[1] - 1) * s.dilation[1] + 1;
        BandSize { cols, row: cols * s.in_channels }
    }

    /// Input rows under `rows` output rows.
    pub(super) fn input_rows(conv: &Conv, rows: usize) -> usize {
        let s = conv.shape();
        (rows - 1) * s.stride[0] + (s.kernel[0] - 1) * s.dilation[0] + 1
    }

    /// Elements of a band of `rows` output rows, slack included.
    pub(super) fn len(&self, conv: &Conv, rows: usize) -> usize {
        BandSize::input_rows(conv, rows) * self.row + SLACK
    }
}

/// An element of a band, made from an input element.
pub(super) trait Cell: Copy {
    /// What padding is, given the input.
    fn pad(input: &ConvInput<'_>) -> Self;
    fn from_f32(v: f32) -> Self;
    fn from_i8(v: i8) -> Self;
    fn from_u8(v: u8) -> Self;
}

/// Codes as signed bytes: an unsigned one is lowered by 128, and so is its zero point ([`ConvInput::signed_zero`]).
impl Cell for i8 {
    fn pad(input: &ConvInput<'_>) -> i8 {
        input.signed_zero() as i8
    }
    fn from_f32(_: f32) -> i8 {
        unreachable!("checked: floats are not multiplied as bytes")
    }
    fn from_i8(v: i8) -> i8 {
        v
    }
    fn from_u8(v: u8) -> i8 {
        (v ^ 0x80) as i8
    }
}

/// Codes as unsigned bytes: a signed one is raised by 128, and so is its zero point.
impl Cell for u8 {
    fn pad(input: &ConvInput<'_>) -> u8 {
        (input.signed_zero() + 128) as u8
    }
    fn from_f32(_: f32) -> u8 {
        unreachable!("checked: floats are not multiplied as bytes")
    }
    fn from_i8(v: i8) -> u8 {
        v as u8 ^ 0x80
    }
    fn from_u8(v: u8) -> u8 {
        v
    }
}

impl Cell for f32 {
    fn pad(_: &ConvInput<'_>) -> f32 {
        0.0
    }
    fn from_f32(v: f32) -> f32 {
        v
    }
    fn from_i8(_: i8) -> f32 {
        unreachable!("checked: codes are not multiplied as floats")
    }
    fn from_u8(_: u8) -> f32 {
        unreachable!("checked: codes are not multiplied as floats")
    }
}

/// Fills `band` (at least [`BandSize::len`] elements).
#[inline(always)]
pub(super) fn fill<C: Cell>(conv: &Conv, input: &ConvInput<'_>, band: Band, out: &mut [C]) {
    let pad = C::pad(input);
    match input {
        ConvInput::F32(data) => copy(conv, data, band, pad, out, C::from_f32),
        ConvInput::I8 { data, .. } => copy(conv, data, band, pad, out, C::from_i8),
        ConvInput::U8 { data, .. } => copy(conv, data, band, pad, out, C::from_u8),
    }
}

#[inline(always)]
fn copy<S: Copy, C: Cell>(
    conv: &Conv,
    image: &[S],
    band: Band,
    pad: C,
    out: &mut [C],
    cell: impl Fn(S) -> C + Copy,
) {
    let s = conv.shape();
    let size = BandSize::of(conv);
    let rows = BandSize::input_rows(conv, band.rows);
    let [height, width] = s.input;
    let channels = s.in_channels;
    // Columns of the band that lie in the image.
    let left = s.pad[2].min(size.cols);
    let inside = width.min(size.cols - left);
    let (body, slack) = out[..rows * size.row + SLACK].split_at_mut(rows * size.row);
    slack.fill(pad);
    for (i, row) in body.chunks_exact_mut(size.row).enumerate() {
        let y = (band.first * s.stride[0] + i).wrapping_sub(s.pad[0]);
        if y >= height {
            row.fill(pad);
            continue;
        }
        let (before, rest) = row.split_at_mut(left * channels);
        let (middle, after) = rest.split_at_mut(inside * channels);
        before.fill(pad);
        after.fill(pad);
        match s.order {
            ImageOrder::Nhwc => {
                let from = &image[y * width * channels..][..inside * channels];
                middle.iter_mut().zip(from).for_each(|(to, from)| *to = cell(*from));
            }
            ImageOrder::Nchw => {
                for c in (0..channels).take_while(|_| inside > 0) {
                    let from = &image[(c * height + y) * width..][..inside];
                    let to = middle[c..].iter_mut().step_by(channels);
                    to.zip(from).for_each(|(to, from)| *to = cell(*from));
                }
            }
        }
    }
}

/// Spreads signed bytes, the last quarter of `band`, over all of it: each as 16 bits beside the 16 bits of the one two further on,
/// the order in which [`crate::simd::Simd::widen_quad`] pairs four columns.
#[inline(always)]
pub(super) fn spread(band: &mut [u8]) {
    /// Elements at a time, out of a copy: loops over two places of one slice become no vectors.
    const SOME: usize = 64;
    let len = band.len() / PAIR;
    let first = band.len() - len;
    let mut some = [0; SOME + 2];
    for i in (0..len).step_by(SOME) {
        let read = &band[first + i..band.len().min(first + i + SOME + 2)];
        some[..read.len()].copy_from_slice(read);
        let to = &mut band[PAIR * i..PAIR * len.min(i + SOME)];
        // What is written never reaches a byte that is still to be read.
        for (to, from) in to.as_chunks_mut::<PAIR>().0.iter_mut().zip(some.windows(3)) {
            let wide = |b: u8| u32::from(i16::from(b as i8) as u16);
            *to = (wide(from[0]) | wide(from[2]) << 16).to_le_bytes();
        }
    }
}
