//! Program files, text or binary, and what is said when they are wrong.

use crate::console::{Console, say};
use crate::failure::Told;
use anyhow::Context;
use phalanx::exec::Trap;
use phalanx::isa::{MAGIC, Span};
use phalanx::{Cpu, Diagnostic, LaunchError, Program};
use serde_json::{Value, json};
use std::path::Path;

/// A program file as read.
#[derive(Clone)]
pub struct Source {
    /// The path as given, for messages.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// What a program file holds.
#[derive(Clone)]
pub enum Content {
    /// Program text.
    Text(String),
    /// A binary module.
    Binary(Vec<u8>),
}

impl Source {
    /// Reads a file: binary where it begins as modules do or is called `.phxb`, else text.
    ///
    /// # Errors
    /// A file that cannot be read, or is neither.
    pub fn read(path: &Path) -> anyhow::Result<Source> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{name}`"))?;
        let named_binary = path.extension().is_some_and(|e| e == "phxb");
        if bytes.starts_with(MAGIC.as_ref()) || named_binary {
            return Ok(Source { name, content: Content::Binary(bytes) });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Source { name, content: Content::Text(text) }),
            Err(_) => anyhow::bail!("`{name}` is neither program text (UTF-8) nor a Phalanx module"),
        }
    }

    /// The text; empty for binaries.
    pub fn text(&self) -> &str {
        match &self.content {
            Content::Text(t) => t,
            Content::Binary(_) => "",
        }
    }

    /// Loads the program; what is wrong with it is said, and written as rows.
    ///
    /// # Errors
    /// The program was rejected, which has been said.
    pub fn load(&self, cpu: &Cpu, console: Console) -> anyhow::Result<Program> {
        let loaded = match &self.content {
            Content::Text(text) => cpu.load_named(&self.name, text),
            Content::Binary(bytes) => cpu.load_binary(bytes),
        };
        match loaded {
            Ok(program) => Ok(program),
            Err(e) => {
                console.diagnostics(e.diagnostics(), &self.name, self.text())?;
                Err(Told.into())
            }
        }
    }

    /// Where a launch trapped.
    fn trap_diagnostic(&self, program: &Program, trap: &Trap) -> Diagnostic {
        let mut d = program.trap_diagnostic(trap);
        if d.span.line == 0 {
            d.span = Span { line: trap.loc.line, col: trap.loc.col, len: 1 };
        }
        d
    }

    /// The file that a trap names. A binary names the file that it was assembled from; its text may be elsewhere by now.
    fn trap_file<'s>(&'s self, trap: &'s Trap) -> &'s str {
        if trap.file.is_empty() { &self.name } else { &trap.file }
    }

    /// Where and why a launch trapped, for people.
    pub fn trap_text(&self, program: &Program, trap: &Trap, colour: bool) -> String {
        let d = self.trap_diagnostic(program, trap);
        let text = phalanx::asm::render(&d, self.trap_file(trap), self.text(), colour);
        format!("{text}\n  in kernel `{}`, {}\n", trap.kernel, trap.place().trim_start_matches("in "))
    }

    /// The row of a trap.
    pub fn trap_row(&self, program: &Program, trap: &Trap) -> Value {
        let d = self.trap_diagnostic(program, trap);
        json!({
            "kind": trap.lane_trap.kind.name(),
            "message": trap.message(),
            "file": self.trap_file(trap),
            "line": d.span.line,
            "column": d.span.col,
            "block": trap.lane_trap.block,
            "lane": trap.lane_trap.lane,
        })
    }

    /// Says where and why a launch trapped, and writes the row.
    ///
    /// # Errors
    /// Always: [`Told`], or stdout cannot be written.
    pub fn trapped(&self, program: &Program, trap: &Trap, console: Console) -> anyhow::Error {
        say!("{}", self.trap_text(program, trap, crate::console::colour()).trim_end());
        console.row(&self.trap_row(program, trap)).map_or_else(Into::into, |()| Told.into())
    }

    /// What to say of a launch that failed.
    pub fn failed(&self, program: &Program, e: LaunchError, console: Console) -> anyhow::Error {
        if e.is_cancelled() {
            return anyhow::anyhow!("interrupted: the launch was cancelled");
        }
        match e.trap() {
            Some(trap) => self.trapped(program, trap, console),
            None => crate::failure::launch(e),
        }
    }
}
