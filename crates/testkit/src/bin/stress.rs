//! Random launches from many threads on one executor, under random schedules, each compared with the reference executor.
//!
//! `stress --seconds N [--seed S] [--threads T]`: T threads (default 4) launch until the time is over, for hours if asked. Half
//! of the launches are random programs with buffers of their own, on workers that all threads share; the others change
//! buffers that all threads share, in ways whose order cannot be seen, and at the end of each round of those the
//! reference executor makes the same launches alone and must leave the same bits. Every launch has a schedule seed, which
//! decides the order of blocks and chunks and who stands back at barriers and atomics. A failure names the seeds that make it
//! again: `stress --one SEED` runs that random program under its schedule once more.

use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::reference::Reference;
use phalanx_exec::workers::{Sequential, Workers};
use phalanx_exec::{ArgValue, Buffer, Executor, LaunchConfig, RunOptions};
use phalanx_isa::Type;
use phalanx_testkit::Rng;
use phalanx_testkit::oracle::{self, How, Order, THREADS};
use phalanx_testkit::program::{Config, random_program};
use phalanx_verify::{Verified, verify};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Changes `y` and counts in `bins`; `x` and `y` have equal elements each between launches, and the kernel counts where not.
const SHARED: &str =
    "kernel k(in x: u32[], inout y: u32[], inout bins: u32[], inout torn: u32[], by: u32) block 192 {
    let i, v, w, at: u32;  let odd, high: pred
    shared part: u32[4]
    mov.u32     i, %global.x
    ld.u32      v, x[i]
    ld.u32      w, x[0]
    set.ne.u32  odd, v, w
@odd red.add.relaxed.u32 torn[0], 1
    rem.u32     at, i, 4
    red.shared.add.relaxed.u32 part[at], by
    bar.sync
    ld.u32      v, y[i]
    add.u32     v, v, by
    st.u32      y[i], v
    set.ge.u32  high, %lane.x, 4
@high exit
    ld.shared.u32 v, part[%lane.x]
    red.add.relaxed.u32 bins[%lane.x], v
    exit
}";
const BLOCKS: u32 = 4;
const ELEMENTS: usize = 192 * BLOCKS as usize;
/// Buffers that all threads change.
const BUFFERS: usize = 3;
/// Launches on them between two comparisons.
const ROUND: usize = 200;

/// One launch on the shared buffers.
#[derive(Clone, Copy, Debug)]
struct Change {
    from: usize,
    to: usize,
    by: u32,
    seed: u64,
}

struct Shared {
    program: Verified,
    buffers: Vec<Buffer>,
    bins: Buffer,
    torn: Buffer,
}

impl Shared {
    fn new() -> Result<Shared, String> {
        let module = phalanx_asm::assemble("stress.phx", SHARED).map_err(|d| format!("{d:?}"))?.module;
        let program = verify(module).map_err(|r| r.to_string())?;
        let zeroed = |n: usize| Buffer::zeroed(0, 4 * n as u64).map_err(|e| e.to_string());
        let buffers = (0..BUFFERS).map(|_| zeroed(ELEMENTS)).collect::<Result<_, _>>()?;
        Ok(Shared { program, buffers, bins: zeroed(4)?, torn: zeroed(1)? })
    }
    fn launch(
        &self,
        c: Change,
        executor: &dyn Executor,
        workers: &dyn Workers,
        options: &RunOptions,
    ) -> Result<(), String> {
        let of = |b: &Buffer| ArgValue::Buffer(b.view(Type::U32));
        let (x, y) = (&self.buffers[c.from], &self.buffers[c.to]);
        let args =
            vec![of(x), of(y), of(&self.bins), of(&self.torn), ArgValue::Scalar(Type::U32, c.by.into())];
        let config = LaunchConfig::new([BLOCKS, 1, 1], [192, 1, 1]);
        let bound = Bound::new(0, &self.program, 0, args, Some(config)).map_err(|e| e.to_string())?;
        let prepared = executor.prepare(&self.program, 0).map_err(|e| e.to_string())?;
        bound.run(&*prepared, workers, options).map_err(|e| e.to_string())
    }
    fn contents(&self) -> Result<Vec<Vec<u8>>, String> {
        let read = |b: &Buffer| {
            let mut bytes = vec![0; b.bytes() as usize];
            b.read(0, &mut bytes).map_err(|e| e.to_string()).map(|()| bytes)
        };
        self.buffers.iter().chain([&self.bins, &self.torn]).map(read).collect()
    }
}

/// One round of launches from all threads on shared buffers, then the same from the reference executor.
fn shared_round(seed: u64, threads: usize, failed: &Mutex<Option<String>>) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut change = || {
        let from = rng.below(BUFFERS);
        let to = (from + 1 + rng.below(BUFFERS - 1)) % BUFFERS;
        Change { from, to, by: rng.below(1000) as u32, seed: rng.bits() }
    };
    let all: Vec<Change> = (0..ROUND).map(|_| change()).collect();
    let (here, alone) = (Shared::new()?, Shared::new()?);
    let levels = oracle::lanes();
    std::thread::scope(|s| {
        for mine in all.chunks(ROUND.div_ceil(threads)) {
            let (here, levels) = (&here, &levels);
            s.spawn(move || {
                for c in mine {
                    let lanes: &Lanes = &levels[c.seed as usize % levels.len()];
                    let workers = oracle::workers(THREADS[(c.seed >> 8) as usize % THREADS.len()]);
                    let options = RunOptions { schedule_seed: Some(c.seed), ..RunOptions::default() };
                    if let Err(e) = here.launch(*c, lanes, workers, &options) {
                        report(failed, format!("shared round {seed}: {c:?}: {e}"));
                    }
                }
            });
        }
    });
    for c in &all {
        alone.launch(*c, &Reference, &Sequential, &RunOptions::default())?;
    }
    match here.contents()? == alone.contents()? {
        true => Ok(()),
        false => Err(format!("shared round {seed}: other bits than the reference leaves")),
    }
}

fn report(failed: &Mutex<Option<String>>, what: String) {
    if let Ok(mut first) = failed.lock() {
        first.get_or_insert(what);
    }
}

/// A random program under the schedule of its seed, against the reference.
fn own(seed: u64) -> Result<(), String> {
    let config = Config { max_lanes: 700, ..Config::of(seed) };
    let case = random_program(seed, &config);
    let program = oracle::validate(&case).map_err(|r| r.to_string())?;
    let levels = oracle::lanes();
    let lanes = &levels[seed as usize % levels.len()];
    let threads = THREADS[(seed >> 8) as usize % THREADS.len()];
    let how = How { threads, order: Order::Seed(seed) };
    let result = oracle::compare(&case, &program, &[(lanes, lanes.tier().name())], &[how]);
    result.map(drop).map_err(|f| format!("program {seed} (run again: stress --one {seed}): {f}"))
}

struct Arguments {
    seconds: u64,
    seed: u64,
    threads: usize,
    one: Option<u64>,
}

fn arguments() -> Option<Arguments> {
    let mut a = Arguments { seconds: 0, seed: 1, threads: 4, one: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number: u64 = words.next()?.parse().ok()?;
        match word.as_str() {
            "--seconds" => a.seconds = number,
            "--seed" => a.seed = number,
            "--threads" => a.threads = usize::try_from(number).ok().filter(|n| (1..=256).contains(n))?,
            "--one" => a.one = Some(number),
            _ => return None,
        }
    }
    (a.seconds > 0 || a.one.is_some()).then_some(a)
}

fn main() -> std::process::ExitCode {
    let Some(a) = arguments() else {
        eprintln!("usage: stress --seconds N [--seed S] [--threads T] | --one SEED");
        return 2.into();
    };
    let failed: Mutex<Option<String>> = Mutex::new(None);
    let (programs, rounds, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    if let Some(seed) = a.one {
        own(seed).unwrap_or_else(|e| report(&failed, e));
        programs.fetch_add(1, Ordering::Relaxed);
    } else {
        let end = Instant::now() + Duration::from_secs(a.seconds);
        std::thread::scope(|s| {
            for thread in 0..a.threads as u64 {
                let (failed, programs, stop) = (&failed, &programs, &stop);
                s.spawn(move || {
                    let mut rng = Rng::new(a.seed ^ thread << 32);
                    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                        if let Err(e) = own(rng.bits()) {
                            report(failed, e);
                            stop.store(true, Ordering::Relaxed);
                        }
                        programs.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut rng = Rng::new(!a.seed);
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                if let Err(e) = shared_round(rng.bits(), a.threads, &failed) {
                    report(&failed, e);
                    stop.store(true, Ordering::Relaxed);
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (programs, rounds) = (programs.into_inner(), rounds.into_inner());
    println!(
        "{programs} random programs, {rounds} rounds of {ROUND} launches on shared buffers, seed {}",
        a.seed
    );
    match failed.into_inner() {
        Ok(None) => 0.into(),
        Ok(Some(what)) => {
            eprintln!("{what}");
            1.into()
        }
        Err(_) => {
            eprintln!("a thread panicked");
            1.into()
        }
    }
}
