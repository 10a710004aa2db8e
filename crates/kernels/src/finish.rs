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
    fn run<S: Simd>(self, s: S) {
        let (from, to) = (self.from, self.to);
        // The stripe's part of a list for the whole matrix.
        let stripe = |all: &[f32]| {
            let mut some = Row([0.0; STRIPE]);
            some.0[from..to].copy_from_slice(&all[self.base + from..self.base + to]);
            some
        };
        let scales = match self.scales {
            Scales::None => None,
            Scales::Tensor(s) => Some(Row([*s; STRIPE])),
            Scales::Rows(all) => Some(stripe(all)),
        };
        let bias = self.bias.map(stripe);
        for m in 0..self.out.rows() {
            let divisor = self.divisors.map(|all| &all[m]);
            let mut row = Row([0.0; STRIPE]);
            let out = &mut self.out.row_mut(m)[self.at..][..to - from];
            let whole = <&mut [f32; STRIPE]>::try_from(&mut *out);
            let direct = whole.is_ok() && !matches!(self.activation, Activation::Silu | Activation::Gelu);
            let to_row = match whole {
                Ok(whole) if direct => whole.as_mut_ptr(),
                _ => row.0.as_mut_ptr(),
            };
            // Bounds of the loads below.
            let at = m * STRIPE..(m + 1) * STRIPE;
            let (ints, floats, off) = match self.sums {
                Sums::Ints(sums, off) => (Some(&sums[at]), None, off[m]),
                Sums::Floats(sums) => (None, Some(&sums[at]), 0),
            };
            for v in (0..STRIPE).step_by(S::LANES) {
                // SAFETY: each list has 64 elements, and `v` and a vector's lanes after it are below 64.
                unsafe {
                    let mut x = s.zero();
                    if let Some(ints) = ints {
                        x = s.to_floats(s.sub(s.load_ints(ints.as_ptr().add(v)), s.int(off)));
                    }
                    if let Some(floats) = floats {
                        x = s.load_floats(floats.as_ptr().add(v));
                    }
                    if let Some(divisor) = divisor {
                        x = s.divide(x, s.splat(divisor));
                    }
                    if let Some(scales) = &scales {
                        x = s.times(x, s.load_floats(scales.0.as_ptr().add(v)));
                    }
                    if let Some(bias) = &bias {
                        x = s.plus(x, s.load_floats(bias.0.as_ptr().add(v)));
                    }
                    match self.activation {
                        Activation::Relu => x = s.relu(x),
                        Activation::ReluSquared => x = s.times(s.relu(x), s.relu(x)),
                        Activation::None | Activation::Silu | Activation::Gelu => {}
                    }
                    s.store_floats(to_row.add(v), s.one_nan(x));
                }
            }
            match self.activation {
                Activation::Silu => row.0.iter_mut().for_each(|v| *v = one_nan(*v * sigmoid(*v))),
                Activation::Gelu => {
                    let gelu = |v: f32| 0.5 * v * (1.0 + erf(v * 0.707_106_77));
                    row.0.iter_mut().for_each(|v| *v = one_nan(gelu(*v)));
                }
                _ => {}
            }
            if !direct {
                out.copy_from_slice(&row.0[from..to]);
            }
        }
    }
}

/// A stripe's outputs, where a vector does not cross a cache line.
#[repr(align(64))]
struct Row([f32; STRIPE]);

/// [`Simd::one_nan`] of one value. By bits: a comparison of floats may be folded away together with what it chooses.
#[inline(always)]
pub(crate) fn one_nan(v: f32) -> f32 {
    let bits = v.to_bits();
    f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { f32::NAN.to_bits() } else { bits })
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
