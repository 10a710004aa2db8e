//! How a convolution is divided over threads. No division changes a bit, so the machine may choose.

use super::{Algorithm, BandSize, ConvPart, ConvWeights};
use crate::PackedFormat;
use crate::format::STRIPE;

/// Tiles of an image's output: so many rows by so many channels, the last ones smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPlan {
    /// Output rows of a tile.
    pub tile_rows: usize,
    /// Channels of a tile.
    pub tile_channels: usize,
}

/// Pixels that a register tile takes at once.
const PIXELS: usize = 8;
/// What a tile costs besides its work, in cycles.
const START: usize = 3000;

impl ConvPlan {
    /// The division that promises the shortest time for `images` images on `threads` threads.
    pub fn choose(weights: &ConvWeights, images: usize, threads: usize) -> ConvPlan {
        let conv = weights.conv();
        let (rows, channels) = (conv.output()[0], conv.shape().out_channels);
        let unit = conv.channel_unit();
        let units = channels.div_ceil(unit);
        let mut best = (u64::MAX, ConvPlan { tile_rows: rows, tile_channels: channels });
        if threads <= 1 {
            return best.1;
        }
        // Parts that differ in size by little, in numbers that grow by half.
        let counts = |of: usize| {
            let more = move |n: &usize| (*n < of).then(|| (n + n.div_ceil(2)).min(of));
            std::iter::successors(Some(1usize), more)
        };
        // Spectra are of all rows, Winograd's tiles of two.
        let (most, even) = match weights.algorithm() {
            Algorithm::Fft => (1, 1),
            Algorithm::Winograd => (rows.div_ceil(2), 2),
            _ => (rows, 1),
        };
        for along_rows in counts(most) {
            for along_channels in counts(units) {
                let tile_rows = rows.div_ceil(along_rows).next_multiple_of(even);
                let tile_channels = units.div_ceil(along_channels) * unit;
                let tiles = rows.div_ceil(tile_rows) * channels.div_ceil(tile_channels) * images.max(1);
                if tiles > 64 * threads * images.max(1) {
                    continue;
                }
                let part =
                    ConvPart { rows: (0, tile_rows.min(rows)), channels: (0, tile_channels.min(channels)) };
                let time = cycles(weights, part).saturating_mul(tiles.div_ceil(threads) as u64);
                if time < best.0 {
                    best = (time, ConvPlan { tile_rows, tile_channels });
                }
            }
        }
        best.1
    }

    /// Tiles of an image.
    pub fn tiles(&self, weights: &ConvWeights) -> usize {
        let conv = weights.conv();
        conv.output()[0].div_ceil(self.tile_rows) * conv.shape().out_channels.div_ceil(self.tile_channels)
    }
}

/// About how long a part takes.
fn cycles(weights: &ConvWeights, part: ConvPart) -> u64 {
    let conv = weights.conv();
    let (pixels, channels) = part.size(conv);
    let wide = |a: usize, b: usize, c: usize| (a as u64).saturating_mul(b as u64).saturating_mul(c as u64);
    let k = weights.filter_len();
    if conv.is_depthwise() {
        return wide(pixels, channels.next_multiple_of(super::depthwise::CHANNELS), k + 8) / 16
            + START as u64;
    }
    let padded = channels.next_multiple_of(STRIPE);
    let work = wide(pixels.next_multiple_of(PIXELS), padded, k) / 96 + wide(pixels, padded, 1) / 12;
    let band = BandSize::of(conv);
    let fill = wide(BandSize::input_rows(conv, part.rows.1.max(1)), band.row, 1) / 16;
    let unpack = if weights.format() == PackedFormat::T2 { wide(padded, k, 1) / 24 } else { 0 };
    work + fill + unpack + START as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Conv, ConvShape};
    use super::*;

    #[test]
    fn tiles_cover_the_output_and_keep_threads_busy() {
        for (width, channels, format) in
            [(56, 64, PackedFormat::I8), (7, 512, PackedFormat::I8), (14, 256, PackedFormat::T2)]
        {
            let shape = ConvShape { pad: [1; 4], ..ConvShape::square(width, channels, channels, 3) };
            let conv = Conv::new(shape).expect("a shape");
            let weights =
                ConvWeights::integers(&conv, format, &vec![1; conv.weights_len()]).expect("filters");
            let one = ConvPlan::choose(&weights, 1, 1);
            assert_eq!((one.tile_rows, one.tile_channels, one.tiles(&weights)), (width, channels, 1));
            for (images, threads) in [(1, 2), (1, 5), (3, 4)] {
                let plan = ConvPlan::choose(&weights, images, threads);
                assert!(plan.tiles(&weights) * images >= 2, "{plan:?} for {threads} threads");
                assert!(plan.tile_channels.is_multiple_of(conv.channel_unit()), "{plan:?}");
            }
        }
    }
}
