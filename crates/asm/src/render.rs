//! Diagnostics as text: the source line, a caret, labels and help, in the style of rustc.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use phalanx_isa::{Diagnostic, Severity, Span};
use std::ops::Range;

/// The text of a file by lines.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }
    /// Lines `from..=to` (from 1) with where they begin.
    fn range(&self, from: u32, to: u32) -> (usize, &'t str) {
        let start = self.starts[from as usize - 1];
        let end = self.starts.get(to as usize).copied().unwrap_or(self.text.len());
        (start, &self.text[start..end])
    }
    fn has(&self, span: Span) -> bool {
        span.line > 0 && span.line as usize <= self.starts.len() && !self.text.is_empty()
    }
    /// The bytes of a span; what reaches beyond the line is cut.
    fn bytes(&self, span: Span) -> Range<usize> {
        let (start, line) = self.range(span.line, span.line);
        let line = line.strip_suffix('\n').unwrap_or(line);
        let at = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
        let first = span.col.saturating_sub(1) as usize;
        start + at(first)..start + at(first.saturating_add(span.len as usize))
    }
}

fn renderer(color: bool) -> Renderer {
    if color { Renderer::styled() } else { Renderer::plain() }
}

fn one(d: &Diagnostic, file: &str, lines: &Lines<'_>, renderer: &Renderer) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&d.message).id(d.code));
    if lines.has(d.span) {
        let shown = || d.labels.iter().map(|l| l.span).filter(|s| lines.has(*s));
        let from = shown().map(|s| s.line).chain([d.span.line]).min().unwrap_or(d.span.line);
        let to = shown().map(|s| s.line).chain([d.span.line]).max().unwrap_or(d.span.line);
        // Only the lines between the first and the last that matter: long files stay cheap.
        let (start, source) = lines.range(from, to);
        let within = |s: Span| {
            let r = lines.bytes(s);
            r.start - start..r.end - start
        };
        let label = (!d.label.is_empty()).then_some(d.label.as_str());
        let mut snippet = Snippet::source(source)
            .line_start(from as usize)
            .path(file)
            .annotation(AnnotationKind::Primary.span(within(d.span)).label(label));
        for l in d.labels.iter().filter(|l| lines.has(l.span)) {
            snippet = snippet.annotation(AnnotationKind::Context.span(within(l.span)).label(l.text.as_str()));
        }
        group = group.element(snippet);
    } else if d.span.line > 0 {
        let origin = Origin::path(file).line(d.span.line as usize).char_column(d.span.col as usize);
        group = group.element(origin);
    } else {
        group = group.element(Origin::path(file));
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

/// One diagnostic with its source line. `source_text` may be empty: then only the place is named. Ends without a newline.
pub fn render(diagnostic: &Diagnostic, file_name: &str, source_text: &str, color: bool) -> String {
    one(diagnostic, file_name, &Lines::new(source_text), &renderer(color))
}

/// All diagnostics of a file, and a last line with their number. Empty for none; ends with a newline otherwise.
pub fn render_all(diagnostics: &[Diagnostic], file_name: &str, source_text: &str, color: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let lines = Lines::new(source_text);
    let renderer = renderer(color);
    let mut out = String::new();
    for d in diagnostics {
        out.push_str(&one(d, file_name, &lines, &renderer));
        out.push_str("\n\n");
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts = [count(errors, "error"), count(warnings, "warning")];
    let total = format!("{} in {file_name}", counts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let level = if errors > 0 { Level::ERROR } else { Level::WARNING };
    out.push_str(&renderer.render(&[Group::with_title(level.primary_title(total))]));
    out.push('\n');
    out
}
