#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs without probes that are hard to watch: thousands of threads, a huge file, unwind information that is garbage, stacks without
# end, perf maps that are huge or somebody else's. Each is bounded, named where it costs something, and never wrong in silence.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "$0")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/stripped/any_loop"

options=(--threshold 25ms --block-threshold 5ms)
# one_stall NAME PID KIND: a session, one stall of 60 ms, and its end. Records in $work/NAME-report.out.
one_stall() {
    watch "$1-report" "$2" "${options[@]}"
    stall_of "$1" "$3"
}
# stall_of NAME KIND: under that session.
stall_of() {
    ask "$1" "go $2 1 60" '^done' 30 || fail "$1: not done"
    peak=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$session/status")
    end_session
}
found() { records "$1-report" 'len([x for x in of("slow_callback") if x["duration_ns"] > 59e6])'; }
warned() { has_record "$1-report" "any('$2' in w for w in of('target_start')[0]['warnings'])"; }

# --- threads ---
start_fixture crowd "$fixtures/any_loop" --parked 10000 --dir "$work" epoll
began=$SECONDS
# Found at the start, or a moment later: it may not be at rest when it is asked about, and is asked again when it waits again.
is_known() { ask crowd rest '^done' && has_record crowd-report 'of("target_start")[0]["loops"] or of("loop_stats")'; }
watch crowd-report "$target" "${options[@]}"
wait_until 5 is_known || true
stall_of crowd sleep
check_equal "10,000 threads that wait for work: the one loop is found, and its stall" "1 1" \
    "$(records crowd-report 'len({x["loop"]["id"] for x in of("loop_stats", "slow_callback")} | {l["id"] for l in of("target_start")[0]["loops"]})') $(found crowd)"
check "in less than 20 s, and 128 MiB: $((SECONDS - began)) s, $peak MiB" test $((SECONDS - began)) -lt 20 -a "$peak" -lt 128
tell crowd quit

start_fixture churn /usr/bin/python3 "$root/tests/truth/servers/thread_churn.py"
watch churn-report "$target"
ask churn go '^done' 60
end_session
check_equal "300 loops in threads that come and go: the last one's stall is the only finding" 1 "$(records churn-report 'len(of("slow_callback"))')"
check "and no room was lost to those that went" has_record churn-report 'not r[-1]["lost"]["loops_untracked"]'
tell churn quit

# --- stacks ---
start_fixture deep "$fixtures/any_loop" --dir "$work" epoll
one_stall deep "$target" far_down
check_equal "a stack of 20,000 calls: its stall is found" 1 "$(found deep)"
check "with the innermost ones, marked as cut" has_record deep-report \
    'any("recurse_deeply" in n for n in names(of("slow_callback")[0]["stack"])) and of("slow_callback")[0]["stack"][-1].get("truncated")'
check "and what could not be copied is counted" has_record deep-report 'r[-1]["lost"]["stack_truncated"] > 0'
tell deep quit

# --- files ---
cp "$fixtures/any_loop" "$work/huge"
truncate -s 2G "$work/huge"
start_fixture huge "$work/huge" --dir "$work" epoll
one_stall huge "$target" sleep
check_equal "a file of 2 GiB: its stall is found, with its function" "1 true" \
    "$(found huge) $(records huge-report 'any("sleep_too_long" in n for n in names(of("slow_callback")[0]["stack"]))')"
tell huge quit

cp "$fixtures/stripped/any_loop" "$work/garbled"
read -r offset size < <(readelf -SW "$work/garbled" | awk '$2 == ".eh_frame" { print $5, $6 } $3 == ".eh_frame" { print $6, $7 }')
dd if=/dev/urandom of="$work/garbled" bs=1 seek=$((16#$offset)) count=$((16#$size)) conv=notrunc status=none
start_fixture garbled "$work/garbled" --dir "$work" epoll
one_stall garbled "$target" sleep
check_equal "unwind information that is garbage: the session ends with 0" 0 "$stopped_status"
check "the stall is found, or a warning says that no loop is" eval '[ "$(found garbled)" = 1 ] || warned garbled "no thread of it waits"'
tell garbled quit

# --- perf maps ---
start_fixture mapped "$fixtures/any_loop" --dir "$work" epoll
map=/tmp/perf-$target.map
rm -f "$map"
printf '1000 10 nobody\n' >"$map"
truncate -s 1G "$map"
one_stall mapped "$target" sleep
check "a perf map of 1 GiB: a warning says how much of it is read" warned mapped 'beyond the first 64 MiB'
check_equal "and the stall is found" 1 "$(found mapped)"
rm -f "$map"

printf '1000 10 evil\n' >"$map"
chown 65534 "$map"
one_stall mapped "$target" sleep
check "a perf map that another user wrote: a warning says that it is not read" warned mapped 'written by another user'
rm -f "$map"
ln -s /etc/shadow "$map"
one_stall mapped "$target" sleep
check "a link in its place: a warning says that it is not read" warned mapped 'is a link'
rm -f "$map"
tell mapped quit

# --- no loop at all ---
start_background sleeper sleep 60
watch sleeper-report "$started" --duration 1s
check "a program without a loop is watched, and a warning says that there is none" warned sleeper 'no thread of it waits'
check "until the session ends" ended_with "$session"
check_equal "with 0" 0 "$ended_status"
