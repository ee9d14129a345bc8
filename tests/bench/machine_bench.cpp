// SPDX-License-Identifier: Apache-2.0
//
// machine_bench tsc|clock|switch|syscall [ROUNDS]
//
// What the machine charges, and what a program that nobody watches pays while another one is watched; lines as in
// rounds.hpp.
//   tsc, clock   one read of the TSC, one clock_gettime(CLOCK_MONOTONIC)
//   switch       one context switch: two processes on one CPU hand a byte to and fro (pin it: taskset -c 0)
//   syscall      one getppid(2)
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "rounds.hpp"

namespace {

void must(bool holds, const char* what)
{
    if (holds) return;
    std::perror(what);
    std::_Exit(1);
}

void pass(int from, int to)
{
    char byte = 0;
    must(::read(from, &byte, 1) == 1 && ::write(to, &byte, 1) == 1, "machine_bench: pipe");
}

// Each turn is two switches: to the partner and back.
void switch_rounds(unsigned long rounds)
{
    int there[2], back[2];
    must(::pipe(there) == 0 && ::pipe(back) == 0, "machine_bench: pipe");
    const pid_t partner = ::fork();
    must(partner >= 0, "machine_bench: fork");
    if (partner == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pass(there[0], back[1]);
    }
    must(::write(back[1], "", 1) == 1, "machine_bench: pipe");
    constexpr unsigned long turns = 10'000;
    for (unsigned long round = 0; rounds == 0 || round < rounds; ++round) {
        const auto begin_ns = bench::now_ns();
        for (unsigned long i = 0; i < turns; ++i) pass(back[0], there[1]);
        bench::report_round(begin_ns, bench::now_ns(), 2 * turns);
    }
    ::kill(partner, SIGKILL);
}

}  // namespace

int main(int argc, char** argv)
{
    const char* const what = argc > 1 ? argv[1] : "";
    const unsigned long rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 11;
    if (std::strcmp(what, "clock") == 0) {
        bench::run_rounds(rounds, 1'000'000, [] { bench::now_ns(); });
#ifdef __x86_64__
    } else if (std::strcmp(what, "tsc") == 0) {
        bench::run_rounds(rounds, 1'000'000, [] {
            const auto ticks = __rdtsc();
            asm volatile("" ::"r"(ticks));
        });
#endif
    } else if (std::strcmp(what, "syscall") == 0) {
        bench::run_rounds(rounds, 100'000, [] { ::syscall(SYS_getppid); });
    } else if (std::strcmp(what, "switch") == 0) {
        switch_rounds(rounds);
    } else {
        std::fputs("usage: machine_bench tsc|clock|switch|syscall [ROUNDS]\n", stderr);
        return 2;
    }
}
