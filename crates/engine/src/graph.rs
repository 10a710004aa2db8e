//! A transformer as data: what a file's tensors come to, before anything is loaded.

use crate::error::{EngineError, refused};
use phalanx::kernels::PackedFormat;
use phalanx_formats::Format;
use phalanx_weights::{Activation, Layout, ModelFile, NormKind, Shape};
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

/// A norm of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    /// The name of its tensor.
    pub name: String,
    /// How many elements it is over.
    pub len: usize,
    /// What it does with them.
    pub kind: NormKind,
    /// The tensor of its bias; root mean square norms have none.
    pub bias: Option<String>,
}

/// Where a norm takes its rows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// As they are.
    Rows,
    /// A sum of two, which stays the first's new value.
    Added,
    /// Sums of rows that are picked.
    Picked,
}

/// The kernel of a norm.
pub(crate) fn norm_kernel(kind: NormKind, source: Source) -> &'static str {
    match (kind, source) {
        (NormKind::Rms, Source::Rows) => "rms_rows",
        (NormKind::Rms, Source::Added) => "add_rms",
        (NormKind::Rms, Source::Picked) => "picked_rms",
        (NormKind::Layer, Source::Rows) => "ln_rows",
        (NormKind::Layer, Source::Added) => "add_ln",
        (NormKind::Layer, Source::Picked) => "picked_ln",
    }
}

/// A block of the transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Before queries, keys and values.
    pub attn_norm: Norm,
    /// Queries.
    pub q: Matrix,
    /// Keys.
    pub k: Matrix,
    /// Values.
    pub v: Matrix,
    /// After attention, where there is one.
    pub attn_sub_norm: Option<Norm>,
    /// From attention to the residual stream.
    pub o: Matrix,
    /// Before gate and up.
    pub ffn_norm: Norm,
    /// The gate.
    pub gate: Matrix,
    /// What the gate is multiplied with.
    pub up: Matrix,
    /// After their product, where there is one.
    pub ffn_sub_norm: Option<Norm>,
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
    pub output_norm: Norm,
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
        let kind = shape.norm;
        let norm = |stem: String, len: usize| -> Result<Norm, EngineError> {
            let bias = there(format!("{stem}.bias"));
            // A bias that is left out would change every answer without a word.
            if let (NormKind::Rms, Some(bias)) = (kind, &bias) {
                return Err(refused(format!("tensor `{bias}`: root mean square norms have no bias")));
            }
            Ok(Norm { name: format!("{stem}.weight"), len, kind, bias })
        };
        let sub_norm =
            |stem: String, len: usize| there(format!("{stem}.weight")).map(|_| norm(stem, len)).transpose();
        let (d, kv, ffn) = (shape.width, shape.kv_heads * shape.head_dim, shape.ffn);
        let block = |i: usize| -> Result<Block, EngineError> {
            let at = |name: &str| format!("blk.{i}.{name}");
            Ok(Block {
                attn_norm: norm(at("attn_norm"), d)?,
                q: matrix(at("attn_q"), d, d)?,
                k: matrix(at("attn_k"), kv, d)?,
                v: matrix(at("attn_v"), kv, d)?,
                attn_sub_norm: sub_norm(at("attn_sub_norm"), d)?,
                o: matrix(at("attn_output"), d, d)?,
                ffn_norm: norm(at("ffn_norm"), d)?,
                gate: matrix(at("ffn_gate"), ffn, d)?,
                up: matrix(at("ffn_up"), ffn, d)?,
                ffn_sub_norm: sub_norm(at("ffn_sub_norm"), ffn)?,
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
        let output_norm = norm("output_norm".into(), d)?;
        Ok(Graph { shape, table, blocks, output_norm, head })
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
        let norm = |n: &Norm| {
            let bias = if n.bias.is_some() { ", bias" } else { "" };
            format!("{} (eps {}){bias}", n.len, s.epsilon)
        };
        line("embedding", format!("{table} {} x {}", s.vocab, s.width));
        let plain = |b: &Block| {
            let of = |m: &Matrix| (m.n, m.k, m.format, m.bias.is_some());
            let matrices = [&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down].map(of);
            let norms =
                [Some(&b.attn_norm), b.attn_sub_norm.as_ref(), Some(&b.ffn_norm), b.ffn_sub_norm.as_ref()];
            (matrices, norms.map(|n| n.map(|n| (n.len, n.kind, n.bias.is_some()))))
        };
        let mut first = 0;
        while let Some(b) = self.blocks.get(first) {
            let alike = self.blocks[first..].iter().take_while(|o| plain(o) == plain(b)).count();
            line(&format!("block {first}..{}", first + alike), format!("{alike} alike"));
            line(&format!("  {}", norm_kernel(b.attn_norm.kind, Source::Rows)), norm(&b.attn_norm));
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
            if let Some(n) = &b.attn_sub_norm {
                line(&format!("  {}", norm_kernel(n.kind, Source::Rows)), norm(n));
            }
            line("  output", product(&b.o));
            line(&format!("  {}", norm_kernel(b.ffn_norm.kind, Source::Added)), norm(&b.ffn_norm));
            line("  gate, up", [&b.gate, &b.up].map(product).join(" | "));
            let (gate, normed) = gate_kernel(s.activation, b.ffn_sub_norm.as_ref().map(|n| n.kind));
            line(&format!("  {gate}"), s.ffn.to_string());
            if let Some(n) = b.ffn_sub_norm.as_ref().filter(|_| !normed) {
                line(&format!("  {}", norm_kernel(n.kind, Source::Rows)), norm(n));
            }
            line("  down", product(&b.down));
            line("  add", s.width.to_string());
            first += alike;
        }
        line(norm_kernel(self.output_norm.kind, Source::Picked), norm(&self.output_norm));
        let tied = if s.tied { ", tied to the embedding" } else { "" };
        line("head", format!("{}{tied}", product(&self.head)));
        out
    }
}

/// The kernel of a gate, and whether it has the norm after it in it.
pub(crate) fn gate_kernel(activation: Activation, norm: Option<NormKind>) -> (&'static str, bool) {
    match (activation, norm) {
        (Activation::Relu2, Some(NormKind::Rms)) => ("relu2_rms", true),
        (Activation::Silu, Some(NormKind::Rms)) => ("silu_rms", true),
        (Activation::Relu2, _) => ("relu2", false),
        (Activation::Silu, _) => ("silu", false),
        (Activation::Gelu, _) => ("gelu_gated", false),
    }
}
