//! Bodies of the native operations: what one block computes at once, on plain slices.
//!
//! This crate knows nothing of lanes, programs or launches. It has the packed form of ternary weights ([`PackedWeights`]) and
//! their product with rows of 8-bit activations ([`ternary_rows`]), once fast and once in the plainest way ([`mod@reference`]).
//!
//! Invariant: every product here is an exact integer sum, so all bodies of an operation give the same result whatever their
//! order; `k` is at most [`MAX_K`], so that the sums fit an i32.
#![forbid(unsafe_code)]

mod packed;
pub mod reference;
mod ternary;

pub use packed::{MAX_K, PackError, PackedFormat, PackedWeights, pack_t2};
pub use ternary::ternary_rows;
