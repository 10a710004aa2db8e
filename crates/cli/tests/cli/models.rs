//! Model files: a Hugging Face folder converted and looked at.

use crate::support::Folder;
use serde_json::{Value, json};

const WIDTH: usize = 128;
const FFN: usize = 256;
const VOCAB: usize = 258;

/// A safetensors file: the header's length, the header, the bytes.
fn safetensors(tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let from = data.len();
        data.extend(bytes);
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [from, data.len()]}),
        );
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn f32s(n: usize, value: f32) -> Vec<u8> {
    (0..n).flat_map(|_| value.to_le_bytes()).collect()
}

/// A folder as transformers writes it, of one block; `change` may spoil it.
fn folder(change: impl FnOnce(&mut Value, &mut Vec<(String, &str, Vec<usize>, Vec<u8>)>)) -> Folder {
    let folder = Folder::new();
    let mut config = json!({
        "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "hidden_act": "relu2",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "bos_token_id": 257,
        "eos_token_id": [257, 256], "quantization_config": {"linear_class": "autobitlinear"},
    });
    let mut all = vec![
        ("model.embed_tokens.weight".to_string(), "F32", vec![VOCAB, WIDTH], f32s(VOCAB * WIDTH, 0.5)),
        ("model.norm.weight".into(), "F32", vec![WIDTH], f32s(WIDTH, 1.0)),
    ];
    for (name, n, k) in [
        ("self_attn.q_proj", WIDTH, WIDTH),
        ("self_attn.k_proj", WIDTH / 2, WIDTH),
        ("self_attn.v_proj", WIDTH / 2, WIDTH),
        ("self_attn.o_proj", WIDTH, WIDTH),
        ("mlp.gate_proj", FFN, WIDTH),
        ("mlp.up_proj", FFN, WIDTH),
        ("mlp.down_proj", WIDTH, FFN),
    ] {
        // Bands: rows of the first quarter are -1, of the second 0, of the third 1, of the last 0.
        all.push((
            format!("model.layers.0.{name}.weight"),
            "U8",
            vec![n / 4, k],
            vec![0b01_10_01_00; n / 4 * k],
        ));
        all.push((format!("model.layers.0.{name}.weight_scale"), "F32", vec![1], f32s(1, 0.25)));
    }
    for (name, size) in [
        ("input_layernorm", WIDTH),
        ("self_attn.attn_sub_norm", WIDTH),
        ("post_attention_layernorm", WIDTH),
        ("mlp.ffn_sub_norm", FFN),
    ] {
        all.push((format!("model.layers.0.{name}.weight"), "F32", vec![size], f32s(size, 1.0)));
    }
    change(&mut config, &mut all);
    // The letters of a byte-level vocabulary: bytes that show as themselves, then others in their order.
    let shows = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let hidden = (0..256u32).filter(|b| !shows(b)).zip(256..);
    let letters = (0..256u32).filter(shows).map(|b| (b, b)).chain(hidden);
    let vocab: serde_json::Map<String, Value> =
        letters.map(|(byte, letter)| (char::from_u32(letter).unwrap().to_string(), json!(byte))).collect();
    let tokeniser = json!({
        "added_tokens": [{"id": 257, "content": "<s>", "special": true}, {"id": 256, "content": "<x>", "special": false}],
        "pre_tokenizer": {"type": "ByteLevel", "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"], "c d"]},
    });
    folder.write("config.json", config.to_string());
    folder.write("tokenizer.json", tokeniser.to_string());
    folder.write("tokenizer_config.json", json!({"chat_template": "{{ x }}"}).to_string());
    folder.write("model.safetensors", safetensors(&all));
    folder
}

#[test]
fn a_folder_becomes_a_model_file_that_info_explains() {
    for layout in ["x86", "arm", "four-rows"] {
        let folder = folder(|_, _| ());
        let ended = folder.run(&format!("convert . -o m.gguf --layout {layout} --json"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let row: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
        assert_eq!((&row["width"], &row["layout"]), (&json!(WIDTH), &json!(layout)));
        let info = folder.run("info m.gguf --json");
        assert_eq!(info.status, Some(0), "{info:?}");
        let rows: Vec<Value> = info.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let model = rows.last().unwrap();
        assert_eq!(
            (&model["kv_heads"], &model["i2_s_layout"], &model["tied"]),
            (&json!(1), &json!(layout), &json!(true))
        );
        let find = |key: &str| rows.iter().find(|r| r["key"] == key).map(|r| r["value"].clone());
        assert_eq!(find("tokenizer.ggml.pre"), Some(json!("gpt-2")));
        assert_eq!(find("tokenizer.ggml.eos_token_id"), Some(json!(257)));
        assert_eq!(find("tokenizer.chat_template"), Some(json!("{{ x }}")));
        let down = rows.iter().find(|r| r["tensor"] == "blk.0.ffn_down.weight").unwrap();
        assert_eq!((&down["type"], &down["dims"]), (&json!("I2_S"), &json!([FFN, WIDTH])));
    }
    let folder = folder(|_, _| ());
    folder.run("convert . -o m.gguf");
    let info = folder.run("info m.gguf --tensors");
    for part in
        ["blk.0.attn_q.weight", "I2_S", "relu2", "2 heads over 1 of 64", "layout x86 (the file names it)"]
    {
        assert!(info.stdout.contains(part), "{part}: {info:?}");
    }
    // The codes: -1, 0, 1, 0 by quarters of the rows, four of a column to a byte pair of bits.
    let bytes = folder.read("m.gguf");
    let run = [0x00u8; 32].iter().chain(&[0x55; 32]).copied().collect::<Vec<_>>();
    assert!(bytes.windows(64).any(|w| w == run), "a row of -1 before a row of 0");
}

#[test]
fn what_is_not_converted_is_refused_with_the_reason() {
    let refused = |folder: &Folder, part: &str| {
        let ended = folder.run("convert . -o m.gguf");
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        assert!(!folder.has("m.gguf"));
    };
    refused(&Folder::new(), "model.safetensors");
    refused(&folder(|c, _| c["hidden_size"] = json!("x")), "hidden_size");
    refused(&folder(|c, _| c["tie_word_embeddings"] = json!(false)), "lm_head.weight");
    refused(&folder(|c, _| c["hidden_act"] = json!("swish")), "expected relu2, silu or gelu");
    refused(&folder(|_, t| drop(t.remove(0))), "embed_tokens");
    refused(
        &folder(|_, t| t.push(("model.layers.0.mlp.bias".into(), "F32", vec![1], f32s(1, 1.0)))),
        "mlp.bias",
    );
    refused(&folder(|_, t| t[3].3 = f32s(1, f32::NAN)), "scale of NaN");
    refused(&folder(|_, t| t[2].2 = vec![WIDTH * WIDTH / 4]), "expected two");
    let broken = folder(|_, _| ());
    broken.write("model.safetensors", [255u8; 40]);
    refused(&broken, "not a safetensors file");
    broken.write("no.gguf", "GGUF");
    let info = broken.run("info no.gguf");
    assert_eq!(info.status, Some(1));
    assert!(info.stderr.contains("no.gguf") && info.stderr.contains("the version takes 4 bytes"), "{info:?}");
    assert_eq!(broken.run("convert . -o x.gguf --layout vax").status, Some(2));
}

#[test]
fn a_model_writes_text() {
    let folder = folder(|_, _| ());
    folder.run("convert . -o m.gguf").expect(0);
    let row = |args: &str| {
        let ended = folder.run(&format!("generate m.gguf --prompt ab --json {args}")).expect(0);
        let rows = ended.rows();
        assert_eq!(rows.len(), 1, "{ended:?}");
        rows[0].clone()
    };
    let first = row("--tokens 5");
    assert_eq!(first["tokens"], 5);
    assert!(
        first["prompt_tokens"].as_u64().unwrap() >= 2 && first["tokens_per_second"].as_f64().unwrap() > 0.0
    );
    assert_eq!(row("--tokens 5 --threads 1 --head f32")["text"], first["text"]);
    let random =
        |seed: u32| row(&format!("--tokens 20 --temperature 1 --top-p 0.9 --seed {seed}"))["text"].clone();
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    let text = folder.run("generate m.gguf --prompt ab --tokens 3").expect(0).says(&["3 generated"]);
    assert!(text.stdout.starts_with("ab") && text.stdout.ends_with('\n'), "{text:?}");

    folder.run("generate m.gguf --prompt ab --tokens 100").expect(1).says(&["but the context holds 64"]);
    assert_eq!(row("--tokens 100 --slide")["tokens"], 100);
    folder.run("generate m.gguf --prompt ab --context 65").expect(2).says(&["trained for 64"]);
    folder.run("generate m.gguf --top-p 2").expect(2);
    folder.run("generate m.gguf --system x").expect(2);
    folder.run("generate no.gguf").expect(1).says(&["no.gguf"]);
}

#[test]
fn a_model_is_scored_and_explained() {
    let folder = folder(|_, _| ());
    folder.run("convert . -o m.gguf").expect(0);
    folder.write("text.txt", "to be or not to be, ".repeat(8));
    // All rows of its embedding are the same, so every token is as likely as any other.
    let row = folder.run("perplexity m.gguf text.txt --json").expect(0).rows().remove(0);
    assert_eq!(row["bytes"], 160);
    assert!((row["perplexity"].as_f64().unwrap() - VOCAB as f64).abs() < 0.01, "{row}");
    folder.write("empty.txt", "");
    folder.run("perplexity m.gguf empty.txt").expect(2);
    let explained = folder.run("explain m.gguf").expect(0).stdout;
    for part in ["relu2_rms", "t2 128 x int8 128", "tied to the embedding", "1 alike"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    assert_eq!(folder.run("explain m.gguf --json").expect(0).rows().last().unwrap()["kv_heads"], 1);
}

#[test]
fn a_model_is_measured() {
    let folder = Folder::new();
    let rows = folder
        .run("bench model --random tiny --prompt 8 --tokens 2 --depth 4 --threads 1 --json")
        .expect(0)
        .rows();
    let cases: Vec<&str> = rows.iter().map(|r| r["case"].as_str().unwrap()).collect();
    for part in ["tiny load", "tiny prompt 8", "tiny decode 2 @4", "tiny outside kernels"] {
        assert!(cases.iter().any(|c| c.starts_with(part)), "{part}: {cases:?}");
    }
    folder.run("bench model --random huge").expect(2).says(&["shapes are"]);
    folder.run("bench launch --random tiny").expect(2).says(&["for `bench model`"]);
}
