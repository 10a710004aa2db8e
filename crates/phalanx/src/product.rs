//! Products with packed weights: planned, quantised and launched.
//!
//! The kernels are those of `programs/linear.phx`; a product of another format or with a function at its end is the same text
//! with those words replaced.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phalanx::{isa::PackFormat, kernels::Activation, product};
//! let cpu = phalanx::Cpu::new()?;
//! let w = product::pack(PackFormat::T2, 2, 3, &[1.0, 0.0, -1.0, 1.0, 1.0, 1.0])?;
//! let x = cpu.buffer(&[1f32, 2.0, 127.0])?;
//! let layer = product::Linear::new(&cpu, w.into()).activation(Activation::Relu);
//! assert_eq!(layer.apply(&x)?.read()?, [0.0, 130.0]);
//! # Ok(()) }
//! ```

use crate::divisions::{self, Shape, Use};
use crate::ops::OpError;
use crate::{BoundLaunch, Buffer, Cpu, Error, Kernel, Launcher, PackedWeights};
use phalanx_isa::PackFormat;
use phalanx_kernels::{Activation, Plan, Split};
use std::sync::Arc;
use std::time::{Duration, Instant};

use phalanx_exec::native::format_of;
pub use phalanx_exec::native::pack;

/// Rows of activations that a block quantises.
const ROWS: usize = 16;

/// A product with packed weights and what follows it, ready to be applied to rows of activations of any number.
#[derive(Clone, Debug)]
pub struct Linear {
    cpu: Cpu,
    weights: Arc<PackedWeights>,
    bias: Option<Buffer<f32>>,
    activation: Activation,
    split: Option<Split>,
}

/// A division of a product over threads, and what the product took with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// Along what it divides.
    pub split: Split,
    /// The tiles.
    pub plan: Plan,
    /// Seconds: the shortest of several runs.
    pub seconds: f64,
}

/// Time that [`Linear::measure`] spends on each division, unless one run takes longer.
const MEASURE: Duration = Duration::from_millis(12);
/// Multiply-accumulates from which it is worth asking how a product is divided: some tens of microseconds.
const LARGE: usize = 1 << 22;

fn mode(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "",
        Activation::Relu => ".relu",
        Activation::ReluSquared => ".relu2",
        Activation::Silu => ".silu",
        Activation::Gelu => ".gelu",
    }
}

/// A kernel of `programs/linear.phx` for a format and with a function at its end.
fn kernel(cpu: &Cpu, name: &str, format: PackFormat, activation: Activation) -> Result<Kernel, Error> {
    let entry = crate::ops::find(name);
    let Some(entry) = entry else {
        return Err(OpError::Unknown { name: name.into(), known: Vec::new() }.into());
    };
    let float = phalanx_exec::native::packed_format(format).is_float();
    let written = if float { "packed[f32," } else { "packed[t2," };
    let word = format!("packed[{format},");
    let mut text = entry.text.replace(written, &word);
    for op in ["matmul.q", "linear.q", "matmul.f", "linear.f"] {
        text = text.replace(&format!("{op}."), &format!("{op}{}.", mode(activation)));
    }
    Ok(cpu.load_named(&format!("{}.phx", entry.program), &text)?.kernel(name)?)
}

/// A number that a kernel takes in 32 bits.
fn word(operand: &'static str, n: usize) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| wrong(operand, format!("at most {}", u32::MAX), n))
}

fn wrong(operand: &'static str, expected: String, found: usize) -> Error {
    OpError::Shape { op: "linear", operand, expected, found }.into()
}

/// Rows of `k` elements of a length.
fn rows(operand: &'static str, len: usize, k: usize) -> Result<usize, Error> {
    match k {
        0 if len == 0 => Ok(0),
        k if k > 0 && len.is_multiple_of(k) => Ok(len / k),
        _ => Err(wrong(operand, format!("a multiple of {k} elements (the columns of the weights)"), len)),
    }
}

/// A launch that turns rows of `k` values into 8-bit codes and one divisor for each row.
///
/// # Errors
/// Lengths that do not fit each other; what the launch refuses.
pub fn quantise(
    cpu: &Cpu,
    x: &Buffer<f32>,
    q: &Buffer<i8>,
    scale: &Buffer<f32>,
    k: usize,
) -> Result<Launcher, Error> {
    let m = rows("x", x.len(), k)?;
    for (operand, found, expected) in [("q", q.len(), x.len()), ("scale", scale.len(), m)] {
        if found != expected {
            return Err(wrong(operand, format!("{expected} elements"), found));
        }
    }
    let launch = crate::ops::kernel(cpu, "quant_rows")?.launch_declared();
    let launch = launch.arg("x", x).arg("q", q).arg("scale", scale);
    Ok(launch.arg("rows", word("x", m)?).arg("k", word("k", k)?).arg("tile_m", ROWS as u32))
}

impl Linear {
    /// The product alone.
    pub fn new(cpu: &Cpu, weights: Arc<PackedWeights>) -> Linear {
        Linear { cpu: cpu.clone(), weights, bias: None, activation: Activation::None, split: None }
    }
    /// Adds a number to each output.
    pub fn bias(self, bias: &Buffer<f32>) -> Linear {
        Linear { bias: Some(bias.clone()), ..self }
    }
    /// Applies a function to each output, last.
    pub fn activation(self, activation: Activation) -> Linear {
        Linear { activation, ..self }
    }
    /// Divides the product over threads along given directions; [`Linear::plan`] says what is done without this. The bits are the
    /// same.
    pub fn split(self, split: Split) -> Linear {
        Linear { split: Some(split), ..self }
    }
    /// The weights.
    pub fn weights(&self) -> &Arc<PackedWeights> {
        &self.weights
    }
    /// Whether the activations are quantised first.
    pub fn is_quantised(&self) -> bool {
        !self.weights.format().is_float()
    }

    /// How a product with `m` rows of activations is divided: as [`Linear::split`] says; else as a measurement on this device favours
    /// for the format and shape ([`Linear::measure`]); else by a rule. Each call counts as a use of that shape, and a shape that
    /// has been used so often that timing its divisions takes no longer is timed in the call: the products so far cost as much.
    pub fn plan(&self, m: usize) -> Plan {
        let (n, k, threads) = (self.weights.n(), self.weights.k(), self.cpu.threads());
        let split = self.split.or_else(|| {
            let large = m.saturating_mul(n).saturating_mul(k) >= LARGE;
            if threads < 2 || !large {
                return None;
            }
            match self.cpu.divisions().used(self.shape_of(m)) {
                Use::Known(split) => Some(split),
                Use::Seldom => None,
                // Without memory for a measurement the rule stands.
                Use::Often => self.time(m, Duration::ZERO).ok().and_then(|timed| self.favour(m, &timed)),
            }
        });
        match split {
            Some(split) => Plan::with(split, m, n, threads),
            None => self.rule(m),
        }
    }

    /// The division by shape and threads alone.
    fn rule(&self, m: usize) -> Plan {
        Plan::choose(self.weights.format(), m, self.weights.n(), self.cpu.threads())
    }

    fn shape_of(&self, m: usize) -> Shape {
        Shape::new(self.weights.format(), m, self.weights.n(), self.weights.k())
    }

    /// What is remembered of a measurement: the rule's division where that is about as fast, else the fastest.
    fn favour(&self, m: usize, timed: &[Timed]) -> Option<Split> {
        let fastest = timed.first()?;
        let rule = self.rule(m);
        let near = timed.iter().find(|t| t.plan == rule && t.seconds <= 1.05 * fastest.seconds);
        let split = near.unwrap_or(fastest).split;
        self.cpu.divisions().learn(self.shape_of(m), split);
        Some(split)
    }

    /// Times the product of `m` rows of activations with every division that there is for this device's threads, fastest first.
    /// All of them give the same bits. What is found is what [`Linear::plan`] takes from then on.
    ///
    /// # Errors
    /// No memory for activations and outputs; what the launch refuses.
    pub fn measure(&self, m: usize) -> Result<Vec<Timed>, Error> {
        let timed = self.time(m, MEASURE)?;
        self.favour(m, &timed);
        Ok(timed)
    }

    /// [`Linear::measure`] with so much time for each division.
    fn time(&self, m: usize, budget: Duration) -> Result<Vec<Timed>, Error> {
        let (n, k) = (self.weights.n(), self.weights.k());
        let y = self.cpu.zeros::<f32>(m * n)?;
        let mut all: Vec<(Timed, BoundLaunch)> = Vec::new();
        for split in [Split::None, Split::Weights, Split::Activations, Split::Both] {
            let plan = Plan::with(split, m, n, self.cpu.threads());
            if plan.is_empty() || plan.split() != split || all.iter().any(|(t, _)| t.plan == plan) {
                continue;
            }
            let layer = self.clone().split(split);
            let launch = match self.is_quantised() {
                true => layer.quantised(&self.cpu.zeros(m * k)?, &self.cpu.buffer(&vec![1f32; m])?, &y)?,
                false => layer.floats(&self.cpu.zeros(m * k)?, &y)?,
            };
            all.push((Timed { split, plan, seconds: f64::INFINITY }, launch.bind()?));
        }
        let count = all.len() as u32;
        let begin = Instant::now();
        let mut rounds = 0;
        // In turn, so that what disturbs the machine meets all of them; the first round warms caches and threads.
        while rounds < divisions::ROUNDS || begin.elapsed() < budget * count {
            for (timed, launch) in &mut all {
                let from = Instant::now();
                launch.run()?;
                if rounds > 0 {
                    timed.seconds = timed.seconds.min(from.elapsed().as_secs_f64());
                }
            }
            rounds += 1;
        }
        let mut all: Vec<Timed> = all.into_iter().map(|(timed, _)| timed).collect();
        all.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        Ok(all)
    }

    /// This product with the division that [`Linear::measure`] finds fastest for `m` rows of activations, for all numbers of rows.
    ///
    /// # Errors
    /// As [`Linear::measure`].
    pub fn fastest(self, m: usize) -> Result<Linear, Error> {
        let best = self.measure(m)?.first().map(|t| t.split);
        Ok(Linear { split: best.or(self.split), ..self })
    }

    /// The launch of a product with activations that are quantised already; see [`quantise`].
    ///
    /// # Errors
    /// Lengths that do not fit each other, weights of floats, what the launch refuses.
    pub fn quantised(&self, q: &Buffer<i8>, scale: &Buffer<f32>, y: &Buffer<f32>) -> Result<Launcher, Error> {
        let m = self.shape("x", q.len(), y)?;
        if scale.len() != m {
            return Err(wrong("scale", format!("{m} elements (one for each row)"), scale.len()));
        }
        let name = if self.bias.is_some() { "linear_q" } else { "matmul_q" };
        self.launch(name, m, y, |l| l.arg("x", q).arg("scale", scale))
    }

    /// The launch of a product of float weights.
    ///
    /// # Errors
    /// Lengths that do not fit each other, weights of integers, what the launch refuses.
    pub fn floats(&self, x: &Buffer<f32>, y: &Buffer<f32>) -> Result<Launcher, Error> {
        let m = self.shape("x", x.len(), y)?;
        let name = if self.bias.is_some() { "linear_f" } else { "matmul_f" };
        self.launch(name, m, y, |l| l.arg("x", x))
    }

    fn shape(&self, operand: &'static str, len: usize, y: &Buffer<f32>) -> Result<usize, Error> {
        let (n, k) = (self.weights.n(), self.weights.k());
        let m = rows(operand, len, k)?;
        if m.checked_mul(n) != Some(y.len()) {
            return Err(wrong("y", format!("{m} rows of {n}"), y.len()));
        }
        match &self.bias {
            Some(b) if b.len() != n => Err(wrong("bias", format!("{n} elements"), b.len())),
            _ => word(operand, len.max(y.len())).map(|_| m),
        }
    }

    fn launch(
        &self,
        name: &str,
        m: usize,
        y: &Buffer<f32>,
        inputs: impl FnOnce(Launcher) -> Launcher,
    ) -> Result<Launcher, Error> {
        let w = &self.weights;
        let plan = self.plan(m);
        let launch = kernel(&self.cpu, name, format_of(w), self.activation)?.launch_declared();
        let launch = inputs(launch).arg("w", w).arg("y", y);
        let launch = match &self.bias {
            Some(bias) => launch.arg("bias", bias),
            None => launch,
        };
        let launch =
            launch.arg("rows", word("x", m)?).arg("n", word("w", w.n())?).arg("k", word("w", w.k())?);
        Ok(launch.arg("tile_m", word("x", plan.tile_m)?).arg("tile_n", word("w", plan.tile_n)?))
    }

    /// The product with rows of activations.
    ///
    /// # Errors
    /// A length that is no multiple of the weights' columns; what the launches refuse; no memory.
    pub fn apply(&self, x: &Buffer<f32>) -> Result<Buffer<f32>, Error> {
        let m = rows("x", x.len(), self.weights.k())?;
        let mut y = self.cpu.zeros::<f32>(m * self.weights.n())?;
        self.apply_into(x, &mut y)?;
        Ok(y)
    }

    /// As [`Linear::apply`], into the caller's memory.
    ///
    /// # Errors
    /// As [`Linear::apply`], and another length of `y`.
    pub fn apply_into(&self, x: &Buffer<f32>, y: &mut Buffer<f32>) -> Result<(), Error> {
        let k = self.weights.k();
        if y.is_empty() {
            return self.shape("x", x.len(), y).map(|_| ());
        }
        if self.is_quantised() {
            let q = self.cpu.zeros::<i8>(x.len())?;
            let scale = self.cpu.zeros::<f32>(self.shape("x", x.len(), y)?)?;
            quantise(&self.cpu, x, &q, &scale, k)?.run()?;
            self.quantised(&q, &scale, y)?.run()?;
        } else {
            self.floats(x, y)?.run()?;
        }
        Ok(())
    }
}

/// Weight rows that a matrix counts for among those of [`together`].
pub const fn padded(n: usize) -> usize {
    n.next_multiple_of(64)
}

/// The launch of two or three products of one format with the same quantised activations: gate and up; queries, keys and
/// values. One launch keeps all threads busy where the single matrices are small.
///
/// # Errors
/// Another number of matrices, different formats or columns, lengths that do not fit each other, what the launch refuses.
pub fn together(
    cpu: &Cpu,
    q: &Buffer<i8>,
    scale: &Buffer<f32>,
    products: &[(&Arc<PackedWeights>, &Buffer<f32>)],
) -> Result<Launcher, Error> {
    const NAMES: [[&str; 3]; 3] = [["wa", "na", "a"], ["wb", "nb", "b"], ["wc", "nc", "c"]];
    let name = match products.len() {
        2 => "matmul_q2",
        3 => "matmul_q3",
        n => return Err(wrong("products", "2 or 3 matrices".into(), n)),
    };
    let (first, k) = (products[0].0, products[0].0.k());
    let m = rows("x", q.len(), k)?;
    if scale.len() != m {
        return Err(wrong("scale", format!("{m} elements (one for each row)"), scale.len()));
    }
    // As one matrix, of the rows of all, each rounded up to whole stripes.
    let mut n = 0;
    for (w, y) in products {
        if w.k() != k || w.format() != first.format() {
            return Err(wrong("w", format!("{} of {k} columns, as the first", first.format()), w.k()));
        }
        if m.checked_mul(w.n()) != Some(y.len()) {
            return Err(wrong("y", format!("{m} rows of {}", w.n()), y.len()));
        }
        n += padded(w.n());
    }
    let plan = Plan::choose(first.format(), m, n, cpu.threads());
    let launch = kernel(cpu, name, format_of(first), Activation::None)?.launch_declared();
    let launch = launch.arg("x", q).arg("scale", scale).arg("rows", word("x", m)?).arg("k", word("w", k)?);
    let launch = launch.arg("tile_m", word("x", plan.tile_m)?).arg("tile_n", word("w", plan.tile_n)?);
    let launch = launch.arg("all", word("w", n)?);
    products.iter().zip(NAMES).try_fold(launch, |launch, ((w, y), [matrix, rows, out])| {
        Ok(launch.arg(matrix, *w).arg(rows, word("w", w.n())?).arg(out, *y))
    })
}
