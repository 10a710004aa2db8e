//! Rivals that run in processes of their own: programs under `benches/rivals` that answer one request a line.
//!
//! A rival of its own process keeps its threads, its memory and its crashes to itself, and uses no processor while it waits for
//! a line, so that both sides can be timed in turn. `benches/rivals/rival.py` says what the lines are.

use crate::failure::usage;
use anyhow::{Context, bail};
use phalanx::isa::PackFormat;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Whom measurements can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rival {
    /// ggml, from PyPI's llama-cpp-python
    Ggml,
    /// llama.cpp with whole models, from PyPI's llama-cpp-python
    Llama,
    /// ONNX Runtime, from PyPI
    Onnxruntime,
    /// OpenVINO, from PyPI
    Openvino,
    /// The crate rten-gemm
    Rten,
    /// The crate candle-core
    Candle,
    /// The crate gemm
    Gemm,
    /// Oclgrind, from Debian
    Oclgrind,
    /// Plain nested loops, in this process: for convolutions
    Naive,
}

/// With whom to compare.
#[derive(clap::Args, Debug)]
pub struct Against {
    /// matmul, conv, sanitize, model: compare with this rival
    #[arg(long, value_name = "RIVAL")]
    against: Option<Rival>,
    /// The folder of the rivals' programs
    #[arg(long = "rivals", value_name = "DIR", default_value = "benches/rivals")]
    pub folder: PathBuf,
}

impl Against {
    /// The rival, where one is given; `suits`: whether the measurement knows it.
    ///
    /// # Errors
    /// Wrong usage: a rival of another measurement.
    pub fn rival(&self, suits: impl Fn(Rival) -> bool) -> anyhow::Result<Option<Rival>> {
        match self.against {
            Some(rival) if !suits(rival) => {
                Err(usage(format!("{} is no rival in this measurement", rival.name())))
            }
            rival => Ok(rival),
        }
    }
}

impl Rival {
    /// The name on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or(String::new(), |v| v.get_name().to_string())
    }

    fn command(self, folder: &Path) -> Command {
        match self {
            Rival::Ggml | Rival::Llama | Rival::Onnxruntime | Rival::Openvino => {
                let own = folder.join(".venv/bin/python");
                let python = std::env::var_os("PHALANX_PYTHON").map(PathBuf::from);
                let mut c = Command::new(python.unwrap_or(if own.exists() { own } else { "python3".into() }));
                c.arg(folder.join("rival.py"));
                c
            }
            Rival::Rten | Rival::Candle | Rival::Gemm => {
                let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                c.args(["run", "--release", "--quiet", "--manifest-path"])
                    .arg(folder.join("Cargo.toml"))
                    .arg("--");
                c
            }
            // They are no process.
            Rival::Naive => Command::new("naive-loops"),
            // It answers no requests; `oclgrind` starts it for each launch.
            Rival::Oclgrind => Command::new("oclgrind-kernel"),
        }
    }
}

/// A rival that waits for requests.
pub struct Process {
    rival: Rival,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the rival for a number of threads; `folder` is `benches/rivals`.
    pub fn start(rival: Rival, folder: &Path, threads: usize) -> anyhow::Result<Process> {
        let mut command = rival.command(folder);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command.arg(rival.name()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { bail!("the rival has no pipes") };
        Ok(Process { rival, child, to, from: BufReader::new(from) })
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let name = self.rival.name();
        writeln!(self.to, "{request}")
            .with_context(|| format!("{name} is gone; see its README for what it needs"))?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        if line.is_empty() {
            bail!("{name} gave no answer; benches/rivals/README.md says what it needs");
        }
        serde_json::from_str(&line).with_context(|| format!("{name} answered {line:?}"))
    }

    /// Makes a case ready. `Err(why)` in the inner result: the rival has no such product.
    pub fn case(&mut self, case: Value) -> anyhow::Result<Result<String, String>> {
        let reply = self.ask(&json!({ "case": case }))?;
        let text = |key: &str| reply.get(key).and_then(Value::as_str).map(str::to_string);
        match (text("ok"), text("refused")) {
            (Some(what), _) => Ok(Ok(what)),
            (None, Some(why)) => Ok(Err(why)),
            (None, None) => bail!("{} answered {reply}", self.rival.name()),
        }
    }

    /// Whether the rival turns f32 into codes within a product with such weights; otherwise it is given codes.
    pub fn quantises(&self, format: PackFormat) -> bool {
        !(matches!(self.rival, Rival::Onnxruntime | Rival::Rten) && format == PackFormat::I8)
    }

    /// Seconds of `runs` products together.
    pub fn run(&mut self, runs: u32) -> anyhow::Result<f64> {
        let reply = self.ask(&json!({ "run": runs }))?;
        reply.get("seconds").and_then(Value::as_f64).with_context(|| format!("no seconds in {reply}"))
    }

    /// Seconds of one product, in `runs` of them.
    pub fn each(&mut self, runs: u32) -> anyhow::Result<f64> {
        Ok(self.run(runs)? / f64::from(runs))
    }

    /// The case's result.
    pub fn answer(&mut self, file: &Path) -> anyhow::Result<Vec<f32>> {
        self.ask(&json!({ "answer": file }))?;
        let bytes = std::fs::read(file)?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
