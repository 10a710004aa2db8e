//! Modules from strangers: whatever is in them, the validator answers, and soon.

use phalanx_asm::assemble;
use phalanx_isa::*;
use phalanx_verify::verify;

const TEXT: &str = "
kernel k(in x: f32[], inout y: f32[], in xs: u32[][4], inout z: u32[], n: u32, in w: packed[t2, n, n * 2])
    block 8, 4 grid ceil(n, 256), len(x)
{
    let i, m: u32; let v: f32; let far: u64; let p: pred
    shared part: f32[8]
    private tmp: u16[4]
    shared dyn: u32[]
    mov.u32     i, %global.x
    set.ge.u32  p, i, n
@p  exit
again:
    ld.f32      v, x[i + 2]
    ld.u32      m, xs[n][i]
    st.shared.f32 part[%lane.y], v
    bar.sync
    reduce.add.f32 v, v
    sreduce.max.u32 m, m
    call        (v, m), both, (v, i)
    atom.add.relaxed.u32 i, z[0], 1
    fold.add.u32 i, (i, m, 3)
    cvt.sat.u64.u32 far, m
    st.f32      y[far - 4], v
@!p bra         again
    loop.u32    m, again
    set.lt.u32  p, %lane.x, 2
@p  bra         done
    sel.f32     v, v, 1.5, p
    st.f32      y[0], v
done:
    exit
    func both(a: f32, b: u32) -> (c: f32, d: u32) {
        let q: pred
        mov.f32 c, a
        set.eq.u32 q, b, 0
        mov.u32 d, b
    @q  ret
        sub.u32 b, b, 1
        call    (c, d), both, (c, b)
        ret
    }
}
kernel other(out y: u32[]) {
    st.u32      y[%global.linear], 7
    exit
}
";

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 31
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
    /// Small numbers, limits, and anything.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 | 1 => self.next() % 8,
            2 => 1 << self.below(64),
            _ => u64::MAX - self.next() % 3,
        }
    }
    fn base(&mut self) -> Base {
        let n = self.number() as u16;
        [Base::Param(n), Base::Shared(n), Base::Private(n)][self.below(3)]
    }
    fn operand(&mut self, depth: u32) -> Operand {
        let n = self.number();
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Operand::Reg(n as u8),
            1 => Operand::Pred(n as u8),
            2 => Operand::Imm(n),
            3 => Operand::Special(self.pick(Special::ALL)),
            4 => Operand::Param(n as u16),
            5 => Operand::Object(self.base()),
            6 => Operand::Label(n as u32),
            7 => Operand::Func(n as u16),
            8 => Operand::Mem(Box::new(Mem {
                base: self.base(),
                which: n.is_multiple_of(2).then(|| self.operand(depth - 1)),
                index: self.operand(depth - 1),
                disp: n as i64,
            })),
            _ => Operand::List((0..self.below(40)).map(|_| self.operand(depth - 1)).collect()),
        }
    }
    fn ty(&mut self) -> Option<Type> {
        let all: Vec<Option<Type>> = Type::ALL.iter().copied().map(Some).chain([None]).collect();
        self.pick(&all)
    }
    fn expr(&mut self, depth: u32) -> Expr {
        match self.below(if depth == 0 { 3 } else { 5 }) {
            0 => Expr::Const(self.number()),
            1 => Expr::Param(self.number() as u16),
            2 => Expr::Len(self.number() as u16),
            _ => {
                let (a, b) = (self.expr(depth - 1), self.expr(depth - 1));
                Expr::Bin(self.pick(&ExprOp::ALL), Box::new(a), Box::new(b))
            }
        }
    }
    fn inst(&mut self, inst: &mut Inst) {
        let at = self.below(inst.args.len());
        match self.below(9) {
            0 => inst.op = self.pick(Op::ALL),
            1 => inst.modes[self.below(3)] = self.number() as u8,
            2 => inst.ty = self.ty(),
            3 => inst.ty2 = self.ty(),
            4 => inst.guard = Some(Guard { pred: self.number() as u8, negate: self.below(2) == 0 }),
            5 => inst.guard = None,
            6 if !inst.args.is_empty() => {
                inst.args.remove(at);
            }
            7 => inst.args.push(self.operand(3)),
            _ if !inst.args.is_empty() => inst.args[at] = self.operand(3),
            _ => {}
        }
    }
    fn func(&mut self, func: &mut Func) {
        match self.below(12) {
            0 => func.regs.truncate(self.below(6)),
            1 => func.preds.push(Some(String::new())),
            2 => func.params.push(self.operand(1)),
            3 => func.results.push(self.operand(1)),
            4 => func.labels.push((self.number() as u32, "again".into())),
            5 => func.code.truncate(self.below(func.code.len() + 1)),
            6 if !func.code.is_empty() => {
                let at = self.below(func.code.len());
                let copy = self.pick(&func.code);
                func.code.insert(at, copy);
            }
            7 => {
                if let (Some(ty), at) = (self.ty(), self.below(func.regs.len())) {
                    func.regs.get_mut(at).into_iter().flatten().for_each(|r| r.ty = ty);
                }
            }
            _ if !func.code.is_empty() => {
                let at = self.below(func.code.len());
                let mut inst = func.code[at].clone();
                self.inst(&mut inst);
                func.code[at] = inst;
            }
            _ => {}
        }
    }
    fn module(&mut self, m: &mut Module) {
        let at = self.below(m.kernels.len());
        let Some(k) = m.kernels.get_mut(at) else { return };
        let ty = self.ty().unwrap_or(Type::U8);
        match self.below(12) {
            0 => k.block = Some([self.number() as u32, self.number() as u32, 1]),
            1 => k.grid = Some([self.expr(18), self.expr(2), self.expr(2)]),
            2 => {
                let kind =
                    ParamKind::Buffer { elem: ty, access: Access::Out, count: Some(self.number() as u32) };
                let at = self.below(k.params.len());
                k.params[at].kind = self.pick(&[ParamKind::Scalar(ty), kind]);
            }
            3 => {
                let array =
                    Array { name: "part".into(), elem: ty, len: Some(self.number()), loc: Loc::default() };
                if self.below(2) == 0 { k.shared.insert(0, array) } else { k.private.push(array) }
            }
            4 => k.funcs.truncate(self.below(3)),
            5 => k.name = "\u{0}\u{7f}é".into(),
            _ if !k.funcs.is_empty() => {
                let at = self.below(k.funcs.len());
                self.func(&mut k.funcs[at]);
            }
            _ => {}
        }
    }
}

fn original() -> Module {
    let module = assemble("hostile.phx", TEXT).unwrap().module;
    if let Err(r) = verify(module.clone()) {
        panic!("{:?}", r.errors);
    }
    module
}

#[test]
fn broken_modules_are_answered() {
    let original = original();
    let mut r = Random(7);
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..8_000 {
        let mut m = original.clone();
        for _ in 0..1 + r.below(3) {
            r.module(&mut m);
        }
        match verify(m) {
            Ok(v) => accepted += usize::from(!v.kernels.is_empty()),
            Err(e) => {
                assert!(!e.errors.is_empty() && !e.to_string().is_empty());
                rejected += 1;
            }
        }
    }
    assert!(accepted > 400 && rejected > 2000, "{accepted} accepted, {rejected} rejected");
}

#[test]
fn broken_bytes_are_answered() {
    let bytes = encode(&original());
    let mut r = Random(11);
    let (mut decoded, mut accepted) = (0, 0);
    for _ in 0..20_000 {
        let mut b = bytes.clone();
        for _ in 0..1 + r.below(2) {
            let at = r.below(b.len());
            b[at] = if r.below(2) == 0 { b[at].wrapping_add(1) } else { r.next() as u8 };
        }
        if let Ok(m) = decode(&b) {
            decoded += 1;
            accepted += usize::from(verify(m).is_ok());
        }
    }
    assert!(decoded > 1000 && accepted > 500, "{decoded} decoded, {accepted} accepted");
}

/// A function of the largest size, its instructions made by `each`.
fn largest(each: impl Fn(u32, u32) -> Inst) -> Module {
    let n = limits::INSTRUCTIONS as u32;
    let plain = |op: Op, ty: Option<Type>, args: Vec<Operand>| Inst {
        op,
        modes: [0; 3],
        ty,
        ty2: None,
        guard: None,
        args,
        loc: Loc::default(),
    };
    // All registers and predicates are written first.
    let mut code: Vec<Inst> = (0..=255)
        .map(|r| plain(Op::Mov, Some(Type::U32), vec![Operand::Reg(r), Operand::Special(Special::LaneX)]))
        .collect();
    for p in 0..16 {
        let args = vec![Operand::Pred(p), Operand::Reg(p), Operand::Imm(4)];
        code.push(plain(Op::Set, Some(Type::U32), args));
    }
    let first = code.len() as u32;
    code.extend((first..n - 1).map(|i| each(i, first)));
    code.push(plain(Op::Exit, None, vec![]));
    let body = Func {
        name: "k".into(),
        regs: (0..256).map(|_| Some(Reg { ty: Type::U32, name: String::new() })).collect(),
        preds: (0..16).map(|_| Some(String::new())).collect(),
        code,
        ..Default::default()
    };
    let kernel =
        Kernel { name: "k".into(), block: Some([64, 1, 1]), funcs: vec![body], ..Default::default() };
    Module { source: String::new(), kernels: vec![kernel] }
}

/// Shapes that make simple algorithms take quadratic time; the test's own duration is the check.
#[test]
fn the_largest_functions_are_answered() {
    let n = limits::INSTRUCTIONS as u32;
    let bra = |i: u32, to: u32| Inst {
        op: Op::Bra,
        modes: [0; 3],
        ty: None,
        ty2: None,
        guard: Some(Guard { pred: (i % 16) as u8, negate: i.is_multiple_of(3) }),
        args: vec![Operand::Label(to)],
        loc: Loc::default(),
    };
    let step = move |i: u32| Inst {
        op: Op::Add,
        ty: Some(Type::U32),
        guard: None,
        args: vec![Operand::Reg(i as u8), Operand::Reg((i + 1) as u8), Operand::Reg((i * 7) as u8)],
        ..bra(i, 0)
    };
    let compare = move |i: u32| Inst {
        op: Op::Set,
        ty: Some(Type::U32),
        guard: Some(Guard { pred: (i % 15) as u8, negate: false }),
        args: vec![Operand::Pred((i % 16) as u8), Operand::Reg(i as u8), Operand::Imm(3)],
        ..bra(i, 0)
    };
    let barrier = move |i: u32| Inst { op: Op::Bar, guard: None, args: vec![], ..bra(i, 0) };
    let mix = |i: u32| u32::wrapping_mul(i, 2654435761) >> 7;
    type Shape = (&'static str, Box<dyn Fn(u32, u32) -> Inst>);
    let shapes: [Shape; 7] = [
        ("one step back", Box::new(move |i, first| bra(i, first.max(i - 1)))),
        ("far ahead", Box::new(move |i, _| bra(i, n - 1))),
        ("all back to the start", Box::new(bra)),
        ("nested loops", Box::new(move |i, first| bra(i, (n - i).clamp(first, n - 1)))),
        ("anywhere", Box::new(move |i, first| bra(i, first + mix(i) % (n - first)))),
        (
            "anywhere, with work",
            Box::new(move |i, first| match i % 4 {
                0 => bra(i, first + mix(i) % (n - first)),
                1 => compare(i),
                2 => barrier(i),
                _ => step(i),
            }),
        ),
        ("straight", Box::new(move |i, _| step(n - i))),
    ];
    for (shape, each) in shapes {
        let m = largest(each);
        if let Err(r) = verify(m) {
            // Only the budget may refuse them, and barriers that some lanes miss.
            assert!(
                r.errors.iter().all(|e| ["E0235", "E0225"].contains(&e.code)),
                "{shape}: {:?}",
                r.errors.first()
            );
        }
    }
}
