//! `crates/testkit/src/rows.rs`: the test rows of the tables, as data that the tests run on every executor and SIMD level.

use crate::emit_isa::HEADER;
use crate::model::Isa;
use std::fmt::Write;

pub fn emit(isa: &Isa) -> String {
    let mut o = String::from(HEADER);
    o += "//! The test rows of `isa/*.toml`: (mnemonic, inputs, expected result or `trap NAME`).\n\n";
    o += "/// One row each: mnemonic, inputs as text, expected as text.\n";
    o += "pub static ROWS: &[(&str, &[&str], &str)] = &[\n";
    for op in &isa.ops {
        for test in &op.test {
            let (key, rest) = test.split_once(':').unwrap_or(("", test));
            let (inputs, expected) = rest.split_once("->").unwrap_or((rest, ""));
            let mnemonic =
                if key.trim().is_empty() { op.name.clone() } else { format!("{}.{}", op.name, key.trim()) };
            let inputs: Vec<String> = inputs.split(',').map(|s| format!("{:?}", s.trim())).collect();
            let _ = writeln!(o, "({mnemonic:?}, &[{}], {:?}),", inputs.join(", "), expected.trim());
        }
    }
    o += "];\n";
    o
}
