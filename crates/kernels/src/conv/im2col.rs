//! Convolution as products of matrices: every pixel's taps in a row of their own.
//!
//! It takes as much memory for each output row as that has pixels times a filter has weights, shares the packed weights of the
//! direct algorithm and gives its bits. It is there to be compared with.

use super::band::{self, Band, BandSize, Cell};
use super::direct::{Filters, unpack_floats};
use super::output::{Place, Steps, Sum, finish};
use super::{ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights};
use crate::format::{STEP, STRIPE};
use crate::{Input, Output, PackedFormat, PackedWeights, Panels, Rows, Scratch, Tile};
use phalanx_simd::Tier;

/// What the taps and a stripe's sums of some output rows may take, and no more than half of what input, weights and output take, unless one row needs
/// more.
const TAPS_BYTES: usize = 256 << 10;

/// As [`super::conv2d`].
pub(super) fn run(
    tier: Tier,
    weights: &ConvWeights,
    packed: &PackedWeights,
    input: &ConvInput<'_>,
    output: &mut ConvOutput<'_>,
    part: &ConvPart,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    let call = Call { weights, input, part };
    if !input.is_float() {
        return call.rows::<i8, i32>(output, scratch, 0, |filters, x, y, _, scratch| {
            let out = Output::Sums(y);
            let (cols, shift) = (filters.end - filters.row, filters.row);
            debug_assert!(cols <= STRIPE, "filters of one stripe");
            Ok(crate::matmul(tier, packed, shift, Input::Codes { rows: x, scales: None }, out, scratch)?)
        });
    }
    // f32 with weights of any kind: a stripe of these as f32 columns, which f32 weights are already.
    let layout = &weights.layout;
    let k = layout.runs * layout.cols;
    let panel = if weights.format() == PackedFormat::F32 { 0 } else { k * STEP };
    call.rows::<f32, f32>(output, scratch, panel, |filters, x, y, panel, _| {
        let stripe = packed.stripe(filters.row / STRIPE);
        let columns: &[u8] = match panel.is_empty() {
            true => stripe,
            false => {
                unpack_floats(weights.format(), layout, stripe, panel);
                panel
            }
        };
        let columns: &[f32] = &bytemuck::cast_slice(columns)[..k * STRIPE];
        let panels = Rows::new(columns, 1, k * STRIPE, k * STRIPE).map_err(|_| TOO_LARGE)?;
        Ok(crate::matmul_panels(tier, Panels::F32(panels), x, y)?)
    })
}

const TOO_LARGE: ConvError = ConvError::TooLarge { what: "the taps of a row" };

struct Call<'a> {
    weights: &'a ConvWeights,
    input: &'a ConvInput<'a>,
    part: &'a ConvPart,
}

impl Call<'_> {
    /// Some rows of the output after others: a band, its pixels' taps, for each stripe of filters the product and the steps after it.
    /// `product` is given filters, taps, where the sums go, a panel of so many bytes and scratch; a row of sums is of the filters
    /// alone for integers, and of the stripe up to their end for floats.
    fn rows<C: Cell + bytemuck::Pod, S: Sum + bytemuck::Pod>(
        &self,
        output: &mut ConvOutput<'_>,
        scratch: &mut Scratch,
        panel: usize,
        mut product: impl FnMut(
            Filters,
            Rows<'_, C>,
            Tile<'_, S>,
            &mut [u8],
            &mut Scratch,
        ) -> Result<(), ConvError>,
    ) -> Result<(), ConvError> {
        let Call { weights, input, part } = *self;
        let (conv, layout) = (weights.conv(), &weights.layout);
        let s = conv.shape();
        let size = BandSize::of(conv);
        let columns = conv.output()[1];
        // What fills up a run of integers is a column of the packed rows too; of floats there is none.
        let run = if input.is_float() { layout.cols } else { layout.padded };
        let k = layout.runs * run;
        let shared = size_of::<C>() * (conv.image_len() + conv.output_len()) + weights.bytes();
        let fit = TAPS_BYTES.min(shared / 2) / (columns * (k * size_of::<C>() + 4 * STRIPE));
        let most = fit.clamp(1, (part.rows.1 - part.rows.0).max(1));
        let inner = layout.runs / s.kernel[0];
        let line = |bytes: usize| bytes.next_multiple_of(64);
        let parts = [
            line(size.len(conv, most) * size_of::<C>()),
            line(most * columns * k * size_of::<C>()),
            line(most * columns * STRIPE * 4),
            panel,
            Steps::bytes(part, output, 0),
        ];
        let ([band, taps, sums, panel, steps], scratch) = scratch.nested(parts)?;
        let band: &mut [C] = bytemuck::cast_slice_mut(band);
        let taps: &mut [C] = bytemuck::cast_slice_mut(taps);
        let sums: &mut [S] = bytemuck::cast_slice_mut(sums);
        let steps = Steps::fill(steps, weights, part, output, (input.signed_zero(), 0));
        // What fills up runs meets weights of 0.
        taps.fill(C::pad(input));
        for row in (part.rows.0..part.rows.1).step_by(most) {
            let rows = most.min(part.rows.1 - row);
            let pixels = rows * columns;
            band::fill::<C>(conv, input, Band { first: row, rows }, band);
            let mut has = usize::MAX;
            for filters in Filters::of(conv, layout, part.channels) {
                if has != filters.group {
                    has = filters.group;
                    for (pixel, to) in taps[..pixels * k].chunks_exact_mut(k).enumerate() {
                        let at = pixel / columns * s.stride[0] * size.row
                            + pixel % columns * s.stride[1] * s.in_channels
                            + has * conv.group_in();
                        for (i, to) in to.chunks_exact_mut(run).enumerate() {
                            let (ky, kx) = (i / inner, i % inner);
                            let from =
                                at + ky * s.dilation[0] * size.row + kx * s.dilation[1] * s.in_channels;
                            to[..layout.cols].copy_from_slice(&band[from..][..layout.cols]);
                        }
                    }
                }
                let first = if input.is_float() { filters.row % STRIPE } else { 0 };
                let n = first + filters.end - filters.row;
                let x = Rows::new(&taps[..pixels * k], pixels, k, k).map_err(|_| TOO_LARGE)?;
                let y = Tile::new(&mut sums[..pixels * n], pixels, n, n).map_err(|_| TOO_LARGE)?;
                product(filters, x, y, panel, scratch)?;
                for (pixel, sums) in sums[..pixels * n].chunks_exact(n).enumerate() {
                    let pixel = (row - part.rows.0) * columns + pixel;
                    let place = Place { pixel, channel: filters.channel, first: part.channels.0 };
                    finish(conv, steps, output, place, &sums[first..], 0);
                }
            }
        }
        Ok(())
    }
}
