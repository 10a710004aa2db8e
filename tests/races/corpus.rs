//! The files of the corpus.

use phalanx::testing::{Case, parse};
use std::path::{Path, PathBuf};

/// One kernel with its tests.
pub struct File {
    /// Name of the pair.
    pub pair: String,
    /// Whether it is the one with the fault.
    pub racy: bool,
    /// Name of the file.
    pub name: String,
    pub text: String,
    pub cases: Vec<Case>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("races")
}

/// All files, ascending by name.
pub fn files() -> Vec<File> {
    let mut all: Vec<File> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".phx"))
        .map(|name| {
            let (pair, word) = name.trim_end_matches(".phx").rsplit_once('.').expect("NAME.racy.phx");
            let racy = match word {
                "racy" => true,
                "clean" => false,
                _ => panic!("{name}: a file is called NAME.racy.phx or NAME.clean.phx"),
            };
            let text = std::fs::read_to_string(folder().join(&name)).unwrap();
            let cases = parse(&text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            File { pair: pair.into(), racy, text, cases, name }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What of a file decides what the kernel does.
fn code(file: &File) -> Vec<&str> {
    file.text.lines().filter(|l| !l.starts_with("//!")).collect()
}

#[test]
fn half_are_racy_and_pairs_differ_by_one_line() {
    let all = files();
    assert!(all.len() >= 120, "only {} kernels", all.len());
    for pair in all.chunks(2) {
        let [clean, racy] = pair else { panic!("{}: where is its partner?", pair[0].name) };
        assert!(clean.pair == racy.pair && !clean.racy && racy.racy, "{}: no pair", racy.name);
        let (a, b) = (code(clean), code(racy));
        // The tests say the same but for what is found.
        let given = |lines: &[&str]| -> Vec<String> {
            let said = |l: &&&str| l.starts_with("//=") && !l.starts_with("//=   expect");
            lines.iter().filter(said).map(ToString::to_string).collect()
        };
        assert_eq!(given(&a), given(&b), "{}: launched differently", racy.name);
        let kernel = |lines: &[&str]| -> Vec<String> {
            lines.iter().filter(|l| !l.starts_with("//=")).map(|l| l.trim().to_string()).collect()
        };
        let (a, b) = (kernel(&a), kernel(&b));
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        let rest = a.len().min(b.len()) - same;
        let tail = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
        let (of_a, of_b) = (a.len() - same - tail, b.len() - same - tail);
        assert!(of_a <= 1 && of_b <= 1 && of_a + of_b > 0, "{}: {of_a} and {of_b} lines differ", racy.name);
        for file in [clean, racy] {
            assert!(!file.cases.is_empty(), "{}: no test", file.name);
            for case in &file.cases {
                let found = case.findings.as_ref().expect("what is to be found");
                let at_most_equal =
                    |f: &phalanx::testing::Finding| f.kind == phalanx::testing::FindingKind::Equal;
                let clean = found.is_empty() || !file.racy && found.iter().all(at_most_equal);
                assert_eq!(!file.racy, clean, "{}: {}", file.name, case.name);
            }
        }
    }
}
