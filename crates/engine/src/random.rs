//! Model files of a given shape with random weights, for measurements and tests.

use crate::error::{EngineError, refused};
use phalanx_formats::{Format, write_codes};
use phalanx_weights::{Activation, Kind, NormKind, Shape, TensorData, Value};

/// Shapes by name.
const NAMED: [(&str, [usize; 8]); 3] = [
    // Layers, width, feed-forward, heads, heads of keys, vocabulary, context, base of the angles.
    ("2b-4t", [30, 2560, 6912, 20, 5, 128_256, 4096, 500_000]),
    ("small", [4, 256, 512, 4, 4, 1024, 256, 10_000]),
    ("tiny", [2, 256, 256, 4, 2, 96, 64, 10_000]),
];

/// The shape of this name: `2b-4t` (BitNet b1.58 2B-4T), `small` (the model under programs/bitnet), `tiny` (for tests).
pub fn named_shape(name: &str) -> Option<Shape> {
    let (_, [layers, width, ffn, heads, kv_heads, vocab, context, base]) =
        NAMED.iter().find(|(n, _)| *n == name)?;
    Some(Shape {
        architecture: "bitnet-b1.58".into(),
        vocab: *vocab,
        context: *context,
        width: *width,
        layers: *layers,
        ffn: *ffn,
        heads: *heads,
        kv_heads: *kv_heads,
        head_dim: width / heads,
        rope_dims: width / heads,
        rope_base: *base as f32,
        norm: NormKind::Rms,
        epsilon: 1e-5,
        activation: Activation::Relu2,
        tied: true,
    })
}

/// The names that [`named_shape`] knows.
pub fn shape_names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|(n, _)| *n)
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A model file of a shape: matrices as `ternary` (I2_S or, for engines that read no other, TQ2_0), embedding and head as `table`
/// (Q8_0 or F16), norms F32.
///
/// # Errors
/// A shape that the formats cannot hold.
pub fn random_file(shape: &Shape, ternary: Format, table: Format, seed: u64) -> Result<Vec<u8>, EngineError> {
    let mut rng = Rng(seed);
    let mut tensors = Vec::new();
    for (name, dims) in shape.tensors() {
        let k = dims[0];
        let n: usize = dims[1..].iter().product();
        let wrong = |e: phalanx_formats::FormatError| refused(format!("tensor `{name}`: {e}"));
        let (format, bytes) = match (dims.len(), name.as_str()) {
            (1, _) => {
                let value = |r: u64| (0.5 + (r >> 40) as f32 / (1 << 24) as f32).to_le_bytes();
                (Format::F32, (0..k).flat_map(|_| value(rng.next())).collect())
            }
            (_, "token_embd.weight" | "output.weight") => {
                let mut codes = vec![0i8; n * k];
                for eight in codes.chunks_mut(8) {
                    let bytes = rng.next().to_le_bytes();
                    eight.iter_mut().zip(bytes).for_each(|(c, b)| *c = (b as i8).max(-127));
                }
                let bytes = match table {
                    Format::Q8_0 => {
                        write_codes(table, n, k, &codes, &vec![1.0 / 128.0; n * k / 32]).map_err(wrong)?
                    }
                    Format::F16 => {
                        let half = |c: &i8| phalanx::F16::from_f32(f32::from(*c) / 128.0).0.to_le_bytes();
                        codes.iter().flat_map(half).collect()
                    }
                    other => return Err(refused(format!("a random embedding is Q8_0 or F16, not {other}"))),
                };
                (table, bytes)
            }
            _ => {
                let mut codes = vec![0i8; n * k];
                for some in codes.chunks_mut(32) {
                    let mut bits = rng.next();
                    for c in some {
                        // Zero twice as often as each of the others.
                        *c = [-1, 0, 0, 1][(bits & 3) as usize];
                        bits >>= 2;
                    }
                }
                let scale = 1.4 / (k as f32).sqrt();
                let scales = match ternary.block() {
                    (256, _) => vec![scale; n * k / 256],
                    _ => vec![scale],
                };
                (ternary, write_codes(ternary, n, k, &codes, &scales).map_err(wrong)?)
            }
        };
        tensors.push(TensorData { name: name.clone(), dims, kind: Kind::id_of(format), bytes });
    }
    let mut file = Vec::new();
    phalanx_weights::write(&mut file, &keys(shape), &tensors)?;
    Ok(file)
}

/// The keys of a file of a shape.
fn keys(s: &Shape) -> Vec<(String, Value)> {
    let number = |name: &str, n: usize| (format!("{}.{name}", s.architecture), Value::U32(n as u32));
    vec![
        ("general.architecture".into(), Value::String(s.architecture.clone())),
        ("general.name".into(), Value::String("random".into())),
        ("phalanx.i2_s.layout".into(), Value::String("x86".into())),
        // Nothing that tokens are made from.
        ("tokenizer.ggml.model".into(), Value::String("no_vocab".into())),
        number("vocab_size", s.vocab),
        number("context_length", s.context),
        number("embedding_length", s.width),
        number("block_count", s.layers),
        number("feed_forward_length", s.ffn),
        number("attention.head_count", s.heads),
        number("attention.head_count_kv", s.kv_heads),
        number("rope.dimension_count", s.rope_dims),
        (format!("{}.rope.freq_base", s.architecture), Value::F32(s.rope_base)),
        (format!("{}.{}", s.architecture, s.norm.key()), Value::F32(s.epsilon)),
        (format!("{}.hidden_activation", s.architecture), Value::String(s.activation.name().into())),
    ]
}
