//! From comment lines to cases.

use super::{Case, ClassSum, Expected, Given, Source, Sum, Target, Value, findings};
use crate::{LaunchClaims, Ratio, data};
use phalanx_isa::{PackFormat, TrapKind, Type};
use phalanx_kernels::conv::{Conv, ConvShape};

/// A line of a test that is written wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

/// More elements than any test needs: a slip of the finger should not fill the memory.
const MAX_ELEMENTS: usize = 1 << 28;

/// What a line holds: the words that take part in it, and those of the lines that continue it.
struct Line<'t> {
    number: u32,
    words: Vec<&'t str>,
}

/// Reads the tests of a program file. A file without tests gives none.
///
/// # Errors
/// Every line that is written wrongly.
pub fn parse(text: &str) -> Result<Vec<Case>, Vec<ParseError>> {
    let mut lines: Vec<Line> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix("//=") else { continue };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        let numeric = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
        let continues =
            first.starts_with(numeric) || (matches!(*first, "nan" | "inf") && words.get(1) != Some(&"="));
        match lines.last_mut().filter(|_| continues) {
            Some(above) => above.words.extend(words),
            None => lines.push(Line { number: u32::try_from(i + 1).unwrap_or(u32::MAX), words }),
        }
    }
    let mut cases: Vec<Case> = Vec::new();
    let mut errors: Vec<ParseError> = Vec::new();
    for Line { number, words } in lines {
        let result = match (words.as_slice(), cases.last_mut()) {
            (["test", rest @ ..], _) => begin(number, rest).and_then(|case| {
                let taken = cases.iter().any(|c| c.name == case.name);
                let name = case.name.clone();
                cases.push(case);
                if taken { Err(format!("a second test `{name}`")) } else { Ok(()) }
            }),
            (_, None) => Err("a test begins with `//= test NAME`".into()),
            (words, Some(case)) => add(case, number, words),
        };
        errors.extend(result.err().map(|message| ParseError { line: number, message }));
    }
    let asked = |c: &Case| {
        !c.expects.is_empty() || !c.expects_resonance.is_empty() || c.trap.is_some() || c.findings.is_some()
    };
    for case in cases.iter().filter(|c| !asked(c)) {
        // A line of it that is wrong may have been the `expect`.
        if errors.is_empty() {
            let message = format!("test `{}` expects nothing", case.name);
            errors.push(ParseError { line: case.line, message });
        }
    }
    if errors.is_empty() { Ok(cases) } else { Err(errors) }
}

fn begin(line: u32, words: &[&str]) -> Result<Case, String> {
    let (name, kernel) = match words {
        [name] => (name, None),
        [name, "kernel", kernel] => (name, Some(kernel.to_string())),
        _ => return Err("write `test NAME` or `test NAME kernel KERNEL`".into()),
    };
    Ok(Case {
        name: name.to_string(),
        line,
        kernel,
        grid: None,
        block: None,
        shared_len: 0,
        fuel: None,
        class: None,
        phase: 0,
        deterministic: false,
        args: Vec::new(),
        expects: Vec::new(),
        trap: None,
        findings: None,
        resonance: Vec::new(),
        expects_resonance: Vec::new(),
        claims: LaunchClaims::default(),
    })
}

fn add(case: &mut Case, line: u32, words: &[&str]) -> Result<(), String> {
    match words {
        // A parameter may be called `grid`: what stands before `=` is a name.
        [target, "=", value @ ..] => {
            let target = parse_target(target)?;
            if case.args.iter().any(|g| g.target == target) {
                return Err(format!("`{target}` has a value already"));
            }
            case.args.push(Given { line, target, value: parse_value(value)? });
        }
        ["expect", "trap", kind] => {
            let known = || format!("no trap is called `{kind}`; there are: {}", TrapKind::WORDS.join(", "));
            case.trap = Some(TrapKind::from_name(kind).ok_or_else(known)?);
        }
        ["expect", "clean"] => {
            if case.findings.replace(Vec::new()).is_some() {
                return Err("`clean` is all that such a test expects of the checkers".into());
            }
        }
        ["expect", target, "=", source @ ..] => {
            let target = parse_target(target)?;
            if case.expects.iter().any(|e| e.target == target) {
                return Err(format!("`{target}` is expected twice"));
            }
            let (source, within) = match source {
                [source @ .., "within", tolerance] => (source, Some(number::<f64>(tolerance)?)),
                _ => (source, None),
            };
            if within.is_some_and(|t| !t.is_finite() || t < 0.0) {
                return Err("a tolerance is a number from 0".into());
            }
            case.expects.push(Expected { line, target, source: parse_source(source)?, within });
        }
        ["expect", "resonance", class, "=", sum] => {
            case.expects_resonance.push(parse_class_sum(line, class, sum)?);
        }
        ["resonance", class, "=", sum] => case.resonance.push(parse_class_sum(line, class, sum)?),
        ["claim", claim] => case.claims = case.claims.with(claim)?,
        ["expect", finding @ ..] => {
            let parsed = findings::parse_finding(line, finding);
            let unknown = || format!("`expect {}` is not understood", finding.join(" "));
            let finding = parsed.ok_or_else(unknown)??;
            if case.findings.as_ref().is_some_and(Vec::is_empty) {
                return Err("`clean` is all that such a test expects of the checkers".into());
            }
            case.findings.get_or_insert_default().push(finding);
        }
        ["grid", rest @ ..] => case.grid = Some(parse_dims(rest)?),
        ["block", rest @ ..] => case.block = Some(parse_dims(rest)?),
        ["shared", n] => case.shared_len = number(n)?,
        ["fuel", n] => case.fuel = Some(number(n)?),
        ["class", n] => case.class = Some(number(n)?),
        ["phase", n] => case.phase = number(n)?,
        ["deterministic"] => case.deterministic = true,
        _ => {
            return Err(format!(
                "`{}` is not understood: write `NAME = VALUE`, `expect ...`, `grid`, `block`, `shared`, `fuel`, `class`, \
                 `phase`, `resonance`, `claim` or `deterministic`",
                words.join(" ")
            ));
        }
    }
    Ok(())
}

fn parse_class_sum(line: u32, class: &str, sum: &str) -> Result<ClassSum, String> {
    let class = number::<u8>(class).ok().filter(|c| *c < 96).ok_or("classes are 0 to 95")?;
    let sum = match sum.split_once('/') {
        Some((n, d)) => Sum::Ratio(Ratio::new(number(n)?, number(d)?).ok_or("a denominator must not be 0")?),
        None => Sum::Float(number(sum)?),
    };
    Ok(ClassSum { line, class, sum })
}

pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("`{text}` is no number that fits here"))
}

pub(super) fn parse_target(text: &str) -> Result<Target, String> {
    match text.split_once('[') {
        None => Ok(Target { name: text.into(), index: None }),
        Some((name, rest)) => {
            let index = rest.strip_suffix(']').ok_or_else(|| format!("`{text}`: write `{name}[0]`"))?;
            Ok(Target { name: name.into(), index: Some(number(index)?) })
        }
    }
}

fn parse_dims(words: &[&str]) -> Result<[u32; 3], String> {
    let joined = words.concat();
    let mut dims = [1; 3];
    let sizes: Vec<&str> = joined.split(',').collect();
    if sizes.len() > 3 {
        return Err("at most three sizes: x,y,z".into());
    }
    for (d, text) in dims.iter_mut().zip(sizes) {
        *d = number(text)?;
    }
    Ok(dims)
}

fn parse_type(text: &str) -> Result<Type, String> {
    let known = || {
        let words: Vec<&str> = Type::WORDS.iter().copied().filter(|w| *w != "pred").collect();
        format!("no element type is called `{text}`; there are: {}", words.join(", "))
    };
    Type::from_name(text).filter(|t| *t != Type::Pred).ok_or_else(known)
}

fn parse_shape(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("`{text}`: write rows and columns as 4x16");
    let (n, k) = text.split_once('x').ok_or_else(wrong)?;
    Ok((number(n)?, number(k)?))
}

fn parse_value(words: &[&str]) -> Result<Value, String> {
    match words {
        ["packed", rest @ ..] => parse_packed(rest),
        ["filters", rest @ ..] => parse_filters(rest),
        [one] if !one.ends_with(':') => Ok(Value::Number(one.to_string())),
        _ => Ok(Value::Buffer(parse_source(words)?)),
    }
}

fn parse_packed(words: &[&str]) -> Result<Value, String> {
    let [format, shape, rest @ ..] = words else {
        return Err("write `packed t2 4x16: 1 0 -1 ...`".into());
    };
    let format = parse_format(format)?;
    let (n, k) = parse_shape(shape.trim_end_matches(':'))?;
    let count = n.checked_mul(k).filter(|c| *c <= MAX_ELEMENTS).ok_or("too many weights")?;
    let wrong = "write `packed t2 4x16: 1 0 -1 ...` or `packed t2 4x16 random SEED`";
    let weights = parse_weights(rest, shape.ends_with(':'), count, wrong)?;
    if weights.len() != count {
        return Err(format!("{n} x {k} weights are {count}, not {}", weights.len()));
    }
    Ok(Value::Packed(format, n, k, weights))
}

fn parse_format(name: &str) -> Result<PackFormat, String> {
    let known = || PackFormat::WORDS.join(", ");
    PackFormat::from_name(name).ok_or_else(|| format!("no format is called `{name}`; there are: {}", known()))
}

/// So many weights: values, where these follow a colon, or random ones.
fn parse_weights(words: &[&str], given: bool, count: usize, wrong: &str) -> Result<Vec<f32>, String> {
    let bytes = match words {
        ["random", seed] => {
            // Integers, and few enough of them that a sum of products is exact in f32 too.
            let small = data::random(Type::I8, count, number(seed)?, -1.0, 1.0).map_err(|e| e.to_string())?;
            small.into_iter().flat_map(|b| f32::from(b as i8).to_ne_bytes()).collect()
        }
        values if given => parse_values(Type::F32, values)?,
        _ => return Err(wrong.into()),
    };
    Ok(bytes.as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect())
}

fn parse_filters(words: &[&str]) -> Result<Value, String> {
    let wrong = "write `filters t2 8x8 2->4 3x3 p1: 1 0 -1 ...` or `filters t2 8x8 2->4 3x3 p1 random SEED`";
    let [format, rest @ ..] = words else { return Err(wrong.into()) };
    let format = parse_format(format)?;
    let colon = rest.iter().position(|w| w.ends_with(':'));
    let end = colon.map(|at| at + 1).or_else(|| rest.iter().position(|w| *w == "random")).ok_or(wrong)?;
    let (shape, values) = rest.split_at(end);
    let shape: ConvShape = shape.join(" ").trim_end_matches(':').parse().map_err(|e| format!("{e}"))?;
    let conv = Conv::new(shape).map_err(|e| e.to_string())?;
    let count = conv.weights_len();
    if count > MAX_ELEMENTS {
        return Err("too many weights".into());
    }
    let weights = parse_weights(values, colon.is_some(), count, wrong)?;
    if weights.len() != count {
        return Err(format!("the filters have {count} weights, not {}", weights.len()));
    }
    Ok(Value::Filters(format, shape, weights))
}

fn parse_source(words: &[&str]) -> Result<Source, String> {
    let count = |text: &str| -> Result<usize, String> {
        let n = number::<usize>(text)?;
        if n > MAX_ELEMENTS { Err(format!("more than {MAX_ELEMENTS} elements")) } else { Ok(n) }
    };
    match words {
        ["zeros", ty, n] => {
            let ty = parse_type(ty)?;
            Ok(Source::Bytes(ty, vec![0; count(n)? * ty.bytes()]))
        }
        ["iota", ty, n] => {
            let ty = parse_type(ty)?;
            Ok(Source::Bytes(ty, data::iota(ty, count(n)?)))
        }
        ["random", ty, n, seed, range @ ..] => {
            let ty = parse_type(ty)?;
            let (low, high) = match range {
                [] => data::default_range(ty),
                [low, high] => (number(low)?, number(high)?),
                _ => return Err("write `random f32 100 SEED` or `random f32 100 SEED LOW HIGH`".into()),
            };
            let bytes = data::random(ty, count(n)?, number(seed)?, low, high);
            Ok(Source::Bytes(ty, bytes.map_err(|e| e.to_string())?))
        }
        ["uninit", ty, n] => Ok(Source::Uninit(parse_type(ty)?, count(n)?)),
        ["file", path] => Ok(Source::File(path.to_string())),
        [head, values @ ..] if head.ends_with(':') => {
            let name = head.trim_end_matches(':');
            let ty = parse_type(name.split_once('[').map_or(name, |(ty, _)| ty))?;
            Ok(Source::Bytes(ty, parse_values(ty, values)?))
        }
        _ => Err(format!(
            "`{}`: write `f32: 1 2 3`, `zeros f32 5`, `iota f32 5`, `random f32 5 SEED` or `file path.npy`",
            words.join(" ")
        )),
    }
}

fn parse_values(ty: Type, words: &[&str]) -> Result<Vec<u8>, String> {
    let texts = words.iter().flat_map(|w| w.split(',')).filter(|w| !w.is_empty());
    let bits: Result<Vec<u64>, _> = texts.map(|w| data::parse_number(ty, w)).collect();
    Ok(data::bytes_of(ty, bits.map_err(|e| e.to_string())?.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        parse(text).expect_err("wrong lines are errors").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_form_is_understood() {
        let text = "//! head\n//= test one kernel k\n//=   grid 2,3\n//= block 64\n//= shared 128\n//=  fuel 1_000\n\
                    //= class 5\n//= phase 7\n//= deterministic\n//= n = 5\n//= grid = -3\n//=   x = f32[2x2]: 1 2\n//=   -3 4\n\
                    //= y = zeros f32 2\n//= xs[1] = u8: 1, 2\n//= w = packed t2 1x3: 1 0 -1\n\
                    //= expect y = file a.npy within 1e-6\n//= expect xs[1] = u8: 3 4\nkernel k() {}\n\
                    //= test two\n//= expect trap fuel\n";
        let cases = parse(text).unwrap();
        let [one, two] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!((one.name.as_str(), one.kernel.as_deref(), one.line), ("one", Some("k"), 2));
        assert_eq!((one.grid, one.block, one.shared_len), (Some([2, 3, 1]), Some([64, 1, 1]), 128));
        assert_eq!((one.fuel, one.class, one.phase, one.deterministic), (Some(1000), Some(5), 7, true));
        assert_eq!(one.args[0].value, Value::Number("5".into()));
        assert_eq!(
            (one.args[1].target.name.as_str(), &one.args[1].value),
            ("grid", &Value::Number("-3".into()))
        );
        let four = data::bytes_of(Type::F32, [1f32, 2.0, -3.0, 4.0].iter().map(|v| v.to_bits().into()));
        assert_eq!(one.args[2].value, Value::Buffer(Source::Bytes(Type::F32, four)));
        assert_eq!(one.args[3].value, Value::Buffer(Source::Bytes(Type::F32, vec![0; 8])));
        assert_eq!(one.args[4].target, Target { name: "xs".into(), index: Some(1) });
        assert_eq!(one.args[5].value, Value::Packed(PackFormat::T2, 1, 3, vec![1.0, 0.0, -1.0]));
        assert_eq!(
            (&one.expects[0].source, one.expects[0].within),
            (&Source::File("a.npy".into()), Some(1e-6))
        );
        assert_eq!(one.expects[1].source, Source::Bytes(Type::U8, vec![3, 4]));
        assert_eq!((two.name.as_str(), two.trap, two.line), ("two", Some(TrapKind::Fuel), 20));
    }

    #[test]
    fn every_wrong_line_is_told() {
        let text = "//= n = 5\n//= test a\n//= x = f33: 1\n//= y = u8: 256\n//= expect trap nothing\n//= grid 1,2,3,4\n\
                    //= what\n//= z = 1\n//= z = 2\n//= w = packed t2 2x2: 1\n//= test a\n//= v = random u8 5 1 0 300\n";
        let found = messages(text);
        let expected = [
            "line 1: a test begins with",
            "line 3: no element type is called `f33`",
            "line 4: `256` is no u8 number",
            "line 5: no trap is called `nothing`",
            "line 6: at most three sizes",
            "line 7: `what` is not understood",
            "line 9: `z` has a value already",
            "line 10: 2 x 2 weights are 4, not 1",
            "line 11: a second test `a`",
            "line 12: no u8 numbers are between 0 and 300",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (f, e) in found.iter().zip(expected) {
            assert!(f.starts_with(e), "{f:?} does not begin with {e:?}");
        }
        assert_eq!(messages("//= test a\n//= n = 1\n"), ["line 1: test `a` expects nothing"]);
    }

    #[test]
    fn a_file_without_tests_has_none() {
        assert_eq!(parse("// = no test\nkernel k() {\n    exit\n}\n"), Ok(vec![]));
    }
}
