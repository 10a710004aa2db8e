//! Hugging Face's BitNet folders to GGUF with I2_S matrices.

use crate::gguf::{Array, TensorData, Value, write};
use crate::hugging_face::{Folder, HfTensor};
use crate::{Kind, Shape, WeightsError, layout};
use phalanx_formats::{Format, Layout, quantise, write_codes};
use safetensors::Dtype;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

const ARCHITECTURE: &str = "bitnet-b1.58";
/// The file type of models that are mostly I2_S.
const FILE_TYPE: u32 = 40;
/// The regular expression by which the tokenisers of the Llama 3 family cut text, as their tokenizer.json has it.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Scales below this are raised to it, as in training.
const LEAST_SCALE: f64 = 1e-5;

/// Converts a folder (config.json, model.safetensors or its parts, tokenizer.json) to a GGUF file: matrices of packed or unpacked
/// BitNet weights as I2_S, the embedding (and a head of its own) as F16, norms as F32. Returns the model's sizes.
///
/// # Errors
/// Something is missing or has a form that is not converted, or a file cannot be read or written.
pub fn convert(folder: &Path, out: &Path, layout: Layout) -> Result<Shape, WeightsError> {
    let hf = Folder::open(folder)?;
    let config = hf.json("config.json")?;
    let config =
        config.ok_or_else(|| WeightsError::Convert("no config.json in it".into()).in_file(folder))?;
    let config = Config { json: config };
    let mut keys = config.keys(layout)?;
    keys.extend(tokeniser(&hf, &config)?);
    let tensors = config.tensors(&hf, layout)?;
    let mut bytes = Vec::new();
    write(&mut bytes, &keys, &tensors)?;
    // What is written must be what is read.
    let gguf = crate::Gguf::parse(&bytes)?;
    let shape = Shape::of(&gguf)?;
    shape.check(&gguf)?;
    std::fs::write(out, bytes).map_err(|e| WeightsError::io("write it")(e).in_file(out))?;
    Ok(shape)
}

fn key(name: &str, value: Value) -> (String, Value) {
    (name.into(), value)
}

fn size(n: usize, what: &str) -> Result<u32, WeightsError> {
    u32::try_from(n).map_err(|_| WeightsError::Convert(format!("{what} {n} does not fit the file's 32 bits")))
}

struct Config {
    json: Json,
}

impl Config {
    fn wrong(name: &str, what: &str) -> WeightsError {
        WeightsError::Convert(format!("config.json: `{name}` {what}"))
    }

    fn size(&self, name: &str) -> Result<usize, WeightsError> {
        let v = self.json.get(name).and_then(Json::as_u64);
        v.and_then(|v| usize::try_from(v).ok()).ok_or_else(|| Config::wrong(name, "is missing or no size"))
    }

    fn float(&self, name: &str, default: f64) -> f32 {
        self.json.get(name).and_then(Json::as_f64).unwrap_or(default) as f32
    }

    /// The first token of a key that has one or a list.
    fn token(&self, name: &str) -> Option<u32> {
        let v = self.json.get(name)?;
        let v = v.as_array().and_then(|a| a.first()).unwrap_or(v);
        v.as_u64().and_then(|v| u32::try_from(v).ok())
    }

    fn keys(&self, layout: Layout) -> Result<Vec<(String, Value)>, WeightsError> {
        let own = |name: &str, value: Value| key(&format!("{ARCHITECTURE}.{name}"), value);
        let (width, heads) = (self.size("hidden_size")?, self.size("num_attention_heads")?);
        let kv_heads = if self.json.get("num_key_value_heads").is_some() {
            self.size("num_key_value_heads")?
        } else {
            heads
        };
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Config::wrong("num_attention_heads", "does not divide `hidden_size`"));
        }
        let activation = self.json.get("hidden_act").and_then(Json::as_str).unwrap_or("relu2");
        let name = self
            .json
            .get("_name_or_path")
            .and_then(Json::as_str)
            .filter(|n| !n.is_empty())
            .unwrap_or("bitnet");
        let number = |n: usize, what: &str| size(n, what).map(Value::U32);
        Ok(vec![
            key("general.architecture", Value::String(ARCHITECTURE.into())),
            key("general.name", Value::String(name.into())),
            own("vocab_size", number(self.size("vocab_size")?, "vocab_size")?),
            own("context_length", number(self.size("max_position_embeddings")?, "max_position_embeddings")?),
            own("embedding_length", number(width, "hidden_size")?),
            own("block_count", number(self.size("num_hidden_layers")?, "num_hidden_layers")?),
            own("feed_forward_length", number(self.size("intermediate_size")?, "intermediate_size")?),
            own("rope.dimension_count", number(width / heads, "the heads' width")?),
            own("attention.head_count", number(heads, "num_attention_heads")?),
            own("attention.head_count_kv", number(kv_heads, "num_key_value_heads")?),
            own("attention.layer_norm_rms_epsilon", Value::F32(self.float("rms_norm_eps", 1e-5))),
            own("rope.freq_base", Value::F32(self.float("rope_theta", 10000.0))),
            own("hidden_activation", Value::String(activation.into())),
            key("general.file_type", Value::U32(FILE_TYPE)),
            key("general.quantization_version", Value::U32(2)),
            key(layout::KEY, Value::String(layout.name().into())),
        ])
    }

    fn tensors(&self, hf: &Folder, layout: Layout) -> Result<Vec<TensorData>, WeightsError> {
        let used = RefCell::new(BTreeSet::new());
        let take = |name: &str| {
            used.borrow_mut().insert(name.to_string());
            hf.tensor(name)
        };
        let mut all = Vec::new();
        let table = |name: &str, t: HfTensor<'_>| {
            let (n, k) = t.matrix()?;
            tensor(name, Format::F16, n, k, &t.values()?)
        };
        let norm = |name: &str, t: HfTensor<'_>| {
            let values = t.values()?;
            let mut one = tensor(name, Format::F32, 1, values.len(), &values)?;
            one.dims.truncate(1);
            Ok::<_, WeightsError>(one)
        };
        all.push(table("token_embd.weight", take("model.embed_tokens.weight")?)?);
        for i in 0..self.size("num_hidden_layers")? {
            for (from, to) in [
                ("input_layernorm", "attn_norm"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.v_proj", "attn_v"),
                ("self_attn.attn_sub_norm", "attn_sub_norm"),
                ("self_attn.o_proj", "attn_output"),
                ("post_attention_layernorm", "ffn_norm"),
                ("mlp.gate_proj", "ffn_gate"),
                ("mlp.up_proj", "ffn_up"),
                ("mlp.ffn_sub_norm", "ffn_sub_norm"),
                ("mlp.down_proj", "ffn_down"),
            ] {
                let (from, to) = (format!("model.layers.{i}.{from}"), format!("blk.{i}.{to}.weight"));
                let t = take(&format!("{from}.weight"))?;
                if to.ends_with("norm.weight") {
                    all.push(norm(&to, t)?);
                } else {
                    let scale_name = format!("{from}.weight_scale");
                    let scale = hf.find(&scale_name).map(|s| s.single()).transpose()?;
                    used.borrow_mut().insert(scale_name);
                    all.push(self.product(&to, &t, scale, layout)?);
                }
            }
        }
        all.push(norm("output_norm.weight", take("model.norm.weight")?)?);
        let tied = self.json.get("tie_word_embeddings").and_then(Json::as_bool).unwrap_or(false);
        if hf.find("lm_head.weight").is_some() {
            let head = take("lm_head.weight")?;
            if !tied {
                all.push(table("output.weight", head)?);
            }
        } else if !tied {
            return Err(WeightsError::Convert(
                "config.json does not tie the head to the embedding, but there is no lm_head.weight".into(),
            ));
        }
        // A bias or a norm that is left out would change every answer without a word.
        let known = |name: &str| used.borrow().contains(name) || name.ends_with("rotary_emb.inv_freq");
        if let Some(left) = hf.names().find(|n| !known(n)) {
            return Err(WeightsError::tensor(left, "is no part of the BitNet models that are converted"));
        }
        Ok(all)
    }

    /// A ternary matrix from Hugging Face's packed bytes or from floats.
    fn product(
        &self,
        name: &str,
        t: &HfTensor<'_>,
        scale: Option<f32>,
        layout: Layout,
    ) -> Result<TensorData, WeightsError> {
        let (rows, k) = t.matrix()?;
        let (n, codes, scale) = if t.dtype == Dtype::U8 {
            let missing = || WeightsError::tensor(name, "packed weights without a weight_scale");
            let scale = scale.ok_or_else(missing)?;
            // Newer layers multiply by the scale, older ones divide.
            let class = self.json.pointer("/quantization_config/linear_class").and_then(Json::as_str);
            let scale = if class == Some("autobitlinear") { scale } else { 1.0 / scale };
            // Bits 2b and 2b + 1 of byte [r, c] are row r + b * rows: four bands of rows above each other.
            let codes: Vec<i8> = (0..4)
                .flat_map(|band| t.bytes.iter().map(move |b| (b >> (2 * band) & 3) as i8 - 1))
                .collect();
            (4 * rows, codes, scale)
        } else {
            let values = t.values()?;
            let mean = values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / values.len().max(1) as f64;
            let scale = mean.max(LEAST_SCALE) as f32;
            let codes = values.iter().map(|v| (v / scale).round_ties_even().clamp(-1.0, 1.0) as i8).collect();
            (rows, codes, scale)
        };
        let format = Format::I2S(layout);
        let bytes = write_codes(format, n, k, &codes, &[scale])
            .map_err(|error| WeightsError::Format { name: name.into(), error })?;
        Ok(TensorData { name: name.into(), dims: vec![k, n], kind: Kind::id_of(format), bytes })
    }
}

fn tensor(
    name: &str,
    format: Format,
    n: usize,
    k: usize,
    values: &[f32],
) -> Result<TensorData, WeightsError> {
    let bytes =
        quantise(format, n, k, values).map_err(|error| WeightsError::Format { name: name.into(), error })?;
    Ok(TensorData { name: name.into(), dims: vec![k, n], kind: Kind::id_of(format), bytes })
}

/// The keys of the tokeniser: byte-level BPE of tokenizer.json.
fn tokeniser(hf: &Folder, config: &Config) -> Result<Vec<(String, Value)>, WeightsError> {
    let refuse = |what: &str| WeightsError::Convert(format!("tokenizer.json: {what}"));
    let json = hf
        .json("tokenizer.json")?
        .ok_or_else(|| WeightsError::Convert("no tokenizer.json in the folder".into()))?;
    let model = json.get("model").ok_or_else(|| refuse("no model"))?;
    let is = |at: &str, what: &str| model.get(at).and_then(Json::as_str) == Some(what);
    if !is("type", "BPE") || model.get("byte_fallback").and_then(Json::as_bool) == Some(true) {
        return Err(refuse(
            "only byte-level BPE is converted; SentencePiece vocabularies come with the GGUF files that exist",
        ));
    }
    // A step may be one of several or stand alone.
    let steps = |name: &str| match json.pointer(&format!("/pre_tokenizer/{name}")) {
        Some(Json::Array(all)) => all.clone(),
        _ => json.get("pre_tokenizer").cloned().into_iter().collect(),
    };
    let steps = steps("pretokenizers");
    let of = |kind: &str| steps.iter().find(|s| s.get("type").and_then(Json::as_str) == Some(kind));
    let regex = of("Split").and_then(|s| s.pointer("/pattern/Regex")).and_then(Json::as_str);
    let pre = match (regex, of("ByteLevel")) {
        (Some(LLAMA_3), Some(_)) => "llama-bpe",
        (None, Some(b)) if b.get("use_regex").and_then(Json::as_bool) != Some(false) => "gpt-2",
        _ => return Err(refuse("its pre-tokeniser is neither Llama 3's nor GPT-2's")),
    };
    let vocab = model.get("vocab").and_then(Json::as_object).ok_or_else(|| refuse("no vocab"))?;
    let count = config.size("vocab_size")?;
    let mut tokens = vec![None; count];
    // Kinds of tokens: 1 normal, 3 control, 4 added by the user, 5 unused.
    let mut kinds = vec![5i32; count];
    let mut put = |id: Option<u64>, text: &str, kind: i32| {
        let at = id.and_then(|i| usize::try_from(i).ok()).filter(|i| *i < count);
        let at =
            at.ok_or_else(|| refuse(&format!("token `{text}` has no number below vocab_size {count}")))?;
        tokens[at] = Some(text.to_string());
        kinds[at] = kind;
        Ok::<(), WeightsError>(())
    };
    for (text, id) in vocab {
        put(id.as_u64(), text, 1)?;
    }
    for added in json.get("added_tokens").and_then(Json::as_array).into_iter().flatten() {
        let text = added
            .get("content")
            .and_then(Json::as_str)
            .ok_or_else(|| refuse("an added token without content"))?;
        let special = added.get("special").and_then(Json::as_bool).unwrap_or(false);
        put(added.get("id").and_then(Json::as_u64), text, if special { 3 } else { 4 })?;
    }
    let tokens: Vec<String> =
        tokens.into_iter().enumerate().map(|(i, t)| t.unwrap_or_else(|| format!("[PAD{i}]"))).collect();
    let merge = |m: &Json| match m {
        Json::String(pair) => Some(pair.clone()),
        Json::Array(pair) => match &pair[..] {
            [Json::String(a), Json::String(b)] => Some(format!("{a} {b}")),
            _ => None,
        },
        _ => None,
    };
    let merges = model.get("merges").and_then(Json::as_array).ok_or_else(|| refuse("no merges"))?;
    let merges: Option<Vec<String>> = merges.iter().map(merge).collect();
    let merges = merges.ok_or_else(|| refuse("a merge that is no pair"))?;
    let side = hf.json("tokenizer_config.json")?.unwrap_or(Json::Null);
    let bos = config.token("bos_token_id");
    let add_bos = side.get("add_bos_token").and_then(Json::as_bool).unwrap_or(bos.is_some());
    let mut keys = vec![
        key("tokenizer.ggml.model", Value::String("gpt2".into())),
        key("tokenizer.ggml.pre", Value::String(pre.into())),
        key("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))),
        key("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))),
        key("tokenizer.ggml.merges", Value::Array(Array::String(merges))),
    ];
    let ids =
        [("bos", bos), ("eos", config.token("eos_token_id")), ("padding", config.token("pad_token_id"))];
    for (name, id) in ids.into_iter().filter_map(|(n, id)| Some((n, id?))) {
        keys.push(key(&format!("tokenizer.ggml.{name}_token_id"), Value::U32(id)));
    }
    keys.push(key("tokenizer.ggml.add_bos_token", Value::Bool(add_bos && bos.is_some())));
    let template = side.get("chat_template").and_then(Json::as_str).map(String::from);
    if let Some(template) = template.or_else(|| hf.text("chat_template.jinja")) {
        keys.push(key("tokenizer.chat_template", Value::String(template)));
    }
    Ok(keys)
}
