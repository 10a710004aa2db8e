//! Native operations: the operands that an executor resolves, what is checked of them, and the call of the body.

use crate::check;
use crate::claims::Area;
use crate::launch::{Launch, Slot};
use crate::trap::{LaneTrap, TrapDetail};
use crate::view::{Elem, View};
use phalanx_isa::{Activation, Algorithm, Op, PackFormat, Role, TrapKind};
use phalanx_kernels::conv::{Conv, ConvError, ConvShape, ConvWeights};
use phalanx_kernels::{Input, Output, PackError, PackedFormat, PackedWeights, Rows, Scales, Tile};
use phalanx_simd::half::{f32_to_bf16, f32_to_f16};
use phalanx_simd::tier::Tier;

mod attention;
mod convolution;

/// Where an output or input operand begins: parameter, which buffer of an array, first element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Parameter.
    pub param: u16,
    /// Which buffer of an array.
    pub which: u64,
    /// First element.
    pub first: u64,
}

/// Most outputs and inputs, and most numbers, that a row has.
pub const PLACES: usize = 4;
/// As [`PLACES`], for numbers.
pub const NUMBERS: usize = 7;

/// The operands of a native operation, all uniform, in the order of the row: the places of outputs and inputs, the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Operation.
    pub op: Op,
    /// What the modes name.
    pub words: Words,
    /// Outputs and inputs.
    pub places: [Place; PLACES],
    /// Packed weights parameter.
    pub packed: u16,
    /// Numbers.
    pub numbers: [u32; NUMBERS],
}

/// The positions of a row's operands: outputs and inputs, packed weights, numbers.
pub fn operands(op: Op) -> (impl Iterator<Item = usize>, Option<usize>, impl Iterator<Item = usize>) {
    let args = op.info().args;
    let of = move |wanted: fn(Role) -> bool| (0..args.len()).filter(move |i| wanted(args[*i].role));
    (
        of(|r| matches!(r, Role::Out | Role::Input)),
        of(|r| r == Role::Packed).next(),
        of(|r| r == Role::Uniform),
    )
}

/// What an instruction's modes name, where the row has such.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The function at the end.
    pub activation: Activation,
    /// The order of a convolution's float sums.
    pub algorithm: Algorithm,
}

impl Words {
    /// Those of an instruction.
    pub fn of(op: Op, modes: [u8; 3]) -> Words {
        let code = |name| op.info().modes.iter().position(|m| m.name == name).map(|slot| modes[slot].into());
        Words {
            activation: code("Activation").and_then(Activation::from_code).unwrap_or(Activation::None),
            algorithm: code("Algorithm").and_then(Algorithm::from_code).unwrap_or(Algorithm::None),
        }
    }
}

/// Where a native operation stands, for traps.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Function.
    pub func: u16,
    /// Instruction.
    pub inst: u32,
    /// Linear block.
    pub block: u64,
}

impl Site {
    pub(crate) fn trap(self, kind: TrapKind, text: String) -> LaneTrap {
        let Site { func, inst, block } = self;
        LaneTrap { kind, func, inst, block, lane: 0, detail: TrapDetail::Text(text) }
    }
}

/// Which body carries the operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The plain one, for comparison.
    Reference,
    /// The one for a SIMD level.
    Tier(Tier),
}

/// Memory that a worker keeps from one native operation to the next.
#[derive(Default)]
pub struct Workspace {
    body: phalanx_kernels::Scratch,
    codes: Vec<i8>,
    bytes: Vec<u8>,
    ints: Vec<i32>,
    floats: [Vec<f32>; 3],
    halves: [Vec<u16>; 2],
    scores: Vec<f32>,
    out_floats: Vec<f32>,
    out_ints: Vec<i32>,
    out_codes: Vec<i8>,
    out_bytes: Vec<u8>,
}

impl Workspace {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let Workspace { body, codes, bytes, ints, floats, halves, scores, .. } = self;
        let Workspace { out_floats, out_ints, out_codes, out_bytes, .. } = self;
        let words = floats.iter().chain([scores, out_floats]).map(Vec::capacity).sum::<usize>();
        let words = words + ints.capacity() + out_ints.capacity();
        let halves = halves.iter().map(Vec::capacity).sum::<usize>();
        let codes = codes.capacity() + bytes.capacity() + out_codes.capacity() + out_bytes.capacity();
        body.bytes() + 4 * words + 2 * halves + codes
    }

    /// Makes room for what another had room for. Where there is no memory, whoever needs it will say so.
    pub(crate) fn grow_as(&mut self, other: &Workspace) {
        fn grow<T>(v: &mut Vec<T>, as_: &Vec<T>) {
            v.clear();
            let _ = v.try_reserve_exact(as_.capacity());
        }
        let _ = self.body.grow_as(&other.body);
        grow(&mut self.codes, &other.codes);
        grow(&mut self.bytes, &other.bytes);
        grow(&mut self.ints, &other.ints);
        self.floats.iter_mut().zip(&other.floats).for_each(|(v, o)| grow(v, o));
        self.halves.iter_mut().zip(&other.halves).for_each(|(v, o)| grow(v, o));
        grow(&mut self.scores, &other.scores);
        grow(&mut self.out_floats, &other.out_floats);
        grow(&mut self.out_ints, &other.out_ints);
        grow(&mut self.out_codes, &other.out_codes);
        grow(&mut self.out_bytes, &other.out_bytes);
    }
}

/// How the kernels name a format.
pub fn packed_format(format: PackFormat) -> PackedFormat {
    match format {
        PackFormat::T2 => PackedFormat::T2,
        PackFormat::T3 => PackedFormat::T3,
        PackFormat::T2Blocks => PackedFormat::T2Blocks,
        PackFormat::I8 => PackedFormat::I8,
        PackFormat::Q80 => PackedFormat::Q8_0,
        PackFormat::Q40 => PackedFormat::Q4_0,
        PackFormat::F32 => PackedFormat::F32,
        PackFormat::F16 => PackedFormat::F16,
        PackFormat::Bf16 => PackedFormat::Bf16,
    }
}

/// How the instruction set calls a format of the kernels.
pub fn format_of(w: &PackedWeights) -> PackFormat {
    let mut same = PackFormat::ALL.iter().copied().filter(|f| packed_format(*f) == w.format());
    // Every format of the kernels has a name: a test compares the lists.
    same.next().unwrap_or(PackFormat::T2)
}

/// Packs `n` rows of `k` weights given as numbers: integers for the layouts of integers (scales are 1), else the nearest floats.
///
/// # Errors
/// Another number of weights than `n * k`, or one that the format does not hold; no memory.
///
/// ```
/// let w = phalanx_exec::native::pack(phalanx_isa::PackFormat::Q40, 1, 3, &[7.0, -8.0, 0.0])?;
/// assert_eq!(w.value(0, 1), -8.0);
/// # Ok::<(), phalanx_kernels::PackError>(())
/// ```
pub fn pack(format: PackFormat, n: usize, k: usize, weights: &[f32]) -> Result<PackedWeights, PackError> {
    if n.checked_mul(k) != Some(weights.len()) {
        return Err(PackError::Length { n, k, given: weights.len() });
    }
    let format = packed_format(format);
    if !format.is_float() && weights.iter().any(|v| f32::from(*v as i8) != *v) {
        return Err(PackError::Kind { format, what: "numbers other than integers of 8 bits" });
    }
    let row = |r: usize| &weights[r * k..][..k];
    let integers = |r: usize, out: &mut [i8]| {
        for (o, v) in out.iter_mut().zip(row(r)) {
            *o = *v as i8;
        }
    };
    match format {
        PackedFormat::F32 => PackedWeights::pack_f32(n, k, |r, out| out.copy_from_slice(row(r))),
        PackedFormat::F16 | PackedFormat::Bf16 => {
            let round = if format == PackedFormat::F16 { f32_to_f16 } else { f32_to_bf16 };
            PackedWeights::pack_half(format, n, k, |r, out| {
                out.iter_mut().zip(row(r)).for_each(|(o, v)| *o = round(*v));
            })
        }
        _ if format.block().is_some() => PackedWeights::pack_blocks(format, n, k, |r, out, scales| {
            integers(r, out);
            scales.fill(f32_to_f16(1.0));
        }),
        _ => PackedWeights::pack(format, n, k, Scales::None, integers),
    }
}

/// A convolution with filters given as numbers, in the order OIHW: integers for the layouts of integers, else the nearest floats.
///
/// # Errors
/// A shape that is none, another number of weights than it has, or one that the format does not hold; no memory.
///
/// ```
/// let shape = phalanx_kernels::conv::ConvShape::square(4, 1, 1, 2);
/// let w = phalanx_exec::native::filters(phalanx_isa::PackFormat::I8, shape, &[7.0, -8.0, 0.0, 1.0])?;
/// assert_eq!(w.integer(0, 1, 0), -8);
/// # Ok::<(), phalanx_kernels::conv::ConvError>(())
/// ```
pub fn filters(format: PackFormat, shape: ConvShape, weights: &[f32]) -> Result<ConvWeights, ConvError> {
    let conv = Conv::new(shape)?;
    let format = packed_format(format);
    if format == PackedFormat::F32 {
        return ConvWeights::floats(&conv, weights);
    }
    if let Some(v) = weights.iter().find(|v| f32::from(**v as i8) != **v) {
        let what =
            if v.is_nan() { "a weight that is no number" } else { "numbers other than integers of 8 bits" };
        return Err(PackError::Kind { format, what }.into());
    }
    ConvWeights::integers(&conv, format, &weights.iter().map(|v| *v as i8).collect::<Vec<_>>())
}

/// About how long the native operations of a launch take, from the sizes of what is bound: every output element is a sum over
/// `k`, and everything else is read.
pub(crate) fn nanoseconds(launch: &Launch<'_>) -> u64 {
    let uses = &launch.program.analysis(launch.kernel_index).params;
    let (mut bytes, mut outputs, mut k) = (0u64, 0u64, 1u64);
    for (slot, used) in launch.slots.iter().zip(uses) {
        match slot {
            Slot::Packed(w) => {
                bytes = bytes.saturating_add(w.bytes().len() as u64);
                k = k.max(w.k() as u64);
            }
            Slot::Filters(w) => {
                bytes = bytes.saturating_add(w.bytes() as u64);
                k = k.max(w.filter_len() as u64);
            }
            Slot::Views(views) if used.native && used.written => {
                outputs = views.iter().fold(outputs, |n, v| n.saturating_add(v.len()));
            }
            // Keys and values in a cache, above all.
            Slot::Views(views) if used.native => {
                let size = |v: &View<'_>| v.len().saturating_mul(v.elem().bytes() as u64);
                bytes = views.iter().fold(bytes, |n, v| n.saturating_add(size(v)));
            }
            _ => {}
        }
    }
    (bytes / 16).saturating_add(outputs.saturating_mul(k) / 64)
}

/// Columns of a panel of `matmul.b`.
const PANEL: u64 = 64;

/// The packed operand of a call.
#[derive(Clone, Copy)]
enum Weights<'a> {
    None,
    Matrix(&'a PackedWeights),
    Filters(&'a ConvWeights),
}

impl<'a> Weights<'a> {
    fn of(launch: &Launch<'a>, call: &Call) -> Weights<'a> {
        match launch.slots.get(call.packed as usize) {
            Some(Slot::Packed(w)) => Weights::Matrix(w),
            Some(Slot::Filters(w)) => Weights::Filters(w),
            _ => Weights::None,
        }
    }
}

/// Rows, stride and width of what a call covers at its place `i`, as the row's footprint says.
fn extent(call: &Call, i: usize, weights: Weights<'_>) -> (u64, u64, u64) {
    let numbers = call.numbers.map(u64::from);
    let (n, k) = match weights {
        Weights::Filters(w) => return convolution::extent(call, place(call, i).1, w),
        Weights::Matrix(w) => (w.n() as u64, w.k() as u64),
        Weights::None => (0, 0),
    };
    if call.op == Op::QuantRows {
        let [m, k, ldq, ldx, ..] = numbers;
        return [(m, ldq, k), (1, 0, m), (m, ldx, k)][i];
    }
    if call.op == Op::MatmulB {
        let [m, n, k, ldy, ldx, ldb, _] = numbers;
        return [(m, ldy, n), (m, ldx, k), (n.div_ceil(PANEL), ldb, PANEL * k)][i];
    }
    if call.op == Op::Attend {
        return attention::extent(numbers)[i];
    }
    let [m, _, nn, ldy, ldx, ..] = numbers;
    match place(call, i).1 {
        "y" => (m, ldy, nn),
        "x" => (m, ldx, k),
        "scale" => (1, 0, m),
        _ => (1, 0, n),
    }
}

/// The boxes that a call which ended without a trap has read, and then written.
pub fn areas(launch: &Launch<'_>, call: &Call) -> Vec<(Role, Area)> {
    let weights = Weights::of(launch, call);
    let mut all: Vec<(Role, Area)> = operands(call.op)
        .0
        .enumerate()
        .map(|(i, arg)| {
            let (Place { param, which, first }, (rows, stride, width)) =
                (call.places[i], extent(call, i, weights));
            (call.op.info().args[arg].role, Area { param, which, first, rows, stride, width })
        })
        .collect();
    if all.iter().any(|(_, a)| a.rows == 0 || a.width == 0) {
        return Vec::new();
    }
    all.sort_by_key(|(role, _)| *role == Role::Out);
    all
}

/// What a block's operation covers of an operand's buffer.
struct Operand<'l, 'a> {
    view: &'l View<'a>,
    area: Area,
}

impl<'l, 'a> Operand<'l, 'a> {
    /// Finds the view and checks that the box lies in it.
    fn find(
        launch: &'l Launch<'a>,
        site: Site,
        call: &Call,
        (i, weights): (usize, Weights<'_>),
    ) -> Result<Operand<'l, 'a>, LaneTrap> {
        let (Place { param, which, first }, name) = place(call, i);
        let (rows, stride, width) = extent(call, i, weights);
        if rows > 1 && stride < width {
            let text = format!("`{name}`: rows of {width} elements, {stride} apart, overlap");
            return Err(site.trap(TrapKind::Shape, text));
        }
        let view = launch.view(param, which);
        let view =
            view.ok_or_else(|| site.trap(TrapKind::OutOfBounds, format!("buffer {which} of `{name}`")))?;
        let end = (rows - 1).checked_mul(stride).and_then(|e| e.checked_add(width)?.checked_add(first));
        if end.is_none_or(|end| end > view.len()) {
            let text =
                format!("`{name}`: {rows} rows of {width} at {first}, stride {stride}, of {}", view.len());
            return Err(site.trap(TrapKind::OutOfBounds, text));
        }
        Ok(Operand { view, area: Area { param, which, first, rows, stride, width } })
    }

    fn sizes(&self) -> (usize, usize, usize) {
        (self.area.rows as usize, self.area.width as usize, self.area.stride as usize)
    }

    /// The rows: where they lie if nobody writes the buffer, else copied to `to`.
    fn rows<'v, T: Elem>(&self, to: &'v mut Vec<T>) -> Option<Rows<'v, T>>
    where
        'a: 'v,
    {
        let (rows, width, stride) = self.sizes();
        if let Some(all) = self.view.read_only::<T>() {
            return Rows::new(&all[self.area.first as usize..], rows, width, stride).ok();
        }
        to.clear();
        for r in 0..self.area.rows {
            let mut from = self.area.first + r * self.area.stride;
            let end = from + self.area.width;
            // In range: checked by `find`, which knows the view's element type; `T` has its size.
            while end - from >= 32 && size_of::<T>() == self.view.elem().bytes() {
                let mut part = [T::default(); 32];
                self.view.load32(from, &mut part);
                to.extend_from_slice(&part);
                from += 32;
            }
            to.extend((from..end).map(|i| T::from_bits(self.view.load(i).unwrap_or(0))));
        }
        Rows::new(to, rows, width, width).ok()
    }

    /// Lets `write` fill the box: in place where no other block and no other instruction touches it, else by way of `memory` and
    /// atomic stores. A box that another block has claimed is left alone, and the launch will report it.
    fn fill<T: Elem, R>(
        &self,
        launch: &Launch<'_>,
        (site, body): (Site, Body),
        memory: &mut Vec<T>,
        write: impl FnOnce(Tile<'_, T>) -> R,
    ) -> Option<R> {
        let area = self.area;
        let claimed = launch.blocks() == 1 || launch.claims.claim(site, area);
        let used = launch.program.analysis(launch.kernel_index).params[area.param as usize];
        let (rows, width, _) = self.sizes();
        // The reference stores element by element, what others claimed too: race checkers want to see what each block stores.
        if used.only_native_output() && body != Body::Reference {
            if !claimed {
                return None;
            }
            // SAFETY: the box was claimed for this block, which is running this very operation: no other block's native
            // operation gets it. No other instruction of the kernel touches the buffer, and overlapping views under other
            // parameters were refused.
            let tile = unsafe { self.view.tile::<T>(area.first, area.rows, area.width, area.stride) };
            return tile.map(write);
        }
        memory.clear();
        memory.resize(rows * width, T::default());
        let result = write(Tile::new(memory, rows, width, width).ok()?);
        for (r, row) in (0..area.rows).zip(memory.chunks_exact(width)) {
            let from = area.first + r * area.stride;
            for (i, v) in (from..).zip(row) {
                // In range: checked by `find`.
                let _ = self.view.store(i, v.to_bits());
            }
        }
        Some(result)
    }
}

/// Runs a native operation for one block.
///
/// # Errors
/// `shape` or `out_of_bounds`, with what does not fit.
pub fn run(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    match call.op {
        Op::QuantRows => quantise(launch, call, body, work, site)?,
        Op::MatmulB => attention::panels(launch, call, body, work, site)?,
        Op::Attend => attention::run(launch, call, body, work, site)?,
        Op::Conv2dSum | Op::Conv2dQ | Op::Conv2dF => convolution::run(launch, call, body, work, site)?,
        _ => product(launch, call, body, work, site)?,
    }
    let Some(checker) = launch.check else { return Ok(()) };
    for (role, Area { param, which, first, rows, stride, width }) in areas(launch, call) {
        let class = if role == Role::Out { check::Class::Write } else { check::Class::Read };
        let (block, site) = (site.block, check::Site { func: site.func, inst: site.inst });
        checker.native(check::Box2 { site, block, class, param, which, first, rows, stride, width });
    }
    Ok(())
}

/// A place of the call with its name in the table.
fn place(call: &Call, i: usize) -> (Place, &'static str) {
    let at = operands(call.op).0.nth(i).unwrap_or(0);
    (call.places[i], call.op.info().args[at].name)
}

fn quantise(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    let [m, k, ..] = call.numbers;
    if m == 0 || k == 0 {
        return Ok(());
    }
    let find = |i| Operand::find(launch, site, call, (i, Weights::None));
    let (q, scale, x) = (find(0)?, find(1)?, find(2)?);
    let Workspace { floats: [xs, ..], out_floats, out_codes, scores: found, .. } = work;
    let Some(rows) = x.rows::<f32>(xs) else { return Ok(()) };
    let tier = if let Body::Tier(tier) = body { tier } else { Tier::Scalar };
    found.clear();
    q.fill(launch, (site, body), out_codes, |mut tile: Tile<'_, i8>| {
        for i in 0..rows.rows() {
            found.push(phalanx_kernels::quantise(tier, rows.row(i), tile.row_mut(i)).scale);
        }
    });
    if found.is_empty() {
        return Ok(());
    }
    scale.fill(launch, (site, body), out_floats, |mut tile: Tile<'_, f32>| {
        tile.row_mut(0).copy_from_slice(found)
    });
    Ok(())
}

fn product(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    let [m, n0, nn, ..] = call.numbers.map(u64::from);
    let weights = Weights::of(launch, call);
    let Weights::Matrix(w) = weights else {
        return Err(
            site.trap(TrapKind::Shape, "the weights are filters of a convolution, not a matrix".into())
        );
    };
    let n = w.n() as u64;
    if m == 0 || nn == 0 {
        return Ok(());
    }
    if n0 + nn > n {
        let text = format!("weight rows {n0}..{} of {}", n0 + nn, w.n());
        return Err(site.trap(TrapKind::Shape, text));
    }
    let Workspace { body: scratch, codes, floats: [xs, scales, biases], out_floats, out_ints, .. } = work;
    let find = |i| Operand::find(launch, site, call, (i, weights));
    let (y, x) = (find(0)?, find(1)?);
    let (scale, bias) = match call.op {
        Op::MatmulQ => (Some(find(2)?), None),
        Op::LinearQ => (Some(find(2)?), Some(find(3)?)),
        Op::LinearF => (None, Some(find(2)?)),
        _ => (None, None),
    };
    let scale = scale.as_ref().and_then(|s| Some(s.rows::<f32>(scales)?.row(0)));
    let bias = bias.as_ref().and_then(|b| Some(b.rows::<f32>(biases)?.row(0)));
    let input = match call.op {
        Op::MatmulF | Op::LinearF => x.rows::<f32>(xs).map(Input::Floats),
        _ => x.rows::<i8>(codes).map(|rows| Input::Codes { rows, scales: scale }),
    };
    let Some(input) = input else { return Ok(()) };
    let activation = match call.words.activation {
        Activation::None => phalanx_kernels::Activation::None,
        Activation::Relu => phalanx_kernels::Activation::Relu,
        Activation::Relu2 => phalanx_kernels::Activation::ReluSquared,
        Activation::Silu => phalanx_kernels::Activation::Silu,
        Activation::Gelu => phalanx_kernels::Activation::Gelu,
    };
    let mut compute = |output: Output<'_>| match body {
        Body::Reference => phalanx_kernels::reference::matmul(w, n0 as usize, input, output),
        Body::Tier(tier) => phalanx_kernels::matmul(tier, w, n0 as usize, input, output, scratch),
    };
    let result = match call.op {
        Op::MatmulT2 => y.fill(launch, (site, body), out_ints, |tile| compute(Output::Sums(tile))),
        _ => y.fill(launch, (site, body), out_floats, |tile| {
            compute(Output::Floats { tile, bias, activation })
        }),
    };
    match result {
        Some(Err(e)) => Err(site.trap(TrapKind::Shape, e.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_hold_every_row() {
        let native = phalanx_isa::OPS.iter().filter(|o| o.kind == phalanx_isa::Kind::Native);
        assert!(native.clone().count() >= 9);
        for row in native {
            let (places, _, numbers) = operands(row.op);
            assert!(places.count() <= PLACES && numbers.count() <= NUMBERS, "{}", row.op);
        }
    }

    #[test]
    fn formats_are_those_of_the_kernels() {
        let mut all: Vec<PackedFormat> = PackFormat::ALL.iter().map(|f| packed_format(*f)).collect();
        all.dedup();
        assert_eq!(all, PackedFormat::ALL);
        assert!(pack(PackFormat::T2, 1, 2, &[0.5, 1.0]).is_err(), "no integer");
        assert!(pack(PackFormat::I8, 1, 2, &[0.5]).is_err(), "too few");
        let shape = ConvShape::square(2, 1, 1, 1);
        assert!(
            filters(PackFormat::T3, shape, &[1.0]).is_err()
                && filters(PackFormat::I8, shape, &[f32::NAN]).is_err()
        );
        assert!(filters(PackFormat::F32, shape, &[0.5]).is_ok());
    }
}
