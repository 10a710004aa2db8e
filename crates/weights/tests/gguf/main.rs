//! GGUF written and read; files that lie about themselves; the layout of I2_S found out.

mod support;

use phalanx_formats::Layout;
use phalanx_kernels::PackedFormat;
use phalanx_weights::{
    Activation, Array, Evidence, Gguf, ModelFile, NormKind, TensorData, Value, WeightsError, write,
};
use std::path::PathBuf;
use support::{FFN, LAYERS, VOCAB, WIDTH, keys, tensors};

fn bytes(keys: &[(String, Value)], tensors: &[TensorData]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, keys, tensors).unwrap();
    out
}

/// A file in a folder of this test's own.
fn saved(name: &str, content: &[u8]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gguf");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn everything() -> Vec<(String, Value)> {
    let key = |name: &str, v: Value| (name.to_string(), v);
    vec![
        key("a", Value::U8(200)),
        key("b", Value::I8(-3)),
        key("c", Value::U16(60_000)),
        key("d", Value::I16(-300)),
        key("e", Value::U32(1 << 31)),
        key("f", Value::I32(-1)),
        key("g", Value::F32(0.1)),
        key("h", Value::Bool(true)),
        key("i", Value::String("grün\0".into())),
        key("j", Value::U64(u64::MAX)),
        key("k", Value::I64(i64::MIN)),
        key("l", Value::F64(1e300)),
        key("m", Value::Array(Array::String(vec!["".into(), "x".into()]))),
        key("n", Value::Array(Array::Bool(vec![true, false]))),
        key("o", Value::Array(Array::F32(vec![1.5, -0.0]))),
        key("p", Value::Array(Array::U8(vec![]))),
        key("q", Value::Array(Array::I64(vec![1, -2]))),
        key("general.alignment", Value::U32(64)),
    ]
}

#[test]
fn what_is_written_is_read() {
    let data = |name: &str, size: usize| TensorData {
        name: name.into(),
        dims: vec![size, 1],
        kind: 24,
        bytes: (0..size).map(|i| i as u8).collect(),
    };
    let written = [data("one", 3), data("two", 64), data("three", 65)];
    let file = bytes(&everything(), &written);
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!((gguf.version, gguf.alignment, gguf.data_at % 64), (3, 64, 0));
    assert_eq!(gguf.keys, everything());
    for t in &written {
        let read = gguf.tensor(&t.name).unwrap();
        assert_eq!((&read.dims, &file[read.range.clone()]), (&t.dims, &t.bytes[..]), "{}", t.name);
        assert_eq!(read.range.start % 64, 0);
    }
    assert_eq!(file.len() % 64, 0);
    let empty = Gguf::parse(&bytes(&[], &[])).unwrap();
    assert!(empty.tensors.is_empty() && empty.keys.is_empty());
}

#[test]
fn a_damaged_header_is_refused_or_another_header_but_never_a_panic() {
    let file =
        bytes(&everything(), &[TensorData { name: "t".into(), dims: vec![4], kind: 0, bytes: vec![0; 16] }]);
    for end in 0..file.len() {
        let cut = Gguf::parse(&file[..end]);
        // Only padding after the last tensor may be missing.
        assert!(cut.is_err() || end >= file.len() - 48, "cut at {end}");
    }
    let mut accepted = 0;
    for at in 0..file.len() {
        for value in [0, 1, 9, 0x7f, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] = value;
            if let Ok(gguf) = Gguf::parse(&damaged) {
                accepted += 1;
                assert!(gguf.tensors.iter().all(|t| t.range.end <= damaged.len()));
            }
        }
    }
    assert!(accepted > 100);
}

#[test]
fn hostile_headers_are_refused_with_the_reason() {
    let header = |tensors: u64, keys: u64, rest: &[&[u8]]| {
        [&b"GGUF"[..], &3u32.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes(), &rest.concat()]
            .concat()
    };
    let text = |s: &str| [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat();
    let (long, max) = (u64::MAX.to_le_bytes(), (u64::MAX / 2).to_le_bytes());
    let number = |n: u32| n.to_le_bytes();
    let tensor = |dims: &[u64], kind: u32, offset: u64| {
        let mut t = [&text("t")[..], &number(dims.len() as u32)].concat();
        dims.iter().for_each(|d| t.extend(d.to_le_bytes()));
        [&t[..], &number(kind), &offset.to_le_bytes()].concat()
    };
    let alignment = |v: u32| [&text("general.alignment")[..], &number(4), &number(v)].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GGML....".to_vec(), "not a GGUF file"),
        (vec![], "not a GGUF file"),
        ([&b"GGUF"[..], &3u32.to_be_bytes()].concat(), "big-endian"),
        ([&b"GGUF"[..], &1u32.to_le_bytes()].concat(), "version 1"),
        (header(u64::MAX, 0, &[]), "a text's length takes 8 bytes"),
        (header(0, u64::MAX, &[]), "a text's length takes 8 bytes"),
        (header(0, 1, &[&long]), "takes 18446744073709551615 bytes"),
        (header(0, 1, &[&2u64.to_le_bytes(), &[0xff, 0xff]]), "not UTF-8"),
        (header(0, 1, &[&text("k"), &number(13)]), "type 13"),
        (header(0, 1, &[&text("k"), &number(7), &[2]]), "a boolean is 2"),
        (header(0, 1, &[&text("k"), &number(9), &number(6), &max]), "an array takes"),
        (header(0, 1, &[&text("k"), &number(9), &number(8), &max]), "a text's length"),
        (header(0, 1, &[&text("k"), &number(9), &number(7), &max]), "a boolean"),
        (header(0, 1, &[&text("k"), &number(9), &number(9), &max]), "array of arrays"),
        (header(0, 2, &[&text("k"), &number(0), &[1], &text("k"), &number(0), &[1]]), "occurs twice"),
        (header(0, 1, &[&alignment(0)]), "power of two"),
        (header(0, 1, &[&alignment(48)]), "power of two"),
        (header(1, 0, &[&text("t"), &number(5)]), "5 dimensions"),
        (header(1, 0, &[&text(&"t".repeat(300))]), "300 bytes"),
        (header(1, 0, &[&tensor(&[1 << 40, 1 << 40], 0, 0)]), "more than memory"),
        (header(1, 0, &[&tensor(&[1 << 40], 0, 0)]), "end after the file"),
        (header(1, 0, &[&tensor(&[1], 0, u64::MAX - 31)]), "end after the file"),
        (header(1, 0, &[&tensor(&[1], 0, 1)]), "no multiple of the alignment"),
        (header(1, 0, &[&tensor(&[33], 8, 0)]), "no multiple of Q8_0's blocks"),
        (header(2, 0, &[&tensor(&[1], 0, 0), &tensor(&[1], 0, 0)]), "occurs twice"),
        (header(1, 0, &[&tensor(&[0, 1 << 50], 0, 0)]), "a dimension is 0"),
    ];
    for (file, reason) in cases {
        let e = Gguf::parse(&file).expect_err(reason).to_string();
        assert!(e.contains(reason), "{e:?} does not say {reason:?}");
    }
}

#[test]
fn a_model_is_read_and_checked() {
    for (architecture, activation) in
        [("bitnet", Activation::Silu), ("bitnet-25", Activation::Relu2), ("bitnet-b1.58", Activation::Relu2)]
    {
        let path = saved(&format!("{architecture}.gguf"), &bytes(&keys(architecture), &tensors(Layout::X86)));
        let file = ModelFile::open(&path).unwrap();
        let shape = file.shape().unwrap();
        assert_eq!((shape.width, shape.ffn, shape.layers, shape.vocab), (WIDTH, FFN, LAYERS, VOCAB));
        assert_eq!((shape.heads, shape.kv_heads, shape.head_dim, shape.rope_dims), (4, 2, 64, 64));
        assert_eq!((shape.activation, shape.tied), (activation, true));
        let down = file.matrix("blk.1.ffn_down.weight", Layout::X86).unwrap();
        assert_eq!((down.n(), down.k(), down.scale(0, 0)), (WIDTH, FFN, 0.25));
        file.populate("blk.1.ffn_down.weight");
        file.release("blk.1.ffn_down.weight");
        let mut row = vec![0; 64];
        file.read_row("blk.1.ffn_down.weight", 3, &mut row).unwrap();
        assert_eq!(row, file.bytes("blk.1.ffn_down.weight").unwrap()[192..256]);
        let e = file.read_row("blk.1.ffn_down.weight", 1 << 40, &mut row).unwrap_err().to_string();
        assert!(e.contains("it has no row"), "{e}");
        let mut codes = vec![0; FFN];
        down.codes(3, &mut codes);
        let wanted: Vec<String> =
            shape.tensors().into_iter().map(|t| t.0).filter(|n| !n.contains("norm")).collect();
        let wanted: Vec<(&str, PackedFormat)> = wanted
            .iter()
            .map(|n| (n.as_str(), if n.starts_with("token") { PackedFormat::F16 } else { PackedFormat::T2 }))
            .collect();
        let one = file.pack_all(&wanted, Layout::X86, 1, &|_| Box::new(|_| {})).unwrap();
        assert_eq!(one.len(), wanted.len());
        assert!(one == file.pack_all(&wanted, Layout::X86, 3, &|_| Box::new(|_| {})).unwrap());
        assert_eq!(&one.last().unwrap().unpack()[3 * FFN..4 * FFN], codes);
        let e =
            file.pack("output_norm.weight", Layout::X86, PackedFormat::T2).expect_err("floats").to_string();
        assert!(e.contains("`output_norm.weight`: t2 does not hold"), "{e}");
        assert!(codes.iter().all(|c| (-1..=1).contains(c)));
    }
    // Without one tensor, with one of another size, with keys that do not fit.
    let all = tensors(Layout::X86);
    let open = |keys: &[(String, Value)], tensors: &[TensorData]| {
        let path = saved("wrong.gguf", &bytes(keys, tensors));
        ModelFile::open(path).and_then(|f| f.shape()).expect_err("wrong").to_string()
    };
    let missing = open(&keys("bitnet-25"), &all[..all.len() - 1]);
    assert!(
        missing.contains("`blk.1.ffn_down.weight`: missing; the model needs it as [512, 256]"),
        "{missing}"
    );
    assert!(missing.contains("wrong.gguf"), "{missing}");
    let mut other = all.clone();
    other[1].dims = vec![WIDTH / 2, 2];
    assert!(open(&keys("bitnet-25"), &other).contains("dimensions [128, 2]; expected [256]"));
    let mut odd = keys("bitnet-25");
    odd[6].1 = Value::U32(3);
    assert!(open(&odd, &all).contains("3 does not divide 4 heads"));
    odd[6].1 = Value::F32(2.0);
    assert!(open(&odd, &all).contains("expected 1 to"));
    // A model of sixteen million blocks would take gigabytes to list.
    let mut deep = keys("bitnet-25");
    deep[3].1 = Value::U32(1 << 24);
    assert!(open(&deep, &all).contains("expected 1 to 4096"));
    assert!(open(&keys("llama"), &all).contains("`llama` is not run"));
    let mut both = keys("bitnet-25");
    both.push((format!("bitnet-25.{}", NormKind::Rms.key()), Value::F32(1e-5)));
    both.push((format!("bitnet-25.{}", NormKind::Layer.key()), Value::F32(1e-5)));
    assert!(open(&both, &all).contains("norms are of one kind"));
    let e = ModelFile::open("no such file").expect_err("missing");
    assert!(matches!(e, WeightsError::InFile { .. }));
    assert!(
        ModelFile::open(env!("CARGO_TARGET_TMPDIR")).expect_err("a folder").to_string().contains("folder")
    );
}

#[test]
fn the_layout_is_named_or_found_or_assumed() {
    for layout in Layout::ALL {
        let file = saved(&format!("{layout}.gguf"), &bytes(&keys("bitnet-b1.58"), &tensors(layout)));
        let (found, evidence) = ModelFile::open(file).unwrap().i2s_layout().unwrap();
        assert_eq!(found, layout, "{evidence:?}");
        assert!(matches!(evidence, Evidence::Norms(_)), "{evidence:?}");
    }
    let mut named = keys("bitnet-b1.58");
    named.push(("phalanx.i2_s.layout".into(), Value::String("arm".into())));
    let file = saved("named.gguf", &bytes(&named, &tensors(Layout::X86)));
    assert_eq!(ModelFile::open(file).unwrap().i2s_layout().unwrap(), (Layout::Arm, Evidence::Named));
    named.last_mut().unwrap().1 = Value::String("vax".into());
    let file = saved("named.gguf", &bytes(&named, &[]));
    assert!(ModelFile::open(file).unwrap().i2s_layout().is_err());
    // Without norms nothing stands out.
    let mut flat = tensors(Layout::Arm);
    for t in flat.iter_mut().filter(|t| t.dims.len() == 1) {
        t.bytes.fill(0);
    }
    let file = saved("flat.gguf", &bytes(&keys("bitnet-b1.58"), &flat));
    assert_eq!(ModelFile::open(file).unwrap().i2s_layout().unwrap(), (Layout::X86, Evidence::Assumed));
}

#[test]
fn scales_may_stand_in_a_tensor_of_their_own() {
    let (n, k) = (32, 128);
    let format = phalanx_formats::Format::Tl1(phalanx_formats::Tl1::for_shape(n, k));
    let mut codes = phalanx_formats::write_codes(format, n, k, &[1; 32 * 128], &[9.0]).unwrap();
    codes.truncate(n * k / 4);
    let tensor =
        |name: &str, dims: Vec<usize>, kind, bytes| TensorData { name: name.into(), dims, kind, bytes };
    let all =
        [tensor("w_scale", vec![1], 0, 0.5f32.to_le_bytes().to_vec()), tensor("w", vec![k, n], 38, codes)];
    let file = ModelFile::open(saved("scale.gguf", &bytes(&keys("bitnet"), &all))).unwrap();
    let w = file.matrix("w", Layout::X86).unwrap();
    assert_eq!((w.scale(0, 0), w.format()), (0.5, format));
}
