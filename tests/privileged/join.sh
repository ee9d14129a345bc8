#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Loops and tasks that are not ours and joined in, in C++ (join.hpp) and in C (join.h): what blocks them is found as it is on our own
# runtime, what does not is no finding, and ps and tree know their tasks.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/foreign_runtime" "$fixtures/c_loop" "$fixtures/small_runtime"
cd "$work"
count=23 ms=40

# line_of FILE TEXT: where the only line with that text stands.
line_of() { grep -nF -- "$2" "$root/tests/fixtures/$1" | cut -d: -f1; }

# held PROGRAM FILE LOOP SPAWNED CHAIN: CHAIN is what stands in each await chain, "function line" innermost first.
held() {
    local name=$1 file=$2 loop=$3 spawned=$4 chain=$5
    start_fixture "$name" "$fixtures/$name"
    watch "$name-session" "$target" --debug --threshold 25ms --block-threshold 5ms
    ask "$name" "block $count $ms" '^done' 60 || fail "$name: not done"
    check_equal "$name: $count times blocked, $count dispatches that were slow" "$count" \
        "$(wait_until 5 has_record "$name-session" "len(slow) >= $count"; records "$name-session" 'len(slow)')"
    check "$name: each of loop $loop, by task blocker, asleep" has_record "$name-session" \
        "all(x['loop']['name'] == '$loop' and x['task']['name'] == 'blocker' and x['sources'][0]['kind'] == 'sleep' for x in slow)"
    # The timer runs from before the thread leaves its CPU: who is kept from leaving sleeps the less.
    check "$name: as long as it was" has_record "$name-session" \
        "all($ms / 2 <= x['sources'][0]['duration_ns'] / 1e6 < $ms + 20 and x['duration_ns'] >= $ms * 1e6 for x in slow)"
    check "$name: in which function" has_record "$name-session" "all(any('write_report' in n for n in names(x['stack'])) for x in slow)"
    check_equal "$name: spawned where it was" "['$file:$spawned']" \
        "$(records "$name-session" "sorted({x['task']['created_at']['file'].split('/')[-1] + ':' + str(x['task']['created_at']['line']) for x in slow})")"
    check_equal "$name: and each stands in its coroutines" "['$chain']" \
        "$(records "$name-session" "sorted({', '.join(f['function'].split('::')[-1] + ' ' + str(f['line']) for f in x['task']['await_chain']) for x in slow[1:]})")"
    check_equal "$name: the await that each went on from is the chain's innermost" "['${chain%%,*}']" \
        "$(records "$name-session" "sorted({x['task']['resumed_at']['function'].split('::')[-1] + ' ' + str(x['task']['resumed_at']['line']) for x in slow[1:]})")"
    ask "$name" "rest $count $ms" '^done' 60 || fail "$name: not done"
    # What a finding of it would have been is told by the next one, which is.
    ask "$name" "block 1 $ms" '^done' 60 || fail "$name: not done"
    wait_until 5 has_record "$name-session" "len(slow) > $count" || true
    check_equal "$name: $count times waited as it should, no finding" "$((count + 1))" "$(records "$name-session" 'len(slow)')"
    check "$name: and no blocking call of rester" has_record "$name-session" \
        'all(x["task"]["name"] == "blocker" for x in of("blocking_call", "slow_callback", "stall"))'
}

spawned=$(line_of foreign_runtime/foreign_runtime.cpp 'loop.spawn(save_all(loop, count, ms, true), "blocker")')
held foreign_runtime foreign_runtime.cpp tiny "$spawned" \
    "save $(line_of foreign_runtime/foreign_runtime.cpp 'co_await Sleep{loop, blocks'), save_all $(line_of foreign_runtime/foreign_runtime.cpp 'co_await save(')"
runtime=$target
ask foreign_runtime "crowd 4 $ms" '^done' || fail "no crowd"
check "foreign_runtime: who stood in its queue meanwhile is counted" wait_until 5 has_record foreign_runtime-session \
    "any(x['impact']['tasks_delayed'] in (4, 5) and x['impact']['max_delay_ns'] == x['duration_ns'] for x in slow)"
ask foreign_runtime misuse '^done' || fail "not done"
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
check_equal "a coroutine that nobody awaited is told, by its function" "['save']" \
    "$(records foreign_runtime-session "[x['created_at']['function'].split('::')[-1] for x in of('coroutine_never_awaited')]")"
check_equal "an exception that nobody looked at" "[('std::runtime_error', 'no such order')]" \
    "$(records foreign_runtime-session "[(x['exception'], x['what']) for x in of('exception_unretrieved')]")"
check_equal "where it was thrown" "['foreign_runtime.cpp:$(line_of foreign_runtime/foreign_runtime.cpp 'throw std::runtime_error("no such order")')']" \
    "$(records foreign_runtime-session "[x['thrown_at']['file'].split('/')[-1] + ':' + str(x['thrown_at']['line']) for x in of('exception_unretrieved')]")"
check_equal "a task that was cancelled, with the reason" "[('told to', 'cancelled')]" \
    "$(records foreign_runtime-session "[(x['reason'], x['outcome']) for x in of('task_cancelled')]")"

held c_loop c_loop.c c-loop "$(line_of c_loop/c_loop.c '"blocker" : "rester", LW_HERE')" \
    "save $(line_of c_loop/c_loop.c 'await_timer(task, task->blocks')"
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
c_loop=$target

# --- 60 lines ---
small=$root/tests/fixtures/small_runtime/small_runtime.cpp
runtime_lines() { sed -n '/^namespace small/,/^}  .. namespace small/p' "$small" | grep -v '^ *$' | grep "$@" -c '// joins in'; }
check "a runtime of 60 lines joins in by 20 at most" [ "$(runtime_lines -v)" -le 64 ] && [ "$(runtime_lines)" -le 20 ]
start_fixture small_runtime "$fixtures/small_runtime"
small_runtime=$target
watch small-session "$small_runtime" --threshold 25ms
check "ps has its task, where it stands" sh -c '"$1" ps -p "$2" | grep -Eq "^clerk#1 +suspended +small .* small_runtime.cpp:[0-9]+ +[{]anonymous[}]::keep_books small_runtime.cpp:[0-9]+$"' - "$loopwatch" "$small_runtime"
kill -USR1 "$small_runtime"
wait_until 20 is_gone_ "$small_runtime" || fail "small_runtime does not end"
ended_with "$session" 20 || fail "the session does not end with its target"
check_equal "23 times it held its loop, in that function" "23 ['clerk'] ['write_ledger:$(grep -n 'sleep_for(40ms)' "$small" | cut -d: -f1)']" \
    "$(records small-session "'%d %s %s' % (len(slow), sorted({x['task']['name'] for x in slow}), sorted({f['function'].split('::')[-1].strip('()') + ':' + str(f['line']) for x in slow for f in x['stack'] if 'write_ledger' in f['function']}))")"

check "and each dispatch is counted, though it ended at once" has_record small-session "of('session_end')[0]['dispatches'] >= 23"

# --- step by step ---
watch steps "$runtime" --trace --max-overhead 100
ask foreign_runtime "rest 1 5" '^done' || fail "not done"
sleeper_="[c['task_id'] for c in of('task_created') if c['name'] == 'rester']"
check "--trace tells a task to its end" wait_until 5 has_record steps "[x for x in of('task_destroyed') if x['task_id'] in $sleeper_]"
end_session
check_equal "step by step" \
    "['task_created', 'task_started', 'task_suspended', 'task_resumed', 'task_suspended', 'task_resumed', 'task_finished', 'task_destroyed']" \
    "$(records steps "[x['type'] for x in r if x['type'].startswith('task_') and x['task_id'] in $sleeper_]")"

# --- from outside, while it blocks ---
tell foreign_runtime "block 1 1500"
tell c_loop "block 1 1500"
blocks_() { "$loopwatch" ps -p "$1" --state running | grep -q '^blocker#'; }
check "ps knows who runs: the runtime's blocker" wait_until 5 blocks_ "$runtime"
check "and that of the C loop" wait_until 5 blocks_ "$c_loop"
"$loopwatch" ps -p "$runtime" >runtime.ps
check "others wait, where they do" grep -Eq '^converse#[0-9]+ +suspended +tiny .*foreign_runtime.cpp:[0-9]+ +.*converse foreign_runtime.cpp:[0-9]+$' runtime.ps
"$loopwatch" tree -p "$runtime" >runtime.tree
check "the tree has the chain of its coroutines" sh -c 'grep -A2 "^blocker#" "$1" | tr -d "\n" | grep -Eq "running└─ .*save_all foreign_runtime.cpp:[0-9]+ +└─ .*save foreign_runtime.cpp:[0-9]+"' - runtime.tree
"$loopwatch" ps -p "$c_loop" >c_loop.ps
check "ticker waits in its own step" grep -Eq '^ticker#1 +(suspended|ready) +c-loop .*c_loop.c:[0-9]+ +tick c_loop.c:'"$(line_of c_loop/c_loop.c 'await_timer(task, 2, LW_HERE)')"'$' c_loop.ps
for program in foreign_runtime c_loop; do
    wait_until 5 has_lines_ "$program" '^done' 4 || fail "$program: not done"
    tell "$program" quit
done
ended_well_() { wait_until 5 is_gone_ "$1" && wait "$1"; }
check "both end as they should" eval "ended_well_ $runtime && ended_well_ $c_loop"
