//! The programs that are measured, each with its rival, its data and the work that it does.

use super::native::{self, View};
use anyhow::Context;
use phalanx::data::{self, default_range};
use phalanx::{BoundLaunch, Buffer, Cpu, Element, Kernel, Type};

/// How large the arrays are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For executors that are measured against others.
    Full,
    /// For the reference executor, which does a lane at a time.
    Small,
}

/// What bounds a case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Roof {
    /// Bytes read a second.
    Read,
    /// f32 operations a second.
    Flops,
    /// Nothing that is measured.
    None,
}

/// A program with its launches bound.
pub struct Ours {
    launches: Vec<BoundLaunch>,
    result: Box<dyn Fn() -> anyhow::Result<Vec<f64>>>,
}

impl Ours {
    /// All launches once.
    pub fn run(&self) -> anyhow::Result<()> {
        self.launches.iter().try_for_each(|l| l.run().map_err(Into::into))
    }
    /// The launches, in order.
    pub fn launches(&self) -> &[BoundLaunch] {
        &self.launches
    }
    /// What the launches computed.
    pub fn result(&self) -> anyhow::Result<Vec<f64>> {
        (self.result)()
    }
}

/// A rival with its data: runs once, and gives its answer when it is asked to.
pub type Rival = Box<dyn FnMut(bool) -> Vec<f64>>;

/// Makes a program's launches on a device.
type Make = Box<dyn Fn(&Cpu) -> anyhow::Result<Ours>>;

/// One program to measure.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What one run does, in units of `unit` times a second.
    pub work: f64,
    /// Of the figures.
    pub unit: &'static str,
    /// What bounds it.
    pub roof: Roof,
    /// How far answers may be apart, relative to the expected one and to 1.
    pub tolerance: f64,
    /// Makes the rival.
    pub rival: Box<dyn Fn() -> Rival>,
    ours: Make,
}

impl Case {
    /// The program on a device, with fresh data.
    pub fn on(&self, cpu: &Cpu) -> anyhow::Result<Ours> {
        (self.ours)(cpu).with_context(|| format!("program `{}`", self.name))
    }
    /// Whether two answers agree.
    pub fn agree(&self, ours: &[f64], expected: &[f64]) -> bool {
        let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= self.tolerance * (1.0 + b.abs());
        !ours.is_empty() && ours.len() == expected.len() && ours.iter().zip(expected).all(close)
    }
}

/// Pseudo-random elements.
fn random<T: Element>(n: usize, seed: u64) -> Vec<T> {
    let (low, high) = if T::TYPE == Type::U8 { (0.0, 255.0) } else { default_range(T::TYPE) };
    // The range is one of the type, so there is nothing to fail.
    let bytes = data::random(T::TYPE, n, seed, low, high).unwrap_or_default();
    data::elements(T::TYPE, &bytes).map(T::from_bits).collect()
}

fn wide<T: Copy + Into<f64>>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| (*v).into()).collect()
}

fn kernel(cpu: &Cpu, program: &str, name: &str) -> anyhow::Result<Kernel> {
    let found =
        phalanx_programs::find(program).with_context(|| format!("there is no program `{program}`"))?;
    Ok(cpu.load_named(&format!("programs/{program}.phx"), found.text)?.kernel(name)?)
}

fn answer<T: Element + Into<f64>>(buffer: Buffer<T>) -> Box<dyn Fn() -> anyhow::Result<Vec<f64>>> {
    Box::new(move || Ok(wide(&buffer.read()?)))
}

/// All cases.
pub fn all(size: Size) -> Vec<Case> {
    let pick = |full: usize, small: usize| if size == Size::Full { full } else { small };
    vec![
        mandelbrot("mandelbrot", [pick(512, 64); 2], 256, None),
        nbody("nbody", pick(2048, 128), None),
        axpy(pick(8 << 20, 1 << 14)),
        softmax(pick(1024, 16), pick(1024, 256)),
        matmul(pick(256, 32)),
        sum(pick(8 << 20, 1 << 15)),
        histogram(pick(8 << 20, 1 << 14)),
        scan(pick(4 << 20, 1 << 13)),
    ]
}

/// What `mandelbrot` declares, and what makes one block of it.
const FREE: &str = "block 16, 8  grid ceil(width, 16), ceil(height, 8)";
const ONE: &str = "block 32, 32  grid 1";

/// Work for two threads: 64 blocks, and one block of 1024 lanes, which they have to share.
pub fn shared(size: Size) -> Vec<Case> {
    let pick = |full: usize, small: usize| if size == Size::Full { full } else { small };
    vec![
        mandelbrot("mandelbrot, 64 blocks", [128, 64], pick(8192, 256) as u32, None),
        mandelbrot("mandelbrot, 1 block of 1024", [32, 32], pick(32768, 256) as u32, Some((FREE, ONE))),
        nbody("nbody, 64 blocks", pick(8192, 1024), None),
        nbody("nbody, 1 block of 1024", 1024, Some(("TILE = 128", "TILE = 1024"))),
    ]
}

/// The only kernel of a program's text, with a declaration exchanged.
fn declared(cpu: &Cpu, program: &str, change: Option<(&str, &str)>) -> anyhow::Result<Kernel> {
    let Some((from, to)) = change else { return kernel(cpu, program, program) };
    let found =
        phalanx_programs::find(program).with_context(|| format!("there is no program `{program}`"))?;
    anyhow::ensure!(found.text.contains(from), "program `{program}` does not declare `{from}`");
    Ok(cpu
        .load_named(&format!("programs/{program}.phx"), &found.text.replacen(from, to, 1))?
        .kernel(program)?)
}

/// Steps of a picture of `width` times `height` points.
fn mandelbrot(
    name: &'static str,
    [width, height]: [usize; 2],
    limit: u32,
    block: Option<(&'static str, &'static str)>,
) -> Case {
    let view = View { width, left: -2.0, top: 1.25, pitch: 2.5 / width as f32, limit };
    let mut steps = vec![0u32; width * height];
    native::mandelbrot(view, &mut steps);
    // Of each step: three products, four sums, one comparison.
    let flops: f64 = steps.iter().map(|n| f64::from(*n) * 8.0).sum();
    Case {
        name,
        work: flops / 1e9,
        unit: "Gflop/s",
        roof: Roof::Flops,
        tolerance: 0.0,
        rival: Box::new(move || {
            let mut steps = vec![0u32; width * height];
            Box::new(move |ask| {
                native::mandelbrot(view, &mut steps);
                if ask { wide(&steps) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let steps = cpu.zeros::<u32>(width * height)?;
            let launch = declared(cpu, "mandelbrot", block)?.launch_declared().arg("steps", &steps);
            let launch =
                launch.arg("width", width as u32).arg("height", height as u32).arg("left", view.left);
            let launch =
                launch.arg("top", view.top).arg("pitch", view.pitch).arg("limit", view.limit).bind()?;
            Ok(Ours { launches: vec![launch], result: answer(steps) })
        }),
    }
}

fn nbody(name: &'static str, n: usize, tile: Option<(&'static str, &'static str)>) -> Case {
    let (dt, eps2) = (1e-3f32, 1e-2f32);
    let make = move || random::<f32>(4 * n, 3);
    Case {
        name,
        // Of each pair: 3 differences, 6 multiply-adds, a product, a root and a quotient.
        work: (n * n) as f64 * 18.0 / 1e9,
        unit: "Gflop/s",
        roof: Roof::Flops,
        tolerance: 1e-5,
        rival: Box::new(move || {
            let body = make().as_chunks::<4>().0.to_vec();
            let (mut speed, mut next) = (vec![[0f32; 4]; n], vec![[0f32; 4]; n]);
            Box::new(move |ask| {
                native::nbody(&body, &mut speed, &mut next, dt, eps2);
                if ask { wide(next.as_flattened()) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (body, speed, next) =
                (cpu.buffer(&make())?, cpu.zeros::<f32>(4 * n)?, cpu.zeros::<f32>(4 * n)?);
            let launch =
                declared(cpu, "nbody", tile)?.launch_declared().arg("body", &body).arg("speed", &speed);
            let launch = launch.arg("next", &next).arg("dt", dt).arg("eps2", eps2).bind()?;
            Ok(Ours { launches: vec![launch], result: answer(next) })
        }),
    }
}

fn axpy(n: usize) -> Case {
    let a = 0.5f32;
    Case {
        name: "saxpy",
        work: (12 * n) as f64 / 1e9,
        unit: "GB/s",
        roof: Roof::Read,
        tolerance: 0.0,
        rival: Box::new(move || {
            let (x, mut y) = (random::<f32>(n, 1), random::<f32>(n, 2));
            Box::new(move |ask| {
                native::axpy(a, &x, &mut y);
                if ask { wide(&y) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (x, y) = (cpu.buffer(&random::<f32>(n, 1))?, cpu.buffer(&random::<f32>(n, 2))?);
            let launch = kernel(cpu, "axpy", "axpy")?
                .launch_declared()
                .arg("x", &x)
                .arg("y", &y)
                .arg("a", a)
                .bind()?;
            Ok(Ours { launches: vec![launch], result: answer(y) })
        }),
    }
}

fn softmax(rows: usize, cols: usize) -> Case {
    Case {
        name: "softmax",
        work: (rows * cols) as f64 / 1e6,
        unit: "Melem/s",
        roof: Roof::None,
        tolerance: 1e-6,
        rival: Box::new(move || {
            let (x, mut y) = (random::<f32>(rows * cols, 1), vec![0f32; rows * cols]);
            Box::new(move |ask| {
                native::softmax(&x, &mut y, cols);
                if ask { wide(&y) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (x, y) = (cpu.buffer(&random::<f32>(rows * cols, 1))?, cpu.zeros::<f32>(rows * cols)?);
            let launch = kernel(cpu, "softmax", "softmax")?.launch_declared().arg("x", &x).arg("y", &y);
            Ok(Ours { launches: vec![launch.arg("cols", cols as u32).bind()?], result: answer(y) })
        }),
    }
}

fn matmul(n: usize) -> Case {
    Case {
        name: "matmul_tiled",
        work: (2 * n * n * n) as f64 / 1e9,
        unit: "Gflop/s",
        roof: Roof::Flops,
        tolerance: 0.0,
        rival: Box::new(move || {
            let (a, b, mut c) = (random::<f32>(n * n, 1), random::<f32>(n * n, 2), vec![0f32; n * n]);
            Box::new(move |ask| {
                native::matmul(&a, &b, &mut c, n);
                if ask { wide(&c) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (a, b) = (cpu.buffer(&random::<f32>(n * n, 1))?, cpu.buffer(&random::<f32>(n * n, 2))?);
            let c = cpu.zeros::<f32>(n * n)?;
            let launch = kernel(cpu, "matmul_tiled", "matmul_tiled")?.launch_declared();
            let launch = launch.arg("a", &a).arg("b", &b).arg("c", &c);
            let launch = ["m", "n", "k"].iter().fold(launch, |l, name| l.arg(name, n as u32)).bind()?;
            Ok(Ours { launches: vec![launch], result: answer(c) })
        }),
    }
}

fn sum(n: usize) -> Case {
    Case {
        name: "sum",
        work: (4 * n) as f64 / 1e9,
        unit: "GB/s",
        roof: Roof::Read,
        // The order of additions differs: errors grow with the logarithm of n, times the sum of magnitudes.
        tolerance: 1e-3,
        rival: Box::new(move || {
            let x = random::<f32>(n, 1);
            Box::new(move |_| vec![native::sum(&x).into()])
        }),
        ours: Box::new(move |cpu| {
            let x = cpu.buffer(&random::<f32>(n, 1))?;
            let (part, total) = (cpu.zeros::<f32>(n.div_ceil(4096))?, cpu.zeros::<f32>(1)?);
            let first = kernel(cpu, "sum", "sum_partial")?
                .launch_declared()
                .arg("x", &x)
                .arg("part", &part)
                .bind()?;
            let last = kernel(cpu, "sum", "sum_final")?
                .launch_declared()
                .arg("part", &part)
                .arg("total", &total)
                .bind()?;
            Ok(Ours { launches: vec![first, last], result: answer(total) })
        }),
    }
}

fn histogram(n: usize) -> Case {
    Case {
        name: "histogram",
        work: n as f64 / 1e9,
        unit: "GB/s",
        roof: Roof::Read,
        tolerance: 0.0,
        rival: Box::new(move || {
            let (x, mut bins) = (random::<u8>(n, 1), [0u32; 256]);
            Box::new(move |ask| {
                native::histogram(&x, &mut bins);
                if ask { wide(&bins) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (x, bins) = (cpu.buffer(&random::<u8>(n, 1))?, cpu.zeros::<u32>(256)?);
            let launch = kernel(cpu, "histogram", "histogram")?
                .launch_declared()
                .arg("x", &x)
                .arg("bins", &bins)
                .bind()?;
            Ok(Ours { launches: vec![launch], result: answer(bins) })
        }),
    }
}

fn scan(n: usize) -> Case {
    Case {
        name: "scan",
        work: (8 * n) as f64 / 1e9,
        unit: "GB/s",
        roof: Roof::Read,
        tolerance: 0.0,
        rival: Box::new(move || {
            let (x, mut y) = (random::<u32>(n, 1), vec![0u32; n]);
            Box::new(move |ask| {
                native::scan(&x, &mut y);
                if ask { wide(&y) } else { Vec::new() }
            })
        }),
        ours: Box::new(move |cpu| {
            let (x, y) = (cpu.buffer(&random::<u32>(n, 1))?, cpu.zeros::<u32>(n)?);
            let total = cpu.zeros::<u32>(n.div_ceil(256))?;
            let blocks = kernel(cpu, "scan", "scan_blocks")?.launch_declared();
            let blocks = blocks.arg("x", &x).arg("y", &y).arg("total", &total).bind()?;
            let totals = kernel(cpu, "scan", "scan_totals")?.launch_declared().arg("total", &total).bind()?;
            let add = kernel(cpu, "scan", "scan_add")?
                .launch_declared()
                .arg("y", &y)
                .arg("total", &total)
                .bind()?;
            Ok(Ours { launches: vec![blocks, totals, add], result: answer(y) })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_rivals_agree() {
        let cpu = Cpu::new().unwrap();
        for case in all(Size::Small).into_iter().chain(shared(Size::Small)) {
            let ours = case.on(&cpu).unwrap();
            ours.run().unwrap();
            let expected = (case.rival)()(true);
            assert!(case.agree(&ours.result().unwrap(), &expected), "{}", case.name);
            assert!(!case.agree(&[], &[]), "no answer agrees with nothing");
        }
    }
}
