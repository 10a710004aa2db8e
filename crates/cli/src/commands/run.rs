//! `run`: launch a kernel of a program file.

use crate::console::{Console, count, duration, say};
use crate::device::Device;
use crate::explore::explore;
use crate::failure::launch as refused;
use crate::interrupt;
use crate::record::{Outcome, Record};
use crate::resonance;
use crate::sanitize;
use crate::source::Source;
use crate::trace::Recorder;
use crate::values::{Bound, Named, Sizes, Values, given};
use anyhow::Context;
use phalanx::data::{self, Data};
use phalanx::isa::Type;
use phalanx::{Cpu, Kernel, LaunchClaims, LaunchConfig, Program};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many values `--print` shows.
const SHOWN: usize = 16;

/// Launch a kernel. It may declare its block size, and its grid in terms of its
/// parameters; what it does not declare is given here.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  phalanx run softmax.phx --arg x=random:f32:4x256:1 --arg y=zeros:f32:4x256 \\
      --arg cols=256 --print y
  phalanx run axpy.phx --arg x=x.npy --arg y=y.npy --arg a=0.5 --out y=sum.npy
  phalanx run scan.phx --arg x=random:u32:4096:1 --arg y=zeros:u32:4096 \\
      --sanitize race --explore 100 --bundle scan.bundle

VALUE of --arg is a number, FILE.npy, zeros:DTYPE:SHAPE, uninit:DTYPE:SHAPE or
random:DTYPE:SHAPE:SEED, SHAPE as 4x8. Random floats are in -1..1, integers in
0..=100. bf16 in .npy is uint16. Packed weights are an array of rows by columns,
the filters of a convolution conv:SHAPE:VALUE, SHAPE as \"56x56 64->128 3x3 s2 p1\"
and VALUE an array [out, in a group, rows, columns]: int8, or float32 for formats
of floats.
An array of n buffers takes n --arg options of one name; NAME[0] names one of
them in --out and --print.")]
pub struct Args {
    /// Program text or binary module
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which kernel, where the file holds several
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Blocks
    #[arg(long, value_name = "X[,Y[,Z]]")]
    grid: Option<Sizes>,
    /// Lanes of a block
    #[arg(long, value_name = "X[,Y[,Z]]")]
    block: Option<Sizes>,
    /// Elements of the shared array that the launch sizes
    #[arg(long, value_name = "N")]
    shared: Option<u64>,
    /// A parameter's value (repeatable)
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    args: Vec<Named>,
    /// Write a buffer afterwards (repeatable)
    #[arg(long, value_name = "NAME=FILE.npy")]
    out: Vec<Named>,
    /// Show a buffer's first values afterwards (repeatable)
    #[arg(long, value_name = "NAME")]
    print: Vec<String>,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// Instructions that each lane may execute
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,
    /// One thread, blocks and lanes in ascending order
    #[arg(long)]
    deterministic: bool,
    /// One of the orders that are allowed, by number; with --threads 1 exactly
    /// the same one each time
    #[arg(long, value_name = "N", conflicts_with = "deterministic")]
    schedule_seed: Option<u64>,
    /// Write a timeline that Perfetto opens
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// Show times and how the launch was split
    #[arg(long)]
    stats: bool,
    /// Class of all lanes, below 96
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..96))]
    class: Option<u32>,
    /// Launch phase, below 768
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..768))]
    phase: Option<u32>,
    /// Start from this snapshot of the resonance where the file exists, and
    /// write the snapshot afterwards
    #[arg(long, value_name = "FILE.json")]
    resonance: Option<PathBuf>,
    /// What must hold of the launch, else it traps (repeatable): mirror,
    /// neutral, neighbours, phase=BEGIN,SPAN or boundary=PAGE,PAGES,BYTE,BYTES
    #[arg(long = "claim", value_name = "CLAIM", value_parser = |text: &str| LaunchClaims::default().with(text).map(|_| text.to_string()))]
    claims: Vec<String>,
    #[command(flatten)]
    checks: sanitize::Options,
    /// Rows for programs: the launch, what was asked to be shown, findings, or the trap
    #[arg(long)]
    json: bool,
}

/// Names of stages with when they began and ended.
struct Stages {
    recorder: std::sync::Arc<Recorder>,
    times: Vec<(&'static str, std::time::Duration)>,
}

impl Stages {
    fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = work();
        self.times.push((name, from.elapsed()));
        self.recorder.add(name, from);
        result
    }
}

/// Runs the command.
///
/// # Errors
/// The program or a file is rejected, the launch is refused, or a lane traps.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let recorder = Recorder::start();
    let cpu = args.device.open_with(args.trace.is_some().then_some(&recorder))?;
    let mut stages = Stages { recorder, times: Vec::new() };
    let source = stages.run("read", || Source::read(&args.file))?;
    let program = stages.run("assemble and verify", || source.load(&cpu, console))?;
    let resonance = resonance::read(args.resonance.as_deref())?;
    let mut record = Record {
        source,
        kernel: args.kernel.clone(),
        grid: args.grid.map(|s| s.0),
        block: args.block.map(|s| s.0),
        shared: args.shared.unwrap_or(0),
        args: Vec::new(),
        fuel: args.fuel,
        deterministic: args.deterministic,
        seed: args.schedule_seed,
        // A launch that is to be repeated exactly has one thread.
        alone: args.checks.bundle.is_some() || args.checks.explore.is_some(),
        class: args.class,
        phase: args.phase.unwrap_or(0),
        resonance: resonance.snapshot(),
        claims: args.claims.clone(),
        sanitize: args.checks.sanitize.clone(),
        strict: args.checks.strict,
    };
    let kernel = record.choose(&program)?;
    let values = stages.run("arguments", || {
        record.args = given(kernel.data(), &args.args)?;
        Values::make(&cpu, kernel.data(), &record.args)
    })?;
    // Before the launch, so that a wrong name costs nothing.
    let find = |name: &str| values.find(name);
    let outs: Vec<(&Named, &Bound)> =
        args.out.iter().map(|o| Ok((o, find(&o.name)?))).collect::<anyhow::Result<_>>()?;
    let prints: Vec<(&String, &Bound)> =
        args.print.iter().map(|p| Ok((p, find(p)?))).collect::<anyhow::Result<_>>()?;

    stages.run("prepare", || kernel.prepare()).map_err(refused)?;
    let launch = stages.run("bind", || record.bind(&kernel, &values, &resonance))?;
    let config = launch.config();
    if let Some(seeds) = args.checks.explore {
        return explored(args, &cpu, &program, &kernel, &record, config, seeds, console);
    }
    let checked = record
        .checks()
        .map(|c| stages.run("checked launch", || interrupt::cancellable(|| launch.sanitize(c))));
    let checked = checked.transpose().map_err(refused)?;
    let result = match &checked {
        Some(_) => Ok(None),
        None => stages.run("launch", || interrupt::cancellable(|| launch.run_report())).map(Some),
    };
    let launch_time = stages.times.last().map_or_else(Default::default, |(_, t)| *t);
    let (launch_report, failed) = match result {
        Ok(report) => (report, None),
        Err(e) => {
            let trap = e.trap().cloned();
            let failed = record.source.failed(&program, e, console);
            if let Some(trap) = trap {
                keep(
                    args.checks.bundle.as_deref(),
                    &record,
                    &program,
                    &Outcome::Trapped(Box::new(trap)),
                    config,
                )?;
            }
            (None, Some(failed))
        }
    };
    let found =
        checked.as_ref().and_then(|c| sanitize::report(&record.source, c, record.strict, console).err());
    let trapped = failed.is_some() || checked.as_ref().is_some_and(|c| c.report.trap.is_some());
    if failed.is_none() {
        let outcome = checked.clone().map_or(Outcome::Done, Outcome::Checked);
        keep(args.checks.bundle.as_deref(), &record, &program, &outcome, config)?;
    }

    if !trapped {
        // After a trap what was written is unspecified and goes nowhere.
        stages.run("results", || -> anyhow::Result<()> {
            for (Named { name, value }, bound) in &outs {
                data::write_npy(value, bound.read()?).with_context(|| format!("--out {name}={value}"))?;
            }
            prints.iter().try_for_each(|(name, bound)| show(name, &bound.read()?, console))
        })?;
    }
    if let Some(report) = &launch_report {
        resonance::write(args.resonance.as_deref(), &resonance, report)?;
    }
    if let Some(path) = &args.trace {
        let document = stages.recorder.document().to_string();
        std::fs::write(path, document).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let blocks: u64 = config.grid.iter().map(|n| u64::from(*n)).product();
    let lanes: u64 = config.block.iter().map(|n| u64::from(*n)).product();
    if args.stats {
        for (name, time) in &stages.times {
            say!("{name:20} {:>10}", duration(*time));
        }
        let threads = if args.deterministic { 1 } else { cpu.threads() };
        say!("{:20} {:>10}   {:?}", "blocks", blocks, config.grid);
        say!("{:20} {:>10}   {:?}", "lanes of a block", lanes, config.block);
        say!("{:20} {:>10}", "threads at most", threads);
        say!("{:20} {:>10}   SIMD level {}", "executor", cpu.executor(), args.device.tier());
    }
    if let Some(e) = failed {
        return Err(e);
    }
    let (name, time) = (kernel.name(), duration(launch_time));
    say!("{name}: {} of {} in {time}", count(blocks, "block"), count(lanes, "lane"));
    let mut row = json!({
        "kernel": name, "blocks": blocks, "lanes": lanes, "launch_us": launch_time.as_nanos() as f64 / 1e3,
    });
    if let Some(c) = &checked {
        sanitize::add_to(&mut row, c);
    }
    console.row(&row)?;
    found.map_or(Ok(()), Err)
}

/// Writes the bundle of a launch that failed, where one is asked for.
fn keep(
    path: Option<&Path>,
    record: &Record,
    program: &Program,
    outcome: &Outcome,
    config: LaunchConfig,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let name = path.display();
    if !record.failed(outcome) {
        say!("nothing failed: `{name}` is not written");
        return Ok(());
    }
    let document = record.to_json(config, &record.report(program, outcome));
    std::fs::write(path, format!("{document:#}\n")).with_context(|| format!("cannot write `{name}`"))?;
    say!("the launch is in `{name}`: phalanx replay {name}");
    Ok(())
}

/// `--explore`.
#[expect(clippy::too_many_arguments, reason = "all that `run` has made for a launch")]
fn explored(
    args: &Args,
    cpu: &Cpu,
    program: &Program,
    kernel: &Kernel,
    record: &Record,
    config: LaunchConfig,
    seeds: u64,
    console: Console,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let found = explore(cpu, kernel, record, config, seeds)?;
    let time = start.elapsed();
    let Outcome::Checked(checked) = &found.outcome else { return Ok(()) };
    let failed = sanitize::report(&record.source, checked, record.strict, console).err();
    found.tell();
    let config = LaunchConfig { grid: found.record.grid.unwrap_or(config.grid), ..config };
    keep(args.checks.bundle.as_deref(), &found.record, program, &found.outcome, config)?;
    let size = |sizes: [u32; 3]| sizes.iter().map(|n| u64::from(*n)).product::<u64>();
    let mut row = json!({
        "kernel": kernel.name(), "blocks": size(config.grid), "lanes": size(config.block),
        "launch_us": time.as_nanos() as f64 / 1e3,
    });
    sanitize::add_to(&mut row, checked);
    row["explored"] = found.row();
    console.row(&row)?;
    failed.map_or(Ok(()), Err)
}

/// Shows the first values of an array.
fn show(name: &str, array: &Data, console: Console) -> anyhow::Result<()> {
    let Data { elem, shape, bytes } = array;
    let first: Vec<u64> = data::elements(*elem, bytes).take(SHOWN).collect();
    let total = bytes.len() / elem.bytes();
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    console.line(format!("{name}: {elem}[{}]", sizes.join("x")))?;
    let mut line = String::from(" ");
    for bits in &first {
        let text = data::format_number(*elem, *bits);
        if line.len() + text.len() + 1 > 78 {
            console.line(&line)?;
            line = String::from(" ");
        }
        line += &format!(" {text}");
    }
    if total > first.len() {
        line += " ...";
    }
    console.line(&line)?;
    let values: Vec<Value> = first.iter().map(|bits| number(*elem, *bits)).collect();
    console.row(&json!({"name": name, "dtype": elem.to_string(), "shape": shape, "values": values}))?;
    Ok(())
}

/// A number as JSON; what JSON has no number for, as text.
fn number(ty: Type, bits: u64) -> Value {
    let text = data::format_number(ty, bits);
    let exact = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    exact.unwrap_or_else(|_| {
        // From the shortest text, so that 0.1 stays 0.1 and does not grow the digits of a wider type.
        let finite = text.parse().ok().and_then(serde_json::Number::from_f64);
        finite.map_or(Value::String(text), Value::Number)
    })
}
