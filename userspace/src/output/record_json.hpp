// SPDX-License-Identifier: Apache-2.0
//
// A record as one JSON object, after the tables of record_fields.hpp.
#pragma once

#include <string>
#include <string_view>

#include "output/json_fields.hpp"
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

json::Json to_json(const Record& record, const JsonContext& context);

// One line without its end: broken UTF-8 replaced, what a terminal obeys escaped.
std::string to_line(const json::Json& object);

}  // namespace loopwatch
