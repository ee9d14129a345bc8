// SPDX-License-Identifier: Apache-2.0
//
// Watchdog: looks at the slots of all loops each fifth of the threshold, and when a dispatch is as old as that; each
// tick once one is half the threshold old. Then it samples the CPU of its thread until it ends, and tells of those past
// the threshold: then, and at twice, four times … its age. While all loops are idle it asks to be stopped; the kernel
// side wakes the session when one runs again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "attach/attachment.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel.hpp"

namespace loopwatch {

struct WatchdogOptions {
    std::uint64_t threshold_ns = 100'000'000;    // age from which on a dispatch is a stall
    std::uint64_t overdue_ns = 50'000'000;       // age from which on a dispatch is sampled: half the threshold
    std::uint64_t sample_period_ns = 2'000'000;  // at least 1 ms; of one that goes on, as far apart as those kept are
};

// A dispatch that has not returned.
struct OverdueDispatch {
    std::uint32_t pid = 0, tid = 0;
    std::uint64_t start_ns = 0, now_ns = 0;
    bool start_known = true;  // false: it went on when it was found, and is older
    std::uint64_t slot_address = 0;
    LoopState slot = {};
    CoroutineResume coroutine = {};  // of a program without probes
};

class Watchdog {
public:
    static constexpr std::uint64_t tick_ns = 10'000'000;

    Watchdog(const WatchdogOptions& options, Kernel& kernel, const DispatchBook& book)
        : options_(options),
          rest_ns_(std::clamp(options.threshold_ns / 5, tick_ns, 5 * tick_ns)),
          kernel_(kernel),
          book_(book)
    {
    }

    // When to tick next; 0: all loops are idle, and the first that runs again wakes the session.
    std::uint64_t next_ns() const noexcept { return next_ns_; }
    void tick(const Targets& targets, std::uint64_t now_ns);
    void wake(std::uint64_t now_ns);
    // Threads whose iteration is old, whatever their dispatch is.
    std::vector<std::uint32_t> take_old_iterations() { return std::exchange(old_iterations_, {}); }
    std::vector<OverdueDispatch> take_overdue() { return std::exchange(overdue_, {}); }
    void forget(std::uint32_t tid) { seen_.erase(tid); }
    std::uint64_t failures() const noexcept { return failures_; }  // threads that could not be sampled

private:
    struct Seen {
        std::uint64_t seq = 0;
        std::uint64_t since_ns = 0;  // first look at this seq
        std::uint64_t told_ns = 0;   // age at which it is told next
        Fd sampling;
        std::uint64_t period_ns = 0;
    };
    enum class Activity { asleep, still, busy };
    Activity look(const Targets& targets, std::uint64_t now_ns);
    Activity look(Attachment& attachment, std::uint64_t now_ns);
    void sample(Seen& seen, std::uint32_t tid, std::uint64_t distance_ns);

    WatchdogOptions options_;
    std::uint64_t rest_ns_;  // between two looks at loops whose dispatches are young
    Kernel& kernel_;
    const DispatchBook& book_;
    std::map<std::uint32_t, Seen> seen_;  // by tid
    std::vector<OverdueDispatch> overdue_;
    std::vector<std::uint32_t> old_iterations_;
    std::uint64_t failures_ = 0;
    std::uint64_t next_ns_ = 1;  // at once
    std::uint64_t due_ns_ = 0;   // of the present look: when the next is needed
    unsigned idle_ticks_ = 0;
};

}  // namespace loopwatch
