//! The oracle itself: an executor with a planted mistake must be found out.

use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::{Launch, Slot};
use phalanx_exec::reference::Reference;
use phalanx_exec::{Executor, LaneTrap, LaunchError, Prepared};
use phalanx_isa::{TrapKind, parse_mnemonic};
use phalanx_testkit::oracle::How;
use phalanx_testkit::{Case, ops, oracle};
use phalanx_verify::Verified;
use std::sync::Arc;

/// What the wrong executor does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// One bit of one element of a buffer that the kernel writes.
    Bit,
    /// Another lane's trap.
    Lane,
    /// No trap.
    Silent,
    /// A trap of another kind.
    Kind,
}

struct Wrong(Mistake);
struct WrongKernel(Arc<dyn Prepared>, Mistake);

impl Executor for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn prepare(&self, program: &Verified, kernel: usize) -> Result<Arc<dyn Prepared>, LaunchError> {
        Ok(Arc::new(WrongKernel(Lanes::best().prepare(program, kernel)?, self.0)))
    }
}

impl Prepared for WrongKernel {
    fn run(&self, launch: &Launch<'_>) -> Result<(), LaneTrap> {
        let result = self.0.run(launch);
        match (result, self.1) {
            (Ok(()), Mistake::Bit) => {
                // Buffers that are only read refuse it.
                let views =
                    launch.slots.iter().filter_map(|s| if let Slot::Views(v) = s { Some(v) } else { None });
                let flip = |v: &phalanx_exec::View<'_>| v.store(0, v.load(0)? ^ 1);
                assert!(views.flat_map(|v| v.iter()).any(|v| flip(v).is_some()), "nothing to write to");
                Ok(())
            }
            (Err(t), Mistake::Lane) => Err(LaneTrap { lane: t.lane + 1, ..t }),
            (Err(_), Mistake::Silent) => Ok(()),
            (Err(t), Mistake::Kind) => Err(LaneTrap { kind: TrapKind::Fuel, ..t }),
            (r, _) => r,
        }
    }
}

/// Seeds of a mnemonic whose cases end, and trap.
fn cases(mnemonic: &str) -> [Case; 2] {
    let m = parse_mnemonic(mnemonic).unwrap();
    let traps = |c: &Case| {
        let program = oracle::validate(c).unwrap();
        matches!(oracle::run(c, &program, &Reference, How::threads(1)), Ok(oracle::Outcome::Trapped(_)))
    };
    let find = |want: bool| (0..200).map(|s| ops::case(&m, s)).find(|c| traps(c) == want).unwrap();
    [find(false), find(true)]
}

#[test]
fn planted_mistakes_are_found() {
    let [ends, traps] = cases("div.i32");
    for (mistake, case, found) in [
        (Mistake::None, &ends, false),
        (Mistake::None, &traps, false),
        (Mistake::Bit, &ends, true),
        (Mistake::Lane, &traps, true),
        (Mistake::Silent, &traps, true),
        (Mistake::Kind, &traps, true),
    ] {
        let program = oracle::validate(case).unwrap();
        let wrong = Wrong(mistake);
        let result = oracle::compare(case, &program, &[(&wrong, "wrong")], &[How::threads(1)]);
        assert_eq!(result.is_err(), found, "{mistake:?}: {:?}", result.err());
    }
}
