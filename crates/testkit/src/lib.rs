//! What the tests of Phalanx are made with.
//!
//! [`ops`] makes a kernel for every mnemonic of the tables, [`program`] makes random programs that are valid, race-free and
//! order-free by construction, [`rows`] holds the test rows of the tables and [`row_cases`] makes kernels of them. All give a
//! [`Case`]: a module with its bindings and launch. [`oracle`] runs a case on the reference and on the lane executor at every
//! SIMD level and thread count, and says where they differ. [`mutate`] damages modules and texts, [`fuzz`] sends what comes out
//! through the whole chain, and [`fuzz_model`] does so with model files. [`brute`] compares all accesses of a run, for the race checkers to be
//! measured against.
//!
//! Generators know nothing of results, and the oracle nothing of how a case was made.
#![forbid(unsafe_code)]

pub mod brute;
pub mod case;
pub mod emit;
pub mod fuzz;
pub mod fuzz_model;
pub mod mutate;
pub mod ops;
pub mod oracle;
pub mod program;
pub mod racy;
pub mod rng;
pub mod row_cases;
pub mod rows;
pub mod values;

pub use case::{ArgSpec, Case};
pub use rng::Rng;
