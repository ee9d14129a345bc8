// SPDX-License-Identifier: Apache-2.0
#include "target/loop_state.hpp"

#include <loopwatch/loop_state.h>

#include <catch2/catch.hpp>

using namespace loopwatch;

namespace {

lw_loop_slot published()
{
    lw_loop_slot slot = {};
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    return slot;
}

}  // namespace

TEST_CASE("a slot of another version, or with an impossible clock, is no state of a loop")
{
    auto slot = published();
    CHECK(loop_state(slot));
    SECTION("magic")
    {
        slot.magic = 1;
    }
    SECTION("version")
    {
        slot.abi = LW_ABI + 1;
    }
    SECTION("size")
    {
        slot.size = sizeof slot - 8;
    }
    SECTION("shift")
    {
        slot.clock_shift = 64;
    }
    CHECK_FALSE(loop_state(slot));
}

TEST_CASE("the state of a loop has the fields of its slot, each its own")
{
    auto slot = published();
    lw_u64 next = 1;
    for (auto* field :
         {&slot.seq, &slot.start, &slot.stack_top, &slot.loop_id, &slot.busy_ticks, &slot.clock_mult,
          &slot.anchor_ticks, &slot.anchor_ns, &slot.iterations, &slot.idle_ticks, &slot.poll_since,
          &slot.tasks_created, &slot.tasks_finished, &slot.tasks_cancelled, &slot.floor_ns, &slot.iteration_start})
        *field = next++;
    slot.task = reinterpret_cast<const lw_task*>(0x1000);
    slot.resume = reinterpret_cast<const lw_location*>(0x2000);
    slot.name = reinterpret_cast<const char*>(0x3000);
    slot.next = reinterpret_cast<lw_loop_slot*>(0x4000);
    slot.queued = 17;
    slot.tid = 18;
    slot.clock = LW_CLOCK_TSC;
    slot.clock_shift = 19;
    slot.dispatch_histogram[LW_HISTOGRAM_BUCKETS - 1] = 20;
    slot.lag_histogram[3] = 21;
    const auto state = loop_state(slot);
    REQUIRE(state);
    std::uint64_t expected = 1;
    for (const auto field :
         {state->seq, state->start, state->stack_top, state->loop_id, state->busy_ticks, state->clock_mult,
          state->anchor_ticks, state->anchor_ns, state->iterations, state->idle_ticks, state->poll_since,
          state->tasks_created, state->tasks_finished, state->tasks_cancelled, state->floor_ns, state->iteration_start})
        CHECK(field == expected++);
    CHECK(state->task == 0x1000);
    CHECK(state->resume == 0x2000);
    CHECK(state->name == 0x3000);
    CHECK(state->next == 0x4000);
    CHECK(state->queued == 17);
    CHECK(state->tid == 18);
    CHECK(state->has_tsc_clock);
    CHECK(state->clock_shift == 19);
    CHECK(state->dispatch_histogram.back() == 20);
    CHECK(state->lag_histogram[3] == 21);
}

TEST_CASE("a moment on a counter that has begun anew is long ago, not in the future")
{
    LoopState loop;
    loop.has_tsc_clock = true;
    loop.clock_mult = 1u << 10;
    loop.clock_shift = 10;
    loop.anchor_ticks = 5'000'000;
    loop.anchor_ns = 1'000'000;
    CHECK(moment_ns(loop, 5'000'100) == 1'000'100);
    CHECK(moment_ns(loop, 4'999'900) == 999'900);
    CHECK(moment_ns(loop, 100) == 0);
}
