//! Products of every format, level, division and number of threads against the plain reference of the kernels, bit for bit.

use phalanx::isa::PackFormat;
use phalanx::kernels::{
    Activation, Input, Output, Plan, Rows, Split, Tile, quantise as quantise_row, reference,
};
use phalanx::product::{self, Linear};
use phalanx::{Cpu, PackedWeights, Tier};
use std::sync::Arc;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

fn weights(format: PackFormat, n: usize, k: usize, rng: &mut Rng) -> Arc<PackedWeights> {
    let value = |rng: &mut Rng| match format {
        PackFormat::T2 | PackFormat::T3 | PackFormat::T2Blocks => (rng.next() % 3) as f32 - 1.0,
        PackFormat::Q40 => (rng.next() % 16) as f32 - 8.0,
        PackFormat::I8 | PackFormat::Q80 => (rng.next() % 256) as f32 - 128.0,
        _ => rng.float(),
    };
    let all: Vec<f32> = (0..n * k).map(|_| value(rng)).collect();
    Arc::new(product::pack(format, n, k, &all).unwrap())
}

/// What the definition says.
fn expected(w: &PackedWeights, x: &[f32], bias: Option<&[f32]>, activation: Activation) -> Vec<u32> {
    let (n, k) = (w.n(), w.k());
    let m = x.len() / k;
    let mut y = vec![0f32; m * n];
    let mut q = vec![0i8; x.len()];
    let scales: Vec<f32> =
        x.chunks(k).zip(q.chunks_mut(k)).map(|(x, q)| quantise_row(Tier::Scalar, x, q).scale).collect();
    let input = match w.format().is_float() {
        true => Input::Floats(Rows::new(x, m, k, k).unwrap()),
        false => Input::Codes { rows: Rows::new(&q, m, k, k).unwrap(), scales: Some(&scales) },
    };
    let tile = Tile::new(&mut y, m, n, n).unwrap();
    reference::matmul(w, 0, input, Output::Floats { tile, bias, activation }).unwrap();
    y.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_format_level_and_division_gives_the_bits_of_the_reference() {
    let mut rng = Rng(5);
    let cpus: Vec<Cpu> = Tier::available()
        .into_iter()
        .flat_map(|t| [1, 2, 3].map(|threads| Cpu::builder().simd(t).threads(threads).build().unwrap()))
        .chain([Cpu::builder().executor("reference").build().unwrap()])
        .collect();
    let activations =
        [Activation::None, Activation::Relu, Activation::ReluSquared, Activation::Silu, Activation::Gelu];
    for (i, format) in PackFormat::ALL.iter().copied().enumerate() {
        for (m, n, k) in [(1, 130, 77), (3, 64, 256), (13, 67, 33), (30, 129, 300)] {
            let w = weights(format, n, k, &mut rng);
            let x: Vec<f32> = (0..m * k).map(|_| rng.float() * 3.0).collect();
            let bias: Vec<f32> = (0..n).map(|_| rng.float()).collect();
            let activation = activations[(i + m) % activations.len()];
            let bias = (m != 3).then_some(&bias[..]);
            let wanted = expected(&w, &x, bias, activation);
            for cpu in &cpus {
                let layer = Linear::new(cpu, Arc::clone(&w)).activation(activation);
                let layer = match bias {
                    Some(b) => layer.bias(&cpu.buffer(b).unwrap()),
                    None => layer,
                };
                let splits = [None, Some(Split::Weights), Some(Split::Activations), Some(Split::Both)];
                for split in splits {
                    let layer = split.into_iter().fold(layer.clone(), |l, s| l.split(s));
                    let y = layer.apply(&cpu.buffer(&x).unwrap()).unwrap().read().unwrap();
                    let found: Vec<u32> = y.iter().map(|v| v.to_bits()).collect();
                    assert!(found == wanted, "{format} {n}x{k} x{m} on {cpu:?}, {split:?}");
                }
            }
        }
    }
}

#[test]
fn products_together_are_those_alone() {
    let mut rng = Rng(6);
    let (m, k) = (4, 90);
    for cpu in [1, 2].map(|t| Cpu::builder().threads(t).build().unwrap()) {
        for format in [PackFormat::T2, PackFormat::Q80] {
            let ws = [200, 70, 64].map(|n| weights(format, n, k, &mut rng));
            let x: Vec<f32> = (0..m * k).map(|_| rng.float()).collect();
            let (q, scale) = (cpu.zeros::<i8>(m * k).unwrap(), cpu.zeros::<f32>(m).unwrap());
            product::quantise(&cpu, &cpu.buffer(&x).unwrap(), &q, &scale, k).unwrap().run().unwrap();
            let ys = ws.each_ref().map(|w| cpu.zeros::<f32>(m * w.n()).unwrap());
            for count in [2, 3] {
                let all: Vec<_> = ws.iter().zip(&ys).take(count).collect();
                product::together(&cpu, &q, &scale, &all).unwrap().run().unwrap();
                for (w, y) in all {
                    let found: Vec<u32> = y.read().unwrap().iter().map(|v| v.to_bits()).collect();
                    assert_eq!(found, expected(w, &x, None, Activation::None), "{count}");
                }
            }
            assert!(product::together(&cpu, &q, &scale, &[(&ws[0], &ys[0])]).is_err());
            assert!(product::together(&cpu, &q, &scale, &[(&ws[0], &ys[0]), (&ws[1], &ys[2])]).is_err());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = Cpu::new().unwrap();
    let w = weights(PackFormat::I8, 3, 8, &mut Rng(1));
    let layer = Linear::new(&cpu, w);
    let x = cpu.zeros::<f32>(12).unwrap();
    assert!(layer.apply(&x).unwrap_err().to_string().contains("a multiple of 8 elements"));
    let x = cpu.zeros::<f32>(16).unwrap();
    assert!(layer.apply_into(&x, &mut cpu.zeros::<f32>(7).unwrap()).is_err());
    let short = cpu.zeros::<f32>(2).unwrap();
    assert!(layer.clone().bias(&short).apply(&x).is_err());
    assert_eq!(layer.apply(&cpu.zeros::<f32>(0).unwrap()).unwrap().len(), 0);
    let floats = layer.floats(&x, &cpu.zeros::<f32>(6).unwrap());
    let refused = floats.and_then(|l| Ok(l.run()?));
    assert!(refused.is_err(), "integers take codes");
}

#[test]
fn divisions_are_timed_and_the_fastest_is_taken() {
    for (threads, m, count) in [(1, 3, 1), (2, 1, 2), (2, 300, 3)] {
        let cpu = Cpu::builder().threads(threads).build().unwrap();
        // A build without threads has but one division.
        let count = if cpu.threads() < threads { 1 } else { count };
        for format in [PackFormat::T2, PackFormat::F32] {
            let layer = Linear::new(&cpu, weights(format, 200, 40, &mut Rng(4)));
            let timed = layer.measure(m).unwrap();
            assert_eq!(timed.len(), count, "{timed:?}");
            assert!(timed.windows(2).all(|t| t[0].seconds <= t[1].seconds && t[0].plan != t[1].plan));
            assert!(timed.iter().all(|t| t.seconds < 60.0 && t.plan.split() == t.split));
            let fastest = layer.clone().fastest(m).unwrap();
            assert!(timed.iter().any(|t| t.plan == fastest.plan(m)));
            assert_eq!(layer.measure(0).unwrap(), []);
        }
    }
}

#[test]
fn a_division_is_picked_from_measurements_once_a_shape_is_used_often() {
    let mut rng = Rng(9);
    let cpu = Cpu::builder().threads(2).build().unwrap();
    let (m, n, k) = (40, 384, 300);
    let layer = Linear::new(&cpu, weights(PackFormat::T2, n, k, &mut rng));
    let x: Vec<f32> = (0..m * k).map(|_| rng.float()).collect();
    let wanted = expected(layer.weights(), &x, None, Activation::None);
    let x = cpu.buffer(&x).unwrap();
    let rule = layer.plan(m);
    let mut plans = vec![rule];
    for _ in 0..40 {
        let y = layer.apply(&x).unwrap().read().unwrap();
        assert!(y.iter().map(|v| v.to_bits()).eq(wanted.iter().copied()));
        plans.push(layer.plan(m));
    }
    // The rule at first, one pick at the end, which is among those that there are.
    assert_eq!(plans[1], rule);
    let picked = plans[40];
    assert_eq!(plans[39], picked);
    assert!(Plan::with(picked.split(), m, n, cpu.threads()) == picked);
    // A given direction is taken whatever was measured, and a measurement that is asked for is followed or the rule is as good.
    for split in [Split::None, Split::Weights] {
        assert_eq!(layer.clone().split(split).plan(m), Plan::with(split, m, n, cpu.threads()));
    }
    let timed = layer.measure(m).unwrap();
    let taken = layer.plan(m);
    assert!(taken == timed[0].plan || taken == rule, "{timed:?} {taken:?}");
}

/// A kernel says which packed form it takes, and of which shape: others are refused before anything runs.
#[test]
fn weights_of_another_form_or_shape_are_refused() {
    let text = "kernel k(in x: f32[], in w: packed[f16, n, k], out y: f32[], n: u32, k: u32) block 1 grid 1 {
        matmul.f.f32 y[0], w, x[0], 1, 0, n, n, k
        exit
    }";
    let cpu = Cpu::new().unwrap();
    let kernel = cpu.load(text).unwrap().only_kernel().unwrap();
    let (x, y) = (cpu.zeros::<f32>(8).unwrap(), cpu.zeros::<f32>(5).unwrap());
    let run = |format, n, k| {
        let w = weights(format, n, k, &mut Rng(3));
        let launch = kernel.launch_declared().arg("x", &x).arg("w", &w).arg("y", &y);
        launch.arg("n", 5u32).arg("k", 8u32).run().map_err(|e| e.to_string())
    };
    run(PackFormat::F16, 5, 8).unwrap();
    for format in PackFormat::ALL.iter().copied().filter(|f| *f != PackFormat::F16) {
        let message = run(format, 5, 8).unwrap_err();
        assert!(message.contains("`w`") && message.contains("packed weights of format f16"), "{message}");
        assert!(message.contains(&format!("of format {format}, 5 x 8")), "{message}");
    }
    for (n, k) in [(4, 8), (5, 7), (6, 8)] {
        let message = run(PackFormat::F16, n, k).unwrap_err();
        assert!(message.contains("packed[5, 8]") && message.contains(&format!("{n} x {k}")), "{message}");
    }
}

/// Blocks that write the same elements trap, and the report is the same with any number of threads.
#[test]
fn overlapping_outputs_trap_at_the_same_block() {
    let text = "kernel k(in x: f32[], in w: packed[f32, n, k], out y: f32[], n: u32, k: u32, step: u32) block 1 grid 40 {
        let at: u32
        mul.u32 at, %block.x, step
        matmul.f.f32 y[at], w, x[0], 1, 0, n, n, k
        exit
    }";
    let w = weights(PackFormat::F32, 8, 8, &mut Rng(2));
    for threads in [1, 2, 3, 8] {
        let cpu = Cpu::builder().threads(threads).build().unwrap();
        let kernel = cpu.load(text).unwrap();
        let kernel = kernel.only_kernel().unwrap();
        let (x, y) = (cpu.zeros::<f32>(8).unwrap(), cpu.zeros::<f32>(400).unwrap());
        for _ in 0..20 {
            let launch = |step: u32| {
                let l = kernel.launch_declared().arg("x", &x).arg("w", &w).arg("y", &y);
                l.arg("n", 8u32).arg("k", 8u32).arg("step", step).run()
            };
            launch(8).unwrap();
            let message = launch(7).unwrap_err().to_string();
            assert!(message.contains("block 0 wrote there too"), "{message}");
        }
    }
}
