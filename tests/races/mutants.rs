//! Faults planted into every program of the repository, one at a time: the checkers must find them. What they do not find is
//! listed in `survivors.txt`, each with the reason why it is no fault; anything else that survives fails the test, and so does
//! a survivor that is found by now.

use phalanx::exec::{CancelToken, Trap};
use phalanx::isa::{Base, Effect, LoadOrder, Module, Op, Operand, Order, StoreOrder};
use phalanx::testing::{self, Case};
use phalanx::{Checks, Cpu};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A fault and where it goes.
#[derive(Clone, Copy, Debug)]
struct Mutant {
    kernel: usize,
    func: usize,
    inst: usize,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// A barrier less.
    DropBarrier,
    /// An access of the next element besides.
    Widen,
    /// A plain access in place of an atomic one.
    Plain,
    /// No release or acquire.
    Relax,
}

/// Launches besides those in the programs' own tests, which are small: several blocks, several rounds, odd ends.
const LAUNCHES: &[(&str, &str)] = &[
    (
        "bitnet/embed",
        "//= test a_block kernel embed_q8_0
         //=   scales = zeros f16 17
         //=   codes = zeros i8 34
         //=   token = u32: 0
         //=   y = zeros f32 32
         //=   rows = 1
         //=   cols = 32
         //=   expect clean",
    ),
    ("bitnet/cache", PLACED_F32),
    ("bitnet/cache", PLACED_F16),
    (
        "nbody",
        "//= test many
         //=   body = random f32 1200 1
         //=   speed = random f32 1200 2
         //=   next = zeros f32 1200
         //=   dt = 0.5
         //=   eps2 = 1
         //=   expect clean",
    ),
    (
        "stencil1d",
        "//= test many
         //=   x = random f32 600 1
         //=   y = zeros f32 600
         //=   expect clean",
    ),
    (
        "transpose",
        "//= test many
         //=   x = random f32 3500 1
         //=   y = zeros f32 3500
         //=   rows = 70
         //=   cols = 50
         //=   expect clean",
    ),
    (
        "binomial",
        "//= test many kernel binomial
         //=   n = iota u32 60
         //=   middle = zeros u64 60
         //=   expect clean",
    ),
];

/// Three positions after each other, of which six elements of eight turn.
const PLACED_F32: &str = "//= test following kernel place_f32
    //=   q = random f32 24 1
    //=   k = random f32 24 2
    //=   v = random f32 24 3
    //=   cos = random f32 9 4
    //=   sin = random f32 9 5
    //=   pos = u32: 0 1 2
    //=   slot = u32: 0 0 0
    //=   kc = zeros f32 512
    //=   vc = zeros f32 4096
    //=   rows = 3
    //=   heads = 1
    //=   kv_heads = 1
    //=   dim = 8
    //=   turned = 6
    //=   context = 64
    //=   expect clean";

/// Three positions after each other, of which six elements of eight turn.
const PLACED_F16: &str = "//= test following kernel place_f16
    //=   q = random f32 24 1
    //=   k = random f32 24 2
    //=   v = random f32 24 3
    //=   cos = random f32 9 4
    //=   sin = random f32 9 5
    //=   pos = u32: 0 1 2
    //=   slot = u32: 0 0 0
    //=   kc = zeros f16 512
    //=   vc = zeros f16 4096
    //=   rows = 3
    //=   heads = 1
    //=   kv_heads = 1
    //=   dim = 8
    //=   turned = 6
    //=   context = 64
    //=   expect clean";

impl Change {
    const ALL: [Change; 4] = [Change::DropBarrier, Change::Widen, Change::Plain, Change::Relax];
    fn name(self) -> &'static str {
        match self {
            Change::DropBarrier => "drop-barrier",
            Change::Widen => "widen",
            Change::Plain => "plain",
            Change::Relax => "relax",
        }
    }
}

/// The memory that an instruction accesses, by its operand.
fn memory(args: &[Operand]) -> Option<(usize, &phalanx::isa::Mem)> {
    args.iter().enumerate().find_map(|(i, a)| match a {
        Operand::Mem(m) => Some((i, &**m)),
        _ => None,
    })
}

/// Puts the fault in; `None` where it does not fit the instruction.
fn apply(module: &Module, m: Mutant) -> Option<Module> {
    let mut module = module.clone();
    let kernel = &mut module.kernels[m.kernel];
    let written = |base: Base| {
        let insts = kernel.funcs.iter().flat_map(|f| &f.code);
        let mut writing = insts.filter(|i| i.op.info().has(Effect::MemWrite));
        writing.any(|i| memory(&i.args).is_some_and(|(_, m)| m.base == base))
    };
    let inst = &kernel.funcs[m.func].code[m.inst];
    let mut changed = inst.clone();
    match (m.change, inst.op) {
        (Change::DropBarrier, Op::Bar) => {
            (changed.op, changed.modes) = (Op::Nop, [0; 3]);
            kernel.funcs[m.func].code[m.inst] = changed;
        }
        (Change::Widen, Op::Ld | Op::St | Op::Aload | Op::Astore | Op::Red) => {
            let (at, place) = memory(&inst.args)?;
            if matches!(place.base, Base::Private(_)) || !written(place.base) {
                return None;
            }
            let mut place = place.clone();
            place.disp += 1;
            changed.args[at] = Operand::Mem(Box::new(place));
            let func = &mut kernel.funcs[m.func];
            func.code.insert(m.inst, changed);
            let moved = |to: &mut u32| *to += u32::from(*to as usize > m.inst);
            func.labels.iter_mut().for_each(|(to, _)| moved(to));
            let operands = func.code.iter_mut().flat_map(|i| &mut i.args);
            operands.for_each(|o| {
                if let Operand::Label(to) = o {
                    moved(to)
                }
            });
        }
        (Change::Plain, op) => {
            let space = inst.modes[0];
            let (op, args) = match op {
                Op::Aload => (Op::Ld, inst.args.clone()),
                Op::Astore | Op::Red => (Op::St, inst.args.clone()),
                Op::Atom => (Op::St, vec![inst.args[1].clone(), inst.args[2].clone()]),
                Op::Cas => (Op::St, vec![inst.args[1].clone(), inst.args[3].clone()]),
                _ => return None,
            };
            (changed.op, changed.args, changed.modes) = (op, args, [space, 0, 0]);
            kernel.funcs[m.func].code[m.inst] = changed;
        }
        (Change::Relax, op) => {
            let (slot, relaxed) = match op {
                Op::Aload => (1, LoadOrder::Relaxed.code()),
                Op::Astore => (1, StoreOrder::Relaxed.code()),
                Op::Cas => (1, Order::Relaxed.code()),
                Op::Atom | Op::Red => (2, Order::Relaxed.code()),
                _ => return None,
            };
            if u16::from(changed.modes[slot]) == relaxed {
                return None;
            }
            changed.modes[slot] = relaxed as u8;
            kernel.funcs[m.func].code[m.inst] = changed;
        }
        _ => return None,
    }
    Some(module)
}

/// All places and changes of a module, fitting or not.
fn mutants(module: &Module) -> Vec<Mutant> {
    let mut all = Vec::new();
    for (kernel, k) in module.kernels.iter().enumerate() {
        for (func, f) in k.funcs.iter().enumerate() {
            for inst in 0..f.code.len() {
                all.extend(Change::ALL.map(|change| Mutant { kernel, func, inst, change }));
            }
        }
    }
    all
}

/// What became of a fault: how it was found, or `None`.
fn verdict(cpu: &Cpu, module: Module, cases: &[&Case], base: &Path) -> Option<String> {
    let program = match cpu.load_module(module) {
        Ok(p) => p,
        Err(_) => return Some("refused".into()),
    };
    for case in cases {
        let mut launch = testing::bind(cpu, &program, case, base).ok()?;
        launch.options_mut().cancel =
            Some(CancelToken::with_deadline(Instant::now() + Duration::from_secs(20)));
        let Ok(checked) = launch.sanitize(Checks::ALL) else { return Some("refused at launch".into()) };
        if let Some(finding) = checked.counted(true).next() {
            return Some(format!("{:?}", finding.kind));
        }
        let expected = |t: &Trap| Some(t.lane_trap.kind) == case.trap;
        if let Some(trap) = checked.report.trap.as_ref().filter(|t| !expected(t)) {
            return Some(trap.lane_trap.kind.name().into());
        }
    }
    None
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs")
}

/// Plants all faults. Gives how many there are and were found, by change, and the names of those that nothing was said of.
fn run() -> (BTreeMap<&'static str, (usize, usize)>, BTreeSet<String>) {
    let cpu = Cpu::builder().threads(2).build().unwrap();
    let mut counts = BTreeMap::new();
    let mut survivors = BTreeSet::new();
    for p in phalanx_programs::PROGRAMS {
        let program = cpu.load_named(&format!("{}.phx", p.name), p.text).unwrap();
        let mut cases = testing::parse(p.text).unwrap();
        for (_, launch) in LAUNCHES.iter().filter(|(name, _)| *name == p.name) {
            cases.extend(testing::parse(launch).unwrap());
        }
        let file = folder().join(p.name);
        let base = file.parent().unwrap();
        for m in mutants(program.module()) {
            let Some(module) = apply(program.module(), m) else { continue };
            let kernel = &program.module().kernels[m.kernel];
            let of_kernel = |c: &&Case| c.kernel.as_ref().is_none_or(|k| *k == kernel.name);
            let cases: Vec<&Case> = cases.iter().filter(of_kernel).collect();
            let (planted, found) = counts.entry(m.change.name()).or_insert((0, 0));
            *planted += 1;
            match verdict(&cpu, module, &cases, base) {
                Some(_) => *found += 1,
                None => {
                    let line = kernel.funcs[m.func].code[m.inst].loc.line;
                    survivors.insert(format!("{}.phx:{line} {}", p.name, m.change.name()));
                }
            }
        }
    }
    (counts, survivors)
}

/// The survivors that are known, each with its reason.
fn explained() -> BTreeMap<String, String> {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("races/survivors.txt")).unwrap();
    let entry = |line: &str| {
        let (what, why) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}`: no reason"));
        (what.trim().to_string(), why.trim().to_string())
    };
    text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()).map(entry).collect()
}

#[test]
fn the_programs_themselves_are_clean() {
    let cpu = Cpu::builder().threads(2).build().unwrap();
    for p in phalanx_programs::PROGRAMS {
        let program = cpu.load_named(&format!("{}.phx", p.name), p.text).unwrap();
        for case in testing::parse(p.text).unwrap() {
            let file = folder().join(p.name);
            let launch = testing::bind(&cpu, &program, &case, file.parent().unwrap()).unwrap();
            let checked = launch.sanitize(Checks::ALL).unwrap();
            assert!(checked.is_clean() || case.trap.is_some(), "{}, {}: {checked}", p.name, case.name);
        }
    }
}

#[test]
fn planted_faults_are_found() {
    let (counts, survivors) = run();
    for (change, (planted, found)) in &counts {
        println!("{change}: {found} of {planted} found");
    }
    let explained = explained();
    let new: Vec<&String> = survivors.iter().filter(|s| !explained.contains_key(*s)).collect();
    assert!(new.is_empty(), "not found, and not explained in survivors.txt: {new:#?}");
    let gone: Vec<&String> = explained.keys().filter(|s| !survivors.contains(*s)).collect();
    assert!(gone.is_empty(), "found by now, to be taken out of survivors.txt: {gone:#?}");
    assert_eq!(counts.len(), Change::ALL.len());
}
