// SPDX-License-Identifier: Apache-2.0
#include "detect/target.hpp"

#include <algorithm>
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
    const auto last =
        std::find_if(known_loops_.rbegin(), known_loops_.rend(), [&](const Loop& loop) { return loop.tid == tid; });
    return last == known_loops_.rend() ? nullptr : &*last;
}

}  // namespace loopwatch
