#!/usr/bin/env bash
# The generators against the oracles for a while. --full: a million random bodies and a million damaged modules, 200 000 texts and
# model files each, and 50 000 random programs, whose comparison takes longest.
source "$(dirname "$0")/../lib.sh"
fuzz() { run cargo run --release --locked -p phalanx-testkit --bin fuzz -- "$@"; }
if ((full)); then
    note="a million bodies, a million modules, 200 000 texts, 200 000 models, 50 000 programs"
    run cargo build --release --locked -p phalanx-testkit --bin fuzz
    pids=()
    for part in bodies:1000000 modules:1000000 texts:200000 models:200000; do
        kind=${part%:*}
        fuzz --cases "${part#*:}" --only "$kind" >"target/fuzz-$kind.log" 2>&1 &
        pids+=($!)
    done
    failed=0
    fuzz --cases 50000 --only programs || failed=1
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    for kind in bodies modules texts models; do tr '\r' '\n' <"target/fuzz-$kind.log" | tail -n 3; done
    exit "$failed"
fi
fuzz --cases 2000
