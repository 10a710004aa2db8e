//! Natural numbers of fixed length that many threads add to.

use crate::primitive::{AtomicU64, Ordering};

/// 64-bit words for 2098 bits of range and 64 of growth.
const WORDS: usize = 34;

/// A natural number that only grows: an addition is one atomic addition per word that it touches, and a word that overflows passes
/// one on to the next. Every overflow is seen by exactly one thread, the one whose addition caused it, so that when all additions
/// have returned the words hold their sum, whatever the order.
pub struct Growing([AtomicU64; WORDS]);

impl Default for Growing {
    fn default() -> Growing {
        Growing(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Growing {
    /// Adds a number of two words; the upper one is not the largest possible.
    pub fn add(&self, at: usize, low: u64, high: u64) {
        // Relaxed: only the total counts, and who reads it has been told by other means that all have added.
        let add = |at: usize, n: u64| self.0[at].fetch_add(n, Ordering::Relaxed).checked_add(n).is_none();
        let mut carry = low != 0 && add(at, low);
        let mut at = at + 1;
        let high = high + u64::from(carry);
        carry = high != 0 && add(at, high);
        while carry {
            at += 1;
            carry = add(at, 1);
        }
    }

    /// The words, lowest first, and back to zero. For when nobody adds.
    pub fn take(&self) -> [u64; WORDS] {
        std::array::from_fn(|i| self.0[i].swap(0, Ordering::Relaxed))
    }
}
