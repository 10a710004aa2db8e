//! Why a launch was refused or failed.

use crate::buffer::BufferError;
use crate::trap::Trap;
use phalanx_isa::{TrapKind, edit_distance};

/// Why a launch was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No such kernel.
    #[error("no kernel `{name}`{}; the module has: {}", meant(name, known), known.join(", "))]
    NoKernel {
        /// Asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A parameter without a value.
    #[error("kernel `{kernel}`: parameter `{param}` has no value (it is {expected})")]
    Missing {
        /// Kernel.
        kernel: String,
        /// Parameter.
        param: String,
        /// What it is.
        expected: String,
    },
    /// A value for a parameter that does not exist.
    #[error("kernel `{kernel}` has no parameter `{param}`{}; it has: {}", meant(param, known), known.join(", "))]
    Unknown {
        /// Kernel.
        kernel: String,
        /// Name given.
        param: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A value of another kind or type.
    #[error("kernel `{kernel}`: parameter `{param}` is {expected}, but was given {found}")]
    Kind {
        /// Kernel.
        kernel: String,
        /// Parameter.
        param: String,
        /// What it is.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A buffer that cannot be bound.
    #[error("kernel `{kernel}`: parameter `{param}`: {source}")]
    Buffer {
        /// Kernel.
        kernel: String,
        /// Parameter.
        param: String,
        /// Why.
        source: BufferError,
    },
    /// A buffer of another device.
    #[error("kernel `{kernel}`: parameter `{param}`: the buffer belongs to another device")]
    Foreign {
        /// Kernel.
        kernel: String,
        /// Parameter.
        param: String,
    },
    /// Overlapping views of one allocation, one of them written.
    #[error(
        "kernel `{kernel}`: `{a}` and `{b}` overlap and at least one is written: bind one `inout` parameter instead"
    )]
    Overlap {
        /// Kernel.
        kernel: String,
        /// One parameter.
        a: String,
        /// The other.
        b: String,
    },
    /// Views of one written allocation with different element sizes.
    #[error(
        "kernel `{kernel}`: `{a}` and `{b}` view one written allocation with different element sizes: use two allocations"
    )]
    ElementSize {
        /// Kernel.
        kernel: String,
        /// One parameter.
        a: String,
        /// The other.
        b: String,
    },
    /// Packed weights of another shape.
    #[error("kernel `{kernel}`: `{param}` is packed[{expected_n}, {expected_k}], but was given {n} x {k}")]
    PackedShape {
        /// Kernel.
        kernel: String,
        /// Parameter.
        param: String,
        /// Declared rows.
        expected_n: u64,
        /// Declared columns.
        expected_k: u64,
        /// Rows given.
        n: u64,
        /// Columns given.
        k: u64,
    },
    /// Grid, block or sizes that cannot be.
    #[error("kernel `{kernel}`: {what}")]
    Config {
        /// Kernel.
        kernel: String,
        /// What is wrong and what would do.
        what: String,
    },
    /// The executor cannot run here.
    #[error("{0}")]
    Unsupported(String),
    /// A lane failed.
    #[error(transparent)]
    Trap(#[from] Box<Trap>),
    /// A step of a launch sequence was refused or failed.
    #[error("step {step}: {source}")]
    Step {
        /// Number of the step, from 0.
        step: usize,
        /// Why.
        source: Box<LaunchError>,
    },
}

impl LaunchError {
    /// The trap, where a lane failed, alone or in a step of a sequence.
    pub fn trap(&self) -> Option<&Trap> {
        match self {
            LaunchError::Trap(t) => Some(t),
            LaunchError::Step { source, .. } => source.trap(),
            _ => None,
        }
    }
    /// Whether a cancel token or a deadline stopped it.
    pub fn is_cancelled(&self) -> bool {
        self.trap().is_some_and(|t| t.lane_trap.kind == TrapKind::Cancelled)
    }
}

/// "(did you mean `x`?)" for the closest known name, where one is close enough to be meant; else nothing.
fn meant(name: &str, known: &[String]) -> String {
    let limit = ((name.chars().count() + 1) / 3).max(1);
    let close = known.iter().map(|k| (edit_distance(name, k), k)).filter(|(d, _)| *d <= limit).min();
    close.map_or(String::new(), |(_, k)| format!(" (did you mean `{k}`?)"))
}
