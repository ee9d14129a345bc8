// SPDX-License-Identifier: Apache-2.0
//
// Durations as people write and read them. Inside the program a duration is an integer of nanoseconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "util/result.hpp"

namespace loopwatch {

// "50us", "10ms", "1.5s", "2m" → nanoseconds. Units: ns us ms s m h d. What is shorter than a nanosecond is cut off.
// Fails with ExitCode::usage: no unit, zero, negative, not a number, longer than 292 years.
// `likely_unit`: what the hint proposes where there is none.
Result<std::uint64_t> parse_duration(std::string_view text, std::string_view likely_unit = "ms");

// Three significant digits: "85 us", "312 ms", "1.24 s"; from two minutes on "2 min 5 s", from two hours on "2 h 5
// min".
std::string format_duration(std::uint64_t ns);

}  // namespace loopwatch
