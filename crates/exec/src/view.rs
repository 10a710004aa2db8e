//! The raw view of a bound buffer while its allocation is locked for a launch: every access that kernels make goes through
//! here, bounds-checked, and as a relaxed atomic of the element's size wherever another lane might write.

use phalanx_isa::{Atomic, Order, Type};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Elements of a bound buffer or of shared memory, for the duration of a launch.
///
/// Invariant (established by `View::new`): `ptr` is aligned to the element size and valid for `len` elements for `'a`; while
/// a writable view exists, all accesses to its memory are atomics of that element size, but for elements that one thread has to
/// itself (`alone`); a read-only view's memory is not written during `'a` by anybody.
#[derive(Clone, Copy)]
pub struct View<'a> {
    ptr: *mut u8,
    len: u64,
    elem: Type,
    writable: bool,
    /// One thread at a time uses the memory (see [`View::for_one_thread`]).
    alone: bool,
    _life: PhantomData<&'a [u8]>,
}

// SAFETY: by the invariant, concurrent access through copies on several threads is atomic or read only.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

/// Plain element types that SIMD bodies load directly; each value of the right size is a valid one.
pub trait Elem: Copy + Default + Send + Sync + 'static {
    /// From the low bits.
    fn from_bits(bits: u64) -> Self;
    /// To the low bits, the rest zero.
    fn to_bits(self) -> u64;
}
macro_rules! elems {
    ($($t:ty: $from:expr, $to:expr;)*) => { $(impl Elem for $t {
        #[inline(always)]
        fn from_bits(bits: u64) -> Self { ($from)(bits) }
        #[inline(always)]
        fn to_bits(self) -> u64 { ($to)(self) }
    })* };
}
elems! {
    u8: |b| b as u8, u64::from;
    u16: |b| b as u16, u64::from;
    u32: |b| b as u32, u64::from;
    u64: |b| b, |v| v;
    i8: |b| b as i8, |v| u64::from(v as u8);
    i16: |b| b as i16, |v| u64::from(v as u16);
    i32: |b| b as i32, |v| u64::from(v as u32);
    i64: |b| b as i64, |v| v as u64;
    f32: |b| f32::from_bits(b as u32), |v: f32| u64::from(v.to_bits());
    f64: f64::from_bits, f64::to_bits;
}

/// Sixteen bytes at once, atomically: processors with AVX do that for aligned addresses (Intel's manual, volume 3, 9.1.1; AMD's,
/// volume 2, 7.3.2), so each element is loaded and stored as by a relaxed atomic of its own size. Written as assembly because the
/// language has no such access.
#[cfg(all(target_arch = "x86_64", not(miri), not(phalanx_models)))]
mod wide {
    use std::arch::x86_64::__m128i;

    #[inline(always)]
    pub(super) fn is_atomic<T>(at: *const T) -> bool {
        at.cast::<__m128i>().is_aligned() && std::arch::is_x86_feature_detected!("avx")
    }

    /// # Safety
    /// `from` is aligned to 16 bytes and valid for 32 elements, which others access atomically only.
    #[inline(always)]
    pub(super) unsafe fn load<T>(from: *const T, out: &mut [T; 32]) {
        let (from, to) = (from.cast::<__m128i>(), out.as_mut_ptr().cast::<__m128i>());
        for i in 0..size_of::<[T; 32]>() / 16 {
            // SAFETY: vector `i` lies in the 32 elements on both sides; `out` has elements for which every bit pattern is a value,
            // as its caller's trait demands.
            unsafe {
                let v: __m128i;
                std::arch::asm!("movaps {}, [{}]", out(xmm_reg) v, in(reg) from.add(i),
                    options(nostack, preserves_flags, readonly));
                to.add(i).write_unaligned(v);
            }
        }
    }

    /// # Safety
    /// As [`load`], and writable.
    #[inline(always)]
    pub(super) unsafe fn store<T>(to: *mut T, values: &[T; 32]) {
        let (from, to) = (values.as_ptr().cast::<__m128i>(), to.cast::<__m128i>());
        for i in 0..size_of::<[T; 32]>() / 16 {
            // SAFETY: vector `i` lies in the 32 elements on both sides.
            unsafe {
                let v = from.add(i).read_unaligned();
                std::arch::asm!("movaps [{}], {}", in(reg) to.add(i), in(xmm_reg) v,
                    options(nostack, preserves_flags));
            }
        }
    }
}
#[cfg(not(all(target_arch = "x86_64", not(miri), not(phalanx_models))))]
mod wide {
    #[inline(always)]
    pub(super) fn is_atomic<T>(_: *const T) -> bool {
        false
    }
    /// # Safety
    /// Not called: [`is_atomic`] is false.
    pub(super) unsafe fn load<T>(_: *const T, _: &mut [T; 32]) {}
    /// # Safety
    /// As [`load`].
    pub(super) unsafe fn store<T>(_: *mut T, _: &[T; 32]) {}
}

/// How an atomic instruction orders memory.
pub(crate) fn ordering(order: Order) -> Ordering {
    match order {
        Order::Relaxed => Ordering::Relaxed,
        Order::Acquire => Ordering::Acquire,
        Order::Release => Ordering::Release,
        Order::AcqRel => Ordering::AcqRel,
    }
}

/// The strongest load ordering that does not exceed `order`.
fn load_part(order: Ordering) -> Ordering {
    match order {
        Ordering::AcqRel | Ordering::Acquire => Ordering::Acquire,
        _ => Ordering::Relaxed,
    }
}

impl<'a> View<'a> {
    /// # Safety
    /// `ptr` must be aligned to the element size and valid for `len` elements for `'a`. With `writable`, all other access to the
    /// memory during `'a` goes through views of the same element size; without, nobody writes it during `'a`.
    pub(crate) unsafe fn new(ptr: *mut u8, len: u64, elem: Type, writable: bool) -> View<'a> {
        debug_assert!((ptr as usize).is_multiple_of(elem.bytes().max(1)));
        View { ptr, len, elem, writable, alone: false, _life: PhantomData }
    }

    /// A view of a host slice that a test or a block owns for `'a`, writable.
    pub fn of_words(words: &'a mut [u64], len: u64, elem: Type) -> View<'a> {
        assert!(len * elem.bytes() as u64 <= words.len() as u64 * 8, "the slice is too short");
        // SAFETY: aligned to 8, long enough (asserted), exclusively borrowed for 'a, reached only through this view and copies.
        unsafe { View::new(words.as_mut_ptr().cast(), len, elem, true) }
    }

    /// The same view for elements that only one thread uses while the view and its copies live: a block's shared arrays when
    /// the block runs on one thread, or a buffer of which every lane touches its own element only. They are loaded and stored
    /// as plain values then, and updated without locked instructions.
    pub(crate) fn for_one_thread(self) -> View<'a> {
        View { alone: true, ..self }
    }
    /// Whether [`View::load32`] and [`View::store32`] are plain vector loads and stores of memory that is written.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.alone
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Element type.
    #[inline]
    pub fn elem(&self) -> Type {
        self.elem
    }
    /// Whether the launch may write it.
    #[inline]
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// The elements as a slice, where nobody writes them during the launch and `T` has the element's size.
    #[inline]
    pub fn read_only<T: Elem>(&self) -> Option<&'a [T]> {
        if self.writable || size_of::<T>() != self.elem.bytes() {
            return None;
        }
        // SAFETY: the invariant: aligned, valid for len elements, not written during 'a; T has the element's size and
        // accepts every bit pattern (all Elem types do).
        Some(unsafe { std::slice::from_raw_parts(self.ptr.cast::<T>(), self.len as usize) })
    }

    /// `rows` rows of `width` elements, `stride` apart, from element `first`, to be accessed directly. `None` where that is not in
    /// the view, the view is read only, or `T` has another size than the elements.
    ///
    /// # Safety
    /// While the tile lives nobody else accesses these elements.
    pub(crate) unsafe fn tile<T: Elem>(
        &self,
        first: u64,
        rows: u64,
        width: u64,
        stride: u64,
    ) -> Option<phalanx_kernels::Tile<'a, T>> {
        let end = rows.checked_sub(1)?.checked_mul(stride)?.checked_add(width)?.checked_add(first)?;
        let apart = rows == 1 || stride >= width;
        if end > self.len || !apart || !self.writable || size_of::<T>() != self.elem.bytes() {
            return None;
        }
        let first = self.ptr.cast::<T>().wrapping_add(first as usize);
        // SAFETY: all elements are in the view (checked), which is valid and aligned for 'a and writable; all bit patterns are
        // values of `T`; the caller keeps everybody else away; rows do not overlap (checked).
        Some(unsafe {
            phalanx_kernels::Tile::from_raw(first, rows as usize, width as usize, stride as usize)
        })
    }

    /// Loads the bits of element `i`, relaxed. `None` where `i` is outside.
    #[inline(always)]
    pub fn load(&self, i: u64) -> Option<u64> {
        self.load_ordered(i, Ordering::Relaxed)
    }

    /// Loads the bits of element `i`. `None` where `i` is outside.
    #[inline(always)]
    pub fn load_ordered(&self, i: u64, order: Ordering) -> Option<u64> {
        if i >= self.len {
            return None;
        }
        let at = i as usize;
        // SAFETY: in range (checked); the invariant gives validity, alignment and atomic access by everybody else (a
        // read-only view may be loaded atomically too: the memory need not be writable for an atomic load of these sizes).
        Some(unsafe {
            match self.elem.bytes() {
                1 => AtomicU8::from_ptr(self.ptr.add(at)).load(order).into(),
                2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at)).load(order).into(),
                4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at)).load(order).into(),
                _ => AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at)).load(order),
            }
        })
    }

    /// Stores the low bits into element `i`, relaxed. `None` where `i` is outside or the view is read only.
    #[inline(always)]
    pub fn store(&self, i: u64, bits: u64) -> Option<()> {
        self.store_ordered(i, bits, Ordering::Relaxed)
    }

    /// Stores the low bits into element `i`. `None` where `i` is outside or the view is read only.
    #[inline(always)]
    pub fn store_ordered(&self, i: u64, bits: u64, order: Ordering) -> Option<()> {
        if i >= self.len || !self.writable {
            return None;
        }
        let at = i as usize;
        // SAFETY: in range and writable (checked); the invariant gives validity, alignment and atomic access by all others.
        unsafe {
            match self.elem.bytes() {
                1 => AtomicU8::from_ptr(self.ptr.add(at)).store(bits as u8, order),
                2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at)).store(bits as u16, order),
                4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at)).store(bits as u32, order),
                _ => AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at)).store(bits, order),
            }
        }
        Some(())
    }

    /// Loads 32 consecutive elements from `first` as plain values where nobody else writes them, else one relaxed atomic load
    /// each. The caller has checked that `first + 32 <= len` and that `T` has the element's size.
    #[inline(always)]
    pub(crate) fn load32<T: Elem>(&self, first: u64, out: &mut [T; 32]) {
        assert!(first.checked_add(32).is_some_and(|e| e <= self.len) && size_of::<T>() == self.elem.bytes());
        let at = first as usize;
        // SAFETY: in range and of the element's size (asserted); the invariant gives validity and alignment, and that nobody
        // writes a read-only view, or atomic access by all others.
        unsafe {
            if !self.writable || self.alone {
                *out = *self.ptr.cast::<T>().add(at).cast::<[T; 32]>();
                return;
            }
            let from = self.ptr.cast::<T>().add(at);
            if wide::is_atomic(from) {
                return wide::load(from, out);
            }
            for (i, o) in out.iter_mut().enumerate() {
                let r = Ordering::Relaxed;
                *o = T::from_bits(match size_of::<T>() {
                    1 => AtomicU8::from_ptr(self.ptr.add(at + i)).load(r).into(),
                    2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at + i)).load(r).into(),
                    4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at + i)).load(r).into(),
                    _ => AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at + i)).load(r),
                });
            }
        }
    }

    /// Loads the elements at 32 places. False, and nothing loaded: one of them is outside.
    #[inline(always)]
    pub(crate) fn gather<T: Elem>(&self, places: &[u64; 32], out: &mut [T; 32]) -> bool {
        if !places.iter().all(|p| *p < self.len) || size_of::<T>() != self.elem.bytes() {
            return false;
        }
        for (o, p) in out.iter_mut().zip(places) {
            let (at, r) = (*p as usize, Ordering::Relaxed);
            // SAFETY: in range and of the element's size (checked above); the invariant gives validity, alignment and atomic
            // access by all others.
            *o = T::from_bits(unsafe {
                match size_of::<T>() {
                    1 => AtomicU8::from_ptr(self.ptr.add(at)).load(r).into(),
                    2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at)).load(r).into(),
                    4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at)).load(r).into(),
                    _ => AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at)).load(r),
                }
            });
        }
        true
    }

    /// Stores the elements at 32 places, ascending. False, and nothing stored: one of them is outside, or the view is read only.
    #[inline(always)]
    pub(crate) fn scatter<T: Elem>(&self, places: &[u64; 32], values: &[T; 32]) -> bool {
        if !places.iter().all(|p| *p < self.len) || size_of::<T>() != self.elem.bytes() || !self.writable {
            return false;
        }
        for (v, p) in values.iter().zip(places) {
            let (at, bits, r) = (*p as usize, v.to_bits(), Ordering::Relaxed);
            // SAFETY: in range, writable and of the element's size (checked above); the invariant gives validity, alignment and
            // atomic access by all others.
            unsafe {
                match size_of::<T>() {
                    1 => AtomicU8::from_ptr(self.ptr.add(at)).store(bits as u8, r),
                    2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at)).store(bits as u16, r),
                    4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at)).store(bits as u32, r),
                    _ => AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at)).store(bits, r),
                }
            }
        }
        true
    }

    /// Stores 32 consecutive elements from `first`, as plain values where nobody else uses them, else one relaxed atomic store each. The caller has checked that
    /// `first + 32 <= len`, that the view is writable and that `T` has the element's size.
    #[inline(always)]
    pub(crate) fn store32<T: Elem>(&self, first: u64, values: &[T; 32]) {
        assert!(first.checked_add(32).is_some_and(|e| e <= self.len) && self.writable);
        assert!(size_of::<T>() == self.elem.bytes());
        let at = first as usize;
        // SAFETY: in range, writable and of the element's size (asserted); the invariant gives validity, alignment and atomic
        // access by all others.
        unsafe {
            if self.alone {
                *self.ptr.cast::<T>().add(at).cast::<[T; 32]>() = *values;
                return;
            }
            let to = self.ptr.cast::<T>().add(at);
            if wide::is_atomic(to) {
                return wide::store(to, values);
            }
            for (i, v) in values.iter().enumerate() {
                let bits = v.to_bits();
                match size_of::<T>() {
                    1 => AtomicU8::from_ptr(self.ptr.add(at + i)).store(bits as u8, Ordering::Relaxed),
                    2 => AtomicU16::from_ptr(self.ptr.cast::<u16>().add(at + i))
                        .store(bits as u16, Ordering::Relaxed),
                    4 => AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at + i))
                        .store(bits as u32, Ordering::Relaxed),
                    _ => {
                        AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at + i)).store(bits, Ordering::Relaxed)
                    }
                }
            }
        }
    }

    /// An atomic read-modify-write of element `i` with this operand; the bits before. `None` where `i` is outside, the view is
    /// read only, or the element type has no such operation.
    pub fn atomic(&self, i: u64, op: Atomic, operand: u64, order: Order) -> Option<u64> {
        if i >= self.len || !self.writable {
            return None;
        }
        if self.alone {
            let before = self.load(i)?;
            self.store(i, updated(self.elem, op, before, operand)?)?;
            return Some(before);
        }
        let o = ordering(order);
        let at = i as usize;
        // SAFETY: in range and writable (checked); the invariant gives validity, alignment and atomic access by all others.
        unsafe {
            match self.elem {
                Type::U32 | Type::I32 | Type::F32 => {
                    let a = AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at));
                    let v = operand as u32;
                    let signed = self.elem == Type::I32;
                    if self.elem == Type::F32 {
                        let add =
                            |bits: u32| canonical_f32(f32::from_bits(bits) + f32::from_bits(v)).to_bits();
                        return (op == Atomic::Add).then(|| {
                            a.fetch_update(o, load_part(o), |b| Some(add(b))).unwrap_or_else(|b| b).into()
                        });
                    }
                    Some(
                        match op {
                            Atomic::Add => a.fetch_add(v, o),
                            Atomic::Sub => a.fetch_sub(v, o),
                            Atomic::And => a.fetch_and(v, o),
                            Atomic::Or => a.fetch_or(v, o),
                            Atomic::Xor => a.fetch_xor(v, o),
                            Atomic::Exch => a.swap(v, o),
                            Atomic::Min if signed => {
                                std::sync::atomic::AtomicI32::from_ptr(a.as_ptr().cast())
                                    .fetch_min(v as i32, o) as u32
                            }
                            Atomic::Max if signed => {
                                std::sync::atomic::AtomicI32::from_ptr(a.as_ptr().cast())
                                    .fetch_max(v as i32, o) as u32
                            }
                            Atomic::Min => a.fetch_min(v, o),
                            Atomic::Max => a.fetch_max(v, o),
                        }
                        .into(),
                    )
                }
                Type::U64 | Type::I64 | Type::F64 => {
                    let a = AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at));
                    let v = operand;
                    let signed = self.elem == Type::I64;
                    if self.elem == Type::F64 {
                        let add =
                            |bits: u64| canonical_f64(f64::from_bits(bits) + f64::from_bits(v)).to_bits();
                        return (op == Atomic::Add).then(|| {
                            a.fetch_update(o, load_part(o), |b| Some(add(b))).unwrap_or_else(|b| b)
                        });
                    }
                    Some(match op {
                        Atomic::Add => a.fetch_add(v, o),
                        Atomic::Sub => a.fetch_sub(v, o),
                        Atomic::And => a.fetch_and(v, o),
                        Atomic::Or => a.fetch_or(v, o),
                        Atomic::Xor => a.fetch_xor(v, o),
                        Atomic::Exch => a.swap(v, o),
                        Atomic::Min if signed => std::sync::atomic::AtomicI64::from_ptr(a.as_ptr().cast())
                            .fetch_min(v as i64, o) as u64,
                        Atomic::Max if signed => std::sync::atomic::AtomicI64::from_ptr(a.as_ptr().cast())
                            .fetch_max(v as i64, o) as u64,
                        Atomic::Min => a.fetch_min(v, o),
                        Atomic::Max => a.fetch_max(v, o),
                    })
                }
                _ => None,
            }
        }
    }

    /// Compare-exchange of element `i` (32- or 64-bit integers); the bits before. `None` as for [`View::atomic`].
    pub fn compare_exchange(&self, i: u64, expected: u64, new: u64, order: Order) -> Option<u64> {
        if i >= self.len || !self.writable {
            return None;
        }
        let o = ordering(order);
        let at = i as usize;
        // SAFETY: in range and writable (checked); the invariant gives validity, alignment and atomic access by all others.
        unsafe {
            match self.elem.bytes() {
                4 => {
                    let a = AtomicU32::from_ptr(self.ptr.cast::<u32>().add(at));
                    let r = a.compare_exchange(expected as u32, new as u32, o, load_part(o));
                    Some(r.unwrap_or_else(|b| b).into())
                }
                8 => {
                    let a = AtomicU64::from_ptr(self.ptr.cast::<u64>().add(at));
                    Some(a.compare_exchange(expected, new, o, load_part(o)).unwrap_or_else(|b| b))
                }
                _ => None,
            }
        }
    }
}

/// What an atomic update leaves in an element. `None`: the element type has no such operation.
fn updated(elem: Type, op: Atomic, before: u64, operand: u64) -> Option<u64> {
    let (a, b) = (before, operand);
    let signed = |v: u64| if elem == Type::I32 { i64::from(v as u32 as i32) } else { v as i64 };
    Some(match (elem, op) {
        (Type::F32, Atomic::Add) => {
            canonical_f32(f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits().into()
        }
        (Type::F64, Atomic::Add) => canonical_f64(f64::from_bits(a) + f64::from_bits(b)).to_bits(),
        (Type::I32 | Type::U32 | Type::I64 | Type::U64, _) => match op {
            // Stores take the low bits, so sums wrap in the element's width.
            Atomic::Add => a.wrapping_add(b),
            Atomic::Sub => a.wrapping_sub(b),
            Atomic::And => a & b,
            Atomic::Or => a | b,
            Atomic::Xor => a ^ b,
            Atomic::Exch => b,
            Atomic::Min if matches!(elem, Type::I32 | Type::I64) => {
                if signed(a) < signed(b) {
                    a
                } else {
                    b
                }
            }
            Atomic::Max if matches!(elem, Type::I32 | Type::I64) => {
                if signed(a) > signed(b) {
                    a
                } else {
                    b
                }
            }
            Atomic::Min => a.min(b),
            Atomic::Max => a.max(b),
        },
        _ => return None,
    })
}

/// The value with the one NaN pattern of its type.
#[inline(always)]
pub fn canonical_f32(v: f32) -> f32 {
    if v.is_nan() { f32::from_bits(0x7fc0_0000) } else { v }
}

/// The value with the one NaN pattern of its type.
#[inline(always)]
pub fn canonical_f64(v: f64) -> f64 {
    if v.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { v }
}

/// A value's bits as memory shows them: a NaN becomes its type's one pattern, integers stay.
#[inline(always)]
pub fn canonical_bits(ty: Type, bits: u64) -> u64 {
    match ty {
        Type::F16 if bits & 0x7fff > 0x7c00 => 0x7e00,
        Type::Bf16 if bits & 0x7fff > 0x7f80 => 0x7fc0,
        Type::F32 if bits & 0x7fff_ffff > 0x7f80_0000 => 0x7fc0_0000,
        Type::F64 if bits & 0x7fff_ffff_ffff_ffff > 0x7ff0_0000_0000_0000 => 0x7ff8_0000_0000_0000,
        _ => bits,
    }
}
