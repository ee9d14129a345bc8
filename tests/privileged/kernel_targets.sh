#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Each target has thresholds of its own, which can be changed; one that is dismissed while it lives leaves nothing behind; the
# loops share the room for stacks.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command bpftool
need_program "$build/bin/tests/kernel_targets" "$fixtures/any_loop" "$fixtures/stall"

kept() { /usr/bin/python3 "$root/tests/privileged/lib/kept_state.py" "$session"; }
kept_of() { /usr/bin/python3 -c 'import json, sys; k = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$(kept)" "$1"; }
# counts NAME PID: what the session has seen of it, once its records have been read.
counts() {
    ask session "count $1" '^count' || fail "no answer"
    echo "${answer#count }"
}
# stalls NAME MS: 5 of them.
stalls() { ask "$1" "go sleep 5 $2" '^done' || fail "$1: not done"; }

for kind in probes plain; do
    if [ $kind = probes ]; then command=("$fixtures/stall" --dir "$work" sleep 1 1); else command=("$fixtures/any_loop" --dir "$work" epoll); fi
    start_fixture "low-$kind" "${command[@]}"
    low=$target
    start_fixture "high-$kind" "${command[@]}"
    high=$target
    start_fixture session "$build/bin/tests/kernel_targets" "$low" 20 "$high" 80
    session=$target
    for target in low high; do stalls "$target-$kind" 40; done
    check_equal "$kind: stalls of 40 ms are those of the target with a threshold of 20 ms" "5 5, 0 0" "$(counts "$low"), $(counts "$high")"
    for target in low high; do stalls "$target-$kind" 100; done
    check_equal "$kind: stalls of 100 ms are both targets'" "5 5, 5 5" "$(counts "$low"), $(counts "$high")"
    ask session "limit $low 80" '^limited' || fail "not limited"
    ask session "limit $high 20" '^limited' || fail "not limited"
    for target in low high; do stalls "$target-$kind" 40; done
    check_equal "$kind: thresholds can be exchanged" "0 0, 5 5" "$(counts "$low"), $(counts "$high")"

    # Asleep in a callback, which is counted in a filter.
    tell "low-$kind" 'go sleep 1 400'
    wait_until 2 sh -c "[ \"\$(cut -d' ' -f1 /proc/$low/task/*/syscall | grep -c '^\(35\|230\)\$')\" -gt 0 ]" || fail "it does not sleep"
    ask session "dismiss $low" '^dismissed' || fail "not dismissed"
    wait_output "low-$kind" 5 '^done' || true
    check_equal "$kind: one that is dismissed in a callback has no entry" "[1, 1, 0, 0]" "$(kept_of "[k['loops'], k['targets'], k['counters']['crowd_blocked'], k['counters']['stacks_taken']]")"
    check_equal "$kind: nor a question" "0" "$(/usr/bin/python3 "$root/tests/privileged/lib/kept_state.py" "$session" "$high" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["asked"])')"
    for target in low high; do stalls "$target-$kind" 100; done
    check_equal "$kind: and its stalls are not seen, the other's are" "0 0, 5 5" "$(counts "$low"), $(counts "$high")"
    stop "$session"
    for target in low high; do tell "$target-$kind" quit; done
done

# --- room for 4 stacks, and 6 loops that are blocked at a time ---
start_fixture six "$fixtures/stall" --loops 6 --dir "$work" sleep 1 100
six=$target
start_fixture session "$build/bin/tests/kernel_targets" --stacks 4 "$six" 20
session=$target
ask six go '^done' || fail "not done"
read -r slow blocks <<<"$(counts "$six")"
check_equal "without room for a stack a slow dispatch is reported all the same" 6 "$slow"
check "where it was blocked is not: $blocks" test "$blocks" -ge 1 -a "$blocks" -le 4
ask session 'loss stack_pool_empty' '^loss' || fail "no answer"
check "that is a loss: $answer" test "${answer#loss }" -ge $((6 - blocks))
check_equal "and once all loops idle, all stacks are free" "[0, 0]" "$(kept_of "[k['counters']['stacks_taken'], k['counters']['stacks_taken_by_pid']]")"
stop "$session"
tell six quit
