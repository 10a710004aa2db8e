#!/usr/bin/env bash
# The checkers of kernels against labels, brute force, planted faults and random programs. --full: 10,000 random programs with
# barriers, 10,000 that pass flags and 2,000 that release and acquire everywhere, and Oclgrind (Debian package) on the same kernels:
# every true race that it finds must be found.
source "$(dirname "$0")/../lib.sh"
if ((full)); then
    export PHALANX_RACY_PROGRAMS=10000
    note="$PHALANX_RACY_PROGRAMS random programs of a kind, with oclgrind"
    if ! oclgrind-kernel --version >/dev/null 2>&1; then
        run as_root apt-get update -qq
        run as_root apt-get install -y -qq --no-install-recommends oclgrind
    fi
    run cargo test --locked -p phalanx-tests --test races -- --include-ignored --nocapture
else
    run cargo test --locked -p phalanx-tests --test races
fi
