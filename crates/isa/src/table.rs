//! The shape of the operation table, and mnemonics.

use crate::generated::{OPS, Op, PackFormat, TrapKind, Type};
use alloc::{string::String, vec::Vec};

/// Kind of a value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Signed two's complement integer.
    Sint,
    /// Unsigned integer.
    Uint,
    /// IEEE 754 binary float (bf16: the upper half of an f32).
    Float,
    /// One truth value.
    Pred,
}

impl Type {
    /// Bytes of an element in memory (predicates are not stored).
    pub const fn bytes(self) -> usize {
        (self.bits() / 8) as usize
    }
    /// Whether it is a signed or unsigned integer.
    pub const fn is_int(self) -> bool {
        matches!(self.class(), Class::Sint | Class::Uint)
    }
    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }
    /// Whether memory indices may have this type.
    pub const fn is_index(self) -> bool {
        matches!(self, Type::I32 | Type::I64 | Type::U32 | Type::U64)
    }
}

/// A set of types, one bit per type number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeSet(pub u16);

impl TypeSet {
    /// Whether the type is a member.
    pub const fn contains(self, ty: Type) -> bool {
        self.0 >> ty.code() & 1 == 1
    }
    /// Whether the set has no member (the operation has no such type).
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The members, ascending by number.
    pub fn iter(self) -> impl Iterator<Item = Type> {
        Type::ALL.iter().copied().filter(move |t| self.contains(*t))
    }
}

/// A mode slot of a mnemonic.
#[derive(Clone, Copy, Debug)]
pub struct ModeSet {
    /// Name of the set in `types.toml`.
    pub name: &'static str,
    /// The words, by number; "" is a mode that is not written.
    pub words: &'static [&'static str],
}

/// A combination of modes (bit mask per slot) and types that an operation has.
#[derive(Clone, Copy, Debug)]
pub struct TypeRule {
    /// Allowed mode numbers per slot, as bits.
    pub modes: [u32; 3],
    /// Allowed types T; empty where the operation has none.
    pub ty: TypeSet,
    /// Allowed second types S (conversions).
    pub ty2: TypeSet,
}

/// What an operand is and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A register or predicate that is written.
    W,
    /// A register that is read and written.
    Rw,
    /// A source: register, predicate, immediate, special register or scalar parameter.
    R,
    /// A source that must be the same in all lanes that execute it.
    Uniform,
    /// An immediate.
    Imm,
    /// A memory element that is read.
    Load,
    /// A memory element that is written.
    Store,
    /// A memory element that is updated atomically.
    Atomic,
    /// Where a native operation's output starts.
    Out,
    /// Where a native operation's input starts.
    Input,
    /// A packed weights parameter.
    Packed,
    /// A buffer parameter or a shared or private array, as a whole.
    Buffer,
    /// A branch target.
    Label,
    /// A function of the kernel.
    Func,
    /// Registers that receive a call's results.
    Dests,
    /// Sources passed to a call.
    Srcs,
    /// A list of sources.
    List,
}

/// The type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// It has none.
    None,
    /// The instruction's type.
    T,
    /// The instruction's second type.
    S,
    /// Always this one.
    Is(Type),
}

/// An operand of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Name in the tables, for messages.
    pub name: &'static str,
    /// Use.
    pub role: Role,
    /// Type.
    pub ty: ArgType,
}

/// Family of an operation, by the part of an executor that carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A pure function of its operands (it may trap).
    Alu,
    /// Loads, stores, atomics, pools.
    Memory,
    /// Branches, calls, ends.
    Control,
    /// Barriers and fences.
    Sync,
    /// Collective over a subgroup.
    Subgroup,
    /// Collective over a block.
    Block,
    /// State of the Atlas group.
    Atlas,
    /// Executed once for a whole block.
    Native,
}

/// What an operation does besides writing its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads memory.
    MemRead,
    /// Writes memory.
    MemWrite,
    /// Its memory access is atomic.
    MemAtomic,
    /// May continue elsewhere.
    Branch,
    /// Branches only for some values, even without a guard.
    Cond,
    /// Calls a function.
    Call,
    /// Returns from a function.
    Return,
    /// Ends the lane.
    Exit,
    /// All lanes of its scope must arrive at the same instance.
    Collective,
    /// Orders memory for the whole block, besides being collective over it.
    Barrier,
    /// Orders this lane's memory accesses.
    Fence,
    /// Uses the launch's pool.
    Pool,
    /// Adds to the resonance or tests it.
    Resonance,
    /// Runs once per block.
    Native,
    /// May trap so.
    Trap(TrapKind),
}

/// A row of the operation table.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// Which operation.
    pub op: Op,
    /// Family.
    pub kind: Kind,
    /// Mode slots, in the order in which they are written.
    pub modes: &'static [ModeSet],
    /// Allowed combinations; never empty.
    pub rules: &'static [TypeRule],
    /// The type is written in the mnemonic.
    pub typed: bool,
    /// A second type is written too.
    pub typed2: bool,
    /// Operands in order.
    pub args: &'static [Arg],
    /// Effects.
    pub effects: &'static [Effect],
    /// Formats that its packed operand may have; empty where it has none.
    pub packed: &'static [PackFormat],
    /// One line.
    pub doc: &'static str,
}

impl OpInfo {
    /// Whether the effect is listed.
    pub fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }
    /// Whether the row allows these modes and types.
    pub fn allows(&self, modes: [u8; 3], ty: Option<Type>, ty2: Option<Type>) -> bool {
        let fits = |set: TypeSet, t: Option<Type>| t.map_or(set.is_empty(), |t| set.contains(t));
        self.rules.iter().any(|r| {
            (0..3).all(|i| modes[i] < 32 && r.modes[i] >> modes[i] & 1 == 1)
                && fits(r.ty, ty)
                && fits(r.ty2, ty2)
        })
    }
    /// The type of an operation whose mnemonic writes none but whose row has one.
    pub fn implied_type(&self) -> Option<Type> {
        if self.typed { None } else { self.rules[0].ty.iter().next() }
    }
}

impl Op {
    /// The operation's row.
    pub fn info(self) -> &'static OpInfo {
        // OPS and ALL are generated from the same list in the same order (ascending numbers).
        let at = Op::ALL.partition_point(|o| o.code() < self.code());
        &OPS[at]
    }
}

/// A mnemonic taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mnemonic {
    /// The operation.
    pub op: Op,
    /// Mode numbers; unused slots are 0.
    pub modes: [u8; 3],
    /// Type T, where the row has one (also where it is not written).
    pub ty: Option<Type>,
    /// Type S.
    pub ty2: Option<Type>,
}

/// Why a mnemonic is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MnemonicError {
    /// No operation has this name; similar names, best first.
    UnknownOp(Vec<&'static str>),
    /// The named mode is missing or wrong; the words that fit.
    BadMode {
        /// What stands there ("" where nothing does).
        found: String,
        /// What may stand there.
        expected: Vec<&'static str>,
    },
    /// The type is missing or unknown.
    BadType {
        /// What stands there ("" where nothing does).
        found: String,
    },
    /// Modes and types are known but the row does not combine them; the types that these modes allow.
    NotAllowed(Vec<Type>),
    /// Words after the type.
    Extra(String),
}

/// Takes a mnemonic such as `atom.shared.add.relaxed.u32` apart.
///
/// # Errors
/// Says which word is wrong and what would fit.
pub fn parse_mnemonic(text: &str) -> Result<Mnemonic, MnemonicError> {
    let words: Vec<&str> = text.split('.').collect();
    // The longest row name that the words begin with: `pool.ld.f32` is `pool.ld`, not an unknown `pool`.
    let found = (1..=words.len().min(3)).rev().find_map(|n| {
        let name = words[..n].join(".");
        Op::from_name(&name).map(|op| (op, n))
    });
    let Some((op, mut at)) = found else {
        return Err(MnemonicError::UnknownOp(similar(text)));
    };
    let info = op.info();
    let mut modes = [0u8; 3];
    for (slot, set) in info.modes.iter().enumerate() {
        let word = words.get(at).copied().unwrap_or("");
        if let Some(i) = set.words.iter().position(|w| !w.is_empty() && *w == word) {
            modes[slot] = i as u8;
            at += 1;
        } else if set.words[0].is_empty() {
            modes[slot] = 0;
        } else {
            let expected = set.words.iter().copied().filter(|w| !w.is_empty()).collect();
            return Err(MnemonicError::BadMode { found: word.into(), expected });
        }
    }
    let mut next_type = |wanted: bool| {
        if !wanted {
            return Ok(None);
        }
        let word = words.get(at).copied().unwrap_or("");
        at += 1;
        Type::from_name(word).map(Some).ok_or_else(|| MnemonicError::BadType { found: word.into() })
    };
    let ty = next_type(info.typed)?.or_else(|| info.implied_type());
    let ty2 = next_type(info.typed2)?;
    if at < words.len() {
        return Err(MnemonicError::Extra(words[at..].join(".")));
    }
    if !info.allows(modes, ty, ty2) {
        let types = Type::ALL.iter().copied().filter(|t| info.allows(modes, Some(*t), ty2)).collect();
        return Err(MnemonicError::NotAllowed(types));
    }
    Ok(Mnemonic { op, modes, ty, ty2 })
}

impl core::fmt::Display for Mnemonic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let info = self.op.info();
        f.write_str(self.op.name())?;
        for (set, mode) in info.modes.iter().zip(self.modes) {
            match set.words.get(mode as usize) {
                Some(w) if !w.is_empty() => write!(f, ".{w}")?,
                _ => {}
            }
        }
        if let (true, Some(t)) = (info.typed, self.ty) {
            write!(f, ".{t}")?;
        }
        if let (true, Some(t)) = (info.typed2, self.ty2) {
            write!(f, ".{t}")?;
        }
        Ok(())
    }
}

/// Operation names close to `text`, best first, at most three.
fn similar(text: &str) -> Vec<&'static str> {
    let head = text.split('.').next().unwrap_or(text);
    let mut scored: Vec<(usize, &'static str)> = Op::WORDS
        .iter()
        .map(|w| (edit_distance(head, w.split('.').next().unwrap_or(w)).min(edit_distance(text, w)), *w))
        .filter(|(d, w)| *d <= 2 && *d < w.len())
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, w)| w).collect()
}

/// Levenshtein distance: single-character insertions, deletions and replacements.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Every mnemonic that the tables allow.
pub fn all_mnemonics() -> Vec<Mnemonic> {
    let mut all: Vec<Mnemonic> = Vec::new();
    for info in OPS {
        let sizes: Vec<usize> = (0..3).map(|i| info.modes.get(i).map_or(1, |m| m.words.len())).collect();
        let types = || core::iter::once(None).chain(Type::ALL.iter().copied().map(Some));
        for a in 0..sizes[0] {
            for b in 0..sizes[1] {
                for c in 0..sizes[2] {
                    for ty in types() {
                        for ty2 in types() {
                            let modes = [a as u8, b as u8, c as u8];
                            if info.allows(modes, ty, ty2) {
                                all.push(Mnemonic { op: info.op, modes, ty, ty2 });
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn every_mnemonic_parses_back() {
        let all = all_mnemonics();
        assert!(all.len() > 1000, "only {} mnemonics", all.len());
        for m in all {
            let text = m.to_string();
            assert_eq!(parse_mnemonic(&text), Ok(m), "{text}");
        }
    }

    #[test]
    fn wrong_mnemonics_say_what_is_wrong() {
        assert!(matches!(parse_mnemonic("ad.f32"), Err(MnemonicError::UnknownOp(s)) if s.contains(&"add")));
        assert!(matches!(parse_mnemonic("set.f32"), Err(MnemonicError::BadMode { .. })));
        assert!(matches!(parse_mnemonic("add"), Err(MnemonicError::BadType { .. })));
        assert!(matches!(parse_mnemonic("fma.i32"), Err(MnemonicError::NotAllowed(t)) if t.len() == 4));
        assert!(matches!(parse_mnemonic("add.f32.f32"), Err(MnemonicError::Extra(_))));
        assert_eq!(format!("{}", parse_mnemonic("cvt.rn.f16.f32").unwrap()), "cvt.rn.f16.f32");
    }
}
