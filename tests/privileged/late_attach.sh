#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Attaching at any moment of a loop's life: while it waits, in the middle of a dispatch, before it is born, before its code is
# loaded.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/stall" "$fixtures/newcomer" "$fixtures/spinner" "$fixtures/unstripped/libstalls.so"

# --- the loop waits already ---
start_fixture waiting "$fixtures/stall" --dir "$work" sleep 1 150
sleep 0.5  # the wait before the attach: it must not count as a dispatch
watch waiting-session "$target"
ask waiting go '^done' || fail "not done"
end_session
check_equal "a loop that waited at attach: its first stall is found, its wait is not" 1 "$(records waiting-session 'len(of("slow_callback"))')"
check "and lasted what it lasted" has_record waiting-session '149e6 < of("slow_callback")[0]["duration_ns"] < 200e6'
tell waiting quit

# --- in the middle of a dispatch ---
start_fixture busy "$fixtures/stall" --dir "$work" sleep 1 1500
tell busy go
sleeps_() { grep -q nanosleep "/proc/$target/wchan" || grep -qE '^(35|230) ' "/proc/$target/syscall"; }
wait_until 5 sleeps_ || fail "the dispatch did not begin"
watch busy-session "$target"
wait_output busy 10 '^done' || fail "not done"
ask busy 'go sleep 1 150' '^done' || fail "not done"
end_session
truth=$(awk '/^stall/ { print $5 - $4; exit }' "$work/busy.out")
check "attached in the middle of a dispatch of 1.5 s: nothing false is said of it" has_record busy-session \
    "all(abs(x['duration_ns'] - $truth) < 15e6 for x in of('slow_callback') if x['mono_ns'] < $(awk '/^stall/ { print $5 + 1000000; exit }' "$work/busy.out"))"
check_equal "the next stall is found" 1 \
    "$(records busy-session "len([x for x in of('slow_callback') if x['mono_ns'] > $(awk '/^stall/ { print $5 + 1000000; exit }' "$work/busy.out")])")"
check "with its own duration, not the other's" has_record busy-session '149e6 < of("slow_callback")[-1]["duration_ns"] < 200e6'
tell busy quit

# --- in a dispatch that is its loop's last ---
start_fixture last "$fixtures/stall" --dir "$work" sleep 1 1500
tell last go
wait_until 5 sleeps_ || fail "the dispatch did not begin"
watch last-session "$target"
tell last quit
ended_with "$session" || fail "the session does not end"
check "a loop that ended before its process was seen all the same" has_record last-session \
    "of('stall') and r[-1]['completeness'] != 'nothing_watched'"

# --- a loop without probes that polls: what was seen before it was known to be a loop ---
start_fixture poller "$fixtures/any_loop" --dir "$work" poll
ask poller rest '^done' || fail "it does not rest"
watch poller-session "$target"
ask poller 'go sleep 5 150' '^done' || fail "not done"
end_session
check_equal "a loop that slept in its poll at attach: all of its stalls are found, the first one too" 5 "$(records poller-session 'len(of("slow_callback"))')"
check_equal "in their order" true "$(records poller-session 'sorted(x["mono_ns"] for x in of("slow_callback")) == [x["mono_ns"] for x in of("slow_callback")]')"
watch short-session "$target"
ask poller 'go sleep 1 150' '^done' || fail "not done"
end_session
check_equal "one stall of it in the whole session: lost by name" '(0, 1)' \
    "$(records short-session '(len(of("slow_callback")), of("session_end")[0]["lost"]["iteration_unproven"])')"
check "and a warning says so" has_record short-session '["1 slow iteration is not reported" in x["text"] for x in of("warning")] == [True]'
tell poller quit

# --- before the loop is born ---
start_fixture newcomer "$fixtures/newcomer"
watch newcomer-session "$target"
ask newcomer born '^born' || fail "no second loop"
tid=${answer#born }
ask newcomer stall '^stall' || fail "no stall"
check_equal "a loop born after the attach: its stall is found" "[($tid, 'born')]" \
    "$(wait_until 5 has_record newcomer-session 'of("slow_callback")'; records newcomer-session '[(x["tid"], x["loop"]["name"]) for x in of("slow_callback")]')"
ask newcomer end '^ended' || fail "the loop did not end"
ask newcomer born '^born' || fail "no third loop"
ask newcomer stall '^stall' || fail "no stall"
check "and that of its successor" wait_until 5 has_record newcomer-session 'len(of("slow_callback")) == 2'

# --- before its code is loaded ---
ask newcomer "load $fixtures/unstripped/libstalls.so $work" '^loaded' || fail "no library"
knows_plugin_='any(x["loop"]["name"] == "plugin" for x in of("loop_stats"))'
check "a loop in a library loaded after the attach is known within 3 s" wait_until 3 has_record newcomer-session "$knows_plugin_"
ask newcomer 'plugin sleep 3 150' '^done plugin' || fail "no stall of the plug-in"
end_session
check_equal "and its stalls are found" "['plugin', 'plugin', 'plugin']" \
    "$(records newcomer-session '[x["loop"]["name"] for x in of("slow_callback") if any("sleep_too_long" in n for n in names(x["stack"]))]')"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
tell newcomer quit

# --- a dispatch that began before the session: what passed till then is not claimed to be CPU time ---
start_fixture asleep "$fixtures/stall" --dir "$work" sleep 1 2000
watch earlier "$target" --threshold 20ms  # makes the loop keep the dispatch's start
tell asleep go
wait_until 10 grep -q '^230 ' "/proc/$target/task/$target/syscall" || fail "it does not sleep in clock_nanosleep"
first=$session
watch later "$target" --threshold 20ms
wait_until 10 has_record later 'of("slow_callback")' || fail "no slow callback"
end_session
end_session "$first"
check "to a session that saw it begin, it slept" has_record earlier \
    'all(x["breakdown"]["blocked_ns"] > 1_990_000_000 and x["breakdown"]["other_ns"] == 0 for x in of("slow_callback"))'
check "to one that came later, it slept since then, and what it did before is unknown, not CPU" has_record later \
    'all(x["breakdown"]["blocked_ns"] > 200_000_000 and x["breakdown"]["cpu_ns"] < 50_000_000 and x["breakdown"]["blocked_ns"] + x["breakdown"]["other_ns"] > 1_950_000_000 for x in of("slow_callback"))'
check "where it slept" has_record later \
    'all(any("sleep" in n for p in x["sources"] for n in names(p["stack"])) for x in of("slow_callback"))'
tell asleep quit

# --- a target that becomes another program ---
start_fixture becoming "$fixtures/spinner"
watch becoming-session "$target"
tell becoming exec
check "what a target becomes by exec is watched from then on" wait_until 5 has_record becoming-session \
    'of("target_end")[0]["reason"] == "exec" and [x["comm"] for x in of("target_start")] == ["spinner", "sleep"]'
stop "$target" KILL
check "and the session ends with that" wait_until 5 has_record becoming-session \
    'r[-1]["type"] == "session_end" and r[-1]["reason"] == "target_end" and of("target_end")[-1]["reason"] == "exited"'

# --- a program without probes, busy: doctor waits for its loop as a session does ---
start_fixture busy "$fixtures/any_loop" --dir "$work" epoll
check "doctor finds its loop" grep -q '^ok *loops *1 running' <("$loopwatch" doctor -p "$target")
kill -s STOP "$target"
"$loopwatch" doctor -p "$target" >"$work/stopped.doctor" || true
kill -s CONT "$target"
check "of a process that is stopped it says so, and not that no loop runs yet" sh -c 'grep -q "^degraded *note *the process is stopped" "$1" && ! grep -q "none runs yet" "$1"' - "$work/stopped.doctor"
watch busy-session "$target" --trace
end_session
check "and --trace, which has nothing to tell of it, says so" has_record busy-session 'any("--trace" in w for w in of("target_start")[0]["warnings"])'
tell busy quit
