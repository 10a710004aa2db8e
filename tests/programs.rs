//! Every program assembles, is valid, and does what its tests and a plain Rust reference say.

use std::path::Path;

/// Warnings that a program is meant to have: program, code, why.
const WARNINGS: &[(&str, &str, &str)] =
    &[("scan_chained", "W0306", "waits for a flag, by design; its result is the same for every order")];

#[test]
fn every_file_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    let mut files = Vec::new();
    for (dir, prefix) in [(folder.clone(), ""), (folder.join("digits"), "digits/")] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(stem) = name.strip_suffix(".phx") {
                files.push(format!("{prefix}{stem}"));
            }
        }
    }
    files.sort();
    let listed: Vec<&str> = phalanx_programs::PROGRAMS.iter().map(|p| p.name).collect();
    assert_eq!(files, listed);
    for p in phalanx_programs::PROGRAMS {
        assert_eq!(phalanx_programs::find(p.name), Some(p));
        assert!(p.text.starts_with("//! ") && !p.summary().is_empty(), "{}: no header", p.name);
        assert!(p.text.contains("\n//= test "), "{}: no test", p.name);
    }
}

#[test]
fn all_assemble_and_are_valid() {
    let mut wrong = String::new();
    for p in phalanx_programs::PROGRAMS {
        let file = format!("{}.phx", p.name);
        let assembled = match phalanx_asm::assemble(&file, p.text) {
            Ok(a) => a,
            Err(diags) => {
                for d in diags {
                    wrong += &format!("{file}:{}:{}: {d:?}\n", d.span.line, d.span.col);
                }
                continue;
            }
        };
        let map = assembled.map.clone();
        let errors = match phalanx_verify::verify(assembled.module) {
            Ok(v) => v.warnings().to_vec(),
            Err(rejected) => rejected.errors,
        };
        for e in errors {
            if WARNINGS.iter().any(|(name, code, _)| *name == p.name && *code == e.code) {
                continue;
            }
            let span = map.span(&e.place);
            wrong += &format!("{file}:{}:{}: {e}: {}\n", span.line, span.col, e.label);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
