# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Builds, runs tests one after the other and keeps the score. For scripts/test and scripts/bench; needs log.sh, $build and, if
# only some tests are wanted, $only.

only=${only:-}
rows_=() failures_=0 flaky_=0
# A test that hangs must not take the others with it. The longest one takes about a minute on two cores.
test_seconds_limit=${LOOPWATCH_TEST_SECONDS:-600}

# configure_and_build SOURCE BUILD [TARGET…]: everything, or these; a directory that is configured keeps its generator and its
# options.
configure_and_build() {
    local generator=()
    if [ ! -e "$2/CMakeCache.txt" ] && command -v ninja >/dev/null; then generator=(-G Ninja); fi
    cmake -S "$1" -B "$2" "${generator[@]}" >"$(log_file_ configure)" 2>&1 || give_up_ configure
    cmake --build "$2" --parallel "$(nproc)" ${3:+--target "${@:3}"} >"$(log_file_ build)" 2>&1 || give_up_ build
}

log_file_() {
    mkdir -p "$build/test-logs"
    printf '%s' "$build/test-logs/${1//\//_}.log"
}

give_up_() {
    cat "$(log_file_ "$1")" >&2
    die "cannot $1"
}

# run_test NAME COMMAND…: 0 passed, 77 skipped with the reason on its last line, all else failed. Only failures show their output.
run_test() {
    local name=$1 began
    shift
    if [ -n "$only" ] && ! [[ $name =~ $only ]]; then return 0; fi
    began=$(date +%s%N)
    try_ "$name" "$@"
    # What these hold against the truth happens on a machine that others share: one of 500 context switches is not seen by any tracer of
    # a VM, and some are of the moment that counts. Once more, and said: a test that fails by itself fails twice, and each flaky one is
    # to be looked into (its first log is kept).
    if [[ $verdict_ == FAIL* && $name =~ ^(contract|privileged|truth)/ ]]; then
        mv "$(log_file_ "$name")" "$(log_file_ "$name.first")"
        try_ "$name" "$@"
        if [[ $verdict_ == pass ]]; then
            flaky_=$((flaky_ + 1))
            verdict_="pass, run again (flaky)"
        fi
    fi
    if [[ $verdict_ == FAIL* ]]; then failures_=$((failures_ + 1)); fi
    add_row_ "$name" "$verdict_" "$(awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.1f", ns / 1e9 }')"
}

# try_ NAME COMMAND…: once; what came of it in $verdict_.
try_() {
    local name=$1 status=0 log
    shift
    log=$(log_file_ "$name")
    timeout --kill-after=20 "$test_seconds_limit" "$@" >"$log" 2>&1 </dev/null || status=$?
    case $status in
    0) verdict_=pass ;;
    77) verdict_="skipped ($(tail -n 1 "$log" | sed 's/^skipped: *//'))" ;;
    124 | 137) verdict_="FAIL (not done after $test_seconds_limit s)" ;;
    *) verdict_="FAIL (status $status)" ;;
    esac
    if [[ $verdict_ == FAIL* ]]; then
        printf -- '--- %s\n' "$name"
        cat "$log"
        printf -- '---\n'
    fi
}

add_row_() {
    rows_+=("$1"$'\t'"$3"$'\t'"$2")
    printf '%-36s %8s s  %s\n' "$1" "$3" "$2"
}

# run_group GROUP: every executable script of tests/GROUP, with the build directory as its argument.
run_group() {
    local script found=
    for script in "tests/$1"/*.sh; do
        if [ -f "$script" ] && [ -x "$script" ]; then
            found=1
            run_test "$1/$(basename "$script" .sh)" "$script" "$build"
        fi
    done
    [ -n "$found" ] || log "tests/$1: nothing there"
}

# summary: the table once more, in one piece; ends the script with the verdict.
summary() {
    [ ${#rows_[@]} -gt 0 ] || die "no test matches '$only'"
    local row
    printf '\n%-36s %9s   %s\n' test seconds result
    for row in "${rows_[@]}"; do
        IFS=$'\t' read -r name seconds verdict <<<"$row"
        printf '%-36s %9s   %s\n' "$name" "$seconds" "$verdict"
    done
    printf '\n%s tests, %s failed, %s skipped, %s flaky\n' ${#rows_[@]} "$failures_" \
        "$(printf '%s\n' "${rows_[@]}" | grep -c $'\tskipped' || true)" "$flaky_"
    [ "$failures_" -eq 0 ] || exit 1
}
