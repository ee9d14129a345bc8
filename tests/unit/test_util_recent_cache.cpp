// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "util/recent_cache.hpp"

using namespace loopwatch;

TEST_CASE("a recent cache drops what was used least recently, and stays within its bytes")
{
    RecentCache<int, std::string> cache(100);
    cache.keep(1, "one", 40);
    cache.keep(2, "two", 40);
    REQUIRE(cache.find(1));
    cache.keep(3, "three", 40);
    CHECK(cache.find(1));
    CHECK_FALSE(cache.find(2));
    REQUIRE(cache.find(3));
    CHECK(*cache.find(3) == "three");
    CHECK(cache.bytes() == 80);
    cache.keep(4, "four", 100);
    CHECK(cache.find(4));
    CHECK_FALSE(cache.find(1));
    CHECK(cache.bytes() == 100);
}

TEST_CASE("a recent cache replaces a value, and keeps none that is larger than itself")
{
    RecentCache<int, std::string> cache(100);
    cache.keep(1, "old", 60);
    cache.keep(1, "new", 70);
    REQUIRE(cache.find(1));
    CHECK(*cache.find(1) == "new");
    CHECK(cache.bytes() == 70);
    cache.keep(2, "huge", 101);
    CHECK_FALSE(cache.find(2));
    CHECK(cache.find(1));
    cache.keep(1, "huge", 101);
    CHECK_FALSE(cache.find(1));
    CHECK(cache.bytes() == 0);
}
