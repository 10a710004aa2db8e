//! The kernel programs that come with Phalanx, as text, the data of the digits network and the language model.
//!
//! Every program says in its first lines what it computes, for which shapes and how it is launched, and carries its tests in
//! comments that begin with `//=`. [`PROGRAMS`] lists them all; [`find`] gets one by name.
//!
//! Invariant: every `.phx` file of this folder is in [`PROGRAMS`], assembles, and is valid.
#![forbid(unsafe_code)]

pub mod bitnet;
pub mod digits;

/// A program: a file of one or more kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file's path below this folder without its ending, for example `softmax` or `digits/digits`.
    pub name: &'static str,
    /// The program text.
    pub text: &'static str,
}

impl Program {
    /// The first line of the header: what the program computes.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("//!").trim()
    }
}

macro_rules! programs {
    ($($name:literal)*) => {
        /// All programs, ascending by name.
        pub static PROGRAMS: &[Program] =
            &[$(Program { name: $name, text: include_str!(concat!($name, ".phx")) }),*];
    };
}

programs! {
    "argmax"
    "arithmetic"
    "atlas_balance"
    "atlas_resonance"
    "atlas_walk"
    "attention_decode"
    "attention_prefill"
    "axpy"
    "binary_cross_entropy"
    "binomial"
    "bitnet/attention"
    "bitnet/cache"
    "bitnet/embed"
    "bitnet/layer_norms"
    "bitnet/norms"
    "bitonic_sort"
    "clip"
    "conv2d"
    "conv2d_plain"
    "copy"
    "cross_entropy"
    "digits/digits"
    "dot"
    "embedding"
    "extrema"
    "fill"
    "gelu"
    "gemm"
    "half"
    "histogram"
    "integrate"
    "kmeans"
    "layer_norm"
    "linear"
    "mandelbrot"
    "matmul_tiled"
    "matvec"
    "mean_of"
    "min_max"
    "mse"
    "nbody"
    "pool"
    "quantise"
    "rank_sort"
    "relu"
    "rms_norm"
    "rotary"
    "scalar"
    "scan"
    "scan_chained"
    "sigmoid"
    "sign"
    "softmax"
    "stencil1d"
    "stencil2d"
    "sum"
    "tanh"
    "ternary_matvec"
    "ternary_native"
    "topk"
    "transpose"
}

/// The program of this name.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.binary_search_by_key(&name, |p| p.name).ok().map(|i| &PROGRAMS[i])
}
