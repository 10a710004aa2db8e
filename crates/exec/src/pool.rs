//! The pool of a launch: memory that lanes allocate and free while they run.

use dashmap::DashMap;
use phalanx_isa::{TrapKind, Type};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bits of a handle that count a lane's allocations.
const SEQUENCE_BITS: u32 = 20;

struct PoolBlock {
    elem: Type,
    // One word per element: simple, and every access is a plain atomic of one size.
    words: Box<[AtomicU64]>,
}

/// Allocations by handle. A handle is the lane's linear index in the grid and the number of the lane's allocation, so it does
/// not depend on the schedule, and no number is used twice: a freed handle stays unknown for good.
///
/// The limit is shared out evenly: each lane may hold as many bytes as the launch's limit divided by its lanes, so that whether
/// an allocation fails does not depend on the schedule either.
pub struct LaunchPool {
    /// Made by the first allocation: most launches have none, and short ones would spend a tenth of their time here.
    maps: OnceLock<Maps>,
    lane_limit_bytes: u64,
}

#[derive(Default)]
struct Maps {
    blocks: DashMap<u64, Arc<PoolBlock>>,
    /// Live bytes by lane.
    used_bytes: DashMap<u64, u64>,
}

impl LaunchPool {
    /// An empty pool of at most `limit_bytes` for a launch of `lanes` lanes.
    pub fn new(limit_bytes: u64, lanes: u64) -> LaunchPool {
        let lane_limit_bytes = limit_bytes / lanes.max(1);
        LaunchPool { maps: OnceLock::new(), lane_limit_bytes }
    }

    /// Allocates `n` zeroed elements for a lane whose `sequence`-th allocation this is; the handle.
    ///
    /// # Errors
    /// [`TrapKind::PoolExhausted`] where the limit or the numbers do not allow it.
    pub fn alloc(&self, global_lane: u64, sequence: u32, elem: Type, n: u64) -> Result<u64, TrapKind> {
        let full = TrapKind::PoolExhausted;
        let bytes = n.checked_mul(8).ok_or(full)?;
        if sequence >= 1 << SEQUENCE_BITS || global_lane >= 1 << (63 - SEQUENCE_BITS) {
            return Err(full);
        }
        let Maps { blocks, used_bytes } = self.maps.get_or_init(Maps::default);
        let mut used = used_bytes.entry(global_lane).or_insert(0);
        *used = used.checked_add(bytes).filter(|u| *u <= self.lane_limit_bytes).ok_or(full)?;
        drop(used);
        let handle = ((global_lane << SEQUENCE_BITS) | u64::from(sequence)) + 1;
        let words = (0..n).map(|_| AtomicU64::new(0)).collect();
        blocks.insert(handle, Arc::new(PoolBlock { elem, words }));
        Ok(handle)
    }

    /// Frees an allocation.
    ///
    /// # Errors
    /// [`TrapKind::BadHandle`].
    pub fn free(&self, handle: u64) -> Result<(), TrapKind> {
        let maps = self.maps.get().ok_or(TrapKind::BadHandle)?;
        let (_, block) = maps.blocks.remove(&handle).ok_or(TrapKind::BadHandle)?;
        let lane = (handle - 1) >> SEQUENCE_BITS;
        if let Some(mut used) = maps.used_bytes.get_mut(&lane) {
            *used = used.saturating_sub(block.words.len() as u64 * 8);
        }
        Ok(())
    }

    /// Whether a handle is one of an allocation that lives.
    pub(crate) fn holds(&self, handle: u64) -> bool {
        self.maps.get().is_some_and(|m| m.blocks.contains_key(&handle))
    }

    fn find(&self, handle: u64, elem: Type) -> Result<Arc<PoolBlock>, TrapKind> {
        let maps = self.maps.get().ok_or(TrapKind::BadHandle)?;
        let block = maps.blocks.get(&handle).map(|b| Arc::clone(&b)).ok_or(TrapKind::BadHandle)?;
        if block.elem == elem { Ok(block) } else { Err(TrapKind::BadHandle) }
    }

    /// Loads the bits of an element.
    ///
    /// # Errors
    /// A bad handle (or one of another element type), or an index outside.
    pub fn load(&self, handle: u64, elem: Type, i: u64) -> Result<u64, TrapKind> {
        let block = self.find(handle, elem)?;
        let word = usize::try_from(i).ok().and_then(|i| block.words.get(i)).ok_or(TrapKind::OutOfBounds)?;
        Ok(word.load(Ordering::Relaxed))
    }

    /// Stores the bits of an element.
    ///
    /// # Errors
    /// As for [`LaunchPool::load`].
    pub fn store(&self, handle: u64, elem: Type, i: u64, bits: u64) -> Result<(), TrapKind> {
        let block = self.find(handle, elem)?;
        let word = usize::try_from(i).ok().and_then(|i| block.words.get(i)).ok_or(TrapKind::OutOfBounds)?;
        word.store(bits, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_deterministic_and_never_reused() {
        let pool = LaunchPool::new(1 << 20, 16);
        let a = pool.alloc(7, 0, Type::F32, 4).unwrap();
        let b = pool.alloc(7, 1, Type::F32, 4).unwrap();
        assert_ne!(a, b);
        pool.store(a, Type::F32, 3, 42).unwrap();
        assert_eq!(pool.load(a, Type::F32, 3), Ok(42));
        assert_eq!(pool.load(a, Type::F32, 4), Err(TrapKind::OutOfBounds));
        assert_eq!(pool.load(a, Type::U32, 0), Err(TrapKind::BadHandle));
        pool.free(a).unwrap();
        assert_eq!(pool.free(a), Err(TrapKind::BadHandle));
        assert_eq!(pool.load(a, Type::F32, 0), Err(TrapKind::BadHandle));
        assert_eq!(pool.load(b, Type::F32, 0), Ok(0));
    }

    #[test]
    fn the_limit_counts_freed_memory_back() {
        let pool = LaunchPool::new(64, 1);
        let a = pool.alloc(0, 0, Type::U8, 8).unwrap();
        assert_eq!(pool.alloc(0, 1, Type::U8, 1), Err(TrapKind::PoolExhausted));
        pool.free(a).unwrap();
        assert!(pool.alloc(0, 2, Type::U8, 8).is_ok());
        assert_eq!(pool.alloc(0, 3, Type::U8, u64::MAX), Err(TrapKind::PoolExhausted));
    }
}
