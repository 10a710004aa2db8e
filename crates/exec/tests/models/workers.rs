//! The sources of the executor's `workers` that synchronise.

pub type Task<'a> = &'a (dyn Fn(usize) + Sync);

#[path = "../../src/workers/queue.rs"]
pub mod queue;
#[path = "../../src/workers/spin.rs"]
pub mod spin;
