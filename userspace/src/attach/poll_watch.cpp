// SPDX-License-Identifier: Apache-2.0
#include "attach/poll_watch.hpp"

#include "collect/unprobed_loops.hpp"

namespace loopwatch {

bool PollWatch::wanted(const Attachments& targets, UnprobedLoops& loops, std::uint64_t now_ns)
{
    bool watched = false, wanted = false;
    if (began_ns_ == 0) began_ns_ = now_ns;
    for (const auto* const target : targets) {
        if (!target->finder()) continue;
        watched = true;
        wanted |= target->thresholds().slow_ns < least_threshold_ns;
        wanted |= target->known_loops().empty() && now_ns - began_ns_ < search_ns;
        wanted |= from_start_ && now_ns - began_ns_ < starting_ns;
        for (const auto& loop : target->known_loops())
            if (loop.slot == 0 && loops.take_awake_ns(loop.tid, now_ns) >= target->thresholds().slow_ns / 5)
                busy_at_ns_ = now_ns;
    }
    return wanted || (watched && busy_at_ns_ != 0 && now_ns - busy_at_ns_ < keep_ns);
}

}  // namespace loopwatch
