//! The Phalanx instruction set as data: types, operations, modules and their binary form.
//!
//! Everything here follows from the tables under `isa/` (generated into [`OPS`] and the enums) or describes a program:
//! a [`Module`] holds kernels, a kernel holds functions, a function holds instructions ([`Inst`]).
//!
//! Invariant: this crate never judges a program. Decoding checks the form of the bytes; whether a module makes sense is the
//! validator's business (`phalanx-verify`), and executors take only what it accepted.
//!
//! ```
//! use phalanx_isa::{Op, Type, parse_mnemonic};
//! let m = parse_mnemonic("set.lt.f32").unwrap();
//! assert_eq!((m.op, m.ty), (Op::Set, Some(Type::F32)));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod codec;
mod diag;
mod generated;
mod module;
mod numbered;
mod table;

pub use codec::{DecodeError, FORMAT_VERSION, MAGIC, decode, encode};
pub use diag::{Diagnostic, Label, Place, PlaceItem, Severity, Span};
pub use generated::*;
pub use module::*;
pub use table::*;
