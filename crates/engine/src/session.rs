//! A model at work: recorded launches, a cache of keys and values, and the texts that are in it.

use crate::error::{EngineError, refused};
use crate::graph::gate_kernel;
use crate::model::{Linear, Model, Rows};
use crate::parallel::{MIN_WORK, PRODUCTS, worth};
use phalanx::exec::workers::{Sequential, Workers};
use phalanx::kernels::{PackedFormat, Plan, Split};
use phalanx::product::{self, Linear as Product};
use phalanx::{Buffer, CancelToken, Cpu, F16, Launcher, Sequence, SequenceBuilder, StepId, ops};
use phalanx_weights::Shape;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The type of keys and values in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// Half precision: half the memory, rounded once when stored.
    #[default]
    F16,
    /// Single precision.
    F32,
}

impl CacheType {
    /// Bytes of an element.
    pub const fn bytes(self) -> usize {
        match self {
            CacheType::F16 => 2,
            CacheType::F32 => 4,
        }
    }
}

/// Sizes of a [`Session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Positions of each text; rounded up to a multiple of 64. 0: as many as the model was trained for.
    pub context: usize,
    /// Texts at a time.
    pub texts: usize,
    /// The type of the cache.
    pub cache: CacheType,
    /// Rows of a run at most. 0: as many as keep the memory for intermediates small beside the weights.
    pub rows: usize,
    /// Nanoseconds of work that are worth a thread ([`crate::ParallelConfig::min_work_per_thread`]).
    pub min_work: u64,
    /// Along what products are divided over threads: features (weight rows), the batch (rows of a run), or both; without it, what
    /// shape and threads suggest. No bit depends on it.
    pub split: Option<Split>,
}

impl Default for Config {
    fn default() -> Config {
        Config { context: 0, texts: 1, cache: CacheType::default(), rows: 0, min_work: MIN_WORK, split: None }
    }
}

/// A row of a run: the next token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which text, below [`Config::texts`].
    pub text: usize,
    /// Its next token.
    pub token: u32,
    /// Whether the logits after it are wanted.
    pub wanted: bool,
}

/// Positions of a tile of keys, and elements of a panel of values.
const TILE: usize = 64;
/// Rows at most and at least, where the session chooses.
const ROWS: (usize, usize) = (16, 256);
/// Bytes of intermediates that are always allowed, and the share of the weights that is.
const ARENA: (usize, usize) = (4 << 20, 60);
/// Bytes of logits of one run of the head.
const LOGITS: usize = 8 << 20;

/// About how long a step takes on one thread, in nanoseconds: for choosing how many threads it is worth.
#[derive(Clone, Copy)]
struct Work {
    /// For each row.
    row: u64,
    /// For a thousand keys of each row.
    keys: u64,
}

impl Work {
    fn of(self, rows: usize, keys: usize) -> u64 {
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
struct Part {
    sequence: Sequence,
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
struct Recording {
    cpu: Cpu,
    record: SequenceBuilder,
    steps: Vec<(StepId, Work)>,
    products: Vec<(StepId, PackedFormat, usize)>,
    attention: Vec<(StepId, (usize, usize))>,
    /// Rows at most.
    most: usize,
    min_work: u64,
    split: Option<Split>,
}

/// Codes of activations and their divisors.
type Codes = (Buffer<i8>, Buffer<f32>);

impl Recording {
    fn new(cpu: &Cpu, most: usize, config: &Config) -> Recording {
        let (steps, products, attention) = (Vec::new(), Vec::new(), Vec::new());
        let Config { min_work, split, .. } = *config;
        let (cpu, record) = (cpu.clone(), cpu.sequence());
        Recording { cpu, record, steps, products, attention, most, min_work, split }
    }

    fn floats(&mut self, cols: usize) -> Result<Buffer<f32>, EngineError> {
        Ok(self.record.intermediate::<f32>(self.most * cols)?)
    }

    /// Adds a step with a parameter `rows`.
    fn step(&mut self, launch: Launcher, work: Work) -> Result<StepId, EngineError> {
        let step = self.record.step(launch)?;
        self.steps.push((step, work));
        Ok(step)
    }

    /// Adds a step of ordinary instructions on so many elements of a row.
    fn elements(&mut self, launch: Launcher, count: usize) -> Result<StepId, EngineError> {
        self.step(launch, Work { row: ELEMENT * count as u64, keys: 0 })
    }

    /// Begins a launch of a kernel with a parameter `rows`.
    fn kernel(&self, name: &str) -> Result<Launcher, EngineError> {
        Ok(ops::kernel(&self.cpu, name)?.launch_declared().arg("rows", self.most as u32))
    }

    fn codes(&mut self, x: &Buffer<f32>, cols: usize) -> Result<Codes, EngineError> {
        let q = self.record.intermediate::<i8>(self.most * cols)?;
        let scale = self.record.intermediate::<f32>(self.most)?;
        let launch = product::quantise(&self.cpu, x, &q, &scale, cols)?;
        self.step(launch, Work { row: cols as u64 / 4, keys: 0 })?;
        Ok((q, scale))
    }

    /// Products of the same rows with some matrices, together where that is possible.
    fn products(&mut self, x: &Buffer<f32>, all: &[(&Linear, &Buffer<f32>)]) -> Result<(), EngineError> {
        let codes = match all.iter().find(|(m, _)| !m.weights.format().is_float()) {
            Some((m, _)) => Some(self.codes(x, m.weights.k())?),
            None => None,
        };
        let first = all[0].0.weights.format();
        let alike = all.iter().all(|(m, _)| m.weights.format() == first && m.bias.is_none());
        if let (Some((q, scale)), true, 2..=3) = (&codes, alike, all.len()) {
            let together: Vec<_> = all.iter().map(|(m, y)| (&m.weights, *y)).collect();
            let launch = product::together(&self.cpu, q, scale, &together)?;
            let n = all.iter().map(|(m, _)| m.weights.n()).sum();
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
                _ => product.floats(x, y)?,
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

    fn attention(
        &mut self,
        launch: Launcher,
        heads: (usize, usize),
        width: usize,
    ) -> Result<(), EngineError> {
        let step = self.step(launch, Work { row: ATTEND, keys: 1000 * width as u64 / ATTENDED })?;
        self.attention.push((step, heads));
        Ok(())
    }

    fn finish(self) -> Result<Part, EngineError> {
        let Recording { cpu, record, steps, products, attention, min_work, split, .. } = self;
        Ok(Part {
            sequence: record.finish()?,
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
    fn run(
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

/// Where time went, since the session was made or [`Session::reset_spent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In the recorded launches.
    pub launches: Duration,
    /// In everything else that the session does: handing tokens over, reading logits.
    pub host: Duration,
    /// Launches.
    pub steps: u64,
}

/// The rows of the next run, for the programs.
struct Inputs {
    token: Buffer<u32>,
    pos: Buffer<u32>,
    slot: Buffer<u32>,
    pick: Buffer<u32>,
    /// The same on this side, used again for each run.
    host: [Vec<u32>; 4],
}

/// A model with a cache, running. Texts are independent of each other: each has its own positions and its own part of the cache.
pub struct Session {
    model: Model,
    config: Config,
    body: Part,
    head: Part,
    inputs: Inputs,
    logits: Buffer<f32>,
    row: Vec<f32>,
    /// Rows of a run of the head.
    most_wanted: usize,
    lengths: Vec<usize>,
    cache_bytes: u64,
    spent: Spent,
}

/// The caches of all blocks: keys, values, and elements of both in a block.
struct Cache {
    elements: Elements,
    each: [usize; 2],
}

enum Elements {
    F16(Buffer<F16>, Buffer<F16>),
    F32(Buffer<f32>, Buffer<f32>),
}

/// Elements of keys and values of a block, as `programs/bitnet/cache.phx` lays them out.
fn cache_elements(s: &Shape, texts: usize, context: usize) -> [usize; 2] {
    [s.head_dim, s.head_dim.next_multiple_of(TILE)].map(|dim| texts * s.kv_heads * context * dim)
}

impl Cache {
    fn new(cpu: &Cpu, kind: CacheType, layers: usize, each: [usize; 2]) -> Result<Cache, EngineError> {
        let [keys, values] = each.map(|n| n * layers);
        let elements = match kind {
            CacheType::F16 => Elements::F16(cpu.zeros(keys)?, cpu.zeros(values)?),
            CacheType::F32 => Elements::F32(cpu.zeros(keys)?, cpu.zeros(values)?),
        };
        Ok(Cache { elements, each })
    }

    /// The kernel's name for this type.
    fn kernel(&self, stem: &str) -> String {
        format!("{stem}_{}", if matches!(self.elements, Elements::F16(..)) { "f16" } else { "f32" })
    }

    /// Gives a launch the keys of block `i`.
    fn keys(&self, launch: Launcher, i: usize) -> Result<Launcher, EngineError> {
        let part = i * self.each[0]..(i + 1) * self.each[0];
        Ok(match &self.elements {
            Elements::F16(keys, _) => launch.arg("kc", keys.view(part)?),
            Elements::F32(keys, _) => launch.arg("kc", keys.view(part)?),
        })
    }

    /// Gives a launch the values of block `i`.
    fn values(&self, launch: Launcher, i: usize) -> Result<Launcher, EngineError> {
        let part = i * self.each[1]..(i + 1) * self.each[1];
        Ok(match &self.elements {
            Elements::F16(_, values) => launch.arg("vc", values.view(part)?),
            Elements::F32(_, values) => launch.arg("vc", values.view(part)?),
        })
    }
}

impl Session {
    /// Records the launches and allocates cache and intermediates.
    ///
    /// # Errors
    /// Sizes that do not fit the model or 32-bit indices, no memory.
    pub fn new(model: &Model, config: Config) -> Result<Session, EngineError> {
        let shape = &model.graph().shape;
        let cpu = model.cpu();
        let context = if config.context == 0 { shape.context } else { config.context };
        let context = context.next_multiple_of(TILE);
        let d = shape.width;
        let texts = config.texts.max(1);
        let rows = if config.rows == 0 { default_rows(model, context) } else { config.rows };
        // Programs count in 32 bits.
        let each = cache_elements(shape, texts, context);
        let largest = [each[1], rows * shape.ffn.max(d), shape.vocab];
        if largest.iter().any(|n| *n > u32::MAX as usize) {
            return Err(refused(format!(
                "{texts} texts of {context} positions in runs of {rows} rows: too large for 32-bit indices"
            )));
        }
        let config = Config { context, texts, rows, ..config };
        let cache = Cache::new(cpu, config.cache, shape.layers, each)?;
        let most_wanted = (LOGITS / 4 / shape.vocab).clamp(1, rows);
        let inputs = Inputs {
            token: cpu.zeros(rows)?,
            pos: cpu.zeros(rows)?,
            slot: cpu.zeros(rows)?,
            pick: cpu.zeros(most_wanted)?,
            host: std::array::from_fn(|_| Vec::with_capacity(rows)),
        };
        let stream = [cpu.zeros::<f32>(rows * d)?, cpu.zeros::<f32>(rows * d)?];
        let logits = cpu.zeros::<f32>(most_wanted * shape.vocab)?;
        let body = body(model, &config, &cache, &inputs, &stream)?;
        let head = head(model, (most_wanted, &config), &inputs, &stream, &logits)?;
        Ok(Session {
            row: vec![0.0; shape.vocab],
            model: model.clone(),
            config,
            body,
            head,
            inputs,
            logits,
            most_wanted,
            lengths: vec![0; texts],
            cache_bytes: ((each[0] + each[1]) * shape.layers * config.cache.bytes()) as u64,
            spent: Spent::default(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
    /// The sizes, as they came out.
    pub fn config(&self) -> Config {
        self.config
    }
    /// Tokens of a text that are in the cache.
    pub fn len(&self, text: usize) -> usize {
        self.lengths.get(text).copied().unwrap_or(0)
    }
    /// Whether no text has a token.
    pub fn is_empty(&self) -> bool {
        self.lengths.iter().all(|n| *n == 0)
    }
    /// Bytes of the cache.
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }
    /// Bytes of the cache that a token of a text of `len` tokens reads.
    pub fn cache_read(&self, len: usize) -> u64 {
        let s = &self.model.graph().shape;
        (2 * s.layers * s.kv_heads * s.head_dim * len * self.config.cache.bytes()) as u64
    }
    /// Bytes of intermediates.
    pub fn arena_bytes(&self) -> u64 {
        let arenas = [&self.body, &self.head].map(|p| p.sequence.raw().arena_bytes());
        arenas.iter().sum::<u64>() + self.logits.raw().buffer.bytes()
    }
    /// Launches for a token with logits.
    pub fn steps(&self) -> usize {
        self.body.sequence.raw().len() + self.head.sequence.raw().len()
    }
    /// Where time went.
    pub fn spent(&self) -> Spent {
        self.spent
    }
    /// Counts from zero again.
    pub fn reset_spent(&mut self) {
        self.spent = Spent::default();
    }

    /// Forgets a text's tokens from `len` on. What is forgotten is computed anew when it comes again; nothing else changes.
    pub fn truncate(&mut self, text: usize, len: usize) {
        if let Some(n) = self.lengths.get_mut(text) {
            *n = len.min(*n);
        }
    }

    /// Runs rows on the device's threads; texts may stand in any order and several times. `logits` sees those that are wanted, in
    /// the order of the rows: the row's number and its logits.
    ///
    /// # Errors
    /// A text or token that is none, too many rows or positions (nothing has run then), or a launch that fails.
    pub fn forward(
        &mut self,
        rows: &[Entry],
        cancel: Option<&CancelToken>,
        logits: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        let model = self.model.clone();
        self.forward_on(model.cpu().workers(), rows, cancel, logits)
    }

    /// As [`Session::forward`], on the caller's thread alone. The bits are the same.
    ///
    /// # Errors
    /// As [`Session::forward`].
    pub fn forward_sequential(
        &mut self,
        rows: &[Entry],
        logits: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        self.forward_on(&Sequential, rows, None, logits)
    }

    fn forward_on(
        &mut self,
        workers: &dyn Workers,
        rows: &[Entry],
        cancel: Option<&CancelToken>,
        logits: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        let begin = Instant::now();
        if rows.is_empty() {
            return Ok(());
        }
        self.take(rows)?;
        let keys = rows.iter().map(|r| self.lengths[r.text]).max().unwrap_or(0);
        let mut launches = Duration::ZERO;
        let mut timed = |part: &mut Part, rows: usize| {
            let from = Instant::now();
            let result = part.run(rows, keys, workers, cancel);
            launches += from.elapsed();
            result
        };
        let result = timed(&mut self.body, rows.len());
        self.model.has_read(rows.len());
        self.spent.steps += self.body.sequence.raw().len() as u64;
        if let Err(e) = result {
            // What the rows would have written counts as not there.
            rows.iter().for_each(|r| self.lengths[r.text] -= 1);
            return Err(e);
        }
        let mut wanted = (0..rows.len()).filter(|i| rows[*i].wanted).peekable();
        while wanted.peek().is_some() {
            let pick = &mut self.inputs.host[3];
            pick.clear();
            pick.extend(wanted.by_ref().take(self.most_wanted).map(|i| i as u32));
            self.inputs.pick.write(pick)?;
            timed(&mut self.head, pick.len())?;
            self.spent.steps += self.head.sequence.raw().len() as u64;
            for (i, at) in pick.iter().enumerate() {
                let vocab = self.row.len();
                self.logits.view(i * vocab..(i + 1) * vocab)?.read_into(&mut self.row)?;
                logits(*at as usize, &self.row);
            }
        }
        self.spent.launches += launches;
        self.spent.host += begin.elapsed().saturating_sub(launches);
        Ok(())
    }

    /// Checks rows, counts them as part of their texts, and hands them over.
    fn take(&mut self, rows: &[Entry]) -> Result<(), EngineError> {
        let vocab = self.model.graph().shape.vocab;
        if rows.len() > self.config.rows {
            return Err(refused(format!("{} rows in a run of at most {}", rows.len(), self.config.rows)));
        }
        let [token, pos, slot, _] = &mut self.inputs.host;
        [&mut *token, &mut *pos, &mut *slot].into_iter().for_each(Vec::clear);
        let mut wrong = None;
        for r in rows {
            let Some(len) = self.lengths.get_mut(r.text) else {
                wrong = Some(refused(format!("text {} of {}", r.text, self.config.texts)));
                break;
            };
            if r.token as usize >= vocab {
                wrong = Some(refused(format!("token {} of a vocabulary of {vocab}", r.token)));
                break;
            }
            if *len >= self.config.context {
                wrong = Some(EngineError::Context { needed: *len + 1, context: self.config.context });
                break;
            }
            token.push(r.token);
            pos.push(*len as u32);
            slot.push(r.text as u32);
            *len += 1;
        }
        let buffers = [(&self.inputs.token, &*token), (&self.inputs.pos, &*pos), (&self.inputs.slot, &*slot)];
        let written = buffers.into_iter().try_for_each(|(to, from)| to.write(from));
        if let Some(e) = wrong.or(written.err().map(EngineError::from)) {
            slot.iter().for_each(|text| self.lengths[*text as usize] -= 1);
            return Err(e);
        }
        Ok(())
    }

    /// Adds tokens to a text, in runs of as many rows as there may be, and gives the logits after the last one.
    ///
    /// # Errors
    /// As [`Session::forward`]; a text that would pass the context is refused before anything runs.
    pub fn feed(
        &mut self,
        text: usize,
        tokens: &[u32],
        cancel: Option<&CancelToken>,
    ) -> Result<&[f32], EngineError> {
        let needed = self.len(text) + tokens.len();
        if needed > self.config.context {
            return Err(EngineError::Context { needed, context: self.config.context });
        }
        let mut rows = Vec::with_capacity(tokens.len().min(self.config.rows));
        for (i, part) in tokens.chunks(self.config.rows).enumerate() {
            let before = i * self.config.rows;
            rows.clear();
            let entry = |(j, token): (usize, &u32)| Entry {
                text,
                token: *token,
                wanted: before + j + 1 == tokens.len(),
            };
            rows.extend(part.iter().enumerate().map(entry));
            self.forward(&rows, cancel, &mut |_, _| {})?;
        }
        Ok(&self.row)
    }

    /// What of the time of a token is not in kernels: a run of all launches with nothing to do.
    ///
    /// # Errors
    /// A launch fails.
    pub fn idle_run(&mut self) -> Result<Duration, EngineError> {
        let model = self.model.clone();
        let workers = model.cpu().workers();
        self.body.run(0, 1, workers, None)?;
        self.head.run(0, 1, workers, None)?;
        let begin = Instant::now();
        self.body.run(0, 1, workers, None)?;
        self.head.run(0, 1, workers, None)?;
        Ok(begin.elapsed())
    }

    /// The kernels of all launches with the time that each takes when the present rows run once more.
    ///
    /// # Errors
    /// A launch fails.
    pub fn profile(&self) -> Result<Vec<(String, Duration)>, EngineError> {
        let mut all = Vec::new();
        for part in [&self.body, &self.head] {
            let times = part.sequence.run_timed()?;
            let kernels = (0..times.len()).map(|i| part.kernel(i));
            all.extend(kernels.zip(times));
        }
        Ok(all)
    }
}

impl Part {
    fn kernel(&self, i: usize) -> String {
        let kernel = self.steps.get(i).and_then(|(s, _)| self.sequence.raw().kernel(*s));
        kernel.map_or_else(String::new, |k| k.name.clone())
    }
}

/// Heads and rows of a block of attention: together what shares its keys, as long as no thread waits for another much longer than
/// it works.
fn divide_attention((heads, kv_heads): (usize, usize), rows: usize, threads: usize) -> (usize, usize) {
    let group = heads / kv_heads;
    let mut best = (usize::MAX, (1, 1));
    for tile in (1..=TOGETHER).rev().filter(|t| TOGETHER.is_multiple_of(*t)) {
        for part in (1..=group).rev().filter(|p| group.is_multiple_of(*p)) {
            let blocks = heads / part * rows.div_ceil(tile);
            // What the thread with most blocks does, in rows of a head; smaller blocks count a little more.
            let most = blocks.div_ceil(threads) * part * tile.min(rows.max(1));
            let cost = most * (32 + blocks.min(8 * threads).div_ceil(threads)) / 32;
            best = best.min((cost, (part, tile)));
        }
    }
    best.1
}

/// Rows of a run whose intermediates are small beside the weights.
fn default_rows(model: &Model, context: usize) -> usize {
    let s = &model.graph().shape;
    let weights = (model.block_bytes() + model.head_bytes()) as usize;
    let row = 4 * (3 * s.ffn).max(4 * s.width) + 3 * 4 * s.width;
    let rows = (weights / ARENA.1).max(ARENA.0) / row;
    (rows / 16 * 16).clamp(ROWS.0, ROWS.1).min(context)
}

/// Everything from tokens to the residual stream and what the last block adds to it.
fn body(
    model: &Model,
    config: &Config,
    cache: &Cache,
    inputs: &Inputs,
    [x, d]: &[Buffer<f32>; 2],
) -> Result<Part, EngineError> {
    let (s, cpu) = (&model.graph().shape, model.cpu());
    let (heads, kv_heads, dim) = (s.heads as u32, s.kv_heads as u32, s.head_dim as u32);
    let (context, width, eps) = (config.context as u32, s.width as u32, s.rms_epsilon);
    let (q_cols, kv_cols) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
    let half = s.rope_dims / 2;
    let turns = [cpu.zeros::<f32>(config.context * half)?, cpu.zeros::<f32>(config.context * half)?];
    let angles = ops::kernel(cpu, "angles")?.launch_declared().arg("cos", &turns[0]).arg("sin", &turns[1]);
    angles.arg("context", context).arg("half", half as u32).arg("base", f64::from(s.rope_base)).run()?;

    let mut r = Recording::new(cpu, config.rows, config);
    match model.rows() {
        Rows::F32(table) => {
            let launch = r.kernel("embed_f32")?.arg("table", table).arg("token", &inputs.token);
            r.elements(launch.arg("y", x).arg("cols", width), s.width)?;
        }
        Rows::F16(table) => {
            let launch = r.kernel("embed_f16")?.arg("table", table).arg("token", &inputs.token);
            r.elements(launch.arg("y", x).arg("cols", width), s.width)?;
        }
        Rows::Q8_0(scales, codes) => {
            let launch = r.kernel("embed_q8_0")?.arg("scales", scales).arg("codes", codes);
            r.elements(launch.arg("token", &inputs.token).arg("y", x).arg("cols", width), s.width)?;
        }
    }
    let norm = |r: &mut Recording, x: &Buffer<f32>, weight: &Buffer<f32>, cols: usize| {
        let y = r.floats(cols)?;
        let launch = r.kernel("rms_rows")?.arg("x", x).arg("weight", weight).arg("y", &y);
        r.elements(launch.arg("cols", cols as u32).arg("eps", eps), cols)?;
        Ok::<_, EngineError>(y)
    };
    let add_norm = |r: &mut Recording, weight: &Buffer<f32>| {
        let y = r.floats(s.width)?;
        let launch = r.kernel("add_rms")?.arg("x", x).arg("d", d).arg("weight", weight).arg("y", &y);
        r.elements(launch.arg("cols", width).arg("eps", eps), s.width)?;
        Ok::<_, EngineError>(y)
    };
    for (i, layer) in model.layers().iter().enumerate() {
        let h = match i {
            0 => norm(&mut r, x, &layer.attn_norm, s.width)?,
            _ => add_norm(&mut r, &layer.attn_norm)?,
        };
        let (q, k, v) = (r.floats(q_cols)?, r.floats(kv_cols)?, r.floats(kv_cols)?);
        let [wq, wk, wv] = &layer.qkv;
        r.products(&h, &[(wq, &q), (wk, &k), (wv, &v)])?;

        let launch = r.kernel(&cache.kernel("place"))?.arg("q", &q).arg("k", &k).arg("v", &v);
        let launch = launch.arg("cos", &turns[0]).arg("sin", &turns[1]);
        let launch = launch.arg("pos", &inputs.pos).arg("slot", &inputs.slot);
        let launch = cache.values(cache.keys(launch, i)?, i)?;
        let launch = launch.arg("heads", heads).arg("kv_heads", kv_heads).arg("dim", dim);
        let launch = launch.arg("turned", s.rope_dims as u32).arg("context", context);
        r.elements(launch, q_cols + 2 * kv_cols)?;

        let o = r.floats(q_cols)?;
        let launch = r.kernel(&cache.kernel("attend"))?.arg("q", &q).arg("o", &o);
        let launch = cache.values(cache.keys(launch, i)?, i)?;
        let launch = launch.arg("pos", &inputs.pos).arg("slot", &inputs.slot);
        let launch = launch.arg("heads", heads).arg("kv_heads", kv_heads).arg("dim", dim);
        let launch = launch.arg("context", context).arg("factor", 1.0 / (s.head_dim as f32).sqrt());
        r.attention(launch.arg("part", 1u32).arg("tile", 1u32), (s.heads, s.kv_heads), q_cols)?;

        let o = match &layer.attn_sub_norm {
            Some(weight) => norm(&mut r, &o, weight, q_cols)?,
            None => o,
        };
        r.products(&o, &[(&layer.o, d)])?;
        let h = add_norm(&mut r, &layer.ffn_norm)?;
        let (gate, up) = (r.floats(s.ffn)?, r.floats(s.ffn)?);
        let [wg, wu] = &layer.gate_up;
        r.products(&h, &[(wg, &gate), (wu, &up)])?;
        let name = gate_kernel(s.activation, layer.ffn_sub_norm.is_some());
        let launch = r.kernel(name)?.arg("gate", &gate).arg("up", &up).arg("cols", s.ffn as u32);
        let f = match &layer.ffn_sub_norm {
            Some(weight) => {
                let y = r.floats(s.ffn)?;
                r.elements(launch.arg("weight", weight).arg("y", &y).arg("eps", eps), s.ffn)?;
                y
            }
            None => {
                r.elements(launch, s.ffn)?;
                gate
            }
        };
        r.products(&f, &[(&layer.down, d)])?;
    }
    r.finish()
}

/// The norm of picked rows and the head.
fn head(
    model: &Model,
    (most, config): (usize, &Config),
    inputs: &Inputs,
    [x, d]: &[Buffer<f32>; 2],
    logits: &Buffer<f32>,
) -> Result<Part, EngineError> {
    let s = &model.graph().shape;
    let mut r = Recording::new(model.cpu(), most, config);
    let y = r.floats(s.width)?;
    let launch = r.kernel("picked_rms")?.arg("x", x).arg("d", d).arg("pick", &inputs.pick);
    let launch = launch.arg("weight", model.output_norm()).arg("y", &y);
    r.elements(launch.arg("cols", s.width as u32).arg("eps", s.rms_epsilon), s.width)?;
    r.products(&y, &[(model.head(), logits)])?;
    r.finish()
}
