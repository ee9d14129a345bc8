#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# However a program with probes ends under `loopwatch run --inside`, its report has what its loops counted, or says that it is missing:
# their counters are in the program's memory, which is gone by then.
# Runs beside others: no time is judged.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/contract/lib/inside.sh"
need_command g++
need_program "$fixtures/asio_tracked_asio"

# ends HOW: seven dispatches of a loop "own" on the first thread, and of one on a thread that lives on; then it ends HOW. "brief": a loop
# that ends at once, on a thread that does too. The last dispatch of "within" does not return.
cat >ends.cpp <<'CPP'
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include <loopwatch/join.hpp>

namespace {

void dispatch(loopwatch::LoopProbes& loop, int count)
{
    for (int i = 0; i < count; ++i) {
        loop.begin();
        loop.end();
    }
}

void run_loop(const char* name, int count)
{
    loopwatch::LoopProbes loop(name);
    loop.start();
    dispatch(loop, count);
    loop.stop();
}

}  // namespace

int main(int, char** argv)
{
    const std::string how = argv[1];
    if (how == "brief") {
        std::thread(run_loop, "brief", 3).join();
        return 0;
    }
    if (how == "twice") {
        loopwatch::LoopProbes loop("twice");
        for (const int count : {3, 4}) {
            loop.start();
            dispatch(loop, count);
            loop.stop();
        }
        return 0;
    }
    std::atomic<bool> beside{false};
    std::thread other([&] {
        loopwatch::LoopProbes loop("other");
        loop.start();
        dispatch(loop, 7);
        beside = true;
        while (true) pause();
    });
    while (!beside) sched_yield();
    other.detach();
    loopwatch::LoopProbes loop("own");
    loop.start();
    dispatch(loop, 7);
    if (how == "within") {
        loop.begin();
        std::exit(0);
    }
    if (how == "exit") std::exit(0);
    if (how == "_exit") _exit(0);
    if (how == "killed") raise(SIGKILL);
    if (how == "exec") execl("/bin/true", "true", nullptr);
}
CPP
g++ -std=c++20 -O1 -pthread -I "$root/runtime_probes/include" ends.cpp -o ends -ldl || fail "ends.cpp does not compile"

# counted NAME: "LOOP DISPATCHES" of each loop, and how complete the report is.
counted() {
    records "$1" "(lambda n: ' '.join('%s %d' % (k, n[k]) for k in sorted(n)) + ' ' + r[-1]['completeness'])({k: sum(x['dispatches'] for x in of('loop_stats') if x['loop']['name'] == k) for k in {x['loop']['name'] for x in of('loop_stats')}})"
}
for how in return exit; do
    ran "$how" -- ./ends "$how"
    check_equal "a program that ends by $how: what its loops counted" "other 7 own 7 complete" "$(counted "$how")"
done
ran within -- ./ends within
check_equal "one that ends within a dispatch" "other 7 own 7 complete" "$(counted within)"
ran brief -- ./ends brief
check_equal "a loop that lives for a moment" "brief 3 complete" "$(counted brief)"
ran twice -- ./ends twice
check_equal "one that runs twice" "twice 7 complete" "$(counted twice)"
for how in _exit killed exec; do
    ran "$how" -- ./ends "$how"
    check_equal "a program that ends by $how: its last statistics are missing, and a warning says so" "limited 1" \
        "$(records "$how" "r[-1]['completeness'] + ' %d' % sum('since their last statistics is missing' in x['text'] for x in of('warning'))")"
done
check "and no statistics say that there were no dispatches" has_record killed "not of('loop_stats')"

# Built with tracking, nothing else: the thread ends with its loop.
start_told tracked "${user[@]}" "$loopwatch" run --inside --format ndjson -o tracked_report.out --threshold 50ms -- "$fixtures/asio_tracked_asio" callback
wait_output tracked 10 '^ready' || fail "no program"
ask tracked "go 3 60" '^done'
tell tracked quit
ended_with "$started" 10 || fail "it does not end"
check "an Asio program with tracking that lives for less than an interval: its dispatches are counted" has_record tracked_report \
    "sum(x['dispatches'] for x in of('loop_stats')) >= 3 and r[-1]['completeness'] == 'complete'"
