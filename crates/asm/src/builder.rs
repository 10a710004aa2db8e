//! Kernels made from Rust: registers, buffers and parameters have Rust types, so adding an f32 to a u32 does not compile.
//!
//! Destinations come first, as in program text. What types cannot catch (too many registers, a label that is never placed,
//! a register of another function, a wrong [`Code::inst`]) is reported by [`KernelBuilder::build`], the rest by the
//! validator, as for every module.
//!
//! ```
//! use phalanx_asm::builder::{F32, KernelBuilder, U32};
//! use phalanx_isa::{Cmp, Special};
//!
//! // y[i] = a * x[i] for every i of the grid
//! let mut k = KernelBuilder::new("scale");
//! let x = k.input::<F32>("x");
//! let y = k.output::<F32>("y");
//! let a = k.scalar::<F32>("a");
//! let n = k.scalar::<U32>("n");
//! k.block([128, 1, 1]).grid([n.size().ceil_div(128), 1.into(), 1.into()]);
//!
//! let i = k.reg::<U32>("i");
//! let v = k.reg::<F32>("v");
//! let inside = k.pred("inside");
//! k.mov(i, Special::GlobalX);
//! k.set(inside, Cmp::Lt, i, n);
//! k.if_(inside, |k| {
//!     k.load(v, x.at(i));
//!     k.mul(v, v, a);
//!     k.store(y.at(i), v);
//! });
//! let module = k.build()?;
//! let text = phalanx_asm::disassemble(&module).unwrap();
//! assert!(text.contains("mul.f32     v, v, a"), "{text}");
//! # Ok::<(), phalanx_asm::builder::BuildError>(())
//! ```
//! Types are checked when the Rust program is compiled:
//! ```compile_fail
//! use phalanx_asm::builder::{F32, KernelBuilder, U32};
//! let mut k = KernelBuilder::new("wrong");
//! let (a, b) = (k.reg::<F32>("a"), k.reg::<U32>("b"));
//! k.add(a, a, b);
//! ```

mod size;
mod typed;

pub use size::Size;
pub use typed::{
    Arg, Bf16, Buf, Cond, Element, F16, F32, F64, Float, FuncRef, I8, I16, I32, I64, Index, IndexElement,
    Int, Label, Packed, Place, Pred, Reg, Scalar, Src, U8, U16, U32, U64,
};

use phalanx_isa::{
    Access, ArgType, Array, Atomic, Base, Cmp, Effect, Expr, Func, Guard, Inst, Kernel, Mnemonic, Module, Op,
    Operand, Order, PackFormat, Param, ParamKind, Reduce, Role, Round, Space, Type, limits, parse_mnemonic,
};

/// What was asked of a builder that it cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel `{kernel}`, function `{func}`, instruction {inst}: {what}")]
pub struct BuildError {
    /// The kernel.
    pub kernel: String,
    /// The function in which it happened; the body has the kernel's name.
    pub func: String,
    /// How many instructions the function had by then.
    pub inst: usize,
    /// What is wrong.
    pub what: String,
}

/// The code of a kernel's body or of a function: registers, labels, instructions.
#[derive(Debug)]
pub struct Code {
    func: Func,
    number: u16,
    /// Where each label is placed.
    places: Vec<Option<u32>>,
    names: Vec<String>,
    guard: Option<Guard>,
    error: Option<BuildError>,
}

/// Builds a kernel. Derefs to the [`Code`] of its body.
#[derive(Debug)]
pub struct KernelBuilder {
    kernel: Kernel,
    body: Code,
    funcs: Vec<Code>,
}

impl std::ops::Deref for KernelBuilder {
    type Target = Code;
    fn deref(&self) -> &Code {
        &self.body
    }
}
impl std::ops::DerefMut for KernelBuilder {
    fn deref_mut(&mut self) -> &mut Code {
        &mut self.body
    }
}

impl KernelBuilder {
    /// An empty kernel.
    pub fn new(name: &str) -> Self {
        let kernel = Kernel { name: name.into(), ..Kernel::default() };
        KernelBuilder { kernel, body: Code::new(name, 0), funcs: Vec::new() }
    }

    fn param(&mut self, name: &str, kind: ParamKind) -> u16 {
        if self.kernel.params.len() >= limits::PARAMS {
            self.body.fail(format!("more than {} parameters", limits::PARAMS));
        }
        self.kernel.params.push(Param { name: name.into(), kind, loc: Default::default() });
        (self.kernel.params.len() - 1) as u16
    }
    fn buffer<T: Element>(&mut self, name: &str, access: Access, count: Option<u32>) -> Buf<T> {
        let kind = ParamKind::Buffer { elem: T::TYPE, access, count };
        Buf::new(Base::Param(self.param(name, kind)))
    }
    /// A buffer that the kernel reads.
    pub fn input<T: Element>(&mut self, name: &str) -> Buf<T> {
        self.buffer(name, Access::In, None)
    }
    /// A buffer that the kernel writes.
    pub fn output<T: Element>(&mut self, name: &str) -> Buf<T> {
        self.buffer(name, Access::Out, None)
    }
    /// A buffer that the kernel reads and writes.
    pub fn inout<T: Element>(&mut self, name: &str) -> Buf<T> {
        self.buffer(name, Access::InOut, None)
    }
    /// An array of `count` buffers, picked with [`Buf::pick`].
    pub fn buffers<T: Element>(&mut self, name: &str, access: Access, count: u32) -> Buf<T> {
        self.buffer(name, access, Some(count))
    }
    /// A number.
    pub fn scalar<T: Element>(&mut self, name: &str) -> Scalar<T> {
        Scalar::new(self.param(name, ParamKind::Scalar(T::TYPE)))
    }
    /// Packed weights of `n` rows by `k` columns.
    pub fn packed(
        &mut self,
        name: &str,
        format: PackFormat,
        n: impl Into<Size>,
        k: impl Into<Size>,
    ) -> Packed {
        let kind = ParamKind::Packed { format, n: n.into().0, k: k.into().0 };
        Packed(self.param(name, kind))
    }
    /// An array of `len` elements that the lanes of a block share; `None`: as many as the launch asks for (the last one only).
    pub fn shared<T: Element>(&mut self, name: &str, len: impl Into<Option<u64>>) -> Buf<T> {
        let len = len.into();
        self.kernel.shared.push(Array { name: name.into(), elem: T::TYPE, len, loc: Default::default() });
        Buf::new(Base::Shared((self.kernel.shared.len() - 1) as u16))
    }
    /// An array of `len` elements for each lane.
    pub fn private<T: Element>(&mut self, name: &str, len: u64) -> Buf<T> {
        let array = Array { name: name.into(), elem: T::TYPE, len: Some(len), loc: Default::default() };
        self.kernel.private.push(array);
        Buf::new(Base::Private((self.kernel.private.len() - 1) as u16))
    }
    /// Declares the block size in lanes: x, y, z.
    pub fn block(&mut self, lanes: [u32; 3]) -> &mut Self {
        self.kernel.block = Some(lanes);
        self
    }
    /// Declares the grid in blocks: x, y, z.
    pub fn grid(&mut self, blocks: [Size; 3]) -> &mut Self {
        self.kernel.grid = Some(blocks.map(|s| -> Expr { s.0 }));
        self
    }
    /// A function with registers of its own; declare its parameters and results with [`Code::parameter`] and
    /// [`Code::result`].
    pub fn function(&mut self, name: &str, code: impl FnOnce(&mut Code)) -> FuncRef {
        let number = self.funcs.len() as u16 + 1;
        if usize::from(number) >= limits::FUNCTIONS {
            self.body.fail(format!("more than {} functions", limits::FUNCTIONS));
        }
        let mut f = Code::new(name, number);
        code(&mut f);
        self.funcs.push(f);
        FuncRef(number)
    }

    /// The kernel alone, to be put into a module with others.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub fn finish(mut self) -> Result<Kernel, BuildError> {
        for code in std::iter::once(self.body).chain(self.funcs) {
            match code.finish(&self.kernel.name) {
                Ok(f) => self.kernel.funcs.push(f),
                Err(e) => return Err(BuildError { kernel: self.kernel.name, ..e }),
            }
        }
        Ok(self.kernel)
    }
    /// A module with this kernel, not yet validated.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub fn build(self) -> Result<Module, BuildError> {
        Ok(Module { source: String::new(), kernels: vec![self.finish()?] })
    }
}

/// Methods of one form for many operations.
macro_rules! operations {
    ($($bound:ident: $form:ident { $($name:ident = $op:ident $doc:literal;)* })*) => {
        impl Code { $($(operations!($bound $form $name $op $doc);)*)* }
    };
    ($bound:ident unary $name:ident $op:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $name<T: $bound>(&mut self, d: Reg<T>, a: impl Into<Src<T>>) {
            self.emit(Op::$op, [0; 3], Some(T::TYPE), None, &[d.into(), a.into().into()]);
        }
    };
    ($bound:ident binary $name:ident $op:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $name<T: $bound>(&mut self, d: Reg<T>, a: impl Into<Src<T>>, b: impl Into<Src<T>>) {
            self.emit(Op::$op, [0; 3], Some(T::TYPE), None, &[d.into(), a.into().into(), b.into().into()]);
        }
    };
    ($bound:ident shift $name:ident $op:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $name<T: $bound>(&mut self, d: Reg<T>, a: impl Into<Src<T>>, n: impl Into<Src<U32>>) {
            self.emit(Op::$op, [0; 3], Some(T::TYPE), None, &[d.into(), a.into().into(), n.into().into()]);
        }
    };
    ($bound:ident ternary $name:ident $op:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $name<T: $bound>(
            &mut self, d: Reg<T>, a: impl Into<Src<T>>, b: impl Into<Src<T>>, c: impl Into<Src<T>>,
        ) {
            let args = [d.into(), a.into().into(), b.into().into(), c.into().into()];
            self.emit(Op::$op, [0; 3], Some(T::TYPE), None, &args);
        }
    };
}

operations! {
    Element: unary { mov = Mov "`d = a`"; abs = Abs "`d = |a|`"; neg = Neg "`d = -a`"; }
    Element: binary {
        add = Add "`d = a + b`"; sub = Sub "`d = a - b`"; mul = Mul "`d = a * b`"; div = Div "`d = a / b`";
        rem = Rem "`d = a % b`"; min = Min "The smaller."; max = Max "The larger.";
    }
    Element: ternary { mad = Mad "`d = a * b + c`, rounded twice."; }
    Float: unary {
        sqrt = Sqrt "Square root."; exp = Exp "e to the a."; exp2 = Exp2 "2 to the a."; log = Log "Natural logarithm.";
        tanh = Tanh "Hyperbolic tangent."; floor = Floor "Round down."; sin = Sin "Sine."; cos = Cos "Cosine.";
    }
    Float: ternary { fma = Fma "`d = a * b + c`, rounded once."; }
    Int: unary { not = Not "All bits flipped."; popc = Popc "Number of one bits."; }
    Int: binary { and = And "Bitwise and."; or = Or "Bitwise or."; xor = Xor "Bitwise exclusive or."; }
    Int: shift { shl = Shl "Shift left."; shr = Shr "Shift right."; }
}

impl Code {
    fn new(name: &str, number: u16) -> Self {
        let func = Func { name: name.into(), ..Func::default() };
        Code { func, number, places: Vec::new(), names: Vec::new(), guard: None, error: None }
    }
    /// Records the first error.
    fn fail(&mut self, what: impl Into<String>) {
        if self.error.is_none() {
            let (func, inst) = (self.func.name.clone(), self.func.code.len());
            self.error = Some(BuildError { kernel: String::new(), func, inst, what: what.into() });
        }
    }

    /// A new register; the name may be empty.
    pub fn reg<T: Element>(&mut self, name: &str) -> Reg<T> {
        if self.func.regs.len() >= limits::REGISTERS {
            self.fail(format!("more than {} registers", limits::REGISTERS));
            return Reg::new(0, self.number);
        }
        self.func.regs.push(Some(phalanx_isa::Reg { ty: T::TYPE, name: name.into() }));
        Reg::new((self.func.regs.len() - 1) as u8, self.number)
    }
    /// A new predicate; the name may be empty.
    pub fn pred(&mut self, name: &str) -> Pred {
        if self.func.preds.len() >= limits::PREDICATES {
            self.fail(format!("more than {} predicates", limits::PREDICATES));
            return Pred::new(0, self.number);
        }
        self.func.preds.push(Some(name.into()));
        Pred::new((self.func.preds.len() - 1) as u8, self.number)
    }
    /// A register that holds an argument of this function.
    pub fn parameter<T: Element>(&mut self, name: &str) -> Reg<T> {
        let r = self.reg(name);
        self.func.params.push(Operand::Reg(r.number()));
        r
    }
    /// A register whose value at `ret` is a result of this function.
    pub fn result<T: Element>(&mut self, name: &str) -> Reg<T> {
        let r = self.reg(name);
        self.func.results.push(Operand::Reg(r.number()));
        r
    }
    /// This function, to call it from itself.
    pub fn this(&self) -> FuncRef {
        FuncRef(self.number)
    }
    /// A label to be placed later; the name may be empty.
    pub fn label(&mut self, name: &str) -> Label {
        self.places.push(None);
        self.names.push(name.into());
        Label { at: self.places.len() - 1, func: self.number }
    }
    /// Places a label before the next instruction.
    pub fn place(&mut self, label: Label) {
        let at = self.func.code.len() as u32;
        match self.places.get_mut(label.at) {
            Some(place @ None) if label.func == self.number => *place = Some(at),
            _ => self.fail("a label is placed twice, or in another function"),
        }
    }

    fn emit(&mut self, op: Op, modes: [u8; 3], ty: Option<Type>, ty2: Option<Type>, args: &[Arg]) {
        let info = op.info();
        if !info.allows(modes, ty, ty2) {
            let m = Mnemonic { op, modes, ty, ty2 };
            return self.fail(format!("there is no `{m}`"));
        }
        if args.len() != info.args.len() {
            return self.fail(format!("`{op}` takes {} operands", info.args.len()));
        }
        for (given, arg) in args.iter().zip(info.args) {
            if given.func.is_some_and(|f| f != self.number) {
                return self.fail(format!("the `{}` of `{op}` belongs to another function", arg.name));
            }
            let wanted = match arg.ty {
                ArgType::T => ty,
                ArgType::S => ty2,
                ArgType::Is(t) => Some(t),
                ArgType::None => None,
            };
            // Members of lists are the validator's.
            if let (Some(given), Some(wanted)) = (given.ty, wanted)
                && given != wanted
                && arg.role != Role::List
            {
                return self.fail(format!("the `{}` of `{op}` is {given} instead of {wanted}", arg.name));
            }
        }
        if self.func.code.len() >= limits::INSTRUCTIONS {
            return self.fail(format!("more than {} instructions", limits::INSTRUCTIONS));
        }
        let args = args.iter().map(|a| a.operand.clone()).collect();
        let guard = self.guard;
        self.func.code.push(Inst { op, modes, ty, ty2, guard, args, loc: Default::default() });
    }

    /// Any instruction, by its mnemonic.
    pub fn inst(&mut self, mnemonic: &str, args: &[Arg]) {
        match parse_mnemonic(mnemonic) {
            Ok(m) => self.emit(m.op, m.modes, m.ty, m.ty2, args),
            Err(_) => self.fail(format!("there is no `{mnemonic}`")),
        }
    }

    /// Instructions that act only where the condition holds: each gets it as its guard.
    pub fn guard(&mut self, cond: impl Into<Cond>, code: impl FnOnce(&mut Self)) {
        let cond = cond.into();
        if self.guard.is_some() || cond.pred.func() != self.number {
            self.fail("guards do not nest, and belong to their function");
        }
        self.guard = Some(Guard { pred: cond.pred.number(), negate: cond.negate });
        code(self);
        self.guard = None;
    }
    /// A branch.
    pub fn bra(&mut self, to: Label) {
        self.emit(Op::Bra, [0; 3], None, None, &[to.into()]);
    }
    /// A branch of the lanes where the condition holds.
    pub fn bra_if(&mut self, cond: impl Into<Cond>, to: Label) {
        self.guard(cond, |k| k.bra(to));
    }
    /// Code for the lanes where the condition holds.
    pub fn if_(&mut self, cond: impl Into<Cond>, then: impl FnOnce(&mut Self)) {
        let end = self.label("");
        self.bra_if(!cond.into(), end);
        then(self);
        self.place(end);
    }
    /// Code for the lanes where the condition holds, and other code for the rest.
    pub fn if_else(
        &mut self,
        cond: impl Into<Cond>,
        then: impl FnOnce(&mut Self),
        otherwise: impl FnOnce(&mut Self),
    ) {
        let (other, end) = (self.label(""), self.label(""));
        self.bra_if(!cond.into(), other);
        then(self);
        self.bra(end);
        self.place(other);
        otherwise(self);
        self.place(end);
    }
    /// A loop: `cond` computes the condition each time around, `body` runs where it holds.
    pub fn while_<C: Into<Cond>>(&mut self, cond: impl FnOnce(&mut Self) -> C, body: impl FnOnce(&mut Self)) {
        let (top, end) = (self.label(""), self.label(""));
        self.place(top);
        let c = cond(self).into();
        self.bra_if(!c, end);
        body(self);
        self.bra(top);
        self.place(end);
    }
    /// Calls a function; each list is as long as the function's.
    pub fn call(&mut self, results: &[Arg], f: FuncRef, args: &[Arg]) {
        let (results, args) = (Arg::list(results), Arg::list(args));
        self.emit(Op::Call, [0; 3], None, None, &[results, f.into(), args]);
    }
    /// Ends the lane.
    pub fn exit(&mut self) {
        self.emit(Op::Exit, [0; 3], None, None, &[]);
    }
    /// Returns from the function.
    pub fn ret(&mut self) {
        self.emit(Op::Ret, [0; 3], None, None, &[]);
    }

    /// `p = a cmp b`
    pub fn set<T: Element>(&mut self, p: Pred, cmp: Cmp, a: impl Into<Src<T>>, b: impl Into<Src<T>>) {
        let modes = [cmp.code() as u8, 0, 0];
        self.emit(Op::Set, modes, Some(T::TYPE), None, &[p.into(), a.into().into(), b.into().into()]);
    }
    /// `d = p ? a : b`
    pub fn select<T: Element>(&mut self, d: Reg<T>, p: Pred, a: impl Into<Src<T>>, b: impl Into<Src<T>>) {
        self.emit(
            Op::Sel,
            [0; 3],
            Some(T::TYPE),
            None,
            &[d.into(), a.into().into(), b.into().into(), p.into()],
        );
    }
    /// Converts a value of another type with one rounding.
    pub fn convert<T: Element, S: Element>(&mut self, d: Reg<T>, round: Round, a: impl Into<Src<S>>) {
        let modes = [round.code() as u8, 0, 0];
        self.emit(Op::Cvt, modes, Some(T::TYPE), Some(S::TYPE), &[d.into(), a.into().into()]);
    }
    /// Loads an element.
    pub fn load<T: Element>(&mut self, d: Reg<T>, from: Place<T>) {
        let modes = [space(from.base()), 0, 0];
        self.emit(Op::Ld, modes, Some(T::TYPE), None, &[d.into(), from.into()]);
    }
    /// Stores an element.
    pub fn store<T: Element>(&mut self, to: Place<T>, a: impl Into<Src<T>>) {
        let modes = [space(to.base()), 0, 0];
        self.emit(Op::St, modes, Some(T::TYPE), None, &[to.into(), a.into().into()]);
    }
    /// Updates an element atomically; `d` gets the value before.
    pub fn atomic<T: Element>(
        &mut self,
        d: Reg<T>,
        op: Atomic,
        order: Order,
        at: Place<T>,
        a: impl Into<Src<T>>,
    ) {
        let modes = [space(at.base()), op.code() as u8, order.code() as u8];
        self.emit(Op::Atom, modes, Some(T::TYPE), None, &[d.into(), at.into(), a.into().into()]);
    }
    /// Number of elements of a buffer or array.
    pub fn len<T: IndexElement, E: Element>(&mut self, d: Reg<T>, of: Buf<E>) {
        self.emit(Op::Len, [0; 3], Some(T::TYPE), None, &[d.into(), of.into()]);
    }
    /// Reduces over the block; every lane gets the result.
    pub fn reduce<T: Element>(&mut self, d: Reg<T>, op: Reduce, a: impl Into<Src<T>>) {
        self.emit(Op::Reduce, [op.code() as u8, 0, 0], Some(T::TYPE), None, &[d.into(), a.into().into()]);
    }
    /// The block's barrier.
    pub fn barrier(&mut self) {
        self.emit(Op::Bar, [phalanx_isa::BarScope::Sync.code() as u8, 0, 0], None, None, &[]);
    }

    /// The function with its branches resolved; control that would reach the end leaves it.
    fn finish(mut self, kernel: &str) -> Result<Func, BuildError> {
        self.guard = None;
        let end = self.func.code.len() as u32;
        let open = self.func.code.last().is_none_or(|i| {
            let info = i.op.info();
            let leaves = info.has(Effect::Exit)
                || info.has(Effect::Return)
                || info.has(Effect::Branch) && !info.has(Effect::Cond);
            i.guard.is_some() || !leaves
        });
        if open || self.places.contains(&Some(end)) {
            if self.number == 0 { self.exit() } else { self.ret() }
        }
        if self.func.name != kernel && self.number == 0 {
            self.fail("the body has the kernel's name");
        }
        let mut wrong = false;
        for operand in self.func.code.iter_mut().flat_map(|i| &mut i.args) {
            if let Operand::Label(n) = operand {
                match self.places.get(*n as usize) {
                    Some(Some(at)) => *n = *at,
                    _ => wrong = true,
                }
            }
        }
        if wrong {
            self.fail("a branch goes to a label that is never placed");
        }
        let named = self.places.iter().zip(&self.names).filter(|(_, name)| !name.is_empty());
        self.func.labels = named.filter_map(|(at, name)| Some(((*at)?, name.clone()))).collect();
        self.func.labels.sort();
        match self.error {
            Some(e) => Err(e),
            None => Ok(self.func),
        }
    }
}

/// The mode of memory operations for what they access.
fn space(base: Base) -> u8 {
    let space = match base {
        Base::Param(_) => Space::Global,
        Base::Shared(_) => Space::Shared,
        Base::Private(_) => Space::Private,
    };
    space.code() as u8
}
