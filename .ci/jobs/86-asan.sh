#!/usr/bin/env bash
# AddressSanitizer with leak detection on the crates that have unsafe code. Planted faults (a read past a heap block, a leak)
# must be reported. --full: all tests of the workspace but those of the command line, which start processes.
# The toolchain's own runtime and library serve: what is checked are our accesses and all of the heap.
source "$(dirname "$0")/../lib.sh"
target=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_INCREMENTAL=0 ASAN_OPTIONS=detect_leaks=1

dir=$(mktemp -d)
if ((full)); then trap 'record $?; rm -rf "$dir"' EXIT; else trap 'rm -rf "$dir"' EXIT; fi
# A program whose fault is its first argument.
cat >"$dir/planted.rs" <<'END'
fn main() {
    let block = std::hint::black_box(vec![1u8; 16]);
    match std::env::args().nth(1).as_deref() {
        Some("past") => println!("{}", unsafe { std::ptr::read_volatile(block.as_ptr().add(16)) }),
        Some("leak") => std::mem::forget(std::hint::black_box(vec![7u64; 1000])),
        _ => println!("{}", block[15]),
    }
}
END
rustc --edition 2024 --target "$target" $RUSTFLAGS -o "$dir/planted" "$dir/planted.rs"
say "planted faults are reported"
"$dir/planted" none >/dev/null
for fault in past:heap-buffer-overflow leak:'detected memory leaks'; do
    if "$dir/planted" "${fault%%:*}" >"$dir/log" 2>&1 || ! grep -q "${fault#*:}" "$dir/log"; then
        cat "$dir/log" >&2
        echo "a planted fault (${fault%%:*}) went through" >&2
        exit 1
    fi
done

# The crates that tests/arch.rs lets have unsafe code.
mapfile -t folders < <(sed -n '/^const UNSAFE/,/;/p' tests/arch.rs | grep -o '"crates/[^"]*"' | tr -d '"' | cut -d/ -f2)
((${#folders[@]} >= 1)) || { echo "tests/arch.rs names no crate with unsafe code" >&2; exit 1; }
select=("${folders[@]/#/--package=phalanx-}")
if ((full)); then select=(--workspace --exclude phalanx-cli); fi
run cargo test --no-fail-fast --locked --target "$target" --target-dir target/asan --tests "${select[@]}" 2>&1 | tee "$dir/log"
passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$dir/log")
note="$passed tests"
say "$passed tests passed under AddressSanitizer"
((passed >= 100)) || { echo "fewer than 100 tests ran" >&2; exit 1; }
