//! The levels of 64-bit Arm: 128-bit vectors, the 8-bit dot product, and the matrix product with the dot product of mixed signs that
//! comes with it.

use super::{Coder, Kernel, Simd, TileKernel, Vectors, access, by_rows, op};
use crate::format::STEP;
use phalanx_simd::Tier;
use std::arch::aarch64::*;
use std::arch::asm;

/// [`Tier::Neon`].
pub(crate) const PLAIN: u8 = 0;
/// [`Tier::NeonDotprod`].
pub(crate) const DOTPROD: u8 = 1;
/// [`Tier::NeonI8mm`].
pub(crate) const I8MM: u8 = 2;

/// 128-bit vectors, with the dot products of `LEVEL`.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const LEVEL: u8>(());

impl<const LEVEL: u8> Neon<LEVEL> {
    /// The token, where the machine has the level.
    pub(crate) fn new() -> Option<Self> {
        let tier = match LEVEL {
            PLAIN => Tier::Neon,
            DOTPROD => Tier::NeonDotprod,
            _ => Tier::NeonI8mm,
        };
        tier.is_available().then_some(Neon(()))
    }
}

impl<const LEVEL: u8> Neon<LEVEL> {
    #[inline(always)]
    fn zero_bytes(self) -> uint8x16_t {
        op!(vdupq_n_u8(0))
    }
}

#[target_feature(enable = "neon")]
fn call_plain<K: Kernel>(s: Neon<PLAIN>, k: K) -> K::Out {
    k.run(s)
}
#[target_feature(enable = "neon,dotprod")]
fn call_dotprod<K: Kernel>(s: Neon<DOTPROD>, k: K) -> K::Out {
    k.run(s)
}
#[target_feature(enable = "neon,dotprod,i8mm")]
fn call_i8mm<K: Kernel>(s: Neon<I8MM>, k: K) -> K::Out {
    k.run(s)
}

// The intrinsics of these three instructions are not stable.

/// Signed bytes by signed bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut acc: int32x4_t, w: uint8x16_t, a: uint8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers; the feature is this function's.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc, in(vreg) w, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Unsigned bytes by signed bytes.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usdot(mut acc: int32x4_t, w: uint8x16_t, a: uint8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers; the feature is this function's.
    unsafe {
        asm!("usdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc, in(vreg) w, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Two rows of eight unsigned bytes by two of eight signed ones: lane `2i + j` is row `i` by row `j`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usmmla(mut acc: int32x4_t, w: uint8x16_t, a: uint8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers; the feature is this function's.
    unsafe {
        asm!("usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc, in(vreg) w, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Four f16 as f32.
#[inline]
#[target_feature(enable = "neon")]
fn fcvtl(h: uint16x4_t) -> float32x4_t {
    let v: float32x4_t;
    // SAFETY: one instruction on registers that every 64-bit Arm has.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) v, in(vreg) h, options(pure, nomem, nostack, preserves_flags));
    }
    v
}

impl<const LEVEL: u8> Simd for Neon<LEVEL> {
    const LANES: usize = 4;
    const TILE: &'static [usize] = &[16, 8, 4, 4, 4, 4];
    const DIRECT: &'static [usize] = &[16, 8, 4, 4];
    const BLOCKS: &'static [usize] = &[8, 4, 4, 2, 2, 2];
    type B = uint8x16_t;
    type I = int32x4_t;
    type F = float32x4_t;
    /// With a dot product the first alone; else 16-bit sums of rows 0 and 1, then of 2 and 3.
    type C = [int32x4_t; 2];
    /// With a dot product the first alone; else sums of two columns of rows 0 and 1, then of 2 and 3.
    type W = [int32x4_t; 2];

    #[inline(always)]
    fn call<K: Kernel>(self, k: K) -> K::Out {
        match LEVEL {
            PLAIN => op!(call_plain(Neon(()), k)),
            DOTPROD => op!(call_dotprod(Neon(()), k)),
            _ => op!(call_i8mm(Neon(()), k)),
        }
    }
    #[inline(always)]
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 16 2: 8 3: 4 4: 4 5: 4 6: 4)
    }
    #[inline(always)]
    unsafe fn direct<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 16 2: 8 3: 4 4: 4)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 8 2: 4 3: 4 4: 2 5: 2 6: 2)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> uint8x16_t {
        access!(vld1q_u8(p))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, v: uint8x16_t) {
        access!(vst1q_u8(p, v))
    }
    #[inline(always)]
    unsafe fn quad(self, p: *const u8) -> uint8x16_t {
        access!(vreinterpretq_u8_u32(vdupq_n_u32(p.cast::<u32>().read_unaligned())))
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        // A hint: an address that does not exist has no effect.
        op!(asm!("prfm pldl1keep, [{0}]", in(reg) p, options(readonly, nostack, preserves_flags)))
    }

    #[inline(always)]
    fn low<const BITS: u32>(self, x: uint8x16_t) -> uint8x16_t {
        op!(vandq_u8(x, vdupq_n_u8((1 << BITS) - 1)))
    }
    #[inline(always)]
    fn down<const BITS: u32>(self, x: uint8x16_t) -> uint8x16_t {
        match BITS {
            2 => op!(vshrq_n_u8::<2>(x)),
            3 => op!(vshrq_n_u8::<3>(x)),
            4 => op!(vshrq_n_u8::<4>(x)),
            _ => op!(vshrq_n_u8::<6>(x)),
        }
    }
    #[inline(always)]
    fn up<const BITS: u32>(self, x: uint8x16_t) -> uint8x16_t {
        match BITS {
            2 => op!(vshlq_n_u8::<2>(x)),
            _ => op!(vshlq_n_u8::<6>(x)),
        }
    }
    #[inline(always)]
    fn join(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        op!(vorrq_u8(a, b))
    }
    #[inline(always)]
    fn sixteen(self, table: &'static [u8; 16], x: uint8x16_t) -> uint8x16_t {
        op!(vqtbl1q_u8(vld1q_u8(table.as_ptr()), x))
    }
    #[inline(always)]
    fn where_least(self, x: uint8x16_t, least: u8, below: uint8x16_t, above: uint8x16_t) -> uint8x16_t {
        op!(vbslq_u8(vcgeq_u8(x, vdupq_n_u8(least)), above, below))
    }

    const VECTORS: Vectors = Vectors::None;
    #[inline(always)]
    fn plane(self, x: uint8x16_t, p: usize) -> uint8x16_t {
        op!(vandq_u8(x, vdupq_n_u8(3 << (2 * p))))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        // One product of at most 128 * max in size goes to 16 bits at a time.
        if LEVEL == PLAIN { ((1 << 15) - 1) / (128 * max) } else { usize::MAX }
    }
    const RAISED: i32 = 0;
    #[inline(always)]
    fn start_codes(self, seed: int32x4_t) -> Self::C {
        let zero = self.int(0);
        if LEVEL == PLAIN { [zero, zero] } else { [seed, zero] }
    }
    #[inline(always)]
    fn dot_codes(self, [first, second]: Self::C, w: uint8x16_t, a: uint8x16_t) -> Self::C {
        match LEVEL {
            PLAIN => op!({
                let (w, a) = (vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(a));
                let low = vmlal_s8(vreinterpretq_s16_s32(first), vget_low_s8(w), vget_low_s8(a));
                let high = vmlal_high_s8(vreinterpretq_s16_s32(second), w, a);
                [vreinterpretq_s32_s16(low), vreinterpretq_s32_s16(high)]
            }),
            _ => [op!(sdot(first, w, a)), second],
        }
    }
    #[inline(always)]
    fn finish_codes(self, [first, second]: Self::C, seed: int32x4_t) -> int32x4_t {
        if LEVEL == PLAIN {
            op!({
                let low = vpaddlq_s16(vreinterpretq_s16_s32(first));
                let high = vpaddlq_s16(vreinterpretq_s16_s32(second));
                vaddq_s32(seed, vpaddq_s32(low, high))
            })
        } else {
            first
        }
    }

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
        op!({
            let (ac, bd) = (vzip1q_u8(a, c), vzip1q_u8(b, d));
            let (x, y) = (vzip2q_u8(a, c), vzip2q_u8(b, d));
            [vzip1q_u8(ac, bd), vzip2q_u8(ac, bd), vzip1q_u8(x, y), vzip2q_u8(x, y)]
        })
    }
    #[inline(always)]
    fn flip(self, x: uint8x16_t) -> uint8x16_t {
        op!(veorq_u8(x, vdupq_n_u8(128)))
    }

    const HALVES: usize = 1;
    const ZERO: i32 = if LEVEL == I8MM { 128 } else { 0 };
    #[inline(always)]
    fn widen(self, x: uint8x16_t, _: usize) -> uint8x16_t {
        // Signed bytes for products of signed bytes.
        if LEVEL == I8MM { x } else { op!(veorq_u8(x, vdupq_n_u8(128))) }
    }
    #[inline(always)]
    fn widen_signed(self, x: uint8x16_t, _: usize) -> uint8x16_t {
        x
    }
    #[inline(always)]
    fn widen_quad(quad: [i8; 4], out: &mut [u8]) {
        out.copy_from_slice(&quad.map(|v| v as u8));
    }
    #[inline(always)]
    fn start_bytes(self, seed: int32x4_t) -> Self::W {
        let zero = self.int(0);
        if LEVEL == PLAIN { op!([vzip1q_s32(seed, zero), vzip2q_s32(seed, zero)]) } else { [seed, zero] }
    }
    #[inline(always)]
    fn dot_bytes(self, [first, second]: Self::W, w: uint8x16_t, a: uint8x16_t) -> Self::W {
        match LEVEL {
            PLAIN => op!({
                let (w, a) = (vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(a));
                let low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
                [vpadalq_s16(first, low), vpadalq_s16(second, vmull_high_s8(w, a))]
            }),
            DOTPROD => [op!(sdot(first, w, a)), second],
            _ => [op!(usdot(first, w, a)), second],
        }
    }
    #[inline(always)]
    fn finish_bytes(self, [first, second]: Self::W) -> int32x4_t {
        if LEVEL == PLAIN { op!(vpaddq_s32(first, second)) } else { first }
    }

    #[inline(always)]
    unsafe fn pairs<const M: usize, const NV: usize>(
        self,
        b: *const u8,
        steps: usize,
        a: *const u8,
        lda: usize,
    ) -> Option<[[int32x4_t; NV]; M]> {
        if LEVEL != I8MM {
            return None;
        }
        // Pairs of activation rows, of which a tile has at most three; where `M` is odd, the last is there twice.
        let rows: [[usize; 2]; 3] = [0, 2, 4].map(|m: usize| [m.min(M - 1), (m + 1).min(M - 1)]);
        let pairs = M.div_ceil(2);
        let mut acc = [[[self.int(0); 2]; NV]; 3];
        let step = |acc: &mut [[[int32x4_t; 2]; NV]; 3], at: usize, two: bool| {
            let mut quads = [self.zero_bytes(); 3];
            for (quad, [first, second]) in quads.iter_mut().zip(rows).take(pairs) {
                // SAFETY: four bytes for each step, of which `two` says whether one more follows.
                let load = |m: usize| unsafe {
                    let p = a.wrapping_add(m * lda + 4 * at);
                    if two {
                        p.cast::<u64>().read_unaligned()
                    } else {
                        p.cast::<u32>().read_unaligned().into()
                    }
                };
                *quad = op!(vreinterpretq_u8_u64(vcombine_u64(
                    vcreate_u64(load(first)),
                    vcreate_u64(load(second))
                )));
            }
            for v in 0..NV {
                // SAFETY: a vector of this step, and of the next where `two` says so.
                let (x, y) = unsafe {
                    let p = b.wrapping_add(at * STEP + 16 * v);
                    (self.load(p), if two { self.load(p.wrapping_add(STEP)) } else { self.zero_bytes() })
                };
                // Eight columns of rows 0 and 1, and of rows 2 and 3.
                let (x, y) = op!((vreinterpretq_u32_u8(x), vreinterpretq_u32_u8(y)));
                let w = op!([vzip1q_u32(x, y), vzip2q_u32(x, y)].map(|w| vreinterpretq_u8_u32(w)));
                for (acc, quad) in acc.iter_mut().zip(quads).take(pairs) {
                    for (acc, w) in acc[v].iter_mut().zip(w) {
                        *acc = op!(usmmla(*acc, w, quad));
                    }
                }
            }
        };
        for at in (0..steps / 2 * 2).step_by(2) {
            step(&mut acc, at, true);
        }
        if steps % 2 == 1 {
            step(&mut acc, steps - 1, false);
        }
        let mut sums = [[self.int(0); NV]; M];
        for (m, row) in sums.iter_mut().enumerate() {
            for (sum, [low, high]) in row.iter_mut().zip(acc[m / 2]) {
                *sum = op!(if m % 2 == 0 { vuzp1q_s32(low, high) } else { vuzp2q_s32(low, high) });
            }
        }
        Some(sums)
    }

    #[inline(always)]
    fn int(self, v: i32) -> int32x4_t {
        op!(vdupq_n_s32(v))
    }
    #[inline(always)]
    fn add(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        op!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        op!(vsubq_s32(a, b))
    }
    #[inline(always)]
    fn shift(self, v: int32x4_t, bits: i32) -> int32x4_t {
        op!(vshlq_s32(v, vdupq_n_s32(-bits)))
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> int32x4_t {
        access!(vld1q_s32(p))
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: int32x4_t) {
        access!(vst1q_s32(p, v))
    }

    #[inline(always)]
    fn total(self, v: int32x4_t) -> i32 {
        op!(vaddvq_s32(v))
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const i32) -> [int32x4_t; 4] {
        access!([0, 4, 8, 12].map(|at| vld1q_s32(p.add(at))))
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut i32, v: [int32x4_t; 4]) {
        for (i, v) in v.into_iter().enumerate() {
            access!(vst1q_s32(p.add(4 * i), v));
        }
    }
    #[inline(always)]
    fn bits_as_floats(self, v: int32x4_t) -> float32x4_t {
        op!(vreinterpretq_f32_s32(v))
    }
    #[inline(always)]
    fn rounded(self, v: float32x4_t, top: float32x4_t) -> int32x4_t {
        op!({
            // NaN, of which the conversion would make 0, becomes the lowest.
            let lowest = vdupq_n_f32(-40_000.0);
            let v = vbslq_f32(vcgtq_f32(v, lowest), v, lowest);
            vcvtnq_s32_f32(vminq_f32(v, top))
        })
    }
    #[inline(always)]
    unsafe fn store_codes<const NV: usize>(self, p: *mut u8, v: [int32x4_t; NV], coder: Coder) {
        const { assert!(NV.is_multiple_of(4)) };
        for (i, v) in v.as_chunks::<4>().0.iter().enumerate() {
            access!(self.store_lane_codes(p.add(16 * i), *v, coder));
        }
    }
    #[inline(always)]
    unsafe fn store_lane_codes(self, p: *mut u8, [a, b, c, d]: [int32x4_t; 4], coder: Coder) {
        access!({
            let zero = vdupq_n_s16(coder.zero);
            let low = vqaddq_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)), zero);
            let high = vqaddq_s16(vcombine_s16(vqmovn_s32(c), vqmovn_s32(d)), zero);
            let codes = vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
            let codes = vmaxq_u8(codes, vdupq_n_u8(coder.floor));
            vst1q_u8(p, veorq_u8(codes, vdupq_n_u8(coder.flip)));
        })
    }

    #[inline(always)]
    fn zero(self) -> float32x4_t {
        op!(vdupq_n_f32(0.0))
    }
    #[inline(always)]
    unsafe fn splat(self, p: *const f32) -> float32x4_t {
        access!(vdupq_n_f32(*p))
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> float32x4_t {
        access!(vld1q_f32(p))
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: float32x4_t) {
        access!(vst1q_f32(p, v))
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> float32x4_t {
        access!(fcvtl(vld1_u16(p)))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> float32x4_t {
        access!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(p)))))
    }
    #[inline(always)]
    fn to_floats(self, v: int32x4_t) -> float32x4_t {
        op!(vcvtq_f32_s32(v))
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        op!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn times(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn plus(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn divide(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn relu(self, x: float32x4_t) -> float32x4_t {
        op!(vbslq_f32(vcltq_f32(x, vdupq_n_f32(0.0)), vdupq_n_f32(0.0), x))
    }
    #[inline(always)]
    fn one_nan(self, x: float32x4_t) -> float32x4_t {
        op!(vbslq_f32(vceqq_f32(x, x), x, vdupq_n_f32(f32::NAN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_instructions_sum_as_plain_products() {
        let Some(s) = Neon::<I8MM>::new() else { return };
        for steps in [0usize, 1, 2, 5, 8] {
            let b: Vec<u8> = (0..steps * STEP).map(|i| (i * 37 + i / 64) as u8).collect();
            let lda = 4 * steps + 3;
            let a: Vec<u8> = (0..6 * lda).map(|i| (i * 91 + 5) as u8).collect();
            fn check<const M: usize>(s: Neon<I8MM>, b: &[u8], steps: usize, a: &[u8], lda: usize) {
                // SAFETY: `steps` steps, and `lda` bytes for each of six rows.
                let sums = unsafe { s.pairs::<M, 4>(b.as_ptr(), steps, a.as_ptr(), lda) }
                    .expect("this level has it");
                for (m, row) in sums.iter().enumerate() {
                    for (v, sum) in row.iter().enumerate() {
                        let mut lanes = [0; 4];
                        // SAFETY: four lanes.
                        unsafe { s.store_ints(lanes.as_mut_ptr(), *sum) };
                        for (lane, found) in lanes.into_iter().enumerate() {
                            let at = |k: usize| k / 4 * STEP + 16 * v + 4 * lane + k % 4;
                            let product = |k: usize| i32::from(b[at(k)]) * i32::from(a[m * lda + k] as i8);
                            assert_eq!(
                                found,
                                (0..4 * steps).map(product).sum::<i32>(),
                                "{M} rows, {steps} steps"
                            );
                        }
                    }
                }
            }
            check::<2>(s, &b, steps, &a, lda);
            check::<3>(s, &b, steps, &a, lda);
            check::<6>(s, &b, steps, &a, lda);
        }
        assert!(Neon::<DOTPROD>::new().is_some_and(|s| {
            // SAFETY: no step is read.
            unsafe { s.pairs::<2, 4>([].as_ptr(), 0, [].as_ptr(), 0) }.is_none()
        }));
    }
}
