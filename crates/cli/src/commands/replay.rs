//! `replay`: run a recorded launch again, and compare its report.

use crate::console::{Console, say};
use crate::device::Device;
use crate::failure::Told;
use crate::record::{Outcome, Record};
use crate::sanitize;
use anyhow::bail;
use serde_json::json;
use std::path::PathBuf;

/// Run a launch that `run --bundle FILE` recorded, with its program, values and
/// schedule, and say whether its report is the recorded one, to the letter.
/// Exit status: 1 where something is found, as when it was recorded, or the
/// report is another.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  phalanx run scan.phx --arg x=random:u32:4096:1 --arg y=zeros:u32:4096 \\
      --sanitize race --explore 100 --bundle scan.bundle
  phalanx replay scan.bundle")]
pub struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    file: PathBuf,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// Rows for programs: findings or the trap, and the launch
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// No bundle, a launch that is refused, a finding or trap, or another report than was recorded.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let (record, recorded, version) = Record::read(&args.file)?;
    let cpu = args.device.open()?;
    let program = record.source.load(&cpu, console)?;
    let kernel = record.choose(&program)?;
    let outcome = match record.run(&cpu, &kernel, None)? {
        Ok(outcome) => outcome,
        Err(e) => return Err(record.source.failed(&program, e, console)),
    };
    let failed = match &outcome {
        Outcome::Checked(c) => sanitize::report(&record.source, c, record.strict, console).err(),
        Outcome::Trapped(trap) => Some(record.source.trapped(&program, trap, console)),
        Outcome::Done => None,
    };
    let same = record.report(&program, &outcome) == recorded;
    let mut row = json!({
        "kernel": kernel.name(), "blocks": product(record.grid), "lanes": product(record.block),
        "schedule_seed": record.seed, "as_recorded": same,
    });
    if let Outcome::Checked(c) = &outcome {
        sanitize::add_to(&mut row, c);
    }
    console.row(&row)?;
    if !same {
        if !recorded.is_empty() {
            say!("\nrecorded was:\n{}", recorded.trim_end());
        }
        let here = env!("CARGO_PKG_VERSION");
        let why = if version == here { String::new() } else { format!(" by version {version}, not {here}") };
        bail!("the report is not the one that was recorded{why}");
    }
    say!("{}: the report is the recorded one", kernel.name());
    failed.map_or(Ok(()), |e| if e.is::<Told>() { Err(Told.into()) } else { Err(e) })
}

fn product(sizes: Option<[u32; 3]>) -> u64 {
    sizes.map_or(0, |s| s.iter().map(|n| u64::from(*n)).product())
}
