//! The same products in the plainest way, to compare against.

use crate::PackedWeights;

/// As [`crate::ternary_rows`], one weight at a time.
///
/// # Panics
/// As [`crate::ternary_rows`].
pub fn ternary_rows(w: &PackedWeights, x: &[i8], n0: usize, sums: &mut [i32]) {
    assert_eq!(x.len(), w.k(), "one activation per column");
    for (row, sum) in (n0..).zip(sums) {
        *sum = x.iter().enumerate().map(|(col, v)| i32::from(w.get(row, col)) * i32::from(*v)).sum();
    }
}
