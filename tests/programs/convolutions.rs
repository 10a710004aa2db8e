//! References of the convolution programs, and the convolutional digits network on its held-out images.

use crate::support::{Bits, Rng, Run, bits, check, exact};
use phalanx::convolution::{Conv2d, Requantised, Valued, filters};
use phalanx::isa::PackFormat;
use phalanx_npy::Dtype;
use std::sync::Arc;

const CHANNELS: usize = 6;
const FILTERS: usize = 7;
const KERNEL: [usize; 2] = [3, 2];
const IMAGES: usize = 2;
const ZERO: i32 = 3;
const STRIDE: usize = 2;
const PAD: usize = 1;

/// Ternary weights in the order `[filter][row][column][channel]`, codes, scales and biases of a square image.
struct Data {
    width: usize,
    x: Vec<i8>,
    w: Vec<i8>,
    scale: Vec<f32>,
    bias: Vec<i32>,
}

impl Data {
    fn new(width: usize) -> Data {
        let mut rng = Rng(71);
        Data {
            width,
            x: (0..IMAGES * width * width * CHANNELS).map(|_| rng.next() as i8).collect(),
            w: (0..FILTERS * KERNEL[0] * KERNEL[1] * CHANNELS).map(|_| rng.below(3) as i8 - 1).collect(),
            scale: (0..FILTERS).map(|i| 0.02 + i as f32 / 90.0).collect(),
            bias: (0..FILTERS).map(|i| i as i32 * 300 - 900).collect(),
        }
    }
    /// Rows and columns of an output image.
    fn out(&self) -> [usize; 2] {
        KERNEL.map(|k| (self.width + 2 * PAD - k) / STRIDE + 1)
    }
    fn len(&self) -> usize {
        IMAGES * self.out()[0] * self.out()[1] * FILTERS
    }
    /// The weights as people order them for other programs: OIHW.
    fn oihw(&self) -> Vec<f32> {
        let taps = KERNEL[0] * KERNEL[1];
        let mut all = Vec::new();
        for filter in self.w.chunks(taps * CHANNELS) {
            for c in 0..CHANNELS {
                all.extend((0..taps).map(|t| f32::from(filter[t * CHANNELS + c])));
            }
        }
        all
    }
    fn sums(&self) -> Vec<i32> {
        let [rows, cols] = self.out();
        let width = self.width as isize;
        let mut all = Vec::new();
        for i in 0..IMAGES * rows * cols {
            let (image, oy, ox) = (i / (rows * cols), i / cols % rows, i % cols);
            for filter in self.w.chunks(KERNEL[0] * KERNEL[1] * CHANNELS) {
                let mut sum = 0;
                for (t, tap) in filter.chunks(CHANNELS).enumerate() {
                    let y = (oy * STRIDE + t / KERNEL[1]) as isize - PAD as isize;
                    let x = (ox * STRIDE + t % KERNEL[1]) as isize - PAD as isize;
                    if (0..width).contains(&y) && (0..width).contains(&x) {
                        let at = ((image * self.width + y as usize) * self.width + x as usize) * CHANNELS;
                        let pixel = &self.x[at..at + CHANNELS];
                        let products =
                            pixel.iter().zip(tap).map(|(x, w)| (i32::from(*x) - ZERO) * i32::from(*w));
                        sum += products.sum::<i32>();
                    }
                }
                all.push(sum);
            }
        }
        all
    }
    fn codes(&self, zero: i32, low: f32) -> Vec<i8> {
        let code = |(i, sum): (usize, i32)| {
            let v = (sum + self.bias[i % FILTERS]) as f32 * self.scale[i % FILTERS];
            (v.max(low).round_ties_even() as i32 + zero).clamp(-128, 127) as i8
        };
        self.sums().into_iter().enumerate().map(code).collect()
    }
}

pub fn conv2d_plain(program: &str) {
    check(
        program,
        [5, 21],
        Data::new,
        |run, d| {
            let y = run.zeros::<i8>(d.len());
            let sizes = [
                ("rows", d.width),
                ("cols", d.width),
                ("channels", CHANNELS),
                ("n", FILTERS),
                ("out_rows", d.out()[0]),
                ("out_cols", d.out()[1]),
                ("kernel_rows", KERNEL[0]),
                ("kernel_cols", KERNEL[1]),
                ("stride", STRIDE),
                ("pad", PAD),
                ("dilation", 1),
                ("relu", 1),
            ];
            let launch = run.launch("conv2d_plain").arg("x", run.buffer(&d.x)).arg("w", run.buffer(&d.w));
            let launch =
                launch.arg("scale", run.buffer(&d.scale)).arg("bias", run.buffer(&d.bias)).arg("y", &y);
            let launch = sizes.into_iter().fold(launch, |l, (name, n)| l.arg(name, n as u32));
            launch.arg("zx", ZERO).run().unwrap();
            vec![bits(&y)]
        },
        |d, out| exact(&out[0], &d.codes(0, 0.0)),
    );
}

pub fn conv2d(program: &str) {
    check(
        program,
        [5, 21],
        Data::new,
        |run, d| {
            let [rows, cols] = d.out();
            let text = format!(
                "{0}x{0} {CHANNELS}->{FILTERS} {1}x{2} s{STRIDE} p{PAD}",
                d.width, KERNEL[1], KERNEL[0]
            );
            let filters = |format| Arc::new(filters(format, text.parse().unwrap(), &d.oihw()).unwrap());
            let (ternary, float) = (filters(PackFormat::T2), filters(PackFormat::F32));
            let values: Vec<f32> = d.bias.iter().map(|b| *b as f32 / 8.0).collect();
            let centred: Vec<f32> = d.x.iter().map(|x| (i32::from(*x) - ZERO) as f32).collect();
            let sizes = [
                ("n", FILTERS),
                ("k", KERNEL[0] * KERNEL[1] * CHANNELS),
                ("rows", rows),
                ("images", IMAGES),
                ("step_x", d.width * d.width * CHANNELS),
                ("step_y", rows * cols * FILTERS),
                ("row_y", cols * FILTERS),
                ("channel_y", 1),
                ("tile_r", 3),
                ("tile_c", 64),
            ];
            let launch = |name: &str| {
                let launch = run.launch(name).arg("scale", run.buffer(&d.scale));
                sizes.into_iter().fold(launch, |l, (name, n)| l.arg(name, n as u32))
            };
            let (q, v, f) = (run.zeros::<i8>(d.len()), run.zeros::<f32>(d.len()), run.zeros::<f32>(d.len()));
            let codes = launch("conv2d_q").arg("x", run.buffer(&d.x)).arg("w", &ternary).arg("y", &q);
            codes.arg("bias", run.buffer(&d.bias)).arg("zx", ZERO).arg("zy", 5).run().unwrap();
            let of_codes = launch("conv2d_v").arg("x", run.buffer(&d.x)).arg("w", &ternary).arg("y", &v);
            of_codes.arg("bias", run.buffer(&values)).arg("zx", ZERO).run().unwrap();
            let of_floats = launch("conv2d_f").arg("x", run.buffer(&centred)).arg("w", &float).arg("y", &f);
            of_floats.arg("bias", run.buffer(&values)).run().unwrap();
            vec![bits(&q), bits(&v), bits(&f)]
        },
        |d, out| {
            exact(&out[0], &d.codes(5, f32::NEG_INFINITY));
            let value =
                |(i, sum): (usize, i32)| sum as f32 * d.scale[i % FILTERS] + d.bias[i % FILTERS] as f32 / 8.0;
            let expected: Vec<f32> = d.sums().into_iter().enumerate().map(value).collect();
            // The sums are of integers below 2^24: exact in f32 too.
            exact(&out[1], &expected);
            exact(&out[2], &expected);
        },
    );
}

fn npy(file: &[u8], dtype: Dtype) -> Vec<u8> {
    let array = phalanx_npy::read(file).unwrap();
    assert_eq!(array.dtype, dtype);
    array.data
}

fn words<T>(file: &[u8], dtype: Dtype, of: impl Fn([u8; 4]) -> T) -> Vec<T> {
    npy(file, dtype).as_chunks().0.iter().map(|b| of(*b)).collect()
}

/// Logits and classes of the first `images` images.
pub fn read_digits(run: &Run, images: usize) -> Vec<Bits> {
    use phalanx_programs::digits::{CONV_LAYERS, IMAGES};
    let pixels: Vec<i8> = npy(IMAGES, Dtype::U8).iter().map(|p| *p as i8).collect();
    let mut x = run.buffer(&pixels[..images * 64]);
    let [hidden @ .., last] = &CONV_LAYERS;
    let conv = |layer: &phalanx_programs::digits::ConvLayer| {
        let w: Vec<f32> = npy(layer.weights, Dtype::I8).iter().map(|b| f32::from(*b as i8)).collect();
        let weights = filters(PackFormat::T2, layer.shape.parse().unwrap(), &w).unwrap();
        let scale = run.buffer(&words(layer.scale, Dtype::F32, f32::from_le_bytes));
        (images * weights.conv().output_len(), Conv2d::new(&run.cpu, weights.into()), scale)
    };
    for layer in hidden {
        let (len, conv, scale) = conv(layer);
        let bias = run.buffer(&words(layer.bias, Dtype::I32, i32::from_le_bytes));
        let y = run.zeros::<i8>(len);
        let to = Requantised { scale: &scale, bias: &bias, zero_x: 0, zero_y: 0, relu: true };
        conv.codes(&x, &y, &to).unwrap().run().unwrap();
        x = y;
    }
    let (len, conv, scale) = conv(last);
    let bias = run.buffer(&words(last.bias, Dtype::F32, f32::from_le_bytes));
    let (y, class) = (run.zeros::<f32>(len), run.zeros::<u8>(images));
    let to = Valued { scale: &scale, bias: &bias, zero_x: 0, relu: false };
    conv.values(&x, &y, &to).unwrap().run().unwrap();
    run.launch("classify").arg("y", &y).arg("class", &class).arg("n", 10u32).run().unwrap();
    vec![bits(&y), bits(&class)]
}

/// The class of every image is PyTorch's, the logits have numpy's bits.
#[test]
fn digits_conv() {
    use phalanx_programs::digits::{CONV_CLASSES, CONV_LOGITS, LABELS};
    check(
        "digits/digits",
        [9, 360],
        |images| images,
        |run, images| read_digits(run, *images),
        |images, out| {
            exact(&out[0], &words(CONV_LOGITS, Dtype::F32, f32::from_le_bytes)[..images * 10]);
            exact(&out[1], &npy(CONV_CLASSES, Dtype::U8)[..*images]);
            let labels = npy(LABELS, Dtype::U8);
            let right = out[1].iter().zip(&labels).filter(|(c, l)| **c == u64::from(**l)).count();
            assert!(right + 1 >= *images, "{right} of {images}");
        },
    );
}

pub fn pool(program: &str) {
    const CHANNELS: usize = 5;
    check(
        program,
        [4, 37],
        |side| {
            let mut rng = Rng(73);
            let mut map = || (0..2 * side * side * CHANNELS).map(|_| rng.next() as u8).collect::<Vec<u8>>();
            (side, map(), map())
        },
        |run, (side, a, b)| {
            let out = (side - 1) / 2 + 1;
            let [x, z] = [a, b].map(|v| run.buffer(v));
            let (sum, most, mean) = (
                run.zeros::<u8>(a.len()),
                run.zeros::<u8>(2 * out * out * CHANNELS),
                run.zeros::<u8>(2 * CHANNELS),
            );
            run.launch("add_codes").arg("a", &x).arg("b", &z).arg("y", &sum).run().unwrap();
            let sizes = [
                ("rows", *side),
                ("cols", *side),
                ("channels", CHANNELS),
                ("out_rows", out),
                ("out_cols", out),
            ];
            let launch = run.launch("max_pool").arg("x", &x).arg("y", &most);
            sizes.into_iter().fold(launch, |l, (name, n)| l.arg(name, n as u32)).run().unwrap();
            let launch = run.launch("mean_pool").arg("x", &x).arg("y", &mean);
            launch.arg("pixels", (side * side) as u32).arg("channels", CHANNELS as u32).run().unwrap();
            vec![bits(&sum), bits(&most), bits(&mean)]
        },
        |(side, a, b), out| {
            exact(&out[0], &a.iter().zip(b).map(|(a, b)| a.saturating_add(*b)).collect::<Vec<u8>>());
            let half = (side - 1) / 2 + 1;
            let (mut most, mut mean) = (Vec::new(), Vec::new());
            for image in a.chunks(side * side * CHANNELS) {
                let at = |y: usize, x: usize, c: usize| image[(y * side + x) * CHANNELS + c];
                for i in 0..half * half * CHANNELS {
                    let (y, x, c) = (i / CHANNELS / half * 2, i / CHANNELS % half * 2, i % CHANNELS);
                    let near = |v: usize| v.saturating_sub(1)..(v + 2).min(*side);
                    most.push(near(y).flat_map(|y| near(x).map(move |x| at(y, x, c))).max().unwrap());
                }
                for c in 0..CHANNELS {
                    let sum: usize = image.iter().skip(c).step_by(CHANNELS).map(|v| usize::from(*v)).sum();
                    mean.push(((2 * sum + side * side) / (2 * side * side)) as u8);
                }
            }
            exact(&out[1], &most);
            exact(&out[2], &mean);
        },
    );
}
