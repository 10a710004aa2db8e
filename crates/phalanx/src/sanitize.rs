//! Checked launches: a kernel run with checkers that look at every access, and what they found, for people and programs.
//!
//! ```
//! # fn main() -> Result<(), phalanx::Error> {
//! let cpu = phalanx::Cpu::new()?;
//! let shift = "kernel shift(inout x: u32[]) block 64 grid 1 {
//!     let i, j, v: u32
//!     mov.u32 i, %lane.x
//!     add.u32 j, i, 1
//!     rem.u32 j, j, 64
//!     ld.u32  v, x[j]
//!     st.u32  x[i], v     // another lane may have read x[i] already, or not
//!     exit
//! }";
//! let mut x = cpu.buffer(&[1u32; 64])?;
//! let report = cpu.load(shift)?.only_kernel()?.launch_declared().arg("x", &mut x).sanitize(phalanx::Checks::ALL)?;
//! assert!(!report.is_clean());
//! println!("{report}"); // error[read-write]: ... with both lines, lanes and blocks
//! # Ok(()) }
//! ```
//!
//! A finding is suppressed by a comment at the end of its line, or alone on the line above: `// allow(race): the reason`.

use crate::program::Kernel;
use phalanx_exec::check::{Checks, Finding, FindingKind, Occurrence, RaceKind, Report};
use phalanx_isa::{Base, Diagnostic, Label, Severity, Span};
use std::fmt;

/// What a checked launch showed: the findings with their places in the text, and which of them its author has allowed.
#[derive(Clone, Debug)]
pub struct Checked {
    kernel: Kernel,
    grid: [u32; 3],
    /// As the executor reports it.
    pub report: Report,
    /// By finding: the reason given for allowing it.
    allowed: Vec<Option<String>>,
    /// Comments that mean to allow something and are wrong.
    mistakes: Vec<Diagnostic>,
}

impl FindingName for FindingKind {
    fn checker(&self) -> &'static str {
        match self {
            FindingKind::Race(_) => "race",
            FindingKind::LoadOutside | FindingKind::StoreOutside | FindingKind::BadHandle => "bounds",
            FindingKind::NeverWritten => "init",
            FindingKind::MissedBarrier => "sync",
        }
    }
    fn name(&self) -> &'static str {
        match self {
            FindingKind::Race(RaceKind::ReadWrite) => "read-write",
            FindingKind::Race(RaceKind::WriteWrite) => "write-write",
            FindingKind::Race(RaceKind::AtomicPlain) => "atomic-plain",
            FindingKind::Race(RaceKind::EqualValue) => "equal-value",
            FindingKind::LoadOutside => "load-outside",
            FindingKind::StoreOutside => "store-outside",
            FindingKind::BadHandle => "bad-handle",
            FindingKind::NeverWritten => "never-written",
            FindingKind::MissedBarrier => "missed-barrier",
        }
    }
    fn is_benign(&self) -> bool {
        matches!(self, FindingKind::Race(RaceKind::EqualValue))
    }
}

/// The words for a kind of finding.
pub trait FindingName {
    /// The checker's name, as on the command line.
    fn checker(&self) -> &'static str;
    /// The kind's name.
    fn name(&self) -> &'static str;
    /// Whether the finding harms nobody: stores of equal values.
    fn is_benign(&self) -> bool;
}

/// `x[3]` of a comment `// allow(race, bounds): reason`.
struct Allowance {
    line: u32,
    checkers: Vec<String>,
    reason: String,
}

/// Reads the comments that allow findings. A comment alone on its line speaks of the next line with an instruction.
fn allowances(text: &str) -> (Vec<Allowance>, Vec<Diagnostic>) {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let Some((code, comment)) = line.split_once("//") else { continue };
        let Some(rest) = comment.trim_start().strip_prefix("allow(") else { continue };
        let at = Span { line: n as u32 + 1, col: code.chars().count() as u32 + 1, len: 2 };
        let mut mistake = |message: &str| {
            wrong.push(Diagnostic {
                code: "allow",
                severity: Severity::Error,
                message: message.into(),
                span: at,
                label: String::new(),
                labels: Vec::new(),
                help: Some("write `// allow(race): why this is no fault`".into()),
            });
        };
        let Some((names, reason)) = rest.split_once(')') else {
            mistake("the comment allows nothing: `)` is missing");
            continue;
        };
        let checkers: Vec<String> = names.split(',').map(|n| n.trim().to_string()).collect();
        if let Some(name) = checkers.iter().find(|c| !CHECKERS.contains(&c.as_str())) {
            mistake(&format!("no checker is called `{name}`; there are: {}", CHECKERS.join(", ")));
            continue;
        }
        let reason = reason.trim_start_matches(':').trim();
        if reason.is_empty() {
            mistake("a finding is allowed for a reason: this comment gives none");
            continue;
        }
        let is_code = |l: &str| !l.split("//").next().unwrap_or("").trim().is_empty();
        let line = match is_code(code) {
            true => n,
            false => (n + 1..lines.len()).find(|i| is_code(lines[*i])).unwrap_or(n),
        };
        all.push(Allowance { line: line as u32 + 1, checkers, reason: reason.into() });
    }
    (all, wrong)
}

/// Names of the checkers.
pub const CHECKERS: &[&str] = &["race", "bounds", "init", "sync"];

impl Checked {
    pub(crate) fn new(kernel: Kernel, grid: [u32; 3], report: Report) -> Checked {
        let mut checked = Checked { kernel, grid, report, allowed: Vec::new(), mistakes: Vec::new() };
        let (allowances, mistakes) = allowances(checked.kernel.program().text());
        let reason = |f: &Finding| {
            let lines: Vec<u32> = f.sites.iter().map(|s| checked.span(s).line).collect();
            let of =
                |a: &&Allowance| lines.contains(&a.line) && a.checkers.iter().any(|c| c == f.kind.checker());
            allowances.iter().find(of).map(|a| a.reason.clone())
        };
        checked.allowed = checked.report.findings.iter().map(reason).collect();
        checked.mistakes = mistakes;
        checked
    }

    /// The findings, each with the reason for which it is allowed, if it is.
    pub fn findings(&self) -> impl Iterator<Item = (&Finding, Option<&str>)> {
        self.report.findings.iter().zip(self.allowed.iter().map(Option::as_deref))
    }

    /// Findings that count: not allowed; of those that harm nobody (stores of equal values) only with `strict`.
    pub fn counted(&self, strict: bool) -> impl Iterator<Item = &Finding> {
        self.findings().filter(move |(f, a)| a.is_none() && (strict || !f.kind.is_benign())).map(|(f, _)| f)
    }

    /// Whether nothing counts, the launch ran to its end, and all comments that allow something are right.
    pub fn is_clean(&self) -> bool {
        self.counted(false).next().is_none() && self.report.trap.is_none() && self.mistakes.is_empty()
    }

    /// How many findings are allowed.
    pub fn suppressed(&self) -> usize {
        self.allowed.iter().flatten().count()
    }

    /// Comments that mean to allow something and are wrong.
    pub fn mistakes(&self) -> &[Diagnostic] {
        &self.mistakes
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Where an occurrence stands in the text.
    pub fn span(&self, o: &Occurrence) -> Span {
        self.kernel.program().inst_span(self.kernel.index(), o.func, o.inst)
    }

    /// The line of the text in which an occurrence stands; empty where there is no text.
    pub fn source_line(&self, o: &Occurrence) -> &str {
        let line = self.span(o).line as usize;
        self.kernel.program().text().lines().nth(line.wrapping_sub(1)).unwrap_or("").trim_end()
    }

    /// A linear block's index in x, y and z.
    pub fn block(&self, linear: u64) -> [u64; 3] {
        let [x, y, _] = self.grid.map(|n| u64::from(n.max(1)));
        [linear % x, linear / x % y, linear / x / y]
    }

    /// The element, as `x[3]`; of what has no element, in words.
    pub fn address(&self, f: &Finding) -> String {
        match (f.base, f.kind) {
            (Some(_), _) | (None, FindingKind::Race(_)) => format!("{}[{}]", self.object(f), f.index),
            (None, FindingKind::BadHandle) => format!("handle {}", f.index),
            (None, FindingKind::MissedBarrier) => String::new(),
            (None, _) => format!("element {} of pool memory", f.index),
        }
    }

    /// The buffer or array, as `x` or `xs[2]`; an allocation of the pool, by its handle, as `pool[5]`.
    pub fn object(&self, f: &Finding) -> String {
        let k = self.kernel.data();
        let Some(base) = f.base else {
            let races = matches!(f.kind, FindingKind::Race(_));
            return if races { format!("pool[{}]", f.which) } else { String::new() };
        };
        let (name, many) = match base {
            Base::Param(p) => {
                let param = k.params.get(p as usize);
                let many = param
                    .is_some_and(|p| matches!(p.kind, phalanx_isa::ParamKind::Buffer { count: Some(_), .. }));
                (param.map(|p| &p.name), many)
            }
            Base::Shared(s) => (k.shared.get(s as usize).map(|a| &a.name), false),
            Base::Private(s) => (k.private.get(s as usize).map(|a| &a.name), false),
        };
        let name = name.map_or("?", String::as_str);
        let which = match (many, f.which) {
            (false, _) => String::new(),
            (true, u64::MAX) => "[?]".into(),
            (true, n) => format!("[{n}]"),
        };
        format!("{name}{which}")
    }

    /// What is wrong, in one sentence.
    pub fn message(&self, f: &Finding) -> String {
        let address = self.address(f);
        let elements = match f.indices.len() {
            0 | 1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        match f.kind {
            FindingKind::Race(kind) => {
                let across = f.sites.windows(2).any(|s| s[0].block != s[1].block);
                let who = if across { "lanes of two blocks" } else { "two lanes of a block" };
                let what = match kind {
                    RaceKind::ReadWrite => format!("{who} read and write"),
                    RaceKind::WriteWrite => format!("{who} write different values to"),
                    RaceKind::AtomicPlain => {
                        format!("{who} access, one of them without an atomic operation,")
                    }
                    RaceKind::EqualValue => format!("{who} write equal values to"),
                };
                format!("{what} `{address}`{elements}: nothing orders them")
            }
            FindingKind::LoadOutside if f.base.is_some() => {
                format!("load of `{address}`{elements}: outside, it gives 0{}", self.length(f))
            }
            FindingKind::StoreOutside if f.base.is_some() => {
                format!("store to `{address}`{elements}: outside, it is dropped{}", self.length(f))
            }
            FindingKind::LoadOutside => format!("load of {address}: outside, it gives 0"),
            FindingKind::StoreOutside => format!("store to {address}: outside, it is dropped"),
            FindingKind::BadHandle => {
                format!(
                    "{address} is of no pool memory: it was freed, never given out, or is of another type"
                )
            }
            FindingKind::NeverWritten => format!("read of `{address}`{elements}, which was never written"),
            FindingKind::MissedBarrier => {
                let lanes: Vec<String> = f.missing.iter().map(u32::to_string).collect();
                let more = if f.missing_count as usize > lanes.len() { ", ..." } else { "" };
                let word = if f.missing_count == 1 { "lane" } else { "lanes" };
                let how =
                    if f.elsewhere.is_empty() { "ended or went past it" } else { "wait elsewhere or ended" };
                format!(
                    "{} {word} miss a barrier that others wait at ({}{more}): they {how}",
                    f.missing_count,
                    lanes.join(", ")
                )
            }
        }
    }

    /// How long the object of a finding is, in words; nothing where the launch decides.
    fn length(&self, f: &Finding) -> String {
        let k = self.kernel.data();
        let len = match f.base {
            Some(Base::Shared(s)) => k.shared.get(s as usize).and_then(|a| a.len),
            Some(Base::Private(p)) => k.private.get(p as usize).and_then(|a| a.len),
            _ => None,
        };
        len.map_or_else(String::new, |n| format!(" (it has {n} elements)"))
    }

    fn place(&self, o: &Occurrence, did: &str) -> String {
        let [x, y, z] = self.block(o.block);
        format!("{did} lane {} of block ({x}, {y}, {z}), {} barriers passed", o.lane, o.interval)
    }

    fn label(&self, o: &Occurrence) -> String {
        let what = match (o.atomic, o.writes) {
            (false, false) => "read",
            (false, true) => "written",
            (true, false) => "read atomically",
            (true, true) => "updated atomically",
        };
        self.place(o, &format!("{what} by"))
    }

    /// A finding as a diagnostic at its sites.
    pub fn diagnostic(&self, f: &Finding) -> Diagnostic {
        let race = matches!(f.kind, FindingKind::Race(_));
        let (first, rest) = f.sites.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
        let span = first.map(|o| self.span(o)).unwrap_or_default();
        // Two lanes at one site: one place with two labels.
        let here: Vec<String> = first
            .into_iter()
            .chain(rest.iter().filter(|o| self.span(o) == span))
            .map(|o| if race { self.label(o) } else { self.place(o, "by") })
            .collect();
        let labels = rest.iter().filter(|o| self.span(o) != span);
        Diagnostic {
            code: f.kind.name(),
            severity: if f.kind.is_benign() { Severity::Warning } else { Severity::Error },
            message: self.message(f),
            span,
            label: here.join("; "),
            labels: labels
                .map(|o| Label { span: self.span(o), text: self.label(o) })
                .chain(
                    f.elsewhere
                        .iter()
                        .map(|o| Label { span: self.span(o), text: self.place(o, "here waits") }),
                )
                .collect(),
            help: Some(self.help(f)),
        }
    }

    fn help(&self, f: &Finding) -> String {
        let FindingKind::Race(kind) = f.kind else {
            let (unit, remedy) = match f.kind {
                FindingKind::BadHandle => ("lane", "keep the handle until its last use, and free it once"),
                FindingKind::NeverWritten => ("read", "write every element before it is read"),
                FindingKind::MissedBarrier => ("block", "bring all lanes of the block to the same barrier"),
                _ => ("access", "guard the access with the length"),
            };
            let plural = if f.count == 1 {
                ""
            } else if unit == "access" {
                "es"
            } else {
                "s"
            };
            return format!("{} {unit}{plural}; {remedy}", f.count);
        };
        let times = match f.count {
            1 => "once".to_string(),
            n => format!("{n} times"),
        };
        let across = f.sites.windows(2).any(|s| s[0].block != s[1].block);
        let remedy = match (kind, across) {
            (RaceKind::EqualValue, _) => "let one lane store",
            (RaceKind::AtomicPlain, _) => "make both atomic, or order them",
            (_, false) => "a barrier between them orders them",
            (_, true) => "let each block have elements of its own, use atomics, or a second launch",
        };
        format!("{times} (elements by barrier intervals); {remedy}")
    }

    /// What the checkers looked at: a sentence each.
    pub fn covered(&self) -> Vec<String> {
        let Checks { race, bounds, init, sync } = self.report.checks;
        let k = self.kernel.data();
        let has =
            |kind: fn(&phalanx_isa::Op) -> bool| k.funcs.iter().flat_map(|f| &f.code).any(|i| kind(&i.op));
        let pool = has(is_pool);
        let and_pool = |text: &str| format!("{text}{}", if pool { ", pool memory" } else { "" });
        let mut all = Vec::new();
        if race {
            all.push(format!("race: {}", and_pool("buffers that the launch writes, shared arrays")));
        }
        if bounds {
            all.push(format!("bounds: {}", and_pool("buffers, shared and private arrays")));
        }
        if init {
            let zeros = if pool { "; pool.alloc writes zeros" } else { "" };
            all.push(format!(
                "init: buffers given as never written, shared and private arrays{zeros}; registers before the launch, by the validator"
            ));
        }
        if sync {
            all.push("sync: barriers, subgroup and block operations".into());
        }
        all
    }

    /// What the checkers did not look at, or could not know: a sentence each.
    pub fn not_covered(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.report.racy.is_empty() {
            notes.push(
                "lanes that decide by racy values take one way in a run; races on the others are not seen"
                    .into(),
            );
        }
        if self.report.one_order {
            notes.push("release and acquire ordered as in this run; other schedules may order less (--explore tries some)".into());
        }
        if self.report.cut {
            notes.push("the log of racy accesses was full: some racy elements are missing".into());
        }
        let insts = || self.kernel.data().funcs.iter().flat_map(|f| &f.code);
        if insts().any(|i| i.op.info().kind == phalanx_isa::Kind::Native) {
            notes.push("native operations count as boxes of elements, between two barriers".into());
        }
        notes
    }
}

fn is_pool(op: &phalanx_isa::Op) -> bool {
    use phalanx_isa::Op;
    matches!(op, Op::PoolAlloc | Op::PoolFree | Op::PoolLd | Op::PoolSt)
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.findings().filter(|(_, allowed)| allowed.is_none());
        let mut all: Vec<Diagnostic> = shown.map(|(f, _)| self.diagnostic(f)).collect();
        all.extend(self.mistakes.iter().cloned());
        if !all.is_empty() {
            f.write_str(&self.kernel.program().render(&all))?;
        }
        if let Some(trap) = &self.report.trap {
            writeln!(f, "{trap}")?;
        }
        writeln!(f, "{}", self.summary())
    }
}

impl Checked {
    /// `clean: N accesses, M blocks checked`, or how many findings there are.
    pub fn summary(&self) -> String {
        let Report { accesses, blocks, .. } = self.report;
        let counted = self.counted(true).count();
        let suppressed = match self.suppressed() {
            0 => String::new(),
            n => format!(", {n} suppressed"),
        };
        let what = match (self.is_clean(), counted) {
            (true, 0) => "clean".to_string(),
            (_, 1) => "1 finding".to_string(),
            (_, n) => format!("{n} findings"),
        };
        format!("{what}: {accesses} accesses, {blocks} blocks checked{suppressed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_allow_findings_for_a_reason() {
        let text = "a\nst x // allow(race): all store 1\n  // allow(race) both are equal\n\n  st y\nst z // allow(race):\nst // allow(rice): x\n";
        let (all, wrong) = allowances(text);
        let got: Vec<(u32, &str)> = all.iter().map(|a| (a.line, a.reason.as_str())).collect();
        assert_eq!(got, [(2, "all store 1"), (5, "both are equal")]);
        let lines: Vec<u32> = wrong.iter().map(|d| d.span.line).collect();
        assert_eq!(lines, [6, 7]);
        assert!(wrong[1].message.contains("`rice`"));
    }
}
