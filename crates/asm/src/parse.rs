//! The statement parser: walks the tokens, reports errors, and goes on with the next statement.

use crate::codes;
use crate::lex::{T, Tok, clip, unescape};
use crate::map::SourceMap;
use crate::number::Value;
use crate::report::{Report, alternatives, closest};
use phalanx_isa::{Diagnostic, Kernel, Loc, Mnemonic, Span, Type, limits};
use std::borrow::Cow;
use std::collections::HashMap;

/// An error that has been reported.
#[derive(Debug)]
pub(crate) struct Failed;
pub(crate) type Res<T> = Result<T, Failed>;

/// A named constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Const<'a> {
    pub value: Value<'a>,
    /// Where the declaration gives one: the only type of operands in which it may stand.
    pub ty: Option<Type>,
}

/// What a name means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning<'a> {
    Const(Const<'a>),
    /// A kernel parameter, by number.
    Param(u16),
    Shared(u16),
    Private(u16),
    /// A register or predicate of the function, by its position among the function's declarations.
    Local(u16),
    /// Its declaration was wrong and has been reported.
    Poison,
}

/// A name's meaning and where it is declared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'a> {
    pub meaning: Meaning<'a>,
    pub span: Span,
}

pub(crate) type Names<'a> = HashMap<Cow<'a, str>, Symbol<'a>>;

/// `r12` or `p3` written plainly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Reg(u8),
    Pred(u8),
    /// Looks like one, but there is no such number.
    Invalid,
}

/// Reads a plain register name.
pub(crate) fn plain(word: &str) -> Option<Plain> {
    let (kind, digits) = word.split_at_checked(1)?;
    let limit = match kind {
        "r" => limits::REGISTERS,
        "p" => limits::PREDICATES,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Some(Plain::Invalid);
    }
    Some(match digits.parse::<usize>() {
        Ok(n) if n < limit && kind == "r" => Plain::Reg(n as u8),
        Ok(n) if n < limit => Plain::Pred(n as u8),
        _ => Plain::Invalid,
    })
}

/// What a `.loc` directive has set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// For the next declaration or instruction.
    pub next: Option<Loc>,
    /// For the instructions after it, one line further each.
    pub run: Option<Loc>,
    /// The file fixes its places: what has none has none.
    pub fixed: bool,
}

/// The state of one assembly.
pub(crate) struct Parser<'a> {
    pub text: &'a str,
    pub toks: Vec<Tok>,
    /// The next token.
    pub at: usize,
    /// The end of the statement (exclusive).
    pub stop: usize,
    pub diags: Vec<Diagnostic>,
    /// Constants of the module.
    pub consts: Names<'a>,
    pub place: Place,
    pub source: Option<String>,
    pub kernels: Vec<Kernel>,
    pub map: SourceMap,
    /// Mnemonics seen so far.
    pub mnemonics: HashMap<&'a str, Mnemonic>,
}

impl<'a> Parser<'a> {
    pub(crate) fn slice(&self, tok: &Tok) -> &'a str {
        &self.text[tok.start as usize..tok.end as usize]
    }
    /// The next token of the statement.
    pub(crate) fn peek(&self) -> T {
        self.ahead(0)
    }
    /// The kind of a later token of the statement.
    pub(crate) fn ahead(&self, n: usize) -> T {
        if self.at + n < self.stop { self.toks[self.at + n].kind } else { T::End }
    }
    /// Whether the next token is this word.
    pub(crate) fn at_word(&self, word: &str) -> bool {
        self.peek() == T::Word && self.slice(&self.toks[self.at]) == word
    }
    /// Where the next token is; at the end of the statement just behind it.
    pub(crate) fn here(&self) -> Span {
        if self.at < self.stop {
            return self.toks[self.at].span();
        }
        match self.at.checked_sub(1).and_then(|i| self.toks.get(i)) {
            Some(t) => Span { line: t.line, col: t.col + t.len, len: 1 },
            None => Span { line: 1, col: 1, len: 1 },
        }
    }
    /// From the token `from` to the one before the next.
    pub(crate) fn since(&self, from: usize) -> Span {
        let first = self.toks[from.min(self.toks.len() - 1)];
        let last = self.toks[self.at.saturating_sub(1).max(from).min(self.toks.len() - 1)];
        if first.line != last.line {
            return first.span();
        }
        Span { line: first.line, col: first.col, len: (last.col + last.len - first.col).max(1) }
    }
    pub(crate) fn report(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Report<'_> {
        Report::new(&mut self.diags, code, span, message.into())
    }
    /// Takes the next token if it is of this kind.
    pub(crate) fn eat(&mut self, kind: T) -> bool {
        let found = self.peek() == kind;
        self.at += usize::from(found);
        found
    }
    /// Takes the next token if it is this word.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.at += usize::from(found);
        found
    }
    /// What stands here, for messages.
    pub(crate) fn found(&self) -> String {
        if self.at >= self.stop {
            return "the end of the line".into();
        }
        match self.toks[self.at].kind {
            T::Eof => "the end of the file".into(),
            _ => format!("`{}`", clip(self.slice(&self.toks[self.at]))),
        }
    }
    /// Reports that something else was expected; says nothing about tokens that were already reported.
    pub(crate) fn expected(&mut self, what: &str) -> Failed {
        if self.peek() != T::Bad {
            let (span, found) = (self.here(), self.found());
            self.report(codes::SYNTAX, span, format!("expected {what}, found {found}"))
                .label(format!("expected {what}"));
        }
        Failed
    }
    /// As `expected`, with advice.
    pub(crate) fn expected_help(&mut self, what: &str, help: impl Into<String>) -> Failed {
        if self.peek() != T::Bad {
            let (span, found) = (self.here(), self.found());
            self.report(codes::SYNTAX, span, format!("expected {what}, found {found}"))
                .label(format!("expected {what}"))
                .help(help);
        }
        Failed
    }
    pub(crate) fn need(&mut self, kind: T, what: &str) -> Res<()> {
        if self.eat(kind) { Ok(()) } else { Err(self.expected(what)) }
    }
    /// The statement must be over.
    pub(crate) fn done(&mut self) -> Res<()> {
        if self.peek() == T::End { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }
    /// The index after the statement that begins with the token `from`.
    pub(crate) fn statement_end(&self, from: usize) -> usize {
        let ends = |t: &Tok| t.first || matches!(t.kind, T::P(b';' | b'{' | b'}') | T::Eof);
        let rest = &self.toks[from + 1..];
        from + 1 + rest.iter().position(ends).unwrap_or(rest.len())
    }
    /// Limits parsing to the statement that begins here.
    pub(crate) fn open_statement(&mut self) {
        self.stop = self.statement_end(self.at);
    }
    /// Lifts the limit, for forms that span lines; the file's end is then a token.
    pub(crate) fn open_free(&mut self) {
        self.stop = self.toks.len();
    }

    /// A name that is used, not declared: its text, without reserved words being looked at.
    pub(crate) fn used_name(&mut self, what: &str) -> Res<(Cow<'a, str>, Tok)> {
        let tok = match self.peek() {
            T::Word | T::Quoted => self.toks[self.at],
            _ => return Err(self.expected(what)),
        };
        self.at += 1;
        Ok((self.name_text(&tok), tok))
    }
    /// The text of a name token.
    pub(crate) fn name_text(&self, tok: &Tok) -> Cow<'a, str> {
        let text = self.slice(tok);
        if tok.kind != T::Quoted {
            return Cow::Borrowed(text);
        }
        let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        // The lexer refused wrong escapes.
        unescape(inside).unwrap_or(Cow::Borrowed(inside))
    }
    /// A name that is being declared.
    pub(crate) fn new_name(&mut self, what: &str) -> Res<(Cow<'a, str>, Span)> {
        let (name, tok) = self.used_name(what)?;
        let span = tok.span();
        if name.len() > limits::NAME_BYTES {
            self.report(codes::LIMIT, span, format!("a name is longer than {} bytes", limits::NAME_BYTES));
            return Err(Failed);
        }
        if tok.kind == T::Quoted {
            return Ok((name, span));
        }
        if name.contains('.') {
            self.report(codes::SYNTAX, span, format!("`{}` is no name: it has a dot", clip(&name)))
                .label("names have letters, digits and `_`");
            return Err(Failed);
        }
        if plain(&name).is_some() || matches!(&*name, "inf" | "nan") {
            let why = if plain(&name).is_some() { "a plain register or predicate" } else { "a number" };
            self.report(
                codes::RESERVED,
                span,
                format!("`{name}` cannot be declared here: it always means {why}"),
            )
            .label("choose another name");
            return Err(Failed);
        }
        Ok((name, span))
    }
    /// Declares a name in a scope; reports a second declaration.
    pub(crate) fn declare(
        &mut self,
        names: &mut Names<'a>,
        name: Cow<'a, str>,
        symbol: Symbol<'a>,
    ) -> Res<()> {
        if let Some(old) = names.get(&name) {
            let first = old.span;
            self.duplicate(&name, symbol.span, first);
            return Err(Failed);
        }
        names.insert(name, symbol);
        Ok(())
    }
    pub(crate) fn duplicate(&mut self, name: &str, span: Span, first: Span) {
        self.report(codes::DUPLICATE, span, format!("`{}` is declared twice", clip(name)))
            .label("declared again")
            .also(first, "first declared here")
            .help("a name has one meaning: rename one of them");
    }
    /// A type word.
    pub(crate) fn ty(&mut self) -> Res<Type> {
        if self.peek() != T::Word {
            return Err(self.expected("a type"));
        }
        let tok = self.toks[self.at];
        self.at += 1;
        let word = self.slice(&tok);
        if let Some(t) = Type::from_name(word) {
            return Ok(t);
        }
        let near = match word {
            "float" => Some("f32"),
            "double" => Some("f64"),
            "half" => Some("f16"),
            "bool" => Some("pred"),
            "int" => Some("i32"),
            "uint" => Some("u32"),
            "usize" => Some("u64"),
            _ => closest(word, Type::WORDS.iter().copied()),
        };
        let help = match near {
            Some(n) => format!("did you mean `{n}`?"),
            None => format!("types are {}", alternatives(Type::WORDS)),
        };
        self.report(codes::UNKNOWN_TYPE, tok.span(), format!("`{}` is no type", clip(word)))
            .label("unknown type")
            .help(help);
        Err(Failed)
    }
    /// A plain decimal number of at most 32 bits, as directives have them.
    pub(crate) fn small(&mut self) -> Res<u32> {
        if self.peek() == T::Num
            && let Ok(v) = self.slice(&self.toks[self.at]).parse()
        {
            self.at += 1;
            return Ok(v);
        }
        Err(self.expected("a whole number below 2^32"))
    }
    /// A string's text.
    pub(crate) fn string(&mut self) -> Res<String> {
        if self.peek() != T::Str {
            return Err(self.expected("a string"));
        }
        let tok = self.toks[self.at];
        self.at += 1;
        let text = self.slice(&tok);
        let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        // The lexer refused wrong escapes.
        Ok(unescape(inside).unwrap_or(Cow::Borrowed(inside)).into_owned())
    }

    /// The place of a declaration whose token is at `span`.
    pub(crate) fn take_loc(&mut self, span: Span) -> Loc {
        match self.place.next.take() {
            Some(loc) => loc,
            None if self.place.fixed => Loc::default(),
            None => Loc { line: span.line, col: span.col },
        }
    }
    /// `.loc LINE:COL`, after the directive; with `..` the following instructions stand one line further each.
    pub(crate) fn loc_directive(&mut self) -> Res<()> {
        let line = self.small()?;
        self.need(T::P(b':'), "`:` between line and column")?;
        let loc = Loc { line, col: self.small()? };
        self.place.next = Some(loc);
        self.place.run = self.eat(T::Dots).then_some(loc);
        Ok(())
    }

    /// `name` of a scope chain, innermost first, or an error with the closest name.
    pub(crate) fn unknown(&mut self, what: &str, name: &str, span: Span, known: &[&Names<'a>]) -> Failed {
        let near = closest(name, known.iter().flat_map(|n| n.keys()).map(|k| &**k)).map(str::to_string);
        self.report(codes::UNKNOWN_NAME, span, format!("no {what} is called `{}`", clip(name)))
            .label("not declared")
            .maybe_help(near.map(|n| format!("did you mean `{n}`?")));
        Failed
    }
}
