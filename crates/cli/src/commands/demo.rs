//! `demo`: embedded examples that need no file.

use crate::console::{Console, grouped, say};
use crate::device::Device;
use crate::interrupt;
use anyhow::{Context, ensure};
use phalanx::convolution::{Conv2d, Requantised, Valued, filters};
use phalanx::isa::PackFormat;
use phalanx::{Buffer, Cpu, Kernel, PackedWeights, Sequence, SequenceBuilder};
use phalanx_npy::{Array, Dtype};
use phalanx_programs::digits::{CONV_LAYERS, IMAGES, LABELS, LAYERS, Layer};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Run an embedded example: real images in, classes out.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  phalanx demo digits\n  phalanx demo digits --model conv")]
pub struct Args {
    /// The example
    #[arg(value_name = "EXAMPLE")]
    example: Example,
    /// The network
    #[arg(long, value_name = "NAME", default_value = "mlp")]
    model: Model,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// One row with the result
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Example {
    /// Handwritten digits, by a network with weights of -1, 0 and 1
    Digits,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Model {
    /// Three fully connected layers
    Mlp,
    /// Four convolutions
    Conv,
}

/// Pixels in a row of an image, and rows.
const SIDE: usize = 8;
/// A pixel from which on an image shows ink; the darkest is 16.
const INK: u8 = 8;
/// Images shown side by side.
const SHOWN: usize = 4;
/// How long the rate is measured.
const MEASURED: Duration = Duration::from_millis(400);

/// Runs the command.
///
/// # Errors
/// A launch fails, or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let cpu = args.device.open()?;
    match (args.example, args.model) {
        (Example::Digits, model) => digits(&cpu, model, console),
    }
}

fn digits(cpu: &Cpu, model: Model, console: Console) -> anyhow::Result<()> {
    let images = bytes(IMAGES, Dtype::U8)?;
    let labels = bytes(LABELS, Dtype::U8)?.data;
    let [count, pixels] = images.shape[..] else { anyhow::bail!("the images have no rows") };
    ensure!(pixels == SIDE * SIDE && labels.len() == count, "the images do not fit their labels");

    let (network, classes) = match model {
        Model::Mlp => mlp(cpu, &images.data, count)?,
        Model::Conv => convolutions(cpu, &images.data, count)?,
    };
    let run = || interrupt::cancellable(|| network.run_cancellable(interrupt::token()));
    let stopped = |e: phalanx::LaunchError| match e.is_cancelled() {
        true => anyhow::anyhow!("interrupted"),
        false => e.into(),
    };
    run().map_err(stopped)?;
    let found = classes.read()?;
    show(&images.data, &found, console)?;

    let mut times = Vec::new();
    let begin = Instant::now();
    while times.is_empty() || begin.elapsed() < MEASURED {
        let from = Instant::now();
        run().map_err(stopped)?;
        times.push(from.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let rate = count as f64 / times[times.len() / 2];
    ensure!(classes.read()? == found, "the same images gave other classes the second time");

    let correct = found.iter().zip(&labels).filter(|(f, l)| f == l).count();
    let accuracy = correct as f64 / count as f64;
    let percent = accuracy * 100.0;
    // Three figures: the others change from run to run.
    let scale = 10f64.powf(rate.log10().floor() - 2.0).max(1.0);
    let shown = grouped(((rate / scale).round() * scale) as u64);
    let folder = match model {
        Model::Mlp => "programs/digits/",
        Model::Conv => "programs/",
    };
    console.line(format!(
        "{correct} of {count} right ({percent:.1} %)   {shown} images a second   every step a program in {folder}"
    ))?;
    if console.json {
        say!("{correct} of {count} right ({percent:.1} %), {shown} images a second");
    }
    Ok(console.row(&json!({
        "images": count, "correct": correct, "accuracy": accuracy, "images_per_second": rate,
    }))?)
}

/// An embedded array.
fn bytes(file: &[u8], dtype: Dtype) -> anyhow::Result<Array> {
    let array = phalanx_npy::read(file).context("the embedded data is damaged")?;
    ensure!(array.dtype == dtype, "the embedded data holds {}, not {dtype}", array.dtype);
    Ok(array)
}

fn floats(file: &[u8]) -> anyhow::Result<Vec<f32>> {
    let data = bytes(file, Dtype::F32)?.data;
    Ok(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The kernels of the network.
struct Kernels {
    product: Kernel,
    dense: Kernel,
    logits: Kernel,
    classify: Kernel,
}

/// The program of the fully connected layers, with the step from logits to classes.
fn program(cpu: &Cpu) -> anyhow::Result<phalanx::Program> {
    let program = phalanx_programs::find("digits/digits").context("there is no program `digits/digits`")?;
    Ok(cpu.load_named("programs/digits/digits.phx", program.text)?)
}

/// The convolutional network over all images as one launch sequence, and the buffer of its answers.
fn convolutions(cpu: &Cpu, pixels: &[u8], count: usize) -> anyhow::Result<(Sequence, Buffer<u8>)> {
    let pixels: Vec<i8> = pixels.iter().map(|p| *p as i8).collect();
    let mut x = cpu.buffer(&pixels)?;
    let mut record = cpu.sequence();
    let classes = cpu.zeros::<u8>(count)?;
    for layer in &CONV_LAYERS {
        let weights: Vec<f32> =
            bytes(layer.weights, Dtype::I8)?.data.iter().map(|b| f32::from(*b as i8)).collect();
        let weights = Arc::new(filters(PackFormat::T2, layer.shape.parse()?, &weights)?);
        let len = count * weights.conv().output_len();
        let scale = cpu.buffer(&floats(layer.scale)?)?;
        let n = weights.filters() as u32;
        let conv = Conv2d::new(cpu, weights);
        let bias = phalanx_npy::read(layer.bias).context("the embedded data is damaged")?;
        if bias.dtype == Dtype::I32 {
            let ints = bias.data.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b));
            let bias = cpu.buffer(&ints.collect::<Vec<i32>>())?;
            let y = record.intermediate::<i8>(len)?;
            let to = Requantised { scale: &scale, bias: &bias, zero_x: 0, zero_y: 0, relu: true };
            record.step(conv.codes(&x, &y, &to)?)?;
            x = y;
        } else {
            let bias = cpu.buffer(&floats(layer.bias)?)?;
            let y = record.intermediate::<f32>(len)?;
            let to = Valued { scale: &scale, bias: &bias, zero_x: 0, relu: false };
            record.step(conv.values(&x, &y, &to)?)?;
            let classify = program(cpu)?.kernel("classify")?.launch_declared();
            record.step(classify.arg("y", &y).arg("class", &classes).arg("n", n))?;
        }
    }
    Ok((record.finish()?, classes))
}

/// The fully connected network over all images as one launch sequence, and the buffer of its answers.
fn mlp(cpu: &Cpu, pixels: &[u8], count: usize) -> anyhow::Result<(Sequence, Buffer<u8>)> {
    let program = program(cpu)?;
    let kernels = Kernels {
        product: program.kernel("product")?,
        dense: program.kernel("dense")?,
        logits: program.kernel("logits")?,
        classify: program.kernel("classify")?,
    };
    let pixels: Vec<i8> = pixels.iter().map(|p| *p as i8).collect();
    let mut x = cpu.buffer(&pixels)?;
    let mut record = cpu.sequence();
    let classes = cpu.zeros::<u8>(count)?;
    for layer in &LAYERS {
        let weights = bytes(layer.weights, Dtype::I8)?;
        let [n, k] = weights.shape[..] else { anyhow::bail!("weights have rows and columns") };
        let values: Vec<i8> = weights.data.iter().map(|b| *b as i8).collect();
        let weights = Arc::new(phalanx::kernels::pack_t2(n, k, &values)?);
        let next = add_layer(cpu, &mut record, &kernels, layer, &weights, &x, count)?;
        match next {
            Output::Hidden(q) => x = q,
            Output::Logits(y) => {
                record.step(
                    kernels.classify.launch_declared().arg("y", &y).arg("class", &classes).arg("n", n as u32),
                )?;
            }
        }
    }
    Ok((record.finish()?, classes))
}

/// What a layer gives the next one.
enum Output {
    Hidden(Buffer<i8>),
    Logits(Buffer<f32>),
}

fn add_layer(
    cpu: &Cpu,
    record: &mut SequenceBuilder,
    kernels: &Kernels,
    layer: &Layer,
    weights: &Arc<PackedWeights>,
    x: &Buffer<i8>,
    rows: usize,
) -> anyhow::Result<Output> {
    let (n, k) = (weights.n(), weights.k());
    let acc = record.intermediate::<i32>(rows * n)?;
    let product = kernels.product.launch_declared().arg("x", x).arg("w", weights).arg("acc", &acc);
    record.step(product.arg("rows", rows as u32).arg("n", n as u32).arg("k", k as u32))?;
    let (scale, bias) = (cpu.buffer(&floats(layer.scale)?)?, cpu.buffer(&floats(layer.bias)?)?);
    let (kernel, inv_step) = match layer.inv_step {
        Some(file) => (&kernels.dense, Some(*floats(file)?.first().context("a layer has no step")?)),
        None => (&kernels.logits, None),
    };
    let launch =
        kernel.launch_declared().arg("acc", &acc).arg("scale", &scale).arg("bias", &bias).arg("n", n as u32);
    match inv_step {
        Some(inv_step) => {
            let q = record.intermediate::<i8>(rows * n)?;
            record.step(launch.arg("q", &q).arg("inv_step", inv_step))?;
            Ok(Output::Hidden(q))
        }
        None => {
            let y = record.intermediate::<f32>(rows * n)?;
            record.step(launch.arg("y", &y))?;
            Ok(Output::Logits(y))
        }
    }
}

/// Shows images of different classes side by side, with what they were taken for.
fn show(pixels: &[u8], classes: &[u8], console: Console) -> std::io::Result<()> {
    let mut chosen: Vec<usize> = Vec::new();
    for (i, class) in classes.iter().enumerate() {
        if chosen.len() < SHOWN && chosen.iter().all(|c| classes[*c] != *class) {
            chosen.push(i);
        }
    }
    let row = |image: usize, y: usize| {
        let from = (image * SIDE + y) * SIDE;
        let ink: Vec<&str> =
            pixels[from..from + SIDE].iter().map(|p| if *p >= INK { "#" } else { "." }).collect();
        ink.join(" ")
    };
    for y in 0..SIDE {
        let line: Vec<String> = chosen.iter().map(|i| format!("  {}", row(*i, y))).collect();
        console.line(line.join("  "))?;
    }
    let answers: Vec<String> =
        chosen.iter().map(|i| format!("  {:15}", format!(" this is a {}", classes[*i]))).collect();
    console.line(answers.join("  ").trim_end())
}
