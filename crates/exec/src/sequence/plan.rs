//! Where the intermediates of a sequence live: places in one arena, shared by those that are not needed at the same time.

use crate::buffer::ALIGN_BYTES;

/// An intermediate as the planner sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// First step that touches it.
    pub(crate) first: usize,
    /// Last step that touches it.
    pub(crate) last: usize,
    /// Size.
    pub(crate) bytes: u64,
}

impl Item {
    fn lives_with(&self, other: &Item) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the items, in bytes and aligned to [`ALIGN_BYTES`], and the arena's size. Items whose steps overlap get disjoint
/// places. `None` where the size does not fit 64 bits.
///
/// Greedy, largest item first, each into the smallest gap that holds it between the items already placed that live at the same
/// time. That is not always optimal, but for chains of layers it is the size of the largest neighbouring pair, which is.
pub(crate) fn plan(items: &[Item]) -> Option<(Vec<u64>, u64)> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(items[*i].bytes), items[*i].first, *i));
    let mut offsets = vec![0u64; items.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(items.len());
    let mut total = 0u64;
    for i in order {
        let size = items[i].bytes.checked_next_multiple_of(ALIGN_BYTES as u64)?;
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for p in placed.iter().filter(|p| items[**p].lives_with(&items[i])) {
            // Placed before, so rounding up did not overflow.
            let bytes = items[*p].bytes.checked_next_multiple_of(ALIGN_BYTES as u64)?;
            taken.push((offsets[*p], offsets[*p] + bytes));
        }
        taken.sort_unstable();
        let mut end = 0u64;
        let mut best: Option<(u64, u64)> = None;
        for (from, to) in taken {
            if from > end && from - end >= size && best.is_none_or(|(gap, _)| from - end < gap) {
                best = Some((from - end, end));
            }
            end = end.max(to);
        }
        offsets[i] = best.map_or(end, |(_, at)| at);
        total = total.max(offsets[i].checked_add(size)?);
        placed.push(i);
    }
    Some((offsets, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_its_largest_neighbouring_pair() {
        // Steps 0..4: each reads what the one before wrote.
        let chain = |sizes: &[u64]| -> Vec<Item> {
            sizes.iter().enumerate().map(|(i, bytes)| Item { first: i, last: i + 1, bytes: *bytes }).collect()
        };
        let (offsets, total) = plan(&chain(&[640, 640, 640, 640])).unwrap();
        assert_eq!(total, 1280);
        assert_eq!(offsets[0], offsets[2]);
        assert_eq!(offsets[1], offsets[3]);
        let (_, total) = plan(&chain(&[64, 6400, 128, 1])).unwrap();
        assert_eq!(total, 6400 + 128);
    }

    #[test]
    fn the_smallest_gap_that_fits_is_taken() {
        // Two long-lived items leave gaps of 256 and 128 between them once the short-lived ones are gone.
        let items = [
            Item { first: 0, last: 0, bytes: 1024 },
            Item { first: 0, last: 9, bytes: 960 },
            Item { first: 0, last: 0, bytes: 896 },
            Item { first: 0, last: 9, bytes: 832 },
            Item { first: 5, last: 6, bytes: 820 },
        ];
        let (offsets, total) = plan(&items).unwrap();
        assert_eq!(offsets[..4], [0, 1024, 1984, 2880]);
        assert_eq!(offsets[4], 1984, "the gap of 896 bytes, not the one of 1024");
        assert_eq!(total, 2880 + 832);
    }

    #[test]
    fn places_of_items_that_live_together_never_overlap() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for round in 0..300 {
            let count = 1 + next(24) as usize;
            let items: Vec<Item> = (0..count)
                .map(|_| {
                    let first = next(16) as usize;
                    Item { first, last: first + next(6) as usize, bytes: next(1000) }
                })
                .collect();
            let (offsets, total) = plan(&items).unwrap();
            for (i, a) in items.iter().enumerate() {
                assert!(offsets[i].is_multiple_of(ALIGN_BYTES as u64), "round {round}");
                assert!(offsets[i] + a.bytes <= total, "round {round}");
                for (j, b) in items.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    assert!(
                        apart || !a.lives_with(b),
                        "round {round}: {a:?} at {} and {b:?} at {}",
                        offsets[i],
                        offsets[j]
                    );
                }
            }
            let live = |step: usize| -> u64 {
                items.iter().filter(|i| i.first <= step && step <= i.last).map(|i| i.bytes).sum()
            };
            assert!((0..24).all(|s| live(s) <= total), "round {round}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let big = Item { first: 0, last: 0, bytes: u64::MAX - 100 };
        assert!(plan(&[big, big]).is_none());
        assert!(plan(&[Item { bytes: u64::MAX, ..big }]).is_none());
        assert_eq!(plan(&[]), Some((vec![], 0)));
    }
}
