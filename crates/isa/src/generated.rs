// @generated from isa/*.toml by `cargo xtask gen`. Do not edit.

use crate::numbered::numbered;
use crate::table::*;

numbered! {
/// A value type.
pub enum Type: u16 {
/// `i8`: 8 bits, sint.
I8 = 0x0 => "i8",
/// `i16`: 16 bits, sint.
I16 = 0x1 => "i16",
/// `i32`: 32 bits, sint.
I32 = 0x2 => "i32",
/// `i64`: 64 bits, sint.
I64 = 0x3 => "i64",
/// `u8`: 8 bits, uint.
U8 = 0x4 => "u8",
/// `u16`: 16 bits, uint.
U16 = 0x5 => "u16",
/// `u32`: 32 bits, uint.
U32 = 0x6 => "u32",
/// `u64`: 64 bits, uint.
U64 = 0x7 => "u64",
/// `f16`: 16 bits, float.
F16 = 0x8 => "f16",
/// `bf16`: 16 bits, float.
Bf16 = 0x9 => "bf16",
/// `f32`: 32 bits, float.
F32 = 0xa => "f32",
/// `f64`: 64 bits, float.
F64 = 0xb => "f64",
/// `pred`: 1 bits, pred.
Pred = 0xc => "pred",
}
}

impl Type {
    /// Width in bits (a predicate: 1).
    pub const fn bits(self) -> u32 {
        match self {
            Type::I8 => 8,
            Type::I16 => 16,
            Type::I32 => 32,
            Type::I64 => 64,
            Type::U8 => 8,
            Type::U16 => 16,
            Type::U32 => 32,
            Type::U64 => 64,
            Type::F16 => 16,
            Type::Bf16 => 16,
            Type::F32 => 32,
            Type::F64 => 64,
            Type::Pred => 1,
        }
    }
    /// Kind of value.
    pub const fn class(self) -> Class {
        match self {
            Type::I8 => Class::Sint,
            Type::I16 => Class::Sint,
            Type::I32 => Class::Sint,
            Type::I64 => Class::Sint,
            Type::U8 => Class::Uint,
            Type::U16 => Class::Uint,
            Type::U32 => Class::Uint,
            Type::U64 => Class::Uint,
            Type::F16 => Class::Float,
            Type::Bf16 => Class::Float,
            Type::F32 => Class::Float,
            Type::F64 => Class::Float,
            Type::Pred => Class::Pred,
        }
    }
}

numbered! {
/// Mode words: Activation.
pub enum Activation: u16 {
/// Not written.
None = 0x0 => "",
/// `.relu`
Relu = 0x1 => "relu",
/// `.relu2`
Relu2 = 0x2 => "relu2",
/// `.silu`
Silu = 0x3 => "silu",
/// `.gelu`
Gelu = 0x4 => "gelu",
}
}

numbered! {
/// Mode words: Algorithm.
pub enum Algorithm: u16 {
/// Not written.
None = 0x0 => "",
/// `.direct`
Direct = 0x1 => "direct",
/// `.winograd`
Winograd = 0x2 => "winograd",
/// `.fft`
Fft = 0x3 => "fft",
}
}

numbered! {
/// Mode words: Atomic.
pub enum Atomic: u16 {
/// `.add`
Add = 0x0 => "add",
/// `.sub`
Sub = 0x1 => "sub",
/// `.min`
Min = 0x2 => "min",
/// `.max`
Max = 0x3 => "max",
/// `.and`
And = 0x4 => "and",
/// `.or`
Or = 0x5 => "or",
/// `.xor`
Xor = 0x6 => "xor",
/// `.exch`
Exch = 0x7 => "exch",
}
}

numbered! {
/// Mode words: BarScope.
pub enum BarScope: u16 {
/// `.sync`
Sync = 0x0 => "sync",
/// `.subgroup`
Subgroup = 0x1 => "subgroup",
}
}

numbered! {
/// Mode words: Cmp.
pub enum Cmp: u16 {
/// `.eq`
Eq = 0x0 => "eq",
/// `.ne`
Ne = 0x1 => "ne",
/// `.lt`
Lt = 0x2 => "lt",
/// `.le`
Le = 0x3 => "le",
/// `.gt`
Gt = 0x4 => "gt",
/// `.ge`
Ge = 0x5 => "ge",
/// `.equ`
Equ = 0x6 => "equ",
/// `.neu`
Neu = 0x7 => "neu",
/// `.ltu`
Ltu = 0x8 => "ltu",
/// `.leu`
Leu = 0x9 => "leu",
/// `.gtu`
Gtu = 0xa => "gtu",
/// `.geu`
Geu = 0xb => "geu",
/// `.num`
Num = 0xc => "num",
/// `.nan`
Nan = 0xd => "nan",
}
}

numbered! {
/// Mode words: LoadOrder.
pub enum LoadOrder: u16 {
/// `.relaxed`
Relaxed = 0x0 => "relaxed",
/// `.acquire`
Acquire = 0x1 => "acquire",
}
}

numbered! {
/// Mode words: Order.
pub enum Order: u16 {
/// `.relaxed`
Relaxed = 0x0 => "relaxed",
/// `.acquire`
Acquire = 0x1 => "acquire",
/// `.release`
Release = 0x2 => "release",
/// `.acq_rel`
AcqRel = 0x3 => "acq_rel",
}
}

numbered! {
/// Mode words: Reduce.
pub enum Reduce: u16 {
/// `.add`
Add = 0x0 => "add",
/// `.min`
Min = 0x1 => "min",
/// `.max`
Max = 0x2 => "max",
/// `.and`
And = 0x3 => "and",
/// `.or`
Or = 0x4 => "or",
/// `.xor`
Xor = 0x5 => "xor",
}
}

numbered! {
/// Mode words: Round.
pub enum Round: u16 {
/// `.rn`
Rn = 0x0 => "rn",
/// `.rz`
Rz = 0x1 => "rz",
/// `.rd`
Rd = 0x2 => "rd",
/// `.ru`
Ru = 0x3 => "ru",
/// `.wrap`
Wrap = 0x4 => "wrap",
/// `.sat`
Sat = 0x5 => "sat",
}
}

numbered! {
/// Mode words: Scan.
pub enum Scan: u16 {
/// `.incl`
Incl = 0x0 => "incl",
/// `.excl`
Excl = 0x1 => "excl",
}
}

numbered! {
/// Mode words: Scope.
pub enum Scope: u16 {
/// `.block`
Block = 0x0 => "block",
/// `.grid`
Grid = 0x1 => "grid",
}
}

numbered! {
/// Mode words: SharedSpace.
pub enum SharedSpace: u16 {
/// Not written.
Global = 0x0 => "",
/// `.shared`
Shared = 0x1 => "shared",
}
}

numbered! {
/// Mode words: Shuffle.
pub enum Shuffle: u16 {
/// `.idx`
Idx = 0x0 => "idx",
/// `.up`
Up = 0x1 => "up",
/// `.down`
Down = 0x2 => "down",
/// `.xor`
Xor = 0x3 => "xor",
}
}

numbered! {
/// Mode words: Space.
pub enum Space: u16 {
/// Not written.
Global = 0x0 => "",
/// `.shared`
Shared = 0x1 => "shared",
/// `.private`
Private = 0x2 => "private",
}
}

numbered! {
/// Mode words: StoreOrder.
pub enum StoreOrder: u16 {
/// `.relaxed`
Relaxed = 0x0 => "relaxed",
/// `.release`
Release = 0x1 => "release",
}
}

numbered! {
/// Mode words: Vote.
pub enum Vote: u16 {
/// `.any`
Any = 0x0 => "any",
/// `.all`
All = 0x1 => "all",
}
}

numbered! {
/// A special register.
pub enum Special: u16 {
/// `%lane.x`: lane index in its block, x.
LaneX = 0x0 => "lane.x",
/// `%lane.y`: lane index in its block, y.
LaneY = 0x1 => "lane.y",
/// `%lane.z`: lane index in its block, z.
LaneZ = 0x2 => "lane.z",
/// `%lane.linear`: lane.x + block_dim.x * (lane.y + block_dim.y * lane.z).
LaneLinear = 0x3 => "lane.linear",
/// `%block.x`: block index in the grid, x.
BlockX = 0x4 => "block.x",
/// `%block.y`: block index in the grid, y.
BlockY = 0x5 => "block.y",
/// `%block.z`: block index in the grid, z.
BlockZ = 0x6 => "block.z",
/// `%block.linear`: block.x + grid_dim.x * (block.y + grid_dim.y * block.z).
BlockLinear = 0x7 => "block.linear",
/// `%block_dim.x`: lanes of a block, x.
BlockDimX = 0x8 => "block_dim.x",
/// `%block_dim.y`: lanes of a block, y.
BlockDimY = 0x9 => "block_dim.y",
/// `%block_dim.z`: lanes of a block, z.
BlockDimZ = 0xa => "block_dim.z",
/// `%block_dim.linear`: all lanes of a block.
BlockDimLinear = 0xb => "block_dim.linear",
/// `%grid_dim.x`: blocks of the grid, x.
GridDimX = 0xc => "grid_dim.x",
/// `%grid_dim.y`: blocks of the grid, y.
GridDimY = 0xd => "grid_dim.y",
/// `%grid_dim.z`: blocks of the grid, z.
GridDimZ = 0xe => "grid_dim.z",
/// `%grid_dim.linear`: all blocks of the grid.
GridDimLinear = 0xf => "grid_dim.linear",
/// `%global.x`: block.x * block_dim.x + lane.x.
GlobalX = 0x10 => "global.x",
/// `%global.y`: block.y * block_dim.y + lane.y.
GlobalY = 0x11 => "global.y",
/// `%global.z`: block.z * block_dim.z + lane.z.
GlobalZ = 0x12 => "global.z",
/// `%global.linear`: block.linear * block_dim.linear + lane.linear.
GlobalLinear = 0x13 => "global.linear",
/// `%subgroup.id`: lane.linear / 32.
SubgroupId = 0x14 => "subgroup.id",
/// `%subgroup.lane`: lane.linear % 32: the position in the subgroup.
SubgroupLane = 0x15 => "subgroup.lane",
}
}

impl Special {
    /// Whether all lanes of a block read the same value.
    pub const fn is_uniform(self) -> bool {
        matches!(
            self,
            Special::BlockX
                | Special::BlockY
                | Special::BlockZ
                | Special::BlockLinear
                | Special::BlockDimX
                | Special::BlockDimY
                | Special::BlockDimZ
                | Special::BlockDimLinear
                | Special::GridDimX
                | Special::GridDimY
                | Special::GridDimZ
                | Special::GridDimLinear
        )
    }
}

numbered! {
/// Why a lane failed.
pub enum TrapKind: u16 {
/// integer division by zero.
DivByZero = 0x1 => "div_by_zero",
/// index outside the buffer.
OutOfBounds = 0x2 => "out_of_bounds",
/// some lanes did not arrive at a collective operation.
Sync = 0x3 => "sync",
/// the lane's instruction budget is used up.
Fuel = 0x4 => "fuel",
/// calls nest deeper than the limit.
CallDepth = 0x5 => "call_depth",
/// the pool handle is stale, foreign or was never allocated.
BadHandle = 0x6 => "bad_handle",
/// the pool allocation is larger than the pool limit allows.
PoolExhausted = 0x7 => "pool_exhausted",
/// class number outside 0..95.
BadClass = 0x8 => "bad_class",
/// neighbour index outside the class's neighbour list.
BadNeighbour = 0x9 => "bad_neighbour",
/// boundary address outside class < 96, page < 48, byte < 256.
BadPhi = 0xa => "bad_phi",
/// an operand that must be uniform differs between lanes.
NotUniform = 0xb => "not_uniform",
/// a native operation's shape does not fit its operands.
Shape = 0xc => "shape",
/// two blocks write overlapping parts of a native operation's output.
Overlap = 0xd => "overlap",
/// the program executed `trap`.
User = 0xe => "user",
/// the launch was cancelled.
Cancelled = 0xf => "cancelled",
/// a class's rational resonance does not fit 64-bit numerator and denominator.
ResonanceRange = 0x10 => "resonance_range",
/// the launch broke what was claimed for it.
Claim = 0x11 => "claim",
}
}

impl TrapKind {
    /// The sentence that a person reads.
    pub const fn message(self) -> &'static str {
        match self {
            TrapKind::DivByZero => "integer division by zero",
            TrapKind::OutOfBounds => "index outside the buffer",
            TrapKind::Sync => "some lanes did not arrive at a collective operation",
            TrapKind::Fuel => "the lane's instruction budget is used up",
            TrapKind::CallDepth => "calls nest deeper than the limit",
            TrapKind::BadHandle => "the pool handle is stale, foreign or was never allocated",
            TrapKind::PoolExhausted => "the pool allocation is larger than the pool limit allows",
            TrapKind::BadClass => "class number outside 0..95",
            TrapKind::BadNeighbour => "neighbour index outside the class's neighbour list",
            TrapKind::BadPhi => "boundary address outside class < 96, page < 48, byte < 256",
            TrapKind::NotUniform => "an operand that must be uniform differs between lanes",
            TrapKind::Shape => "a native operation's shape does not fit its operands",
            TrapKind::Overlap => "two blocks write overlapping parts of a native operation's output",
            TrapKind::User => "the program executed `trap`",
            TrapKind::Cancelled => "the launch was cancelled",
            TrapKind::ResonanceRange => {
                "a class's rational resonance does not fit 64-bit numerator and denominator"
            }
            TrapKind::Claim => "the launch broke what was claimed for it",
        }
    }
}

numbered! {
/// A format of packed weights.
pub enum PackFormat: u16 {
/// -1, 0 or 1, two bits a weight.
T2 = 0x0 => "t2",
/// -1, 0 or 1, 1.6 bits a weight: smaller, for matrices that stream from memory.
T3 = 0x1 => "t3",
/// -1, 0 or 1, two bits a weight, an f16 scale for each row in each block of 256 columns (TQ1_0, TQ2_0).
T2Blocks = 0x2 => "t2_blocks",
/// -128 to 127.
I8 = 0x3 => "i8",
/// -128 to 127, an f16 scale for each row in each block of 32 columns.
Q80 = 0x4 => "q8_0",
/// -8 to 7, an f16 scale for each row in each block of 32 columns.
Q40 = 0x5 => "q4_0",
/// single precision.
F32 = 0x6 => "f32",
/// half precision.
F16 = 0x7 => "f16",
/// the upper half of single precision.
Bf16 = 0x8 => "bf16",
}
}

numbered! {
/// An operation (a row of `isa/*.toml`); its number is its binary code.
pub enum Op: u16 {
/// Copy a register, an immediate, a special register or a scalar parameter.
Mov = 0x1 => "mov",
/// Select: `a` where `p` holds, else `b`.
Sel = 0x2 => "sel",
/// Convert, destination type first: to a float, round to nearest even once; float to integer, round as the mode says (nearest even, toward zero, down, up), saturate, NaN gives 0; integer to integer, wrap or saturate.
Cvt = 0x3 => "cvt",
/// The same bits under another type of the same size. A NaN source shows its type's one NaN pattern.
Bitcast = 0x4 => "bitcast",
/// Sum; integers wrap.
Add = 0x10 => "add",
/// Difference; integers wrap.
Sub = 0x11 => "sub",
/// Product; integers wrap.
Mul = 0x12 => "mul",
/// The upper half of the double-width product.
Mulhi = 0x13 => "mulhi",
/// Quotient. Integers round toward zero, MIN / -1 wraps to MIN, division by zero traps; floats follow IEEE 754.
Div = 0x14 => "div",
/// Remainder with the sign of the dividend, exact (floats: C's fmod); integer remainder by zero traps, MIN rem -1 is 0.
Rem = 0x15 => "rem",
/// Smaller value. Floats: a number wins over NaN, -0 is below +0 (IEEE 754-2019 minimumNumber).
Min = 0x16 => "min",
/// Larger value. Floats: a number wins over NaN, +0 is above -0 (IEEE 754-2019 maximumNumber).
Max = 0x17 => "max",
/// Magnitude; integer MIN wraps to itself; float clears the sign.
Abs = 0x18 => "abs",
/// Negation; integers wrap; float flips the sign.
Neg = 0x19 => "neg",
/// a * b + c; integers wrap; floats round the product and then the sum.
Mad = 0x1a => "mad",
/// a * b + c with one rounding (f16 and bf16: the f32 fma, rounded once more to the type).
Fma = 0x1b => "fma",
/// Sum, clamped to the type's range.
Addsat = 0x1c => "addsat",
/// Difference, clamped to the type's range.
Subsat = 0x1d => "subsat",
/// Round down to an integer value.
Floor = 0x1e => "floor",
/// Round up to an integer value.
Ceil = 0x1f => "ceil",
/// Round toward zero to an integer value.
Trunc = 0x20 => "trunc",
/// Round to the nearest integer value, ties to even.
Rint = 0x21 => "rint",
/// Bitwise and; of predicates: both hold.
And = 0x30 => "and",
/// Bitwise or; of predicates: either holds.
Or = 0x31 => "or",
/// Bitwise exclusive or; of predicates: exactly one holds.
Xor = 0x32 => "xor",
/// Bitwise complement; of a predicate: its negation.
Not = 0x33 => "not",
/// Shift left by `n` bits; `n` at or above the width gives 0.
Shl = 0x34 => "shl",
/// Shift right by `n` bits, signed types with the sign; `n` at or above the width gives 0 or all sign bits.
Shr = 0x35 => "shr",
/// Rotate left by `n` modulo the width.
Rotl = 0x36 => "rotl",
/// Number of set bits.
Popc = 0x37 => "popc",
/// Number of leading zero bits; the width for 0.
Clz = 0x38 => "clz",
/// Number of trailing zero bits; the width for 0.
Ctz = 0x39 => "ctz",
/// Bits in reverse order.
Brev = 0x3a => "brev",
/// Compare into a predicate. eq ne lt le gt ge are false where an operand is NaN; equ neu ltu leu gtu geu are true there; num: neither is NaN; nan: one is.
Set = 0x40 => "set",
/// Square root, correctly rounded.
Sqrt = 0x50 => "sqrt",
/// 1 / sqrt(x), both steps correctly rounded.
Rsqrt = 0x51 => "rsqrt",
/// 1 / x, correctly rounded.
Rcp = 0x52 => "rcp",
/// e to the x.
Exp = 0x53 => "exp",
/// 2 to the x.
Exp2 = 0x54 => "exp2",
/// Natural logarithm.
Log = 0x55 => "log",
/// Logarithm to base 2.
Log2 = 0x56 => "log2",
/// Logarithm to base 10.
Log10 = 0x57 => "log10",
/// a to the b, special cases as in C99's pow.
Pow = 0x58 => "pow",
/// Sine of x radians, for every finite x.
Sin = 0x59 => "sin",
/// Cosine of x radians, for every finite x.
Cos = 0x5a => "cos",
/// Tangent of x radians, for every finite x.
Tan = 0x5b => "tan",
/// Hyperbolic tangent.
Tanh = 0x5c => "tanh",
/// 1 / (1 + exp(-x)).
Sigmoid = 0x5d => "sigmoid",
/// Error function.
Erf = 0x5e => "erf",
/// Reduce a list of a lane's registers, left to right: `fold.add.f32 s, (r0, r1, r2)`.
Fold = 0x60 => "fold",
/// Load an element: `ld.f32 v, x[i + 4]`, `ld.shared.f32 v, tile[i]`, `ld.private.u8 v, tmp[3]`, from an array of buffers `xs[k][i]` with uniform k.
Ld = 0x80 => "ld",
/// Store an element: `st.f32 y[i], v`. A NaN is stored as its type's one NaN pattern.
St = 0x81 => "st",
/// Atomic load: `aload.acquire.u32 v, flag[0]`.
Aload = 0x82 => "aload",
/// Atomic store: `astore.release.u32 flag[0], 1`.
Astore = 0x83 => "astore",
/// Atomic read-modify-write; `d` gets the value before: `atom.add.relaxed.u32 old, bins[i], 1`.
Atom = 0x84 => "atom",
/// Atomic update whose old value is not needed: `red.shared.add.relaxed.u32 bins[i], 1`. Integer forms keep a program order-free.
Red = 0x85 => "red",
/// Atomic compare-exchange; `d` gets the value before, `new` is stored where it equals `expected`.
Cas = 0x86 => "cas",
/// Number of elements of a bound buffer or a shared or private array; a launch where it does not fit the type is refused.
Len = 0x87 => "len",
/// Allocate `n` zeroed elements of the type for this launch; `h` is a handle with the lane and a sequence number, never reused.
PoolAlloc = 0x88 => "pool.alloc",
/// Free a pool allocation; every later use of the handle traps.
PoolFree = 0x89 => "pool.free",
/// Load element `i` of a pool allocation made with the same type.
PoolLd = 0x8a => "pool.ld",
/// Store element `i` of a pool allocation made with the same type.
PoolSt = 0x8b => "pool.st",
/// Nothing.
Nop = 0xa0 => "nop",
/// Branch; with a guard, the lanes where it holds.
Bra = 0xa1 => "bra",
/// Subtract 1 from `n` (wrapping) and branch where the result is not 0.
Loop = 0xa2 => "loop",
/// Call a function of the kernel: `call (r), f, (a, b)`. At most 64 calls deep, else a trap.
Call = 0xa3 => "call",
/// Return from a function; in the kernel body, end the lane as `exit` does.
Ret = 0xa4 => "ret",
/// End the lane. A lane that has ended counts as missing at later collective operations.
Exit = 0xa5 => "exit",
/// Trap with a number of the program's choice.
Trap = 0xa6 => "trap",
/// Barrier of the block (`bar.sync`) or of the subgroup (`bar.subgroup`): every lane arrives at the same instance, and memory accesses before it are ordered before those after it.
Bar = 0xa8 => "bar",
/// Order this lane's memory accesses before it against those after it, as seen by the block or the grid (acquire and release).
Fence = 0xa9 => "fence",
/// The value of `a` in another lane of the subgroup: idx = lane n, up = this - n, down = this + n, xor = this ^ n. Outside the subgroup, or from a lane that is no member, the lane's own value.
Shfl = 0xc0 => "shfl",
/// The value of `a` in lane `n` of the subgroup, `n` the same in all lanes.
Bcast = 0xc1 => "bcast",
/// Whether the predicate holds in any member, or in all.
Vote = 0xc2 => "vote",
/// Bit i is set where lane i of the subgroup is a member and its predicate holds.
Ballot = 0xc3 => "ballot",
/// Reduce over the members of the subgroup; every member gets the result. Order: xor tree 16, 8, 4, 2, 1, absent lanes count as the identity.
Sreduce = 0xc4 => "sreduce",
/// Prefix reduction over the subgroup, inclusive or exclusive. Order: steps 1, 2, 4, 8, 16, absent lanes count as the identity; exclusive: the inclusive result of the lane below, the identity in lane 0.
Scan = 0xc5 => "scan",
/// Reduce over all lanes of the block; every lane gets the result. Order: each subgroup as `sreduce`, then subgroups ascending. Orders memory like `bar.sync`.
Reduce = 0xc6 => "reduce",
/// The lane's class: set by the host for the launch, else the linear block index modulo 96.
ClsGet = 0xd0 => "cls.get",
/// Class of a byte (its low 8 bits).
ClsOf = 0xd1 => "cls.of",
/// The mirror class.
ClsMirror = 0xd2 => "cls.mirror",
/// How many neighbours a class has (5 or 6).
NbrCount = 0xd3 => "nbr.count",
/// A neighbour of a class, ascending by class number.
NbrGet = 0xd4 => "nbr.get",
/// Whether a class belongs to the unity set.
UnityTest = 0xd5 => "unity.test",
/// Boundary (Phi) address: an index into a boundary pool, a buffer of 1 179 648 bytes.
PhiAddr = 0xd6 => "phi.addr",
/// Add the fraction a/b to the rational resonance of class `c`, exactly: `res.accum.i64 class, 1, 3`. b = 0 traps; a class whose sum does not fit 64-bit numerator and denominator traps when the launch ends. Order-free.
ResAccumI64 = 0xd8 => "res.accum.i64",
/// Add to the f64 resonance of class `c`: all that a launch adds is summed exactly and rounded once, when it ends. Order-free.
ResAccumF64 = 0xd9 => "res.accum.f64",
/// Whether the magnitude of class `c`'s rational resonance, as it was before the launch, is at most a/b (exactly; b = 0 traps).
ResTestI64 = 0xda => "res.test.i64",
/// Whether the magnitude of class `c`'s f64 resonance, as it was before the launch, is at most eps (false where either is NaN).
ResTestF64 = 0xdb => "res.test.f64",
/// The lane's phase; it starts at (launch phase + linear block index) mod 768.
PhaseGet = 0xe0 => "phase.get",
/// Advance the lane's phase: (phase + delta) mod 768.
PhaseAdv = 0xe1 => "phase.adv",
/// Whether the lane's phase lies in [begin, begin + span), wrapping at 768: ((phase - begin) mod 768) < span.
PhaseIn = 0xe2 => "phase.in",
/// Ternary matrix product: y[r*ldy + c] = sum over k of w[n0 + c, k] * x[r*ldx + k] for r < m, c < nn; i8 activations, weights in {-1, 0, 1}, exact i32 (k at most 2^23).
MatmulT2 = 0xf0 => "matmul.t2",
/// Rows as 8-bit codes: for r < m, `scale[r]` = 127 / max(largest magnitude of row r, 1e-5), computed in f64 and rounded to f32; q[r*ldq + i] = x[r*ldx + i] * `scale[r]`, rounded half to even and held to -128..=127. NaN has code 0 and does not count for the magnitude.
QuantRows = 0xf1 => "quant.rows",
/// Quantised matrix product: y[r*ldy + c] = act((sum over k of w[n0 + c, k] * x[r*ldx + k]) / `scale[r]` * weight scale) for r < m, c < nn. The sum is exact and rounded to f32 once; with a scale per block of weights it is acc = fma(exact sum of the block rounded to f32, the block's scale, acc) from +0, blocks ascending. Each step is one f32 operation, in this order; a matrix without a scale of its own has no such step.
MatmulQ = 0xf2 => "matmul.q",
/// As `matmul.q`, with bias[n0 + c] added before `act`; `bias` begins at the matrix's row 0.
LinearQ = 0xf3 => "linear.q",
/// Matrix product of floats: y[r*ldy + c] = act(chain acc = fma(w[n0 + c, k], x[r*ldx + k], acc) from +0, k ascending) for r < m, c < nn; weights of 16 bits count as the f32 of the same value.
MatmulF = 0xf4 => "matmul.f",
/// As `matmul.f`, with bias[n0 + c] added before `act`; `bias` begins at the matrix's row 0.
LinearF = 0xf5 => "linear.f",
/// Convolution of one image, a part of its output: sum over a filter's taps and channels of w * (x - zx), exact; padding counts as x = zx. x begins at the image, y at the part's first element. Channels are divided at multiples of the convolution's unit.
Conv2dSum = 0xf6 => "conv2d.sum",
/// As `conv2d.sum`, to codes: the sum plus `bias[c]` (wrapping), rounded to f32, times `scale[c]`, `act`, held to what the type's range leaves around zy, rounded half to even, plus zy. NaN gives the lowest value. `scale` and `bias` begin at filter 0.
Conv2dQ = 0xf7 => "conv2d.q",
/// As `conv2d.sum`, to floats: the sum rounded to f32, or of f32 input the chain acc = fma(w, x, acc) from +0 over filter rows, filter columns and channels ascending, padding being +0 and zx 0; then times `scale[c]`, plus `bias[c]`, and `act`, each one f32 operation. Integer weights count as the f32 of the same value. In place of the chain there may be Winograd's F(2x2, 3x3) or products of spectra, each in one order of its own: what the mode names, or where it names nothing, what the shape is given by itself; filters packed for another order trap (`shape`).
Conv2dF = 0xf8 => "conv2d.f",
/// Product with a matrix in a buffer, which lies in panels of 64 columns: y[r*ldy + c] = chain acc = fma(b[(c / 64)*ldb + 64*i + c % 64], x[r*ldx + i], acc) from +0, i ascending below k, for r < m, c < n. Elements of 16 bits count as the f32 of the same value; a NaN result has the one pattern of f32. The last panel has all 64 columns too.
MatmulB = 0xf9 => "matmul.b",
/// Attention of m rows of `heads` heads that share keys and values: row r attends to the first n + r keys (n above 0). Key j has element i at `k[j / 64 * 64*dim + 64*i + j % 64]`, value j element c at `v[(c / 64)*ldv + 64*j + c % 64]`; elements of 16 bits count as the f32 of the same value. Each step one f32 operation, for each row and head: score j = factor * chain acc = fma(key, query, acc) from +0, i ascending; in tiles of 64 keys, ascending from M = -inf and L = 0: t the largest score, `e[j] = exp(score j - t)`, s the sum of e as `reduce.add` over 64 lanes (0 for keys that are not there), x = max(M, t), L = fma(s, exp(t - x), L * exp(M - x)), M = x; then `p[j] = e[j] * (exp(t - M) / L)` with its tile's t, and `o[r*ldq + h*dim + c]` = chain acc = `fma(value, p[j], acc)` from +0, j ascending. A NaN result has the one pattern of f32.
Attend = 0xfa => "attend",
}
}

/// The rows, in the order of [`Op::ALL`].
pub static OPS: &[OpInfo] = &[
    OpInfo {
        op: Op::Mov,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x1fff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Copy a register, an immediate, a special register or a scalar parameter.",
    },
    OpInfo {
        op: Op::Sel,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x1fff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
            Arg { name: "p", role: Role::R, ty: ArgType::Is(Type::Pred) },
        ],
        effects: &[],
        packed: &[],
        doc: "Select: `a` where `p` holds, else `b`.",
    },
    OpInfo {
        op: Op::Cvt,
        kind: Kind::Alu,
        modes: &[ModeSet { name: "Round", words: Round::WORDS }],
        rules: &[
            TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0xfff) },
            TypeRule { modes: [15, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0xf00) },
            TypeRule { modes: [48, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0xff) },
        ],
        typed: true,
        typed2: true,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::S },
        ],
        effects: &[],
        packed: &[],
        doc: "Convert, destination type first: to a float, round to nearest even once; float to integer, round as the mode says (nearest even, toward zero, down, up), saturate, NaN gives 0; integer to integer, wrap or saturate.",
    },
    OpInfo {
        op: Op::Bitcast,
        kind: Kind::Alu,
        modes: &[],
        rules: &[
            TypeRule { modes: [1, 1, 1], ty: TypeSet(0x11), ty2: TypeSet(0x11) },
            TypeRule { modes: [1, 1, 1], ty: TypeSet(0x322), ty2: TypeSet(0x322) },
            TypeRule { modes: [1, 1, 1], ty: TypeSet(0x444), ty2: TypeSet(0x444) },
            TypeRule { modes: [1, 1, 1], ty: TypeSet(0x888), ty2: TypeSet(0x888) },
        ],
        typed: true,
        typed2: true,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::S },
        ],
        effects: &[],
        packed: &[],
        doc: "The same bits under another type of the same size. A NaN source shows its type's one NaN pattern.",
    },
    OpInfo {
        op: Op::Add,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Sum; integers wrap.",
    },
    OpInfo {
        op: Op::Sub,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Difference; integers wrap.",
    },
    OpInfo {
        op: Op::Mul,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Product; integers wrap.",
    },
    OpInfo {
        op: Op::Mulhi,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "The upper half of the double-width product.",
    },
    OpInfo {
        op: Op::Div,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::DivByZero)],
        packed: &[],
        doc: "Quotient. Integers round toward zero, MIN / -1 wraps to MIN, division by zero traps; floats follow IEEE 754.",
    },
    OpInfo {
        op: Op::Rem,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::DivByZero)],
        packed: &[],
        doc: "Remainder with the sign of the dividend, exact (floats: C's fmod); integer remainder by zero traps, MIN rem -1 is 0.",
    },
    OpInfo {
        op: Op::Min,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Smaller value. Floats: a number wins over NaN, -0 is below +0 (IEEE 754-2019 minimumNumber).",
    },
    OpInfo {
        op: Op::Max,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Larger value. Floats: a number wins over NaN, +0 is above -0 (IEEE 754-2019 maximumNumber).",
    },
    OpInfo {
        op: Op::Abs,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Magnitude; integer MIN wraps to itself; float clears the sign.",
    },
    OpInfo {
        op: Op::Neg,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Negation; integers wrap; float flips the sign.",
    },
    OpInfo {
        op: Op::Mad,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
            Arg { name: "c", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "a * b + c; integers wrap; floats round the product and then the sum.",
    },
    OpInfo {
        op: Op::Fma,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
            Arg { name: "c", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "a * b + c with one rounding (f16 and bf16: the f32 fma, rounded once more to the type).",
    },
    OpInfo {
        op: Op::Addsat,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Sum, clamped to the type's range.",
    },
    OpInfo {
        op: Op::Subsat,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Difference, clamped to the type's range.",
    },
    OpInfo {
        op: Op::Floor,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Round down to an integer value.",
    },
    OpInfo {
        op: Op::Ceil,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Round up to an integer value.",
    },
    OpInfo {
        op: Op::Trunc,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Round toward zero to an integer value.",
    },
    OpInfo {
        op: Op::Rint,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Round to the nearest integer value, ties to even.",
    },
    OpInfo {
        op: Op::And,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x10ff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Bitwise and; of predicates: both hold.",
    },
    OpInfo {
        op: Op::Or,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x10ff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Bitwise or; of predicates: either holds.",
    },
    OpInfo {
        op: Op::Xor,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x10ff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Bitwise exclusive or; of predicates: exactly one holds.",
    },
    OpInfo {
        op: Op::Not,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x10ff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Bitwise complement; of a predicate: its negation.",
    },
    OpInfo {
        op: Op::Shl,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "n", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[],
        packed: &[],
        doc: "Shift left by `n` bits; `n` at or above the width gives 0.",
    },
    OpInfo {
        op: Op::Shr,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "n", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[],
        packed: &[],
        doc: "Shift right by `n` bits, signed types with the sign; `n` at or above the width gives 0 or all sign bits.",
    },
    OpInfo {
        op: Op::Rotl,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "n", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[],
        packed: &[],
        doc: "Rotate left by `n` modulo the width.",
    },
    OpInfo {
        op: Op::Popc,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Number of set bits.",
    },
    OpInfo {
        op: Op::Clz,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Number of leading zero bits; the width for 0.",
    },
    OpInfo {
        op: Op::Ctz,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Number of trailing zero bits; the width for 0.",
    },
    OpInfo {
        op: Op::Brev,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Bits in reverse order.",
    },
    OpInfo {
        op: Op::Set,
        kind: Kind::Alu,
        modes: &[ModeSet { name: "Cmp", words: Cmp::WORDS }],
        rules: &[
            TypeRule { modes: [63, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) },
            TypeRule { modes: [64, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [2048, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [1024, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [512, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [256, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [8192, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [128, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
            TypeRule { modes: [4096, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Compare into a predicate. eq ne lt le gt ge are false where an operand is NaN; equ neu ltu leu gtu geu are true there; num: neither is NaN; nan: one is.",
    },
    OpInfo {
        op: Op::Sqrt,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Square root, correctly rounded.",
    },
    OpInfo {
        op: Op::Rsqrt,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "1 / sqrt(x), both steps correctly rounded.",
    },
    OpInfo {
        op: Op::Rcp,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "1 / x, correctly rounded.",
    },
    OpInfo {
        op: Op::Exp,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "e to the x.",
    },
    OpInfo {
        op: Op::Exp2,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "2 to the x.",
    },
    OpInfo {
        op: Op::Log,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Natural logarithm.",
    },
    OpInfo {
        op: Op::Log2,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Logarithm to base 2.",
    },
    OpInfo {
        op: Op::Log10,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Logarithm to base 10.",
    },
    OpInfo {
        op: Op::Pow,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "b", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "a to the b, special cases as in C99's pow.",
    },
    OpInfo {
        op: Op::Sin,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Sine of x radians, for every finite x.",
    },
    OpInfo {
        op: Op::Cos,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Cosine of x radians, for every finite x.",
    },
    OpInfo {
        op: Op::Tan,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Tangent of x radians, for every finite x.",
    },
    OpInfo {
        op: Op::Tanh,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Hyperbolic tangent.",
    },
    OpInfo {
        op: Op::Sigmoid,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "1 / (1 + exp(-x)).",
    },
    OpInfo {
        op: Op::Erf,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xf00), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Error function.",
    },
    OpInfo {
        op: Op::Fold,
        kind: Kind::Alu,
        modes: &[ModeSet { name: "Reduce", words: Reduce::WORDS }],
        rules: &[
            TypeRule { modes: [7, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) },
            TypeRule { modes: [8, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [16, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [32, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "list", role: Role::List, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Reduce a list of a lane's registers, left to right: `fold.add.f32 s, (r0, r1, r2)`.",
    },
    OpInfo {
        op: Op::Ld,
        kind: Kind::Memory,
        modes: &[ModeSet { name: "Space", words: Space::WORDS }],
        rules: &[TypeRule { modes: [7, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "src", role: Role::Load, ty: ArgType::T },
        ],
        effects: &[Effect::MemRead, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Load an element: `ld.f32 v, x[i + 4]`, `ld.shared.f32 v, tile[i]`, `ld.private.u8 v, tmp[3]`, from an array of buffers `xs[k][i]` with uniform k.",
    },
    OpInfo {
        op: Op::St,
        kind: Kind::Memory,
        modes: &[ModeSet { name: "Space", words: Space::WORDS }],
        rules: &[TypeRule { modes: [7, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "dst", role: Role::Store, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::MemWrite, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Store an element: `st.f32 y[i], v`. A NaN is stored as its type's one NaN pattern.",
    },
    OpInfo {
        op: Op::Aload,
        kind: Kind::Memory,
        modes: &[
            ModeSet { name: "SharedSpace", words: SharedSpace::WORDS },
            ModeSet { name: "LoadOrder", words: LoadOrder::WORDS },
        ],
        rules: &[TypeRule { modes: [3, 3, 1], ty: TypeSet(0xcc), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "src", role: Role::Load, ty: ArgType::T },
        ],
        effects: &[Effect::MemRead, Effect::MemAtomic, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Atomic load: `aload.acquire.u32 v, flag[0]`.",
    },
    OpInfo {
        op: Op::Astore,
        kind: Kind::Memory,
        modes: &[
            ModeSet { name: "SharedSpace", words: SharedSpace::WORDS },
            ModeSet { name: "StoreOrder", words: StoreOrder::WORDS },
        ],
        rules: &[TypeRule { modes: [3, 3, 1], ty: TypeSet(0xcc), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "dst", role: Role::Store, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::MemWrite, Effect::MemAtomic, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Atomic store: `astore.release.u32 flag[0], 1`.",
    },
    OpInfo {
        op: Op::Atom,
        kind: Kind::Memory,
        modes: &[
            ModeSet { name: "SharedSpace", words: SharedSpace::WORDS },
            ModeSet { name: "Atomic", words: Atomic::WORDS },
            ModeSet { name: "Order", words: Order::WORDS },
        ],
        rules: &[
            TypeRule { modes: [3, 1, 15], ty: TypeSet(0xccc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 16, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 128, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 8, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 4, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 32, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 2, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 64, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "at", role: Role::Atomic, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::MemRead, Effect::MemWrite, Effect::MemAtomic, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Atomic read-modify-write; `d` gets the value before: `atom.add.relaxed.u32 old, bins[i], 1`.",
    },
    OpInfo {
        op: Op::Red,
        kind: Kind::Memory,
        modes: &[
            ModeSet { name: "SharedSpace", words: SharedSpace::WORDS },
            ModeSet { name: "Atomic", words: Atomic::WORDS },
            ModeSet { name: "Order", words: Order::WORDS },
        ],
        rules: &[
            TypeRule { modes: [3, 1, 15], ty: TypeSet(0xccc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 16, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 128, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 8, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 4, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 32, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 2, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 64, 15], ty: TypeSet(0xcc), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "at", role: Role::Atomic, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::MemWrite, Effect::MemAtomic, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Atomic update whose old value is not needed: `red.shared.add.relaxed.u32 bins[i], 1`. Integer forms keep a program order-free.",
    },
    OpInfo {
        op: Op::Cas,
        kind: Kind::Memory,
        modes: &[
            ModeSet { name: "SharedSpace", words: SharedSpace::WORDS },
            ModeSet { name: "Order", words: Order::WORDS },
        ],
        rules: &[TypeRule { modes: [3, 15, 1], ty: TypeSet(0xcc), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "at", role: Role::Atomic, ty: ArgType::T },
            Arg { name: "expected", role: Role::R, ty: ArgType::T },
            Arg { name: "new", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::MemRead, Effect::MemWrite, Effect::MemAtomic, Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Atomic compare-exchange; `d` gets the value before, `new` is stored where it equals `expected`.",
    },
    OpInfo {
        op: Op::Len,
        kind: Kind::Memory,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xcc), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "b", role: Role::Buffer, ty: ArgType::None },
        ],
        effects: &[],
        packed: &[],
        doc: "Number of elements of a bound buffer or a shared or private array; a launch where it does not fit the type is refused.",
    },
    OpInfo {
        op: Op::PoolAlloc,
        kind: Kind::Memory,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "h", role: Role::W, ty: ArgType::Is(Type::U64) },
            Arg { name: "n", role: Role::R, ty: ArgType::Is(Type::U64) },
        ],
        effects: &[Effect::Pool, Effect::Trap(TrapKind::PoolExhausted)],
        packed: &[],
        doc: "Allocate `n` zeroed elements of the type for this launch; `h` is a handle with the lane and a sequence number, never reused.",
    },
    OpInfo {
        op: Op::PoolFree,
        kind: Kind::Memory,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "h", role: Role::R, ty: ArgType::Is(Type::U64) }],
        effects: &[Effect::Pool, Effect::Trap(TrapKind::BadHandle)],
        packed: &[],
        doc: "Free a pool allocation; every later use of the handle traps.",
    },
    OpInfo {
        op: Op::PoolLd,
        kind: Kind::Memory,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "h", role: Role::R, ty: ArgType::Is(Type::U64) },
            Arg { name: "i", role: Role::R, ty: ArgType::Is(Type::U64) },
        ],
        effects: &[Effect::Pool, Effect::Trap(TrapKind::BadHandle), Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Load element `i` of a pool allocation made with the same type.",
    },
    OpInfo {
        op: Op::PoolSt,
        kind: Kind::Memory,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "h", role: Role::R, ty: ArgType::Is(Type::U64) },
            Arg { name: "i", role: Role::R, ty: ArgType::Is(Type::U64) },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Pool, Effect::Trap(TrapKind::BadHandle), Effect::Trap(TrapKind::OutOfBounds)],
        packed: &[],
        doc: "Store element `i` of a pool allocation made with the same type.",
    },
    OpInfo {
        op: Op::Nop,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[],
        effects: &[],
        packed: &[],
        doc: "Nothing.",
    },
    OpInfo {
        op: Op::Bra,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "to", role: Role::Label, ty: ArgType::None }],
        effects: &[Effect::Branch],
        packed: &[],
        doc: "Branch; with a guard, the lanes where it holds.",
    },
    OpInfo {
        op: Op::Loop,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xcc), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "n", role: Role::Rw, ty: ArgType::T },
            Arg { name: "to", role: Role::Label, ty: ArgType::None },
        ],
        effects: &[Effect::Branch, Effect::Cond],
        packed: &[],
        doc: "Subtract 1 from `n` (wrapping) and branch where the result is not 0.",
    },
    OpInfo {
        op: Op::Call,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "results", role: Role::Dests, ty: ArgType::None },
            Arg { name: "f", role: Role::Func, ty: ArgType::None },
            Arg { name: "args", role: Role::Srcs, ty: ArgType::None },
        ],
        effects: &[Effect::Call, Effect::Trap(TrapKind::CallDepth)],
        packed: &[],
        doc: "Call a function of the kernel: `call (r), f, (a, b)`. At most 64 calls deep, else a trap.",
    },
    OpInfo {
        op: Op::Ret,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[],
        effects: &[Effect::Return],
        packed: &[],
        doc: "Return from a function; in the kernel body, end the lane as `exit` does.",
    },
    OpInfo {
        op: Op::Exit,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[],
        effects: &[Effect::Exit],
        packed: &[],
        doc: "End the lane. A lane that has ended counts as missing at later collective operations.",
    },
    OpInfo {
        op: Op::Trap,
        kind: Kind::Control,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "code", role: Role::Imm, ty: ArgType::Is(Type::U32) }],
        effects: &[Effect::Trap(TrapKind::User)],
        packed: &[],
        doc: "Trap with a number of the program's choice.",
    },
    OpInfo {
        op: Op::Bar,
        kind: Kind::Sync,
        modes: &[ModeSet { name: "BarScope", words: BarScope::WORDS }],
        rules: &[TypeRule { modes: [3, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Barrier of the block (`bar.sync`) or of the subgroup (`bar.subgroup`): every lane arrives at the same instance, and memory accesses before it are ordered before those after it.",
    },
    OpInfo {
        op: Op::Fence,
        kind: Kind::Sync,
        modes: &[ModeSet { name: "Scope", words: Scope::WORDS }],
        rules: &[TypeRule { modes: [3, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[],
        effects: &[Effect::Fence],
        packed: &[],
        doc: "Order this lane's memory accesses before it against those after it, as seen by the block or the grid (acquire and release).",
    },
    OpInfo {
        op: Op::Shfl,
        kind: Kind::Subgroup,
        modes: &[ModeSet { name: "Shuffle", words: Shuffle::WORDS }],
        rules: &[TypeRule { modes: [15, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "n", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "The value of `a` in another lane of the subgroup: idx = lane n, up = this - n, down = this + n, xor = this ^ n. Outside the subgroup, or from a lane that is no member, the lane's own value.",
    },
    OpInfo {
        op: Op::Bcast,
        kind: Kind::Subgroup,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
            Arg { name: "n", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync), Effect::Trap(TrapKind::NotUniform)],
        packed: &[],
        doc: "The value of `a` in lane `n` of the subgroup, `n` the same in all lanes.",
    },
    OpInfo {
        op: Op::Vote,
        kind: Kind::Subgroup,
        modes: &[ModeSet { name: "Vote", words: Vote::WORDS }],
        rules: &[TypeRule { modes: [3, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "a", role: Role::R, ty: ArgType::Is(Type::Pred) },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Whether the predicate holds in any member, or in all.",
    },
    OpInfo {
        op: Op::Ballot,
        kind: Kind::Subgroup,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::U32) },
            Arg { name: "a", role: Role::R, ty: ArgType::Is(Type::Pred) },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Bit i is set where lane i of the subgroup is a member and its predicate holds.",
    },
    OpInfo {
        op: Op::Sreduce,
        kind: Kind::Subgroup,
        modes: &[ModeSet { name: "Reduce", words: Reduce::WORDS }],
        rules: &[
            TypeRule { modes: [7, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) },
            TypeRule { modes: [8, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [16, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [32, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Reduce over the members of the subgroup; every member gets the result. Order: xor tree 16, 8, 4, 2, 1, absent lanes count as the identity.",
    },
    OpInfo {
        op: Op::Scan,
        kind: Kind::Subgroup,
        modes: &[
            ModeSet { name: "Scan", words: Scan::WORDS },
            ModeSet { name: "Reduce", words: Reduce::WORDS },
        ],
        rules: &[
            TypeRule { modes: [3, 7, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 8, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 16, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [3, 32, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Collective, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Prefix reduction over the subgroup, inclusive or exclusive. Order: steps 1, 2, 4, 8, 16, absent lanes count as the identity; exclusive: the inclusive result of the lane below, the identity in lane 0.",
    },
    OpInfo {
        op: Op::Reduce,
        kind: Kind::Block,
        modes: &[ModeSet { name: "Reduce", words: Reduce::WORDS }],
        rules: &[
            TypeRule { modes: [7, 1, 1], ty: TypeSet(0xfff), ty2: TypeSet(0x0) },
            TypeRule { modes: [8, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [16, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
            TypeRule { modes: [32, 1, 1], ty: TypeSet(0xff), ty2: TypeSet(0x0) },
        ],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "a", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Collective, Effect::Barrier, Effect::Trap(TrapKind::Sync)],
        packed: &[],
        doc: "Reduce over all lanes of the block; every lane gets the result. Order: each subgroup as `sreduce`, then subgroups ascending. Orders memory like `bar.sync`.",
    },
    OpInfo {
        op: Op::ClsGet,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::U32) }],
        effects: &[],
        packed: &[],
        doc: "The lane's class: set by the host for the launch, else the linear block index modulo 96.",
    },
    OpInfo {
        op: Op::ClsOf,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x40), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "byte", role: Role::R, ty: ArgType::T },
        ],
        effects: &[],
        packed: &[],
        doc: "Class of a byte (its low 8 bits).",
    },
    OpInfo {
        op: Op::ClsMirror,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x40), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "c", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::BadClass)],
        packed: &[],
        doc: "The mirror class.",
    },
    OpInfo {
        op: Op::NbrCount,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x40), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "c", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::BadClass)],
        packed: &[],
        doc: "How many neighbours a class has (5 or 6).",
    },
    OpInfo {
        op: Op::NbrGet,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x40), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "c", role: Role::R, ty: ArgType::T },
            Arg { name: "i", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::BadClass), Effect::Trap(TrapKind::BadNeighbour)],
        packed: &[],
        doc: "A neighbour of a class, ascending by class number.",
    },
    OpInfo {
        op: Op::UnityTest,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "c", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[Effect::Trap(TrapKind::BadClass)],
        packed: &[],
        doc: "Whether a class belongs to the unity set.",
    },
    OpInfo {
        op: Op::PhiAddr,
        kind: Kind::Alu,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x40), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::T },
            Arg { name: "class", role: Role::R, ty: ArgType::T },
            Arg { name: "page", role: Role::R, ty: ArgType::T },
            Arg { name: "byte", role: Role::R, ty: ArgType::T },
        ],
        effects: &[Effect::Trap(TrapKind::BadPhi), Effect::Trap(TrapKind::Claim)],
        packed: &[],
        doc: "Boundary (Phi) address: an index into a boundary pool, a buffer of 1 179 648 bytes.",
    },
    OpInfo {
        op: Op::ResAccumI64,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "c", role: Role::R, ty: ArgType::Is(Type::U32) },
            Arg { name: "a", role: Role::R, ty: ArgType::Is(Type::I64) },
            Arg { name: "b", role: Role::R, ty: ArgType::Is(Type::I64) },
        ],
        effects: &[
            Effect::Resonance,
            Effect::Trap(TrapKind::BadClass),
            Effect::Trap(TrapKind::DivByZero),
            Effect::Trap(TrapKind::Claim),
        ],
        packed: &[],
        doc: "Add the fraction a/b to the rational resonance of class `c`, exactly: `res.accum.i64 class, 1, 3`. b = 0 traps; a class whose sum does not fit 64-bit numerator and denominator traps when the launch ends. Order-free.",
    },
    OpInfo {
        op: Op::ResAccumF64,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "c", role: Role::R, ty: ArgType::Is(Type::U32) },
            Arg { name: "a", role: Role::R, ty: ArgType::Is(Type::F64) },
        ],
        effects: &[Effect::Resonance, Effect::Trap(TrapKind::BadClass), Effect::Trap(TrapKind::Claim)],
        packed: &[],
        doc: "Add to the f64 resonance of class `c`: all that a launch adds is summed exactly and rounded once, when it ends. Order-free.",
    },
    OpInfo {
        op: Op::ResTestI64,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "c", role: Role::R, ty: ArgType::Is(Type::U32) },
            Arg { name: "a", role: Role::R, ty: ArgType::Is(Type::I64) },
            Arg { name: "b", role: Role::R, ty: ArgType::Is(Type::I64) },
        ],
        effects: &[Effect::Resonance, Effect::Trap(TrapKind::BadClass), Effect::Trap(TrapKind::DivByZero)],
        packed: &[],
        doc: "Whether the magnitude of class `c`'s rational resonance, as it was before the launch, is at most a/b (exactly; b = 0 traps).",
    },
    OpInfo {
        op: Op::ResTestF64,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "c", role: Role::R, ty: ArgType::Is(Type::U32) },
            Arg { name: "eps", role: Role::R, ty: ArgType::Is(Type::F64) },
        ],
        effects: &[Effect::Resonance, Effect::Trap(TrapKind::BadClass)],
        packed: &[],
        doc: "Whether the magnitude of class `c`'s f64 resonance, as it was before the launch, is at most eps (false where either is NaN).",
    },
    OpInfo {
        op: Op::PhaseGet,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::U32) }],
        effects: &[],
        packed: &[],
        doc: "The lane's phase; it starts at (launch phase + linear block index) mod 768.",
    },
    OpInfo {
        op: Op::PhaseAdv,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[Arg { name: "delta", role: Role::R, ty: ArgType::Is(Type::U16) }],
        effects: &[Effect::Trap(TrapKind::Claim)],
        packed: &[],
        doc: "Advance the lane's phase: (phase + delta) mod 768.",
    },
    OpInfo {
        op: Op::PhaseIn,
        kind: Kind::Atlas,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x0), ty2: TypeSet(0x0) }],
        typed: false,
        typed2: false,
        args: &[
            Arg { name: "d", role: Role::W, ty: ArgType::Is(Type::Pred) },
            Arg { name: "begin", role: Role::R, ty: ArgType::Is(Type::U32) },
            Arg { name: "span", role: Role::R, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[],
        packed: &[],
        doc: "Whether the lane's phase lies in [begin, begin + span), wrapping at 768: ((phase - begin) mod 768) < span.",
    },
    OpInfo {
        op: Op::MatmulT2,
        kind: Kind::Native,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x1), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::I32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "nn", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::T2],
        doc: "Ternary matrix product: y[r*ldy + c] = sum over k of w[n0 + c, k] * x[r*ldx + k] for r < m, c < nn; i8 activations, weights in {-1, 0, 1}, exact i32 (k at most 2^23).",
    },
    OpInfo {
        op: Op::QuantRows,
        kind: Kind::Native,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x400), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "q", role: Role::Out, ty: ArgType::Is(Type::I8) },
            Arg { name: "scale", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "k", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldq", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[],
        doc: "Rows as 8-bit codes: for r < m, `scale[r]` = 127 / max(largest magnitude of row r, 1e-5), computed in f64 and rounded to f32; q[r*ldq + i] = x[r*ldx + i] * `scale[r]`, rounded half to even and held to -128..=127. NaN has code 0 and does not count for the magnitude.",
    },
    OpInfo {
        op: Op::MatmulQ,
        kind: Kind::Native,
        modes: &[ModeSet { name: "Activation", words: Activation::WORDS }],
        rules: &[TypeRule { modes: [31, 1, 1], ty: TypeSet(0x1), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "scale", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "nn", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[
            PackFormat::T2,
            PackFormat::T3,
            PackFormat::T2Blocks,
            PackFormat::I8,
            PackFormat::Q80,
            PackFormat::Q40,
        ],
        doc: "Quantised matrix product: y[r*ldy + c] = act((sum over k of w[n0 + c, k] * x[r*ldx + k]) / `scale[r]` * weight scale) for r < m, c < nn. The sum is exact and rounded to f32 once; with a scale per block of weights it is acc = fma(exact sum of the block rounded to f32, the block's scale, acc) from +0, blocks ascending. Each step is one f32 operation, in this order; a matrix without a scale of its own has no such step.",
    },
    OpInfo {
        op: Op::LinearQ,
        kind: Kind::Native,
        modes: &[ModeSet { name: "Activation", words: Activation::WORDS }],
        rules: &[TypeRule { modes: [31, 1, 1], ty: TypeSet(0x1), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "scale", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "bias", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "nn", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[
            PackFormat::T2,
            PackFormat::T3,
            PackFormat::T2Blocks,
            PackFormat::I8,
            PackFormat::Q80,
            PackFormat::Q40,
        ],
        doc: "As `matmul.q`, with bias[n0 + c] added before `act`; `bias` begins at the matrix's row 0.",
    },
    OpInfo {
        op: Op::MatmulF,
        kind: Kind::Native,
        modes: &[ModeSet { name: "Activation", words: Activation::WORDS }],
        rules: &[TypeRule { modes: [31, 1, 1], ty: TypeSet(0x400), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "nn", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::F32, PackFormat::F16, PackFormat::Bf16],
        doc: "Matrix product of floats: y[r*ldy + c] = act(chain acc = fma(w[n0 + c, k], x[r*ldx + k], acc) from +0, k ascending) for r < m, c < nn; weights of 16 bits count as the f32 of the same value.",
    },
    OpInfo {
        op: Op::LinearF,
        kind: Kind::Native,
        modes: &[ModeSet { name: "Activation", words: Activation::WORDS }],
        rules: &[TypeRule { modes: [31, 1, 1], ty: TypeSet(0x400), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "bias", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "nn", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::F32, PackFormat::F16, PackFormat::Bf16],
        doc: "As `matmul.f`, with bias[n0 + c] added before `act`; `bias` begins at the matrix's row 0.",
    },
    OpInfo {
        op: Op::Conv2dSum,
        kind: Kind::Native,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x11), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::I32) },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::T },
            Arg { name: "r0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "rr", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "c0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "cc", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "zx", role: Role::Uniform, ty: ArgType::Is(Type::I32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::T2, PackFormat::I8],
        doc: "Convolution of one image, a part of its output: sum over a filter's taps and channels of w * (x - zx), exact; padding counts as x = zx. x begins at the image, y at the part's first element. Channels are divided at multiples of the convolution's unit.",
    },
    OpInfo {
        op: Op::Conv2dQ,
        kind: Kind::Native,
        modes: &[ModeSet { name: "Activation", words: Activation::WORDS }],
        rules: &[TypeRule { modes: [3, 1, 1], ty: TypeSet(0x11), ty2: TypeSet(0x11) }],
        typed: true,
        typed2: true,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::T },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::S },
            Arg { name: "scale", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "bias", role: Role::Input, ty: ArgType::Is(Type::I32) },
            Arg { name: "r0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "rr", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "c0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "cc", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "zx", role: Role::Uniform, ty: ArgType::Is(Type::I32) },
            Arg { name: "zy", role: Role::Uniform, ty: ArgType::Is(Type::I32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::T2, PackFormat::I8],
        doc: "As `conv2d.sum`, to codes: the sum plus `bias[c]` (wrapping), rounded to f32, times `scale[c]`, `act`, held to what the type's range leaves around zy, rounded half to even, plus zy. NaN gives the lowest value. `scale` and `bias` begin at filter 0.",
    },
    OpInfo {
        op: Op::Conv2dF,
        kind: Kind::Native,
        modes: &[
            ModeSet { name: "Activation", words: Activation::WORDS },
            ModeSet { name: "Algorithm", words: Algorithm::WORDS },
        ],
        rules: &[
            TypeRule { modes: [3, 15, 1], ty: TypeSet(0x400), ty2: TypeSet(0x400) },
            TypeRule { modes: [3, 3, 1], ty: TypeSet(0x400), ty2: TypeSet(0x11) },
        ],
        typed: true,
        typed2: true,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::T },
            Arg { name: "w", role: Role::Packed, ty: ArgType::None },
            Arg { name: "x", role: Role::Input, ty: ArgType::S },
            Arg { name: "scale", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "bias", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "r0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "rr", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "c0", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "cc", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "zx", role: Role::Uniform, ty: ArgType::Is(Type::I32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[PackFormat::T2, PackFormat::I8, PackFormat::F32],
        doc: "As `conv2d.sum`, to floats: the sum rounded to f32, or of f32 input the chain acc = fma(w, x, acc) from +0 over filter rows, filter columns and channels ascending, padding being +0 and zx 0; then times `scale[c]`, plus `bias[c]`, and `act`, each one f32 operation. Integer weights count as the f32 of the same value. In place of the chain there may be Winograd's F(2x2, 3x3) or products of spectra, each in one order of its own: what the mode names, or where it names nothing, what the shape is given by itself; filters packed for another order trap (`shape`).",
    },
    OpInfo {
        op: Op::MatmulB,
        kind: Kind::Native,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x700), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "y", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "x", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "b", role: Role::Input, ty: ArgType::T },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "k", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldy", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldx", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldb", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[],
        doc: "Product with a matrix in a buffer, which lies in panels of 64 columns: y[r*ldy + c] = chain acc = fma(b[(c / 64)*ldb + 64*i + c % 64], x[r*ldx + i], acc) from +0, i ascending below k, for r < m, c < n. Elements of 16 bits count as the f32 of the same value; a NaN result has the one pattern of f32. The last panel has all 64 columns too.",
    },
    OpInfo {
        op: Op::Attend,
        kind: Kind::Native,
        modes: &[],
        rules: &[TypeRule { modes: [1, 1, 1], ty: TypeSet(0x700), ty2: TypeSet(0x0) }],
        typed: true,
        typed2: false,
        args: &[
            Arg { name: "o", role: Role::Out, ty: ArgType::Is(Type::F32) },
            Arg { name: "q", role: Role::Input, ty: ArgType::Is(Type::F32) },
            Arg { name: "k", role: Role::Input, ty: ArgType::T },
            Arg { name: "v", role: Role::Input, ty: ArgType::T },
            Arg { name: "m", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "n", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "heads", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "dim", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldq", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "ldv", role: Role::Uniform, ty: ArgType::Is(Type::U32) },
            Arg { name: "factor", role: Role::Uniform, ty: ArgType::Is(Type::F32) },
        ],
        effects: &[
            Effect::Collective,
            Effect::Barrier,
            Effect::Native,
            Effect::Trap(TrapKind::Sync),
            Effect::Trap(TrapKind::NotUniform),
            Effect::Trap(TrapKind::Shape),
            Effect::Trap(TrapKind::OutOfBounds),
            Effect::Trap(TrapKind::Overlap),
        ],
        packed: &[],
        doc: "Attention of m rows of `heads` heads that share keys and values: row r attends to the first n + r keys (n above 0). Key j has element i at `k[j / 64 * 64*dim + 64*i + j % 64]`, value j element c at `v[(c / 64)*ldv + 64*j + c % 64]`; elements of 16 bits count as the f32 of the same value. Each step one f32 operation, for each row and head: score j = factor * chain acc = fma(key, query, acc) from +0, i ascending; in tiles of 64 keys, ascending from M = -inf and L = 0: t the largest score, `e[j] = exp(score j - t)`, s the sum of e as `reduce.add` over 64 lanes (0 for keys that are not there), x = max(M, t), L = fma(s, exp(t - x), L * exp(M - x)), M = x; then `p[j] = e[j] * (exp(t - M) / L)` with its tile's t, and `o[r*ldq + h*dim + c]` = chain acc = `fma(value, p[j], acc)` from +0, j ascending. A NaN result has the one pattern of f32.",
    },
];

/// Revision of the experimental native opcodes; a module that uses them records it.
pub const NATIVE_REVISION: u16 = 6;

/// Limits that the validator enforces.
pub mod limits {
    /// arrays.
    pub const ARRAYS: usize = 64;
    /// block lanes.
    pub const BLOCK_LANES: usize = 1024;
    /// buffer array.
    pub const BUFFER_ARRAY: usize = 64;
    /// call depth.
    pub const CALL_DEPTH: usize = 64;
    /// functions.
    pub const FUNCTIONS: usize = 256;
    /// instructions.
    pub const INSTRUCTIONS: usize = 65536;
    /// kernels.
    pub const KERNELS: usize = 1024;
    /// list.
    pub const LIST: usize = 32;
    /// name bytes.
    pub const NAME_BYTES: usize = 128;
    /// params.
    pub const PARAMS: usize = 64;
    /// predicates.
    pub const PREDICATES: usize = 16;
    /// private bytes.
    pub const PRIVATE_BYTES: usize = 65536;
    /// registers.
    pub const REGISTERS: usize = 256;
    /// shared bytes.
    pub const SHARED_BYTES: usize = 1048576;
    /// subgroup.
    pub const SUBGROUP: usize = 32;
}
