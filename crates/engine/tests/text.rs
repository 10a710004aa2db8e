//! Text from a model and how well it knows one: ends, windows that slide, cancelling, refusals, and the loss beside a plain one.

use phalanx::{CancelToken, Cpu};
use phalanx_engine::{
    Config, EngineError, Entry, Finish, Generated, Generation, Model, ModelFile, Options, Overflow, Sampling,
    Session, generate, named_shape, perplexity, random_file,
};
use phalanx_formats::{Format, Layout};
use std::sync::Arc;

fn session(config: Config) -> Session {
    let bytes =
        random_file(&named_shape("tiny").unwrap(), Format::I2S(Layout::X86), Format::Q8_0, 3).unwrap();
    let file = Arc::new(ModelFile::from_bytes("tiny.gguf", bytes).unwrap());
    let model = Model::load(&Cpu::builder().threads(1).build().unwrap(), &file, &Options::default()).unwrap();
    Session::new(&model, config).unwrap()
}

fn wanted(prompt: &[u32], most: usize, overflow: Overflow) -> Generation<'_> {
    let sampling = Sampling { temperature: 1.0, seed: 5, ..Sampling::default() };
    Generation { prompt, most, sampling, overflow }
}

fn run(s: &mut Session, wanted: &Generation<'_>, end: Option<u32>) -> Result<Generated, EngineError> {
    generate(s, wanted, None, &|t| Some(t) == end, &mut |_| {})
}

/// Logits after a text that is computed at once.
fn after(s: &mut Session, tokens: &[u32]) -> Vec<f32> {
    s.truncate(0, 0);
    s.feed(0, tokens, None).unwrap().to_vec()
}

#[test]
fn text_ends_where_it_is_told_to() {
    let mut s = session(Config::default());
    let mut seen = Vec::new();
    let all = wanted(&[1, 2, 3], 20, Overflow::Refuse);
    let whole = generate(&mut s, &all, None, &|_| false, &mut |t| seen.push(t)).unwrap();
    assert_eq!((whole.finish, whole.tokens.len()), (Finish::Length, 20));
    assert_eq!(seen, whole.tokens);
    assert_eq!(run(&mut s, &all, None).unwrap().tokens, whole.tokens, "the same seed");
    // Where one of its tokens ends an answer, the text ends before its first.
    let end = whole.tokens[7];
    let first = whole.tokens.iter().position(|t| *t == end).unwrap();
    let ended = run(&mut s, &all, Some(end)).unwrap();
    assert_eq!((ended.finish, ended.tokens.as_slice()), (Finish::End, &whole.tokens[..first]));
    assert_eq!(run(&mut s, &wanted(&[1], 0, Overflow::Refuse), None).unwrap().tokens.len(), 0);
}

#[test]
fn cancelling_leaves_what_was_said() {
    let mut s = session(Config::default());
    let all = wanted(&[1, 2, 3], 20, Overflow::Refuse);
    let whole = run(&mut s, &all, None).unwrap();
    let token = CancelToken::new();
    let mut left = 5;
    let some = generate(&mut s, &all, Some(&token), &|_| false, &mut |_| {
        left -= 1;
        if left == 0 {
            token.cancel();
        }
    });
    let some = some.unwrap();
    assert_eq!((some.finish, some.tokens.as_slice()), (Finish::Cancelled, &whole.tokens[..5]));
    // Before anything was said.
    let none = generate(&mut s, &all, Some(&token), &|_| false, &mut |_| {}).unwrap();
    assert_eq!((none.finish, none.tokens.len()), (Finish::Cancelled, 0));
}

#[test]
fn what_does_not_fit_is_refused_or_slides() {
    let mut s = session(Config { context: 64, ..Config::default() });
    let none = run(&mut s, &wanted(&[], 4, Overflow::Refuse), None).unwrap_err().to_string();
    assert!(none.contains("the prompt has no token"), "{none}");
    let long = run(&mut s, &wanted(&[1, 2], 64, Overflow::Refuse), None).unwrap_err();
    assert!(matches!(long, EngineError::Context { needed: 65, context: 64 }), "{long}");
    let most = run(&mut s, &wanted(&[1, 2], 63, Overflow::Refuse), None).unwrap();
    assert_eq!(most.tokens.len(), 63);
    // The window slides once the context is full: the first token and the later half stay, at new positions.
    let prompt = [1, 2];
    let text = run(
        &mut s,
        &Generation { sampling: Sampling::default(), ..wanted(&prompt, 80, Overflow::Slide) },
        None,
    );
    let text = text.unwrap();
    assert_eq!((text.finish, text.tokens.len()), (Finish::Length, 80));
    let all: Vec<u32> = prompt.iter().chain(&text.tokens).copied().collect();
    let greedy = |logits: &[f32]| {
        (0..logits.len()).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32
    };
    let window: Vec<u32> = [1].into_iter().chain(all[65 - 32..65].iter().copied()).collect();
    assert_eq!(greedy(&after(&mut s, &all[..64])), all[64]);
    assert_eq!(greedy(&after(&mut s, &window)), all[65]);
    assert_eq!(greedy(&after(&mut s, &[&window, &all[65..67]].concat())), all[67]);
    // A prompt that is longer than the context slides at once.
    let long: Vec<u32> = (0..70).collect();
    assert_eq!(run(&mut s, &wanted(&long, 3, Overflow::Slide), None).unwrap().tokens.len(), 3);
}

#[test]
fn the_loss_is_a_plain_one() {
    let mut s = session(Config { context: 64, rows: 24, ..Config::default() });
    let tokens: Vec<u32> = (0..150u32).map(|i| (i * i + 7 * i) % 96).collect();
    let mut plain = |tokens: &[u32], next: u32| -> f64 {
        let logits = after(&mut s, tokens);
        let sum: f64 = logits.iter().map(|v| f64::from(*v).exp()).sum();
        sum.ln() - f64::from(logits[next as usize])
    };
    // Windows of 64 tokens that step by 32: a token counts in the first that holds it.
    let mut expected = [0.0; 2];
    for (i, bos) in [None, Some(90)].into_iter().enumerate() {
        for at in 0..tokens.len() {
            let window = if at < 64 { 0 } else { (at - 64) / 32 * 32 + 32 };
            let before: Vec<u32> = bos.into_iter().chain(tokens[window..at].iter().copied()).collect();
            if !before.is_empty() {
                expected[i] += plain(&before, tokens[at]);
            }
        }
    }
    for (bos, expected, count) in [(None, expected[0], 149), (Some(90), expected[1], 150)] {
        let (nats, counted) = perplexity(&mut s, &tokens, bos, None).unwrap();
        assert_eq!(counted, count);
        assert!((nats - expected).abs() < 1e-3 * expected, "{bos:?}: {nats}, not {expected}");
    }
    let token = CancelToken::new();
    token.cancel();
    assert!(matches!(perplexity(&mut s, &tokens, None, Some(&token)), Err(EngineError::Cancelled)));
    assert_eq!(perplexity(&mut s, &[], None, None).unwrap(), (0.0, 0));
}

#[test]
fn a_session_tells_its_sizes_and_where_time_went() {
    let mut s = session(Config { context: 50, texts: 2, rows: 8, ..Config::default() });
    let config = s.config();
    assert_eq!((config.context, config.rows, s.is_empty(), s.len(9)), (64, 8, true, 0));
    // Two blocks, two heads of 64 elements in the cache, keys and values in half precision.
    assert_eq!(s.cache_bytes(), 2 * 2 * 2 * 2 * 64 * 64 * 2);
    assert_eq!(s.cache_read(10), 2 * 2 * 2 * 64 * 10 * 2);
    assert!(s.arena_bytes() >= 4 * 96 && s.model().block_bytes() > 0 && s.model().head_bytes() >= 96 * 256);
    s.forward(&[], None, &mut |_, _| unreachable!("no row")).unwrap();
    assert_eq!(s.spent().steps, 0);
    s.forward(&[Entry { text: 1, token: 4, wanted: true }], None, &mut |_, _| {}).unwrap();
    assert_eq!((s.spent().steps, s.is_empty()), (s.steps() as u64, false));
    assert!(s.spent().launches > std::time::Duration::ZERO);
    let profile = s.profile().unwrap();
    assert_eq!(profile.len(), s.steps());
    assert_eq!((profile[0].0.as_str(), profile[1].0.as_str()), ("embed_q8_0", "rms_rows"));
    assert!(s.idle_run().unwrap() > std::time::Duration::ZERO);
    s.reset_spent();
    assert_eq!(s.spent(), Default::default());
    // A position beyond the context, in a run that would fit.
    let rows = [Entry { text: 0, token: 1, wanted: false }; 8];
    (0..8).for_each(|_| s.forward(&rows, None, &mut |_, _| {}).unwrap());
    let e = s.forward(&rows[..1], None, &mut |_, _| {}).unwrap_err();
    assert!(matches!(e, EngineError::Context { needed: 65, context: 64 }), "{e}");
    assert_eq!(s.len(0), 64);
}

#[test]
fn sizes_beyond_32_bits_are_refused() {
    let bytes = random_file(&named_shape("tiny").unwrap(), Format::Tq2_0, Format::F16, 3).unwrap();
    let file = Arc::new(ModelFile::from_bytes("tiny.gguf", bytes).unwrap());
    let model = Model::load(&Cpu::builder().threads(1).build().unwrap(), &file, &Options::default()).unwrap();
    let e = Session::new(&model, Config { texts: 1 << 20, ..Config::default() }).err().unwrap().to_string();
    assert!(e.contains("too large for 32-bit indices"), "{e}");
    let e =
        random_file(&named_shape("tiny").unwrap(), Format::Tq2_0, Format::Q4_0, 3).unwrap_err().to_string();
    assert!(e.contains("Q8_0 or F16"), "{e}");
}
