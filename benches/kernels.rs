//! Matrix products beside the limits of the machine, measured in the same rounds.
//!
//! `cargo bench -p phalanx-benches --bench kernels -- [WORD]...` runs the cases whose line contains every word, such as
//! `t2 memory avx512-vnni`. Each line has the rate, its fraction of the instruction limit (what the level's multiply
//! instructions do from registers) and its fraction of the read bandwidth (reading the same packed bytes and nothing else),
//! as medians over rounds in which limit and kernel take turns.

use phalanx_kernels::*;
use phalanx_simd::Tier;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time of one sample.
const SAMPLE: Duration = Duration::from_millis(4);
/// Rounds of a case.
const ROUNDS: usize = 15;
/// Bytes to rotate over where weights should come from memory.
const MEMORY: usize = 128 << 20;

/// Where weights come from.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// One matrix, again and again.
    Cache,
    /// Many, each read after all others.
    Memory,
}

struct Case {
    format: PackedFormat,
    tier: Tier,
    n: usize,
    k: usize,
    m: usize,
    from: From,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn weights(format: PackedFormat, n: usize, k: usize) -> PackedWeights {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let float = |r: u64| (r as i32 as f32) * 1e-9;
    let packed = match format {
        PackedFormat::F32 => PackedWeights::pack_f32(n, k, |_, out| out.fill_with(|| float(random.next()))),
        PackedFormat::F16 | PackedFormat::Bf16 => {
            PackedWeights::pack_half(format, n, k, |_, out| out.fill_with(|| random.next() as u16 & 0xbbff))
        }
        PackedFormat::T2 | PackedFormat::T3 => {
            PackedWeights::pack(format, n, k, Scales::Tensor(0.5), |_, out| {
                out.fill_with(|| (random.next() % 3) as i8 - 1);
            })
        }
        PackedFormat::I8 => PackedWeights::pack(format, n, k, Scales::Rows(vec![0.5; n]), |_, out| {
            out.fill_with(|| random.next() as i8);
        }),
        PackedFormat::T2Blocks | PackedFormat::Q8_0 | PackedFormat::Q4_0 => {
            let range = match format {
                PackedFormat::T2Blocks => 3,
                PackedFormat::Q4_0 => 15,
                _ => 255,
            };
            PackedWeights::pack_blocks(format, n, k, |_, out, scales| {
                out.fill_with(|| (random.next() % range) as i64 as i8 - (range / 2) as i8);
                scales.fill(0x3800);
            })
        }
    };
    packed.expect("memory for the weights")
}

/// Seconds of a call, over as many as fill a sample.
fn time(mut f: impl FnMut()) -> f64 {
    let mut calls = 1u32;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            f();
        }
        let took = start.elapsed();
        if took >= SAMPLE {
            return took.as_secs_f64() / f64::from(calls);
        }
        calls = (calls * 2)
            .max((f64::from(calls) * SAMPLE.as_secs_f64() / took.as_secs_f64().max(1e-9)) as u32 + 1);
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// What the machine can do at a level.
mod limit {
    use super::{PackedFormat, Tier, black_box};

    /// The loop of a level that the cases are run at.
    #[cfg(target_arch = "x86_64")]
    macro_rules! spin {
        ($name:ident) => {
            // SAFETY: cases are of levels that the machine has.
            || unsafe { x86::$name() }
        };
    }

    /// Multiply-adds of one call of the instruction loop, and the loop.
    pub fn instructions(format: PackedFormat, tier: Tier) -> Option<(f64, fn())> {
        #[cfg(target_arch = "x86_64")]
        {
            let small = matches!(
                format,
                PackedFormat::T2 | PackedFormat::T3 | PackedFormat::T2Blocks | PackedFormat::Q4_0
            );
            let turns = f64::from(x86::TURNS) * 12.0;
            return match (tier, format.is_float()) {
                (Tier::Avx2, true) => Some((8.0 * turns, spin!(fma_ymm))),
                (Tier::Avx2, _) if small => Some((32.0 * turns, spin!(maddubs_ymm))),
                (Tier::Avx2, _) => Some((16.0 * turns, spin!(madd_ymm))),
                (Tier::Avx512 | Tier::Avx512Vnni, true) => Some((16.0 * turns, spin!(fma_zmm))),
                (Tier::Avx512, _) if small => Some((64.0 * turns, spin!(maddubs_zmm))),
                (Tier::Avx512, _) => Some((32.0 * turns, spin!(madd_zmm))),
                (Tier::Avx512Vnni, _) => Some((64.0 * turns, spin!(vnni))),
                _ => None,
            };
        }
        #[allow(unreachable_code, reason = "other architectures have no such loops yet")]
        {
            let _ = (format, tier);
            None
        }
    }

    /// Reads all bytes with the widest vectors at hand.
    pub fn read(bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if Tier::Avx512.is_available() {
            // SAFETY: the level is there.
            return unsafe { x86::read_zmm(bytes) };
        }
        black_box(
            bytes
                .chunks_exact(8)
                .fold(0u64, |t, b| t ^ u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])),
        );
    }

    #[cfg(target_arch = "x86_64")]
    mod x86 {
        use super::black_box;
        use std::arch::x86_64::*;

        pub const TURNS: u32 = 20_000;

        macro_rules! chains {
            ($(#[$doc:meta])* $name:ident, $width:ident, $feature:literal, $zero:expr, |$acc:ident, $b:ident| $step:expr) => {
                #[target_feature(enable = $feature)]
                pub fn $name() {
                    let $b = black_box($zero);
                    let mut all = [$b; 12];
                    for _ in 0..TURNS {
                        for $acc in &mut all {
                            *$acc = $step;
                        }
                        // The sums stay in registers: read and written here as far as the compiler knows.
                        for acc in &mut all {
                            keep!($width, acc);
                        }
                    }
                    black_box(all);
                }
            };
        }
        macro_rules! keep {
            (ymm, $acc:ident) => {
                // SAFETY: an empty statement.
                unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) * $acc, options(pure, nomem, nostack)) }
            };
            (zmm, $acc:ident) => {
                // SAFETY: an empty statement.
                unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) * $acc, options(pure, nomem, nostack)) }
            };
        }
        chains!(vnni, zmm, "avx512f,avx512bw,avx512vnni", _mm512_setzero_si512(), |acc, b| {
            _mm512_dpbusd_epi32(*acc, b, b)
        });
        chains!(fma_zmm, zmm, "avx512f", _mm512_setzero_ps(), |acc, b| _mm512_fmadd_ps(b, b, *acc));
        chains!(maddubs_zmm, zmm, "avx512f,avx512bw", _mm512_setzero_si512(), |acc, b| {
            _mm512_add_epi16(*acc, _mm512_maddubs_epi16(*acc, b))
        });
        chains!(madd_zmm, zmm, "avx512f,avx512bw", _mm512_setzero_si512(), |acc, b| {
            _mm512_add_epi32(*acc, _mm512_madd_epi16(*acc, b))
        });
        chains!(fma_ymm, ymm, "avx2,fma", _mm256_setzero_ps(), |acc, b| _mm256_fmadd_ps(b, b, *acc));
        chains!(maddubs_ymm, ymm, "avx2,fma", _mm256_setzero_si256(), |acc, b| {
            _mm256_add_epi16(*acc, _mm256_maddubs_epi16(*acc, b))
        });
        chains!(madd_ymm, ymm, "avx2,fma", _mm256_setzero_si256(), |acc, b| {
            _mm256_add_epi32(*acc, _mm256_madd_epi16(*acc, b))
        });

        #[target_feature(enable = "avx512f")]
        pub fn read_zmm(bytes: &[u8]) {
            let mut acc = [_mm512_setzero_si512(); 4];
            for four in bytes.chunks_exact(256) {
                for (i, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: a chunk has four vectors; a prefetched address need not exist.
                    unsafe {
                        _mm_prefetch::<_MM_HINT_T0>(four.as_ptr().wrapping_add(2048 + 64 * i).cast());
                        let v = _mm512_loadu_si512(four.as_ptr().add(64 * i).cast());
                        *acc = _mm512_xor_si512(*acc, v);
                    }
                }
            }
            black_box(acc);
        }
    }
}

fn run(case: &Case) -> Option<String> {
    let Case { format, tier, n, k, m, from } = *case;
    let first = weights(format, n, k);
    let copies = match from {
        From::Cache => 1,
        From::Memory => MEMORY.div_ceil(first.bytes().len()),
    };
    let all: Vec<PackedWeights> =
        std::iter::once(first).chain((1..copies).map(|_| weights(format, n, k))).collect();
    let bytes = all[0].bytes().len() as f64;
    let codes: Vec<i8> = (0..m * k).map(|i| (i * 7919) as i8).collect();
    let values: Vec<f32> = (0..m * k).map(|i| (i * 7919 % 1000) as f32 * 1e-3).collect();
    let divisors = vec![2.0; m];
    let x = if format.is_float() {
        Input::Floats(Rows::new(&values, m, k, k).ok()?)
    } else {
        Input::Codes { rows: Rows::new(&codes, m, k, k).ok()?, scales: Some(&divisors) }
    };
    let mut y = vec![0f32; m * n];
    let mut scratch = Scratch::new();
    let (macs, spin) = limit::instructions(format, tier)?;
    let mut turn = 0;
    let mut kernel = || {
        let tile = Tile::new(&mut y, m, n, n).expect("shape");
        let out = Output::Floats { tile, bias: None, activation: Activation::None };
        turn = (turn + 1) % all.len();
        matmul(tier, &all[turn], 0, x, out, &mut scratch).expect("shapes fit");
    };
    let mut other = 0;
    let mut read = || {
        other = (other + 1) % all.len();
        limit::read(all[other].bytes());
    };
    kernel();
    let (mut rates, mut of_peak, mut of_read, mut peaks, mut reads) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let work = (n * k * m) as f64;
        let peak = macs / time(spin);
        let bandwidth = bytes / time(&mut read);
        let took = time(&mut kernel);
        rates.push(work / took);
        peaks.push(peak);
        reads.push(bandwidth);
        of_peak.push(work / took / peak);
        of_read.push(bytes / took / bandwidth);
    }
    Some(format!(
        "{:7.1} GMAC/s = {:5.1} % of {:5.1}; {:5.1} % of {:5.1} GB/s read",
        median(rates) * 1e-9,
        median(of_peak) * 100.0,
        median(peaks) * 1e-9,
        median(of_read) * 100.0,
        median(reads) * 1e-9,
    ))
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| w != "--bench").collect();
    let shapes = [(640, 2560), (2560, 2560), (6912, 2560), (2560, 6912), (4096, 14336), (3200, 8640)];
    for &format in PackedFormat::ALL {
        for tier in Tier::available() {
            for (n, k) in shapes {
                for m in [1, 2, 4, 8, 32, 128, 512] {
                    for from in [From::Cache, From::Memory] {
                        let place = if from == From::Memory { "memory" } else { "cache" };
                        let line = format!("{format} {tier} {n}x{k} m={m} {place}");
                        let mut has = line.split(' ');
                        if words.is_empty() || words.iter().all(|w| has.clone().any(|x| x == w)) {
                            let _ = has.next();
                            if let Some(result) = run(&Case { format, tier, n, k, m, from }) {
                                println!("{line:45} {result}");
                            }
                        }
                    }
                }
            }
        }
    }
}
