//! The tests inside program files: comment lines that say what a kernel is given and what must come out.
//!
//! ```text
//! //= test NAME [kernel KERNEL]           the kernel may be left out where the program has one
//! //=   grid 2,1,1                        where the kernel does not declare it
//! //=   block 64                          likewise
//! //=   shared 128                        elements of the unsized shared array
//! //=   fuel 1000 | class 5 | phase 7 | deterministic
//! //=   n = 5                             a number, of the parameter's type
//! //=   x = f32: 1 2 3 4 5                a buffer with these values; `f32[2x3]:` may say a shape
//! //=       6 7 8                         a line that begins with a number continues the values above
//! //=   y = zeros f32 5                   or `iota f32 100`, `random f32 100 SEED [LOW HIGH]`, `file path.npy`
//! //=   xs[0] = u8: 1 2                   one buffer of an array of buffers
//! //=   w = packed t2 2x4: 1 0 -1 1  0 0 1 -1      packed weights, or `packed t2 64x256 random SEED`: -1, 0 and 1
//! //=   w = filters i8 4x4 1->2 2x2 s2: 1 0 -1 1  0 0 1 -1     a convolution ([`crate::convolution::ConvShape`]), OIHW, or `... random SEED`
//! //=   expect y = f32: 2 4 6 8 10        values as above: equal bits, any NaN equals any NaN
//! //=   expect y = file path.npy within 1e-6       |difference| <= 1e-6 + 1e-6 * |expected|
//! //=   expect trap out_of_bounds
//! //=   expect clean                      the checkers of memory and barriers find nothing
//! //=   expect race tmp[1..=63,70] read-write at 9 12        they find this, and what other such lines say, and no more
//! //=   resonance 4 = 1/2                 class 4 before the launch; a decimal number is the f64 form. Else all is zero
//! //=   expect resonance 4 = 3/4          afterwards, exactly
//! //=   claim neutral                     see [`crate::LaunchClaims::with`]
//! ```
//!
//! Paths are relative to the program file. `random` is [`crate::data::random`]. A test needs at least one `expect`.
//!
//! Findings are `race PLACE CONFLICT at LINE LINE` (the conflict is `read-write`, `write-write` or `atomic-plain`), `equal PLACE
//! write-write at LINE LINE` (stores of equal values), `bounds PLACE at LINE` (`bounds at LINE`: through a
//! handle of the pool), `init PLACE at LINE` and `sync at LINE`. A place
//! is an object with the indices of its elements, both ends included: `x[3]`, `x[0..=62/2]` (every second), `xs[1][0..=9,-1]`;
//! for shared arrays the indices of all blocks together. The two lines of a race are those of one pair of accesses that every
//! one of the elements has; an element may have others, too. `uninit f32 100` gives a buffer that nobody has written.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "
//!     //= test doubles_what_it_gets
//!     //=   grid 1
//!     //=   block 4
//!     //=   x = u32: 1 2 3 4
//!     //=   expect x = u32: 2 4 6 8
//!     kernel double(inout x: u32[]) {
//!         let i, v: u32
//!         mov.u32 i, %lane.x
//!         ld.u32 v, x[i]
//!         add.u32 v, v, v
//!         st.u32 x[i], v
//!         exit
//!     }";
//! let cpu = phalanx::Cpu::new()?;
//! let program = cpu.load(text)?;
//! for case in phalanx::testing::parse(text).map_err(|e| e[0].clone())? {
//!     phalanx::testing::run(&cpu, &program, &case, ".".as_ref())?;
//! }
//! # Ok(()) }
//! ```

mod findings;
mod parse;
mod run;

pub use parse::{ParseError, parse};
pub use run::{Failure, bind, run, run_with};

use crate::{LaunchClaims, Ratio};
use phalanx_isa::{PackFormat, TrapKind, Type};
use phalanx_kernels::conv::ConvShape;

/// One test of a program file.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// Line of `//= test`, from 1.
    pub line: u32,
    /// The kernel; `None`: the only one.
    pub kernel: Option<String>,
    /// Blocks in x, y, z; `None`: as declared.
    pub grid: Option<[u32; 3]>,
    /// Lanes of a block in x, y, z; `None`: as declared.
    pub block: Option<[u32; 3]>,
    /// Elements of the unsized shared array.
    pub shared_len: u64,
    /// Instructions that each lane may execute.
    pub fuel: Option<u64>,
    /// The class of all lanes.
    pub class: Option<u32>,
    /// The launch phase.
    pub phase: u32,
    /// One thread, blocks and lanes ascending.
    pub deterministic: bool,
    /// Values for parameters.
    pub args: Vec<Given>,
    /// Buffers and what they must hold afterwards.
    pub expects: Vec<Expected>,
    /// The trap that must end the launch.
    pub trap: Option<TrapKind>,
    /// All that the checkers must find; `None`: they are not asked.
    pub findings: Option<Vec<Finding>>,
    /// Resonance before the launch, where it is not zero.
    pub resonance: Vec<ClassSum>,
    /// Resonance after it.
    pub expects_resonance: Vec<ClassSum>,
    /// What is claimed of the launch.
    pub claims: LaunchClaims,
}

/// What the checkers must find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line of the expectation, from 1.
    pub line: u32,
    /// Kind.
    pub kind: FindingKind,
    /// The object; `None` for `sync` and for handles.
    pub target: Option<Target>,
    /// Its elements, ascending.
    pub indices: Vec<i64>,
    /// Lines of the accesses or of the barrier, ascending.
    pub at: Vec<u32>,
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Accesses of two lanes that nothing orders.
    Race(Conflict),
    /// Plain stores of two lanes that nothing orders, of equal values.
    Equal,
    /// An access outside its object, or through a handle that is not alive.
    Bounds,
    /// A load of what nobody has written.
    Init,
    /// Lanes that miss a collective operation.
    Sync,
}

/// What two accesses that race do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    /// A plain load and a plain store.
    ReadWrite,
    /// Two plain stores.
    WriteWrite,
    /// An atomic operation and a plain access.
    AtomicPlain,
}

/// The resonance of a class in one form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSum {
    /// Line, from 1.
    pub line: u32,
    /// Class.
    pub class: u8,
    /// How much.
    pub sum: Sum,
}

/// One of the two forms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// The rational form.
    Ratio(Ratio),
    /// The f64 form.
    Float(f64),
}

/// A parameter, or one buffer of an array of buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the parameter.
    pub name: String,
    /// Which buffer of an array.
    pub index: Option<u32>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.index.map_or(Ok(()), |i| write!(f, "[{i}]"))
    }
}

/// A value for a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Line, from 1.
    pub line: u32,
    /// What it is for.
    pub target: Target,
    /// The value.
    pub value: Value,
}

/// What a parameter is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, as written: its type is the parameter's.
    Number(String),
    /// A buffer.
    Buffer(Source),
    /// Packed weights: format, rows, columns, and the weights row by row.
    Packed(PackFormat, usize, usize, Vec<f32>),
    /// A convolution: format, shape, and the weights of its filters.
    Filters(PackFormat, ConvShape, Vec<f32>),
}

/// Where a buffer's elements come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Elements, native byte order.
    Bytes(Type, Vec<u8>),
    /// So many elements that nobody has written.
    Uninit(Type, usize),
    /// A `.npy` file, relative to the program file; its elements have the parameter's type.
    File(String),
}

/// What a buffer must hold after the launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Line, from 1.
    pub line: u32,
    /// Which buffer.
    pub target: Target,
    /// The elements.
    pub source: Source,
    /// Relative and absolute tolerance; `None`: equal bits, any NaN equals any NaN.
    pub within: Option<f64>,
}
