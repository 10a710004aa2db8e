//! The level without intrinsics: vectors are arrays.

use super::{Coder, Kernel, Simd, TileKernel, Vectors, by_rows};
use crate::finish::one_nan;
use crate::format::FIVE;
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};
use std::array::from_fn;

/// Lanes of an array.
const N: usize = 8;

/// Where lane `i` of vector `v` comes from in [`Simd::interleave`].
fn lane(v: usize, i: usize) -> usize {
    16 * (i / 4) + 4 * v + i % 4
}

/// What is below all codes, and far from where [`Simd::rounded`] is exact no more.
const LOWEST: f32 = -40_000.0;

/// The token; portable code needs nothing.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    const LANES: usize = N;
    const TILE: &'static [usize] = &[2, 2];
    const DIRECT: &'static [usize] = &[2, 2];
    const BLOCKS: &'static [usize] = &[2, 2];
    type B = [[u8; 4]; N];
    type I = [i32; N];
    type F = [f32; N];
    type C = [i32; N];
    type W = [i32; N];

    #[inline(always)]
    fn call<K: Kernel>(self, k: K) -> K::Out {
        #[inline(never)]
        fn run<K: Kernel>(k: K) -> K::Out {
            k.run(Portable)
        }
        run(k)
    }
    #[inline(always)]
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 2 2: 2)
    }
    #[inline(always)]
    unsafe fn direct<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 2 2: 2)
    }
    #[inline(always)]
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T) {
        by_rows!(self, m, t, 1: 2 2: 2)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> Self::B {
        // SAFETY: the caller's promise; bytes need no alignment.
        unsafe { p.cast::<Self::B>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, v: Self::B) {
        // SAFETY: the caller's promise; bytes need no alignment.
        unsafe { p.cast::<Self::B>().write(v) }
    }
    #[inline(always)]
    unsafe fn quad(self, p: *const u8) -> Self::B {
        // SAFETY: the caller's promise; bytes need no alignment.
        [unsafe { p.cast::<[u8; 4]>().read() }; N]
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}

    #[inline(always)]
    fn low<const BITS: u32>(self, x: Self::B) -> Self::B {
        x.map(|four| four.map(|b| b & ((1 << BITS) - 1)))
    }
    #[inline(always)]
    fn down<const BITS: u32>(self, x: Self::B) -> Self::B {
        x.map(|four| four.map(|b| b >> BITS))
    }
    #[inline(always)]
    fn up<const BITS: u32>(self, x: Self::B) -> Self::B {
        x.map(|four| four.map(|b| b << BITS))
    }
    #[inline(always)]
    fn join(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| from_fn(|j| a[i][j] | b[i][j]))
    }
    #[inline(always)]
    fn sixteen(self, table: &'static [u8; 16], x: Self::B) -> Self::B {
        x.map(|four| four.map(|b| table[usize::from(b & 15)]))
    }
    #[inline(always)]
    fn where_least(self, x: Self::B, least: u8, below: Self::B, above: Self::B) -> Self::B {
        from_fn(|i| from_fn(|j| if x[i][j] >= least { above[i][j] } else { below[i][j] }))
    }
    #[inline(always)]
    fn five(self, x: Self::B) -> [Self::B; 2] {
        [0, 1].map(|which| x.map(|four| four.map(|b| FIVE[usize::from(b)][which])))
    }

    const VECTORS: Vectors = Vectors::None;
    #[inline(always)]
    fn plane(self, x: Self::B, p: usize) -> Self::B {
        x.map(|four| four.map(|b| b & (3 << (2 * p))))
    }

    #[inline(always)]
    fn run_codes(_: usize) -> usize {
        usize::MAX
    }
    const RAISED: i32 = 128;
    #[inline(always)]
    fn start_codes(self, seed: Self::I) -> Self::C {
        seed
    }
    #[inline(always)]
    fn dot_codes(self, acc: Self::C, w: Self::B, a: Self::B) -> Self::C {
        self.dot_bytes(acc, w, a)
    }
    #[inline(always)]
    fn finish_codes(self, acc: Self::C, _: Self::I) -> Self::I {
        acc
    }

    #[inline(always)]
    fn interleave(self, rows: [Self::B; 4]) -> [Self::B; 4] {
        from_fn(|v| from_fn(|i| rows.map(|r| r.as_flattened()[lane(v, i)])))
    }
    #[inline(always)]
    fn flip(self, x: Self::B) -> Self::B {
        x.map(|four| four.map(|b| b ^ 0x80))
    }

    const HALVES: usize = 1;
    const ZERO: i32 = 128;
    #[inline(always)]
    fn widen(self, x: Self::B, _: usize) -> Self::B {
        x
    }
    #[inline(always)]
    fn widen_signed(self, x: Self::B, _: usize) -> Self::B {
        x
    }
    #[inline(always)]
    fn widen_quad(quad: [i8; 4], out: &mut [u8]) {
        out.copy_from_slice(&quad.map(|v| v as u8));
    }
    #[inline(always)]
    fn start_bytes(self, seed: Self::I) -> Self::W {
        seed
    }
    #[inline(always)]
    fn dot_bytes(self, acc: Self::W, w: Self::B, a: Self::B) -> Self::W {
        from_fn(|i| {
            let product = |j: usize| i32::from(w[i][j]) * i32::from(a[i][j] as i8);
            acc[i].wrapping_add(product(0) + product(1) + product(2) + product(3))
        })
    }
    #[inline(always)]
    fn finish_bytes(self, acc: Self::W) -> Self::I {
        acc
    }

    #[inline(always)]
    fn int(self, v: i32) -> Self::I {
        [v; N]
    }
    #[inline(always)]
    fn add(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn shift(self, v: Self::I, bits: i32) -> Self::I {
        v.map(|v| v >> bits)
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> Self::I {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::I>().read() }
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: Self::I) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::I>().write(v) }
    }

    #[inline(always)]
    fn total(self, v: Self::I) -> i32 {
        v.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const i32) -> [Self::I; 4] {
        // SAFETY: the caller's promise.
        let all = unsafe { p.cast::<[i32; 4 * N]>().read() };
        from_fn(|v| from_fn(|i| all[lane(v, i)]))
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut i32, v: [Self::I; 4]) {
        let mut all = [0; 4 * N];
        for (v, vector) in v.iter().enumerate() {
            for (i, value) in vector.iter().enumerate() {
                all[lane(v, i)] = *value;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[i32; 4 * N]>().write(all) };
    }
    #[inline(always)]
    fn bits_as_floats(self, v: Self::I) -> Self::F {
        v.map(|v| f32::from_bits(v as u32))
    }
    #[inline(always)]
    fn rounded(self, v: Self::F, top: Self::F) -> Self::I {
        /// Adding it to a small number rounds to an integer, half to even, in the low bits of the sum.
        const ROUND: f32 = 12_582_912.0;
        from_fn(|i| {
            // NaN becomes the lowest.
            let v = if v[i] > LOWEST { v[i] } else { LOWEST };
            let v = if v < top[i] { v } else { top[i] };
            ((v + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
        })
    }
    #[inline(always)]
    unsafe fn store_codes<const NV: usize>(self, p: *mut u8, v: [Self::I; NV], coder: Coder) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[[u8; N]; NV]>().write(v.map(|v| v.map(|v| coder.code(v)))) };
    }
    #[inline(always)]
    unsafe fn store_lane_codes(self, p: *mut u8, v: [Self::I; 4], coder: Coder) {
        let mut all = [0; 4 * N];
        // SAFETY: as many numbers as four vectors have.
        unsafe { self.store_lanes(all.as_mut_ptr(), v) };
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u8; 4 * N]>().write(all.map(|v| coder.code(v))) };
    }

    #[inline(always)]
    fn zero(self) -> Self::F {
        [0.0; N]
    }
    #[inline(always)]
    unsafe fn splat(self, p: *const f32) -> Self::F {
        // SAFETY: the caller's promise.
        [unsafe { p.read() }; N]
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::F>().read() }
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: Self::F) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::F>().write(v) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u16; N]>().read() }.map(f16_to_f32)
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u16; N]>().read() }.map(bf16_to_f32)
    }
    #[inline(always)]
    fn to_floats(self, v: Self::I) -> Self::F {
        v.map(|v| v as f32)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn times(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn plus(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn divide(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn relu(self, x: Self::F) -> Self::F {
        x.map(|v| if v < 0.0 { 0.0 } else { v })
    }
    #[inline(always)]
    fn one_nan(self, x: Self::F) -> Self::F {
        x.map(one_nan)
    }
}
