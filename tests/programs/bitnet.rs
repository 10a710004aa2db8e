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

pub fn norms(program: &str) {
    const COLS: usize = 301;
    check(
        program,
        [2, 40],
        |rows| {
            let mut rng = Rng(62);
            let x: [Vec<f32>; 2] = std::array::from_fn(|_| rng.floats(rows * COLS, -2.0, 2.0));
            (x, rng.floats(COLS, 0.5, 1.5))
        },
        |run, ([a, b], weight)| {
            let rows = a.len() / COLS;
            let mut out = Vec::new();
            let mut launch = |name: &str, first: &str, second: Option<&str>, normed: bool, picked: usize| {
                let x = run.buffer(a);
                let y = run.zeros::<f32>(if picked > 0 { picked * COLS } else { a.len() });
                let mut launch: Launcher = run.launch(name).arg(first, &x);
                if let Some(second) = second {
                    launch = launch.arg(second, run.buffer(b));
                }
                if normed {
                    launch = launch.arg("weight", run.buffer(weight)).arg("y", &y).arg("eps", EPS);
                }
                let mut rows = rows;
                if picked > 0 {
                    let last = rows as u32 - 1;
                    launch = launch.arg("pick", run.buffer(&[last, 0][..picked]));
                    rows = picked;
                }
                launch.arg("rows", rows as u32).arg("cols", COLS as u32).run().unwrap();
                out.extend([bits(&x), bits(&y)]);
            };
            launch("rms_rows", "x", None, true, 0);
            launch("add_rms", "x", Some("d"), true, 0);
            launch("picked_rms", "x", Some("d"), true, 2);
            launch("relu2_rms", "gate", Some("up"), true, 0);
            launch("silu_rms", "gate", Some("up"), true, 0);
            launch("relu2", "gate", Some("up"), false, 0);
            launch("silu", "gate", Some("up"), false, 0);
            out
        },
        |([a, b], weight), out| {
            let normed = |v: &[f32]| v.chunks(COLS).flat_map(|row| norm(row, weight)).collect::<Vec<f32>>();
            let both = |f: fn(f32, f32) -> f32| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect::<Vec<f32>>();
            exact(&out[1], &normed(a));
            let sum = both(|a, b| a + b);
            exact(&out[2], &sum);
            exact(&out[3], &normed(&sum));
            let picked = [&sum[sum.len() - COLS..], &sum[..COLS]].concat();
            exact(&out[5], &normed(&picked));
            let gated = both(|a, b| a.max(0.0) * a.max(0.0) * b);
            exact(&out[6], &gated);
            exact(&out[7], &normed(&gated));
            let smooth = floats(&out[8]);
            let expected = a.iter().zip(b).map(|(a, b)| {
                let (a, b) = (f64::from(*a), f64::from(*b));
                a / (1.0 + (-a).exp()) * b
            });
            close(&out[8], &expected.collect::<Vec<_>>(), 1e-6);
            exact(&out[9], &normed(&smooth));
            assert_eq!((&out[10], &out[12]), (&out[6], &out[8]), "without the norm");
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
            vec![attend(false, 1, 1), attend(true, 1, 3), attend(false, (HEADS / KV) as u32, 16)]
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
