//! Attention: every SIMD level gives the bits of the plain reference, and rows together those of rows alone.

use phalanx_kernels::{Attention, Panels, Rows, Tier, Tile, attend, reference};
use phalanx_simd::half::{f32_to_bf16, f32_to_f16};

/// Numbers of both signs, an infinity and a NaN now and then.
fn numbers(n: usize, seed: u64, odd: bool) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let number = |_| match next() {
        r if odd && r % 1997 == 0 => f32::NAN,
        r if odd && r % 1991 == 0 => f32::INFINITY,
        r if odd && r % 1987 == 0 => f32::NEG_INFINITY,
        r => (r as f32 / (1u32 << 30) as f32) - 1.0,
    };
    (0..n).map(number).collect()
}

/// `m` rows of an output.
fn tile(o: &mut [f32], m: usize, cols: usize, stride: usize) -> Tile<'_, f32> {
    Tile::new(o, m, cols, stride).unwrap()
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

/// Rows, heads, elements, keys of the first row.
const SHAPES: [(usize, usize, usize, usize); 8] = [
    (1, 1, 1, 1),
    (1, 4, 64, 65),
    (1, 3, 70, 130),
    (2, 2, 5, 63),
    (7, 1, 128, 64),
    (17, 2, 32, 1),
    (9, 3, 65, 200),
    (3, 2, 4, 0),
];

#[test]
fn all_levels_agree_with_the_reference() {
    for (odd, scale) in [(false, 1.0), (true, 0.3), (false, -2.5)] {
        for (m, heads, dim, keys) in SHAPES {
            let most = keys + m - 1;
            let (stride, ldv) = (heads * dim + 3, 64 * most + 5);
            let (key_len, panels) = (64 * dim * most.div_ceil(64), dim.div_ceil(64));
            let q = numbers(m * stride, 3, odd);
            let (k, v) = (numbers(key_len, 4, odd), numbers(panels * ldv, 5, odd));
            let halves = [f32_to_f16, f32_to_bf16].map(|f| {
                let all = |x: &[f32]| x.iter().map(|v| f(*v)).collect::<Vec<u16>>();
                (all(&k), all(&v))
            });
            let [f16, bf16] = &halves;
            fn rows<T>(x: &[T], rows: usize, cols: usize, stride: usize) -> Rows<'_, T> {
                Rows::new(x, rows, cols, stride).unwrap()
            }
            let forms = [
                (Panels::F32(rows(&k, 1, key_len, 0)), Panels::F32(rows(&v, panels, 64 * most, ldv))),
                (Panels::F16(rows(&f16.0, 1, key_len, 0)), Panels::F16(rows(&f16.1, panels, 64 * most, ldv))),
                (
                    Panels::Bf16(rows(&bf16.0, 1, key_len, 0)),
                    Panels::Bf16(rows(&bf16.1, panels, 64 * most, ldv)),
                ),
            ];
            for (k, v) in forms {
                let q = Rows::new(&q, m, heads * dim, stride).unwrap();
                let a = Attention { q, k, v, heads, dim, keys, scale };
                let mut expected = vec![9.0; m * stride];
                reference::attend(a, tile(&mut expected, m, heads * dim, stride)).unwrap();
                if !odd && keys > 0 {
                    let inside = expected.chunks(stride).flat_map(|row| &row[..heads * dim]);
                    assert!(inside.clone().all(|v| v.abs() <= 1.001), "a mean of values below 1");
                }
                for tier in Tier::available() {
                    let (mut o, mut scratch) = (vec![9.0; m * stride], Vec::new());
                    attend(tier, a, tile(&mut o, m, heads * dim, stride), &mut scratch).unwrap();
                    assert_eq!(bits(&o), bits(&expected), "{tier} {m} {heads} {dim} {keys}");
                }
            }
        }
    }
}

#[test]
fn rows_do_not_see_what_stands_after_them() {
    let (m, heads, dim, keys) = (13, 2, 66, 60);
    let most = keys + m - 1;
    let q = numbers(m * heads * dim, 1, false);
    let (k, mut v) = (numbers(64 * dim * 2, 2, false), numbers(2 * 64 * most, 3, false));
    // Not even where that is infinite, or a value that a weight of 0 would turn around.
    for panel in v.chunks_mut(64 * most) {
        panel[64 * (most - 1)..].fill(f32::INFINITY);
        panel[64 * (most - 2)..64 * (most - 1)].fill(-0.0);
    }
    let call = |first: usize, rows: usize| {
        let keys = keys + first;
        let most = keys + rows - 1;
        let len = 64 * dim * most.div_ceil(64);
        let a = Attention {
            q: Rows::new(&q[first * heads * dim..], rows, heads * dim, heads * dim).unwrap(),
            k: Panels::F32(Rows::new(&k, 1, len, len).unwrap()),
            v: Panels::F32(Rows::new(&v, 2, 64 * most, 64 * (60 + 12)).unwrap()),
            heads,
            dim,
            keys,
            scale: 0.5,
        };
        let mut o = vec![0.0; rows * heads * dim];
        let tile = Tile::new(&mut o, rows, heads * dim, heads * dim).unwrap();
        attend(Tier::best(), a, tile, &mut Vec::new()).unwrap();
        bits(&o)
    };
    let whole = call(0, m);
    for piece in [1, 2, 5] {
        let parts: Vec<u32> =
            (0..m).step_by(piece).flat_map(|from| call(from, piece.min(m - from))).collect();
        assert_eq!(parts, whole, "pieces of {piece}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (q, k, v) = ([0f32; 8], [0f32; 512], [0f32; 256]);
    let halves = [0u16; 256];
    let rows = |x| Rows::new(x, 1, 4, 4).unwrap();
    let keys = |n: usize| Panels::F32(Rows::new(&k, 1, n, n).unwrap());
    let values = |n: usize, len: usize| Panels::F32(Rows::new(&v, n, len, len).unwrap());
    let good =
        Attention { q: rows(&q), k: keys(256), v: values(1, 128), heads: 1, dim: 4, keys: 2, scale: 1.0 };
    let run = |a, cols| {
        let mut o = [0f32; 8];
        let tile = Tile::new(&mut o, 1, cols, cols).unwrap();
        attend(Tier::Scalar, a, tile, &mut Vec::new()).map_err(|e| e.to_string())
    };
    assert_eq!(run(good, 4), Ok(()));
    assert!(run(good, 3).is_err(), "an output that is too narrow");
    assert!(run(Attention { k: keys(255), ..good }, 4).is_err(), "keys that are missing");
    assert!(run(Attention { v: values(1, 64), ..good }, 4).is_err(), "a value that is missing");
    assert!(run(Attention { v: values(2, 128), ..good }, 4).is_err(), "a panel too many");
    assert!(run(Attention { heads: 2, ..good }, 4).is_err(), "queries of another width");
    let mixed = Panels::F16(Rows::new(&halves, 1, 128, 128).unwrap());
    assert!(run(Attention { v: mixed, ..good }, 4).is_err(), "two types");
}
