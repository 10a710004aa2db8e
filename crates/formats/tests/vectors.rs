//! ggml's block formats against what the PyPI package `gguf` writes and reads (vectors.py made the file).

use phalanx_formats::{Format, Matrix, quantise};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn floats(text: &str) -> Vec<f32> {
    hex(text).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn bytes_and_values_are_the_packages() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.txt");
    let path = std::env::var("PHALANX_VECTORS").unwrap_or(own.into());
    let text = std::fs::read_to_string(&path).unwrap();
    let formats = [
        Format::F32,
        Format::F16,
        Format::Bf16,
        Format::Q4_0,
        Format::Q8_0,
        Format::Tq1_0,
        Format::Tq2_0,
        Format::Q6K,
    ];
    let mut seen = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, n, k, before, bytes, after] = words[..] else { panic!("{line}") };
        let format = *formats.iter().find(|f| f.name() == name).expect("a format");
        let (n, k, bytes, after) = (n.parse().unwrap(), k.parse().unwrap(), hex(bytes), floats(after));
        if before != "-" {
            let written = quantise(format, n, k, &floats(before)).unwrap();
            let at = written.iter().zip(&bytes).position(|(a, b)| a != b);
            assert_eq!((written.len(), at), (bytes.len(), None), "{name} {n} x {k}: bytes differ");
        }
        let matrix = Matrix::new(format, n, k, &bytes, None).unwrap();
        let mut row = vec![0f32; k];
        for r in 0..n {
            matrix.values(r, &mut row);
            let expected = &after[r * k..][..k];
            // 0 times a negative code is -0 here and there alike, so bits are compared.
            let at = row.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(at, None, "{name} {n} x {k}, row {r}: {row:?} {expected:?}");
        }
        seen += 1;
    }
    assert!(seen >= formats.len(), "only {seen} matrices");
}
