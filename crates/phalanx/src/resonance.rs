//! The resonance and the boundary as files and buffers: snapshots as JSON, Phi addresses as places of a buffer.

use crate::args::IntoArg;
use crate::buffer::Buffer;
use crate::{ArgValue, BufferError, Cpu};
use phalanx_atlas::{CLASSES, PAGE_BYTES, PAGES, PHI_SIZE, phi_address};
use phalanx_exec::resonance::{Entry, Ratio, Snapshot};
use serde_json::{Value, json};

/// A snapshot as JSON: `{"resonance": [{"class": 0, "n": -3, "d": 4, "f64": 0.75}, ...]}` with all 96 classes in order; n/d is the
/// rational form. Numbers are exact; what JSON has no number for is `"nan"`, `"inf"` or `"-inf"`.
///
/// ```
/// let resonance = phalanx::Resonance::new();
/// let text = phalanx::snapshot_to_json(&resonance.snapshot()).to_string();
/// assert_eq!(phalanx::snapshot_from_json(&text)?, resonance.snapshot());
/// # Ok::<(), phalanx::SnapshotError>(())
/// ```
pub fn snapshot_to_json(snapshot: &Snapshot) -> Value {
    let entry = |(class, e): (usize, &Entry)| {
        json!({
            "class": class,
            "n": e.ratio.numerator(),
            "d": e.ratio.denominator(),
            "f64": float_to_json(e.float),
        })
    };
    json!({ "resonance": snapshot.0.iter().enumerate().map(entry).collect::<Vec<_>>() })
}

fn float_to_json(x: f64) -> Value {
    let word = match x {
        x if x.is_nan() => "nan",
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        x => return json!(x),
    };
    json!(word)
}

fn float_from_json(v: &Value) -> Option<f64> {
    match v {
        Value::String(s) if matches!(s.as_str(), "nan" | "inf" | "-inf") => s.parse().ok(),
        v => v.as_f64(),
    }
}

/// A text that is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no resonance snapshot: {0}")]
pub struct SnapshotError(String);

/// Reads what [`snapshot_to_json`] made. Other members beside `resonance` are left alone; classes may come in any order, and
/// those that are not named are zero.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn snapshot_from_json(text: &str) -> Result<Snapshot, SnapshotError> {
    let document: Value = serde_json::from_str(text).map_err(|e| SnapshotError(e.to_string()))?;
    let entries = document.get("resonance").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| SnapshotError("it has no list `resonance`".into()))?;
    let mut snapshot = Snapshot::default();
    let mut seen = [false; CLASSES as usize];
    for (i, e) in entries.iter().enumerate() {
        let wrong = |what: &str| SnapshotError(format!("entry {i}: {what}"));
        let class = e.get("class").and_then(Value::as_u64).and_then(|c| usize::try_from(c).ok());
        let class = class.filter(|c| *c < CLASSES.into()).ok_or_else(|| wrong("`class` must be 0 to 95"))?;
        if std::mem::replace(&mut seen[class], true) {
            return Err(wrong(&format!("class {class} comes twice")));
        }
        let int = |name: &str| e.get(name).and_then(Value::as_i64);
        let ratio = int("n").zip(int("d")).and_then(|(n, d)| Ratio::new(n, d));
        let ratio = ratio.ok_or_else(|| wrong("`n` and `d` must be 64-bit integers, `d` not 0"))?;
        let float = e.get("f64").and_then(float_from_json);
        let float = float.ok_or_else(|| wrong("`f64` must be a number, \"nan\", \"inf\" or \"-inf\""))?;
        snapshot.0[class] = Entry { ratio, float };
    }
    Ok(snapshot)
}

/// A boundary pool: 96 classes of 48 pages of 256 bytes, in a buffer that kernels index by `phi.addr`.
///
/// ```
/// # fn main() -> Result<(), phalanx::Error> {
/// let cpu = phalanx::Cpu::new()?;
/// let pool = phalanx::Boundary::new(&cpu)?;
/// let mark = cpu.load(
///     "kernel mark(inout pool: u8[]) block 32 grid 3 {
///          let class, at: u32;  let v: u8
///          cls.get   class
///          phi.addr  at, class, 47, %lane.x
///          mov.u8    v, 9
///          st.u8     pool[at], v
///          exit
///      }",
/// )?;
/// mark.only_kernel()?.launch_declared().arg("pool", &pool).run()?;
/// assert_eq!(pool.get(2, 47, 31)?, Some(9));
/// assert_eq!(pool.page(1, 47)?.map(|p| p.read().map(|b| b[..33].to_vec())), Some(Ok([vec![9; 32], vec![0]].concat())));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Boundary(Buffer<u8>);

impl Boundary {
    /// All zero.
    ///
    /// # Errors
    /// No memory.
    pub fn new(cpu: &Cpu) -> Result<Boundary, BufferError> {
        cpu.zeros(PHI_SIZE as usize).map(Boundary)
    }
    /// All bytes, by Phi address.
    pub fn buffer(&self) -> &Buffer<u8> {
        &self.0
    }
    /// A byte. `None`: there is no such place.
    ///
    /// # Errors
    /// The buffer is gone.
    pub fn get(&self, class: u8, page: u8, byte: u8) -> Result<Option<u8>, BufferError> {
        let Some(at) = phi_address(class, page, byte) else { return Ok(None) };
        let at = at as usize;
        Ok(self.0.view(at..at + 1)?.read()?.first().copied())
    }
    /// A page's 256 bytes, as a view that can be read, written and bound. `None`: there is no such page.
    ///
    /// # Errors
    /// The buffer is gone.
    pub fn page(&self, class: u8, page: u8) -> Result<Option<Buffer<u8>>, BufferError> {
        let Some(at) = phi_address(class, page, 0) else { return Ok(None) };
        let at = at as usize;
        self.0.view(at..at + PAGE_BYTES as usize).map(Some)
    }
    /// All pages of a class: 12 288 bytes. `None`: there is no such class.
    ///
    /// # Errors
    /// The buffer is gone.
    pub fn class(&self, class: u8) -> Result<Option<Buffer<u8>>, BufferError> {
        let Some(at) = phi_address(class, 0, 0) else { return Ok(None) };
        let at = at as usize;
        self.0.view(at..at + (u32::from(PAGES) * PAGE_BYTES) as usize).map(Some)
    }
}

impl IntoArg for &Boundary {
    fn into_arg(self) -> ArgValue {
        (&self.0).into_arg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let mut snapshot = Snapshot::default();
        let floats = [0.1, -0.0, f64::MAX, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0 / 3.0];
        for (e, x) in snapshot.0.iter_mut().zip(floats) {
            e.float = x;
        }
        snapshot.0[95].ratio = Ratio::new(i64::MIN, i64::MAX).unwrap();
        let back = snapshot_from_json(&snapshot_to_json(&snapshot).to_string()).unwrap();
        assert_eq!(back, snapshot);
        assert_eq!(snapshot_from_json("{\"resonance\": []}").unwrap(), Snapshot::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("{", "EOF"),
            ("[]", "no list `resonance`"),
            ("{\"resonance\": [{\"class\": 96, \"n\": 0, \"d\": 1, \"f64\": 0}]}", "entry 0: `class`"),
            ("{\"resonance\": [{\"class\": 1, \"n\": 1, \"d\": 0, \"f64\": 0}]}", "entry 0: `n` and `d`"),
            ("{\"resonance\": [{\"class\": 1, \"n\": 1, \"d\": 2, \"f64\": \"x\"}]}", "entry 0: `f64`"),
            (
                "{\"resonance\": [{\"class\": 1, \"n\": 1, \"d\": 2, \"f64\": 0}, {\"class\": 1, \"n\": 1, \"d\": 2, \"f64\": 0}]}",
                "comes twice",
            ),
        ] {
            let e = snapshot_from_json(text).unwrap_err().to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
