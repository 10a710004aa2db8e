//! What is multiplied: weights that every side represents exactly, copies of them, our launches, and how far answers may differ.

use super::Format;
use phalanx::isa::PackFormat;
use phalanx::kernels::{Activation, Input, Output, Rows, Split, Tile, quantise, reference};
use phalanx::product::{self, Linear};
use phalanx::{BoundLaunch, Buffer, Cpu, PackedWeights, Tier};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of weights at least that a product from memory goes through before it meets one again.
const ROTATION: usize = 96 << 20;
/// Weight rows whose outputs are compared with the plain reference.
const CHECKED: usize = 4;

/// A product of ours, with weights in turn.
pub struct Ours {
    /// Quantises the activations, where a rival does that too and the format takes codes.
    first: Option<BoundLaunch>,
    launches: Vec<BoundLaunch>,
    pub y: Buffer<f32>,
    next: usize,
}

impl Ours {
    /// Matrices that take turns.
    pub fn copies(&self) -> usize {
        self.launches.len()
    }
    pub fn run(&mut self) -> anyhow::Result<()> {
        if let Some(first) = &self.first {
            first.run()?;
        }
        self.launches[self.next].run()?;
        self.next = (self.next + 1) % self.launches.len();
        Ok(())
    }

    pub fn sample(&mut self, runs: u32) -> anyhow::Result<f64> {
        let from = Instant::now();
        for _ in 0..runs {
            self.run()?;
        }
        Ok(from.elapsed().as_secs_f64() / f64::from(runs))
    }
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Weights as numbers that the format holds exactly, and that other writers of the format give the same codes and scales: each
/// block of 32 has the value that decides its scale.
fn weights(format: PackFormat, n: usize, k: usize) -> Vec<f32> {
    let mut rng = Random(1);
    let mut weight = |i: usize| {
        let r = rng.next() >> 32;
        match format {
            PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => (r % 3) as f32 - 1.0,
            PackFormat::Q40 if i.is_multiple_of(32) => -8.0,
            PackFormat::Q40 => (r % 16) as f32 - 8.0,
            PackFormat::Q80 if i.is_multiple_of(32) => 127.0,
            PackFormat::I8 | PackFormat::Q80 => (r % 255) as f32 - 127.0,
            // Eight significant bits: exact in every format of floats.
            PackFormat::F32 | PackFormat::F16 | PackFormat::Bf16 => ((r % 255) as f32 - 127.0) / 1024.0,
        }
    };
    (0..n * k).map(|i| weight(i % k)).collect()
}

/// Everything about one format and shape.
pub struct Matrix {
    pub packed: PackFormat,
    pub n: usize,
    pub k: usize,
    values: Vec<f32>,
    pub copies: Vec<Arc<PackedWeights>>,
}

impl Matrix {
    pub fn new(packed: PackFormat, (n, k): (usize, usize)) -> anyhow::Result<Matrix> {
        let values = weights(packed, n, k);
        Ok(Matrix { packed, n, k, copies: vec![Arc::new(product::pack(packed, n, k, &values)?)], values })
    }

    /// The matrix in `place`, made where there is none yet.
    pub fn once<'a>(
        place: &'a mut Option<Matrix>,
        format: &Format,
        shape: (usize, usize),
    ) -> anyhow::Result<&'a mut Matrix> {
        let made = match place.take() {
            Some(matrix) => matrix,
            None => Matrix::new(format.packed, shape)?,
        };
        Ok(place.insert(made))
    }

    /// As many copies as a working set takes.
    pub fn copies(&mut self, memory: bool) -> anyhow::Result<usize> {
        if !memory {
            return Ok(1);
        }
        let needed = ROTATION.div_ceil(self.copies[0].bytes().len().max(1)).max(2);
        while self.copies.len() < needed {
            let copy = self.copies[0].try_clone()?;
            self.copies.push(Arc::new(copy));
        }
        Ok(needed)
    }

    /// Writes the weights for a rival, as its program says.
    pub fn write(&self, dir: &Path) -> anyhow::Result<&'static str> {
        let ints = || self.values.iter().map(|v| *v as i8 as u8).collect::<Vec<u8>>();
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        for old in ["w.i8", "w.scale", "w.f32"] {
            let _ = std::fs::remove_file(dir.join(old));
        }
        Ok(match self.packed {
            PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => {
                std::fs::write(dir.join("w.i8"), ints())?;
                std::fs::write(dir.join("w.scale"), floats(&[1.0]))?;
                "ternary"
            }
            PackFormat::I8 => {
                std::fs::write(dir.join("w.i8"), ints())?;
                std::fs::write(dir.join("w.scale"), floats(&vec![1.0; self.n]))?;
                "i8"
            }
            _ => {
                std::fs::write(dir.join("w.f32"), floats(&self.values))?;
                self.packed.name()
            }
        })
    }

    /// Our launches, divided over threads as `split` says or else as a measurement finds best here.
    pub fn ours(
        &self,
        cpu: &Cpu,
        x: &[f32],
        copies: usize,
        quantised_in_time: bool,
        split: Option<Split>,
    ) -> anyhow::Result<Ours> {
        let m = x.len() / self.k;
        let y = cpu.zeros::<f32>(m * self.n)?;
        let input = cpu.buffer(x)?;
        if split.is_none() && cpu.threads() > 1 {
            // What a program comes to after some products of the shape: `Linear::plan` takes it from here.
            Linear::new(cpu, Arc::clone(&self.copies[0])).measure(m)?;
        }
        let layers = self.copies[..copies].iter().map(|w| {
            let layer = Linear::new(cpu, Arc::clone(w));
            split.into_iter().fold(layer, Linear::split)
        });
        if self.copies[0].format().is_float() {
            let launches =
                layers.map(|l| Ok(l.floats(&input, &y)?.bind()?)).collect::<anyhow::Result<_>>()?;
            return Ok(Ours { first: None, launches, y, next: 0 });
        }
        let (q, scale) = (cpu.zeros::<i8>(x.len())?, cpu.zeros::<f32>(m)?);
        let first = product::quantise(cpu, &input, &q, &scale, self.k)?.bind()?;
        first.run()?;
        let launches =
            layers.map(|l| Ok(l.quantised(&q, &scale, &y)?.bind()?)).collect::<anyhow::Result<_>>()?;
        Ok(Ours { first: quantised_in_time.then_some(first), launches, y, next: 0 })
    }

    /// Whether the outputs of some weight rows are those of the plain reference, bit for bit.
    pub fn agrees(&self, x: &[f32], y: &[f32]) -> anyhow::Result<bool> {
        let (w, n, k) = (&self.copies[0], self.n, self.k);
        let m = x.len() / k;
        let (codes, scales) = quantised(x, k);
        let count = CHECKED.min(n);
        for first in [0, n - count] {
            let input = match w.format().is_float() {
                true => Input::Floats(Rows::new(x, m, k, k)?),
                false => Input::Codes { rows: Rows::new(&codes, m, k, k)?, scales: Some(&scales) },
            };
            let mut expected = vec![0f32; m * count];
            let tile = Tile::new(&mut expected, m, count, count)?;
            let out = Output::Floats { tile, bias: None, activation: Activation::None };
            reference::matmul(w, first, input, out)?;
            let found = y.chunks(n).flat_map(|row| &row[first..first + count]);
            if !found.zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Codes of rows of `k` activations, and the divisor of each row.
pub fn quantised(x: &[f32], k: usize) -> (Vec<i8>, Vec<f32>) {
    let mut codes = vec![0i8; x.len()];
    let rows = x.chunks(k).zip(codes.chunks_mut(k));
    let scales = rows.map(|(x, q)| quantise(Tier::Scalar, x, q).scale).collect();
    (codes, scales)
}

/// How far the rival's answer may be from ours, relative to its length as a vector: both sides round activations to 8 bits in
/// their own way for integer weights, and to 16 for weights of 16 bits.
pub fn tolerance(format: PackFormat) -> f64 {
    match format {
        PackFormat::F32 => 1e-5,
        PackFormat::F16 | PackFormat::Bf16 => 5e-3,
        _ => 0.02,
    }
}

pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let square = |v: f64| v * v;
    let off: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (off / b.iter().map(|b| square(f64::from(*b))).sum::<f64>()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::FORMATS;
    use super::*;

    #[test]
    fn weights_are_what_other_writers_make_of_them() {
        for format in FORMATS {
            let w = weights(format.packed, 3, 64);
            let packed = product::pack(format.packed, 3, 64, &w).unwrap();
            assert!((0..3 * 64).all(|i| packed.value(i / 64, i % 64) == w[i]), "{}", format.name);
        }
        let blocks = weights(PackFormat::Q80, 2, 64);
        assert!(blocks.chunks(32).all(|b| b[0] == 127.0 && b.iter().all(|v| v.abs() <= 127.0)));
    }

    #[test]
    fn wrong_answers_are_seen() {
        let mut matrix = Matrix::new(FORMATS[0].packed, (70, 33)).unwrap();
        assert_eq!(matrix.copies(false).unwrap(), 1);
        let x: Vec<f32> = (0..99).map(|i| (i % 7) as f32 - 3.0).collect();
        let cpu = Cpu::new().unwrap();
        let mut ours = matrix.ours(&cpu, &x, 1, true, Some(Split::Weights)).unwrap();
        ours.run().unwrap();
        let mut y = ours.y.read().unwrap();
        assert!(matrix.agrees(&x, &y).unwrap());
        assert_eq!(distance(&y, &y), 0.0);
        y[69] += 1.0;
        assert!(!matrix.agrees(&x, &y).unwrap());
        assert!(distance(&[1.0, 2.0], &[1.0, 2.1]) > 0.02 && distance(&[], &[1.0]).is_infinite());
    }
}
