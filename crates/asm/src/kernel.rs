//! Modules, kernels and their declarations.

use crate::codes;
use crate::expr::Scope;
use crate::func::{FuncState, Numbering};
use crate::lex::{T, clip};
use crate::map::KernelMap;
use crate::parse::{Failed, Meaning, Names, Parser, Place, Res, Symbol};
use phalanx_isa::{Access, Array, Expr, Kernel, Loc, PackFormat, Param, ParamKind, Span, limits};
use std::borrow::Cow;
use std::collections::HashMap;

/// A kernel while its text is read.
pub(crate) struct KernelState<'a> {
    pub kernel: Kernel,
    pub names: Names<'a>,
    pub func_names: HashMap<Cow<'a, str>, (u16, Span)>,
    pub funcs: Vec<FuncState<'a>>,
    pub map: KernelMap,
}

impl<'a> Parser<'a> {
    /// The whole file.
    pub(crate) fn module(&mut self) {
        let mut kernel_names: HashMap<Cow<'a, str>, Span> = HashMap::new();
        loop {
            self.open_statement_or_end();
            let Some(tok) = self.toks.get(self.at).copied() else { return };
            match (tok.kind, self.slice(&tok)) {
                (T::Eof, _) => return,
                (T::P(b';'), _) => self.at += 1,
                (T::Word, "kernel") => {
                    self.at += 1;
                    let _ = self.kernel(&mut kernel_names);
                }
                (T::Word, "const") => {
                    self.at += 1;
                    let _ = self.module_const();
                    self.at = self.stop;
                }
                (T::Dir, ".file") => {
                    self.at += 1;
                    let span = self.here();
                    if let Ok(name) = self.string() {
                        if name.len() >= limits::NAME_BYTES * 8 {
                            self.report(codes::LIMIT, span, "the name of the file is too long");
                        }
                        self.source = Some(name);
                        self.place.fixed = true;
                        let _ = self.done();
                    }
                    self.at = self.stop;
                }
                (T::Dir, ".loc") => {
                    self.at += 1;
                    let done = self.loc_directive().and_then(|()| self.done());
                    if done.is_err() {
                        self.at = self.stop;
                    }
                }
                (T::Bad, _) => self.at = self.stop,
                _ => {
                    let found = self.found();
                    self.report(
                        codes::MISPLACED,
                        tok.span(),
                        format!("{found} cannot stand outside a kernel"),
                    )
                    .label("expected `kernel` or `const`");
                    self.skip_foreign();
                }
            }
        }
    }

    fn open_statement_or_end(&mut self) {
        if self.at + 1 < self.toks.len() { self.open_statement() } else { self.open_free() }
    }

    /// Skips what cannot stand at module level up to the next line that can.
    fn skip_foreign(&mut self) {
        self.at += 1;
        while let Some(t) = self.toks.get(self.at) {
            let starts = t.first
                && match t.kind {
                    T::Word => matches!(self.slice(t), "kernel" | "const"),
                    T::Dir => matches!(self.slice(t), ".file" | ".loc"),
                    _ => false,
                };
            if starts || t.kind == T::Eof {
                return;
            }
            self.at += 1;
        }
    }

    fn module_const(&mut self) -> Res<()> {
        let none = Names::new();
        let consts = std::mem::take(&mut self.consts);
        let found = self.const_decl(Scope { names: [&consts, &none, &none], params: None });
        self.consts = consts;
        let (name, span, meaning) = found?;
        let mut consts = std::mem::take(&mut self.consts);
        let declared = self.declare(&mut consts, name, Symbol { meaning, span });
        self.consts = consts;
        declared
    }

    fn kernel(&mut self, kernel_names: &mut HashMap<Cow<'a, str>, Span>) -> Res<()> {
        self.open_free();
        let keyword = self.toks[self.at - 1].span();
        let mut k = KernelState {
            kernel: Kernel { loc: self.take_loc(keyword), ..Kernel::default() },
            names: Names::new(),
            func_names: HashMap::new(),
            funcs: Vec::new(),
            map: KernelMap { name: keyword, ..KernelMap::default() },
        };
        if self.kernel_header(&mut k, kernel_names).is_err() && self.skip_to_brace().is_err() {
            return Err(Failed);
        }
        self.open_free();
        let open = self.here();
        self.need(T::P(b'{'), "`{`, `block` or `grid`")?;
        let mut body = FuncState::new(k.kernel.name.clone(), k.kernel.loc, k.map.name);
        body.is_body = true;
        k.funcs.push(body);
        self.body(&mut k, 0, open);
        self.place = Place { fixed: self.place.fixed, ..Place::default() };
        // The instructions are read now, with all names known; then on behind the kernel.
        let after = self.at;
        self.finish(k);
        self.at = after;
        Ok(())
    }

    /// After a wrong header: on to its `{`, unless something else begins first.
    pub(crate) fn skip_to_brace(&mut self) -> Res<()> {
        while let Some(t) = self.toks.get(self.at) {
            match t.kind {
                T::P(b'{') => return Ok(()),
                T::P(b'}') | T::Eof => return Err(Failed),
                T::Word if t.first && self.slice(t) == "kernel" => return Err(Failed),
                _ => self.at += 1,
            }
        }
        Err(Failed)
    }

    fn kernel_header(
        &mut self,
        k: &mut KernelState<'a>,
        kernel_names: &mut HashMap<Cow<'a, str>, Span>,
    ) -> Res<()> {
        let (name, span) = self.new_name("a name for the kernel")?;
        k.map.name = span;
        k.kernel.name = name.to_string();
        k.func_names.insert(name.clone(), (0, span));
        match kernel_names.get(&name) {
            Some(first) => self.duplicate(&name, span, *first),
            None => {
                if self.kernels.len() >= limits::KERNELS {
                    self.report(
                        codes::LIMIT,
                        span,
                        format!("more than {} kernels in a module", limits::KERNELS),
                    );
                }
                kernel_names.insert(name, span);
            }
        }
        self.need(T::P(b'('), "`(` and the parameters")?;
        // Sizes of packed parameters may name parameters that follow.
        let mut sizes: Vec<(usize, usize)> = Vec::new();
        while !self.eat(T::P(b')')) {
            let from = self.at;
            if self.param(k, &mut sizes).is_err() {
                self.at = from;
                self.skip_param();
            }
            if !self.eat(T::P(b',')) && self.peek() != T::P(b')') {
                return Err(self.expected("`,` or `)`"));
            }
        }
        let after = self.at;
        for (param, at) in sizes {
            self.at = at;
            let _ = self.packed_sizes(k, param);
        }
        self.at = after;
        loop {
            if self.at_word("block") {
                self.at += 1;
                let dims = self.block(k);
                k.kernel.block = Some(dims?);
            } else if self.at_word("grid") {
                self.at += 1;
                let dims = self.grid(k);
                k.kernel.grid = Some(dims?);
            } else {
                return Ok(());
            }
        }
    }

    /// After a wrong parameter: on to the next one.
    fn skip_param(&mut self) {
        let mut depth = 0u32;
        while let Some(t) = self.toks.get(self.at) {
            match t.kind {
                T::P(b'(' | b'[') => depth += 1,
                T::P(b']') => depth = depth.saturating_sub(1),
                T::P(b')') if depth > 0 => depth -= 1,
                T::P(b',') if depth == 0 => return,
                T::P(b')' | b'{' | b'}') | T::Eof => return,
                T::Word if t.first && self.slice(t) == "kernel" => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn param(&mut self, k: &mut KernelState<'a>, sizes: &mut Vec<(usize, usize)>) -> Res<()> {
        if self.peek() == T::Dir && self.slice(&self.toks[self.at]) == ".loc" {
            self.at += 1;
            self.loc_directive()?;
        }
        let from = self.at;
        let access = match self.ahead(1) {
            // `in` and `out` are names too: only before another name are they keywords.
            T::Word | T::Quoted if self.eat_word("in") => Some(Access::In),
            T::Word | T::Quoted if self.eat_word("out") => Some(Access::Out),
            T::Word | T::Quoted if self.eat_word("inout") => Some(Access::InOut),
            _ => None,
        };
        let (name, span) = self.new_name("a parameter")?;
        let number = k.kernel.params.len();
        if number >= limits::PARAMS {
            self.report(codes::LIMIT, span, format!("more than {} parameters", limits::PARAMS));
            return Err(Failed);
        }
        let first = self.toks[from].span();
        let loc = self.take_loc(first);
        let kind = self.param_kind(access, &name, (number, &k.names), sizes);
        let meaning = if kind.is_ok() { Meaning::Param(number as u16) } else { Meaning::Poison };
        let mut names = std::mem::take(&mut k.names);
        let declared = self.declare(&mut names, name.clone(), Symbol { meaning, span });
        k.names = names;
        declared?;
        k.kernel.params.push(Param { name: name.into_owned(), kind: kind?, loc });
        let span = self.since(from);
        k.map.params.push(span);
        Ok(())
    }

    fn param_kind(
        &mut self,
        access: Option<Access>,
        name: &str,
        (number, names): (usize, &Names<'a>),
        sizes: &mut Vec<(usize, usize)>,
    ) -> Res<ParamKind> {
        self.need(T::P(b':'), "`:` and a type")?;
        let at = self.here();
        if self.eat_word("packed") {
            if access != Some(Access::In) {
                self.report(codes::SYNTAX, at, "packed weights are only read")
                    .help(format!("declare them with `in {name}: packed[...]`"));
                return Err(Failed);
            }
            self.need(T::P(b'['), "`[`")?;
            let (word, tok) = self.used_name("a packed format")?;
            let Some(format) = PackFormat::from_name(&word) else {
                self.report(
                    codes::UNKNOWN_TYPE,
                    tok.span(),
                    format!("`{}` is no packed format", clip(&word)),
                )
                .help(format!("formats are {}", crate::report::alternatives(PackFormat::WORDS)));
                return Err(Failed);
            };
            sizes.push((number, self.at));
            let mut depth = 1u32;
            while depth > 0 {
                match self.peek() {
                    T::P(b'[') => depth += 1,
                    T::P(b']') => depth -= 1,
                    T::P(b'{' | b'}') | T::Eof | T::End => return Err(self.expected("`]`")),
                    _ => {}
                }
                self.at += 1;
            }
            return Ok(ParamKind::Packed { format, n: Expr::Const(0), k: Expr::Const(0) });
        }
        let elem = self.ty()?;
        if !self.eat(T::P(b'[')) {
            if access.is_some() {
                let help = format!("a buffer is written `{name}: {elem}[]`; a number takes no `in` or `out`");
                return Err(self.expected_help("`[]`", help));
            }
            return Ok(ParamKind::Scalar(elem));
        }
        self.need(T::P(b']'), "`]` (a buffer's length is known at launch)")?;
        let Some(access) = access else {
            self.report(codes::SYNTAX, at, "a buffer needs `in`, `out` or `inout`")
                .label("how is it used?")
                .help(format!("write `in {name}: {elem}[]` if the kernel only reads it"));
            return Err(Failed);
        };
        let mut count = None;
        if self.eat(T::P(b'[')) {
            let from = self.at;
            let n = self.header_integer(names)?;
            let span = self.since(from);
            self.need(T::P(b']'), "`]`")?;
            match u32::try_from(n) {
                Ok(n) => count = Some(n),
                Err(_) => {
                    self.report(codes::BAD_LENGTH, span, "a number of buffers is 1 or more")
                        .label(format!("at most {}", limits::BUFFER_ARRAY));
                    return Err(Failed);
                }
            }
        }
        Ok(ParamKind::Buffer { elem, access, count })
    }

    /// An integer made of constants, in a kernel's header.
    fn header_integer(&mut self, names: &Names<'a>) -> Res<i128> {
        let none = Names::new();
        let consts = std::mem::take(&mut self.consts);
        let n = self.integer(Scope { names: [names, &consts, &none], params: None });
        self.consts = consts;
        n
    }

    /// A launch size in a kernel's header.
    fn header_expr(&mut self, k: &KernelState<'a>) -> Res<Expr> {
        let none = Names::new();
        let consts = std::mem::take(&mut self.consts);
        let e = self.launch_expr(Scope { names: [&k.names, &consts, &none], params: Some(&k.kernel.params) });
        self.consts = consts;
        e
    }

    /// `, N, K]` of a packed parameter.
    fn packed_sizes(&mut self, k: &mut KernelState<'a>, param: usize) -> Res<()> {
        self.need(T::P(b','), "`,` and the number of rows")?;
        let rows = self.header_expr(k)?;
        self.need(T::P(b','), "`,` and the number of columns")?;
        let columns = self.header_expr(k)?;
        self.need(T::P(b']'), "`]`")?;
        if let Some(Param { kind: ParamKind::Packed { n, k, .. }, .. }) = k.kernel.params.get_mut(param) {
            (*n, *k) = (rows, columns);
        }
        Ok(())
    }

    fn block(&mut self, k: &KernelState<'a>) -> Res<[u32; 3]> {
        if let Some(old) = k.kernel.block {
            let span = self.toks[self.at - 1].span();
            self.report(codes::DUPLICATE, span, format!("`block` is given twice (first as {old:?})"));
        }
        let mut dims = [1; 3];
        for (i, dim) in dims.iter_mut().enumerate() {
            let from = self.at;
            let n = self.header_integer(&k.names)?;
            let span = self.since(from);
            match u32::try_from(n) {
                Ok(n) => *dim = n,
                Err(_) => {
                    self.report(codes::BAD_LENGTH, span, "a block size is 1 or more")
                        .label(format!("at most {} lanes together", limits::BLOCK_LANES));
                    return Err(Failed);
                }
            }
            if i == 2 || !self.eat(T::P(b',')) {
                break;
            }
        }
        Ok(dims)
    }

    fn grid(&mut self, k: &KernelState<'a>) -> Res<[Expr; 3]> {
        if k.kernel.grid.is_some() {
            let span = self.toks[self.at - 1].span();
            self.report(codes::DUPLICATE, span, "`grid` is given twice");
        }
        let mut dims = [Expr::Const(1), Expr::Const(1), Expr::Const(1)];
        for (i, dim) in dims.iter_mut().enumerate() {
            *dim = self.header_expr(k)?;
            if i == 2 || !self.eat(T::P(b',')) {
                break;
            }
        }
        Ok(dims)
    }

    /// `shared` or `private`, after the word.
    pub(crate) fn array(&mut self, k: &mut KernelState<'a>, shared: bool) -> Res<()> {
        let keyword = self.toks[self.at - 1].span();
        let (name, span) = self.new_name("a name for the array")?;
        let number = if shared { k.kernel.shared.len() } else { k.kernel.private.len() };
        if number >= limits::ARRAYS {
            self.report(codes::LIMIT, span, format!("more than {} arrays of a kind", limits::ARRAYS));
            return Err(Failed);
        }
        let loc = self.take_loc(keyword);
        let declared = self.array_type(k, shared);
        let meaning = match (&declared, shared) {
            (Err(_), _) => Meaning::Poison,
            (Ok(_), true) => Meaning::Shared(number as u16),
            (Ok(_), false) => Meaning::Private(number as u16),
        };
        let mut names = std::mem::take(&mut k.names);
        let fresh = self.declare(&mut names, name.clone(), Symbol { meaning, span });
        k.names = names;
        fresh?;
        let (elem, len) = declared?;
        let array = Array { name: name.into_owned(), elem, len, loc };
        if shared {
            k.kernel.shared.push(array);
            k.map.shared.push(span);
        } else {
            k.kernel.private.push(array);
            k.map.private.push(span);
        }
        Ok(())
    }

    fn array_type(&mut self, k: &KernelState<'a>, shared: bool) -> Res<(phalanx_isa::Type, Option<u64>)> {
        self.need(T::P(b':'), "`:` and a type")?;
        let elem = self.ty()?;
        self.need(T::P(b'['), "`[` and the number of elements")?;
        let from = self.at;
        if self.peek() == T::P(b']') {
            let span = self.here();
            self.at += 1;
            if !shared {
                self.report(codes::BAD_LENGTH, span, "a private array needs a length")
                    .help(format!("write a number of elements: `{elem}[16]`"));
                return Err(Failed);
            }
            self.done()?;
            return Ok((elem, None));
        }
        let none = Names::new();
        let consts = std::mem::take(&mut self.consts);
        let n = self.integer(Scope { names: [&k.names, &consts, &none], params: None });
        self.consts = consts;
        let n = n?;
        let span = self.since(from);
        self.need(T::P(b']'), "`]`")?;
        self.done()?;
        match u64::try_from(n) {
            Ok(n) => Ok((elem, Some(n))),
            Err(_) => {
                self.report(codes::BAD_LENGTH, span, "a number of elements is 0 to 2^64 - 1")
                    .label("not a length");
                Err(Failed)
            }
        }
    }

    /// A `const` in a body, after the word: seen by the kernel, or by the function if it stands in one.
    pub(crate) fn local_const(&mut self, k: &mut KernelState<'a>, func: usize) -> Res<()> {
        let consts = std::mem::take(&mut self.consts);
        let found = self.const_decl(Scope { names: [&k.funcs[func].names, &k.names, &consts], params: None });
        self.consts = consts;
        let (name, span, meaning) = found?;
        let body = k.funcs[func].is_body;
        let names = if body { &mut k.names } else { &mut k.funcs[func].names };
        self.declare(names, name, Symbol { meaning, span })
    }

    /// After the text of a kernel: numbers, then instructions.
    fn finish(&mut self, mut k: KernelState<'a>) {
        for f in &k.funcs {
            // Names of functions and of the kernel are seen together, so they differ.
            for (name, symbol) in &f.names {
                let outer = k.names.get(name).or_else(|| self.consts.get(name));
                if let Some(outer) = outer {
                    let (a, b) = (symbol.span, outer.span);
                    let (first, second) = if (a.line, a.col) < (b.line, b.col) { (a, b) } else { (b, a) };
                    self.duplicate(name, second, first);
                }
            }
        }
        for (name, symbol) in &k.names {
            if let Some(outer) = self.consts.get(name) {
                let first = outer.span;
                self.duplicate(name, symbol.span, first);
            }
        }
        let mut numbers: Vec<Numbering> = Vec::with_capacity(k.funcs.len());
        for f in &mut k.funcs {
            numbers.push(self.number(f));
        }
        for (i, mut n) in numbers.into_iter().enumerate() {
            let func = self.assemble_func(&k, i, &mut n);
            k.kernel.funcs.push(func);
            k.map.funcs.push(n.map);
        }
        self.kernels.push(k.kernel);
        self.map.kernels.push(k.map);
    }

    /// `.body LINE:COL`: the place of the body, where it is not the kernel's.
    pub(crate) fn body_place(&mut self, f: &mut FuncState<'a>) -> Res<()> {
        let line = self.small()?;
        self.need(T::P(b':'), "`:` between line and column")?;
        f.loc = Loc { line, col: self.small()? };
        self.done()
    }
}
