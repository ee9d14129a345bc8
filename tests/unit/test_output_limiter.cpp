// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "output/limiter.hpp"

using namespace loopwatch;

namespace {
constexpr std::uint64_t second = 1'000'000'000;
}

TEST_CASE("a fingerprint may be reported a hundred times a second, the rest is counted by type")
{
    Limiter limiter;
    int admitted = 0;
    for (int i = 0; i < 123; ++i)
        admitted += limiter.admit("slow_callback", 7, "a", 0, 5 * second + static_cast<std::uint64_t>(i));
    CHECK(admitted == 100);
    CHECK(limiter.admit("slow_callback", 7, "b", 0, 5 * second + 500));
    CHECK_FALSE(limiter.admit("blocking_call", 7, "a", 0, 5 * second + 501));
    CHECK(limiter.suppressed() == Counts{{"blocking_call", 1}, {"slow_callback", 23}});
    CHECK_FALSE(limiter.admit("slow_callback", 7, "a", 0, 6 * second - 1));
    CHECK(limiter.admit("slow_callback", 7, "a", 0, 6 * second));
    CHECK(limiter.suppressed().at("slow_callback") == 24);
}

TEST_CASE("a thousand findings a second are reported in all, however different")
{
    Limiter limiter;
    int admitted = 0;
    for (int i = 0; i < 1'700; ++i) admitted += limiter.admit("slow_callback", 7, std::to_string(i), 0, second);
    CHECK(admitted == 1'000);
    CHECK(limiter.suppressed() == Counts{{"slow_callback", 700}});
    CHECK(limiter.admit("slow_callback", 7, "x", 0, 2 * second));
}

TEST_CASE("a process that reports a thousand findings a second leaves some to the others")
{
    Limiter limiter;
    for (int i = 0; i < 1'700; ++i) (void)limiter.admit("slow_callback", 7, std::to_string(i), 0, second);
    int admitted = 0;
    for (int i = 0; i < 60; ++i)
        admitted += limiter.admit("slow_callback", 8, "of another " + std::to_string(i), 0, second);
    CHECK(admitted == 50);
}

TEST_CASE("one program in two processes: what one reports leaves the other's findings of the same fingerprint alone")
{
    Limiter limiter;
    for (int i = 0; i < 123; ++i) (void)limiter.admit("slow_callback", 7, "a", 0, second);
    CHECK(limiter.admit("slow_callback", 8, "a", 0, second));
    CHECK_FALSE(limiter.admit("slow_callback", 7, "a", 0, second));
}

TEST_CASE("a finding that comes late does not open a window")
{
    Limiter limiter({2, 1'000});
    CHECK(limiter.admit("slow_callback", 7, "a", 0, 5 * second));
    CHECK(limiter.admit("slow_callback", 7, "a", 0, 4 * second));
    CHECK_FALSE(limiter.admit("slow_callback", 7, "a", 0, 5 * second + 1));
}
