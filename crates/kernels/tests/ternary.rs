//! Packing and the ternary product of one row against plain sums.

use phalanx_kernels::{
    Input, MAX_K, Output, PackError, PackedFormat, PackedWeights, Rows, Scratch, Tier, Tile, matmul, pack_t2,
};

/// Xorshift: random enough, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn weights(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| (self.next() % 3) as i8 - 1).collect()
    }
    fn activations(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.next() as i8).collect()
    }
}

/// `sums.len()` weight rows from `n0` times one row of activations.
fn ternary_rows(w: &PackedWeights, x: &[i8], n0: usize, sums: &mut [i32]) {
    let (k, n) = (x.len(), sums.len());
    let x = Input::Codes { rows: Rows::new(x, 1, k, k).expect("one row"), scales: None };
    let y = Output::Sums(Tile::new(sums, 1, n, n).expect("one row"));
    matmul(Tier::best(), w, n0, x, y, &mut Scratch::new()).expect("it fits");
}

#[test]
fn products_are_plain_sums_over_many_shapes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let edges = [1usize, 2, 3, 15, 16, 17, 31, 63, 64, 65, 100, 128, 130];
    for n in edges {
        for k in edges {
            let weights = random.weights(n * k);
            let x = random.activations(k);
            let w = pack_t2(n, k, &weights).unwrap();
            assert_eq!(w.unpack(), weights, "{n} x {k}");
            let n0 = random.next() as usize % n;
            let rows = 1 + random.next() as usize % (n - n0);
            let expected: Vec<i32> = (n0..n0 + rows)
                .map(|r| (0..k).map(|c| i32::from(weights[r * k + c]) * i32::from(x[c])).sum())
                .collect();
            let mut fast = vec![i32::MIN; rows];
            ternary_rows(&w, &x, n0, &mut fast);
            assert_eq!(fast, expected, "{n} x {k}, {rows} rows from {n0}");
        }
    }
}

#[test]
fn extremes_are_exact() {
    let k = 70_001;
    for (weight, value) in [(1i8, -128i8), (1, 127), (-1, -128), (-1, 127), (0, -128)] {
        let w = pack_t2(3, k, &vec![weight; 3 * k]).unwrap();
        let mut sums = [0; 3];
        ternary_rows(&w, &vec![value; k], 0, &mut sums);
        assert_eq!(sums, [i32::from(weight) * i32::from(value) * k as i32; 3]);
    }
}

#[test]
fn the_widest_matrix_stays_exact_where_code_sums_wrap() {
    let w = pack_t2(1, MAX_K, &vec![1; MAX_K]).unwrap();
    let mut sum = [0];
    ternary_rows(&w, &vec![-128; MAX_K], 0, &mut sum);
    assert_eq!(sum, [-(128 << 23)]);
}

#[test]
fn the_layout_is_as_documented() {
    // Row 70, column 37: second stripe, third of three tiles, group 0, row 6; 37 = 16 * 2 + 4 * 1 + 1.
    let (n, k) = (80, 40);
    let mut weights = vec![0i8; n * k];
    weights[70 * k + 37] = 1;
    let w = pack_t2(n, k, &weights).unwrap();
    assert_eq!(w.bytes().len(), 2 * 3 * 256);
    let changed: Vec<(usize, u8)> =
        w.bytes().iter().copied().enumerate().filter(|(_, b)| *b != 0b01_01_01_01).collect();
    assert_eq!(changed, [((3 + 2) * 256 + 6 * 4 + 1, 0b01_01_10_01)]);
    assert_eq!((w.get(70, 37), w.get(70, 36)), (1, 0));
}

#[test]
fn wrong_weights_are_refused_with_their_place() {
    let format = PackedFormat::T2;
    assert_eq!(pack_t2(2, 2, &[0, 1, 2, 0]), Err(PackError::Value { format, row: 1, col: 0, value: 2 }));
    assert_eq!(pack_t2(2, 2, &[0; 5]), Err(PackError::Length { n: 2, k: 2, given: 5 }));
    assert_eq!(
        pack_t2(usize::MAX, 2, &[]).map_err(|e| e.to_string()),
        Err(format!(
            "{} rows of 2 columns need more than fit in memory weights, but 0 were given",
            usize::MAX
        ))
    );
    assert_eq!(pack_t2(1, MAX_K + 1, &vec![0; MAX_K + 1]), Err(PackError::TooWide { format, k: MAX_K + 1 }));
    let empty = pack_t2(0, 5, &[]).unwrap();
    ternary_rows(&empty, &[0; 5], 0, &mut []);
    let flat = pack_t2(5, 0, &[]).unwrap();
    let mut sums = [7; 5];
    ternary_rows(&flat, &[], 0, &mut sums);
    assert_eq!(sums, [0; 5]);
}
