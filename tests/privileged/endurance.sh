#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Targets of one session start again every second, while a neighbour stalls regularly: each of its stalls is reported, what is missed
# of the others is counted, and afterwards nothing of them is kept. 50 of them for 4 s; with LOOPWATCH_FULL=1 200 for 10 minutes, or for
# LOOPWATCH_ENDURANCE_SECONDS.
# Runs alone: it judges durations, and memory.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/privileged/lib/kept.sh"
need_bpf
need_command bpftool python3
need_program "$loopwatch" "$fixtures/any_loop"
targets=50 seconds=4 warm_up=2
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then targets=200 seconds=${LOOPWATCH_ENDURANCE_SECONDS:-600} warm_up=10; fi
# Of the session, between its first seconds and the end: its caches are bounded, and malloc keeps what was free in between.
max_growth_kib=4096 max_more_mappings=40

name=lw-endures-$$
cp "$fixtures/any_loop" "$work/$name"
start_fixture neighbour "$work/$name" --dir "$work" epoll
neighbour=$target
start_background session "$loopwatch" -n "$name" --wait --format ndjson --threshold 50ms --max-loops 256 --interval 1s
session=$started
wait_output session 15 '"type":"session_start"' || fail "no session"
wait_until 5 has_record session "any(x['pid'] == $neighbour and x['loops'] for x in of('target_start'))" || fail "the neighbour is not watched"

stalls=0 restarts=0
# restart SECONDS: all of them, while the neighbour stalls.
restart() {
    start_background restarts /usr/bin/python3 "$root/tests/privileged/lib/restart.py" $targets "$1" "$work/$name" --dir "$work" epoll
    local driver=$started
    until is_gone_ "$driver"; do
        ask neighbour 'go sleep 1 100' '^done' || fail "the neighbour does not answer"
        stalls=$((stalls + 1))
        wait_until 0.5 is_gone_ "$driver" || true
    done
    wait "$driver" || fail "the targets do not restart"
    restarts=$((restarts + $(cat "$work/restarts.out")))
}

restart $warm_up
check "once they have ended no map has an entry of theirs" wait_until 15 nothing_kept
before=$(kept)
restart $seconds
check "$restarts starts later none has, either" wait_until 15 nothing_kept
after=$(kept)
check_as_before "before" "$before" "$after" $max_more_mappings $max_growth_kib
wait_until 10 has_record session "len([x for x in of('slow_callback') if x['pid'] == $neighbour]) >= $stalls" || true
end_session
check_equal "each of the neighbour's $stalls stalls is reported once" "$stalls" \
    "$(records session "len([x for x in of('slow_callback') if x['pid'] == $neighbour and x['duration_ns'] >= 95e6])")"
# Records, not pids: where pid_max is 32,768 numbers come again within 10 minutes.
watched=$(records session "len([x for x in of('target_start') if x['pid'] != $neighbour])")
with_loop=$(records session "len({x['pid'] for x in of('loop_stats')} - {$neighbour})")
missed=$(records session "r[-1]['lost']['processes_missed']")
log "$restarts started, $watched watched, $with_loop with statistics of their loop, $missed missed; lost: $(records session "{k: v for k, v in r[-1]['lost'].items() if v}")"
# One that was watched is missed, too, if it ended before its loop was seen.
check "each that was not watched is counted as missed" test "$restarts" -le $((watched + missed))
check "and none whose loop was seen" test "$restarts" -ge $((with_loop + missed))
check_equal "each that has a start has an end" "$(records session "len([x for x in of('target_start') if x['pid'] != $neighbour])")" \
    "$(records session "len([x for x in of('target_end') if x['pid'] != $neighbour])")"
