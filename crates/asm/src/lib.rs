//! Program text to modules and back.
//!
//! [`assemble`] reads `.phx` text into a [`Module`] with a [`SourceMap`], [`disassemble`] writes text that assembles to the
//! same bytes, [`builder`] makes modules from Rust. Errors are collected as [`Diagnostic`]s, all of a file at once; feature
//! `render` (on by default) shows them with their source lines.
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
