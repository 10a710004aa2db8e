//! The one error type: what was expected, what was found, what to do.

use crate::Format;

/// Why bytes are no matrix of a format, or values cannot be written in it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The format cannot hold a matrix of this shape.
    #[error("{format} cannot hold {n} rows of {k} columns: {why}")]
    Shape {
        /// Format.
        format: Format,
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// The rule that the shape breaks, and a remedy.
        why: String,
    },
    /// Too few bytes for the shape.
    #[error("{n} rows of {k} columns in {format} take {expected} bytes, but {found} are there")]
    Bytes {
        /// Format.
        format: Format,
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// Bytes that the shape takes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Another number of values than the shape has.
    #[error("{n} rows of {k} columns have {} values, but {found} were given", n * k)]
    Values {
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// Values given.
        found: usize,
    },
    /// Another number of scales than the format has for the shape.
    #[error("{format} has {expected} scales for this shape, but {found} were given")]
    Scales {
        /// Format.
        format: Format,
        /// Scales that the shape takes.
        expected: usize,
        /// Scales given.
        found: usize,
    },
    /// A value that the format has no code for.
    #[error("value [{row}, {col}] is {value}; {format} holds {low} to {high}")]
    Code {
        /// Format.
        format: Format,
        /// Row.
        row: usize,
        /// Column.
        col: usize,
        /// What stands there.
        value: i8,
        /// Least code.
        low: i8,
        /// Largest code.
        high: i8,
    },
    /// The matrix is not ternary: its values are not -s, 0 and s for one s.
    #[error(
        "value [{row}, {col}] is {value}, but the first that is not 0 has size {scale}: {format} holds -s, 0 and s for one s; \
         round the weights first"
    )]
    NotTernary {
        /// Format.
        format: Format,
        /// Row.
        row: usize,
        /// Column.
        col: usize,
        /// What stands there.
        value: f32,
        /// Size of the first value that is not 0.
        scale: f32,
    },
    /// The operation does not exist for the format.
    #[error("{format} {why}")]
    Unsupported {
        /// Format.
        format: Format,
        /// What is missing, and a remedy.
        why: &'static str,
    },
}
