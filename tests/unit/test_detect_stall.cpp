// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "detect/stall.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000, began = 1'000 * ms, now = began + 250 * ms;

OverdueDispatch overdue()
{
    OverdueDispatch dispatch{4711, 4712, 3, began, now, true, 0, {}, {}, false};
    dispatch.slot.loop_id = 3;
    dispatch.slot.seq = 41;
    dispatch.slot.queued = 21;  // 21 of them were run
    dispatch.slot.start = 1;
    return dispatch;
}

// One place, in which the thread slept three times for 30 ms in all.
OngoingDispatch ongoing(OffCpu off, std::uint64_t off_ns)
{
    OngoingDispatch state;
    state.seq = 41;
    state.blocked_ns = 30 * ms;
    state.blocks = 3;
    state.place = 0;
    state.off = off;
    state.off_ns = off_ns;
    SourceEvent place;
    place.count = 3;
    place.total_ns = 30 * ms;
    place.longest_ns = 12 * ms;
    state.places.push_back(place);
    return state;
}

}  // namespace

TEST_CASE("the block that a stall is in counts as if it ended now")
{
    const DispatchBook book;
    const auto bundle = stall_bundle(overdue(), ongoing(OffCpu::blocked, began + 50 * ms), book);
    CHECK(bundle.in_progress);
    CHECK(bundle.start_known);
    CHECK(bundle.tid == 4712);
    CHECK(bundle.loop_id == 3);
    REQUIRE(bundle.closing);
    CHECK(bundle.closing->start_ns == began);
    CHECK(bundle.closing->end_ns == now);
    CHECK(bundle.closing->blocked_ns == 230 * ms);
    CHECK(bundle.closing->blocks == 4);
    REQUIRE(bundle.places.size() == 1);
    CHECK(bundle.places[0].count == 4);
    CHECK(bundle.places[0].total_ns == 230 * ms);
    CHECK(bundle.places[0].longest_ns == 200 * ms);
}

TEST_CASE("from its waking on a stalled thread waits for a CPU")
{
    auto state = ongoing(OffCpu::blocked, began + 50 * ms);
    state.wake_ns = began + 150 * ms;
    const DispatchBook book;
    const auto bundle = stall_bundle(overdue(), state, book);
    CHECK(bundle.closing->blocked_ns == 130 * ms);
    CHECK(bundle.closing->runq_ns == 100 * ms);
}

TEST_CASE("the wait for a CPU that a stall is in is one of its waits, and may be the longest")
{
    const DispatchBook book;
    auto waiting = ongoing(OffCpu::preempted, now - 40 * ms);
    waiting.runq_ns = 25 * ms;
    waiting.preemptions = 2;
    waiting.contention.longest_ns = 20 * ms;
    const auto bundle = stall_bundle(overdue(), waiting, book);
    REQUIRE(bundle.closing);
    CHECK(bundle.closing->runq_ns == 65 * ms);
    CHECK(bundle.closing->preemptions == 3);
    CHECK(bundle.closing->contention.longest_ns == 40 * ms);
}

TEST_CASE("a stalled thread may be preempted, or stopped")
{
    const DispatchBook book;
    CHECK(stall_bundle(overdue(), ongoing(OffCpu::preempted, now - 5 * ms), book).closing->runq_ns == 5 * ms);
    CHECK(stall_bundle(overdue(), ongoing(OffCpu::stopped, now - 5 * ms), book).closing->stopped_ns == 5 * ms);
    CHECK(stall_bundle(overdue(), ongoing(OffCpu::running, now - 5 * ms), book).closing->blocked_ns == 30 * ms);
}

TEST_CASE("what the scheduler has of another dispatch is not this one's")
{
    const DispatchBook book;
    auto state = ongoing(OffCpu::blocked, began + 50 * ms);
    state.seq = 39;
    for (const auto& bundle : {stall_bundle(overdue(), state, book), stall_bundle(overdue(), std::nullopt, book)}) {
        CHECK(bundle.closing->blocked_ns == 0);
        CHECK(bundle.places.empty());
    }
}

TEST_CASE("of a dispatch that the scheduler's view has nothing of, all is unknown")
{
    const DispatchBook book;
    CHECK(stall_bundle(overdue(), std::nullopt, book).closing->seen_ns == now);
}

TEST_CASE("a stall that slept since before the session did so until its thread was first seen")
{
    DispatchBook book;
    SourceEvent asleep = {};
    asleep.head.tid = 4712;
    asleep.head.seq = 41;
    book.found_asleep(asleep);
    auto state = ongoing(OffCpu::running, 0);
    state.entered_ns = began + 20 * ms;
    state.seen_ns = began + 120 * ms;
    for (const std::uint64_t seq : {39, 41}) {
        state.seq = seq;
        const auto bundle = stall_bundle(overdue(), state, book);
        CHECK(bundle.closing->blocked_ns == (seq == 41 ? 130 : 100) * ms);
        REQUIRE_FALSE(bundle.places.empty());
        CHECK(bundle.places.back().total_ns == 100 * ms);
        CHECK(bundle.closing->seen_ns == began + 20 * ms);
    }
    // Its end says the same.
    DispatchEvent closing = {};
    closing.head = asleep.head;
    closing.start_ns = began;
    closing.entered_ns = state.entered_ns;
    closing.seen_ns = state.seen_ns;
    closing.end_ns = now;
    CHECK(book.close(closing).closing->blocked_ns == 100 * ms);
}

TEST_CASE("a block outside of the places that are kept is blocked elsewhere")
{
    auto state = ongoing(OffCpu::blocked, now - 80 * ms);
    state.place = OngoingDispatch::no_place;
    const DispatchBook book;
    const auto bundle = stall_bundle(overdue(), state, book);
    CHECK(bundle.closing->other_blocked_ns == 80 * ms);
    CHECK(bundle.places[0].total_ns == 30 * ms);
}

TEST_CASE("a block in a place that the scheduler does not know is of another dispatch with this number")
{
    DispatchBook book;
    SourceEvent block;
    block.head.tid = 4712;
    block.head.seq = 41;
    block.single = true;
    for (block.index = 0; block.index < 4; ++block.index) book.add(block);
    REQUIRE(book.so_far(4712, 41).long_blocks.size() == 4);
    const auto bundle = stall_bundle(overdue(), ongoing(OffCpu::running, now), book);
    CHECK(bundle.places.size() == 1);
    CHECK(bundle.long_blocks.size() == 1);
}

TEST_CASE("who is in the ready queue waits, unless the count cannot be true")
{
    const DispatchBook book;
    auto dispatch = overdue();
    CHECK(stall_bundle(dispatch, std::nullopt, book).closing->impact_tasks == 0);
    dispatch.slot.queued = 25;
    const auto bundle = stall_bundle(dispatch, std::nullopt, book);
    CHECK(bundle.closing->impact_tasks == 4);
    CHECK(bundle.closing->impact_max_ns == 250 * ms);
    dispatch.slot.queued = 7;
    CHECK(stall_bundle(dispatch, std::nullopt, book).closing->impact_tasks == 0);
}

TEST_CASE("what the book holds of a stalled dispatch stays there for its end")
{
    DispatchBook book;
    SampleEvent sample;
    sample.head.tid = 4712;
    sample.head.seq = 41;
    book.add(sample);
    CHECK(stall_bundle(overdue(), std::nullopt, book).samples.size() == 1);
    DispatchEvent closing;
    closing.head = sample.head;
    CHECK(book.close(closing).samples.size() == 1);
}
