//! From sums to outputs: the written steps at the end of a product, row by row.

use crate::format::STRIPE;
use crate::product::Activation;
use crate::simd::{Kernel, Simd};
use crate::{Scales, Tile};
use phalanx_simd::math::single::{erf, sigmoid};

/// Sums of one stripe, a row of 64 for each row of activations.
#[derive(Clone, Copy)]
pub(crate) enum Sums<'a> {
    /// Exact, each row with what is to be taken off.
    Ints(&'a [i32], &'a [i32]),
    /// In f32.
    Floats(&'a [f32]),
}

/// Steps 2 to 5 of [`crate::matmul`] for one stripe.
pub(crate) struct Finish<'a, 'b> {
    pub(crate) sums: Sums<'a>,
    /// Divisors of the activation rows.
    pub(crate) divisors: Option<&'a [f32]>,
    pub(crate) scales: &'a Scales,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    /// The stripe's first weight row in the matrix.
    pub(crate) base: usize,
    /// Which of the 64 are asked for.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) out: &'a mut Tile<'b, f32>,
    /// Column of `out` where they go.
    pub(crate) at: usize,
}

impl Kernel for Finish<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (from, to) = (self.from, self.to);
        let rows = self.base + from..self.base + to;
        for m in 0..self.out.rows() {
            let mut row = [0f32; STRIPE];
            match self.sums {
                Sums::Ints(sums, off) => {
                    let sums = &sums[m * STRIPE..][..STRIPE];
                    row.iter_mut().zip(sums).for_each(|(v, s)| *v = s.wrapping_sub(off[m]) as f32);
                }
                Sums::Floats(sums) => row.copy_from_slice(&sums[m * STRIPE..][..STRIPE]),
            }
            if let Some(divisors) = self.divisors {
                row.iter_mut().for_each(|v| *v /= divisors[m]);
            }
            match self.scales {
                Scales::None => {}
                Scales::Tensor(s) => row.iter_mut().for_each(|v| *v *= s),
                Scales::Rows(all) => {
                    row[from..to].iter_mut().zip(&all[rows.clone()]).for_each(|(v, s)| *v *= s);
                }
            }
            if let Some(bias) = self.bias {
                row[from..to].iter_mut().zip(&bias[rows.clone()]).for_each(|(v, b)| *v += b);
            }
            let relu = |v: f32| if v < 0.0 { 0.0 } else { v };
            match self.activation {
                Activation::None => {}
                Activation::Relu => row.iter_mut().for_each(|v| *v = relu(*v)),
                Activation::ReluSquared => row.iter_mut().for_each(|v| *v = relu(*v) * relu(*v)),
                Activation::Silu => row.iter_mut().for_each(|v| *v *= sigmoid(*v)),
                Activation::Gelu => {
                    row.iter_mut().for_each(|v| *v = 0.5 * *v * (1.0 + erf(*v * 0.707_106_77)));
                }
            }
            let out = &mut self.out.row_mut(m)[self.at..][..to - from];
            for (out, v) in out.iter_mut().zip(&row[from..to]) {
                // By bits: a comparison of floats may be folded away together with what it chooses.
                let bits = v.to_bits();
                *out =
                    f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { f32::NAN.to_bits() } else { bits });
            }
        }
    }
}

/// Exact sums as they are.
pub(crate) fn finish_sums(
    sums: &[i32],
    off: &[i32],
    (from, to): (usize, usize),
    out: &mut Tile<'_, i32>,
    at: usize,
) {
    for (m, off) in off.iter().enumerate() {
        let sums = &sums[m * STRIPE..][from..to];
        let out = &mut out.row_mut(m)[at..][..to - from];
        out.iter_mut().zip(sums).for_each(|(out, s)| *out = s.wrapping_sub(*off));
    }
}
