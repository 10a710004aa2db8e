//! `explain`: the machine as detected, and what was chosen for a program.

use crate::console::{Console, count, grouped};
use crate::device::Device;
use crate::machine::{Machine, fma_rate, read_bandwidth};
use crate::source::{Content, Source};
use crate::working::working;
use anyhow::Context;
use phalanx::asm::{SourceMap, assemble, disassemble};
use phalanx::convolution::{Choice, Conv, Conv2d, ConvShape, filters};
use phalanx::isa::{
    Effect, Expr, ExprOp, Inst, Kernel as KernelData, Kind, Loc, PackFormat, ParamKind, Place, PlaceItem,
};
use phalanx::kernels::conv::ConvPlan;
use phalanx::kernels::{Split, limits};
use phalanx::product::{self, Linear, Timed};
use phalanx::verify::{AccessPattern, KernelAnalysis, ObjectUse, Scope, collective, writes};
use phalanx::{Cpu, Kernel, Program, Tier};
use phalanx_engine::{Graph, ModelFile, Options, ParallelConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Show the machine as detected and, for a program, what was chosen: how it is
/// split, what its memory is used for, and what every line costs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx explain softmax.phx")]
pub struct Args {
    /// Program text, binary module, or a model file (MODEL.gguf)
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show too which algorithm makes the sums of a convolution of this shape, and why, as "56x56 64->128 3x3 s2 p1"
    #[arg(long, value_name = "SHAPE")]
    conv: Option<ConvShape>,
    /// Show too how products with weights of this format and shape can be divided, each division timed
    #[arg(long, value_name = "FORMAT:NxK", value_parser = product)]
    product: Option<(PackFormat, usize, usize)>,
    /// Where it would run
    #[command(flatten)]
    device: Device,
    /// A row for the machine and one per kernel
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The program is rejected, or the file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let cpu = args.device.open()?;
    // What is wrong with the file should not wait for the measurement.
    if let Some(path) = args.file.as_ref().filter(|p| p.extension().is_some_and(|e| e == "gguf")) {
        return model(args, &cpu, path, console);
    }
    let program = match &args.file {
        None => None,
        Some(path) => {
            let source = Source::read(path)?;
            let program = source.load(&cpu, console)?;
            Some((source, program))
        }
    };
    machine(args, &cpu, console)?;
    if let Some((format, n, k)) = args.product {
        plans(&cpu, (format, n, k), console)?;
    }
    if let Some(shape) = args.conv {
        convolution(&cpu, shape, console)?;
    }
    let Some((source, program)) = program else { return Ok(()) };
    let text = Text::of(&source, &program)?;
    program.kernels().iter().try_for_each(|k| explain(k, &cpu, &text, console))
}

/// The graph of a model, and how it would run here.
fn model(args: &Args, cpu: &Cpu, path: &Path, console: Console) -> anyhow::Result<()> {
    let file = ModelFile::open(path)?;
    let graph = Graph::of(&file, &Options::default())?;
    machine(args, cpu, console)?;
    console.line("")?;
    console.line(graph.text().trim_end())?;
    let weights = graph.block_weights();
    let worth = ParallelConfig::detect().for_work(weights).threads;
    console.line(format!(
        "work           {} products a token: worth {}",
        grouped(weights),
        count(worth as u64, "thread")
    ))?;
    let s = &graph.shape;
    Ok(console.row(&json!({
        "model": path.display().to_string(), "architecture": s.architecture, "layers": s.layers, "width": s.width,
        "feed_forward": s.ffn, "heads": s.heads, "kv_heads": s.kv_heads, "vocabulary": s.vocab, "context": s.context,
        "activation": s.activation.name(), "tied": s.tied, "head": graph.head.format.name(),
        "block_weights": weights, "threads_worth": worth,
    }))?)
}

fn product(text: &str) -> Result<(PackFormat, usize, usize), String> {
    let wrong = || {
        format!(
            "write a format and rows x columns, as t2:2560x6912; formats are {}",
            PackFormat::WORDS.join(", ")
        )
    };
    let (format, shape) = text.split_once(':').ok_or_else(wrong)?;
    let (n, k) = shape.split_once('x').ok_or_else(wrong)?;
    let sizes = n.parse().ok().zip(k.parse().ok());
    let ((n, k), format) = sizes.zip(PackFormat::from_name(format)).ok_or_else(wrong)?;
    Ok((format, n, k))
}

/// How products with such weights can be divided over this device's threads, each division timed, and which is taken.
fn plans(cpu: &Cpu, (format, n, k): (PackFormat, usize, usize), console: Console) -> anyhow::Result<()> {
    let layer = Linear::new(cpu, product::pack(format, n, k, &vec![0.0; n * k])?.into());
    console.line("")?;
    console.line(format!("product  {format} {n} x {k}, {}", count(cpu.threads() as u64, "thread")))?;
    console.line(format!(
        "{:>7}  {:13} {:>5}  {:35} {:>9}",
        "columns", "divided along", "tiles", "tile", "GMAC/s"
    ))?;
    for m in [1, 2, 4, 8, 32, 128, 512] {
        let timed = layer.measure(m)?;
        let taken = layer.plan(m);
        for Timed { split, plan, seconds } in &timed {
            let along = match split {
                Split::None => "nothing",
                Split::Weights => "weight rows",
                Split::Activations => "columns",
                Split::Both => "both",
            };
            let (taken, mark) = if *plan == taken { (true, "  taken") } else { (false, "") };
            let tile = format!("{} columns x {} weight rows", plan.tile_m, plan.tile_n);
            let rate = (m * n * k) as f64 / seconds / 1e9;
            console.line(format!("{m:>7}  {along:13} {:>5}  {tile:35} {rate:>9.1}{mark}", plan.len()))?;
            console.row(&json!({
                "product": format.name(), "n": n, "k": k, "columns": m, "threads": cpu.threads(), "divided_along": along,
                "tiles": plan.len(), "tile_columns": plan.tile_m, "tile_rows": plan.tile_n, "gmac_per_s": rate, "taken": taken,
            }))?;
        }
    }
    Ok(())
}

/// What makes the sums of a convolution, for each kind of filters, and how it is divided over this device's threads.
fn convolution(cpu: &Cpu, shape: ConvShape, console: Console) -> anyhow::Result<()> {
    let conv = Conv::new(shape)?;
    let [rows, cols] = conv.output();
    console.line("")?;
    console
        .line(format!("convolution  {shape}, to {cols}x{rows}, {}", count(cpu.threads() as u64, "thread")))?;
    for format in [PackFormat::I8, PackFormat::T2, PackFormat::F32] {
        let name = format.name();
        let Choice { algorithm, why } = match conv.algorithm(format == PackFormat::F32) {
            Ok(choice) => choice,
            Err(e) => {
                console.line(format!("{name:>4}  {e}"))?;
                console.row(
                    &json!({"convolution": shape.to_string(), "weights": name, "refused": e.to_string()}),
                )?;
                continue;
            }
        };
        let weights = filters(format, shape, &vec![0.0; conv.weights_len()])?;
        let working = working(Tier::best(), &weights, ConvPlan::choose(&weights, 1, 1))?;
        let (bytes, layer) = (weights.bytes(), Conv2d::new(cpu, weights.into()));
        let plan = layer.plan(1);
        let tiles = plan.tiles(layer.weights());
        let cut = format!(
            "{} of {} rows x {} channels",
            count(tiles as u64, "tile"),
            plan.tile_rows,
            plan.tile_channels
        );
        console.line(format!("{name:>4}  {algorithm}: {why}"))?;
        console.line(format!(
            "      {} bytes of weights, {} to work in for an image, {cut}",
            grouped(bytes as u64),
            grouped(working as u64)
        ))?;
        console.row(&json!({
            "convolution": shape.to_string(), "weights": name, "algorithm": algorithm.name(), "why": why, "weight_bytes": bytes,
            "working_bytes": working, "threads": cpu.threads(), "tiles": tiles, "tile_rows": plan.tile_rows, "tile_channels": plan.tile_channels,
        }))?;
    }
    Ok(())
}

fn machine(args: &Args, cpu: &Cpu, console: Console) -> anyhow::Result<()> {
    let machine = Machine::detect();
    let tier = args.device.tier();
    let read = read_bandwidth(machine.cores, Duration::from_millis(120));
    let fma = fma_rate(Duration::from_millis(60));
    console.line(format!("cpu      {}, {}", machine.name, count(machine.cores as u64, "core")))?;
    if !machine.caches.is_empty() {
        console.line(format!("caches   {}", machine.caches_text()))?;
    }
    let best =
        if tier == machine.best { String::new() } else { format!(" (the machine has {})", machine.best) };
    console.line(format!("SIMD     {tier}{best}"))?;
    let (executor, threads) = (cpu.executor(), cpu.threads());
    console.line(format!("runs on  executor {executor}, {}", count(threads as u64, "thread")))?;
    let (read, fma) = (read / 1e9, fma / 1e9);
    let int8 = limits::int8_rate(tier, Duration::from_millis(60)).map(|r| r / 1e9);
    let int8_text = int8.map_or(String::new(), |r| format!(", int8 {r:.0} GMAC/s a core"));
    console.line(format!("measured read {read:.1} GB/s, f32 {fma:.0} GFLOP/s a core{int8_text}"))?;
    let mut row = machine.row();
    row["simd_used"] = json!(tier.name());
    row["executor"] = json!(executor);
    row["threads"] = json!(threads);
    row["read_gb_per_s"] = json!(read);
    row["f32_gflop_per_s"] = json!(fma);
    row["int8_gmac_per_s"] = json!(int8);
    Ok(console.row(&row)?)
}

/// The text in which a program's instructions are shown: its own, or what the disassembler makes of a binary.
struct Text {
    lines: Vec<String>,
    map: SourceMap,
}

impl Text {
    fn of(source: &Source, program: &Program) -> anyhow::Result<Text> {
        let text = match &source.content {
            Content::Text(text) => text.clone(),
            Content::Binary(_) => disassemble(program.module())?,
        };
        let assembled =
            assemble(&source.name, &text).ok().context("the program's text cannot be read again")?;
        Ok(Text { lines: text.lines().map(str::to_string).collect(), map: assembled.map })
    }

    /// An instruction as written, from its guard to its end, with single spaces.
    fn instruction(&self, place: Place, inst: u32) -> String {
        let at = self.map.span(&Place { item: PlaceItem::Guard(inst), ..place });
        let line = (at.line as usize).checked_sub(1).and_then(|l| self.lines.get(l));
        let rest: String =
            line.map_or(String::new(), |l| l.chars().skip(at.col.saturating_sub(1) as usize).collect());
        let end = rest.find("//").into_iter().chain(rest.find(';')).min().unwrap_or(rest.len());
        rest[..end].split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn explain(kernel: &Kernel, cpu: &Cpu, text: &Text, console: Console) -> anyhow::Result<()> {
    let data = kernel.data();
    let analysis = kernel.program().verified().analysis(kernel.index());
    console.line("")?;
    console.line(format!("kernel {}", kernel.name()))?;
    let split = split(data, analysis, cpu.threads());
    wrapped(console, "split    ", &split)?;
    let memory = memory(data, analysis);
    for (i, (name, how)) in memory.iter().enumerate() {
        let head = if i == 0 { "memory   " } else { "         " };
        console.line(format!("{head}{name}  {how}"))?;
    }
    let order = order(data, analysis);
    wrapped(console, "order    ", &order)?;
    console.line(format!("{:>4}  {:45}  cost", "line", "instruction"))?;
    let mut lines = Vec::new();
    for (f, func) in data.funcs.iter().enumerate() {
        if f > 0 {
            console.line(format!("      func {}", func.name))?;
        }
        for (i, inst) in func.code.iter().enumerate() {
            let place = Place { kernel: kernel.index() as u16, func: f as u16, item: PlaceItem::Func };
            let shown = text.instruction(place, i as u32);
            let cost = cost(analysis, f, i as u32, inst);
            let Loc { line, .. } = inst.loc;
            console.line(format!("{line:>4}  {:45}  {cost}", cut(&shown, 45)))?;
            lines.push(json!({"function": func.name, "line": line, "instruction": shown, "cost": cost}));
        }
    }
    let memory: Vec<Value> =
        memory.into_iter().map(|(name, how)| json!({"name": name, "use": how})).collect();
    Ok(console.row(&json!({
        "kernel": kernel.name(), "executor": cpu.executor(), "split": split, "memory": memory,
        "order_free": analysis.order_free(), "order": order, "lines": lines,
    }))?)
}

/// At most so many characters, the last three dots where some are missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width - 3).chain("...".chars()).collect()
}

/// Writes words in lines of at most 80 columns under a head.
fn wrapped(console: Console, head: &str, text: &str) -> std::io::Result<()> {
    let mut line = head.to_string();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > 80 {
            console.line(&line)?;
            line = " ".repeat(head.len());
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    console.line(line)
}

/// How a launch is divided.
fn split(kernel: &KernelData, analysis: &KernelAnalysis, threads: usize) -> String {
    let grid = match &kernel.grid {
        None => "as launched".to_string(),
        Some(sizes) => {
            let used = sizes.iter().rposition(|e| *e != Expr::Const(1)).unwrap_or(0);
            sizes[..=used].iter().map(|e| expression(kernel, e)).collect::<Vec<_>>().join(", ")
        }
    };
    let block = match kernel.block {
        None => "blocks as launched".to_string(),
        Some(b) => format!("blocks of {} lanes", b.iter().map(|n| u64::from(*n)).product::<u64>()),
    };
    let threads = count(threads as u64, "thread");
    let lanes = match collectives(analysis) {
        true => "lanes in step between collective operations",
        false => "lanes without waiting for each other",
    };
    format!("grid {grid}, {block}; blocks over {threads}, where they are fewer the lanes of a block; {lanes}")
}

fn collectives(analysis: &KernelAnalysis) -> bool {
    analysis.funcs.iter().any(|f| f.reaches_block_collective || f.reaches_subgroup_collective)
}

/// A launch-time size as it is written.
fn expression(kernel: &KernelData, e: &Expr) -> String {
    let name = |p: &u16| kernel.params.get(usize::from(*p)).map_or("?", |p| p.name.as_str()).to_string();
    match e {
        Expr::Const(n) => n.to_string(),
        Expr::Param(p) => name(p),
        Expr::Len(p) => format!("len({})", name(p)),
        Expr::Bin(op, a, b) => {
            let inner = |e: &Expr| match (e, op) {
                (Expr::Bin(ExprOp::Add | ExprOp::Sub, ..), ExprOp::Mul | ExprOp::Div)
                | (Expr::Bin(ExprOp::Mul | ExprOp::Div, ..), ExprOp::Div) => {
                    format!("({})", expression(kernel, e))
                }
                _ => expression(kernel, e),
            };
            let (a, b) = (inner(a), inner(b));
            match op {
                ExprOp::Add => format!("{a} + {b}"),
                ExprOp::Sub => format!("{a} - {b}"),
                ExprOp::Mul => format!("{a} * {b}"),
                ExprOp::Div => format!("{a} / {b}"),
                ExprOp::CeilDiv => format!("ceil({a}, {b})"),
                ExprOp::Min => format!("min({a}, {b})"),
                ExprOp::Max => format!("max({a}, {b})"),
            }
        }
    }
}

/// Buffers and arrays with what is done to them.
fn memory(kernel: &KernelData, analysis: &KernelAnalysis) -> Vec<(String, String)> {
    let how = |u: &ObjectUse| {
        let mut text = match (u.read, u.written, u.atomic) {
            (_, _, true) => "atomic",
            (true, true, _) => "read and written",
            (false, true, _) => "written",
            (true, false, _) => "read only",
            (false, false, _) => "not used",
        }
        .to_string();
        if u.native {
            text += ", by a native operation";
        }
        text
    };
    let params = kernel.params.iter().zip(&analysis.params).filter_map(|(p, u)| match &p.kind {
        ParamKind::Scalar(_) => None,
        ParamKind::Buffer { elem, count: None, .. } => {
            Some((p.name.clone(), format!("{elem}[], {}", how(u))))
        }
        ParamKind::Buffer { elem, count: Some(n), .. } => {
            Some((p.name.clone(), format!("{elem}[][{n}], {}", how(u))))
        }
        ParamKind::Packed { .. } => Some((p.name.clone(), "packed weights, read only".into())),
    });
    let array = |what: &'static str| {
        move |(a, u): (&phalanx::isa::Array, &ObjectUse)| {
            let len = a.len.map_or("as launched".to_string(), |n| n.to_string());
            (a.name.clone(), format!("{}[{len}], {what}, {}", a.elem, how(u)))
        }
    };
    let shared = kernel.shared.iter().zip(&analysis.shared).map(array("shared by a block"));
    let private = kernel.private.iter().zip(&analysis.private).map(array("private to a lane"));
    params.chain(shared).chain(private).collect()
}

/// Whether the result depends on the order of blocks and lanes.
fn order(kernel: &KernelData, analysis: &KernelAnalysis) -> String {
    let Some(first) = analysis.order.first() else {
        return "order-free: the same bits on any number of threads, provided that no lanes race".into();
    };
    let inst = kernel.funcs.get(first.func).and_then(|f| f.code.get(first.inst as usize));
    let (line, name) = inst.map_or((0, String::new()), |i| (i.loc.line, i.mnemonic().to_string()));
    let more = match analysis.order.len() {
        1 => String::new(),
        n => format!(" (and {} more)", count(n as u64 - 1, "place")),
    };
    format!("not order-free: line {line}, `{name}` {}{more}", first.why)
}

/// What an instruction costs, in words.
fn cost(analysis: &KernelAnalysis, func: usize, at: u32, inst: &Inst) -> String {
    let known = &analysis.funcs[func];
    let info = inst.op.info();
    if !known.cfg.reachable(known.cfg.block_of(at)) {
        return "never reached".into();
    }
    if info.kind == Kind::Native {
        return "native, once a block".into();
    }
    match collective(inst) {
        Some(Scope::Block) => return "collective over the block".into(),
        Some(Scope::Subgroup) => return "collective over subgroups".into(),
        None => {}
    }
    if info.has(Effect::Exit) && inst.guard.is_none() {
        return "end".into();
    }
    if info.has(Effect::Branch) || info.has(Effect::Exit) || info.has(Effect::Return) {
        return if known.divergent_branch(at) { "divergent branch" } else { "uniform branch, once a block" }
            .into();
    }
    if let Some(pattern) = known.pattern(at) {
        let store = info.has(Effect::MemWrite);
        let how = match pattern {
            AccessPattern::Uniform if info.has(Effect::MemAtomic) => "one element for all lanes".to_string(),
            AccessPattern::Uniform if store => "one element for all lanes".to_string(),
            AccessPattern::Uniform => "uniform, once a block".to_string(),
            AccessPattern::Contiguous => "contiguous".to_string(),
            AccessPattern::Strided(n) => format!("strided {n}"),
            AccessPattern::Varying if store => "scatter".to_string(),
            AccessPattern::Varying => "gather".to_string(),
        };
        return if info.has(Effect::MemAtomic) { format!("atomic, {how}") } else { how };
    }
    if info.has(Effect::Call) {
        return "call".into();
    }
    let written = writes(inst);
    let regs = (0..=u8::MAX).filter(|r| written.contains(phalanx::verify::Var::Reg(*r)));
    let preds = (0..16u8).filter(|p| written.contains(phalanx::verify::Var::Pred(*p)));
    let uniform =
        regs.map(|r| analysis.uniform_reg(func, r)).chain(preds.map(|p| analysis.uniform_pred(func, p)));
    let all: Vec<bool> = uniform.collect();
    if !all.is_empty() && all.iter().all(|u| *u) {
        "uniform, once a block".into()
    } else {
        "every lane".into()
    }
}
