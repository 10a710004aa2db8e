//! The one error type.

use phalanx::{BufferError, LaunchError};
use phalanx_tokens::TokensError;
use phalanx_weights::WeightsError;

/// Why a model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its tokeniser.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A program or an operation.
    #[error(transparent)]
    Phalanx(#[from] phalanx::Error),
    /// Memory.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// A launch; a cancelled one is [`EngineError::Cancelled`].
    #[error(transparent)]
    Launch(LaunchError),
    /// Somebody cancelled the run.
    #[error("cancelled")]
    Cancelled,
    /// The text does not fit.
    #[error(
        "the text has {needed} tokens, but the context holds {context}; give a longer context, or let the window slide"
    )]
    Context {
        /// Positions needed.
        needed: usize,
        /// Positions there are.
        context: usize,
    },
    /// A model that this engine does not run, or a setting that does not fit it.
    #[error("{0}")]
    Refused(String),
}

impl From<LaunchError> for EngineError {
    fn from(e: LaunchError) -> EngineError {
        if e.is_cancelled() { EngineError::Cancelled } else { EngineError::Launch(e) }
    }
}

pub(crate) fn refused(text: impl Into<String>) -> EngineError {
    EngineError::Refused(text.into())
}
