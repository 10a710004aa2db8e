//! Watching the reference executor: every access to memory, barrier and fence, in the order in which the run makes them. For
//! checkers that want to see everything and do not mind the time; a run that nobody watches pays one comparison an access.

use phalanx_isa::{Base, Scope, TrapKind};
use phalanx_verify::Scope as Together;
use std::ops::Range;

/// One access to one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Linear block.
    pub block: u64,
    /// Linear in the block. A native operation accesses memory as lane 0, between two barriers.
    pub lane: u32,
    /// Function and instruction.
    pub site: (u16, u32),
    /// Parameter or array.
    pub base: Base,
    /// Which buffer of an array of buffers.
    pub which: i128,
    /// Element.
    pub index: i128,
    /// How.
    pub how: How,
    /// The bits that were stored, or else loaded.
    pub bits: u64,
}

/// What an access does to an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// It takes the value.
    pub reads: bool,
    /// It leaves a value. A compare-exchange counts as one that does, also where it does not exchange.
    pub writes: bool,
    /// It is an atomic operation.
    pub atomic: bool,
    /// An atomic operation that acquires.
    pub acquires: bool,
    /// An atomic operation that releases.
    pub releases: bool,
    /// A compare-exchange that did not exchange: it has released nothing.
    pub fails: bool,
}

/// One use of an element of the pool's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAccess {
    /// Linear block.
    pub block: u64,
    /// Linear in the block.
    pub lane: u32,
    /// Function and instruction.
    pub site: (u16, u32),
    /// The allocation.
    pub handle: u64,
    /// Element; `None`: the allocation is given back.
    pub index: Option<u64>,
    /// It stores.
    pub stores: bool,
    /// The bits that were stored, or else loaded.
    pub bits: u64,
}

/// What an observer is told. Nothing in it does anything by default, so that an observer names what it wants to see.
pub trait Observer: Send + Sync {
    /// An access inside its object.
    fn access(&self, _: Access) {}
    /// An access outside its object. True: the run goes on, a load gives 0 and a store is dropped.
    fn outside(&self, _: Access) -> bool {
        false
    }
    /// A use of an allocation of the pool.
    fn pool(&self, _: PoolAccess) {}
    /// A handle that the pool does not know, at a lane's function and instruction. True: as for [`Observer::outside`].
    fn handle(&self, _block: u64, _lane: u32, _site: (u16, u32), _: TrapKind) -> bool {
        false
    }
    /// These lanes of a block were together at something that orders memory between them: of the block, or of a subgroup.
    fn barrier(&self, _block: u64, _lanes: Range<u32>, _of: Together) {}
    /// A lane's fence.
    fn fence(&self, _block: u64, _lane: u32, _: Scope) {}
}
