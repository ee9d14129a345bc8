// SPDX-License-Identifier: Apache-2.0
#include "daemon/budget.hpp"

#include <algorithm>
#include <utility>

namespace loopwatch {

namespace {

// Of what may be used in a window: how much of it has been, when the next step is due, if it still costs too much.
// Targets are let go only once all of it is used up: they are not seen at all.
constexpr double due_at[] = {0.4, 0.5, 0.6, 1.0};
constexpr double grants = 2;                             // of the share, for attaching
constexpr std::uint64_t least_between_ns = 900'000'000;  // two steps: a measure

}  // namespace

const char* effort_name(Effort effort)
{
    switch (effort) {
        case Effort::all: return "all";
        case Effort::fewer_exemplars: return "fewer_exemplars";
        case Effort::known_stacks: return "known_stacks";
        case Effort::sums_only: return "sums_only";
        case Effort::fewer_targets: return "fewer_targets";
    }
    return "";
}

// Of one CPU, from then on, or from the first measure on, over a full window where that is shorter: what was used
// before it is unknown, and counts as nothing.
double Budget::share_since(std::uint64_t from_ns, const Measure& last) const
{
    const auto first = std::ranges::find_if(measures_, [&](const Measure& one) { return one.at_ns >= from_ns; });
    if (first == measures_.end()) return 0;
    return static_cast<double>(last.used_ns - first->used_ns) / static_cast<double>(last.at_ns - from_ns);
}

bool Budget::change(Effort effort, std::uint64_t now_ns)
{
    effort_ = effort;
    changed_ns_ = busy_ns_ = now_ns;
    return true;
}

// All CPU time less what may go unjudged.
std::uint64_t Budget::judged(std::uint64_t now_ns, std::uint64_t used_ns, bool attaching)
{
    const bool first = last_.at_ns == 0;
    const auto before = std::exchange(last_, {now_ns, used_ns});
    if (first || used_ns < before.used_ns) return judged_ns_;
    const auto passed_ns = static_cast<double>(now_ns - before.at_ns);
    const auto most = grants * limits_.cpu_share * static_cast<double>(limits_.window_ns);
    grants_ns_ = std::min(most, grants_ns_ + grants * limits_.cpu_share * passed_ns);
    const auto used = static_cast<double>(used_ns - before.used_ns);
    const auto granted = attaching ? std::min(grants_ns_, used) : 0;
    grants_ns_ -= granted;
    return judged_ns_ += static_cast<std::uint64_t>(used - granted);
}

bool Budget::measure(std::uint64_t now_ns, std::uint64_t used_ns, bool attaching)
{
    const Measure last = {now_ns, judged(now_ns, used_ns, attaching)};
    measures_.push_back(last);
    const auto from = [&](std::uint64_t ns) { return now_ns > ns ? now_ns - ns : 0; };
    while (measures_.front().at_ns < from(limits_.window_ns)) measures_.pop_front();
    used_share_ = share_since(from(limits_.window_ns), last);
    recent_share_ = share_since(std::max(from(limits_.recent_ns), measures_.front().at_ns), last);
    if (busy_ns_ == 0 || recent_share_ > limits_.cpu_share * limits_.calm_share) busy_ns_ = now_ns;

    if (first_ns_ == 0) first_ns_ = now_ns;
    if (now_ns < first_ns_ + limits_.grace_ns) return false;
    const auto step = static_cast<std::size_t>(effort_);
    const auto next = std::min(step, std::size(due_at) - 1);
    const bool costs_too_much = recent_share_ > limits_.cpu_share,
               is_due = used_share_ > limits_.cpu_share * due_at[next];
    if (costs_too_much && is_due && now_ns >= changed_ns_ + least_between_ns)
        return change(static_cast<Effort>(next + 1), now_ns);
    if (effort_ != Effort::all && now_ns >= busy_ns_ + limits_.calm_ns)
        return change(static_cast<Effort>(step - 1), now_ns);
    return false;
}

}  // namespace loopwatch
