// SPDX-License-Identifier: Apache-2.0
//
// Loops of programs without probes, recognised from inside, under `loopwatch run` only: a thread that waits for events
// again and again in the same place of its stack. What it does between two such waits is an iteration, which stands for
// a dispatch. A wait deeper in the stack is a callback's, unless it is for the loop's own epoll: an interpreter may
// come to it by more or fewer frames of C from one time to the next. A thread of a pool also idles on a lock: whether a
// park is the loop's or a callback's, its call chain says, so the collector is asked, once a place.
#pragma once

#include <cstdint>

#include "real_symbols.hpp"
#include "ring.hpp"
#include "shim_state.hpp"

namespace loopwatch::preload {

// A place in which a thread waits: who called, with which frame, and for what: an epoll, a ring or an aio context, or
// one of these.
struct Place {
    std::uint64_t ip, frame;
    int object;
};
constexpr int many = -1;     // descriptors
constexpr int lone = -2;     // a single one: nobody's loop
constexpr int parked = -3;   // on a condition variable, a semaphore or a word of its own
constexpr int nothing = -4;  // no wait for events

// What stands for an object that has no descriptor.
inline int object_at(const void* address)
{
    return static_cast<int>(word(address) >> 4 & 0x7fffffff);
}

// Is this wait that of the loop which idles there?
inline bool is_own(const Place& place, const Place& idle)
{
    return place.frame == idle.frame || (place.object >= 0 && place.object == idle.object);
}

// Of a system call made by its number.
int waits_for(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d);

enum class Wait {
    idle,    // the loop itself waits: leave_wait() when it returns
    nested,  // something that the loop called does
    nobodys  // of a thread that is no loop, as far as is known
};

// May the calling thread's wait be where its loop idles? Not if the loop says itself where it does, nor if nobody
// listens.
inline bool may_idle(const lw_loop_slot* slot)
{
    return ring != nullptr && in_own_process() &&
           (slot == nullptr || (thread.lane != nullptr && thread.lane->slot == 0));
}

// Counts the iteration of a slot of the shim's own, which has ended.
Dispatch close_iteration(lw_loop_slot& slot, std::uint64_t end_ns);

// About to wait.
Wait enter_wait(Place place);
// Leaves errno alone.
void leave_wait();
// In a child that has forked: its loop is a copy that nobody runs.
void forget_waits();

}  // namespace loopwatch::preload
