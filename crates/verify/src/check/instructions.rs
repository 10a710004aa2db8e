//! Every instruction by itself: form, operands, types, targets.

use super::declarations::{declared, is_source};
use super::{Report, arg_type, memory, var_type};
use crate::analysis::falls_through;
use crate::codes;
use crate::vars::Var;
use phalanx_isa::{Arg, Base, Func, Inst, Operand, ParamKind, PlaceItem, Role, Type, limits};

/// Checks a function's instructions. Whether its control and data flow can be followed.
pub(super) fn func(report: &mut Report<'_>, f: usize) -> bool {
    let func = &report.kernel.funcs[f];
    let mut sound = true;
    for i in 0..func.code.len() as u32 {
        sound &= Checker { report, f, i, inst: &func.code[i as usize], func, sound: true }.run();
    }
    match func.code.last() {
        None => {
            let message = format!("`{}` has no instructions", report.names(f).func.name);
            let exit = if f == 0 { "exit" } else { "ret" };
            report
                .add(codes::FALLS_OFF, f, PlaceItem::Func, message, "")
                .help(format!("end it with `{exit}`"));
            return false;
        }
        Some(last) if falls_through(last) => {
            let item = PlaceItem::Inst(func.code.len() as u32 - 1);
            let exit = if f == 0 { "exit" } else { "ret" };
            let message = "control reaches the end of the code".to_string();
            let label =
                if last.guard.is_some() { "does nothing where the guard does not hold" } else { "the last" };
            report.add(codes::FALLS_OFF, f, item, message, label).help(format!("end with `{exit}`"));
        }
        _ => {}
    }
    sound
}

/// One instruction under the rules.
pub(super) struct Checker<'r, 'a> {
    pub report: &'r mut Report<'a>,
    pub f: usize,
    pub i: u32,
    pub inst: &'a Inst,
    pub func: &'a Func,
    /// No operand is of a kind that data flow cannot make sense of.
    pub sound: bool,
}

impl Checker<'_, '_> {
    fn run(mut self) -> bool {
        let info = self.inst.op.info();
        let inst = self.inst;
        if let Some(g) = inst.guard {
            self.declared(Var::Pred(g.pred), PlaceItem::Guard(self.i));
        }
        if !info.allows(inst.modes, inst.ty, inst.ty2) {
            let message = format!("there is no form `{}`", inst.mnemonic());
            self.report.add(codes::FORM, self.f, PlaceItem::Inst(self.i), message, "");
            return false;
        }
        if inst.args.len() != info.args.len() {
            let message = format!(
                "`{}` takes {} operand{}, not {}",
                inst.mnemonic(),
                info.args.len(),
                if info.args.len() == 1 { "" } else { "s" },
                inst.args.len()
            );
            self.report.add(codes::COUNT, self.f, PlaceItem::Inst(self.i), message, "");
            return false;
        }
        for (n, (arg, operand)) in info.args.iter().zip(&inst.args).enumerate() {
            self.operand(n as u8, arg, operand);
        }
        self.sound
    }

    pub fn item(&self, n: u8) -> PlaceItem {
        PlaceItem::Operand(self.i, n)
    }

    pub fn mnemonic(&self) -> String {
        self.inst.mnemonic().to_string()
    }

    /// Whether the variable is declared; reports it where not.
    pub fn declared(&mut self, v: Var, item: PlaceItem) -> bool {
        let known = declared(self.func, v);
        if !known {
            self.sound = false;
            let (what, limit) = match v {
                Var::Reg(r) => (format!("register r{r}"), limits::REGISTERS),
                Var::Pred(p) => (format!("predicate p{p}"), limits::PREDICATES),
            };
            let message = format!("{what} is not declared");
            let added = self.report.add(codes::UNDECLARED, self.f, item, message, "");
            if matches!(v, Var::Pred(p) if p as usize >= limit) {
                added.help(format!("there are {limit} predicates"));
            }
        }
        known
    }

    fn operand(&mut self, n: u8, arg: &Arg, o: &Operand) {
        let ty = arg_type(arg.ty, self.inst);
        match arg.role {
            Role::W | Role::Rw => match Var::of(o) {
                Some(v) => self.variable(n, arg.name, v, ty),
                None => self.kind(n, arg, "a register or predicate"),
            },
            Role::R | Role::Uniform => self.source(n, arg, o, ty),
            Role::Imm => match (o, ty) {
                (Operand::Imm(bits), Some(ty)) => self.immediate(n, arg.name, *bits, ty),
                _ => self.kind(n, arg, "a number"),
            },
            Role::Load | Role::Store | Role::Atomic | Role::Out | Role::Input => match (o, ty) {
                (Operand::Mem(m), Some(ty)) => memory::element(self, n, arg, m, ty),
                _ => self.kind(n, arg, "a memory element"),
            },
            Role::Packed | Role::Buffer => match o {
                Operand::Object(base) => memory::object(self, n, arg, *base),
                _ => self.kind(n, arg, "a parameter or array as a whole"),
            },
            Role::Label => match o {
                Operand::Label(l) if (*l as usize) < self.func.code.len() => {}
                Operand::Label(l) => {
                    self.sound = false;
                    let message = format!("the branch goes to instruction {l} of {}", self.func.code.len());
                    self.report.add(codes::LABEL, self.f, self.item(n), message, "");
                }
                _ => self.kind(n, arg, "a label"),
            },
            Role::Func => match o {
                Operand::Func(g) => self.function(n, *g),
                _ => self.kind(n, arg, "a function"),
            },
            Role::Dests | Role::Srcs => match o {
                Operand::List(items) if items.len() <= limits::LIST => self.call_list(n, arg, items),
                _ => self.kind(n, arg, "a list of at most 32"),
            },
            Role::List => match o {
                Operand::List(items) if (1..=limits::LIST).contains(&items.len()) => {
                    items.iter().for_each(|item| self.source(n, arg, item, ty));
                }
                _ => self.kind(n, arg, "a list of 1 to 32 sources"),
            },
        }
    }

    pub fn kind(&mut self, n: u8, arg: &Arg, wanted: &str) {
        self.sound = false;
        let message = format!("`{}` of `{}` must be {wanted}", arg.name, self.mnemonic());
        self.report.add(codes::KIND, self.f, self.item(n), message, format!("expected {wanted}"));
    }

    /// A register or predicate in a position of type `ty`.
    fn variable(&mut self, n: u8, name: &str, v: Var, ty: Option<Type>) {
        let item = self.item(n);
        if !self.declared(v, item) {
            return;
        }
        let Some(ty) = ty else { return };
        let names = self.report.names(self.f);
        let (shown, held, place) = match v {
            Var::Reg(r) => {
                let held = self.func.regs[r as usize].as_ref().map_or(Type::Pred, |r| r.ty);
                (names.reg(r), held, PlaceItem::Reg(r))
            }
            Var::Pred(p) => (names.pred(p), Type::Pred, PlaceItem::Pred(p)),
        };
        if held == ty {
            return;
        }
        let what = if held == Type::Pred { "a predicate".to_string() } else { held.to_string() };
        let wanted = if ty == Type::Pred { "a predicate".to_string() } else { ty.to_string() };
        let message = format!("`{name}` of `{}` is {wanted}, but `{shown}` is {what}", self.mnemonic());
        self.report.add(codes::REG_TYPE, self.f, item, message, format!("expected {wanted}")).also(
            self.f,
            place,
            "declared here",
        );
    }

    fn immediate(&mut self, n: u8, name: &str, bits: u64, ty: Type) {
        if ty.bits() < 64 && bits >> ty.bits() != 0 {
            let message = format!("{bits:#x} has more than the {} bits of {ty} for `{name}`", ty.bits());
            self.report.add(codes::IMMEDIATE, self.f, self.item(n), message, "");
        }
    }

    /// A source of type `ty`.
    fn source(&mut self, n: u8, arg: &Arg, o: &Operand, ty: Option<Type>) {
        if !is_source(o) {
            return self.kind(n, arg, "a register, number, special register or scalar parameter");
        }
        if let Some(v) = Var::of(o) {
            return self.variable(n, arg.name, v, ty);
        }
        let Some(ty) = ty else { return };
        let item = self.item(n);
        match o {
            Operand::Imm(bits) => self.immediate(n, arg.name, *bits, ty),
            Operand::Special(s) if !ty.is_index() => {
                let message = format!("`%{s}` cannot be read as {ty}");
                self.report
                    .add(codes::SPECIAL, self.f, item, message, "")
                    .help("read it as i32, u32, i64 or u64 with `mov`, and convert with `cvt`");
            }
            Operand::Param(p) => self.parameter(n, arg.name, *p, ty),
            _ => {}
        }
    }

    fn parameter(&mut self, n: u8, name: &str, p: u16, ty: Type) {
        let item = self.item(n);
        let Some(param) = self.report.kernel.params.get(p as usize) else {
            let message = format!("the kernel has no parameter {p}");
            self.report.add(codes::NO_OBJECT, self.f, item, message, "");
            return;
        };
        let (message, label) = match param.kind {
            ParamKind::Scalar(t) if t == ty => return,
            ParamKind::Scalar(t) => (
                format!("`{name}` of `{}` is {ty}, but parameter `{}` is {t}", self.mnemonic(), param.name),
                format!("expected {ty}"),
            ),
            _ => (
                format!("`{}` is not a scalar parameter", param.name),
                format!("expected a value of type {ty}"),
            ),
        };
        self.report.add(codes::PARAM_TYPE, self.f, item, message, label).also(
            0,
            PlaceItem::Param(p),
            "declared here",
        );
    }

    fn function(&mut self, n: u8, g: u16) {
        let count = self.report.kernel.funcs.len();
        if g == 0 || g as usize >= count {
            self.sound = false;
            let message = match g {
                0 => "the kernel's body cannot be called".to_string(),
                _ => format!("the kernel has no function {g}"),
            };
            self.report.add(codes::NO_FUNC, self.f, self.item(n), message, "");
        }
    }

    /// Results or arguments of a call, against the callee's.
    fn call_list(&mut self, n: u8, arg: &Arg, items: &[Operand]) {
        let results = arg.role == Role::Dests;
        let callee = crate::analysis::callee(self.report.kernel, self.inst).filter(|g| *g > 0);
        for item in items {
            let fits = if results { Var::of(item).is_some() } else { is_source(item) };
            if !fits {
                let wanted = if results { "a list of registers" } else { "a list of sources" };
                return self.kind(n, arg, wanted);
            }
        }
        // An unknown function is reported where it is named.
        let Some(g) = callee else {
            items.iter().filter_map(Var::of).for_each(|v| self.variable(n, arg.name, v, None));
            return;
        };
        let target = &self.report.kernel.funcs[g];
        let signature = if results { &target.results } else { &target.params };
        let what = if results { "result" } else { "argument" };
        if signature.len() != items.len() {
            self.sound = false;
            let plural = if signature.len() == 1 { "" } else { "s" };
            let message = format!(
                "`{}` has {} {what}{plural}, the call names {}",
                target.name,
                signature.len(),
                items.len()
            );
            self.report.add(codes::CALL_COUNT, self.f, self.item(n), message, "").also(
                g,
                PlaceItem::Func,
                "declared here",
            );
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (at, (item, formal)) in items.iter().zip(signature).enumerate() {
            // A signature that is wrong itself has been reported.
            let Some(ty) = var_type(target, formal) else { continue };
            if results && Var::of(item).is_some_and(|v| !seen.insert(v)) {
                let shown = self.report.names(self.f).operand(item, None).unwrap_or_default();
                let message = format!("`{shown}` receives two results of `{}`", target.name);
                self.report.add(codes::CALL_TYPE, self.f, self.item(n), message, "");
            }
            self.passed(n, what, at + 1, item, ty, g);
        }
    }

    /// One argument or result of a call.
    fn passed(&mut self, n: u8, what: &str, at: usize, o: &Operand, ty: Type, g: usize) {
        let place = self.item(n);
        let held = match o {
            Operand::Imm(bits) => return self.immediate(n, what, *bits, ty),
            Operand::Special(_) if ty.is_index() => return,
            Operand::Special(s) => Err(format!("`%{s}` cannot be read as {ty}")),
            Operand::Param(p) => match self.report.kernel.params.get(*p as usize).map(|p| &p.kind) {
                Some(ParamKind::Scalar(t)) => Ok(*t),
                Some(_) => {
                    Err(format!("`{}` is not a scalar", self.report.names(self.f).base(Base::Param(*p))))
                }
                None => Err(format!("the kernel has no parameter {p}")),
            },
            o => {
                let known = Var::of(o).is_some_and(|v| self.declared(v, place));
                match var_type(self.func, o).filter(|_| known) {
                    Some(t) => Ok(t),
                    None => return,
                }
            }
        };
        let callee = &self.report.kernel.funcs[g].name;
        let message = match held {
            Ok(t) if t == ty => return,
            Ok(t) => {
                let shown = self.report.names(self.f).operand(o, None).unwrap_or_default();
                format!("{what} {at} of `{callee}` is {ty}, but `{shown}` is {t}")
            }
            Err(text) => format!("{what} {at} of `{callee}` is {ty}, and {text}"),
        };
        self.report.add(codes::CALL_TYPE, self.f, place, message, format!("expected {ty}")).also(
            g,
            PlaceItem::Func,
            "declared here",
        );
    }
}
