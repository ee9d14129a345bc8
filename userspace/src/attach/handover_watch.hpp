// SPDX-License-Identifier: Apache-2.0
//
// HandoverWatch: a program may run its event loop on a thread that only parks, while another polls for it and hands
// each event over. The poller is found as the loop, and what holds up the other is not seen. So is a pool of one
// worker, which is there to block: the two cannot be told apart from outside. So it is a warning, not a loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "target/process.hpp"

namespace loopwatch {

class HandoverWatch {
public:
    // To be asked once an interval, with the loops' threads. The thread that did the work of the only one of them in
    // two intervals; once.
    std::optional<std::uint32_t> look(const Process& process, const std::set<std::uint32_t>& loops);

private:
    struct Seen {
        ThreadRuns runs;
        int intervals = 0;  // in which it did the work
    };
    std::map<std::uint32_t, Seen> seen_;  // threads of the last look
    bool reported_ = false;
};

}  // namespace loopwatch
