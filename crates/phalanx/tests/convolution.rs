//! Convolutions launched from Rust against the plain reference of the kernels, bit for bit: types, orders, levels, threads.

use phalanx::convolution::{
    Algorithm, Conv, Conv2d, ConvShape, Requantised, Valued, conv2d_quantized, filters,
};
use phalanx::isa::{PackFormat, Type};
use phalanx::kernels::Tile;
use phalanx::kernels::conv::{ConvInput, ConvOutput, ConvPart, ConvPlan, ConvWeights, Requantise, reference};
use phalanx::{Cpu, Element, Tier};
use std::sync::Arc;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

fn shape(text: &str) -> ConvShape {
    text.parse().unwrap()
}

fn random(format: PackFormat, text: &str, rng: &mut Rng) -> Arc<ConvWeights> {
    let n = Conv::new(shape(text)).unwrap().weights_len();
    let value = |rng: &mut Rng| match format {
        PackFormat::T2 => (rng.next() % 3) as f32 - 1.0,
        PackFormat::I8 => (rng.next() % 256) as f32 - 128.0,
        _ => rng.float(),
    };
    let w: Vec<f32> = (0..n).map(|_| value(rng)).collect();
    Arc::new(filters(format, shape(text), &w).unwrap())
}

/// What follows the sums.
#[derive(Clone, Copy)]
struct After<'a> {
    scales: &'a [f32],
    ints: &'a [i32],
    floats: &'a [f32],
    relu: bool,
}

/// A type of output.
trait Kind: Copy + Default {
    fn output<'a>(tile: Tile<'a, Self>, after: After<'a>) -> ConvOutput<'a>;
}
impl Kind for f32 {
    fn output<'a>(tile: Tile<'a, f32>, a: After<'a>) -> ConvOutput<'a> {
        ConvOutput::F32 { tile, scales: Some(a.scales), bias: Some(a.floats), relu: a.relu }
    }
}
impl Kind for i8 {
    fn output<'a>(tile: Tile<'a, i8>, a: After<'a>) -> ConvOutput<'a> {
        ConvOutput::I8(tile, Requantise { scales: a.scales, bias: Some(a.ints), zero: 4, relu: a.relu })
    }
}
impl Kind for u8 {
    fn output<'a>(tile: Tile<'a, u8>, a: After<'a>) -> ConvOutput<'a> {
        ConvOutput::U8(tile, Requantise { scales: a.scales, bias: Some(a.ints), zero: 4, relu: a.relu })
    }
}

/// What the definition says, image by image.
fn expected<'a, T: Kind>(
    w: &ConvWeights,
    images: usize,
    input: impl Fn(std::ops::Range<usize>) -> ConvInput<'a>,
    after: After<'a>,
) -> Vec<T> {
    let conv = w.conv();
    let mut all = Vec::new();
    for i in 0..images {
        let mut y = vec![T::default(); conv.output_len()];
        let part = ConvPart::whole(conv);
        let (rows, cols, stride) = part.tile(conv);
        let out = T::output(Tile::new(&mut y, rows, cols, stride).unwrap(), after);
        reference::conv2d(w, input(i * conv.image_len()..(i + 1) * conv.image_len()), out, part).unwrap();
        all.extend(y);
    }
    all
}

fn bits<T: Element>(v: &[T]) -> Vec<u64> {
    v.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_type_order_level_and_division_gives_the_bits_of_the_reference() {
    let mut rng = Rng(9);
    let cpus: Vec<Cpu> = Tier::available()
        .into_iter()
        .flat_map(|t| [1, 3].map(|threads| Cpu::builder().simd(t).threads(threads).build().unwrap()))
        .chain([Cpu::builder().executor("reference").build().unwrap()])
        .collect();
    const IMAGES: usize = 2;
    for (i, text) in [
        "9x7 5->70 3x3 s2 p1,0,2,1",
        "9x7 5->70 3x3 p1 nchw",
        "6x6 8->12 2x3 g4 d2x1",
        "6x6 40->40 3x3 p1 g40 nchw",
        "5x5 70->66 1x1",
    ]
    .into_iter()
    .enumerate()
    {
        for format in [PackFormat::T2, PackFormat::I8, PackFormat::F32] {
            let w = random(format, text, &mut rng);
            let (conv, n) = (*w.conv(), w.filters());
            let relu = i % 2 == 0;
            let xs: Vec<i8> = (0..IMAGES * conv.image_len()).map(|_| rng.next() as i8).collect();
            let xu: Vec<u8> = xs.iter().map(|v| *v as u8).collect();
            let xf: Vec<f32> = xs.iter().map(|_| rng.float()).collect();
            let scales: Vec<f32> = (0..n).map(|_| rng.float() / 40.0).collect();
            let ints: Vec<i32> = (0..n).map(|_| (rng.next() % 2000) as i32 - 1000).collect();
            let floats: Vec<f32> = (0..n).map(|_| rng.float()).collect();
            let len = IMAGES * conv.output_len();
            let after = After { scales: &scales, ints: &ints, floats: &floats, relu };
            let of_floats = expected::<f32>(&w, IMAGES, |r| ConvInput::F32(&xf[r]), after);
            let exact = format != PackFormat::F32;
            let signed = |r: std::ops::Range<usize>| ConvInput::I8 { data: &xs[r], zero: -7 };
            let unsigned = |r: std::ops::Range<usize>| ConvInput::U8 { data: &xu[r], zero: 9 };
            let codes = exact.then(|| {
                (
                    expected::<i8>(&w, IMAGES, signed, after),
                    expected::<u8>(&w, IMAGES, unsigned, after),
                    expected::<f32>(&w, IMAGES, unsigned, after),
                )
            });
            for (c, cpu) in cpus.iter().enumerate() {
                let mut launch = Conv2d::new(cpu, Arc::clone(&w));
                if c % 3 == 1 {
                    launch = launch.divided(ConvPlan { tile_rows: 2, tile_channels: conv.channel_unit() });
                }
                let (scale, bias) = (cpu.buffer(&scales).unwrap(), cpu.buffer(&floats).unwrap());
                let to = |zero_x| Valued { scale: &scale, bias: &bias, zero_x, relu };
                let y = cpu.zeros::<f32>(len).unwrap();
                launch.floats(&cpu.buffer(&xf).unwrap(), &y, &to(0)).unwrap().run().unwrap();
                assert_eq!(bits(&y.read().unwrap()), bits(&of_floats), "{text} {format} on {c}");
                let x = cpu.buffer(&xu).unwrap();
                let Some((from_signed, from_unsigned, values)) = &codes else {
                    assert!(
                        launch.values(&x, &y, &to(9)).unwrap().run().is_err(),
                        "codes have no float filters"
                    );
                    continue;
                };
                launch.values(&x, &y, &to(9)).unwrap().run().unwrap();
                assert_eq!(bits(&y.read().unwrap()), bits(values), "{text} {format} on {c}");
                let bias = cpu.buffer(&ints).unwrap();
                let to = |zero_x| Requantised { scale: &scale, bias: &bias, zero_x, zero_y: 4, relu };
                let y = cpu.zeros::<u8>(len).unwrap();
                launch.codes(&x, &y, &to(9)).unwrap().run().unwrap();
                assert_eq!(&y.read().unwrap(), from_unsigned, "{text} {format} on {c}");
                let y = cpu.zeros::<i8>(len).unwrap();
                launch.codes(&cpu.buffer(&xs).unwrap(), &y, &to(-7)).unwrap().run().unwrap();
                assert_eq!(&y.read().unwrap(), from_signed, "{text} {format} on {c}");
            }
        }
    }
}

#[test]
fn quantised_filters_on_floats() {
    let cpu = Cpu::new().unwrap();
    let x = cpu.buffer(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
    let of = |text: &str, scales: &[f32], bias: &[f32]| {
        conv2d_quantized(&cpu, &x, shape(text), PackFormat::T2, &[1.0, -1.0, 0.0, 1.0], scales, bias)
    };
    assert_eq!(of("2x2 1->1 2x2 nchw", &[0.5], &[]).unwrap().read().unwrap(), [1.5, 3.5]);
    assert_eq!(of("2x2 1->1 2x2 nchw", &[2.0], &[1.0]).unwrap().read().unwrap(), [7.0, 15.0]);
    let none = cpu.zeros::<f32>(0).unwrap();
    let y =
        conv2d_quantized(&cpu, &none, shape("2x2 1->1 2x2"), PackFormat::I8, &[1.0; 4], &[1.0], &[]).unwrap();
    assert!(y.is_empty(), "no images");
    let error = |e: Result<phalanx::Buffer<f32>, phalanx::Error>| e.unwrap_err().to_string();
    assert!(
        error(of("2x2 1->1 3x3", &[1.0], &[])).contains("the filter spans 3 rows, the padded image has 2")
    );
    assert!(error(of("1099511627776x1099511627776 1->1 2x2", &[1.0], &[])).contains("address range"));
    assert!(error(of("2x2 1->1 2x2 s0", &[1.0], &[])).contains("stride must be at least 1"));
    assert!(error(of("3x1 1->1 2x1", &[1.0], &[])).contains("weights"));
    assert!(error(of("3x2 1->1 2x2", &[1.0], &[])).contains("a multiple of 6 elements"));
    assert!(error(of("2x2 1->1 2x2", &[1.0, 2.0], &[])).contains("one for each filter"));
    assert!(error(of("2x2 1->1 2x2", &[], &[])).contains("one for each filter"));
    let wide = conv2d_quantized(&cpu, &x, shape("2x2 1->1 2x2"), PackFormat::T2, &[2.0; 4], &[1.0], &[]);
    assert!(error(wide).contains("t2 holds -1 to 1"));
    let wide = conv2d_quantized(&cpu, &x, shape("2x2 1->1 2x2"), PackFormat::T3, &[1.0; 4], &[1.0], &[]);
    assert!(error(wide).contains("filters of 8-bit integers"));
}

#[test]
fn an_algorithm_that_is_asked_for_has_the_same_bits_everywhere() {
    let mut rng = Rng(4);
    for (text, algorithm) in [
        ("9x7 5->70 3x3 p1,0,2,1 winograd", Algorithm::Winograd),
        ("8x8 3->4 3x3 p1 nchw winograd", Algorithm::Winograd),
        ("9x7 5->130 4x5 s2x1 p1 d1x2 fft", Algorithm::Fft),
        ("6x6 40->40 5x5 p2 g40 nchw fft", Algorithm::Fft),
        ("6x6 40->40 3x3 p1 g40 im2col", Algorithm::Im2col),
        ("6x6 20->70 3x3 p1 direct", Algorithm::Direct),
        ("20x20 16->64 11x11 p5", Algorithm::Fft),
        ("12x12 64->64 3x3 p1", Algorithm::Winograd),
    ] {
        let w = random(PackFormat::F32, text, &mut rng);
        assert_eq!(w.algorithm(), algorithm, "{text}");
        let (conv, n) = (*w.conv(), w.filters());
        const IMAGES: usize = 2;
        let x: Vec<f32> = (0..IMAGES * conv.image_len()).map(|_| rng.float()).collect();
        let scales: Vec<f32> = (0..n).map(|_| rng.float()).collect();
        let floats: Vec<f32> = (0..n).map(|_| rng.float()).collect();
        let after = After { scales: &scales, ints: &[], floats: &floats, relu: true };
        let expected = expected::<f32>(&w, IMAGES, |r| ConvInput::F32(&x[r]), after);
        let on = |tier, threads| Cpu::builder().simd(tier).threads(threads).build().unwrap();
        let all = Tier::available().into_iter().flat_map(|t| [1, 3].map(|threads| on(t, threads)));
        for cpu in all.chain([Cpu::builder().executor("reference").build().unwrap()]) {
            let launch = Conv2d::new(&cpu, Arc::clone(&w));
            let (scale, bias) = (cpu.buffer(&scales).unwrap(), cpu.buffer(&floats).unwrap());
            let y = cpu.zeros::<f32>(IMAGES * conv.output_len()).unwrap();
            let to = Valued { scale: &scale, bias: &bias, zero_x: 0, relu: true };
            launch.floats(&cpu.buffer(&x).unwrap(), &y, &to).unwrap().run().unwrap();
            assert_eq!(bits(&y.read().unwrap()), bits(&expected), "{text}");
        }
    }
    let refused = filters(PackFormat::T2, shape("9x7 5->70 3x3 p1 winograd"), &[0.0; 3150]).unwrap_err();
    assert!(refused.to_string().contains("integers are summed exactly"), "{refused}");
}

/// A kernel of one's own: the sums of a part of an image's output.
const SUMS: &str = "
kernel sums(in x: i8[], in w: packed[t2, n, k], inout y: i32[], n: u32, k: u32, row: u32, rows: u32, at: u32, zx: i32)
        block 1  grid 1
{
    conv2d.sum.i8 y[at], w, x[0], row, rows, 0, n, zx
    exit
}
";

#[test]
fn sums_of_parts_are_exact_and_leave_the_rest_alone() {
    let mut rng = Rng(21);
    let levels = Tier::available().into_iter().map(|t| Cpu::builder().simd(t).build().unwrap());
    let cpus: Vec<Cpu> = levels.chain([Cpu::builder().executor("reference").build().unwrap()]).collect();
    for (text, format, code) in [
        ("7x6 5->70 3x3 p1", PackFormat::T2, Type::I8),
        ("7x6 5->70 3x3 p1", PackFormat::I8, Type::U8),
        ("6x6 40->40 3x3 p1 g40", PackFormat::I8, Type::I8),
        ("6x6 8->12 2x3 g4 d2x1", PackFormat::T2, Type::U8),
    ] {
        let w = random(format, text, &mut rng);
        let (conv, n) = (*w.conv(), w.filters());
        let bytes: Vec<u8> = (0..conv.image_len()).map(|_| rng.next() as u8).collect();
        let codes: Vec<i8> = bytes.iter().map(|v| *v as i8).collect();
        let mut whole = vec![0i32; conv.output_len()];
        let (rows, cols, stride) = ConvPart::whole(&conv).tile(&conv);
        let input = match code {
            Type::I8 => ConvInput::I8 { data: &codes, zero: -3 },
            _ => ConvInput::U8 { data: &bytes, zero: 3 },
        };
        let out = ConvOutput::Sums(Tile::new(&mut whole, rows, cols, stride).unwrap());
        reference::conv2d(&w, input, out, ConvPart::whole(&conv)).unwrap();
        let line = whole.len() / conv.output()[0];
        let text = SUMS.replace("t2", &format.to_string()).replace("x: i8", &format!("x: {code}"));
        let text = text.replace("sum.i8", &format!("sum.{code}"));
        for cpu in &cpus {
            let kernel = cpu.load(&text).unwrap().kernel("sums").unwrap();
            let y = cpu.buffer(&vec![77i32; whole.len()]).unwrap();
            let run = |r0: usize, rr: usize, zx: i32| {
                let launch = kernel.launch_declared().arg("w", &w).arg("y", &y);
                let launch = match code {
                    Type::I8 => launch.arg("x", cpu.buffer(&codes).unwrap()),
                    _ => launch.arg("x", cpu.buffer(&bytes).unwrap()),
                };
                let launch = launch.arg("n", n as u32).arg("k", w.filter_len() as u32).arg("zx", zx);
                let launch = launch.arg("row", r0 as u32).arg("rows", rr as u32);
                launch.arg("at", (r0 * line) as u32).run()
            };
            let zero = if code == Type::I8 { -3 } else { 3 };
            run(1, 0, zero).unwrap();
            assert!(y.read().unwrap().iter().all(|v| *v == 77), "no rows, nothing written");
            run(1, 3, zero).unwrap();
            let now = y.read().unwrap();
            assert_eq!(now[line..4 * line], whole[line..4 * line], "{text}");
            assert!(now[..line].iter().chain(&now[4 * line..]).all(|v| *v == 77), "rows of others");
            run(0, conv.output()[0], zero).unwrap();
            assert_eq!(y.read().unwrap(), whole, "{text}");
            let refused = run(0, 1, if code == Type::I8 { 128 } else { -1 }).unwrap_err().to_string();
            assert!(refused.contains("zero point"), "{refused}");
        }
    }
}

#[test]
fn floats_have_no_zero_point_and_lengths_must_fit() {
    let cpu = Cpu::new().unwrap();
    let w = Arc::new(filters(PackFormat::F32, shape("2x2 1->1 2x2"), &[1.0; 4]).unwrap());
    let launch = Conv2d::new(&cpu, Arc::clone(&w));
    assert!(Arc::ptr_eq(launch.weights(), &w));
    let (x, y) = (cpu.zeros::<f32>(8).unwrap(), cpu.zeros::<f32>(1).unwrap());
    let one = cpu.buffer(&[1f32]).unwrap();
    let to = Valued { scale: &one, bias: &one, zero_x: 0, relu: false };
    let error = launch.floats(&x, &y, &to).err().unwrap().to_string();
    assert!(error.contains("2 outputs of 1 elements"), "{error}");
    let text = "
kernel f(in x: f32[], in w: packed[f32, n, k], in s: f32[], out y: f32[], n: u32, k: u32) block 1  grid 1
{
    conv2d.f.f32.f32 y[0], w, x[0], s[0], s[0], 0, 1, 0, 1, 5
    exit
}
";
    for cpu in [cpu, Cpu::builder().executor("reference").build().unwrap()] {
        let buffer = |v: &[f32]| cpu.buffer(v).unwrap();
        let launch = cpu.load(text).unwrap().kernel("f").unwrap().launch_declared().arg("w", &w);
        let launch = launch.arg("x", buffer(&[1.0; 4])).arg("s", buffer(&[1.0])).arg("y", buffer(&[0.0]));
        let error = launch.arg("n", 1u32).arg("k", 4u32).run().unwrap_err().to_string();
        assert!(error.contains("zero point of f32 input"), "{error}");
    }
}
