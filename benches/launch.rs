//! What a launch costs beside the work of its lanes: bound launches of nearly nothing, and the step of a sequence.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phalanx::{Cpu, Kernel};

const EMPTY: &str = "kernel empty() { exit }";

/// One lane adds 1: the least that shows that a step has run.
const COUNT: &str = "
kernel count(inout n: u32[]) block 1 grid 1 {
    ld.u32  r0, n[0]
    add.u32 r0, r0, 1
    st.u32  n[0], r0
    exit
}";

const STEPS: u32 = 16;

/// The caller's thread alone, and all threads of the machine.
fn devices() -> [(&'static str, Cpu); 2] {
    let device = |threads| Cpu::builder().threads(threads).build().expect("the machine's defaults");
    [("one_thread", device(1)), ("all_threads", device(0))]
}

fn kernel(cpu: &Cpu, text: &str) -> Kernel {
    cpu.load(text).expect("a valid program").only_kernel().expect("one kernel")
}

fn warm(c: &mut Criterion) {
    let mut g = c.benchmark_group("warm_launch");
    for (threads, cpu) in devices() {
        let empty = kernel(&cpu, EMPTY);
        for (shape, blocks, lanes) in [("64x64", 64, 64), ("1x1", 1, 1)] {
            let bound = empty.launch(blocks, lanes).bind().expect("nothing to bind");
            g.bench_function(format!("{shape}/{threads}"), |b| b.iter(|| bound.run().expect("it runs")));
        }
        let n = cpu.buffer(&[0u32]).expect("memory");
        let count = kernel(&cpu, COUNT);
        let bound = count.launch_declared().arg("n", &n).bind().expect("a buffer for a buffer");
        bound.run().expect("it runs");
        assert_eq!(n.read().expect("readable"), [1]);
        g.bench_function(format!("count/{threads}"), |b| b.iter(|| bound.run().expect("it runs")));
    }
    g.finish();
}

fn sequence(c: &mut Criterion) {
    let mut g = c.benchmark_group("sequence");
    // A step's time is the run's divided by the elements.
    g.throughput(Throughput::Elements(STEPS.into()));
    for (threads, cpu) in devices() {
        let n = cpu.buffer(&[0u32]).expect("memory");
        let count = kernel(&cpu, COUNT);
        let mut record = cpu.sequence();
        for _ in 0..STEPS {
            record.step(count.launch_declared().arg("n", &n)).expect("a step");
        }
        let steps = record.finish().expect("nothing to plan");
        steps.run().expect("it runs");
        assert_eq!(n.read().expect("readable"), [STEPS]);
        g.bench_function(format!("{STEPS}_steps/{threads}"), |b| b.iter(|| steps.run().expect("it runs")));
    }
    g.finish();
}

criterion_group!(benches, warm, sequence);
criterion_main!(benches);
