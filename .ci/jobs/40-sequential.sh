#!/usr/bin/env bash
# The executor without threads: it must not depend on rayon, and must pass the same tests. --full: in release form too.
source "$(dirname "$0")/../lib.sh"
packages=(-p phalanx-exec -p phalanx)

say "no rayon without the default features"
tree=$(cargo tree "${packages[@]}" --no-default-features -e normal --prefix none --locked)
grep -q '^phalanx-exec ' <<<"$tree" # the list must have been read at all
if grep '^rayon' <<<"$tree"; then
    echo "the sequential build still depends on rayon" >&2
    exit 1
fi
run cargo build "${packages[@]}" --no-default-features --locked
# Several tests read rendered diagnostics: `render` has nothing to do with threads.
run cargo test -p phalanx-exec --no-default-features --locked
run cargo test -p phalanx --no-default-features --features render --locked

say "the programs leave the same bits in both builds"
bits() { cargo test -p phalanx --test bits --locked "$@" -- --nocapture 2>&1 | grep '^bits: '; }
with=$(bits) && without=$(bits --no-default-features --features render)
echo "with threads $with, without $without"
[[ $with == "$without" ]] || { echo "the sequential build leaves other bits" >&2; exit 1; }
if ((full)); then
    run cargo test --release -p phalanx-exec --no-default-features --locked
    run cargo test --release -p phalanx --no-default-features --features render --locked
fi
