//! The corpus of small kernels with labelled races and other faults, and what must find them.
//!
//! A pair is two files, `NAME.racy.phx` and `NAME.clean.phx`, which differ by one line of code. The tests at the end of a file
//! (see `phalanx::testing`) say how the kernel is launched and all that must be found: `expect clean`, or lines such as
//! `expect race tmp[0..=63] read-write at 8 10`, whose indices are exact and whose lines are those of one pair of accesses.
//! What races may also be read before it is written, depending on the order of the run: `init` is said only of elements that do
//! not race.

mod checker;
mod corpus;
mod guide;
mod labels;
mod mutants;
mod oclgrind;
mod registers;
