//! Every row of the tables and every mnemonic on every executor.

use phalanx_exec::reference::Reference;
use phalanx_exec::{Executor, lanes::Lanes};
use phalanx_isa::all_mnemonics;
use phalanx_testkit::oracle::{self, Effort, How, Outcome};
use phalanx_testkit::row_cases::{LANES, row_case};
use phalanx_testkit::rows::ROWS;
use phalanx_testkit::{Rng, ops, values};
use std::collections::HashSet;

#[test]
fn rows_hold_in_every_lane_of_every_executor() {
    assert!(ROWS.len() > 150, "only {} rows", ROWS.len());
    let lanes: Vec<Lanes> = oracle::lanes();
    let mut all: Vec<(&dyn Executor, &str)> = vec![(&Reference, "reference")];
    all.extend(lanes.iter().map(|l| (l as &dyn Executor, l.tier().name())));
    let mut rng = Rng::new(1);
    for row in ROWS {
        // Another row of the same mnemonic that does not trap, if there is one, fills the other lanes.
        let fill = ROWS.iter().find(|r| r.0 == row.0 && r.1 != row.1 && !r.2.starts_with("trap"));
        let fill = fill.map_or(&[][..], |r| r.1);
        let places = (0..LANES).map(Some).chain([None, None]);
        for lane in places {
            let c = row_case(row, fill, lane, &mut rng);
            let program = oracle::validate(&c.case).unwrap_or_else(|r| panic!("{row:?}: {:#?}", r.errors));
            for (executor, name) in &all {
                let got = oracle::run(&c.case, &program, *executor, How::threads(1)).unwrap();
                match (&c.expected, got) {
                    (Ok(want), Outcome::Done(memory, _)) => {
                        let stored =
                            if c.ty == phalanx_isa::Type::Pred { phalanx_isa::Type::U8 } else { c.ty };
                        let results = values::from_bytes(stored, &memory[memory.len() - 1]);
                        for l in &c.lanes {
                            let same = results[*l] == *want
                                || values::is_nan(results[*l], c.ty) && values::is_nan(*want, c.ty);
                            assert!(same, "{row:?} in lane {l} on {name}: {:#x}", results[*l]);
                        }
                    }
                    (Err(trap), Outcome::Trapped(t)) => {
                        assert_eq!(t.kind.name(), *trap, "{row:?} on {name}");
                        let first = if fill.is_empty() { 0 } else { c.lanes[0] };
                        assert_eq!(t.lane as usize, first, "{row:?} on {name}");
                    }
                    (want, got) => panic!("{row:?} in {lane:?} on {name}: expected {want:?}, got {got:?}"),
                }
            }
        }
    }
}

#[test]
fn every_mnemonic_gives_the_same_bits_on_every_level() {
    let mut done: HashSet<String> = HashSet::new();
    let (mut trapped, mut ended, mut failures) = (0, 0, Vec::new());
    for (i, m) in all_mnemonics().into_iter().enumerate() {
        for variant in 0..4u64 {
            let seed = (i as u64) << 8 | variant;
            let case = ops::case(&m, seed);
            let program = oracle::validate(&case).unwrap_or_else(|r| {
                panic!("{m} {seed:#x}: {:#?}\n{}", r.errors, phalanx_asm::disassemble(&case.module).unwrap())
            });
            match oracle::check(&case, &program, Effort::Levels) {
                Ok(Outcome::Done(..)) => ended += 1,
                Ok(Outcome::Trapped(_)) => trapped += 1,
                Ok(Outcome::Refused(what)) => panic!("{m} {seed:#x}: refused: {what}"),
                Err(f) => failures.push(format!("{m} {seed:#x}: {f}")),
            }
            let uses =
                case.module.kernels[0].funcs.iter().flat_map(|f| &f.code).map(|i| i.mnemonic().to_string());
            done.extend(uses);
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    let missing: Vec<String> =
        all_mnemonics().iter().map(ToString::to_string).filter(|m| !done.contains(m)).collect();
    assert!(missing.is_empty(), "not covered: {missing:?}");
    // Both ends occur often, so that both are compared.
    assert!(trapped > 100 && ended > 1000, "{trapped} trapped, {ended} ended");
}
