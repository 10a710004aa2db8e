//! Programs and kernels: text, binary or builder's module to something that launches.

use crate::args::IntoDims;
use crate::cpu::Cpu;
use crate::error::{LoadError, Source};
use crate::launch::{Launcher, shape};
use phalanx_asm::{SourceMap, span_in_module};
use phalanx_exec::launch::LaunchShape;
use phalanx_exec::{LaunchError, Prepared, Trap};
use phalanx_isa::{Diagnostic, Kernel as KernelData, Label, Module, Param, Place, Severity, Span};
use phalanx_verify::Verified;
use std::sync::{Arc, OnceLock};

/// What a program is, whoever loaded it. It must not hold a [`Cpu`]: the device's cache holds it.
pub(crate) struct Loaded {
    source: Source,
    verified: Verified,
    /// Where the module's parts stand in the text, where there is one.
    map: Option<SourceMap>,
    /// By kernel, made at the first launch.
    prepared: Vec<OnceLock<Arc<dyn Prepared>>>,
}

impl Loaded {
    fn new(source: Source, module: Module, map: Option<SourceMap>) -> Result<Arc<Loaded>, LoadError> {
        let verified = match phalanx_verify::verify(module) {
            Ok(v) => v,
            Err(rejected) => {
                let told = |e| diagnostic(e, Severity::Error, &rejected.module, map.as_ref());
                let diagnostics = rejected.errors.iter().map(told).collect();
                return Err(LoadError::new(source, diagnostics));
            }
        };
        let prepared = verified.module().kernels.iter().map(|_| OnceLock::new()).collect();
        Ok(Arc::new(Loaded { source, verified, map, prepared }))
    }

    #[cfg(test)]
    pub(crate) fn empty() -> Arc<Loaded> {
        let source = Source { name: "".into(), text: "".into() };
        Loaded::new(source, Module::default(), None).unwrap()
    }
}

/// An error or warning of the validator with its places in the text.
fn diagnostic(
    e: &phalanx_verify::Error,
    severity: Severity,
    module: &Module,
    map: Option<&SourceMap>,
) -> Diagnostic {
    let span = |place: &Place| map.map_or_else(|| span_in_module(module, place), |m| m.span(place));
    Diagnostic {
        code: e.code,
        severity,
        message: e.message.clone(),
        span: span(&e.place),
        label: e.label.clone(),
        labels: e.labels.iter().map(|(p, text)| Label { span: span(p), text: text.clone() }).collect(),
        help: e.help.clone(),
    }
}

impl Cpu {
    /// Assembles and validates program text; messages call it `program.phx`. The same text again comes from the cache.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn load(&self, text: &str) -> Result<Program, LoadError> {
        self.load_named("program.phx", text)
    }

    /// As [`Cpu::load`], with the name of the file for messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn load_named(&self, name: &str, text: &str) -> Result<Program, LoadError> {
        let loaded = self.cache().get(name, text.as_bytes(), || {
            let source = Source { name: name.into(), text: text.into() };
            match phalanx_asm::assemble(name, text) {
                Ok(a) => Loaded::new(source, a.module, Some(a.map)),
                Err(diagnostics) => Err(LoadError::new(source, diagnostics)),
            }
        })?;
        Ok(Program { cpu: self.clone(), loaded })
    }

    /// Decodes and validates a binary module (`.phxb`). Bytes from strangers are fine: what is wrong with them is an error.
    ///
    /// # Errors
    /// Bytes that are no module, or everything that is wrong with it.
    pub fn load_binary(&self, bytes: &[u8]) -> Result<Program, LoadError> {
        let loaded = self.cache().get("", bytes, || {
            let unnamed = Source { name: "".into(), text: "".into() };
            let module = phalanx_isa::decode(bytes).map_err(|e| LoadError::undecoded(unnamed, &e))?;
            let source = Source { name: module.source.as_str().into(), text: "".into() };
            Loaded::new(source, module, None)
        })?;
        Ok(Program { cpu: self.clone(), loaded })
    }

    /// Validates a module, as [`crate::asm::builder`] makes them. It does not go through the cache.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_module(&self, module: Module) -> Result<Program, LoadError> {
        let source = Source { name: module.source.as_str().into(), text: "".into() };
        Ok(Program { cpu: self.clone(), loaded: Loaded::new(source, module, None)? })
    }
}

/// A validated program on a device. Cheap to clone.
#[derive(Clone)]
pub struct Program {
    cpu: Cpu,
    loaded: Arc<Loaded>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(&self.loaded.verified).finish()
    }
}

impl Program {
    /// The validated module with its analysis.
    pub fn verified(&self) -> &Verified {
        &self.loaded.verified
    }
    /// The module.
    pub fn module(&self) -> &Module {
        self.loaded.verified.module()
    }
    /// The program's text; empty where it came without.
    pub fn text(&self) -> &str {
        &self.loaded.source.text
    }
    /// The name it was loaded under; may be empty.
    pub fn name(&self) -> &str {
        &self.loaded.source.name
    }
    /// The binary form.
    pub fn to_binary(&self) -> Vec<u8> {
        phalanx_isa::encode(self.module())
    }
    /// Whether two handles are the same loaded program.
    pub fn same(&self, other: &Program) -> bool {
        Arc::ptr_eq(&self.loaded, &other.loaded)
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// [`LaunchError::NoKernel`] with the names that there are.
    pub fn kernel(&self, name: &str) -> Result<Kernel, LaunchError> {
        let found = self.loaded.verified.kernel_number(name).map(|index| self.at(index));
        found.ok_or_else(|| LaunchError::NoKernel { name: name.into(), known: self.kernel_names() })
    }

    /// The kernel of a program that has one.
    ///
    /// # Errors
    /// [`LaunchError::NoKernel`] where there are none or several.
    pub fn only_kernel(&self) -> Result<Kernel, LaunchError> {
        match self.module().kernels.len() {
            1 => Ok(self.at(0)),
            _ => Err(LaunchError::NoKernel { name: String::new(), known: self.kernel_names() }),
        }
    }

    /// All kernels, in the order of the text.
    pub fn kernels(&self) -> Vec<Kernel> {
        (0..self.module().kernels.len()).map(|index| self.at(index)).collect()
    }

    fn at(&self, index: usize) -> Kernel {
        Kernel { program: self.clone(), index }
    }

    fn kernel_names(&self) -> Vec<String> {
        self.module().kernels.iter().map(|k| k.name.clone()).collect()
    }

    /// What the validator says about a valid program that its author should look at.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let (verified, map) = (&self.loaded.verified, self.loaded.map.as_ref());
        let told = |e| diagnostic(e, Severity::Warning, verified.module(), map);
        verified.warnings().iter().map(told).collect()
    }

    /// Where an instruction stands in the text.
    pub(crate) fn inst_span(&self, kernel: usize, func: u16, inst: u32) -> Span {
        let Ok(kernel) = u16::try_from(kernel) else { return Span::default() };
        let place = Place { kernel, func, item: phalanx_isa::PlaceItem::Inst(inst) };
        match &self.loaded.map {
            Some(map) => map.span(&place),
            None => span_in_module(self.module(), &place),
        }
    }

    /// A trap of this program as a diagnostic: at the instruction, with block and lane.
    pub fn trap_diagnostic(&self, trap: &Trap) -> Diagnostic {
        let at = &trap.lane_trap;
        let kernel = self.module().kernels.iter().position(|k| k.name == trap.kernel);
        let span = kernel.map_or_else(Span::default, |k| self.inst_span(k, at.func, at.inst));
        Diagnostic {
            code: at.kind.name(),
            severity: Severity::Error,
            message: trap.message(),
            span,
            label: trap.place(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// Diagnostics of this program as text, with the lines of its source where it has one (feature `render`).
    pub fn render(&self, diagnostics: &[Diagnostic]) -> String {
        self.loaded.source.render(diagnostics)
    }
}

/// A kernel of a program, ready to launch. Cheap to clone.
#[derive(Clone)]
pub struct Kernel {
    program: Program,
    index: usize,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.name())
    }
}

impl Kernel {
    /// The kernel as data.
    pub fn data(&self) -> &KernelData {
        &self.program.module().kernels[self.index]
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.data().name
    }
    /// Its parameters, in order.
    pub fn params(&self) -> &[Param] {
        &self.data().params
    }
    /// Its number in the program.
    pub fn index(&self) -> usize {
        self.index
    }
    /// Its program.
    pub fn program(&self) -> &Program {
        &self.program
    }
    pub(crate) fn cpu(&self) -> &Cpu {
        &self.program.cpu
    }

    /// The kernel as the executor has made it ready; done once, at the first launch or here.
    ///
    /// # Errors
    /// What the executor cannot run.
    pub fn prepare(&self) -> Result<Arc<dyn Prepared>, LaunchError> {
        let slot = &self.program.loaded.prepared[self.index];
        if let Some(p) = slot.get() {
            return Ok(Arc::clone(p));
        }
        let made = self.cpu().executor_arc().prepare(&self.program.loaded.verified, self.index)?;
        Ok(Arc::clone(slot.get_or_init(|| made)))
    }

    /// A launch over `grid` blocks of `block` lanes, each a number or an array of up to three: `launch(rows, 256)`,
    /// `launch([8, 4], [16, 16])`. Give the arguments next, then [`Launcher::run`].
    pub fn launch(&self, grid: impl IntoDims, block: impl IntoDims) -> Launcher {
        Launcher::new(self.clone(), shape(self.name(), Some(grid), Some(block)))
    }

    /// A launch over `grid` blocks of the declared size.
    pub fn launch_grid(&self, grid: impl IntoDims) -> Launcher {
        Launcher::new(self.clone(), shape(self.name(), Some(grid), None::<u32>))
    }

    /// A launch over the grid and block that the kernel declares.
    pub fn launch_declared(&self) -> Launcher {
        Launcher::new(self.clone(), Ok(LaunchShape::default()))
    }

    /// A launch whose shape is put together elsewhere; what it leaves open the kernel must declare.
    pub fn launch_shape(&self, shape: LaunchShape) -> Launcher {
        Launcher::new(self.clone(), Ok(shape))
    }
}
