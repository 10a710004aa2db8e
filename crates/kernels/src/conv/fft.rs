//! Convolution of large f32 filters as products of spectra.
//!
//! The padded image and every filter are brought to planes of a common size whose factors are 2, 3 and 5. The spectrum of an output
//! is the sum, channels ascending from +0, of the image's spectrum times the conjugate of the filter's. Everything is sums, differences
//! and products of f32 in one written order, 16 channels side by side, and roots of unity are those of [`phalanx_simd::math`]: the
//! bits are the same on every machine, though not those of the definition. A value that is infinite or no number reaches every output
//! of its channels.
//!
//! Only half of each row's spectrum is kept: the planes are of real numbers. Other steps between outputs than 1 are computed and left
//! out; steps between taps are taps of 0.

use super::band::{self, Band, BandSize};
use super::output::{Place, Steps, finish};
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, LANES, Lanes, lanes};
use crate::Scratch;
use crate::packed::PackError;
use crate::simd::{Kernel, Simd, at_level};
use phalanx_simd::Tier;
use phalanx_simd::math::double::{cos, sin};

/// Complex numbers: real parts, imaginary parts.
type Numbers = [Lanes; 2];
/// One of them.
type Number = [f32; 2];
const ZERO: Numbers = [[0.0; LANES]; 2];

/// Sizes of the planes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Bins of a row that are kept.
    bins: usize,
}

impl Size {
    pub(super) fn of(conv: &Conv) -> Result<Size, ConvError> {
        let reach = [BandSize::input_rows(conv, conv.output()[0]), BandSize::of(conv).cols];
        // Far below what an address reaches, so that no product of a few of them exceeds it.
        if reach.iter().any(|n| *n > 1 << 16) {
            return Err(ConvError::TooLarge { what: "the spectrum of an image" });
        }
        let [rows, cols] = reach.map(smooth);
        Ok(Size { rows, cols, bins: cols / 2 + 1 })
    }
    /// Numbers of a plane's spectrum.
    pub(super) fn points(&self) -> usize {
        self.bins * self.rows
    }
    /// Numbers of the two lines that transforms go back and forth between.
    fn lines(&self) -> usize {
        2 * self.rows.max(self.cols)
    }
}

/// The next length of which 2, 3 and 5 are the only prime factors.
fn smooth(n: usize) -> usize {
    let is = |n: &usize| {
        let mut n = *n;
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    (n..).find(is).unwrap_or(n)
}

/// A step of a transform: `radix` numbers, `groups` apart, become `radix` numbers of `side` transforms that go on side by side.
struct Step {
    radix: usize,
    groups: usize,
    side: usize,
    /// For each group, the roots with which its second and further results are multiplied, and what fills four up.
    turns: Vec<Number>,
}

/// A transform of some length.
struct Transform {
    len: usize,
    steps: Vec<Step>,
    /// Powers of the roots of 3 and of 5.
    third: [Number; 3],
    fifth: [Number; 5],
}

/// exp(-2 pi i k / n).
fn root(k: usize, n: usize) -> Number {
    let angle = std::f64::consts::TAU * (k % n) as f64 / n as f64;
    [cos(angle) as f32, -sin(angle) as f32]
}

impl Transform {
    /// Of a [`smooth`] length.
    fn new(len: usize) -> Transform {
        let (mut left, mut side) = (len, 1);
        let mut steps = Vec::new();
        while left > 1 {
            let radix = [4, 2, 3].into_iter().find(|r| left.is_multiple_of(*r)).unwrap_or(5);
            let groups = left / radix;
            let turns = (0..groups).flat_map(|p| (1..5).map(move |k| root(p * k, left))).collect();
            steps.push(Step { radix, groups, side, turns });
            (left, side) = (groups, side * radix);
        }
        let (third, fifth) = (std::array::from_fn(|k| root(k, 3)), std::array::from_fn(|k| root(k, 5)));
        Transform { len, steps, third, fifth }
    }

    /// Transforms `line` into itself.
    #[inline(always)]
    fn within(&self, line: &mut [Numbers], other: &mut [Numbers]) {
        self.run(line, other);
        if !self.steps.len().is_multiple_of(2) {
            line.copy_from_slice(&other[..line.len()]);
        }
    }

    /// The transform of `line`, which lies in it or in `other`, at least as long.
    #[inline(always)]
    fn run<'a>(&self, line: &'a mut [Numbers], other: &'a mut [Numbers]) -> &'a mut [Numbers] {
        let (mut from, mut to) = (&mut line[..self.len], &mut other[..self.len]);
        for step in &self.steps {
            match step.radix {
                2 => step.run(from, to, |[a, b]| [add(a, b), sub(a, b)]),
                3 => step.run(from, to, |x| short(x, &self.third)),
                4 => step.run(from, to, fourth),
                _ => step.run(from, to, |x| short(x, &self.fifth)),
            }
            (from, to) = (to, from);
        }
        from
    }
}

impl Step {
    #[inline(always)]
    fn run<const R: usize>(
        &self,
        from: &[Numbers],
        to: &mut [Numbers],
        dft: impl Fn([Number; R]) -> [Number; R],
    ) {
        let Step { groups, side, .. } = *self;
        for (p, turns) in self.turns.as_chunks::<4>().0.iter().enumerate() {
            for q in 0..side {
                let x: [&Numbers; R] = std::array::from_fn(|j| &from[q + side * (p + j * groups)]);
                let mut out = [ZERO; R];
                // A loop over lanes of plain numbers: what becomes vectors.
                for l in 0..LANES {
                    let v = dft(std::array::from_fn(|j| [x[j][0][l], x[j][1][l]]));
                    [out[0][0][l], out[0][1][l]] = v[0];
                    for k in 1..R {
                        [out[k][0][l], out[k][1][l]] = times(v[k], turns[k - 1]);
                    }
                }
                for (k, v) in out.iter().enumerate() {
                    to[q + side * (R * p + k)] = *v;
                }
            }
        }
    }
}

#[inline(always)]
fn add([a, b]: Number, [c, d]: Number) -> Number {
    [a + c, b + d]
}
#[inline(always)]
fn sub([a, b]: Number, [c, d]: Number) -> Number {
    [a - c, b - d]
}
#[inline(always)]
fn times([re, im]: Number, [c, s]: Number) -> Number {
    [re * c - im * s, re * s + im * c]
}

/// A transform of 3 or 5 numbers, by its definition.
#[inline(always)]
fn short<const R: usize>(x: [Number; R], roots: &[Number; R]) -> [Number; R] {
    std::array::from_fn(|k| (1..R).fold(x[0], |sum, j| add(sum, times(x[j], roots[j * k % R]))))
}

#[inline(always)]
fn fourth([a, b, c, d]: [Number; 4]) -> [Number; 4] {
    let (even, odd) = (add(a, c), sub(a, c));
    let (sum, [re, im]) = (add(b, d), sub(b, d));
    // Times -i.
    let turned = [im, -re];
    [add(even, sum), add(odd, turned), sub(even, sum), sub(odd, turned)]
}

/// Filters in the form of spectra, with the transforms of their size.
pub(super) struct Spectra {
    size: Size,
    along_row: Transform,
    along_column: Transform,
    /// For each 16 filters and each point: a number of every channel of the group.
    filters: Vec<Numbers>,
}

/// Makes the spectra of filters at a level.
struct Fill<'a> {
    spectra: &'a mut Spectra,
    conv: &'a Conv,
    weights: &'a [f32],
    lines: &'a mut [Numbers],
    plane: &'a mut [Numbers],
}

impl Kernel for Fill<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Fill { spectra, conv, weights, lines, plane } = self;
        let s = conv.shape();
        let (inner, taps) = (conv.group_in(), conv.taps());
        for first in (0..s.out_channels).step_by(LANES) {
            let count = LANES.min(s.out_channels - first);
            for c in 0..inner {
                let tap = |y: usize, x: usize| -> Numbers {
                    let at = |l: usize| ((first + l) * inner + c) * taps + y * s.kernel[1] + x;
                    [std::array::from_fn(|l| if l < count { weights[at(l)] } else { 0.0 }), ZERO[1]]
                };
                spectra.forward((s.kernel, s.dilation), tap, lines, plane);
                let block = first / LANES * plane.len() * inner;
                for (point, v) in plane.iter().enumerate() {
                    spectra.filters[block + point * inner + c] = *v;
                }
            }
        }
    }
}

impl Spectra {
    /// Of OIHW weights.
    pub(super) fn new(conv: &Conv, weights: &[f32]) -> Result<Spectra, ConvError> {
        let size = Size::of(conv)?;
        let fits = |what, blocks: usize, each: usize| {
            let len = blocks.checked_mul(size.points()).and_then(|n| n.checked_mul(each));
            let fits =
                |n: &usize| n.checked_mul(2 * size_of::<Numbers>()).is_some_and(|b| b <= isize::MAX as usize);
            len.filter(fits).ok_or(ConvError::TooLarge { what })
        };
        let s = conv.shape();
        fits("the spectra of an image", s.in_channels.div_ceil(LANES), 1)?;
        let len = fits("the spectra of the filters", s.out_channels.div_ceil(LANES), conv.group_in())?;
        let mut filters = Vec::new();
        let bytes = len * size_of::<Numbers>();
        filters.try_reserve_exact(len).map_err(|_| PackError::OutOfMemory { bytes })?;
        filters.resize(len, ZERO);
        let (along_row, along_column) = (Transform::new(size.cols), Transform::new(size.rows));
        let mut spectra = Spectra { size, along_row, along_column, filters };
        let (mut lines, mut plane) = (vec![ZERO; size.lines()], vec![ZERO; size.points()]);
        let fill = Fill { spectra: &mut spectra, conv, weights, lines: &mut lines, plane: &mut plane };
        // Any level gives the same bits.
        fill_at(Tier::best(), fill);
        Ok(spectra)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.filters[..])
    }

    /// The spectrum of a plane that has `value(row, column)` in as many rows and columns as `steps` says, so far apart, and else 0: for
    /// each bin, all rows.
    #[inline(always)]
    fn forward(
        &self,
        (count, apart): ([usize; 2], [usize; 2]),
        value: impl Fn(usize, usize) -> Numbers,
        lines: &mut [Numbers],
        to: &mut [Numbers],
    ) {
        let Size { rows, cols, .. } = self.size;
        let (line, other) = lines.split_at_mut(lines.len() / 2);
        to.fill(ZERO);
        for y in 0..count[0] {
            line[..cols].fill(ZERO);
            for x in 0..count[1] {
                line[x * apart[1]] = value(y, x);
            }
            let row = self.along_row.run(line, other);
            for (bin, v) in to.chunks_exact_mut(rows).zip(row.iter()) {
                bin[y * apart[0]] = *v;
            }
        }
        for bin in to.chunks_exact_mut(rows) {
            self.along_column.within(bin, other);
        }
    }
}

fn fill_at(tier: Tier, work: Fill<'_>) {
    at_level!(tier, s => s.call(work))
}

/// A call at a level.
struct Run<'a, 'o> {
    conv: &'a Conv,
    spectra: &'a Spectra,
    band: &'a [f32],
    /// Spectra of the input channels from `has` on: for each point, all blocks of channels.
    image: &'a mut [Numbers],
    plane: &'a mut [Numbers],
    lines: &'a mut [Numbers],
    steps: Steps<'a>,
    output: &'a mut ConvOutput<'o>,
    part: &'a ConvPart,
}

impl Kernel for Run<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let mut has = None;
        for first in (self.part.channels.0..self.part.channels.1).step_by(LANES) {
            let count = LANES.min(self.part.channels.1 - first);
            let blocks = blocks(self.conv, first, count);
            if has != Some(blocks) {
                self.transform(blocks);
                has = Some(blocks);
            }
            self.multiply(first, count, blocks);
            self.write(first, count);
        }
    }
}

/// First block of input channels that filters from `first` on see, and how many blocks.
#[inline(always)]
fn blocks(conv: &Conv, first: usize, count: usize) -> (usize, usize) {
    let from = first / conv.group_out() * conv.group_in();
    let to = ((first + count - 1) / conv.group_out() + 1) * conv.group_in();
    (from / LANES, to.div_ceil(LANES) - from / LANES)
}

impl Run<'_, '_> {
    /// The image's spectra.
    #[inline(always)]
    fn transform(&mut self, (first, blocks): (usize, usize)) {
        let size = BandSize::of(self.conv);
        let channels = self.conv.shape().in_channels;
        let rows = BandSize::input_rows(self.conv, self.conv.output()[0]);
        for block in 0..blocks {
            let from = (first + block) * LANES;
            let count = LANES.min(channels - from);
            let band = self.band;
            let value = |y: usize, x: usize| -> Numbers {
                let pixel = &band[y * size.row + x * channels + from..][..count];
                [lanes(pixel), ZERO[1]]
            };
            self.spectra.forward(([rows, size.cols], [1, 1]), value, self.lines, self.plane);
            for (point, v) in self.plane.iter().enumerate() {
                self.image[point * blocks + block] = *v;
            }
        }
    }

    /// The spectra of the outputs of up to 16 filters.
    #[inline(always)]
    fn multiply(&mut self, first: usize, count: usize, (block, blocks): (usize, usize)) {
        let inner = self.conv.group_in();
        let len = self.plane.len() * inner;
        // Filters lie in blocks of 16; so do parts, but for those of groups.
        let filters = |filter: usize| &self.spectra.filters[filter / LANES * len..][..len];
        let one_group = self.conv.shape().groups == 1;
        for (point, acc) in self.plane.iter_mut().enumerate() {
            let x = &self.image[point * blocks..][..blocks];
            *acc = ZERO;
            if self.conv.is_depthwise() {
                multiply(x[0], filters(first)[point], acc);
                continue;
            }
            if one_group {
                let w = &filters(first)[point * inner..][..inner];
                for (c, w) in w.iter().enumerate() {
                    let [re, im] = x[c / LANES].map(|v| v[c % LANES]);
                    multiply([[re; LANES], [im; LANES]], *w, acc);
                }
                continue;
            }
            for c in 0..inner {
                let (mut xs, mut ws) = (ZERO, ZERO);
                for lane in 0..count {
                    let filter = first + lane;
                    let channel = filter / self.conv.group_out() * inner + c - block * LANES;
                    let w = filters(filter)[point * inner + c];
                    for part in 0..2 {
                        xs[part][lane] = x[channel / LANES][part][channel % LANES];
                        ws[part][lane] = w[part][filter % LANES];
                    }
                }
                multiply(xs, ws, acc);
            }
        }
    }

    /// From spectra to outputs.
    #[inline(always)]
    fn write(&mut self, first: usize, count: usize) {
        let [rows, cols] = self.conv.output();
        let stride = self.conv.shape().stride;
        let Size { rows: height, cols: width, bins } = self.spectra.size;
        let (line, other) = self.lines.split_at_mut(self.lines.len() / 2);
        let share = 1.0 / (height * width) as f32;
        // The inverse transform is the forward one with the parts swapped before and after.
        for bin in self.plane.chunks_exact_mut(height) {
            bin.iter_mut().for_each(|v| v.swap(0, 1));
            self.spectra.along_column.within(bin, other);
        }
        for y in 0..rows {
            for (bin, v) in self.plane.chunks_exact(height).zip(line.iter_mut()) {
                *v = bin[y * stride[0]];
            }
            // The other half is the conjugate of this one; with the parts swapped, the real ones are those that change sign.
            for bin in bins..width {
                let [im, re] = line[width - bin];
                line[bin] = [im.map(|v| -v), re];
            }
            let row = self.spectra.along_row.run(line, other);
            for x in 0..cols {
                let values = row[x * stride[1]][1].map(|v| v * share);
                let place = Place { pixel: y * cols + x, channel: first, first: self.part.channels.0 };
                finish(self.conv, self.steps, self.output, place, &values[..count], 0);
            }
        }
    }
}

/// acc += x * conj(w).
#[inline(always)]
fn multiply(x: Numbers, w: Numbers, acc: &mut Numbers) {
    let ([xr, xi], [wr, wi], [re, im]) = (x, w, acc);
    for l in 0..LANES {
        re[l] += xr[l] * wr[l] + xi[l] * wi[l];
        im[l] += xi[l] * wr[l] - xr[l] * wi[l];
    }
}

fn run_at(tier: Tier, work: Run<'_, '_>) {
    at_level!(tier, s => s.call(work))
}

/// As [`super::conv2d`] for these weights; the part has all rows.
pub(super) fn run(
    tier: Tier,
    weights: &ConvWeights,
    spectra: &Spectra,
    input: &ConvInput<'_>,
    output: &mut ConvOutput<'_>,
    part: &ConvPart,
    scratch: &mut Scratch,
) -> Result<(), ConvError> {
    let conv = weights.conv();
    let rows = conv.output()[0];
    let size = BandSize::of(conv);
    let (from, to) = part.channels;
    let most = (from..to).step_by(LANES).map(|first| blocks(conv, first, LANES.min(to - first)).1).max();
    let points = spectra.size.points();
    let numbers = |n: usize| n * size_of::<Numbers>();
    let parts = [
        (size.len(conv, rows) * 4).next_multiple_of(64),
        numbers(points * most.unwrap_or(0)),
        numbers(points),
        numbers(spectra.size.lines()),
        Steps::bytes(part, output, 0),
    ];
    let [band, image, plane, lines, steps] = scratch.parts(parts)?;
    let band: &mut [f32] = bytemuck::cast_slice_mut(band);
    let steps = Steps::fill(steps, weights, part, output, (0, 0));
    band::fill::<f32>(conv, input, Band { first: 0, rows }, band);
    let (image, plane, lines) =
        (bytemuck::cast_slice_mut(image), bytemuck::cast_slice_mut(plane), bytemuck::cast_slice_mut(lines));
    run_at(tier, Run { conv, spectra, band, image, plane, lines, steps, output, part });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_those_of_the_definition() {
        for len in (1..=100).filter(|n| smooth(*n) == *n) {
            let value = |i: usize| [[(i * i % 7) as f32 - 3.0; LANES], [(i % 5) as f32; LANES]];
            let mut line: Vec<Numbers> = (0..len).map(value).collect();
            let mut other = vec![ZERO; len];
            let found = Transform::new(len).run(&mut line, &mut other);
            for (k, v) in found.iter().enumerate() {
                let mut sum = [0f64; 2];
                for j in 0..len {
                    let (angle, [re, im]) = (-std::f64::consts::TAU * (j * k) as f64 / len as f64, value(j));
                    let (c, s) = (angle.cos(), angle.sin());
                    sum[0] += f64::from(re[0]) * c - f64::from(im[0]) * s;
                    sum[1] += f64::from(re[0]) * s + f64::from(im[0]) * c;
                }
                for part in 0..2 {
                    assert!((f64::from(v[part][3]) - sum[part]).abs() < 1e-3, "{len} {k}: {v:?} {sum:?}");
                }
            }
        }
        assert_eq!([7, 17, 31, 64].map(smooth), [8, 18, 32, 64]);
    }
}
