// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "output/exemplars.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000, ms = 1'000'000;

struct Limited {
    explicit Limited(ExemplarLimits of = {})
        : exemplars(of, [](std::uint32_t pid) { return pid < 100 ? "orders" : "cart"; })
    {
    }
    bool admit(const std::string& fingerprint, std::uint64_t at_ns, std::uint64_t duration_ns = 100 * ms,
               std::uint32_t pid = 7)
    {
        return exemplars.admit("slow_callback", pid, fingerprint, duration_ns, at_ns);
    }
    Exemplars exemplars;
};

}  // namespace

TEST_CASE("of one fingerprint the first is kept, each that is half as long again, and then one in five minutes")
{
    Limited limited;
    CHECK(limited.admit("a", second));
    CHECK_FALSE(limited.admit("a", 2 * second));
    CHECK_FALSE(limited.admit("a", 3 * second, 149 * ms));
    CHECK(limited.admit("a", 4 * second, 150 * ms));
    CHECK_FALSE(limited.admit("a", 5 * second, 200 * ms));
    CHECK_FALSE(limited.admit("a", 303 * second));
    CHECK(limited.admit("a", 304 * second));
    CHECK(limited.exemplars.suppressed().at("slow_callback") == 4);
}

TEST_CASE("a service that starts again is known, another service is not")
{
    Limited limited;
    CHECK(limited.admit("a", second, 100 * ms, 7));
    CHECK_FALSE(limited.admit("a", second, 100 * ms, 8));
    CHECK(limited.admit("a", second, 100 * ms, 107));
}

TEST_CASE("all fingerprints together have a burst, and one a second from then on")
{
    Limited limited;
    int admitted = 0;
    for (int i = 0; i < 100; ++i) admitted += limited.admit(std::to_string(i), second);
    CHECK(admitted == 60);
    CHECK_FALSE(limited.admit("x", second + 999 * ms));
    CHECK(limited.admit("y", 2 * second + 1));
    CHECK_FALSE(limited.admit("z", 2 * second + 2));
    limited.exemplars.thin_to(0);
    CHECK_FALSE(limited.admit("w", 900 * second));
}

TEST_CASE("more fingerprints than there is room for count as one, until the others are old")
{
    ExemplarLimits limits;
    limits.most_fingerprints = 3;
    Limited limited(limits);
    for (const auto* name : {"a", "b", "c"}) CHECK(limited.admit(name, second));
    CHECK(limited.admit("d", 2 * second));
    CHECK_FALSE(limited.admit("e", 2 * second));
    CHECK_FALSE(limited.admit("a", 3 * second));
    CHECK(limited.admit("f", 400 * second));
}
