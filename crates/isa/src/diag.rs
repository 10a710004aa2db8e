//! What is said about a program that is wrong: collected, never printed, here.

use alloc::{string::String, vec::Vec};

/// A place in source text: 1-based line and column (in characters) and a length in characters. Line 0: no place known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1; 0 where there is none.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
    /// Length in characters, at least 1.
    pub len: u32,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The program is refused.
    Error,
    /// The program is accepted; the author should look.
    Warning,
}

/// A second place that explains the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there: "declared here".
    pub text: String,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// A stable code: `E01xx` text, `E02xx` validation, `W03xx` warnings.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words under the caret; may be empty.
    pub label: String,
    /// Further places.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A place in a module, for errors of the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Kernel, by number.
    pub kernel: u16,
    /// Function of the kernel, by number; 0 where the item belongs to the kernel.
    pub func: u16,
    /// What there.
    pub item: PlaceItem,
}

/// What a [`Place`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceItem {
    /// The kernel's declaration.
    Kernel,
    /// A parameter's declaration.
    Param(u16),
    /// A shared array's declaration.
    Shared(u16),
    /// A private array's declaration.
    Private(u16),
    /// The function's declaration (the body: the kernel's).
    Func,
    /// A register's declaration; of a plain register the first use.
    Reg(u8),
    /// A predicate's declaration; of a plain predicate the first use.
    Pred(u8),
    /// An instruction, shown by its mnemonic.
    Inst(u32),
    /// An operand: instruction, operand.
    Operand(u32, u8),
    /// The guard of an instruction.
    Guard(u32),
}
