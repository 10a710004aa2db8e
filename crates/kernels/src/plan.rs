//! How a product is divided over threads. A function of the shape and the number of threads; no division changes a bit.

use crate::PackedFormat;
use crate::format::STRIPE;

/// Rows of activations up to which the kernels work on packed weights as they lie. Beyond, a stripe is unpacked once for all
/// of them, so that dividing the activations costs one more unpacking for each part.
pub(crate) const FEW: usize = 12;
/// Activation rows that make an unpacking cheap enough to repeat.
const BAND: usize = 192;
/// Tiles for each thread where there are many, so that a thread that is held up does not hold up the rest.
const TILES: usize = 6;

/// Along what a product is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Not at all.
    None,
    /// Weight rows: columns of the output.
    Weights,
    /// Rows of activations: rows of the output.
    Activations,
    /// Both.
    Both,
}

/// A division of an output into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of activations.
    pub m: usize,
    /// Weight rows.
    pub n: usize,
    /// Rows of activations of a tile, at least 1.
    pub tile_m: usize,
    /// Weight rows of a tile, a multiple of 64 unless it is all of them.
    pub tile_n: usize,
}

/// One tile of a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First row of activations.
    pub row: usize,
    /// Rows of activations.
    pub rows: usize,
    /// First weight row.
    pub first: usize,
    /// Weight rows.
    pub count: usize,
}

impl Plan {
    /// The division that measurements favour for this shape.
    pub fn choose(format: PackedFormat, m: usize, n: usize, threads: usize) -> Plan {
        let stripes = n.div_ceil(STRIPE);
        let split = if threads <= 1 || m * n == 0 {
            Split::None
        } else if m <= FEW || stripes >= threads * TILES {
            // Every thread reads its own weights once, in one run: what a matrix that streams from memory needs.
            if stripes >= threads || m == 1 { Split::Weights } else { Split::Activations }
        } else if format.is_float() || m >= BAND {
            Split::Both
        } else {
            Split::Weights
        };
        Plan::with(split, m, n, threads)
    }

    /// A division along given directions.
    pub fn with(split: Split, m: usize, n: usize, threads: usize) -> Plan {
        let threads = threads.max(1);
        let stripes = n.div_ceil(STRIPE).max(1);
        // Few activations: one run of weights for each thread. Many: tiles to hand out.
        let each = |parts: usize| stripes.div_ceil(parts);
        let (tile_m, stripes_of_tile) = match split {
            Split::None => (m, stripes),
            Split::Weights if m <= FEW => (m, each(threads)),
            Split::Weights => (m, hand_out(stripes, threads)),
            Split::Activations => (m.div_ceil(threads), stripes),
            Split::Both => {
                let bands = (m / BAND).clamp(1, threads);
                (m.div_ceil(bands), hand_out(stripes, threads.div_ceil(bands)))
            }
        };
        let tile_n = if stripes_of_tile >= stripes { n } else { stripes_of_tile * STRIPE };
        Plan { m, n, tile_m: tile_m.max(1), tile_n: tile_n.max(1) }
    }

    /// Along what the tiles divide the output.
    pub fn split(&self) -> Split {
        match (self.tile_m < self.m, self.tile_n < self.n) {
            (false, false) => Split::None,
            (false, true) => Split::Weights,
            (true, false) => Split::Activations,
            (true, true) => Split::Both,
        }
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.m.div_ceil(self.tile_m) * self.n.div_ceil(self.tile_n)
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tile `i` of [`Plan::len`], weight rows ascending first: consecutive tiles share activations.
    ///
    /// # Panics
    /// Where there is no such tile.
    pub fn part(&self, i: usize) -> Part {
        assert!(i < self.len(), "tile {i} of {}", self.len());
        let across = self.n.div_ceil(self.tile_n);
        let (row, first) = (i / across * self.tile_m, i % across * self.tile_n);
        Part { row, rows: self.tile_m.min(self.m - row), first, count: self.tile_n.min(self.n - first) }
    }
}

/// Stripes of a tile such that the thread with the most tiles has little more than its share: a tile costs a twentieth of a stripe by
/// itself, for the sums over its activations. Where there are many stripes, at least [`TILES`] tiles for each thread.
fn hand_out(stripes: usize, threads: usize) -> usize {
    let few = stripes < 2 * threads * TILES;
    let most = if few { stripes.div_ceil(threads) } else { stripes / (threads * TILES) };
    let time = |tile: usize| stripes.div_ceil(tile).div_ceil(threads) * (20 * tile + 1);
    // Of equal ones the smallest, which leaves the most to hand out.
    (1..=most.max(1)).min_by_key(|tile| time(*tile)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_output_once() {
        for m in [0, 1, 2, 12, 13, 200, 600] {
            for n in [0, 1, 63, 64, 65, 640, 2561] {
                for threads in [0, 1, 2, 3, 8] {
                    let all = [Split::None, Split::Weights, Split::Activations, Split::Both];
                    let plans = all.map(|split| Plan::with(split, m, n, threads));
                    for plan in plans.into_iter().chain([Plan::choose(PackedFormat::T2, m, n, threads)]) {
                        let mut seen = vec![0u8; m * n];
                        for part in (0..plan.len()).map(|i| plan.part(i)) {
                            assert!(part.first.is_multiple_of(STRIPE) && part.rows * part.count > 0);
                            for row in part.row..part.row + part.rows {
                                for col in part.first..part.first + part.count {
                                    seen[row * n + col] += 1;
                                }
                            }
                        }
                        assert!(seen.iter().all(|s| *s == 1), "{plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn threads_get_equal_shares_of_stripes() {
        for threads in [2, 3, 16] {
            for stripes in 1..200usize {
                let tile = hand_out(stripes, threads);
                let most = stripes.div_ceil(tile).div_ceil(threads) * tile;
                let fair = stripes.div_ceil(threads);
                assert!(most <= fair + fair.div_ceil(8), "{stripes} stripes, {threads} threads: {tile}");
            }
        }
        assert_eq!(hand_out(10, 2), 5);
    }

    #[test]
    fn a_vector_goes_to_threads_in_runs_of_weights() {
        let plan = Plan::choose(PackedFormat::T2, 1, 2560, 2);
        assert_eq!((plan.split(), plan.len(), plan.tile_n), (Split::Weights, 2, 1280));
        assert_eq!(Plan::choose(PackedFormat::T2, 512, 2560, 1).split(), Split::None);
        assert!(Plan::choose(PackedFormat::T2, 512, 2560, 2).len() >= 8);
        assert_eq!(Plan::choose(PackedFormat::T2, 8, 64, 2).split(), Split::Activations);
    }
}
