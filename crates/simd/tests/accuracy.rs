//! The error bounds of the math module: samples of `f32` against double precision, `f64` against vectors with many more digits.

use phalanx_simd::math::{POW_BOUND, UNARY_F32, UNARY_F64, double, single};

mod common;

/// A small generator for reproducible samples (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn single_functions_stay_within_their_bounds() {
    // A stride prime to the powers of two reaches all exponents and the low bits alike; the edges come on top.
    let edges =
        (0..512u32).flat_map(|exponent| [0, 1, 0x3504f3, 0x3504f4, 0x7fffff].map(|m| exponent << 23 | m));
    let inputs: Vec<u32> = (0..=u32::MAX).step_by(43_019).chain(edges).collect();
    assert!(inputs.len() > 100_000, "the sample shrank to {}", inputs.len());
    for &(name, function, bound) in UNARY_F32 {
        let reference = common::reference(name);
        for &bits in &inputs {
            let x = f32::from_bits(bits);
            let (got, want) = (function(x), reference(f64::from(x)));
            let error = common::ulps_f32(got, want);
            assert!(
                error <= bound + 1e-6,
                "{name}({x:e} = {bits:#010x}) = {got:e}, not {want:e}: {error} ULP"
            );
        }
    }
}

/// `(got - value) - rest` in units in the last place, where the doubles are numbered along the line.
fn ulps_f64(got: f64, value: f64, rest: f64) -> f64 {
    let place = |x: f64| {
        let bits = x.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    if got.is_nan() || (got.is_sign_negative() != value.is_sign_negative()) {
        return f64::INFINITY;
    }
    (place(got) - place(value)) as f64 - rest
}

#[test]
fn double_functions_meet_the_vectors() {
    let text = include_str!("data/f64_vectors.csv");
    let number =
        |field: &str| f64::from_bits(u64::from_str_radix(field, 16).expect("sixteen hexadecimal digits"));
    let mut worst: Vec<(&str, f64, f64, usize)> =
        UNARY_F64.iter().map(|row| (row.0, row.2, 0.0, 0)).collect();
    worst.push(("pow", POW_BOUND, 0.0, 0));
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, x, y, value, rest] = fields[..] else { panic!("not five fields: {line}") };
        let x = number(x);
        let got = match UNARY_F64.iter().find(|row| row.0 == name) {
            Some(row) => row.1(x),
            None => double::pow(x, number(y)),
        };
        let error = ulps_f64(got, number(value), rest.parse().expect("a decimal fraction")).abs();
        let entry = worst.iter_mut().find(|entry| entry.0 == name).expect("a function of the table");
        // The fraction is written with four digits.
        assert!(error <= entry.1 + 1e-4, "{line}: got {got:e}, {error} ULP");
        entry.2 = entry.2.max(error);
        entry.3 += 1;
    }
    for (name, _, error, count) in worst {
        assert!(count >= 250, "only {count} vectors for {name}");
        println!("{name:8} {error:.4} ULP over {count} vectors");
    }
}

#[test]
fn single_power_stays_within_its_bound() {
    let mut random = Random(7);
    let mut worst = 0.0f64;
    for i in 0..200_000 {
        let bits = random.next();
        let (mut x, mut y) = (f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32));
        match i % 4 {
            // Any bits, results in the whole range, bases near 1, and whole exponents of negative bases.
            0 => {}
            1 => y = ((bits >> 40) as f32 / 16_777_216.0 * 280.0 - 150.0) / x.abs().log2(),
            2 => {
                x = 1.0 + (bits as u32 as f32 / 4_294_967_296.0 - 0.5) / (1u32 << ((bits >> 58) % 24)) as f32;
                y = ((bits >> 40) as f32 / 16_777_216.0 * 280.0 - 150.0) / x.log2();
            }
            _ => (x, y) = (-(x.abs() % 100.0), ((bits >> 32) % 40) as f32 - 20.0),
        }
        let (got, want) = (single::pow(x, y), f64::from(x).powf(f64::from(y)));
        let error = common::ulps_f32(got, want);
        assert!(error <= POW_BOUND, "pow({x:e}, {y:e}) = {got:e}, not {want:e}: {error} ULP");
        worst = worst.max(error);
    }
    println!("pow {worst} ULP");
}
