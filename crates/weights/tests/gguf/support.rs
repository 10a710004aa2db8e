//! A small BitNet model for the tests of this crate.

use phalanx_formats::{Format, Layout, quantise, write_codes};
use phalanx_weights::{Array, Kind, TensorData, Value};

/// Numbers without a pattern.
pub struct Noise(pub u64);

impl Noise {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

pub const WIDTH: usize = 256;
pub const FFN: usize = 512;
pub const LAYERS: usize = 2;
pub const VOCAB: usize = 40;

pub fn keys(architecture: &str) -> Vec<(String, Value)> {
    let own = |name: &str, v: u32| (format!("{architecture}.{name}"), Value::U32(v));
    let key = |name: &str, v: Value| (name.to_string(), v);
    let tokens: Vec<String> = (0..VOCAB).map(|i| format!("t{i}")).collect();
    vec![
        key("general.architecture", Value::String(architecture.into())),
        own("context_length", 64),
        own("embedding_length", WIDTH as u32),
        own("block_count", LAYERS as u32),
        own("feed_forward_length", FFN as u32),
        own("attention.head_count", 4),
        own("attention.head_count_kv", 2),
        key("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))),
    ]
}

/// All tensors of the model. The shares of zeros over a matrix' columns go along with the norm of its input, as they do where
/// a model was trained.
pub fn tensors(layout: Layout) -> Vec<TensorData> {
    let mut noise = Noise(7);
    let (kv, d, f) = (WIDTH / 2, WIDTH, FFN);
    let mut all = Vec::new();
    let mut plain = |name: &str, format: Format, dims: &[usize], values: &[f32]| {
        let (k, n) = (dims[0], dims.get(1).copied().unwrap_or(1));
        let bytes = quantise(format, n, k, values).unwrap();
        all.push(TensorData { name: name.into(), dims: dims.to_vec(), kind: Kind::id_of(format), bytes });
    };
    let floats = |noise: &mut Noise, n: usize| -> Vec<f32> {
        (0..n).map(|_| noise.below(100) as f32 / 64.0).collect()
    };
    plain("token_embd.weight", Format::F16, &[d, VOCAB], &floats(&mut noise, d * VOCAB));
    plain("output_norm.weight", Format::F32, &[d], &floats(&mut noise, d));
    for i in 0..LAYERS {
        for (norm, k, products) in [
            ("attn_norm", d, &[("attn_q", d), ("attn_k", kv), ("attn_v", kv)][..]),
            ("attn_sub_norm", d, &[("attn_output", d)]),
            ("ffn_norm", d, &[("ffn_gate", f), ("ffn_up", f)]),
            ("ffn_sub_norm", f, &[("ffn_down", d)]),
        ] {
            let weights = floats(&mut noise, k);
            let dims = [k];
            let bytes = quantise(Format::F32, 1, k, &weights).unwrap();
            let name = format!("blk.{i}.{norm}.weight");
            all.push(TensorData { name, dims: dims.to_vec(), kind: 0, bytes });
            for (name, n) in products {
                let mut codes = Vec::new();
                for _ in 0..*n {
                    for w in &weights {
                        let zero = noise.below(100) < (10.0 + 40.0 * w) as u64;
                        codes.push(if zero { 0 } else { noise.below(2) as i8 * 2 - 1 });
                    }
                }
                let format = Format::I2S(layout);
                let bytes = write_codes(format, *n, k, &codes, &[0.25]).unwrap();
                let name = format!("blk.{i}.{name}.weight");
                all.push(TensorData { name, dims: vec![k, *n], kind: Kind::id_of(format), bytes });
            }
        }
    }
    all
}
