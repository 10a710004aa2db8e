//! One small product for each layout, level and number of rows, for callgrind to count: `.ci/jobs/77-cost.sh` compiles and runs
//! it. Prints the cases in order; `mark` is called before and after each, which is where callgrind cuts.

use phalanx_kernels::*;
use std::hint::black_box;

#[inline(never)]
fn mark() {
    black_box(());
}

fn weights(format: PackedFormat, n: usize, k: usize) -> PackedWeights {
    let small = |i: usize| (i % 3) as i8 - 1;
    let packed = match format {
        PackedFormat::F32 => PackedWeights::pack_f32(n, k, |row, out| out.fill(row as f32)),
        PackedFormat::F16 | PackedFormat::Bf16 => PackedWeights::pack_half(format, n, k, |_, out| out.fill(0x3c00)),
        PackedFormat::T2 | PackedFormat::T3 | PackedFormat::I8 => {
            PackedWeights::pack(format, n, k, Scales::Tensor(0.5), |row, out| out.fill(small(row)))
        }
        PackedFormat::T2Blocks | PackedFormat::Q8_0 | PackedFormat::Q4_0 => {
            PackedWeights::pack_blocks(format, n, k, |row, out, scales| {
                out.fill(small(row));
                scales.fill(0x3800);
            })
        }
    };
    packed.expect("memory for small weights")
}

fn main() {
    let (n, k) = (128, 640);
    let mut scratch = Scratch::new();
    for tier in [Tier::Scalar, Tier::Avx2] {
        for format in PackedFormat::ALL.iter().copied() {
            let w = weights(format, n, k);
            for m in [1, 4, 24] {
                // Portable chains of floats are calls of a library's fma: nothing of ours to count.
                if tier == Tier::Scalar && (format.is_float() || format.block().is_some()) {
                    continue;
                }
                let (codes, floats) = (vec![3i8; m * k], vec![0.5f32; m * k]);
                let x = if format.is_float() {
                    Input::Floats(Rows::new(&floats, m, k, k).expect("shape"))
                } else {
                    Input::Codes { rows: Rows::new(&codes, m, k, k).expect("shape"), scales: None }
                };
                let mut y = vec![0f32; m * n];
                let mut product = || {
                    let tile = Tile::new(&mut y, m, n, n).expect("shape");
                    let y = Output::Floats { tile, bias: None, activation: Activation::None };
                    matmul(tier, &w, 0, x, y, &mut scratch).expect("the level is there and the shapes fit");
                };
                product();
                mark();
                product();
                mark();
                println!("{tier} {format} {m}");
            }
        }
    }
}
