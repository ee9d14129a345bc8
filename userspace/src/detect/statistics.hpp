// SPDX-License-Identifier: Apache-2.0
//
// Statistics: the counters that loops publish, as differences between two looks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/finding.hpp"
#include "detect/target.hpp"

namespace loopwatch {

class Statistics {
public:
    // One record a loop since its last look; a loop seen for the first time starts from here.
    std::vector<LoopStats> look(Target& target, std::uint64_t now_ns);
    // A step of their strips ends. Not called where an interval has only one.
    static void step(Target& target, std::uint64_t now_ns);
    // Of one loop whose slot was read; none: it is the first look.
    std::optional<LoopStats> look(const Target& target, Loop& loop, const LoopState& slot, std::uint64_t now_ns);
    // A loop that is known to have begun during the session: it counts from zero, not from its first look.
    static void born(Loop& loop, std::uint64_t now_ns);
    // A thread begins to run it, for the first time or again.
    static void started(Loop& loop, std::uint64_t now_ns);
    // A dispatch whose exact length is known, or of one that has not ended a length that it has reached: histograms
    // know it to a quarter only, and once it has ended. `loop`: null if it is not known any more.
    void reported(Loop* loop, std::uint64_t duration_ns, bool ended = true);
    // Over all loops since their first look.
    std::uint64_t dispatches() const noexcept { return dispatches_; }
    Quantiles dispatch_ns() const;

private:
    std::uint64_t dispatches_ = 0;
    std::vector<std::uint64_t> histogram_ = std::vector<std::uint64_t>(LoopState::buckets);
    double ns_per_tick_ = 1;
    std::uint64_t longest_ns_ = 0;
};

}  // namespace loopwatch
