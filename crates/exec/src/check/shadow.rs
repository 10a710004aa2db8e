//! Shadow memory of the first pass: one 8-byte cell an element, which says who has touched it, so that an element that two lanes
//! may have raced on is found while the launch runs.
//!
//! What a cell keeps only ever grows within the time for which it counts (*sticky*): a later access replaces nothing that a
//! still later one could conflict with. So the elements that are found do not depend on the order in which lanes and blocks
//! come. Where a cell has no room for the whole truth it errs towards "may race"; the second pass (`log.rs`) decides.
//!
//! | bits | what |
//! |---|---|
//! | 0-27 | global memory: the block that touched first; shared memory: the barrier interval, counted over all blocks of the worker |
//! | 28-37 | lane that touched last in this subgroup interval |
//! | 38-39 | 0: that lane alone, 1: several lanes of its subgroup, 2: several subgroups (in this barrier interval), 3: several blocks; then only the kinds of access below still mean something |
//! | 40-42 | subgroup interval, low bits |
//! | 43-47 | barrier interval of the block, low bits |
//! | 48-55 | per kind of access (plain and atomic, read and write): 0 never, 1 in an earlier barrier interval, 2 in this one, 3 since the last subgroup barrier too |
//! | 56-63 | buffers of 64-bit elements: the highest byte of the value from before the launch |
//!
//! Low bits of intervals that wrap around make two intervals look like one, which is an error towards "may race". Blocks that
//! look like one would hide races: larger grids than [`BLOCKS`] are refused.

use super::Class;
use crate::view::View;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Blocks that a cell can tell apart.
pub(crate) const BLOCKS: u64 = 1 << 28;
/// What of a cell is about accesses.
const CELL: u64 = (1 << 56) - 1;
/// The cell of an element that was found and is looked at no more.
const FOUND: u64 = CELL;
const OWNER: u64 = BLOCKS - 1;
const LANE: u32 = 28;
const LANES: u32 = 38;
const SEVERAL_BLOCKS: u64 = 3 << LANES;
const SUBGROUP_INTERVAL: u32 = 40;
const INTERVAL: u32 = 43;
const KINDS: u32 = 48;
/// Everything that says who, when the lane is alone.
const WHO: u64 = (1 << KINDS) - 1;

/// Who touches, for one operation of one group: a cell without the lane.
#[derive(Clone, Copy)]
pub(crate) struct Who(u64);

impl Who {
    pub(crate) fn global(block: u64, interval: u32, subgroup_interval: u32) -> Who {
        let intervals =
            u64::from(subgroup_interval & 7) << SUBGROUP_INTERVAL | u64::from(interval & 31) << INTERVAL;
        Who(block & OWNER | intervals)
    }
    pub(crate) fn shared(epoch: u32, subgroup_interval: u32) -> Who {
        Who(u64::from(epoch) & OWNER | u64::from(subgroup_interval & 7) << SUBGROUP_INTERVAL)
    }
    /// With a lane and a kind of access.
    #[inline(always)]
    fn cell(self, lane: u32, class: Class) -> u64 {
        self.0 | u64::from(lane) << LANE | 3 << (KINDS + 2 * class as u32)
    }
}

/// An operation of one group of lanes.
#[derive(Clone, Copy)]
pub(crate) struct Touch {
    pub(crate) who: Who,
    pub(crate) first_lane: u32,
    pub(crate) class: Class,
}

/// The kinds of access that conflict with one, as the low bits of their fields.
const fn enemies(class: Class) -> u64 {
    let (read, write, aread, awrite) = (1, 1 << 2, 1 << 4, 1 << 6);
    match class {
        Class::Read => write | awrite,
        Class::Write => read | write | aread | awrite,
        Class::AtomicRead => write,
        Class::AtomicWrite => read | write,
    }
}

/// The cell after one more access. [`FOUND`]: it may race.
#[inline(always)]
fn step<const SHARED: bool>(cell: u64, new: u64, class: Class) -> u64 {
    if cell == 0 {
        return new;
    }
    if (cell ^ new) & WHO == 0 {
        // The same lane again.
        return cell | new;
    }
    other_step::<SHARED>(cell, new, class)
}

fn other_step<const SHARED: bool>(cell: u64, new: u64, class: Class) -> u64 {
    if cell == FOUND {
        return FOUND;
    }
    let kinds = cell >> KINDS;
    let present = (kinds | kinds >> 1) & 0x55;
    let here = kinds >> 1 & 0x55;
    let enemies = enemies(class);
    if !SHARED {
        let known = 1 << (KINDS + 2 * class as u32);
        if cell & SEVERAL_BLOCKS == SEVERAL_BLOCKS {
            return if present & enemies != 0 { FOUND } else { cell | known };
        }
        if (cell ^ new) & OWNER != 0 {
            let all = SEVERAL_BLOCKS | present << KINDS | known;
            return if present & enemies != 0 { FOUND } else { all };
        }
        if (cell ^ new) >> INTERVAL & 31 != 0 {
            return new | present << KINDS;
        }
    } else if (cell ^ new) & OWNER != 0 {
        // Another barrier interval, or another block: ordered, and nothing of shared memory is compared across blocks.
        return new;
    }
    let lanes = cell >> LANES & 3;
    let add = new >> KINDS << KINDS;
    let same_subgroup = (cell ^ new) >> (LANE + 5) & 31 == 0;
    if lanes == 2 || !same_subgroup {
        return if here & enemies != 0 { FOUND } else { cell & !(3 << LANES) | 2 << LANES | add };
    }
    if (cell ^ new) >> SUBGROUP_INTERVAL & 7 != 0 {
        // Behind a subgroup barrier: other subgroups still see what was before it.
        return new | (kinds & !here) << KINDS;
    }
    if here & kinds & enemies != 0 { FOUND } else { cell | 1 << LANES | add }
}

/// One access by one lane to a cell that only one thread uses.
#[inline(always)]
pub(crate) fn touch_shared(cell: &mut u64, who: Who, lane: u32, class: Class) -> bool {
    let before = *cell;
    *cell = step::<true>(before, who.cell(lane, class), class);
    *cell == FOUND && before != FOUND
}

/// The same for a cell of memory that blocks share, under a lock.
pub(crate) fn touch_global(cell: &mut u64, who: Who, lane: u32, class: Class) -> bool {
    let before = *cell;
    *cell = step::<false>(before, who.cell(lane, class), class);
    *cell == FOUND && before != FOUND
}

/// Elements of a page.
const PAGE: usize = 256;

/// Bytes of a value from before the launch that stand in a page's own list; an eighth one has room in the cell.
const KEPT: usize = 7;

/// Cells and the values from before the launch, made when an element of the page is first touched.
#[derive(Default)]
struct Page {
    lock: AtomicBool,
    cells: OnceLock<Box<[AtomicU64]>>,
    saved: OnceLock<Box<[u8]>>,
}

/// The cells of a view that the launch writes.
pub(crate) struct Shadow {
    pages: Box<[Page]>,
    len: u64,
    size: usize,
    /// Whether the values from before are kept, for a second run of the launch.
    save: bool,
    /// One thread runs the launch: no lock is needed.
    alone: bool,
}

/// Holds the lock of a page.
struct Held<'a>(Option<&'a AtomicBool>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(lock) = self.0 {
            lock.store(false, Ordering::Release);
        }
    }
}

impl Page {
    fn lock(&self, alone: bool) -> Held<'_> {
        if alone {
            return Held(None);
        }
        let mut rounds = 0u32;
        while self.lock.swap(true, Ordering::Acquire) {
            rounds += 1;
            if rounds.is_multiple_of(128) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        Held(Some(&self.lock))
    }
}

impl Shadow {
    pub(crate) fn new(view: &View<'_>, save: bool, alone: bool) -> Shadow {
        let pages = view.len().div_ceil(PAGE as u64);
        let pages = (0..pages).map(|_| Page::default()).collect();
        Shadow { pages, len: view.len(), size: view.elem().bytes(), save, alone }
    }

    /// The cells of a page, made now where it is touched for the first time, before anything is stored there.
    #[inline(always)]
    fn cells<'a>(&self, page: &'a Page, number: u64, view: &View<'_>) -> &'a [AtomicU64] {
        match page.cells.get() {
            Some(cells) => cells,
            None => self.make(page, number, view),
        }
    }

    #[cold]
    fn make<'a>(&self, page: &'a Page, number: u64, view: &View<'_>) -> &'a [AtomicU64] {
        let first = number * PAGE as u64;
        let n = (self.len - first).min(PAGE as u64);
        let mut tops = Vec::new();
        if self.save {
            let bits = (first..first + n).map(|i| view.load(i).unwrap_or(0));
            // By size: this is done for all that a launch touches.
            let bytes = match self.size {
                1 => bits.map(|b| b as u8).collect(),
                2 => bits.map(|b| (b as u16).to_le_bytes()).collect::<Vec<_>>().into_flattened(),
                4 => bits.map(|b| (b as u32).to_le_bytes()).collect::<Vec<_>>().into_flattened(),
                _ => {
                    tops = bits.clone().map(|b| b & !CELL).collect();
                    bits.flat_map(|b| b.to_le_bytes().into_iter().take(KEPT)).collect()
                }
            };
            let _ = page.saved.set(bytes.into());
        }
        page.cells.get_or_init(|| {
            (0..n as usize).map(|i| AtomicU64::new(tops.get(i).copied().unwrap_or(0))).collect()
        })
    }

    /// One access by each lane of `lanes` to its place; places outside the view are passed over. Tells newly found elements.
    #[inline]
    pub(crate) fn touch(
        &self,
        view: &View<'_>,
        places: &[u64; 32],
        lanes: u32,
        by: Touch,
        mut found: impl FnMut(u64),
    ) {
        let mut left = lanes;
        while left != 0 {
            let i = left.trailing_zeros();
            let place = places[i as usize];
            if place >= self.len {
                left &= left - 1;
                continue;
            }
            let number = place / PAGE as u64;
            let page = &self.pages[number as usize];
            let _held = page.lock(self.alone);
            let cells = self.cells(page, number, view);
            // As long as the lanes stay in the page.
            let first = number * PAGE as u64;
            while left != 0 {
                let i = left.trailing_zeros();
                let place = places[i as usize];
                let Some(cell) = place.checked_sub(first).and_then(|at| cells.get(at as usize)) else {
                    break;
                };
                left &= left - 1;
                let whole = cell.load(Ordering::Relaxed);
                let before = whole & CELL;
                let after = step::<false>(before, by.who.cell(by.first_lane + i, by.class), by.class);
                if after != before {
                    cell.store(after | whole & !CELL, Ordering::Relaxed);
                    if after == FOUND {
                        found(place);
                    }
                }
            }
        }
    }

    /// What a box of `rows` times `width` elements that a native operation of `block` accessed may conflict with among the
    /// elements that were touched one by one.
    pub(crate) fn touch_box(
        &self,
        rows: impl Iterator<Item = (u64, u64)>,
        block: u64,
        class: Class,
    ) -> Vec<u64> {
        let mut found = Vec::new();
        let new = Who::global(block, 0, 0).cell(0, class);
        for (first, end) in rows {
            let end = end.min(self.len);
            let mut at = first;
            while at < end {
                let page = &self.pages[(at / PAGE as u64) as usize];
                let page_end = (at / PAGE as u64 + 1) * PAGE as u64;
                if let Some(cells) = page.cells.get() {
                    for i in at..end.min(page_end) {
                        let cell = cells[(i % PAGE as u64) as usize].load(Ordering::Relaxed) & CELL;
                        let other = cell & SEVERAL_BLOCKS == SEVERAL_BLOCKS || (cell ^ new) & OWNER != 0;
                        if cell != 0 && other && other_step::<false>(cell, new, class) == FOUND {
                            found.push(i);
                        }
                    }
                }
                at = page_end;
            }
        }
        found
    }

    /// Puts the values from before the launch back.
    pub(crate) fn restore(&self, view: &View<'_>) {
        for (number, page) in self.pages.iter().enumerate() {
            let (Some(saved), Some(cells)) = (page.saved.get(), page.cells.get()) else { continue };
            for (i, (bytes, cell)) in saved.chunks(self.size.min(KEPT)).zip(cells).enumerate() {
                let mut all = [0; 8];
                all[..bytes.len()].copy_from_slice(bytes);
                let value = u64::from_le_bytes(all) | cell.load(Ordering::Relaxed) & !CELL;
                // In range: the page was made of the view.
                let _ = view.store((number * PAGE + i) as u64, value);
            }
        }
    }

    /// Bytes of cells and kept values, and how many elements were touched.
    pub(crate) fn size(&self) -> (u64, u64) {
        let mut bytes = (self.pages.len() * size_of::<Page>()) as u64;
        let mut touched = 0;
        for page in &self.pages {
            let Some(cells) = page.cells.get() else { continue };
            bytes += (size_of_val(&cells[..]) + page.saved.get().map_or(0, |s| s.len())) as u64;
            touched += cells.iter().filter(|c| c.load(Ordering::Relaxed) & CELL != 0).count() as u64;
        }
        (bytes, touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS_OF_ACCESS: [Class; 4] = [Class::Read, Class::Write, Class::AtomicRead, Class::AtomicWrite];

    /// An access: block, barrier interval, subgroup interval, lane, kind.
    type Act = (u64, u32, u32, u32, Class);

    fn races(a: &Act, b: &Act) -> bool {
        let same_lane = (a.0, a.3) == (b.0, b.3);
        let ordered = a.0 == b.0 && (a.1 != b.1 || a.3 / 32 == b.3 / 32 && a.2 != b.2);
        !same_lane && !ordered && a.4.conflicts(b.4)
    }

    fn found(all: &[Act]) -> bool {
        let mut cell = 0;
        for (block, interval, subgroup, lane, class) in all {
            cell = step::<false>(cell, Who::global(*block, *interval, *subgroup).cell(*lane, *class), *class);
        }
        cell == FOUND
    }

    /// Small random histories: intervals ascend within a block, blocks interleave.
    fn history(mut seed: u64, n: usize) -> Vec<Act> {
        let mut random = move |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut at = [(0u32, [0u32; 2]); 2];
        let mut all = Vec::new();
        for _ in 0..n {
            let block = random(2) as usize;
            let sub = random(2) as usize;
            match random(6) {
                0 => at[block].0 += 1,
                1 => at[block].1[sub] += 1,
                _ => {}
            }
            let lane = sub as u32 * 32 + random(2) as u32;
            let class = KINDS_OF_ACCESS[random(4) as usize];
            all.push((block as u64, at[block].0, at[block].1[sub], lane, class));
        }
        all
    }

    #[test]
    fn no_race_is_missed_and_few_are_invented() {
        let (mut racy, mut invented, mut clean) = (0, 0, 0);
        for seed in 0..200_000 {
            let all = history(seed, 2 + (seed % 4) as usize);
            let truth = (0..all.len()).any(|i| all[..i].iter().any(|a| races(a, &all[i])));
            let got = found(&all);
            assert!(got || !truth, "missed: {all:?}");
            match (truth, got) {
                (true, _) => racy += 1,
                (false, true) => invented += 1,
                (false, false) => clean += 1,
            }
        }
        assert!(racy > 10_000 && clean > 10_000, "{racy} racy, {clean} clean");
        // What is invented costs a second pass, no more; it is rare.
        assert!(invented * 20 < clean, "{invented} of {clean}");
    }

    #[test]
    fn shared_cells_forget_at_barriers() {
        let mut cell = 0;
        assert!(!touch_shared(&mut cell, Who::shared(1, 0), 0, Class::Write));
        assert!(!touch_shared(&mut cell, Who::shared(2, 0), 1, Class::Read));
        assert!(!touch_shared(&mut cell, Who::shared(2, 0), 40, Class::Read));
        assert!(touch_shared(&mut cell, Who::shared(2, 0), 0, Class::Write));
        assert!(!touch_shared(&mut cell, Who::shared(2, 0), 1, Class::Write), "told once");
    }

    #[test]
    fn pages_keep_what_was_before() {
        let mut words = vec![7u64; 300];
        let view = View::of_words(&mut words, 600, phalanx_isa::Type::U32);
        let shadow = Shadow::new(&view, true, false);
        let mut all = Vec::new();
        let places: [u64; 32] = std::array::from_fn(|i| 250 + i as u64 * 3);
        for first_lane in [0, 32] {
            let by = Touch { who: Who::global(0, 0, 0), first_lane, class: Class::Write };
            shadow.touch(&view, &places, u32::MAX, by, |p| all.push(p));
            places.iter().for_each(|p| view.store(*p, 1).unwrap());
        }
        assert_eq!(all, places);
        shadow.restore(&view);
        assert!((0..600).all(|i| view.load(i) == Some(if i % 2 == 0 { 7 } else { 0 })));
        assert_eq!(shadow.size().1, 32);
    }

    #[test]
    fn a_64_bit_element_takes_16_bytes_at_most_and_comes_back_whole() {
        let before: Vec<u64> = (0..640).map(|i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let mut words = before.clone();
        let view = View::of_words(&mut words, 640, phalanx_isa::Type::U64);
        let shadow = Shadow::new(&view, true, true);
        // All of it, and a race on every element: what is found keeps its value too.
        let mut found = 0;
        for first in (0..640).step_by(32) {
            let places: [u64; 32] = std::array::from_fn(|i| first + i as u64);
            for block in 0..2 {
                let by = Touch { who: Who::global(block, 0, 0), first_lane: 0, class: Class::Write };
                shadow.touch(&view, &places, u32::MAX, by, |_| found += 1);
            }
            places.iter().for_each(|p| view.store(*p, 1).unwrap());
        }
        assert_eq!(found, 640);
        let (bytes, touched) = shadow.size();
        assert_eq!(touched, 640);
        assert!(bytes <= 16 * touched, "{bytes} bytes for {touched} elements");
        shadow.restore(&view);
        assert!((0..640).all(|i| view.load(i) == Some(before[i as usize])));
    }

    #[test]
    fn the_last_block_is_told_from_the_first() {
        let act = |block, class| (block, 0, 0, 0, class);
        let last = BLOCKS - 1;
        for (a, b) in [(0, last), (last, 0), (last - 1, last)] {
            assert!(found(&[act(a, Class::Write), act(b, Class::Read)]));
            assert!(!found(&[act(a, Class::Read), act(b, Class::Read)]));
        }
    }
}
