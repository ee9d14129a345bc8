// SPDX-License-Identifier: Apache-2.0
//
// Records carry CLOCK_MONOTONIC; people and other machines' logs carry the date. An anchor is one reading of both
// clocks at once.
#pragma once

#include <cstdint>
#include <string>

namespace loopwatch {

// Taken once a session: both clocks are slewed alike, so they part only when somebody sets the date, and that must not
// reorder a report. (A machine that is suspended in between falls behind by the time it slept.)
struct ClockAnchor {
    std::uint64_t mono_ns = 0;
    std::uint64_t realtime_ns = 0;  // since 1970, UTC

    static ClockAnchor now();
    // "2026-10-02T09:12:45.123456789Z"
    std::string rfc3339(std::uint64_t mono_ns) const;
    // "09:12:45.123", UTC
    std::string time_of_day(std::uint64_t mono_ns) const;
};

// CLOCK_MONOTONIC in ns.
std::uint64_t monotonic_ns();

// "2026-10-02", in local time.
std::string today();

}  // namespace loopwatch
