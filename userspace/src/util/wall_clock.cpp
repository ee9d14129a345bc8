// SPDX-License-Identifier: Apache-2.0
#include "util/wall_clock.hpp"

#include <fmt/format.h>

#include <ctime>

namespace loopwatch {
namespace {

constexpr std::uint64_t ns_per_second = 1'000'000'000;

std::uint64_t read_clock(clockid_t clock)
{
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * ns_per_second + static_cast<std::uint64_t>(time.tv_nsec);
}

struct Calendar {
    std::tm fields{};
    std::uint64_t fraction_ns = 0;
};

Calendar calendar(const ClockAnchor& anchor, std::uint64_t mono_ns)
{
    // Unsigned arithmetic wraps: right for times before the anchor too.
    const std::uint64_t realtime_ns = anchor.realtime_ns + (mono_ns - anchor.mono_ns);
    const auto seconds = static_cast<std::time_t>(realtime_ns / ns_per_second);
    Calendar result;
    ::gmtime_r(&seconds, &result.fields);
    result.fraction_ns = realtime_ns % ns_per_second;
    return result;
}

}  // namespace

ClockAnchor ClockAnchor::now()
{
    // The monotonic clock is read on both sides; the middle errs by at most half the time the reads took.
    const std::uint64_t before = monotonic_ns();
    const std::uint64_t realtime = read_clock(CLOCK_REALTIME);
    const std::uint64_t after = monotonic_ns();
    return {before + (after - before) / 2, realtime};
}

std::string ClockAnchor::rfc3339(std::uint64_t mono_ns) const
{
    const Calendar c = calendar(*this, mono_ns);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", c.fields.tm_year + 1900, c.fields.tm_mon + 1,
                       c.fields.tm_mday, c.fields.tm_hour, c.fields.tm_min, c.fields.tm_sec, c.fraction_ns);
}

std::string ClockAnchor::time_of_day(std::uint64_t mono_ns) const
{
    const Calendar c = calendar(*this, mono_ns);
    return fmt::format("{:02}:{:02}:{:02}.{:03}", c.fields.tm_hour, c.fields.tm_min, c.fields.tm_sec,
                       c.fraction_ns / 1'000'000);
}

std::uint64_t monotonic_ns()
{
    return read_clock(CLOCK_MONOTONIC);
}

std::string today()
{
    const auto now = std::time(nullptr);
    std::tm local = {};
    ::localtime_r(&now, &local);
    char text[16];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &local)};
}

}  // namespace loopwatch
