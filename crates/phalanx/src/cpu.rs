//! The device: executor, threads, program cache, and the buffers it makes.

use crate::buffer::{Buffer, HostBytes};
use crate::cache::Cache;
use crate::divisions::Divisions;
use crate::element::Element;
use crate::error::BuildError;
use crate::sequence::SequenceBuilder;
use crate::{BufferError, RawBuffer};
use phalanx_exec::Executor;
use phalanx_exec::workers::{Topology, Workers};
use phalanx_isa::Type;
use phalanx_simd::Tier;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of the executors, as [`Builder::executor`] takes them.
pub const EXECUTORS: &[&str] = &["auto", "lanes", "reference"];

/// How many programs a [`Cpu`] keeps unless told otherwise.
pub const CACHE_CAPACITY: usize = 128;

/// The CPU as a device: it loads programs, makes buffers, and runs launches on its threads. Buffers belong to the device that
/// made them. Cloning gives another handle to the same device.
#[derive(Clone)]
pub struct Cpu(Arc<Inner>);

struct Inner {
    owner: u64,
    workers: Arc<dyn Workers>,
    executor: Arc<dyn Executor>,
    cache: Cache,
    divisions: Divisions,
}

/// Owner 0 means nobody, so numbers begin at 1.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

/// Settings of a [`Cpu`] to be made.
#[derive(Clone, Default)]
#[must_use]
pub struct Builder {
    threads: Option<usize>,
    executor: Option<String>,
    custom: Option<Arc<dyn Executor>>,
    tier: Option<Tier>,
    workers: Option<Arc<dyn Workers>>,
    topology: Option<Topology>,
    capacity: Option<usize>,
}

impl Builder {
    /// Threads at most, the caller's included; 0 (the default): as many as the machine has, or `RAYON_NUM_THREADS`. The
    /// results of a program do not depend on it, unless the program is not order-free.
    pub fn threads(self, n: usize) -> Builder {
        Builder { threads: Some(n), ..self }
    }
    /// The executor by name: `lanes` (blocks in lockstep with SIMD), `reference` (one lane at a time, straight from the
    /// definition), or `auto` (the default: the fastest for the machine).
    pub fn executor(self, name: impl Into<String>) -> Builder {
        Builder { executor: Some(name.into()), custom: None, ..self }
    }
    /// An executor of the caller's.
    pub fn custom_executor(self, executor: Arc<dyn Executor>) -> Builder {
        Builder { custom: Some(executor), executor: None, ..self }
    }
    /// The SIMD level; the default is the machine's best. Every level gives the same bits.
    pub fn simd(self, tier: Tier) -> Builder {
        Builder { tier: Some(tier), ..self }
    }
    /// Threads of the caller's, for example `Rayon(pool)` of [`crate::exec::workers`].
    pub fn workers(self, workers: Arc<dyn Workers>) -> Builder {
        Builder { workers: Some(workers), ..self }
    }
    /// The machine's memory nodes; without this what the system says ([`Topology::read`]). Where there are several, the device's own
    /// threads are held on them, in proportion to their processors. The results are the same.
    pub fn topology(self, topology: Topology) -> Builder {
        Builder { topology: Some(topology), ..self }
    }
    /// How many loaded programs are kept for loading the same text again; the one used longest ago goes first. Default
    /// [`CACHE_CAPACITY`]; 0 keeps none.
    pub fn cache_capacity(self, programs: usize) -> Builder {
        Builder { capacity: Some(programs), ..self }
    }
    /// Makes the device. Threads start when first needed.
    ///
    /// # Errors
    /// An unknown executor, a SIMD level that the machine lacks, or settings that contradict each other.
    pub fn build(self) -> Result<Cpu, BuildError> {
        if let Some(tier) = self.tier.filter(|t| !t.is_available()) {
            return Err(BuildError::Simd { tier });
        }
        let executor = match self.custom {
            Some(e) => e,
            None => named_executor(
                self.executor.as_deref().unwrap_or("auto"),
                self.tier.unwrap_or_else(Tier::best),
            )?,
        };
        let workers = match (self.workers, self.threads) {
            (Some(_), Some(_)) => return Err(BuildError::ThreadsAndWorkers),
            (Some(w), None) => w,
            (None, n) => own_workers(n.unwrap_or(0), self.topology),
        };
        let cache = Cache::new(self.capacity.unwrap_or(CACHE_CAPACITY));
        let owner = NEXT_OWNER.fetch_add(1, Ordering::Relaxed);
        let divisions = Divisions::default();
        Ok(Cpu(Arc::new(Inner { owner, workers, executor, cache, divisions })))
    }
}

/// The executors of [`EXECUTORS`].
fn named_executor(name: &str, tier: Tier) -> Result<Arc<dyn Executor>, BuildError> {
    match name {
        "auto" | "lanes" => {
            let lanes = phalanx_exec::lanes::Lanes::new(tier).map_err(|_| BuildError::Simd { tier })?;
            Ok(Arc::new(lanes))
        }
        "reference" => Ok(Arc::new(phalanx_exec::reference::Reference)),
        _ => Err(BuildError::Executor { name: name.into() }),
    }
}

#[cfg(feature = "parallel")]
fn own_workers(threads: usize, topology: Option<Topology>) -> Arc<dyn Workers> {
    match threads {
        1 => Arc::new(phalanx_exec::workers::Sequential),
        n => Arc::new(phalanx_exec::workers::Threads::placed(n, topology.unwrap_or_else(Topology::read))),
    }
}
#[cfg(not(feature = "parallel"))]
fn own_workers(_: usize, _: Option<Topology>) -> Arc<dyn Workers> {
    Arc::new(phalanx_exec::workers::Sequential)
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cpu(#{}, {}, {} threads)", self.0.owner, self.0.executor.name(), self.threads())
    }
}

impl Cpu {
    /// The machine with all defaults.
    ///
    /// # Errors
    /// None today; see [`Builder::build`].
    pub fn new() -> Result<Cpu, BuildError> {
        Cpu::builder().build()
    }

    /// Settings to choose from.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Threads that a launch may use, the caller's included.
    pub fn threads(&self) -> usize {
        self.0.workers.threads()
    }
    /// The executor's name.
    pub fn executor(&self) -> &'static str {
        self.0.executor.name()
    }
    /// The number that marks this device's buffers.
    pub fn owner(&self) -> u64 {
        self.0.owner
    }
    /// The threads, for launches that are put together from [`crate::exec`].
    pub fn workers(&self) -> &dyn Workers {
        &*self.0.workers
    }
    /// How many loaded programs are kept at the moment.
    pub fn cached_programs(&self) -> usize {
        self.0.cache.len()
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }
    pub(crate) fn divisions(&self) -> &Divisions {
        &self.0.divisions
    }
    pub(crate) fn executor_arc(&self) -> &Arc<dyn Executor> {
        &self.0.executor
    }

    /// A buffer with a copy of the elements.
    ///
    /// # Errors
    /// No memory.
    pub fn buffer<T: Element>(&self, data: &[T]) -> Result<Buffer<T>, BufferError> {
        RawBuffer::from_bytes(self.0.owner, bytemuck::cast_slice(data)).map(Buffer::whole)
    }

    /// A buffer of `n` zeros.
    ///
    /// # Errors
    /// No memory.
    pub fn zeros<T: Element>(&self, n: usize) -> Result<Buffer<T>, BufferError> {
        let bytes = (n as u64).checked_mul(size_of::<T>() as u64);
        let bytes = bytes.ok_or(BufferError::OutOfMemory { bytes: u64::MAX })?;
        RawBuffer::zeroed(self.0.owner, bytes).map(Buffer::whole)
    }

    /// A buffer of `n` elements whose values are unspecified: for what a kernel writes in full. (Memory is never truly
    /// uninitialised: they are some values of `T`, today zeros.)
    ///
    /// # Errors
    /// No memory.
    pub fn uninit<T: Element>(&self, n: usize) -> Result<Buffer<T>, BufferError> {
        self.zeros(n)
    }

    /// Binds host memory without a copy, read only: a `Vec<T>`, a boxed slice, a mapped file behind a type of the caller's. The
    /// owner stays alive as long as the buffer does. Its address must be aligned to `T`, which every `AsRef<[T]>` is.
    pub fn external<T: Element, O: AsRef<[T]> + Send + Sync + 'static>(&self, owner: Arc<O>) -> Buffer<T> {
        Buffer::whole(RawBuffer::external(self.0.owner, Arc::new(HostBytes::<O, T>::new(owner))))
    }

    /// A buffer with a copy of bytes, as elements of a type (native byte order). A tail that is no whole element is left out.
    ///
    /// # Errors
    /// No memory.
    pub fn raw_buffer(&self, elem: Type, bytes: &[u8]) -> Result<crate::RawView, BufferError> {
        Ok(RawBuffer::from_bytes(self.0.owner, bytes)?.view(elem))
    }

    /// Begins to record a launch sequence.
    pub fn sequence(&self) -> SequenceBuilder {
        SequenceBuilder::new(self.clone())
    }
}
