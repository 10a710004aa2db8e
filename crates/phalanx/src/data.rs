//! Data for launches that come from text and files: numbers by type, generated buffers, numpy's `.npy`.
//!
//! Data is bytes in native order, as [`crate::Cpu::raw_buffer`] takes them; elements are handled as their bits.

use phalanx_isa::{Class, Type};
use phalanx_npy::{Array, Dtype, NpyError};
use phalanx_simd::half;
use std::path::Path;

/// Why data could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Text that is no number of the type.
    #[error("`{text}` is no {ty} number")]
    Number {
        /// The text.
        text: String,
        /// The type.
        ty: Type,
    },
    /// A range that is empty or outside the type.
    #[error("no {ty} numbers are between {low} and {high}")]
    Range {
        /// The type.
        ty: Type,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Elements of another type than needed.
    #[error("the file holds {found}, but {expected} is needed{}", if *expected == Type::Bf16 { " (as uint16)" } else { "" })]
    Dtype {
        /// Needed.
        expected: Type,
        /// There.
        found: Dtype,
    },
    /// Predicates have no form in memory or files.
    #[error("{ty} values are not stored")]
    NotStored {
        /// The type.
        ty: Type,
    },
    /// A `.npy` file that cannot be read or written.
    #[error(transparent)]
    Npy(#[from] NpyError),
}

/// An array as it travels in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Element type.
    pub elem: Type,
    /// Lengths of the dimensions, slowest first.
    pub shape: Vec<usize>,
    /// The elements, native byte order.
    pub bytes: Vec<u8>,
}

/// The elements' bits; unused upper bits are zero. A tail that is no whole element is left out.
pub fn elements(ty: Type, bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let size = ty.bytes().max(1);
    bytes.chunks_exact(size).map(move |chunk| {
        let mut word = [0u8; 8];
        if cfg!(target_endian = "little") {
            word[..size].copy_from_slice(chunk);
        } else {
            word[8 - size..].copy_from_slice(chunk);
        }
        u64::from_ne_bytes(word)
    })
}

/// Elements from their bits, as bytes.
pub fn bytes_of(ty: Type, elements: impl Iterator<Item = u64>) -> Vec<u8> {
    let size = ty.bytes();
    let mut bytes = Vec::with_capacity(elements.size_hint().0.saturating_mul(size));
    for bits in elements {
        let word = bits.to_ne_bytes();
        bytes.extend_from_slice(if cfg!(target_endian = "little") {
            &word[..size]
        } else {
            &word[8 - size..]
        });
    }
    bytes
}

/// The value of an element as an `f64`; exact but for 64-bit integers beyond 2^53.
pub fn to_f64(ty: Type, bits: u64) -> f64 {
    match ty {
        Type::F16 => half::f16_to_f32(bits as u16).into(),
        Type::Bf16 => half::bf16_to_f32(bits as u16).into(),
        Type::F32 => f32::from_bits(bits as u32).into(),
        Type::F64 => f64::from_bits(bits),
        _ => integer(ty, bits) as f64,
    }
}

/// The value of an integer (or predicate) from its bits.
fn integer(ty: Type, bits: u64) -> i128 {
    let unused = 64 - ty.bits();
    match ty.class() {
        Class::Sint => ((bits << unused) as i64 >> unused).into(),
        _ => (bits << unused >> unused).into(),
    }
}

/// The smallest and largest value of an integer type.
fn limits(ty: Type) -> (i128, i128) {
    match ty.class() {
        Class::Sint => (-(1 << (ty.bits() - 1)), (1 << (ty.bits() - 1)) - 1),
        _ => (0, (1 << ty.bits()) - 1),
    }
}

fn float_bits(ty: Type, value: f64) -> u64 {
    match ty {
        Type::F16 => half::f64_to_f16(value).into(),
        Type::Bf16 => half::f64_to_bf16(value).into(),
        Type::F32 => (value as f32).to_bits().into(),
        _ => value.to_bits(),
    }
}

/// Bits of a number written in text: `12`, `-3`, `0x1f`, `1_000`, and for floats `1.5`, `1e-3`, `inf`, `-inf`, `nan`, or raw
/// bits as `0f3f800000`. Rounded to nearest once (f16 and bf16: from the nearest f64); integers must fit.
///
/// # Errors
/// Text that is no number of the type.
pub fn parse_number(ty: Type, text: &str) -> Result<u64, DataError> {
    parse(ty, &text.replace('_', "")).ok_or_else(|| DataError::Number { text: text.into(), ty })
}

fn parse(ty: Type, text: &str) -> Option<u64> {
    match ty.class() {
        Class::Pred => None,
        Class::Float => {
            if let Some(raw) = text.strip_prefix("0f") {
                return (raw.len() == ty.bytes() * 2).then(|| u64::from_str_radix(raw, 16).ok())?;
            }
            let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
            match text {
                "nan" => Some(canonical_nan(ty)),
                "inf" | "+inf" => Some(float_bits(ty, f64::INFINITY)),
                "-inf" => Some(float_bits(ty, f64::NEG_INFINITY)),
                // Rust would also take words such as `infinity`.
                _ if !text.chars().all(numeric) => None,
                // From the text at once: by way of f64 it would round twice.
                _ if ty == Type::F32 => Some(text.parse::<f32>().ok()?.to_bits().into()),
                _ => Some(float_bits(ty, text.parse().ok()?)),
            }
        }
        Class::Sint | Class::Uint => {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text), |d| (true, d));
            let magnitude = match digits.strip_prefix("0x") {
                Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => {
                    i128::from_str_radix(hex, 16).ok()?
                }
                _ if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse::<i128>().ok()?,
                _ => return None,
            };
            let value = if negative { -magnitude } else { magnitude };
            let (low, high) = limits(ty);
            (low <= value && value <= high).then_some(value as u64 & mask(ty))
        }
    }
}

fn mask(ty: Type) -> u64 {
    u64::MAX >> (64 - ty.bits())
}

/// The one NaN of a float type.
fn canonical_nan(ty: Type) -> u64 {
    match ty {
        Type::F16 => half::F16_NAN.into(),
        Type::Bf16 => half::BF16_NAN.into(),
        Type::F32 => 0x7fc0_0000,
        _ => 0x7ff8_0000_0000_0000,
    }
}

/// Whether the bits are a NaN of the type.
pub fn is_nan(ty: Type, bits: u64) -> bool {
    ty.is_float() && to_f64(ty, bits).is_nan()
}

/// A number as text: the shortest decimal that reads back as the same value.
pub fn format_number(ty: Type, bits: u64) -> String {
    let special = |v: f64| {
        if v.is_nan() {
            Some("nan")
        } else if v.is_infinite() {
            Some(if v > 0.0 { "inf" } else { "-inf" })
        } else {
            None
        }
    };
    if !ty.is_float() {
        return integer(ty, bits).to_string();
    }
    let value = to_f64(ty, bits);
    match (special(value), ty) {
        (Some(word), _) => word.into(),
        (None, Type::F64) => format!("{value:?}"),
        // The values of the narrower types are f32 values: few digits tell them apart.
        (None, _) => format!("{:?}", value as f32),
    }
}

/// 0, 1, 2, ... as elements of the type: integers wrap around, floats are rounded.
pub fn iota(ty: Type, n: usize) -> Vec<u8> {
    let element = |i: u64| if ty.is_float() { float_bits(ty, i as f64) } else { i & mask(ty) };
    bytes_of(ty, (0..n as u64).map(element))
}

/// The range of [`random`] where none is given: floats in -1..1, integers in 0..=100.
pub fn default_range(ty: Type) -> (f64, f64) {
    if ty.is_float() { (-1.0, 1.0) } else { (0.0, 100.0) }
}

/// `n` pseudo-random elements, the same on every machine.
///
/// A 64-bit state starts at `seed`. Each element adds `0x9e3779b97f4a7c15` to it (modulo 2^64) and mixes a copy z (splitmix64):
/// `z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9`, `z = (z ^ z >> 27) * 0x94d049bb133111eb`, `z ^ z >> 31`. A float is
/// `low + (z >> 11) * 2^-53 * (high - low)`, computed in f64 and rounded to the type (so that a narrow type may give `high`
/// itself); an integer is `low + floor(z * (high - low + 1) / 2^64)`, exactly.
///
/// # Errors
/// A range that is empty, not finite, or outside the type.
pub fn random(ty: Type, n: usize, seed: u64, low: f64, high: f64) -> Result<Vec<u8>, DataError> {
    let bad = || DataError::Range { ty, low, high };
    if !(low.is_finite() && high.is_finite() && (high - low).is_finite() && low <= high) || ty == Type::Pred {
        return Err(bad());
    }
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    if ty.is_float() {
        let unit = 2f64.powi(-53);
        let element = |_| float_bits(ty, low + (next() >> 11) as f64 * unit * (high - low));
        return Ok(bytes_of(ty, (0..n).map(element)));
    }
    // Whole numbers inside the range; the conversion saturates, and what is outside the type is refused.
    let (first, last) = (low.ceil() as i128, high.floor() as i128);
    let (least, most) = limits(ty);
    if first > last || first < least || last > most {
        return Err(bad());
    }
    let span = (last - first + 1) as u128;
    let element = |_| {
        let offset = (u128::from(next()) * span) >> 64;
        (first + offset as i128) as u64 & mask(ty)
    };
    Ok(bytes_of(ty, (0..n).map(element)))
}

/// The element type that numpy's stands for: booleans are `u8`, and `uint16` may also be meant as `bf16`.
fn type_of(dtype: Dtype) -> Type {
    match dtype {
        Dtype::I8 => Type::I8,
        Dtype::I16 => Type::I16,
        Dtype::I32 => Type::I32,
        Dtype::I64 => Type::I64,
        Dtype::U8 | Dtype::Bool => Type::U8,
        Dtype::U16 => Type::U16,
        Dtype::U32 => Type::U32,
        Dtype::U64 => Type::U64,
        Dtype::F16 => Type::F16,
        Dtype::F32 => Type::F32,
        Dtype::F64 => Type::F64,
    }
}

/// numpy's type for an element type; bf16 travels as `uint16`. `None` for predicates.
fn dtype_of(ty: Type) -> Option<Dtype> {
    match ty {
        Type::Bf16 => Some(Dtype::U16),
        _ => Dtype::ALL.into_iter().find(|d| type_of(*d) == ty && *d != Dtype::Bool),
    }
}

/// Little-endian elements (as in files) to native ones, or back.
fn swap_to_native(ty: Type, bytes: &mut [u8]) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(ty.bytes()).for_each(<[u8]>::reverse);
    }
}

/// Reads a `.npy` file, as elements of type `expected` where one is given.
///
/// # Errors
/// A file that cannot be read, or elements of another type.
pub fn read_npy(path: impl AsRef<Path>, expected: Option<Type>) -> Result<Data, DataError> {
    let array = phalanx_npy::read_file(path)?;
    let elem = match expected {
        None => type_of(array.dtype),
        Some(Type::Bf16) if array.dtype == Dtype::U16 => Type::Bf16,
        Some(t) if type_of(array.dtype) == t => t,
        Some(expected) => return Err(DataError::Dtype { expected, found: array.dtype }),
    };
    let mut bytes = array.data;
    swap_to_native(elem, &mut bytes);
    Ok(Data { elem, shape: array.shape, bytes })
}

/// Writes a `.npy` file.
///
/// # Errors
/// A file that cannot be written, or a shape that does not fit the data.
pub fn write_npy(path: impl AsRef<Path>, data: Data) -> Result<(), DataError> {
    let Data { elem, shape, mut bytes } = data;
    let dtype = dtype_of(elem).ok_or(DataError::NotStored { ty: elem })?;
    swap_to_native(elem, &mut bytes);
    let array = Array::new(dtype, shape, bytes)?;
    Ok(phalanx_npy::write_file(path, &array)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ty: Type, s: &str) -> String {
        parse_number(ty, s).map_or_else(|e| e.to_string(), |bits| format_number(ty, bits))
    }

    #[test]
    fn numbers_from_text() {
        assert_eq!(text(Type::I8, "-128"), "-128");
        assert_eq!(text(Type::I8, "128"), "`128` is no i8 number");
        assert_eq!(text(Type::U64, "0xffff_ffff_ffff_ffff"), "18446744073709551615");
        assert_eq!(text(Type::I64, "-9223372036854775808"), "-9223372036854775808");
        assert_eq!(text(Type::U8, "-1"), "`-1` is no u8 number");
        for bad in ["", "-", "--1", "-+1", "+-1", "0x", "0x-1", "1.5", "a"] {
            assert!(parse_number(Type::I32, bad).is_err(), "{bad}");
        }
        assert_eq!(text(Type::F32, "0f3f800000"), "1.0");
        assert_eq!(text(Type::F32, "1e-7"), "1e-7");
        assert_eq!(text(Type::F32, "-inf"), "-inf");
        assert_eq!(text(Type::Bf16, "nan"), "nan");
        assert_eq!(text(Type::F16, "65504"), "65504.0");
        assert_eq!(text(Type::F16, "1e9"), "inf");
        assert_eq!(text(Type::F64, "0.1"), "0.1");
        assert_eq!(parse_number(Type::F32, "-0").unwrap(), 0x8000_0000);
        for bad in ["", "infinity", "NaN", "0f3f80", "1e", "1,5"] {
            assert!(parse_number(Type::F32, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn elements_round_trip_through_bytes() {
        for ty in Type::ALL.iter().copied().filter(|t| *t != Type::Pred) {
            let bits: Vec<u64> = (0..5).map(|i| (0x8182_8384_8586_8788 + i) & mask(ty)).collect();
            let bytes = bytes_of(ty, bits.iter().copied());
            assert_eq!(bytes.len(), 5 * ty.bytes(), "{ty}");
            assert!(elements(ty, &bytes).eq(bits), "{ty}");
        }
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 0, as published with the generator.
        let words: Vec<u64> =
            elements(Type::U64, &random(Type::U64, 3, 0, 0.0, 2f64.powi(64) - 2048.0).unwrap()).collect();
        let expected = [0xe220_a839_7b1d_cdafu64, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        let span = (1u128 << 64) - 2047;
        let scaled = expected.map(|z| ((u128::from(z) * span) >> 64) as u64);
        assert_eq!(words, scaled);
    }

    #[test]
    fn random_numbers_stay_in_their_range() {
        for ty in Type::ALL.iter().copied().filter(|t| *t != Type::Pred) {
            let (low, high) = default_range(ty);
            let bytes = random(ty, 1000, 42, low, high).unwrap();
            let values: Vec<f64> = elements(ty, &bytes).map(|b| to_f64(ty, b)).collect();
            assert_eq!(values.len(), 1000);
            assert!(values.iter().all(|v| low <= *v && *v <= high), "{ty}");
            let mean = values.iter().sum::<f64>() / 1000.0;
            assert!((mean - (low + high) / 2.0).abs() < (high - low) / 20.0, "{ty}: mean {mean}");
        }
        let dice: Vec<u64> = elements(Type::U8, &random(Type::U8, 500, 1, 1.0, 6.0).unwrap()).collect();
        assert!((1..=6).all(|face| dice.contains(&face)) && dice.iter().all(|d| (1..=6).contains(d)));
        assert!(random(Type::I8, 1, 0, 0.0, 128.0).is_err());
        assert!(random(Type::U8, 1, 0, 0.2, 0.8).is_err());
        assert!(random(Type::F32, 1, 0, 1.0, 0.0).is_err());
        assert!(random(Type::F64, 1, 0, f64::MIN, f64::MAX).is_err());
    }

    #[test]
    fn iota_counts() {
        let of = |ty| elements(ty, &iota(ty, 300)).map(|b| to_f64(ty, b)).collect::<Vec<_>>();
        assert_eq!(of(Type::F32)[299], 299.0);
        assert_eq!(of(Type::U8)[299], 43.0);
        assert_eq!(of(Type::I8)[128], -128.0);
    }

    #[test]
    fn npy_files_carry_every_type() {
        let dir = std::env::temp_dir().join(format!("phalanx-data-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for ty in Type::ALL.iter().copied().filter(|t| *t != Type::Pred) {
            let path = dir.join(format!("{ty}.npy"));
            let data = Data { elem: ty, shape: vec![2, 3], bytes: iota(ty, 6) };
            write_npy(&path, data.clone()).unwrap();
            assert_eq!(read_npy(&path, Some(ty)).unwrap(), data);
            let other = if ty == Type::F64 { Type::F32 } else { Type::F64 };
            assert!(matches!(read_npy(&path, Some(other)), Err(DataError::Dtype { .. })));
        }
        assert_eq!(read_npy(dir.join("bf16.npy"), None).unwrap().elem, Type::U16);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
