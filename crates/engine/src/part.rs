//! Recorded launches whose number of rows changes from run to run: how much work each step is, and how many threads it is worth.

use crate::error::EngineError;
use crate::graph::{Source, norm_kernel};
use crate::model::{Linear, NormWeights};
use crate::parallel::{PRODUCTS, worth};
use crate::session::Config;
use phalanx::exec::workers::Workers;
use phalanx::kernels::{PackedFormat, Plan, Split};
use phalanx::product::{self, Linear as Product};
use phalanx::{Buffer, CancelToken, Cpu, Launcher, Sequence, SequenceBuilder, StepId, ops};
use std::sync::Arc;

/// About how long a step takes on one thread, in nanoseconds: for choosing how many threads it is worth.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// For each row.
    row: u64,
    /// For a thousand keys of each row.
    keys: u64,
}

impl Work {
    pub(crate) fn of(self, rows: usize, keys: usize) -> u64 {
        (self.row + self.keys * keys as u64 / 1000) * rows as u64
    }
}

/// An element of a step of ordinary instructions.
const ELEMENT: u64 = 2;
/// Attention of a row, however few keys there are.
const ATTEND: u64 = 1_000;
/// Elements of all queries of a row that a nanosecond serves, key and value together.
const ATTENDED: u64 = 20;
/// Rows of a block of attention at most: a few of the kernel's tiles, whose scores stay in the second cache.
const TOGETHER: usize = 24;

/// Recorded launches whose number of rows changes from run to run.
pub(crate) struct Part {
    pub(crate) sequence: Sequence,
    /// All steps: each has a parameter `rows`.
    steps: Vec<(StepId, Work)>,
    /// Products: how they are divided depends on the rows.
    products: Vec<(StepId, PackedFormat, usize)>,
    /// Attention, likewise, with the heads of queries and of the cache.
    attention: Vec<(StepId, (usize, usize))>,
    /// The present number of rows, and of keys at most.
    now: (usize, usize),
    threads: usize,
    min_work: u64,
    split: Option<Split>,
}

/// A [`Part`] being recorded.
pub(crate) struct Recording {
    cpu: Cpu,
    record: SequenceBuilder,
    steps: Vec<(StepId, Work)>,
    products: Vec<(StepId, PackedFormat, usize)>,
    attention: Vec<(StepId, (usize, usize))>,
    /// Rows at most.
    most: usize,
    /// What norms give: each product that follows takes it before the next norm.
    normed: Buffer<f32>,
    min_work: u64,
    split: Option<Split>,
}

/// Codes of activations and their divisors.
type Codes = (Buffer<i8>, Buffer<f32>);

/// What a product takes.
pub(crate) struct Given {
    x: Buffer<f32>,
    /// Where they are made already.
    codes: Option<Codes>,
}

impl Given {
    /// Rows without codes.
    pub(crate) fn rows(x: &Buffer<f32>) -> Given {
        Given { x: x.clone(), codes: None }
    }
}

/// Whether products with these matrices take codes.
fn take_codes(all: &[&Linear]) -> bool {
    all.iter().any(|m| !m.weights.format().is_float())
}

impl Recording {
    /// For runs of at most `most` rows; norms are over `widest` elements at most.
    pub(crate) fn new(
        cpu: &Cpu,
        most: usize,
        config: &Config,
        widest: usize,
    ) -> Result<Recording, EngineError> {
        let (steps, products, attention) = (Vec::new(), Vec::new(), Vec::new());
        let Config { min_work, split, .. } = *config;
        let normed = cpu.zeros(most * widest)?;
        let (cpu, record) = (cpu.clone(), cpu.sequence());
        Ok(Recording { cpu, record, steps, products, attention, most, normed, min_work, split })
    }

    pub(crate) fn floats(&mut self, cols: usize) -> Result<Buffer<f32>, EngineError> {
        Ok(self.record.intermediate::<f32>(self.most * cols)?)
    }

    /// Adds a step with a parameter `rows`.
    fn step(&mut self, launch: Launcher, work: Work) -> Result<StepId, EngineError> {
        let step = self.record.step(launch)?;
        self.steps.push((step, work));
        Ok(step)
    }

    /// Adds a step of ordinary instructions on so many elements of a row.
    pub(crate) fn elements(&mut self, launch: Launcher, count: usize) -> Result<StepId, EngineError> {
        self.step(launch, Work { row: ELEMENT * count as u64, keys: 0 })
    }

    /// Begins a launch of a kernel with a parameter `rows`.
    pub(crate) fn kernel(&self, name: &str) -> Result<Launcher, EngineError> {
        Ok(ops::kernel(&self.cpu, name)?.launch_declared().arg("rows", self.most as u32))
    }

    fn codes(&mut self, x: &Buffer<f32>, cols: usize) -> Result<Codes, EngineError> {
        let q = self.record.intermediate::<i8>(self.most * cols)?;
        let scale = self.record.intermediate::<f32>(self.most)?;
        let launch = product::quantise(&self.cpu, x, &q, &scale, cols)?;
        self.step(launch, Work { row: cols as u64 / 4, keys: 0 })?;
        Ok((q, scale))
    }

    /// A norm, with codes where the products with `next` take them. `launch` has what is to be normed.
    pub(crate) fn norm(
        &mut self,
        norm: &NormWeights,
        launch: Launcher,
        cols: usize,
        next: &[&Linear],
    ) -> Result<Given, EngineError> {
        let coded = take_codes(next);
        let (codes, scales) = if coded { (self.most * cols, self.most) } else { (1, 1) };
        let q = self.record.intermediate::<i8>(codes)?;
        let scale = self.record.intermediate::<f32>(scales)?;
        let y = self.normed.view(0..self.most * cols)?;
        let launch = launch.arg("weight", &norm.weight).arg("y", &y).arg("q", &q).arg("scale", &scale);
        let launch = match &norm.bias {
            Some(bias) => launch.arg("bias", bias),
            None => launch,
        };
        let launch = launch.arg("cols", cols as u32).arg("eps", norm.epsilon).arg("codes", u32::from(coded));
        self.elements(launch, cols)?;
        Ok(Given { x: y, codes: coded.then_some((q, scale)) })
    }

    /// Begins the launch of a norm of rows from some source.
    pub(crate) fn norm_kernel(&self, norm: &NormWeights, source: Source) -> Result<Launcher, EngineError> {
        self.kernel(norm_kernel(norm.kind, source))
    }

    /// Products of the same rows with some matrices, together where that is possible.
    pub(crate) fn products(
        &mut self,
        given: &Given,
        all: &[(&Linear, &Buffer<f32>)],
    ) -> Result<(), EngineError> {
        let matrices: Vec<&Linear> = all.iter().map(|(m, _)| *m).collect();
        let codes = match (&given.codes, take_codes(&matrices)) {
            (Some(codes), _) => Some(codes.clone()),
            (None, true) => Some(self.codes(&given.x, matrices[0].weights.k())?),
            (None, false) => None,
        };
        let first = all[0].0.weights.format();
        let alike = all.iter().all(|(m, _)| m.weights.format() == first && m.bias.is_none());
        if let (Some((q, scale)), true, 2..=3) = (&codes, alike, all.len()) {
            let together: Vec<_> = all.iter().map(|(m, y)| (&m.weights, *y)).collect();
            let launch = product::together(&self.cpu, q, scale, &together)?;
            let n = all.iter().map(|(m, _)| product::padded(m.weights.n())).sum();
            return self.product(launch, first, n, all[0].0.weights.k());
        }
        for (m, y) in all {
            // Divided anew at each number of rows; nothing is to be measured here.
            let mut product = Product::new(&self.cpu, Arc::clone(&m.weights)).split(Split::None);
            if let Some(bias) = &m.bias {
                product = product.bias(bias);
            }
            let launch = match &codes {
                Some((q, scale)) if product.is_quantised() => product.quantised(q, scale, y)?,
                _ => product.floats(&given.x, y)?,
            };
            self.product(launch, m.weights.format(), m.weights.n(), m.weights.k())?;
        }
        Ok(())
    }

    fn product(
        &mut self,
        launch: Launcher,
        format: PackedFormat,
        n: usize,
        k: usize,
    ) -> Result<(), EngineError> {
        // Wider weights take as much longer as they are wider, roughly.
        let slower = if format.is_float() { 8 } else { 1 };
        let row = (n * k) as u64 * slower / PRODUCTS;
        let step = self.step(launch, Work { row, keys: 0 })?;
        self.products.push((step, format, n));
        Ok(())
    }

    pub(crate) fn attention(
        &mut self,
        launch: Launcher,
        heads: (usize, usize),
        width: usize,
    ) -> Result<(), EngineError> {
        let step = self.step(launch, Work { row: ATTEND, keys: 1000 * width as u64 / ATTENDED })?;
        self.attention.push((step, heads));
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Part, EngineError> {
        let Recording { cpu, record, steps, products, attention, min_work, split, .. } = self;
        let mut sequence = record.finish()?;
        // What reads weights and cache, along whose parts it is divided.
        let reads = products.iter().map(|(step, ..)| step).chain(attention.iter().map(|(step, _)| step));
        reads.for_each(|step| sequence.set_by_node(*step, true));
        Ok(Part {
            sequence,
            steps,
            products,
            attention,
            now: (usize::MAX, 0),
            threads: cpu.threads(),
            min_work,
            split,
        })
    }
}

impl Part {
    pub(crate) fn run(
        &mut self,
        rows: usize,
        keys: usize,
        workers: &dyn Workers,
        cancel: Option<&CancelToken>,
    ) -> Result<(), EngineError> {
        let (before, keys_before) = self.now;
        if rows != before {
            for (step, _) in &self.steps {
                self.sequence.set_scalar(*step, "rows", rows as u32)?;
            }
            for (step, format, n) in &self.products {
                // One part where it is not worth two threads: each costs something.
                let work = self.steps.iter().find(|(s, _)| s == step).map_or(0, |(_, w)| w.of(rows, 0));
                let threads = worth(work, self.min_work, self.threads);
                let plan = match self.split {
                    Some(split) => Plan::with(split, rows, *n, threads),
                    None => Plan::choose(*format, rows, *n, threads),
                };
                self.sequence.set_scalar(*step, "tile_m", plan.tile_m as u32)?;
                self.sequence.set_scalar(*step, "tile_n", plan.tile_n as u32)?;
            }
        }
        // Looked at again where it has doubled.
        let keys = keys.next_power_of_two();
        if (rows, keys) != (before, keys_before) {
            for (step, heads) in &self.attention {
                let work = self.steps.iter().find(|(s, _)| s == step).map_or(0, |(_, w)| w.of(rows, keys));
                let (part, tile) = divide_attention(*heads, rows, worth(work, self.min_work, self.threads));
                self.sequence.set_scalar(*step, "part", part as u32)?;
                self.sequence.set_scalar(*step, "tile", tile as u32)?;
            }
            for (step, work) in &self.steps {
                let threads = worth(work.of(rows, keys), self.min_work, self.threads);
                self.sequence.set_threads(*step, threads);
            }
            self.now = (rows, keys);
        }
        Ok(self.sequence.raw().run(workers, cancel)?)
    }
}

impl Part {
    /// The name of a step's kernel.
    pub(crate) fn kernel(&self, i: usize) -> String {
        let kernel = self.steps.get(i).and_then(|(s, _)| self.sequence.raw().kernel(*s));
        kernel.map_or_else(String::new, |k| k.name.clone())
    }
}

/// Heads and rows of a block of attention: together what shares its keys, as long as no thread waits for another much longer than
/// it works.
fn divide_attention((heads, kv_heads): (usize, usize), rows: usize, threads: usize) -> (usize, usize) {
    let group = heads / kv_heads;
    let parts = |p: &usize| group.is_multiple_of(*p) || (p.is_multiple_of(group) && heads.is_multiple_of(*p));
    let mut best = (usize::MAX, (1, 1));
    for tile in (1..=TOGETHER).rev().filter(|t| TOGETHER.is_multiple_of(*t)) {
        for part in (1..=heads).rev().filter(parts) {
            let blocks = heads / part * rows.div_ceil(tile);
            // What the thread with most blocks does, in rows of a head; smaller blocks count a little more.
            let most = blocks.div_ceil(threads) * part * tile.min(rows.max(1));
            let cost = most * (32 + blocks.min(8 * threads).div_ceil(threads)) / 32;
            best = best.min((cost, (part, tile)));
        }
    }
    best.1
}
