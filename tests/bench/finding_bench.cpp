// SPDX-License-Identifier: Apache-2.0
//
// finding_bench FINDINGS_A_SECOND SECONDS BUSY_US
//
// Slow dispatches at a steady rate: each burns BUSY_US of CPU. Says "ready PID" from within its loop; begins with the
// first line on stdin; says "provoked N MS" after its loop has ended. From "ready" on no dispatch but the provoked ones
// is slow.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <asio/buffer.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <loopwatch/rt.hpp>

#include "rounds.hpp"

using namespace loopwatch;

namespace {

struct Plan {
    unsigned long rate, seconds, busy_us;
    unsigned long provoked = 0;
    std::uint64_t took_ns = 0;
};

[[gnu::noinline]] void burn(unsigned long us)
{
    const auto until_ns = bench::now_ns() + us * 1000;
    while (bench::now_ns() < until_ns) {
    }
}

// Behind its time it goes on without a rest, but never without a dispatch of its own for each finding.
Task<> provoke(asio::posix::stream_descriptor& input, Plan& plan)
{
    std::printf("ready %d\n", static_cast<int>(::getpid()));
    std::fflush(stdout);
    char line[16];
    co_await input.async_read_some(asio::buffer(line), use_task_nothrow);
    const auto begin_ns = bench::now_ns();
    const unsigned long total = plan.rate * plan.seconds;
    while (plan.provoked < total) {
        const auto due = std::min(total, (bench::now_ns() - begin_ns) * plan.rate / 1'000'000'000);
        if (plan.provoked >= due) {
            co_await sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        co_await yield();
        burn(plan.busy_us);
        ++plan.provoked;
    }
    plan.took_ns = bench::now_ns() - begin_ns;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 4) {
        std::fputs("usage: finding_bench FINDINGS_A_SECOND SECONDS BUSY_US\n", stderr);
        return 2;
    }
    Plan plan{std::strtoul(argv[1], nullptr, 10), std::strtoul(argv[2], nullptr, 10),
              std::strtoul(argv[3], nullptr, 10)};
    Loop loop("bench");
    asio::posix::stream_descriptor input(loop.context(), ::dup(STDIN_FILENO));
    spawn(loop, provoke(input, plan), "provoke");
    loop.run();
    std::printf("provoked %lu %.0f\n", plan.provoked, static_cast<double>(plan.took_ns) / 1e6);
}
