//! The order of reductions and scans across lanes, and what absent lanes count as: the definition, on the bits of values, for
//! every executor to be measured against.

use crate::reference::{eval, prims};
use phalanx_isa::{Class, Reduce, Shuffle, Type, limits};

/// Lanes of a subgroup.
pub const LANES: usize = limits::SUBGROUP;

/// What a lane that takes no part counts as.
///
/// It changes no value of the other lanes: for float sums it is -0 (`x + -0` is `x` for every x, -0 included, while +0 would
/// turn a sum of negative zeros positive); for float `min` and `max` it is NaN, over which every number wins. It is seen
/// itself only in lane 0 of an exclusive scan, and above lanes that take no part.
pub fn identity(mode: Reduce, ty: Type) -> u64 {
    let ones = u64::MAX >> (64 - ty.bits());
    let sign = 1 << (ty.bits() - 1);
    match (mode, ty.class()) {
        (Reduce::Add, Class::Float) => sign,
        (Reduce::Min | Reduce::Max, Class::Float) => crate::view::canonical_bits(ty, ones),
        (Reduce::Min, Class::Sint) => ones ^ sign,
        (Reduce::Max, Class::Sint) => sign,
        (Reduce::Min | Reduce::And, _) => ones,
        (Reduce::Add | Reduce::Max | Reduce::Or | Reduce::Xor, _) => 0,
    }
}

/// One step: `a` from the lower place, `b` from the higher. f16 and bf16 round at every step.
pub fn combine(mode: Reduce, ty: Type, a: u64, b: u64) -> u64 {
    // Only integer division traps, and it is no reduction; the row of a reduction names types that its operation has.
    eval(prims::reduce_op(mode), ty, ty, [0; 3], &[a, b]).and_then(Result::ok).unwrap_or(a)
}

/// The values with the identity in lanes outside `members`.
fn filled(mode: Reduce, ty: Type, values: &[u64; LANES], members: u32) -> [u64; LANES] {
    let absent = identity(mode, ty);
    std::array::from_fn(|i| if members >> i & 1 == 1 { values[i] } else { absent })
}

/// Reduces a subgroup: an exclusive-or tree with the distances 16, 8, 4, 2, 1.
pub fn reduce(mode: Reduce, ty: Type, values: &[u64; LANES], members: u32) -> u64 {
    let mut v = filled(mode, ty, values, members);
    for step in [16, 8, 4, 2, 1] {
        v = std::array::from_fn(|i| combine(mode, ty, v[i], v[i ^ step]));
    }
    v[0]
}

/// Prefixes over a subgroup, with the distances 1, 2, 4, 8, 16. Exclusive: each lane gets the inclusive result of the lane
/// below, lane 0 the identity.
pub fn scan(mode: Reduce, ty: Type, exclusive: bool, values: &[u64; LANES], members: u32) -> [u64; LANES] {
    let mut v = filled(mode, ty, values, members);
    for step in [1, 2, 4, 8, 16] {
        v = std::array::from_fn(|i| if i >= step { combine(mode, ty, v[i - step], v[i]) } else { v[i] });
    }
    if !exclusive {
        return v;
    }
    std::array::from_fn(|i| if i == 0 { identity(mode, ty) } else { v[i - 1] })
}

/// Reduces a block, all of whose lanes take part: each subgroup as [`reduce`], then the subgroups ascending.
pub fn reduce_block(mode: Reduce, ty: Type, values: &[u64]) -> u64 {
    let subgroups = values.chunks(LANES).map(|part| {
        let mut all = [0; LANES];
        all[..part.len()].copy_from_slice(part);
        reduce(mode, ty, &all, u32::MAX >> (LANES - part.len()))
    });
    subgroups.reduce(|a, b| combine(mode, ty, a, b)).unwrap_or_else(|| identity(mode, ty))
}

/// The lane whose value a shuffle gives to `lane`; `None`: outside the subgroup, the lane keeps its own.
pub fn shuffle_source(mode: Shuffle, lane: u32, n: u32) -> Option<u32> {
    let from = match mode {
        Shuffle::Idx => Some(n),
        Shuffle::Up => lane.checked_sub(n),
        Shuffle::Down => lane.checked_add(n),
        Shuffle::Xor => Some(lane ^ n),
    };
    from.filter(|l| (*l as usize) < LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(f: impl Fn(usize) -> f32) -> [u64; LANES] {
        std::array::from_fn(|i| f(i).to_bits().into())
    }

    #[test]
    fn the_identity_changes_nothing() {
        let values = [
            0u64,
            1,
            5,
            0x7f,
            0x80,
            0xff,
            0x8000,
            0x7c00,
            0x3f80_0000,
            0x8000_0000,
            0x8000_0000_0000_0000,
            1 << 62,
        ];
        for ty in Type::ALL.iter().copied().filter(|t| *t != Type::Pred) {
            for mode in Reduce::ALL.iter().copied().filter(|m| (*m as u16) < 3 || ty.is_int()) {
                for v in values.map(|v| v & (u64::MAX >> (64 - ty.bits()))) {
                    let id = identity(mode, ty);
                    assert_eq!(combine(mode, ty, v, id), v, "{mode} {ty} {v:#x}");
                    assert_eq!(combine(mode, ty, id, v), v, "{mode} {ty} {v:#x}");
                }
            }
        }
    }

    #[test]
    fn the_tree_adds_in_its_stated_order() {
        // 2^24 + 1 is no f32: which ones are lost depends on the order.
        let values = f32s(|i| if i == 0 { 16_777_216.0 } else { 1.0 });
        // Distance 16 loses the 1 of lane 16; the other pairs are 2, so nothing is lost any more.
        let got = f32::from_bits(reduce(Reduce::Add, Type::F32, &values, u32::MAX) as u32);
        assert_eq!(got, 16_777_216.0 + 30.0);
        let ascending = (1..32).fold(16_777_216.0f32, |s, _| s + 1.0);
        assert_eq!(ascending, 16_777_216.0);
    }

    #[test]
    fn scans_are_prefixes_and_skip_absent_lanes() {
        let values: [u64; LANES] = std::array::from_fn(|i| i as u64 + 1);
        let members = 0xffff_0f0f;
        let inclusive = scan(Reduce::Add, Type::U32, false, &values, members);
        let exclusive = scan(Reduce::Add, Type::U32, true, &values, members);
        let mut sum = 0;
        for i in 0..LANES {
            assert_eq!(exclusive[i], sum, "lane {i}");
            sum += if members >> i & 1 == 1 { values[i] } else { 0 };
            assert_eq!(inclusive[i], sum, "lane {i}");
        }
        assert_eq!(scan(Reduce::Min, Type::I8, true, &values, u32::MAX)[0], 0x7f);
    }

    #[test]
    fn all_absent_but_negative_zero_stays_negative() {
        let values = f32s(|_| -0.0);
        assert_eq!(reduce(Reduce::Add, Type::F32, &values, 1 << 9), (-0f32).to_bits().into());
        assert_eq!(reduce(Reduce::Max, Type::F32, &values, 1 << 9), (-0f32).to_bits().into());
    }

    #[test]
    fn blocks_reduce_partial_subgroups() {
        let values: Vec<u64> = (1..=70).collect();
        assert_eq!(reduce_block(Reduce::Add, Type::U64, &values), 70 * 71 / 2);
        assert_eq!(reduce_block(Reduce::Max, Type::U16, &values[..1]), 1);
    }

    #[test]
    fn shuffles_outside_the_subgroup_have_no_source() {
        assert_eq!(shuffle_source(Shuffle::Up, 3, 4), None);
        assert_eq!(shuffle_source(Shuffle::Up, 4, 4), Some(0));
        assert_eq!(shuffle_source(Shuffle::Down, 30, 1), Some(31));
        assert_eq!(shuffle_source(Shuffle::Down, 30, 2), None);
        assert_eq!(shuffle_source(Shuffle::Down, 30, u32::MAX), None);
        assert_eq!(shuffle_source(Shuffle::Idx, 3, 32), None);
        assert_eq!(shuffle_source(Shuffle::Xor, 3, 0x20), None);
        assert_eq!(shuffle_source(Shuffle::Xor, 3, 0x1f), Some(28));
    }
}
