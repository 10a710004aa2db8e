//! The rules. Each file looks at one part of a kernel and reports all that it finds.

mod collectives;
mod declarations;
mod flow;
mod instructions;
mod memory;
mod warnings;

use crate::analysis::{self, KernelAnalysis};
use crate::names::Names;
use crate::{Error, codes};
use phalanx_isa::{ArgType, Func, Inst, Kernel, Module, Operand, Place, PlaceItem, Type, limits};

/// Reports kept of one kind: more help nobody, and a hostile module could ask for millions.
const KEPT: usize = 200;

/// The outcome for a module.
pub(crate) struct Checked {
    pub errors: Vec<Error>,
    pub warnings: Vec<Error>,
    pub kernels: Vec<KernelAnalysis>,
}

/// Where reports about one kernel go.
pub(crate) struct Report<'a> {
    pub kernel: &'a Kernel,
    pub number: u16,
    pub errors: &'a mut Vec<Error>,
}

impl<'a> Report<'a> {
    fn place(&self, func: usize, item: PlaceItem) -> Place {
        Place { kernel: self.number, func: func as u16, item }
    }
    fn add(
        &mut self,
        code: &'static str,
        func: usize,
        item: PlaceItem,
        message: String,
        label: impl Into<String>,
    ) -> Added<'_> {
        let place = self.place(func, item);
        let kernel = self.number;
        let error = Error { code, message, label: label.into(), place, labels: Vec::new(), help: None };
        // Reports past the limit take each other's place; `module` drops the one that is left.
        self.errors.truncate(KEPT);
        self.errors.push(error);
        let at = self.errors.len() - 1;
        Added { error: &mut self.errors[at], kernel }
    }
    fn names(&self, func: usize) -> Names<'a> {
        Names { kernel: self.kernel, func: &self.kernel.funcs[func] }
    }
}

/// The report just added, to say more.
pub(crate) struct Added<'e> {
    error: &'e mut Error,
    kernel: u16,
}

impl Added<'_> {
    fn also(self, func: usize, item: PlaceItem, text: impl Into<String>) -> Self {
        let place = Place { kernel: self.kernel, func: func as u16, item };
        self.error.labels.push((place, text.into()));
        self
    }
    fn help(self, text: impl Into<String>) -> Self {
        self.error.help = Some(text.into());
        self
    }
}

/// The type of an operand of an instruction.
pub(crate) fn arg_type(ty: ArgType, inst: &Inst) -> Option<Type> {
    match ty {
        ArgType::None => None,
        ArgType::T => inst.ty,
        ArgType::S => inst.ty2,
        ArgType::Is(t) => Some(t),
    }
}

/// The type of a register or predicate that stands in a signature.
pub(crate) fn var_type(func: &Func, operand: &Operand) -> Option<Type> {
    match operand {
        Operand::Reg(r) => func.regs.get(*r as usize)?.as_ref().map(|r| r.ty),
        Operand::Pred(_) => Some(Type::Pred),
        _ => None,
    }
}

/// Checks everything; analyses the kernels that have no errors.
pub(crate) fn module(module: &Module) -> Checked {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let mut kernels = Vec::new();
    // Kernel numbers are 16 bits in places, and more than the limit is an error anyway.
    let count = module.kernels.len();
    if count > limits::KERNELS {
        let kernel = &module.kernels[0];
        let mut report = Report { kernel, number: 0, errors: &mut errors };
        let message = format!("the module has {count} kernels, at most {} are allowed", limits::KERNELS);
        report.add(codes::LIMIT, 0, PlaceItem::Kernel, message, "");
    }
    declarations::kernel_names(module, &mut errors);
    for (number, kernel) in module.kernels.iter().enumerate().take(limits::KERNELS) {
        if errors.len() > KEPT {
            break;
        }
        let before = errors.len();
        let mut report = Report { kernel, number: number as u16, errors: &mut errors };
        // From here on numbers of functions, registers and instructions are within their limits.
        if !declarations::kernel(&mut report) {
            continue;
        }
        let sound: Vec<bool> = (0..kernel.funcs.len()).map(|f| instructions::func(&mut report, f)).collect();
        for f in (0..kernel.funcs.len()).filter(|f| sound[*f]) {
            flow::func(&mut report, f);
        }
        if kernel.funcs.is_empty() || sound.contains(&false) {
            continue;
        }
        let known = analysis::analyse(kernel);
        collectives::kernel(&mut report, &known);
        if report.errors.len() == before {
            let mut report = Report { kernel, number: number as u16, errors: &mut warnings };
            warnings::kernel(&mut report, &known);
        }
        kernels.push(known);
    }
    errors.truncate(KEPT);
    warnings.truncate(KEPT);
    Checked { errors, warnings, kernels }
}
