// SPDX-License-Identifier: Apache-2.0
//
// The writer's side of lw_ring.h: under `loopwatch run`, and only then, loops get a lane each, and what is slow is told
// there. Making the ring and claiming a lane make system calls, at start and once a loop; telling makes none but those
// of caller_memory.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lw_ring.h"
#include "real_symbols.hpp"
#include "report.hpp"
#include "shim_state.hpp"

namespace loopwatch::preload {

// Null: nobody asked for it, or it could not be made.
inline constinit lw_ring* ring = nullptr;
inline constinit long ring_owner = 0;  // pid; what the ring says of itself anybody may have written
inline constinit std::uint64_t threshold_ns = 0, block_threshold_ns = 0;
inline constinit std::uint64_t findings = 0;  // dispatches told, of all threads

inline lw_lane_body& body_of(const lw_lane& lane)
{
    return ring->bodies[&lane - ring->lanes];
}

// Memory is there before it is written to, or not used at all: a file system that is full would end the program with
// SIGBUS. Kernels before 5.14 cannot say so.
bool populate(const void* at, std::size_t bytes);

// For the calling thread's loop; null `slot`: one that has none, which gets lw_lane_body::own; `candidate`: a thread
// that may turn out to run one. False: no ring, no lane left, or no memory for it.
bool claim_lane(const lw_loop_slot* slot, bool candidate = false);
void release_lane();
void leave_ring();
// In a child that has forked: what it is asked for itself.
void rearm_in_child();

struct Dispatch {
    std::uint64_t seq, start_ns, end_ns;
    const lw_task* task;
    const lw_location* resume;
};
// Of the calling thread's lane. A dispatch is told if it reached the threshold, or a call of it the block threshold;
// calls that are shorter are written, and told with it.
void tell_call(lw_lane& lane, const lw_loop_slot& slot, const char* call, CallTimes times,
               const lw_call_detail& detail);
void tell_dispatch(lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch);
// A loop with a slot: its beginning, and what it has counted when it ends. Of one that runs until its process exits,
// loop_ends.cpp leaves that in lw_lane_body::own.
void tell_loop_start(lw_lane& lane, const lw_loop_slot& slot);
void tell_loop_stop(lw_lane& lane);
// Asks whether this is where the loop waits.
void tell_wait(lw_lane& lane, const lw_loop_slot& slot, int syscall, std::uint64_t ip, std::uint64_t frame, int object);
void tell_iteration(lw_lane& lane, const lw_loop_slot& slot, std::uint64_t dispatches, std::uint64_t start_ns,
                    std::uint64_t end_ns);

// The registers that a frame needs to be unwound from outside, as they are here.
[[gnu::always_inline]] inline void capture(lw_registers& to)
{
    // rbx is DWARF's 3, rbp 6, rsp 7, r12 to r15 have their own numbers, rip is 16.
    asm volatile(
        "movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\tmovq %%r12, 96(%0)\n\tmovq %%r13, "
        "104(%0)\n\t"
        "movq %%r14, 112(%0)\n\tmovq %%r15, 120(%0)\n\tleaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)"
        :
        : "r"(to.dwarf)
        : "rax", "memory");
}

// Around a measured call, so that a stall is told with the call it stands in.
template <std::size_t n>
[[gnu::always_inline]] inline void begin_ongoing(lw_lane& lane, const char (&call)[n], const void* caller,
                                                 std::uint64_t start_ns, std::uint64_t seq)
{
    lw_ongoing& ongoing = body_of(lane).ongoing;
    static_assert(n <= sizeof ongoing.call);
    ongoing.start_ns = start_ns;
    ongoing.caller = word(caller);
    __builtin_memcpy(ongoing.call, call, n);
    capture(ongoing.registers);
    __atomic_store_n(&ongoing.seq, seq, __ATOMIC_RELEASE);
}

// Of a candidate's own wait, which is a call like any other as long as nothing is known of the loop.
void end_early_wait(lw_lane& lane, std::uint64_t end_ns);

inline void end_ongoing(lw_lane& lane, std::uint64_t end_ns)
{
    __atomic_store_n(&body_of(lane).ongoing.seq, 0, __ATOMIC_RELAXED);
    ++lane.calls;
    if (thread.waiting) [[unlikely]]
        end_early_wait(lane, end_ns);
}

}  // namespace loopwatch::preload
