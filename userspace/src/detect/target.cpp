// SPDX-License-Identifier: Apache-2.0
#include "detect/target.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace loopwatch {

const Loop* Target::find_loop(std::uint32_t tid, std::uint64_t loop_id) const
{
    const auto found =
        std::ranges::find_if(known_loops_, [&](const Loop& loop) { return loop.tid == tid && loop.id == loop_id; });
    return found == known_loops_.end() ? nullptr : &*found;
}

Loop* Target::find_loop(std::uint32_t tid, std::uint64_t loop_id)
{
    return const_cast<Loop*>(std::as_const(*this).find_loop(tid, loop_id));
}

void Target::remove_loop(std::uint32_t tid, std::uint64_t loop_id)
{
    std::erase_if(known_loops_, [&](const Loop& loop) { return loop.tid == tid && loop.id == loop_id; });
}

const Loop* Target::loop_of(std::uint32_t tid) const
{
    const auto last_first = std::views::reverse(known_loops_);
    const auto found = std::ranges::find(last_first, tid, &Loop::tid);
    return found == last_first.end() ? nullptr : &*found;
}

}  // namespace loopwatch
