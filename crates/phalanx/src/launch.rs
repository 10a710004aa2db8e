//! Launches: arguments by name, options, and bindings that run many times.

use crate::ArgValue;
use crate::args::{IntoArg, IntoDims, dims};
use crate::program::Kernel;
use crate::sanitize::Checked;
use phalanx_exec::check::Checks;
use phalanx_exec::launch::{Bound, LaunchShape, describe_param, find_param};
use phalanx_exec::{
    CancelToken, LaunchClaims, LaunchConfig, LaunchError, LaunchReport, Prepared, Resonance, RunOptions,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A grid and block of the caller's for a kernel of this name.
pub(crate) fn shape(
    kernel: &str,
    grid: Option<impl IntoDims>,
    block: Option<impl IntoDims>,
) -> Result<LaunchShape, LaunchError> {
    let refuse = |what: &'static str| {
        move |n: i128| LaunchError::Config {
            kernel: kernel.into(),
            what: format!("a {what} of {n} in one dimension is not possible (0 to {})", u32::MAX),
        }
    };
    let grid = grid.map(dims).transpose().map_err(refuse("grid"))?;
    let block = block.map(dims).transpose().map_err(refuse("block"))?;
    Ok(LaunchShape { grid, block, shared_len: 0 })
}

/// A launch being put together. What is wrong with it is reported by [`Launcher::run`] (or `bind`): the first thing.
#[must_use = "a launch does nothing until it is run"]
pub struct Launcher {
    kernel: Kernel,
    shape: LaunchShape,
    args: Vec<Option<ArgValue>>,
    options: RunOptions,
    limit: Limit,
    wrong: Option<LaunchError>,
}

/// When a launch must end.
#[derive(Clone, Copy, Default)]
struct Limit {
    at: Option<Instant>,
    after: Option<Duration>,
}

impl Limit {
    /// The token of a run that starts now, where these limits need one of their own.
    fn token(self, given: Option<&CancelToken>) -> Option<CancelToken> {
        // A timeout too long for the clock is none.
        let after = self.after.and_then(|d| Instant::now().checked_add(d));
        let at = self.at.into_iter().chain(after).min()?;
        Some(given.map_or_else(|| CancelToken::with_deadline(at), |t| t.until(at)))
    }
}

impl Launcher {
    pub(crate) fn new(kernel: Kernel, shape: Result<LaunchShape, LaunchError>) -> Launcher {
        let args = vec![None; kernel.params().len()];
        let (shape, wrong) = match shape {
            Ok(s) => (s, None),
            Err(e) => (LaunchShape::default(), Some(e)),
        };
        Launcher { kernel, shape, args, options: RunOptions::default(), limit: Limit::default(), wrong }
    }

    /// Gives the parameter `name` its value; of several values for one name the last counts.
    pub fn arg(mut self, name: &str, value: impl IntoArg) -> Launcher {
        match find_param(self.kernel.data(), name) {
            Ok(i) => self.args[i] = Some(value.into_arg()),
            Err(e) => {
                self.wrong.get_or_insert(e);
            }
        }
        self
    }

    /// Elements of the kernel's unsized shared array.
    pub fn shared_len(mut self, n: u64) -> Launcher {
        self.shape.shared_len = n;
        self
    }
    /// Instructions that each lane may execute; the lane that needs more traps. Default: no limit.
    pub fn fuel(mut self, instructions: u64) -> Launcher {
        self.options.fuel = Some(instructions);
        self
    }
    /// Threads at most for this launch; 0: all of the device's.
    pub fn threads(mut self, n: usize) -> Launcher {
        self.options.threads = n;
        self
    }
    /// One thread, blocks and lanes ascending: a program that is not order-free then gives one fixed result.
    pub fn deterministic(mut self) -> Launcher {
        self.options.deterministic = true;
        self
    }
    /// Runs one of the orders that the memory model allows, chosen by `seed`: blocks and lanes that may run in any order do, and
    /// waits and atomics give others a turn (see [`crate::exec::schedule`]). With one thread the seed repeats the order exactly.
    /// For finding out whether a program depends on the order; slower than a launch without. Refused with
    /// [`Launcher::deterministic`].
    pub fn schedule_seed(mut self, seed: u64) -> Launcher {
        self.options.schedule_seed = Some(seed);
        self
    }
    /// Stops the launch when the token is cancelled.
    pub fn cancel(mut self, token: &CancelToken) -> Launcher {
        self.options.cancel = Some(token.clone());
        self
    }
    /// Stops the launch at a point in time.
    pub fn deadline(mut self, when: Instant) -> Launcher {
        self.limit.at = Some(when);
        self
    }
    /// Stops each run of the launch so long after it began.
    pub fn timeout(mut self, after: Duration) -> Launcher {
        self.limit.after = Some(after);
        self
    }
    /// The class of all lanes, below 96. Default: the linear block index modulo 96.
    pub fn class(mut self, class: u32) -> Launcher {
        self.options.class = Some(class);
        self
    }
    /// The launch phase, below 768: a block starts at this plus its linear index, modulo 768.
    pub fn phase(mut self, phase: u32) -> Launcher {
        self.options.phase = phase;
        self
    }
    /// What the kernel's `res.accum` adds to and its `res.test` looks at.
    ///
    /// ```
    /// # fn main() -> Result<(), phalanx::Error> {
    /// let cpu = phalanx::Cpu::new()?;
    /// let count = cpu.load(
    ///     "kernel count(x: f64) block 64 grid 96 {
    ///          let c: u32
    ///          cls.get        c
    ///          res.accum.i64  c, 1, 128
    ///          res.accum.f64  c, x
    ///          exit
    ///      }",
    /// )?;
    /// let resonance = phalanx::Resonance::new();
    /// let report = count.only_kernel()?.launch_declared().arg("x", 0.1).resonance(&resonance).run_report()?;
    /// // Each class got 64 times 1/128, and the exact sum of 64 times the f64 nearest to 0.1, rounded once.
    /// let entry = resonance.snapshot().0[95];
    /// assert_eq!((entry.ratio.to_string(), entry.float), ("1/2".to_string(), 6.4));
    /// let change = report.change.expect("the kernel uses the resonance");
    /// assert!(change.is_mirror_safe() && !change.is_neutral());
    /// # Ok(()) }
    /// ```
    pub fn resonance(mut self, resonance: &Resonance) -> Launcher {
        self.options.resonance = Some(resonance.clone());
        self
    }
    /// What must hold of the launch; where it does not, the launch traps with `claim`.
    pub fn claims(mut self, claims: LaunchClaims) -> Launcher {
        self.options.claims = claims;
        self
    }
    /// Bytes that the launch's pool may give out at a time.
    pub fn pool_limit_bytes(mut self, bytes: u64) -> Launcher {
        self.options.pool_limit_bytes = bytes;
        self
    }

    /// Checks everything and keeps the launch for running it many times.
    ///
    /// # Errors
    /// What is wrong with the arguments or the shape; nothing has run.
    pub fn bind(self) -> Result<BoundLaunch, LaunchError> {
        if let Some(e) = self.wrong {
            return Err(e);
        }
        let Launcher { kernel, shape, options, limit, .. } = self;
        let mut args = Vec::with_capacity(self.args.len());
        for (value, param) in self.args.into_iter().zip(kernel.params()) {
            args.push(value.ok_or_else(|| LaunchError::Missing {
                kernel: kernel.name().into(),
                param: param.name.clone(),
                expected: describe_param(&param.kind),
            })?);
        }
        let verified = kernel.program().verified();
        let bound = Bound::new(kernel.cpu().owner(), verified, kernel.index(), args, shape)?;
        let prepared = kernel.prepare()?;
        Ok(BoundLaunch { kernel, bound, prepared, options, limit })
    }

    /// For the checkers: the elements of this buffer count as never written (of `which` of an array of buffers, else 0).
    pub fn uninit(mut self, name: &str, which: u32) -> Launcher {
        match find_param(self.kernel.data(), name) {
            Ok(i) => self.options.uninit.push((i as u16, which)),
            Err(e) => {
                self.wrong.get_or_insert(e);
            }
        }
        self
    }

    /// Runs the launch with checkers that look at every access, and waits for it. What they find is the result, a trap too.
    ///
    /// # Errors
    /// What is wrong with the arguments or the shape, or an executor that has no checkers; nothing has run then.
    pub fn sanitize(self, checks: Checks) -> Result<Checked, LaunchError> {
        self.bind()?.sanitize(checks)
    }

    /// Runs the launch and waits for it.
    ///
    /// # Errors
    /// What is wrong with the arguments or the shape (nothing has run then), or the trap of the lowest block.
    pub fn run(self) -> Result<(), LaunchError> {
        self.bind()?.run()
    }

    /// Runs the launch, waits for it, and tells what it added to the resonance and with which phases its blocks ended.
    ///
    /// # Errors
    /// As [`Launcher::run`].
    pub fn run_report(self) -> Result<LaunchReport, LaunchError> {
        self.bind()?.run_report()
    }
}

/// A launch whose arguments are checked and bound: it runs again without checks and without more than a few small allocations.
#[derive(Clone)]
pub struct BoundLaunch {
    kernel: Kernel,
    pub(crate) bound: Bound,
    pub(crate) prepared: Arc<dyn Prepared>,
    pub(crate) options: RunOptions,
    limit: Limit,
}

impl BoundLaunch {
    /// Runs the launch and waits for it.
    ///
    /// # Errors
    /// A buffer that was freed meanwhile, or the trap of the lowest block.
    pub fn run(&self) -> Result<(), LaunchError> {
        self.run_with(&self.options).map(drop)
    }

    /// Runs the launch and tells what it added to the resonance and with which phases its blocks ended.
    ///
    /// # Errors
    /// As [`BoundLaunch::run`].
    pub fn run_report(&self) -> Result<LaunchReport, LaunchError> {
        self.run_with(&RunOptions { report_phases: true, ..self.options.clone() })
    }

    fn run_with(&self, options: &RunOptions) -> Result<LaunchReport, LaunchError> {
        let token = self.limit.token(options.cancel.as_ref());
        let limited = token.map(|t| RunOptions { cancel: Some(t), ..options.clone() });
        let options = limited.as_ref().unwrap_or(options);
        self.bound.run_report(&*self.prepared, self.kernel.cpu().workers(), options)
    }

    /// As [`Launcher::sanitize`].
    ///
    /// # Errors
    /// A buffer that was freed meanwhile, or an executor that has no checkers.
    pub fn sanitize(&self, checks: Checks) -> Result<Checked, LaunchError> {
        let token = self.limit.token(self.options.cancel.as_ref());
        let limited = token.map(|t| RunOptions { cancel: Some(t), ..self.options.clone() });
        let options = limited.as_ref().unwrap_or(&self.options);
        let report = self.bound.run_checked(&*self.prepared, self.kernel.cpu().workers(), options, checks)?;
        Ok(Checked::new(self.kernel.clone(), self.config().grid, report))
    }

    /// Gives a parameter another value for the next runs. A declared grid follows. On an error nothing has changed.
    ///
    /// # Errors
    /// An unknown name, or what is wrong with the value.
    pub fn set(&mut self, name: &str, value: impl IntoArg) -> Result<(), LaunchError> {
        let param = find_param(self.bound.kernel(), name)?;
        self.bound.set(param, value.into_arg())
    }

    /// Grid, block and shared length.
    pub fn config(&self) -> LaunchConfig {
        self.bound.config()
    }
    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
    /// The options, to change them for the next runs.
    pub fn options_mut(&mut self) -> &mut RunOptions {
        &mut self.options
    }
}
