//! Oclgrind (Debian package `oclgrind`): its race detector on programs of ours that are also written in OpenCL C, beside ours.
//!
//! `oclgrind-kernel` reads a launch from a file, compiles the kernel, runs it and prints buffers. Compiling and reading take
//! long, so its time is the difference of two processes that do the same but for the grid: all of it, and one block (which
//! its time is then too short by).

use super::timing::{alone, interval, median};
use super::{Row, Table};
use crate::console::say;
use anyhow::{Context, bail, ensure};
use phalanx::data::{default_range, elements, random, to_f64};
use phalanx::{BoundLaunch, Checks, Cpu, RawView, Type};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Pairs of processes for a case.
const PAIRS: usize = 5;
/// How many times as fast as the rival the checkers are meant to be at least.
const AIM: f64 = 20.0;

/// The value of a parameter, in the order of the OpenCL kernel's.
enum Value {
    Random(Type, usize),
    Zeros(Type, usize),
    F32(f32),
    U32(u32),
    /// A number that the OpenCL kernel needs and ours takes from a buffer's length.
    Only(u32),
}

struct Case {
    program: &'static str,
    args: Vec<(&'static str, Value)>,
    /// Blocks, and lanes of one.
    grid: [u32; 2],
    block: [u32; 2],
    /// The buffer that is compared.
    answer: &'static str,
}

fn cases() -> Vec<Case> {
    use Value::{F32, Only, Random, U32, Zeros};
    let (f, u) = (Type::F32, Type::U32);
    let bodies = 512;
    vec![
        Case {
            program: "axpy",
            args: vec![
                ("x", Random(f, 1 << 17)),
                ("y", Random(f, 1 << 17)),
                ("a", F32(0.5)),
                ("", Only(1 << 17)),
            ],
            grid: [1 << 9, 1],
            block: [256, 1],
            answer: "y",
        },
        Case {
            program: "histogram",
            args: vec![("x", Random(Type::U8, 1 << 17)), ("bins", Zeros(u, 256)), ("", Only(1 << 17))],
            grid: [32, 1],
            block: [256, 1],
            answer: "bins",
        },
        Case {
            program: "transpose",
            args: vec![
                ("x", Random(f, 1 << 16)),
                ("y", Zeros(f, 1 << 16)),
                ("rows", U32(256)),
                ("cols", U32(256)),
            ],
            grid: [8, 8],
            block: [32, 8],
            answer: "y",
        },
        Case {
            program: "matmul_tiled",
            args: vec![
                ("a", Random(f, 64 * 64)),
                ("b", Random(f, 64 * 64)),
                ("c", Zeros(f, 64 * 64)),
                ("m", U32(64)),
                ("n", U32(64)),
                ("k", U32(64)),
            ],
            grid: [4, 4],
            block: [16, 16],
            answer: "c",
        },
        Case {
            program: "nbody",
            args: vec![
                ("body", Random(f, 4 * bodies)),
                ("speed", Zeros(f, 4 * bodies)),
                ("next", Zeros(f, 4 * bodies)),
                ("dt", F32(1e-3)),
                ("eps2", F32(1e-2)),
                ("", Only(bodies as u32)),
            ],
            grid: [bodies as u32 / 128, 1],
            block: [128, 1],
            answer: "next",
        },
        Case {
            program: "mandelbrot",
            args: vec![
                ("steps", Zeros(u, 64 * 64)),
                ("width", U32(64)),
                ("height", U32(64)),
                ("left", F32(-2.0)),
                ("top", F32(1.25)),
                ("pitch", F32(2.5 / 64.0)),
                ("limit", U32(64)),
            ],
            grid: [4, 8],
            block: [16, 8],
            answer: "steps",
        },
        Case {
            program: "bitonic_sort",
            args: vec![("x", Random(u, 1 << 13)), ("", Only(1 << 13))],
            grid: [16, 1],
            block: [256, 1],
            answer: "x",
        },
        Case {
            program: "stencil1d",
            args: vec![("x", Random(f, 1 << 16)), ("y", Zeros(f, 1 << 16)), ("", Only(1 << 16))],
            grid: [1 << 8, 1],
            block: [256, 1],
            answer: "y",
        },
    ]
}

impl Value {
    /// Type and bytes.
    fn bytes(&self, seed: u64) -> anyhow::Result<(Type, Vec<u8>)> {
        Ok(match *self {
            Value::Random(ty, n) => {
                let (low, high) = if ty == Type::U8 { (0.0, 255.0) } else { default_range(ty) };
                (ty, random(ty, n, seed, low, high).context("a range that its type lacks")?)
            }
            Value::Zeros(ty, n) => (ty, vec![0; n * ty.bytes()]),
            Value::F32(x) => (Type::F32, x.to_le_bytes().to_vec()),
            Value::U32(n) | Value::Only(n) => (Type::U32, n.to_le_bytes().to_vec()),
        })
    }
}

impl Case {
    fn name(&self) -> String {
        format!("all checks: {} to oclgrind", self.program)
    }

    /// Our launch with fresh buffers, and the one that is compared.
    fn ours(&self, cpu: &Cpu) -> anyhow::Result<(BoundLaunch, RawView)> {
        let found = phalanx_programs::find(self.program).context("no such program")?;
        let program = cpu.load_named(&format!("programs/{}.phx", self.program), found.text)?;
        let mut launch = program.kernel(self.program)?.launch_declared();
        let mut answer = None;
        for ((name, value), seed) in self.args.iter().zip(1..) {
            launch = match *value {
                Value::F32(x) => launch.arg(name, x),
                Value::U32(n) => launch.arg(name, n),
                Value::Only(_) => launch,
                Value::Random(..) | Value::Zeros(..) => {
                    let (ty, bytes) = value.bytes(seed)?;
                    let view = cpu.raw_buffer(ty, &bytes)?;
                    if *name == self.answer {
                        answer = Some(view.clone());
                    }
                    launch.arg(name, view)
                }
            };
        }
        Ok((launch.bind()?, answer.context("no answer")?))
    }

    /// Oclgrind's description of the launch; `blocks`: in x and y.
    fn simulation(&self, blocks: [u32; 2]) -> anyhow::Result<String> {
        let [x, y] = self.block;
        let mut text =
            format!("{0}.cl\n{0}\n{1} {2} 1\n{x} {y} 1\n", self.program, blocks[0] * x, blocks[1] * y);
        for ((name, value), seed) in self.args.iter().zip(1..) {
            let (ty, bytes) = value.bytes(seed)?;
            // As bits, so that nothing is rounded on the way.
            let word = if ty.bytes() == 1 { "uchar" } else { "uint" };
            let dump = if *name == self.answer { " dump" } else { "" };
            let _ = writeln!(text, "<size={} {word}{dump}>", bytes.len());
            elements(ty, &bytes).for_each(|bits| text += &format!("{bits} "));
            text.push('\n');
        }
        Ok(text)
    }
}

/// Runs `oclgrind-kernel` on a description; what it printed, and the seconds that it took.
fn detect(folder: &Path, file: &str, threads: usize) -> anyhow::Result<(String, f64)> {
    let from = Instant::now();
    let out = Command::new("oclgrind-kernel")
        .args(["--data-races", "--num-threads", &threads.to_string(), file])
        .current_dir(folder)
        .output()
        .context("starting oclgrind-kernel (Debian package oclgrind)")?;
    let seconds = from.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success() && errors.trim().is_empty(), "oclgrind-kernel {file}: {errors}");
    Ok((String::from_utf8_lossy(&out.stdout).into_owned(), seconds))
}

/// The bits of the elements in a dump: lines `  y[3] = 7`.
fn dumped(text: &str) -> anyhow::Result<Vec<u64>> {
    let values = text.lines().filter_map(|l| l.trim().split_once("] = "));
    values.map(|(_, v)| v.parse().with_context(|| format!("oclgrind dumped {v:?}"))).collect()
}

/// Measures all cases; `rivals`: the folder with `opencl`.
pub fn run(cpu: &Cpu, rivals: &Path, table: &mut Table) -> anyhow::Result<()> {
    let folder = Work::new(&rivals.join("opencl"))?;
    let mut worst = f64::INFINITY;
    for case in cases() {
        if table.wants(&case.name()) {
            worst = worst.min(measure(&case, cpu, &folder.0, table)?);
        }
    }
    if worst.is_finite() {
        say!("the least ratio is {worst:.0}; the aim is {AIM:.0}");
    }
    Ok(())
}

/// The ratio.
fn measure(case: &Case, cpu: &Cpu, folder: &Path, table: &mut Table) -> anyhow::Result<f64> {
    let name = case.program;
    for (file, blocks) in [("all", case.grid), ("one", [1, 1])] {
        std::fs::write(folder.join(format!("{name}.{file}.sim")), case.simulation(blocks)?)?;
    }
    let (launch, answer) = case.ours(cpu)?;
    let checked = launch.sanitize(Checks::ALL)?;
    if !checked.is_clean() {
        bail!("{name}: {checked}");
    }
    let threads = cpu.threads();
    let (text, _) = detect(folder, &format!("{name}.all.sim"), threads)?;
    let mut bytes = vec![0; answer.len as usize * answer.elem.bytes()];
    answer.buffer.read(answer.offset, &mut bytes)?;
    let ours: Vec<u64> = elements(answer.elem, &bytes).collect();
    let theirs = dumped(&text)?;
    let close = |(a, b): (&u64, &u64)| {
        let (a, b) = (to_f64(answer.elem, *a), to_f64(answer.elem, *b));
        (a - b).abs() <= 1e-5 * (1.0 + b.abs())
    };
    let verified = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(close);
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let all = detect(folder, &format!("{name}.all.sim"), threads)?.1;
        let one = detect(folder, &format!("{name}.one.sim"), threads)?.1;
        let ours = alone(&mut || {
            launch.sanitize(Checks::ALL)?;
            Ok(())
        })?;
        a.push(ours * 1e3);
        b.push((all - one) * 1e3);
        ratios.push((all - one) / ours);
    }
    let ratio = interval(&ratios);
    let (ours, rival) = (median(&mut a), median(&mut b));
    table.add(&Row {
        case: case.name(),
        unit: "ms",
        ours,
        rival: Some(rival),
        ratio: Some(ratio),
        limit: Some(rival / AIM),
        verified: Some(verified),
    })?;
    Ok(ratio.middle)
}

/// A folder of its own with the kernels, that goes when it is dropped.
struct Work(PathBuf);

impl Work {
    fn new(kernels: &Path) -> anyhow::Result<Work> {
        let work = Work(std::env::temp_dir().join(format!("phalanx-oclgrind-{}", std::process::id())));
        std::fs::create_dir_all(&work.0)?;
        let files = std::fs::read_dir(kernels)
            .with_context(|| format!("{}: `--rivals` names the folder above", kernels.display()))?;
        for file in files {
            let file = file?;
            std::fs::copy(file.path(), work.0.join(file.file_name()))?;
        }
        Ok(work)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
