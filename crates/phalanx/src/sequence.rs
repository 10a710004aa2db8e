//! Launch sequences with typed buffers.

use crate::args::IntoArg;
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::element::Element;
use crate::launch::{BoundLaunch, Launcher};
use crate::{BufferError, CancelToken, LaunchError};
use phalanx_exec::sequence::{self, Recorder, StepId};
use std::time::Duration;

/// A launch sequence being recorded; [`Cpu::sequence`] begins one.
///
/// ```
/// # fn main() -> Result<(), phalanx::Error> {
/// let cpu = phalanx::Cpu::new()?;
/// let scale = cpu.load(
///     "kernel scale(in x: f32[], out y: f32[], by: f32) block 64 grid ceil(len(y), 64) {
///          let i, n: u32; let v: f32
///          mov.u32 i, %global.x
///          mov.u32 n, 3
///          set.ge.u32 p0, i, n
///      @p0 exit
///          ld.f32 v, x[i]
///          mul.f32 v, v, by
///          st.f32 y[i], v
///          exit
///      }",
/// )?;
/// let scale = scale.only_kernel()?;
/// let (x, y) = (cpu.buffer(&[1f32, 2.0, 3.0])?, cpu.zeros::<f32>(3)?);
///
/// let mut record = cpu.sequence();
/// let half = record.intermediate::<f32>(3)?;
/// record.step(scale.launch_declared().arg("x", &x).arg("y", &half).arg("by", 0.5f32))?;
/// let last = record.step(scale.launch_declared().arg("x", &half).arg("y", &y).arg("by", 10f32))?;
/// let mut sequence = record.finish()?;
///
/// sequence.run()?;
/// assert_eq!(y.read()?, [5.0, 10.0, 15.0]);
/// sequence.set_scalar(last, "by", 100f32)?;
/// sequence.run()?;
/// assert_eq!(y.read()?, [50.0, 100.0, 150.0]);
/// # Ok(()) }
/// ```
pub struct SequenceBuilder {
    cpu: Cpu,
    recorder: Recorder,
}

impl SequenceBuilder {
    pub(crate) fn new(cpu: Cpu) -> SequenceBuilder {
        let recorder = Recorder::new(cpu.owner());
        SequenceBuilder { cpu, recorder }
    }

    /// An intermediate of `n` elements: bound like any buffer, whole or as a view, but in this sequence's steps only, and
    /// neither read nor written by the host. It gets a place in the sequence's arena, where intermediates that are not needed at
    /// the same time share bytes. Elements that no earlier step of the run wrote have unspecified values.
    ///
    /// # Errors
    /// A size beyond 64 bits.
    pub fn intermediate<T: Element>(&mut self, n: usize) -> Result<Buffer<T>, BufferError> {
        let view = self.recorder.intermediate(T::TYPE, n as u64)?;
        Buffer::from_raw(view).ok_or(BufferError::Planned)
    }

    /// Adds a launch as the next step. Its deadline and timeout do not count: the run brings its token.
    ///
    /// # Errors
    /// What is wrong with the launch.
    pub fn step(&mut self, launch: Launcher) -> Result<StepId, LaunchError> {
        let BoundLaunch { bound, prepared, options, .. } = launch.bind()?;
        self.recorder.step(bound, prepared, options)
    }

    /// Plans the intermediates and allocates their arena.
    ///
    /// # Errors
    /// A step that reads a part of an intermediate which no earlier step writes; no memory.
    pub fn finish(self) -> Result<Sequence, LaunchError> {
        Ok(Sequence { inner: self.recorder.finish()?, cpu: self.cpu })
    }
}

/// Recorded launches that run again and again, in order, each on all threads: one locking of all buffers and no allocation of
/// buffers per run. Runs from several threads wait for each other.
pub struct Sequence {
    cpu: Cpu,
    inner: sequence::Sequence,
}

impl Sequence {
    /// Runs all steps.
    ///
    /// # Errors
    /// The failure of the first step that fails, as [`LaunchError::Step`]; later steps have not run.
    pub fn run(&self) -> Result<(), LaunchError> {
        self.inner.run(self.cpu.workers(), None)
    }

    /// Runs all steps unless the token is cancelled meanwhile; it takes the place of tokens given with the steps.
    ///
    /// # Errors
    /// As [`Sequence::run`]; see [`LaunchError::is_cancelled`].
    pub fn run_cancellable(&self, token: &CancelToken) -> Result<(), LaunchError> {
        self.inner.run(self.cpu.workers(), Some(token))
    }

    /// Runs all steps and tells how long each took.
    ///
    /// # Errors
    /// As [`Sequence::run`].
    pub fn run_timed(&self) -> Result<Vec<Duration>, LaunchError> {
        self.inner.run_timed(self.cpu.workers(), None)
    }

    /// Gives a number of a step another value for the next runs. A declared grid follows. On an error nothing has changed.
    ///
    /// # Errors
    /// An unknown name or another type.
    pub fn set_scalar<T: Element + IntoArg>(
        &mut self,
        step: StepId,
        name: &str,
        value: T,
    ) -> Result<(), LaunchError> {
        self.inner.rebind(step, name, value.into_arg())
    }

    /// Gives any parameter of a step another value for the next runs: another buffer, another part of one, other weights. An
    /// intermediate can only be replaced by other parts of itself. On an error nothing has changed.
    ///
    /// # Errors
    /// An unknown name, or what is wrong with the value.
    pub fn rebind(&mut self, step: StepId, name: &str, value: impl IntoArg) -> Result<(), LaunchError> {
        self.inner.rebind(step, name, value.into_arg())
    }

    /// Holds a step to so many threads in the next runs; 0: all of the device's. For a caller that knows how much there is to do:
    /// the executor sees the sizes of buffers, not how much of them a step uses. No bit depends on it.
    pub fn set_threads(&mut self, step: StepId, threads: usize) {
        self.inner.set_threads(step, threads);
    }

    /// Divides a step's blocks over memory nodes, by their x; no bit depends on it. For work on memory that was placed so.
    pub fn set_by_node(&mut self, step: StepId, by_node: bool) {
        self.inner.set_by_node(step, by_node);
    }

    /// The untyped sequence: its arena, its steps and what they depend on.
    pub fn raw(&self) -> &sequence::Sequence {
        &self.inner
    }
}
