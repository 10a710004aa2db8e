//! Assemble, validate and run data-parallel programs on a CPU, from a Rust program.
//!
//! ```
//! # fn main() -> Result<(), phalanx::Error> {
//! # let (rows, cols) = (3, 40);
//! # let input: Vec<f32> = (0..rows * cols).map(|i| i as f32 / 10.0).collect();
//! let cpu = phalanx::Cpu::new()?;
//! let softmax = cpu.load(include_str!("../examples/embed/src/softmax.phx"))?.kernel("softmax")?;
//! let x = cpu.buffer(&input)?;
//! let mut y = cpu.zeros::<f32>(rows * cols)?;
//! softmax.launch(rows, 256).arg("x", &x).arg("y", &mut y).arg("cols", cols as u32).run()?;
//! println!("{:?}", &y.read()?[..4]);
//! # assert!((y.read()?[..cols].iter().sum::<f32>() - 1.0).abs() < 1e-6);
//! # Ok(()) }
//! ```
//!
//! - [`Cpu`] is the device: it loads programs ([`Program`], [`Kernel`]), makes [`Buffer`]s and runs launches.
//! - [`Kernel::launch`] takes arguments by name; [`Launcher::bind`] keeps a launch for many runs.
//! - [`Cpu::sequence`] records several launches with intermediates between them, for engines.
//! - [`ops`] is the program library as functions: `ops::softmax(&cpu, &x, cols)?`, `ops::gemm`, `ops::sum` and the rest.
//! - [`product`] and [`convolution`] are products and convolutions with packed weights.
//! - [`testing`] runs the tests inside program files, [`data`] makes and reads the data that they use.
//! - The parts below are there under [`asm`], [`isa`], [`verify`], [`exec`] and [`kernels`].
//!
//! Handles are `Send + Sync` and cheap to clone. Nothing is printed and nothing is global. The same program gives the same bits
//! with every executor, SIMD level and number of threads, if it is order-free (see [`verify::KernelAnalysis::order_free`]).
//!
//! Invariant: this crate adds no rules of its own. What is valid is decided by the assembler, the validator and the executor's
//! checks of bindings; here are only names, types and conveniences.
#![forbid(unsafe_code)]

mod args;
mod buffer;
mod cache;
pub mod convolution;
mod cpu;
pub mod data;
mod divisions;
mod element;
mod error;
mod launch;
pub mod ops;
pub mod product;
mod program;
mod resonance;
mod sanitize;
mod sequence;
pub mod testing;

pub use args::{Extent, IntoArg, IntoDims};
pub use buffer::Buffer;
pub use cpu::{Builder, CACHE_CAPACITY, Cpu, EXECUTORS};
pub use element::{Bf16, Element, F16};
pub use error::{BAD_BINARY, BuildError, Error, LoadError};
pub use launch::{BoundLaunch, Launcher};
pub use program::{Kernel, Program};
pub use resonance::{Boundary, SnapshotError, snapshot_from_json, snapshot_to_json};
pub use sanitize::{CHECKERS, Checked, FindingName};
pub use sequence::{Sequence, SequenceBuilder};

pub use phalanx_asm as asm;
pub use phalanx_atlas as atlas;
pub use phalanx_exec as exec;
pub use phalanx_isa as isa;
pub use phalanx_kernels as kernels;
pub use phalanx_verify as verify;

pub use phalanx_exec::buffer::BufferError;
pub use phalanx_exec::check::{Checks, Finding, FindingKind, Occurrence, RaceKind, Racy, Report};
pub use phalanx_exec::launch::LaunchShape;
pub use phalanx_exec::resonance::{BoundaryWindow, Change, Entry, LaunchClaims, Ratio, Resonance, Snapshot};
pub use phalanx_exec::sequence::StepId;
pub use phalanx_exec::{
    ArgValue, CancelToken, Executor, LaunchConfig, LaunchError, LaunchReport, RunOptions, Trap,
};
pub use phalanx_exec::{Buffer as RawBuffer, BufferView as RawView};
pub use phalanx_isa::{Diagnostic, Type};
pub use phalanx_kernels::PackedWeights;
pub use phalanx_simd::Tier;
