//! Special values, exactly: C99 annex F and its table for `pow`, signed zeros, the one NaN, and the seams between paths.

use phalanx_simd::math::{FAST_TRIG_LIMIT, UNARY_F32, UNARY_F64, double, single};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// `(argument, result)` for each function; every value here is exact in both formats.
fn exact(name: &str) -> &'static [(f64, f64)] {
    match name {
        "exp" => {
            &[(-INF, 0.0), (INF, INF), (0.0, 1.0), (-0.0, 1.0), (1000.0, INF), (-1000.0, 0.0), (NAN, NAN)]
        }
        "exp2" => &[(-INF, 0.0), (INF, INF), (0.0, 1.0), (-0.0, 1.0), (5.0, 32.0), (-3.0, 0.125), (NAN, NAN)],
        "log" => &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-1.0, NAN), (-INF, NAN), (NAN, NAN)],
        "log2" => {
            &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (1024.0, 10.0), (0.25, -2.0), (INF, INF), (-1.0, NAN)]
        }
        "log10" => {
            &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (1000.0, 3.0), (1e10, 10.0), (INF, INF), (-1.0, NAN)]
        }
        "rsqrt" => &[(0.0, INF), (-0.0, -INF), (4.0, 0.5), (INF, 0.0), (-1.0, NAN), (-INF, NAN), (NAN, NAN)],
        "rcp" => &[(0.0, INF), (-0.0, -INF), (4.0, 0.25), (INF, 0.0), (-INF, -0.0), (NAN, NAN)],
        "sqrt" => &[(0.0, 0.0), (-0.0, -0.0), (4.0, 2.0), (INF, INF), (-1.0, NAN), (-INF, NAN), (NAN, NAN)],
        "sin" | "tan" => &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
        "cos" => &[(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
        "tanh" | "erf" => {
            &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (50.0, 1.0), (-50.0, -1.0), (NAN, NAN)]
        }
        "sigmoid" => {
            &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (100.0, 1.0), (-1000.0, 0.0), (NAN, NAN)]
        }
        _ => panic!("no special values for {name}"),
    }
}

/// The result's bits with NaN as the one NaN.
fn bits_f32(x: f64) -> u32 {
    if x.is_nan() { 0x7fc0_0000 } else { (x as f32).to_bits() }
}

fn bits_f64(x: f64) -> u64 {
    if x.is_nan() { 0x7ff8_0000_0000_0000 } else { x.to_bits() }
}

#[test]
fn special_values_of_one_argument() {
    for &(name, function, _) in UNARY_F32 {
        for &(x, want) in exact(name) {
            let got = function(x as f32);
            assert_eq!(got.to_bits(), bits_f32(want), "{name}({x:?}) in f32: {got:?}, not {want:?}");
        }
    }
    for &(name, function, _) in UNARY_F64 {
        for &(x, want) in exact(name) {
            let got = function(x);
            assert_eq!(got.to_bits(), bits_f64(want), "{name}({x:?}) in f64: {got:?}, not {want:?}");
        }
    }
}

#[test]
fn every_nan_becomes_the_one_nan() {
    for &(name, function, _) in UNARY_F32 {
        for bits in [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert_eq!(function(f32::from_bits(bits)).to_bits(), 0x7fc0_0000, "{name} of {bits:#010x}");
        }
    }
    for &(name, function, _) in UNARY_F64 {
        for bits in [0x7ff8 << 48, 0xfff8 << 48, 0x7ff0 << 48 | 1, 0xfff0 << 48 | 1, u64::MAX >> 1, u64::MAX]
        {
            assert_eq!(function(f64::from_bits(bits)).to_bits(), 0x7ff8 << 48, "{name} of {bits:#018x}");
        }
    }
}

/// `(x, y, x^y)`, every value exact in both formats.
const POWERS: &[(f64, f64, f64)] = &[
    // x = 1 or y = 0 gives 1, NaN or not.
    (1.0, NAN, 1.0),
    (1.0, INF, 1.0),
    (NAN, 0.0, 1.0),
    (NAN, -0.0, 1.0),
    (0.0, 0.0, 1.0),
    (-INF, -0.0, 1.0),
    (NAN, 1.0, NAN),
    (2.0, NAN, NAN),
    (0.0, NAN, NAN),
    (-1.0, NAN, NAN),
    // Zeros: odd whole exponents keep the sign.
    (0.0, -3.0, INF),
    (-0.0, -3.0, -INF),
    (0.0, -2.0, INF),
    (-0.0, -2.0, INF),
    (-0.0, -2.5, INF),
    (-0.0, -INF, INF),
    (0.0, 3.0, 0.0),
    (-0.0, 3.0, -0.0),
    (-0.0, 2.0, 0.0),
    (-0.0, 2.5, 0.0),
    (-0.0, INF, 0.0),
    (0.0, -INF, INF),
    // Infinite exponents.
    (-1.0, INF, 1.0),
    (-1.0, -INF, 1.0),
    (0.5, -INF, INF),
    (-0.5, -INF, INF),
    (2.0, -INF, 0.0),
    (-2.0, -INF, 0.0),
    (0.5, INF, 0.0),
    (2.0, INF, INF),
    (-2.0, INF, INF),
    (INF, INF, INF),
    (-INF, INF, INF),
    (-INF, -INF, 0.0),
    // Infinite bases.
    (-INF, -3.0, -0.0),
    (-INF, -2.0, 0.0),
    (-INF, -0.5, 0.0),
    (-INF, 3.0, -INF),
    (-INF, 2.0, INF),
    (-INF, 0.5, INF),
    (INF, -0.5, 0.0),
    (INF, 0.5, INF),
    // Negative bases.
    (-8.0, 0.5, NAN),
    (-1.0, 1e-3, NAN),
    (-2.0, 3.0, -8.0),
    (-2.0, -2.0, 0.25),
    (-1.0, 8_388_607.0, -1.0),
    (-1.0, 8_388_608.0, 1.0),
    (-1.0, 1e30, 1.0),
    (-3.0, 1e30, INF),
    // Exact powers, overflow and underflow with their signs.
    (2.0, 10.0, 1024.0),
    (3.0, 4.0, 81.0),
    (4.0, -0.5, 0.5),
    (-2.0, 2001.0, -INF),
    (-2.0, -2001.0, -0.0),
    (1e30, 1e30, INF),
    (1e30, -1e30, 0.0),
];

#[test]
fn special_values_of_the_power() {
    for &(x, y, want) in POWERS {
        let got = single::pow(x as f32, y as f32);
        assert_eq!(got.to_bits(), bits_f32(want), "pow({x:?}, {y:?}) in f32: {got:?}, not {want:?}");
        let got = double::pow(x, y);
        assert_eq!(got.to_bits(), bits_f64(want), "pow({x:?}, {y:?}) in f64: {got:?}, not {want:?}");
    }
    // The odd and even whole exponents at the end of the format's precision.
    assert_eq!(single::pow(-1.0, 16_777_215.0), -1.0);
    assert_eq!(double::pow(-1.0, 9_007_199_254_740_991.0), -1.0);
    assert_eq!(double::pow(-1.0, 9_007_199_254_740_992.0), 1.0);
    assert!(double::pow(-1.0, 4_503_599_627_370_495.5).is_nan());
}

#[test]
fn underflow_is_gradual_and_overflow_sharp() {
    assert_eq!(single::exp2(-149.0).to_bits(), 1);
    assert_eq!(single::exp2(-126.5).to_bits(), 0x005a_827a);
    assert_eq!(single::exp2(-151.0).to_bits(), 0);
    assert_eq!(single::exp2(127.999_99).to_bits(), 0x7f7f_ffa7);
    assert_eq!(single::exp2(128.0), f32::INFINITY);
    assert_eq!(double::exp2(-1074.0).to_bits(), 1);
    assert_eq!(double::exp2(-1076.0).to_bits(), 0);
    assert_eq!(double::exp2(1024.0), INF);
    assert_eq!(
        double::exp(709.782_712_893_384).to_bits(),
        0x7fef_ffff_ffff_ff2a,
        "within the last finite binade"
    );
    assert_eq!(double::exp(709.8), INF);
    assert_eq!(double::pow(2.0, -1074.0).to_bits(), 1);
    assert_eq!(single::pow(2.0, -149.0).to_bits(), 1);
}

#[test]
fn the_fast_trigonometric_path_gives_the_same_bits() {
    let limit = FAST_TRIG_LIMIT as f32;
    for bits in
        (0..=u32::MAX).step_by(65_521).chain([limit.to_bits() - 1, limit.to_bits(), (-limit).to_bits()])
    {
        let x = f32::from_bits(bits);
        assert_eq!(single::sin_needs_wide(x), x.is_finite() && x.abs() >= limit, "{x:e}");
        if !single::sin_needs_wide(x) {
            assert_eq!(single::sin(x).to_bits(), single::sin_fast(x).to_bits(), "{x:e}");
            assert_eq!(single::cos(x).to_bits(), single::cos_fast(x).to_bits(), "{x:e}");
            assert_eq!(single::tan(x).to_bits(), single::tan_fast(x).to_bits(), "{x:e}");
        }
        let x = f64::from_bits(u64::from(bits) << 32 | u64::from(bits));
        assert_eq!(double::sin_needs_wide(x), x.is_finite() && x.abs() >= FAST_TRIG_LIMIT, "{x:e}");
        if !double::sin_needs_wide(x) {
            assert_eq!(double::sin(x).to_bits(), double::sin_fast(x).to_bits(), "{x:e}");
            assert_eq!(double::cos(x).to_bits(), double::cos_fast(x).to_bits(), "{x:e}");
            assert_eq!(double::tan(x).to_bits(), double::tan_fast(x).to_bits(), "{x:e}");
        }
    }
}

#[test]
fn odd_functions_are_odd() {
    for name in ["sin", "tan", "tanh", "erf"] {
        let single = UNARY_F32.iter().find(|row| row.0 == name).expect("a function of the table").1;
        let double = UNARY_F64.iter().find(|row| row.0 == name).expect("a function of the table").1;
        for bits in (0..0x7f80_0000u32).step_by(65_521) {
            let x = f32::from_bits(bits);
            assert_eq!(single(-x).to_bits(), (-single(x)).to_bits(), "{name}({x:e})");
            let x = f64::from_bits(u64::from(bits) << 32 | u64::from(bits));
            assert_eq!(double(-x).to_bits(), (-double(x)).to_bits(), "{name}({x:e})");
        }
    }
}
