#!/usr/bin/env bash
# Licences and sources of the dependencies against deny.toml, from `cargo metadata` (seconds, no tool to build).
# --full: cargo-deny, built when missing (many minutes on two cores): bans, licences, sources, and advisories. Where the
# advisory database cannot be fetched the advisories are left out, and output and record say so.
source "$(dirname "$0")/../lib.sh"
if ! python3 -c 'import tomllib' 2>/dev/null; then # Python 3.11 or later
    run as_root apt-get update -qq
    run as_root apt-get install -y -qq --no-install-recommends python3
fi
run python3 .ci/dependencies.py licences
if ((full)); then
    cargo deny --version >/dev/null 2>&1 || run cargo install --locked cargo-deny
    # cargo-deny wants git for the database; a failure to fetch is told from a finding by fetching first.
    if run cargo deny fetch db; then
        run cargo deny check
        note="with advisories"
    else
        say "NOT CHECKED: advisories, as the advisory database cannot be fetched from here"
        run cargo deny check bans licenses sources
        note="bans, licences, sources; advisory database not reachable"
    fi
fi
