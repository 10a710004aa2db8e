//! The resonance: what an addition costs in a launch, and how the designs of the accumulator bear threads.

use super::timing::{alone, paired};
use super::{Row, Table};
use phalanx::exec::resonance::accumulator::Fraction;
use phalanx::exec::resonance::{Design, Floats, FrontLoop};
use phalanx::{Cpu, Resonance, Tier};
use std::sync::Barrier;
use std::time::Instant;

/// Blocks and lanes of the measured launches.
const GRID: u32 = 1024;
const BLOCK: u32 = 256;
/// Additions of a call: those of a full chunk of lanes.
const CALL: usize = 128;
/// Calls of each thread in a sample.
const CALLS: usize = 2000;

/// A kernel of `ops` f64 operations a lane that ends with `last`.
fn kernel(ops: usize, last: &str) -> String {
    let mut text = format!(
        "kernel k() block {BLOCK} grid {GRID} {{
             let c, own: u32;  let i, b: i64;  let x, y: f64
             mov.i64        i, %global.linear
             cvt.rn.f64.i64 x, i
             cls.get        own
             mov.u32        c, %lane.linear
             rem.u32        c, c, 96
             and.i64        b, i, 1023
             add.i64        b, b, 1
             mov.f64        y, 0.99\n"
    );
    (0..ops).for_each(|_| text += "fma.f64 y, y, 0.75, x\n");
    text + last + "\nexit }"
}

/// Seconds of the launch that ends with `last` and of the one that ends at once, and the ratio of the second to the first.
fn against_nothing(cpu: &Cpu, ops: usize, last: &str) -> anyhow::Result<super::timing::Paired> {
    let resonance = Resonance::new();
    let load =
        |last| anyhow::Ok(cpu.load_named("bench", &kernel(ops, last))?.only_kernel()?.launch_declared());
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
        let times = against_nothing(cpu, ops, "res.accum.f64 own, y")?;
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
    for (case, last) in [
        ("f64, class per block", "res.accum.f64 own, y"),
        ("f64, class per lane", "res.accum.f64 c, y"),
        ("a/b, class per block, one b", "res.accum.i64 own, i, 3"),
        ("a/b, class per lane, one b", "res.accum.i64 c, i, 3"),
        ("a/b, class per lane, 1024 b", "res.accum.i64 c, i, b"),
    ] {
        let case = format!("addition: {case}");
        if !table.wants(&case) {
            continue;
        }
        let times = against_nothing(cpu, 32, last)?;
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
        .load_named("bench", &kernel(0, "res.accum.i64 own, i, 3\nres.accum.f64 own, x"))?
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
    let mut fastest = f64::INFINITY;
    let mut sample = || {
        let start = Barrier::new(threads + 1);
        let add = |thread: usize| {
            let mut fractions = [Fraction { class: 0, a: 1, b: 3 }; CALL];
            for call in 0..CALLS {
                let class = ((call + thread * 7) % classes) as u8;
                if rational {
                    fractions.iter_mut().for_each(|f| f.class = class);
                    accumulator.fractions(&fractions);
                } else {
                    accumulator.floats(Floats::One(class, &values), each);
                }
            }
        };
        let seconds = std::thread::scope(|s| {
            let workers: Vec<_> = (0..threads)
                .map(|t| {
                    let (start, add) = (&start, &add);
                    s.spawn(move || {
                        start.wait();
                        add(t);
                    })
                })
                .collect();
            start.wait();
            let from = Instant::now();
            workers.into_iter().for_each(|w| drop(w.join()));
            from.elapsed().as_secs_f64()
        });
        fastest = fastest.min(seconds / (threads * CALLS * CALL) as f64);
        Ok(())
    };
    // The machine may be busy with other things meanwhile: the best of several.
    let _ = alone(&mut sample)?;
    accumulator.take();
    Ok(fastest)
}
