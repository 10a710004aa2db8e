#!/usr/bin/env bash
# How much of the sources the tests reach, by lines, against what each part must have (the table below). Lines that no test can
# reach stand in a list beside the tests with the reason, and count as reached; a list that names a line which is not there fails.
# The short form measures the convolution kernels by their own tests; --full all parts, by the tests of their packages and of programs.
source "$(dirname "$0")/../lib.sh"
need llvm-tools-preview bash -c 'ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-cov'
cargo llvm-cov --version >/dev/null 2>&1 || run cargo install --locked cargo-llvm-cov

# Part, per cent of its lines, where they are.
parts=("convolution 99.9 crates/kernels/src/conv")
tests=(-p phalanx-kernels --lib --test conv --test conv_vectors)
if ((full)); then
    parts=(
        "convolution 99.9 crates/kernels/src/conv crates/exec/src/native/convolution.rs crates/phalanx/src/convolution.rs"
        "kernels 95 crates/kernels/src"
        "exec 95 crates/exec/src"
        "engine 95 crates/engine/src"
    )
    tests=(-p phalanx-kernels -p phalanx-exec -p phalanx -p phalanx-engine -p phalanx-tests --lib --tests)
fi
lines=$(mktemp)
if ((full)); then trap 'record $?; rm -f "$lines"' EXIT; else trap 'rm -f "$lines"' EXIT; fi
# A build of its own, so that others keep theirs.
export CARGO_LLVM_COV_TARGET_DIR=target/coverage
run cargo llvm-cov clean --profraw-only
run cargo llvm-cov --no-report "${tests[@]}"
cargo llvm-cov report --lcov --output-path "$lines"
said=$(python3 .ci/coverage.py "$lines" "${parts[@]}") || { echo "$said"; exit 1; }
echo "$said"
note=$(grep -o '^[a-z]* [0-9.]* %' <<<"$said" | paste -sd, -)
