//! Loads, stores, atomics, lengths and pools.

use super::{Writer, permutation, type_of};
use crate::emit::{GLOBAL, LANE, element};
use crate::{ArgSpec, values};
use phalanx_isa::{Access, Atomic, Base, Mem, Mnemonic, Op, Operand, Space, Type};

const INDEX: [Type; 4] = [Type::I32, Type::I64, Type::U32, Type::U64];

/// Writes the case's code but for the last `exit`.
pub(super) fn write(w: &mut Writer<'_>, m: &Mnemonic) {
    match m.op {
        Op::Len => length(w, m),
        Op::PoolAlloc | Op::PoolFree | Op::PoolLd | Op::PoolSt => pool(w, m),
        _ => access(w, m),
    }
}

fn space(m: &Mnemonic) -> Space {
    let slot = m.op.info().modes.iter().position(|s| s.name == "Space" || s.name == "SharedSpace");
    slot.and_then(|s| Space::from_code(m.modes[s].into())).unwrap_or(Space::Global)
}

/// An index operand: each lane its place of `places`, in one of the forms that can say so.
fn index(w: &mut Writer<'_>, places: &[u64]) -> Operand {
    let ty = *w.rng.pick(&INDEX);
    let data: Vec<u64> = places.iter().map(|p| p & values::mask(ty)).collect();
    w.varying(ty, &data)
}

/// Places of all lanes: inside, or some of them outside where the case may trap.
fn places(w: &mut Writer<'_>, len: usize) -> Vec<u64> {
    let lanes = w.lanes();
    (0..lanes)
        .map(|_| match w.rng.below(200) {
            0 if !w.legal => *w.rng.pick(&[len as u64, u64::MAX, 1 << 31, 1 << 63, (1 << 31) - 1]),
            _ => w.rng.below(len) as u64,
        })
        .collect()
}

fn access(w: &mut Writer<'_>, m: &Mnemonic) {
    let ty = type_of(m, phalanx_isa::ArgType::T);
    let space = space(m);
    let (lanes, per_block) = (w.lanes(), w.block_lanes());
    let reads_only = matches!(m.op, Op::Ld | Op::Aload);
    let atomic = !matches!(m.op, Op::Ld | Op::St);
    let disp = w.rng.below(5) as i64 - 2;
    // How many elements lanes may meet in: all of the launch's, a block's, or a few of the lane's own.
    let (base, len) = object(w, m, space, ty);
    let mut which = None;
    if matches!((base, w.args.last()), (Base::Param(_), Some(ArgSpec::Buffers(..)))) {
        let k = w.rng.below(3) as u64;
        let wrong = [3, k, u64::from(u32::MAX), 1 << 31, u64::MAX, 1 << 40];
        let k = if w.legal { k } else { *w.rng.pick(&wrong) };
        which = Some(match w.rng.below(3) {
            0 => Operand::Imm(k % 3),
            1 => w.scalar_of(Type::I32, k & values::mask(Type::I32)),
            _ => w.uniform(Type::I64, k),
        });
    }
    // Each lane may be in any place where nobody writes, or where only one kind of commutative update happens.
    let kind = Atomic::from_code(m.modes[1].into());
    let free = reads_only
        || space == Space::Private
        || m.op == Op::Red && ty.is_int() && !matches!(kind, Some(Atomic::Exch));
    let mut shift = 0;
    let at = if !free && w.rng.one_in(3) {
        if space == Space::Shared { LANE } else { GLOBAL }
    } else {
        let all = if free {
            places(w, len)
        } else if space == Space::Shared {
            let order = permutation(w.rng, per_block);
            (0..lanes).map(|i| order[i % per_block]).collect()
        } else {
            permutation(w.rng, lanes)
        };
        match w.rng.below(4) {
            0 if free => Operand::Imm(w.rng.below(len) as u64),
            1 if free => {
                let (t, v) = (*w.rng.pick(&INDEX), w.rng.below(len) as u64);
                w.uniform(t, v)
            }
            2 if free && len >= lanes => GLOBAL,
            _ => {
                // A displacement that the indices make good again.
                shift = disp;
                let moved: Vec<u64> = all.iter().map(|p| p.wrapping_sub(shift as u64)).collect();
                let signed = moved.iter().any(|p| *p > u64::from(u32::MAX));
                match signed && w.legal {
                    true => {
                        let t = *w.rng.pick(&[Type::I32, Type::I64]);
                        let data: Vec<u64> = moved.iter().map(|p| p & values::mask(t)).collect();
                        w.varying(t, &data)
                    }
                    false => index(w, &moved),
                }
            }
        }
    };
    let mem = Operand::Mem(Box::new(Mem { base, which, index: at, disp: shift }));
    let random: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
    let value = match w.rng.below(3) {
        0 => Operand::Imm(random[0]),
        _ => w.varying(ty, &random),
    };
    let dest = (!matches!(m.op, Op::St | Op::Astore | Op::Red)).then(|| w.result(ty));
    let g = w.random_guard();
    let skip = if w.rng.one_in(3) { Some(w.part_ways()) } else { None };
    let mut args = Vec::new();
    args.extend(dest.as_ref().map(|(r, _)| r.clone()));
    args.push(mem);
    match m.op {
        Op::St | Op::Astore | Op::Atom | Op::Red => args.push(value),
        Op::Cas => {
            // What is expected is sometimes there: shared memory holds the lane's number.
            let new = Operand::Imm(random[lanes / 2]);
            let expected =
                if space == Space::Shared && w.rng.one_in(2) && ty.is_index() { LANE } else { value };
            args.extend([expected, new]);
        }
        _ => {}
    }
    w.f.push(*m, g, args);
    if let Some(skip) = skip {
        w.f.place(skip);
    }
    if let Some((r, shown)) = dest {
        w.show(ty, &r, shown);
    }
    if space == Space::Global || reads_only {
        return;
    }
    // Shared and private memory is seen by reading it back.
    let r = w.f.reg(ty);
    if space == Space::Shared {
        w.f.op("bar.sync", &[]);
        w.f.op(&format!("ld.shared.{ty}"), &[&r, &element(base, &LANE, 0)]);
        w.output(ty, &r);
    } else {
        for i in 0..len as u64 {
            w.f.op(&format!("ld.private.{ty}"), &[&r, &element(base, &Operand::Imm(i), 0)]);
            w.output(ty, &r);
        }
    }
    debug_assert!(!atomic || space != Space::Private);
}

/// What is accessed, with something in it, and how many elements of it may be used.
fn object(w: &mut Writer<'_>, m: &Mnemonic, space: Space, ty: Type) -> (Base, usize) {
    let (lanes, per_block) = (w.lanes(), w.block_lanes());
    match space {
        Space::Global => {
            let data: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
            let access = match m.op {
                Op::Ld => Access::In,
                Op::St => *w.rng.pick(&[Access::Out, Access::InOut]),
                _ => Access::InOut,
            };
            if w.rng.one_in(4) {
                let bytes = values::to_bytes(ty, &data);
                let short = bytes[..bytes.len() / 2 / ty.bytes() * ty.bytes()].to_vec();
                let others = if w.legal { bytes.clone() } else { short };
                w.args.push(ArgSpec::Buffers(ty, vec![bytes.clone(), others, bytes]));
                return (w.k.buffers(ty, access, 3), lanes);
            }
            (w.buffer_of(ty, access, &data), lanes)
        }
        Space::Shared => {
            let base = w.k.shared(ty, Some(per_block as u64));
            // Every lane fills its place.
            let value = if ty.is_index() {
                super::lane_number(w, ty)
            } else {
                let data: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
                w.varying(ty, &data)
            };
            w.f.op(&format!("st.shared.{ty}"), &[&element(base, &LANE, 0), &value]);
            w.f.op("bar.sync", &[]);
            (base, per_block)
        }
        Space::Private => {
            let base = w.k.private(ty, 5);
            for i in [0, 3, 4] {
                let data: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
                let value = w.varying(ty, &data);
                w.f.op(&format!("st.private.{ty}"), &[&element(base, &Operand::Imm(i), 0), &value]);
            }
            (base, 5)
        }
    }
}

fn length(w: &mut Writer<'_>, m: &Mnemonic) {
    let ty = type_of(m, phalanx_isa::ArgType::T);
    let n = w.rng.below(50) as u64;
    let base = match w.rng.below(3) {
        0 => w.buffer_of(Type::U16, Access::In, &vec![0; n as usize]),
        1 => w.k.shared(Type::F64, Some(n + 1)),
        _ => w.k.private(Type::I8, n + 1),
    };
    let (r, shown) = w.result(ty);
    let g = w.random_guard();
    w.f.push(*m, g, vec![r.clone(), Operand::Object(base)]);
    w.show(ty, &r, shown);
}

/// Allocates, stores, loads and frees; the mnemonic's type decides the elements'.
fn pool(w: &mut Writer<'_>, m: &Mnemonic) {
    let ty = m.ty.unwrap_or(Type::U32);
    let lanes = w.lanes();
    let counts: Vec<u64> =
        (0..lanes).map(|_| if w.legal { 3 + w.rng.below(4) } else { w.rng.below(700) } as u64).collect();
    let data: Vec<u64> = (0..lanes).map(|_| values::random(w.rng, ty)).collect();
    let places: Vec<u64> = (0..lanes).map(|_| w.rng.below(if w.legal { 3 } else { 5 }) as u64).collect();
    let count = w.varying(Type::U64, &counts);
    let value = w.varying(ty, &data);
    let place = w.varying(Type::U64, &places);
    let (r, shown) = w.result(ty);
    let (h, first) = (w.f.reg(Type::U64), w.f.reg(Type::U64));
    w.f.op(&format!("pool.alloc.{ty}"), &[&first, &Operand::Imm(1)]);
    w.f.op(&format!("pool.alloc.{ty}"), &[&h, &count]);
    let g = w.random_guard();
    let skip = w.rng.one_in(3).then(|| w.part_ways());
    match m.op {
        Op::PoolSt => w.f.push(*m, g, vec![h.clone(), place.clone(), value]),
        Op::PoolFree => w.f.push(*m, g, vec![first.clone()]),
        Op::PoolAlloc => w.f.push(*m, g, vec![first.clone(), count]),
        _ => {
            w.f.op(&format!("pool.st.{ty}"), &[&h, &Operand::Imm(1), &value]);
            w.f.push(*m, g, vec![r.clone(), h.clone(), place.clone()]);
        }
    }
    if let Some(skip) = skip {
        w.f.place(skip);
    }
    if m.op != Op::PoolLd {
        w.f.op(&format!("pool.ld.{ty}"), &[&r, &h, &place]);
    }
    w.show(ty, &r, shown);
    w.output(Type::U64, &first);
    if !w.legal && w.rng.one_in(2) {
        w.f.op("pool.free", &[&h]);
        w.f.op("pool.free", &[&h]);
    }
}
