//! Activations as 8-bit codes: one scale for each row, by its largest magnitude.

use crate::simd::{Kernel, Simd, at_level};
use phalanx_simd::Tier;

/// What [`quantise`] found out about a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantised {
    /// 127 / max(|x|, 1e-5), rounded to f32: codes divided by it give the values back.
    pub scale: f32,
    /// Sum of the codes.
    pub sum: i32,
}

/// 1.5 * 2^23: adding it rounds a small number to an integer, half to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// Writes the codes of a row: x * s rounded half to even and held to -128..=127, where s is 127 / max(|x|, 1e-5) computed in
/// f64 and rounded to f32. NaN has code 0 and does not count for the maximum. `codes` beyond the row are left alone. A level
/// that the machine lacks is done by portable code.
///
/// # Panics
/// Where `codes` is shorter than `row`.
pub fn quantise(tier: Tier, row: &[f32], codes: &mut [i8]) -> Quantised {
    let work = Quantise { row, codes: &mut codes[..row.len()] };
    at_level!(tier, s => s.call(work))
}

/// Branch-free loops, for the compiler to vectorise at each level.
struct Quantise<'a> {
    row: &'a [f32],
    codes: &'a mut [i8],
}

impl Kernel for Quantise<'_> {
    type Out = Quantised;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Quantised {
        const INFINITY: u32 = 0x7f80_0000;
        // Magnitudes compare like their bits.
        let magnitude = |x: &f32| {
            let bits = x.to_bits() & 0x7fff_ffff;
            if bits > INFINITY { 0 } else { bits }
        };
        // Many maxima, element by element: of one, the compiler makes a chain.
        let mut most = [0; 64];
        let (parts, rest) = self.row.as_chunks::<64>();
        for part in parts {
            for (most, x) in most.iter_mut().zip(part) {
                *most = magnitude(x).max(*most);
            }
        }
        for (most, x) in most.iter_mut().zip(rest) {
            *most = magnitude(x).max(*most);
        }
        let largest = f32::from_bits(most.into_iter().fold(0, u32::max));
        let scale = (127.0 / f64::from(largest).max(1e-5)) as f32;
        let mut sum = 0i32;
        for (x, code) in self.row.iter().zip(self.codes) {
            let y = x * scale;
            // An infinite row has scale 0 and products that are NaN.
            let y = if y.is_nan() { 0.0 } else { y.clamp(-128.0, 127.0) };
            *code = (y + ROUND).to_bits() as i8;
            sum = sum.wrapping_add(i32::from(*code));
        }
        Quantised { scale, sum }
    }
}
