// SPDX-License-Identifier: Apache-2.0
//
// The empty post-and-resume loop: tasks that do nothing but go to the end of the ready queue. Prints nanoseconds per resume.
//   dispatch_bench [RESUMES [TASKS]]
// Run it interleaved with dispatch_bench_noprobes; scripts/bench does.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <loopwatch/rt.hpp>

using namespace loopwatch;

static Task<> spin(unsigned long resumes)
{
    for (unsigned long i = 0; i < resumes; ++i) co_await yield();
}

int main(int argc, char** argv)
{
    const unsigned long resumes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20'000'000;
    const unsigned long tasks = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    if (resumes == 0 || tasks == 0) {
        std::fputs("usage: dispatch_bench [RESUMES [TASKS]]\n", stderr);
        return 2;
    }
    Loop loop("bench");
    for (unsigned long i = 0; i < tasks; ++i) spawn(loop, spin(resumes / tasks));
    const auto start = std::chrono::steady_clock::now();
    loop.run();
    const std::chrono::duration<double, std::nano> lasted = std::chrono::steady_clock::now() - start;
    std::printf("%.3f\n", lasted.count() / static_cast<double>(resumes));
}
