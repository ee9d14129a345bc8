// SPDX-License-Identifier: Apache-2.0
//
// Target: a process that is watched, with its loops, however it is watched: by the kernel side (Attachment) or by the
// shim alone (ShimTarget).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/facts.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/event.hpp"
#include "detect/loop.hpp"
#include "resolve/watched_process.hpp"
#include "util/reactor.hpp"
#include "util/result.hpp"

namespace loopwatch {

using Observe = std::function<void(const Event&)>;

// A dispatch that has not returned.
struct OverdueDispatch {
    std::uint32_t pid = 0, tid = 0;
    std::uint64_t loop_id = 0;
    std::uint64_t start_ns = 0, now_ns = 0;
    bool start_known = true;  // false: it went on when it was found, and is older
    std::uint64_t slot_address = 0;
    LoopState slot = {};
    CoroutineResume coroutine = {};  // of a program without probes
    bool records_lost = false;       // of its target, since it began
};

// What was timed as one iteration of a loop without probes.
struct Iterations {
    std::vector<DispatchFacts> real;
    std::uint64_t unclear = 0;  // two or more that cannot be told apart, and one of them may have been slow: a loss
};

class Target : public WatchedProcess {
public:
    Target(Process process, const Thresholds& thresholds) : WatchedProcess(std::move(process)), thresholds_(thresholds)
    {
    }

    const Thresholds& thresholds() const noexcept { return thresholds_; }
    void set_thresholds(const Thresholds& thresholds) { thresholds_ = thresholds; }

    // What the loop publishes, or what is kept for it; false: unreadable, or it is gone.
    virtual bool read(const LoopView& loop, LoopState& slot) const = 0;
    // Of its slot, without the rest of it: odd while a dispatch runs.
    virtual std::optional<std::uint64_t> seq(const LoopView& loop) const = 0;
    // For sure: it cannot go on without a context switch.
    virtual bool sleeps(const LoopView& loop) const = 0;
    // False: what the slot tells of is older than its start, or than the first look at it.
    virtual bool saw_begin(const LoopView& loop, const LoopState& slot) const = 0;
    // Whose resume this part of an iteration began with, with --coroutines; none: `frame` is 0.
    virtual CoroutineResume coroutine(const LoopView&, std::uint64_t) const { return {}; }
    virtual std::vector<int> tiers() const = 0;
    // Probes that are attached.
    virtual const std::set<std::string>& probes() const noexcept = 0;

    // A dispatch that has not returned, as if it ended now. What `book` holds of it stays there for its end. `observe`
    // gets what turns out meanwhile. nullopt: it has gone on, or is not to be reported yet.
    virtual std::optional<DispatchBundle> stall(const OverdueDispatch& overdue, DispatchBook& book,
                                                const Observe& observe) = 0;
    // Where a thread is blocked whose iteration is old, though its dispatch is not.
    virtual std::optional<SourceEvent> blocked_at(std::uint32_t) const { return std::nullopt; }
    // Records of it for which there was no room so far.
    virtual std::uint64_t records_lost() const { return 0; }
    // May the end of a dispatch that was reported as a stall be among them? Then it is reported as far as it was seen.
    virtual bool loses_ends() const noexcept { return false; }

    // Is it known for sure that this thread runs a loop? A poll or select makes it one by the third return to one
    // place.
    static constexpr std::uint64_t least_polls = 3;
    virtual bool proven(std::uint32_t) const { return true; }
    // False: what a thread waited for is known by its calls alone.
    virtual bool scheduler_seen() const noexcept { return true; }
    // The facts of a dispatch, or of an iteration that may be several, or none.
    virtual Iterations iterations_of(DispatchFacts facts) = 0;
    // May it turn out, once its stacks are unwound, that this was several? Then what it was, or nullopt: one.
    virtual bool may_part(const DispatchBundle&) const { return false; }
    virtual std::optional<std::vector<DispatchBundle>> parts_of(const DispatchBundle&) const { return std::nullopt; }

    // Modules and loops that are new since the last time, threads that were renamed. Once an interval.
    virtual Result<void> refresh() = 0;
    // What the kernel side observed of its loops and of its threads' waits.
    virtual void on(const LoopStartedEvent&) {}
    virtual void on(const WaitEvent&) {}
    virtual void on(const ShimWaitEvent&) {}
    virtual void remove_loop(std::uint32_t tid, std::uint64_t loop_id);
    // Thread and id of loops whose threads have ended without a word, since the last call.
    virtual std::vector<std::pair<std::uint32_t, std::uint64_t>> take_ended() { return {}; }

    std::vector<Loop>& known_loops() noexcept { return known_loops_; }
    const std::vector<Loop>& known_loops() const noexcept { return known_loops_; }
    Reactor::Watch exit;             // of its process: the engine's
    std::optional<int> wait_status;  // once it has ended, as of wait(2)
    // At any time.
    virtual bool had_loops() const { return had_loops_ || !known_loops_.empty(); }
    // By thread and id: each DSO that contains the runtime counts its loops from 1.
    const Loop* find_loop(std::uint32_t tid, std::uint64_t loop_id) const override;
    Loop* find_loop(std::uint32_t tid, std::uint64_t loop_id);
    const Loop* loop_of(std::uint32_t tid) const override;

protected:
    Thresholds thresholds_;
    std::vector<Loop> known_loops_;
    bool had_loops_ = false;
};

}  // namespace loopwatch
