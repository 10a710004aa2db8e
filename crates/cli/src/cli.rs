//! The command line: commands, and what is said of those that are not built yet.

use crate::commands;
use crate::console::say;
use crate::failure::USAGE;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Assemble, check, run, test and measure data-parallel programs on a CPU.
///
/// Exit status: 0 done; 1 the input was rejected, trapped, or a check failed;
/// 2 wrong usage.
#[derive(Parser, Debug)]
#[command(name = "phalanx", version, max_term_width = 80, disable_help_subcommand = true)]
#[command(after_help = "Example:\n  phalanx demo digits")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// All commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Assemble and validate program text
    Asm(commands::asm::Args),
    /// Turn a binary module into text that assembles to the same bytes
    Dis(commands::dis::Args),
    /// Validate a program and say what its author should look at
    Check(commands::check::Args),
    /// Launch a kernel
    Run(Box<commands::run::Args>),
    /// Run a recorded failing launch again
    Replay(commands::replay::Args),
    /// Run the tests inside program files
    Test(commands::test::Args),
    /// Show the machine as detected and what was chosen for a program
    Explain(commands::explain::Args),
    /// Run an embedded example
    Demo(commands::demo::Args),
    /// Measure, a row per case
    Bench(Box<commands::bench::Args>),
    /// Write text with a BitNet model
    Generate(Box<commands::generate::Args>),
    /// Loss and perplexity of a BitNet model over a text
    Perplexity(commands::perplexity::Args),
    /// Show what a model file holds
    Info(commands::info::Args),
    /// Convert Hugging Face's packed safetensors to GGUF
    Convert(commands::convert::Args),
    /// Write a completion script for a shell
    Completions(commands::completions::Args),
}

/// Takes the command line apart. Help goes to stdout with status 0, what is wrong to stderr with status 2.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(args.into_iter().collect::<Vec<_>>()).map_err(|e| {
        if let Some(what) = not_built(&e) {
            say!("error: {what} is not built yet\n\nFor more information, try '--help'.");
            return ExitCode::from(USAGE);
        }
        // A closed pipe is no reason to panic.
        let _ = e.print();
        u8::try_from(e.exit_code()).map_or(ExitCode::from(USAGE), ExitCode::from)
    })
}

/// Values of options and arguments.
const VALUES: &[(&str, &str)] = &[("--executor", "compiled")];

/// What an error asks for, where it is known but not built yet. Such things are nowhere in the definitions above, so neither
/// help nor completions name them.
fn not_built(e: &clap::Error) -> Option<String> {
    let text = |kind: ContextKind| match e.get(kind) {
        Some(ContextValue::String(s)) => Some(s.as_str()),
        _ => None,
    };
    match e.kind() {
        ErrorKind::InvalidValue => {
            let (option, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
            let option = option.split_whitespace().next()?;
            let known = VALUES.contains(&(option, value));
            known.then(|| {
                if option.starts_with('<') { format!("`{value}`") } else { format!("`{option} {value}`") }
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_and_fits_80_columns() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{}: no example", command.get_name());
            let long = help.lines().find(|l| l.chars().count() > 80);
            assert_eq!(long, None, "{}", command.get_name());
        }
    }

    #[test]
    fn what_is_not_built_is_no_part_of_the_help() {
        let mut cli = Cli::command();
        cli.build();
        let mut all = cli.render_long_help().to_string();
        cli.get_subcommands_mut().for_each(|c| all += &c.render_long_help().to_string());
        for (_, name) in VALUES {
            let found = all.split(|c: char| !c.is_alphanumeric() && c != '-').any(|w| w == *name);
            assert!(!found, "`{name}` is in the help");
        }
    }
}
