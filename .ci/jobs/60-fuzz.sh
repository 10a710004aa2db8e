#!/usr/bin/env bash
# The generators against the oracles for a while. --full: a million cases of each target.
source "$(dirname "$0")/../lib.sh"
cases=2000
if ((full)); then cases=1000000; fi
note="$cases cases each"
run cargo run --release --locked -p phalanx-testkit --bin fuzz -- --cases "$cases"
