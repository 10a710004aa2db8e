//! What a launch says of itself when it has ended, and what it notes for that.

use crate::launch::Launch;
use crate::resonance::Change;
use crate::trap::{LaneTrap, TrapDetail};
use phalanx_isa::{Effect, Kernel, TrapKind};
use std::sync::atomic::{AtomicU16, Ordering};

/// What a launch that ended well left behind besides its buffers.
#[derive(Clone, Debug, Default)]
pub struct LaunchReport {
    /// What it added to the resonance; `None` where its kernel does not use it.
    pub change: Option<Change>,
    /// The phase of lane 0 of every block when it ended, by linear block; empty unless
    /// [`crate::RunOptions::report_phases`] asks for it.
    pub phases: Vec<u16>,
}

/// Phases by block, while the launch runs.
pub(crate) struct Phases(Vec<AtomicU16>);

impl Phases {
    pub(crate) fn new(blocks: u64) -> Phases {
        Phases((0..blocks).map(|_| AtomicU16::new(0)).collect())
    }
    pub(crate) fn into_vec(self) -> Vec<u16> {
        self.0.into_iter().map(AtomicU16::into_inner).collect()
    }
}

impl Launch<'_> {
    /// Executors call this before a block's first instruction: the phase that it starts with may break a claim.
    ///
    /// # Errors
    /// The trap, at the kernel's first instruction in lane 0.
    pub fn start_block(&self, block: u64) -> Result<(), LaneTrap> {
        let broken = |text| LaneTrap {
            kind: TrapKind::Claim,
            func: 0,
            inst: 0,
            block,
            lane: 0,
            detail: TrapDetail::Text(text),
        };
        self.options.claims.check_phase(self.phase_of_block(block)).map_err(broken)
    }

    /// Executors call this when a block has ended, with the phase of its lane 0.
    pub fn end_block(&self, block: u64, phase: u32) {
        if let Some(slot) = self.phases.as_ref().and_then(|p| p.0.get(block as usize)) {
            // Read when all blocks have ended.
            slot.store(phase as u16, Ordering::Relaxed);
        }
    }
}

/// A trap that belongs to the launch as a whole, at the kernel's first instruction that adds to the resonance.
pub(crate) fn trap_at_end(kernel: &Kernel, kind: TrapKind, text: String) -> LaneTrap {
    let funcs = kernel.funcs.iter().enumerate();
    let mut places = funcs.flat_map(|(f, func)| {
        let adds =
            |e: &[Effect]| e.contains(&Effect::Resonance) && e.contains(&Effect::Trap(TrapKind::Claim));
        let insts = func.code.iter().enumerate();
        insts.filter(move |(_, i)| adds(i.op.info().effects)).map(move |(i, _)| (f as u16, i as u32))
    });
    let (func, inst) = places.next().unwrap_or((0, 0));
    LaneTrap { kind, func, inst, block: 0, lane: 0, detail: TrapDetail::AtEnd(text) }
}
