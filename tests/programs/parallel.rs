//! References of the programs about cooperation between lanes and blocks, simulation, and irregular work. Bit for bit, except
//! the integral.

use crate::support::{Rng, bits, check, exact};
use phalanx_atlas as atlas;

const SIZES: [usize; 2] = [3001, 120_001];

fn words(n: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng(seed);
    (0..n).map(|_| rng.next() as u32).collect()
}

fn prefix(x: &[u32]) -> Vec<u32> {
    let next = |s: &mut u32, v: &u32| {
        *s = s.wrapping_add(*v);
        Some(*s)
    };
    x.iter().scan(0, next).collect()
}

pub fn scan(program: &str) {
    check(
        program,
        SIZES,
        |n| words(n, 51),
        |run, x| {
            let (y, total) = (run.zeros::<u32>(x.len()), run.zeros::<u32>(x.len().div_ceil(256)));
            run.launch("scan_blocks")
                .arg("x", run.buffer(x))
                .arg("y", &y)
                .arg("total", &total)
                .run()
                .unwrap();
            run.launch("scan_totals").arg("total", &total).run().unwrap();
            run.launch("scan_add").arg("y", &y).arg("total", &total).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| exact(&out[0], &prefix(x)),
    );
}

pub fn scan_chained(program: &str) {
    check(
        program,
        SIZES,
        |n| words(n, 52),
        |run, x| {
            let blocks = x.len().div_ceil(256);
            let (y, sum, flag) =
                (run.zeros::<u32>(x.len()), run.zeros::<u32>(blocks), run.zeros::<u32>(blocks));
            let launch = run.launch("scan_chained").arg("x", run.buffer(x)).arg("y", &y);
            launch.arg("sum", &sum).arg("flag", &flag).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| exact(&out[0], &prefix(x)),
    );
}

pub fn histogram(program: &str) {
    check(
        program,
        SIZES,
        |n| words(n, 53).iter().map(|v| (v % 251) as u8).collect::<Vec<u8>>(),
        |run, x| {
            let bins = run.zeros::<u32>(256);
            run.launch("histogram").arg("x", run.buffer(x)).arg("bins", &bins).run().unwrap();
            vec![bits(&bins)]
        },
        |x, out| {
            let mut bins = vec![0u32; 256];
            x.iter().for_each(|v| bins[usize::from(*v)] += 1);
            exact(&out[0], &bins);
        },
    );
}

pub fn bitonic_sort(program: &str) {
    check(
        program,
        SIZES,
        |n| words(n, 54),
        |run, x| {
            let x = run.buffer(x);
            run.launch("bitonic_sort").arg("x", &x).run().unwrap();
            vec![bits(&x)]
        },
        |x, out| {
            let mut y = x.clone();
            y.chunks_mut(512).for_each(<[u32]>::sort_unstable);
            exact(&out[0], &y);
        },
    );
}

pub fn nbody(program: &str) {
    check(
        program,
        [300, 1100],
        |n| (Rng(55).floats(4 * n, 0.5, 9.0), Rng(56).floats(4 * n, -1.0, 1.0)),
        |run, (body, speed)| {
            let (speed, next) = (run.buffer(speed), run.zeros::<f32>(body.len()));
            let launch = run.launch("nbody").arg("body", run.buffer(body)).arg("speed", &speed);
            launch.arg("next", &next).arg("dt", 0.01f32).arg("eps2", 0.05f32).run().unwrap();
            vec![bits(&speed), bits(&next)]
        },
        |(body, speed), out| {
            let (mut v, mut next) = (speed.clone(), body.clone());
            for (i, p) in body.chunks(4).enumerate() {
                let mut a = [0f32; 3];
                for q in body.chunks(4) {
                    let d: [f32; 3] = std::array::from_fn(|c| q[c] - p[c]);
                    let r2 = d.iter().fold(0.05f32, |s, d| d.mul_add(*d, s));
                    let pull = q[3] / (r2 * r2.sqrt());
                    a = std::array::from_fn(|c| pull.mul_add(d[c], a[c]));
                }
                for c in 0..3 {
                    v[4 * i + c] = 0.01f32.mul_add(a[c], v[4 * i + c]);
                    next[4 * i + c] = 0.01f32.mul_add(v[4 * i + c], p[c]);
                }
            }
            exact(&out[0], &v);
            exact(&out[1], &next);
        },
    );
}

pub fn mandelbrot(program: &str) {
    const LIMIT: u32 = 60;
    check(
        program,
        [37, 350],
        |width| (width, width * 5 / 6, 3.0 / width as f32),
        |run, (width, height, pitch)| {
            let steps = run.zeros::<u32>(width * height);
            let launch = run.launch("mandelbrot").arg("steps", &steps).arg("width", *width as u32);
            let launch = launch.arg("height", *height as u32).arg("left", -2.2f32).arg("top", 1.25f32);
            launch.arg("pitch", *pitch).arg("limit", LIMIT).run().unwrap();
            vec![bits(&steps)]
        },
        |(width, height, pitch), out| {
            let steps = |i: usize| {
                let (cr, ci) = ((i % width) as f32 * pitch + -2.2, 1.25 - (i / width) as f32 * pitch);
                let (mut zr, mut zi, mut n) = (0f32, 0f32, 0);
                while n < LIMIT && zr * zr + zi * zi <= 4.0 {
                    let t = zi * zr;
                    (zr, zi) = (zr * zr - zi * zi + cr, t + t + ci);
                    n += 1;
                }
                n
            };
            exact(&out[0], &(0..width * height).map(steps).collect::<Vec<u32>>());
        },
    );
}

pub fn stencil1d(program: &str) {
    check(
        program,
        SIZES,
        |n| Rng(57).floats(n, -1.0, 1.0),
        |run, x| {
            let y = run.zeros::<f32>(x.len());
            run.launch("stencil1d").arg("x", run.buffer(x)).arg("y", &y).run().unwrap();
            vec![bits(&y)]
        },
        |x, out| {
            let cell = |i: usize| {
                let (a, c) = (x[i.saturating_sub(1)], x[(i + 1).min(x.len() - 1)]);
                (2f32.mul_add(x[i], a) + c) * 0.25
            };
            exact(&out[0], &(0..x.len()).map(cell).collect::<Vec<_>>());
        },
    );
}

pub fn stencil2d(program: &str) {
    check(
        program,
        [41, 331],
        |rows| (Rng(58).floats(rows * (rows + 7), -1.0, 1.0), rows, rows + 7),
        |run, (x, rows, cols)| {
            let y = run.zeros::<f32>(x.len());
            let launch = run.launch("stencil2d").arg("x", run.buffer(x)).arg("y", &y);
            launch.arg("rows", *rows as u32).arg("cols", *cols as u32).arg("r", 0.2f32).run().unwrap();
            vec![bits(&y)]
        },
        |(x, rows, cols), out| {
            let cell = |i: usize| {
                let (r, c) = (i / cols, i % cols);
                if r == 0 || c == 0 || r + 1 == *rows || c + 1 == *cols {
                    return x[i];
                }
                let around = x[i - 1] + x[i + 1] + x[i - cols] + x[i + cols];
                0.2f32.mul_add((-4f32).mul_add(x[i], around), x[i])
            };
            exact(&out[0], &(0..x.len()).map(cell).collect::<Vec<_>>());
        },
    );
}

pub fn kmeans(program: &str) {
    const K: usize = 7;
    const DIM: usize = 3;
    check(
        program,
        [900, 34_001],
        |n| (Rng(59).floats(n * DIM, -8.0, 8.0), Rng(60).floats(K * DIM, -8.0, 8.0)),
        |run, (point, centre)| {
            let n = point.len() / DIM;
            let (owner, centre) = (run.zeros::<u32>(n), run.buffer(centre));
            let (sum, count) = (run.zeros::<i64>(K * DIM), run.zeros::<u32>(K));
            let launch = run.launch("assign").arg("point", run.buffer(point)).arg("centre", &centre);
            let launch = launch.arg("owner", &owner).arg("sum", &sum).arg("count", &count);
            launch.arg("dim", DIM as u32).run().unwrap();
            let launch = run.launch("move").arg("centre", &centre).arg("sum", &sum).arg("count", &count);
            launch.arg("dim", DIM as u32).run().unwrap();
            vec![bits(&owner), bits(&count), bits(&centre)]
        },
        |(point, centre), out| {
            let (mut sum, mut count) = (vec![0i64; K * DIM], vec![0u32; K]);
            let mut owner = Vec::new();
            for p in point.chunks(DIM) {
                let distance = |c: &[f32]| p.iter().zip(c).fold(0f32, |s, (a, b)| (a - b).mul_add(a - b, s));
                let mut best = (0, f32::INFINITY);
                for (c, at) in centre.chunks(DIM).map(distance).enumerate() {
                    if at < best.1 {
                        best = (c, at);
                    }
                }
                owner.push(best.0 as u32);
                count[best.0] += 1;
                for d in 0..DIM {
                    sum[best.0 * DIM + d] += (p[d] * 16_777_216.0).round_ties_even() as i64;
                }
            }
            let moved = |i: usize| match count[i / DIM] {
                0 => centre[i],
                c => (sum[i] as f64 / f64::from(c) / 16_777_216.0) as f32,
            };
            exact(&out[0], &owner);
            exact(&out[1], &count);
            exact(&out[2], &(0..K * DIM).map(moved).collect::<Vec<_>>());
        },
    );
}

pub fn atlas_walk(program: &str) {
    const STEPS: u32 = 30;
    check(
        program,
        SIZES,
        |n| words(n, 61).iter().map(|v| *v as u8).collect::<Vec<u8>>(),
        |run, x| {
            let (place, visits) = (run.zeros::<u32>(x.len()), run.zeros::<u32>(96));
            let unity = run.zeros::<u32>(1);
            let launch = run.launch("atlas_walk").arg("x", run.buffer(x)).arg("place", &place);
            launch.arg("visits", &visits).arg("unity", &unity).arg("steps", STEPS).phase(700).run().unwrap();
            vec![bits(&place), bits(&visits), bits(&unity)]
        },
        |x, out| {
            let (mut visits, mut unity) = (vec![0u32; 96], 0u32);
            let mut walk = |(i, byte): (usize, &u8)| {
                let mut class = atlas::classify(*byte);
                let (mut state, mut phase) = (i as u32, (700 + i / 64) % 768);
                for _ in 0..STEPS {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let ways = atlas::neighbours(class).unwrap();
                    let ways = ways.as_slice();
                    class = ways[(state >> 16) as usize % ways.len()];
                    phase = (phase + 97) % 768;
                    if phase < 384 {
                        class = ((class / 3) ^ 1) * 3 + class % 3;
                    }
                    visits[usize::from(class)] += 1;
                    unity += u32::from(class == 1 || class == 4);
                }
                12_288 * u32::from(class) + 256 * (i as u32 % 48) + u32::from(*byte)
            };
            let place: Vec<u32> = x.iter().enumerate().map(&mut walk).collect();
            exact(&out[0], &place);
            exact(&out[1], &visits);
            exact(&out[2], &[unity]);
        },
    );
}

pub fn binomial(program: &str) {
    check(
        program,
        [200, 3001],
        |n| words(n, 62).iter().map(|v| v % 40).collect::<Vec<u32>>(),
        |run, n| {
            let middle = run.zeros::<u64>(n.len());
            run.launch("binomial").arg("n", run.buffer(n)).arg("middle", &middle).run().unwrap();
            vec![bits(&middle)]
        },
        |n, out| {
            let choose = |n: u64| (1..=n / 2).fold(1u64, |c, i| c * (n + 1 - i) / i);
            exact(&out[0], &n.iter().map(|n| choose(u64::from(*n))).collect::<Vec<_>>());
        },
    );
}

/// The integral of exp(-t^2) by Simpson's rule on 4000 pieces.
fn area(a: f64, b: f64) -> f64 {
    let (n, f) = (4000, |t: f64| (-t * t).exp());
    let h = (b - a) / f64::from(n);
    let weight = |i: i32| if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i & 1)) };
    (0..=n).map(|i| weight(i) * f(a + h * f64::from(i))).sum::<f64>() * h / 3.0
}

pub fn integrate(program: &str) {
    check(
        program,
        [70, 700],
        |n| {
            let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
            (wide(Rng(63).floats(n, -3.0, 1.0)), wide(Rng(64).floats(n, 0.0, 4.0)))
        },
        |run, (from, to)| {
            let area = run.zeros::<f64>(from.len());
            let launch = run.launch("integrate").arg("from", run.buffer(from)).arg("to", run.buffer(to));
            launch.arg("area", &area).arg("tolerance", 1e-9f64).run().unwrap();
            vec![bits(&area)]
        },
        |(from, to), out| {
            for (i, found) in out[0].iter().enumerate() {
                let off = f64::from_bits(*found) - area(from[i], to[i]);
                assert!(off.abs() < 2e-9, "from {} to {}: off by {off}", from[i], to[i]);
            }
        },
    );
}
