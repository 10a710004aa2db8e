//! How a command ends: what is said and which status it has.

use crate::console::say;
use phalanx::LaunchError;
use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

/// Status of wrong usage, as of the option parser.
pub const USAGE: u8 = 2;

/// The command line asks for something that cannot be: status 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Everything has been said already: status 1.
#[derive(Debug)]
pub struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Told {}

/// Wrong usage as an error.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// A launch that was refused: wrong usage where names, values and sizes of the command line do not fit the kernel, else a
/// rejected input.
pub fn launch(e: LaunchError) -> anyhow::Error {
    match e {
        LaunchError::NoKernel { .. }
        | LaunchError::Missing { .. }
        | LaunchError::Unknown { .. }
        | LaunchError::Kind { .. }
        | LaunchError::Config { .. } => usage(e.to_string()),
        e => e.into(),
    }
}

/// Whether nobody reads the output any more.
pub fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|c| c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}

/// Says what went wrong, unless that was done, and gives the status.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(e) = result else { return ExitCode::SUCCESS };
    if e.chain()
        .any(|c| c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
    {
        // Whoever read the output has seen enough, as `head` does.
        return ExitCode::SUCCESS;
    }
    if e.is::<Told>() {
        return ExitCode::FAILURE;
    }
    say!("error: {e:#}");
    if e.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}
