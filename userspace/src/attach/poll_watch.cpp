// SPDX-License-Identifier: Apache-2.0
#include "attach/poll_watch.hpp"

#include "collect/unprobed_loops.hpp"

namespace loopwatch {

bool PollWatch::wanted(const Attachments& targets, UnprobedLoops& loops, std::uint64_t now_ns)
{
    bool any = false, searching = false;
    if (began_ns_ == 0) began_ns_ = now_ns;
    for (const auto* const target : targets) {
        if (!target->finder()) continue;
        any = true;
        searching |= target->known_loops().empty() && now_ns - began_ns_ < search_ns;
        searching |= from_start_ && now_ns - began_ns_ < starting_ns;
        for (const auto& loop : target->known_loops())
            if (loop.slot == 0 && loops.take_awake_ns(loop.tid, now_ns) >= busy_ns_) busy_at_ns_ = now_ns;
    }
    return any && (always_ || searching || (busy_at_ns_ != 0 && now_ns - busy_at_ns_ < keep_ns));
}

}  // namespace loopwatch
