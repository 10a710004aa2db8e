//! How long a file of the shape of BitNet b1.58 2B-4T takes from the page cache to its packed form.
//!
//! `cargo run --release -p phalanx-weights --example load -- FILE [THREADS]`: writes FILE (1.2 GB, random weights) where it does
//! not exist, then maps it, checks it and packs every matrix: ternary ones as T2, the embedding as f16. Prints the best of three.

use phalanx_formats::Format;
use phalanx_kernels::PackedFormat;
use phalanx_weights::{Kind, Layout, ModelFile, TensorData, Value, write};
use std::error::Error;
use std::io::BufWriter;
use std::path::Path;
use std::time::Instant;

const ARCHITECTURE: &str = "bitnet-b1.58";

fn make(path: &Path) -> Result<(), Box<dyn Error>> {
    let own = |name: &str, v: u32| (format!("{ARCHITECTURE}.{name}"), Value::U32(v));
    let keys = [
        ("general.architecture".to_string(), Value::String(ARCHITECTURE.into())),
        ("phalanx.i2_s.layout".to_string(), Value::String("x86".into())),
        own("vocab_size", 128_256),
        own("context_length", 4096),
        own("embedding_length", 2560),
        own("block_count", 30),
        own("feed_forward_length", 6912),
        own("attention.head_count", 20),
        own("attention.head_count_kv", 5),
    ];
    // What the model needs is what a file with these keys is asked for.
    let mut header = Vec::new();
    let tied = TensorData { name: "none".into(), dims: vec![1], kind: 24, bytes: vec![0] };
    write(&mut header, &keys, &[tied])?;
    let shape = phalanx_weights::Shape::of(&phalanx_weights::Gguf::parse(&header)?)?;
    let mut state = 1u64;
    let mut tensors = Vec::new();
    for (name, dims) in shape.tensors() {
        let n = dims.get(1).copied().unwrap_or(1);
        let format = match dims.len() {
            1 => Format::F32,
            _ if name == "token_embd.weight" => Format::F16,
            _ => Format::I2S(Layout::X86),
        };
        let size = format.bytes(n, dims[0])?;
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut word = state ^ state >> 29;
            // No pair of bits is 3, and no half float is infinite.
            word &= !(word >> 1 & 0x5555_5555_5555_5555);
            bytes.extend((word & 0xbfff_bfff_bfff_bfff).to_le_bytes());
        }
        bytes.truncate(size);
        if format != Format::F32 && format != Format::F16 {
            bytes[n * dims[0] / 4..][..4].copy_from_slice(&1f32.to_le_bytes());
        }
        tensors.push(TensorData { name, dims, kind: Kind::id_of(format), bytes });
    }
    write(&mut BufWriter::new(std::fs::File::create(path)?), &keys, &tensors)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = Path::new(args.first().ok_or("load FILE [THREADS]")?);
    let threads = args.get(1).map_or(Ok(2), |t| t.parse())?;
    if !path.exists() {
        make(path)?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        let file = ModelFile::open(path)?;
        let shape = file.shape()?;
        let names: Vec<String> =
            shape.tensors().into_iter().filter(|t| t.1.len() == 2).map(|t| t.0).collect();
        let form = |n: &str| if n.starts_with("blk") { PackedFormat::T2 } else { PackedFormat::F16 };
        let wanted: Vec<(&str, PackedFormat)> = names.iter().map(|n| (n.as_str(), form(n))).collect();
        let packed = file.pack_all(&wanted, file.i2s_layout()?.0, threads, &|_| Box::new(|_| {}))?;
        let bytes: usize = packed.iter().map(|p| p.bytes().len()).sum();
        let seconds = began.elapsed().as_secs_f64();
        println!("{:.3} s: {} bytes of the file, {bytes} packed, {threads} threads", seconds, file.size());
        best = best.min(seconds);
    }
    println!("best {best:.3} s");
    Ok(())
}
