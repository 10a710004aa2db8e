//! The shape of a convolution as people write it: `56x56 64->128 3x3 s2 p1`.
//!
//! Columns x rows of the image, input and output channels, columns x rows of the filter, then what is not usual: `s` stride and `d`
//! dilation (one number, or columns x rows), `p` padding (one number, or above, below, left, right), `g` groups, `nchw`, an algorithm.

use super::{Algorithm, ConvShape, ImageOrder};
use std::fmt;
use std::str::FromStr;

/// A text that is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` in `{text}`: write columns x rows, channels, filter and what else there is, as `56x56 64->128 3x3 s2 p1 d1 g1 nhwc direct`"
)]
pub struct ShapeTextError {
    text: String,
    part: String,
}

/// Columns and rows, as rows and columns.
fn pair(text: &str) -> Option<[usize; 2]> {
    let (cols, rows) = text.split_once('x')?;
    Some([rows.parse().ok()?, cols.parse().ok()?])
}

/// One number for both, or columns x rows.
fn one_or_pair(text: &str) -> Option<[usize; 2]> {
    text.parse().map(|n| [n; 2]).ok().or_else(|| pair(text))
}

fn padding(text: &str) -> Option<[usize; 4]> {
    if let Ok(n) = text.parse() {
        return Some([n; 4]);
    }
    let all: Vec<usize> = text.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    all.try_into().ok()
}

impl FromStr for ConvShape {
    type Err = ShapeTextError;

    /// ```
    /// use phalanx_kernels::conv::ConvShape;
    /// let text = "32x24 8->16 5x3 s2x1 p1,0,2,2 d2 g4 nchw im2col";
    /// let shape: ConvShape = text.parse()?;
    /// assert_eq!((shape.input, shape.kernel, shape.stride), ([24, 32], [3, 5], [1, 2]));
    /// assert_eq!(shape.to_string(), text);
    /// assert!("32 8->16 3x3".parse::<ConvShape>().is_err());
    /// # Ok::<(), phalanx_kernels::conv::ShapeTextError>(())
    /// ```
    fn from_str(text: &str) -> Result<ConvShape, ShapeTextError> {
        let wrong = |part: &str| ShapeTextError { text: text.into(), part: part.into() };
        let mut words = text.split_whitespace();
        let mut next = || words.next().ok_or_else(|| wrong(text));
        let (image, channels, filter) = (next()?, next()?, next()?);
        let input = pair(image).ok_or_else(|| wrong(image))?;
        let kernel = pair(filter).ok_or_else(|| wrong(filter))?;
        let of = channels.split_once("->").and_then(|(i, o)| Some((i.parse().ok()?, o.parse().ok()?)));
        let (in_channels, out_channels) = of.ok_or_else(|| wrong(channels))?;
        let mut shape = ConvShape { input, kernel, ..ConvShape::square(1, in_channels, out_channels, 1) };
        for word in words {
            let Some(first) = word.chars().next() else { continue };
            let rest = &word[first.len_utf8()..];
            if let Ok(algorithm) = word.parse::<Algorithm>() {
                shape.algorithm = Some(algorithm);
                continue;
            }
            let known = match (first, word) {
                (_, "nchw") => Some(ConvShape { order: ImageOrder::Nchw, ..shape }),
                (_, "nhwc") => Some(ConvShape { order: ImageOrder::Nhwc, ..shape }),
                ('s', _) => one_or_pair(rest).map(|stride| ConvShape { stride, ..shape }),
                ('d', _) => one_or_pair(rest).map(|dilation| ConvShape { dilation, ..shape }),
                ('p', _) => padding(rest).map(|pad| ConvShape { pad, ..shape }),
                ('g', _) => rest.parse().map(|groups| ConvShape { groups, ..shape }).ok(),
                _ => None,
            };
            shape = known.ok_or_else(|| wrong(word))?;
        }
        Ok(shape)
    }
}

impl fmt::Display for ConvShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |[rows, cols]: [usize; 2]| format!("{cols}x{rows}");
        let short =
            |[rows, cols]: [usize; 2]| if rows == cols { rows.to_string() } else { format!("{cols}x{rows}") };
        write!(f, "{} {}->{} {}", pair(self.input), self.in_channels, self.out_channels, pair(self.kernel))?;
        if self.stride != [1; 2] {
            write!(f, " s{}", short(self.stride))?;
        }
        let [top, bottom, left, right] = self.pad;
        match self.pad {
            [0, 0, 0, 0] => {}
            all if all == [top; 4] => write!(f, " p{top}")?,
            _ => write!(f, " p{top},{bottom},{left},{right}")?,
        }
        if self.dilation != [1; 2] {
            write!(f, " d{}", short(self.dilation))?;
        }
        if self.groups != 1 {
            write!(f, " g{}", self.groups)?;
        }
        if self.order == ImageOrder::Nchw {
            write!(f, " nchw")?;
        }
        if let Some(algorithm) = self.algorithm {
            write!(f, " {algorithm}")?;
        }
        Ok(())
    }
}
