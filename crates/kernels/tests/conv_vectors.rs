//! Convolution against values that PyTorch computed (`conv_vectors.py` wrote them), at every level of this machine.

use phalanx_kernels::conv::*;
use phalanx_kernels::{PackedFormat, Scratch, Tile};
use phalanx_simd::Tier;

/// Takes `n` elements of 1 or 4 bytes off the front.
fn take<'a>(data: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (front, rest) = data.split_at(n);
    *data = rest;
    front
}

fn ints(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

/// From `[channel][pixel]` to the shape's order, and back.
fn ordered<T: Copy>(order: ImageOrder, channels: usize, data: &[T], back: bool) -> Vec<T> {
    let pixels = data.len() / channels;
    let at = |i: usize| match (order, back) {
        (ImageOrder::Nchw, _) => i,
        (ImageOrder::Nhwc, false) => i % channels * pixels + i / channels,
        (ImageOrder::Nhwc, true) => i % pixels * channels + i / pixels,
    };
    (0..data.len()).map(|i| data[at(i)]).collect()
}

#[test]
fn values_of_pytorch() {
    let all = include_bytes!("data/conv_vectors.bin");
    let mut data = &all[..];
    let (mut cases, mut used) = (0, 0);
    while !data.is_empty() {
        let line = data.iter().position(|b| *b == b'\n').unwrap();
        let text = std::str::from_utf8(take(&mut data, line)).unwrap();
        take(&mut data, 1);
        let shape: ConvShape = text.parse().unwrap();
        let conv = Conv::new(shape).unwrap();
        let order = shape.order;
        let x: Vec<i8> = take(&mut data, conv.image_len()).iter().map(|b| *b as i8).collect();
        let w: Vec<i8> = take(&mut data, conv.weights_len()).iter().map(|b| *b as i8).collect();
        let y = ints(take(&mut data, 4 * conv.output_len()));
        let floats = |bytes| ints(bytes).into_iter().map(|v| f32::from_bits(v as u32)).collect::<Vec<f32>>();
        let xf = floats(take(&mut data, 4 * conv.image_len()));
        let yf = floats(take(&mut data, 4 * conv.output_len()));
        let x = ordered(order, shape.in_channels, &x, false);
        let xf = ordered(order, shape.in_channels, &xf, false);
        let weights = ConvWeights::integers(&conv, PackedFormat::I8, &w).unwrap();
        let wide: Vec<f32> = w.iter().map(|w| f32::from(*w)).collect();
        let by = |algorithm| Conv::new(ConvShape { algorithm: Some(algorithm), ..shape });
        let by_all = Algorithm::ALL.into_iter().filter_map(|a| by(a).ok());
        let of_floats: Vec<_> = by_all.map(|conv| ConvWeights::floats(&conv, &wide).unwrap()).collect();
        used += of_floats.len();
        let part = ConvPart::whole(&conv);
        let (rows, cols, stride) = part.tile(&conv);
        let largest = yf.iter().fold(0f32, |m, v| m.max(v.abs()));
        for tier in Tier::available() {
            let mut scratch = Scratch::new();
            let mut found = vec![0i32; y.len()];
            let tile = Tile::new(&mut found, rows, cols, stride).unwrap();
            let input = ConvInput::I8 { data: &x, zero: 0 };
            conv2d(tier, &weights, input, ConvOutput::Sums(tile), part, &mut scratch).unwrap();
            assert_eq!(ordered(order, shape.out_channels, &found, true), y, "{text}, {tier}");
            for weights in of_floats.iter().chain([&weights]) {
                let mut found = vec![0f32; y.len()];
                let tile = Tile::new(&mut found, rows, cols, stride).unwrap();
                let output = ConvOutput::F32 { tile, scales: None, bias: None, relu: false };
                conv2d(tier, weights, ConvInput::F32(&xf), output, part, &mut scratch).unwrap();
                let found = ordered(order, shape.out_channels, &found, true);
                let off = found.iter().zip(&yf).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                let within = if weights.algorithm().order() == Algorithm::Direct { 1e-5 } else { 1e-3 };
                let by = weights.algorithm();
                assert!(off <= within * largest, "{text}, {tier}, {by}: off by {off} of {largest}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 40);
    assert!(used > 3 * cases, "most algorithms do most shapes: {used}");
}
