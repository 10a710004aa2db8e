//! The primitives that the formulas of the operation tables are written in, on exact integers (`i128`) and floats.

use super::semantics::eval;
use crate::view::canonical_bits;
use phalanx_isa::{Class, Cmp, Op, Reduce, Round, TrapKind, Type};
use phalanx_simd::half;
use std::cmp::Ordering;

/// The integer that these bits stand for.
pub fn int(t: Type, bits: u64) -> i128 {
    let unused = 64 - t.bits();
    match t.class() {
        Class::Sint => i128::from((bits << unused) as i64 >> unused),
        _ => i128::from(bits),
    }
}

/// The type's bits of the value modulo 2^width.
pub fn wrap(t: Type, v: i128) -> u64 {
    v as u64 & (u64::MAX >> (64 - t.bits()))
}

/// The type's bits of the nearest value in its range.
pub fn sat(t: Type, v: i128) -> u64 {
    let (low, high) = match t.class() {
        Class::Sint => (-1 << (t.bits() - 1), (1 << (t.bits() - 1)) - 1),
        _ => (0, (1 << t.bits()) - 1),
    };
    wrap(t, v.clamp(low, high))
}

/// The upper half of a double-width product, given its low 128 bits.
pub fn high(t: Type, product: i128) -> u64 {
    wrap(t, product >> t.bits())
}

/// `a` times 2^n, the width's low bits.
pub fn shift_left(t: Type, a: i128, n: i128) -> u64 {
    if n >= i128::from(t.bits()) { 0 } else { wrap(t, a << n) }
}

/// `a` divided by 2^n, rounded down.
pub fn shift_right(t: Type, a: i128, n: i128) -> u64 {
    wrap(t, a >> n.min(127))
}

/// Bits moved up by n modulo the width, those that leave coming in below.
pub fn rotate_left(t: Type, a: i128, n: i128) -> u64 {
    let (bits, n) = (wrap(t, a), n % i128::from(t.bits()));
    // Two copies side by side: the upper one shifts the bits in that leave the lower one.
    let twice = u128::from(bits) << t.bits() | u128::from(bits);
    wrap(t, (twice << n >> t.bits()) as i128)
}

/// Number of ones.
pub fn popcount(t: Type, a: i128) -> u64 {
    wrap(t, a).count_ones().into()
}

/// Zeros above the highest one; the width for 0.
pub fn leading_zeros(t: Type, a: i128) -> u64 {
    u64::from(wrap(t, a).leading_zeros() - (64 - t.bits()))
}

/// Zeros below the lowest one; the width for 0.
pub fn trailing_zeros(t: Type, a: i128) -> u64 {
    wrap(t, a).trailing_zeros().min(t.bits()).into()
}

/// The highest bit becomes the lowest.
pub fn reverse_bits(t: Type, a: i128) -> u64 {
    wrap(t, a).reverse_bits() >> (64 - t.bits())
}

/// The value of an f16, bf16 or f32.
pub fn get_f32(t: Type, bits: u64) -> f32 {
    match t {
        Type::F16 => half::f16_to_f32(bits as u16),
        Type::Bf16 => half::bf16_to_f32(bits as u16),
        _ => f32::from_bits(bits as u32),
    }
}

/// The bits of an f16, bf16 or f32, rounded once.
pub fn put_f32(t: Type, v: f32) -> u64 {
    match t {
        Type::F16 => half::f32_to_f16(v).into(),
        Type::Bf16 => half::f32_to_bf16(v).into(),
        _ => v.to_bits().into(),
    }
}

/// The bits of an f64.
pub fn put_f64(v: f64) -> u64 {
    v.to_bits()
}

/// Whether a comparison holds; `order` is `None` where an operand is NaN.
pub fn compare(m: Cmp, order: Option<Ordering>) -> bool {
    let ordered = order.is_some();
    let (less, equal, greater) =
        (order == Some(Ordering::Less), order == Some(Ordering::Equal), order == Some(Ordering::Greater));
    match m {
        Cmp::Eq => equal,
        Cmp::Ne => less || greater,
        Cmp::Lt => less,
        Cmp::Le => less || equal,
        Cmp::Gt => greater,
        Cmp::Ge => greater || equal,
        Cmp::Equ => !ordered || equal,
        Cmp::Neu => !ordered || less || greater,
        Cmp::Ltu => !ordered || less,
        Cmp::Leu => !ordered || less || equal,
        Cmp::Gtu => !ordered || greater,
        Cmp::Geu => !ordered || greater || equal,
        Cmp::Num => ordered,
        Cmp::Nan => !ordered,
    }
}

macro_rules! float_prims {
    ($f:ty: $fma:ident $min:ident $max:ident $abs:ident $floor:ident $ceil:ident $trunc:ident $rint:ident) => {
        /// a * b + c, rounded once.
        pub fn $fma(a: $f, b: $f, c: $f) -> $f {
            a.mul_add(b, c)
        }
        /// The smaller; a number wins over NaN, -0 is below +0.
        pub fn $min(a: $f, b: $f) -> $f {
            if a.is_nan() || b.is_nan() {
                return if a.is_nan() { b } else { a };
            }
            if a < b || (a == b && a.is_sign_negative()) { a } else { b }
        }
        /// The larger; a number wins over NaN, +0 is above -0.
        pub fn $max(a: $f, b: $f) -> $f {
            if a.is_nan() || b.is_nan() {
                return if a.is_nan() { b } else { a };
            }
            if a > b || (a == b && a.is_sign_positive()) { a } else { b }
        }
        /// The sign cleared.
        pub fn $abs(a: $f) -> $f {
            a.abs()
        }
        /// The largest integer value not above.
        pub fn $floor(a: $f) -> $f {
            a.floor()
        }
        /// The smallest integer value not below.
        pub fn $ceil(a: $f) -> $f {
            a.ceil()
        }
        /// The fraction cut off.
        pub fn $trunc(a: $f) -> $f {
            a.trunc()
        }
        /// The nearest integer value, ties to even.
        pub fn $rint(a: $f) -> $f {
            a.round_ties_even()
        }
    };
}
float_prims!(f32: fma_f32 min_num_f32 max_num_f32 abs_f32 floor_f32 ceil_f32 trunc_f32 rint_f32);
float_prims!(f64: fma_f64 min_num_f64 max_num_f64 abs_f64 floor_f64 ceil_f64 trunc_f64 rint_f64);

/// The operation that a reduction applies pairwise.
pub fn reduce_op(mode: Reduce) -> Op {
    match mode {
        Reduce::Add => Op::Add,
        Reduce::Min => Op::Min,
        Reduce::Max => Op::Max,
        Reduce::And => Op::And,
        Reduce::Or => Op::Or,
        Reduce::Xor => Op::Xor,
    }
}

/// Operations whose meaning the tables state in words.
///
/// # Errors
/// The trap that the operation's row names.
pub fn custom(op: Op, t: Type, u: Type, modes: [u8; 3], s: &[u64]) -> Result<u64, TrapKind> {
    // A class number that fits a byte, or one that is no class.
    let byte = |bits: u64| u8::try_from(bits).unwrap_or(u8::MAX);
    match op {
        Op::Cvt => Ok(convert(t, u, Round::from_code(modes[0].into()).unwrap_or(Round::Rn), s[0])),
        Op::Bitcast => Ok(canonical_bits(u, s[0])),
        Op::Fold => {
            let each = reduce_op(Reduce::from_code(modes[0].into()).unwrap_or(Reduce::Add));
            let Some((first, rest)) = s.split_first() else { return Ok(0) };
            rest.iter().try_fold(*first, |sum, v| eval(each, t, u, modes, &[sum, *v]).unwrap_or(Ok(sum)))
        }
        Op::ClsOf => Ok(phalanx_atlas::classify(s[0] as u8).into()),
        Op::ClsMirror => phalanx_atlas::mirror(byte(s[0])).map(u64::from).ok_or(TrapKind::BadClass),
        Op::NbrCount => phalanx_atlas::neighbour_count(byte(s[0])).map(u64::from).ok_or(TrapKind::BadClass),
        Op::NbrGet => {
            phalanx_atlas::neighbour_count(byte(s[0])).ok_or(TrapKind::BadClass)?;
            phalanx_atlas::neighbour(byte(s[0]), byte(s[1])).map(u64::from).ok_or(TrapKind::BadNeighbour)
        }
        Op::UnityTest => phalanx_atlas::is_unity(byte(s[0])).map(u64::from).ok_or(TrapKind::BadClass),
        Op::PhiAddr => {
            let in_range = s.iter().all(|v| *v <= u8::MAX.into());
            let address = phalanx_atlas::phi_address(byte(s[0]), byte(s[1]), byte(s[2])).filter(|_| in_range);
            address.map(u64::from).ok_or(TrapKind::BadPhi)
        }
        // The generated `eval` comes here only for rows whose meaning is stated in words, all of which are above.
        _ => Ok(0),
    }
}

/// `cvt`: a value of type `u` as one of type `t`.
fn convert(t: Type, u: Type, round: Round, bits: u64) -> u64 {
    match (t.is_float(), u.is_float()) {
        (false, false) if round == Round::Sat => sat(t, int(u, bits)),
        (false, false) => wrap(t, int(u, bits)),
        (false, true) => {
            // Every float type's values are f64 values; the cast saturates far outside every integer type, NaN gives 0.
            let v = widen(u, bits);
            let whole = match round {
                Round::Rn => v.round_ties_even(),
                Round::Rd => v.floor(),
                Round::Ru => v.ceil(),
                Round::Rz | Round::Wrap | Round::Sat => v.trunc(),
            };
            sat(t, whole as i128)
        }
        (true, false) => {
            let v = int(u, bits);
            match t {
                Type::F64 => (v as f64).to_bits(),
                Type::F16 if u == Type::U64 => half::u64_to_f16(bits).into(),
                Type::F16 => half::i64_to_f16(v as i64).into(),
                Type::Bf16 if u == Type::U64 => half::u64_to_bf16(bits).into(),
                Type::Bf16 => half::i64_to_bf16(v as i64).into(),
                _ => (v as f32).to_bits().into(),
            }
        }
        (true, true) => {
            let v = widen(u, bits);
            match t {
                Type::F64 => v.to_bits(),
                Type::F16 => half::f64_to_f16(v).into(),
                Type::Bf16 => half::f64_to_bf16(v).into(),
                _ => (v as f32).to_bits().into(),
            }
        }
    }
}

/// A float's value, exact.
fn widen(t: Type, bits: u64) -> f64 {
    if t == Type::F64 { f64::from_bits(bits) } else { get_f32(t, bits).into() }
}
