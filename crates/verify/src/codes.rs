//! The rules, each with its code. This table is the only list of them.

/// A rule of the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `E02xx`: the module is refused; `W03xx`: it is accepted with a warning.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// The rule in full sentences.
    pub rule: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $rule:literal;)*) => {
        $(pub(crate) const $name: &str = $code;)*
        /// All rules, ascending by code.
        pub const CODES: &[Code] = &[$(Code { code: $code, title: $title, rule: $rule },)*];
    };
}

codes! {
    FORM = "E0201", "no such form of the operation",
        "An operation has the modes and types that its row of the table combines.";
    COUNT = "E0202", "wrong number of operands",
        "An instruction has one operand per operand of its row.";
    KIND = "E0203", "wrong kind of operand",
        "An operand is of a kind that its role takes: a register or predicate to write; a register, predicate, immediate, special register or scalar parameter to read; a memory element; an array or buffer as a whole; a label; a function; a list of 1 to 32 sources.";
    UNDECLARED = "E0204", "register or predicate not declared",
        "Register and predicate numbers are declared in their function.";
    REG_TYPE = "E0205", "register of another type",
        "A register has the type of every operand position that it stands in; predicates stand where the type is pred.";
    PARAM_TYPE = "E0206", "scalar parameter of another type",
        "A parameter that is read as an operand is a scalar of exactly the operand's type.";
    ELEM_TYPE = "E0207", "memory holds another type",
        "A memory operand's element type is the operand's type.";
    IMMEDIATE = "E0208", "immediate does not fit",
        "An immediate has no bits above its type's width; a predicate is 0 or 1.";
    SPECIAL = "E0209", "special register read as another type",
        "Special registers are read as i32, u32, i64 or u64.";
    SPACE = "E0210", "wrong memory space",
        "The memory space that the mnemonic names is the one that the operand is in: buffers are global, native operations take global memory only.";
    NO_OBJECT = "E0211", "no such parameter or array",
        "A memory operand or whole object names a parameter or array that the kernel has, of the kind that the operand takes.";
    ACCESS = "E0212", "access that the parameter does not allow",
        "`in` buffers are not written, `out` buffers are not read, atomics need an `inout` buffer or shared memory.";
    WHICH = "E0213", "array of buffers without an index, or the reverse",
        "An element of an array of buffers is named with the buffer's index, below the array's count; no other memory has one.";
    WHICH_VARIES = "E0214", "index of an array of buffers is not uniform",
        "The index that selects a buffer is provably the same for all lanes of the block.";
    INDEX = "E0215", "index of another type",
        "An index is an immediate, a special register, or a register or scalar parameter of type i32, i64, u32 or u64.";
    DISPLACEMENT = "E0216", "displacement too large",
        "A displacement lies between -2^40 and 2^40 elements.";
    LABEL = "E0217", "branch to nowhere",
        "A branch target is an instruction of the same function.";
    NO_FUNC = "E0218", "no such function",
        "A call names a function of the kernel other than its body.";
    CALL_COUNT = "E0219", "wrong number of arguments or results",
        "A call passes as many arguments and receives as many results as the function has.";
    CALL_TYPE = "E0220", "argument or result of another type",
        "Arguments and results have the types of the function's, and no register receives two results.";
    SIGNATURE = "E0221", "wrong function parameters or results",
        "The body has no parameters and no results; those of other functions are declared registers and predicates, none twice among the parameters or among the results.";
    UNDEFINED = "E0222", "read before it is written",
        "On every path to a read the register or predicate has been written: without a guard, under the same guard with the predicate unchanged since, or under both values of it.";
    NO_RESULT = "E0223", "result not written",
        "At every `ret` of a function its results have been written.";
    FALLS_OFF = "E0224", "control reaches the end of the code",
        "The last instruction of a function is a `bra`, `ret`, `exit` or `trap` without a guard.";
    MISSED = "E0225", "some lanes provably miss a collective operation",
        "With the declared block size, no comparison of lane numbers with constants keeps some lanes from a collective instruction that others execute.";
    BLOCK_SIZE = "E0226", "impossible block size",
        "A declared block has at least 1 lane in each direction and at most 1024 in all.";
    EXPRESSION = "E0227", "wrong launch-time expression",
        "Grid and size expressions name scalar parameters of integer types and single buffers, and nest at most 16 deep.";
    ARRAYS = "E0228", "arrays too large",
        "A kernel's shared arrays take at most 1 MiB, its private arrays at most 64 KiB a lane.";
    UNSIZED = "E0229", "array without a size",
        "Only the last shared array may leave its size to the launch.";
    NAME = "E0230", "not a name",
        "Names are letters, digits and `_`, not beginning with a digit, at most 128 bytes; registers and predicates may have none.";
    DUPLICATE = "E0231", "name used twice",
        "Names are unique: kernels in the module; parameters and arrays, and functions, in the kernel; registers and predicates, and labels, in the function. The body has the kernel's name.";
    LABELS = "E0232", "label out of order or outside the code",
        "A function's label table is ascending, and each label stands before an instruction.";
    LIMIT = "E0233", "too many of something",
        "Counts stay within the limits of the format: kernels, parameters, arrays, functions, registers, predicates, instructions, buffers of an array.";
    STORED_PRED = "E0234", "predicates are not stored",
        "Parameters, array elements and registers are not of type pred.";
    TANGLED = "E0235", "control flow too irregular to check",
        "The check of what is written before it is read ends within 64 visits per basic block; code from a compiler or a person needs a few.";
    NO_BODY = "E0236", "kernel without a body",
        "A kernel has at least one function.";
    W_DIVERGENT = "W0301", "collective operation in divergent control flow",
        "A collective instruction stands where lanes may have gone different ways; if some miss it, the launch traps.";
    W_EXITED = "W0302", "collective operation after lanes may have ended",
        "Some lanes may end before a collective instruction that others execute; if they do, the launch traps.";
    W_UNUSED_REG = "W0303", "register never read",
        "A declared register or predicate is never read.";
    W_UNUSED = "W0304", "never used",
        "A parameter, an array or a function is never used.";
    W_UNREACHABLE = "W0305", "unreachable code",
        "No path from the function's start leads to an instruction.";
    W_ORDER = "W0306", "the result depends on the order of lanes",
        "A program is order-free when its atomics are one integer add, and, or, xor, min or max per memory and their results are unused; others may give different bits from run to run.";
    W_NEVER_WRITTEN = "W0307", "buffer never written",
        "An `out` or `inout` buffer is never written.";
    W_OUTSIDE = "W0308", "index always outside",
        "A constant index lies outside its array: the access traps whenever it is executed.";
    W_NOT_UNIFORM = "W0309", "operand may differ between lanes",
        "An operand that must be the same for all lanes is not provably so; if it differs, the launch traps.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_rules_are_sentences() {
        assert!(CODES.windows(2).all(|w| w[0].code < w[1].code));
        for c in CODES {
            assert!(c.rule.ends_with('.') && !c.title.ends_with('.'), "{}", c.code);
        }
    }
}
