//! Algorithms other than the one that a shape is given by itself: the same bits at every level, by the reference and in parts, and
//! those or nearly those of the definition.

use super::*;

/// One that can be asked for with such a shape.
fn asked(algorithm: Algorithm, shape: ConvShape) -> ConvShape {
    let shape = ConvShape { algorithm: Some(algorithm), ..shape };
    match algorithm {
        Algorithm::Winograd => {
            ConvShape { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], groups: 1, ..shape }
        }
        _ => shape,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn of_floats(shape in shapes(), seed: u64, cut: u8, which in 0usize..4, relu: bool) {
        let algorithm = [Algorithm::Im2col, Algorithm::Winograd, Algorithm::Fft, Algorithm::Direct][which];
        let shape = asked(algorithm, shape);
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let plain = Conv::new(ConvShape { algorithm: Some(Algorithm::Direct), ..shape }).unwrap();
        let mut next = random(seed);
        let mut float = || (next() as i32 as f32) / 1e9;
        let input: Vec<f32> = (0..conv.image_len()).map(|_| float()).collect();
        let w: Vec<f32> = (0..conv.weights_len()).map(|_| float()).collect();
        let scales: Vec<f32> = (0..shape.out_channels).map(|_| float()).collect();
        let after = After { scales: &scales, relu, ..NOTHING };
        let x = ConvInput::F32(&input);
        let weights = ConvWeights::floats(&conv, &w).unwrap();
        prop_assert_eq!(weights.algorithm(), algorithm);
        let mut scratch = Scratch::new();
        let by_definition: Vec<f32> = whole(None, &ConvWeights::floats(&plain, &w).unwrap(), x, after, &mut scratch);
        let expected: Vec<f32> = whole(None, &weights, x, after, &mut scratch);
        let magnitude = |v: &[f32]| v.iter().fold(0f32, |m, v| m.max(v.abs()));
        // A spectrum mixes all outputs: where all of them are sums of next to nothing, it is as good as a product is exact.
        let least = 0.01 * magnitude(&input) * magnitude(&w) * magnitude(&scales);
        let largest = magnitude(&by_definition).max(least);
        for (a, b) in by_definition.iter().zip(&expected) {
            prop_assert!((a - b).abs() <= 1e-3 * largest, "{} {}: {} {}", algorithm, shape, a, b);
        }
        if algorithm.order() == Algorithm::Direct {
            prop_assert_eq!(bits(&by_definition), bits(&expected));
        }
        for tier in Tier::available() {
            let found: Vec<f32> = whole(Some(tier), &weights, x, after, &mut scratch);
            prop_assert_eq!(bits(&found), bits(&expected), "{} {} {}", algorithm, tier, shape);
        }
        let rows = conv.output()[0];
        let row = usize::from(cut) % (rows + 1);
        let unit = conv.channel_unit();
        let channel = (usize::from(cut) % (shape.out_channels / unit + 1) * unit).min(shape.out_channels);
        let mut parts = vec![0f32; conv.output_len()];
        for channels in [(0, channel), (channel, shape.out_channels)] {
            // Spectra are of all rows.
            let cuts = if algorithm == Algorithm::Fft { [(0, rows), (rows, rows)] } else { [(0, row), (row, rows)] };
            for rows in cuts {
                let part = ConvPart { rows, channels };
                let (n, cols, stride) = part.tile(&conv);
                if n * cols == 0 {
                    continue;
                }
                let first = match shape.order {
                    ImageOrder::Nhwc => rows.0 * conv.output()[1] * shape.out_channels + channels.0,
                    ImageOrder::Nchw => channels.0 * conv.pixels() + rows.0 * conv.output()[1],
                };
                let tile = Tile::new(&mut parts[first..], n, cols, stride).unwrap();
                let output = ConvOutput::F32 { tile, scales: Some(&scales), bias: None, relu };
                conv2d(Tier::best(), &weights, x, output, part, &mut scratch).unwrap();
            }
        }
        prop_assert_eq!(bits(&parts), bits(&expected));
    }

    #[test]
    fn of_integers(shape in shapes(), seed: u64, zero: i8, direct: bool) {
        let algorithm = if direct { Algorithm::Direct } else { Algorithm::Im2col };
        let shape = asked(algorithm, shape);
        let Ok(conv) = Conv::new(shape) else { return Ok(()) };
        let plain = Conv::new(ConvShape { algorithm: None, ..shape }).unwrap();
        let mut next = random(seed);
        let codes: Vec<u8> = (0..conv.image_len()).map(|_| next() as u8).collect();
        let floats: Vec<f32> = codes.iter().map(|c| f32::from(*c) / 3.0).collect();
        let signed: Vec<i8> = codes.iter().map(|c| *c as i8).collect();
        for format in [PackedFormat::T2, PackedFormat::I8] {
            let high = if format == PackedFormat::I8 { 127 } else { 1 };
            let w: Vec<i8> = (0..conv.weights_len()).map(|_| ternary(2, next()) * high).collect();
            let weights = ConvWeights::integers(&conv, format, &w).unwrap();
            let mut scratch = Scratch::new();
            let other = ConvWeights::integers(&plain, format, &w).unwrap();
            for x in [ConvInput::U8 { data: &codes, zero: zero as u8 }, ConvInput::I8 { data: &signed, zero }] {
                let expected: Vec<i32> = whole(None, &other, x, NOTHING, &mut scratch);
                for tier in Tier::available() {
                    let found: Vec<i32> = whole(Some(tier), &weights, x, NOTHING, &mut scratch);
                    prop_assert_eq!(&found, &expected, "{} {}", tier, shape);
                }
            }
            let x = ConvInput::F32(&floats);
            let expected: Vec<f32> = whole(None, &other, x, NOTHING, &mut scratch);
            for tier in Tier::available() {
                let found: Vec<f32> = whole(Some(tier), &weights, x, NOTHING, &mut scratch);
                prop_assert_eq!(bits(&found), bits(&expected), "{} {}", tier, shape);
            }
        }
    }
}

#[test]
fn the_algorithm_follows_from_the_shape_or_the_caller() {
    let conv = |text: &str| Conv::new(text.parse().unwrap()).unwrap();
    let pick = |text: &str, float| conv(text).algorithm(float).unwrap().algorithm;
    for (text, float, expected) in [
        ("8x8 4->4 3x3 p1 g4", false, Algorithm::Depthwise),
        ("8x8 4->4 3x3 p1 g4", true, Algorithm::Depthwise),
        ("64x64 64->64 31x31 p15", true, Algorithm::Fft),
        ("64x64 64->64 31x31 p15", false, Algorithm::Direct),
        ("8x8 4->4 3x3 p1", true, Algorithm::Direct),
        ("8x8 4->9 1x1", true, Algorithm::Direct),
        ("28x28 128->128 3x3 p1", true, Algorithm::Winograd),
        ("28x28 128->128 3x3 p1", false, Algorithm::Direct),
        ("28x28 128->128 3x3 s2 p1", true, Algorithm::Direct),
        ("28x28 128->128 3x3 p1 direct", true, Algorithm::Direct),
        ("28x28 128->128 3x3 p1 im2col", false, Algorithm::Im2col),
    ] {
        assert_eq!(pick(text, float), expected, "{text}");
    }
    let refused = |text: &str| Conv::new(text.parse().unwrap()).unwrap_err().to_string();
    assert!(
        refused("8x8 4->4 3x3 s2 winograd").contains("3x3 filters of stride and dilation 1 in one group")
    );
    assert!(refused("8x8 4->4 3x3 depthwise").contains("one input and one output channel"));
    for rounds in [Algorithm::Winograd, Algorithm::Fft] {
        let conv = conv(&format!("8x8 4->4 3x3 {rounds}"));
        let e = ConvWeights::integers(&conv, PackedFormat::I8, &[0; 144]).unwrap_err().to_string();
        assert_eq!(
            e,
            format!(
                "the algorithm {rounds} is not exact, and integers are summed exactly: it is for f32 weights"
            )
        );
    }
    assert!("what".parse::<Algorithm>().unwrap_err().contains("winograd"));
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
    }
}

#[test]
fn spectra_of_too_much_are_refused_before_anything_is_allocated() {
    for text in ["70000x70000 1->1 3x3 fft", "60000x60000 100000000->1 3x3 fft"] {
        let conv = Conv::new(text.parse().unwrap()).unwrap();
        let weights = vec![0.0; conv.weights_len().min(9)];
        let e = ConvWeights::floats(&conv, &weights).unwrap_err().to_string();
        assert!(e.contains("exceeds") || e.contains("weights"), "{text}: {e}");
    }
}
