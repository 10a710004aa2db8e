//! What a BitNet model's keys say, checked against its tensors.

use crate::WeightsError;
use crate::gguf::{Array, Gguf, Value};

/// Architectures of BitNet files.
pub const ARCHITECTURES: [&str; 3] = ["bitnet", "bitnet-25", "bitnet-b1.58"];

/// Sizes beyond which a model is refused: no file has them, and everything below multiplies without overflow.
const MOST: u64 = 1 << 24;

/// Blocks beyond which a model is refused: a list of its tensors is made before they are looked for in the file.
const MOST_LAYERS: u64 = 1 << 12;

/// The activation of the feed-forward gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The square of the positive part.
    Relu2,
    /// x times its logistic function.
    Silu,
    /// x times the normal distribution's function of x, by the error function.
    Gelu,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 3] = [Activation::Relu2, Activation::Silu, Activation::Gelu];

    /// The name that files have.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Relu2 => "relu2",
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
        }
    }

    fn from_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// The kind of a model's norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Divided by the root of the mean square.
    Rms,
    /// The mean taken off first; with a bias where the file has one.
    Layer,
}

impl NormKind {
    /// The key, after the architecture's name, under which files of this kind have their epsilon.
    pub const fn key(self) -> &'static str {
        match self {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        }
    }
}

/// The sizes of a BitNet model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// One of [`ARCHITECTURES`].
    pub architecture: String,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Elements of the residual stream.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Elements between the feed-forward products.
    pub ffn: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements of a head that are turned by position.
    pub rope_dims: usize,
    /// The base of the angles.
    pub rope_base: f32,
    /// Of all norms.
    pub norm: NormKind,
    /// Added to the mean square or the variance in norms.
    pub epsilon: f32,
    /// Of the feed-forward gate.
    pub activation: Activation,
    /// Whether the head is the embedding: the file has no `output.weight`.
    pub tied: bool,
}

impl Shape {
    /// Reads a header's keys.
    ///
    /// # Errors
    /// Another architecture, a key that is missing or of another type, or sizes that do not divide each other.
    pub fn of(gguf: &Gguf) -> Result<Shape, WeightsError> {
        const ARCHITECTURE: &str = "general.architecture";
        let architecture =
            gguf.string(ARCHITECTURE).ok_or_else(|| WeightsError::key(ARCHITECTURE, "missing"))?;
        if !ARCHITECTURES.contains(&architecture) {
            let what = format!("`{architecture}` is not run; expected one of {ARCHITECTURES:?}");
            return Err(WeightsError::key(ARCHITECTURE, what));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str| match gguf.get(&key(name)) {
            None => Ok(None),
            Some(v) => {
                let most = if name == "block_count" { MOST_LAYERS } else { MOST };
                let wrong = || WeightsError::key(&key(name), format!("{}; expected 1 to {most}", v.shown()));
                // At most 2^24.
                let v = v.as_u64().filter(|v| (1..=most).contains(v)).ok_or_else(wrong)?;
                Ok(Some(v as usize))
            }
        };
        let needed = |name: &str| size(name)?.ok_or_else(|| WeightsError::key(&key(name), "missing"));
        let float = |name: &str, default: f32| match gguf.get(&key(name)) {
            None => Ok(default),
            Some(Value::F32(v)) if v.is_finite() && *v > 0.0 => Ok(*v),
            Some(v) => Err(WeightsError::key(&key(name), format!("{}; expected a positive f32", v.shown()))),
        };
        let tokens = match gguf.get("tokenizer.ggml.tokens") {
            Some(Value::Array(Array::String(t))) => Some(t.len()),
            _ => None,
        };
        let vocab = match size("vocab_size")?.or(tokens) {
            Some(v) if (1..=MOST as usize).contains(&v) => v,
            _ => {
                return Err(WeightsError::key(
                    &key("vocab_size"),
                    "missing, and there are no tokens to count",
                ));
            }
        };
        let activation = match gguf.string(&key("hidden_activation")) {
            Some(name) => Activation::from_name(name).ok_or_else(|| {
                WeightsError::key(
                    &key("hidden_activation"),
                    format!("`{name}`; expected relu2, silu or gelu"),
                )
            })?,
            // The first models' gate; those of the other architectures are trained with the square.
            None if architecture == "bitnet" => Activation::Silu,
            None => Activation::Relu2,
        };
        let norm = match [NormKind::Rms, NormKind::Layer].map(|kind| gguf.get(&key(kind.key())).is_some()) {
            [true, true] => {
                let what = format!("the file has `{}` too; norms are of one kind", NormKind::Rms.key());
                return Err(WeightsError::key(&key(NormKind::Layer.key()), what));
            }
            [_, layer] => {
                if layer {
                    NormKind::Layer
                } else {
                    NormKind::Rms
                }
            }
        };
        let heads = needed("attention.head_count")?;
        let width = needed("embedding_length")?;
        let head_dim = size("attention.key_length")?.unwrap_or(width / heads.max(1));
        let shape = Shape {
            architecture: architecture.into(),
            vocab,
            context: needed("context_length")?,
            width,
            layers: needed("block_count")?,
            ffn: needed("feed_forward_length")?,
            heads,
            kv_heads: size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rope_dims: size("rope.dimension_count")?.unwrap_or(head_dim),
            rope_base: float("rope.freq_base", 10000.0)?,
            norm,
            epsilon: float(norm.key(), 1e-5)?,
            activation,
            tied: gguf.tensor("output.weight").is_none(),
        };
        let rule = |holds: bool, name: &str, what: String| {
            if holds { Ok(()) } else { Err(WeightsError::key(&key(name), what)) }
        };
        let (h, kv) = (shape.heads, shape.kv_heads);
        rule(h.is_multiple_of(kv), "attention.head_count_kv", format!("{kv} does not divide {h} heads"))?;
        rule(
            h * shape.head_dim == width,
            "attention.head_count",
            format!("{h} heads of {head_dim} are not {width} wide"),
        )?;
        let (rope, even) = (shape.rope_dims, shape.rope_dims.is_multiple_of(2));
        rule(
            even && rope <= head_dim,
            "rope.dimension_count",
            format!("{rope} of {head_dim}; expected an even number"),
        )?;
        Ok(shape)
    }

    /// The tensors that the model needs, with their dimensions, the fastest first.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, kv, ffn) = (self.width, self.kv_heads * self.head_dim, self.ffn);
        let mut all = vec![("token_embd.weight".to_string(), vec![d, self.vocab])];
        for i in 0..self.layers {
            for (name, dims) in [
                ("attn_norm", vec![d]),
                ("attn_q", vec![d, d]),
                ("attn_k", vec![d, kv]),
                ("attn_v", vec![d, kv]),
                ("attn_sub_norm", vec![d]),
                ("attn_output", vec![d, d]),
                ("ffn_norm", vec![d]),
                ("ffn_gate", vec![d, ffn]),
                ("ffn_up", vec![d, ffn]),
                ("ffn_sub_norm", vec![ffn]),
                ("ffn_down", vec![ffn, d]),
            ] {
                all.push((format!("blk.{i}.{name}.weight"), dims));
            }
        }
        all.push(("output_norm.weight".into(), vec![d]));
        if !self.tied {
            all.push(("output.weight".into(), vec![d, self.vocab]));
        }
        all
    }

    /// Whether the file has every tensor the model needs, with its dimensions; norms inside the blocks may be missing.
    ///
    /// # Errors
    /// The first that is missing or of other dimensions.
    pub fn check(&self, gguf: &Gguf) -> Result<(), WeightsError> {
        for (name, dims) in self.tensors() {
            let missing = || WeightsError::tensor(&name, format!("missing; the model needs it as {dims:?}"));
            let tensor = match gguf.tensor(&name) {
                Some(tensor) => tensor,
                // Dense models have none.
                None if name.contains("_sub_norm.") => continue,
                None => return Err(missing()),
            };
            if tensor.dims != dims {
                return Err(WeightsError::tensor(
                    &name,
                    format!("dimensions {:?}; expected {dims:?}", tensor.dims),
                ));
            }
        }
        Ok(())
    }
}
