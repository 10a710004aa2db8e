//! The levels of x86-64: 256-bit vectors, 512-bit vectors, and these with the 8-bit dot product.

use super::{Kernel, Simd, TileKernel, by_rows};
use phalanx_simd::Tier;
use std::arch::x86_64::*;

/// One instruction of a level whose token is at hand.
macro_rules! op {
    ($e:expr) => {{
        // SAFETY: needs nothing but the level's features, and the token (`self`) is made only where the machine has them.
        unsafe { $e }
    }};
}

/// One access of a level whose token is at hand.
macro_rules! access {
    ($e:expr) => {{
        // SAFETY: features as in `op!`; the pointer is as the caller of this method promised, and needs no alignment.
        unsafe { $e }
    }};
}

/// 256-bit vectors. The token of [`Tier::Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// 512-bit vectors. The token of [`Tier::Avx512`], and with `VNNI` of [`Tier::Avx512Vnni`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool>(());

impl Avx2 {
    /// The token, where the machine has the level.
    pub(crate) fn new() -> Option<Self> {
        Tier::Avx2.is_available().then_some(Avx2(()))
    }
}

impl<const VNNI: bool> Avx512<VNNI> {
    /// The token, where the machine has the level.
    pub(crate) fn new() -> Option<Self> {
        let tier = if VNNI { Tier::Avx512Vnni } else { Tier::Avx512 };
        tier.is_available().then_some(Avx512(()))
    }
}

/// `x`, which the compiler does not see through: it would turn x + (x + x) on bytes into a multiplication of 16-bit halves, which
/// takes three times as long.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque_ymm(mut x: __m256i) -> __m256i {
    // SAFETY: a comment.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

/// As [`opaque_ymm`].
#[inline]
#[target_feature(enable = "avx512f")]
fn opaque_zmm(mut x: __m512i) -> __m512i {
    // SAFETY: a comment.
    unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn call_avx2<K: Kernel>(s: Avx2, k: K) -> K::Out {
    k.run(s)
}

#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd")]
fn call_avx512<K: Kernel>(s: Avx512<false>, k: K) -> K::Out {
    k.run(s)
}

#[target_feature(
    enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vnni"
)]
fn call_vnni<K: Kernel>(s: Avx512<true>, k: K) -> K::Out {
    k.run(s)
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE: &'static [usize] = &[8, 2, 2, 2, 2, 2];
    const DIRECT: usize = 4;
    const BLOCKS: &'static [usize] = &[4, 2, 2];
    type B = __m256i;
    type I = __m256i;
    type F = __m256;
    /// Sums of two columns each, 16 bits.
    type C = __m256i;
    type W = __m256i;

    #[inline(always)]
    fn call<K: Kernel>(self, k: K) -> K::Out {
        op!(call_avx2(self, k))
    }
    #[inline(always)]
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 8 2: 2 3: 2 4: 2 5: 2 6: 2)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 2 3: 2)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m256i {
        access!(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, v: __m256i) {
        access!(_mm256_storeu_si256(p.cast(), v))
    }
    #[inline(always)]
    unsafe fn quad(self, p: *const u8) -> __m256i {
        access!(_mm256_set1_epi32(p.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        op!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }

    #[inline(always)]
    fn low<const BITS: u32>(self, x: __m256i) -> __m256i {
        op!(_mm256_and_si256(x, _mm256_set1_epi8((1 << BITS) - 1)))
    }
    #[inline(always)]
    fn down<const BITS: u32>(self, x: __m256i) -> __m256i {
        // Constants because the shift wants one that does not depend on a parameter.
        match BITS {
            2 => op!(_mm256_srli_epi16::<2>(x)),
            _ => op!(_mm256_srli_epi16::<4>(x)),
        }
    }
    #[inline(always)]
    fn digit(self, x: __m256i) -> __m256i {
        op!({
            // Averages round up: one less makes them 3x/4 rounded so that the upper bits are those of 3x/256.
            let x = _mm256_subs_epu8(x, _mm256_set1_epi8(1));
            let half = _mm256_avg_epu8(x, _mm256_setzero_si256());
            let quarters = _mm256_avg_epu8(x, half);
            _mm256_and_si256(_mm256_srli_epi16::<6>(quarters), _mm256_set1_epi8(3))
        })
    }
    #[inline(always)]
    fn triple(self, x: __m256i) -> __m256i {
        op!(_mm256_add_epi8(x, opaque_ymm(_mm256_add_epi8(x, x))))
    }

    const VECTORS: bool = false;
    #[inline(always)]
    fn plane(self, x: __m256i, p: usize) -> __m256i {
        op!(_mm256_and_si256(x, _mm256_set1_epi8((3u8 << (2 * p)) as i8)))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        // Two products of at most 128 * max in size go to 16 bits at a time; -2^15 is in range.
        (1 << 15) / (2 * 128 * max)
    }
    #[inline(always)]
    fn start_codes(self, _: __m256i) -> __m256i {
        op!(_mm256_setzero_si256())
    }
    #[inline(always)]
    fn dot_codes(self, acc: __m256i, w: __m256i, a: __m256i) -> __m256i {
        op!(_mm256_add_epi16(acc, _mm256_maddubs_epi16(w, a)))
    }
    #[inline(always)]
    fn finish_codes(self, acc: __m256i, seed: __m256i) -> __m256i {
        op!(_mm256_add_epi32(seed, _mm256_madd_epi16(acc, _mm256_set1_epi16(1))))
    }

    const HALVES: usize = 2;
    const ZERO: i32 = 128;
    #[inline(always)]
    fn widen(self, x: __m256i, half: usize) -> __m256i {
        match half {
            0 => op!(_mm256_and_si256(x, _mm256_set1_epi16(255))),
            _ => op!(_mm256_srli_epi16::<8>(x)),
        }
    }
    #[inline(always)]
    fn widen_quad(quad: [i8; 4], out: &mut [u8]) {
        widen_quad(quad, out);
    }
    #[inline(always)]
    fn start_bytes(self, seed: __m256i) -> __m256i {
        seed
    }
    #[inline(always)]
    fn dot_bytes(self, acc: __m256i, w: __m256i, a: __m256i) -> __m256i {
        op!(_mm256_add_epi32(acc, _mm256_madd_epi16(w, a)))
    }
    #[inline(always)]
    fn finish_bytes(self, acc: __m256i) -> __m256i {
        acc
    }

    #[inline(always)]
    fn int(self, v: i32) -> __m256i {
        op!(_mm256_set1_epi32(v))
    }
    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn shift(self, v: __m256i, bits: i32) -> __m256i {
        op!(_mm256_srav_epi32(v, _mm256_set1_epi32(bits)))
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> __m256i {
        access!(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: __m256i) {
        access!(_mm256_storeu_si256(p.cast(), v))
    }

    #[inline(always)]
    fn zero(self) -> __m256 {
        op!(_mm256_setzero_ps())
    }
    #[inline(always)]
    unsafe fn splat(self, p: *const f32) -> __m256 {
        access!(_mm256_set1_ps(*p))
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m256 {
        access!(_mm256_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m256) {
        access!(_mm256_storeu_ps(p, v))
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m256 {
        access!(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m256 {
        access!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(
            p.cast()
        )))))
    }
    #[inline(always)]
    fn to_floats(self, v: __m256i) -> __m256 {
        op!(_mm256_cvtepi32_ps(v))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn times(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn plus(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn divide(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn relu(self, x: __m256) -> __m256 {
        // The second operand where they are equal or one is NaN: -0 and NaN stay.
        op!(_mm256_max_ps(_mm256_setzero_ps(), x))
    }
    #[inline(always)]
    fn one_nan(self, x: __m256) -> __m256 {
        op!(_mm256_blendv_ps(x, _mm256_set1_ps(f32::NAN), _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x)))
    }
}

/// Columns 0 and 2, then 1 and 3, as 16-bit numbers: beside the even and the odd bytes of [`Simd::widen`].
#[inline(always)]
fn widen_quad([a, b, c, d]: [i8; 4], out: &mut [u8]) {
    for (at, v) in out.chunks_exact_mut(2).zip([a, c, b, d]) {
        at.copy_from_slice(&i16::from(v).to_le_bytes());
    }
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    const LANES: usize = 16;
    const TILE: &'static [usize] = &[4, 4, 4, 4, 4, 4];
    const DIRECT: usize = 4;
    const BLOCKS: &'static [usize] = &[4, 4, 2, 2, 2, 2];
    type B = __m512i;
    type I = __m512i;
    type F = __m512;
    type C = __m512i;
    type W = __m512i;

    #[inline(always)]
    fn call<K: Kernel>(self, k: K) -> K::Out {
        if VNNI { op!(call_vnni(Avx512(()), k)) } else { op!(call_avx512(Avx512(()), k)) }
    }
    #[inline(always)]
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 4 3: 4 4: 4 5: 4 6: 4)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 4 3: 2 4: 2 5: 2 6: 2)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m512i {
        access!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, v: __m512i) {
        access!(_mm512_storeu_si512(p.cast(), v))
    }
    #[inline(always)]
    unsafe fn quad(self, p: *const u8) -> __m512i {
        access!(_mm512_set1_epi32(p.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        op!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }

    #[inline(always)]
    fn low<const BITS: u32>(self, x: __m512i) -> __m512i {
        op!(_mm512_and_si512(x, _mm512_set1_epi8((1 << BITS) - 1)))
    }
    #[inline(always)]
    fn down<const BITS: u32>(self, x: __m512i) -> __m512i {
        match BITS {
            2 => op!(_mm512_srli_epi16::<2>(x)),
            _ => op!(_mm512_srli_epi16::<4>(x)),
        }
    }
    #[inline(always)]
    fn digit(self, x: __m512i) -> __m512i {
        op!({
            // Averages round up: one less makes them 3x/4 rounded so that the upper bits are those of 3x/256.
            let x = _mm512_subs_epu8(x, _mm512_set1_epi8(1));
            let half = _mm512_avg_epu8(x, _mm512_setzero_si512());
            let quarters = _mm512_avg_epu8(x, half);
            _mm512_and_si512(_mm512_srli_epi16::<6>(quarters), _mm512_set1_epi8(3))
        })
    }
    #[inline(always)]
    fn triple(self, x: __m512i) -> __m512i {
        op!(_mm512_add_epi8(x, opaque_zmm(_mm512_add_epi8(x, x))))
    }

    const VECTORS: bool = VNNI;
    #[inline(always)]
    fn plane(self, x: __m512i, p: usize) -> __m512i {
        op!(_mm512_and_si512(x, _mm512_set1_epi8((3u8 << (2 * p)) as i8)))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        if VNNI { usize::MAX } else { Avx2::run_codes(max) }
    }
    #[inline(always)]
    fn start_codes(self, seed: __m512i) -> __m512i {
        if VNNI { seed } else { op!(_mm512_setzero_si512()) }
    }
    #[inline(always)]
    fn dot_codes(self, acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
        if VNNI {
            op!(_mm512_dpbusd_epi32(acc, w, a))
        } else {
            op!(_mm512_add_epi16(acc, _mm512_maddubs_epi16(w, a)))
        }
    }
    #[inline(always)]
    fn finish_codes(self, acc: __m512i, seed: __m512i) -> __m512i {
        if VNNI { acc } else { op!(_mm512_add_epi32(seed, _mm512_madd_epi16(acc, _mm512_set1_epi16(1)))) }
    }

    const HALVES: usize = if VNNI { 1 } else { 2 };
    const ZERO: i32 = 128;
    #[inline(always)]
    fn widen(self, x: __m512i, half: usize) -> __m512i {
        match half {
            _ if VNNI => x,
            0 => op!(_mm512_and_si512(x, _mm512_set1_epi16(255))),
            _ => op!(_mm512_srli_epi16::<8>(x)),
        }
    }
    #[inline(always)]
    fn widen_quad(quad: [i8; 4], out: &mut [u8]) {
        if VNNI {
            out.copy_from_slice(&quad.map(|v| v as u8));
        } else {
            widen_quad(quad, out);
        }
    }
    #[inline(always)]
    fn start_bytes(self, seed: __m512i) -> __m512i {
        seed
    }
    #[inline(always)]
    fn dot_bytes(self, acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
        if VNNI {
            op!(_mm512_dpbusd_epi32(acc, w, a))
        } else {
            op!(_mm512_add_epi32(acc, _mm512_madd_epi16(w, a)))
        }
    }
    #[inline(always)]
    fn finish_bytes(self, acc: __m512i) -> __m512i {
        acc
    }

    #[inline(always)]
    fn int(self, v: i32) -> __m512i {
        op!(_mm512_set1_epi32(v))
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn shift(self, v: __m512i, bits: i32) -> __m512i {
        op!(_mm512_srav_epi32(v, _mm512_set1_epi32(bits)))
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> __m512i {
        access!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: __m512i) {
        access!(_mm512_storeu_si512(p.cast(), v))
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        op!(_mm512_setzero_ps())
    }
    #[inline(always)]
    unsafe fn splat(self, p: *const f32) -> __m512 {
        access!(_mm512_set1_ps(*p))
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m512 {
        access!(_mm512_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m512) {
        access!(_mm512_storeu_ps(p, v))
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        access!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m512 {
        access!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
            p.cast()
        )))))
    }
    #[inline(always)]
    fn to_floats(self, v: __m512i) -> __m512 {
        op!(_mm512_cvtepi32_ps(v))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn times(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn plus(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn divide(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn relu(self, x: __m512) -> __m512 {
        // The second operand where they are equal or one is NaN: -0 and NaN stay.
        op!(_mm512_max_ps(_mm512_setzero_ps(), x))
    }
    #[inline(always)]
    fn one_nan(self, x: __m512) -> __m512 {
        op!(_mm512_mask_mov_ps(x, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), _mm512_set1_ps(f32::NAN)))
    }
}
