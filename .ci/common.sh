# Sourced by the jobs beside it: where things are kept, and how a job proves that it ran.
# shellcheck shell=bash disable=SC2034

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# Whatever is worth keeping from one run to the next, outside the checkout.
cache=${COVE_CACHE:-$HOME/.cache/cove}
# Builds with other flags get folders of their own below this one, or they undo each other.
targets=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Installs the Debian packages among "command:package" pairs whose command is missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || die "not root, and these packages are missing: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
        >/dev/null
}

# Sums cargo's result lines of the given logs: prints "N passed, M failed".
tally() {
    awk '/^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^passed/) passed += $i
                if ($(i + 1) ~ /^failed/) failed += $i
            }
        }
        END { printf "%d passed, %d failed\n", passed, failed }' "$@"
}

# Runs a command that ends in cargo's result lines, prints "JOB: N passed, M failed", and fails
# unless it succeeded and at least one test ran: a filter that matches nothing is a mistake.
tested() {
    local log status=0 sum
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    sum=$(tally "$log")
    rm -f "$log"
    echo "$(basename "$0"): $sum"
    [ "$status" -eq 0 ] || die "exit status $status of: $*"
    [[ $sum != "0 passed"* ]] || die "no test ran"
    [[ $sum == *" 0 failed" ]] || die "some tests failed"
}
