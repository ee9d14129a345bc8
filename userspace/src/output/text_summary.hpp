// SPDX-License-Identifier: Apache-2.0
//
// The lines around the findings: what is watched, what was seen, what was missed, what it cost.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "analysis/finding.hpp"
#include "output/text_format.hpp"

namespace loopwatch {

// The loop_stats of one loop, added up. Bounded: loops beyond the first 256 are summed as one.
class LoopTotals {
public:
    void add(const LoopStats& stats);
    // The process becomes another program, whose loops may have the same ids.
    void end_image(std::uint32_t pid);
    std::string text() const;  // a line each
    // A dispatch that was reported, whatever its loop has counted.
    bool any_ended() const;
    bool any_probed() const;

private:
    struct Total {
        std::string name;
        std::string comm;
        bool probed = false;
        std::uint64_t interval_ns = 0, dispatches = 0, iterations = 0, busy_ns = 0, longest_ns = 0, lag_ns = 0;
        std::uint64_t open_ns = 0;  // of the dispatch that the last record left running
    };
    struct Key {
        std::uint32_t pid = 0;
        std::uint32_t image = 0;  // how many programs the process had executed before
        std::string loop_id;
        auto operator<=>(const Key&) const = default;
    };
    std::map<Key, Total> loops_;
    std::map<std::uint32_t, std::uint32_t> images_;  // of processes with loops that have ended by exec: how many
};

std::string text_of(const SessionStart& start, const TextContext& context);
std::string text_of(const TargetStart& start, const TextContext& context);
std::string text_of(const TargetEnd& end, const TextContext& context);
std::string text_of(const Warning& warning, const TextContext& context);
// What the report lacks: the lines report:, lost: and over the rate limit:.
std::string completeness_lines(const SessionEnd& end);
std::string text_of(const SessionEnd& end, const LoopTotals& loops, const TextContext& context);

}  // namespace loopwatch
