//! Programs that add to the resonance, against sums in whole numbers on the host.

use crate::support::{Bits, Rng, bits, check, exact};
use phalanx::{Boundary, LaunchClaims, Resonance, atlas};

const SIZES: [usize; 2] = [500, 30_000];

/// Both forms of the 96 entries.
fn entries(resonance: &Resonance) -> [Bits; 3] {
    let all = resonance.snapshot().0;
    let of = |f: fn(&phalanx::Entry) -> u64| all.iter().map(f).collect();
    [of(|e| e.float.to_bits()), of(|e| e.ratio.numerator() as u64), of(|e| e.ratio.denominator() as u64)]
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

pub fn atlas_resonance(program: &str) {
    const STEPS: u32 = 12;
    check(
        program,
        SIZES,
        // Whole numbers of 2^-20, so that i64 holds every sum in units of 2^-32.
        |n| {
            Rng(71)
                .floats(n, -1.0, 1.0)
                .into_iter()
                .map(|x| (f64::from(x) * 1048576.0).round() / 1048576.0)
                .collect()
        },
        |run, x: &Vec<f64>| {
            let (resonance, quiet) = (Resonance::new(), run.zeros::<u8>(x.len()));
            let launch = run.launch("atlas_resonance").arg("x", run.buffer(x)).arg("quiet", &quiet);
            launch.arg("steps", STEPS).resonance(&resonance).run().unwrap();
            // Once more: now it tests what the first launch left.
            let first = bits(&quiet);
            let launch = run.launch("atlas_resonance").arg("x", run.buffer(x)).arg("quiet", &quiet);
            launch.arg("steps", STEPS).resonance(&resonance).run().unwrap();
            let [floats, n, d] = entries(&resonance);
            vec![first, bits(&quiet), floats, n, d]
        },
        |x, out| {
            let (mut energy, mut visits) = ([0i64; 96], [0i64; 96]);
            for (i, x) in x.iter().enumerate() {
                let (mut class, mut state) = ((i / 64 % 96) as u8, i as u32);
                let whole = (x * 4_294_967_296.0) as i64;
                for step in 1..=STEPS {
                    energy[usize::from(class)] += whole >> step;
                    visits[usize::from(class)] += 1 << (STEPS - step);
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let ways = atlas::neighbours(class).unwrap();
                    class = ways.as_slice()[(state >> 16) as usize % ways.as_slice().len()];
                }
                energy[usize::from(class)] += whole >> STEPS;
                visits[usize::from(class)] += 1;
            }
            exact(&out[0], &vec![1u8; x.len()]);
            let calm = |i: usize| energy[i / 64 % 96].unsigned_abs() as f64 / 4_294_967_296.0 <= 1e-3;
            exact(&out[1], &(0..x.len()).map(|i| u8::from(calm(i))).collect::<Vec<_>>());
            // Two launches; all sums are f64 exactly.
            exact(&out[2], &energy.map(|e| 2.0 * e as f64 / 4_294_967_296.0));
            let whole = 1i64 << STEPS;
            exact(&out[3], &visits.map(|v| 2 * v / gcd(2 * v, whole)));
            exact(&out[4], &visits.map(|v| whole / gcd(2 * v, whole)));
        },
    );
}

pub fn atlas_balance(program: &str) {
    check(
        program,
        [7, 256],
        |n| {
            let mut rng = Rng(72);
            (0..n).map(|_| rng.below(1 << 40) as i64 - (1 << 39)).collect::<Vec<i64>>()
        },
        |run, x| {
            const BLOCKS: usize = 150;
            let (resonance, pool) = (Resonance::new(), Boundary::new(&run.cpu).unwrap());
            let launch = run.kernel("atlas_balance").launch(BLOCKS, x.len());
            let claims = LaunchClaims { neutral: true, ..LaunchClaims::default() };
            let launch = launch.arg("x", run.buffer(x)).arg("pool", &pool);
            let report = launch.resonance(&resonance).claims(claims).run_report().unwrap();
            assert!(report.change.unwrap().is_neutral());
            let [floats, n, d] = entries(&resonance);
            vec![floats, n, d, bits(pool.buffer())]
        },
        |x, out| {
            let total: i64 = x.iter().sum();
            // Class c gives what its blocks have and gets what its mirror's have.
            let blocks = |c: usize| if c < 150 - 96 { 2 } else { 1 };
            let mirror = |c: usize| usize::from(atlas::mirror(c as u8).unwrap());
            let expected: Vec<i64> = (0..96).map(|c| total * (blocks(mirror(c)) - blocks(c))).collect();
            exact(&out[0], &expected.iter().map(|e| *e as f64).collect::<Vec<_>>());
            exact(&out[1], &expected);
            exact(&out[2], &[1i64; 96]);
            let mut pool = vec![0u8; atlas::PHI_SIZE as usize];
            for c in 0..96u8 {
                let page = atlas::mirror(c).unwrap() % 48;
                (0..x.len()).for_each(|i| pool[atlas::phi_address(c, page, i as u8).unwrap() as usize] = 1);
            }
            exact(&out[3], &pool);
        },
    );
}
