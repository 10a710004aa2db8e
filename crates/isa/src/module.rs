//! A program as data: module, kernel, function, instruction, operand.

use crate::generated::{Op, PackFormat, Special, Type};
use crate::table::Mnemonic;
use alloc::{boxed::Box, string::String, vec::Vec};

/// A set of kernels, as assembled, built or decoded. Executors do not take it: validate it first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Module {
    /// Name of the source file, for messages; may be empty.
    pub source: String,
    /// The kernels, by name unique.
    pub kernels: Vec<Kernel>,
}

/// An entry point with its parameters, arrays and functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Name, unique in the module.
    pub name: String,
    /// Where it is declared.
    pub loc: Loc,
    /// Parameters in order.
    pub params: Vec<Param>,
    /// Arrays shared by a block; zero at its start.
    pub shared: Vec<Array>,
    /// Arrays that each lane owns; zero at its start.
    pub private: Vec<Array>,
    /// Declared block size in x, y, z.
    pub block: Option<[u32; 3]>,
    /// Declared grid in x, y, z, in terms of the parameters.
    pub grid: Option<[Expr; 3]>,
    /// Functions; the first is the kernel's body, without parameters or results.
    pub funcs: Vec<Func>,
}

/// How a launch uses a buffer parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only.
    In,
    /// Written only.
    Out,
    /// Read and written.
    InOut,
}

/// What a parameter is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// A number.
    Scalar(Type),
    /// A view of a buffer, or an array of such views.
    Buffer {
        /// Element type.
        elem: Type,
        /// Use.
        access: Access,
        /// `Some(n)`: an array of n buffers, indexed by a uniform value.
        count: Option<u32>,
    },
    /// Packed weights of n rows by k columns.
    Packed {
        /// Format.
        format: PackFormat,
        /// Rows, in terms of scalar parameters.
        n: Expr,
        /// Columns.
        k: Expr,
    },
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Param {
    /// Name, unique among parameters and arrays.
    pub name: String,
    /// Kind.
    pub kind: ParamKind,
    /// Where it is declared.
    pub loc: Loc,
}

/// A shared or private array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Array {
    /// Name, unique among parameters and arrays.
    pub name: String,
    /// Element type.
    pub elem: Type,
    /// Elements; `None` (one shared array, the last, at most): as many as the launch asks for.
    pub len: Option<u64>,
    /// Where it is declared.
    pub loc: Loc,
}

/// A launch-time size: an unsigned 64-bit expression; overflow and division by zero refuse the launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A number.
    Const(u64),
    /// A scalar parameter with an integer type.
    Param(u16),
    /// Elements of a buffer parameter.
    Len(u16),
    /// Two expressions combined.
    Bin(ExprOp, Box<Expr>, Box<Expr>),
}

/// Operators of [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExprOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`, rounded down
    Div,
    /// `ceil(a, b)`: a / b rounded up
    CeilDiv,
    /// `min(a, b)`
    Min,
    /// `max(a, b)`
    Max,
}

impl ExprOp {
    /// All operators; the position is the binary code.
    pub const ALL: [ExprOp; 7] =
        [ExprOp::Add, ExprOp::Sub, ExprOp::Mul, ExprOp::Div, ExprOp::CeilDiv, ExprOp::Min, ExprOp::Max];
}

impl Expr {
    /// Evaluates with the values of scalar parameters and the lengths of buffers. `None`: overflow, division by zero, or a
    /// parameter without a value.
    pub fn eval(&self, scalar: &dyn Fn(u16) -> Option<u64>, len: &dyn Fn(u16) -> Option<u64>) -> Option<u64> {
        match self {
            Expr::Const(c) => Some(*c),
            Expr::Param(p) => scalar(*p),
            Expr::Len(p) => len(*p),
            Expr::Bin(op, a, b) => {
                let (a, b) = (a.eval(scalar, len)?, b.eval(scalar, len)?);
                match op {
                    ExprOp::Add => a.checked_add(b),
                    ExprOp::Sub => a.checked_sub(b),
                    ExprOp::Mul => a.checked_mul(b),
                    ExprOp::Div => a.checked_div(b),
                    ExprOp::CeilDiv => (b != 0).then(|| a.div_ceil(b)),
                    ExprOp::Min => Some(a.min(b)),
                    ExprOp::Max => Some(a.max(b)),
                }
            }
        }
    }
}

/// A function: the kernel's body or a callee with a register file of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Func {
    /// Name, unique in the kernel; the body has the kernel's name.
    pub name: String,
    /// Where it is declared.
    pub loc: Loc,
    /// Registers by number; `None` for numbers that are not used.
    pub regs: Vec<Option<Reg>>,
    /// Predicates by number; `None` for numbers that are not used.
    pub preds: Vec<Option<String>>,
    /// Registers and predicates that hold the arguments at entry.
    pub params: Vec<Operand>,
    /// Registers and predicates whose values at `ret` are the results.
    pub results: Vec<Operand>,
    /// Instructions.
    pub code: Vec<Inst>,
    /// Label names: (instruction, name), ascending.
    pub labels: Vec<(u32, String)>,
}

/// A declared register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reg {
    /// Type, fixed in the function; never `pred`.
    pub ty: Type,
    /// Name in the source; empty for plain `r7`.
    pub name: String,
}

/// Line and column in the source, from 1; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loc {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
}

/// A guard: the instruction acts in the lanes where the predicate holds (or does not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Predicate number.
    pub pred: u8,
    /// `@!p`.
    pub negate: bool,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inst {
    /// Operation.
    pub op: Op,
    /// Mode numbers; unused slots 0.
    pub modes: [u8; 3],
    /// Type T, where the row has one.
    pub ty: Option<Type>,
    /// Type S.
    pub ty2: Option<Type>,
    /// Guard.
    pub guard: Option<Guard>,
    /// Operands, one per row operand.
    pub args: Vec<Operand>,
    /// Where it stands.
    pub loc: Loc,
}

impl Inst {
    /// The mnemonic.
    pub fn mnemonic(&self) -> Mnemonic {
        Mnemonic { op: self.op, modes: self.modes, ty: self.ty, ty2: self.ty2 }
    }
}

/// What memory an operand names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// A buffer parameter, by parameter number.
    Param(u16),
    /// A shared array, by number.
    Shared(u16),
    /// A private array, by number.
    Private(u16),
}

/// A memory element: `base[index + disp]` or `base[which][index + disp]`, in elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// What memory.
    pub base: Base,
    /// Which buffer of an array of buffers: an immediate, register, special register or scalar parameter, uniform.
    pub which: Option<Operand>,
    /// Index: the same kinds, of an index type. An immediate index is a u64.
    pub index: Operand,
    /// Static displacement in elements.
    pub disp: i64,
}

/// An operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register by number.
    Reg(u8),
    /// A predicate by number.
    Pred(u8),
    /// The bits of a value of the operand's type; unused upper bits are zero.
    Imm(u64),
    /// A special register.
    Special(Special),
    /// A scalar parameter by number.
    Param(u16),
    /// A memory element.
    Mem(Box<Mem>),
    /// A buffer, array or packed parameter as a whole.
    Object(Base),
    /// An instruction of the same function.
    Label(u32),
    /// A function of the kernel.
    Func(u16),
    /// Several operands.
    List(Vec<Operand>),
}
