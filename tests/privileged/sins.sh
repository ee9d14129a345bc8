#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What asyncio's debug mode tells, told of C++: each sin is committed 23 times and found 23 times, with its place; done right it is no
# finding. From outside (--debug, switched on in a running process), and within the process (LOOPWATCH_DEBUG=1).
# Runs alone: it counts findings, of which a busy machine makes more.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/sins"
cd "$work"
count=23
sins="coroutine_never_awaited task_destroyed_pending exception_unretrieved task_cancelled deadlock thread_violation slow_poll slow_callback resource_leak"
# What resource_leak may be told of, beside event loops: the command, and the name that it has.
leaks=("socket:socket" "pipe:pipe" "timer:timer" "executor:executor call")

# line_of TEXT: where the only line with that text stands.
line_of() { grep -nF -- "$1" "$root/tests/fixtures/sins/sins.cpp" | cut -d: -f1; }
commit() {
    for sin in $sins "${leaks[@]%%:*}"; do ask "$1" "$2 $sin $count" '^done' 60 || fail "$sin: not done"; done
    tell "$1" quit
}

start_fixture sinner "$fixtures/sins"
sinner=$target
watch sinner-session "$sinner" --debug --threshold 25ms --block-threshold 1s
commit sinner sin
ended_with "$session" 20 || fail "the session does not end with its target"
for sin in $sins; do
    check_equal "$sin: committed and found" "$count" "$(records sinner-session "len([x for x in of('$sin') if x.get('scope', 'dispatch') == 'dispatch' and x.get('resource', 'event loop') == 'event loop' and x.get('name') != 'disk'])")"
done
for leak in "${leaks[@]}"; do
    name=${leak#*:}
    at=$(line_of "// $name")
    # The timer that was cancelled is none.
    [ "$name" != timer ] || at=$((at + 2))
    check_equal "$name: left open, and found" "$count" "$(records sinner-session "len([x for x in of('resource_leak') if x['resource'] == '$name'])")"
    check_equal "$name: opened where" "['sins.cpp:$at']" \
        "$(records sinner-session "sorted({x['opened_at']['file'].split('/')[-1] + ':' + str(x['opened_at']['line']) for x in of('resource_leak') if x['resource'] == '$name'})")"
done
check "which descriptor" has_record sinner-session "all((x['fd'] is not None) == (x['resource'] in ('socket', 'pipe')) for x in of('resource_leak'))"
for row in "coroutine_never_awaited created_at" "task_destroyed_pending created_at" "exception_unretrieved created_at" "resource_leak opened_at"; do
    read -r sin field <<<"$row"
    at=$(line_of "// $sin")
    # A coroutine's line is that of its closing brace.
    [ "$sin" != coroutine_never_awaited ] || at=$((at + 3))
    check_equal "$sin: where" "['sins.cpp:$at']" \
        "$(records sinner-session "sorted({x['$field']['file'].split('/')[-1] + ':' + str(x['$field']['line']) for x in of('$sin') if x.get('resource', 'event loop') == 'event loop' and x.get('name') != 'disk'})")"
done
check "in which task" has_record sinner-session "all(int(x['in_task']) > 0 for x in of('coroutine_never_awaited', 'deadlock', 'task_cancelled')) and not any(x['in_task'] for x in of('task_destroyed_pending', 'thread_violation', 'resource_leak', 'slow_poll'))"
check "which coroutine" has_record sinner-session "all('greet' in x['created_at']['function'] for x in of('coroutine_never_awaited'))"
check_equal "called where" "['sins.cpp:$(line_of 'Task<> greeting = greet();')']" "$(records sinner-session \
    "sorted({x['called_at']['file'].split('/')[-1] + ':' + str(x['called_at']['line']) for x in of('coroutine_never_awaited') if 'never_awaited' in x['called_at']['function']})")"
check "by which calls" has_record sinner-session "all(any(frame['function'].startswith('loopwatch::Loop::run') for frame in x['called_stack']) for x in of('coroutine_never_awaited'))"
check "where it stood" has_record sinner-session "all(x['suspended_at']['line'] == $(line_of 'co_await closing.wait();') for x in of('task_destroyed_pending') if x['name'] == 'orders')"
# chain SIN FUNCTION[:TEXT OF ITS LINE]…: innermost first.
chain() {
    local sin=$1 place want="" text
    shift
    for place; do
        text=""
        [[ $place != *:* ]] || text=":$(line_of "${place#*:}")"
        want+="${want:+ }${place%%:*}$text"
    done
    check_equal "$sin: await chain" "['$want']" "$(records sinner-session \
        "sorted({' '.join(at['function'].split('::')[-1] + (':' + str(at['line']) if '$want'.find(at['function'].split('::')[-1] + ':') >= 0 else '') for at in x['await_chain']) for x in of('$sin') if x.get('name') != 'disk'})")"
}
chain task_destroyed_pending "wait_for_orders:co_await closing.wait();" "serve:co_await wait_for_orders(closing);"
chain deadlock "deadlocked:const MutexLock again"
chain coroutine_never_awaited never_awaited
chain task_cancelled "doze:it takes its time to obey"
check "by their names" has_record sinner-session "{x['name'] for x in of('task_destroyed_pending')} == {'orders', 'disk'} and all(x['name'] == 'nap' for x in of('task_cancelled')) and all(x['name'] == 'deadlock' for x in of('deadlock'))"
for row in "task_cancelled auto nap = spawn" "deadlock SpawnOptions{.name = words[1]}"; do
    read -r sin text <<<"$row"
    check "$sin: spawned where" has_record sinner-session "all(x['created_at']['line'] == $(line_of "$text") for x in of('$sin'))"
done
thrown=$(line_of 'throw std::runtime_error("no more paper");')
check "where it was thrown" has_record sinner-session "all(x['thrown_at']['line'] == $thrown and 'fail' in x['thrown_at']['function'] for x in of('exception_unretrieved'))"
check "by which calls" has_record sinner-session "all('fail' in x['thrown_stack'][0]['function'] and any(frame['function'].startswith('loopwatch::Loop::run') for frame in x['thrown_stack']) for x in of('exception_unretrieved'))"
check "which exception" has_record sinner-session "all(x['name'] == 'print' and x['exception'] == 'std::runtime_error' and x['what'] == 'no more paper' for x in of('exception_unretrieved'))"
check "who cancelled, and why" has_record sinner-session "all(int(x['by']) > 0 and x['reason'] == 'too slow' and x['outcome'] == 'cancelled' for x in of('task_cancelled'))"
check "how long it took to obey" has_record sinner-session "all(5e6 <= x['took_ns'] < 500e6 for x in of('task_cancelled'))"
check "how many wait for each other" has_record sinner-session "all(x['length'] == 1 and x['awaited'] == x['task_id'] for x in of('deadlock'))"
check "both threads and the operation" has_record sinner-session "all(x['operation'] == 'Event::set' and x['owner_tid'] == $sinner and x['tid'] != $sinner for x in of('thread_violation'))"
check "what the poll did instead" has_record sinner-session "all(x['timeout_ns'] == 0 and 30e6 <= x['elapsed_ns'] < 200e6 for x in of('slow_poll'))"
check "whose callback" has_record sinner-session "all(x['task']['name'] == 'slow_callback' for x in slow)"

start_fixture saint "$fixtures/sins"
watch saint-session "$target" --debug --threshold 25ms --block-threshold 1s
commit saint right
ended_with "$session" 20 || fail "the session does not end with its target"
# What a busy machine does to a callback is no sin of it.
check_equal "done right, nothing is found" "[]" \
    "$(records saint-session "[x for x in of(*'$sins'.split()) if x['type'] != 'slow_callback' or (x['scope'] == 'dispatch' and x['breakdown']['cpu_ns'] > 20e6)]")"
check "by a session that saw dispatches" has_record saint-session "of('session_end')[0]['dispatch_ns']['max'] > 0"
check "and its report is complete, but for context switches that this kernel may not show" has_record saint-session \
    "(lambda end: end['completeness'] == 'complete' or end['lost'].get('switch_unseen'))(of('session_end')[0])"
check_equal "and lost nothing" "{}" "$(records saint-session "{name: n for name, n in of('session_end')[0]['lost'].items() if n}")"

# Within the process, in words that people know.
start_fixture inner env LOOPWATCH_DEBUG=1 "$fixtures/sins"
commit inner sin
wait_until 10 is_gone_ "$started" || fail "it does not end"
inside() { check_equal "within: $1" "$count" "$(grep -c -- "$2" inner.err || true)"; }
inside coroutine_never_awaited "coroutine '.*greet' (.*sins.cpp:[0-9]*) was never awaited"
inside task_destroyed_pending "Task was destroyed but it is pending! orders#[0-9]* created at .*sins.cpp:$(line_of '// task_destroyed_pending'), waiting at "
inside exception_unretrieved 'Task exception was never retrieved: print#[0-9]* created at .*, std::runtime_error: no more paper'
inside task_cancelled 'nap#[0-9]*: cancelled by #[0-9]* (too slow), ended 0.[0-9]* s later'
inside deadlock 'deadlock#[0-9]* would wait for deadlock#[0-9]*, which waits for it'
inside thread_violation 'Non-thread-safe operation invoked on an event loop other than the current one: Event::set of loop main'
inside slow_poll 'poll 0.000 s took 0.0[3-9][0-9] s: [0-9]* events'
inside slow_callback 'Executing slow_callback#[0-9]* took 0.0[3-9][0-9] s, created at '
inside resource_leak 'unclosed event loop of loop forgotten, opened at .*sins.cpp:[0-9]*'
inside socket 'unclosed socket [0-9]* of loop brief, opened at .*sins.cpp:[0-9]*'
inside pipe 'unclosed pipe [0-9]* of loop brief, opened at .*sins.cpp:[0-9]*'
inside timer 'unclosed timer of loop brief, opened at .*sins.cpp:[0-9]*'
inside "executor call" "unclosed executor call of loop brief, opened at .*sins.cpp:$(line_of '// executor call')"
start_fixture inner env LOOPWATCH_DEBUG=1 "$fixtures/sins"
commit inner right
wait_until 10 is_gone_ "$started" || fail "it does not end"
check_equal "within: done right, not a word" "" "$(grep -v 'Executing .* took' inner.err || true)"
start_fixture half env LOOPWATCH_DEBUG=yes "$fixtures/sins"
tell half quit
check "a setting that is none is loud" wait_until 5 grep -q 'LOOPWATCH_DEBUG=yes is not understood' half.err
