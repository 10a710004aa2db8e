//! The tables of `isa/*.toml` as a checked model: every row names known types, modes and roles, and no two share a number.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A value type.
#[derive(Deserialize)]
pub struct TypeRow {
    pub name: String,
    pub code: u8,
    pub bits: u32,
    pub class: String,
}

/// A special register.
#[derive(Deserialize)]
pub struct SpecialRow {
    pub name: String,
    pub code: u8,
    pub uniform: bool,
    pub doc: String,
}

/// A way for a lane to fail.
#[derive(Deserialize)]
pub struct TrapRow {
    pub name: String,
    pub code: u8,
    pub message: String,
}

/// A format of packed weights.
#[derive(Deserialize)]
pub struct PackedRow {
    pub name: String,
    pub code: u8,
    pub doc: String,
}

#[derive(Deserialize)]
struct TypesFile {
    #[serde(rename = "type")]
    types: Vec<TypeRow>,
    sets: BTreeMap<String, Vec<String>>,
    modes: BTreeMap<String, Vec<String>>,
    packed: Vec<PackedRow>,
    special: Vec<SpecialRow>,
    trap: Vec<TrapRow>,
    limits: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpRow {
    name: String,
    code: u16,
    kind: String,
    #[serde(default)]
    types: Option<String>,
    #[serde(default)]
    pairs: Vec<String>,
    #[serde(default)]
    modes: Vec<String>,
    #[serde(default)]
    only: BTreeMap<String, String>,
    #[serde(default = "yes")]
    written: bool,
    #[serde(default)]
    effects: Vec<String>,
    args: Vec<String>,
    #[serde(default)]
    does: BTreeMap<String, String>,
    #[serde(default)]
    footprint: BTreeMap<String, String>,
    #[serde(default)]
    packed: Vec<String>,
    doc: String,
    #[serde(default)]
    test: Vec<String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct OpsFile {
    op: Vec<OpRow>,
    revision: Option<u16>,
}

/// One operand of a row.
pub struct Arg {
    pub name: String,
    pub role: String,
    /// "", "T", "S" or a type's name.
    pub ty: String,
}

/// One combination of modes (as a bit mask per slot) and types that a row allows.
pub struct Rule {
    pub modes: Vec<u32>,
    pub ty: u16,
    pub ty2: u16,
}

/// A checked operation row.
pub struct Op {
    pub name: String,
    pub code: u16,
    pub kind: String,
    pub modes: Vec<String>,
    pub rules: Vec<Rule>,
    /// The type is part of the mnemonic.
    pub typed: bool,
    pub typed2: bool,
    pub effects: Vec<String>,
    pub args: Vec<Arg>,
    pub does: BTreeMap<String, String>,
    pub footprint: BTreeMap<String, String>,
    /// Formats that its packed operand may have.
    pub packed: Vec<String>,
    pub doc: String,
    pub test: Vec<String>,
    pub file: String,
}

impl Op {
    /// The row's name as a Rust identifier: `cls.get` is `ClsGet`.
    pub fn ident(&self) -> String {
        camel(&self.name)
    }
    pub fn native(&self) -> bool {
        self.kind == "native"
    }
}

/// The whole model.
pub struct Isa {
    pub types: Vec<TypeRow>,
    pub modes: BTreeMap<String, Vec<String>>,
    pub packed: Vec<PackedRow>,
    pub specials: Vec<SpecialRow>,
    pub traps: Vec<TrapRow>,
    pub limits: BTreeMap<String, u64>,
    pub ops: Vec<Op>,
    pub native_revision: u16,
}

/// `lane.x` to `LaneX`, `div_by_zero` to `DivByZero`.
pub fn camel(name: &str) -> String {
    name.split(['.', '_'])
        .map(|part| {
            let mut chars = part.chars();
            chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
        })
        .collect()
}

const ROLES: &[&str] = &[
    "w", "rw", "r", "uniform", "imm", "load", "store", "atomic", "out", "input", "packed", "buffer", "label",
    "func", "dests", "srcs", "list",
];
const KINDS: &[&str] = &["alu", "memory", "control", "sync", "subgroup", "block", "atlas", "native"];
const EFFECTS: &[&str] = &[
    "mem.read",
    "mem.write",
    "mem.atomic",
    "branch",
    "cond",
    "call",
    "return",
    "exit",
    "collective",
    "barrier",
    "fence",
    "pool",
    "resonance",
    "native",
];

/// Reads and checks all tables of the folder.
pub fn load(dir: &Path) -> Result<Isa> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("isa/{name}"));
    let base: TypesFile = toml::from_str(&read("types.toml")?).context("isa/types.toml")?;
    let mut isa = Isa {
        types: base.types,
        modes: base.modes,
        packed: base.packed,
        specials: base.special,
        traps: base.trap,
        limits: base.limits,
        ops: Vec::new(),
        native_revision: 0,
    };
    let mut files: Vec<String> = std::fs::read_dir(dir)?
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".toml") && n.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    files.sort();
    for file in &files {
        let rows: OpsFile = toml::from_str(&read(file)?).with_context(|| format!("isa/{file}"))?;
        isa.native_revision = isa.native_revision.max(rows.revision.unwrap_or(0));
        for row in rows.op {
            let name = row.name.clone();
            let op =
                check_row(row, file, &isa, &base.sets).with_context(|| format!("isa/{file}: `{name}`"))?;
            isa.ops.push(op);
        }
    }
    let mut codes = BTreeSet::new();
    let mut names = BTreeSet::new();
    for op in &isa.ops {
        ensure!(codes.insert(op.code), "code {:#x} of `{}` is used twice", op.code, op.name);
        ensure!(names.insert(op.name.clone()), "name `{}` is used twice", op.name);
    }
    isa.ops.sort_by_key(|op| op.code);
    ensure!(isa.ops.len() >= 60, "only {} operations found: are all files there?", isa.ops.len());
    Ok(isa)
}

fn set_bits(name: &str, isa: &Isa, sets: &BTreeMap<String, Vec<String>>) -> Result<u16> {
    let code = |n: &str| isa.types.iter().find(|t| t.name == n).map(|t| 1u16 << t.code);
    if let Some(bit) = code(name) {
        return Ok(bit);
    }
    let members = sets.get(name).with_context(|| format!("unknown type or set `{name}`"))?;
    members.iter().try_fold(0, |bits, m| Ok(bits | code(m).with_context(|| format!("set {name}: `{m}`?"))?))
}

fn check_row(row: OpRow, file: &str, isa: &Isa, sets: &BTreeMap<String, Vec<String>>) -> Result<Op> {
    ensure!(KINDS.contains(&row.kind.as_str()), "unknown kind `{}`", row.kind);
    ensure!(row.modes.len() <= 3, "more than three mode slots");
    for effect in &row.effects {
        let trap = effect.strip_prefix("trap.");
        let known = match trap {
            Some(t) => isa.traps.iter().any(|row| row.name == t),
            None => EFFECTS.contains(&effect.as_str()),
        };
        ensure!(known, "unknown effect `{effect}`");
    }
    let slots: Vec<&Vec<String>> = row
        .modes
        .iter()
        .map(|m| isa.modes.get(m).with_context(|| format!("unknown mode set `{m}`")))
        .collect::<Result<_>>()?;
    let all_modes: Vec<u32> = slots.iter().map(|s| (1u32 << s.len()) - 1).collect();
    let mut rules = Vec::new();
    if let Some(set) = &row.types {
        ensure!(row.pairs.is_empty(), "both `types` and `pairs`");
        let types = set_bits(set, isa, sets)?;
        // Modes with a set of their own get a rule each, the rest share one.
        let mut rest = all_modes.clone();
        for (mode, set) in &row.only {
            let (slot, bit) = slots
                .iter()
                .enumerate()
                .find_map(|(i, s)| s.iter().position(|m| m == mode).map(|b| (i, 1u32 << b)))
                .with_context(|| format!("`only` names an unknown mode `{mode}`"))?;
            rest[slot] &= !bit;
            let mut modes = all_modes.clone();
            modes[slot] = bit;
            rules.push(Rule { modes, ty: set_bits(set, isa, sets)?, ty2: 0 });
        }
        if rest.iter().all(|m| *m != 0) {
            rules.insert(0, Rule { modes: rest, ty: types, ty2: 0 });
        }
    }
    for pair in &row.pairs {
        let (modes, types) = match pair.split_once(':') {
            Some((m, t)) => (Some(m), t),
            None => (None, pair.as_str()),
        };
        let (to, from) = types.split_once("<-").context("a pair is `[modes[, modes]:] to <- from`")?;
        let mut mask = all_modes.clone();
        for (slot, names) in modes.into_iter().flat_map(|m| m.split(',')).enumerate() {
            let of = slots.get(slot).context("a pair with more modes than the row")?;
            mask[slot] = 0;
            for name in names.split('|') {
                let bit = of.iter().position(|m| m == name.trim()).context("unknown mode in pair")?;
                mask[slot] |= 1 << bit;
            }
        }
        rules.push(Rule {
            modes: mask,
            ty: set_bits(to.trim(), isa, sets)?,
            ty2: set_bits(from.trim(), isa, sets)?,
        });
    }
    let typed = !rules.is_empty() && row.written;
    let typed2 = !row.pairs.is_empty();
    if rules.is_empty() {
        rules.push(Rule { modes: all_modes, ty: 0, ty2: 0 });
    }
    let args = row.args.iter().map(|a| parse_arg(a, isa, &rules)).collect::<Result<Vec<_>>>()?;
    if row.kind == "alu" {
        ensure!(!row.does.is_empty(), "an alu row needs `does`");
        // A list of operands has no row form; tests/isa covers `fold`.
        let has_list = row.args.iter().any(|a| a.contains(":list"));
        ensure!(has_list || !row.test.is_empty(), "an alu row needs test rows");
    } else if row.does.contains_key("int") {
        bail!("`does` is for alu rows");
    }
    if row.kind == "native" {
        for arg in row.args.iter().filter(|a| a.contains(":out.") || a.contains(":input.")) {
            let name = arg.split(':').next().unwrap_or("");
            ensure!(row.footprint.contains_key(name), "a native row states the footprint of `{name}`");
        }
    }
    let takes_packed = row.args.iter().any(|a| a.ends_with(":packed"));
    ensure!(
        takes_packed != row.packed.is_empty(),
        "`packed` is for rows with a packed operand, and all of them"
    );
    for format in &row.packed {
        ensure!(isa.packed.iter().any(|p| p.name == *format), "unknown packed format `{format}`");
    }
    Ok(Op {
        name: row.name,
        code: row.code,
        kind: row.kind,
        modes: row.modes,
        rules,
        typed,
        typed2,
        effects: row.effects,
        args,
        does: row.does,
        footprint: row.footprint,
        packed: row.packed,
        doc: row.doc,
        test: row.test,
        file: file.into(),
    })
}

fn parse_arg(text: &str, isa: &Isa, rules: &[Rule]) -> Result<Arg> {
    let (name, spec) = text.split_once(':').with_context(|| format!("operand `{text}`"))?;
    let (role, ty) = spec.split_once('.').unwrap_or((spec, ""));
    ensure!(ROLES.contains(&role), "operand `{text}`: unknown role `{role}`");
    let known = matches!(ty, "" | "T" | "S") || isa.types.iter().any(|t| t.name == ty);
    ensure!(known, "operand `{text}`: unknown type `{ty}`");
    ensure!(ty != "T" || rules.iter().all(|r| r.ty != 0), "operand `{text}` has type T, the row has none");
    Ok(Arg { name: name.into(), role: role.into(), ty: ty.into() })
}

/// One line of ABI.lock for a row: all that a released row promises.
fn lock_line(op: &Op) -> String {
    let args: Vec<String> = op.args.iter().map(|a| format!("{}:{}.{}", a.name, a.role, a.ty)).collect();
    format!("{:#06x} {} modes[{}] args[{}]", op.code, op.name, op.modes.join(","), args.join(" "))
}

/// ABI.lock with new rows appended; refused where a released row changed or vanished.
pub fn updated_lock(isa: &Isa, old: &str) -> Result<String> {
    let mut lines: BTreeMap<String, String> = old
        .lines()
        .filter(|l| l.starts_with("0x"))
        .map(|l| (l.split(' ').next().unwrap_or("").to_string(), l.to_string()))
        .collect();
    let mut seen = BTreeSet::new();
    let mut numbered: Vec<(String, String)> =
        isa.ops.iter().filter(|o| !o.native()).map(|o| (format!("{:#06x}", o.code), lock_line(o))).collect();
    for t in &isa.types {
        numbered.push((format!("0xt{:02}", t.code), format!("0xt{:02} type {}", t.code, t.name)));
    }
    for t in &isa.traps {
        numbered.push((format!("0xx{:02}", t.code), format!("0xx{:02} trap {}", t.code, t.name)));
    }
    for s in &isa.specials {
        numbered.push((format!("0xs{:02}", s.code), format!("0xs{:02} special {}", s.code, s.name)));
    }
    for (set, values) in &isa.modes {
        for (i, v) in values.iter().enumerate() {
            let key = format!("0xm.{set}.{i:02}");
            numbered.push((key.clone(), format!("{key} mode {}", if v.is_empty() { "-" } else { v })));
        }
    }
    for (key, line) in numbered {
        seen.insert(key.clone());
        match lines.get(&key) {
            Some(locked) if *locked != line => {
                bail!("ABI.lock: a released row changed\n  locked: {locked}\n  now:    {line}")
            }
            Some(_) => {}
            None => {
                lines.insert(key, line);
            }
        }
    }
    for (key, line) in &lines {
        if !seen.contains(key) && !line.contains(" tombstone") {
            bail!(
                "ABI.lock: a released row vanished: {line}\n  mark its line ` tombstone` to retire the number"
            );
        }
    }
    let mut out = String::from(
        "# Released numbers, fixed for good: a changed or vanished row fails `cargo xtask gen`; retired rows stay as tombstones.\n\
         # Native opcodes are experimental and not listed; they carry a revision instead (isa/50-native.toml).\n",
    );
    for line in lines.values() {
        out += line;
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The repository's tables and their lock.
    fn released() -> (Isa, String) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../isa");
        (load(&dir).unwrap(), std::fs::read_to_string(dir.join("ABI.lock")).unwrap())
    }

    fn refusal(isa: &Isa, lock: &str) -> String {
        updated_lock(isa, lock).expect_err("it must be refused").to_string()
    }

    /// An operation whose number is released.
    fn add(isa: &mut Isa) -> &mut Op {
        isa.ops.iter_mut().find(|o| o.code == 0x10).unwrap()
    }

    #[test]
    fn the_lock_is_complete() {
        let (isa, lock) = released();
        assert_eq!(updated_lock(&isa, &lock).unwrap(), lock);
        // What is not retired follows from the tables alone.
        let retired = |l: &&str| l.starts_with("0x") && l.contains(" tombstone");
        let live: String = lock
            .lines()
            .filter(|l| !retired(l))
            .map(|l| {
                format!(
                    "{l}
"
                )
            })
            .collect();
        assert_eq!(updated_lock(&isa, "").unwrap(), live);
    }

    #[test]
    fn a_changed_row_is_refused() {
        let (mut isa, lock) = released();
        add(&mut isa).args[1].role = "uniform".into();
        assert!(refusal(&isa, &lock).contains("a released row changed\n  locked: 0x0010 add"));
        let (mut isa, lock) = released();
        isa.modes.values_mut().next().unwrap().swap(0, 1);
        assert!(refusal(&isa, &lock).contains("changed"));
    }

    #[test]
    fn a_vanished_row_is_refused_unless_its_number_is_retired() {
        let (mut isa, lock) = released();
        isa.ops.retain(|o| o.name != "add");
        assert!(refusal(&isa, &lock).contains("a released row vanished: 0x0010 add"));
        let retired = retire(&lock, "0x0010 ");
        assert_eq!(updated_lock(&isa, &retired).unwrap(), retired);
        let (mut isa, lock) = released();
        isa.traps.pop();
        assert!(refusal(&isa, &lock).contains("vanished"));
    }

    #[test]
    fn a_retired_number_is_not_used_again() {
        let (mut isa, lock) = released();
        add(&mut isa).name = "plus".into();
        assert!(refusal(&isa, &lock).contains("changed"));
        let retired = retire(&lock, "0x0010 ");
        assert!(refusal(&isa, &retired).contains("tombstone\n  now:    0x0010 plus"));
        // Not even for what it was.
        add(&mut isa).name = "add".into();
        assert!(refusal(&isa, &retired).contains("changed"));
    }

    fn retire(lock: &str, key: &str) -> String {
        let line = |l: &str| if l.starts_with(key) { format!("{l} tombstone\n") } else { format!("{l}\n") };
        lock.lines().map(line).collect()
    }
}
