// SPDX-License-Identifier: Apache-2.0
//
// Reporter: the way of every record to the sink. Findings are counted, numbered within their fingerprint and held to
// the rate limits here; what is over a limit is counted as suppressed. What a gate's rules allow goes nowhere.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "analysis/completeness.hpp"
#include "analysis/explain.hpp"
#include "analysis/gate.hpp"
#include "analysis/occurrences.hpp"
#include "output/limiter.hpp"
#include "output/sink.hpp"
#include "resolve/watched_process.hpp"

namespace loopwatch {

class Reporter {
public:
    Reporter(Sink& sink, Gate& gate) : sink_(sink), gate_(gate) {}

    void publish(const Record& record);
    void publish(Findings findings);
    void publish(const TaskEvent& misuse);
    // At the end: a callback that never returned is a slow one for the gate, though only its stalls were reported.
    void judge_unfinished();
    // Into the report, and on stderr where the report is not for people.
    void warn(std::optional<Subject> target, std::string text, std::string hint = {},
              WarningAbout about = WarningAbout::sight);
    // Those of a target since its start was reported, or since the last call.
    void warn(WatchedProcess& target);
    // A step of a task (--trace): counted, never held back; --max-overhead is its limit.
    void publish_step(const TaskEvent& step);
    // What was published becomes visible to readers.
    void flush();

    // Findings by JSON type, suppressed ones included.
    const Counts& counts() const noexcept { return counts_; }
    // Of blocking calls, with the shim: how many, and for how long, it and the scheduler have seen, both or one.
    const Counts& coverage() const noexcept { return coverage_; }
    // That it has reported, with those of starts.
    WarningCounts warnings() const noexcept { return warnings_; }
    const Counts& suppressed() const noexcept { return limiter_.suppressed(); }
    std::uint64_t fingerprints_forgotten() const noexcept { return occurrences_.evictions(); }
    // Why nothing is written any more (disk full, reader gone): the session ends.
    const std::optional<Error>& failure() const noexcept { return failure_; }

private:
    template <class Finding>
    bool admit(const Finding& finding);
    void end_image(const TargetEnd& end);
    void count_warnings(const Record& record);
    void count_coverage(const BlockingCall& call);
    void publish_finding(const std::string& type, std::uint32_t pid, const std::string& fingerprint,
                         const Record& record);

    Sink& sink_;
    Gate& gate_;
    Limiter limiter_;
    Occurrences occurrences_;
    Counts counts_{{"blocking_call", 0}, {"slow_callback", 0}, {"stall", 0}};
    Counts coverage_;
    std::map<std::pair<std::uint32_t, std::string>, Stall> unfinished_;  // by pid and loop
    WarningCounts warnings_;
    std::map<std::uint32_t, std::uint32_t> images_;  // of processes that have executed another program: how many
    std::optional<Error> failure_;
};

}  // namespace loopwatch
