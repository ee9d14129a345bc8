// SPDX-License-Identifier: Apache-2.0
//
// Budget: what loopwatch costs the machine, held against what it may cost: CPU time of its own processes, of its
// programs in the kernel, and of the traps in targets, summed over a minute. Pure: whoever owns it measures and acts.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace loopwatch {

// What is done with less and less. Each step includes those before it.
enum class Effort {
    all,
    fewer_exemplars,  // a quarter of them, and nothing is kept for a dump
    known_stacks,     // stacks that were not unwound before are rationed
    sums_only,        // nothing is unwound; no findings, exact sums
    fewer_targets,    // the costliest target is let go, and another one each time this is decided again
};
const char* effort_name(Effort effort);

struct BudgetLimits {
    double cpu_share = 0.01;                   // of one CPU
    std::uint64_t window_ns = 60'000'000'000;  // over which the share is promised
    std::uint64_t recent_ns = 2'000'000'000;   // that shows whether a step helped
    std::uint64_t calm_ns = 60'000'000'000;    // below `calm_share` of it for so long: one step back
    double calm_share = 0.7;
    std::uint64_t grace_ns = 60'000'000'000;  // after the first measure nothing is judged: all targets come at once
};

class Budget {
public:
    explicit Budget(BudgetLimits limits) : limits_(limits) {}

    // To be called each second. `used_ns`: all CPU time since any fixed moment. `attaching`: to new targets, which is
    // not judged, up to twice the budget: each deploy would be seen with less effort than what runs for long. True: the
    // effort is another one, or the costliest target is to go again.
    bool measure(std::uint64_t now_ns, std::uint64_t used_ns, bool attaching = false);
    Effort effort() const noexcept { return effort_; }
    // Of one CPU, over the last minute, and over the last seconds.
    double used_share() const noexcept { return used_share_; }
    double recent_share() const noexcept { return recent_share_; }
    double cpu_share() const noexcept { return limits_.cpu_share; }
    void set_cpu_share(double share) { limits_.cpu_share = share; }

private:
    struct Measure {
        std::uint64_t at_ns = 0, used_ns = 0;
    };
    std::uint64_t judged(std::uint64_t now_ns, std::uint64_t used_ns, bool attaching);
    double share_since(std::uint64_t from_ns, const Measure& last) const;
    bool change(Effort effort, std::uint64_t now_ns);

    BudgetLimits limits_;
    Effort effort_ = Effort::all;
    std::deque<Measure> measures_;  // of the window, without what is not judged
    Measure last_;                  // as it was measured
    std::uint64_t judged_ns_ = 0;
    double grants_ns_ = 0;  // that may still go unjudged
    double used_share_ = 0, recent_share_ = 0;
    std::uint64_t first_ns_ = 0, changed_ns_ = 0, busy_ns_ = 0;  // when it was not calm last
};

}  // namespace loopwatch
