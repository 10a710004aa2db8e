//! Which algorithm makes a convolution's sums: the one place that picks it.
//!
//! The pick is a function of the shape and of whether the weights are floats, so that bits never depend on the machine. Integers are
//! summed exactly, so for them algorithms that round are not there at all.

use super::fft::Size;
use super::{Conv, ConvError, LANES};
use crate::format::STRIPE;
use std::fmt;
use std::str::FromStr;

/// How the sums of a convolution are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A band of padded rows, and register tiles of pixels by filters over it. 1x1 filters are the matrix product that this becomes.
    Direct,
    /// Vectors over channels, for filters of one channel each. The bits of [`Algorithm::Direct`].
    Depthwise,
    /// Every pixel's taps copied out to a row, and products of matrices. The bits of [`Algorithm::Direct`].
    Im2col,
    /// F(2x2, 3x3) for f32: 16 products for 4 outputs where the definition has 36.
    Winograd,
    /// Products of spectra, for large f32 filters.
    Fft,
}

/// What the pick for a shape is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The reason, in words.
    pub why: &'static str,
}

impl Algorithm {
    /// All.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Direct, Algorithm::Depthwise, Algorithm::Im2col, Algorithm::Winograd, Algorithm::Fft];

    /// The name in the text of a shape.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Direct => "direct",
            Algorithm::Depthwise => "depthwise",
            Algorithm::Im2col => "im2col",
            Algorithm::Winograd => "winograd",
            Algorithm::Fft => "fft",
        }
    }

    /// The algorithm whose order of float operations this one has: of those with one order, the bits are the same.
    #[must_use]
    pub fn order(self) -> Algorithm {
        match self {
            Algorithm::Depthwise | Algorithm::Im2col => Algorithm::Direct,
            other => other,
        }
    }

    /// The pick for a shape whose caller asks for none; `float`: whether the weights are floats.
    pub fn choose(conv: &Conv, float: bool) -> Choice {
        let choice = |algorithm, why| Choice { algorithm, why };
        let plain = if conv.is_depthwise() { Algorithm::Depthwise } else { Algorithm::Direct };
        let beats = |other: Algorithm, times: f64| times * cost(conv, other) < cost(conv, plain);
        if float && conv.taps() >= LARGE && beats(Algorithm::Fft, CLEARLY) {
            return choice(Algorithm::Fft, "f32 filters so large that products of spectra are much cheaper");
        }
        if plain == Algorithm::Depthwise {
            return choice(plain, "each channel has a filter of its own");
        }
        if conv.taps() == 1 {
            return choice(plain, "1x1 filters: a matrix product");
        }
        if !float {
            return choice(plain, "integers: exact, and no other exact algorithm is cheaper");
        }
        if Algorithm::Winograd.check(conv).is_err() {
            return choice(
                plain,
                "no 3x3 filters of stride and dilation 1 in one group, and too small for spectra",
            );
        }
        if beats(Algorithm::Winograd, 1.0) {
            return choice(Algorithm::Winograd, "3x3 f32 filters: 16 products in place of 36");
        }
        choice(plain, "3x3 f32 filters, but too few channels for what Winograd's transforms cost")
    }

    /// Whether it can do the shape.
    pub(super) fn check(self, conv: &Conv) -> Result<(), ConvError> {
        let s = conv.shape();
        let why = match self {
            Algorithm::Depthwise if !conv.is_depthwise() => {
                "is for groups of one input and one output channel"
            }
            Algorithm::Winograd
                if s.kernel != [3, 3] || s.stride != [1, 1] || s.dilation != [1, 1] || s.groups != 1 =>
            {
                "is for 3x3 filters of stride and dilation 1 in one group"
            }
            _ => return Ok(()),
        };
        Err(ConvError::Algorithm { algorithm: self, why })
    }
}

impl Conv {
    /// The algorithm of the shape: what its caller asks for, or the pick.
    ///
    /// # Errors
    /// One that rounds, asked for with weights that are integers.
    pub fn algorithm(&self, float: bool) -> Result<Choice, ConvError> {
        let Some(algorithm) = self.shape().algorithm else { return Ok(Algorithm::choose(self, float)) };
        if !float && algorithm.order() != Algorithm::Direct {
            let why = "is not exact, and integers are summed exactly: it is for f32 weights";
            return Err(ConvError::Algorithm { algorithm, why });
        }
        Ok(Choice { algorithm, why: "asked for" })
    }
}

/// About what an f32 convolution of one image costs, in products of the direct algorithm. The factors were fitted to what
/// `phalanx bench conv --dtype f32 --algorithms all` measured on AVX-512; they decide about bits, so they do not follow the machine.
fn cost(conv: &Conv, algorithm: Algorithm) -> f64 {
    let s = conv.shape();
    let of = |n: usize| n as f64;
    // Tiles of filters are computed whole.
    let filters = of(s.groups) * of(conv.group_out().next_multiple_of(STRIPE));
    let inner = of(conv.group_in());
    match algorithm {
        Algorithm::Winograd => {
            let tiles = of(conv.output()[0].div_ceil(2)) * of(conv.output()[1].div_ceil(2));
            let products = 16.0 * inner * filters + TILE * (inner + filters);
            tiles * products + POINTS * inner * of(s.out_channels)
        }
        Algorithm::Fft => {
            let Ok(size) = Size::of(conv) else { return f64::INFINITY };
            let whole = |channels: usize| of(channels.next_multiple_of(LANES));
            let steps = (whole(s.in_channels) + whole(s.out_channels)) * of(size.rows * size.cols).log2();
            of(size.points()) * (STEP * steps + PRODUCT * inner * whole(s.out_channels))
        }
        Algorithm::Depthwise => DEPTHWISE * conv.macs() as f64,
        Algorithm::Direct | Algorithm::Im2col => of(conv.pixels()) * of(conv.taps()) * inner * filters,
    }
}

/// Transforming a Winograd tile's inputs of a channel, or its outputs of a filter.
const TILE: f64 = 350.0;
/// Reading the points of a filter and channel.
const POINTS: f64 = 150.0;
/// A channel's part of a step of a Fourier transform, for each point.
const STEP: f64 = 35.0;
/// A product of complex numbers of which one comes from memory.
const PRODUCT: f64 = 25.0;
/// A product with a filter of one channel.
const DEPTHWISE: f64 = 3.0;
/// Taps from which on filters are large: spectra of smaller ones take many times their memory.
const LARGE: usize = 49;
/// How many times cheaper spectra must be, because of the memory that they take.
const CLEARLY: f64 = 1.5;

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;
    fn from_str(text: &str) -> Result<Algorithm, String> {
        let find = Algorithm::ALL.into_iter().find(|a| a.name() == text);
        find.ok_or_else(|| format!("algorithms are {}", Algorithm::ALL.map(Algorithm::name).join(", ")))
    }
}
