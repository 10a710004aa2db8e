//! What convolutions take to work in.

use phalanx::Tier;
use phalanx::convolution::ConvWeights;
use phalanx::kernels::conv::{ConvInput, ConvOutput, ConvPart, ConvPlan, Requantise, conv2d};
use phalanx::kernels::{Scratch, Tile};

/// Bytes of working memory that a thread has once it has done every tile of an image, found by doing them.
pub fn working(tier: Tier, weights: &ConvWeights, plan: ConvPlan) -> anyhow::Result<usize> {
    let conv = weights.conv();
    let float = weights.format().is_float();
    let (rows, channels) = (conv.output()[0], weights.filters());
    let (x, codes) = (vec![0f32; if float { conv.image_len() } else { 0 }], vec![0i8; conv.image_len()]);
    let input = || if float { ConvInput::F32(&x) } else { ConvInput::I8 { data: &codes, zero: 0 } };
    let (mut y, mut z) =
        (vec![0f32; if float { conv.output_len() } else { 0 }], vec![0i8; conv.output_len()]);
    let scales = vec![1.0; channels];
    let to = Requantise { scales: &scales, bias: None, zero: 0, relu: false };
    let mut scratch = Scratch::new();
    for row in (0..rows).step_by(plan.tile_rows) {
        for channel in (0..channels).step_by(plan.tile_channels) {
            let rows = (row, rows.min(row + plan.tile_rows));
            let part = ConvPart { rows, channels: (channel, channels.min(channel + plan.tile_channels)) };
            let (n, cols, stride) = part.tile(conv);
            let output = match float {
                true => {
                    let tile = Tile::new(&mut y, n, cols, stride)?;
                    ConvOutput::F32 { tile, scales: None, bias: None, relu: false }
                }
                false => ConvOutput::I8(Tile::new(&mut z, n, cols, stride)?, to),
            };
            conv2d(tier, weights, input(), output, part, &mut scratch)?;
        }
    }
    Ok(scratch.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx::convolution::filters;
    use phalanx::isa::PackFormat;

    #[test]
    fn ternary_filters_take_a_panel_more() {
        let of = |format| {
            let weights =
                filters(format, "14x14 32->96 3x3 p1".parse().unwrap(), &[1.0; 96 * 9 * 32]).unwrap();
            let one = working(Tier::best(), &weights, ConvPlan::choose(&weights, 1, 1)).unwrap();
            assert!(working(Tier::best(), &weights, ConvPlan::choose(&weights, 1, 2)).unwrap() <= one);
            one
        };
        assert!(0 < of(PackFormat::I8) && of(PackFormat::I8) < of(PackFormat::T2));
    }
}
