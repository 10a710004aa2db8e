//! Program text to modules and back.
//!
//! [`assemble`] reads `.phx` text into a [`Module`] with a [`SourceMap`], [`disassemble`] writes text that assembles to the
//! same bytes, [`builder`] makes modules from Rust. Errors are collected as [`Diagnostic`]s, all of a file at once; feature
//! `render` (on by default) shows them with their source lines.
//!
//! # The text
//! A file holds `const` declarations and kernels. A statement ends with its line or with `;`; `//` begins a comment.
//! ```
//! let text = "
//! const TILE = 64                              // expressions: + - * / % << >> ceil min max; an optional `: f32` fixes the type
//! kernel demo(in x: f32[], inout y: f32[], in xs: f32[][4], n: u32)
//!         block TILE  grid ceil(n, TILE)       // grid: the same, of parameters and len(x), known at launch
//! {
//!     shared part: f32[TILE]                   // also `private`; `f32[]`, the last shared array: sized by the launch
//!     let i: u32; let v = r7: f32              // the lowest free number, or the one after `=`; r0.. and p0.. need no `let`
//!     mov.u32     i, %global.x
//!     set.lt.u32  p0, i, n
//! @!p0 bra        done
//!     ld.f32      v, x[i + TILE - 1]           // one value and a sum of constants
//!     call        (v), twice, (v)
//!     st.f32      y[i], v
//! done:
//!     exit
//!     func twice(a: f32) -> (b: f32) {         // sees the kernel's parameters, arrays and constants
//!         mul.f32     b, a, 2
//!         ret
//!     }
//! }";
//! assert!(phalanx_asm::assemble("demo.phx", text).is_ok());
//! ```
//! A name has one meaning: registers do not hide parameters or constants. A name between backquotes is never a keyword, a
//! number or a plain register. Numbers are rounded once, to the type of the operand in which they stand.
//!
//! The disassembler uses some forms that people need not: `.file "name"` (the module's source name; what has no `.loc` then
//! has no place), `.loc LINE:COL` (the place of the next declaration or instruction; with `..` behind it, each instruction
//! after that stands one line further), `.body LINE:COL` (the body's place where it is not the kernel's), `.7:` (a label
//! that is not stored), `.label "name"` (one that is only stored), `.name r5 "name"` (the same for a register),
//! `.registers N` and `.predicates N` (files that are longer than their last register).
//!
//! Invariant: nothing here judges what a program does. Names, numbers and the form of instructions are settled here; types,
//! control flow and everything that a binary module could get wrong too are the validator's.
#![forbid(unsafe_code)]

pub mod builder;
mod codes;
mod disasm;
mod expr;
mod func;
mod inst;
mod kernel;
mod lex;
mod map;
mod names;
mod number;
mod operand;
mod parse;
#[cfg(feature = "render")]
mod render;
mod report;
mod syntax;

pub use codes::CODES;
pub use disasm::{DisasmError, disassemble};
pub use map::{SourceMap, span_in_module};

#[cfg(feature = "render")]
pub use render::{render, render_all};

use parse::{Names, Parser, Place};
use phalanx_isa::{Diagnostic, Module, Span, limits};

/// A module and where its parts stand in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The module, not yet validated.
    pub module: Module,
    /// Places in the text.
    pub map: SourceMap,
}

/// Assembles program text. `name` is the file's name, recorded in the module for messages unless the text has a `.file`.
///
/// # Errors
/// Every error of the text, in its order.
pub fn assemble(name: &str, text: &str) -> Result<Assembled, Vec<Diagnostic>> {
    let mut diags = Vec::new();
    // The decoder's limit on the name of the source.
    if name.len() >= limits::NAME_BYTES * 8 || u32::try_from(text.len()).is_err() {
        let message = "the file's name or text is too long".to_string();
        report::Report::new(&mut diags, codes::LIMIT, Span::default(), message);
        return Err(diags);
    }
    let toks = lex::lex(text, &mut diags);
    let mut p = Parser {
        text,
        toks,
        at: 0,
        stop: 0,
        diags,
        consts: Names::new(),
        place: Place::default(),
        source: None,
        kernels: Vec::new(),
        map: SourceMap::default(),
        mnemonics: Default::default(),
    };
    p.module();
    if !p.diags.is_empty() {
        p.diags.sort_by_key(|d| (d.span.line, d.span.col, d.code));
        p.diags.dedup();
        return Err(p.diags);
    }
    let source = p.source.unwrap_or_else(|| name.to_string());
    Ok(Assembled { module: Module { source, kernels: p.kernels }, map: p.map })
}
