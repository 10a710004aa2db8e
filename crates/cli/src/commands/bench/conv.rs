//! Convolutions: beside the limits of the machine, or beside a rival, in the same run.
//!
//! Products are compared with the rate of their instructions from registers; depthwise ones, of which every element costs a byte or
//! four of memory traffic, with a copy of as many bytes where that is slower.

use super::chain;
use super::rivals::{Against, Process, Rival};
use super::samples::{Sampler, Samples};
use super::timing::paired_beside;
use super::{Row, Table};
use crate::console::say;
use crate::device::Device;
use crate::failure::usage;
use crate::machine::scaling;
use crate::working::working;
use anyhow::Context;
use phalanx::convolution::{Algorithm, Conv, Conv2d, ConvShape, Requantised, Valued, filters};
use phalanx::isa::PackFormat;
use phalanx::kernels::conv::{ConvInput, ConvOutput, ConvPart, ConvPlan, ConvWeights, Requantise, reference};
use phalanx::kernels::{Tile, limits};
use phalanx::{BoundLaunch, Buffer, Cpu, Element, Tier};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the unpacked panel of ternary filters may take, for each thread.
const PANEL: usize = 320 << 10;
/// How long a limit takes, roughly.
const LIMIT: Duration = Duration::from_millis(24);

/// ResNet-50's layers at batch 1, the first, the 3x3 and the 1x1 ones, and MobileNet's depthwise ones.
const LAYERS: [&str; 21] = [
    "224x224 3->64 7x7 s2 p3",
    "56x56 64->64 3x3 p1",
    "28x28 128->128 3x3 p1",
    "14x14 256->256 3x3 p1",
    "7x7 512->512 3x3 p1",
    "56x56 64->256 1x1",
    "56x56 256->64 1x1",
    "56x56 256->128 1x1",
    "28x28 128->512 1x1",
    "28x28 512->128 1x1",
    "14x14 256->1024 1x1",
    "14x14 1024->256 1x1",
    "7x7 512->2048 1x1",
    "7x7 2048->512 1x1",
    "112x112 32->32 3x3 p1 g32",
    "112x112 64->64 3x3 s2 p1 g64",
    "56x56 128->128 3x3 p1 g128",
    "28x28 256->256 3x3 p1 g256",
    "28x28 256->256 3x3 s2 p1 g256",
    "14x14 512->512 3x3 p1 g512",
    "7x7 1024->1024 3x3 p1 g1024",
];
const DTYPES: [(&str, PackFormat); 3] =
    [("i8", PackFormat::I8), ("t2", PackFormat::T2), ("f32", PackFormat::F32)];

/// Which convolutions.
#[derive(clap::Args, Debug)]
pub struct ConvOptions {
    /// conv: types of weights, of i8, t2, f32 (input and output are 8-bit codes, or f32) [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = dtype)]
    dtype: Vec<(&'static str, PackFormat)>,
    /// conv: shapes, as "56x56 64->128 3x3 s2 p1" [default: ResNet-50's and MobileNet's]
    #[arg(long = "conv", value_name = "SHAPE")]
    shapes: Vec<ConvShape>,
    /// conv: each shape by these algorithms in place of its own, of direct, depthwise, im2col, winograd, fft, or all; where they do
    /// not do the shape, no row
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = algorithms)]
    algorithms: Vec<Algorithms>,
    /// conv: images at once
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    images: Vec<usize>,
}

fn dtype(name: &str) -> Result<(&'static str, PackFormat), String> {
    let all = || DTYPES.map(|f| f.0).join(", ");
    DTYPES.into_iter().find(|f| f.0 == name).ok_or_else(|| format!("types are {}", all()))
}

/// One, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Algorithms(Option<Algorithm>);

fn algorithms(name: &str) -> Result<Algorithms, String> {
    if name == "all" { Ok(Algorithms(None)) } else { name.parse().map(|a| Algorithms(Some(a))) }
}

impl ConvOptions {
    /// A shape as it stands, or by each of the algorithms that are asked for and can do it.
    fn by_algorithm(&self, shape: ConvShape, float: bool) -> Vec<ConvShape> {
        if self.algorithms.is_empty() {
            return vec![shape];
        }
        let wanted = |a: &Algorithm| self.algorithms.iter().any(|w| w.0.is_none_or(|w| w == *a));
        let shapes = Algorithm::ALL.into_iter().filter(wanted);
        let shapes = shapes.map(|algorithm| ConvShape { algorithm: Some(algorithm), ..shape });
        shapes.filter(|s| Conv::new(*s).is_ok_and(|c| c.algorithm(float).is_ok())).collect()
    }

    /// Refuses these options with another measurement.
    pub fn refuse(&self) -> anyhow::Result<()> {
        let given = [
            (!self.dtype.is_empty(), "--dtype"),
            (!self.shapes.is_empty(), "--conv"),
            (!self.algorithms.is_empty(), "--algorithms"),
            (!self.images.is_empty(), "--images"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(usage(format!("{name} is for `bench conv`"))),
            None => Ok(()),
        }
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Input, filters and what follows: the numbers that both sides are given.
struct Layer {
    dtype: &'static str,
    conv: Conv,
    images: usize,
    weights: Arc<ConvWeights>,
    values: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<i32>,
    codes: Vec<u8>,
    floats: Vec<f32>,
}

impl Layer {
    fn new(
        (dtype, format): (&'static str, PackFormat),
        shape: ConvShape,
        images: usize,
    ) -> anyhow::Result<Layer> {
        let conv = Conv::new(shape)?;
        let mut rng = Random(1);
        let mut weight = || {
            let r = rng.next() >> 32;
            match format {
                PackFormat::T2 => (r % 3) as f32 - 1.0,
                PackFormat::I8 => (r % 255) as f32 - 127.0,
                // Few bits: sums are exact in any order, so that rivals' answers can be compared closely.
                _ => ((r % 15) as f32 - 7.0) / 8.0,
            }
        };
        let values: Vec<f32> = (0..conv.weights_len()).map(|_| weight()).collect();
        let weights = Arc::new(filters(format, shape, &values)?);
        let spread = (weights.filter_len() as f32).sqrt() * if format == PackFormat::T2 { 0.8 } else { 73.0 };
        let n = shape.out_channels;
        let len = images.checked_mul(conv.image_len()).context("so many images do not fit in memory")?;
        let codes: Vec<u8> = (0..len).map(|_| (rng.next() >> 33) as u8).collect();
        Ok(Layer {
            dtype,
            conv,
            images,
            values,
            scale: (0..n).map(|i| (1.0 + (i % 3) as f32 / 4.0) / spread / 4.0).collect(),
            bias: (0..n).map(|i| (i % 17) as i32 * 100 - 800).collect(),
            floats: codes.iter().map(|c| f32::from(c % 16) - 8.0).collect(),
            codes,
            weights,
        })
    }
    fn is_float(&self) -> bool {
        self.dtype == "f32"
    }
    /// The real numbers that follow the sum of an f32 convolution.
    fn values_after(&self) -> (Vec<f32>, Vec<f32>) {
        (vec![1.0; self.scale.len()], self.bias.iter().map(|b| *b as f32 / 64.0).collect())
    }
    /// As the contract of the rows names it; `how`: threads, or what else is measured.
    fn name(&self, how: &str, tier: Tier) -> String {
        let s = self.conv.shape();
        let [rows, cols] = s.input;
        let groups = if s.groups > 1 { format!(" g{}", s.groups) } else { String::new() };
        let asked = s.algorithm.map_or(String::new(), |a| format!(" {a}"));
        let images = if self.images > 1 { format!(" n{}", self.images) } else { String::new() };
        let [kh, kw] = s.kernel;
        let channels = format!("{}->{}", s.in_channels, s.out_channels);
        format!(
            "{} {cols}x{rows} {channels} {kw}x{kh} s{}{groups}{asked}{images} {how} {tier}",
            self.dtype, s.stride[0]
        )
    }
    fn macs(&self) -> f64 {
        self.conv.macs() as f64 * self.images as f64
    }

    fn ours(&self, cpu: &Cpu) -> anyhow::Result<Ours> {
        let conv = Conv2d::new(cpu, Arc::clone(&self.weights));
        let len = self.images * self.conv.output_len();
        if self.is_float() {
            let (scale, bias) = self.values_after();
            let (scale, bias) = (cpu.buffer(&scale)?, cpu.buffer(&bias)?);
            let (x, y) = (cpu.buffer(&self.floats)?, cpu.zeros::<f32>(len)?);
            let to = Valued { scale: &scale, bias: &bias, zero_x: 0, relu: true };
            return Ok(Ours { launch: conv.floats(&x, &y, &to)?.bind()?, y: Answer::Floats(y) });
        }
        let (scale, bias) = (cpu.buffer(&self.scale)?, cpu.buffer(&self.bias)?);
        let (x, y) = (cpu.buffer(&self.codes)?, cpu.zeros::<u8>(len)?);
        let to = Requantised { scale: &scale, bias: &bias, zero_x: 0, zero_y: 0, relu: true };
        Ok(Ours { launch: conv.codes(&x, &y, &to)?.bind()?, y: Answer::Codes(y) })
    }

    /// Whether the first and the last rows, or some, of the last image are those of the plain reference, bit for bit.
    fn agrees(&self, found: &[f32]) -> anyhow::Result<bool> {
        let conv = &self.conv;
        let (rows, channels) = (conv.output()[0], conv.shape().out_channels);
        let unit = conv.channel_unit();
        let last = (channels - 1) / unit * unit;
        let image = (self.images - 1) * conv.image_len()..self.images * conv.image_len();
        let found = &found[(self.images - 1) * conv.output_len()..];
        // Spectra are of all rows.
        let whole = self.weights.algorithm() == Algorithm::Fft;
        for (row, first) in [(0, 0), (rows - 1, last), (rows / 2, 0)].into_iter().skip(2 * usize::from(whole))
        {
            let (row, to) = if whole { (0, rows) } else { (row, row + 1) };
            let part = ConvPart { rows: (row, to), channels: (first, (first + unit).min(channels)) };
            let (n, cols, stride) = part.tile(conv);
            let expected: Vec<f32> = if self.is_float() {
                let (scales, bias) = self.values_after();
                let mut y = vec![0f32; n * cols];
                let tile = Tile::new(&mut y, n, cols, cols)?;
                let output = ConvOutput::F32 { tile, scales: Some(&scales), bias: Some(&bias), relu: true };
                reference::conv2d(&self.weights, ConvInput::F32(&self.floats[image.clone()]), output, part)?;
                y
            } else {
                let mut y = vec![0u8; n * cols];
                let tile = Tile::new(&mut y, n, cols, cols)?;
                let r = Requantise { scales: &self.scale, bias: Some(&self.bias), zero: 0, relu: true };
                let input = ConvInput::U8 { data: &self.codes[image.clone()], zero: 0 };
                reference::conv2d(&self.weights, input, ConvOutput::U8(tile, r), part)?;
                y.iter().map(|v| f32::from(*v)).collect()
            };
            let at = |i: usize, j: usize| row * conv.output()[1] * channels + first + i * stride + j;
            let same = |(k, e): (usize, &f32)| e.to_bits() == found[at(k / cols, k % cols)].to_bits();
            if !expected.iter().enumerate().all(same) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Multiply-accumulates a second that are possible: by the instructions, and for depthwise ones by a copy of as many bytes as
    /// are read and written, if that is slower.
    fn limit(&self, threads: usize, tier: Tier) -> Option<f64> {
        let by_instructions = match self.is_float() {
            true => limits::f32_rate(tier, LIMIT),
            false => limits::product_rate(tier, self.weights.format(), 8, LIMIT),
        };
        let peak = by_instructions.map(|p| p * threads as f64);
        if !self.conv.is_depthwise() {
            return peak;
        }
        let element = if self.is_float() { 4 } else { 1 };
        let bytes = self.images * (self.conv.image_len() + self.conv.output_len()) * element;
        let copied = self.macs() * limits::copy_rate(bytes / 2, bytes / 2, threads, 3 * LIMIT) / bytes as f64;
        Some(peak.map_or(copied, |p| p.min(copied)))
    }

    /// KiB that the threads work in together, beside what they may: a tenth of input, weights and output for integers, with a
    /// panel for each thread for ternary ones; as much again for floats; what they take for spectra.
    fn memory(&self, case: String, threads: usize, tier: Tier) -> anyhow::Result<Row> {
        let plan = ConvPlan::choose(&self.weights, self.images, threads);
        let threads = threads.min(plan.tiles(&self.weights) * self.images);
        let element = if self.is_float() { 4 } else { 1 };
        let images = self.images * (self.conv.image_len() + self.conv.output_len());
        let least = element * images + self.weights.bytes();
        let may = match (self.dtype, self.weights.algorithm()) {
            (_, Algorithm::Fft) => None,
            ("f32", _) => Some(least),
            ("t2", _) => Some(least / 10 + threads * PANEL),
            _ => Some(least / 10),
        };
        let kib = |bytes: usize| bytes as f64 / 1024.0;
        let ours = kib(threads * working(tier, &self.weights, plan)?);
        let limit = may.map(kib);
        Ok(Row { case, unit: "KiB", ours, rival: None, ratio: None, limit, verified: None })
    }

    /// Writes what a rival needs.
    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        std::fs::write(dir.join("w.f32"), floats(&self.values))?;
        if self.is_float() {
            std::fs::write(dir.join("x.f32"), floats(&self.floats))?;
            std::fs::write(dir.join("bias.f32"), floats(&self.values_after().1))?;
        } else {
            std::fs::write(dir.join("x.u8"), &self.codes)?;
            std::fs::write(dir.join("scale.f32"), floats(&self.scale))?;
            let bias: Vec<u8> = self.bias.iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(dir.join("bias.i32"), bias)?;
        }
        Ok(())
    }
}

enum Answer {
    Codes(Buffer<u8>),
    Floats(Buffer<f32>),
}

/// A convolution of ours, bound.
struct Ours {
    launch: BoundLaunch,
    y: Answer,
}

impl Ours {
    fn sample(&self, runs: u32) -> anyhow::Result<f64> {
        let from = Instant::now();
        for _ in 0..runs {
            self.launch.run()?;
        }
        Ok(from.elapsed().as_secs_f64() / f64::from(runs))
    }
    fn answer(&self) -> anyhow::Result<Vec<f32>> {
        fn wide<T: Element>(y: &Buffer<T>) -> anyhow::Result<Vec<T>> {
            Ok(y.read()?)
        }
        Ok(match &self.y {
            Answer::Codes(y) => wide(y)?.into_iter().map(f32::from).collect(),
            Answer::Floats(y) => wide(y)?,
        })
    }
}

/// Nested loops that turn a weight into a float for each product, as the field's ternary engines do; NHWC, weights OIHW.
fn naive(layer: &Layer, x: &[f32], scale: &[f32], bias: &[f32], y: &mut [f32]) {
    let (s, conv) = (layer.conv.shape(), &layer.conv);
    let [rows, cols] = conv.output();
    let per_group = s.out_channels / s.groups;
    let inner = conv.group_in();
    for image in 0..layer.images {
        for oy in 0..rows {
            for ox in 0..cols {
                for o in 0..s.out_channels {
                    let mut acc = 0.0f32;
                    for ky in 0..s.kernel[0] {
                        for kx in 0..s.kernel[1] {
                            let iy = (oy * s.stride[0] + ky * s.dilation[0]).wrapping_sub(s.pad[0]);
                            let ix = (ox * s.stride[1] + kx * s.dilation[1]).wrapping_sub(s.pad[2]);
                            if iy >= s.input[0] || ix >= s.input[1] {
                                continue;
                            }
                            for c in 0..inner {
                                let at = ((image * s.input[0] + iy) * s.input[1] + ix) * s.in_channels;
                                let w = ((o * inner + c) * s.kernel[0] + ky) * s.kernel[1] + kx;
                                acc += x[at + o / per_group * inner + c] * (layer.values[w] * scale[o]);
                            }
                        }
                    }
                    y[((image * rows + oy) * cols + ox) * s.out_channels + o] = (acc + bias[o]).max(0.0);
                }
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A launch fails, a rival cannot be started, or stdout cannot be written.
pub fn run(
    device: &Device,
    options: &ConvOptions,
    against: &Against,
    table: &mut Table,
) -> anyhow::Result<()> {
    let shapes: Vec<ConvShape> = match &options.shapes[..] {
        [] => LAYERS.iter().map(|text| Ok(text.parse()?)).collect::<anyhow::Result<_>>()?,
        given => given.to_vec(),
    };
    let dtypes = if options.dtype.is_empty() { DTYPES.to_vec() } else { options.dtype.clone() };
    let images = if options.images.is_empty() { vec![1] } else { options.images.clone() };
    if images.contains(&0) {
        return Err(usage("0 images take no time"));
    }
    let threads: Vec<usize> = match device.threads {
        Some(n) => vec![n.into()],
        None if device.open()?.threads() > 1 => vec![1, 2],
        None => vec![1],
    };
    // The others fix their number of threads when they start.
    let whom = against.rival(|r| matches!(r, Rival::Onnxruntime | Rival::Openvino | Rival::Naive))?;
    let start = |t: usize| {
        let of_its_own = whom.filter(|r| *r != Rival::Naive);
        Ok((t, of_its_own.map(|r| Process::start(r, &against.folder, t)).transpose()?))
    };
    let mut rivals = threads.into_iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let dir = std::env::temp_dir().join(format!("phalanx-conv-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let mut best = 0.0;
    let mut done = Ok(());
    let mut compared = Vec::new();
    'all: for dtype in &dtypes {
        let dtype = *dtype;
        let float = dtype.1 == PackFormat::F32;
        for shape in shapes.iter().flat_map(|s| options.by_algorithm(*s, float)) {
            for n in &images {
                let layer = Layer::new(dtype, shape, *n)?;
                for (t, rival) in &mut rivals {
                    let on = Device { threads: Some(u16::try_from(*t)?), ..device.clone() };
                    let with = With { tier: device.tier(), threads: *t, dir: &dir, against: whom };
                    match with.case(&on.open()?, &layer, rival.as_mut(), &mut best, table) {
                        Ok(ratio) => {
                            let name = layer.name(&format!("{t}t"), with.tier);
                            compared.extend(ratio.map(|r| (dtype.0, *t, name, r)));
                        }
                        Err(e) => {
                            done = Err(e);
                            break 'all;
                        }
                    }
                }
                if whom.is_none() {
                    together(device, &layer, &rivals.iter().map(|r| r.0).collect::<Vec<_>>(), table)?;
                }
            }
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    done?;
    for dtype in &dtypes {
        for (t, _) in &rivals {
            summary(&compared.iter().filter(|c| (c.0, c.1) == (dtype.0, *t)).collect::<Vec<_>>());
        }
    }
    // The whole network is no layer that a rival or the options for layers could be about.
    if whom.is_none() && options.shapes.is_empty() && options.algorithms.is_empty() {
        for dtype in dtypes.into_iter().filter(|d| d.1 != PackFormat::F32) {
            for (t, _) in &rivals {
                chain::row(device, dtype, *t, &mut best, table)?;
            }
        }
    }
    Ok(())
}

/// What follows from several rows of a layer: two threads beside one, and working memory.
fn together(device: &Device, layer: &Layer, threads: &[usize], table: &mut Table) -> anyhow::Result<()> {
    let tier = device.tier();
    let open = |t: u16| Device { threads: Some(t), ..device.clone() }.open();
    for t in threads {
        let case = layer.name(&format!("{t}t memory"), tier);
        if table.wants(&case) {
            table.add(&layer.memory(case, *t, tier)?)?;
        }
    }
    let case = layer.name("2t to 1t", tier);
    if !(threads.contains(&1) && threads.contains(&2) && table.wants(&case)) {
        return Ok(());
    }
    let (few, more) = (layer.ours(&open(1)?)?, layer.ours(&open(2)?)?);
    // The limit: what threads that share nothing make of the machine in the same moments.
    let run = |ours: &Ours| Ok(ours.launch.run()?);
    let (p, scaling) = paired_beside(&mut || run(&more), &mut || run(&few), &mut || scaling(2))?;
    let macs = layer.macs() / 1e9;
    table.add(&Row {
        case,
        unit: "GMAC/s",
        ours: macs / p.ours,
        rival: Some(macs / p.rival),
        ratio: Some(p.ratio),
        limit: Some(macs / p.rival * scaling),
        verified: Some(few.answer()? == more.answer()?),
    })
}

struct With<'a> {
    tier: Tier,
    threads: usize,
    dir: &'a Path,
    against: Option<Rival>,
}

impl With<'_> {
    fn case(
        &self,
        cpu: &Cpu,
        layer: &Layer,
        mut rival: Option<&mut Process>,
        best: &mut f64,
        table: &mut Table,
    ) -> anyhow::Result<Option<f64>> {
        let name = layer.name(&format!("{}t", self.threads), self.tier);
        if !table.wants(&name) {
            return Ok(None);
        }
        if let Some(r) = &mut rival {
            layer.write(self.dir)?;
            let s = layer.conv.shape();
            let case = json!({
                "conv": layer.dtype, "images": layer.images, "rows": s.input[0], "cols": s.input[1],
                "in": s.in_channels, "out": s.out_channels, "kernel": s.kernel, "stride": s.stride, "pad": s.pad,
                "dilation": s.dilation, "groups": s.groups, "threads": self.threads, "dir": self.dir,
            });
            if let Err(why) = r.case(case)? {
                say!("{name}: not compared: {why}");
                return Ok(None);
            }
        }
        let ours = layer.ours(cpu)?;
        ours.launch.run()?;
        let answer = ours.answer()?;
        let mut verified = layer.agrees(&answer)?;
        if let Some(r) = &mut rival {
            r.run(1)?;
            let theirs = r.answer(&self.dir.join("y.f32"))?;
            verified &= close(layer, &answer, &theirs);
        }
        let loops = (self.against == Some(Rival::Naive)).then(|| {
            let (scale, bias) = match layer.is_float() {
                true => layer.values_after(),
                false => {
                    let bias = layer.bias.iter().zip(&layer.scale).map(|(b, s)| *b as f32 * s);
                    (layer.scale.clone(), bias.collect())
                }
            };
            let x = match layer.is_float() {
                true => layer.floats.clone(),
                false => layer.codes.iter().map(|c| f32::from(*c)).collect(),
            };
            let mut y = vec![0f32; answer.len()];
            naive(layer, &x, &scale, &bias, &mut y);
            verified &= close(layer, &answer, &y);
            (x, scale, bias, y)
        });
        let roof = layer.limit(self.threads, self.tier);
        let compared = rival.is_some() || loops.is_some();
        let mut loops = loops;
        let mut theirs = |runs: u32| match (&mut rival, &mut loops) {
            (Some(r), _) => r.each(runs),
            (None, Some((x, scale, bias, y))) => {
                let from = Instant::now();
                (0..runs).for_each(|_| naive(layer, x, scale, bias, y));
                std::hint::black_box(&y);
                Ok(from.elapsed().as_secs_f64() / f64::from(runs))
            }
            (None, None) => Ok(f64::NAN),
        };
        let other: Option<Sampler<'_>> = if compared { Some(&mut theirs) } else { None };
        let samples = Samples::take(&mut |runs| ours.sample(runs), other, best)?;
        let after = layer.limit(self.threads, self.tier);
        say!("{} of {} samples undisturbed", samples.counts().0, samples.counts().1);
        let macs = layer.macs() / 1e9;
        let (our_time, rival_time) = samples.medians();
        table.add(&Row {
            case: name,
            unit: "GMAC/s",
            ours: macs / our_time,
            rival: compared.then(|| macs / rival_time),
            ratio: compared.then(|| samples.ratio()),
            limit: roof.into_iter().chain(after).reduce(f64::max).map(|l| l / 1e9),
            verified: Some(verified),
        })?;
        Ok(compared.then(|| rival_time / our_time))
    }
}

/// A comparison: type of weights, threads, the row, and how many times as long as ours the rival's time is.
type Compared = (&'static str, usize, String, f64);

/// Says how all layers of a type compare, and which lose.
fn summary(all: &[&Compared]) {
    let Some((dtype, threads, ..)) = all.first() else { return };
    let mean = (all.iter().map(|c| c.3.ln()).sum::<f64>() / all.len() as f64).exp();
    say!("{dtype}, {threads} threads: {mean:.2} times as fast, the geometric mean over {} layers", all.len());
    for (_, _, name, ratio) in all.iter().filter(|c| c.3 < 1.0) {
        say!("  slower: {name}: {ratio:.2}");
    }
}

/// Whether a rival's answer is ours: of codes to one code, since others round sums and scales in their own ways; of floats to
/// 1e-3 of the largest.
fn close(layer: &Layer, ours: &[f32], theirs: &[f32]) -> bool {
    let largest = ours.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let within = if layer.is_float() { 1e-3 * largest } else { 1.0 };
    // Codes end where the naive loops' floats go on.
    let held = |v: f32| if layer.is_float() { v } else { v.round_ties_even().min(255.0) };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| (a - held(*b)).abs() <= within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_and_launches_agree() {
        let cpu = Cpu::new().unwrap();
        for (dtype, shape) in
            DTYPES.into_iter().zip(["9x7 3->8 3x3 s2 p1", "6x6 8->66 1x1", "8x8 20->20 3x3 p1 g20"])
        {
            let layer = Layer::new(dtype, shape.parse().unwrap(), 2).unwrap();
            let ours = layer.ours(&cpu).unwrap();
            ours.launch.run().unwrap();
            let mut answer = ours.answer().unwrap();
            assert!(layer.agrees(&answer).unwrap(), "{}", layer.dtype);
            let (last, len) = (answer.len() - 1, answer.len());
            assert!(close(&layer, &answer, &answer) && !close(&layer, &answer, &answer[1..]));
            answer[last] += 2.0;
            assert!(!layer.agrees(&answer).unwrap() && len > 0);
        }
    }
}
