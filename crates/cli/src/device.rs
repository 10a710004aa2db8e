//! Options that say on what a command runs.

use crate::failure::usage;
use crate::trace::Recorder;
use clap::builder::PossibleValuesParser;
use phalanx::exec::workers::{Sequential, Threads, Workers};
use phalanx::{Cpu, Tier};
use std::sync::Arc;

/// Executor, SIMD level and threads.
#[derive(clap::Args, Clone, Debug)]
pub struct Device {
    /// What carries the program out
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = PossibleValuesParser::new(phalanx::EXECUTORS))]
    pub executor: String,
    /// SIMD level; one that the machine lacks is an error
    #[arg(long, value_name = "LEVEL", default_value = "auto", value_parser = PossibleValuesParser::new(levels()))]
    pub simd: String,
    /// Threads at most, 1 to 1024 [default: all of the machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

fn levels() -> Vec<&'static str> {
    std::iter::once("auto").chain(Tier::ALL.iter().map(|t| t.name())).collect()
}

impl Device {
    /// The SIMD level in use.
    pub fn tier(&self) -> Tier {
        self.simd.parse().unwrap_or_else(|_| Tier::best())
    }

    /// The device.
    ///
    /// # Errors
    /// A SIMD level that the machine lacks: wrong usage.
    pub fn open(&self) -> anyhow::Result<Cpu> {
        self.open_with(None)
    }

    /// The device; what its threads do is recorded where a recorder is given.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn open_with(&self, recorder: Option<&Arc<Recorder>>) -> anyhow::Result<Cpu> {
        let threads = self.threads.map_or(0, usize::from);
        let builder = Cpu::builder().executor(&self.executor).simd(self.tier());
        let builder = match recorder {
            None => builder.threads(threads),
            Some(recorder) => {
                let inner: Arc<dyn Workers> =
                    if threads == 1 { Arc::new(Sequential) } else { Arc::new(Threads::new(threads)) };
                builder.workers(Arc::new(recorder.workers(inner)))
            }
        };
        builder.build().map_err(|e| usage(e.to_string()))
    }
}
