//! A model at work: recorded launches, a cache of keys and values, and the texts that are in it.

use crate::error::{EngineError, refused};
use crate::graph::Table;
use crate::model::{Model, Rows, typed};
use crate::parallel::MIN_WORK;
use crate::part::Part;
use crate::steps::{Cache, body, cache_elements, head};
use phalanx::exec::workers::{Sequential, Workers};
use phalanx::kernels::Split;
use phalanx::{Buffer, CancelToken, F16};
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
pub(crate) const TILE: usize = 64;
/// Rows at most and at least, where the session chooses.
const ROWS: (usize, usize) = (16, 256);
/// Bytes of intermediates that are always allowed, and the share of the weights that is.
const ARENA: (usize, usize) = (4 << 20, 60);
/// Bytes of logits of one run of the head.
const LOGITS: usize = 8 << 20;

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
pub(crate) struct Inputs {
    pub(crate) token: Buffer<u32>,
    pub(crate) pos: Buffer<u32>,
    pub(crate) slot: Buffer<u32>,
    pub(crate) pick: Buffer<u32>,
    /// Rows of the embedding, where the model has them in its file: those of the run.
    pub(crate) table: Option<Rows>,
    /// The same on this side, used again for each run.
    host: [Vec<u32>; 4],
    /// The rows, as bytes.
    bytes: Vec<u8>,
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
        let cache = Cache::new(model, config.cache, texts, each)?;
        let most_wanted = (LOGITS / 4 / shape.vocab).clamp(1, rows);
        let inputs = Inputs {
            token: cpu.zeros(rows)?,
            pos: cpu.zeros(rows)?,
            slot: cpu.zeros(rows)?,
            pick: cpu.zeros(most_wanted)?,
            table: matches!(model.rows(), Rows::File).then(|| staged(model, rows)).transpose()?,
            host: std::array::from_fn(|_| Vec::with_capacity(rows)),
            bytes: Vec::new(),
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
            // Where the rows are staged, each row is its own.
            token.push(if self.inputs.table.is_some() { token.len() as u32 } else { r.token });
            pos.push(*len as u32);
            slot.push(r.text as u32);
            *len += 1;
        }
        let staged = self.inputs.table.as_ref().filter(|_| wrong.is_none());
        if let Some(e) =
            staged.and_then(|table| stage(&self.model, table, rows, &mut self.inputs.bytes).err())
        {
            wrong = Some(e);
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

/// Room for rows of the embedding, in the form that the graph names.
fn staged(model: &Model, rows: usize) -> Result<Rows, EngineError> {
    let (cpu, graph) = (model.cpu(), model.graph());
    let n = rows * graph.shape.width;
    Ok(match graph.table {
        Table::F32 => Rows::F32(cpu.zeros(n)?),
        Table::F16 => Rows::F16(cpu.zeros(n)?),
        Table::Q8_0 => {
            // Blocks of 32 codes with a scale of two bytes.
            let scales = cpu.zeros::<F16>(n / 32 * 17)?;
            let codes = typed(scales.raw().buffer.view(phalanx::Type::I8))?;
            Rows::Q8_0(scales, codes)
        }
    })
}

/// Brings the rows of a run there.
fn stage(model: &Model, table: &Rows, rows: &[Entry], bytes: &mut Vec<u8>) -> Result<(), EngineError> {
    let width = model.graph().shape.width;
    let (buffer, row) = match table {
        Rows::F32(all) => (all.raw().buffer.clone(), 4 * width),
        Rows::F16(all) => (all.raw().buffer.clone(), 2 * width),
        Rows::Q8_0(scales, _) => (scales.raw().buffer.clone(), width / 32 * 34),
        Rows::File => return Ok(()),
    };
    bytes.resize(rows.len() * row, 0);
    for (entry, to) in rows.iter().zip(bytes.chunks_exact_mut(row)) {
        model.read_row(entry.token, to)?;
    }
    Ok(buffer.write(0, bytes)?)
}

/// Rows of a run whose intermediates are small beside the weights.
fn default_rows(model: &Model, context: usize) -> usize {
    let s = &model.graph().shape;
    let weights = (model.block_bytes() + model.head_bytes()) as usize;
    let row = 4 * (3 * s.ffn).max(4 * s.width) + 3 * 4 * s.width;
    let rows = (weights / ARENA.1).max(ARENA.0) / row;
    (rows / 16 * 16).clamp(ROWS.0, ROWS.1).min(context)
}
