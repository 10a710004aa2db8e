//! A launch as a value: all that decides what it does. `run` makes one of its options, a bundle is one in a file.

use crate::failure::{launch as refused, usage};
use crate::interrupt;
use crate::source::{Content, Source};
use crate::values::{Given, GivenValue, Values};
use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use phalanx::data::Data;
use phalanx::exec::{LaunchError, Trap};
use phalanx::{
    BoundLaunch, Checked, Checks, Cpu, Kernel, LaunchClaims, LaunchShape, Program, Resonance, Snapshot, Type,
    snapshot_from_json, snapshot_to_json,
};
use serde_json::{Value, json};
use std::path::Path;

/// The version of the form of bundles.
const FORM: u64 = 1;

/// A launch.
#[derive(Clone)]
pub struct Record {
    /// The program.
    pub source: Source,
    /// Name of the kernel; `None`: the only one.
    pub kernel: Option<String>,
    /// Blocks; `None`: as declared.
    pub grid: Option<[u32; 3]>,
    /// Lanes of a block; `None`: as declared.
    pub block: Option<[u32; 3]>,
    /// Elements of the unsized shared array.
    pub shared: u64,
    /// Values of parameters.
    pub args: Vec<Given>,
    /// Instructions that each lane may execute.
    pub fuel: Option<u64>,
    /// One thread, blocks and lanes ascending.
    pub deterministic: bool,
    /// One of the orders that are allowed.
    pub seed: Option<u64>,
    /// On one thread, so that it can be repeated exactly.
    pub alone: bool,
    /// Class of all lanes.
    pub class: Option<u32>,
    /// Launch phase.
    pub phase: u32,
    /// The resonance before.
    pub resonance: Snapshot,
    /// What must hold.
    pub claims: Vec<String>,
    /// Names of checkers.
    pub sanitize: Vec<String>,
    /// Findings that harm nobody count too.
    pub strict: bool,
}

/// How a launch ended.
pub enum Outcome {
    /// It ran under checkers.
    Checked(Checked),
    /// It trapped.
    Trapped(Box<Trap>),
    /// It ran to its end.
    Done,
}

impl Record {
    /// The checkers; `None`: a plain launch.
    pub fn checks(&self) -> Option<Checks> {
        let checks =
            self.sanitize.iter().filter_map(|name| Checks::named(name)).fold(Checks::NONE, Checks::or);
        checks.any().then_some(checks)
    }

    /// The kernel of the program.
    ///
    /// # Errors
    /// The program has none of that name, or several.
    pub fn choose(&self, program: &Program) -> anyhow::Result<Kernel> {
        match &self.kernel {
            Some(name) => program.kernel(name).map_err(refused),
            None => program.only_kernel().map_err(|_| {
                let all: Vec<&str> = program.module().kernels.iter().map(|k| k.name.as_str()).collect();
                if all.is_empty() {
                    return anyhow!("the file holds no kernel");
                }
                usage(format!(
                    "the file holds several kernels: choose with --kernel; there are: {}",
                    all.join(", ")
                ))
            }),
        }
    }

    /// The launch, bound to values that were made for it.
    ///
    /// # Errors
    /// What does not fit the kernel.
    pub fn bind(
        &self,
        kernel: &Kernel,
        values: &Values,
        resonance: &Resonance,
    ) -> anyhow::Result<BoundLaunch> {
        let shape = LaunchShape { grid: self.grid, block: self.block, shared_len: self.shared };
        let mut launcher = kernel.launch_shape(shape).phase(self.phase).cancel(interrupt::token());
        for (name, value) in &values.args {
            launcher = launcher.arg(name, value.clone());
        }
        for (name, which) in &values.uninit {
            launcher = launcher.uninit(name, *which);
        }
        launcher = self.fuel.into_iter().fold(launcher, |l, n| l.fuel(n));
        launcher = self.class.into_iter().fold(launcher, |l, n| l.class(n));
        launcher = self.seed.into_iter().fold(launcher, |l, n| l.schedule_seed(n));
        let claims =
            self.claims.iter().try_fold(LaunchClaims::default(), |all, c| all.with(c)).map_err(usage)?;
        launcher = launcher.resonance(resonance).claims(claims);
        if self.deterministic {
            launcher = launcher.deterministic();
        }
        if self.alone {
            launcher = launcher.threads(1);
        }
        launcher.bind().map_err(|e| hint(refused(e)))
    }

    /// Runs the launch with new values.
    ///
    /// # Errors
    /// What does not fit the kernel, or cannot run.
    pub fn run(
        &self,
        cpu: &Cpu,
        kernel: &Kernel,
        limit: Option<std::time::Duration>,
    ) -> anyhow::Result<Result<Outcome, LaunchError>> {
        let values = Values::make(cpu, kernel.data(), &self.args)?;
        let mut launch = self.bind(kernel, &values, &Resonance::from_snapshot(&self.resonance))?;
        if let Some(at) = limit.and_then(|l| std::time::Instant::now().checked_add(l)) {
            launch.options_mut().cancel = Some(interrupt::token().until(at));
        }
        let outcome = interrupt::cancellable(|| match self.checks() {
            Some(checks) => launch.sanitize(checks).map(Outcome::Checked),
            None => match launch.run() {
                Ok(()) => Ok(Outcome::Done),
                Err(e) => match e.trap() {
                    Some(trap) => Ok(Outcome::Trapped(Box::new(trap.clone()))),
                    None => Err(e),
                },
            },
        });
        Ok(outcome)
    }

    /// Whether a launch that ended so has failed.
    pub fn failed(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Checked(c) => {
                c.report.trap.is_some() || c.counted(self.strict).next().is_some() || !c.mistakes().is_empty()
            }
            Outcome::Trapped(_) => true,
            Outcome::Done => false,
        }
    }

    /// What is said of how a launch ended, which is the same on every machine.
    pub fn report(&self, program: &Program, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Checked(c) => crate::sanitize::text(&self.source, c, false),
            Outcome::Trapped(trap) => self.source.trap_text(program, trap, false),
            Outcome::Done => String::new(),
        }
    }

    /// The bundle: the launch with its shape as it was, and its report.
    pub fn to_json(&self, config: phalanx::LaunchConfig, report: &str) -> Value {
        let module = match &self.source.content {
            Content::Text(text) => json!({"name": self.source.name, "text": text}),
            Content::Binary(bytes) => json!({"name": self.source.name, "binary": BASE64.encode(bytes)}),
        };
        let resonance = (self.resonance != Snapshot::default())
            .then(|| snapshot_to_json(&self.resonance)["resonance"].take());
        json!({
            "phalanx_bundle": FORM,
            "version": env!("CARGO_PKG_VERSION"),
            "module": module,
            "kernel": self.kernel,
            "grid": config.grid,
            "block": config.block,
            "shared": config.shared_len,
            "arguments": self.args.iter().map(argument_to_json).collect::<Vec<_>>(),
            "fuel": self.fuel,
            "deterministic": self.deterministic,
            "schedule_seed": self.seed,
            "class": self.class,
            "phase": self.phase,
            "resonance": resonance,
            "claims": self.claims,
            "sanitize": self.sanitize,
            "strict": self.strict,
            "report": report,
        })
    }

    /// Reads a bundle: the launch, its report, and the version that recorded it.
    ///
    /// # Errors
    /// A file that cannot be read or is no bundle, and where.
    pub fn read(path: &Path) -> anyhow::Result<(Record, String, String)> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{name}`"))?;
        Record::from_json(&text).with_context(|| format!("`{name}` is no bundle"))
    }

    fn from_json(text: &str) -> anyhow::Result<(Record, String, String)> {
        let document: Value = serde_json::from_str(text)?;
        let at = Member { value: &document, name: "the document" };
        match at.value.get("phalanx_bundle").and_then(Value::as_u64) {
            Some(FORM) => {}
            Some(n) => bail!("its form is {n}; this version of phalanx reads {FORM}"),
            None => bail!("it has no member `phalanx_bundle`"),
        }
        let module = at.get("module")?;
        let content = match module.value.get("text") {
            Some(_) => Content::Text(module.get("text")?.text()?),
            None => Content::Binary(module.get("binary")?.bytes()?),
        };
        let source = Source { name: module.get("name")?.text()?, content };
        let resonance = match &at.get("resonance")?.value {
            Value::Null => Snapshot::default(),
            list => snapshot_from_json(&json!({ "resonance": list }).to_string())?,
        };
        let sanitize = at.get("sanitize")?.list()?.iter().map(Member::text).collect::<Result<Vec<_>, _>>()?;
        if let Some(unknown) = sanitize.iter().find(|s| Checks::named(s).is_none()) {
            bail!("`sanitize`: no checker is called `{unknown}`");
        }
        let claims = at.get("claims")?.list()?.iter().map(Member::text).collect::<Result<Vec<_>, _>>()?;
        let record = Record {
            source,
            kernel: at.get("kernel")?.optional(Member::text)?,
            grid: Some(at.get("grid")?.sizes()?),
            block: Some(at.get("block")?.sizes()?),
            shared: at.get("shared")?.number()?,
            args: at.get("arguments")?.list()?.iter().map(argument_from_json).collect::<Result<_, _>>()?,
            fuel: at.get("fuel")?.optional(Member::number)?,
            deterministic: at.get("deterministic")?.flag()?,
            seed: at.get("schedule_seed")?.optional(Member::number)?,
            alone: true,
            class: at.get("class")?.optional(Member::number)?,
            phase: at.get("phase")?.number()?,
            resonance,
            claims,
            sanitize,
            strict: at.get("strict")?.flag()?,
        };
        Ok((record, at.get("report")?.text()?, at.get("version")?.text()?))
    }
}

/// Adds which option gives what a launch lacks.
fn hint(e: anyhow::Error) -> anyhow::Error {
    let text = e.to_string();
    let option = ["no block size", "no grid", "has no value"].iter().position(|what| text.contains(what));
    match option {
        Some(0) => usage(format!("{text} (--block X[,Y[,Z]])")),
        Some(1) => usage(format!("{text} (--grid X[,Y[,Z]])")),
        Some(_) => usage(format!("{text}: give it with --arg NAME=VALUE")),
        None => e,
    }
}

fn argument_to_json(given: &Given) -> Value {
    match &given.value {
        GivenValue::Number(text) => json!({"name": given.name, "number": text}),
        GivenValue::Array { data, uninit } => {
            let mut value = array_to_json(given, data);
            value["uninit"] = (*uninit).into();
            value
        }
        GivenValue::Filters { shape, data } => {
            let mut value = array_to_json(given, data);
            value["conv"] = shape.to_string().into();
            value
        }
    }
}

fn array_to_json(given: &Given, data: &Data) -> Value {
    let mut value = json!({"name": given.name, "dtype": data.elem.to_string(), "shape": data.shape});
    // Zeros go without saying.
    if data.bytes.iter().any(|b| *b != 0) {
        value["data"] = BASE64.encode(&data.bytes).into();
    }
    value
}

fn argument_from_json(at: &Member<'_>) -> anyhow::Result<Given> {
    let name = at.get("name")?.text()?;
    if at.value.get("number").is_some() {
        return Ok(Given { name, value: GivenValue::Number(at.get("number")?.text()?) });
    }
    let word = at.get("dtype")?.text()?;
    let elem = Type::from_name(&word).filter(|t| *t != Type::Pred);
    let elem = elem.with_context(|| format!("argument `{name}`: no element type is called `{word}`"))?;
    let shape = at.get("shape")?.list()?.iter().map(Member::number).collect::<Result<Vec<usize>, _>>()?;
    let size =
        shape.iter().try_fold(elem.bytes(), |n, d| n.checked_mul(*d)).filter(|n| isize::try_from(*n).is_ok());
    let size = size.with_context(|| format!("argument `{name}`: the array is too large"))?;
    let bytes = match at.value.get("data") {
        Some(_) => at.get("data")?.bytes()?,
        None => {
            let mut zeros = Vec::new();
            zeros.try_reserve_exact(size).with_context(|| format!("argument `{name}`: {size} bytes"))?;
            zeros.resize(size, 0);
            zeros
        }
    };
    if bytes.len() != size {
        bail!("argument `{name}`: {} bytes of data where its shape has {size}", bytes.len());
    }
    let data = Data { elem, shape, bytes };
    if at.value.get("conv").is_some() {
        let shape = at.get("conv")?.text()?.parse().with_context(|| format!("argument `{name}`"))?;
        return Ok(Given { name, value: GivenValue::Filters { shape, data } });
    }
    Ok(Given { name, value: GivenValue::Array { data, uninit: at.get("uninit")?.flag()? } })
}

/// A value of a bundle, with its name for messages.
struct Member<'v> {
    value: &'v Value,
    name: &'v str,
}

impl<'v> Member<'v> {
    fn get(&self, name: &'v str) -> anyhow::Result<Member<'v>> {
        let value = self.value.get(name).with_context(|| format!("{} has no member `{name}`", self.name))?;
        Ok(Member { value, name })
    }
    fn wrong(&self, what: &str) -> anyhow::Error {
        anyhow!("`{}` is no {what}", self.name)
    }
    fn text(&self) -> anyhow::Result<String> {
        self.value.as_str().map(Into::into).ok_or_else(|| self.wrong("text"))
    }
    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        BASE64.decode(self.text()?).with_context(|| format!("`{}` is no base64", self.name))
    }
    fn flag(&self) -> anyhow::Result<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }
    fn number<N: TryFrom<u64>>(&self) -> anyhow::Result<N> {
        let number = self.value.as_u64().and_then(|n| N::try_from(n).ok());
        number.ok_or_else(|| self.wrong("number in its range"))
    }
    fn list(&self) -> anyhow::Result<Vec<Member<'v>>> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("list"))?;
        Ok(list.iter().map(|value| Member { value, name: self.name }).collect())
    }
    fn sizes(&self) -> anyhow::Result<[u32; 3]> {
        let all = self.list()?.iter().map(Member::number).collect::<Result<Vec<u32>, _>>()?;
        all.try_into().map_err(|_| self.wrong("three sizes"))
    }
    fn optional<T>(&self, read: impl Fn(&Self) -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        if self.value.is_null() { Ok(None) } else { read(self).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let data = Data { elem: Type::U16, shape: vec![2, 3], bytes: (0..12).collect() };
        let zeros = Data { elem: Type::F32, shape: vec![4], bytes: vec![0; 16] };
        let given = |name: &str, value| Given { name: name.into(), value };
        Record {
            source: Source { name: "k.phx".into(), content: Content::Text("kernel k() { exit }".into()) },
            kernel: Some("k".into()),
            grid: Some([3, 2, 1]),
            block: Some([32, 1, 1]),
            shared: 7,
            args: vec![
                given("n", GivenValue::Number("0.1".into())),
                given("x", GivenValue::Array { data, uninit: false }),
                given("y", GivenValue::Array { data: zeros.clone(), uninit: true }),
                given("w", GivenValue::Filters { shape: "4x4 1->1 2x2 p1".parse().unwrap(), data: zeros }),
            ],
            fuel: Some(u64::MAX),
            deterministic: false,
            seed: Some(12),
            alone: true,
            class: Some(95),
            phase: 767,
            resonance: Snapshot::default(),
            claims: vec!["mirror".into()],
            sanitize: vec!["race".into()],
            strict: true,
        }
    }

    fn document() -> Value {
        let r = record();
        let config = phalanx::LaunchConfig::new(r.grid.unwrap(), r.block.unwrap()).with_shared(r.shared);
        r.to_json(config, "all of it")
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let document = document();
        let (again, report, version) = Record::from_json(&document.to_string()).unwrap();
        assert_eq!((report.as_str(), version.as_str()), ("all of it", env!("CARGO_PKG_VERSION")));
        assert_eq!(again.args, record().args);
        let config =
            phalanx::LaunchConfig::new(again.grid.unwrap(), again.block.unwrap()).with_shared(again.shared);
        assert_eq!(again.to_json(config, &report), document);
    }

    #[test]
    fn what_is_no_bundle_is_refused_with_the_place() {
        let wrong: &[(&str, Value, &str)] = &[
            ("/phalanx_bundle", json!(2), "its form is 2"),
            ("/module/text", json!(3), "`text` is no text"),
            ("/grid", json!([1, 2]), "`grid` is no three sizes"),
            ("/grid/0", json!(-1), "`grid` is no number"),
            ("/class", json!("x"), "`class` is no number"),
            ("/sanitize/0", json!("rice"), "`rice`"),
            ("/arguments/1/dtype", json!("f31"), "`f31`"),
            ("/arguments/1/shape/0", json!(3), "12 bytes of data where its shape has 18"),
            ("/arguments/1/data", json!("?"), "base64"),
            ("/arguments/2/shape/0", json!(u64::MAX), "too large"),
        ];
        for (place, value, says) in wrong {
            let mut document = document();
            *document.pointer_mut(place).unwrap() = value.clone();
            let e = Record::from_json(&document.to_string()).err().unwrap();
            assert!(format!("{e:#}").contains(says), "{place}: {e:#}");
        }
        for name in ["module", "kernel", "grid", "arguments", "schedule_seed", "report", "strict"] {
            let mut document = document();
            document.as_object_mut().unwrap().remove(name);
            let e = Record::from_json(&document.to_string()).err().unwrap();
            assert!(e.to_string().contains(name), "{name}: {e:#}");
        }
        assert!(Record::from_json("").is_err() && Record::from_json("[]").is_err());
    }
}
