//! Against what the PyPI package `tokenizers` gives (vectors.py made the file), and what no package says.

use phalanx_tokens::{Stream, Tokeniser};
use phalanx_weights::{Array, Gguf, Value, write};
use serde_json::Value as Json;

fn texts(json: &Json) -> Vec<String> {
    json.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_string()).collect()
}

fn key(name: &str, v: Value) -> (String, Value) {
    (format!("tokenizer.ggml.{name}"), v)
}

fn tokeniser(keys: &[(String, Value)]) -> Result<Tokeniser, String> {
    let mut file = Vec::new();
    write(&mut file, keys, &[]).unwrap();
    Tokeniser::of(&Gguf::parse(&file).unwrap()).map_err(|e| e.to_string())
}

/// The keys of one of the file's vocabularies.
fn keys(table: &Json) -> Vec<(String, Value)> {
    let (tokens, merges, pre) =
        (texts(&table["tokens"]), texts(&table["merges"]), table["pre"].as_str().unwrap());
    let spm = pre.is_empty();
    let kinds = tokens.iter().map(|t| match t.as_str() {
        "<unk>" => 2,
        "<s>" | "</s>" | "<|bos|>" => 3,
        t if spm && t.starts_with("<0x") => 6,
        _ => 1,
    });
    let mut keys = vec![
        key("model", Value::String(if spm { "llama" } else { "gpt2" }.into())),
        key("token_type", Value::Array(Array::I32(kinds.collect()))),
        key("bos_token_id", Value::U32(if spm { 1 } else { 0 })),
    ];
    if spm {
        // A token's score is the order of the merge that made it; those of one character need none.
        let rank = |t: &String| {
            merges.iter().position(|m| m.replace(' ', "") == **t).map_or(0.0, |r| -(r as f32) - 1.0)
        };
        keys.push(key("scores", Value::Array(Array::F32(tokens.iter().map(rank).collect()))));
    } else {
        keys.push(key("merges", Value::Array(Array::String(merges))));
        keys.push(key("pre", Value::String(pre.into())));
    }
    keys.push(key("tokens", Value::Array(Array::String(tokens))));
    keys
}

fn tables() -> Vec<Json> {
    let text = include_str!("vectors.json");
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn tokens_are_the_packages() {
    let tables = tables();
    assert_eq!(tables.len(), 3);
    for table in tables {
        let t = tokeniser(&keys(&table)).unwrap();
        let name = table["pre"].as_str().unwrap();
        let cases = table["cases"].as_array().unwrap();
        assert!(cases.len() >= 30);
        for case in cases {
            let text = case[0].as_str().unwrap();
            let expected: Vec<u32> =
                case[1].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as u32).collect();
            let found = t.encode(text);
            assert_eq!(found, expected, "{name}: {text:?}");
            let back = t.decode(&found);
            if name.is_empty() {
                // The space in front belongs to the first word.
                let back = back.strip_prefix(b" ").unwrap_or(&back);
                assert_eq!(back, text.as_bytes(), "{name}: {text:?}");
            } else {
                assert_eq!(back, text.as_bytes(), "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn the_rule_of_llama_3_where_the_file_names_none() {
    let table = &tables()[0];
    let named = keys(table);
    let unnamed: Vec<_> = named.iter().filter(|(k, _)| !k.ends_with(".pre")).cloned().collect();
    let (named, unnamed) = (tokeniser(&named).unwrap(), tokeniser(&unnamed).unwrap());
    for text in ["12345 it's   x", "a\n\n b"] {
        assert_eq!(named.encode(text), unnamed.encode(text));
    }
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let t = tokeniser(&keys(&tables()[0])).unwrap();
    let text = "a<|bos|>b";
    assert_eq!((t.special("<|bos|>"), t.bos(), t.is_control(0)), (Some(0), Some(0), true));
    assert!(!t.encode(text).contains(&0));
    let with = t.encode_with_control(text);
    assert_eq!(with[1], 0, "{with:?}");
    assert_eq!(
        (t.decode(&with), t.decode(&t.encode(text))),
        (text.as_bytes().to_vec(), text.as_bytes().to_vec())
    );
    assert_eq!(t.prompt("x"), t.encode("x"));
    let mut begun = keys(&tables()[0]);
    begun.push(key("add_bos_token", Value::Bool(true)));
    begun.push(key("eos_token_id", Value::U32(5)));
    let t = tokeniser(&begun).unwrap();
    assert_eq!((t.prompt("x")[0], t.is_end(5), t.is_end(0)), (0, true, false));
    assert_eq!((t.piece(u32::MAX), t.decode(&[u32::MAX])), (&[][..], vec![]));
}

#[test]
fn a_stream_gives_whole_characters() {
    let t = tokeniser(&keys(&tables()[0])).unwrap();
    let text = "🙂 é x";
    let tokens = t.encode(text);
    let mut stream = Stream::new(&t);
    let parts: Vec<String> = tokens.iter().map(|i| stream.push(*i)).collect();
    assert_eq!(parts.concat() + &stream.finish(), text);
    assert!(parts.len() > 4 && parts.iter().any(String::is_empty), "{parts:?}");
    // A lone continuation byte, then a character cut short.
    let byte = |b: u8| t.encode("🙂").iter().copied().find(|i| t.piece(*i) == [b]);
    let mut stream = Stream::new(&t);
    if let Some(lone) = byte(0x99) {
        assert_eq!(stream.push(lone), "\u{fffd}");
    }
    assert_eq!(stream.finish(), "");
}

#[test]
fn long_texts_take_no_time() {
    let tables = tables();
    for table in &tables {
        let t = tokeniser(&keys(table)).unwrap();
        // One word of 200 000 letters, and as much white space: quadratic work would never end.
        for text in ["ab".repeat(100_000), " ".repeat(200_000), "\n \t".repeat(70_000)] {
            let tokens = t.encode(&text);
            assert!(!tokens.is_empty() && t.decode(&tokens).ends_with(text.as_bytes()));
        }
    }
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let good = keys(&tables()[0]);
    let with = |name: &str, v: Option<Value>| {
        let mut keys: Vec<_> =
            good.iter().filter(|(k, _)| !k.ends_with(&format!(".{name}"))).cloned().collect();
        keys.extend(v.map(|v| key(name, v)));
        tokeniser(&keys).expect_err(name)
    };
    for (name, value, part) in [
        ("model", None, "missing"),
        ("model", Some(Value::String("bert".into())), "`bert` is not known; expected gpt2 or llama"),
        ("tokens", None, "missing"),
        ("tokens", Some(Value::Array(Array::String(vec![]))), "0 tokens"),
        ("tokens", Some(Value::U32(1)), "expected String"),
        ("token_type", Some(Value::Array(Array::I32(vec![1]))), "1 for"),
        ("merges", None, "missing"),
        ("merges", Some(Value::Array(Array::String(vec!["ab".into()]))), "`ab`, is no pair"),
        ("pre", Some(Value::String("qwen2".into())), "`qwen2` is not known"),
        ("model", Some(Value::String("llama".into())), "`tokenizer.ggml.scores`: missing"),
    ] {
        let e = with(name, value);
        assert!(e.contains(part), "{name}: {e}");
    }
}
