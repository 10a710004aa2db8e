//! What convolutions take beside input, weights and output.

use super::*;

/// Bytes of input, packed weights and output together, and of working memory at the best level.
fn taken(text: &str, format: PackedFormat) -> (usize, usize) {
    let conv = Conv::new(text.parse().unwrap()).unwrap();
    let float = format == PackedFormat::F32;
    let weights = match float {
        true => ConvWeights::floats(&conv, &vec![1.0; conv.weights_len()]),
        false => ConvWeights::integers(&conv, format, &vec![1; conv.weights_len()]),
    };
    let weights = weights.unwrap();
    let (ones, zeros) = (vec![1.0; weights.filters()], vec![0; weights.filters()]);
    let after = After { scales: &ones, bias: &zeros, ..NOTHING };
    let mut scratch = Scratch::new();
    if float {
        let x = vec![1.0; conv.image_len()];
        whole::<f32>(Some(Tier::best()), &weights, ConvInput::F32(&x), after, &mut scratch);
    } else {
        let x = ConvInput::I8 { data: &vec![1; conv.image_len()], zero: 0 };
        whole::<u8>(Some(Tier::best()), &weights, x, after, &mut scratch);
    }
    let element = if float { 4 } else { 1 };
    (element * (conv.image_len() + conv.output_len()) + weights.bytes(), scratch.bytes())
}

const LAYERS: [&str; 10] = [
    "224x224 3->64 7x7 s2 p3",
    "56x56 64->64 3x3 p1",
    "28x28 128->128 3x3 p1",
    "14x14 256->256 3x3 p1",
    "7x7 512->512 3x3 p1",
    "56x56 256->64 1x1",
    "7x7 512->2048 1x1",
    "112x112 32->32 3x3 p1 g32",
    "112x112 64->64 3x3 s2 p1 g64",
    "14x14 512->512 3x3 p1 g512",
];

#[test]
fn codes_take_a_tenth_more_and_ternary_filters_a_panel() {
    for text in LAYERS {
        let (least, working) = taken(text, PackedFormat::I8);
        assert!(working <= least / 10, "{text}: {working} beside {least}");
        let (least, working) = taken(text, PackedFormat::T2);
        assert!(working <= least / 10 + (320 << 10), "{text}: {working} beside {least}");
    }
}

#[test]
fn nothing_but_spectra_takes_twice_as_much() {
    for text in LAYERS {
        for algorithm in [None, Some(Algorithm::Direct), Some(Algorithm::Im2col), Some(Algorithm::Winograd)] {
            let shape = ConvShape { algorithm, ..text.parse().unwrap() };
            if Conv::new(shape).is_err() {
                continue;
            }
            for format in [PackedFormat::I8, PackedFormat::F32] {
                if format == PackedFormat::I8 && algorithm == Some(Algorithm::Winograd) {
                    continue;
                }
                let (least, working) = taken(&shape.to_string(), format);
                assert!(working <= least, "{shape} {format}: {working} beside {least}");
            }
        }
    }
    let (least, working) = taken("28x28 16->16 11x11 p5", PackedFormat::F32);
    assert!(working > 0 && working < least, "spectra say what they take: {working} beside {least}");
}
