// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "detect/lost_ends.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

EventHead of(std::uint32_t tid, std::uint64_t seq, std::uint64_t loop_id = 9)
{
    EventHead event;
    event.tid = tid;
    event.loop_id = loop_id;
    event.seq = seq;
    return event;
}

DispatchEvent stalled(std::uint32_t pid, std::uint32_t tid, std::uint64_t seq)
{
    DispatchEvent closing;
    closing.head = of(tid, seq);
    closing.head.pid = pid;
    closing.start_ns = seq * ms;
    closing.end_ns = seq * ms + 100 * ms;
    return closing;
}

}  // namespace

TEST_CASE("a stall whose end was lost ends when it was seen to be over, once")
{
    LostEnds ends;
    ends.reported(stalled(1, 2, 5), true);
    CHECK(ends.take(10'000 * ms).empty());  // it goes on
    ends.over(of(2, 5), 400 * ms);
    ends.over(of(2, 5), 500 * ms);  // the first time it was seen
    CHECK(ends.take(401 * ms).empty());
    const auto taken = ends.take(400 * ms + LostEnds::patience_ns);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].closing.end_ns == 400 * ms);
    CHECK(taken[0].closing.start_ns == 5 * ms);
    CHECK(ends.take(10'000 * ms).empty());
    CHECK_FALSE(ends.came(of(2, 5)));  // its record, after all
    CHECK(ends.came(of(2, 7)));
}

TEST_CASE("a stall whose end came is not closed again")
{
    LostEnds ends;
    ends.reported(stalled(1, 2, 5), true);
    ends.over(of(2, 5), 400 * ms);
    CHECK(ends.came(of(2, 5)));
    CHECK(ends.take(10'000 * ms).empty());
    CHECK(ends.take_of(1).empty());
}

TEST_CASE("later records of its thread close it at once")
{
    LostEnds ends;
    ends.reported(stalled(1, 2, 5), false);
    DispatchBundle bundle, other;
    bundle.tid = other.tid = 2;
    bundle.loop_id = other.loop_id = 9;
    bundle.seq = 5;
    other.seq = 7;
    ends.close(other, 300 * ms);
    CHECK_FALSE(other.closing);
    ends.close(bundle, 300 * ms);
    REQUIRE(bundle.closing);
    CHECK(bundle.closing->end_ns == 300 * ms);
    CHECK_FALSE(bundle.start_known);
    CHECK_FALSE(bundle.end_known);
    CHECK(bundle.calls_missing);
    CHECK(ends.take(10'000 * ms).empty());
}

TEST_CASE("records of a thread come in order, so that what is missing before one is lost")
{
    LostEnds ends;
    ends.reported(stalled(1, 2, 5), true);
    ends.reported(stalled(1, 3, 5), true);
    CHECK(ends.take_before(of(2, 5), 300 * ms).empty());
    CHECK(ends.take_before(of(2, 7, 10), 300 * ms).empty());  // of a loop within its dispatch
    const auto taken = ends.take_before(of(2, 7), 300 * ms);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].closing.head.tid == 2);
    CHECK(taken[0].closing.end_ns == 300 * ms);
}

TEST_CASE("a process that ends takes what is known of it along")
{
    LostEnds ends;
    ends.reported(stalled(1, 2, 5), true);
    ends.reported(stalled(1, 3, 5), true);
    ends.reported(stalled(4, 5, 5), true);
    ends.over(of(2, 5), 400 * ms);
    ends.over(of(5, 5), 400 * ms);
    CHECK(ends.take_of(1).size() == 1);
    ends.over(of(3, 5), 400 * ms);
    CHECK(ends.take(10'000 * ms).size() == 1);
}
