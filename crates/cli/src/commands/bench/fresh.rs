//! A model in a process of its own, which does nothing but load and run it: how long loading takes with and without the file in the
//! page cache, and the most memory that was in use, pages of the mapped file included.

use crate::device::Device;
use anyhow::Context;
use phalanx::Cpu;
use phalanx_engine::{Config, Entry, Model, ModelFile, Options, Session};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// What runs the model there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// All threads.
    Parallel,
    /// The caller's thread alone.
    Sequential,
}

/// What such a process tells.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Seconds of loading.
    pub load: f64,
    /// Bytes at most; 0 where the system does not say.
    pub peak: f64,
    /// Bytes of packed weights and cache.
    pub needed: f64,
}

/// Rows of the prompt and tokens after it.
const TOKENS: (usize, usize) = (64, 16);

/// The largest memory of this process so far, pages of mapped files included; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |n| n << 10)
}

/// In the process of its own: loads, runs, and what it took.
///
/// # Errors
/// A file that cannot be loaded, a launch that fails.
pub fn report(cpu: &Cpu, path: &Path, context: usize, how: How) -> anyhow::Result<Value> {
    let begin = Instant::now();
    let model = Model::load(cpu, &Arc::new(ModelFile::open(path)?), &Options::default())?;
    let load = begin.elapsed().as_secs_f64();
    let mut session = Session::new(&model, Config { context, ..Config::default() })?;
    let vocab = model.graph().shape.vocab as u32;
    let (prompt, more) = (TOKENS.0.min(context / 2), TOKENS.1.min(context / 2));
    let row = |i: usize, wanted| Entry { text: 0, token: (i as u32 * 7919 + 13) % vocab, wanted };
    let rows: Vec<Entry> = (0..prompt).map(|i| row(i, i + 1 == prompt)).collect();
    let parts = rows.chunks(session.config().rows).map(<[_]>::to_vec);
    let single = (prompt..prompt + more).map(|i| vec![row(i, true)]);
    for part in parts.chain(single).collect::<Vec<_>>() {
        match how {
            How::Parallel => session.forward(&part, None, &mut |_, _| {})?,
            How::Sequential => session.forward_sequential(&part, &mut |_, _| {})?,
        }
    }
    let needed = model.block_bytes() + model.head_bytes() + session.cache_bytes();
    Ok(json!({"fresh": {"load": load, "peak": peak(), "needed": needed}}))
}

/// Starts such a process for a file and reads what it tells.
///
/// # Errors
/// It cannot be started or fails.
pub fn measure(device: &Device, cpu: &Cpu, path: &Path, context: usize, how: How) -> anyhow::Result<Fresh> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "model", "--json", "--file"]).arg(path);
    command.args(["--fresh", if how == How::Parallel { "parallel" } else { "sequential" }]);
    command.args(["--context", &context.to_string(), "--threads", &cpu.threads().to_string()]);
    command.args(["--simd", device.tier().name(), "--executor", &device.executor]);
    let done = command.output().with_context(|| format!("starting {command:?}"))?;
    let text = String::from_utf8_lossy(&done.stdout);
    let told = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let told = told.filter_map(|v| v.get("fresh").cloned()).next_back();
    let told = told.with_context(|| {
        format!("a process of its own for the model: {}", String::from_utf8_lossy(&done.stderr).trim())
    })?;
    let number = |name: &str| told[name].as_f64().unwrap_or(0.0);
    Ok(Fresh { load: number("load"), peak: number("peak"), needed: number("needed") })
}

/// Asks the system to drop a file's pages from its cache. False where it does not do that.
pub fn cool(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Advice, fadvise};
        let dropped = std::fs::File::open(path).and_then(|file| {
            file.sync_all()?;
            Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
        });
        dropped.is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}
