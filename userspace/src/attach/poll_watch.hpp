// SPDX-License-Identifier: Apache-2.0
//
// PollWatch: decides when polls that do not sleep have to be seen. A loop that sleeps between its iterations tells them
// apart by its context switches, at no price; one that is busy without a pause does not, and its iterations would be
// taken for a single slow one. What such a loop did before it was found so counts to the first iteration: a fifth of
// the threshold at most, and a callback that long has to follow for anybody to be told.
#pragma once

#include <cstdint>

#include "attach/attachment.hpp"

namespace loopwatch {

class PollWatch {
public:
    static constexpr std::uint64_t keep_ns = 10'000'000'000;   // after the last loop that was busy
    static constexpr std::uint64_t search_ns = 2'000'000'000;  // for a loop that never sleeps, where none is known
    // Of a program that is watched from its start: most loops poll before their first callback, without a sleep as
    // there is work, and nothing else shows when that callback began.
    static constexpr std::uint64_t starting_ns = 10'000'000'000;

    explicit PollWatch(bool from_start) : from_start_(from_start) {}

    // To be asked at each tick and each interval: are there loops that have not slept for so long?
    bool wanted(const Attachments& targets, UnprobedLoops& loops, std::uint64_t now_ns);

private:
    // Below this a fifth of the threshold is shorter than the watchdog's tick comes to see: then always.
    static constexpr std::uint64_t least_threshold_ns = 100'000'000;

    bool from_start_;
    std::uint64_t busy_at_ns_ = 0, began_ns_ = 0;
};

}  // namespace loopwatch
