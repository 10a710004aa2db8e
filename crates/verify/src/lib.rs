//! The validator of Phalanx modules, and the analysis that every executor shares.
//!
//! [`verify`] takes a module from anywhere (assembled, built, decoded from a stranger's bytes) and gives either a [`Verified`]
//! module with its [`KernelAnalysis`] or all that is wrong with it. Both take time nearly linear in the module's size.
//!
//! Invariant: a module that is accepted never makes an executor panic, leave its bindings or pass a fuel limit. Whatever is not
//! proved here an executor checks at run time and reports as a trap; nothing is assumed that is neither.
//!
//! ```
//! use phalanx_isa::{Func, Inst, Kernel, Module, Op};
//! let exit = Inst {
//!     op: Op::Exit, modes: [0; 3], ty: None, ty2: None, guard: None, args: vec![], loc: Default::default(),
//! };
//! let body = Func { name: "k".into(), code: vec![exit], ..Default::default() };
//! let kernel = Kernel { name: "k".into(), funcs: vec![body], ..Default::default() };
//! let module = Module { source: String::new(), kernels: vec![kernel] };
//! let verified = phalanx_verify::verify(module).unwrap();
//! assert!(verified.analysis(0).order_free());
//! ```
#![forbid(unsafe_code)]

mod analysis;
mod check;
mod codes;
mod names;
mod vars;

pub use analysis::{
    AccessPattern, Block, Cfg, Divergence, END, FuncAnalysis, KernelAnalysis, Live, ObjectUse, OrderReason,
    Scope, Uniformity, collective, ends_block, ends_lane, falls_through, target,
};
pub use codes::{CODES, Code};
pub use vars::{Use, Var, VarSet, visit, writes};

use phalanx_isa::{Module, Place};
use std::sync::Arc;

/// Something wrong with a module, or (a warning) something that its author should look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    /// A stable code from [`CODES`]: `E02xx` errors, `W03xx` warnings.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// A few words for the place; may be empty.
    pub label: String,
    /// Where.
    pub place: Place,
    /// Further places with a few words each.
    pub labels: Vec<(Place, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

/// A module that is not valid, given back with all that is wrong with it (of very many errors the first 200).
#[derive(Debug, thiserror::Error)]
#[error("{}{}", .errors.first().map(ToString::to_string).unwrap_or_default(), more(.errors.len()))]
pub struct Rejected {
    /// The module.
    pub module: Module,
    /// The errors, by kernel and in the order of the code within each kind of check; never empty.
    pub errors: Vec<Error>,
}

fn more(n: usize) -> String {
    match n {
        0 | 1 => String::new(),
        2 => " (and 1 more error)".into(),
        n => format!(" (and {} more errors)", n - 1),
    }
}

struct Inner {
    module: Module,
    kernels: Vec<KernelAnalysis>,
    warnings: Vec<Error>,
}

/// A valid module with its analysis. Only [`verify`] makes one; cloning is cheap.
#[derive(Clone)]
pub struct Verified(Arc<Inner>);

impl Verified {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }
    /// The analysis of a kernel, by its number.
    ///
    /// # Panics
    /// If the module has no such kernel.
    pub fn analysis(&self, kernel: usize) -> &KernelAnalysis {
        &self.0.kernels[kernel]
    }
    /// The number of the kernel of this name.
    pub fn kernel_number(&self, name: &str) -> Option<usize> {
        self.0.module.kernels.iter().position(|k| k.name == name)
    }
    /// What the author should look at, by kernel.
    pub fn warnings(&self) -> &[Error] {
        &self.0.warnings
    }
}

impl std::ops::Deref for Verified {
    type Target = Module;
    fn deref(&self) -> &Module {
        &self.0.module
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kernels: Vec<&str> = self.0.module.kernels.iter().map(|k| k.name.as_str()).collect();
        f.debug_struct("Verified").field("source", &self.0.module.source).field("kernels", &kernels).finish()
    }
}

/// Checks a module against every rule of [`CODES`] and analyses it.
///
/// # Errors
/// All that is wrong, with the module.
pub fn verify(module: Module) -> Result<Verified, Rejected> {
    let checked = check::module(&module);
    if !checked.errors.is_empty() {
        return Err(Rejected { module, errors: checked.errors });
    }
    Ok(Verified(Arc::new(Inner { module, kernels: checked.kernels, warnings: checked.warnings })))
}
