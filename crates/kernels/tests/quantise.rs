//! The quantisation of activations against its definition, written out with the standard library's functions.

use phalanx_kernels::quantise;
use phalanx_simd::Tier;
use proptest::prelude::*;

fn check(row: &[f32]) {
    let largest = row.iter().fold(1e-5f64, |m, x| m.max(f64::from(x.abs())));
    let scale = (127.0 / largest) as f32;
    // A float to integer conversion holds to the range and takes NaN to 0.
    let expected: Vec<i8> = row.iter().map(|x| (x * scale).round_ties_even() as i8).collect();
    let sum: i32 = expected.iter().map(|c| i32::from(*c)).sum();
    for tier in Tier::available() {
        let mut codes = vec![55; row.len() + 1];
        let found = quantise(tier, row, &mut codes);
        assert_eq!(codes.pop(), Some(55), "{tier} writes beyond the row");
        assert_eq!(
            (found.scale.to_bits(), found.sum, &codes),
            (scale.to_bits(), sum, &expected),
            "{tier}: {row:?}"
        );
    }
}

proptest! {
    #[test]
    fn codes_are_those_of_the_definition(row in prop::collection::vec(-1e3f32..1e3, 0..200)) {
        check(&row);
    }

    #[test]
    fn any_bits_are_taken(row in prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..70)) {
        check(&row);
    }

    #[test]
    fn halves_go_to_the_even_neighbour(row in prop::collection::vec((-254i32..=254).prop_map(|x| x as f32 / 2.0), 1..70)) {
        let mut row = row;
        row.push(127.0);
        check(&row);
    }
}

#[test]
fn edges() {
    check(&[]);
    check(&[0.0, -0.0]);
    check(&[1e-6, -1e-6, 1e-40]);
    check(&[f32::INFINITY, 1.0, f32::NAN, -3.0]);
    check(&[f32::MAX, f32::MIN, 1.0]);
    check(&[-1.0, 0.5, 0.25, 0.003_937_008]);
}
