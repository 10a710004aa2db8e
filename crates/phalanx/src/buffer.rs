//! Typed buffers.

use crate::element::Element;
use crate::{BufferError, RawBuffer, RawView};
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// Elements of one type in memory that kernels can be given: a whole allocation, or a part of one.
///
/// It is a handle: cloning it, or taking a [`Buffer::view`], shares the memory. Reading and writing wait for launches that use
/// the allocation, and launches wait for them, so a handle may be used from any thread at any time.
pub struct Buffer<T> {
    view: RawView,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Buffer { view: self.view.clone(), element: PhantomData }
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RawView { buffer, offset, len, elem } = &self.view;
        write!(f, "{len} x {elem} at byte {offset} of {buffer:?}")
    }
}

impl<T: Element> Buffer<T> {
    /// The elements of an untyped view. `None` where its element type is another one.
    pub fn from_raw(view: RawView) -> Option<Buffer<T>> {
        (view.elem == T::TYPE).then_some(Buffer { view, element: PhantomData })
    }

    pub(crate) fn whole(buffer: RawBuffer) -> Buffer<T> {
        Buffer { view: buffer.view(T::TYPE), element: PhantomData }
    }

    /// The untyped view: its allocation, first byte, number of elements and element type.
    pub fn raw(&self) -> &RawView {
        &self.view
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        // Owned and external memory is in the address space; an intermediate of a sequence may be refused later.
        self.view.len as usize
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.view.len == 0
    }

    /// Part of this buffer, sharing its memory.
    ///
    /// # Errors
    /// A range outside.
    pub fn view(&self, range: impl RangeBounds<usize>) -> Result<Buffer<T>, BufferError> {
        let first = match range.start_bound() {
            Bound::Included(n) => *n as u64,
            Bound::Excluded(n) => (*n as u64).saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(n) => (*n as u64).saturating_add(1),
            Bound::Excluded(n) => *n as u64,
            Bound::Unbounded => self.view.len,
        };
        // An end before the start becomes a length that no buffer has.
        let len = end.checked_sub(first).unwrap_or(u64::MAX);
        Ok(Buffer { view: self.view.slice(first, len)?, element: PhantomData })
    }

    /// A copy of the elements.
    ///
    /// # Errors
    /// A stale handle.
    pub fn read(&self) -> Result<Vec<T>, BufferError> {
        let mut out = vec![T::zeroed(); self.len()];
        self.read_into(&mut out)?;
        Ok(out)
    }

    /// Copies the first `out.len()` elements.
    ///
    /// # Errors
    /// More elements than there are, or a stale handle.
    pub fn read_into(&self, out: &mut [T]) -> Result<(), BufferError> {
        let from = self.check(out.len())?;
        self.view.buffer.read(from, bytemuck::cast_slice_mut(out))
    }

    /// Replaces the first `data.len()` elements.
    ///
    /// # Errors
    /// More elements than there are, external memory, or a stale handle.
    pub fn write(&self, data: &[T]) -> Result<(), BufferError> {
        let to = self.check(data.len())?;
        self.view.buffer.write(to, bytemuck::cast_slice(data))
    }

    /// Gives the memory of the whole allocation back now, whatever handles there are: all become stale and are refused. (When
    /// the last handle goes, that happens by itself.)
    pub fn free(&self) {
        self.view.buffer.free();
    }

    /// First byte of the first `n` elements, where there are so many.
    fn check(&self, n: usize) -> Result<u64, BufferError> {
        Ok(self.view.slice(0, n as u64)?.offset)
    }
}

/// Host memory of `T` as the bytes that a buffer is bound to.
pub(crate) struct HostBytes<O, T> {
    owner: Arc<O>,
    element: PhantomData<fn() -> T>,
}

impl<O, T> HostBytes<O, T> {
    pub(crate) fn new(owner: Arc<O>) -> Self {
        HostBytes { owner, element: PhantomData }
    }
}

impl<O: AsRef<[T]>, T: Element> AsRef<[u8]> for HostBytes<O, T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice((*self.owner).as_ref())
    }
}
