//! Packed forms hold what the files hold.

use phalanx_formats::{Format, Layout, Matrix, Tl1, Tl2, quantise, write_codes};
use phalanx_kernels::{PackedFormat, Scales};

const N: usize = 96;
const K: usize = 512;

fn codes(low: i32, high: i32) -> Vec<i8> {
    (0..N * K).map(|i| (low + (i * 7919 % 8191) as i32 % (high - low + 1)) as i8).collect()
}

#[test]
fn every_format_in_its_own_packed_form() {
    let ternary = codes(-1, 1);
    for format in [
        Format::I2S(Layout::X86),
        Format::I2S(Layout::Arm),
        Format::I2S(Layout::FourRows),
        Format::Tl1(Tl1::for_shape(N, K)),
        Format::Tl2(Tl2::for_shape(N, K)),
    ] {
        let bytes = write_codes(format, N, K, &ternary, &[0.5]).unwrap();
        let matrix = Matrix::new(format, N, K, &bytes, None).unwrap();
        for to in [PackedFormat::T2, PackedFormat::T3] {
            let packed = matrix.pack(to).unwrap();
            assert_eq!(
                (packed.scales(), packed.unpack() == ternary),
                (&Scales::Tensor(0.5), true),
                "{format} {to}"
            );
        }
        assert!(matrix.pack(PackedFormat::I8).is_err() && matrix.pack(PackedFormat::T2Blocks).is_err());
        // As floats too, with the scale.
        assert_eq!(matrix.pack(PackedFormat::F16).unwrap().value(3, 5), 0.5 * f32::from(ternary[3 * K + 5]));
    }
    for format in [Format::Q8_0, Format::Q4_0, Format::Tq1_0, Format::Tq2_0] {
        let (low, high) = format.range().unwrap();
        let codes = codes(low.into(), high.into());
        let (cols, _) = format.block();
        let scales: Vec<f32> = (0..N * K / cols).map(|i| i as f32 / 64.0).collect();
        let bytes = write_codes(format, N, K, &codes, &scales).unwrap();
        let matrix = Matrix::new(format, N, K, &bytes, None).unwrap();
        let packed = matrix.pack(format.packed()).unwrap();
        assert!(packed.unpack() == codes, "{format}");
        let mut row = vec![0.0; K];
        for r in 0..N {
            matrix.values(r, &mut row);
            assert!((0..K).all(|c| packed.value(r, c) == row[c]), "{format} row {r}");
        }
    }
    let scales: Vec<f32> = (0..N).map(|i| i as f32).collect();
    let bytes: Vec<u8> = codes(-128, 127).iter().map(|c| *c as u8).collect();
    let matrix = Matrix::new(Format::I8, N, K, &bytes, Some(&scales)).unwrap();
    let packed = matrix.pack(PackedFormat::I8).unwrap();
    assert_eq!((packed.scales(), packed.get(5, 9)), (&Scales::Rows(scales.clone()), bytes[5 * K + 9] as i8));
}

#[test]
fn floats_and_what_is_rounded() {
    let values: Vec<f32> = (0..N * K).map(|i| ((i * 2654435761) % 10007) as f32 / 5000.0 - 1.0).collect();
    for (format, to) in [
        (Format::F32, PackedFormat::F32),
        (Format::F16, PackedFormat::F16),
        (Format::Bf16, PackedFormat::Bf16),
        (Format::F32, PackedFormat::F16),
        (Format::F32, PackedFormat::Bf16),
        (Format::F32, PackedFormat::Q8_0),
        (Format::F32, PackedFormat::Q4_0),
    ] {
        let bytes = quantise(format, N, K, &values).unwrap();
        let packed = Matrix::new(format, N, K, &bytes, None).unwrap().pack(to).unwrap();
        // What the file format of the same name would hold.
        let own = [Format::F32, Format::F16, Format::Bf16, Format::Q8_0, Format::Q4_0];
        let own = own.into_iter().find(|f| f.packed() == to).unwrap();
        let bytes = quantise(own, N, K, &values).unwrap();
        let expected = Matrix::new(own, N, K, &bytes, None).unwrap();
        let mut row = vec![0.0; K];
        for r in 0..N {
            expected.values(r, &mut row);
            assert!((0..K).all(|c| packed.value(r, c) == row[c]), "{format} as {to}, row {r}");
        }
    }
}

#[test]
fn codes_that_do_not_exist_are_refused_with_their_place() {
    let format = Format::I2S(Layout::X86);
    let mut bytes = write_codes(format, 2, 128, &[0; 256], &[1.0]).unwrap();
    bytes[32 + 5] |= 0b11 << 4;
    let e = Matrix::new(format, 2, 128, &bytes, None).unwrap().pack(PackedFormat::T2).expect_err("code 3");
    assert!(e.to_string().contains("weight [1, 37] is 2"), "{e}");
}
