//! Values on the command line: numbers and arrays for parameters, and arrays back into files.

use crate::failure::usage;
use anyhow::{Context, bail};
use phalanx::convolution::{Conv, ConvShape};
use phalanx::data::{self, Data};
use phalanx::exec::launch::{describe_param, find_param};
use phalanx::isa::{Kernel as KernelData, PackFormat, ParamKind};
use phalanx::{ArgValue, Cpu, IntoArg, RawView, Type};
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// Sizes in x, y and z, as `64` or `8,4` or `4,4,2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes(pub [u32; 3]);

impl FromStr for Sizes {
    type Err = String;
    fn from_str(text: &str) -> Result<Sizes, String> {
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > 3 {
            return Err("at most three sizes: X,Y,Z".into());
        }
        let mut sizes = [1; 3];
        for (size, part) in sizes.iter_mut().zip(parts) {
            *size = part.parse().map_err(|_| format!("`{part}` is no size from 0 to {}", u32::MAX))?;
        }
        Ok(Sizes(sizes))
    }
}

/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Before the first `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

impl FromStr for Named {
    type Err = String;
    fn from_str(text: &str) -> Result<Named, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                Ok(Named { name: name.into(), value: value.into() })
            }
            _ => Err("write NAME=VALUE".into()),
        }
    }
}

/// A buffer of a parameter: `y`, or `xs[0]` of an array of buffers.
fn split_index(name: &str) -> anyhow::Result<(&str, Option<usize>)> {
    let Some((name, rest)) = name.split_once('[') else { return Ok((name, None)) };
    let index = rest.strip_suffix(']').and_then(|i| i.parse().ok());
    index.map(|i| (name, Some(i))).ok_or_else(|| usage(format!("`{name}[{rest}`: write `{name}[0]`")))
}

/// An array that a launch uses.
pub struct Bound {
    shape: Vec<usize>,
    view: RawView,
}

impl Bound {
    /// What it holds now.
    ///
    /// # Errors
    /// The memory cannot be had.
    pub fn read(&self) -> anyhow::Result<Data> {
        let RawView { buffer, offset, len, elem } = &self.view;
        let bytes = usize::try_from(*len)?.checked_mul(elem.bytes()).context("the array is too large")?;
        let mut bytes = vec![0; bytes];
        buffer.read(*offset, &mut bytes)?;
        Ok(Data { elem: *elem, shape: self.shape.clone(), bytes })
    }
}

/// A parameter's value as given: what the memory of a launch is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The parameter.
    pub name: String,
    /// The value.
    pub value: GivenValue,
}

/// What a parameter is given.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenValue {
    /// A number, as written: its type is the parameter's.
    Number(String),
    /// An array, also of weights that are to be packed; and whether it counts as never written.
    Array { data: Data, uninit: bool },
    /// The filters of a convolution, in the order OIHW.
    Filters { shape: ConvShape, data: Data },
}

/// Reads what `--arg` options ask for.
///
/// # Errors
/// Names and values that do not fit the kernel are wrong usage; files that do not are rejected.
pub fn given(kernel: &KernelData, named: &[Named]) -> anyhow::Result<Vec<Given>> {
    let mut all: Vec<Given> = Vec::new();
    for Named { name, value } in named {
        let at = find_param(kernel, name).map_err(|e| usage(e.to_string()))?;
        let kind = &kernel.params[at].kind;
        let array = matches!(kind, ParamKind::Buffer { count: Some(_), .. });
        if !array && all.iter().any(|g| g.name == *name) {
            return Err(usage(format!(
                "--arg {name} is given twice, but `{name}` is {}",
                describe_param(kind)
            )));
        }
        let context = || format!("--arg {name}={value}: `{name}` is {}", describe_param(kind));
        let value = match kind {
            ParamKind::Scalar(ty) => {
                data::parse_number(*ty, value).map_err(|e| usage(format!("{}; {e}", context())))?;
                GivenValue::Number(value.clone())
            }
            ParamKind::Buffer { elem, .. } => GivenValue::Array {
                data: array_of(value, *elem, None).with_context(context)?,
                uninit: value.starts_with("uninit:"),
            },
            ParamKind::Packed { format, .. } => weights(value, weight_type(*format)).with_context(context)?,
        };
        all.push(Given { name: name.clone(), value });
    }
    Ok(all)
}

/// The values of a launch, by parameter.
#[derive(Default)]
pub struct Values {
    /// For the launch.
    pub args: Vec<(String, ArgValue)>,
    /// Arrays by name, those of an array of buffers in order.
    arrays: BTreeMap<String, Vec<Bound>>,
    /// Arrays asked for as `uninit`: name, and which of an array of buffers.
    pub uninit: Vec<(String, u32)>,
}

impl Values {
    /// Makes values, with memory of their own.
    ///
    /// # Errors
    /// What does not fit the kernel.
    pub fn make(cpu: &Cpu, kernel: &KernelData, given: &[Given]) -> anyhow::Result<Values> {
        let mut values = Values::default();
        for Given { name, value } in given {
            let at = find_param(kernel, name).map_err(|e| usage(e.to_string()))?;
            let kind = &kernel.params[at].kind;
            let context = || format!("`{name}` is {}", describe_param(kind));
            match (kind, value) {
                (ParamKind::Scalar(ty), GivenValue::Number(text)) => {
                    let bits = data::parse_number(*ty, text).with_context(context)?;
                    values.args.push((name.clone(), ArgValue::Scalar(*ty, bits)));
                }
                (ParamKind::Buffer { count, .. }, GivenValue::Array { data, uninit }) => {
                    let view = cpu.raw_buffer(data.elem, &data.bytes).with_context(context)?;
                    let bound = values.arrays.entry(name.clone()).or_default();
                    bound.push(Bound { shape: data.shape.clone(), view: view.clone() });
                    if *uninit {
                        values.uninit.push((name.clone(), bound.len() as u32 - 1));
                    }
                    if count.is_none() {
                        values.args.push((name.clone(), ArgValue::Buffer(view)));
                    }
                }
                (ParamKind::Packed { format, .. }, GivenValue::Array { data, .. }) => {
                    values.args.push((name.clone(), packed(data, *format).with_context(context)?));
                }
                (ParamKind::Packed { format, .. }, GivenValue::Filters { shape, data }) => {
                    values.args.push((name.clone(), filters(data, *format, *shape).with_context(context)?));
                }
                _ => bail!("{}: the value is of another kind", context()),
            }
        }
        for param in &kernel.params {
            let ParamKind::Buffer { count: Some(n), .. } = param.kind else { continue };
            let Some(bound) = values.arrays.get(&param.name) else { continue };
            if bound.len() != n as usize {
                let (name, found) = (&param.name, bound.len());
                return Err(usage(format!(
                    "`{name}` is an array of {n} buffers: give --arg {name}=... {n} times, not {found}"
                )));
            }
            let views = bound.iter().map(|b| b.view.clone()).collect();
            values.args.push((param.name.clone(), ArgValue::Buffers(views)));
        }
        Ok(values)
    }

    /// The array that `--out` or `--print` names.
    ///
    /// # Errors
    /// There is none: wrong usage.
    pub fn find(&self, name: &str) -> anyhow::Result<&Bound> {
        let (plain, index) = split_index(name)?;
        let Some(bound) = self.arrays.get(plain) else {
            let known: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            return Err(usage(format!(
                "`{plain}` is no array of this launch; there are: {}",
                known.join(", ")
            )));
        };
        match (index, bound.as_slice()) {
            (None, [one]) => Ok(one),
            (None, many) => Err(usage(format!("`{plain}` has {} buffers: write `{plain}[0]`", many.len()))),
            (Some(i), many) => many
                .get(i)
                .ok_or_else(|| usage(format!("`{plain}` has {} buffers: there is no {i}", many.len()))),
        }
    }
}

const FORMS: &str =
    "write FILE.npy, zeros:DTYPE:SHAPE, uninit:DTYPE:SHAPE or random:DTYPE:SHAPE:SEED (SHAPE as 4x8)";

/// The array that a value describes, of the parameter's type. `range` replaces the usual one of random numbers.
fn array_of(value: &str, expected: Type, range: Option<(f64, f64)>) -> anyhow::Result<Data> {
    let parts: Vec<&str> = value.split(':').collect();
    let (ty, shape, seed) = match parts.as_slice() {
        ["zeros" | "uninit", ty, shape] => (ty, shape, None),
        ["random", ty, shape, seed] => {
            let seed =
                seed.parse::<u64>().map_err(|_| usage(format!("`{seed}` is no seed: a number from 0")))?;
            (ty, shape, Some(seed))
        }
        ["zeros" | "uninit" | "random", ..] => return Err(usage(FORMS)),
        _ => return file(Path::new(value), expected),
    };
    let known = || Type::WORDS.iter().copied().filter(|w| *w != "pred").collect::<Vec<_>>().join(", ");
    let Some(ty) = Type::from_name(ty).filter(|t| *t != Type::Pred) else {
        return Err(usage(format!("no element type is called `{ty}`; there are: {}", known())));
    };
    if ty != expected {
        return Err(usage(format!("the value holds {ty}: write {expected}")));
    }
    let shape = parse_shape(shape)?;
    let n = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let bytes = n.and_then(|n| n.checked_mul(ty.bytes())).filter(|b| isize::try_from(*b).is_ok());
    let (Some(n), Some(bytes)) = (n, bytes) else { return Err(usage("the array is too large")) };
    let bytes = match seed {
        // The memory of `uninit` has some value too; it is zeros that no program may rely on.
        None => {
            let mut zeros = Vec::new();
            zeros.try_reserve_exact(bytes).with_context(|| format!("cannot allocate {bytes} bytes"))?;
            zeros.resize(bytes, 0);
            zeros
        }
        Some(seed) => {
            let (low, high) = range.unwrap_or_else(|| data::default_range(ty));
            data::random(ty, n, seed, low, high)?
        }
    };
    Ok(Data { elem: ty, shape, bytes })
}

fn parse_shape(text: &str) -> anyhow::Result<Vec<usize>> {
    let sizes: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    sizes.map_err(|_| usage(format!("`{text}` is no shape: write 16 or 4x8")))
}

fn file(path: &Path, expected: Type) -> anyhow::Result<Data> {
    if !path.exists() {
        if path.extension().is_some_and(|e| e == "npy") {
            bail!(
                "there is no file `{}`; numpy.save writes one, zeros:{expected}:SHAPE needs none",
                path.display()
            );
        }
        return Err(usage(FORMS));
    }
    data::read_npy(path, Some(expected)).map_err(|e| {
        let remedy = match e {
            data::DataError::Dtype { .. } if expected == Type::Bf16 => "; bf16 travels as uint16".into(),
            data::DataError::Dtype { .. } => {
                format!("; in numpy, x.astype({:?}) converts", numpy_name(expected))
            }
            _ => String::new(),
        };
        anyhow::anyhow!("`{}`: {e}{remedy}", path.display())
    })
}

/// numpy's name of the type.
fn numpy_name(ty: Type) -> String {
    let name = ty.to_string();
    let (kind, bits) = name.split_at(1);
    let kind = match kind {
        "i" => "int",
        "u" => "uint",
        _ => "float",
    };
    format!("{kind}{bits}")
}

/// What packed weights are made of: int8 for the formats of integers, f32 for those of floats.
fn weight_type(format: PackFormat) -> Type {
    if phalanx::exec::native::packed_format(format).is_float() { Type::F32 } else { Type::I8 }
}

/// The weights that a value describes: an array, or `conv:SHAPE:` and an array of filters.
fn weights(value: &str, ty: Type) -> anyhow::Result<GivenValue> {
    let array = |value| array_of(value, ty, Some((-1.0, 1.0)));
    let Some(rest) = value.strip_prefix("conv:") else {
        return Ok(GivenValue::Array { data: array(value)?, uninit: false });
    };
    let form = "write conv:SHAPE:FILE.npy, SHAPE as in \"56x56 64->128 3x3 s2 p1\"";
    let (shape, value) = rest.split_once(':').ok_or_else(|| usage(form))?;
    let shape: ConvShape = shape.parse().map_err(|e| usage(format!("{e}")))?;
    Ok(GivenValue::Filters { shape, data: array(value)? })
}

/// The values of an array of weights.
fn numbers(Data { elem, bytes, .. }: &Data, format: PackFormat) -> anyhow::Result<Vec<f32>> {
    match elem {
        Type::F32 => Ok(bytes.as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect()),
        Type::I8 => Ok(bytes.iter().map(|b| f32::from(*b as i8)).collect()),
        _ => bail!("packed weights are made of {}, not of {elem}", weight_type(format)),
    }
}

/// The filters of a convolution from an array in the order OIHW.
fn filters(data: &Data, format: PackFormat, shape: ConvShape) -> anyhow::Result<ArgValue> {
    let conv = Conv::new(shape)?;
    let expected = [shape.out_channels, conv.group_in(), shape.kernel[0], shape.kernel[1]];
    if data.shape != expected {
        bail!(
            "filters are [out, in a group, rows, columns], here {expected:?}; the array has {:?}",
            data.shape
        );
    }
    Ok(phalanx::convolution::filters(format, shape, &numbers(data, format)?).map(Arc::new)?.into_arg())
}

/// Packed weights from an array of n rows by k columns.
fn packed(data: &Data, format: PackFormat) -> anyhow::Result<ArgValue> {
    let [n, k] = data.shape[..] else {
        bail!(
            "packed weights need two dimensions, rows and columns; the array has {} (filters of a convolution: \
             conv:SHAPE:FILE.npy)",
            data.shape.len()
        );
    };
    let weights = numbers(data, format)?;
    Ok(ArgValue::Packed(Arc::new(phalanx::exec::native::pack(format, n, k, &weights)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names() {
        assert_eq!("8,4".parse(), Ok(Sizes([8, 4, 1])));
        assert!(
            "8,4,1,1".parse::<Sizes>().is_err()
                && "".parse::<Sizes>().is_err()
                && "-1".parse::<Sizes>().is_err()
        );
        assert_eq!("a=b=c".parse(), Ok(Named { name: "a".into(), value: "b=c".into() }));
        assert!(
            "a".parse::<Named>().is_err() && "=b".parse::<Named>().is_err() && "a=".parse::<Named>().is_err()
        );
        assert_eq!(split_index("xs[3]").unwrap(), ("xs", Some(3)));
        assert!(split_index("xs[").is_err());
    }

    #[test]
    fn arrays_from_words() {
        let d = array_of("zeros:f32:2x3", Type::F32, None).unwrap();
        assert_eq!((d.shape, d.bytes), (vec![2, 3], vec![0; 24]));
        let d = array_of("random:i32:5:7", Type::I32, None).unwrap();
        assert_eq!(d.bytes, data::random(Type::I32, 5, 7, 0.0, 100.0).unwrap());
        for wrong in [
            "zeros:f32",
            "zeros:f31:2",
            "zeros:u32:2",
            "random:f32:2",
            "random:f32:2:x",
            "zeros:f32:2xx",
            "what",
        ] {
            let e = array_of(wrong, Type::F32, None).err().unwrap();
            assert!(e.is::<crate::failure::Usage>(), "{wrong}: {e}");
        }
        assert!(array_of("zeros:f32:9999999999x9999999999", Type::F32, None).is_err());
        let e = array_of("no_such.npy", Type::F32, None).err().unwrap();
        assert!(!e.is::<crate::failure::Usage>() && e.to_string().contains("no_such.npy"), "{e}");
    }

    #[test]
    fn weights_are_ternary() {
        let packed =
            |value: &str, format| packed(&array_of(value, weight_type(format), Some((-1.0, 1.0)))?, format);
        let ArgValue::Packed(w) = packed("random:i8:4x16:1", PackFormat::T2).unwrap() else {
            panic!("not packed")
        };
        assert_eq!((w.n(), w.k()), (4, 16));
        assert!(packed("zeros:i8:16", PackFormat::T2).is_err());
        assert!(
            packed("random:f32:2x3:1", PackFormat::Bf16).is_ok()
                && packed("random:f32:2x3:1", PackFormat::I8).is_err()
        );
    }
}
