//! Products with packed weights through bound launches, one thread and all: what a program pays for them. `phalanx bench matmul`
//! sets the same products beside the machine's limits and beside rivals.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phalanx::isa::PackFormat;
use phalanx::product::{self, Linear};
use phalanx::{BoundLaunch, Buffer, Cpu, PackedWeights};
use std::sync::Arc;

const SHAPES: [(usize, usize); 2] = [(640, 2560), (2560, 2560)];
const ROWS: [usize; 3] = [1, 8, 128];

/// The caller's thread alone, and all threads of the machine.
fn devices() -> [(&'static str, Cpu); 2] {
    let device = |threads| Cpu::builder().threads(threads).build().expect("the machine's defaults");
    [("one_thread", device(1)), ("all_threads", device(0))]
}

/// Weights from -1 to 1, which every format holds.
fn weights(format: PackFormat, n: usize, k: usize) -> Arc<PackedWeights> {
    let all: Vec<f32> = (0..n * k).map(|i| (i * 7919 % 3) as f32 - 1.0).collect();
    Arc::new(product::pack(format, n, k, &all).expect("small integers"))
}

/// The launch of a product with `m` rows of activations, and where it writes.
fn bound(cpu: &Cpu, w: &Arc<PackedWeights>, m: usize) -> (BoundLaunch, Buffer<f32>) {
    let x: Vec<f32> = (0..m * w.k()).map(|i| (i * 31 % 17) as f32 - 8.0).collect();
    let (x, y) = (cpu.buffer(&x).expect("memory"), cpu.zeros::<f32>(m * w.n()).expect("memory"));
    let layer = Linear::new(cpu, Arc::clone(w));
    let launch = if layer.is_quantised() {
        let (q, scale) = (cpu.zeros(x.len()).expect("memory"), cpu.zeros(m).expect("memory"));
        product::quantise(cpu, &x, &q, &scale, w.k()).expect("shapes fit").run().expect("it runs");
        layer.quantised(&q, &scale, &y)
    } else {
        layer.floats(&x, &y)
    };
    (launch.expect("shapes fit").bind().expect("a buffer for a buffer"), y)
}

fn products(c: &mut Criterion) {
    for format in PackFormat::ALL.iter().copied() {
        let mut g = c.benchmark_group(format!("matmul_{format}"));
        for (n, k) in SHAPES {
            let w = weights(format, n, k);
            for m in ROWS {
                // Multiply-accumulates.
                g.throughput(Throughput::Elements((n * k * m) as u64));
                let mut answers = Vec::new();
                for (threads, cpu) in devices() {
                    let (launch, y) = bound(&cpu, &w, m);
                    launch.run().expect("it runs");
                    answers.push(y.read().expect("readable"));
                    let id = BenchmarkId::new(format!("{n}x{k}x{m}"), threads);
                    g.bench_function(id, |b| b.iter(|| launch.run().expect("it runs")));
                }
                assert_eq!(answers[0], answers[1]);
            }
        }
        g.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
