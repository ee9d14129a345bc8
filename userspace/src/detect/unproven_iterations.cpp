// SPDX-License-Identifier: Apache-2.0
#include "detect/unproven_iterations.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace loopwatch {

void UnprovenIterations::hold(DispatchFacts facts)
{
    const auto of_its_thread =
        std::ranges::count_if(held_, [&](const DispatchFacts& held) { return held.subject.tid == facts.subject.tid; });
    if (held_.size() < most && static_cast<std::size_t>(of_its_thread) < most_of_a_thread &&
        budget_.take(facts.subject.pid, bytes_of(facts)))
        held_.push_back(std::move(facts));
    else if (!facts.in_progress)
        ++lost_;
}

std::vector<DispatchFacts> UnprovenIterations::take_proven(const Which& proven)
{
    const auto first = std::stable_partition(held_.begin(), held_.end(),
                                             [&](const DispatchFacts& held) { return !proven(held.subject); });
    std::for_each(first, held_.end(), [&](const DispatchFacts& held) { give_back(held); });
    std::vector<DispatchFacts> taken(std::make_move_iterator(first), std::make_move_iterator(held_.end()));
    held_.erase(first, held_.end());
    return taken;
}

std::uint64_t UnprovenIterations::forget(const Which& ended)
{
    std::uint64_t lost = 0;
    std::erase_if(held_, [&](const DispatchFacts& held) {
        if (!ended(held.subject)) return false;
        give_back(held);
        lost += !held.in_progress;
        return true;
    });
    lost_ += lost;
    return lost;
}

}  // namespace loopwatch
