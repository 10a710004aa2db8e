//! `test`: the tests inside program files.

use crate::console::{Console, count, say};
use crate::device::Device;
use crate::failure::{Told, is_broken_pipe};
use crate::source::{Content, Source};
use phalanx::{Cpu, testing};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Run the tests inside program files: comment lines that begin with `//=` and
/// say what a kernel is given and what must come out.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx test programs/softmax.phx programs/sum.phx")]
pub struct Args {
    /// Program text with tests
    #[arg(value_name = "FILE.phx", required = true)]
    files: Vec<PathBuf>,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// A row per test
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Files that are wrong as a whole.
    rejected: u64,
}

/// Runs the command.
///
/// # Errors
/// A test fails, a program is rejected, a file cannot be read, or there are no tests at all.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let cpu = args.device.open()?;
    let mut tally = Tally::default();
    for path in &args.files {
        if let Err(e) = run_file(&cpu, path, console, &mut tally) {
            // The other files can still be tested, unless nobody reads any more.
            if is_broken_pipe(&e) {
                return Err(e);
            }
            if !e.is::<Told>() {
                say!("error: {e:#}");
            }
            tally.rejected += 1;
        }
    }
    let files = count(args.files.len() as u64, "file");
    let mut text = format!("{} passed, {} failed in {files}", tally.passed, tally.failed);
    if tally.rejected > 0 {
        text += &format!(", {} not run", count(tally.rejected, "file"));
    }
    say!("{text}");
    if tally.failed + tally.rejected > 0 {
        return Err(Told.into());
    }
    if tally.passed == 0 {
        anyhow::bail!("there is no test: a test begins with a line `//= test NAME`");
    }
    Ok(())
}

fn run_file(cpu: &Cpu, path: &Path, console: Console, tally: &mut Tally) -> anyhow::Result<()> {
    let source = Source::read(path)?;
    let Content::Text(text) = &source.content else {
        anyhow::bail!("`{}` is a binary module: tests stand in program text", source.name);
    };
    let program = source.load(cpu, console)?;
    let cases = match testing::parse(text) {
        Ok(cases) => cases,
        Err(errors) => {
            for e in errors {
                say!("error: {}:{}: {}", source.name, e.line, e.message);
                console.row(&json!({
                    "file": source.name, "test": null, "line": e.line, "passed": false, "message": e.message,
                }))?;
            }
            return Err(Told.into());
        }
    };
    let base = path.parent().unwrap_or(Path::new("."));
    for case in &cases {
        let result = testing::run(cpu, &program, case, base);
        let (line, message) = match &result {
            Ok(()) => (case.line, None),
            Err(f) => (f.line, Some(f.message.clone())),
        };
        match &message {
            None => {
                tally.passed += 1;
                console.line(format!("ok      {} {}", source.name, case.name))?;
            }
            Some(message) => {
                tally.failed += 1;
                console.line(format!("FAILED  {} {}", source.name, case.name))?;
                say!("  {}:{line}: {}", source.name, message.replace('\n', "\n  "));
            }
        }
        console.row(&json!({
            "file": source.name, "test": case.name, "line": line, "passed": result.is_ok(), "message": message,
        }))?;
    }
    Ok(())
}
