// SPDX-License-Identifier: Apache-2.0
//
// What scripts/bench reads from its programs: one line a round, "BEGIN_NS END_NS NS_PER_STEP", the times of
// CLOCK_MONOTONIC, so that a round can be told to lie before, in or after the time somebody was attached.
#pragma once

#include <time.h>

#include <cstdint>
#include <cstdio>

namespace bench {

inline std::uint64_t now_ns()
{
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

inline void report_round(std::uint64_t begin_ns, std::uint64_t end_ns, unsigned long steps)
{
    std::printf("%llu %llu %.3f\n", static_cast<unsigned long long>(begin_ns), static_cast<unsigned long long>(end_ns),
                static_cast<double>(end_ns - begin_ns) / static_cast<double>(steps));
    std::fflush(stdout);
}

// Rounds of `steps` calls; rounds = 0: until somebody ends the program.
template <class Step>
void run_rounds(unsigned long rounds, unsigned long steps, Step step)
{
    for (unsigned long round = 0; rounds == 0 || round < rounds; ++round) {
        const std::uint64_t begin_ns = now_ns();
        for (unsigned long i = 0; i < steps; ++i) step();
        report_round(begin_ns, now_ns(), steps);
    }
}

}  // namespace bench
