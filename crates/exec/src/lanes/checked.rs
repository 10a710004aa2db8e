//! Memory operations of a launch that is checked: they tell the checkers what they are about to do, then do what the plain ones do.
//!
//! Safety of all functions: as in `body.rs`.

use super::chunk::{Chunk, Env};
use super::decode::{DOp, MemRef, Place};
use super::mask::{Mask, NONE, and, any, bits};
use super::memory::{AtomicOp, PoolOp, indices, view_number};
use crate::check::{BlockCheck, Checker, Class, FindingKind, Group, PoolTouch, Site};
use crate::view::{View, canonical_bits};
use phalanx_isa::{Base, TrapKind, Type};

/// The values of a plain store, or those that a compare-exchange expects.
unsafe fn values(x: &mut Chunk, op: &DOp, mem: &MemRef, g: usize) -> [u64; 32] {
    // SAFETY: see the module's head; `b` is the operand of the element's type.
    unsafe { operand(x, (op.b, op.sb), mem.ty, g) }
}

/// A group's values of a slot with this stride, which holds values of the type.
unsafe fn operand(x: &mut Chunk, (slot, stride): (Place, u8), ty: Type, g: usize) -> [u64; 32] {
    let size = ty.bytes();
    // SAFETY: the caller's.
    let from = unsafe { x.at::<u8>(slot).add(g * stride as usize * 32 * size) };
    std::array::from_fn(|i| {
        let mut bytes = [0u8; 8];
        // SAFETY: 32 values of `size` bytes.
        unsafe { std::ptr::copy_nonoverlapping(from.add(i * size), bytes.as_mut_ptr(), size) };
        canonical_bits(ty, u64::from_le_bytes(bytes))
    })
}

/// Writes 0 into the destination of lanes whose access was dropped.
unsafe fn zero(x: &mut Chunk, op: &DOp, size: usize, lanes: &Mask) {
    if !op.has_dest {
        return;
    }
    for g in 0..x.groups {
        for i in bits(lanes[g]) {
            // SAFETY: see the module's head; `d` has an element of this size per lane, or 32 where it is uniform.
            unsafe {
                let at = if op.uniform { i as usize } else { g * 32 + i as usize };
                std::ptr::write_bytes(x.at::<u8>(op.d).add(at * size), 0, size);
            }
        }
    }
}

/// Loads, stores and atomics on buffers, shared and private arrays.
pub(super) unsafe fn access(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    if exchanges(mem, env) && !op.uniform && m.iter().map(|w| w.count_ones()).sum::<u32>() > 1 {
        // Whether a lane exchanges depends on the lanes before it.
        let all = and(m, &x.mask);
        let mut clean = true;
        for g in 0..x.groups {
            for i in bits(all[g]) {
                let mut lane = NONE;
                lane[g] = 1 << i;
                // SAFETY: see the module's head; for fewer lanes.
                clean &= unsafe { access(x, op, env, &lane) };
            }
        }
        return clean;
    }
    let (Some(mut check), Some(checker)) = (x.check.take(), env.launch.check) else {
        // SAFETY: the plain handler of this operation.
        return unsafe { (mem.plain)(x, op, env, m) };
    };
    // An operation on uniform values is computed once, but every lane that is here does it.
    let active = if op.uniform { x.mask } else { and(m, &x.mask) };
    // SAFETY: see the module's head.
    let bad = unsafe { look(x, op, env, mem, &active, &mut check, checker) };
    x.check = Some(check);
    if !any(&bad) {
        // SAFETY: the plain handler of this operation.
        return unsafe { (mem.plain)(x, op, env, m) };
    }
    let good: Mask = std::array::from_fn(|g| active[g] & !bad[g]);
    let went_on = if op.uniform || !any(&good) {
        // Uniform: what is wrong for one lane is wrong for all.
        true
    } else {
        // SAFETY: as above, for fewer lanes.
        unsafe { (mem.plain)(x, op, env, &good) }
    };
    // SAFETY: see the module's head.
    unsafe { zero(x, op, mem.ty.bytes(), &if op.uniform { [u32::MAX; _] } else { bad }) };
    went_on
}

/// Whether it is asked which compare-exchanges fail, and this is one.
fn exchanges(mem: &MemRef, env: &Env<'_>) -> bool {
    matches!(mem.atomic, AtomicOp::Exchange(_)) && env.launch.check.is_some_and(|c| c.order.is_some())
}

/// Tells the checkers; the lanes whose access is to be dropped.
unsafe fn look(
    x: &mut Chunk,
    op: &DOp,
    env: &Env<'_>,
    mem: &MemRef,
    active: &Mask,
    check: &mut BlockCheck,
    checker: &Checker,
) -> Mask {
    let mut bad = NONE;
    let site = Site { func: x.func, inst: op.inst };
    let mut number = 0;
    let view = match mem.base {
        Base::Shared(s) => Some(env.shared[s as usize]),
        Base::Private(_) => None,
        Base::Param(p) => {
            number = view_number(x, mem, active);
            u64::try_from(number).ok().and_then(|w| env.launch.view(p, w)).copied()
        }
    };
    let private = matches!(mem.base, Base::Private(_));
    // Where there is no such buffer, every index is outside.
    let len = view.map_or(if private { mem.len } else { 0 }, |v| v.len());
    if !private {
        active.iter().for_each(|w| check.count(w.count_ones()));
    }
    let race = checker.checks.race && view.is_some_and(|v: View<'_>| v.writable());
    let (bounds, init) = (checker.checks.bounds, checker.checks.init);
    if !(race || bounds || init) {
        return bad;
    }
    let mut places = [0; 32];
    for g in 0..x.groups {
        let lanes = active[g];
        if lanes == 0 {
            continue;
        }
        // SAFETY: see the module's head; an operation on uniform values has its operands in the first group.
        let (at, values) = unsafe {
            let at = if op.sa == 0 { 0 } else { g };
            let logs = checker.suspects.is_some() && mem.class == Class::Write && !private;
            let needed = logs || exchanges(mem, env);
            (indices(x, op, mem, at), needed.then(|| values(x, op, mem, g)))
        };
        // SAFETY: 32 indices of the type that the table is for.
        unsafe { (mem.index.places)(at, mem.disp, &mut places) };
        let mut failing = 0;
        if let (Some(expected), Some(view), true) = (&values, &view, exchanges(mem, env)) {
            for i in bits(lanes) {
                failing |= u32::from(view.load(places[i as usize]) != Some(expected[i as usize])) << i;
            }
        }
        let mut group = Group {
            view: view.as_ref(),
            len,
            base: mem.base,
            which: u64::try_from(number).unwrap_or(u64::MAX),
            places: &places,
            lanes,
            first_lane: x.first_lane + g as u32 * 32,
            site,
            class: mem.class,
            order: mem.order,
            values: values.as_ref().filter(|_| mem.class == Class::Write),
            failing,
            uniform: op.sa == 0,
        };
        for (i, place) in places.iter().enumerate() {
            bad[g] |= u32::from(*place >= len) << i;
        }
        bad[g] &= lanes;
        if bounds && bad[g] != 0 {
            let load = !mem.order.writes;
            let kind = if load { FindingKind::LoadOutside } else { FindingKind::StoreOutside };
            for i in bits(bad[g]) {
                // SAFETY: as above.
                let index = unsafe { (mem.index.exact)(at, i as usize) } + i128::from(mem.disp);
                check.fault(checker, kind, &group, group.first_lane + i, index);
            }
        }
        group.lanes &= !bad[g];
        if group.lanes == 0 {
            continue;
        }
        if init {
            check.init(checker, &group);
        }
        if race {
            check.race(checker, &group);
        }
    }
    // Without the bounds checker the plain handler traps.
    if bounds { bad } else { NONE }
}

/// Operations on pool memory, lane by lane: a bad handle or index is told and the lane's operation dropped.
pub(super) unsafe fn pool<const WHAT: u8>(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let what = [PoolOp::Alloc, PoolOp::Free, PoolOp::Load, PoolOp::Store][WHAT as usize];
    let mem = &env.program.mems[op.aux as usize];
    let site = Site { func: x.func, inst: op.inst };
    let Some(checker) = env.launch.check.filter(|c| c.checks.bounds || c.checks.race) else {
        // SAFETY: the plain handler of this operation.
        return unsafe { (mem.plain)(x, op, env, m) };
    };
    let active = and(m, &x.mask);
    if let Some(check) = x.check.as_mut().filter(|_| !matches!(what, PoolOp::Alloc)) {
        active.iter().for_each(|w| check.count(w.count_ones()));
    }
    let mut clean = true;
    for g in 0..x.groups {
        for i in bits(active[g]) {
            let l = i as usize;
            // SAFETY: see the module's head; handle and index are u64 slots where used.
            let (a, b) = unsafe {
                let a = (*x.at::<[u64; 32]>(op.a).add(g * op.sa as usize))[l];
                let index = matches!(what, PoolOp::Load | PoolOp::Store);
                (a, if index { (*x.at::<[u64; 32]>(op.b).add(g * op.sb as usize))[l] } else { 0 })
            };
            let seen = match what {
                PoolOp::Alloc => Ok(()),
                PoolOp::Free => env.pool().holds(a).then_some(()).ok_or(TrapKind::BadHandle),
                PoolOp::Load | PoolOp::Store => env.pool().load(a, mem.ty, b).map(|_| ()),
            };
            let mut lane = NONE;
            lane[g] = 1 << i;
            if seen.is_ok() && checker.checks.race && !matches!(what, PoolOp::Alloc) {
                let class = if matches!(what, PoolOp::Load) { Class::Read } else { Class::Write };
                // SAFETY: see the module's head; `c` is a store's value.
                let value =
                    matches!(what, PoolOp::Store).then(|| unsafe { operand(x, (op.c, op.sc), mem.ty, g)[l] });
                let index = (!matches!(what, PoolOp::Free)).then_some(b);
                let number = x.first_lane + g as u32 * 32 + i;
                if let Some(check) = &mut x.check {
                    check.pool(checker, PoolTouch { site, lane: number, handle: a, index, class, value });
                }
            }
            let kind = match seen {
                Err(kind) if checker.checks.bounds => kind,
                // Without the bounds checker the plain handler traps.
                _ => {
                    // SAFETY: the plain handler, for one lane.
                    clean &= unsafe { (mem.plain)(x, op, env, &lane) };
                    continue;
                }
            };
            let (kind, value) = match (kind, what) {
                (TrapKind::OutOfBounds, PoolOp::Load) => (FindingKind::LoadOutside, b),
                (TrapKind::OutOfBounds, _) => (FindingKind::StoreOutside, b),
                _ => (FindingKind::BadHandle, a),
            };
            if let Some(check) = &x.check {
                check.bare_fault(checker, kind, site, x.first_lane + g as u32 * 32 + i, value);
            }
            // SAFETY: see the module's head.
            unsafe { zero(x, op, mem.ty.bytes(), &lane) };
        }
    }
    clean
}

/// `bar.subgroup`.
pub(super) unsafe fn subgroup_barrier(x: &mut Chunk, _: &DOp, env: &Env<'_>, _: &Mask) -> bool {
    let first = x.first_lane as usize / 32;
    if let (Some(check), Some(checker)) = (&mut x.check, env.launch.check) {
        let here = (0..x.groups).filter(|g| x.mask[*g] != 0);
        here.for_each(|g| check.subgroup_barrier(checker, first + g));
    }
    true
}

/// `fence`; `b` is not used, so `target` holds the scope.
pub(super) unsafe fn fence(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let active = and(m, &x.mask);
    if let (Some(check), Some(checker)) = (&mut x.check, env.launch.check) {
        for g in 0..x.groups {
            let first = x.first_lane + g as u32 * 32;
            bits(active[g]).for_each(|i| check.fence(checker, first + i, op.target != 0));
        }
    }
    env.launch.fence.fetch_add(0, std::sync::atomic::Ordering::AcqRel);
    true
}

/// The class of a memory operation.
pub(super) fn class(op: phalanx_isa::Op) -> Class {
    use phalanx_isa::Op;
    match op {
        Op::St => Class::Write,
        Op::Aload => Class::AtomicRead,
        Op::Astore | Op::Atom | Op::Red | Op::Cas => Class::AtomicWrite,
        _ => Class::Read,
    }
}
