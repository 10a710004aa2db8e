//! Element types of buffers and types of numbers.

use phalanx_isa::Type;
use phalanx_simd::half;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that stands for a Phalanx type: the integers, `f32`, `f64`, [`F16`] and [`Bf16`].
pub trait Element: sealed::Sealed + bytemuck::Pod + PartialEq + std::fmt::Debug + Send + Sync {
    /// The Phalanx type.
    const TYPE: Type;
    /// The value's bits; unused upper bits are zero.
    fn to_bits(self) -> u64;
    /// The value with these bits; unused upper bits are ignored.
    fn from_bits(bits: u64) -> Self;
}

/// An IEEE binary16 number as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F16(pub u16);

/// A bfloat16 number (the upper half of an `f32`) as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl F16 {
    /// The nearest value, ties to even.
    pub fn from_f32(x: f32) -> F16 {
        F16(half::f32_to_f16(x))
    }
    /// The value, exactly.
    pub fn to_f32(self) -> f32 {
        half::f16_to_f32(self.0)
    }
}

impl Bf16 {
    /// The nearest value, ties to even.
    pub fn from_f32(x: f32) -> Bf16 {
        Bf16(half::f32_to_bf16(x))
    }
    /// The value, exactly.
    pub fn to_f32(self) -> f32 {
        half::bf16_to_f32(self.0)
    }
}

macro_rules! elements {
    ($($t:ident, $name:ident, $to:expr, $from:expr;)*) => { $(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const TYPE: Type = Type::$name;
            fn to_bits(self) -> u64 {
                ($to)(self)
            }
            fn from_bits(bits: u64) -> Self {
                ($from)(bits)
            }
        }
    )* };
}

elements! {
    i8, I8, |v| u64::from(v as u8), |b| b as i8;
    i16, I16, |v| u64::from(v as u16), |b| b as i16;
    i32, I32, |v| u64::from(v as u32), |b| b as i32;
    i64, I64, |v| v as u64, |b| b as i64;
    u8, U8, u64::from, |b| b as u8;
    u16, U16, u64::from, |b| b as u16;
    u32, U32, u64::from, |b| b as u32;
    u64, U64, |v| v, |b| b;
    F16, F16, |v: F16| u64::from(v.0), |b| F16(b as u16);
    Bf16, Bf16, |v: Bf16| u64::from(v.0), |b| Bf16(b as u16);
    f32, F32, |v: f32| u64::from(v.to_bits()), |b| f32::from_bits(b as u32);
    f64, F64, f64::to_bits, f64::from_bits;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Element>(value: T) {
        assert_eq!(size_of::<T>(), T::TYPE.bytes(), "{}", T::TYPE);
        assert_eq!(T::from_bits(value.to_bits()), value);
        let mut bytes = value.to_bits().to_ne_bytes().to_vec();
        if cfg!(target_endian = "little") {
            bytes.truncate(size_of::<T>());
            assert_eq!(bytemuck::bytes_of(&value), bytes, "{}", T::TYPE);
        }
        assert!(size_of::<T>() == 8 || value.to_bits() >> (8 * size_of::<T>()) == 0);
    }

    #[test]
    fn bits_are_the_memory_form() {
        round_trip(-3i8);
        round_trip(-300i16);
        round_trip(-70_000i32);
        round_trip(-1i64);
        round_trip(200u8);
        round_trip(60_000u16);
        round_trip(4_000_000_000u32);
        round_trip(u64::MAX);
        round_trip(F16::from_f32(-1.5));
        round_trip(Bf16::from_f32(-1.5));
        round_trip(-1.5f32);
        round_trip(-1.5f64);
        assert_eq!(F16::from_f32(-1.5).to_f32(), -1.5);
        assert_eq!(Bf16::from_f32(1.0 / 3.0).to_f32(), f32::from_bits(0x3eab_0000));
    }
}
