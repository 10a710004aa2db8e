//! The shipped model against what PyTorch answers (programs/bitnet/reference.py): every step fed PyTorch's input, the logits after
//! teacher-forced tokens, and greedy text.

use phalanx::kernels::PackedFormat;
use phalanx::product::{self, Linear};
use phalanx::{Buffer, Cpu, Launcher, ops};
use phalanx_engine::{
    CacheType, Config, Entry, Generation, Model, ModelFile, Options, Overflow, Sampling, Session, Shape,
    Tokeniser, generate,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tokens whose steps are recorded.
const TOKENS: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../programs/bitnet")
}

fn model_file() -> Arc<ModelFile> {
    Arc::new(ModelFile::open(folder().join("model.gguf")).unwrap())
}

fn bytes(name: &str) -> Vec<u8> {
    phalanx_npy::read(&std::fs::read(folder().join(name)).unwrap()).unwrap().data
}

fn floats(name: &str) -> Vec<f32> {
    bytes(name).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn numbers(name: &str) -> Vec<u32> {
    bytes(name).chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// PyTorch's values of each step, by name.
struct Steps {
    values: Vec<f32>,
    places: HashMap<String, (usize, usize)>,
}

impl Steps {
    fn read() -> Steps {
        let text = std::fs::read_to_string(folder().join("steps.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let place = |v: &serde_json::Value| {
            let shape = v["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize);
            (v["at"].as_u64().unwrap() as usize, shape.product::<usize>())
        };
        let places = json.as_object().unwrap().iter().map(|(name, v)| (name.clone(), place(v))).collect();
        Steps { values: floats("steps.npy"), places }
    }
    fn of(&self, name: &str) -> &[f32] {
        let (at, len) = self.places[name];
        &self.values[at..at + len]
    }
}

/// Panics where an element is further away than 1e-5 of its own.
#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-5 * e.abs(), "{what}: element {i} is {f}, expected {e}");
    }
}

/// The same for sums, whose terms may cancel: the error of f32 arithmetic, PyTorch's as ours, follows the terms, not what is left
/// of them. So an element may also be nearer to the sum in f64 of `terms(element)` than 5e-6 of the terms' magnitudes, if PyTorch's
/// is nearer than 1e-5 of them; and such elements are few.
#[track_caller]
fn close_sums(what: &str, found: &[f32], expected: &[f32], terms: impl Fn(usize) -> Vec<f64>) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let mut cancelled = 0;
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let terms = terms(i);
        let (exact, size) = (terms.iter().sum::<f64>(), terms.iter().map(|t| t.abs()).sum::<f64>());
        let (ours, theirs) = ((f64::from(*f) - exact).abs(), (f64::from(*e) - exact).abs());
        let values = format!("{what}: element {i} is {f}, expected {e}, exactly {exact} of terms of {size}");
        assert!(ours <= 5e-6 * size && theirs <= 1e-5 * size, "{values}");
        if (f - e).abs() > 1e-5 * e.abs() {
            assert!(exact.abs() < 0.1 * size, "{values}");
            cancelled += 1;
        }
    }
    assert!(cancelled * 50 <= found.len(), "{what}: {cancelled} sums cancel");
}

struct Bench {
    cpu: Cpu,
    file: Arc<ModelFile>,
    shape: Shape,
    steps: Steps,
}

impl Bench {
    fn new() -> Bench {
        let file = model_file();
        let shape = file.shape().unwrap();
        Bench { cpu: Cpu::builder().threads(2).build().unwrap(), file, shape, steps: Steps::read() }
    }

    fn buffer(&self, name: &str) -> Buffer<f32> {
        self.cpu.buffer(self.steps.of(name)).unwrap()
    }
    fn zeros(&self, cols: usize) -> Buffer<f32> {
        self.cpu.zeros(TOKENS * cols).unwrap()
    }
    fn weight(&self, name: &str) -> Buffer<f32> {
        self.cpu.buffer(&self.file.values(&format!("{name}.weight")).unwrap()).unwrap()
    }
    fn launch(&self, kernel: &str) -> Launcher {
        ops::kernel(&self.cpu, kernel).unwrap().launch_declared().arg("rows", TOKENS as u32)
    }

    fn norm(&self, launch: Launcher, weight: &str, cols: usize, expected: &str) {
        let y = self.zeros(cols);
        let codes = || (self.cpu.zeros::<i8>(TOKENS * cols).unwrap(), self.cpu.zeros::<f32>(TOKENS).unwrap());
        let (q, scale) = codes();
        let launch = launch.arg("weight", self.weight(weight)).arg("y", &y).arg("cols", cols as u32);
        let launch = launch.arg("q", &q).arg("scale", &scale).arg("codes", 1u32);
        launch.arg("eps", self.shape.epsilon).run().unwrap();
        close(expected, &y.read().unwrap(), self.steps.of(expected));
        // The codes that come with it are those that `quant_rows` makes of it, which `products` compares.
        let (alone, scales) = codes();
        product::quantise(&self.cpu, &y, &alone, &scales, cols).unwrap().run().unwrap();
        assert_eq!(q.read().unwrap(), alone.read().unwrap(), "{expected}");
        assert_eq!(scale.read().unwrap(), scales.read().unwrap(), "{expected}");
    }

    /// Codes of PyTorch's input, then products: exact, and near PyTorch's.
    fn products(&self, input: &str, block: &str, names: &[(&str, &str)]) {
        let x = self.steps.of(input);
        let k = x.len() / TOKENS;
        let (q, scale) = (self.cpu.zeros::<i8>(x.len()).unwrap(), self.cpu.zeros::<f32>(TOKENS).unwrap());
        product::quantise(&self.cpu, &self.buffer(input), &q, &scale, k).unwrap().run().unwrap();
        let (codes, scales) = (q.read().unwrap(), scale.read().unwrap());
        for (r, row) in x.chunks(k).enumerate() {
            // As in model.py.
            let s = 127.0 / row.iter().fold(0f32, |m, v| m.max(v.abs())).max(1e-5);
            assert!((scales[r] - s).abs() <= 1e-6 * s, "{input}: scale {r}");
            for (i, v) in row.iter().enumerate() {
                let exact = v * s;
                let half = (exact.fract().abs() - 0.5).abs() < 1e-3;
                let code = exact.round_ties_even().clamp(-128.0, 127.0);
                assert!(
                    half || f32::from(codes[r * k + i]) == code,
                    "{input}: code {i} of row {r} for {exact}"
                );
            }
        }
        let (layout, _) = self.file.i2s_layout().unwrap();
        for (name, tensor) in names {
            let tensor = format!("blk.{block}.{tensor}.weight");
            let weights = Arc::new(self.file.pack(&tensor, layout, PackedFormat::T2).unwrap());
            let n = weights.n();
            let y = self.zeros(n);
            Linear::new(&self.cpu, weights).quantised(&q, &scale, &y).unwrap().run().unwrap();
            let found = y.read().unwrap();
            let matrix = self.file.matrix(&tensor, layout).unwrap();
            let mut row = vec![0i8; k];
            for c in 0..n {
                matrix.codes(c, &mut row);
                for r in 0..TOKENS {
                    let pairs = row.iter().zip(&codes[r * k..][..k]);
                    let sum: i64 = pairs.map(|(w, a)| i64::from(*w) * i64::from(*a)).sum();
                    assert_eq!(
                        found[r * n + c],
                        sum as f32 / scales[r] * matrix.scale(0, 0),
                        "{tensor} [{r}, {c}]"
                    );
                }
            }
            // PyTorch adds floats here, each rounded: its sums are near the exact ones, measured by the largest of a row.
            for (found, expected) in found.chunks(n).zip(self.steps.of(name).chunks(n)) {
                let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
                let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0f32, f32::max);
                assert!(off <= 1e-5 * largest, "{name}: {off} of {largest}");
            }
        }
    }

    /// Rotation and attention of one block, through the cache.
    fn attention(&self, i: usize) {
        let at = |name: &str| format!("blk.{i}.{name}");
        let s = &self.shape;
        let (heads, kv, dim, context, half) = (s.heads, s.kv_heads, s.head_dim, 64usize, s.rope_dims / 2);
        let (cos, sin) =
            (self.cpu.zeros::<f32>(context * half).unwrap(), self.cpu.zeros::<f32>(context * half).unwrap());
        let launch =
            ops::kernel(&self.cpu, "angles").unwrap().launch_declared().arg("cos", &cos).arg("sin", &sin);
        let launch = launch.arg("context", context as u32).arg("half", half as u32);
        launch.arg("base", f64::from(s.rope_base)).run().unwrap();
        let pos = self.cpu.buffer(&(0..TOKENS as u32).collect::<Vec<_>>()).unwrap();
        let slot = self.cpu.zeros::<u32>(TOKENS).unwrap();
        let (keys, values) = (
            self.cpu.zeros::<f32>(kv * context * dim).unwrap(),
            self.cpu.zeros::<f32>(kv * context * dim.next_multiple_of(64)).unwrap(),
        );
        let sizes = |l: Launcher| {
            let l = l.arg("heads", heads as u32).arg("kv_heads", kv as u32).arg("dim", dim as u32);
            l.arg("context", context as u32).arg("pos", &pos).arg("slot", &slot)
        };
        let q = self.buffer(&at("q"));
        let launch = sizes(self.launch("place_f32")).arg("q", &q).arg("k", self.buffer(&at("k")));
        let launch = launch.arg("v", self.buffer(&at("v"))).arg("cos", &cos).arg("sin", &sin);
        launch.arg("turned", s.rope_dims as u32).arg("kc", &keys).arg("vc", &values).run().unwrap();
        // PyTorch's are [head, token, element].
        let turned = |all: &[f32], heads: usize| -> Vec<f32> {
            let one = |t: usize| (0..heads).flat_map(move |h| all[(h * TOKENS + t) * dim..][..dim].to_vec());
            (0..TOKENS).flat_map(one).collect()
        };
        let expected = turned(self.steps.of(&at("q_rope")), heads);
        // The two terms of element `i` of [token, head, element].
        let turns = |from: &[f32], i: usize| -> Vec<f64> {
            let (t, d) = (i / (from.len() / TOKENS), i % dim);
            let exponent = -((d % half) as f64) / half as f64;
            let angle = t as f64 * f64::from(s.rope_base).powf(exponent);
            let (own, other) =
                (f64::from(from[i]), f64::from(from[if d < half { i + half } else { i - half }]));
            vec![own * angle.cos(), if d < half { -other } else { other } * angle.sin()]
        };
        assert_eq!(half * 2, dim, "all elements turn");
        let from = self.steps.of(&at("q"));
        close_sums(&at("q_rope"), &q.read().unwrap(), &expected, |i| turns(from, i));
        let cached = keys.read().unwrap();
        let key =
            |t: usize, h: usize| (0..dim).map(move |d| (h * dim * context + d * 64 + t, d)).map(|(i, _)| i);
        let found: Vec<f32> =
            (0..TOKENS).flat_map(|t| (0..kv).flat_map(move |h| key(t, h))).map(|i| cached[i]).collect();
        let from = self.steps.of(&at("k"));
        let turned_keys = turned(self.steps.of(&at("k_rope")), kv);
        close_sums(&at("k_rope"), &found, &turned_keys, |i| turns(from, i));

        let o = self.zeros(heads * dim);
        let launch = sizes(self.launch("attend_f32")).arg("q", self.cpu.buffer(&expected).unwrap());
        let launch = launch.arg("kc", &keys).arg("vc", &values).arg("o", &o).arg("part", 1u32);
        launch.arg("tile", 5u32).arg("factor", 1.0 / (dim as f32).sqrt()).run().unwrap();
        let v = self.steps.of(&at("v"));
        close_sums(&at("attention"), &o.read().unwrap(), self.steps.of(&at("attention")), |i| {
            let (t, h, d) = (i / (heads * dim), i / dim % heads, i % dim);
            let head = |j: usize| (j * kv + h / (heads / kv)) * dim;
            let score = |j: usize| {
                let pairs = expected[(t * heads + h) * dim..][..dim].iter().zip(&turned_keys[head(j)..]);
                pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() / (dim as f64).sqrt()
            };
            let weights: Vec<f64> = (0..=t).map(|j| score(j).exp()).collect();
            let sum: f64 = weights.iter().sum();
            (0..=t).map(|j| weights[j] / sum * f64::from(v[head(j) + d])).collect()
        });
    }
}

#[test]
fn every_step_is_pytorchs() {
    let b = Bench::new();
    let (d, ffn) = (b.shape.width, b.shape.ffn);
    let tokens = numbers("tokens.npy");
    let table = b.file.bytes("token_embd.weight").unwrap();
    let halves: Vec<phalanx::F16> =
        table.chunks_exact(2).map(|h| phalanx::F16(u16::from_le_bytes([h[0], h[1]]))).collect();
    let x = b.zeros(d);
    let launch = b.launch("embed_f16").arg("table", b.cpu.buffer(&halves).unwrap()).arg("y", &x);
    launch.arg("token", b.cpu.buffer(&tokens[..TOKENS]).unwrap()).arg("cols", d as u32).run().unwrap();
    assert_eq!(x.read().unwrap(), b.steps.of("embed"));
    for i in 0..b.shape.layers {
        let at = |name: &str| format!("blk.{i}.{name}");
        let input = if i == 0 { "embed".into() } else { format!("blk.{}.ffn_residual", i - 1) };
        b.norm(b.launch("rms_rows").arg("x", b.buffer(&input)), &at("attn_norm"), d, &at("attn_norm"));
        let (q, k, v) = (at("q"), at("k"), at("v"));
        b.products(&at("attn_norm"), &i.to_string(), &[(&q, "attn_q"), (&k, "attn_k"), (&v, "attn_v")]);
        b.attention(i);
        let launch = b.launch("rms_rows").arg("x", b.buffer(&at("attention")));
        b.norm(launch, &at("attn_sub_norm"), d, &at("attn_sub_norm"));
        b.products(&at("attn_sub_norm"), &i.to_string(), &[(&at("o"), "attn_output")]);
        let x = b.buffer(&input);
        b.norm(
            b.launch("add_rms").arg("x", &x).arg("d", b.buffer(&at("o"))),
            &at("ffn_norm"),
            d,
            &at("ffn_norm"),
        );
        close(&at("attn_residual"), &x.read().unwrap(), b.steps.of(&at("attn_residual")));
        b.products(&at("ffn_norm"), &i.to_string(), &[(&at("gate"), "ffn_gate"), (&at("up"), "ffn_up")]);
        let gate = b.buffer(&at("gate"));
        let launch = b.launch("relu2_rms").arg("gate", &gate).arg("up", b.buffer(&at("up")));
        b.norm(launch, &at("ffn_sub_norm"), ffn, &at("ffn_sub_norm"));
        close(&at("ffn_act"), &gate.read().unwrap(), b.steps.of(&at("ffn_act")));
        b.products(&at("ffn_sub_norm"), &i.to_string(), &[(&at("down"), "ffn_down")]);
    }
    let last = |name: &str| b.buffer(&format!("blk.{}.{name}", b.shape.layers - 1));
    let pick = b.cpu.buffer(&(0..TOKENS as u32).collect::<Vec<_>>()).unwrap();
    let launch =
        b.launch("picked_rms").arg("x", last("attn_residual")).arg("d", last("down")).arg("pick", pick);
    b.norm(launch, "output_norm", d, "output_norm");
    let head = b.file.pack("token_embd.weight", Default::default(), PackedFormat::F16).unwrap();
    let logits = Linear::new(&b.cpu, Arc::new(head)).apply(&b.buffer("output_norm")).unwrap();
    let h = b.steps.of("output_norm");
    close_sums("logits", &logits.read().unwrap(), b.steps.of("logits"), |i| {
        let (t, token) = (i / b.shape.vocab, i % b.shape.vocab);
        let pairs = h[t * d..][..d].iter().zip(&halves[token * d..]);
        pairs.map(|(h, w)| f64::from(*h) * f64::from(w.to_f32())).collect()
    });
}

fn session(cache: CacheType) -> (Session, Tokeniser) {
    let file = model_file();
    let cpu = Cpu::builder().threads(2).build().unwrap();
    let model = Model::load(&cpu, &file, &Options::default()).unwrap();
    let session = Session::new(&model, Config { cache, ..Config::default() }).unwrap();
    (session, Tokeniser::of(file.gguf()).unwrap())
}

/// ln of the probabilities.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let sum: f64 = logits.iter().map(|v| f64::from(v - largest).exp()).sum();
    logits.iter().map(|v| f64::from(v - largest) - sum.ln()).collect()
}

#[test]
fn logits_are_pytorchs() {
    let (mut session, _) = session(CacheType::F32);
    let vocab = session.model().graph().shape.vocab;
    let (tokens, expected) = (numbers("tokens.npy"), floats("logits.npy"));
    let rows: Vec<Entry> =
        tokens[..tokens.len() - 1].iter().map(|t| Entry { text: 0, token: *t, wanted: true }).collect();
    assert_eq!((rows.len(), expected.len()), (64, 64 * vocab));
    let (mut seen, mut divergence, mut furthest) = (0, 0.0, 0f32);
    session
        .forward(&rows, None, &mut |row, found| {
            let expected = &expected[row * vocab..][..vocab];
            let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
            let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0f32, f32::max);
            furthest = furthest.max(off / largest);
            assert!(off <= 3e-2 * largest, "row {row}: {off} of {largest}");
            let (p, q) = (log_softmax(expected), log_softmax(found));
            divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            seen += 1;
        })
        .unwrap();
    let mean = divergence / 64.0;
    println!("furthest {furthest:.2e} of the largest, mean divergence {mean:.2e}");
    assert_eq!(seen, 64);
    assert!(mean <= 1e-4, "mean divergence {mean}");
}

#[test]
fn greedy_text_is_pytorchs() {
    let (mut session, tokeniser) = session(CacheType::F32);
    let expected = numbers("greedy.npy");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("greedy.json")).unwrap()).unwrap();
    let prompt = tokeniser.prompt(json["prompt"].as_str().unwrap());
    assert_eq!(prompt, expected[..prompt.len()]);
    let most = expected.len() - prompt.len();
    let wanted =
        Generation { prompt: &prompt, most, sampling: Sampling::default(), overflow: Overflow::Refuse };
    let done = generate(&mut session, &wanted, None, &|_| false, &mut |_| {}).unwrap();
    assert_eq!(done.tokens, expected[prompt.len()..]);
}
