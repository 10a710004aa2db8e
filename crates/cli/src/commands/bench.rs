//! `bench`: measurements, a row per case.
//!
//! Ours and the rival are timed in interleaved pairs, first one then the other and the next time the other way round, so that
//! what slows the machine slows both. The ratio is the median over the pairs, with a 95 % interval by bootstrap. `timing` does
//! that; `assemble`, `launch`, `programs`, `sanitize` with `oclgrind` and `resonance`, `matmul`, `conv` with `chain`, and `model` are
//! what can be measured, `cases`, `file_tests` and `native` the programs and their rivals, `fresh` a model in a process of its own.

mod assemble;
mod cases;
mod chain;
mod conv;
mod file_tests;
mod fresh;
mod launch;
mod matmul;
mod model;
mod native;
mod oclgrind;
mod programs;
mod resnet;
mod resonance;
mod rivals;
mod samples;
mod sanitize;
mod timing;

use crate::console::{Console, say};
use crate::device::Device;
use crate::machine::Machine;
use serde_json::json;
use timing::Interval;

/// Measure, a row per case. The ratio is the rival's time over ours: above 1 is
/// faster. The limit is the roof measured in the same run.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx bench programs --threads 2 --json > rows.jsonl")]
pub struct Args {
    /// What to measure
    #[arg(value_name = "NAME")]
    name: Name,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// Measure only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A row per case
    #[arg(long)]
    json: bool,
    /// With whom to compare
    #[command(flatten)]
    against: rivals::Against,
    /// Which products
    #[command(flatten)]
    products: matmul::Options,
    /// Which convolutions
    #[command(flatten)]
    convolutions: conv::ConvOptions,
    /// Which model
    #[command(flatten)]
    model: model::ModelOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    /// From program text to a first result
    Assemble,
    /// What a launch costs by itself
    Launch,
    /// Programs: against plain Rust, other executors and other numbers of threads
    Programs,
    /// Checked launches against plain ones, or against Oclgrind; the accumulator of the resonance
    Sanitize,
    /// Matrix products: beside the machine's limits, or a rival
    Matmul,
    /// Convolutions: beside the machine's limits, or a rival
    Conv,
    /// A model: prompts, decoding, loading, memory
    Model,
}

/// One measured case.
struct Row {
    case: String,
    unit: &'static str,
    /// In the unit.
    ours: f64,
    /// The other side, in the unit.
    rival: Option<f64>,
    /// Rival time over our time.
    ratio: Option<Interval>,
    /// The roof, in the unit.
    limit: Option<f64>,
    /// Whether the answers of both sides, or ours and the known one, agree; `None`: there is nothing to compare.
    verified: Option<bool>,
}

/// Where rows go.
struct Table {
    console: Console,
    machine: String,
    /// What the names of the cases to measure contain.
    only: Option<String>,
    /// Cases whose answers do not agree.
    wrong: u64,
}

impl Table {
    /// Whether a case is to be measured.
    fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|text| case.contains(text))
    }
    fn add(&mut self, row: &Row) -> anyhow::Result<()> {
        let Row { case, unit, ours, rival, ratio, limit, verified } = row;
        let rival_text = rival.map_or(String::new(), figure);
        let ratio_text = ratio.map_or(String::new(), |r| {
            format!("{} ({}..{})", figure(r.middle), figure(r.low), figure(r.high))
        });
        let agrees = if *verified == Some(false) { "  ANSWERS DIFFER" } else { "" };
        let of_limit = limit.map_or(String::new(), |l| format!("  {:.0} % of the limit", 100.0 * ours / l));
        let line = format!(
            "{case:33} {:>7} {unit:7} {rival_text:>7}  {ratio_text}{of_limit}{agrees}",
            figure(*ours)
        );
        self.console.line(line.trim_end())?;
        if *verified == Some(false) {
            self.wrong += 1;
        }
        let part = |pick: fn(&Interval) -> f64| ratio.as_ref().map(pick);
        Ok(self.console.row(&json!({
            "case": case, "unit": unit, "ours": ours, "rival": rival,
            "ratio": part(|r| r.middle), "ratio_low": part(|r| r.low), "ratio_high": part(|r| r.high),
            "limit": limit, "limit_fraction": limit.map(|l| ours / l),
            "verified": verified, "machine": self.machine,
        }))?)
    }
}

/// Three figures.
fn figure(x: f64) -> String {
    match x.abs() {
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// Runs the command.
///
/// # Errors
/// A launch fails, answers differ, or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if !matches!(args.name, Name::Matmul) {
        args.products.refuse()?;
    }
    if !matches!(args.name, Name::Conv) {
        args.convolutions.refuse()?;
    }
    if !matches!(args.name, Name::Model) {
        args.model.refuse()?;
    }
    if !matches!(args.name, Name::Matmul | Name::Conv | Name::Sanitize | Name::Model) {
        args.against.rival(|_| false)?;
    }
    let console = Console::new(args.json);
    let machine = Machine::detect().short();
    let cpu = args.device.open()?;
    if cfg!(debug_assertions) {
        say!("note: a build without --release; its figures say nothing");
    }
    say!("{machine}; executor {}, {}, {} threads", cpu.executor(), args.device.tier(), cpu.threads());
    console.line(format!("{:33} {:>7} {:7} {:>7}  {}", "case", "ours", "unit", "rival", "ratio (95 %)"))?;
    let mut table = Table { console, machine, only: args.only.clone(), wrong: 0 };
    match args.name {
        Name::Assemble => assemble::run(&cpu, &mut table)?,
        Name::Launch => launch::run(&cpu, &mut table)?,
        Name::Programs => programs::run(&args.device, &mut table)?,
        Name::Sanitize => sanitize::run(&args.device, &args.against, &mut table)?,
        Name::Matmul => matmul::run(&args.device, &args.products, &args.against, &mut table)?,
        Name::Conv => conv::run(&args.device, &args.convolutions, &args.against, &mut table)?,
        Name::Model => model::run(&args.device, &cpu, &args.model, &args.against, &mut table)?,
    }
    anyhow::ensure!(table.wrong == 0, "{} cases with answers that differ", table.wrong);
    Ok(())
}
