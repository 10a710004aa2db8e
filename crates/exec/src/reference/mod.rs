//! The reference executor: one lane at a time, from the meaning of the operations in the tables. Slow on purpose; what other
//! executors are compared with.
//!
//! A lane runs until it ends, traps, or stops at a collective instruction. Operations of a subgroup are carried out as soon as
//! all lanes of the subgroup stand at the same dynamic instance of one; barriers, block reductions and native operations when
//! all lanes of the block do. Between two of those (a *barrier interval*) every lane runs as far as it can, whatever happens to
//! others; then the trap of the lowest lane is reported, or, where no lane trapped by itself but some did not arrive, a trap
//! `sync` at the lowest lane that waits.

mod collectives;
mod lane;
pub mod observe;
mod path;
pub mod prims;
mod semantics;

pub use lane::alu_detail;
pub use semantics::eval;

use crate::launch::{Executor, Launch, LaunchError, Prepared};
use crate::schedule::{Order, Purpose};
use crate::trap::{LaneTrap, TrapDetail};
use crate::view::View;
use crate::workers::{Grain, run_blocks};
use lane::{Context, Lane, State};
use observe::Observer;
use phalanx_isa::{TrapKind, limits};
use phalanx_verify::{Scope, Verified, collective};
use std::sync::Arc;

/// The executor; it has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

/// The reference executor with an observer.
#[derive(Clone)]
pub struct Observed(pub Arc<dyn Observer>);

struct Ready(Option<Arc<dyn Observer>>);

impl Executor for Observed {
    fn name(&self) -> &'static str {
        "reference, observed"
    }
    fn prepare(&self, _: &Verified, _: usize) -> Result<Arc<dyn Prepared>, LaunchError> {
        Ok(Arc::new(Ready(Some(Arc::clone(&self.0)))))
    }
}

impl Executor for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }
    fn prepare(&self, _: &Verified, _: usize) -> Result<Arc<dyn Prepared>, LaunchError> {
        Ok(Arc::new(Ready(None)))
    }
}

impl Prepared for Ready {
    /// Blocks and lanes run in ascending order, or that of the launch's schedule, on the caller's thread.
    fn run(&self, launch: &Launch<'_>) -> Result<(), LaneTrap> {
        run_blocks(launch, 1, Grain::Coarse, || (), |(), block| run_block(launch, block, self.0.as_deref()))
    }
}

fn run_block(launch: &Launch<'_>, block: u64, observer: Option<&dyn Observer>) -> Result<(), LaneTrap> {
    launch.start_block(block)?;
    let kernel = launch.kernel();
    let words = |a: usize| {
        let bytes = launch.shared_elements(a) * kernel.shared[a].elem.bytes() as u64;
        vec![0u64; bytes.div_ceil(8) as usize]
    };
    let mut memory: Vec<Vec<u64>> = (0..kernel.shared.len()).map(words).collect();
    let arrays = memory.iter_mut().enumerate();
    let shared =
        arrays.map(|(a, w)| View::of_words(w, launch.shared_elements(a), kernel.shared[a].elem)).collect();
    let analysis = launch.program.analysis(launch.kernel_index);
    let ctx = Context { launch, kernel, analysis, block, shared, observer };
    let mut lanes: Vec<Lane> = (0..launch.lanes()).map(|n| Lane::new(&ctx, n)).collect();
    let mut choices = launch.schedule().map(|s| s.choices(Purpose::Block(block)));
    loop {
        let n = lanes.len() as u64;
        let order = choices.as_mut().map_or(Order::ascending(n), |c| c.order(n));
        (0..n).for_each(|i| lanes[order.at(i) as usize].run(&ctx));
        let mut went_on = false;
        for group in lanes.chunks_mut(limits::SUBGROUP) {
            if missing(&ctx, group, &group[0], Scope::Subgroup).is_some_and(|m| m.is_empty()) {
                collectives::subgroup(&ctx, group);
                went_on = true;
            }
        }
        if went_on {
            continue;
        }
        if let Some(trap) =
            lanes.iter().find_map(|l| if let State::Trapped(t) = &l.state { Some(t) } else { None })
        {
            return Err(trap.clone());
        }
        let Some(waiting) = lanes.iter().position(|l| l.state != State::Ended) else {
            launch.end_block(block, lanes[0].phase());
            return Ok(());
        };
        let lane = &lanes[waiting];
        let absent = match collective(lane.inst(&ctx)) {
            Some(Scope::Subgroup) => {
                let first = waiting / limits::SUBGROUP * limits::SUBGROUP;
                let end = lanes.len().min(first + limits::SUBGROUP);
                missing(&ctx, &lanes[first..end], lane, Scope::Subgroup)
            }
            _ => missing(&ctx, &lanes, lane, Scope::Block),
        };
        match absent {
            Some(m) if m.is_empty() => collectives::block(&ctx, &mut lanes)?,
            absent => {
                let m = absent.unwrap_or_default();
                let detail =
                    TrapDetail::Missing { count: m.len() as u32, lanes: m.into_iter().take(8).collect() };
                return Err(lane.trap(&ctx, TrapKind::Sync, detail));
            }
        }
    }
}

/// The lanes of `group` that do not stand where `at` stands; `None` where `at` does not wait at an instruction of this scope.
fn missing(ctx: &Context<'_>, group: &[Lane], at: &Lane, scope: Scope) -> Option<Vec<u32>> {
    let waits = |l: &Lane| matches!(l.state, State::Waiting { .. });
    if !waits(at) || collective(at.inst(ctx)) != Some(scope) {
        return None;
    }
    Some(group.iter().filter(|l| !(waits(l) && l.is_with(at))).map(|l| l.number).collect())
}
