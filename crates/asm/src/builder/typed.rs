//! Handles with types: what instructions are made of.

use super::Size;
use crate::number::Value;
use phalanx_isa::{Base, Expr, Mem, Operand, Special, Type};
use std::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// A type of values: one of the twelve markers [`F32`], [`U32`] and so on.
pub trait Element: sealed::Sealed + Copy + std::fmt::Debug {
    /// The type.
    const TYPE: Type;
}
/// An integer type.
pub trait Int: Element {}
/// A float type.
pub trait Float: Element {}
/// A type that indices may have.
pub trait IndexElement: Int {}

macro_rules! elements {
    ($($name:ident $native:ident $($class:ident)*;)*) => { $(
        #[doc = concat!("Values of type `", stringify!($native), "` (f16 and bf16: numbers of their type).")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Element for $name {
            const TYPE: Type = Type::$name;
        }
        $(impl $class for $name {})*
        impl From<$native> for Src<$name> {
            fn from(v: $native) -> Self {
                Src::new(Operand::Imm(Native::bits(v, Type::$name)))
            }
        }
    )* };
}
elements! {
    I8 i8 Int; I16 i16 Int; I32 i32 Int IndexElement; I64 i64 Int IndexElement;
    U8 u8 Int; U16 u16 Int; U32 u32 Int IndexElement; U64 u64 Int IndexElement;
    F16 f32 Float; Bf16 f32 Float; F32 f32 Float; F64 f64 Float;
}

/// Rust's numbers as immediates.
trait Native {
    fn bits(self, ty: Type) -> u64;
}
macro_rules! native {
    ($($int:ident)*) => { $(impl Native for $int {
        fn bits(self, ty: Type) -> u64 {
            self as u64 & (u64::MAX >> (64 - ty.bits()))
        }
    })* };
}
native! { i8 i16 i32 i64 u8 u16 u32 u64 }
impl Native for f64 {
    fn bits(self, _: Type) -> u64 {
        self.to_bits()
    }
}
impl Native for f32 {
    fn bits(self, ty: Type) -> u64 {
        let infinite = Value::Float(f64::INFINITY.copysign(self.into()));
        match ty {
            Type::F32 => self.to_bits().into(),
            // Rounded to the narrower type, beyond it to infinity (infinity itself is never out of range).
            _ => Value::Float(self.into()).bits(ty).or(infinite.bits(ty)).unwrap_or(0),
        }
    }
}

/// A register of a function.
#[derive(Debug)]
pub struct Reg<T> {
    number: u8,
    func: u16,
    of: PhantomData<T>,
}
/// A scalar parameter.
#[derive(Debug)]
pub struct Scalar<T> {
    number: u16,
    of: PhantomData<T>,
}
/// A buffer parameter, or a shared or private array.
#[derive(Debug)]
pub struct Buf<T> {
    base: Base,
    of: PhantomData<T>,
}

macro_rules! copy {
    ($($name:ident)*) => { $(
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T> Copy for $name<T> {}
    )* };
}
copy! { Reg Scalar Buf }

/// A predicate of a function.
#[derive(Clone, Copy, Debug)]
pub struct Pred {
    number: u8,
    func: u16,
}
/// A predicate or its opposite.
#[derive(Clone, Copy, Debug)]
pub struct Cond {
    pub(crate) pred: Pred,
    pub(crate) negate: bool,
}
/// A branch target of a function.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub(crate) at: usize,
    pub(crate) func: u16,
}
/// A function of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct FuncRef(pub(crate) u16);
/// A parameter with packed weights.
#[derive(Clone, Copy, Debug)]
pub struct Packed(pub(crate) u16);

/// A source operand: register, scalar parameter, special register or number of one type.
#[derive(Clone, Debug)]
pub struct Src<T> {
    operand: Operand,
    func: Option<u16>,
    of: PhantomData<T>,
}
/// An index: a register, scalar parameter or special register of an index type, or a number.
#[derive(Clone, Debug)]
pub struct Index {
    operand: Operand,
    func: Option<u16>,
}
/// A memory element.
#[derive(Clone, Debug)]
pub struct Place<T> {
    mem: Mem,
    func: Option<u16>,
    of: PhantomData<T>,
}
/// Any operand, for [`super::Code::inst`] and lists.
#[derive(Clone, Debug)]
pub struct Arg {
    pub(crate) operand: Operand,
    pub(crate) ty: Option<Type>,
    /// The function to which it belongs.
    pub(crate) func: Option<u16>,
}

impl<T> Reg<T> {
    pub(crate) fn new(number: u8, func: u16) -> Self {
        Reg { number, func, of: PhantomData }
    }
    /// Its number.
    pub fn number(self) -> u8 {
        self.number
    }
}
impl Pred {
    pub(crate) fn new(number: u8, func: u16) -> Self {
        Pred { number, func }
    }
    /// Its number.
    pub fn number(self) -> u8 {
        self.number
    }
    pub(crate) fn func(self) -> u16 {
        self.func
    }
}
impl<T> Scalar<T> {
    pub(crate) fn new(number: u16) -> Self {
        Scalar { number, of: PhantomData }
    }
    /// As part of a launch size (integers only).
    pub fn size(self) -> Size {
        Size(Expr::Param(self.number))
    }
}
impl<T: Element> Buf<T> {
    pub(crate) fn new(base: Base) -> Self {
        Buf { base, of: PhantomData }
    }
    /// The element at an index.
    pub fn at(self, index: impl Into<Index>) -> Place<T> {
        let Index { operand, func } = index.into();
        let mem = Mem { base: self.base, which: None, index: operand, disp: 0 };
        Place { mem, func, of: PhantomData }
    }
    /// The element at an index of one of an array of buffers.
    pub fn pick(self, which: impl Into<Index>, index: impl Into<Index>) -> Place<T> {
        let which = which.into();
        let mut place = self.at(index);
        place.func = place.func.or(which.func);
        place.mem.which = Some(which.operand);
        place
    }
    /// Its number of elements as part of a launch size; `None` for shared and private arrays.
    pub fn size(self) -> Option<Size> {
        match self.base {
            Base::Param(n) => Some(Size(Expr::Len(n))),
            _ => None,
        }
    }
}
impl<T> Place<T> {
    /// The element this many elements further.
    pub fn plus(mut self, disp: i64) -> Self {
        self.mem.disp = self.mem.disp.wrapping_add(disp);
        self
    }
    pub(crate) fn base(&self) -> Base {
        self.mem.base
    }
}
impl<T> Src<T> {
    fn new(operand: Operand) -> Self {
        Src { operand, func: None, of: PhantomData }
    }
}

impl std::ops::Not for Cond {
    type Output = Cond;
    fn not(self) -> Cond {
        Cond { negate: !self.negate, ..self }
    }
}
impl std::ops::Not for Pred {
    type Output = Cond;
    fn not(self) -> Cond {
        Cond { pred: self, negate: true }
    }
}
impl From<Pred> for Cond {
    fn from(pred: Pred) -> Cond {
        Cond { pred, negate: false }
    }
}

impl<T: Element> From<Reg<T>> for Src<T> {
    fn from(r: Reg<T>) -> Self {
        Src { func: Some(r.func), ..Src::new(Operand::Reg(r.number)) }
    }
}
impl<T: Element> From<Scalar<T>> for Src<T> {
    fn from(s: Scalar<T>) -> Self {
        Src::new(Operand::Param(s.number))
    }
}
impl<T: IndexElement> From<Special> for Src<T> {
    fn from(s: Special) -> Self {
        Src::new(Operand::Special(s))
    }
}
impl<T: IndexElement> From<Reg<T>> for Index {
    fn from(r: Reg<T>) -> Self {
        Index { operand: Operand::Reg(r.number), func: Some(r.func) }
    }
}
impl<T: IndexElement> From<Scalar<T>> for Index {
    fn from(s: Scalar<T>) -> Self {
        Index { operand: Operand::Param(s.number), func: None }
    }
}
impl From<Special> for Index {
    fn from(s: Special) -> Self {
        Index { operand: Operand::Special(s), func: None }
    }
}
impl From<u64> for Index {
    fn from(n: u64) -> Self {
        Index { operand: Operand::Imm(n), func: None }
    }
}

impl Arg {
    fn untyped(operand: Operand) -> Arg {
        Arg { operand, ty: None, func: None }
    }
    /// A list operand.
    pub fn list(items: &[Arg]) -> Arg {
        // The first member of a function stands for all; the validator sees each.
        let func = items.iter().find_map(|a| a.func);
        Arg { func, ..Arg::untyped(Operand::List(items.iter().map(|a| a.operand.clone()).collect())) }
    }
}
impl<T: Element> From<Reg<T>> for Arg {
    fn from(r: Reg<T>) -> Arg {
        Arg { operand: Operand::Reg(r.number), ty: Some(T::TYPE), func: Some(r.func) }
    }
}
impl<T: Element> From<Src<T>> for Arg {
    fn from(s: Src<T>) -> Arg {
        Arg { operand: s.operand, ty: Some(T::TYPE), func: s.func }
    }
}
impl From<Pred> for Arg {
    fn from(p: Pred) -> Arg {
        Arg { operand: Operand::Pred(p.number), ty: Some(Type::Pred), func: Some(p.func) }
    }
}
impl<T: Element> From<Scalar<T>> for Arg {
    fn from(s: Scalar<T>) -> Arg {
        Arg { ty: Some(T::TYPE), ..Arg::untyped(Operand::Param(s.number)) }
    }
}
impl<T: Element> From<Place<T>> for Arg {
    fn from(p: Place<T>) -> Arg {
        Arg { operand: Operand::Mem(Box::new(p.mem)), ty: Some(T::TYPE), func: p.func }
    }
}
impl<T: Element> From<Buf<T>> for Arg {
    fn from(b: Buf<T>) -> Arg {
        Arg::untyped(Operand::Object(b.base))
    }
}
impl From<Packed> for Arg {
    fn from(p: Packed) -> Arg {
        Arg::untyped(Operand::Object(Base::Param(p.0)))
    }
}
impl From<Special> for Arg {
    fn from(s: Special) -> Arg {
        Arg::untyped(Operand::Special(s))
    }
}
impl From<Label> for Arg {
    fn from(l: Label) -> Arg {
        Arg { func: Some(l.func), ..Arg::untyped(Operand::Label(l.at as u32)) }
    }
}
impl From<FuncRef> for Arg {
    fn from(f: FuncRef) -> Arg {
        Arg::untyped(Operand::Func(f.0))
    }
}
