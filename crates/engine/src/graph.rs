//! A transformer as data: what a file's tensors come to, before anything is loaded.

use crate::error::{EngineError, refused};
use phalanx::kernels::PackedFormat;
use phalanx_formats::Format;
use phalanx_weights::{Activation, Layout, ModelFile, Shape};
use std::fmt::Write;

/// What of a file may be kept in another form than it has there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The form of the head. Without it: the form that holds the file's values exactly, but for Q6_K, which becomes Q8_0.
    pub head: Option<PackedFormat>,
    /// The form of ternary matrices with one scale: [`PackedFormat::T2`] (without it) or [`PackedFormat::T3`].
    pub ternary: Option<PackedFormat>,
    /// The layout of I2_S; without it what the file says or shows.
    pub layout: Option<Layout>,
}

/// A matrix of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The name of its tensor.
    pub name: String,
    /// Outputs.
    pub n: usize,
    /// Inputs.
    pub k: usize,
    /// How it is kept.
    pub format: PackedFormat,
    /// The tensor of its bias.
    pub bias: Option<String>,
}

/// A block of the transformer. Norms are root mean square norms with a weight, named by their tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Before queries, keys and values.
    pub attn_norm: String,
    /// Queries.
    pub q: Matrix,
    /// Keys.
    pub k: Matrix,
    /// Values.
    pub v: Matrix,
    /// After attention, where there is one.
    pub attn_sub_norm: Option<String>,
    /// From attention to the residual stream.
    pub o: Matrix,
    /// Before gate and up.
    pub ffn_norm: String,
    /// The gate.
    pub gate: Matrix,
    /// What the gate is multiplied with.
    pub up: Matrix,
    /// After their product, where there is one.
    pub ffn_sub_norm: Option<String>,
    /// Back to the residual stream.
    pub down: Matrix,
}

/// How the rows of the embedding are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Blocks of 32 codes with a scale, as files have them.
    Q8_0,
}

/// A model as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Its sizes.
    pub shape: Shape,
    /// The embedding.
    pub table: Table,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The norm before the head.
    pub output_norm: String,
    /// The head; its tensor is the embedding's where they are tied.
    pub head: Matrix,
}

/// The tensor of the embedding.
pub(crate) const EMBEDDING: &str = "token_embd.weight";

impl Graph {
    /// What the tensors of a file come to.
    ///
    /// # Errors
    /// Keys or tensors that are missing, do not fit each other or are of a form that is not run.
    pub fn of(file: &ModelFile, options: &Options) -> Result<Graph, EngineError> {
        let shape = file.shape()?;
        let gguf = file.gguf();
        let there = |name: String| gguf.tensor(&name).map(|_| name);
        let layout = options.layout.unwrap_or_default();
        let format_of = |name: &str, n: usize, k: usize| -> Result<Format, EngineError> {
            let tensor = gguf.tensor(name).ok_or_else(|| refused(format!("tensor `{name}` is missing")))?;
            tensor
                .kind
                .and_then(|kind| kind.format(layout, n, k))
                .ok_or_else(|| refused(format!("tensor `{name}`: elements of this type are not read")))
        };
        let matrix = |stem: String, n: usize, k: usize| -> Result<Matrix, EngineError> {
            let name = format!("{stem}.weight");
            if gguf.tensor(&format!("{stem}.scale")).is_some() {
                return Err(refused(format!(
                    "tensor `{stem}.scale`: scales beside a matrix are not applied"
                )));
            }
            let packed = match (format_of(&name, n, k)?, options.ternary) {
                (f, Some(wanted)) if f.packed() == PackedFormat::T2 => wanted,
                (f, _) => f.packed(),
            };
            Ok(Matrix { name, n, k, format: packed, bias: there(format!("{stem}.bias")) })
        };
        let (d, kv, ffn) = (shape.width, shape.kv_heads * shape.head_dim, shape.ffn);
        let block = |i: usize| -> Result<Block, EngineError> {
            let at = |name: &str| format!("blk.{i}.{name}");
            Ok(Block {
                attn_norm: at("attn_norm.weight"),
                q: matrix(at("attn_q"), d, d)?,
                k: matrix(at("attn_k"), kv, d)?,
                v: matrix(at("attn_v"), kv, d)?,
                attn_sub_norm: there(at("attn_sub_norm.weight")),
                o: matrix(at("attn_output"), d, d)?,
                ffn_norm: at("ffn_norm.weight"),
                gate: matrix(at("ffn_gate"), ffn, d)?,
                up: matrix(at("ffn_up"), ffn, d)?,
                ffn_sub_norm: there(at("ffn_sub_norm.weight")),
                down: matrix(at("ffn_down"), d, ffn)?,
            })
        };
        let blocks = (0..shape.layers).map(block).collect::<Result<_, _>>()?;
        let table = match format_of(EMBEDDING, shape.vocab, d)? {
            Format::F32 => Table::F32,
            Format::F16 => Table::F16,
            // The others have no program that reads their rows where they lie.
            _ if d.is_multiple_of(32) => Table::Q8_0,
            _ => Table::F32,
        };
        let head = if shape.tied { EMBEDDING } else { "output.weight" };
        let kept = format_of(head, shape.vocab, d)?;
        let exact = if kept == Format::Q6K { PackedFormat::Q8_0 } else { kept.packed() };
        let head = Matrix {
            name: head.into(),
            n: shape.vocab,
            k: d,
            format: options.head.unwrap_or(exact),
            bias: there("output.bias".into()),
        };
        Ok(Graph { shape, table, blocks, output_norm: "output_norm.weight".into(), head })
    }

    /// All matrices, the head last.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let blocks = self.blocks.iter().flat_map(|b| [&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down]);
        blocks.chain([&self.head])
    }

    /// Weights of the matrices in the blocks.
    pub fn block_weights(&self) -> u64 {
        self.matrices().take(7 * self.blocks.len()).map(|m| (m.n * m.k) as u64).sum()
    }

    /// The graph as a person reads it: the steps in order, blocks that are alike once.
    pub fn text(&self) -> String {
        let s = &self.shape;
        let mut out = String::new();
        let mut line = |name: &str, what: String| {
            let _ = writeln!(out, "{name:14} {what}");
        };
        let table = match self.table {
            Table::F32 => "f32",
            Table::F16 => "f16",
            Table::Q8_0 => "q8_0",
        };
        let product = |m: &Matrix| {
            let input = if m.format.is_float() { "" } else { "int8 " };
            let bias = if m.bias.is_some() { ", bias" } else { "" };
            format!("{} {} x {input}{}{bias}", m.format, m.n, m.k)
        };
        line("embedding", format!("{table} {} x {}", s.vocab, s.width));
        let plain = |b: &Block| {
            let of = |m: &Matrix| (m.n, m.k, m.format, m.bias.is_some());
            let matrices = [&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down].map(of);
            (matrices, b.attn_sub_norm.is_some(), b.ffn_sub_norm.is_some())
        };
        let mut first = 0;
        while let Some(b) = self.blocks.get(first) {
            let alike = self.blocks[first..].iter().take_while(|o| plain(o) == plain(b)).count();
            line(&format!("block {first}..{}", first + alike), format!("{alike} alike"));
            line("  rms_rows", format!("{} (eps {})", s.width, s.rms_epsilon));
            line("  q, k, v", [&b.q, &b.k, &b.v].map(product).join(" | "));
            line(
                "  place",
                format!("turn {} of {}, base {}; into the cache", s.rope_dims, s.head_dim, s.rope_base),
            );
            let group = s.heads / s.kv_heads;
            line(
                "  attention",
                format!(
                    "{} heads of {}, {group} for each of {} in the cache",
                    s.heads, s.head_dim, s.kv_heads
                ),
            );
            if b.attn_sub_norm.is_some() {
                line("  rms_rows", s.width.to_string());
            }
            line("  output", product(&b.o));
            line("  add_rms", s.width.to_string());
            line("  gate, up", [&b.gate, &b.up].map(product).join(" | "));
            let norm = if b.ffn_sub_norm.is_some() { "_rms" } else { "" };
            line(&format!("  {}{norm}", s.activation.name()), s.ffn.to_string());
            line("  down", product(&b.down));
            line("  add", s.width.to_string());
            first += alike;
        }
        line("picked_rms", s.width.to_string());
        let tied = if s.tied { ", tied to the embedding" } else { "" };
        line("head", format!("{}{tied}", product(&self.head)));
        out
    }
}

/// The kernel of a gate, with or without the norm after it.
pub(crate) fn gate_kernel(activation: Activation, norm: bool) -> &'static str {
    match (activation, norm) {
        (Activation::Relu2, true) => "relu2_rms",
        (Activation::Relu2, false) => "relu2",
        (Activation::Silu, true) => "silu_rms",
        (Activation::Silu, false) => "silu",
    }
}
