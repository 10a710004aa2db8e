//! The levels of 64-bit Arm: 128-bit vectors, the 8-bit dot product, and the one of mixed signs that comes with the matrix product.

use super::{Kernel, Simd, TileKernel, by_rows};
use phalanx_simd::Tier;
use std::arch::aarch64::*;
use std::arch::asm;

/// [`Tier::Neon`].
pub(crate) const PLAIN: u8 = 0;
/// [`Tier::NeonDotprod`].
pub(crate) const DOTPROD: u8 = 1;
/// [`Tier::NeonI8mm`].
pub(crate) const I8MM: u8 = 2;

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
    const DIRECT: usize = 4;
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
            _ => op!(vshrq_n_u8::<4>(x)),
        }
    }
    #[inline(always)]
    fn digit(self, x: uint8x16_t) -> uint8x16_t {
        // Halving additions round down: 3x/4, whose upper bits are those of 3x/256.
        op!(vshrq_n_u8::<6>(vhaddq_u8(x, vshrq_n_u8::<1>(x))))
    }
    #[inline(always)]
    fn triple(self, x: uint8x16_t) -> uint8x16_t {
        op!(vaddq_u8(x, vaddq_u8(x, x)))
    }

    const VECTORS: bool = false;
    #[inline(always)]
    fn plane(self, x: uint8x16_t, p: usize) -> uint8x16_t {
        op!(vandq_u8(x, vdupq_n_u8(3 << (2 * p))))
    }

    #[inline(always)]
    fn run_codes(max: usize) -> usize {
        // One product of at most 128 * max in size goes to 16 bits at a time.
        if LEVEL == PLAIN { ((1 << 15) - 1) / (128 * max) } else { usize::MAX }
    }
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

    const HALVES: usize = 1;
    const ZERO: i32 = if LEVEL == I8MM { 128 } else { 0 };
    #[inline(always)]
    fn widen(self, x: uint8x16_t, _: usize) -> uint8x16_t {
        // Signed bytes for products of signed bytes.
        if LEVEL == I8MM { x } else { op!(veorq_u8(x, vdupq_n_u8(128))) }
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
