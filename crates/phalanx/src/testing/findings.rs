//! Findings of the checkers that a test expects: from words, and compared with what there is.

use super::parse::{number, parse_target};
use super::{Conflict, Finding, FindingKind};
use crate::Checked;
use phalanx_exec::check::{self, RaceKind};
use phalanx_isa::{Array, Base, Kernel};
use std::collections::BTreeSet;

/// What the memory of an allocation is called, as `pool[HANDLE][INDEX]`, where nothing else is called so.
const POOL: &str = "pool";

/// More elements than a test names one by one.
const MAX_INDICES: i64 = 1 << 20;

/// Reads `race x[0..=3] read-write at 9 12` and its like. `None`: the words are no finding at all.
pub(super) fn parse_finding(line: u32, words: &[&str]) -> Option<Result<Finding, String>> {
    let finding = match words {
        ["race", place, conflict, "at", a, b] => parse_conflict(conflict)
            .and_then(|c| finding(line, FindingKind::Race(c), Some(place), &[a, b])),
        ["equal", place, "write-write", "at", a, b] => {
            finding(line, FindingKind::Equal, Some(place), &[a, b])
        }
        ["bounds", place, "at", a] => finding(line, FindingKind::Bounds, Some(place), &[a]),
        ["bounds", "at", a] => finding(line, FindingKind::Bounds, None, &[a]),
        ["init", place, "at", a] => finding(line, FindingKind::Init, Some(place), &[a]),
        ["sync", "at", a] => finding(line, FindingKind::Sync, None, &[a]),
        ["race" | "equal" | "bounds" | "init" | "sync", ..] => Err(
            "write `race x[0..=3] read-write at 9 12` (or `write-write`, `atomic-plain`), `equal x[0] write-write at 9 9`, \
             `bounds x[4] at 9`, `init x[4] at 9` or `sync at 9`"
                .into(),
        ),
        _ => return None,
    };
    Some(finding)
}

fn parse_conflict(word: &str) -> Result<Conflict, String> {
    match word {
        "read-write" => Ok(Conflict::ReadWrite),
        "write-write" => Ok(Conflict::WriteWrite),
        "atomic-plain" => Ok(Conflict::AtomicPlain),
        _ => Err(format!("`{word}`: a race is `read-write`, `write-write` or `atomic-plain`")),
    }
}

fn finding(line: u32, kind: FindingKind, place: Option<&str>, lines: &[&str]) -> Result<Finding, String> {
    let mut at = lines.iter().map(|l| number(l)).collect::<Result<Vec<u32>, _>>()?;
    at.sort_unstable();
    let (target, indices) = match place {
        None => (None, Vec::new()),
        Some(place) => {
            let wrong = || format!("`{place}`: write the object and its elements, as `x[0..=3,7]`");
            let (object, set) = place.strip_suffix(']').and_then(|p| p.rsplit_once('[')).ok_or_else(wrong)?;
            (Some(parse_target(object)?), parse_indices(set)?)
        }
    };
    Ok(Finding { line, kind, target, indices, at })
}

/// `3`, `0..=63`, `0..=62/2`, several of them with commas between.
fn parse_indices(text: &str) -> Result<Vec<i64>, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let Some((first, rest)) = part.split_once("..=") else {
            all.push(number(part)?);
            continue;
        };
        let (last, step) = rest.split_once('/').unwrap_or((rest, "1"));
        let (first, last, step): (i64, i64, usize) = (number(first)?, number(last)?, number(step)?);
        if first > last || step == 0 || last.checked_sub(first).is_none_or(|n| n > MAX_INDICES) {
            return Err(format!("`{part}` names no elements, or too many"));
        }
        all.extend((first..=last).step_by(step));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The parameter or array of a name.
fn object(kernel: &Kernel, name: &str) -> Option<Base> {
    let array = |all: &[Array]| all.iter().position(|a| a.name == name).map(|n| n as u16);
    let param = kernel.params.iter().position(|p| p.name == name);
    param
        .map(|n| Base::Param(n as u16))
        .or_else(|| array(&kernel.shared).map(Base::Shared))
        .or_else(|| array(&kernel.private).map(Base::Private))
}

/// An element, whatever the block: object (`None`: the pool), buffer of an array or handle, index.
type Element = (Option<Base>, i128, i128);

fn elements(kernel: &Kernel, f: &Finding) -> Result<BTreeSet<Element>, String> {
    let Some(target) = &f.target else { return Ok(BTreeSet::new()) };
    let base = object(kernel, &target.name);
    if base.is_none() && target.name != POOL {
        return Err(format!("the kernel has no `{}`", target.name));
    }
    let which = target.index.unwrap_or(0).into();
    Ok(f.indices.iter().map(|i| (base, which, i128::from(*i))).collect())
}

fn kind_of(kind: check::FindingKind) -> FindingKind {
    match kind {
        check::FindingKind::Race(RaceKind::ReadWrite) => FindingKind::Race(Conflict::ReadWrite),
        check::FindingKind::Race(RaceKind::WriteWrite) => FindingKind::Race(Conflict::WriteWrite),
        check::FindingKind::Race(RaceKind::AtomicPlain) => FindingKind::Race(Conflict::AtomicPlain),
        check::FindingKind::Race(RaceKind::EqualValue) => FindingKind::Equal,
        check::FindingKind::LoadOutside
        | check::FindingKind::StoreOutside
        | check::FindingKind::BadHandle => FindingKind::Bounds,
        check::FindingKind::NeverWritten => FindingKind::Init,
        check::FindingKind::MissedBarrier => FindingKind::Sync,
    }
}

/// A finding of the checkers: kind, elements, lines.
struct Found {
    kind: FindingKind,
    elements: BTreeSet<Element>,
    at: Vec<u32>,
}

/// Compares a report with everything that a test expects of it. Gives the line at fault, where it is one, and what is wrong.
pub(super) fn compare(checked: &Checked, expected: &[Finding]) -> Result<(), (Option<u32>, String)> {
    let kernel = checked.kernel().data();
    let races = |k: FindingKind| matches!(k, FindingKind::Race(_));
    let found: Vec<Found> = checked
        .report
        .findings
        .iter()
        .map(|f| {
            let mut at: Vec<u32> = f.sites.iter().map(|s| checked.span(s).line).collect();
            at.sort_unstable();
            let placed = f.base.is_some() || matches!(f.kind, check::FindingKind::Race(_));
            let elements = f.indices.iter().filter(|_| placed).map(|i| (f.base, f.which.into(), *i));
            Found { kind: kind_of(f.kind), elements: elements.collect(), at }
        })
        .collect();
    let racy: BTreeSet<Element> =
        found.iter().filter(|f| races(f.kind)).flat_map(|f| f.elements.iter().copied()).collect();
    // Races of all kinds together; of an element that races it may depend on the order what else is found.
    let mut left: BTreeSet<(FindingKind, Element)> = BTreeSet::new();
    let any_race = FindingKind::Race(Conflict::ReadWrite);
    for f in &found {
        let kind = if races(f.kind) { any_race } else { f.kind };
        let counts = |e: &&Element| races(kind) || !racy.contains(*e);
        left.extend(f.elements.iter().filter(counts).map(|e| (kind, *e)));
    }
    let mut placeless: Vec<(FindingKind, &[u32])> =
        found.iter().filter(|f| f.elements.is_empty()).map(|f| (f.kind, &f.at[..])).collect();
    for f in expected {
        let wrong = |what: String| {
            Err((Some(f.line), format!("{what} is not found so; the checkers say:\n{checked}")))
        };
        if f.target.is_none() {
            let there = placeless.iter().any(|(kind, at)| (*kind, *at) == (f.kind, &f.at[..]));
            placeless.retain(|(kind, at)| (*kind, *at) != (f.kind, &f.at[..]));
            if !there {
                return wrong("this".into());
            }
        }
        for e in elements(kernel, f).map_err(|m| (Some(f.line), m))? {
            if !found
                .iter()
                .any(|found| found.kind == f.kind && found.elements.contains(&e) && found.at == f.at)
            {
                return wrong(format!("element {}", e.2));
            }
            left.remove(&(if races(f.kind) { any_race } else { f.kind }, e));
        }
    }
    match left.len() + placeless.len() {
        0 => Ok(()),
        n => Err((
            None,
            format!("{n} findings or elements with findings are not expected; the checkers say:\n{checked}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Result<Finding, String>> {
        parse_finding(1, &text.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn findings_from_text() {
        let f = parse("race xs[2][0..=6/3,9,-1] atomic-plain at 12 9").unwrap().unwrap();
        let target = f.target.unwrap();
        assert_eq!((target.name.as_str(), target.index), ("xs", Some(2)));
        assert_eq!((f.kind, f.at), (FindingKind::Race(Conflict::AtomicPlain), vec![9, 12]));
        assert_eq!(f.indices, [-1, 0, 3, 6, 9]);
        let f = parse("sync at 7").unwrap().unwrap();
        assert_eq!((f.kind, f.target, f.at), (FindingKind::Sync, None, vec![7]));
    }

    #[test]
    fn what_is_written_wrongly_is_refused() {
        for text in [
            "race x[0] at 1 2",
            "race x[0] read at 1 2",
            "race x[0] read-write at 1",
            "race x read-write at 1 2",
            "race x[3..=1] read-write at 1 2",
            "race x[0..=4/0] read-write at 1 2",
            "race x[0..=9999999999] read-write at 1 2",
            "race x[] read-write at 1 2",
            "equal x[0] read-write at 1 2",
            "bounds x[0] at",
            "sync",
        ] {
            assert!(matches!(parse(text), Some(Err(_))), "{text}");
        }
        assert_eq!(parse("trap sync"), None);
    }
}
