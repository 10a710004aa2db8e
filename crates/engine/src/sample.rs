//! From logits to the next token.

use phalanx_simd::math::single::exp;
use std::collections::VecDeque;

/// How a token is chosen. The default is the likeliest token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0: the likeliest token, whatever else is said here but the penalty.
    pub temperature: f32,
    /// So many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// Of these the likeliest whose probabilities add up to so much; 1: all.
    pub top_p: f32,
    /// Of these those at least so likely as this share of the likeliest; 0: all.
    pub min_p: f32,
    /// Logits of recent tokens are divided by it where positive, else multiplied; 1: not.
    pub repeat_penalty: f32,
    /// How many tokens are recent.
    pub repeat_last: usize,
    /// Where the random numbers begin: the same seed gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last: 64,
            seed: 0,
        }
    }
}

/// Chooses tokens one after the other.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    state: u64,
    recent: VecDeque<u32>,
    /// Candidates with their logits, then their probabilities.
    some: Vec<(f32, u32)>,
}

impl Sampler {
    /// At the beginning of a text.
    pub fn new(sampling: Sampling) -> Sampler {
        Sampler { sampling, state: sampling.seed, recent: VecDeque::new(), some: Vec::new() }
    }

    /// Counts a token of the prompt or one that was chosen as recent.
    pub fn accept(&mut self, token: u32) {
        if self.recent.len() >= self.sampling.repeat_last {
            self.recent.pop_front();
        }
        if self.sampling.repeat_last > 0 {
            self.recent.push_back(token);
        }
    }

    /// A number in [0, 1), by splitmix64.
    fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next token. NaN counts as the least likely; of equal ones the lowest number comes first.
    pub fn choose(&mut self, logits: &[f32]) -> u32 {
        let s = self.sampling;
        self.some.clear();
        let number = |v: f32| if v.is_nan() { f32::NEG_INFINITY } else { v };
        self.some.extend(logits.iter().zip(0..).map(|(v, i)| (number(*v), i)));
        if s.repeat_penalty != 1.0 {
            let mut seen = Vec::with_capacity(self.recent.len());
            for token in &self.recent {
                if let Some((v, _)) = self.some.get_mut(*token as usize).filter(|_| !seen.contains(token)) {
                    *v = if *v > 0.0 { *v / s.repeat_penalty } else { *v * s.repeat_penalty };
                    seen.push(*token);
                }
            }
        }
        let first = |some: &[(f32, u32)]| {
            some.iter().fold((f32::NEG_INFINITY, u32::MAX), |best, c| {
                if c.0 > best.0 || best.1 == u32::MAX { *c } else { best }
            })
        };
        let (largest, likeliest) = first(&self.some);
        if s.temperature <= 0.0 || largest == f32::NEG_INFINITY {
            return if likeliest == u32::MAX { 0 } else { likeliest };
        }
        let down = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if s.top_k > 0 && s.top_k < self.some.len() {
            self.some.select_nth_unstable_by(s.top_k - 1, down);
            self.some.truncate(s.top_k);
        }
        self.some.sort_unstable_by(down);
        if s.top_p < 1.0 {
            let total: f64 = self.some.iter().map(|(v, _)| f64::from(exp(v - largest))).sum();
            let mut sum = 0.0;
            let within = self.some.iter().take_while(|(v, _)| {
                let more = sum < f64::from(s.top_p) * total;
                sum += f64::from(exp(v - largest));
                more
            });
            let count = within.count().max(1);
            self.some.truncate(count);
        }
        if s.min_p > 0.0 {
            let count = self.some.iter().take_while(|(v, _)| exp(v - largest) >= s.min_p).count().max(1);
            self.some.truncate(count);
        }
        let weight = |v: f32| f64::from(exp((v - largest) / s.temperature));
        let total: f64 = self.some.iter().map(|(v, _)| weight(*v)).sum();
        let mut left = self.random() * total;
        for (v, token) in &self.some {
            left -= weight(*v);
            if left < 0.0 {
                return *token;
            }
        }
        // Rounding left a little over.
        self.some.last().map_or(likeliest, |(_, t)| *t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, f32::NAN, 2.0, 3.0];

    fn counts(s: Sampling) -> [usize; 5] {
        let mut sampler = Sampler::new(s);
        let mut counts = [0; 5];
        for _ in 0..4000 {
            counts[sampler.choose(&LOGITS) as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        assert_eq!(counts(Sampling::default()), [0, 4000, 0, 0, 0]);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[]), 0);
    }

    #[test]
    fn shares_are_those_of_the_softmax() {
        let c = counts(Sampling { temperature: 1.0, seed: 1, ..Sampling::default() });
        let total = 2.0 + f64::exp(-1.0) + f64::exp(-2.0);
        let expected = [f64::exp(-2.0), 1.0, 0.0, f64::exp(-1.0), 1.0].map(|w| w / total * 4000.0);
        for (found, expected) in c.iter().zip(expected) {
            assert!((*found as f64 - expected).abs() <= 4.0 * expected.sqrt(), "{c:?}");
        }
        assert_eq!(c, counts(Sampling { temperature: 1.0, seed: 1, ..Sampling::default() }));
        assert_ne!(c, counts(Sampling { temperature: 1.0, seed: 2, ..Sampling::default() }));
    }

    #[test]
    fn limits_leave_the_likeliest() {
        let with = |f: fn(&mut Sampling)| {
            let mut s = Sampling { temperature: 1.0, seed: 3, ..Sampling::default() };
            f(&mut s);
            counts(s).map(|n| n > 0)
        };
        assert_eq!(with(|s| s.top_k = 1), [false, true, false, false, false]);
        assert_eq!(with(|s| s.top_k = 3), [false, true, false, true, true]);
        assert_eq!(with(|s| s.top_p = 0.5), [false, true, false, false, true]);
        assert_eq!(with(|s| s.top_p = 0.0), [false, true, false, false, false]);
        assert_eq!(with(|s| s.min_p = 0.3), [false, true, false, true, true]);
        assert_eq!(with(|s| s.temperature = 0.01), [false, true, false, false, true]);
    }

    #[test]
    fn recent_tokens_are_penalised_once_and_forgotten() {
        let mut s = Sampler::new(Sampling { repeat_penalty: 1.4, repeat_last: 2, ..Sampling::default() });
        [1, 1].into_iter().for_each(|t| s.accept(t));
        assert_eq!(s.choose(&LOGITS), 4);
        s.accept(4);
        assert_eq!(s.choose(&LOGITS), 1, "3 / 1.4 is more than 2");
        [0, 0].into_iter().for_each(|t| s.accept(t));
        assert_eq!(s.choose(&LOGITS), 1);
    }
}
