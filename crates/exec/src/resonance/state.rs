//! The sums that the host holds, and how a launch begins and ends with them.

use super::accumulator::{Accumulator, Design, Sums};
use super::claims::{LaunchClaims, is_neutral, unlike_mirror};
use super::ratio::Ratio;
use parking_lot::{Mutex, MutexGuard};
use phalanx_atlas::CLASSES;
use phalanx_isa::TrapKind;
use std::sync::Arc;

/// What one class has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// The rational form.
    pub ratio: Ratio,
    /// The f64 form. Two NaN count as equal, and the two zeros do not.
    pub float: f64,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
        self.ratio == other.ratio && bits(self.float) == bits(other.float)
    }
}

/// The 96 entries at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot(pub [Entry; CLASSES as usize]);

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot([Entry::default(); CLASSES as usize])
    }
}

/// The resonance: 96 sums in two forms, held by the host and bound to launches. Clones are handles to the same sums.
///
/// A launch whose kernel uses it has it to itself from beginning to end, as it has the buffers that it writes; reading and
/// restoring wait for that.
#[derive(Clone)]
pub struct Resonance(Arc<Mutex<State>>);

struct State {
    now: Snapshot,
    accumulator: Box<dyn Accumulator>,
    /// A launch began and did not end: a panic went through it.
    open: bool,
}

impl Default for Resonance {
    fn default() -> Resonance {
        Resonance::new()
    }
}

impl std::fmt::Debug for Resonance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.try_lock() {
            Some(s) => write!(f, "Resonance({}, {:?})", s.accumulator.design().name(), s.now),
            None => f.write_str("Resonance(in use)"),
        }
    }
}

impl Resonance {
    /// All zero.
    pub fn new() -> Resonance {
        Resonance::with_accumulator(Design::default().make())
    }
    /// All zero, with an accumulator of the caller's choice: results are the same, times are not.
    pub fn with_accumulator(accumulator: Box<dyn Accumulator>) -> Resonance {
        Resonance(Arc::new(Mutex::new(State { now: Snapshot::default(), accumulator, open: false })))
    }
    /// As a snapshot has it.
    pub fn from_snapshot(snapshot: &Snapshot) -> Resonance {
        let r = Resonance::new();
        r.restore(snapshot);
        r
    }
    /// The entries now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().now.clone()
    }
    /// Sets all entries.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.0.lock().now = snapshot.clone();
    }
    /// One class's entry. `None`: no class has this number.
    pub fn get(&self, class: u8) -> Option<Entry> {
        self.0.lock().now.0.get(usize::from(class)).copied()
    }
    /// Whether two handles are of the same sums.
    pub fn is_same(&self, other: &Resonance) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes it for a launch.
    pub(crate) fn hold(&self) -> Held<'_> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.open, true) {
            state.accumulator.take();
        }
        Held(state)
    }
}

/// The resonance in the hands of a launch.
pub(crate) struct Held<'a>(MutexGuard<'a, State>);

/// What the lanes of a launch see of the resonance.
#[derive(Clone, Copy)]
pub struct LaunchResonance<'a> {
    /// The sums as they were before the launch.
    pub before: &'a Snapshot,
    /// What lanes add to.
    pub accumulator: &'a dyn Accumulator,
}

impl Held<'_> {
    pub(crate) fn for_lanes(&self) -> LaunchResonance<'_> {
        LaunchResonance { before: &self.0.now, accumulator: &*self.0.accumulator }
    }

    /// Forgets what was added.
    pub(crate) fn discard(mut self) {
        self.0.accumulator.take();
        self.0.open = false;
    }

    /// Makes what was added part of the sums.
    ///
    /// # Errors
    /// A class whose fraction does not fit, or a broken claim: the trap and its text; the sums are as they were.
    pub(crate) fn commit(mut self, claims: &LaunchClaims) -> Result<Change, (TrapKind, String)> {
        let state = &mut *self.0;
        let sums = state.accumulator.take();
        state.open = false;
        let mut next = state.now.clone();
        for (class, added) in sums.iter() {
            let entry = &mut next.0[class as usize];
            if let Some(ratio) = &added.ratio {
                entry.ratio = ratio
                    .total(entry.ratio)
                    .map_err(|e| (TrapKind::ResonanceRange, format!("class {class}: {e}")))?;
            }
            if let Some(float) = &added.float {
                let mut float = float.clone();
                float.add(entry.float);
                entry.float = float.round();
            }
        }
        claims.check_sums(&sums).map_err(|text| (TrapKind::Claim, text))?;
        state.now = next;
        Ok(Change { sums })
    }
}

/// What a launch added to the resonance, exactly.
#[derive(Clone, Debug, Default)]
pub struct Change {
    sums: Sums,
}

impl Change {
    /// What was added to a class in the f64 form, rounded once; +0 where nothing was.
    pub fn float(&self, class: u8) -> f64 {
        self.sums.class(class).and_then(|s| s.float.as_ref()).map_or(0.0, |s| s.round())
    }
    /// What was added to a class in the rational form. `None`: it fits no 64-bit fraction, though the sum with what was there
    /// does.
    pub fn ratio(&self, class: u8) -> Option<Ratio> {
        let added = self.sums.class(class).and_then(|s| s.ratio.as_ref());
        added.map_or(Some(Ratio::ZERO), |s| s.total(Ratio::ZERO).ok())
    }
    /// Classes that something was added to, zero included, ascending.
    pub fn classes(&self) -> impl Iterator<Item = u8> + '_ {
        self.sums.iter().map(|(c, _)| c)
    }
    /// Whether all that was added adds up to zero over the classes, exactly and in both forms.
    pub fn is_neutral(&self) -> bool {
        is_neutral(&self.sums)
    }
    /// Whether every class and its mirror got the same, exactly and in both forms.
    pub fn is_mirror_safe(&self) -> bool {
        unlike_mirror(&self.sums).is_none()
    }
}
