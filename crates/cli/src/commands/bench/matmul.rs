//! Matrix products: beside the limits of the machine at that working set, or beside a rival, in the same run.

mod matrix;

use super::rivals::{Against, Process, Rival};
use super::timing::{alone, interval, median, paired_beside};
use super::{Row, Table};
use crate::console::say;
use crate::device::Device;
use crate::failure::usage;
use crate::machine::scaling;
use anyhow::Context;
use clap::ValueEnum;
use matrix::{Matrix, Ours, Random, distance, tolerance};
use phalanx::isa::PackFormat;
use phalanx::kernels::{Activation, Input, Output, Rows, Scratch, Split, Tile, limits, matmul};
use phalanx::{Cpu, Tier};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a sample and a limit take, roughly.
const SAMPLE: f64 = 0.004;
const LIMIT: Duration = Duration::from_millis(16);
/// How long a case takes, roughly: beside the peak, and with something that is timed in turn, a rival or reading memory.
const BUDGET: Duration = Duration::from_millis(350);
const PAIRED_BUDGET: Duration = Duration::from_millis(1500);
const PAIRS: (usize, usize) = (9, 100);
/// A sample counts as undisturbed where the front end does at least this part of the most that was seen in the run.
const QUIET: f64 = 0.9;
/// Columns from which the gain of a second thread is measured: fewer are bound by memory.
const MANY: usize = 32;

const SHAPES: [(usize, usize); 6] =
    [(640, 2560), (2560, 2560), (6912, 2560), (2560, 6912), (4096, 14336), (3200, 8640)];
const COLUMNS: [usize; 7] = [1, 2, 4, 8, 32, 128, 512];

/// A format of weights as files and people call it, with the packed form that it runs from.
#[derive(Clone, Copy, Debug)]
struct Format {
    name: &'static str,
    packed: PackFormat,
    /// Whether an earlier one has the same packed form: measured only where asked for by name.
    again: bool,
}

const FORMATS: [Format; 12] = {
    const fn new(name: &'static str, packed: PackFormat, again: bool) -> Format {
        Format { name, packed, again }
    }
    [
        new("i2_s", PackFormat::T2, false),
        new("t3", PackFormat::T3, false),
        new("tq2_0", PackFormat::T2Blocks, false),
        new("i8", PackFormat::I8, false),
        new("q8_0", PackFormat::Q80, false),
        new("q4_0", PackFormat::Q40, false),
        new("f32", PackFormat::F32, false),
        new("f16", PackFormat::F16, false),
        new("bf16", PackFormat::Bf16, false),
        new("tl1", PackFormat::T2, true),
        new("tl2", PackFormat::T2, true),
        new("tq1_0", PackFormat::T2Blocks, true),
    ]
};

/// Which products.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// matmul: formats of weights, of i2_s, t3, tq2_0, i8, q8_0, q4_0, f32, f16, bf16 [default: all], and of tl1,
    /// tl2 and tq1_0, which run from the packed form of i2_s and tq2_0
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = format_named)]
    format: Vec<Format>,
    /// matmul: shapes of weights, rows and columns [default: six of BitNet's and Llama's]
    #[arg(long, value_name = "NxK", value_delimiter = ',', value_parser = shape)]
    shape: Vec<(usize, usize)>,
    /// matmul: rows of activations [default: 1,2,4,8,32,128,512]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    columns: Vec<usize>,
    /// matmul: one matrix that stays in the caches, or several in turn that do not fit there
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    from: From,
    /// matmul: along what products are divided over threads, instead of what measurements favour for each
    #[arg(long, value_name = "ALONG")]
    split: Option<Along>,
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

/// [`Split`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Along {
    /// Not divided
    None,
    /// Weight rows
    Weights,
    /// Rows of activations
    Activations,
    /// Both
    Both,
}

impl Along {
    fn split(self) -> Split {
        match self {
            Along::None => Split::None,
            Along::Weights => Split::Weights,
            Along::Activations => Split::Activations,
            Along::Both => Split::Both,
        }
    }
}

fn format_named(name: &str) -> Result<Format, String> {
    let all = || FORMATS.map(|f| f.name).join(", ");
    FORMATS.into_iter().find(|f| f.name == name).ok_or_else(|| format!("formats are {}", all()))
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
            (self.split.is_some(), "--split"),
            (self.quick, "--quick"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(usage(format!("{name} is for `bench matmul`"))),
            None => Ok(()),
        }
    }

    /// Whether weights come from memory, and whether that is not what goes without saying.
    fn memory(&self, (n, k): (usize, usize), m: usize) -> (bool, &'static str) {
        let auto = m <= 12 && (n, k) != SHAPES[0];
        match self.from {
            From::Auto => (auto, ""),
            From::Cache => (false, if auto { " cache" } else { "" }),
            From::Memory => (true, if auto { "" } else { " memory" }),
        }
    }
}

/// Multiply-accumulates a second that arithmetic allows; `None` where the level has no instruction to compare with.
fn peak(matrix: &Matrix, m: usize, threads: usize, tier: Tier) -> Option<f64> {
    Some(limits::product_rate(tier, matrix.copies[0].format(), m, LIMIT)? * threads as f64)
}

/// Multiply-accumulates a second that reading all weights for each product allows.
fn reading(matrix: &Matrix, copies: usize, m: usize, threads: usize, budget: Duration) -> f64 {
    let slices: Vec<&[u8]> = matrix.copies[..copies].iter().map(|w| w.bytes()).collect();
    let read = limits::read_rate(&slices, threads, budget);
    (matrix.n * matrix.k * m) as f64 * read / slices[0].len() as f64
}

/// Seconds of a product on both sides, what reading the weights allowed right after it (where that is the limit), and what the front
/// end did meanwhile.
#[derive(Clone, Copy)]
struct Sample {
    ours: f64,
    rival: f64,
    reading: f64,
    quiet: f64,
}

/// Samples of both sides in turn; only those during which nobody disturbed the core, where there are enough.
struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    fn take(
        ours: &mut Ours,
        mut rival: Option<&mut Process>,
        reading: Option<&dyn Fn() -> f64>,
        best: &mut f64,
    ) -> anyhow::Result<Samples> {
        for _ in 0..ours.copies().min(8) {
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
        let budget = if rival.is_some() || reading.is_some() { PAIRED_BUDGET } else { BUDGET };
        while all.len() < PAIRS.0 || (begin.elapsed() < budget && all.len() < PAIRS.1) {
            let before = limits::quiet();
            let theirs = |rival: &mut Option<&mut Process>| match rival {
                None => Ok(f64::NAN),
                Some(r) => r.run(rival_runs).map(|s| s / f64::from(rival_runs)),
            };
            let (ours, rival) = if all.len() % 2 == 0 {
                let a = ours.sample(runs)?;
                (a, theirs(&mut rival)?)
            } else {
                let b = theirs(&mut rival)?;
                (ours.sample(runs)?, b)
            };
            let quiet = before.zip(limits::quiet()).map_or(1.0, |(a, b)| a.min(b));
            *best = best.max(quiet);
            // Memory has other users, who come and go: its rate is taken in the same moments.
            let reading = reading.map_or(f64::NAN, |r| r());
            all.push(Sample { ours, rival, reading, quiet });
        }
        Ok(Samples { all })
    }

    fn undisturbed(&self, best: f64) -> Vec<Sample> {
        let quiet: Vec<_> = self.all.iter().copied().filter(|s| s.quiet >= QUIET * best).collect();
        if quiet.len() >= PAIRS.0 / 2 { quiet } else { self.all.clone() }
    }
}

/// Runs the command.
///
/// # Errors
/// A launch fails, a rival cannot be started, or stdout cannot be written.
pub fn run(device: &Device, options: &Options, against: &Against, table: &mut Table) -> anyhow::Result<()> {
    let shapes = match (&options.shape[..], options.quick) {
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
    let formats: Vec<Format> = match &options.format[..] {
        [] => FORMATS.into_iter().filter(|f| !f.again).collect(),
        given => given.to_vec(),
    };
    let threads: Vec<usize> = match device.threads {
        Some(n) => vec![n.into()],
        None if device.open()?.threads() > 1 => vec![1, 2],
        None => vec![1],
    };
    let dir = std::env::temp_dir().join(format!("phalanx-matmul-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let rival = against.rival(|r| !matches!(r, Rival::Oclgrind | Rival::Llama | Rival::Naive))?;
    let rival = rival.map(|r| (r, against.folder.as_path()));
    let mut bench =
        Bench { device, options, rival, tier: device.tier(), dir: &dir, best: 0.0, started: Vec::new() };
    let done = bench.all(&formats, &shapes, &columns, &threads, table);
    let _ = std::fs::remove_dir_all(&dir);
    done
}

struct Bench<'a> {
    device: &'a Device,
    options: &'a Options,
    /// With whom to compare, and the folder of the rivals' programs.
    rival: Option<(Rival, &'a Path)>,
    tier: Tier,
    dir: &'a Path,
    /// The most that the front end has done so far.
    best: f64,
    /// The rival for each number of threads: most fix theirs when they start.
    started: Vec<(usize, Process)>,
}

impl Bench<'_> {
    fn all(
        &mut self,
        formats: &[Format],
        shapes: &[(usize, usize)],
        columns: &[usize],
        threads: &[usize],
        table: &mut Table,
    ) -> anyhow::Result<()> {
        for format in formats {
            for shape in shapes {
                // Made when first wanted.
                let mut matrix = None;
                for m in columns {
                    for t in threads {
                        let name = self.name(format.name, *shape, *m, &format!("{t}t"));
                        if table.wants(&name) {
                            let matrix = Matrix::once(&mut matrix, format, *shape)?;
                            self.case(name, matrix, *m, *t, table)?;
                        }
                    }
                    if self.rival.is_some() {
                        continue;
                    }
                    let name = self.name(format.name, *shape, *m, "2t to 1t");
                    if threads.contains(&1) && threads.contains(&2) && *m >= MANY && table.wants(&name) {
                        self.threads(name, Matrix::once(&mut matrix, format, *shape)?, *m, table)?;
                    }
                    let name = self.name(format.name, *shape, *m, "1t launch cost");
                    if threads.contains(&1) && *m == 1 && *shape == SHAPES[0] && table.wants(&name) {
                        self.launch_cost(name, Matrix::once(&mut matrix, format, *shape)?, table)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn name(&self, format: &str, (n, k): (usize, usize), m: usize, how: &str) -> String {
        let place = self.options.memory((n, k), m).1;
        let along = self.options.split.and_then(|a| a.to_possible_value());
        let along = along.map_or(String::new(), |a| format!(" split {}", a.get_name()));
        format!("{format} {n}x{k} x{m} {how} {}{place}{along}", self.tier)
    }

    /// A given division; `None` for the one that measurements favour.
    fn split(&self) -> Option<Split> {
        self.options.split.map(Along::split)
    }

    fn open(&self, threads: usize) -> anyhow::Result<Cpu> {
        Device { threads: Some(u16::try_from(threads)?), ..self.device.clone() }.open()
    }

    /// The rival with this number of threads, where one is asked for.
    fn rival(&mut self, threads: usize) -> anyhow::Result<Option<&mut Process>> {
        let Some((rival, folder)) = self.rival else { return Ok(None) };
        let at = match self.started.iter().position(|(t, _)| *t == threads) {
            Some(at) => at,
            None => {
                self.started.push((threads, Process::start(rival, folder, threads)?));
                self.started.len() - 1
            }
        };
        Ok(self.started.get_mut(at).map(|(_, process)| process))
    }

    /// One product, beside its limits or a rival.
    fn case(
        &mut self,
        case: String,
        matrix: &mut Matrix,
        m: usize,
        t: usize,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let (n, k, tier, dir, split) = (matrix.n, matrix.k, self.tier, self.dir, self.split());
        let copies = matrix.copies(self.options.memory((n, k), m).0)?;
        let cpu = self.open(t)?;
        let x = activations(m * k);
        let mut best = self.best;
        let mut rival = self.rival(t)?;
        if let Some(r) = &mut rival {
            let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(dir.join("x.f32"), bytes)?;
            let format = matrix.write(dir)?;
            let request = json!({
                "format": format, "n": n, "k": k, "m": m, "threads": t, "copies": copies, "dir": dir,
            });
            match r.case(request)? {
                Ok(what) => say!("{what}"),
                Err(why) => {
                    say!("{case}: not compared: {why}");
                    return Ok(());
                }
            }
        }
        let quantise = rival.as_ref().is_some_and(|r| r.quantises(matrix.packed));
        let mut ours = matrix.ours(&cpu, &x, copies, quantise, split)?;
        ours.run()?;
        let y = ours.y.read()?;
        let mut verified = matrix.agrees(&x, &y)?;
        if let Some(r) = &mut rival {
            r.run(1)?;
            let theirs = r.answer(&dir.join("y.f32"))?;
            let far = distance(&theirs, &y);
            if far > tolerance(matrix.packed) {
                say!("{case}: the answers are {far} apart, {} is tolerated", tolerance(matrix.packed));
                verified = false;
            }
        }
        let compared = rival.is_some();
        let peak_before = peak(matrix, m, t, tier);
        let read_before = reading(matrix, copies, m, t, 3 * LIMIT);
        let by_reading = !compared && peak_before.is_some_and(|p| read_before < p);
        let read_now = || reading(matrix, copies, m, t, Duration::ZERO);
        let read_now: Option<&dyn Fn() -> f64> = if by_reading { Some(&read_now) } else { None };
        let samples = Samples::take(&mut ours, rival, read_now, &mut best)?;
        self.best = best;
        let kept = samples.undisturbed(best);
        if kept.len() < samples.all.len() {
            say!("{} of {} samples undisturbed", kept.len(), samples.all.len());
        }
        let macs = (n * k * m) as f64 / 1e9;
        let middle = |side: fn(&Sample) -> f64| median(&mut kept.iter().map(side).collect::<Vec<_>>());
        let limit = match by_reading {
            true => Some(middle(|s| s.reading)),
            false => peak_before
                .into_iter()
                .chain(peak(matrix, m, t, tier))
                .reduce(f64::max)
                .map(|p| p.min(read_before.max(reading(matrix, copies, m, t, 3 * LIMIT)))),
        };
        let ratios = || kept.iter().map(|s| s.rival / s.ours).collect::<Vec<_>>();
        table.add(&Row {
            case,
            unit: "GMAC/s",
            ours: macs / middle(|s| s.ours),
            rival: compared.then(|| macs / middle(|s| s.rival)),
            ratio: compared.then(|| interval(&ratios())),
            limit: limit.map(|l| l / 1e9),
            verified: Some(verified),
        })
    }

    /// The same product on two threads and on one, in turn.
    fn threads(&self, case: String, matrix: &mut Matrix, m: usize, table: &mut Table) -> anyhow::Result<()> {
        let x = activations(m * matrix.k);
        let (one, two) = (self.open(1)?, self.open(2)?);
        let split = self.split();
        let mut few = matrix.ours(&one, &x, 1, false, split)?;
        let mut more = matrix.ours(&two, &x, 1, false, split)?;
        // The limit: what threads that share nothing make of the machine in the same moments.
        let (p, scaling) = paired_beside(&mut || more.run(), &mut || few.run(), &mut || scaling(2))?;
        let macs = (matrix.n * matrix.k * m) as f64 / 1e9;
        table.add(&Row {
            case,
            unit: "GMAC/s",
            ours: macs / p.ours,
            rival: Some(macs / p.rival),
            ratio: Some(p.ratio),
            limit: Some(macs / p.rival * scaling),
            verified: Some(few.y.read()? == more.y.read()?),
        })
    }

    /// What a bound launch takes beyond the call of the kernel that it makes.
    fn launch_cost(&self, case: String, matrix: &mut Matrix, table: &mut Table) -> anyhow::Result<()> {
        let (n, k, tier) = (matrix.n, matrix.k, self.tier);
        let x = activations(k);
        let mut ours = matrix.ours(&self.open(1)?, &x, 1, false, self.split())?;
        let w = &matrix.copies[0];
        let (codes, scale) = matrix::quantised(&x, k);
        let input = match w.format().is_float() {
            true => Input::Floats(Rows::new(&x, 1, k, k)?),
            false => Input::Codes { rows: Rows::new(&codes, 1, k, k)?, scales: Some(&scale) },
        };
        let (mut y, mut scratch) = (vec![0f32; n], Scratch::new());
        let mut bare = || {
            let tile = Tile::new(&mut y, 1, n, n)?;
            let out = Output::Floats { tile, bias: None, activation: Activation::None };
            Ok(matmul(tier, w, 0, input, out, &mut scratch)?)
        };
        // In turn, and the middle of the differences: both take some ten microseconds.
        let mut costs = Vec::new();
        for _ in 0..5 {
            costs.push(alone(&mut || ours.run())? - alone(&mut bare)?);
        }
        let verified = Some(ours.y.read()? == y);
        let ours = 1e6 * median(&mut costs);
        table.add(&Row { case, unit: "us", ours, rival: None, ratio: None, limit: None, verified })
    }
}

/// Activations from -1 to 1.
fn activations(len: usize) -> Vec<f32> {
    let mut rng = Random(2);
    (0..len).map(|_| rng.float()).collect()
}
