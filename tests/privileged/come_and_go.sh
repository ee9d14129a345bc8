#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Processes of one name start, stall, execute themselves, fork and end, eight at a time; one lives on beside them. Nothing of
# those that have ended stays in the kernel side's maps, nor in the session.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/privileged/lib/kept.sh"
need_bpf
need_command bpftool
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/visitor" "$fixtures/visitor_plain"
processes=200 at_once=8
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then processes=10000 at_once=16; fi
# Of the session, between the first 40 processes and the last: its caches are bounded, and malloc keeps what was free in between.
max_growth_kib=2048 max_more_mappings=40

name=lw-visitor-$$
mkdir "$work/neighbour" "$work/probes" "$work/plain"
cp "$fixtures/any_loop" "$work/neighbour/$name"
cp "$fixtures/visitor" "$work/probes/$name"
cp "$fixtures/visitor_plain" "$work/plain/$name"
start_fixture neighbour "$work/neighbour/$name" --dir "$work" epoll
neighbour=$target

# Fewer loops than processes come: a room that is not given back is missed.
start_background session "$loopwatch" -n "$name" --wait --format ndjson --threshold 50ms --max-loops 64 --interval 200ms
session=$started
wait_output session 15 '"type":"session_start"' || fail "no session"
wait_until 5 has_record session "any(x['pid'] == $neighbour and x['loops'] for x in of('target_start'))" || fail "the neighbour is not watched"

ways=(end thread exec fork exit kill) builds=(probes plain)
live_and_end() {
    local count=$1 one
    for ((one = 0; one < count; one++)); do
        while [ "$(jobs -pr | wc -l)" -ge $((at_once + background_jobs)) ]; do wait -n || true; done
        ("$work/${builds[one / 6 % 2]}/$name" "${ways[one % 6]}" || true) 2>/dev/null &
        if [ $((one % 50)) = 25 ]; then
            ask neighbour 'go sleep 1 100' '^done' || fail "the neighbour does not answer"
            stalls=$((stalls + 1))
        fi
    done
    while [ "$(jobs -pr | wc -l)" -gt "$background_jobs" ]; do wait -n || true; done
}
background_jobs=$(jobs -pr | wc -l) stalls=0

live_and_end 40
check "40 processes have come and gone: no map has an entry of theirs" wait_until 10 nothing_kept
first=$(kept)
live_and_end $((processes - 40))
check "$processes processes have: no map has an entry of theirs" wait_until 10 nothing_kept
last=$(kept)
check_as_before "after the first 40" "$first" "$last" $max_more_mappings $max_growth_kib
wait_until 5 has_record session "len([x for x in of('slow_callback') if x['pid'] == $neighbour]) >= $stalls" || true
end_session
check_equal "each of the neighbour's $stalls stalls is reported" "$stalls" \
    "$(records session "len([x for x in of('slow_callback') if x['pid'] == $neighbour and x['duration_ns'] >= 95e6])")"
check "most of the others' are: $(records session "len([x for x in of('slow_callback') if x['pid'] != $neighbour])")" has_record session \
    "len([x for x in of('slow_callback') if x['pid'] != $neighbour]) >= $((processes / 2))"
check_equal "there was room for each loop" 0 "$(records session "r[-1]['lost']['loops_untracked']")"
