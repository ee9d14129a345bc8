#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The verdicts of scripts/lib/test.sh, on which every other shell test relies: a test script that breaks, or checks nothing, must
# not pass, and what it started must not outlive it.
# Runs beside others: its waits are its own processes.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"

mkdir -p "$work/tests/group"
ln -s "$root/scripts" "$work/scripts"

# verdict STATUS SENTENCE BODY: a test script with this body ends with that status.
verdict() {
    # The sourced line is the script's text, not ours to expand.
    # shellcheck disable=SC2016
    printf '. "%s/scripts/lib/test.sh"\n%s\n' "$work" "$3" >"$work/tests/group/it.sh"
    check_status "$2" "$1" bash "$work/tests/group/it.sh" "$work"
}

verdict 0 "checks that hold: passed" 'check "it is true" true; check_not "it is not" false; check_equal "same" a a; check_status "three" 3 sh -c "exit 3"'
verdict 1 "a check that does not hold: failed, and the script goes on" 'check "it is true" false; check "still here" true'
check "and shows what it did" grep -q 'ok      still here' "$work/stdout"
verdict 1 "a command that fails unlooked at: failed" 'check "it is true" true; false; check "never reached" true'
check_not "and goes no further" grep -q 'never reached' "$work/stdout"
verdict 1 "check_not of what succeeds: failed" 'check_not "it is not" true'
verdict 1 "check_equal of what differs: failed" 'check_equal "same" a b'
verdict 1 "check_status of another status: failed" 'check_status "three" 3 sh -c "exit 4"'
verdict 1 "no check at all: failed" 'true'
verdict 1 "fail: failed" 'check "it is true" true; fail "no use"'
verdict 1 "skipped after a failure: failed" 'check "it is true" false; skip "no kernel"'
verdict 77 "skip: skipped" 'skip "no kernel"'
check_equal "with the reason on the last line" "skipped: no kernel" "$(tail -n 1 "$work/stdout")"
verdict 77 "every check skipped: skipped" 'skip_check "a" "no kernel"'
verdict 0 "some checks skipped: passed" 'check "it is true" true; skip_check "a" "no kernel"'
verdict 1 "no handshake in time: failed" 'start_background silent sleep 60; wait_output silent 0.2 hello; check "never" true'
verdict 0 "the status of a program that was stopped is known" \
    'start_background it sh -c "trap \"exit 5\" TERM; echo ready; while :; do sleep 0.01; done"; wait_output it 5 ready; stop "$started"; check_equal "its own" 5 "$stopped_status"'

verdict 0 "a script may leave a program behind" 'start_background it sleep 4711; echo "pid $started"; check "it runs" kill -0 "$started"'
check_not "which does not outlive it" kill -0 "$(sed -n 's/^pid //p' "$work/stdout")"
