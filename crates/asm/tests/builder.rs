//! Kernels built from Rust are the modules that text gives, and wrong uses are errors.
use phalanx_asm::assemble;
use phalanx_asm::builder::{
    Arg, Bf16, BuildError, F16, F32, I32, KernelBuilder, Label, Size, Src, U8, U16, U32, U64,
};
use phalanx_isa::{
    Access, Atomic, Cmp, Func, Kernel, Loc, Module, Operand, Order, PackFormat, Reduce, Round, Special,
};

/// A module without places, which building does not give.
fn bare(mut m: Module) -> Module {
    m.source.clear();
    let clear = |f: &mut Func| {
        f.loc = Loc::default();
        f.code.iter_mut().for_each(|i| i.loc = Loc::default());
    };
    for k in &mut m.kernels {
        let Kernel { loc, params, shared, private, funcs, .. } = k;
        *loc = Loc::default();
        params.iter_mut().for_each(|p| p.loc = Loc::default());
        shared.iter_mut().chain(private).for_each(|a| a.loc = Loc::default());
        funcs.iter_mut().for_each(clear);
    }
    m
}

#[test]
fn built_is_as_written() {
    let text = "
kernel all(in x: f32[], out y: f32[], inout h: u32[], in xs: f32[][3], n: u32, in w: packed[t2, n, n * 2])
        block 64, 2 grid ceil(n, 64), min(len(x) + 1, 7)
{
    let i: u32; let j: i32; let v, s: f32; let k: u64
    let inside, more: pred
    shared part: f32[64]
    private tmp: u16[4]
    mov.u32     i, %global.x
    set.lt.u32  inside, i, n
@!inside bra    .end
    ld.f32      v, x[i + 4]
    ld.f32      v, xs[2][%lane.x]
    fma.f32     s, v, 0.5, s
    st.shared.f32 part[i], s
    st.private.u16 tmp[3], 7
    bar.sync
.top:
    set.ne.f32  more, s, 0
@!more bra      .done
    sub.f32     s, s, 1
@more add.i32   j, j, -1
    bra         .top
.done:
    call        (v), twice, (v)
    cvt.rn.f32.u32 v, i
    atom.add.relaxed.u32 i, h[0], 1
    len.u64     k, y
    reduce.max.f32 v, v
    shl.u32     i, i, 3
    sel.f32     v, v, s, inside
again:
    bra         again
.end:
    exit
    func twice(a: f32) -> (b: f32) {
        add.f32     b, a, a
        ret
    }
}";
    let mut k = KernelBuilder::new("all");
    let x = k.input::<F32>("x");
    let y = k.output::<F32>("y");
    let h = k.inout::<U32>("h");
    let xs = k.buffers::<F32>("xs", Access::In, 3);
    let n = k.scalar::<U32>("n");
    k.packed("w", PackFormat::T2, n.size(), n.size() * 2);
    let columns = (x.size().unwrap() + 1).min(7);
    k.block([64, 2, 1]).grid([n.size().ceil_div(64), columns, Size::from(1)]);
    let twice = k.function("twice", |f| {
        let a = f.parameter::<F32>("a");
        let b = f.result::<F32>("b");
        f.add(b, a, a);
    });
    let part = k.shared::<F32>("part", 64);
    let tmp = k.private::<U16>("tmp", 4);
    let (i, j) = (k.reg::<U32>("i"), k.reg::<I32>("j"));
    let (v, s) = (k.reg::<F32>("v"), k.reg::<F32>("s"));
    let len = k.reg::<U64>("k");
    let (inside, more) = (k.pred("inside"), k.pred("more"));
    k.mov(i, Special::GlobalX);
    k.set(inside, Cmp::Lt, i, n);
    k.if_(inside, |k| {
        k.load(v, x.at(i).plus(4));
        k.load(v, xs.pick(2, Special::LaneX));
        k.fma(s, v, 0.5, s);
        k.store(part.at(i), s);
        k.store(tmp.at(3), 7);
        k.barrier();
        k.while_(
            |k| {
                k.set(more, Cmp::Ne, s, 0.0);
                more
            },
            |k| {
                k.sub(s, s, 1.0);
                k.guard(more, |k| k.add(j, j, -1));
            },
        );
        k.call(&[v.into()], twice, &[v.into()]);
        k.convert(v, Round::Rn, i);
        k.atomic(i, Atomic::Add, Order::Relaxed, h.at(0), 1);
        k.len(len, y);
        k.reduce(v, Reduce::Max, v);
        k.shl(i, i, 3);
        k.select(v, inside, v, s);
        let again = k.label("again");
        k.place(again);
        k.bra(again);
    });
    let built = k.build().unwrap();
    let written = bare(assemble("t", text).unwrap_or_else(|d| panic!("{d:#?}")).module);
    assert_eq!(built, written);
}

#[test]
fn inst_reaches_everything() {
    let mut k = KernelBuilder::new("any");
    let (a, p) = (k.reg::<U8>("a"), k.pred("p"));
    k.inst("mov.u8", &[a.into(), Src::<U8>::from(200).into()]);
    k.inst("vote.any", &[p.into(), p.into()]);
    k.inst("fold.xor.u8", &[a.into(), Arg::list(&[a.into(), a.into()])]);
    let m = k.build().unwrap();
    let text = "kernel any() {\n let a: u8; let p: pred\n mov.u8 a, 200\n vote.any p, p\n fold.xor.u8 a, (a, a)\n exit\n}";
    assert_eq!(m, bare(assemble("t", text).unwrap().module));
}

#[test]
fn narrow_floats_round_once_and_to_infinity() {
    let mut k = KernelBuilder::new("k");
    let (h, b) = (k.reg::<F16>(""), k.reg::<Bf16>(""));
    for v in [1.0f32, 1e9, -1e9, f32::INFINITY, 0.1] {
        k.mov(h, v);
        k.mov(b, v);
    }
    let code = &k.build().unwrap().kernels[0].funcs[0].code;
    let bits: Vec<&Operand> = code.iter().filter_map(|i| i.args.get(1)).collect();
    let expected = [0x3c00, 0x3f80, 0x7c00, 0x4e6e, 0xfc00, 0xce6e, 0x7c00, 0x7f80, 0x2e66, 0x3dcd];
    assert_eq!(bits, expected.map(Operand::Imm).iter().collect::<Vec<_>>());
}

fn error(build: impl FnOnce(&mut KernelBuilder)) -> BuildError {
    let mut k = KernelBuilder::new("k");
    build(&mut k);
    k.build().unwrap_err()
}

#[test]
fn wrong_uses_are_errors() {
    let says = |e: BuildError, what: &str| assert!(e.to_string().contains(what), "{e}");
    says(error(|k| k.inst("mov.f23", &[])), "there is no `mov.f23`");
    says(error(|k| k.inst("mov.f32", &[])), "takes 2 operands");
    says(
        error(|k| {
            let r = k.reg::<U32>("r");
            k.inst("mov.f32", &[r.into(), r.into()]);
        }),
        "is u32 instead of f32",
    );
    says(
        error(|k| {
            let never: Label = k.label("never");
            k.bra(never);
        }),
        "never placed",
    );
    says(
        error(|k| {
            let l = k.label("twice");
            k.place(l);
            k.place(l);
        }),
        "placed twice",
    );
    says(
        error(|k| {
            let r = k.reg::<U32>("r");
            k.function("f", |f| f.mov(r, 1));
        }),
        "another function",
    );
    says(error(|k| (0..257).for_each(|_| _ = k.reg::<U32>(""))), "more than 256 registers");
    says(error(|k| (0..17).for_each(|_| _ = k.pred(""))), "more than 16 predicates");
    says(
        error(|k| {
            let p = k.pred("p");
            k.guard(p, |k| k.if_(p, |k| k.exit()));
        }),
        "guards do not nest",
    );
    // Operations that the types of Rust allow and the tables do not: reduce.xor of floats.
    says(
        error(|k| {
            let r = k.reg::<F32>("r");
            k.reduce(r, Reduce::Xor, r);
        }),
        "there is no `reduce.xor.f32`",
    );
}
