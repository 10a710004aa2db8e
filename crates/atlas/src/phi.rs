//! Addresses of the boundary (Phi): 96 classes of 48 pages of 256 bytes.

use crate::{CLASSES, PAGE_BYTES, PAGES, PHI_SIZE};

/// Cells of one class: `PAGES * PAGE_BYTES`, 12288.
const CLASS_BYTES: u32 = PAGES as u32 * PAGE_BYTES;

/// What a boundary address is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhiParts {
    /// Class, in `0..96`.
    pub class: u8,
    /// Page within the class, in `0..48`.
    pub page: u8,
    /// Byte within the page.
    pub byte: u8,
}

/// The boundary address `12288*class + 256*page + byte`, or `None` if `class >= 96` or `page >= 48`.
///
/// A bijection from the valid triples onto `0..PHI_SIZE`; [`phi_parts`] is its inverse.
#[inline]
#[must_use]
pub const fn phi_address(class: u8, page: u8, byte: u8) -> Option<u32> {
    if class >= CLASSES || page >= PAGES {
        return None;
    }
    Some(CLASS_BYTES * class as u32 + PAGE_BYTES * page as u32 + byte as u32)
}

/// The class, page and byte of a boundary address, or `None` if `address >= PHI_SIZE`.
#[inline]
#[must_use]
pub const fn phi_parts(address: u32) -> Option<PhiParts> {
    if address >= PHI_SIZE {
        return None;
    }
    // Each quotient and remainder is below 96, 48 and 256, so the casts keep every bit.
    Some(PhiParts {
        class: (address / CLASS_BYTES) as u8,
        page: (address % CLASS_BYTES / PAGE_BYTES) as u8,
        byte: (address % PAGE_BYTES) as u8,
    })
}

/// The page that the upstream convention gives a lane: `lane.x mod 48`.
///
/// A convention a host may choose. No instruction applies it by itself.
#[inline]
#[must_use]
pub const fn page_of_lane(lane_x: u32) -> u8 {
    (lane_x % PAGES as u32) as u8
}

/// The byte that the upstream convention gives a lane: `lane.y mod 256`.
///
/// A convention a host may choose. No instruction applies it by itself.
#[inline]
#[must_use]
pub const fn byte_of_lane(lane_y: u32) -> u8 {
    (lane_y % PAGE_BYTES) as u8
}
