//! What the fuzzers do with one input. Nothing here may panic or run on for long; a wrong result is an `Err` that says what.

use crate::oracle::{self, Effort, How, Outcome};
use crate::program::{Config, random_program};
use crate::{Case, Rng};
use phalanx_isa::{Base, Effect, Func, Module, Op, Operand, Special, decode, encode};
use phalanx_verify::{Var, Verified, verify, writes};

/// How far an input came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The bytes are a module.
    pub decoded: bool,
    /// It is valid.
    pub validated: bool,
    /// A launch of its first kernel ran, to its end or to a trap.
    pub ran: bool,
    /// It trapped.
    pub trapped: bool,
    /// It was compared with the reference.
    pub compared: bool,
}

/// Text through the assembler: no panic; what is accepted can be written as text again, with the same bytes. Whether it was
/// accepted.
///
/// # Errors
/// Bytes or texts that differ.
pub fn fuzz_one_text(text: &str) -> Result<bool, String> {
    let module = match phalanx_asm::assemble("fuzz.phx", text) {
        Ok(a) => a.module,
        Err(diags) => {
            if diags.is_empty() {
                return Err("refused without a reason".into());
            }
            // Messages must be possible to show.
            phalanx_asm::render_all(&diags, "fuzz.phx", text, false);
            return Ok(false);
        }
    };
    let bytes = encode(&module);
    match decode(&bytes) {
        Ok(again) if again == module => {}
        Ok(_) => return Err("decoding gives another module".into()),
        Err(e) => return Err(format!("assembled, but its bytes do not decode: {e}")),
    }
    let written = match phalanx_asm::disassemble(&module) {
        Ok(t) => t,
        Err(e) => return Err(format!("assembled, but cannot be written as text: {e}")),
    };
    let again = phalanx_asm::assemble("other.phx", &written)
        .map_err(|d| format!("its own text is refused: {:?}\n{written}", d.first()))?;
    if encode(&again.module) != bytes {
        return Err(format!("the text of the module has other bytes:\n{written}"));
    }
    Ok(true)
}

/// Bytes through the decoder: refused, or written again as the same bytes.
///
/// # Errors
/// Other bytes.
pub fn fuzz_one_bytes(bytes: &[u8]) -> Result<Option<Module>, String> {
    let Ok(module) = decode(bytes) else { return Ok(None) };
    if encode(&module) != bytes {
        return Err("decoded, but encodes to other bytes".into());
    }
    Ok(Some(module))
}

/// Bytes through decoder, validator and executors. The seed decides the bindings.
///
/// # Errors
/// Executors that differ, a run without an end, a text that does not lead back.
pub fn fuzz_one_module(bytes: &[u8], seed: u64) -> Result<Stage, String> {
    let mut stage = Stage::default();
    let Some(module) = fuzz_one_bytes(bytes)? else { return Ok(stage) };
    stage.decoded = true;
    let mut rng = Rng::new(seed);
    let program = match verify(module) {
        Ok(p) => p,
        Err(rejected) => {
            let named = rejected.errors.iter().all(|e| !e.message.is_empty() && e.code.starts_with('E'));
            let why = "rejected without a reason".to_string();
            return if named && !rejected.errors.is_empty() { Ok(stage) } else { Err(why) };
        }
    };
    stage.validated = true;
    let Ok(text) = phalanx_asm::disassemble(&program) else {
        return Err("valid, but cannot be written as text".into());
    };
    match phalanx_asm::assemble("again", &text) {
        Ok(a) if encode(&a.module) == bytes => {}
        Ok(_) => return Err(format!("its text has other bytes:\n{text}")),
        Err(d) => return Err(format!("its own text is refused: {:?}\n{text}", d.first())),
    }
    let Some(case) = Case::for_any(program.module().clone(), &mut rng) else { return Ok(stage) };
    if same_order(&program) {
        let outcome =
            oracle::check(&case, &program, Effort::One(rng.bits() >> 1)).map_err(|f| f.to_string())?;
        stage.compared = !matches!(outcome, Outcome::Refused(_));
        stage.ran = stage.compared;
        stage.trapped = matches!(outcome, Outcome::Trapped(_));
        return Ok(stage);
    }
    let all = oracle::lanes();
    let executor = rng.pick(&all);
    let threads = *rng.pick(&oracle::THREADS[..3]);
    for executor in [executor as &dyn phalanx_exec::Executor, &phalanx_exec::reference::Reference] {
        let outcome =
            oracle::run(&case, &program, executor, How::threads(threads)).map_err(|f| f.to_string())?;
        stage.ran |= !matches!(outcome, Outcome::Refused(_));
        stage.trapped |= matches!(outcome, Outcome::Trapped(_));
    }
    Ok(stage)
}

/// A random program, undamaged, on the reference and on one level and thread count.
///
/// # Errors
/// Executors that differ, or a program that is not what its generator promises.
pub fn fuzz_one_program(seed: u64) -> Result<Stage, String> {
    let case = random_program(seed, &Config::of(seed));
    let program = oracle::validate(&case).map_err(|r| r.to_string())?;
    if !program.analysis(0).order_free() {
        return Err("its order may be seen".into());
    }
    let outcome = oracle::check(&case, &program, Effort::One(seed >> 1)).map_err(|f| f.to_string())?;
    let trapped = match outcome {
        Outcome::Refused(what) => return Err(what),
        Outcome::Trapped(_) => true,
        Outcome::Done(..) => false,
    };
    Ok(Stage { decoded: true, validated: true, ran: true, compared: true, trapped })
}

/// Whether every pool handle that the function uses is one that the lane has allocated in it: a number that happens to be another
/// lane's handle is good until that lane frees it.
fn own_handles(f: &Func) -> bool {
    let allocated = |handle: &Operand| {
        let Some(v) = Var::of(handle) else { return false };
        let mut writers = f.code.iter().filter(|i| writes(i).contains(v));
        !f.params.contains(handle) && writers.all(|i| i.op == Op::PoolAlloc)
    };
    f.code.iter().all(|i| match i.op {
        Op::PoolFree | Op::PoolSt => i.args.first().is_some_and(allocated),
        Op::PoolLd => i.args.get(1).is_some_and(allocated),
        _ => true,
    })
}

/// Whether it can be seen from the operands alone that the order of lanes and blocks does not show: what is written is written
/// and read by each lane in its own place only, or updated in one way only.
pub fn same_order(program: &Verified) -> bool {
    let Some(kernel) = program.module().kernels.first() else { return false };
    if !program.analysis(0).order_free() || program.analysis(0).native {
        return false;
    }
    if !kernel.funcs.iter().all(own_handles) {
        return false;
    }
    let insts = || kernel.funcs.iter().flat_map(|f| &f.code);
    let elements = |i: &phalanx_isa::Inst| -> Vec<phalanx_isa::Mem> {
        let all = i.args.iter();
        all.filter_map(|o| if let Operand::Mem(m) = o { Some((**m).clone()) } else { None }).collect()
    };
    let written = |base: Base| {
        insts().any(|i| i.op.info().has(Effect::MemWrite) && elements(i).iter().any(|m| m.base == base))
    };
    let own = |m: &phalanx_isa::Mem| match m.base {
        Base::Param(_) => m.index == Operand::Special(Special::GlobalLinear),
        _ => m.index == Operand::Special(Special::LaneLinear),
    };
    insts().all(|i| {
        elements(i).iter().all(|m| {
            if matches!(m.base, Base::Private(_)) || !written(m.base) {
                return true;
            }
            let others = || insts().flat_map(|o| elements(o).into_iter().map(move |e| (o, e)));
            let same = || others().filter(|(_, e)| e.base == m.base);
            if i.op == Op::Red {
                return same().all(|(o, _)| (o.op, o.modes[1]) == (i.op, i.modes[1]));
            }
            same().all(|(o, e)| o.op != Op::Red && own(&e) && e.disp == m.disp && e.which == m.which)
                && m.which.is_none()
        })
    })
}
