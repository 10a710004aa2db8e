//! Who reads what: results on stdout, everything said to people on stderr.

use phalanx::Diagnostic;
use phalanx::isa::Severity;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};

/// Says a line to people. What cannot be said (stderr is closed) is dropped: it must not end the command.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::console::tell(format_args!($($arg)*))
    };
}
pub(crate) use say;

/// See [`say!`].
pub fn tell(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// Rows for programs instead of text for people.
    pub json: bool,
}

impl Console {
    /// With `--json` or without.
    pub fn new(json: bool) -> Console {
        Console { json }
    }

    /// Writes a result for people to stdout, with a line end; nothing where rows are asked for.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn line(self, text: impl AsRef<str>) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout().lock(), "{}", text.as_ref())
    }

    /// Writes a row where rows are asked for.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn row(self, row: &Value) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{row}")?;
        out.flush()
    }

    /// Diagnostics of a file: with their source lines to people, and as rows.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn diagnostics(self, all: &[Diagnostic], name: &str, text: &str) -> io::Result<()> {
        let told = phalanx::asm::render_all(all, name, text, colour());
        if !told.is_empty() {
            say!("{}", told.trim_end());
        }
        all.iter().try_for_each(|d| self.row(&diagnostic_row(d, name)))
    }
}

/// Whether stderr shows colours: a terminal, and `NO_COLOR` not set.
pub fn colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    io::stderr().is_terminal() && !refused && !dumb
}

fn diagnostic_row(d: &Diagnostic, file: &str) -> Value {
    let span = |s: phalanx::isa::Span| json!({"line": s.line, "column": s.col, "length": s.len});
    let severity = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let labels: Vec<Value> = d.labels.iter().map(|l| json!({"span": span(l.span), "text": l.text})).collect();
    json!({
        "file": file,
        "code": d.code,
        "severity": severity,
        "span": span(d.span),
        "message": d.message,
        "label": d.label,
        "labels": labels,
        "help": d.help,
    })
}

/// A time in the unit that suits it: `840 ns`, `12.3 us`, `4.56 ms`, `1.20 s`.
pub fn duration(d: std::time::Duration) -> String {
    let ns = d.as_nanos() as f64;
    match ns {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// `1 block`, `2 blocks`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Digits in groups of three: `41 000`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn numbers_for_people() {
        let grouped_texts = [0, 999, 1000, 41_000, 1_234_567].map(grouped);
        assert_eq!(grouped_texts, ["0", "999", "1 000", "41 000", "1 234 567"]);
        let times = [840, 12_340, 4_560_000, 1_200_000_000].map(|n| duration(Duration::from_nanos(n)));
        assert_eq!(times, ["840 ns", "12.3 us", "4.56 ms", "1.20 s"]);
        assert_eq!((count(1, "block"), count(0, "lane")), ("1 block".into(), "0 lanes".into()));
    }
}
