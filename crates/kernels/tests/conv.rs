//! Convolution against seven nested loops: random shapes, every kind of input, weights and output, every level of this machine.

use phalanx_kernels::conv::*;
use phalanx_kernels::{PackedFormat, Scratch};
use phalanx_simd::Tier;
use proptest::prelude::*;

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
        batch in 0usize..3,
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
            order, batch, input, in_channels: groups * ic, out_channels: groups * oc, kernel, stride, pad, dilation, groups,
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn integers_are_exact_on_every_level(shape in shapes(), seed: u64, kinds: (u64, u64), zero: i8, relu: bool) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let signed: Vec<i8> = (0..conv.input_len()).map(|_| code(kinds.0, next())).collect();
        let unsigned: Vec<u8> = signed.iter().map(|v| (*v as u8) ^ 0x80).collect();
        let channels = shape.out_channels;
        let scales: Vec<f32> = (0..channels).map(|_| (next() % 1000) as f32 / 3e6).collect();
        let bias: Vec<i32> = (0..channels).map(|_| (next() % 20_000) as i32 - 10_000).collect();
        let values: Vec<f32> = bias.iter().map(|b| *b as f32 / 7.0).collect();
        let of = |i: usize| match shape.order {
            ImageOrder::Nhwc => i % channels,
            ImageOrder::Nchw => i / (conv.output()[0] * conv.output()[1]) % channels,
        };
        for format in [PackedFormat::T2, PackedFormat::I8] {
            let pick = |random| if format == PackedFormat::T2 { ternary(kinds.1, random) } else { code(kinds.1, random) };
            let w: Vec<i8> = (0..conv.weights_len()).map(|_| pick(next())).collect();
            let weights = ConvWeights::integers(&conv, format, &w, &scales).unwrap();
            let zero_u = (zero as u8) ^ 0x80;
            let i8s = ConvInput::I8 { data: &signed, zero };
            let u8s = ConvInput::U8 { data: &unsigned, zero: zero_u };
            let expected = reference::sums(&conv, &weights, i8s);
            prop_assert_eq!(&expected, &reference::sums(&conv, &weights, u8s));
            for tier in Tier::available() {
                let mut scratch = Scratch::new();
                for input in [i8s, u8s] {
                    let mut sums = vec![7; conv.output_len()];
                    let out = &mut ConvOutput::Sums(Image::new(&mut sums));
                    conv2d_whole(tier, &conv, &weights, input, out, &mut scratch).unwrap();
                    prop_assert_eq!(&expected, &sums, "{} {} {:?}", tier, format, shape);
                }
                let requantise = Requantise { scales: &scales, bias: Some(&bias), zero: 3, relu };
                let mut codes = vec![0i8; conv.output_len()];
                let out = &mut ConvOutput::I8(Image::new(&mut codes), requantise);
                conv2d_whole(tier, &conv, &weights, i8s, out, &mut scratch).unwrap();
                for (i, v) in codes.iter().enumerate() {
                    let e = requantised(expected[i], bias[of(i)], scales[of(i)], 3, relu, -128, 127);
                    prop_assert_eq!(i32::from(*v), e, "{} {}", tier, i);
                }
                let mut codes = vec![0u8; conv.output_len()];
                let out = &mut ConvOutput::U8(Image::new(&mut codes), requantise);
                conv2d_whole(tier, &conv, &weights, i8s, out, &mut scratch).unwrap();
                for (i, v) in codes.iter().enumerate() {
                    let e = requantised(expected[i], bias[of(i)], scales[of(i)], 3, relu, 0, 255);
                    prop_assert_eq!(i32::from(*v), e, "{} {}", tier, i);
                }
                let mut floats = vec![0f32; conv.output_len()];
                let image = Image::new(&mut floats);
                let out = &mut ConvOutput::F32 { image, scale: 0.25, bias: Some(&values), relu };
                conv2d_whole(tier, &conv, &weights, u8s, out, &mut scratch).unwrap();
                for (i, v) in floats.iter().enumerate() {
                    let e = expected[i] as f32 * 0.25 * scales[of(i)] + values[of(i)];
                    let e = if relu && e < 0.0 { 0.0 } else { e };
                    prop_assert_eq!(v.to_bits(), e.to_bits(), "{} {}", tier, i);
                }
            }
        }
    }

    #[test]
    fn floats_have_one_order_on_every_level(shape in shapes(), seed: u64) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let mut float = || (next() as i32 as f32) / 1e9;
        let input: Vec<f32> = (0..conv.input_len()).map(|_| float()).collect();
        let w: Vec<f32> = (0..conv.weights_len()).map(|_| float()).collect();
        let ints: Vec<i8> = w.iter().map(|v| (v * 59.0) as i8).collect();
        let scales: Vec<f32> = (0..shape.out_channels).map(|_| float()).collect();
        let all = [
            ConvWeights::floats(&conv, &w).unwrap(),
            ConvWeights::integers(&conv, PackedFormat::I8, &ints, &scales).unwrap(),
            ConvWeights::integers(&conv, PackedFormat::T2, &ints.iter().map(|v| v.signum()).collect::<Vec<_>>(), &[0.5])
                .unwrap(),
        ];
        for weights in all {
            let expected: Vec<u32> = reference::floats(&conv, &weights, &input).iter().map(|v| v.to_bits()).collect();
            for tier in Tier::available() {
                let mut out = vec![0f32; conv.output_len()];
                let image = Image::new(&mut out);
                let to = &mut ConvOutput::F32 { image, scale: 1.0, bias: None, relu: false };
                conv2d_whole(tier, &conv, &weights, ConvInput::F32(&input), to, &mut Scratch::new()).unwrap();
                let bits: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(&bits, &expected, "{} {:?} {:?}", tier, weights, shape);
            }
        }
    }

    #[test]
    fn parts_make_the_whole(shape in shapes(), seed: u64, cut: (u8, u8)) {
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let mut next = random(seed);
        let input: Vec<i8> = (0..conv.input_len()).map(|_| next() as i8).collect();
        let w: Vec<i8> = (0..conv.weights_len()).map(|_| next() as i8).collect();
        let weights = ConvWeights::integers(&conv, PackedFormat::I8, &w, &[]).unwrap();
        let input = ConvInput::I8 { data: &input, zero: 5 };
        let mut scratch = Scratch::new();
        let tier = Tier::best();
        let mut whole = vec![0; conv.output_len()];
        conv2d_whole(tier, &conv, &weights, input, &mut ConvOutput::Sums(Image::new(&mut whole)), &mut scratch).unwrap();
        let mut parts = vec![0; conv.output_len()];
        {
            let mut out = ConvOutput::Sums(Image::new(&mut parts));
            let unit = conv.channel_unit();
            let row = usize::from(cut.0) % (conv.output()[0] + 1);
            let channel = (usize::from(cut.1) % (shape.out_channels / unit + 1) * unit).min(shape.out_channels);
            for image in (0..shape.batch).rev() {
                for rows in [(row, conv.output()[0]), (0, row)] {
                    for channels in [(0, channel), (channel, shape.out_channels)] {
                        let part = ConvPart { image, rows, channels };
                        conv2d(tier, &conv, &weights, input, &mut out, part, &mut scratch).unwrap();
                    }
                }
            }
        }
        prop_assert_eq!(whole, parts);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let conv = Conv::new(ConvShape::square(5, 3, 70, 3)).unwrap();
    let weights = ConvWeights::integers(&conv, PackedFormat::I8, &vec![1; conv.weights_len()], &[]).unwrap();
    let floats = ConvWeights::floats(&conv, &vec![1.0; conv.weights_len()]).unwrap();
    let data = vec![1i8; conv.input_len()];
    let input = ConvInput::I8 { data: &data, zero: 0 };
    let mut scratch = Scratch::new();
    let mut out = vec![0; conv.output_len()];
    let mut error = |conv: &Conv, weights: &ConvWeights, input, part| {
        let out = &mut ConvOutput::Sums(Image::new(&mut out));
        conv2d(Tier::Scalar, conv, weights, input, out, part, &mut scratch).unwrap_err().to_string()
    };
    let part = ConvPart { image: 0, rows: (0, 3), channels: (0, 70) };
    assert_eq!(
        error(&conv, &floats, input, part),
        "i8 input is not convolved with f32 weights to exact sums"
    );
    assert_eq!(
        error(&conv, &weights, ConvInput::F32(&[]), part),
        "f32 input is not convolved with i8 weights to exact sums"
    );
    let short = ConvInput::I8 { data: &data[1..], zero: 0 };
    assert_eq!(error(&conv, &weights, short, part), "the input has 74 elements, not 75");
    let other = Conv::new(ConvShape::square(5, 3, 70, 1)).unwrap();
    assert_eq!(error(&other, &weights, input, part), "the weights were packed for another shape");
    for part in [
        ConvPart { rows: (0, 4), ..part },
        ConvPart { channels: (3, 70), ..part },
        ConvPart { channels: (64, 71), ..part },
        ConvPart { image: 1, ..part },
    ] {
        assert!(error(&conv, &weights, input, part).contains("is no part of"));
    }
    let absent = Tier::ALL.iter().copied().find(|t| !t.is_available()).unwrap();
    let out = &mut ConvOutput::Sums(Image::new(&mut out));
    let e = conv2d(absent, &conv, &weights, input, out, part, &mut scratch).unwrap_err();
    assert!(e.to_string().contains(absent.name()));
    let e = ConvWeights::integers(&conv, PackedFormat::T2, &vec![2; conv.weights_len()], &[]).unwrap_err();
    assert!(e.to_string().contains("t2 holds -1 to 1"), "{e}");
    let e = ConvWeights::integers(&conv, PackedFormat::T3, &[], &[]).unwrap_err();
    assert!(e.to_string().contains("filters of 8-bit integers"), "{e}");
    let e = ConvWeights::floats(&conv, &[0.0]).unwrap_err().to_string();
    assert_eq!(e, "the weights has 1 elements, not 1890");
}
