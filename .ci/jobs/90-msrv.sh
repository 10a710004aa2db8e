#!/usr/bin/env bash
# The declared rust-version holds: no dependency asks for more, clippy finds no newer item of the standard library, and
# that very toolchain, where rustup can fetch it, accepts the libraries and binaries. --full: it must be fetched, and
# passes the tests too.
source "$(dirname "$0")/../lib.sh"
need clippy cargo clippy --version
run python3 .ci/dependencies.py rust-version
version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[[ -n $version ]] || { echo "Cargo.toml declares no rust-version" >&2; exit 1; }

say "the lint finds a planted violation"
planted=$(mktemp -d)
mkdir "$planted/src"
printf '[package]\nname = "planted"\nversion = "0.0.0"\nedition = "2021"\nrust-version = "1.70"\n[workspace]\n' >"$planted/Cargo.toml"
printf 'pub static X: std::sync::LazyLock<u8> = std::sync::LazyLock::new(|| 1);\n' >"$planted/src/lib.rs"
if cargo clippy --quiet --manifest-path "$planted/Cargo.toml" -- -D clippy::incompatible_msrv 2>"$planted/log"; then
    echo "clippy::incompatible_msrv accepted LazyLock under 1.70" >&2
    exit 1
fi
grep -q 'current MSRV' "$planted/log" || { cat "$planted/log" >&2; exit 1; }
rm -rf "$planted"
run cargo clippy --workspace --all-targets --locked -- -D clippy::incompatible_msrv

if cargo "+$version" --version >/dev/null 2>&1 || run rustup toolchain install "$version" --profile minimal; then
    run cargo "+$version" check --workspace --locked --target-dir target/msrv
    if ((full)); then run cargo "+$version" test --workspace --locked --target-dir target/msrv; fi
else
    say "NOT CHECKED with Rust $version itself, as rustup cannot fetch it here; the lint above is all there is"
    ((full == 0)) || exit 1
fi
