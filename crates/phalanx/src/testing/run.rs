//! Running a case.

use super::{Case, ClassSum, Expected, Given, Source, Sum, Target, Value, findings};
use crate::args::IntoArg;
use crate::{
    ArgValue, BoundLaunch, Checks, Cpu, Entry, Kernel, LaunchError, LaunchShape, Program, RawView, Resonance,
    RunOptions, Snapshot, data,
};
use phalanx_isa::{ParamKind, TrapKind, Type};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many differing elements a message shows.
const SHOWN: usize = 8;

/// A test that did not come out as expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("test `{case}` (line {line}): {message}")]
pub struct Failure {
    /// The test.
    pub case: String,
    /// The line at fault, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

/// Runs one test of a program. `base` is the folder that file names are relative to.
///
/// # Errors
/// What does not fit the kernel, the trap, or the elements that differ.
pub fn run(cpu: &Cpu, program: &Program, case: &Case, base: &Path) -> Result<(), Failure> {
    let fail = |line: u32, message: String| Failure { case: case.name.clone(), line, message };
    if let Some(expected) = &case.findings {
        let (launch, _) = prepare(cpu, program, case, base)?;
        let checked = launch.sanitize(Checks::ALL).map_err(|e| fail(case.line, e.to_string()))?;
        findings::compare(&checked, expected).map_err(|(line, m)| fail(line.unwrap_or(case.line), m))?;
        // What the launch leaves behind is asked of a launch as it is without checkers.
        if case.expects.is_empty() && case.trap.is_none() {
            return Ok(());
        }
        let again = Case { findings: None, ..case.clone() };
        return run(cpu, program, &again, base);
    }
    run_with(cpu, program, case, base, |_| ()).map(drop)
}

/// As [`run`] for a test without findings, with other options for the launch; gives the bytes of the test's buffers afterwards,
/// in the order of the parameters, and as the last the resonance: of each class the f64 and the fraction. None where it expects a
/// trap: memory is unspecified then.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    cpu: &Cpu,
    program: &Program,
    case: &Case,
    base: &Path,
    options: impl FnOnce(&mut RunOptions),
) -> Result<Vec<Vec<u8>>, Failure> {
    let fail = |line: u32, message: String| Failure { case: case.name.clone(), line, message };
    let (mut launch, bindings) = prepare(cpu, program, case, base)?;
    options(launch.options_mut());
    check_end(launch.run(), case.trap).map_err(|m| fail(case.line, m))?;
    for expected in &case.expects {
        bindings.compare(expected).map_err(|m| fail(expected.line, m))?;
    }
    let after = bindings.resonance.snapshot();
    for expected in &case.expects_resonance {
        compare_sum(&after, expected).map_err(|m| fail(expected.line, m))?;
    }
    if case.trap.is_some() {
        return Ok(Vec::new());
    }
    let mut all = bindings.contents().map_err(|m| fail(case.line, m))?;
    let sums = |e: &Entry| [e.float.to_bits(), e.ratio.numerator() as u64, e.ratio.denominator() as u64];
    all.push(after.0.iter().flat_map(sums).flat_map(u64::to_le_bytes).collect());
    Ok(all)
}

/// The launch that a test describes, with new buffers, to be run by other means.
///
/// # Errors
/// What does not fit the kernel.
pub fn bind(cpu: &Cpu, program: &Program, case: &Case, base: &Path) -> Result<BoundLaunch, Failure> {
    prepare(cpu, program, case, base).map(|(launch, _)| launch)
}

fn prepare(
    cpu: &Cpu,
    program: &Program,
    case: &Case,
    base: &Path,
) -> Result<(BoundLaunch, Bindings), Failure> {
    let fail = |line: u32, message: String| Failure { case: case.name.clone(), line, message };
    let kernel = match &case.kernel {
        Some(name) => program.kernel(name),
        None => program.only_kernel(),
    };
    let kernel = kernel.map_err(|e| fail(case.line, e.to_string()))?;
    let mut before = Snapshot::default();
    for ClassSum { class, sum, .. } in &case.resonance {
        let entry = &mut before.0[usize::from(*class)];
        match sum {
            Sum::Ratio(r) => entry.ratio = *r,
            Sum::Float(x) => entry.float = *x,
        }
    }
    let mut bindings = Bindings {
        cpu: cpu.clone(),
        kernel: kernel.clone(),
        base: base.into(),
        values: HashMap::new(),
        resonance: Resonance::from_snapshot(&before),
    };
    for given in &case.args {
        bindings.add(given).map_err(|m| fail(given.line, m))?;
    }
    let shape = LaunchShape { grid: case.grid, block: case.block, shared_len: case.shared_len };
    let mut launch =
        kernel.launch_shape(shape).phase(case.phase).resonance(&bindings.resonance).claims(case.claims);
    launch = case.fuel.into_iter().fold(launch, |l, n| l.fuel(n));
    launch = case.class.into_iter().fold(launch, |l, n| l.class(n));
    if case.deterministic {
        launch = launch.deterministic();
    }
    for given in &case.args {
        if matches!(given.value, Value::Buffer(Source::Uninit(..))) {
            launch = launch.uninit(&given.target.name, given.target.index.unwrap_or(0));
        }
    }
    for (name, value) in bindings.complete().map_err(|m| fail(case.line, m))? {
        launch = launch.arg(&name, value);
    }
    Ok((launch.bind().map_err(|e| fail(case.line, e.to_string()))?, bindings))
}

fn compare_sum(after: &Snapshot, expected: &ClassSum) -> Result<(), String> {
    let class = expected.class;
    let got = after.0[usize::from(class)];
    let (same, text, want) = match expected.sum {
        Sum::Ratio(r) => (got.ratio == r, got.ratio.to_string(), r.to_string()),
        // As an entry, for what counts as equal.
        Sum::Float(x) => (got == (Entry { float: x, ..got }), format!("{:?}", got.float), format!("{x:?}")),
    };
    if same { Ok(()) } else { Err(format!("the resonance of class {class} is {text}, expected {want}")) }
}

/// Whether the launch ended as expected.
fn check_end(result: Result<(), LaunchError>, expected: Option<TrapKind>) -> Result<(), String> {
    let found = match &result {
        Ok(()) => None,
        Err(e) => Some(e.trap().ok_or_else(|| e.to_string())?.lane_trap.kind),
    };
    match (result, expected) {
        _ if found == expected => Ok(()),
        (Ok(()), Some(kind)) => Err(format!("it ran to its end, but a trap `{kind}` is expected")),
        (Err(e), None) => Err(e.to_string()),
        (Err(e), Some(kind)) => Err(format!("a trap `{kind}` is expected, not\n{e}")),
        (Ok(()), None) => Ok(()),
    }
}

struct Bindings {
    cpu: Cpu,
    kernel: Kernel,
    base: PathBuf,
    values: HashMap<String, Bound>,
    resonance: Resonance,
}

enum Bound {
    One(ArgValue),
    /// Buffers of an array, as far as given.
    Many(Vec<Option<RawView>>),
}

impl Bindings {
    fn param(&self, target: &Target) -> Result<ParamKind, String> {
        let at = phalanx_exec::launch::find_param(self.kernel.data(), &target.name);
        Ok(self.kernel.params()[at.map_err(|e| e.to_string())?].kind.clone())
    }

    fn add(&mut self, given: &Given) -> Result<(), String> {
        let Target { name, index } = &given.target;
        let kind = self.param(&given.target)?;
        let value = match (&given.value, &kind) {
            (Value::Number(text), ParamKind::Scalar(ty)) => {
                ArgValue::Scalar(*ty, data::parse_number(*ty, text).map_err(|e| e.to_string())?)
            }
            (Value::Buffer(source), ParamKind::Buffer { elem, count, .. }) => {
                let (ty, bytes) = self.load(source, *elem)?;
                let view = self.cpu.raw_buffer(ty, &bytes).map_err(|e| e.to_string())?;
                match (index, count) {
                    (None, None) => ArgValue::Buffer(view),
                    (Some(i), Some(n)) if i < n => {
                        let missing = || Bound::Many(vec![None; *n as usize]);
                        let (i, n) = (*i as usize, *n as usize);
                        if let Bound::Many(all) = self.values.entry(name.clone()).or_insert_with(missing) {
                            all.resize(n, None);
                            all[i] = Some(view);
                        }
                        return Ok(());
                    }
                    (_, Some(n)) => {
                        return Err(format!(
                            "`{name}` is an array: write `{name}[0]` to `{name}[{}]`",
                            n - 1
                        ));
                    }
                    (Some(_), None) => return Err(format!("`{name}` is no array of buffers")),
                }
            }
            (Value::Packed(format, n, k, weights), ParamKind::Packed { .. }) => {
                let packed = phalanx_exec::native::pack(*format, *n, *k, weights);
                Arc::new(packed.map_err(|e| e.to_string())?).into_arg()
            }
            (Value::Filters(format, shape, weights), ParamKind::Packed { .. }) => {
                let filters = phalanx_exec::native::filters(*format, *shape, weights);
                Arc::new(filters.map_err(|e| e.to_string())?).into_arg()
            }
            (_, kind) => {
                return Err(format!("`{name}` is {}", phalanx_exec::launch::describe_param(kind)));
            }
        };
        self.values.insert(name.clone(), Bound::One(value));
        Ok(())
    }

    fn load(&self, source: &Source, expected: Type) -> Result<(Type, Vec<u8>), String> {
        match source {
            Source::Bytes(ty, bytes) => Ok((*ty, bytes.clone())),
            Source::Uninit(ty, n) => Ok((*ty, vec![0; n * ty.bytes()])),
            Source::File(name) => {
                let path = self.base.join(name);
                let read = data::read_npy(&path, Some(expected));
                let read = read.map_err(|e| format!("{}: {e}", path.display()))?;
                Ok((read.elem, read.bytes))
            }
        }
    }

    /// All values, by name.
    fn complete(&self) -> Result<Vec<(String, ArgValue)>, String> {
        let complete = |(name, bound): (&String, &Bound)| match bound {
            Bound::One(value) => Ok((name.clone(), value.clone())),
            Bound::Many(views) => {
                let missing = |i| format!("`{name}[{i}]` has no value");
                let all = views.iter().enumerate().map(|(i, v)| v.clone().ok_or_else(|| missing(i)));
                Ok((name.clone(), ArgValue::Buffers(all.collect::<Result<_, _>>()?)))
            }
        };
        self.values.iter().map(complete).collect()
    }

    /// The bytes of all buffers, in the order of the parameters.
    fn contents(&self) -> Result<Vec<Vec<u8>>, String> {
        let bound = self.kernel.params().iter().filter_map(|p| self.values.get(&p.name));
        let views = bound.flat_map(|b| match b {
            Bound::One(ArgValue::Buffer(v)) => vec![v],
            Bound::One(_) => Vec::new(),
            Bound::Many(all) => all.iter().flatten().collect(),
        });
        let read = |v: &RawView| {
            let mut bytes = vec![0; (v.len as usize).saturating_mul(v.elem.bytes())];
            v.buffer.read(v.offset, &mut bytes).map_err(|e| e.to_string())?;
            Ok(bytes)
        };
        views.map(read).collect()
    }

    fn compare(&self, expected: &Expected) -> Result<(), String> {
        let target = &expected.target;
        let view = match (self.values.get(&target.name), target.index) {
            (Some(Bound::One(ArgValue::Buffer(v))), None) => Some(v),
            (Some(Bound::Many(all)), Some(i)) => all.get(i as usize).and_then(Option::as_ref),
            _ => None,
        };
        let view = view.ok_or_else(|| format!("`{target}` is no buffer of this test"))?;
        let (ty, want) = self.load(&expected.source, view.elem)?;
        if ty != view.elem {
            return Err(format!("`{target}` holds {}, not {ty}", view.elem));
        }
        let mut got = vec![0; (view.len as usize).saturating_mul(ty.bytes())];
        view.buffer.read(view.offset, &mut got).map_err(|e| e.to_string())?;
        if got.len() != want.len() {
            let size = ty.bytes();
            return Err(format!(
                "`{target}` has {} elements, {} are expected",
                got.len() / size,
                want.len() / size
            ));
        }
        differences(&target.to_string(), ty, &got, &want, expected.within)
    }
}

/// Compares element by element.
fn differences(name: &str, ty: Type, got: &[u8], want: &[u8], within: Option<f64>) -> Result<(), String> {
    let equal = |g: u64, w: u64| {
        if g == w || (data::is_nan(ty, g) && data::is_nan(ty, w)) {
            return true;
        }
        let (g, w) = (data::to_f64(ty, g), data::to_f64(ty, w));
        // Infinities and NaN equal only themselves: their difference is no number.
        within.is_some_and(|t| (g - w).abs() <= t + t * w.abs() && w.is_finite())
    };
    let pairs = || data::elements(ty, got).zip(data::elements(ty, want)).enumerate();
    let wrong = || pairs().filter(|(_, (g, w))| !equal(*g, *w));
    let count = wrong().count();
    if count == 0 {
        return Ok(());
    }
    let mut message = format!("`{name}`: {count} of {} elements differ", pairs().count());
    for (i, (g, w)) in wrong().take(SHOWN) {
        let (g_text, w_text) = (data::format_number(ty, g), data::format_number(ty, w));
        message += &format!("\n  {name}[{i}] is {g_text}, expected {w_text}");
    }
    if count > SHOWN {
        message += "\n  ...";
    }
    Err(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(got: &[f32], want: &[f32], within: Option<f64>) -> Result<(), String> {
        let bytes = |v: &[f32]| data::bytes_of(Type::F32, v.iter().map(|x| x.to_bits().into()));
        differences("y", Type::F32, &bytes(got), &bytes(want), within)
    }

    #[test]
    fn elements_are_equal_by_bits_or_within_a_tolerance() {
        let nan = f32::from_bits(0x7fc0_0001);
        assert_eq!(compare(&[1.0, nan], &[1.0, f32::NAN], None), Ok(()));
        assert!(compare(&[0.0], &[-0.0], None).is_err());
        assert_eq!(compare(&[0.0, 1.000001], &[-0.0, 1.0], Some(1e-6)), Ok(()));
        assert!(compare(&[1.001], &[1.0], Some(1e-6)).is_err());
        assert!(compare(&[f32::NAN], &[1.0], Some(1.0)).is_err());
        assert!(compare(&[1.0], &[f32::INFINITY], Some(1.0)).is_err());
        assert!(compare(&[f32::INFINITY], &[1.0], Some(1.0)).is_err());
    }

    #[test]
    fn the_first_differences_are_shown() {
        let message = compare(&[1.0, 2.5, 3.0], &[1.0, 2.0, 4.0], None).unwrap_err();
        let expected =
            "`y`: 2 of 3 elements differ\n  y[1] is 2.5, expected 2.0\n  y[2] is 3.0, expected 4.0";
        assert_eq!(message, expected);
        let many = compare(&[1.0; 20], &[2.0; 20], None).unwrap_err();
        assert!(many.starts_with("`y`: 20 of 20 elements differ") && many.ends_with("..."), "{many}");
    }
}
