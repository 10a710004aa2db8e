//! Kinds of access.

/// What an access does to an element, as far as races go. A compare-exchange counts as a write, also where it does not exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Class {
    Read,
    Write,
    AtomicRead,
    AtomicWrite,
}

impl Class {
    pub(crate) fn atomic(self) -> bool {
        matches!(self, Class::AtomicRead | Class::AtomicWrite)
    }
    pub(crate) fn writes(self) -> bool {
        matches!(self, Class::Write | Class::AtomicWrite)
    }
    /// Whether two unordered accesses of different lanes race.
    pub(crate) fn conflicts(self, other: Class) -> bool {
        (self.writes() || other.writes()) && !(self.atomic() && other.atomic())
    }
}
