//! Rivals of `phalanx bench matmul` from the Rust registry: rten-gemm, candle-core, gemm. The lines that it answers are those of
//! `rival.py`; threads are rayon's and come from `RAYON_NUM_THREADS`.

use anyhow::{Result, bail};
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix, QuantParams};
use rten_tensor::NdTensorView;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

struct Case {
    format: String,
    n: usize,
    k: usize,
    m: usize,
    threads: usize,
    copies: usize,
    dir: String,
}

impl Case {
    fn new(v: &Value) -> Option<Case> {
        let size = |key: &str| v.get(key)?.as_u64().map(|n| n as usize);
        let text = |key: &str| v.get(key)?.as_str().map(str::to_string);
        Some(Case {
            format: text("format")?,
            n: size("n")?,
            k: size("k")?,
            m: size("m")?,
            threads: size("threads")?,
            copies: size("copies")?,
            dir: text("dir")?,
        })
    }
    fn floats(&self, file: &str) -> Result<Vec<f32>> {
        let bytes = std::fs::read(Path::new(&self.dir).join(file))?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
    fn ints(&self) -> Result<Vec<i8>> {
        Ok(std::fs::read(Path::new(&self.dir).join("w.i8"))?.into_iter().map(|b| b as i8).collect())
    }
}

/// A product that is ready: computes with copy `i` of the weights.
trait Product {
    fn run(&mut self, i: usize) -> Result<()>;
    fn answer(&self) -> Result<Vec<f32>>;
}

struct Gemm {
    x: Vec<f32>,
    w: Vec<Vec<f32>>,
    y: Vec<f32>,
    case: Case,
}

impl Product for Gemm {
    fn run(&mut self, i: usize) -> Result<()> {
        let Case { n, k, m, threads, .. } = self.case;
        let (rows, columns) = (k as isize, n as isize);
        let parallelism =
            if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
        assert!(self.x.len() == m * k && self.w[i].len() == n * k && self.y.len() == m * n);
        // SAFETY: the three matrices have the sizes that the strides reach (asserted), and y is nobody else's.
        unsafe {
            gemm::gemm(
                m, n, k,
                self.y.as_mut_ptr(), 1, columns, false,
                self.x.as_ptr(), 1, rows,
                self.w[i].as_ptr(), rows, 1,
                0.0, 1.0, false, false, false, parallelism,
            );
        }
        Ok(())
    }
    fn answer(&self) -> Result<Vec<f32>> {
        Ok(self.y.clone())
    }
}

struct RtenFloats {
    executor: GemmExecutor<f32>,
    x: Vec<f32>,
    w: Vec<PackedBMatrix<f32>>,
    y: Vec<f32>,
    case: Case,
}

impl Product for RtenFloats {
    fn run(&mut self, i: usize) -> Result<()> {
        let x = NdTensorView::from_data([self.case.m, self.case.k], &self.x[..]);
        let (a, b) = (GemmInputA::Unpacked(x), GemmInputB::Packed(&self.w[i]));
        match self.executor.gemm(&mut self.y, a, b, GemmOptions::default()) {
            Ok(()) => Ok(()),
            Err(e) => bail!("{e:?}"),
        }
    }
    fn answer(&self) -> Result<Vec<f32>> {
        Ok(self.y.clone())
    }
}

/// Unsigned activations with zero point 128, signed weights, exact sums.
struct RtenInts {
    executor: GemmExecutor<u8, i8, i32>,
    x: Vec<u8>,
    zero: Vec<u8>,
    inverse: Vec<f32>,
    w: Vec<PackedBMatrix<i8>>,
    y: Vec<i32>,
    scale: Vec<f32>,
    case: Case,
}

impl Product for RtenInts {
    fn run(&mut self, i: usize) -> Result<()> {
        let x = NdTensorView::from_data([self.case.m, self.case.k], &self.x[..]);
        let (a, b) = (GemmInputA::Unpacked(x), GemmInputB::Packed(&self.w[i]));
        let options =
            GemmOptions { a_quant: Some(QuantParams { zero_point: &self.zero }), ..GemmOptions::default() };
        match self.executor.gemm(&mut self.y, a, b, options) {
            Ok(()) => Ok(()),
            Err(e) => bail!("{e:?}"),
        }
    }
    fn answer(&self) -> Result<Vec<f32>> {
        let n = self.case.n;
        let value = |(i, v): (usize, &i32)| *v as f32 / self.inverse[i / n] * self.scale[i % n];
        Ok(self.y.iter().enumerate().map(value).collect())
    }
}

struct Candle {
    x: Tensor,
    w: Vec<QMatMul>,
    y: Option<Tensor>,
}

impl Product for Candle {
    fn run(&mut self, i: usize) -> Result<()> {
        self.y = Some(self.w[i].forward(&self.x)?);
        Ok(())
    }
    fn answer(&self) -> Result<Vec<f32>> {
        match &self.y {
            Some(y) => Ok(y.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?),
            None => bail!("nothing has run"),
        }
    }
}

/// The product of a case. `Ok(Err(why))`: the rival has none.
fn product(rival: &str, case: Case) -> Result<std::result::Result<(String, Box<dyn Product>), String>> {
    let (n, k, m) = (case.n, case.k, case.m);
    let x = case.floats("x.f32")?;
    let refused = || Ok(Err(format!("{rival} has no {}", case.format)));
    let made: (String, Box<dyn Product>) = match (rival, case.format.as_str()) {
        ("gemm", "f32") => {
            let w = case.floats("w.f32")?;
            let w = vec![w; case.copies];
            ("gemm of f32".into(), Box::new(Gemm { x, w, y: vec![0.0; m * n], case }))
        }
        ("rten", "f32") => {
            let executor = GemmExecutor::<f32>::new();
            let w = case.floats("w.f32")?;
            let b = NdTensorView::from_data([n, k], &w[..]);
            let w = (0..case.copies).map(|_| executor.prepack_b(b.transposed())).collect();
            let what = format!("{} on packed weights", executor.kernel_name());
            (what, Box::new(RtenFloats { executor, x, w, y: vec![0.0; m * n], case }))
        }
        ("rten", "i8") => {
            let executor = GemmExecutor::<u8, i8, i32>::new();
            let w = case.ints()?;
            let b = NdTensorView::from_data([n, k], &w[..]);
            let packed = (0..case.copies).map(|_| executor.prepack_b(b.transposed())).collect();
            let inverse: Vec<f32> = x
                .chunks(k)
                .map(|row| 127.0 / row.iter().fold(1e-5f32, |most, v| most.max(v.abs())))
                .collect();
            let code = |(i, v): (usize, &f32)| {
                ((v * inverse[i / k]).round_ties_even().clamp(-128.0, 127.0) as i32 + 128) as u8
            };
            let codes = x.iter().enumerate().map(code).collect();
            let what = format!("{} on packed weights", executor.kernel_name());
            let (zero, scale, y) = (vec![128; m], case.floats("w.scale")?, vec![0; m * n]);
            (what, Box::new(RtenInts { executor, x: codes, zero, inverse, w: packed, y, scale, case }))
        }
        ("candle", format) => {
            let device = Device::Cpu;
            let quantised = match format {
                "q8_0" => Some(GgmlDType::Q8_0),
                "q4_0" => Some(GgmlDType::Q4_0),
                _ => None,
            };
            let float = match format {
                "f32" => Some(DType::F32),
                "f16" => Some(DType::F16),
                "bf16" => Some(DType::BF16),
                _ => None,
            };
            let w = |_| -> Result<QMatMul> {
                let w = Tensor::from_vec(case.floats("w.f32")?, (n, k), &device)?;
                Ok(match (quantised, float) {
                    (Some(q), _) => QMatMul::QTensor(Arc::new(QTensor::quantize(&w, q)?)),
                    (_, Some(f)) => QMatMul::Tensor(w.to_dtype(f)?),
                    _ => bail!("no such format"),
                })
            };
            if quantised.is_none() && float.is_none() {
                return refused();
            }
            let x = Tensor::from_vec(x, (m, k), &device)?.to_dtype(float.unwrap_or(DType::F32))?;
            let w = (0..case.copies).map(w).collect::<Result<_>>()?;
            (format!("matmul of {format}"), Box::new(Candle { x, w, y: None }))
        }
        _ => return refused(),
    };
    Ok(Ok(made))
}

fn main() -> Result<()> {
    let Some(rival) = std::env::args().nth(1) else { bail!("which rival?") };
    let mut ready: Option<(usize, usize, Box<dyn Product>)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let reply = match (request.get("case").and_then(Case::new), &mut ready) {
            (Some(case), ready) => {
                let copies = case.copies;
                *ready = None;
                match product(&rival, case)? {
                    Ok((what, product)) => {
                        *ready = Some((copies, 0, product));
                        json!({ "ok": what })
                    }
                    Err(why) => json!({ "refused": why }),
                }
            }
            (None, Some((copies, next, product))) => {
                if let Some(runs) = request.get("run").and_then(Value::as_u64) {
                    let begin = Instant::now();
                    for _ in 0..runs {
                        product.run(*next)?;
                        *next = (*next + 1) % *copies;
                    }
                    json!({ "seconds": begin.elapsed().as_secs_f64() })
                } else if let Some(file) = request.get("answer").and_then(Value::as_str) {
                    let y: Vec<u8> = product.answer()?.iter().flat_map(|v| v.to_le_bytes()).collect();
                    std::fs::write(file, y)?;
                    json!({ "ok": "" })
                } else {
                    bail!("what is {request}?")
                }
            }
            (None, None) => bail!("no case was given before {request}"),
        };
        println!("{reply}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
