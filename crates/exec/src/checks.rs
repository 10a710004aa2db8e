//! What is checked when arguments are bound to a kernel: aliasing, declared sizes, the launch's shape.

use crate::buffer::BufferView;
use crate::launch::{ArgValue, LaunchConfig, LaunchError, LaunchShape};
use phalanx_isa::{Access, Base, Expr, Kernel, ParamKind, Special, Type, limits};
use phalanx_verify::Verified;
use std::sync::Arc;

/// Refuses overlapping views of one allocation where one is written, and mixed element sizes in a written allocation.
pub(crate) fn check_aliasing(kernel: &Kernel, args: &[ArgValue]) -> Result<(), LaunchError> {
    let mut all: Vec<(&str, bool, &BufferView)> = Vec::new();
    for (param, value) in kernel.params.iter().zip(args) {
        let writes = matches!(param.kind, ParamKind::Buffer { access: Access::Out | Access::InOut, .. });
        match value {
            ArgValue::Buffer(v) => all.push((&param.name, writes, v)),
            ArgValue::Buffers(vs) => all.extend(vs.iter().map(|v| (param.name.as_str(), writes, v))),
            _ => {}
        }
    }
    for (i, (a, a_writes, va)) in all.iter().enumerate() {
        for (b, b_writes, vb) in &all[i + 1..] {
            if !Arc::ptr_eq(&va.buffer.0, &vb.buffer.0) || !(*a_writes || *b_writes) {
                continue;
            }
            let (ra, rb) = (va.range(), vb.range());
            let names = || (kernel.name.clone(), a.to_string(), b.to_string());
            if ra.start < rb.end && rb.start < ra.end {
                let (kernel, a, b) = names();
                return Err(LaunchError::Overlap { kernel, a, b });
            }
            if va.elem.bytes() != vb.elem.bytes() {
                let (kernel, a, b) = names();
                return Err(LaunchError::ElementSize { kernel, a, b });
            }
        }
    }
    Ok(())
}

/// Evaluates a launch-time expression of the kernel.
pub(crate) fn evaluate(kernel: &Kernel, args: &[ArgValue], e: &Expr) -> Result<u64, LaunchError> {
    let scalar = |p: u16| match args.get(p as usize)? {
        ArgValue::Scalar(t, bits) if t.is_int() => {
            let shift = 64 - t.bits();
            let signed = matches!(t.class(), phalanx_isa::Class::Sint);
            if signed { u64::try_from((*bits << shift) as i64 >> shift).ok() } else { Some(*bits) }
        }
        _ => None,
    };
    let len = |p: u16| match args.get(p as usize)? {
        ArgValue::Buffer(v) => Some(v.len),
        _ => None,
    };
    e.eval(&scalar, &len).ok_or_else(|| LaunchError::Config {
        kernel: kernel.name.clone(),
        what: "a declared size overflows, is negative or divides by zero with these arguments".into(),
    })
}

/// The grid and block of a launch: declared by the kernel, given by the caller, or both where they agree.
pub(crate) fn shape(
    kernel: &Kernel,
    args: &[ArgValue],
    given: LaunchShape,
) -> Result<LaunchConfig, LaunchError> {
    let refuse = |what: String| LaunchError::Config { kernel: kernel.name.clone(), what };
    let block = match (kernel.block, given.block) {
        (Some(b), None) => b,
        (Some(b), Some(g)) if b == g => b,
        (Some(b), Some(g)) => {
            return Err(refuse(format!("it declares block {b:?}, the launch asks for {g:?}")));
        }
        (None, Some(g)) => g,
        (None, None) => return Err(refuse("it declares no block size: give one with the launch".into())),
    };
    let grid = match (given.grid, &kernel.grid) {
        (Some(g), _) => g,
        (None, Some(declared)) => {
            let mut grid = [0u32; 3];
            for (g, e) in grid.iter_mut().zip(declared) {
                let n = evaluate(kernel, args, e)?;
                *g = u32::try_from(n)
                    .map_err(|_| refuse(format!("a grid of {n} blocks in one dimension is too large")))?;
            }
            grid
        }
        (None, None) => return Err(refuse("it declares no grid: give one with the launch".into())),
    };
    let lanes = block.iter().try_fold(1u32, |n, b| n.checked_mul(*b)).unwrap_or(u32::MAX);
    if lanes == 0 || lanes as usize > limits::BLOCK_LANES {
        return Err(refuse(format!(
            "block {block:?} has {lanes} lanes; 1 to {} are possible",
            limits::BLOCK_LANES
        )));
    }
    let blocks = grid.iter().try_fold(1u64, |n, g| n.checked_mul(u64::from(*g)));
    if blocks.and_then(|b| b.checked_mul(lanes.into())).is_none_or(|n| n >= 1 << 62) {
        return Err(refuse(format!("grid {grid:?} has too many blocks")));
    }
    let shared_len = given.shared_len;
    let unsized_array = kernel.shared.iter().find(|a| a.len.is_none());
    if unsized_array.is_none() && shared_len > 0 {
        return Err(refuse("the launch gives a shared length, but no shared array is unsized".into()));
    }
    let bytes: Option<u64> = kernel.shared.iter().try_fold(0u64, |n, a| {
        n.checked_add(a.len.unwrap_or(shared_len).checked_mul(a.elem.bytes() as u64)?)
    });
    if bytes.is_none_or(|b| b > limits::SHARED_BYTES as u64) {
        return Err(refuse(format!("the shared arrays need more than {} bytes", limits::SHARED_BYTES)));
    }
    Ok(LaunchConfig { grid, block, shared_len })
}

/// Refuses a launch in which a special register or a length that the kernel reads as a 32-bit value would not fit.
pub(crate) fn check_special_widths(
    program: &Verified,
    kernel_index: usize,
    config: &LaunchConfig,
) -> Result<(), LaunchError> {
    let kernel = &program.module().kernels[kernel_index];
    let [bx, by, bz] = config.block.map(u64::from);
    let [gx, gy, gz] = config.grid.map(u64::from);
    for (special, ty) in &program.analysis(kernel_index).specials {
        let count = match special {
            Special::LaneX | Special::BlockDimX => bx,
            Special::LaneY | Special::BlockDimY => by,
            Special::LaneZ | Special::BlockDimZ => bz,
            Special::BlockX | Special::GridDimX => gx,
            Special::BlockY | Special::GridDimY => gy,
            Special::BlockZ | Special::GridDimZ => gz,
            Special::BlockLinear | Special::GridDimLinear => gx * gy * gz,
            Special::GlobalX => gx * bx,
            Special::GlobalY => gy * by,
            Special::GlobalZ => gz * bz,
            Special::GlobalLinear => gx * gy * gz * bx * by * bz,
            Special::LaneLinear | Special::BlockDimLinear | Special::SubgroupId | Special::SubgroupLane => {
                bx * by * bz
            }
        };
        let limit = match ty {
            Type::I32 => i32::MAX as u64,
            Type::U32 => u32::MAX as u64,
            _ => continue,
        };
        if count > limit {
            return Err(LaunchError::Config {
                kernel: kernel.name.clone(),
                what: format!(
                    "it reads %{special} as {ty}, but this launch needs values up to {count}: read it as u64"
                ),
            });
        }
    }
    Ok(())
}

/// Refuses a launch in which a length that the kernel reads as a narrower type would not fit it.
pub(crate) fn check_lengths(
    program: &Verified,
    kernel_index: usize,
    args: &[ArgValue],
    config: &LaunchConfig,
) -> Result<(), LaunchError> {
    let kernel = &program.module().kernels[kernel_index];
    for (base, ty) in &program.analysis(kernel_index).lengths {
        let len = match base {
            Base::Param(p) => match args.get(*p as usize) {
                Some(ArgValue::Buffer(v)) => v.len,
                _ => 0,
            },
            Base::Shared(a) => kernel.shared[*a as usize].len.unwrap_or(config.shared_len),
            Base::Private(a) => kernel.private[*a as usize].len.unwrap_or(0),
        };
        let signed = matches!(ty.class(), phalanx_isa::Class::Sint);
        if len > u64::MAX >> (64 - ty.bits() + u32::from(signed)) {
            let name = crate::trap::base_name(kernel, *base);
            return Err(LaunchError::Config {
                kernel: kernel.name.clone(),
                what: format!("it reads the length of `{name}` as {ty}, but it is {len}: read it as u64"),
            });
        }
    }
    Ok(())
}
