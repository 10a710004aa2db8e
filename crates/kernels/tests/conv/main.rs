//! Convolution against seven nested loops: random shapes, every kind of input, weights and output, every level of this machine.

use phalanx_kernels::conv::*;
use phalanx_kernels::{PackedFormat, Scratch, Tile};
use phalanx_simd::Tier;
use proptest::prelude::*;

mod algorithms;
mod edges;
mod memory;

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

prop_compose! {
    fn shapes()(
        order in prop_oneof![Just(ImageOrder::Nhwc), Just(ImageOrder::Nchw)],
        input in [1usize..14, 1usize..14],
        kernel in prop_oneof![Just([1, 1]), Just([3, 3]), [1usize..6, 1usize..6], [1usize..12, 1usize..12]],
        stride in [1usize..4, 1usize..4],
        pad in [0usize..5, 0usize..5, 0usize..5, 0usize..5],
        dilation in [1usize..4, 1usize..4],
        groups in prop_oneof![4 => Just(1usize), 1 => 2usize..5],
        per_group in (1usize..20, 1usize..40),
        depthwise in prop_oneof![3 => Just(0usize), 1 => 2usize..40],
        wide in prop_oneof![3 => Just(0usize), 1 => Just(64usize)],
    ) -> ConvShape {
        let (groups, ic, oc) =
            if depthwise > 0 { (depthwise, 1, 1) } else { (groups, per_group.0, per_group.1 + wide) };
        ConvShape {
            order, input, in_channels: groups * ic, out_channels: groups * oc, kernel, stride, pad, dilation, groups,
            algorithm: None,
        }
    }
}

/// Values at the ends of their range, or all over it.
fn code(kind: u64, random: u64) -> i8 {
    match kind % 4 {
        0 => 127,
        1 => -128,
        _ => random as i8,
    }
}

fn ternary(kind: u64, random: u64) -> i8 {
    match kind % 4 {
        0 => 1,
        1 => -1,
        _ => (random % 3) as i8 - 1,
    }
}

fn requantised(sum: i32, bias: i32, scale: f32, zero: i32, relu: bool, low: i32, high: i32) -> i32 {
    let v = (sum + bias) as f32 * scale;
    let v = if relu && v < 0.0 { 0.0 } else { v };
    (f64::from(v).round_ties_even() as i64 + i64::from(zero)).clamp(low.into(), high.into()) as i32
}

/// What a convolution is given beside its filters.
#[derive(Clone, Copy)]
struct After<'a> {
    scales: &'a [f32],
    bias: &'a [i32],
    values: &'a [f32],
    relu: bool,
}

/// A type of output.
trait Kind: Copy + Default {
    fn output<'a>(tile: Tile<'a, Self>, after: After<'a>) -> ConvOutput<'a>;
}
impl Kind for i32 {
    fn output<'a>(tile: Tile<'a, i32>, _: After<'a>) -> ConvOutput<'a> {
        ConvOutput::Sums(tile)
    }
}
impl Kind for f32 {
    fn output<'a>(tile: Tile<'a, f32>, after: After<'a>) -> ConvOutput<'a> {
        let some = |v: &'a [f32]| (!v.is_empty()).then_some(v);
        ConvOutput::F32 { tile, scales: some(after.scales), bias: some(after.values), relu: after.relu }
    }
}
fn requantise(after: After<'_>) -> Requantise<'_> {
    Requantise { scales: after.scales, bias: Some(after.bias), zero: 3, relu: after.relu }
}
impl Kind for i8 {
    fn output<'a>(tile: Tile<'a, i8>, after: After<'a>) -> ConvOutput<'a> {
        ConvOutput::I8(tile, requantise(after))
    }
}
impl Kind for u8 {
    fn output<'a>(tile: Tile<'a, u8>, after: After<'a>) -> ConvOutput<'a> {
        ConvOutput::U8(tile, requantise(after))
    }
}

/// The whole output, at a level or by the reference.
fn whole<T: Kind>(
    tier: Option<Tier>,
    weights: &ConvWeights,
    input: ConvInput<'_>,
    after: After<'_>,
    scratch: &mut Scratch,
) -> Vec<T> {
    let conv = weights.conv();
    let mut out = vec![T::default(); conv.output_len()];
    let part = ConvPart::whole(conv);
    let (rows, cols, stride) = part.tile(conv);
    let output = T::output(Tile::new(&mut out, rows, cols, stride).unwrap(), after);
    match tier {
        Some(tier) => conv2d(tier, weights, input, output, part, scratch).unwrap(),
        None => reference::conv2d(weights, input, output, part).unwrap(),
    }
    out
}

const NOTHING: After<'_> = After { scales: &[], bias: &[], values: &[], relu: false };

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn integers_are_exact_on_every_level(shape in shapes(), seed: u64, kinds: (u64, u64), zero: i8, relu: bool) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let signed: Vec<i8> = (0..conv.image_len()).map(|_| code(kinds.0, next())).collect();
        let unsigned: Vec<u8> = signed.iter().map(|v| (*v as u8) ^ 0x80).collect();
        let channels = shape.out_channels;
        let scales: Vec<f32> = (0..channels).map(|_| (next() % 1000) as f32 / 3e6).collect();
        let bias: Vec<i32> = (0..channels).map(|_| (next() % 20_000) as i32 - 10_000).collect();
        let values: Vec<f32> = bias.iter().map(|b| *b as f32 / 7.0).collect();
        let after = After { scales: &scales, bias: &bias, values: &values, relu };
        let of = |i: usize| match shape.order {
            ImageOrder::Nhwc => i % channels,
            ImageOrder::Nchw => i / conv.pixels(),
        };
        for format in [PackedFormat::T2, PackedFormat::I8] {
            let pick = |random| if format == PackedFormat::T2 { ternary(kinds.1, random) } else { code(kinds.1, random) };
            let w: Vec<i8> = (0..conv.weights_len()).map(|_| pick(next())).collect();
            let weights = ConvWeights::integers(&conv, format, &w).unwrap();
            let zero_u = (zero as u8) ^ 0x80;
            let i8s = ConvInput::I8 { data: &signed, zero };
            let u8s = ConvInput::U8 { data: &unsigned, zero: zero_u };
            let mut scratch = Scratch::new();
            let expected: Vec<i32> = whole(None, &weights, i8s, after, &mut scratch);
            prop_assert_eq!(&expected, &whole(None, &weights, u8s, after, &mut scratch));
            for tier in Tier::available().into_iter().map(Some).chain([None]) {
                for input in [i8s, u8s] {
                    let sums: Vec<i32> = whole(tier, &weights, input, after, &mut scratch);
                    prop_assert_eq!(&expected, &sums, "{:?} {} {:?}", tier, format, shape);
                }
                for (i, v) in whole::<i8>(tier, &weights, i8s, after, &mut scratch).iter().enumerate() {
                    let e = requantised(expected[i], bias[of(i)], scales[of(i)], 3, relu, -128, 127);
                    prop_assert_eq!(i32::from(*v), e, "{:?} {}", tier, i);
                }
                for (i, v) in whole::<u8>(tier, &weights, i8s, after, &mut scratch).iter().enumerate() {
                    let e = requantised(expected[i], bias[of(i)], scales[of(i)], 3, relu, 0, 255);
                    prop_assert_eq!(i32::from(*v), e, "{:?} {}", tier, i);
                }
                for (i, v) in whole::<f32>(tier, &weights, u8s, after, &mut scratch).iter().enumerate() {
                    let e = expected[i] as f32 * scales[of(i)] + values[of(i)];
                    let e = if relu && e < 0.0 { 0.0 } else { e };
                    prop_assert_eq!(v.to_bits(), e.to_bits(), "{:?} {}", tier, i);
                }
            }
        }
    }

    #[test]
    fn floats_have_one_order_on_every_level(shape in shapes(), seed: u64, relu: bool) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let mut float = || (next() as i32 as f32) / 1e9;
        let input: Vec<f32> = (0..conv.image_len()).map(|_| float()).collect();
        let w: Vec<f32> = (0..conv.weights_len()).map(|_| float()).collect();
        let ints: Vec<i8> = w.iter().map(|v| (v * 59.0) as i8).collect();
        let scales: Vec<f32> = (0..shape.out_channels).map(|_| float()).collect();
        let signs: Vec<i8> = ints.iter().map(|v| v.signum()).collect();
        let all = [
            ConvWeights::floats(&conv, &w).unwrap(),
            ConvWeights::integers(&conv, PackedFormat::I8, &ints).unwrap(),
            ConvWeights::integers(&conv, PackedFormat::T2, &signs).unwrap(),
        ];
        let mut scratch = Scratch::new();
        for weights in all {
            for after in [NOTHING, After { scales: &scales, relu, ..NOTHING }] {
                let input = ConvInput::F32(&input);
                let expected = bits(&whole(None, &weights, input, after, &mut scratch));
                for tier in Tier::available() {
                    let found = bits(&whole(Some(tier), &weights, input, after, &mut scratch));
                    prop_assert_eq!(&found, &expected, "{} {:?} {:?}", tier, weights, shape);
                }
            }
        }
    }

    #[test]
    fn parts_make_the_whole(shape in shapes(), seed: u64, cut: (u8, u8), plain: bool) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let input: Vec<i8> = (0..conv.image_len()).map(|_| next() as i8).collect();
        let w: Vec<i8> = (0..conv.weights_len()).map(|_| next() as i8).collect();
        let weights = ConvWeights::integers(&conv, PackedFormat::I8, &w).unwrap();
        let input = ConvInput::I8 { data: &input, zero: 5 };
        let mut scratch = Scratch::new();
        let tier = Tier::best();
        let expected: Vec<i32> = whole(Some(tier), &weights, input, NOTHING, &mut scratch);
        let mut parts = vec![0; conv.output_len()];
        let unit = conv.channel_unit();
        let row = usize::from(cut.0) % (conv.output()[0] + 1);
        let channel = (usize::from(cut.1) % (shape.out_channels / unit + 1) * unit).min(shape.out_channels);
        for rows in [(row, conv.output()[0]), (0, row)] {
            for channels in [(0, channel), (channel, shape.out_channels)] {
                let part = ConvPart { rows, channels };
                let (n, cols, stride) = part.tile(&conv);
                let first = match shape.order {
                    ImageOrder::Nhwc => rows.0 * conv.output()[1] * shape.out_channels + channels.0,
                    ImageOrder::Nchw => channels.0 * conv.pixels() + rows.0 * conv.output()[1],
                };
                let first = first.min(parts.len());
                let tile = Tile::new(&mut parts[first..], n, cols, stride);
                // A part without elements may have rows that lie nowhere.
                let Ok(tile) = tile else {
                    prop_assert!(n * cols == 0);
                    continue;
                };
                let output = ConvOutput::Sums(tile);
                match plain {
                    false => conv2d(tier, &weights, input, output, part, &mut scratch).unwrap(),
                    true => reference::conv2d(&weights, input, output, part).unwrap(),
                }
            }
        }
        prop_assert_eq!(expected, parts);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let conv = Conv::new(ConvShape::square(5, 3, 70, 3)).unwrap();
    let weights = ConvWeights::integers(&conv, PackedFormat::I8, &vec![1; conv.weights_len()]).unwrap();
    let floats = ConvWeights::floats(&conv, &vec![1.0; conv.weights_len()]).unwrap();
    let data = vec![1i8; conv.image_len()];
    let input = ConvInput::I8 { data: &data, zero: 0 };
    let whole = ConvPart::whole(&conv);
    fn run(
        tier: Option<Tier>,
        w: &ConvWeights,
        x: ConvInput<'_>,
        y: ConvOutput<'_>,
        part: ConvPart,
    ) -> String {
        let found = match tier {
            Some(tier) => conv2d(tier, w, x, y, part, &mut Scratch::new()),
            None => reference::conv2d(w, x, y, part),
        };
        found.unwrap_err().to_string()
    }
    for tier in [Some(Tier::Scalar), None] {
        let error = |weights: &ConvWeights, input, part| {
            let mut out = vec![0; conv.output_len()];
            let tile = Tile::new(&mut out, 9, 70, 70).unwrap();
            run(tier, weights, input, ConvOutput::Sums(tile), part)
        };
        assert_eq!(error(&floats, input, whole), "i8 input is not convolved with f32 weights to exact sums");
        assert_eq!(
            error(&weights, ConvInput::F32(&[]), whole),
            "f32 input is not convolved with i8 weights to exact sums"
        );
        let short = ConvInput::I8 { data: &data[1..], zero: 0 };
        assert_eq!(error(&weights, short, whole), "the image: 74 elements, not 75");
        for part in [
            ConvPart { rows: (0, 4), ..whole },
            ConvPart { channels: (3, 70), ..whole },
            ConvPart { channels: (64, 71), ..whole },
        ] {
            assert!(error(&weights, input, part).contains("is no part of"));
        }
        assert_eq!(
            error(&weights, input, ConvPart { rows: (0, 2), ..whole }),
            "the output: 630 elements, not 420"
        );
        let mut out = vec![0u8; conv.output_len()];
        let mut requantised = |scales: &[f32], bias: Option<&[i32]>, zero| {
            let tile = Tile::new(&mut out, 9, 70, 70).unwrap();
            run(
                tier,
                &weights,
                input,
                ConvOutput::U8(tile, Requantise { scales, bias, zero, relu: false }),
                whole,
            )
        };
        assert_eq!(requantised(&[1.0; 70], None, -1), "the zero point -1 is no u8");
        assert_eq!(requantised(&[1.0; 69], None, 0), "the list of scales: 69 elements, not 70");
        assert_eq!(requantised(&[1.0; 70], Some(&[1; 7]), 0), "the bias: 7 elements, not 70");
    }
    let absent = Tier::ALL.iter().copied().find(|t| !t.is_available()).unwrap();
    let mut out = vec![0; conv.output_len()];
    let output = ConvOutput::Sums(Tile::new(&mut out, 9, 70, 70).unwrap());
    assert!(run(Some(absent), &weights, input, output, whole).contains(absent.name()));
    let e = ConvWeights::integers(&conv, PackedFormat::T2, &vec![2; conv.weights_len()]).unwrap_err();
    assert!(e.to_string().contains("t2 holds -1 to 1"), "{e}");
    let e = ConvWeights::integers(&conv, PackedFormat::T3, &[]).unwrap_err();
    assert!(e.to_string().contains("filters of 8-bit integers"), "{e}");
    let e = ConvWeights::floats(&conv, &[0.0]).unwrap_err().to_string();
    assert_eq!(e, "the weights: 1 elements, not 1890");
}
