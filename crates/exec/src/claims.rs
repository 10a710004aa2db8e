//! Which block writes which part of a buffer by native operations.
//!
//! A native operation stores with plain vector stores, so no other thread may touch what it writes. Buffers that a kernel
//! touches in another way too are found when it is validated, and written through atomics; for the rest, a block claims its box
//! before it writes it, and a box that another block has claimed is not written. What a kernel can only write this way it cannot
//! read either, so the boxes that are claimed do not depend on who came first, and [`Claims::check`] reports the same pair in
//! every run.

use crate::native::Site;
use crate::trap::LaneTrap;
use parking_lot::Mutex;
use phalanx_isa::TrapKind;
use std::collections::HashMap;

/// Elements `first + row * stride + column` of a buffer for `row < rows`, `column < width`; neither is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Parameter.
    pub param: u16,
    /// Which buffer of an array.
    pub which: u64,
    /// First element.
    pub first: u64,
    /// Rows.
    pub rows: u64,
    /// Elements from one row to the next; at least `width` where there are several.
    pub stride: u64,
    /// Elements of a row.
    pub width: u64,
}

impl Area {
    fn end(&self) -> u64 {
        self.first + (self.rows - 1) * self.stride + self.width
    }

    /// Whether an element belongs to both.
    fn overlaps(&self, o: &Area) -> bool {
        if (self.param, self.which) != (o.param, o.which) || self.first >= o.end() || o.first >= self.end() {
            return false;
        }
        let row = |b: &Area, r: u64| (b.first + r * b.stride, b.first + r * b.stride + b.width);
        // Rows ascend in both: walk them like a merge.
        let (mut i, mut j) = (0, 0);
        while i < self.rows && j < o.rows {
            let (a, b) = (row(self, i), row(o, j));
            if a.0 < b.1 && b.0 < a.1 {
                return true;
            }
            if a.1 <= b.0 { i += 1 } else { j += 1 }
        }
        false
    }

    /// As a rectangle of a matrix with rows of some length: (length, column, row). A run without such a length is one row of an
    /// endless one. `None`: it reaches around the end of a row.
    fn rectangle(&self) -> Option<(u64, u64, u64)> {
        let fits = self.stride > 0 && self.first % self.stride + self.width <= self.stride;
        match fits {
            true => Some((self.stride, self.first % self.stride, self.first / self.stride)),
            false if self.rows == 1 => Some((u64::MAX, self.first, 0)),
            false => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    site: Site,
    area: Area,
}

/// Rectangles of a matrix in one column and of one width, by row: row, height, block. They do not overlap. Blocks come in about
/// ascending order, so that a new one stands near the end.
struct Column {
    place: (u64, u64),
    rows: Vec<(u64, u64, u64)>,
}

impl Column {
    /// How many begin before `row`.
    fn before(&self, row: u64) -> usize {
        self.rows.partition_point(|r| r.0 < row)
    }
}

/// Rectangles of matrices with equal rows, by column and width.
#[derive(Default)]
struct Matrix {
    columns: Vec<Column>,
    widest: u64,
    /// Those that are in no order: compared one by one.
    odd: Vec<Claim>,
}

enum Found {
    Nothing,
    /// The same block's, and where the new one stands among them.
    Own,
    Foreign,
}

impl Matrix {
    /// Whether a rectangle of another block is so.
    fn any(&self, length: u64, so: impl Fn(Area) -> bool, block: u64) -> bool {
        self.columns.iter().any(|Column { place: (column, width), rows }| {
            rows.iter().any(|(row, n, of)| {
                let first = if length == u64::MAX { *column } else { row * length + column };
                *of != block
                    && so(Area { param: 0, which: 0, first, rows: *n, stride: length, width: *width })
            })
        })
    }

    /// How many columns stand before this one.
    fn before(&self, place: (u64, u64)) -> usize {
        self.columns.partition_point(|c| c.place < place)
    }

    fn look(&self, claim: &Claim, column: u64, row: u64) -> Found {
        let Area { width, rows, .. } = claim.area;
        let mut found = Found::Nothing;
        let first = self.before((column.saturating_sub(self.widest), 0));
        let near = &self.columns[first..self.before((column.saturating_add(width), 0)).max(first)];
        for taken in near.iter().filter(|c| c.place.0 + c.place.1 > column) {
            let before_end = taken.rows[..taken.before(row + rows)].iter().rev();
            for (.., block) in before_end.take_while(|(r, n, _)| r + n > row) {
                if *block != claim.site.block {
                    return Found::Foreign;
                }
                found = Found::Own;
            }
        }
        found
    }

    /// Adds a rectangle that overlaps no other.
    fn add(&mut self, claim: &Claim, column: u64, row: u64) {
        let Area { width, rows, .. } = claim.area;
        self.widest = self.widest.max(width);
        let place = (column, width);
        let at = self.before(place);
        if self.columns.get(at).is_none_or(|c| c.place != place) {
            self.columns.insert(at, Column { place, rows: Vec::new() });
        }
        let column = &mut self.columns[at];
        column.rows.insert(column.before(row), (row, rows, claim.site.block));
    }

    /// Forgets everything but the memory of what was there. False: nothing was.
    fn clear(&mut self) -> bool {
        self.columns.retain(|c| !c.rows.is_empty());
        self.columns.iter_mut().for_each(|c| c.rows.clear());
        self.widest = 0;
        self.odd.clear();
        !self.columns.is_empty()
    }
}

#[derive(Default)]
struct Taken {
    all: Vec<Claim>,
    matrices: HashMap<(u16, u64, u64), Matrix>,
    /// Claims without a rectangle.
    odd: Vec<Claim>,
    conflict: bool,
}

/// The boxes that the blocks of a launch have claimed.
#[derive(Default)]
pub struct Claims(Mutex<Taken>);

impl Claims {
    /// Claims an area for the block at `site`. False: another block has claimed an element of it; then nobody may write it but
    /// through atomics, and [`Claims::check`] will report it.
    pub fn claim(&self, site: Site, area: Area) -> bool {
        let claim = Claim { site, area };
        let mut taken = self.0.lock();
        let taken = &mut *taken;
        taken.all.push(claim);
        let foreign = |c: &Claim| c.site.block != site.block && c.area.overlaps(&area);
        let rectangle = area.rectangle();
        let length = rectangle.map_or(0, |r| r.0);
        // What has rows of another length, or none, is compared one by one: it is rare.
        let of_others = |((param, which, l), m): (&(u16, u64, u64), &Matrix)| {
            (*param, *which) == (area.param, area.which)
                && (*l != length || rectangle.is_none())
                && (m.odd.iter().any(foreign)
                    || m.any(
                        *l,
                        |other| Area { param: area.param, which: area.which, ..other }.overlaps(&area),
                        site.block,
                    ))
        };
        let mut ok = !taken.odd.iter().any(foreign) && !taken.matrices.iter().any(of_others);
        match rectangle {
            None => taken.odd.push(claim),
            Some((length, column, row)) => {
                let matrix = taken.matrices.entry((area.param, area.which, length)).or_default();
                ok &= !matrix.odd.iter().any(foreign);
                let found = matrix.look(&claim, column, row);
                match found {
                    Found::Nothing => matrix.add(&claim, column, row),
                    Found::Own if matrix.odd.iter().any(|c| c.area == area) => {}
                    Found::Own => {
                        let of_place = matrix.columns.get(matrix.before((column, area.width)));
                        let of_place = of_place.filter(|c| c.place == (column, area.width));
                        let same = of_place.and_then(|c| c.rows.get(c.before(row)));
                        if same != Some(&(row, area.rows, site.block)) {
                            matrix.odd.push(claim);
                        }
                    }
                    Found::Foreign => ok = false,
                }
            }
        }
        taken.conflict |= !ok;
        ok
    }

    /// Of what a launch ended with and what its blocks claimed, the trap to report: that of the lowest block, and within one
    /// block an overlap, which came before the block's end.
    ///
    /// # Errors
    /// The trap.
    pub fn check(&self, result: Result<(), LaneTrap>) -> Result<(), LaneTrap> {
        let overlap = self.overlap();
        match (result, overlap) {
            (Err(trap), Some(overlap)) if trap.block < overlap.block => Err(trap),
            (result, None) => result,
            (_, Some(overlap)) => Err(overlap),
        }
    }

    /// Without claims, but with the memory that these took.
    fn cleared(self) -> Claims {
        let mut taken = self.0.into_inner();
        taken.all.clear();
        taken.odd.clear();
        taken.matrices.retain(|_, matrix| matrix.clear());
        taken.conflict = false;
        Claims(Mutex::new(taken))
    }

    /// The overlap at the lowest block that has one with a lower block.
    fn overlap(&self) -> Option<LaneTrap> {
        let mut taken = self.0.lock();
        if !taken.conflict {
            return None;
        }
        // Sweep by first element: only boxes that reach past the next one's start are compared. A block's own claims keep
        // their order: the first of them that overlaps is reported.
        let mut claims: Vec<(usize, Claim)> = taken.all.drain(..).enumerate().collect();
        claims.sort_by_key(|(_, c)| (c.area.param, c.area.which, c.area.first));
        let mut found: Option<((u64, usize, u64), Claim, Claim)> = None;
        for (i, (at_a, a)) in claims.iter().enumerate() {
            let key = (a.area.param, a.area.which);
            let near = claims[i + 1..].iter();
            let near =
                near.take_while(|(_, b)| (b.area.param, b.area.which) == key && b.area.first < a.area.end());
            for (at_b, b) in near {
                if a.site.block == b.site.block || !a.area.overlaps(&b.area) {
                    continue;
                }
                let (low, (at, high)) =
                    if a.site.block < b.site.block { (a, (at_b, b)) } else { (b, (at_a, a)) };
                let rank = (high.site.block, *at, low.site.block);
                if found.as_ref().is_none_or(|(best, ..)| rank < *best) {
                    found = Some((rank, *low, *high));
                }
            }
        }
        found.map(|(_, low, high)| {
            high.site.trap(TrapKind::Overlap, format!("block {} wrote there too", low.site.block))
        })
    }
}

/// What a launch's claims leave for the next launch with the same bindings: memory.
#[derive(Default)]
pub(crate) struct SpareClaims(Mutex<Option<Claims>>);

impl SpareClaims {
    /// Empty claims.
    pub(crate) fn take(&self) -> Claims {
        self.0.lock().take().unwrap_or_default()
    }
    /// Claims of a launch that has ended.
    pub(crate) fn put(&self, claims: Claims) {
        *self.0.lock() = Some(claims.cleared());
    }
}

impl Clone for SpareClaims {
    fn clone(&self) -> Self {
        SpareClaims::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(block: u64) -> Site {
        Site { func: 0, inst: 3, block }
    }
    fn area(first: u64, rows: u64, stride: u64, width: u64) -> Area {
        Area { param: 0, which: 0, first, rows, stride, width }
    }

    /// What `Claims` decides against a set of elements, for random boxes.
    #[test]
    fn claims_are_sets_of_elements() {
        let mut state = 7u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut seen = [0; 2];
        let spare = SpareClaims::default();
        for _ in 0..3000 {
            let claims = spare.take();
            let mut elements: HashMap<u64, u64> = HashMap::new();
            let lengths = [8 + below(4), 3 + below(9)];
            let mut lowest: Option<u64> = None;
            for _ in 0..1 + below(9) {
                let (width, rows) = (1 + below(5), 1 + below(3));
                let stride =
                    if below(4) == 0 { width + below(3) } else { lengths[below(2) as usize].max(width) };
                let a = area(below(40), rows, stride, width);
                let block = below(4);
                let mine = (0..rows).flat_map(|r| (0..width).map(move |c| a.first + r * stride + c));
                // One overlap is enough: what a refused claim does not write belongs to nobody, or to two.
                let others = mine.clone().filter_map(|e| elements.get(&e).filter(|b| **b != block));
                let clash = others.min().copied();
                assert_eq!(claims.claim(site(block), a), clash.is_none(), "{a:?}");
                seen[usize::from(clash.is_some())] += 1;
                match clash {
                    None => elements.extend(mine.map(|e| (e, block))),
                    Some(other) => {
                        lowest = Some(block.max(other));
                        break;
                    }
                }
            }
            assert_eq!(claims.check(Ok(())).err().map(|t| t.block), lowest);
            spare.put(claims);
        }
        assert!(seen.iter().all(|n| *n > 500), "{seen:?}");
    }

    #[test]
    fn the_report_does_not_depend_on_the_order() {
        let boxes =
            [(0, area(0, 1, 0, 8)), (1, area(8, 1, 0, 8)), (3, area(4, 1, 0, 2)), (2, area(14, 1, 0, 8))];
        for turn in 0..boxes.len() {
            let claims = Claims::default();
            for i in 0..boxes.len() {
                let (block, a) = boxes[(turn + i) % boxes.len()];
                claims.claim(site(block), a);
            }
            let trap = claims.check(Ok(())).unwrap_err();
            assert_eq!((trap.block, trap.kind), (2, TrapKind::Overlap));
            assert!(format!("{:?}", trap.detail).contains("block 1 wrote there too"));
        }
        let late = site(1).trap(TrapKind::Shape, String::new());
        let claims = Claims::default();
        claims.claim(site(0), boxes[0].1);
        claims.claim(site(3), boxes[2].1);
        assert_eq!(claims.check(Err(late)).unwrap_err().kind, TrapKind::Shape);
    }

    #[test]
    fn a_block_may_write_its_own_box_again() {
        let claims = Claims::default();
        for _ in 0..3 {
            assert!(claims.claim(site(5), area(10, 4, 100, 10)));
            assert!(claims.claim(site(5), area(15, 2, 100, 10)));
            assert!(claims.claim(site(5), area(95, 1, 7, 10)));
        }
        assert!(claims.claim(site(6), area(25, 4, 100, 10)));
        assert!(!claims.claim(site(6), area(24, 1, 100, 1)), "it is in the block's second box");
        assert!(claims.check(Ok(())).is_err());
    }
}
