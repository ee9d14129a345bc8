#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Two sessions at once on one target see the same; the end of one takes nothing from the other.
# Runs alone: it counts findings, of which a busy machine makes more.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/stall"

start_fixture target "$fixtures/stall" --loops 2 --dir "$work" sleep 7 40
options=(--threshold 20ms --block-threshold 5ms)
watch first "$target" "${options[@]}"
first=$session
watch second "$target" "${options[@]}"
second=$session
ask target go '^done' || fail "not done"
end_session "$first"
ask target go '^done' || fail "not done"
end_session "$second"

seen='sorted((x["tid"], x["dispatch_seq"]) for x in of("slow_callback"))'
check_equal "the first sees 7 stalls on each of 2 loops" 14 "$(records first 'len(of("slow_callback"))')"
check_equal "the second sees these and, after the first has ended, 14 more" 28 "$(records second 'len(of("slow_callback"))')"
check_equal "both see the same dispatches" "$(records first "$seen")" \
    "$(records second "sorted((x['tid'], x['dispatch_seq']) for x in of('slow_callback') if x['mono_ns'] < $(records first 'r[-1]["mono_ns"]'))")"
blocked='sorted((x["tid"], x["dispatch_seq"], x["call"]) for x in of("blocking_call"))'
check_equal "and the same blocking calls" "$(records first "$blocked")" \
    "$(records second "sorted((x['tid'], x['dispatch_seq'], x['call']) for x in of('blocking_call') if x['mono_ns'] < $(records first 'r[-1]["mono_ns"]'))")"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
tell target quit
