//! `completions`: scripts for shells.

use crate::cli::Cli;
use clap::CommandFactory;
use std::io::Write;

/// Write a completion script for a shell to stdout.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  phalanx completions bash > ~/.local/share/bash-completion/completions/phalanx"
)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the command.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "phalanx", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}
