//! The scalar bodies of the arithmetic operations, written once per operation over traits of the value types.
//!
//! This is the second, independent writing of what `reference::semantics` derives from the tables; the tests compare them.
//! Every body is branch-free where it can be, so that a loop over 32 lanes becomes vector code at the tier's width.

use super::tier::Level;
use phalanx_simd::half;
use phalanx_simd::math::{double, single};
use std::marker::PhantomData;

/// An f16 as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(transparent)]
pub(super) struct F16(pub(super) u16);
/// A bf16 as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(transparent)]
pub(super) struct Bf16(pub(super) u16);

/// A value type of lanes.
pub(super) trait Value: Copy + Default + PartialEq + Send + Sync + 'static {
    /// From the low bits of a word.
    fn from_bits(bits: u64) -> Self;
    /// To the low bits of a word, the rest zero.
    fn bits(self) -> u64;
    /// The one NaN pattern for a NaN; everything else stays.
    fn canonical(self) -> Self;
    /// The unsigned integer of the same size: how memory holds it.
    type Raw: crate::view::Elem;
    /// `L` for 32- and 64-bit types, `N` for narrower ones: AVX-512 bodies are made for the wide types only, the narrow ones
    /// share AVX2's, which halves the code.
    type Pick<L: Level, N: Level>: Level;
}

/// Arithmetic that all twelve number types have.
pub(super) trait Num: Value {
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn min(self, b: Self) -> Self;
    fn max(self, b: Self) -> Self;
    fn abs(self) -> Self;
    fn neg(self) -> Self;
    fn mad(self, b: Self, c: Self) -> Self;
    fn less(self, b: Self) -> bool;
    fn equal(self, b: Self) -> bool;
    fn is_nan(self) -> bool;
    /// Identities for reductions: absent lanes count as these.
    const ADD_ID: Self;
    const MIN_ID: Self;
    const MAX_ID: Self;
}

/// Integers.
pub(super) trait Int: Num {
    fn mulhi(self, b: Self) -> Self;
    /// Quotient toward zero; `b` is not zero.
    fn quotient(self, b: Self) -> Self;
    /// Remainder; `b` is not zero.
    fn remainder(self, b: Self) -> Self;
    fn is_zero(self) -> bool;
    fn addsat(self, b: Self) -> Self;
    fn subsat(self, b: Self) -> Self;
    fn and(self, b: Self) -> Self;
    fn or(self, b: Self) -> Self;
    fn xor(self, b: Self) -> Self;
    fn not(self) -> Self;
    fn shl(self, n: u32) -> Self;
    fn shr(self, n: u32) -> Self;
    fn rotl(self, n: u32) -> Self;
    fn popc(self) -> Self;
    fn clz(self) -> Self;
    fn ctz(self) -> Self;
    fn brev(self) -> Self;
    const ONES: Self;
    const ZERO: Self;
    const ONE: Self;
}

/// Floats.
pub(super) trait Float: Num {
    fn fma(self, b: Self, c: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn rem(self, b: Self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    fn rint(self) -> Self;
    fn sqrt(self) -> Self;
    fn rsqrt(self) -> Self;
    fn rcp(self) -> Self;
    fn exp(self) -> Self;
    fn exp2(self) -> Self;
    fn log(self) -> Self;
    fn log2(self) -> Self;
    fn log10(self) -> Self;
    fn pow(self, b: Self) -> Self;
    fn tanh(self) -> Self;
    fn sigmoid(self) -> Self;
    fn erf(self) -> Self;
    /// The fast forms, right where `wide` is false.
    fn sin_fast(self) -> Self;
    fn cos_fast(self) -> Self;
    fn tan_fast(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tan(self) -> Self;
    /// Whether an argument is too large for the fast forms.
    fn wide(self) -> bool;
}

macro_rules! ints {
    ($($t:ty, $u:ty, $wide:ty, $pick:ident;)*) => { $(
        impl Value for $t {
            #[inline(always)]
            fn from_bits(bits: u64) -> Self { bits as $t }
            #[inline(always)]
            fn bits(self) -> u64 { self as $u as u64 }
            #[inline(always)]
            fn canonical(self) -> Self { self }
            type Raw = $u;
            type Pick<L: Level, N: Level> = $pick;
        }
        impl Num for $t {
            #[inline(always)]
            fn add(self, b: Self) -> Self { self.wrapping_add(b) }
            #[inline(always)]
            fn sub(self, b: Self) -> Self { self.wrapping_sub(b) }
            #[inline(always)]
            fn mul(self, b: Self) -> Self { self.wrapping_mul(b) }
            #[inline(always)]
            fn min(self, b: Self) -> Self { Ord::min(self, b) }
            #[inline(always)]
            fn max(self, b: Self) -> Self { Ord::max(self, b) }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "shared by signed and unsigned types")]
            fn abs(self) -> Self { if self < 0 { (0 as $t).wrapping_sub(self) } else { self } }
            #[inline(always)]
            fn neg(self) -> Self { (0 as $t).wrapping_sub(self) }
            #[inline(always)]
            fn mad(self, b: Self, c: Self) -> Self { self.wrapping_mul(b).wrapping_add(c) }
            #[inline(always)]
            fn less(self, b: Self) -> bool { self < b }
            #[inline(always)]
            fn equal(self, b: Self) -> bool { self == b }
            #[inline(always)]
            fn is_nan(self) -> bool { false }
            const ADD_ID: Self = 0;
            const MIN_ID: Self = <$t>::MAX;
            const MAX_ID: Self = <$t>::MIN;
        }
        impl Int for $t {
            #[inline(always)]
            fn mulhi(self, b: Self) -> Self { ((self as $wide * b as $wide) >> <$t>::BITS) as $t }
            #[inline(always)]
            fn quotient(self, b: Self) -> Self { self.wrapping_div(b) }
            #[inline(always)]
            fn remainder(self, b: Self) -> Self { self.wrapping_rem(b) }
            #[inline(always)]
            fn is_zero(self) -> bool { self == 0 }
            #[inline(always)]
            fn addsat(self, b: Self) -> Self { self.saturating_add(b) }
            #[inline(always)]
            fn subsat(self, b: Self) -> Self { self.saturating_sub(b) }
            #[inline(always)]
            fn and(self, b: Self) -> Self { self & b }
            #[inline(always)]
            fn or(self, b: Self) -> Self { self | b }
            #[inline(always)]
            fn xor(self, b: Self) -> Self { self ^ b }
            #[inline(always)]
            fn not(self) -> Self { !self }
            #[inline(always)]
            fn shl(self, n: u32) -> Self { if n < <$t>::BITS { self.wrapping_shl(n) } else { 0 } }
            #[inline(always)]
            fn shr(self, n: u32) -> Self {
                // Shifting by all but one bit and once more gives 0 or the sign without a branch on the type.
                let last = self.wrapping_shr(<$t>::BITS - 1) >> 1;
                if n < <$t>::BITS { self.wrapping_shr(n) } else { last }
            }
            #[inline(always)]
            fn rotl(self, n: u32) -> Self { self.rotate_left(n % <$t>::BITS) }
            #[inline(always)]
            fn popc(self) -> Self { self.count_ones() as $t }
            #[inline(always)]
            fn clz(self) -> Self { self.leading_zeros() as $t }
            #[inline(always)]
            fn ctz(self) -> Self { self.trailing_zeros() as $t }
            #[inline(always)]
            fn brev(self) -> Self { self.reverse_bits() }
            const ONES: Self = !0;
            const ZERO: Self = 0;
            const ONE: Self = 1;
        }
    )* };
}
ints! {
    i8, u8, i16, N; i16, u16, i32, N; i32, u32, i64, L; i64, u64, i128, L;
    u8, u8, u16, N; u16, u16, u32, N; u32, u32, u64, L; u64, u64, u128, L;
}

macro_rules! floats {
    ($($t:ident, $bits:ty, $math:ident, $nan:expr, $wide:ident;)*) => { $(
        impl Value for $t {
            #[inline(always)]
            fn from_bits(bits: u64) -> Self { $t::from_bits(bits as $bits) }
            #[inline(always)]
            fn bits(self) -> u64 { self.to_bits() as u64 }
            #[inline(always)]
            fn canonical(self) -> Self { if self.is_nan() { $t::from_bits($nan) } else { self } }
            type Raw = $bits;
            type Pick<L: Level, N: Level> = L;
        }
        impl Num for $t {
            #[inline(always)]
            fn add(self, b: Self) -> Self { self + b }
            #[inline(always)]
            fn sub(self, b: Self) -> Self { self - b }
            #[inline(always)]
            fn mul(self, b: Self) -> Self { self * b }
            #[inline(always)]
            fn min(self, b: Self) -> Self {
                // A number wins over NaN; of two zeros the negative one. Unordered compares are false, so `b` NaN keeps self.
                let zeros = $t::from_bits(self.to_bits() | b.to_bits());
                let r = if self < b { self } else { b };
                let r = if self == b { zeros } else { r };
                if b != b { self } else { r }
            }
            #[inline(always)]
            fn max(self, b: Self) -> Self {
                let zeros = $t::from_bits(self.to_bits() & b.to_bits());
                let r = if self > b { self } else { b };
                let r = if self == b { zeros } else { r };
                if b != b { self } else { r }
            }
            #[inline(always)]
            fn abs(self) -> Self { $t::abs(self) }
            #[inline(always)]
            fn neg(self) -> Self { -self }
            #[inline(always)]
            fn mad(self, b: Self, c: Self) -> Self { self * b + c }
            #[inline(always)]
            fn less(self, b: Self) -> bool { self < b }
            #[inline(always)]
            fn equal(self, b: Self) -> bool { self == b }
            #[inline(always)]
            fn is_nan(self) -> bool { self != self }
            const ADD_ID: Self = -0.0;
            const MIN_ID: Self = $t::NAN;
            const MAX_ID: Self = $t::NAN;
        }
        impl Float for $t {
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self { self.mul_add(b, c) }
            #[inline(always)]
            fn div(self, b: Self) -> Self { self / b }
            #[inline(always)]
            fn rem(self, b: Self) -> Self { self % b }
            #[inline(always)]
            fn floor(self) -> Self { $t::floor(self) }
            #[inline(always)]
            fn ceil(self) -> Self { $t::ceil(self) }
            #[inline(always)]
            fn trunc(self) -> Self { $t::trunc(self) }
            #[inline(always)]
            fn rint(self) -> Self { $t::round_ties_even(self) }
            floats!(@math $math: sqrt rsqrt rcp exp exp2 log log2 log10 tanh sigmoid erf sin_fast cos_fast tan_fast sin cos tan);
            #[inline(always)]
            fn pow(self, b: Self) -> Self { $math::pow(self, b) }
            #[inline(always)]
            fn wide(self) -> bool { $math::$wide(self) }
        }
    )* };
    (@math $math:ident: $($f:ident)*) => { $(
        #[inline(always)]
        fn $f(self) -> Self { $math::$f(self) }
    )* };
}
floats! {
    f32, u32, single, 0x7fc0_0000, sin_needs_wide;
    f64, u64, double, 0x7ff8_0000_0000_0000, sin_needs_wide;
}

/// The 16-bit floats: every operation is the f32 operation rounded once.
macro_rules! halves {
    ($($t:ident, $up:ident, $down:ident, $inf:expr, $nan:expr;)*) => { $(
        impl $t {
            #[inline(always)]
            pub(super) fn up(self) -> f32 { half::$up(self.0) }
            #[inline(always)]
            pub(super) fn down(v: f32) -> Self { $t(half::$down(v)) }
        }
        impl Value for $t {
            #[inline(always)]
            fn from_bits(bits: u64) -> Self { $t(bits as u16) }
            #[inline(always)]
            fn bits(self) -> u64 { self.0 as u64 }
            #[inline(always)]
            fn canonical(self) -> Self { if self.0 & 0x7fff > $inf { $t($nan) } else { self } }
            type Raw = u16;
            type Pick<L: Level, N: Level> = N;
        }
        impl Num for $t {
            halves!(@two Num: add sub mul min max);
            halves!(@one Num: neg abs);
            #[inline(always)]
            fn mad(self, b: Self, c: Self) -> Self { $t::down(self.up() * b.up() + c.up()) }
            #[inline(always)]
            fn less(self, b: Self) -> bool { self.up() < b.up() }
            #[inline(always)]
            fn equal(self, b: Self) -> bool { self.up() == b.up() }
            #[inline(always)]
            fn is_nan(self) -> bool { self.0 & 0x7fff > $inf }
            const ADD_ID: Self = $t(0x8000);
            const MIN_ID: Self = $t($nan);
            const MAX_ID: Self = $t($nan);
        }
        impl Float for $t {
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self { $t::down(self.up().mul_add(b.up(), c.up())) }
            halves!(@two Float: div rem pow);
            halves!(@one Float: floor ceil trunc rint sqrt rsqrt rcp exp exp2 log log2 log10 tanh sigmoid erf sin_fast cos_fast tan_fast sin cos tan);
            #[inline(always)]
            fn wide(self) -> bool { single::sin_needs_wide(self.up()) }
        }
    )* };
    (@two $bound:ident: $($f:ident)*) => { $(
        #[inline(always)]
        fn $f(self, b: Self) -> Self { Self::down(<f32 as $bound>::$f(self.up(), b.up())) }
    )* };
    (@one $bound:ident: $($f:ident)*) => { $(
        #[inline(always)]
        fn $f(self) -> Self { Self::down(<f32 as $bound>::$f(self.up())) }
    )* };
}
halves! {
    F16, f16_to_f32, f32_to_f16, 0x7c00, 0x7e00;
    Bf16, bf16_to_f32, f32_to_bf16, 0x7f80, 0x7fc0;
}

/// An operation with one source.
pub(super) trait Un {
    type A: Value;
    type D: Value;
    fn f(a: Self::A) -> Self::D;
}
/// An operation with two sources of its type.
pub(super) trait Bin {
    type T: Value;
    fn f(a: Self::T, b: Self::T) -> Self::T;
}
/// An operation with three sources.
pub(super) trait Tern {
    type T: Value;
    fn f(a: Self::T, b: Self::T, c: Self::T) -> Self::T;
}
/// A shift: the amount is u32.
pub(super) trait Shift {
    type T: Value;
    fn f(a: Self::T, n: u32) -> Self::T;
}
/// A comparison.
pub(super) trait Compare {
    type T: Value;
    fn f(a: Self::T, b: Self::T) -> bool;
}

macro_rules! un_ops {
    ($($bound:ident: $($name:ident $f:ident),*;)*) => { $($(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: $bound> Un for $name<T> {
            type A = T;
            type D = T;
            #[inline(always)]
            fn f(a: T) -> T { $bound::$f(a) }
        }
    )*)* };
}
un_ops! {
    Num: Abs abs, Neg neg;
    Int: Not not, Popc popc, Clz clz, Ctz ctz, Brev brev;
    Float: Floor floor, Ceil ceil, Trunc trunc, Rint rint, Sqrt sqrt, Rsqrt rsqrt, Rcp rcp, Exp exp, Exp2 exp2, Log log,
        Log2 log2, Log10 log10, Tanh tanh, Sigmoid sigmoid, Erf erf;
}
macro_rules! bin_ops {
    ($($bound:ident: $($name:ident $f:ident),*;)*) => { $($(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: $bound> Bin for $name<T> {
            type T = T;
            #[inline(always)]
            fn f(a: T, b: T) -> T { $bound::$f(a, b) }
        }
    )*)* };
}
bin_ops! {
    Num: Add add, Sub sub, Mul mul, Min min, Max max;
    Int: MulHi mulhi, AddSat addsat, SubSat subsat, And and, Or or, Xor xor, Quotient quotient, Remainder remainder;
    Float: DivF div, RemF rem, Pow pow;
}
/// a * b + c, rounded as the type does.
pub(super) struct Mad<T>(PhantomData<T>);
impl<T: Num> Tern for Mad<T> {
    type T = T;
    #[inline(always)]
    fn f(a: T, b: T, c: T) -> T {
        a.mad(b, c)
    }
}
/// a * b + c, rounded once.
pub(super) struct Fma<T>(PhantomData<T>);
impl<T: Float> Tern for Fma<T> {
    type T = T;
    #[inline(always)]
    fn f(a: T, b: T, c: T) -> T {
        Float::fma(a, b, c)
    }
}
macro_rules! shift_ops {
    ($($name:ident $f:ident),*) => { $(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: Int> Shift for $name<T> {
            type T = T;
            #[inline(always)]
            fn f(a: T, n: u32) -> T { Int::$f(a, n) }
        }
    )* };
}
shift_ops!(Shl shl, Shr shr, Rotl rotl);

macro_rules! cmp_ops {
    ($($name:ident |$a:ident, $b:ident| $e:expr;)*) => { $(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: Num> Compare for $name<T> {
            type T = T;
            #[inline(always)]
            fn f($a: T, $b: T) -> bool { $e }
        }
    )* };
}
cmp_ops! {
    CmpEq |a, b| a.equal(b);
    CmpNe |a, b| a.less(b) | b.less(a);
    CmpLt |a, b| a.less(b);
    CmpLe |a, b| a.less(b) | a.equal(b);
    CmpNum |a, b| !(a.is_nan() | b.is_nan());
    CmpNan |a, b| a.is_nan() | b.is_nan();
    CmpNeu |a, b| !a.equal(b);
    CmpEqu |a, b| !(a.less(b) | b.less(a));
    CmpLtu |a, b| !(b.less(a) | a.equal(b));
    CmpLeu |a, b| !b.less(a);
}

/// The three functions whose huge arguments take a slow path of their own.
pub(super) trait Trig {
    type T: Float;
    fn fast(a: Self::T) -> Self::T;
    fn full(a: Self::T) -> Self::T;
}
macro_rules! trig_ops {
    ($($name:ident $fast:ident $full:ident),*) => { $(
        pub(super) struct $name<T>(PhantomData<T>);
        impl<T: Float> Trig for $name<T> {
            type T = T;
            #[inline(always)]
            fn fast(a: T) -> T { Float::$fast(a) }
            #[inline(always)]
            fn full(a: T) -> T { Float::$full(a) }
        }
    )* };
}
trig_ops!(Sin sin_fast sin, Cos cos_fast cos, Tan tan_fast tan);

/// Float to integer, the rounding chosen by the operation: `round` makes an integer value of the source, `f` the integer.
pub(super) struct ToInt<S, D>(PhantomData<(S, D)>);
/// Any number to a float, rounded once.
pub(super) struct ToFloat<S, D>(PhantomData<(S, D)>);
/// Integer to integer, wrapping.
pub(super) struct Wrap<S, D>(PhantomData<(S, D)>);
/// Integer to integer, saturating.
pub(super) struct Sat<S, D>(PhantomData<(S, D)>);

/// A float as the f32 or f64 that holds it exactly, and its roundings to integer values.
pub(super) trait FloatSource: Value {
    type Wide: Float;
    fn wide_value(self) -> Self::Wide;
}
macro_rules! float_sources {
    ($($t:ident $wide:ident |$v:ident| $e:expr;)*) => { $(
        impl FloatSource for $t {
            type Wide = $wide;
            #[inline(always)]
            fn wide_value(self) -> $wide { let $v = self; $e }
        }
    )* };
}
float_sources! { F16 f32 |v| v.up(); Bf16 f32 |v| v.up(); f32 f32 |v| v; f64 f64 |v| v; }

/// A conversion of a float that has an integer value or is beyond all integers.
pub(super) trait FloatToInt {
    type S: FloatSource;
    type D: Value;
    fn f(a: <Self::S as FloatSource>::Wide) -> Self::D;
}
macro_rules! to_int {
    ($($s:ty, $wide:ty;)*) => { $( to_int!(@ $s, $wide: i8 i16 i32 i64 u8 u16 u32 u64); )* };
    (@ $s:ty, $wide:ty: $($d:ty)*) => { $(
        impl FloatToInt for ToInt<$s, $d> {
            type S = $s;
            type D = $d;
            // Rust's `as` saturates and maps NaN to 0, as the ISA does.
            #[inline(always)]
            fn f(a: $wide) -> $d { a as $d }
        }
    )* };
}
to_int! { F16, f32; Bf16, f32; f32, f32; f64, f64; }

macro_rules! int_casts {
    ($($s:ty: $($d:ty)*;)*) => { $($(
        impl Un for Wrap<$s, $d> {
            type A = $s;
            type D = $d;
            #[inline(always)]
            fn f(a: $s) -> $d { a as $d }
        }
        impl Un for Sat<$s, $d> {
            type A = $s;
            type D = $d;
            #[inline(always)]
            fn f(a: $s) -> $d {
                (a as i128).clamp(<$d>::MIN as i128, <$d>::MAX as i128) as $d
            }
        }
    )*)* };
}
int_casts! {
    i8: i8 i16 i32 i64 u8 u16 u32 u64; i16: i8 i16 i32 i64 u8 u16 u32 u64;
    i32: i8 i16 i32 i64 u8 u16 u32 u64; i64: i8 i16 i32 i64 u8 u16 u32 u64;
    u8: i8 i16 i32 i64 u8 u16 u32 u64; u16: i8 i16 i32 i64 u8 u16 u32 u64;
    u32: i8 i16 i32 i64 u8 u16 u32 u64; u64: i8 i16 i32 i64 u8 u16 u32 u64;
}

macro_rules! to_float {
    ($($s:ty => $d:ty: |$a:ident| $e:expr;)*) => { $(
        impl Un for ToFloat<$s, $d> {
            type A = $s;
            type D = $d;
            #[inline(always)]
            fn f($a: $s) -> $d { $e }
        }
    )* };
}
macro_rules! int_to_float {
    ($($s:ty, $wide:ty, $h:ident, $b:ident;)*) => { to_float! { $(
        $s => f32: |a| a as f32;
        $s => f64: |a| a as f64;
        $s => F16: |a| F16(half::$h(a as $wide));
        $s => Bf16: |a| Bf16(half::$b(a as $wide));
    )* } };
}
int_to_float! {
    i8, i32, i32_to_f16, i32_to_bf16; i16, i32, i32_to_f16, i32_to_bf16; i32, i32, i32_to_f16, i32_to_bf16;
    i64, i64, i64_to_f16, i64_to_bf16;
    u8, u32, u32_to_f16, u32_to_bf16; u16, u32, u32_to_f16, u32_to_bf16; u32, u32, u32_to_f16, u32_to_bf16;
    u64, u64, u64_to_f16, u64_to_bf16;
}
to_float! {
    F16 => F16: |a| a.canonical();
    F16 => Bf16: |a| Bf16::down(a.up());
    F16 => f32: |a| a.up();
    F16 => f64: |a| f64::from(a.up());
    Bf16 => F16: |a| F16::down(a.up());
    Bf16 => Bf16: |a| a.canonical();
    Bf16 => f32: |a| a.up();
    Bf16 => f64: |a| f64::from(a.up());
    f32 => F16: |a| F16::down(a);
    f32 => Bf16: |a| Bf16::down(a);
    f32 => f32: |a| a;
    f32 => f64: |a| f64::from(a);
    f64 => F16: |a| F16(half::f64_to_f16(a));
    f64 => Bf16: |a| Bf16(half::f64_to_bf16(a));
    f64 => f32: |a| a as f32;
    f64 => f64: |a| a;
}
