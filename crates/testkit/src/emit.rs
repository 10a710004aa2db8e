//! Kernels as data, instruction by instruction: registers by type, labels that are placed later.

use phalanx_isa::{
    Access, Array, Base, Func, Guard, Inst, Kernel, Loc, Mem, Mnemonic, Module, Operand, Param, ParamKind,
    Reg, Special, Type, parse_mnemonic,
};

/// A label of the function being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u32);

/// A function being written.
#[derive(Debug, Default)]
pub struct FuncWriter {
    func: Func,
    /// Where labels are; operands name labels by number until the end.
    marks: Vec<u32>,
}

impl FuncWriter {
    /// An empty function.
    pub fn new(name: &str) -> FuncWriter {
        FuncWriter { func: Func { name: name.into(), ..Func::default() }, marks: Vec::new() }
    }
    /// A new register.
    ///
    /// # Panics
    /// If there are 256 already.
    pub fn reg(&mut self, ty: Type) -> Operand {
        assert!(self.func.regs.len() < 256, "too many registers");
        self.func.regs.push(Some(Reg { ty, name: String::new() }));
        Operand::Reg((self.func.regs.len() - 1) as u8)
    }
    /// A new predicate.
    ///
    /// # Panics
    /// If there are 16 already.
    pub fn pred(&mut self) -> Operand {
        assert!(self.func.preds.len() < 16, "too many predicates");
        self.func.preds.push(Some(String::new()));
        Operand::Pred((self.func.preds.len() - 1) as u8)
    }
    /// A new register, or predicate for the type `pred`.
    pub fn var(&mut self, ty: Type) -> Operand {
        if ty == Type::Pred { self.pred() } else { self.reg(ty) }
    }
    /// The parameters and results.
    pub fn signature(&mut self, params: Vec<Operand>, results: Vec<Operand>) {
        (self.func.params, self.func.results) = (params, results);
    }
    /// A label, to be placed once.
    pub fn mark(&mut self) -> Mark {
        self.marks.push(u32::MAX);
        Mark(self.marks.len() as u32 - 1)
    }
    /// Places a label before the next instruction.
    pub fn place(&mut self, mark: Mark) {
        self.marks[mark.0 as usize] = self.func.code.len() as u32;
    }
    /// An operand that names a label.
    pub fn to(&self, mark: Mark) -> Operand {
        Operand::Label(mark.0)
    }
    /// Adds an instruction.
    pub fn push(&mut self, m: Mnemonic, guard: Option<Guard>, args: Vec<Operand>) {
        let line = self.func.code.len() as u32 + 1;
        let loc = Loc { line, col: 1 };
        self.func.code.push(Inst { op: m.op, modes: m.modes, ty: m.ty, ty2: m.ty2, guard, args, loc });
    }
    /// Adds an instruction by its mnemonic.
    ///
    /// # Panics
    /// If there is no such mnemonic.
    pub fn op(&mut self, mnemonic: &str, args: &[&Operand]) {
        self.guarded(None, mnemonic, args);
    }
    /// Adds a guarded instruction by its mnemonic.
    ///
    /// # Panics
    /// If there is no such mnemonic.
    pub fn guarded(&mut self, guard: Option<Guard>, mnemonic: &str, args: &[&Operand]) {
        let m = parse_mnemonic(mnemonic).unwrap_or_else(|e| panic!("{mnemonic}: {e:?}"));
        self.push(m, guard, args.iter().map(|o| (*o).clone()).collect());
    }
    /// Instructions so far.
    pub fn len(&self) -> usize {
        self.func.code.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.func.code.is_empty()
    }
    /// The function, with labels as places. Every label must have been placed before the last instruction.
    pub fn finish(mut self) -> Func {
        for o in self.func.code.iter_mut().flat_map(|i| &mut i.args) {
            if let Operand::Label(l) = o {
                *l = self.marks[*l as usize];
            }
        }
        self.func
    }
}

/// A guard on a predicate operand.
///
/// # Panics
/// If the operand is none.
pub fn guard(p: &Operand, negate: bool) -> Option<Guard> {
    match p {
        Operand::Pred(pred) => Some(Guard { pred: *pred, negate }),
        o => panic!("{o:?} is no predicate"),
    }
}

/// `base[index + disp]`
pub fn element(base: Base, index: &Operand, disp: i64) -> Operand {
    Operand::Mem(Box::new(Mem { base, which: None, index: index.clone(), disp }))
}

/// The linear number of a lane in the launch.
pub const GLOBAL: Operand = Operand::Special(Special::GlobalLinear);
/// The linear number of a lane in its block.
pub const LANE: Operand = Operand::Special(Special::LaneLinear);

/// A kernel being written.
#[derive(Debug, Default)]
pub struct KernelWriter {
    /// What is there so far; functions come with [`KernelWriter::finish`].
    pub kernel: Kernel,
}

impl KernelWriter {
    /// A kernel `k`.
    pub fn new() -> KernelWriter {
        KernelWriter { kernel: Kernel { name: "k".into(), ..Kernel::default() } }
    }
    fn param(&mut self, kind: ParamKind) -> u16 {
        let n = self.kernel.params.len();
        self.kernel.params.push(Param { name: format!("a{n}"), kind, loc: Loc::default() });
        n as u16
    }
    /// A scalar parameter.
    pub fn scalar(&mut self, ty: Type) -> Operand {
        Operand::Param(self.param(ParamKind::Scalar(ty)))
    }
    /// A buffer parameter.
    pub fn buffer(&mut self, elem: Type, access: Access) -> Base {
        Base::Param(self.param(ParamKind::Buffer { elem, access, count: None }))
    }
    /// An array of buffers.
    pub fn buffers(&mut self, elem: Type, access: Access, count: u32) -> Base {
        Base::Param(self.param(ParamKind::Buffer { elem, access, count: Some(count) }))
    }
    /// Packed weights with a shape in terms of the parameters.
    pub fn packed(
        &mut self,
        format: phalanx_isa::PackFormat,
        n: phalanx_isa::Expr,
        k: phalanx_isa::Expr,
    ) -> Base {
        Base::Param(self.param(ParamKind::Packed { format, n, k }))
    }
    /// A shared array; `None`: sized by the launch.
    pub fn shared(&mut self, elem: Type, len: Option<u64>) -> Base {
        let n = self.kernel.shared.len();
        self.kernel.shared.push(Array { name: format!("s{n}"), elem, len, loc: Loc::default() });
        Base::Shared(n as u16)
    }
    /// A private array.
    pub fn private(&mut self, elem: Type, len: u64) -> Base {
        let n = self.kernel.private.len();
        self.kernel.private.push(Array { name: format!("v{n}"), elem, len: Some(len), loc: Loc::default() });
        Base::Private(n as u16)
    }
    /// The module of this one kernel; the first function is its body.
    pub fn finish(mut self, funcs: Vec<FuncWriter>) -> Module {
        self.kernel.funcs = funcs.into_iter().map(FuncWriter::finish).collect();
        if let Some(body) = self.kernel.funcs.first_mut() {
            body.name.clone_from(&self.kernel.name);
        }
        Module { source: String::new(), kernels: vec![self.kernel] }
    }
}
