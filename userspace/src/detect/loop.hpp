// SPDX-License-Identifier: Apache-2.0
//
// Loop: all that is known of one event loop, beside what its target publishes of it. Ends with it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "analysis/strip.hpp"
#include "target/loop_state.hpp"
#include "target/loops.hpp"

namespace loopwatch {

// Its counters at the last look (detect/statistics.hpp).
struct StatisticsWindow {
    bool open = false;  // false: it has not been looked at
    LoopState slot = {};
    std::uint64_t at_ns = 0;
    std::uint64_t credited_ns = 0;  // of a dispatch still running: counted as busy already
    std::uint64_t waited_ns = 0;    // of a poll still waiting: counted as idle already
    std::uint64_t longest_ns = 0;   // of the dispatches reported since then
    std::uint64_t stalled_ns = 0;   // of the last of them, if it has not ended
    Strip strip;
    std::uint64_t step_longest_ns = 0;         // of the dispatches reported in this step of it
    LoopState::Histogram step_histogram = {};  // when it began
    std::uint64_t open_since_ns = 0;           // at least so long the dispatch that still ran had run; 0: none did
};

// Samples the CPU of a thread until it is destroyed.
class Sampling {
public:
    virtual ~Sampling() = default;
    // It could not be begun, as turned out since.
    virtual bool failed() = 0;
};

// The dispatch that it was in at the last look (detect/watchdog.hpp).
struct StallWatch {
    std::uint64_t seq = 0;
    std::uint64_t since_ns = 0;        // first look at this seq
    std::uint64_t next_report_ns = 0;  // age at which it is reported next
    std::uint64_t records_lost = 0;    // of its target, by then
    std::uint64_t period_ns = 0;       // of the sampling
    std::unique_ptr<Sampling> sampling;
};

struct Loop : LoopView {
    explicit Loop(LoopView view) : LoopView(std::move(view)) {}

    StatisticsWindow statistics;
    StallWatch stall;
};

}  // namespace loopwatch
