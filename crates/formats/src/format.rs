//! The formats, their names, and how many bytes a shape takes.

use crate::blocks::{Q4_0, Q6_K, Q8_0, TQ1_0, TQ2_0};
use crate::{FormatError, Layout, Scaling, Tl1, Tl2, i2s};
use std::fmt;

/// How a matrix stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Integers with a scale for each row (channel) that stand elsewhere: in a tensor of their own.
    I8,
    /// Blocks of 32 four-bit codes, -8 to 7, after their f16 scale.
    Q4_0,
    /// Blocks of 32 eight-bit codes after their f16 scale.
    Q8_0,
    /// Blocks of 256 six-bit codes, 16 eight-bit scales of 16 codes each, an f16 scale of those. Read only.
    Q6K,
    /// Blocks of 256 ternary codes, five to a byte, before their f16 scale.
    Tq1_0,
    /// Blocks of 256 ternary codes, four to a byte, before their f16 scale.
    Tq2_0,
    /// Ternary codes, four to a byte, one f32 scale after all of them; bytes depend on the writer's [`Layout`].
    I2S(Layout),
    /// Ternary pairs as numbers below 9, two to a byte, in tiles; one f32 scale.
    Tl1(Tl1),
    /// Ternary triples as a size below 14 and a sign, in tiles, with pairs for the columns that are left; one f32 scale.
    Tl2(Tl2),
}

impl Format {
    /// The format's name, as files and the command line have it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::Bf16 => "BF16",
            Format::I8 => "I8",
            Format::Q4_0 => "Q4_0",
            Format::Q8_0 => "Q8_0",
            Format::Q6K => "Q6_K",
            Format::Tq1_0 => "TQ1_0",
            Format::Tq2_0 => "TQ2_0",
            Format::I2S(_) => "I2_S",
            Format::Tl1(_) => "TL1",
            Format::Tl2(_) => "TL2",
        }
    }

    /// Columns that share a block, and bytes of it. Formats without blocks have blocks of one.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Format::F32 => (1, 4),
            Format::F16 | Format::Bf16 => (1, 2),
            Format::Q4_0 => (Q4_0.cols, Q4_0.bytes),
            Format::Q8_0 => (Q8_0.cols, Q8_0.bytes),
            Format::Q6K => (Q6_K.cols, Q6_K.bytes),
            Format::Tq1_0 => (TQ1_0.cols, TQ1_0.bytes),
            Format::Tq2_0 => (TQ2_0.cols, TQ2_0.bytes),
            Format::I8 | Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => (1, 1),
        }
    }

    /// What the scales of a matrix belong to.
    pub const fn scaling(self) -> Scaling {
        match self {
            Format::F32 | Format::F16 | Format::Bf16 => Scaling::None,
            Format::I8 => Scaling::Row,
            Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => Scaling::Tensor,
            Format::Q4_0 | Format::Q8_0 | Format::Tq1_0 | Format::Tq2_0 => Scaling::Block(self.block().0),
            Format::Q6K => Scaling::Block(16),
        }
    }

    /// The least and the largest code; `None` for floats.
    pub const fn range(self) -> Option<(i8, i8)> {
        match self {
            Format::F32 | Format::F16 | Format::Bf16 => None,
            Format::I8 | Format::Q8_0 => Some((-128, 127)),
            Format::Q4_0 => Some((-8, 7)),
            Format::Q6K => Some((-32, 31)),
            Format::Tq1_0 | Format::Tq2_0 | Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => Some((-1, 1)),
        }
    }

    /// Whether codes are -1, 0 and 1.
    pub const fn is_ternary(self) -> bool {
        matches!(self.range(), Some((-1, 1)))
    }

    /// Bytes of `n` rows of `k` columns, the scale and padding of formats that have them at the end included.
    ///
    /// # Errors
    /// A shape that the format cannot hold, with the reason.
    pub fn bytes(self, n: usize, k: usize) -> Result<usize, FormatError> {
        let refuse = |why: String| FormatError::Shape { format: self, n, k, why };
        let values = n.checked_mul(k).filter(|v| *v <= isize::MAX as usize / 8);
        let values = values.ok_or_else(|| refuse("so many values do not fit in memory".into()))?;
        match self {
            Format::I2S(layout) => layout.check(n, k).map_err(refuse).map(|()| values / 4 + i2s::TAIL),
            Format::Tl1(t) => t.check(n, k).map_err(refuse).map(|()| values / 4 + i2s::TAIL),
            Format::Tl2(t) => t.check(n, k).map_err(refuse).map(|()| Tl2::scale_at(n, k) + i2s::TAIL),
            _ => {
                let (cols, bytes) = self.block();
                if !k.is_multiple_of(cols) {
                    return Err(refuse(format!(
                        "rows must be whole blocks of {cols} columns; choose a format with smaller blocks for this matrix"
                    )));
                }
                Ok(values / cols * bytes)
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
