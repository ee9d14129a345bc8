// SPDX-License-Identifier: Apache-2.0
//
// What the shim knows of the calling thread, and the one question each wrapper asks: is this a loop thread in the
// middle of a dispatch, with somebody attached who wants to know?
#pragma once

#include <cstdint>

#include <loopwatch/loop_state.h>
#include <loopwatch/probe.hpp>

#include "lw_ring.h"

namespace loopwatch::preload {

// Where the calls of a dispatch come from, and where in the lane the first of each stands.
struct CallSite {
    const void* caller;
    const char* call;
    std::uint64_t at;
};
constexpr unsigned sites_of_a_dispatch = 16;
constexpr unsigned rest_site = sites_of_a_dispatch;  // of the sum of all calls that have no record of their place

struct Thread {
    const lw_loop_slot* slot = nullptr;  // of the loop that runs here; written by loopwatch_shim_register
    // Sequence number of the dispatch in which a measured call is in progress, else 0. A call made meanwhile (by a
    // signal handler) passes through. Keyed by the dispatch and not a counter, because siglongjmp out of a call skips
    // every clean-up: such a leftover mutes the rest of its dispatch and no more.
    std::uint64_t measured_seq = 0;
    lw_lane* lane = nullptr;     // where what this thread does is told, under `loopwatch run` without a kernel side
    std::uint64_t head = 0;      // of the lane, with what is told only if the dispatch turns out to be slow
    std::uint64_t call_seq = 0;  // the last dispatch of which a call was written there
    std::uint32_t sites = 0;     // from how many places
    bool rest = false;           // call_sites[rest_site] is in use
    bool told = false;           // one of them was long
    std::uint64_t unrecorded_ns = 0;      // calls of this dispatch for which there was no room at all
    std::uint64_t slow_end_ns = 0;        // of the last slow dispatch
    unsigned char* early_wait = nullptr;  // of a candidate's draft (early_waits.hpp): the wait that goes on
    bool waiting = false;                 // the measured call is such a wait, or a park
    bool unmeasured = false;              // its draft was full
    bool resolving = false;               // within dlsym, which may allocate, hence call anything
};

// initial-exec: a preloaded library has its place in static TLS, so this is one load from %fs, without a call to ld.so,
// which may allocate.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local Thread thread;
[[gnu::tls_model("initial-exec")]] inline constinit thread_local CallSite call_sites[sites_of_a_dispatch + 1] = {};

// In a page that the kernel empties in each child, however it was made (MADV_WIPEONFORK, Linux 4.14): _Fork and clone
// run no handler of ours, and the child's copy of `thread` leads into its parent's ring. 1: this process has made the
// ring; null: no page.
inline constinit volatile unsigned char* made_here = nullptr;

inline bool in_own_process()
{
    return made_here == nullptr || *made_here != 0;
}

// Even sequence numbers are the time between dispatches: the loop's own poll is not a blocking call.
inline bool to_be_measured(const lw_loop_slot* slot)
{
    return (thread.lane != nullptr ? in_own_process() : probe::watched()) && (slot->seq & 1) != 0 &&
           slot->seq != thread.measured_seq;
}

inline std::uint64_t floor_ns(const lw_loop_slot* slot)
{
    constexpr std::uint64_t default_floor_ns = 100'000;  // the runtime's default, for loops that publish none
    return slot->floor_ns != 0 ? slot->floor_ns : default_floor_ns;
}

}  // namespace loopwatch::preload
