//! A model's speed: prompts and decoding in tokens a second, beside what the machine allows in the same run, with what loading
//! takes and the memory that it all needs.

use super::fresh::{self, How};
use super::rivals::{Against, Process, Rival};
use super::timing::{Interval, interval, median};
use super::{Row, Table};
use crate::console::say;
use crate::device::Device;
use crate::failure::usage;
use phalanx::Cpu;
use phalanx::kernels::limits;
use phalanx_engine::{
    Config, Entry, Model, ModelFile, Options, Session, named_shape, random_file, shape_names,
};
use phalanx_formats::{Format, Layout};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a limit is measured.
const LIMIT: Duration = Duration::from_millis(300);

/// Which model, and what of it.
#[derive(clap::Args, Debug)]
pub struct ModelOptions {
    /// model: a model file
    #[arg(long, value_name = "MODEL.gguf")]
    file: Option<PathBuf>,
    /// model: random weights of a shape, 2b-4t, small or tiny, written to a file and loaded [default: small]
    #[arg(long, value_name = "SHAPE", conflicts_with = "file", value_parser = named)]
    random: Option<String>,
    /// model: the file that a rival is given [default: TQ2_0 of the same shape]
    #[arg(long, value_name = "MODEL.gguf")]
    rival_file: Option<PathBuf>,
    /// model: tokens of the prompt [default: 512, or as many as the context holds]
    #[arg(long, value_name = "N")]
    prompt: Option<usize>,
    /// model: tokens that are decoded [default: 128]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// model: after how many tokens decoding is measured [default: 16 and, where the context holds them, 2048]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    depth: Vec<usize>,
    /// model: threads of the rival [default: as many as ours]
    #[arg(long, value_name = "N")]
    rival_threads: Option<usize>,
    /// model: prompts on one thread and on all, beside what plain threads reach, and on one thread beside `forward_sequential`
    #[arg(long)]
    scaling: bool,
    /// Load and run in this process alone and tell the memory; what the measurement itself calls.
    #[arg(long, hide = true, requires = "file")]
    fresh: Option<How>,
    /// With `--fresh`: positions of the cache.
    #[arg(long, hide = true, default_value_t = 128)]
    context: usize,
}

fn named(name: &str) -> Result<String, String> {
    let known: Vec<&str> = shape_names().collect();
    if known.contains(&name) { Ok(name.into()) } else { Err(format!("shapes are {}", known.join(", "))) }
}

impl ModelOptions {
    /// Refuses these options with another measurement.
    pub fn refuse(&self) -> anyhow::Result<()> {
        let given = [
            (self.file.is_some(), "--file"),
            (self.random.is_some(), "--random"),
            (self.rival_file.is_some(), "--rival-file"),
            (self.prompt.is_some(), "--prompt"),
            (self.tokens.is_some(), "--tokens"),
            (!self.depth.is_empty(), "--depth"),
            (self.rival_threads.is_some(), "--rival-threads"),
            (self.scaling, "--scaling"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(usage(format!("{name} is for `bench model`"))),
            None => Ok(()),
        }
    }
}

/// A file that goes when it is no longer needed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How often a prompt is run, and how often tokens are decoded; with a rival, as many pairs.
const PROMPTS: usize = 3;
const DECODES: usize = 3;

/// Seconds of runs of so many tokens, ours and a rival's in turn.
struct Runs {
    tokens: usize,
    ours: Vec<f64>,
    rival: Vec<f64>,
}

impl Runs {
    fn take(
        count: usize,
        tokens: usize,
        mut rival: Option<&mut Opponent>,
        units: u32,
        mut ours: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Runs> {
        let mut runs = Runs { tokens, ours: Vec::new(), rival: Vec::new() };
        let mut own = |runs: &mut Runs| {
            let begin = Instant::now();
            ours()?;
            runs.ours.push(begin.elapsed().as_secs_f64());
            anyhow::Ok(())
        };
        for i in 0..count {
            if i % 2 == 0 {
                own(&mut runs)?;
            }
            if let Some(r) = &mut rival {
                runs.rival.push(r.process.run(units)?);
            }
            if i % 2 == 1 {
                own(&mut runs)?;
            }
        }
        Ok(runs)
    }

    /// Tokens a second of both, and how much longer the rival takes.
    fn rates(&self) -> (f64, Option<f64>, Option<Interval>) {
        let rate = |seconds: &[f64]| self.tokens as f64 / median(&mut seconds.to_vec());
        if self.rival.is_empty() {
            return (rate(&self.ours), None, None);
        }
        let ratios: Vec<f64> = self.rival.iter().zip(&self.ours).map(|(r, o)| r / o).collect();
        (rate(&self.ours), Some(rate(&self.rival)), Some(interval(&ratios)))
    }
}

/// A rival with a model of the same shape.
struct Opponent {
    process: Process,
    path: PathBuf,
    threads: usize,
    _kept: Option<Temporary>,
}

impl Opponent {
    fn start(
        rival: Rival,
        folder: &Path,
        threads: usize,
        name: &str,
        options: &ModelOptions,
    ) -> anyhow::Result<Opponent> {
        let (path, kept) = match &options.rival_file {
            Some(path) => (path.clone(), None),
            None if options.file.is_some() => {
                return Err(usage("--against with --file: name the rival's file with --rival-file"));
            }
            None => {
                let path =
                    std::env::temp_dir().join(format!("phalanx-{name}-{}-tq2_0.gguf", std::process::id()));
                let kept = Temporary(path.clone());
                write(name, &path, Format::Tq2_0)?;
                (path, Some(kept))
            }
        };
        Ok(Opponent { process: Process::start(rival, folder, threads)?, path, threads, _kept: kept })
    }

    fn ready(&mut self, work: &Value) -> anyhow::Result<()> {
        let mut case = work.clone();
        case["model"] = json!(self.path);
        case["threads"] = json!(self.threads);
        match self.process.case(case)? {
            Ok(what) => say!("rival: {what}"),
            Err(why) => anyhow::bail!("the rival has no such case: {why}"),
        }
        Ok(())
    }
}

/// Measures.
///
/// # Errors
/// A file that cannot be written, read or loaded, sizes beyond the context, a launch that fails.
pub fn run(
    device: &Device,
    cpu: &Cpu,
    options: &ModelOptions,
    against: &Against,
    table: &mut Table,
) -> anyhow::Result<()> {
    if let (Some(how), Some(path)) = (options.fresh, &options.file) {
        return Ok(table.console.row(&fresh::report(cpu, path, options.context, how)?)?);
    }
    let (name, path, _kept) = match &options.file {
        Some(path) => {
            let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            (name, path.clone(), None)
        }
        None => {
            let name = options.random.clone().unwrap_or_else(|| "small".into());
            let path = std::env::temp_dir().join(format!("phalanx-{name}-{}.gguf", std::process::id()));
            let kept = Temporary(path.clone());
            write(&name, &path, Format::I2S(Layout::X86))?;
            (name, path, Some(kept))
        }
    };
    let mut rival = match against.rival(|r| r == Rival::Llama)? {
        None => None,
        Some(rival) => Some({
            let threads = options.rival_threads.unwrap_or(cpu.threads());
            Opponent::start(rival, &against.folder, threads, &name, options)?
        }),
    };
    let case = |what: &str| format!("{name} {what} {}t {}", cpu.threads(), device.tier());
    let add = |table: &mut Table, what: &str, unit: &'static str, ours: f64, limit: Option<f64>| {
        table.add(&Row { case: case(what), unit, ours, rival: None, ratio: None, limit, verified: None })
    };
    let beside = |table: &mut Table, what: &str, runs: Runs, limit: Option<f64>| {
        let (rate, rival, ratio) = runs.rates();
        table.add(&Row { case: case(what), unit: "tok/s", ours: rate, rival, ratio, limit, verified: None })
    };

    let model = Model::load(cpu, &Arc::new(ModelFile::open(&path)?), &Options::default())?;

    let shape = model.graph().shape.clone();
    let tokens = options.tokens.unwrap_or(128);
    let prompt = options.prompt.unwrap_or(512).min(shape.context);
    let depths: Vec<usize> = match options.depth.is_empty() {
        true => [16, 2048].into_iter().filter(|d| d + tokens <= shape.context).collect(),
        false => options.depth.clone(),
    };
    let context = depths.iter().map(|d| d + tokens).max().unwrap_or(0).max(prompt);
    if context > shape.context {
        return Err(usage(format!("{context} tokens: the model was trained for {}", shape.context)));
    }
    if ["load", "peak"].iter().any(|what| table.wants(&case(what))) {
        alone(device, cpu, &path, context, &mut |what, unit, ours, limit| {
            add(table, what, unit, ours, limit)
        })?;
    }
    let mut session = Session::new(&model, Config { context, ..Config::default() })?;
    say!(
        "{name}: {} weights in blocks ({} bytes), head {} bytes, cache {} bytes, intermediates {} bytes for {} rows",
        model.graph().block_weights(),
        model.block_bytes(),
        model.head_bytes(),
        session.cache_bytes(),
        session.arena_bytes(),
        session.config().rows
    );
    let ids: Vec<u32> = (0..context as u32).map(|i| (i * 7919 + 13) % shape.vocab as u32).collect();

    if table.wants(&case("prompt")) {
        if let Some(r) = &mut rival {
            r.ready(&json!({"prompt": prompt, "depth": 0, "context": context}))?;
        }
        let runs = Runs::take(PROMPTS, prompt, rival.as_mut(), 1, || {
            session.truncate(0, 0);
            Ok(session.feed(0, &ids[..prompt], None).map(drop)?)
        })?;
        let roof = limits::int8_rate(device.tier(), LIMIT / 3).map(|r| {
            let work =
                model.graph().block_weights() as f64 + (shape.vocab * shape.width) as f64 / prompt as f64;
            r * cpu.threads() as f64 / work
        });
        beside(table, &format!("prompt {prompt}"), runs, roof)?;
    }
    for depth in depths {
        let what = format!("decode {tokens} @{depth}");
        if !table.wants(&case(&what)) {
            continue;
        }
        if let Some(r) = &mut rival {
            r.ready(&json!({"prompt": 0, "depth": depth, "context": context}))?;
        }
        session.truncate(0, 0);
        session.feed(0, &ids[..depth], None)?;
        session.reset_spent();
        let runs = Runs::take(DECODES, tokens, rival.as_mut(), tokens as u32, || {
            session.truncate(0, depth);
            ids[depth..depth + tokens].iter().try_for_each(|token| {
                let row = [Entry { text: 0, token: *token, wanted: true }];
                Ok(session.forward(&row, None, &mut |_, _| {})?)
            })
        })?;
        let rate = runs.rates().0;
        // A run of all launches with nothing to do, and what the session does around them.
        let host = session.spent().host.as_secs_f64() / (DECODES * tokens) as f64;
        let idle =
            (0..5).map(|_| session.idle_run().map(|d| d.as_secs_f64())).collect::<Result<Vec<_>, _>>()?;
        let outside = idle.into_iter().fold(f64::INFINITY, f64::min) + host;
        let slices: Vec<&[u8]> = model.packed().map(|w| w.bytes()).collect();
        let read = limits::read_rate(&slices, cpu.threads(), LIMIT);
        let bytes = model.block_bytes() + model.head_bytes() + session.cache_read(depth + tokens / 2);
        say!("{what}: {bytes} bytes a token, {:.1} GB/s of {:.1}", bytes as f64 * rate / 1e9, read / 1e9);
        beside(table, &what, runs, Some(read / bytes as f64))?;
        add(table, &format!("{what}, outside kernels"), "%", 100.0 * outside * rate, None)?;
        if table.console.json {
            continue;
        }
        let mut by_kernel: std::collections::BTreeMap<String, Duration> = std::collections::BTreeMap::new();
        let profile = usual(&session)?;
        let all: Duration = profile.iter().map(|(_, d)| *d).sum();
        profile.into_iter().for_each(|(k, d)| *by_kernel.entry(k).or_default() += d);
        let mut by_kernel: Vec<_> = by_kernel.into_iter().collect();
        by_kernel.sort_by_key(|(_, d)| std::cmp::Reverse(*d));
        for (kernel, d) in by_kernel {
            say!(
                "  {kernel:14} {:5.1} %  {}",
                100.0 * d.as_secs_f64() / all.as_secs_f64(),
                crate::console::duration(d)
            );
        }
    }
    let idle: Vec<f64> =
        (0..20).map(|_| session.idle_run().map(|d| d.as_secs_f64())).collect::<Result<_, _>>()?;
    let idle = idle.iter().copied().fold(f64::INFINITY, f64::min);
    add(table, "outside kernels a step", "us", idle / session.steps() as f64 * 1e6, None)?;
    if options.scaling {
        scaling(device, cpu, &path, &mut session, &ids[..prompt], table, &case)?;
    }
    Ok(())
}

/// Adds a row: what, its unit, ours, the limit.
type AddRow<'a> = &'a mut dyn FnMut(&str, &'static str, f64, Option<f64>) -> anyhow::Result<()>;

/// Loading and memory, in processes that do nothing else.
fn alone(device: &Device, cpu: &Cpu, path: &Path, context: usize, add: AddRow<'_>) -> anyhow::Result<()> {
    let warm = fresh::measure(device, cpu, path, context, How::Parallel)?;
    add("load", "s", warm.load, None)?;
    if fresh::cool(path) {
        let cold = fresh::measure(device, cpu, path, context, How::Parallel)?;
        add("load, file not in the page cache", "s", cold.load, None)?;
    }
    if warm.peak > 0.0 {
        let sequential = fresh::measure(device, cpu, path, context, How::Sequential)?;
        add("peak memory", "MB", warm.peak / 1e6, Some(warm.needed / 1e6))?;
        add("peak memory, sequential", "MB", sequential.peak / 1e6, Some(sequential.needed / 1e6))?;
    }
    Ok(())
}

/// A prompt on all threads, on a device of one, and by `forward_sequential`, in turn.
fn scaling(
    device: &Device,
    cpu: &Cpu,
    path: &Path,
    session: &mut Session,
    prompt: &[u32],
    table: &mut Table,
    case: &dyn Fn(&str) -> String,
) -> anyhow::Result<()> {
    let single = Cpu::builder().threads(1).simd(device.tier()).build()?;
    let model = Model::load(&single, &Arc::new(ModelFile::open(path)?), &Options::default())?;
    let mut alone = Session::new(&model, session.config())?;
    let timed = |work: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<f64> {
        let begin = Instant::now();
        work()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    // What threads that share nothing reach together, of what one reaches.
    let plain = || -> Option<f64> {
        let rate = || limits::int8_rate(device.tier(), LIMIT / 3);
        let one = rate()?;
        let all: Option<f64> = std::thread::scope(|s| {
            let others: Vec<_> = (0..cpu.threads()).map(|_| s.spawn(rate)).collect();
            others.into_iter().map(|t| t.join().ok().flatten()).sum()
        });
        Some(all? / one)
    };
    let (mut together, mut sequential, mut ideal) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..PROMPTS {
        let all = timed(&mut || {
            session.truncate(0, 0);
            Ok(session.feed(0, prompt, None).map(drop)?)
        })?;
        let one = timed(&mut || {
            alone.truncate(0, 0);
            Ok(alone.feed(0, prompt, None).map(drop)?)
        })?;
        let own = timed(&mut || {
            session.truncate(0, 0);
            let rows: Vec<Entry> =
                prompt.iter().map(|t| Entry { text: 0, token: *t, wanted: false }).collect();
            let most = session.config().rows;
            rows.chunks(most).try_for_each(|part| Ok(session.forward_sequential(part, &mut |_, _| {})?))
        })?;
        together.push(one / all);
        sequential.push(own / one);
        ideal.extend(plain());
        fast.push(all);
        slow.push(one);
    }
    let rate = |times: &mut [f64]| prompt.len() as f64 / median(times);
    let mut row = |what: &str, unit, ours, rival, ratio: Option<Interval>, limit| {
        table.add(&Row { case: case(what), unit, ours, rival, ratio, limit, verified: None })
    };
    let threads = cpu.threads();
    let (fast, slow) = (rate(&mut fast), rate(&mut slow));
    row(&format!("prompt {threads}t, 1t"), "tok/s", fast, Some(slow), Some(interval(&together)), None)?;
    let ideal = if ideal.is_empty() { threads as f64 } else { median(&mut ideal) };
    let reached = interval(&together).middle;
    row(&format!("prompt {threads}t to 1t beside plain threads"), "x", reached, None, None, Some(ideal))?;
    row(
        "prompt 1t to sequential",
        "x",
        interval(&sequential).middle,
        None,
        Some(interval(&sequential)),
        Some(1.0),
    )
}

/// The shortest of a few profiles, step by step.
fn usual(session: &Session) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut all = session.profile()?;
    for _ in 0..4 {
        all.iter_mut().zip(session.profile()?).for_each(|(a, b)| a.1 = a.1.min(b.1));
    }
    Ok(all)
}

/// Writes a file of a named shape.
fn write(name: &str, path: &Path, ternary: Format) -> anyhow::Result<()> {
    // Parsed from the known names.
    let mut shape = named_shape(name).ok_or_else(|| usage(format!("no shape `{name}`")))?;
    if ternary == Format::Tq2_0 {
        // What other engines call it.
        shape.architecture = "bitnet".into();
    }
    let bytes = random_file(&shape, ternary, Format::Q8_0, 1)?;
    std::fs::write(path, bytes)?;
    Ok(())
}
