//! The sample programs assemble, and text, module and bytes agree on the way there and back.
use phalanx_asm::{assemble, disassemble};
use phalanx_isa::{decode, encode};

#[test]
fn samples_go_around() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let first = assemble(name, &text).unwrap_or_else(|d| panic!("{name}: {d:#?}")).module;
        let bytes = encode(&first);
        assert_eq!(decode(&bytes).as_ref(), Ok(&first), "{name}");
        let written = disassemble(&first).unwrap_or_else(|e| panic!("{name}: {e}"));
        println!("{written}");
        let second =
            assemble("other.phx", &written).unwrap_or_else(|d| panic!("{name}: {d:#?}\n{written}")).module;
        assert_eq!(second, first, "{name}\n{written}");
        assert_eq!(encode(&second), bytes, "{name}");
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} samples");
}
