#!/usr/bin/env bash
# What the matrix products cost in instructions, against .ci/cost.tsv: callgrind counts of the scalar and AVX2 bodies, hot
# loops and their stack accesses from the disassembly for AVX-512. Both forms are the same. BLESS=1 writes the table.
source "$(dirname "$0")/../lib.sh"
for tool in valgrind objdump c++filt; do
    command -v "$tool" >/dev/null && continue
    run as_root apt-get update -qq
    run as_root apt-get install -y -qq --no-install-recommends valgrind binutils >/dev/null
done
# With names that say which kernel a function is. Only this crate is built so: the program that calls it is linked by hand.
run cargo rustc --release --locked -p phalanx-kernels --lib --target-dir target/cost -- -C symbol-mangling-version=v0
program=target/cost/cost
run rustc --edition 2024 -O -C symbol-mangling-version=v0 benches/cost.rs -o "$program" -L dependency=target/cost/release/deps \
    --extern phalanx_kernels=target/cost/release/libphalanx_kernels.rlib
run python3 .ci/cost.py "$program" target/cost/profiles ${BLESS:+--bless}
