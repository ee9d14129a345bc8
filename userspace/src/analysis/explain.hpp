// SPDX-License-Identifier: Apache-2.0
//
// From the facts of one dispatch to what is reported of it. Pure: no I/O, no clock; `occurrence` stays 1 (Occurrences
// counts).
#pragma once

#include <optional>
#include <vector>

#include "analysis/facts.hpp"

namespace loopwatch {

struct Findings {
    std::optional<SlowCallback> slow;    // if the dispatch was slow and has ended
    std::optional<Stall> stall;          // if it goes on; nothing else is told of it then
    std::vector<BlockingCall> blocking;  // by their end: each call of at least the block threshold, seen by whomever
};

Findings explain(const DispatchFacts& facts, const Thresholds& thresholds);

}  // namespace loopwatch
