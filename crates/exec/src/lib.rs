//! Runs validated Phalanx kernels on a CPU: memory, bindings, launches, scheduling and two executors.
//!
//! State is split as follows. A **lane owns** its registers, predicates, private arrays, call frames, phase and fuel; they are
//! plain memory of the thread that runs it. **Shared** are the bound buffers (locked once per launch and allocation, see
//! [`launch`]), a block's shared arrays, the launch's pool ([`pool`]) and the [`resonance`].
//!
//! The [`mod@reference`] executor runs one lane at a time from the meaning of the operations in the tables; the [`lanes`]
//! executor runs a block in lockstep with SIMD. Both leave the same bits for order-free programs.
//!
//! Invariant: an executor takes only [`phalanx_verify::Verified`] modules and a [`launch::Launch`] whose bindings were checked;
//! it reports what goes wrong at run time as a [`Trap`] and never panics.

pub mod buffer;
pub mod check;
mod checks;
pub mod claims;
pub mod collective;
mod error;
mod guards;
pub mod lanes;
pub mod launch;
pub mod native;
pub mod pool;
mod primitive;
pub mod reference;
mod report;
pub mod resonance;
pub mod schedule;
pub mod sequence;
mod trap;
mod view;
pub mod workers;

pub use buffer::{Buffer, BufferView};
pub use launch::{ArgValue, CancelToken, Executor, LaunchConfig, LaunchError, Prepared, RunOptions};
pub use phalanx_kernels as kernels;
pub use report::LaunchReport;
pub use resonance::{LaunchClaims, Resonance};
pub use trap::{LaneTrap, Trap, TrapDetail};
pub use view::View;
