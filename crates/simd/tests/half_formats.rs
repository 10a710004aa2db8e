//! Half-precision conversions against the formats' definition: exhaustively outwards, by neighbours and midpoints inwards.

use phalanx_simd::half::*;

/// The value of an `f16` by definition, for finite patterns and infinities; the arithmetic is exact in `f64`.
fn f16_value(h: u16) -> f64 {
    ieee_value(h, 10, 15)
}

/// The value of a `bf16` by definition.
fn bf16_value(h: u16) -> f64 {
    ieee_value(h, 7, 127)
}

fn ieee_value(h: u16, mantissa_bits: u32, bias: i32) -> f64 {
    let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
    let mantissa = f64::from(h & ((1 << mantissa_bits) - 1)) / f64::from(1u32 << mantissa_bits);
    let exponent = i32::from((h & 0x7fff) >> mantissa_bits);
    if exponent == 2 * bias + 1 {
        return if mantissa == 0.0 { sign * f64::INFINITY } else { f64::NAN };
    }
    if exponent == 0 {
        sign * mantissa * 2f64.powi(1 - bias)
    } else {
        sign * (1.0 + mantissa) * 2f64.powi(exponent - bias)
    }
}

/// One format: its conversions, and the first pattern above the finite positive ones.
struct Format {
    value: fn(u16) -> f64,
    to_f32: fn(u16) -> f32,
    from_f32: fn(f32) -> u16,
    from_f64: fn(f64) -> u16,
    infinity: u16,
    nan: u16,
}

const FORMATS: [Format; 2] = [
    Format {
        value: f16_value,
        to_f32: f16_to_f32,
        from_f32: f32_to_f16,
        from_f64: f64_to_f16,
        infinity: 0x7c00,
        nan: F16_NAN,
    },
    Format {
        value: bf16_value,
        to_f32: bf16_to_f32,
        from_f32: f32_to_bf16,
        from_f64: f64_to_bf16,
        infinity: 0x7f80,
        nan: BF16_NAN,
    },
];

#[test]
fn every_pattern_widens_to_its_value_and_returns() {
    for format in &FORMATS {
        for h in 0..=u16::MAX {
            let (wide, value) = ((format.to_f32)(h), (format.value)(h));
            if value.is_nan() {
                assert_eq!(wide.to_bits(), 0x7fc0_0000, "{h:#06x}");
                assert_eq!((format.from_f32)(f32::from_bits(u32::from(h) << 16 | 0x7f80_0001)), format.nan);
                assert_eq!(
                    (format.from_f64)(f64::NAN.copysign(if h >> 15 == 1 { -1.0 } else { 1.0 })),
                    format.nan
                );
            } else {
                assert_eq!(f64::from(wide).to_bits(), value.to_bits(), "{h:#06x}");
                assert_eq!((format.from_f32)(wide), h, "{h:#06x} through f32");
                assert_eq!((format.from_f64)(value), h, "{h:#06x} through f64");
            }
        }
    }
}

/// Between neighbours `h` and `h + 1` the midpoint goes to the even one, and a hair beside it decides; beyond the last finite
/// value the place of infinity is that of the next power of two.
#[test]
fn rounding_is_to_the_nearest_and_ties_to_even() {
    for format in &FORMATS {
        for h in 0..format.infinity {
            let low = (format.value)(h);
            // Infinity stands one place above the largest finite value.
            let high = if h + 1 == format.infinity {
                2.0 * low - (format.value)(h - 1)
            } else {
                (format.value)(h + 1)
            };
            // Exact: the formats have at most 11 significant bits.
            let middle = 0.5 * (low + high);
            let even = h + (h & 1);
            let (below, above) = (middle.next_down(), middle.next_up());
            for (sign, bit) in [(1.0, 0), (-1.0, 0x8000)] {
                let narrow = |x: f64| (format.from_f64)(sign * x);
                assert_eq!(narrow(middle), bit | even, "middle above {h:#06x}");
                assert_eq!(narrow(below), bit | h, "below the middle above {h:#06x}");
                assert_eq!(narrow(above), bit | (h + 1), "above the middle above {h:#06x}");
                // The middle is a single as well.
                let single = middle as f32;
                assert_eq!(f64::from(single), middle);
                let narrow = |x: f32| (format.from_f32)(sign as f32 * x);
                assert_eq!(narrow(single), bit | even, "middle above {h:#06x}, from f32");
                assert_eq!(narrow(single.next_down()), bit | h, "below the middle above {h:#06x}, from f32");
                assert_eq!(
                    narrow(single.next_up()),
                    bit | (h + 1),
                    "above the middle above {h:#06x}, from f32"
                );
            }
        }
    }
}

#[test]
fn the_ends_of_the_range() {
    for format in &FORMATS {
        assert_eq!((format.from_f64)(f64::MAX), format.infinity);
        assert_eq!((format.from_f64)(-f64::INFINITY), 0x8000 | format.infinity);
        assert_eq!((format.from_f32)(f32::MAX), format.infinity);
        assert_eq!((format.from_f64)(5e-324), 0);
        assert_eq!((format.from_f64)(-5e-324), 0x8000);
        assert_eq!((format.from_f64)(-0.0), 0x8000);
        assert_eq!((format.from_f32)(f32::from_bits(0x8000_0000)), 0x8000);
    }
    assert_eq!(f32_to_f16(65_519.996), 0x7bff);
    assert_eq!(f32_to_f16(65_520.0), 0x7c00);
}

#[test]
fn integers_round_once() {
    // Just above a tie: a detour over f64 or f32, rounded to nearest, would fall on the tie and go to the even side.
    let tie = (1u64 << 63) | (1 << 55);
    assert_eq!(u64_to_bf16(tie), 0x5f00);
    assert_eq!(u64_to_bf16(tie + 1), 0x5f01);
    assert_eq!(u64_to_bf16(tie - 1), 0x5f00);
    assert_eq!(i64_to_bf16(-((tie >> 1) as i64) - 1), 0xde81);
    assert_eq!(u64_to_bf16(u64::MAX), 0x5f80);
    assert_eq!(i64_to_bf16(i64::MIN), 0xdf00);
    assert_eq!(u32_to_bf16((1 << 31) | (1 << 23) | 1), 0x4f01);
    assert_eq!(i32_to_bf16(-((1 << 30) | (1 << 22)) - 1), 0xce81);
    assert_eq!(u32_to_f16(2049), 0x6800, "a tie goes to the even 2048");
    assert_eq!(i32_to_f16(-2051), 0xe802, "a tie goes to the even 2052");
    assert_eq!((u64_to_f16(65_519), u64_to_f16(65_520)), (0x7bff, 0x7c00));
    assert_eq!((i64_to_f16(-65_519), i64_to_f16(i64::MIN)), (0xfbff, 0xfc00));
    assert_eq!(u64_to_f32((1 << 40) + (1 << 16) + 1), 1_099_511_758_848.0);
    assert_eq!(i64_to_f32(-(1 << 40) - (1 << 16)), -1_099_511_627_776.0);
    assert_eq!((u32_to_f32(16_777_217), i32_to_f32(-16_777_219)), (16_777_216.0, -16_777_220.0));
    for x in 0..=2048u32 {
        assert_eq!(f16_value(u32_to_f16(x)), f64::from(x));
        assert_eq!(u64_to_f16(u64::from(x)), u32_to_f16(x));
        assert_eq!(i64_to_f16(-i64::from(x)), i32_to_f16(-(x as i32)));
        assert_eq!(u64_to_bf16(u64::from(x)), u32_to_bf16(x));
        assert_eq!(i64_to_bf16(-i64::from(x)), i32_to_bf16(-(x as i32)));
    }
}

/// Values that an independent implementation (Python's `struct` format `e`) gives for `f64` to binary16.
#[test]
fn f64_to_f16_agrees_with_recorded_values() {
    for line in include_str!("data/f16_vectors.csv").lines() {
        let (x, h) = line.split_once(',').expect("two fields");
        let x = f64::from_bits(u64::from_str_radix(x, 16).expect("sixteen hexadecimal digits"));
        assert_eq!(f64_to_f16(x), u16::from_str_radix(h, 16).expect("four hexadecimal digits"), "{x:e}");
    }
}
