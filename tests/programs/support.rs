//! Devices, random data, and the comparison of a program with its reference.

use phalanx::{Buffer, Cpu, Element, Kernel, Launcher, Program, Tier};
use std::sync::OnceLock;

/// A device that programs are run on.
pub struct Device {
    /// Executor, SIMD level and number of threads.
    pub name: String,
    pub cpu: Cpu,
    /// Whether it is quick enough for large sizes.
    large: bool,
}

/// The reference executor, and the lanes executor at every SIMD level of the machine, each with one and two threads.
pub fn devices() -> &'static [Device] {
    static ALL: OnceLock<Vec<Device>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for threads in [1, 2] {
            let cpu = Cpu::builder().executor("reference").threads(threads).build().unwrap();
            all.push(Device { name: format!("reference, {threads} threads"), cpu, large: false });
        }
        for tier in Tier::available() {
            for threads in [1, 2] {
                let cpu = Cpu::builder().executor("lanes").simd(tier).threads(threads).build().unwrap();
                all.push(Device { name: format!("lanes {tier}, {threads} threads"), cpu, large: true });
            }
        }
        all
    })
}

/// A program on a device.
pub struct Run {
    pub cpu: Cpu,
    program: Program,
}

impl Run {
    pub fn kernel(&self, name: &str) -> Kernel {
        self.program.kernel(name).unwrap()
    }
    /// A launch with the declared grid and block.
    pub fn launch(&self, name: &str) -> Launcher {
        self.kernel(name).launch_declared()
    }
    pub fn buffer<T: Element>(&self, data: &[T]) -> Buffer<T> {
        self.cpu.buffer(data).unwrap()
    }
    pub fn zeros<T: Element>(&self, n: usize) -> Buffer<T> {
        self.cpu.zeros(n).unwrap()
    }
}

/// What a buffer holds, as bits.
pub type Bits = Vec<u64>;

/// The elements of a buffer as bits.
pub fn bits<T: Element>(buffer: &Buffer<T>) -> Bits {
    of(&buffer.read().unwrap())
}

/// Elements as bits; a NaN as the one pattern that memory shows.
pub fn of<T: Element>(values: &[T]) -> Bits {
    values.iter().map(|v| v.to_bits()).collect()
}

/// f32 from bits.
pub fn floats(bits: &Bits) -> Vec<f32> {
    bits.iter().map(|b| f32::from_bits(*b as u32)).collect()
}

/// Runs `program` on every device for a small size, and on the quick ones for a large size. The outputs of the first device
/// must pass `verify`; those of all others must have the same bits.
pub fn check<D>(
    program: &str,
    sizes: [usize; 2],
    make: impl Fn(usize) -> D,
    run: impl Fn(&Run, &D) -> Vec<Bits>,
    verify: impl Fn(&D, &[Bits]),
) {
    let text = phalanx_programs::find(program).unwrap().text;
    for (size, only_large) in [(sizes[0], false), (sizes[1], true)] {
        let data = make(size);
        let mut first: Option<(&str, Vec<Bits>)> = None;
        for device in devices().iter().filter(|d| d.large || !only_large) {
            let loaded = device.cpu.load(text).unwrap();
            let found = run(&Run { cpu: device.cpu.clone(), program: loaded }, &data);
            match &first {
                None => {
                    verify(&data, &found);
                    first = Some((&device.name, found));
                }
                Some((name, expected)) => {
                    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
                        let at = f.iter().zip(e).position(|(f, e)| f != e);
                        assert!(
                            at.is_none() && f.len() == e.len(),
                            "{program}, size {size}: output {i} differs at {at:?} between {} and {name}",
                            device.name
                        );
                    }
                }
            }
        }
    }
}

/// Panics at the first element whose bits are others. NaNs of any pattern are equal.
#[track_caller]
pub fn exact<T: Element>(found: &Bits, expected: &[T]) {
    assert_eq!(found.len(), expected.len(), "lengths");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let is_nan = |bits| phalanx::data::is_nan(T::TYPE, bits);
        let same = *f == e.to_bits() || is_nan(e.to_bits()) && is_nan(*f);
        assert!(same, "element {i} is {:?}, expected {e:?}", T::from_bits(*f));
    }
}

/// Panics at the first f32 element further than `within * max(1, |expected|)` away.
#[track_caller]
pub fn close(found: &Bits, expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len(), "lengths");
    for (i, (f, e)) in floats(found).iter().zip(expected).enumerate() {
        let off = (f64::from(*f) - e).abs();
        assert!(off <= within * e.abs().max(1.0), "element {i} is {f:?}, expected {e:?}");
    }
}

/// Pseudo-random numbers: splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// A number in [low, high) on a grid of 2^24 steps.
    pub fn float(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / 16_777_216.0)
    }
    pub fn floats(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.float(low, high)).collect()
    }
}

/// The block reduction's order: in each subgroup of 32 the xor tree 16, 8, 4, 2, 1, then the subgroups ascending.
pub fn block_add(lanes: &[f32]) -> f32 {
    let subgroup = |group: &[f32]| {
        let mut v = [0.0; 32];
        v[..group.len()].copy_from_slice(group);
        for step in [16, 8, 4, 2, 1] {
            v = std::array::from_fn(|i| v[i] + v[i ^ step]);
        }
        v[0]
    };
    let mut sums = lanes.chunks(32).map(subgroup);
    let first = sums.next().unwrap_or(0.0);
    sums.fold(first, |a, b| a + b)
}

/// The order of the whole-grid sums: chunks of 4096, in each 256 lanes with stride 256 folded by `step`, then the lanes; the
/// chunks' results again by 256 lanes.
pub fn grid_add<T>(items: &[T], step: impl Fn(f32, &T) -> f32) -> (Vec<f32>, f32) {
    let part: Vec<f32> = items.chunks(4096).map(|chunk| lanes_add(chunk, &step)).collect();
    let total = lanes_add(&part, |a, b| a + b);
    (part, total)
}

/// 256 lanes with stride 256, each folding its items from 0 by `step`, then the block's reduction.
pub fn lanes_add<T>(items: &[T], step: impl Fn(f32, &T) -> f32) -> f32 {
    let lane = |l: usize| items.iter().skip(l).step_by(256).fold(0.0, &step);
    block_add(&(0..256).map(lane).collect::<Vec<f32>>())
}
