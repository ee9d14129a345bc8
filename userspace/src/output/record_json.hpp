// SPDX-License-Identifier: Apache-2.0
//
// A record as one JSON object, after the tables of record_fields.hpp.
#pragma once

#include <string>
#include <string_view>

#include "analysis/finding.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

// What a record does not know by itself.
struct JsonContext {
    std::string host;
    ClockAnchor anchor;

    static JsonContext of_this_machine();
};

// The JSON type: "slow_callback".
std::string_view type_of(const Record& record);
// CLOCK_MONOTONIC; of a finding its end.
std::uint64_t time_of(const Record& record);

// The record as one line of JSON, without the line's end: broken UTF-8 is replaced, terminal control characters are
// escaped.
std::string to_line(const Record& record, const JsonContext& context);

}  // namespace loopwatch
