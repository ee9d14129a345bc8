// SPDX-License-Identifier: Apache-2.0
//
// task_bench [TASKS [ROUNDS]]
//
// Tasks that do nothing: spawned, resumed once, destroyed, in batches of a thousand, as a server's requests come and
// go. One line a round of TASKS (rounds.hpp). Run it interleaved with task_bench_noprobes; scripts/bench does.
#include <cstdlib>

#include <loopwatch/rt.hpp>

#include "rounds.hpp"

using namespace loopwatch;

namespace {

constexpr unsigned long batch = 1000;

Task<> nothing()
{
    co_return;
}

Task<> keep_time(Loop& loop, unsigned long tasks, unsigned long rounds)
{
    for (unsigned long round = 0; rounds == 0 || round < rounds; ++round) {
        const auto begin_ns = bench::now_ns();
        for (unsigned long done = 0; done < tasks; done += batch) {
            for (unsigned long i = 0; i < batch; ++i) spawn(loop, nothing());
            co_await sleep_for(std::chrono::nanoseconds(0));  // until the loop has run and destroyed them
        }
        bench::report_round(begin_ns, bench::now_ns(), tasks);
    }
}

}  // namespace

int main(int argc, char** argv)
{
    const unsigned long tasks = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
    const unsigned long rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    Loop loop("main");
    spawn(loop, keep_time(loop, tasks < batch ? batch : tasks, rounds));
    loop.run();
}
