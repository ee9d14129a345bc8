#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What does not reach the report is counted, to the last one: written + suppressed + lost = provoked.
# Runs alone: it counts findings, of which a busy machine makes more.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/stall" "$fixtures/flood"

written_() { records "$1" "len(of('$2'))"; }
suppressed_() { records "$1" "r[-1]['suppressed'].get('$2', 0)"; }
counted_() { records "$1" "r[-1]['counts'].get('$2', 0)"; }
lost_() { records "$1" "r[-1]['lost'].get('$2', 0)"; }
lost_at_all_() { records "$1" "{name: n for name, n in r[-1]['lost'].items() if n and name != 'switch_unseen'}"; }

# --- more findings than may travel: 100 a second of one fingerprint ---
# At real-time priority: a dispatch that merely waited for a CPU would be slow as well, and one too many here.
need_command chrt
start_fixture many chrt -f 1 "$fixtures/stall" --loops 4 --dir "$work" sleep 151 12
watch many-session "$target" --threshold 8ms --block-threshold 8ms
ask many go '^done' 60 || fail "not done"
end_session
for type in slow_callback blocking_call; do
    check "$type: over the limit, some are suppressed" test "$(suppressed_ many-session $type)" -gt 0
    check_equal "$type: written and suppressed are the 604 provoked" 604 \
        $(($(written_ many-session $type) + $(suppressed_ many-session $type)))
    check_equal "$type: and so says the summary" 604 "$(counted_ many-session $type)"
done
check_equal "none is lost" "{}" "$(lost_at_all_ many-session)"
check "the report says that it is limited, and why" has_record many-session \
    "r[-1]['completeness'] == 'limited' and '$(($(suppressed_ many-session slow_callback) + $(suppressed_ many-session blocking_call) + $(suppressed_ many-session stall))) findings beyond the rate limits' in r[-1]['completeness_reason']"
tell many quit

# --- more records than the ring holds ---
start_fixture flood "$fixtures/flood"
watch steady "$target" --threshold 1m
ask flood 20011 '^flooded' || fail "no flood"
end_session
check_equal "20,011 records at full speed: all arrive" 20011 "$(counted_ steady coroutine_never_awaited)"
check_equal "none is lost" "{}" "$(lost_at_all_ steady)"

watch deaf "$target" --threshold 1m
kill -s STOP "$session"
ask flood 100003 '^flooded' 60 || fail "no flood"
kill -s CONT "$session"
end_session
check "the collector stopped: the ring overflows" test "$(lost_ deaf ring_full)" -gt 0
check_equal "arrived and lost are the 100,003 fired" 100003 $(($(counted_ deaf coroutine_never_awaited) + $(lost_ deaf ring_full)))
check "the report says that findings may be missing, and why" has_record deaf \
    "r[-1]['completeness'] == 'findings_missing' and 'records that came faster than they were read: $(lost_ deaf ring_full) ' in r[-1]['completeness_reason']"
check_equal "written and suppressed are the arrived" "$(counted_ deaf coroutine_never_awaited)" \
    $(($(written_ deaf coroutine_never_awaited) + $(suppressed_ deaf coroutine_never_awaited)))
tell flood quit

# --- more loops than there is room for ---
start_fixture crowd "$fixtures/stall" --loops 2 --dir "$work" sleep 7 30
watch crowd-session "$target" --max-loops 1 --threshold 20ms
ask crowd go '^done' 30 || fail "not done"
end_session
check_equal "one loop is tracked: its 7 stalls are found" 7 "$(written_ crowd-session slow_callback)"
check "the other is counted as untracked" test "$(lost_ crowd-session loops_untracked)" -gt 0
check_equal "and so is each of its 7 stalls" 7 "$(lost_ crowd-session dispatch_stateless)"
tell crowd quit
