//! Random programs on every executor, SIMD level and thread count.

use phalanx_isa::{Kind, Op};
use phalanx_testkit::oracle::{self, Effort, Outcome};
use phalanx_testkit::program::{Config, random_program};
use proptest::prelude::*;
use std::collections::HashSet;

/// Runs a seed's program; whether it ended without a trap, and what it contains. Panics where executors differ.
fn differential(seed: u64, effort: Effort) -> (bool, HashSet<Op>) {
    let case = random_program(seed, &Config::of(seed));
    let text = || phalanx_asm::disassemble(&case.module).unwrap_or_else(|e| e.to_string());
    let program =
        oracle::validate(&case).unwrap_or_else(|r| panic!("seed {seed}: {:#?}\n{}", r.errors, text()));
    let analysis = program.analysis(0);
    assert!(analysis.order_free(), "seed {seed}: {:?}\n{}", analysis.order, text());
    let ended = match oracle::check(&case, &program, effort) {
        Ok(Outcome::Done(..)) => true,
        Ok(Outcome::Trapped(_)) => false,
        Ok(Outcome::Refused(what)) => panic!("seed {seed}: refused: {what}"),
        Err(f) => panic!("seed {seed}: {f}\n{:?} {:?}\n{}", case.grid, case.block, text()),
    };
    (ended, case.module.kernels[0].funcs.iter().flat_map(|f| &f.code).map(|i| i.op).collect())
}

#[test]
fn executors_agree_on_random_programs() {
    let (mut ended, mut seen) = (0, HashSet::new());
    const N: u64 = 300;
    for seed in 0..N {
        let (e, ops) = differential(seed, if seed % 10 == 0 { Effort::Full } else { Effort::One(seed / 3) });
        ended += u64::from(e);
        seen.extend(ops);
    }
    assert!((N / 2..N - N / 20).contains(&ended), "{ended} of {N} programs end without a trap");
    // All but what would make the order visible.
    let absent = [Op::Aload, Op::Astore, Op::Atom, Op::Cas];
    let native = |o: &Op| o.info().kind == Kind::Native;
    let missing: Vec<&Op> =
        Op::ALL.iter().filter(|o| !seen.contains(o) && !absent.contains(o) && !native(o)).collect();
    assert!(missing.is_empty(), "no program has {missing:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn executors_agree_on_any_seed(seed: u64) {
        differential(seed, Effort::One(seed));
    }
}
