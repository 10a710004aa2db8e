#!/usr/bin/env bash
# Random launches from many threads on one executor and on shared buffers, under schedule seeds, compared with the reference
# executor, for half a minute from a seed that stays the same, so that the verdict is about the change. --full: for twenty minutes,
# from another seed each time, and the repository's programs under 1000 schedules each. For hours: `stress --seconds 36000`.
source "$(dirname "$0")/../lib.sh"
seconds=30 seed=1
if ((full)); then seconds=1200 seed=$(date +%s); fi
note="$seconds s, seed $seed"
run cargo run --release --locked -p phalanx-testkit --bin stress -- --seconds "$seconds" --seed "$seed"
if ((full)); then PHALANX_SCHEDULES=1000 run cargo test --release --locked -p phalanx --test bits -- --nocapture; fi
