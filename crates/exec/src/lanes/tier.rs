//! One function per operation, type and SIMD level.
//!
//! A level is a set of target features. The bodies (`body.rs` and its neighbours) are written once; here they are wrapped in
//! functions that enable a level's features, and `select` picks the function for an instruction. The match over operations has
//! no wildcard: an operation without a body does not compile.

use super::body;
use super::chunk::{Chunk, Env, LANES};
use super::cross::{self, ADD, MAX, MIN, ONES, Red, Reduction, ZERO};
use super::decode::{DOp, Handler};
use super::mask::Mask;
use super::memory::{self, Index, IndexFns, PoolOp};
use super::ops::*;
use super::resonance;
use crate::view::Elem;
use phalanx_isa::{BarScope, Class, Cmp, Inst, Op, Reduce, Round, Shuffle, Space, TrapKind, Type, Vote};
use phalanx_simd::tier::Tier;

/// The wrappers of a level.
pub(super) trait Level {
    /// Whether bodies have vectors at this level (else they are calls, one a lane: see `body::call`).
    const INLINE: bool;
    fn nop() -> Handler;
    fn un<O: Un>() -> Handler;
    fn mov<T: Value>() -> Handler;
    fn bitcast<S: Value>() -> Handler;
    fn to_int<O: FloatToInt>() -> Handler;
    fn index<I: Index>() -> &'static IndexFns;
    fn bin<O: Bin>() -> Handler;
    fn tern<O: Tern>() -> Handler;
    fn shift<O: Shift>() -> Handler;
    fn compare<O: Compare>() -> Handler;
    fn sel<T: Value>() -> Handler;
    fn divide<O: Bin>() -> Handler
    where
        O::T: Int;
    fn trig<O: Trig>() -> Handler;
    fn countdown<T: Int>() -> Handler;
    fn load<T: Value + Elem>() -> Handler;
    fn store<T: Value>() -> Handler;
    fn load_private<T: Value>() -> Handler;
    fn store_private<T: Value>() -> Handler;
    fn atomic<T: Value>() -> Handler;
    fn length<T: Value>() -> Handler;
    fn pool<T: Value, const W: u8>() -> Handler;
    fn reduce<R: Reduction>() -> Handler;
    fn partial<R: Reduction>() -> Handler;
    fn scan<R: Reduction, const EXCLUSIVE: bool>() -> Handler;
    fn shuffle<T: Value, const MODE: u16>() -> Handler;
    fn broadcast<T: Value>() -> Handler;
    /// Operations on predicate words and the small state of lanes; `K` numbers them, see `misc`.
    fn misc<const K: u8>() -> Handler;
}

/// Numbers of the operations behind [`Level::misc`].
mod k {
    pub(super) const MOV: u8 = 0;
    pub(super) const SEL: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const OR: u8 = 3;
    pub(super) const XOR: u8 = 4;
    pub(super) const NOT: u8 = 5;
    pub(super) const ANY: u8 = 6;
    pub(super) const ALL: u8 = 7;
    pub(super) const BALLOT: u8 = 8;
    pub(super) const CLASSIFY: u8 = 9;
    pub(super) const MIRROR: u8 = 10;
    pub(super) const NEIGHBOURS: u8 = 11;
    pub(super) const NEIGHBOUR: u8 = 12;
    pub(super) const UNITY: u8 = 13;
    pub(super) const PHI: u8 = 14;
    pub(super) const CLASS: u8 = 15;
    pub(super) const PHASE: u8 = 16;
    pub(super) const ADVANCE: u8 = 17;
    pub(super) const WINDOW: u8 = 18;
    pub(super) const FENCE: u8 = 19;
}

#[inline(always)]
unsafe fn misc<const K: u8>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let class = |c: u32| u8::try_from(c).ok().filter(|c| *c < 96).ok_or(TrapKind::BadClass);
    // SAFETY: see `body.rs`.
    unsafe {
        match K {
            k::MOV => body::preds(x, op, m, |a, _, _| a),
            k::SEL => body::preds(x, op, m, |a, b, p| (a & p) | (b & !p)),
            k::AND => body::preds(x, op, m, |a, b, _| a & b),
            k::OR => body::preds(x, op, m, |a, b, _| a | b),
            k::XOR => body::preds(x, op, m, |a, b, _| a ^ b),
            k::NOT => body::preds(x, op, m, |a, _, _| !a),
            k::ANY => cross::vote(x, op, m, false),
            k::ALL => cross::vote(x, op, m, true),
            k::BALLOT => cross::ballot(x, op, m),
            k::CLASSIFY => {
                body::checked(x, op, env, m, |a, _, _| Ok(phalanx_atlas::classify(a as u8).into()))
            }
            k::MIRROR => body::checked(x, op, env, m, |a, _, _| {
                phalanx_atlas::mirror(class(a)?).map(u32::from).ok_or(TrapKind::BadClass)
            }),
            k::NEIGHBOURS => body::checked(x, op, env, m, |a, _, _| {
                phalanx_atlas::neighbour_count(class(a)?).map(|n| n as u32).ok_or(TrapKind::BadClass)
            }),
            k::NEIGHBOUR => body::checked(x, op, env, m, |a, b, _| {
                let found = u8::try_from(b).ok().and_then(|i| phalanx_atlas::neighbour(class(a).ok()?, i));
                class(a)?;
                found.map(u32::from).ok_or(TrapKind::BadNeighbour)
            }),
            k::UNITY => body::checked(x, op, env, m, |a, _, _| {
                phalanx_atlas::is_unity(class(a)?).map(u32::from).ok_or(TrapKind::BadClass)
            }),
            k::PHI => body::checked(x, op, env, m, |c, page, byte| {
                let parts = (u8::try_from(c), u8::try_from(page), u8::try_from(byte));
                let (Ok(c8), Ok(page), Ok(byte)) = parts else { return Err(TrapKind::BadPhi) };
                let address = phalanx_atlas::phi_address(c8, page, byte).ok_or(TrapKind::BadPhi)?;
                let claims = &env.launch.options.claims;
                claims.check_boundary(address).map_or(Err(TrapKind::Claim), |()| Ok(address))
            }),
            k::CLASS => {
                let class = env.launch.class_of_block(env.block);
                body::checked(x, op, env, m, |_, _, _| Ok(class))
            }
            k::PHASE => {
                let d = x.at::<[u32; 32]>(op.d);
                for lane in super::mask::lanes_of(m) {
                    (*d.add(lane as usize / 32))[lane as usize % 32] = x.phase[lane as usize].into();
                }
                true
            }
            k::ADVANCE => {
                let a = x.at::<[u16; 32]>(op.a);
                for lane in super::mask::lanes_of(m) {
                    let delta = (*a.add(lane as usize / 32 * op.sa as usize))[lane as usize % 32];
                    let p = &mut x.phase[lane as usize];
                    *p = ((u32::from(*p) + u32::from(delta)) % 768) as u16;
                }
                env.launch.options.claims.phase.is_none() || resonance::check_phases(x, op, env, m)
            }
            k::WINDOW => {
                let (a, b) = (x.at::<[u32; 32]>(op.a), x.at::<[u32; 32]>(op.b));
                let d = x.at::<Mask>(op.d);
                for lane in super::mask::lanes_of(m) {
                    let (g, i) = (lane as usize / 32, lane as usize % 32);
                    let (begin, span) = ((*a.add(g * op.sa as usize))[i], (*b.add(g * op.sb as usize))[i]);
                    let from = (u32::from(x.phase[lane as usize]) + 768 - begin % 768) % 768;
                    let bit = 1u32 << i;
                    (*d)[g] = if from < span { (*d)[g] | bit } else { (*d)[g] & !bit };
                }
                true
            }
            _ => {
                // An update orders as a fence does (see Launch::fence); one for all lanes, which run on one thread.
                env.launch.fence.fetch_add(0, std::sync::atomic::Ordering::AcqRel);
                true
            }
        }
    }
}

macro_rules! level {
    ($(#[$doc:meta])* $name:ident $(, $features:literal)?) => {
        $(#[$doc])*
        pub(super) struct $name;
        impl Level for $name {
            // NEON is part of every aarch64, FMA of no x86-64 baseline.
            const INLINE: bool = level!(@inline $($features)?);
            level! { @fns [$($features)?]
                nop() => |_x, _op, _env, _m| true;
                un(O: Un) => |x, op, _env, m| body::un::<O>(x, op, m, <$name as Level>::INLINE);
                mov(T: Value) => |x, op, _env, m| body::mov::<T>(x, op, m);
                bitcast(S: Value) => |x, op, _env, m| body::bitcast::<S>(x, op, m);
                to_int(O: FloatToInt) => |x, op, _env, m| body::to_int::<O>(x, op, m, <$name as Level>::INLINE);
                bin(O: Bin) => |x, op, _env, m| body::bin::<O>(x, op, m);
                tern(O: Tern) => |x, op, _env, m| body::tern::<O>(x, op, m);
                shift(O: Shift) => |x, op, _env, m| body::shift::<O>(x, op, m);
                compare(O: Compare) => |x, op, _env, m| body::compare::<O>(x, op, m);
                sel(T: Value) => |x, op, _env, m| body::select::<T>(x, op, m);
                trig(O: Trig) => |x, op, _env, m| body::trig::<O>(x, op, m, <$name as Level>::INLINE);
                countdown(T: Int) => |x, op, _env, m| body::countdown::<T>(x, op, m);
                load(T: Value + Elem) => |x, op, env, m| memory::load::<T>(x, op, env, m);
                store(T: Value) => |x, op, env, m| memory::store::<T>(x, op, env, m);
                load_private(T: Value) => |x, op, env, m| memory::load_private::<T>(x, op, env, m);
                store_private(T: Value) => |x, op, env, m| memory::store_private::<T>(x, op, env, m);
                atomic(T: Value) => |x, op, env, m| memory::atomic::<T>(x, op, env, m);
                length(T: Value) => |x, op, env, m| memory::length::<T>(x, op, env, m);
                reduce(R: Reduction) => |x, op, _env, m| cross::reduce::<R>(x, op, m);
                partial(R: Reduction) => |x, op, _env, m| cross::partial::<R>(x, op, m);
                broadcast(T: Value) => |x, op, env, m| cross::broadcast::<T>(x, op, env, m);
            }
            fn divide<O: Bin>() -> Handler where O::T: Int {
                $(#[target_feature(enable = $features)])?
                unsafe fn h<O: Bin>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool where O::T: Int {
                    // SAFETY: see `body.rs`.
                    unsafe { body::divide::<O>(x, op, env, m) }
                }
                h::<O>
            }
            fn pool<T: Value, const W: u8>() -> Handler {
                unsafe fn h<T: Value, const W: u8>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
                    let what = [PoolOp::Alloc, PoolOp::Free, PoolOp::Load, PoolOp::Store][W as usize];
                    // SAFETY: see `body.rs`.
                    unsafe { memory::pool::<T>(x, op, env, m, what) }
                }
                h::<T, W>
            }
            fn scan<R: Reduction, const EXCLUSIVE: bool>() -> Handler {
                $(#[target_feature(enable = $features)])?
                unsafe fn h<R: Reduction, const EXCLUSIVE: bool>(x: &mut Chunk, op: &DOp, _: &Env<'_>, m: &Mask) -> bool {
                    // SAFETY: see `body.rs`.
                    unsafe { cross::scan::<R>(x, op, m, EXCLUSIVE) }
                }
                h::<R, EXCLUSIVE>
            }
            fn shuffle<T: Value, const MODE: u16>() -> Handler {
                $(#[target_feature(enable = $features)])?
                unsafe fn h<T: Value, const MODE: u16>(x: &mut Chunk, op: &DOp, _: &Env<'_>, m: &Mask) -> bool {
                    let mode = const { Shuffle::from_code(MODE) }.unwrap_or(Shuffle::Idx);
                    // SAFETY: see `body.rs`.
                    unsafe { cross::shuffle::<T>(x, op, m, mode) }
                }
                h::<T, MODE>
            }
            fn index<I: Index>() -> &'static IndexFns {
                $(#[target_feature(enable = $features)])?
                unsafe fn consecutive<I: Index, const N: usize>(index: *const u8, disp: i64) -> u64 {
                    // SAFETY: see `memory.rs`.
                    unsafe { memory::consecutive::<I, N>(index, disp) }
                }
                $(#[target_feature(enable = $features)])?
                unsafe fn places<I: Index>(index: *const u8, disp: i64, out: &mut [u64; 32]) {
                    // SAFETY: see `memory.rs`.
                    unsafe { memory::places::<I>(index, disp, out) }
                }
                &const {
                    IndexFns {
                        consecutive: consecutive::<I, 32>,
                        chunk: consecutive::<I, LANES>,
                        places: places::<I>,
                        exact: memory::exact::<I>,
                        size: size_of::<I>(),
                    }
                }
            }
            fn misc<const K: u8>() -> Handler {
                $(#[target_feature(enable = $features)])?
                unsafe fn h<const K: u8>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
                    // SAFETY: see `body.rs`.
                    unsafe { misc::<K>(x, op, env, m) }
                }
                h::<K>
            }
        }
    };
    (@inline) => { cfg!(target_arch = "aarch64") };
    (@inline $features:literal) => { true };
    (@fns $features:tt
        $($f:ident($($p:ident: $b:ident $(+ $b2:ident)?),*) => |$x:ident, $op:ident, $env:ident, $m:ident| $e:expr;)*) => {
        $(level! { @fn $features $f ($($p: $b $(+ $b2)?),*) ($($p),*) |$x, $op, $env, $m| $e })*
    };
    (@fn [] $f:ident ($($g:tt)*) ($($p:ident),*) |$x:ident, $op:ident, $env:ident, $m:ident| $e:expr) => {
        fn $f<$($g)*>() -> Handler {
            unsafe fn h<$($g)*>($x: &mut Chunk, $op: &DOp, $env: &Env<'_>, $m: &Mask) -> bool {
                // SAFETY: see `body.rs`.
                #[allow(unused_unsafe, reason = "nop has no body")]
                unsafe { $e }
            }
            h::<$($p),*>
        }
    };
    (@fn [$features:literal] $f:ident ($($g:tt)*) ($($p:ident),*) |$x:ident, $op:ident, $env:ident, $m:ident| $e:expr) => {
        fn $f<$($g)*>() -> Handler {
            #[target_feature(enable = $features)]
            unsafe fn h<$($g)*>($x: &mut Chunk, $op: &DOp, $env: &Env<'_>, $m: &Mask) -> bool {
                // SAFETY: see `body.rs`.
                #[allow(unused_unsafe, reason = "nop has no body")]
                unsafe { $e }
            }
            h::<$($p),*>
        }
    };
}

level!(
    /// What the target has anyway: SSE2 on x86-64, NEON on aarch64.
    Baseline
);
#[cfg(target_arch = "x86_64")]
level!(
    /// AVX2 with FMA.
    Avx2, "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
);
#[cfg(target_arch = "x86_64")]
level!(
    /// AVX-512 (VNNI adds nothing for plain lanes).
    Avx512, "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd"
);

/// Calls the expression with a type variable for the instruction's type. The validator has checked the type against the row, so
/// a type outside the set cannot come; it gets the set's first. `bits` and `numbits` use one body for both signs, for
/// operations that do not see the sign.
macro_rules! types {
    (num, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F16 F16, Bf16 Bf16, F32 f32, F64 f64; i8)
    };
    (numbits, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I8 u8, I16 u16, I32 u32, I64 u64, U8 u8, U16 u16, U32 u32, U64 u64, F16 F16, Bf16 Bf16, F32 f32, F64 f64; u8)
    };
    (int, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64; i8)
    };
    (bits, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I8 u8, I16 u16, I32 u32, I64 u64, U8 u8, U16 u16, U32 u32, U64 u64; u8)
    };
    (float, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, F16 F16, Bf16 Bf16, F32 f32, F64 f64; F16)
    };
    (raw, $ty:expr, $t:ident => $e:expr) => {
        match $ty.map_or(1, Type::bytes) {
            1 => { type $t = u8; $e }
            2 => { type $t = u16; $e }
            4 => { type $t = u32; $e }
            _ => { type $t = u64; $e }
        }
    };
    (index, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I32 i32, I64 i64, U32 u32, U64 u64; u64)
    };
    (atomic, $ty:expr, $t:ident => $e:expr) => {
        types!(@ $ty, $t, $e, I32 u32, I64 u64, U32 u32, U64 u64, F32 f32, F64 f64; u32)
    };
    (@ $ty:expr, $t:ident, $e:expr, $($v:ident $r:ident),*; $d:ident) => {
        match $ty {
            $(Some(Type::$v) => { type $t = $r; $e })*
            _ => { type $t = $d; $e }
        }
    };
}

/// The SIMD level that a value type's hot bodies are made for.
macro_rules! at {
    ($t:ident) => { <$t as Value>::Pick<L, N> };
}

/// The function for an instruction at a SIMD level.
pub(super) fn handler(tier: Tier, inst: &Inst) -> Handler {
    match tier {
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => select::<Avx2, Avx2>(inst),
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 | Tier::Avx512Vnni => select::<Avx512, Avx2>(inst),
        _ => select::<Baseline, Baseline>(inst),
    }
}

/// The index functions of a level.
pub(super) fn index_fns(tier: Tier, index: Type) -> &'static IndexFns {
    match tier {
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 | Tier::Avx512 | Tier::Avx512Vnni => types!(index, Some(index), I => Avx2::index::<I>()),
        _ => types!(index, Some(index), I => Baseline::index::<I>()),
    }
}

/// The part of a block reduction that joins two subgroups' values.
pub(super) fn combiner(inst: &Inst) -> fn(u64, u64) -> u64 {
    macro_rules! pick {
        ($op:ident, $id:ident, $set:ident) => { types!($set, inst.ty, T => cross::combine::<Red<$op<T>, $id>>) };
    }
    match Reduce::from_code(inst.modes[0].into()) {
        Some(Reduce::Add) | None => pick!(Add, ADD, num),
        Some(Reduce::Min) => pick!(Min, MIN, num),
        Some(Reduce::Max) => pick!(Max, MAX, num),
        Some(Reduce::And) => pick!(And, ONES, int),
        Some(Reduce::Or) => pick!(Or, ZERO, int),
        Some(Reduce::Xor) => pick!(Xor, ZERO, int),
    }
}

/// `L` is the level for wide types, `N` for narrow ones; operations that no program spends its time in have one body, `Baseline`'s.
fn select<L: Level, N: Level>(inst: &Inst) -> Handler {
    let ty = inst.ty;
    let pred = ty == Some(Type::Pred);
    let mode = |i: usize| u16::from(inst.modes[i]);
    let float = ty.is_some_and(Type::is_float);
    macro_rules! bin {
        ($op:ident, $set:ident) => { types!($set, ty, T => <at!(T)>::bin::<$op<T>>()) };
    }
    macro_rules! un {
        ($op:ident, $set:ident) => { types!($set, ty, T => <at!(T)>::un::<$op<T>>()) };
    }
    macro_rules! reduction {
        ($f:ident $(, $extra:tt)?) => {
            match Reduce::from_code(mode(inst.op.info().modes.len() - 1)) {
                Some(Reduce::Add) | None => types!(num, ty, T => Baseline::$f::<Red<Add<T>, ADD> $(, $extra)?>()),
                Some(Reduce::Min) => types!(num, ty, T => Baseline::$f::<Red<Min<T>, MIN> $(, $extra)?>()),
                Some(Reduce::Max) => types!(num, ty, T => Baseline::$f::<Red<Max<T>, MAX> $(, $extra)?>()),
                Some(Reduce::And) => types!(int, ty, T => Baseline::$f::<Red<And<T>, ONES> $(, $extra)?>()),
                Some(Reduce::Or) => types!(int, ty, T => Baseline::$f::<Red<Or<T>, ZERO> $(, $extra)?>()),
                Some(Reduce::Xor) => types!(int, ty, T => Baseline::$f::<Red<Xor<T>, ZERO> $(, $extra)?>()),
            }
        };
    }
    let private = Space::from_code(mode(0)) == Some(Space::Private);
    match inst.op {
        Op::Mov if pred => Baseline::misc::<{ k::MOV }>(),
        Op::Mov => types!(raw, ty, T => <at!(T)>::mov::<T>()),
        Op::Sel if pred => Baseline::misc::<{ k::SEL }>(),
        Op::Sel => types!(raw, ty, T => <at!(T)>::sel::<T>()),
        Op::Cvt => conversion::<N>(inst),
        Op::Bitcast => types!(numbits, inst.ty2, S => <at!(S)>::bitcast::<S>()),
        Op::Add => bin!(Add, numbits),
        Op::Sub => bin!(Sub, numbits),
        Op::Mul => bin!(Mul, numbits),
        Op::Mulhi => bin!(MulHi, int),
        Op::Div if float => bin!(DivF, float),
        Op::Div => types!(int, ty, T => Baseline::divide::<Quotient<T>>()),
        Op::Rem if float => bin!(RemF, float),
        Op::Rem => types!(int, ty, T => Baseline::divide::<Remainder<T>>()),
        Op::Min => bin!(Min, num),
        Op::Max => bin!(Max, num),
        Op::Abs => un!(Abs, num),
        Op::Neg => un!(Neg, numbits),
        Op::Mad => types!(numbits, ty, T => <at!(T)>::tern::<Mad<T>>()),
        Op::Fma => types!(float, ty, T => <at!(T)>::tern::<Fma<T>>()),
        Op::Addsat => bin!(AddSat, int),
        Op::Subsat => bin!(SubSat, int),
        Op::Floor => un!(Floor, float),
        Op::Ceil => un!(Ceil, float),
        Op::Trunc => un!(Trunc, float),
        Op::Rint => un!(Rint, float),
        Op::And if pred => Baseline::misc::<{ k::AND }>(),
        Op::And => bin!(And, bits),
        Op::Or if pred => Baseline::misc::<{ k::OR }>(),
        Op::Or => bin!(Or, bits),
        Op::Xor if pred => Baseline::misc::<{ k::XOR }>(),
        Op::Xor => bin!(Xor, bits),
        Op::Not if pred => Baseline::misc::<{ k::NOT }>(),
        Op::Not => un!(Not, bits),
        Op::Shl => types!(bits, ty, T => <at!(T)>::shift::<Shl<T>>()),
        Op::Shr => types!(int, ty, T => <at!(T)>::shift::<Shr<T>>()),
        Op::Rotl => types!(bits, ty, T => <at!(T)>::shift::<Rotl<T>>()),
        Op::Popc => un!(Popc, bits),
        Op::Clz => un!(Clz, bits),
        Op::Ctz => un!(Ctz, bits),
        Op::Brev => un!(Brev, bits),
        Op::Set => {
            macro_rules! cmp {
                ($op:ident, $set:ident) => { types!($set, ty, T => <at!(T)>::compare::<$op<T>>()) };
            }
            // gt, ge, gtu, geu are lt, le, ltu, leu with the operands exchanged (decode does that).
            match Cmp::from_code(mode(0)).unwrap_or(Cmp::Eq) {
                Cmp::Eq => cmp!(CmpEq, numbits),
                Cmp::Ne => cmp!(CmpNe, numbits),
                Cmp::Lt | Cmp::Gt => cmp!(CmpLt, num),
                Cmp::Le | Cmp::Ge => cmp!(CmpLe, num),
                Cmp::Equ => cmp!(CmpEqu, float),
                Cmp::Neu => cmp!(CmpNeu, float),
                Cmp::Ltu | Cmp::Gtu => cmp!(CmpLtu, float),
                Cmp::Leu | Cmp::Geu => cmp!(CmpLeu, float),
                Cmp::Num => cmp!(CmpNum, float),
                Cmp::Nan => cmp!(CmpNan, float),
            }
        }
        Op::Sqrt => un!(Sqrt, float),
        Op::Rsqrt => un!(Rsqrt, float),
        Op::Rcp => un!(Rcp, float),
        Op::Exp => un!(Exp, float),
        Op::Exp2 => un!(Exp2, float),
        Op::Log => un!(Log, float),
        Op::Log2 => un!(Log2, float),
        Op::Log10 => un!(Log10, float),
        Op::Pow => bin!(Pow, float),
        Op::Sin => types!(float, ty, T => <at!(T)>::trig::<Sin<T>>()),
        Op::Cos => types!(float, ty, T => <at!(T)>::trig::<Cos<T>>()),
        Op::Tan => types!(float, ty, T => <at!(T)>::trig::<Tan<T>>()),
        Op::Tanh => un!(Tanh, float),
        Op::Sigmoid => un!(Sigmoid, float),
        Op::Erf => un!(Erf, float),
        // One step of the chain that decode makes of it.
        Op::Fold => match Reduce::from_code(mode(0)) {
            Some(Reduce::Add) | None => bin!(Add, numbits),
            Some(Reduce::Min) => bin!(Min, num),
            Some(Reduce::Max) => bin!(Max, num),
            Some(Reduce::And) => bin!(And, bits),
            Some(Reduce::Or) => bin!(Or, bits),
            Some(Reduce::Xor) => bin!(Xor, bits),
        },
        Op::Ld if private => types!(raw, ty, T => Baseline::load_private::<T>()),
        Op::Ld => types!(raw, ty, T => N::load::<T>()),
        Op::St if private => types!(numbits, ty, T => Baseline::store_private::<T>()),
        Op::St => types!(numbits, ty, T => N::store::<T>()),
        Op::Aload | Op::Astore | Op::Atom | Op::Red | Op::Cas => {
            types!(atomic, ty, T => Baseline::atomic::<T>())
        }
        Op::Len => types!(raw, ty, T => Baseline::length::<T>()),
        Op::PoolAlloc => Baseline::pool::<u8, 0>(),
        Op::PoolFree => Baseline::pool::<u8, 1>(),
        Op::PoolLd => types!(raw, ty, T => Baseline::pool::<T, 2>()),
        Op::PoolSt => types!(numbits, ty, T => Baseline::pool::<T, 3>()),
        Op::Loop => types!(bits, ty, T => Baseline::countdown::<T>()),
        Op::Nop | Op::Bra | Op::Call | Op::Ret | Op::Exit | Op::Trap | Op::Bar => Baseline::nop(),
        Op::Fence => Baseline::misc::<{ k::FENCE }>(),
        Op::Shfl => match Shuffle::from_code(mode(0)).unwrap_or(Shuffle::Idx) {
            Shuffle::Idx => types!(raw, ty, T => Baseline::shuffle::<T, { Shuffle::Idx as u16 }>()),
            Shuffle::Up => types!(raw, ty, T => Baseline::shuffle::<T, { Shuffle::Up as u16 }>()),
            Shuffle::Down => types!(raw, ty, T => Baseline::shuffle::<T, { Shuffle::Down as u16 }>()),
            Shuffle::Xor => types!(raw, ty, T => Baseline::shuffle::<T, { Shuffle::Xor as u16 }>()),
        },
        Op::Bcast => types!(raw, ty, T => Baseline::broadcast::<T>()),
        Op::Vote if Vote::from_code(mode(0)) == Some(Vote::All) => Baseline::misc::<{ k::ALL }>(),
        Op::Vote => Baseline::misc::<{ k::ANY }>(),
        Op::Ballot => Baseline::misc::<{ k::BALLOT }>(),
        Op::Sreduce => reduction!(reduce),
        Op::Scan if mode(0) == phalanx_isa::Scan::Excl.code() => reduction!(scan, true),
        Op::Scan => reduction!(scan, false),
        Op::Reduce => reduction!(partial),
        Op::ClsGet => Baseline::misc::<{ k::CLASS }>(),
        Op::ClsOf => Baseline::misc::<{ k::CLASSIFY }>(),
        Op::ClsMirror => Baseline::misc::<{ k::MIRROR }>(),
        Op::NbrCount => Baseline::misc::<{ k::NEIGHBOURS }>(),
        Op::NbrGet => Baseline::misc::<{ k::NEIGHBOUR }>(),
        Op::UnityTest => Baseline::misc::<{ k::UNITY }>(),
        Op::PhiAddr => Baseline::misc::<{ k::PHI }>(),
        Op::PhaseGet => Baseline::misc::<{ k::PHASE }>(),
        Op::PhaseAdv => Baseline::misc::<{ k::ADVANCE }>(),
        Op::PhaseIn => Baseline::misc::<{ k::WINDOW }>(),
        Op::ResAccumF64 => resonance::add_floats,
        Op::ResAccumI64 => resonance::add_fractions,
        Op::ResTestF64 => resonance::test_float,
        Op::ResTestI64 => resonance::test_ratio,
        // Runs once for the block: see mod.rs.
        Op::MatmulT2
        | Op::QuantRows
        | Op::MatmulQ
        | Op::LinearQ
        | Op::MatmulF
        | Op::LinearF
        | Op::MatmulB
        | Op::Attend
        | Op::Conv2dSum
        | Op::Conv2dQ
        | Op::Conv2dF => Baseline::nop(),
    }
}

fn conversion<N: Level>(inst: &Inst) -> Handler {
    let (to, from) = (inst.ty, inst.ty2);
    let float = |t: Option<Type>| t.map(Type::class) == Some(Class::Float);
    let round = Round::from_code(inst.modes[0].into()).unwrap_or(Round::Rn);
    if float(to) {
        return types!(num, from, S => types!(float, to, D => N::un::<ToFloat<S, D>>()));
    }
    if float(from) {
        return types!(float, from, S => types!(int, to, D => N::to_int::<ToInt<S, D>>()));
    }
    match round {
        Round::Sat => types!(int, from, S => types!(int, to, D => Baseline::un::<Sat<S, D>>())),
        _ => types!(int, from, S => types!(bits, to, D => N::un::<Wrap<S, D>>())),
    }
}

/// Whether the instruction is a barrier of the subgroup only.
pub(super) fn is_subgroup_barrier(inst: &Inst) -> bool {
    inst.op == Op::Bar && BarScope::from_code(inst.modes[0].into()) == Some(BarScope::Subgroup)
}
