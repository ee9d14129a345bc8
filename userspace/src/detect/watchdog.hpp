// SPDX-License-Identifier: Apache-2.0
//
// Watchdog: looks at the slots of all loops each fifth of the threshold, and when a dispatch is as old as that; each
// tick once one is half the threshold old. Then it samples the CPU of its thread until it ends, and reports those past
// the threshold: then, and at twice, four times … its age. While all loops are idle it asks to be stopped, where the
// source can wake the engine when one runs again.
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

struct WatchdogOptions {
    std::uint64_t threshold_ns = 100'000'000;    // age from which on a dispatch is a stall
    std::uint64_t overdue_ns = 50'000'000;       // age from which on a dispatch is sampled: half the threshold
    std::uint64_t sample_period_ns = 2'000'000;  // at least 1 ms; of one that goes on, as far apart as those kept are

    static WatchdogOptions of(std::uint64_t threshold_ns)
    {
        return {threshold_ns, threshold_ns / 2, std::clamp<std::uint64_t>(threshold_ns / 50, 1'000'000, 10'000'000)};
    }
};

class Watchdog {
public:
    static constexpr std::uint64_t tick_ns = 10'000'000;

    Watchdog(const WatchdogOptions& options, TargetSource& source, const DispatchBook& book)
        : options_(options),
          rest_ns_(std::clamp(options.threshold_ns / 5, tick_ns, 5 * tick_ns)),
          source_(source),
          book_(book)
    {
    }

    // When to tick next; 0: all loops are idle, and the first that runs again wakes the engine.
    std::uint64_t next_ns() const noexcept { return next_ns_; }
    void tick(const Targets& targets, std::uint64_t now_ns);
    void wake(std::uint64_t now_ns);
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
    void sample(StallWatch& stall, std::uint32_t tid, std::uint64_t distance_ns);

    WatchdogOptions options_;
    std::uint64_t rest_ns_;  // between two looks at loops whose dispatches are young
    TargetSource& source_;
    const DispatchBook& book_;
    std::vector<OverdueDispatch> overdue_;
    std::vector<EventHead> over_;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> old_iterations_;
    std::uint64_t failures_ = 0;
    std::uint64_t next_ns_ = 1;  // at once
    std::uint64_t due_ns_ = 0;   // of the present look: when the next is needed
    unsigned idle_ticks_ = 0;
};

}  // namespace loopwatch
