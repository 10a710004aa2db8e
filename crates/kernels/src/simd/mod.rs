//! What the kernels ask of a SIMD level: vectors of a few weight rows, dot products of four columns, fused multiply-add.
//!
//! A level is a token, a value of a type that implements [`Simd`]. A token is made only where [`phalanx_simd::Tier`] has found
//! the level on this machine, and that is what makes the intrinsics behind its methods safe to call. The methods are inlined
//! into a kernel, and [`Simd::call`] compiles the kernel with the level's features.

use crate::format::FIVE;

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// Work to be compiled for a level.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// The work; inlined into a function with the level's features.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Work on a register tile of `M` activation rows by `NV` vectors of weight rows.
pub(crate) trait TileKernel: Copy {
    /// The work.
    ///
    /// # Safety
    /// The pointers in `self` reach as far as its documentation says, for `M` rows and `NV` vectors.
    unsafe fn run<S: Simd, const M: usize, const NV: usize>(self, s: S);
}

/// What kernel one row of activations and ternary weights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// The one of more rows.
    None,
    /// One that keeps codes where they stand and sums them in 16 bits.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "the levels of x86-64 that have no such dot product")
    )]
    Codes,
    /// One that keeps codes where they stand, for 16 lanes and a dot product of stored bytes in one instruction.
    Bytes,
}

/// Two digits of each number below 8, as the lower two planes and as the upper two, whatever the fourth bit.
const LOW_PAIR: [u8; 16] = pairs(0);
const HIGH_PAIR: [u8; 16] = pairs(4);
/// The four digits of a byte of [`crate::PackedFormat::T3`] from 0xc0 on, and from 0xf0 on, by its low half.
const NINTH: [u8; 16] = others(0xc0);
const BOTH: [u8; 16] = others(0xf0);

const fn pairs(up: u32) -> [u8; 16] {
    let mut all = [0; 16];
    let mut i = 0;
    while i < 16 {
        all[i] = (FIVE[i & 7][1] & 15) << up;
        i += 1;
    }
    all
}

const fn others(from: usize) -> [u8; 16] {
    let mut all = [0; 16];
    let mut i = 0;
    while i < 16 {
        all[i] = FIVE[from + i][1];
        i += 1;
    }
    all
}

/// [`Simd::five`] by lookups of half bytes.
#[inline(always)]
pub(crate) fn five_by_halves<S: Simd>(s: S, x: S::B) -> [S::B; 2] {
    let low = s.low::<4>(x);
    let pairs = s.join(s.sixteen(&LOW_PAIR, low), s.sixteen(&HIGH_PAIR, s.low::<4>(s.down::<3>(x))));
    // Where a pair is the ninth, and where both are.
    let one = |below, above| s.where_least(x, 0xc0, below, above);
    let both = |below, above| s.where_least(x, 0xf0, below, above);
    let ninth = s.sixteen(&NINTH, low);
    [both(one(x, s.up::<2>(x)), s.up::<6>(x)), both(one(pairs, ninth), s.sixteen(&BOTH, low))]
}

/// From rounded values to 8-bit codes. Signed codes are made as unsigned ones, 128 higher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coder {
    /// What values are held to from above before they are rounded.
    pub(crate) top: f32,
    /// Added.
    pub(crate) zero: i16,
    /// The lowest code.
    pub(crate) floor: u8,
    /// Bits of a code to be turned over at the end.
    pub(crate) flip: u8,
}

impl Coder {
    /// The code of what [`Simd::rounded`] gives.
    #[inline(always)]
    pub(crate) fn code(self, v: i32) -> u8 {
        let v = v.clamp(i16::MIN.into(), i16::MAX.into()) + i32::from(self.zero);
        (v.clamp(0, 255) as u8).max(self.floor) ^ self.flip
    }
}

/// One SIMD level. Vectors have one 32-bit lane for each of [`Simd::LANES`] weight rows.
pub(crate) trait Simd: Copy {
    /// Weight rows of a vector.
    const LANES: usize;
    /// Vectors of the register tile of one row of activations, of two, and so on to its most rows.
    const TILE: &'static [usize];
    /// As [`Simd::TILE`] where weights are unpacked on the way.
    const DIRECT: &'static [usize];
    /// As [`Simd::TILE`] with a scale for each block.
    const BLOCKS: &'static [usize];
    /// Four bytes in each lane.
    type B: Copy;
    /// An i32 in each lane.
    type I: Copy;
    /// An f32 in each lane.
    type F: Copy;
    /// Sums of small codes.
    type C: Copy;
    /// Sums of whole bytes.
    type W: Copy;

    /// Runs `k` compiled for this level.
    fn call<K: Kernel>(self, k: K) -> K::Out;
    /// Runs `t` on `m` rows, by as many vectors as [`Simd::TILE`] says.
    ///
    /// # Safety
    /// As [`TileKernel::run`].
    unsafe fn tile<T: TileKernel>(self, m: usize, t: T);
    /// As [`Simd::tile`] with [`Simd::DIRECT`].
    ///
    /// # Safety
    /// As [`TileKernel::run`].
    unsafe fn direct<T: TileKernel>(self, m: usize, t: T);
    /// As [`Simd::tile`] with [`Simd::BLOCKS`].
    ///
    /// # Safety
    /// As [`TileKernel::run`].
    unsafe fn blocks<T: TileKernel>(self, m: usize, t: T);

    /// # Safety
    /// A vector's bytes can be read at `p`.
    unsafe fn load(self, p: *const u8) -> Self::B;
    /// # Safety
    /// A vector's bytes can be written at `p`.
    unsafe fn store(self, p: *mut u8, v: Self::B);
    /// Four bytes in all lanes.
    ///
    /// # Safety
    /// Four bytes can be read at `p`.
    unsafe fn quad(self, p: *const u8) -> Self::B;
    /// A hint that `p`, which need not exist, will be read.
    fn prefetch(self, p: *const u8);

    /// The low `BITS` (2 or 4) of each byte.
    fn low<const BITS: u32>(self, x: Self::B) -> Self::B;
    /// Moves bits `BITS..8` of each byte down by `BITS` (2, 3, 4 or 6); what stands above them afterwards is unspecified.
    fn down<const BITS: u32>(self, x: Self::B) -> Self::B;
    /// Moves the lower bits of each byte up by `BITS` (2 or 6); what stands below them afterwards is unspecified.
    fn up<const BITS: u32>(self, x: Self::B) -> Self::B;
    /// The bits of both.
    fn join(self, a: Self::B, b: Self::B) -> Self::B;
    /// The entry that each byte, 0 to 15, names.
    fn sixteen(self, table: &'static [u8; 16], x: Self::B) -> Self::B;
    /// `above` where the byte of `x` is `least` or more, else `below`.
    fn where_least(self, x: Self::B, least: u8, below: Self::B, above: Self::B) -> Self::B;
    /// As the table in `format.rs` has it for each byte of [`crate::PackedFormat::T3`]: the first digit in bits 6 and 7 (the
    /// others are unspecified), the other four as two bits each.
    #[inline(always)]
    fn five(self, x: Self::B) -> [Self::B; 2] {
        five_by_halves(self, x)
    }
    /// Runs `k` with [`Simd::five`] as fast as this machine can do it, for kernels that use it.
    #[inline(always)]
    fn call_five<K: Kernel>(self, k: K) -> K::Out {
        self.call(k)
    }

    /// How one row of activations is multiplied with ternary weights (`vector.rs`).
    const VECTORS: Vectors;
    /// Bits `2p` and `2p + 1` of each byte, where they stand.
    fn plane(self, x: Self::B, p: usize) -> Self::B;
    /// All of [`Simd::plane`], made before any is used: with separations and multiplications in turn, each often waits for the
    /// execution unit that the other has, and an eighth of them is lost.
    #[inline(always)]
    fn planes(self, x: Self::B) -> [Self::B; 4] {
        [self.plane(x, 0), self.plane(x, 1), self.plane(x, 2), self.plane(x, 3)]
    }

    /// `x`, which is not used before `sums` are made: the compiler would do as much as possible at once, and more than registers hold.
    #[inline(always)]
    fn after(self, x: Self::B, sums: [Self::W; 4]) -> (Self::B, [Self::W; 4]) {
        (x, sums)
    }

    /// How many steps of four columns [`Simd::dot_codes`] may add between [`Simd::start_codes`] and [`Simd::finish_codes`], for
    /// codes up to `max`.
    fn run_codes(max: usize) -> usize;
    /// What [`Simd::dot_codes`] takes a byte of value 0 in its first vector for: 128 where that is of unsigned bytes.
    const RAISED: i32;
    /// The beginning of a sum that starts at `seed`.
    fn start_codes(self, seed: Self::I) -> Self::C;
    /// Adds, in each lane, the products of four codes (0 to 15) with four signed activations.
    fn dot_codes(self, acc: Self::C, w: Self::B, a: Self::B) -> Self::C;
    /// The sum; `seed` as given to [`Simd::start_codes`].
    fn finish_codes(self, acc: Self::C, seed: Self::I) -> Self::I;

    /// Byte `c` of four rows as byte 0 to 3 of a lane: of result `v`, lane `i` is of byte 16 * (i / 4) + 4 * v + i % 4.
    fn interleave(self, rows: [Self::B; 4]) -> [Self::B; 4];
    /// 128 added to each byte, wrapping.
    fn flip(self, x: Self::B) -> Self::B;

    /// Into how many vectors four whole bytes of each row expand, with as many times the activations.
    const HALVES: usize;
    /// What [`Simd::dot_bytes`] takes a byte of value 0 for: 128 where it multiplies bytes as they are stored.
    const ZERO: i32;
    /// Expanded vector `half` of four stored bytes in each lane.
    fn widen(self, x: Self::B, half: usize) -> Self::B;
    /// As [`Simd::widen`] of signed bytes: what [`Simd::dot_bytes`] takes as activations.
    fn widen_signed(self, x: Self::B, half: usize) -> Self::B;
    /// Writes the activations that [`Simd::dot_bytes`] takes beside each expanded vector for four columns.
    fn widen_quad(quad: [i8; 4], out: &mut [u8]);
    /// The beginning of a sum that starts at `seed`.
    fn start_bytes(self, seed: Self::I) -> Self::W;
    /// Adds, in each lane, the products of an expanded vector with its activations.
    fn dot_bytes(self, acc: Self::W, w: Self::B, a: Self::B) -> Self::W;
    /// The sum.
    fn finish_bytes(self, acc: Self::W) -> Self::I;

    /// Exact sums of `M` rows of activations by `NV` vectors of weight rows over `steps` steps of whole unsigned bytes, where a
    /// level has an instruction for two rows by two at once; `None` where it has none.
    ///
    /// # Safety
    /// `steps` steps of 64 rows lie at `b`, the vectors' first; four bytes for each step lie at `a` and, for each row, `lda` bytes
    /// further on.
    #[inline(always)]
    unsafe fn pairs<const M: usize, const NV: usize>(
        self,
        _b: *const u8,
        _steps: usize,
        _a: *const u8,
        _lda: usize,
    ) -> Option<[[Self::I; NV]; M]> {
        None
    }

    /// An i32 in all lanes.
    fn int(self, v: i32) -> Self::I;
    /// Wrapping sum.
    fn add(self, a: Self::I, b: Self::I) -> Self::I;
    /// Wrapping difference.
    fn sub(self, a: Self::I, b: Self::I) -> Self::I;
    /// Divided by 2 to the power `bits`, exact sums only.
    fn shift(self, v: Self::I, bits: i32) -> Self::I;
    /// # Safety
    /// A vector of i32 can be read at `p`.
    unsafe fn load_ints(self, p: *const i32) -> Self::I;
    /// # Safety
    /// A vector of i32 can be written at `p`.
    unsafe fn store_ints(self, p: *mut i32, v: Self::I);

    /// The sum of all lanes, wrapping.
    fn total(self, v: Self::I) -> i32;
    /// Four vectors of i32 in the order of [`Simd::interleave`].
    ///
    /// # Safety
    /// Four vectors of i32 can be read at `p`.
    unsafe fn load_lanes(self, p: *const i32) -> [Self::I; 4];
    /// What [`Simd::load_lanes`] reads.
    ///
    /// # Safety
    /// Four vectors of i32 can be written at `p`.
    unsafe fn store_lanes(self, p: *mut i32, v: [Self::I; 4]);
    /// The same bits as floats.
    fn bits_as_floats(self, v: Self::I) -> Self::F;
    /// Rounded half to even, held to `top` from above. NaN and what is below -2^15 become some number up to -2^15.
    fn rounded(self, v: Self::F, top: Self::F) -> Self::I;
    /// The codes ([`Coder::code`]) of vectors in order; what [`Simd::TILE`] names are so many.
    ///
    /// # Safety
    /// A byte for each lane can be written at `p`.
    unsafe fn store_codes<const NV: usize>(self, p: *mut u8, v: [Self::I; NV], coder: Coder);
    /// The codes of four vectors in the order of [`Simd::interleave`].
    ///
    /// # Safety
    /// A byte for each lane can be written at `p`.
    unsafe fn store_lane_codes(self, p: *mut u8, v: [Self::I; 4], coder: Coder);

    /// 0 in all lanes.
    fn zero(self) -> Self::F;
    /// # Safety
    /// An f32 can be read at `p`.
    unsafe fn splat(self, p: *const f32) -> Self::F;
    /// # Safety
    /// A vector of f32 can be read at `p`.
    unsafe fn load_floats(self, p: *const f32) -> Self::F;
    /// # Safety
    /// A vector of f32 can be written at `p`.
    unsafe fn store_floats(self, p: *mut f32, v: Self::F);
    /// # Safety
    /// A vector of f16 can be read at `p`.
    unsafe fn load_f16(self, p: *const u16) -> Self::F;
    /// # Safety
    /// A vector of bf16 can be read at `p`.
    unsafe fn load_bf16(self, p: *const u16) -> Self::F;
    /// Rounded to nearest even.
    fn to_floats(self, v: Self::I) -> Self::F;
    /// a * b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a * b.
    fn times(self, a: Self::F, b: Self::F) -> Self::F;
    /// a + b.
    fn plus(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    fn divide(self, a: Self::F, b: Self::F) -> Self::F;
    /// 0 where x is below 0, else x.
    fn relu(self, x: Self::F) -> Self::F;
    /// The bits of `f32::NAN` in place of every NaN.
    fn one_nan(self, x: Self::F) -> Self::F;
}

/// One instruction of a level whose token is at hand.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! op {
    ($e:expr) => {{
        // SAFETY: needs nothing but the level's features, and the token (`self`) is made only where the machine has them.
        unsafe { $e }
    }};
}

/// One access of a level whose token is at hand.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! access {
    ($e:expr) => {{
        // SAFETY: features as in `op!`; the pointer is as the caller of this method promised, and needs no alignment.
        unsafe { $e }
    }};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use {access, op};

/// Writes [`Simd::tile`]-like methods: a match from the number of rows to the kernel for it and its vectors.
macro_rules! by_rows {
    ($s:expr, $m:expr, $t:expr, $($rows:literal: $nv:literal)+) => {{
        struct Fixed<T, const M: usize>(T);
        $(impl<T: TileKernel> Kernel for Fixed<T, $rows> {
            type Out = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                // SAFETY: the caller of `tile` or `blocks` promised this kernel's condition for these rows and vectors.
                unsafe { self.0.run::<S, $rows, $nv>(s) }
            }
        })+
        match $m {
            $($rows => $s.call(Fixed::<T, $rows>($t)),)+
            other => unreachable!("{other} rows in a register tile"),
        }
    }};
}
pub(crate) use by_rows;

/// Evaluates an expression with the token of a level; without one, with that of portable code.
macro_rules! at_level {
    ($tier:expr, $s:ident => $e:expr) => {{
        #[cfg(target_arch = "x86_64")]
        {
            use crate::simd::x86::{Avx2, Avx512};
            match $tier {
                phalanx_simd::Tier::Avx2 => {
                    if let Some($s) = Avx2::new() {
                        return $e;
                    }
                }
                phalanx_simd::Tier::Avx512 => {
                    if let Some($s) = Avx512::<false>::new() {
                        return $e;
                    }
                }
                phalanx_simd::Tier::Avx512Vnni => {
                    if let Some($s) = Avx512::<true>::new() {
                        return $e;
                    }
                }
                _ => {}
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use crate::simd::neon::{DOTPROD, I8MM, Neon, PLAIN};
            match $tier {
                phalanx_simd::Tier::Neon => {
                    if let Some($s) = Neon::<PLAIN>::new() {
                        return $e;
                    }
                }
                phalanx_simd::Tier::NeonDotprod => {
                    if let Some($s) = Neon::<DOTPROD>::new() {
                        return $e;
                    }
                }
                phalanx_simd::Tier::NeonI8mm => {
                    if let Some($s) = Neon::<I8MM>::new() {
                        return $e;
                    }
                }
                _ => {}
            }
        }
        let $s = crate::simd::portable::Portable;
        $e
    }};
}
pub(crate) use at_level;
