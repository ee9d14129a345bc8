// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <ctime>

#include "util/wall_clock.hpp"

using namespace loopwatch;

TEST_CASE("a monotonic time is dated by its anchor, before and after it")
{
    // date -u -d @1700000000 → 2023-11-14T22:13:20Z
    const ClockAnchor anchor{5'000'000'000, 1'700'000'000'123'456'789};
    CHECK(anchor.rfc3339(5'000'000'000) == "2023-11-14T22:13:20.123456789Z");
    CHECK(anchor.rfc3339(5'876'543'211) == "2023-11-14T22:13:21.000000000Z");
    CHECK(anchor.rfc3339(4'000'000'000) == "2023-11-14T22:13:19.123456789Z");
    CHECK(anchor.time_of_day(5'000'000'000) == "22:13:20.123");
    // The last second of a leap day.
    const ClockAnchor leap{0, 1'709'251'199'000'000'000};
    CHECK(leap.rfc3339(0) == "2024-02-29T23:59:59.000000000Z");
    CHECK(leap.rfc3339(1'000'000'000) == "2024-03-01T00:00:00.000000000Z");
}

TEST_CASE("an anchor reads both clocks at one moment")
{
    const std::uint64_t before = monotonic_ns();
    const ClockAnchor anchor = ClockAnchor::now();
    const std::uint64_t after = monotonic_ns();
    CHECK(anchor.mono_ns >= before);
    CHECK(anchor.mono_ns <= after);
    const auto seconds = static_cast<std::uint64_t>(std::time(nullptr));
    CHECK(anchor.realtime_ns / 1'000'000'000 + 1 >= seconds);
    CHECK(anchor.realtime_ns / 1'000'000'000 <= seconds + 1);
}
