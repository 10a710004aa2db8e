//! The way from program text to a kernel that runs, step by step, for a program of about a hundred lines.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use phalanx::{Cpu, asm, isa, verify};
use std::hint::black_box;

/// Two loops, one inside the other, barriers, shared memory and guards.
const NAME: &str = "nbody";

fn text() -> &'static str {
    phalanx_programs::find(NAME).expect("a program of this repository").text
}

fn assembled() -> isa::Module {
    asm::assemble(NAME, text()).expect("it assembles").module
}

fn toolchain(c: &mut Criterion) {
    let module = assembled();
    let binary = isa::encode(&module);
    assert_eq!(isa::decode(&binary).as_ref(), Ok(&module));
    let listing = asm::disassemble(&module).expect("an assembled module has a text");
    assert_eq!(asm::assemble("", &listing).expect("it assembles again").module, module);

    let mut g = c.benchmark_group("toolchain");
    g.throughput(Throughput::Elements(text().lines().count() as u64));
    g.bench_function("assemble", |b| b.iter(|| asm::assemble(NAME, black_box(text()))));
    g.bench_function("validate", |b| {
        b.iter_batched(|| module.clone(), verify::verify, BatchSize::SmallInput);
    });
    g.bench_function("disassemble", |b| b.iter(|| asm::disassemble(black_box(&module))));
    g.bench_function("encode", |b| b.iter(|| isa::encode(black_box(&module))));
    g.bench_function("decode", |b| b.iter(|| isa::decode(black_box(&binary))));
    g.finish();
}

/// A program that was just loaded, until its first launch has ended: making the kernel ready, binding, and one small run.
fn first_launch(c: &mut Criterion) {
    // Without a cache, so that every load gives a program whose kernels are not ready yet.
    let cpu = Cpu::builder().cache_capacity(0).build().expect("the machine's defaults");
    let body = cpu.buffer(&[0f32, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 4.0]).expect("memory");
    let speed = cpu.zeros::<f32>(8).expect("memory");
    let next = cpu.zeros::<f32>(8).expect("memory");
    let launch = |program: phalanx::Program| {
        let kernel = program.kernel(NAME).expect("its kernel");
        let launch = kernel.launch_declared().arg("body", &body).arg("speed", &speed).arg("next", &next);
        launch.arg("dt", 0.5f32).arg("eps2", 7f32).run().expect("it runs");
        program
    };
    let load = || cpu.load(text()).expect("a valid program");
    launch(load());
    // Both distances are 3, so |d|^2 + eps2 = 16; the example of the program's own test, from rest.
    assert_eq!(speed.read().expect("readable"), [0.09375, 0.0, 0.0, 0.0, -0.046875, 0.0, 0.0, 0.0]);

    let mut g = c.benchmark_group("first");
    g.bench_function("load", |b| b.iter(load));
    g.bench_function("launch", |b| b.iter_batched(load, launch, BatchSize::SmallInput));
    g.finish();
}

criterion_group!(benches, toolchain, first_launch);
criterion_main!(benches);
