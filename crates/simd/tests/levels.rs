//! The same bits on every level: each function in a loop over lanes, compiled for each level's features, against plain calls.
//!
//! `tools/check_vectorised.py` reads this file's machine code and checks that the loops became packed instructions.

use phalanx_simd::math::{Row, UNARY_F32, UNARY_F64, double, single};
use phalanx_simd::{Tier, for_each_unary, half};

/// Lanes per loop, as many as a vector of the largest level holds, several times.
const LANES: usize = 32;

type Unary<T, D = T> = unsafe fn(&mut [D; LANES], &[T; LANES]);
type Binary<T> = unsafe fn(&mut [T; LANES], &[T; LANES], &[T; LANES]);

/// The lane loops of one level.
struct Level {
    tier: Tier,
    singles: &'static [(&'static str, Unary<f32>)],
    doubles: &'static [(&'static str, Unary<f64>)],
    single_pow: Binary<f32>,
    double_pow: Binary<f64>,
    widen: [Unary<u16, f32>; 2],
    narrow: [Unary<f32, u16>; 2],
    narrow_double: [Unary<f64, u16>; 2],
}

/// A loop over lanes as a function of its own, so that its machine code can be found.
macro_rules! lane_loop {
    ($attribute:meta, $name:ident($($argument:ident),+), $from:ty => $to:ty, $function:path) => {
        #[$attribute]
        #[inline(never)]
        pub fn $name(d: &mut [$to; LANES], $($argument: &[$from; LANES]),+) {
            for i in 0..LANES {
                d[i] = $function($($argument[i]),+);
            }
        }
    };
}

macro_rules! level {
    (($level:ident $tier:ident $attribute:meta) $($name:ident $single:literal $double:literal;)+) => {
        mod $level {
            use super::*;
            level!(@type $attribute, single_loops, single, f32, $($name)+ sin_fast cos_fast tan_fast);
            level!(@type $attribute, double_loops, double, f64, $($name)+ sin_fast cos_fast tan_fast);
            lane_loop!($attribute, f16_widen(a), u16 => f32, half::f16_to_f32);
            lane_loop!($attribute, f16_narrow(a), f32 => u16, half::f32_to_f16);
            lane_loop!($attribute, f16_narrow_double(a), f64 => u16, half::f64_to_f16);
            lane_loop!($attribute, bf16_widen(a), u16 => f32, half::bf16_to_f32);
            lane_loop!($attribute, bf16_narrow(a), f32 => u16, half::f32_to_bf16);
            lane_loop!($attribute, bf16_narrow_double(a), f64 => u16, half::f64_to_bf16);
            pub const LEVEL: Level = Level {
                tier: Tier::$tier,
                singles: single_loops::ALL,
                doubles: double_loops::ALL,
                single_pow: single_loops::pow,
                double_pow: double_loops::pow,
                widen: [f16_widen, bf16_widen],
                narrow: [f16_narrow, bf16_narrow],
                narrow_double: [f16_narrow_double, bf16_narrow_double],
            };
        }
    };
    (@type $attribute:meta, $module:ident, $source:ident, $type:ty, $($name:ident)+) => {
        pub mod $module {
            use super::*;
            $(lane_loop!($attribute, $name(a), $type => $type, $source::$name);)+
            lane_loop!($attribute, pow(a, b), $type => $type, $source::pow);
            pub const ALL: &[(&str, Unary<$type>)] = &[$((stringify!($name), $name),)+];
        }
    };
}

for_each_unary!(level: scalar Scalar cfg(all()));
#[cfg(target_arch = "x86_64")]
for_each_unary!(level: avx2 Avx2 target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"));
#[cfg(target_arch = "x86_64")]
for_each_unary!(level: avx512 Avx512 target_feature(
    enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd"
));
#[cfg(target_arch = "aarch64")]
for_each_unary!(level: neon Neon target_feature(enable = "neon"));

/// The levels compiled here that this machine runs.
fn levels() -> Vec<Level> {
    let mut levels = vec![scalar::LEVEL];
    #[cfg(target_arch = "x86_64")]
    levels.extend([avx2::LEVEL, avx512::LEVEL]);
    #[cfg(target_arch = "aarch64")]
    levels.push(neon::LEVEL);
    levels.retain(|level| level.tier.is_available());
    for level in &levels {
        eprintln!("level {}", level.tier);
    }
    assert!(levels.iter().any(|level| level.tier == Tier::Scalar));
    levels
}

/// Bit patterns of every exponent and sign: reproducible, and with the usual edges.
fn patterns(count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let edges = [0u64, 1, 0x7f80_0000, 0x7f80_0001, 0x3f80_0000, 0x0080_0000, 0x007f_ffff, 0x4e80_0000];
    let edges = edges.iter().flat_map(|&e| [e, e | 1 << 31]).flat_map(|e| [e << 32, e << 32 | e]);
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    // Half of the random patterns get an exponent near that of 1, where the functions are busiest.
    let random = random.enumerate().map(|(i, bits)| {
        if i % 2 == 0 { bits } else { bits & 0x83ff_ffff_83ff_ffff | 0x3c00_0000_3c00_0000 }
    });
    edges.chain(random).take(count).collect()
}

#[test]
fn every_level_gives_the_bits_of_plain_calls() {
    let patterns = patterns(64 * LANES);
    for level in levels() {
        let tier = level.tier;
        for chunk in patterns.as_chunks::<LANES>().0 {
            let a = chunk.map(|bits| f32::from_bits((bits >> 32) as u32));
            let b = chunk.map(|bits| f32::from_bits(bits as u32));
            let mut d = [0.0; LANES];
            for &(name, function) in level.singles {
                // SAFETY: `levels` keeps only levels whose features this machine has.
                unsafe { function(&mut d, &a) };
                let plain = plain(UNARY_F32, name, [single::sin_fast, single::cos_fast, single::tan_fast]);
                for (got, x) in d.iter().zip(a) {
                    assert_eq!(got.to_bits(), plain(x).to_bits(), "{name}({x:e}) on {tier}");
                }
            }
            // SAFETY: as above.
            unsafe { (level.single_pow)(&mut d, &a, &b) };
            for i in 0..LANES {
                assert_eq!(
                    d[i].to_bits(),
                    single::pow(a[i], b[i]).to_bits(),
                    "pow({:e}, {:e}) on {tier}",
                    a[i],
                    b[i]
                );
            }
            let a = chunk.map(f64::from_bits);
            let b = chunk.map(|bits| f64::from_bits(bits.rotate_left(32)));
            let mut d = [0.0; LANES];
            for &(name, function) in level.doubles {
                // SAFETY: as above.
                unsafe { function(&mut d, &a) };
                let plain = plain(UNARY_F64, name, [double::sin_fast, double::cos_fast, double::tan_fast]);
                for (got, x) in d.iter().zip(a) {
                    assert_eq!(got.to_bits(), plain(x).to_bits(), "{name}({x:e}) on {tier}");
                }
            }
            // SAFETY: as above.
            unsafe { (level.double_pow)(&mut d, &a, &b) };
            for i in 0..LANES {
                assert_eq!(
                    d[i].to_bits(),
                    double::pow(a[i], b[i]).to_bits(),
                    "pow({:e}, {:e}) on {tier}",
                    a[i],
                    b[i]
                );
            }
        }
    }
}

/// The plain function of a name in a table, or the fast form of a trigonometric one.
fn plain<T>(table: &[Row<T>], name: &str, fast: [fn(T) -> T; 3]) -> fn(T) -> T {
    match name {
        "sin_fast" => fast[0],
        "cos_fast" => fast[1],
        "tan_fast" => fast[2],
        _ => table.iter().find(|row| row.0 == name).expect("a function of the table").1,
    }
}

#[test]
fn every_level_converts_halves_alike() {
    let patterns = patterns(256 * LANES);
    for level in levels() {
        let tier = level.tier;
        for chunk in patterns.as_chunks::<LANES>().0 {
            let halves = chunk.map(|bits| (bits >> 48) as u16);
            let singles = chunk.map(|bits| f32::from_bits((bits >> 32) as u32));
            let doubles = chunk.map(|bits| f64::from(f32::from_bits(bits as u32)) * (1.0 + 1e-12));
            let widen = [half::f16_to_f32, half::bf16_to_f32];
            let narrow = [half::f32_to_f16, half::f32_to_bf16];
            let narrow_double = [half::f64_to_f16, half::f64_to_bf16];
            for format in 0..2 {
                let mut wide = [0.0; LANES];
                let mut short = [0; LANES];
                // SAFETY: `levels` keeps only levels whose features this machine has.
                unsafe { (level.widen[format])(&mut wide, &halves) };
                assert_eq!(
                    wide.map(f32::to_bits),
                    halves.map(widen[format]).map(f32::to_bits),
                    "widening on {tier}"
                );
                // SAFETY: as above.
                unsafe { (level.narrow[format])(&mut short, &singles) };
                assert_eq!(short, singles.map(narrow[format]), "narrowing f32 on {tier}");
                // SAFETY: as above.
                unsafe { (level.narrow_double[format])(&mut short, &doubles) };
                assert_eq!(short, doubles.map(narrow_double[format]), "narrowing f64 on {tier}");
            }
        }
    }
}
