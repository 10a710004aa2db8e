//! Masks: which lanes of a chunk something holds for.

use super::chunk::GROUPS;

/// One bit per lane, one word per subgroup.
pub(super) type Mask = [u32; GROUPS];
/// All lanes.
pub(super) const FULL: Mask = [u32::MAX; GROUPS];
/// No lane.
pub(super) const NONE: Mask = [0; GROUPS];

/// The lanes of an operation on uniform operands: one group is computed.
pub(super) const ONE_GROUP: Mask = [u32::MAX, 0, 0, 0];

/// Masks as whole vectors: one that is stored in parts and then loaded as a whole waits until the parts have left the store
/// buffer.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod whole {
    use super::Mask;
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_andnot_si128, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8,
        _mm_or_si128, _mm_setzero_si128, _mm_storeu_si128,
    };

    #[inline(always)]
    pub(in super::super) fn any(m: &Mask) -> bool {
        // SAFETY: SSE2 is part of x86-64; a mask has 16 bytes and the load is an unaligned one.
        let zeros = unsafe {
            let v = _mm_loadu_si128(std::ptr::from_ref(m).cast());
            _mm_movemask_epi8(_mm_cmpeq_epi32(v, _mm_setzero_si128()))
        };
        zeros != 0xffff
    }
    #[inline(always)]
    fn both(a: &Mask, b: &Mask, f: unsafe fn(__m128i, __m128i) -> __m128i) -> Mask {
        let mut m = super::NONE;
        // SAFETY: as for `any`; `f` is one of the three SSE2 functions below.
        unsafe {
            let load = |m: &Mask| _mm_loadu_si128(std::ptr::from_ref(m).cast());
            _mm_storeu_si128(std::ptr::from_mut(&mut m).cast(), f(load(a), load(b)));
        }
        m
    }
    #[inline(always)]
    pub(in super::super) fn and(a: &Mask, b: &Mask) -> Mask {
        both(a, b, _mm_and_si128)
    }
    #[inline(always)]
    pub(in super::super) fn and_not(a: &Mask, b: &Mask) -> Mask {
        both(b, a, _mm_andnot_si128)
    }
    #[inline(always)]
    pub(in super::super) fn or(a: &Mask, b: &Mask) -> Mask {
        both(a, b, _mm_or_si128)
    }
}
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod whole {
    use super::Mask;

    #[inline(always)]
    pub(in super::super) fn any(m: &Mask) -> bool {
        m.iter().fold(0, |a, w| a | w) != 0
    }
    #[inline(always)]
    pub(in super::super) fn and(a: &Mask, b: &Mask) -> Mask {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    pub(in super::super) fn and_not(a: &Mask, b: &Mask) -> Mask {
        std::array::from_fn(|i| a[i] & !b[i])
    }
    #[inline(always)]
    pub(in super::super) fn or(a: &Mask, b: &Mask) -> Mask {
        std::array::from_fn(|i| a[i] | b[i])
    }
}
pub(super) use whole::{and, and_not, any, or};

/// Where `take` has bits `a`, elsewhere `b`.
#[inline(always)]
pub(super) fn choose(take: &Mask, a: &Mask, b: &Mask) -> Mask {
    or(&and(a, take), &and_not(b, take))
}
/// The lanes of a mask, ascending.
pub(super) fn lanes_of(m: &Mask) -> impl Iterator<Item = u32> + '_ {
    m.iter().enumerate().flat_map(|(g, w)| bits(*w).map(move |i| g as u32 * 32 + i))
}
/// The set bits of a word, ascending.
#[inline(always)]
pub(super) fn bits(mut w: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        if w == 0 {
            return None;
        }
        let i = w.trailing_zeros();
        w &= w - 1;
        Some(i)
    })
}
