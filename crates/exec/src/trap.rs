//! What is reported when a lane fails.

use phalanx_isa::{Base, Kernel, Loc, Module, TrapKind};

/// What the trap's message can name beyond its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrapDetail {
    /// Nothing.
    #[default]
    None,
    /// An element index outside an array.
    Index {
        /// Which array.
        base: Base,
        /// The exact element index, displacement included.
        index: i128,
        /// How many elements it has.
        len: u64,
    },
    /// Lanes that did not arrive at a collective operation: the first few, and how many in all.
    Missing {
        /// The first missing lanes, ascending, at most eight.
        lanes: Vec<u32>,
        /// How many are missing.
        count: u32,
    },
    /// A number: the program's own code of `trap`, a bad class, a bad handle.
    Value(u64),
    /// The shape at fault, in words.
    Text(String),
    /// What is wrong with the launch as a whole, found when all blocks had ended; block and lane of the trap are 0.
    AtEnd(String),
}

/// A trap as an executor finds it: places as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneTrap {
    /// Why.
    pub kind: TrapKind,
    /// Function of the kernel.
    pub func: u16,
    /// Instruction of the function.
    pub inst: u32,
    /// Linear block.
    pub block: u64,
    /// Linear lane of the block.
    pub lane: u32,
    /// More.
    pub detail: TrapDetail,
}

/// A trap as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Trap {
    /// As found.
    pub lane_trap: LaneTrap,
    /// Kernel name.
    pub kernel: String,
    /// Source file name; may be empty.
    pub file: String,
    /// Place of the instruction in the source; line 0 where unknown.
    pub loc: Loc,
    /// The instruction's mnemonic.
    pub mnemonic: String,
    /// Block index in x, y, z.
    pub block: [u64; 3],
    detail: String,
}

impl Trap {
    /// Adds names and places to a trap found while running `kernel` of `module` over `grid`.
    pub fn describe(lane_trap: LaneTrap, module: &Module, kernel: &Kernel, grid: [u32; 3]) -> Trap {
        let inst =
            kernel.funcs.get(lane_trap.func as usize).and_then(|f| f.code.get(lane_trap.inst as usize));
        let b = lane_trap.block;
        let (gx, gy) = (u64::from(grid[0].max(1)), u64::from(grid[1].max(1)));
        let detail = match &lane_trap.detail {
            TrapDetail::None => String::new(),
            TrapDetail::Index { base, index, len } => {
                format!(": index {index} of `{}`, which has {len} elements", base_name(kernel, *base))
            }
            TrapDetail::Missing { lanes, count } => {
                let list: Vec<String> = lanes.iter().map(u32::to_string).collect();
                let more = if *count as usize > lanes.len() { ", ..." } else { "" };
                format!(": missing {} {}{more}", if *count == 1 { "lane" } else { "lanes" }, list.join(", "))
            }
            TrapDetail::Value(v) => format!(": {v}"),
            TrapDetail::Text(t) | TrapDetail::AtEnd(t) => format!(": {t}"),
        };
        Trap {
            kernel: kernel.name.clone(),
            file: module.source.clone(),
            loc: inst.map(|i| i.loc).unwrap_or_default(),
            mnemonic: inst.map(|i| i.mnemonic().to_string()).unwrap_or_default(),
            block: [b % gx, b / gx % gy, b / gx / gy],
            lane_trap,
            detail,
        }
    }

    /// When or where, in words: the block and lane, or the end of the launch.
    pub fn place(&self) -> String {
        let [x, y, z] = self.block;
        match self.lane_trap.detail {
            TrapDetail::AtEnd(_) => "when the launch had ended".into(),
            _ => format!("in block ({x}, {y}, {z}), lane {}", self.lane_trap.lane),
        }
    }

    /// The kind's sentence and what is known beyond it, without the place.
    pub fn message(&self) -> String {
        format!("{}{}", self.lane_trap.kind.message(), self.detail)
    }

    fn text(&self) -> String {
        let file = if self.file.is_empty() { "kernel" } else { &self.file };
        let place = self.place();
        format!(
            "trap: {} ({})\n  --> {file}:{}:{}: `{}` in kernel `{}`\n  {place}",
            self.message(),
            self.lane_trap.kind,
            self.loc.line,
            self.loc.col,
            self.mnemonic,
            self.kernel,
        )
    }
}

/// The declared name of an array or parameter.
pub(crate) fn base_name(kernel: &Kernel, base: Base) -> &str {
    let name = match base {
        Base::Param(p) => kernel.params.get(p as usize).map(|p| &p.name),
        Base::Shared(s) => kernel.shared.get(s as usize).map(|a| &a.name),
        Base::Private(s) => kernel.private.get(s as usize).map(|a| &a.name),
    };
    name.map_or("?", String::as_str)
}
