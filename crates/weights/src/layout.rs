//! Which of I2_S's three layouts a file has.
//!
//! Files do not say, except ours, which name it under [`KEY`]. Of others the norms before the products give evidence: training
//! gives columns whose input is scaled up other shares of zeros than columns whose input is scaled down, so over the columns of a
//! matrix the share of zeros goes along with the norm's weight. Read in a wrong layout the columns change places and nothing goes
//! along. Where no layout stands out the published files' layout is taken; the user may say which.

use crate::gguf::Value;
use crate::{ModelFile, WeightsError};
use phalanx_formats::Layout;

/// The key under which our files name the layout.
pub(crate) const KEY: &str = "phalanx.i2_s.layout";

/// What a layout was concluded from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// The file names it.
    Named,
    /// Zeros go along with the norms in this layout: the mean squared correlation over all matrices looked at, in units of what
    /// chance gives, for each of [`Layout::ALL`].
    Norms([f64; 3]),
    /// Nothing stands out, or there is no I2_S tensor: the layout of the published files.
    Assumed,
}

/// Matrices of a block and the norm of their input.
const PAIRS: [(&str, &str); 7] = [
    ("attn_q", "attn_norm"),
    ("attn_k", "attn_norm"),
    ("attn_v", "attn_norm"),
    ("attn_output", "attn_sub_norm"),
    ("ffn_gate", "ffn_norm"),
    ("ffn_up", "ffn_norm"),
    ("ffn_down", "ffn_sub_norm"),
];
/// Blocks and rows looked at: enough to see, few enough not to be felt.
const BLOCKS: usize = 4;
const ROWS: usize = 256;
/// How much more than chance, and than the next best layout, the evidence must be.
const CLEAR: f64 = 8.0;

pub(crate) fn detect(file: &ModelFile) -> Result<(Layout, Evidence), WeightsError> {
    if let Some(v) = file.gguf().get(KEY) {
        let named = if let Value::String(name) = v { Layout::from_name(name) } else { None };
        let wrong = || WeightsError::key(KEY, format!("{}; expected x86, arm or four-rows", v.shown()));
        return Ok((named.ok_or_else(wrong)?, Evidence::Named));
    }
    let mut scores = [0.0; 3];
    let mut counts = [0.0; 3];
    for block in 0..BLOCKS {
        for (matrix, norm) in PAIRS {
            let (name, norm) = (format!("blk.{block}.{matrix}.weight"), format!("blk.{block}.{norm}.weight"));
            let kind = file.gguf().tensor(&name).and_then(|t| t.kind);
            if kind.is_none_or(|k| k.name != "I2_S") || file.gguf().tensor(&norm).is_none() {
                continue;
            }
            let norm: Vec<f64> = file.values(&norm)?.iter().map(|v| f64::from(v.abs())).collect();
            for (i, layout) in Layout::ALL.into_iter().enumerate() {
                let Ok(m) = file.matrix(&name, layout) else { continue };
                if m.k() != norm.len() {
                    continue;
                }
                let mut zeros = vec![0.0; m.k()];
                let mut codes = vec![0i8; m.k()];
                for row in 0..m.n().min(ROWS) {
                    m.codes(row, &mut codes);
                    zeros.iter_mut().zip(&codes).for_each(|(z, c)| *z += f64::from(u8::from(*c == 0)));
                }
                let r = correlation(&zeros, &norm);
                scores[i] += r * r * (m.k() as f64 - 1.0);
                counts[i] += 1.0;
            }
        }
    }
    scores.iter_mut().zip(counts).for_each(|(s, c)| *s /= f64::max(c, 1.0));
    let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
    let next = (0..3).filter(|i| *i != best).map(|i| scores[i]).fold(1.0, f64::max);
    if scores[best] > CLEAR * next {
        return Ok((Layout::ALL[best], Evidence::Norms(scores)));
    }
    Ok((Layout::default(), Evidence::Assumed))
}

/// Pearson's; 0 where either does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if spread > 0.0 { sum(&|x, y| x * y) / spread } else { 0.0 }
}
