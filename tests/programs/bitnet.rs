//! References of the programs that a transformer is run from.

use crate::support::{Rng, Run, bits, block_add, check, close, exact, floats};
use phalanx::{Buffer, F16, Launcher};

pub fn embed(program: &str) {
    const COLS: usize = 96;
    const VOCAB: usize = 7;
    check(
        program,
        [3, 150],
        |rows| {
            let mut rng = Rng(61);
            let tokens: Vec<u32> = (0..rows).map(|_| rng.below(VOCAB as u64) as u32).collect();
            let values = rng.floats(VOCAB * COLS, -2.0, 2.0).into_iter();
            (tokens, values.map(F16::from_f32).collect::<Vec<_>>())
        },
        |run, (tokens, table)| {
            let ys: [Buffer<f32>; 3] = std::array::from_fn(|_| run.zeros::<f32>(tokens.len() * COLS));
            let launch = |name: &str, y: &Buffer<f32>| {
                let launch = run.launch(name).arg("token", run.buffer(tokens)).arg("y", y);
                launch.arg("rows", tokens.len() as u32).arg("cols", COLS as u32)
            };
            let singles: Vec<f32> = table.iter().map(|h| h.to_f32()).collect();
            launch("embed_f32", &ys[0]).arg("table", run.buffer(&singles)).run().unwrap();
            launch("embed_f16", &ys[1]).arg("table", run.buffer(table)).run().unwrap();
            let blocks = run.cpu.raw_buffer(phalanx::Type::F16, &q8_0(table)).unwrap();
            let codes = blocks.buffer.view(phalanx::Type::I8);
            launch("embed_q8_0", &ys[2]).arg("scales", blocks).arg("codes", codes).run().unwrap();
            ys.iter().map(bits).collect()
        },
        |(tokens, table), out| {
            let row = |t: &u32| table[*t as usize * COLS..][..COLS].iter().map(|h| h.to_f32());
            let expected: Vec<f32> = tokens.iter().flat_map(row).collect();
            exact(&out[0], &expected);
            exact(&out[1], &expected);
            let coded = |t: &u32| {
                let row = &q8_0(table)[*t as usize * COLS / 32 * 34..][..COLS / 32 * 34];
                let block = |b: &[u8]| {
                    let scale = F16(u16::from_le_bytes([b[0], b[1]])).to_f32();
                    b[2..].iter().map(move |c| f32::from(*c as i8) * scale).collect::<Vec<_>>()
                };
                row.chunks(34).flat_map(block).collect::<Vec<f32>>()
            };
            exact(&out[2], &tokens.iter().flat_map(coded).collect::<Vec<_>>());
        },
    );
}

/// Blocks as files have them: a scale of 1/64 and codes.
fn q8_0(table: &[F16]) -> Vec<u8> {
    let block = |values: &[F16]| {
        let scale = F16::from_f32(1.0 / 64.0).0.to_le_bytes();
        let codes: Vec<u8> = values.iter().map(|v| (v.to_f32() * 63.0) as i8 as u8).collect();
        scale.into_iter().chain(codes).collect::<Vec<_>>()
    };
    table.chunks(32).flat_map(block).collect()
}

/// Lanes of a block of a norm.
const LANES: usize = 128;
const EPS: f32 = 1e-5;

fn norm(row: &[f32], weight: &[f32]) -> Vec<f32> {
    let lane = |l: usize| row.iter().skip(l).step_by(LANES).fold(0f32, |s, v| v.mul_add(*v, s));
    let sum = block_add(&(0..LANES).map(lane).collect::<Vec<_>>());
    let s = 1.0 / (sum / row.len() as f32 + EPS).sqrt();
    row.iter().zip(weight).map(|(v, w)| v * s * w).collect()
}

fn layer_norm(row: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let all = |f: &dyn Fn(f32, f32) -> f32| {
        let lane = |l: usize| row.iter().skip(l).step_by(LANES).fold(0f32, |s, v| f(*v, s));
        block_add(&(0..LANES).map(lane).collect::<Vec<_>>())
    };
    let n = row.len() as f32;
    let mean = all(&|v, s| s + v) / n;
    let s = 1.0 / (all(&|v, s| (v - mean).mul_add(v - mean, s)) / n + EPS).sqrt();
    row.iter().zip(weight).zip(bias).map(|((v, w), b)| (v - mean) * s * w + b).collect()
}

/// Codes and divisors of rows, as `quant.rows` defines them.
fn codes(rows: &[f32]) -> (Vec<i8>, Vec<f32>) {
    let one = |row: &[f32]| {
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = (127.0 / f64::from(largest).max(1e-5)) as f32;
        let code = |v: &f32| (v * scale).round_ties_even().clamp(-128.0, 127.0) as i8;
        (row.iter().map(code).collect::<Vec<_>>(), scale)
    };
    let (codes, scales): (Vec<_>, Vec<_>) = rows.chunks(COLS).map(one).unzip();
    (codes.concat(), scales)
}

const COLS: usize = 301;

/// What the kernels of norms take: two matrices of rows, a weight and a bias.
type Normed = ([Vec<f32>; 2], [Vec<f32>; 2]);

fn rows_to_norm(rows: usize) -> Normed {
    let mut rng = Rng(62);
    let x: [Vec<f32>; 2] = std::array::from_fn(|_| rng.floats(rows * COLS, -2.0, 2.0));
    (x, std::array::from_fn(|_| rng.floats(COLS, 0.5, 1.5)))
}

/// Runs a kernel on these rows: its first operand's new values, what the norm gives, and its codes and divisors.
fn run_norm(
    run: &Run,
    ([a, b], [weight, bias]): &Normed,
    (name, first, second): (&str, &str, Option<&str>),
    (normed, biased, picked): (bool, bool, usize),
) -> [Vec<u64>; 4] {
    let x = run.buffer(a);
    let rows = if picked > 0 { picked } else { a.len() / COLS };
    let (y, q, scale) = (run.zeros::<f32>(rows * COLS), run.zeros::<i8>(rows * COLS), run.zeros::<f32>(rows));
    let mut launch: Launcher = run.launch(name).arg(first, &x);
    if let Some(second) = second {
        launch = launch.arg(second, run.buffer(b));
    }
    if normed {
        launch = launch.arg("weight", run.buffer(weight)).arg("y", &y).arg("eps", EPS);
        launch = launch.arg("q", &q).arg("scale", &scale).arg("codes", 1u32);
    }
    if biased {
        launch = launch.arg("bias", run.buffer(bias));
    }
    if picked > 0 {
        launch = launch.arg("pick", run.buffer(&[(a.len() / COLS) as u32 - 1, 0][..picked]));
    }
    launch.arg("rows", rows as u32).arg("cols", COLS as u32).run().unwrap();
    [bits(&x), bits(&y), bits(&q), bits(&scale)]
}

/// Panics where a norm's rows, codes or divisors are others.
#[track_caller]
fn is_normed(out: &[Vec<u64>], expected: &[f32]) {
    let (q, scale) = codes(expected);
    exact(&out[1], expected);
    exact(&out[2], &q);
    exact(&out[3], &scale);
}

pub fn norms(program: &str) {
    let gates = ["relu2_rms", "silu_rms", "relu2", "silu", "gelu_gated"];
    check(
        program,
        [2, 40],
        rows_to_norm,
        |run, given| {
            let mut out = Vec::new();
            out.extend(run_norm(run, given, ("rms_rows", "x", None), (true, false, 0)));
            out.extend(run_norm(run, given, ("add_rms", "x", Some("d")), (true, false, 0)));
            out.extend(run_norm(run, given, ("picked_rms", "x", Some("d")), (true, false, 2)));
            for (i, gate) in gates.into_iter().enumerate() {
                out.extend(run_norm(run, given, (gate, "gate", Some("up")), (i < 2, false, 0)));
            }
            out
        },
        |([a, b], [weight, _]), out| {
            let out: Vec<&[Vec<u64>]> = out.chunks(4).collect();
            let normed = |v: &[f32]| v.chunks(COLS).flat_map(|row| norm(row, weight)).collect::<Vec<f32>>();
            let both = |f: fn(f32, f32) -> f32| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect::<Vec<f32>>();
            is_normed(out[0], &normed(a));
            let sum = both(|a, b| a + b);
            exact(&out[1][0], &sum);
            is_normed(out[1], &normed(&sum));
            let picked = [&sum[sum.len() - COLS..], &sum[..COLS]].concat();
            is_normed(out[2], &normed(&picked));
            let gated = both(|a, b| a.max(0.0) * a.max(0.0) * b);
            exact(&out[3][0], &gated);
            is_normed(out[3], &normed(&gated));
            let smooth = |f: fn(f64) -> f64| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| f(f64::from(*a)) * f64::from(*b)).collect()
            };
            close(&out[4][0], &smooth(|a| a / (1.0 + (-a).exp())), 1e-6);
            is_normed(out[4], &normed(&floats(&out[4][0])));
            assert_eq!((&out[5][0], &out[6][0]), (&out[3][0], &out[4][0]), "without the norm");
            close(&out[7][0], &smooth(|a| a * normal(a)), 2e-6);
        },
    );
}

/// The normal distribution's function, by Simpson's rule.
fn normal(x: f64) -> f64 {
    let n = 200;
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let at = |i: usize| x * i as f64 / f64::from(n);
    let weight = |i: usize| if i == 0 || i == n as usize { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
    0.5 + (0..=n as usize).map(|i| weight(i) * density(at(i))).sum::<f64>() * x / f64::from(n) / 3.0
}

pub fn layer_norms(program: &str) {
    check(
        program,
        [2, 40],
        rows_to_norm,
        |run, given| {
            let mut out = Vec::new();
            out.extend(run_norm(run, given, ("ln_rows", "x", None), (true, true, 0)));
            out.extend(run_norm(run, given, ("add_ln", "x", Some("d")), (true, true, 0)));
            out.extend(run_norm(run, given, ("picked_ln", "x", Some("d")), (true, true, 2)));
            out
        },
        |([a, b], [weight, bias]), out| {
            let normed =
                |v: &[f32]| v.chunks(COLS).flat_map(|row| layer_norm(row, weight, bias)).collect::<Vec<_>>();
            is_normed(&out[..4], &normed(a));
            let sum: Vec<f32> = a.iter().zip(b).map(|(a, b)| a + b).collect();
            exact(&out[4], &sum);
            is_normed(&out[4..8], &normed(&sum));
            is_normed(&out[8..], &normed(&[&sum[sum.len() - COLS..], &sum[..COLS]].concat()));
        },
    );
}

/// Sizes of a small cache: heads, heads of keys, elements, of which are turned, positions, texts.
const HEADS: usize = 4;
const KV: usize = 2;
const DIM: usize = 80;
const TURNED: usize = 72;
const CONTEXT: usize = 128;
const TEXTS: usize = 2;
const KEYS: usize = TEXTS * KV * CONTEXT * DIM;
const PANELS: usize = DIM.div_ceil(64);
const VALUES: usize = TEXTS * KV * PANELS * CONTEXT * 64;

/// Places of rows: position and text.
fn places(rows: usize) -> (Vec<u32>, Vec<u32>) {
    let at = |i: usize| ((i * 37 + 5) % CONTEXT, i % TEXTS);
    ((0..rows).map(|i| at(i).0 as u32).collect(), (0..rows).map(|i| at(i).1 as u32).collect())
}

fn sizes(launch: Launcher) -> Launcher {
    let launch = launch.arg("heads", HEADS as u32).arg("kv_heads", KV as u32).arg("dim", DIM as u32);
    launch.arg("context", CONTEXT as u32)
}

fn key_at(text: usize, head: usize, position: usize, d: usize) -> usize {
    (((text * KV + head) * (CONTEXT / 64) + position / 64) * DIM + d) * 64 + position % 64
}

fn value_at(text: usize, head: usize, position: usize, d: usize) -> usize {
    (((text * KV + head) * PANELS + d / 64) * CONTEXT + position) * 64 + d % 64
}

pub fn cache(program: &str) {
    const HALF: usize = TURNED / 2;
    check(
        program,
        [3, 30],
        |rows| {
            let mut rng = Rng(63);
            [HEADS, KV, KV].map(|n| rng.floats(rows * n * DIM, -2.0, 2.0))
        },
        |run, [q, k, v]| {
            let (cos, sin) = (run.zeros::<f32>(CONTEXT * HALF), run.zeros::<f32>(CONTEXT * HALF));
            let launch = run.launch("angles").arg("cos", &cos).arg("sin", &sin).arg("base", 500.0f64);
            launch.arg("context", CONTEXT as u32).arg("half", HALF as u32).run().unwrap();
            let rows = q.len() / HEADS / DIM;
            let (pos, slot) = places(rows);
            let mut out = vec![bits(&cos), bits(&sin)];
            let launch = |name: &str, q: &Buffer<f32>| {
                let launch =
                    sizes(run.launch(name)).arg("q", q).arg("k", run.buffer(k)).arg("v", run.buffer(v));
                let launch = launch.arg("cos", &cos).arg("sin", &sin).arg("rows", rows as u32);
                launch
                    .arg("pos", run.buffer(&pos))
                    .arg("slot", run.buffer(&slot))
                    .arg("turned", TURNED as u32)
            };
            let turned = run.buffer(q);
            let (keys, values) = (run.zeros::<f32>(KEYS), run.zeros::<f32>(VALUES));
            launch("place_f32", &turned).arg("kc", &keys).arg("vc", &values).run().unwrap();
            out.extend([bits(&turned), bits(&keys), bits(&values)]);
            let (keys, values) = (run.zeros::<F16>(KEYS), run.zeros::<F16>(VALUES));
            launch("place_f16", &run.buffer(q)).arg("kc", &keys).arg("vc", &values).run().unwrap();
            out.extend([bits(&keys), bits(&values)]);
            out
        },
        |[q, k, v], out| {
            let rows = q.len() / HEADS / DIM;
            let (pos, slot) = places(rows);
            let angle = |i: usize| (i / HALF) as f64 * 500f64.powf(-((i % HALF) as f64) / HALF as f64);
            let all = 0..CONTEXT * HALF;
            close(&out[0], &all.clone().map(|i| angle(i).cos()).collect::<Vec<_>>(), 1e-7);
            close(&out[1], &all.map(|i| angle(i).sin()).collect::<Vec<_>>(), 1e-7);
            let (cos, sin) = (floats(&out[0]), floats(&out[1]));
            let turn = |head: &[f32], position: usize| -> Vec<f32> {
                let mut y = head.to_vec();
                for i in 0..HALF {
                    let (c, s) = (cos[position * HALF + i], sin[position * HALF + i]);
                    let (a, b) = (head[i], head[i + HALF]);
                    y[i] = a.mul_add(c, -(b * s));
                    y[i + HALF] = a.mul_add(s, b * c);
                }
                y
            };
            let row_of = |i: usize, heads: usize| i / heads;
            let queries =
                q.chunks(DIM).enumerate().flat_map(|(i, h)| turn(h, pos[row_of(i, HEADS)] as usize));
            exact(&out[2], &queries.collect::<Vec<_>>());
            let (mut keys, mut values) = (vec![0f32; KEYS], vec![0f32; VALUES]);
            for i in 0..rows * KV {
                let (row, head) = (i / KV, i % KV);
                let (position, text) = (pos[row] as usize, slot[row] as usize);
                let turned = turn(&k[i * DIM..][..DIM], position);
                for d in 0..DIM {
                    keys[key_at(text, head, position, d)] = turned[d];
                    values[value_at(text, head, position, d)] = v[i * DIM + d];
                }
            }
            exact(&out[3], &keys);
            exact(&out[4], &values);
            let halves = |v: &[f32]| v.iter().map(|v| F16::from_f32(*v)).collect::<Vec<_>>();
            exact(&out[5], &halves(&keys));
            exact(&out[6], &halves(&values));
        },
    );
}

/// Three rows that follow each other, then three of another sequence.
fn runs(rows: usize) -> (Vec<u32>, Vec<u32>) {
    let at = |i: usize| ((i / 3 * 37 + 5) % (CONTEXT - 3) + i % 3, i / 3 % TEXTS);
    ((0..rows).map(|i| at(i).0 as u32).collect(), (0..rows).map(|i| at(i).1 as u32).collect())
}

pub fn attention(program: &str) {
    let scale = 1.0 / (DIM as f32).sqrt();
    check(
        program,
        [2, 9],
        |rows| {
            let mut rng = Rng(64);
            let q = rng.floats(rows * HEADS * DIM, -2.0, 2.0);
            let cache = [KEYS, VALUES]
                .map(|n| rng.floats(n, -2.0, 2.0).into_iter().map(F16::from_f32).collect::<Vec<_>>());
            (q, cache)
        },
        |run: &Run, (q, cache)| {
            let rows = q.len() / HEADS / DIM;
            let (pos, slot) = runs(rows);
            let launch = |name: &str| {
                let launch = sizes(run.launch(name)).arg("rows", rows as u32);
                launch.arg("pos", run.buffer(&pos)).arg("slot", run.buffer(&slot))
            };
            let singles = |i: usize| run.buffer(&cache[i].iter().map(|h| h.to_f32()).collect::<Vec<_>>());
            let attend = |half: bool, part: u32, tile: u32| {
                let o = run.zeros::<f32>(q.len());
                let l = launch(if half { "attend_f16" } else { "attend_f32" }).arg("q", run.buffer(q));
                let l = l.arg("part", part).arg("tile", tile).arg("factor", scale).arg("o", &o);
                let l = match half {
                    true => l.arg("kc", run.buffer(&cache[0])).arg("vc", run.buffer(&cache[1])),
                    false => l.arg("kc", singles(0)).arg("vc", singles(1)),
                };
                l.run().unwrap();
                bits(&o)
            };
            vec![
                attend(false, 1, 1),
                attend(true, 1, 3),
                attend(false, (HEADS / KV) as u32, 16),
                attend(false, HEADS as u32, 2),
            ]
        },
        |(q, cache), out| {
            let rows = q.len() / HEADS / DIM;
            let (pos, slot) = runs(rows);
            let found = floats(&out[0]);
            for i in 0..rows * HEADS {
                let (row, head) = (i / HEADS, i % HEADS / (HEADS / KV));
                let (keys, text) = (pos[row] as usize + 1, slot[row] as usize);
                let score = |j: usize| {
                    let key = |d| f64::from(cache[0][key_at(text, head, j, d)].to_f32());
                    (0..DIM).map(|d| f64::from(q[i * DIM + d]) * key(d)).sum::<f64>() * f64::from(scale)
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let largest = scores.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
                let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                for d in 0..DIM {
                    let value = |j: usize| f64::from(cache[1][value_at(text, head, j, d)].to_f32());
                    let mean = (0..keys).map(|j| (scores[j] - largest).exp() / sum * value(j)).sum::<f64>();
                    let found = f64::from(found[i * DIM + d]);
                    assert!((found - mean).abs() < 4e-6, "element {d} of head {i}: {found}, not {mean}");
                }
            }
            assert!(out.iter().all(|o| *o == out[0]), "f16 and f32 of the same values, however divided");
        },
    );
}
