//! Quantised 2-D convolution: shapes, packed filters, and bodies for parts of an output.
//!
//! [`Conv`] is a checked shape, [`ConvWeights`] are its filters in the packed layouts of matrices, [`conv2d`] computes a part of an
//! output. Sums of integers are exact and every f32 output is one chain in a written order, whatever the part, the SIMD level
//! and the algorithm's tiles.

mod band;
mod depthwise;
mod direct;
mod output;
pub mod reference;
mod shape;
mod tile;
mod weights;

use crate::packed::PackError;
use crate::product::ProductError;
use crate::simd::{Simd, at_level};
use crate::{PackedFormat, Scratch};
use phalanx_simd::Tier;

pub use output::{ConvOutput, Image, Requantise};
pub use shape::{Conv, ConvShape, ImageOrder};
pub use weights::ConvWeights;

/// Why a convolution is not computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvError {
    /// A size that must be positive.
    #[error("{what} must be at least 1")]
    Zero {
        /// Which size.
        what: &'static str,
    },
    /// Channels that groups do not divide.
    #[error("{channels} {what} channels cannot be divided into {groups} groups")]
    Groups {
        /// Input or output.
        what: &'static str,
        /// Channels.
        channels: usize,
        /// Groups.
        groups: usize,
    },
    /// A filter larger than the padded image.
    #[error("the filter spans {reach} {name}, the padded image has {padded}: pad more or dilate less")]
    Kernel {
        /// Rows or columns.
        name: &'static str,
        /// What the filter spans, dilation included.
        reach: usize,
        /// What there is.
        padded: usize,
    },
    /// Sizes whose product does not fit.
    #[error("{what} exceeds the address range")]
    TooLarge {
        /// Which array.
        what: &'static str,
    },
    /// A length that must equal another.
    #[error("{what} has {found} elements, not {expected}")]
    Length {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it must be.
        expected: usize,
    },
    /// Weights packed for another shape.
    #[error("the weights were packed for another shape")]
    Weights,
    /// Input and weights that do not go together.
    #[error("{input} input is not convolved with {format} weights{}", if *sums { " to exact sums" } else { "" })]
    Kind {
        /// Type of the input.
        input: &'static str,
        /// Layout of the weights.
        format: PackedFormat,
        /// Whether exact sums were asked for.
        sums: bool,
    },
    /// Output rows or channels outside the shape, or channels that do not begin at a packed stripe.
    #[error("{what} {from}..{to} is no part of {of}")]
    Part {
        /// Rows or channels.
        what: &'static str,
        /// First.
        from: usize,
        /// Past the last.
        to: usize,
        /// How many there are.
        of: usize,
    },
    /// The weights cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The machine lacks the SIMD level, or there is no memory for scratch.
    #[error(transparent)]
    Product(#[from] ProductError),
}

/// The input of a convolution.
#[derive(Clone, Copy, Debug)]
pub enum ConvInput<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Signed codes; `zero` is the code of the value 0, and of padding.
    I8 {
        /// Elements.
        data: &'a [i8],
        /// Zero point.
        zero: i8,
    },
    /// Unsigned codes.
    U8 {
        /// Elements.
        data: &'a [u8],
        /// Zero point.
        zero: u8,
    },
}

impl ConvInput<'_> {
    fn len(&self) -> usize {
        match self {
            ConvInput::F32(data) => data.len(),
            ConvInput::I8 { data, .. } => data.len(),
            ConvInput::U8 { data, .. } => data.len(),
        }
    }
    fn kind(&self) -> &'static str {
        match self {
            ConvInput::F32(_) => "f32",
            ConvInput::I8 { .. } => "i8",
            ConvInput::U8 { .. } => "u8",
        }
    }
    fn is_float(&self) -> bool {
        matches!(self, ConvInput::F32(_))
    }
    /// The zero point once codes are signed.
    fn signed_zero(&self) -> i32 {
        match self {
            ConvInput::F32(_) => 0,
            ConvInput::I8 { zero, .. } => i32::from(*zero),
            ConvInput::U8 { zero, .. } => i32::from(*zero) - 128,
        }
    }
}

/// A part of an output: some rows of one image, some channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPart {
    /// Image.
    pub image: usize,
    /// First row and row past the last.
    pub rows: (usize, usize),
    /// First channel and channel past the last, both multiples of [`Conv::channel_unit`] or the end.
    pub channels: (usize, usize),
}

/// Computes a part of an output. Parts that do not overlap may be computed by several threads at once, and no division changes a
/// bit.
///
/// An output of codes and integer weights: the exact sum of (input - zero point) * weight, then what [`ConvOutput`] says. Of f32
/// input: acc = fma(weight, input, acc) from +0 over filter rows, filter columns and channels ascending, padding being +0, times the
/// filter's scale where the weights have one.
///
/// # Errors
/// A level that the machine lacks, weights of another shape, kinds that do not go together, lengths and parts that do not fit, no
/// memory for scratch.
pub fn conv2d(
    tier: Tier,
    conv: &Conv,
    weights: &ConvWeights,
    input: ConvInput<'_>,
    output: &mut ConvOutput<'_>,
    part: ConvPart,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    check(tier, conv, weights, &input, output, &part)?;
    if conv.is_depthwise() {
        let call = depthwise::Depthwise { conv, weights, input: &input, output, part: &part, scratch };
        return at_level!(tier, s => s.call(call));
    }
    let call = direct::Direct { conv, weights, input: &input, output, part: &part, scratch };
    at_level!(tier, s => s.call(call))
}

/// The whole output on the caller's thread: [`conv2d`] of every image.
///
/// # Errors
/// As [`conv2d`].
///
/// ```
/// use phalanx_kernels::conv::*;
/// use phalanx_kernels::{PackedFormat, Scratch};
/// let conv = Conv::new(ConvShape { pad: [1; 4], ..ConvShape::square(4, 1, 1, 3) })?;
/// let weights = ConvWeights::integers(&conv, PackedFormat::T2, &[0, 1, 0, 1, -1, 1, 0, 1, 0], &[])?;
/// let input = ConvInput::I8 { data: &[1; 16], zero: 0 };
/// let mut sums = [0; 16];
/// conv2d_whole(phalanx_simd::Tier::best(), &conv, &weights, input, &mut ConvOutput::Sums(Image::new(&mut sums)), &mut Scratch::new())?;
/// assert_eq!(sums, [1, 2, 2, 1, 2, 3, 3, 2, 2, 3, 3, 2, 1, 2, 2, 1]);
/// # Ok::<(), ConvError>(())
/// ```
pub fn conv2d_whole(
    tier: Tier,
    conv: &Conv,
    weights: &ConvWeights,
    input: ConvInput<'_>,
    output: &mut ConvOutput<'_>,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    let (rows, channels) = ((0, conv.output()[0]), (0, conv.shape().out_channels));
    let nothing = ConvPart { image: 0, rows: (0, 0), channels };
    check(tier, conv, weights, &input, output, &nothing)?;
    for image in 0..conv.shape().batch {
        conv2d(tier, conv, weights, input, output, ConvPart { image, rows, channels }, scratch)?;
    }
    Ok(())
}

fn check(
    tier: Tier,
    conv: &Conv,
    weights: &ConvWeights,
    input: &ConvInput<'_>,
    output: &ConvOutput<'_>,
    part: &ConvPart,
) -> Result<(), ConvError> {
    if !tier.is_available() {
        return Err(ProductError::Tier(tier).into());
    }
    if !weights.fits(conv) {
        return Err(ConvError::Weights);
    }
    let format = weights.format();
    let sums = matches!(output, ConvOutput::Sums(_) | ConvOutput::I8(..) | ConvOutput::U8(..));
    // Codes with f32 weights have no exact sum, f32 input has none with any weights.
    if (input.is_float() && sums) || (!input.is_float() && format.is_float()) {
        return Err(ConvError::Kind { input: input.kind(), format, sums });
    }
    let length = |what, found, expected| {
        if found == expected { Ok(()) } else { Err(ConvError::Length { what, found, expected }) }
    };
    let s = conv.shape();
    length("the input", input.len(), conv.input_len())?;
    length("the output", output.len(), conv.output_len())?;
    output.check(s.out_channels)?;
    let within = |what, (from, to): (usize, usize), of: usize, unit: usize| {
        // The last part ends where the channels do, wherever that is.
        if from <= to && to <= of && from % unit == 0 && (to == of || to % unit == 0) {
            Ok(())
        } else {
            Err(ConvError::Part { what, from, to, of })
        }
    };
    within("output rows", part.rows, conv.output()[0], 1)?;
    let unit = conv.channel_unit();
    within("output channels", part.channels, s.out_channels, unit)?;
    if part.rows.0 < part.rows.1 {
        within("images", (part.image, part.image.saturating_add(1)), s.batch, 1)?;
    }
    Ok(())
}
