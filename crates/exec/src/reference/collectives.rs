//! Collective instructions, carried out once all lanes of their scope have arrived.

use super::lane::{Context, LOADS, Lane, STORES, State, arg_type};
use super::observe::{Access, How};
use super::prims::int;
use crate::collective as order;
use crate::launch::Slot;
use crate::native::{MatmulT2, Site, matmul_t2};
use crate::trap::{LaneTrap, TrapDetail};
use phalanx_isa::{Base, Inst, Mem, Op, Operand, Reduce, Scan, Shuffle, TrapKind, Type, Vote};
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
        Op::MatmulT2 => {
            matmul(ctx, inst, lanes)?;
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

fn matmul(ctx: &Context<'_>, inst: &Inst, lanes: &[Lane]) -> Result<(), LaneTrap> {
    let (Operand::Mem(y), Operand::Object(Base::Param(w)), Operand::Mem(x)) =
        (&inst.args[0], &inst.args[1], &inst.args[2])
    else {
        return Ok(());
    };
    let all = |l: &Lane| {
        let numbers: Vec<i128> =
            (3..inst.args.len()).map(|i| int(arg_type(inst, i), l.arg(ctx, inst, i))).collect();
        (l.address(ctx, y), l.address(ctx, x), numbers)
    };
    let (first_y, first_x, numbers) = all(&lanes[0]);
    if lanes[1..].iter().any(|l| all(l) != (first_y, first_x, numbers.clone())) {
        return Err(lanes[0].trap(ctx, TrapKind::NotUniform, TrapDetail::None));
    }
    let place = |mem: &Mem, (which, index): (i128, i128)| {
        let Base::Param(p) = mem.base else {
            return Err(lanes[0].trap(ctx, TrapKind::Shape, TrapDetail::None));
        };
        let len = u64::try_from(which).ok().and_then(|w| ctx.launch.view(p, w)).map_or(0, |v| v.len());
        match (u64::try_from(which), u64::try_from(index)) {
            (Ok(which), Ok(index)) => Ok((p, which, index)),
            _ => {
                let detail =
                    TrapDetail::Index { base: mem.base, index: if which < 0 { which } else { index }, len };
                Err(lanes[0].trap(ctx, TrapKind::OutOfBounds, detail))
            }
        }
    };
    let [m, n0, nn, ldy, ldx] = std::array::from_fn(|i| numbers.get(i).map_or(0, |v| *v as u32));
    let op = MatmulT2 { y: place(y, first_y)?, w: *w, x: place(x, first_x)?, m, n0, nn, ldy, ldx };
    let site = Site { func: lanes[0].frame().func, inst: lanes[0].frame().at, block: ctx.block };
    matmul_t2(ctx.launch, &op, site)?;
    if let (Some(observer), Some(Slot::Packed(weights))) = (ctx.observer, ctx.launch.slots.get(*w as usize)) {
        let seen = |(param, which, first): (u16, u64, u64), stride: u32, width: u64, how: How| {
            for (row, column) in (0..u64::from(m)).flat_map(|r| (0..width).map(move |c| (r, c))) {
                let index = first + row * u64::from(stride) + column;
                let bits = ctx.launch.view(param, which).and_then(|v| v.load(index)).unwrap_or(0);
                let (which, index) = (which.into(), index.into());
                let (block, lane, site, base) = (ctx.block, 0, (site.func, site.inst), Base::Param(param));
                observer.access(Access { block, lane, site, base, which, index, how, bits });
            }
        };
        seen(op.x, ldx, weights.k() as u64, LOADS);
        seen(op.y, ldy, u64::from(nn), STORES);
    }
    Ok(())
}
