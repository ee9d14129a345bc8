# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034
# For scripts that run programs under `loopwatch run --inside`, or with the shim alone, as a user without rights. Source after
# tests/privileged/lib/watch.sh. The script goes on in $work, which is that user's.

shim=$build/lib/libloopwatch_preload.so
need_command setpriv gcc
need_program "$loopwatch" "$shim"
nobody=65534
user=()
if is_root && setpriv --reuid=$nobody --regid=$nobody --clear-groups test -x "$loopwatch"; then
    user=(setpriv "--reuid=$nobody" "--regid=$nobody" --clear-groups)
    chown $nobody:$nobody "$work"
fi
cd "$work" || exit

# ran NAME OPTIONS… -- PROGRAM…: to its end; the report in NAME.out, what the program and we print in NAME.said, the exit status in $status.
ran() {
    local name=$1
    shift
    status=0
    rm -f "$name.out"
    timeout 60 "${user[@]}" "$loopwatch" run --inside --format ndjson -o "$name.out" "$@" >"$name.said" 2>&1 || status=$?
}

# alone MODE PROGRAM…: without a collector, LOOPWATCH=MODE; what it prints in alone.out and alone.err, the exit status in $status.
alone() {
    local mode=$1
    shift
    status=0
    timeout 60 "${user[@]}" env LOOPWATCH="$mode" LD_PRELOAD="$shim" "$@" >alone.out 2>alone.err || status=$?
}

# refused SENTENCE STATUS WORDS COMMAND…: with one line that has these words.
refused() {
    local sentence=$1 expected=$2 words=$3
    shift 3
    check_status "$sentence" "$expected" "${user[@]}" "$@"
    check "$sentence, in one line that says so" sh -c '[ "$(wc -l <"$1")" = 1 ] && grep -q -- "$2" "$1"' - "$work/stderr" "$words"
}

# compiled NAME CFLAGS…: NAME.c, with a loop of its own: run_loop(), 2 ms an iteration.
compiled() {
    local name=$1
    shift
    gcc -g -O1 -pthread "$@" -include loop.h -o "$name" "$name.c" || fail "$name does not compile"
}
# guest NAME CFLAGS…: the same, and runs it.
guest() {
    compiled "$@"
    ran "$1" -- "./$1"
}
# told_of NAME: how many slow callbacks, how many blocking calls.
told_of() { records "$1" "'%d %d' % (len(of('slow_callback')), len(of('blocking_call')))"; }

cat >loop.h <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static void run_loop(int rounds, void (*callback)(int round))
{
    const int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    const struct itimerspec every = {{0, 2000000}, {0, 2000000}};
    struct epoll_event in = {.events = EPOLLIN}, out;
    unsigned long long ticks;
    timerfd_settime(timer, 0, &every, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &in);
    for (int round = 0; round < rounds; round++) {
        epoll_wait(epoll, &out, 1, -1);
        if (read(timer, &ticks, sizeof ticks) != sizeof ticks) abort();
        callback(round);
    }
    close(epoll);
    close(timer);
}
C
# A loop of Python's: two stalls.
cat >loop.py <<'PY'
import asyncio, subprocess, time
async def main():
    for _ in range(20):
        await asyncio.sleep(0.002)
    time.sleep(0.15)
    await asyncio.sleep(0.02)
    subprocess.run(["sleep", "0.2"])
    await asyncio.sleep(0.02)
asyncio.run(main())
PY
