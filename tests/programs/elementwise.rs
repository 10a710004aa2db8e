//! References of the element-wise programs: plain Rust, bit for bit. The transcendental functions are also compared with f64.

use crate::support::{Bits, Rng, bits, check, close, exact};
use phalanx::{Bf16, F16};
use phalanx_simd::math::single;

const SIZES: [usize; 2] = [1000, 100_003];

/// Random numbers with every kind of special value among them.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut x = Rng(seed).floats(n, -20.0, 20.0);
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 1e-45, f32::MAX];
    for (i, v) in special.into_iter().enumerate() {
        x[(i * 7 + seed as usize) % n] = v;
    }
    x
}

fn min_num(a: f32, b: f32) -> f32 {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => {
            if a < b {
                a
            } else {
                b
            }
        }
    }
}

fn max_num(a: f32, b: f32) -> f32 {
    -min_num(-a, -b)
}

/// Kernels of one input.
fn one_input(program: &str, kernel: &str, verify: impl Fn(&[f32], &Bits)) {
    check(
        program,
        SIZES,
        |n| numbers(n, 1),
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            run.launch(kernel).arg("x", run.buffer(x)).arg("y", &y).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| verify(x, &out[0]),
    );
}

/// Kernels of two inputs.
fn two_inputs(program: &str, kernel: &str, f: impl Fn(f32, f32) -> f32) {
    check(
        program,
        SIZES,
        |n| (numbers(n, 1), numbers(n, 2)),
        |run, (a, b)| {
            let y = run.zeros::<f32>(a.len());
            let (a, b) = (run.buffer(a), run.buffer(b));
            run.launch(kernel).arg("a", &a).arg("b", &b).arg("y", &y).run().unwrap();
            vec![bits(&y)]
        },
        |(a, b), out| exact(&out[0], &a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>()),
    );
}

fn map(x: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    x.iter().map(|v| f(*v)).collect()
}

/// Compares finite inputs with an f64 function; infinities and NaN with its limits.
fn function(x: &[f32], found: &Bits, within: f64, f: impl Fn(f64) -> f64) {
    for (i, v) in x.iter().enumerate() {
        let e = f(f64::from(*v));
        if e.is_finite() {
            close(&vec![found[i]], &[e], within);
        } else {
            exact(&vec![found[i]], &[e as f32]);
        }
    }
}

pub fn arithmetic(program: &str) {
    two_inputs(program, "add", |a, b| a + b);
    two_inputs(program, "sub", |a, b| a - b);
    two_inputs(program, "mul", |a, b| a * b);
    two_inputs(program, "div", |a, b| a / b);
}

pub fn extrema(program: &str) {
    two_inputs(program, "min_of", min_num);
    two_inputs(program, "max_of", max_num);
}

pub fn sign(program: &str) {
    one_input(program, "abs", |x, y| exact(y, &map(x, f32::abs)));
    one_input(program, "neg", |x, y| exact(y, &map(x, |v| -v)));
}

pub fn relu(program: &str) {
    one_input(program, "relu", |x, y| exact(y, &map(x, |v| if v > 0.0 { v } else { 0.0 })));
}

pub fn sigmoid(program: &str) {
    one_input(program, "sigmoid", |x, y| {
        function(x, y, 3e-7, |v| 1.0 / (1.0 + (-v).exp()));
        exact(y, &map(x, single::sigmoid));
    });
}

pub fn tanh(program: &str) {
    one_input(program, "tanh", |x, y| {
        function(x, y, 3e-7, f64::tanh);
        exact(y, &map(x, single::tanh));
    });
}

/// The error function by its series, and 1 beyond 6; good to 1e-12.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    // 2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (2n+1)!!, all terms of one sign
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

pub fn gelu(program: &str) {
    one_input(program, "gelu", |x, y| {
        function(x, y, 1e-6, |v| match v == f64::NEG_INFINITY {
            true => f64::NAN, // half of -inf times 0
            false => v / 2.0 * (1.0 + erf(v * std::f64::consts::FRAC_1_SQRT_2)),
        });
        exact(y, &map(x, |v| v * 0.5 * (single::erf(v * std::f32::consts::FRAC_1_SQRT_2) + 1.0)));
    });
}

pub fn scalar(program: &str) {
    for (kernel, f) in [("add_scalar", (|a, b| a + b) as fn(f32, f32) -> f32), ("mul_scalar", |a, b| a * b)] {
        check(
            program,
            SIZES,
            |n| numbers(n, 3),
            |run, x| {
                let y = run.zeros::<f32>(x.len());
                run.launch(kernel).arg("x", run.buffer(x)).arg("y", &y).arg("s", 1.7f32).run().unwrap();
                vec![bits(&y)]
            },
            |x, out| exact(&out[0], &map(x, |v| f(v, 1.7))),
        );
    }
}

pub fn clip(program: &str) {
    check(
        program,
        SIZES,
        |n| numbers(n, 4),
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            let launch = run.launch("clip").arg("x", run.buffer(x)).arg("y", &y);
            launch.arg("lo", -2.5f32).arg("hi", 7.0f32).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| exact(&out[0], &map(x, |v| min_num(max_num(v, -2.5), 7.0))),
    );
}

pub fn copy(program: &str) {
    check(
        program,
        SIZES,
        |n| {
            let mut rng = Rng(5);
            (0..n).map(|_| rng.next() as u32).collect::<Vec<u32>>()
        },
        |run, x| {
            let y = run.zeros::<u32>(x.len());
            run.launch("copy").arg("x", run.buffer(x)).arg("y", &y).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| exact(&out[0], x),
    );
}

pub fn fill(program: &str) {
    check(
        program,
        SIZES,
        |n| n,
        |run, n| {
            let y = run.zeros::<f32>(*n);
            run.launch("fill").arg("y", &y).arg("value", -0.0f32).run().unwrap();
            vec![bits(&y)]
        },
        |n, out| exact(&out[0], &vec![-0.0f32; *n]),
    );
}

pub fn axpy(program: &str) {
    check(
        program,
        SIZES,
        |n| (numbers(n, 6), numbers(n, 7)),
        |run, (x, y)| {
            let y = run.buffer(y);
            run.launch("axpy").arg("x", run.buffer(x)).arg("y", &y).arg("a", -0.3f32).run().unwrap();
            vec![bits(&y)]
        },
        |(x, y), out| {
            exact(&out[0], &x.iter().zip(y).map(|(x, y)| (-0.3f32).mul_add(*x, *y)).collect::<Vec<_>>());
        },
    );
}

pub fn mean_of(program: &str) {
    check(
        program,
        SIZES,
        |n| [1, 2, 3, 4].map(|seed| Rng(seed).floats(n, -1.0, 1.0)),
        |run, xs| {
            let y = run.zeros::<f32>(xs[0].len());
            let xs = [&xs[0], &xs[1], &xs[2], &xs[3]].map(|x| run.buffer(x));
            run.launch("mean_of").arg("xs", &xs).arg("y", &y).run().unwrap();
            vec![bits(&y)]
        },
        |xs, out| {
            let mean = |i: usize| (((0.0 + xs[0][i]) + xs[1][i]) + xs[2][i] + xs[3][i]) * 0.25;
            exact(&out[0], &(0..xs[0].len()).map(mean).collect::<Vec<_>>());
        },
    );
}

pub fn half(program: &str) {
    check(
        program,
        SIZES,
        |n| (numbers(n, 8), numbers(n, 9)),
        |run, (x, y)| {
            let h = |v: &[f32]| v.iter().map(|v| F16::from_f32(*v)).collect::<Vec<_>>();
            let (hx, hy) = (run.buffer(&h(x)), run.buffer(&h(y)));
            run.launch("half_axpy").arg("x", &hx).arg("y", &hy).arg("a", F16::from_f32(1.5)).run().unwrap();
            let b = run.zeros::<Bf16>(x.len());
            run.launch("to_bf16").arg("x", run.buffer(x)).arg("y", &b).run().unwrap();
            // Rows of 10 against the first ten numbers, made ordinary.
            let weights: Vec<Bf16> = y.iter().map(|v| Bf16::from_f32(v.clamp(-1.0, 1.0))).collect();
            let rows = weights.len() / 10;
            let dots = run.zeros::<f32>(rows);
            let launch = run.launch("bf16_dot").arg("w", run.buffer(&weights[..rows * 10]));
            launch.arg("x", run.buffer(&weights[30..40])).arg("y", &dots).arg("cols", 10u32).run().unwrap();
            vec![bits(&hy), bits(&b), bits(&dots)]
        },
        |(x, y), out| {
            let h = |v: f32| F16::from_f32(v).to_f32();
            let axpy = |(x, y): (&f32, &f32)| F16::from_f32(1.5f32.mul_add(h(*x), h(*y)));
            exact(&out[0], &x.iter().zip(y).map(axpy).collect::<Vec<_>>());
            exact(&out[1], &x.iter().map(|v| Bf16::from_f32(*v)).collect::<Vec<_>>());
            let w: Vec<f32> = y.iter().map(|v| Bf16::from_f32(v.clamp(-1.0, 1.0)).to_f32()).collect();
            let dot = |row: &[f32]| row.iter().zip(&w[30..40]).fold(0.0f32, |s, (a, b)| a.mul_add(*b, s));
            exact(&out[2], &w.chunks_exact(10).map(dot).collect::<Vec<_>>());
        },
    );
}
