#!/usr/bin/env bash
# Clippy over every target, warnings refused. --full: also in release form and with the sequential executor.
source "$(dirname "$0")/../lib.sh"
need clippy cargo clippy --version
run cargo clippy --workspace --all-targets --locked -- -D warnings
if ((full)); then
    run cargo clippy --workspace --all-targets --locked --release -- -D warnings
    run cargo clippy -p phalanx-exec -p phalanx --no-default-features --all-targets --locked -- -D warnings
fi
