//! References of the reductions and row-wise programs, bit for bit: the order of a sum is part of a program's meaning. Where
//! functions such as exp are involved, a second reference in f64 says that the meaning is right.

use crate::support::{Bits, Rng, Run, bits, check, close, exact, floats, grid_add, lanes_add};
use phalanx_simd::math::single::{exp, log, rsqrt};

const SIZES: [usize; 2] = [9001, 150_001];
const COLS: usize = 333;
const ROWS: [usize; 2] = [7, 311];

fn one(n: usize) -> Vec<f32> {
    Rng(11).floats(n, -1.0, 1.0)
}

fn pair(n: usize) -> (Vec<f32>, Vec<f32>) {
    (Rng(12).floats(n, 0.001, 0.999), Rng(13).floats(n, 0.001, 0.999))
}

fn matrix(rows: usize) -> Vec<f32> {
    Rng(14).floats(rows * COLS, -6.0, 6.0)
}

/// The partial and the final kernel of a sum of pairs.
fn two_steps(
    run: &Run,
    stem: &str,
    names: [&str; 2],
    (a, b): &(Vec<f32>, Vec<f32>),
    result: &str,
) -> Vec<Bits> {
    let part = run.zeros::<f32>(a.len().div_ceil(4096));
    let total = run.zeros::<f32>(1);
    let launch = run.launch(&format!("{stem}_partial")).arg(names[0], run.buffer(a));
    launch.arg(names[1], run.buffer(b)).arg("part", &part).run().unwrap();
    let launch = run.launch(&format!("{stem}_final")).arg("part", &part).arg(result, &total);
    match result {
        "mean" => launch.arg("count", a.len() as u32).run().unwrap(),
        _ => launch.run().unwrap(),
    }
    vec![bits(&part), bits(&total)]
}

fn zip((a, b): &(Vec<f32>, Vec<f32>)) -> Vec<(f32, f32)> {
    a.iter().copied().zip(b.iter().copied()).collect()
}

pub fn sum(program: &str) {
    check(
        program,
        SIZES,
        one,
        |run, x| {
            let part = run.zeros::<f32>(x.len().div_ceil(4096));
            let total = run.zeros::<f32>(1);
            run.launch("sum_partial").arg("x", run.buffer(x)).arg("part", &part).run().unwrap();
            run.launch("sum_final").arg("part", &part).arg("total", &total).run().unwrap();
            vec![bits(&part), bits(&total)]
        },
        |x, out| {
            let (part, total) = grid_add(x, |s, v| s + v);
            exact(&out[0], &part);
            exact(&out[1], &[total]);
            close(&out[1], &[x.iter().map(|v| f64::from(*v)).sum()], 1e-3);
        },
    );
}

pub fn dot(program: &str) {
    check(
        program,
        SIZES,
        pair,
        |run, x| two_steps(run, "dot", ["a", "b"], x, "total"),
        |x, out| {
            let (part, total) = grid_add(&zip(x), |s, (a, b)| a.mul_add(*b, s));
            exact(&out[0], &part);
            exact(&out[1], &[total]);
        },
    );
}

pub fn mse(program: &str) {
    check(
        program,
        SIZES,
        pair,
        |run, x| two_steps(run, "mse", ["a", "b"], x, "mean"),
        |x, out| {
            let (part, total) = grid_add(&zip(x), |s, (a, b)| (a - b).mul_add(a - b, s));
            exact(&out[0], &part);
            exact(&out[1], &[total / x.0.len() as f32]);
        },
    );
}

pub fn binary_cross_entropy(program: &str) {
    check(
        program,
        SIZES,
        pair,
        |run, x| two_steps(run, "bce", ["p", "t"], x, "mean"),
        |x, out| {
            let loss = |(p, t): (f32, f32)| {
                let (p, t) = (f64::from(p), f64::from(t));
                -(t * p.ln() + (1.0 - t) * (1.0 - p).ln())
            };
            let mean = zip(x).into_iter().map(loss).sum::<f64>() / x.0.len() as f64;
            close(&out[1], &[mean], 1e-5);
            let step = |s: f32, (p, t): &(f32, f32)| {
                let miss = (1.0 - t).mul_add(log(1.0 - p).max(-100.0), t * log(*p).max(-100.0));
                s - miss
            };
            let (part, total) = grid_add(&zip(x), step);
            exact(&out[0], &part);
            exact(&out[1], &[total / x.0.len() as f32]);
        },
    );
}

pub fn min_max(program: &str) {
    for (stem, fold) in [("min", f32::min as fn(f32, f32) -> f32), ("max", f32::max)] {
        check(
            program,
            SIZES,
            |n| {
                let mut x = one(n);
                x[n / 2] = f32::NAN;
                x
            },
            |run, x| {
                let part = run.zeros::<f32>(x.len().div_ceil(4096));
                let result = run.zeros::<f32>(1);
                let launch = run.launch(&format!("{stem}_partial"));
                launch.arg("x", run.buffer(x)).arg("part", &part).run().unwrap();
                run.launch(&format!("{stem}_final")).arg("part", &part).arg("result", &result).run().unwrap();
                vec![bits(&part), bits(&result)]
            },
            |x, out| {
                let best = |x: &[f32]| x.iter().copied().reduce(fold).unwrap();
                exact(&out[0], &x.chunks(4096).map(best).collect::<Vec<_>>());
                exact(&out[1], &[best(x)]);
            },
        );
    }
}

/// Every row through an f64 function that gives a row.
fn by_row(x: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    wide.chunks(COLS).flat_map(f).collect()
}

/// Every row through a function of its elements in the program's own arithmetic.
fn by_row_exactly(x: &[f32], f: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    x.chunks(COLS).flat_map(f).collect()
}

/// The largest element, and the sum of the exponentials of the distances from it.
fn exp_sum_exactly(row: &[f32]) -> (f32, f32) {
    let m = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (m, lanes_add(row, |s, v| s + exp(v - m)))
}

fn exp_sum(row: &[f64]) -> (f64, f64) {
    let m = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (m, row.iter().map(|v| (v - m).exp()).sum())
}

pub fn softmax(program: &str) {
    check(
        program,
        ROWS,
        matrix,
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            let launch = run.launch("softmax").arg("x", run.buffer(x));
            launch.arg("y", &y).arg("cols", COLS as u32).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| {
            let row = |r: &[f64]| {
                let (m, s) = exp_sum(r);
                r.iter().map(|v| (v - m).exp() / s).collect()
            };
            close(&out[0], &by_row(x, row), 1e-6);
            let row = |r: &[f32]| {
                let (m, s) = exp_sum_exactly(r);
                r.iter().map(|v| exp(v - m) / s).collect()
            };
            exact(&out[0], &by_row_exactly(x, row));
            for row in floats(&out[0]).chunks(COLS) {
                assert!((row.iter().map(|v| f64::from(*v)).sum::<f64>() - 1.0).abs() < 1e-5);
            }
        },
    );
}

pub fn cross_entropy(program: &str) {
    let labels = |rows: usize| (0..rows as u32).map(|r| r * 17 % COLS as u32).collect::<Vec<u32>>();
    check(
        program,
        ROWS,
        |rows| (matrix(rows), labels(rows)),
        |run, (x, label)| {
            let (loss, mean) = (run.zeros::<f32>(label.len()), run.zeros::<f32>(1));
            let launch = run.launch("cross_entropy").arg("x", run.buffer(x)).arg("label", run.buffer(label));
            launch.arg("loss", &loss).arg("cols", COLS as u32).run().unwrap();
            run.launch("loss_mean").arg("loss", &loss).arg("mean", &mean).run().unwrap();
            vec![bits(&loss), bits(&mean)]
        },
        |(x, label), out| {
            let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let loss = |(r, mine): (&[f64], &u32)| {
                let (m, s) = exp_sum(r);
                s.ln() + m - r[*mine as usize]
            };
            let loss: Vec<f64> = wide.chunks(COLS).zip(label).map(loss).collect();
            close(&out[0], &loss, 1e-6);
            close(&out[1], &[loss.iter().sum::<f64>() / loss.len() as f64], 1e-5);
            let loss = |(r, mine): (&[f32], &u32)| {
                let (m, s) = exp_sum_exactly(r);
                log(s) - (r[*mine as usize] - m)
            };
            let loss: Vec<f32> = x.chunks(COLS).zip(label).map(loss).collect();
            exact(&out[0], &loss);
            exact(&out[1], &[lanes_add(&loss, |s, v| s + v) / loss.len() as f32]);
        },
    );
}

fn weights() -> (Vec<f32>, Vec<f32>) {
    (Rng(15).floats(COLS, -2.0, 2.0), Rng(16).floats(COLS, -2.0, 2.0))
}

pub fn layer_norm(program: &str) {
    check(
        program,
        ROWS,
        |rows| matrix(rows).iter().map(|v| v + 100.0).collect::<Vec<f32>>(),
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            let (w, b) = weights();
            let launch = run.launch("layer_norm").arg("x", run.buffer(x)).arg("weight", run.buffer(&w));
            let launch = launch.arg("bias", run.buffer(&b)).arg("y", &y);
            launch.arg("cols", COLS as u32).arg("eps", 1e-5f32).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| {
            let (w, b) = weights();
            let row = |r: &[f64]| {
                let mean = r.iter().sum::<f64>() / COLS as f64;
                let var = r.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / COLS as f64;
                let f = |i: usize| (r[i] - mean) / (var + 1e-5).sqrt() * f64::from(w[i]) + f64::from(b[i]);
                (0..COLS).map(f).collect()
            };
            // An offset of 100 leaves 17 bits of the values after the mean is taken away.
            close(&out[0], &by_row(x, row), 1e-5);
            let row = |r: &[f32]| {
                let mean = lanes_add(r, |s, v| s + v) / COLS as f32;
                let spread = lanes_add(r, |s, v| (v - mean).mul_add(v - mean, s));
                let scale = rsqrt(spread / COLS as f32 + 1e-5);
                (0..COLS).map(|i| ((r[i] - mean) * scale).mul_add(w[i], b[i])).collect()
            };
            exact(&out[0], &by_row_exactly(x, row));
        },
    );
}

pub fn rms_norm(program: &str) {
    check(
        program,
        ROWS,
        matrix,
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            let launch =
                run.launch("rms_norm").arg("x", run.buffer(x)).arg("weight", run.buffer(&weights().0));
            launch.arg("y", &y).arg("cols", COLS as u32).arg("eps", 1e-5f32).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| {
            let (w, _) = weights();
            let row = |r: &[f64]| {
                let mean = r.iter().map(|v| v * v).sum::<f64>() / COLS as f64;
                (0..COLS).map(|i| r[i] / (mean + 1e-5).sqrt() * f64::from(w[i])).collect()
            };
            close(&out[0], &by_row(x, row), 2e-6);
            let row = |r: &[f32]| {
                let scale = rsqrt(lanes_add(r, |s, v| v.mul_add(*v, s)) / COLS as f32 + 1e-5);
                (0..COLS).map(|i| r[i] * scale * w[i]).collect()
            };
            exact(&out[0], &by_row_exactly(x, row));
        },
    );
}

/// Rows of small whole numbers with many ties, some NaN, and a row of nothing else.
fn tied(rows: usize) -> Vec<f32> {
    let mut rng = Rng(17);
    let mut x: Vec<f32> = (0..rows * COLS).map(|_| rng.below(60) as f32 - 30.0).collect();
    for i in (0..x.len()).step_by(29) {
        x[i] = f32::NAN;
    }
    x[COLS..2 * COLS].fill(f32::NAN);
    x
}

pub fn argmax(program: &str) {
    check(
        program,
        ROWS,
        tied,
        |run, x| {
            let best = run.zeros::<u32>(x.len() / COLS);
            let launch = run.launch("argmax").arg("x", run.buffer(x)).arg("best", &best);
            launch.arg("cols", COLS as u32).run().unwrap();
            vec![bits(&best)]
        },
        |x, out| {
            let best = |row: &[f32]| {
                let mut best = None;
                for (i, v) in row.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                    if best.is_none_or(|(_, m)| *v > m) {
                        best = Some((i as u32, *v));
                    }
                }
                best.map_or(u32::MAX, |(i, _)| i)
            };
            exact(&out[0], &x.chunks(COLS).map(best).collect::<Vec<_>>());
        },
    );
}

pub fn topk(program: &str) {
    const K: usize = 6;
    check(
        program,
        ROWS,
        tied,
        |run, x| {
            let n = x.len() / COLS * K;
            let (value, index) = (run.zeros::<f32>(n), run.zeros::<u32>(n));
            let launch = run.launch("topk").arg("x", run.buffer(x)).arg("value", &value).arg("index", &index);
            launch.arg("cols", COLS as u32).arg("k", K as u32).run().unwrap();
            vec![bits(&value), bits(&index)]
        },
        |x, out| {
            let (mut value, mut index) = (Vec::new(), Vec::new());
            for row in x.chunks(COLS) {
                let mut order: Vec<usize> = (0..COLS).filter(|i| !row[*i].is_nan()).collect();
                order.sort_by(|a, b| row[*b].total_cmp(&row[*a])); // stable
                for k in 0..K {
                    value.push(order.get(k).map_or(f32::NEG_INFINITY, |i| row[*i]));
                    index.push(order.get(k).map_or(u32::MAX, |i| *i as u32));
                }
            }
            exact(&out[0], &value);
            exact(&out[1], &index);
        },
    );
}

pub fn quantise(program: &str) {
    check(
        program,
        ROWS,
        |rows| {
            let mut x = matrix(rows);
            x[..COLS].fill(0.0);
            x
        },
        |run, x| {
            let (q, step) = (run.zeros::<i8>(x.len()), run.zeros::<f32>(x.len() / COLS));
            let launch = run.launch("quantise").arg("x", run.buffer(x)).arg("q", &q).arg("step", &step);
            launch.arg("cols", COLS as u32).run().unwrap();
            vec![bits(&q), bits(&step)]
        },
        |x, out| {
            let (mut q, mut step) = (Vec::new(), Vec::new());
            for row in x.chunks(COLS) {
                let m = row.iter().fold(1e-5f32, |m, v| m.max(v.abs()));
                step.push(m / 127.0);
                q.extend(row.iter().map(|v| (v * (127.0 / m)).round_ties_even() as i8));
            }
            exact(&out[0], &q);
            exact(&out[1], &step);
        },
    );
}

pub fn rank_sort(program: &str) {
    const SHORT: usize = 101;
    check(
        program,
        [23, 1000],
        |rows| {
            let mut rng = Rng(18);
            (0..rows * SHORT).map(|_| rng.below(200) as f32 - 100.5).collect::<Vec<f32>>()
        },
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            let launch = run.launch("rank_sort").shared_len(SHORT as u64).arg("x", run.buffer(x));
            launch.arg("y", &y).arg("cols", SHORT as u32).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| {
            let mut y = x.clone();
            for row in y.chunks_mut(SHORT) {
                row.sort_by(f32::total_cmp);
            }
            exact(&out[0], &y);
        },
    );
}
