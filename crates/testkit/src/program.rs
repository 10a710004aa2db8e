//! Random programs that are valid, race-free and order-free by construction, so that every executor must leave the same bits.
//!
//! Global results go to the lane's own places; shared arrays are written in the lane's own place and read by others only
//! between barriers; places that several lanes update see one kind of integer `red` for the whole launch. Loops count down a
//! register of their own. Operations across lanes stand where all lanes of their scope come along together.

mod body;

use crate::emit::{FuncWriter, GLOBAL, KernelWriter, LANE, element};
use crate::{ArgSpec, Case, Rng, values};
use body::{Body, Together};
use phalanx_isa::{Access, Base, Kind, Mnemonic, Op, Operand, Special, Type, all_mnemonics};
use std::sync::OnceLock;

/// What programs may contain.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Some lanes may trap: division by zero, places outside, missed barriers, `trap`, calls too deep.
    pub traps: bool,
    /// The launch has a fuel limit, which may or may not be enough.
    pub fuel: bool,
    /// Statements of the body, roughly; nested ones come on top.
    pub size: u32,
    /// Lanes of a block at most (of 1024).
    pub max_lanes: u32,
}

impl Config {
    /// A configuration drawn from a seed: all kinds occur.
    pub fn of(seed: u64) -> Config {
        let mut rng = Rng::new(seed ^ 0x5eed);
        Config {
            traps: rng.one_in(3),
            fuel: rng.one_in(4),
            size: rng.between(3, 14),
            max_lanes: *rng.pick(&[40, 140, 300, 700]),
        }
    }
}

/// A function that others may call.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub number: u16,
    pub params: Vec<Type>,
    pub results: Vec<Type>,
    /// It contains operations of the whole block.
    pub collective: bool,
    /// The first parameter counts its own calls of itself.
    pub recursive: bool,
}

/// What belongs to the kernel.
pub(crate) struct Maker<'r> {
    pub rng: &'r mut Rng,
    pub config: Config,
    pub k: KernelWriter,
    pub args: Vec<ArgSpec>,
    pub types: Vec<Type>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Buffers that are only read, with their lengths.
    pub inputs: Vec<(Base, Type, u64)>,
    /// Places of all lanes for one kind of update each: object, mnemonic without `red` and `shared`, type, length.
    pub bins: Vec<(Base, &'static str, Type, u64)>,
    pub private: Vec<(Base, Type, u64)>,
    /// Shared arrays of one element per lane.
    pub shared: Vec<(Base, Type)>,
    /// Buffers of one element per lane, free for the lane's use at any time.
    pub own: Vec<(Base, Type)>,
    pub scalars: Vec<(Operand, Type)>,
    pub functions: Vec<Signature>,
    /// Operations across lanes are possible: lanes end early only where a missed one may trap.
    pub collectives: bool,
    /// Lanes may end early.
    pub exits: bool,
    pub alu: Vec<Mnemonic>,
    pub across: Vec<Mnemonic>,
    pub of_block: Vec<Mnemonic>,
}

fn every() -> &'static [Mnemonic] {
    static ALL: OnceLock<Vec<Mnemonic>> = OnceLock::new();
    ALL.get_or_init(all_mnemonics)
}

impl Maker<'_> {
    pub fn block_lanes(&self) -> u64 {
        self.block.iter().map(|n| u64::from(*n)).product()
    }
    pub fn lanes(&self) -> u64 {
        self.block_lanes() * self.grid.iter().map(|n| u64::from(*n)).product::<u64>()
    }
    fn data(&mut self, ty: Type, n: u64) -> Vec<u8> {
        let all: Vec<u64> = (0..n).map(|_| values::random(self.rng, ty)).collect();
        values::to_bytes(ty, &all)
    }
    pub fn buffer(&mut self, ty: Type, access: Access, n: u64) -> Base {
        let bytes = self.data(ty, n);
        self.args.push(ArgSpec::Buffer(ty, bytes));
        self.k.buffer(ty, access)
    }
    /// Some traps, where they are allowed.
    pub fn may_trap(&mut self, one_in: usize) -> bool {
        self.config.traps && self.rng.one_in(one_in)
    }
}

/// A block size: one, two or three dimensions, most of them no multiple of a subgroup.
fn block_size(rng: &mut Rng, max: u32) -> [u32; 3] {
    let all = [
        [1, 1, 1],
        [31, 1, 1],
        [32, 1, 1],
        [37, 1, 1],
        [64, 1, 1],
        [5, 7, 1],
        [3, 4, 3],
        [100, 1, 1],
        [128, 1, 1],
        [129, 1, 1],
        [16, 9, 1],
        [7, 5, 8],
        [257, 1, 1],
        [300, 1, 1],
        [23, 29, 1],
        [1024, 1, 1],
    ];
    let fit: Vec<[u32; 3]> = all.into_iter().filter(|b| b.iter().product::<u32>() <= max).collect();
    *rng.pick(&fit)
}

/// A program with its bindings and launch; the same for the same seed and configuration.
pub fn random_program(seed: u64, config: &Config) -> Case {
    let mut rng = Rng::new(seed);
    let mut types = vec![Type::U32, Type::F32];
    for _ in 0..3 {
        let ty = *rng.pick(&Type::ALL[..12]);
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    let block = block_size(&mut rng, config.max_lanes);
    let grid = *rng.pick(&[[1, 1, 1], [2, 1, 1], [3, 1, 1], [2, 2, 1], [1, 1, 3]]);
    let knows = |m: &Mnemonic| {
        let used = |t: Option<Type>| t.is_none_or(|t| t == Type::Pred || types.contains(&t));
        used(m.ty) && used(m.ty2)
    };
    let of_kind = |kind: Kind| -> Vec<Mnemonic> {
        every().iter().filter(|m| m.op.info().kind == kind && knows(m)).copied().collect()
    };
    let (alu, across, of_block) = (of_kind(Kind::Alu), of_kind(Kind::Subgroup), of_kind(Kind::Block));
    let declares_block = rng.one_in(3);
    let exits = rng.one_in(4);
    let mut m = Maker {
        collectives: !exits || config.traps && !declares_block,
        exits,
        config: *config,
        k: KernelWriter::new(),
        args: Vec::new(),
        types,
        grid,
        block,
        inputs: Vec::new(),
        bins: Vec::new(),
        private: Vec::new(),
        shared: Vec::new(),
        own: Vec::new(),
        scalars: Vec::new(),
        functions: Vec::new(),
        alu,
        across,
        of_block,
        rng: &mut rng,
    };
    if declares_block {
        m.k.kernel.block = Some(block);
    }
    let unsized_len = objects(&mut m);
    let funcs = functions(&mut m);
    let mut case = {
        let (k, args) = (m.k, m.args);
        Case::new(k.finish(funcs), args)
    };
    (case.grid, case.block, case.shared_len) = (grid, block, unsized_len);
    case.fuel = config.fuel.then(|| u64::from(rng.between(30, 4000)));
    case.class = rng.one_in(3).then(|| rng.between(0, 95));
    case.phase = rng.between(0, 767);
    case.resonance_seed = rng.below(3) as u64 * 77;
    case
}

/// Declares buffers, arrays and scalars; the length of the shared array that the launch sizes.
fn objects(m: &mut Maker<'_>) -> u64 {
    let types = m.types.clone();
    let n = m.lanes();
    for ty in &types {
        let len = u64::from(m.rng.between(1, 90));
        let base = m.buffer(*ty, Access::In, len);
        m.inputs.push((base, *ty, len));
        let base = m.buffer(*ty, Access::InOut, n);
        m.own.push((base, *ty));
        let len = 1 << m.rng.below(4);
        let base = m.k.private(*ty, len);
        m.private.push((base, *ty, len));
        let bits = values::random(m.rng, *ty);
        m.args.push(ArgSpec::Scalar(*ty, bits));
        let scalar = m.k.scalar(*ty);
        m.scalars.push((scalar, *ty));
    }
    const KINDS: [&str; 6] = ["add", "min", "max", "and", "or", "xor"];
    for shared in [false, true] {
        let (kind, ty) = (*m.rng.pick(&KINDS), *m.rng.pick(&[Type::I32, Type::U32, Type::I64, Type::U64]));
        let len = u64::from(m.rng.between(1, 20));
        let base = if shared { m.k.shared(ty, Some(len)) } else { m.buffer(ty, Access::InOut, len) };
        m.bins.push((base, kind, ty, len));
    }
    for i in 0..2 {
        let ty = *m.rng.pick(&types);
        let by_launch = i == 1 && m.rng.one_in(2);
        let len = m.block_lanes();
        let base = m.k.shared(ty, (!by_launch).then_some(len));
        m.shared.push((base, ty));
        if by_launch {
            return len;
        }
    }
    0
}

/// The body and the functions that it calls. Callees have higher numbers, so that only the one that is meant to calls itself.
fn functions(m: &mut Maker<'_>) -> Vec<FuncWriter> {
    let n = m.rng.below(4) as u16;
    for number in 1..=n {
        let recursive = number == n && m.rng.one_in(2);
        let list = |m: &mut Maker<'_>, most: usize| -> Vec<Type> {
            let n = m.rng.below(most + 1);
            let mut all: Vec<Type> = (0..n).map(|_| *m.rng.pick(&m.types)).collect();
            if m.rng.one_in(3) {
                all.push(Type::Pred);
            }
            all
        };
        let (mut params, mut results) = (list(m, 3), list(m, 2));
        if recursive {
            params.insert(0, Type::U32);
            results.push(Type::U32);
        }
        let collective = !recursive && m.collectives && m.rng.one_in(2);
        m.functions.push(Signature { number, params, results, collective, recursive });
    }
    let mut all = vec![kernel_body(m)];
    for s in m.functions.clone() {
        all.push(function(m, &s));
    }
    all
}

fn kernel_body(m: &mut Maker<'_>) -> FuncWriter {
    let mut b = Body::new("k", 0, m);
    let mut shown = Vec::new();
    for (ty, regs) in b.regs.clone() {
        for r in regs {
            let base = m.buffer(ty, Access::InOut, m.lanes());
            b.f.op(&format!("ld.{ty}"), &[&r, &element(base, &GLOBAL, 0)]);
            shown.push((ty, r, base));
        }
    }
    b.set_predicates(m);
    let together = if m.collectives { Together::Block } else { Together::Lane };
    let size = m.config.size;
    b.statements(m, size, together, 0);
    for (ty, r, base) in shown {
        b.f.op(&format!("st.{ty}"), &[&element(base, &GLOBAL, 0), &r]);
    }
    for (i, p) in b.preds.clone().into_iter().enumerate() {
        let base = m.buffer(Type::U8, Access::Out, m.lanes());
        let r = b.scratch(Type::U8);
        b.f.op("sel.u8", &[&r, &Operand::Imm(i as u64 + 1), &Operand::Imm(0), &p]);
        b.f.op("st.u8", &[&element(base, &GLOBAL, 0), &r]);
    }
    // What all lanes of the block have counted together.
    let shared_bins = m.bins.iter().copied().find(|b| matches!(b.0, Base::Shared(_)));
    if let Some((base, _, ty, len)) = shared_bins.filter(|_| m.collectives) {
        let (at, v) = (b.scratch(Type::U32), b.scratch(ty));
        b.f.op("rem.u32", &[&at, &LANE, &Operand::Imm(len)]);
        b.f.op("bar.sync", &[]);
        b.f.op(&format!("ld.shared.{ty}"), &[&v, &element(base, &at, 0)]);
        let out = m.buffer(ty, Access::Out, m.lanes());
        b.f.op(&format!("st.{ty}"), &[&element(out, &GLOBAL, 0), &v]);
    }
    b.f.op(if m.rng.one_in(4) { "ret" } else { "exit" }, &[]);
    b.f
}

fn function(m: &mut Maker<'_>, s: &Signature) -> FuncWriter {
    let mut b = Body::new(&format!("f{}", s.number), s.number, m);
    let params: Vec<Operand> = s.params.iter().map(|ty| b.f.var(*ty)).collect();
    let results: Vec<Operand> = s.results.iter().map(|ty| b.f.var(*ty)).collect();
    b.f.signature(params.clone(), results.clone());
    for (ty, regs) in b.regs.clone() {
        for r in regs {
            let given = params.iter().zip(&s.params).filter(|(_, t)| **t == ty).map(|(p, _)| p.clone());
            let given: Vec<Operand> = given.collect();
            let from = match m.rng.below(3) {
                0 => Operand::Imm(values::random(m.rng, ty)),
                _ if !given.is_empty() => m.rng.pick(&given).clone(),
                1 if ty.is_index() => Operand::Special(Special::SubgroupLane),
                _ => m.scalars.iter().find(|(_, t)| *t == ty).map_or(Operand::Imm(1), |(o, _)| o.clone()),
            };
            b.f.op(&format!("mov.{ty}"), &[&r, &from]);
        }
    }
    b.set_predicates(m);
    for (r, ty) in results.iter().zip(&s.results) {
        let from = params.iter().zip(&s.params).find(|(_, t)| *t == ty).map(|(p, _)| p.clone());
        b.f.op(&format!("mov.{ty}"), &[r, &from.unwrap_or(Operand::Imm(1))]);
    }
    let together = if s.collective { Together::Block } else { Together::Lane };
    let n = m.rng.between(1, 4);
    b.statements(m, n, together, 1);
    if s.recursive {
        b.call_itself(m, s, &params, &results);
    }
    for (r, ty) in results.iter().zip(&s.results) {
        if *ty != Type::Pred && m.rng.one_in(2) {
            let own = b.reg(m, *ty);
            b.f.op(&format!("max.{ty}"), &[r, r, &own]);
        }
    }
    b.f.op("ret", &[]);
    b.f
}

/// Whether an operation traps for some operands.
pub(crate) fn may_trap(m: &Mnemonic) -> bool {
    matches!(m.op, Op::Div | Op::Rem if m.ty.is_some_and(Type::is_int))
        || matches!(m.op, Op::ClsMirror | Op::NbrCount | Op::NbrGet | Op::UnityTest | Op::PhiAddr)
}
