//! Models of the hand-written synchronisation: the executor's own sources, compiled against loom's primitives, in all
//! interleavings of a few threads up to a bound on preemptions, and all values that the C11 orderings let a load see.
//!
//! ```text
//! RUSTFLAGS="--cfg phalanx_models" cargo test --release -p phalanx-exec --test models --target-dir target/models
//! ```
//!
//! Each model prints its bound and what it cost; `LOOM_MAX_PREEMPTIONS` sets another bound for all. What a model
//! checks without words: no deadlock, no access to a [`loom::cell::UnsafeCell`] without an order, no leak.
//! To add one: take the primitives in the source from `crate::primitive`, include the source below, write a model beside
//! the others.
#![cfg(phalanx_models)]
// The sources are included whole, and models use a part.
#![allow(dead_code, reason = "included sources have more than the models use")]

mod primitive;

#[path = "../../src/resonance/accumulator/growing.rs"]
mod growing;
#[path = "../../src/guards.rs"]
mod guards;

mod locking;
mod resonance;
mod running;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Runs a model with this bound on preemptions, and says what it cost.
fn model(preemptions: usize, work: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = *builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    let (began, tried) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&tried);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        work();
    });
    let name = std::thread::current().name().unwrap_or_default().to_string();
    let tried = tried.load(Ordering::Relaxed);
    println!("model {name}: {bound} preemptions at most, {tried} interleavings, {:.1?}", began.elapsed());
}
