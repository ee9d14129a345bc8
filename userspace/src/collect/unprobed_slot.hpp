// SPDX-License-Identifier: Apache-2.0
//
// What is kept of one loop without probes (lw_unprobed), read and written by the collector. The kernel side writes it
// at the same time: what both store is atomic.
#pragma once

#include <lw_state.h>

#include <cstdint>
#include <optional>
#include <span>

#include "collect/observation.hpp"

namespace loopwatch {

// Where a thread waits: the system call, the code that makes it, how deep, and for what.
struct UnprobedSite {
    static constexpr std::uint64_t lone_poll = ~0ull;  // LW_LONE_POLL: `object` of a poll of one descriptor alone

    std::uint64_t ip = 0, sp = 0;
    std::uint64_t object = 0;  // descriptor of the epoll, ring or aio context; lone_poll; else 0
    std::uint32_t syscall = 0;
};

struct KnownSite {
    UnprobedSite site;
    bool idle = false;  // the loop's own; false: not classified yet
};

// `begun_ns`: in an iteration since then. `stack_end`: how far up its stack is worth copying; 0: unknown. Sites beyond
// LW_SITES are left out.
lw_unprobed unprobed_slot(std::span<const KnownSite> sites, std::uint64_t stack_end,
                          std::optional<std::uint64_t> begun_ns);
// How far up a stack is worth copying, less what is copied above the loop's frame anyway.
std::uint64_t loop_frame(std::uint64_t stack_end);

void store_verdict(lw_unprobed& own, const UnprobedSite& site, lw_verdict verdict);
// Each site without a verdict is asked about again.
void ask_unanswered(lw_unprobed& own);
bool has_verdict(const lw_unprobed& own, std::uint32_t site);
bool has_site(const lw_unprobed& own, const UnprobedSite& site);
std::uint64_t ends_at(const lw_unprobed& own, const UnprobedSite& site);
// The longest time it has not slept since this was asked last, up to now.
std::uint64_t take_awake_ns(lw_unprobed& own, std::uint64_t now_ns);
// As far as verdicts go: what began at a site without one is no iteration yet.
std::optional<LoopState> iteration_state(const lw_unprobed& own);

}  // namespace loopwatch
