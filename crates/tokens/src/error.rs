//! The one error type.

/// Why a file's tables make no tokeniser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// A key is missing or of another type or length.
    #[error("key `tokenizer.ggml.{key}`: {what}")]
    Key {
        /// The key, without its beginning.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A rule that is not known.
    #[error("key `tokenizer.ggml.{key}`: `{found}` is not known; expected {expected}")]
    Unknown {
        /// The key, without its beginning.
        key: &'static str,
        /// What the file names.
        found: String,
        /// What is known.
        expected: &'static str,
    },
}
