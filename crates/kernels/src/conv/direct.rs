//! Direct convolution over bands: copy some rows with their padding, then tiles of pixels by filters over the runs of each filter.
//!
//! The band is small against the image (a few rows), a stripe of 64 filters stays in the second-level cache while all pixels of the
//! band pass by, and pixels are numbered over the band's rows, so that a tile may reach over a row's end and narrow images waste
//! nothing. 1x1 filters are the matrix product that this becomes with one run.

use super::band::{self, Band, BandSize, PAIR};
use super::operand::{Bytes, Operand, Trits};
use super::output::{Place, Steps, Sum, finish};
use super::tile::{Chains, Coded, Codes, PIXELS, Results, Walk, cell};
use super::weights::Layout;
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, ImageOrder};
use crate::format::{STEP, STRIPE};
use crate::simd::{Coder, Kernel, Simd};
use crate::{PackedFormat, Scratch};
use std::marker::PhantomData;

/// Bytes of a band at most, unless one output row needs more.
const BAND_BYTES: usize = 128 << 10;
/// What a band may be of a part's share of input, weights and output: the working memory of all threads beyond them stays below a
/// tenth.
const BAND_SHARE: usize = 20;
/// What an unpacked stripe and its band may take together.
const PANEL_BYTES: usize = 256 << 10;

/// What a level's copy of the driver is called with.
pub(super) struct Direct<'a, 'o> {
    pub(super) weights: &'a ConvWeights,
    pub(super) input: &'a ConvInput<'a>,
    pub(super) output: &'a mut ConvOutput<'o>,
    pub(super) part: &'a ConvPart,
    pub(super) scratch: &'a mut Scratch,
}

impl Kernel for Direct<'_, '_> {
    type Out = Result<(), ConvError>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        match (self.input, self.weights.format()) {
            (ConvInput::F32(_), _) => drive(s, Floats, self),
            (_, PackedFormat::T2) => drive(s, Ints(PhantomData::<Trits>), self),
            _ => drive(s, Ints(PhantomData::<Bytes>), self),
        }
    }
}

/// How sums are made at a level: of what elements a band is, and which tile.
trait Kind: Copy {
    type Sum: Sum + Default;
    /// Columns of a step.
    const COLS: usize;
    /// Bytes of an element of the band.
    fn cell<S: Simd>() -> usize;
    /// What the band's elements are higher by than signed ones.
    fn raised<S: Simd>() -> i32;
    /// Pixels of a tile.
    fn most<S: Simd>() -> usize;
    /// Fills a band.
    fn fill<S: Simd>(conv: &Conv, input: &ConvInput<'_>, band: Band, out: &mut [u8]);
    /// Whether results have something in excess.
    fn exceeds<S: Simd>() -> bool;
    /// What a pixel's results have in excess, from what its tile reads.
    fn excess<S: Simd>(s: S, band: &[u8], pixel: usize, walk: &Walk) -> i32;
    /// Writes the results of a tile from `at` on.
    ///
    /// # Safety
    /// From each of its pixels, [`Walk::reach`] elements and [`band::OVER`] more lie in the band; [`Walk::all_steps`] steps of the
    /// tile's rows lie in the panel. What [`Coded`] names is there for its pixels and rows.
    unsafe fn tile<S: Simd>(s: S, tile: Tile<'_>, results: &mut Results<Self::Sum>, at: usize);
}

/// What a tile is computed from.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// Number of pixels, at most what the level's tile has.
    m: usize,
    pixels: &'a [usize; PIXELS],
    walk: Walk,
    band: &'a [u8],
    panel: &'a [u8],
    coded: Option<Coded<'a>>,
}

#[derive(Clone, Copy)]
struct Ints<Src>(PhantomData<Src>);
#[derive(Clone, Copy)]
struct Floats;

impl<Src: Operand> Kind for Ints<Src> {
    type Sum = i32;
    const COLS: usize = 4;
    #[inline(always)]
    fn cell<S: Simd>() -> usize {
        cell::<S, Src>()
    }
    #[inline(always)]
    fn raised<S: Simd>() -> i32 {
        Src::raised::<S>()
    }
    #[inline(always)]
    fn fill<S: Simd>(conv: &Conv, input: &ConvInput<'_>, band: Band, out: &mut [u8]) {
        if Src::raised::<S>() != 0 {
            band::fill::<u8>(conv, input, band, out);
            return;
        }
        let cell = Self::cell::<S>();
        let bytes = out.len() - out.len() / cell;
        band::fill::<i8>(conv, input, band, bytemuck::cast_slice_mut(&mut out[bytes..]));
        if cell == PAIR {
            band::spread(out);
        }
    }
    #[inline(always)]
    fn most<S: Simd>() -> usize {
        // Registers for two vectors of each stored one too.
        let fewer = if Src::planes::<S>() == 1 { 0 } else { 2 };
        S::TILE.len().min(PIXELS) - fewer
    }
    #[inline(always)]
    fn exceeds<S: Simd>() -> bool {
        Src::zero::<S>() != 0
    }
    #[inline(always)]
    fn excess<S: Simd>(s: S, band: &[u8], pixel: usize, walk: &Walk) -> i32 {
        const VECTOR: usize = 64;
        /// A weight of 1 for every element and none after the last.
        const ONES: [u8; 2 * VECTOR] = ones(1);
        const PAIRS: [u8; 2 * VECTOR] = ones(PAIR);
        const fn ones(cell: usize) -> [u8; 2 * VECTOR] {
            let mut all = [0; 2 * VECTOR];
            let mut i = 0;
            while i < VECTOR {
                all[i] = 1;
                i += cell;
            }
            all
        }
        let cell = cell::<S, Src>();
        let ones = if cell == 1 { &ONES } else { &PAIRS };
        let (vector, len) = (4 * S::LANES, 4 * walk.steps * cell);
        let last = (pixel + walk.reach(4) + band::OVER) * cell;
        assert!(last <= band.len(), "the band holds what the tile reads");
        let (whole, rest) = (len / vector, len % vector);
        // SAFETY: a vector has at most 64 bytes, as many as follow in the table.
        let (all, some) =
            unsafe { (s.load(ones.as_ptr().add(VECTOR - vector)), s.load(ones.as_ptr().add(VECTOR - rest))) };
        // Whole bytes alone have an excess, and any number of them may be added.
        let mut acc = Src::start(s, s.int(0));
        for outer in 0..walk.outer {
            for inner in 0..walk.inner {
                let run = (pixel + outer * walk.outer_step + inner * walk.inner_step) * cell;
                for i in 0..whole + usize::from(rest > 0) {
                    // All of this vector's elements, or those before the run's end.
                    let w = if i < whole { all } else { some };
                    // SAFETY: the band has as many elements past the last run.
                    acc = unsafe { Src::dot(s, acc, w, s.load(band.as_ptr().add(run + i * vector))) };
                }
            }
        }
        s.total(Src::finish(s, acc, s.int(0))).wrapping_mul(Src::zero::<S>())
    }
    #[inline(always)]
    unsafe fn tile<S: Simd>(s: S, tile: Tile<'_>, results: &mut Results<i32>, at: usize) {
        let Tile { m, pixels, walk, band, panel, coded } = tile;
        let (band, b, c) = (band.as_ptr(), panel.as_ptr(), results[at..].as_mut_ptr());
        // SAFETY: the caller's promise; results have 64 for each pixel, of which the tile's rows begin at `at`.
        unsafe { s.tile(m, Codes::<Src> { band, pixels, walk, b, c, coded, source: PhantomData }) }
    }
}

impl Kind for Floats {
    type Sum = f32;
    const COLS: usize = 1;
    #[inline(always)]
    fn cell<S: Simd>() -> usize {
        4
    }
    #[inline(always)]
    fn raised<S: Simd>() -> i32 {
        0
    }
    #[inline(always)]
    fn fill<S: Simd>(conv: &Conv, input: &ConvInput<'_>, band: Band, out: &mut [u8]) {
        band::fill::<f32>(conv, input, band, bytemuck::cast_slice_mut(out));
    }
    #[inline(always)]
    fn most<S: Simd>() -> usize {
        S::TILE.len().min(PIXELS)
    }
    #[inline(always)]
    fn exceeds<S: Simd>() -> bool {
        false
    }
    #[inline(always)]
    fn excess<S: Simd>(_: S, _: &[u8], _: usize, _: &Walk) -> i32 {
        0
    }
    #[inline(always)]
    unsafe fn tile<S: Simd>(s: S, tile: Tile<'_>, results: &mut Results<f32>, at: usize) {
        let Tile { m, pixels, walk, band, panel, .. } = tile;
        let band = bytemuck::cast_slice::<u8, f32>(band).as_ptr();
        let (b, c) = (panel.as_ptr(), results[at..].as_mut_ptr());
        // SAFETY: as for integers.
        unsafe { s.tile(m, Chains { band, pixels, walk, b, c }) }
    }
}

/// Sizes of a call's scratch.
struct Sizes {
    /// Output rows of a band.
    rows: usize,
    band: usize,
    /// An unpacked stripe, and as many as are unpacked at once.
    stripe: usize,
    panel: usize,
    reads: usize,
    steps: usize,
}

impl Sizes {
    fn of<S: Simd, K: Kind>(
        conv: &Conv,
        weights: &ConvWeights,
        part: &ConvPart,
        output: &ConvOutput<'_>,
    ) -> Sizes {
        let rows = part.rows.1 - part.rows.0;
        let (float, cell, exceeds) = (K::COLS == 1, K::cell::<S>(), K::exceeds::<S>());
        let size = BandSize::of(conv);
        let k = weights.packed().map_or(0, |p| p.k());
        let stripe = match (weights.format(), float) {
            (PackedFormat::F32, _) | (PackedFormat::I8, false) => 0,
            (_, true) => k * STEP,
            (format, false) => k.next_multiple_of(format.step_cols()) / 4 * STEP,
        };
        // More than one where they are small: the band is copied again for each lot.
        let stripes = weights.packed().map_or(0, |p| p.n().div_ceil(STRIPE));
        let panel = stripe * (PANEL_BYTES / 2).checked_div(stripe).unwrap_or(0).clamp(1, stripes.max(1));
        let element = if float { 4 } else { 1 };
        let images = conv.image_len() + conv.output_len();
        let shared = images * element + weights.bytes();
        let (pixels, channels) = part.size(conv);
        let share = shared as u128 * (pixels * channels) as u128 / conv.output_len() as u128;
        let beside = if panel > 0 { PANEL_BYTES.saturating_sub(panel) } else { 0 };
        let budget = (share as usize / BAND_SHARE).max(beside).min(BAND_BYTES) / cell;
        // Rows whose input rows fit the budget.
        let fixed = BandSize::input_rows(conv, 1);
        let more = (budget / size.row).saturating_sub(fixed) / conv.shape().stride[0];
        let rows = (1 + more).min(rows.max(1));
        let line = |bytes: usize| bytes.next_multiple_of(64);
        Sizes {
            rows,
            // Whole lines of elements, so that the length is a multiple of an element's size.
            band: line(size.len(conv, rows)) * cell,
            stripe,
            panel,
            reads: if exceeds { line(rows * conv.output()[1] * 4) } else { 0 },
            // A tile's width past the last.
            steps: Steps::bytes(part, output, STRIPE),
        }
    }
}

#[inline(always)]
fn drive<S: Simd, K: Kind>(s: S, _: K, call: Direct<'_, '_>) -> Result<(), ConvError> {
    let Direct { weights, input, output, part, scratch } = call;
    let conv = weights.conv();
    let shape = conv.shape();
    let layout = &weights.layout;
    // What other algorithms take goes another way.
    let Some(packed) = weights.packed() else { return Ok(()) };
    let size = BandSize::of(conv);
    let float = K::COLS == 1;
    let sizes = Sizes::of::<S, K>(conv, weights, part, output);
    let [band, panel, reads, steps] = scratch.parts([sizes.band, sizes.panel, sizes.reads, sizes.steps])?;
    let walk = Walk {
        outer: shape.kernel[0],
        outer_step: shape.dilation[0] * size.row,
        inner: layout.runs / shape.kernel[0],
        inner_step: shape.dilation[1] * shape.in_channels,
        steps: if float { layout.cols } else { layout.padded / 4 },
    };
    let mut pass = Pass::<S, K> {
        s,
        conv,
        size,
        walk,
        part: *part,
        band,
        reads: bytemuck::cast_slice_mut(reads),
        steps: Steps::fill(steps, weights, part, output, (input.signed_zero() + K::raised::<S>(), STRIPE)),
        coder: output.coder(),
        output,
        has: (usize::MAX, 0),
        rows: (0, 0),
        kind: PhantomData,
    };
    let bands =
        || (part.rows.0..part.rows.1).step_by(sizes.rows).map(|r| (r, (r + sizes.rows).min(part.rows.1)));
    if sizes.panel == 0 {
        for rows in bands() {
            for filters in Filters::of(conv, layout, part.channels) {
                pass.fill(input, rows, filters.group);
                pass.run(filters, packed.stripe(filters.row / STRIPE));
            }
        }
        return Ok(());
    }
    // Unpacking a stripe costs more than copying the bands once more.
    let filters = || Filters::of(conv, layout, part.channels);
    let lot = sizes.panel / sizes.stripe;
    for first in (0..filters().count()).step_by(lot) {
        let some = || filters().skip(first).take(lot);
        for (filters, panel) in some().zip(panel.chunks_exact_mut(sizes.stripe)) {
            let stripe = packed.stripe(filters.row / STRIPE);
            if float {
                unpack_floats(weights.format(), layout, stripe, panel);
            } else {
                unpack_ternary(stripe, panel);
            }
        }
        for rows in bands() {
            for (filters, panel) in some().zip(panel.chunks_exact(sizes.stripe)) {
                pass.fill(input, rows, filters.group);
                pass.run(filters, panel);
            }
        }
    }
    Ok(())
}

/// Filters of one group in one packed stripe.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    pub(super) group: usize,
    /// Packed rows.
    pub(super) row: usize,
    pub(super) end: usize,
    /// The channel that `row` is.
    pub(super) channel: usize,
}

impl Filters {
    /// All of a part, ascending.
    #[inline(always)]
    pub(super) fn of(
        conv: &Conv,
        layout: &Layout,
        channels: (usize, usize),
    ) -> impl Iterator<Item = Filters> + use<> {
        let (group_out, group_rows) = (conv.group_out(), layout.group_rows);
        (channels.0 / group_out..channels.1.div_ceil(group_out)).flat_map(move |group| {
            let channels = channels.0.max(group * group_out)..channels.1.min((group + 1) * group_out);
            // Packed rows and channels of a group differ by a constant.
            let shift = group * (group_rows - group_out);
            let rows = channels.start + shift..channels.end + shift;
            let mut row = rows.start;
            std::iter::from_fn(move || {
                let end = rows.end.min((row / STRIPE + 1) * STRIPE);
                let filters = Filters { group, row, end, channel: row - shift };
                row = end;
                (filters.row < end).then_some(filters)
            })
        })
    }
}

/// A band, and what goes on with it.
struct Pass<'a, 'o, S, K> {
    s: S,
    conv: &'a Conv,
    size: BandSize,
    walk: Walk,
    part: ConvPart,
    band: &'a mut [u8],
    /// What each pixel's sums have in excess.
    reads: &'a mut [i32],
    steps: Steps<'a>,
    output: &'a mut ConvOutput<'o>,
    /// Where the output is of codes.
    coder: Option<Coder>,
    /// The output row from which on the band is filled, and the group of `reads`.
    has: (usize, usize),
    rows: (usize, usize),
    kind: PhantomData<K>,
}

impl<S: Simd, K: Kind> Pass<'_, '_, S, K> {
    #[inline(always)]
    fn fill(&mut self, input: &ConvInput<'_>, rows: (usize, usize), group: usize) {
        if self.has == (rows.0, group) {
            return;
        }
        if self.has.0 != rows.0 {
            let band = Band { first: rows.0, rows: rows.1 - rows.0 };
            K::fill::<S>(self.conv, input, band, self.band);
        }
        (self.has, self.rows) = ((rows.0, group), rows);
        if !K::exceeds::<S>() {
            return;
        }
        let pixels = Pixels::new(self.conv, &self.size, group * self.conv.group_in());
        let count = (rows.1 - rows.0) * self.conv.output()[1];
        for (pixel, read) in pixels.zip(self.reads.iter_mut().take(count)) {
            *read = K::excess(self.s, self.band, pixel, &self.walk);
        }
    }

    /// Filters times all pixels of the band; `panel` is of the filters' whole stripe.
    #[inline(always)]
    fn run(&mut self, filters: Filters, panel: &[u8]) {
        let columns = self.conv.output()[1];
        let (from, count) =
            ((self.rows.0 - self.part.rows.0) * columns, (self.rows.1 - self.rows.0) * columns);
        let base = filters.group * self.conv.group_in();
        let (first, end) = (filters.row % STRIPE, (filters.end - 1) % STRIPE + 1);
        let most = K::most::<S>();
        let mut offsets = Pixels::new(self.conv, &self.size, base);
        // Every pixel lies between the first and the last, which speaks for all of them here.
        let reach = base + offsets.last_of(count) + self.walk.reach(K::COLS) + band::OVER;
        assert!(reach * K::cell::<S>() <= self.band.len(), "the band holds what the tiles read");
        let steps = self.walk.all_steps();
        assert!(steps * STEP <= panel.len(), "the panel has all steps");
        let mut results: Results<K::Sum> = [K::Sum::default(); PIXELS * STRIPE];
        let mut offsets_of = [base; PIXELS];
        let direct = self.conv.shape().order == ImageOrder::Nhwc;
        let mut held = Held { codes: [0; HELD * STRIPE], pixel: from, count: 0, columns: 0..0 };
        let mut pixel = 0;
        while pixel < count {
            let these = most.min(count - pixel);
            for (slot, offset) in offsets_of[..these].iter_mut().zip(offsets.by_ref()) {
                *slot = offset;
            }
            let width = S::TILE[these - 1] * S::LANES;
            // Tiles make codes themselves, but for one that begins with what is no filter of these. Those that are full of filters
            // write them where they go, if there channels lie side by side.
            let whole = if self.coder.is_some() { first.next_multiple_of(width).min(end) } else { end };
            let columns = if direct { (end / width * width).max(whole) } else { whole }..end;
            if self.coder.is_some() && !columns.is_empty() {
                if held.columns != columns || held.count + these > HELD {
                    self.put(&mut held, filters);
                    (held.pixel, held.columns) = (from + pixel, columns);
                }
                held.count += these;
            }
            let (pixels, walk, band) = (&offsets_of, self.walk, &*self.band);
            // Packed rows in multiples of the tile's width: what lies beyond the filters is computed and dropped.
            for row in (first / width * width..end).step_by(width) {
                let mut coded = None;
                if let (Some(coder), true) = (self.coder, row >= whole) {
                    let channel = filters.channel + row - first;
                    let place = channel - self.part.channels.0;
                    let (offsets, scales) = self.steps.codes_of(channel, width);
                    let reads = self.reads.get(pixel..pixel + these).unwrap_or_default();
                    let pixels = from + pixel..from + pixel + these;
                    let at = if held.columns.contains(&row) {
                        let at = (held.count - these) * STRIPE + row;
                        Some((held.codes[at..][..(these - 1) * STRIPE + width].as_mut_ptr(), STRIPE))
                    } else {
                        self.output.codes_at(pixels, place, width)
                    };
                    coded = at.map(|(to, stride)| Coded { offsets, scales, reads, coder, to, stride });
                }
                // SAFETY: asserted above for all pixels of the band; a stripe's rows follow each other by 4 bytes in each step;
                // offsets, scales, excesses and codes are as many as the tile has.
                unsafe {
                    let panel = &panel[4 * row..];
                    let tile = Tile { m: these, pixels, walk, band, panel, coded };
                    K::tile(self.s, tile, &mut results, row);
                }
            }
            for p in 0..if first < whole { these } else { 0 } {
                let read = self.reads.get(pixel + p).copied().unwrap_or(0);
                let (pixel, channel) = (from + pixel + p, filters.channel);
                let place = Place { pixel, channel, first: self.part.channels.0 };
                let sums = &results[p * STRIPE..][first..whole];
                finish(self.conv, self.steps, self.output, place, sums, read);
            }
            pixel += these;
        }
        self.put(&mut held, filters);
    }

    /// Codes that are held, to where they go; then none are.
    #[inline(always)]
    fn put(&mut self, held: &mut Held, filters: Filters) {
        let Held { codes, pixel, count, columns } = held;
        if *count > 0 {
            let first = filters.channel + columns.start - filters.row % STRIPE - self.part.channels.0;
            let codes = &codes[columns.start..(*count - 1) * STRIPE + columns.end];
            let size = (*pixel..*pixel + *count, first..first + columns.len());
            self.output.put_codes(self.conv.shape().order, size, codes, STRIPE);
        }
        held.count = 0;
    }
}

/// Pixels whose codes are held at most.
const HELD: usize = 48;

/// Codes of some filters of a stripe for some pixels, before they go where channels do not lie side by side, or fewer than a tile has.
struct Held {
    codes: [u8; HELD * STRIPE],
    /// The first pixel, within the part.
    pixel: usize,
    count: usize,
    /// Rows of the stripe.
    columns: std::ops::Range<usize>,
}

/// Offsets of a band's pixels, row after row.
struct Pixels {
    at: usize,
    row: usize,
    left: usize,
    cols: usize,
    step: usize,
    next_row: usize,
}

impl Pixels {
    #[inline(always)]
    fn new(conv: &Conv, size: &BandSize, base: usize) -> Pixels {
        let s = conv.shape();
        let cols = conv.output()[1];
        let (step, next_row) = (s.stride[1] * s.in_channels, s.stride[0] * size.row);
        Pixels { at: base, row: base, left: cols, cols, step, next_row }
    }

    /// How far the last of `pixels` pixels lies beyond the first.
    fn last_of(&self, pixels: usize) -> usize {
        (pixels / self.cols).saturating_sub(1) * self.next_row + (self.cols - 1) * self.step
    }
}

impl Iterator for Pixels {
    type Item = usize;
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        self.left -= 1;
        if self.left == 0 {
            self.left = self.cols;
            self.row += self.next_row;
            self.at = self.row;
        } else {
            self.at += self.step;
        }
        Some(at)
    }
}

/// Two-bit codes as signed bytes, four columns a step.
#[inline(always)]
fn unpack_ternary(stripe: &[u8], panel: &mut [u8]) {
    for (from, to) in stripe.as_chunks::<STEP>().0.iter().zip(panel.as_chunks_mut::<{ 4 * STEP }>().0) {
        let (planes, _) = to.as_chunks_mut::<STEP>();
        unpack_plane::<0>(from, &mut planes[0]);
        unpack_plane::<1>(from, &mut planes[1]);
        unpack_plane::<2>(from, &mut planes[2]);
        unpack_plane::<3>(from, &mut planes[3]);
    }
}

/// One of the four codes of every byte; the shift is a constant for the sake of vectors.
#[inline(always)]
fn unpack_plane<const P: u32>(from: &[u8; STEP], to: &mut [u8; STEP]) {
    for i in 0..STEP {
        to[i] = (from[i] >> (2 * P) & 3).wrapping_sub(1);
    }
}

/// Integer weights as floats, a column a step, without the columns that fill up runs.
#[inline(always)]
pub(super) fn unpack_floats(format: PackedFormat, layout: &Layout, stripe: &[u8], panel: &mut [u8]) {
    let columns = (0..layout.runs).flat_map(|r| (0..layout.cols).map(move |c| r * layout.padded + c));
    for (col, to) in columns.zip(panel.as_chunks_mut::<STEP>().0) {
        let in_step = col % format.step_cols();
        let from = &stripe[format.step_at(col)..][..STEP];
        for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
            *to = f32::from(format.decode(from[in_step % 4], in_step / 4)).to_ne_bytes();
        }
    }
}
