// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/loop_state.h>

#include <catch2/catch.hpp>

#include "detect/statistics.hpp"
#include "fake_target.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

// One loop, whose slot the test says.
class Watched : public FakeTarget {
public:
    Watched() { add_loop({.slot = 0x1000, .id = 3, .ns_tid = 4712, .tid = 4712, .name = "main"}); }
    Loop& loop() { return known_loops_[0]; }
    void become_unprobed() { known_loops_[0].slot = 0; }
    void found_at(std::uint64_t ns) { known_loops_[0].since_ns = ns; }
};

}  // namespace

TEST_CASE("statistics are what was counted between two looks")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 100;
    target.slot.seq = 40;
    CHECK(statistics.look(target, second).empty());
    target.slot.iterations = 130;
    target.slot.seq = 60;
    const auto stats = statistics.look(target, 2 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 30);
    CHECK(stats[0].dispatches == 10);
    CHECK(stats[0].interval_ns == second);
    CHECK(statistics.dispatches() == 10);
}

TEST_CASE("the longest dispatch is not longer than any that there was")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    target.slot.dispatch_histogram[lw_bucket_of(300'000'000)] = 1;  // up to 335,544,319
    target.slot.max_ticks = 300'000'000;
    CHECK(statistics.look(target, 2 * second)[0].dispatch_ns.max == 300'000'000);
    CHECK(statistics.dispatch_ns().max == 300'000'000);
    target.slot.dispatch_histogram[lw_bucket_of(3'000'000)] = 1;
    CHECK(statistics.look(target, 3 * second)[0].dispatch_ns.max ==
          3'145'727);  // it has that bucket, and is not the longest
    target.slot.dispatch_histogram[lw_bucket_of(300'000'000)] = 2;
    target.slot.max_ticks = ~0ull;  // a target's memory may hold anything
    CHECK(statistics.look(target, 4 * second)[0].dispatch_ns.max == 335'544'319);
}

TEST_CASE("a strip has the longest hold of each step")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    target.slot.dispatch_histogram[lw_bucket_of(3'000'000)] = 5;
    statistics.reported(&target.loop(), 150'000'000);
    Statistics::step(target, 2 * second);
    Statistics::step(target, 3 * second);  // nothing
    target.slot.dispatch_histogram[lw_bucket_of(3'000'000)] = 6;
    Statistics::step(target, 4 * second);
    target.slot.seq = 3;
    target.slot.start = 4 * second + 500'000'000;  // it runs
    Statistics::step(target, 5 * second);
    const auto stats = statistics.look(target, 6 * second);
    REQUIRE(stats.size() == 1);
    REQUIRE(stats[0].strip);
    CHECK(stats[0].strip->step_ns == second);
    CHECK(stats[0].strip->max == base64({hold_level(150'000'000), 0, hold_level(2'621'440), hold_level(500'000'000)}));
    CHECK_FALSE(statistics.look(target, 7 * second)[0].strip);
}

TEST_CASE("the levels of a strip, and their text")
{
    CHECK(hold_level(999) == 0);
    CHECK(hold_level(2'000) == 8);
    CHECK(hold_level(100'000'000) == 132);
    CHECK(hold_level(~0ull) == 255);
    // RFC 4648, section 10
    CHECK(base64({}) == "");
    CHECK(base64({'f'}) == "Zg==");
    CHECK(base64({'f', 'o'}) == "Zm8=");
    CHECK(base64({'f', 'o', 'o'}) == "Zm9v");
    CHECK(base64({'f', 'o', 'o', 'b'}) == "Zm9vYg==");
}

TEST_CASE("counters that go back are those of another loop, which begins anew")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 1'000;
    target.slot.seq = 400;
    (void)statistics.look(target, second);
    target.slot.iterations = 7;
    target.slot.seq = 4;
    CHECK(statistics.look(target, 2 * second).empty());
    target.slot.iterations = 9;
    const auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 2);
    CHECK(statistics.dispatches() == 0);
}

TEST_CASE("what is born during the session counts from zero, whoever had its thread's number before")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 1'000;
    (void)statistics.look(target, second);
    Statistics::born(target.loop(), 2 * second);
    target.slot.iterations = 5;
    const auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 5);
}

TEST_CASE("of a loop that is not known any more the longest dispatch counts all the same")
{
    Statistics statistics;
    statistics.reported(nullptr, 220'000'000);
    CHECK(statistics.dispatch_ns().max == 220'000'000);
}

TEST_CASE("how late timers are is told only of loops whose timers are seen")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    CHECK(statistics.look(target, 2 * second)[0].lag_ns);
    target.become_unprobed();
    CHECK_FALSE(statistics.look(target, 3 * second)[0].lag_ns);
}

TEST_CASE("an iteration that goes on at the end is the longest, if it is, and counts as none that ended")
{
    Watched target;
    target.become_unprobed();
    Statistics statistics;
    Statistics::born(target.loop(), second);
    target.slot.seq = 19;
    target.slot.iterations = 9;
    target.slot.dispatch_histogram[lw_bucket_of(100'000)] = 9;
    target.slot.start = 2 * second;
    const auto stats = statistics.look(target, 2 * second + 220'000'000);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 9);
    CHECK(stats[0].open_ns == 220'000'000);
    CHECK(stats[0].dispatch_ns.max == 220'000'000);
    CHECK(stats[0].dispatch_ns.p99 < 200'000);
    CHECK(statistics.dispatch_ns().max == 220'000'000);
    target.slot.seq = 20;
    CHECK_FALSE(statistics.look(target, 3 * second)[0].open_ns);
}

TEST_CASE("a dispatch that is open at two looks is counted once, when it has ended")
{
    Watched target;
    Statistics statistics;
    Statistics::born(target.loop(), second);
    target.slot.seq = 7;
    target.slot.start = second;
    CHECK(statistics.look(target, 2 * second)[0].dispatches == 3);
    target.slot.seq = 8;
    CHECK(statistics.look(target, 3 * second)[0].dispatches == 1);
    CHECK(statistics.dispatches() == 4);
}

TEST_CASE("a dispatch without a known start is open since the first look at it")
{
    Watched target;
    Statistics statistics;
    target.slot.seq = 7;
    (void)statistics.look(target, second);
    CHECK(statistics.look(target, 2 * second)[0].open_ns == second);
    CHECK(statistics.look(target, 4 * second)[0].open_ns == 3 * second);
}

TEST_CASE("of a loop whose memory is gone a stall that was reported is in the last statistics")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    target.gone = true;
    CHECK(statistics.look(target, 2 * second).empty());
    statistics.reported(&target.loop(), 220'000'000, false);
    auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].dispatches == 0);
    CHECK(stats[0].busy_ns == 220'000'000);
    CHECK(stats[0].open_ns == 220'000'000);
    CHECK(stats[0].dispatch_ns.max == 220'000'000);
    CHECK(statistics.look(target, 4 * second).empty());
    statistics.reported(&target.loop(), 220'000'000, false);
    statistics.reported(&target.loop(), 250'000'000);
    stats = statistics.look(target, 5 * second);
    REQUIRE(stats.size() == 1);
    CHECK_FALSE(stats[0].open_ns);
    CHECK(stats[0].dispatch_ns.max == 250'000'000);
}

TEST_CASE("a loop that is found during the session counts from then on, not from the next look")
{
    Watched target;
    target.become_unprobed();
    target.found_at(second);
    Statistics statistics;
    target.slot.iterations = 9;
    const auto stats = statistics.look(target, 2 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 9);
    CHECK(stats[0].interval_ns == second);
}

TEST_CASE("what is reported of a loop that was found during the session, before its first look, is in that")
{
    Watched target;
    target.become_unprobed();
    target.found_at(second);
    Statistics statistics;
    statistics.reported(&target.loop(), 220'000'000);
    CHECK(statistics.look(target, 2 * second)[0].dispatch_ns.max == 220'000'000);
}
