//! The repository's own shape: which crate may know which, where operations are defined, what generated and documented tables
//! say, and where `unsafe` stands. A failure names the file and what it should be.
//!
//! `BLESS=1` rewrites the lists of codes in isa/SPEC.md; everything else is changed by hand, here or there.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each package may depend on among ours, tests of its own aside. `dev: true`: only for developing, so nothing that is
/// shipped may depend on it and it may depend on everything.
struct Package {
    name: &'static str,
    dev: bool,
    may_use: &'static [&'static str],
}

const fn shipped(name: &'static str, may_use: &'static [&'static str]) -> Package {
    Package { name, dev: false, may_use }
}
const fn dev(name: &'static str) -> Package {
    Package { name, dev: true, may_use: &[] }
}

const PACKAGES: &[Package] = &[
    shipped("phalanx-isa", &[]),
    shipped("phalanx-simd", &[]),
    shipped("phalanx-atlas", &[]),
    shipped("phalanx-npy", &[]),
    shipped("phalanx-kernels", &["phalanx-simd"]),
    shipped("phalanx-formats", &["phalanx-kernels", "phalanx-simd"]),
    shipped("phalanx-weights", &["phalanx-formats", "phalanx-kernels", "phalanx-simd"]),
    shipped("phalanx-tokens", &["phalanx-weights"]),
    shipped("phalanx-asm", &["phalanx-isa"]),
    shipped("phalanx-verify", &["phalanx-isa"]),
    shipped(
        "phalanx-exec",
        &["phalanx-isa", "phalanx-verify", "phalanx-simd", "phalanx-atlas", "phalanx-kernels"],
    ),
    // Text and data, which the front door offers as functions.
    shipped("phalanx-programs", &[]),
    shipped(
        "phalanx",
        &[
            "phalanx-isa",
            "phalanx-asm",
            "phalanx-verify",
            "phalanx-exec",
            "phalanx-npy",
            "phalanx-kernels",
            "phalanx-simd",
            "phalanx-atlas",
            "phalanx-programs",
        ],
    ),
    shipped(
        "phalanx-engine",
        &["phalanx", "phalanx-simd", "phalanx-formats", "phalanx-weights", "phalanx-tokens"],
    ),
    shipped(
        "phalanx-cli",
        &[
            "phalanx",
            "phalanx-npy",
            "phalanx-programs",
            "phalanx-formats",
            "phalanx-weights",
            "phalanx-engine",
        ],
    ),
    dev("phalanx-testkit"),
    dev("phalanx-tests"),
    dev("phalanx-benches"),
    // It writes sources of the others, so it must build without them.
    shipped("xtask", &[]),
];

/// What the top folder may hold.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "PARALLEL.md",
    "README.md",
    "benches",
    "clippy.toml",
    "crates",
    "deny.toml",
    "isa",
    "programs",
    "rustfmt.toml",
    "tests",
];

/// Written by `cargo xtask gen`.
const GENERATED: &[&str] =
    &["crates/exec/src/reference/semantics.rs", "crates/isa/src/generated.rs", "crates/testkit/src/rows.rs"];

/// Lines of a file that a person can keep in mind.
const LINES: usize = 900;

/// Where operations may be named as text, and why.
const NAMED_BY_HAND: &[(&str, &str)] = &[
    ("crates/testkit/src/", "makes programs for tests; nothing that is shipped uses it"),
    ("crates/cli/src/commands/bench/", "writes the programs that it measures"),
];

/// As many names of operations may stand in a file of their own accord: many are ordinary words (`min`, `call`, `not`).
const NAMES: usize = 12;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All files of the repository, by their paths from the root; without git (an archive) what lies there but for build output.
fn files() -> Vec<String> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    if let Some(out) = listed.ok().filter(|o| o.status.success() && !o.stdout.is_empty()) {
        let all = String::from_utf8(out.stdout).unwrap();
        // A file that was removed and not yet committed is not there.
        return all.split_terminator('\0').filter(|p| root().join(p).is_file()).map(String::from).collect();
    }
    let (mut all, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true if matches!(entry.file_name().to_str(), Some("target" | ".git")) => {}
                true => folders.push(path + "/"),
                false => all.push(path),
            }
        }
    }
    all
}

fn rust(files: &[String]) -> impl Iterator<Item = &str> {
    files.iter().map(String::as_str).filter(|p| p.ends_with(".rs") && !GENERATED.contains(p))
}

/// Rust files that are compiled into what is shipped: no tests, examples or benches.
fn sources(files: &[String]) -> impl Iterator<Item = &str> {
    rust(files).filter(|p| p.starts_with("crates/") && p.split('/').nth(2) == Some("src"))
}

fn tokens(path: &str) -> TokenStream {
    read(path).parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The manifest of every package of the workspace, by the package's name.
fn manifests() -> BTreeMap<String, toml::Table> {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let manifest = |m: &toml::Value| {
        let table: toml::Table = read(&format!("{}/Cargo.toml", m.as_str().unwrap())).parse().unwrap();
        (table["package"]["name"].as_str().unwrap().to_string(), table)
    };
    members.iter().map(manifest).collect()
}

/// The packages of this workspace that a manifest's shipped parts depend on, for any target.
fn arrows(manifest: &toml::Table, ours: &BTreeSet<&str>) -> BTreeSet<String> {
    let empty = toml::Table::new();
    let table =
        |t: &toml::Table, key: &str| t.get(key).and_then(|v| v.as_table()).cloned().unwrap_or_default();
    let targets = table(manifest, "target");
    let places = std::iter::once(manifest).chain(targets.values().map(|t| t.as_table().unwrap_or(&empty)));
    let mut found = BTreeSet::new();
    for place in places {
        for kind in ["dependencies", "build-dependencies"] {
            for (key, value) in table(place, kind) {
                let name = value.get("package").and_then(|p| p.as_str()).unwrap_or(&key).to_string();
                if ours.contains(name.as_str()) {
                    found.insert(name);
                }
            }
        }
    }
    found
}

#[test]
fn crates_depend_only_where_arrows_are_allowed() {
    let manifests = manifests();
    let ours: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    let mut wrong = String::new();
    for (name, manifest) in &manifests {
        let Some(package) = PACKAGES.iter().find(|p| p.name == name) else {
            let _ = writeln!(wrong, "{name} is not in PACKAGES of tests/arch.rs: say what it may depend on");
            continue;
        };
        for to in arrows(manifest, &ours) {
            if !package.dev && !package.may_use.contains(&to.as_str()) {
                let _ = writeln!(
                    wrong,
                    "{name} -> {to} is not an allowed dependency (may use: {:?})",
                    package.may_use
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn allowed_arrows_make_no_circle() {
    // Every package stands below those that may use it: the order of the table is such an order.
    for (i, p) in PACKAGES.iter().enumerate() {
        for to in p.may_use {
            let at = PACKAGES.iter().position(|q| q.name == *to);
            assert!(at.is_some_and(|at| at < i && !PACKAGES[at].dev), "{} -> {to}", p.name);
        }
    }
}

/// Calls `f` with every string literal outside of comments and of items for tests.
fn literals(tokens: TokenStream, f: &mut impl FnMut(&str)) {
    let mut all = tokens.into_iter().peekable();
    let mut skipping = false;
    while let Some(t) = all.next() {
        match t {
            TokenTree::Punct(p) if p.as_char() == '#' => {
                if matches!(all.peek(), Some(TokenTree::Punct(p)) if p.as_char() == '!') {
                    all.next();
                }
                // Doc comments are attributes too.
                let attribute = all.next().map(|a| a.to_string()).unwrap_or_default();
                skipping |= attribute.replace(' ', "") == "[cfg(test)]";
            }
            TokenTree::Group(g) => {
                if !skipping {
                    literals(g.stream(), f);
                }
                skipping &= g.delimiter() != Delimiter::Brace;
            }
            TokenTree::Punct(p) if p.as_char() == ';' => skipping = false,
            TokenTree::Literal(l) if !skipping => {
                let text = l.to_string();
                let Some((_, text)) = text.split_once('"') else { continue };
                f(text.rsplit_once('"').map_or(text, |(text, _)| text));
            }
            _ => {}
        }
    }
}

/// Whether a text is a mnemonic with a dot in it, or a list of such. Text with more around them, as in help and in programs, is
/// not a table.
fn lists_mnemonics(text: &str) -> bool {
    let mut words = text.split([' ', ',', '|', ';', '\n']).filter(|w| !w.is_empty()).peekable();
    words.peek().is_some() && words.all(|w| w.contains('.') && phalanx::isa::parse_mnemonic(w).is_ok())
}

#[test]
fn operations_are_named_in_the_tables_only() {
    assert!(lists_mnemonics("set.lt.f32") && lists_mnemonics("add.f32, bar.sync"));
    assert!(!lists_mnemonics("add.f32 r0, r1, r2") && !lists_mnemonics("exit") && !lists_mnemonics(""));
    let mut wrong = String::new();
    let excused = |p: &&str| NAMED_BY_HAND.iter().any(|(folder, _)| p.starts_with(folder));
    for path in sources(&files()).filter(|p| !excused(p)) {
        let (mut mnemonics, mut names) = (BTreeSet::new(), BTreeSet::new());
        literals(tokens(path), &mut |text| {
            let text = text.replace("\\n", " ");
            if phalanx::isa::Op::from_name(&text).is_some() {
                names.insert(text);
            } else if lists_mnemonics(&text) {
                mnemonics.insert(text);
            }
        });
        if !mnemonics.is_empty() || names.len() > NAMES {
            let _ = writeln!(wrong, "{path}: {mnemonics:?} {names:?}");
        }
    }
    assert!(
        wrong.is_empty(),
        "operations named by hand; ask the tables (`Op`, `OpInfo`, `Mnemonic`):\n{wrong}"
    );
}

#[test]
fn generated_files_are_what_the_tables_say() {
    // Without the flags of a build with a sanitizer, which the compiler's own plug-ins cannot have.
    let mut check = Command::new(env!("CARGO"));
    check.current_dir(root()).args(["xtask", "gen", "--check"]).env_remove("RUSTFLAGS");
    let out = check.output().unwrap();
    assert!(out.status.success(), "run `cargo xtask gen`:\n{}", String::from_utf8_lossy(&out.stderr));
    for path in GENERATED {
        assert!(read(path).starts_with("// @generated "), "{path} does not say that it is generated");
    }
}

#[test]
fn sources_say_what_they_are_for_and_stay_short() {
    let files = files();
    let mut wrong = String::new();
    for path in sources(&files).filter(|p| !read(p).starts_with("//! ")) {
        let _ = writeln!(wrong, "{path} does not open with `//!` and what it is for");
    }
    for path in rust(&files) {
        let lines = read(path).lines().count();
        if lines > LINES {
            let _ = writeln!(wrong, "{path} has {lines} lines, more than {LINES}: divide it");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_top_folder_holds_what_it_should() {
    let top: BTreeSet<String> =
        files().iter().map(|p| p.split('/').next().unwrap_or_default().to_string()).collect();
    let unknown: Vec<&String> = top.iter().filter(|e| !TOP.contains(&e.as_str())).collect();
    assert!(
        unknown.is_empty(),
        "in the top folder: {unknown:?}; find them a place below, or list them in TOP"
    );
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // In pieces, so that this file does not find itself.
    let homes = ["home", "root", "Users", "work", "tmp", "mnt"].map(|d| format!("/{d}/"));
    let mut wrong = String::new();
    for path in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (i, line) in text.lines().enumerate() {
            // Only where a path begins: `docs/work/x` is a path of a repository.
            let begins =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "-_./*}".contains(c));
            if homes.iter().any(|h| line.match_indices(h.as_str()).any(|(at, _)| begins(at))) {
                let _ = writeln!(wrong, "{path}:{}: {line}", i + 1);
            }
        }
    }
    assert!(wrong.is_empty(), "paths of one machine:\n{wrong}");
}

/// Blocks, functions and implementations that say `unsafe`. A function pointer's type promises nothing by itself.
fn count_unsafe(tokens: TokenStream, counts: &mut [usize; 3]) {
    let mut all = tokens.into_iter().peekable();
    while let Some(t) = all.next() {
        match t {
            TokenTree::Group(g) => count_unsafe(g.stream(), counts),
            TokenTree::Ident(i) if i == "unsafe" => match all.peek() {
                Some(TokenTree::Group(_)) => counts[0] += 1,
                Some(TokenTree::Ident(i)) if i == "impl" || i == "trait" => counts[2] += 1,
                Some(TokenTree::Ident(i)) if i == "fn" => {
                    all.next();
                    counts[1] += usize::from(matches!(all.peek(), Some(TokenTree::Ident(_))));
                }
                other => panic!("`unsafe` before {other:?}: teach tests/arch.rs what it is"),
            },
            _ => {}
        }
    }
}

/// Crates with `unsafe`, each with its inventory.
const UNSAFE: &[&str] = &["crates/exec/", "crates/kernels/", "crates/weights/"];

/// Tests and benches of other packages that have `unsafe`: how many blocks, functions and implementations, and why that holds.
const UNSAFE_IN_TESTS: &[(&str, [usize; 3], &str)] = &[
    (
        "benches/rivals/rival.rs",
        [1, 0, 0],
        "a rival's product, called with slices of the sizes that it is told",
    ),
    (
        "crates/cli/tests/allocations.rs",
        [3, 3, 1],
        "an allocator that counts and passes everything on to the system's",
    ),
    ("crates/simd/tests/levels.rs", [7, 0, 0], "functions of a level that the machine was asked for before"),
];

#[test]
fn unsafe_is_counted_and_explained() {
    for folder in UNSAFE {
        compare_inventory(folder);
    }
    let files = files();
    let mut found = BTreeSet::new();
    for path in rust(&files).filter(|p| !UNSAFE.iter().any(|u| p.starts_with(u))) {
        let mut counts = [0; 3];
        count_unsafe(tokens(path), &mut counts);
        if counts != [0; 3] {
            let listed = UNSAFE_IN_TESTS.iter().find(|l| l.0 == path);
            assert_eq!(listed.map(|l| l.1), Some(counts), "{path}: its row in UNSAFE_IN_TESTS");
            found.insert(path);
        }
    }
    assert_eq!(found.len(), UNSAFE_IN_TESTS.len(), "UNSAFE_IN_TESTS has files without `unsafe`");
}

fn compare_inventory(folder: &str) {
    let file = format!("{folder}SOUNDNESS.md");
    let inventory = read(&file);
    let explained: BTreeMap<String, &str> = inventory
        .lines()
        .filter_map(|l| l.strip_prefix("| `"))
        .filter_map(|row| row.split_once('`'))
        .map(|(file, rest)| (format!("{folder}{file}"), rest))
        .collect();
    let mut wrong = String::new();
    let mut found = BTreeSet::new();
    for path in rust(&files()).filter(|p| p.starts_with(folder)) {
        let mut counts = [0; 3];
        count_unsafe(tokens(path), &mut counts);
        if counts == [0; 3] {
            continue;
        }
        let [blocks, fns, impls] = counts;
        let row = format!(" | {blocks} | {fns} | {impls} | ");
        match explained.get(path).and_then(|rest| rest.strip_prefix(row.as_str())) {
            // A sentence and the end of the row.
            Some(why) if why.ends_with(". |") => {}
            _ => {
                let _ = writeln!(wrong, "| `{}`{row}... |", &path[folder.len()..]);
            }
        }
        found.insert(path.to_string());
    }
    assert!(wrong.is_empty(), "{file} should have, each with a sentence on what makes it sound:\n{wrong}");
    let gone: Vec<&String> = explained.keys().filter(|p| !found.contains(*p)).collect();
    assert!(gone.is_empty(), "{file} explains files without `unsafe`: {gone:?}");
}

#[test]
fn every_other_crate_forbids_unsafe() {
    let files = files();
    let roots = sources(&files).filter(|p| p.ends_with("/src/lib.rs") || p.ends_with("/src/main.rs"));
    let mut count = 0;
    for path in roots.chain(["programs/lib.rs"]).filter(|p| !UNSAFE.iter().any(|u| p.starts_with(u))) {
        assert!(read(path).contains("\n#![forbid(unsafe_code)]\n"), "{path} has no #![forbid(unsafe_code)]");
        count += 1;
    }
    assert!(count >= 8, "only {count} crates found");
}

/// The part of SPEC.md between its markers, and what should stand there.
fn check_codes(name: &str, table: &str) {
    let spec = read("isa/SPEC.md");
    let open = format!("<!-- codes {name} -->\n");
    let from = spec.find(&open).unwrap_or_else(|| panic!("isa/SPEC.md has no {open}")) + open.len();
    let to = from + spec[from..].find("<!-- end codes -->").expect("the end of the codes");
    if spec[from..to] == *table {
        return;
    }
    assert!(
        std::env::var_os("BLESS").is_some(),
        "the {name} codes in isa/SPEC.md are not these (BLESS=1 writes):\n{table}"
    );
    std::fs::write(root().join("isa/SPEC.md"), format!("{}{table}{}", &spec[..from], &spec[to..])).unwrap();
}

#[test]
fn the_specification_lists_every_code() {
    // One test for both: blessed in parallel, they would overwrite each other.
    let mut table = String::from("| code | title | rule |\n|---|---|---|\n");
    for c in phalanx::verify::CODES {
        let _ = writeln!(table, "| {} | {} | {} |", c.code, c.title, c.rule.replace('|', "\\|"));
    }
    check_codes("verify", &table);
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for (code, title) in phalanx::asm::CODES {
        let _ = writeln!(table, "| {code} | {} |", title.replace('|', "\\|"));
    }
    check_codes("asm", &table);
}
