// SPDX-License-Identifier: Apache-2.0
#include "daemon/finding_watch.hpp"

#include <algorithm>
#include <variant>

namespace loopwatch {

Result<void> FindingWatch::take(const Report& report)
{
    if (const auto* const start = std::get_if<TargetStart>(&report)) builds_[start->subject.pid] = start->build_id;
    if (const auto* const end = std::get_if<TargetEnd>(&report)) {
        by_pid_.erase(end->subject.pid);
        builds_.erase(end->subject.pid);
    }
    const auto* const findings = std::get_if<Findings>(&report);
    if (!findings) return {};
    std::uint64_t held_ns = 0, blocked_ns = 0;
    std::uint32_t pid = 0;
    const auto see = [&](const auto& finding, std::uint64_t& longest_ns, std::uint64_t duration_ns) {
        pid = finding.subject.pid;
        longest_ns = std::max(longest_ns, duration_ns);
    };
    for (const auto& call : findings->blocking) see(call, blocked_ns, call.source.duration_ns);
    if (findings->slow) see(*findings->slow, held_ns, findings->slow->duration_ns);
    if (findings->stall) see(*findings->stall, held_ns, findings->stall->duration_ns);
    if (pid == 0 || pid == ignored_pid_) return {};
    ++count_;
    ++by_pid_[pid];
    for (const auto& rule : rules_)
        if ((rule.subject == DumpRule::Subject::hold ? held_ns : blocked_ns) > rule.longer_than_ns)
            dump_ = std::max(dump_.value_or(0), rule.keep);
    return {};
}

std::string FindingWatch::build_of(std::uint32_t pid) const
{
    const auto known = builds_.find(pid);
    return known == builds_.end() ? std::string() : known->second;
}

std::uint32_t FindingWatch::take_busiest()
{
    const auto counts = std::exchange(by_pid_, {});
    const auto busiest = std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
    return busiest == counts.end() ? 0 : busiest->first;
}

}  // namespace loopwatch
