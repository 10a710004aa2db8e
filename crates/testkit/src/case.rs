//! A program with everything that a launch needs.

use crate::Rng;
use crate::values;
use phalanx_exec::resonance::{Entry, Ratio, Snapshot};
use phalanx_exec::{ArgValue, Buffer, LaunchClaims, Resonance};
use phalanx_isa::{Expr, Kernel, Module, PackFormat, ParamKind, Type};
use phalanx_kernels::conv::{Conv, ConvShape};
use std::sync::Arc;

/// What is bound to a parameter: data, not yet buffers, so that every run starts from the same.
#[derive(Clone, Debug)]
pub enum ArgSpec {
    /// A number.
    Scalar(Type, u64),
    /// A buffer's bytes.
    Buffer(Type, Vec<u8>),
    /// An array of buffers.
    Buffers(Type, Vec<Vec<u8>>),
    /// Packed weights of n rows by k columns.
    Packed {
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// Format.
        format: PackFormat,
        /// Weights, row by row, as [`phalanx_exec::native::pack`] takes them.
        weights: Vec<f32>,
    },
    /// A convolution.
    Filters {
        /// Shape.
        shape: ConvShape,
        /// Format.
        format: PackFormat,
        /// Weights in the order OIHW, as [`phalanx_exec::native::filters`] takes them.
        weights: Vec<f32>,
    },
}

impl ArgSpec {
    /// Random filters, all over the format's range.
    pub fn filters(format: PackFormat, shape: ConvShape, rng: &mut Rng) -> ArgSpec {
        let n = Conv::new(shape).map_or(0, |c| c.weights_len());
        match ArgSpec::packed(format, 1, n, rng) {
            ArgSpec::Packed { weights, .. } => ArgSpec::Filters { shape, format, weights },
            other => other,
        }
    }

    /// Random packed weights, all over the format's range.
    pub fn packed(format: PackFormat, n: usize, k: usize, rng: &mut Rng) -> ArgSpec {
        let mut weight = || match format {
            PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => rng.below(3) as f32 - 1.0,
            PackFormat::Q40 => rng.below(16) as f32 - 8.0,
            PackFormat::I8 | PackFormat::Q80 => rng.below(256) as f32 - 128.0,
            PackFormat::F32 | PackFormat::F16 | PackFormat::Bf16 => {
                f32::from_bits(values::random(rng, Type::F32) as u32)
            }
        };
        let weights = (0..n * k).map(|_| weight()).collect();
        ArgSpec::Packed { n, k, format, weights }
    }
}

/// A module and a launch of its first kernel.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program.
    pub module: Module,
    /// By parameter.
    pub args: Vec<ArgSpec>,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Lanes in x, y, z.
    pub block: [u32; 3],
    /// Elements of the unsized shared array.
    pub shared_len: u64,
    /// Instructions per lane.
    pub fuel: Option<u64>,
    /// The class of all lanes.
    pub class: Option<u32>,
    /// The launch phase.
    pub phase: u32,
    /// Bytes for pool allocations.
    pub pool_limit_bytes: u64,
    /// Seed of the resonance before the launch; 0: all zero.
    pub resonance_seed: u64,
    /// What is claimed of the launch.
    pub claims: LaunchClaims,
}

impl Case {
    /// A launch of one block of one lane without fuel limit.
    pub fn new(module: Module, args: Vec<ArgSpec>) -> Case {
        Case {
            module,
            args,
            grid: [1; 3],
            block: [1; 3],
            shared_len: 0,
            fuel: None,
            class: None,
            phase: 0,
            pool_limit_bytes: 1 << 20,
            resonance_seed: 0,
            claims: LaunchClaims::default(),
        }
    }

    /// Lanes of the whole launch.
    pub fn lanes(&self) -> u64 {
        self.grid.iter().chain(&self.block).map(|n| u64::from(*n)).product()
    }

    /// A resonance as it is before the launch.
    pub fn resonance(&self) -> Resonance {
        let resonance = Resonance::new();
        if self.resonance_seed != 0 {
            let mut rng = Rng::new(self.resonance_seed);
            let mut entry = |_| {
                let (n, d) = (rng.below(2001) as i64 - 1000, rng.between(1, 30));
                let ratio = Ratio::new(n, d.into()).unwrap_or_default();
                Entry { ratio, float: f64::from_bits(values::random(&mut rng, Type::F64)) }
            };
            resonance.restore(&Snapshot(std::array::from_fn(&mut entry)));
        }
        resonance
    }

    /// New buffers with the case's data, by parameter. `None`: not even the bindings can be made (weights of a shape that does
    /// not fit).
    pub fn bind(&self) -> Option<Vec<ArgValue>> {
        let view = |ty: &Type, bytes: &[u8]| Some(Buffer::from_bytes(0, bytes).ok()?.view(*ty));
        let bind = |arg: &ArgSpec| {
            Some(match arg {
                ArgSpec::Scalar(ty, bits) => ArgValue::Scalar(*ty, *bits),
                ArgSpec::Buffer(ty, bytes) => ArgValue::Buffer(view(ty, bytes)?),
                ArgSpec::Buffers(ty, all) => {
                    ArgValue::Buffers(all.iter().map(|b| view(ty, b)).collect::<Option<_>>()?)
                }
                ArgSpec::Packed { n, k, format, weights } => {
                    ArgValue::Packed(Arc::new(phalanx_exec::native::pack(*format, *n, *k, weights).ok()?))
                }
                ArgSpec::Filters { shape, format, weights } => {
                    ArgValue::Filters(Arc::new(phalanx_exec::native::filters(*format, *shape, weights).ok()?))
                }
            })
        };
        self.args.iter().map(bind).collect()
    }

    /// A launch for a kernel that comes from anywhere: small random bindings of the right kinds, a small grid, fuel.
    /// `None`: its packed weights would be too large.
    pub fn for_any(module: Module, rng: &mut Rng) -> Option<Case> {
        let kernel = module.kernels.first()?;
        // One buffer that is too short is enough for a trap: mostly, none is.
        let some_small = rng.one_in(4);
        let mut args: Vec<ArgSpec> =
            kernel.params.iter().map(|p| small_arg(&p.kind, some_small, rng)).collect();
        for i in 0..args.len() {
            if let ParamKind::Packed { n, k, format } = &kernel.params[i].kind {
                let (n, k) = (size(kernel, &args, n)?, size(kernel, &args, k)?);
                if n.checked_mul(k).is_none_or(|all| all > 1 << 14) {
                    return None;
                }
                args[i] = ArgSpec::packed(*format, n as usize, k as usize, rng);
            }
        }
        let lanes = *rng.pick(&[1u32, 7, 32, 33, 40, 64, 129, 160, 257]);
        // Shared arrays mostly have an element per lane.
        let longest = kernel.shared.iter().filter_map(|a| a.len).max().unwrap_or(0);
        let fits = longest > 0 && longest <= 400 && !rng.one_in(5);
        let block = kernel.block.unwrap_or([if fits { longest as u32 } else { lanes }, 1, 1]);
        let unsized_shared = kernel.shared.last().is_some_and(|a| a.len.is_none());
        let mut case = Case::new(module, args);
        case.grid = [rng.between(1, 3), 1, 1];
        case.block = block;
        let most = if rng.one_in(4) { 100 } else { 1 };
        let lanes = u64::from(case.block.iter().fold(1u32, |n, d| n.saturating_mul(*d)));
        case.shared_len = if unsized_shared { lanes.min(2000) / most } else { 0 };
        let most = if rng.one_in(4) { 200 } else { 4000 };
        case.fuel = Some(u64::from(rng.between(20, most)));
        Some(case)
    }
}

fn small_arg(kind: &ParamKind, some_small: bool, rng: &mut Rng) -> ArgSpec {
    let mut bytes = |elem: Type| {
        let n = if some_small { *rng.pick(&[0usize, 1, 33, 64, 200, 800]) } else { 800 };
        let values: Vec<u64> = (0..n).map(|_| values::random(rng, elem)).collect();
        values::to_bytes(elem, &values)
    };
    match kind {
        ParamKind::Scalar(ty) => {
            let v = rng.below(40) as i64;
            ArgSpec::Scalar(*ty, values::small(*ty, v))
        }
        ParamKind::Buffer { elem, count: None, .. } => ArgSpec::Buffer(*elem, bytes(*elem)),
        ParamKind::Buffer { elem, count: Some(n), .. } => {
            ArgSpec::Buffers(*elem, (0..*n).map(|_| bytes(*elem)).collect())
        }
        // The shape follows from the other arguments: filled in by the caller.
        ParamKind::Packed { .. } => {
            ArgSpec::Packed { n: 0, k: 0, format: PackFormat::T2, weights: Vec::new() }
        }
    }
}

fn size(kernel: &Kernel, args: &[ArgSpec], e: &Expr) -> Option<u64> {
    let scalar = |p: u16| match (args.get(p as usize)?, &kernel.params.get(p as usize)?.kind) {
        (ArgSpec::Scalar(_, bits), ParamKind::Scalar(t)) if t.is_int() => Some(*bits),
        _ => None,
    };
    let len = |p: u16| match args.get(p as usize)? {
        ArgSpec::Buffer(ty, bytes) => Some((bytes.len() / ty.bytes().max(1)) as u64),
        _ => None,
    };
    e.eval(&scalar, &len)
}
