//! Timing: samples long enough for the clock, interleaved pairs, medians and their intervals.

use std::time::{Duration, Instant};

/// How long a sample takes at least, so that the clock's own cost does not show.
const SAMPLE: Duration = Duration::from_millis(2);
/// How long a case takes, roughly.
const BUDGET: Duration = Duration::from_millis(1200);
/// Pairs of a case, at least and at most.
const PAIRS: (usize, usize) = (7, 61);

/// A median with the interval that holds 95 % of resampled medians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The median.
    pub middle: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Times of two sides that were measured in turn.
pub struct Paired {
    /// Median seconds of one run of ours.
    pub ours: f64,
    /// Median seconds of one run of the rival.
    pub rival: f64,
    /// Rival time over our time.
    pub ratio: Interval,
}

/// Something that is measured: it may fail, and then the measurement does.
pub type Work<'a> = &'a mut dyn FnMut() -> anyhow::Result<()>;

/// Runs in a sample, found by running.
fn calibrate(work: Work<'_>) -> anyhow::Result<u32> {
    // Once for caches, threads and lazily made parts.
    work()?;
    let mut runs = 1u32;
    loop {
        let time = sample(work, runs)?;
        let total = time * f64::from(runs);
        if total >= SAMPLE.as_secs_f64() || runs >= 1 << 24 {
            return Ok(runs);
        }
        let wanted = SAMPLE.as_secs_f64() * 1.2 / time.max(1e-9);
        runs = (wanted.ceil() as u32).clamp(runs + 1, runs.saturating_mul(64)).min(1 << 24);
    }
}

/// Seconds of one run, averaged over `runs`.
fn sample(work: Work<'_>, runs: u32) -> anyhow::Result<f64> {
    let from = Instant::now();
    for _ in 0..runs {
        work()?;
    }
    Ok(from.elapsed().as_secs_f64() / f64::from(runs))
}

/// Median seconds of one run.
pub fn alone(work: Work<'_>) -> anyhow::Result<f64> {
    let runs = calibrate(work)?;
    let mut times = vec![sample(work, runs)?];
    let begin = Instant::now();
    while times.len() < PAIRS.0 || (begin.elapsed() < BUDGET / 2 && times.len() < 4 * PAIRS.1) {
        times.push(sample(work, runs)?);
    }
    Ok(median(&mut times))
}

/// Median seconds of `work` alone, each time on something new from `setup`.
pub fn after<T>(
    mut setup: impl FnMut() -> anyhow::Result<T>,
    mut work: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < PAIRS.0 || begin.elapsed() < BUDGET / 2 {
        let made = setup()?;
        let from = Instant::now();
        work(made)?;
        times.push(from.elapsed().as_secs_f64());
    }
    Ok(median(&mut times))
}

/// Times two sides in interleaved pairs.
pub fn paired(ours: Work<'_>, rival: Work<'_>) -> anyhow::Result<Paired> {
    Ok(paired_beside(ours, rival, &mut || 0.0)?.0)
}

/// Times two sides in interleaved pairs, and takes something of the machine with each; the median of that too.
pub fn paired_beside(
    ours: Work<'_>,
    rival: Work<'_>,
    beside: &mut dyn FnMut() -> f64,
) -> anyhow::Result<(Paired, f64)> {
    let (our_runs, rival_runs) = (calibrate(ours)?, calibrate(rival)?);
    let (mut a, mut b, mut ratios, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let begin = Instant::now();
    while a.len() < PAIRS.0 || (begin.elapsed() < BUDGET && a.len() < PAIRS.1) {
        let (x, y) = if a.len() % 2 == 0 {
            let x = sample(ours, our_runs)?;
            (x, sample(rival, rival_runs)?)
        } else {
            let y = sample(rival, rival_runs)?;
            (sample(ours, our_runs)?, y)
        };
        a.push(x);
        b.push(y);
        ratios.push(y / x);
        others.push(beside());
    }
    let paired = Paired { ours: median(&mut a), rival: median(&mut b), ratio: interval(&ratios) };
    Ok((paired, median(&mut others)))
}

/// The middle value; of an even number the mean of the two. `values` are sorted afterwards. NaN where there are none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => f64::NAN,
        _ if n % 2 == 1 => values[n / 2],
        _ => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// The median and its 95 % interval by percentile bootstrap, with the same resamples every time.
pub fn interval(values: &[f64]) -> Interval {
    const RESAMPLES: usize = 1000;
    let mut state = 0x5eed_u64;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut resampled = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            resampled.iter_mut().for_each(|v| *v = values[(next() % values.len() as u64) as usize]);
            median(&mut resampled)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let middle = median(&mut values.to_vec());
    Interval { middle, low: medians[RESAMPLES / 40], high: medians[RESAMPLES - 1 - RESAMPLES / 40] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_intervals() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        let same = interval(&[2.0; 9]);
        assert_eq!(same, Interval { middle: 2.0, low: 2.0, high: 2.0 });
        let spread: Vec<f64> = (1..=31).map(f64::from).collect();
        let i = interval(&spread);
        assert!(i.middle == 16.0 && i.low > 8.0 && i.low < 15.0 && i.high > 17.0 && i.high < 24.0, "{i:?}");
    }

    #[test]
    fn a_sample_has_many_short_runs() {
        let mut n = 0u64;
        let runs = calibrate(&mut || {
            n += 1;
            Ok(())
        });
        assert!(runs.unwrap() > 1000 && n > 1000, "{n}");
        assert!(alone(&mut || anyhow::bail!("no")).is_err());
    }
}
