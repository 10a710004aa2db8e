//! Modules to text that assembles to the same bytes.
//!
//! The text fixes the places of everything (`.file`, `.loc`), declares every register, and quotes, pins or hides names where
//! writing them plainly would mean something else. What has no text at all (a register that is not declared, a branch
//! behind the end) is an error; validated modules have none of that.

use crate::names::{escape, ident};
use crate::number::text_of;
use phalanx_isa::{
    Access, ArgType, Array, Base, Expr, ExprOp, Func, Inst, Kernel, Loc, Mem, Module, Operand, ParamKind,
    Place, PlaceItem, Role, Type, limits,
};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Why a module has no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} has no text form: {what}", show(place))]
pub struct DisasmError {
    /// Where in the module.
    pub place: Place,
    /// What cannot be written.
    pub what: &'static str,
}

fn show(place: &Place) -> String {
    let Place { kernel, func, item } = place;
    match item {
        PlaceItem::Inst(i) | PlaceItem::Guard(i) => {
            format!("instruction {i} of function {func} of kernel {kernel}")
        }
        PlaceItem::Operand(i, n) => {
            format!("operand {n} of instruction {i} of function {func} of kernel {kernel}")
        }
        PlaceItem::Func | PlaceItem::Reg(_) | PlaceItem::Pred(_) => {
            format!("function {func} of kernel {kernel}")
        }
        PlaceItem::Param(n) => format!("parameter {n} of kernel {kernel}"),
        PlaceItem::Shared(n) => format!("shared array {n} of kernel {kernel}"),
        PlaceItem::Private(n) => format!("private array {n} of kernel {kernel}"),
        PlaceItem::Kernel => format!("kernel {kernel}"),
    }
}

type Res<T> = Result<T, DisasmError>;

/// The column at which operands begin, beyond the margin, unless mnemonics are longer.
const OPERANDS: usize = 12;
/// Room for guards, unless they are longer.
const MARGIN: usize = 4;
/// Declarations are broken into lines of about this many characters.
const WIDTH: usize = 100;

/// Writes a module as text that assembles to the same bytes.
///
/// # Errors
/// The module has a part that no text stands for; a validated module has none.
pub fn disassemble(module: &Module) -> Result<String, DisasmError> {
    let mut out = format!(".file \"{}\"\n", escape(&module.source, '"'));
    let mut names = HashSet::new();
    for (i, kernel) in module.kernels.iter().enumerate() {
        let place = Place { kernel: i as u16, func: 0, item: PlaceItem::Kernel };
        if !names.insert(&kernel.name) {
            return Err(DisasmError { place, what: "another kernel has its name" });
        }
        out.push('\n');
        Writer { kernel, out: &mut out, place }.kernel()?;
    }
    Ok(out)
}

struct Writer<'m> {
    kernel: &'m Kernel,
    out: &'m mut String,
    /// What is being written, for errors.
    place: Place,
}

/// How a function's registers and labels are written.
struct FuncNames<'m> {
    func: &'m Func,
    /// Text of each declared register and predicate.
    regs: Vec<Option<String>>,
    preds: Vec<Option<String>>,
    /// Numbers whose names are written with them, because the assembler would choose others.
    pinned: [Vec<bool>; 2],
    /// Names of branch targets.
    targets: HashMap<u32, String>,
}

impl Writer<'_> {
    fn fail<T>(&self, what: &'static str) -> Res<T> {
        Err(DisasmError { place: self.place, what })
    }

    fn check_name(&self, name: &str) -> Res<()> {
        if name.len() <= limits::NAME_BYTES { Ok(()) } else { self.fail("its name is too long") }
    }

    /// `.loc` for a declaration, in front of it.
    fn loc(&mut self, loc: Loc) {
        if loc != Loc::default() {
            let _ = write!(self.out, ".loc {}:{} ", loc.line, loc.col);
        }
    }

    fn kernel(mut self) -> Res<()> {
        let k = self.kernel;
        self.check_name(&k.name)?;
        let Some(body) = k.funcs.first() else { return self.fail("it has no body") };
        if body.name != k.name || !body.params.is_empty() || !body.results.is_empty() {
            return self.fail("its body has a name, parameters or results of its own");
        }
        let mut names = HashSet::new();
        let params = k.params.iter().map(|p| &p.name);
        let arrays = k.shared.iter().chain(&k.private).map(|a| &a.name);
        for name in params.chain(arrays) {
            self.check_name(name)?;
            if !names.insert(&**name) {
                return self.fail("two parameters or arrays have the same name");
            }
        }
        let mut funcs = HashSet::new();
        if !k.funcs.iter().all(|f| funcs.insert(&f.name)) {
            return self.fail("two functions have the same name");
        }
        if k.loc != Loc::default() {
            let _ = writeln!(self.out, ".loc {}:{}", k.loc.line, k.loc.col);
        }
        let _ = write!(self.out, "kernel {}(", ident(&k.name));
        let places = k.params.iter().any(|p| p.loc != Loc::default());
        for (i, p) in k.params.iter().enumerate() {
            self.place.item = PlaceItem::Param(i as u16);
            self.out.push_str(if places { "\n    " } else { "" });
            self.loc(p.loc);
            let kind = self.param(&p.name, &p.kind)?;
            self.out.push_str(&kind);
            let last = i + 1 == k.params.len();
            self.out.push_str(if last {
                ""
            } else if places {
                ","
            } else {
                ", "
            });
        }
        self.out.push(')');
        self.place.item = PlaceItem::Kernel;
        if let Some(b) = &k.block {
            let dims: Vec<String> = b.iter().map(u32::to_string).collect();
            let _ = write!(self.out, "\n        block {}", dims[..used(b, |n| *n == 1)].join(", "));
        }
        if let Some(g) = &k.grid {
            let n = used(g, |e| *e == Expr::Const(1));
            let dims = g[..n].iter().map(|e| self.expr(e, 0)).collect::<Res<Vec<_>>>()?;
            let gap = if k.block.is_some() { "  " } else { "\n        " };
            let _ = write!(self.out, "{gap}grid {}", dims.join(", "));
        }
        self.out.push_str("\n{\n");
        if body.loc != k.loc {
            let _ = writeln!(self.out, "    .body {}:{}", body.loc.line, body.loc.col);
        }
        for (arrays, word) in [(&k.shared, "shared"), (&k.private, "private")] {
            for (i, a) in arrays.iter().enumerate() {
                let i = i as u16;
                self.place.item = if word == "shared" { PlaceItem::Shared(i) } else { PlaceItem::Private(i) };
                self.array(a, word)?;
            }
        }
        for i in 0..k.funcs.len() {
            self.place.func = i as u16;
            self.place.item = PlaceItem::Func;
            self.func(&k.funcs[i], &names, i > 0)?;
        }
        self.out.push_str("}\n");
        Ok(())
    }

    fn param(&self, name: &str, kind: &ParamKind) -> Res<String> {
        let name = ident(name);
        Ok(match kind {
            ParamKind::Scalar(t) => format!("{name}: {t}"),
            ParamKind::Buffer { elem, access, count } => {
                let word = match access {
                    Access::In => "in",
                    Access::Out => "out",
                    Access::InOut => "inout",
                };
                let count = count.map_or(String::new(), |n| format!("[{n}]"));
                format!("{word} {name}: {elem}[]{count}")
            }
            ParamKind::Packed { format, n, k } => {
                format!("in {name}: packed[{format}, {}, {}]", self.expr(n, 0)?, self.expr(k, 0)?)
            }
        })
    }

    fn array(&mut self, a: &Array, word: &str) -> Res<()> {
        self.out.push_str("    ");
        self.loc(a.loc);
        let len = match a.len {
            Some(n) => n.to_string(),
            None if word == "shared" => String::new(),
            None => return self.fail("a private array has no length"),
        };
        let _ = writeln!(self.out, "{word} {}: {}[{len}]", ident(&a.name), a.elem);
        Ok(())
    }

    /// A launch expression in a place where operators of at least this strength may stand without parentheses.
    fn expr(&self, e: &Expr, strength: u32) -> Res<String> {
        Ok(match e {
            Expr::Const(n) => n.to_string(),
            Expr::Param(p) => match self.kernel.params.get(usize::from(*p)) {
                Some(p) if matches!(p.kind, ParamKind::Scalar(t) if t.is_int()) => {
                    ident(&p.name).into_owned()
                }
                _ => return self.fail("a size names something that is no integer parameter"),
            },
            Expr::Len(p) => match self.kernel.params.get(usize::from(*p)) {
                Some(p) if matches!(p.kind, ParamKind::Buffer { .. }) => format!("len({})", ident(&p.name)),
                _ => return self.fail("a size names something that is no buffer"),
            },
            Expr::Bin(op, a, b) => {
                let (sign, own) = match op {
                    ExprOp::Add => ("+", 1),
                    ExprOp::Sub => ("-", 1),
                    ExprOp::Mul => ("*", 2),
                    ExprOp::Div => ("/", 2),
                    ExprOp::CeilDiv => ("ceil", 0),
                    ExprOp::Min => ("min", 0),
                    ExprOp::Max => ("max", 0),
                };
                if own == 0 {
                    return Ok(format!("{sign}({}, {})", self.expr(a, 0)?, self.expr(b, 0)?));
                }
                // Operators of one strength group to the left.
                let text = format!("{} {sign} {}", self.expr(a, own)?, self.expr(b, own + 1)?);
                if own < strength { format!("({text})") } else { text }
            }
        })
    }

    fn func(&mut self, f: &Func, outer: &HashSet<&str>, nested: bool) -> Res<()> {
        let names = self.names(f, outer)?;
        let mut declared: HashSet<String> = HashSet::new();
        if nested {
            self.check_name(&f.name)?;
            self.out.push_str("\n    ");
            self.loc(f.loc);
            let params = self.items(&names, &f.params, &mut declared)?;
            let _ = write!(self.out, "func {}({params})", ident(&f.name));
            if !f.results.is_empty() {
                let results = self.items(&names, &f.results, &mut declared)?;
                let _ = write!(self.out, " -> ({results})");
            }
            self.out.push_str(" {\n");
        }
        self.declarations(&names, &declared)?;
        self.code(&names)?;
        if nested {
            self.out.push_str("    }\n");
        }
        Ok(())
    }

    /// Chooses how registers, predicates and labels are written.
    fn names<'m>(&self, f: &'m Func, outer: &HashSet<&str>) -> Res<FuncNames<'m>> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut text = |name: &'m str, plain: String| {
            // A name that something else has is kept as a remark (`.name`), and the register is written by its number.
            let usable = !name.is_empty() && name.len() <= limits::NAME_BYTES && !outer.contains(name);
            if usable && seen.insert(name) { ident(name).into_owned() } else { plain }
        };
        let mut regs = Vec::with_capacity(f.regs.len());
        for (i, r) in f.regs.iter().enumerate() {
            if r.as_ref().is_some_and(|r| r.ty == Type::Pred) {
                return self.fail("a register holds predicates");
            }
            regs.push(r.as_ref().map(|r| text(&r.name, format!("r{i}"))));
        }
        let preds: Vec<_> =
            f.preds.iter().enumerate().map(|(i, p)| p.as_ref().map(|p| text(p, format!("p{i}")))).collect();
        let mut targets: HashMap<u32, String> = HashMap::new();
        let mut labels: HashSet<&str> = HashSet::new();
        let mut last = 0;
        for (at, name) in &f.labels {
            if *at < last || *at as usize > f.code.len() {
                return self.fail("its labels are out of order");
            }
            last = *at;
            if name.len() <= limits::NAME_BYTES && labels.insert(name) {
                targets.entry(*at).or_insert_with(|| ident(name).into_owned());
            }
        }
        for operand in f.code.iter().flat_map(|i| &i.args) {
            if let Operand::Label(at) = operand {
                if *at as usize > f.code.len() {
                    return self.fail("a branch goes beyond its end");
                }
                targets.entry(*at).or_insert_with(|| format!(".L{at}"));
            }
        }
        let mut names = FuncNames { func: f, regs, preds, pinned: [Vec::new(), Vec::new()], targets };
        names.pinned = names.pins();
        Ok(names)
    }

    fn items(&self, names: &FuncNames<'_>, items: &[Operand], declared: &mut HashSet<String>) -> Res<String> {
        let mut out = Vec::with_capacity(items.len());
        for o in items {
            let (text, ty, pin) = match o {
                Operand::Reg(n) => (self.reg(names, *n)?, names.reg_type(*n), names.pin('r', (*n).into())),
                Operand::Pred(n) => (self.pred(names, *n)?, Some(Type::Pred), names.pin('p', (*n).into())),
                _ => return self.fail("its parameters or results are not registers"),
            };
            let Some(ty) = ty else { return self.fail("a register is not declared") };
            out.push(match declared.insert(text.to_string()) {
                false => text.to_string(),
                true => format!("{text}{pin}: {ty}"),
            });
        }
        Ok(out.join(", "))
    }

    fn declarations(&mut self, names: &FuncNames<'_>, declared: &HashSet<String>) -> Res<()> {
        let f = names.func;
        let reg = |n: usize| Some((names.regs[n].as_deref()?, names.pin('r', n), f.regs[n].as_ref()?.ty));
        let pred = |n: usize| Some((names.preds[n].as_deref()?, names.pin('p', n), Type::Pred));
        let all = (0..f.regs.len()).map(reg).chain((0..f.preds.len()).map(pred)).flatten();
        let mut line: Option<(Type, String)> = None;
        for (text, pin, ty) in all.filter(|(text, ..)| !declared.contains(*text)) {
            let item = format!("{text}{pin}");
            match &mut line {
                Some((t, so_far)) if *t == ty && so_far.len() + item.len() < WIDTH => {
                    so_far.push_str(", ");
                    so_far.push_str(&item);
                }
                _ => {
                    self.end_let(line.take());
                    line = Some((ty, item));
                }
            }
        }
        self.end_let(line);
        let stored = f.regs.iter().map(|r| r.as_ref().map(|r| r.name.as_str())).zip(&names.regs).enumerate();
        for (n, (stored, text)) in stored {
            self.remark('r', n, stored, text)?;
        }
        let stored = f.preds.iter().map(Option::as_deref).zip(&names.preds).enumerate();
        for (n, (stored, text)) in stored {
            self.remark('p', n, stored, text)?;
        }
        if let Some(None) = f.regs.last() {
            let _ = writeln!(self.out, "    .registers {}", f.regs.len());
        }
        if let Some(None) = f.preds.last() {
            let _ = writeln!(self.out, "    .predicates {}", f.preds.len());
        }
        Ok(())
    }

    fn end_let(&mut self, line: Option<(Type, String)>) {
        if let Some((ty, items)) = line {
            let _ = writeln!(self.out, "    let {items}: {ty}");
        }
    }

    /// `.name`, where a stored name is not the one that is written.
    fn remark(&mut self, kind: char, n: usize, stored: Option<&str>, text: &Option<String>) -> Res<()> {
        let plain = format!("{kind}{n}");
        if let Some(stored) = stored.filter(|s| !s.is_empty())
            && text.as_deref() == Some(&plain)
        {
            self.check_name(stored)?;
            let _ = writeln!(self.out, "    .name {plain} \"{}\"", escape(stored, '"'));
        }
        Ok(())
    }

    fn reg<'n>(&self, names: &'n FuncNames<'_>, n: u8) -> Res<&'n str> {
        match names.regs.get(usize::from(n)) {
            Some(Some(text)) => Ok(text),
            _ => self.fail("it uses a register that is not declared"),
        }
    }
    fn pred<'n>(&self, names: &'n FuncNames<'_>, n: u8) -> Res<&'n str> {
        match names.preds.get(usize::from(n)) {
            Some(Some(text)) => Ok(text),
            _ => self.fail("it uses a predicate that is not declared"),
        }
    }

    fn code(&mut self, names: &FuncNames<'_>) -> Res<()> {
        let f = names.func;
        let longest = f.code.iter().map(|i| i.mnemonic().to_string().len() + 1).max().unwrap_or(0);
        let column = longest.clamp(OPERANDS, 2 * OPERANDS);
        let mut margin = MARGIN;
        for i in &f.code {
            margin = margin.max(self.guard(names, i)?.len());
        }
        let mut labels = f.labels.iter().peekable();
        // The place that the next instruction has without a `.loc`.
        let mut follows = Loc::default();
        let mut seen: HashSet<&str> = HashSet::new();
        for at in 0..=f.code.len() {
            self.place.item = PlaceItem::Func;
            while let Some((_, name)) = labels.next_if(|(l, _)| *l as usize == at) {
                if name.len() <= limits::NAME_BYTES && seen.insert(name) {
                    let _ = writeln!(self.out, "{}:", ident(name));
                } else {
                    self.check_name(name)?;
                    let _ = writeln!(self.out, "    .label \"{}\"", escape(name, '"'));
                }
            }
            if let Some(hidden) = names.targets.get(&(at as u32)).filter(|t| t.starts_with('.')) {
                let _ = writeln!(self.out, "{hidden}:");
            }
            let Some(inst) = f.code.get(at) else { break };
            self.place.item = PlaceItem::Inst(at as u32);
            let below = |l: Loc| l.line.checked_add(1).map(|line| Loc { line, ..l });
            if inst.loc != follows {
                let run = f.code.get(at + 1).is_some_and(|n| Some(n.loc) == below(inst.loc));
                let _ = write!(self.out, "    .loc {}:{}", inst.loc.line, inst.loc.col);
                self.out.push_str(if run { " ..\n" } else { "\n" });
                follows = if run { inst.loc } else { Loc::default() };
            }
            if follows != Loc::default() {
                // In a run; at the last possible line it cannot go on, and then no place is the one that follows.
                follows = below(inst.loc).unwrap_or(Loc { line: 0, col: u32::MAX });
            }
            self.inst(names, inst, [margin, column], at as u32)?;
        }
        Ok(())
    }

    /// `@p ` and a space behind it.
    fn guard(&self, names: &FuncNames<'_>, inst: &Inst) -> Res<String> {
        match inst.guard {
            Some(g) => Ok(format!("@{}{} ", if g.negate { "!" } else { "" }, self.pred(names, g.pred)?)),
            None => Ok(String::new()),
        }
    }

    fn inst(&mut self, names: &FuncNames<'_>, inst: &Inst, [margin, column]: [usize; 2], at: u32) -> Res<()> {
        let info = inst.op.info();
        let implied = info.typed || inst.ty == info.implied_type();
        if !info.allows(inst.modes, inst.ty, inst.ty2) || !implied || inst.args.len() != info.args.len() {
            return self.fail("no such operation");
        }
        let guard = self.guard(names, inst)?;
        let mnemonic = inst.mnemonic().to_string();
        if inst.args.is_empty() {
            let _ = writeln!(self.out, "{guard:margin$}{mnemonic}");
            return Ok(());
        }
        let mut operands = Vec::with_capacity(inst.args.len());
        for (i, (o, arg)) in inst.args.iter().zip(info.args).enumerate() {
            self.place.item = PlaceItem::Operand(at, i as u8);
            let ty = match arg.ty {
                ArgType::None => None,
                ArgType::T => inst.ty,
                ArgType::S => inst.ty2,
                ArgType::Is(t) => Some(t),
            };
            operands.push(self.operand(names, inst, o, arg.role, ty)?);
        }
        let _ = writeln!(
            self.out,
            "{guard:margin$}{mnemonic:column$}{}{}",
            sep(&mnemonic, column),
            operands.join(", ")
        );
        Ok(())
    }

    fn operand(
        &self,
        names: &FuncNames<'_>,
        inst: &Inst,
        o: &Operand,
        role: Role,
        ty: Option<Type>,
    ) -> Res<String> {
        match (role, o) {
            (Role::W | Role::Rw, Operand::Reg(_) | Operand::Pred(_)) => self.source(names, o, ty),
            (Role::R | Role::Uniform, _) | (Role::Imm, Operand::Imm(_)) => self.source(names, o, ty),
            (Role::Load | Role::Store | Role::Atomic | Role::Out | Role::Input, Operand::Mem(m)) => {
                self.memory(names, m)
            }
            (Role::Packed | Role::Buffer, Operand::Object(b)) => self.base(*b),
            (Role::Label, Operand::Label(at)) => match names.targets.get(at) {
                Some(name) => Ok(name.clone()),
                None => self.fail("a branch goes beyond the end"),
            },
            (Role::Func, Operand::Func(n)) => match self.kernel.funcs.get(usize::from(*n)) {
                Some(f) => Ok(ident(&f.name).into_owned()),
                None => self.fail("there is no such function"),
            },
            (Role::Dests | Role::Srcs | Role::List, Operand::List(items)) => {
                let callee = inst.args.iter().find_map(|a| match a {
                    Operand::Func(n) => self.kernel.funcs.get(usize::from(*n)),
                    _ => None,
                });
                let expected = match role {
                    Role::Dests => callee.map(|f| f.results.len()),
                    Role::Srcs => callee.map(|f| f.params.len()),
                    _ => Some(items.len()),
                };
                if expected != Some(items.len()) {
                    return self.fail("the list is not as long as the function's");
                }
                let mut texts = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let is_register = matches!(item, Operand::Reg(_) | Operand::Pred(_));
                    if role == Role::Dests && !is_register {
                        return self.fail("a result goes to something that is no register");
                    }
                    let ty = match role {
                        Role::Srcs => callee.and_then(|f| match f.params.get(i)? {
                            Operand::Reg(n) => f.regs.get(usize::from(*n))?.as_ref().map(|r| r.ty),
                            Operand::Pred(_) => Some(Type::Pred),
                            _ => None,
                        }),
                        _ => ty,
                    };
                    texts.push(self.source(names, item, ty)?);
                }
                Ok(format!("({})", texts.join(", ")))
            }
            _ => self.fail("the operand is of another kind than the operation takes"),
        }
    }

    fn source(&self, names: &FuncNames<'_>, o: &Operand, ty: Option<Type>) -> Res<String> {
        match o {
            Operand::Reg(n) => self.reg(names, *n).map(str::to_string),
            Operand::Pred(n) => self.pred(names, *n).map(str::to_string),
            Operand::Special(s) => Ok(format!("%{s}")),
            Operand::Param(n) => match self.kernel.params.get(usize::from(*n)) {
                Some(p) if matches!(p.kind, ParamKind::Scalar(_)) => Ok(ident(&p.name).into_owned()),
                _ => self.fail("the operand names something that is no scalar parameter"),
            },
            Operand::Imm(bits) => match ty {
                Some(t) if t.bits() == 64 || *bits >> t.bits() == 0 => Ok(text_of(*bits, t)),
                _ => self.fail("the number does not fit its type"),
            },
            _ => self.fail("the operand is of another kind than the operation takes"),
        }
    }

    fn base(&self, b: Base) -> Res<String> {
        let k = self.kernel;
        let name = match b {
            Base::Param(n) => {
                let p = k.params.get(usize::from(n)).filter(|p| !matches!(p.kind, ParamKind::Scalar(_)));
                p.map(|p| &p.name)
            }
            Base::Shared(n) => k.shared.get(usize::from(n)).map(|a| &a.name),
            Base::Private(n) => k.private.get(usize::from(n)).map(|a| &a.name),
        };
        match name {
            Some(name) => Ok(ident(name).into_owned()),
            None => self.fail("there is no such memory"),
        }
    }

    fn memory(&self, names: &FuncNames<'_>, m: &Mem) -> Res<String> {
        let mut out = self.base(m.base)?;
        if let Some(which) = &m.which {
            let _ = write!(out, "[{}]", self.source(names, which, Some(Type::U64))?);
        }
        let _ = write!(out, "[{}", self.source(names, &m.index, Some(Type::U64))?);
        if m.disp != 0 {
            let _ = write!(out, " {} {}", if m.disp < 0 { '-' } else { '+' }, m.disp.unsigned_abs());
        }
        out.push(']');
        Ok(out)
    }
}

/// Keeps a mnemonic that is longer than its column apart from the operands.
fn sep(mnemonic: &str, column: usize) -> &'static str {
    if mnemonic.len() >= column { " " } else { "" }
}

/// How many of three dimensions must be written.
fn used<T>(dims: &[T; 3], is_one: impl Fn(&T) -> bool) -> usize {
    match (is_one(&dims[1]), is_one(&dims[2])) {
        (true, true) => 1,
        (false, true) => 2,
        (_, false) => 3,
    }
}

impl FuncNames<'_> {
    fn reg_type(&self, n: u8) -> Option<Type> {
        self.func.regs.get(usize::from(n))?.as_ref().map(|r| r.ty)
    }

    /// ` = r5` for names that are written with their number.
    fn pin(&self, kind: char, n: usize) -> String {
        let pinned = &self.pinned[usize::from(kind == 'p')];
        if pinned.get(n) == Some(&true) { format!(" = {kind}{n}") } else { String::new() }
    }

    /// Which names need their numbers written.
    fn pins(&self) -> [Vec<bool>; 2] {
        let items = || self.func.params.iter().chain(&self.func.results);
        let regs = items().filter_map(|o| if let Operand::Reg(n) = o { Some(usize::from(*n)) } else { None });
        let preds =
            items().filter_map(|o| if let Operand::Pred(n) = o { Some(usize::from(*n)) } else { None });
        [pins('r', &self.regs, regs), pins('p', &self.preds, preds)]
    }
}

/// The assembler goes through the declarations, the signature's first and then ascending, and gives each name the lowest
/// number that is neither written plainly nor pinned. Pins the first name that this gives another number until there is none.
fn pins(kind: char, texts: &[Option<String>], signature: impl Iterator<Item = usize>) -> Vec<bool> {
    let plain: Vec<bool> = texts
        .iter()
        .enumerate()
        .map(|(n, t)| t.as_ref().is_some_and(|t| *t == format!("{kind}{n}")))
        .collect();
    let named = |n: usize| texts.get(n).is_some_and(Option::is_some) && !plain[n];
    let mut seen = vec![false; texts.len()];
    let mut order = Vec::new();
    for n in signature.chain(0..texts.len()).filter(|n| named(*n)) {
        if !std::mem::replace(&mut seen[n], true) {
            order.push(n);
        }
    }
    let mut pinned = vec![false; texts.len()];
    loop {
        let free = (0..texts.len()).filter(|n| !plain[*n] && !pinned[*n]);
        let given = order.iter().filter(|n| !pinned[**n]).zip(free);
        let wrong = given.filter(|(n, given)| *n != given).map(|(n, _)| *n).next();
        match wrong {
            Some(n) => pinned[n] = true,
            None => return pinned,
        }
    }
}
