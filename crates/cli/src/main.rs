//! The `phalanx` command: assemble, disassemble, check, run, test, explain, demonstrate and measure.
//!
//! One file per command under `commands`; what several need stands beside it: `console` (who reads what), `device` (executor,
//! SIMD level, threads), `source` (program files), `values` (`--arg` and the arrays behind it), `record` (a launch as a value and as a bundle),
//! `explore` (many schedules), `machine` (what it runs on),
//! `interrupt` (Ctrl-C), `trace` (timelines), `failure` (exit statuses).
//!
//! Exit status: 0 done; 1 the input was rejected, trapped, or a check failed; 2 wrong usage.
//!
//! Invariant: with `--json` stdout carries one JSON object per line and nothing else; what is meant for people goes to stderr.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod console;
mod device;
mod explore;
mod failure;
mod interrupt;
mod machine;
mod record;
mod resonance;
mod sanitize;
mod source;
mod trace;
mod values;
mod working;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    interrupt::install();
    failure::report(commands::run(cli))
}
