//! What a launch costs by itself: lanes that do nothing, bound and made ready before.

use super::timing::alone;
use super::{Row, Table};
use phalanx::{Cpu, Kernel};

/// Steps of the measured sequence.
const STEPS: usize = 64;

pub fn run(cpu: &Cpu, table: &mut Table) -> anyhow::Result<()> {
    let empty = cpu.load("kernel empty() { exit }")?.only_kernel()?;
    for (grid, block) in [(64, 64), (1, 64), (1, 1), (1, 1024)] {
        let case = shape("launch", grid, block);
        if table.wants(&case) {
            let launch = empty.launch(grid, block).bind()?;
            table.add(&row(case, alone(&mut || Ok(launch.run()?))?))?;
        }
    }
    for (grid, block) in [(64, 64), (1, 1)] {
        let case = shape("sequence step", grid, block);
        if table.wants(&case) {
            table.add(&row(case, sequence(cpu, &empty, grid, block)?))?;
        }
    }
    Ok(())
}

fn shape(what: &str, grid: u32, block: u32) -> String {
    format!("{what} {grid} x {block} lanes")
}

fn row(case: String, seconds: f64) -> Row {
    Row { case, unit: "us", ours: seconds * 1e6, rival: None, ratio: None, limit: None, verified: None }
}

/// Seconds of one step.
fn sequence(cpu: &Cpu, kernel: &Kernel, grid: u32, block: u32) -> anyhow::Result<f64> {
    let mut record = cpu.sequence();
    for _ in 0..STEPS {
        record.step(kernel.launch(grid, block))?;
    }
    let sequence = record.finish()?;
    Ok(alone(&mut || Ok(sequence.run()?))? / STEPS as f64)
}
