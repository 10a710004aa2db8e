//! Model files: random ones, damaged, through the header's reader, the matrices and the tokeniser.

use crate::Rng;
use crate::fuzz::Stage;
use phalanx_tokens::Tokeniser;
use phalanx_weights::{ARCHITECTURES, Array, Gguf, Layout, Matrix, Shape, TensorData, Value, kind_of, write};

/// Bytes of a matrix at most that are looked at: a header may claim any shape that fits the file.
const LOOK: usize = 1 << 16;

fn value(rng: &mut Rng) -> Value {
    let n = rng.below(5);
    match rng.below(9) {
        0 => Value::U8(rng.bits() as u8),
        1 => Value::I16(rng.bits() as i16),
        2 => Value::U64(rng.bits()),
        3 => Value::F64(f64::from_bits(rng.bits())),
        4 => Value::Bool(rng.one_in(2)),
        5 => Value::String("x".repeat(n)),
        6 => Value::Array(Array::F32(vec![0.5; n])),
        7 => Value::Array(Array::String(vec!["ab".into(); n])),
        _ => Value::Array(Array::Bool(vec![true; n])),
    }
}

/// A small BitNet model file, damaged or not.
pub fn random_model(rng: &mut Rng) -> Vec<u8> {
    let architecture = *rng.pick(&ARCHITECTURES);
    let key = |name: &str, v: Value| (name.to_string(), v);
    let own = |name: &str, v: u32| (format!("{architecture}.{name}"), Value::U32(v));
    let mut keys = vec![
        key("general.architecture", Value::String(architecture.into())),
        own("context_length", 8),
        own("embedding_length", 64),
        own("block_count", 1),
        own("feed_forward_length", 64),
        own("attention.head_count", 2),
    ];
    for i in 0..rng.below(4) {
        keys.push((format!("k{i}"), value(rng)));
    }
    let llama = rng.one_in(2);
    let tokens: Vec<String> =
        (0..64u32).map(|i| char::from_u32(0x21 + i).unwrap_or('x').to_string()).collect();
    keys.push(key("tokenizer.ggml.model", Value::String(if llama { "llama" } else { "gpt2" }.into())));
    keys.push(key("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; 64]))));
    keys.push(key("tokenizer.ggml.merges", Value::Array(Array::String(vec!["a b".into(), "x y".into()]))));
    keys.push(key("tokenizer.ggml.token_type", Value::Array(Array::I32((0..64).map(|i| i % 7).collect()))));
    keys.push(key("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))));
    let (d, block) = (64, "blk.0.");
    let mut tensors = Vec::new();
    for (name, dims) in [
        ("token_embd".to_string(), vec![d, 64]),
        ("output_norm".into(), vec![d]),
        (format!("{block}attn_norm"), vec![d]),
        (format!("{block}attn_q"), vec![d, d]),
        (format!("{block}attn_k"), vec![d, d]),
        (format!("{block}attn_v"), vec![d, d]),
        (format!("{block}attn_sub_norm"), vec![d]),
        (format!("{block}attn_output"), vec![d, d]),
        (format!("{block}ffn_norm"), vec![d]),
        (format!("{block}ffn_gate"), vec![d, d]),
        (format!("{block}ffn_up"), vec![d, d]),
        (format!("{block}ffn_sub_norm"), vec![d]),
        (format!("{block}ffn_down"), vec![d, d]),
    ] {
        let (n, k) = (dims.get(1).copied().unwrap_or(1), d);
        let id = *rng.pick(&[0, 1, 8, 36, 38, 39]);
        let format = kind_of(id, true).and_then(|kind| kind.format(Layout::X86, n, k));
        let size = format.and_then(|f| f.bytes(n, k).ok()).unwrap_or(n * k * 4);
        let bytes = (0..size).map(|_| rng.bits() as u8).collect();
        tensors.push(TensorData { name: format!("{name}.weight"), dims, kind: id, bytes });
    }
    let mut file = Vec::new();
    // Into memory, which cannot fail; what it refuses is an empty input.
    let _ = write(&mut file, &keys, &tensors);
    for _ in 0..rng.below(4) {
        if file.is_empty() {
            break;
        }
        // Mostly in the header, which is the first few kilobytes.
        let end = if rng.one_in(4) { file.len() } else { file.len().min(3000) };
        let at = rng.below(end);
        match rng.below(5) {
            0 => file[at] ^= 1 << rng.below(8),
            1 => file[at] = *rng.pick(&[0, 1, 9, 0x7f, 0x80, 0xff]),
            2 => file.truncate(at + 1),
            3 => drop(file.remove(at)),
            _ => file.insert(at, rng.bits() as u8),
        }
    }
    file
}

/// Bytes through the reader of model files: no panic; what is accepted lies in the file, is written again with the same keys and
/// tensors, and its matrices and tokeniser can be used.
///
/// # Errors
/// What differs.
pub fn fuzz_one_model(bytes: &[u8]) -> Result<Stage, String> {
    let mut stage = Stage::default();
    let gguf = match Gguf::parse(bytes) {
        Ok(g) => g,
        Err(e) if e.to_string().is_empty() => return Err("refused without a reason".into()),
        Err(_) => return Ok(stage),
    };
    stage.decoded = true;
    let mut tensors = Vec::new();
    for t in &gguf.tensors {
        let Some(own) = bytes.get(t.range.clone()) else { return Err(format!("{} lies outside", t.name)) };
        tensors.push(TensorData {
            name: t.name.clone(),
            dims: t.dims.clone(),
            kind: t.id,
            bytes: own.to_vec(),
        });
        let format = t.kind.and_then(|kind| kind.format(Layout::X86, t.n(), t.k()));
        let (Some(format), true) = (format, t.n().saturating_mul(t.k()) <= LOOK) else { continue };
        if let Ok(matrix) = Matrix::new(format, t.n(), t.k(), &bytes[t.range.start..], None) {
            let mut row = vec![0.0; t.k()];
            (0..t.n()).for_each(|r| matrix.values(r, &mut row));
            // Codes that do not exist are refused, with a reason.
            if let Err(e) = matrix.pack(format.packed())
                && e.to_string().is_empty()
            {
                return Err("refused without a reason".into());
            }
        }
    }
    let mut again = Vec::new();
    write(&mut again, &gguf.keys, &tensors).map_err(|e| format!("cannot be written again: {e}"))?;
    // NaN is not itself, so keys are compared as they are shown.
    let shown = |g: &Gguf| format!("{:?}", g.keys);
    match Gguf::parse(&again) {
        Ok(g) if shown(&g) == shown(&gguf) && g.tensors.len() == gguf.tensors.len() => {}
        Ok(_) => return Err("written again it is another file".into()),
        Err(e) => return Err(format!("written again it is refused: {e}")),
    }
    stage.validated = Shape::of(&gguf).is_ok_and(|s| s.check(&gguf).is_ok());
    if let Ok(t) = Tokeniser::of(&gguf) {
        let tokens = t.encode_with_control("ab xy 12\n'S \u{1f642}");
        t.decode(&tokens);
        stage.ran = true;
    }
    Ok(stage)
}
