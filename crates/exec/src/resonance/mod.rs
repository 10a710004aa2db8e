//! The resonance: sums for the 96 classes in two forms, fractions and f64, that all lanes of a launch add to.
//!
//! [`Resonance`] is held by the host and bound to launches. A launch sees the sums as they were before it, its lanes add to an
//! [`Accumulator`], and when it has ended well what was added becomes part of the sums, each f64 sum rounded once; a launch
//! that traps leaves them as they were. Sums are exact ([`exact`], [`ratio`]), so that neither threads nor order can be seen.

pub mod accumulator;
pub mod claims;
pub mod exact;
mod front;
pub mod ratio;
mod state;

pub use accumulator::{Accumulator, Design, Floats, Fraction, Sums};
pub use claims::{BoundaryWindow, LaunchClaims};
pub use front::FrontLoop;
pub use ratio::Ratio;
pub(crate) use state::Held;
pub use state::{Change, Entry, LaunchResonance, Resonance, Snapshot};
