//! Phase arithmetic: a circle of 768 positions.

use crate::PHASES;

/// A phase that is known to lie in `0..768`.
///
/// The executor keeps one per lane; the wrapper makes the range a fact of the type, so that advancing it
/// cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phase(u16);

impl Phase {
    /// The phase numbered `value`, or `None` if `value >= 768`.
    #[inline]
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value < PHASES { Some(Phase(value)) } else { None }
    }

    /// The number, in `0..768`.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// `(self + delta) mod 768`.
    #[inline]
    #[must_use]
    pub const fn advance(self, delta: u16) -> Self {
        // At most 767 + 767, so the sum cannot overflow u16.
        Phase((self.0 + delta % PHASES) % PHASES)
    }

    /// Whether this phase lies in `window`.
    #[inline]
    #[must_use]
    pub const fn is_in(self, window: PhaseWindow) -> bool {
        // Distance from the beginning, going forward: at most 767 + 768 before the reduction.
        (self.0 + PHASES - window.begin.0) % PHASES < window.span
    }
}

/// The phases `begin, begin + 1, ..., begin + span - 1`, each mod 768.
///
/// The window wraps past 767 to 0. A `span` of 0 is the empty window: it contains nothing, not even `begin`.
/// A `span` of 768 or more is the whole circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PhaseWindow {
    /// First phase of the window, if the window is not empty.
    pub begin: Phase,
    /// Number of consecutive phases, counted from `begin`.
    pub span: u16,
}

/// `(phase + delta) mod 768`, or `None` if `phase >= 768`. Any `delta` is allowed.
#[inline]
#[must_use]
pub const fn advance(phase: u16, delta: u16) -> Option<u16> {
    match Phase::new(phase) {
        Some(phase) => Some(phase.advance(delta).get()),
        None => None,
    }
}

/// Whether `phase` lies in the window of `span` phases from `begin`, which wraps past 767 to 0.
///
/// `None` if `phase` or `begin` is 768 or more. A `span` of 0 contains nothing; a `span` of 768 or more
/// contains every phase.
#[inline]
#[must_use]
pub const fn phase_window(phase: u16, begin: u16, span: u16) -> Option<bool> {
    match (Phase::new(phase), Phase::new(begin)) {
        (Some(phase), Some(begin)) => Some(phase.is_in(PhaseWindow { begin, span })),
        _ => None,
    }
}

/// The phase a lane starts with: `(launch phase + linear block index) mod 768`.
#[inline]
#[must_use]
pub const fn launch_phase(launch: Phase, linear_block: u64) -> Phase {
    // The remainder is below 768, so it fits u16.
    launch.advance((linear_block % PHASES as u64) as u16)
}
