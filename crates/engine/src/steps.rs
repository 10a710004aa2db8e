//! A model's launches, recorded: the body, everything from tokens to the residual stream, and the head.

use crate::error::{EngineError, refused};
use crate::graph::{Source, gate_kernel};
use crate::model::{Linear, Model, NormWeights, Rows};
use crate::part::{Given, Part, Recording};
use crate::session::{CacheType, Config, Inputs, TILE};
use phalanx::{Buffer, Element, F16, Launcher, ops};
use phalanx_weights::Shape;
use std::ops::Range;

/// The caches of all blocks: keys, values, and elements of both in a block.
pub(crate) struct Cache {
    elements: Elements,
    each: [usize; 2],
}

enum Elements {
    F16(Buffer<F16>, Buffer<F16>),
    F32(Buffer<f32>, Buffer<f32>),
}

/// Elements of keys and values of a block, as `programs/bitnet/cache.phx` lays them out.
pub(crate) fn cache_elements(s: &Shape, texts: usize, context: usize) -> [usize; 2] {
    [s.head_dim, s.head_dim.next_multiple_of(TILE)].map(|dim| texts * s.kv_heads * context * dim)
}

impl Cache {
    /// Zeroed, each head on the node of the threads that read it.
    pub(crate) fn new(
        model: &Model,
        kind: CacheType,
        texts: usize,
        each: [usize; 2],
    ) -> Result<Cache, EngineError> {
        let (cpu, s) = (model.cpu(), &model.graph().shape);
        let [keys, values] = each.map(|n| n * s.layers);
        let elements = match kind {
            CacheType::F16 => Elements::F16(cpu.zeros(keys)?, cpu.zeros(values)?),
            CacheType::F32 => Elements::F32(cpu.zeros(keys)?, cpu.zeros(values)?),
        };
        if let Some(placement) = model.placement() {
            for (node, heads) in placement.heads(s.kv_heads).into_iter().enumerate() {
                let _held = placement.topology().hold(node);
                for text in 0..s.layers * texts {
                    let first = text * s.kv_heads;
                    let [k, v] = each.map(|n| {
                        let head = n / texts / s.kv_heads;
                        (first + heads.start) * head..(first + heads.end) * head
                    });
                    match &elements {
                        Elements::F16(keys, values) => fill(keys, k).and_then(|()| fill(values, v))?,
                        Elements::F32(keys, values) => fill(keys, k).and_then(|()| fill(values, v))?,
                    }
                }
            }
        }
        Ok(Cache { elements, each })
    }

    /// The kernel's name for this type.
    fn kernel(&self, stem: &str) -> String {
        format!("{stem}_{}", if matches!(self.elements, Elements::F16(..)) { "f16" } else { "f32" })
    }

    /// Gives a launch the keys of block `i`.
    fn keys(&self, launch: Launcher, i: usize) -> Result<Launcher, EngineError> {
        let part = i * self.each[0]..(i + 1) * self.each[0];
        Ok(match &self.elements {
            Elements::F16(keys, _) => launch.arg("kc", keys.view(part)?),
            Elements::F32(keys, _) => launch.arg("kc", keys.view(part)?),
        })
    }

    /// Gives a launch the values of block `i`.
    fn values(&self, launch: Launcher, i: usize) -> Result<Launcher, EngineError> {
        let part = i * self.each[1]..(i + 1) * self.each[1];
        Ok(match &self.elements {
            Elements::F16(_, values) => launch.arg("vc", values.view(part)?),
            Elements::F32(_, values) => launch.arg("vc", values.view(part)?),
        })
    }
}

/// Writes zeros: pages belong to the node of the thread that writes them first.
fn fill<T: Element>(buffer: &Buffer<T>, part: Range<usize>) -> Result<(), EngineError> {
    const AT_ONCE: usize = 1 << 14;
    let zeros = vec![T::zeroed(); AT_ONCE.min(part.len())];
    for from in part.clone().step_by(AT_ONCE) {
        let count = AT_ONCE.min(part.end - from);
        buffer.view(from..from + count)?.write(&zeros[..count])?;
    }
    Ok(())
}

/// Everything from tokens to the residual stream and what the last block adds to it.
pub(crate) fn body(
    model: &Model,
    config: &Config,
    cache: &Cache,
    inputs: &Inputs,
    [x, d]: &[Buffer<f32>; 2],
) -> Result<Part, EngineError> {
    let (s, cpu) = (&model.graph().shape, model.cpu());
    let (heads, kv_heads, dim) = (s.heads as u32, s.kv_heads as u32, s.head_dim as u32);
    let (context, width) = (config.context as u32, s.width as u32);
    let (q_cols, kv_cols) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
    let half = s.rope_dims / 2;
    let turns = [cpu.zeros::<f32>(config.context * half)?, cpu.zeros::<f32>(config.context * half)?];
    let angles = ops::kernel(cpu, "angles")?.launch_declared().arg("cos", &turns[0]).arg("sin", &turns[1]);
    angles.arg("context", context).arg("half", half as u32).arg("base", f64::from(s.rope_base)).run()?;

    let mut r = Recording::new(cpu, config.rows, config, s.width.max(s.ffn))?;
    let launch = match inputs.table.as_ref().unwrap_or(model.rows()) {
        Rows::F32(table) => r.kernel("embed_f32")?.arg("table", table),
        Rows::F16(table) => r.kernel("embed_f16")?.arg("table", table),
        Rows::File => return Err(refused("the rows of the embedding are nowhere")),
        Rows::Q8_0(scales, codes) => r.kernel("embed_q8_0")?.arg("scales", scales).arg("codes", codes),
    };
    r.elements(launch.arg("token", &inputs.token).arg("y", x).arg("cols", width), s.width)?;
    let norm = |r: &mut Recording, x: &Buffer<f32>, n: &NormWeights, cols: usize, next: &[&Linear]| {
        let launch = r.norm_kernel(n, Source::Rows)?.arg("x", x);
        r.norm(n, launch, cols, next)
    };
    let add_norm = |r: &mut Recording, n: &NormWeights, next: &[&Linear]| {
        let launch = r.norm_kernel(n, Source::Added)?.arg("x", x).arg("d", d);
        r.norm(n, launch, s.width, next)
    };
    for (i, layer) in model.layers().iter().enumerate() {
        let [wq, wk, wv] = &layer.qkv;
        let h = match i {
            0 => norm(&mut r, x, &layer.attn_norm, s.width, &[wq, wk, wv])?,
            _ => add_norm(&mut r, &layer.attn_norm, &[wq, wk, wv])?,
        };
        let (q, k, v) = (r.floats(q_cols)?, r.floats(kv_cols)?, r.floats(kv_cols)?);
        r.products(&h, &[(wq, &q), (wk, &k), (wv, &v)])?;

        let launch = r.kernel(&cache.kernel("place"))?.arg("q", &q).arg("k", &k).arg("v", &v);
        let launch = launch.arg("cos", &turns[0]).arg("sin", &turns[1]);
        let launch = launch.arg("pos", &inputs.pos).arg("slot", &inputs.slot);
        let launch = cache.values(cache.keys(launch, i)?, i)?;
        let launch = launch.arg("heads", heads).arg("kv_heads", kv_heads).arg("dim", dim);
        let launch = launch.arg("turned", s.rope_dims as u32).arg("context", context);
        r.elements(launch, q_cols + 2 * kv_cols)?;

        let o = r.floats(q_cols)?;
        let launch = r.kernel(&cache.kernel("attend"))?.arg("q", &q).arg("o", &o);
        let launch = cache.values(cache.keys(launch, i)?, i)?;
        let launch = launch.arg("pos", &inputs.pos).arg("slot", &inputs.slot);
        let launch = launch.arg("heads", heads).arg("kv_heads", kv_heads).arg("dim", dim);
        let launch = launch.arg("context", context).arg("factor", 1.0 / (s.head_dim as f32).sqrt());
        r.attention(launch.arg("part", 1u32).arg("tile", 1u32), (s.heads, s.kv_heads), q_cols)?;

        let o = match &layer.attn_sub_norm {
            Some(n) => norm(&mut r, &o, n, q_cols, &[&layer.o])?,
            None => Given::rows(&o),
        };
        r.products(&o, &[(&layer.o, d)])?;
        let [wg, wu] = &layer.gate_up;
        let h = add_norm(&mut r, &layer.ffn_norm, &[wg, wu])?;
        let (gate, up) = (r.floats(s.ffn)?, r.floats(s.ffn)?);
        r.products(&h, &[(wg, &gate), (wu, &up)])?;
        let (name, normed) = gate_kernel(s.activation, layer.ffn_sub_norm.as_ref().map(|n| n.kind));
        let launch = r.kernel(name)?.arg("gate", &gate).arg("up", &up);
        let f = match &layer.ffn_sub_norm {
            Some(n) if normed => r.norm(n, launch, s.ffn, &[&layer.down])?,
            other => {
                r.elements(launch.arg("cols", s.ffn as u32), s.ffn)?;
                match other {
                    Some(n) => norm(&mut r, &gate, n, s.ffn, &[&layer.down])?,
                    None => Given::rows(&gate),
                }
            }
        };
        r.products(&f, &[(&layer.down, d)])?;
    }
    r.finish()
}

/// The norm of picked rows and the head.
pub(crate) fn head(
    model: &Model,
    (most, config): (usize, &Config),
    inputs: &Inputs,
    [x, d]: &[Buffer<f32>; 2],
    logits: &Buffer<f32>,
) -> Result<Part, EngineError> {
    let width = model.graph().shape.width;
    let mut r = Recording::new(model.cpu(), most, config, width)?;
    let n = model.output_norm();
    let launch = r.norm_kernel(n, Source::Picked)?.arg("x", x).arg("d", d).arg("pick", &inputs.pick);
    let y = r.norm(n, launch, width, &[model.head()])?;
    r.products(&y, &[(model.head(), logits)])?;
    r.finish()
}
