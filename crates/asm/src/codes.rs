//! The codes of errors in program text: each with a constant, a number that never changes, and a title.

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = $title] pub(crate) const $name: &str = $code;)*
        /// Every code of this crate with its title, ascending.
        pub const CODES: &[(&str, &str)] = &[$(($code, $title),)*];
    };
}

codes! {
    BAD_CHAR = "E0101", "a character that no program uses";
    BAD_STRING = "E0102", "a string or quoted name that does not end, or a wrong escape in it";
    BAD_NUMBER = "E0103", "a number that is written wrongly";
    SYNTAX = "E0104", "something else was expected here";
    UNKNOWN_OP = "E0105", "no operation has this name";
    BAD_MODE = "E0106", "a mode word of the operation is missing or unknown";
    BAD_OP_TYPE = "E0107", "the type of the operation is missing or unknown";
    NOT_ALLOWED = "E0108", "the operation does not exist with these modes and types";
    EXTRA_WORD = "E0109", "words after the type of the operation";
    UNKNOWN_NAME = "E0110", "nothing has this name";
    UNKNOWN_LABEL = "E0111", "no label of the function has this name";
    UNKNOWN_FUNC = "E0112", "no function of the kernel has this name";
    UNKNOWN_SPECIAL = "E0113", "no special register has this name";
    UNKNOWN_TYPE = "E0114", "no type has this name";
    DUPLICATE = "E0115", "declared twice";
    RESERVED = "E0116", "a name that is reserved, or a register number that does not exist";
    OUT_OF_RANGE = "E0117", "a number does not fit its type";
    WRONG_NUMBER = "E0118", "a number of the wrong kind";
    OPERAND_COUNT = "E0119", "too few or too many operands";
    OPERAND_KIND = "E0120", "an operand of the wrong kind";
    NO_TYPE = "E0121", "nothing says the type of a register";
    TOO_MANY_REGISTERS = "E0122", "the function needs more registers than there are";
    BAD_CONST = "E0123", "an expression has no value";
    CONST_TYPE = "E0124", "a constant of another type";
    LIMIT = "E0125", "more than the limits allow";
    BAD_LENGTH = "E0126", "a length or count that is not possible";
    BAD_INDEX = "E0127", "an index or displacement that is not possible";
    MISPLACED = "E0128", "a statement that cannot stand here";
}
