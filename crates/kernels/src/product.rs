//! The product of packed weights with rows of activations: what a call says, what it checks, and the choice of body.

use crate::arena::Arena;
use crate::packed::PackedWeights;
use crate::rows::{Rows, Tile};
use crate::simd::at_level;
use crate::{PackedFormat, body};
use phalanx_simd::Tier;

/// The activations of a product.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// 8-bit codes, for every layout of integers. `scales` has one divisor for each row ([`crate::Quantised::scale`]).
    Codes {
        /// The codes.
        rows: Rows<'a, i8>,
        /// Divisors, where there are any.
        scales: Option<&'a [f32]>,
    },
    /// Values, for the layouts of floats.
    Floats(Rows<'a, f32>),
}

impl Input<'_> {
    /// Rows of activations.
    pub fn rows(&self) -> usize {
        match self {
            Input::Codes { rows, .. } => rows.rows(),
            Input::Floats(rows) => rows.rows(),
        }
    }
    /// Rows `from..to`, with their scales.
    ///
    /// # Panics
    /// Where they are not all there.
    pub fn range(&self, from: usize, to: usize) -> Self {
        match self {
            Input::Codes { rows, scales } => {
                Input::Codes { rows: rows.range(from, to), scales: scales.map(|s| &s[from..to]) }
            }
            Input::Floats(rows) => Input::Floats(rows.range(from, to)),
        }
    }
}

/// Where a product goes, and in which form.
#[derive(Debug)]
pub enum Output<'a> {
    /// Exact sums of codes, without any scale; for [`PackedFormat::T2`], [`PackedFormat::T3`] and [`PackedFormat::I8`].
    Sums(Tile<'a, i32>),
    /// Values, after the steps that [`matmul`] names.
    Floats {
        /// The tile.
        tile: Tile<'a, f32>,
        /// Added to each weight row's outputs, one for each row of the whole matrix.
        bias: Option<&'a [f32]>,
        /// Applied last.
        activation: Activation,
    },
}

impl<'a> Output<'a> {
    /// The rows before and from `at`.
    ///
    /// # Panics
    /// Where `at` is beyond the last row.
    pub fn split_rows(self, at: usize) -> (Output<'a>, Output<'a>) {
        match self {
            Output::Sums(tile) => {
                let (a, b) = tile.split_rows(at);
                (Output::Sums(a), Output::Sums(b))
            }
            Output::Floats { tile, bias, activation } => {
                let (a, b) = tile.split_rows(at);
                (Output::Floats { tile: a, bias, activation }, Output::Floats { tile: b, bias, activation })
            }
        }
    }
}

/// A function of one value at the end of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// 0 where the value is below 0.
    Relu,
    /// The square of [`Activation::Relu`].
    ReluSquared,
    /// x * sigmoid(x).
    Silu,
    /// 0.5 * x * (1 + erf(x * 0.70710677)).
    Gelu,
}

/// Why a product is not computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// The machine lacks the SIMD level.
    #[error("this machine has no {0}")]
    Tier(Tier),
    /// The activations have another kind than the layout multiplies with.
    #[error("weights of layout {format} are multiplied with {}", if format.is_float() { "f32" } else { "8-bit codes" })]
    Input {
        /// Layout.
        format: PackedFormat,
    },
    /// Exact sums of a layout that has none.
    #[error("{format} has a scale per block or is of floats: its products are no integers")]
    Sums {
        /// Layout.
        format: PackedFormat,
    },
    /// The output reaches past the last weight row.
    #[error("weight rows {first}.. ({count}) of {n}")]
    Rows {
        /// First row.
        first: usize,
        /// Rows asked for.
        count: usize,
        /// Rows there are.
        n: usize,
    },
    /// A length that must equal another.
    #[error("{what} has {found}, not {expected}")]
    Length {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it must be.
        expected: usize,
    },
    /// No memory for scratch.
    #[error("cannot allocate {bytes} bytes of scratch")]
    OutOfMemory {
        /// Asked for.
        bytes: usize,
    },
}

/// Working memory of products, kept between calls by each thread.
#[derive(Default)]
pub struct Scratch {
    arena: Option<Arena>,
    /// Of products that are a step of something else.
    inner: Option<Box<Scratch>>,
}

impl Scratch {
    /// Empty; grows at the first call that needs more.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Makes room for `bytes`, so that calls which need no more ([`scratch_bytes`]) allocate nothing.
    ///
    /// # Errors
    /// No memory.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), ProductError> {
        if self.arena.as_ref().is_none_or(|a| a.len() < bytes) {
            self.arena = Some(Arena::new(bytes).ok_or(ProductError::OutOfMemory { bytes })?);
        }
        Ok(())
    }

    /// Makes room for as much as another holds.
    ///
    /// # Errors
    /// No memory.
    pub fn grow_as(&mut self, other: &Scratch) -> Result<(), ProductError> {
        self.reserve(other.arena.as_ref().map_or(0, Arena::len))?;
        other.inner.as_ref().map_or(Ok(()), |inner| self.inner.get_or_insert_default().grow_as(inner))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.arena.as_ref().map_or(0, Arena::len) + self.inner.as_ref().map_or(0, |s| s.bytes())
    }

    /// As [`Scratch::parts`], with working memory for products beside them.
    pub(crate) fn nested<const N: usize>(
        &mut self,
        sizes: [usize; N],
    ) -> Result<([&mut [u8]; N], &mut Scratch), ProductError> {
        self.reserve(sizes.iter().sum())?;
        let mut rest = self.arena.as_mut().map_or(Default::default(), Arena::bytes_mut);
        let parts = sizes.map(|size| rest.split_off_mut(..size).unwrap_or_default());
        Ok((parts, self.inner.get_or_insert_default()))
    }

    /// Disjoint parts of these sizes, each a multiple of 64 but the last.
    pub(crate) fn parts<const N: usize>(
        &mut self,
        sizes: [usize; N],
    ) -> Result<[&mut [u8]; N], ProductError> {
        Ok(self.nested(sizes)?.0)
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} bytes)", self.bytes())
    }
}

/// Bytes of scratch that a product of `m` rows of activations with `w` takes, a function of the shapes and the level alone.
pub fn scratch_bytes(tier: Tier, w: &PackedWeights, m: usize) -> usize {
    at_level!(tier, s => body::scratch_bytes(s, w.format(), m, w.k()))
}

/// Output `[i, c]` of the tile = activations row `i` times weight row `first + c`: as many rows as the activations have, as many
/// columns as the tile has. Tiles of one output may be computed by several threads in any division; the bits do not change.
///
/// What an output is, in this order:
/// 1. Integer layouts: the exact sum over `k`, which [`Output::Sums`] returns; else it is rounded to f32. Layouts with blocks:
///    acc = fma(sum of the block, rounded to f32; the block's scale; acc) from +0, blocks ascending. Floats: acc = fma(weight,
///    activation, acc) from +0, `k` ascending.
/// 2. Divided by the activations row's scale, multiplied by the weights' [`crate::Scales`], each where there is one.
/// 3. Plus the bias, where there is one.
/// 4. The activation function.
/// 5. NaN becomes the one pattern `f32::NAN` has.
///
/// # Errors
/// A level that the machine lacks, activations or output of the wrong kind, lengths that do not fit, no memory for scratch.
///
/// ```
/// use phalanx_kernels::*;
/// let w = pack_t2(2, 3, &[1, 0, -1, -1, 1, 1])?;
/// let x = Input::Codes { rows: Rows::new(&[10, 20, 30], 1, 3, 3)?, scales: None };
/// let mut sums = [0; 2];
/// let y = Output::Sums(Tile::new(&mut sums, 1, 2, 2)?);
/// matmul(phalanx_simd::Tier::best(), &w, 0, x, y, &mut Scratch::new())?;
/// assert_eq!(sums, [-20, 40]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn matmul(
    tier: Tier,
    w: &PackedWeights,
    first: usize,
    x: Input<'_>,
    y: Output<'_>,
    scratch: &mut Scratch,
) -> Result<(), ProductError> {
    check(tier, w, first, &x, &y)?;
    at_level!(tier, s => body::product(s, w, first, x, y, scratch))
}

/// Everything that a call can have wrong.
pub(crate) fn check(
    tier: Tier,
    w: &PackedWeights,
    first: usize,
    x: &Input<'_>,
    y: &Output<'_>,
) -> Result<(), ProductError> {
    let format = w.format();
    if !tier.is_available() {
        return Err(ProductError::Tier(tier));
    }
    let (m, k) = match x {
        Input::Codes { rows, scales } => {
            if format.is_float() {
                return Err(ProductError::Input { format });
            }
            if let Some(scales) = scales {
                length("the list of activation scales", scales.len(), rows.rows())?;
            }
            (rows.rows(), rows.cols())
        }
        Input::Floats(rows) => {
            if !format.is_float() {
                return Err(ProductError::Input { format });
            }
            (rows.rows(), rows.cols())
        }
    };
    length("a row of activations", k, w.k())?;
    let (rows, cols) = match y {
        Output::Sums(tile) => {
            if format.is_float() || format.block().is_some() {
                return Err(ProductError::Sums { format });
            }
            (tile.rows(), tile.cols())
        }
        Output::Floats { tile, bias, .. } => {
            if let Some(bias) = bias {
                length("the bias", bias.len(), w.n())?;
            }
            (tile.rows(), tile.cols())
        }
    };
    length("the output", rows, m)?;
    match first.checked_add(cols) {
        Some(end) if end <= w.n() => Ok(()),
        _ => Err(ProductError::Rows { first, count: cols, n: w.n() }),
    }
}

fn length(what: &'static str, found: usize, expected: usize) -> Result<(), ProductError> {
    if found == expected { Ok(()) } else { Err(ProductError::Length { what, found, expected }) }
}
