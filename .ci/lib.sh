# shellcheck shell=bash
# Sourced by every job: strict mode, the repository root as the working directory, the --full flag and its record.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=never
job=$(basename "$0" .sh)
full=0
case "$#:${1-}" in
    0:) ;;
    1:--full) full=1 ;;
    *) echo "usage: bash .ci/jobs/$job.sh [--full]" >&2; exit 2 ;;
esac

note="" # what the record should say beyond the verdict; a job may set it
# One line of the committed record: when, which commit ("+" for uncommitted changes), what, how it went, how long it took.
record() {
    local status=$1 verdict=ok commit dirty=""
    ((status == 0)) || verdict="FAILED (status $status)"
    commit=$(git rev-parse --short=10 HEAD 2>/dev/null || echo unknown)
    [[ -z $(git status --porcelain -- . ':!.ci/full.log' 2>/dev/null) ]] || dirty=+
    printf '%s  %s%s  %s  %s  %s s%s\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$commit" "$dirty" "$job" "$verdict" "$SECONDS" \
        "${note:+  $note}" >>.ci/full.log
}
if ((full)); then trap 'record $?' EXIT; fi
# A job that is stopped has not passed: without these the trap above would see the status of the command before.
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf -- '-- %s\n' "$*"; }
run() { say "$*"; "$@"; }
as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

# need COMPONENT COMMAND...: the command proves that a rustup component works; installs it otherwise, then asks again.
need() {
    local component=$1
    shift
    "$@" >/dev/null 2>&1 && return
    run rustup component add "$component"
    "$@" >/dev/null
}
