//! The commands, one file each.

pub mod asm;
pub mod bench;
pub mod check;
pub mod completions;
pub mod convert;
pub mod demo;
pub mod dis;
pub mod explain;
pub mod generate;
pub mod info;
pub mod model;
pub mod perplexity;
pub mod replay;
pub mod run;
pub mod test;

use crate::cli::{Cli, Command};

/// Runs the command.
///
/// # Errors
/// What [`crate::failure::report`] says and gives a status to.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Asm(args) => asm::run(&args),
        Command::Dis(args) => dis::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Perplexity(args) => perplexity::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
