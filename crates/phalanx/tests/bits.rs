//! The repository's programs, by the tests in their files, under every number of threads and many schedules: order-free ones
//! leave the same bits, the others what their tests expect.
//!
//! `PHALANX_SCHEDULES=1000` tries as many schedule seeds of each test (default 5). The last line, `bits: ...`, is a fingerprint
//! of what all order-free programs leave: `.ci/jobs/40-sequential.sh` compares it with that of a build without threads.

use phalanx::testing::{Case, parse, run_with};
use phalanx::{Cpu, Program, RunOptions, Tier};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../programs")
}

fn schedules() -> u64 {
    std::env::var("PHALANX_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// What differs between runs: a device and options of the launch.
struct Way {
    name: String,
    cpu: Cpu,
    seeded: bool,
}

fn ways() -> Vec<Way> {
    let mut all = Vec::new();
    let mut add = |name: &str, executor: &str, tier: Tier, threads: usize, seeded: bool| {
        let cpu = Cpu::builder().executor(executor).simd(tier).threads(threads).build().unwrap();
        let name = format!("{name}, {threads} threads{}", if seeded { ", seeded" } else { "" });
        all.push(Way { name, cpu, seeded });
    };
    add("reference", "reference", Tier::Scalar, 1, false);
    for threads in [1, 2, 3, 16] {
        add("lanes", "lanes", Tier::best(), threads, false);
    }
    add("lanes, scalar", "lanes", Tier::Scalar, 1, false);
    for threads in [1, 3] {
        add("lanes", "lanes", Tier::best(), threads, true);
    }
    add("lanes, scalar", "lanes", Tier::Scalar, 2, true);
    all
}

/// FNV-1a.
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    for b in bytes {
        hash = (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    }
    hash
}

fn kernel_is_order_free(program: &Program, case: &Case) -> bool {
    let kernels = &program.module().kernels;
    let name = case.kernel.as_deref();
    let at = name.map_or(Some(0), |n| kernels.iter().position(|k| k.name == n));
    at.is_some_and(|i| program.verified().analysis(i).order_free())
}

#[test]
fn order_free_programs_leave_the_same_bits_and_others_keep_their_invariant() {
    let (ways, seeds) = (ways(), schedules());
    let (mut wrong, mut hash, mut free, mut others) = (String::new(), 0xcbf2_9ce4_8422_2325, 0, 0);
    for p in phalanx_programs::PROGRAMS {
        let path = folder().join(p.name);
        let base = path.parent().unwrap();
        for case in parse(p.text).unwrap() {
            let mut expected: Option<Vec<Vec<u8>>> = None;
            let mut order_free = false;
            for way in &ways {
                let program = way.cpu.load(p.text).unwrap();
                order_free = kernel_is_order_free(&program, &case);
                if way.seeded && case.deterministic {
                    continue;
                }
                for seed in 0..if way.seeded { seeds } else { 1 } {
                    let options = |o: &mut RunOptions| o.schedule_seed = way.seeded.then_some(seed);
                    let who = || format!("{}.phx, test `{}` on {}, seed {seed}", p.name, case.name, way.name);
                    match run_with(&way.cpu, &program, &case, base, options) {
                        Err(e) => wrong += &format!("{}: {e}\n", who()),
                        Ok(bits) if order_free => {
                            if *expected.get_or_insert_with(|| bits.clone()) != bits {
                                wrong += &format!("{}: other bits than on the reference\n", who());
                            }
                        }
                        Ok(_) => {}
                    }
                }
            }
            if order_free {
                free += 1;
                expected.iter().flatten().for_each(|b| hash = mix(hash, b));
            } else {
                others += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(free >= 60 && others >= 2, "only {free} tests of order-free programs and {others} of others");
    println!("\n{free} order-free tests and {others} others, {seeds} schedules each");
    println!("bits: {hash:016x}");
}
