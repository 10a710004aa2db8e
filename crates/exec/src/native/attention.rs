//! The products of attention among the native operations: their second operands lie in buffers.

use super::{Body, Call, Operand, PANEL, Site, Weights, Workspace};
use crate::launch::Launch;
use crate::trap::LaneTrap;
use phalanx_isa::{TrapKind, Type};
use phalanx_kernels::{Attention, Panels};

pub(super) fn panels(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    let [m, n, ..] = call.numbers;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let find = |i| Operand::find(launch, site, call, (i, Weights::None));
    let (y, x, b) = (find(0)?, find(1)?, find(2)?);
    let Workspace { floats: [xs, bs, ..], halves: [halves, _], out_floats, .. } = work;
    let panels = match b.view.elem() {
        Type::F16 => b.rows::<u16>(halves).map(Panels::F16),
        Type::Bf16 => b.rows::<u16>(halves).map(Panels::Bf16),
        _ => b.rows::<f32>(bs).map(Panels::F32),
    };
    let (Some(x), Some(panels)) = (x.rows::<f32>(xs), panels) else { return Ok(()) };
    let result = y.fill(launch, (site, body), out_floats, |tile| match body {
        Body::Reference => phalanx_kernels::reference::matmul_panels(panels, x, tile),
        Body::Tier(tier) => phalanx_kernels::matmul_panels(tier, panels, x, tile),
    });
    match result {
        Some(Err(e)) => Err(site.trap(TrapKind::Shape, e.to_string())),
        _ => Ok(()),
    }
}

/// As [`super::extent`], of `attend` with these numbers.
pub(super) fn extent([m, n, heads, dim, ldq, ldv, _]: [u64; super::NUMBERS]) -> [(u64, u64, u64); 4] {
    let (width, keys) = (heads.saturating_mul(dim), n.saturating_add(m).saturating_sub(1));
    [
        (m, ldq, width),
        (m, ldq, width),
        (1, 0, (PANEL * keys.div_ceil(PANEL)).saturating_mul(dim)),
        (dim.div_ceil(PANEL), ldv, PANEL.saturating_mul(keys)),
    ]
}

pub(super) fn run(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    let [m, n, heads, dim, .., factor] = call.numbers;
    if m == 0 || heads == 0 || dim == 0 {
        return Ok(());
    }
    if n == 0 {
        return Err(site.trap(TrapKind::Shape, "the first row attends to no key".into()));
    }
    let find = |i| Operand::find(launch, site, call, (i, Weights::None));
    let (o, q, k, v) = (find(0)?, find(1)?, find(2)?, find(3)?);
    let Workspace { floats: [qs, ks, vs], halves: [half_ks, half_vs], scores, out_floats, .. } = work;
    let panels = match k.view.elem() {
        Type::F16 => {
            let k = k.rows::<u16>(half_ks).map(Panels::F16);
            k.zip(v.rows::<u16>(half_vs).map(Panels::F16))
        }
        Type::Bf16 => {
            let k = k.rows::<u16>(half_ks).map(Panels::Bf16);
            k.zip(v.rows::<u16>(half_vs).map(Panels::Bf16))
        }
        _ => k.rows::<f32>(ks).map(Panels::F32).zip(v.rows::<f32>(vs).map(Panels::F32)),
    };
    let (Some(q), Some((k, v))) = (q.rows::<f32>(qs), panels) else { return Ok(()) };
    let (heads, dim, keys, scale) = (heads as usize, dim as usize, n as usize, f32::from_bits(factor));
    let a = Attention { q, k, v, heads, dim, keys, scale };
    let result = o.fill(launch, (site, body), out_floats, |tile| match body {
        Body::Reference => phalanx_kernels::reference::attend(a, tile),
        Body::Tier(tier) => phalanx_kernels::attend(tier, a, tile, scores),
    });
    match result {
        Some(Err(e)) => Err(site.trap(TrapKind::Shape, e.to_string())),
        _ => Ok(()),
    }
}
