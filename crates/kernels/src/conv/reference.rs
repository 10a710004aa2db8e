//! Convolution in the plainest way, to compare against: seven nested loops that share nothing with the bodies.

use super::{Conv, ConvInput, ConvWeights};

/// Exact sums of an 8-bit input, zero point subtracted, in the output's order.
///
/// # Panics
/// Where the weights or the input are of floats or lengths do not fit.
pub fn sums(conv: &Conv, weights: &ConvWeights, input: ConvInput<'_>) -> Vec<i32> {
    let (value, len): (Box<dyn Fn(usize) -> i32>, usize) = match input {
        ConvInput::I8 { data, zero } => (Box::new(move |i| i32::from(data[i]) - i32::from(zero)), data.len()),
        ConvInput::U8 { data, zero } => (Box::new(move |i| i32::from(data[i]) - i32::from(zero)), data.len()),
        ConvInput::F32(_) => panic!("sums are of integers"),
    };
    assert_eq!(len, conv.input_len(), "input length");
    each(conv, 0, |acc, at, filter, tap, c| {
        acc + at.map_or(0, &value) * i32::from(weights.integer(filter, tap, c))
    })
}

/// Values of an f32 input: acc = fma(weight, input, acc) from +0 over filter rows, filter columns and channels ascending, where
/// padding is an input of +0 like any other; times the filter's scale, where the weights have one.
///
/// # Panics
/// Where lengths do not fit.
pub fn floats(conv: &Conv, weights: &ConvWeights, input: &[f32]) -> Vec<f32> {
    assert_eq!(input.len(), conv.input_len(), "input length");
    let sums: Vec<f32> = each(conv, 0.0, |acc: f32, at, filter, tap, c| {
        weights.value(filter, tap, c).mul_add(at.map_or(0.0, |at| input[at]), acc)
    });
    let scaled = |(i, v): (usize, f32)| {
        let channel = match conv.shape().order {
            super::ImageOrder::Nhwc => i % conv.shape().out_channels,
            super::ImageOrder::Nchw => i / conv.pixels() % conv.shape().out_channels,
        };
        weights.scale(channel).map_or(v, |s| v * s)
    };
    sums.into_iter().enumerate().map(scaled).collect()
}

/// `step(acc, input index or padding, filter, tap, channel of the filter)` over all products of every output.
fn each<T: Copy + Default>(
    conv: &Conv,
    zero: T,
    step: impl Fn(T, Option<usize>, usize, usize, usize) -> T,
) -> Vec<T> {
    let s = conv.shape();
    let mut out = vec![T::default(); conv.output_len()];
    for image in 0..s.batch {
        for filter in 0..s.out_channels {
            for oy in 0..conv.output()[0] {
                for ox in 0..conv.output()[1] {
                    let mut acc = zero;
                    for ky in 0..s.kernel[0] {
                        for kx in 0..s.kernel[1] {
                            let y = (oy * s.stride[0] + ky * s.dilation[0]).wrapping_sub(s.pad[0]);
                            let x = (ox * s.stride[1] + kx * s.dilation[1]).wrapping_sub(s.pad[2]);
                            let inside = y < s.input[0] && x < s.input[1];
                            let first = filter / conv.group_out() * conv.group_in();
                            for c in 0..conv.group_in() {
                                let at =
                                    inside.then(|| image * conv.image_len() + conv.input_at(y, x, first + c));
                                acc = step(acc, at, filter, ky * s.kernel[1] + kx, c);
                            }
                        }
                    }
                    out[conv.output_at(image, oy * conv.output()[1] + ox, filter)] = acc;
                }
            }
        }
    }
    out
}
