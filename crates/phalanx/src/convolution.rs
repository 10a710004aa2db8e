//! 2-D convolutions with packed filters: planned and launched.
//!
//! The kernels are those of `programs/conv2d.phx`; a convolution of other types or with a relu is the same text with those words
//! replaced.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phalanx::convolution::{Conv2d, ConvShape, Requantised, filters};
//! use phalanx::isa::PackFormat;
//! let cpu = phalanx::Cpu::new()?;
//! let shape: ConvShape = "4x4 1->1 3x3 p1".parse()?;
//! let conv = Conv2d::new(&cpu, filters(PackFormat::T2, shape, &[0., 1., 0., 1., -1., 1., 0., 1., 0.])?.into());
//! let x = cpu.buffer(&[1i8; 32])?; // two images
//! let y = cpu.zeros::<u8>(32)?;
//! let (scale, bias) = (cpu.buffer(&[0.5f32])?, cpu.buffer(&[7i32])?);
//! conv.codes(&x, &y, &Requantised { scale: &scale, bias: &bias, zero_x: 0, zero_y: 0, relu: true })?.run()?;
//! assert_eq!(y.read()?[..4], [4, 4, 4, 4]); // corners have 1 and edges 2: (1 + 7) / 2 and, half to even, (2 + 7) / 2
//! # Ok(()) }
//! ```

use crate::ops::OpError;
use crate::{Buffer, Cpu, Element, Error, Kernel, Launcher};
use phalanx_isa::{Activation, Algorithm as Order, Kind, Mnemonic, Op, PackFormat, Type, parse_mnemonic};
use phalanx_kernels::conv::{ConvPlan, ImageOrder};
use std::sync::Arc;

pub use phalanx_exec::native::filters;
pub use phalanx_kernels::conv::{Algorithm, Choice, Conv, ConvError, ConvShape, ConvWeights};

/// Elements that are 8-bit codes.
pub trait Code: Element {}
impl Code for i8 {}
impl Code for u8 {}

/// How sums become codes: see `conv2d.q` in SPEC.md.
#[derive(Clone, Copy, Debug)]
pub struct Requantised<'a> {
    /// For each filter: input scale * weight scale / output scale.
    pub scale: &'a Buffer<f32>,
    /// For each filter, in units of input scale * weight scale.
    pub bias: &'a Buffer<i32>,
    /// The code of the value 0 in the input, and of padding.
    pub zero_x: i32,
    /// The code of the value 0 in the output.
    pub zero_y: i32,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// How sums become values: see `conv2d.f` in SPEC.md.
#[derive(Clone, Copy, Debug)]
pub struct Valued<'a> {
    /// For each filter: what a unit of the sum is worth.
    pub scale: &'a Buffer<f32>,
    /// For each filter.
    pub bias: &'a Buffer<f32>,
    /// The code of the value 0 in the input; 0 for f32 input.
    pub zero_x: i32,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// A convolution and its filters, ready to be applied to any number of images.
#[derive(Clone, Debug)]
pub struct Conv2d {
    cpu: Cpu,
    weights: Arc<ConvWeights>,
    plan: Option<ConvPlan>,
}

fn wrong(operand: &'static str, expected: String, found: usize) -> Error {
    OpError::Shape { op: "conv2d", operand, expected, found }.into()
}

/// A number that a kernel takes in 32 bits.
fn word(operand: &'static str, n: usize) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| wrong(operand, format!("at most {}", u32::MAX), n))
}

impl Conv2d {
    /// The convolution on a device.
    pub fn new(cpu: &Cpu, weights: Arc<ConvWeights>) -> Conv2d {
        Conv2d { cpu: cpu.clone(), weights, plan: None }
    }
    /// Divides the work in a given way; the default is the one that promises the shortest time. The bits are the same.
    pub fn divided(self, plan: ConvPlan) -> Conv2d {
        Conv2d { plan: Some(plan), ..self }
    }
    /// The convolution and its filters.
    pub fn weights(&self) -> &Arc<ConvWeights> {
        &self.weights
    }
    /// How the work for so many images is divided.
    pub fn plan(&self, images: usize) -> ConvPlan {
        self.plan.unwrap_or_else(|| ConvPlan::choose(&self.weights, images, self.cpu.threads()))
    }

    /// The launch from codes to codes.
    ///
    /// # Errors
    /// Lengths that do not fit each other, filters of floats, what the launch refuses.
    pub fn codes<X: Code, Y: Code>(
        &self,
        x: &Buffer<X>,
        y: &Buffer<Y>,
        to: &Requantised<'_>,
    ) -> Result<Launcher, Error> {
        let images = self.lengths(x.len(), y.len(), to.scale.len(), to.bias.len())?;
        let kernel = self.kernel("conv2d_q", X::TYPE, Y::TYPE, to.relu)?;
        let launch = self.launch(kernel, images)?.arg("x", x).arg("y", y);
        let launch = launch.arg("scale", to.scale).arg("bias", to.bias);
        Ok(launch.arg("zx", to.zero_x).arg("zy", to.zero_y))
    }

    /// The launch from codes to values.
    ///
    /// # Errors
    /// As [`Conv2d::codes`].
    pub fn values<X: Code>(
        &self,
        x: &Buffer<X>,
        y: &Buffer<f32>,
        to: &Valued<'_>,
    ) -> Result<Launcher, Error> {
        let images = self.lengths(x.len(), y.len(), to.scale.len(), to.bias.len())?;
        let kernel = self.kernel("conv2d_v", X::TYPE, Type::F32, to.relu)?;
        let launch = self.launch(kernel, images)?.arg("x", x).arg("y", y);
        Ok(launch.arg("scale", to.scale).arg("bias", to.bias).arg("zx", to.zero_x))
    }

    /// The launch from f32 to f32, with filters of any format.
    ///
    /// # Errors
    /// Lengths that do not fit each other, what the launch refuses.
    pub fn floats(&self, x: &Buffer<f32>, y: &Buffer<f32>, to: &Valued<'_>) -> Result<Launcher, Error> {
        let images = self.lengths(x.len(), y.len(), to.scale.len(), to.bias.len())?;
        let kernel = self.kernel("conv2d_f", Type::F32, Type::F32, to.relu)?;
        let launch = self.launch(kernel, images)?.arg("x", x).arg("y", y);
        Ok(launch.arg("scale", to.scale).arg("bias", to.bias))
    }

    /// Number of images, of lengths that fit each other.
    fn lengths(&self, x: usize, y: usize, scale: usize, bias: usize) -> Result<usize, Error> {
        let (conv, n) = (self.weights.conv(), self.weights.filters());
        let (image, output) = (conv.image_len(), conv.output_len());
        if !x.is_multiple_of(image) {
            return Err(wrong("x", format!("a multiple of {image} elements (an image)"), x));
        }
        let images = x / image;
        if images.checked_mul(output) != Some(y) {
            return Err(wrong("y", format!("{images} outputs of {output} elements"), y));
        }
        for (operand, found) in [("scale", scale), ("bias", bias)] {
            if found != n {
                return Err(wrong(operand, format!("{n} elements (one for each filter)"), found));
            }
        }
        word("x", x.max(y)).map(|_| images)
    }

    /// A kernel of `programs/conv2d.phx` for these types.
    fn kernel(&self, name: &str, x: Type, y: Type, relu: bool) -> Result<Kernel, Error> {
        let none = || OpError::Unknown { name: name.into(), known: Vec::new() };
        let entry = crate::ops::find(name).ok_or_else(none)?;
        let written = if name == "conv2d_f" { "packed[f32," } else { "packed[t2," };
        let text = only(entry.text, name)
            .replace(written, &format!("packed[{},", format_of(&self.weights)))
            .replace("in x: i8[]", &format!("in x: {x}[]"))
            .replace("out y: i8[]", &format!("out y: {y}[]"));
        let act = if relu { Activation::Relu } else { Activation::None };
        let order = match self.weights.algorithm() {
            _ if self.weights.conv().shape().algorithm.is_none() => Order::None,
            Algorithm::Winograd => Order::Winograd,
            Algorithm::Fft => Order::Fft,
            Algorithm::Direct | Algorithm::Depthwise | Algorithm::Im2col => Order::Direct,
        };
        let native = |line: &str| {
            let word = line.split_whitespace().next().unwrap_or_default();
            let line = match parse_mnemonic(word) {
                Ok(m) if m.op.info().kind == Kind::Native => {
                    let order = if m.op == Op::Conv2dF { order } else { Order::None };
                    let m = Mnemonic { modes: [act as u8, order as u8, 0], ty: Some(y), ty2: Some(x), ..m };
                    line.replace(word, &m.to_string())
                }
                _ => line.into(),
            };
            line + "\n"
        };
        let text: String = text.lines().map(native).collect();
        Ok(self.cpu.load_named(&format!("{}.phx", entry.program), &text)?.kernel(name)?)
    }

    /// All but what depends on types.
    fn launch(&self, kernel: Kernel, images: usize) -> Result<Launcher, Error> {
        let conv = self.weights.conv();
        let plan = self.plan(images);
        let channels = conv.shape().out_channels;
        let (row, channel) = match conv.shape().order {
            ImageOrder::Nhwc => (conv.output()[1] * channels, 1),
            ImageOrder::Nchw => (conv.output()[1], conv.pixels()),
        };
        let sizes = [
            ("n", channels),
            ("k", self.weights.filter_len()),
            ("rows", conv.output()[0]),
            ("images", images),
            ("step_x", conv.image_len()),
            ("step_y", conv.output_len()),
            ("row_y", row),
            ("channel_y", channel),
            ("tile_r", plan.tile_rows),
            ("tile_c", plan.tile_channels),
        ];
        let launch = kernel.launch_declared().arg("w", &self.weights);
        sizes.into_iter().try_fold(launch, |launch, (name, n)| Ok(launch.arg(name, word("x", n)?)))
    }
}

/// How the instruction set calls the filters' format.
fn format_of(w: &ConvWeights) -> PackFormat {
    let all = PackFormat::ALL.iter().copied();
    let mut same = all.filter(|f| phalanx_exec::native::packed_format(*f) == w.format());
    // Every format of the kernels has a name: a test of the executor compares the lists.
    same.next().unwrap_or(PackFormat::T2)
}

/// The text of one kernel of a program, on the lines where it stands: the others need not be valid with its types.
fn only(text: &str, name: &str) -> String {
    let head = format!("kernel {name}(");
    let mut inside = false;
    let keep = |line: &'_ str| {
        inside |= line.starts_with(&head);
        let keep = inside;
        inside &= line != "}";
        if keep { format!("{line}\n") } else { "\n".into() }
    };
    text.lines().map(keep).collect()
}

/// f32 images and quantised filters to f32: every output is the sum over its filter of x * weight in f32, in the order of SPEC.md,
/// times the filter's scale, plus its bias.
///
/// `weights` are the integers in the order OIHW; `scales` has one number for each filter, or one for all; `bias` one for each
/// filter, or none. The layout of files (I2_S, TL1, TL2) makes no difference here: their weights are -1, 0 and 1, which is
/// [`PackFormat::T2`].
///
/// # Errors
/// A shape that is none, lengths that do not fit it, weights that the format does not hold; what the launch refuses; no memory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cpu = phalanx::Cpu::new()?;
/// let x = cpu.buffer(&[1f32, 2.0, 3.0, 4.0])?;
/// let shape = "2x2 1->1 2x2 nchw".parse()?;
/// let weights = [1.0, 0.0, -1.0, 1.0];
/// let y = phalanx::convolution::conv2d_quantized(&cpu, &x, shape, phalanx::isa::PackFormat::T2, &weights, &[0.5], &[10.0])?;
/// assert_eq!(y.read()?, [11.0]);
/// # Ok(()) }
/// ```
pub fn conv2d_quantized(
    cpu: &Cpu,
    x: &Buffer<f32>,
    shape: ConvShape,
    format: PackFormat,
    weights: &[f32],
    scales: &[f32],
    bias: &[f32],
) -> Result<Buffer<f32>, Error> {
    let conv = Conv2d::new(cpu, filters(format, shape, weights)?.into());
    let n = conv.weights.filters();
    let scales = match scales {
        [one] => vec![*one; n],
        all => all.to_vec(),
    };
    // -0 added changes nothing.
    let bias = if bias.is_empty() { vec![-0.0; n] } else { bias.to_vec() };
    let (scale, bias) = (cpu.buffer(&scales)?, cpu.buffer(&bias)?);
    let of = conv.weights.conv();
    let y = (x.len() / of.image_len()).checked_mul(of.output_len());
    let y = cpu.zeros::<f32>(y.ok_or_else(|| wrong("x", "a smaller number of images".into(), x.len()))?)?;
    let launch = conv.floats(x, &y, &Valued { scale: &scale, bias: &bias, zero_x: 0, relu: false })?;
    if !y.is_empty() {
        launch.run()?;
    }
    Ok(y)
}
