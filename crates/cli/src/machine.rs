//! The machine as detected, and what it can do at most, measured.

use phalanx::Tier;
use phalanx::kernels::limits::shortest;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What is known without measuring.
#[derive(Clone, Debug)]
pub struct Machine {
    /// As the CPU calls itself; the architecture where it does not say.
    pub name: String,
    /// Hardware threads that this process may use.
    pub cores: usize,
    /// Level (`L1`, `L2`, `L3`) and bytes of the caches that hold data, as the first core sees them.
    pub caches: Vec<(String, u64)>,
    /// The best SIMD level.
    pub best: Tier,
}

impl Machine {
    /// Looks at the machine.
    pub fn detect() -> Machine {
        Machine {
            name: cpu_name(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
            caches: caches(),
            best: Tier::best(),
        }
    }

    /// In a few words: `AMD EPYC, 2 cores, avx2`.
    pub fn short(&self) -> String {
        format!("{}, {}, {}", self.name, crate::console::count(self.cores as u64, "core"), self.best)
    }

    /// Caches as a person reads them.
    pub fn caches_text(&self) -> String {
        let all: Vec<String> =
            self.caches.iter().map(|(level, bytes)| format!("{level} {}", size(*bytes))).collect();
        all.join(", ")
    }

    /// As a row.
    pub fn row(&self) -> Value {
        let caches: serde_json::Map<String, Value> =
            self.caches.iter().map(|(level, bytes)| (level.clone(), json!(bytes))).collect();
        let levels: Vec<&str> = Tier::available().iter().map(|t| t.name()).collect();
        json!({"cpu": self.name, "cores": self.cores, "caches_bytes": caches, "simd": self.best.name(), "simd_levels": levels})
    }
}

fn cpu_name(info: &str) -> String {
    let field = |wanted: &str| {
        let lines = info.lines().filter_map(|l| l.split_once(':'));
        lines
            .map(|(k, v)| (k.trim(), v.trim()))
            .find(|(k, v)| *k == wanted && !v.is_empty())
            .map(|(_, v)| v.to_string())
    };
    let name = field("model name").or_else(|| field("Model")).or_else(|| field("Processor"));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

fn caches() -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for i in 0..8 {
        let read = |what: &str| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{i}/{what}");
            std::fs::read_to_string(path).ok().map(|t| t.trim().to_string())
        };
        let (Some(level), Some(kind), Some(bytes)) =
            (read("level"), read("type"), read("size").and_then(|s| parse_size(&s)))
        else {
            continue;
        };
        if kind != "Instruction" {
            found.push((format!("L{level}"), bytes));
        }
    }
    found
}

/// `32K`, `1024K`, `8M`.
fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.chars().last()? {
        'K' => (&text[..text.len() - 1], 1 << 10),
        'M' => (&text[..text.len() - 1], 1 << 20),
        'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A power-of-two size for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b if b >= 1 << 20 => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
        b => format!("{} KiB", b >> 10),
    }
}

/// Work for [`natively`]. A closure that is called by value goes through a shim, which the compiler does not always inline, and
/// what is not inlined is compiled for the least machine.
struct Work<F>(F);

impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Work<F> {
    type Output = R;
    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// Runs a closure that is `#[inline(always)]` as compiled for the best SIMD level of the machine.
#[inline(always)]
pub fn natively<R>(work: impl FnMut() -> R) -> R {
    pulp::Arch::new().dispatch(Work(work))
}

/// Independent sums of a run of numbers, so that neither latency nor order holds the loads back.
#[inline(always)]
fn sum_lines(data: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for line in data.chunks_exact(32) {
        for (s, x) in sums.iter_mut().zip(line) {
            *s = s.wrapping_add(*x);
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// Bytes a second that `threads` threads together read from memory that no cache holds.
pub fn read_bandwidth(threads: usize, budget: Duration) -> f64 {
    let words = 12 << 20;
    // Ones, not zeros: pages that were never written may all be the same one.
    let data = vec![1u64; words];
    let read = |part: &[u64]| {
        black_box(natively(
            #[inline(always)]
            || sum_lines(black_box(part)),
        ));
    };
    let pass = || match threads {
        0 | 1 => read(&data),
        n => std::thread::scope(|s| {
            for part in data.chunks(words.div_ceil(n)) {
                s.spawn(move || read(part));
            }
        }),
    };
    (words * 8) as f64 / shortest(budget, pass)
}

/// Rounds of `N` chains of multiply-adds that are independent of each other.
#[inline(always)]
fn fma_rounds<const N: usize>(acc: &mut [f32; N], rounds: usize, a: f32, b: f32) {
    let mut local = *acc;
    for _ in 0..rounds {
        for x in &mut local {
            *x = x.mul_add(a, b);
        }
    }
    *acc = local;
}

/// f32 operations a second of one thread with `N` chains.
fn fma_rate_of<const N: usize>(budget: Duration) -> f64 {
    let rounds = 20_000;
    let (a, b) = (black_box(0.999f32), black_box(0.001f32));
    let mut acc = [1f32; N];
    let seconds = shortest(budget, || {
        natively(
            #[inline(always)]
            || fma_rounds(&mut acc, rounds, a, b),
        );
        black_box(&mut acc);
    });
    (2 * N * rounds) as f64 / seconds
}

/// f32 operations a second (a multiply-add counts as two) that one thread computes at most.
pub fn fma_rate(budget: Duration) -> f64 {
    // Enough chains for the latency, few enough for the registers: which number that is depends on the machine.
    fma_rate_of::<64>(budget / 3).max(fma_rate_of::<96>(budget / 3)).max(fma_rate_of::<192>(budget / 3))
}

/// How many times the work of one thread `threads` of them do in the same time, where they share nothing: multiply-adds in
/// registers, for about a millisecond a side. Below `threads` where cores are shared with others or clock lower together.
pub fn scaling(threads: usize) -> f64 {
    let work = || {
        let mut acc = [1f32; 64];
        let (a, b) = (black_box(0.999f32), black_box(0.001f32));
        natively(
            #[inline(always)]
            || fma_rounds(&mut acc, 1_000_000, a, b),
        );
        black_box(&mut acc);
    };
    let time = |threads: usize| {
        let from = Instant::now();
        std::thread::scope(|s| {
            for _ in 1..threads {
                s.spawn(work);
            }
            work();
        });
        from.elapsed().as_secs_f64()
    };
    let one = time(1);
    threads as f64 * one / time(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_understood() {
        assert_eq!(
            ["32K", "8M", "64", "x", ""].map(parse_size),
            [Some(32 << 10), Some(8 << 20), Some(64), None, None]
        );
        assert_eq!([size(32 << 10), size(36_608 << 10), size(8 << 20)], ["32 KiB", "35.8 MiB", "8 MiB"]);
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: Fast One\n"), "Fast One");
        assert_eq!(cpu_name(""), std::env::consts::ARCH);
    }

    #[test]
    fn sums_see_every_word() {
        let data: Vec<u64> = (0..320).collect();
        assert_eq!(sum_lines(&data), 319 * 320 / 2);
    }
}
