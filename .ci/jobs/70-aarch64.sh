#!/usr/bin/env bash
# The tests on aarch64 under qemu: NEON, dotprod and i8mm, correctness only. Short form: the packages whose code differs
# by architecture and the programs that run on them. --full: every package.
# Needs Debian or Ubuntu as root. The compiler is the distribution's, as it comes with a matching arm64 library.
source "$(dirname "$0")/../lib.sh"
target=aarch64-unknown-linux-gnu
export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# No `-L /usr/aarch64-linux-gnu`: the loader of the cross package then meets the C library of libc6:arm64, a different
# revision, and the first new thread spins for ever. Without it both come from libc6:arm64.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max"

# A whole program, with a thread, from compiler to emulator: what shows that the tools are there and fit each other.
works() {
    local dir status=0
    dir=$(mktemp -d)
    echo 'fn main() { let n = std::thread::spawn(|| std::arch::is_aarch64_feature_detected!("i8mm")).join();
          assert!(n.unwrap()); println!("aarch64 with i8mm: works"); }' >"$dir/probe.rs"
    { "$RUSTC" --edition 2024 --target "$target" -C linker=aarch64-linux-gnu-gcc -o "$dir/probe" "$dir/probe.rs" &&
        timeout 20 qemu-aarch64 -cpu max "$dir/probe"; } || status=$?
    rm -rf "$dir"
    return "$status"
}

say "compiler, linker, emulator"
if ! works 2>/dev/null; then
    say "missing or not working: installing"
    export DEBIAN_FRONTEND=noninteractive
    run as_root dpkg --add-architecture arm64
    run as_root apt-get update -qq
    run as_root apt-get install -y -qq --no-install-recommends rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64 \
        libc6:arm64 libgcc-s1:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user >/dev/null
    works
fi
run "$RUSTC" -V

packages=(phalanx-isa phalanx-simd phalanx-atlas phalanx-kernels phalanx-exec phalanx-programs)
if ((full)); then select=(--workspace); else select=("${packages[@]/#/--package=}"); fi
# --tests: documentation tests would be built by rustdoc for no more coverage of the architecture.
log=$(mktemp)
run cargo +stable test --locked --target "$target" --target-dir target/aarch64 --tests "${select[@]}" 2>&1 | tee "$log"

# A run that tested nothing must not pass.
passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log")
rm -f "$log"
note="$passed tests"
say "$passed tests passed on aarch64"
((passed >= 40)) || { echo "fewer than 40 tests ran" >&2; exit 1; }
