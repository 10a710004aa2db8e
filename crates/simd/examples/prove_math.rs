//! Runs every function of one `f32` over all 2^32 inputs against double precision, and fails where one exceeds its bound.
//!
//! ```text
//! cargo run --release -p phalanx-simd --example prove_math [-- [--sample N] [--threads N] [name...]]
//! ```
//!
//! `--sample N` takes every Nth input, names choose functions. With `RUSTFLAGS="-C target-cpu=native"` fused multiply-adds are
//! instructions instead of calls, which shortens the run several times; the results are the same bits.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use phalanx_simd::math::UNARY_F32;

#[path = "../tests/common/mod.rs"]
mod common;

/// Inputs per unit of work.
const CHUNK: u64 = 1 << 22;

struct Options {
    stride: u64,
    threads: usize,
    names: Vec<String>,
}

fn options() -> Result<Options, String> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut options = Options { stride: 1, threads, names: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            value
                .parse()
                .ok()
                .filter(|&n: &u64| n > 0)
                .ok_or_else(|| format!("{arg}: `{value}` is no positive number"))
        };
        match arg.as_str() {
            "--sample" => options.stride = number()?,
            "--threads" => options.threads = number()? as usize,
            name if UNARY_F32.iter().any(|row| row.0 == name) => options.names.push(arg),
            _ => return Err(format!("unknown argument `{arg}`; functions are {}", names().join(", "))),
        }
    }
    Ok(options)
}

fn names() -> Vec<&'static str> {
    UNARY_F32.iter().map(|row| row.0).collect()
}

/// The largest error and the bits of an input that has it, over every `stride`th input.
fn worst(function: fn(f32) -> f32, reference: fn(f64) -> f64, stride: u64, threads: usize) -> (f64, u32) {
    let next = AtomicU64::new(0);
    let worst = Mutex::new((-1.0, 0u32));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut local = (-1.0, 0u32);
                loop {
                    let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if start >= 1 << 32 {
                        break;
                    }
                    for input in (start.next_multiple_of(stride)..start + CHUNK).step_by(stride as usize) {
                        let x = f32::from_bits(input as u32);
                        let error = common::ulps_f32(function(x), reference(f64::from(x)));
                        if error > local.0 {
                            local = (error, input as u32);
                        }
                    }
                }
                let mut worst = worst.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                if local.0 > worst.0 {
                    *worst = local;
                }
            });
        }
    });
    worst.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("prove_math: {message}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    println!(
        "{:8} {:>10} {:>6}  {:>14} {:>10} {:>8}",
        "function", "max ULP", "bound", "at", "bits", "seconds"
    );
    for &(name, function, bound) in UNARY_F32 {
        if !options.names.is_empty() && !options.names.iter().any(|chosen| chosen == name) {
            continue;
        }
        let start = Instant::now();
        let (error, bits) = worst(function, common::reference(name), options.stride, options.threads);
        // The reference is itself rounded to double precision, by less than 2^-28 of a single's last place.
        let verdict = if error <= bound + 1e-6 { "" } else { "  ABOVE THE BOUND" };
        failed |= !verdict.is_empty();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{name:8} {error:10.6} {bound:6}  {:14e} {bits:#010x} {seconds:8.1}{verdict}",
            f32::from_bits(bits)
        );
    }
    ExitCode::from(u8::from(failed))
}
