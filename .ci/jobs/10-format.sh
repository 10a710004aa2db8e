#!/usr/bin/env bash
# Formatting, and that every file derived from isa/*.toml is what `cargo xtask gen` writes. --full: the same, recorded.
source "$(dirname "$0")/../lib.sh"
need rustfmt cargo fmt --version
run cargo fmt --all --check
run cargo xtask gen --check
