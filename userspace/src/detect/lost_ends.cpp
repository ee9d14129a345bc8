// SPDX-License-Identifier: Apache-2.0
#include "detect/lost_ends.hpp"

#include <algorithm>

namespace loopwatch {

void LostEnds::reported(DispatchEvent closing, bool start_known)
{
    const auto key = key_of(closing.head);
    if (taken_.contains(key) || (ends_.size() >= max_ends && !ends_.contains(key))) return;
    closing.end_ns = 0;
    ends_[key] = {closing, start_known};
}

void LostEnds::over(const EventHead& of, std::uint64_t now_ns)
{
    const auto end = ends_.find(key_of(of));
    if (end != ends_.end() && end->second.closing.end_ns == 0) end->second.closing.end_ns = now_ns;
}

bool LostEnds::came(const EventHead& of)
{
    ends_.erase(key_of(of));
    return taken_.erase(key_of(of)) == 0;
}

void LostEnds::close(DispatchBundle& bundle, std::uint64_t now_ns)
{
    const auto end = ends_.find({bundle.tid, bundle.loop_id, bundle.seq});
    if (end == ends_.end()) return;
    over(end->second.closing.head, now_ns);
    bundle.closing = end->second.closing;
    bundle.start_known = end->second.start_known;
    bundle.end_known = false;
    bundle.calls_missing = true;
    ends_.erase(end);
}

template <class Is>
std::vector<LostEnds::End> LostEnds::take_if(Is is)
{
    std::vector<End> taken;
    for (auto at = ends_.begin(); at != ends_.end();) {
        if (const auto& closing = at->second.closing; closing.end_ns == 0 || !is(closing)) {
            ++at;
            continue;
        }
        taken.push_back(at->second);
        at = ends_.erase(at);
    }
    return taken;
}

std::vector<LostEnds::End> LostEnds::take(std::uint64_t now_ns)
{
    auto late = take_if([&](const DispatchEvent& closing) { return now_ns >= closing.end_ns + patience_ns; });
    for (const auto& end : late)
        if (taken_.size() < max_ends) taken_.emplace(key_of(end.closing.head), end.closing.head.pid);
    return late;
}

std::vector<LostEnds::End> LostEnds::take_before(const EventHead& of, std::uint64_t now_ns)
{
    const auto earlier = [&](const EventHead& one) {
        return one.tid == of.tid && one.loop_id == of.loop_id && one.seq < of.seq;
    };
    for (auto at = ends_.lower_bound({of.tid, of.loop_id, 0}); at != ends_.end() && earlier(at->second.closing.head);
         ++at)
        over(at->second.closing.head, now_ns);
    return take_if([&](const DispatchEvent& closing) { return earlier(closing.head); });
}

std::vector<LostEnds::End> LostEnds::take_of(std::uint32_t pid)
{
    auto taken = take_if([&](const DispatchEvent& closing) { return closing.head.pid == pid; });
    std::erase_if(ends_, [&](const auto& end) { return end.second.closing.head.pid == pid; });
    std::erase_if(taken_, [&](const auto& one) { return one.second == pid; });
    return taken;
}

}  // namespace loopwatch
