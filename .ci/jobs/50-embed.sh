#!/usr/bin/env bash
# The embedding example builds and runs, on threads and without. It is either an example of the crate or, with a manifest
# of its own, a package that stands outside the workspace as an embedder's would. --full: in release form too.
source "$(dirname "$0")/../lib.sh"
embed() {
    if [[ -f crates/phalanx/examples/embed/Cargo.toml ]]; then
        run cargo run "$@" --manifest-path crates/phalanx/examples/embed/Cargo.toml --target-dir target/embed
    else
        run cargo run "$@" -p phalanx --example embed --locked
        run cargo run "$@" -p phalanx --example embed --locked --no-default-features
    fi
}
embed
if ((full)); then embed --release; fi
