#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `loopwatch run` with a kernel side: shim and scheduler tell one story, a program that becomes another goes on being watched, and none
# ends otherwise than it would.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command curl gcc taskset
need_program "$loopwatch" "$build/bin/order_server" "$fixtures/stall" "$fixtures/first_callback"
cd "$work"

# ran NAME OPTIONS… -- PROGRAM…: to its end; its exit status in $status.
ran() {
    local name=$1
    shift
    status=0
    timeout 60 "$loopwatch" run --format ndjson -o "$name.out" "$@" >"$name.said" 2>&1 || status=$?
}

# served NAME PATHS OPTIONS… -- COMMAND…: a server under a session, asked for these; $session and its $server.
served() {
    local name=$1 paths=$2 path
    shift 2
    start_background "$name-run" "$loopwatch" run --format ndjson -o "$name.out" "$@"
    session=$started
    wait_output "$name-run" 10 '^listening on' || fail "$name: no server"
    port=$(sed -n 's/^listening on .*://p' "$name-run.out")
    wait_until 10 watched "$name" || fail "$name: not watched"
    for path in $paths; do curl -s -m 10 -o /dev/null "http://127.0.0.1:$port/$path" || fail "$name: no answer from $path"; done
    server=$(pgrep -P "$session" -x order_server)
}
watched() { has_record "$1" "any(l['name'] == 'http-0' for x in of('target_start', 'loop_stats') for l in x.get('loops', [x.get('loop')]))"; }

served both "fsync lock cpu dns sleep log ok/fsync ok/lock ok/dns ok/sleep order" -- "$build/bin/order_server"
stop "$session" TERM
check_equal "a signal is the program's, and ends it well" 0 "$stopped_status"
check "one finding has what both saw" has_record both \
    "any(set(s['seen_by']) >= {'sched', 'preload'} and s['sources'][0]['waker'] and any(a == 'lock' for a in s['sources'][0]['args']) for s in slow if s['task']['name'] == 'GET /lock')"
# Of each call that blocked, the kernel's part and the shim's.
coverage="{k: v for k, v in r[-1]['coverage'].items() if k.startswith('calls_') and k != 'calls_measured'}"
check "all that blocked was seen by both, and nothing by one only: $(records both "$coverage")" has_record both \
    "r[-1]['coverage']['calls_both'] >= 4 and not any(k.endswith('_only') for k in r[-1]['coverage'])"

# Sleeps of 1 ms beside a program that takes the CPU for 15 ms at a time: the shim times some of them as long, and none was.
cpu=$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')
start_background hog taskset -c "$cpu" /usr/bin/python3 -c '
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
while True:
    until = time.monotonic() + 0.015
    while time.monotonic() < until: pass
    time.sleep(0.015)'
hog=$started
known() { has_record "$1" "any(l['name'] == 'main' for x in of('target_start', 'loop_stats') for l in x.get('loops', [x.get('loop')]))"; }
# busy NAME: the records of a program that does so, under a session that began with it.
busy() {
    start_told "$1-target" "$loopwatch" run --format ndjson -o "$1.out" -- taskset -c "$cpu" "$fixtures/stall" --dir "$work" "${@:2}"
    session=$started
    wait_output "$1-target" 15 '^ready' || fail "$1 did not start"
    wait_until 10 known "$1" || fail "$1: not watched"
    ask "$1-target" go '^done' 60 || fail "$1: not done"
    tell "$1-target" quit
    ended_with "$session" 20 || fail "$1: it does not end"
}
busy many many_small_sleeps 3 800
stop "$hog"
check_equal "on a busy machine 3 findings" 3 "$(records many 'len([s for s in slow if s["duration_ns"] > 800e6])')"
check "a call that waited for its CPU has not blocked: $(records many '[x["verdict"] for x in of("blocking_call")]')" \
    has_record many "not of('blocking_call')"
check "what both saw is one source: $(records many '[[(p["call"], p["count"]) for p in s["sources"]] for s in slow]')" \
    has_record many "all(len([p for p in s['sources'] if p['kind'] == 'sleep']) == 1 for s in slow)"
check "and no more than all of it" has_record many "all(sum(p['duration_ns'] for p in s['sources']) <= s['duration_ns'] for s in slow)"
check "its waits are as many as they have to be" has_record many \
    "all(p['duration_ns'] <= p['count'] * p['longest_ns'] for s in slow for p in s['sources'] if p['kind'] in ('sleep', 'run_queue'))"
check "the shim is in no stack" has_record many \
    "not any('loopwatch_preload' in f['module'] for s in slow for p in s['sources'] for f in p['stack'] + s['stack'])"

# With the shim and without, of a loop whose calls it times: the same findings.
kinds="sleep lock pipe network file_lock dns"
stall() { for kind in $kinds; do ask "$1-target" "go $kind 1 150" '^done' 60 || fail "$1: not done"; done; }
findings() { records "$1" 'sorted((x["type"], x["task"]["name"], x["fingerprint"], x["fingerprint_exact"]) for x in of("slow_callback", "blocking_call"))'; }
start_fixture without-target "$fixtures/stall" --dir "$work" sleep 1 150
watch without "$target"
stall without
end_session
tell without-target quit
start_told with-target "$loopwatch" run --format ndjson -o with.out -- "$fixtures/stall" --dir "$work" sleep 1 150
session=$started
wait_output with-target 15 '^ready' || fail "it did not start"
wait_until 10 known with || fail "it is not watched"
stall with
tell with-target quit
ended_with "$session" 20 || fail "it does not end"
check_equal "six stalls are twelve findings" 12 "$(records without 'len(of("slow_callback", "blocking_call"))')"
check_equal "which are the same under the shim, to the instruction" "$(findings without)" "$(findings with)"
check "of durations that the kernel measured" has_record with \
    "all(x['origin'] == 'sched' and 149e6 < x['duration_ns'] < 200e6 and x['seen_by'] == ['sched', 'preload'] for x in of('blocking_call'))"

served exec "sleep" -- env A=1 sh -c "sleep 0.7; exec '$build/bin/order_server'"
check "what became another program is watched on" wait_until 5 has_record exec "any(s['task']['name'] == 'GET /sleep' for s in slow)"
check_not "and it was not ended by that" is_gone_ "$server"
stop "$session" INT
check_equal "it ends as it would" 0 "$stopped_status"

for case in "7 sh -c 'sleep 0.6; exit 7'" "137 sh -c 'sleep 0.6; kill -9 \$\$'" "3 sh -c 'exit 3'"; do
    eval "ran end -- ${case#* }"
    check_equal "${case#* } ends with ${case%% *}" "${case%% *}" "$status"
done
ran status --follow-children -- sh -c 'sleep 0.6; exit 7'
check_equal "how it ended, and its child, is in the report" "[0, 7]" "$(records status "[x['exit_status'] >> 8 for x in of('target_end')]")"
ran children -- sh -c 'sleep 0.6; :'
check "children that are not watched are warned of" has_record children "any('started other programs' in x['text'] and x['hint'] == '--follow-children' for x in of('warning'))"
ran nothing --fail-on slow_callback --report junit:nothing.xml -- sleep 0.3
check_equal "a gate that watched no loop does not pass" 4 "$status"
check "which is said" grep -q 'no event loop of sleep was ever watched' nothing.said
check "and in its report" grep -q 'no_loop_watched' nothing.xml
printf 'import asyncio, time\nasync def main():\n    await asyncio.sleep(0.3)\n    time.sleep(60)\nasyncio.run(main())\n' >hangs.py
ran hangs --duration 2s --fail-on slow_callback -- /usr/bin/python3 hangs.py
check_equal "a callback that never returns is a slow one to a gate" 3 "$status"

# A loop polls before its first callback, without a sleep as there is work: it is known as a loop only while that callback runs.
cat >first.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
static int epoll, ends[2];
static volatile unsigned long spins;
__attribute__((noinline)) static void burn(void)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 1000; i++) spins++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 300);
}
__attribute__((noinline)) static void doze(void) { usleep(300000); __asm__(""); }
__attribute__((noinline)) static void callback(const char *what)
{
    if (!strcmp(what, "doze")) doze();
    if (!strcmp(what, "burn")) burn();
}
static void *run(void *what)
{
    struct epoll_event event;
    for (int i = 0; i < 20; i++)
        if (epoll_wait(epoll, &event, 1, i == 0 ? 0 : 20) == 1 && i == 0) callback(what);
    return NULL;
}
int main(int argc, char **argv)
{
    struct epoll_event event = {EPOLLIN | EPOLLET};
    pthread_t thread;
    if (argc < 3 || pipe(ends) || (epoll = epoll_create1(0)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) ||
        write(ends[1], "x", 1) != 1)
        return 1;
    if (!strcmp(argv[1], "starting")) doze();
    if (strcmp(argv[1], "thread")) return run(argv[2]), 0;
    return pthread_create(&thread, NULL, run, argv[2]) || pthread_join(thread, NULL);
}
C
gcc -g -O1 -pthread -o first first.c || fail "first.c does not compile"
for what in doze burn; do
    for how in "./first main" "./first thread" "sh -c 'exec ./first main \$0'"; do
        eval "ran first --fail-on slow_callback -- $how $what"
        check_equal "$how: a gate fails for its first callback" 3 "$status"
        check "$what is named, with what is known of when it began" has_record first \
            "[any('$what' in n for n in names(x['stack'])) and 230e6 <= x['duration_ns'] < 450e6 for x in of('slow_callback')] == [True]"
    done
done
ran starting --fail-on slow_callback -- ./first starting nothing
check_equal "what a program does before its loop begins is no callback" "0 0" "$status $(records starting "len(of('slow_callback', 'stall', 'warning'))")"

# Before it has polled at all: then its stack alone shows that it is a loop's. What main did before is among what was observed.
for what in doze burn; do
    for how in "$what" "load $what"; do
        ran first_callback --fail-on slow_callback -- "$fixtures/first_callback" $how
        check_equal "$how: a gate fails for a callback before the loop's first poll" 3 "$status"
        check "$what is named alone, with its duration: $(records first_callback "[(x['duration_ns'], x['verdict']) for x in of('slow_callback')]")" \
            has_record first_callback "[any('$what' in n for n in names(x['stack'])) and 270e6 <= x['duration_ns'] < 350e6 for x in of('slow_callback')] == [True]"
        check "and all of its time" has_record first_callback \
            "sum(p['duration_ns'] for x in of('slow_callback') for p in x['sources'] if p['kind'] in ('sleep', 'cpu')) > 0.8 * of('slow_callback')[0]['duration_ns']"
        check_equal "and no block of main" "$([[ $what == doze ]] && echo 1 || echo 0)" "$(records first_callback "len(of('blocking_call'))")"
    done
    ran first_callback --fail-on slow_callback -- sh -c "exec '$fixtures/first_callback' $what"
    check_equal "exec $what: and in what the program becomes" "3 1" "$status $(records first_callback "len(of('slow_callback'))")"
done
for what in load clean_up exit; do
    ran around --fail-on slow_callback -- "$fixtures/first_callback" "$what"
    check_equal "$what: what main does before or behind its loop is no callback" "0 0" \
        "$status $(records around "len(of('slow_callback', 'blocking_call', 'stall', 'warning'))")"
done

printf 'import select, time\nwait = select.epoll()\nfor i in range(5): wait.poll(0.05)\ntime.sleep(0.15)\n' >last.py
ran last -- /usr/bin/python3 last.py
check "the call in which a program ends is reported" has_record last \
    "[x['duration_ns'] > 149e6 for x in of('blocking_call') if x['call'] == 'clock_nanosleep'] == [True] and not r[-1]['lost']['iteration_unproven']"
check "and the iteration is in the statistics" has_record last "of('loop_stats')[-1]['open_ns'] >= 149e6 and r[-1]['dispatch_ns']['max'] >= 149e6"
cat >after.c <<'C'
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>
static void *doze(void *unused) { usleep(250000); return unused; }
__attribute__((noinline)) static int serve(void)
{
    struct epoll_event event;
    const int epoll = epoll_create1(0);
    for (int i = 0; i < 30; i++) epoll_wait(epoll, &event, 1, 10);
    return 1;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, doze, NULL);
    if (serve()) usleep(150000);
    pthread_join(thread, NULL);
    usleep(150000);
    return 0;
}
C
gcc -g -O1 -pthread -o after after.c
ran after --fail-on slow_callback,blocking_call -- ./after
check_equal "what main does after its loop has ended is no finding: $(records after "[x['verdict'] for x in of('stall', 'slow_callback', 'blocking_call')]")" \
    "0 ['after']" "$status $(records after "sorted({x['loop']['name'] for x in of('loop_stats')})")"
ran over --duration 300ms -- sleep 30
check_equal "a program that is asked to end is told of: it runs on, for the report ends first" 1 \
    "$(grep -cE '^loopwatch: the session is over, and sleep \(pid [0-9]+\) runs until it ends: the time is up, so it is sent SIGTERM$' over.said)"
check_equal "when the time is up the program is asked to end, which is no failure" 0 "$status"
for i in 1 2 3 4 5 6; do
    ran brief -- sh -c "sleep 0.0$i; exit 3"
    check_equal "one that ends while it is attached to ends with its own status" 3 "$status"
done
# Its first wait spans two intervals: no iteration has begun.
"$loopwatch" run --format ndjson -o waits -- python3 -c 'import asyncio; asyncio.run(asyncio.sleep(2.3))' 2>/dev/null
check "a loop that waits since its start is idle, not in an iteration" python3 -c "
import json
stats = [r for r in map(json.loads, open('waits')) if r['type'] == 'loop_stats']
assert stats and all(r['utilization'] < 0.3 and r.get('open_ns', 0) < 500e6 for r in stats), stats"
printf 'int main(void) { return 6; }' >still.c
gcc -static -o still still.c
ran still -- ./still
check_equal "a static program is watched from outside only, and ends as it would" 6 "$status"
check "which is said at the start" grep -q 'loopwatch: warning: .*statically linked' still.said
printf 'allow lok\n' >wrong
ran refused --suppressions wrong -- touch started
check_equal "a wrong rule file is refused" 2 "$status"
check_not "before anything is started" test -e started
