// SPDX-License-Identifier: Apache-2.0
//
// dispatch_bench [RESUMES [TASKS [ROUNDS [WORK_NS [POST]]]]]
//
// The empty post-and-resume loop: TASKS tasks that do nothing (or WORK_NS of work) but go to the end of the ready
// queue. One line a round of RESUMES (rounds.hpp); ROUNDS = 0: until it is ended. POST = 1: the first task goes through
// Asio each time, as every socket's completion does, not only to the end of the ready queue. Run it interleaved with
// dispatch_bench_noprobes, or attach and detach a tracer while it runs; scripts/bench does.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <asio/post.hpp>

#include <loopwatch/rt.hpp>

#include "rounds.hpp"

using namespace loopwatch;

namespace {

struct Plan {
    unsigned long resumes = 20'000'000, tasks = 1, rounds = 1, work_ns = 0, post = 0;
};

// One piece of code, neither inlined nor cloned: the calibration must measure what the dispatches run.
[[gnu::noipa]] void turn(unsigned long turns)
{
    for (unsigned long i = 0; i < turns; ++i) asm volatile("" ::: "memory");
}

// Turns of an empty loop that last so long here.
unsigned long turns_for(unsigned long work_ns)
{
    if (work_ns == 0) return 0;
    constexpr unsigned long sample = 50'000'000;
    const auto begin_ns = bench::now_ns();
    turn(sample);
    return work_ns * sample / (bench::now_ns() - begin_ns);
}

Task<> spin(const bool& done, unsigned long turns)
{
    while (!done) {
        turn(turns);
        co_await yield();
    }
}

// The queue is first in, first out: all tasks are resumed equally often, so that one of them can keep the time.
Task<> keep_time(const Plan& plan, bool& done, unsigned long turns)
{
    const unsigned long own = plan.resumes / plan.tasks;
    for (unsigned long round = 0; plan.rounds == 0 || round < plan.rounds; ++round) {
        const auto begin_ns = bench::now_ns();
        for (unsigned long i = 0; i < own; ++i) {
            turn(turns);
            if (plan.post)
                co_await asio::post(Loop::current()->context(), use_task);
            else
                co_await yield();
        }
        bench::report_round(begin_ns, bench::now_ns(), own * plan.tasks);
    }
    done = true;
}

}  // namespace

int main(int argc, char** argv)
{
    Plan plan;
    unsigned long* const values[] = {&plan.resumes, &plan.tasks, &plan.rounds, &plan.work_ns, &plan.post};
    for (int i = 1; i < argc && i <= 5; ++i) *values[i - 1] = std::strtoul(argv[i], nullptr, 10);
    if (argc > 6 || plan.tasks == 0 || plan.resumes < plan.tasks) {
        std::fputs("usage: dispatch_bench [RESUMES [TASKS [ROUNDS [WORK_NS [POST]]]]]\n", stderr);
        return 2;
    }
    const unsigned long turns = turns_for(plan.work_ns);
    bool done = false;
    Loop loop("bench");
    spawn(loop, keep_time(plan, done, turns));
    for (unsigned long i = 1; i < plan.tasks; ++i) spawn(loop, spin(done, turns));
    loop.run();
}
