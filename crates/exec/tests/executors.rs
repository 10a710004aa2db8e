//! Every executor on one suite of small programs, at the lowest and the best SIMD level of this machine.

mod common;

use phalanx_exec::Executor;
use phalanx_exec::lanes::Lanes;
use phalanx_simd::tier::Tier;

macro_rules! suite {
    ($name:ident, $executor:expr) => {
        mod $name {
            fn executor() -> Box<dyn super::Executor> {
                Box::new($executor)
            }
            include!("suite/programs.rs");
            include!("suite/more_programs.rs");
        }
    };
}

suite!(reference, phalanx_exec::reference::Reference);
suite!(lanes_scalar, super::Lanes::new(super::Tier::Scalar).unwrap());
suite!(lanes_best, super::Lanes::best());
