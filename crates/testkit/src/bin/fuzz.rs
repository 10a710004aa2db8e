//! Fuzzes the whole chain for a while and says how far the inputs came.
//!
//! `fuzz --cases N [--seed S] [--only KIND] [--one KIND HEX]`: N random programs on two executors, N random bodies behind a
//! valid header, N damaged modules, N damaged texts and N damaged model files; or one kind of them, or the one input that a report names.
//! Inputs that go wrong are kept in `corpus/found/`. Exits with 1 where one did, or where too few damaged modules came far.

use phalanx_isa::{MAGIC, Module, encode};
use phalanx_testkit::fuzz::{Stage, fuzz_one_bytes, fuzz_one_module, fuzz_one_program, fuzz_one_text};
use phalanx_testkit::fuzz_model::{fuzz_one_model, random_model};
use phalanx_testkit::program::{Config, random_program};
use phalanx_testkit::{Rng, mutate};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Of all damaged modules, in percent: decoded, validated, ran, trapped.
const FLOORS: [u64; 4] = [50, 10, 5, 1];

/// Of all damaged model files, in percent: whose header was accepted.
const MODELS_READ: u64 = 20;

/// What inputs are made from.
struct Corpus {
    texts: Vec<String>,
    modules: Vec<Module>,
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with an ending, in a fixed order.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn corpus() -> Corpus {
    let dirs = [folder().join("../../programs"), folder().join("../../tests/diag"), folder().join("corpus")];
    let paths: Vec<PathBuf> = dirs.iter().flat_map(|d| files(d, "phx")).collect();
    let texts: Vec<String> = paths.iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect();
    let mut modules: Vec<Module> = Vec::new();
    for text in &texts {
        // One kernel each: a launch is of the first.
        let all = phalanx_asm::assemble("", text).map(|a| a.module.kernels).unwrap_or_default();
        modules.extend(all.into_iter().map(|k| Module { source: String::new(), kernels: vec![k] }));
    }
    let kept = files(&folder().join("corpus"), "phxb");
    modules.extend(kept.iter().filter_map(|p| phalanx_isa::decode(&std::fs::read(p).ok()?).ok()));
    Corpus { texts, modules }
}

/// A header that fits, then anything: random instructions, wild bytes, or small numbers, which look more like a module.
fn random_body(rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(2) {
        let seed = rng.bits();
        let mut m = random_program(seed, &Config { size: 1, ..Config::of(seed) }).module;
        mutate::random_code(&mut m, rng);
        return encode(&m);
    }
    let mut b = MAGIC.to_vec();
    b.extend([1, 0, 0, 1, 1, b'k', 0, 0]);
    let wild = rng.one_in(3);
    let n = rng.below(200);
    b.extend((0..n).map(|_| if wild { rng.bits() as u8 } else { rng.below(14) as u8 }));
    b
}

fn damaged_module(c: &Corpus, rng: &mut Rng) -> Vec<u8> {
    let mut m = if rng.one_in(3) && !c.modules.is_empty() {
        rng.pick(&c.modules).clone()
    } else {
        let seed = rng.bits();
        random_program(seed, &Config { size: rng.between(1, 4), ..Config::of(seed) }).module
    };
    for _ in 0..rng.between(1, 3) {
        mutate::module(&mut m, rng);
    }
    let mut bytes = encode(&m);
    if rng.one_in(6) {
        for _ in 0..rng.between(1, 3) {
            mutate::bytes(&mut bytes, rng);
        }
    }
    bytes
}

fn damaged_text(c: &Corpus, rng: &mut Rng) -> String {
    let mut t = match rng.below(8) {
        0 => {
            let n = rng.below(300);
            (0..n)
                .map(|_| char::from_u32(rng.below(if n < 150 { 128 } else { 0x3000 }) as u32).unwrap_or('x'))
                .collect()
        }
        1 | 2 => {
            let seed = rng.bits();
            let case = random_program(seed, &Config { size: 2, ..Config::of(seed) });
            phalanx_asm::disassemble(&case.module).unwrap_or_default()
        }
        _ => rng.pick(&c.texts).clone(),
    };
    for _ in 0..rng.below(4) {
        t = mutate::text(&t, &c.texts, rng);
    }
    t
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Programs,
    Bodies,
    Modules,
    Texts,
    Models,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Programs, "programs"),
    (Kind::Bodies, "bodies"),
    (Kind::Modules, "modules"),
    (Kind::Texts, "texts"),
    (Kind::Models, "models"),
];

struct Arguments {
    cases: u64,
    seed: u64,
    single: Option<(Kind, u64)>,
    only: Option<Kind>,
}

/// One input: how far it came, or what went wrong and the input itself.
fn one(kind: Kind, seed: u64, c: &Corpus) -> Result<Stage, (String, Vec<u8>)> {
    let make = || {
        let mut rng = Rng::new(seed);
        match kind {
            Kind::Programs => encode(&random_program(seed, &Config::of(seed)).module),
            Kind::Bodies => random_body(&mut rng),
            Kind::Modules => damaged_module(c, &mut rng),
            Kind::Texts => damaged_text(c, &mut rng).into_bytes(),
            Kind::Models => random_model(&mut rng),
        }
    };
    let said = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
    };
    let input = catch_unwind(AssertUnwindSafe(make))
        .map_err(|panic| (format!("the generator itself, {}", said(panic)), Vec::new()))?;
    let run = || match kind {
        Kind::Programs => fuzz_one_program(seed),
        Kind::Bodies => {
            let module = fuzz_one_bytes(&input)?;
            if module.is_some() { fuzz_one_module(&input, seed) } else { Ok(Stage::default()) }
        }
        Kind::Modules => fuzz_one_module(&input, seed),
        Kind::Models => fuzz_one_model(&input),
        Kind::Texts => {
            let text = String::from_utf8_lossy(&input);
            fuzz_one_text(&text).map(|accepted| Stage { decoded: accepted, ..Stage::default() })
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(stage)) => Ok(stage),
        Ok(Err(what)) => Err((what, input)),
        Err(panic) => Err((said(panic), input)),
    }
}

/// Keeps an input; a half-written file is never left behind.
fn keep(name: &str, seed: u64, kind: Kind, input: &[u8]) -> std::io::Result<PathBuf> {
    let dir = folder().join("corpus/found");
    std::fs::create_dir_all(&dir)?;
    let ending = match kind {
        Kind::Texts => "phx",
        Kind::Models => "gguf",
        _ => "phxb",
    };
    let path = dir.join(format!("{name}-{seed:016x}.{ending}"));
    let part = path.with_extension("part");
    std::fs::write(&part, input)?;
    std::fs::rename(part, &path)?;
    Ok(path)
}

fn named(word: &str) -> Result<Kind, String> {
    let found = KINDS.iter().find(|(_, n)| *n == word).map(|(k, _)| *k);
    found.ok_or_else(|| format!("`{word}` is none of programs, bodies, modules, texts, models"))
}

fn arguments() -> Result<Arguments, String> {
    let (mut cases, mut seed, mut single, mut only) = (1000, 1, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let mut number = || -> Result<u64, String> {
            let text = args.next().ok_or(format!("{a} needs a number"))?;
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            parsed.map_err(|e| format!("{text}: {e}"))
        };
        match a.as_str() {
            "--cases" => cases = number()?,
            "--seed" => seed = number()?,
            "--only" => {
                let word = args.next().unwrap_or_default();
                only = Some(named(&word)?);
            }
            "--one" => {
                let word = args.next().unwrap_or_default();
                let kind = named(&word)?;
                let text = args.next().unwrap_or_default();
                let hex = text.trim_start_matches("0x");
                single = Some((kind, u64::from_str_radix(hex, 16).map_err(|e| format!("{text}: {e}"))?));
            }
            _ => {
                return Err(format!(
                    "unknown argument {a}; fuzz --cases N [--seed S] [--only KIND] [--one KIND HEX]"
                ));
            }
        }
    }
    Ok(Arguments { cases, seed, single, only })
}

fn main() -> std::process::ExitCode {
    let Arguments { cases, seed, single, only } = match arguments() {
        Ok(a) => a,
        Err(e) => {
            eprintln!("{e}");
            return std::process::ExitCode::from(2);
        }
    };
    let corpus = corpus();
    if let Some((kind, seed)) = single {
        return match one(kind, seed, &corpus) {
            Ok(stage) => {
                println!("{stage:?}");
                std::process::ExitCode::SUCCESS
            }
            Err((what, input)) => {
                println!("{what}");
                if let Ok(m) = phalanx_isa::decode(&input) {
                    println!("{}", phalanx_asm::disassemble(&m).unwrap_or_default());
                }
                std::process::ExitCode::FAILURE
            }
        };
    }
    // A panic is reported with its input below.
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let mut failures = 0u64;
    let mut good = true;
    for (kind, name) in KINDS.into_iter().filter(|(k, _)| only.is_none_or(|o| o == *k)) {
        let mut seeds = Rng::new(seed);
        let mut counts = [0u64; 5];
        let mut shown = Instant::now();
        for i in 0..cases {
            let seed = seeds.bits();
            match one(kind, seed, &corpus) {
                Ok(s) => {
                    for (n, b) in
                        counts.iter_mut().zip([s.decoded, s.validated, s.ran, s.trapped, s.compared])
                    {
                        *n += u64::from(b);
                    }
                }
                Err((what, input)) => {
                    failures += 1;
                    let kept = keep(name, seed, kind, &input)
                        .map_or_else(|e| e.to_string(), |p| p.display().to_string());
                    let first: String = what.lines().next().unwrap_or_default().chars().take(600).collect();
                    println!("{name} {seed:#018x}: {first}\n  kept in {kept}");
                    if failures >= 50 {
                        println!("too many failures, stopping");
                        return std::process::ExitCode::FAILURE;
                    }
                }
            }
            if shown.elapsed().as_secs() >= 2 {
                shown = Instant::now();
                eprint!(
                    "\r{name}: {} of {cases}, {failures} failures, {:.0} s ",
                    i + 1,
                    start.elapsed().as_secs_f64()
                );
                std::io::stderr().flush().ok();
            }
        }
        eprintln!();
        let percent = |n: u64| 100 * n / cases.max(1);
        match kind {
            Kind::Models => {
                let [read, whole, tokens] = [counts[0], counts[1], counts[2]].map(percent);
                println!(
                    "{name}: {cases}, read {read} %, whole models {whole} %, with a tokeniser {tokens} %"
                );
                if read < MODELS_READ {
                    println!("too few were read");
                    good = false;
                }
            }
            Kind::Texts => println!("{name}: {cases}, accepted {} %", percent(counts[0])),
            Kind::Programs => println!("{name}: {cases}, trapped {} %", percent(counts[3])),
            Kind::Bodies => {
                println!(
                    "{name}: {cases}, decoded {}, validated {}, ran {}",
                    counts[0], counts[1], counts[2]
                );
            }
            Kind::Modules => {
                let words = ["decoded", "validated", "ran", "trapped", "compared"];
                let all: Vec<String> =
                    words.iter().zip(counts).map(|(w, n)| format!("{w} {} %", percent(n))).collect();
                println!("{name}: {cases}, {}", all.join(", "));
                let low = (0..4).filter(|i| percent(counts[*i]) < FLOORS[*i]);
                let low: Vec<&str> = low.map(|i| words[i]).collect();
                if !low.is_empty() {
                    println!("too few: {}", low.join(", "));
                    good = false;
                }
            }
        }
    }
    println!("{failures} failures, {:.0} s", start.elapsed().as_secs_f64());
    if failures == 0 && good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
