//! What random shapes hardly ever meet: many taps, long sums, wide plans, numbers that are none, words.

use super::*;

fn conv(text: &str) -> Conv {
    Conv::new(text.parse().unwrap()).unwrap()
}

/// Every level and the reference agree, of codes at the ends of their range.
fn agree(text: &str, format: PackedFormat) {
    let conv = conv(text);
    let high = if format == PackedFormat::T2 { 1 } else { -128 };
    let w: Vec<i8> = (0..conv.weights_len()).map(|i| if i % 5 == 0 { -1 } else { high }).collect();
    let weights = ConvWeights::integers(&conv, format, &w).unwrap();
    let signed: Vec<i8> = (0..conv.image_len()).map(|i| if i % 7 == 0 { 127 } else { -128 }).collect();
    let unsigned: Vec<u8> = signed.iter().map(|v| *v as u8).collect();
    let mut scratch = Scratch::new();
    for x in [ConvInput::I8 { data: &signed, zero: 3 }, ConvInput::U8 { data: &unsigned, zero: 200 }] {
        let expected: Vec<i32> = whole(None, &weights, x, NOTHING, &mut scratch);
        for tier in Tier::available() {
            let found: Vec<i32> = whole(Some(tier), &weights, x, NOTHING, &mut scratch);
            assert_eq!(found, expected, "{text} {format} {tier}");
        }
    }
}

#[test]
fn long_sums_of_extremes() {
    for format in [PackedFormat::T2, PackedFormat::I8] {
        // More taps than f32 holds exact sums of, and longer runs than 16 bits do.
        agree("3x3 3->3 23x23 p11 g3", format);
        agree("5x5 700->3 3x3 p1", format);
        agree("4x4 5000->2 1x1", format);
    }
}

#[test]
fn no_number_as_a_scale_is_the_lowest_code() {
    let conv = conv("3x3 2->3 2x2");
    let weights = ConvWeights::integers(&conv, PackedFormat::I8, &[3; 24]).unwrap();
    let x = ConvInput::I8 { data: &[5; 18], zero: 0 };
    for relu in [false, true] {
        let after = After { scales: &[f32::NAN, 1.0, f32::INFINITY], bias: &[0; 3], values: &[0.0; 3], relu };
        let mut scratch = Scratch::new();
        let expected: Vec<i8> = whole(None, &weights, x, after, &mut scratch);
        assert_eq!(expected[..3], [if relu { 3 } else { -128 }, 123, 127]);
        for tier in Tier::available() {
            assert_eq!(whole::<i8>(Some(tier), &weights, x, after, &mut scratch), expected, "{tier}");
        }
    }
}

#[test]
fn plans_keep_to_what_an_algorithm_can_divide() {
    for (text, float) in [
        ("40x40 8->200 3x3 p1 winograd", true),
        ("40x40 8->200 5x5 p2 fft", true),
        ("40x40 64->64 3x3 p1 g64", true),
        ("9x900 1->1000 1x1", false),
    ] {
        let conv = conv(text);
        let weights = match float {
            true => ConvWeights::floats(&conv, &vec![0.5; conv.weights_len()]),
            false => ConvWeights::integers(&conv, PackedFormat::I8, &vec![1; conv.weights_len()]),
        };
        let weights = weights.unwrap();
        for threads in [1, 2, 7] {
            let plan = ConvPlan::choose(&weights, 1, threads);
            let rows = conv.output()[0];
            for first in (0..rows).step_by(plan.tile_rows) {
                let rows = (first, (first + plan.tile_rows).min(rows));
                let channels = (0, plan.tile_channels.min(conv.shape().out_channels));
                weights.check_part(&ConvPart { rows, channels }).unwrap();
            }
            assert!(
                weights.algorithm() != Algorithm::Winograd || plan.tile_rows.is_multiple_of(2),
                "{plan:?}"
            );
        }
    }
    let conv = conv("8x8 1->1 3x3 fft");
    let weights = ConvWeights::floats(&conv, &[1.0; 9]).unwrap();
    let e = weights.check_part(&ConvPart { rows: (0, 2), channels: (0, 1) }).unwrap_err().to_string();
    assert_eq!(e, "output rows 0..2 is no part of 6");
    assert_eq!(
        (conv.macs(), format!("{weights:?}")),
        (324, "ConvWeights(f32, 1 filters of 9 taps, 1 channels)".into())
    );
}

#[test]
fn shapes_are_written_as_they_are_read() {
    for text in [
        "32x24 8->16 5x3 s2x1 p1,0,2,2 d2 g4 nchw im2col",
        "56x56 64->128 3x3 s2 p1",
        "7x7 1->1 1x1 d1x2",
        "8x8 4->4 3x3 p1 winograd",
    ] {
        assert_eq!(text.parse::<ConvShape>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "8x8",
        "8x8 4->4",
        "8 4->4 3x3",
        "8x8 4 3x3",
        "8x8 4->4 3x3 q1",
        "8x8 4->4 3x3 p1,2",
        "8x8 4->4 3x3 sx",
    ] {
        let e = text.parse::<ConvShape>().unwrap_err().to_string();
        assert!(e.contains("columns x rows"), "{text}: {e}");
    }
}

#[test]
fn depthwise_filters_are_checked_and_large_ones_become_spectra() {
    let shape = conv("9x9 4->4 7x7 p3 g4");
    assert_eq!(shape.algorithm(true).unwrap().algorithm, Algorithm::Depthwise);
    let large = conv("56x56 96->96 31x31 p15 g96");
    assert_eq!(large.algorithm(true).unwrap().algorithm, Algorithm::Fft);
    assert_eq!(large.algorithm(false).unwrap().algorithm, Algorithm::Depthwise);
    let e = ConvWeights::integers(&shape, PackedFormat::T2, &[2; 196]).unwrap_err().to_string();
    assert!(e.contains("t2 holds -1 to 1"), "{e}");
    let weights = ConvWeights::floats(&shape, &[1.0; 196]).unwrap();
    let x = ConvInput::U8 { data: &[1; 324], zero: 0 };
    let mut y = [0f32; 324];
    let output =
        ConvOutput::F32 { tile: Tile::new(&mut y, 81, 4, 4).unwrap(), scales: None, bias: None, relu: false };
    let e =
        conv2d(Tier::best(), &weights, x, output, ConvPart::whole(&shape), &mut Scratch::new()).unwrap_err();
    assert_eq!(e.to_string(), "u8 input is not convolved with f32 weights");
}

/// f32 depthwise filters of whole vectors of channels, read where they lie or brought together (2 KiB apart), to the last bit.
#[test]
fn depthwise_columns_of_many_channels() {
    for text in [
        "9x7 80->80 3x3 p1 g80",
        "9x7 80->80 3x3 s2 p1 g80",
        "1x1 64->64 3x3 p1 g64",
        "4x9 512->512 3x3 p1 g512",
        "5x6 512->512 3x3 s2 p1 g512",
        "60x40 512->512 3x3 g512",
        "70x9 1024->1024 3x3 s2 p2 g1024",
    ] {
        let conv = conv(text);
        let mut random = random(conv.image_len() as u64);
        let mut value = |_| (random() % 31) as f32 - 15.5;
        let w: Vec<f32> = (0..conv.weights_len()).map(&mut value).collect();
        let weights = ConvWeights::floats(&conv, &w).unwrap();
        let mut x: Vec<f32> = (0..conv.image_len()).map(&mut value).collect();
        (x[3], x[20]) = (f32::NAN, f32::INFINITY);
        let (scales, values) = (vec![0.7; weights.filters()], vec![-0.1; weights.filters()]);
        let mut scratch = Scratch::new();
        for relu in [false, true] {
            let after = After { scales: &scales, values: &values, relu, ..NOTHING };
            let expected: Vec<f32> = whole(None, &weights, ConvInput::F32(&x), after, &mut scratch);
            for tier in Tier::available() {
                let found: Vec<f32> = whole(Some(tier), &weights, ConvInput::F32(&x), after, &mut scratch);
                assert_eq!(bits(&found), bits(&expected), "{text} {tier}");
            }
        }
    }
}

/// Codes of more pixels than tiles hold back at a time, where channels do not lie side by side or do not fill a tile.
#[test]
fn codes_that_are_held_back() {
    for text in [
        "13x9 8->8 3x3 p1 g8",
        "13x9 8->100 1x1 nchw",
        "13x9 8->100 1x1",
        "11x7 12->60 3x3 p1 g2",
        "11x7 12->60 3x3 p1 g2 nchw",
    ] {
        for format in [PackedFormat::T2, PackedFormat::I8] {
            let conv = conv(text);
            let w: Vec<i8> = (0..conv.weights_len()).map(|i| (i * 7 % 3) as i8 - 1).collect();
            let weights = ConvWeights::integers(&conv, format, &w).unwrap();
            let x: Vec<i8> = (0..conv.image_len()).map(|i| (i * 31 % 251) as u8 as i8).collect();
            let x = ConvInput::I8 { data: &x, zero: -7 };
            let (scales, bias) = (vec![0.11; weights.filters()], vec![50; weights.filters()]);
            let after = After { scales: &scales, bias: &bias, ..NOTHING };
            let mut scratch = Scratch::new();
            let expected: Vec<u8> = whole(None, &weights, x, after, &mut scratch);
            let signed: Vec<i8> = whole(None, &weights, x, after, &mut scratch);
            for tier in Tier::available() {
                assert_eq!(
                    whole::<u8>(Some(tier), &weights, x, after, &mut scratch),
                    expected,
                    "{text} {tier}"
                );
                assert_eq!(
                    whole::<i8>(Some(tier), &weights, x, after, &mut scratch),
                    signed,
                    "{text} {tier}"
                );
            }
        }
    }
}
