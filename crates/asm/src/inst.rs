//! Instructions: mnemonic, guard and operands.

use crate::codes;
use crate::expr::Scope;
use crate::func::{Item, Numbering};
use crate::kernel::KernelState;
use crate::lex::{T, clip};
use crate::parse::{Failed, Meaning, Parser, Plain, Res, plain};
use crate::report::{alternatives, closest};
use crate::syntax::syntax;
use phalanx_isa::{
    Arg, ArgType, Func, Guard, Inst, Mnemonic, MnemonicError, Op, Operand, ParamKind, Role, Span, Special,
    Type, limits, parse_mnemonic,
};

/// What an instruction is assembled with.
pub(crate) struct Ctx<'k, 'a> {
    pub k: &'k KernelState<'a>,
    pub func: usize,
    pub n: &'k mut Numbering,
}

/// What may stand where a value is expected.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Want {
    /// Any source.
    Value,
    /// A register or predicate that is written.
    Register,
    /// A number.
    Number,
    /// An index: a source whose numbers are 64-bit.
    Index,
}

impl<'a> Parser<'a> {
    /// Assembles the instructions of a function.
    pub(crate) fn assemble_func(&mut self, k: &KernelState<'a>, func: usize, n: &mut Numbering) -> Func {
        let f = &k.funcs[func];
        let mut code = Vec::with_capacity(f.insts.len());
        let mut failed = false;
        n.map.insts.reserve(f.insts.len());
        n.map.spans.reserve(f.insts.len() * 5);
        for p in &f.insts {
            self.at = p.from;
            self.stop = p.to;
            self.place.next = p.loc.or(p.run);
            n.map.insts.push(n.map.spans.len() as u32);
            match self.inst(&mut Ctx { k, func, n }) {
                Ok(inst) => code.push(inst),
                Err(Failed) => failed = true,
            }
        }
        self.place.next = None;
        // A wrong instruction may be the one that says the type.
        for slot in n.regs.iter().filter(|s| !failed && s.used && s.ty.is_none()) {
            let name = self.word_at(slot.span);
            self.report(codes::NO_TYPE, slot.span, format!("nothing says which type {name} has"))
                .label("first used here")
                .help(format!(
                    "declare it: `let {}: u32`",
                    if name.starts_with('`') { name.trim_matches('`') } else { "r0" }
                ));
        }
        let (regs, preds) = n.files(f.least);
        Func {
            name: f.name.clone(),
            loc: f.loc,
            regs,
            preds,
            params: f.params.iter().map(|i| f.item_operand(*i)).collect(),
            results: f.results.iter().map(|i| f.item_operand(*i)).collect(),
            code,
            labels: f.stored.clone(),
        }
    }

    /// The text of the token at a span, in backquotes; spans of registers are spans of tokens.
    fn word_at(&self, span: Span) -> String {
        let at = self.toks.partition_point(|t| (t.line, t.col) < (span.line, span.col));
        match self.toks.get(at) {
            Some(t) if t.kind == T::Word => format!("`{}`", self.slice(t)),
            _ => "a register".into(),
        }
    }

    fn inst(&mut self, c: &mut Ctx<'_, 'a>) -> Res<Inst> {
        let mut guard_span = Span::default();
        let mut guard = None;
        if self.peek() == T::P(b'@') {
            let from = self.at;
            self.at += 1;
            guard = Some(self.guard(c)?);
            guard_span = self.since(from);
        }
        if self.peek() != T::Word {
            return Err(self.expected("an instruction"));
        }
        let tok = self.toks[self.at];
        self.at += 1;
        let m = self.mnemonic(&tok)?;
        let loc = self.take_loc(tok.span());
        c.n.map.spans.push(tok.span());
        c.n.map.spans.push(guard_span);
        let args = self.operands(c, &m, tok.span())?;
        Ok(Inst { op: m.op, modes: m.modes, ty: m.ty, ty2: m.ty2, guard, args, loc })
    }

    /// After `@`.
    fn guard(&mut self, c: &mut Ctx<'_, 'a>) -> Res<Guard> {
        let negate = self.eat(T::P(b'!'));
        let from = self.at;
        let operand = self.source(c, Some(Type::Pred), Want::Register)?;
        match operand {
            Operand::Pred(pred) => Ok(Guard { pred, negate }),
            _ => {
                let span = self.since(from);
                self.report(codes::OPERAND_KIND, span, "a guard is a predicate")
                    .label("not a predicate")
                    .help("compute one with `set`, for example `set.lt.u32 p0, a, b`");
                Err(Failed)
            }
        }
    }

    fn mnemonic(&mut self, tok: &crate::lex::Tok) -> Res<Mnemonic> {
        let text = self.slice(tok);
        if let Some(m) = self.mnemonics.get(text) {
            return Ok(*m);
        }
        let error = match parse_mnemonic(text) {
            Ok(m) => {
                self.mnemonics.insert(text, m);
                return Ok(m);
            }
            Err(e) => e,
        };
        let span = tok.span();
        let shown = clip(text);
        match error {
            MnemonicError::UnknownOp(near) => {
                let head = clip(text.split('.').next().unwrap_or(text));
                let help = match head.as_ref() {
                    "setp" | "cmp" => Some("comparisons are `set`: `set.lt.u32 p0, a, b`".into()),
                    "jmp" | "br" | "goto" => Some("branches are `bra`".into()),
                    _ if near.is_empty() => None,
                    _ => Some(format!("did you mean {}?", alternatives(&near))),
                };
                self.report(codes::UNKNOWN_OP, span, format!("no operation is called `{shown}`"))
                    .label("unknown operation")
                    .maybe_help(help)
            }
            MnemonicError::BadMode { found, expected } => {
                let message = match found.is_empty() || Type::from_name(&found).is_some() {
                    true => format!("`{shown}` lacks one of its modes"),
                    false => format!("`{}` is no mode of `{shown}`", clip(&found)),
                };
                self.report(codes::BAD_MODE, span, message)
                    .label("mode expected")
                    .help(format!("one of {}", alternatives(&expected)))
            }
            MnemonicError::BadType { found } => {
                let near = closest(&found, Type::WORDS.iter().copied()).filter(|_| !found.is_empty());
                let message = match found.is_empty() {
                    true => format!("`{shown}` lacks its type"),
                    false => format!("`{}` is no type", clip(&found)),
                };
                let help = match near {
                    Some(n) => format!("did you mean `{n}`?"),
                    None if found.is_empty() => {
                        format!("for example `{shown}.f32`; types are {}", alternatives(Type::WORDS))
                    }
                    None => format!("types are {}", alternatives(Type::WORDS)),
                };
                self.report(codes::BAD_OP_TYPE, span, message).label("type expected").help(help)
            }
            MnemonicError::NotAllowed(types) => {
                let words: Vec<&str> = types.iter().map(|t| t.name()).collect();
                let help = (!words.is_empty()).then(|| format!("it exists for {}", alternatives(&words)));
                self.report(codes::NOT_ALLOWED, span, format!("there is no `{shown}`"))
                    .label("not with these modes and types")
                    .maybe_help(help)
            }
            MnemonicError::Extra(rest) => {
                let keep = text.strip_suffix(&*rest).unwrap_or(text).trim_end_matches('.');
                let help = format!("write `{}`", clip(keep));
                self.report(codes::EXTRA_WORD, span, format!("`{}` is one word too many", clip(&rest)))
                    .label("ends too late")
                    .help(help)
            }
        };
        Err(Failed)
    }

    fn operands(&mut self, c: &mut Ctx<'_, 'a>, m: &Mnemonic, mnemonic: Span) -> Res<Vec<Operand>> {
        let info = m.op.info();
        let mut args: Vec<Operand> = Vec::with_capacity(info.args.len());
        let mut failed = false;
        let mut callee = None;
        for (i, arg) in info.args.iter().enumerate() {
            if i > 0 && !self.eat(T::P(b',')) && self.peek() != T::End {
                return Err(self.expected("`,`"));
            }
            if self.peek() == T::End {
                let message = format!("`{m}` takes {}, found {i}", count(info.args.len(), "operand"));
                let help = format!("write `{}`", syntax(m));
                let what =
                    format!("{} missing", if info.args.len() - i == 1 { "one is" } else { "some are" });
                self.report(codes::OPERAND_COUNT, mnemonic, message).label(what).help(help);
                return Err(Failed);
            }
            let from = self.at;
            let ty = match arg.ty {
                ArgType::None => None,
                ArgType::T => m.ty,
                ArgType::S => m.ty2,
                ArgType::Is(t) => Some(t),
            };
            match self.operand(c, arg, ty, callee) {
                Ok(o) => {
                    if let Operand::Func(n) = o {
                        callee = Some(n);
                    }
                    args.push(o);
                }
                Err(Failed) => {
                    failed = true;
                    self.skip_operand();
                }
            }
            c.n.map.spans.push(self.since(from));
        }
        if self.peek() == T::P(b',') || info.args.is_empty() && self.peek() != T::End {
            let from = self.at;
            self.at = self.stop;
            let span = self.since(from);
            let message = format!("`{m}` takes {}, found more", count(info.args.len(), "operand"));
            let help = format!("write `{}`", syntax(m));
            self.report(codes::OPERAND_COUNT, span, message).label("too many").help(help);
            return Err(Failed);
        }
        if failed {
            return Err(Failed);
        }
        self.done()?;
        if m.op == Op::Call {
            self.call_lists(c, &args, mnemonic)?;
        }
        Ok(args)
    }

    /// After a wrong operand: on to the next comma of the instruction.
    fn skip_operand(&mut self) {
        let mut depth = 0u32;
        loop {
            match self.peek() {
                T::End => return,
                T::P(b',') if depth == 0 => return,
                T::P(b'(' | b'[') => depth += 1,
                T::P(b')' | b']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
    }

    /// The lists of a call are as long as the function's signature; its types reach plain registers.
    fn call_lists(&mut self, c: &mut Ctx<'_, 'a>, args: &[Operand], mnemonic: Span) -> Res<()> {
        let [Operand::List(dests), Operand::Func(f), Operand::List(srcs)] = args else { return Ok(()) };
        let k = c.k;
        let Some(callee) = k.funcs.get(usize::from(*f)) else { return Ok(()) };
        for (what, given, declared) in
            [("result", dests, &callee.results), ("argument", srcs, &callee.params)]
        {
            if given.len() != declared.len() {
                let message = format!(
                    "`{}` has {}, found {}",
                    clip(&callee.name),
                    count(declared.len(), what),
                    given.len()
                );
                self.report(codes::OPERAND_COUNT, mnemonic, message)
                    .label("wrong list")
                    .also(callee.span, "declared here")
                    .help("write `call (results), function, (arguments)`");
                return Err(Failed);
            }
        }
        for (operand, item) in dests.iter().zip(&callee.results) {
            settle(c.n, operand, callee.item_type(*item));
        }
        Ok(())
    }

    fn operand(
        &mut self,
        c: &mut Ctx<'_, 'a>,
        arg: &Arg,
        ty: Option<Type>,
        callee: Option<u16>,
    ) -> Res<Operand> {
        match arg.role {
            Role::W | Role::Rw => self.source(c, ty, Want::Register),
            Role::R | Role::Uniform => self.source(c, ty, Want::Value),
            Role::Imm => self.source(c, ty, Want::Number),
            Role::Load | Role::Store | Role::Atomic | Role::Out | Role::Input => self.memory(c),
            Role::Packed | Role::Buffer => self.object(c),
            Role::Label => self.label_operand(c),
            Role::Func => self.func_operand(c),
            Role::Dests => self.list(Want::Register, c, &|_| None),
            Role::List => self.list(Want::Value, c, &|_| ty),
            Role::Srcs => {
                let k = c.k;
                let callee = callee.and_then(|f| k.funcs.get(usize::from(f)));
                let ty = |i: usize| {
                    let item: Item = *callee?.params.get(i)?;
                    callee.map(|f| f.item_type(item))
                };
                self.list(Want::Value, c, &ty)
            }
        }
    }

    fn list(&mut self, want: Want, c: &mut Ctx<'_, 'a>, ty: &dyn Fn(usize) -> Option<Type>) -> Res<Operand> {
        if self.peek() != T::P(b'(') {
            return Err(
                self.operand_kind("a list in parentheses", "for example `(r0, r1)`; an empty list is `()`")
            );
        }
        self.at += 1;
        let mut items = Vec::new();
        while !self.eat(T::P(b')')) {
            let item = self.source(c, ty(items.len()), want)?;
            if items.len() == limits::LIST {
                let span = self.toks[self.at - 1].span();
                self.report(codes::LIMIT, span, format!("a list has at most {} items", limits::LIST));
                return Err(Failed);
            }
            items.push(item);
            if !self.eat(T::P(b',')) && self.peek() != T::P(b')') {
                return Err(self.expected("`,` or `)`"));
            }
        }
        Ok(Operand::List(items))
    }

    /// Reports that the operand here is of another kind.
    pub(crate) fn operand_kind(&mut self, what: &str, help: impl Into<String>) -> Failed {
        if self.peek() != T::Bad {
            let (span, found) = (self.here(), self.found());
            self.report(codes::OPERAND_KIND, span, format!("expected {what}, found {found}"))
                .label(format!("expected {what}"))
                .help(help);
        }
        Failed
    }

    /// Constants as seen from the function.
    pub(crate) fn with_scope<R>(
        &mut self,
        c: &Ctx<'_, 'a>,
        f: impl FnOnce(&mut Self, Scope<'_, 'a>) -> R,
    ) -> R {
        let consts = std::mem::take(&mut self.consts);
        let r = f(self, Scope { names: [&c.k.funcs[c.func].names, &c.k.names, &consts], params: None });
        self.consts = consts;
        r
    }

    /// A register, predicate, special register, scalar parameter or number.
    pub(crate) fn source(&mut self, c: &mut Ctx<'_, 'a>, ty: Option<Type>, want: Want) -> Res<Operand> {
        let from = self.at;
        let expected = match want {
            Want::Value => "a value",
            Want::Register => "a register",
            Want::Number => "a number",
            Want::Index => "an index",
        };
        match self.peek() {
            T::P(b'%') => {
                let special = self.special()?;
                return match want {
                    Want::Value | Want::Index => Ok(Operand::Special(special)),
                    Want::Register | Want::Number => {
                        self.at = from;
                        Err(self.operand_kind(expected, "special registers can only be read"))
                    }
                };
            }
            T::Word | T::Quoted => {
                if let Some(found) = self.named(c, ty, want, expected)? {
                    return Ok(found);
                }
            }
            T::Num | T::P(b'-' | b'+' | b'(') => {}
            _ => return Err(self.expected(expected)),
        }
        if want == Want::Register {
            return Err(self.operand_kind(expected, "the result needs a register to go to"));
        }
        let value = self.with_scope(c, |p, scope| p.constant(scope))?;
        let span = self.since(from);
        if want == Want::Index {
            return self.index_number(value.value, span);
        }
        let Some(ty) = ty else {
            self.report(codes::OPERAND_KIND, span, "a number cannot stand here")
                .help("put it into a register first");
            return Err(Failed);
        };
        self.fits_const(value, ty, span)?;
        Ok(Operand::Imm(self.bits_of(value.value, ty, span)?))
    }

    pub(crate) fn index_number(&mut self, value: crate::number::Value<'a>, span: Span) -> Res<Operand> {
        let v = self.as_integer(value, span)?;
        match u64::try_from(v) {
            Ok(v) => Ok(Operand::Imm(v)),
            Err(_) => {
                let what = if v < 0 { "an index cannot be negative" } else { "an index is below 2^64" };
                self.report(codes::BAD_INDEX, span, what).label("outside every array");
                Err(Failed)
            }
        }
    }

    /// `%lane.x`
    fn special(&mut self) -> Res<Special> {
        let percent = self.toks[self.at];
        self.at += 1;
        if self.peek() != T::Word || self.toks[self.at].start != percent.end {
            return Err(self.expected("the name of a special register right after `%`"));
        }
        let tok = self.toks[self.at];
        self.at += 1;
        let word = self.slice(&tok);
        if let Some(s) = Special::from_name(word) {
            return Ok(s);
        }
        let near = match word {
            "tid.x" | "thread.x" => Some("lane.x"),
            "ntid.x" | "blockdim.x" => Some("block_dim.x"),
            "ctaid.x" => Some("block.x"),
            "nctaid.x" | "griddim.x" => Some("grid_dim.x"),
            _ => closest(word, Special::WORDS.iter().copied()),
        };
        let help = match near {
            Some(n) => format!("did you mean `%{n}`?"),
            None => format!(
                "they are {}",
                Special::WORDS.iter().map(|w| format!("%{w}")).collect::<Vec<_>>().join(" ")
            ),
        };
        let span = Span { col: percent.col, len: tok.len + 1, ..tok.span() };
        self.report(codes::UNKNOWN_SPECIAL, span, format!("`%{}` is no special register", clip(word)))
            .label("unknown special register")
            .help(help);
        Err(Failed)
    }

    /// An operand that begins with a name; `None` where a constant expression begins.
    fn named(
        &mut self,
        c: &mut Ctx<'_, 'a>,
        ty: Option<Type>,
        want: Want,
        expected: &str,
    ) -> Res<Option<Operand>> {
        let tok = self.toks[self.at];
        let text = self.slice(&tok);
        if tok.kind == T::Word {
            if matches!(text, "inf" | "nan")
                || matches!(text, "ceil" | "min" | "max" | "len") && self.ahead(1) == T::P(b'(')
            {
                return Ok(None);
            }
            let operand = match plain(text) {
                Some(Plain::Reg(n)) => Some(Operand::Reg(n)),
                Some(Plain::Pred(n)) => Some(Operand::Pred(n)),
                Some(Plain::Invalid) => {
                    self.no_such_register(tok.span());
                    return Err(Failed);
                }
                None => None,
            };
            if let Some(operand) = operand {
                if want == Want::Number {
                    return Err(
                        self.operand_kind(expected, "this operand is fixed when the program is written")
                    );
                }
                self.at += 1;
                if let Some(ty) = ty {
                    settle(c.n, &operand, ty);
                }
                return Ok(Some(operand));
            }
        }
        let name = self.name_text(&tok);
        let k = c.k;
        let f = &k.funcs[c.func];
        let symbol = f.names.get(&name).or_else(|| k.names.get(&name)).or_else(|| self.consts.get(&name));
        let Some(symbol) = symbol.copied() else {
            let consts = std::mem::take(&mut self.consts);
            let failed = self.unknown(
                "register, parameter or constant",
                &name,
                tok.span(),
                &[&f.names, &k.names, &consts],
            );
            self.consts = consts;
            return Err(failed);
        };
        let wrong = |p: &mut Self, what: &str, help: String| {
            p.report(
                codes::OPERAND_KIND,
                tok.span(),
                format!("expected {expected}, but `{}` is {what}", clip(&name)),
            )
            .label(format!("expected {expected}"))
            .also(symbol.span, "declared here")
            .help(help);
            Err(Failed)
        };
        let found = match symbol.meaning {
            Meaning::Poison => return Err(Failed),
            Meaning::Const(_) if want == Want::Register => {
                return wrong(self, "a constant", "the result needs a register to go to".into());
            }
            Meaning::Const(_) => return Ok(None),
            Meaning::Local(_) if want == Want::Number => {
                return wrong(self, "a register", "this operand is fixed when the program is written".into());
            }
            Meaning::Local(d) => f.decls[usize::from(d)].operand(),
            Meaning::Param(p) => match &k.kernel.params[usize::from(p)].kind {
                ParamKind::Scalar(_) if matches!(want, Want::Register | Want::Number) => {
                    let help = "parameters keep their value: copy it into a register with `mov`";
                    return wrong(self, "a parameter", help.into());
                }
                ParamKind::Scalar(_) => Operand::Param(p),
                ParamKind::Buffer { elem, .. } => {
                    let help = format!("load an element into a register first: `ld.{elem} v, {name}[i]`");
                    return wrong(self, "a buffer", help);
                }
                ParamKind::Packed { .. } => {
                    return wrong(
                        self,
                        "packed weights",
                        "native operations such as `matmul.t2` read them".into(),
                    );
                }
            },
            Meaning::Shared(n) => {
                let elem = k.kernel.shared[usize::from(n)].elem;
                let help = format!("load an element into a register first: `ld.shared.{elem} v, {name}[i]`");
                return wrong(self, "a shared array", help);
            }
            Meaning::Private(n) => {
                let elem = k.kernel.private[usize::from(n)].elem;
                let help = format!("load an element into a register first: `ld.private.{elem} v, {name}[i]`");
                return wrong(self, "a private array", help);
            }
        };
        self.at += 1;
        Ok(Some(found))
    }
}

/// A plain register without a declaration takes the type of the first operand that has one.
fn settle(n: &mut Numbering, operand: &Operand, ty: Type) {
    if let Operand::Reg(r) = operand
        && ty != Type::Pred
        && let Some(slot) = n.regs.get_mut(usize::from(*r))
        && slot.ty.is_none()
    {
        slot.ty = Some(ty);
    }
}

/// "1 operand", "3 operands".
fn count(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    }
}
