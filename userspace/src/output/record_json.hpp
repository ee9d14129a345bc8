// SPDX-License-Identifier: Apache-2.0
//
// A record as one JSON object, after the tables of record_fields.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

#include "analysis/finding.hpp"
#include "output/stack_interning.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace json {
struct SegmentRecord;
}

// What a record does not know by itself.
struct JsonContext {
    std::string host;
    ClockAnchor anchor;

    static JsonContext of_this_machine();
};

// CLOCK_MONOTONIC; of findings the end of the latest.
std::uint64_t time_of(const Report& report);
// Calls `take` with each record of it, of findings the calls first: a reader that folds them knows them when their
// dispatch comes.
template <class Take>
void for_each_record(const Report& report, const Take& take)
{
    std::visit(
        [&]<class T>(const T& one) {
            if constexpr (std::is_same_v<T, Findings>) {
                for (const auto& call : one.blocking) take(call);
                if (one.stall) take(*one.stall);
                if (one.slow) take(*one.slow);
            } else {
                take(one);
            }
        },
        report);
}

inline std::uint64_t records_in(const Report& report)
{
    std::uint64_t records = 0;
    for_each_record(report, [&](const auto&) { ++records; });
    return records;
}

// Appends a line of JSON for each record of it: broken UTF-8 is replaced, terminal control characters are escaped.
// `stacks`: they are interned, each new one a record before the one that names it; null: each is written inline.
void append_lines(const Report& report, const JsonContext& context, std::string& lines,
                  StackInterning* stacks = nullptr);

// The line that a segment of a journal begins with.
std::string segment_line(const json::SegmentRecord& record, const JsonContext& context);

}  // namespace loopwatch
