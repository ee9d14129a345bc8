// SPDX-License-Identifier: Apache-2.0
//
// A target whose loops a test makes up; its process is this one, or one that the test has started.
#pragma once

#include <unistd.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "detect/stall.hpp"
#include "detect/target.hpp"

namespace loopwatch {

class FakeTarget : public Target {
public:
    explicit FakeTarget(pid_t pid = ::getpid()) : Target(std::move(*Process::open(pid)), {}) {}

    bool read(const LoopView&, LoopState& to) const override
    {
        to = slot;
        return !gone;
    }
    std::optional<std::uint64_t> seq(const LoopView&) const override
    {
        return gone ? std::nullopt : std::optional(slot.seq);
    }
    bool sleeps(const LoopView&) const override { return asleep; }
    bool saw_begin(const LoopView&, const LoopState&) const override { return true; }
    std::vector<int> tiers() const override { return {3}; }
    const std::set<std::string>& probes() const noexcept override { return probes_; }
    std::optional<DispatchBundle> stall(const OverdueDispatch& overdue, DispatchBook& book, const Observe&) override
    {
        return stall_bundle(overdue, std::nullopt, book);
    }
    bool loses_ends() const noexcept override { return ends_get_lost; }
    bool proven(std::uint32_t) const override { return is_proven; }
    bool scheduler_seen() const noexcept override { return sees_scheduler; }
    Iterations iterations_of(DispatchFacts facts) override
    {
        Iterations iterations;
        iterations.real.push_back(std::move(facts));
        return iterations;
    }
    Result<void> refresh() override
    {
        if (refreshes) return {};
        return Error{ExitCode::failed, "its memory cannot be read", ""};
    }
    bool may_part(const DispatchBundle&) const override { return !parts.empty(); }
    std::optional<std::vector<DispatchBundle>> parts_of(const DispatchBundle&) const override
    {
        auto once = std::exchange(parts, {});
        return once.empty() ? std::nullopt : std::optional(std::move(once));
    }
    std::vector<std::pair<std::uint32_t, std::uint64_t>> take_ended() override { return std::exchange(ended, {}); }
    void on(const WaitEvent& event) override { waits.push_back(event.head.tid); }
    using WatchedProcess::warn;
    void on(const LoopStartedEvent& event) override
    {
        if (find_loop(event.head.tid, event.head.loop_id)) return;
        add_loop({.slot = event.slot,
                  .id = event.head.loop_id,
                  .ns_tid = event.head.tid,
                  .tid = event.head.tid,
                  .name = "born"});
    }
    Loop& add_loop(LoopView loop) { return known_loops_.emplace_back(std::move(loop)); }

    LoopState slot = {};
    bool gone = false, asleep = true, is_proven = true, ends_get_lost = false, sees_scheduler = true, refreshes = true;
    mutable std::vector<DispatchBundle> parts;                   // that the next dispatch turns out to be
    std::vector<std::pair<std::uint32_t, std::uint64_t>> ended;  // loops, since the last interval
    std::vector<std::uint32_t> waits;                            // threads that were seen to wait

private:
    std::set<std::string> probes_;
};

}  // namespace loopwatch
