//! The shape of a convolution: sizes, checked once, from which everything else is computed.

use super::{Algorithm, ConvError};
use crate::format::STRIPE;

/// How the elements of images lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageOrder {
    /// `[image][channel][row][column]`.
    Nchw,
    /// `[image][row][column][channel]`.
    Nhwc,
}

/// Sizes of a 2-D convolution of one image. Pairs are of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Order of input and output.
    pub order: ImageOrder,
    /// Rows and columns of an input image.
    pub input: [usize; 2],
    /// Channels of an input image.
    pub in_channels: usize,
    /// Channels of an output image.
    pub out_channels: usize,
    /// Rows and columns of a filter.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Rows above, rows below, columns left, columns right of the image that count as zero.
    pub pad: [usize; 4],
    /// Steps between a filter's taps.
    pub dilation: [usize; 2],
    /// Groups: group `g` of the output channels sees group `g` of the input channels alone.
    pub groups: usize,
    /// The algorithm, where the caller asks for one ([`Conv::algorithm`]).
    pub algorithm: Option<Algorithm>,
}

impl ConvShape {
    /// A square image in NHWC order, stride and dilation 1, one group: the rest is set by `..`.
    ///
    /// ```
    /// use phalanx_kernels::conv::{Conv, ConvShape};
    /// let shape = ConvShape { pad: [1; 4], stride: [2, 2], ..ConvShape::square(224, 3, 64, 3) };
    /// assert_eq!(Conv::new(shape)?.output(), [112, 112]);
    /// # Ok::<(), phalanx_kernels::conv::ConvError>(())
    /// ```
    pub fn square(width: usize, in_channels: usize, out_channels: usize, kernel: usize) -> ConvShape {
        ConvShape {
            order: ImageOrder::Nhwc,
            input: [width, width],
            in_channels,
            out_channels,
            kernel: [kernel, kernel],
            stride: [1, 1],
            pad: [0; 4],
            dilation: [1, 1],
            groups: 1,
            algorithm: None,
        }
    }
}

/// A checked [`ConvShape`]: every size below fits in memory's address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    shape: ConvShape,
    output: [usize; 2],
}

impl Conv {
    /// Checks a shape.
    ///
    /// # Errors
    /// A size of 0, channels that groups do not divide, a filter larger than the padded image, or sizes
    /// whose arrays exceed the address range, an algorithm that is not for the shape. Nothing is allocated.
    pub fn new(shape: ConvShape) -> Result<Conv, ConvError> {
        let s = &shape;
        let positive = [
            ("image rows", s.input[0]),
            ("image columns", s.input[1]),
            ("input channels", s.in_channels),
            ("output channels", s.out_channels),
            ("filter rows", s.kernel[0]),
            ("filter columns", s.kernel[1]),
            ("row stride", s.stride[0]),
            ("column stride", s.stride[1]),
            ("row dilation", s.dilation[0]),
            ("column dilation", s.dilation[1]),
            ("groups", s.groups),
        ];
        if let Some((what, _)) = positive.iter().find(|(_, size)| *size == 0) {
            return Err(ConvError::Zero { what });
        }
        for (what, channels) in [("input", s.in_channels), ("output", s.out_channels)] {
            if channels % s.groups != 0 {
                return Err(ConvError::Groups { what, channels, groups: s.groups });
            }
        }
        let mut output = [0; 2];
        for (axis, name) in ["rows", "columns"].into_iter().enumerate() {
            let padded =
                s.pad[2 * axis].checked_add(s.pad[2 * axis + 1]).and_then(|p| p.checked_add(s.input[axis]));
            let reach = (s.kernel[axis] - 1).checked_mul(s.dilation[axis]).and_then(|r| r.checked_add(1));
            let (Some(padded), Some(reach)) = (padded, reach) else {
                return Err(ConvError::TooLarge { what: "padding or dilation" });
            };
            if reach > padded {
                return Err(ConvError::Kernel { name, reach, padded });
            }
            output[axis] = (padded - reach) / s.stride[axis] + 1;
            // A band of the padded image is what the bodies copy.
            let band = padded.checked_mul(s.in_channels).and_then(|b| b.checked_mul(8));
            if band.is_none_or(|b| b > isize::MAX as usize) {
                return Err(ConvError::TooLarge { what: "a padded row" });
            }
        }
        let count = |sizes: &[usize]| {
            // 8 bytes an element at most.
            let count = sizes.iter().try_fold(8usize, |n, size| n.checked_mul(*size));
            count.is_some_and(|bytes| bytes <= isize::MAX as usize)
        };
        for (what, sizes) in [
            ("the input", [s.input[0], s.input[1], s.in_channels, 1]),
            ("the output", [output[0], output[1], s.out_channels, 1]),
            ("the weights", [s.out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1]]),
        ] {
            if !count(&sizes) {
                return Err(ConvError::TooLarge { what });
            }
        }
        let conv = Conv { shape, output };
        shape.algorithm.map_or(Ok(()), |a| a.check(&conv))?;
        Ok(conv)
    }

    /// The sizes it was made of.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }
    /// Rows and columns of an output image.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }
    /// Elements of an image.
    pub fn image_len(&self) -> usize {
        self.shape.input[0] * self.shape.input[1] * self.shape.in_channels
    }
    /// Elements of an image's output.
    pub fn output_len(&self) -> usize {
        self.pixels() * self.shape.out_channels
    }
    /// Weights of all filters.
    pub fn weights_len(&self) -> usize {
        self.shape.out_channels * self.taps() * self.group_in()
    }
    /// Products that the convolution of one image is made of: what rates are counted in.
    pub fn macs(&self) -> u64 {
        self.output_len() as u64 * (self.taps() * self.group_in()) as u64
    }
    /// Pixels of an image's output.
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }
    /// Taps of a filter.
    pub fn taps(&self) -> usize {
        self.shape.kernel[0] * self.shape.kernel[1]
    }
    /// Input channels of a group.
    pub fn group_in(&self) -> usize {
        self.shape.in_channels / self.shape.groups
    }
    /// Output channels of a group.
    pub(super) fn group_out(&self) -> usize {
        self.shape.out_channels / self.shape.groups
    }
    /// Whether each channel has filters of its own.
    pub fn is_depthwise(&self) -> bool {
        self.shape.groups > 1 && self.group_in() == 1 && self.group_out() == 1
    }
    /// What the channels of an output may be divided by: a packed stripe, or a group.
    pub fn channel_unit(&self) -> usize {
        if self.is_depthwise() {
            super::depthwise::CHANNELS
        } else if self.shape.groups == 1 {
            STRIPE
        } else {
            self.group_out()
        }
    }
    /// Index of an input element within its image.
    pub(super) fn input_at(&self, y: usize, x: usize, channel: usize) -> usize {
        let [h, w] = self.shape.input;
        match self.shape.order {
            ImageOrder::Nchw => (channel * h + y) * w + x,
            ImageOrder::Nhwc => (y * w + x) * self.shape.in_channels + channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_make_no_convolution_are_refused_with_the_reason() {
        let ok = ConvShape { pad: [1; 4], ..ConvShape::square(8, 4, 6, 3) };
        let text = |shape: ConvShape| Conv::new(shape).expect_err("refused").to_string();
        assert_eq!(text(ConvShape { stride: [1, 0], ..ok }), "column stride must be at least 1");
        assert_eq!(text(ConvShape { groups: 4, ..ok }), "6 output channels cannot be divided into 4 groups");
        assert_eq!(
            text(ConvShape { dilation: [5, 1], ..ok }),
            "the filter spans 11 rows, the padded image has 10: pad more or dilate less"
        );
        let huge = ConvShape { input: [1 << 40; 2], ..ok };
        assert_eq!(text(huge), "the input exceeds the address range");
        assert!(text(ConvShape { pad: [usize::MAX, 1, 0, 0], ..ok }).contains("padding"));
        assert!(text(ConvShape { in_channels: usize::MAX / 8, ..ok }).contains("padded row"));
    }
}
