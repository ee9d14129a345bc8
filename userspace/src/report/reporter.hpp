// SPDX-License-Identifier: Apache-2.0
//
// Reporter: the way of every report to the hub. Findings are counted and numbered within their fingerprint here. What a
// gate's rules allow goes nowhere.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "analysis/completeness.hpp"
#include "analysis/explain.hpp"
#include "analysis/gate.hpp"
#include "analysis/occurrences.hpp"
#include "report/cause_sums.hpp"
#include "report/hub.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

class Reporter {
public:
    Reporter(Hub& hub, Gate& gate) : hub_(hub), gate_(gate), causes_(monotonic_ns()) {}

    // Warnings also on stderr, where the report is not for people. Steps of tasks (--trace) are counted and never held
    // back: --max-overhead is their limit.
    void take(Report&& report);
    // The sums of causes since the last time, once an interval.
    void publish_causes();
    // At the end: a callback that never returned is a slow one for the gate, though only its stalls were reported.
    void judge_unfinished();
    // What was published becomes visible to readers; close(): all of it, at the end.
    void flush();
    void close();

    // Findings by JSON type, suppressed ones included.
    const Counts& counts() const noexcept { return counts_; }
    // Of blocking calls, with the shim: how many, and for how long, it and the scheduler have seen, both or one.
    const Counts& coverage() const noexcept { return coverage_; }
    // That it has reported, with those of starts.
    WarningCounts warnings() const noexcept { return warnings_; }
    std::uint64_t fingerprints_forgotten() const noexcept { return occurrences_.evictions(); }
    std::uint64_t causes_untracked() const noexcept { return causes_.left_out(); }
    // Why nothing is written any more (disk full, reader gone): the session ends.
    const std::optional<Error>& failure() const noexcept { return hub_.failure(); }
    // Of the end that was published.
    const Completeness& completeness() const noexcept { return hub_.completeness(); }
    std::vector<int> waits_for() const { return hub_.waits_for(); }

private:
    template <class Finding>
    bool admit(const Finding& finding);
    void publish(const Report& report);
    void on(Findings& findings);
    void on(const TaskEvent& event);
    void on(const Warning& warning);
    void on(const TargetEnd& end);
    void on(const LoopStats& stats) { causes_.add(stats); }
    template <class Other>
    void on(const Other&)
    {
    }
    template <class Finding>
    void count(const char* type, Finding& finding);
    void count_warnings(const Report& report);
    void count_coverage(const BlockingCall& call);

    Hub& hub_;
    Gate& gate_;
    Occurrences occurrences_;
    CauseSums causes_;
    Counts counts_{{"blocking_call", 0}, {"slow_callback", 0}, {"stall", 0}};
    Counts coverage_;
    std::map<std::pair<std::uint32_t, std::string>, Stall> unfinished_;  // by pid and loop
    WarningCounts warnings_;
    std::map<std::uint32_t, std::uint32_t> images_;  // of processes that have executed another program: how many
};

}  // namespace loopwatch
