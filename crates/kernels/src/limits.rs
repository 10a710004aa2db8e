//! What this machine can do at most, measured: the roofs that a kernel's speed is a fraction of.
//!
//! A roof has to feel the same clock, neighbours and pages as the kernel that it is compared with, so each is measured in the
//! same run: multiply-accumulates from registers alone, reads of the very memory that the kernel reads. [`quiet`] tells whether
//! somebody else is using the core's other half: then the front end is halved, which dense kernels feel and the plain loops of
//! [`int8_rate`] do not.

use crate::PackedFormat;
use phalanx_simd::tier::Tier;
use std::time::{Duration, Instant};

/// Chains of an accumulating loop: enough for latency times throughput on known cores, few enough for the registers.
const CHAINS: f64 = 12.0;

/// Runs so many rounds.
type Loop = fn(u32);

/// Runs `work` again and again for about `budget`; the shortest time of one run in seconds.
pub fn shortest(budget: Duration, mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed() < budget || best.is_infinite() {
        let from = Instant::now();
        work();
        best = best.min(from.elapsed().as_secs_f64());
    }
    best
}

/// 8-bit multiply-accumulates a second that one thread can do at this level, from registers; `None` where the level has no
/// instruction for them, or the machine has not the level.
pub fn int8_rate(tier: Tier, budget: Duration) -> Option<f64> {
    let (run, per_chain) = loops::int8(tier).filter(|_| tier.is_available())?;
    let rounds = 4000;
    Some(f64::from(rounds) * CHAINS * per_chain / shortest(budget, || run(rounds)))
}

/// f32 fused multiply-adds a second that one thread can do at this level, from registers; `None` as for [`int8_rate`].
pub fn f32_rate(tier: Tier, budget: Duration) -> Option<f64> {
    let (run, per_chain) = loops::f32(tier).filter(|_| tier.is_available())?;
    let rounds = 4000;
    Some(f64::from(rounds) * CHAINS * per_chain / shortest(budget, || run(rounds)))
}

/// Multiply-accumulates a second that a product of `m` rows of activations with such weights can do on one thread at this level,
/// by the instructions that it cannot do without, from registers; `None` as for [`int8_rate`].
///
/// These are the multiplications and additions: of bytes by bytes, which take pairs of 16 bits where a level has no dot product for
/// them, of codes by bytes, or fused ones. For one row also those that make operands of what is stored, codes apart for ternary weights
/// and pairs of 16 bits of bytes, once for each multiplication; with more rows that serves them all.
pub fn product_rate(tier: Tier, format: PackedFormat, m: usize, budget: Duration) -> Option<f64> {
    let of = match format {
        PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => return f32_rate(tier, budget),
        PackedFormat::T2 | PackedFormat::T2Blocks if m == 1 => loops::planes(tier),
        PackedFormat::I8 | PackedFormat::Q8_0 if m == 1 => loops::stored_bytes(tier),
        PackedFormat::I8 | PackedFormat::Q8_0 => loops::bytes(tier),
        _ => loops::int8(tier),
    };
    let (run, per_chain) = of.filter(|_| tier.is_available())?;
    let rounds = 4000;
    Some(f64::from(rounds) * CHAINS * per_chain / shortest(budget, || run(rounds)))
}

/// What the front end does now, for about ten microseconds: no-operations for every dependent addition, that is, for every
/// cycle. Compare it with the most that was seen in the same run; it halves while a neighbour uses the core. `None` where it is
/// not known how to measure it.
pub fn quiet() -> Option<f64> {
    let [nops, adds] = loops::gate()?;
    let rounds = 256;
    let time = |run: Loop| {
        let from = Instant::now();
        run(rounds);
        from.elapsed().as_secs_f64()
    };
    Some(time(adds) / time(nops))
}

/// Bytes a second that `threads` threads together read from these slices, the first part of each by the first thread and so on:
/// the best of several ways of reading.
pub fn read_rate(slices: &[&[u8]], threads: usize, budget: Duration) -> f64 {
    let threads = threads.max(1);
    let ways: [fn(&[u8]) -> u64; 3] = [read::plain, read::ahead, read::streams];
    let bytes: usize = slices.iter().map(|s| s.len() / threads / 64 * 64 * threads).sum();
    let of = |way: fn(&[u8]) -> u64| {
        let part = |t: usize, s: &[u8]| {
            let n = s.len() / threads / 64 * 64;
            std::hint::black_box(way(std::hint::black_box(&s[t * n..(t + 1) * n])))
        };
        // Every thread goes over its parts for the whole budget; the rates add up.
        let run = |t: usize| {
            let all = || slices.iter().fold(0u64, |sum, s| sum ^ part(t, s));
            let repeat = (1 << 18) / bytes.max(1) + 1;
            let once = || (0..repeat).fold(0, |sum, _| sum ^ all());
            std::hint::black_box(once());
            let (begin, mut times) = (Instant::now(), Vec::new());
            while begin.elapsed() < budget / 3 || times.is_empty() {
                let from = Instant::now();
                std::hint::black_box(once());
                times.push(from.elapsed().as_secs_f64());
            }
            // The median: the shortest of many could be one in which the other thread paused.
            times.sort_by(f64::total_cmp);
            (repeat * bytes) as f64 / threads as f64 / times[times.len() / 2]
        };
        if threads == 1 {
            return run(0);
        }
        std::thread::scope(|s| {
            let all: Vec<_> = (0..threads).map(|t| s.spawn(move || run(t))).collect();
            all.into_iter().map(|h| h.join().unwrap_or(0.0)).sum()
        })
    };
    ways.into_iter().map(of).fold(0.0, f64::max)
}

/// Bytes a second, read and written together, of copying `read` bytes to `written` others again and again with `threads` threads:
/// from the front, and from the front once more where more is written than read.
pub fn copy_rate(read: usize, written: usize, threads: usize, budget: Duration) -> f64 {
    let threads = threads.max(1);
    let run = || {
        let (from, mut to) = (vec![1u8; read / threads], vec![0u8; written / threads]);
        let once = |to: &mut [u8]| {
            let from = std::hint::black_box(&from[..]);
            for part in to.chunks_mut(from.len().max(1)) {
                part.copy_from_slice(&from[..part.len()]);
            }
            // What is not copied is read.
            let rest = from.get(to.len()..).unwrap_or_default();
            std::hint::black_box(read::plain(rest));
            std::hint::black_box(to);
        };
        once(&mut to);
        let repeat = (1 << 18) / (from.len() + to.len()).max(1) + 1;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while begin.elapsed() < budget || times.is_empty() {
            let start = Instant::now();
            (0..repeat).for_each(|_| once(&mut to));
            times.push(start.elapsed().as_secs_f64());
        }
        // The median: the shortest of many could be one in which the other thread paused.
        times.sort_by(f64::total_cmp);
        (repeat * (from.len() + to.len())) as f64 / times[times.len() / 2]
    };
    if threads == 1 {
        return run();
    }
    std::thread::scope(|s| {
        let all: Vec<_> = (0..threads).map(|_| s.spawn(run)).collect();
        all.into_iter().map(|h| h.join().unwrap_or(0.0)).sum()
    })
}

/// Reading memory: every byte once, into sums that nobody needs.
mod read {
    fn words(line: &[u8]) -> impl Iterator<Item = u64> {
        line.as_chunks::<8>().0.iter().map(|w| u64::from_ne_bytes(*w))
    }

    #[inline(always)]
    fn sums(lines: &[u8], acc: &mut [u64; 32], prefetch: impl Fn(usize)) {
        for (i, line) in lines.chunks_exact(256).enumerate() {
            prefetch(i * 256);
            for (a, w) in acc.iter_mut().zip(words(line)) {
                *a ^= w;
            }
        }
    }

    /// From the front to the back, what the hardware fetches ahead.
    pub fn plain(data: &[u8]) -> u64 {
        super::loops::widest(
            data,
            #[inline(always)]
            |data| {
                let mut acc = [0; 32];
                sums(data, &mut acc, |_| {});
                acc.iter().fold(0, |a, b| a ^ b)
            },
        )
    }

    /// The same, fetching ahead by instruction.
    pub fn ahead(data: &[u8]) -> u64 {
        super::loops::widest(
            data,
            #[inline(always)]
            |data| {
                let mut acc = [0; 32];
                sums(data, &mut acc, |at| {
                    for line in 0..4 {
                        super::loops::prefetch(data, at + 512 + line * 64);
                    }
                });
                acc.iter().fold(0, |a, b| a ^ b)
            },
        )
    }

    /// Four places at a time.
    pub fn streams(data: &[u8]) -> u64 {
        super::loops::widest(
            data,
            #[inline(always)]
            |data| {
                let quarter = data.len() / 4 / 256 * 256;
                let mut acc = [0u64; 32];
                for at in (0..quarter).step_by(64) {
                    for s in 0..4 {
                        for (a, w) in acc[s * 8..].iter_mut().zip(words(&data[s * quarter + at..][..64])) {
                            *a ^= w;
                        }
                    }
                }
                sums(&data[4 * quarter..], &mut acc, |_| {});
                acc.iter().fold(0, |a, b| a ^ b)
            },
        )
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod loops {
    use phalanx_simd::tier::Tier;

    /// A loop of `n` rounds with twelve chains each, written out so that the compiler can neither thin it nor spill.
    ///
    /// Chains are in registers 0 to 11; 12 and 13 are free, 14 and 15 are zero. Lines before `;` come once in four chains.
    macro_rules! chains {
        ($name:ident, $reg:literal, $($line:literal),+) => {
            chains!($name, $reg, ; $($line),+);
        };
        ($name:ident, $reg:literal, $($fourth:literal),*; $($line:literal),+) => {
            fn $name(n: u32) {
                if n == 0 {
                    return;
                }
                // SAFETY: registers only, all of them declared; whoever calls through `int8` or `f32` has asked for the level.
                unsafe {
                    std::arch::asm!(
                        concat!(".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vpxor xmm\\r, xmm\\r, xmm\\r\n .endr"),
                        "2:",
                        $($fourth,)*
                        concat!(".irp r,0,1,2,3\n ", $($line, "\n ",)+ ".endr"),
                        $($fourth,)*
                        concat!(".irp r,4,5,6,7\n ", $($line, "\n ",)+ ".endr"),
                        $($fourth,)*
                        concat!(".irp r,8,9,10,11\n ", $($line, "\n ",)+ ".endr"),
                        "dec {n:e}",
                        "jnz 2b",
                        n = inout(reg) n => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                        out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                        options(nomem, nostack),
                    );
                    std::arch::asm!("vzeroupper", out("xmm0") _, options(nomem, nostack, preserves_flags));
                }
            }
        };
    }
    chains!(vnni512, "zmm", "vpdpbusd zmm\\r, zmm14, zmm15");
    chains!(maddubs256, "ymm", "vpmaddubsw ymm12, ymm14, ymm15", "vpaddw ymm\\r, ymm\\r, ymm12");
    chains!(maddubs512, "zmm", "vpmaddubsw zmm12, zmm14, zmm15", "vpaddw zmm\\r, zmm\\r, zmm12");
    chains!(madd256, "ymm", "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm\\r, ymm\\r, ymm12");
    chains!(madd512, "zmm", "vpmaddwd zmm12, zmm14, zmm15", "vpaddd zmm\\r, zmm\\r, zmm12");
    chains!(
        stored256,
        "ymm",
        "vpand ymm12, ymm14, ymm15",
        "vpsrlw ymm13, ymm14, 8",
        "vpmaddwd ymm12, ymm12, ymm15",
        "vpmaddwd ymm13, ymm13, ymm15",
        "vpaddd ymm\\r, ymm\\r, ymm12",
        "vpaddd ymm\\r, ymm\\r, ymm13"
    );
    chains!(
        stored512,
        "zmm",
        "vpandd zmm12, zmm14, zmm15",
        "vpsrlw zmm13, zmm14, 8",
        "vpmaddwd zmm12, zmm12, zmm15",
        "vpmaddwd zmm13, zmm13, zmm15",
        "vpaddd zmm\\r, zmm\\r, zmm12",
        "vpaddd zmm\\r, zmm\\r, zmm13"
    );
    chains!(
        planes256, "ymm", "vpsrlw ymm13, ymm14, 4";
        "vpand ymm12, ymm14, ymm15", "vpmaddubsw ymm12, ymm12, ymm15", "vpaddw ymm\\r, ymm\\r, ymm12"
    );
    chains!(
        planes512, "zmm", "vpsrlw zmm13, zmm14, 4";
        "vpandd zmm12, zmm14, zmm15", "vpmaddubsw zmm12, zmm12, zmm15", "vpaddw zmm\\r, zmm\\r, zmm12"
    );
    chains!(
        planes_vnni,
        "zmm",
        "vpandd zmm12, zmm14, zmm15",
        "vpandd zmm13, zmm14, zmm15",
        "vpdpbusd zmm\\r, zmm12, zmm15",
        "vpdpbusd zmm\\r, zmm13, zmm15"
    );
    chains!(fma256, "ymm", "vfmadd231ps ymm\\r, ymm14, ymm15");
    chains!(fma512, "zmm", "vfmadd231ps zmm\\r, zmm14, zmm15");

    /// The loop of a level and the multiply-accumulates of one chain in one round.
    pub(super) fn int8(tier: Tier) -> Option<(super::Loop, f64)> {
        match tier {
            Tier::Avx2 => Some((maddubs256, 32.0)),
            Tier::Avx512 => Some((maddubs512, 64.0)),
            Tier::Avx512Vnni => Some((vnni512, 64.0)),
            _ => None,
        }
    }
    /// As [`int8`] for bytes on both sides.
    pub(super) fn bytes(tier: Tier) -> Option<(super::Loop, f64)> {
        match tier {
            Tier::Avx2 => Some((madd256, 16.0)),
            Tier::Avx512 => Some((madd512, 32.0)),
            _ => int8(tier),
        }
    }
    /// As [`bytes`], with what makes pairs of 16 bits of the bytes on one side.
    pub(super) fn stored_bytes(tier: Tier) -> Option<(super::Loop, f64)> {
        match tier {
            Tier::Avx2 => Some((stored256, 32.0)),
            Tier::Avx512 => Some((stored512, 64.0)),
            _ => int8(tier),
        }
    }
    /// As [`int8`], with what separates codes of two bits: masks alone where any byte can be multiplied, else a shift for four
    /// planes too.
    pub(super) fn planes(tier: Tier) -> Option<(super::Loop, f64)> {
        match tier {
            Tier::Avx2 => Some((planes256, 32.0)),
            Tier::Avx512 => Some((planes512, 64.0)),
            Tier::Avx512Vnni => Some((planes_vnni, 128.0)),
            _ => None,
        }
    }
    pub(super) fn f32(tier: Tier) -> Option<(super::Loop, f64)> {
        match tier {
            Tier::Avx2 => Some((fma256, 8.0)),
            Tier::Avx512 | Tier::Avx512Vnni => Some((fma512, 16.0)),
            _ => None,
        }
    }

    fn nops(n: u32) {
        // SAFETY: counts a register down.
        unsafe {
            std::arch::asm!("2:", ".rept 96\n nop\n .endr", "dec {n:e}", "jnz 2b", n = inout(reg) n.max(1) => _,
                options(nomem, nostack));
        }
    }
    fn adds(n: u32) {
        // SAFETY: two registers of its own.
        unsafe {
            std::arch::asm!("2:", ".rept 96\n add {x}, {x}\n .endr", "dec {n:e}", "jnz 2b",
                n = inout(reg) n.max(1) => _, x = inout(reg) 1u64 => _, options(nomem, nostack));
        }
    }
    pub(super) fn gate() -> Option<[super::Loop; 2]> {
        Some([nops, adds])
    }

    /// Asks for the line at an offset; beyond the slice nothing happens.
    #[inline(always)]
    pub(super) fn prefetch(data: &[u8], at: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults, and `wrapping_add` makes no claim about where the address lies.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(at).cast()) };
    }

    #[target_feature(enable = "avx512f")]
    fn with_avx512(data: &[u8], work: impl Fn(&[u8]) -> u64) -> u64 {
        work(data)
    }
    #[target_feature(enable = "avx2")]
    fn with_avx2(data: &[u8], work: impl Fn(&[u8]) -> u64) -> u64 {
        work(data)
    }
    /// Runs a closure, compiled for the widest vectors of the machine.
    #[inline(always)]
    pub(super) fn widest(data: &[u8], work: impl Fn(&[u8]) -> u64) -> u64 {
        if Tier::Avx512.is_available() {
            // SAFETY: the machine has the level.
            unsafe { with_avx512(data, work) }
        } else if Tier::Avx2.is_available() {
            // SAFETY: the machine has the level.
            unsafe { with_avx2(data, work) }
        } else {
            work(data)
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod loops {
    use phalanx_simd::tier::Tier;

    pub(super) fn int8(_: Tier) -> Option<(super::Loop, f64)> {
        None
    }
    pub(super) fn bytes(_: Tier) -> Option<(super::Loop, f64)> {
        None
    }
    pub(super) fn stored_bytes(_: Tier) -> Option<(super::Loop, f64)> {
        None
    }
    pub(super) fn planes(_: Tier) -> Option<(super::Loop, f64)> {
        None
    }
    pub(super) fn f32(_: Tier) -> Option<(super::Loop, f64)> {
        None
    }
    pub(super) fn gate() -> Option<[super::Loop; 2]> {
        None
    }
    pub(super) fn prefetch(_: &[u8], _: usize) {}
    pub(super) fn widest(data: &[u8], work: impl Fn(&[u8]) -> u64) -> u64 {
        work(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    #[test]
    fn every_level_of_this_machine_has_its_roofs() {
        for tier in Tier::available() {
            let rates = [int8_rate(tier, SHORT), f32_rate(tier, SHORT)];
            let expected = cfg!(target_arch = "x86_64") && tier != Tier::Scalar;
            assert_eq!(
                rates.map(|r| r.is_some_and(|r| r > 1e6 && r < 1e15)),
                [expected; 2],
                "{tier}: {rates:?}"
            );
        }
        for tier in Tier::available() {
            for format in PackedFormat::ALL {
                let rates = [1, 8].map(|m| product_rate(tier, *format, m, SHORT));
                assert_eq!(
                    rates.map(|r| r.is_some()),
                    [int8_rate(tier, SHORT).is_some(); 2],
                    "{tier} {format}"
                );
            }
        }
        assert!(int8_rate(Tier::Scalar, SHORT).is_none());
        assert!(quiet().is_none_or(|q| q > 0.05 && q < 50.0));
    }

    #[test]
    fn reading_sees_every_byte() {
        let mut data: Vec<u8> = (0..64 * 1024 + 256).map(|i| (i * 7 + i / 256) as u8).collect();
        let all = data.as_chunks::<8>().0.iter().fold(0, |a, w| a ^ u64::from_ne_bytes(*w));
        assert_eq!([read::plain(&data), read::ahead(&data), read::streams(&data)], [all; 3]);
        data[65_000] ^= 1;
        assert!([read::plain(&data), read::ahead(&data), read::streams(&data)].iter().all(|s| *s != all));
        assert!(read_rate(&[&data, &data[64..]], 2, SHORT) > 1e6);
    }
}
