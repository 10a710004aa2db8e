//! A file as memory.

use crate::WeightsError;
use memmap2::{Advice, Mmap, MmapOptions};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// The bytes of a whole file: mapped read-only, or in memory already.
pub(crate) enum Mapped {
    /// With the file, to read a little without mapping much.
    File(Mmap, File),
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapped({} bytes)", self.bytes().len())
    }
}

impl Mapped {
    /// Maps a file. Whoever shortens the file while it is mapped ends this process: the operating system offers no defence, and
    /// readers of models share files with nobody who writes them.
    pub(crate) fn open(path: &Path) -> Result<Mapped, WeightsError> {
        let file = File::open(path).map_err(WeightsError::io("open it"))?;
        if file.metadata().is_ok_and(|m| m.is_dir()) {
            return Err(WeightsError::Kind(
                "a folder, not a file; `phalanx convert` makes a model file of one".into(),
            ));
        }
        // SAFETY: the mapping is private and read-only, and is only handed out as shared slices for the lifetime of `self`; nothing
        // here writes the file. Another process that changes it changes bytes that every reader checks before use or takes as
        // plain numbers.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(WeightsError::io("map it into memory"))?;
        Ok(Mapped::File(map, file))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Mapped::File(map, _) => map,
            Mapped::Memory(bytes) => (**bytes).as_ref(),
        }
    }

    /// Reads bytes. From a file without touching the mapping: the system may map megabytes for one page that is touched, and after some
    /// dozens of rows from all over a large file, a quarter of it would count as this process's memory.
    pub(crate) fn read(&self, from: usize, to: &mut [u8]) -> Result<(), WeightsError> {
        #[cfg(unix)]
        if let Mapped::File(_, file) = self {
            use std::os::unix::fs::FileExt;
            return file.read_exact_at(to, from as u64).map_err(WeightsError::io("read it"));
        }
        let bytes = self.bytes().get(from..from + to.len());
        bytes.map(|b| to.copy_from_slice(b)).ok_or_else(|| WeightsError::Kind("it ends too early".into()))
    }

    /// Brings pages of a range in at once, which is cheaper than one fault after another. Only a matter of speed.
    pub(crate) fn populate(&self, range: Range<usize>) {
        let Mapped::File(map, _) = self else { return };
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(Advice::PopulateRead, range.start, range.len());
        #[cfg(not(target_os = "linux"))]
        let _ = map.advise_range(Advice::WillNeed, range.start, range.len());
    }

    /// Gives the pages that lie fully in a range back to the system; they are read again where they are used again. Only a matter
    /// of memory.
    pub(crate) fn release(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let Mapped::File(map, _) = self else { return };
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
        if start >= end {
            return;
        }
        // SAFETY: the mapping is of a file and never written through, so a dropped page is read again from the file with the same
        // content; slices into it stay valid.
        #[cfg(unix)]
        let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
    }
}
