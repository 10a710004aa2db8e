//! Depthwise convolution: a filter for each channel, vectors over channels.
//!
//! Nothing is shared between channels, so an element that is read costs about as much as what is done with it. The image's rows are
//! copied once, a vector's channels of each with their padding, to a ring of as many rows as a filter has; outputs are made from
//! there. The copy costs a load and a store for an element, and pays: pixels of many channels lie a power of two apart, where the
//! first-level cache holds few of them and a load waits for any store of the same last twelve bits of address; and there are no borders.
//!
//! Integers take the instructions of the other convolutions, a dot product of four bytes: the bytes of four filter rows are brought
//! side by side ([`Simd::interleave`]), once for each column of the image and four rows.

use super::band::BandSize;
use super::columns::{self, Columns};
use super::output::{Place, Steps, finish};
use super::{Conv, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, ImageOrder};
use crate::Scratch;
use crate::simd::{Kernel, Simd};

/// Channels whose filters lie side by side.
pub(super) const CHANNELS: usize = 64;
/// Filter rows that are multiplied at once.
const QUAD: usize = 4;
/// Pixels that share the loads of weights where nothing else is shared.
const PIXELS: usize = 4;
/// Bytes of an image that are gone over for some channels before the next ones: they should stay in the second-level cache.
const NEAR: usize = 128 << 10;

/// Where an f32 weight lies: for each group of 64 channels, each tap's 64 weights.
pub(super) fn tap_at(conv: &Conv, channel: usize, tap: usize) -> usize {
    (channel / CHANNELS * conv.taps() + tap) * CHANNELS + channel % CHANNELS
}

/// Vectors of four weights of 16 channels each, for each of the four vectors that [`Simd::interleave`] makes of 64 channels.
fn quads(conv: &Conv) -> usize {
    let [kh, kw] = conv.shape().kernel;
    kh.div_ceil(QUAD) * kw
}

/// Bytes of integer filters.
pub(super) fn quads_len(conv: &Conv) -> usize {
    conv.shape().out_channels.next_multiple_of(CHANNELS) * quads(conv) * QUAD
}

/// Where an integer weight lies: for each group of 64 channels, each four filter rows and each filter column, four bytes for each
/// channel in the order in which [`Simd::interleave`] leaves them. Weights of rows that are none are 0.
pub(super) fn quad_at(conv: &Conv, channel: usize, tap: usize) -> usize {
    let kw = conv.shape().kernel[1];
    let (ky, kx) = (tap / kw, tap % kw);
    let quad = channel / CHANNELS * quads(conv) + ky / QUAD * kw + kx;
    let (lane, within) = (channel % CHANNELS / 16, channel % 16);
    (quad * 4 + within / 4) * CHANNELS + 16 * lane + within % 4 * QUAD + ky % QUAD
}

/// Channels that a part lacks to whole groups.
fn more(part: &ConvPart) -> usize {
    let channels = part.channels.1 - part.channels.0;
    channels.next_multiple_of(CHANNELS) - channels
}

/// What a level's copy of the driver is called with.
pub(super) struct Depthwise<'a, 'o> {
    pub(super) weights: &'a ConvWeights,
    pub(super) input: &'a ConvInput<'a>,
    pub(super) output: &'a mut ConvOutput<'o>,
    pub(super) part: &'a ConvPart,
    pub(super) scratch: &'a mut Scratch,
}

impl Kernel for Depthwise<'_, '_> {
    type Out = Result<(), ConvError>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        match *self.input {
            ConvInput::F32(data) => floats(s, self, data),
            ConvInput::I8 { data, zero } => codes::<S, true>(s, self, bytemuck::cast_slice(data), zero as u8),
            ConvInput::U8 { data, zero } => codes::<S, false>(s, self, data, zero),
        }
    }
}

/// Some rows of an image, of one vector's channels, or of a few channels and all columns as they lie.
struct Ring<'a, T> {
    conv: &'a Conv,
    image: &'a [T],
    padding: T,
    memory: &'a mut [T],
    /// Elements from a column to the next, and from a row to the next.
    pitch: usize,
    row: usize,
    /// The first channel, and how many there are.
    channel: usize,
    count: usize,
    /// The row of the padded image past those that are there; meaningless where rows are not shared.
    next: usize,
    /// The slot of the first filter row's, of the output row that is next.
    slot: usize,
}

/// The sizes of a [`Ring`]: elements from a column to the next, from a row to the next, and of all rows.
fn ring(conv: &Conv, lanes: usize, many: usize) -> (usize, usize, usize) {
    let pitch = if many > 1 { conv.shape().in_channels } else { lanes };
    // A vector may begin in the last column.
    let row = (BandSize::of(conv).cols * pitch + lanes).next_multiple_of(CHANNELS);
    (pitch, row, row * conv.shape().kernel[0])
}

impl<T: bytemuck::Pod> Ring<'_, T> {
    /// Has the rows under an output row copied; the slot of the first filter row's, from which the others follow around the ring.
    #[inline(always)]
    fn turn(&mut self, oy: usize, copy: impl Fn(*const T, *mut T)) -> usize {
        let s = self.conv.shape();
        let rows = s.kernel[0];
        // Rows are shared where filter rows lie side by side.
        let shared = s.dilation[0] == 1;
        let first = oy * s.stride[0];
        let from = if shared { self.next.max(first) } else { first };
        for ky in from - first..rows {
            let slot = if self.slot + ky >= rows { self.slot + ky - rows } else { self.slot + ky };
            self.fill(slot, (first + ky * s.dilation[0]).wrapping_sub(s.pad[0]), &copy);
        }
        self.next = first + rows;
        let slot = self.slot;
        if shared {
            // The next output row begins so many rows further on.
            self.slot += s.stride[0] % rows;
            if self.slot >= rows {
                self.slot -= rows;
            }
        }
        slot
    }

    #[inline(always)]
    fn fill(&mut self, slot: usize, y: usize, copy: impl Fn(*const T, *mut T)) {
        let s = self.conv.shape();
        let [height, width] = s.input;
        let (pitch, channels) = (self.pitch, s.in_channels);
        let cols = BandSize::of(self.conv).cols;
        let left = s.pad[2].min(cols);
        let inside = width.min(cols - left);
        // What is left and right of it stays padding.
        let to = &mut self.memory[slot * self.row + left * pitch..][..inside * pitch];
        if y >= height {
            to.fill(self.padding);
            return;
        }
        if s.order == ImageOrder::Nchw {
            for c in (0..self.count).take_while(|_| inside > 0) {
                let from = &self.image[((self.channel + c) * height + y) * width..][..inside];
                to[c..].iter_mut().step_by(pitch).zip(from).for_each(|(to, from)| *to = *from);
            }
            return;
        }
        let from = &self.image[y * width * channels..][..inside * channels];
        if pitch == channels {
            to.copy_from_slice(from);
        } else if self.count == pitch {
            let from = from.get(self.channel..).unwrap_or_default();
            for (x, to) in to.chunks_exact_mut(pitch).enumerate() {
                copy(from[x * channels..][..pitch].as_ptr(), to.as_mut_ptr());
            }
        } else {
            for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(pitch)) {
                to[..self.count].copy_from_slice(&from[self.channel..][..self.count]);
            }
        }
    }
}

/// Output rows of so many channels as a vector has, or fewer.
struct Block<'a, T> {
    ring: Ring<'a, T>,
    rows: (usize, usize),
}

/// Calls `run` with blocks that together are a part, each with a vector's `lanes` channels; `many`: as [`Block::sums`].
#[inline(always)]
fn each<T: bytemuck::Pod>(
    (conv, part): (&Conv, &ConvPart),
    (image, padding): (&[T], T),
    memory: &mut [T],
    (lanes, many): (usize, usize),
    mut run: impl FnMut(Block<'_, T>),
) {
    let s = conv.shape();
    let (pitch, row, len) = ring(conv, lanes, many);
    memory[..len].fill(padding);
    let rows = (NEAR / size_of::<T>() / (s.input[1] * s.in_channels) / s.stride[0]).max(s.kernel[0]);
    for first in (part.rows.0..part.rows.1).step_by(rows) {
        for channel in (part.channels.0..part.channels.1).step_by(lanes) {
            let count = lanes.min(part.channels.1 - channel);
            let memory = &mut *memory;
            let ring = Ring { conv, image, padding, memory, pitch, row, channel, count, next: 0, slot: 0 };
            run(Block { ring, rows: (first, part.rows.1.min(first + rows)) });
        }
    }
}

/// The stride, where three filter columns that lie side by side have one or two in common with the next output's; else 0.
fn sliding(conv: &Conv) -> usize {
    let s = conv.shape();
    if s.kernel[1] == 3 && s.dilation[1] == 1 && s.stride[1] <= 2 { s.stride[1] } else { 0 }
}

/// Bytes; with `FLIP` of signed codes, which are made unsigned.
#[inline(always)]
fn codes<S: Simd, const FLIP: bool>(
    s: S,
    call: Depthwise<'_, '_>,
    data: &[u8],
    padding: u8,
) -> Result<(), ConvError> {
    let Depthwise { weights, input, output, part, scratch } = call;
    let conv = weights.conv();
    // Other filters do not come here.
    let Some(stored) = weights.quads() else { return Ok(()) };
    let (lanes, group) = (4 * S::LANES, quads(conv) * 4 * CHANNELS);
    let groups = part.channels.0 / CHANNELS..part.channels.1.div_ceil(CHANNELS);
    let stored = bytemuck::cast_slice::<i8, u8>(&stored[groups.start * group..groups.end * group]);
    let wide = if S::HALVES == 1 { 0 } else { stored.len() * S::HALVES };
    let filters = weights.filters();
    let shape = conv.shape();
    let columns = conv.output()[1];
    let coder = output.coder().filter(|_| shape.order == ImageOrder::Nhwc);
    // A vector of few channels has several pixels, where these lie side by side on both sides.
    let side_by_side =
        coder.is_some() && shape.stride[1] == 1 && lanes.is_multiple_of(filters) && output.joins_pixels();
    let many = if side_by_side && columns >= lanes / filters { lanes / filters } else { 1 };
    let sizes = [Steps::bytes(part, output, more(part)), ring(conv, lanes, many).2, wide];
    let [steps, memory, wide] = scratch.parts(sizes)?;
    // Signed codes are multiplied as numbers 128 higher, except where bytes are multiplied as signed ones.
    let steps = Steps::fill(steps, weights, part, output, (input.signed_zero() + S::ZERO, more(part)));
    let taps = if S::HALVES == 1 {
        stored
    } else {
        widened(s, stored, wide);
        &*wide
    };
    each(
        (conv, part),
        (data, padding),
        memory,
        (lanes, many),
        #[inline(always)]
        |block| {
            let (channel, count, rows) = (block.ring.channel, block.ring.count, block.rows);
            let first = channel - part.channels.0;
            let of_group =
                &taps[(channel / CHANNELS - groups.start) * group * S::HALVES..][..group * S::HALVES];
            let taps = &of_group[channel % CHANNELS..];
            let Some(coder) = coder else {
                block.sums::<S, FLIP>(
                    s,
                    taps,
                    1,
                    [s.int(0); 4],
                    #[inline(always)]
                    |oy, ox, _, sums| {
                        let mut results = [0i32; CHANNELS];
                        // SAFETY: no level's four vectors have more than 64 lanes.
                        unsafe { s.store_lanes(results.as_mut_ptr(), sums) };
                        let pixel = (oy - part.rows.0) * columns + ox;
                        let place = Place { pixel, channel, first: part.channels.0 };
                        finish(conv, steps, output, place, &results[..count], 0);
                    },
                );
                return;
            };
            let (offsets, scales) = steps.codes_from(channel);
            assert!(offsets.len() >= lanes && scales.len() >= lanes, "steps are filled up to whole groups");
            // SAFETY: four vectors each, by the assertion.
            let (seeds, [p, q, r, t]) =
                unsafe { (s.load_lanes(offsets.as_ptr()), s.load_lanes(scales.as_ptr().cast())) };
            let scales = [s.bits_as_floats(p), s.bits_as_floats(q), s.bits_as_floats(r), s.bits_as_floats(t)];
            // SAFETY: the number.
            let top = unsafe { s.splat(&coder.top) };
            let pixels = (rows.0 - part.rows.0) * columns..(rows.1 - part.rows.0) * columns;
            let Some((to, stride)) = output.codes_at(pixels, first, count) else { return };
            block.sums::<S, FLIP>(
                s,
                taps,
                many,
                seeds,
                #[inline(always)]
                |oy, ox, pixels, sums| {
                    let mut rounded = sums;
                    for v in 0..4 {
                        rounded[v] = s.rounded(s.times(s.to_floats(sums[v]), scales[v]), top);
                    }
                    let to = to.wrapping_add(((oy - rows.0) * columns + ox) * stride);
                    let len = pixels * count;
                    // SAFETY: the block's pixels are there from `to` on, and so are several side by side, of all channels; no
                    // level's four vectors have more than 64 lanes.
                    unsafe {
                        if len == lanes {
                            s.store_lane_codes(to, rounded, coder);
                        } else {
                            let mut all = [0u8; CHANNELS];
                            s.store_lane_codes(all.as_mut_ptr(), rounded, coder);
                            to.copy_from_nonoverlapping(all.as_ptr(), len);
                        }
                    }
                },
            );
        },
    );
    Ok(())
}

/// Signed bytes as what [`Simd::dot_bytes`] takes: for every 64 as many vectors of 64 bytes as it has halves.
#[inline(always)]
fn widened<S: Simd>(s: S, stored: &[u8], wide: &mut [u8]) {
    for (from, to) in stored.chunks_exact(CHANNELS).zip(wide.chunks_exact_mut(CHANNELS * S::HALVES)) {
        for at in (0..CHANNELS).step_by(4 * S::LANES) {
            for half in 0..S::HALVES {
                // SAFETY: a vector's bytes divide 64.
                unsafe {
                    let v = s.widen_signed(s.load(from.as_ptr().add(at)), half);
                    s.store(to.as_mut_ptr().add(CHANNELS * half + at), v);
                }
            }
        }
    }
}

/// Vectors that [`Simd::interleave`] makes, each expanded; where that is one vector, twice the same.
type Quad<S> = [[<S as Simd>::B; 2]; 4];

impl Block<'_, u8> {
    /// The sums of a vector's channels for each pixel, with `put(row, column, pixels, sums)`; `taps`: as stored or [`widened`], from
    /// this block's first channel on; `many`: pixels that a vector has, at most as many as a row of outputs has.
    #[inline(always)]
    fn sums<S: Simd, const FLIP: bool>(
        mut self,
        s: S,
        taps: &[u8],
        many: usize,
        seeds: [S::I; 4],
        put: impl FnMut(usize, usize, usize, [S::I; 4]),
    ) {
        let conv = self.ring.conv;
        let last = (quads(conv) * 4 * S::HALVES - 1) * CHANNELS + 4 * S::LANES;
        assert!(last <= taps.len(), "all taps are there");
        let few = many == 1 && conv.shape().kernel[0] <= QUAD;
        // SAFETY: by the assertion.
        unsafe {
            match if few { sliding(conv) } else { 0 } {
                1 => self.slide::<S, FLIP, 1>(s, taps, seeds, put),
                2 => self.slide::<S, FLIP, 2>(s, taps, seeds, put),
                _ => self.any::<S, FLIP>(s, taps, many, seeds, put),
            }
        }
    }

    /// As [`Ring::turn`].
    #[inline(always)]
    fn turn<S: Simd>(&mut self, s: S, oy: usize) -> usize {
        self.ring.turn(
            oy,
            #[inline(always)]
            // SAFETY: a vector of bytes on both sides.
            |from, to| unsafe { s.store(to, s.load(from)) },
        )
    }

    /// Four rows of the ring from filter row `ky` on, `slot` being that of filter row 0. Where there are fewer, others, which meet
    /// weights of 0.
    #[inline(always)]
    fn four(&self, slot: usize, ky: usize) -> [*const u8; QUAD] {
        let kh = self.ring.conv.shape().kernel[0];
        let mut rows = [self.ring.memory.as_ptr(); QUAD];
        for (i, row) in rows.iter_mut().enumerate().take(kh - ky) {
            let slot = slot + ky + i;
            let slot = if slot >= kh { slot - kh } else { slot };
            *row = self.ring.memory[slot * self.ring.row..].as_ptr();
        }
        rows
    }

    /// Three filter columns, stride `STRIDE`, at most four filter rows.
    ///
    /// # Safety
    /// `taps` has all of them.
    #[inline(always)]
    unsafe fn slide<S: Simd, const FLIP: bool, const STRIDE: usize>(
        &mut self,
        s: S,
        taps: &[u8],
        seeds: [S::I; 4],
        mut put: impl FnMut(usize, usize, usize, [S::I; 4]),
    ) {
        // SAFETY: the caller's promise.
        let weights = unsafe { [load_quad(s, taps, 0), load_quad(s, taps, 1), load_quad(s, taps, 2)] };
        let (columns, pitch) = (self.ring.conv.output()[1], self.ring.pitch);
        for oy in self.rows.0..self.rows.1 {
            let slot = self.turn(s, oy);
            let rows = self.four(slot, 0);
            // SAFETY: the ring has all columns that outputs reach, here and below.
            let mut a = unsafe { quad::<S, FLIP>(s, rows, 0) };
            // SAFETY: as above.
            let mut b = unsafe { quad::<S, FLIP>(s, rows, pitch) };
            let mut at = 2 * pitch;
            for ox in 0..columns {
                // SAFETY: as above.
                let c = unsafe { quad::<S, FLIP>(s, rows, at) };
                let mut acc = start(s, seeds);
                dot(s, &mut acc, &a, &weights[0]);
                dot(s, &mut acc, &b, &weights[1]);
                dot(s, &mut acc, &c, &weights[2]);
                put(oy, ox, 1, end(s, acc));
                (a, b) = (b, c);
                if STRIDE == 2 && ox + 1 < columns {
                    // SAFETY: as above: another output follows.
                    (a, b) = (c, unsafe { quad::<S, FLIP>(s, rows, at + pitch) });
                }
                at += STRIDE * pitch;
            }
        }
    }

    /// Any filter.
    ///
    /// # Safety
    /// `taps` has all of them.
    #[inline(always)]
    unsafe fn any<S: Simd, const FLIP: bool>(
        &mut self,
        s: S,
        taps: &[u8],
        many: usize,
        seeds: [S::I; 4],
        mut put: impl FnMut(usize, usize, usize, [S::I; 4]),
    ) {
        let conv = self.ring.conv;
        let ([kh, kw], [_, stride], [_, dilation]) =
            (conv.shape().kernel, conv.shape().stride, conv.shape().dilation);
        let (columns, pitch) = (conv.output()[1], self.ring.pitch);
        for oy in self.rows.0..self.rows.1 {
            let slot = self.turn(s, oy);
            let few = self.four(slot, 0);
            for ox in (0..columns).step_by(many) {
                // The last vector may do pixels of the one before once more.
                let ox = ox.min(columns - many);
                let mut acc = start(s, seeds);
                for ky in (0..kh).step_by(QUAD) {
                    let rows = if ky == 0 { few } else { self.four(slot, ky) };
                    for kx in 0..kw {
                        // SAFETY: the ring has all columns that outputs reach; the caller's promise.
                        unsafe {
                            let quad = quad::<S, FLIP>(s, rows, (ox * stride + kx * dilation) * pitch);
                            dot(s, &mut acc, &quad, &load_quad(s, taps, ky / QUAD * kw + kx));
                        }
                    }
                }
                put(oy, ox, many, end(s, acc));
            }
        }
    }
}

/// A column of four rows: four bytes in each lane.
///
/// # Safety
/// `at` bytes into each row a vector can be read.
#[inline(always)]
unsafe fn quad<S: Simd, const FLIP: bool>(s: S, [a, b, c, d]: [*const u8; QUAD], at: usize) -> Quad<S> {
    // SAFETY: the caller's promise.
    let rows = unsafe { [s.load(a.add(at)), s.load(b.add(at)), s.load(c.add(at)), s.load(d.add(at))] };
    let [a, b, c, d] = rows;
    let rows = if FLIP { [s.flip(a), s.flip(b), s.flip(c), s.flip(d)] } else { rows };
    let [a, b, c, d] = s.interleave(rows);
    let last = S::HALVES - 1;
    [
        [s.widen(a, 0), s.widen(a, last)],
        [s.widen(b, 0), s.widen(b, last)],
        [s.widen(c, 0), s.widen(c, last)],
        [s.widen(d, 0), s.widen(d, last)],
    ]
}

#[inline(always)]
fn start<S: Simd>(s: S, [a, b, c, d]: [S::I; 4]) -> [S::W; 4] {
    [s.start_bytes(a), s.start_bytes(b), s.start_bytes(c), s.start_bytes(d)]
}

#[inline(always)]
fn end<S: Simd>(s: S, [a, b, c, d]: [S::W; 4]) -> [S::I; 4] {
    [s.finish_bytes(a), s.finish_bytes(b), s.finish_bytes(c), s.finish_bytes(d)]
}

#[inline(always)]
fn dot<S: Simd>(s: S, acc: &mut [S::W; 4], quad: &Quad<S>, weights: &Quad<S>) {
    for v in 0..4 {
        for half in 0..S::HALVES {
            acc[v] = s.dot_bytes(acc[v], quad[v][half], weights[v][half]);
        }
    }
}

/// The weights of four filter rows in one column.
///
/// # Safety
/// `taps` has them.
#[inline(always)]
unsafe fn load_quad<S: Simd>(s: S, taps: &[u8], quad: usize) -> Quad<S> {
    // SAFETY: the caller's promise.
    unsafe {
        let first = taps.as_ptr().add(quad * 4 * S::HALVES * CHANNELS);
        let mut all = [[s.load(first); 2]; 4];
        for (v, halves) in all.iter_mut().enumerate() {
            let at = v * S::HALVES * CHANNELS;
            *halves = [s.load(first.add(at)), s.load(first.add(at + (S::HALVES - 1) * CHANNELS))];
        }
        all
    }
}

/// Floats.
#[inline(always)]
fn floats<S: Simd>(s: S, call: Depthwise<'_, '_>, data: &[f32]) -> Result<(), ConvError> {
    let Depthwise { weights, output, part, scratch, .. } = call;
    let conv = weights.conv();
    let filters = weights.filters().next_multiple_of(CHANNELS);
    let made = if weights.taps().is_some() { 0 } else { filters * conv.taps() * 4 };
    let slide = columns::channels::<S>(conv, part);
    let near = columns::memory::<S>(conv, slide) * 4;
    let sizes = [Steps::bytes(part, output, more(part)), (ring(conv, S::LANES, 1).2 * 4).max(near), made];
    let [steps, memory, made] = scratch.parts(sizes)?;
    let steps = Steps::fill(steps, weights, part, output, (0, more(part)));
    let taps: &[f32] = match weights.taps() {
        Some(taps) => taps,
        None => {
            let made: &mut [f32] = bytemuck::cast_slice_mut(made);
            for channel in 0..weights.filters() {
                for tap in 0..conv.taps() {
                    made[tap_at(conv, channel, tap)] = weights.value(channel, tap, 0);
                }
            }
            made
        }
    };
    let memory: &mut [f32] = bytemuck::cast_slice_mut(memory);
    let columns = conv.output()[1];
    let ordered = conv.shape().order == ImageOrder::Nhwc;
    if let (ConvOutput::F32 { tile, relu, .. }, true) = (&mut *output, slide > 0) {
        let channels = (part.channels.0, part.channels.0 + slide);
        let part = ConvPart { channels, ..*part };
        let memory = &mut *memory;
        Columns { conv, image: data, taps, steps, relu: *relu, tile, part, memory }.run(s);
    }
    let others = ConvPart { channels: (part.channels.0 + slide, part.channels.1), ..*part };
    each(
        (conv, &others),
        (data, 0.0),
        memory,
        (S::LANES, 1),
        #[inline(always)]
        |block| {
            let (channel, count, rows) = (block.ring.channel, block.ring.count, block.rows);
            let taps = &taps[tap_at(conv, channel, 0)..];
            if let (ConvOutput::F32 { tile, relu, .. }, true) = (&mut *output, ordered && count == S::LANES) {
                let first = channel - part.channels.0;
                let (scales, bias) = steps.values_from(channel);
                assert!(scales.len() >= S::LANES && bias.len() >= S::LANES, "steps are filled up to groups");
                // SAFETY: a vector each, by the assertion.
                let (scales, bias) =
                    unsafe { (s.load_floats(scales.as_ptr()), s.load_floats(bias.as_ptr())) };
                let relu = *relu;
                let pixels = (rows.0 - part.rows.0) * columns..(rows.1 - part.rows.0) * columns;
                let (to, stride) = tile.span_mut(pixels, first, S::LANES);
                block.chains(
                    s,
                    taps,
                    #[inline(always)]
                    |oy, ox, sum| {
                        let v = s.plus(s.times(sum, scales), bias);
                        let v = s.one_nan(if relu { s.relu(v) } else { v });
                        // SAFETY: the block's pixels are there from `to` on.
                        unsafe { s.store_floats(to.add(((oy - rows.0) * columns + ox) * stride), v) };
                    },
                );
                return;
            }
            block.chains(
                s,
                taps,
                #[inline(always)]
                |oy, ox, sum| {
                    let mut results = [0f32; 16];
                    // SAFETY: no level has more than 16 lanes.
                    unsafe { s.store_floats(results.as_mut_ptr(), sum) };
                    let pixel = (oy - part.rows.0) * columns + ox;
                    let place = Place { pixel, channel, first: part.channels.0 };
                    finish(conv, steps, output, place, &results[..count], 0);
                },
            );
        },
    );
    Ok(())
}

impl Block<'_, f32> {
    /// The chain of each pixel, with `put(row, column, sums)`.
    #[inline(always)]
    fn chains<S: Simd>(mut self, s: S, taps: &[f32], put: impl FnMut(usize, usize, S::F)) {
        let conv = self.ring.conv;
        assert!((conv.taps() - 1) * CHANNELS + S::LANES <= taps.len(), "all taps are there");
        // SAFETY: by the assertion.
        unsafe { self.any_chains::<S>(s, taps, put) }
    }

    /// As [`Ring::turn`].
    #[inline(always)]
    fn turn<S: Simd>(&mut self, s: S, oy: usize) -> usize {
        self.ring.turn(
            oy,
            #[inline(always)]
            // SAFETY: a vector of floats on both sides.
            |from, to| unsafe { s.store_floats(to, s.load_floats(from)) },
        )
    }

    /// The ring's row under filter row `ky`, `slot` being that of filter row 0.
    #[inline(always)]
    fn row(&self, slot: usize, ky: usize) -> *const f32 {
        let (kh, slot) = (self.ring.conv.shape().kernel[0], slot + ky);
        let slot = if slot >= kh { slot - kh } else { slot };
        self.ring.memory[slot * self.ring.row..].as_ptr()
    }

    /// Any filter.
    ///
    /// # Safety
    /// `taps` has all of them.
    #[inline(always)]
    unsafe fn any_chains<S: Simd>(&mut self, s: S, taps: &[f32], mut put: impl FnMut(usize, usize, S::F)) {
        let conv = self.ring.conv;
        let ([kh, kw], [_, stride], [_, dilation]) =
            (conv.shape().kernel, conv.shape().stride, conv.shape().dilation);
        let columns = conv.output()[1];
        for oy in self.rows.0..self.rows.1 {
            let slot = self.turn(s, oy);
            // Some pixels share the loads of weights.
            for first in (0..columns).step_by(PIXELS) {
                let pixels = PIXELS.min(columns - first);
                let mut acc = [s.zero(); PIXELS];
                for ky in 0..kh {
                    let row = self.row(slot, ky);
                    for kx in 0..kw {
                        // SAFETY: the caller's promise; the ring has all columns that outputs reach.
                        unsafe {
                            let w = s.load_floats(taps.as_ptr().add((ky * kw + kx) * CHANNELS));
                            for (n, acc) in acc.iter_mut().enumerate().take(pixels) {
                                let x = (first + n) * stride + kx * dilation;
                                *acc = s.fma(w, s.load_floats(row.add(x * S::LANES)), *acc);
                            }
                        }
                    }
                }
                for (n, acc) in acc.into_iter().enumerate().take(pixels) {
                    put(oy, first + n, acc);
                }
            }
        }
    }
}
