//! Text to tokens. A statement ends with its line, so every token knows whether it is the first of one.

use crate::codes;
use crate::report::Report;
use phalanx_isa::{Diagnostic, Span};
use std::borrow::Cow;

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum T {
    /// A name, keyword or mnemonic: letters, digits, `_` and inner dots.
    Word,
    /// A name between backquotes: any text, never a keyword.
    Quoted,
    /// Starts with a digit.
    Num,
    /// Between double quotes.
    Str,
    /// A dot and a word: a directive or a label that is local to the text.
    Dir,
    /// `..`
    Dots,
    /// `->`
    Arrow,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// A single character.
    P(u8),
    /// Something that was already reported.
    Bad,
    /// The end of the statement (never in the token list).
    End,
    /// The end of the file.
    Eof,
}

/// A token: where it is in the text (bytes) and for people (lines and characters, from 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tok {
    pub kind: T,
    /// Whether it is the first of its line.
    pub first: bool,
    pub start: u32,
    pub end: u32,
    pub line: u32,
    pub col: u32,
    /// Length in characters.
    pub len: u32,
}

impl Tok {
    pub(crate) fn span(&self) -> Span {
        Span { line: self.line, col: self.col, len: self.len.max(1) }
    }
}

fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

struct Lexer<'a, 'd> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    /// Bytes of the line so far that do not begin a character.
    wide: usize,
    first: bool,
    out: Vec<Tok>,
    diags: &'d mut Vec<Diagnostic>,
}

/// Splits the text, which is shorter than 4 GiB. The last token is always `Eof`.
pub(crate) fn lex(text: &str, diags: &mut Vec<Diagnostic>) -> Vec<Tok> {
    let mut l = Lexer {
        bytes: text.as_bytes(),
        text,
        at: 0,
        line: 1,
        line_start: 0,
        wide: 0,
        first: true,
        out: Vec::with_capacity(text.len() / 4 + 1),
        diags,
    };
    while l.next() {}
    l.push(T::Eof, l.at, l.at);
    l.out
}

impl Lexer<'_, '_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: T, start: usize, end: usize) {
        let col = (start - self.line_start - self.wide + 1) as u32;
        let extra = match kind {
            T::Str | T::Quoted | T::Bad => {
                self.bytes[start..end].iter().filter(|b| **b & 0xc0 == 0x80).count()
            }
            _ => 0,
        };
        self.wide += extra;
        let (line, len) = (self.line, (end - start - extra) as u32);
        self.out.push(Tok { kind, first: self.first, start: start as u32, end: end as u32, line, col, len });
        self.first = false;
        self.at = end;
    }

    /// Reports the last token.
    fn blame(&mut self, code: &'static str, message: String) -> Report<'_> {
        let span = self.out.last().map(Tok::span).unwrap_or_default();
        Report::new(self.diags, code, span, message)
    }

    /// One token or some white space; false at the end.
    fn next(&mut self) -> bool {
        let start = self.at;
        let Some(&b) = self.bytes.get(start) else { return false };
        match b {
            b'\n' => {
                self.at += 1;
                self.line += 1;
                self.line_start = self.at;
                self.wide = 0;
                self.first = true;
            }
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'/' if self.byte(1) == b'/' => {
                let rest = &self.bytes[start..];
                self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            }
            b'0'..=b'9' => self.number(),
            b'"' => self.delimited(T::Str, b'"'),
            b'`' => self.delimited(T::Quoted, b'`'),
            b'.' if self.byte(1) == b'.' => self.push(T::Dots, start, start + 2),
            b'.' if is_word_start(self.byte(1)) => {
                let end = start + 1 + self.bytes[start + 1..].iter().take_while(|b| is_word(**b)).count();
                self.push(T::Dir, start, end);
            }
            b'-' if self.byte(1) == b'>' => self.push(T::Arrow, start, start + 2),
            b'<' if self.byte(1) == b'<' => self.push(T::Shl, start, start + 2),
            b'>' if self.byte(1) == b'>' => self.push(T::Shr, start, start + 2),
            b',' | b';' | b':' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'@' | b'!' | b'%' | b'+'
            | b'-' | b'*' | b'/' | b'=' => self.push(T::P(b), start, start + 1),
            _ if is_word_start(b) => {
                let mut end = start;
                // A dot belongs to the word only between two of its parts.
                while end < self.bytes.len()
                    && (is_word(self.bytes[end])
                        || self.bytes[end] == b'.' && self.bytes.get(end + 1).is_some_and(|n| is_word(*n)))
                {
                    end += 1;
                }
                self.push(T::Word, start, end);
            }
            _ => self.bad(),
        }
        true
    }

    /// A run of characters that mean nothing: one error for all of them.
    fn bad(&mut self) {
        let start = self.at;
        let known = |b: u8| {
            b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b"\"`_,;:()[]{}@!%+-*/=.".contains(&b)
        };
        let mut end = start + 1;
        while end < self.bytes.len() && (!known(self.bytes[end]) || !self.text.is_char_boundary(end)) {
            end += 1;
        }
        self.push(T::Bad, start, end);
        let shown: String = self.text[start..end].chars().take(20).flat_map(char::escape_default).collect();
        let shown = if self.text[start..end].chars().all(|c| !c.is_control()) {
            self.text[start..end].chars().take(20).collect()
        } else {
            shown
        };
        self.blame(codes::BAD_CHAR, format!("`{shown}` has no meaning here"))
            .label("not part of any program");
    }

    fn number(&mut self) {
        let start = self.at;
        let rest = &self.bytes[start..];
        let run = |from: usize| rest[from..].iter().take_while(|b| is_word(**b)).count();
        let mut n;
        let valid;
        let prefix = rest.get(1).map_or(0, |b| b.to_ascii_lowercase());
        if rest[0] == b'0' && matches!(prefix, b'x' | b'b' | b'f') {
            n = run(0);
            let digits = rest[2..n].iter().filter(|b| **b != b'_');
            let count = digits.clone().count();
            let fits = |b: &u8| if prefix == b'b' { matches!(b, b'0' | b'1') } else { b.is_ascii_hexdigit() };
            valid = count > 0 && digits.clone().all(fits) && (prefix != b'f' || count <= 16);
        } else {
            let digits =
                |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
            n = digits(0);
            let mut good = true;
            if rest.get(n) == Some(&b'.') && rest.get(n + 1).is_some_and(u8::is_ascii_digit) {
                n += 1 + digits(n + 1);
            }
            if matches!(rest.get(n), Some(b'e' | b'E')) {
                n += 1;
                if matches!(rest.get(n), Some(b'+' | b'-')) {
                    n += 1;
                }
                let exponent = digits(n);
                good = rest[n..n + exponent].iter().any(u8::is_ascii_digit);
                n += exponent;
            }
            // All of `1.2.3` and `12monkeys` is one mistake.
            let mut tail = run(n);
            while rest.get(n + tail) == Some(&b'.') && rest.get(n + tail + 1).is_some_and(|b| is_word(*b)) {
                tail += 1 + run(n + tail + 1);
            }
            n += tail;
            valid = good && tail == 0;
        }
        if valid {
            return self.push(T::Num, start, start + n);
        }
        self.push(T::Bad, start, start + n);
        let shown = self.text[start..start + n].to_string();
        self.blame(codes::BAD_NUMBER, format!("`{}` is not a number", clip(&shown))).help(
            "numbers are written 12, 0x1f, 0b101, 1_000, 1.5, 1e-3, inf, nan, or as raw bits 0f3f800000",
        );
    }

    fn delimited(&mut self, kind: T, quote: u8) {
        let start = self.at;
        let mut end = start + 1;
        let closed = loop {
            match self.bytes.get(end) {
                None | Some(b'\n') => break false,
                Some(b'\\') if self.bytes.get(end + 1).is_some_and(|b| *b != b'\n') => end += 2,
                Some(b) if *b == quote => break true,
                Some(_) => end += 1,
            }
        };
        // An escape may have stepped into the middle of a character; only the text up to the line's end is at stake.
        while !self.text.is_char_boundary(end.min(self.text.len())) {
            end += 1;
        }
        let end = end.min(self.text.len());
        if !closed {
            self.push(T::Bad, start, end);
            let what = if kind == T::Str { "string" } else { "quoted name" };
            self.blame(codes::BAD_STRING, format!("the {what} does not end on its line"))
                .help(format!("close it with {}", quote as char));
            return;
        }
        if unescape(&self.text[start + 1..end]).is_none() {
            self.push(T::Bad, start, end + 1);
            self.blame(codes::BAD_STRING, "unknown escape".into())
                .help(r#"escapes are \\ \" \` \n \r \t and \u{1f}"#);
            return;
        }
        self.push(kind, start, end + 1);
    }
}

/// At most forty characters of a piece of text, for messages.
pub(crate) fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((at, _)) => Cow::Owned(format!("{}...", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// The text that a string's or quoted name's inside stands for; `None` for a wrong escape.
pub(crate) fn unescape(inside: &str) -> Option<Cow<'_, str>> {
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c @ ('\\' | '"' | '`') => c,
            'u' => {
                let (hex, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                if hex.len() > 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                chars = rest.chars();
                char::from_u32(u32::from_str_radix(hex, 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(Cow::Owned(out))
}
