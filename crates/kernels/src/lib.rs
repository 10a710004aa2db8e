//! Bodies of the native operations: what one block computes at once, on plain slices.
//!
//! This crate knows nothing of lanes, programs or launches. It has the packed forms of weights ([`PackedWeights`]), the
//! quantisation of activations ([`quantise()`]), their products ([`matmul`]) in a body for each SIMD level, and the same products
//! once more in the plainest way ([`mod@reference`]). [`Plan`] divides a product over threads.
//!
//! Invariant: integer sums are exact and every float sum has one written order, so all bodies of an operation and all divisions
//! give the same bits.

mod arena;
mod attend;
mod body;
pub mod conv;
mod finish;
mod format;
mod kernel;
pub mod limits;
mod packed;
mod panels;
mod plan;
mod product;
mod quantise;
pub mod reference;
mod rows;
mod simd;
mod source;
mod vector;

pub use attend::{Attention, attend};
pub use format::PackedFormat;
pub use packed::{MAX_K, PackError, PackedWeights, Scales, pack_t2};
pub use panels::{Panels, matmul_panels};
pub use phalanx_simd::Tier;
pub use plan::{Part, Plan, Split};
pub use product::{Activation, Input, Output, ProductError, Scratch, matmul, scratch_bytes};
pub use quantise::{Quantised, quantise};
pub use rows::{Rows, StrideError, Tile};
