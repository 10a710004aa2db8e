//! The operations of the resonance: a chunk's additions go to the launch's accumulator in one call.
//!
//! Safety of all functions: as in `body.rs`; the class is operand `a` (u32), `b` and `c` are f64 or i64.

use super::chunk::{Chunk, Env, GROUPS, LANES};
use super::decode::{DOp, Place};
use super::mask::{Mask, NONE, any, bits, lanes_of};
use crate::resonance::{Entry, Floats, Fraction, LaunchResonance};
use crate::trap::TrapDetail;
use phalanx_atlas::CLASSES;
use phalanx_isa::TrapKind;

/// A lane's value of a source, `lane` counted in the chunk.
unsafe fn value<T: Copy>(x: &mut Chunk, slot: Place, stride: u8, lane: u32) -> T {
    let (g, i) = (lane as usize / 32 * stride as usize, lane as usize % 32);
    // SAFETY: see the module's head; a slot with stride 0 is one group.
    unsafe { (*x.at::<[T; 32]>(slot).add(g))[i] }
}

/// The classes of the active lanes: one number where all agree.
enum Classes {
    One(u8),
    Each([u8; LANES]),
}

/// A class that exists and, where it is added to, is not claimed to be left alone.
fn check_class(env: &Env<'_>, class: u32, adds: bool) -> Result<u8, (TrapKind, TrapDetail)> {
    let own = env.launch.class_of_block(env.block) as u8;
    match u8::try_from(class) {
        Ok(c) if c < CLASSES => match env.launch.options.claims.check_target(own, c) {
            Err(text) if adds => Err((TrapKind::Claim, TrapDetail::Text(text))),
            _ => Ok(c),
        },
        _ => Err((TrapKind::BadClass, TrapDetail::Value(class.into()))),
    }
}

/// Reads the classes; lanes whose class does not exist, or is claimed not to be added to, trap and leave `m`.
unsafe fn classes(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &mut Mask, adds: bool) -> Option<Classes> {
    let check = |class: u32| check_class(env, class, adds);
    let first = lanes_of(m).next()?;
    // SAFETY: see the module's head.
    let (one, alike) = unsafe {
        let one = value::<u32>(x, op.a, op.sa, first);
        let a = x.at::<[u32; 32]>(op.a);
        let same = |g: usize, w: u32| {
            let group = &*a.add(g);
            if w == u32::MAX {
                group.iter().fold(0, |d, c| d | (c ^ one)) == 0
            } else {
                bits(w).all(|i| group[i as usize] == one)
            }
        };
        (one, op.sa == 0 || m.iter().enumerate().all(|(g, w)| *w == 0 || same(g, *w)))
    };
    if alike {
        return match check(one) {
            Ok(c) => Some(Classes::One(c)),
            Err((kind, detail)) => {
                x.trap_lanes(m, env, op.inst, kind, detail);
                *m = NONE;
                None
            }
        };
    }
    let mut each = [0; LANES];
    for lane in lanes_of(&m.clone()) {
        // SAFETY: see the module's head.
        match check(unsafe { value::<u32>(x, op.a, op.sa, lane) }) {
            Ok(c) => each[lane as usize] = c,
            Err((kind, detail)) => drop_lane(x, op, env, m, lane, kind, detail),
        }
    }
    any(m).then_some(Classes::Each(each))
}

/// Traps one lane and takes it out of `m`.
fn drop_lane(
    x: &mut Chunk,
    op: &DOp,
    env: &Env<'_>,
    m: &mut Mask,
    lane: u32,
    kind: TrapKind,
    detail: TrapDetail,
) {
    let mut alone = NONE;
    alone[lane as usize / 32] = 1 << (lane % 32);
    x.trap_lanes(&alone, env, op.inst, kind, detail);
    m[lane as usize / 32] &= !alone[lane as usize / 32];
}

/// The launch's resonance. (Launches of kernels that use it have one; without it nothing is done.)
fn resonance<'a>(env: &Env<'a>) -> Option<LaunchResonance<'a>> {
    env.launch.resonance
}

/// After `phase.adv` under a claim: lanes whose phase is outside trap.
pub(super) fn check_phases(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let mut live = *m;
    for lane in lanes_of(m) {
        if let Err(text) = env.launch.options.claims.check_phase(x.phase[lane as usize].into()) {
            drop_lane(x, op, env, &mut live, lane, TrapKind::Claim, TrapDetail::Text(text));
        }
    }
    live == *m
}

/// `res.accum.f64`
pub(super) unsafe fn add_floats(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let Some(resonance) = resonance(env) else { return true };
    // One class for all lanes, and all take part: no mask or list of classes is made, which would take as long as adding.
    if op.sa == 0 && op.sb == 1 && m[..x.groups].iter().all(|w| *w == u32::MAX) {
        // SAFETY: see the module's head; the groups of a slot lie one behind the other.
        let (class, values) = unsafe {
            let values = std::slice::from_raw_parts(x.at::<f64>(op.b).cast_const(), x.groups * 32);
            (value::<u32>(x, op.a, op.sa, 0), values)
        };
        if let Ok(class) = check_class(env, class, true) {
            resonance.accumulator.floats(Floats::One(class, values), env.program.front);
            return true;
        }
    }
    // SAFETY: as this function's.
    unsafe { add_some_floats(x, op, env, m, &resonance) }
}

/// The same for any mask and classes.
#[inline(never)]
unsafe fn add_some_floats(
    x: &mut Chunk,
    op: &DOp,
    env: &Env<'_>,
    m: &Mask,
    resonance: &LaunchResonance<'_>,
) -> bool {
    let mut live = *m;
    // SAFETY: see the module's head.
    let Some(classes) = (unsafe { classes(x, op, env, &mut live, true) }) else { return !any(m) };
    let (accumulator, each) = (resonance.accumulator, env.program.front);
    match classes {
        Classes::One(class) => {
            // Zeros for the lanes that take no part change no sum.
            let mut values = [0.0; LANES];
            for lane in lanes_of(&live) {
                // SAFETY: see the module's head.
                values[lane as usize] = unsafe { value(x, op.b, op.sb, lane) };
            }
            accumulator.floats(Floats::One(class, &values[..x.groups * 32]), each);
        }
        Classes::Each(classes) => {
            let mut all = [(0, 0.0); LANES];
            let mut n = 0;
            for lane in lanes_of(&live) {
                // SAFETY: see the module's head.
                all[n] = (classes[lane as usize], unsafe { value(x, op.b, op.sb, lane) });
                n += 1;
            }
            accumulator.floats(Floats::Each(&all[..n]), each);
        }
    }
    live == *m
}

/// `res.accum.i64`
pub(super) unsafe fn add_fractions(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let Some(resonance) = resonance(env) else { return true };
    let mut live = *m;
    // SAFETY: see the module's head.
    let Some(classes) = (unsafe { classes(x, op, env, &mut live, true) }) else { return !any(m) };
    let mut all = [Fraction { class: 0, a: 0, b: 1 }; LANES];
    let mut n = 0;
    for lane in lanes_of(&live.clone()) {
        // SAFETY: see the module's head.
        let (a, b): (i64, i64) = unsafe { (value(x, op.b, op.sb, lane), value(x, op.c, op.sc, lane)) };
        if b == 0 {
            drop_lane(x, op, env, &mut live, lane, TrapKind::DivByZero, TrapDetail::None);
            continue;
        }
        let class = match &classes {
            Classes::One(c) => *c,
            Classes::Each(each) => each[lane as usize],
        };
        all[n] = Fraction { class, a, b };
        n += 1;
    }
    resonance.accumulator.fractions(&all[..n]);
    live == *m
}

/// Both tests: `holds` looks at the entry before the launch, with the operands of the lane.
unsafe fn test(
    x: &mut Chunk,
    op: &DOp,
    env: &Env<'_>,
    m: &Mask,
    holds: impl Fn(&mut Chunk, &Entry, u32) -> Result<bool, TrapKind>,
) -> bool {
    let Some(resonance) = resonance(env) else { return true };
    // Uniform: lane 0's operands are all lanes' operands, and its trap is theirs.
    let mut live = if op.uniform { x.mask } else { *m };
    let asked = live;
    // SAFETY: see the module's head.
    let Some(classes) = (unsafe { classes(x, op, env, &mut live, false) }) else { return !any(&asked) };
    let mut result = [0u32; GROUPS];
    for lane in lanes_of(&live.clone()) {
        let class = match &classes {
            Classes::One(c) => *c,
            Classes::Each(each) => each[lane as usize],
        };
        match holds(x, &resonance.before.0[usize::from(class)], lane) {
            Ok(v) => result[lane as usize / 32] |= u32::from(v) << (lane % 32),
            Err(kind) if op.uniform => {
                x.trap_lanes(&live, env, op.inst, kind, TrapDetail::None);
                return false;
            }
            Err(kind) => drop_lane(x, op, env, &mut live, lane, kind, TrapDetail::None),
        }
        if op.uniform {
            result = [if any(&result) { u32::MAX } else { 0 }; GROUPS];
            break;
        }
    }
    // SAFETY: see the module's head; `d` is a predicate slot.
    let d = unsafe { &mut *x.at::<Mask>(op.d) };
    for g in 0..GROUPS {
        let take = if op.uniform { u32::MAX } else { live[g] };
        d[g] = (d[g] & !take) | (result[g] & take);
    }
    live == asked
}

/// `res.test.f64`
pub(super) unsafe fn test_float(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let holds = |x: &mut Chunk, entry: &Entry, lane: u32| {
        // SAFETY: see the module's head.
        Ok(entry.float.abs() <= unsafe { value::<f64>(x, op.b, op.sb, lane) })
    };
    // SAFETY: see the module's head.
    unsafe { test(x, op, env, m, holds) }
}

/// `res.test.i64`
pub(super) unsafe fn test_ratio(x: &mut Chunk, op: &DOp, env: &Env<'_>, m: &Mask) -> bool {
    let holds = |x: &mut Chunk, entry: &Entry, lane: u32| {
        // SAFETY: see the module's head.
        let (a, b) = unsafe { (value(x, op.b, op.sb, lane), value(x, op.c, op.sc, lane)) };
        entry.ratio.within(a, b).ok_or(TrapKind::DivByZero)
    };
    // SAFETY: see the module's head.
    unsafe { test(x, op, env, m, holds) }
}
