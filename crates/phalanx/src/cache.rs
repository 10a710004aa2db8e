//! Programs by their text, so that loading the same text again costs a hash and a comparison.

use crate::program::Loaded;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

struct Entry {
    name: Arc<str>,
    content: Arc<[u8]>,
    program: Arc<Loaded>,
    used: u64,
}

#[derive(Default)]
struct Table {
    /// By hash of name and content; texts with one hash share a row.
    rows: HashMap<u64, Vec<Entry>>,
    len: usize,
    /// Counts uses, for their order.
    clock: u64,
}

/// At most `capacity` programs; the one used longest ago goes first.
pub(crate) struct Cache {
    capacity: usize,
    hasher: RandomState,
    table: Mutex<Table>,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Cache {
        Cache { capacity, hasher: RandomState::new(), table: Mutex::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().len
    }

    /// The program of this name and content, from the cache or from `load`. The lock is not held while `load` runs: two
    /// threads may load the same text at once, and then both get what the first one put in.
    pub(crate) fn get<E>(
        &self,
        name: &str,
        content: &[u8],
        load: impl FnOnce() -> Result<Arc<Loaded>, E>,
    ) -> Result<Arc<Loaded>, E> {
        if self.capacity == 0 {
            return load();
        }
        let hash = self.hasher.hash_one((name, content));
        if let Some(found) = self.table.lock().find(hash, name, content) {
            return Ok(found);
        }
        let program = load()?;
        let mut table = self.table.lock();
        if let Some(found) = table.find(hash, name, content) {
            return Ok(found);
        }
        if table.len >= self.capacity {
            table.evict();
        }
        table.clock += 1;
        let used = table.clock;
        let entry = Entry { name: name.into(), content: content.into(), program: Arc::clone(&program), used };
        table.rows.entry(hash).or_default().push(entry);
        table.len += 1;
        Ok(program)
    }
}

impl Table {
    fn find(&mut self, hash: u64, name: &str, content: &[u8]) -> Option<Arc<Loaded>> {
        let entry =
            self.rows.get_mut(&hash)?.iter_mut().find(|e| &*e.name == name && &*e.content == content)?;
        self.clock += 1;
        entry.used = self.clock;
        Some(Arc::clone(&entry.program))
    }

    fn evict(&mut self) {
        let all = self.rows.iter().flat_map(|(hash, row)| row.iter().map(|e| (e.used, *hash)));
        let Some((oldest, hash)) = all.min() else { return };
        if let Some(row) = self.rows.get_mut(&hash) {
            row.retain(|e| e.used != oldest);
            if row.is_empty() {
                self.rows.remove(&hash);
            }
            self.len -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn load(cache: &Cache, name: &str, text: &str) -> (Arc<Loaded>, bool) {
        let mut loaded = false;
        let program = cache.get(name, text.as_bytes(), || {
            loaded = true;
            Ok::<_, Infallible>(Loaded::empty())
        });
        let Ok(program) = program;
        (program, loaded)
    }

    #[test]
    fn keeps_what_was_used_last() {
        let cache = Cache::new(2);
        let (a, _) = load(&cache, "a", "text");
        assert!(!load(&cache, "a", "text").1);
        assert!(load(&cache, "b", "text").1, "another name is another program: messages show it");
        let (again, loaded) = load(&cache, "a", "text");
        assert!(!loaded && Arc::ptr_eq(&a, &again));
        assert!(load(&cache, "a", "other").1);
        assert_eq!(cache.len(), 2);
        assert!(!load(&cache, "a", "text").1, "`b` was used longest ago");
        assert!(load(&cache, "b", "text").1);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn capacity_0_keeps_nothing() {
        let cache = Cache::new(0);
        assert!(load(&cache, "a", "text").1 && load(&cache, "a", "text").1);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn failures_are_not_kept() {
        let cache = Cache::new(2);
        assert!(cache.get("a", b"text", || Err::<Arc<Loaded>, _>("bad")).is_err());
        assert!(load(&cache, "a", "text").1);
    }
}
