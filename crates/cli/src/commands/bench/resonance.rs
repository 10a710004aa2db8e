//! The resonance: what an addition costs in a launch, and how the designs of the accumulator bear threads.

use super::timing::{Paired, alone, median, paired};
use super::{Row, Table};
use phalanx::exec::resonance::accumulator::Fraction;
use phalanx::exec::resonance::{Design, Floats, FrontLoop};
use phalanx::{Cpu, Resonance, Tier};
use std::sync::Barrier;
use std::time::Instant;

/// Blocks and lanes of the measured launches.
const GRID: u32 = 4096;
const BLOCK: u32 = 256;
/// Additions of a call: those of a full chunk of lanes.
const CALL: usize = 128;
/// Calls of each thread in a sample, of f64; a tenth of fractions.
const CALLS: usize = 20_000;

/// Classes that change from lane to lane.
const BY_LANE: &str = "mov.u32 c, %lane.linear\nrem.u32 c, c, 96\n";
/// Fractions of 1024 denominators: two lanes after each other add a fraction and take it away again, so that the sums fit.
const FRACTIONS: &str =
    "shr.i64 a, i, 1\nand.i64 b, a, 1023\nadd.i64 b, b, 1\nmov.u32 c, %lane.linear\nshr.u32 c, c, 1
    rem.u32 c, c, 96\nand.i64 s, i, 1\nshl.i64 s, s, 1\nsub.i64 s, 1, s\nmul.i64 a, a, s\n";

/// A kernel of `ops` f64 operations a lane, after `setup`, that ends with `last`.
fn kernel(ops: usize, setup: &str, last: &str) -> String {
    let mut text = format!(
        "kernel k() block {BLOCK} grid {GRID} {{
             let c, own: u32;  let i, a, b, s: i64;  let x, y: f64
             mov.i64        i, %global.linear
             cvt.rn.f64.i64 x, i
             cls.get        own
             {setup}
             mov.f64        y, 0.99\n"
    );
    (0..ops).for_each(|_| text += "fma.f64 y, y, 0.75, x\n");
    text + last + "\nexit }"
}

/// Seconds of the launch that ends with `last` and of the one that ends at once, and the ratio of the second to the first.
fn against_nothing(cpu: &Cpu, ops: usize, setup: &str, last: &str) -> anyhow::Result<Paired> {
    let resonance = Resonance::new();
    let load = |last| {
        anyhow::Ok(cpu.load_named("bench", &kernel(ops, setup, last))?.only_kernel()?.launch_declared())
    };
    let (with, without) = (load(last)?.resonance(&resonance).bind()?, load("")?.bind()?);
    paired(&mut || Ok(with.run()?), &mut || Ok(without.run()?))
}

pub fn run(cpu: &Cpu, tier: Tier, table: &mut Table) -> anyhow::Result<()> {
    let lanes = f64::from(GRID * BLOCK);
    for ops in [32, 64] {
        let case = format!("f64, class per block, {ops} ops");
        if !table.wants(&case) {
            continue;
        }
        let times = against_nothing(cpu, ops, "", "res.accum.f64 own, y")?;
        table.add(&Row {
            case,
            unit: "ns/lane",
            ours: times.ours * 1e9 / lanes,
            rival: Some(times.rival * 1e9 / lanes),
            ratio: Some(times.ratio),
            // At most 10 % more than without.
            limit: Some(times.rival * 1.1e9 / lanes),
            verified: Some(exact(cpu)?),
        })?;
    }
    for (case, setup, last) in [
        ("f64, class per block", "", "res.accum.f64 own, y"),
        ("f64, class per lane", BY_LANE, "res.accum.f64 c, y"),
        ("a/b, class per block, one b", "", "res.accum.i64 own, i, 3"),
        ("a/b, class per lane, one b", BY_LANE, "res.accum.i64 c, i, 3"),
        ("a/b, class per lane, 1024 b", FRACTIONS, "res.accum.i64 c, a, b"),
    ] {
        let case = format!("addition: {case}");
        if !table.wants(&case) {
            continue;
        }
        let times = against_nothing(cpu, 32, setup, last)?;
        table.add(&plain(case, (times.ours - times.rival) * 1e9 / lanes))?;
    }
    for threads in [1, 2, 4, 8, 16] {
        for classes in [1, 8, 96] {
            for design in Design::ALL {
                for rational in [false, true] {
                    let form = if rational { "a/b" } else { "f64" };
                    let case = format!("{} {form} {threads}t {classes} classes", design.name());
                    if !table.wants(&case) {
                        continue;
                    }
                    let seconds = contended(design, tier, threads, classes, rational)?;
                    table.add(&plain(case, seconds * 1e9))?;
                }
            }
        }
    }
    Ok(())
}

fn plain(case: String, ns: f64) -> Row {
    Row { case, unit: "ns", ours: ns, rival: None, ratio: None, limit: None, verified: None }
}

/// Whether the measured additions give the sum that is known: lane i adds i/3 to its block's class.
fn exact(cpu: &Cpu) -> anyhow::Result<bool> {
    let resonance = Resonance::new();
    let k = cpu
        .load_named("bench", &kernel(0, "", "res.accum.i64 own, i, 3\nres.accum.f64 own, x"))?
        .only_kernel()?;
    k.launch_declared().resonance(&resonance).run()?;
    let (grid, block) = (i64::from(GRID), i64::from(BLOCK));
    let sum = |b: i64| block * (b * block) + block * (block - 1) / 2;
    let of_class = |c: i64| (0..grid).filter(|b| b % 96 == c).map(sum).sum::<i64>();
    let all = resonance.snapshot();
    Ok(all.0.iter().zip(0..).all(|(e, c)| {
        let r = e.ratio;
        e.float == of_class(c) as f64
            && i128::from(r.numerator()) * 3 == i128::from(of_class(c)) * i128::from(r.denominator())
    }))
}

/// Seconds per addition where so many threads add to so many classes, a class per call of 128 lanes.
fn contended(
    design: Design,
    tier: Tier,
    threads: usize,
    classes: usize,
    rational: bool,
) -> anyhow::Result<f64> {
    let accumulator = design.make();
    let each = FrontLoop::at(tier);
    let values: Vec<f64> = (0..CALL).map(|i| 0.1 * i as f64 - 3.0).collect();
    let calls = if rational { CALLS / 10 } else { CALLS };
    let mut times = Vec::new();
    let mut sample = || {
        let start = Barrier::new(threads);
        let add = |thread: usize| {
            let mut fractions = [Fraction { class: 0, a: 1, b: 3 }; CALL];
            start.wait();
            let from = Instant::now();
            for call in 0..calls {
                let class = ((call + thread * 7) % classes) as u8;
                if rational {
                    fractions.iter_mut().for_each(|f| f.class = class);
                    accumulator.fractions(&fractions);
                } else {
                    accumulator.floats(Floats::One(class, &values), each);
                }
            }
            (from, Instant::now())
        };
        let spans: Vec<(Instant, Instant)> = std::thread::scope(|s| {
            let add = &add;
            let workers: Vec<_> = (0..threads).map(|t| s.spawn(move || add(t))).collect();
            workers.into_iter().filter_map(|w| w.join().ok()).collect()
        });
        // From the first that begins to the last that ends, whenever the system lets them run.
        let (first, last) = (spans.iter().map(|s| s.0).min(), spans.iter().map(|s| s.1).max());
        let seconds = first.zip(last).map_or(f64::NAN, |(f, l)| (l - f).as_secs_f64());
        times.push(seconds / (threads * calls * CALL) as f64);
        Ok(())
    };
    let _ = alone(&mut sample)?;
    accumulator.take();
    Ok(median(&mut times))
}
