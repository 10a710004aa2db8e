//! Checked launches: what looking for races costs in time and memory, beside the same launches without checkers.

use super::cases::{Size, all};
use super::file_tests::FileTest;
use super::rivals::{Against, Rival};
use super::timing::{Interval, paired};
use super::{Row, Table, oclgrind, resonance};
use crate::device::Device;
use phalanx::exec::check::ShadowUse;
use phalanx::{BoundLaunch, Checks, Cpu};

/// How many times as long as a plain launch one that is checked for races may take, by the geometric mean.
const SLOWER: f64 = 8.0;
/// Bytes of shadow memory an element that the launch touched, of buffers that it writes.
const BYTES: f64 = 16.0;

const RACE: Checks = Checks { race: true, bounds: false, init: false, sync: false };

pub fn run(device: &Device, against: &Against, table: &mut Table) -> anyhow::Result<()> {
    let cpu = device.open()?;
    if let Some(Rival::Oclgrind) = against.rival(|r| r == Rival::Oclgrind)? {
        return oclgrind::run(&cpu, &against.folder, table);
    }
    let large = large_programs(&cpu, table)?;
    mean("of the programs above", &large, table)?;
    let tests = tests_in_files(&cpu, table)?;
    mean("of all programs, by their tests", &tests, table)?;
    resonance::run(&cpu, device.tier(), table)
}

fn sanitize(launch: &BoundLaunch) -> anyhow::Result<ShadowUse> {
    Ok(launch.sanitize(RACE)?.report.shadow)
}

/// Time of a checked launch beside a plain one, both in `unit`, of which a second has `scale`.
fn slower(case: String, unit: &'static str, scale: f64, times: (f64, f64), ratio: Interval) -> Row {
    let (ours, rival) = (times.0 * scale, times.1 * scale);
    let limit = Some(SLOWER * rival);
    Row { case, unit, ours, rival: Some(rival), ratio: Some(ratio), limit, verified: None }
}

fn shadow(case: String, used: ShadowUse) -> Row {
    let ours = used.bytes as f64 / used.touched.max(1) as f64;
    Row { case, unit: "B/elem", ours, rival: None, ratio: None, limit: Some(BYTES), verified: None }
}

/// The programs that are measured elsewhere too, at the same sizes: how many times slower each is.
fn large_programs(cpu: &Cpu, table: &mut Table) -> anyhow::Result<Vec<f64>> {
    let mut found = Vec::new();
    for case in all(Size::Full) {
        let name = format!("race: {}", case.name);
        if !table.wants(&name) {
            continue;
        }
        let ours = case.on(cpu)?;
        let mut used = ShadowUse::default();
        for launch in ours.launches() {
            let of = sanitize(launch)?;
            used = ShadowUse { bytes: used.bytes + of.bytes, touched: used.touched + of.touched };
        }
        let checked = &mut || ours.launches().iter().try_for_each(|l| sanitize(l).map(drop));
        let p = paired(checked, &mut || ours.run())?;
        table.add(&slower(name, "ms", 1e3, (p.ours, p.rival), p.ratio))?;
        table.add(&shadow(format!("shadow: {}", case.name), used))?;
        found.push(1.0 / p.ratio.middle);
    }
    Ok(found)
}

/// Of every program's tests the one with most accesses: how many times slower each is.
fn tests_in_files(cpu: &Cpu, table: &mut Table) -> anyhow::Result<Vec<f64>> {
    let mut found = Vec::new();
    for p in phalanx_programs::PROGRAMS {
        let name = format!("race, its test: {}", p.name);
        if !table.wants(&name) {
            continue;
        }
        let Some(test) = FileTest::largest(cpu, p)? else { continue };
        let p = test.paired((cpu, &|l| sanitize(l).map(drop)), (cpu, &|l| Ok(l.run()?)))?;
        table.add(&slower(name, "us", 1e6, (p.ours, p.rival), p.ratio))?;
        found.push(1.0 / p.ratio.middle);
    }
    Ok(found)
}

/// The geometric mean of how many times slower.
fn mean(of: &str, slower: &[f64], table: &mut Table) -> anyhow::Result<()> {
    if slower.len() < 2 {
        return Ok(());
    }
    let ours = (slower.iter().map(|x| x.ln()).sum::<f64>() / slower.len() as f64).exp();
    let case = format!("race: mean {of}");
    table.add(&Row {
        case,
        unit: "times",
        ours,
        rival: None,
        ratio: None,
        limit: Some(SLOWER),
        verified: None,
    })
}
