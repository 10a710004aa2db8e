//! The sample programs assemble, and their modules survive the binary form.
use phalanx_asm::assemble;
use phalanx_isa::{decode, encode};

#[test]
fn samples_assemble() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let a = assemble(path.file_name().unwrap().to_str().unwrap(), &text)
            .unwrap_or_else(|d| panic!("{}: {d:#?}", path.display()));
        assert_eq!(decode(&encode(&a.module)), Ok(a.module), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} samples");
}
