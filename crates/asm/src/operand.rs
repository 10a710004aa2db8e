//! Operands that name memory, labels and functions.

use crate::codes;
use crate::inst::{Ctx, Want};
use crate::lex::{T, clip};
use crate::number::Value;
use crate::parse::{Failed, Meaning, Parser, Res, plain};
use crate::report::closest;
use phalanx_isa::{Base, Mem, Operand, ParamKind, Span};

impl<'a> Parser<'a> {
    /// The memory that a name stands for.
    fn base(&mut self, c: &Ctx<'_, 'a>, what: &str, help: &str) -> Res<Base> {
        if !matches!(self.peek(), T::Word | T::Quoted) {
            return Err(self.operand_kind(what, help));
        }
        let tok = self.toks[self.at];
        let name = self.name_text(&tok);
        let f = &c.k.funcs[c.func];
        let is_plain = tok.kind == T::Word && plain(&name).is_some();
        let symbol = f.names.get(&name).or_else(|| c.k.names.get(&name)).or_else(|| self.consts.get(&name));
        let base = match symbol.map(|s| s.meaning) {
            _ if is_plain => None,
            None => {
                let failed = self.unknown("buffer or array", &name, tok.span(), &[&c.k.names]);
                return Err(failed);
            }
            Some(Meaning::Poison) => return Err(Failed),
            Some(Meaning::Param(n)) => match c.k.kernel.params[usize::from(n)].kind {
                ParamKind::Scalar(_) => None,
                _ => Some(Base::Param(n)),
            },
            Some(Meaning::Shared(n)) => Some(Base::Shared(n)),
            Some(Meaning::Private(n)) => Some(Base::Private(n)),
            Some(Meaning::Local(_) | Meaning::Const(_)) => None,
        };
        match base {
            Some(b) => {
                self.at += 1;
                Ok(b)
            }
            None => {
                let declared = symbol.map_or(Span::default(), |s| s.span);
                self.report(
                    codes::OPERAND_KIND,
                    tok.span(),
                    format!("expected {what}, found `{}`", clip(&name)),
                )
                .label(format!("expected {what}"))
                .also(declared, "declared here")
                .help(help);
                Err(Failed)
            }
        }
    }

    pub(crate) fn object(&mut self, c: &Ctx<'_, 'a>) -> Res<Operand> {
        let base = self.base(c, "a buffer or array", "the operand is its name, without an index")?;
        Ok(Operand::Object(base))
    }

    pub(crate) fn memory(&mut self, c: &mut Ctx<'_, 'a>) -> Res<Operand> {
        let base = self.base(c, "a memory element", "memory is written `name[index]`")?;
        if self.peek() != T::P(b'[') {
            let name = self.toks[self.at - 1];
            let help = format!("write `{}[i]`", clip(self.slice(&name)));
            return Err(self.expected_help("`[` and an index", help));
        }
        let (index, disp) = self.index(c)?;
        let mut mem = Mem { base, which: None, index, disp };
        if self.peek() == T::P(b'[') {
            let at = self.here();
            // A sum of constants is a number too.
            if let Operand::Imm(n) = &mut mem.index
                && let Some(sum) = n.checked_add_signed(mem.disp)
            {
                (*n, mem.disp) = (sum, 0);
            }
            if mem.disp != 0 {
                self.report(codes::BAD_INDEX, at, "the number of a buffer in its array is a single value")
                    .help("add into a register first");
                return Err(Failed);
            }
            let (index, disp) = self.index(c)?;
            mem.which = Some(std::mem::replace(&mut mem.index, index));
            mem.disp = disp;
        }
        Ok(Operand::Mem(Box::new(mem)))
    }

    /// `[index]`, `[index + disp]`, `[index - disp]`: one value and a sum of constants. Where all are constants, the first is
    /// the index.
    fn index(&mut self, c: &mut Ctx<'_, 'a>) -> Res<(Operand, i64)> {
        self.at += 1;
        let from = self.at;
        let mut index: Option<Operand> = None;
        // The first term, if it is a constant: it becomes the index if no other term does.
        let mut first: Option<(i128, Span)> = None;
        let mut disp: i128 = 0;
        let mut negate = false;
        let mut start = true;
        loop {
            let term = self.at;
            if self.term_is_value(c) {
                let operand = self.source(c, None, Want::Index)?;
                let span = self.since(term);
                if negate || index.is_some() {
                    let what = match negate {
                        true => "an index cannot be subtracted here",
                        false => "an index has one register; the rest are constants",
                    };
                    self.report(codes::BAD_INDEX, span, what).help("compute the sum in a register first");
                    return Err(Failed);
                }
                index = Some(operand);
            } else {
                let value = self.with_scope(c, |p, scope| p.product(scope))?.value;
                let span = self.since(term);
                let v = self.as_integer(value, span)?;
                let v = if negate { v.checked_neg() } else { Some(v) };
                match v.and_then(|v| disp.checked_add(v).map(|sum| (v, sum))) {
                    Some((v, _)) if start => first = Some((v, span)),
                    Some((_, sum)) => disp = sum,
                    None => {
                        self.report(codes::BAD_INDEX, span, "a displacement is a signed 64-bit number");
                        return Err(Failed);
                    }
                }
            }
            start = false;
            negate = match self.peek() {
                T::P(b'+') => false,
                T::P(b'-') => true,
                T::P(b']') => break,
                _ => return Err(self.expected("`]`, `+` or `-`")),
            };
            self.at += 1;
        }
        let span = self.since(from);
        self.at += 1;
        let index = match (index, first) {
            (Some(index), first) => {
                disp = disp.saturating_add(first.map_or(0, |(v, _)| v));
                index
            }
            (None, Some((v, at))) => self.index_number(Value::Int(v), at)?,
            // The first term is a value or a constant.
            (None, None) => return Err(Failed),
        };
        match i64::try_from(disp) {
            Ok(disp) => Ok((index, disp)),
            Err(_) => {
                self.report(codes::BAD_INDEX, span, "a displacement is a signed 64-bit number")
                    .label("out of range");
                Err(Failed)
            }
        }
    }

    /// Whether a term of an index is a register or parameter rather than a constant.
    fn term_is_value(&self, c: &Ctx<'_, 'a>) -> bool {
        match self.peek() {
            T::P(b'%') => true,
            T::Word | T::Quoted => {
                let tok = self.toks[self.at];
                let text = self.slice(&tok);
                if tok.kind == T::Word {
                    if plain(text).is_some() {
                        return true;
                    }
                    if matches!(text, "inf" | "nan") || self.ahead(1) == T::P(b'(') {
                        return false;
                    }
                }
                let name = self.name_text(&tok);
                let f = &c.k.funcs[c.func];
                let symbol =
                    f.names.get(&name).or_else(|| c.k.names.get(&name)).or_else(|| self.consts.get(&name));
                !matches!(symbol.map(|s| s.meaning), Some(Meaning::Const(_)))
            }
            _ => false,
        }
    }

    pub(crate) fn label_operand(&mut self, c: &Ctx<'_, 'a>) -> Res<Operand> {
        let f = &c.k.funcs[c.func];
        let help = "a label is a name at the start of a line: `again:`";
        let (name, tok) = match self.peek() {
            T::Word | T::Quoted => self.used_name("a label")?,
            T::Dir => {
                let tok = self.toks[self.at];
                self.at += 1;
                (self.slice(&tok).into(), tok)
            }
            _ => return Err(self.operand_kind("a label", help)),
        };
        let at = if tok.kind == T::Dir { f.hidden.get(&*name) } else { f.labels.get(&name) };
        if let Some((at, _)) = at {
            return Ok(Operand::Label(*at));
        }
        let near = closest(&name, f.labels.keys().map(|n| &**n)).map(str::to_string);
        self.report(codes::UNKNOWN_LABEL, tok.span(), format!("the function has no label `{}`", clip(&name)))
            .label("no such label")
            .help(near.map_or(help.into(), |n| format!("did you mean `{n}`?")));
        Err(Failed)
    }

    pub(crate) fn func_operand(&mut self, c: &Ctx<'_, 'a>) -> Res<Operand> {
        let (name, tok) = match self.peek() {
            T::Word | T::Quoted => self.used_name("a function")?,
            _ => return Err(self.operand_kind("a function", "write `call (results), function, (arguments)`")),
        };
        if let Some((n, _)) = c.k.func_names.get(&name) {
            return Ok(Operand::Func(*n));
        }
        let near = closest(&name, c.k.func_names.keys().map(|n| &**n)).map(str::to_string);
        self.report(codes::UNKNOWN_FUNC, tok.span(), format!("the kernel has no function `{}`", clip(&name)))
            .label("no such function")
            .help(near.map_or(
                "functions are declared inside the kernel: `func name(a: f32) -> (b: f32) { ... }`".into(),
                |n| format!("did you mean `{n}`?"),
            ));
        Err(Failed)
    }
}
