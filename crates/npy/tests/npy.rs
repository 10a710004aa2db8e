//! Reading and writing, against files that numpy wrote and against hostile ones.

use std::fs;
use std::path::{Path, PathBuf};

use phalanx_npy::*;

fn data_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file that numpy wrote.
fn fixture(name: &str) -> Vec<u8> {
    let path = data_path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The little-endian bytes of some numbers.
macro_rules! le {
    ($($x:expr),* $(,)?) => { [$($x.to_le_bytes().to_vec()),*].concat() };
}

fn array(dtype: Dtype, shape: &[usize], data: Vec<u8>) -> Array {
    Array::new(dtype, shape.to_vec(), data).expect("the parts agree")
}

/// What `read` says about bytes it has to refuse.
fn refusal(bytes: &[u8]) -> NpyError {
    match read(bytes) {
        Ok(array) => panic!("accepted as {array:?}"),
        Err(error) => error,
    }
}

/// A file with this dictionary, in format 1.0, and this data.
fn file_with(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

/// One array per element type, as `generate.py` made them, with the name of the file.
fn one_of_each() -> Vec<(&'static str, Array)> {
    let two_by_three = |name, dtype, data| (name, array(dtype, &[2, 3], data));
    let float16: [u16; 6] = [0, 0x8000, 0x3e00, 0xc000, 0x7c00, 1];
    let float32 = [0.0, -0.0, 1.5, -2.0, f32::INFINITY, f32::from_bits(1)];
    let float64 = [0.0, -0.0, 1.5, -2.0, f64::INFINITY, f64::from_bits(1)];
    vec![
        two_by_three("int8", Dtype::I8, le![i8::MIN, -1_i8, 0_i8, 1_i8, 2_i8, i8::MAX]),
        two_by_three("int16", Dtype::I16, le![i16::MIN, -1_i16, 0_i16, 1_i16, 2_i16, i16::MAX]),
        two_by_three("int32", Dtype::I32, le![i32::MIN, -1_i32, 0_i32, 1_i32, 2_i32, i32::MAX]),
        two_by_three("int64", Dtype::I64, le![i64::MIN, -1_i64, 0_i64, 1_i64, 2_i64, i64::MAX]),
        two_by_three("uint8", Dtype::U8, le![0_u8, 1_u8, 2_u8, 3_u8, 127_u8, u8::MAX]),
        two_by_three("uint16", Dtype::U16, le![0_u16, 1_u16, 2_u16, 3_u16, u16::MAX / 2, u16::MAX]),
        two_by_three("uint32", Dtype::U32, le![0_u32, 1_u32, 2_u32, 3_u32, u32::MAX / 2, u32::MAX]),
        two_by_three("uint64", Dtype::U64, le![0_u64, 1_u64, 2_u64, 3_u64, u64::MAX / 2, u64::MAX]),
        two_by_three("float16", Dtype::F16, float16.iter().flat_map(|x| x.to_le_bytes()).collect()),
        two_by_three("float32", Dtype::F32, float32.iter().flat_map(|x| x.to_le_bytes()).collect()),
        two_by_three("float64", Dtype::F64, float64.iter().flat_map(|x| x.to_le_bytes()).collect()),
        two_by_three("bool", Dtype::Bool, vec![1, 0, 0, 1, 1, 0]),
    ]
}

#[test]
fn every_element_type_reads_and_writes_as_numpy_does() {
    let arrays = one_of_each();
    let covered: Vec<Dtype> = arrays.iter().map(|(_, array)| array.dtype).collect();
    assert!(Dtype::ALL.iter().all(|dtype| covered.contains(dtype)), "{covered:?}");
    for (name, array) in arrays {
        let theirs = fixture(&format!("{name}.npy"));
        assert_eq!(read(&theirs).expect(name), array);
        assert_eq!(write(&array).expect(name), theirs, "{name}, byte for byte");
        assert_eq!(array.dtype.name(), name);
    }
}

#[test]
fn shapes_read_and_write_as_numpy_does() {
    let cases = [
        ("scalar.npy", array(Dtype::I32, &[], le![42_i32])),
        ("vector.npy", array(Dtype::U8, &[5], vec![0, 1, 2, 3, 4])),
        ("empty.npy", array(Dtype::F32, &[0, 3], vec![])),
        ("empty_inside.npy", array(Dtype::F64, &[2, 0, 3], vec![])),
    ];
    for (name, array) in cases {
        assert_eq!(read(&fixture(name)).expect(name), array);
        assert_eq!(write(&array).expect(name), fixture(name), "{name}, byte for byte");
    }
}

/// The ranks give every length of padding, the digits every length of growth space.
#[test]
fn headers_of_every_padding_equal_those_of_numpy() {
    let ranks = fixture("ranks_0_to_64.bin");
    let mut rest = &ranks[..];
    for rank in 0..=64 {
        let ours = write(&array(Dtype::I8, &vec![1; rank], vec![rank as u8])).expect("valid");
        let (theirs, after) = rest.split_at(ours.len().min(rest.len()));
        assert_eq!(ours, theirs, "rank {rank}");
        assert_eq!(read(theirs).expect("valid").shape, vec![1; rank]);
        assert_eq!((ours.len() - 1) % 64, 0, "the data is aligned");
        rest = after;
    }
    assert!(rest.is_empty(), "the fixture has exactly these ranks");

    let digits = fixture("digits_1_to_18.bin");
    let mut rest = &digits[..];
    for exponent in 0..18 {
        let ours = write(&array(Dtype::I8, &[10_usize.pow(exponent), 0], vec![])).expect("valid");
        let (theirs, after) = rest.split_at(ours.len().min(rest.len()));
        assert_eq!(ours, theirs, "10^{exponent}");
        rest = after;
    }
    assert!(rest.is_empty(), "the fixture has exactly these shapes");
}

#[test]
fn big_endian_elements_are_swapped() {
    let cases = [
        ("big_i2.npy", array(Dtype::I16, &[2, 3], (0..6_i16).flat_map(i16::to_le_bytes).collect())),
        ("big_u4.npy", array(Dtype::U32, &[2, 3], (0..6_u32).flat_map(u32::to_le_bytes).collect())),
        (
            "big_f4.npy",
            array(Dtype::F32, &[2, 3], (0..6_i16).flat_map(|x| f32::from(x).to_le_bytes()).collect()),
        ),
        (
            "big_f8.npy",
            array(Dtype::F64, &[2, 3], (0..6_i16).flat_map(|x| f64::from(x).to_le_bytes()).collect()),
        ),
    ];
    for (name, array) in cases {
        assert_eq!(read(&fixture(name)).expect(name), array);
    }
}

#[test]
fn fortran_order_is_transposed() {
    let cases = [
        ("fortran_2d.npy", array(Dtype::I16, &[2, 3], (0..6_i16).flat_map(i16::to_le_bytes).collect())),
        (
            "fortran_3d.npy",
            array(Dtype::F32, &[2, 3, 4], (0..24_i16).flat_map(|x| f32::from(x).to_le_bytes()).collect()),
        ),
        ("fortran_4d.npy", array(Dtype::U8, &[2, 3, 1, 8], (0..48).collect())),
        ("fortran_big.npy", array(Dtype::U64, &[4, 3, 2], (0..24_u64).flat_map(u64::to_le_bytes).collect())),
    ];
    for (name, array) in cases {
        let bytes = fixture(name);
        assert!(bytes.windows(4).any(|w| w == b"True"), "{name} is in Fortran order");
        assert_eq!(read(&bytes).expect(name), array);
    }
}

#[test]
fn versions_1_2_and_3_read_alike() {
    let expected = array(Dtype::I32, &[2, 3], (0..6_i32).flat_map(i32::to_le_bytes).collect());
    for major in 1..=3 {
        let bytes = fixture(&format!("version_{major}.npy"));
        assert_eq!(bytes[6], major, "the fixture has the version it is named after");
        assert_eq!(read(&bytes).expect("valid"), expected);
    }
}

#[test]
fn unsupported_elements_are_named_with_a_remedy() {
    let cases = [
        ("refused_complex.npy", "<c8", "x.real and x.imag"),
        ("refused_text.npy", "<U2", "x.astype"),
        ("refused_void.npy", "|V2", "bfloat16"),
        ("refused_record.npy", "[(", "one plain array per field"),
        ("refused_date.npy", "<M8[s]", "x.astype"),
    ];
    for (name, descr, remedy) in cases {
        let error = refusal(&fixture(name));
        assert!(matches!(error, NpyError::Dtype { .. }), "{name}: {error}");
        let message = error.to_string();
        for part in [descr, remedy, "float32"] {
            assert!(message.contains(part), "{name}: \"{part}\" missing in: {message}");
        }
    }
}

#[test]
fn headers_in_other_hands_are_read() {
    let dictionaries = [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1), }\n",
        "{'shape':(2,1),'fortran_order':True,'descr':'|u1'}",
        " { \"descr\" : \"<u1\" , \"shape\" : ( 2 , 1 , ) ,\t\"fortran_order\" : False } \n\n",
        "{'descr': 'u1', 'fortran_order': False, 'shape': (2L, 1L), }    ",
        "{'descr': '>u1', 'fortran_order': False, 'shape': (2, 1)}",
    ];
    for dictionary in dictionaries {
        assert_eq!(
            read(&file_with(dictionary, &[7, 8])).expect(dictionary),
            array(Dtype::U8, &[2, 1], vec![7, 8])
        );
    }
}

#[test]
fn damaged_headers_are_refused_with_the_place() {
    // Dictionary, part of the message. The dictionary begins at byte 10 of the file.
    let cases = [
        ("", "byte 10 of the file, in the header: expected '{', found the end of the header"),
        ("[]", "byte 10 of the file, in the header: expected '{', found \"[]\""),
        ("{}", "no key 'descr'"),
        ("{'descr': '<f4', 'shape': (1,)}", "no key 'fortran_order'"),
        ("{'descr': '<f4', 'fortran_order': False}", "no key 'shape'"),
        ("{'descr': '<f4', 'descr': '<f4'}", "byte 27 of the file, in the header: expected 'descr'"),
        ("{'extra': 1}", "found \"'extra': 1}\""),
        ("{descr: '<f4'}", "expected a key in quotes"),
        ("{'descr'; '<f4'}", "expected ':' after the key"),
        ("{'descr': 4}", "expected a type string in quotes"),
        ("{'descr': '<f4}", "expected a string that ends in the quote"),
        ("{'descr': '\\x3cf4'}", "without escapes"),
        ("{'descr': '=f4'}", "elements of type \"=f4\" are not supported"),
        ("{'descr': 'f4'}", "elements of type \"f4\" are not supported"),
        ("{'descr': '|f4'}", "elements of type \"|f4\" are not supported"),
        ("{'descr': ''}", "elements of type \"\" are not supported"),
        ("{'fortran_order': 0}", "expected True or False"),
        ("{'fortran_order': Falsely}", "expected ',' or '}', found \"ly}\""),
        ("{'shape': 3}", "expected '(' and the lengths"),
        ("{'shape': [3]}", "expected '(' and the lengths"),
        ("{'shape': (3)}", "expected ',' in a tuple of one"),
        ("{'shape': (,)}", "expected the length of a dimension"),
        ("{'shape': (3,,)}", "expected the length of a dimension"),
        ("{'shape': (3 4)}", "expected ',' or ')'"),
        ("{'shape': (-3,)}", "found \"-3,)}\""),
        ("{'shape': (03,)}", "found \"03,)}\""),
        ("{'shape': (3.0,)}", "expected ',' or ')'"),
        ("{'shape': (99999999999999999999,)}", "to the largest of this machine"),
        ("{'shape': (1,", "expected the length of a dimension"),
        (
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} + 1",
            "expected only spaces and a newline after '}', found \"+ 1\"",
        ),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)", "expected ',' or '}'"),
    ];
    for (dictionary, part) in cases {
        let message = refusal(&file_with(dictionary, &[1])).to_string();
        assert!(message.contains(part), "{dictionary}: \"{part}\" missing in: {message}");
    }
}

#[test]
fn hostile_sizes_are_refused_before_anything_is_allocated() {
    let with_shape = |descr: &str, shape: &str| {
        refusal(&file_with(
            &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"),
            &[0; 8],
        ))
    };
    for shape in [
        "(9223372036854775807,)",
        "(4294967296, 4294967296)",
        "(4294967296, 4294967296, 0)",
        "(0, 9223372036854775807, 3)",
    ] {
        let error = with_shape("<f8", shape);
        assert!(matches!(error, NpyError::ShapeOverflow { .. }), "{shape}: {error}");
    }
    let error = with_shape("|u1", "(1000000, 1000000, 1000)");
    assert!(
        matches!(error, NpyError::DataTooShort { expected: 1_000_000_000_000_000, found: 8, .. }),
        "{error}"
    );
    let error = with_shape("|u1", &format!("({})", "1, ".repeat(65)));
    assert!(matches!(error, NpyError::TooManyDimensions { found: 65 }), "{error}");

    let mut long_header = b"\x93NUMPY\x02\x00".to_vec();
    long_header.extend(u32::MAX.to_le_bytes());
    let error = refusal(&long_header);
    assert!(matches!(error, NpyError::HeaderTooLong { found: 0xffff_ffff }), "{error}");
    let error = refusal(b"\x93NUMPY\x01\x00\xff\xff{");
    assert!(matches!(error, NpyError::Truncated { expected: 65_535, found: 1, .. }), "{error}");
}

#[test]
fn data_of_another_length_is_refused() {
    let dictionary = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}";
    assert!(read(&file_with(dictionary, &[0; 4])).is_ok());
    assert_eq!(
        refusal(&file_with(dictionary, &[0; 3])).to_string(),
        "shape [2] of int16: expected 4 bytes of data, found 3; the data is cut short: copy or save it again"
    );
    assert_eq!(
        refusal(&file_with(dictionary, &[0; 5])).to_string(),
        "shape [2] of int16: expected 4 bytes of data, found exactly 5; save one array per file, and nothing \
         after it"
    );
}

#[test]
fn other_formats_are_recognised() {
    let message = refusal(b"PK\x03\x04 and more").to_string();
    assert!(message.contains("an .npz"), "{message}");
    let message = refusal(b"1,2,3\n4,5,6\n").to_string();
    assert!(message.contains("found \"1,2,3\\n\"") && message.contains("numpy.save"), "{message}");
    assert!(matches!(refusal(b""), NpyError::Magic { .. }));
    assert!(matches!(refusal(b"\x93NUMPY\x04\x00\x00\x00"), NpyError::Version { major: 4, minor: 0 }));
    assert!(matches!(refusal(b"\x93NUMPY\x01\x01\x00\x00"), NpyError::Version { major: 1, minor: 1 }));
}

#[test]
fn booleans_other_than_0_and_1_are_refused() {
    let dictionary = "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}";
    let error = refusal(&file_with(dictionary, &[1, 0, 2]));
    assert!(matches!(error, NpyError::Bool { index: 2, found: 2 }), "{error}");
    let parts = Array { dtype: Dtype::Bool, shape: vec![1], data: vec![255] };
    assert!(matches!(write(&parts), Err(NpyError::Bool { index: 0, found: 255 })));
}

#[test]
fn arrays_whose_parts_disagree_are_not_written() {
    let parts =
        |shape: &[usize], bytes| Array { dtype: Dtype::F32, shape: shape.to_vec(), data: vec![0; bytes] };
    assert!(matches!(write(&parts(&[2], 7)), Err(NpyError::DataTooShort { expected: 8, found: 7, .. })));
    assert!(matches!(
        write(&parts(&[2], 9)),
        Err(NpyError::DataTooLong { expected: 8, found: 9, exact: true, .. })
    ));
    assert!(matches!(write(&parts(&[usize::MAX, 2], 0)), Err(NpyError::ShapeOverflow { .. })));
    assert!(matches!(write(&parts(&[1; 65], 4)), Err(NpyError::TooManyDimensions { found: 65 })));
    assert!(Array::new(Dtype::F32, vec![1], vec![]).is_err());
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    for name in ["float64.npy", "scalar.npy", "empty.npy", "fortran_3d.npy", "version_2.npy", "version_3.npy"]
    {
        let bytes = fixture(name);
        for end in 0..bytes.len() {
            let error = refusal(&bytes[..end]);
            let (cut, other) = (
                matches!(error, NpyError::Truncated { .. } | NpyError::DataTooShort { .. }),
                end == 0 && matches!(error, NpyError::Magic { .. }),
            );
            assert!(cut || other, "{name} cut at {end}: {error}");
        }
    }
}

/// xorshift64*: the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// Whatever is done to a file, reading it ends in an error or in an array that survives a round trip.
#[test]
fn mutated_files_never_panic() {
    let names =
        ["float32.npy", "bool.npy", "scalar.npy", "fortran_4d.npy", "fortran_big.npy", "version_3.npy"];
    // Bytes that mean something in a header are likelier to get far than random ones.
    let telling = b"{}()[]'\",: 0123456789TrueFalseLbiufV<>|=\n\\\x00\xff\x93";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for name in names {
        let original = fixture(name);
        for _ in 0..20_000 {
            let mut bytes = original.clone();
            for _ in 0..=random.below(4) {
                // Mostly in the header, where the decisions are made.
                let end = if random.below(8) == 0 { bytes.len() } else { bytes.len().min(80) };
                let at = random.below(end);
                let byte = match random.below(4) {
                    0 => random.below(256) as u8,
                    _ => telling[random.below(telling.len())],
                };
                match random.below(5) {
                    0 => bytes.insert(at, byte),
                    1 if !bytes.is_empty() => drop(bytes.remove(at)),
                    2 => bytes.truncate(bytes.len() - random.below(3).min(bytes.len())),
                    _ if !bytes.is_empty() => bytes[at] = byte,
                    _ => {}
                }
            }
            match read(&bytes) {
                Ok(array) => {
                    accepted += 1;
                    array.check().expect("what is read is consistent");
                    let again = write(&array).expect("what is read can be written");
                    assert_eq!(read(&again).expect("what is written can be read"), array);
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() > 20, "{error}");
                }
            }
        }
    }
    assert!(accepted > 1000 && refused > 50_000, "both ends are reached: {accepted}, {refused}");
}

#[test]
fn random_arrays_survive_a_round_trip() {
    let mut random = Random(42);
    for _ in 0..2000 {
        let dtype = Dtype::ALL[random.below(Dtype::ALL.len())];
        let rank = random.below(6);
        let shape: Vec<usize> = (0..rank).map(|_| random.below(5)).collect();
        let bytes = dtype.size_bytes() * shape.iter().product::<usize>();
        let values = if dtype == Dtype::Bool { 2 } else { 256 };
        let data = (0..bytes).map(|_| random.below(values) as u8).collect();
        let array = array(dtype, &shape, data);
        assert_eq!(read(&write(&array).expect("valid")).expect("valid"), array);
    }
}

/// Fortran order against the definition: index by index.
#[test]
fn random_fortran_arrays_are_transposed() {
    let mut random = Random(7);
    for _ in 0..500 {
        let rank = 1 + random.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + random.below(4)).collect();
        let count: usize = shape.iter().product();
        let mut data = vec![0; 2 * count];
        let mut expected = Vec::new();
        // Element number `i` in C order has the value `i`.
        for i in 0..count {
            let (mut rest, mut index) = (i, vec![0; rank]);
            for axis in (0..rank).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            let place = (0..rank).rev().fold(0, |sum, axis| sum * shape[axis] + index[axis]);
            data[2 * place..][..2].copy_from_slice(&(i as u16).to_be_bytes());
            expected.extend((i as u16).to_le_bytes());
        }
        let lengths: String = shape.iter().map(|length| format!("{length},")).collect();
        let dictionary = format!("{{'descr': '>u2', 'fortran_order': True, 'shape': ({lengths})}}");
        assert_eq!(read(&file_with(&dictionary, &data)).expect("valid"), array(Dtype::U16, &shape, expected));
    }
}
