#!/usr/bin/env bash
# The executor's hand-written synchronisation under loom: its sources with loom's primitives, all interleavings up to a bound
# on preemptions that each model states (2 or 3, with three threads 1). --full: one more for all.
source "$(dirname "$0")/../lib.sh"
export RUSTFLAGS="--cfg phalanx_models" RUST_BACKTRACE=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ((full)); then trap 'record $?; rm -f "$log"' EXIT; fi

models() { cargo test --release --locked -p phalanx-exec --test models --target-dir target/models -- --nocapture "$@"; }
run models 2>&1 | tee "$log"
if ((full)); then
    LOOM_MAX_PREEMPTIONS=2 run models two_workers
    LOOM_MAX_PREEMPTIONS=3 run models two_callers barrier_between beside_a_reader
    LOOM_MAX_PREEMPTIONS=4 run models one_worker never_used queue lowest copies bound_twice
fi

# A run that modelled nothing must not pass, nor one in which a planted fault stays unseen.
models=$(grep -c '^model ' "$log") || true
planted=$(grep -c 'a_planted_.* should panic ... ok' "$log") || true
note="$models models, $planted planted faults found"
say "$note"
((models >= 12 && planted >= 3)) || { echo "fewer than 12 models or 3 planted faults" >&2; exit 1; }
