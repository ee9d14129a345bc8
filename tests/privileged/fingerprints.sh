#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The same blocking call is the same finding, wherever and however it is found: one fingerprint for each of a dozen libc calls, attached
# from outside, run, from inside, stripped, without any debug file on the machine, and of another build.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command objcopy strip unshare curl
need_program "$loopwatch" "$fixtures/calls" "$fixtures/calls_O0" "$build/bin/order_server"
cd "$work"
mkdir beside none
objcopy --only-keep-debug "$fixtures/calls" beside/calls.debug
strip -o beside/calls "$fixtures/calls"
objcopy --add-gnu-debuglink=beside/calls.debug beside/calls
strip -o none/calls "$fixtures/calls"
limits=(--threshold 20ms --block-threshold 5ms)
sins=$(sed -n 's/^SIN \(.*\)()$/\1/p' "$root/tests/fixtures/calls/calls.cpp")

# commit NAME: all of them, once the loop has been found.
commit() {
    local sin
    ask "$1" sleep_micro '^done' && ask "$1" sleep_micro '^done' || return 1
    for sin in $sins; do ask "$1" "$sin" "^done $sin" || return 1; done
}
# attached NAME PROGRAM [COMMAND…]: what starts loopwatch.
attached() {
    local name=$1 program=$2
    shift 2
    start_fixture "$name-target" "$program" "$work/$name.fifo"
    start_background "$name" "$@" "$loopwatch" -p "$target" --format ndjson "${limits[@]}"
    wait_output "$name" 15 '"type":"session_start"' || fail "$name: loopwatch did not start"
    local session_=$started
    commit "$name-target" || fail "$name: not done"
    tell "$name-target" quit
    ended_with "$session_" 20 || fail "$name: it does not end"
}
# ran NAME PROGRAM [OPTION…]
ran() {
    local name=$1 program=$2
    shift 2
    start_told "$name-target" "$loopwatch" run "$@" "${limits[@]}" --format ndjson -o "$name.out" -- "$program" "$work/$name.fifo"
    local session_=$started
    wait_output "$name-target" 15 '^ready' || fail "$name did not start"
    commit "$name-target" || fail "$name: not done"
    tell "$name-target" quit
    ended_with "$session_" 20 || fail "$name: it does not end"
}

attached attached "$fixtures/calls"
ran run "$fixtures/calls"
ran inside "$fixtures/calls" --inside
attached beside "$work/beside/calls"
# shellcheck disable=SC2016
attached none "$work/none/calls" unshare -m sh -c '[ ! -d /usr/lib/debug ] || mount -t tmpfs none /usr/lib/debug; exec "$@"' -
attached other_build "$fixtures/calls_O0"

# prints_of FUNCTION: "type fingerprint setting…" of what was found in it, a line a fingerprint.
prints_of() {
    /usr/bin/python3 - "$1" attached run inside beside none other_build <<'PY'
import collections, json, sys
found = collections.defaultdict(list)
for setting in sys.argv[2:]:
    for line in open(setting + ".out", encoding="utf-8"):
        x = json.loads(line)
        if x["type"] not in ("slow_callback", "blocking_call"): continue
        if any((f.get("function") or "").split("(")[0] == sys.argv[1] for f in x["stack"]) and setting not in found[x["type"], x["fingerprint"]]:
            found[x["type"], x["fingerprint"]].append(setting)
for (kind, print_), settings in sorted(found.items()): print(kind, print_, *settings)
PY
}
one_each() { [ "$(prints_of "$1" | awk 'NF == 8' | cut -d' ' -f1 | tr '\n' ' ')" = "blocking_call slow_callback " ] && [ "$(prints_of "$1" | wc -l)" = 2 ]; }
for sin in $sins; do check "$sin: one fingerprint in six settings" eval "one_each $sin || { prints_of $sin; false; }"; done
check "the debug file beside a program is found by its name" has_record beside "any((f.get('file') or '').endswith('calls.cpp') for x in of('slow_callback') for f in x['stack'])"
check "without one there are no lines" has_record none "all(not f.get('file') for x in of('slow_callback') for f in x['stack'])"

# What burns CPU is sampled: which of its functions a sample hits is chance, what most of them are below is not.
start_background burning "$loopwatch" run --format ndjson -o "$work/burns.out" -- "$build/bin/order_server"
session_=$started
wait_output burning 10 '^listening on' || fail "no server"
port=$(sed -n 's/^listening on .*://p' burning.out)
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s -m 10 -o /dev/null "http://127.0.0.1:$port/cpu" || fail "no answer"; done
kill -INT "$session_"
ended_with "$session_" 20 || fail "it does not end"
check_equal "twelve stalls of one callback that burns CPU have one fingerprint" "1 12" \
    "$(records burns "'%d %d' % (len({x['fingerprint'] for x in of('slow_callback')}), len(of('slow_callback')))")"
