#!/usr/bin/env bash
# Random launches from many threads on one executor and on shared buffers, under schedule seeds, compared with the reference
# executor, for half a minute. --full: for an hour; and the repository's programs under 1000 schedules each.
source "$(dirname "$0")/../lib.sh"
seconds=30
if ((full)); then seconds=3600; fi
note="$seconds s"
run cargo run --release --locked -p phalanx-testkit --bin stress -- --seconds "$seconds" --seed "$(date +%s)"
if ((full)); then PHALANX_SCHEDULES=1000 run cargo test --release --locked -p phalanx --test bits -- --nocapture; fi
