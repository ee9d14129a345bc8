// SPDX-License-Identifier: Apache-2.0
//
// Loops of programs without probes, recognised from inside, under `loopwatch run` only: a thread that waits for events
// again and again in the same place of its stack. What it does between two such waits is an iteration, which stands for
// a dispatch. A wait deeper in the stack is a callback's.
#pragma once

#include <cstdint>

namespace loopwatch::preload {

// A place in which a thread waits: who called, and with which frame.
struct Place {
    std::uint64_t ip, frame;
};

enum class Wait {
    idle,    // the loop itself waits: leave_wait() when it returns
    nested,  // something that the loop called does
    nobodys  // of a thread that is no loop, as far as is known
};

// About to wait. `many`: for more than one descriptor; a wait for a single one is no loop's.
Wait enter_wait(Place place, bool many);
// Leaves errno alone.
void leave_wait();

}  // namespace loopwatch::preload
