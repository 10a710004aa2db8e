//! The 96-class mathematics behind the resonance instructions: pure functions, no state, no dependencies.
//!
//! # Classes
//!
//! A *class* is a label `(e1, e2, e3, d45, e6, e7)` with every `e` in `{0, 1}` and `d45` in `{-1, 0, 1}`
//! (see [`Components`]). With `t = d45 + 1` and `q = 16*e1 + 8*e2 + 4*e3 + 2*e6 + e7` its number is
//!
//! ```text
//! c = 3q + t          q = c / 3          t = c % 3
//! ```
//!
//! That one formula is the definition; everything else here is arithmetic on `q` and `t`:
//!
//! | Question | Function | In terms of `q` and `t` |
//! |---|---|---|
//! | class of a byte | [`classify`] | bits 0, 1, 2, 3, 4 are `e1, e2, e3, e6, e7`; `t` is bits 5 and 6, mod 3 |
//! | mirror | [`mirror`] | flip `e7`: `q ^ 1` |
//! | neighbours | [`neighbours`] | flip one of `e1, e2, e3, e6`, or move `t` by one inside `0..=2` |
//! | unity | [`is_unity`] | `q` is 0 or 1 and `t` is 1: the classes 1 and 4 |
//!
//! # Phase and boundary
//!
//! A *phase* is a number in `0..768`; see [`advance`] and [`phase_window`]. The *boundary* numbers the cells
//! of 96 classes with 48 pages of 256 bytes; see [`phi_address`] and [`phi_parts`].
//!
//! # Out of range
//!
//! No function panics. A class, phase, page or address outside its range gives `None`, and the executor turns
//! that into a trap. There is no sentinel such as 255, because a sentinel can be stored and mistaken for data.
//!
//! # What is not here
//!
//! The resonance accumulator is state shared by the lanes of a launch, so it lives in the executor
//! (`phalanx-exec`), which indexes it by the class numbers defined here.

#![no_std]
#![forbid(unsafe_code)]

mod class;
mod phase;
mod phi;

pub use class::{
    Components, MAX_NEIGHBOURS, Neighbours, UNITY, class_of, class_of_block, classify, components,
    is_neighbour, is_unity, mirror, neighbour, neighbour_count, neighbours,
};
pub use phase::{Phase, PhaseWindow, advance, launch_phase, phase_window};
pub use phi::{PhiParts, byte_of_lane, page_of_lane, phi_address, phi_parts};

/// Number of classes. Class numbers are `0..CLASSES`.
pub const CLASSES: u8 = 96;
/// Number of phases: eight turns through the classes. Phase numbers are `0..PHASES`.
pub const PHASES: u16 = 768;
/// Pages of the boundary per class.
pub const PAGES: u8 = 48;
/// Bytes of one page of the boundary.
pub const PAGE_BYTES: u32 = 256;
/// Cells of the whole boundary: `CLASSES * PAGES * PAGE_BYTES`. Addresses are `0..PHI_SIZE`.
pub const PHI_SIZE: u32 = 1_179_648;

const _: () = assert!(PHASES == 8 * CLASSES as u16);
const _: () = assert!(PHI_SIZE == CLASSES as u32 * PAGES as u32 * PAGE_BYTES);
