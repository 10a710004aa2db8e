//! Error messages as people see them: every file of `tests/diag/asm` ends in the text that it must produce, in `//~ ` lines.
//! `BLESS=1 cargo test -p phalanx-asm --test diag` writes them anew.
#![cfg(feature = "render")]

use phalanx_asm::{CODES, assemble, render_all};
use std::collections::HashSet;
use std::path::Path;

#[test]
fn messages_are_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/diag/asm");
    let bless = std::env::var_os("BLESS").is_some();
    let mut covered: HashSet<&str> = HashSet::new();
    let mut wrong = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = std::fs::read_to_string(path).unwrap();
        let cut = file.find("//~").unwrap_or(file.len());
        let (source, recorded) = file.split_at(cut);
        let errors = assemble(name, source).expect_err(name);
        covered.extend(errors.iter().map(|d| d.code));
        let text = render_all(&errors, name, source, false);
        let lines: Vec<String> =
            text.lines().map(|l| format!("//~ {l}").trim_end().to_string() + "\n").collect();
        let now = lines.concat();
        if now != recorded {
            if bless {
                std::fs::write(path, format!("{source}{now}")).unwrap();
            }
            wrong.push(format!("{name}:\n{now}"));
        }
    }
    let missing: Vec<&str> = CODES.iter().map(|(c, _)| *c).filter(|c| !covered.contains(c)).collect();
    assert!(missing.is_empty(), "no file in tests/diag/asm shows {missing:?}");
    assert!(bless || wrong.is_empty(), "these differ from what is recorded:\n{}", wrong.join("\n"));
    assert!(paths.len() >= CODES.len(), "only {} files", paths.len());
}

#[test]
fn codes_ascend_and_are_of_this_crate() {
    for pair in CODES.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{pair:?}");
    }
    for (code, title) in CODES {
        assert!(code.starts_with("E01") && code.len() == 5 && !title.is_empty(), "{code}");
    }
}
