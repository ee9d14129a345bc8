// SPDX-License-Identifier: Apache-2.0
#include "target/loop_state.hpp"

#include <loopwatch/loop_state.h>

#include <algorithm>
#include <iterator>

#include "target/memory.hpp"

namespace loopwatch {

namespace {

__extension__ using Wide = unsigned __int128;

static_assert(LoopState::buckets == LW_HISTOGRAM_BUCKETS);

}  // namespace

std::optional<LoopState> loop_state(const lw_loop_slot& slot)
{
    if (slot.magic != LW_SLOT_MAGIC || slot.abi != LW_ABI || slot.size < sizeof slot || slot.clock_shift >= 64)
        return std::nullopt;
    std::optional<LoopState> state(std::in_place);  // 1.5 KiB: filled where it is returned
    state->seq = slot.seq;
    state->task = address_of(slot.task);
    state->start = slot.start;
    state->resume = address_of(slot.resume);
    state->stack_top = slot.stack_top;
    state->loop_id = slot.loop_id;
    state->queued = slot.queued;
    state->tid = slot.tid;
    state->name = address_of(slot.name);
    state->next = address_of(slot.next);
    state->has_tsc_clock = slot.clock == LW_CLOCK_TSC;
    state->clock_shift = slot.clock_shift;
    state->clock_mult = slot.clock_mult;
    state->anchor_ticks = slot.anchor_ticks;
    state->anchor_ns = slot.anchor_ns;
    state->iterations = slot.iterations;
    state->busy_ticks = slot.busy_ticks;
    state->max_ticks = slot.max_ticks;
    state->idle_ticks = slot.idle_ticks;
    state->poll_since = slot.poll_since;
    state->iteration_start = slot.iteration_start;
    state->tasks_created = slot.tasks_created;
    state->tasks_finished = slot.tasks_finished;
    state->tasks_cancelled = slot.tasks_cancelled;
    state->floor_ns = slot.floor_ns;
    std::ranges::copy(slot.dispatch_histogram, state->dispatch_histogram.begin());
    std::ranges::copy(slot.lag_histogram, state->lag_histogram.begin());
    return state;
}

std::uint64_t ticks_to_ns(const LoopState& loop, std::uint64_t ticks)
{
    if (!loop.has_tsc_clock) return ticks;
    return static_cast<std::uint64_t>((static_cast<Wide>(ticks) * loop.clock_mult) >> loop.clock_shift);
}

std::uint64_t moment_ns(const LoopState& loop, std::uint64_t ticks)
{
    if (!loop.has_tsc_clock) return ticks;
    if (ticks >= loop.anchor_ticks) return loop.anchor_ns + ticks_to_ns(loop, ticks - loop.anchor_ticks);
    // The counter of a machine that slept has begun anew: long before, not 2^64 ns ahead.
    const auto before_ns = ticks_to_ns(loop, loop.anchor_ticks - ticks);
    return loop.anchor_ns - std::min<std::uint64_t>(loop.anchor_ns, before_ns);
}

double ns_per_tick(const LoopState& loop)
{
    return loop.has_tsc_clock ? static_cast<double>(loop.clock_mult) / static_cast<double>(1ull << loop.clock_shift)
                              : 1.0;
}

}  // namespace loopwatch
