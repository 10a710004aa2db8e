//! Samples of two sides in turn, with what the front end did meanwhile: only those during which nobody disturbed the core count,
//! where there are enough.

use super::timing::{Interval, interval, median};
use phalanx::kernels::limits;
use std::time::{Duration, Instant};

/// How long a sample and a case take, roughly.
const SAMPLE: f64 = 0.004;
const BUDGET: Duration = Duration::from_millis(1500);
const PAIRS: (usize, usize) = (9, 100);
/// A sample counts as undisturbed where the front end does at least this part of the most that was seen in the run.
const QUIET: f64 = 0.9;

/// Runs so often, and says how many seconds one run took.
pub type Sampler<'a> = &'a mut dyn FnMut(u32) -> anyhow::Result<f64>;

/// Seconds of ours and the rival's, and the front end.
pub struct Samples {
    all: Vec<(f64, f64, f64)>,
    best: f64,
}

impl Samples {
    /// `best`: the most that the front end was seen to do in the run so far.
    pub fn take(
        ours: Sampler<'_>,
        mut rival: Option<Sampler<'_>>,
        best: &mut f64,
    ) -> anyhow::Result<Samples> {
        let once = ours(1)?.max(1e-7);
        let turns = |once: f64| ((SAMPLE / once).ceil() as u32).clamp(1, 1 << 20);
        let runs = turns(once);
        let rival_runs = match &mut rival {
            None => 1,
            Some(r) => {
                r(1)?;
                turns(r(1)?.max(1e-7))
            }
        };
        let mut all = Vec::new();
        let begin = Instant::now();
        while all.len() < PAIRS.0 || (begin.elapsed() < BUDGET && all.len() < PAIRS.1) {
            let before = limits::quiet();
            let mut theirs = || rival.as_mut().map_or(Ok(f64::NAN), |r| r(rival_runs));
            let (a, b) = if all.len() % 2 == 0 {
                let a = ours(runs)?;
                (a, theirs()?)
            } else {
                let b = theirs()?;
                (ours(runs)?, b)
            };
            let quiet = before.zip(limits::quiet()).map_or(1.0, |(a, b)| a.min(b));
            *best = best.max(quiet);
            all.push((a, b, quiet));
        }
        Ok(Samples { all, best: *best })
    }

    fn undisturbed(&self) -> Vec<(f64, f64, f64)> {
        let quiet: Vec<_> = self.all.iter().copied().filter(|s| s.2 >= QUIET * self.best).collect();
        if quiet.len() >= PAIRS.0 / 2 { quiet } else { self.all.clone() }
    }

    /// How many samples count, of how many.
    pub fn counts(&self) -> (usize, usize) {
        (self.undisturbed().len(), self.all.len())
    }
    /// Median seconds of ours and of the rival.
    pub fn medians(&self) -> (f64, f64) {
        let kept = self.undisturbed();
        let middle =
            |side: fn(&(f64, f64, f64)) -> f64| median(&mut kept.iter().map(side).collect::<Vec<_>>());
        (middle(|s| s.0), middle(|s| s.1))
    }
    /// Rival time over our time.
    pub fn ratio(&self) -> Interval {
        interval(&self.undisturbed().iter().map(|s| s.1 / s.0).collect::<Vec<_>>())
    }
}
