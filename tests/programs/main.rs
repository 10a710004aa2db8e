//! Every program assembles, is valid, and does what its tests and a plain Rust reference say.

mod bitnet;
mod convolutions;
mod elementwise;
mod matrices;
mod parallel;
mod resonance;
mod rows;
mod support;

use std::path::{Path, PathBuf};
use support::devices;

/// Warnings that a program is meant to have: program, code, why.
const WARNINGS: &[(&str, &str, &str)] =
    &[("scan_chained", "W0306", "waits for a flag, by design; its result is the same for every order")];

/// Programs checked against a reference at large sizes, one test each.
macro_rules! checks {
    ($($module:ident :: $check:ident = $program:literal;)*) => {
        const CHECKED: &[&str] = &[$($program),*];
        mod checks {
            $(#[test] fn $check() { super::$module::$check($program) })*
        }
    };
}

checks! {
    bitnet::attention = "bitnet/attention";
    bitnet::cache = "bitnet/cache";
    bitnet::embed = "bitnet/embed";
    bitnet::layer_norms = "bitnet/layer_norms";
    bitnet::norms = "bitnet/norms";
    elementwise::arithmetic = "arithmetic";
    elementwise::axpy = "axpy";
    elementwise::clip = "clip";
    convolutions::conv2d = "conv2d";
    convolutions::conv2d_plain = "conv2d_plain";
    convolutions::pool = "pool";
    elementwise::copy = "copy";
    elementwise::extrema = "extrema";
    elementwise::fill = "fill";
    elementwise::gelu = "gelu";
    elementwise::half = "half";
    elementwise::mean_of = "mean_of";
    elementwise::relu = "relu";
    elementwise::scalar = "scalar";
    elementwise::sigmoid = "sigmoid";
    elementwise::sign = "sign";
    elementwise::tanh = "tanh";
    matrices::attention_decode = "attention_decode";
    matrices::attention_prefill = "attention_prefill";
    matrices::digits = "digits/digits";
    matrices::embedding = "embedding";
    matrices::gemm = "gemm";
    matrices::matmul_tiled = "matmul_tiled";
    matrices::matvec = "matvec";
    matrices::rotary = "rotary";
    matrices::linear = "linear";
    matrices::ternary_matvec = "ternary_matvec";
    matrices::ternary_native = "ternary_native";
    matrices::transpose = "transpose";
    parallel::atlas_walk = "atlas_walk";
    parallel::binomial = "binomial";
    parallel::bitonic_sort = "bitonic_sort";
    parallel::histogram = "histogram";
    parallel::integrate = "integrate";
    parallel::kmeans = "kmeans";
    parallel::mandelbrot = "mandelbrot";
    parallel::nbody = "nbody";
    resonance::atlas_balance = "atlas_balance";
    resonance::atlas_resonance = "atlas_resonance";
    parallel::scan = "scan";
    parallel::scan_chained = "scan_chained";
    parallel::stencil1d = "stencil1d";
    parallel::stencil2d = "stencil2d";
    rows::argmax = "argmax";
    rows::binary_cross_entropy = "binary_cross_entropy";
    rows::cross_entropy = "cross_entropy";
    rows::dot = "dot";
    rows::layer_norm = "layer_norm";
    rows::min_max = "min_max";
    rows::mse = "mse";
    rows::quantise = "quantise";
    rows::rank_sort = "rank_sort";
    rows::rms_norm = "rms_norm";
    rows::softmax = "softmax";
    rows::sum = "sum";
    rows::topk = "topk";
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs")
}

#[test]
fn every_file_is_listed_and_checked() {
    let mut files = Vec::new();
    let folders =
        [(folder(), ""), (folder().join("bitnet"), "bitnet/"), (folder().join("digits"), "digits/")];
    for (dir, prefix) in folders {
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
    assert!(listed.len() >= 34);
    let mut checked = CHECKED.to_vec();
    checked.sort_unstable();
    assert_eq!(checked, listed);
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for p in phalanx_programs::PROGRAMS {
        assert!(readme.contains(&format!("`{}`", p.name)), "{}: not in the README", p.name);
        assert_eq!(phalanx_programs::find(p.name), Some(p));
        assert!(p.text.starts_with("//! ") && !p.summary().is_empty(), "{}: no header", p.name);
    }
    assert_eq!(phalanx_programs::find("no such program"), None);
}

#[test]
fn all_are_valid_and_warnings_are_explained() {
    let mut found = Vec::new();
    let mut wrong = String::new();
    for p in phalanx_programs::PROGRAMS {
        match devices()[0].cpu.load_named(&format!("{}.phx", p.name), p.text) {
            Err(e) => wrong += &format!("{e}\n"),
            Ok(program) => {
                for w in program.warnings() {
                    match WARNINGS.iter().find(|(name, code, _)| *name == p.name && *code == w.code) {
                        Some(expected) => found.push(*expected),
                        None => {
                            wrong += &format!("{}.phx:{}: {} {}\n", p.name, w.span.line, w.code, w.message)
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for w in WARNINGS {
        assert!(found.contains(w), "no longer warned: {w:?}");
    }
}

#[test]
fn the_tests_in_the_files_pass_on_every_device() {
    let mut wrong = String::new();
    for p in phalanx_programs::PROGRAMS {
        let cases = match phalanx::testing::parse(p.text) {
            Ok(cases) => cases,
            Err(errors) => {
                for e in errors {
                    wrong += &format!("{}.phx: {e}\n", p.name);
                }
                continue;
            }
        };
        assert!(!cases.is_empty(), "{}: no test", p.name);
        let file = folder().join(p.name);
        for device in devices() {
            let program = device.cpu.load_named(&format!("{}.phx", p.name), p.text).unwrap();
            for case in &cases {
                let base = file.parent().unwrap();
                if let Err(e) = phalanx::testing::run(&device.cpu, &program, case, base) {
                    wrong += &format!("{}.phx on {}: {e}\n", p.name, device.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn nothing_to_do_is_done() {
    for device in devices() {
        let load = |name| device.cpu.load(phalanx_programs::find(name).unwrap().text).unwrap();
        let empty = device.cpu.zeros::<f32>(0).unwrap();
        let launch = load("relu").only_kernel().unwrap().launch_declared();
        launch.arg("x", &empty).arg("y", empty.clone()).run().unwrap();
        let launch = load("gemm").only_kernel().unwrap().launch_declared();
        let launch = launch.arg("a", &empty).arg("b", &empty).arg("c", device.cpu.zeros::<f32>(0).unwrap());
        launch.arg("m", 0u32).arg("n", 5u32).arg("k", 0u32).run().unwrap();
        // The final step of a sum over nothing: no partial sums, total 0.
        let total = device.cpu.buffer(&[7.0f32]).unwrap();
        let launch = load("sum").kernel("sum_final").unwrap().launch_declared();
        launch.arg("part", &empty).arg("total", &total).run().unwrap();
        assert_eq!(total.read().unwrap(), [0.0], "{}", device.name);
    }
}
