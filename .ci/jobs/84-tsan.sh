#!/usr/bin/env bash
# The executor under ThreadSanitizer, with a standard library that is instrumented too, at the scalar and the best SIMD level: its
# concurrency and schedule tests. No suppressions. A planted race must be reported at its line, or the job fails.
# --full: the tests of all packages but those of the command line, of the sources' shape and of the benches.
# Of masked and gathering vector instructions ThreadSanitizer sees nothing; that is why the scalar level runs too, where every
# access is an ordinary one.
#
# Needs Debian or Ubuntu as root, unless it has the packages already: their compiler comes with the sources of its library,
# which rustup does not offer everywhere. The runtime comes from the toolchain that cargo uses.
source "$(dirname "$0")/../lib.sh"
target=x86_64-unknown-linux-gnu
libs=/usr/lib/rustlib/$target/lib
runtime=$libs/librustc-stable_rt.tsan.a
own=$(rustc --print sysroot)/lib/rustlib/$target/lib

installed() {
    [[ -x /usr/bin/rustc && -f /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]] && compgen -G "$libs/libstd-*.rlib" >/dev/null &&
        command -v addr2line >/dev/null
}
if ! installed; then
    say "compiler with library sources: installing"
    export DEBIAN_FRONTEND=noninteractive
    run as_root apt-get update -qq
    # binutils: addr2line, which turns addresses in reports into lines.
    run as_root apt-get install -y -qq --no-install-recommends rustc-web rust-web-src libstd-rust-web-dev binutils >/dev/null
    installed
fi
if [[ ! -f $runtime ]]; then
    archives=("$own"/librustc-*_rt.tsan.a)
    run as_root cp "${archives[0]}" "$runtime"
fi

export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread CARGO_INCREMENTAL=0
export TSAN_OPTIONS=halt_on_error=1 RUST_BACKTRACE=0
run "$RUSTC" -V
log=$(mktemp)
if ((full)); then trap 'record $?; rm -f "$log"' EXIT; else trap 'rm -f "$log"' EXIT; fi
tsan() { cargo test --locked -Zbuild-std --target "$target" --target-dir target/tsan "$@"; }

concurrent=(-p phalanx-exec --test concurrency --test schedules)
run tsan "${concurrent[@]}" 2>&1 | tee "$log"

say "the planted race is reported"
source=crates/exec/tests/concurrency.rs
line=$(grep -n 'place.0.get() += 1' "$source" | cut -d: -f1)
if tsan -p phalanx-exec --test concurrency -- --ignored --exact planted_race >"$log.planted" 2>&1; then
    echo "ThreadSanitizer lets the planted race pass" >&2
    exit 1
fi
seen=0
grep -q 'ThreadSanitizer: data race' "$log.planted" && grep -q "concurrency.rs:$line" "$log.planted" && seen=1
((seen)) || cat "$log.planted" >&2
rm -f "$log.planted"
((seen)) || { echo "the planted race is not reported at $source:$line" >&2; exit 1; }
say "reported at $source:$line"

if ((full)); then
    others=(--exclude phalanx-cli --exclude phalanx-tests --exclude phalanx-benches --exclude xtask)
    run tsan --workspace "${others[@]}" --tests 2>&1 | tee -a "$log"
    run tsan -p phalanx-tests --test races 2>&1 | tee -a "$log"
fi

# A run that tested nothing must not pass.
passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log")
note="$passed tests"
say "$passed tests passed under ThreadSanitizer, no suppressions"
((passed >= 14)) || { echo "fewer than 14 tests ran" >&2; exit 1; }
