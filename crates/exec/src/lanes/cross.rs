//! Operations across the lanes of a subgroup: one group of 32 is one subgroup, complete when these run (`Chunk` checked it).
//!
//! `m` holds the members: the arrived lanes whose guard holds. Safety of all functions: as in `body.rs`.

use super::body::put;
use super::chunk::{Chunk, Env};
use super::decode::DOp;
use super::mask::{Mask, NONE, any};
use super::ops::{Bin, Value};
use crate::trap::TrapDetail;
use phalanx_isa::{Shuffle, TrapKind};

/// A reduction: an operation with the value that absent lanes count as.
pub(super) trait Reduction {
    type T: Value;
    const IDENTITY: Self::T;
    fn f(a: Self::T, b: Self::T) -> Self::T;
}

/// The members' values, the identity elsewhere.
#[inline(always)]
fn members<R: Reduction>(a: &[R::T; 32], w: u32) -> [R::T; 32] {
    let mut v = [R::IDENTITY; 32];
    // SAFETY: two arrays of this function.
    unsafe { put(&mut v, a, w, u32::MAX) };
    v
}

/// The xor tree 16, 8, 4, 2, 1. All operations commute, so every lane of the full tree has the same bits and one half of each
/// step is enough.
#[inline(always)]
fn tree<R: Reduction>(mut v: [R::T; 32]) -> R::T {
    for s in [16, 8, 4, 2, 1] {
        for i in 0..s {
            v[i] = R::f(v[i], v[i + s]);
        }
    }
    v[0]
}

#[inline(always)]
pub(super) unsafe fn reduce<R: Reduction>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        for g in 0..x.groups {
            if m[g] != 0 {
                let r = tree::<R>(members::<R>(&*x.at::<[R::T; 32]>(op.a).add(g * op.sa as usize), m[g]));
                let d = x.at::<[R::T; 32]>(op.d).add(g);
                put(d, &[r; 32], m[g], x.born[g]);
            }
        }
    }
    true
}

/// The first half of a block reduction: a value per subgroup.
#[inline(always)]
pub(super) unsafe fn partial<R: Reduction>(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        for g in 0..x.groups {
            let a = &*x.at::<[R::T; 32]>(op.a).add(g * op.sa as usize);
            x.partial[g] = tree::<R>(members::<R>(a, m[g])).bits();
        }
    }
    true
}

/// The second half: one subgroup's value after another.
pub(super) fn combine<R: Reduction>(a: u64, b: u64) -> u64 {
    R::f(R::T::from_bits(a), R::T::from_bits(b)).bits()
}

/// The steps 1, 2, 4, 8, 16, from the top lane down, so that the lower values are still those before the step. One copy per type, with the operation as a pointer: inlined, all 129 operations would
/// be written out for every operation and type.
#[inline(never)]
fn prefix<T: Copy>(v: &mut [T; 32], f: fn(T, T) -> T) {
    for s in [1usize, 2, 4, 8, 16] {
        let mut i = 31;
        while i >= s {
            v[i] = f(v[i - s], v[i]);
            i -= 1;
        }
    }
}

#[inline(always)]
pub(super) unsafe fn scan<R: Reduction>(x: &mut Chunk, op: &DOp, m: &Mask, exclusive: bool) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        for g in 0..x.groups {
            if m[g] == 0 {
                continue;
            }
            let mut v = members::<R>(&*x.at::<[R::T; 32]>(op.a).add(g * op.sa as usize), m[g]);
            prefix(&mut v, R::f);
            if exclusive {
                let before = v;
                v[0] = R::IDENTITY;
                v[1..].copy_from_slice(&before[..31]);
            }
            let d = x.at::<[R::T; 32]>(op.d).add(g);
            put(d, &v, m[g], x.born[g]);
        }
    }
    true
}

#[inline(always)]
pub(super) unsafe fn shuffle<T: Value>(x: &mut Chunk, op: &DOp, m: &Mask, mode: Shuffle) -> bool {
    // SAFETY: see the module's head.
    unsafe {
        for g in 0..x.groups {
            let w = m[g];
            if w == 0 {
                continue;
            }
            let a = *x.at::<[T; 32]>(op.a).add(g * op.sa as usize);
            let n = *x.at::<[u32; 32]>(op.b).add(g * op.sb as usize);
            let mut r = a;
            for i in 0..32u32 {
                let from = match mode {
                    Shuffle::Idx => n[i as usize],
                    Shuffle::Up => i.wrapping_sub(n[i as usize]),
                    Shuffle::Down => i.saturating_add(n[i as usize]),
                    Shuffle::Xor => i ^ n[i as usize],
                };
                // Up by more than the lane number wraps to a huge number, never into the subgroup, unless n is huge too.
                let inside = from < 32 && (mode != Shuffle::Up || n[i as usize] <= i);
                if inside && w >> from & 1 != 0 {
                    r[i as usize] = a[from as usize];
                }
            }
            let d = x.at::<[T; 32]>(op.d).add(g);
            put(d, &r, w, x.born[g]);
        }
    }
    true
}

#[inline(always)]
pub(super) unsafe fn broadcast<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mut bad = NONE;
    // SAFETY: see the module's head.
    unsafe {
        for g in 0..x.groups {
            let w = m[g];
            if w == 0 {
                continue;
            }
            let a = *x.at::<[T; 32]>(op.a).add(g * op.sa as usize);
            let n = *x.at::<[u32; 32]>(op.b).add(g * op.sb as usize);
            let from = n[w.trailing_zeros() as usize];
            if (0..32).any(|i| w >> i & 1 != 0 && n[i] != from) {
                bad[g] = w;
                continue;
            }
            let d = x.at::<[T; 32]>(op.d).add(g);
            let r = if from < 32 && w >> from & 1 != 0 { [a[from as usize]; 32] } else { a };
            put(d, &r, w, x.born[g]);
        }
    }
    if any(&bad) {
        // Nobody of a subgroup passes an operation that traps, those that its guard leaves out neither.
        let held: Mask = std::array::from_fn(|g| if bad[g] != 0 { x.mask[g] } else { 0 });
        x.trap_lanes(&bad, env, op.inst, TrapKind::NotUniform, TrapDetail::None);
        x.hold_back(&held);
        return false;
    }
    true
}

/// Votes and ballots: `f(predicate bits of the members, members)` is what every member gets.
#[inline(always)]
pub(super) unsafe fn vote(x: &mut Chunk, op: &DOp, m: &Mask, all: bool) -> bool {
    // SAFETY: see the module's head; both are predicate slots.
    unsafe {
        let a = x.pred(op.a);
        let d = &mut *x.at::<Mask>(op.d);
        for g in 0..d.len() {
            let w = m[g];
            let holds = if all { a[g] & w == w } else { a[g] & w != 0 };
            d[g] = if holds { d[g] | w } else { d[g] & !w };
        }
    }
    true
}

#[inline(always)]
pub(super) unsafe fn ballot(x: &mut Chunk, op: &DOp, m: &Mask) -> bool {
    // SAFETY: see the module's head; `a` is a predicate slot, `d` a u32 register.
    unsafe {
        let a = x.pred(op.a);
        for g in 0..x.groups {
            let d = x.at::<[u32; 32]>(op.d).add(g);
            put(d, &[a[g] & m[g]; 32], m[g], x.born[g]);
        }
    }
    true
}

/// Turns an arithmetic body into a reduction.
pub(super) struct Red<O, const ID: u8>(std::marker::PhantomData<O>);
/// Which identity: see [`Red`].
pub(super) const ADD: u8 = 0;
/// Of `min`.
pub(super) const MIN: u8 = 1;
/// Of `max`.
pub(super) const MAX: u8 = 2;
/// All bits set.
pub(super) const ONES: u8 = 3;
/// No bit set.
pub(super) const ZERO: u8 = 4;

macro_rules! identities {
    ($($id:ident $bound:ident $value:ident;)*) => { $(
        impl<O: Bin> Reduction for Red<O, $id>
        where
            O::T: super::ops::$bound,
        {
            type T = O::T;
            const IDENTITY: O::T = <O::T as super::ops::$bound>::$value;
            #[inline(always)]
            fn f(a: O::T, b: O::T) -> O::T { O::f(a, b) }
        }
    )* };
}
identities! {
    ADD Num ADD_ID; MIN Num MIN_ID; MAX Num MAX_ID; ONES Int ONES; ZERO Int ZERO;
}
