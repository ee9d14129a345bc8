// SPDX-License-Identifier: Apache-2.0
//
// Provokes each row of the table once, in a dispatch, and checks its report: name, times, caller, descriptor, argument,
// text.
#include <cstdio>
#include <cstring>
#include <string>

#include <dlfcn.h>
#include <time.h>

#include "provocations.hpp"
#include "tap.hpp"

namespace {

struct Row {
    const char* symbol;
    const char* call;
};
const Row rows[] = {
#define LW_CALL(kind, call, returns, symbol, ...) {#symbol, #call},
#include "intercepts.def"
};

std::uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

bool in_this_program(std::uint64_t address)
{
    Dl_info of_caller, own;
    return dladdr(reinterpret_cast<void*>(address), &of_caller) != 0 &&
           dladdr(reinterpret_cast<void*>(&now_ns), &own) != 0 && of_caller.dli_fbase == own.dli_fbase;
}

// Empty if the report is as it should be, else what is wrong with it.
std::string fault_of(const Row& row, const Expected& expected, std::uint64_t before_ns, std::uint64_t after_ns)
{
    const tap::Report& got = tap::report(0);
    if (tap::count() == 0) return "no report";
    if (std::strcmp(got.call, row.call) != 0) return std::string("named ") + got.call;
    if (got.start_ns < before_ns || got.end_ns > after_ns || got.start_ns > got.end_ns)
        return "times outside of the call";
    // A ring's timer runs from before the call that waits for it: who is kept from making it waits the less.
    if (got.end_ns - got.start_ns < expected.at_least_ns / 2)
        return "too short: " + std::to_string(got.end_ns - got.start_ns) + " ns";
    if (got.detail.size != sizeof(lw_call_detail)) return "detail of another size";
    if (!in_this_program(got.detail.caller)) return "caller is not this program";
    if (got.detail.fd != expected.fd)
        return "fd " + std::to_string(got.detail.fd) + ", not " + std::to_string(expected.fd);
    if (got.detail.arg != expected.arg)
        return "arg " + std::to_string(got.detail.arg) + ", not " + std::to_string(expected.arg);
    if (got.detail.text != expected.text)
        return "text '" + std::string(got.detail.text) + "', not '" + expected.text + "'";
    return {};
}

bool check(const Row& row)
{
    const auto provocation = provocations().find(row.symbol);
    std::string fault = "nothing provokes it: add a line to provocations.cpp";
    if (provocation != provocations().end()) {
        const std::uint64_t before_ns = now_ns();
        const Expected expected = provocation->second();
        fault = fault_of(row, expected, before_ns, now_ns());
    }
    std::printf("%s row %s%s%s\n", fault.empty() ? "ok  " : "FAIL", row.symbol, fault.empty() ? "" : ": ",
                fault.c_str());
    return fault.empty();
}

}  // namespace

// rows        checks every row
// rows live   makes the calls and checks nothing: for a tracer outside, who must find the site untouched
int main(int argc, char** argv)
{
    if (argc == 2 && std::strcmp(argv[1], "live") == 0) {
        tap::await_tracer();
        tap::enter();
        // Twice: a tracer raises the semaphore a moment before it hears (bpftrace enables the event, then attaches its
        // program).
        for (int round = 0; round < 2; ++round)
            for (const auto& [symbol, provocation] : provocations()) provocation();
        return 0;
    }
    tap::attach();
    tap::enter();
    bool good = true;
    for (const Row& row : rows) good &= check(row);
    tap::leave();
    tap::detach();
    return good ? 0 : 1;
}
