//! Products with a matrix in panels: every SIMD level gives the bits of the plain reference.

use phalanx_kernels::{Panels, Rows, Tier, Tile, matmul_panels, reference};
use phalanx_simd::half::{f32_to_bf16, f32_to_f16};

/// Numbers of both signs, an infinity and a NaN now and then.
fn numbers(n: usize, seed: u64, odd: bool) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let number = |_| match next() {
        r if odd && r % 997 == 0 => f32::NAN,
        r if odd && r % 991 == 0 => f32::INFINITY,
        r => (r as f32 / (1u32 << 30) as f32) - 1.0,
    };
    (0..n).map(number).collect()
}

#[test]
fn all_levels_agree_with_the_reference() {
    for odd in [false, true] {
        for (m, n, k, more) in [
            (1usize, 1usize, 1usize, 0),
            (1, 64, 7, 3),
            (3, 65, 33, 0),
            (4, 130, 128, 64),
            (17, 200, 5, 1),
            (2, 64, 0, 0),
        ] {
            let (panels, width) = (n.div_ceil(64), 64 * k);
            let stride = width + more;
            let values = numbers(panels * stride + width, 7, odd);
            let x = numbers(m * (k + 1) + k, 8, odd);
            let halves: [Vec<u16>; 2] =
                [f32_to_f16, f32_to_bf16].map(|f| values.iter().map(|v| f(*v)).collect());
            let rows = Rows::new(&x, m, k, k + 1).unwrap();
            let forms = [
                Panels::F32(Rows::new(&values, panels, width, stride).unwrap()),
                Panels::F16(Rows::new(&halves[0], panels, width, stride).unwrap()),
                Panels::Bf16(Rows::new(&halves[1], panels, width, stride).unwrap()),
            ];
            for b in forms {
                let tile = |y: &mut Vec<f32>| y.iter_mut().for_each(|v| *v = 9.0);
                let mut expected = vec![0.0; m * (n + 2)];
                tile(&mut expected);
                reference::matmul_panels(b, rows, Tile::new(&mut expected, m, n, n + 2).unwrap()).unwrap();
                for tier in Tier::available() {
                    let mut y = vec![0.0; m * (n + 2)];
                    tile(&mut y);
                    matmul_panels(tier, b, rows, Tile::new(&mut y, m, n, n + 2).unwrap()).unwrap();
                    let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&y), bits(&expected), "{tier} {m} {n} {k}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (b, x, mut y) = ([0f32; 256], [0f32; 4], [0f32; 65]);
    let panels = |rows, cols| Panels::F32(Rows::new(&b, rows, cols, cols).unwrap());
    let mut refused = |b, m, n| {
        let x = Rows::new(&x, m, 2, 2).unwrap();
        matmul_panels(Tier::Scalar, b, x, Tile::new(&mut y, 1, n, n).unwrap()).is_err()
    };
    assert!(!refused(panels(1, 128), 1, 64));
    assert!(refused(panels(1, 128), 1, 65), "a panel is missing");
    assert!(refused(panels(1, 64), 1, 64), "a panel is short");
    assert!(refused(panels(1, 128), 2, 64), "more rows than outputs");
}
