#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `loopwatch ps`, `tree` and `where`, as the user whose process it is: every task with its place, of processes that run, hang, stand
# still and change while they are read; what cannot be told is said in one line.
# Runs alone: it judges how long tasks have run, and memory.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_command python3
need_program "$loopwatch" "$fixtures/tasks" "$fixtures/any_loop" "$build/bin/order_server"
cd "$work"

# listed NAME OPTIONS…: NDJSON in NAME.out, and its messages in NAME.err.
listed() {
    local name=$1
    shift
    "$loopwatch" ps --format ndjson "$@" >"$name.out" 2>"$name.err"
}
start_fixture few "$fixtures/tasks" 10
check "every task is listed" listed ps -p "$target"
check "by name, state and place" has_record ps \
    "len([t for t in of('task_listed') if t['task']['name'] == 'sleeper' and t['task']['state'] == 'suspended' and [f['function'] for f in t['task']['await_chain']] == ['{anonymous}::nap', '{anonymous}::sleeper'] and t['task']['created_at']['file'].endswith('tasks/tasks.cpp')]) == 9"
check "and the end says how many" has_record ps "r[-1]['type'] == 'task_list_end' and r[-1]['tasks'] == len(r) - 1 == 12 and not r[-1]['warnings']"
check "with what they wait for, their age and how often they ran" has_record ps \
    "all(t['waiting_for']['kind'] == 'timer' and 3.5e12 < t['waiting_for']['remaining_ns'] <= 3.6e12 and t['resumes'] == 1 and t['age_ns'] < 60e9 for t in of('task_listed') if t['task']['name'] == 'sleeper')"
check "or for whom" has_record ps "[t['awaits'] != '' and t['waiting_for'] is None for t in of('task_listed') if t['task']['name'] == 'keeper'] == [True]"
check "in the order that was asked for" listed sorted -p "$target" --sort resumes
check "which is that" has_record sorted "(lambda n: n == sorted(n, reverse=True) and len(n) == 12)([t['resumes'] for t in of('task_listed')])"
check "the records are the schema's" /usr/bin/python3 - ps.out "$loopwatch" <<'PY'
import json, subprocess, sys
import jsonschema
schema = jsonschema.Draft202012Validator(json.loads(subprocess.run([sys.argv[2], "schema"], capture_output=True, check=True).stdout))
for line in open(sys.argv[1], encoding="utf-8"):
    schema.validate(json.loads(line))
PY
"$loopwatch" ps -p "$target" >table
check "people get a table, in a pipe too" grep -Eq '^sleeper#[0-9]+ +suspended +main +.*tasks.cpp:[0-9]+ +.*nap tasks.cpp:[0-9]+$' table
"$loopwatch" tree -p "$target" >tree
check "the tree says who awaits whom" sh -c 'grep -A4 "^keeper#" "$1" | grep -q "└─ awaits first#"' - tree
check "and draws each once" [ "$(grep -c 'first#' tree)" = 1 ]
id=$(sed -n 's/^keeper#\([0-9]*\).*/\1/p' table)
check "one task in full" sh -c '"$1" where -p "$2" "keeper#$3" | grep -q "^awaits   #"' - "$loopwatch" "$target" "$id"
check_status "that goes by another name than it was asked for is said" 5 "$loopwatch" where -p "$target" "nobody#$id"
check "with its own" grep -q "task #$id of process $target is keeper#$id, not nobody" stderr
check_equal "of one state only" 0 "$("$loopwatch" ps -p "$target" --state ready | grep -c '#' || true)"
check_status "a task that is not there is named" 5 "$loopwatch" where -p "$target" 4711
check "with what lists them" grep -q 'no live task #4711.*loopwatch ps' stderr
check_status "a state that is none is refused" 2 "$loopwatch" ps -p "$target" --state asleep
check_status "a task that is no number too" 2 "$loopwatch" where -p "$target" x
check_status "and no process" 2 "$loopwatch" ps
check_status "an order that is none is refused" 2 "$loopwatch" ps -p "$target" --sort name
check_status "a name that no process has" 5 "$loopwatch" ps -n no-such-server
check_status "a list is no trace" 2 "$loopwatch" ps -p "$target" --format chrome
ask few hoard '^done' || fail "no hoard"
"$loopwatch" ps --lint --interval 100ms -p "$target" >frames
check_equal "--lint names the coroutine with the large frame" 1 "$(grep -Ec '^large_frame: 98 KiB in one coroutine.s frame, of 1 live task; created at \{anonymous\}::hoard tasks.cpp:' frames)"
check_equal "and no other" 1 "$(grep -c '^large_frame' frames)"
"$loopwatch" ps --lint --interval 100ms --max-frame 200000 -p "$target" >frames
check_equal "none above the bound that was asked for" 0 "$(grep -c '^large_frame' frames || true)"
hoard=$("$loopwatch" ps -p "$target" | sed -n 's/^hoard#\([0-9]*\).*/\1/p')
"$loopwatch" where -p "$target" "$hoard" >hoard.where
check "where tells the size of a frame" grep -Eq '^stands .*hoard tasks.cpp:[0-9]+, frame 98 KiB$' hoard.where
check_status "a bound without --lint is refused" 2 "$loopwatch" ps -p "$target" --max-frame 100
tell few "spin 3000"
wait_output few 10 '^spinning' || fail "it does not spin"
"$loopwatch" ps --lint --interval 200ms -p "$target" >lints
check "--lint names the task that does not yield" grep -Eq '^never_yields: converse#1 has run for 2[0-9]{2}(\.[0-9]*)? ms without an await that waits; created at main tasks.cpp:' lints
check "of a loop that hangs too" listed ps -p "$target"
check "the running task is the one" has_record ps "[t['task']['name'] for t in of('task_listed') if t['task']['state'] == 'running'] == ['converse']"
wait_output few 10 '^done' || fail "it spins on"
kill -STOP "$target"
check "and of a stopped process" listed ps -p "$target"
kill -CONT "$target"
check "all of them" has_record ps "r[-1]['tasks'] == 13"

# While the list changes under the reader.
ask few churn '^done' || fail "no churn"
missing=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    listed ps -p "$target" && has_record ps "len([t for t in of('task_listed') if t['task']['name'] in ('sleeper', 'first', 'keeper', 'converse')]) == 12 and not r[-1]['warnings']" ||
        { missing=$((missing + 1)); records ps "(len(r), r[-1]['tasks'], r[-1]['warnings'])"; }
done
check_equal "ten looks at a list that never rests lack nothing" 0 "$missing"
start_background again "$loopwatch" ps --watch --interval 100ms --format ndjson -p "$target"
looks_() { [ "$(grep -c '"task_list_end"' again.out)" -ge 3 ]; }
check "--watch looks again and again" wait_until 10 looks_
for name in INT TERM HUP; do
    start_background "ended-by-$name" "$loopwatch" ps --watch --interval 1h --format ndjson -p "$target"
    wait_output "ended-by-$name" 10 '"task_list_end"' || fail "no look"
    kill -s "$name" "$started"
    check "SIG$name ends --watch, though the next look is an hour away" ended_with "$started" 2
    check_equal "which is no failure" 0 "$ended_status"
done
start_background again-2 "$loopwatch" ps --watch --interval 100ms --format ndjson -p "$target"
wait_output again-2 10 '"task_list_end"' || fail "no look"
tell few quit
check "until there is nothing to look at" wait_until 10 is_gone_ "$started"
check "which is no failure" wait "$started"

if [ -x "$build/bin/bench/dispatch_bench" ]; then
    start_background spins "$build/bin/bench/dispatch_bench" 1000000 3 0
    wait_output spins 10 '^[0-9]' || fail "no handshake"
    check "--lint names tasks that wake themselves all the time" sh -c '"$1" ps --lint --interval 200ms -p "$2" | grep -c "^self_wake: task#[0-9]* wakes itself all the time" | grep -qx 3' - "$loopwatch" "$started"
    stop "$started"
fi

# Descriptors, and in debug mode who spawned whom.
start_background orders env LOOPWATCH_DEBUG=1 "$build/bin/order_server" --port 0
wait_output orders 10 '^listening on' || fail "no handshake"
port=$(sed -n 's/^listening on .*://p' orders.out)
exec {client}<>"/dev/tcp/127.0.0.1/$port"
serves_() { listed orders-ps -p "$started" && has_record orders-ps "any(t['task']['name'] == 'session' for t in of('task_listed'))"; }
wait_until 10 serves_ || fail "no session"
check "an operation's descriptor and the address it listens at" has_record orders-ps \
    "[(t['waiting_for']['fd'] > 2, t['waiting_for']['local'], t['waiting_for']['peer']) for t in of('task_listed') if t['task']['name'] == 'server'] == [(True, '127.0.0.1:$port', '')]"
own=$(sed -nE 's/.*"peer":"(127.0.0.1:[0-9]+)".*/\1/p' orders-ps.out | head -n 1)
check "and of a connection both ends" has_record orders-ps \
    "[(t['waiting_for']['local'], t['waiting_for']['peer']) for t in of('task_listed') if t['task']['name'] == 'session'] == [('127.0.0.1:$port', '$own')] and '$own' != ''"
"$loopwatch" ps -p "$started" >orders.table
check "in words" grep -Eq " async_receive\([0-9]+ → $own\) " orders.table
session=$(sed -n 's/^session#\([0-9]*\).*/\1/p' orders.table)
"$loopwatch" where -p "$started" "$session" >session.where
check "in debug mode it says by which calls a task was spawned" grep -Eq '^ +at server.cpp:[0-9]+ \(shop::Worker::accept_connections\)$' session.where
exec {client}>&-
stop "$started"

start_fixture many "$fixtures/tasks" 100000
kib=$(/usr/bin/python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=open("table", "w"), check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$loopwatch" ps -p "$target")
check "100,000 tasks: all are there" [ "$(grep -c '^sleeper#' table)" = 99999 ]
check "in at most 64 MiB, here $((kib / 1024))" [ "$kib" -le 65536 ]
tell many quit

start_fixture without "$fixtures/any_loop" --dir "$work" epoll
check_status "a program without probes is told what can be done" 4 "$loopwatch" ps -p "$target"
check "in one line" sh -c '[ "$(wc -l <stderr)" = 1 ] && grep -q "publishes no tasks.*sudo loopwatch -p" stderr'
tell without quit
check_status "a process that is not there is none" 5 "$loopwatch" ps -p 4000000
