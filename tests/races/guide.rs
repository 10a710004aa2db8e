//! The examples of PARALLEL.md are what the page says they are.

use crate::corpus::File;
use crate::labels::check;
use phalanx::testing::parse;
use std::path::Path;

/// The kernels of the page, each with the line at which it stands.
pub fn examples() -> Vec<File> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../PARALLEL.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut all = Vec::new();
    let mut inside: Option<(usize, String)> = None;
    for (n, line) in page.lines().enumerate() {
        match (&mut inside, line.trim_end() == "```") {
            (None, true) => inside = Some((n + 2, String::new())),
            (Some((_, text)), false) => *text += &format!("{line}\n"),
            (Some((first, text)), true) => {
                let name = format!("PARALLEL.md, line {first}");
                let cases = parse(text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
                let racy = cases.iter().any(|c| c.findings.as_ref().is_some_and(|f| !f.is_empty()));
                all.push(File { pair: name.clone(), racy, name, text: std::mem::take(text), cases });
                inside = None;
            }
            (None, false) => {}
        }
    }
    assert!(inside.is_none(), "PARALLEL.md: a fence is not closed");
    all
}

#[test]
fn examples_of_the_guide_are_what_it_says() {
    let all = examples();
    assert!(all.len() >= 8, "only {} examples", all.len());
    let mut wrong = String::new();
    for file in &all {
        assert!(file.text.contains("kernel "), "{}: a block in ``` is a kernel here", file.name);
        assert!(!file.cases.is_empty(), "{}: no test", file.name);
        for case in &file.cases {
            assert!(case.findings.is_some(), "{}: `{}` says nothing of races", file.name, case.name);
        }
        check(file, &mut wrong);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
