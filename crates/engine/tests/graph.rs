//! Graphs: what files come to, as people read it, and what is not run.

use phalanx::Cpu;
use phalanx::kernels::PackedFormat;
use phalanx_engine::{Config, Graph, Model, ModelFile, Options, Session, Table, named_shape, random_file};
use phalanx_formats::{Format, Layout, quantise, write_codes};
use phalanx_weights::{Kind, TensorData, write};
use std::sync::Arc;

fn tiny(table: Format) -> Arc<ModelFile> {
    let bytes = random_file(&named_shape("tiny").unwrap(), Format::I2S(Layout::X86), table, 1).unwrap();
    Arc::new(ModelFile::from_bytes("tiny.gguf", bytes).unwrap())
}

/// The same file with its embedding in another form, and with tensors more.
fn with(file: &ModelFile, table: Format, more: &[(&str, usize)]) -> ModelFile {
    let gguf = file.gguf();
    let mut tensors: Vec<TensorData> = Vec::new();
    for t in &gguf.tensors {
        let (name, dims) = (t.name.clone(), t.dims.clone());
        let (kind, bytes) = if name == "token_embd.weight" {
            let values = file.values(&name).unwrap();
            (Kind::id_of(table), quantise(table, t.n(), t.k(), &values).unwrap())
        } else if t.n() > 1 {
            // Written anew: the scale of a ternary matrix stands after what its range covers.
            let matrix = file.matrix(&name, Layout::X86).unwrap();
            let mut codes = vec![0i8; t.n() * t.k()];
            codes.chunks_mut(t.k()).enumerate().for_each(|(r, row)| matrix.codes(r, row));
            let ternary = Format::I2S(Layout::X86);
            (t.id, write_codes(ternary, t.n(), t.k(), &codes, &[matrix.scale(0, 0)]).unwrap())
        } else {
            (t.id, file.bytes(&name).unwrap().to_vec())
        };
        tensors.push(TensorData { name, dims, kind, bytes });
    }
    for (name, len) in more {
        let bytes = vec![0; 4 * len];
        tensors.push(TensorData {
            name: (*name).into(),
            dims: vec![*len],
            kind: Kind::id_of(Format::F32),
            bytes,
        });
    }
    let mut bytes = Vec::new();
    write(&mut bytes, &gguf.keys, &tensors).unwrap();
    ModelFile::from_bytes("other.gguf", bytes).unwrap()
}

#[test]
fn a_graph_is_told_step_by_step() {
    let graph = Graph::of(&tiny(Format::Q8_0), &Options::default()).unwrap();
    let text = "\
embedding      q8_0 96 x 256
block 0..2     2 alike
  rms_rows     256 (eps 0.00001)
  q, k, v      t2 256 x int8 256 | t2 128 x int8 256 | t2 128 x int8 256
  place        turn 64 of 64, base 10000; into the cache
  attention    4 heads of 64, 2 for each of 2 in the cache
  rms_rows     256 (eps 0.00001)
  output       t2 256 x int8 256
  add_rms      256 (eps 0.00001)
  gate, up     t2 256 x int8 256 | t2 256 x int8 256
  relu2_rms    256
  down         t2 256 x int8 256
  add          256
picked_rms     256 (eps 0.00001)
head           q8_0 96 x int8 256, tied to the embedding
";
    assert_eq!(graph.text(), text);
    assert_eq!(graph.block_weights(), 2 * (256 * 256 + 2 * 128 * 256 + 4 * 256 * 256));
}

#[test]
fn embeddings_and_weights_are_kept_as_asked() {
    let file = tiny(Format::F16);
    let of = |file: &ModelFile, options: &Options| Graph::of(file, options).unwrap();
    assert_eq!(of(&file, &Options::default()).table, Table::F16);
    let ternary = Options { ternary: Some(PackedFormat::T3), ..Options::default() };
    assert!(of(&file, &ternary).blocks.iter().all(|b| b.q.format == PackedFormat::T3));
    let head = Options { head: Some(PackedFormat::F32), ..Options::default() };
    assert_eq!(of(&file, &head).head.format, PackedFormat::F32);
    // Values of half precision stay what they are as singles: the same logits from both, and near ones from codes.
    let logits = |file: ModelFile, options: &Options| {
        let model =
            Model::load(&Cpu::builder().threads(1).build().unwrap(), &Arc::new(file), options).unwrap();
        let mut s = Session::new(&model, Config::default()).unwrap();
        s.feed(0, &[5, 9, 77], None).unwrap().to_vec()
    };
    let f16 = logits(with(&file, Format::F16, &[]), &Options::default());
    assert_eq!(f16, logits(with(&file, Format::F32, &[]), &Options::default()));
    assert_eq!(f16, logits(with(&file, Format::F16, &[]), &ternary));
    let largest = f16.iter().fold(0f32, |m, v| m.max(v.abs()));
    for coded in [Format::Q8_0, Format::Q4_0] {
        let file = with(&file, coded, &[]);
        assert_eq!(of(&file, &Options::default()).table, Table::Q8_0);
        let found = logits(file, &Options::default());
        let off = found.iter().zip(&f16).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(off > 0.0 && off < 0.5 * largest, "{coded}: {off} of {largest}");
    }
}

#[test]
fn what_would_be_left_out_is_refused() {
    let file = with(&tiny(Format::F16), Format::F16, &[("blk.1.ffn_up.scale", 1)]);
    let e = Graph::of(&file, &Options::default()).unwrap_err().to_string();
    assert!(e.contains("`blk.1.ffn_up.scale`: scales beside a matrix are not applied"), "{e}");
    // A bias of another length than the matrix has rows.
    let file = Arc::new(with(&tiny(Format::F16), Format::F16, &[("blk.0.attn_k.bias", 7)]));
    let loaded = Model::load(&Cpu::builder().threads(1).build().unwrap(), &file, &Options::default());
    let e = loaded.unwrap_err().to_string();
    assert!(e.contains("`blk.0.attn_k.bias` has 7 values, not 128"), "{e}");
}
