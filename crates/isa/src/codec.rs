//! The binary form `.phxb`: canonical (one program, one byte string), versioned, with source lines.
//!
//! Numbers are unsigned LEB128 in their shortest form, signed ones zigzag first; strings are a length and UTF-8. Decoding
//! refuses anything that encoding would not have written, so `encode(decode(b)) == b` for every accepted `b`.

use crate::generated::{NATIVE_REVISION, Op, PackFormat, Special, Type, limits};
use crate::module::*;
use crate::table::{Kind, OpInfo};
use alloc::{boxed::Box, string::String, vec::Vec};

/// The first four bytes of a module.
pub const MAGIC: [u8; 4] = *b"PHXB";
/// Version of the form.
pub const FORMAT_VERSION: u64 = 1;

/// Why bytes are no module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset of the byte at fault.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "byte {}: {}", self.at, self.what)
    }
}
impl core::error::Error for DecodeError {}

type Res<T> = Result<T, DecodeError>;

struct Writer(Vec<u8>);

impl Writer {
    fn num(&mut self, mut v: u64) {
        loop {
            let low = (v & 0x7f) as u8;
            v >>= 7;
            if v == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }
    fn signed(&mut self, v: i64) {
        self.num(((v << 1) ^ (v >> 63)) as u64);
    }
    fn text(&mut self, s: &str) {
        self.num(s.len() as u64);
        self.0.extend_from_slice(s.as_bytes());
    }
    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.num(items.len() as u64);
        items.iter().for_each(|i| each(self, i));
    }
    fn option<T>(&mut self, item: Option<&T>, each: impl FnOnce(&mut Self, &T)) {
        self.num(u64::from(item.is_some()));
        if let Some(i) = item {
            each(self, i);
        }
    }
    fn loc(&mut self, l: Loc) {
        self.num(l.line.into());
        self.num(l.col.into());
    }
    fn expr(&mut self, e: &Expr) {
        match e {
            Expr::Const(c) => {
                self.num(0);
                self.num(*c);
            }
            Expr::Param(p) => {
                self.num(1);
                self.num((*p).into());
            }
            Expr::Len(p) => {
                self.num(2);
                self.num((*p).into());
            }
            Expr::Bin(op, a, b) => {
                self.num(3 + *op as u64);
                self.expr(a);
                self.expr(b);
            }
        }
    }
    fn base(&mut self, b: Base) {
        let (tag, n) = match b {
            Base::Param(n) => (0, n),
            Base::Shared(n) => (1, n),
            Base::Private(n) => (2, n),
        };
        self.num(tag);
        self.num(n.into());
    }
    fn operand(&mut self, o: &Operand) {
        let mut tagged = |tag: u64, v: u64| {
            self.num(tag);
            self.num(v);
        };
        match o {
            Operand::Reg(r) => tagged(0, (*r).into()),
            Operand::Pred(p) => tagged(1, (*p).into()),
            Operand::Imm(bits) => tagged(2, *bits),
            Operand::Special(s) => tagged(3, s.code().into()),
            Operand::Param(p) => tagged(4, (*p).into()),
            Operand::Label(l) => tagged(5, (*l).into()),
            Operand::Func(f) => tagged(6, (*f).into()),
            Operand::Object(b) => {
                self.num(7);
                self.base(*b);
            }
            Operand::Mem(m) => {
                self.num(8);
                self.base(m.base);
                self.option(m.which.as_ref(), Self::operand);
                self.operand(&m.index);
                self.signed(m.disp);
            }
            Operand::List(items) => {
                self.num(9);
                self.list(items, Self::operand);
            }
        }
    }
    fn inst(&mut self, i: &Inst) {
        let info = i.op.info();
        self.num(i.op.code().into());
        // Guard: 0 none, else 1 + 2 * predicate + negate.
        self.num(i.guard.map_or(0, |g| 1 + 2 * u64::from(g.pred) + u64::from(g.negate)));
        for slot in 0..info.modes.len() {
            self.num(i.modes[slot].into());
        }
        for (written, ty) in [(info.typed, i.ty), (info.typed2, i.ty2)] {
            if written {
                // 13 and above are no types: an invalid module encodes too, and decoding refuses it.
                self.num(ty.map_or(15, |t| t.code().into()));
            }
        }
        for o in &i.args {
            self.operand(o);
        }
        self.loc(i.loc);
    }
    fn func(&mut self, f: &Func) {
        self.text(&f.name);
        self.loc(f.loc);
        self.list(&f.regs, |w, r| {
            w.option(r.as_ref(), |w, r| {
                w.num(r.ty.code().into());
                w.text(&r.name);
            })
        });
        self.list(&f.preds, |w, p| w.option(p.as_ref(), |w, p| w.text(p)));
        self.list(&f.params, Self::operand);
        self.list(&f.results, Self::operand);
        self.list(&f.code, Self::inst);
        self.list(&f.labels, |w, (at, name)| {
            w.num((*at).into());
            w.text(name);
        });
    }
    fn array(&mut self, a: &Array) {
        self.text(&a.name);
        self.num(a.elem.code().into());
        self.option(a.len.as_ref(), |w, n| w.num(*n));
        self.loc(a.loc);
    }
    fn param(&mut self, p: &Param) {
        self.text(&p.name);
        match &p.kind {
            ParamKind::Scalar(t) => {
                self.num(0);
                self.num(t.code().into());
            }
            ParamKind::Buffer { elem, access, count } => {
                self.num(1 + *access as u64);
                self.num(elem.code().into());
                self.option(count.as_ref(), |w, n| w.num((*n).into()));
            }
            ParamKind::Packed { format, n, k } => {
                self.num(4 + u64::from(format.code()));
                self.expr(n);
                self.expr(k);
            }
        }
        self.loc(p.loc);
    }
    fn kernel(&mut self, k: &Kernel) {
        self.text(&k.name);
        self.loc(k.loc);
        self.list(&k.params, Self::param);
        self.list(&k.shared, Self::array);
        self.list(&k.private, Self::array);
        self.option(k.block.as_ref(), |w, b| b.iter().for_each(|n| w.num((*n).into())));
        self.option(k.grid.as_ref(), |w, g| g.iter().for_each(|e| w.expr(e)));
        self.list(&k.funcs, Self::func);
    }
}

/// Whether any instruction is a native opcode, whose rows may still change.
fn uses_native(m: &Module) -> bool {
    let mut insts = m.kernels.iter().flat_map(|k| &k.funcs).flat_map(|f| &f.code);
    insts.any(|i| i.op.info().kind == Kind::Native)
}

/// The module's bytes: the same for the same module, always.
pub fn encode(m: &Module) -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.num(FORMAT_VERSION);
    w.num(if uses_native(m) { NATIVE_REVISION.into() } else { 0 });
    w.text(&m.source);
    w.list(&m.kernels, Writer::kernel);
    w.0
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn err<T>(&self, what: &'static str) -> Res<T> {
        Err(DecodeError { at: self.at, what })
    }
    fn byte(&mut self) -> Res<u8> {
        let Some(b) = self.bytes.get(self.at) else { return self.err("the module ends too early") };
        self.at += 1;
        Ok(*b)
    }
    fn num(&mut self) -> Res<u64> {
        let mut v = 0u64;
        for shift in (0..).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b > 1 {
                return self.err("a number does not fit 64 bits");
            }
            v |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                if b == 0 && shift > 0 {
                    return self.err("a number is not in its shortest form");
                }
                break;
            }
        }
        Ok(v)
    }
    fn below(&mut self, limit: u64, what: &'static str) -> Res<u64> {
        let v = self.num()?;
        if v < limit { Ok(v) } else { self.err(what) }
    }
    fn small(&mut self, what: &'static str) -> Res<u16> {
        Ok(self.below(1 << 16, what)? as u16)
    }
    fn signed(&mut self) -> Res<i64> {
        let v = self.num()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }
    fn text(&mut self) -> Res<String> {
        let n = self.below(limits::NAME_BYTES as u64 * 8, "a name is too long")? as usize;
        let Some(raw) = self.bytes.get(self.at..self.at + n) else {
            return self.err("the module ends too early");
        };
        let Ok(s) = core::str::from_utf8(raw) else { return self.err("a name is not UTF-8") };
        self.at += n;
        Ok(s.into())
    }
    fn list<T>(&mut self, limit: usize, mut each: impl FnMut(&mut Self) -> Res<T>) -> Res<Vec<T>> {
        let n = self.below(limit as u64 + 1, "a list is longer than its limit")? as usize;
        // Every item takes at least a byte, so a short input cannot ask for a large allocation.
        if n > self.bytes.len() - self.at {
            return self.err("the module ends too early");
        }
        (0..n).map(|_| each(self)).collect()
    }
    fn option<T>(&mut self, each: impl FnOnce(&mut Self) -> Res<T>) -> Res<Option<T>> {
        match self.below(2, "a flag is neither 0 nor 1")? {
            0 => Ok(None),
            _ => each(self).map(Some),
        }
    }
    fn u32(&mut self) -> Res<u32> {
        Ok(self.below(1 << 32, "a number does not fit 32 bits")? as u32)
    }
    fn loc(&mut self) -> Res<Loc> {
        Ok(Loc { line: self.u32()?, col: self.u32()? })
    }
    fn ty(&mut self) -> Res<Type> {
        let code = self.small("unknown type")?;
        match Type::from_code(code) {
            Some(t) => Ok(t),
            None => self.err("unknown type"),
        }
    }
    fn expr(&mut self, depth: u32) -> Res<Expr> {
        if depth > 16 {
            return self.err("an expression nests too deep");
        }
        Ok(match self.below(3 + ExprOp::ALL.len() as u64, "unknown expression")? {
            0 => Expr::Const(self.num()?),
            1 => Expr::Param(self.small("parameter number")?),
            2 => Expr::Len(self.small("parameter number")?),
            op => {
                let a = self.expr(depth + 1)?;
                let b = self.expr(depth + 1)?;
                Expr::Bin(ExprOp::ALL[op as usize - 3], Box::new(a), Box::new(b))
            }
        })
    }
    fn base(&mut self) -> Res<Base> {
        let tag = self.below(3, "unknown memory kind")?;
        let n = self.small("array number")?;
        Ok(match tag {
            0 => Base::Param(n),
            1 => Base::Shared(n),
            _ => Base::Private(n),
        })
    }
    fn operand(&mut self, depth: u32) -> Res<Operand> {
        if depth > 3 {
            return self.err("an operand nests too deep");
        }
        Ok(match self.below(10, "unknown operand kind")? {
            0 => Operand::Reg(self.below(256, "register number")? as u8),
            1 => Operand::Pred(self.below(256, "predicate number")? as u8),
            2 => Operand::Imm(self.num()?),
            3 => {
                let code = self.small("unknown special register")?;
                match Special::from_code(code) {
                    Some(s) => Operand::Special(s),
                    None => return self.err("unknown special register"),
                }
            }
            4 => Operand::Param(self.small("parameter number")?),
            5 => Operand::Label(self.u32()?),
            6 => Operand::Func(self.small("function number")?),
            7 => Operand::Object(self.base()?),
            8 => Operand::Mem(Box::new(Mem {
                base: self.base()?,
                which: self.option(|r| r.operand(depth + 1))?,
                index: self.operand(depth + 1)?,
                disp: self.signed()?,
            })),
            _ => Operand::List(self.list(limits::LIST, |r| r.operand(depth + 1))?),
        })
    }
    fn inst(&mut self) -> Res<Inst> {
        let code = self.small("unknown operation")?;
        let Some(op) = Op::from_code(code) else { return self.err("unknown operation") };
        let info: &OpInfo = op.info();
        let guard = match self.below(1 + 2 * 256, "guard")? {
            0 => None,
            g => Some(Guard { pred: ((g - 1) / 2) as u8, negate: (g - 1) % 2 == 1 }),
        };
        let mut modes = [0u8; 3];
        for (slot, set) in info.modes.iter().enumerate() {
            modes[slot] = self.below(set.words.len() as u64, "unknown mode")? as u8;
        }
        let ty = if info.typed { Some(self.ty()?) } else { info.implied_type() };
        let ty2 = if info.typed2 { Some(self.ty()?) } else { None };
        let args = info.args.iter().map(|_| self.operand(0)).collect::<Res<Vec<_>>>()?;
        Ok(Inst { op, modes, ty, ty2, guard, args, loc: self.loc()? })
    }
    fn func(&mut self) -> Res<Func> {
        Ok(Func {
            name: self.text()?,
            loc: self.loc()?,
            regs: self.list(limits::REGISTERS, |r| r.option(|r| Ok(Reg { ty: r.ty()?, name: r.text()? })))?,
            preds: self.list(limits::PREDICATES, |r| r.option(Self::text))?,
            params: self.list(limits::LIST, |r| r.operand(0))?,
            results: self.list(limits::LIST, |r| r.operand(0))?,
            code: self.list(limits::INSTRUCTIONS, Self::inst)?,
            labels: self.list(limits::INSTRUCTIONS, |r| Ok((r.u32()?, r.text()?)))?,
        })
    }
    fn array(&mut self) -> Res<Array> {
        Ok(Array { name: self.text()?, elem: self.ty()?, len: self.option(Self::num)?, loc: self.loc()? })
    }
    fn param(&mut self) -> Res<Param> {
        let name = self.text()?;
        let kind = match self.below(4 + PackFormat::ALL.len() as u64, "unknown parameter kind")? {
            0 => ParamKind::Scalar(self.ty()?),
            packed @ 4.. => {
                let Some(format) = PackFormat::from_code(packed as u16 - 4) else {
                    return self.err("unknown packed format");
                };
                ParamKind::Packed { format, n: self.expr(0)?, k: self.expr(0)? }
            }
            access => ParamKind::Buffer {
                access: [Access::In, Access::Out, Access::InOut][access as usize - 1],
                elem: self.ty()?,
                count: self.option(Self::u32)?,
            },
        };
        Ok(Param { name, kind, loc: self.loc()? })
    }
    fn kernel(&mut self) -> Res<Kernel> {
        Ok(Kernel {
            name: self.text()?,
            loc: self.loc()?,
            params: self.list(limits::PARAMS, Self::param)?,
            shared: self.list(limits::ARRAYS, Self::array)?,
            private: self.list(limits::ARRAYS, Self::array)?,
            block: self.option(|r| Ok([r.u32()?, r.u32()?, r.u32()?]))?,
            grid: self.option(|r| Ok([r.expr(0)?, r.expr(0)?, r.expr(0)?]))?,
            funcs: self.list(limits::FUNCTIONS, Self::func)?,
        })
    }
}

/// Reads a module's bytes.
///
/// # Errors
/// The offset and what is wrong: bytes that [`encode`] would not have written, another version, or native opcodes of
/// another revision.
pub fn decode(bytes: &[u8]) -> Result<Module, DecodeError> {
    let mut r = Reader { bytes, at: 0 };
    if bytes.get(..4) != Some(&MAGIC) {
        return r.err("not a Phalanx module (it does not begin with PHXB)");
    }
    r.at = 4;
    if r.num()? != FORMAT_VERSION {
        return r.err("another format version: assemble the source again with this release");
    }
    let revision = r.num()?;
    let module = Module { source: r.text()?, kernels: r.list(limits::KERNELS, Reader::kernel)? };
    if r.at != bytes.len() {
        return r.err("bytes after the end of the module");
    }
    let expected = if uses_native(&module) { u64::from(NATIVE_REVISION) } else { 0 };
    if revision != expected {
        return r.err("native opcodes of another revision: assemble the source again with this release");
    }
    Ok(module)
}
