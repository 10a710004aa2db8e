//! Matrix products: beside the limits of the machine at that working set, or beside a rival, in the same run.

use super::rivals::{Against, Process, Rival};
use super::timing::{Interval, interval, median};
use super::{Row, Table};
use crate::console::say;
use crate::device::Device;
use crate::failure::usage;
use anyhow::Context;
use phalanx::isa::PackFormat;
use phalanx::kernels::{Input, Output, Rows, Tile, limits, quantise, reference};
use phalanx::product::{self, Linear};
use phalanx::{BoundLaunch, Buffer, Cpu, PackedWeights, Tier};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of weights at least that a product from memory goes through before it meets one again.
const ROTATION: usize = 96 << 20;
/// Weight rows whose outputs are compared with the plain reference.
const CHECKED: usize = 4;
/// How long a sample, a limit and a case take, roughly.
const SAMPLE: f64 = 0.004;
const LIMIT: Duration = Duration::from_millis(24);
const BUDGET: Duration = Duration::from_millis(1500);
const PAIRS: (usize, usize) = (9, 100);
/// A sample counts as undisturbed where the front end does at least this part of the most that was seen in the run.
const QUIET: f64 = 0.9;

const SHAPES: [(usize, usize); 6] =
    [(640, 2560), (2560, 2560), (6912, 2560), (2560, 6912), (4096, 14336), (3200, 8640)];
const COLUMNS: [usize; 7] = [1, 2, 4, 8, 32, 128, 512];

/// Names of formats as files and people use them, with the packed form that they run from.
const FORMATS: [(&str, PackFormat); 9] = [
    ("i2_s", PackFormat::T2),
    ("t3", PackFormat::T3),
    ("tq2_0", PackFormat::T2Blocks),
    ("i8", PackFormat::I8),
    ("q8_0", PackFormat::Q80),
    ("q4_0", PackFormat::Q40),
    ("f32", PackFormat::F32),
    ("f16", PackFormat::F16),
    ("bf16", PackFormat::Bf16),
];

/// Which products.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// matmul: formats of weights, of i2_s, t3, tq2_0, i8, q8_0, q4_0, f32, f16, bf16 [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = format_named)]
    format: Vec<(&'static str, PackFormat)>,
    /// matmul: shapes of weights, rows and columns [default: six of BitNet's and Llama's]
    #[arg(long, value_name = "NxK", value_delimiter = ',', value_parser = shape)]
    shape: Vec<(usize, usize)>,
    /// matmul: rows of activations [default: 1,2,4,8,32,128,512]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    columns: Vec<usize>,
    /// matmul: one matrix that stays in the caches, or several in turn that do not fit there
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    from: From,
    /// matmul: two shapes, three numbers of columns
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// Memory up to 12 columns, caches for more and for 640 x 2560
    Auto,
    /// Caches
    Cache,
    /// Memory
    Memory,
}

fn format_named(name: &str) -> Result<(&'static str, PackFormat), String> {
    let all = || FORMATS.map(|f| f.0).join(", ");
    FORMATS.into_iter().find(|f| f.0 == name).ok_or_else(|| format!("formats are {}", all()))
}

fn shape(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('x').and_then(|(n, k)| Some((n.parse().ok()?, k.parse().ok()?)));
    parts.filter(|(n, k)| *n > 0 && *k > 0).ok_or_else(|| "write rows and columns, as 2560x6912".into())
}

impl Options {
    /// Refuses these options with another measurement.
    pub fn refuse(&self) -> anyhow::Result<()> {
        let given = [
            (!self.format.is_empty(), "--format"),
            (!self.shape.is_empty(), "--shape"),
            (!self.columns.is_empty(), "--columns"),
            (self.from != From::Auto, "--from"),
            (self.quick, "--quick"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(usage(format!("{name} is for `bench matmul`"))),
            None => Ok(()),
        }
    }
}

/// A product of ours, with weights in turn.
struct Ours {
    /// Quantises the activations, where a rival does that too and the format takes codes.
    first: Option<BoundLaunch>,
    launches: Vec<BoundLaunch>,
    y: Buffer<f32>,
    next: usize,
}

impl Ours {
    fn run(&mut self) -> anyhow::Result<()> {
        if let Some(first) = &self.first {
            first.run()?;
        }
        self.launches[self.next].run()?;
        self.next = (self.next + 1) % self.launches.len();
        Ok(())
    }

    fn sample(&mut self, runs: u32) -> anyhow::Result<f64> {
        let from = Instant::now();
        for _ in 0..runs {
            self.run()?;
        }
        Ok(from.elapsed().as_secs_f64() / f64::from(runs))
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
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Weights as numbers that the format holds exactly, and that other writers of the format give the same codes and scales: each
/// block of 32 has the value that decides its scale.
fn weights(format: PackFormat, n: usize, k: usize) -> Vec<f32> {
    let mut rng = Random(1);
    let mut weight = |i: usize| {
        let r = rng.next() >> 32;
        match format {
            PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => (r % 3) as f32 - 1.0,
            PackFormat::Q40 if i.is_multiple_of(32) => -8.0,
            PackFormat::Q40 => (r % 16) as f32 - 8.0,
            PackFormat::Q80 if i.is_multiple_of(32) => 127.0,
            PackFormat::I8 | PackFormat::Q80 => (r % 255) as f32 - 127.0,
            // Eight significant bits: exact in every format of floats.
            PackFormat::F32 | PackFormat::F16 | PackFormat::Bf16 => ((r % 255) as f32 - 127.0) / 1024.0,
        }
    };
    (0..n * k).map(|i| weight(i % k)).collect()
}

/// Everything about one format and shape.
struct Matrix {
    name: &'static str,
    format: PackFormat,
    n: usize,
    k: usize,
    values: Vec<f32>,
    copies: Vec<Arc<PackedWeights>>,
}

impl Matrix {
    fn new((name, format): (&'static str, PackFormat), (n, k): (usize, usize)) -> anyhow::Result<Matrix> {
        let values = weights(format, n, k);
        Ok(Matrix {
            name,
            format,
            n,
            k,
            copies: vec![Arc::new(product::pack(format, n, k, &values)?)],
            values,
        })
    }

    /// As many copies as a working set takes.
    fn copies(&mut self, memory: bool) -> anyhow::Result<usize> {
        if !memory {
            return Ok(1);
        }
        let needed = ROTATION.div_ceil(self.copies[0].bytes().len().max(1)).max(2);
        while self.copies.len() < needed {
            let copy = product::pack(self.format, self.n, self.k, &self.values)?;
            self.copies.push(Arc::new(copy));
        }
        Ok(needed)
    }

    /// Writes the weights for a rival, as its program says.
    fn write(&self, dir: &Path) -> anyhow::Result<&'static str> {
        let ints = || self.values.iter().map(|v| *v as i8 as u8).collect::<Vec<u8>>();
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        for old in ["w.i8", "w.scale", "w.f32"] {
            let _ = std::fs::remove_file(dir.join(old));
        }
        Ok(match self.format {
            PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => {
                std::fs::write(dir.join("w.i8"), ints())?;
                std::fs::write(dir.join("w.scale"), floats(&[1.0]))?;
                "ternary"
            }
            PackFormat::I8 => {
                std::fs::write(dir.join("w.i8"), ints())?;
                std::fs::write(dir.join("w.scale"), floats(&vec![1.0; self.n]))?;
                "i8"
            }
            _ => {
                std::fs::write(dir.join("w.f32"), floats(&self.values))?;
                self.format.name()
            }
        })
    }

    fn ours(&self, cpu: &Cpu, x: &[f32], copies: usize, quantised_in_time: bool) -> anyhow::Result<Ours> {
        let m = x.len() / self.k;
        let y = cpu.zeros::<f32>(m * self.n)?;
        let input = cpu.buffer(x)?;
        let layers = self.copies[..copies].iter().map(|w| Linear::new(cpu, Arc::clone(w)));
        if self.copies[0].format().is_float() {
            let launches =
                layers.map(|l| Ok(l.floats(&input, &y)?.bind()?)).collect::<anyhow::Result<_>>()?;
            return Ok(Ours { first: None, launches, y, next: 0 });
        }
        let (q, scale) = (cpu.zeros::<i8>(x.len())?, cpu.zeros::<f32>(m)?);
        let first = product::quantise(cpu, &input, &q, &scale, self.k)?.bind()?;
        first.run()?;
        let launches =
            layers.map(|l| Ok(l.quantised(&q, &scale, &y)?.bind()?)).collect::<anyhow::Result<_>>()?;
        Ok(Ours { first: quantised_in_time.then_some(first), launches, y, next: 0 })
    }

    /// Whether the outputs of some weight rows are those of the plain reference, bit for bit.
    fn agrees(&self, x: &[f32], y: &[f32]) -> anyhow::Result<bool> {
        let (w, n, k) = (&self.copies[0], self.n, self.k);
        let m = x.len() / k;
        let mut codes = vec![0i8; x.len()];
        let rows = x.chunks(k).zip(codes.chunks_mut(k));
        let scales: Vec<f32> = rows.map(|(x, q)| quantise(Tier::Scalar, x, q).scale).collect();
        let count = CHECKED.min(n);
        for first in [0, n - count] {
            let input = match w.format().is_float() {
                true => Input::Floats(Rows::new(x, m, k, k)?),
                false => Input::Codes { rows: Rows::new(&codes, m, k, k)?, scales: Some(&scales) },
            };
            let mut expected = vec![0f32; m * count];
            let tile = Tile::new(&mut expected, m, count, count)?;
            let activation = phalanx::kernels::Activation::None;
            reference::matmul(w, first, input, Output::Floats { tile, bias: None, activation })?;
            let found = y.chunks(n).flat_map(|row| &row[first..first + count]);
            if !found.zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// How far the rival's answer may be from ours, relative to its length as a vector: both sides round activations to 8 bits in
/// their own way for integer weights, and to 16 for weights of 16 bits.
fn tolerance(format: PackFormat) -> f64 {
    match format {
        PackFormat::F32 => 1e-5,
        PackFormat::F16 | PackFormat::Bf16 => 5e-3,
        _ => 0.02,
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let square = |v: f64| v * v;
    let off: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (off / b.iter().map(|b| square(f64::from(*b))).sum::<f64>()).sqrt()
}

/// Multiply-accumulates a second that are possible: by arithmetic, and by reading all weights for each product.
fn limit(matrix: &Matrix, copies: usize, m: usize, threads: usize, tier: Tier) -> Option<f64> {
    let peak = match matrix.copies[0].format().is_float() {
        true => limits::f32_rate(tier, LIMIT),
        false => limits::int8_rate(tier, LIMIT),
    }? * threads as f64;
    let slices: Vec<&[u8]> = matrix.copies[..copies].iter().map(|w| w.bytes()).collect();
    let read = limits::read_rate(&slices, threads, 3 * LIMIT);
    let macs = (matrix.n * matrix.k * m) as f64;
    Some(peak.min(macs * read / slices[0].len() as f64))
}

/// Samples of both sides in turn; only those during which nobody disturbed the core, where there are enough.
struct Samples {
    all: Vec<(f64, f64, f64)>,
}

impl Samples {
    fn take(ours: &mut Ours, mut rival: Option<&mut Process>, best: &mut f64) -> anyhow::Result<Samples> {
        for _ in 0..ours.launches.len().min(8) {
            ours.run()?;
        }
        let once = ours.sample(1)?.max(1e-7);
        let turns = |once: f64| ((SAMPLE / once).ceil() as u32).clamp(1, 1 << 20);
        let runs = turns(once);
        let rival_runs = match &mut rival {
            None => 1,
            Some(r) => {
                r.run(2)?;
                turns((r.run(4)? / 4.0).max(1e-7))
            }
        };
        let mut all = Vec::new();
        let begin = Instant::now();
        while all.len() < PAIRS.0 || (begin.elapsed() < BUDGET && all.len() < PAIRS.1) {
            let before = limits::quiet();
            let theirs = |rival: &mut Option<&mut Process>| match rival {
                None => Ok(f64::NAN),
                Some(r) => r.run(rival_runs).map(|s| s / f64::from(rival_runs)),
            };
            let (a, b) = if all.len() % 2 == 0 {
                let a = ours.sample(runs)?;
                (a, theirs(&mut rival)?)
            } else {
                let b = theirs(&mut rival)?;
                (ours.sample(runs)?, b)
            };
            let quiet = before.zip(limits::quiet()).map_or(1.0, |(a, b)| a.min(b));
            *best = best.max(quiet);
            all.push((a, b, quiet));
        }
        Ok(Samples { all })
    }

    fn undisturbed(&self, best: f64) -> Vec<(f64, f64, f64)> {
        let quiet: Vec<_> = self.all.iter().copied().filter(|s| s.2 >= QUIET * best).collect();
        if quiet.len() >= PAIRS.0 / 2 { quiet } else { self.all.clone() }
    }
}

/// Runs the command.
///
/// # Errors
/// A launch fails, a rival cannot be started, or stdout cannot be written.
pub fn run(device: &Device, options: &Options, against: &Against, table: &mut Table) -> anyhow::Result<()> {
    let tier = device.tier();
    let pick = |given: &[(usize, usize)]| match (given, options.quick) {
        ([], true) => vec![SHAPES[1], SHAPES[4]],
        ([], false) => SHAPES.to_vec(),
        (given, _) => given.to_vec(),
    };
    let columns = match (&options.columns[..], options.quick) {
        ([], true) => vec![1, 8, 128],
        ([], false) => COLUMNS.to_vec(),
        (given, _) => given.to_vec(),
    };
    if columns.contains(&0) {
        return Err(usage("0 columns make no product".to_string()));
    }
    let formats = if options.format.is_empty() { FORMATS.to_vec() } else { options.format.clone() };
    let threads: Vec<usize> = match device.threads {
        Some(n) => vec![n.into()],
        None if device.open()?.threads() > 1 => vec![1, 2],
        None => vec![1],
    };
    // Most rivals fix their number of threads when they start.
    let rival = against.rival(|r| !matches!(r, Rival::Oclgrind | Rival::Llama))?;
    let start = |t: &usize| Ok((*t, rival.map(|r| Process::start(r, &against.folder, *t)).transpose()?));
    let mut rivals = threads.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let dir = std::env::temp_dir().join(format!("phalanx-matmul-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let mut best = 0.0;
    let mut done = Ok(());
    'all: for format in formats {
        for shape in pick(&options.shape) {
            let mut matrix = Matrix::new(format, shape)?;
            for m in &columns {
                for (t, rival) in &mut rivals {
                    let on = Device { threads: Some(u16::try_from(*t)?), ..device.clone() };
                    let context = Setting { options, tier, threads: *t, dir: &dir };
                    done = context.case(&on.open()?, &mut matrix, *m, rival.as_mut(), &mut best, table);
                    if done.is_err() {
                        break 'all;
                    }
                }
            }
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    done
}

struct Setting<'a> {
    options: &'a Options,
    tier: Tier,
    threads: usize,
    dir: &'a Path,
}

impl Setting<'_> {
    fn case(
        &self,
        cpu: &Cpu,
        matrix: &mut Matrix,
        m: usize,
        rival: Option<&mut Process>,
        best: &mut f64,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let (n, k, t) = (matrix.n, matrix.k, self.threads);
        let memory = match self.options.from {
            From::Auto => m <= 12 && (n, k) != SHAPES[0],
            from => from == From::Memory,
        };
        let copies = matrix.copies(memory)?;
        let mut rng = Random(2);
        let x: Vec<f32> = (0..m * k).map(|_| rng.float()).collect();
        let mut rival = rival;
        if let Some(r) = &mut rival {
            let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(self.dir.join("x.f32"), bytes)?;
            let format = matrix.write(self.dir)?;
            let case = json!({
                "format": format, "n": n, "k": k, "m": m, "threads": t, "copies": copies, "dir": self.dir,
            });
            if let Err(why) = r.case(case)? {
                say!("{} {n}x{k} x{m} {t}t: not compared: {why}", matrix.name);
                return Ok(());
            }
        }
        let mut ours = matrix.ours(cpu, &x, copies, rival.is_some())?;
        ours.run()?;
        let y = ours.y.read()?;
        let mut verified = matrix.agrees(&x, &y)?;
        if let Some(r) = &mut rival {
            r.run(1)?;
            let theirs = r.answer(&self.dir.join("y.f32"))?;
            verified &= distance(&theirs, &y) <= tolerance(matrix.format);
        }
        let roof = limit(matrix, copies, m, t, self.tier);
        let samples = Samples::take(&mut ours, rival.as_deref_mut(), best)?;
        let after = limit(matrix, copies, m, t, self.tier);
        let kept = samples.undisturbed(*best);
        say!("{} of {} samples undisturbed", kept.len(), samples.all.len());
        let macs = (n * k * m) as f64 / 1e9;
        let middle =
            |side: fn(&(f64, f64, f64)) -> f64| median(&mut kept.iter().map(side).collect::<Vec<_>>());
        let ratio: Option<Interval> =
            rival.is_some().then(|| interval(&kept.iter().map(|s| s.1 / s.0).collect::<Vec<_>>()));
        table.add(&Row {
            case: format!("{} {n}x{k} x{m} {t}t {}", matrix.name, self.tier),
            unit: "GMAC/s",
            ours: macs / middle(|s| s.0),
            rival: rival.is_some().then(|| macs / middle(|s| s.1)),
            ratio,
            limit: roof.into_iter().chain(after).reduce(f64::max).map(|l| l / 1e9),
            verified: Some(verified),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_what_other_writers_make_of_them() {
        for (name, format) in FORMATS {
            let w = weights(format, 3, 64);
            let packed = product::pack(format, 3, 64, &w).unwrap();
            assert!((0..3 * 64).all(|i| packed.value(i / 64, i % 64) == w[i]), "{name}");
        }
        let blocks = weights(PackFormat::Q80, 2, 64);
        assert!(blocks.chunks(32).all(|b| b[0] == 127.0 && b.iter().all(|v| v.abs() <= 127.0)));
    }

    #[test]
    fn wrong_answers_are_seen() {
        let mut matrix = Matrix::new(FORMATS[0], (70, 33)).unwrap();
        assert_eq!(matrix.copies(false).unwrap(), 1);
        let x: Vec<f32> = (0..99).map(|i| (i % 7) as f32 - 3.0).collect();
        let cpu = Cpu::new().unwrap();
        let mut ours = matrix.ours(&cpu, &x, 1, true).unwrap();
        ours.run().unwrap();
        let mut y = ours.y.read().unwrap();
        assert!(matrix.agrees(&x, &y).unwrap());
        assert_eq!(distance(&y, &y), 0.0);
        y[69] += 1.0;
        assert!(!matrix.agrees(&x, &y).unwrap());
        assert!(distance(&[1.0, 2.0], &[1.0, 2.1]) > 0.02 && distance(&[], &[1.0]).is_infinite());
    }
}
