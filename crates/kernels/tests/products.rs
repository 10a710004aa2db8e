//! Every body against the plain products: random shapes with tails, every layout, every level of this machine, the same bits.

use phalanx_kernels::*;
use phalanx_simd::Tier;
use phalanx_simd::half::f32_to_f16;
use proptest::prelude::*;

/// Xorshift: random enough, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// A float of ordinary size.
    fn float(&mut self) -> f32 {
        (self.next() as i32 as f32) / 1e9
    }
    fn half(&mut self, format: PackedFormat) -> u16 {
        match format {
            PackedFormat::Bf16 => (self.float().to_bits() >> 16) as u16,
            _ => f32_to_f16(self.float()),
        }
    }
}

/// What the integers and activations of a case look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Random,
    /// Everything at its largest.
    Highest,
    /// Everything at its smallest.
    Lowest,
    /// Weights at one end, activations at the other.
    Opposed,
}

fn pick(kind: Kind, low: i8, high: i8, random: u64, weight: bool) -> i8 {
    match (kind, weight) {
        (Kind::Random, _) => {
            (i64::from(low) + (random % (i64::from(high) - i64::from(low) + 1) as u64) as i64) as i8
        }
        (Kind::Highest, _) | (Kind::Opposed, true) => high,
        (Kind::Lowest, _) | (Kind::Opposed, false) => low,
    }
}

/// The values of an integer layout.
fn range(format: PackedFormat) -> (i8, i8) {
    match format {
        PackedFormat::T2 | PackedFormat::T3 | PackedFormat::T2Blocks => (-1, 1),
        PackedFormat::Q4_0 => (-8, 7),
        _ => (-128, 127),
    }
}

fn weights(format: PackedFormat, n: usize, k: usize, kind: Kind, random: &mut Random) -> PackedWeights {
    let (low, high) = range(format);
    let packed = match format {
        PackedFormat::F32 => PackedWeights::pack_f32(n, k, |_, out| out.fill_with(|| random.float())),
        PackedFormat::F16 | PackedFormat::Bf16 => {
            PackedWeights::pack_half(format, n, k, |_, out| out.fill_with(|| random.half(format)))
        }
        _ if format.block().is_some() => PackedWeights::pack_blocks(format, n, k, |_, out, scales| {
            out.fill_with(|| pick(kind, low, high, random.next(), true));
            scales.fill_with(|| random.half(PackedFormat::F16));
        }),
        _ => {
            let scales = match random.next() % 3 {
                0 => Scales::None,
                1 => Scales::Tensor(random.float()),
                _ => Scales::Rows((0..n).map(|_| random.float()).collect()),
            };
            PackedWeights::pack(format, n, k, scales, |_, out| {
                out.fill_with(|| pick(kind, low, high, random.next(), true));
            })
        }
    };
    packed.expect("it fits")
}

/// One product in all levels against the plain one: whole and as tiles.
fn compare(format: PackedFormat, (m, n, k): (usize, usize, usize), kind: Kind, seed: u64) {
    let mut random = Random(seed | 1);
    let w = weights(format, n, k, kind, &mut random);
    let stride = k + random.next() as usize % 5;
    let codes: Vec<i8> = (0..m * stride).map(|_| pick(kind, -128, 127, random.next(), false)).collect();
    let values: Vec<f32> = (0..m * stride).map(|_| random.float()).collect();
    let divisors: Vec<f32> = (0..m).map(|_| random.float().abs() + 0.5).collect();
    let bias: Vec<f32> = (0..n).map(|_| random.float()).collect();
    let bias = (random.next().is_multiple_of(2)).then_some(&bias[..]);
    let x = if format.is_float() {
        Input::Floats(Rows::new(&values, m, k, stride).expect("shape"))
    } else {
        let scales = (random.next().is_multiple_of(2)).then_some(&divisors[..]);
        Input::Codes { rows: Rows::new(&codes, m, k, stride).expect("shape"), scales }
    };
    use Activation::*;
    let activation = [None, Relu, ReluSquared, Silu, Gelu][random.next() as usize % 5];
    let sums = !format.is_float() && format.block().is_none();
    let first = random.next() as usize % (n + 1);
    let count = random.next() as usize % (n - first + 1);
    let ldy = count + 3;
    let run = |f: &mut dyn FnMut(Output<'_>)| -> (Vec<u32>, Vec<i32>) {
        let mut floats = vec![-7.0f32; m * ldy];
        let tile = Tile::new(&mut floats, m, count, ldy).expect("shape");
        f(Output::Floats { tile, bias, activation });
        let mut ints = vec![-7; m * ldy];
        if sums {
            f(Output::Sums(Tile::new(&mut ints, m, count, ldy).expect("shape")));
        }
        (floats.iter().map(|v| v.to_bits()).collect(), ints)
    };
    let expected = run(&mut |y| reference::matmul(&w, first, x, y).expect("fits"));
    let mut scratch = Scratch::new();
    for tier in Tier::available() {
        let found = run(&mut |y| matmul(tier, &w, first, x, y, &mut scratch).expect("fits"));
        assert!(
            found == expected,
            "{tier}: {format} {m} x {n} x {k}, rows {first}.. ({count}), {kind:?}, seed {seed}"
        );
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Random),
        1 => Just(Kind::Highest),
        1 => Just(Kind::Lowest),
        1 => Just(Kind::Opposed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn bodies_agree_with_plain_products(
        format in prop::sample::select(PackedFormat::ALL),
        m in prop_oneof![3 => 0usize..14, 1 => 14usize..40],
        n in 0usize..150,
        k in prop_oneof![0usize..70, 70usize..600],
        kind in kinds(),
        seed: u64,
    ) {
        compare(format, (m, n, k), kind, seed);
    }
}

/// Every number of rows that a register tile has, by shapes that are empty, single, prime, whole stripes and one beside them.
#[test]
fn every_tile_height_at_the_edges() {
    let mut seed = 3;
    for format in PackedFormat::ALL.iter().copied() {
        for m in (0..=9).chain([11, 12, 13, 23]) {
            for (n, k) in [(0, 5), (7, 0), (1, 1), (61, 17), (64, 256), (65, 263), (131, 31)] {
                seed += 2;
                compare(format, (m, n, k), Kind::Random, seed);
            }
        }
    }
}

/// Each code that a layout has by activations at and between their ends, against the product of two numbers.
#[test]
fn every_code_of_every_layout() {
    let values = [-128i8, -127, -64, -1, 0, 1, 2, 63, 64, 100, 126, 127];
    for format in PackedFormat::ALL.iter().copied().filter(|f| !f.is_float()) {
        let (low, high) = range(format);
        let (n, k) = ((i32::from(high) - i32::from(low) + 1) as usize, 37);
        let code = |row: usize| (i32::from(low) + row as i32) as i8;
        let w = if format.block().is_some() {
            PackedWeights::pack_blocks(format, n, k, |row, out, scales| {
                out.fill(code(row));
                scales.fill(0x3c00);
            })
        } else {
            PackedWeights::pack(format, n, k, Scales::None, |row, out| out.fill(code(row)))
        };
        let w = w.expect("it fits");
        for m in 1..=values.len() {
            let rows: Vec<i8> = values[..m].iter().flat_map(|v| [*v; 37]).collect();
            for tier in Tier::available() {
                let mut y = vec![0f32; m * n];
                let x = Input::Codes { rows: Rows::new(&rows, m, k, k).expect("shape"), scales: None };
                let tile = Tile::new(&mut y, m, n, n).expect("shape");
                let out = Output::Floats { tile, bias: None, activation: Activation::None };
                matmul(tier, &w, 0, x, out, &mut Scratch::new()).expect("fits");
                for (i, y) in y.iter().enumerate() {
                    let exact = 37 * i32::from(values[i / n]) * i32::from(code(i % n));
                    assert_eq!(*y, exact as f32, "{tier} {format}: {} by {}", values[i / n], code(i % n));
                }
            }
        }
    }
}

/// Shapes that random ones meet too seldom: long sums that must be flushed or divided, at the extremes.
#[test]
fn long_sums_at_the_extremes() {
    for format in PackedFormat::ALL.iter().copied() {
        for kind in [Kind::Highest, Kind::Lowest, Kind::Opposed, Kind::Random] {
            for (m, k) in [(1, 40_001), (3, 9_000), (13, 2_100)] {
                compare(format, (m, 3, k), kind, 77);
            }
        }
    }
}

#[test]
fn tiles_of_any_plan_make_the_same_output() {
    let mut random = Random(5);
    let (m, n, k) = (30, 200, 77);
    for format in PackedFormat::ALL.iter().copied() {
        let w = weights(format, n, k, Kind::Random, &mut random);
        let codes: Vec<i8> = (0..m * k).map(|_| random.next() as i8).collect();
        let values: Vec<f32> = (0..m * k).map(|_| random.float()).collect();
        let input = |from: usize, to: usize| match format.is_float() {
            true => Input::Floats(Rows::new(&values, m, k, k).unwrap().range(from, to)),
            false => Input::Codes { rows: Rows::new(&codes, m, k, k).unwrap().range(from, to), scales: None },
        };
        let mut results = Vec::new();
        for split in [Split::None, Split::Weights, Split::Activations, Split::Both] {
            let plan = Plan::with(split, m, n, 3);
            let mut y = vec![0f32; m * n];
            for i in 0..plan.len() {
                let p = plan.part(i);
                let (_, tile) = Tile::new(&mut y, m, n, n).unwrap().split_rows(p.row);
                let (tile, _) = tile.split_rows(p.rows);
                let (_, tile) = tile.split_cols(p.first);
                let (tile, _) = tile.split_cols(p.count);
                let y = Output::Floats { tile, bias: None, activation: Activation::None };
                matmul(Tier::best(), &w, p.first, input(p.row, p.row + p.rows), y, &mut Scratch::new())
                    .unwrap();
            }
            results.push(y);
        }
        assert!(results.windows(2).all(|r| r[0] == r[1]), "{format}");
    }
}

#[test]
fn wrong_calls_are_answered_with_the_reason() {
    let w = pack_t2(3, 4, &[0; 12]).unwrap();
    let codes = [0i8; 8];
    let x = Input::Codes { rows: Rows::new(&codes, 2, 4, 4).unwrap(), scales: None };
    let mut out = [0i32; 8];
    let mut call = |first: usize, x: Input<'_>, rows: usize, cols: usize| {
        let y = Output::Sums(Tile::new(&mut out, rows, cols, cols).unwrap());
        matmul(Tier::best(), &w, first, x, y, &mut Scratch::new()).map_err(|e| e.to_string())
    };
    assert_eq!(call(0, x, 2, 3), Ok(()));
    assert_eq!(call(1, x, 2, 3), Err("weight rows 1.. (3) of 3".into()));
    assert_eq!(call(0, x, 1, 3), Err("the output has 1, not 2".into()));
    let narrow = Input::Codes { rows: Rows::new(&codes, 2, 3, 4).unwrap(), scales: None };
    assert_eq!(call(0, narrow, 2, 3), Err("a row of activations has 3, not 4".into()));
    let floats = [0f32; 8];
    let floats = Input::Floats(Rows::new(&floats, 2, 4, 4).unwrap());
    assert_eq!(call(0, floats, 2, 3), Err("weights of layout t2 are multiplied with 8-bit codes".into()));
    let half = PackedWeights::pack_half(PackedFormat::F16, 3, 4, |_, out| out.fill(0)).unwrap();
    let y = Output::Sums(Tile::new(&mut out, 2, 3, 3).unwrap());
    let error = matmul(Tier::best(), &half, 0, floats, y, &mut Scratch::new()).unwrap_err().to_string();
    assert_eq!(error, "f16 has a scale per block or is of floats: its products are no integers");
    let missing = Tier::ALL.iter().copied().find(|t| !t.is_available()).expect("no machine has every level");
    let y = Output::Sums(Tile::new(&mut out, 2, 3, 3).unwrap());
    let error = matmul(missing, &w, 0, x, y, &mut Scratch::new()).unwrap_err().to_string();
    assert_eq!(error, format!("this machine has no {missing}"));
}
