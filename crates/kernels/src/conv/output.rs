//! Outputs: where results go and the steps from a sum to an element, the same for every body.

use super::{Conv, ConvError, ConvWeights, ImageOrder};
use crate::format::STRIPE;
use std::marker::PhantomData;

/// The memory of an output. Several threads may hold it for parts that do not overlap.
pub struct Image<'a, T> {
    first: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for an exclusive reference, or by the promise of `share` for the elements of its parts alone.
unsafe impl<T: Send> Send for Image<'_, T> {}

impl<'a, T: Copy> Image<'a, T> {
    /// All of `data`.
    pub fn new(data: &'a mut [T]) -> Self {
        Image { first: data.as_mut_ptr(), len: data.len(), memory: PhantomData }
    }

    /// As [`Image::new`] from a pointer.
    ///
    /// # Safety
    /// `len` elements from `first` are valid and initialised for as long as the image lives, and those of the parts computed
    /// through it are accessed through it alone.
    pub unsafe fn from_raw(first: *mut T, len: usize) -> Self {
        Image { first, len, memory: PhantomData }
    }

    /// The same memory once more, for another thread.
    ///
    /// # Safety
    /// The parts that are computed through the two do not overlap.
    pub unsafe fn share(&self) -> Image<'a, T> {
        Image { ..*self }
    }

    #[inline(always)]
    fn put(&mut self, at: usize, v: T) {
        assert!(at < self.len, "element {at} of {}", self.len);
        // SAFETY: in range by the assertion, valid by construction.
        unsafe { *self.first.add(at) = v };
    }

    #[inline(always)]
    fn run(&mut self, at: usize, len: usize) -> &mut [T] {
        assert!(at <= self.len && len <= self.len - at, "elements {at}.. ({len}) of {}", self.len);
        // SAFETY: in range by the assertion, valid by construction, and no other reference into it is alive while `self` is
        // borrowed: parts of other holders do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(at), len) }
    }
}

impl<T> std::fmt::Debug for Image<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} elements)", self.len)
    }
}

/// From sums to 8-bit codes. In this order: the filter's `bias` is added (wrapping), the sum is rounded to f32 and multiplied by the
/// filter's scale, [`Requantise::relu`] makes what is below 0 to 0, the product is held to what the type's range leaves around `zero`,
/// rounded half to even, and `zero` is added. NaN gives the lowest code.
#[derive(Clone, Copy, Debug)]
pub struct Requantise<'a> {
    /// For each filter: input scale * weight scale / output scale.
    pub scales: &'a [f32],
    /// For each filter, in units of input scale * weight scale.
    pub bias: Option<&'a [i32]>,
    /// The code of the value 0.
    pub zero: i32,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// Where a convolution goes, and in which form.
#[derive(Debug)]
pub enum ConvOutput<'a> {
    /// Exact sums of codes, zero point subtracted.
    Sums(Image<'a, i32>),
    /// Values: the sum (rounded to f32) or chain, times `scale`, times the filter's scale, plus the bias, then ReLU; each step
    /// where there is one. NaN becomes the one pattern `f32::NAN` has.
    F32 {
        /// Elements.
        image: Image<'a, f32>,
        /// What a unit of the input is worth; 1 for f32 input.
        scale: f32,
        /// For each filter.
        bias: Option<&'a [f32]>,
        /// Whether negative values become 0.
        relu: bool,
    },
    /// Signed codes.
    I8(Image<'a, i8>, Requantise<'a>),
    /// Unsigned codes.
    U8(Image<'a, u8>, Requantise<'a>),
}

impl ConvOutput<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            ConvOutput::Sums(image) => image.len,
            ConvOutput::F32 { image, .. } => image.len,
            ConvOutput::I8(image, _) => image.len,
            ConvOutput::U8(image, _) => image.len,
        }
    }

    pub(super) fn check(&self, filters: usize) -> Result<(), ConvError> {
        let length = |what, found| {
            if found == filters { Ok(()) } else { Err(ConvError::Length { what, found, expected: filters }) }
        };
        match self {
            ConvOutput::Sums(_) => Ok(()),
            ConvOutput::F32 { bias, .. } => bias.map_or(Ok(()), |b| length("the bias", b.len())),
            ConvOutput::I8(_, r) | ConvOutput::U8(_, r) => {
                length("the list of scales", r.scales.len())?;
                r.bias.map_or(Ok(()), |b| length("the bias", b.len()))
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
    pub(super) image: usize,
    pub(super) pixel: usize,
    pub(super) channel: usize,
}

/// 1.5 * 2^23: adding it to a small number rounds to an integer, half to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// What each filter's sum meets on its way to an element, with neutral values where the caller gave nothing, so that the loops have
/// no cases.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    /// Added to integer sums, wrapping: bias, and what the input's zero point takes away.
    offsets: &'a [i32],
    scales: &'a [f32],
    /// Added at the end to values; -0 changes nothing.
    bias: &'a [f32],
}

/// Bytes that [`Steps::fill`] needs for `filters`.
pub(super) fn steps_bytes(filters: usize) -> usize {
    (filters * 12).next_multiple_of(64)
}

impl<'a> Steps<'a> {
    /// Writes the steps of all filters into `memory` of [`steps_bytes`].
    pub(super) fn fill(
        memory: &'a mut [u8],
        weights: &ConvWeights,
        output: &ConvOutput<'_>,
        zero: i32,
    ) -> Steps<'a> {
        let filters = memory.len() / 12;
        let (offsets, rest) =
            bytemuck::cast_slice_mut::<u8, u32>(&mut memory[..filters * 12]).split_at_mut(filters);
        let (scales, bias) = rest.split_at_mut(filters);
        let offsets: &mut [i32] = bytemuck::cast_slice_mut(offsets);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        let bias: &mut [f32] = bytemuck::cast_slice_mut(bias);
        for c in 0..weights.filters() {
            let taken = weights.sum(c).wrapping_mul(zero);
            let (i, s, b) = match output {
                ConvOutput::Sums(_) => (0, 1.0, -0.0),
                ConvOutput::F32 { bias, .. } => {
                    (0, weights.scale(c).unwrap_or(1.0), bias.map_or(-0.0, |b| b[c]))
                }
                ConvOutput::I8(_, r) | ConvOutput::U8(_, r) => {
                    (r.bias.map_or(0, |b| b[c]), r.scales[c], -0.0)
                }
            };
            (offsets[c], scales[c], bias[c]) = (i.wrapping_sub(taken), s, b);
        }
        Steps { offsets, scales, bias }
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
    let range = place.channel..place.channel + sums.len();
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
        ConvOutput::Sums(image) => write(conv, image, place, count, |c| {
            let (s, o, ..) = each(c);
            s.exact(o)
        }),
        ConvOutput::F32 { image, scale, relu, .. } => {
            let (scale, low) = (*scale, if *relu { 0.0 } else { f32::NEG_INFINITY });
            write(conv, image, place, count, |c| {
                let (s, o, m, b) = each(c);
                let v = s.float(o) * scale * m + b;
                let v = if v < low { low } else { v };
                if v.is_nan() { f32::NAN } else { v }
            });
        }
        ConvOutput::I8(image, r) => {
            let code = coder(r, -128, 127);
            write(conv, image, place, count, |c| {
                let (s, o, m, _) = each(c);
                code(s.exact(o), m) as i8
            });
        }
        ConvOutput::U8(image, r) => {
            let code = coder(r, 0, 255);
            write(conv, image, place, count, |c| {
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
    let top = if top < bottom { bottom } else { top };
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
    image: &mut Image<'_, T>,
    place: Place,
    count: usize,
    value: impl Fn(usize) -> T,
) {
    let at = conv.output_at(place.image, place.pixel, place.channel);
    match conv.shape().order {
        ImageOrder::Nhwc => image.run(at, count).iter_mut().enumerate().for_each(|(c, to)| *to = value(c)),
        ImageOrder::Nchw => (0..count).for_each(|c| image.put(at + c * conv.pixels(), value(c))),
    }
}
