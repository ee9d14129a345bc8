// SPDX-License-Identifier: Apache-2.0
//
// Watchdog: looks at the slots of all loops each fifth of the least threshold, and when a dispatch is as old as that;
// each tick once one is half the threshold old. Then it samples the CPU of its thread until it ends, and reports those
// past the threshold: at that moment, and at twice, four times … its age. While all loops are idle it asks to be stopped, where
// the source can wake the engine when one runs again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "collect/dispatch_book.hpp"
#include "detect/target.hpp"
#include "detect/target_source.hpp"

namespace loopwatch {

using Targets = std::map<std::uint32_t, std::unique_ptr<Target>>;  // by pid

class Watchdog {
public:
    static constexpr std::uint64_t tick_ns = 10'000'000;
    // Between two looks at what is about to be reported.
    static constexpr std::uint64_t least_tick_ns = 1'000'000;

    Watchdog(TargetSource& source, const DispatchBook& book) : source_(source), book_(book) {}

    // When to tick next; 0: all loops are idle, and the first that runs again wakes the engine.
    std::uint64_t next_ns() const noexcept { return next_ns_; }
    void tick(const Targets& targets, std::uint64_t now_ns);
    void wake(std::uint64_t now_ns);
    void added(const Target& target, std::uint64_t now_ns);
    // Pid and thread of those whose iteration is old, whatever their dispatch is.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> take_old_iterations()
    {
        return std::exchange(old_iterations_, {});
    }
    std::vector<OverdueDispatch> take_overdue() { return std::exchange(overdue_, {}); }
    // Dispatches that were reported, and that the loop is past now.
    std::vector<EventHead> take_over() { return std::exchange(over_, {}); }
    // The same of one loop, outside of a tick: its target ends.
    void note_end(const Target& target, const Loop& loop);
    std::uint64_t failures() const noexcept { return failures_; }  // threads that could not be sampled

private:
    enum class Activity { asleep, still, busy };
    Activity look(const Targets& targets, std::uint64_t now_ns);
    Activity look(Target& target, std::uint64_t now_ns);
    void over(const Target& target, const Loop& loop);
    void sample(StallWatch& stall, std::uint32_t tid, std::uint64_t period_ns);

    static constexpr std::uint64_t most_rest_ns = 5 * tick_ns;

    // Between two looks at loops whose dispatches are young.
    static std::uint64_t rest_of(const Target& target)
    {
        return std::clamp(target.thresholds().slow_ns / 5, tick_ns, most_rest_ns);
    }

    std::uint64_t rest_ns_ = most_rest_ns;  // the least of all targets
    TargetSource& source_;
    const DispatchBook& book_;
    std::vector<OverdueDispatch> overdue_;
    std::vector<EventHead> over_;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> old_iterations_;
    std::uint64_t failures_ = 0;
    std::uint64_t next_ns_ = 1;  // at once
    // Of the present look: when the next is needed, and when a dispatch will be old enough to be reported.
    std::uint64_t due_ns_ = 0, report_due_ns_ = 0;
    unsigned idle_ticks_ = 0;
};

}  // namespace loopwatch
