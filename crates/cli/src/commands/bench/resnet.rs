//! A network of ResNet-18's shape, with random weights, as one launch sequence. A test outside this package shares the file.

use phalanx::convolution::{Conv2d, Requantised, Valued, filters};
use phalanx::isa::PackFormat;
use phalanx::{Buffer, Cpu, Kernel, Sequence, SequenceBuilder};
use std::sync::Arc;
use std::time::Instant;

const CLASSES: usize = 1000;

/// A network of 8-bit codes over one image.
pub struct Network {
    sequence: Sequence,
    logits: Buffer<f32>,
    /// Products of an image.
    pub macs: u64,
}

/// A network in the making.
struct Builder<'a> {
    cpu: &'a Cpu,
    format: PackFormat,
    record: SequenceBuilder,
    state: u64,
    macs: u64,
}

/// A map of codes, channels innermost.
#[derive(Clone)]
struct Map {
    x: Buffer<u8>,
    side: usize,
    channels: usize,
}

impl Builder<'_> {
    fn random(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    fn weights(&mut self, text: &str) -> anyhow::Result<(Conv2d, f32)> {
        let conv = phalanx::convolution::Conv::new(text.parse()?)?;
        let format = self.format;
        let value =
            |r: u64| if format == PackFormat::T2 { (r % 3) as f32 - 1.0 } else { (r % 255) as f32 - 127.0 };
        let values: Vec<f32> = (0..conv.weights_len()).map(|_| value(self.random())).collect();
        let weights = filters(format, text.parse()?, &values)?;
        let spread = (weights.filter_len() as f32).sqrt() * if format == PackFormat::T2 { 0.8 } else { 73.0 };
        self.macs += conv.macs();
        Ok((Conv2d::new(self.cpu, Arc::new(weights)), spread))
    }

    /// A convolution with as much padding as keeps its middle, and relu.
    fn conv(&mut self, from: &Map, channels: usize, kernel: usize, stride: usize) -> anyhow::Result<Map> {
        let Map { x, side, channels: inner } = from;
        let pad = kernel / 2;
        let text = format!("{side}x{side} {inner}->{channels} {kernel}x{kernel} s{stride} p{pad}");
        let (conv, spread) = self.weights(&text)?;
        let of = conv.weights().conv();
        let y = self.record.intermediate::<u8>(of.output_len())?;
        let scale = self.cpu.buffer(&vec![1.0 / spread; channels])?;
        let bias = self.cpu.buffer(&vec![0i32; channels])?;
        let to = Requantised { scale: &scale, bias: &bias, zero_x: 0, zero_y: 0, relu: true };
        let side = of.output()[0];
        self.record.step(conv.codes(x, &y, &to)?)?;
        Ok(Map { x: y, side, channels })
    }

    fn kernel(&self, name: &str) -> anyhow::Result<Kernel> {
        Ok(phalanx::ops::kernel(self.cpu, name)?)
    }

    /// Two 3x3 convolutions beside a way past them.
    fn block(&mut self, from: Map, channels: usize, stride: usize) -> anyhow::Result<Map> {
        let first = self.conv(&from, channels, 3, stride)?;
        let second = self.conv(&first, channels, 3, 1)?;
        let past = if stride == 1 && from.channels == channels {
            from
        } else {
            self.conv(&from, channels, 1, stride)?
        };
        let y = self.record.intermediate::<u8>(second.x.len())?;
        let launch = self.kernel("add_codes")?.launch_declared();
        self.record.step(launch.arg("a", &second.x).arg("b", &past.x).arg("y", &y))?;
        Ok(Map { x: y, ..second })
    }
}

impl Network {
    /// Over an image of `side` x `side` pixels of three channels.
    pub fn new(cpu: &Cpu, format: PackFormat, side: usize) -> anyhow::Result<Network> {
        let mut b = Builder { cpu, format, record: cpu.sequence(), state: 1, macs: 0 };
        let pixels: Vec<u8> = (0..side * side * 3).map(|_| b.random() as u8).collect();
        let image = Map { x: cpu.buffer(&pixels)?, side, channels: 3 };
        let first = b.conv(&image, 64, 7, 2)?;
        let half = (first.side - 1) / 2 + 1;
        let y = b.record.intermediate::<u8>(half * half * 64)?;
        let launch = b.kernel("max_pool")?.launch_declared().arg("x", &first.x).arg("y", &y);
        let launch =
            launch.arg("rows", first.side as u32).arg("cols", first.side as u32).arg("channels", 64u32);
        b.record.step(launch.arg("out_rows", half as u32).arg("out_cols", half as u32))?;
        let mut map = Map { x: y, side: half, channels: 64 };
        for (channels, stride) in
            [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]
        {
            map = b.block(map, channels, stride)?;
        }
        let mean = b.record.intermediate::<u8>(map.channels)?;
        let launch = b.kernel("mean_pool")?.launch_declared().arg("x", &map.x).arg("y", &mean);
        let pixels = (map.side * map.side) as u32;
        b.record.step(launch.arg("pixels", pixels).arg("channels", map.channels as u32))?;
        let (last, spread) = b.weights(&format!("1x1 {}->{CLASSES} 1x1", map.channels))?;
        let logits = cpu.zeros::<f32>(CLASSES)?;
        let (scale, bias) = (cpu.buffer(&vec![1.0 / spread; CLASSES])?, cpu.buffer(&vec![0f32; CLASSES])?);
        let to = Valued { scale: &scale, bias: &bias, zero_x: 0, relu: false };
        b.record.step(last.values(&mean, &logits, &to)?)?;
        Ok(Network { sequence: b.record.finish()?, logits, macs: b.macs })
    }

    /// The logits of the image.
    pub fn answer(&self) -> anyhow::Result<Vec<u32>> {
        self.sequence.run()?;
        Ok(self.logits.read()?.into_iter().map(f32::to_bits).collect())
    }

    /// Seconds that a run takes, of so many.
    pub fn sample(&self, runs: u32) -> anyhow::Result<f64> {
        let from = Instant::now();
        for _ in 0..runs {
            self.sequence.run()?;
        }
        Ok(from.elapsed().as_secs_f64() / f64::from(runs))
    }
}
