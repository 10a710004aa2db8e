//! References of the matrix, attention and ternary programs, and the digits network on its held-out images.

use crate::support::{Bits, Rng, Run, bits, check, close, exact, floats};
use phalanx::Buffer;
use phalanx::kernels::pack_t2;
use phalanx_npy::Dtype;

/// m, n, k of the products: none divides a tile.
fn shape(m: usize) -> (usize, usize, usize) {
    (m, m + 5, 37)
}

/// The definition of every matrix product: one chain from +0, k ascending.
fn chain(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    pairs.fold(0.0, |acc, (a, b)| a.mul_add(b, acc))
}

fn product(program: &str, kernel: &str, sizes: [usize; 2]) {
    check(
        program,
        sizes,
        |size| {
            let (m, n, k) = shape(size);
            (Rng(21).floats(m * k, -1.0, 1.0), Rng(22).floats(k * n, -1.0, 1.0), (m, n, k))
        },
        |run, (a, b, (m, n, k))| {
            let c = run.zeros::<f32>(m * n);
            let launch = run.launch(kernel).arg("a", run.buffer(a)).arg("b", run.buffer(b)).arg("c", &c);
            launch.arg("m", *m as u32).arg("n", *n as u32).arg("k", *k as u32).run().unwrap();
            vec![bits(&c)]
        },
        |(a, b, (m, n, k)), out| {
            let cell = |i: usize| chain((0..*k).map(|p| (a[i / n * k + p], b[p * n + i % n])));
            exact(&out[0], &(0..m * n).map(cell).collect::<Vec<_>>());
        },
    );
}

pub fn gemm(program: &str) {
    product(program, "gemm", [21, 317]);
}

pub fn matmul_tiled(program: &str) {
    product(program, "matmul_tiled", [21, 317]);
}

pub fn matvec(program: &str) {
    const COLS: usize = 51;
    check(
        program,
        [70, 2003],
        |rows| (Rng(23).floats(rows * COLS, -1.0, 1.0), Rng(24).floats(COLS, -1.0, 1.0)),
        |run, (w, x)| {
            let y = run.zeros::<f32>(w.len() / COLS);
            let launch = run.launch("matvec").arg("w", run.buffer(w)).arg("x", run.buffer(x));
            launch.arg("y", &y).arg("cols", COLS as u32).run().unwrap();
            vec![bits(&y)]
        },
        |(w, x), out| {
            let row = |r: &[f32]| chain(r.iter().copied().zip(x.iter().copied()));
            exact(&out[0], &w.chunks(COLS).map(row).collect::<Vec<_>>());
        },
    );
}

pub fn transpose(program: &str) {
    check(
        program,
        [45, 331],
        |rows| (Rng(25).floats(rows * (rows + 20), -1.0, 1.0), rows, rows + 20),
        |run, (x, rows, cols)| {
            let y = run.zeros::<f32>(x.len());
            let launch = run.launch("transpose").arg("x", run.buffer(x)).arg("y", &y);
            launch.arg("rows", *rows as u32).arg("cols", *cols as u32).run().unwrap();
            vec![bits(&y)]
        },
        |(x, rows, cols), out| {
            exact(&out[0], &(0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect::<Vec<_>>());
        },
    );
}

pub fn rotary(program: &str) {
    const HEADS: usize = 3;
    const DIM: usize = 24;
    check(
        program,
        [9, 1400],
        |tokens| Rng(26).floats(tokens * HEADS * DIM, -1.0, 1.0),
        |run, x| {
            let x = run.buffer(x);
            let launch = run.launch("rotary").arg("x", &x).arg("heads", HEADS as u32).arg("dim", DIM as u32);
            launch.arg("first", 5000u32).arg("base", 500_000.0f64).run().unwrap();
            vec![bits(&x)]
        },
        |x, out| {
            let mut y: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            for (row, head) in y.chunks_mut(DIM).enumerate() {
                for i in 0..DIM / 2 {
                    let turn = 500_000f64.powf(-(i as f64) / (DIM / 2) as f64);
                    let (s, c) = ((5000 + row / HEADS) as f64 * turn).sin_cos();
                    let (u, v) = (head[i], head[i + DIM / 2]);
                    (head[i], head[i + DIM / 2]) = (u * c - v * s, v * c + u * s);
                }
            }
            close(&out[0], &y, 3e-7);
        },
    );
}

pub fn embedding(program: &str) {
    const DIM: usize = 33;
    check(
        program,
        [40, 4001],
        |tokens| {
            let mut rng = Rng(27);
            let ids: Vec<u32> = (0..tokens).map(|_| rng.below(500) as u32).collect();
            (rng.floats(500 * DIM, -1.0, 1.0), ids)
        },
        |run, (table, ids)| {
            let y = run.zeros::<f32>(ids.len() * DIM);
            let launch = run.launch("embedding").arg("table", run.buffer(table)).arg("id", run.buffer(ids));
            launch.arg("y", &y).arg("dim", DIM as u32).run().unwrap();
            vec![bits(&y)]
        },
        |(table, ids), out| {
            let row = |id: &u32| table[*id as usize * DIM..][..DIM].to_vec();
            exact(&out[0], &ids.iter().flat_map(row).collect::<Vec<_>>());
        },
    );
}

const HEAD_DIM: usize = 40;
const SCALE: f32 = 0.158_113_88;

/// Queries, keys and values of some heads over some positions.
fn qkv(heads: usize, tokens: usize) -> [Vec<f32>; 3] {
    [31, 32, 33].map(|seed| Rng(seed).floats(heads * tokens * HEAD_DIM, -2.0, 2.0))
}

/// Attention of one query over keys and values, in f64.
fn attend(q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
    let dot = |row: &[f32]| row.iter().zip(q).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let score: Vec<f64> = k.chunks(HEAD_DIM).map(|row| dot(row) * f64::from(SCALE)).collect();
    let m = score.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = score.iter().map(|s| (s - m).exp()).sum();
    let column = |d: usize| {
        let terms =
            score.iter().zip(v.chunks(HEAD_DIM)).map(|(s, row)| (s - m).exp() / sum * f64::from(row[d]));
        terms.sum::<f64>()
    };
    (0..HEAD_DIM).map(column).collect()
}

fn run_decode(run: &Run, q: &[f32], k: &[f32], v: &[f32], keys: usize) -> Buffer<f32> {
    let o = run.zeros::<f32>(q.len());
    let kernel = run.cpu.load(phalanx_programs::find("attention_decode").unwrap().text).unwrap();
    let launch = kernel.kernel("decode").unwrap().launch_declared().shared_len(keys as u64);
    let launch = launch.arg("q", run.buffer(q)).arg("k", run.buffer(k)).arg("v", run.buffer(v)).arg("o", &o);
    launch.arg("keys", keys as u32).arg("dim", HEAD_DIM as u32).arg("scale", SCALE).run().unwrap();
    o
}

pub fn attention_decode(program: &str) {
    const HEADS: usize = 3;
    check(
        program,
        [70, 901],
        |keys| (Rng(30).floats(HEADS * HEAD_DIM, -2.0, 2.0), qkv(HEADS, keys), keys),
        |run, (q, [_, k, v], keys)| vec![bits(&run_decode(run, q, k, v, *keys))],
        |(q, [_, k, v], keys), out| {
            let head = |h: usize| {
                let rows = h * keys * HEAD_DIM..(h + 1) * keys * HEAD_DIM;
                attend(&q[h * HEAD_DIM..][..HEAD_DIM], &k[rows.clone()], &v[rows])
            };
            close(&out[0], &(0..HEADS).flat_map(head).collect::<Vec<_>>(), 2e-6);
        },
    );
}

pub fn attention_prefill(program: &str) {
    const HEADS: usize = 2;
    check(
        program,
        [67, 130],
        |tokens| (qkv(HEADS, tokens), tokens),
        |run, ([q, k, v], tokens)| {
            let o = run.zeros::<f32>(q.len());
            let launch = run.launch("prefill").shared_len(*tokens as u64).arg("q", run.buffer(q));
            let launch = launch.arg("k", run.buffer(k)).arg("v", run.buffer(v)).arg("o", &o);
            launch
                .arg("tokens", *tokens as u32)
                .arg("dim", HEAD_DIM as u32)
                .arg("scale", SCALE)
                .run()
                .unwrap();
            // The last token of every head, by the other program.
            let head = tokens * HEAD_DIM;
            let last: Vec<f32> = q.chunks(head).flat_map(|h| h[head - HEAD_DIM..].to_vec()).collect();
            vec![bits(&o), bits(&run_decode(run, &last, k, v, *tokens))]
        },
        |([q, k, v], tokens), out| {
            let head = tokens * HEAD_DIM;
            let one = |i: usize| {
                let (h, t) = (i / tokens, i % tokens);
                let seen = h * head..h * head + (t + 1) * HEAD_DIM;
                attend(&q[i * HEAD_DIM..][..HEAD_DIM], &k[seen.clone()], &v[seen])
            };
            close(&out[0], &(0..HEADS * tokens).flat_map(one).collect::<Vec<_>>(), 2e-6);
            let last: Vec<f32> =
                floats(&out[0]).chunks(head).flat_map(|h| h[head - HEAD_DIM..].to_vec()).collect();
            exact(&out[1], &last);
        },
    );
}

/// Weights in {-1, 0, 1}, activations over the whole i8 range, scales.
fn ternary(n: usize, k: usize, rows: usize) -> (Vec<i8>, Vec<i8>, Vec<f32>) {
    let mut rng = Rng(41);
    let w = (0..n * k).map(|_| rng.below(3) as i8 - 1).collect();
    let x = (0..rows * k).map(|_| rng.next() as i8).collect();
    (w, x, rng.floats(n, 0.01, 0.1))
}

fn int_dot(w: &[i8], x: &[i8]) -> i32 {
    w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum()
}

pub fn ternary_matvec(program: &str) {
    const WORDS: usize = 70;
    check(
        program,
        [30, 300],
        |n| ternary(n, 16 * WORDS, 1),
        |run, (w, x, scale)| {
            let code = |c: &[i8]| c.iter().rev().fold(0u32, |word, v| word << 2 | (*v + 1) as u32);
            let codes: Vec<u32> = w.chunks(16).map(code).collect();
            let y = run.zeros::<f32>(scale.len());
            let launch = run.launch("ternary_matvec").arg("w", run.buffer(&codes)).arg("x", run.buffer(x));
            launch.arg("scale", run.buffer(scale)).arg("y", &y).arg("words", WORDS as u32).run().unwrap();
            vec![bits(&y)]
        },
        |(w, x, scale), out| {
            let row = |(w, s): (&[i8], &f32)| int_dot(w, x) as f32 * s;
            exact(&out[0], &w.chunks(16 * WORDS).zip(scale).map(row).collect::<Vec<_>>());
        },
    );
}

pub fn ternary_native(program: &str) {
    const ROWS: usize = 5;
    const K: usize = 259;
    check(
        program,
        [70, 20_001],
        |n| ternary(n, K, ROWS),
        |run, (w, x, scale)| {
            let n = scale.len();
            let packed = pack_t2(n, K, w).unwrap();
            let (sum, y) = (run.zeros::<i32>(ROWS * n), run.zeros::<f32>(ROWS * n));
            let launch =
                run.launch("ternary_native").arg("x", run.buffer(x)).arg("w", packed).arg("sum", &sum);
            let launch = launch.arg("scale", run.buffer(scale)).arg("y", &y);
            launch.arg("rows", ROWS as u32).arg("n", n as u32).arg("k", K as u32).run().unwrap();
            vec![bits(&sum), bits(&y)]
        },
        |(w, x, scale), out| {
            let row = |x: &[i8]| w.chunks(K).map(|w| int_dot(w, x)).collect::<Vec<i32>>();
            let sum: Vec<i32> = x.chunks(K).flat_map(row).collect();
            exact(&out[0], &sum);
            let y: Vec<f32> =
                sum.iter().enumerate().map(|(i, s)| *s as f32 * scale[i % scale.len()]).collect();
            exact(&out[1], &y);
        },
    );
}

pub fn linear(program: &str) {
    const ROWS: usize = 5;
    const K: usize = 99;
    const STEP: f32 = 127.0 / 4.0;
    // Rows of quarters whose largest is 4: codes and divisors that a person can check.
    check(
        program,
        [70, 1001],
        |n| {
            let (w, _, _) = ternary(n, K, ROWS);
            let mut rng = Rng(43);
            let mut x: Vec<f32> = (0..ROWS * K).map(|_| rng.below(33) as f32 / 4.0 - 4.0).collect();
            x.iter_mut().step_by(K).for_each(|v| *v = 4.0);
            (w, x)
        },
        |run, (w, x)| {
            let n = w.len() / K;
            let (q, scale) = (run.zeros::<i8>(ROWS * K), run.zeros::<f32>(ROWS));
            let launch = run.launch("quant_rows").arg("x", run.buffer(x)).arg("q", &q).arg("scale", &scale);
            launch.arg("rows", ROWS as u32).arg("k", K as u32).arg("tile_m", 2u32).run().unwrap();
            let packed = || pack_t2(n, K, w).unwrap();
            let sizes = |l: phalanx::Launcher| {
                l.arg("rows", ROWS as u32).arg("k", K as u32).arg("tile_m", 3u32).arg("tile_n", 64u32)
            };
            let codes = |name| sizes(run.launch(name)).arg("x", &q).arg("scale", &scale);
            let bias = run.buffer(&vec![0.5f32; n]);
            let ys: [Buffer<f32>; 5] = std::array::from_fn(|_| run.zeros::<f32>(ROWS * n));
            codes("matmul_q").arg("n", n as u32).arg("w", packed()).arg("y", &ys[0]).run().unwrap();
            let launch = codes("linear_q").arg("n", n as u32).arg("w", packed()).arg("y", &ys[1]);
            launch.arg("bias", &bias).run().unwrap();
            let weights: Vec<f32> = w.iter().map(|v| f32::from(*v)).collect();
            let floats = || phalanx::product::pack(phalanx::isa::PackFormat::F32, n, K, &weights).unwrap();
            let of_floats =
                |name| sizes(run.launch(name)).arg("n", n as u32).arg("x", run.buffer(x)).arg("w", floats());
            of_floats("matmul_f").arg("y", &ys[2]).run().unwrap();
            of_floats("linear_f").arg("y", &ys[3]).arg("bias", &bias).run().unwrap();
            let padded = phalanx::product::padded(n) as u32;
            let launch = codes("matmul_q2").arg("na", n as u32).arg("nb", n as u32).arg("all", 2 * padded);
            let launch = launch.arg("wa", packed()).arg("wb", packed());
            launch.arg("a", run.zeros::<f32>(ROWS * n)).arg("b", &ys[4]).run().unwrap();
            let three: [Buffer<f32>; 3] = std::array::from_fn(|_| run.zeros::<f32>(ROWS * n));
            let launch = codes("matmul_q3").arg("na", n as u32).arg("nb", n as u32).arg("nc", n as u32);
            let launch =
                launch.arg("all", 3 * padded).arg("wa", packed()).arg("wb", packed()).arg("wc", packed());
            launch.arg("a", &three[0]).arg("b", &three[1]).arg("c", &three[2]).run().unwrap();
            let all = ys.iter().chain(&three);
            [bits(&q), bits(&scale)].into_iter().chain(all.map(bits)).collect()
        },
        |(w, x), out| {
            let code = |v: &f32| (v * STEP).round_ties_even() as i8;
            let q: Vec<i8> = x.iter().map(code).collect();
            exact(&out[0], &q);
            exact(&out[1], &[STEP; ROWS]);
            let row = |x: &[i8]| w.chunks(K).map(|w| int_dot(w, x) as f32 / STEP).collect::<Vec<f32>>();
            let y: Vec<f32> = q.chunks(K).flat_map(row).collect();
            let plus: Vec<f32> = y.iter().map(|v| v + 0.5).collect();
            for (found, expected) in [(2, &y), (3, &plus), (6, &y), (7, &y), (8, &y), (9, &y)] {
                exact(&out[found], expected);
            }
            // Sums of quarters are exact in any order.
            let dot = |w: &[i8], x: &[f32]| w.iter().zip(x).map(|(w, x)| f32::from(*w) * x).sum::<f32>();
            let row = |x: &[f32]| w.chunks(K).map(|w| dot(w, x)).collect::<Vec<f32>>();
            let y: Vec<f32> = x.chunks(K).flat_map(row).collect();
            exact(&out[4], &y);
            exact(&out[5], &y.iter().map(|v| v + 0.5).collect::<Vec<f32>>());
        },
    );
}

/// The elements of a `.npy` file of the digits network.
fn npy(file: &[u8], dtype: Dtype) -> Vec<u8> {
    let array = phalanx_npy::read(file).unwrap();
    assert_eq!(array.dtype, dtype);
    array.data
}

fn npy_f32(file: &[u8]) -> Vec<f32> {
    npy(file, Dtype::F32).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn as_i8(bytes: Vec<u8>) -> Vec<i8> {
    bytes.into_iter().map(|b| b as i8).collect()
}

/// Logits and classes of the first `rows` images.
fn read_digits(run: &Run, rows: usize) -> Vec<Bits> {
    use phalanx_programs::digits::{IMAGES, LAYERS};
    let images = as_i8(npy(IMAGES, Dtype::U8));
    let mut x = run.buffer(&images[..rows * 64]);
    let mut k = 64;
    for layer in LAYERS {
        let (scale, bias) = (npy_f32(layer.scale), npy_f32(layer.bias));
        let n = scale.len();
        let w = pack_t2(n, k, &as_i8(npy(layer.weights, Dtype::I8))).unwrap();
        let acc = run.zeros::<i32>(rows * n);
        let launch = run.launch("product").arg("x", &x).arg("w", w).arg("acc", &acc);
        launch.arg("rows", rows as u32).arg("n", n as u32).arg("k", k as u32).run().unwrap();
        let (scale, bias) = (run.buffer(&scale), run.buffer(&bias));
        let Some(inv_step) = layer.inv_step else {
            let (y, class) = (run.zeros::<f32>(rows * n), run.zeros::<u8>(rows));
            let launch = run.launch("logits").arg("acc", &acc).arg("scale", &scale).arg("bias", &bias);
            launch.arg("y", &y).arg("n", n as u32).run().unwrap();
            run.launch("classify").arg("y", &y).arg("class", &class).arg("n", n as u32).run().unwrap();
            return vec![bits(&y), bits(&class)];
        };
        x = run.zeros::<i8>(rows * n);
        let launch = run.launch("dense").arg("acc", &acc).arg("scale", &scale).arg("bias", &bias);
        launch.arg("q", &x).arg("n", n as u32).arg("inv_step", npy_f32(inv_step)[0]).run().unwrap();
        k = n;
    }
    unreachable!("the last layer has no step")
}

pub fn digits(program: &str) {
    use phalanx_programs::digits::{LABELS, LOGITS};
    check(
        program,
        [37, 360],
        |rows| rows,
        |run, rows| read_digits(run, *rows),
        |rows, out| {
            exact(&out[0], &npy_f32(LOGITS)[..rows * 10]);
            let labels = npy(LABELS, Dtype::U8);
            let right = out[1].iter().zip(&labels).filter(|(c, l)| **c == u64::from(**l)).count();
            match rows {
                360 => assert_eq!(right, 353),
                _ => assert!(right >= rows - 7),
            }
        },
    );
}
