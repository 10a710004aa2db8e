#!/usr/bin/env bash
# The documentation builds without a warning (broken links among them). --full: private items too.
source "$(dirname "$0")/../lib.sh"
export RUSTDOCFLAGS=-Dwarnings
run cargo doc --workspace --no-deps --locked
if ((full)); then
    run cargo doc --workspace --no-deps --locked --document-private-items
fi
