//! Quantised 2-D convolution: shapes, packed filters, and bodies for parts of an output.
//!
//! [`Conv`] is a checked shape, [`ConvWeights`] are its filters in the packed layouts of matrices, [`conv2d`] computes a part of the
//! output of one image. Sums of integers are exact and every f32 output is one chain in a written order, whatever the part, the
//! SIMD level and the algorithm's tiles.

mod algorithm;
mod band;
mod columns;
mod depthwise;
mod direct;
mod fft;
mod im2col;
mod operand;
mod output;
mod plan;
pub mod reference;
mod shape;
mod text;
mod tile;
mod weights;
mod winograd;

use band::BandSize;
use weights::Store;

use crate::packed::PackError;
use crate::product::ProductError;
use crate::simd::{Simd, at_level};
use crate::{PackedFormat, Scratch};
use phalanx_simd::Tier;

pub use algorithm::{Algorithm, Choice};
pub use output::{ConvOutput, Requantise};
pub use plan::ConvPlan;
pub use shape::{Conv, ConvShape, ImageOrder};
pub use text::ShapeTextError;
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
    #[error("{what}: {found} elements, not {expected}")]
    Length {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it must be.
        expected: usize,
    },
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
    /// A zero point that is no code.
    #[error("the zero point {zero} is no {kind}")]
    ZeroPoint {
        /// The zero point.
        zero: i32,
        /// Type of the codes.
        kind: &'static str,
    },
    /// An algorithm that is not for the shape or the weights.
    #[error("the algorithm {algorithm} {why}")]
    Algorithm {
        /// Which.
        algorithm: Algorithm,
        /// What it is for.
        why: &'static str,
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

/// The image that a convolution reads.
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

/// A part of an image's output: some rows, some channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPart {
    /// First row and row past the last.
    pub rows: (usize, usize),
    /// First channel and channel past the last, both multiples of [`Conv::channel_unit`] or the end.
    pub channels: (usize, usize),
}

impl ConvPart {
    /// The whole output of an image.
    pub fn whole(conv: &Conv) -> ConvPart {
        ConvPart { rows: (0, conv.output()[0]), channels: (0, conv.shape().out_channels) }
    }
    /// Whether it is one.
    ///
    /// # Errors
    /// [`ConvError::Part`].
    pub fn check(&self, conv: &Conv) -> Result<(), ConvError> {
        let within = |what, (from, to): (usize, usize), of: usize, unit: usize| {
            // The last part ends where the channels do, wherever that is.
            if from <= to && to <= of && from % unit == 0 && (to == of || to % unit == 0) {
                Ok(())
            } else {
                Err(ConvError::Part { what, from, to, of })
            }
        };
        within("output rows", self.rows, conv.output()[0], 1)?;
        within("output channels", self.channels, conv.shape().out_channels, conv.channel_unit())
    }
    /// Pixels and channels.
    pub(super) fn size(&self, conv: &Conv) -> (usize, usize) {
        ((self.rows.1 - self.rows.0) * conv.output()[1], self.channels.1 - self.channels.0)
    }
    /// Rows and columns of the box in which the part lies in memory, and the elements from a row to the next: pixels of channels,
    /// or channels of pixels.
    pub fn tile(&self, conv: &Conv) -> (usize, usize, usize) {
        let (pixels, channels) = self.size(conv);
        match conv.shape().order {
            ImageOrder::Nhwc => (pixels, channels, conv.shape().out_channels),
            ImageOrder::Nchw => (channels, pixels, conv.pixels()),
        }
    }
}

/// Computes a part of the output of one image. Parts that do not overlap may be computed by several threads at once, and no
/// division changes a bit.
///
/// The sum of an output: of codes, exactly (input - zero point) * weight over all taps and channels; of f32 input, the chain
/// acc = fma(weight, input, acc) from +0 over filter rows, filter columns and channels ascending, or what the weights' [`Algorithm`]
/// has in its place. Padding is the value 0. What
/// becomes of the sum, [`ConvOutput`] says.
///
/// # Errors
/// A level that the machine lacks, kinds that do not go together, lengths and parts that do not fit, no memory for scratch.
///
/// ```
/// use phalanx_kernels::conv::*;
/// use phalanx_kernels::{PackedFormat, Scratch, Tile};
/// let conv = Conv::new(ConvShape { pad: [1; 4], ..ConvShape::square(4, 1, 1, 3) })?;
/// let weights = ConvWeights::integers(&conv, PackedFormat::T2, &[0, 1, 0, 1, -1, 1, 0, 1, 0])?;
/// let mut sums = [0; 16];
/// let part = ConvPart::whole(&conv);
/// let (rows, cols, stride) = part.tile(&conv);
/// let output = ConvOutput::Sums(Tile::new(&mut sums, rows, cols, stride)?);
/// let input = ConvInput::I8 { data: &[1; 16], zero: 0 };
/// conv2d(phalanx_simd::Tier::best(), &weights, input, output, part, &mut Scratch::new())?;
/// assert_eq!(sums, [1, 2, 2, 1, 2, 3, 3, 2, 2, 3, 3, 2, 1, 2, 2, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conv2d(
    tier: Tier,
    weights: &ConvWeights,
    input: ConvInput<'_>,
    mut output: ConvOutput<'_>,
    part: ConvPart,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    if !tier.is_available() {
        return Err(ProductError::Tier(tier).into());
    }
    check(weights, &input, &output, &part)?;
    let (pixels, channels) = part.size(weights.conv());
    if pixels == 0 || channels == 0 {
        return Ok(());
    }
    let (input, output, part) = (&input, &mut output, &part);
    match &weights.store {
        Store::Points(points) => winograd::run(tier, weights, points, input, output, part, scratch),
        Store::Spectra(spectra) => fft::run(tier, weights, spectra, input, output, part, scratch),
        Store::Rows(packed) if weights.algorithm() == Algorithm::Im2col => {
            im2col::run(tier, weights, packed, input, output, part, scratch)
        }
        Store::Taps(_) | Store::Quads(..) => {
            let call = depthwise::Depthwise { weights, input, output, part, scratch };
            at_level!(tier, s => s.call(call))
        }
        Store::Rows(_) => {
            let call = direct::Direct { weights, input, output, part, scratch };
            at_level!(tier, s => s.call(call))
        }
    }
}

/// Channels that transforms take side by side.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// Up to 16 values, and 0.
#[inline(always)]
fn lanes(values: &[f32]) -> Lanes {
    if let Some(all) = values.first_chunk() {
        return *all;
    }
    let mut all = [0.0; LANES];
    all[..values.len()].copy_from_slice(values);
    all
}

/// Everything that a call can have wrong.
fn check(
    weights: &ConvWeights,
    input: &ConvInput<'_>,
    output: &ConvOutput<'_>,
    part: &ConvPart,
) -> Result<(), ConvError> {
    let (conv, format) = (weights.conv(), weights.format());
    let sums = !matches!(output, ConvOutput::F32 { .. });
    // Codes with f32 weights have no exact sum, f32 input has none with any weights.
    if (input.is_float() && sums) || (!input.is_float() && format.is_float()) {
        return Err(ConvError::Kind { input: input.kind(), format, sums });
    }
    weights.check_part(part)?;
    let length = |what, found, expected| {
        if found == expected { Ok(()) } else { Err(ConvError::Length { what, found, expected }) }
    };
    length("the image", input.len(), conv.image_len())?;
    let (rows, cols, _) = part.tile(conv);
    let found = output.size();
    length("a row of the output", found.1, cols)?;
    length("the output", found.0 * found.1, rows * cols)?;
    output.check(conv.shape().out_channels)
}
