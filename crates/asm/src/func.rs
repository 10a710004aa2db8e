//! Bodies and functions: their statements, and the numbers of registers.

use crate::codes;
use crate::kernel::KernelState;
use crate::lex::{T, clip};
use crate::map::FuncMap;
use crate::parse::{Failed, Meaning, Names, Parser, Plain, Res, Symbol, plain};
use phalanx_isa::{Loc, Operand, Reg, Span, Type, limits};
use std::borrow::Cow;
use std::collections::HashMap;

/// A named register or predicate.
pub(crate) struct Decl {
    pub name: String,
    pub ty: Type,
    pub span: Span,
    /// `name = r5`.
    pub pin: Option<u8>,
    /// Filled in when the function is read.
    pub number: u8,
}

/// A register or predicate number.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    pub used: bool,
    /// Declared under its number.
    pub declared: bool,
    pub ty: Option<Type>,
    pub span: Span,
    pub name: String,
}

/// An item of a function's parameters or results.
#[derive(Clone, Copy)]
pub(crate) enum Item {
    Local(u16),
    Plain(Plain, Type),
}

/// An instruction whose tokens are known.
pub(crate) struct Pending {
    pub from: usize,
    pub to: usize,
    pub loc: Option<Loc>,
    pub run: Option<Loc>,
}

/// A function while its text is read.
pub(crate) struct FuncState<'a> {
    pub name: String,
    pub loc: Loc,
    pub span: Span,
    pub is_body: bool,
    pub names: Names<'a>,
    pub decls: Vec<Decl>,
    pub regs: Vec<Slot>,
    pub preds: Vec<Slot>,
    /// Least sizes of the register files (`.registers`, `.predicates`).
    pub least: [usize; 2],
    pub params: Vec<Item>,
    pub results: Vec<Item>,
    pub labels: HashMap<Cow<'a, str>, (u32, Span)>,
    /// Labels that are local to the text (`.7:`).
    pub hidden: HashMap<&'a str, (u32, Span)>,
    /// Labels as the module stores them.
    pub stored: Vec<(u32, String)>,
    pub insts: Vec<Pending>,
}

/// A function's register file, once every declaration is known.
pub(crate) struct Numbering {
    pub regs: Vec<Slot>,
    pub preds: Vec<Slot>,
    pub map: FuncMap,
}

impl<'a> FuncState<'a> {
    pub(crate) fn new(name: String, loc: Loc, span: Span) -> Self {
        FuncState {
            name,
            loc,
            span,
            is_body: false,
            names: Names::new(),
            decls: Vec::new(),
            regs: vec![Slot::default(); limits::REGISTERS],
            preds: vec![Slot::default(); limits::PREDICATES],
            least: [0; 2],
            params: Vec::new(),
            results: Vec::new(),
            labels: HashMap::new(),
            hidden: HashMap::new(),
            stored: Vec::new(),
            insts: Vec::new(),
        }
    }
    fn slot(&mut self, p: Plain) -> Option<&mut Slot> {
        match p {
            Plain::Reg(n) => self.regs.get_mut(usize::from(n)),
            Plain::Pred(n) => self.preds.get_mut(usize::from(n)),
            Plain::Invalid => None,
        }
    }
    fn mention(&mut self, p: Plain, span: Span) {
        if let Some(slot) = self.slot(p)
            && !slot.used
        {
            slot.used = true;
            slot.span = span;
        }
    }
    /// The type of an item of the signature.
    pub(crate) fn item_type(&self, item: Item) -> Type {
        match item {
            Item::Local(d) => self.decls[usize::from(d)].ty,
            Item::Plain(_, ty) => ty,
        }
    }
    /// The operand that an item of the signature is, after numbering.
    pub(crate) fn item_operand(&self, item: Item) -> Operand {
        match item {
            Item::Local(d) => self.decls[usize::from(d)].operand(),
            Item::Plain(Plain::Pred(n), _) => Operand::Pred(n),
            Item::Plain(Plain::Reg(n), _) => Operand::Reg(n),
            // Items are made of valid numbers only.
            Item::Plain(Plain::Invalid, _) => Operand::Reg(0),
        }
    }
}

impl Decl {
    pub(crate) fn operand(&self) -> Operand {
        if self.ty == Type::Pred { Operand::Pred(self.number) } else { Operand::Reg(self.number) }
    }
}

impl<'a> Parser<'a> {
    /// Statements up to the closing brace; the opening one is taken.
    pub(crate) fn body(&mut self, k: &mut KernelState<'a>, func: usize, open: Span) {
        loop {
            let Some(tok) = self.toks.get(self.at).copied() else { return };
            match tok.kind {
                T::P(b'}') => {
                    self.at += 1;
                    return;
                }
                T::P(b';') => {
                    self.at += 1;
                    continue;
                }
                T::Eof => return self.unclosed(k, func, open, tok.span()),
                T::Word if self.slice(&tok) == "kernel" && self.toks[self.at + 1].kind != T::P(b':') => {
                    return self.unclosed(k, func, open, tok.span());
                }
                _ => {}
            }
            self.open_statement();
            let begin = self.at;
            match self.statement(k, func) {
                Ok(()) => {}
                // A function's own errors leave the position where its body ended.
                Err(Failed) if self.at < self.stop => self.at = self.stop,
                Err(Failed) => {}
            }
            if self.at == begin {
                self.at += 1;
            }
        }
    }

    fn unclosed(&mut self, k: &KernelState<'a>, func: usize, open: Span, at: Span) {
        let what = if k.funcs[func].is_body { "kernel" } else { "function" };
        let name = clip(&k.funcs[func].name).into_owned();
        self.report(codes::SYNTAX, at, format!("the {what} `{name}` has no closing `}}`"))
            .label("expected `}` before this")
            .also(open, "opened here");
    }

    fn statement(&mut self, k: &mut KernelState<'a>, func: usize) -> Res<()> {
        let tok = self.toks[self.at];
        let word = self.slice(&tok);
        let labelled = self.ahead(1) == T::P(b':');
        match tok.kind {
            T::Dir if labelled => {
                self.at += 2;
                self.hidden_label(&mut k.funcs[func], word, tok.span())
            }
            T::Word | T::Quoted if labelled => self.label(&mut k.funcs[func]),
            T::Dir => {
                self.at += 1;
                self.directive(k, func, word, tok.span())
            }
            T::Word => match word {
                "let" => {
                    self.at += 1;
                    self.let_decl(&mut k.funcs[func])
                }
                "const" => {
                    self.at += 1;
                    self.local_const(k, func)?;
                    self.done()
                }
                "shared" | "private" | "func" if !k.funcs[func].is_body => {
                    self.report(codes::MISPLACED, tok.span(), format!("`{word}` cannot stand in a function"))
                        .help("move it into the kernel, beside the function");
                    if word == "func" {
                        self.skip_block();
                    }
                    Err(Failed)
                }
                "shared" | "private" => {
                    self.at += 1;
                    self.array(k, word == "shared")
                }
                "func" => {
                    self.at += 1;
                    self.func(k)
                }
                _ => self.pending(&mut k.funcs[func]),
            },
            T::P(b'@') => self.pending(&mut k.funcs[func]),
            T::Bad => Err(Failed),
            _ => Err(self.expected("an instruction or a declaration")),
        }
    }

    /// Skips a block with its header.
    fn skip_block(&mut self) {
        let mut depth = 0u32;
        while let Some(t) = self.toks.get(self.at) {
            match t.kind {
                T::P(b'{') => depth += 1,
                T::P(b'}') if depth <= 1 => {
                    // Without an opening brace the closing one belongs to someone else.
                    self.at += depth as usize;
                    break;
                }
                T::P(b'}') => depth -= 1,
                T::Eof => break,
                _ => {}
            }
            self.at += 1;
        }
        self.stop = self.at;
    }

    fn label(&mut self, f: &mut FuncState<'a>) -> Res<()> {
        let named = self.new_name("a label");
        if named.is_err() {
            // The instruction behind a wrong label is still looked at.
            self.at += 1;
            return Ok(());
        }
        let (name, span) = named?;
        self.at += 1;
        let at = f.insts.len() as u32;
        if let Some((_, first)) = f.labels.get(&name) {
            let first = *first;
            self.duplicate(&name, span, first);
            return Ok(());
        }
        f.stored.push((at, name.to_string()));
        f.labels.insert(name, (at, span));
        Ok(())
    }

    fn hidden_label(&mut self, f: &mut FuncState<'a>, name: &'a str, span: Span) -> Res<()> {
        if let Some((_, first)) = f.hidden.get(name) {
            let first = *first;
            self.duplicate(name, span, first);
            return Ok(());
        }
        f.hidden.insert(name, (f.insts.len() as u32, span));
        Ok(())
    }

    fn directive(&mut self, k: &mut KernelState<'a>, func: usize, word: &str, span: Span) -> Res<()> {
        match word {
            // An instruction or declaration may follow on the line.
            ".loc" => return self.loc_directive(),
            ".body" => return self.body_place(&mut k.funcs[func]),
            ".label" => {
                let name = self.remark()?;
                let f = &mut k.funcs[func];
                f.stored.push((f.insts.len() as u32, name));
            }
            ".name" => {
                let p = self.plain_number()?;
                let name = self.remark()?;
                let f = &mut k.funcs[func];
                f.mention(p, span);
                if let Some(slot) = f.slot(p) {
                    slot.name = name;
                }
            }
            ".registers" | ".predicates" => {
                let preds = word == ".predicates";
                let limit = if preds { limits::PREDICATES } else { limits::REGISTERS };
                let at = self.here();
                let n = self.small()? as usize;
                if n > limit {
                    self.report(codes::OUT_OF_RANGE, at, format!("a function has at most {limit} of these"));
                    return Err(Failed);
                }
                k.funcs[func].least[usize::from(preds)] = n;
            }
            _ => {
                let known = [".loc", ".body", ".label", ".name", ".registers", ".predicates"];
                let near = crate::report::closest(word, known.into_iter());
                self.report(codes::SYNTAX, span, format!("`{}` is no directive", clip(word)))
                    .label("unknown directive")
                    .maybe_help(near.map(|n| format!("did you mean `{n}`?")));
                return Err(Failed);
            }
        }
        self.done()
    }

    /// A name that is stored but never looked up.
    fn remark(&mut self) -> Res<String> {
        let span = self.here();
        let name = self.string()?;
        if name.len() > limits::NAME_BYTES {
            self.report(codes::LIMIT, span, format!("a name is longer than {} bytes", limits::NAME_BYTES));
            return Err(Failed);
        }
        Ok(name)
    }

    /// `r5` or `p3`.
    fn plain_number(&mut self) -> Res<Plain> {
        if self.peek() == T::Word {
            let tok = self.toks[self.at];
            match plain(self.slice(&tok)) {
                Some(Plain::Invalid) => {
                    self.at += 1;
                    self.no_such_register(tok.span());
                    return Err(Failed);
                }
                Some(p) => {
                    self.at += 1;
                    return Ok(p);
                }
                None => {}
            }
        }
        Err(self.expected("a register such as `r5` or `p3`"))
    }

    pub(crate) fn no_such_register(&mut self, span: Span) {
        let (r, p) = (limits::REGISTERS - 1, limits::PREDICATES - 1);
        self.report(codes::RESERVED, span, "no register has this number")
            .help(format!("registers are r0 to r{r}, predicates p0 to p{p}"));
    }

    /// `let a, b: u32`, after the word.
    fn let_decl(&mut self, f: &mut FuncState<'a>) -> Res<()> {
        let mut found: Vec<(Cow<'a, str>, Span, Option<Plain>)> = Vec::new();
        loop {
            let tok = self.toks[self.at.min(self.toks.len() - 1)];
            if self.peek() == T::Word && plain(self.slice(&tok)).is_some() {
                let p = self.plain_number()?;
                found.push((Cow::Borrowed(""), tok.span(), Some(p)));
            } else {
                let (name, span) = self.new_name("a name")?;
                let pin = if self.eat(T::P(b'=')) { Some(self.plain_number()?) } else { None };
                found.push((name, span, pin));
            }
            if !self.eat(T::P(b',')) {
                break;
            }
        }
        let ty = self.need(T::P(b':'), "`,`, or `:` and a type").and_then(|()| self.ty());
        for (name, span, pin) in found {
            match &ty {
                Ok(ty) => {
                    let _ = self.register(f, name, span, pin, *ty);
                }
                Err(Failed) if !name.is_empty() => {
                    let mut names = std::mem::take(&mut f.names);
                    let _ = self.declare(&mut names, name, Symbol { meaning: Meaning::Poison, span });
                    f.names = names;
                }
                Err(Failed) => {}
            }
        }
        ty?;
        self.done()
    }

    /// Declares a register or predicate; an empty name is a plain one.
    fn register(
        &mut self,
        f: &mut FuncState<'a>,
        name: Cow<'a, str>,
        span: Span,
        pin: Option<Plain>,
        ty: Type,
    ) -> Res<Item> {
        if let Some(p) = pin {
            if matches!(p, Plain::Pred(_)) != (ty == Type::Pred) {
                self.report(
                    codes::RESERVED,
                    span,
                    "predicates are p0 to p15, all other types are in r0 to r255",
                );
                return Err(Failed);
            }
            // Plain numbers are valid here.
            let Some(slot) = f.slot(p) else { return Err(Failed) };
            if slot.declared {
                let first = slot.span;
                let shown = match p {
                    Plain::Pred(n) => format!("p{n}"),
                    Plain::Reg(n) => format!("r{n}"),
                    Plain::Invalid => String::new(),
                };
                self.duplicate(&shown, span, first);
                return Err(Failed);
            }
            slot.used = true;
            slot.declared = true;
            slot.span = span;
            slot.ty = Some(ty);
            if name.is_empty() {
                return Ok(Item::Plain(p, ty));
            }
        }
        if f.decls.len() >= limits::REGISTERS + limits::PREDICATES {
            self.too_many(span, "registers", limits::REGISTERS);
            return Err(Failed);
        }
        let number = f.decls.len() as u16;
        let mut names = std::mem::take(&mut f.names);
        let fresh = self.declare(&mut names, name.clone(), Symbol { meaning: Meaning::Local(number), span });
        f.names = names;
        fresh?;
        let pin = match pin {
            Some(Plain::Reg(n) | Plain::Pred(n)) => Some(n),
            _ => None,
        };
        f.decls.push(Decl { name: name.into_owned(), ty, span, pin, number: 0 });
        Ok(Item::Local(number))
    }

    fn too_many(&mut self, span: Span, what: &str, limit: usize) {
        self.report(codes::TOO_MANY_REGISTERS, span, format!("a function has at most {limit} {what}"))
            .label("no number is left for this one")
            .help("reuse registers whose values are no longer needed, or keep values in a private array");
    }

    /// `func NAME(...) -> (...) { ... }`, after the word.
    fn func(&mut self, k: &mut KernelState<'a>) -> Res<()> {
        let keyword = self.toks[self.at - 1].span();
        if k.funcs.len() >= limits::FUNCTIONS {
            let message = format!("more than {} functions in a kernel", limits::FUNCTIONS);
            self.report(codes::LIMIT, keyword, message);
            self.skip_block();
            return Err(Failed);
        }
        let loc = self.take_loc(keyword);
        self.open_free();
        let run = self.place.run.take();
        let mut f = FuncState::new(String::new(), loc, keyword);
        let header = self.func_header(k, &mut f);
        if header.is_err() && self.skip_to_brace().is_err() {
            // Nothing that could be its body: go on after the line.
            self.stop = self.at;
            return Err(Failed);
        }
        let open = self.here();
        if self.need(T::P(b'{'), "`{`").is_err() {
            self.stop = self.at;
            return Err(Failed);
        }
        let number = k.funcs.len();
        k.funcs.push(f);
        self.body(k, number, open);
        self.place.run = run;
        self.stop = self.at;
        header
    }

    fn func_header(&mut self, k: &mut KernelState<'a>, f: &mut FuncState<'a>) -> Res<()> {
        let (name, span) = self.new_name("a name for the function")?;
        f.name = name.to_string();
        f.span = span;
        match k.func_names.get(&name) {
            Some((_, first)) => {
                let first = *first;
                self.duplicate(&name, span, first);
            }
            None => {
                k.func_names.insert(name, (k.funcs.len() as u16, span));
            }
        }
        self.need(T::P(b'('), "`(` and the parameters")?;
        f.params = self.items(f)?;
        if self.eat(T::Arrow) {
            self.need(T::P(b'('), "`(` and the results")?;
            f.results = self.items(f)?;
        }
        Ok(())
    }

    /// Parameters or results of a function, after `(`.
    fn items(&mut self, f: &mut FuncState<'a>) -> Res<Vec<Item>> {
        let mut out = Vec::new();
        while !self.eat(T::P(b')')) {
            let from = self.at;
            let item = self.item(f)?;
            if out.len() == limits::LIST {
                let span = self.since(from);
                self.report(codes::LIMIT, span, format!("a list has at most {} items", limits::LIST));
                return Err(Failed);
            }
            out.push(item);
            if !self.eat(T::P(b',')) && self.peek() != T::P(b')') {
                return Err(self.expected("`,` or `)`"));
            }
        }
        Ok(out)
    }

    fn item(&mut self, f: &mut FuncState<'a>) -> Res<Item> {
        let tok = self.toks[self.at.min(self.toks.len() - 1)];
        let (name, pin) = if self.peek() == T::Word && plain(self.slice(&tok)).is_some() {
            (Cow::Borrowed(""), Some(self.plain_number()?))
        } else {
            let name = self.new_name("a register")?.0;
            let pin = if self.eat(T::P(b'=')) { Some(self.plain_number()?) } else { None };
            (name, pin)
        };
        if self.eat(T::P(b':')) {
            let ty = self.ty()?;
            return self.register(f, name, tok.span(), pin, ty);
        }
        // A register that the signature has already declared.
        match pin {
            Some(p) if name.is_empty() => {
                if let Some(ty) = f.slot(p).and_then(|s| s.ty) {
                    return Ok(Item::Plain(p, ty));
                }
            }
            _ => {
                if let Some(Meaning::Local(d)) = f.names.get(&name).map(|s| s.meaning) {
                    return Ok(Item::Local(d));
                }
            }
        }
        Err(self.expected("`:` and a type"))
    }

    /// Notes an instruction: it is assembled when all names are known.
    fn pending(&mut self, f: &mut FuncState<'a>) -> Res<()> {
        let (from, to) = (self.at, self.stop);
        for i in from..to {
            let tok = self.toks[i];
            if tok.kind == T::Word
                && tok.len <= 4
                && let Some(p) = plain(self.slice(&tok))
            {
                f.mention(p, tok.span());
            }
        }
        if f.insts.len() == limits::INSTRUCTIONS {
            let span = self.toks[from].span();
            self.report(codes::LIMIT, span, format!("more than {} instructions", limits::INSTRUCTIONS));
        }
        if f.insts.len() <= limits::INSTRUCTIONS {
            f.insts.push(Pending { from, to, loc: self.place.next.take(), run: None });
            // A run of places counts instructions, so it is settled here, in the order of the text.
            if let (Some(p), Some(run)) = (f.insts.last_mut(), self.place.run.as_mut())
                && p.loc.is_none()
            {
                run.line = run.line.saturating_add(1);
                p.run = Some(*run);
            }
        }
        self.at = to;
        Ok(())
    }

    /// Gives every named register the lowest number that is free, in order of declaration.
    pub(crate) fn number(&mut self, f: &mut FuncState<'a>) -> Numbering {
        let mut next = [0usize; 2];
        for d in &mut f.decls {
            let is_pred = d.ty == Type::Pred;
            let slots = if is_pred { &mut f.preds } else { &mut f.regs };
            if let Some(n) = d.pin {
                d.number = n;
                slots[usize::from(n)].name.clone_from(&d.name);
                continue;
            }
            let at = &mut next[usize::from(is_pred)];
            while slots.get(*at).is_some_and(|s| s.used) {
                *at += 1;
            }
            let Some(slot) = slots.get_mut(*at) else {
                let (what, limit) = if is_pred {
                    ("predicates", limits::PREDICATES)
                } else {
                    ("registers", limits::REGISTERS)
                };
                self.too_many(d.span, what, limit);
                break;
            };
            *slot = Slot { used: true, declared: true, ty: Some(d.ty), span: d.span, name: d.name.clone() };
            d.number = *at as u8;
        }
        let map = FuncMap { name: f.span, ..FuncMap::default() };
        Numbering { regs: std::mem::take(&mut f.regs), preds: std::mem::take(&mut f.preds), map }
    }
}

impl Numbering {
    /// The register file and predicates of the module's function, at least this long.
    pub(crate) fn files(&mut self, least: [usize; 2]) -> (Vec<Option<Reg>>, Vec<Option<String>>) {
        let len =
            |slots: &[Slot], least: usize| slots.iter().rposition(|s| s.used).map_or(0, |n| n + 1).max(least);
        let (regs, preds) = (len(&self.regs, least[0]), len(&self.preds, least[1]));
        self.map.regs = self.regs[..regs].iter().map(|s| s.span).collect();
        self.map.preds = self.preds[..preds].iter().map(|s| s.span).collect();
        let reg = |s: &mut Slot| {
            let name = std::mem::take(&mut s.name);
            s.used.then(|| Reg { ty: s.ty.unwrap_or(Type::U32), name })
        };
        let pred = |s: &mut Slot| s.used.then(|| std::mem::take(&mut s.name));
        (self.regs[..regs].iter_mut().map(reg).collect(), self.preds[..preds].iter_mut().map(pred).collect())
    }
}
