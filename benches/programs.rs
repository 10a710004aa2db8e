//! Programs of this repository at sizes that keep a machine busy for milliseconds. Each has run once, and its result has been
//! compared with plain Rust, before anything is measured.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phalanx::{BoundLaunch, Buffer, Cpu, Element, Launcher, Program};

/// A device with one program.
struct Bench {
    cpu: Cpu,
    program: Program,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let cpu = Cpu::new().expect("the machine's defaults");
        let text = phalanx_programs::find(name).expect("a program of this repository").text;
        let program = cpu.load(text).expect("a valid program");
        Bench { cpu, program }
    }
    fn launch(&self, kernel: &str) -> Launcher {
        self.program.kernel(kernel).expect("a kernel of the program").launch_declared()
    }
    fn buffer<T: Element>(&self, data: &[T]) -> Buffer<T> {
        self.cpu.buffer(data).expect("memory")
    }
    fn zeros<T: Element>(&self, n: usize) -> Buffer<T> {
        self.cpu.zeros(n).expect("memory")
    }
}

/// Runs the launches once, lets `check` look at what they left, and measures them; `work` is what a run gets done, in `unit`s.
fn measure(
    c: &mut Criterion,
    name: &str,
    unit: &str,
    work: usize,
    launches: Vec<Launcher>,
    check: impl FnOnce(),
) {
    let bound: Vec<BoundLaunch> = launches.into_iter().map(|l| l.bind().expect("it binds")).collect();
    let run = || bound.iter().for_each(|b| b.run().expect("it runs"));
    run();
    check();
    let mut g = c.benchmark_group("programs");
    g.throughput(Throughput::Elements(work as u64));
    g.bench_function(format!("{name} ({unit})"), |b| b.iter(run));
    g.finish();
}

/// Numbers between -1 and 1 on a grid of 2^10 steps, the same at every call: products of two are exact in f32.
fn numbers(n: usize) -> Vec<f32> {
    let step = |s: &mut u32| {
        *s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*s >> 21) as f32 / 1024.0 - 1.0)
    };
    std::iter::repeat_n((), n).scan(7, |s, ()| step(s)).collect()
}

/// Panics at the first element further than `within * max(1, |expected|)` away.
fn close(found: &Buffer<f32>, expected: impl IntoIterator<Item = f64>, within: f64) {
    for (i, (f, e)) in found.read().expect("readable").into_iter().zip(expected).enumerate() {
        assert!((f64::from(f) - e).abs() <= within * e.abs().max(1.0), "element {i} is {f}, expected {e}");
    }
}

fn mandelbrot(c: &mut Criterion) {
    const SIDE: usize = 512;
    const LIMIT: u32 = 100;
    let pitch = 3.0 / SIDE as f32;
    let b = Bench::new("mandelbrot");
    let steps = b.zeros::<u32>(SIDE * SIDE);
    let launch = b.launch("mandelbrot").arg("steps", &steps).arg("width", SIDE as u32);
    let launch = launch.arg("height", SIDE as u32).arg("left", -2.2f32).arg("top", 1.5f32);
    let launch = launch.arg("pitch", pitch).arg("limit", LIMIT);
    measure(c, "mandelbrot", "pixels", SIDE * SIDE, vec![launch], || {
        for (i, found) in steps.read().expect("readable").into_iter().enumerate() {
            let (cr, ci) = ((i % SIDE) as f32 * pitch + -2.2, 1.5 - (i / SIDE) as f32 * pitch);
            let (mut zr, mut zi, mut n) = (0f32, 0f32, 0);
            while n < LIMIT && zr * zr + zi * zi <= 4.0 {
                let t = zi * zr;
                (zr, zi) = (zr * zr - zi * zi + cr, t + t + ci);
                n += 1;
            }
            assert_eq!(found, n, "pixel {i}");
        }
    });
}

fn nbody(c: &mut Criterion) {
    const BODIES: usize = 2048;
    let (dt, eps2) = (0.01f32, 0.05f32);
    let b = Bench::new("nbody");
    let body: Vec<f32> = numbers(4 * BODIES).chunks(4).flat_map(|p| [p[0], p[1], p[2], p[3].abs()]).collect();
    let (speed, next) = (b.zeros::<f32>(4 * BODIES), b.zeros::<f32>(4 * BODIES));
    let launch = b.launch("nbody").arg("body", b.buffer(&body)).arg("speed", &speed).arg("next", &next);
    let launch = launch.arg("dt", dt).arg("eps2", eps2);
    measure(c, "nbody", "pairs", BODIES * BODIES, vec![launch], || {
        let expected = body.chunks(4).flat_map(|p| {
            let mut a = [0f64; 4];
            for q in body.chunks(4) {
                let d: [f64; 3] = std::array::from_fn(|i| f64::from(q[i] - p[i]));
                let r2: f64 = d.iter().map(|d| d * d).sum::<f64>() + f64::from(eps2);
                (0..3).for_each(|i| a[i] += f64::from(q[3]) * d[i] / (r2 * r2.sqrt()));
            }
            a.map(|a| a * f64::from(dt))
        });
        close(&speed, expected, 1e-4);
    });
}

fn softmax(c: &mut Criterion) {
    const ROWS: usize = 256;
    const COLS: usize = 4096;
    let b = Bench::new("softmax");
    let x = numbers(ROWS * COLS);
    let y = b.zeros::<f32>(ROWS * COLS);
    let launch = b.launch("softmax").arg("x", b.buffer(&x)).arg("y", &y).arg("cols", COLS as u32);
    measure(c, "softmax", "elements", ROWS * COLS, vec![launch], || {
        let expected = x.chunks(COLS).flat_map(|row| {
            let e: Vec<f64> = row.iter().map(|v| f64::from(*v).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.into_iter().map(move |v| v / sum)
        });
        // The elements are about 1 / COLS.
        close(&y, expected, 1e-6 / COLS as f64);
    });
}

fn matmul_tiled(c: &mut Criterion) {
    const N: usize = 256;
    let b = Bench::new("matmul_tiled");
    let (left, right) = (numbers(N * N), numbers(N * N + 1)[1..].to_vec());
    let product = b.zeros::<f32>(N * N);
    let launch = b.launch("matmul_tiled").arg("a", b.buffer(&left)).arg("b", b.buffer(&right));
    let launch = launch.arg("c", &product).arg("m", N as u32).arg("n", N as u32).arg("k", N as u32);
    measure(c, "matmul_tiled", "multiply-adds", N * N * N, vec![launch], || {
        let cell = |i: usize| -> f64 {
            let pairs = (0..N).map(|p| (left[i / N * N + p], right[p * N + i % N]));
            pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum()
        };
        close(&product, (0..N * N).map(cell), 1e-4);
    });
}

fn sum(c: &mut Criterion) {
    const N: usize = 1 << 22;
    let b = Bench::new("sum");
    // Small integers: every sum of them is exact in f32.
    let x: Vec<f32> = (0..N).map(|i| (i % 4) as f32).collect();
    let (part, total) = (b.zeros::<f32>(N.div_ceil(4096)), b.zeros::<f32>(1));
    let partial = b.launch("sum_partial").arg("x", b.buffer(&x)).arg("part", &part);
    let last = b.launch("sum_final").arg("part", &part).arg("total", &total);
    measure(c, "sum", "elements", N, vec![partial, last], || {
        assert_eq!(total.read().expect("readable"), [(N / 4 * 6) as f32]);
    });
}

fn histogram(c: &mut Criterion) {
    const N: usize = 1 << 22;
    let b = Bench::new("histogram");
    let x: Vec<u8> = numbers(N).into_iter().map(|v| ((v + 1.0) * 120.0) as u8).collect();
    let bins = b.zeros::<u32>(256);
    let launch = b.launch("histogram").arg("x", b.buffer(&x)).arg("bins", &bins);
    measure(c, "histogram", "bytes", N, vec![launch], || {
        let mut expected = [0u32; 256];
        x.iter().for_each(|v| expected[usize::from(*v)] += 1);
        assert_eq!(bins.read().expect("readable"), expected);
    });
}

criterion_group!(benches, mandelbrot, nbody, softmax, matmul_tiled, sum, histogram);
criterion_main!(benches);
