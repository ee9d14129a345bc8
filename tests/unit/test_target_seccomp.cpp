// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "target/seccomp.hpp"

using namespace loopwatch;

TEST_CASE("a process has as many seccomp filters as its status says")
{
    CHECK(parse_seccomp_filters("Name:\tcat\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\nThreads:\t1\n") == 0);
    CHECK(parse_seccomp_filters("Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t12\n") == 12);
}

TEST_CASE("an older kernel says that there are some, and counts as one")
{
    CHECK(parse_seccomp_filters("Name:\tcat\nSeccomp:\t2\nSpeculation_Store_Bypass:\tvulnerable\n") == 1);
}

TEST_CASE("a kernel without seccomp has none")
{
    CHECK(parse_seccomp_filters("Name:\tcat\n") == 0);
}
