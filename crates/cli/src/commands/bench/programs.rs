//! Programs: against plain Rust on one thread, with more threads, against the reference executor; and what one operation costs.

use super::cases::{Case, Ours, Roof, Size, all, shared};
use super::file_tests::{FileTest, Run};
use super::timing::{Paired, Work, alone, paired, paired_beside};
use super::{Row, Table};
use crate::device::Device;
use crate::machine::{fma_rate, read_bandwidth, scaling};
use phalanx::{BoundLaunch, Cpu};
use std::hint::black_box;
use std::time::Duration;

/// The executor that is the definition, and slow.
const REFERENCE: &str = "reference";
/// How long a limit is measured.
const LIMIT: Duration = Duration::from_millis(100);

pub fn run(device: &Device, table: &mut Table) -> anyhow::Result<()> {
    let cpu = device.open()?;
    let size = if cpu.executor() == REFERENCE { Size::Small } else { Size::Full };
    let many = cpu.threads();
    let threads: Vec<usize> = match device.threads {
        Some(n) => vec![n.into()],
        None if many > 1 => vec![1, many],
        None => vec![1],
    };
    for case in all(size) {
        for t in &threads {
            let on = with(device, &cpu, *t)?;
            against_native(&case, &on, *t, table)?;
        }
    }
    if let [one, many] = threads[..] {
        let (few, more) = (with(device, &cpu, one)?, with(device, &cpu, many)?);
        for case in all(size).iter().chain(&shared(size)) {
            against_fewer(case, &few, &more, many, table)?;
        }
        for p in phalanx_programs::PROGRAMS {
            of_its_test(p, &few, &more, many, table)?;
        }
        for (what, grid, block) in [("64 blocks of 256", 64, 256), ("1 block of 1024", 1, 1024)] {
            let case = format!("chain, {what}: {many}t to 1t");
            if !table.wants(&case) {
                continue;
            }
            let rounds = if size == Size::Full { 20_000 / grid } else { 40 };
            let launch = |cpu: &Cpu| chain(cpu, grid, block, rounds);
            let (a, b) = (launch(&more)?, launch(&few)?);
            let work = f64::from(grid * block * rounds) * OPS as f64 / 1e9;
            let (p, limit) =
                more_threads(&mut || Ok(a.launch.run()?), &mut || Ok(b.launch.run()?), many, work)?;
            let verified = Some(a.result()? == b.result()?);
            table.add(&rated(case, "Gflop/s", work, &p, limit, verified))?;
        }
    }
    if cpu.executor() != REFERENCE {
        let slow = Device { executor: REFERENCE.into(), threads: Some(1), ..device.clone() }.open()?;
        let fast = with(device, &cpu, 1)?;
        for case in all(Size::Small) {
            against_reference(&case, &fast, &slow, table)?;
        }
    }
    one_operation(&with(device, &cpu, 1)?, size, table)
}

/// The device with another number of threads.
fn with(device: &Device, cpu: &Cpu, threads: usize) -> anyhow::Result<Cpu> {
    if cpu.threads() == threads {
        return Ok(cpu.clone());
    }
    Device { threads: Some(u16::try_from(threads)?), ..device.clone() }.open()
}

/// A row in units of work a second, where ours and the rival do the same work.
fn rated(
    case: String,
    unit: &'static str,
    work: f64,
    p: &Paired,
    limit: Option<f64>,
    verified: Option<bool>,
) -> Row {
    Row {
        case,
        unit,
        ours: work / p.ours,
        rival: Some(work / p.rival),
        ratio: Some(p.ratio),
        limit,
        verified,
    }
}

/// The first answer of freshly made data: programs that work in place change it with every run.
fn first_answer(ours: &Ours) -> anyhow::Result<Vec<f64>> {
    ours.run()?;
    ours.result()
}

fn against_native(case: &Case, cpu: &Cpu, threads: usize, table: &mut Table) -> anyhow::Result<()> {
    let name = format!("{} {threads}t to Rust 1t", case.name);
    if !table.wants(&name) {
        return Ok(());
    }
    let ours = case.on(cpu)?;
    let mut rival = (case.rival)();
    let verified = case.agree(&first_answer(&ours)?, &rival(true));
    let p = paired(&mut || ours.run(), &mut || {
        black_box(rival(false));
        Ok(())
    })?;
    let limit = match case.roof {
        Roof::Read => Some(read_bandwidth(threads, LIMIT) / 1e9),
        Roof::Flops => Some(fma_rate(LIMIT) * threads as f64 / 1e9),
        Roof::None => None,
    };
    table.add(&rated(name, case.unit, case.work, &p, limit, Some(verified)))
}

fn against_fewer(
    case: &Case,
    few: &Cpu,
    more: &Cpu,
    threads: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let name = format!("{} {threads}t to 1t", case.name);
    if !table.wants(&name) {
        return Ok(());
    }
    let (ours, rival) = (case.on(more)?, case.on(few)?);
    let verified = first_answer(&ours)? == first_answer(&rival)?;
    let (p, limit) = more_threads(&mut || ours.run(), &mut || rival.run(), threads, case.work)?;
    table.add(&rated(name, case.unit, case.work, &p, limit, Some(verified)))
}

/// A launch as small as programs are tested with, on `threads` threads and on one.
fn of_its_test(
    p: &phalanx_programs::Program,
    few: &Cpu,
    more: &Cpu,
    threads: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let case = format!("{}, its test: {threads}t to 1t", p.name);
    if !table.wants(&case) {
        return Ok(());
    }
    let Some(test) = FileTest::largest(few, p)? else { return Ok(()) };
    let run: Run<'_> = &|l| Ok(l.run()?);
    let times = test.paired((more, run), (few, run))?;
    let (ours, rival) = (times.ours * 1e6, Some(times.rival * 1e6));
    table.add(&Row { case, unit: "us", ours, rival, ratio: Some(times.ratio), limit: None, verified: None })
}

/// `threads` threads beside one. The limit is what threads that share nothing make of the machine in the same moments: cores that
/// are lent to others for a while give less than their number.
fn more_threads(
    ours: Work<'_>,
    rival: Work<'_>,
    threads: usize,
    work: f64,
) -> anyhow::Result<(Paired, Option<f64>)> {
    let (p, scaling) = paired_beside(ours, rival, &mut || scaling(threads))?;
    let limit = Some(work / p.rival * scaling);
    Ok((p, limit))
}

fn against_reference(case: &Case, fast: &Cpu, slow: &Cpu, table: &mut Table) -> anyhow::Result<()> {
    let name = format!("{} small to reference", case.name);
    if !table.wants(&name) {
        return Ok(());
    }
    let (ours, rival) = (case.on(fast)?, case.on(slow)?);
    let verified = first_answer(&ours)? == first_answer(&rival)?;
    let p = paired(&mut || ours.run(), &mut || rival.run())?;
    table.add(&rated(name, case.unit, case.work, &p, None, Some(verified)))
}

/// f32 operations of a lane in one round of [`chain`].
const OPS: usize = 64;

struct Chain {
    launch: BoundLaunch,
    y: phalanx::Buffer<f32>,
}

impl Chain {
    fn result(&self) -> anyhow::Result<Vec<u32>> {
        Ok(self.y.read()?.iter().map(|v| v.to_bits()).collect())
    }
}

/// Dependent f32 operations: product and sum in turn, [`OPS`] a round.
fn chain(cpu: &Cpu, grid: u32, block: u32, rounds: u32) -> anyhow::Result<Chain> {
    let pair = "    mul.f32     x, x, 0.75\n    add.f32     x, x, 0.5\n";
    let text = format!(
        "kernel chain(out y: f32[], rounds: u32) {{\n    let x: f32; let n, at: u32\n    \
         cvt.rn.f32.u32 x, %lane.x\n    mov.u32     n, rounds\nagain:\n{}    loop.u32    n, again\n    \
         mov.u32     at, %global.x\n    st.f32      y[at], x\n    exit\n}}\n",
        pair.repeat(OPS / 2)
    );
    let y = cpu.zeros::<f32>((grid * block) as usize)?;
    let launch =
        cpu.load(&text)?.only_kernel()?.launch(grid, block).arg("y", &y).arg("rounds", rounds).bind()?;
    Ok(Chain { launch, y })
}

fn one_operation(cpu: &Cpu, size: Size, table: &mut Table) -> anyhow::Result<()> {
    const LANES: u32 = 256;
    let case = format!("an f32 operation, {LANES} lanes");
    if !table.wants(&case) {
        return Ok(());
    }
    let rounds = if size == Size::Full { 2000 } else { 20 };
    let chain = chain(cpu, 1, LANES, rounds)?;
    let seconds = alone(&mut || Ok(chain.launch.run()?))?;
    let expected: Vec<u32> = (0..LANES)
        .map(|lane| (0..rounds as usize * OPS / 2).fold(lane as f32, |x, _| x * 0.75 + 0.5).to_bits())
        .collect();
    let verified = Some(chain.result()? == expected);
    let ours = seconds * 1e9 / f64::from(rounds) / OPS as f64;
    let limit = Some(f64::from(LANES) * 2.0 / fma_rate(LIMIT) * 1e9);
    table.add(&Row { case, unit: "ns", ours, rival: None, ratio: None, limit, verified })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_right() {
        let cpu = Cpu::new().unwrap();
        let chain = chain(&cpu, 2, 32, 3).unwrap();
        chain.launch.run().unwrap();
        let expected: Vec<u32> =
            (0..64).map(|i| (0..96).fold((i % 32) as f32, |x, _| x * 0.75 + 0.5).to_bits()).collect();
        assert_eq!(chain.result().unwrap(), expected);
    }
}
