//! In which order allocations are locked.

/// Each allocation once, in its strongest mode (`true`: to write), ascending by its number. Where everybody locks in this order,
/// all before any work starts, nobody waits in a circle; and no thread asks for a lock that it holds, behind which a waiting
/// writer could stand.
pub(crate) fn order<A>(all: impl Iterator<Item = (A, bool)>, number: impl Fn(&A) -> u64) -> Vec<(A, bool)> {
    let mut all: Vec<(A, bool)> = all.collect();
    all.sort_by_key(|(a, writes)| (number(a), !writes));
    all.dedup_by_key(|(a, _)| number(a));
    all
}
