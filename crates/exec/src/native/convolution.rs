//! The convolutions among the native operations.

use super::{Body, Call, Operand, Site, Weights, Workspace};
use crate::launch::Launch;
use crate::trap::LaneTrap;
use phalanx_isa::{Activation, Algorithm as Order, Op, TrapKind, Type};
use phalanx_kernels::Tile;
use phalanx_kernels::conv::{
    self, Algorithm, ConvError, ConvInput, ConvOutput, ConvPart, ConvWeights, Requantise,
};

/// The part of an image's output that a call's first four numbers say.
fn part(call: &Call) -> ConvPart {
    let [r0, rr, c0, cc, ..] = call.numbers.map(|n| n as usize);
    ConvPart { rows: (r0, r0 + rr), channels: (c0, c0 + cc) }
}

/// As [`super::extent`], of a part that [`run`] has checked.
pub(super) fn extent(call: &Call, name: &str, w: &ConvWeights) -> (u64, u64, u64) {
    let (rows, cols, stride) = part(call).tile(w.conv());
    match name {
        "y" => (rows as u64, stride as u64, cols as u64),
        "x" => (1, 0, w.conv().image_len() as u64),
        _ => (1, 0, w.filters() as u64),
    }
}

/// Whether filters are packed for the order of float sums that the operation names: bits follow from the program and the shape.
fn order(named: Order, w: &ConvWeights) -> Result<(), String> {
    let expected = match named {
        Order::None => Algorithm::choose(w.conv(), w.format().is_float()).algorithm.order(),
        Order::Direct => Algorithm::Direct,
        Order::Winograd => Algorithm::Winograd,
        Order::Fft => Algorithm::Fft,
    };
    let found = w.algorithm().order();
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "the filters are packed for {found}, the operation sums in the order of {expected}: write `conv2d.f.{found}`"
    ))
}

pub(super) fn run(
    launch: &Launch<'_>,
    call: &Call,
    body: Body,
    work: &mut Workspace,
    site: Site,
) -> Result<(), LaneTrap> {
    let refuse = |e: ConvError| site.trap(TrapKind::Shape, e.to_string());
    let weights = Weights::of(launch, call);
    let Weights::Filters(w) = weights else {
        let text = "the weights are a matrix, not the filters of a convolution";
        return Err(site.trap(TrapKind::Shape, text.into()));
    };
    let part = part(call);
    if part.rows.0 == part.rows.1 || part.channels.0 == part.channels.1 {
        return Ok(());
    }
    w.check_part(&part).map_err(refuse)?;
    if call.op == Op::Conv2dF {
        order(call.words.algorithm, w).map_err(|text| site.trap(TrapKind::Shape, text))?;
    }
    let [_, _, _, _, zx, zy, ..] = call.numbers.map(|n| n as i32);
    let Workspace {
        body: scratch,
        codes,
        bytes,
        ints,
        floats,
        out_floats,
        out_ints,
        out_codes,
        out_bytes,
        ..
    } = work;
    let [xs, scales, biases] = floats;
    let find = |i| Operand::find(launch, site, call, (i, weights));
    let (y, x) = (find(0)?, find(1)?);
    let relu = call.words.activation == Activation::Relu;
    let input = match x.view.elem() {
        Type::I8 => x.rows::<i8>(codes).map(|r| {
            let zero = i8::try_from(zx).map_err(|_| ConvError::ZeroPoint { zero: zx, kind: "i8" });
            zero.map(|zero| ConvInput::I8 { data: r.row(0), zero })
        }),
        Type::U8 => x.rows::<u8>(bytes).map(|r| {
            let zero = u8::try_from(zx).map_err(|_| ConvError::ZeroPoint { zero: zx, kind: "u8" });
            zero.map(|zero| ConvInput::U8 { data: r.row(0), zero })
        }),
        _ => x.rows::<f32>(xs).map(|r| match zx {
            0 => Ok(ConvInput::F32(r.row(0))),
            zero => Err(ConvError::ZeroPoint { zero, kind: "zero point of f32 input, which is 0" }),
        }),
    };
    let Some(input) = input else { return Ok(()) };
    let input = input.map_err(refuse)?;
    let mut compute = |output: ConvOutput<'_>| match body {
        Body::Reference => conv::reference::conv2d(w, input, output, part),
        Body::Tier(tier) => conv::conv2d(tier, w, input, output, part, scratch),
    };
    let at = (site, body);
    let done = if call.op == Op::Conv2dSum {
        y.fill(launch, at, out_ints, |tile| compute(ConvOutput::Sums(tile)))
    } else {
        let (scale, bias) = (find(2)?, find(3)?);
        let Some(scales) = scale.rows::<f32>(scales) else { return Ok(()) };
        let scales = scales.row(0);
        if call.op == Op::Conv2dF {
            let Some(bias) = bias.rows::<f32>(biases) else { return Ok(()) };
            let (scales, bias) = (Some(scales), Some(bias.row(0)));
            y.fill(launch, at, out_floats, |tile| compute(ConvOutput::F32 { tile, scales, bias, relu }))
        } else {
            let Some(bias) = bias.rows::<i32>(ints) else { return Ok(()) };
            let r = Requantise { scales, bias: Some(bias.row(0)), zero: zy, relu };
            if y.view.elem() == Type::U8 {
                y.fill(launch, at, out_bytes, |tile: Tile<'_, u8>| compute(ConvOutput::U8(tile, r)))
            } else {
                y.fill(launch, at, out_codes, |tile: Tile<'_, i8>| compute(ConvOutput::I8(tile, r)))
            }
        }
    };
    match done {
        Some(Err(e)) => Err(refuse(e)),
        _ => Ok(()),
    }
}
