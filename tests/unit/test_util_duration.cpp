// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "util/duration.hpp"

using namespace loopwatch;

TEST_CASE("a duration with a unit is read exactly")
{
    const std::pair<const char*, std::uint64_t> cases[] = {
        {"1ns", 1},
        {"50us", 50'000},
        {"10ms", 10'000'000},
        {"1.5s", 1'500'000'000},
        {"2m", 120ull * 1'000'000'000},
        {"1h", 3600ull * 1'000'000'000},
        {"7d", 7 * 86400ull * 1'000'000'000},
        {".5ms", 500'000},
        {"3.s", 3'000'000'000},
        {"0.1s", 100'000'000},
        {"0.3us", 300},
        {"1.9999999999999999ms", 1'999'999},
        {"9223372036854775807ns", 9223372036854775807ull},
    };
    for (const auto& [text, ns] : cases) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE(parsed);
        CHECK(*parsed == ns);
    }
}

TEST_CASE("a bad duration is a usage error that says what is wrong")
{
    struct Case {
        const char *text, *what, *hint;
    };
    const Case cases[] = {
        {"10", "\"10\" has no unit", "did you mean 10ms?"},
        {"0", "\"0\" is not a positive duration", "write a number with a unit"},
        {"0ms", "\"0ms\" is not a positive duration", "write a number with a unit"},
        {"0.0000001ns", "is not a positive duration", "write"},
        {"-5ms", "\"-5ms\" is negative", "write a number"},
        {"abc", "\"abc\" is not a duration", "write a number"},
        {"", "\"\" is not a duration", "write"},
        {".", "is not a duration", "write"},
        {".ms", "is not a duration", "write"},
        {"1.2.3ms", "is not a duration", "write"},
        {"10 ms", "is not a duration", "use ns, us, ms, s, m, h or d"},
        {"10sec", "is not a duration", "\"sec\" is no unit"},
        {"10MS", "is not a duration", "\"MS\" is no unit"},
        {"1e3ms", "is not a duration", "no unit"},
        {"+5ms", "is not a duration", "write"},
        {"nanms", "is not a duration", "write"},
        {"9223372036854775808ns", "is too long", "292 years"},
        {"99999999999999999999999s", "is too long", "292 years"},
        {"2562048h", "is too long", "292 years"},
        {"18446744073710s", "is too long", "292 years"},  // wraps to 448,384 ns
    };
    for (const Case& c : cases) {
        INFO(c.text);
        const auto parsed = parse_duration(c.text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == ExitCode::usage);
        CHECK_THAT(parsed.error().what, Catch::Contains(c.what));
        CHECK_THAT(parsed.error().hint, Catch::Contains(c.hint));
    }
}

TEST_CASE("a duration is shown with three significant digits")
{
    const std::pair<std::uint64_t, const char*> cases[] = {
        {0, "0 ns"},
        {850, "850 ns"},
        {999, "999 ns"},
        {1'000, "1 us"},
        {85'000, "85 us"},
        {8'523, "8.52 us"},
        {85'230, "85.2 us"},
        {999'499, "999 us"},
        {999'500, "1 ms"},
        {9'996'000, "10 ms"},
        {99'960'000, "100 ms"},
        {312'345'678, "312 ms"},
        {100'000'000, "100 ms"},
        {999'700'000, "1 s"},
        {1'240'000'000, "1.24 s"},
        {12'340'000'000, "12.3 s"},
        {119'000'000'000, "119 s"},
        {125'000'000'000, "2 min 5 s"},
        {179'900'000'000, "3 min 0 s"},
        {7'500'000'000'000, "2 h 5 min"},
    };
    for (const auto& [ns, text] : cases) {
        INFO(ns);
        CHECK(format_duration(ns) == text);
    }
}
