//! A product at one SIMD level: prepares activations, walks stripes, runs of columns and register tiles, and finishes outputs.

use crate::finish::{Finish, Sums, finish_sums};
use crate::format::{PackedFormat, SCALES, STEP, STRIPE};
use crate::kernel::{BlockTile, Blocks, Chains, Expand, Extend, Ints};
use crate::plan::FEW;
use crate::product::{Input, Output, ProductError, Scratch};
use crate::simd::{Kernel, Simd, Vectors};
use crate::source::{Bf16, Bytes, F16, F32, Float, Nibbles, Q4, Source, T2, T3, Trits, Wide};
use crate::vector::{BlockCodes, BlockVector, CodeVector, Fives, Planes, Vector};
use crate::{PackedWeights, Rows};
use std::marker::PhantomData;

/// Bytes of unpacked weights that a tile's rows go over again and again: they should stay in the second-level cache.
const PANEL: usize = 256 << 10;

/// Whole numbers as the kernels take them: where the parts of scratch lie, in bytes.
struct Layout {
    /// Activations, where they must be copied: a row's bytes, padding included.
    copied: Option<usize>,
    /// Unpacked weights.
    panel: usize,
    /// Sums of activations in a row: one, or one for each block.
    seeds: usize,
    /// Columns of a run.
    run: usize,
}

impl Layout {
    fn new<S: Simd>(format: PackedFormat, m: usize, k: usize) -> Layout {
        let padded = format.padded(k);
        let halves = halves::<S>(format);
        // Bytes a column of 64 rows has where the tiles read it.
        let column = match format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => 4 * STRIPE,
            _ => halves * STRIPE,
        };
        let unit = format.block().unwrap_or(format.step_cols());
        // One tile of all rows of a stripe goes over the weights once.
        let once = m
            .checked_sub(1)
            .and_then(|i| tiles::<S>(format, m).get(i))
            .is_some_and(|nv| nv * S::LANES == STRIPE);
        let run = if once || (m == 1 && one_run::<S>(format)) {
            padded
        } else {
            let most = (PANEL / column / unit).max(1);
            let units = padded / unit;
            units.div_ceil(units.div_ceil(most).max(1)) * unit
        };
        let run = run.max(unit);
        let unpacked = !direct::<S>(format, m);
        let scales = format.block().map_or(0, |block| run / block * SCALES);
        Layout {
            copied: (!format.is_float() && (padded != k || halves != 1)).then_some(padded * halves),
            panel: if unpacked { run * column + scales } else { 0 },
            seeds: format.block().map_or(1, |block| padded / block),
            run,
        }
    }

    /// Bytes of each part for `m` rows, in the order in which they lie.
    fn parts(&self, m: usize) -> [usize; 4] {
        let round = |bytes: usize| bytes.next_multiple_of(64);
        [round(m * self.copied.unwrap_or(0)), round(self.panel), round(m * self.seeds * 4), m * STRIPE * 4]
    }
}

/// Bytes of activations beside a column's weights.
fn halves<S: Simd>(format: PackedFormat) -> usize {
    match format {
        PackedFormat::I8 | PackedFormat::Q8_0 => S::HALVES,
        _ => 1,
    }
}

/// Whether tiles of many rows read the packed form itself.
fn stored_as_read<S: Simd>(format: PackedFormat) -> bool {
    match format {
        PackedFormat::I8 | PackedFormat::Q8_0 => S::HALVES == 1,
        PackedFormat::F32 => true,
        _ => false,
    }
}

/// Whether tiles of `m` rows read the packed form itself.
fn direct<S: Simd>(format: PackedFormat, m: usize) -> bool {
    m <= FEW || stored_as_read::<S>(format)
}

/// Whether tiles of `m` rows separate codes that share a byte on the way, each of them anew.
fn unpacking<S: Simd>(format: PackedFormat, m: usize) -> bool {
    let codes =
        matches!(format, PackedFormat::T2 | PackedFormat::T3 | PackedFormat::T2Blocks | PackedFormat::Q4_0);
    codes && direct::<S>(format, m)
}

/// The register tiles of a product of `m` rows.
fn tiles<S: Simd>(format: PackedFormat, m: usize) -> &'static [usize] {
    match format.block() {
        _ if m > 1 && unpacking::<S>(format, m) => S::DIRECT,
        Some(_) => S::BLOCKS,
        None => S::TILE,
    }
}

/// Rows of a tile, where `m` rows are divided into tiles of about one height.
fn height(m: usize, tiles: &[usize]) -> usize {
    m.div_ceil(m.div_ceil(tiles.len()).max(1)).max(1)
}

/// Whether one row of activations is multiplied with whole stripes, by a kernel of `vector.rs`.
fn one_run<S: Simd>(format: PackedFormat) -> bool {
    match format {
        PackedFormat::T2 | PackedFormat::T2Blocks => S::VECTORS != Vectors::None,
        PackedFormat::T3 => S::VECTORS == Vectors::Bytes,
        _ => false,
    }
}

/// [`crate::scratch_bytes`] at this level.
pub(crate) fn scratch_bytes<S: Simd>(_: S, format: PackedFormat, m: usize, k: usize) -> usize {
    let m = band::<S>(format, m, k);
    Layout::new::<S>(format, m, k).parts(m).iter().sum()
}

/// Rows of activations that go through all weights before the next do: as many as stay in the second-level cache beside a
/// panel. Where weights are unpacked for each band, only if that makes bands tall enough to be worth it.
fn band<S: Simd>(format: PackedFormat, m: usize, k: usize) -> usize {
    let row = if format.is_float() { 4 * k } else { k * halves::<S>(format) };
    let fits = 2 * PANEL / row.max(1);
    let least = if stored_as_read::<S>(format) { 48 } else { 192 };
    if fits < least || m <= fits {
        return m;
    }
    // Bands of about one height, of whole register tiles.
    m.div_ceil(m.div_ceil(fits)).next_multiple_of(S::TILE.len())
}

/// Zero points of a row of activations (`seeds`), and its copy with padding where one is needed.
struct Prepare<'a> {
    row: &'a [i8],
    /// Columns that a sum is taken of.
    block: usize,
    zero: i32,
    seeds: &'a mut [i32],
    copy: Option<&'a mut [u8]>,
    halves: usize,
}

impl Kernel for Prepare<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut seeds = self.seeds.iter_mut();
        for (part, seed) in self.row.chunks(self.block).zip(&mut seeds) {
            *seed = sum(s, part).wrapping_mul(self.zero).wrapping_neg();
        }
        seeds.for_each(|seed| *seed = 0);
        let Some(copy) = self.copy else { return };
        if self.halves == 1 {
            let (row, rest) = copy.split_at_mut(self.row.len());
            row.iter_mut().zip(self.row).for_each(|(to, v)| *to = *v as u8);
            rest.fill(0);
        } else {
            let (fours, tail) = self.row.as_chunks::<4>();
            let mut to = copy.chunks_exact_mut(4 * self.halves);
            for (four, to) in fours.iter().zip(&mut to) {
                S::widen_quad(*four, to);
            }
            let mut last = [0; 4];
            last[..tail.len()].copy_from_slice(tail);
            for to in to {
                S::widen_quad(last, to);
                last = [0; 4];
            }
        }
    }
}

/// Sum of activations: dot products with ones.
#[inline(always)]
fn sum<S: Simd>(s: S, part: &[i8]) -> i32 {
    let vector = 4 * S::LANES;
    let chunks = part.chunks_exact(vector);
    let mut total = chunks.remainder().iter().map(|v| i32::from(*v)).sum::<i32>();
    // SAFETY: one byte pattern in a local array of a quad's size.
    let ones = unsafe { s.quad([1u8; 4].as_ptr()) };
    let run = S::run_codes(1);
    let mut vectors = chunks.peekable();
    while vectors.peek().is_some() {
        let mut acc = s.start_codes(s.int(0));
        for chunk in vectors.by_ref().take(run) {
            // SAFETY: the chunk is a vector long.
            acc = s.dot_codes(acc, ones, unsafe { s.load(chunk.as_ptr().cast()) });
        }
        let mut lanes = [0i32; 16];
        // SAFETY: no level has more than 16 lanes.
        unsafe { s.store_ints(lanes.as_mut_ptr(), s.finish_codes(acc, s.int(0))) };
        total = lanes.iter().fold(total, |t, v| t.wrapping_add(*v));
    }
    total
}

/// The product, band by band; the call has been checked.
pub(crate) fn product<S: Simd>(
    s: S,
    w: &PackedWeights,
    first: usize,
    x: Input<'_>,
    mut y: Output<'_>,
    scratch: &mut Scratch,
) -> Result<(), ProductError> {
    let m = x.rows();
    let band = band::<S>(w.format(), m, w.k()).max(1);
    for from in (0..m).step_by(band) {
        let rows = band.min(m - from);
        let (part, rest) = y.split_rows(rows);
        y = rest;
        one_band(s, w, first, x.range(from, from + rows), part, scratch)?;
    }
    Ok(())
}

fn one_band<S: Simd>(
    s: S,
    w: &PackedWeights,
    first: usize,
    x: Input<'_>,
    y: Output<'_>,
    scratch: &mut Scratch,
) -> Result<(), ProductError> {
    match x {
        Input::Codes { rows, scales } => match w.format() {
            PackedFormat::T2 => Integers { s, w, rows, scales }.run::<T2, Trits>(first, y, scratch),
            PackedFormat::T3 => Integers { s, w, rows, scales }.run::<T3, Trits>(first, y, scratch),
            PackedFormat::I8 => Integers { s, w, rows, scales }.run::<Bytes, Wide>(first, y, scratch),
            PackedFormat::T2Blocks => Integers { s, w, rows, scales }.blocks::<T2, Trits>(first, y, scratch),
            PackedFormat::Q8_0 => Integers { s, w, rows, scales }.blocks::<Bytes, Wide>(first, y, scratch),
            PackedFormat::Q4_0 => Integers { s, w, rows, scales }.blocks::<Q4, Nibbles>(first, y, scratch),
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => unreachable!("checked"),
        },
        Input::Floats(rows) => match w.format() {
            PackedFormat::F16 => floats::<S, F16>(s, w, rows, first, y, scratch),
            PackedFormat::Bf16 => floats::<S, Bf16>(s, w, rows, first, y, scratch),
            _ => floats::<S, F32>(s, w, rows, first, y, scratch),
        },
    }
}

/// The stripes of an output and which of their rows it has: stripe, from, to, column of the output.
fn stripes(first: usize, count: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let end = first + count;
    let last = if count == 0 { first / STRIPE } else { end.div_ceil(STRIPE) };
    (first / STRIPE..last).map(move |stripe| {
        let base = stripe * STRIPE;
        let (from, to) = (first.max(base) - base, end.min(base + STRIPE) - base);
        (stripe, from, to, base + from - first)
    })
}

/// First rows of the register tiles' columns that meet `from..to`.
fn subpanels(width: usize, from: usize, to: usize) -> impl Iterator<Item = usize> {
    (from / width * width..to).step_by(width)
}

/// A product of codes.
struct Integers<'a, S> {
    s: S,
    w: &'a PackedWeights,
    rows: Rows<'a, i8>,
    scales: Option<&'a [f32]>,
}

impl<S: Simd> Integers<'_, S> {
    /// Activations for the kernels: the first byte and the bytes from row to row. Fills `seeds`.
    fn prepare(&self, layout: &Layout, zero: i32, copy: &mut [u8], seeds: &mut [i32]) -> (*const u8, usize) {
        let block = self.w.format().block().unwrap_or(usize::MAX);
        let halves = halves::<S>(self.w.format());
        for m in 0..self.rows.rows() {
            self.s.call(Prepare {
                row: self.rows.row(m),
                block,
                zero,
                seeds: &mut seeds[m * layout.seeds..][..layout.seeds],
                copy: layout.copied.map(|len| &mut copy[m * len..][..len]),
                halves,
            });
        }
        match layout.copied {
            Some(len) => (copy.as_ptr(), len),
            None => (self.rows.as_ptr().cast(), self.rows.stride()),
        }
    }

    /// Layouts without blocks: `D` reads packed weights, `U` unpacked ones.
    fn run<D: Source, U: Source>(
        &self,
        first: usize,
        mut y: Output<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let Integers { s, w, rows, .. } = *self;
        let (format, k, m) = (w.format(), w.k(), rows.rows());
        let layout = Layout::new::<S>(format, m, k);
        let parts = layout.parts(m);
        let [copy, panel, seeds, sums] = scratch.parts(parts)?;
        let seeds: &mut [i32] = &mut bytemuck::cast_slice_mut(seeds)[..m * layout.seeds];
        let sums: &mut [i32] = bytemuck::cast_slice_mut(sums);
        let (a, lda) = self.prepare(&layout, D::zero::<S>(), copy, seeds);
        // The sums to take off, not what to start with: runs of columns continue each other's sums.
        seeds.iter_mut().for_each(|seed| *seed = seed.wrapping_neg());
        let direct = layout.panel == 0;
        let (tiles, unpacking) = (tiles::<S>(format, m), m > 1 && unpacking::<S>(format, m));
        let tile_rows = height(m, tiles);
        let count = match &y {
            Output::Sums(tile) => tile.cols(),
            Output::Floats { tile, .. } => tile.cols(),
        };
        let padded = format.padded(k);
        for (stripe, from, to, at) in stripes(first, count) {
            let bytes = w.stripe(stripe);
            if padded == 0 {
                sums.fill(0);
            }
            for start in (0..padded).step_by(layout.run) {
                let cols = layout.run.min(padded - start);
                let steps = cols / format.step_cols();
                let packed = &bytes[format.step_at(start)..][..steps * STEP];
                if !direct {
                    let to = &mut panel[..steps * STEP * D::planes::<S>()];
                    s.call_five(Expand { from: packed, to, source: PhantomData::<D> });
                }
                if m == 1 && one_run::<S>(format) {
                    let (b, c) = (packed.as_ptr(), sums.as_mut_ptr());
                    // SAFETY: one row is one run: `packed` is all steps of the stripe, `a` has the activations for them, `sums`
                    // one row of 64.
                    unsafe {
                        match (S::VECTORS, format) {
                            (Vectors::Codes, _) => CodeVector { b, steps, a, c }.run(s),
                            (_, PackedFormat::T2) => {
                                Vector::<Planes> { b, steps, a, c, way: PhantomData }.run(s)
                            }
                            _ => Vector::<Fives> { b, steps, a, c, way: PhantomData }.run(s),
                        }
                    }
                    continue;
                }
                for row in (0..m).step_by(tile_rows) {
                    let here = tile_rows.min(m - row);
                    for sub in subpanels(tiles[here - 1] * S::LANES, from, to) {
                        let c = sums[row * STRIPE + sub..].as_mut_ptr();
                        let fresh = start == 0;
                        // SAFETY: `packed` or its expansion is `steps` steps (times planes) of 64 rows, of which the tile's
                        // begin at `sub`; `a` has `lda` bytes a row, of which `start` and `cols` columns are inside; `sums`
                        // has 64 for each row.
                        unsafe {
                            let a = a.add(row * lda + start * halves::<S>(format));
                            if direct {
                                let b = packed.as_ptr().add(4 * sub);
                                let source = PhantomData::<D>;
                                let ints = Ints::<D, true> { b, steps, a, lda, c, fresh, source };
                                if unpacking { s.direct(here, ints) } else { s.tile(here, ints) }
                            } else {
                                let b = panel.as_ptr().add(4 * sub);
                                let steps = steps * D::planes::<S>();
                                let source = PhantomData::<U>;
                                s.tile(here, Ints::<U, false> { b, steps, a, lda, c, fresh, source });
                            }
                        }
                    }
                }
            }
            match &mut y {
                Output::Sums(out) => finish_sums(sums, seeds, (from, to), out, at),
                Output::Floats { tile, bias, activation } => s.call(Finish {
                    sums: Sums::Ints(sums, seeds),
                    divisors: self.scales,
                    scales: w.scales(),
                    bias: *bias,
                    activation: *activation,
                    base: stripe * STRIPE,
                    from,
                    to,
                    out: tile,
                    at,
                }),
            }
        }
        Ok(())
    }

    /// Layouts with blocks.
    fn blocks<D: Source, U: Source>(
        &self,
        first: usize,
        y: Output<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let Output::Floats { mut tile, bias, activation } = y else { unreachable!("checked: no exact sums") };
        let Integers { s, w, rows, .. } = *self;
        let (format, k, m) = (w.format(), w.k(), rows.rows());
        let block = format.block().unwrap_or(1);
        let layout = Layout::new::<S>(format, m, k);
        let [copy, panel, seeds, sums] = scratch.parts(layout.parts(m))?;
        let seeds: &mut [i32] = &mut bytemuck::cast_slice_mut(seeds)[..m * layout.seeds];
        let sums: &mut [f32] = bytemuck::cast_slice_mut(sums);
        let (a, lda) = self.prepare(&layout, D::zero::<S>(), copy, seeds);
        let direct = layout.panel == 0;
        let (tiles, unpacking) = (tiles::<S>(format, m), m > 1 && unpacking::<S>(format, m));
        let tile_rows = height(m, tiles);
        let padded = format.padded(k);
        let steps = block / format.step_cols();
        let planes = D::planes::<S>();
        for (stripe, from, to, at) in stripes(first, tile.cols()) {
            let bytes = w.stripe(stripe);
            if padded == 0 {
                sums.fill(0.0);
            }
            for start in (0..padded).step_by(layout.run) {
                let blocks = layout.run.min(padded - start) / block;
                let size = SCALES + steps * STEP;
                let packed = &bytes[format.step_at(start) - SCALES..][..blocks * size];
                if !direct {
                    let expanded = panel.chunks_exact_mut(SCALES + steps * planes * STEP);
                    for (packed, to) in packed.chunks_exact(size).zip(expanded) {
                        to[..SCALES].copy_from_slice(&packed[..SCALES]);
                        let (from, to) = (&packed[SCALES..], &mut to[SCALES..]);
                        s.call(Expand { from, to, source: PhantomData::<D> });
                    }
                }
                if m == 1 && one_run::<S>(format) {
                    let (b, seeds, c) = (packed.as_ptr(), seeds.as_ptr(), sums.as_mut_ptr());
                    // SAFETY: one row is one run: `packed` is all blocks of the stripe, `a` and `seeds` have what belongs to
                    // them, `sums` one row of 64.
                    unsafe {
                        let vector = BlockVector { b, blocks, steps, a, seeds, c };
                        match S::VECTORS {
                            Vectors::Codes => BlockCodes(vector).run(s),
                            _ => vector.run(s),
                        }
                    }
                    continue;
                }
                for row in (0..m).step_by(tile_rows) {
                    let here = tile_rows.min(m - row);
                    for sub in subpanels(tiles[here - 1] * S::LANES, from, to) {
                        let c = sums[row * STRIPE + sub..].as_mut_ptr();
                        let seeds = seeds[row * layout.seeds + start / block..].as_ptr();
                        // SAFETY: `packed` or its expansion is `blocks` blocks of 64 scales and their steps, of which the
                        // tile's begin at `sub`; activations, seeds and sums have their rows, as in `run`.
                        unsafe {
                            let a = a.add(row * lda + start * halves::<S>(format));
                            let base = if direct { packed.as_ptr() } else { panel.as_ptr() };
                            let (scales, data) = (base.add(2 * sub), base.add(SCALES + 4 * sub));
                            let steps = if direct { steps } else { steps * planes };
                            let tile = BlockTile {
                                scales,
                                data,
                                blocks,
                                steps,
                                a,
                                lda,
                                seeds,
                                seed_row: layout.seeds,
                                c,
                                fresh: start == 0,
                            };
                            match (direct, unpacking) {
                                (false, _) => s.blocks(here, Blocks::<U, false>(tile, PhantomData)),
                                (true, false) => s.blocks(here, Blocks::<D, true>(tile, PhantomData)),
                                (true, true) => s.direct(here, Blocks::<D, true>(tile, PhantomData)),
                            }
                        }
                    }
                }
            }
            s.call(Finish {
                sums: Sums::Floats(sums),
                divisors: self.scales,
                scales: w.scales(),
                bias,
                activation,
                base: stripe * STRIPE,
                from,
                to,
                out: &mut tile,
                at,
            });
        }
        Ok(())
    }
}

/// A product of floats stored as `E`.
fn floats<S: Simd, E: Float>(
    s: S,
    w: &PackedWeights,
    rows: Rows<'_, f32>,
    first: usize,
    y: Output<'_>,
    scratch: &mut Scratch,
) -> Result<(), ProductError> {
    let Output::Floats { mut tile, bias, activation } = y else { unreachable!("checked: no exact sums") };
    let (format, k, m) = (w.format(), w.k(), rows.rows());
    let layout = Layout::new::<S>(format, m, k);
    let [_, panel, _, sums] = scratch.parts(layout.parts(m))?;
    let panel: &mut [f32] = bytemuck::cast_slice_mut(panel);
    let sums: &mut [f32] = bytemuck::cast_slice_mut(sums);
    let direct = panel.is_empty();
    let tile_rows = height(m, S::TILE);
    let (lda, size) = (rows.stride(), format.step_bytes());
    for (stripe, from, to, at) in stripes(first, tile.cols()) {
        let bytes = w.stripe(stripe);
        if k == 0 {
            sums.fill(0.0);
        }
        for start in (0..k).step_by(layout.run) {
            let steps = layout.run.min(k - start);
            let packed = &bytes[start * size..][..steps * size];
            if !direct {
                s.call(Extend { from: packed, to: &mut panel[..steps * STRIPE], source: PhantomData::<E> });
            }
            for row in (0..m).step_by(tile_rows) {
                let here = tile_rows.min(m - row);
                for sub in subpanels(S::TILE[here - 1] * S::LANES, from, to) {
                    let c = sums[row * STRIPE + sub..].as_mut_ptr();
                    let fresh = start == 0;
                    // SAFETY: `packed` or its expansion is `steps` columns of 64 rows, of which the tile's begin at `sub`; the
                    // activations have `k` columns a row, of which those from `start` are inside; `sums` has 64 for each row.
                    unsafe {
                        let a = rows.as_ptr().add(row * lda + start);
                        if direct {
                            let b = packed.as_ptr().add(E::SIZE * sub);
                            s.tile(
                                here,
                                Chains::<E, true> { b, steps, a, lda, c, fresh, source: PhantomData },
                            );
                        } else {
                            let b = panel.as_ptr().add(sub).cast();
                            s.tile(
                                here,
                                Chains::<F32, false> { b, steps, a, lda, c, fresh, source: PhantomData },
                            );
                        }
                    }
                }
            }
        }
        s.call(Finish {
            sums: Sums::Floats(sums),
            divisors: None,
            scales: w.scales(),
            bias,
            activation,
            base: stripe * STRIPE,
            from,
            to,
            out: &mut tile,
            at,
        });
    }
    Ok(())
}
