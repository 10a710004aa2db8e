//! The loops over lanes: for each subgroup of a chunk compute 32 values, then write those of the active lanes.
//!
//! Everything here is `inline(always)` and generic; `tier.rs` wraps it in functions with a SIMD level's target features, where
//! the loops over 32 become vector code of that level's width.
//!
//! Safety of all functions: called from `Chunk::run` with an operation that `decode` made for the running program, so that
//! operand offsets name slots of the right type and size (see `Chunk::at`).

use super::chunk::{Chunk, Env, GROUPS};
use super::decode::DOp;
use super::mask::{FULL, Mask, NONE, and, any, bits, choose, lanes_of};
use super::ops::{Bin, Compare, Float, FloatSource, FloatToInt, Int, Num, Shift, Tern, Trig, Un, Value};
use crate::reference::alu_detail;
use crate::trap::TrapDetail;
use phalanx_isa::{Round, TrapKind};

/// Writes a group's results where `active` has bits; the whole group where no other lane is to keep its value.
#[inline(always)]
pub(super) unsafe fn put<T: Copy>(dst: *mut [T; 32], values: &[T; 32], active: u32, keep: u32) {
    // SAFETY: see the module's head; the casts go to the unsigned type of T's size.
    unsafe {
        if keep & !active == 0 {
            *dst = *values;
            return;
        }
        let from = std::ptr::from_ref(values);
        match size_of::<T>() {
            1 => blend::<u8>(&mut *dst.cast(), &*from.cast(), active),
            2 => blend::<u16>(&mut *dst.cast(), &*from.cast(), active),
            4 => blend::<u32>(&mut *dst.cast(), &*from.cast(), active),
            _ => blend::<u64>(&mut *dst.cast(), &*from.cast(), active),
        }
    }
}

/// Takes `values` where the mask has bits. Written on whole words without a branch per lane, which is what vectorises.
#[inline(always)]
fn blend<W: Word>(dst: &mut [W; 32], values: &[W; 32], active: u32) {
    let mut take = [W::default(); 32];
    for i in 0..32 {
        take[i] = W::ones_if(active >> i & 1);
    }
    for i in 0..32 {
        dst[i] = W::choose(take[i], values[i], dst[i]);
    }
}

/// An unsigned word as a set of bits.
trait Word: Copy + Default {
    /// All ones for 1, zero for 0.
    fn ones_if(bit: u32) -> Self;
    /// Bits of `a` where `take` has ones, of `b` elsewhere.
    fn choose(take: Self, a: Self, b: Self) -> Self;
}
macro_rules! words {
    ($($t:ty)*) => { $(impl Word for $t {
        #[inline(always)]
        fn ones_if(bit: u32) -> Self { 0u32.wrapping_sub(bit) as i32 as $t }
        #[inline(always)]
        fn choose(take: Self, a: Self, b: Self) -> Self { (a & take) | (b & !take) }
    })* };
}
words! { u8 u16 u32 u64 }

/// One active lane's value of `a` becomes the value of a uniform register or predicate: `aux` bytes an element.
pub(super) unsafe fn spread(x: &mut Chunk, op: &DOp, _: &Env<'_>, m: &Mask) -> bool {
    let Some(lane) = lanes_of(&and(m, &x.mask)).next() else { return true };
    // SAFETY: see the module's head; `a` has an element per lane, `d` is uniform.
    unsafe {
        if op.to_pred {
            let holds = (*x.at::<Mask>(op.a))[lane as usize / 32] >> (lane % 32) & 1 != 0;
            *x.at::<Mask>(op.d) = if holds { FULL } else { NONE };
        } else {
            let size = op.aux as usize;
            let (from, to) = (x.at::<u8>(op.a).add(lane as usize * size), x.at::<u8>(op.d));
            for i in 0..32 {
                std::ptr::copy_nonoverlapping(from, to.add(i * size), size);
            }
        }
    }
    true
}

/// By group, the lanes that keep their value of the destination where they are not active: those that exist, if anybody will
/// read it.
#[inline(always)]
pub(super) fn kept<'a>(x: &'a Chunk, op: &DOp) -> &'a Mask {
    if op.keep { &x.born } else { &NONE }
}

/// Runs `f(group, active lanes)` for the groups with active lanes.
macro_rules! each_group {
    ($m:ident, |$g:ident, $w:ident| $body:block) => {
        for $g in 0..GROUPS {
            let $w = $m[$g];
            if $w != 0 $body
        }
    };
}

/// A body as a call, for levels without vectors for it: inlined, the compiler would write 32 copies of it.
#[inline(never)]
fn call<A, D>(f: impl Fn(A) -> D, a: A) -> D {
    f(a)
}

#[inline(always)]
pub(super) unsafe fn un<O: Un>(x: &mut Chunk, op: &DOp, m: &Mask, inline: bool) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a) = (x.at::<[O::D; 32]>(op.d), x.at::<[O::A; 32]>(op.a));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let a = &*a.add(g * op.sa as usize);
            let mut r = [O::D::default(); 32];
            for i in 0..32 {
                r[i] = if inline { O::f(a[i]) } else { call(O::f, a[i]) };
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

#[inline(always)]
pub(super) unsafe fn mov<T: Value>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a) = (x.at::<[T; 32]>(op.d), x.at::<[T; 32]>(op.a));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let r = *a.add(g * op.sa as usize);
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

/// The same bits; a NaN source shows its type's one pattern.
#[inline(always)]
pub(super) unsafe fn bitcast<S: Value>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head; the destination has the source's size.
    unsafe {
        let (d, a) = (x.at::<[S; 32]>(op.d), x.at::<[S; 32]>(op.a));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let a = &*a.add(g * op.sa as usize);
            let mut r = [S::default(); 32];
            for i in 0..32 {
                r[i] = a[i].canonical();
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

/// Float to integer; `aux` holds the rounding.
#[inline(always)]
pub(super) unsafe fn to_int<O: FloatToInt>(x: &mut Chunk, op: &DOp, m: &Mask, inline: bool) -> bool {
    let round = Round::from_code(op.aux as u16).unwrap_or(Round::Rn);
    // SAFETY: see the module's head.
    unsafe {
        let (d, a) = (x.at::<[O::D; 32]>(op.d), x.at::<[O::S; 32]>(op.a));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let a = &*a.add(g * op.sa as usize);
            let mut v = [<O::S as FloatSource>::Wide::default(); 32];
            // The integer conversion drops a fraction, which is rounding toward zero.
            let mut r = [O::D::default(); 32];
            if inline {
                for i in 0..32 {
                    v[i] = a[i].wide_value();
                }
                match round {
                    Round::Rz => {}
                    Round::Rd => v.iter_mut().for_each(|v| *v = v.floor()),
                    Round::Ru => v.iter_mut().for_each(|v| *v = v.ceil()),
                    Round::Rn | Round::Wrap | Round::Sat => v.iter_mut().for_each(|v| *v = v.rint()),
                }
                for i in 0..32 {
                    r[i] = O::f(v[i]);
                }
            } else {
                let one = |a: O::S| {
                    let v = a.wide_value();
                    O::f(match round {
                        Round::Rz => v,
                        Round::Rd => v.floor(),
                        Round::Ru => v.ceil(),
                        Round::Rn | Round::Wrap | Round::Sat => v.rint(),
                    })
                };
                for i in 0..32 {
                    r[i] = call(one, a[i]);
                }
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

#[inline(always)]
pub(super) unsafe fn bin<O: Bin>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a, b) = (x.at::<[O::T; 32]>(op.d), x.at::<[O::T; 32]>(op.a), x.at::<[O::T; 32]>(op.b));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let (a, b) = (&*a.add(g * op.sa as usize), &*b.add(g * op.sb as usize));
            let mut r = [O::T::default(); 32];
            for i in 0..32 {
                r[i] = O::f(a[i], b[i]);
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

#[inline(always)]
pub(super) unsafe fn tern<O: Tern>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let d = x.at::<[O::T; 32]>(op.d);
        let (a, b, c) = (x.at::<[O::T; 32]>(op.a), x.at::<[O::T; 32]>(op.b), x.at::<[O::T; 32]>(op.c));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let (a, b) = (&*a.add(g * op.sa as usize), &*b.add(g * op.sb as usize));
            let c = &*c.add(g * op.sc as usize);
            let mut r = [O::T::default(); 32];
            for i in 0..32 {
                r[i] = O::f(a[i], b[i], c[i]);
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

#[inline(always)]
pub(super) unsafe fn shift<O: Shift>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a, n) = (x.at::<[O::T; 32]>(op.d), x.at::<[O::T; 32]>(op.a), x.at::<[u32; 32]>(op.b));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let (a, n) = (&*a.add(g * op.sa as usize), &*n.add(g * op.sb as usize));
            let mut r = [O::T::default(); 32];
            for i in 0..32 {
                r[i] = O::f(a[i], n[i]);
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

/// Bit i of the result: byte i is not zero (each byte is 0 or 0xff).
#[inline(always)]
fn movemask(b: &[u8; 32]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: SSE2 is part of x86-64; the loads are unaligned loads of the array's two halves.
    unsafe {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_movemask_epi8};
        let p = b.as_ptr().cast::<__m128i>();
        _mm_movemask_epi8(_mm_loadu_si128(p)) as u32
            | (_mm_movemask_epi8(_mm_loadu_si128(p.add(1))) as u32) << 16
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    b.iter().enumerate().fold(0, |r, (i, v)| r | u32::from(*v & 1) << i)
}

#[inline(always)]
pub(super) unsafe fn compare<O: Compare>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (a, b) = (x.at::<[O::T; 32]>(op.a), x.at::<[O::T; 32]>(op.b));
        let d = &mut *x.at::<Mask>(op.d);
        let mut holds = NONE;
        each_group!(m, |g, w| {
            let (a, b) = (&*a.add(g * op.sa as usize), &*b.add(g * op.sb as usize));
            let mut r = [0u8; 32];
            for i in 0..32 {
                r[i] = if O::f(a[i], b[i]) { 0xff } else { 0 };
            }
            holds[g] = movemask(&r);
        });
        *d = if op.uniform { [holds[0]; GROUPS] } else { choose(m, &holds, d) };
    }
    true
}

#[inline(always)]
pub(super) unsafe fn select<T: Value>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a, b) = (x.at::<[T; 32]>(op.d), x.at::<[T; 32]>(op.a), x.at::<[T; 32]>(op.b));
        let p = x.pred(op.c);
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let (a, b) = (&*a.add(g * op.sa as usize), &*b.add(g * op.sb as usize));
            let mut r = *b;
            put(&mut r, a, p[g], u32::MAX);
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

/// Logic on predicates: words of 32 lanes.
#[inline(always)]
pub(super) unsafe fn preds(x: &mut Chunk, op: &DOp, m: &Mask, f: impl Fn(u32, u32, u32) -> u32) -> bool {
    // SAFETY: see the module's head; all three are predicate slots (or unused and then any predicate slot).
    unsafe {
        let (a, b, c) = (x.pred(op.a), x.pred(op.b), x.pred(op.c));
        let d = &mut *x.at::<Mask>(op.d);
        let m = if op.uniform { &FULL } else { m };
        *d = choose(m, &std::array::from_fn(|g| f(a[g], b[g], c[g])), d);
    }
    true
}

/// Integer division and remainder: lanes that divide by zero trap, the others get their result.
#[inline(always)]
pub(super) unsafe fn divide<O: Bin>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool
where
    O::T: Int,
{
    let mut bad = NONE;
    // SAFETY: see the module's head.
    unsafe {
        let (d, a, b) = (x.at::<[O::T; 32]>(op.d), x.at::<[O::T; 32]>(op.a), x.at::<[O::T; 32]>(op.b));
        each_group!(m, |g, w| {
            let (a, b) = (*a.add(g * op.sa as usize), *b.add(g * op.sb as usize));
            if op.uniform {
                if b[0].is_zero() {
                    bad = x.mask;
                } else {
                    *d = [O::f(a[0], b[0]); 32];
                }
                break;
            }
            let d = &mut *d.add(g);
            for i in bits(w) {
                let i = i as usize;
                if b[i].is_zero() {
                    bad[g] |= 1 << i;
                } else {
                    d[i] = O::f(a[i], b[i]);
                }
            }
        });
    }
    if any(&bad) {
        let bad = and(&bad, &x.mask);
        x.trap_lanes(&bad, env, op.inst, TrapKind::DivByZero, TrapDetail::None);
        return false;
    }
    true
}

/// sin, cos, tan: the fast form for all lanes, then the complete one for the few with huge arguments.
#[inline(always)]
pub(super) unsafe fn trig<O: Trig>(x: &mut Chunk, op: &DOp, m: &Mask, inline: bool) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let (d, a) = (x.at::<[O::T; 32]>(op.d), x.at::<[O::T; 32]>(op.a));
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let a = &*a.add(g * op.sa as usize);
            let mut r = [O::T::default(); 32];
            let mut wide = false;
            for i in 0..32 {
                r[i] = if inline { O::fast(a[i]) } else { call(O::fast, a[i]) };
                wide |= a[i].wide();
            }
            if wide {
                for i in 0..32 {
                    if a[i].wide() {
                        r[i] = call(O::full, a[i]);
                    }
                }
            }
            put(d.add(g), &r, w, k[g]);
        });
    }
    true
}

/// `loop`: subtracts 1 and leaves in the predicate slot `c` where the result is not 0.
#[inline(always)]
pub(super) unsafe fn countdown<T: Int>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        let d = x.at::<[T; 32]>(op.d);
        let p = &mut *x.at::<Mask>(op.c);
        let mut left = NONE;
        let k = kept(x, op);
        each_group!(m, |g, w| {
            let mut r = *d.add(g);
            let mut nonzero = [0u8; 32];
            for i in 0..32 {
                r[i] = Num::sub(r[i], T::ONE);
                nonzero[i] = if r[i].is_zero() { 0 } else { 0xff };
            }
            put(d.add(g), &r, w, k[g]);
            left[g] = movemask(&nonzero) & w;
        });
        *p = if op.uniform { [left[0]; GROUPS] } else { left };
    }
    true
}

/// What a boundary address outside the claimed window says.
#[cold]
fn broken_boundary(env: &Env<'_>, class: u32, page: u32, byte: u32) -> TrapDetail {
    let address = phalanx_atlas::phi_address(class as u8, page as u8, byte as u8).unwrap_or(0);
    let text = env.launch.options.claims.check_boundary(address).err();
    text.map_or(TrapDetail::None, TrapDetail::Text)
}

/// A function of u32 operands that may trap per lane: the Atlas group. `f(a, b, c)` gives the result or a trap.
#[inline(always)]
pub(super) unsafe fn checked(
    x: &mut Chunk,
    op: &DOp,
    env: &Env<'_>,
    m: &Mask,
    f: impl Fn(u32, u32, u32) -> Result<u32, TrapKind>,
) -> bool {
    let mut clean = true;
    for g in 0..GROUPS {
        // SAFETY: see the module's head; unused operands are any u32 slot.
        let (a, b, c) = unsafe {
            (
                *x.at::<[u32; 32]>(op.a).add(g * op.sa as usize),
                *x.at::<[u32; 32]>(op.b).add(g * op.sb as usize),
                *x.at::<[u32; 32]>(op.c).add(g * op.sc as usize),
            )
        };
        for i in bits(m[g]) {
            let l = i as usize;
            match f(a[l], b[l], c[l]) {
                Ok(v) if op.to_pred => {
                    // SAFETY: as above, a predicate slot.
                    let d = unsafe { &mut *x.at::<Mask>(op.d) };
                    let (word, bit) = (&mut d[g], 1 << i);
                    *word = if v != 0 { *word | bit } else { *word & !bit };
                    if op.uniform {
                        *d = [if v != 0 { u32::MAX } else { 0 }; GROUPS];
                    }
                }
                // SAFETY: as above.
                Ok(v) => unsafe { (*x.at::<[u32; 32]>(op.d).add(g))[l] = v },
                Err(kind) => {
                    clean = false;
                    let mut lanes = NONE;
                    lanes[g] = 1 << i;
                    let lanes = if op.uniform { x.mask } else { lanes };
                    let sources = [a[l].into(), b[l].into(), c[l].into()];
                    let n = if kind == TrapKind::BadNeighbour { 2 } else { 3 };
                    let detail = match kind {
                        TrapKind::Claim => broken_boundary(env, a[l], b[l], c[l]),
                        _ => alu_detail(kind, &sources[..n]),
                    };
                    x.trap_lanes(&lanes, env, op.inst, kind, detail);
                    if op.uniform {
                        return false;
                    }
                }
            }
        }
    }
    clean
}
