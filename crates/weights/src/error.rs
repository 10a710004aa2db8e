//! The one error type: where in a file, what was expected, what to do.

use phalanx_formats::FormatError;
use std::path::PathBuf;

/// Why a model file cannot be read, written or converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Any of the others, with the file.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file as the caller named it.
        path: PathBuf,
        /// What is wrong.
        error: Box<WeightsError>,
    },
    /// The operating system refused.
    #[error("cannot {action}: {error}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The answer.
        error: std::io::Error,
    },
    /// Not a GGUF file, or one that this reader does not know.
    #[error("{0}")]
    Kind(String),
    /// The file ends before what it announces.
    #[error(
        "byte {at}: {what} takes {needed} bytes, but the file ends after {left}; it is damaged or was not copied whole"
    )]
    Short {
        /// Where, from the start of the file.
        at: usize,
        /// What should stand there.
        what: &'static str,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are there.
        left: usize,
    },
    /// Something in a GGUF header breaks the format's rules.
    #[error("byte {at}: {what}")]
    Header {
        /// Where, from the start of the file.
        at: usize,
        /// The rule and what was found.
        what: String,
    },
    /// A tensor of a GGUF file breaks the format's rules or is not what the model needs.
    #[error("tensor `{name}`: {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A key of a GGUF file is missing or not of the type that the model needs.
    #[error("key `{key}`: {what}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A tensor's bytes are no matrix of its format.
    #[error("tensor `{name}`: {error}")]
    Format {
        /// Its name.
        name: String,
        /// What is wrong.
        error: FormatError,
    },
    /// A tensor cannot be packed for the products.
    #[error("tensor `{name}`: {error}")]
    Pack {
        /// Its name.
        name: String,
        /// What is wrong.
        error: phalanx_kernels::PackError,
    },
    /// A Hugging Face folder lacks something or has it in a form that is not converted.
    #[error("{0}")]
    Convert(String),
}

impl WeightsError {
    /// Adds the file.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> WeightsError {
        match self {
            named @ WeightsError::InFile { .. } => named,
            error => WeightsError::InFile { path: path.into(), error: Box::new(error) },
        }
    }
    pub(crate) fn io(action: &'static str) -> impl Fn(std::io::Error) -> WeightsError {
        move |error| WeightsError::Io { action, error }
    }
    pub(crate) fn tensor(name: &str, what: impl Into<String>) -> WeightsError {
        WeightsError::Tensor { name: name.into(), what: what.into() }
    }
    pub(crate) fn key(key: &str, what: impl Into<String>) -> WeightsError {
        WeightsError::Key { key: key.into(), what: what.into() }
    }
}
