//! Collective instructions, carried out once all lanes of their scope have arrived.

use super::lane::{Context, LOADS, Lane, STORES, State, arg_type};
use super::observe::Access;
use super::prims::int;
use crate::collective as order;
use crate::native::{self, Body, Call, NUMBERS, PLACES, Place, Site, Workspace};
use crate::trap::{LaneTrap, TrapDetail};
use phalanx_isa::{Base, Inst, Kind, Op, Operand, Reduce, Role, Scan, Shuffle, TrapKind, Type, Vote};
use phalanx_verify::Scope as Together;

fn is_member(lane: &Lane) -> bool {
    lane.state == State::Waiting { member: true }
}

/// An operation of a subgroup, all of whose lanes stand at it. A lane that traps stays behind, and so do the others with it.
pub fn subgroup(ctx: &Context<'_>, lanes: &mut [Lane]) {
    let inst = lanes[0].inst(ctx);
    let members = lanes.iter().enumerate().fold(0u32, |m, (i, l)| m | u32::from(is_member(l)) << i);
    // The value of a source operand in every lane of the subgroup; 0 where there is no lane.
    let read = |arg: usize| -> [u64; order::LANES] {
        std::array::from_fn(|i| lanes.get(i).map_or(0, |l| l.arg(ctx, inst, arg)))
    };
    let ty = inst.ty.unwrap_or(Type::U32);
    let reduce = |slot: usize| Reduce::from_code(inst.modes[slot].into()).unwrap_or(Reduce::Add);
    let is_in = |lane: u32| members.checked_shr(lane).unwrap_or(0) & 1 == 1;
    // From another lane where that is a member, else the lane's own.
    let fetch = |values: &[u64; order::LANES], i: usize, from: Option<u32>| match from.filter(|f| is_in(*f)) {
        Some(f) => values[f as usize],
        None => values[i],
    };
    let holds = |arg: usize| {
        let values = read(arg);
        (0..order::LANES).fold(0u32, |m, i| m | u32::from(values[i] != 0) << i) & members
    };
    let results: [u64; order::LANES] = match inst.op {
        Op::Shfl => {
            let mode = Shuffle::from_code(inst.modes[0].into()).unwrap_or(Shuffle::Idx);
            let (values, n) = (read(1), read(2));
            std::array::from_fn(|i| fetch(&values, i, order::shuffle_source(mode, i as u32, n[i] as u32)))
        }
        Op::Bcast => {
            let (values, n) = (read(1), read(2));
            let lowest = members.trailing_zeros() as usize;
            if (0..order::LANES).any(|i| is_in(i as u32) && n[i] != n[lowest]) {
                return lanes[lowest].fail(ctx, TrapKind::NotUniform, TrapDetail::None);
            }
            std::array::from_fn(|i| fetch(&values, i, Some(n[i] as u32)))
        }
        Op::Vote => {
            let all = inst.modes[0] as u16 == Vote::All.code();
            [u64::from(if all { holds(1) == members } else { holds(1) != 0 }); order::LANES]
        }
        Op::Ballot => [holds(1).into(); order::LANES],
        Op::Sreduce => [order::reduce(reduce(0), ty, &read(1), members); order::LANES],
        Op::Scan => order::scan(reduce(1), ty, inst.modes[0] as u16 == Scan::Excl.code(), &read(1), members),
        // The subgroup barrier gives no result.
        _ => [0; order::LANES],
    };
    for (lane, result) in lanes.iter_mut().zip(results) {
        if let (true, Some(dest)) = (is_member(lane), inst.args.first()) {
            lane.set(dest, result);
        }
        lane.resume(ctx);
    }
    if let (Op::Bar, Some(observer)) = (inst.op, ctx.observer) {
        let first = lanes[0].number;
        observer.barrier(ctx.block, first..first + lanes.len() as u32, Together::Subgroup);
    }
}

/// An operation of the block, all of whose lanes stand at it.
pub fn block(ctx: &Context<'_>, lanes: &mut [Lane]) -> Result<(), LaneTrap> {
    let inst = lanes[0].inst(ctx);
    let all = 0..lanes.len() as u32;
    if let Some(observer) = ctx.observer {
        observer.barrier(ctx.block, all.clone(), Together::Block);
    }
    match inst.op {
        Op::Reduce => {
            let mode = Reduce::from_code(inst.modes[0].into()).unwrap_or(Reduce::Add);
            let values: Vec<u64> = lanes.iter().map(|l| l.arg(ctx, inst, 1)).collect();
            let result = order::reduce_block(mode, inst.ty.unwrap_or(Type::U32), &values);
            lanes.iter_mut().for_each(|l| l.set(&inst.args[0], result));
        }
        op if op.info().kind == Kind::Native => {
            native_op(ctx, inst, lanes)?;
            if let Some(observer) = ctx.observer {
                observer.barrier(ctx.block, all, Together::Block);
            }
        }
        // The block barrier: all that happened before it has happened.
        _ => {}
    }
    lanes.iter_mut().for_each(|l| l.resume(ctx));
    Ok(())
}

fn native_op(ctx: &Context<'_>, inst: &Inst, lanes: &[Lane]) -> Result<(), LaneTrap> {
    let mem = |i: usize| if let Operand::Mem(m) = &inst.args[i] { Some(m) } else { None };
    let all = |l: &Lane| {
        let (places, _, numbers) = native::operands(inst.op);
        let places: Vec<_> = places.filter_map(mem).map(|m| l.address(ctx, m)).collect();
        let numbers: Vec<_> = numbers.map(|i| int(arg_type(inst, i), l.arg(ctx, inst, i))).collect();
        (places, numbers)
    };
    let first = all(&lanes[0]);
    if lanes[1..].iter().any(|l| all(l) != first) {
        return Err(lanes[0].trap(ctx, TrapKind::NotUniform, TrapDetail::None));
    }
    let (mut places, mut numbers) = ([Place::default(); PLACES], [0u32; NUMBERS]);
    let (at, packed, _) = native::operands(inst.op);
    for ((place, mem), (which, index)) in places.iter_mut().zip(at.filter_map(mem)).zip(first.0) {
        let param = if let Base::Param(p) = mem.base { p } else { 0 };
        // A negative place is beyond every buffer.
        let [which, first] = [which, index].map(|v| u64::try_from(v).unwrap_or(u64::MAX));
        *place = Place { param, which, first };
    }
    numbers.iter_mut().zip(first.1).for_each(|(n, v)| *n = v as u32);
    let packed = match packed.map(|i| &inst.args[i]) {
        Some(Operand::Object(Base::Param(p))) => *p,
        _ => 0,
    };
    let words = native::Words::of(inst.op, inst.modes);
    let call = Call { op: inst.op, words, places, packed, numbers };
    let site = Site { func: lanes[0].frame().func, inst: lanes[0].frame().at, block: ctx.block };
    native::run(ctx.launch, &call, Body::Reference, &mut Workspace::default(), site)?;
    let Some(observer) = ctx.observer else { return Ok(()) };
    for (role, area) in native::areas(ctx.launch, &call) {
        let how = if role == Role::Out { STORES } else { LOADS };
        for (row, column) in (0..area.rows).flat_map(|r| (0..area.width).map(move |c| (r, c))) {
            let index = area.first + row * area.stride + column;
            let bits = ctx.launch.view(area.param, area.which).and_then(|v| v.load(index)).unwrap_or(0);
            let (which, index) = (area.which.into(), index.into());
            let (block, lane, site, base) = (ctx.block, 0, (site.func, site.inst), Base::Param(area.param));
            observer.access(Access { block, lane, site, base, which, index, how, bits });
        }
    }
    Ok(())
}
