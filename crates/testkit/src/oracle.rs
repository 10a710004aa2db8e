//! The oracle: runs a case on the reference and on other executors and says where they differ.

use crate::Case;
use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::reference::Reference;
use phalanx_exec::resonance::Entry;
use phalanx_exec::workers::{Sequential, Threads, Workers};
use phalanx_exec::{
    ArgValue, CancelToken, Executor, LaneTrap, LaunchConfig, LaunchError, Resonance, RunOptions,
};
use phalanx_isa::TrapKind;
use phalanx_simd::tier::Tier;
use phalanx_verify::{Rejected, Verified, verify};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a run may take before it counts as hanging.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended; the bytes of all bound buffers, in the order of the parameters, and of the rest that the host can see: the last
    /// phases of the blocks, and the resonance of a kernel that uses it.
    Done(Vec<Vec<u8>>, Vec<u8>),
    /// It trapped; what the memory holds then is not specified.
    Trapped(LaneTrap),
    /// The launch was refused, with the message.
    Refused(String),
}

/// Two executors that do not agree, or one that goes wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which executor with how many threads.
    pub who: String,
    /// What differs.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.who, self.what)
    }
}

impl std::error::Error for Failure {}

/// With which executors and threads the reference is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// One SIMD level and thread count, chosen by the number given.
    One(u64),
    /// Every SIMD level on one thread.
    Levels,
    /// The schedule of this seed: the reference, and one SIMD level on one thread and on a count chosen by the seed.
    Schedule(u64),
    /// Every SIMD level on 1, 2, 3 and 16 threads and as `--deterministic`.
    Full,
}

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Threads at most.
    pub threads: usize,
    /// The order of blocks and lanes.
    pub order: Order,
}

/// The order of blocks and lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the executor likes.
    Any,
    /// Ascending, on one thread.
    Deterministic,
    /// That of a schedule seed.
    Seed(u64),
}

impl How {
    /// So many threads, in any order.
    pub fn threads(threads: usize) -> How {
        How { threads, order: Order::Any }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} threads", self.threads)?;
        match self.order {
            Order::Any => Ok(()),
            Order::Deterministic => write!(f, ", deterministic"),
            Order::Seed(seed) => write!(f, ", schedule seed {seed}"),
        }
    }
}

/// Thread counts of [`Effort::Full`]; 1 stands for the caller's thread.
pub const THREADS: [usize; 4] = [1, 2, 3, 16];

/// Workers of a thread count; they live as long as the process.
pub fn workers(threads: usize) -> &'static dyn Workers {
    static POOLS: OnceLock<Vec<Threads>> = OnceLock::new();
    if threads == 1 {
        return &Sequential;
    }
    let pools = POOLS.get_or_init(|| THREADS.iter().map(|n| Threads::new(*n)).collect());
    &pools[THREADS.iter().position(|n| *n == threads).unwrap_or(0)]
}

/// The lane executor at every level of this machine.
///
/// # Panics
/// Never: only levels that the machine has are asked for.
pub fn lanes() -> Vec<Lanes> {
    Tier::available().into_iter().filter_map(|t| Lanes::new(t).ok()).collect()
}

/// Validates a case's module.
///
/// # Errors
/// All that is wrong with it.
pub fn validate(case: &Case) -> Result<Verified, Box<Rejected>> {
    verify(case.module.clone()).map_err(Box::new)
}

/// Runs a case once.
///
/// # Errors
/// It did not end in time, or the executor reported what no executor may.
pub fn run(case: &Case, program: &Verified, executor: &dyn Executor, how: How) -> Result<Outcome, Failure> {
    // A process that was stopped or starved meanwhile does not hang: what hangs does so again.
    for _ in 0..2 {
        if let Some(outcome) = attempt(case, program, executor, how)? {
            return Ok(outcome);
        }
    }
    let what = format!("did not end within {DEADLINE:?}, twice");
    Err(Failure { who: format!("{}, {how}", executor.name()), what })
}

/// One run; `None` where it did not end in time.
fn attempt(
    case: &Case,
    program: &Verified,
    executor: &dyn Executor,
    how: How,
) -> Result<Option<Outcome>, Failure> {
    let fail = |what: String| Failure { who: format!("{}, {how}", executor.name()), what };
    let refused = |why: String| Ok(Some(Outcome::Refused(why)));
    let Some(args) = case.bind() else { return refused("no bindings".into()) };
    let config = LaunchConfig::new(case.grid, case.block).with_shared(case.shared_len);
    let bound = match Bound::new(0, program, 0, args.clone(), Some(config)) {
        Ok(b) => b,
        Err(e) => return refused(e.to_string()),
    };
    let prepared = executor.prepare(program, 0).map_err(|e| fail(e.to_string()))?;
    let options = RunOptions {
        uninit: Vec::new(),
        fuel: case.fuel,
        threads: how.threads,
        deterministic: how.order == Order::Deterministic,
        schedule_seed: if let Order::Seed(seed) = how.order { Some(seed) } else { None },
        cancel: Some(CancelToken::with_deadline(Instant::now() + DEADLINE)),
        class: case.class,
        phase: case.phase,
        pool_limit_bytes: case.pool_limit_bytes,
        resonance: Some(case.resonance()),
        claims: case.claims,
        report_phases: true,
        by_node: false,
    };
    match bound.run_report(&*prepared, workers(how.threads), &options) {
        Ok(report) => {
            let memory = read_back(&args).ok_or_else(|| fail("a buffer is gone".into()))?;
            let mut rest: Vec<u8> = report.phases.iter().flat_map(|p| p.to_le_bytes()).collect();
            let used = options.resonance.filter(|_| program.analysis(0).resonance);
            used.iter().for_each(|r| rest.extend(bytes_of(r)));
            Ok(Some(Outcome::Done(memory, rest)))
        }
        Err(LaunchError::Trap(t)) if t.lane_trap.kind == TrapKind::Cancelled => Ok(None),
        Err(LaunchError::Trap(t)) => Ok(Some(Outcome::Trapped(t.lane_trap))),
        Err(e) => refused(e.to_string()),
    }
}

/// The 96 entries as bytes.
fn bytes_of(resonance: &Resonance) -> Vec<u8> {
    let entry = |e: &Entry| [e.ratio.numerator() as u64, e.ratio.denominator() as u64, e.float.to_bits()];
    resonance.snapshot().0.iter().flat_map(entry).flat_map(u64::to_le_bytes).collect()
}

/// The bytes of all bound buffers.
fn read_back(args: &[ArgValue]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for arg in args {
        let views = match arg {
            ArgValue::Buffer(v) => std::slice::from_ref(v),
            ArgValue::Buffers(v) => v,
            ArgValue::Scalar(..) | ArgValue::Packed(_) | ArgValue::Filters(_) => &[],
        };
        for v in views {
            let mut bytes = vec![0; v.buffer.bytes() as usize];
            v.buffer.read(0, &mut bytes).ok()?;
            all.push(bytes);
        }
    }
    Some(all)
}

/// Whether an outcome is the reference's.
///
/// # Errors
/// What differs.
pub fn same(reference: &Outcome, other: &Outcome) -> Result<(), String> {
    match (reference, other) {
        (a, b) if a == b => Ok(()),
        (Outcome::Done(a, _), Outcome::Done(b, _)) => {
            let differs = |(i, (x, y)): (usize, (&Vec<u8>, &Vec<u8>))| {
                let at = x.iter().zip(y).position(|(x, y)| x != y)?;
                let from = at & !7;
                let part = |v: &[u8]| v[from..v.len().min(from + 8)].to_vec();
                Some(format!(
                    "buffer {i}, bytes from {from}: reference {:02x?}, here {:02x?}",
                    part(x),
                    part(y)
                ))
            };
            let first = a.iter().zip(b).enumerate().find_map(differs);
            Err(first.unwrap_or_else(|| "the phases of the blocks, or the resonance".into()))
        }
        (a, b) => {
            let show = |o: &Outcome| match o {
                Outcome::Done(..) => "ends".to_string(),
                Outcome::Trapped(t) => format!("traps with {t:?}"),
                Outcome::Refused(m) => format!("is refused: {m}"),
            };
            Err(format!("reference {}, here {}", show(a), show(b)))
        }
    }
}

/// Compares some executors with the reference on a validated case that every executor must treat alike: one that is race-free
/// and order-free, or made so that its order cannot be seen. Gives the reference's outcome.
///
/// # Errors
/// The first difference.
pub fn compare(
    case: &Case,
    program: &Verified,
    executors: &[(&dyn Executor, &str)],
    runs: &[How],
) -> Result<Outcome, Failure> {
    let expected = run(case, program, &Reference, How::threads(1))?;
    for (executor, name) in executors {
        for how in runs {
            let got = run(case, program, *executor, *how)?;
            same(&expected, &got).map_err(|what| Failure { who: format!("{name}, {how}"), what })?;
        }
    }
    Ok(expected)
}

/// [`compare`] with the lane executor.
///
/// # Errors
/// The first difference.
pub fn check(case: &Case, program: &Verified, effort: Effort) -> Result<Outcome, Failure> {
    let all = lanes();
    let named: Vec<(&dyn Executor, &str)> =
        all.iter().map(|l| (l as &dyn Executor, l.tier().name())).collect();
    match effort {
        Effort::One(n) => {
            let at = (n % named.len() as u64) as usize;
            let threads = THREADS[(n / named.len() as u64 % THREADS.len() as u64) as usize];
            compare(case, program, &named[at..=at], &[How::threads(threads)])
        }
        Effort::Levels => compare(case, program, &named, &[How::threads(1)]),
        Effort::Schedule(seed) => {
            let at = (seed % named.len() as u64) as usize;
            let threads = THREADS[(seed / named.len() as u64 % THREADS.len() as u64) as usize];
            let how = |threads| How { threads, order: Order::Seed(seed) };
            compare(case, program, &[(&Reference, "reference"), named[at]], &[how(1), how(threads)])
        }
        Effort::Full => {
            let threads = THREADS.iter().map(|n| How::threads(*n));
            let deterministic = How { threads: 1, order: Order::Deterministic };
            let runs: Vec<How> = threads.chain([deterministic]).collect();
            compare(case, program, &named, &runs)
        }
    }
}
