//! Launches with a schedule (see [`crate::schedule`]): several blocks under way on each thread, and their chunks taking turns.

use super::chunk::Stop;
use super::decode::Program;
use super::{BlockState, Lent, StatePool};
use crate::launch::Launch;
use crate::schedule::{Purpose, Schedule};
use crate::trap::LaneTrap;
use crate::workers::queue::{Lowest, Queue};
use crate::workers::{FloatMode, Grain, run_blocks};

/// Blocks under way on a thread at most.
const UNDER_WAY: usize = 4;

/// Runs all blocks of a launch whose blocks have so many chunks.
pub(super) fn run(
    launch: &Launch<'_>,
    program: &Program,
    schedule: Schedule,
    chunks: usize,
    states: &StatePool<'_>,
) -> Result<(), LaneTrap> {
    let mut choices = schedule.choices(Purpose::Launch);
    let blocks = launch.blocks();
    let threads = launch.threads();
    // Both kinds of workers and both ways to split a launch are among the schedules.
    let grain = if choices.one_in(2) { Grain::Short } else { Grain::Coarse };
    if threads > 1 && chunks > 1 && launch.check.is_none() && (blocks == 1 || choices.one_in(2)) {
        let run = |s: &mut Lent<'_>, block| s.get().run_block(program, launch, block, threads);
        return run_blocks(launch, 1, grain, || states.take(), run);
    }
    let threads = (threads as u64).min(blocks).max(1) as usize;
    let order = launch.block_order();
    let traps = Lowest::new();
    let queue = Queue::new(blocks, 1);
    let work = |worker: usize| {
        let _float_mode = FloatMode::nearest_with_denormals();
        let mut choices = schedule.choices(Purpose::Worker(worker as u64));
        let mut under_way: Vec<(u64, Lent<'_>)> = Vec::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            if more && under_way.len() < UNDER_WAY && (under_way.is_empty() || choices.one_in(2)) {
                let next = queue.take().map(|piece| order.at(piece.start));
                more = next.is_some();
                if let Some(block) = next.filter(|b| !traps.is_below(*b)) {
                    let mut state = states.take();
                    match state.get().begin(program, launch, block) {
                        Ok(()) => under_way.push((block, state)),
                        Err(trap) => traps.add(block, trap),
                    }
                }
                continue;
            }
            let turn = choices.below(under_way.len());
            let (block, state) = &mut under_way[turn];
            let ended = traps.is_below(*block)
                || state.get().turn(program, launch, *block).unwrap_or_else(|trap| {
                    traps.add(*block, trap);
                    true
                });
            if ended {
                under_way.swap_remove(turn);
            }
            if threads > 1 && choices.one_in(4) {
                std::thread::yield_now();
            }
        }
    };
    if threads == 1 {
        work(0);
    } else {
        launch.workers.run(threads, grain, &work);
    }
    traps.into_inner().map_or(Ok(()), Err)
}

impl BlockState {
    /// Lets one chunk run until it stops, and once all have, goes on to the next interval. True: the block has come to its end.
    fn turn(&mut self, program: &Program, launch: &Launch<'_>, block: u64) -> Result<bool, LaneTrap> {
        self.with_env(program, launch, block, true, |state, env| {
            let ready = state.chunks.iter().filter(|c| c.stop == Stop::Yielded).count();
            let chosen = state.choices.below(ready.max(1));
            if let Some(chunk) = state.chunks.iter_mut().filter(|c| c.stop == Stop::Yielded).nth(chosen) {
                chunk.run_with(&mut state.check, env);
            }
            if state.chunks.iter().any(|c| c.stop == Stop::Yielded) {
                return Ok(false);
            }
            let ended = state.pass(env)?;
            state.chunks.iter_mut().for_each(|c| c.stop = Stop::Yielded);
            Ok(ended)
        })
    }
}
