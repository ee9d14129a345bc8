#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# loopwatch passes its own test: a session under ten thousand findings a second, with a reader of its report that is slow and targets that
# come and go, has no callback of 20 ms of its own. Measured when this was written: 31 ms before probes were attached and threads sampled
# beside others, 8 since.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/flood" "$fixtures/stall"
rounds=8

# A reader that takes 200 KB a second.
mkfifo "$work/slow"
# shellcheck disable=SC2016
start_background reader bash -c 'while sleep 0.02; do head -c 4000; done <"$1"' - "$work/slow"
start_fixture stays "$fixtures/flood"
start_background watched "$loopwatch" -n flood --threshold 1ms --interval 200ms --format ndjson -o "$work/slow"
watched=$started
wait_output reader 15 '"type":"session_start"' || fail "the watched session did not start"
watch watching "$watched" --threshold 20ms

# Of a process that floods and ends: it is attached to meanwhile.
visit() {
    start_told "visitor-$1" "$fixtures/flood"
    local visitor=$started
    wait_output "visitor-$1" 10 '^ready' || return 1
    ask "visitor-$1" 100 '^flooded' && sleep 0.3 && tell "visitor-$1" quit && wait_until 5 is_gone_ "$visitor"
}
for ((i = 0; i < rounds; ++i)); do
    ask stays 10000 '^flooded' || fail "no flood"
    visit "$i" || fail "no visitor"
done
end_session
stop "$watched" INT 15
check_equal "the watched session ends with 0" 0 "$stopped_status"
wait_until 5 has_lines_ reader '"type":"session_end"' 1 || true
check "it has seen $((rounds * 10000)) findings, and each of its targets" has_record reader \
    "r[-1]['counts']['coroutine_never_awaited'] + r[-1]['lost']['ring_full'] >= $((rounds * 10000)) and len(of('target_start')) == $((rounds + 1))"
check "its loop is seen: its callbacks are counted, $(records watching "r[-1]['dispatches']")" has_record watching "r[-1]['dispatches'] > 200 and of('target_start')[0]['loops']"
# What it waited for a CPU is the machine's.
own="[round((x['duration_ns'] - x['breakdown']['runq_ns']) / 1e6, 1) for x in slow]"
check_equal "not one callback held it for 20 ms by itself: at most $(records watching "round(r[-1]['dispatch_ns']['max'] / 1e6, 1)") ms" \
    "[]" "$(records watching "[ms for ms in $own if ms >= 20]")"
tell stays quit
