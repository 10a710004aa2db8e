//! Memory operations of a launch that is checked: they tell the checkers what they are about to do, then do what the plain ones do.
//!
//! Safety of all functions: as in `body.rs`.

use super::chunk::{Chunk, Env};
use super::decode::{DOp, MemRef};
use super::mask::{Mask, and};
use super::memory::{indices, view_number};
use crate::check::{Class, Group, Site};
use crate::view::{View, canonical_bits};
use phalanx_isa::Base;

/// The values of a plain store.
unsafe fn values(x: &mut Chunk, op: &DOp, mem: &MemRef, g: usize) -> [u64; 32] {
    let size = mem.ty.bytes();
    // SAFETY: see the module's head; `b` is the operand of the element's type.
    let from = unsafe { x.at::<u8>(op.b).add(g * op.sb as usize * 32 * size) };
    std::array::from_fn(|i| {
        let mut bytes = [0u8; 8];
        // SAFETY: 32 values of `size` bytes.
        unsafe { std::ptr::copy_nonoverlapping(from.add(i * size), bytes.as_mut_ptr(), size) };
        canonical_bits(mem.ty, u64::from_le_bytes(bytes))
    })
}

/// Loads, stores and atomics on buffers and shared arrays.
pub(super) unsafe fn access(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mem = &env.program.mems[op.aux as usize];
    if let (Some(mut check), Some(checker)) = (x.check.take(), env.launch.check) {
        // An operation on uniform values is computed once, but every lane that is here does it.
        let active = if op.uniform { x.mask } else { and(m, &x.mask) };
        active.iter().for_each(|w| check.count(w.count_ones()));
        let found: Option<(u64, View<'_>)> = match mem.base {
            Base::Shared(s) => Some((0, env.shared[s as usize])),
            Base::Param(p) => {
                let which = view_number(x, mem, &active);
                u64::try_from(which).ok().and_then(|w| env.launch.view(p, w).map(|v| (w, *v)))
            }
            Base::Private(_) => None,
        };
        if let Some((which, view)) = found.filter(|(_, v)| checker.checks.race && v.writable()) {
            let mut places = [0; 32];
            for g in 0..x.groups {
                let lanes = active[g];
                if lanes == 0 {
                    continue;
                }
                // SAFETY: see the module's head; an operation on uniform values has its operands in the first group.
                let (at, values) = unsafe {
                    let at = if op.sa == 0 { 0 } else { g };
                    let logs = checker.suspects.is_some() && mem.class == Class::Write;
                    (indices(x, op, mem, at), logs.then(|| values(x, op, mem, g)))
                };
                // SAFETY: 32 indices of the type that the table is for.
                unsafe { (mem.index.places)(at, mem.disp, &mut places) };
                let group = Group {
                    view: &view,
                    base: mem.base,
                    which,
                    places: &places,
                    lanes,
                    first_lane: x.first_lane + g as u32 * 32,
                    site: Site { func: x.func, inst: op.inst },
                    class: mem.class,
                    values: values.as_ref(),
                    uniform: op.sa == 0,
                };
                check.race(checker, &group);
            }
        }
        x.check = Some(check);
    }
    // SAFETY: the plain handler of this operation.
    unsafe { (mem.plain)(x, op, env, m) }
}

/// `bar.subgroup`.
pub(super) unsafe fn subgroup_barrier(x: &mut Chunk, _: &DOp, _: &Env<'_>, _: &Mask) -> bool {
    let first = x.first_lane as usize / 32;
    let here: Vec<usize> = (0..x.groups).filter(|g| x.mask[*g] != 0).collect();
    if let Some(check) = &mut x.check {
        here.into_iter().for_each(|g| check.subgroup_barrier(first + g));
    }
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
