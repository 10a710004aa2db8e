//! What can go wrong, from loading to running.

use crate::data::DataError;
use crate::ops::OpError;
use crate::{BufferError, LaunchError};
use phalanx_isa::{DecodeError, Diagnostic, Severity, Span};
use std::sync::Arc;

/// The code of the one diagnostic of bytes that are no module.
pub const BAD_BINARY: &str = "E0001";

/// Everything that this crate's calls can fail with, for callers that want one type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A program was rejected.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A launch was refused or trapped.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Memory could not be had or used.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// Data could not be made or read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A shape is no convolution, or its filters cannot be packed.
    #[error(transparent)]
    Conv(#[from] phalanx_kernels::conv::ConvError),
    /// An operation of the library was named or called wrongly.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// Why a [`crate::Cpu`] could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No executor has this name.
    #[error("no executor `{name}`; there are: {}", crate::cpu::EXECUTORS.join(", "))]
    Executor {
        /// Asked for.
        name: String,
    },
    /// The machine lacks the SIMD level.
    #[error("this machine has no SIMD level `{tier}`; it has: {}", names(&phalanx_simd::Tier::available()))]
    Simd {
        /// Asked for.
        tier: phalanx_simd::Tier,
    },
    /// Both a number of threads and workers were given.
    #[error("give either a number of threads or workers of your own, which have their number")]
    ThreadsAndWorkers,
}

fn names(tiers: &[phalanx_simd::Tier]) -> String {
    tiers.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ")
}

/// Where the text of a program is kept, for messages that show its lines.
#[derive(Clone)]
pub(crate) struct Source {
    /// Name of the file; may be empty.
    pub(crate) name: Arc<str>,
    /// The text; empty for modules that came without.
    pub(crate) text: Arc<str>,
}

impl Source {
    /// The diagnostics as a person reads them.
    pub(crate) fn render(&self, diagnostics: &[Diagnostic]) -> String {
        let name = if self.name.is_empty() { "program" } else { &*self.name };
        #[cfg(feature = "render")]
        return phalanx_asm::render_all(diagnostics, name, &self.text, false);
        #[cfg(not(feature = "render"))]
        plain(diagnostics, name)
    }
}

/// A few lines for each diagnostic, without source lines.
#[cfg(not(feature = "render"))]
fn plain(diagnostics: &[Diagnostic], name: &str) -> String {
    let mut out = String::new();
    for d in diagnostics {
        let severity = match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        out += &format!("{severity}[{}]: {}\n", d.code, d.message);
        if d.span.line > 0 {
            out += &format!("  --> {name}:{}:{}\n", d.span.line, d.span.col);
        }
        for l in d.labels.iter().filter(|l| l.span.line > 0) {
            out += &format!("  --> {name}:{}:{}: {}\n", l.span.line, l.span.col, l.text);
        }
        if let Some(help) = &d.help {
            out += &format!("help: {help}\n");
        }
    }
    out
}

/// A program that was rejected: everything that is wrong with it. `Display` and `Debug` show it with the lines of its source
/// (feature `render`), so `unwrap` and `main` report it well.
#[derive(Clone, thiserror::Error)]
#[error("{}", self.text.render(&self.diagnostics).trim_end())]
pub struct LoadError {
    text: Source,
    diagnostics: Vec<Diagnostic>,
}

impl std::fmt::Debug for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{self}")
    }
}

impl LoadError {
    pub(crate) fn new(source: Source, diagnostics: Vec<Diagnostic>) -> LoadError {
        LoadError { text: source, diagnostics }
    }

    pub(crate) fn undecoded(source: Source, e: &DecodeError) -> LoadError {
        let d = Diagnostic {
            code: BAD_BINARY,
            severity: Severity::Error,
            message: format!("the bytes are no Phalanx module: {e}"),
            span: Span::default(),
            label: String::new(),
            labels: Vec::new(),
            help: None,
        };
        LoadError::new(source, vec![d])
    }

    /// All errors, in the order of the text; never empty.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The name that the program was loaded under; may be empty.
    pub fn name(&self) -> &str {
        &self.text.name
    }
}
