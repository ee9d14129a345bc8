#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 23 provoked stalls of each kind are 23 findings, each right in kind, call, function, task, duration and split; a healthy program
# under load is none, and the same session then reports the one stall it provokes. The scores go to BUILD_DIR/truth.json.
#
# With LOOPWATCH_FULL=1: default thresholds and stalls of 150 ms, and 30 s of health instead of 5.
# Runs alone: it judges durations, and that healthy programs are not reported.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command addr2line mkfifo
need_program "$loopwatch" "$fixtures/stall" "$fixtures/clean_loop" "$fixtures/stripped/stall_on_library"

judge() { /usr/bin/python3 "$root/tests/truth/judge.py" "$@"; }
rows=$work/rows.ndjson
count=23  # a prime: no divisor of it could hide
if [ -n "${LOOPWATCH_FULL:-}" ]; then
    ms=150 thresholds=() healthy_seconds=30
else
    ms=50 thresholds=(--threshold 25ms --block-threshold 5ms) healthy_seconds=5
fi

# provoke NAME KIND PROGRAM…: stalls of KIND under a session of their own. Leaves NAME.out (truth) and NAME-report.out.
provoke() {
    local name=$1 kind=$2
    shift 2
    # Of a mixed one only a part burns: long enough to be sampled on a busy machine.
    local length=$ms
    if [ "$kind" = mixed ]; then length=$((2 * ms)); fi
    start_fixture "$name" "$@" --dir "$work" "$kind" "$count" "$length"
    watch "$name-report" "$target" "${thresholds[@]}"
    ask "$name" go '^done' 120 || fail "$name: not done"
    end_session
    check_equal "$name: the session ends with 0" 0 "$stopped_status"
    tell "$name" quit
    stop "$target"
}

# judge_case NAME KIND COUNT [OPTION…]
judge_case() {
    local name=$1 kind=$2 expected=$3
    shift 3
    check "$name: $expected stalls, $expected right findings, no other" \
        judge case "$kind" --name "$name" --count "$expected" --truth "$work/$name.out" --report "$work/$name-report.out" --rows "$rows" "$@"
}

on_disk() { [[ $(stat -f -c %T "$work") != tmpfs ]]; }

for kind in sleep page_edge two_callers many_small_sleeps fsync lock cpu pipe read_pipe network dns process system nested_wait file_lock page_fault mixed; do
    if [[ $kind =~ ^(fsync|page_fault)$ ]] && ! on_disk; then
        skip_check "$kind" "$work is a tmpfs: nothing there waits for a disk"
        continue
    fi
    provoke "$kind" "$kind" "$fixtures/stall"
    judge_case "$kind" "$kind" "$count"
done

provoke two_loops lock "$fixtures/stall" --loops 2
judge_case two_loops lock $((2 * count))

# All code in a shared library, everything stripped: tasks keep their names, frames their module and offset.
provoke stripped sleep "$fixtures/stripped/stall_on_library"
judge_case stripped sleep "$count" --unstripped "$fixtures/unstripped"

# --- health ---
start_fixture clean "$fixtures/clean_loop" 2
watch clean-report "$target"
ask clean count '^count'
before=${answer#count }
# Not a synchronisation: the time that the program is to be healthy.
sleep "$healthy_seconds"
ask clean idle '^idle' || fail "clean_loop does not rest"
ask clean count '^count'
after=${answer#count }
check_silent "a healthy program under load is no finding, nor are 300 ms of rest" clean-report
ask clean stall '^stall'
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
least=$((after - before > 100000 ? after - before : 100000))
check "the same session counted its dispatches ($least and more) and reported the one stall it provoked" \
    judge clean --truth "$work/clean.out" --report "$work/clean-report.out" --dispatches "$least" --rows "$rows"
tell clean quit

judge table "$rows" "$build/truth.json"
