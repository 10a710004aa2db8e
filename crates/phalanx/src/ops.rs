//! The program library as functions: vectors, reductions, rows, matrices, a transformer's parts.
//!
//! ```
//! # fn main() -> Result<(), phalanx::Error> {
//! use phalanx::ops;
//! let cpu = phalanx::Cpu::new()?;
//! let x = cpu.buffer(&[1f32, 2.0, 3.0, 3.0, 2.0, 1.0])?;
//! let p = ops::softmax(&cpu, &x, 3)?; // two rows of three
//! assert_eq!(ops::argmax(&cpu, &p, 3)?.read()?, [2, 0]);
//! assert!((ops::sum(&cpu, &p)? - 2.0).abs() < 1e-6);
//!
//! let mut y = cpu.zeros::<f32>(6)?;
//! ops::add_into(&cpu, &x, &p, &mut y)?; // into memory that is there already
//! assert!(ops::add_into(&cpu, &x, &cpu.zeros::<f32>(5)?, &mut y).is_err());
//!
//! let softmax = ops::kernel(&cpu, "softmax")?; // the same program by name, for launches of one's own
//! softmax.launch_declared().arg("x", &x).arg("y", &mut y).arg("cols", 3u32).threads(1).run()?;
//! assert_eq!(y.read()?, p.read()?);
//! # Ok(()) }
//! ```
//!
//! Every function is one launch of a program under `programs/` over a whole grid, or two or three for reductions and scans. The
//! device's program cache holds the programs: the first call loads one, later calls find it.
//!
//! Each operation has two forms. `name(cpu, inputs.., sizes..)` makes its outputs; `name_into(cpu, inputs.., outputs.., sizes..)`
//! writes to the caller's, which must have the right lengths and share no memory with the inputs (views of one allocation may
//! stand side by side). A reduction gives a number in the first form and a buffer of one element, without a copy to the host, in
//! the second. Matrices are row-major; a sum over nothing is 0.
//!
//! There are no `_par` variants: every launch is divided by its size, a small one runs on the caller's thread, and the bits do
//! not depend on the number of threads. That number is bounded for a device by [`crate::Builder::threads`], and for one launch
//! by [`crate::Launcher::threads`] (or [`crate::RunOptions`]) on a [`kernel`]. Without the `parallel` feature it is 1.
//!
//! [`names`] lists the kernels of all programs, [`find`] tells what one computes and shows its text, and [`kernel`] makes it
//! ready on a device, also where there is no function for it here.
//!
//! Invariant: a function here checks lengths and launches, nothing else; what it computes stands in the program alone.

use crate::{ArgValue, Buffer, Cpu, Element, Error, IntoArg, Kernel, PackedWeights, RawView, Type};
use std::sync::{Arc, LazyLock};

/// Why an operation could not be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// The library has no kernel of this name.
    #[error("the library has no kernel `{name}`; {}", known_text(known))]
    Unknown {
        /// Asked for.
        name: String,
        /// The kernels of the program of this name; empty where there is none.
        known: Vec<&'static str>,
    },
    /// A length or a size that does not fit the others. Nothing has run.
    #[error("`{op}`: `{operand}`: expected {expected}, found {found}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The parameter that is wrong.
        operand: &'static str,
        /// What it must be, and why.
        expected: String,
        /// Its number of elements, or its value where it is a number.
        found: usize,
    },
}

fn known_text(known: &[&str]) -> String {
    match known {
        [] => "`ops::names` lists them".into(),
        _ => format!("the program of that name has: {}", known.join(", ")),
    }
}

/// A kernel of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The kernel's name; no two kernels of the library share one.
    pub name: &'static str,
    /// Its program: the file's path under `programs/` without the ending.
    pub program: &'static str,
    /// The program's text, with all its kernels and tests.
    pub text: &'static str,
}

impl Entry {
    /// The program's header: what its kernels compute, shapes, launches, guarantees.
    pub fn header(&self) -> String {
        let lines = self.text.lines().map_while(|l| l.strip_prefix("//!"));
        lines.map(|l| l.strip_prefix(' ').unwrap_or(l).trim_end()).collect::<Vec<_>>().join("\n")
    }
}

/// All kernels, ascending by name. The texts are the only list: a kernel's declaration begins its line.
static LIBRARY: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for p in phalanx_programs::PROGRAMS {
        let declared = p.text.lines().filter_map(|l| l.strip_prefix("kernel ")?.split('(').next());
        all.extend(declared.map(|k| Entry { name: k.trim(), program: p.name, text: p.text }));
    }
    all.sort_by_key(|e| e.name);
    all
});

/// The names of all kernels, ascending.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|e| e.name)
}

/// The kernel of this name, or the only kernel of the program of this name (`attention_decode`).
pub fn find(name: &str) -> Option<&'static Entry> {
    if let Ok(i) = LIBRARY.binary_search_by_key(&name, |e| e.name) {
        return Some(&LIBRARY[i]);
    }
    let mut of_program = LIBRARY.iter().filter(|e| e.program == name);
    of_program.next().filter(|_| of_program.next().is_none())
}

/// The kernel that [`find`] finds, ready to launch, from the device's program cache.
///
/// # Errors
/// [`OpError::Unknown`].
pub fn kernel(cpu: &Cpu, name: &str) -> Result<Kernel, Error> {
    let Some(entry) = find(name) else {
        let known = LIBRARY.iter().filter(|e| e.program == name).map(|e| e.name).collect();
        return Err(OpError::Unknown { name: name.into(), known }.into());
    };
    Ok(cpu.load_named(&format!("{}.phx", entry.program), entry.text)?.kernel(entry.name)?)
}

// ---- Checks. The programs' indices are 32 bits wide, so every length is held below 2^32 here and no product can wrap.

/// A shape error before the operation's name is known.
struct Wrong {
    operand: &'static str,
    expected: String,
    found: usize,
}

impl Wrong {
    fn of(self, op: &'static str) -> OpError {
        OpError::Shape { op, operand: self.operand, expected: self.expected, found: self.found }
    }
}

fn need(
    ok: bool,
    operand: &'static str,
    found: usize,
    expected: impl FnOnce() -> String,
) -> Result<(), Wrong> {
    if ok { Ok(()) } else { Err(Wrong { operand, expected: expected(), found }) }
}

/// Refuses a length that 32-bit indices do not reach.
fn fits(operand: &'static str, n: usize) -> Result<usize, Wrong> {
    let ok = u32::try_from(n).is_ok();
    need(ok, operand, n, || format!("at most {} elements", u32::MAX)).map(|()| n)
}

/// The product of sizes: the number of elements of `operand`.
fn product(operand: &'static str, sizes: &[usize]) -> Result<usize, Wrong> {
    // Any 0 makes the product 0, wherever a partial product would have overflowed.
    let wide =
        if sizes.contains(&0) { Some(0) } else { sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s)) };
    fits(operand, wide.unwrap_or(usize::MAX))
}

/// Refuses a length other than `n`, which is explained by `why`.
fn same(operand: &'static str, found: usize, n: usize, why: &str) -> Result<(), Wrong> {
    need(found == n, operand, found, || format!("{n} element{} ({why})", if n == 1 { "" } else { "s" }))?;
    fits(operand, n).map(|_| ())
}

/// Number of rows of `cols` elements; none of no elements.
fn rows(operand: &'static str, n: usize, cols: usize, why: &str) -> Result<usize, Wrong> {
    let whole = || {
        if cols == 0 {
            format!("0 elements ({why} = 0)")
        } else {
            format!("a multiple of {cols} elements ({why})")
        }
    };
    need(n == 0 || cols > 0 && n.is_multiple_of(cols), operand, n, whole)?;
    Ok(fits(operand, n)?.checked_div(cols).unwrap_or(0))
}

// ---- Arguments

/// What the functions here take, as a launch takes it.
trait Operand {
    fn operand(&self) -> ArgValue;
}
macro_rules! operands {
    ($([$($generic:tt)*] $t:ty;)*) => { $(impl<$($generic)*> Operand for $t {
        fn operand(&self) -> ArgValue {
            self.clone().into_arg()
        }
    })* };
}
operands! {
    [T: Element] Buffer<T>;
    [] RawView;
    [] Arc<PackedWeights>;
    [] [&Buffer<f32>; 4];
    [] f32;
    [] f64;
    [] u32;
}
impl Operand for usize {
    /// A size. What is launched has outputs, so every size is a factor of a checked length and below 2^32.
    fn operand(&self) -> ArgValue {
        u32::try_from(*self).unwrap_or(u32::MAX).into_arg()
    }
}

/// `run!(cpu, kernel(x, y, cols = expression) [shared n])`: one launch over the declared grid, parameters by name.
macro_rules! run {
    ($cpu:expr, $kernel:ident($($arg:ident $(= $value:expr)?),*) $(shared $shared:expr)?) => {
        kernel($cpu, stringify!($kernel))?
            .launch_declared()
            $(.arg(stringify!($arg), run!(@value $arg $($value)?)))*
            $(.shared_len($shared as u64))?
            .run()?
    };
    (@value $arg:ident) => { $arg.operand() };
    (@value $arg:ident $value:expr) => { $value.operand() };
}

/// Both forms of operations, from the inputs and sizes, the outputs with the block that gives their lengths (and checks the
/// inputs on the way), scratch memory, and the launches. Without any output element there is nothing to launch.
macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident, $into:ident($($x:ident: $xt:ty),+ $(; $($s:ident: $st:ty),+)?)
        -> ($($y:ident: $yt:ty),+) $lengths:block
        $(with $scratch:ident: $ct:ty = $c:expr,)? $(=> $kernel:ident $args:tt $(shared $shared:expr)?)+;)*) => { $(
        $(#[$doc])*
        ///
        /// # Errors
        /// Lengths that do not fit each other; what the launch refuses; no memory.
        #[allow(unused_parens, reason = "a tuple where there are several outputs")]
        pub fn $name(cpu: &Cpu, $($x: $xt,)+ $($($s: $st),+)?) -> Result<($(Buffer<$yt>),+), Error> {
            let lengths = || Ok($lengths);
            let [$($y),+] = lengths().map_err(|e: Wrong| e.of(stringify!($name)))?;
            $(let mut $y = cpu.zeros::<$yt>($y)?;)+
            $into(cpu, $($x,)+ $(&mut $y,)+ $($($s),+)?)?;
            Ok(($($y),+))
        }

        #[doc = concat!("As [`", stringify!($name), "`], into the caller's memory.")]
        ///
        /// # Errors
        /// Lengths that do not fit each other; what the launch refuses.
        #[allow(clippy::too_many_arguments, reason = "a kernel has as many as it has")]
        pub fn $into(cpu: &Cpu, $($x: $xt,)+ $($y: &mut Buffer<$yt>,)+ $($($s: $st),+)?) -> Result<(), Error> {
            let found = [$($y.len()),+];
            let checked = || {
                let expected = $lengths;
                for ((name, found), n) in [$(stringify!($y)),+].into_iter().zip(found).zip(expected) {
                    same(name, found, n, "what the inputs give")?;
                }
                Ok(())
            };
            checked().map_err(|e: Wrong| e.of(stringify!($name)))?;
            if found.iter().any(|n| *n > 0) {
                $(let $scratch = cpu.zeros::<$ct>($c)?;)?
                $(run!(cpu, $kernel $args $(shared $shared)?);)+
            }
            Ok(())
        }
    )* };
}

/// Operations element by element, each under the name of its kernel.
macro_rules! elementwise {
    ($($(#[$doc:meta])* fn $name:ident, $into:ident($x:ident $(, $more:ident)* $(; $($s:ident),+)?);)*) => { ops! { $(
        $(#[$doc])*
        fn $name, $into($x: &Buffer<f32> $(, $more: &Buffer<f32>)* $(; $($s: f32),+)?) -> (y: f32) {
            $(same(stringify!($more), $more.len(), $x.len(), concat!("as `", stringify!($x), "`"))?;)*
            [fits(stringify!($x), $x.len())?]
        } => $name($x $(, $more)*, y $($(, $s)+)?);
    )* } };
}

elementwise! {
    /// `a + b`.
    fn add, add_into(a, b);
    /// `a - b`.
    fn sub, sub_into(a, b);
    /// `a * b`.
    fn mul, mul_into(a, b);
    /// `a / b`.
    fn div, div_into(a, b);
    /// The smaller of `a` and `b`; a number wins over NaN, -0 is below +0. ([`min`] reduces.)
    fn min_of, min_of_into(a, b);
    /// The larger of `a` and `b`; a number wins over NaN, -0 is below +0. ([`max`] reduces.)
    fn max_of, max_of_into(a, b);
    /// `|x|`.
    fn abs, abs_into(x);
    /// `-x`.
    fn neg, neg_into(x);
    /// `max(x, 0)`; NaN gives 0.
    fn relu, relu_into(x);
    /// `1 / (1 + exp(-x))`, within 2 ULP.
    fn sigmoid, sigmoid_into(x);
    /// `tanh(x)`, within 2 ULP.
    fn tanh, tanh_into(x);
    /// `x / 2 * (1 + erf(x / sqrt 2))`, the exact form.
    fn gelu, gelu_into(x);
    /// `min(max(x, lo), hi)`; `hi` where the bounds are crossed, `lo` for NaN.
    fn clip, clip_into(x; lo, hi);
    /// `x + s`.
    fn add_scalar, add_scalar_into(x; s);
    /// `x * s`.
    fn mul_scalar, mul_scalar_into(x; s);
    /// `(x[i - 1] + 2 x[i] + x[i + 1]) / 4`, the ends repeated.
    fn stencil1d, stencil1d_into(x);
}

ops! {
    /// `(xs[0] + xs[1] + xs[2] + xs[3]) / 4`, element by element.
    fn mean_of, mean_of_into(xs: [&Buffer<f32>; 4]) -> (y: f32) {
        for x in xs {
            same("xs", x.len(), xs[0].len(), "as `xs[0]`")?;
        }
        [fits("xs", xs[0].len())?]
    } => mean_of(xs, y);
    /// `x` rounded to bf16, ties to even.
    fn to_bf16, to_bf16_into(x: &Buffer<f32>) -> (y: crate::Bf16) { [fits("x", x.len())?] } => to_bf16(x, y);

    /// Softmax of every row of `cols` elements.
    fn softmax, softmax_into(x: &Buffer<f32>; cols: usize) -> (y: f32) {
        rows("x", x.len(), cols, "cols")?;
        [x.len()]
    } => softmax(x, y, cols);
    /// `(x - mean) / sqrt(variance + eps) * weight + bias` in every row, as long as `weight` and `bias` are.
    fn layer_norm, layer_norm_into(x: &Buffer<f32>, weight: &Buffer<f32>, bias: &Buffer<f32>; eps: f32) -> (y: f32) {
        rows("x", x.len(), weight.len(), "the length of `weight`")?;
        same("bias", bias.len(), weight.len(), "as `weight`")?;
        [x.len()]
    } => layer_norm(x, weight, bias, y, cols = weight.len(), eps);
    /// `x / sqrt(mean of x^2 + eps) * weight` in every row, as long as `weight` is.
    fn rms_norm, rms_norm_into(x: &Buffer<f32>, weight: &Buffer<f32>; eps: f32) -> (y: f32) {
        rows("x", x.len(), weight.len(), "the length of `weight`")?;
        [x.len()]
    } => rms_norm(x, weight, y, cols = weight.len(), eps);
    /// The index of the largest element of every row of `cols`, the lowest of several; NaNs are passed over, and a row without
    /// a number gives [`u32::MAX`].
    fn argmax, argmax_into(x: &Buffer<f32>; cols: usize) -> (best: u32) {
        [rows("x", x.len(), cols, "cols")?]
    } => argmax(x, best, cols);
    /// The `k` largest elements of every row of `cols`, largest first, and their indices: both `[rows, k]`. Where a row has
    /// fewer numbers the rest is -inf with index [`u32::MAX`].
    fn topk, topk_into(x: &Buffer<f32>; cols: usize, k: usize) -> (value: f32, index: u32) {
        let n = product("value", &[rows("x", x.len(), cols, "cols")?, k])?;
        [n, n]
    } => topk(x, value, index, cols, k);
    /// Every row of `cols` elements sorted ascending. Work grows with the square of `cols`; a row with a NaN is not sorted.
    fn rank_sort, rank_sort_into(x: &Buffer<f32>; cols: usize) -> (y: f32) {
        rows("x", x.len(), cols, "cols")?;
        [x.len()]
    } => rank_sort(x, y, cols) shared cols;
    /// Rows of `cols` elements as int8 with a step a row, so that `q * step` is about `x`.
    fn quantise, quantise_into(x: &Buffer<f32>; cols: usize) -> (q: i8, step: f32) {
        [x.len(), rows("x", x.len(), cols, "cols")?]
    } => quantise(x, q, step, cols);
    /// `log(sum of exp(x[r])) - x[r, label[r]]` for every row of `cols` logits. A label outside the columns traps.
    fn cross_entropy_rows, cross_entropy_rows_into(x: &Buffer<f32>, label: &Buffer<u32>; cols: usize) -> (loss: f32) {
        same("x", x.len(), product("x", &[label.len(), cols])?, "length of `label` * cols")?;
        [fits("label", label.len())?]
    } => cross_entropy(x, label, loss, cols);

    /// `a * b` for a: `[m, k]`, b: `[k, n]`; the result is `[m, n]`. Every element is one fma chain from +0 in order.
    fn gemm, gemm_into(a: &Buffer<f32>, b: &Buffer<f32>; m: usize, n: usize, k: usize) -> (c: f32) {
        same("a", a.len(), product("a", &[m, k])?, "m * k")?;
        same("b", b.len(), product("b", &[k, n])?, "k * n")?;
        [product("c", &[m, n])?]
    } => gemm(a, b, c, m, n, k);
    /// `w * x` for w: `[rows, cols]` with `cols` the length of `x`. Every element is one fma chain from +0 in order.
    fn matvec, matvec_into(w: &Buffer<f32>, x: &Buffer<f32>) -> (y: f32) {
        [rows("w", w.len(), x.len(), "the length of `x`")?]
    } => matvec(w, x, y, cols = x.len());
    /// As [`matvec`] with bf16 weights and activations, added in f32.
    fn bf16_matvec, bf16_matvec_into(w: &Buffer<crate::Bf16>, x: &Buffer<crate::Bf16>) -> (y: f32) {
        [rows("w", w.len(), x.len(), "the length of `x`")?]
    } => bf16_dot(w, x, y, cols = x.len());
    /// The transpose of x: `[rows, cols]`.
    fn transpose, transpose_into(x: &Buffer<f32>; rows: usize, cols: usize) -> (y: f32) {
        same("x", x.len(), product("x", &[rows, cols])?, "rows * cols")?;
        [x.len()]
    } => transpose(x, y, rows, cols);
    /// One step of heat flow over x: `[rows, cols]`: `x + r * (sum of the four neighbours - 4 x)` inside, `x` on the border.
    fn stencil2d, stencil2d_into(x: &Buffer<f32>; rows: usize, cols: usize, r: f32) -> (y: f32) {
        same("x", x.len(), product("x", &[rows, cols])?, "rows * cols")?;
        [x.len()]
    } => stencil2d(x, y, rows, cols, r);

    /// The rows `id` of a table whose rows have `dim` elements. An id outside the table traps.
    fn embedding, embedding_into(table: &Buffer<f32>, id: &Buffer<u32>; dim: usize) -> (y: f32) {
        need(dim > 0 && table.len().is_multiple_of(dim), "table", table.len(), || format!("a multiple of dim = {dim}, at least 1"))?;
        [product("y", &[id.len(), dim])?]
    } => embedding(table, id, y, dim);
    /// `softmax(q k^T * scale) v` of one token: q: `[heads, dim]`; k, v: `[heads, keys, dim]` with at least one key.
    fn attention_decode, attention_decode_into(q: &Buffer<f32>, k: &Buffer<f32>, v: &Buffer<f32>; dim: usize, scale: f32) -> (o: f32) {
        rows("q", q.len(), dim, "dim")?;
        let keys = rows("k", k.len(), q.len(), "the length of `q`, for every key")?;
        need(keys > 0 || q.is_empty(), "k", 0, || "at least one key".into())?;
        same("v", v.len(), k.len(), "as `k`")?;
        [q.len()]
    } => attention_decode(q, k, v, o, keys = (k.len() / q.len()), dim, scale) shared k.len() / q.len();
    /// `softmax(q k^T * scale) v` of every token against itself and those before it; all are `[heads, tokens, dim]`.
    fn attention_prefill, attention_prefill_into(
        q: &Buffer<f32>, k: &Buffer<f32>, v: &Buffer<f32>; tokens: usize, dim: usize, scale: f32
    ) -> (o: f32) {
        rows("q", q.len(), product("q", &[tokens, dim])?, "tokens * dim")?;
        same("k", k.len(), q.len(), "as `q`")?;
        same("v", v.len(), q.len(), "as `q`")?;
        [q.len()]
    } => attention_prefill(q, k, v, o, tokens, dim, scale) shared tokens;

    /// How often each byte occurs: 256 counts. The `_into` form adds to the counts that are there.
    fn histogram, histogram_into(x: &Buffer<u8>) -> (bins: u32) {
        fits("x", x.len())?;
        [256]
    } => histogram(x, bins);
    /// The inclusive prefix sum, wrapping: `x[0] + .. + x[i]`.
    fn scan, scan_into(x: &Buffer<u32>) -> (y: u32) { [fits("x", x.len())?] } with total: u32 = x.len().div_ceil(256),
        => scan_blocks(x, y, total) => scan_totals(total) => scan_add(y, total);
    /// `scale[o] * (w[o] . x[r])` for rows of int8 activations as long as the rows of the ternary weights w: `[n, k]`; the
    /// result is `[rows, n]`. The integer sums are exact.
    fn ternary_matmul, ternary_matmul_into(x: &Buffer<i8>, w: &Arc<PackedWeights>, scale: &Buffer<f32>) -> (y: f32) {
        same("scale", scale.len(), w.n(), "the rows of `w`")?;
        [product("y", &[rows("x", x.len(), w.k(), "the columns of `w`")?, w.n()])?]
    } with sum: i32 = y.len(),
        => ternary_native(x, w, sum, scale, y, rows = (x.len() / w.k()), n = w.n(), k = w.k());
}

/// Reductions over all elements: partial results of 4096 neighbours each, then one block over those.
macro_rules! reductions {
    ($($(#[$doc:meta])* fn $name:ident, $into:ident($x:ident $(, $more:ident)*)
        = $partial:ident, $last:ident -> $out:ident $(/ $count:ident)?;)*) => { $(
        $(#[$doc])*
        ///
        /// # Errors
        /// Lengths that do not fit each other; what the launch refuses; no memory.
        pub fn $name(cpu: &Cpu, $x: &Buffer<f32> $(, $more: &Buffer<f32>)*) -> Result<f32, Error> {
            let mut result = cpu.zeros::<f32>(1)?;
            $into(cpu, $x, $($more,)* &mut result)?;
            let mut value = [0.0];
            result.read_into(&mut value)?;
            Ok(value[0])
        }

        #[doc = concat!("As [`", stringify!($name), "`], into a buffer of one element.")]
        ///
        /// # Errors
        /// Lengths that do not fit each other; what the launch refuses; no memory.
        pub fn $into(cpu: &Cpu, $x: &Buffer<f32>, $($more: &Buffer<f32>,)* $out: &mut Buffer<f32>) -> Result<(), Error> {
            let check = || {
                $(same(stringify!($more), $more.len(), $x.len(), concat!("as `", stringify!($x), "`"))?;)*
                same(stringify!($out), $out.len(), 1, "one result")?;
                fits(stringify!($x), $x.len())
            };
            let n = check().map_err(|e: Wrong| e.of(stringify!($name)))?;
            let part = cpu.zeros::<f32>(n.div_ceil(4096))?;
            run!(cpu, $partial($x, $($more,)* part));
            run!(cpu, $last(part, $out $(, $count = n)?));
            Ok(())
        }
    )* };
}

reductions! {
    /// The sum of all elements, as a tree whose order is a function of their number alone.
    fn sum, sum_into(x) = sum_partial, sum_final -> total;
    /// The mean of all elements; NaN where there is none.
    fn mean, mean_into(x) = sum_partial, mse_final -> mean / count;
    /// The smallest element, NaNs passed over; inf where there is none. ([`min_of`] is element by element.)
    fn min, min_into(x) = min_partial, min_final -> result;
    /// The largest element, NaNs passed over; -inf where there is none. ([`max_of`] is element by element.)
    fn max, max_into(x) = max_partial, max_final -> result;
    /// The sum of `a[i] * b[i]`.
    fn dot, dot_into(a, b) = dot_partial, dot_final -> total;
    /// The mean of `(a[i] - b[i])^2`; NaN where there is none.
    fn mse, mse_into(a, b) = mse_partial, mse_final -> mean / count;
    /// The mean of `-(t log p + (1 - t) log(1 - p))` with logarithms held at -100 or above; NaN where there is none.
    fn binary_cross_entropy, binary_cross_entropy_into(p, t) = bce_partial, bce_final -> mean / count;
}

// ---- Operations that change a buffer, and those of several launches.

/// `result` where the check passed.
fn checked<T>(op: &'static str, result: Result<T, Wrong>) -> Result<T, Error> {
    result.map_err(|e| e.of(op).into())
}

/// The elements as 4-byte words.
fn words<T: Element>(operand: &'static str, b: &Buffer<T>) -> Result<RawView, Wrong> {
    let bytes = b.len().saturating_mul(size_of::<T>());
    need(bytes.is_multiple_of(4), operand, b.len(), || {
        format!("a multiple of 4 bytes in {} elements", T::TYPE)
    })?;
    let n = fits(operand, bytes / 4)?;
    Ok(RawView { len: n as u64, elem: Type::U32, ..b.raw().clone() })
}

/// A copy of `x`, bits as they are.
///
/// # Errors
/// A number of bytes that is no multiple of 4 (one element of two bytes, say); what the launch refuses; no memory.
pub fn copy<T: Element>(cpu: &Cpu, x: &Buffer<T>) -> Result<Buffer<T>, Error> {
    let mut y = cpu.zeros(x.len())?;
    copy_into(cpu, x, &mut y)?;
    Ok(y)
}

/// As [`copy`], into the caller's memory.
///
/// # Errors
/// Another length; a number of bytes that is no multiple of 4; what the launch refuses.
pub fn copy_into<T: Element>(cpu: &Cpu, x: &Buffer<T>, y: &mut Buffer<T>) -> Result<(), Error> {
    checked("copy", same("y", y.len(), x.len(), "as `x`"))?;
    let (x, y) = (checked("copy", words("x", x))?, checked("copy", words("y", y))?);
    run!(cpu, copy(x, y));
    Ok(())
}

/// `n` elements of `value`.
///
/// # Errors
/// 2^32 elements or more; no memory.
pub fn fill(cpu: &Cpu, n: usize, value: f32) -> Result<Buffer<f32>, Error> {
    checked("fill", fits("n", n))?;
    let mut y = cpu.zeros(n)?;
    fill_into(cpu, &mut y, value)?;
    Ok(y)
}

/// Every element of `y` becomes `value`.
///
/// # Errors
/// What the launch refuses.
pub fn fill_into(cpu: &Cpu, y: &mut Buffer<f32>, value: f32) -> Result<(), Error> {
    checked("fill", fits("y", y.len()))?;
    run!(cpu, fill(y, value));
    Ok(())
}

/// `a * x + y`, rounded once, in a new buffer.
///
/// # Errors
/// Lengths that do not fit each other; what the launch refuses; no memory.
pub fn axpy(cpu: &Cpu, x: &Buffer<f32>, y: &Buffer<f32>, a: f32) -> Result<Buffer<f32>, Error> {
    let mut out = copy(cpu, y)?;
    axpy_into(cpu, x, &mut out, a)?;
    Ok(out)
}

/// `y = a * x + y`, rounded once, in place.
///
/// # Errors
/// Lengths that do not fit each other; what the launch refuses.
pub fn axpy_into(cpu: &Cpu, x: &Buffer<f32>, y: &mut Buffer<f32>, a: f32) -> Result<(), Error> {
    checked("axpy", same("y", y.len(), x.len(), "as `x`"))?;
    run!(cpu, axpy(x, y, a));
    Ok(())
}

/// The rotary position embedding of x: `[tokens, heads, dim]` with `dim` even, in a new buffer: pair
/// `(x[i], x[i + dim / 2])` of token t turns by the angle `(first + t) * base^(-2i / dim)`.
///
/// # Errors
/// Lengths that do not fit each other; what the launch refuses; no memory.
pub fn rotary(
    cpu: &Cpu,
    x: &Buffer<f32>,
    heads: usize,
    dim: usize,
    first: u32,
    base: f64,
) -> Result<Buffer<f32>, Error> {
    let mut y = copy(cpu, x)?;
    rotary_into(cpu, &mut y, heads, dim, first, base)?;
    Ok(y)
}

/// As [`rotary`], in place.
///
/// # Errors
/// Lengths that do not fit each other; what the launch refuses.
pub fn rotary_into(
    cpu: &Cpu,
    x: &mut Buffer<f32>,
    heads: usize,
    dim: usize,
    first: u32,
    base: f64,
) -> Result<(), Error> {
    let check = || {
        need(dim.is_multiple_of(2), "dim", dim, || "an even number".into())?;
        rows("x", x.len(), product("x", &[heads, dim])?, "heads * dim")
    };
    if checked("rotary", check())? > 0 {
        run!(cpu, rotary(x, heads, dim, first, base));
    }
    Ok(())
}

/// The mean of [`cross_entropy_rows`]; NaN where there is no row.
///
/// # Errors
/// Lengths that do not fit each other; the trap of a label outside the columns; no memory.
pub fn cross_entropy(cpu: &Cpu, x: &Buffer<f32>, label: &Buffer<u32>, cols: usize) -> Result<f32, Error> {
    let mut mean = cpu.zeros::<f32>(1)?;
    cross_entropy_into(cpu, x, label, &mut mean, cols)?;
    let mut value = [0.0];
    mean.read_into(&mut value)?;
    Ok(value[0])
}

/// As [`cross_entropy`], into a buffer of one element.
///
/// # Errors
/// As there.
pub fn cross_entropy_into(
    cpu: &Cpu,
    x: &Buffer<f32>,
    label: &Buffer<u32>,
    mean: &mut Buffer<f32>,
    cols: usize,
) -> Result<(), Error> {
    checked("cross_entropy", same("mean", mean.len(), 1, "one result"))?;
    let loss = cross_entropy_rows(cpu, x, label, cols)?;
    run!(cpu, loss_mean(loss, mean));
    Ok(())
}
