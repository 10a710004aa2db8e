//! I2_S, TL1 and TL2 against known bytes and against a second, deliberately naive writer: bytes appended in the order in which
//! the formats' descriptions nest their axes, with no index computed back from a place.

use phalanx_formats::{Format, FormatError, Layout, Matrix, Tl1, Tl2, write_codes};
use proptest::prelude::*;

/// Codes with no pattern.
fn codes(count: usize, seed: u64) -> Vec<i8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) % 3
    };
    (0..count).map(|_| next() as i8 - 1).collect()
}

fn naive_i2s(layout: Layout, n: usize, k: usize, w: &[i8], scale: f32) -> Vec<u8> {
    let mut out = Vec::new();
    let byte = |four: [i8; 4]| four.iter().fold(0u8, |b, c| b * 4 + (c + 1) as u8);
    match layout {
        Layout::X86 | Layout::Arm => {
            let stride = if layout == Layout::X86 { 32 } else { 16 };
            for run in w.chunks(4 * stride) {
                for p in 0..stride {
                    out.push(byte([run[p], run[p + stride], run[p + 2 * stride], run[p + 3 * stride]]));
                }
            }
        }
        Layout::FourRows => {
            for group in w.chunks((4 * k).max(1)) {
                for c in 0..k {
                    out.push(byte([group[c], group[k + c], group[2 * k + c], group[3 * k + c]]));
                }
            }
        }
    }
    out.extend(scale.to_le_bytes());
    out.resize(n * k / 4 + 32, 0);
    out
}

fn naive_tl1(t: Tl1, n: usize, k: usize, w: &[i8], scale: f32) -> Vec<u8> {
    let by = 256 / t.strip;
    let at = |r: usize, c: usize| w[r * k + c];
    let pair = |r: usize, c: usize| (3 * at(r, c) + at(r, c + 1) + 4) as u8;
    let mut out = Vec::new();
    for tile in (0..n).step_by(t.rows) {
        for cols in (0..k).step_by(t.cols) {
            for strip in (tile..tile + t.rows).step_by(t.strip) {
                for group in (cols..cols + t.cols).step_by(by) {
                    for sixteen in (strip..strip + t.strip).step_by(16) {
                        for c in (group..group + by).step_by(4) {
                            for r in sixteen..sixteen + 16 {
                                out.push(pair(r, c) << 4 | pair(r, c + 2));
                            }
                        }
                    }
                }
            }
        }
    }
    out.extend(scale.to_le_bytes());
    out.resize(n * k / 4 + 32, 0);
    out
}

fn naive_tl2(t: Tl2, n: usize, k: usize, w: &[i8], scale: f32) -> Vec<u8> {
    let at = |r: usize, c: usize| w[r * k + c];
    let triple = |r: usize, c: usize| 9 * at(r, c) + 3 * at(r, c + 1) + at(r, c + 2);
    let pair = |r: usize, c: usize| (3 * at(r, c) + at(r, c + 1) + 4) as u8;
    let swapped = |line: Vec<u8>| [&line[..8], &line[16..24], &line[8..16], &line[24..]].concat();
    let three = k / t.cols * t.cols;
    let mut out = Vec::new();
    for tile in (0..n).step_by(t.rows) {
        for cols in (0..three).step_by(t.cols) {
            for strip in (tile..tile + t.rows).step_by(32) {
                for c in (cols..cols + t.cols).step_by(6) {
                    let size = |r: usize, c: usize| triple(r, c).unsigned_abs();
                    out.extend(swapped(
                        (strip..strip + 32).map(|r| size(r, c) << 4 | size(r, c + 3)).collect(),
                    ));
                }
            }
        }
    }
    for tile in (0..n).step_by(t.rows) {
        for cols in (0..three).step_by(t.cols) {
            for strip in (tile..tile + t.rows).step_by(32) {
                for c in (cols..cols + t.cols).step_by(24) {
                    for r in strip..strip + 16 {
                        let mut word = 0u16;
                        for i in 0..8 {
                            for r in [r, r + 16] {
                                word = word * 2 + u16::from(triple(r, c + 3 * i) < 0);
                            }
                        }
                        out.extend(word.to_le_bytes());
                    }
                }
            }
        }
    }
    for tile in (0..n).step_by(t.rows) {
        for cols in (three..k).step_by(32) {
            for strip in (tile..tile + t.rows).step_by(32) {
                for c in (cols..cols + 32).step_by(4) {
                    out.extend(swapped(
                        (strip..strip + 32).map(|r| pair(r, c) << 4 | pair(r, c + 2)).collect(),
                    ));
                }
            }
        }
    }
    // As python does: integers, rounded down at each division.
    let (n, k) = (n as i64, k as i64);
    let size = ((k - 256) * n).div_euclid(3) * 5;
    let size = (size.div_euclid(8) + 256 * n / 2 * 4 / 8) as usize;
    assert!(out.len() <= size, "{} bytes in {size}", out.len());
    out.resize(size.div_ceil(32) * 32, 0);
    (0..8).for_each(|_| out.extend(scale.to_le_bytes()));
    out
}

fn naive(format: Format, n: usize, k: usize, w: &[i8], scale: f32) -> Vec<u8> {
    match format {
        Format::I2S(layout) => naive_i2s(layout, n, k, w, scale),
        Format::Tl1(t) => naive_tl1(t, n, k, w, scale),
        Format::Tl2(t) => naive_tl2(t, n, k, w, scale),
        other => panic!("{other}"),
    }
}

/// Writer against naive writer, and back.
fn check(format: Format, n: usize, k: usize, seed: u64) {
    let w = codes(n * k, seed);
    let bytes = write_codes(format, n, k, &w, &[0.75]).unwrap_or_else(|e| panic!("{e}"));
    let expected = naive(format, n, k, &w, 0.75);
    let at = bytes.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((bytes.len(), at), (expected.len(), None), "{format:?} {n} x {k}");
    assert_eq!(format.bytes(n, k), Ok(bytes.len()));
    let matrix = Matrix::new(format, n, k, &bytes, None).unwrap();
    let mut row = vec![0; k];
    for r in 0..n {
        matrix.codes(r, &mut row);
        assert_eq!(row, w[r * k..][..k], "{format:?} {n} x {k}, row {r}");
    }
    if n * k > 0 {
        assert_eq!(matrix.scale(n - 1, k - 1), 0.75);
        let mut values = vec![0.0; k];
        matrix.values(n - 1, &mut values);
        assert!(values.iter().zip(&w[(n - 1) * k..]).all(|(v, c)| *v == 0.75 * f32::from(*c)));
    }
}

#[test]
fn known_bytes_of_i2s() {
    for layout in Layout::ALL {
        for (value, byte) in [(1, 0xaa), (0, 0x55), (-1, 0x00)] {
            let bytes = write_codes(Format::I2S(layout), 4, 128, &[value; 512], &[1.0]).unwrap();
            assert!(bytes[..128].iter().all(|b| *b == byte), "{layout}");
            assert_eq!((&bytes[128..132], bytes.len()), (&1f32.to_le_bytes()[..], 160));
        }
        let mut one = [0; 512];
        one[0] = 1;
        let bytes = write_codes(Format::I2S(layout), 4, 128, &one, &[1.0]).unwrap();
        assert_eq!((bytes[0], bytes[1..128].iter().all(|b| *b == 0x55)), (0x95, true), "{layout}");
    }
}

#[test]
fn known_bytes_of_tq1_0() {
    for (value, qs, qh) in [(0, 0x80, 0x7f), (1, 0xff, 0xfd), (-1, 0, 0)] {
        let bytes = write_codes(Format::Tq1_0, 1, 256, &[value; 256], &[1.0]).unwrap();
        assert!(bytes[..48].iter().all(|b| *b == qs) && bytes[48..52].iter().all(|b| *b == qh), "{value}");
    }
}

#[test]
fn shapes_of_real_models() {
    for (n, k) in [(1536, 1536), (1024, 4096), (640, 2560)] {
        for layout in Layout::ALL {
            check(Format::I2S(layout), n, k, 3);
        }
        check(Format::Tl1(Tl1::for_shape(n, k)), n, k, 4);
        check(Format::Tl2(Tl2::for_shape(n, k)), n, k, 5);
    }
    // 67.5 runs of 128 in a row: runs straddle rows.
    check(Format::I2S(Layout::X86), 64, 8640, 6);
    // Every preset of a shape fits it.
    let shapes = [
        (3200, 8640),
        (3200, 3200),
        (8640, 3200),
        (1536, 4096),
        (1536, 1536),
        (4096, 1536),
        (14336, 4096),
        (4096, 14336),
        (1024, 4096),
        (4096, 4096),
        (2560, 2560),
        (6912, 2560),
        (2560, 6912),
    ];
    for (n, k) in shapes {
        assert_eq!(Format::Tl1(Tl1::for_shape(n, k)).bytes(n, k), Ok(n * k / 4 + 32));
        let bytes = Format::Tl2(Tl2::for_shape(n, k)).bytes(n, k).unwrap_or_else(|e| panic!("{e}"));
        assert!(bytes * 24 >= n * k * 5, "{n} x {k}: {bytes}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_the_reason() {
    let x86 = Format::I2S(Layout::X86);
    for (format, n, k, part) in [
        (x86, 3, 100, "runs of 128"),
        (Format::I2S(Layout::Arm), 1, 96, "runs of 64"),
        (Format::I2S(Layout::FourRows), 7, 128, "multiple of 4 rows"),
        (Format::Tl1(Tl1::for_shape(33, 128)), 33, 128, "do not divide 33"),
        (Format::Tl1(Tl1::for_shape(32, 12)), 32, 12, "do not divide 12"),
        (Format::Tl1(Tl1 { rows: 48, cols: 64, strip: 48 }), 48, 64, "32 or 64"),
        (Format::Tl1(Tl1 { rows: 0, cols: 64, strip: 32 }), 64, 64, "do not divide"),
        (Format::Tl2(Tl2::for_shape(32, 100)), 32, 100, "4 are left"),
        (Format::Tl2(Tl2::for_shape(48, 96)), 48, 96, "do not divide 48"),
        (Format::Tl2(Tl2 { rows: 32, cols: 64 }), 32, 64, "96 or 192"),
        (Format::Q8_0, 2, 40, "blocks of 32"),
        (Format::Tq2_0, 2, 128, "blocks of 256"),
        (Format::F32, usize::MAX, 2, "do not fit in memory"),
    ] {
        let refused = format.bytes(n, k).expect_err("refused").to_string();
        assert!(refused.contains(part), "{refused}");
    }
    let bytes = vec![0u8; 64];
    let short = Matrix::new(x86, 2, 128, &bytes, None).expect_err("short").to_string();
    assert!(short.contains("take 68 bytes, but 64"), "{short}");
    // With the scale elsewhere the bytes may end with the codes.
    assert!(Matrix::new(x86, 2, 128, &bytes, Some(&[1.0])).is_ok());
    assert!(matches!(Matrix::new(x86, 2, 128, &bytes, Some(&[])), Err(FormatError::Scales { .. })));
    assert!(matches!(Matrix::new(Format::I8, 2, 32, &bytes, None), Err(FormatError::Scales { .. })));
    assert!(matches!(
        write_codes(x86, 1, 128, &[2; 128], &[1.0]),
        Err(FormatError::Code { row: 0, col: 0, value: 2, .. })
    ));
    let mut ternary = vec![0.5; 128];
    ternary[3] = 0.25;
    let rough = phalanx_formats::quantise(x86, 1, 128, &ternary).expect_err("not ternary").to_string();
    assert!(rough.contains("value [0, 3] is 0.25"), "{rough}");
}

#[test]
fn bits_that_no_code_has_come_out_as_2() {
    for format in [
        Format::I2S(Layout::X86),
        Format::Tl1(Tl1::for_shape(32, 128)),
        Format::Tl2(Tl2::for_shape(32, 128)),
        Format::Tq2_0,
    ] {
        let (n, k) = (32, if format == Format::Tq2_0 { 256 } else { 128 });
        let bytes = vec![0xff; format.bytes(n, k).unwrap()];
        let matrix = Matrix::new(format, n, k, &bytes, None).unwrap();
        let mut row = vec![0; k];
        (0..n).for_each(|r| {
            matrix.codes(r, &mut row);
            assert!(row.iter().all(|c| *c == 2), "{format}: {row:?}");
        });
    }
}

proptest! {
    #[test]
    fn random_shapes(n in 0usize..9, k in 0usize..5, seed: u64) {
        for layout in Layout::ALL {
            // Of x86 and Arm only the whole matrix must be whole runs.
            let (rows, cols) = if layout == Layout::FourRows { (4 * n, 7 * k) } else { (4 * n, 32 * k) };
            check(Format::I2S(layout), rows, cols, seed);
        }
        check(Format::Tl1(Tl1::for_shape(32 * n, 8 * k)), 32 * n, 8 * k, seed);
        check(Format::Tl1(Tl1 { rows: 64, cols: 12, strip: 64 }), 64 * n, 12 * k, seed);
        check(Format::Tl2(Tl2::for_shape(32 * n, 32 * k)), 32 * n, 32 * k, seed);
        check(Format::Tl2(Tl2 { rows: 64, cols: 192 }), 64 * n, 64 * k, seed);
    }

    #[test]
    fn blocks_come_back(format in prop::sample::select(vec![Format::Q4_0, Format::Q8_0, Format::Tq1_0, Format::Tq2_0]),
                        n in 1usize..4, blocks in 1usize..3, seed: u64) {
        let (cols, _) = format.block();
        let k = cols * blocks;
        let (low, high) = format.range().unwrap();
        let span = i32::from(high) - i32::from(low) + 1;
        let w: Vec<i8> = codes(4 * n * k, seed).chunks(4).map(|c| {
            let x = c.iter().fold(0i32, |x, c| 3 * x + i32::from(*c) + 1);
            (i32::from(low) + (x * 7) % span) as i8
        }).collect();
        let scales: Vec<f32> = (0..n * blocks).map(|i| 0.25 * (i as f32 - 1.0)).collect();
        let bytes = write_codes(format, n, k, &w, &scales).unwrap();
        let matrix = Matrix::new(format, n, k, &bytes, None).unwrap();
        let (mut row, mut bits) = (vec![0; k], vec![0; blocks]);
        for r in 0..n {
            matrix.codes(r, &mut row);
            matrix.block_scales(r, &mut bits);
            prop_assert_eq!(&row, &w[r * k..][..k]);
            for b in 0..blocks {
                prop_assert_eq!(matrix.scale(r, b * cols), scales[r * blocks + b]);
                prop_assert_eq!(phalanx_simd::half::f16_to_f32(bits[b]), scales[r * blocks + b]);
            }
        }
    }
}
