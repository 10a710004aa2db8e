//! Memory for packed weights and scratch: zeroed, aligned to 64 bytes, in huge pages where it is large.
//!
//! A matrix that streams from memory through 4 KiB pages loses a third of the bandwidth to address translation; the kernel is
//! asked for 2 MiB pages (it may decline, which costs speed and nothing else).

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

/// Alignment and size unit of an arena.
pub(crate) const LINE: usize = 64;
/// A huge page; smaller arenas come from the ordinary allocator.
const HUGE: usize = 2 << 20;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

enum Memory {
    Lines(Vec<Line>),
    /// The map and where its first huge page begins.
    Map(MmapMut, usize),
}

/// Zeroed bytes, aligned to 64.
pub(crate) struct Arena {
    memory: Memory,
    len: usize,
}

impl Arena {
    /// `len` zeros; `None` where there is no such memory.
    pub(crate) fn new(len: usize) -> Option<Arena> {
        let memory = if len < HUGE || cfg!(miri) {
            let lines = len.div_ceil(LINE);
            let mut v = Vec::new();
            v.try_reserve_exact(lines).ok()?;
            v.resize(lines, Line([0; LINE]));
            Memory::Lines(v)
        } else {
            // One page more, so that a huge page can begin within the first.
            let map = MmapMut::map_anon(len.checked_add(HUGE)?).ok()?;
            let skip = map.as_ptr().align_offset(HUGE);
            let skip = if skip < HUGE { skip } else { 0 };
            // The last page only where most of it is used: a model has hundreds of matrices, and what they leave unused adds up.
            let used = (len + HUGE / 8) / HUGE * HUGE;
            // A kernel without huge pages gives ordinary ones: only slower.
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(memmap2::Advice::HugePage, skip, used);
            #[cfg(not(target_os = "linux"))]
            let _ = used;
            Memory::Map(map, skip)
        };
        Some(Arena { memory, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Lines(v) => &bytemuck::cast_slice(v)[..self.len],
            Memory::Map(map, skip) => &map[*skip..][..self.len],
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Lines(v) => &mut bytemuck::cast_slice_mut(v)[..self.len],
            Memory::Map(map, skip) => &mut map[*skip..][..self.len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_are_zero_aligned_and_of_their_length() {
        for len in [0, 1, 64, 100, HUGE - 1, HUGE, HUGE + 1, 3 * HUGE + 17] {
            let mut arena = Arena::new(len).expect("memory");
            assert_eq!((arena.len(), arena.bytes().len()), (len, len));
            assert!(arena.bytes().iter().all(|b| *b == 0));
            assert_eq!(arena.bytes().as_ptr().align_offset(LINE), 0);
            arena.bytes_mut().fill(1);
            assert!(arena.bytes().iter().all(|b| *b == 1));
        }
        assert!(Arena::new(usize::MAX).is_none() && Arena::new(usize::MAX / 2).is_none());
    }
}
