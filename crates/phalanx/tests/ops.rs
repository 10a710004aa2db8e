//! The library of operations against plain Rust, at sizes that divide nothing, and what it refuses.

use phalanx::ops::{self, OpError};
use phalanx::{Bf16, Buffer, Cpu, Error, LaunchError, Type};
use std::sync::Arc;

const SIZES: [usize; 5] = [0, 1, 31, 257, 1000];

fn cpu() -> Cpu {
    Cpu::builder().threads(2).build().unwrap()
}

/// Numbers from -3 to 3.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let bytes = phalanx::data::random(Type::F32, n, seed, -3.0, 3.0).unwrap();
    phalanx::data::elements(Type::F32, &bytes).map(|b| f32::from_bits(b as u32)).collect()
}

#[track_caller]
fn close(found: &Buffer<f32>, expected: &[f64], tolerance: f64) {
    let found = found.read().unwrap();
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*f) - e).abs();
        assert!(off <= tolerance * e.abs().max(1.0), "element {i} is {f}, expected {e}");
    }
}

#[track_caller]
fn near(found: f32, expected: f64, tolerance: f64) {
    let off = (f64::from(found) - expected).abs();
    assert!(off <= tolerance * expected.abs().max(1.0), "found {found}, expected {expected}");
}

/// The message of a refused call.
#[track_caller]
fn refused<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Op(e @ OpError::Shape { .. })) => e.to_string(),
        Err(e) => panic!("another error: {e}"),
        Ok(_) => panic!("not refused"),
    }
}

fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn two_inputs_element_by_element() {
    let cpu = cpu();
    for n in SIZES {
        let (a, b) = (values(n, 1), values(n, 2));
        let (ba, bb) = (cpu.buffer(&a).unwrap(), cpu.buffer(&b).unwrap());
        macro_rules! check {
            ($($op:ident, $into:ident, $f:expr;)*) => { $(
                let f: fn(f32, f32) -> f32 = $f;
                let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect();
                assert_eq!(ops::$op(&cpu, &ba, &bb).unwrap().read().unwrap(), expected, stringify!($op));
                let mut y = cpu.zeros(n).unwrap();
                ops::$into(&cpu, &ba, &bb, &mut y).unwrap();
                assert_eq!(y.read().unwrap(), expected, stringify!($into));
            )* };
        }
        check! {
            add, add_into, |a, b| a + b;
            sub, sub_into, |a, b| a - b;
            mul, mul_into, |a, b| a * b;
            div, div_into, |a, b| a / b;
            min_of, min_of_into, f32::min;
            max_of, max_of_into, f32::max;
        }
        let sum = ops::axpy(&cpu, &ba, &bb, 0.3).unwrap();
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 0.3f32.mul_add(*a, *b)).collect();
        assert_eq!(sum.read().unwrap(), expected);
        assert_eq!(bb.read().unwrap(), b, "the first form leaves its inputs alone");
        let mut y = bb.clone();
        ops::axpy_into(&cpu, &ba, &mut y, 0.3).unwrap();
        assert_eq!(y.read().unwrap(), expected);
    }
}

#[test]
fn one_input_element_by_element() {
    let cpu = cpu();
    for n in SIZES {
        let x = values(n, 3);
        let bx = cpu.buffer(&x).unwrap();
        let check = |name: &str, y: Result<Buffer<f32>, Error>, f: &dyn Fn(f64) -> f64, tolerance: f64| {
            let expected: Vec<f64> = wide(&x).into_iter().map(f).collect();
            assert_eq!(y.as_ref().map(Buffer::len).unwrap(), n, "{name}");
            close(&y.unwrap(), &expected, tolerance);
        };
        check("abs", ops::abs(&cpu, &bx), &f64::abs, 0.0);
        check("neg", ops::neg(&cpu, &bx), &|v| -v, 0.0);
        check("relu", ops::relu(&cpu, &bx), &|v| v.max(0.0), 0.0);
        check("sigmoid", ops::sigmoid(&cpu, &bx), &|v| 1.0 / (1.0 + (-v).exp()), 3e-7);
        check("tanh", ops::tanh(&cpu, &bx), &f64::tanh, 3e-7);
        let gelu = |v: f64| v / 2.0 * (1.0 + erf(v / 2f64.sqrt()));
        check("gelu", ops::gelu(&cpu, &bx), &gelu, 1e-6);
        check("clip", ops::clip(&cpu, &bx, -0.5, 1.25), &|v| v.clamp(-0.5, 1.25), 0.0);
        check("add_scalar", ops::add_scalar(&cpu, &bx, 0.5), &|v| v + 0.5, 3e-7);
        check("mul_scalar", ops::mul_scalar(&cpu, &bx, -2.0), &|v| v * -2.0, 0.0);
        check("copy", ops::copy(&cpu, &bx), &|v| v, 0.0);
        check("fill", ops::fill(&cpu, n, 2.5), &|_| 2.5, 0.0);

        let mut y = cpu.zeros(n).unwrap();
        ops::clip_into(&cpu, &bx, &mut y, -1.0, 1.0).unwrap();
        close(&y, &wide(&x).iter().map(|v| v.clamp(-1.0, 1.0)).collect::<Vec<_>>(), 0.0);
        ops::fill_into(&cpu, &mut y, 7.0).unwrap();
        assert_eq!(y.read().unwrap(), vec![7.0; n]);

        let at = |i: usize| f64::from(x[i]);
        let last = n.wrapping_sub(1);
        let blurred = (0..n).map(|i| (at(i.saturating_sub(1)) + 2.0 * at(i) + at((i + 1).min(last))) / 4.0);
        close(&ops::stencil1d(&cpu, &bx).unwrap(), &blurred.collect::<Vec<_>>(), 1e-6);
        let mean = ops::mean_of(&cpu, [&bx, &bx, &bx, &bx]).unwrap();
        close(&mean, &wide(&x), 1e-6);
        let half: Vec<Bf16> = x.iter().map(|v| Bf16::from_f32(*v)).collect();
        assert_eq!(ops::to_bf16(&cpu, &bx).unwrap().read().unwrap(), half);
    }
}

#[test]
fn copies_of_every_width() {
    let cpu = cpu();
    let odd: Vec<u8> = (0..40).collect();
    assert_eq!(ops::copy(&cpu, &cpu.buffer(&odd).unwrap()).unwrap().read().unwrap(), odd);
    let doubles = [0.1f64, -0.2, f64::NAN];
    let mut copy = [0f64; 3];
    ops::copy(&cpu, &cpu.buffer(&doubles).unwrap()).unwrap().read_into(&mut copy).unwrap();
    assert_eq!(copy.map(f64::to_bits), doubles.map(f64::to_bits));
    let message = refused(ops::copy(&cpu, &cpu.zeros::<u8>(5).unwrap()));
    assert_eq!(message, "`copy`: `x`: expected a multiple of 4 bytes in u8 elements, found 5");
}

#[test]
fn reductions_are_right_at_every_size() {
    let cpu = cpu();
    for n in [1, 31, 1000, 4096, 9999] {
        let (a, b) = (values(n, 4), values(n, 5));
        let (ba, bb) = (cpu.buffer(&a).unwrap(), cpu.buffer(&b).unwrap());
        let pairs = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let count = n as f64;
        let total: f64 = wide(&a).iter().sum();
        near(ops::sum(&cpu, &ba).unwrap(), total, 1e-4);
        near(ops::mean(&cpu, &ba).unwrap(), total / count, 1e-5);
        assert_eq!(ops::min(&cpu, &ba).unwrap(), a.iter().copied().fold(f32::INFINITY, f32::min));
        assert_eq!(ops::max(&cpu, &ba).unwrap(), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        near(ops::dot(&cpu, &ba, &bb).unwrap(), pairs().map(|(a, b)| a * b).sum(), 1e-4);
        let square: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
        near(ops::mse(&cpu, &ba, &bb).unwrap(), square / count, 1e-5);

        let unit = |x: &[f32]| x.iter().map(|v| (v + 3.0) / 6.0).collect::<Vec<f32>>();
        let (p, t) = (unit(&a), unit(&b));
        let loss = p.iter().zip(&t).map(|(p, t)| {
            let (p, t) = (f64::from(*p), f64::from(*t));
            -(t * p.ln().max(-100.0) + (1.0 - t) * (1.0 - p).ln().max(-100.0))
        });
        let found =
            ops::binary_cross_entropy(&cpu, &cpu.buffer(&p).unwrap(), &cpu.buffer(&t).unwrap()).unwrap();
        near(found, loss.sum::<f64>() / count, 1e-5);

        let mut one = cpu.zeros::<f32>(1).unwrap();
        ops::sum_into(&cpu, &ba, &mut one).unwrap();
        near(one.read().unwrap()[0], total, 1e-4);
    }
    let none = cpu.zeros::<f32>(0).unwrap();
    assert_eq!(ops::sum(&cpu, &none).unwrap(), 0.0);
    assert_eq!(ops::dot(&cpu, &none, &none).unwrap(), 0.0);
    assert_eq!(ops::min(&cpu, &none).unwrap(), f32::INFINITY);
    assert_eq!(ops::max(&cpu, &none).unwrap(), f32::NEG_INFINITY);
    assert!(ops::mean(&cpu, &none).unwrap().is_nan());
    assert!(ops::mse(&cpu, &none, &none).unwrap().is_nan());
    assert!(ops::binary_cross_entropy(&cpu, &none, &none).unwrap().is_nan());
}

#[test]
fn rows() {
    let cpu = cpu();
    for (rows, cols) in [(0, 0), (0, 7), (1, 1), (3, 33), (7, 1000)] {
        let x = values(rows * cols, 6);
        let (w, b) = (values(cols, 7), values(cols, 8));
        let bx = cpu.buffer(&x).unwrap();
        let (bw, bb) = (cpu.buffer(&w).unwrap(), cpu.buffer(&b).unwrap());
        let by_row = |f: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<f64> {
            wide(&x).chunks_exact(cols.max(1)).flat_map(f).collect()
        };
        let log_sum = |r: &[f64]| {
            let m = r.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            m + r.iter().map(|v| (v - m).exp()).sum::<f64>().ln()
        };
        let softmax = by_row(&|r| r.iter().map(|v| (v - log_sum(r)).exp()).collect());
        close(&ops::softmax(&cpu, &bx, cols).unwrap(), &softmax, 2e-6);
        let count = cols as f64;
        let layer = by_row(&|r| {
            let mean = r.iter().sum::<f64>() / count;
            let spread = r.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let row = r.iter().zip(w.iter().zip(&b));
            row.map(|(v, (w, b))| (v - mean) / (spread + 1e-3).sqrt() * f64::from(*w) + f64::from(*b))
                .collect()
        });
        close(&ops::layer_norm(&cpu, &bx, &bw, &bb, 1e-3).unwrap(), &layer, 1e-5);
        let rms = by_row(&|r| {
            let square = r.iter().map(|v| v * v).sum::<f64>() / count;
            r.iter().zip(&w).map(|(v, w)| v / (square + 1e-3).sqrt() * f64::from(*w)).collect()
        });
        close(&ops::rms_norm(&cpu, &bx, &bw, 1e-3).unwrap(), &rms, 1e-5);

        let order = |r: &[f32]| {
            let mut order: Vec<usize> = (0..r.len()).collect();
            order.sort_by(|i, j| r[*j].total_cmp(&r[*i]));
            order
        };
        let chunks = || x.chunks_exact(cols.max(1));
        let best: Vec<u32> = chunks().map(|r| order(r)[0] as u32).collect();
        assert_eq!(ops::argmax(&cpu, &bx, cols).unwrap().read().unwrap(), best);
        let k = cols.min(4);
        let (value, index) = ops::topk(&cpu, &bx, cols, k).unwrap();
        let first = |r: &[f32]| order(r)[..k].to_vec();
        let expected: Vec<u32> = chunks().flat_map(|r| first(r).into_iter().map(|i| i as u32)).collect();
        assert_eq!(index.read().unwrap(), expected);
        let expected: Vec<f32> = chunks().flat_map(|r| first(r).into_iter().map(|i| r[i])).collect();
        assert_eq!(value.read().unwrap(), expected);
        if cols <= 100 {
            let sorted: Vec<f32> = chunks().flat_map(|r| order(r).into_iter().rev().map(|i| r[i])).collect();
            assert_eq!(ops::rank_sort(&cpu, &bx, cols).unwrap().read().unwrap(), sorted);
        }

        let (q, step) = ops::quantise(&cpu, &bx, cols).unwrap();
        let (q, step) = (q.read().unwrap(), step.read().unwrap());
        assert_eq!((q.len(), step.len()), (x.len(), rows));
        for (i, v) in x.iter().enumerate() {
            let step = step[i / cols];
            assert!((f32::from(q[i]) * step - v).abs() <= 0.501 * step, "element {i}");
        }

        let label: Vec<u32> = (0..rows).map(|r| (r * 5 % cols.max(1)) as u32).collect();
        let bl = cpu.buffer(&label).unwrap();
        let loss: Vec<f64> = wide(&x)
            .chunks_exact(cols.max(1))
            .zip(&label)
            .map(|(r, l)| log_sum(r) - r[*l as usize])
            .collect();
        close(&ops::cross_entropy_rows(&cpu, &bx, &bl, cols).unwrap(), &loss, 5e-6);
        let mean = ops::cross_entropy(&cpu, &bx, &bl, cols).unwrap();
        if rows == 0 {
            assert!(mean.is_nan());
        } else {
            near(mean, loss.iter().sum::<f64>() / rows as f64, 5e-6);
        }
    }
}

#[test]
fn matrices() {
    let cpu = cpu();
    for (m, n, k) in [(0, 3, 2), (1, 1, 1), (2, 3, 0), (17, 33, 9), (5, 40, 100)] {
        let (a, b) = (values(m * k, 9), values(k * n, 10));
        let (ba, bb) = (cpu.buffer(&a).unwrap(), cpu.buffer(&b).unwrap());
        let chain = |i: usize, j: usize| (0..k).fold(0f32, |s, p| a[i * k + p].mul_add(b[p * n + j], s));
        let c: Vec<f32> = (0..m * n).map(|e| chain(e / n, e % n)).collect();
        assert_eq!(ops::gemm(&cpu, &ba, &bb, m, n, k).unwrap().read().unwrap(), c);

        let turned: Vec<f32> = (0..k * m).map(|e| a[e % m * k + e / m]).collect();
        assert_eq!(ops::transpose(&cpu, &ba, m, k).unwrap().read().unwrap(), turned);

        let x = values(k, 11);
        let product = |w: &[f32], x: &[f32]| -> Vec<f32> {
            let row = |r: &[f32]| r.iter().zip(x).fold(0f32, |s, (w, x)| w.mul_add(*x, s));
            w.chunks_exact(k.max(1)).map(row).collect()
        };
        let found = ops::matvec(&cpu, &ba, &cpu.buffer(&x).unwrap()).unwrap();
        assert_eq!(found.read().unwrap(), product(&a, &x));
        let (ha, hx) =
            (ops::to_bf16(&cpu, &ba).unwrap(), ops::to_bf16(&cpu, &cpu.buffer(&x).unwrap()).unwrap());
        let narrow = |b: &Buffer<Bf16>| b.read().unwrap().iter().map(|v| v.to_f32()).collect::<Vec<_>>();
        let expected = product(&narrow(&ha), &narrow(&hx));
        assert_eq!(ops::bf16_matvec(&cpu, &ha, &hx).unwrap().read().unwrap(), expected);

        let heat = (0..m * k).map(|e| {
            let (i, j) = (e / k, e % k);
            let inside = i > 0 && i + 1 < m && j > 0 && j + 1 < k;
            let v = |e: usize| f64::from(a[e]);
            let flow = || v(e - 1) + v(e + 1) + v(e - k) + v(e + k) - 4.0 * v(e);
            if inside { v(e) + 0.125 * flow() } else { v(e) }
        });
        close(&ops::stencil2d(&cpu, &ba, m, k, 0.125).unwrap(), &heat.collect::<Vec<_>>(), 1e-6);
    }
    for (rows, n, k) in [(0, 3, 4), (1, 1, 1), (3, 70, 37)] {
        let x: Vec<i8> = (0..rows * k).map(|i| (i * 37 % 255) as u8 as i8).collect();
        let w: Vec<i8> = (0..n * k).map(|i| (i * i % 3) as i8 - 1).collect();
        let scale = values(n, 12);
        let packed = Arc::new(phalanx::kernels::pack_t2(n, k, &w).unwrap());
        let expected: Vec<f32> = (0..rows * n)
            .map(|e| {
                let (x, w) = (&x[e / n * k..][..k], &w[e % n * k..][..k]);
                let sum: i32 = x.iter().zip(w).map(|(x, w)| i32::from(*x) * i32::from(*w)).sum();
                sum as f32 * scale[e % n]
            })
            .collect();
        let (bx, bs) = (cpu.buffer(&x).unwrap(), cpu.buffer(&scale).unwrap());
        assert_eq!(ops::ternary_matmul(&cpu, &bx, &packed, &bs).unwrap().read().unwrap(), expected);
    }
}

#[test]
fn counts_and_prefix_sums() {
    let cpu = cpu();
    for n in [0, 1, 256, 1000, 70_000] {
        let x: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let mut sum = 0u32;
        let sums: Vec<u32> = x.iter().map(|v| (sum = sum.wrapping_add(*v), sum).1).collect();
        assert_eq!(ops::scan(&cpu, &cpu.buffer(&x).unwrap()).unwrap().read().unwrap(), sums);

        let bytes: Vec<u8> = x.iter().map(|v| (v >> 24) as u8).collect();
        let mut bins = vec![0u32; 256];
        bytes.iter().for_each(|b| bins[usize::from(*b)] += 1);
        let b = cpu.buffer(&bytes).unwrap();
        let mut counts = ops::histogram(&cpu, &b).unwrap();
        assert_eq!(counts.read().unwrap(), bins);
        ops::histogram_into(&cpu, &b, &mut counts).unwrap();
        assert_eq!(counts.read().unwrap(), bins.iter().map(|c| 2 * c).collect::<Vec<_>>());
    }
}

/// Softmax of one query over the first `keys` keys of a head, times the values.
fn attend(q: &[f64], k: &[f64], v: &[f64], keys: usize, scale: f64) -> Vec<f64> {
    let dim = q.len();
    let score = |j: usize| (0..dim).map(|d| q[d] * k[j * dim + d]).sum::<f64>() * scale;
    let e: Vec<f64> = (0..keys).map(|j| score(j).exp()).collect();
    let sum: f64 = e.iter().sum();
    (0..dim).map(|d| (0..keys).map(|j| e[j] / sum * v[j * dim + d]).sum()).collect()
}

#[test]
fn parts_of_a_transformer() {
    let cpu = cpu();
    for (heads, tokens, dim) in [(0, 0, 0), (1, 1, 2), (3, 70, 6), (2, 5, 70)] {
        let n = heads * tokens * dim;
        let (q, k, v) = (values(n, 13), values(n, 14), values(n, 15));
        let buffer = |x: &[f32]| cpu.buffer(x).unwrap();
        let (bq, bk, bv) = (buffer(&q), buffer(&k), buffer(&v));
        let (wq, wk, wv) = (wide(&q), wide(&k), wide(&v));
        let prefill: Vec<f64> = (0..heads * tokens)
            .flat_map(|i| {
                let head = i / tokens * tokens * dim..;
                attend(&wq[i * dim..][..dim], &wk[head.clone()], &wv[head], i % tokens + 1, 0.5)
            })
            .collect();
        close(&ops::attention_prefill(&cpu, &bq, &bk, &bv, tokens, dim, 0.5).unwrap(), &prefill, 1e-5);
        let one = buffer(&q[..heads * dim]);
        let decode: Vec<f64> = (0..heads)
            .flat_map(|h| {
                let head = h * tokens * dim..;
                attend(&wq[h * dim..][..dim], &wk[head.clone()], &wv[head], tokens, 0.5)
            })
            .collect();
        close(&ops::attention_decode(&cpu, &one, &bk, &bv, dim, 0.5).unwrap(), &decode, 1e-5);

        let half = dim / 2;
        let turned: Vec<f64> = (0..n)
            .map(|e| {
                let (at, i) = (e - e % dim, e % dim % half);
                let position = (100 + e / (heads * dim)) as f64;
                let angle = position * 10_000f64.powf(-(i as f64) / half as f64);
                let (u, v) = (wq[at + i], wq[at + i + half]);
                let (s, c) = angle.sin_cos();
                if e % dim < half { u * c - v * s } else { v * c + u * s }
            })
            .collect();
        close(&ops::rotary(&cpu, &bq, heads, dim, 100, 10_000.0).unwrap(), &turned, 1e-5);
    }
    for (table, id, dim) in [(1, 0, 3), (1, 1, 1), (50, 333, 3)] {
        let t = values(table * dim, 16);
        let ids: Vec<u32> = (0..id).map(|i| (i * 7 % table) as u32).collect();
        let expected: Vec<f32> = ids.iter().flat_map(|i| t[*i as usize * dim..][..dim].to_vec()).collect();
        let (bt, bi) = (cpu.buffer(&t).unwrap(), cpu.buffer(&ids).unwrap());
        assert_eq!(ops::embedding(&cpu, &bt, &bi, dim).unwrap().read().unwrap(), expected);
    }
}

#[test]
fn shapes_that_do_not_fit() {
    let cpu = cpu();
    let f = |n: usize| cpu.zeros::<f32>(n).unwrap();
    let u = |n: usize| cpu.zeros::<u32>(n).unwrap();
    let messages = [
        refused(ops::add(&cpu, &f(4), &f(5))),
        refused(ops::add_into(&cpu, &f(4), &f(4), &mut f(3))),
        refused(ops::softmax(&cpu, &f(10), 3)),
        refused(ops::softmax(&cpu, &f(10), 0)),
        refused(ops::sum_into(&cpu, &f(10), &mut f(2))),
        refused(ops::gemm(&cpu, &f(6), &f(6), 2, 2, 4)),
        refused(ops::gemm(&cpu, &f(0), &f(0), 1 << 40, 1 << 40, 0)),
        refused(ops::cross_entropy(&cpu, &f(6), &u(4), 2)),
        refused(ops::rotary(&cpu, &f(6), 1, 3, 0, 1e4)),
        refused(ops::attention_decode(&cpu, &f(4), &f(0), &f(0), 2, 1.0)),
        refused(ops::histogram_into(&cpu, &cpu.zeros::<u8>(1).unwrap(), &mut u(255))),
    ];
    let expected = [
        "`add`: `b`: expected 4 elements (as `a`), found 5",
        "`add`: `y`: expected 4 elements (what the inputs give), found 3",
        "`softmax`: `x`: expected a multiple of 3 elements (cols), found 10",
        "`softmax`: `x`: expected 0 elements (cols = 0), found 10",
        "`sum`: `total`: expected 1 element (one result), found 2",
        "`gemm`: `a`: expected 8 elements (m * k), found 6",
        "`gemm`: `c`: expected at most 4294967295 elements, found 18446744073709551615",
        "`cross_entropy_rows`: `x`: expected 8 elements (length of `label` * cols), found 6",
        "`rotary`: `dim`: expected an even number, found 3",
        "`attention_decode`: `k`: expected at least one key, found 0",
        "`histogram`: `bins`: expected 256 elements (what the inputs give), found 255",
    ];
    assert_eq!(messages, expected);
    for message in [
        refused(ops::mse(&cpu, &f(1), &f(2))),
        refused(ops::axpy(&cpu, &f(1), &f(2), 1.0)),
        refused(ops::copy_into(&cpu, &f(1), &mut f(2))),
        refused(ops::layer_norm(&cpu, &f(6), &f(3), &f(2), 0.0)),
        refused(ops::rms_norm(&cpu, &f(6), &f(4), 0.0)),
        refused(ops::matvec(&cpu, &f(7), &f(2))),
        refused(ops::transpose(&cpu, &f(7), 2, 3)),
        refused(ops::topk(&cpu, &f(6), 3, usize::MAX)),
        refused(ops::embedding(&cpu, &f(6), &u(1), 0)),
        refused(ops::embedding(&cpu, &f(6), &u(1), 4)),
        refused(ops::attention_prefill(&cpu, &f(8), &f(8), &f(6), 2, 2, 1.0)),
        refused(ops::scan_into(&cpu, &u(2), &mut u(3))),
        refused(ops::mean_of(&cpu, [&f(1), &f(1), &f(1), &f(2)])),
    ] {
        assert!(message.contains("expected") && message.contains("found"), "{message}");
    }
    let x = f(4);
    let shared = ops::relu_into(&cpu, &x, &mut x.clone());
    assert!(matches!(shared, Err(Error::Launch(LaunchError::Overlap { .. }))));
    let outside = ops::embedding(&cpu, &f(6), &cpu.buffer(&[3u32]).unwrap(), 2);
    assert!(matches!(outside, Err(Error::Launch(LaunchError::Trap(_)))));
    let label = ops::cross_entropy(&cpu, &f(2), &cpu.buffer(&[2u32]).unwrap(), 2);
    assert!(matches!(label, Err(Error::Launch(LaunchError::Trap(_)))));
    let foreign = ops::relu(&Cpu::new().unwrap(), &x);
    assert!(matches!(foreign, Err(Error::Launch(LaunchError::Foreign { .. }))));
}

#[test]
fn every_kernel_has_its_name() {
    let cpu = cpu();
    let mut assembled = Vec::new();
    for p in phalanx_programs::PROGRAMS {
        assembled.extend(cpu.load(p.text).unwrap().kernels().iter().map(|k| k.name().to_string()));
    }
    assembled.sort();
    assert!(ops::names().eq(assembled.iter().map(String::as_str)), "names, sorted, none twice");
    let mut distinct = assembled.clone();
    distinct.dedup();
    assert_eq!(distinct, assembled);
    for name in ops::names() {
        assert_eq!(ops::kernel(&cpu, name).unwrap().name(), name);
    }

    let softmax = ops::find("softmax").unwrap();
    assert_eq!((softmax.name, softmax.program), ("softmax", "softmax"));
    assert!(softmax.header().starts_with("y[r] = softmax(x[r]) for every row r."), "{}", softmax.header());
    assert!(!softmax.header().contains("//"), "{}", softmax.header());
    assert_eq!(ops::kernel(&cpu, "attention_decode").unwrap().name(), "decode");
    let message = |name| ops::kernel(&cpu, name).unwrap_err().to_string();
    assert_eq!(
        message("sum"),
        "the library has no kernel `sum`; the program of that name has: sum_final, sum_partial"
    );
    assert_eq!(message("sofmax"), "the library has no kernel `sofmax`; `ops::names` lists them");
}

#[test]
fn programs_come_from_the_cache_and_bits_from_nowhere_else() {
    let few = Cpu::builder().threads(1).build().unwrap();
    let many = Cpu::builder().threads(4).build().unwrap();
    let x = values(50_000, 17);
    let run = |cpu: &Cpu| {
        let b = cpu.buffer(&x).unwrap();
        let rows = ops::softmax(cpu, &b, 250).unwrap().read().unwrap();
        (ops::sum(cpu, &b).unwrap().to_bits(), rows.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    };
    let first = run(&few);
    assert_eq!(few.cached_programs(), 2);
    assert_eq!(run(&few), first);
    assert_eq!(few.cached_programs(), 2);
    assert_eq!(run(&many), first);
}

#[test]
fn one_device_for_four_threads() {
    let cpu = Cpu::builder().threads(4).build().unwrap();
    let common = cpu.buffer(&values(30_000, 18)).unwrap();
    let expected = ops::softmax(&cpu, &common, 300).unwrap().read().unwrap();
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|s| {
        for seed in 0..4u64 {
            let (cpu, common, expected, start) = (&cpu, &common, &expected, &start);
            s.spawn(move || {
                start.wait();
                let mine = values(5000, 100 + seed);
                let b = cpu.buffer(&mine).unwrap();
                for _ in 0..5 {
                    assert_eq!(&ops::softmax(cpu, common, 300).unwrap().read().unwrap(), expected);
                    let doubled = ops::add(cpu, &b, &b).unwrap().read().unwrap();
                    assert!(doubled.iter().zip(&mine).all(|(d, v)| *d == v + v));
                    near(ops::sum(cpu, &b).unwrap(), wide(&mine).iter().sum(), 1e-4);
                }
            });
        }
    });
}
