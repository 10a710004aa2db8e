// @generated from isa/*.toml by `cargo xtask gen`. Do not edit.

//! The meaning of every operation without memory or control, compiled from the `does` column of the tables.

use super::prims;
use phalanx_isa::{Class, Cmp, Op, TrapKind, Type};
use phalanx_simd::math;

/// Evaluates an operation on raw source values (a value's bits in the low end of the u64, unused bits zero; a predicate
/// is 0 or 1), with types `t` (and `u`, the source type of conversions) and mode words `modes`.
/// Returns the result's bits, or why the lane traps; `None` for operations that are no pure functions of their operands.
pub fn eval(op: Op, t: Type, u: Type, modes: [u8; 3], s: &[u64]) -> Option<Result<u64, TrapKind>> {
    eval_inner(op, t, u, modes, s).transpose()
}

#[allow(
    unused_parens,
    clippy::double_parens,
    clippy::nonminimal_bool,
    clippy::redundant_closure_call,
    clippy::neg_multiply,
    clippy::no_effect,
    clippy::manual_range_contains,
    reason = "generated from the spec's formulas, kept as written there"
)]
fn eval_inner(op: Op, t: Type, u: Type, modes: [u8; 3], s: &[u64]) -> Result<Option<u64>, TrapKind> {
    let m = Cmp::from_code(u16::from(modes[0])).unwrap_or(Cmp::Eq);
    let class = t.class();
    let double = t == Type::F64;
    let value = match op {
        Op::Mov => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::wrap(t, a)
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(a)
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, a)
                }
            }
            Class::Pred => {
                let a = s[0] != 0;
                u64::from(a)
            }
        },
        Op::Sel => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                let p = s[2] != 0;
                if p { prims::wrap(t, a) } else { prims::wrap(t, b) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    let p = s[2] != 0;
                    prims::put_f64(if p { a } else { b })
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    let p = s[2] != 0;
                    prims::put_f32(t, if p { a } else { b })
                }
            }
            Class::Pred => {
                let a = s[0] != 0;
                let b = s[1] != 0;
                let p = s[2] != 0;
                u64::from(if p { a } else { b })
            }
        },
        Op::Cvt => prims::custom(op, t, u, modes, s)?,
        Op::Bitcast => prims::custom(op, t, u, modes, s)?,
        Op::Add => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, a.wrapping_add(b))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64((a + b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, (a + b))
                }
            }
            _ => return Ok(None),
        },
        Op::Sub => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, a.wrapping_sub(b))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64((a - b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, (a - b))
                }
            }
            _ => return Ok(None),
        },
        Op::Mul => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, a.wrapping_mul(b))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64((a * b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, (a * b))
                }
            }
            _ => return Ok(None),
        },
        Op::Mulhi => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::high(t, a.wrapping_mul(b))
            }
            _ => return Ok(None),
        },
        Op::Div => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                if b == 0_i128 { return Err(TrapKind::DivByZero) } else { prims::wrap(t, (a / b)) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64((a / b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, (a / b))
                }
            }
            _ => return Ok(None),
        },
        Op::Rem => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                if b == 0_i128 { return Err(TrapKind::DivByZero) } else { prims::wrap(t, (a % b)) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64((a % b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, (a % b))
                }
            }
            _ => return Ok(None),
        },
        Op::Min => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                if a < b { prims::wrap(t, a) } else { prims::wrap(t, b) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64(prims::min_num_f64(a, b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, prims::min_num_f32(a, b))
                }
            }
            _ => return Ok(None),
        },
        Op::Max => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                if a > b { prims::wrap(t, a) } else { prims::wrap(t, b) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64(prims::max_num_f64(a, b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, prims::max_num_f32(a, b))
                }
            }
            _ => return Ok(None),
        },
        Op::Abs => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                if a < 0_i128 { prims::wrap(t, 0_i128.wrapping_sub(a)) } else { prims::wrap(t, a) }
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(prims::abs_f64(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, prims::abs_f32(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Neg => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::wrap(t, 0_i128.wrapping_sub(a))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64((-a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, (-a))
                }
            }
            _ => return Ok(None),
        },
        Op::Mad => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                let c = prims::int(t, s[2]);
                prims::wrap(t, a.wrapping_mul(b).wrapping_add(c))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    let c = f64::from_bits(s[2]);
                    prims::put_f64(((a * b) + c))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    let c = prims::get_f32(t, s[2]);
                    prims::put_f32(t, ((a * b) + c))
                }
            }
            _ => return Ok(None),
        },
        Op::Fma => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    let c = f64::from_bits(s[2]);
                    prims::put_f64(prims::fma_f64(a, b, c))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    let c = prims::get_f32(t, s[2]);
                    prims::put_f32(t, prims::fma_f32(a, b, c))
                }
            }
            _ => return Ok(None),
        },
        Op::Addsat => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::sat(t, a.wrapping_add(b))
            }
            _ => return Ok(None),
        },
        Op::Subsat => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::sat(t, a.wrapping_sub(b))
            }
            _ => return Ok(None),
        },
        Op::Floor => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(prims::floor_f64(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, prims::floor_f32(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Ceil => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(prims::ceil_f64(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, prims::ceil_f32(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Trunc => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(prims::trunc_f64(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, prims::trunc_f32(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Rint => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(prims::rint_f64(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, prims::rint_f32(a))
                }
            }
            _ => return Ok(None),
        },
        Op::And => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, (a & b))
            }
            Class::Pred => {
                let a = s[0] != 0;
                let b = s[1] != 0;
                u64::from((a & b))
            }
            _ => return Ok(None),
        },
        Op::Or => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, (a | b))
            }
            Class::Pred => {
                let a = s[0] != 0;
                let b = s[1] != 0;
                u64::from((a | b))
            }
            _ => return Ok(None),
        },
        Op::Xor => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                prims::wrap(t, (a ^ b))
            }
            Class::Pred => {
                let a = s[0] != 0;
                let b = s[1] != 0;
                u64::from((a ^ b))
            }
            _ => return Ok(None),
        },
        Op::Not => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::wrap(t, (!a))
            }
            Class::Pred => {
                let a = s[0] != 0;
                u64::from((!a))
            }
            _ => return Ok(None),
        },
        Op::Shl => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let n = prims::int(Type::U32, s[1]);
                prims::shift_left(t, a, n)
            }
            _ => return Ok(None),
        },
        Op::Shr => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let n = prims::int(Type::U32, s[1]);
                prims::shift_right(t, a, n)
            }
            _ => return Ok(None),
        },
        Op::Rotl => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let n = prims::int(Type::U32, s[1]);
                prims::rotate_left(t, a, n)
            }
            _ => return Ok(None),
        },
        Op::Popc => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::popcount(t, a)
            }
            _ => return Ok(None),
        },
        Op::Clz => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::leading_zeros(t, a)
            }
            _ => return Ok(None),
        },
        Op::Ctz => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::trailing_zeros(t, a)
            }
            _ => return Ok(None),
        },
        Op::Brev => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                prims::reverse_bits(t, a)
            }
            _ => return Ok(None),
        },
        Op::Set => match class {
            Class::Sint | Class::Uint => {
                let a = prims::int(t, s[0]);
                let b = prims::int(t, s[1]);
                u64::from(prims::compare(m, a.partial_cmp(&b)))
            }
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    u64::from(prims::compare(m, a.partial_cmp(&b)))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    u64::from(prims::compare(m, a.partial_cmp(&b)))
                }
            }
            _ => return Ok(None),
        },
        Op::Sqrt => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::sqrt(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::sqrt(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Rsqrt => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::rsqrt(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::rsqrt(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Rcp => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::rcp(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::rcp(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Exp => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::exp(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::exp(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Exp2 => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::exp2(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::exp2(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Log => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::log(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::log(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Log2 => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::log2(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::log2(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Log10 => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::log10(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::log10(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Pow => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    let b = f64::from_bits(s[1]);
                    prims::put_f64(math::double::pow(a, b))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    let b = prims::get_f32(t, s[1]);
                    prims::put_f32(t, math::single::pow(a, b))
                }
            }
            _ => return Ok(None),
        },
        Op::Sin => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::sin(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::sin(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Cos => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::cos(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::cos(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Tan => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::tan(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::tan(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Tanh => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::tanh(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::tanh(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Sigmoid => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::sigmoid(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::sigmoid(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Erf => match class {
            Class::Float => {
                if double {
                    let a = f64::from_bits(s[0]);
                    prims::put_f64(math::double::erf(a))
                } else {
                    let a = prims::get_f32(t, s[0]);
                    prims::put_f32(t, math::single::erf(a))
                }
            }
            _ => return Ok(None),
        },
        Op::Fold => prims::custom(op, t, u, modes, s)?,
        Op::ClsOf => prims::custom(op, t, u, modes, s)?,
        Op::ClsMirror => prims::custom(op, t, u, modes, s)?,
        Op::NbrCount => prims::custom(op, t, u, modes, s)?,
        Op::NbrGet => prims::custom(op, t, u, modes, s)?,
        Op::UnityTest => prims::custom(op, t, u, modes, s)?,
        Op::PhiAddr => prims::custom(op, t, u, modes, s)?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}
