// SPDX-License-Identifier: Apache-2.0
//
// LoopState: what a loop publishes in its slot (struct lw_loop_slot), as the collector uses it. A copy, checked when it
// was made; addresses are those of the target.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

struct lw_loop_slot;

namespace loopwatch {

struct LoopState {
    static constexpr std::size_t buckets = 160;  // LW_HISTOGRAM_BUCKETS
    using Histogram = std::array<std::uint32_t, buckets>;

    std::uint64_t seq = 0;     // odd while a dispatch runs; dispatch number n has 2n-1
    std::uint64_t task = 0;    // address of the record of the task in the current or last dispatch
    std::uint64_t start = 0;   // of the current dispatch, in ticks; 0: not known
    std::uint64_t resume = 0;  // address of the location at which the task goes on; 0: its first resume
    std::uint64_t stack_top = 0;
    std::uint64_t loop_id = 0;
    std::uint32_t queued = 0;  // entries ever put into the ready queue, modulo 2^32
    std::uint32_t tid = 0;     // in the target's own PID namespace
    std::uint64_t name = 0;    // address of the text
    std::uint64_t next = 0;    // address of the next slot of the registry

    // Moments and lengths are in ticks of this clock: see moment_ns() and ticks_to_ns().
    bool has_tsc_clock = false;
    std::uint32_t clock_shift = 0;  // below 64
    std::uint64_t clock_mult = 0, anchor_ticks = 0, anchor_ns = 0;

    std::uint64_t iterations = 0, busy_ticks = 0, idle_ticks = 0;
    std::uint64_t max_ticks = 0;        // longest dispatch ever
    std::uint64_t poll_since = 0;       // start of the wait that goes on; 0: none
    std::uint64_t iteration_start = 0;  // 0: it polls, or not known
    std::uint64_t tasks_created = 0, tasks_finished = 0, tasks_cancelled = 0;
    std::uint64_t floor_ns = 0;  // no dispatch below it is reported
    Histogram dispatch_histogram = {}, lag_histogram = {};
};

// None: the slot is none of ours, or of another version. A target's slot may hold anything: a shift of 128 and more is
// no shift.
std::optional<LoopState> loop_state(const lw_loop_slot& slot);

// Ticks of a loop's clock → nanoseconds (a length), and → CLOCK_MONOTONIC (a moment).
std::uint64_t ticks_to_ns(const LoopState& loop, std::uint64_t ticks);
std::uint64_t moment_ns(const LoopState& loop, std::uint64_t ticks);
double ns_per_tick(const LoopState& loop);

}  // namespace loopwatch
