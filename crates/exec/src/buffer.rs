//! Buffers: allocations behind one lock each, handles to them, and typed views of their bytes.

use parking_lot::RwLock;
use phalanx_isa::Type;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of alignment of every owned allocation: a cache line, and the widest vector.
pub const ALIGN_BYTES: usize = 64;

/// Zeroed memory that the system brings page by page, where it is touched first: a large buffer costs what is used of it, and its
/// pages belong to the memory node of the thread that uses them first.
pub(crate) struct Zeroed {
    memory: Box<[u8]>,
    /// The first byte that is aligned as buffers are.
    skip: usize,
}

impl Zeroed {
    fn new(bytes: u64) -> Option<Zeroed> {
        let most = usize::try_from(bytes).ok()?.checked_add(ALIGN_BYTES)?;
        let memory: Box<[u8]> = bytemuck::allocation::try_zeroed_slice_box(most).ok()?;
        let skip = memory.as_ptr().align_offset(ALIGN_BYTES);
        Some(Zeroed { memory, skip })
    }
}

/// Host memory that is bound without a copy; the owner stays alive as long as a handle does.
pub type ExternalBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

pub(crate) enum Storage {
    /// Owned, aligned, writable.
    Owned(Zeroed),
    /// The caller's, read only: its bytes, taken once (an owner could answer otherwise the next time), and the owner.
    External(&'static [u8], #[allow(dead_code, reason = "held to keep the bytes alive")] ExternalBytes),
    /// Freed: every use of a handle is refused.
    Freed,
    /// An intermediate of a launch sequence: it has a size, and memory only inside the sequence's arena.
    Planned,
}

impl Storage {
    /// Address of the first byte, for access under the allocation's guard.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        match self {
            // One more line than the buffer has bytes was asked for.
            Storage::Owned(z) => z.memory.as_ptr().wrapping_add(z.skip),
            Storage::External(bytes, _) => bytes.as_ptr(),
            Storage::Freed | Storage::Planned => std::ptr::null(),
        }
    }
    /// Why there is no memory to use, where there is none.
    pub(crate) fn check(&self) -> Result<(), BufferError> {
        match self {
            Storage::Owned(_) | Storage::External(..) => Ok(()),
            Storage::Freed => Err(BufferError::Stale),
            Storage::Planned => Err(BufferError::Planned),
        }
    }
    pub(crate) fn as_mut_ptr(&mut self) -> Option<*mut u8> {
        match self {
            Storage::Owned(z) => Some(z.memory.as_mut_ptr().wrapping_add(z.skip)),
            _ => None,
        }
    }
}

pub(crate) struct Allocation {
    /// Unique in the process and ascending: the order in which launches lock.
    pub(crate) id: u64,
    /// The device that made it; 0 belongs to nobody and is accepted everywhere.
    pub(crate) owner: u64,
    pub(crate) bytes: u64,
    pub(crate) external: bool,
    pub(crate) storage: RwLock<Storage>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A handle to an allocation. Cloning it is cheap and does not copy; the memory lives until the last handle goes, or until
/// [`Buffer::free`], after which every handle is stale and refused.
#[derive(Clone)]
pub struct Buffer(pub(crate) Arc<Allocation>);

/// Why memory could not be had or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// The allocator refused.
    #[error("cannot allocate {bytes} bytes")]
    OutOfMemory {
        /// Asked for.
        bytes: u64,
    },
    /// The handle was freed.
    #[error("the buffer was freed: this handle is stale")]
    Stale,
    /// An intermediate of a launch sequence, outside it.
    #[error(
        "the buffer is an intermediate of a launch sequence: it can be used in steps of that sequence only"
    )]
    Planned,
    /// External memory is read only.
    #[error("the buffer is external read-only memory and cannot be written")]
    ReadOnly,
    /// A range outside the buffer.
    #[error("bytes {offset}..{end} are outside a buffer of {bytes} bytes", end = offset.saturating_add(*len))]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// The buffer's size.
        bytes: u64,
    },
    /// An offset that is not a multiple of the element size.
    #[error("byte offset {offset} is not a multiple of the element size {size}")]
    Misaligned {
        /// Offset.
        offset: u64,
        /// Element size.
        size: u64,
    },
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer(#{}, {} bytes)", self.0.id, self.0.bytes)
    }
}

impl Buffer {
    fn new(owner: u64, bytes: u64, storage: Storage) -> Buffer {
        let external = matches!(storage, Storage::External(..));
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Buffer(Arc::new(Allocation { id, owner, bytes, external, storage: RwLock::new(storage) }))
    }

    /// A zeroed buffer. `owner` names the device whose launches may use it (0: any).
    ///
    /// # Errors
    /// [`BufferError::OutOfMemory`].
    pub fn zeroed(owner: u64, bytes: u64) -> Result<Buffer, BufferError> {
        let memory = Zeroed::new(bytes).ok_or(BufferError::OutOfMemory { bytes })?;
        Ok(Buffer::new(owner, bytes, Storage::Owned(memory)))
    }

    /// A buffer with a copy of the bytes.
    ///
    /// # Errors
    /// [`BufferError::OutOfMemory`].
    pub fn from_bytes(owner: u64, bytes: &[u8]) -> Result<Buffer, BufferError> {
        let b = Buffer::zeroed(owner, bytes.len() as u64)?;
        b.write(0, bytes)?;
        Ok(b)
    }

    /// Binds the caller's memory without a copy, read only, and keeps its owner alive.
    pub fn external(owner: u64, bytes: ExternalBytes) -> Buffer {
        let slice: &[u8] = (*bytes).as_ref();
        // SAFETY: the slice is borrowed from the owner, which the storage keeps beside it: while an `Arc` of it exists nobody has
        // it mutably, so the borrow may last as long. The storage gives the slice out only for accesses under its guard.
        let slice: &'static [u8] = unsafe { std::slice::from_raw_parts(slice.as_ptr(), slice.len()) };
        Buffer::new(owner, slice.len() as u64, Storage::External(slice, bytes))
    }

    /// A handle with a size and without memory, to be replaced by a part of an arena.
    pub(crate) fn planned(owner: u64, bytes: u64) -> Buffer {
        Buffer::new(owner, bytes, Storage::Planned)
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Whether it was freed.
    pub fn is_stale(&self) -> bool {
        matches!(*self.0.storage.read(), Storage::Freed)
    }

    /// Gives the memory back now; waits for launches that use it. All handles become stale.
    pub fn free(&self) {
        *self.0.storage.write() = Storage::Freed;
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), BufferError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.0.bytes => Ok(()),
            _ => Err(BufferError::OutOfRange { offset, len, bytes: self.0.bytes }),
        }
    }

    /// Copies bytes out; waits for a launch that writes the buffer.
    ///
    /// # Errors
    /// A range outside, or a stale handle.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), BufferError> {
        self.check(offset, out.len() as u64)?;
        let guard = self.0.storage.read();
        guard.check()?;
        // SAFETY: the storage holds `bytes` initialised bytes (checked range above) and nobody writes them while the read
        // guard is held.
        unsafe {
            std::ptr::copy_nonoverlapping(guard.as_ptr().add(offset as usize), out.as_mut_ptr(), out.len())
        };
        Ok(())
    }

    /// Copies bytes in; waits for launches that use the buffer.
    ///
    /// # Errors
    /// A range outside, external memory, or a stale handle.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), BufferError> {
        self.check(offset, data.len() as u64)?;
        let mut guard = self.0.storage.write();
        guard.check()?;
        let to = guard.as_mut_ptr().ok_or(BufferError::ReadOnly)?;
        // SAFETY: the storage holds `bytes` bytes (checked range above) and the write guard excludes everybody else.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to.add(offset as usize), data.len()) };
        Ok(())
    }

    /// The whole buffer as elements of a type (a tail that is no whole element is left out).
    pub fn view(&self, elem: Type) -> BufferView {
        BufferView { buffer: self.clone(), offset: 0, len: self.0.bytes / elem.bytes().max(1) as u64, elem }
    }
}

/// Part of a buffer as elements of a type.
#[derive(Clone, Debug)]
pub struct BufferView {
    /// The allocation.
    pub buffer: Buffer,
    /// First byte.
    pub offset: u64,
    /// Number of elements.
    pub len: u64,
    /// Element type.
    pub elem: Type,
}

impl BufferView {
    /// Elements `first..first + len` of this view.
    ///
    /// # Errors
    /// A range outside the view.
    pub fn slice(&self, first: u64, len: u64) -> Result<BufferView, BufferError> {
        let size = self.elem.bytes() as u64;
        match first.checked_add(len) {
            Some(end) if end <= self.len => {
                Ok(BufferView { offset: self.offset + first * size, len, ..self.clone() })
            }
            _ => Err(BufferError::OutOfRange {
                offset: first.saturating_mul(size),
                len: len.saturating_mul(size),
                bytes: self.len * size,
            }),
        }
    }

    /// Checks range and alignment against the allocation.
    pub(crate) fn check(&self) -> Result<(), BufferError> {
        let size = self.elem.bytes().max(1) as u64;
        if !self.offset.is_multiple_of(size) {
            return Err(BufferError::Misaligned { offset: self.offset, size });
        }
        let bytes = self.len.checked_mul(size).ok_or(BufferError::OutOfRange {
            offset: self.offset,
            len: u64::MAX,
            bytes: self.buffer.bytes(),
        })?;
        self.buffer.check(self.offset, bytes)
    }

    /// Byte range in the allocation.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + self.len * self.elem.bytes() as u64
    }
}
