//! Messages as people see them: every file of `tests/diag/verify` ends in the text that it must produce, in `//~ ` lines;
//! `BLESS=1 cargo test -p phalanx-verify --test diag` writes them anew. What text cannot say is built and broken here.

use phalanx_asm::{SourceMap, assemble, render_all};
use phalanx_isa::*;
use phalanx_verify::{CODES, Error, verify};
use std::collections::BTreeSet;
use std::path::Path;

fn diagnostic(e: &Error, map: &SourceMap, severity: Severity) -> Diagnostic {
    let labels = e.labels.iter().map(|(p, text)| Label { span: map.span(p), text: text.clone() });
    Diagnostic {
        code: e.code,
        severity,
        message: e.message.clone(),
        span: map.span(&e.place),
        label: e.label.clone(),
        labels: labels.collect(),
        help: e.help.clone(),
    }
}

/// What the files show, by code; fails where a file differs.
fn files() -> BTreeSet<&'static str> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/diag/verify");
    let bless = std::env::var_os("BLESS").is_some();
    let mut covered = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 30, "only {} files", paths.len());
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = std::fs::read_to_string(path).unwrap();
        let (source, recorded) = file.split_at(file.find("//~").unwrap_or(file.len()));
        let assembled = assemble(name, source).unwrap_or_else(|d| panic!("{name}: {d:?}"));
        let found: Vec<Diagnostic> = match verify(assembled.module) {
            Ok(v) => v.warnings().iter().map(|w| diagnostic(w, &assembled.map, Severity::Warning)).collect(),
            Err(r) => r.errors.iter().map(|e| diagnostic(e, &assembled.map, Severity::Error)).collect(),
        };
        assert!(!found.is_empty(), "{name} shows nothing");
        covered.extend(found.iter().map(|d| d.code));
        let text = render_all(&found, name, source, false);
        let now: String = text.lines().map(|l| format!("//~ {l}").trim_end().to_string() + "\n").collect();
        if now != recorded {
            if bless {
                std::fs::write(path, format!("{source}{now}")).unwrap();
            }
            wrong.push(format!("{name}:\n{now}"));
        }
    }
    assert!(bless || wrong.is_empty(), "these differ from what is recorded:\n{}", wrong.join("\n"));
    covered
}

/// A module that is valid, with a little of everything, to be broken.
fn sound() -> Module {
    let text = "
kernel k(in x: f32[], out y: f32[], n: u32, in w: packed[t2, n, 4]) {
    let v: f32; let i: u32
    shared part: f32[4]
    mov.u32     i, 3
    ld.f32      v, x[i]
start:
    call        (v), f, (v)
    set.lt.u32  p0, i, n
@p0 bra         start
    st.f32      y[0], v
    exit
    func f(a: f32) -> (b: f32) {
        mov.f32 b, a
        ret
    }
}
kernel other() {
    exit
}
";
    let module = assemble("sound.phx", text).unwrap().module;
    assert!(verify(module.clone()).is_ok());
    module
}

/// Breaks the module and returns the codes and messages that follow.
fn broken(change: impl FnOnce(&mut Kernel)) -> Vec<(&'static str, String)> {
    broken_module(|m| change(&mut m.kernels[0]))
}

fn broken_module(change: impl FnOnce(&mut Module)) -> Vec<(&'static str, String)> {
    let mut module = sound();
    change(&mut module);
    let rejected = verify(module.clone()).expect_err("the change breaks it");
    assert_eq!(rejected.module, module, "the module comes back as it was");
    rejected.errors.into_iter().map(|e| (e.code, e.message)).collect()
}

fn inst(k: &mut Kernel, i: usize) -> &mut Inst {
    &mut k.funcs[0].code[i]
}

/// What only modules made by hand or by strangers can have wrong.
fn built() -> BTreeSet<&'static str> {
    let mut covered = BTreeSet::new();
    let mut expect = |code: &'static str, message: &str, found: Vec<(&'static str, String)>| {
        assert_eq!(found, [(code, message.to_string())]);
        covered.insert(code);
    };
    expect("E0201", "there is no form `mov`", broken(|k| inst(k, 0).ty = None));
    expect("E0201", "there is no form `set.lt.u32`", broken(|k| inst(k, 3).modes[2] = 1));
    expect("E0201", "there is no form `mov.u32`", broken(|k| inst(k, 0).ty2 = Some(Type::F32)));
    expect("E0202", "`exit` takes 0 operands, not 1", broken(|k| inst(k, 6).args.push(Operand::Imm(0))));
    expect("E0202", "`mov.u32` takes 2 operands, not 0", broken(|k| inst(k, 0).args.clear()));
    let imm = || Operand::Imm(1);
    expect(
        "E0203",
        "`d` of `mov.u32` must be a register or predicate",
        broken(|k| inst(k, 0).args[0] = imm()),
    );
    expect("E0203", "`src` of `ld.f32` must be a memory element", broken(|k| inst(k, 1).args[1] = imm()));
    expect("E0203", "`to` of `bra` must be a label", broken(|k| inst(k, 4).args[0] = imm()));
    expect("E0203", "`f` of `call` must be a function", broken(|k| inst(k, 2).args[1] = imm()));
    expect("E0203", "`args` of `call` must be a list of at most 32", broken(|k| inst(k, 2).args[2] = imm()));
    expect(
        "E0203",
        "`args` of `call` must be a list of sources",
        broken(|k| inst(k, 2).args[2] = Operand::List(vec![Operand::List(vec![imm()])])),
    );
    expect(
        "E0203",
        "`results` of `call` must be a list of registers",
        broken(|k| inst(k, 2).args[0] = Operand::List(vec![imm()])),
    );
    expect(
        "E0203",
        "`a` of `mov.u32` must be a register, number, special register or scalar parameter",
        broken(|k| inst(k, 0).args[1] = Operand::Label(0)),
    );
    expect("E0204", "register r9 is not declared", broken(|k| inst(k, 0).args[1] = Operand::Reg(9)));
    expect("E0204", "predicate p1 is not declared", broken(|k| inst(k, 4).guard.as_mut().unwrap().pred = 1));
    expect(
        "E0204",
        "predicate p200 is not declared",
        broken(|k| inst(k, 4).guard.as_mut().unwrap().pred = 200),
    );
    expect("E0206", "`x` is not a scalar parameter", broken(|k| inst(k, 0).args[1] = Operand::Param(0)));
    expect(
        "E0208",
        "0x100000000 has more than the 32 bits of u32 for `a`",
        broken(|k| inst(k, 0).args[1] = Operand::Imm(1 << 32)),
    );
    expect(
        "E0208",
        "0x2 has more than the 1 bits of pred for `a`",
        broken(|k| {
            let code = &mut k.funcs[0].code;
            code[3].op = Op::Mov;
            (code[3].ty, code[3].modes) = (Some(Type::Pred), [0; 3]);
            code[3].args = vec![Operand::Pred(0), Operand::Imm(2)];
        }),
    );
    fn memory(k: &mut Kernel) -> &mut Mem {
        match &mut inst(k, 1).args[1] {
            Operand::Mem(m) => m,
            _ => panic!("a load"),
        }
    }
    expect("E0211", "the kernel has no parameter 7", broken(|k| memory(k).base = Base::Param(7)));
    expect("E0211", "`n` is not a buffer", broken(|k| memory(k).base = Base::Param(2)));
    expect("E0211", "the kernel has no shared array 1", broken(|k| memory(k).base = Base::Shared(1)));
    expect("E0211", "the kernel has no private array 0", broken(|k| memory(k).base = Base::Private(0)));
    expect("E0211", "the kernel has no parameter 9", broken(|k| inst(k, 0).args[1] = Operand::Param(9)));
    let index = "an index is a number, a register, a special register or a scalar parameter";
    expect("E0215", index, broken(|k| memory(k).index = Operand::Pred(0)));
    expect(
        "E0215",
        "`y` cannot be an index: it is not a scalar",
        broken(|k| memory(k).index = Operand::Param(1)),
    );
    let far = "a displacement of -9223372036854775808 elements is too large";
    expect("E0216", far, broken(|k| memory(k).disp = i64::MIN));
    expect(
        "E0217",
        "the branch goes to instruction 7 of 7",
        broken(|k| inst(k, 4).args[0] = Operand::Label(7)),
    );
    expect("E0218", "the kernel has no function 5", broken(|k| inst(k, 2).args[1] = Operand::Func(5)));
    expect(
        "E0219",
        "`f` has 1 argument, the call names 0",
        broken(|k| inst(k, 2).args[2] = Operand::List(vec![])),
    );
    expect(
        "E0220",
        "argument 1 of `f` is f32, and `y` is not a scalar",
        broken(|k| inst(k, 2).args[2] = Operand::List(vec![Operand::Param(1)])),
    );
    expect(
        "E0221",
        "the kernel's body has parameters or results of a function",
        broken(|k| k.funcs[0].params.push(Operand::Reg(0))),
    );
    expect(
        "E0221",
        "result 1 of function `f` is not a register or predicate",
        broken(|k| k.funcs[1].results[0] = imm()),
    );
    let twice = broken(|k| {
        k.funcs[1].results.push(Operand::Reg(1));
        inst(k, 2).args[0] = Operand::List(vec![Operand::Reg(0), Operand::Reg(0)]);
    });
    assert!(twice.contains(&("E0221", "result 2 of function `f` appears twice".into())), "{twice:?}");
    expect(
        "E0221",
        "parameter 1 of function `f` is not declared",
        broken(|k| {
            k.funcs[1].params[0] = Operand::Reg(77);
            k.funcs[1].code[0].args[1] = imm();
        }),
    );
    let scalar = |n: u16| Some([Expr::Param(n), Expr::Const(1), Expr::Len(0)]);
    expect(
        "E0227",
        "the grid's blocks refer to parameter 12, which does not exist",
        broken(|k| k.grid = scalar(12)),
    );
    let deep =
        (0..17).fold(Expr::Const(1), |e, _| Expr::Bin(ExprOp::Add, Box::new(e), Box::new(Expr::Const(1))));
    expect(
        "E0227",
        "the expression for the rows nests deeper than 16",
        broken(|k| {
            k.params[3].kind = ParamKind::Packed { format: PackFormat::T2, n: deep, k: Expr::Const(1) }
        }),
    );
    expect(
        "E0227",
        "the columns refer to `x`, which is not a scalar parameter of an integer type",
        broken(|k| {
            k.params[3].kind =
                ParamKind::Packed { format: PackFormat::T2, n: Expr::Const(1), k: Expr::Param(0) };
        }),
    );
    expect(
        "E0228",
        "the shared arrays take 18446744073709551615 bytes, at most 1048576 are allowed",
        broken(|k| k.shared[0].len = Some(u64::MAX)),
    );
    let array = |name: &str| Array { name: name.into(), elem: Type::U8, len: None, loc: Loc::default() };
    expect(
        "E0229",
        "`q` has no size; private arrays cannot leave it to the launch",
        broken(|k| k.private.push(array("q"))),
    );
    expect(
        "E0229",
        "`q` has no size; only the last shared array may leave it to the launch",
        broken(|k| k.shared.insert(0, array("q"))),
    );
    expect(
        "E0230",
        "`two words` is not a name for a parameter",
        broken(|k| k.params[0].name = "two words".into()),
    );
    expect(
        "E0230",
        "`9\\u{1b}` is not a name for a register",
        broken(|k| k.funcs[0].regs[0].as_mut().unwrap().name = "9\u{1b}".into()),
    );
    expect("E0230", "`` is not a name for a label", broken(|k| k.funcs[0].labels[0].1.clear()));
    let long = broken(|k| k.params[0].name = "a".repeat(129));
    expect("E0230", &format!("`{}...` is not a name for a parameter", "a".repeat(40)), long);
    expect("E0231", "`part` is declared twice", broken(|k| k.params[0].name = "part".into()));
    expect("E0231", "`i` is declared twice", broken(|k| k.funcs[0].preds[0] = Some("i".into())));
    expect("E0231", "two functions are called `k`", broken(|k| k.funcs[1].name = "k".into()));
    expect("E0231", "the body of kernel `k` is called `g`", broken(|k| k.funcs[0].name = "g".into()));
    expect(
        "E0231",
        "label `start` is declared twice",
        broken(|k| k.funcs[0].labels.push((3, "start".into()))),
    );
    let same = broken_module(|m| {
        m.kernels[1].name = "k".into();
        m.kernels[1].funcs[0].name = "k".into();
    });
    expect("E0231", "two kernels are called `k`", same);
    expect(
        "E0232",
        "label `z` is out of order in the label table",
        broken(|k| k.funcs[0].labels.push((1, "z".into()))),
    );
    expect("E0232", "no instruction follows label `z`", broken(|k| k.funcs[0].labels.push((7, "z".into()))));
    expect("E0233", "17 predicates, at most 16 are allowed", broken(|k| k.funcs[1].preds = vec![None; 17]));
    expect("E0233", "`x` is an array of 0 buffers, 1 to 64 are allowed", broken_buffers(0));
    expect("E0233", "`x` is an array of 65 buffers, 1 to 64 are allowed", broken_buffers(65));
    expect(
        "E0233",
        "the module has 1025 kernels, at most 1024 are allowed",
        broken_module(|m| {
            m.kernels = (0..1025).map(|i| Kernel { name: format!("k{i}"), ..m.kernels[1].clone() }).collect();
            m.kernels.iter_mut().for_each(|k| k.funcs[0].name = k.name.clone());
        }),
    );
    expect(
        "E0234",
        "a register cannot have the type pred",
        broken(|k| {
            k.funcs[1].regs.push(Some(Reg { ty: Type::Pred, name: String::new() }));
        }),
    );
    expect("E0236", "kernel `other` has no body", broken_module(|m| m.kernels[1].funcs.clear()));
    expect("E0235", "the control flow of `k` is too irregular to check", tangled());
    covered
}

fn broken_buffers(n: u32) -> Vec<(&'static str, String)> {
    broken(|k| {
        k.params[0].kind = ParamKind::Buffer { elem: Type::F32, access: Access::In, count: Some(n) };
        k.funcs[0].code[1].args[1] = Operand::Mem(Box::new(Mem {
            base: Base::Param(0),
            which: Some(Operand::Param(2)),
            index: Operand::Imm(0),
            disp: 0,
        }));
    })
}

/// Control flow in which news travels slowly: a ladder of blocks, each of which goes on or one step back. Into its last rungs
/// lead paths that each lack another register, and every round brings one of them one rung further down.
fn tangled() -> Vec<(&'static str, String)> {
    const REGS: u32 = 150;
    const RUNGS: u32 = 2000;
    let plain = |op: Op, args: Vec<Operand>| Inst {
        op,
        modes: [0; 3],
        ty: None,
        ty2: None,
        guard: None,
        args,
        loc: Loc::default(),
    };
    let typed = |ty: Type, to: Operand| Inst { ty: Some(ty), ..plain(Op::Mov, vec![to, Operand::Imm(0)]) };
    let jump = |to: u32| plain(Op::Bra, vec![Operand::Label(to)]);
    let bra = |to: u32| Inst { guard: Some(Guard { pred: 0, negate: false }), ..jump(to) };
    // Where things stand: the dispatch, the paths that lack a register, the path that lacks none, the ladder.
    let paths = 3 + REGS;
    let whole = paths + REGS * REGS;
    let ladder = whole + REGS;
    let mut code = vec![typed(Type::Pred, Operand::Pred(0)), bra(whole)];
    code.extend((0..REGS).map(|j| bra(paths + j * REGS)));
    code.push(plain(Op::Exit, vec![]));
    for j in 0..REGS {
        code.extend((0..REGS).filter(|r| *r != j).map(|r| typed(Type::U32, Operand::Reg(r as u8))));
        code.push(jump(ladder + RUNGS - REGS + j));
    }
    code.extend((0..REGS).map(|r| typed(Type::U32, Operand::Reg(r as u8))));
    code.extend((0..RUNGS).map(|i| bra(ladder + i.saturating_sub(1))));
    code.push(plain(Op::Exit, vec![]));
    let regs = (0..REGS).map(|_| Some(Reg { ty: Type::U32, name: String::new() })).collect();
    broken(|k| {
        k.params.clear();
        k.shared.clear();
        k.funcs.truncate(1);
        k.funcs[0].code = code;
        k.funcs[0].regs = regs;
        k.funcs[0].preds = vec![Some(String::new())];
        k.funcs[0].labels.clear();
    })
}

#[test]
fn every_rule_is_shown() {
    let mut covered = files();
    covered.extend(built());
    let all: BTreeSet<&str> = CODES.iter().map(|c| c.code).collect();
    let missing: Vec<_> = all.difference(&covered).collect();
    assert!(missing.is_empty(), "no test shows {missing:?}");
    assert!(covered.is_subset(&all), "a code outside the table");
}
