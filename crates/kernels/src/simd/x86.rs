//! The levels of x86-64: 256-bit vectors, 512-bit vectors, and these with the 8-bit dot product.

use super::{Coder, Kernel, Simd, TileKernel, Vectors, access, by_rows, five_by_halves, op};
use crate::format::FIVE;
use phalanx_simd::Tier;
use std::arch::x86_64::*;

/// 256-bit vectors. The token of [`Tier::Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// 512-bit vectors. The token of [`Tier::Avx512`], and with `VNNI` of [`Tier::Avx512Vnni`].
///
/// With `TABLES` too where the machine finds bytes in tables of 64: no level of its own, for kernels that [`Simd::five`] is hot in.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool, const TABLES: bool = false>(());

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

/// The bits of `x` under four masks. In one statement, so that all are made before what follows uses any: the compiler would put
/// each beside its use, and make some of them with the unit for floats.
#[inline]
#[target_feature(enable = "avx512f")]
fn under_masks(x: __m512i, masks: [__m512i; 4]) -> [__m512i; 4] {
    let [p, q, r, s] = masks;
    let (a, b, c, d): (__m512i, __m512i, __m512i, __m512i);
    // SAFETY: four instructions on registers; the feature is this function's.
    unsafe {
        std::arch::asm!("vpandd {0}, {4}, {5}", "vpandd {1}, {4}, {6}", "vpandd {2}, {4}, {7}", "vpandd {3}, {4}, {8}",
            out(zmm_reg) a, out(zmm_reg) b, out(zmm_reg) c, lateout(zmm_reg) d,
            in(zmm_reg) x, in(zmm_reg) p, in(zmm_reg) q, in(zmm_reg) r, in(zmm_reg) s,
            options(pure, nomem, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// A vector that is not used before others are made.
#[inline]
#[target_feature(enable = "avx512f")]
fn after(mut x: __m512i, made: [__m512i; 4]) -> (__m512i, [__m512i; 4]) {
    let [mut a, mut b, mut c, mut d] = made;
    // SAFETY: a comment.
    unsafe {
        std::arch::asm!("/* {0} {1} {2} {3} {4} */", inout(zmm_reg) x, inout(zmm_reg) a, inout(zmm_reg) b,
            inout(zmm_reg) c, inout(zmm_reg) d, options(pure, nomem, nostack, preserves_flags));
    }
    (x, [a, b, c, d])
}

/// [`FIVE`] by the lower six bits: the others' digits below 0xc0 and from there on, and the first digit from 0xc0 on.
#[repr(align(64))]
struct Sixty([u8; 64]);
const OTHERS_LOW: Sixty = Sixty(sixty(0, 1));
const OTHERS_HIGH: Sixty = Sixty(sixty(0xc0, 1));
const FIRST_HIGH: Sixty = Sixty(sixty(0xc0, 0));

const fn sixty(from: usize, which: usize) -> [u8; 64] {
    let mut all = [0; 64];
    let mut i = 0;
    while i < 64 {
        all[i] = FIVE[from + i][which];
        i += 1;
    }
    all
}

/// The three tables.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn five_by_tables(x: __m512i) -> [__m512i; 2] {
    // SAFETY: 64 bytes each.
    let table = |t: &'static Sixty| unsafe { _mm512_load_si512(t.0.as_ptr().cast()) };
    let high = _mm512_cmpge_epu8_mask(x, _mm512_set1_epi8(0xc0u8 as i8));
    let others = _mm512_permutexvar_epi8(x, table(&OTHERS_LOW));
    [
        _mm512_mask_permutexvar_epi8(x, high, x, table(&FIRST_HIGH)),
        _mm512_mask_permutexvar_epi8(others, high, x, table(&OTHERS_HIGH)),
    ]
}

/// The four groups of 128 bits of each of four vectors, as rows and columns exchanged.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (p, q) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d));
    let (r, s) = (_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(p, q),
        _mm512_shuffle_i32x4::<0xdd>(p, q),
        _mm512_shuffle_i32x4::<0x88>(r, s),
        _mm512_shuffle_i32x4::<0xdd>(r, s),
    ]
}

/// [`Coder::code`]s: of each vector's group of 128 bits four, side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn codes([a, b, c, d]: [__m512i; 4], coder: Coder) -> __m512i {
    let zero = _mm512_set1_epi16(coder.zero);
    let low = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero);
    let high = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero);
    let codes = _mm512_max_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(coder.floor as i8));
    _mm512_xor_si512(codes, _mm512_set1_epi8(coder.flip as i8))
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

#[target_feature(
    enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vnni,avx512vbmi"
)]
fn call_tables<K: Kernel>(s: Avx512<true, true>, k: K) -> K::Out {
    k.run(s)
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE: &'static [usize] = &[8, 2, 2, 2, 2, 2];
    const DIRECT: &'static [usize] = &[8, 2, 2, 2, 1, 1, 1, 1];
    const BLOCKS: &'static [usize] = &[8, 2, 2, 2, 2, 2];
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
    unsafe fn direct<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 8 2: 2 3: 2 4: 2 5: 1 6: 1 7: 1 8: 1)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 8 2: 2 3: 2 4: 2 5: 2 6: 2)
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
            3 => op!(_mm256_srli_epi16::<3>(x)),
            4 => op!(_mm256_srli_epi16::<4>(x)),
            _ => op!(_mm256_srli_epi16::<6>(x)),
        }
    }
    #[inline(always)]
    fn up<const BITS: u32>(self, x: __m256i) -> __m256i {
        match BITS {
            2 => op!(_mm256_slli_epi16::<2>(x)),
            _ => op!(_mm256_slli_epi16::<6>(x)),
        }
    }
    #[inline(always)]
    fn join(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn sixteen(self, table: &'static [u8; 16], x: __m256i) -> __m256i {
        // SAFETY: 16 bytes; features as in `op!`.
        let table = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) };
        op!(_mm256_shuffle_epi8(table, x))
    }
    #[inline(always)]
    fn where_least(self, x: __m256i, least: u8, below: __m256i, above: __m256i) -> __m256i {
        op!(_mm256_blendv_epi8(
            below,
            above,
            _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8(least as i8)), x)
        ))
    }

    const VECTORS: Vectors = Vectors::Codes;
    #[inline(always)]
    fn plane(self, x: __m256i, p: usize) -> __m256i {
        op!(_mm256_and_si256(x, _mm256_set1_epi8((3u8 << (2 * p)) as i8)))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        // Two products of at most 128 * max in size go to 16 bits at a time; -2^15 is in range.
        (1 << 15) / (2 * 128 * max)
    }
    const RAISED: i32 = 128;
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

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
        op!({
            let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
            let (x, y) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
            [
                _mm256_unpacklo_epi16(ab, cd),
                _mm256_unpackhi_epi16(ab, cd),
                _mm256_unpacklo_epi16(x, y),
                _mm256_unpackhi_epi16(x, y),
            ]
        })
    }
    #[inline(always)]
    fn flip(self, x: __m256i) -> __m256i {
        op!(_mm256_xor_si256(x, _mm256_set1_epi8(i8::MIN)))
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
    fn widen_signed(self, x: __m256i, half: usize) -> __m256i {
        match half {
            0 => op!(_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x))),
            _ => op!(_mm256_srai_epi16::<8>(x)),
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
    fn total(self, v: __m256i) -> i32 {
        op!({
            let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
            _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v)))
        })
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const i32) -> [__m256i; 4] {
        access!({
            let [a, b, c, d] = [0, 8, 16, 24].map(|at| self.load_ints(p.add(at)));
            [
                _mm256_permute2x128_si256::<0x20>(a, c),
                _mm256_permute2x128_si256::<0x31>(a, c),
                _mm256_permute2x128_si256::<0x20>(b, d),
                _mm256_permute2x128_si256::<0x31>(b, d),
            ]
        })
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut i32, [a, b, c, d]: [__m256i; 4]) {
        access!({
            self.store_ints(p, _mm256_permute2x128_si256::<0x20>(a, b));
            self.store_ints(p.add(8), _mm256_permute2x128_si256::<0x20>(c, d));
            self.store_ints(p.add(16), _mm256_permute2x128_si256::<0x31>(a, b));
            self.store_ints(p.add(24), _mm256_permute2x128_si256::<0x31>(c, d));
        })
    }
    #[inline(always)]
    fn bits_as_floats(self, v: __m256i) -> __m256 {
        op!(_mm256_castsi256_ps(v))
    }
    #[inline(always)]
    fn rounded(self, v: __m256, top: __m256) -> __m256i {
        // NaN is the second operand of the minimum, and becomes the lowest number as all do that are too large.
        op!(_mm256_cvtps_epi32(_mm256_min_ps(top, v)))
    }
    #[inline(always)]
    unsafe fn store_codes<const NV: usize>(self, p: *mut u8, v: [__m256i; NV], coder: Coder) {
        const { assert!(NV.is_multiple_of(2)) };
        for (i, [a, b]) in v.as_chunks().0.iter().enumerate() {
            access!({
                let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(*a, *b));
                let words = _mm256_adds_epi16(words, _mm256_set1_epi16(coder.zero));
                let codes =
                    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                let codes = _mm_max_epu8(codes, _mm_set1_epi8(coder.floor as i8));
                let codes = _mm_xor_si128(codes, _mm_set1_epi8(coder.flip as i8));
                _mm_storeu_si128(p.add(16 * i).cast(), codes);
            });
        }
    }
    #[inline(always)]
    unsafe fn store_lane_codes(self, p: *mut u8, [a, b, c, d]: [__m256i; 4], coder: Coder) {
        access!({
            let zero = _mm256_set1_epi16(coder.zero);
            let low = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero);
            let high = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zero);
            let codes = _mm256_max_epu8(_mm256_packus_epi16(low, high), _mm256_set1_epi8(coder.floor as i8));
            _mm256_storeu_si256(p.cast(), _mm256_xor_si256(codes, _mm256_set1_epi8(coder.flip as i8)));
        })
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

impl<const VNNI: bool, const TABLES: bool> Simd for Avx512<VNNI, TABLES> {
    const LANES: usize = 16;
    const TILE: &'static [usize] = &[4, 4, 4, 4, 4, 4];
    const DIRECT: &'static [usize] = &[4, 4, 4, 4];
    const BLOCKS: &'static [usize] = &[4, 4, 4, 4, 2, 2];
    type B = __m512i;
    type I = __m512i;
    type F = __m512;
    type C = __m512i;
    type W = __m512i;

    #[inline(always)]
    fn call<K: Kernel>(self, k: K) -> K::Out {
        match (VNNI, TABLES) {
            (true, true) => op!(call_tables(Avx512(()), k)),
            (true, false) => op!(call_vnni(Avx512(()), k)),
            (false, _) => op!(call_avx512(Avx512(()), k)),
        }
    }
    #[inline(always)]
    fn call_five<K: Kernel>(self, k: K) -> K::Out {
        if VNNI && std::arch::is_x86_feature_detected!("avx512vbmi") {
            return op!(call_tables(Avx512(()), k));
        }
        self.call(k)
    }
    #[inline(always)]
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 4 3: 4 4: 4 5: 4 6: 4)
    }
    #[inline(always)]
    unsafe fn direct<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 4 3: 4 4: 4)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 4 2: 4 3: 4 4: 4 5: 2 6: 2)
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
            3 => op!(_mm512_srli_epi16::<3>(x)),
            4 => op!(_mm512_srli_epi16::<4>(x)),
            _ => op!(_mm512_srli_epi16::<6>(x)),
        }
    }
    #[inline(always)]
    fn up<const BITS: u32>(self, x: __m512i) -> __m512i {
        match BITS {
            2 => op!(_mm512_slli_epi16::<2>(x)),
            _ => op!(_mm512_slli_epi16::<6>(x)),
        }
    }
    #[inline(always)]
    fn join(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn sixteen(self, table: &'static [u8; 16], x: __m512i) -> __m512i {
        // SAFETY: 16 bytes; features as in `op!`.
        let table = unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())) };
        op!(_mm512_shuffle_epi8(table, x))
    }
    #[inline(always)]
    fn where_least(self, x: __m512i, least: u8, below: __m512i, above: __m512i) -> __m512i {
        op!(_mm512_mask_mov_epi8(below, _mm512_cmpge_epu8_mask(x, _mm512_set1_epi8(least as i8)), above))
    }
    #[inline(always)]
    fn five(self, x: __m512i) -> [__m512i; 2] {
        if TABLES { op!(five_by_tables(x)) } else { five_by_halves(self, x) }
    }

    const VECTORS: Vectors = if VNNI { Vectors::Bytes } else { Vectors::Codes };
    #[inline(always)]
    fn plane(self, x: __m512i, p: usize) -> __m512i {
        op!(_mm512_and_si512(x, _mm512_set1_epi8((3u8 << (2 * p)) as i8)))
    }
    #[inline(always)]
    fn planes(self, x: __m512i) -> [__m512i; 4] {
        let mask = |p: u32| op!(_mm512_set1_epi8((3u8 << (2 * p)) as i8));
        op!(under_masks(x, [mask(0), mask(1), mask(2), mask(3)]))
    }
    #[inline(always)]
    fn after(self, x: __m512i, sums: [__m512i; 4]) -> (__m512i, [__m512i; 4]) {
        op!(after(x, sums))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        if VNNI { usize::MAX } else { Avx2::run_codes(max) }
    }
    const RAISED: i32 = 128;
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

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
        op!({
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (x, y) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(x, y),
                _mm512_unpackhi_epi16(x, y),
            ]
        })
    }
    #[inline(always)]
    fn flip(self, x: __m512i) -> __m512i {
        op!(_mm512_xor_si512(x, _mm512_set1_epi8(i8::MIN)))
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
    fn widen_signed(self, x: __m512i, half: usize) -> __m512i {
        match half {
            _ if VNNI => x,
            0 => op!(_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(x))),
            _ => op!(_mm512_srai_epi16::<8>(x)),
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
    fn total(self, v: __m512i) -> i32 {
        op!(_mm512_reduce_add_epi32(v))
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const i32) -> [__m512i; 4] {
        access!(transposed([0, 16, 32, 48].map(|at| self.load_ints(p.add(at)))))
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut i32, v: [__m512i; 4]) {
        for (i, v) in op!(transposed(v)).into_iter().enumerate() {
            access!(self.store_ints(p.add(16 * i), v));
        }
    }
    #[inline(always)]
    fn bits_as_floats(self, v: __m512i) -> __m512 {
        op!(_mm512_castsi512_ps(v))
    }
    #[inline(always)]
    fn rounded(self, v: __m512, top: __m512) -> __m512i {
        // As with 256 bits.
        op!(_mm512_cvtps_epi32(_mm512_min_ps(top, v)))
    }
    #[inline(always)]
    unsafe fn store_codes<const NV: usize>(self, p: *mut u8, v: [__m512i; NV], coder: Coder) {
        const { assert!(NV.is_multiple_of(4)) };
        for (i, v) in v.as_chunks::<4>().0.iter().enumerate() {
            access!({
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                let codes = _mm512_permutexvar_epi32(order, codes(*v, coder));
                _mm512_storeu_si512(p.add(64 * i).cast(), codes);
            });
        }
    }
    #[inline(always)]
    unsafe fn store_lane_codes(self, p: *mut u8, v: [__m512i; 4], coder: Coder) {
        access!(_mm512_storeu_si512(p.cast(), codes(v, coder)))
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
