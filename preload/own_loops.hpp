// SPDX-License-Identifier: Apache-2.0
//
// Loops of programs without probes, recognised from inside, under `loopwatch run` only: a thread that waits for events
// again and again in the same place of its stack. What it does between two such waits is an iteration, which stands for
// a dispatch. A wait deeper in the stack is a callback's, unless it is for the loop's own epoll: an interpreter may
// come to it by more or fewer frames of C from one time to the next.
#pragma once

#include <cstdint>

#include "ring.hpp"
#include "shim_state.hpp"

namespace loopwatch::preload {

// A place in which a thread waits: who called, with which frame, and for what: the descriptor of an epoll, or one of
// these.
struct Place {
    std::uint64_t ip, frame;
    int object;
};
constexpr int many = -1;  // descriptors
constexpr int lone = -2;  // a single one: nobody's loop

enum class Wait {
    idle,    // the loop itself waits: leave_wait() when it returns
    nested,  // something that the loop called does
    nobodys  // of a thread that is no loop, as far as is known
};

// May the calling thread's wait be where its loop idles? Not if the loop says itself where it does, nor if nobody
// listens.
inline bool may_idle(const lw_loop_slot* slot)
{
    return ring != nullptr && (slot == nullptr || (thread.lane != nullptr && thread.lane->slot == 0));
}

// About to wait.
Wait enter_wait(Place place);
// Leaves errno alone.
void leave_wait();

}  // namespace loopwatch::preload
