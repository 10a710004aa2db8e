//! Numbers: from text to the bits of a type with one rounding, and back to the shortest text.

use phalanx_isa::{Class, Type};
use std::cmp::Ordering;

/// The value of a literal or constant expression before it meets a type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// An integer.
    Int(i128),
    /// `-0`: 0 as an integer, -0.0 as a float.
    NegZero,
    /// A decimal literal, kept as text so that the one rounding is to the type in which it is used. `int`: it has neither a
    /// point nor an exponent (but is beyond 128 bits).
    Text { neg: bool, text: &'a str, int: bool },
    /// The result of float arithmetic.
    Float(f64),
    /// Raw bits `0f...` with their number of hexadecimal digits.
    Bits { bits: u64, digits: u8 },
}

/// Why a number cannot have a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NumberError {
    /// Beyond the type's values, see [`range`].
    Range,
    /// An integer was needed.
    NotInteger,
    /// Raw bits of another width; the hexadecimal digits needed.
    BitsWidth(u32),
    /// Raw bits for a type that is no float.
    BitsForInteger,
}

/// The one NaN pattern of a float type.
pub(crate) fn canonical_nan(ty: Type) -> u64 {
    match ty {
        Type::F16 => 0x7e00,
        Type::Bf16 => 0x7fc0,
        Type::F32 => 0x7fc0_0000,
        _ => 0x7ff8_0000_0000_0000,
    }
}

/// The bits of infinity of a float type.
fn infinity(ty: Type) -> u64 {
    match ty {
        Type::F16 => 0x7c00,
        Type::Bf16 => 0x7f80,
        Type::F32 => 0x7f80_0000,
        _ => 0x7ff0_0000_0000_0000,
    }
}

/// The least and greatest number of a type, as text.
pub(crate) fn range(ty: Type) -> (String, String) {
    let ones = u64::MAX >> (64 - ty.bits());
    let (low, high) = match ty.class() {
        Class::Float => ((infinity(ty) - 1) | (ones ^ (ones >> 1)), infinity(ty) - 1),
        Class::Sint => (ones ^ (ones >> 1), ones >> 1),
        Class::Uint | Class::Pred => (0, ones),
    };
    // The shortest text of an f16 is too short for a limit: 65500 for 65504.
    let text = |bits| match ty {
        Type::F16 | Type::Bf16 => format!("{:?}", float_value(bits, ty) as f32),
        _ => text_of(bits, ty),
    };
    (text(low), text(high))
}

/// A literal's value; the lexer has checked its form.
pub(crate) fn literal(text: &str) -> Value<'_> {
    let prefix = text.as_bytes().get(1).map_or(0, |b| b.to_ascii_lowercase());
    let radix = |radix: u32| {
        let mut v: i128 = 0;
        for b in text.bytes().skip(2).filter(|b| *b != b'_') {
            let digit = i128::from((b as char).to_digit(radix).unwrap_or(0));
            // Saturating is right: anything beyond 64 bits is out of every integer range, and exact floats end far below.
            v = v.saturating_mul(radix.into()).saturating_add(digit);
        }
        v
    };
    match prefix {
        b'x' => return Value::Int(radix(16)),
        b'b' => return Value::Int(radix(2)),
        b'f' => {
            let digits = text.bytes().skip(2).filter(|b| *b != b'_').count() as u8;
            return Value::Bits { bits: radix(16) as u64, digits };
        }
        _ => {}
    }
    let mut v: i128 = 0;
    for b in text.bytes() {
        match b {
            b'0'..=b'9' => match v.checked_mul(10).and_then(|v| v.checked_add(i128::from(b - b'0'))) {
                Some(n) => v = n,
                None => {
                    let int = !text.contains(['.', 'e', 'E']);
                    return Value::Text { neg: false, text, int };
                }
            },
            b'_' => {}
            _ => return Value::Text { neg: false, text, int: false },
        }
    }
    Value::Int(v)
}

fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('_') { text.replace('_', "").into() } else { text.into() }
}

impl Value<'_> {
    /// As a double, rounded once; raw bits have no value without a type.
    pub(crate) fn as_f64(self) -> Option<f64> {
        Some(match self {
            Value::Int(v) => v as f64,
            Value::NegZero => -0.0,
            Value::Float(f) => f,
            Value::Text { neg, text, .. } => {
                // The lexer accepts only what this parses.
                let f: f64 = plain(text).parse().ok()?;
                if neg { -f } else { f }
            }
            Value::Bits { .. } => return None,
        })
    }

    /// As an integer, if it is one of at most 128 bits.
    pub(crate) fn as_int(self) -> Option<i128> {
        match self {
            Value::Int(v) => Some(v),
            Value::NegZero => Some(0),
            _ => None,
        }
    }

    /// The bits of this value in a type.
    pub(crate) fn bits(self, ty: Type) -> Result<u64, NumberError> {
        match ty.class() {
            Class::Float => self.float_bits(ty),
            Class::Pred => self.int_bits(0, 1, 1),
            Class::Uint => self.int_bits(0, (1i128 << ty.bits()) - 1, ty.bits()),
            Class::Sint => {
                self.int_bits(-(1i128 << (ty.bits() - 1)), (1i128 << (ty.bits() - 1)) - 1, ty.bits())
            }
        }
    }

    fn int_bits(self, low: i128, high: i128, width: u32) -> Result<u64, NumberError> {
        let v = match self {
            Value::Bits { .. } => return Err(NumberError::BitsForInteger),
            Value::Text { int: true, .. } => return Err(NumberError::Range),
            _ => self.as_int().ok_or(NumberError::NotInteger)?,
        };
        if v < low || v > high {
            return Err(NumberError::Range);
        }
        Ok(v as u64 & (u64::MAX >> (64 - width)))
    }

    fn float_bits(self, ty: Type) -> Result<u64, NumberError> {
        if let Value::Bits { bits, digits } = self {
            let need = ty.bits() / 4;
            return if u32::from(digits) == need { Ok(bits) } else { Err(NumberError::BitsWidth(need)) };
        }
        // Every kind but bits has a double; where the type is narrower, that double only says between which values it lies.
        let Some(near) = self.as_f64() else { return Err(NumberError::NotInteger) };
        if near.is_nan() {
            return Ok(canonical_nan(ty));
        }
        let written_infinite = matches!(self, Value::Float(f) if f.is_infinite());
        let bits = match ty {
            Type::F64 => near.to_bits(),
            Type::F32 => match self {
                Value::Int(v) => v as f32,
                Value::Text { neg, text, .. } => {
                    let f: f32 = plain(text).parse().unwrap_or(f32::INFINITY);
                    if neg { -f } else { f }
                }
                _ => near as f32,
            }
            .to_bits()
            .into(),
            _ => {
                let (precision, low) = if ty == Type::F16 { (11, -14) } else { (8, -126) };
                let magnitude = narrow(near.abs(), precision, low, || self.exact_against(near.abs()));
                magnitude | u64::from(near.is_sign_negative()) << 15
            }
        };
        if bits & (u64::MAX >> (65 - ty.bits())) == infinity(ty) && !written_infinite {
            return Err(NumberError::Range);
        }
        Ok(bits)
    }

    /// How the exact magnitude of this value compares with a finite double that is near it.
    fn exact_against(self, near: f64) -> Ordering {
        match self {
            // A tie of a narrow float is below 2^128 in magnitude, so the conversion back is exact.
            Value::Int(v) => v.unsigned_abs().cmp(&(near as u128)),
            Value::Text { text, .. } => {
                let exact = format!("{near:.1074}");
                Decimal::of(&plain(text)).cmp(&Decimal::of(&exact))
            }
            _ => Ordering::Equal,
        }
    }
}

/// A decimal number taken apart: 0.DIGITS * 10^point, digits without zeros at either end.
struct Decimal {
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    fn of(text: &str) -> Decimal {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = match exponent.parse() {
            Ok(e) => e,
            // Beyond i64 is beyond every comparison.
            Err(_) => {
                if exponent.starts_with('-') {
                    i64::MIN / 4
                } else {
                    i64::MAX / 4
                }
            }
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let lead = all.iter().take_while(|b| **b == b'0').count();
        let mut digits = all[lead..].to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = exponent.clamp(i64::MIN / 4, i64::MAX / 4) + whole.len() as i64 - lead as i64;
        Decimal { digits, point }
    }
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

/// Rounds a magnitude to a binary format of `precision` bits whose smallest normal exponent is `low`; gives the bits, and
/// the format's infinity beyond its range. `near` is the exact value rounded to a double, `exact` compares the exact value
/// with it: asked only where `near` is halfway between two results, since every halfway point is a double.
fn narrow(near: f64, precision: u32, low: i32, exact: impl FnOnce() -> Ordering) -> u64 {
    let infinity = ((3 - 2 * low) as u64) << (precision - 1);
    if near == 0.0 {
        return 0;
    }
    let exponent = (near.to_bits() >> 52) as i32 - 1023;
    if near.is_infinite() || exponent > 1 - low {
        return infinity;
    }
    // Doubles below their own normal range are far below half of any result's smallest step.
    let exponent = exponent.max(low);
    let step = exponent - (precision as i32 - 1);
    // Exact: a power of two, and nothing leaves the range of doubles (step is at least -133).
    let scaled = near * 2f64.powi(-step);
    let floor = scaled.floor();
    let up = match (scaled - floor).total_cmp(&0.5) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => match exact() {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => floor as u64 & 1 == 1,
        },
    };
    let units = floor as u64 + u64::from(up);
    // A carry out of the fraction runs into the exponent field, which is what the format wants. With the smallest exponent
    // the leading bit of a normal number is its exponent field.
    (((exponent - low) as u64) << (precision - 1)) + units
}

/// The exact value of a float's bits.
pub(crate) fn float_value(bits: u64, ty: Type) -> f64 {
    match ty {
        Type::F64 => f64::from_bits(bits),
        Type::F32 => f32::from_bits(bits as u32).into(),
        Type::Bf16 => f32::from_bits((bits as u32) << 16).into(),
        _ => {
            let (exponent, fraction) = ((bits >> 10 & 0x1f) as i32, (bits & 0x3ff) as f64);
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                e => (1024.0 + fraction) * 2f64.powi(e - 25),
            };
            if bits >> 15 & 1 == 1 { -magnitude } else { magnitude }
        }
    }
}

/// The shortest text that gives these bits again (for bits that fit the type).
pub(crate) fn text_of(bits: u64, ty: Type) -> String {
    match ty.class() {
        Class::Uint | Class::Pred => return bits.to_string(),
        Class::Sint => {
            let shift = 64 - ty.bits();
            return ((bits << shift) as i64 >> shift).to_string();
        }
        Class::Float => {}
    }
    let v = float_value(bits, ty);
    if v.is_nan() {
        return match bits == canonical_nan(ty) {
            true => "nan".into(),
            false => format!("0f{bits:0width$x}", width = ty.bits() as usize / 4),
        };
    }
    match ty {
        // Rust writes `inf`, `-inf` and the shortest digits that read back the same.
        Type::F64 => format!("{v:?}"),
        Type::F32 => format!("{:?}", v as f32),
        _ if v.is_infinite() => format!("{v:?}"),
        _ => {
            for digits in 0..9 {
                let short = format!("{:.digits$e}", v.abs());
                let value = Value::Text { neg: v.is_sign_negative(), text: &short, int: false };
                if value.bits(ty) == Ok(bits) {
                    let nice: f64 = short.parse().unwrap_or(v);
                    return format!("{:?}", nice.copysign(v));
                }
            }
            // Nine digits tell apart any two f32, and so any two of these.
            format!("{:?}", v as f32)
        }
    }
}
