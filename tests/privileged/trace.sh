#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# --trace tells every step of every task, in order; when that costs more than --max-overhead it steps down, says so, and what is
# slow is found all the same.
# Runs alone: it judges the overhead limit.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/stall" "$fixtures/clean_loop" "$fixtures/spinner"

# --- each step, by name ---
start_fixture steps "$fixtures/stall" --dir "$work" sleep 3 30
watch steps-session "$target" --trace --threshold 20ms --max-overhead 100
ask steps go '^done' || fail "not done"
check "steps are told soon, though the loop sleeps by now" wait_until 5 has_record steps-session \
    'len([x for x in r if x["type"] == "task_finished"]) == 3'
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
for i in 0 1 2; do
    check_equal "sleep-$i: created, started, suspended, resumed, finished, destroyed" \
        "['task_created', 'task_started', 'task_suspended', 'task_resumed', 'task_finished', 'task_destroyed']" \
        "$(records steps-session "[x['type'] for x in r if x['type'].startswith('task_') and x['task_id'] in
            [c['task_id'] for c in of('task_created') if c['name'] == 'sleep-$i']]")"
done
check "with times in order, the outcome, and where it was spawned and waited" has_record steps-session '(lambda mine:
    [x["mono_ns"] for x in mine] == sorted(x["mono_ns"] for x in mine)
    and [x["outcome"] for x in mine if x["type"] == "task_finished"] == ["result"] * 3
    and all(x["created_at"]["file"].endswith("commit.cpp") for x in mine if x["type"] == "task_created")
    and all(x["suspended_at"]["file"].endswith("commit.cpp") for x in mine if x["type"] == "task_suspended"))(
    [x for x in r if x["type"].startswith("task_") and x["task_id"] in
     [c["task_id"] for c in of("task_created") if c["name"].startswith("sleep-")]])'
check_equal "the stalls are found beside it" 3 "$(records steps-session 'len(of("slow_callback"))')"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
tell steps quit

check "and each before what the dispatch proved to be" has_record steps-session 'all(
    any(b["type"] == "dispatch_begin" and b["task_id"] == x["task"]["id"] for b in r[:r.index(x)]) for x in of("slow_callback"))'

# --- all of it: what a loop that never sleeps has traced when the session ends is on its way still ---
start_fixture spinner "$fixtures/spinner"
for i in 1 2 3 4 5; do
    watch "spinner-$i" "$target" --trace --max-overhead 100
    ask spinner mark '^marked' || fail "not marked"
    read -r _ task_ from_ <<<"$answer"
    ask spinner "end $session" '^counted' || fail "not counted"
    read -r _ resumes_ to_ <<<"$answer"
    end_session
    check_equal "session $i tells each resume up to its end, none twice" "$resumes_" \
        "$(records "spinner-$i" "sum(x['task_id'] == '$task_' and $from_ < x['mono_ns'] < $to_ for x in of('task_resumed'))")"
done
tell spinner quit

# --- too much of it ---
start_fixture load "$fixtures/clean_loop"
watch load-session "$target" --trace --max-overhead 2
said_='trace probes are detached'
check "at 10^5 dispatches a second --trace steps down and says so" wait_until 10 grep -q "$said_" "$work/load-session.err"
ask load stall '^stall' || fail "no stall"
check "what is slow is found all the same" wait_until 5 has_record load-session 'of("slow_callback")'
end_session
check_equal "exactly once" 1 "$(records load-session 'len(of("slow_callback"))')"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
tell load quit
