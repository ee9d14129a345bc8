// SPDX-License-Identifier: Apache-2.0
//
// Statistics: the counters that loops publish, as differences between two looks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "analysis/finding.hpp"
#include "resolve/watched_process.hpp"

namespace loopwatch {

class Statistics {
public:
    // One record a loop since its last look; a loop seen for the first time starts from here.
    std::vector<LoopStats> look(WatchedProcess& target, std::uint64_t now_ns);
    // Of one loop whose slot was read; none: it is the first look.
    std::optional<LoopStats> look(WatchedProcess& target, const LoopView& loop, const LoopState& slot,
                                  std::uint64_t now_ns);
    // A loop that is known to have begun during the session: it counts from zero, not from its first look.
    void born(std::uint32_t tid, std::uint64_t loop_id, std::uint64_t now_ns);
    // The same of loops that were found during the session: before anything is reported of them.
    void found(const WatchedProcess& target);
    // It has ended, or its target has: its thread's number may be another's next.
    void forget(std::uint32_t tid, std::uint64_t loop_id);
    void forget(const WatchedProcess& target);
    // A dispatch whose exact length is known, or of one that has not ended a length that it has reached: histograms
    // know it to a quarter only, and once it has ended.
    void reported(std::uint32_t tid, std::uint64_t loop_id, std::uint64_t duration_ns, bool ended = true);
    // Over all loops since their first look.
    std::uint64_t dispatches() const noexcept { return dispatches_; }
    Quantiles dispatch_ns() const;
    // Loops beyond the cap, of which nothing is counted.
    std::uint64_t overflow() const noexcept { return overflow_; }

private:
    using Key = std::pair<std::uint32_t, std::uint64_t>;  // tid, loop id
    struct Last {
        LoopState slot = {};
        std::uint64_t at_ns = 0;
        std::uint64_t credited_ns = 0;    // of a dispatch still running: counted as busy already
        std::uint64_t waited_ns = 0;      // of a poll still waiting: counted as idle already
        std::uint64_t longest_ns = 0;     // of the dispatches reported since then
        std::uint64_t stalled_ns = 0;     // of the last of them, if it has not ended
        std::uint64_t open_since_ns = 0;  // at least so long the dispatch that still ran had run; 0: none did
    };
    void found(const LoopView& loop);
    std::optional<std::uint64_t> open(Last& last, const LoopState& slot, std::uint64_t now_ns) const;
    std::optional<LoopStats> without_slot(WatchedProcess& target, const LoopView& loop, std::uint64_t now_ns);
    std::uint64_t idle(Last& last, const LoopState& slot, std::uint64_t now_ns) const;
    std::uint64_t busy(Last& last, const LoopState& slot, std::uint64_t now_ns) const;
    void keep(const Key& key, const LoopState& slot, std::uint64_t now_ns);
    std::map<Key, Last> last_;
    std::uint64_t overflow_ = 0;
    std::uint64_t dispatches_ = 0;
    std::vector<std::uint64_t> histogram_ = std::vector<std::uint64_t>(LoopState::buckets);
    double ns_per_tick_ = 1;
    std::uint64_t longest_ns_ = 0;
};

}  // namespace loopwatch
