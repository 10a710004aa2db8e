//! Text to module to text to module: numbers of every type, damaged programs, damaged modules.
use phalanx_asm::{Assembled, assemble, disassemble};
use phalanx_isa::{ArgType, Inst, Module, Operand, Role, Type, all_mnemonics, decode, encode};

/// Numbers that only look random: the same in every run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn samples() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .map(|p| {
                (p.file_name().unwrap().to_str().unwrap().to_string(), std::fs::read_to_string(&p).unwrap())
            })
            .collect();
    all.sort();
    assert!(all.len() >= 4, "only {} samples", all.len());
    all
}

fn ok(name: &str, text: &str) -> Assembled {
    assemble(name, text).unwrap_or_else(|d| panic!("{name}: {d:#?}\n{text}"))
}

/// A module's text assembles to its bytes.
fn goes_around(module: &Module) -> Result<String, phalanx_asm::DisasmError> {
    let text = disassemble(module)?;
    let again = ok("again", &text).module;
    assert_eq!(encode(&again), encode(module), "{text}");
    Ok(text)
}

#[test]
fn samples_go_around() {
    for (name, text) in samples() {
        let module = ok(&name, &text).module;
        assert_eq!(decode(&encode(&module)).as_ref(), Ok(&module), "{name}");
        let written = goes_around(&module).unwrap();
        // The text of the text is the text.
        assert_eq!(disassemble(&ok("x", &written).module).unwrap(), written, "{name}");
    }
}

/// The bits that an immediate gets.
fn bits(ty: Type, number: &str) -> u64 {
    let d = if ty == Type::Pred { "p0" } else { "r0" };
    let module = ok("n", &format!("kernel k() {{\n mov.{ty} {d}, {number}\n exit\n}}")).module;
    match module.kernels[0].funcs[0].code[0].args[1] {
        Operand::Imm(bits) => bits,
        ref o => panic!("{o:?}"),
    }
}

#[test]
fn numbers_have_the_right_bits() {
    for (ty, text, expected) in [
        (Type::I8, "-128", 0x80),
        (Type::I8, "0x7f", 0x7f),
        (Type::U8, "0b1111_0000", 0xf0),
        (Type::I16, "-1", 0xffff),
        (Type::U16, "65_535", 0xffff),
        (Type::I32, "-2147483648", 0x8000_0000),
        (Type::U32, "4294967295", 0xffff_ffff),
        (Type::I64, "-9223372036854775808", 1 << 63),
        (Type::U64, "18446744073709551615", u64::MAX),
        (Type::U64, "-0", 0),
        (Type::Pred, "1", 1),
        (Type::F32, "0", 0),
        (Type::F32, "-0", 0x8000_0000),
        (Type::F32, "--0", 0),
        (Type::F32, "1", 0x3f80_0000),
        (Type::F32, "-inf", 0xff80_0000),
        (Type::F32, "nan", 0x7fc0_0000),
        (Type::F32, "0f7fa00001", 0x7fa0_0001),
        (Type::F32, "1e-45", 1),
        (Type::F32, "7e-46", 0),
        (Type::F32, "1_0.5e1_0", 0x51c3_93e7),
        (Type::F32, "3.4028235e38", 0x7f7f_ffff),
        (Type::F32, "(1 + 0.5) * 2", 0x4040_0000),
        // Halfway between two f32: to even; a little more: up, where a detour over f64 would be even again.
        (Type::F32, "16777217", 0x4b80_0000),
        (Type::F32, "16777217.0000000001", 0x4b80_0001),
        (Type::F32, "1.000000059604644775390625", 0x3f80_0000),
        (Type::F32, "1.00000005960464477539062500000000000000001", 0x3f80_0001),
        (Type::F64, "0.1", 0x3fb9_9999_9999_999a),
        (Type::F64, "5e-324", 1),
        (Type::F64, "nan", 0x7ff8_0000_0000_0000),
        (Type::F16, "65504", 0x7bff),
        (Type::F16, "65519.999", 0x7bff),
        (Type::F16, "-inf", 0xfc00),
        (Type::F16, "nan", 0x7e00),
        (Type::F16, "0.1", 0x2e66),
        (Type::F16, "6e-8", 1),
        (Type::F16, "1e-300", 0),
        (Type::F16, "-1e-300", 0x8000),
        (Type::F16, "6.103515625e-5", 0x0400),
        (Type::F16, "6.1035e-5", 0x0400),
        // Ties and their neighbours, closer than an f64 can tell.
        (Type::F16, "2049", 0x6800),
        (Type::F16, "2051", 0x6802),
        (Type::F16, "2049.00000000000000000000000000001", 0x6801),
        (Type::F16, "2048.99999999999999999999999999999", 0x6800),
        (Type::F16, "2050.99999999999999999999999999999", 0x6801),
        (Type::F16, "2.98023223876953125e-8", 0),
        (Type::F16, "2.98023223876953125000000000000001e-8", 1),
        (Type::F16, "20490000000000000000000000000000001e-31", 0x6801),
        (Type::Bf16, "1", 0x3f80),
        (Type::Bf16, "1.00390625", 0x3f80),
        (Type::Bf16, "1.01171875", 0x3f82),
        (Type::Bf16, "1.003906250000000000000000000000000000001", 0x3f81),
        (Type::Bf16, "257", 0x4380),
        (Type::Bf16, "170141183460469231731687303715884105727", 0x7f00),
        (Type::Bf16, "3.3895313892515355e38", 0x7f7f),
        (Type::Bf16, "9.2e-41", 1),
        (Type::Bf16, "0fffc1", 0xffc1),
    ] {
        assert_eq!(bits(ty, text), expected, "{text} as {ty}");
    }
}

#[test]
fn every_pattern_of_the_narrow_types_goes_around() {
    for ty in [Type::F16, Type::Bf16, Type::I8, Type::U8, Type::I16, Type::U16] {
        let mut module = ok("n", &format!("kernel k() {{\n let r0: {ty}\n mov.{ty} r0, 1\n exit\n}}")).module;
        let one = module.kernels[0].funcs[0].code[0].clone();
        let code = &mut module.kernels[0].funcs[0].code;
        code.clear();
        for bits in 0..1u64 << ty.bits() {
            code.push(Inst { args: vec![one.args[0].clone(), Operand::Imm(bits)], ..one.clone() });
            if code.len() == 65_535 {
                break;
            }
        }
        goes_around(&module).unwrap();
    }
}

#[test]
fn patterns_of_the_wide_types_go_around() {
    let mut rng = Rng(7);
    for ty in [Type::F32, Type::F64, Type::I32, Type::U32, Type::I64, Type::U64] {
        let mut module = ok("n", &format!("kernel k() {{\n let r0: {ty}\n mov.{ty} r0, 1\n exit\n}}")).module;
        let one = module.kernels[0].funcs[0].code[0].clone();
        let code = &mut module.kernels[0].funcs[0].code;
        let mask = u64::MAX >> (64 - ty.bits());
        let edges = (0..ty.bits()).flat_map(|b| [1u64 << b, (1u64 << b).wrapping_sub(1), !(1u64 << b)]);
        let random = std::iter::repeat_with(|| rng.next()).take(5000);
        for bits in edges.chain(random) {
            code.push(Inst { args: vec![one.args[0].clone(), Operand::Imm(bits & mask)], ..one.clone() });
        }
        goes_around(&module).unwrap();
    }
}

/// One instruction of every mnemonic, as its row says.
#[test]
fn every_mnemonic_goes_around() {
    let header = "kernel all(in m: u8[], in w: packed[t2, 4, 4], n: u32) {
    let vi8: i8; let vi16: i16; let vi32: i32; let vi64: i64; let vu8: u8; let vu16: u16; let vu32: u32; let vu64: u64
    let vf16: f16; let vbf16: bf16; let vf32: f32; let vf64: f64; let vpred: pred
    func f() { ret }
top:
";
    let mut text = header.to_string();
    let all = all_mnemonics();
    for m in &all {
        let operands = m.op.info().args.iter().map(|arg| {
            let ty = match arg.ty {
                ArgType::T => m.ty,
                ArgType::S => m.ty2,
                ArgType::Is(t) => Some(t),
                ArgType::None => None,
            };
            let register = ty.map_or(String::new(), |t| format!("v{t}"));
            match arg.role {
                Role::W | Role::Rw | Role::R | Role::Uniform => register,
                Role::Imm => "1".into(),
                Role::Load | Role::Store | Role::Atomic | Role::Out | Role::Input => "m[vu32 + 1]".into(),
                Role::Packed => "w".into(),
                Role::Buffer => "m".into(),
                Role::Label => "top".into(),
                Role::Func => "f".into(),
                Role::Dests | Role::Srcs => "()".into(),
                Role::List => format!("({register}, 1, {register})"),
            }
        });
        text.push_str(&format!("    {m} {}\n", operands.collect::<Vec<_>>().join(", ")));
    }
    text.push('}');
    let module = ok("all", &text).module;
    let code = &module.kernels[0].funcs[0].code;
    assert!(all.len() > 1000 && code.len() == all.len());
    assert!(code.iter().zip(&all).all(|(i, m)| i.mnemonic() == *m));
    goes_around(&module).unwrap();
}

/// Damaged modules: each that decodes either goes around or has no text, and most have one.
#[test]
fn damaged_modules_go_around_or_say_why_not() {
    let mut rng = Rng(99);
    let (mut around, mut refused) = (0, 0);
    for (_, text) in samples() {
        let bytes = encode(&ok("s.phx", &text).module);
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(damaged.len());
                match rng.below(4) {
                    0 => damaged[at] = rng.next() as u8,
                    1 => damaged[at] = damaged[at].wrapping_add(1),
                    2 => damaged[at] ^= 1 << rng.below(8),
                    _ => damaged[at] = damaged[rng.below(bytes.len())],
                }
            }
            if let Ok(module) = decode(&damaged) {
                match goes_around(&module) {
                    Ok(_) => around += 1,
                    Err(e) => {
                        assert!(!e.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(around > 1000, "{around} go around, {refused} have no text");
}

/// Damaged programs: never a panic, an error for each that is refused, and what is accepted goes around.
#[test]
fn damaged_programs_are_refused_or_go_around() {
    let mut rng = Rng(5);
    let mut accepted = 0;
    let pieces = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        ":",
        "@",
        "!",
        "%",
        "+",
        "-",
        "*",
        "/",
        "=",
        "->",
        "<<",
        "..",
        ".loc 1:2",
        "`",
        "\"",
        "\\",
        "\n",
        "kernel",
        "func",
        "let",
        "const",
        "shared",
        "r300",
        "p15",
        "inf",
        "0f12",
        "1e999",
        "é",
        "\u{0}",
        "call",
        "max(",
        "ceil(1,",
        "999999999999999999999999999999999999999999",
        "9223372036854775808",
        ".7:",
        "9:9 ..",
    ];
    for (name, text) in samples() {
        for _ in 0..1000 {
            let mut damaged = text.clone();
            for _ in 0..1 + rng.below(4) {
                let mut cut = || {
                    let mut at = rng.below(damaged.len() + 1);
                    while !damaged.is_char_boundary(at) {
                        at -= 1;
                    }
                    at
                };
                let (a, b) = (cut(), cut());
                let (from, to) = (a.min(b), a.max(b));
                match rng.below(4) {
                    0 => damaged.insert_str(from, pieces[rng.below(pieces.len())]),
                    1 => damaged.replace_range(from..to.min(from + 7).max(from), ""),
                    2 => damaged.truncate(to),
                    _ => {
                        let piece = damaged[from..to].chars().take(30).collect::<String>();
                        damaged.insert_str(from, &piece);
                    }
                }
                while damaged.is_empty() {
                    damaged.push('\n');
                }
            }
            match assemble(&name, &damaged) {
                Ok(a) => {
                    accepted += 1;
                    // Wrong programs may have no text (a register file with gaps that only the validator sees).
                    let _ = goes_around(&a.module);
                }
                Err(errors) => {
                    assert!(!errors.is_empty(), "{damaged}");
                    #[cfg(feature = "render")]
                    assert!(phalanx_asm::render_all(&errors, &name, &damaged, false).contains("error[E01"));
                }
            }
        }
    }
    assert!(accepted > 100, "only {accepted} accepted");
}

#[test]
fn deep_and_long_texts_end_in_errors() {
    let nested =
        |open: &str, close: &str| format!("const A = {}1{}", open.repeat(100_000), close.repeat(100_000));
    for text in [
        nested("(", ")"),
        nested("min(1, ", ")"),
        format!("const A = {}z", "-".repeat(100_000)),
        "kernel a() {".repeat(20_000),
        "kernel a() { func b() {".to_string() + &"func c() {".repeat(50_000),
        format!("kernel a(n: u32) grid {}n {{ exit }}", "n + ".repeat(50_000)),
        format!("kernel a() {{ mov.u32 r0, {}\n exit }}", "(".repeat(50_000)),
        "`".repeat(50_000),
        format!("kernel a() {{ {} exit }}", "func f() { ret } ".repeat(20_000)),
        "x ".repeat(50_000),
    ] {
        assert!(assemble("deep", &text).is_err(), "{}", &text[..40]);
    }
}

#[test]
fn names_that_mean_something_else_survive() {
    let text = "kernel `r1`(in `inf`: f32[], `p3`: u32, n: u32) grid `p3` + len(`inf`) {
    let `nan`, a = r7, `r2`: f32
    let `p0`: pred
    func `f 2`(`r9`: f32, p1: pred) -> (r3: f32, p1) {
        mov.f32 r3, `r9`
        ret
    }
    ld.f32 `nan`, `inf`[`p3` + 1]
    set.lt.f32 `p0`, `nan`, `r2`
@`p0` bra `r1`
    call (a, `p0`), `f 2`, (`nan`, `p0`)
`r1`:
    exit
}";
    let mut module = ok("odd \"name\"\n\u{1}.phx", text).module;
    let written = goes_around(&module).unwrap();
    assert!(written.contains("`f 2`"), "{written}");
    // Names that are taken, registers without uses at the end, targets without labels, labels at one place, odd places.
    let f = &mut module.kernels[0].funcs[0];
    f.regs[7].as_mut().unwrap().name = "n".into();
    f.regs.extend([None, None]);
    f.preds.push(None);
    f.labels.clear();
    f.labels.extend([(1, "z".to_string()), (1, "a".to_string()), (4, "a".to_string())]);
    f.loc.line = 77;
    f.code[1].loc.line = u32::MAX;
    f.code[2].loc = Default::default();
    module.kernels[0].params[1].loc = Default::default();
    let written = goes_around(&module).unwrap();
    assert!(written.contains(".name r7 \"n\"") && written.contains(".registers"), "{written}");
}
