//! A model's weights on a device.

use crate::error::{EngineError, refused};
use crate::graph::{Block, EMBEDDING, Graph, Matrix, Norm, Options, Table};
use crate::placement::Placement;
use phalanx::kernels::{PackedFormat, PackedWeights};
use phalanx::{Buffer, Cpu, Element, F16};
use phalanx_formats::{Format, quantise};
use phalanx_weights::{Evidence, Layout, ModelFile, NormKind};
use std::sync::Arc;

/// A matrix and what is added to its products.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) weights: Arc<PackedWeights>,
    pub(crate) bias: Option<Buffer<f32>>,
}

/// The numbers of a norm: a weight, and a bias for layer norms, zeros where the file has none.
#[derive(Clone, Debug)]
pub(crate) struct NormWeights {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f32,
    pub(crate) weight: Buffer<f32>,
    pub(crate) bias: Option<Buffer<f32>>,
}

/// The weights of a block.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attn_norm: NormWeights,
    pub(crate) qkv: [Linear; 3],
    pub(crate) attn_sub_norm: Option<NormWeights>,
    pub(crate) o: Linear,
    pub(crate) ffn_norm: NormWeights,
    pub(crate) gate_up: [Linear; 2],
    pub(crate) ffn_sub_norm: Option<NormWeights>,
    pub(crate) down: Linear,
}

/// The rows of the embedding, where they lie.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    F32(Buffer<f32>),
    F16(Buffer<F16>),
    /// The same bytes twice: as scales and as codes.
    Q8_0(Buffer<F16>, Buffer<i8>),
    /// In the file, in the form that the graph names: those of a run are read before it.
    File,
}

/// A graph with its weights, packed for the products, on a device. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cpu: Cpu,
    graph: Graph,
    layout: (Layout, Evidence),
    rows: Rows,
    /// Where they may be read from.
    file: Arc<ModelFile>,
    layers: Vec<Layer>,
    output_norm: NormWeights,
    head: Linear,
    placement: Option<Placement>,
}

/// What a [`Model`] is made from.
pub(crate) struct Parts {
    pub(crate) rows: Rows,
    pub(crate) file: Arc<ModelFile>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: NormWeights,
    pub(crate) head: Linear,
    pub(crate) placement: Option<Placement>,
}

/// A view as elements of its type.
pub(crate) fn typed<T: Element>(view: phalanx::RawView) -> Result<Buffer<T>, EngineError> {
    Buffer::from_raw(view).ok_or_else(|| refused("a view of another type"))
}

impl Model {
    /// Loads a file's weights onto a device: matrices are packed on the device's number of threads, the rows of the embedding
    /// stay in the file where a program can read them there.
    ///
    /// # Errors
    /// A model that is not run, tensors that cannot be packed, no memory.
    pub fn load(cpu: &Cpu, file: &Arc<ModelFile>, options: &Options) -> Result<Model, EngineError> {
        let layout = match options.layout {
            Some(layout) => (layout, Evidence::Named),
            None => file.i2s_layout()?,
        };
        let graph = Graph::of(file, &Options { layout: Some(layout.0), ..*options })?;
        let wanted: Vec<(&str, PackedFormat)> =
            graph.matrices().map(|m| (m.name.as_str(), m.format)).collect();
        let placement = cpu.workers().topology().map(|t| Placement::new(&graph, t, cpu.threads()));
        let watch = |i: usize| -> Box<dyn FnMut(usize)> {
            match &placement {
                Some(placement) => Box::new(placement.filler(i)),
                None => Box::new(|_| {}),
            }
        };
        let mut packed = file.pack_all(&wanted, layout.0, cpu.threads(), &watch)?.into_iter();
        let vector = |name: &str, len: usize| -> Result<Buffer<f32>, EngineError> {
            let values = file.values(name)?;
            if values.len() != len {
                return Err(refused(format!("tensor `{name}` has {} values, not {len}", values.len())));
            }
            Ok(cpu.buffer(&values)?)
        };
        let norm = |n: &Norm| -> Result<NormWeights, EngineError> {
            let bias = match (&n.bias, n.kind) {
                (Some(name), _) => Some(vector(name, n.len)?),
                (None, NormKind::Layer) => Some(cpu.zeros(n.len)?),
                (None, NormKind::Rms) => None,
            };
            let (kind, epsilon) = (n.kind, graph.shape.epsilon);
            Ok(NormWeights { kind, epsilon, weight: vector(&n.name, n.len)?, bias })
        };
        let mut linear = |m: &Matrix| -> Result<Linear, EngineError> {
            let bias = m.bias.as_ref().map(|name| vector(name, m.n)).transpose()?;
            // As many as were asked for, in the graph's order.
            let weights = packed.next().ok_or_else(|| refused("a matrix was not packed"))?;
            Ok(Linear { weights: Arc::new(weights), bias })
        };
        let mut layer = |b: &Block| -> Result<Layer, EngineError> {
            Ok(Layer {
                attn_norm: norm(&b.attn_norm)?,
                qkv: [linear(&b.q)?, linear(&b.k)?, linear(&b.v)?],
                attn_sub_norm: b.attn_sub_norm.as_ref().map(norm).transpose()?,
                o: linear(&b.o)?,
                ffn_norm: norm(&b.ffn_norm)?,
                gate_up: [linear(&b.gate)?, linear(&b.up)?],
                ffn_sub_norm: b.ffn_sub_norm.as_ref().map(norm).transpose()?,
                down: linear(&b.down)?,
            })
        };
        let layers = graph.blocks.iter().map(&mut layer).collect::<Result<_, _>>()?;
        let head = linear(&graph.head)?;
        let rows = table(cpu, file, &graph)?;
        let output_norm = norm(&graph.output_norm)?;
        let file = Arc::clone(file);
        Ok(Model::of(cpu, graph, layout, Parts { rows, file, layers, output_norm, head, placement }))
    }

    pub(crate) fn of(cpu: &Cpu, graph: Graph, layout: (Layout, Evidence), parts: Parts) -> Model {
        let Parts { rows, file, layers, output_norm, head, placement } = parts;
        let cpu = cpu.clone();
        Model(Arc::new(Inner { cpu, graph, layout, rows, file, layers, output_norm, head, placement }))
    }

    /// The bytes of a row of the embedding as they lie in the file.
    pub(crate) fn read_row(&self, token: u32, to: &mut [u8]) -> Result<(), EngineError> {
        Ok(self.0.file.read_row(EMBEDDING, token as usize, to)?)
    }

    /// The device.
    pub fn cpu(&self) -> &Cpu {
        &self.0.cpu
    }
    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }
    /// Where its weights are, on a device with several memory nodes.
    pub fn placement(&self) -> Option<&Placement> {
        self.0.placement.as_ref()
    }
    /// The layout in which I2_S was read, and why.
    pub fn layout(&self) -> (Layout, Evidence) {
        self.0.layout
    }
    /// Bytes of the packed matrices in the blocks.
    pub fn block_bytes(&self) -> u64 {
        self.block_matrices().map(|w| w.bytes().len() as u64).sum()
    }
    /// Bytes of the packed head.
    pub fn head_bytes(&self) -> u64 {
        self.0.head.weights.bytes().len() as u64
    }
    /// The packed matrices, in the order of the graph, the head last: what a token reads.
    pub fn packed(&self) -> impl Iterator<Item = &PackedWeights> {
        self.block_matrices().chain([&*self.0.head.weights])
    }

    fn block_matrices(&self) -> impl Iterator<Item = &PackedWeights> {
        self.0
            .layers
            .iter()
            .flat_map(|l| l.qkv.iter().chain([&l.o]).chain(&l.gate_up).chain([&l.down]).map(|m| &*m.weights))
    }
    pub(crate) fn rows(&self) -> &Rows {
        &self.0.rows
    }
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.0.layers
    }
    pub(crate) fn output_norm(&self) -> &NormWeights {
        &self.0.output_norm
    }
    pub(crate) fn head(&self) -> &Linear {
        &self.0.head
    }
}

/// The rows of the embedding.
fn table(cpu: &Cpu, file: &Arc<ModelFile>, graph: &Graph) -> Result<Rows, EngineError> {
    let (n, k) = (graph.shape.vocab, graph.shape.width);
    let matrix = file.matrix(EMBEDDING, Layout::default())?;
    let values = |to: &mut dyn FnMut(&[f32]) -> Result<(), EngineError>| {
        let mut row = vec![0.0; k];
        (0..n).try_for_each(|r| {
            matrix.values(r, &mut row);
            to(&row)
        })
    };
    Ok(match (graph.table, matrix.format()) {
        (Table::F32, Format::F32) | (Table::F16, _) | (Table::Q8_0, Format::Q8_0) => Rows::File,
        (Table::F32, _) => {
            let mut all = Vec::with_capacity(n * k);
            values(&mut |row| {
                all.extend_from_slice(row);
                Ok(())
            })?;
            Rows::F32(cpu.buffer(&all)?)
        }
        (Table::Q8_0, _) => {
            let mut all: Vec<u8> = Vec::with_capacity(n * k / 32 * 34);
            values(&mut |row| {
                let bytes = quantise(Format::Q8_0, 1, k, row).map_err(|e| refused(e.to_string()))?;
                all.extend(bytes);
                Ok(())
            })?;
            let scales = cpu.raw_buffer(phalanx::Type::F16, &all)?;
            let codes = scales.buffer.view(phalanx::Type::I8);
            Rows::Q8_0(typed(scales)?, typed(codes)?)
        }
    })
}
