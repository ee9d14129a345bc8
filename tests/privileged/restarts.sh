#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# -n NAME watches what starts with that name later, too; --wait waits for the first.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/stall"

# Names of their own, so that no other process has them: one longer than a comm, one by its file alone.
name=lw-restarts-of-a-long-name-$$
other=lw-restarts-of-a-long-nom-$$
cp "$fixtures/any_loop" "$work/$name"
cp "$fixtures/any_loop" "$work/$other"

check_status "without --wait there must be one" 5 "$loopwatch" -n "$name" --duration 1s
check "and the hint says how to wait" grep -q -- '--wait' "$work/stderr"
check_status "--wait alone waits for nothing" 2 "$loopwatch" -p $$ --wait

# named SESSION OPTION…: a session for $name in the background, live when this returns.
named() {
    local session_name=$1
    shift
    start_background "$session_name" "$loopwatch" -n "$name" --format ndjson --threshold 50ms "$@"
    session=$started
    wait_output "$session_name" 15 '"type":"session_start"' || fail "no session"
}

# --- a server that is restarted ---
named waiting --wait
pids=()
check "a session that waits has no target yet" has_record waiting 'len(of("target_start")) == 0'
for life in 1 2 3 4 5; do
    start_fixture "life-$life" "$work/$name" --dir "$work" epoll
    check "life $life: it is watched within a second of its start" wait_until 1 has_record waiting "$target in {x['pid'] for x in of('target_start')}"
    pids+=("$target")
    ask "life-$life" 'go sleep 1 100' '^done' || fail "not done"
    if [ "$life" = 3 ]; then kill -SEGV "$target"; else tell "life-$life" quit; fi
    wait_until 5 is_gone_ "$target"
done
start_fixture other "$work/$other" --dir "$work" epoll
ask other 'go sleep 1 100' '^done' || fail "not done"
tell other quit
wait_until 5 has_record waiting 'len(of("target_end")) == 5' || true
end_session
check_equal "the session ends when it is asked to, with 0" 0 "$stopped_status"
check_equal "five lives: five starts and five ends; none of a name that differs after 15 characters" "(5, 5)" \
    "$(records waiting '(len(of("target_start")), len(of("target_end")))')"
check_equal "how each ended is in its target_end: the third by SIGSEGV" "[0, 0, 11, 0, 0]" \
    "$(records waiting "[x['exit_status'] and x['exit_status'] & 127 for x in of('target_end')]")"
# Its code is read for the first time: a stall before its first wait is unwound is not seen, and a warning says so.
check "the first life: its stall, or a warning that its loop was recognised late" has_record waiting \
    "[x['pid'] for x in of('slow_callback')].count(${pids[0]}) == 1 or any('recognised as an event loop' in x['text'] for x in of('warning'))"
check_equal "all others: a stall of each" "${pids[*]:1}" "$(records waiting "' '.join(str(x['pid']) for x in of('slow_callback') if x['pid'] != ${pids[0]})")"

# --- workers that are deployed at once ---
cp "$(readlink -f /usr/bin/python3)" "$work/lw-deploy-$$"
cat >"$work/deployed.py" <<'PY'
import asyncio
async def main():
    for _ in range(40):
        await asyncio.sleep(0.02)
asyncio.run(main())
PY
any_loop_name=$name
name=lw-deploy-$$
named deploys --wait
workers=()
for _ in 1 2 3 4 5 6; do
    "$work/$name" "$work/deployed.py" &
    workers+=($!)
done
wait "${workers[@]}"
wait_until 5 has_record deploys 'len(of("target_end")) == 6' || fail "not all were watched"
end_session
name=$any_loop_name
# Where the worker has much to do each of them is late: without AttachmentOptions::late_told 5 of 6 were said to be.
check "that a loop was recognised late is said once a session at most" has_record deploys \
    "len([x for x in of('warning') if 'recognised as an event loop' in x['text']]) <= 1"

# --- healthy, and polling by the time that its loop is looked for ---
any_loop_name=$name
name=lw-healthy-$$
gcc -O1 -x c -o "$work/$name" - <<'C'
#include <sys/epoll.h>
int main(void)
{
    struct epoll_event event;
    const int epoll = epoll_create1(0);
    for (int i = 0; i < 30; i++) epoll_wait(epoll, &event, 1, 40);
}
C
named healthy --wait
for _ in 1 2 3; do "$work/$name"; done
wait_until 5 has_record healthy 'len(of("target_end")) == 3' || fail "not all were watched"
end_session
name=$any_loop_name
check_equal "three healthy lives of a program that was waited for: no finding" "3 0" \
    "$(records healthy "len(of('target_end')), len(of('slow_callback', 'stall', 'blocking_call'))" | tr -d '(),')"

# --- one that ends before it can be known ---
named brief --wait
start_fixture brief-life "$work/$name" --dir "$work" epoll
wait_until 5 has_record brief 'of("target_start")' || fail "not watched"
tell brief-life quit
wait_until 5 is_gone_ "$target"
wait_until 5 has_record brief 'of("target_end")' || fail "no end"
end_session
check "a process of that name that ended before its loop was recognised is a loss, or its loop is in the report" has_record brief \
    "r[-1]['lost'].get('processes_missed') == 1 and (r[-1]['completeness'] in ('findings_missing', 'nothing_watched')) or of('loop_stats')"

# --- workers that are forked, and what they execute ---
cp /bin/bash "$work/lw-forks-$$"
name=lw-forks-$$
mkfifo "$work/go"
exec 7<>"$work/go"
"$work/$name" -c 'exec {in}<&0; read -r line; (read -r line <&"$in"; :) & wait; /bin/sleep 0.5; :' <&7 &
master=$!
named forks
echo >&7
worker() { pgrep -P "$master" -x "$name" | head -n 1; }
wait_until 5 worker || fail "no worker"
pid=$(worker)
check "a worker that is forked with that name is watched" wait_until 3 has_record forks "$pid in {x['pid'] for x in of('target_start')}"
echo >&7
wait "$master" || true
end_session
check "a child that executes another program is not" has_record forks "{x['comm'] for x in of('target_start')} == {'$name'}"
