//! Making diagnostics.

use phalanx_isa::{Diagnostic, Label, Severity, Span, edit_distance};

/// A diagnostic that was just added to a list, to be completed.
pub(crate) struct Report<'d>(&'d mut Diagnostic);

impl<'d> Report<'d> {
    pub(crate) fn new(
        list: &'d mut Vec<Diagnostic>,
        code: &'static str,
        span: Span,
        message: String,
    ) -> Self {
        let at = list.len();
        list.push(Diagnostic {
            code,
            severity: Severity::Error,
            message,
            span,
            label: String::new(),
            labels: Vec::new(),
            help: None,
        });
        Report(&mut list[at])
    }
    /// Words under the caret.
    pub(crate) fn label(self, text: impl Into<String>) -> Self {
        self.0.label = text.into();
        self
    }
    /// A second place.
    pub(crate) fn also(self, span: Span, text: impl Into<String>) -> Self {
        if span.line > 0 {
            self.0.labels.push(Label { span, text: text.into() });
        }
        self
    }
    /// What to do.
    pub(crate) fn help(self, text: impl Into<String>) -> Self {
        self.0.help = Some(text.into());
        self
    }
    /// What to do, where something is known.
    pub(crate) fn maybe_help(self, text: Option<String>) -> Self {
        if text.is_some() {
            self.0.help = text;
        }
        self
    }
}

/// The candidate closest to a misspelled name, if one is close enough to be meant.
pub(crate) fn closest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let len = name.chars().count();
    if len > 64 {
        return None;
    }
    let limit = match len {
        // Any other letter is as close as the right one.
        0..=1 => return None,
        2..=3 => 1,
        4..=8 => 2,
        n => n / 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for c in candidates {
        // The distance is at least the difference of lengths.
        if c.len().abs_diff(name.len()) > limit * 4 {
            continue;
        }
        let d = edit_distance(name, c);
        // Ties go to the alphabetically first, so that messages do not depend on the order of a hash map.
        if d <= limit && best.is_none_or(|(b, w)| (d, c) < (b, w)) {
            best = Some((d, c));
        }
    }
    best.map(|(_, c)| c)
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"` in backquotes.
pub(crate) fn alternatives<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
