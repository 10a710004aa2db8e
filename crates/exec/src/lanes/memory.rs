//! Loads, stores, atomics and pools of a chunk.
//!
//! A group whose lanes touch 32 consecutive elements is found by comparing the indices (a few vector instructions, whatever the
//! program looks like) and moves as a block; a uniform index moves once; anything else goes lane by lane.
//!
//! Safety of all functions: as in `body.rs`.

use super::body::{kept, put};
use super::chunk::{Chunk, Env, GROUPS, LANES};
use super::decode::{DOp, MemRef};
use super::mask::{FULL, Mask, NONE, and, any, bits, lanes_of};
use super::ops::{Int, Num, Value};
use crate::trap::TrapDetail;
use crate::view::{Elem, View, ordering};
use phalanx_isa::{Atomic, Base, Order, TrapKind};

/// An index type.
pub(super) trait Index: Value + Int {
    /// The exact value.
    fn exact(self) -> i128;
    /// index + disp, or something at or above 2^62 (beyond every array) where that is negative or too large.
    fn place(self, disp: i64) -> u64;
}
impl Index for i32 {
    #[inline(always)]
    fn exact(self) -> i128 {
        self.into()
    }
    #[inline(always)]
    fn place(self, disp: i64) -> u64 {
        // |disp| <= 2^40 (validator): no overflow; a negative sum is huge as u64.
        i64::from(self).wrapping_add(disp) as u64
    }
}
impl Index for u32 {
    #[inline(always)]
    fn exact(self) -> i128 {
        self.into()
    }
    #[inline(always)]
    fn place(self, disp: i64) -> u64 {
        i64::from(self).wrapping_add(disp) as u64
    }
}
impl Index for i64 {
    #[inline(always)]
    fn exact(self) -> i128 {
        self.into()
    }
    #[inline(always)]
    fn place(self, disp: i64) -> u64 {
        self.saturating_add(disp) as u64
    }
}
impl Index for u64 {
    #[inline(always)]
    fn exact(self) -> i128 {
        self.into()
    }
    #[inline(always)]
    fn place(self, disp: i64) -> u64 {
        self.checked_add_signed(disp).unwrap_or(u64::MAX)
    }
}

/// What loads and stores ask of 32 indices. Made per index type and SIMD level, and called through a table, so that the
/// bodies of loads and stores are made per element size only.
pub(super) struct IndexFns {
    /// First place of 32 consecutive ones, if these are; `u64::MAX` where they are not.
    pub(super) consecutive: unsafe fn(*const u8, i64) -> u64,
    /// The same of all lanes of a chunk.
    pub(super) chunk: unsafe fn(*const u8, i64) -> u64,
    /// All places.
    pub(super) places: unsafe fn(*const u8, i64, &mut [u64; 32]),
    /// One exact index.
    pub(super) exact: unsafe fn(*const u8, usize) -> i128,
    /// Bytes of an index.
    pub(super) size: usize,
}

#[inline(always)]
pub(super) unsafe fn consecutive<I: Index, const N: usize>(index: *const u8, disp: i64) -> u64 {
    // SAFETY: `N` indices of this type, see `IndexFns`.
    let index = unsafe { &*index.cast::<[I; N]>() };
    let mut differ = I::ZERO;
    for (i, v) in index.iter().enumerate() {
        differ = differ.or(Num::sub(*v, index[0]).xor(I::from_bits(i as u64)));
    }
    // The differences wrap, places do not: the last place tells.
    let first = index[0].place(disp);
    if differ.is_zero() && first < 1 << 62 && index[N - 1].place(disp) == first + N as u64 - 1 {
        first
    } else {
        u64::MAX
    }
}

#[inline(always)]
pub(super) unsafe fn places<I: Index>(index: *const u8, disp: i64, out: &mut [u64; 32]) {
    // SAFETY: as above.
    let index = unsafe { &*index.cast::<[I; 32]>() };
    for i in 0..32 {
        out[i] = index[i].place(disp);
    }
}

pub(super) unsafe fn exact<I: Index>(index: *const u8, i: usize) -> i128 {
    // SAFETY: as above, i < 32.
    unsafe { (*index.cast::<[I; 32]>())[i].exact() }
}

/// Gives inactive lanes the place of an active one, so that all 32 can be loaded.
#[inline(always)]
fn park_inactive(places: &mut [u64; 32], active: u32) {
    if active != u32::MAX {
        let any = places[active.trailing_zeros() as usize % 32];
        for (i, p) in places.iter_mut().enumerate() {
            *p = if active >> i & 1 != 0 { *p } else { any };
        }
    }
}

/// Which buffer of an array of buffers an operand names: the same in all lanes of `m` that are here.
#[inline(always)]
pub(super) fn view_number(x: &mut Chunk, mem: &MemRef, m: &Mask) -> i128 {
    match mem.which {
        None => 0,
        Some((slot, stride, ty)) => {
            let lane = if stride == 0 { 0 } else { lanes_of(&and(m, &x.mask)).next().unwrap_or(0) };
            let bits = x.lane_value(slot, lane, ty);
            super::extend(bits, ty)
        }
    }
}

/// The view that an operand names; a trap detail where an index into an array of buffers is outside. That index is the same in
/// all lanes of `m` that are here.
#[inline(always)]
fn view<'e>(x: &mut Chunk, env: &Env<'e>, mem: &MemRef, m: &Mask) -> Result<View<'e>, TrapDetail> {
    match mem.base {
        Base::Shared(s) => Ok(env.shared[s as usize]),
        Base::Param(p) => {
            let which = view_number(x, mem, m);
            let found = u64::try_from(which).ok().and_then(|w| env.launch.view(p, w));
            let flat = env.launch.is_flat();
            let own = |v: &View<'e>| if mem.own && flat { v.for_one_thread() } else { *v };
            found.map(own).ok_or(TrapDetail::Index { base: mem.base, index: which, len: mem.buffers.into() })
        }
        // The private handlers do not come here.
        Base::Private(_) => Err(TrapDetail::None),
    }
}

#[cold]
fn outside(x: &mut Chunk, op: &DOp, env: &Env<'_>, mem: &MemRef, bad: &Mask, len: u64) -> bool {
    let bad = and(bad, &x.mask);
    let lowest = bad.iter().position(|w| *w != 0).map(|g| (g, bad[g].trailing_zeros() as usize));
    if let Some((g, i)) = lowest {
        // SAFETY: the index slot of this operation.
        let index = unsafe { (mem.index.exact)(indices(x, op, mem, g), i) };
        let index = index + i128::from(mem.disp);
        x.trap_lanes(
            &bad,
            env,
            op.inst,
            TrapKind::OutOfBounds,
            TrapDetail::Index { base: mem.base, index, len },
        );
    }
    false
}

/// The indices of a group.
#[inline(always)]
pub(super) unsafe fn indices(x: &mut Chunk, op: &DOp, mem: &MemRef, g: usize) -> *const u8 {
    // SAFETY: see the module's head.
    unsafe { x.at::<u8>(op.a).add(g * op.sa as usize * 32 * mem.index.size) }
}

/// The place of a uniform index.
#[inline(always)]
unsafe fn first_place(x: &mut Chunk, op: &DOp, mem: &MemRef) -> u64 {
    let mut all = [0; 32];
    // SAFETY: see the module's head.
    unsafe { (mem.index.places)(indices(x, op, mem, 0), mem.disp, &mut all) };
    all[0]
}

#[cold]
fn no_view(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask, detail: TrapDetail) -> bool {
    let lanes = and(m, &x.mask);
    x.trap_lanes(&lanes, env, op.inst, TrapKind::OutOfBounds, detail);
    false
}

/// `ld` from a buffer or shared memory.
#[inline(always)]
pub(super) unsafe fn load<T: Value + Elem>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let v = match view(x, env, mem, m) {
        Ok(v) => v,
        Err(detail) => return no_view(x, op, env, m, detail),
    };
    let (k, mut bad) = (*kept(x, op), NONE);
    // SAFETY: see the module's head.
    unsafe {
        let d = x.at::<[T; 32]>(op.d);
        if op.sa != 0 && *m == FULL {
            let first = (mem.index.chunk)(indices(x, op, mem, 0), mem.disp);
            if first < v.len() && v.len() - first >= LANES as u64 {
                for g in 0..GROUPS {
                    v.load32(first + 32 * g as u64, &mut *d.add(g));
                }
                return true;
            }
        }
        for g in 0..GROUPS {
            let w = m[g];
            if w == 0 {
                continue;
            }
            if op.sa == 0 {
                match v.load(first_place(x, op, mem)) {
                    Some(b) => put(d.add(g), &[<T as Elem>::from_bits(b); 32], w, k[g]),
                    None => bad[g] = w,
                }
                continue;
            }
            let index = indices(x, op, mem, g);
            let first = (mem.index.consecutive)(index, mem.disp);
            // Lanes that do not exist have numbers of the next block's lanes, whose elements are not for plain loads.
            let exist = x.born[g] == u32::MAX || !v.is_plain();
            if exist && first < v.len() && v.len() - first >= 32 {
                let mut r = [T::default(); 32];
                v.load32(first, &mut r);
                put(d.add(g), &r, w, k[g]);
                continue;
            }
            let mut place = [0; 32];
            (mem.index.places)(index, mem.disp, &mut place);
            park_inactive(&mut place, w);
            let mut r = [T::default(); 32];
            if v.gather(&place, &mut r) {
                put(d.add(g), &r, w, k[g]);
                continue;
            }
            let d = &mut *d.add(g);
            for i in bits(w) {
                match v.load(place[i as usize]) {
                    Some(b) => d[i as usize] = <T as Elem>::from_bits(b),
                    None => bad[g] |= 1 << i,
                }
            }
        }
    }
    if any(&bad) {
        let bad = if op.uniform { x.mask } else { bad };
        return outside(x, op, env, mem, &bad, v.len());
    }
    true
}

/// `st` to a buffer or shared memory.
#[inline(always)]
pub(super) unsafe fn store<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let v = match view(x, env, mem, m) {
        Ok(v) => v,
        Err(detail) => return no_view(x, op, env, m, detail),
    };
    let mut bad = NONE;
    // SAFETY: see the module's head.
    unsafe {
        let value = x.at::<[T; 32]>(op.b);
        if op.sa != 0 && *m == FULL && v.writable() {
            let first = (mem.index.chunk)(indices(x, op, mem, 0), mem.disp);
            if first < v.len() && v.len() - first >= LANES as u64 {
                for g in 0..GROUPS {
                    let value = &*value.add(g * op.sb as usize);
                    let mut raw = [T::Raw::default(); 32];
                    for i in 0..32 {
                        raw[i] = T::Raw::from_bits(value[i].canonical().bits());
                    }
                    v.store32(first + 32 * g as u64, &raw);
                }
                return true;
            }
        }
        for g in 0..GROUPS {
            let w = m[g];
            if w == 0 {
                continue;
            }
            let value = &*value.add(g * op.sb as usize);
            let index = indices(x, op, mem, g);
            let mut raw = [T::Raw::default(); 32];
            for i in 0..32 {
                raw[i] = T::Raw::from_bits(value[i].canonical().bits());
            }
            if op.sa != 0 && w == u32::MAX {
                let first = (mem.index.consecutive)(index, mem.disp);
                if first < v.len() && v.len() - first >= 32 {
                    v.store32(first, &raw);
                    continue;
                }
            }
            let mut place = [0; 32];
            (mem.index.places)(index, mem.disp, &mut place);
            if w == u32::MAX && !op.uniform && v.scatter(&place, &raw) {
                continue;
            }
            // Lanes of one index in ascending order: the highest lane's value stays.
            let w = if op.uniform { 1 } else { w };
            for i in bits(w) {
                if v.store(place[i as usize], raw[i as usize].to_bits()).is_none() {
                    bad[g] |= 1 << i;
                }
            }
            if op.uniform && bad[g] != 0 {
                bad = x.mask;
            }
        }
    }
    if any(&bad) { outside(x, op, env, mem, &bad, v.len()) } else { true }
}

/// `ld.private`: the lane's own array, element i of lane l at (i * LANES + l).
#[inline(always)]
pub(super) unsafe fn load_private<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let (k, mut bad) = (*kept(x, op), NONE);
    // SAFETY: see the module's head; places are checked against the array's length.
    unsafe {
        for g in 0..x.groups {
            let d = x.at::<[T; 32]>(op.d).add(g);
            let w = m[g];
            let mut all = [0; 32];
            (mem.index.places)(indices(x, op, mem, g), mem.disp, &mut all);
            if op.sa == 0 && w != 0 {
                let place = all[0];
                if place < mem.len {
                    let at = mem.offset + (place as usize * LANES + g * 32) * size_of::<T>();
                    let r = *x.private_at::<[T; 32]>(at);
                    put(d, &r, w, k[g]);
                } else {
                    bad[g] = w;
                }
                continue;
            }
            for i in bits(w) {
                let place = all[i as usize];
                if place < mem.len {
                    let at = mem.offset + (place as usize * LANES + g * 32 + i as usize) * size_of::<T>();
                    (*d)[i as usize] = *x.private_at::<T>(at);
                } else {
                    bad[g] |= 1 << i;
                }
            }
        }
    }
    if any(&bad) { outside(x, op, env, mem, &bad, mem.len) } else { true }
}

/// `st.private`.
#[inline(always)]
pub(super) unsafe fn store_private<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let mut bad = NONE;
    // SAFETY: see the module's head; places are checked against the array's length.
    unsafe {
        for g in 0..x.groups {
            let w = m[g];
            let value = x.at::<[T; 32]>(op.b).add(g * op.sb as usize);
            let mut all = [0; 32];
            (mem.index.places)(indices(x, op, mem, g), mem.disp, &mut all);
            if op.sa == 0 && w != 0 {
                let place = all[0];
                if place < mem.len {
                    let at = mem.offset + (place as usize * LANES + g * 32) * size_of::<T>();
                    let mut r = *value;
                    for v in &mut r {
                        *v = v.canonical();
                    }
                    let to = x.private_at::<[T; 32]>(at);
                    put(to, &r, w, x.born[g]);
                } else {
                    bad[g] = w;
                }
                continue;
            }
            for i in bits(w) {
                let place = all[i as usize];
                if place < mem.len {
                    let at = mem.offset + (place as usize * LANES + g * 32 + i as usize) * size_of::<T>();
                    *x.private_at::<T>(at) = (*value)[i as usize].canonical();
                } else {
                    bad[g] |= 1 << i;
                }
            }
        }
    }
    if any(&bad) { outside(x, op, env, mem, &bad, mem.len) } else { true }
}

/// What an atomic instruction does to an element; the bits before.
#[derive(Clone, Copy)]
pub(super) enum AtomicOp {
    Update(Atomic, Order),
    Exchange(Order),
    Load(Order),
    Store(Order),
}

/// All atomic instructions, lane by lane in ascending order. `b` and `c` are the operands, `d` gets the value before where the
/// operation has a destination.
#[inline(always)]
pub(super) unsafe fn atomic<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let v = match view(x, env, mem, m) {
        Ok(v) => v,
        Err(detail) => return no_view(x, op, env, m, detail),
    };
    let mut bad = NONE;
    let m = and(m, &x.mask);
    // SAFETY: see the module's head; unused operands are any slot of the type.
    unsafe {
        for g in 0..x.groups {
            let mut all = [0; 32];
            (mem.index.places)(indices(x, op, mem, g), mem.disp, &mut all);
            let (b, c) = (
                x.at::<[T; 32]>(op.b).add(g * op.sb as usize),
                x.at::<[T; 32]>(op.c).add(g * op.sc as usize),
            );
            let d = x.at::<[T; 32]>(op.d).add(g);
            for i in bits(m[g]) {
                let l = i as usize;
                let place = all[l];
                // A NaN operand is seen by others: it has its type's one pattern.
                let (b, c) = ((*b)[l].canonical().bits(), (*c)[l].canonical().bits());
                let before = match mem.atomic {
                    AtomicOp::Update(what, order) => v.atomic(place, what, b, order),
                    AtomicOp::Exchange(order) => v.compare_exchange(place, b, c, order),
                    AtomicOp::Load(order) => v.load_ordered(place, ordering(order)),
                    AtomicOp::Store(order) => v.store_ordered(place, b, ordering(order)).map(|()| 0),
                };
                match before {
                    None => bad[g] |= 1 << i,
                    Some(bits) if op.has_dest => (*d)[l] = <T as Value>::from_bits(bits),
                    Some(_) => {}
                }
            }
        }
    }
    if any(&bad) { outside(x, op, env, mem, &bad, v.len()) } else { true }
}

/// `len`.
#[inline(always)]
pub(super) unsafe fn length<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    let len = match mem.base {
        Base::Private(_) => mem.len,
        _ => match view(x, env, mem, m) {
            Ok(v) => v.len(),
            Err(detail) => return no_view(x, op, env, m, detail),
        },
    };
    // SAFETY: see the module's head.
    unsafe {
        let d = x.at::<[T; 32]>(op.d);
        for g in (0..GROUPS).filter(|g| m[*g] != 0) {
            put(d.add(g), &[<T as Value>::from_bits(len); 32], m[g], x.born[g]);
        }
    }
    true
}

/// Pool operations, lane by lane.
#[derive(Clone, Copy)]
pub(super) enum PoolOp {
    Alloc,
    Free,
    Load,
    Store,
}

/// `pool.*`: alloc: d = handle, a = count; free: a; load: d, a = handle, b = index; store: a, b, c = value.
#[inline(always)]
pub(super) unsafe fn pool<T: Value>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask, what: PoolOp) -> bool {
    let ty = env.program.mems[op.aux as usize].ty;
    let mut clean = true;
    let m = and(m, &x.mask);
    for g in 0..x.groups {
        for i in bits(m[g]) {
            let l = i as usize;
            // SAFETY: see the module's head; a and b are u64 slots where used, d and c of the operation's types.
            let result = unsafe {
                let a = (*x.at::<[u64; 32]>(op.a).add(g * op.sa as usize))[l];
                match what {
                    PoolOp::Alloc => {
                        let lane = g * 32 + l;
                        let lanes = u64::from(env.launch.lanes());
                        let global = env.block * lanes + u64::from(x.first_lane) + lane as u64;
                        let made = env.pool().alloc(global, x.pool_sequence[lane], ty, a);
                        x.pool_sequence[lane] += 1;
                        made.map(|h| (*x.at::<[u64; 32]>(op.d).add(g))[l] = h)
                    }
                    PoolOp::Free => env.pool().free(a),
                    PoolOp::Load => {
                        let b = (*x.at::<[u64; 32]>(op.b).add(g * op.sb as usize))[l];
                        env.pool()
                            .load(a, ty, b)
                            .map(|bits| (*x.at::<[T; 32]>(op.d).add(g))[l] = <T as Value>::from_bits(bits))
                    }
                    PoolOp::Store => {
                        let b = (*x.at::<[u64; 32]>(op.b).add(g * op.sb as usize))[l];
                        let c = (*x.at::<[T; 32]>(op.c).add(g * op.sc as usize))[l];
                        env.pool().store(a, ty, b, c.canonical().bits())
                    }
                }
            };
            if let Err(kind) = result {
                clean = false;
                let mut lanes = NONE;
                lanes[g] = 1 << i;
                // The index where that is at fault, else the handle (or the size asked for).
                let (slot, stride) =
                    if kind == TrapKind::OutOfBounds { (op.b, op.sb) } else { (op.a, op.sa) };
                // SAFETY: as above.
                let value = unsafe { (*x.at::<[u64; 32]>(slot).add(g * stride as usize))[l] };
                x.trap_lanes(&lanes, env, op.inst, kind, TrapDetail::Value(value));
            }
        }
    }
    clean
}
