//! Values of every type as bits: the edges, random ones, and what a table's text stands for.

use crate::Rng;
use phalanx_isa::{Class, Type};
use phalanx_simd::half;

/// The bits that a type has.
pub fn mask(ty: Type) -> u64 {
    u64::MAX >> (64 - ty.bits())
}

/// Exponent and fraction bits of a float type.
fn float_layout(ty: Type) -> (u32, u32) {
    match ty {
        Type::F16 => (5, 10),
        Type::Bf16 => (8, 7),
        Type::F32 => (8, 23),
        _ => (11, 52),
    }
}

/// Where mistakes live: zeros, ones, extremes, infinities, NaN with and without payload, the ends of the denormals, values at
/// which conversions saturate.
pub fn edges(ty: Type) -> Vec<u64> {
    let (m, top) = (mask(ty), 1u64 << (ty.bits() - 1));
    match ty.class() {
        Class::Pred => vec![0, 1],
        Class::Sint | Class::Uint => {
            vec![0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, top - 1, top, top + 1, m - 1, m, m / 3, 95, 96, 48]
                .into_iter()
                .map(|v| v & m)
                .collect()
        }
        Class::Float => {
            let (exponent, fraction) = float_layout(ty);
            let inf = ((1u64 << exponent) - 1) << fraction;
            let one = ((1u64 << (exponent - 1)) - 1) << fraction;
            let quiet = 1u64 << (fraction - 1);
            let plain = [
                0,
                one,
                one | quiet,
                one + (1 << fraction),
                one - (1 << fraction),
                one + 1,
                one - 1,
                inf,
                inf - 1,
                inf | quiet,
                inf | 1,
                inf | quiet | 5,
                1,
                (1 << fraction) - 1,
                1 << fraction,
                // Powers of two around the integer types' ends.
                one + (7 << fraction),
                one + (15 << fraction),
                (one + (31 << fraction)).min(inf),
                (one + (63 << fraction)).min(inf),
            ];
            plain.into_iter().flat_map(|v| [v & m, (v | top) & m]).collect()
        }
    }
}

/// A value: an edge, a small number, or any bits, a third each.
pub fn random(rng: &mut Rng, ty: Type) -> u64 {
    match rng.below(3) {
        0 => *rng.pick(&edges(ty)),
        1 => small(ty, rng.below(41) as i64 - 20),
        _ => rng.bits() & mask(ty),
    }
}

/// A small integer as bits of any type (unsigned types: its magnitude; predicates: whether it is odd).
pub fn small(ty: Type, v: i64) -> u64 {
    match ty {
        Type::Pred => (v & 1) as u64,
        Type::F16 => half::f32_to_f16(v as f32).into(),
        Type::Bf16 => half::f32_to_bf16(v as f32).into(),
        Type::F32 => (v as f32).to_bits().into(),
        Type::F64 => (v as f64).to_bits(),
        _ if ty.class() == Class::Uint => v.unsigned_abs() & mask(ty),
        _ => v as u64 & mask(ty),
    }
}

/// The bits that a table's text stands for; `None`: it is no number of the type.
pub fn parse(text: &str, ty: Type) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    match ty.class() {
        Class::Pred => text.parse().ok(),
        Class::Sint | Class::Uint => text.parse::<i128>().ok().map(|v| v as u64 & mask(ty)),
        Class::Float => {
            // The halves' texts are short enough for the detour over f64 to be exact.
            let wide: f64 = text.parse().ok()?;
            Some(match ty {
                Type::F16 => half::f64_to_f16(wide).into(),
                Type::Bf16 => half::f64_to_bf16(wide).into(),
                Type::F32 => text.parse::<f32>().ok()?.to_bits().into(),
                _ => wide.to_bits(),
            })
        }
    }
}

/// Whether the bits are a NaN of a float type.
pub fn is_nan(bits: u64, ty: Type) -> bool {
    if !ty.is_float() {
        return false;
    }
    let (exponent, fraction) = float_layout(ty);
    let inf = ((1u64 << exponent) - 1) << fraction;
    bits & (mask(ty) >> 1) > inf
}

/// Elements as the bytes of a buffer, little-endian.
pub fn to_bytes(ty: Type, values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(ty.bytes())).collect()
}

/// A buffer's bytes as elements.
pub fn from_bytes(ty: Type, bytes: &[u8]) -> Vec<u64> {
    let element = |c: &[u8]| c.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
    bytes.chunks_exact(ty.bytes()).map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_have_what_their_names_promise() {
        for ty in Type::ALL.iter().copied() {
            let all = edges(ty);
            assert!(all.iter().all(|v| v & !mask(ty) == 0), "{ty}");
            assert_eq!(all.iter().any(|v| is_nan(*v, ty)), ty.is_float(), "{ty}");
        }
        assert!(edges(Type::F32).contains(&u64::from(f32::MIN_POSITIVE.to_bits())));
        assert!(edges(Type::F64).contains(&(-0f64).to_bits()));
        assert!(edges(Type::F32).contains(&u64::from(f32::MAX.to_bits())));
        assert_eq!(small(Type::F16, 1), 0x3c00);
        assert_eq!(parse("-1", Type::I8), Some(0xff));
    }

    #[test]
    fn bytes_go_around() {
        let v = [1, 0xfffe, 77];
        assert_eq!(from_bytes(Type::U16, &to_bytes(Type::U16, &v)), v);
    }
}
