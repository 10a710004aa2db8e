//! The same bits however a text is divided into runs, on any number of threads, at every SIMD level, by the reference executor, and
//! beside other texts.

use phalanx::{Cpu, Tier};
use phalanx_engine::{
    CacheType, Config, Entry, Model, ModelFile, Options, Session, Split, Topology, named_shape, random_file,
};
use phalanx_formats::{Format, Layout};
use std::sync::{Arc, LazyLock};

static FILE: LazyLock<Arc<ModelFile>> = LazyLock::new(|| {
    let bytes = random_file(&named_shape("tiny").unwrap(), Format::I2S(Layout::X86), Format::F16, 1).unwrap();
    Arc::new(ModelFile::from_bytes("tiny.gguf", bytes).unwrap())
});

fn session(cpu: &Cpu, config: Config) -> Session {
    Session::new(&Model::load(cpu, &FILE, &Options::default()).unwrap(), config).unwrap()
}

fn device(threads: usize) -> Cpu {
    Cpu::builder().threads(threads).build().unwrap()
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * i * 7 + i * 31 + 5) % 96).collect()
}

/// The bits of all logits of a text that is run in pieces.
fn logits(session: &mut Session, text: usize, tokens: &[u32], piece: usize) -> Vec<Vec<u32>> {
    session.truncate(text, 0);
    let mut all = Vec::new();
    for part in tokens.chunks(piece) {
        let rows: Vec<Entry> = part.iter().map(|t| Entry { text, token: *t, wanted: true }).collect();
        session.forward(&rows, None, &mut |_, l| all.push(l.iter().map(|v| v.to_bits()).collect())).unwrap();
    }
    all
}

#[test]
fn pieces_of_any_size_give_the_same_bits() {
    for cache in [CacheType::F16, CacheType::F32] {
        let mut s = session(&device(2), Config { cache, rows: 40, ..Config::default() });
        let tokens = tokens(40);
        let whole = logits(&mut s, 0, &tokens, 40);
        assert!(whole.iter().flatten().all(|b| f32::from_bits(*b).is_finite()));
        assert!(whole[0] != whole[1]);
        for piece in [1, 7, 13] {
            assert_eq!(logits(&mut s, 0, &tokens, piece), whole, "pieces of {piece}");
        }
    }
}

#[test]
fn threads_levels_and_executors_give_the_same_bits() {
    let tokens = tokens(16);
    let run = |cpu: &Cpu, piece| logits(&mut session(cpu, Config::default()), 0, &tokens, piece);
    let whole = run(&device(1), 16);
    for threads in [2, 3, 16] {
        assert_eq!(run(&device(threads), 16), whole, "{threads} threads");
        assert_eq!(run(&device(threads), 1), whole, "{threads} threads, token by token");
    }
    for tier in Tier::available() {
        let cpu = Cpu::builder().simd(tier).threads(2).build().unwrap();
        assert_eq!(run(&cpu, 8), whole, "{tier}");
    }
    let cpu = Cpu::builder().executor("reference").threads(1).build().unwrap();
    let few = logits(&mut session(&cpu, Config::default()), 0, &tokens[..3], 2);
    assert_eq!(few, whole[..3], "reference");
}

#[test]
fn products_divided_by_features_by_batch_and_by_both_give_the_same_bits() {
    let tokens = tokens(40);
    let run = |split, piece| {
        // Work of any size is worth a thread, so that small products are divided too.
        let mut s = session(&device(3), Config { split, min_work: 1, rows: 40, ..Config::default() });
        logits(&mut s, 0, &tokens, piece)
    };
    let picked = run(None, 40);
    for split in [Split::None, Split::Weights, Split::Activations, Split::Both] {
        for piece in [1, 40] {
            assert_eq!(run(Some(split), piece), picked, "{split:?}, {piece} rows at a time");
        }
    }
}

#[test]
fn memory_nodes_change_no_bit() {
    let tokens = tokens(16);
    let run = |cpu: &Cpu, piece| {
        // Work of any size is worth a thread.
        let mut s = session(cpu, Config { min_work: 1, texts: 2, ..Config::default() });
        (logits(&mut s, 1, &tokens, piece), s.model().placement().is_some())
    };
    let (whole, placed) =
        run(&Cpu::builder().threads(3).topology(Topology::of(vec![vec![0]])).build().unwrap(), 16);
    assert!(!placed);
    for nodes in [vec![vec![0], vec![1]], vec![vec![0, 1], vec![2]], vec![vec![7], vec![1 << 20], vec![0]]] {
        let cpu = Cpu::builder().threads(3).topology(Topology::of(nodes.clone())).build().unwrap();
        for piece in [16, 1] {
            assert_eq!(run(&cpu, piece), (whole.clone(), true), "{nodes:?}, {piece} at a time");
        }
    }
}

#[test]
fn sequential_and_parallel_give_the_same_bits() {
    let mut s = session(&device(3), Config::default());
    let rows: Vec<Entry> = tokens(16).iter().map(|t| Entry { text: 0, token: *t, wanted: true }).collect();
    let mut found = [Vec::new(), Vec::new()];
    s.forward(&rows, None, &mut |_, l| found[0].extend(l.iter().map(|v| v.to_bits()))).unwrap();
    s.truncate(0, 0);
    s.forward_sequential(&rows, &mut |_, l| found[1].extend(l.iter().map(|v| v.to_bits()))).unwrap();
    assert!(!found[0].is_empty());
    assert_eq!(found[0], found[1]);
}

#[test]
fn texts_do_not_see_each_other() {
    let mut s = session(&device(2), Config { texts: 3, ..Config::default() });
    let (a, b) = (tokens(9), tokens(12).split_off(3));
    let alone = [logits(&mut s, 0, &a, 9), logits(&mut s, 1, &b, 9)];
    (0..3).for_each(|t| s.truncate(t, 0));
    // Row by row, other places and order.
    let mut found = [Vec::new(), Vec::new()];
    for i in 0..9 {
        let rows = [
            Entry { text: 2, token: b[i], wanted: true },
            Entry { text: 1, token: a[i], wanted: true },
            Entry { text: 0, token: 7, wanted: i % 2 == 0 },
        ];
        s.forward(&rows, None, &mut |row, l| {
            if row < 2 {
                found[row].push(l.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        })
        .unwrap();
    }
    assert_eq!([&found[1], &found[0]], [&alone[0], &alone[1]]);
}

#[test]
fn what_cannot_run_is_refused_and_changes_nothing() {
    let mut s = session(&device(1), Config { context: 64, rows: 32, ..Config::default() });
    let entry = |text, token| Entry { text, token, wanted: false };
    let refused =
        |s: &mut Session, rows: &[Entry]| s.forward(rows, None, &mut |_, _| {}).unwrap_err().to_string();
    assert_eq!(refused(&mut s, &[entry(0, 1), entry(1, 1)]), "text 1 of 1");
    assert_eq!(refused(&mut s, &[entry(0, 1), entry(0, 96)]), "token 96 of a vocabulary of 96");
    assert_eq!(refused(&mut s, &[entry(0, 1); 33]), "33 rows in a run of at most 32");
    assert_eq!(s.len(0), 0);
    s.feed(0, &tokens(60), None).unwrap();
    assert_eq!(s.len(0), 60);
    let text = s.feed(0, &tokens(5), None).unwrap_err().to_string();
    assert!(text.starts_with("the text has 65 tokens, but the context holds 64"), "{text}");
    assert_eq!(s.len(0), 60);
    let token = phalanx::CancelToken::new();
    token.cancel();
    assert!(matches!(s.feed(0, &[1], Some(&token)), Err(phalanx_engine::EngineError::Cancelled)));
    assert_eq!(s.len(0), 60);
}
