//! A dense transformer of the Llama kind (matrices of floats, no norms inside the blocks, biases, SiLU, a head of its own) is the
//! same graph with other data, and so are one with layer norms and a gate by the error function, and mixtures of these: their logits
//! are those of a plain forward pass in f64.

use phalanx::Cpu;
use phalanx_engine::{CacheType, Config, Entry, Graph, Model, ModelFile, Options, Session};
use phalanx_formats::{Format, quantise};
use phalanx_weights::{Activation, Kind as Element, NormKind, TensorData, Value, write};
use std::collections::HashMap;
use std::sync::Arc;

const WIDTH: usize = 64;
const HEADS: usize = 4;
const KV: usize = 2;
const DIM: usize = WIDTH / HEADS;
const FFN: usize = 96;
const LAYERS: usize = 2;
const VOCAB: usize = 50;
const EPS: f64 = 1e-5;

/// Tensors by name, as numbers.
type Weights = HashMap<String, Vec<f32>>;

/// What of a model's graph the file says.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Of the matrices.
    format: Format,
    /// After products.
    biases: bool,
    /// After norms.
    norm_biases: bool,
    /// A head of its own.
    head: bool,
    layer_norms: bool,
    sub_norms: bool,
    activation: Activation,
}

const LLAMA: Kind = Kind {
    format: Format::F32,
    biases: true,
    norm_biases: false,
    head: true,
    layer_norms: false,
    sub_norms: false,
    activation: Activation::Silu,
};

/// A file, and the numbers in it.
fn file(kind: Kind) -> (Arc<ModelFile>, Weights) {
    let Kind { format, biases, head, .. } = kind;
    let mut state = 5u64;
    let mut numbers = |n: usize, scale: f32| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Exact in half precision.
            ((state >> 33) % 257) as f32 / 128.0 - 1.0
        };
        (0..n).map(|_| next() * scale).collect()
    };
    let mut list = vec![("token_embd.weight".to_string(), vec![WIDTH, VOCAB], 1.0)];
    let kv = KV * DIM;
    for i in 0..LAYERS {
        for (name, dims, scale) in [
            ("attn_norm", vec![WIDTH], 1.0),
            ("attn_q", vec![WIDTH, WIDTH], 0.25),
            ("attn_k", vec![WIDTH, kv], 0.25),
            ("attn_v", vec![WIDTH, kv], 0.25),
            ("attn_sub_norm", vec![WIDTH], 1.0),
            ("attn_output", vec![WIDTH, WIDTH], 0.25),
            ("ffn_norm", vec![WIDTH], 1.0),
            ("ffn_gate", vec![WIDTH, FFN], 0.25),
            ("ffn_up", vec![WIDTH, FFN], 0.25),
            ("ffn_sub_norm", vec![FFN], 1.0),
            ("ffn_down", vec![FFN, WIDTH], 0.25),
        ] {
            if name.contains("sub_norm") && !kind.sub_norms {
                continue;
            }
            if if dims.len() == 2 { biases } else { kind.norm_biases } {
                list.push((format!("blk.{i}.{name}.bias"), vec![dims[dims.len() - 1]], 0.5));
            }
            list.push((format!("blk.{i}.{name}.weight"), dims, scale));
        }
    }
    list.push(("output_norm.weight".into(), vec![WIDTH], 1.0));
    if kind.norm_biases {
        list.push(("output_norm.bias".into(), vec![WIDTH], 0.5));
    }
    if head {
        list.push(("output.weight".into(), vec![WIDTH, VOCAB], 0.25));
    }
    let (mut tensors, mut all) = (Vec::new(), Weights::new());
    for (name, dims, scale) in list {
        let values = numbers(dims.iter().product(), scale);
        let format = if dims.len() == 2 { format } else { Format::F32 };
        let n = dims.get(1).copied().unwrap_or(1);
        let bytes = quantise(format, n, dims[0], &values).unwrap();
        tensors.push(TensorData { name: name.clone(), dims, kind: Element::id_of(format), bytes });
        all.insert(name, values);
    }
    let number = |name: &str, n: usize| (format!("bitnet.{name}"), Value::U32(n as u32));
    let norm = if kind.layer_norms { NormKind::Layer } else { NormKind::Rms };
    let keys = [
        ("general.architecture".to_string(), Value::String("bitnet".into())),
        ("tokenizer.ggml.model".into(), Value::String("no_vocab".into())),
        number("vocab_size", VOCAB),
        number("context_length", 64),
        number("embedding_length", WIDTH),
        number("block_count", LAYERS),
        number("feed_forward_length", FFN),
        number("attention.head_count", HEADS),
        number("attention.head_count_kv", KV),
        (format!("bitnet.{}", norm.key()), Value::F32(EPS as f32)),
        ("bitnet.hidden_activation".into(), Value::String(kind.activation.name().into())),
    ];
    let mut bytes = Vec::new();
    write(&mut bytes, &keys, &tensors).unwrap();
    (Arc::new(ModelFile::from_bytes("dense.gguf", bytes).unwrap()), all)
}

/// A plain forward pass.
fn plain(kind: Kind, w: &Weights, tokens: &[u32]) -> Vec<Vec<f64>> {
    let get = |name: &str| w.get(name).map(|v| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
    let norm = |x: &[f64], stem: &str| -> Vec<f64> {
        let n = x.len() as f64;
        let mean = if kind.layer_norms { x.iter().sum::<f64>() / n } else { 0.0 };
        let spread = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let weight = get(&format!("{stem}.weight")).unwrap();
        let bias = get(&format!("{stem}.bias")).unwrap_or_else(|| vec![0.0; x.len()]);
        let normed = x.iter().zip(weight).map(|(v, w)| (v - mean) / (spread + EPS).sqrt() * w);
        normed.zip(bias).map(|(v, b)| v + b).collect()
    };
    let linear = |x: &[f64], stem: &str| -> Vec<f64> {
        let weight = get(&format!("{stem}.weight")).unwrap();
        let rows = weight.chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>());
        let bias = get(&format!("{stem}.bias")).unwrap_or_else(|| vec![0.0; weight.len() / x.len()]);
        rows.zip(bias).map(|(v, b)| v + b).collect()
    };
    let turn = |x: &mut [f64], position: usize| {
        for head in x.chunks_mut(DIM) {
            for i in 0..DIM / 2 {
                let angle = position as f64 * 10000f64.powf(-(i as f64) / (DIM / 2) as f64);
                let (a, b) = (head[i], head[i + DIM / 2]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + DIM / 2] = b * angle.cos() + a * angle.sin();
            }
        }
    };
    let table = get("token_embd.weight").unwrap();
    /// Of every position.
    type Rows = Vec<Vec<f64>>;
    let mut cache: Vec<(Rows, Rows)> = vec![Default::default(); LAYERS];
    let mut all = Vec::new();
    for (position, token) in tokens.iter().enumerate() {
        let mut x = table[*token as usize * WIDTH..][..WIDTH].to_vec();
        for (i, (keys, values)) in cache.iter_mut().enumerate() {
            let at = |name: &str| format!("blk.{i}.{name}");
            let h = norm(&x, &at("attn_norm"));
            let (mut q, mut k) = (linear(&h, &at("attn_q")), linear(&h, &at("attn_k")));
            turn(&mut q, position);
            turn(&mut k, position);
            keys.push(k);
            values.push(linear(&h, &at("attn_v")));
            let mut mixed = Vec::new();
            for head in 0..HEADS {
                let (q, from) = (&q[head * DIM..][..DIM], head / (HEADS / KV) * DIM);
                let score = |k: &Vec<f64>| {
                    let dot: f64 = q.iter().zip(&k[from..]).map(|(a, b)| a * b).sum();
                    dot / (DIM as f64).sqrt()
                };
                let e: Vec<f64> = keys.iter().map(|k| score(k).exp()).collect();
                let sum: f64 = e.iter().sum();
                let of = |c: usize| e.iter().zip(&*values).map(|(e, v)| e / sum * v[from + c]).sum::<f64>();
                mixed.extend((0..DIM).map(of));
            }
            if kind.sub_norms {
                mixed = norm(&mixed, &at("attn_sub_norm"));
            }
            x.iter_mut().zip(linear(&mixed, &at("attn_output"))).for_each(|(x, d)| *x += d);
            let h = norm(&x, &at("ffn_norm"));
            let gate = linear(&h, &at("ffn_gate")).into_iter().map(|g| match kind.activation {
                Activation::Relu2 => g.max(0.0).powi(2),
                Activation::Silu => g / (1.0 + (-g).exp()),
                Activation::Gelu => g * normal(g),
            });
            let mut f: Vec<f64> = gate.zip(linear(&h, &at("ffn_up"))).map(|(g, u)| g * u).collect();
            if kind.sub_norms {
                f = norm(&f, &at("ffn_sub_norm"));
            }
            x.iter_mut().zip(linear(&f, &at("ffn_down"))).for_each(|(x, d)| *x += d);
        }
        let h = norm(&x, "output_norm");
        let head = if w.contains_key("output.weight") { "output" } else { "token_embd" };
        all.push(linear(&h, head));
    }
    all
}

/// The normal distribution's function, by Simpson's rule.
fn normal(x: f64) -> f64 {
    const N: usize = 400;
    let density = |i: usize| (-(x * i as f64 / N as f64).powi(2) / 2.0).exp();
    let weight = |i: usize| if i == 0 || i == N { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
    let sum: f64 = (0..=N).map(|i| weight(i) * density(i)).sum();
    0.5 + sum * x / N as f64 / 3.0 / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn logits_are_those_of_a_plain_forward_pass() {
    let tokens: Vec<u32> = (0..20).map(|i| (i * 17 + 3) % VOCAB as u32).collect();
    let kinds = [
        LLAMA,
        Kind { format: Format::F16, biases: false, ..LLAMA },
        Kind { biases: false, head: false, sub_norms: true, ..LLAMA },
        Kind { layer_norms: true, norm_biases: true, activation: Activation::Gelu, ..LLAMA },
        Kind { layer_norms: true, sub_norms: true, biases: false, ..LLAMA },
        Kind { activation: Activation::Gelu, sub_norms: true, ..LLAMA },
        Kind {
            activation: Activation::Relu2,
            layer_norms: true,
            norm_biases: true,
            sub_norms: true,
            ..LLAMA
        },
        Kind { activation: Activation::Relu2, ..LLAMA },
    ];
    for kind in kinds {
        let (file, weights) = file(kind);
        let graph = Graph::of(&file, &Options::default()).unwrap();
        let blocks = &graph.blocks;
        assert!(
            blocks
                .iter()
                .all(|b| [&b.attn_sub_norm, &b.ffn_sub_norm].map(Option::is_some) == [kind.sub_norms; 2])
        );
        assert!(blocks.iter().all(|b| (b.ffn_norm.kind == NormKind::Layer) == kind.layer_norms));
        assert_eq!((blocks[0].q.bias.is_some(), graph.shape.tied), (kind.biases, !kind.head));
        let steps = graph.text();
        let has = |name: &str| steps.lines().any(|l| l.split_whitespace().next() == Some(name));
        assert_eq!(
            [has("add_rms"), has("add_ln"), has("picked_ln")],
            [!kind.layer_norms, kind.layer_norms, kind.layer_norms]
        );
        assert_eq!(has("gelu_gated"), kind.activation == Activation::Gelu, "{steps}");
        let expected = plain(kind, &weights, &tokens);
        let model =
            Model::load(&Cpu::builder().threads(2).build().unwrap(), &file, &Options::default()).unwrap();
        let config = Config { cache: CacheType::F32, ..Config::default() };
        let mut session = Session::new(&model, config).unwrap();
        let rows: Vec<Entry> = tokens.iter().map(|t| Entry { text: 0, token: *t, wanted: true }).collect();
        for piece in [1, 20] {
            session.truncate(0, 0);
            let mut found = Vec::new();
            for part in rows.chunks(piece) {
                session.forward(part, None, &mut |_, l| found.push(l.to_vec())).unwrap();
            }
            for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
                let largest = e.iter().fold(0f64, |m, v| m.max(v.abs()));
                for (f, e) in f.iter().zip(e) {
                    assert!((f64::from(*f) - e).abs() < 1e-4 * largest, "{kind:?}, token {i}: {f}, not {e}");
                }
            }
            assert_eq!(found.len(), tokens.len());
        }
    }
}

#[test]
fn a_bias_that_no_norm_adds_is_refused() {
    let (file, _) = file(Kind { norm_biases: true, ..LLAMA });
    let e = Graph::of(&file, &Options::default()).unwrap_err().to_string();
    assert!(e.ends_with("tensor `blk.0.attn_norm.bias`: root mean square norms have no bias"), "{e}");
}
